"""Kinds of day, week A and B, bookings from files: what the core makes of a school's files, and of doubt about them."""

from datetime import date
from typing import Any

import pytest
from msgspec import structs

from caretaker_rules.calendar import Booked, Free, Unknown, booking
from caretaker_rules.energy import decide
from caretaker_rules.model import Hold, Room, School
from caretaker_rules.reasons import Why
from caretaker_rules.timetable import NO_TIMETABLE, DayKind, Lesson, Timetable, booked_at, day_kind
from rules_world import NOW_MS, SCHOOL, london_ms, machine, policy_from, snapshot

FILES = structs.replace(SCHOOL, days="days.csv", timetable="timetable.csv", calendars=["school.ics"])
READ = Timetable(first_day=date(2026, 9, 1), last_day=date(2026, 12, 31))
BY_DAY = """
mode = "live"

[[rules]]
name = "in-term"
select = { everything = true }
hours = ["mon-fri 17:00-07:00"]
days = ["term"]
idle_for = "30 min"
do = "shut_down"

[[rules]]
name = "holidays"
select = { everything = true }
hours = ["mon-sun 00:00-24:00"]
days = ["holiday", "bank_holiday"]
idle_for = "30 min"
do = "sleep"
"""


def told(at: str, school: School = SCHOOL, timetable: Timetable = NO_TIMETABLE) -> tuple[str, str, list[Why]]:
    """Verdict, rule and reasons for an idle machine of the office, which is never booked."""
    now_ms = london_ms(at)
    world = snapshot(machine(room="office", now_ms=now_ms), school=school, timetable=timetable)
    (decision,) = decide(world, policy_from(BY_DAY), now_ms)
    return decision.verdict.value, decision.rule, [reason.why for reason in decision.reasons]


def read(**more: Any) -> Timetable:
    """What was read, with these parts."""
    return structs.replace(READ, **more)


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (date(2026, 10, 6), DayKind.TERM),
        (date(2026, 10, 5), DayKind.HOLIDAY),  # closed_days
        (date(2026, 10, 10), DayKind.WEEKEND),
        (date(2026, 10, 28), DayKind.HOLIDAY),  # between two terms
        (date(2026, 10, 31), DayKind.WEEKEND),  # in half term
        (date(2026, 9, 2), DayKind.TERM),  # first and last day of a term are in it
        (date(2026, 12, 18), DayKind.TERM),
        (date(2026, 8, 31), None),  # before the first term that is written down
        (date(2026, 12, 21), None),
    ],
)
def test_kind_of_day_from_the_terms(day: date, kind: DayKind | None) -> None:
    """Terms, closed days and weekends say the kind; beyond the written terms nobody knows."""
    assert day_kind(SCHOOL, day) is kind


def test_what_says_the_kind_of_a_day_in_order() -> None:
    """The days file outranks the weekend, that a bank holiday, that INSET, that the terms."""
    tuesday, saturday = date(2026, 10, 6), date(2026, 10, 10)
    inset = structs.replace(FILES, inset_days=[tuesday, saturday])
    assert day_kind(inset, tuesday, READ) is DayKind.INSET
    assert day_kind(inset, saturday, READ) is DayKind.WEEKEND
    closed = read(closures={tuesday: DayKind.HOLIDAY})
    assert day_kind(FILES, tuesday, closed) is DayKind.HOLIDAY
    bank = structs.replace(closed, bank_holidays=frozenset({tuesday}))
    assert day_kind(inset, tuesday, bank) is DayKind.BANK_HOLIDAY
    said = structs.replace(bank, kinds={tuesday: DayKind.TERM, saturday: DayKind.TERM})
    assert day_kind(inset, tuesday, said) is DayKind.TERM
    assert day_kind(inset, saturday, said) is DayKind.TERM


def test_a_rule_applies_on_its_kinds_of_day_only() -> None:
    """The after-hours rule is for term days, another for the holidays."""
    assert told("2026-10-06 17:15")[:2] == ("shut_down", "in-term")
    assert told("2026-10-27 11:00")[:2] == ("sleep", "holidays")
    assert told("2026-10-10 17:15") == ("left_on", "in-term", [Why.OUTSIDE_RULE_HOURS])


