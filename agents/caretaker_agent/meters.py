"""Counters that only grow: seconds in use, idle and asleep, and milliwatt-hours where a sensor measures them.

Pure: time comes in as readings of two clocks that no person can set. CLOCK_MONOTONIC stands still while a machine
sleeps, CLOCK_BOOTTIME does not (clock_gettime(2)), so their difference is the time asleep since boot, however often the
agent was restarted in between. One `Bank` per device is small enough for tens of thousands of simulated ones.
"""

from typing import NamedTuple

from caretaker_contract.messages import Meters, PowerState

_MS_PER_MWH_AND_W = 3600
"""1 W for 3600 ms is 1 mWh."""


class Reading(NamedTuple):
    """One look at the machine's two clocks, in seconds since it was booted."""

    awake_s: float  # CLOCK_MONOTONIC: without the time asleep
    since_boot_s: float  # CLOCK_BOOTTIME: with it

    @property
    def asleep_s(self) -> float:
        """Seconds asleep since boot."""
        return max(0.0, self.since_boot_s - self.awake_s)


class Span(NamedTuple):
    """How a stretch of time divides into states, in milliseconds."""

    in_use_ms: int
    idle_ms: int
    asleep_ms: int


class Bank:
    """The meters of one machine, in milliseconds, so that many short spans lose nothing to rounding."""

    __slots__ = ("asleep_ms", "energy_w_ms", "idle_ms", "in_use_ms")

    def __init__(
        self, in_use_ms: int = 0, idle_ms: int = 0, asleep_ms: int = 0, energy_w_ms: float | None = None
    ) -> None:
        self.in_use_ms = in_use_ms
        self.idle_ms = idle_ms
        self.asleep_ms = asleep_ms
        self.energy_w_ms = energy_w_ms  # watts x milliseconds; None until something was measured

    def add(self, state: PowerState, elapsed_ms: int, watts: float | None = None) -> None:
        """Count `elapsed_ms` spent in `state`; a negative span and time spent off count nothing.

        `watts` is the measured mean power of the whole machine over that time, None where nothing measures it.
        """
        if elapsed_ms <= 0:
            return
        if state is PowerState.IN_USE:
            self.in_use_ms += elapsed_ms
        elif state is PowerState.IDLE:
            self.idle_ms += elapsed_ms
        elif state is PowerState.ASLEEP:
            self.asleep_ms += elapsed_ms
        else:
            return
        if watts is not None and watts >= 0:
            self.energy_w_ms = (self.energy_w_ms or 0.0) + watts * elapsed_ms

    def add_span(self, span: Span, watts: float | None = None) -> None:
        """Count a divided span; `watts` was measured while awake and is not claimed for the time asleep."""
        self.add(PowerState.IN_USE, span.in_use_ms, watts)
        self.add(PowerState.IDLE, span.idle_ms, watts)
        self.add(PowerState.ASLEEP, span.asleep_ms)

    def read(self) -> Meters:
        """What a report carries: whole seconds and milliwatt-hours, rounded down, so that a reading never falls."""
        energy = self.energy_w_ms
        return Meters(
            in_use_s=self.in_use_ms // 1000,
            idle_s=self.idle_ms // 1000,
            asleep_s=self.asleep_ms // 1000,
            energy_mwh=None if energy is None else int(energy / _MS_PER_MWH_AND_W),
        )


def divide(
    before: Reading,
    now: Reading,
    was: PowerState,
    state: PowerState,
    input_age_s: float | None,
    idle_after_s: float,
) -> Span:
    """How the time between two looks of one boot divides into states.

    The time asleep is measured. The time awake belongs to the state before, up to the moment at which it changed, and
    the age of the last input tells that moment: a machine is in use until `idle_after_s` after the last input. Where
    the age is unknown, all of it belongs to the state before. A clock that went backwards counts nothing.
    """
    awake_ms = max(0, round((now.awake_s - before.awake_s) * 1000))
    asleep_ms = max(0, round((now.asleep_s - before.asleep_s) * 1000))
    age_ms = None if input_age_s is None else round(input_age_s * 1000)
    after_ms = round(idle_after_s * 1000)
    if state is PowerState.IDLE:
        idle_ms = 0 if age_ms is None else min(awake_ms, max(0, age_ms - after_ms))
        rest_ms = awake_ms - idle_ms
        if was is PowerState.IN_USE:
            return Span(rest_ms, idle_ms, asleep_ms)
        return Span(0, awake_ms, asleep_ms)
    if was is PowerState.IDLE:
        in_use_ms = awake_ms if age_ms is None else min(awake_ms, age_ms)
        return Span(in_use_ms, awake_ms - in_use_ms, asleep_ms)
    return Span(awake_ms, 0, asleep_ms)


def state_of(input_age_s: float | None, idle_after_s: float) -> PowerState:
    """In use or idle. Not knowing when the last input came counts as in use: doubt keeps a machine on."""
    if input_age_s is None or input_age_s < idle_after_s:
        return PowerState.IN_USE
    return PowerState.IDLE
