"""A school's hours of service and lessons, also of months that are past: read from its files when they are needed."""

import asyncio
import hashlib
from datetime import date, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct, field

from caretaker_collector.calendars import read_or_doubt, signature_of
from caretaker_rules.calendar import Unknown, day_bookings, midnight_ms
from caretaker_rules.intervals import Span
from caretaker_rules.model import Estate, School
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla import month_days
from caretaker_rules.timetable import Timetable

LOOK_BACK_DAYS = 60
"""How long before a day the last word of a machine may lie, for what was needed since to count."""
AHEAD_DAYS = 62
"""How far beyond a month its calendar is read: clocks of its last incidents run on."""
MOST_MONTHS = 400
_DAY = timedelta(days=1)


class Calendar(Struct):
    """A school's hours of service and lessons, for one month and what surrounds it."""

    school: School
    clock: ServiceClock
    timetable: Timetable
    _lessons: dict[tuple[str, date], list[Span]] = field(default_factory=dict)

    def lessons(self, room: str, day: date) -> list[Span]:
        """Lessons and bookings of a room on a local day; none when the room or its calendar is not known."""
        key = (room, day)
        found = self._lessons.get(key)
        if found is None:
            known = next((each for each in self.school.rooms if each.name == room), None)
            booked = day_bookings(known, self.school, day, self.timetable) if known else []
            found = [] if isinstance(booked, Unknown) else [(each.from_ms, each.until_ms) for each in booked]
            self._lessons[key] = found
        return found

    def stamp(self, day: date) -> str:
        """A short hash of what figures of this day depend on beside the events."""
        level = self.clock.level(day)
        start_ms, end_ms = midnight_ms(day, self.clock.zone), midnight_ms(day + _DAY, self.clock.zone)
        lessons = [self.lessons(room.name, day) for room in self.school.rooms]
        made_of = [
            level.name if level else "",
            level.user_off if level else "",
            self.clock.owed(start_ms, end_ms),
            lessons,
        ]
        return hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:8]


class ServiceCalendars:
    """Calendars by school and month; a file that has changed is read again."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self._estate = estate
        self._folder = folder
        self._known: dict[tuple[str, date], tuple[tuple[object, ...], Calendar]] = {}

    def signature(self, school: School) -> tuple[object, ...]:
        """What changes when one of the school's files does."""
        return signature_of(school, self._folder)

    async def around(self, school: School, day: date) -> Calendar:
        """Hours and lessons around the month of a day; read again when one of the school's files has changed."""
        first, last = month_days(f"{day:%Y-%m}")
        signature = self.signature(school)
        known = self._known.get((school.name, first))
        if known is None or known[0] != signature:
            span = (first - timedelta(days=LOOK_BACK_DAYS + 1), last + timedelta(days=AHEAD_DAYS))
            read = await asyncio.to_thread(read_or_doubt, school, self._folder, *span)
            clock = ServiceClock.of(school, self._estate.service, read.timetable)
            known = (signature, Calendar(school, clock, read.timetable))
            while len(self._known) >= MOST_MONTHS:
                del self._known[next(iter(self._known))]
            self._known[school.name, first] = known
        return known[1]
