"""The agent's one loop: look, count, tell, obey, say goodbye.

Everything happens in one thread around one selector: the broker's socket, the system bus, and the signal that asks the
agent to stop. All waiting is done there; the judgement is in obey.py, the counting in meters.py and account.py.
"""

import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import caretaker_agent
from caretaker_agent.account import Account
from caretaker_agent.link import Link, Publication, Target, Will
from caretaker_agent.obey import (
    Act,
    Effect,
    Keyring,
    Moment,
    Note,
    Obedience,
    Resend,
    Say,
    Unwarn,
    View,
    Warn,
    leaving_cause,
)
from caretaker_agent.probe import Event, Look, Platform
from caretaker_agent.sender import Sender
from caretaker_agent.sentences import sentence
from caretaker_agent.settings import Settings, address
from caretaker_agent.still_here import Answer, Asked, Door, open_door
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, Hello, PowerState, PresenceNote, PresenceWord, encode
from caretaker_contract.topics import Address, Kind

GOODBYE_WITHIN_S: Final = 3.0
"""How long the last report may take: logind waits 5 s for us by default (InhibitDelayMaxSec, logind.conf(5))."""
OBEYED_FOR_S: Final = 300.0
"""A machine that leaves so soon after obeying leaves because of the command; later it is somebody else's doing."""
SURELY_BACK_S: Final = 120.0
"""Still awake so long after a goodbye: the sleep or shutdown was called off."""
SLEPT_S: Final = 5.0
"""A jump of the sleep clock by this much means that the machine slept, also where nothing tells us."""
STAY_AGAIN_S: Final = 60.0
"""Somebody who asks again so soon is told the same and makes no other report."""
_COUNTDOWN_LOOK_S: Final = 1.0


