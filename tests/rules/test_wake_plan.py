"""The wakes that are foreseen are those that the live waking finds when their time has come, no more and no fewer."""

from datetime import date
from typing import Any

import pytest
from msgspec import structs

from caretaker_contract.messages import Cause
from caretaker_rules.model import Device, Hold, Room, School, Tracked
from caretaker_rules.policy import Mode, Policy
from caretaker_rules.timetable import NO_TIMETABLE, Timetable
from caretaker_rules.wake_plan import PlannedWake, not_frozen, planned_wakes
from caretaker_rules.waking import WakeSnapshot, decide_wakes
from rules_world import CLASSES, SCHOOL, london_ms, machine, policy_from, snapshot

FIRST, DAYS = date(2026, 10, 20), 8  # a Tuesday; half term begins, and the clocks go back on the 25th
STEP_MS = 300_000
POLICY = policy_from("""
mode = "live"
[[wake]]
name = "first"
select = { rooms = ["ict1", "hall", "lab", "night"] }
before = "first_booking"
[[wake]]
name = "office"
select = { rooms = ["office"] }
at = "07:30"
days = "tue-thu"
lead = "30 min"
[[patch]]
name = "patches"
select = { rooms = ["ict1"] }
hours = ["tue 22:00-02:00", "sun 01:30-02:30"]
""")
PLACE = structs.replace(
    SCHOOL,
    terms=[*SCHOOL.terms],
    rooms=[*SCHOOL.rooms, Room(name="lab", calendar="lab.ics"), Room(name="night", lessons=[], calendar="night.ics")],
)


def spans(*texts: str) -> tuple[tuple[int, int], ...]:
    return tuple((london_ms(text[:16]), london_ms(text[17:])) for text in texts)


TIMETABLE = Timetable(
    first_day=date(2026, 10, 1),
    last_day=date(2026, 12, 1),
    bookings={
        "lab": spans(
            "2026-10-20 09:00 2026-10-20 10:00",
            "2026-10-20 11:00 2026-10-20 12:00",  # not the first of its day
            "2026-10-25 00:05 2026-10-25 03:00",  # waking begins the evening before, and the clocks go back
            "2026-10-26 00:00 2026-10-26 00:30",
            "2026-10-28 00:05 2026-10-28 01:00",  # waking begins on the last evening
        ),
        # Runs on from the evening before, until shortly before the first one of the day.
        "night": spans(
            "2026-10-21 20:00 2026-10-22 08:40",
            "2026-10-22 08:50 2026-10-22 10:00",
            "2026-10-28 09:00 2026-10-28 10:00",
        ),
    },
)


def machines(**more: Any) -> list[tuple[Device, Tracked]]:
    """One in each room, off for weeks."""
    found = []
    for number, room in enumerate(room.name for room in PLACE.rooms):
        found.append(machine(name=f"pc-{number}", room=room, state="off", idle_state="900 h", cause=Cause.RULE, **more))
    return found


def plan(policy: Policy = POLICY, timetable: Timetable = TIMETABLE, **more: Any) -> list[PlannedWake]:
    school: School = more.pop("school", PLACE)
    devices = more.pop("devices", [device for device, _ in machines()])
    return planned_wakes(school, CLASSES, devices, policy, timetable, FIRST, DAYS)


def test_what_is_foreseen_is_what_the_live_waking_finds() -> None:
    """Asked every five minutes of eight days, which rooms are wanted for what, and since when."""
    begin_ms, end_ms = london_ms("2026-10-20 00:00"), london_ms("2026-10-28 00:00")
    known = machines(now_ms=begin_ms)
    live: dict[tuple[str, int, str], int] = {}
    for now_ms in range(begin_ms, end_ms, STEP_MS):
        world = snapshot(*known, school=PLACE, timetable=TIMETABLE)
        for wake in decide_wakes(WakeSnapshot(school=world), POLICY, now_ms):
            live.setdefault((wake.room, wake.needed_ms, wake.decision.rule), now_ms)
    foreseen = {
        (wake.room, wake.needed_ms, "patch" if wake.kind == "patch" else wake.rule): wake.from_ms for wake in plan()
    }
    assert foreseen.keys() == live.keys()
    # Where another booking runs on until then, the live waking sees the lesson later than its lead.
    late = ("night", london_ms("2026-10-22 08:50"), "first")
    assert live.pop(late) == london_ms("2026-10-22 08:40")
    assert foreseen.pop(late) == london_ms("2026-10-22 08:35")
    assert foreseen == live


