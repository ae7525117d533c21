"""`policy explain`: the rule that decides is the one that a decision names, and every other one says why not."""

import pytest

from caretaker_rules.decisions import Verdict
from caretaker_rules.energy import decide
from caretaker_rules.explain import explain
from caretaker_rules.reasons import Why
from rules_world import CLASSES, SCHOOL, hold, london_ms, machine, policy_from, snapshot

RULES = """mode = "trial"
trial_rooms = ["hall"]
[[rules]]
name = "lunch"
select = { rooms = ["lib"], tags = ["quiet"] }
hours = ["mon-fri 12:10-13:00"]
idle_for = "20 min"
do = "sleep"
[[rules]]
name = "evening"
select = { classes = ["desktop"] }
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
[[rules]]
name = "late"
select = { everything = true }
hours = ["mon-fri 17:00-22:00"]
idle_for = "5 min"
do = "restart"
"""


def told(at, text=RULES, holds=(), **words):
    """What the policy says about one machine at a local time of Tue 6 Oct 2026."""
    device, _ = machine(**words)
    return explain(device, SCHOOL, CLASSES, policy_from(text), london_ms(f"2026-10-06 {at}"), [device], holds)


def test_one_rule_decides_and_each_other_one_says_why_not():
    """Selection list by list, hours, and a rule that stands before."""
    answer = told("17:15")
    assert [rule.rule for rule in answer.rules if rule.decides] == ["evening"]
    lunch, evening, late = answer.rules
    assert lunch.because == (
        "it selects rooms lib, not ict1",
        "it selects tags quiet, not no tags",
        "its hours are mon-fri 12:10-13:00",
    )
    assert evening.because == ()
    assert late.because == ("evening stands before it and decides",)
    assert evening.does == "shut_down when idle for 30 min, after a warning of 2 min"
    assert (lunch.line, evening.line, late.line) == (3, 9, 15)


@pytest.mark.parametrize("at", ["08:00", "12:30", "16:29", "16:31", "17:15", "21:59", "22:01"])
def test_it_names_the_rule_that_a_decision_names(at):
    """At any time: explain and decide agree on the rule, and on whether any has its hours."""
    now_ms = london_ms(f"2026-10-06 {at}")
    (decision,) = decide(snapshot(machine(now_ms=now_ms)), policy_from(RULES), now_ms)
    deciding = [rule.rule for rule in told(at).rules if rule.decides]
    outside = decision.reasons[0].why is Why.OUTSIDE_RULE_HOURS
    assert deciding == ([] if outside else [decision.rule])


def test_mode_and_limits_are_listed():
    """In a trial of another room nothing is sent here; the shares are in machines."""
    answer = told("17:15")
    assert (answer.mode, answer.acts) == ("trial", False)
    assert answer.limits[:2] == ("12 a minute in the school", "1 of 1 in the room within 10 min (50 %)")
    assert told("17:15", RULES.replace('["hall"]', '["ict1"]')).acts


def test_what_keeps_a_machine_on_by_calendar_people_and_register_is_listed():
    """An exempt machine in a held room shortly before a booking: three reasons, before it has said a word."""
    # A lesson at 18:00 is within the lead of 20 min.
    answer = told("17:50", holds=[hold()], tags=("exempt",))
    assert [reason.why for reason in answer.keeps_on] == [Why.BOOKED, Why.HELD, Why.EXEMPT]
    assert told("17:15").keeps_on == ()


def test_a_machine_that_could_not_be_woken_again_is_told():
    """By the register, and by the wakes that are on record."""
    text = RULES + '[[wake]]\nname = "early"\nselect = { everything = true }\nat = "08:30"\n'
    assert [reason.why for reason in told("17:15", text, mac=None).keeps_on] == [Why.NOT_WAKEABLE]
    device, _ = machine()
    at_ms, policy = london_ms("2026-10-06 17:15"), policy_from(text)
    assert explain(device, SCHOOL, CLASSES, policy, at_ms, [device]).keeps_on == ()
    (reason,) = explain(
        device, SCHOOL, CLASSES, policy, at_ms, [device], woken_in_vain_ms=london_ms("2026-10-06 08:50")
    ).keeps_on
    assert str(reason) == (
        "could not be woken again (it did not answer its last wake, Tue 06 Oct 08:50; "
        "tried again from Tue 20 Oct 08:50), so it stays on"
    )


def test_a_machine_that_no_rule_selects():
    """Then no rule decides and nothing else is asked."""
    only_lunch = RULES.split('[[rules]]\nname = "evening"')[0]
    answer = told("12:30", only_lunch)
    assert not any(rule.decides for rule in answer.rules)
    assert answer.keeps_on == ()
    (decision,) = decide(snapshot(machine()), policy_from(only_lunch), london_ms("2026-10-06 12:30"))
    assert decision.verdict is Verdict.LEFT_ON