class Agent:
    """One machine's agent over a Platform. `run` returns when `stop` was called or a signal came."""

    def __init__(self, settings: Settings, platform: Platform, clock: Clock) -> None:
        self._settings = settings
        self._platform = platform
        self._clock = clock
        self._device = Address(settings.school, settings.device)
        self._look = platform.look(full=True)
        self._account = Account(settings, platform.boot_id(), self._look)
        self._sender = Sender(self._account.outbox, self._device, clock.now_ms)
        self._obedience = Obedience(
            address(settings),
            Keyring(settings.command_keys),
            platform.abilities,
            idle_after_s=settings.idle_after_s,
            allow_power_off=settings.allow_power_off,
            seen=self._account.memory.seen,
        )
        self._link = Link(
            _target(settings),
            self._device.topic(Kind.COMMAND),
            will=self._will,
            on_up=self._greet,
            source=self._next,
            on_acked=self._sender.acknowledged,
            on_refused=lambda token, code: self._sender.rewind(),
            on_command=self._command,
        )
        self._stopping = False
        self._gone: PowerState | None = None
        self._gone_s = 0.0
        self._obeyed: tuple[Cause, float] | None = None
        self._next_look_s = 0.0
        self._next_beat_s = 0.0
        self._asleep_s = self._look.clocks.asleep_s
        self._complaint = ""
        self._door: Door | None = None
        self._asked = Asked()
        self._link_number = self._account.memory.link
        self._wake_here, self._wake_there = socket.socketpair()
        for end in (self._wake_here, self._wake_there):
            end.setblocking(False)
        self._watched: dict[int, int] = {}

    def stop(self) -> None:
        """End `run`, from a signal or another thread."""
        self._stopping = True
        try:
            self._wake_there.send(b"x")
        except OSError:
            pass  # it is full of wakes already, or closed

    def run(self, signals: bool = True) -> None:
        """Until stopped. Raises Unavailable when the first report cannot be kept."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._signalled)
            signal.set_wakeup_fd(self._wake_there.fileno(), warn_on_full_buffer=False)
        self._platform.hold()
        first = self._account
        self._tell(first.state, first.told, first.first_cause, self._look)
        self._open_door()
        _notify("READY=1")
        # poll(2) keeps nothing in the kernel, so a socket that was closed and opened again needs no care.
        selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)()
        selector.register(self._wake_here, selectors.EVENT_READ)
        try:
            while not self._stopping:
                self._turn(selector, self._wait_s())
            self._farewell(selector)
        finally:
            if signals:
                signal.set_wakeup_fd(-1)
            selector.close()
            self._platform.release()
            self._account.outbox.close()
            if self._door is not None:
                self._door.close()
            self._wake_here.close()
            self._wake_there.close()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _turn(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        """One round: wait for something, then do what is due."""
        self._watch(selector)
        ready = selector.select(wait_s)
        now_s = time.monotonic()
        for key, mask in ready:
            if key.fd == self._wake_here.fileno():
                self._wake_here.recv(4096)
            elif key.fd == self._link.fileno():
                self._link.ready(bool(mask & selectors.EVENT_READ), bool(mask & selectors.EVENT_WRITE), now_s)
        for event in self._platform.events():
            self._told_of(event, selector)
        self._hear_people()
        if now_s >= self._next_look_s:
            self._glance()
            _notify("WATCHDOG=1")
            pause_s = _COUNTDOWN_LOOK_S if self._obedience.counting_down else float(self._settings.poll_s)
            if self._gone is None:
                pause_s = min(pause_s, max(0.0, self._next_beat_s - self._platform.clocks().awake_s))
            self._next_look_s = now_s + max(0.05, self._clock.real_s(pause_s))
        self._link.tick(now_s)

    def _wait_s(self) -> float:
        due = min(self._next_look_s, self._link.next_s())
        if self._door is not None:
            due = min(due, self._door.opens_s())
        return max(0.0, due - time.monotonic())

    def _watch(self, selector: selectors.BaseSelector, bus_too: bool = True) -> None:
        wanted: dict[int, int] = {}
        fd = self._link.fileno()
        if fd is not None and fd >= 0:
            wanted[fd] = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._link.wants_write else 0)
        bus = self._platform.fileno() if bus_too else None
        if bus is not None and bus >= 0:
            wanted[bus] = selectors.EVENT_READ
        door = self._door.fileno() if self._door is not None and bus_too else None
        if door is not None:
            wanted[door] = selectors.EVENT_READ
        if wanted == self._watched:
            return
        for fd in self._watched:
            selector.unregister(fd)
        for fd, mask in wanted.items():
            selector.register(fd, mask)
        self._watched = wanted

    def _glance(self) -> None:
        """Look at the machine; tell a change of state, or that the heart still beats; go on with a countdown."""
        look = self._look = self._platform.look(full=False)
        slept_s = look.clocks.asleep_s - self._asleep_s
        self._asleep_s = look.clocks.asleep_s
        if self._gone is not None:
            if slept_s >= SLEPT_S * self._clock.speed or look.clocks.awake_s - self._gone_s >= SURELY_BACK_S:
                self._back()
            return
        self._platform.hold()
        state = self._account.count(look)
        if slept_s >= SLEPT_S * self._clock.speed:
            self._link.retry(time.monotonic())
            self._tell(state, PowerState.ASLEEP, Cause.RESUME)
        elif state is not self._account.told:
            self._tell(state, self._account.told, _changed(state))
        elif look.clocks.awake_s >= self._next_beat_s:
            self._tell(state, state, Cause.HEARTBEAT)
        self._perform(self._obedience.tick(self._view(look), self._moment(look)))

    def _tell(
        self, state: PowerState, was: PowerState, cause: Cause, look: Look | None = None, stay_s: int | None = None
    ) -> str:
        """Report; "" when it is kept. When the disk refuses, nothing is numbered and the next look tries again."""
        if look is None:
            look = self._look = self._platform.look(full=True)
            counted = self._account.count(look)
            state = counted if state in (PowerState.IN_USE, PowerState.IDLE) else state
        try:
            self._account.report(state, was, cause, look, self._platform.uptime_s(), self._clock.now_ms(), stay_s)
        except Unavailable as error:
            self._complain(f"cannot keep a report: {error}")
            return str(error)
        self._complaint = ""
        self._next_beat_s = look.clocks.awake_s + self._settings.heartbeat_s
        self._link.pump(time.monotonic())
        return ""

    def _open_door(self) -> None:
        try:
            self._door = open_door(Path(self._settings.state_dir))
        except Unavailable as error:
            self._complain(f"nobody at this machine can say that they are still here: {error}")

    def _hear_people(self) -> None:
        """Somebody here asks that the room be kept on: that goes out at once, as a report like any other."""
        if self._door is not None:
            for asker in self._door.asks():
                self._door.answer(asker, self._still_here())

    def _still_here(self) -> Answer:
        if self._gone is not None:
            return Answer(why="this machine is just being switched off or put to sleep")
        if time.monotonic() - self._asked.at_s < STAY_AGAIN_S:
            return Answer(self._asked.until_ms, self._link.up)
        look = self._look = self._platform.look(full=True)
        state, told = self._account.count(look), self._account.told
        why = self._tell(
            state, told, Cause.HEARTBEAT if state is told else _changed(state), look, self._settings.stay_s
        )
        # Whoever says so is there, whatever the machine can see of its keys: what counts down here is vetoed.
        self._perform(self._obedience.tick(View(0.0, look.inhibited), self._moment(look)))
        if why:
            return Answer(why=why)
        self._asked = Asked(self._clock.now_ms() + self._settings.stay_s * 1000, time.monotonic())
        return Answer(self._asked.until_ms, self._link.up)

    def _view(self, look: Look) -> View:
        return View(look.input_age_s, look.inhibited)

    def _moment(self, look: Look) -> Moment:
        return Moment(self._clock.now_ms(), look.clocks.awake_s)

    def _command(self, payload: bytes) -> None:
        """Judge a command on a fresh look. What was used up is on the disk before anything is done."""
        look = self._look = self._platform.look(full=False)
        if self._gone is not None:
            self._complain("a command came while the machine is leaving; it is left to expire")
            return
        effects = self._obedience.receive(payload, self._view(look), self._moment(look))
        try:
            self._account.save()
        except Unavailable as error:
            self._complain(f"cannot remember a command, so it is not obeyed: {error}")
            self._obedience.abandon()
            return
        self._perform(effects)
        self._next_look_s = 0.0

    def _perform(self, effects: list[Effect]) -> None:
        """Carry out what was judged, in its order."""
        for effect in effects:
            if isinstance(effect, Say):
                self._outcome(effect)
            elif isinstance(effect, Warn):
                self._platform.warn(sentence(effect.text, effect.verb, effect.seconds), effect.seconds)
            elif isinstance(effect, Unwarn):
                self._platform.unwarn()
            elif isinstance(effect, Act):
                self._act(effect)
            elif isinstance(effect, Resend):
                missing = self._sender.replay(effect.command.ranges)
                self._perform(self._obedience.resent(effect.command, missing))
            elif isinstance(effect, Note):
                print(f"caretaker-agent: {effect.text}", file=sys.stderr)  # noqa: T201
        self._link.pump(time.monotonic())

    def _act(self, act: Act) -> None:
        ok = True
        if not act.dry_run:
            self._obeyed = (leaving_cause(act.command), time.monotonic())
            ok = self._platform.act(act.command.verb)
            if not ok:
                self._obeyed = None
        self._perform(self._obedience.acted(ok))

    def _outcome(self, say: Say) -> None:
        try:
            self._account.outcome(say, self._clock.now_ms())
        except Unavailable as error:
            self._complain(f"cannot keep an outcome: {error}")

    def _told_of(self, event: Event, selector: selectors.BaseSelector) -> None:
        if event is Event.BACK:
            if self._gone is not None:
                self._back()
            self._platform.hold()
            return
        if self._gone is None:
            self._goodbye(PowerState.ASLEEP if event is Event.SLEEPING else PowerState.OFF, selector)
        self._platform.release()

    def _goodbye(self, state: PowerState, selector: selectors.BaseSelector) -> None:
        """The last report, then `leaving`, then a clean end of the connection, so that no will speaks for us."""
        cause = Cause.USER
        if self._obeyed is not None and time.monotonic() - self._obeyed[1] <= OBEYED_FOR_S:
            cause = self._obeyed[0]
        self._obeyed = None
        self._perform(self._obedience.abandon())
        self._tell(state, self._account.told, cause)
        self._gone, self._gone_s = state, self._look.clocks.awake_s
        self._leave(cause, selector)

    def _leave(self, cause: Cause, selector: selectors.BaseSelector) -> None:
        deadline_s = time.monotonic() + GOODBYE_WITHIN_S
        self._drain(selector, deadline_s - 1.0)
        if self._link.up:
            self._link.say(self._device.topic(Kind.PRESENCE), self._presence(PresenceWord.LEAVING, cause))
            self._drain(selector, deadline_s)
        self._link.leave(time.monotonic())
        try:
            self._account.save()
        except Unavailable as error:
            self._complain(f"cannot remember what was delivered: {error}")

    def _drain(self, selector: selectors.BaseSelector, deadline_s: float) -> None:
        """Serve only the broker until it has everything, or the time is up."""
        while self._link.up and (now_s := time.monotonic()) < deadline_s:
            self._link.pump(now_s)
            if self._link.idle and (self._sender.all_acknowledged or self._link.paused):
                return
            self._watch(selector, bus_too=False)
            for key, mask in selector.select(deadline_s - now_s):
                if key.fd == self._link.fileno():
                    self._link.ready(bool(mask & selectors.EVENT_READ), bool(mask & selectors.EVENT_WRITE), now_s)
                elif key.fd == self._wake_here.fileno():
                    self._wake_here.recv(4096)

    def _back(self) -> None:
        """Awake again, or still."""
        self._platform.hold()
        was, self._gone = self._gone, None
        look = self._look = self._platform.look(full=True)
        self._asleep_s = look.clocks.asleep_s
        state = self._account.count(look)
        cause = Cause.RESUME if was is PowerState.ASLEEP else Cause.UNKNOWN
        self._tell(state, was or PowerState.ASLEEP, cause, look)
        self._link.retry(time.monotonic())

    def _farewell(self, selector: selectors.BaseSelector) -> None:
        """Told to stop: the whole machine goes, or only the agent."""
        _notify("STOPPING=1")
        if self._gone is not None:
            return
        if self._platform.going_down():
            self._goodbye(PowerState.OFF, selector)
        else:
            self._perform(self._obedience.abandon())
            self._leave(Cause.AGENT_STOP, selector)

    def _greet(self) -> None:
        """A connection stands: say who we are and that we are here, then go on with the outbox."""
        self._sender.rewind()
        settings, remembered = self._settings, self._account.memory
        hello = Hello(
            device_class=settings.device_class,
            room=settings.room,
            os=self._platform.os_text,
            agent=caretaker_agent.VERSION,
            mac=self._platform.mac,
            epoch=remembered.epoch,
            boot=remembered.boot,
            seq=remembered.seq,
            abilities=sorted(self._platform.abilities),
            heartbeat_s=settings.heartbeat_s,
            at_ms=self._clock.now_ms(),
        )
        self._link.say(self._device.topic(Kind.HELLO), encode(hello))
        self._link.say(self._device.topic(Kind.PRESENCE), self._presence(PresenceWord.ONLINE, Cause.UNKNOWN))

    def _will(self) -> Will:
        try:
            self._link_number = self._account.next_link()
        except Unavailable as error:
            self._complain(f"cannot remember a connection: {error}")
        return Will(self._device.topic(Kind.PRESENCE), self._presence(PresenceWord.LOST, Cause.UNKNOWN))

    def _presence(self, word: PresenceWord, cause: Cause) -> bytes:
        remembered = self._account.memory
        return encode(
            PresenceNote(
                presence=word,
                cause=cause,
                epoch=remembered.epoch,
                boot=remembered.boot,
                link=self._link_number,
                at_ms=self._clock.now_ms(),
            )
        )

    def _next(self) -> Publication | None:
        return self._sender.next()

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            print(f"caretaker-agent: {why}", file=sys.stderr)  # noqa: T201


def _changed(state: PowerState) -> Cause:
    return Cause.INPUT if state is PowerState.IN_USE else Cause.NO_INPUT


def _target(settings: Settings) -> Target:
    broker = settings.broker
    password = None
    if broker.password_file is not None:
        try:
            password = Path(broker.password_file).read_bytes().strip()
        except OSError as error:
            raise Unavailable(f"{broker.password_file}: {error.strerror}") from None
    return Target(
        broker.host,
        broker.port,
        f"{settings.school}.{settings.device}",  # no name holds a dot, so no two devices share it
        broker.username,
        password,
        broker.ca,
        broker.certificate,
        broker.key,
    )


def _notify(word: str) -> None:
    """Tell systemd, where it started us with Type=notify (sd_notify(3)); else nothing."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(word.encode(), "\0" + place[1:] if place.startswith("@") else place)
    except OSError:
        pass  # systemd then sees it by itself
