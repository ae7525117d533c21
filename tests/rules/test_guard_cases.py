"""Every guard by a case written as data, and proof that no guard can be taken out without a case failing."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from caretaker_rules.energy import Decision, decide, judge
from caretaker_rules.guards import DOORS, GUARDS
from caretaker_rules.reasons import SENTENCES, Why
from rules_world import CLASSES, NOW_MS, case_snapshot, load_policy, machine, snapshot

CASES = tomllib.loads((Path(__file__).parent / "cases" / "guards.toml").read_text())["case"]
GUARDED = [case for case in CASES if "guard" in case]
NAMES = [guard.__name__ for guard in (*DOORS, *GUARDS)]


def as_expected(case: dict[str, object], decision: Decision) -> bool:
    """Whether a decision is what the case says."""
    return decision.verdict == case["verdict"] and [reason.why for reason in decision.reasons] == case["why"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: dict[str, object]) -> None:
    """A machine in this situation gets this verdict for these reasons."""
    world, policy, now_ms = case_snapshot(case)
    (decision,) = decide(world, policy, now_ms)
    assert as_expected(case, decision), [str(reason) for reason in decision.reasons]
    assert all(str(reason) for reason in decision.reasons)


@pytest.mark.parametrize("case", GUARDED, ids=lambda case: f"{case['guard']}: {case['name']}")
def test_case_fails_without_its_guard(case: dict[str, object]) -> None:
    """With its guard taken out, the case comes out otherwise: without a guard (not a door) the machine is switched."""
    world, policy, now_ms = case_snapshot(case)
    doors = [door for door in DOORS if door.__name__ != case["guard"]]
    guards = [guard for guard in GUARDS if guard.__name__ != case["guard"]]
    assert len(doors) + len(guards) == len(NAMES) - 1
    (decision,) = judge(world, policy, now_ms, doors, guards)
    assert not as_expected(case, decision)
    if len(guards) < len(GUARDS):
        assert decision.acts, [str(reason) for reason in decision.reasons]


def test_every_guard_has_a_case() -> None:
    """No guard is without a case that fails when it is taken out."""
    assert {case["guard"] for case in GUARDED} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_guard_that_fails_keeps_the_machine_on(name: str) -> None:
    """An error in a check is itself a reason to leave the machine on."""

    def broken(case: object) -> None:
        raise ZeroDivisionError

    doors = [broken if door.__name__ == name else door for door in DOORS]
    guards = [broken if guard.__name__ == name else guard for guard in GUARDS]
    world, policy, now_ms = case_snapshot(CASES[0])
    (decision,) = judge(world, policy, now_ms, doors, guards)
    assert not decision.acts
    assert [reason.why for reason in decision.reasons] == [Why.CHECK_FAILED]


def test_a_school_in_no_known_time_zone_keeps_everything_on() -> None:
    """Settings that slipped through every check cannot switch anything either."""
    world, policy, now_ms = case_snapshot(CASES[0])
    world = msgspec.structs.replace(world, school=msgspec.structs.replace(world.school, time_zone="Europe/Ashfield"))
    (decision,) = decide(world, policy, now_ms)
    assert [reason.why for reason in decision.reasons] == [Why.CHECK_FAILED]
    assert not decision.acts


def test_reasons_carry_figures_and_ages() -> None:
    """A shut-down says how long the machine was idle, against which limit, and how old the report was."""
    world, policy, now_ms = case_snapshot(CASES[0])
    (decision,) = decide(world, policy, now_ms)
    idle, free, hours, limits = decision.reasons
    assert (str(idle), idle.age_s) == ("idle 40 min, limit 30 min", 20)
    assert str(free) == "not booked, next Tue 18:00"
    assert str(hours) == "within the rule's hours mon-fri 16:30-07:30, sat-sun 00:00-24:00"
    assert str(limits) == ("within limits: 1 of 12 this minute, 1 of 1 of the room, 1 of 1 of the school")
    assert decision.rule == "after-hours"
    assert decision.rule_line == 13
    assert decision.policy_file.endswith("school.toml")
    assert (decision.warn_s, decision.idle_at_least_s) == (120, 1800)


def test_every_reason_has_a_sentence() -> None:
    """No reason reaches a screen without words."""
    assert set(SENTENCES) == set(Why)


def test_empty_school_decides_nothing() -> None:
    """No machines, no decisions."""
    assert decide(snapshot(classes=CLASSES), load_policy(), 0) == []


def test_decisions_keep_the_order_of_the_register() -> None:
    """One decision for each machine, in the order given."""
    machines = [machine(name=f"pc-{number:02}") for number in (3, 1, 2)]
    decisions = decide(snapshot(*machines), load_policy(), NOW_MS)
    assert [decision.device.device for decision in decisions] == ["pc-03", "pc-01", "pc-02"]
