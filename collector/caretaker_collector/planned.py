"""`planned.ics`: what keeps a school's machines on, and when they are woken, as a feed for people's own calendars.

Holds, exam freezes and maintenance of the last weeks and the next ones; wakes of today and the next seven days. Only
kind, place and time go out: what somebody typed as the reason may hold a name, and a feed is read by everyone who has
its address.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta, tzinfo
from pathlib import Path

import icalendar
import structlog

from caretaker_collector import records
from caretaker_collector.calendars import Calendars
from caretaker_collector.pipeline import Batch
from caretaker_rules.calendar import LOOK_AHEAD_DAYS, local, zone_of
from caretaker_rules.model import Device, Estate, Hold, School
from caretaker_rules.policy import Policy
from caretaker_rules.timetable import Timetable
from caretaker_rules.wake_plan import PlannedWake, not_frozen, planned_wakes

log = structlog.get_logger()

DAY_MS = 86_400_000
BACK_DAYS = 28
"""How long what is over stays in the feed, so that it does not vanish from people's calendars overnight."""
WAKE_DAYS = 8
"""Wakes of today and of the seven days after it. Whole days: a feed changes at midnight and not all the time."""
WRITTEN_AT_ONCE = 20
WORKED_OUT_AT_ONCE = 5
"""Feeds written in one tick, and those of them whose wakes have to be worked out (a tenth of a second for a school of
18 rooms): after a start, and at midnight, that is one for each school."""
FOLDER = "planned"
_LONDON = """BEGIN:VTIMEZONE
TZID:Europe/London
BEGIN:DAYLIGHT
DTSTART:19810329T010000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZNAME:BST
TZOFFSETFROM:+0000
TZOFFSETTO:+0100
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19961027T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZNAME:GMT
TZOFFSETFROM:+0100
TZOFFSETTO:+0000
END:STANDARD
END:VTIMEZONE
"""
"""Summer Time since 1996 (Summer Time Order 2002). What icalendar 7.3 makes by itself begins summer an hour late, so
schools in other zones get their times in UTC."""
_KINDS = {"hold": "Kept on", "freeze": "Exam freeze", "maintenance": "Maintenance"}


def planned(db: sqlite3.Connection, timetables: Mapping[str, Timetable], now_ms: int) -> dict[str, list[Hold]]:
    """What belongs into the feed of each of these schools, in order of time: people's holds, and exams of calendars."""
    first_ms = now_ms - BACK_DAYS * DAY_MS
    last_ms = now_ms + LOOK_AHEAD_DAYS * DAY_MS
    found: dict[str, list[Hold]] = {
        school: [hold for hold in timetable.freezes if hold.until_ms > first_ms and hold.from_ms <= last_ms]
        for school, timetable in timetables.items()
    }
    for hold in records.in_force(db, first_ms, last_ms):
        if hold.school in found:
            found[hold.school].append(hold)
    for holds in found.values():
        holds.sort(key=lambda hold: (hold.from_ms, hold.until_ms, hold.id, hold.room or ""))
    return found


def wakes(
    school: School, estate: Estate, devices: Iterable[Device], policy: Policy | None, timetable: Timetable, now_ms: int
) -> list[PlannedWake]:
    """The wakes of a school that are certain, whatever people may yet freeze; none without a policy."""
    if policy is None or not (policy.wakes or policy.patch):
        return []
    today = local(now_ms, zone_of(school.time_zone)).date()
    return planned_wakes(school, estate.classes, devices, policy, timetable, today, WAKE_DAYS)


def feed(school: School, holds: Sequence[Hold], wakes: Sequence[PlannedWake] = ()) -> bytes:
    """The feed as an iCalendar file. The same holds and wakes give the same bytes, whenever it is made."""
    wakes = not_frozen(wakes, holds)
    in_london = school.time_zone == "Europe/London"
    zone = zone_of(school.time_zone) if in_london else UTC
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Caretaker//planned//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"{school.title}: machines kept on, and woken")
    calendar.add("refresh-interval", timedelta(hours=1))
    if in_london and (holds or wakes):
        calendar.add_component(icalendar.Timezone.from_ical(_LONDON))
    titles = {room.name: room.title or room.name for room in school.rooms}
    for hold in holds:
        event = icalendar.Event()
        where = titles.get(hold.room, hold.room) if hold.room else school.title
        some = "some machines of " if hold.device or hold.device_class else ""
        event.add("uid", f"{hold.kind}-{hold.id}-{hold.from_ms}-{hold.room or 'all'}@{school.name}.caretaker")
        event.add("dtstamp", local(hold.from_ms, UTC))  # when it was written is of no use here, and this never changes
        event.add("dtstart", local(hold.from_ms, zone))
        event.add("dtend", local(hold.until_ms, zone))
        event.add("summary", f"{_KINDS[hold.kind]}: {some}{where}")
        event.add("transp", "TRANSPARENT")  # it does not make anybody busy
        calendar.add_component(event)
    for wake in wakes:
        calendar.add_component(_woken(wake, school, titles.get(wake.room, wake.room), zone))
    return bytes(calendar.to_ical())


