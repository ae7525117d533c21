"""The relay is an agent that can do one thing more: wake others, and one thing less: nobody switches it off.

Numbers, outbox, link, signatures, single use, replay and goodbye are the agent's own (caretaker_agent). A wake command
names the machines by their MAC addresses; one packet goes to each, `stagger_ms` apart, from the agent's one loop. What
the relay reports is that the packets are out (`done`) or that the network refused them (`failed`): whether a machine
woke, only its own report tells.
"""

import selectors
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from caretaker_agent.meters import Reading
from caretaker_agent.obey import Effect, Rouse
from caretaker_agent.probe import Event, Look, Platform
from caretaker_agent.run import Agent
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Command, PowerState, Verb
from caretaker_relay.packet import magic, sender
from caretaker_relay.settings import RelaySettings, WakeSettings

ABILITIES: Final = frozenset({Verb.WAKE, Verb.REPLAY, Verb.CANCEL})


class RelayPlatform:
    """The machine under a relay: any Platform, of which only looking and saying goodbye are left."""

    abilities = ABILITIES

    def __init__(self, machine: Platform) -> None:
        self._machine = machine
        self.os_text = machine.os_text
        self.mac = machine.mac

    def boot_id(self) -> str:
        """As the machine says."""
        return self._machine.boot_id()

    def clocks(self) -> Reading:
        """As the machine says."""
        return self._machine.clocks()

    def look(self, full: bool) -> Look:
        """As the machine says."""
        return self._machine.look(full)

    def uptime_s(self) -> int:
        """As the machine says."""
        return self._machine.uptime_s()

    def act(self, verb: Verb) -> bool:
        """Never: a relay stays on."""
        return False

    def warn(self, sentence: str, seconds: int) -> None:
        """Nobody is warned: nothing is switched here."""

    def unwarn(self) -> None:
        """Nobody was warned."""

    def fileno(self) -> int | None:
        """As the machine says."""
        return self._machine.fileno()

    def events(self) -> list[Event]:
        """As the machine says."""
        return self._machine.events()

    def hold(self) -> None:
        """As the machine says."""
        self._machine.hold()

    def release(self) -> None:
        """As the machine says."""
        self._machine.release()

    def going_down(self) -> bool:
        """As the machine says."""
        return self._machine.going_down()


class _Round(NamedTuple):
    """A wake command under way: the machines that have had no packet yet."""

    command: Command
    left: deque[str]


class Waker:
    """Sends magic packets one after the other. `due_s` and `step` are real, steady seconds."""

    def __init__(self, settings: WakeSettings) -> None:
        self._settings = settings
        self._rounds: deque[_Round] = deque()
        self._next_s = 0.0

    @property
    def due_s(self) -> float | None:
        """When the next packet goes out; None: nobody is to be woken."""
        return self._next_s if self._rounds else None

    def add(self, command: Command) -> None:
        """Wake the machines of this command, after those that wait already."""
        self._rounds.append(_Round(command, deque(dict.fromkeys(command.macs))))

    def step(self, now_s: float) -> tuple[Command, str] | None:
        """Send what is due. Answers when a command is over: with "" when all its packets are out, else what failed."""
        if not self._rounds or now_s < self._next_s:
            return None
        command, left = self._rounds[0]
        settings = self._settings
        self._next_s = now_s + settings.stagger_ms / 1000
        try:
            with sender(settings.interface) as out:
                while left:
                    out.sendto(magic(left.popleft()), (settings.broadcast, settings.port))
                    if settings.stagger_ms:
                        break
        except OSError as error:
            self._rounds.popleft()
            return command, f"{settings.broadcast}: {error.strerror or error}"
        if left:
            return None
        self._rounds.popleft()
        return command, ""

    def give_up(self) -> list[Command]:
        """Forget what is left, because the relay goes; the commands that are not over."""
        left = [each.command for each in self._rounds]
        self._rounds.clear()
        return left


class Relay(Agent):
    """The agent's loop, with a packet now and then."""

    def __init__(self, settings: RelaySettings, machine: Platform, clock: Clock) -> None:
        super().__init__(settings, RelayPlatform(machine), clock)
        self._waker = Waker(settings.wake)

    def _wait_s(self) -> float:
        wait_s, due_s = super()._wait_s(), self._waker.due_s
        return wait_s if due_s is None else max(0.0, min(wait_s, due_s - time.monotonic()))

    def _turn(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        super()._turn(selector, wait_s)
        over = self._waker.step(time.monotonic())
        if over is not None:
            command, problem = over
            if problem:
                print(f"caretaker-relay: cannot wake: {problem}", file=sys.stderr)  # noqa: T201
            self._perform(self._obedience.roused(command, not problem))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Rouse):
                self._waker.add(effect.command)
        super()._perform(list(effects))

    def _goodbye(self, state: PowerState, selector: selectors.BaseSelector) -> None:
        self._give_up()
        super()._goodbye(state, selector)

    def _farewell(self, selector: selectors.BaseSelector) -> None:
        self._give_up()
        super()._farewell(selector)

    def _give_up(self) -> None:
        for command in self._waker.give_up():
            self._perform(self._obedience.roused(command, ok=False))
