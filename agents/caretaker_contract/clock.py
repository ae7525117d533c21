"""The one place (with the agent's probes) where time is read; everything else is handed `now`.

A `Clock` may run faster than the world's: the demo and the simulator live a school day in minutes. Every process of
such a run reads the same timeline from the environment variable CARETAKER_CLOCK. (A NamedTuple, because importing
dataclasses costs the agent 1.4 MB of resident memory.)
"""

import os
import time
from typing import NamedTuple

CLOCK_VARIABLE = "CARETAKER_CLOCK"


class Clock(NamedTuple):
    """A timeline over the world's time: at world time `start_s` it shows `origin_s`, then runs `speed` times as fast.

    All three are in seconds (Unix time, UTC). The default is the world's own clock.
    """

    origin_s: float = 0.0
    start_s: float = 0.0
    speed: float = 1.0

    def now_ms(self) -> int:
        """UTC milliseconds since 1970 on this timeline."""
        return int((self.origin_s + (time.time() - self.start_s) * self.speed) * 1000)

    def elapsed_s(self) -> float:
        """Seconds that only grow on this timeline, without the time a machine slept (CLOCK_MONOTONIC)."""
        return time.monotonic() * self.speed

    def real_s(self, timeline_s: float) -> float:
        """How long `timeline_s` takes in the world, in seconds: what to hand to a sleep or a time-out."""
        return timeline_s / self.speed

    def to_environment(self) -> dict[str, str]:
        """What a child process needs in its environment to live on this timeline."""
        return {CLOCK_VARIABLE: f"{self.origin_s!r}:{self.start_s!r}:{self.speed!r}"}


def from_environment() -> Clock:
    """The clock that CARETAKER_CLOCK describes, else the world's. ValueError when it cannot be read."""
    text = os.environ.get(CLOCK_VARIABLE, "")
    if not text:
        return Clock()
    origin, start, speed = (float(part) for part in text.split(":"))
    if speed <= 0:
        raise ValueError(f"{CLOCK_VARIABLE}: speed must be above 0")
    return Clock(origin, start, speed)


def fast_clock(origin_ms: int, speed: float) -> Clock:
    """A clock that shows `origin_ms` now and runs `speed` times as fast as the world."""
    return Clock(origin_ms / 1000, time.time(), speed)
