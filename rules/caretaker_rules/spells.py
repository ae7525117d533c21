"""Spells of being left: from the moment when nobody uses a machine any more until it is used, or started, again.

A spell begins when a machine turns idle, or is switched off right from use. It is on for a while (perhaps no time at
all), and then it is used again, or it goes off or to sleep for the rest. Each spell is one trial of the question how
long a machine that is left stays on; see survival.py.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.presence import AWAY_STATES

_NOT_A_HABIT = frozenset({Cause.MAINTENANCE, Cause.RESTART})
"""Leaving for these says nothing of what people or rules do with a machine that is left."""


class Ended(StrEnum):
    """What ended a spell's time on."""

    RULE = "rule"  # a rule switched it off
    USER = "user"  # anybody or anything else did
    OPEN = "open"  # nothing yet: used again, lost from sight, worked on, or the record ends


class Spell(Struct, frozen=True, gc=False):
    """One spell. `end_ms`: end of its time on. `next_ms`: its next use, or where the record of it ends."""

    room: str
    device_class: str
    start_ms: int
    end_ms: int
    next_ms: int
    ended: Ended
    away: PowerState  # off or asleep once it ended by rule or user; else off
    device: str = ""


class Spells:
    """Makes spells of transitions that are fed in order of time. Holds one open spell for each device, no more."""

    def __init__(self) -> None:
        self._open: dict[str, Spell] = {}
        self.not_seen = 0  # spells left out because nobody saw when the machine went

    def feed(
        self,
        at_ms: int,
        device: str,
        room: str,
        device_class: str,
        from_state: PowerState,
        to_state: PowerState,
        cause: Cause,
    ) -> Spell | None:
        """Take in a change of state; returns the spell that it completes."""
        known = self._open.get(device)
        if to_state is from_state:
            return None
        if to_state in AWAY_STATES:
            return self._away(at_ms, device, room, device_class, from_state, to_state, cause)
        complete = None
        if known is not None:
            del self._open[device]
            if known.ended is Ended.OPEN and from_state in AWAY_STATES:
                self.not_seen += 1  # it went without a word
            else:
                complete = _until(known, at_ms)
        if to_state is PowerState.IDLE and from_state not in (PowerState.LOST, PowerState.UNKNOWN):
            self._open[device] = Spell(room, device_class, at_ms, at_ms, at_ms, Ended.OPEN, PowerState.OFF, device)
        return complete

    def _away(
        self,
        at_ms: int,
        device: str,
        room: str,
        device_class: str,
        from_state: PowerState,
        to_state: PowerState,
        cause: Cause,
    ) -> Spell | None:
        known = self._open.get(device)
        if known is not None and known.ended is not Ended.OPEN:
            return None  # from sleep to off, or told twice
        if cause in _NOT_A_HABIT:
            self._open.pop(device, None)
            return None if known is None else _until(known, at_ms)
        if known is None:
            if from_state is not PowerState.IN_USE:
                return None  # nobody knows since when it was idle
            known = Spell(room, device_class, at_ms, at_ms, at_ms, Ended.OPEN, PowerState.OFF, device)
        ended = Ended.RULE if cause is Cause.RULE else Ended.USER
        self._open[device] = Spell(
            known.room, known.device_class, known.start_ms, max(at_ms, known.start_ms), at_ms, ended, to_state, device
        )
        return None

    def finish(self, end_ms: int) -> Iterator[Spell]:
        """The spells that are under way when the record ends, cut there."""
        for known in self._open.values():
            if known.start_ms < end_ms:
                yield _until(known, end_ms)
        self._open.clear()


def _until(known: Spell, at_ms: int) -> Spell:
    """The spell as it stands when its machine is used again, or seen no more, at `at_ms`."""
    at_ms = max(at_ms, known.end_ms)
    end_ms = at_ms if known.ended is Ended.OPEN else known.end_ms
    return Spell(known.room, known.device_class, known.start_ms, end_ms, at_ms, known.ended, known.away, known.device)