def test_a_night_belongs_to_the_day_on_which_it_starts() -> None:
    """Early on the Saturday after a term day the evening rule is still on; early on the Monday after it is not."""
    friday_night = told("2026-10-10 02:00")
    assert friday_night[:2] == ("shut_down", "in-term")
    assert told("2026-10-31 02:00")[:2] == ("left_on", "in-term")  # Friday was half term
    assert told("2026-10-06 02:00")[:2] == ("left_on", "in-term")  # Monday 5 October was closed


def test_nothing_is_asked_on_a_day_of_a_kind_that_nobody_knows() -> None:
    """Beyond the written terms no rule with kinds of day applies, and the reason says that the calendar is why."""
    assert told("2027-01-12 17:15") == ("left_on", "in-term", [Why.CALENDAR_UNKNOWN])


def test_a_rule_says_its_kinds_of_day_where_it_says_its_hours() -> None:
    """Reasons name the hours with the kinds of day."""
    now_ms = london_ms("2026-10-27 11:00")
    (decision,) = decide(snapshot(machine(room="office", now_ms=now_ms)), policy_from(BY_DAY), now_ms)
    assert "within the rule's hours mon-sun 00:00-24:00 on holiday or bank holiday days" in map(str, decision.reasons)


def test_files_that_were_not_read_make_every_room_of_the_school_unknown() -> None:
    """A school that names files, of which nothing is known, has no free room: not even one that is never booked."""
    at_ms = london_ms("2026-10-06 17:15")
    office = Room(name="office", lessons=[])
    assert isinstance(booking(office, SCHOOL, at_ms, 0), Free)
    assert isinstance(booking(office, FILES, at_ms, 0), Unknown)
    assert isinstance(booking(office, FILES, at_ms, 0, READ), Free)
    assert booking(office, FILES, at_ms, 0, read(wrong="days.csv:3 date not a date")) == Unknown(
        "office (days.csv:3 date not a date)"
    )
    assert day_kind(FILES, date(2026, 10, 6), read(wrong="days.csv:3 date not a date")) is None
    assert isinstance(booking(office, FILES, london_ms("2027-01-12 10:00"), 0, READ), Unknown)  # beyond what was read


def test_a_room_with_a_calendar_is_unknown_until_that_is_read_and_when_it_is_broken() -> None:
    """The room's own file decides about this room only."""
    at_ms = london_ms("2026-10-06 17:15")
    ict1, office = Room(name="ict1", calendar="ict1.ics"), Room(name="office", lessons=[])
    assert isinstance(booking(ict1, SCHOOL, at_ms, 0), Unknown)
    assert booking(ict1, SCHOOL, at_ms, 0, READ) == Free(None)
    broken = read(wrong_rooms={"ict1": "ict1.ics:4 DTSTART missing"})
    assert booking(ict1, SCHOOL, at_ms, 0, broken) == Unknown("ict1 (ict1.ics:4 DTSTART missing)")
    assert isinstance(booking(office, SCHOOL, at_ms, 0, broken), Free)


def test_bookings_and_weekly_lessons_both_count() -> None:
    """A room is booked by either; bookings of a calendar hold in the holidays too; the next start is the earlier."""
    room = Room(name="ict1", lessons=["mon-fri 08:50-15:10"], calendar="ict1.ics")
    club = (london_ms("2026-10-06 16:00"), london_ms("2026-10-06 17:00"))
    course = (london_ms("2026-10-28 10:00"), london_ms("2026-10-28 16:00"))
    known = read(bookings={"ict1": (club, course)})

    def at(text: str, lead_s: int = 0) -> object:
        return booking(room, SCHOOL, london_ms(text), lead_s, known)

    assert at("2026-10-06 16:30") == Booked(*club)
    assert isinstance(at("2026-10-06 10:00"), Booked)
    assert at("2026-10-06 15:30") == Free(club[0])
    assert at("2026-10-06 15:45", 900) == Booked(*club)
    assert at("2026-10-06 17:00") == Free(london_ms("2026-10-07 08:50"))
    assert at("2026-10-28 12:00") == Booked(*course)
    assert isinstance(at("2026-10-29 12:00"), Free)


