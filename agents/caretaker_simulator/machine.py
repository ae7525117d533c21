"""The body of a simulated machine: power, people and input, without any agent. It keeps its own truth.

It is told of steps (habits.py, troubles.py) and of time, and tells a listener about each change of power state.
"""

from typing import Protocol

from caretaker_contract.messages import Cause, PowerState, Verb
from caretaker_simulator.habits import Act, Habits, Parting, Step
from caretaker_simulator.truth import DeviceTruth

NEVER = 1 << 62
_POWER_CYCLE_MS = 180_000
"""How long somebody who sits at a crashed machine waits before pressing the button."""
_KEY_PRESS_MS = 5_000

_IN_USE, _IDLE, _ASLEEP, _OFF = PowerState.IN_USE, PowerState.IDLE, PowerState.ASLEEP, PowerState.OFF


class Listener(Protocol):
    """Who hears of a machine's changes: its agent."""

    def changed(self, at_ms: int, state: PowerState, was: PowerState, cause: Cause, graceful: bool) -> None:
        """The state is now `state`; not `graceful`: it stopped without warning."""
        ...

    def network(self, at_ms: int, up: bool) -> None:
        """The way to the broker went or came."""
        ...

    def clock_set(self, at_ms: int, offset_ms: int) -> None:
        """The machine's clock is now off by `offset_ms`."""
        ...


