"""What every machine really did, to hold against what Caretaker concludes. Nothing here is seen by an agent.

All times are true times (UTC ms), whatever a machine's own clock says. A machine is *in use* until `idle_after_s` after
the last input of anybody, then idle: the same definition that agents use. Starting counts as input (somebody pressed
the button), and time until the agent can run counts as off.
"""

from array import array
from collections import Counter
from typing import Final

from caretaker_contract.messages import PowerState, Step, Verb

STATES: Final = (PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF)
_CODE: Final = {state: code for code, state in enumerate(STATES)}


class DeviceTruth:
    """The record of one machine: 8 bytes for every change of its state."""

    __slots__ = (
        "_changes",
        "_state",
        "boots",
        "born_ms",
        "commands",
        "epoch",
        "last_seq",
        "switched_off",
        "unsafe",
    )

    def __init__(self, epoch: str, at_ms: int, state: PowerState) -> None:
        self.epoch = epoch
        self.born_ms = at_ms
        self.boots = 0  # starts of the machine since then
        self.last_seq: list[int] = []  # the last number of every boot, in order; boots count from 1
        self.commands: Counter[str] = Counter()  # "verb step" -> how often said
        self.switched_off: Counter[str] = Counter()  # verb -> how often the machine really went because of a command
        self.unsafe = 0  # of these, how often somebody was there or had been within the idle threshold
        self._changes = array("q")  # at_ms * 4 + code of the state that begins
        self._state = _CODE[state]
        self._changes.append(at_ms * 4 + self._state)

    @property
    def state(self) -> PowerState:
        """The state now."""
        return STATES[self._state]

    @property
    def published(self) -> int:
        """How many numbered messages its agent has made."""
        return sum(self.last_seq)

    def change(self, at_ms: int, state: PowerState) -> None:
        """`state` begins at `at_ms`."""
        self._state = _CODE[state]
        self._changes.append(at_ms * 4 + self._state)

    def said(self, verb: Verb, step: Step) -> None:
        """The agent reported a step of a command."""
        self.commands[f"{verb.value} {step.value}"] += 1

    def obeyed(self, verb: Verb, in_use: bool) -> None:
        """A command switched the machine; `in_use`: somebody was there, or gave input within the idle threshold."""
        self.switched_off[verb.value] += 1
        self.unsafe += in_use

    def intervals(self, end_ms: int) -> list[tuple[int, int, PowerState]]:
        """(start, end, state) from its birth to `end_ms`, without empty ones."""
        found: list[tuple[int, int, PowerState]] = []
        for index, packed in enumerate(self._changes):
            start, code = divmod(packed, 4)
            end = self._changes[index + 1] >> 2 if index + 1 < len(self._changes) else end_ms
            if min(end, end_ms) > start:
                found.append((start, min(end, end_ms), STATES[code]))
        return found

    def totals_ms(self, start_ms: int, end_ms: int) -> dict[PowerState, int]:
        """Milliseconds in each state within [start_ms, end_ms); time before its birth counts nowhere."""
        sums = dict.fromkeys(STATES, 0)
        for start, end, state in self.intervals(end_ms):
            sums[state] += max(0, end - max(start, start_ms))
        return sums

    def state_at(self, at_ms: int) -> PowerState | None:
        """The state at a moment, None before its birth."""
        for start, end, state in self.intervals(at_ms + 1):
            if start <= at_ms < end:
                return state
        return None

    def as_dict(self, start_ms: int, end_ms: int) -> dict[str, object]:
        """For the truth file: plain values, seconds with 3 decimals."""
        return {
            "epoch": self.epoch,
            "born_ms": self.born_ms,
            "state": self.state.value,
            "seconds": {state.value: ms / 1000 for state, ms in self.totals_ms(start_ms, end_ms).items()},
            "boots": self.boots,
            "published": self.published,
            "last_seq": self.last_seq,
            "commands": dict(self.commands),
            "switched_off": dict(self.switched_off),
            "unsafe": self.unsafe,
        }
