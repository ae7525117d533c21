"""Who is told what, when: cases as data in alert_cases/, run through the telling steps; random days; and crashes."""

import random
from pathlib import Path

import pytest

from alert_world import TELLING, Case, World, at, lines, load_cases, run, said
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.alert_steps import PIPELINE
from caretaker_rules.alert_steps.heard import Memory
from caretaker_rules.alerting import Step, Telling, What

CASES = load_cases(Path(__file__).parent / "alert_cases")
DESK = next(alerts for file, alerts, _ in CASES if file == "desk")  # it has no quiet hours
PLACES = ("ict1", "ict1-01", "office", "hall", "ash")


def right(alerts: AlertsFile, case: Case, *without: Step) -> bool:
    """Whether exactly what is expected is told, with these steps left out."""
    steps = [step for step in PIPELINE if step not in without]
    return sorted(run(case, World(alerts, steps))) == sorted(case.expect)


@pytest.mark.parametrize(("file", "alerts", "case"), CASES, ids=[f"{file}: {case.name}" for file, _, case in CASES])
def test_exactly_those_are_told_who_should_be(file: str, alerts: AlertsFile, case: Case) -> None:
    """Every message of a case, and no other."""
    assert sorted(run(case, World(alerts))) == sorted(case.expect)


@pytest.mark.parametrize("step", TELLING, ids=lambda step: step.__name__)
def test_each_step_is_needed_by_some_case(step: Step) -> None:
    """Left out, at least one case comes out otherwise."""
    assert not all(right(alerts, case, step) for _, alerts, case in CASES)


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_before_the_commit_changes_nothing(seed: int) -> None:
    """A look whose messages were not kept is taken again: the same messages with the same ids, and none twice."""
    rng = random.Random(seed)
    file, alerts, case = CASES[rng.randrange(len(CASES))]
    world = World(alerts)
    once = run(case, World(alerts))
    look = world.look

    def crashing(now_ms: int) -> list[Telling]:
        """Takes the look two or three times, and keeps the last."""
        tried = [[telling.id for telling in world.try_look(now_ms)] for _ in range(rng.randrange(3))]
        kept = look(now_ms)
        assert all(ids == [telling.id for telling in kept] for ids in tried)
        return kept

    world.look = crashing  # type: ignore[method-assign]
    assert run(case, world) == once, file
    ids = [telling.id for telling in world.messages]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("seed", range(20))
def test_no_ghost_no_repeat_and_no_miss_in_any_order_of_events(seed: int) -> None:
    """Whatever happens, and with looks left out: each channel hears begin and end in turn, and the truth at last."""
    rng = random.Random(seed)
    world = World(DESK)
    words = ["acknowledged", "fixed", "reopened", "paused", "resumed", "fixed", "reopened"]
    now_ms = at("tue 09:00")
    numbers = range(1, 8)
    for number in numbers:
        world.happens(f"{said(now_ms)} opened {number} {rng.choice(['P1', 'P2', 'P3'])} {rng.choice(PLACES)}")
    if rng.random() < 0.5:
        world.happens(f"tue 09:10 silence ict1 until tue 09:{rng.randrange(15, 50)}")
    for _ in range(80):
        now_ms += 60_000
        for _ in range(rng.randrange(3)):
            world.happens(f"{said(now_ms)} {rng.choice(words)} {rng.choice(numbers)}")
        if rng.random() < 0.8:
            world.look(now_ms)
    for _ in range(30):  # it settles: delays, waits and intervals pass
        now_ms += 60_000
        world.look(now_ms)
    memory = Memory(telling.told for telling in world.messages)
    for uid, incident in world.incidents().items():
        for channel in world.alerts.default:
            heard = memory.of(uid, channel)
            assert heard.knows == incident.open, (uid, channel, lines(world.messages))
        for channel in ("ann", "bob", "head"):
            assert not memory.of(uid, channel).knows or incident.open
        for channel in {telling.channel for telling in world.messages}:
            assert _in_turn([t.what for t in world.messages if (t.uid, t.channel) == (uid, channel)])


def _in_turn(whats: list[str]) -> bool:
    """Whether each end follows a beginning of its own, and nothing begins twice."""
    begun = False
    for what in whats:
        if what == What.FIXED:
            if not begun:
                return False
            begun = False
        elif what in (What.OPENED, What.REOPENED):
            if begun and what == What.REOPENED:
                return False
            begun = True
        else:
            begun = True
    return True
