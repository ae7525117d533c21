"""Which rule decides, and how often a machine can be asked."""

from msgspec import structs

from caretaker_rules.energy import Verdict, decide
from caretaker_rules.reasons import Why
from rules_world import NOW_MS, asked, london_ms, machine, policy_from, snapshot

TWO_RULES = """mode = "live"
[[rules]]
name = "lunch"
select = { rooms = ["ict1"] }
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


def only(policy_text, at, **words):
    """The one decision about one machine at a local time of Tue 6 Oct 2026."""
    now_ms = london_ms(f"2026-10-06 {at}")
    (decision,) = decide(snapshot(machine(now_ms=now_ms, **words)), policy_from(policy_text), now_ms)
    return decision


def test_first_rule_in_the_file_whose_hours_are_now_decides():
    """A rule that selects the machine but has other hours does not stand in the way of the next."""
    decision = only(TWO_RULES, "17:15")
    assert (decision.rule, decision.rule_line, decision.verdict) == ("evening", 8, Verdict.SHUT_DOWN)


def test_later_rule_is_not_asked_when_an_earlier_one_decides():
    """Idle too short for the rule that decides: left on, although a later rule would restart it."""
    decision = only(TWO_RULES, "17:15", idle="10 min")
    assert (decision.rule, decision.verdict) == ("evening", Verdict.LEFT_ON)


def test_first_selecting_rule_is_named_when_none_has_its_hours():
    """The reason names the hours of the first rule that is for the machine."""
    decision = only(TWO_RULES, "15:30")
    assert (decision.rule, str(decision.reasons[0])) == ("lunch", "outside the rule's hours mon-fri 12:10-13:00")


def test_warn_only_and_sleep_are_verdicts_of_their_own():
    """What a rule does is what the decision says."""
    for action in Verdict.SLEEP, Verdict.RESTART, Verdict.WARN_ONLY:
        assert only(TWO_RULES.replace('"shut_down"', f'"{action.value}"'), "17:15").verdict is action


def test_same_idle_time_gives_the_same_episode():
    """Deciding again about the same idle time, with newer heartbeats, gives the same word: a doer acts once."""
    policy = policy_from(TWO_RULES)
    first = snapshot(machine())
    device, tracked = machine()
    beat = structs.replace(
        tracked,
        presence=structs.replace(tracked.presence, seq=41, at_ms=tracked.presence.at_ms + 10_000),
        telemetry=structs.replace(tracked.telemetry, gauges=structs.replace(tracked.telemetry.gauges, idle_s=2410)),
    )
    (one,) = decide(first, policy, NOW_MS)
    (two,) = decide(snapshot((device, beat)), policy, NOW_MS + 15_000)
    assert one.acts
    assert one.episode == two.episode != ""


def test_another_idle_time_boot_rule_or_veto_gives_another_episode():
    """Only what may be asked anew has a new word."""
    policy = policy_from(TWO_RULES)
    device, tracked = machine(idle="3 h")
    later = structs.replace(tracked, presence=structs.replace(tracked.presence, since_ms=tracked.presence.since_ms + 9))
    boot = structs.replace(tracked, presence=structs.replace(tracked.presence, boot=6))
    vetoed = {device.address: asked("62 min", step="vetoed", step_ago="61 min")}
    words = {decide(snapshot((device, each)), policy, NOW_MS)[0].episode for each in (tracked, later, boot)}
    words.add(decide(snapshot((device, tracked), asked=vetoed), policy, NOW_MS)[0].episode)
    assert len(words) == 4
    assert "" not in words


def test_ask_before_this_idle_time_does_not_count():
    """A machine that was asked, used and is idle again may be asked again."""
    device, tracked = machine()
    earlier = {device.address: asked("3 h", step="refused")}
    (decision,) = decide(snapshot((device, tracked), asked=earlier), policy_from(TWO_RULES), NOW_MS)
    assert decision.acts


def test_left_on_has_no_episode_and_asks_nothing():
    """A decision that does not act carries nothing that could be sent."""
    decision = only(TWO_RULES, "17:15", state="in_use")
    assert (decision.episode, decision.warn_s, decision.idle_at_least_s) == ("", 0, 0)


def test_idle_time_is_credited_from_the_report_on_while_idle():
    """40 min at a report 4 min ago make 44 min; only a state of idle lets time count."""
    assert only(TWO_RULES, "17:15", report_age="4 min").idle_s == 44 * 60
    in_use = only(TWO_RULES, "17:15", state="in_use", idle="29 min", report_age="4 min")
    assert Why.NOT_IDLE_LONG_ENOUGH in [reason.why for reason in in_use.reasons]
