"""Devices for fault tests.

A `Fleet` is many numbered streams on one real connection. Like the real agent it keeps every message, sends again what
the broker did not confirm, answers replay requests and obeys commands. It lives in a thread of its own, so that a test
can kill and start servers beside it. What became of its messages is counted in fault_count.py.
"""

import asyncio
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiomqtt
import msgspec

from caretaker_contract.clock import Clock
from caretaker_contract.errors import CommandError
from caretaker_contract.messages import (
    Cause,
    Command,
    Gauges,
    Hello,
    Outcome,
    OutcomeReason,
    PowerState,
    PresenceNote,
    PresenceWord,
    Range,
    Report,
    Step,
    Verb,
    encode,
)
from caretaker_contract.metrics import point_time_ns
from caretaker_contract.signing import key_id, verify
from caretaker_contract.topics import Address, Kind
from worlds import Stream, World, eventually

Number = tuple[int, int]
"""(boot, seq)"""
Row = tuple[str, int]
"""(device, time in ns): what makes a stored point its own."""
IDLE_ALREADY_S = 300
"""For how long a device has been idle when it says so: long enough for `POLICY` at once."""
POLICY = """\
mode = "live"

[limits]
per_minute = 1000
room_percent = 100
school_percent = 100
at_once = "1 min"

[doubt]
report_older_than = 10.0
clock_skew = "10 min"
reconnect_wait = "1 s"
veto_wait = "1 min"
answer_wait = "1 min"
collector_behind = "10 min"

[[rules]]
name = "evening"
select = { classes = ["desktop"] }
hours = ["mon-sun 00:00-24:00"]
idle_for = "5 min"
do = "shut_down"
warn_for = "1 min"
"""
"""Switches every idle machine at once, with limits out of the way: a fault test wants many commands."""


class Device(Stream):
    """One device: uses of a machine in short, boots included."""

    def __init__(self, address: Address, epoch: str, at_ms: int) -> None:
        super().__init__(address, epoch=epoch, at_ms=at_ms)
        self.kept: dict[Number, Report | Outcome] = {}
        self.forgotten: set[Number] = set()
        """Numbers that its outbox had no room for any more."""
        self.forgetful = False
        """Whether it forgets what the line lost at the first try, as an outbox does that is full."""
        self.tried: set[Number] = set()
        self.watts_every = 0
        """Measures its power in every so many reports; 0: never."""
        self.link = 0
        self.left = 2
        self.idle_from_ms = 0

    def tell(self, now_ms: int, state: PowerState | None = None, cause: Cause = Cause.HEARTBEAT) -> Report:
        """The next report, made now."""
        if state is PowerState.IDLE and self.state is not PowerState.IDLE:
            self.idle_from_ms = now_ms - IDLE_ALREADY_S * 1000
        idle = (state or self.state) is PowerState.IDLE
        measures = self.watts_every and self.seq % self.watts_every == 0
        gauges = Gauges(
            idle_s=(now_ms - self.idle_from_ms) // 1000 if idle else 0,
            session=not idle,
            watts=61.5 if measures else None,
        )
        step_s = max(0, now_ms - self.at_ms) // 1000
        report = self.report(state, step_s, cause, at_ms=now_ms, gauges=gauges)
        self.kept[report.key] = report
        return report

    def answer(
        self,
        command: Command,
        step: Step,
        now_ms: int,
        reason: OutcomeReason = OutcomeReason.NONE,
        missing: Iterable[Range] = (),
    ) -> Outcome:
        """The next outcome, numbered in the same sequence."""
        self.seq += 1
        outcome = Outcome(
            epoch=self.epoch,
            boot=self.boot,
            seq=self.seq,
            prev=self.prev,
            at_ms=now_ms,
            sent_ms=now_ms,
            command=command.id,
            verb=command.verb,
            step=step,
            reason=reason,
            missing=list(missing),
        )
        self.kept[outcome.key] = outcome
        return outcome

    def live(self, now_ms: int, rng: random.Random, alone: bool) -> Report:
        """One more moment of its life: in use, idle, in use again, off, a new boot. `alone`: idle when it likes."""
        self.left -= 1
        if self.left > 0:
            return self.tell(now_ms)
        self.left = rng.randint(2, 6)
        if self.state is PowerState.OFF:
            self.reboot()
            self.link = 0
            return self.tell(now_ms, PowerState.IN_USE, Cause.BOOT)
        if self.state is PowerState.IDLE:
            return self.tell(now_ms, PowerState.IN_USE, Cause.INPUT)
        if rng.random() < 0.15:
            return self.tell(now_ms, PowerState.OFF, Cause.USER)
        return self.tell(now_ms, PowerState.IDLE, Cause.NO_INPUT) if alone else self.tell(now_ms)

    def greeting(self, now_ms: int) -> list[tuple[str, bytes, bool]]:
        """Hello and presence of a new link."""
        self.link += 1
        hello = Hello(
            device_class="desktop",
            room="ict1",
            epoch=self.epoch,
            boot=self.boot,
            seq=self.seq,
            abilities=[Verb.SHUT_DOWN, Verb.WARN, Verb.CANCEL, Verb.REPLAY],
            heartbeat_s=86_400,  # silence is not what these tests are about
            at_ms=now_ms,
        )
        note = PresenceNote(
            presence=PresenceWord.ONLINE, epoch=self.epoch, boot=self.boot, link=self.link, at_ms=now_ms
        )
        return [
            (self.address.topic(Kind.HELLO), encode(hello), True),
            (self.address.topic(Kind.PRESENCE), encode(note), True),
        ]


