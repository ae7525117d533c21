"""Who is woken, when, how often, and what is said of those who cannot be."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Cause, PowerState, Verb
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Verdict
from caretaker_rules.model import Device, Hold, Room, Stop, Tracked
from caretaker_rules.policy import Policy
from caretaker_rules.reasons import Why
from caretaker_rules.waking import Order, Tried, WakeDecision, WakeSnapshot, decide_wakes, readiness
from rules_world import SCHOOL, london_ms, machine, policy_from, snapshot

MORNING = "2026-10-06 08:40"  # a Tuesday in term; ict1's first lesson is at 08:50
WAKE = """
mode = "live"
[[wake]]
name = "before-lessons"
select = { rooms = ["ict1", "office", "hall"] }
before = "first_booking"
"""
AT = WAKE.replace('before = "first_booking"', 'at = "08:30"\ndays = "mon-fri"\nlead = "30 min"')
RELAY = Address("ash", "relay-1")
Machine = tuple[Device, Tracked]


def away(name: str = "pc-01", *, at: str = MORNING, mac: bool = True, **more: Any) -> Machine:
    """A machine that has been off since the evening before, unless told otherwise."""
    words = {"state": "off", "idle_state": "14 h", "cause": Cause.RULE, **more}
    device, tracked = machine(name=name, now_ms=london_ms(at), **words)
    address = f"02:00:00:00:00:{int(name[-2:]):02x}"
    return structs.replace(device, mac=address if mac else None), tracked


def relay(**more: Any) -> Machine:
    """The school's relay, on."""
    return machine(name=RELAY.device, room="office", device_class="server", abilities=(Verb.WAKE, Verb.REPLAY), **more)


def decide(
    *machines: Machine,
    at: str = MORNING,
    policy: str | Policy = WAKE,
    with_relay: bool = True,
    tried: dict[tuple[Address, str], Tried] | None = None,
    answered: dict[Address, int] | None = None,
    packets_ms: tuple[int, ...] = (),
    orders: tuple[Order, ...] = (),
    **school: Any,
) -> list[WakeDecision]:
    known = [*machines, relay(now_ms=london_ms(at))] if with_relay else list(machines)
    everything = WakeSnapshot(
        school=snapshot(*known, **school),
        tried=tried or {},
        answered=answered or {},
        packets_ms=packets_ms,
        orders=orders,
    )
    compiled = policy_from(policy) if isinstance(policy, str) else policy
    return decide_wakes(everything, compiled, london_ms(at))


def one(*machines: Machine, **more: Any) -> WakeDecision:
    (found,) = decide(*machines, **more)
    return found


def whys(found: WakeDecision) -> list[Why]:
    return [reason.why for reason in found.decision.reasons]


def test_a_machine_that_is_off_is_woken_before_the_rooms_first_lesson_and_the_reason_says_so() -> None:
    found = one(away())
    assert found.wakes and not found.cannot
    assert (found.relay, found.mac, found.attempt) == (RELAY, "02:00:00:00:00:01", 1)
    assert found.needed_ms == london_ms("2026-10-06 08:50")
    assert [str(reason) for reason in found.decision.reasons] == [
        "wanted for the lesson Tue 08:50",
        "packet 1, through ash/relay-1, of 3 at most",
    ]
    assert (found.decision.rule, found.decision.rule_line) == ("before-lessons", 3)


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-10-06 08:34", False),  # the lead is 15 min
        ("2026-10-06 08:35", True),
        ("2026-10-06 09:04", True),  # made up for
        ("2026-10-06 09:05", False),  # people are there by now
        ("2026-10-06 17:50", False),  # a lesson at 18:00, but not the day's first
        ("2026-10-05 08:40", False),  # a closed day
        ("2026-10-10 08:40", False),  # a Saturday
        ("2026-10-27 08:40", False),  # half term
    ],
)
def test_waking_begins_a_lead_before_the_first_lesson_of_a_day_that_has_one(at: str, wanted: bool) -> None:
    assert [found.wakes for found in decide(away(at=at), at=at)] == ([True] if wanted else [])


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-10-06 07:59", False),
        ("2026-10-06 08:00", True),
        ("2026-10-06 08:59", True),
        ("2026-10-06 09:00", False),
        ("2026-10-05 08:10", False),
        ("2026-10-10 08:10", False),
        ("2027-03-02 08:10", False),  # beyond the terms that were written down: nobody knows
    ],
)
def test_a_rule_with_a_time_wakes_on_school_days_of_its_weekdays(at: str, wanted: bool) -> None:
    assert [found.wakes for found in decide(away(at=at), at=at, policy=AT)] == ([True] if wanted else [])


