"""When a school's monthly review is due: on the first day of the next month on which its staff are in, by itself.

That is its first term or INSET day. In a month without one (August), or where nobody can tell (beyond the terms that
were written down, a calendar that cannot be read), it is the first weekday that is no bank holiday.
"""

from collections.abc import Collection
from datetime import date, timedelta

from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import School
from caretaker_rules.timetable import NO_TIMETABLE, DayKind, Timetable, day_kind

FROM_MIN = 6 * 60
"""Minutes after midnight from which on it is made: before people come, after the last sums of the month."""
MONTHS_BACK = 3
"""A collector that was away for longer makes no older ones by itself."""
LEAST_SEEN_MS = 7 * 86_400_000
"""Of a month of which Caretaker saw less than its last week none is made by itself: it would compare with nothing."""
_AT_WORK = frozenset({DayKind.TERM, DayKind.INSET})
_DAY = timedelta(days=1)


def first_working_day(school: School, month_first: date, timetable: Timetable = NO_TIMETABLE) -> date:
    """The first working day of the month that begins on `month_first`."""
    days = [
        month_first + _DAY * number for number in range(31) if (month_first + _DAY * number).month == month_first.month
    ]
    for day in days:
        if day_kind(school, day, timetable) in _AT_WORK:
            return day
    weekdays = [day for day in days if day.weekday() < 5 and day not in timetable.bank_holidays]
    return weekdays[0]


def due_from_ms(school: School, month: date, timetable: Timetable = NO_TIMETABLE) -> int:
    """From when on the review of the month that `month` is a day of is to be made. UTC ms."""
    day = first_working_day(school, _after(month), timetable)
    return midnight_ms(day, zone_of(school.time_zone)) + FROM_MIN * 60_000


def due(
    school: School, now_ms: int, done: Collection[str], timetable: Timetable = NO_TIMETABLE, since_ms: int = 0
) -> list[str]:
    """Months such as "2026-09" whose review should be there by now and is not among `done`; the oldest first.

    `since_ms`: when Caretaker began to see; months of which it saw less than a week are not due.
    """
    zone = zone_of(school.time_zone)
    month, found = local(now_ms, zone).date().replace(day=1), list[str]()
    for _ in range(MONTHS_BACK):
        over_ms = midnight_ms(month, zone)
        month = (month - _DAY).replace(day=1)
        name = f"{month:%Y-%m}"
        if name not in done and over_ms >= since_ms + LEAST_SEEN_MS and now_ms >= due_from_ms(school, month, timetable):
            found.append(name)
    return found[::-1]


def _after(month: date) -> date:
    """The first day of the month after."""
    return (month.replace(day=1) + _DAY * 31).replace(day=1)
