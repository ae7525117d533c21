"""An iCalendar file as plain intervals. What an event is called, who made it and who comes is looked at and dropped.

The libraries are forgiving where Caretaker may not be: an event whose date cannot be read is dropped without a word,
so are all but one of several events with the same UID, and a time in a zone that nobody knows becomes a floating one. A
booking that is overlooked switches machines off, so each of these is a fault here, and a file with a fault is not used.
Faults name the line and the property, never the text: it may hold a name (invariant I10).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import icalendar
import recurring_ical_events

from caretaker_collector.files.faults import Fault
from caretaker_collector.files.toml_file import read_text
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import Whose
from caretaker_rules.timetable import DayKind

Words = Mapping[str, tuple[str, ...]]
"""A school's rooms by every word (in lower case) that may stand for them; two may share a title."""
HOUR_MS = 3_600_000
"""How long a booking is taken to last that does not say it."""
_PROPERTY = re.compile(r"[A-Za-z0-9-]+(?=[;:])")
_DATES = ("DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID")
_READ = {*_DATES, "STATUS", "SUMMARY", "LOCATION", "CATEGORIES", "UID"}
_TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}

# Words that make an all-day event a kind of day. All of the title must be said by them: "Holiday club" is no holiday,
# "Start of half term 2" is a term day, and taking a term day for a holiday would switch machines off in a lesson.
_SEASON = r"(?:autumn|spring|summer|winter|october|february|may|whitsun|christmas|easter|new year) "
_KINDS = (
    (DayKind.BANK_HOLIDAY, re.compile(rf"(?:(?:early |late )?{_SEASON}|may day |august )?bank holiday")),
    (DayKind.INSET, re.compile(r"(?:staff )?(?:inset(?: day| training)?|training day)(?: \d)?|non[- ]pupil day")),
    (
        DayKind.HOLIDAY,
        re.compile(
            rf"(?:{_SEASON})?(?:half[- ]term|holidays?)(?: holidays?| break| week)?|{_SEASON}break|school closed"
        ),
    ),
)
_SEATS = re.compile(r"(\d{1,4}) seats?")
Owners = Mapping[str, Whose]
"""Whose a booking is, by every category (in lower case) that says so."""
OWNERS: Owners = {
    "host": "host",
    "partner": "partner",
    "partners": "partner",
    "partner school": "partner",
    "community": "community",
}
"""Categories that need no setting."""
_EXAM = re.compile(r"\b(?:exams?|examinations?)\b")


class Event(NamedTuple):
    """One occurrence. All that is kept of it: when (UTC ms), and what it means for a school."""

    from_ms: int
    until_ms: int
    kind: DayKind | None = None  # an all-day event that says what kind of day it is
    exam: bool = False
    rooms: tuple[str, ...] = ()  # rooms of ours that its place names
    whose: Whose = "host"  # by its categories
    seats: int | None = None  # by a category such as "12 seats"; None: all of the room


class CalendarRead(NamedTuple):
    """What a file says; nothing of it counts when there are faults."""

    events: list[Event]
    faults: list[Fault]


class _Fault(Exception):
    """A line, a property and what is wrong with it."""

    def __init__(self, line: int, subject: str, wrong: str) -> None:
        super().__init__(wrong)
        self.line, self.subject, self.wrong = line, subject, wrong


def read_calendar(
    path: Path, zone: tzinfo, first: date, last: date, rooms: Words, owners: Owners = OWNERS
) -> CalendarRead:
    """The occurrences that touch the local days `first` to `last`, in order of time. Nothing is raised.

    Floating times are `zone`'s. An event whose place names some of `rooms` is about them.
    """
    try:
        text = read_text(path, "iCalendar")
    except ConfigError as error:
        return CalendarRead([], [Fault(path, 0, "", error.faults[0].partition("   ")[2].strip())])
    try:
        lines = list(_event_lines(text))
        calendar = _parse(text, lines)
        events = [_event(found, zone, rooms, owners) for found in _occurrences(calendar, lines, first, last)]
    except _Fault as fault:
        return CalendarRead([], [Fault(path, fault.line, fault.subject, fault.wrong)])
    return CalendarRead(sorted((event for event in events if event is not None), key=lambda event: event[:2]), [])


def _event_lines(text: str) -> Iterator[dict[str, int]]:
    """The line of each property of each event, in order; refuses what is not a whole calendar."""
    open_parts: list[str] = []
    event: dict[str, int] = {}
    complete = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line[0] in " \t":
            continue
        match = _PROPERTY.match(line)
        if match is None:
            raise _Fault(number, "", "this line is no property of a calendar" if open_parts else _NO_CALENDAR)
        name, part = match[0].upper(), line[match.end() + 1 :].strip().upper()
        if not open_parts and (complete or (name, part) != ("BEGIN", "VCALENDAR")):
            raise _Fault(number, "", "a second calendar, or more after its end" if complete else _NO_CALENDAR)
        if name == "BEGIN":
            open_parts.append(part)
            if part == "VEVENT":
                event = {"": number}
        elif name == "END":
            if open_parts.pop() != part:
                raise _Fault(number, "END", "ends another part than the one that is open")
            if part == "VEVENT":
                yield event
            complete = not open_parts
        elif open_parts[-1] == "VEVENT":
            event.setdefault(name, number)
    if not complete:
        raise _Fault(0, "", "END:VCALENDAR is missing, so it is not whole" if open_parts else _NO_CALENDAR)


