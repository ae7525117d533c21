"""A simulated device: a machine with its own agent.

It reports on every change of state and as a heartbeat, counts with the real agent's meters (caretaker_agent.meters)
and obeys by the real agent's judgement (caretaker_agent.obey). What it knows of the machine is what an agent can know;
whether a command was safe is not judged here but by the machine's truth.
"""

import random
from collections.abc import Callable, Sequence

from caretaker_agent.meters import Bank
from caretaker_agent.obey import (
    Act,
    Effect,
    Keyring,
    Moment,
    Obedience,
    Resend,
    Rouse,
    Say,
    Unwarn,
    View,
    Warn,
    leaving_cause,
)
from caretaker_contract.messages import Cause, Gauges, Outcome, PowerState, Report, encode
from caretaker_contract.topics import Kind
from caretaker_simulator.habits import Habits
from caretaker_simulator.life import Life
from caretaker_simulator.machine import NEVER
from caretaker_simulator.sent import LinkChange, Sent, cpu_ratio, disk_base, memory_base, memory_ratio
from caretaker_simulator.story import Ailing
from caretaker_simulator.troubles import DEAD_BATTERY_MS, WrongClock
from caretaker_simulator.truth import DeviceTruth
from caretaker_simulator.voice import RELAY_ABILITIES, Voice

SERVER_W = 180.0
"""What a simulated server's sensor shows, give or take 10 %: an invention, to exercise measured energy."""
_CLOCK_REPAIR_MS = 120_000
_RING = 0x7FFFFFFF
_NO_GAUGES = Gauges()


