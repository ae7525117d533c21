"""On which day a school's review is due: when its staff are in, and once."""

from datetime import date

import pytest

from caretaker_rules.model import School, Term
from caretaker_rules.review_due import due, due_from_ms, first_working_day
from caretaker_rules.timetable import DayKind, Timetable
from rules_world import london_ms

ASH = School(
    name="ash",
    title="Ashfield Secondary",
    terms=[
        Term(starts=date(2026, 9, 2), ends=date(2026, 12, 18)),
        Term(starts=date(2027, 1, 4), ends=date(2027, 3, 24)),
    ],
    inset_days=[date(2027, 1, 4)],
)
HOLIDAYS = Timetable(bank_holidays=frozenset({date(2027, 1, 1), date(2026, 8, 31), date(2027, 5, 3)}))


@pytest.mark.parametrize(
    ("month", "day"),
    [
        (date(2026, 10, 1), date(2026, 10, 1)),  # a Thursday in term
        (date(2026, 11, 1), date(2026, 11, 2)),  # the 1st is a Sunday
        (date(2026, 9, 1), date(2026, 9, 2)),  # the 1st is in the holidays
        (date(2027, 1, 1), date(2027, 1, 4)),  # bank holiday, weekend, then an INSET day: staff are in
    ],
)
def test_it_is_the_first_day_on_which_staff_are_in(month: date, day: date) -> None:
    assert first_working_day(ASH, month, HOLIDAYS) == day


@pytest.mark.parametrize(("month", "day"), [(date(2026, 8, 1), date(2026, 8, 3)), (date(2027, 5, 1), date(2027, 5, 4))])
def test_where_nobody_is_in_or_can_tell_it_is_the_first_weekday_that_is_no_bank_holiday(month: date, day: date) -> None:
    assert first_working_day(ASH, month, HOLIDAYS) == day


def test_a_school_calendar_moves_it() -> None:
    closed = Timetable(closures={date(2026, 10, 1): DayKind.HOLIDAY})
    assert first_working_day(ASH, date(2026, 10, 1), closed) == date(2026, 10, 2)


def test_it_is_due_from_six_in_the_morning_of_the_schools_clock_and_not_before() -> None:
    assert due_from_ms(ASH, date(2026, 9, 17)) == london_ms("2026-10-01 06:00")
    assert due(ASH, london_ms("2026-10-01 05:59"), ["2026-07", "2026-08"]) == []
    assert due(ASH, london_ms("2026-10-01 06:00"), ["2026-07", "2026-08"]) == ["2026-09"]


def test_a_collector_that_was_down_makes_it_when_it_is_back_and_once() -> None:
    back_ms = london_ms("2026-11-12 15:00")
    assert due(ASH, back_ms, ["2026-08"]) == ["2026-09", "2026-10"]
    assert due(ASH, back_ms, ["2026-08", "2026-09", "2026-10"]) == []


def test_months_of_which_caretaker_saw_less_than_a_week_are_not_due() -> None:
    now_ms = london_ms("2026-11-12 15:00")
    assert due(ASH, now_ms, [], since_ms=london_ms("2026-09-24 00:00")) == ["2026-09", "2026-10"]
    assert due(ASH, now_ms, [], since_ms=london_ms("2026-09-24 00:01")) == ["2026-10"]
