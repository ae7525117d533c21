"""Burn rates reckoned by hand: 100 machines, 99 % promised, so 1 % of the owed time may fail."""

import msgspec
import pytest

from caretaker_rules.burn import HOUR_MS, RATES, SLICE_MS, Slice, burning, burns, sample
from caretaker_rules.findings import Subject
from caretaker_rules.service import ServiceLevel

LEVEL = msgspec.convert(
    {"name": "enhanced", "availability_target": 0.99, "priorities": [], "matrix": []}, type=ServiceLevel
)
ASH = Subject("ash")


def hours(*down: float, start_h: int = 0) -> list[Slice]:
    """A slice for each five minutes of each hour, with so many of 100 machines down in that hour."""
    return [
        Slice(
            (start_h + hour) * HOUR_MS + part * SLICE_MS,
            (start_h + hour) * HOUR_MS + (part + 1) * SLICE_MS,
            SLICE_MS,
            100 * SLICE_MS,
            round(count * SLICE_MS),
        )
        for hour, count in enumerate(down)
        for part in range(12)
    ]


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        ([0] * 29 + [5], "5.0 times as fast as allowed over 1 h of service (5.0% down, 1.0% allowed)"),
        ([0] * 29 + [4], None),  # 4 times is what may be: not more than 4
        ([0] * 24 + [0, 0, 3, 3, 3, 3], "2.0 times as fast as allowed over 6 h of service (2.0% down, 1.0% allowed)"),
        ([0] * 24 + [3, 3, 3, 3, 0, 0], None),  # it is over: the short window of half an hour is clean
        ([1.2] * 30, "1.2 times as fast as allowed over 30 h of service (1.2% down, 1.0% allowed)"),
        ([0.9] * 30, None),
        ([0] * 30, None),
    ],
)
def test_what_burns_and_how_fast(down: list[float], expected: str | None) -> None:
    """The fastest rate that burns in its long and its short window is told."""
    found = burning(hours(*down), LEVEL, ASH)
    assert [finding.value for finding in found] == ([expected] if expected else [])


def test_what_a_wider_fault_used_up_does_not_begin_to_burn_while_it_is_within_the_window() -> None:
    slices = hours(*[0] * 24, 0, 0, 3, 3, 3, 3)  # the window of six hours begins at 24 h
    assert burning(slices, LEVEL, ASH, explained_ms=25 * HOUR_MS) == []
    assert len(burning(slices, LEVEL, ASH, explained_ms=24 * HOUR_MS - 1)) == 1
    assert len(burning(slices, LEVEL, ASH, explained_ms=None)) == 1


def test_since_when_is_the_first_outage_of_the_window() -> None:
    """Of the window that burns; 24 hours of service before it there was nothing."""
    (finding,) = burning(hours(*[0] * 24, 0, 0, 3, 3, 3, 3), LEVEL, ASH)
    assert finding.since_ms == 26 * HOUR_MS
    assert finding.key == "burning ash"


def test_a_window_that_is_not_known_yet_says_nothing() -> None:
    """After a start, a rate waits for its hours of service."""
    assert [burn.rate.over_h for burn in burns(hours(5, 5), 0.99)] == [1]
    assert burns(hours(*[5] * 30), 1.0) == []
    assert burns([], 0.99) == []


def test_hours_of_service_count_and_not_those_of_the_wall() -> None:
    """An hour before closing and the next morning's belong together."""
    evening, morning = hours(0, 0, 0, 3, 3), hours(3, 3, start_h=20)
    (_, six) = burns(evening + morning, 0.99)[:2]
    assert (six.rate, six.long_times) == (RATES[1], pytest.approx(2.0))


def test_a_slice_that_is_longer_than_the_window_is_cut_to_fit() -> None:
    """A day's sums may stand for its hours: 8 h of service with 4 % down burn 4.0 times over the newest hour."""
    day = Slice(0, 8 * HOUR_MS, 8 * HOUR_MS, 800 * HOUR_MS, 32 * HOUR_MS)
    fastest, six = burns([day], 0.99)
    assert (fastest.long_times, six.long_times) == (pytest.approx(4.0), pytest.approx(4.0))
    assert (fastest.burning, six.burning) == (False, True)


def test_looks_are_gathered_into_slices_and_old_ones_forgotten() -> None:
    """Every 30 s for 40 hours of service: 360 slices of five minutes, 30 hours, and the sums are those of the looks."""
    slices: list[Slice] = []
    for look in range(40 * 120):
        slices = sample(slices, look * 30_000, (look + 1) * 30_000, 30_000, owed=100, down=2 if look % 2 else 0)
    assert len(slices) == 360
    assert sum(each.service_ms for each in slices) == 30 * HOUR_MS
    assert {(each.owed_ms, each.down_ms) for each in slices} == {(100 * SLICE_MS, SLICE_MS)}
    assert sample(slices, 0, 30_000, 0, owed=100, down=100) == slices