def test_a_room_that_nobody_wrote_lessons_for_or_that_is_never_booked_is_not_woken_before_one() -> None:
    assert decide(away("pc-01", room="hall"), away("pc-02", room="office")) == []


def test_a_lesson_that_runs_past_midnight_is_not_the_mornings_first() -> None:
    rooms = [Room(name="ict1", lessons=["mon-fri 22:00-01:00", "mon-fri 08:50-09:50"])]
    wednesday = "2026-10-07 08:40"  # Monday was closed
    found = one(away(at=wednesday), at=wednesday, school=structs.replace(SCHOOL, rooms=rooms))
    assert found.needed_ms == london_ms("2026-10-07 08:50")


@pytest.mark.parametrize("state", ["off", "asleep", "lost"])
def test_off_asleep_and_lost_machines_are_woken(state: str) -> None:
    assert one(away(state=state)).wakes


def test_machines_that_are_on_and_the_relay_itself_have_no_decision() -> None:
    assert decide(machine(name="pc-01", state="idle"), machine(name="pc-02", state="in_use")) == []


def test_a_machine_that_was_never_heard_is_not_woken_by_a_rule_but_by_a_person() -> None:
    silent = away(silent=True)
    assert whys(one(silent)) == [Why.STATE_UNKNOWN, Why.WANTED_FOR_LESSON]
    assert one(silent, orders=(order(),)).wakes


def test_what_somebody_switched_off_since_waking_began_is_left_as_it_is() -> None:
    assert whys(one(away(idle_state="4 min")))[0] is Why.LEFT_SINCE
    assert one(away(idle_state="6 min")).wakes


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"stops": [Stop(school="ash", room=None, since_ms=0, reason="boiler")]}, Why.STOPPED),
        ({"stops": [Stop(school=None, room=None, since_ms=0, reason="boiler")]}, Why.STOPPED),
        ({"stops": [Stop(school="ash", room="ict1", since_ms=0, reason="boiler")]}, Why.STOPPED),
        ({"holds": "freeze"}, Why.FROZEN),
        ({"behind_s": float("inf")}, Why.NO_BROKER),
        ({"behind_s": 31.0}, Why.COLLECTOR_BEHIND),
        ({"policy": WAKE.replace('"live"', '"observe"')}, Why.OBSERVE_ONLY),
        ({"policy": WAKE.replace('"live"', '"trial"\ntrial_rooms = ["office"]')}, Why.OBSERVE_ONLY),
        ({"machine": {"tags": ("exempt",)}}, Why.EXEMPT),
        ({"machine": {"device_class": "server"}}, Why.ALWAYS_ON),
    ],
)
def test_nothing_is_woken_against_the_school_and_no_machine_is_said_to_be_unable(
    more: dict[str, Any], why: Why
) -> None:
    more = dict(more)
    if more.get("holds") == "freeze":
        more["holds"] = [freeze()]
    found = one(away(**more.pop("machine", {})), **more)
    assert (found.wakes, found.cannot) == (False, False)
    assert why in whys(found)


def freeze(at: str = MORNING) -> Hold:
    """Exams until noon."""
    begin = london_ms(at) - 3_600_000
    return Hold(
        id=1, kind="freeze", school="ash", room=None, device=None, from_ms=begin, until_ms=begin + 9_000_000, reason=""
    )


def test_a_hold_does_not_keep_a_machine_off() -> None:
    held = structs.replace(freeze(), kind="hold")
    assert one(away(), holds=[held]).wakes


def test_a_school_that_looks_lost_is_sent_nothing() -> None:
    lost = [away(f"pc-{number:02}", state="lost") for number in range(1, 6)]
    assert {whys(found)[0] for found in decide(*lost)} == {Why.SCHOOL_LOOKS_LOST}


def order(made: str = MORNING, *, room: str | None = "ict1", device: str | None = None) -> Order:
    return Order(id=7, room=room, device=device, made_ms=london_ms(made), reason="technician: patches")


def test_a_person_may_wake_what_no_rule_may_at_any_hour_but_not_in_a_stopped_school_or_against_exams() -> None:
    night = "2026-10-10 23:00"
    exempt = away(at=night, tags=("exempt",))
    found = one(exempt, at=night, policy='mode = "observe"', orders=(order(night),))
    assert found.wakes
    assert str(found.decision.reasons[0]) == "a person asked for it (technician: patches)"
    stopped = [Stop(school="ash", room=None, since_ms=0, reason="boiler")]
    assert not one(exempt, at=night, orders=(order(night),), stops=stopped).wakes
    assert not one(exempt, at=night, orders=(order(night),), holds=[freeze(night)]).wakes


