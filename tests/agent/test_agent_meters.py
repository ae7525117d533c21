"""Meters only grow, and every second of a machine's life lands in exactly one of them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from caretaker_agent.meters import Bank, Reading, Span, divide, state_of
from caretaker_contract.messages import Meters, PowerState

ON = st.sampled_from([PowerState.IN_USE, PowerState.IDLE])
AGES = st.none() | st.floats(0, 1e6)


def test_time_belongs_to_the_state_that_was_until_the_input_that_ended_it() -> None:
    before, now = Reading(1000, 1000), Reading(1015, 1015)
    assert divide(before, now, PowerState.IDLE, PowerState.IN_USE, 4, 300) == (4000, 11_000, 0)


def test_a_machine_falls_idle_at_the_limit_and_not_when_it_is_noticed() -> None:
    before, now = Reading(1000, 1000), Reading(1015, 1015)
    assert divide(before, now, PowerState.IN_USE, PowerState.IDLE, 307, 300) == (8000, 7000, 0)


def test_an_unknown_input_age_leaves_the_time_to_the_state_before() -> None:
    before, now = Reading(0, 0), Reading(10, 10)
    assert divide(before, now, PowerState.IN_USE, PowerState.IN_USE, None, 300) == (10_000, 0, 0)
    assert divide(before, now, PowerState.IDLE, PowerState.IN_USE, None, 300) == (10_000, 0, 0)


def test_sleep_is_what_the_boot_clock_has_more_than_the_awake_clock() -> None:
    before, now = Reading(1000, 1500), Reading(1010, 5110)
    assert divide(before, now, PowerState.IDLE, PowerState.IDLE, 9000, 300) == (0, 10_000, 3_600_000)


def test_a_clock_that_went_backwards_counts_nothing() -> None:
    assert divide(Reading(50, 90), Reading(20, 30), PowerState.IDLE, PowerState.IDLE, 999, 300) == (0, 0, 0)


def test_not_knowing_the_last_input_counts_as_in_use() -> None:
    assert state_of(None, 300) is PowerState.IN_USE
    assert state_of(299.9, 300) is PowerState.IN_USE
    assert state_of(300, 300) is PowerState.IDLE


def test_energy_is_counted_only_where_it_is_measured_and_not_while_asleep() -> None:
    bank = Bank()
    bank.add(PowerState.IDLE, 3_600_000)
    assert bank.read().energy_mwh is None
    bank.add(PowerState.IN_USE, 1_800_000, 90.0)
    bank.add(PowerState.ASLEEP, 3_600_000)
    bank.add_span(Span(0, 0, 3_600_000), 90.0)
    assert bank.read() == Meters(in_use_s=1800, idle_s=3600, asleep_s=7200, energy_mwh=45_000)


def test_time_off_counts_in_no_meter() -> None:
    bank = Bank()
    for state in (PowerState.OFF, PowerState.LOST, PowerState.UNKNOWN):
        bank.add(state, 1_000_000, 50.0)
    assert bank.read() == Bank().read()


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 5000), ON, AGES), max_size=30),
    st.floats(10, 1000),
)
def test_meters_never_fall_and_sum_to_the_time_that_passed(
    steps: list[tuple[float, float, PowerState, float | None]], idle_after_s: float
) -> None:
    bank, before, state = Bank(), Reading(0, 0), PowerState.IN_USE
    readings = [bank.read()]
    for awake_s, asleep_s, _, age_s in steps:
        now = Reading(before.awake_s + awake_s, before.since_boot_s + awake_s + asleep_s)
        new = state_of(age_s, idle_after_s)
        span = divide(before, now, state, new, age_s, idle_after_s)
        assert min(span) >= 0
        bank.add_span(span)
        before, state = now, new
        readings.append(bank.read())
    for earlier, later in itertools.pairwise(readings):
        assert later.in_use_s >= earlier.in_use_s
        assert later.idle_s >= earlier.idle_s
        assert later.asleep_s >= earlier.asleep_s
    total_ms = bank.in_use_ms + bank.idle_ms + bank.asleep_ms
    assert abs(total_ms - before.since_boot_s * 1000) <= 2 * len(steps)
