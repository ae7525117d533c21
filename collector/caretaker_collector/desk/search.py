"""Search: places by an index that is built once from the estate, and incidents."""

from msgspec import Struct

from caretaker_collector.desk.incidents import Incidents
from caretaker_collector.desk.sources import Sources
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import Found
from caretaker_rules.roles import Who

MOST = 30
LONGEST = 100
_ORDER = {"school": 0, "room": 1, "incident": 2, "device": 3}


class _Entry(Struct, frozen=True, gc=False):
    key: str  # what is searched, in small letters: the name first
    name: str
    school: str
    found: Found


class Search:
    """Knows every school, room and device by name and title."""

    def __init__(self, sources: Sources, incidents: Incidents) -> None:
        self._sources = sources
        self._incidents = incidents
        self._entries: list[_Entry] = []
        for school in sources.estate.schools.values():
            self._add("school", school.name, school.title, school.name, f"/schools/{school.name}", "school")
            for room, devices in sources.rooms[school.name].items():
                title = sources.room_title(school.name, room)
                shown = title if title == room else f"{title} ({room})"
                path = f"/rooms/{school.name}/{room}"
                count = f"{len(devices)} machine{'' if len(devices) == 1 else 's'}"
                self._add("room", room, shown, school.name, path, f"{school.title}, {count}")
        for device in sources.estate.devices.values():
            title = sources.room_title(device.school, device.room)
            detail = f"{sources.school_title(device.school)}, {title}, {device.device_class.replace('_', ' ')}"
            path = f"/devices/{device.school}/{device.name}"
            mac = f" {device.mac}" if device.mac else ""
            self._add(
                "device", device.name, device.name, device.school, path, detail, mac + " " + " ".join(device.tags)
            )

    def _add(self, kind: str, name: str, title: str, school: str, path: str, detail: str, more: str = "") -> None:
        key = f"{name} {school}/{name} {title} {detail}{more}".casefold()
        found = Found(kind=kind, title=title, detail=detail, path=path)
        self._entries.append(_Entry(key, name.casefold(), school, found))

    async def search(self, who: Who, text: str) -> list[Found]:
        """The best first: what is called so, then what begins so, then what holds all the words."""
        asked = " ".join(text[:LONGEST].casefold().split())
        words = asked.split()
        if not words:
            return []
        ranked: list[tuple[int, int, str, Found]] = []
        first, rest = words[0], words[1:]
        schools = {school.name for school in self._sources.seen_by(who)}
        for entry in self._entries:
            if first in entry.key and entry.school in schools and all(word in entry.key for word in rest):
                rank = 0 if entry.name == asked else 1 if entry.name.startswith(asked) else 2
                if f"{entry.school}/{entry.name}" == asked:
                    rank = 0
                ranked.append((rank, _ORDER[entry.found.kind], entry.name, entry.found))
        number = asked.removeprefix("inc-")
        if number.isascii() and number.isdigit() and len(number) < 16:
            try:
                one = (await self._incidents.one(who, int(number))).line
            except NotThere:
                pass
            else:
                found = Found(
                    kind="incident",
                    title=f"{one.name} {one.title}",
                    detail=f"{one.school_title}, {one.status}",
                    path=f"/incidents/{one.number}",
                )
                ranked.append((0, _ORDER["incident"], "", found))
        lines, _ = await self._incidents.listed(who, text=asked)
        for line in lines:
            found = Found(
                kind="incident",
                title=f"{line.name} {line.title}",
                detail=f"{line.school_title}, {line.clock}",
                path=f"/incidents/{line.number}",
            )
            if all(found.path != known.path for *_, known in ranked):
                ranked.append((2, _ORDER["incident"], "", found))
        ranked.sort(key=lambda each: each[:3])
        return [found for *_, found in ranked[:MOST]]
