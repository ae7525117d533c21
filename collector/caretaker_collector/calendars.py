"""The schools' calendars, `days` files and timetables, read again whenever one of them changes.

A file that is missing, broken or not read yet makes what it might say unknown, so booked: machines stay on, and the
reason names the file and its line. What it said before it broke is not used. Nothing but days, hours and rooms is kept.
"""

import asyncio
import zlib
from collections.abc import Iterable
from datetime import date, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple

import structlog

from caretaker_collector.files.faults import Fault, layout
from caretaker_collector.files.ical import OWNERS, Event, Owners, read_calendar
from caretaker_collector.files.timetable_files import read_days, read_lessons
from caretaker_collector.pipeline import Batch
from caretaker_rules.calendar import LOOK_AHEAD_DAYS, local, zone_of
from caretaker_rules.model import Estate, Hold, Room, School
from caretaker_rules.timetable import NO_TIMETABLE, DayKind, Shared, Timetable

log = structlog.get_logger()

BACK_DAYS = 40
"""How far back calendars are worked out: the clock of an incident may have run through the last holidays."""
SLACK_DAYS = 7
"""Every so many days (and up to as many more, so that not all schools come at once) a calendar is worked out anew."""
WAIT_S = 1.0
"""How long (in real seconds) a tick waits for what is being read. What takes longer counts as booked meanwhile: a
school with 30 calendars of 40 weekly bookings each takes about two seconds."""
LONGEST_REASON = 160
_COUNTRIES = {"england": "ENG", "wales": "WLS", "scotland": "SCT", "northern_ireland": "NIR"}


class SchoolRead(NamedTuple):
    """What a school's files say, what is wrong with them, and what in them is not read."""

    timetable: Timetable
    faults: list[Fault]
    notes: list[str]


class _Known(NamedTuple):
    """What was read last, and of which files; `again` is the first day on which it has to be worked out anew."""

    signature: tuple[object, ...]
    again: date
    timetable: Timetable


class _Due(NamedTuple):
    """A school that has to be read, as its files looked when that was found out."""

    school: School
    signature: tuple[object, ...]
    first: date
    last: date


def bank_holidays(country: str, first: date, last: date) -> frozenset[date]:
    """The bank holidays of a country of the United Kingdom that are on working days.

    Where one falls on a weekend the library lists that day beside its substitute; gov.uk/bank-holidays does not.
    """
    if country not in _COUNTRIES:
        return frozenset()
    import holidays  # takes a while, and nobody without a calendar needs it

    days = holidays.country_holidays("GB", subdiv=_COUNTRIES[country], years=range(first.year, last.year + 1))
    return frozenset(day for day in days if day.weekday() < 5)


def read_school(school: School, folder: Path, first: date, last: date) -> SchoolRead:
    """All files of a school, worked out for its local days `first` to `last`. `folder` is that of estate.toml."""
    zone = zone_of(school.time_zone)
    rooms: dict[str, tuple[str, ...]] = {}
    for room in school.rooms:
        for word in {room.title.casefold(), room.name, room.name.replace("-", " ")} - {""}:
            rooms[word] = (*rooms.get(word, ()), room.name)
    faults: list[Fault] = []
    notes: list[str] = []
    kinds: dict[date, DayKind] = {}
    weeks: dict[date, str] = {}
    bookings: dict[str, list[tuple[int, int]]] = {}
    shared: dict[str, list[Shared]] = {}
    events: list[Event] = []
    lessons = {}
    for written in school.calendars:
        read = read_calendar(folder / written, zone, first, last, rooms)
        faults += read.faults
        events += read.events
        silent = sum(1 for event in read.events if not (event.kind or event.exam or event.rooms))
        if silent:
            notes.append(f"{folder / written}: events that name no room of ours, exam or kind of day: {silent}")
    if school.days:
        days = read_days(folder / school.days)
        kinds, weeks = days.kinds, days.weeks
        faults += days.faults
        notes += _ignored(folder / school.days, days.ignored)
    if school.timetable:
        found = read_lessons(folder / school.timetable, rooms, school.periods, frozenset(weeks.values()))
        lessons = found.lessons
        faults += found.faults
        notes += _ignored(folder / school.timetable, found.ignored)
        if found.elsewhere:
            notes.append(
                f"{folder / school.timetable}: rows about rooms that are not in estate.toml: {found.elsewhere}"
            )
    wrong = _reason(faults, folder)
    for event in events:
        for name in event.rooms:
            bookings.setdefault(name, []).append((event.from_ms, event.until_ms))
            shared.setdefault(name, []).extend(_shared([event]))
    wrong_rooms = {}
    for room in school.rooms:
        if room.calendar:
            read = read_calendar(folder / room.calendar, zone, first, last, {}, _owners(room))
            shared.setdefault(room.name, []).extend(_shared(read.events))
            bookings.setdefault(room.name, []).extend((event.from_ms, event.until_ms) for event in read.events)
            if read.faults:
                wrong_rooms[room.name] = _reason(read.faults, folder)
                faults += read.faults
    timetable = Timetable(
        first_day=first,
        last_day=last,
        wrong=wrong,
        wrong_rooms=wrong_rooms,
        bank_holidays=bank_holidays(school.bank_holidays, first, last),
        kinds=kinds,
        closures={} if wrong else _closures(events, zone),
        weeks=weeks,
        lessons=lessons,
        bookings={room: _apart(spans) for room, spans in bookings.items()},
        freezes=_freezes(school.name, events),
        shared={room: tuple(found) for room, found in shared.items() if found},
    )
    return SchoolRead(timetable, faults, notes)


def _owners(room: Room) -> Owners:
    """Whose a booking is by its category: as the room's settings say, beside the words that need none."""
    return {**OWNERS, **{word.casefold(): share.whose for share in room.shared for word in share.categories}}


