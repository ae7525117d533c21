"""A room on a day: its machines, a strip for each, lessons above, decisions as marks."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from caretaker_collector import decided
from caretaker_collector.calendars import read_or_doubt
from caretaker_collector.desk.estate import Estates, lesson_text
from caretaker_collector.desk.incidents import Incidents
from caretaker_collector.desk.machines import Machines, decision_line, newest_decisions
from caretaker_collector.desk.records import Records
from caretaker_collector.desk.sources import Sources
from caretaker_collector.desk.strips import StripMaker
from caretaker_collector.stages.watch import watched_since_ms
from caretaker_dashboards.desk.views import DecisionLine, Lesson, RecordLine, RoomView, Strip
from caretaker_rules.calendar import Unknown, booking, day_bookings
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.model import Device, School
from caretaker_rules.roles import Permission, Who
from caretaker_rules.shown import Shown
from caretaker_rules.timetable import Timetable, has_files

HOUR_MS = 3_600_000
SILENT = frozenset({Verdict.LEFT_ON, Verdict.NOT_ON, Verdict.NOT_WOKEN})
"""Verdicts of which nothing followed."""
_NOTHING_KNOWN = frozenset({Shown.UNKNOWN, Shown.BLIND})


class Rooms:
    """Makes the rooms' pages."""

    def __init__(
        self,
        sources: Sources,
        incidents: Incidents,
        records: Records,
        machines: Machines,
        strips: StripMaker,
        estates: Estates,
    ) -> None:
        self._sources = sources
        self._incidents = incidents
        self._records = records
        self._machines = machines
        self._strips = strips
        self._estates = estates

    async def room(self, who: Who, school: str, room: str, day: str | None = None) -> RoomView:
        """One room, today or on an ISO day. NotThere; ConfigError for a day that is none."""
        sources = self._sources
        known, devices = sources.room_for(who, school, room)
        meant = sources.day_of(day) if day else sources.today(school)
        mark = sources.changes.mark(f"{school}/{room}")
        view = await sources.kept(("room", school, room, meant), mark, lambda: self._room(known, room, devices, meant))
        if view.stay_link is not None and not who.allows(Permission.HOLD, school):
            return msgspec.structs.replace(view, stay_link=None)  # whoever has it may hold the room
        return view

    async def _room(self, school: School, room: str, devices: Sequence[Device], day: date) -> RoomView:
        sources, now_ms, zone = self._sources, self._sources.now_ms(), self._sources.zone(school.name)
        from_ms, until_ms = sources.span_of(day, zone)
        names = [device.name for device in devices]
        [strips] = await self._strips.days(school.name, names, day, day)

        def work(
            db: sqlite3.Connection,
        ) -> tuple[dict[str, DecisionLine], list[Decision], list[RecordLine], str | None, int | None]:
            row = db.execute(
                "SELECT token FROM stay_links WHERE school = ? AND room = ? AND revoked_ms IS NULL",
                (school.name, room),
            ).fetchone()
            answer = decided.ask(db, sources.estates[school.name], school.name, room, from_ms, until_ms - 1)
            return (
                newest_decisions(db, school.name, names),
                answer.decisions,
                self._records.touching(db, school.name, names, now_ms),
                row[0] if row else None,
                watched_since_ms(db),
            )

        newest, decisions, records, token, watched_ms = await sources.read(work)
        marks = marks_of(decisions)
        here = (await self._incidents.open()).of(school.name)
        here = [pair for pair in here if self._incidents.touches(pair[0], room)]
        timetable, lessons, unknown = await self._lessons(school, room, day)
        known = sources.room_of(school.name, room)
        machines = [self._machines.row(device.address, device, newest, here, now_ms) for device in devices]
        stay_links = sources.collector.settings.http.stay_links
        recorded = any(spell.shown not in _NOTHING_KNOWN for spells in strips.spells.values() for spell in spells)
        return RoomView(
            now_ms=now_ms,
            zone=school.time_zone,
            school=school.name,
            school_title=school.title,
            room=room,
            title=sources.room_title(school.name, room),
            day=day.isoformat(),
            today=day == sources.today(school.name),
            day_from_ms=from_ms,
            day_until_ms=until_ms,
            bar=Counter(machine.shown for machine in machines if machine.agent),
            machines=machines,
            strips=[
                Strip(device=name, spells=strips.spells.get(name, []), marks=marks.get(name, [])) for name in names
            ],
            lessons=lessons,
            lesson=lesson_text(booking(known, school, now_ms, 0, timetable), now_ms, school, known, timetable),
            records=records,
            incidents=[line for _, line in here],
            unwakeable=await self._estates.cannot_wake(school.name, room),
            stay_link=f"/stay/{token}" if stay_links and token else None,
            stay_links=stay_links,
            recorded=recorded or strips.unread,
            unread=strips.unread,
            recorded_from_ms=watched_ms,
            lessons_unknown=unknown,
            policy=sources.policy_text(school.name),
        )

    async def _lessons(self, school: School, room: str, day: date) -> tuple[Timetable, list[Lesson], str]:
        """The timetable in force, the room's lessons of a day, and why nobody knows them ("": they are known)."""
        sources = self._sources
        timetable = sources.collector.calendars.timetable(school.name)
        asked = timetable
        if has_files(school) and not timetable.covers(day):

            async def read() -> Timetable:
                found = await sources.apart(lambda: read_or_doubt(school, sources.folder, day, day))
                return found.timetable

            asked = await sources.kept(("timetable", school.name, day), sources.changes.beat // 10, read)
        known = sources.room_of(school.name, room)
        found = day_bookings(known, school, day, asked) if known is not None else Unknown("its room")
        if isinstance(found, Unknown):
            return timetable, [], f"no timetable is known for {found.why}"
        return timetable, [Lesson(each.from_ms, each.until_ms) for each in found], ""


def marks_of(decisions: Sequence[Decision]) -> Mapping[str, list[DecisionLine]]:
    """Decisions by device for a strip, in order of time: all that did something, and of the rest the newest each hour.

    What follows from nothing (a machine that was off already, one that could not be woken) is in no strip; of those
    that were left on the newest of each hour says why.
    """
    found: dict[str, list[DecisionLine]] = {}
    hours: set[tuple[str, int]] = set()
    for decision in sorted(decisions, key=lambda each: each.at_ms, reverse=True):
        if decision.verdict in SILENT:
            hour = (decision.device.device, decision.at_ms // HOUR_MS)
            if decision.verdict is not Verdict.LEFT_ON or hour in hours:
                continue
            hours.add(hour)
        found.setdefault(decision.device.device, []).append(decision_line(decision))
    return {device: lines[::-1] for device, lines in found.items()}
