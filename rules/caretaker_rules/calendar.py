"""Local time: days and hours as people write them, and whether a room is booked.

Arithmetic is on the calendar, never on seconds: a school's day has 23 or 25 hours at the clock changes. A span is meant
by the clock on the wall, so 01:30 counts twice in October, and in March a lesson at 01:30 begins at 02:30.
What the calendar does not say counts as booked (invariant I4).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_rules.model import Room, School
from caretaker_rules.timetable import NO_TIMETABLE, Timetable, booked_at, is_school_day, why_room_unknown

DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
LOOK_AHEAD_DAYS = 63
"""How far ahead the next lesson is looked for: a summer holiday and a little more."""


class Span(Struct, frozen=True):
    """Days of the week (0: Monday) and minutes of the day. `end_min` beyond 24 h runs into the next morning."""

    days: frozenset[int]
    start_min: int
    end_min: int


class Booked(Struct, frozen=True):
    """A lesson is on, or starts within the lead. Both ends in UTC ms."""

    from_ms: int
    until_ms: int


class Free(Struct, frozen=True):
    """No lesson now or within the lead. `next_ms`: start of the next one, None: none in the next nine weeks."""

    next_ms: int | None


class Unknown(Struct, frozen=True):
    """The calendar cannot say, so it counts as booked. `why` completes the sentence "no timetable is known for ..."."""

    why: str


Booking = Booked | Free | Unknown


@lru_cache(maxsize=4096)
def parse_span(text: str) -> Span:
    """Read "mon-fri 16:30-07:30". ValueError says what is wrong and how to write it.

    An end at or before the start lies on the next day; 24:00 is the end of the day. "sat-mon" goes over the weekend.
    """
    days_text, _, hours_text = text.partition(" ")
    first, _, last = days_text.partition("-")
    start_text, dash, end_text = hours_text.partition("-")
    if first not in DAY_NAMES or (last or first) not in DAY_NAMES or not dash:
        raise ValueError(f'{text!r} is not of the form "mon-fri 16:30-07:30"')
    start_min, end_min = _minutes(start_text), _minutes(end_text)
    if start_min == DAY_MIN or end_min == start_min:
        raise ValueError(f'{text!r} has no clear length; write "{days_text} 00:00-24:00" for whole days')
    if end_min < start_min:
        end_min += DAY_MIN
    start_day = DAY_NAMES.index(first)
    count = (DAY_NAMES.index(last or first) - start_day) % 7 + 1
    return Span(frozenset((start_day + offset) % 7 for offset in range(count)), start_min, end_min)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    if not (len(hours) == 2 and len(minutes) == 2 and (hours + minutes).isascii() and (hours + minutes).isdigit()):
        raise ValueError(f"{text!r} is not a time such as 08:50")
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MIN:
        raise ValueError(f"{text!r} is not a time of the day (00:00 to 24:00)")
    return total


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; ZoneInfoNotFoundError (a KeyError) or ValueError when there is none."""
    return ZoneInfo(name)


def local(at_ms: int, zone: tzinfo) -> datetime:
    """The wall clock in `zone` at UTC `at_ms`."""
    return datetime.fromtimestamp(at_ms / 1000, zone)


def midnight_ms(day: date, zone: tzinfo) -> int:
    """UTC ms at which `day` begins in `zone`."""
    return _utc_ms(day, 0, zone)


