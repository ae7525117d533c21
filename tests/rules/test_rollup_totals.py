"""Seconds per state from meters: exact whatever is lost, split by time at the edges, honest about what nobody saw."""

from datetime import date

import pytest

from caretaker_contract.messages import PowerState
from caretaker_rules.rollup import Reading, Totals, device_days, energy_wh, totals
from rules_world import CLASSES, LONDON, london_ms

IN_USE, IDLE, ASLEEP, OFF = PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF
DAY_MS = london_ms("2026-10-06 00:00")
HOUR = 3600
END_MS = DAY_MS + 24 * HOUR * 1000


def at(hours, boot, seq, meters=(0, 0, 0), state=IDLE, epoch="aaaaaaaa"):
    """A reading at so many hours of the day, its meters in hours (in use, idle, asleep)."""
    in_use, idle, asleep = (round(hours_of * HOUR) for hours_of in meters)
    return Reading(epoch, boot, seq, DAY_MS + round(hours * HOUR * 1000), state, in_use, idle, asleep)


SCHOOL_DAY = [
    at(-8, 1, 90, (10, 10, 0), OFF),  # yesterday 16:00
    at(8, 2, 1, (10, 10, 0), IN_USE),
    at(12, 2, 20, (14, 10, 0), IDLE),
    at(13, 2, 30, (14, 11, 0), ASLEEP),
    at(15, 2, 31, (14, 11, 2), IN_USE),
    at(16, 2, 50, (15, 11, 2), OFF),
    at(32, 3, 1, (15, 11, 2), IN_USE),  # tomorrow 08:00
]


def hours(*, in_use=0.0, idle=0.0, asleep=0.0, off=0.0, blind=0.0, boots=0):
    return Totals(*(round(each * HOUR) for each in (in_use, idle, asleep, off, blind)), boots)


def test_a_day():
    """On time by the meters, off time as the rest of the wall time, one start."""
    day = totals(SCHOOL_DAY, DAY_MS, END_MS)
    assert day == hours(in_use=5, idle=1, asleep=2, off=16, boots=1)


def test_lost_reports_change_nothing_in_the_sum():
    """Between any two readings the meters are exact, so the middle of the day may be lost."""
    assert totals([SCHOOL_DAY[index] for index in (0, 1, 5, 6)], DAY_MS, END_MS) == totals(SCHOOL_DAY, DAY_MS, END_MS)


