"""Which rule decides, and how often a machine can be asked."""

from msgspec import structs

from caretaker_rules.energy import Verdict, decide
from caretaker_rules.reasons import Why
from rules_world import NOW_MS, asked, hold, london_ms, machine, policy_from, snapshot

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


def test_ask_before_this_idle_time_leaves_the_episode_alone():
    """Whether the ledger still remembers yesterday's ask does not change the word for today's idle time."""
    device, tracked = machine()
    earlier = {device.address: asked("3 h", step="refused")}
    (with_it,) = decide(snapshot((device, tracked), asked=earlier), policy_from(TWO_RULES), NOW_MS)
    (without,) = decide(snapshot((device, tracked)), policy_from(TWO_RULES), NOW_MS)
    assert with_it.episode == without.episode


def test_report_from_the_future_is_doubtful():
    """The collector's own clock was set back: nothing can be said about ages."""
    (decision,) = decide(snapshot(machine(idle="2 h")), policy_from(TWO_RULES), NOW_MS - 600_000)
    assert Why.CLOCK_DOUBTFUL in [reason.why for reason in decision.reasons]


def test_lesson_within_the_reach_of_a_command_counts_whatever_the_lead():
    """With no lead at all, a machine is still not asked when it would go off in the lesson."""
    text = TWO_RULES.replace("[[rules]]", '[keep_on]\nbooked_within = "0 s"\n[[rules]]', 1)
    assert [reason.why for reason in only(text, "17:57").reasons] == [Why.BOOKED]
    assert only(text, "17:56").acts


def test_holds_of_others_and_of_the_past_keep_nothing_on():
    """Another school's, another machine's, or one that is over."""
    mine = hold(device="pc-01")
    for other in (
        structs.replace(mine, school="oak"),
        structs.replace(mine, device="pc-99"),
        structs.replace(mine, from_ms=NOW_MS - 9000, until_ms=NOW_MS),
    ):
        assert decide(snapshot(machine(), holds=[other]), policy_from(TWO_RULES), NOW_MS)[0].acts
    assert not decide(snapshot(machine(), holds=[mine]), policy_from(TWO_RULES), NOW_MS)[0].acts


def test_restart_may_come_again_the_next_day():
    """Once in twenty hours."""
    device, tracked = machine()
    text = TWO_RULES.replace('"shut_down"', '"restart"')
    for ago, acts in (("19 h", False), ("21 h", True)):
        earlier = {device.address: asked(ago, verb="restart", step="done")}
        assert decide(snapshot((device, tracked), asked=earlier), policy_from(text), NOW_MS)[0].acts is acts


def test_a_silence_keeps_no_machine_on():
    """Even if one reached the rules, it is no hold: nobody is told, and that is all."""
    plain = decide(snapshot(machine()), policy_from(TWO_RULES), NOW_MS)
    silenced = decide(snapshot(machine(), holds=[hold("silence")]), policy_from(TWO_RULES), NOW_MS)
    held = decide(snapshot(machine(), holds=[hold()]), policy_from(TWO_RULES), NOW_MS)
    assert plain == silenced != held
    assert plain[0].verdict is Verdict.SHUT_DOWN
