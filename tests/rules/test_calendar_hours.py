"""Local time: spans past midnight, clock changes, lessons, and what is not written down."""

from datetime import date

import pytest
from msgspec import structs

from caretaker_rules.calendar import Booked, Free, Unknown, booking, in_hours, midnight_ms, parse_span
from caretaker_rules.model import Room, Term
from rules_world import LONDON, SCHOOL, london_ms

EVENING = ["mon-fri 16:30-07:30"]
ICT1 = Room(name="ict1", lessons=["mon-fri 08:50-15:10", "tue 18:00-19:00"])


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-10-05 00:10", False),  # Monday: Sunday has no evening span
        ("2026-10-05 16:29", False),
        ("2026-10-05 16:30", True),
        ("2026-10-06 07:29", True),
        ("2026-10-06 07:30", False),
        ("2026-10-09 23:59", True),  # Friday evening
        ("2026-10-10 07:29", True),  # runs into Saturday morning
        ("2026-10-10 07:30", False),
        ("2026-10-10 17:00", False),
    ],
)
def test_span_past_midnight(moment, inside):
    """An evening span belongs to the day on which it starts, and runs into the next morning."""
    assert in_hours(EVENING, london_ms(moment), LONDON) is inside


def test_days_may_go_over_the_weekend():
    """sat-mon is Saturday, Sunday and Monday."""
    assert parse_span("sat-mon 00:00-24:00").days == {5, 6, 0}
    assert parse_span("wed 10:00-11:00").days == {2}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("mon-fri 25:00-26:00", "not a time of the day"),
        ("mon-fri 08:61-09:00", "not a time of the day"),
        ("mon-fri 08:00-08:00", "00:00-24:00"),
        ("mon-fri 24:00-08:00", "00:00-24:00"),
        ("mon-fry 08:00-09:00", "mon-fri 16:30-07:30"),
        ("08:00-09:00", "mon-fri 16:30-07:30"),
        ("mon 8:00-9:00", "not a time such as"),
        ("mon ٠٨:00-09:00", "not a time such as"),
    ],
)
def test_wrong_span_says_how_to_write_it(text, remedy):
    """What cannot be read is refused with its remedy."""
    with pytest.raises(ValueError, match=remedy):
        parse_span(text)


def test_hours_follow_the_wall_clock_over_both_clock_changes():
    """17:00 is 17:00 in summer and in winter; the hour that comes twice in October is inside both times."""
    assert in_hours(["sun 16:30-18:00"], london_ms("2026-10-25 17:00"), LONDON)
    assert in_hours(["sun 16:30-18:00"], london_ms("2026-03-29 17:00"), LONDON)
    first_ms = london_ms("2026-10-25 00:30") + 3_600_000
    for at_ms in (first_ms, first_ms + 3_600_000):
        assert in_hours(["sun 01:00-02:00"], at_ms, LONDON)
    assert not in_hours(["sun 01:00-02:00"], first_ms + 7_200_000, LONDON)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 10, 6), 24)])
def test_days_have_23_24_or_25_hours(day, hours):
    """A day goes from local midnight to local midnight."""
    following = date.fromordinal(day.toordinal() + 1)
    assert midnight_ms(following, LONDON) - midnight_ms(day, LONDON) == hours * 3_600_000


def test_booked_during_a_lesson_and_within_the_lead():
    """A lesson counts from its start less the lead to its end, which is not inside."""
    lesson = Booked(london_ms("2026-10-06 18:00"), london_ms("2026-10-06 19:00"))
    for moment in ("17:40", "18:00", "18:59"):
        assert booking(ICT1, SCHOOL, london_ms(f"2026-10-06 {moment}"), 1200) == lesson
    for moment in ("17:39", "19:00"):
        assert isinstance(booking(ICT1, SCHOOL, london_ms(f"2026-10-06 {moment}"), 1200), Free)


def test_next_lesson_skips_closed_days_and_holidays():
    """The next lesson is on the next school day, over half term and closed days."""
    monday = booking(ICT1, SCHOOL, london_ms("2026-10-02 17:00"), 0)
    assert monday == Free(london_ms("2026-10-06 08:50"))  # Mon 5 Oct is closed
    half_term = booking(ICT1, SCHOOL, london_ms("2026-10-23 17:00"), 0)
    assert half_term == Free(london_ms("2026-11-02 08:50"))  # and the clocks went back in between


def test_lesson_past_midnight_is_still_on_after_it():
    """An overnight booking belongs to the day on which it starts."""
    overnight = Room(name="hall", lessons=["tue 20:00-02:00"])
    assert isinstance(booking(overnight, SCHOOL, london_ms("2026-10-07 01:59"), 0), Booked)
    assert isinstance(booking(overnight, SCHOOL, london_ms("2026-10-07 02:00"), 0), Free)


def test_lead_reaches_over_midnight():
    """A lesson soon after midnight is near before it."""
    early = Room(name="hall", lessons=["wed 00:10-01:00"])
    assert isinstance(booking(early, SCHOOL, london_ms("2026-10-06 23:55"), 1200), Booked)


def test_room_without_lessons_is_free_and_room_without_timetable_unknown():
    """[] says never booked; nothing said, or no such room, says nothing."""
    at_ms = london_ms("2026-10-06 10:00")
    assert booking(Room(name="office", lessons=[]), SCHOOL, at_ms, 0) == Free(None)
    assert booking(Room(name="hall"), SCHOOL, at_ms, 0) == Unknown("hall")
    assert isinstance(booking(None, SCHOOL, at_ms, 0), Unknown)


@pytest.mark.parametrize("moment", ["2026-08-31 17:00", "2026-12-19 17:00", "2027-03-01 17:00"])
def test_days_beyond_the_written_terms_are_unknown(moment):
    """Last year's calendar must not look like a holiday."""
    assert isinstance(booking(ICT1, SCHOOL, london_ms(moment), 0), Unknown)


def test_lead_into_days_beyond_the_written_terms_is_unknown():
    """Nobody knows what is booked ten minutes after the end of the last term."""
    assert isinstance(booking(ICT1, SCHOOL, london_ms("2026-12-18 23:50"), 1200), Unknown)


def test_without_terms_every_day_may_be_a_school_day():
    """No terms given: the week's lessons apply all year, except on closed days."""
    school = structs.replace(SCHOOL, terms=[])
    assert isinstance(booking(ICT1, school, london_ms("2026-08-04 10:00"), 0), Booked)
    assert isinstance(booking(ICT1, school, london_ms("2026-10-05 10:00"), 0), Free)


def test_one_day_term_counts():
    """Both ends of a term are included."""
    school = structs.replace(SCHOOL, terms=[Term(starts=date(2026, 10, 6), ends=date(2026, 10, 6))])
    assert isinstance(booking(ICT1, school, london_ms("2026-10-06 10:00"), 0), Booked)
