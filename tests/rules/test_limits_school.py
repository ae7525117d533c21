"""Never too many at once, nothing where Caretaker itself may be blind, and the stop switch (invariant I5)."""

import pytest
from msgspec import structs

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.energy import Verdict, decide, judge
from caretaker_rules.limits import apply, is_stopped, looks_lost, share
from caretaker_rules.model import Presence, Tracked
from caretaker_rules.reasons import Why
from rules_world import NOW_MS, asked, load_policy, machine, policy_from, snapshot, stop

POLICY = """mode = "{mode}"
trial_rooms = ["office"]
[limits]
per_minute = {per_minute}
room_percent = {room}
school_percent = {school}
[[rules]]
name = "evening"
select = {{ classes = ["desktop"] }}
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""


def policy(mode="live", per_minute=1000, room=100, school=100):
    return policy_from(POLICY.format(mode=mode, per_minute=per_minute, room=room, school=school))


def fleet(count, room="ict1", prefix="pc", **words):
    return [machine(name=f"{prefix}-{number:02}", room=room, **words) for number in range(count)]


def sent(decisions):
    return [decision.device.device for decision in decisions if decision.acts]


def whys(decisions):
    return {reason.why for decision in decisions if not decision.acts for reason in decision.reasons}


def test_at_most_so_many_a_minute():
    """The rest waits with the limit as its reason, and what spoke for it stays on record."""
    decisions = decide(snapshot(*fleet(20)), policy(per_minute=12), NOW_MS)
    assert len(sent(decisions)) == 12
    held_back = next(decision for decision in decisions if not decision.acts)
    assert str(held_back.reasons[0]) == "limit of 12 a minute reached in this school"
    assert Why.IDLE_LONG_ENOUGH in [reason.why for reason in held_back.reasons]
    assert (held_back.verdict, held_back.episode) == (Verdict.LEFT_ON, "")


@pytest.mark.parametrize(("age_ms", "left"), [(0, 2), (59_999, 2), (60_000, 12), (-5000, 2)])
def test_sends_of_the_last_minute_count(age_ms, left):
    """Also those that lie in the future of a clock that was set back; in another room, they still count."""
    sends = [(NOW_MS - age_ms, "office")] * 10
    decisions = decide(snapshot(*fleet(30), recent_sends_ms=sends), policy(per_minute=12), NOW_MS)
    assert len(sent(decisions)) == left


def test_at_most_a_share_of_a_room():
    """Half of the room at once; another room has its own half."""
    decisions = decide(snapshot(*fleet(10), *fleet(4, "office", "of")), policy(room=50), NOW_MS)
    names = sent(decisions)
    assert sum(name.startswith("pc") for name in names) == 5
    assert sum(name.startswith("of") for name in names) == 2
    assert whys(decisions) >= {Why.LIMIT_ROOM}


def test_at_most_a_share_of_the_school():
    """A quarter of all machines at once."""
    decisions = decide(snapshot(*fleet(10), *fleet(10, "office", "of")), policy(school=25), NOW_MS)
    assert len(sent(decisions)) == 5
    assert whys(decisions) >= {Why.LIMIT_SCHOOL}


def test_machines_asked_lately_count_against_the_share():
    """At once means within ten minutes: whoever was asked in that time counts, whoever was asked before does not."""
    machines = fleet(10)
    for ago, left in (("9 min", 1), ("11 min", 5)):
        lately = {device.address: asked(ago, step="done") for device, _ in machines[:4]}
        decisions = decide(snapshot(*machines, asked=lately), policy(room=50), NOW_MS)
        assert len([name for name in sent(decisions) if name >= "pc-04"]) == left


def test_sends_to_a_room_count_against_its_share():
    """The list of sends counts even when nothing is known of the machines they went to."""
    decisions = decide(snapshot(*fleet(10), recent_sends_ms=[(NOW_MS - 300_000, "ict1")] * 3), policy(room=50), NOW_MS)
    assert len(sent(decisions)) == 2


def test_machines_switched_off_by_rule_lately_count_against_the_share():
    """Also when the ledger has lost sight of them."""
    off = fleet(4, prefix="off", state="off", idle="5 min", cause=Cause.RULE)
    decisions = decide(snapshot(*fleet(6), *off), policy(room=50), NOW_MS)
    assert len(sent(decisions)) == 1


@pytest.mark.parametrize(
    ("percent", "machines", "allowed"), [(50, 31, 15), (50, 1, 1), (1, 30, 1), (0, 30, 0), (100, 30, 30), (50, 0, 0)]
)
def test_share_is_rounded_down_but_not_to_nothing(percent, machines, allowed):
    """A room of one machine can be switched; 0 % switches nothing."""
    assert share(percent, machines) == allowed


def test_longest_idle_goes_first():
    """The order is fixed: longest idle first, then by name."""
    machines = [machine(name=name, idle=idle) for name, idle in (("c", "40 min"), ("a", "50 min"), ("b", "40 min"))]
    for rotated in (machines, machines[1:] + machines[:1], machines[::-1]):
        assert set(sent(decide(snapshot(*rotated), policy(per_minute=2), NOW_MS))) == {"a", "b"}


@pytest.mark.parametrize(
    ("lost", "on", "blind"), [(3, 2, True), (2, 1, False), (2, 0, False), (5, 5, False), (11, 9, True), (3, 1, True)]
)
def test_nothing_where_most_of_the_school_looks_lost(lost, on, blind):
    """At least 55 % and three lost: Caretaker doubts its own view and sends nothing there."""
    machines = [*fleet(on), *fleet(lost, prefix="lost", state="lost"), *fleet(30, prefix="off", state="off")]
    decisions = decide(snapshot(*machines), policy(), NOW_MS)
    assert len(sent(decisions)) == (0 if blind else on)
    assert (Why.SCHOOL_LOOKS_LOST in whys(decisions)) is (blind and on > 0)


def test_machines_never_heard_do_not_blind_a_school():
    """During a roll-out most machines of the register have no agent yet."""
    machines = [*fleet(2), *fleet(20, prefix="new", silent=True)]
    assert len(sent(decide(snapshot(*machines), policy(), NOW_MS))) == 2
    assert looks_lost(machines, policy(), NOW_MS) == (0, 2)


def test_a_machine_known_only_by_its_will_looks_lost():
    """Its reports never came and the broker says that it is gone: that is no reason to be sure of the rest."""
    gone = Tracked(presence=Presence(state=PowerState.LOST))
    machines = [*fleet(2), *((device, gone) for device, _ in fleet(3, prefix="will", silent=True))]
    assert sent(decide(snapshot(*machines), policy(), NOW_MS)) == []
    assert looks_lost(machines, policy(), NOW_MS) == (3, 5)


def test_silent_machines_look_lost_before_they_are_called_so():
    """On by their last word, but long unheard: no better than lost."""
    machines = [*fleet(2), *fleet(3, prefix="old", report_age="14 min")]
    decisions = decide(snapshot(*machines), policy(), NOW_MS)
    assert sent(decisions) == []
    assert looks_lost(machines, policy(), NOW_MS) == (3, 5)


@pytest.mark.parametrize(
    ("school", "room", "stopped"),
    [(None, None, True), ("ash", None, True), ("ash", "ict1", True), ("oak", None, False), ("ash", "office", False)],
)
def test_stop_switch(school, room, stopped):
    """Everywhere, in a school, or in a room; with the reason that was given."""
    decisions = decide(snapshot(*fleet(2), stops=[stop(school, room)]), policy(), NOW_MS)
    assert len(sent(decisions)) == (0 if stopped else 2)
    assert is_stopped([stop(school, room)], "ash", "ict1") is stopped
    if stopped:
        assert str(decisions[0].reasons[0]) == "stopped by a person (boiler test)"


def test_stop_of_a_room_without_school_holds_in_every_school():
    """A room's name alone stops that room wherever it is."""
    assert is_stopped([stop(None, "ict1")], "ash", "ict1")
    assert not is_stopped([stop(None, "ict1")], "ash", "office")
    assert not is_stopped([], "ash", "ict1")