class Machine:
    """One machine. Times are true times in UTC ms. `due_ms` is the next moment at which `run` has something to do."""

    __slots__ = (
        "_always_on",
        "_boot_ms",
        "_idle_after_ms",
        "_mains",
        "due_ms",
        "listener",
        "network_cuts",
        "present",
        "signed_in",
        "starting_ms",
        "state",
        "truth",
        "typing_until_ms",
        "up_since_ms",
    )

    def __init__(self, habits: Habits, always_on: bool, at_ms: int, truth: DeviceTruth) -> None:
        self._idle_after_ms = habits.idle_after_s * 1000
        self._boot_ms = habits.boot_s * 1000
        self._always_on = always_on
        self._mains = True
        self.truth = truth
        self.listener: Listener | None = None
        self.state = truth.state
        self.present = False  # somebody sits there, reading or typing
        self.signed_in = False
        self.network_cuts = 0
        self.typing_until_ms = at_ms - self._idle_after_ms
        self.up_since_ms = at_ms
        self.starting_ms = NEVER  # when a start that is under way will be complete
        self.due_ms = NEVER

    @property
    def on(self) -> bool:
        """Whether it is running (in use or idle)."""
        return self.state is _IN_USE or self.state is _IDLE

    def idle_ms(self, at_ms: int) -> int:
        """Since the last input of anybody; starting and waking count as input."""
        return max(0, at_ms - self.typing_until_ms)

    def in_use(self, at_ms: int) -> bool:
        """By the truth: somebody sits there, or gave input within the idle threshold."""
        return self.present or at_ms - self.typing_until_ms < self._idle_after_ms

    def run(self, at_ms: int) -> None:
        """Do what falls due by itself at `at_ms`: a start completes, or nobody has given input for long enough."""
        if self.starting_ms <= at_ms:
            self.starting_ms = NEVER
            self._up(at_ms, Cause.BOOT)
        elif self.state is _IN_USE and at_ms - self.typing_until_ms >= self._idle_after_ms:
            self._change(at_ms, _IDLE, Cause.NO_INPUT)
        self._set_due()

    def apply(self, step: Step) -> None:
        """A step of its day."""
        at_ms, act, argument = step
        if act is Act.TYPE:
            if self.present:
                self._type(at_ms, argument)
        elif act is Act.ARRIVE:
            self.present = True
            self.signed_in = True
            self._need(at_ms)
        elif act is Act.LEAVE:
            self._leave(at_ms, argument)
        elif act is Act.SWITCH_ON:
            if self.state is not _ASLEEP:
                self._need(at_ms)
        elif act is Act.ROUND:
            if not self.present and self.on:
                self.off(at_ms, Cause.USER)
        elif act is Act.SLEEP:
            if not self.present:
                self.sleep(at_ms, Cause.USER)
        else:
            self._trouble(at_ms, act, argument)
        self._set_due()

    def off(self, at_ms: int, cause: Cause, graceful: bool = True) -> None:
        """It goes off; nothing when it is."""
        self.starting_ms = NEVER
        if self.state is not _OFF:
            self.signed_in = False
            self._change(at_ms, _OFF, cause, graceful)
        self._set_due()

    def sleep(self, at_ms: int, cause: Cause) -> None:
        """It falls asleep, if it is on."""
        if self.on:
            self._change(at_ms, _ASLEEP, cause)
        self._set_due()

    def start(self, at_ms: int) -> None:
        """Somebody or something switches it on, or wakes it; nothing when it is on or has no power."""
        self._need(at_ms)
        self._set_due()

    def start_at_once(self, at_ms: int) -> None:
        """It is up this very moment, mains or not: for the last drain of a simulation."""
        self.starting_ms = NEVER
        if self.state is _ASLEEP:
            self._up(at_ms, Cause.RESUME)
        elif self.state is _OFF:
            self._up(at_ms, Cause.BOOT)
        self._set_due()

    def obey(self, at_ms: int, verb: Verb, cause: Cause) -> None:
        """Its agent switches it, because of a command. Whether that was safe is judged here, by the truth alone."""
        self.truth.obeyed(verb, self.in_use(at_ms))
        if verb is Verb.SLEEP:
            self.sleep(at_ms, cause)
            return
        self.off(at_ms, cause)
        if verb is Verb.RESTART:
            self.starting_ms = at_ms + self._boot_ms
            self._set_due()

    def press_key(self, at_ms: int) -> None:
        """Whoever sits there touches the machine, as an answer to a warning; nothing when nobody does."""
        if self.present and self.on:
            self._type(at_ms, at_ms + _KEY_PRESS_MS)
            self._set_due()

    def _type(self, at_ms: int, until_ms: int) -> None:
        self.typing_until_ms = max(self.typing_until_ms, until_ms)
        if self.state is _IDLE:
            self._change(at_ms, _IN_USE, Cause.INPUT)
        elif self.state is not _IN_USE:
            self._need(at_ms)

    def _leave(self, at_ms: int, parting: int) -> None:
        self.present = False
        self.typing_until_ms = min(self.typing_until_ms, at_ms)
        if parting == Parting.SIGN_OUT:
            self.signed_in = False
        elif parting == Parting.SWITCH_OFF:
            self.off(at_ms, Cause.USER)
        elif parting == Parting.SLEEP:
            self.sleep(at_ms, Cause.USER)

    def _need(self, at_ms: int) -> None:
        if self.state is _ASLEEP:
            self._up(at_ms, Cause.RESUME)
        elif self.state is _OFF and self._mains and self.starting_ms == NEVER:
            self.starting_ms = at_ms + self._boot_ms

    def _up(self, at_ms: int, cause: Cause) -> None:
        if cause is Cause.BOOT:
            self.up_since_ms = at_ms
            self.truth.boots += 1
        self.signed_in = self.signed_in or self.present
        self.typing_until_ms = max(self.typing_until_ms, at_ms)
        self._change(at_ms, _IN_USE, cause)

    def _trouble(self, at_ms: int, act: Act, argument: int) -> None:
        if act is Act.CRASH:
            if self.on:
                self.off(at_ms, Cause.UNKNOWN, graceful=False)
                if self.present or self._always_on:
                    self.starting_ms = at_ms + _POWER_CYCLE_MS
        elif act is Act.POWER_CUT:
            self._mains = False
            self.off(at_ms, Cause.UNKNOWN, graceful=False)
        elif act is Act.POWER_BACK:
            self._mains = True
            if argument or self.present:
                self._need(at_ms)
        elif act is Act.CLOCK:
            if self.listener is not None:
                self.listener.clock_set(at_ms, argument)
        else:
            self._cut_or_mend(at_ms, act is Act.NET_CUT)

    def _cut_or_mend(self, at_ms: int, cut: bool) -> None:
        before = self.network_cuts
        self.network_cuts = max(0, before + (1 if cut else -1))  # a cut may have begun before this life
        if self.listener is not None and (before == 0) != (self.network_cuts == 0):
            self.listener.network(at_ms, up=not cut)

    def _change(self, at_ms: int, state: PowerState, cause: Cause, graceful: bool = True) -> None:
        was, self.state = self.state, state
        self.truth.change(at_ms, state)
        if self.listener is not None:
            self.listener.changed(at_ms, state, was, cause, graceful)

    def _set_due(self) -> None:
        due = self.starting_ms
        if self.state is _IN_USE:
            due = min(due, self.typing_until_ms + self._idle_after_ms)
        self.due_ms = due
