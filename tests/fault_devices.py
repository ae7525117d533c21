"""Devices for fault tests, and the count at the end.

A `Fleet` is many numbered streams on one real connection. Like the real agent it keeps every message, sends again what
the broker did not confirm, answers replay requests and obeys commands. It lives in a thread of its own, so that a test
can kill and start servers beside it. `unaccounted` is the invariant that every fault test ends with:
published = stored + quarantined + dropped, per device sequence, nothing lost and nothing doubled.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiomqtt
import msgspec

from caretaker_collector import memory
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
from fault_starts import WarmCollector
from worlds import CollectorProcess, Stream, World, eventually

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


# -- the count at the end ----------------------------------------------------------------------------------------------


def sqlite_rows(world: World, measurement: str) -> list[Row]:
    """What the SQLite store holds."""
    path = world.data / "store.db"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(f"SELECT device, time_ns FROM {measurement} WHERE school = 'ash'").fetchall()
    finally:
        db.close()


Rows = Callable[[World, str], list[Row]]


def unaccounted(fleet: Fleet, rows: Rows = sqlite_rows, put_aside: Iterable[Row] = ()) -> list[str]:
    """Why not all that the fleet made is stored, quarantined or dropped, each once; [] when it is.

    put_aside: messages of the fleet that the store has to refuse; given none, all that is quarantined is others'.
    """
    faults: list[str] = []
    world, aside = fleet.world, set(put_aside)
    for kind, measurement in ((Report, "device"), (Outcome, "command")):
        expected, stored = fleet.of(kind), Counter(rows(world, measurement))
        lost = [expected[row] for row in expected if row not in stored and row not in aside]
        doubled = [expected[row] for row, times in stored.items() if times > 1 and row in expected]
        strange = [row for row in stored if row not in expected]
        twice = [expected[row] for row in expected if row in stored and row in aside]
        faults += [f"{measurement}: not stored: {_numbers(lost)}"] if lost else []
        faults += [f"{measurement}: stored more than once: {_numbers(doubled)}"] if doubled else []
        faults += [f"{measurement}: stored, though it was put aside: {_numbers(twice)}"] if twice else []
        faults += [f"{measurement}: stored, though nobody made it: {strange[:10]}"] if strange else []
    db = world.state()
    try:
        known = memory.load(db)
    finally:
        db.close()
    for device in fleet.devices.values():
        entry = known.entries.get(device.address)
        [numbering] = entry.numberings.epochs if entry else [None]
        kept, forgotten = len(device.kept), len(device.forgotten)
        if numbering is None:
            faults += [f"{device.address.device}: never heard of"] if kept else []
        elif (numbering.received, numbering.dropped, numbering.missing_count()) != (kept, forgotten, 0):
            faults.append(
                f"{device.address.device}: made {kept} and forgot {forgotten}, the collector has "
                f"{numbering.received} received, {numbering.dropped} dropped, missing {numbering.missing(5)}"
            )
    strangers = [entry for address, entry in known.entries.items() if address not in fleet.devices]
    faults += _counters(fleet, len(aside), sum(n.received for entry in strangers for n in entry.numberings.epochs))
    return faults


def _counters(fleet: Fleet, put_aside: int, strange: int) -> list[str]:
    """The collector's own count against what was made and against its journal."""
    faults = []
    counted = Counter(fleet.world.counters())
    reports, outcomes = len(fleet.of(Report)), len(fleet.of(Outcome))
    dropped = sum(len(device.forgotten) for device in fleet.devices.values())
    if strange:  # which of them were reports, nobody has written down
        if counted["reports"] + counted["outcomes"] != reports + outcomes + strange:
            faults.append(f"counted: {counted}; there were {reports} + {outcomes}, and {strange} of strangers")
    else:
        for name, true in (("reports", reports), ("outcomes", outcomes), ("dropped", dropped)):
            if counted[name] != true:
                faults.append(f"the collector has counted {counted[name]} {name}, there were {true}")
    db = sqlite3.connect(f"file:{fleet.world.data / 'journal.db'}?mode=ro", uri=True, timeout=10)
    try:
        total, numbered = db.execute(
            "SELECT count(*), sum(payload != x'' AND (topic LIKE '%/report' OR topic LIKE '%/outcome')) FROM journal"
        ).fetchone()
    finally:
        db.close()
    if counted["received"] != total:
        faults.append(f"{total} messages are in the journal, the core has counted {counted['received']} of them")
    if put_aside and counted["quarantined"] != put_aside:
        faults.append(f"the collector has counted {counted['quarantined']} quarantined, there were {put_aside}")
    sum_ = reports + outcomes + counted["duplicates"]
    if (put_aside or not counted["quarantined"]) and sum_ != (numbered or 0):
        faults.append(f"{numbered} numbered messages are in the journal, counted were {sum_}")
    return faults


def _numbers(which: list[tuple[Device, Number]]) -> str:
    """Numbers by device, shortened: pc-003: 1.5-1.9 1.14; pc-004: ..."""
    by_device: dict[str, list[Number]] = {}
    for device, number in which:
        by_device.setdefault(device.address.device, []).append(number)
    texts = []
    for name, numbers in sorted(by_device.items()):
        spans: list[list[Number]] = []
        for boot, seq in sorted(numbers):
            if spans and spans[-1][1] == (boot, seq - 1):
                spans[-1][1] = (boot, seq)
            else:
                spans.append([(boot, seq), (boot, seq)])
        words = [f"{a[0]}.{a[1]}" + (f"-{b[0]}.{b[1]}" if a != b else "") for a, b in spans[:6]]
        texts.append(f"{name}: {' '.join(words)}{' ...' if len(spans) > 6 else ''}")
    more = f"; and {len(texts) - 8} more devices" if len(texts) > 8 else ""
    return f"{len(which)} numbers ({'; '.join(texts[:8])}{more})"


def settle(
    fleet: Fleet,
    collector: CollectorProcess | WarmCollector,
    within_s: float = 40.0,
    rows: Rows = sqlite_rows,
    put_aside: Callable[[], Iterable[Row]] = lambda: (),
) -> None:
    """Let the fleet rest, and wait until all that it made is accounted for.

    The collector has to hear the last words: that a last number was lost shows only when the device says one more.
    """
    eventually(lambda: (collector.health() or {}).get("problems") == {}, within_s, collector.log)
    fleet.rest()
    found: list[str] = ["not looked yet"]
    made, since_s = 0, time.monotonic()

    def all_well() -> bool:
        """For half a second nothing was made (an answer to a command, say), and all is accounted for."""
        nonlocal made, since_s
        if fleet.made != made:
            made, since_s = fleet.made, time.monotonic()
        found[:] = unaccounted(fleet, rows, put_aside())
        return not found and time.monotonic() - since_s > 0.5

    def explain() -> str:
        log = collector.log()[-1500:]
        return "\n  ".join(["", *found[:12]]) + f"\nthe collector's log ends with:\n{log}"

    eventually(all_well, within_s, explain)


def same_state(world: World, fleet: Fleet) -> None:
    """The collector's state of each device is what the device itself said last."""
    db = world.state()
    try:
        known = memory.load(db)
    finally:
        db.close()
    for device in fleet.devices.values():
        newest = max((m for m in device.kept.values() if isinstance(m, Report)), key=lambda m: m.key)
        tracked = known.entries[device.address].tracked
        assert tracked.telemetry is not None
        told = (tracked.presence.state, tracked.presence.boot, tracked.presence.seq, tracked.telemetry.meters)
        assert told == (newest.state, newest.boot, newest.seq, newest.meters), f"{device.address}: {told} != {newest}"
