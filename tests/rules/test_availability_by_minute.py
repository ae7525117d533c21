"""The product's account agrees, to the minute, with one that walks over every minute of a month."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from availability_by_minute import MINUTE_MS, by_minute
from caretaker_contract.messages import Cause
from caretaker_rules.availability import Wanted, account
from caretaker_rules.timeline import Stretch, What
from rules_world import london_ms

DAYS = 31
PLANNED = [Cause.RULE, Cause.USER, Cause.MAINTENANCE, Cause.RESTART]
KINDS = [
    *((What.ON, Cause.UNKNOWN) for _ in range(3)),
    *((What.PLANNED_OFF, cause) for cause in PLANNED),
    (What.OFF, Cause.UNKNOWN),
    (What.LOST, Cause.UNKNOWN),
    (What.BLIND, Cause.UNKNOWN),
]
PERIODS = ("08:50", "09:50", "11:00", "13:10", "14:10", "19:00")  # the last one lies outside the hours of service


def hours_of(first_day, begin, end):
    """From `begin` to `end` by London's clock on each working day of the month."""
    days = [first_day + timedelta(days=number) for number in range(DAYS)]
    return [(london_ms(f"{day} {begin}"), london_ms(f"{day} {end}")) for day in days if day.weekday() < 5]


@st.composite
def months(draw):
    """A month of a machine: both months of clock changes, and one without."""
    first_day = draw(st.sampled_from([date(2026, 3, 1), date(2026, 10, 1), date(2026, 11, 1)]))
    begin_ms = london_ms(f"{first_day} 00:00")
    end_ms = london_ms(f"{first_day + timedelta(days=DAYS)} 00:00")
    length = (end_ms - begin_ms) // MINUTE_MS
    near = st.integers(0, length - 1)

    def spans(most, longest):
        found = draw(st.lists(st.tuples(near, st.integers(1, longest)), max_size=most))
        return [(begin_ms + at * MINUTE_MS, begin_ms + (at + long) * MINUTE_MS) for at, long in found]

    lessons = []
    for period in PERIODS:
        if draw(st.booleans()):
            lessons += [(at, at + 3_600_000) for at, _ in hours_of(first_day, period, "23:00")]
    borders = sorted(draw(st.sets(near, max_size=40)) | {0})
    # Half of the borders lie on the moments at which something else begins or ends, where mistakes live.
    moments = sorted(
        {begin for begin, _ in lessons} | {end for span in hours_of(first_day, "08:00", "17:00") for end in span}
    )
    on_edge = draw(st.lists(st.sampled_from(moments), max_size=10))
    borders = sorted({*borders, *((moment - begin_ms) // MINUTE_MS for moment in on_edge)})
    stretches = []
    for at, until in zip(borders, [*borders[1:], length], strict=True):
        what, cause = draw(st.sampled_from(KINDS))
        stretches.append(Stretch(begin_ms + at * MINUTE_MS, begin_ms + until * MINUTE_MS, what, cause))
    wanted = [
        Wanted(begin_ms + at * MINUTE_MS, None if lead is None else begin_ms + (at - lead) * MINUTE_MS)
        for at, lead in draw(st.lists(st.tuples(near, st.none() | st.integers(-60, 600)), max_size=10))
    ]
    counted = None
    if draw(st.booleans()):
        day = first_day + timedelta(days=draw(st.integers(0, DAYS - 1)))
        counted = (london_ms(f"{day} 00:00"), london_ms(f"{day + timedelta(days=1)} 00:00"))
    return {
        "stretches": stretches,
        "owed": [] if draw(st.integers(0, 9)) == 0 else hours_of(first_day, "08:00", "17:00"),
        "maintenance": spans(6, 3000),
        "lessons": lessons,
        "wanted": wanted,
        "user_off": draw(st.sampled_from(["until_woken", "until_lesson"])),
        "counted": counted,
    }


def in_minutes(told):
    """An account of the product in the words of the simple one."""
    sums = {
        name.removesuffix("_ms"): getattr(told, name) / MINUTE_MS
        for name in told.__struct_fields__
        if name.endswith("_ms")
    }
    outages = [
        (
            one.from_ms // MINUTE_MS,
            one.until_ms // MINUTE_MS,
            one.what.value,
            one.cause.value,
            one.began_ms // MINUTE_MS,
        )
        for one in told.outages
    ]
    return sums | {"faults": told.faults, "outages": outages}


@settings(max_examples=100, deadline=None)
@given(months())
def test_a_random_month_minute_by_minute(month):
    """Sums, lessons, outages with what and since when, and faults."""
    assert in_minutes(account(**month)) == by_minute(**month)


@settings(max_examples=30, deadline=None)
@given(months())
def test_the_days_of_a_month_add_up_to_the_month(month):
    """Counted day by day with what went before, nothing is counted twice or left out, faults neither."""
    whole = account(**(month | {"counted": None}))
    begin = month["stretches"][0].from_ms
    day_ms = 86_400_000
    days = [account(**(month | {"counted": (begin + n * day_ms, begin + (n + 1) * day_ms)})) for n in range(DAYS + 1)]
    for name in whole.__struct_fields__:
        if name != "outages":
            assert sum(getattr(day, name) for day in days) == getattr(whole, name), name
    assert {one for day in days for one in day.outages} == set(whole.outages)
    assert whole.owed_ms == whole.maintained_ms + whole.available_ms + whole.down_ms + whole.unseen_ms


def test_order_of_what_is_given_changes_nothing():
    """Spans may come in any order, overlap and repeat."""
    day = "2026-10-06"
    stretches = [Stretch(london_ms(f"{day} 00:00"), london_ms(f"{day} 23:00"), What.PLANNED_OFF, Cause.RULE)]
    lessons = [
        (london_ms(f"{day} {begin}"), london_ms(f"{day} {end}"))
        for begin, end in (("11:00", "12:00"), ("09:00", "10:00"))
    ]
    owed = [
        (london_ms(f"{day} {begin}"), london_ms(f"{day} {end}"))
        for begin, end in (("12:00", "17:00"), ("08:00", "13:00"))
    ]
    told = account(stretches, owed, [], lessons, [], "until_woken")
    assert told == account(stretches, owed[::-1] * 2, [], lessons[::-1] * 2, [], "until_woken")
    assert (told.owed_ms, told.down_ms) == (9 * 3_600_000, 8 * 3_600_000)


def test_nothing_known_is_nothing_owed():
    """An empty timeline gives an empty account, and owed time beyond a timeline is not counted."""
    owed = [(london_ms("2026-10-06 08:00"), london_ms("2026-10-06 17:00"))]
    assert account([], owed, [], [], [], "until_woken").figure.low is None
    short = [Stretch(london_ms("2026-10-06 00:00"), london_ms("2026-10-06 09:00"), What.ON)]
    assert account(short, owed, [], [], [], "until_woken").owed_ms == 3_600_000
    whole_day = (london_ms("2026-10-06 00:00"), london_ms("2026-10-07 00:00"))
    assert account(short, owed, [], [], [], "until_woken", whole_day).owed_ms == 3_600_000


@pytest.mark.parametrize("kind", [What.OFF, What.LOST])
def test_an_outage_of_three_days_is_one_fault_on_its_first_owed_day(kind):
    """Begun on Monday at eight in the evening: a fault of Tuesday at eight, and of no other day."""
    stretches = [
        Stretch(london_ms("2026-10-05 12:00"), london_ms("2026-10-05 20:00"), What.ON),
        Stretch(london_ms("2026-10-05 20:00"), london_ms("2026-10-09 00:00"), kind),
    ]
    owed = [(london_ms(f"2026-10-0{day} 08:00"), london_ms(f"2026-10-0{day} 17:00")) for day in range(5, 9)]
    found = []
    for day in range(5, 9):
        counted = (london_ms(f"2026-10-0{day} 00:00"), london_ms(f"2026-10-0{day + 1} 00:00"))
        told = account(stretches, owed, [], [], [], "until_woken", counted)
        found.append((told.faults, [one.began_ms for one in told.outages]))
    began = [london_ms("2026-10-05 20:00")]
    assert found == [(0, []), (1, began), (0, began), (0, began)]
