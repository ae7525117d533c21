"""A fleet on a real mosquitto: every number arrives, whatever happens to the broker."""

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from zlib import crc32

import aiomqtt
import msgspec
import pytest
from nacl.signing import SigningKey

from caretaker_contract import signing
from caretaker_contract.clock import Clock, fast_clock
from caretaker_contract.messages import (
    Message,
    Outcome,
    PresenceNote,
    PresenceWord,
    Range,
    Report,
    Step,
    Verb,
    decode,
)
from caretaker_contract.topics import Address, Kind, parse, subscriptions
from caretaker_rules.model import Estate
from caretaker_simulator.line import Faults
from caretaker_simulator.run import Options, Run
from caretaker_simulator.troubles import NO_TROUBLES, Troubles
from servers import Mosquitto, mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.alone]

Moment = Callable[[str], int]
Order = Callable[..., bytes]


class Heard:
    """A subscriber that remembers every number and the newest retained notes."""

    def __init__(self) -> None:
        self.messages: list[tuple[Address, Message]] = []
        self.numbers: dict[Address, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self.presence: dict[Address, PresenceNote] = {}
        self.repeated = 0
        self.client: aiomqtt.Client | None = None

    @asynccontextmanager
    async def listening(self, broker: Mosquitto, school: str, to_the_end: bool = True) -> AsyncIterator["Heard"]:
        async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            for topic in subscriptions(school):
                await client.subscribe(topic, qos=1)
            self.client = client
            reader = asyncio.create_task(self._read(client))
            try:
                yield self
                quiet = 0
                while to_the_end and quiet < 5:  # half a second without a message
                    before = len(self.messages)
                    await asyncio.sleep(0.1)
                    quiet = quiet + 1 if len(self.messages) == before else 0
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for each in client.messages:
            address, kind = parse(str(each.topic))
            assert isinstance(each.payload, bytes)
            message = decode(kind, each.payload)
            self.messages.append((address, message))
            if isinstance(message, Report | Outcome):
                numbers = self.numbers[address][message.boot]
                self.repeated += message.seq in numbers
                numbers.add(message.seq)
            elif isinstance(message, PresenceNote):
                self.presence[address] = message

    @property
    def count(self) -> int:
        return sum(len(numbers) for boots in self.numbers.values() for numbers in boots.values())

    def missing(self, truth: dict[str, object]) -> list[tuple[str, int, int]]:
        """(device, boot, seq) of the numbers that the truth counts and nobody heard."""
        devices = truth["devices"]
        assert isinstance(devices, dict)
        return [
            (name, boot, seq)
            for name, device in devices.items()
            for boot, last in enumerate(device["last_seq"], start=1)
            for seq in range(1, last + 1)
            if seq not in self.numbers[Address(*name.split("/"))][boot]
        ]


@pytest.fixture
def school(oak: Estate, request: pytest.FixtureRequest) -> Estate:
    """Oakley under a name of the test's own, as the broker is shared; the same in each run, as it is a seed, too."""
    name = f"oak-{crc32(request.node.name.encode())}"
    devices = [msgspec.structs.replace(device, school=name) for device in oak.devices.values()]
    written = msgspec.structs.replace(oak.schools["oak"], name=name)
    return msgspec.structs.replace(oak, schools={name: written}, devices={each.address: each for each in devices})


def name_of(estate: Estate) -> str:
    return next(iter(estate.schools))


def options(broker: Mosquitto, estate: Estate, **more: object) -> Options:
    return Options(**{"host": broker.host, "port": broker.port, "name": name_of(estate), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("connections", [3, None], ids=["shared connections", "one for each device"])
async def test_a_subscriber_hears_every_number_of_an_hour_with_cuts_and_crashes(
    broker: Mosquitto, school: Estate, at: Moment, connections: int | None
) -> None:
    clock = fast_clock(at("2026-10-06 08:20"), 900.0)
    rough = Troubles(2.0, 0, 1.0, 1.0, 1.0, 0, 0, 0)
    async with Heard().listening(broker, name_of(school)) as heard:
        run = Run(school, clock, options(broker, school, connections=connections, for_s=8.0, troubles=rough))
        truth = await run.run()
    assert heard.missing(truth) == []
    assert heard.count == truth["totals"]["published"] > 500  # type: ignore[index]
    assert truth["wire"]["unacknowledged"] == truth["wire"]["refused"] == 0  # type: ignore[index]
    assert any(note.presence is PresenceWord.LOST for _, note in heard.messages if isinstance(note, PresenceNote))


async def test_a_killed_broker_costs_nothing_that_a_replay_does_not_bring_back(
    own_broker: Mosquitto, school: Estate, at: Moment, order: Order, key: SigningKey
) -> None:
    clock = fast_clock(at("2026-10-06 08:45"), 300.0)
    chosen = options(
        own_broker,
        school,
        troubles=NO_TROUBLES,
        public_keys=[signing.public_text(key)],
        roll_call=True,
        linger_s=1.5,
    )
    run = Run(school, clock, chosen)
    task = asyncio.create_task(run.run())
    before, after = Heard(), Heard()
    async with before.listening(own_broker, name_of(school), to_the_end=False):
        await asyncio.sleep(1.5)
    own_broker.kill()
    await asyncio.sleep(1.0)
    waiting = run.wire.counts()["unacknowledged"]
    own_broker.start()
    async with after.listening(own_broker, name_of(school)):
        await asyncio.sleep(2)
        run.stop.set()
        await asyncio.sleep(0.7)
        for address, boots in before.numbers.items():
            for boot, numbers in boots.items():
                after.numbers[address][boot] |= numbers
        for address in run.fleet.devices:
            await ask_for_gaps(after, run, address, dict(after.numbers[address]), order)
        truth = await task
    assert waiting > 20
    assert run.wire.counts()["connects"] > 4
    assert after.missing(truth) == []
    assert {note.link for _, note in after.messages if isinstance(note, PresenceNote)} >= {2}


async def test_a_lossy_line_loses_and_a_replay_brings_it_back(
    broker: Mosquitto, school: Estate, at: Moment, order: Order, key: SigningKey
) -> None:
    clock = fast_clock(at("2026-10-06 09:00"), 900.0)
    chosen = options(
        broker,
        school,
        troubles=NO_TROUBLES,
        faults=Faults(loss_ratio=0.2, duplicate_ratio=0.1, shuffle_s=300),
        for_s=6.0,
        linger_s=1.5,
        public_keys=[signing.public_text(key)],
    )
    async with Heard().listening(broker, name_of(school)) as heard:
        run = Run(school, clock, chosen)
        task = asyncio.create_task(run.run())
        while run.line.faults.any:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert run.line.lost > 50
        assert run.line.duplicated > 20
        assert run.fleet.published - heard.count >= run.line.lost * 0.9
        for address, boots in list(heard.numbers.items()):
            await ask_for_gaps(heard, run, address, dict(boots), order)
        truth = await task
    assert heard.repeated > 20
    assert heard.missing(truth) == []


async def ask_for_gaps(heard: Heard, run: Run, address: Address, boots: dict[int, set[int]], order: Order) -> None:
    assert heard.client is not None
    device = run.fleet.devices[address].truth
    ranges = [
        Range(device.epoch, boot, seq, seq)
        for boot, last in enumerate(device.last_seq, start=1)
        for seq in sorted(set(range(1, last + 1)) - boots.get(boot, set()))
    ]
    for start in range(0, len(ranges), 50):
        command = order(str(address), Verb.REPLAY, run.clock.now_ms(), ranges=ranges[start : start + 50])
        await heard.client.publish(address.topic(Kind.COMMAND), command, qos=1)


async def test_the_brokers_own_will_is_heard_when_a_device_with_its_own_connection_is_cut_off(
    broker: Mosquitto, school: Estate, at: Moment
) -> None:
    clock = fast_clock(at("2026-10-06 09:00"), 60.0)
    async with Heard().listening(broker, name_of(school)) as heard:
        run = Run(school, clock, options(broker, school, connections=None, troubles=NO_TROUBLES))
        task = asyncio.create_task(run.run())
        await asyncio.sleep(1.5)
        address = next(address for address, device in run.fleet.devices.items() if device.link)
        pull_out(run, address, up=False)
        await asyncio.sleep(2.5)
        assert heard.presence[address].presence is PresenceWord.LOST
        assert all(
            heard.presence[other].presence is not PresenceWord.LOST for other in run.fleet.devices if other != address
        )
        pull_out(run, address, up=True)
        await asyncio.sleep(0.5)
        assert (heard.presence[address].presence, heard.presence[address].link) == (PresenceWord.ONLINE, 2)
        run.stop.set()
        await task


def pull_out(run: Run, address: Address, up: bool) -> None:
    device = run.fleet.devices[address]
    device.network(run.clock.now_ms(), up=up)
    run._carry(run.fleet.advance(run.clock.now_ms()))


async def test_few_connections_keep_up_with_a_thousand_machines_on_a_broker_with_its_default_limits(
    at: Moment,
) -> None:
    from caretaker_simulator.estate import synthetic_fleet

    estate = synthetic_fleet(1000)
    with mosquitto(max_inflight_messages=20) as own:
        clock = fast_clock(at("2026-10-06 08:40"), 120.0)
        truth = await Run(estate, clock, options(own, estate, for_s=5.0)).run()
    assert truth["wire"]["unacknowledged"] == 0  # type: ignore[index]
    assert truth["totals"]["published"] > 2000  # type: ignore[index]


async def test_as_a_process_it_ends_at_sigterm_with_everything_sent_and_the_truth_written(
    broker: Mosquitto, at: Moment, tmp_path: Path, key: SigningKey, order: Order
) -> None:
    clock = fast_clock(at("2026-10-06 17:00"), 60.0)
    keys = tmp_path / "command.pub"
    keys.write_text(f"# the collector's key\n{signing.public_text(key)}\n")
    truth_file, status_file = tmp_path / "truth.json", tmp_path / "status.json"
    async with Heard().listening(broker, "oak") as heard:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "caretaker_simulator", "run", "--port", str(broker.port), "--schools", "oak"),
            *("--no-troubles", "--public-key-file", str(keys), "--json"),
            *("--truth-out", str(truth_file), "--status-file", str(status_file)),
            env={**os.environ, **clock.to_environment()},
            stdout=asyncio.subprocess.PIPE,
        )
        await ordered_off(heard, clock, order)
        await asyncio.sleep(3)
        status = json.loads(status_file.read_text())
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    assert process.returncode == 0
    truth = json.loads(truth_file.read_text())
    assert json.loads(out)["totals"] == truth["totals"]
    assert heard.missing(truth) == []
    assert status["devices"] == truth["totals"]["devices"] == 50
    assert truth["totals"]["outcomes"]["done"] >= 1
    assert truth["totals"]["switched_off"] == {"shut_down": truth["totals"]["outcomes"]["done"]}
    assert truth["totals"]["unsafe"] == 0
    assert {message.step for _, message in heard.messages if isinstance(message, Outcome)} >= {
        Step.RECEIVED,
        Step.WARNED,
        Step.DONE,
    }
    for device in truth["devices"].values():
        assert sum(device["seconds"].values()) == pytest.approx((truth["end_ms"] - truth["start_ms"]) / 1000)


async def ordered_off(heard: Heard, clock: Clock, order: Order) -> None:
    """Order every machine off that reports an hour of idleness."""
    assert heard.client is not None
    for _ in range(200):
        if len(heard.numbers) == 50:
            break
        await asyncio.sleep(0.05)
    for address, message in list(heard.messages):
        if isinstance(message, Report) and message.gauges.idle_s is not None and message.gauges.idle_s > 3600:
            command = order(str(address), Verb.SHUT_DOWN, clock.now_ms(), warn_s=30)
            await heard.client.publish(address.topic(Kind.COMMAND), command, qos=1)


async def test_without_a_broker_it_says_where_it_looked(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "caretaker_simulator", "run", "--port", "1", "--public-key-file", "/nowhere"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 2
    assert b"/nowhere: No such file or directory (--public-key-file)" in error