def test_an_order_is_for_its_room_or_device_only_and_ends() -> None:
    night = "2026-10-10 23:00"
    both = away("pc-01", at=night), away("pc-02", at=night), away("pc-03", at=night, room="office")
    names = [found.decision.device.device for found in decide(*both, at=night, orders=(order(night),))]
    assert names == ["pc-01", "pc-02"]
    (found,) = decide(*both, at=night, orders=(order(night, room="ict1", device="pc-02"),))
    assert found.decision.device.device == "pc-02"
    assert decide(*both, at=night, orders=(order("2026-10-10 22:48"),)) == []


def test_a_patch_window_wakes_what_it_selects() -> None:
    policy = 'mode = "live"\n[[patch]]\nname = "nights"\nselect = { rooms = ["ict1"] }\nhours = ["tue 22:00-23:30"]\n'
    night = "2026-10-06 22:01"
    found = one(away(at=night, idle_state="5 h"), away("pc-02", at=night, room="office"), at=night, policy=policy)
    assert found.wakes
    assert found.decision.rule == "patch"
    assert decide(away(at="2026-10-06 21:59"), at="2026-10-06 21:59", policy=policy) == []


# -- attempts ----------------------------------------------------------------------------------------------------------

OCCASION = f"before-lessons.{london_ms('2026-10-06 08:50')}"


def tries(attempts: int, ago_s: int, answer: str = "done") -> dict[tuple[Address, str], Tried]:
    return {(Address("ash", "pc-01"), OCCASION): Tried(attempts, london_ms(MORNING) - ago_s * 1000, answer)}


def test_a_silent_machine_gets_another_packet_after_the_wait_and_not_before() -> None:
    waiting = one(away(), tried=tries(1, 179))
    assert whys(waiting)[0] is Why.WOKEN_LATELY and not waiting.cannot
    again = one(away(), tried=tries(1, 180))
    assert again.wakes and again.attempt == 2


@pytest.mark.parametrize(
    ("machine_words", "more", "why"),
    [
        ({"mac": False}, {}, Why.NO_MAC),
        ({}, {"with_relay": False}, Why.NO_RELAY),
        ({}, {"tried": tries(3, 200)}, Why.NEVER_ANSWERED),
        ({}, {"tried": tries(3, 200), "answered": {Address("ash", "pc-01"): 1}}, Why.NOT_BACK),
        ({}, {"tried": tries(3, 200, "failed")}, Why.RELAY_FAILED),
        ({}, {"tried": tries(3, 200, "no_answer")}, Why.RELAY_SILENT),
    ],
)
def test_what_cannot_be_woken_is_said_with_its_likely_reason(
    machine_words: dict[str, Any], more: dict[str, Any], why: Why
) -> None:
    found = one(away(**machine_words), **more)
    assert (found.wakes, found.cannot) == (False, True)
    assert whys(found)[0] is why


def test_the_last_packet_has_its_time_before_a_machine_is_given_up() -> None:
    found = one(away(), tried=tries(3, 100))
    assert not found.wakes and not found.cannot


def test_a_relay_that_is_off_or_whose_line_broke_is_none() -> None:
    for more in ({"state": "off"}, {"link_broke": True}):
        found = decide(away(), relay(now_ms=london_ms(MORNING), **more), with_relay=False)
        assert [whys(each)[0] for each in found if each.decision.device != RELAY] == [Why.NO_RELAY]


# -- how many at once, and in which order ------------------------------------------------------------------------------


def test_the_stagger_bounds_packets_a_minute_over_what_went_out_lately() -> None:
    policy = WAKE.replace("first_booking", 'first_booking"\nstagger = "10 s')  # six a minute
    machines = [away(f"pc-{number:02}") for number in range(1, 9)]
    now_ms = london_ms(MORNING)
    found = decide(*machines, policy=policy, packets_ms=(now_ms - 59_000, now_ms - 60_000))
    assert [each.wakes for each in found] == [True] * 5 + [False] * 3
    assert {whys(each)[0] for each in found[5:]} == {Why.LIMIT_WAKES}


def test_the_room_that_is_wanted_first_and_then_the_neediest_comes_first() -> None:
    rooms = [
        Room(name="ict1", lessons=["tue 08:50-09:50"]),
        Room(name="office", lessons=["tue 08:45-09:50"]),
        Room(name="hall", lessons=["tue 08:50-09:50"]),
    ]
    machines = [
        *(away(f"pc-{number:02}", room="ict1") for number in (1, 2)),
        *(machine(name=f"pc-{number:02}", room="ict1") for number in (3, 4)),
        away("pc-05", room="hall"),
        away("pc-06", room="office"),
    ]
    found = decide(*machines, school=structs.replace(SCHOOL, rooms=rooms))
    assert [each.room for each in found] == ["office", "hall", "ict1", "ict1"]


