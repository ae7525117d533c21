"""How an incident was put right: by a command of ours, by somebody who went there, or nobody says how.

A repair counts as one without a visit only when all of this is on record: a restart or a wake that Caretaker sent to a
machine that was hit was carried out while the incident was open, the incident ended within an hour of it, and nothing
that anybody wrote about it speaks of going there. All else is a visit if somebody wrote so, and else not known: a fault
that went away by itself, or a person who did not say what they did, is no repair to boast of.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

SOON_MS = 3_600_000
"""So soon after the command the incident has to be over, for the command to have ended it."""
_THERE = re.compile(
    r"\b(?:on[- ]?site|visit(?:ed|s)?|attended|went (?:there|to)|engineer (?:came|sent)|drove|in person)\b",
    re.IGNORECASE,
)
"""Words that say that somebody went there."""
_HANDS = re.compile(r"\b(?:swapped|replaced|plugged|unplugged|cables?|by hand|hardware)\b", re.IGNORECASE)
"""Words of work that is hard to do from afar: whether anybody came for it they do not say."""


class Repair(StrEnum):
    """How it was put right."""

    REMOTE = "without a visit"
    VISIT = "with a visit"
    UNKNOWN = "nothing says how"


def repair(opened_ms: int, fixed_ms: int, commands_ms: Iterable[int], texts: Iterable[str]) -> Repair | None:
    """How an incident was put right; None: it is not fixed.

    `commands_ms`: when restarts and wakes of machines that it hit were carried out. `texts`: all that people wrote.
    """
    if not fixed_ms:
        return None
    texts = list(texts)
    if any(_THERE.search(text) for text in texts):
        return Repair.VISIT
    if any(_HANDS.search(text) for text in texts):
        return Repair.UNKNOWN
    done = any(opened_ms <= at_ms <= fixed_ms and fixed_ms - at_ms <= SOON_MS for at_ms in commands_ms)
    return Repair.REMOTE if done else Repair.UNKNOWN