@dataclass
class Fleet:
    """All devices of a world. The line to the broker may lose, repeat and shuffle, in both directions.

    rate: messages a second, real time, of the whole fleet. loss, repeat: share of messages, 0-1.
    window: how many messages the line takes at once; with `shuffle` they leave in any order.
    """

    world: World
    clock: Clock
    seed: int = 1
    rate: float = 150.0
    answer_after_s: float = 0.0  # real time that a machine takes before it says the first word about a command
    alone: bool = True  # whether each device goes idle when it likes; else all at once, when `leave` is called
    loss: float = 0.0
    repeat: float = 0.0
    shuffle: bool = False
    window: int = 20
    devices: dict[Address, Device] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)  # command id -> how often it came from the broker
    asked: Counter[Verb] = field(default_factory=Counter)  # verb -> different commands
    switching: set[str] = field(default_factory=set)  # ids of those that are no replay request
    resent: int = 0  # messages sent again because a replay asked for them
    at_command: Callable[[], None] | None = None  # called as soon as any command comes, in the fleet's thread
    trouble: list[str] = field(default_factory=list)  # what should never happen on a device

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        now_ms = self.clock.now_ms()
        for number, address in enumerate(self.world.devices):
            self.devices[address] = Device(address, f"{number + 0xA0:08x}", now_ms)
        key = self.world.key.verify_key
        self._keys = {key_id(key): key}
        self._out: deque[tuple[Device, Report | Outcome] | tuple[str, bytes, bool]] = deque()
        self._living = True
        self._rested = threading.Event()
        self._ended = False
        self._wanted = 0
        self._leaving = False

    # -- for the test --------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        """Live, in a thread, until the block ends."""
        thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended = True
            thread.join(20)
            assert not thread.is_alive(), "the fleet's thread did not end"
            assert not self.trouble, f"trouble on the devices: {self.trouble[:5]}"

    def rest(self, within_s: float = 30.0) -> None:
        """No more life and no more loss: each device says one last thing; replays are still answered."""
        self._living = False
        self.loss = 0.0
        assert self._rested.wait(10), "the fleet's thread stands still"
        eventually(lambda: not self._out, within_s, lambda: f"{len(self._out)} messages wait for the broker")

    def burst(self, count: int) -> None:
        """Make `count` messages at once."""
        self._wanted += count

    def leave(self) -> None:
        """Everybody leaves: all machines in use go idle, those that were idle of late excepted."""
        self._leaving = True

    @property
    def made(self) -> int:
        """Numbered messages so far."""
        return sum(len(device.kept) for device in self.devices.values())

    def of(self, kind: type[Report] | type[Outcome]) -> dict[Row, tuple[Device, Number]]:
        """Every message of a kind that is still kept, by the row that it has to be in the store."""
        return {
            (device.address.device, point_time_ns(message.at_ms, *key)): (device, key)
            for device in self.devices.values()
            for key, message in dict(device.kept).items()
            if type(message) is kind
        }

    # -- the thread ----------------------------------------------------------------------------------------------------

    async def _main(self) -> None:
        living = asyncio.create_task(self._live())
        while not self._ended:
            talk = asyncio.create_task(self._connection())
            while not self._ended and not talk.done():
                await asyncio.wait([talk], timeout=0.1)
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
            if not talk.cancelled() and (error := talk.exception()) and not isinstance(error, aiomqtt.MqttError):
                self.trouble.append(repr(error))
                return
            await asyncio.sleep(0.05)
        living.cancel()

    async def _live(self) -> None:
        everybody = list(self.devices.values())
        loop = asyncio.get_running_loop()
        start_s, done = loop.time(), 0
        while self._living:
            due = int((loop.time() - start_s) * self.rate) + self._wanted
            for _ in range(due - done):
                device = self._rng.choice(everybody)
                boot = device.boot
                report = device.live(self.clock.now_ms(), self._rng, self.alone)
                if device.boot != boot:
                    self._out.extend(device.greeting(self.clock.now_ms()))
                self._out.append((device, report))
            done = due
            if self._leaving:
                self._leaving = False
                now_ms = self.clock.now_ms()
                for device in everybody:
                    rested = now_ms - device.idle_from_ms > 2.3 * IDLE_ALREADY_S * 1000
                    if device.state is PowerState.IN_USE and rested:
                        device.left = 10
                        self._out.append((device, device.tell(now_ms, PowerState.IDLE, Cause.NO_INPUT)))
            await asyncio.sleep(0.01)
        for device in everybody:  # somebody sits down at each machine: none is commanded any more, and each is asked
            if device.state is PowerState.OFF:
                device.reboot()
                device.link = 0
                self._out.extend(device.greeting(self.clock.now_ms()))
                self._out.append((device, device.tell(self.clock.now_ms(), PowerState.IN_USE, Cause.BOOT)))
            else:
                self._out.append((device, device.tell(self.clock.now_ms(), PowerState.IN_USE, Cause.INPUT)))
        self._rested.set()

    async def _connection(self) -> None:
        """One connection; ends with MqttError when it breaks."""
        async with aiomqtt.Client(
            "127.0.0.1", self.world.broker_port, protocol=aiomqtt.ProtocolVersion.V5, timeout=1.5
        ) as client:
            client.pending_calls_threshold = 1000  # many at once is meant here
            await client.subscribe(f"caretaker/1/{self.world.devices[0].school}/+/command", qos=1)
            for device in self.devices.values():
                for topic, payload, retain in device.greeting(self.clock.now_ms()):
                    await client.publish(topic, payload, qos=1, retain=retain)
            halves = [asyncio.create_task(self._listen(client)), asyncio.create_task(self._send(client))]
            try:
                await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for half in halves:
                    half.cancel()
                ended = await asyncio.gather(*halves, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            if not self._out:
                await asyncio.sleep(0.005)
                continue
            if self.shuffle and self._living and len(self._out) < self.window:
                await asyncio.sleep(0.1)  # let some more come to be shuffled with
            taken = [self._out[i] for i in range(min(self.window, len(self._out)))]
            wire = list(self._line(taken))
            done = await asyncio.gather(
                *(client.publish(topic, payload, qos=1, retain=retain) for topic, payload, retain in wire),
                return_exceptions=True,
            )
            for error in done:
                if isinstance(error, BaseException):
                    raise error
            for _ in taken:
                self._out.popleft()

    def _line(
        self, taken: list[tuple[Device, Report | Outcome] | tuple[str, bytes, bool]]
    ) -> list[tuple[str, bytes, bool]]:
        wire = []
        for item in taken:
            if len(item) == 3:
                wire.append(item)
                continue
            device, message = item
            first_time = message.key not in device.tried
            device.tried.add(message.key)
            if self.loss and self._rng.random() < self.loss:
                if first_time and device.forgetful:
                    device.forgotten.add(message.key)
                    del device.kept[message.key]
                continue
            kind = Kind.REPORT if isinstance(message, Report) else Kind.OUTCOME
            stamped = msgspec.structs.replace(message, sent_ms=self.clock.now_ms())
            sent = (device.address.topic(kind), encode(stamped), False)
            wire += [sent] * (2 if self.repeat and self._rng.random() < self.repeat else 1)
        if self.shuffle:
            self._rng.shuffle(wire)
        return wire

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if self.at_command is not None:
                self.at_command()
            _, _, school, name, _ = message.topic.value.split("/")
            device = self.devices[Address(school, name)]
            now_ms = self.clock.now_ms()
            try:
                command = verify(bytes(message.payload), self._keys, str(device.address), now_ms)  # type: ignore[arg-type]
            except CommandError as error:
                if error.refusal != OutcomeReason.EXPIRED:
                    self.trouble.append(f"{device.address}: {error.refusal}: {error}")
                continue
            self.seen[command.id] += 1
            if self.seen[command.id] > 1:
                continue  # the test will ask for it
            self.asked[command.verb] += 1
            if command.verb is not Verb.REPLAY:
                self.switching.add(command.id)
            if self.loss and self._rng.random() < self.loss:
                continue
            if command.verb is Verb.REPLAY:
                self._replay(device, command, now_ms)
            elif command.verb is Verb.SHUT_DOWN:
                call = asyncio.get_running_loop().call_later
                call(self.answer_after_s, self._obey, device, command)
            else:
                self.trouble.append(f"{device.address} was asked to {command.verb.value}")

    def _replay(self, device: Device, command: Command, now_ms: int) -> None:
        numbers = [(part.boot, seq) for part in command.ranges for seq in range(part.first, part.last + 1)]
        if any(part.epoch != device.epoch for part in command.ranges):
            self.trouble.append(f"{device.address} was asked for another epoch: {command.ranges}")
        missing = []
        for boot, seq in numbers:
            message = device.kept.get((boot, seq))
            if message is None:
                missing.append(Range(device.epoch, boot, seq, seq))
                if (boot, seq) not in device.forgotten:
                    self.trouble.append(f"{device.address} was asked for {boot}.{seq}, which it never made")
            else:
                self._out.append((device, message))
                self.resent += 1
        step, reason = (Step.FAILED, OutcomeReason.NOT_KEPT) if missing else (Step.DONE, OutcomeReason.NONE)
        self._out.append((device, device.answer(command, step, now_ms, reason, missing[:50])))

    def _obey(self, device: Device, command: Command) -> None:
        now_ms = self.clock.now_ms()

        def say(step: Step, reason: OutcomeReason = OutcomeReason.NONE) -> None:
            self._out.append((device, device.answer(command, step, now_ms, reason)))

        say(Step.RECEIVED)
        if device.state is not PowerState.IDLE:
            say(Step.REFUSED, OutcomeReason.IN_USE)
            return
        say(Step.WARNED)
        if self._rng.random() < 0.1:
            say(Step.VETOED, OutcomeReason.USER_INPUT)
            report = device.tell(now_ms, PowerState.IN_USE, Cause.INPUT)
        else:
            say(Step.DONE)
            report = device.tell(now_ms, PowerState.OFF, Cause.RULE)
        device.left = self._rng.randint(2, 4)
        self._out.append((device, report))