def test_readiness_counts_machines_that_are_on_and_leaves_out_servers_and_relays() -> None:
    room = (
        away("pc-01"),
        machine(name="pc-02", state="idle"),
        machine(name="pc-03", state="in_use"),
        machine(name="pc-04", state="lost"),
        machine(name="srv-1", device_class="server"),
        machine(name="relay-2", abilities=(Verb.WAKE,)),
        machine(name="pc-05", room="office"),
    )
    assert readiness(snapshot(*room), "ict1") == (2, 4)


# -- whatever happens --------------------------------------------------------------------------------------------------

STATES = st.sampled_from(["off", "asleep", "lost", "idle", "in_use"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(STATES, st.booleans(), st.sampled_from(["1 min", "14 h"])), min_size=1, max_size=6),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(5, 90)), max_size=40),
)
def test_never_in_a_stopped_or_frozen_school_and_never_more_often_than_allowed(
    machines: list[tuple[str, bool, str]], ticks: list[tuple[bool, bool, bool, int]]
) -> None:
    """Ticks with whatever is on: stop, freeze, relay. Packets are counted as the wake book does."""
    now_ms = london_ms("2026-10-06 08:30")
    policy = policy_from(WAKE.replace("first_booking", 'first_booking"\nstagger = "30 s'))
    tried: dict[tuple[Address, str], Tried] = {}
    sent_ms: list[int] = []
    for stopped, frozen, has_relay, step_s in ticks:
        now_ms += step_s * 1000
        known = [
            away(f"pc-{number:02}", state=state, mac=mac, idle_state=since)
            for number, (state, mac, since) in enumerate(machines, 1)
        ]
        school = snapshot(
            *known,
            *([relay(now_ms=now_ms)] if has_relay else []),
            stops=[Stop(school="ash", room=None, since_ms=0, reason="")] if stopped else [],
            holds=[freeze()] if frozen else [],
        )
        found = decide_wakes(WakeSnapshot(school=school, tried=tried, packets_ms=sent_ms), policy, now_ms)
        for each in (each for each in found if each.wakes):
            assert not stopped and not (frozen and now_ms < freeze().until_ms)
            assert each.relay == RELAY and each.mac
            before = tried.get((each.decision.device, each.occasion), Tried(0, 0))
            assert each.attempt == before.attempts + 1 <= 3
            assert now_ms - before.last_ms >= 180_000
            tried[each.decision.device, each.occasion] = Tried(each.attempt, now_ms, "done")
            sent_ms.append(now_ms)
        assert sum(now_ms - at_ms < 60_000 for at_ms in sent_ms) <= 2
        states = {device.address: tracked.presence.state for device, tracked in known}
        away_now = {PowerState.OFF, PowerState.ASLEEP, PowerState.LOST}
        assert {states[each.decision.device] for each in found} <= away_now
        assert all(each.decision.verdict in (Verdict.WAKE, Verdict.NOT_WOKEN) for each in found)


# -- the policy file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('before = "first_booking"', ""), 'wake[0].before   write one of before = "first_booking" and at = "08:30"'),
        (("first_booking", 'first_booking"\nat = "08:30'), "wake[0].before   write one of"),
        (("first_booking", 'first_booking"\ndays = "mon'), 'wake[0].days = "mon"   belongs to at'),
        (("first_booking", 'first_booking"\nlead = "5 h'), 'wake[0].lead = "5 h"   must lie between 60 s and 14400 s'),
        (("first_booking", 'first_booking"\nstagger = "2 min'), 'wake[0].stagger = "2 min"   must lie'),
        (("first_booking", 'first_booking"\nretry_after = "5 s'), 'wake[0].retry_after = "5 s"   must lie'),
        (('{ rooms = ["ict1", "office", "hall"] }', "{}"), "wake[0].select   selects nothing"),
    ],
)
def test_a_mistake_in_a_wake_rule_is_named_with_line_and_remedy(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy_from(WAKE.replace(*change))
    assert f"policy.toml:3  {told}" in str(caught.value)


def test_two_wake_rules_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        policy_from(WAKE + WAKE.partition("\n[[")[1].lstrip("\n") + WAKE.partition("[[")[2])
    assert re.search(
        r"policy.toml:\d+  wake\[1\]\.name = \"before-lessons\"   a wake rule before it", str(caught.value)
    )
