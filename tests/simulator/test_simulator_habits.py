"""Days follow the timetable, the terms and the seed, and nothing else."""

from datetime import date
from itertools import pairwise

import pytest

from caretaker_contract.topics import Address
from caretaker_simulator.calibration import calibration
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.habits import Act, Habits, Role, Seat, is_school_day, midnight_ms, plan_day, seat
from caretaker_simulator.troubles import NO_TROUBLES, Troubles, plan_troubles

TUESDAY = date(2026, 10, 6)
HOUR = 3_600_000


def place(name: str) -> Seat:
    estate = demo_estate()
    device = estate.devices[Address("ash", name)]
    return seat(device, estate.schools["ash"], estate.classes)


def test_a_day_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert plan_day(place("ict1-07"), TUESDAY, Habits(), 1) == plan_day(place("ict1-07"), TUESDAY, Habits(), 1)
    assert plan_day(place("ict1-07"), TUESDAY, Habits(), 1) != plan_day(place("ict1-07"), TUESDAY, Habits(), 2)


def test_roles_follow_class_tags_and_timetable() -> None:
    roles = {name: place(name).role for name in ("ict1-01", "lib-01", "maths-01", "servers-01")}
    assert roles == {
        "ict1-01": Role.TAUGHT,
        "lib-01": Role.DROP_IN,
        "maths-01": Role.STAFF,
        "servers-01": Role.SERVER,
    }


def test_pupils_sit_down_in_lessons_only_and_not_at_weekends_or_in_holidays() -> None:
    desk = place("ict1-07")
    arrivals = 0
    for number in range(120):
        day = date.fromordinal(date(2026, 9, 2).toordinal() + number)
        midnight = midnight_ms(day, desk.zone)
        for at_ms, act, _ in plan_day(desk, day, Habits(break_use=0, club=0), 1):
            if act is Act.ARRIVE:
                arrivals += 1
                minute = (at_ms - midnight) / 60_000
                assert is_school_day(desk.school, day)
                assert any(start <= minute <= end for start, end in desk.lessons[day.weekday()])
    assert arrivals > 100
    assert not is_school_day(desk.school, date(2026, 10, 27))  # half term
    assert not is_school_day(desk.school, date(2026, 11, 27))  # a closed day


def test_a_lesson_is_at_its_local_hour_on_both_sides_of_the_clock_change() -> None:
    for day, utc_hour in ((date(2026, 10, 23), 23), (date(2026, 11, 2), 24)):
        midnight = midnight_ms(day, place("ict1-07").zone)
        assert midnight % 86_400_000 == (utc_hour % 24) * HOUR


def test_late_staff_sit_and_read_longer_than_any_rule_waits() -> None:
    longest = 0
    for number in range(1, 11):
        steps = plan_day(place(f"maths-{number:02}"), TUESDAY, Habits(staff_late=1.0), 1)
        assert steps == sorted(steps)
        for (_, act, until), (at_ms, following, _) in pairwise(steps):
            if act is following is Act.TYPE:  # nobody left in between
                longest = max(longest, at_ms - until)
    assert longest >= 45 * 60_000


def test_troubles_happen_at_their_rates_and_not_at_all_when_told_so() -> None:
    desk = place("science-01")
    days = [date.fromordinal(TUESDAY.toordinal() + number) for number in range(2000)]
    often = Troubles(crash_per_day=0.1, power_cut_per_day=0, line_cut_per_day=0, switch_dead_per_day=0)
    crashes = sum(act is Act.CRASH for day in days for _, act, _ in plan_troubles(desk, day, often, 1))
    assert 150 < crashes < 250
    assert not any(plan_troubles(desk, day, NO_TROUBLES, 1) for day in days)


def test_a_dead_switch_cuts_all_of_its_room_at_once_and_nobody_else() -> None:
    only = Troubles(0, 0, 0, 1.0, 0, 0, 0, 0)
    room = [plan_troubles(place(f"ict1-{number:02}"), TUESDAY, only, 1) for number in (1, 2, 31)]
    assert room[0] == room[1] == room[2] != plan_troubles(place("ict2-01"), TUESDAY, only, 1)
    assert [act for _, act, _ in room[0]] == [Act.NET_CUT, Act.NET_BACK]


@pytest.mark.parametrize("seed", [1, 7])
def test_without_rules_the_published_figures_come_out_within_3_points(seed: int) -> None:
    rows = calibration(28, seed)
    compared = [row for row in rows if row.compared]
    assert [row.published for row in compared] == [46.7, 97.93, 42.06, 44.0, 58.0]
    assert all(row.fits for row in compared), [(row.figure, row.published, row.simulated) for row in rows]


def test_a_fleet_whose_pupils_all_switch_off_does_not_fit_the_published_figures() -> None:
    tidy = Habits(last_class_switches_off=1.0, staff_switches_off=1.0, pupil_switches_off=1.0)
    rows = calibration(7, 1, habits=tidy)
    assert not all(row.fits for row in rows if row.compared)


def test_calibration_is_repeatable() -> None:
    assert calibration(7, 3) == calibration(7, 3)
