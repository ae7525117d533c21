"""Cases for a policy as data: what passes, what fails and how it says so, and what a day in words does."""

import tomllib

import msgspec
import pytest

from caretaker_rules.cases import CaseFile, CaseWritten, run_case
from caretaker_rules.decisions import Verdict
from caretaker_rules.policy import Mode
from caretaker_rules.reasons import Why
from rules_world import POLICIES, load_policy, policy_from

FILES = sorted(POLICIES.glob("*.test.toml"))
CASES = [
    pytest.param(file, number, id=f"{file.name}: {case['name']}")
    for file in FILES
    for number, case in enumerate(tomllib.loads(file.read_text())["cases"])
]


def case_of(day="15:00 boot; 15:05 idle", at="17:00", verdict="shut_down", **more):
    """One case with one expectation; `because` and `rule` belong to that."""
    expect = {"at": at, "verdict": verdict} | {key: more.pop(key) for key in ("because", "rule") if key in more}
    return msgspec.convert({"name": "a case", "day": day, "expect": [expect]} | more, CaseWritten)


def answer(policy=None, mode=None, **words):
    """What came of the one expectation of a case."""
    (found,) = run_case(case_of(**words), policy or load_policy(), mode)
    return found


@pytest.mark.parametrize(("path", "number"), CASES)
def test_case_of_an_example_policy(path, number):
    """The cases beside the example policies come out as they expect."""
    file = msgspec.toml.decode(path.read_bytes(), type=CaseFile)
    for found in run_case(file.cases[number], load_policy(file.policy), file.mode):
        assert found.passed, (found.expected.at, found.wrong, [str(reason) for reason in found.decision.reasons])


def test_there_are_example_cases():
    """The example that the demo runs has cases beside it, some of which switch and some of which keep on."""
    assert len(CASES) >= 10


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ({"verdict": "left_on"}, ("verdict is shut_down, not left_on",)),
        ({"verdict": "sleep"}, ("verdict is shut_down, not sleep",)),
        ({"because": ["held"]}, ("not because of held",)),
        ({"because": ["idle_long_enough", "not_booked"]}, ()),
        ({"rule": "lunch"}, ("rule is after-hours, not lunch",)),
        ({"rule": "after-hours"}, ()),
        ({"at": "16:29", "rule": "lunch"}, ("verdict is left_on, not shut_down", "rule is after-hours, not lunch")),
    ],
)
def test_an_expectation_passes_only_when_all_of_it_holds(words, wrong):
    """A wrong verdict, a reason that is not among the decision's, or another rule: each fails and is named."""
    found = answer(**words)
    assert found.wrong == wrong
    assert found.passed is (wrong == ())


def test_a_policy_that_only_observes_is_tried_as_it_is_unless_the_file_says_otherwise():
    """With its own mode nothing is sent; with mode = "live" in the file of cases the rule itself is tried."""
    observe = load_policy("observe.toml")
    assert answer(observe, verdict="left_on", because=["observe_only"]).passed
    assert answer(observe, Mode.LIVE).passed
    assert answer(observe, Mode.TRIAL).passed


@pytest.mark.parametrize(
    ("day", "at", "why"),
    [
        ("15:00 boot; 15:05 use", "17:00", Why.IN_USE),
        ("15:00 boot; 15:05 idle; 15:30 busy", "17:00", Why.INHIBITED),
        ("15:00 boot; 15:05 idle; 16:50 cut", "17:00", Why.STATE_UNKNOWN),
        ("15:00 boot; 15:05 idle; 16:00 cut; 16:58 back", "17:00", Why.RECENT_RECONNECT),
        ("15:00 boot; 15:05 idle; 16:31 asked; 16:32 no", "17:10", Why.RECENT_VETO),
        ("15:00 boot; 15:05 idle; 16:31 asked", "16:32", Why.ALREADY_ASKED),
        ("15:00 boot; 15:05 idle; 16:00 sleep", "17:00", Why.ALREADY_OFF),
        ("15:00 boot; 15:05 idle; 16:00 sleep; 16:58 wake", "17:00", Why.RECENT_RECONNECT),
        ("15:00 boot; 15:05 idle; 16:00 off", "17:00", Why.ALREADY_OFF),
        ("15:00 boot; 15:05 idle; 16:00 off; 16:58 boot", "17:00", Why.IN_USE),
        ("12:00 boot; 12:05 idle; 16:40 use; 16:45 idle", "16:47", Why.IN_USE),
        ("12:00 boot; 12:05 idle; 16:40 use; 16:45 idle", "17:00", Why.NOT_IDLE_LONG_ENOUGH),
    ],
)
def test_words_of_a_day(day, at, why):
    """Each word leads to the reason that it stands for."""
    found = answer(day=day, at=at, verdict="left_on")
    assert why in {reason.why for reason in found.decision.reasons}, [str(r) for r in found.decision.reasons]
    assert not found.decision.acts


def test_without_the_word_the_machine_is_switched():
    """The same day without a word that keeps it on ends in a shut-down, so the words above are what did it."""
    assert answer(at="17:00").decision.verdict is Verdict.SHUT_DOWN
    assert answer(day="15:00 boot; 15:05 idle; 15:30 busy; 16:50 free", at="17:00").decision.verdict is (
        Verdict.SHUT_DOWN
    )


def test_a_rule_for_inset_days_can_be_tried_on_one():
    """`kind_of_day` makes the day of the case an INSET day for rules that name kinds of day."""
    text = (POLICIES / "school.toml").read_text().replace("hours =", 'days = ["inset"]\nhours =', 1)
    policy = policy_from(text)
    assert answer(policy, kind_of_day="inset").passed
    assert not answer(policy).passed


@pytest.mark.parametrize(
    ("day", "wrong"),
    [
        ("08:40 fly", "is not a time and one of: boot, use"),
        ("08:40 boot; 08:30 use", "comes before what stands before it"),
        ("8.40 boot", "is not a time such as"),
        ("08:40 use", "needs a machine that is on; it is off"),
        ("08:40 boot; 08:50 boot", "needs a machine that is off; it is on"),
        ("08:40 boot; 08:50 wake", "needs a machine that is asleep; it is on"),
        ("08:40 boot; 08:50 no", "needs an 'asked' before it"),
    ],
)
def test_a_day_that_cannot_be_says_what_is_wrong(day, wrong):
    """A mistake in a day is an error with a remedy, not a case that passes by accident."""
    with pytest.raises(ValueError, match=wrong):
        answer(day=day)


def test_the_day_is_played_by_reports_with_heartbeats():
    """In front of the decision stand real reports: the one behind it is at most a heartbeat old."""
    for minute in range(31, 59, 3):
        found = answer(at=f"16:{minute}")
        assert found.decision.reasons[0].age_s <= 300
        assert found.decision.verdict is Verdict.SHUT_DOWN