def _woken(wake: PlannedWake, school: School, room: str, zone: tzinfo) -> icalendar.Event:
    """The event of one wake: from when waking begins until the machines are needed, or to the end of a patch window."""
    wall = zone_of(school.time_zone)
    begins, needed = (f"{local(at_ms, wall):%H:%M}" for at_ms in (wake.from_ms, wake.needed_ms))
    what_for = {
        "lesson": f"for the lesson {needed}",
        "at": f"to be on at {needed}",
    }.get(wake.kind, f"for the patch window {wake.rule}, until {local(wake.until_ms, wall):%H:%M}")
    event = icalendar.Event()
    event.add("uid", f"wake-{wake.kind}-{wake.rule}-{wake.needed_ms}-{wake.room}@{school.name}.caretaker")
    event.add("dtstamp", local(wake.from_ms, UTC))
    event.add("dtstart", local(wake.from_ms, zone))
    event.add("dtend", local(wake.until_ms, zone))
    event.add("summary", f"Machines of {room} are woken {begins} {what_for}")
    event.add("transp", "TRANSPARENT")
    return event


class Feeds:
    """A stage of the pipeline: keeps data/planned/SCHOOL.ics up to date, on ticks."""

    def __init__(
        self,
        db: sqlite3.Connection,
        estate: Estate,
        policies: Mapping[str, Policy],
        calendars: Calendars,
        folder: Path,
    ) -> None:
        self._db = db
        self._estate = estate
        self._policies = policies
        self._calendars = calendars
        self._folder = folder / FOLDER
        self._devices: dict[str, list[Device]] = {name: [] for name in estate.schools}
        for device in estate.devices.values():
            self._devices[device.school].append(device)
        self._written: dict[str, tuple[Timetable, date, list[Hold]]] = {}
        self._wakes: dict[str, tuple[Timetable, date, list[PlannedWake]]] = {}

    async def run(self, batch: Batch) -> None:
        """Write the feeds in which something changed. One that cannot be written is tried again at the next tick."""
        if not batch.tick:
            return
        schools = self._estate.schools
        try:
            timetables = {name: self._calendars.timetable(name) for name in schools}
            found = planned(self._db, timetables, batch.now_ms)
            changed = []
            for name, holds in found.items():
                today = local(batch.now_ms, zone_of(schools[name].time_zone)).date()
                known = self._written.get(name)
                if known is None or known[0] is not timetables[name] or known[1:] != (today, holds):
                    changed.append((name, timetables[name], today, holds))
            # What people wrote just now does not wait behind the plans of all other schools.
            changed.sort(key=lambda change: not self._is_planned(*change[:3]))
            planning = sum(self._is_planned(*change[:3]) for change in changed) + WORKED_OUT_AT_ONCE
            for name, timetable, today, holds in changed[: min(WRITTEN_AT_ONCE, planning)]:
                await asyncio.to_thread(self._write, name, timetable, today, holds, batch.now_ms)
        except (OSError, sqlite3.Error) as error:
            log.warning("the feeds of what is planned cannot be written", reason=str(error))

    def wakes_of(self, school: str) -> Sequence[PlannedWake]:
        """The wakes in a school's feed, whatever people may have frozen; none before its first tick."""
        known = self._wakes.get(school)
        return known[2] if known is not None else ()

    def _is_planned(self, name: str, timetable: Timetable, today: date) -> bool:
        known = self._wakes.get(name)
        return known is not None and known[0] is timetable and known[1] == today

    def _write(self, name: str, timetable: Timetable, today: date, holds: list[Hold], now_ms: int) -> None:
        school = self._estate.schools[name]
        if not self._is_planned(name, timetable, today):
            made = wakes(school, self._estate, self._devices[name], self._policies.get(name), timetable, now_ms)
            self._wakes[name] = timetable, today, made
        write(self._folder / f"{name}.ics", feed(school, holds, self._wakes[name][2]))
        self._written[name] = timetable, today, holds


def write(path: Path, content: bytes) -> None:
    """Put a file in place as a whole: whoever reads it meanwhile gets the old one. OSError when it cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