def test_interval_over_the_edge_is_split_by_time():
    """Half of an interval's idle time lies in the half of it that is in the span."""
    readings = [at(-1, 1, 1), at(1, 1, 2, (0, 2, 0)), at(30, 1, 300, (0, 31, 0))]
    assert totals(readings, DAY_MS, END_MS) == hours(idle=24)
    assert totals(readings, DAY_MS, DAY_MS + HOUR * 1000 // 2) == hours(idle=0.5)


def test_blind_where_there_is_no_reading_on_one_side():
    """Before the first and after the last reading nobody knows."""
    assert totals([], DAY_MS, END_MS) == hours(blind=24)
    assert totals([at(10, 1, 7)], DAY_MS, END_MS) == hours(blind=24)
    assert totals([at(10, 1, 7), at(12, 1, 8, (2, 0, 0))], DAY_MS, END_MS) == hours(in_use=2, blind=22)


def test_readings_before_and_after_the_span_only():
    """Nothing heard for a whole day, and heard again: what the meters say is spread over the time between."""
    readings = [at(-12, 1, 7, (0, 0, 0)), at(36, 1, 8, (0, 48, 0))]
    assert totals(readings, DAY_MS, END_MS) == hours(idle=24)


def test_agent_that_was_not_running_leaves_blind_time():
    """Within one boot a machine cannot have been off: what its meters leave out was not seen."""
    readings = [at(0, 1, 1), at(9, 1, 20, (9, 0, 0)), at(11, 1, 21, (9, 0, 0)), at(24, 1, 90, (22, 0, 0))]
    assert totals(readings, DAY_MS, END_MS) == hours(in_use=22, blind=2, boots=1)


def test_crash_is_on_until_the_meters_stop_then_off():
    """The meters were saved 6 minutes after the last report; the rest until the next boot was off."""
    readings = [at(0, 1, 1), at(10, 1, 99, (10, 0, 0), IN_USE), at(20, 2, 1, (10.1, 0, 0)), at(24, 2, 9, (14.1, 0, 0))]
    assert totals(readings, DAY_MS, END_MS) == hours(in_use=14.1, off=9.9, boots=2)
    assert totals(readings, DAY_MS, DAY_MS + round(10.1 * HOUR * 1000)) == hours(in_use=10.1, boots=1)


def test_reinstalled_agent_counts_from_zero():
    """A new epoch is not a negative: its meters begin at nought, and what lies between the two agents was not seen."""
    readings = [
        at(0, 7, 1, (500, 100, 0), epoch="ffffffff"),
        at(8, 7, 80, (508, 100, 0), epoch="ffffffff"),
        at(12, 1, 1, (0.5, 0, 0), epoch="00000000"),
        at(24, 1, 99, (0.5, 12, 0), epoch="00000000"),
    ]
    assert totals(readings, DAY_MS, END_MS) == hours(in_use=8.5, idle=12, blind=3.5, boots=2)


def test_new_epoch_is_bounded_by_the_wall_time():
    """An agent cannot have counted more than the time since the old one's last word."""
    readings = [at(0, 7, 1, epoch="ffffffff"), at(2, 1, 5, (90, 0, 0), epoch="00000000")]
    assert totals(readings, DAY_MS, DAY_MS + 2 * HOUR * 1000).in_use_s == 2 * HOUR


@pytest.mark.parametrize("wrong", [-400_000, 300_000], ids=["starts in 1980", "reports from 2060"])
def test_clock_that_is_wrong_for_a_while_costs_nothing(wrong):
    """Order is by number, and the readings around the wrong ones hold the amounts."""
    readings = list(SCHOOL_DAY)
    readings[2] = at(wrong, 2, 20, (14, 10, 0))
    assert totals(readings, DAY_MS, END_MS) == totals(SCHOOL_DAY, DAY_MS, END_MS)


def test_clock_set_back_for_good_keeps_the_parts_within_the_day():
    """From noon on the clock is an hour behind: the sum is still one day, and the meters' share is kept."""
    readings = [at(hour, 1, hour + 1, (hour, 0, 0)) for hour in range(13)]
    readings += [at(hour - 1, 1, hour + 1, (hour, 0, 0)) for hour in range(13, 27)]
    day = totals(readings, DAY_MS, END_MS)
    assert (day.in_use_s, day.off_s, day.blind_s) == (24 * HOUR, 0, 0)


def test_clock_set_forward_for_good_leaves_blind_time():
    """An hour that exists on the wall and that nobody saw."""
    readings = [at(hour, 1, hour + 1, (hour, 0, 0)) for hour in range(12)]
    readings += [at(hour + 1, 1, hour + 1, (hour, 0, 0)) for hour in range(12, 24)]
    assert totals(readings, DAY_MS, END_MS) == hours(in_use=23, blind=1, boots=1)


def test_rounding_is_not_blind_time():
    """Meters are whole seconds; a second that is lost between them must not make a range out of a figure."""
    readings = [Reading("aaaaaaaa", 1, n + 1, DAY_MS + n * 300_400, IN_USE, n * 300, 0, 0) for n in range(8)]
    spent = totals(readings, DAY_MS, DAY_MS + 7 * 300_400)
    assert spent == Totals(in_use_s=2100, off_s=2, boots=1)


def test_two_readings_with_one_number_count_once():
    """The same one of them is taken, whichever comes first."""
    liar = at(9, 2, 1, (99, 10, 0), IN_USE)
    assert totals([liar, *SCHOOL_DAY], DAY_MS, END_MS) == totals([*SCHOOL_DAY, liar], DAY_MS, END_MS)


def test_several_boots_between_two_readings_are_counted():
    """Boots are numbered, so those whose reports are all lost count too."""
    readings = [at(0, 1, 5), at(10, 4, 3, (0, 9, 0)), at(24, 4, 9, (0, 23, 0))]
    assert totals(readings, DAY_MS, END_MS).boots == 3


def test_empty_span_has_no_time():
    """A span that ends where it begins, or before."""
    assert totals(SCHOOL_DAY, END_MS, END_MS) == totals(SCHOOL_DAY, END_MS, DAY_MS) == Totals()


@pytest.mark.parametrize(("day", "length"), [(date(2026, 10, 25), 25), (date(2026, 3, 29), 23)])
def test_days_of_the_clock_changes(day, length):
    """A local day of a machine that is always on has 25 hours in October and 23 in March."""
    start_ms = london_ms(f"{day} 00:00")
    readings = [Reading("aaaaaaaa", 1, n + 1, start_ms + (n - 5) * 3_600_000, IDLE, 0, n * 3600, 0) for n in range(40)]
    (only,) = device_days(readings, LONDON, [day])
    assert only.totals == Totals(idle_s=length * HOUR)
    assert only.end_ms - only.start_ms == length * HOUR * 1000


def test_neighbouring_days_add_up():
    """Two days one by one are the two days together."""
    both = totals(SCHOOL_DAY, DAY_MS, DAY_MS + 48 * HOUR * 1000)
    days = [day.totals for day in device_days(SCHOOL_DAY, LONDON, [date(2026, 10, 6), date(2026, 10, 7)])]
    for name in Totals.__struct_fields__:
        assert getattr(both, name) == sum(getattr(day, name) for day in days)


def test_energy_by_the_watts_of_its_class():
    """Watts of each state times hours; blind hours are left out."""
    spent = hours(in_use=2, idle=1, asleep=1, off=10, blind=10)
    assert energy_wh(spent, CLASSES["desktop"]) == pytest.approx(3 * 90 + 3 + 26)


def test_metered_part_of_an_unseen_hour_lies_before_the_later_reading():
    """The agent was down from 9 and back for the last half hour before 11: what was before was not seen."""
    readings = [at(0, 1, 1), at(9, 1, 20, (9, 0, 0)), at(11, 1, 21, (9.5, 0, 0))]
    assert totals(readings, DAY_MS + 9 * HOUR * 1000, DAY_MS + 10 * HOUR * 1000) == hours(blind=1)


def test_metered_part_after_a_goodbye_lies_before_the_next_report():
    """Off at 16:00 by its own word; what its meters grew until the next report was the start at 08:00."""
    readings = [at(16, 1, 9, (5, 0, 0), OFF), at(32, 2, 2, (5.5, 0, 0), IN_USE)]
    assert totals(readings, DAY_MS + 16 * HOUR * 1000, END_MS) == hours(off=8)


def test_overlapping_intervals_are_scaled_to_the_day():
    """The clock went back two hours at noon: 26 hours of parts become one day, each in its share."""
    readings = [at(0, 1, 1), at(12, 1, 2, (12, 0, 0)), at(12, 1, 3, (14, 0, 0), OFF), at(24, 2, 1, (14, 0, 0))]
    day = totals(readings, DAY_MS, END_MS)
    assert (day.in_use_s + day.off_s, day.blind_s) == (24 * HOUR, 0)
    assert day.in_use_s == pytest.approx(24 * HOUR * 14 / 26, abs=1)
