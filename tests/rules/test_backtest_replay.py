"""A policy tried on a record: a history made by hand whose answer is known, and the properties of any history."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from caretaker_contract.messages import Cause, Gauges, PowerState, Step, Verb
from caretaker_rules import energy, tracking
from caretaker_rules.backtest import Replay, by_rule_and_room, idle_s, total
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.model import Asked, Device, Hold, Room, Tracked
from caretaker_rules.policy import Mode
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.recorded import ASSUMED_ABILITIES, Recording
from caretaker_rules.rule_hours import RuleHours
from caretaker_rules.timetable import NO_TIMETABLE
from rules_world import CLASSES, EPOCH, SCHOOL, london_ms, policy_from, report, snapshot

DAY = "2026-10-06"
FROM_MS, UNTIL_MS = london_ms(f"{DAY} 12:00"), london_ms("2026-10-07 12:00")
IDLE, IN_USE, OFF = PowerState.IDLE, PowerState.IN_USE, PowerState.OFF
SIMPLE = """mode = "live"
[limits]
room_percent = 100
school_percent = 100
[[rules]]
name = "after-hours"
select = { everything = true }
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""
LIBRARY = structs.replace(SCHOOL, rooms=[*SCHOOL.rooms, Room(name="lib", lessons=[])])


def recording(*spans, boot=1, gap=None, abilities=ASSUMED_ABILITIES):
    """A machine's reports from spans such as ("16:00", "17:10"), idle from the last input to the next one; else in use.

    It is called idle five minutes after the last input, and reports every five minutes. `gap` loses the reports of a
    time.
    """
    reports = [(FROM_MS, IN_USE, 0)]
    for begin, end in spans:
        input_ms, end_ms = (london_ms(text if " " in text else f"{DAY} {text}") for text in (begin, end))
        at_ms = input_ms + 300_000
        while at_ms < end_ms:
            reports.append((at_ms, IDLE, (at_ms - input_ms) // 1000))
            at_ms += 300_000
        reports.append((end_ms, IN_USE, 0))
    lost = [london_ms(f"{DAY} {text}") for text in gap] if gap else [0, 0]
    made = Recording(abilities=abilities)
    for seq, (at_ms, state, idle) in enumerate(reports, 1):
        if not lost[0] <= at_ms < lost[1]:
            made.add(at_ms, state, EPOCH, boot, seq, idle, 36_000)
    made.end()
    return made


def device(number=1, **more):
    """A machine of the register: a desktop in the library, which is never booked."""
    return structs.replace(Device(school="ash", name=f"pc-{number:02}", room="lib", device_class="desktop"), **more)


def replay(*machines, text=SIMPLE, holds=(), until_ms=UNTIL_MS):
    """The replay of (device, recording) pairs under a policy, run."""
    made = Replay(
        school=LIBRARY,
        classes=CLASSES,
        devices=[each for each, _ in machines],
        recordings={each.address: recorded for each, recorded in machines},
        policy=policy_from(text),
        from_ms=FROM_MS,
        until_ms=until_ms,
        holds=holds,
    )
    made.run()
    return made


def found(*spans, text=SIMPLE, holds=(), **more):
    """Whom the policy would have asked, of one machine with these idle times."""
    return replay((device(), recording(*spans, **more)), text=text, holds=holds).found


def clock(at_ms):
    """A moment of the day as 16:30:00."""
    return str(timedelta(milliseconds=at_ms - london_ms(f"{DAY} 00:00")))


def test_a_history_with_a_known_answer():
    """Idle 16:00-17:10 and 17:20-18:00: two shut-downs, one of them cuts a session off, and the energy to the Wh."""
    first, second = found(("16:00", "17:10"), ("17:20", "18:00"))
    assert [clock(at) for at in (first.at_ms, first.off_ms, second.at_ms, second.off_ms)] == [
        "16:30:00",
        "16:32:00",
        "17:50:00",
        "17:52:00",
    ]
    # 38 min at 90 W idle less 2.6 W off; a start is 2 min at 90 W; low is 38 % of mid.
    assert first.high_wh == pytest.approx(87.4 * 38 / 60)
    assert first.mid_wh == pytest.approx(87.4 * 38 / 60 - 3)
    assert first.low_wh == pytest.approx(0.38 * (87.4 * 38 / 60 - 3))
    assert (first.cut_off, second.cut_off) == (False, True)
    figures = total([first, second])
    assert (figures.asked, figures.switched, figures.cut_off, figures.vetoed) == (2, 2, 1, 0)
    assert round(figures.high_kwh * 1000) == round(87.4 * 46 / 60) == 67
    assert round(figures.mid_kwh * 1000) == 61
    assert round(figures.avoided_h * 60) == 46
    assert by_rule_and_room([first, second]) == {("after-hours", "ash/lib"): figures}


def test_used_again_within_the_warning_is_a_veto_and_saves_nothing():
    """Somebody is back a minute after the question: the machine stays on, and nobody is asked again for an hour."""
    asked = found(("16:00", "16:31"), ("16:35", "17:20"), ("17:25", "18:30"))
    assert [clock(item.at_ms) for item in asked] == ["16:30:00", "17:55:00"]
    assert (asked[0].vetoed, asked[0].done, asked[0].high_wh) == (True, False, 0.0)
    # The second idle time reaches half an hour at 17:05, within the hour after the veto.
    assert total(asked).vetoed == 1
    assert [clock(item.at_ms) for item in found(("16:00", "16:31"), ("16:35", "18:30"))] == ["16:30:00", "17:31:00"]


def test_a_rule_whose_hours_end_too_soon_gives_way_to_the_next():
    """Idle for ten minutes at 16:58, when the first rule has two minutes left: the second one asks at half an hour."""
    first = SIMPLE.replace("16:30-07:30", "12:10-17:00").replace("30 min", "10 min").replace("after-hours", "daytime")
    (item,) = found(("16:48", "19:00"), text=first + SIMPLE[SIMPLE.index("[[rules]]") :])
    assert (item.rule, clock(item.at_ms)) == ("after-hours", "17:18:00")


@pytest.mark.parametrize(("minutes", "cut_off"), [("16:47", True), ("16:48", False)])
def test_a_session_counts_as_cut_off_up_to_fifteen_minutes_after(minutes, cut_off):
    """Off at 16:32: used again at 16:47 is a session cut off, at 16:48 it is not."""
    (item,) = found(("15:00", minutes))
    assert item.cut_off is cut_off


def test_idle_time_counts_to_the_end_of_the_rules_hours_at_most():
    """Left on over night and until ten: avoided from 16:32 to 07:30, not to 10:00."""
    (item,) = found(("15:00", "2026-10-07 10:00"))
    assert item.avoided_s == (london_ms("2026-10-07 07:30") - london_ms(f"{DAY} 16:32")) / 1000


def test_what_stays_off_counts_in_the_hours_of_every_rule_that_is_for_it():
    """Asleep since lunch and unused until late: what counts is lunch and the evening, not the afternoon between."""
    lunch = SIMPLE.replace("16:30-07:30", "12:10-13:30").replace("after-hours", "lunch").replace("shut_down", "sleep")
    (item,) = found(("12:00", "20:00"), text=lunch + SIMPLE[SIMPLE.index("[[rules]]") :])
    assert (item.rule, clock(item.off_ms)) == ("lunch", "12:32:00")
    assert item.avoided_s == (58 + 210) * 60


@pytest.mark.parametrize(
    ("day", "night", "whole"), [("2026-10-24", 15, 25), ("2026-03-28", 13, 23), ("2026-10-10", 14, 24)]
)
def test_hours_count_by_the_clock_on_the_wall(day, night, whole):
    """The night and the Sunday of a clock change have an hour more or less."""
    text = SIMPLE.replace("mon-fri 16:30-07:30", "sat 18:00-08:00")
    text += SIMPLE[SIMPLE.index("[[rules]]") :].replace("mon-fri 16:30-07:30", "sun 00:00-24:00").replace("after", "of")
    policy = policy_from(text)
    begin_ms = london_ms(f"{day} 12:00")
    hours = RuleHours(LIBRARY, policy, begin_ms, begin_ms + 3 * 86_400_000, NO_TIMETABLE)
    evening, sunday = policy.rules
    assert hours.within_s([evening], begin_ms, begin_ms + 2 * 86_400_000) == night * 3600
    assert hours.within_s([sunday], begin_ms, begin_ms + 2 * 86_400_000) == whole * 3600
    assert hours.within_s([evening, sunday], begin_ms, begin_ms + 2 * 86_400_000) == (6 + whole) * 3600
    assert hours.next_open_ms([evening], begin_ms) == london_ms(f"{day} 18:00")
    assert hours.next_open_ms([evening], begin_ms + 2 * 86_400_000) is None


def test_silence_is_no_idle_time():
    """Reports from 17:00 to 18:00 are missing: what is counted ends with the last one before them."""
    (item,) = found(("15:00", "19:00"), gap=("17:00", "18:00"))[:1]
    assert clock(item.idle_until_ms) == "16:55:00"
    assert item.used_ms is None
    later = found(("15:00", "19:00"), gap=("17:00", "18:00"))[1:]
    assert later == []  # asked in this same idle time already


def test_a_new_boot_ends_an_idle_time():
    """A crash and a start within a heartbeat: nobody knows whether it was idle all the while."""
    made = Recording()
    for seq, (minute, boot) in enumerate(((0, 1), (5, 1), (9, 2), (14, 2)), 1):
        made.add(FROM_MS + minute * 60_000, IDLE, EPOCH, boot, seq, 600, 36_000)
    made.end()
    assert [(idle.from_ms - FROM_MS, idle.until_ms - FROM_MS) for idle in made.idle_times] == [
        (0, 300_000),
        (540_000, 840_000),
    ]


def test_a_hold_a_lesson_and_a_tag_keep_machines_on():
    """The guards are the live ones: what keeps a machine on there keeps it on here, and no longer."""
    hold = Hold(
        id=1,
        kind="hold",
        school="ash",
        room="lib",
        device=None,
        reason="",
        from_ms=FROM_MS,
        until_ms=london_ms(f"{DAY} 17:00"),
    )
    assert [clock(item.at_ms) for item in found(("15:00", "19:00"), holds=[hold])] == ["17:00:00"]
    booked = (device(room="ict1"), recording(("15:00", "23:00")))  # booked 18:00 to 19:00, and 20 min before
    assert [clock(item.at_ms) for item in replay(booked).found] == ["16:30:00"]
    late = (device(room="ict1"), recording(("17:15", "23:00")))
    assert [clock(item.at_ms) for item in replay(late).found] == ["19:00:00"]
    assert replay((device(tags=("exempt",)), recording(("15:00", "23:00")))).found == []
    assert replay((device(device_class="server"), recording(("15:00", "23:00")))).found == []
    assert replay((device(), recording(("15:00", "23:00"), abilities=(Verb.WARN,)))).found == []


def test_caps_hold_machines_back_as_they_do_live():
    """Thirty machines are idle at 16:30: twelve of them a minute; all have come within the third."""
    machines = [(device(number), recording(("15:00", "23:00"))) for number in range(1, 31)]
    times = [clock(item.at_ms) for item in replay(*machines).found]
    assert {at: times.count(at) for at in times} == {"16:30:00": 12, "16:31:00": 12, "16:32:00": 6}
    # Each waits for a place of its own: 30 are asked about, then the 12 whose turn it is, then 6.
    assert replay(*machines).decided == 30 + 12 + 6
    half = SIMPLE.replace("room_percent = 100", "room_percent = 50")
    times = [clock(item.at_ms) for item in replay(*machines, text=half).found]
    assert {at: times.count(at) for at in times} == {"16:30:00": 12, "16:31:00": 3, "16:40:00": 12, "16:41:00": 3}


def test_a_policy_is_tried_as_if_it_were_live_and_equals_itself():
    """The mode does not matter, and the same policy on the same record gives the very same figures."""
    spans = ("15:00", "17:10"), ("17:20", "18:00"), ("18:10", "23:00")
    assert found(*spans) == found(*spans)
    assert found(*spans, text=SIMPLE.replace('"live"', '"observe"')) == found(*spans)


def test_warning_only_and_restart_save_nothing_and_sleep_saves_less():
    """Energy goes by what the rule does: watts asleep instead of off, and no start to pay for."""
    by = {
        word: found(("15:00", "17:10"), text=SIMPLE.replace('"shut_down"', f'"{word}"'))[0]
        for word in ("sleep", "restart", "warn_only")
    }
    assert by["sleep"].high_wh == by["sleep"].mid_wh == pytest.approx((90 - 3) * 38 / 60)
    assert by["restart"].high_wh == by["warn_only"].high_wh == 0
    assert (by["restart"].done, by["warn_only"].done) == (True, False)


def test_a_machine_is_not_switched_more_often_than_its_cap_a_day():
    """With one power cycle a day, the second idle time of a day is left alone, the first of the next is not."""
    spans = ("15:00", "17:10"), ("17:20", "18:30"), ("2026-10-07 00:30", "2026-10-07 02:00")
    once = SIMPLE.replace("[limits]", "[limits]\ncycles_per_day = 1")
    assert len(found(*spans)) == 3
    assert [clock(item.at_ms) for item in found(*spans, text=once)] == ["16:30:00", "1 day, 1:00:00"]


def test_an_idle_time_that_a_rule_ended_is_marked():
    """What the machine would have done after the rule in force switched it off is not known."""
    made = Recording()
    for minute in range(0, 40, 5):
        made.add(FROM_MS + minute * 60_000, IDLE, EPOCH, 1, minute + 1, 600 + minute * 60, 36_000)
    made.add(FROM_MS + 2_400_000, OFF, EPOCH, 1, 90, by_rule=True)
    made.end()
    text = SIMPLE.replace("16:30-07:30", "12:00-13:00")
    (item,) = replay((device(), made), text=text).found
    assert item.by_rule
    assert item.used_ms is None
    assert item.avoided_s == (FROM_MS + 2_400_000 - item.off_ms) / 1000


# -- any history -------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from(["idle", "use", "off", "silent"]), st.integers(1, 120)), max_size=14)
RULES = (
    SIMPLE.replace("16:30-07:30", "12:10-13:00").replace('"30 min"', '"10 min"').replace('"after-hours"', '"lunch"')
    + SIMPLE[SIMPLE.index("[[rules]]") :]
)


def played(steps):
    """Reports of a machine that does this from noon on: (at_ms, state, boot, seq, idle_s, uptime_s)."""
    reports, at_ms, boot, seq, input_ms, up_ms, on = [], FROM_MS, 1, 0, FROM_MS, FROM_MS, True

    def tell(state):
        nonlocal seq
        seq += 1
        told = (at_ms - input_ms) // 1000, (at_ms - up_ms) // 1000
        reports.append((at_ms, state, boot, seq, *(told if state is not OFF else (None, None))))

    tell(IN_USE)
    for word, minutes in steps:
        end_ms = at_ms + minutes * 60_000
        if word == "silent":
            at_ms = end_ms
            continue
        if word == "off":
            if on:
                tell(OFF)
                on = False
            at_ms = end_ms
            continue
        if not on:
            on, boot, seq, up_ms = True, boot + 1, 0, at_ms
        input_ms = at_ms
        tell(IN_USE)
        while at_ms + 300_000 <= end_ms:
            at_ms += 300_000
            if word == "use":
                input_ms = at_ms
            tell(IN_USE if word == "use" else IDLE)
        at_ms = end_ms
    return reports


def recorded(reports):
    """The recording of these reports."""
    made = Recording()
    for at_ms, state, boot, seq, idle, uptime in reports:
        made.add(at_ms, state, EPOCH, boot, seq, idle, uptime)
    made.end()
    return made


def every_tick(made, policy):
    """Whom the policy asks when every tick is looked at, with nothing left out and nothing jumped over."""
    asks, asked, cycles = [], {}, {}
    policy = structs.replace(policy, mode=Mode.LIVE)
    for now_ms in range(FROM_MS, UNTIL_MS, 30_000):
        idle = next((each for each in made.idle_times if each.from_ms <= now_ms < each.until_ms), None)
        if idle is None:
            continue
        world = snapshot((device(), made.tracked(idle, now_ms)), school=LIBRARY, asked=asked, cycles=cycles)
        (decision,) = energy.judge(world, policy, now_ms)
        if not decision.acts:
            continue
        asks.append(now_ms)
        off_ms = now_ms + decision.warn_s * 1000
        veto = idle.used_ms is not None and idle.used_ms <= off_ms
        asked[device().address] = Asked(
            verb=Verb.SHUT_DOWN,
            asked_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_S * 1000,
            step=Step.VETOED if veto else Step.DONE,
            step_ms=idle.used_ms if veto else off_ms,
        )
    return asks


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_no_tick_that_matters_is_jumped_over(steps):
    """Looking only where a decision can have changed asks at the very ticks at which looking at all of them does."""
    made = recorded(played(steps))
    assert [item.at_ms for item in replay((device(), made), text=RULES).found] == every_tick(made, policy_from(RULES))


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_never_more_avoided_than_idle(steps):
    """Whatever the history: avoided time is part of recorded idle time, and low <= mid <= high."""
    made = recorded(played(steps))
    items = replay((device(), made), text=RULES).found
    assert sum(item.avoided_s for item in items) <= idle_s([made], FROM_MS, UNTIL_MS)
    assert all(item.low_wh <= item.mid_wh <= item.high_wh for item in items)
    assert all(item.avoided_s >= 0 for item in items)
    spans = [(idle.from_ms, idle.until_ms) for idle in made.idle_times]
    for item in items:
        assert any(begin <= item.at_ms < end and item.idle_until_ms <= end for begin, end in spans)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 24 * 60))
