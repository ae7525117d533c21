"""receive: the collector's MQTT 5 connection, on the `mqtt5` codec and asyncio.

Why not aiomqtt here: a consumer that acknowledges late and in batches gets 8,200 messages a second through aiomqtt and
46,600 through this codec on the same machine, aiomqtt has no public manual acknowledgement, and only here can the
socket be left unread while the disk is slow. (The codec is by aiomqtt's author, and what its next version is built on.)

Correctness rests on the journal and on numbered messages, not on anything below: no in-flight limit is trusted.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import mqtt5
import structlog
from msgspec import Struct

from caretaker_contract.errors import Unavailable
from caretaker_contract.topics import subscriptions
from caretaker_rules.ports import BusLink, Incoming

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 10.0
PUBLISH_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 15
SESSION_EXPIRY_S = 86_400
RECEIVE_MAX = 10_000
"""Without it a consumer that acknowledges late stalls at mosquitto's 20."""
MAX_PACKET = 65_536
UNREAD_HIGH, UNREAD_LOW = 8_000_000, 2_000_000
"""Bytes in memory and not yet on disk at which reading the socket stops and goes on: about 20,000 reports.

Bytes and not messages, because a stranger's may be two hundred times as long as a report.
"""
OVERHEAD = 150
"""Bytes that a message takes beside its payload."""


class Broker(Struct, frozen=True, kw_only=True):
    """Where the broker is and who we are there. `tls` None: no encryption (loopback only)."""

    host: str
    port: int
    client_id: str = "caretaker-collector"
    username: str | None = None
    password: bytes | None = None
    tls: ssl.SSLContext | None = None


class MqttBus:
    """The `Bus` of an MQTT broker."""

    def __init__(self, broker: Broker, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._now_ms = now_ms

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[BusLink]:
        """A fresh connection, subscribed. Unavailable when it cannot be made."""
        broker = self._broker
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, link = await loop.create_connection(
                    lambda: MqttLink(self._now_ms), broker.host, broker.port, ssl=broker.tls
                )
                try:
                    await link.start(broker)
                except BaseException:
                    link.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"broker {broker.host}:{broker.port}: {error or 'no answer'}; is it running, and [broker] right?"
            ) from error
        try:
            yield link
        finally:
            link.close()


