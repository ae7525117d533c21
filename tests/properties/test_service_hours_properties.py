"""Hours of service agree with asking every minute by itself, on random schools, months and pauses."""

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caretaker_rules.calendar import midnight_ms, zone_of
from caretaker_rules.model import LevelChange, School, Term
from caretaker_rules.service import ServiceFile, ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.timetable import DayKind, Timetable
from slow_service import MINUTE_MS, NAMES, SlowService, paused

WEEKS = 3
STARTS = [
    ("Europe/London", date(2026, 10, 12)),  # the clocks go back on the 25th
    ("Europe/London", date(2027, 3, 15)),  # and forward on the 28th
    ("Europe/London", date(2026, 12, 14)),
    ("America/Havana", date(2027, 3, 1)),  # forward at midnight: no wall shows 00:00 on the 14th
    ("America/Havana", date(2026, 10, 19)),  # back at 01:00 to midnight
    ("Australia/Lord_Howe", date(2026, 9, 21)),  # by half an hour
]
"""Few, so that the walls of each are worked out once."""


@st.composite
def hours(draw: st.DrawFn) -> str:
    """Such as "fri-mon 22:15-06:00"."""
    first, last = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["", *NAMES]))
    start = draw(st.integers(0, 95)) * 15
    end = (start + draw(st.integers(1, 95)) * 15) % 1440
    days = f"{first}-{last}" if last else first
    return f"{days} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def levels() -> st.SearchStrategy[ServiceLevel]:
    """A level with any hours and kinds of day; the rest of it does not matter here."""
    return st.builds(
        ServiceLevel,
        name=st.just("a"),
        hours=st.none() | st.lists(hours(), min_size=1, max_size=3),
        days=st.lists(st.sampled_from(DayKind), min_size=1, max_size=5, unique=True),
        availability_target=st.just(1.0),
        priorities=st.just([]),
        matrix=st.just([]),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[ServiceClock, SlowService, int, int]:
    """A school with three weeks of it, for both implementations; from and until in UTC ms."""
    zone, first = draw(st.sampled_from(STARTS))

    def day(low: int = 0, high: int = WEEKS * 7) -> date:
        return first + timedelta(days=draw(st.integers(low, high)))

    service = ServiceFile(levels=[draw(levels()), ServiceLevel(**_fields(draw(levels())) | {"name": "b"})])
    term = Term(starts=day(-3, 7), ends=day(7, 10))
    terms = draw(st.sampled_from([[], [term], [term, Term(starts=day(12, 15), ends=day(15, 25))]]))
    school = School(
        name="ash",
        title="A",
        time_zone=zone,
        service_level="a",
        levels=[LevelChange(level="b", starts=day())] if draw(st.booleans()) else [],
        service_hours=draw(st.lists(hours(), min_size=1, max_size=2)),
        terms=terms,
        closed_days=[day()],
        inset_days=[day()],
    )
    kinds = {day(): draw(st.sampled_from(DayKind)) for _ in range(draw(st.integers(0, 3)))}
    free = frozenset(each for each in (day(), day()) if each.weekday() < 5)
    timetable = Timetable(first_day=first, last_day=first, bank_holidays=free, kinds=kinds)
    clock = ServiceClock.of(school, service, timetable)
    from_ms = midnight_ms(first, zone_of(zone))
    return clock, SlowService(school, service, dict(kinds), free), from_ms, from_ms + WEEKS * 7 * 86_400_000


def _fields(level: ServiceLevel) -> dict[str, object]:
    return {name: getattr(level, name) for name in level.__struct_fields__}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.data())
def test_the_product_agrees_with_asking_every_minute(
    world: tuple[ServiceClock, SlowService, int, int], data: st.DataObject
) -> None:
    clock, slow, first_ms, last_ms = world
    owed = list(slow.owed_minutes(first_ms, last_ms))
    found = clock.owed(first_ms, last_ms)
    assert [at_ms for begin, end in found for at_ms in range(begin, end, MINUTE_MS)] == owed

    moment = st.integers(0, (last_ms - first_ms) // MINUTE_MS).map(lambda minute: first_ms + minute * MINUTE_MS)
    length = st.integers(0, 5_000).map(lambda minutes: minutes * MINUTE_MS)
    from_ms, until_ms, allowance = data.draw(moment), data.draw(moment), data.draw(st.integers(1, 3_000))
    waits = data.draw(st.lists(st.tuples(moment, length), max_size=3))
    pauses = [(begin, begin + more) for begin, more in waits]
    running = [at_ms for at_ms in owed if from_ms <= at_ms and not paused(at_ms, pauses)]
    used = sum(1 for at_ms in running if at_ms < until_ms)
    assert clock.used_ms(from_ms, until_ms, pauses) == used * MINUTE_MS
    due_ms = clock.due_ms(from_ms, allowance * MINUTE_MS, pauses)
    if allowance <= len(running):
        assert due_ms == running[allowance - 1] + MINUTE_MS
        assert clock.used_ms(from_ms, due_ms, pauses) == allowance * MINUTE_MS
    else:
        assert due_ms is None or due_ms > last_ms
