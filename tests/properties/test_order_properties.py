"""Order and repetition do not matter (invariant I2)."""

from hypothesis import given
from hypothesis import strategies as st

from caretaker_contract.messages import Cause, Gauges, Meters, PowerState
from caretaker_rules.model import Tracked
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.rollup import Reading, totals
from caretaker_rules.tracking import track
from rules_world import EPOCH, report

SETTINGS = PresenceSettings()
T = 1_790_000_000_000
STATES = [PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF]


@st.composite
def stories(draw, wild_clock=True):
    """A machine's reports as it made them: states, boots, meters that grow, and a clock that may jump."""
    reports, state, at_ms = [], PowerState.OFF, T
    boot, seq = 1, 0
    meters = {"in_use_s": 0, "idle_s": 0, "asleep_s": 0}
    for _ in range(draw(st.integers(1, 12))):
        spent_s = draw(st.integers(0, 4000))
        if state is not PowerState.OFF:
            meters[f"{state.value}_s"] += spent_s
        at_ms += spent_s * 1000
        if wild_clock:
            at_ms = max(0, at_ms + draw(st.sampled_from([0, 0, 0, -7_200_000, 7_200_000, -T])))
        was, state = state, draw(st.sampled_from(STATES))
        if was is PowerState.OFF and state is not PowerState.OFF and seq:
            boot, seq = boot + 1, 0
        seq += 1
        reports.append(
            report(
                seq,
                state,
                was,
                boot=boot,
                at_ms=at_ms,
                cause=draw(st.sampled_from([Cause.RULE, Cause.USER, Cause.HEARTBEAT])),
                meters=Meters(**meters),
                gauges=Gauges(idle_s=draw(st.integers(0, 5000))),
            )
        )
    return reports


def shuffled(draw, items):
    """Any order, any repetition, nothing lost."""
    return draw(st.permutations(items + draw(st.lists(st.sampled_from(items), max_size=8))))


def tell(reports, start=None):
    """What is known after these reports, each received 40 ms after it was sent, and the changes that were told."""
    tracked, changes = start or Tracked(), set()
    for one in reports:
        tracked, told = track(tracked, one, one.sent_ms + 40, SETTINGS)
        changes |= {(c.at_ms, c.from_state, c.to_state, c.cause, c.planned) for c in told}
    return tracked, changes


def without_link(tracked):
    """All but the moment at which the collector first met the machine, which is the collector's own affair."""
    presence = tracked.presence
    return [getattr(presence, name) for name in presence.__struct_fields__ if name != "link_ms"], tracked.telemetry


@given(st.data())
def test_any_order_and_repetition_of_reports_gives_the_same_state(data):
    """State, beginning, cause, readings and recorded changes are the same, also with clocks that jump."""
    reports = data.draw(stories())
    straight, changes = tell(reports)
    mixed, mixed_changes = tell(shuffled(data.draw, reports))
    assert without_link(mixed) == without_link(straight)
    assert mixed_changes == changes
    assert straight.presence.state is reports[-1].state


@given(st.data())
def test_any_order_over_a_reinstallation_gives_the_same_state(data):
    """Two agents of one machine, the second later by the clock: the second's newest report counts."""
    first = data.draw(stories(wild_clock=False))
    second = data.draw(stories(wild_clock=False))
    offset_ms = max(one.at_ms for one in first) - T + 1
    second = [
        report(
            one.seq,
            one.state,
            one.was,
            boot=one.boot,
            epoch="00000001",
            at_ms=one.at_ms + offset_ms,
            cause=one.cause,
            meters=one.meters,
            gauges=one.gauges,
        )
        for one in second
    ]
    straight, _ = tell(first + second)
    mixed, _ = tell(shuffled(data.draw, first + second))
    assert without_link(mixed)[1] == without_link(straight)[1]
    assert mixed.presence.state is straight.presence.state is second[-1].state
    assert mixed.presence.since_ms == straight.presence.since_ms


@given(st.data())
def test_any_order_and_repetition_of_readings_gives_the_same_totals(data):
    """Totals do not depend on arrival; their parts make up the span exactly, and none is below nought."""
    reports = data.draw(stories())
    readings = [
        Reading(
            EPOCH, one.boot, one.seq, one.at_ms, one.state, one.meters.in_use_s, one.meters.idle_s, one.meters.asleep_s
        )
        for one in reports
    ]
    start_ms = T + data.draw(st.integers(-5_000, 5_000)) * 1000
    end_ms = start_ms + data.draw(st.integers(1, 30_000)) * 1000
    straight = totals(readings, start_ms, end_ms)
    assert totals(shuffled(data.draw, readings), start_ms, end_ms) == straight
    parts = (straight.in_use_s, straight.idle_s, straight.asleep_s, straight.off_s, straight.blind_s)
    assert min(parts) >= 0
    assert sum(parts) == (end_ms - start_ms) // 1000


@given(st.data())
def test_lost_reports_do_not_change_how_much(data):
    """With a sound clock, the first and the last reading alone give the same metered seconds as all of them."""
    reports = data.draw(stories(wild_clock=False))
    readings = [
        Reading(
            EPOCH, one.boot, one.seq, one.at_ms, one.state, one.meters.in_use_s, one.meters.idle_s, one.meters.asleep_s
        )
        for one in reports
    ]
    kept = [
        reading for index, reading in enumerate(readings) if index in (0, len(readings) - 1) or data.draw(st.booleans())
    ]
    start_ms, end_ms = T - 1000, reports[-1].at_ms + 1000
    full, thin = totals(readings, start_ms, end_ms), totals(kept, start_ms, end_ms)
    assert (thin.in_use_s, thin.idle_s, thin.asleep_s) == (full.in_use_s, full.idle_s, full.asleep_s)
    grown = reports[-1].meters.idle_s - reports[0].meters.idle_s
    assert full.idle_s == grown