class MqttLink(asyncio.Protocol):
    """One connection. Everything runs in the event loop's thread."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._incoming: list[Incoming] = []
        self._unread = 0
        self._paused = False
        self._arrived = asyncio.Event()
        self._lost: Unavailable | None = None
        self._waiting: dict[int | str, asyncio.Future[int]] = {}
        self._packet_id = 0
        self._keeper: asyncio.Task[None] | None = None
        self._heard = False

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: whoever waits is told."""
        self._fail(f"connection to the broker lost: {exc or 'closed by the broker'}")

    def data_received(self, data: bytes) -> None:
        """Bytes from the broker: take whole packets out of them."""
        self._heard = True
        buffer = self._buffer
        buffer += data
        view = memoryview(buffer)
        done = 0
        now_ms = self._now_ms()
        try:
            while done < len(buffer):
                packet, size = mqtt5.read(view[done:])
                done += size
                self._handle(packet, now_ms)
        except IndexError:
            pass  # the rest of the packet is still on its way
        except ValueError as error:
            self._fail(f"the broker sent what is no MQTT 5: {error}")
            self.close()
        finally:
            view.release()
        del buffer[:done]
        if self._incoming:
            self._arrived.set()
            if self._unread > UNREAD_HIGH and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()

    # -- BusLink -------------------------------------------------------------------------------------------------------

    async def start(self, broker: Broker) -> None:
        """Log in and subscribe; Unavailable with the broker's reason when it refuses."""
        connected = self._expect("connect")
        self._write(
            mqtt5.ConnectPacket(
                broker.client_id,
                username=broker.username,
                password=broker.password,
                clean_start=False,
                keep_alive=KEEP_ALIVE_S,
                session_expiry_interval=SESSION_EXPIRY_S,
                receive_max=RECEIVE_MAX,
                max_packet_size=MAX_PACKET,
            ).write()
        )
        code = await connected
        if code >= 128:
            raise Unavailable(f"broker {broker.host}:{broker.port} refuses us: {_words(mqtt5.ConnAckReasonCode, code)}")
        packet_id = self._next_id()
        subscribed = self._expect(packet_id)
        filters = [
            mqtt5.TopicFilter(
                topic,
                max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                # A session that the broker still has needs no second copy of every retained message.
                retain_handling=mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
            )
            for topic in subscriptions()
        ]
        self._write(mqtt5.SubscribePacket(packet_id, filters).write())
        code = await subscribed
        if code >= 128:
            raise Unavailable(f"the broker refuses our subscription: {_words(mqtt5.SubAckReasonCode, code)}")
        self._keeper = asyncio.get_running_loop().create_task(self._keep_alive())

    async def batches(self) -> AsyncIterator[list[Incoming]]:
        """Messages as they come. Ends with Unavailable when the connection does."""
        while True:
            if self._incoming:
                batch, self._incoming = self._incoming, []
                yield batch
            elif self._lost is not None:
                raise self._lost
            else:  # only now: the connection may have ended together with the batch before, and nobody tells that twice
                await self._arrived.wait()
                self._arrived.clear()

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Tell the broker that these are on disk."""
        if self._transport is None or self._transport.is_closing():
            return  # it will send them again, and the numbers tell that they have come before
        self._transport.write(b"".join(mqtt5.PubAckPacket(m.token).write() for m in messages if m.token))
        self._unread -= sum([len(m.payload) for m in messages]) + OVERHEAD * len(messages)
        if self._paused and self._unread < UNREAD_LOW:
            self._paused = False
            self._transport.resume_reading()

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Send with QoS 1; returns when the broker has it."""
        if self._lost is not None:
            raise self._lost
        packet_id = self._next_id()
        taken = self._expect(packet_id)
        self._write(
            mqtt5.PublishPacket(
                topic,
                payload,
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                packet_id=packet_id,
                message_expiry_interval=expiry_s,
            ).write()
        )
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                code = await taken
        except TimeoutError:
            self._waiting.pop(packet_id, None)
            raise Unavailable(f"the broker did not take a message within {PUBLISH_TIMEOUT_S:.0f} s") from None
        if code >= 128:
            raise Unavailable(
                f"the broker refuses {topic}: {_words(mqtt5.PubAckReasonCode, code)}; see its access list"
            )

    def close(self) -> None:
        """Say goodbye and let go. Calling it twice is safe."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(mqtt5.DisconnectPacket().write())
            self._transport.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _handle(self, packet: object, now_ms: int) -> None:
        if isinstance(packet, mqtt5.PublishPacket):
            self._incoming.append(Incoming(now_ms, packet.topic, packet.payload, packet.packet_id or 0))
            self._unread += len(packet.payload) + OVERHEAD
        elif isinstance(packet, mqtt5.PubAckPacket):
            self._answer(packet.packet_id, int(packet.reason_code))
        elif isinstance(packet, mqtt5.SubAckPacket):
            self._answer(packet.packet_id, max(int(code) for code in packet.reason_codes))
        elif isinstance(packet, mqtt5.ConnAckPacket):
            self._answer("connect", int(packet.reason_code))
        elif isinstance(packet, mqtt5.DisconnectPacket):
            self._fail(
                f"the broker ended the connection: {_words(mqtt5.DisconnectReasonCode, int(packet.reason_code))}"
            )

    def _fail(self, reason: str) -> None:
        if self._lost is None:
            self._lost = Unavailable(reason)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._lost)
        self._waiting.clear()
        self._arrived.set()

    def _expect(self, key: int | str) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        return future

    def _answer(self, key: int | str, code: int) -> None:
        future = self._waiting.pop(key, None)
        if future is not None and not future.done():
            future.set_result(code)

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._waiting:
                return self._packet_id

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise self._lost or Unavailable("connection to the broker lost")
        self._transport.write(data)

    async def _keep_alive(self) -> None:
        """Ping, and end a connection that answers none of three pings: a half-open link looks just like peace."""
        silent = 0
        while self._lost is None:
            self._heard = False
            self._write(mqtt5.PingReqPacket().write())
            await asyncio.sleep(KEEP_ALIVE_S / 2)
            silent = 0 if self._heard or self._paused else silent + 1
            if silent >= 3:
                self._fail(f"the broker has not answered for {silent * KEEP_ALIVE_S / 2:.0f} s")
                self.close()


def _words(kind: type[object], code: int) -> str:
    """A reason code as words. The codec's enumerations are no enum of Python's, whatever its stubs say."""
    for name in dir(kind):
        if name.isupper() and int(getattr(kind, name)) == code:
            return name.lower().replace("_", " ")
    return f"code {code}"
