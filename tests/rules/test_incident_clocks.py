"""The clocks of an incident: what is used, what is left and as which moment, and how that reads."""

from datetime import date

import pytest
from msgspec import structs

from caretaker_rules import clocks
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened, fold
from caretaker_rules.model import LevelChange
from caretaker_rules.service import MatrixRow, PriorityTimes, ServiceFile, ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from rules_world import LONDON, SCHOOL, london_ms

TIMES = [
    PriorityTimes(priority=1, respond="30 min", fix="4 h"),
    PriorityTimes(priority=2, respond="1 h", fix="8 h"),
]
EARLY = ServiceLevel(
    name="early", hours=["mon-fri 08:00-17:00"], availability_target=0.98, priorities=TIMES, matrix=list[MatrixRow]()
)
LATE = structs.replace(
    EARLY,
    name="late",
    hours=["mon-fri 07:00-19:00"],
    priorities=[PriorityTimes(priority=1, respond="5 min", fix="1 h")],
)
HOURS = ServiceClock.of(
    structs.replace(SCHOOL, service_level="early", levels=[LevelChange(level="late", starts=date(2026, 10, 14))]),
    ServiceFile(levels=[EARLY, LATE]),
)
Step = tuple[str, Action]


def incident(opened: str, *steps: Step, priority: int | None = 1) -> Incident:
    """An incident of an always-on server, by what happened to it and when."""
    told = Opened(
        kind=FindingKind.SERVER_DOWN,
        subject=Subject("ash", "servers", "files"),
        title="server down",
        since_ms=london_ms(opened) - 60_000,
        priority=priority,
    )
    entries = [Entry(uid="1", at_ms=london_ms(opened), by="rules", action=Action.OPENED, opened=told)]
    entries += [Entry(uid="1", at_ms=london_ms(at), by="ann", action=action) for at, action in steps]
    return fold(1, entries)


def said(which: str, found: Incident, now: str) -> str:
    """The text of its clock at a time of London."""
    now_ms = london_ms(now)
    clock = (clocks.response if which == "response" else clocks.fix)(found, HOURS, now_ms)
    return clocks.text(clock, LONDON, now_ms) if clock is not None else "none"


# Tuesday 6 October 2026, hours 08:00-17:00, priority 1: 30 min to answer, 4 h to mend.
ACK, PAUSE, RESUME, FIXED, AGAIN = (
    Action.ACKNOWLEDGED,
    Action.PAUSED,
    Action.RESUMED,
    Action.FIXED,
    Action.REOPENED,
)
OPENED = "2026-10-06 10:00"


@pytest.mark.parametrize(
    ("steps", "now", "response", "fix"),
    [
        ([], "2026-10-06 10:10", "due Tue 10:30 (20 min left)", "due Tue 14:00 (3 h 50 min left)"),
        ([], "2026-10-06 10:30", "due Tue 10:30 (0 min left)", "due Tue 14:00 (3 h 30 min left)"),
        ([], "2026-10-06 12:33", "late since Tue 10:30 (by 2 h 3 min of service)", "due Tue 14:00 (1 h 27 min left)"),
        # answered: that clock stands; the other one runs on, and overnight it waits
        (
            [("2026-10-06 10:08", ACK)],
            "2026-10-07 07:00",
            "answered after 8 min of 30 min",
            "late since Tue 6 Oct 14:00 (by 3 h of service)",
        ),
        # waiting for the customer from 10:30 to 16:30: 30 min used before it, 30 min until closing
        (
            [("2026-10-06 10:20", ACK), ("2026-10-06 10:30", PAUSE)],
            "2026-10-06 16:00",
            "answered after 20 min of 30 min",
            "waiting for the customer, 3 h 30 min left",
        ),
        (
            [("2026-10-06 10:30", PAUSE), ("2026-10-06 16:30", RESUME)],
            "2026-10-06 16:30",
            "due Tue 10:30 (0 min left)",
            "due Wed 7 Oct 11:00 (3 h 30 min left)",
        ),
        # late, and then waiting: late all the same
        (
            [("2026-10-06 15:00", PAUSE)],
            "2026-10-06 16:00",
            "waiting for the customer, late by 4 h 30 min",
            "waiting for the customer, late by 1 h",
        ),
        # fixed without an answer: nobody has to answer any more
        (
            [("2026-10-06 11:02", FIXED)],
            "2026-10-08 09:00",
            "answered after 1 h 2 min of 30 min, 32 min late",
            "fixed after 1 h 2 min of 4 h",
        ),
        (
            [("2026-10-06 10:01", FIXED)],
            "2026-10-08 09:00",
            "answered after 1 min of 30 min",
            "fixed after 1 min of 4 h",
        ),
        # answered after it was fixed: the fix counts
        (
            [("2026-10-06 10:20", FIXED), ("2026-10-06 12:00", ACK)],
            "2026-10-08 09:00",
            "answered after 20 min of 30 min",
            "fixed after 20 min of 4 h",
        ),
        # fixed while waiting: the pause ends with it
        (
            [("2026-10-06 11:00", PAUSE), ("2026-10-06 13:00", FIXED)],
            "2026-10-08 09:00",
            "answered after 1 h of 30 min, 30 min late",
            "fixed after 1 h of 4 h",
        ),
        # back after an hour: as if it had never been fixed
        (
            [("2026-10-06 10:05", ACK), ("2026-10-06 11:00", FIXED), ("2026-10-06 12:00", AGAIN)],
            "2026-10-06 13:00",
            "answered after 5 min of 30 min",
            "due Tue 14:00 (1 h left)",
        ),
    ],
)
def test_both_clocks_read_as_they_should(steps: list[Step], now: str, response: str, fix: str) -> None:
    found = incident(OPENED, *steps)
    assert (said("response", found, now), said("fix", found, now)) == (response, fix)


