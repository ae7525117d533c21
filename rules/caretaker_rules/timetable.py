"""What a school's own files say of its days and rooms, as plain data. Who reads the files is not the core's business.

Kinds of day, in the order in which they are asked; the first that answers is the kind:

1. the school's `days` file, which names the kind of a date;
2. Saturday and Sunday: weekend;
3. a bank holiday of the school's country;
4. INSET days and closures, from estate.toml or a school calendar;
5. the terms: within one it is term, between two it is holiday, beyond them nobody knows.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum

from msgspec import Struct, field

from caretaker_rules.model import Hold, Room, School, Whose


class DayKind(StrEnum):
    """The kind of a school's day, as rules name it."""

    TERM = "term"
    INSET = "inset"
    HOLIDAY = "holiday"
    WEEKEND = "weekend"
    BANK_HOLIDAY = "bank_holiday"


class Lesson(Struct, frozen=True):
    """One lesson of a room's weekly timetable; `week` "" means every week. Nothing else of it is known to Caretaker."""

    weekday: int  # 0: Monday
    start_min: int
    end_min: int
    week: str = ""


class Shared(Struct, frozen=True, order=True):
    """A booking of a room's calendar that says whose it is, or for how many seats (None: all of them)."""

    from_ms: int
    until_ms: int
    whose: Whose = "host"
    seats: int | None = None


class Timetable(Struct, frozen=True, kw_only=True):
    """One school's days, lessons and bookings out of its files, for the days `first_day` to `last_day`.

    The default knows nothing: whatever a school has files for is then unknown, so booked (invariant I4).
    """

    first_day: date = date.max  # local days of the school for which calendars were worked out, both included
    last_day: date = date.min
    wrong: str = ""  # why the school's own files cannot be trusted; "": they were all read
    wrong_rooms: Mapping[str, str] = field(default_factory=dict)  # the same for a room's own calendar
    bank_holidays: frozenset[date] = frozenset()
    kinds: Mapping[date, DayKind] = field(default_factory=dict)  # from the `days` file
    closures: Mapping[date, DayKind] = field(default_factory=dict)  # from school calendars
    weeks: Mapping[date, str] = field(default_factory=dict)  # "A" or "B", by day or by Monday
    lessons: Mapping[str, tuple[Lesson, ...]] = field(default_factory=dict)  # by room
    bookings: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)  # UTC ms, sorted, apart
    freezes: tuple[Hold, ...] = ()  # exams
    shared: Mapping[str, tuple[Shared, ...]] = field(default_factory=dict)  # by room; only for figures of use

    def covers(self, day: date) -> bool:
        """Whether the calendars were worked out for this day."""
        return self.first_day <= day <= self.last_day

    def week_of(self, day: date) -> str:
        """The timetable week of a day; "" when the `days` file names neither the day nor its Monday."""
        return self.weeks.get(day) or self.weeks.get(day - timedelta(days=day.weekday()), "")


NO_TIMETABLE = Timetable()
"""Nothing was read."""


def has_files(school: School) -> bool:
    """Whether the school's days or lessons depend on files of its own."""
    return bool(school.calendars or school.days or school.timetable)


def why_days_unknown(school: School, timetable: Timetable, day: date) -> str:
    """Why the school's files say nothing certain of `day`; "" when they do, or when it has none."""
    if not has_files(school):
        return ""
    if timetable.wrong:
        return timetable.wrong
    return "" if timetable.covers(day) else "its files were not read for that day"


def why_room_unknown(room: Room, school: School, timetable: Timetable, first: date, last: date) -> str:
    """Why the files say nothing certain of a room between two days; "" when they do, or when it depends on none."""
    for day in (first, last):
        if why := why_days_unknown(school, timetable, day):
            return why
        if room.calendar and not timetable.covers(day):
            return "its calendar was not read for that day"
    return timetable.wrong_rooms.get(room.name, "")


def is_school_day(school: School, day: date, timetable: Timetable = NO_TIMETABLE) -> bool | None:
    """Whether lessons may take place on `day`. None: beyond the terms that were written down, so nobody knows.

    No terms at all: every day may be a school day, except closed days.
    """
    if day in timetable.kinds:
        return timetable.kinds[day] is DayKind.TERM
    if day in school.closed_days or day in school.inset_days or day in timetable.closures:
        return False
    if day in timetable.bank_holidays:
        return False
    if not school.terms:
        return True
    if any(term.starts <= day <= term.ends for term in school.terms):
        return True
    if day < min(term.starts for term in school.terms) or day > max(term.ends for term in school.terms):
        return None
    return False


def day_kind(school: School, day: date, timetable: Timetable = NO_TIMETABLE) -> DayKind | None:
    """The kind of a local day, by the order at the top of this file. None: nobody can tell, so no rule counts on it."""
    if why_days_unknown(school, timetable, day):
        return None
    if day in timetable.kinds:
        return timetable.kinds[day]
    if day.weekday() >= 5:
        return DayKind.WEEKEND
    if day in timetable.bank_holidays:
        return DayKind.BANK_HOLIDAY
    if day in school.inset_days:
        return DayKind.INSET
    if day in timetable.closures:
        return timetable.closures[day]
    if day in school.closed_days:
        return DayKind.HOLIDAY
    open_day = is_school_day(school, day, timetable)
    if open_day is None:
        return None
    return DayKind.TERM if open_day else DayKind.HOLIDAY


def booked_at(
    bookings: tuple[tuple[int, int], ...], at_ms: int, until_ms: int
) -> tuple[tuple[int, int] | None, int | None]:
    """The booking that is on at `at_ms` or starts by `until_ms`, and else the start of the next one (None: no more)."""
    # The first one that ends after `at_ms`: they are sorted and apart.
    place = bisect_right(bookings, at_ms, key=lambda span: span[1])
    if place == len(bookings):
        return None, None
    span = bookings[place]
    return (span, None) if span[0] <= until_ms else (None, span[0])