class SimulatedDevice(Voice):
    """One device. `due_ms` is the next moment at which `run` has something to do."""

    __slots__ = (
        "_ailing",
        "_bank",
        "_clock",
        "_clock_due_ms",
        "_counted_ms",
        "_habits",
        "_heartbeat_due_ms",
        "_keyring",
        "_memory_base",
        "_noise",
        "_obedience",
        "_obey_due_ms",
        "_reaction_due_ms",
        "_rouse",
        "_watts",
        "due_ms",
        "ignored_commands",
        "life",
    )

    def __init__(
        self,
        life: Life,
        at_ms: int,
        *,
        habits: Habits,
        seed: int,
        clock: WrongClock,
        keyring: Keyring,
        out: Callable[[Sent | LinkChange], None],
        heartbeat_s: int = 300,
        keep: int = 1000,
        own_link: bool = False,
        rouse: Callable[[list[str], int], None] | None = None,
        ailing: Ailing | None = None,
    ) -> None:
        rng = random.Random(f"{seed}|{life.seat.key}|device")
        truth = DeviceTruth(f"{rng.getrandbits(32):08x}", at_ms, life.machine.state)
        super().__init__(life.seat.device, truth, out=out, heartbeat_s=heartbeat_s, keep=keep, own_link=own_link)
        self.life = life
        life.machine.truth = truth
        life.machine.listener = self
        self._rouse = rouse  # it is the relay of its school: sends magic packets to these MACs
        if rouse is not None:
            self.abilities = RELAY_ABILITIES
        self._habits = habits
        self._keyring = keyring
        self._clock = clock
        self.offset_ms = 0 if clock.stepped else clock.offset_ms
        self._bank = Bank()
        self._counted_ms = at_ms
        self._memory_base = memory_base(rng)
        self._ailing = ailing or Ailing((), life.seat, disk_base(f"{seed}|{life.seat.key}|disk"))
        self._noise = rng.getrandbits(31)
        self._watts = round(SERVER_W * rng.uniform(0.9, 1.1), 1) if life.seat.always_on else None
        self._obedience: Obedience | None = None
        self._obey_due_ms = NEVER
        self._reaction_due_ms = NEVER
        self._heartbeat_due_ms = NEVER
        self._clock_due_ms = NEVER
        self.ignored_commands = 0  # arrived while it was off or cut off
        self.due_ms = life.due_ms

    def begin(self, at_ms: int) -> None:
        """Its agent is installed: on a machine that is on it starts; of one that is not, the last goodbye is told."""
        machine = self.life.machine
        if machine.on:
            self._report(at_ms, machine.state, machine.state, Cause.AGENT_START)
            if not machine.network_cuts:
                self._connect(at_ms)
        else:
            self._connect(at_ms)
            self._report(at_ms, machine.state, PowerState.IDLE, Cause.USER)
            self._leave(at_ms, Cause.USER)
        self.set_due()

    def run(self, at_ms: int) -> None:
        """Do what is due at `at_ms` (= `due_ms`)."""
        if self._heartbeat_due_ms <= at_ms:
            self.heartbeat(at_ms)
        if self.life.due_ms <= at_ms:
            self.life.run(at_ms)
        if self._will_due_ms <= at_ms:
            self._speak_will(at_ms)
        if self._reaction_due_ms <= at_ms:
            self._reaction_due_ms = NEVER
            self.life.machine.press_key(at_ms)
            self.life.set_due()
        if self._obey_due_ms <= at_ms:
            self._tick(at_ms)
        if self._clock_due_ms <= at_ms:
            self._clock_due_ms = NEVER
            self.offset_ms = self._clock.offset_ms
        self.set_due()

    def set_due(self) -> None:
        """Work out `due_ms` again."""
        due = self.life.due_ms
        if self._heartbeat_due_ms < due:
            due = self._heartbeat_due_ms
        if self._will_due_ms < due:
            due = self._will_due_ms
        self.due_ms = min(due, self._reaction_due_ms, self._obey_due_ms, self._clock_due_ms)

    def heartbeat(self, at_ms: int) -> None:
        """Report that nothing changed; a machine that is not on stays silent."""
        state = self.life.machine.state
        if self.life.machine.on:
            self._report(at_ms, state, state, Cause.HEARTBEAT)

    def packet(self, at_ms: int) -> None:
        """A magic packet is on the school's network: it wakes a machine that hears it and has power."""
        if not self.life.machine.network_cuts and not self._ailing.deaf(at_ms):
            self.start(at_ms)

    def start(self, at_ms: int) -> None:
        """Somebody or something switches its machine on."""
        self.life.machine.start(at_ms)
        self.life.set_due()
        self.set_due()

    # What the machine tells its agent (machine.Listener).

    def changed(self, at_ms: int, state: PowerState, was: PowerState, cause: Cause, graceful: bool) -> None:
        """The machine's power state changed."""
        if not graceful:
            self._vanish(at_ms)
            return
        if cause is Cause.BOOT:
            self._boot(at_ms)
        self._report(at_ms, state, was, cause)
        if state is PowerState.OFF or state is PowerState.ASLEEP:
            if self.link:
                self._leave(at_ms, cause)
            self._stop_obeying(state)
            return
        if cause in (Cause.BOOT, Cause.RESUME) and not self.life.machine.network_cuts:
            self._connect(at_ms)
        self._tick(at_ms)  # input vetoes a countdown at once

    def network(self, at_ms: int, up: bool) -> None:
        """The way to the broker went or came."""
        if not self.life.machine.on:
            return
        if up:
            self._connect(at_ms)
        elif self.link:
            self._cut(at_ms)

    def clock_set(self, at_ms: int, offset_ms: int) -> None:
        """Its clock was set, rightly or wrongly."""
        self.offset_ms = offset_ms

    def _boot(self, at_ms: int) -> None:
        self._new_boot()
        self._counted_ms = at_ms
        if self._clock.dead_battery:
            self.offset_ms = DEAD_BATTERY_MS - at_ms
            self._clock_due_ms = at_ms + _CLOCK_REPAIR_MS

    def _vanish(self, at_ms: int) -> None:
        """It stopped without warning: what was not yet counted since its last report is never counted."""
        self._heartbeat_due_ms = NEVER
        self._clock_due_ms = NEVER
        self._stop_obeying(PowerState.OFF)
        if self.link:
            self._cut(at_ms)

    # Commands.

    def receive(self, payload: bytes, at_ms: int) -> None:
        """Something arrived on its command topic."""
        if not self.link:
            self.ignored_commands += 1
            return
        if self._obedience is None:
            self._obedience = self._new_obedience({})
        self._carry_out(self._obedience.receive(payload, self._view(at_ms), self._moment(at_ms)), at_ms)
        self.life.set_due()
        self.set_due()

    def _new_obedience(self, seen: dict[str, int]) -> Obedience:
        return Obedience(
            self.life.seat.key,
            self._keyring,
            frozenset(self.abilities),
            idle_after_s=self._habits.idle_after_s,
            allow_power_off=True,
            seen=seen,
        )

    def _stop_obeying(self, state: PowerState) -> None:
        self._obey_due_ms = NEVER
        self._reaction_due_ms = NEVER
        if state is PowerState.OFF and self._obedience is not None:  # a countdown does not outlive its agent
            self._obedience = self._new_obedience(self._obedience.seen)

    def _view(self, at_ms: int) -> View:
        return View(self.life.machine.idle_ms(at_ms) / 1000)

    def _moment(self, at_ms: int) -> Moment:
        return Moment(self.clock_ms(at_ms), at_ms / 1000)

    def _tick(self, at_ms: int) -> None:
        self._obey_due_ms = NEVER
        if self._obedience is not None and self._obedience.counting_down:
            self._carry_out(self._obedience.tick(self._view(at_ms), self._moment(at_ms)), at_ms)

    def _carry_out(self, effects: Sequence[Effect], at_ms: int) -> None:
        for effect in effects:
            if self._obedience is None:
                return
            if isinstance(effect, Say):
                self._say(at_ms, effect)
            elif isinstance(effect, Warn):
                if self.life.machine.present:  # somebody sits there reading: a key press will follow
                    fastest_s, slowest_s = self._habits.reaction_s
                    self._reaction_due_ms = at_ms + int((fastest_s + (slowest_s - fastest_s) * self._draw()) * 1000)
            elif isinstance(effect, Unwarn):
                self._reaction_due_ms = NEVER
            elif isinstance(effect, Act):
                self._carry_out(self._obedience.acted(True), at_ms)
                if not effect.dry_run:
                    self.life.machine.obey(at_ms, effect.command.verb, leaving_cause(effect.command))
                    return
            elif isinstance(effect, Rouse) and self._rouse is not None:
                self._rouse(effect.command.macs, at_ms)
                self._carry_out(self._obedience.roused(effect.command, True), at_ms)
            elif isinstance(effect, Resend):
                missing = self._resend(effect.command.ranges, at_ms)
                self._carry_out(self._obedience.resent(effect.command, missing), at_ms)
        due_s = self._obedience.due_s() if self._obedience is not None else None
        # at least a millisecond on, because seconds as floating point may fall short of their end by a rounding
        self._obey_due_ms = NEVER if due_s is None else max(int(due_s * 1000), at_ms + 1)

    # Messages.

    def _draw(self) -> float:
        """The next of this device's own random numbers, 0-1: cheap, and the same in every run."""
        self._noise = (self._noise * 1103515245 + 12345) & _RING
        return self._noise / _RING

    def _report(self, at_ms: int, state: PowerState, was: PowerState, cause: Cause) -> None:
        machine = self.life.machine
        self._bank.add(was, at_ms - self._counted_ms, self._watts)
        self._counted_ms = at_ms
        now_ms = self.clock_ms(at_ms)
        in_use = state is PowerState.IN_USE
        on = in_use or state is PowerState.IDLE
        noise = self._draw()
        self.seq += 1
        report = Report(
            epoch=self.truth.epoch,
            boot=self.boot,
            seq=self.seq,
            prev=self.prev,
            at_ms=now_ms,
            sent_ms=now_ms,
            state=state,
            was=was,
            cause=cause,
            meters=self._bank.read(),
            gauges=Gauges(
                idle_s=machine.idle_ms(at_ms) // 1000,
                session=machine.signed_in,
                cpu_ratio=cpu_ratio(in_use, self._watts is not None, noise),
                memory_ratio=memory_ratio(self._memory_base, in_use, noise),
                disk_ratio=self._ailing.disk_ratio(at_ms),
                watts=self._watts,
                uptime_s=(at_ms - machine.up_since_ms) // 1000,
                inhibited=False,
            )
            if on
            else _NO_GAUGES,
        )
        self._heartbeat_due_ms = at_ms + self._heartbeat_s * 1000 if on else NEVER
        self._numbered(at_ms, Kind.REPORT, encode(report))

    def _say(self, at_ms: int, said: Say) -> None:
        self.truth.said(said.verb, said.step)
        now_ms = self.clock_ms(at_ms)
        self.seq += 1
        outcome = Outcome(
            epoch=self.truth.epoch,
            boot=self.boot,
            seq=self.seq,
            prev=self.prev,
            at_ms=now_ms,
            sent_ms=now_ms,
            command=said.command,
            verb=said.verb,
            step=said.step,
            reason=said.reason,
            missing=list(said.missing),
        )
        self._numbered(at_ms, Kind.OUTCOME, encode(outcome))
