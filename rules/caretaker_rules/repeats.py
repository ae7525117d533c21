"""When a hold, freeze or maintenance is on that repeats: the same hours by the clock on the wall, each day or week.

A wall clock skips an hour in March and shows one twice in October. Where that leaves two readings of a start or an end,
the earlier start and the later end are taken: what was asked for is kept for longer, never for less (invariant I4).
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Literal

from msgspec import Struct

from caretaker_rules.calendar import local, zone_of

Every = Literal["day", "week"]
STEP_DAYS: dict[Every, int] = {"day": 1, "week": 7}


class Series(Struct, frozen=True, kw_only=True):
    """The first time (UTC ms), and how it comes again. `every` None: it does not."""

    from_ms: int
    until_ms: int
    time_zone: str
    every: Every | None = None
    last_day: date | None = None  # the last local day on which it may begin; None only where `every` is None
    resumes_ms: int = 0  # times that began before this are called off


def occurrences(series: Series, at_ms: int, by_ms: int) -> Iterator[tuple[int, int]]:
    """(from, until) of each time that is not over at `at_ms` and begins by `by_ms`, in order."""
    for from_ms, until_ms in _all(series, at_ms):
        if from_ms > by_ms:
            return
        if until_ms > at_ms and from_ms >= series.resumes_ms:
            yield from_ms, until_ms


def over_ms(series: Series) -> int:
    """When the last time of it is over."""
    if series.every is None or series.last_day is None:
        return series.until_ms
    last_ms = wall_ms(series.last_day + timedelta(days=1), time(), zone_of(series.time_zone))
    *_, (_, until_ms) = _all(series, max(series.from_ms, last_ms - STEP_DAYS[series.every] * 86_400_000))
    return until_ms


def _all(series: Series, at_ms: int) -> Iterator[tuple[int, int]]:
    """Every time from the first one, leaving out those that are long over at `at_ms`."""
    if series.every is None or series.last_day is None:
        yield series.from_ms, series.until_ms
        return
    zone, step = zone_of(series.time_zone), STEP_DAYS[series.every]
    begin, end = local(series.from_ms, zone), local(series.until_ms, zone)
    nights = (end.date() - begin.date()).days
    passed = (local(at_ms, zone).date() - begin.date()).days - nights - 1
    number = max(0, passed // step)
    while True:
        day = begin.date() + timedelta(days=number * step)
        if number and day > series.last_day:
            return
        if number == 0:
            yield series.from_ms, series.until_ms
        else:
            until_ms = wall_ms(day + timedelta(days=nights), end.time(), zone, later=True)
            yield wall_ms(day, begin.time(), zone), until_ms
        number += 1


def wall_ms(day: date, clock: time, zone: tzinfo, later: bool = False) -> int:
    """UTC ms of a moment on the wall clock; where there are two readings the earlier one, or the later."""
    moment = datetime.combine(day, clock, zone)
    both = [round(moment.replace(fold=fold).timestamp() * 1000) for fold in (0, 1)]
    return max(both) if later else min(both)