def _shared(events: Iterable[Event]) -> list[Shared]:
    """Bookings that are not plainly the host's."""
    return [
        Shared(event.from_ms, event.until_ms, event.whose, event.seats)
        for event in events
        if event.whose != "host" or event.seats is not None
    ]


def _ignored(path: Path, columns: list[str]) -> list[str]:
    return [f"{path}: columns not read: {', '.join(columns)}"] if columns else []


def _reason(faults: list[Fault], folder: Path) -> str:
    """The first of the faults in one sentence, as reasons show it; "" for none."""
    if not faults:
        return ""
    first = faults[0]
    name = str(first.path.relative_to(folder)) if first.path.is_relative_to(folder) else first.path.name
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    place = f"{name}:{first.line}" if first.line else name
    return " ".join(f"{place} {first.subject} {first.wrong}".split())[:LONGEST_REASON] + more


def _closures(events: Iterable[Event], zone: tzinfo) -> dict[date, DayKind]:
    """The kind of each day that an all-day event names; a bank holiday outranks INSET, which outranks a holiday."""
    found: dict[date, DayKind] = {}
    order = [DayKind.BANK_HOLIDAY, DayKind.INSET, DayKind.HOLIDAY]
    for event in events:
        if event.kind is None:
            continue
        day, end = local(event.from_ms, zone).date(), local(event.until_ms, zone).date()
        while day < end:
            found[day] = min(event.kind, found.get(day, event.kind), key=order.index)
            day += timedelta(days=1)
    return found


def _freezes(school: str, events: Iterable[Event]) -> tuple[Hold, ...]:
    """Exams: nothing is switched in the rooms that they name, or in the whole school where they name none."""
    return tuple(
        Hold(
            id=0,
            kind="freeze",
            school=school,
            room=room,
            device=None,
            from_ms=event.from_ms,
            until_ms=event.until_ms,
            reason="exam in the school's calendar",
        )
        for event in events
        if event.exam
        for room in event.rooms or (None,)
    )


def _apart(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same time as sorted spans that do not touch."""
    apart: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if apart and begin <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((begin, end))
    return tuple(apart)


def check(estate: Estate, folder: Path, now_ms: int) -> tuple[list[Fault], list[str]]:
    """Faults and notes of every school's files, for `caretaker check`. They do not stop a collector from starting."""
    faults: list[Fault] = []
    notes: list[str] = []
    for school in estate.schools.values():
        read = read_at(school, folder, now_ms)
        faults += read.faults
        notes += read.notes
    return faults, notes


def read_at(school: School, folder: Path, now_ms: int) -> SchoolRead:
    """All files of a school, worked out for the weeks that matter at `now_ms`."""
    first, last = _window(school, now_ms)
    return read_school(school, folder, first, last)


def _window(school: School, now_ms: int) -> tuple[date, date]:
    today = local(now_ms, zone_of(school.time_zone)).date()
    spread = zlib.crc32(school.name.encode()) % (SLACK_DAYS + 1)
    return today - timedelta(days=BACK_DAYS), today + timedelta(days=LOOK_AHEAD_DAYS + SLACK_DAYS + spread)


class Calendars:
    """A stage of the pipeline: on each tick looks which files have changed, and reads those schools again."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self._schools = list(estate.schools.values())
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._due: dict[str, _Due] = {}
        self._reading: asyncio.Task[None] | None = None

    async def run(self, batch: Batch) -> None:
        """Bring everything up to date, on a tick."""
        if batch.tick:
            await self.refresh(batch.now_ms)

    def timetable(self, school: str) -> Timetable:
        """What the files of a school say, as of the last `refresh`."""
        known = self._known.get(school)
        return known.timetable if known is not None else NO_TIMETABLE

    async def refresh(self, now_ms: int, wait_s: float = WAIT_S) -> None:
        """Look at every file; what changed is read anew, away from the event loop. Waits for it `wait_s` at most."""
        for school in self._schools:
            signature = signature_of(school, self._folder)
            first, last = _window(school, now_ms)
            today = first + timedelta(days=BACK_DAYS)
            known = self._known.get(school.name)
            if known is None or known.signature != signature or not known.timetable.first_day < today < known.again:
                if known is not None and known.signature != signature:
                    # Until it is read again nothing is known: an old version is never used in its place.
                    del self._known[school.name]
                self._due[school.name] = _Due(school, signature, first, last)
        if self._due and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read(), name="calendars")
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading], timeout=wait_s)

    async def _read(self) -> None:
        while self._due:
            name = next(iter(self._due))
            due = self._due.pop(name)
            read = await asyncio.to_thread(read_or_doubt, due.school, self._folder, due.first, due.last)
            again = due.last - timedelta(days=LOOK_AHEAD_DAYS)
            self._known[name] = _Known(due.signature, again, read.timetable)
            if read.faults:
                log.warning("calendar files cannot be used: rooms count as booked", faults=layout(read.faults))


def signature_of(school: School, folder: Path) -> tuple[object, ...]:
    """What changes when a file of the school's does."""
    names = [*school.calendars, school.days, school.timetable, *(room.calendar for room in school.rooms)]
    return tuple(_looks(folder / name) for name in names if name)


def read_or_doubt(school: School, folder: Path, first: date, last: date) -> SchoolRead:
    """The same as `read_school`; whatever goes wrong in it is doubt about this school, not the end of the rules."""
    try:
        return read_school(school, folder, first, last)
    except Exception as error:
        wrong = f"its files could not be read ({type(error).__name__})"
        return SchoolRead(Timetable(first_day=first, last_day=last, wrong=wrong), [Fault(folder, 0, "", wrong)], [])


def _looks(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None: it is not there. A copy that keeps the old time has another inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
