"""`planned.ics`: what keeps a school's machines on, as a feed that people subscribe to in their own calendars.

Holds, exam freezes and maintenance of the last weeks and the next ones. Only kind, place and time go out: what somebody
typed as the reason may hold a name, and a feed is read by everyone who has its address.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import icalendar
import structlog

from caretaker_collector import records
from caretaker_collector.calendars import Calendars
from caretaker_collector.pipeline import Batch
from caretaker_rules.calendar import LOOK_AHEAD_DAYS, local, zone_of
from caretaker_rules.model import Estate, Hold, School
from caretaker_rules.timetable import Timetable

log = structlog.get_logger()

DAY_MS = 86_400_000
BACK_DAYS = 28
"""How long what is over stays in the feed, so that it does not vanish from people's calendars overnight."""
WRITTEN_AT_ONCE = 20
"""Feeds written in one tick: after a start there is one for each school."""
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


def feed(school: School, holds: Sequence[Hold]) -> bytes:
    """The feed as an iCalendar file. The same holds give the same bytes, whenever it is made."""
    in_london = school.time_zone == "Europe/London"
    zone = zone_of(school.time_zone) if in_london else UTC
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Caretaker//planned//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"{school.title}: machines kept on")
    calendar.add("refresh-interval", timedelta(hours=1))
    if in_london and holds:
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
    return bytes(calendar.to_ical())


class Feeds:
    """A stage of the pipeline: keeps data/planned/SCHOOL.ics up to date, on ticks."""

    def __init__(self, db: sqlite3.Connection, estate: Estate, calendars: Calendars, folder: Path) -> None:
        self._db = db
        self._schools = estate.schools
        self._calendars = calendars
        self._folder = folder / FOLDER
        self._written: dict[str, list[Hold]] = {}

    async def run(self, batch: Batch) -> None:
        """Write the feeds in which something changed. One that cannot be written is tried again at the next tick."""
        if not batch.tick:
            return
        try:
            found = planned(self._db, {name: self._calendars.timetable(name) for name in self._schools}, batch.now_ms)
            changed = [name for name, holds in found.items() if self._written.get(name) != holds]
            for name in changed[:WRITTEN_AT_ONCE]:
                await asyncio.to_thread(self._write, name, found[name])
        except (OSError, sqlite3.Error) as error:
            log.warning("the feeds of what is planned cannot be written", reason=str(error))

    def _write(self, name: str, holds: list[Hold]) -> None:
        write(self._folder / f"{name}.ics", feed(self._schools[name], holds))
        self._written[name] = holds


def write(path: Path, content: bytes) -> None:
    """Put a file in place as a whole: whoever reads it meanwhile gets the old one. OSError when it cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