def test_weeks_a_and_b_alternate_as_the_days_file_says() -> None:
    """A lesson of week A is on in weeks that are A, by the day or by its Monday; an unknown week counts as booked."""
    lesson = Lesson(weekday=1, start_min=600, end_min=660, week="A")
    known = read(
        lessons={"ict1": (lesson,)},
        weeks={date(2026, 10, 6): "A", date(2026, 10, 12): "B", date(2026, 10, 19): "A"},
    )

    def at(text: str) -> object:
        return booking(Room(name="ict1"), FILES, london_ms(text), 0, known)

    assert isinstance(at("2026-10-06 10:30"), Booked)
    assert at("2026-10-13 10:30") == Free(london_ms("2026-10-20 10:00"))
    assert isinstance(at("2026-10-20 10:30"), Booked)
    assert at("2026-11-10 10:30") == Unknown("ict1 (no week is written down for 10 Nov 2026)")
    assert isinstance(at("2026-11-10 12:30"), Free)


def test_no_lessons_on_bank_holidays_inset_days_and_closures() -> None:
    """Weekly lessons take place on school days only, whichever file says that it is none; the days file can add one."""
    room, tuesday = Room(name="ict1", lessons=["tue-sat 10:00-11:00"]), date(2026, 10, 6)
    for school, known in (
        (FILES, read(bank_holidays=frozenset({tuesday}))),
        (FILES, read(closures={tuesday: DayKind.INSET})),
        (FILES, read(kinds={tuesday: DayKind.HOLIDAY})),
        (structs.replace(SCHOOL, inset_days=[tuesday]), NO_TIMETABLE),
    ):
        assert isinstance(booking(room, school, london_ms("2026-10-06 10:30"), 0, known), Free)
    assert isinstance(booking(room, FILES, london_ms("2026-10-06 10:30"), 0, READ), Booked)
    half_term = read(kinds={date(2026, 10, 31): DayKind.TERM})
    assert isinstance(booking(room, FILES, london_ms("2026-10-31 10:30"), 0, half_term), Booked)


def test_a_room_that_only_the_timetable_knows_needs_no_lessons_in_the_estate() -> None:
    """Lessons from the timetable are enough; a room that it does not name stays unknown."""
    known = read(lessons={"ict1": (Lesson(1, 600, 660),)})
    at_ms = london_ms("2026-10-06 12:00")
    assert isinstance(booking(Room(name="ict1"), FILES, at_ms, 0, known), Free)
    assert booking(Room(name="hall"), FILES, at_ms, 0, known) == Unknown("hall")


def test_an_exam_in_the_calendar_freezes_its_room_or_the_school() -> None:
    """A machine is left on while an exam is on in its room, or anywhere when no room is named."""
    freeze = Hold(
        id=0,
        kind="freeze",
        school="ash",
        room=None,
        device=None,
        from_ms=NOW_MS - 60_000,
        until_ms=NOW_MS + 3_600_000,
        reason="exam in the school's calendar",
    )
    policy = policy_from(BY_DAY)

    def verdict(*freezes: Hold) -> tuple[str, Why]:
        world = snapshot(machine(room="office"), timetable=read(freezes=freezes))
        (decision,) = decide(world, policy, NOW_MS)
        return decision.verdict.value, decision.reasons[0].why

    assert verdict() == ("shut_down", Why.IDLE_LONG_ENOUGH)
    assert verdict(freeze) == ("left_on", Why.FROZEN)
    assert verdict(structs.replace(freeze, room="office")) == ("left_on", Why.FROZEN)
    assert verdict(structs.replace(freeze, room="ict1")) == ("shut_down", Why.IDLE_LONG_ENOUGH)


def test_the_booking_at_a_moment_is_found_among_many() -> None:
    """Starts are inside and ends are not, as with lessons."""
    spans = tuple((start, start + 10) for start in range(0, 1000, 20))
    assert booked_at(spans, 40, 40) == ((40, 50), None)
    assert booked_at(spans, 50, 50) == (None, 60)
    assert booked_at(spans, 50, 60) == ((60, 70), None)
    assert booked_at(spans, 995, 2000) == (None, None)
    assert booked_at((), 0, 10) == (None, None)
