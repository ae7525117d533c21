"""A machine with its days: loads each day's plan in time and lets the machine live it."""

from collections.abc import Sequence
from datetime import date, timedelta
from zlib import crc32

from caretaker_contract.messages import PowerState
from caretaker_simulator.habits import HOUR_MS, Act, Habits, Seat, Step, day_of, midnight_ms, plan_day
from caretaker_simulator.machine import Machine
from caretaker_simulator.troubles import Troubles, plan_troubles
from caretaker_simulator.truth import DeviceTruth

_CUTS = frozenset({Act.NET_CUT, Act.NET_BACK, Act.POWER_CUT, Act.CRASH})


class Life:
    """A machine and its steps to come. `due_ms` is the next moment at which `run` has something to do."""

    __slots__ = (
        "_day",
        "_habits",
        "_load_ms",
        "_seed",
        "_spread_ms",
        "_steps",
        "_troubles",
        "due_ms",
        "machine",
        "seat",
    )

    def __init__(
        self,
        seat: Seat,
        habits: Habits,
        troubles: Troubles,
        seed: int,
        at_ms: int,
        placed: Sequence[Step] = (),
    ) -> None:
        self.seat = seat
        self._habits = habits
        self._troubles = troubles
        self._seed = seed
        state = PowerState.IDLE if seat.always_on else PowerState.OFF
        self.machine = Machine(habits, seat.always_on, at_ms, DeviceTruth("", at_ms, state))
        self._steps: list[Step] = [step for step in placed if step[0] >= at_ms]  # latest first
        # Plans are made within the hour before midnight, not all in one moment.
        self._spread_ms = crc32(seat.key.encode()) % HOUR_MS
        self._day: date = day_of(at_ms, seat.zone)
        self._load_ms = at_ms
        self._load(at_ms)

    def _load(self, at_ms: int) -> None:
        steps = plan_day(self.seat, self._day, self._habits, self._seed)
        steps += plan_troubles(self.seat, self._day, self._troubles, self._seed)
        self._steps += [step for step in steps if step[0] >= at_ms]
        self._steps.sort(reverse=True)
        self._day += timedelta(days=1)
        self._load_ms = midnight_ms(self._day, self.seat.zone) - 1 - self._spread_ms
        self.set_due()

    def set_due(self) -> None:
        """Work out `due_ms` again, after the machine was changed from outside."""
        due = min(self._load_ms, self.machine.due_ms)
        if self._steps and self._steps[-1][0] < due:
            due = self._steps[-1][0]
        self.due_ms = due

    def run(self, at_ms: int) -> None:
        """Do what is due at `at_ms` (= `due_ms`)."""
        machine = self.machine
        if self._load_ms <= at_ms:
            self._load(at_ms)
        while self._steps and self._steps[-1][0] <= at_ms:
            machine.apply(self._steps.pop())
        if machine.due_ms <= at_ms:
            machine.run(at_ms)
        self.set_due()

    def run_until(self, end_ms: int) -> None:
        """Live up to `end_ms`, unheard."""
        while self.due_ms < end_ms:
            self.run(self.due_ms)

    def calm(self) -> None:
        """No more cuts and crashes from those days that are already planned, and the network is there."""
        self._steps = [step for step in self._steps if step[1] not in _CUTS]
        self.machine.network_cuts = 0
        self.set_due()
