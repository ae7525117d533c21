"""A bad line between the devices and the broker, seeded: messages vanish unnoticed, overtake each other, come twice."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from caretaker_simulator.sent import LinkChange, Sent


@dataclass(frozen=True)
class Faults:
    """How bad the line is; ratios are 0-1. By default only numbered messages (reports, outcomes) suffer."""

    loss_ratio: float = 0.0  # vanish on their way: the device believes that they arrived
    duplicate_ratio: float = 0.0  # arrive twice
    shuffle_s: float = 0.0  # each is delayed by up to as many timeline seconds, so later ones overtake it
    retained_too: bool = False  # hello and presence suffer as well

    @property
    def any(self) -> bool:
        """Whether the line does anything at all."""
        return self.loss_ratio > 0 or self.duplicate_ratio > 0 or self.shuffle_s > 0


class Line:
    """Carries messages in order of time and counts what it did to them."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self.faults = faults
        self.lost = 0
        self.duplicated = 0
        self._rng = random.Random(f"{seed}|line")
        self._waiting: list[tuple[int, int, Sent | LinkChange]] = []
        self._number = 0

    @property
    def due_ms(self) -> int | None:
        """When the next delayed message arrives; None: nothing is on its way."""
        return self._waiting[0][0] if self._waiting else None

    def carry(self, sent: Iterable[Sent | LinkChange], now_ms: int) -> Iterator[Sent | LinkChange]:
        """Take what the devices sent, and give what arrives up to `now_ms` (with the time of its arrival)."""
        faults, draw = self.faults, self._rng.random
        if not faults.any and not self._waiting:
            yield from sent
            return
        for message in sent:
            if isinstance(message, LinkChange) or (message.retain and not faults.retained_too):
                self._wait(message.at_ms, message)
                continue
            if draw() < faults.loss_ratio:
                self.lost += 1
                continue
            twice = draw() < faults.duplicate_ratio
            self.duplicated += twice
            for _ in range(1 + twice):
                self._wait(message.at_ms + int(draw() * faults.shuffle_s * 1000), message)
        while self._waiting and self._waiting[0][0] <= now_ms:
            at_ms, _, message = heappop(self._waiting)
            yield message._replace(at_ms=at_ms)

    def mend(self) -> None:
        """From here on the line is good; what is on its way still arrives late."""
        self.faults = Faults()

    def _wait(self, at_ms: int, message: Sent | LinkChange) -> None:
        self._number += 1
        heappush(self._waiting, (at_ms, self._number, message))
