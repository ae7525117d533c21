"""A timeline has neither gap nor overlap, and order and repetition change nothing (invariant I2)."""

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.model import Transition
from caretaker_rules.presence import is_planned
from caretaker_rules.rollup import Reading, totals
from caretaker_rules.timeline import What, timeline

T = 1_790_000_000_000
HOUR_MS = 3_600_000
IN_USE, IDLE, ASLEEP, OFF = PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF
SAID = [IN_USE, IDLE, ASLEEP, OFF]
CAUSES = [Cause.RULE, Cause.USER, Cause.RESTART, Cause.UNKNOWN]


@st.composite
def machines(draw, wild=True):
    """Readings and own changes of a machine whose meters tell the truth. `wild`: clocks jump, agents are new."""
    readings, changes = [], []
    epoch, boot, seq, at_ms, state = "aaaaaaaa", 1, 0, T, OFF
    meters = {IN_USE: 0, IDLE: 0, ASLEEP: 0}
    for _ in range(draw(st.integers(1, 12))):
        spent_s = draw(st.integers(0, 4000))
        at_ms += spent_s * 1000
        if state is not OFF:
            meters[state] += spent_s
        if wild:
            at_ms = max(0, at_ms + draw(st.sampled_from([0, 0, 0, 0, -7_200_000, 7_200_000, -T])))
        was, state = state, draw(st.sampled_from(SAID))
        if wild and draw(st.integers(0, 9)) == 0:
            epoch, boot, seq, meters = f"{draw(st.integers(0, 3)):08}", 1, 0, dict.fromkeys(meters, 0)
        elif was is OFF and state is not OFF and seq:
            boot, seq = boot + 1, 0
        seq += 1
        readings.append(Reading(epoch, boot, seq, at_ms, state, meters[IN_USE], meters[IDLE], meters[ASLEEP]))
        if state is not was:
            cause = draw(st.sampled_from(CAUSES))
            changes.append(Transition(at_ms, was, state, cause, is_planned(state, cause)))
    return readings, changes


@st.composite
def concluded(draw):
    """Any changes that a collector may have concluded, also such as make no sense together."""
    changes = []
    for _ in range(draw(st.integers(0, 6))):
        was, state = draw(st.sampled_from(list(PowerState))), draw(st.sampled_from(list(PowerState)))
        cause = draw(st.sampled_from(CAUSES))
        at_ms = T + draw(st.integers(-3600, 40_000)) * 1000
        changes.append(Transition(at_ms, was, state, cause, is_planned(state, cause)))
    return changes


@st.composite
def sights(draw):
    """When Caretaker could see: spans, sorted and apart."""
    borders = sorted(draw(st.sets(st.integers(-7200, 50_000), max_size=8)))
    return [(T + begin * 1000, T + end * 1000) for begin, end in zip(borders[::2], borders[1::2], strict=False)]


@settings(max_examples=300, deadline=None)
@given(machines(), concluded(), sights(), st.integers(-7200, 40_000), st.integers(1, 50_000), st.integers(-100, 60_000))
def test_a_timeline_has_neither_gap_nor_overlap(machine, guesses, sight, start_s, length_s, known_s):
    """It covers what was asked for as far as it is known, and neighbours differ."""
    readings, changes = machine
    start_ms, end_ms, known_ms = T + start_s * 1000, T + (start_s + length_s) * 1000, T + known_s * 1000
    line = timeline(readings, [*changes, *guesses], start_ms, end_ms, known_ms, sight)
    if known_ms <= start_ms:
        assert line == []
        return
    assert (line[0].from_ms, line[-1].until_ms) == (start_ms, min(end_ms, known_ms))
    assert all(one.from_ms < one.until_ms for one in line)
    for earlier, later in pairwise(line):
        assert earlier.until_ms == later.from_ms
        assert (earlier.what, earlier.cause) != (later.what, later.cause)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_order_and_repetition_change_nothing(data):
    """Readings and changes mixed and repeated, clocks that jump and agents reinstalled included."""
    readings, changes = data.draw(machines())
    skew_ms = data.draw(st.sampled_from([0, 0, -1_500_000, 1_500_000]))  # readings are put right, changes are not
    changes = [msgspec.structs.replace(one, at_ms=one.at_ms + skew_ms) for one in changes]
    changes = [*changes, *data.draw(concluded())]
    sight = data.draw(sights())
    mixed = [
        data.draw(st.permutations(items + data.draw(st.lists(st.sampled_from(items), max_size=5)))) if items else []
        for items in (readings, changes)
    ]
    spans = (T - HOUR_MS, T + 12 * HOUR_MS, T + 11 * HOUR_MS)
    assert timeline(*mixed, *spans, sight) == timeline(readings, changes, *spans, sight)


@settings(max_examples=200, deadline=None)
@given(machines(wild=False), st.booleans())
def test_between_its_readings_a_timeline_agrees_with_the_meters(machine, with_changes):
    """As long on as the meters say in use or idle; the rest is off, or blind where no boot explains it."""
    readings, changes = machine
    start_ms, end_ms = readings[0].at_ms, readings[-1].at_ms
    line = timeline(readings, changes if with_changes else [], start_ms, end_ms, end_ms, [])
    spent = totals(readings, start_ms, end_ms)
    off = (What.PLANNED_OFF, What.OFF)
    lengths = {
        kind: sum(one.until_ms - one.from_ms for one in line if one.what in kinds) / 1000
        for kind, kinds in {"on": (What.ON,), "off": off, "blind": (What.BLIND,)}.items()
    }
    slack_s = 5 * len(readings)  # each neighbour's rounding
    assert abs(lengths["on"] - spent.in_use_s - spent.idle_s) <= slack_s
    assert abs(lengths["off"] - spent.off_s - spent.asleep_s) <= slack_s
    assert abs(lengths["blind"] - spent.blind_s) <= slack_s


@settings(max_examples=100, deadline=None)
@given(machines(), concluded(), sights(), st.integers(0, 30_000))
def test_a_part_of_a_timeline_is_the_same_as_that_part_of_a_longer_one(machine, guesses, sight, cut_s):
    """Where a span begins does not change what happened in it."""
    readings, changes = machine
    told = [*changes, *guesses]
    cut_ms, end_ms = T + cut_s * 1000, T + 12 * HOUR_MS
    long = timeline(readings, told, T - HOUR_MS, end_ms, end_ms, sight)
    short = timeline(readings, told, cut_ms, end_ms, end_ms, sight)
    rest = [(max(one.from_ms, cut_ms), one.until_ms, one.what, one.cause) for one in long if one.until_ms > cut_ms]
    assert [(one.from_ms, one.until_ms, one.what, one.cause) for one in short] == rest
