"""How rooms are used: hours that add up to the meters, seats of lessons, whose bookings they are, trends by hand."""

from datetime import date, timedelta

from hypothesis import example, given
from hypothesis import strategies as st
from pytest import approx

from caretaker_contract.messages import PowerState
from caretaker_rules.model import Room, Share
from caretaker_rules.rollup import Reading, Totals, totals
from caretaker_rules.timetable import Shared
from caretaker_rules.usage import Chain, Piece, heat, hours, line, pieces, seats_of, trend
from rules_world import LONDON, london_ms

STATES = (PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP)
DAY_MS = london_ms("2026-10-06 00:00")
HOUR_MS = 3_600_000
lives = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 14_000), st.booleans(), st.booleans()), min_size=2, max_size=40
)


def readings(life):
    """A machine's life: for each step a state, seconds spent in it, whether it then restarts, whether it is heard."""
    at_ms, boot, seq, meters, told = DAY_MS - 7_200_000, 1, 1, [0, 0, 0], []
    for state, spent_s, restarts, heard in life:
        meters[state] += spent_s
        at_ms += spent_s * 1000
        if heard:
            told.append(Reading("aaaaaaaa", boot, seq, at_ms, STATES[state], *meters))
        boot, seq = (boot + 1, 1) if restarts else (boot, seq + 1)
    return told


@example([(0, 0, False, True), (1, 1946, False, False), (1, 12454, False, False), (0, 1, False, True)], "2026-10-06")
@given(lives, st.sampled_from(["2026-10-06", "2026-10-25", "2027-03-28"]))
def test_the_hours_of_a_day_add_up_to_its_meters(life, day) -> None:
    """Also on days of 25 and 23 hours, with lost reports and restarts."""
    start_ms = london_ms(f"{day} 00:00")
    end_ms = london_ms(f"{date.fromisoformat(day) + timedelta(days=1)} 00:00")
    known = [Reading(r.epoch, r.boot, r.seq, r.at_ms - DAY_MS + start_ms, *_rest(r)) for r in readings(life)]
    whole = totals(known, start_ms, end_ms)
    found = hours(Chain(known), start_ms, end_ms, whole.in_use_s)
    assert sum(hour.in_use_s for hour in found) == whole.in_use_s
    assert len(found) == (end_ms - start_ms) // HOUR_MS
    assert all(0 <= hour.in_use_s <= 3601 and 0 <= hour.seen_s <= 3600 for hour in found)


def _rest(reading):
    return reading.state, reading.in_use_s, reading.idle_s, reading.asleep_s


@given(lives, st.integers(0, 23))
def test_a_span_comes_out_the_same_from_its_neighbours_as_from_all_readings(life, hour) -> None:
    known = readings(life)
    span = DAY_MS + hour * HOUR_MS, DAY_MS + (hour + 1) * HOUR_MS
    assert Chain(known).totals(*span) == totals(known, *span)


def at(text):
    return london_ms(f"2026-10-06 {text}")  # a Tuesday


def told(found):
    return [(piece.from_ms, piece.until_ms, piece.whose) for piece in found]


def test_a_lesson_goes_to_whoever_the_hours_of_the_room_name() -> None:
    room = Room(name="sixth", shared=[Share(whose="partner", hours=["tue 13:00-15:00"])])
    found = pieces([(at("12:30"), at("14:00"))], room, (), LONDON)
    assert told(found) == [(at("12:30"), at("13:00"), "host"), (at("13:00"), at("14:00"), "partner")]


def test_a_booking_whose_category_says_whose_it_is_comes_before_the_hours_of_the_room() -> None:
    room = Room(name="sixth", shared=[Share(whose="partner", hours=["tue 13:00-15:00"])])
    booked = [Shared(at("13:30"), at("14:00"), "community", 12)]
    found = pieces([(at("13:00"), at("14:00"))], room, booked, LONDON)
    assert told(found) == [(at("13:00"), at("13:30"), "partner"), (at("13:30"), at("14:00"), "community")]
    assert found[1].seats == 12


def test_a_long_booking_is_looked_at_hour_by_hour() -> None:
    found = pieces([(at("08:30"), at("11:00"))], Room(name="lib"), (), LONDON)
    assert [(p.from_ms, p.until_ms) for p in found] == [
        (at("08:30"), at("09:30")),
        (at("09:30"), at("10:30")),
        (at("10:30"), at("11:00")),
    ]


def test_two_lessons_one_right_after_the_other_are_two() -> None:
    found = pieces([(at("08:50"), at("09:50")), (at("09:50"), at("10:50"))], Room(name="ict1"), (), LONDON)
    assert told(found) == [(at("08:50"), at("09:50"), "host"), (at("09:50"), at("10:50"), "host")]


def test_a_seat_counts_from_a_minute_of_use_on() -> None:
    piece = Piece(at("09:00"), at("10:00"))
    machines = [Totals(60, 3540), Totals(59, 3541), Totals(0, 0, 0, 0, 3600), Totals(600, 0, 0, 0, 3000)]
    found = seats_of(piece, machines)
    assert (found.seats, found.used, found.seen, found.in_use_s) == (4, 2, 3, 719)


def test_no_more_seats_are_used_than_a_booking_is_for() -> None:
    found = seats_of(Piece(at("09:00"), at("10:00"), "community", 1), [Totals(3600), Totals(3600)])
    assert (found.seats, found.used, found.seen) == (1, 1, 1)


def test_the_heat_map_knows_nothing_of_hours_that_nobody_saw() -> None:
    cells = heat([(at("09:00"), 1800, 3600), (at("09:00") + 7 * 24 * HOUR_MS, 0, 3600), (at("10:00"), 0, 0)], LONDON)
    assert cells[1, 9].share == 0.25
    assert cells[1, 10].share is None


def test_a_trend_by_hand() -> None:
    """Means of 100, 110 and 130 a day: the line goes from 98.33 to 128.33, which is 30.5 % more."""
    days = {date(2026, 7, 1): 90.0, date(2026, 7, 2): 110.0, date(2026, 8, 3): 110.0, date(2026, 9, 30): 130.0}
    found = trend(days, date(2026, 9, 30))
    assert [mean for _, mean in found.means] == [100, 110, 130]
    assert found.ratio == approx(30 / (295 / 3))
    assert line([(0, 1), (1, 3)]) == (2, 1)


def test_a_trend_passes_over_a_holiday_and_not_over_the_month_itself() -> None:
    days = {date(2026, 6, 1): 100.0, date(2026, 7, 1): 110.0, date(2026, 9, 1): 120.0}
    found = trend(days, date(2026, 9, 30))
    assert [month for month, _ in found.means] == ["2026-06", "2026-07", "2026-09"]
    assert found.ratio == approx(0.2)
    assert trend(days, date(2026, 10, 31)).why_not == "no values for 2026-10"


def test_a_trend_of_fewer_than_three_months_is_not_told() -> None:
    found = trend({date(2026, 3, 1): 5.0, date(2026, 8, 1): 5.0, date(2026, 9, 1): 5.0}, date(2026, 9, 30))
    assert (found.ratio, found.why_not) == (None, "values of fewer than three months")