def test_each_room_and_occasion_once_in_order_of_time() -> None:
    found = plan()
    assert len({(wake.room, wake.needed_ms, wake.kind) for wake in found}) == len(found)
    assert [wake.from_ms for wake in found] == sorted(wake.from_ms for wake in found)
    assert [(wake.room, wake.kind, wake.from_ms, wake.needed_ms) for wake in found[:3]] == [
        ("office", "at", london_ms("2026-10-20 07:00"), london_ms("2026-10-20 07:30")),
        ("ict1", "lesson", london_ms("2026-10-20 08:35"), london_ms("2026-10-20 08:50")),
        ("lab", "lesson", london_ms("2026-10-20 08:45"), london_ms("2026-10-20 09:00")),
    ]
    patches = [wake for wake in found if wake.kind == "patch"]
    assert [(wake.from_ms, wake.until_ms) for wake in patches][:1] == [
        (london_ms("2026-10-20 22:00"), london_ms("2026-10-21 02:00"))
    ]


def test_a_room_whose_calendar_is_unknown_has_none() -> None:
    assert not [wake for wake in plan() if wake.room == "hall"]
    broken = structs.replace(TIMETABLE, wrong_rooms={"lab": "lab.ics cannot be read"})
    assert {wake.room for wake in plan() if wake.kind == "lesson"} == {"ict1", "lab", "night"}
    assert {wake.room for wake in plan(timetable=broken) if wake.kind == "lesson"} == {"ict1", "night"}
    assert {wake.room for wake in plan(timetable=NO_TIMETABLE) if wake.kind == "lesson"} == {"ict1"}
    unread = structs.replace(PLACE, timetable="t.csv")
    assert {wake.kind for wake in plan(timetable=NO_TIMETABLE, school=unread)} >= {"patch"}
    assert not [wake for wake in plan(timetable=NO_TIMETABLE, school=unread) if wake.kind == "lesson"]


@pytest.mark.parametrize(
    "words", [{"mac": None}, {"tags": ("exempt",)}, {"device_class": "server"}], ids=["no mac", "exempt", "always on"]
)
def test_what_no_rule_wakes_asks_for_no_wake(words: dict[str, Any]) -> None:
    assert plan(devices=[device for device, _ in machines(**words)]) == []


def test_where_the_mode_sends_nothing_nothing_is_planned() -> None:
    trial = structs.replace(POLICY, mode=Mode.TRIAL, trial_rooms=("lab",))
    assert {wake.room for wake in plan(policy=trial)} == {"lab"}


def test_an_exam_freeze_of_the_room_takes_its_wakes_away_and_that_of_a_machine_does_not() -> None:
    def freeze(**more: Any) -> Hold:
        words = {"room": None, "device": None, **more}
        span = london_ms("2026-10-20 08:00"), london_ms("2026-10-20 08:40")
        return Hold(id=1, kind="freeze", school="ash", from_ms=span[0], until_ms=span[1], reason="", **words)

    def rooms(*holds: Hold) -> list[str]:
        until_ms = london_ms("2026-10-20 09:00")
        return [wake.room for wake in not_frozen(plan(), holds) if wake.from_ms < until_ms]

    assert rooms() == ["office", "ict1", "lab"]
    assert rooms(freeze()) == rooms(freeze(room="ict1")) == ["office", "lab"]
    assert rooms(freeze(room="lab")) == rooms(freeze(device="pc-1")) == ["office", "ict1", "lab"]