def test_a_fix_after_closing_with_the_allowance_just_used_up_is_in_time() -> None:
    found = incident("2026-10-06 13:00", ("2026-10-06 21:00", FIXED))
    clock = clocks.fix(found, HOURS, london_ms("2026-10-07 12:00"))
    assert clock is not None
    assert (clock.used_ms, clock.late, clock.due_ms) == (4 * 3_600_000, False, london_ms("2026-10-06 17:00"))
    later = clocks.fix(incident("2026-10-06 13:00", ("2026-10-07 08:01", FIXED)), HOURS, london_ms("2026-10-07 12:00"))
    assert later is not None and later.late and later.left_ms == -60_000


def test_waiting_for_the_customer_after_the_answer_does_not_move_when_the_answer_was_due() -> None:
    found = incident(OPENED, ("2026-10-06 10:20", ACK), ("2026-10-06 10:25", PAUSE))
    clock = clocks.response(found, HOURS, london_ms("2026-10-06 12:00"))
    assert clock is not None and not clock.paused
    assert clock.due_ms == london_ms("2026-10-06 10:30")
    assert clock.runs == ((london_ms(OPENED), london_ms("2026-10-06 10:30")),)


def test_the_times_are_those_of_the_day_it_was_opened_and_the_hours_those_of_each_day() -> None:
    """Opened on the last day of the old level: 4 h, of which the new level's longer day uses up more."""
    found = incident("2026-10-13 16:30")
    assert said("fix", found, "2026-10-13 16:30") == "due Wed 14 Oct 10:30 (4 h left)"
    assert said("fix", incident("2026-10-14 07:30"), "2026-10-14 07:30") == "due Wed 08:30 (1 h left)"


def test_there_is_no_clock_without_priority_times_level_or_of_a_merged_incident() -> None:
    now_ms = london_ms(OPENED)
    merged = incident(OPENED, ("2026-10-06 10:10", Action.MERGED))
    for found in (incident(OPENED, priority=None), incident(OPENED, priority=9), merged):
        assert clocks.response(found, HOURS, now_ms) is None
        assert clocks.fix(found, HOURS, now_ms) is None
    nothing_agreed = ServiceClock.of(SCHOOL, None)
    assert clocks.fix(incident(OPENED), nothing_agreed, now_ms) is None


def test_where_no_service_comes_any_more_nothing_is_due_and_it_says_so() -> None:
    never = structs.replace(EARLY, hours=["sun 08:00-09:00"], days=[])
    hours = ServiceClock.of(structs.replace(SCHOOL, service_level="early"), ServiceFile(levels=[never]))
    now_ms = london_ms(OPENED)
    clock = clocks.fix(incident(OPENED), hours, now_ms)
    assert clock is not None and clock.due_ms is None and not clock.late
    assert clocks.text(clock, LONDON, now_ms) == "not due within 400 days, 4 h left"


@pytest.mark.parametrize(
    ("steps", "now", "expected"),
    [
        ([], "2026-10-06 10:00", "2026-10-06 13:00"),  # 3 of 4 h
        ([("2026-10-06 12:00", PAUSE), ("2026-10-06 15:30", RESUME)], "2026-10-06 16:00", "2026-10-06 16:30"),
        ([("2026-10-06 12:00", PAUSE)], "2026-10-06 16:00", None),  # nobody knows while it waits
        ([("2026-10-06 13:30", PAUSE)], "2026-10-06 16:00", "2026-10-06 13:00"),  # it was warned of before
        ([], "2026-10-07 12:00", "2026-10-06 13:00"),  # late already
        ([("2026-10-06 11:00", FIXED)], "2026-10-06 16:00", None),
        ([("2026-10-06 13:30", FIXED)], "2026-10-06 16:00", "2026-10-06 13:00"),
    ],
)
def test_the_moment_of_the_warning_is_when_three_quarters_are_used(
    steps: list[Step], now: str, expected: str | None
) -> None:
    clock = clocks.fix(incident(OPENED, *steps), HOURS, london_ms(now))
    assert clock is not None
    assert clocks.warn_ms(clock, 0.75) == (london_ms(expected) if expected else None)


def test_a_warning_over_night_lies_in_the_morning() -> None:
    clock = clocks.fix(incident("2026-10-06 16:30"), HOURS, london_ms("2026-10-06 16:40"))
    assert clock is not None
    assert clocks.warn_ms(clock, 0.75) == london_ms("2026-10-07 10:30")


@pytest.mark.parametrize(
    ("length_ms", "expected"),
    [(0, "0 min"), (59_000, "under 1 min"), (60_000, "1 min"), (3_600_000, "1 h"), (98_100_000, "27 h 15 min")],
)
def test_lengths_of_service_stay_hours(length_ms: int, expected: str) -> None:
    assert clocks.length_text(length_ms) == expected
