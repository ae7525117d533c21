"""Hours of service a second time, deliberately simple: every minute is asked by itself whether it is owed.

It shares with the product the settings and nothing else: neither its calendar, its spans nor its kinds of day. Hours,
pauses and moments are whole minutes here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from caretaker_rules.model import School
from caretaker_rules.service import ServiceFile, ServiceLevel

MINUTE_MS = 60_000
Wall = tuple[int, date, int]
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass
class SlowService:
    """A school's hours of service."""

    school: School
    service: ServiceFile
    kinds: dict[date, str] = field(default_factory=dict)
    bank_holidays: frozenset[date] = frozenset()

    def owed_minutes(self, from_ms: int, until_ms: int) -> Iterator[int]:
        """The start of every owed minute."""
        for at_ms, day, minute in walls(self.school.time_zone, from_ms, until_ms):
            if self.owed(day, minute):
                yield at_ms

    def owed(self, day: date, minute: int) -> bool:
        """Whether service is owed when the wall shows this minute of this day."""
        level = self.level(day)
        hours = self.school.service_hours if level.hours is None else level.hours
        for text in hours:
            days, _, clock = text.partition(" ")
            start, end = (int(part[:2]) * 60 + int(part[3:]) for part in clock.split("-"))
            over_midnight = end <= start
            before = day - timedelta(days=1)
            if start <= minute and (minute < end or over_midnight):
                began = day
            elif over_midnight and minute < end:
                began = before
            else:
                continue
            if NAMES[began.weekday()] in named_days(days) and self.kind(began) in (None, *level.days):
                return True
        return False

    def level(self, day: date) -> ServiceLevel:
        """The level of a day."""
        name = self.school.service_level
        for change in self.school.levels:
            if day >= change.starts:
                name = change.level
        return next(level for level in self.service.levels if level.name == name)

    def kind(self, day: date) -> str | None:
        """The kind of a day; None: nobody knows."""
        if day in self.kinds:
            return self.kinds[day]
        if day.weekday() > 4:
            return "weekend"
        if day in self.bank_holidays:
            return "bank_holiday"
        if day in self.school.inset_days:
            return "inset"
        if day in self.school.closed_days:
            return "holiday"
        terms = self.school.terms
        if not terms or any(term.starts <= day <= term.ends for term in terms):
            return "term"
        between = min(term.starts for term in terms) < day < max(term.ends for term in terms)
        return "holiday" if between else None

    def used_ms(self, from_ms: int, until_ms: int, pauses: Sequence[tuple[int, int]]) -> int:
        """Owed time between two moments, pauses left out."""
        return sum(MINUTE_MS for at_ms in self.owed_minutes(from_ms, until_ms) if not paused(at_ms, pauses))

    def due_ms(self, from_ms: int, allowance_ms: int, pauses: Sequence[tuple[int, int]], until_ms: int) -> int | None:
        """When so much is used; None: not before `until_ms`."""
        for at_ms in self.owed_minutes(from_ms, until_ms):
            if not paused(at_ms, pauses):
                allowance_ms -= MINUTE_MS
                if allowance_ms <= 0:
                    return at_ms + MINUTE_MS
        return None


def named_days(text: str) -> list[str]:
    """The days of "sat-mon": sat, sun, mon."""
    first, _, last = text.partition("-")
    days = [first]
    while days[-1] != (last or first):
        days.append(NAMES[(NAMES.index(days[-1]) + 1) % 7])
    return days


def paused(at_ms: int, pauses: Sequence[tuple[int, int]]) -> bool:
    """Whether one of the pauses is on."""
    return any(begin <= at_ms < end for begin, end in pauses)


@lru_cache(maxsize=64)
def walls(zone: str, from_ms: int, until_ms: int) -> list[Wall]:
    """Every minute: UTC ms, and what the clock on the wall shows, as local day and minute of the day."""
    found: list[Wall] = []
    for at_ms in range(from_ms, until_ms, MINUTE_MS):
        wall = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone))
        found.append((at_ms, wall.date(), wall.hour * 60 + wall.minute))
    return found
