"""A repair counts as one without a visit only when a command of ours ended the incident and nobody went there."""

import pytest

from caretaker_rules.repairs import SOON_MS, Repair, repair

OPEN, FIXED = 1_000_000, 10_000_000


@pytest.mark.parametrize(
    ("commands", "texts", "found"),
    [
        ([FIXED - 1], [], Repair.REMOTE),
        ([FIXED - SOON_MS], ["asked the office to wait"], Repair.REMOTE),
        ([FIXED - SOON_MS - 1], [], Repair.UNKNOWN),  # too long before
        ([OPEN - 1], [], Repair.UNKNOWN),  # before it was opened
        ([FIXED + 1], [], Repair.UNKNOWN),  # after it was over
        ([], [], Repair.UNKNOWN),  # went away by itself
        ([], ["restarted it"], Repair.UNKNOWN),  # nobody says from where
        ([FIXED - 1], ["visited, new power supply"], Repair.VISIT),
        ([FIXED - 1], ["went on-site"], Repair.VISIT),
        ([], ["Attended at 10:30"], Repair.VISIT),
        ([FIXED - 1], ["replaced its cable"], Repair.UNKNOWN),  # a command did not do that
        ([FIXED - 1], ["revisited the settings"], Repair.REMOTE),
    ],
)
def test_how_it_was_put_right(commands, texts, found) -> None:
    assert repair(OPEN, FIXED, commands, texts) is found


def test_what_is_not_fixed_was_not_put_right() -> None:
    assert repair(OPEN, 0, [FIXED], []) is None
