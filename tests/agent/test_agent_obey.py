"""A command runs only when everything speaks for it, at most once, and never under somebody's hands."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_agent import obey
from caretaker_agent.obey import Act, Effect, Keyring, Moment, Note, Obedience, Resend, Say, Unwarn, View, Warn
from caretaker_contract import signing
from caretaker_contract.messages import Cause, Command, OutcomeReason, Range, Step, Verb, WarnText

KEY = signing.new_key()
RING = Keyring([signing.public_text(KEY)])
ABLE = frozenset(Verb) - {Verb.WAKE}
ISSUED_MS = 1_000_000_000
IDLE = View(2000.0)
NOW = Moment(ISSUED_MS + 1000, 50.0)


def later(seconds: float) -> Moment:
    return Moment(NOW.wall_ms + int(seconds * 1000), NOW.steady_s + seconds)


def still(seconds: float) -> View:
    """Nobody touched it for `seconds` more."""
    return View(2000.0 + seconds)


def device(allow: bool = True, **more: Any) -> Obedience:
    return Obedience("ash/pc-1", RING, ABLE, idle_after_s=300, allow_power_off=allow, **more)


def command(verb: Verb = Verb.SHUT_DOWN, number: int = 1, **more: Any) -> Command:
    given_ = {"id": f"{number:032x}", "device": "ash/pc-1", "verb": verb, "issued_ms": ISSUED_MS}
    return Command(**{**given_, "expires_ms": ISSUED_MS + 600_000, "warn_s": 60, **more})


def steps(effects: list[Effect]) -> list[str]:
    return [
        effect.step.value + ("" if effect.reason is OutcomeReason.NONE else f"/{effect.reason.value}")
        for effect in effects
        if isinstance(effect, Say)
    ]


def signed(wanted: Command) -> bytes:
    return signing.sign(wanted, KEY)


def test_a_shutdown_is_received_warned_about_and_done_after_the_countdown() -> None:
    obedience = device()
    effects = obedience.receive(signed(command()), IDLE, NOW)
    assert steps(effects) == ["received", "warned"]
    assert Warn(WarnText.AFTER_HOURS, 60, Verb.SHUT_DOWN) in effects
    assert obedience.tick(still(59), later(59)) == []
    effects = obedience.tick(still(60), later(60))
    assert effects == [Act(command(), dry_run=False)]
    assert steps(obedience.acted(True)) == ["done"]
    assert obedience.tick(still(61), later(61)) == []


def test_without_permission_to_power_off_everything_is_gone_through_as_a_dry_run() -> None:
    obedience = device(allow=False)
    obedience.receive(signed(command()), IDLE, NOW)
    assert obedience.tick(still(60), later(60)) == [Act(command(), dry_run=True)]
    assert steps(obedience.acted(True)) == ["done/dry_run"]


def test_a_machine_that_will_not_switch_is_a_failure_and_not_done() -> None:
    obedience = device()
    obedience.receive(signed(command(warn_s=0)), IDLE, NOW)
    assert steps(obedience.acted(False)) == ["failed/error"]


@pytest.mark.parametrize("verb", sorted(obey.POWER_VERBS))
@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (View(0.0), "in_use"),
        (View(299.0), "in_use"),
        (View(None), "cannot_tell"),
        (View(2000.0, None), "cannot_tell"),
        (View(2000.0, True), "inhibited"),
    ],
)
def test_a_machine_that_is_or_may_be_in_use_refuses(verb: Verb, view: View, reason: str) -> None:
    effects = device().receive(signed(command(verb, warn_s=0)), view, NOW)
    assert steps(effects) == [f"refused/{reason}"]
    assert not any(isinstance(effect, Act) for effect in effects)


def test_the_commands_own_idle_limit_holds_above_the_machines() -> None:
    assert steps(device().order(command(idle_at_least_s=2001), IDLE, NOW)) == ["refused/in_use"]
    assert steps(device().order(command(idle_at_least_s=2000), IDLE, NOW)) == ["received", "warned"]


@pytest.mark.parametrize("at_s", [0.5, 1, 30, 59.9, 60, 75])
def test_any_input_during_the_countdown_vetoes(at_s: float) -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    effects = obedience.tick(View(0.3), later(at_s + 3))
    assert steps(effects) == ["vetoed/user_input"]
    assert Unwarn() in effects
    assert obedience.tick(still(99), later(99)) == []


def test_input_that_is_over_by_the_next_look_still_vetoes() -> None:
    obedience = device()
    obedience.order(command(idle_at_least_s=300), View(300.0), NOW)
    assert steps(obedience.tick(View(290.0), later(300))) == ["vetoed/user_input"]


def test_a_look_that_comes_a_second_late_is_no_veto() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    assert obedience.tick(View(2028.6), later(30)) == []


@pytest.mark.parametrize(
    ("view", "reason"),
    [(View(None), "cannot_tell"), (View(2060.0, True), "inhibited"), (View(2060.0, None), "cannot_tell")],
)
def test_everything_is_checked_again_at_the_end(view: View, reason: str) -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    effects = obedience.tick(view, later(60))
    assert steps(effects) == [f"refused/{reason}"]
    assert Unwarn() in effects


def test_a_countdown_that_a_sleep_carried_past_its_expiry_is_refused() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    after_sleep = Moment(ISSUED_MS + 600_000 + 60_000, NOW.steady_s + 61)
    assert steps(obedience.tick(still(61), after_sleep)) == ["refused/expired"]


def test_one_countdown_at_a_time() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    assert steps(obedience.order(command(Verb.SLEEP, 2), still(5), later(5))) == ["refused/busy"]


def test_nothing_new_starts_while_the_machine_is_being_switched() -> None:
    obedience = device()
    obedience.order(command(warn_s=0), IDLE, NOW)
    assert steps(obedience.order(command(number=2), IDLE, NOW)) == ["refused/busy"]


def test_a_cancel_stops_the_countdown_it_names() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    effects = obedience.order(command(Verb.CANCEL, 2, target=command().id), still(5), later(5))
    assert [(s.command, s.step, s.reason) for s in effects if isinstance(s, Say)] == [
        (command().id, Step.VETOED, OutcomeReason.CANCELLED),
        (command(number=2).id, Step.DONE, OutcomeReason.NONE),
    ]
    assert Unwarn() in effects
    assert obedience.tick(still(99), later(99)) == []


def test_a_cancel_of_something_else_leaves_the_countdown_alone() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    assert steps(obedience.order(command(Verb.CANCEL, 2), still(5), later(5))) == ["failed/unable"]
    assert obedience.counting_down


def test_a_cancel_that_overtook_its_command_uses_it_up() -> None:
    obedience = device()
    assert steps(obedience.order(command(Verb.CANCEL, 2, target=command().id), IDLE, NOW)) == ["done"]
    assert steps(obedience.order(command(), IDLE, NOW)) == ["refused/repeated"]


@pytest.mark.parametrize("verb", sorted(ABLE))
def test_a_command_runs_at_most_once(verb: Verb) -> None:
    obedience = device()
    payload = signed(command(verb, ranges=[Range("00000001", 1, 1, 2)]))
    obedience.receive(payload, IDLE, NOW)
    assert steps(obedience.receive(payload, IDLE, NOW)) == ["refused/repeated"]


def test_single_use_survives_a_restart_of_the_agent() -> None:
    first = device()
    first.receive(signed(command()), IDLE, NOW)
    again = device(seen=json.loads(json.dumps(first.seen)))
    assert steps(again.receive(signed(command()), IDLE, NOW)) == ["refused/repeated"]


def test_a_used_command_is_not_forgotten_while_a_clock_may_be_set_back() -> None:
    obedience = device()
    obedience.receive(signed(command()), IDLE, NOW)
    day_later = Moment(NOW.wall_ms + 80_000_000, NOW.steady_s + 80_000)
    obedience.order(command(Verb.WARN, 2, expires_ms=day_later.wall_ms + 1), IDLE, day_later)
    assert steps(obedience.receive(signed(command()), IDLE, NOW)) == ["refused/repeated"]


def test_what_is_remembered_does_not_grow_for_ever() -> None:
    obedience = device()
    for number in range(1000):
        now = Moment(ISSUED_MS + number * 3_600_000, number * 3600.0)
        obedience.order(command(Verb.WARN, number, expires_ms=now.wall_ms + 1000), IDLE, now)
    assert len(obedience.seen) <= 26


def test_a_wrong_machine_a_stranger_and_an_old_command_are_refused_by_name() -> None:
    assert steps(device().receive(signed(command(device="ash/pc-2")), IDLE, NOW)) == ["refused/wrong_target"]
    stranger = signing.sign(command(), signing.new_key())
    assert steps(device().receive(stranger, IDLE, NOW)) == ["refused/unknown_key"]
    assert steps(device().receive(signed(command()), IDLE, later(600))) == ["refused/expired"]
    early = Moment(ISSUED_MS - 200_000, 50.0)
    assert steps(device().receive(signed(command()), IDLE, early)) == ["refused/not_yet"]


def test_a_forged_body_is_refused_and_does_not_use_up_the_real_command() -> None:
    real, other = json.loads(signed(command())), json.loads(signed(command(Verb.RESTART)))
    real["body"] = other["body"]
    obedience = device()
    assert steps(obedience.receive(json.dumps(real).encode(), IDLE, NOW)) == ["refused/bad_signature"]
    assert steps(obedience.receive(signed(command()), IDLE, NOW)) == ["received", "warned"]


def test_a_flood_of_worthless_commands_gets_few_answers() -> None:
    obedience, stranger = device(), signing.new_key()
    answers = 0
    for number in range(500):
        answers += len(steps(obedience.receive(signing.sign(command(number=number), stranger), IDLE, later(number))))
    assert answers == obey.UNPROVEN_PER_HOUR
    assert steps(obedience.receive(signed(command()), IDLE, later(400))) == ["received", "warned"]
    assert len(steps(obedience.receive(signing.sign(command(), stranger), IDLE, later(4100)))) == 1


def test_a_command_that_is_too_long_is_not_even_read_to_name_it() -> None:
    long = json.loads(signing.sign(command(), signing.new_key())) | {"more": "x" * 40_000}
    effects = device().receive(json.dumps(long).encode(), IDLE, NOW)
    assert steps(effects) == []
    assert isinstance(effects[0], Note)


def test_a_verb_that_this_machine_cannot_do_is_refused() -> None:
    assert steps(device().order(command(Verb.WAKE), IDLE, NOW)) == ["refused/unable"]
    unable = Obedience("ash/pc-1", RING, frozenset({Verb.WARN}), idle_after_s=300, allow_power_off=True)
    assert steps(unable.order(command(Verb.SLEEP), IDLE, NOW)) == ["refused/unable"]


def test_a_warning_alone_is_shown_also_on_a_machine_in_use() -> None:
    effects = device().order(command(Verb.WARN, warn_text=WarnText.ENGINEER), View(0.0), NOW)
    assert effects[0] == Warn(WarnText.ENGINEER, 60, None)
    assert steps(effects) == ["done"]


def test_a_replay_is_done_or_names_what_is_no_longer_kept() -> None:
    obedience = device()
    wanted = command(Verb.REPLAY, ranges=[Range("00000001", 1, 1, 9)])
    assert obedience.order(wanted, View(0.0), NOW) == [Resend(wanted)]
    assert steps(obedience.resent(wanted, [])) == ["done"]
    gone = [Range("00000001", 1, 1, 4)]
    (said,) = obedience.resent(wanted, gone)
    assert said == Say(wanted.id, Verb.REPLAY, Step.FAILED, OutcomeReason.NOT_KEPT, tuple(gone))


def test_giving_up_ends_the_countdown_and_lets_the_next_command_in() -> None:
    obedience = device()
    obedience.order(command(), IDLE, NOW)
    assert steps(obedience.abandon()) == ["failed/error"]
    assert obedience.abandon() == []
    assert steps(obedience.order(command(number=2), IDLE, NOW)) == ["received", "warned"]


@pytest.mark.parametrize(
    ("verb", "cause", "said"),
    [
        (Verb.SHUT_DOWN, Cause.RULE, Cause.RULE),
        (Verb.SLEEP, Cause.RULE, Cause.RULE),
        (Verb.SHUT_DOWN, Cause.MAINTENANCE, Cause.MAINTENANCE),
        (Verb.RESTART, Cause.RULE, Cause.RESTART),
        (Verb.SHUT_DOWN, Cause.USER, Cause.RULE),
    ],
)
def test_a_machine_says_why_it_leaves(verb: Verb, cause: Cause, said: Cause) -> None:
    assert obey.leaving_cause(command(verb, cause=cause)) is said


@given(st.binary(max_size=400))
def test_any_bytes_on_the_command_topic_are_survived_and_never_obeyed(payload: bytes) -> None:
    effects = device().receive(payload, IDLE, NOW)
    assert effects
    assert all(isinstance(effect, Note) for effect in effects)


LOOKS = st.lists(
    st.tuples(st.floats(0.2, 20), st.sampled_from(["still", "input", "unknown", "inhibited"])), min_size=1, max_size=40
)


@given(LOOKS, st.integers(0, 120))
def test_no_story_of_looks_switches_a_machine_that_was_touched_or_doubtful(
    looks: list[tuple[float, str]], warn_s: int
) -> None:
    obedience = device()
    idle_s, elapsed_s, clean = 2000.0, 0.0, True
    effects = obedience.order(command(warn_s=warn_s), View(idle_s), NOW)
    acted_at_s = 0.0 if any(isinstance(effect, Act) for effect in effects) else None
    for pause_s, what in looks:
        elapsed_s += pause_s
        idle_s = 0.0 if what == "input" else idle_s + pause_s
        clean = clean and what == "still"
        view = View(None if what == "unknown" else idle_s, what == "inhibited")
        if any(isinstance(effect, Act) for effect in obedience.tick(view, later(elapsed_s))):
            assert acted_at_s is None
            assert clean
            assert elapsed_s >= warn_s
            acted_at_s = elapsed_s
    if clean and elapsed_s >= warn_s:
        assert acted_at_s is not None


def test_obedience_of_ten_thousand_devices_shares_one_keyring() -> None:
    devices = [Obedience(f"ash/pc-{n}", RING, ABLE, idle_after_s=300, allow_power_off=True) for n in range(10_000)]
    wanted = msgspec.structs.replace(command(), device="ash/pc-9999")
    assert steps(devices[9999].receive(signed(wanted), IDLE, NOW)) == ["received", "warned"]
    assert steps(devices[1].receive(signed(wanted), IDLE, NOW)) == ["refused/wrong_target"]
