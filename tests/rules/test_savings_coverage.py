"""Simulated schools whose true saving is known: the range has to hold it. Always the same seeds, so never by luck."""

import pytest

from savings_fleet import MIX, holds, play

SMALL = {room: number // 2 + 1 for room, number in MIX.items() if room != "ict1"}


@pytest.fixture(scope="module")
def runs():
    """Forty schools of 15 machines, three weeks of baseline each, then three with nothing changed and with a rule."""
    return [play(seed, ("nothing", "rule"), SMALL) for seed in range(40)]


@pytest.mark.slow
def test_the_range_holds_the_truth_in_95_of_100_schools(runs):
    """Rules, users and both, each by itself."""
    for kind in ("rule-off", "user-off", "both"):
        assert sum(run["rule"].covers()[kind] for run in runs) >= 38, kind


@pytest.mark.slow
def test_where_nothing_was_changed_the_saving_includes_zero(runs):
    """No rule acted, so rules have saved nothing at all; and what users saved may be nothing."""
    assert sum(holds(run["nothing"].savings.both.kwh, 0.0) for run in runs) >= 38
    assert all(run["nothing"].savings.rule_off.kwh.high == 0 for run in runs)


@pytest.mark.slow
def test_the_range_says_something(runs):
    """A rule's saving is told from zero in nearly every school, and the middle is right on average to a tenth."""
    assert sum(run["rule"].savings.rule_off.kwh.low > 0 for run in runs) >= 36
    truth = sum(run["rule"].true_rule_kwh for run in runs)
    assert sum(run["rule"].savings.rule_off.kwh.likely for run in runs) == pytest.approx(truth, rel=0.1)


def test_a_few_schools_with_tidier_people():
    """People who switch off more often after the last lesson: their saving is in the range, not put down to rules."""
    for seed in range(3):
        run = play(seed, ("tidier",), SMALL)["tidier"]
        assert run.covers()["user-off"]
        assert run.savings.rule_off.kwh.high == 0 < run.savings.user_off.kwh.likely
