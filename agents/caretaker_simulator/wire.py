"""Simulated devices on a real broker: MQTT 5 through aiomqtt, over a few shared connections or one for each device.

Messages wait in one queue for each connection and leave it only when the broker has acknowledged them (QoS 1); after a
broken connection the unacknowledged ones go first, in their order. So the broker may see one twice, never none.
aiomqtt's own publish() scans all pending calls for each message and hides refusals, so publishing goes through the
paho client inside it; a Client object is never used twice (after an unclean end it would claim to be connected).
"""

import asyncio
import logging
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from caretaker_contract.clock import Clock
from caretaker_contract.errors import ContractError
from caretaker_contract.topics import PREFIX, Address, Kind, parse
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.sent import LinkChange, LinkEvent, Sent, restamp
from caretaker_simulator.voice import WILL_AFTER_MS, Voice

_log = logging.getLogger(__name__)
WINDOW = 200
"""Unacknowledged messages of one connection at most."""
_RETRY_S = (0.1, 2.0)
_KEEPALIVE_S = 15
OnCommand = Callable[[Address, bytes], None]


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho's own lack of annotations


class Connection:
    """One connection to the broker, made again for as long as it is wanted. `put` never waits."""

    def __init__(
        self,
        host: str,
        port: int,
        clock: Clock,
        name: str,
        subscriptions: list[str],
        on_command: OnCommand,
        on_reconnect: Callable[[], None] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._name = name
        self._subscriptions = subscriptions
        self._on_command = on_command
        self._on_reconnect = on_reconnect
        self._queue: deque[Sent] = deque()
        self._flying: dict[int, Sent] = {}  # by MQTT's message id, in order
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._wanted = True
        self.severed = False  # no message gets through any more
        self._client: aiomqtt.Client | None = None
        self.owner: Voice | None = None  # the one device whose connection this is, and its will
        self.will: tuple[str, bytes] | None = None
        self._attempts = 0
        self.connected = asyncio.Event()  # has been, at least once
        self.connects = 0
        self.acknowledged = 0
        self.refused = 0  # by the broker's access list: sending them again cannot help

    def put(self, sent: Sent) -> None:
        """Send this when its turn comes."""
        self._queue.append(sent)
        self._idle.clear()
        self._wake.set()

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker does not have for certain."""
        return len(self._queue) + len(self._flying)

    def counts(self) -> dict[str, int]:
        """What it did so far."""
        return {
            "connects": self.connects,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "unacknowledged": self.unacknowledged,
        }

    async def drained(self) -> None:
        """Return when the broker has acknowledged everything."""
        await self._idle.wait()

    def leave(self) -> None:
        """End with a goodbye once everything is acknowledged."""
        self._wanted = False
        self._wake.set()

    def cut(self) -> None:
        """End now, without a goodbye, as a dead network does: the broker speaks the will. What waits is kept."""
        self._wanted = False
        self.severed = True
        if self._client is not None:
            link = self._client._client.socket()
            if isinstance(link, socket.socket):
                link.shutdown(socket.SHUT_RDWR)
        self._wake.set()

    def give_up(self) -> list[Sent]:
        """Hand over, in order, what is not acknowledged: somebody else sends it."""
        waiting = [*self._flying.values(), *self._queue]
        self._flying.clear()
        self._queue.clear()
        self._idle.set()
        self._wake.set()
        return waiting

    @property
    def _on(self) -> bool:
        return not self.severed and (self._wanted or self.unacknowledged > 0)

    async def run(self) -> None:
        """Stay connected until `leave` or `cut`. Only for a task of its own."""
        pause_s = _RETRY_S[0]
        while self._on:
            before = self.connects
            try:
                await self._session()
            except (aiomqtt.MqttError, OSError, ValueError) as error:  # ValueError: paho's, on a socket just closed
                _log.info("%s: %s", self._name, error)
            finally:
                self._client = None
                self._queue.extendleft(reversed(self._flying.values()))
                self._flying.clear()
            if self._on:
                pause_s = _RETRY_S[0] if self.connects > before else min(_RETRY_S[1], pause_s * 2)
                await asyncio.sleep(pause_s)

    async def _session(self) -> None:
        will = None
        if self.owner is not None and self.will is not None:
            if self._attempts:
                self.owner.relink(self._clock.now_ms())
                self.will = self.owner.will()
            self._attempts += 1
            topic, payload = self.will
            delay = _properties(PacketTypes.WILLMESSAGE)
            delay.WillDelayInterval = max(1, round(self._clock.real_s(WILL_AFTER_MS / 1000)))
            will = aiomqtt.Will(topic, payload, qos=1, retain=True, properties=delay)
        connect = _properties(PacketTypes.CONNECT)
        connect.ReceiveMaximum = 1000
        if will is not None:
            connect.SessionExpiryInterval = 120  # a will is delayed no longer than its session lives
        client = aiomqtt.Client(
            self._host,
            self._port,
            identifier=self._name,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=will,
            keepalive=_KEEPALIVE_S,
            max_inflight_messages=WINDOW,
            clean_start=will is None,  # a new session would set off the will of the old one
            properties=connect,
        )
        async with client:
            client._client.on_publish = self._acknowledge
            self._client = client
            for topic in self._subscriptions:
                await client.subscribe(topic, qos=1)
            self.connects += 1
            self.connected.set()
            if self.connects > 1 and self._on_reconnect is not None:
                self._on_reconnect()
            reader = asyncio.create_task(self._read(client))
            reader.add_done_callback(lambda _: self._wake.set())
            try:
                while self._on:
                    self._wake.clear()
                    if reader.done():
                        reader.result()  # raises what ended it
                    self._pump(client)
                    if not self._on:
                        break
                    await self._wake.wait()
            finally:
                reader.cancel()

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                address, kind = parse(str(message.topic))
            except ContractError:
                continue
            if kind is Kind.COMMAND and isinstance(message.payload, bytes):
                self._on_command(address, message.payload)

    def _pump(self, client: aiomqtt.Client) -> None:
        now_ms = self._clock.now_ms()
        while self._queue and len(self._flying) < WINDOW:
            sent = self._queue.popleft()
            payload = sent.payload if sent.retain else restamp(sent.payload, sent.device.clock_ms(now_ms))
            info = client._client.publish(sent.topic, payload, 1, sent.retain)
            if info.rc != 0:
                self._queue.appendleft(sent)
                raise aiomqtt.MqttError(f"could not publish: error {info.rc}")
            self._flying[info.mid] = sent

    def _acknowledge(self, client: object, userdata: object, mid: int, reason: Any, properties: object) -> None:
        """paho's callback for each PUBACK."""
        if self._flying.pop(mid, None) is not None:
            self.acknowledged += 1
        if reason.is_failure:
            self.refused += 1
            _log.warning("%s: the broker refused a message: %s", self._name, reason)
        if not self.unacknowledged:
            self._idle.set()
        self._wake.set()


class Wire:
    """Carries a fleet's messages to the broker. `shared`: how many connections; None: one for each device."""

    def __init__(self, host: str, port: int, clock: Clock, shared: int | None = 4, name: str = "simulator") -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._name = name
        self.shared = shared
        self._fleet: Fleet | None = None
        self._on_command: OnCommand = lambda address, payload: None
        self._on_reconnect: Callable[[list[Voice]], None] = lambda devices: None
        self._pool: list[Connection] = []
        self._homes: dict[Voice, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._past: Counter[str] = Counter()  # what connections that are gone have counted

    def open(self, schools: list[str], on_command: OnCommand, on_reconnect: Callable[[list[Voice]], None]) -> None:
        """Start connecting. Shared connections divide the schools' commands among them."""
        self._on_command = on_command
        self._on_reconnect = on_reconnect
        for number in range(self.shared or 0):
            topics = [f"{PREFIX}/{school}/+/{Kind.COMMAND}" for school in schools[number :: self.shared]]
            self._start_shared(number, topics)

    def _start_shared(self, number: int, topics: list[str]) -> None:
        def announce() -> None:
            self._on_reconnect([voice for voice, home in self._homes.items() if home is connection])

        connection = Connection(
            self._host, self._port, self._clock, f"{self._name}-{number}", topics, self._command, announce
        )
        self._pool.append(connection)
        self._launch(connection)

    def _launch(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _command(self, address: Address, payload: bytes) -> None:
        self._on_command(address, payload)

    def put(self, stream: Iterable[Sent | LinkChange]) -> None:
        """Send these, in order for each device."""
        for each in stream:
            home = self._homes.get(each.device)
            if isinstance(each, LinkChange):
                self._change_link(each, home)
                continue
            if home is None:
                home = self._homes[each.device] = self._pool[len(self._homes) % len(self._pool)]
            home.put(each)

    def _change_link(self, change: LinkChange, older: Connection | None) -> None:
        if change.event is LinkEvent.UP:
            school, name = change.will[0].split("/")[2:4]
            connection = Connection(
                self._host,
                self._port,
                self._clock,
                f"{self._name}-{school}-{name}",
                [Address(school, name).topic(Kind.COMMAND)],
                self._command,
                lambda: self._on_reconnect([change.device]),
            )
            connection.owner, connection.will = change.device, change.will
            if older is not None:
                for sent in older.give_up():
                    connection.put(sent)
                older.leave()
                self._past.update(older.counts())
            self._homes[change.device] = connection
            self._launch(connection)
        elif older is not None and change.event is LinkEvent.CUT:
            older.cut()
        elif older is not None:
            older.leave()

    def stranded(self) -> set[Voice]:
        """Devices whose last connection broke before everything was acknowledged: they have to come back."""
        return {device for device, home in self._homes.items() if home.severed and home.unacknowledged}

    def connections(self) -> set[Connection]:
        """All that are of use."""
        return {*self._pool, *self._homes.values()}

    async def ready(self, timeout_s: float) -> None:
        """Wait until all shared connections are made; TimeoutError when they are not in time."""
        async with asyncio.timeout(timeout_s):
            for connection in self._pool:
                await connection.connected.wait()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged everything; False when it did not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                for connection in self.connections():
                    await connection.drained()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Leave everywhere with a goodbye; what the broker has not acknowledged is given up."""
        for connection in self.connections():
            connection.leave()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """For the truth file."""
        total = Counter(self._past)
        for connection in self.connections():
            total.update(connection.counts())
        return {name: total[name] for name in ("connects", "acknowledged", "refused", "unacknowledged")}
