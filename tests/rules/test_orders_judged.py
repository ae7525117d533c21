"""What a person orders is judged by the guards and limits of the rules, but for two guards that are only for rules."""

import tomllib
from pathlib import Path

import pytest

from caretaker_contract.messages import Verb
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision, Snapshot, Verdict
from caretaker_rules.guards import GUARDS
from caretaker_rules.orders import NOT_FOR_PEOPLE, Order, comes_later, judge_order
from caretaker_rules.policy import Action, Policy
from caretaker_rules.reasons import Why
from caretaker_rules.timetable import Timetable
from rules_world import NOW_MS, asked, case_snapshot, hold, load_policy, machine, policy_from, snapshot, stop

ORDER = Order(word="order.1.0", action=Action.SHUT_DOWN, by='engineer ("dust")', warn_s=120)
CASES = tomllib.loads((Path(__file__).parent / "cases" / "guards.toml").read_text())["case"]
ONLY_FOR_RULES = {"no_rule", "outside_hours"} | {guard.__name__ for guard in NOT_FOR_PEOPLE}
KEPT_ON = [case for case in CASES if case.get("guard") and case["guard"] not in ONLY_FOR_RULES]


def judged(world: Snapshot, policy: Policy | None = None, order: Order = ORDER, now_ms: int = NOW_MS) -> list[Decision]:
    """The order for every machine of the world."""
    return judge_order(order, {device.address for device, _ in world.machines}, world, policy or load_policy(), now_ms)


def whys(decision: Decision) -> list[Why]:
    """The reasons of a decision."""
    return [reason.why for reason in decision.reasons]


@pytest.mark.parametrize("case", KEPT_ON, ids=lambda case: case["name"])
def test_what_keeps_a_machine_from_a_rule_keeps_it_from_a_person(case: dict[str, object]) -> None:
    """Each case of each guard, but for those that are only for rules, comes out as left on for a person too."""
    world, policy, now_ms = case_snapshot(case)
    (decision,) = judged(world, policy, now_ms=now_ms)
    assert not decision.acts
    assert whys(decision)[-1] is Why.ORDERED
    assert set(case["why"]) - {"not_idle_long_enough"} <= {why.value for why in whys(decision)}  # type: ignore[call-overload]


def test_only_the_guards_that_are_named_are_left_out() -> None:
    """A guard that somebody adds holds for people at once."""
    assert [guard.__name__ for guard in NOT_FOR_PEOPLE] == ["not_idle_long_enough", "asked_once"]
    assert set(NOT_FOR_PEOPLE) < set(GUARDS)


def test_a_person_needs_no_rule_no_hours_and_no_idle_limit() -> None:
    """At noon in a free room, a server class of no rule aside: idle for a minute is enough."""
    (decision,) = judged(snapshot(machine(room="office", idle="1 min")), policy_from('mode = "live"'))
    assert decision.verdict is Verdict.SHUT_DOWN
    assert whys(decision) == [Why.ORDERED, Why.WITHIN_LIMITS]
    assert str(decision.reasons[0]) == 'ordered by engineer ("dust")'
    assert (decision.rule, decision.warn_s, decision.episode) == ("", 120, "order.1.0")


def test_a_person_may_ask_again_in_the_same_idle_time_but_not_against_a_no() -> None:
    """What refused a rule may be asked by a person; somebody's no there counts for people too."""
    one = machine()
    refused = snapshot(one, asked={one[0].address: asked("20 min", step="refused")})
    vetoed = snapshot(one, asked={one[0].address: asked("20 min", step="vetoed")})
    assert judged(refused)[0].acts
    assert whys(judged(vetoed)[0]) == [Why.RECENT_VETO, Why.ORDERED]


def test_limits_mode_and_stop_switch_hold_for_people() -> None:
    """Half of the room at once; nothing where the policy only observes, or a person stopped."""
    room = [machine(name=f"pc-{number}", room="office") for number in range(4)]
    roomy = policy_from('mode = "live"\n[limits]\nschool_percent = 100\nroom_percent = 50\n')
    decisions = judged(snapshot(*room), roomy)
    assert [decision.acts for decision in decisions] == [True, True, False, False]
    assert [comes_later(decision) for decision in decisions] == [False, False, True, True]
    observe = judged(snapshot(*room), load_policy("observe.toml"))
    assert {whys(decision)[0] for decision in observe} == {Why.OBSERVE_ONLY}
    stopped = judged(snapshot(*room, stops=[stop("ash")]), roomy)
    assert {whys(decision)[0] for decision in stopped} == {Why.STOPPED}
    assert not any(decision.acts or comes_later(decision) for decision in (*observe, *stopped))


def test_an_order_for_no_machine_or_a_strange_one_decides_nothing() -> None:
    """An empty or unknown target set does nothing (I5)."""
    world = snapshot(machine())
    assert judge_order(ORDER, set(), world, load_policy(), NOW_MS) == []
    assert judge_order(ORDER, {Address("ash", "nowhere")}, world, load_policy(), NOW_MS) == []


def test_what_a_schools_own_calendar_freezes_is_frozen_for_people_too() -> None:
    """An exam that stands only in the school's calendar file."""
    exams = Timetable(freezes=(hold("freeze", room="office"),))
    (decision,) = judged(snapshot(machine(room="office"), timetable=exams))
    assert whys(decision) == [Why.FROZEN, Why.ORDERED]


def test_a_machine_that_is_off_is_not_asked() -> None:
    """It is told apart from those that stay on."""
    (decision,) = judged(snapshot(machine(state="off")))
    assert decision.verdict is Verdict.NOT_ON
    assert not comes_later(decision)


def test_a_limit_and_a_hold_together_do_not_come_later() -> None:
    """Only what a limit alone keeps back is tried again."""
    one = machine()
    pending = {one[0].address: asked("1 min", step="warned")}
    assert comes_later(judged(snapshot(one, asked=pending))[0])
    assert not comes_later(judged(snapshot(one, asked=pending, holds=[hold()]))[0])


def test_the_restart_that_ends_a_patch_window_passes_that_window_and_nothing_else() -> None:
    """The window keeps people's orders off and lets its own restart through, unless somebody works there."""
    policy = policy_from(
        'mode = "live"\n[[patch]]\nname = "tue"\nselect = { classes = ["desktop"] }\nhours = ["tue 17:00-17:30"]\n'
    )
    restart = Order(word="patch.tue.1", action=Action.RESTART, by="patch window tue", warn_s=300, patch_window=True)
    world = snapshot(machine(room="office", abilities=(Verb.RESTART,)))
    assert judged(world, policy, restart)[0].verdict is Verdict.RESTART
    by_person = Order(word="order.2.0", action=Action.RESTART, by="x", warn_s=300)
    assert whys(judged(world, policy, by_person)[0]) == [Why.PATCH_WINDOW, Why.ORDERED]
    worked_on = snapshot(machine(room="office", abilities=(Verb.RESTART,)), holds=[hold("maintenance")])
    assert whys(judged(worked_on, policy, restart)[0]) == [Why.MAINTENANCE, Why.ORDERED]
