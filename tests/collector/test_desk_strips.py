"""A machine's day as spells: without a gap, and nothing guessed."""

from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_collector.desk.strips import Change, changes_by_device, spells_of
from caretaker_collector.points import transition_fields
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_dashboards.desk.views import Spell
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.intervals import both, union
from caretaker_rules.model import Transition
from caretaker_rules.shown import Shown, shown_as

LONDON = ZoneInfo("Europe/London")
IN_USE, IDLE, OFF, LOST = PowerState.IN_USE, PowerState.IDLE, PowerState.OFF, PowerState.LOST
HOUR = 3_600_000


def change(at_ms: int, to: PowerState, was: PowerState = PowerState.UNKNOWN, cause: Cause = Cause.INPUT) -> Change:
    """A change of state as the store has it."""
    return Change(at_ms, was, to, shown_as(to, cause, was))


def shown(spells: list[Spell]) -> list[tuple[int, int, str]]:
    """In hours, for people to read."""
    return [(spell.from_ms // HOUR, spell.until_ms // HOUR, spell.shown.value) for spell in spells]


def test_a_day_begins_as_the_newest_change_before_it_left_the_machine() -> None:
    before = change(-5 * HOUR, OFF, IDLE, Cause.RULE)
    changes = [change(8 * HOUR, IN_USE, OFF), change(9 * HOUR, IDLE, IN_USE), change(12 * HOUR, OFF, IDLE, Cause.USER)]
    assert shown(spells_of(changes, before, 0, 24 * HOUR, [])) == [
        (0, 8, "off_rule"),
        (8, 9, "in_use"),
        (9, 12, "idle"),
        (12, 24, "off_user"),
    ]


def test_before_the_first_word_of_all_it_is_unknown_and_blind_where_that_word_tells_of_something_earlier() -> None:
    assert shown(spells_of([change(8 * HOUR, IN_USE)], None, 0, 9 * HOUR, []))[0] == (0, 8, "unknown")
    assert shown(spells_of([change(8 * HOUR, IN_USE, IDLE)], None, 0, 9 * HOUR, []))[0] == (0, 8, "blind")
    assert shown(spells_of([], None, 0, 9 * HOUR, [])) == [(0, 9, "unknown")]


def test_what_nobody_saw_of_a_machine_that_was_on_is_blind_until_its_own_next_word_proves_it() -> None:
    unseen, begin = [(10 * HOUR, 12 * HOUR)], change(0, IN_USE)
    open_end = spells_of([begin], None, 0, 14 * HOUR, unseen)
    assert shown(open_end) == [(0, 10, "in_use"), (10, 12, "blind"), (12, 14, "in_use")]
    proved = spells_of([begin, change(13 * HOUR, IDLE, IN_USE)], None, 0, 14 * HOUR, unseen)
    assert shown(proved) == [(0, 13, "in_use"), (13, 14, "idle")]
    concluded = spells_of([begin, change(13 * HOUR, LOST, IN_USE)], None, 0, 14 * HOUR, unseen)
    assert shown(concluded) == [(0, 10, "in_use"), (10, 12, "blind"), (12, 13, "in_use"), (13, 14, "lost")]
    word_missing = spells_of([begin, change(13 * HOUR, IN_USE, OFF)], None, 0, 14 * HOUR, unseen)
    assert shown(word_missing)[1] == (10, 12, "blind")


def test_a_machine_that_went_off_is_off_until_it_says_otherwise_seen_or_not() -> None:
    spells = spells_of([change(1 * HOUR, OFF, IDLE, Cause.USER)], change(-1, IDLE), 0, 9 * HOUR, [(2 * HOUR, 8 * HOUR)])
    assert shown(spells) == [(0, 1, "idle"), (1, 9, "off_user")]


def test_what_comes_after_the_span_may_prove_its_end() -> None:
    after = change(25 * HOUR, IDLE, IN_USE)
    spells = spells_of([change(0, IN_USE), after], None, 0, 24 * HOUR, [(22 * HOUR, 24 * HOUR)])
    assert shown(spells) == [(0, 24, "in_use")]


STATES = st.sampled_from(list(PowerState))
TIMES = st.integers(-3 * HOUR, 30 * HOUR)


@given(
    st.lists(st.tuples(TIMES, STATES, STATES, st.sampled_from(list(Cause))), max_size=12),
    st.none() | st.tuples(STATES, st.sampled_from(list(Cause))),
    st.lists(st.tuples(TIMES, TIMES), max_size=4),
    st.integers(0, 25 * HOUR),
)
def test_spells_cover_the_day_without_gap_or_overlap_and_show_only_what_was_told(
    told: list[tuple[int, PowerState, PowerState, Cause]],
    first: tuple[PowerState, Cause] | None,
    spans: list[tuple[int, int]],
    until_ms: int,
) -> None:
    changes = sorted((change(*each) for each in told), key=lambda each: each.at_ms)
    before = change(-4 * HOUR, first[0], cause=first[1]) if first is not None else None
    unseen = union(spans)
    spells = spells_of(changes, before, 0, until_ms, unseen)
    assert [spell.from_ms for spell in spells] == [0, *(spell.until_ms for spell in spells[:-1])][: len(spells)]
    assert (spells[-1].until_ms if spells else 0) == until_ms
    assert all(spell.from_ms < spell.until_ms for spell in spells)
    assert all(one.shown is not other.shown for one, other in pairwise(spells))
    for spell in spells:
        newest = [each for each in ([before] if before else []) + changes if each.at_ms <= spell.from_ms]
        known = newest[-1].shown if newest else None
        if spell.shown is Shown.BLIND and known not in (Shown.BLIND, None):
            assert both([(spell.from_ms, spell.until_ms)], unseen), "blind only where nobody saw"
        elif known is None:
            assert spell.shown in (Shown.UNKNOWN, Shown.BLIND)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 10, 6), 24)])
def test_a_day_of_23_or_25_hours_is_covered_by_the_clock_on_the_wall(day: date, hours: int) -> None:
    start_ms, end_ms = midnight_ms(day, LONDON), midnight_ms(day + timedelta(days=1), LONDON)
    spells = spells_of([change(start_ms + 2 * HOUR, IN_USE, OFF)], change(start_ms - 1, OFF), start_ms, end_ms, [])
    assert [spell.until_ms - spell.from_ms for spell in spells] == [2 * HOUR, (hours - 2) * HOUR]


def test_points_are_read_as_boards_show_them_half_ones_left_out() -> None:
    tags = ("ash", "ict1", "desktop", "pc-01")
    fields = transition_fields(Transition(5, IDLE, OFF, Cause.RULE, True))
    old = {name: value for name, value in fields.items() if name != "shown"}
    points = [
        Point("transition", 9_000_000, tags, {**fields, "shown": "off_rule"}),
        Point("transition", 5_000_000, tags, old),
        Point("transition", 7_000_000, tags, {"to_state": "off"}),
    ]
    found = changes_by_device(points)["pc-01"]
    assert [(each.at_ms, each.shown) for each in found] == [(5, Shown.OFF_RULE), (9, Shown.OFF_RULE)]