_NO_CALENDAR = "not an iCalendar file: the first line is BEGIN:VCALENDAR"


def _parse(text: str, lines: list[dict[str, int]]) -> Any:
    try:
        calendar = icalendar.Calendar.from_ical(text)
    except ValueError:
        raise _Fault(0, "", "not an iCalendar file that can be read") from None
    events = calendar.walk("VEVENT")
    if len(events) != len(lines):
        raise _Fault(0, "", "events within other parts of a calendar are not understood")
    seen: set[str] = set()
    for number, (event, where) in enumerate(zip(events, lines, strict=True)):
        _check(event, where)
        uid = str(event.get("UID", ""))
        if "RECURRENCE-ID" not in event:
            if uid in seen:
                # Each counts: the library would keep the newest of them only.
                event["UID"] = uid = f"{uid}#{number}"
            seen.add(uid)
    return calendar


def _check(event: Any, where: dict[str, int]) -> None:
    for name, _ in event.errors:
        if name is None or name.upper() in _READ:
            raise _Fault(where.get((name or "").upper(), where[""]), name or "", "cannot be read")
    if "DTSTART" not in event:
        raise _Fault(where[""], "DTSTART", "missing: when does this event begin?")
    for name in _DATES:
        for value in _list(event.get(name)):
            if "TZID" in getattr(value, "params", {}) and any(_floating(moment) for moment in _moments(value)):
                raise _Fault(where.get(name, where[""]), f"{name};TZID", "a time zone that nobody knows")
    for rule in _list(event.get("RRULE")):
        if _TOO_OFTEN & {str(freq).upper() for freq in _list(rule.get("FREQ"))}:
            raise _Fault(where.get("RRULE", where[""]), "RRULE", "repeats more often than daily")
    start, end = event["DTSTART"].dt, event["DTEND"].dt if "DTEND" in event else None
    if end is not None and (isinstance(start, datetime) != isinstance(end, datetime) or _before(end, start)):
        raise _Fault(where.get("DTEND", where[""]), "DTEND", "before its start, or a date beside a time")


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _moments(value: Any) -> list[Any]:
    return [moment.dt for moment in value.dts] if hasattr(value, "dts") else [getattr(value, "dt", None)]


def _floating(moment: object) -> bool:
    return isinstance(moment, datetime) and moment.tzinfo is None


def _before(end: Any, start: Any) -> bool:
    if isinstance(start, datetime) and _floating(start) != _floating(end):
        return False
    return bool(end < start)


def _occurrences(calendar: Any, lines: list[dict[str, int]], first: date, last: date) -> list[Any]:
    def between(part: Any) -> list[Any]:
        return list(recurring_ical_events.of(part).between(first, last + timedelta(days=1)))

    try:
        return between(calendar)
    except Exception as whole:  # whatever a library cannot work out, it must not look like a free room
        for event, where in zip(calendar.walk("VEVENT"), lines, strict=True):
            alone = icalendar.Calendar()
            alone.add_component(event)
            try:
                between(alone)
            except Exception as error:
                name = "RRULE" if "RRULE" in where else "DTSTART"
                wrong = f"its recurrence cannot be worked out ({type(error).__name__})"
                raise _Fault(where[name], name, wrong) from None
        raise _Fault(0, "", f"its recurrences cannot be worked out ({type(whole).__name__})") from None


def _event(found: Any, zone: tzinfo, rooms: Words, owners: Owners) -> Event | None:
    """An occurrence as an interval; None when it was cancelled."""
    if str(found.get("STATUS", "")).upper() == "CANCELLED":
        return None
    start, end = found["DTSTART"].dt, found["DTEND"].dt
    if isinstance(start, datetime):
        from_ms, until_ms = _ms(start, zone), _ms(end, zone)
        until_ms = until_ms if until_ms > from_ms else from_ms + HOUR_MS
    else:
        # DTEND of whole days is the day after the last.
        from_ms, until_ms = midnight_ms(start, zone), midnight_ms(max(end, start + timedelta(days=1)), zone)
    words = [_plain(found.get("SUMMARY")), *(_plain(word) for word in _categories(found))]
    whole_days = all(local(at_ms, zone).strftime("%H:%M") == "00:00" for at_ms in (from_ms, until_ms))
    return Event(
        from_ms,
        until_ms,
        next((kind for kind, said in _KINDS if any(said.fullmatch(word) for word in words)), None)
        if whole_days
        else None,
        any(_EXAM.search(word) for word in words),
        _rooms_of(_plain(found.get("LOCATION")), rooms),
        next((owners[word] for word in words[1:] if word in owners), "host"),
        next((int(said[1]) for word in words[1:] if (said := _SEATS.fullmatch(word))), None),
    )


def _ms(moment: datetime, zone: tzinfo) -> int:
    return round((moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).timestamp() * 1000)


def _plain(value: object) -> str:
    return " ".join(str(value).casefold().split()) if value is not None else ""


def _categories(found: Any) -> list[object]:
    return [word for part in _list(found.get("CATEGORIES")) for word in getattr(part, "cats", [part])]


def _rooms_of(place: str, rooms: Words) -> tuple[str, ...]:
    parts = (place, *(part.strip() for part in re.split(r"[,;/]", place)))
    return tuple(dict.fromkeys(room for part in parts for room in rooms.get(part, ())))
