"""The truth of a machine is exact to the millisecond, and knows whether a switch-off was safe."""

import pytest

from caretaker_contract.messages import Cause, PowerState, Verb
from caretaker_simulator.habits import Act, Habits, Parting
from caretaker_simulator.machine import Machine
from caretaker_simulator.truth import DeviceTruth

IN_USE, IDLE, ASLEEP, OFF = PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF
T = 1_800_000_000_000
MINUTE = 60_000


def machine(state: PowerState = OFF) -> Machine:
    return Machine(Habits(idle_after_s=300, boot_s=45), False, T, DeviceTruth("0" * 8, T, state))


def live(body: Machine, until_ms: int, *steps: tuple[int, Act, int]) -> None:
    """Apply steps and everything that falls due between them."""
    for step in [*steps, (until_ms, None, 0)]:
        while body.due_ms <= step[0]:
            body.run(body.due_ms)
        if step[1] is not None:
            body.apply(step)


def test_a_visit_is_off_then_in_use_until_five_minutes_after_the_last_key_then_idle() -> None:
    body = machine()
    live(
        body,
        T + 30 * MINUTE,
        (T + MINUTE, Act.ARRIVE, 0),
        (T + MINUTE, Act.TYPE, T + 10 * MINUTE),
        (T + 12 * MINUTE, Act.LEAVE, Parting.WALK),
    )
    up = T + MINUTE + 45_000
    assert body.truth.intervals(T + 30 * MINUTE) == [
        (T, up, OFF),
        (up, T + 15 * MINUTE, IN_USE),
        (T + 15 * MINUTE, T + 30 * MINUTE, IDLE),
    ]
    assert body.truth.totals_ms(T + 14 * MINUTE, T + 20 * MINUTE) == {
        IN_USE: MINUTE,
        IDLE: 5 * MINUTE,
        ASLEEP: 0,
        OFF: 0,
    }


def test_states_add_up_to_wall_time_for_any_window_of_its_life() -> None:
    body = machine()
    live(body, T + 60 * MINUTE, (T + 3, Act.ARRIVE, 0), (T + 20 * MINUTE + 7, Act.LEAVE, Parting.SLEEP))
    for start, end in ((0, 60), (5, 40), (21, 22)):
        sums = body.truth.totals_ms(T + start * MINUTE, T + end * MINUTE)
        assert sum(sums.values()) == (end - start) * MINUTE


def test_a_switch_off_while_somebody_types_is_unsafe() -> None:
    body = machine()
    live(body, T + 10 * MINUTE, (T, Act.ARRIVE, 0), (T, Act.TYPE, T + 20 * MINUTE))
    body.obey(T + 10 * MINUTE, Verb.SHUT_DOWN, Cause.RULE)
    assert body.state is OFF
    assert body.truth.unsafe == 1


def test_a_switch_off_within_the_idle_threshold_after_somebody_left_is_unsafe() -> None:
    body = machine()
    live(body, T + 12 * MINUTE, (T, Act.ARRIVE, 0), (T, Act.TYPE, T + 9 * MINUTE), (T + 10 * MINUTE, Act.LEAVE, 0))
    body.obey(T + 12 * MINUTE, Verb.SLEEP, Cause.RULE)
    assert body.truth.unsafe == 1


def test_a_switch_off_while_somebody_sits_and_reads_for_an_hour_is_unsafe() -> None:
    body = machine()
    live(body, T + 70 * MINUTE, (T, Act.ARRIVE, 0), (T, Act.TYPE, T + 9 * MINUTE))
    assert body.state is IDLE
    body.obey(T + 70 * MINUTE, Verb.SHUT_DOWN, Cause.RULE)
    assert body.truth.unsafe == 1


def test_a_switch_off_of_an_idle_machine_with_nobody_there_is_safe() -> None:
    body = machine()
    live(body, T + 30 * MINUTE, (T, Act.ARRIVE, 0), (T, Act.TYPE, T + 9 * MINUTE), (T + 10 * MINUTE, Act.LEAVE, 0))
    body.obey(T + 30 * MINUTE, Verb.SHUT_DOWN, Cause.RULE)
    assert body.truth.unsafe == 0
    assert body.truth.switched_off == {"shut_down": 1}


def test_the_next_user_switches_on_again_what_a_rule_switched_off() -> None:
    body = machine(IDLE)
    body.obey(T + MINUTE, Verb.SHUT_DOWN, Cause.RULE)
    live(body, T + 20 * MINUTE, (T + 15 * MINUTE, Act.ARRIVE, 0), (T + 15 * MINUTE, Act.TYPE, T + 18 * MINUTE))
    assert body.state is IN_USE
    assert body.truth.boots == 1


@pytest.mark.parametrize(("act", "boots"), [(Act.CRASH, 2), (Act.POWER_CUT, 1)])
def test_a_crash_or_power_cut_is_off_at_once_and_nobody_can_start_it_without_mains(act: Act, boots: int) -> None:
    body = machine()
    live(
        body,
        T + 20 * MINUTE,
        (T, Act.ARRIVE, 0),
        (T, Act.TYPE, T + 20 * MINUTE),
        (T + 5 * MINUTE, act, 0),
        (T + 6 * MINUTE, Act.TYPE, T + 20 * MINUTE),
    )
    assert body.truth.state_at(T + 5 * MINUTE) is OFF
    assert body.truth.boots == boots
    if act is Act.POWER_CUT:
        live(body, T + 30 * MINUTE, (T + 25 * MINUTE, Act.POWER_BACK, 0))
        assert body.truth.boots == 2


class Networks:
    """A listener that remembers what it was told of the network."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []

    def changed(self, at_ms: int, state: PowerState, was: PowerState, cause: Cause, graceful: bool) -> None:
        pass

    def network(self, at_ms: int, up: bool) -> None:
        self.told.append((at_ms - T, up))

    def clock_set(self, at_ms: int, offset_ms: int) -> None:
        pass


def test_cuts_nest_and_the_end_of_one_that_began_before_this_life_means_nothing() -> None:
    body = machine(IDLE)
    ears = Networks()
    body.listener = ears
    acts = [Act.NET_BACK, Act.NET_CUT, Act.NET_CUT, Act.NET_BACK, Act.NET_BACK, Act.NET_CUT]
    for second, act in enumerate(acts):
        body.apply((T + second, act, 0))
    assert ears.told == [(1, False), (4, True), (5, False)]