def _utc_ms(day: date, minute: int, zone: tzinfo) -> int:
    """UTC ms of a minute of a local day; beyond 24 h it is on the next day's wall clock."""
    day += timedelta(days=minute // DAY_MIN)
    minute %= DAY_MIN
    moment = datetime.combine(day, time(minute // 60, minute % 60), zone)
    return round(moment.astimezone(UTC).timestamp() * 1000)


def in_hours(spans: Sequence[str], at_ms: int, zone: tzinfo, fits: Callable[[date], bool] | None = None) -> bool:
    """Whether the wall clock in `zone` is within one of `spans`. No spans: never.

    `fits` says of a day whether spans that start on it count at all; a night belongs to the day on which it starts.
    """
    moment = local(at_ms, zone)
    today, minute = moment.date(), moment.hour * 60 + moment.minute
    for text in spans:
        span = parse_span(text)
        for day, at_min in ((today, minute), (today - timedelta(days=1), minute + DAY_MIN)):
            inside = day.weekday() in span.days and span.start_min <= at_min < span.end_min
            if inside and (fits is None or fits(day)):
                return True
    return False


def booking(
    room: Room | None, school: School, at_ms: int, lead_s: float, timetable: Timetable = NO_TIMETABLE
) -> Booked | Free | Unknown:
    """Whether `room` has a lesson or a booking at `at_ms` or within `lead_s` seconds after it.

    Weekly lessons (estate.toml, the school's timetable) take place on school days; bookings of a calendar on the days
    that it names, in the holidays too. Unknown (counts as booked) when nothing is written down for the room, when a
    file that might say more cannot be read, or when the day lies before the first or after the last term that is
    written down: an old calendar must not look like a holiday.
    """
    if room is None:
        return Unknown("its room")
    zone = zone_of(school.time_zone)
    until_ms = at_ms + round(lead_s * 1000)
    today, last = local(at_ms, zone).date(), local(until_ms, zone).date()
    if why := why_room_unknown(room, school, timetable, today, last):
        return Unknown(f"{room.name} ({why})")
    weekly = room.lessons is not None or room.name in timetable.lessons
    if not weekly and not room.calendar:
        return Unknown(room.name)
    span, next_ms = booked_at(timetable.bookings.get(room.name, ()), at_ms, until_ms)
    if span is not None:
        return Booked(*span)
    found = _weekly(room, school, at_ms, until_ms, timetable) if weekly else Free(None)
    if not isinstance(found, Free):
        return found
    starts = [start for start in (next_ms, found.next_ms) if start is not None]
    return Free(min(starts, default=None))


def _lessons(room: Room, timetable: Timetable) -> list[tuple[frozenset[int], int, int, str]]:
    """Weekly lessons from both sources: weekdays, minutes from and to, week."""
    spans = [parse_span(text) for text in room.lessons or ()]
    return [(span.days, span.start_min, span.end_min, "") for span in spans] + [
        (frozenset({lesson.weekday}), lesson.start_min, lesson.end_min, lesson.week)
        for lesson in timetable.lessons.get(room.name, ())
    ]


def _weekly(room: Room, school: School, at_ms: int, until_ms: int, timetable: Timetable) -> Booked | Free | Unknown:
    """What the weekly lessons of the room say."""
    zone = zone_of(school.time_zone)
    today = local(at_ms, zone).date()
    next_ms: int | None = None
    lessons = _lessons(room, timetable)
    # From yesterday, whose last lesson may run past midnight.
    for offset in range(-1, LOOK_AHEAD_DAYS):
        day = today + timedelta(days=offset)
        open_day = is_school_day(school, day, timetable)
        near = _utc_ms(day, 0, zone) <= until_ms
        if not (lessons or near):
            break  # nothing is on later, and what nobody knows of later days is not asked
        if open_day is None and offset >= 0 and near:
            return Unknown(f"{day.day} {day:%b %Y} (no term is written down)")
        if not open_day or (next_ms is not None and offset > 1):
            continue
        week = timetable.week_of(day)
        for days, start_min, end_min, of_week in lessons:
            if day.weekday() not in days or (of_week and week and of_week != week):
                continue
            from_ms, end_ms = _utc_ms(day, start_min, zone), _utc_ms(day, end_min, zone)
            if of_week and not week:
                if from_ms <= until_ms and at_ms < end_ms:
                    return Unknown(f"{room.name} (no week is written down for {day.day} {day:%b %Y})")
                continue
            if from_ms <= until_ms and at_ms < end_ms:
                return Booked(from_ms, end_ms)
            if from_ms > until_ms and (next_ms is None or from_ms < next_ms):
                next_ms = from_ms
        if next_ms is not None and offset >= 1:
            break
    return Free(next_ms)


def day_bookings(room: Room, school: School, day: date, timetable: Timetable = NO_TIMETABLE) -> list[Booked] | Unknown:
    """Every lesson and booking of a room that is on at some time of a local day, in order; as `booking` sees it."""
    zone = zone_of(school.time_zone)
    at_ms, end_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
    found: list[Booked] = []
    while at_ms < end_ms:
        now = booking(room, school, at_ms, 0, timetable)
        if isinstance(now, Unknown):
            return now
        if isinstance(now, Booked):
            found.append(now)
            at_ms = now.until_ms
        elif now.next_ms is None:
            break
        else:
            at_ms = now.next_ms
    return found


def moment_text(at_ms: int, zone: tzinfo) -> str:
    """A moment as people say it: "Wed 08:50"."""
    return f"{local(at_ms, zone):%a %H:%M}"