def test_observe_sends_nothing_and_trial_in_its_rooms_only():
    """The decision is recorded with what it would have been; only its sending is held back."""
    machines = [*fleet(2), *fleet(2, "office", "of")]
    for mode, names in (("observe", []), ("trial", ["of-00", "of-01"])):
        decisions = decide(snapshot(*machines), policy(mode), NOW_MS)
        assert sent(decisions) == names
        assert str(decisions[0].reasons[0]) == f"the rule only observes ({mode})"
        assert decisions[0].reasons[1].why is Why.IDLE_LONG_ENOUGH


def test_observed_machines_use_up_no_limit():
    """What is held back leaves its place to others."""
    machines = [*fleet(5, idle="50 min"), *fleet(3, "office", "of")]
    assert len(sent(decide(snapshot(*machines), policy("trial", per_minute=3), NOW_MS))) == 3


def test_every_cap_that_is_broken_is_told():
    """All reasons, not only the first."""
    decisions = decide(snapshot(*fleet(4)), policy(per_minute=2, room=50, school=50), NOW_MS)
    last = [decision for decision in decisions if not decision.acts][-1]
    assert [reason.why for reason in last.reasons[:3]] == [Why.LIMIT_PER_MINUTE, Why.LIMIT_ROOM, Why.LIMIT_SCHOOL]


def test_decision_about_a_machine_outside_the_snapshot_is_held_back():
    """The limits let nothing through for a machine that is not in this school's register."""
    world = snapshot(*fleet(1))
    (decision,) = judge(world, load_policy(), NOW_MS)
    stray = structs.replace(decision, device=decision.device._replace(device="elsewhere"))
    abroad = structs.replace(decision, device=decision.device._replace(school="oak"))
    results = apply([stray, abroad], world, load_policy(), NOW_MS)
    assert [result.verdict for result in results] == [Verdict.LEFT_ON, Verdict.LEFT_ON]
    assert results[0].reasons[0].why is Why.UNREGISTERED


def test_zero_switches_nothing():
    """A cap of nought is a way to say: nothing at all."""
    for caps in ({"per_minute": 0}, {"room": 0}, {"school": 0}):
        assert sent(decide(snapshot(*fleet(5)), policy(**caps), NOW_MS)) == []


def test_machines_whose_link_has_just_broken_look_lost():
    """A cut of the school's line shows at once, before the grace is over."""
    machines = [*fleet(2), *fleet(3, prefix="cut", link_broke=True)]
    assert looks_lost(machines, policy(), NOW_MS) == (3, 5)


def test_sends_count_against_the_share_of_the_school():
    """Also sends to rooms that are no longer in the register."""
    sends = [(NOW_MS - 300_000, "attic")] * 4
    assert len(sent(decide(snapshot(*fleet(10), recent_sends_ms=sends), policy(school=50), NOW_MS))) == 1
