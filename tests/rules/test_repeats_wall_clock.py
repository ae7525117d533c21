"""What comes again each day or week, by the clock on the wall, over both clock changes."""

from datetime import date
from itertools import pairwise

import pytest

from caretaker_rules.repeats import Series, occurrences, over_ms
from rules_world import london_ms

HOUR_MS = 3_600_000


def series(begin: str, until: str, every: str | None = None, last: str | None = None, **more: int) -> Series:
    """A series in London's time."""
    return Series(
        from_ms=london_ms(begin),
        until_ms=london_ms(until),
        time_zone="Europe/London",
        every=every,  # type: ignore[arg-type]
        last_day=date.fromisoformat(last) if last else None,
        **more,
    )


def all_of(one: Series, at: str = "2026-01-01 00:00") -> list[tuple[int, int]]:
    """Every time of it that is not over at `at`."""
    return list(occurrences(one, london_ms(at), 2**62))


def test_a_daily_hold_keeps_its_hours_over_the_october_change() -> None:
    """18:00 to 20:00 stays 18:00 to 20:00: 17:00 UTC before 25 October 2026, 18:00 UTC from that day on."""
    club = series("2026-10-23 18:00", "2026-10-23 20:00", "day", "2026-10-26")
    assert all_of(club) == [
        (london_ms(f"2026-10-{day} 18:00"), london_ms(f"2026-10-{day} 20:00")) for day in (23, 24, 25, 26)
    ]
    starts = [begin for begin, _ in all_of(club)]
    assert [later - earlier for earlier, later in pairwise(starts)] == [
        24 * HOUR_MS,
        25 * HOUR_MS,
        24 * HOUR_MS,
    ]
    assert over_ms(club) == london_ms("2026-10-26 20:00")


def test_a_night_with_the_hour_that_comes_twice_is_kept_to_its_end() -> None:
    """Until 01:30 in that night means the second 01:30: what was asked for is kept for longer, never for less."""
    render = series("2026-10-23 22:00", "2026-10-24 01:30", "day", "2026-10-24")
    _, (begin, until) = all_of(render)
    assert until - begin == int(4.5 * HOUR_MS)


def test_an_hour_that_does_not_exist_in_march_is_covered() -> None:
    """From 01:30 in the night to 28 March 2027, where 01:00 is followed by 02:00: it begins at 00:30 UTC, not later."""
    early = series("2027-03-27 01:30", "2027-03-27 04:00", "day", "2027-03-28")
    _, (begin, until) = all_of(early)
    assert begin == london_ms("2027-03-28 00:30")
    assert until == london_ms("2027-03-28 04:00")


def test_a_weekly_one_comes_on_its_weekday_until_its_last_day() -> None:
    """Tuesdays; the last day is included, and a day after it is not."""
    club = series("2026-10-06 15:30", "2026-10-06 17:00", "week", "2026-10-27")
    assert [begin for begin, _ in all_of(club)] == [london_ms(f"2026-10-{day:02} 15:30") for day in (6, 13, 20, 27)]
    assert [begin for begin, _ in all_of(club, "2026-10-20 17:00")] == [london_ms("2026-10-27 15:30")]
    assert all_of(club, "2026-10-27 17:00") == []


def test_one_that_is_on_is_the_first_and_those_called_off_are_left_out() -> None:
    """At 16:00 on the day the present time comes first; with `resumes_ms` behind its start it is gone."""
    club = series("2026-10-06 15:30", "2026-10-06 17:00", "week", "2026-10-27")
    assert all_of(club, "2026-10-13 16:00")[0] == (london_ms("2026-10-13 15:30"), london_ms("2026-10-13 17:00"))
    off = series(
        "2026-10-06 15:30", "2026-10-06 17:00", "week", "2026-10-27", resumes_ms=london_ms("2026-10-13 15:30") + 1
    )
    assert all_of(off, "2026-10-13 16:00")[0][0] == london_ms("2026-10-20 15:30")


@pytest.mark.parametrize("at", ["2026-10-06 17:00", "2030-01-01 00:00"])
def test_one_that_does_not_repeat_is_over_at_its_end(at: str) -> None:
    """Its end is outside, as with every span of time."""
    once = series("2026-10-06 15:30", "2026-10-06 17:00")
    assert all_of(once, at) == []
    assert over_ms(once) == london_ms("2026-10-06 17:00")


def test_what_begins_too_late_is_not_told() -> None:
    """Only times that begin by the given moment."""
    daily = series("2026-10-06 15:30", "2026-10-06 17:00", "day", "2026-12-18")
    found = list(occurrences(daily, london_ms("2026-10-08 12:00"), london_ms("2026-10-09 15:29")))
    assert found == [(london_ms("2026-10-08 15:30"), london_ms("2026-10-08 17:00"))]
