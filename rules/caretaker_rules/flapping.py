"""Flapping: something that comes and goes too often to be told each time.

The known rule of Icinga 2 (its documentation, "Flapping", thresholds `flapping_threshold_high` 30 and `_low` 25; the
same numbers stand in Nagios's): of the last 20 looks, the share that differed from the look before. Above 30 % it
flaps, below 25 % it does so no more; between the two it stays what it was. Newer changes are not weighted more here,
so that a person can count: on from 7 changes in 20 looks, off from 4 down.
"""

LOOKS = 20
ON_RATIO = 0.30
OFF_RATIO = 0.25


def note(history: int, changed: bool) -> int:
    """`history` after one more look: a bit for each of the last 20, the newest lowest, 1 where it differed."""
    return (history << 1 | changed) & ((1 << LOOKS) - 1)


def ratio(history: int) -> float:
    """Share of the last 20 looks that differed from the one before."""
    return (history & ((1 << LOOKS) - 1)).bit_count() / LOOKS


def flapping(history: int, was: bool) -> bool:
    """Whether it flaps now; `was`: whether it did at the look before."""
    return ratio(history) >= OFF_RATIO if was else ratio(history) > ON_RATIO