def test_what_is_known_of_a_machine_is_what_a_collector_would_know(steps, minute):
    """The few reports that are kept lead to the state, its beginning and the readings that all of them lead to."""
    now_ms, reports = FROM_MS + minute * 60_000, played(steps)
    made = recorded(reports)
    idle = next((each for each in made.idle_times if each.from_ms <= now_ms < each.until_ms), None)
    if idle is None:
        return
    whole, was = Tracked(), IN_USE
    for at_ms, state, boot, seq, idle_told, uptime in reports:
        if at_ms > now_ms:
            break
        came = was is OFF and state is not OFF
        told = report(
            seq,
            state,
            was if state is not was else None,
            boot=boot,
            at_ms=at_ms,
            cause=Cause.BOOT if came else None,
            gauges=Gauges(idle_s=idle_told, uptime_s=uptime),
        )
        whole, _ = tracking.track(whole, told, at_ms, PresenceSettings())
        was = state
    known = made.tracked(idle, now_ms)
    assert known.telemetry == whole.telemetry
    assert (known.presence.state, known.presence.at_ms) == (whole.presence.state, whole.presence.at_ms)
    first = made.idle_times.index(idle) == 0 or made.idle_times[made.idle_times.index(idle) - 1].used_ms is not None
    if first:
        assert known.presence.since_ms == whole.presence.since_ms
