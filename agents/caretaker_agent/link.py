"""A small MQTT 5 client that never blocks, on the `mqtt5` codec: one socket, one in-flight window, one back-off.

The owner registers `fileno()` with its selector, calls `ready` when the socket is, and `tick` when `next_s` is due.
What to publish comes from two places: `say` (retained notes, kept in memory for this connection only) and the numbered
messages that `source` hands out while the window has room. An acknowledgement with a reason code of 128 or more is a
refusal (a broker's access list answers so), and 16 means that nobody subscribes, so the message went nowhere (section
3.4.2.1 of MQTT 5.0): neither counts as delivered, and both are tried again later.

Only looking up the broker's name may block, for as long as the system's resolver takes.
"""

import random
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import mqtt5

if TYPE_CHECKING:
    import ssl

WINDOW: Final = 16
"""Publishes without an acknowledgement at a time."""
KEEP_ALIVE_S: Final = 60
ANSWER_WITHIN_S: Final = 20.0
"""A connection that has not answered by then is given up."""
SESSION_EXPIRY_S: Final = 3600
"""For so long the broker keeps commands for a machine whose line is cut; a command has its own, shorter expiry."""
WILL_DELAY_S: Final = 30
"""A reconnect within this time raises no alarm."""
BACK_OFF_S: Final = (1.0, 300.0)
"""First and longest wait between attempts; doubled each time and spread by half: a school does not return as one."""
NOBODY_LISTENS: Final = 16
PAUSE_S: Final = {True: (2.0, 60.0), False: (30.0, 300.0)}
"""First and longest pause after a numbered message went nowhere (True) or was refused (False)."""
_CHUNK: Final = 65_536


class Will(NamedTuple):
    """What the broker says in our name when we go without a word."""

    topic: str
    payload: bytes


class Publication(NamedTuple):
    """One numbered message to publish; `token` comes back with its acknowledgement."""

    topic: str
    payload: bytes
    token: Any


class Target(NamedTuple):
    """Where and as whom to connect. With `ca`, over TLS."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: bytes | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Link:
    """One device's line to the broker; see the module. All seconds are real and steady.

    `will` makes the last will of the next connection, `on_up` is called when it stands, `source` gives the next
    publication or None, `on_acked` and `on_command` are told what arrives.
    """

    def __init__(
        self,
        target: Target,
        subscribe: str,
        *,
        will: Callable[[], Will],
        on_up: Callable[[], None],
        source: Callable[[], Publication | None],
        on_acked: Callable[[Any], None],
        on_refused: Callable[[Any, int], None],
        on_command: Callable[[bytes], None],
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._subscribe = subscribe
        self._will = will
        self._on_up = on_up
        self._source = source
        self._on_acked = on_acked
        self._on_refused = on_refused
        self._on_command = on_command
        self._on_down = on_down
        self._socket: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._stage = "down"  # down, connecting, securing, asking, up, leaving
        self._out = bytearray()
        self._in = bytearray()
        self._in_flight: dict[int, Any] = {}
        self._said: dict[int, str] = {}
        self._to_say: deque[tuple[str, bytes]] = deque()
        self._packet_id = 0
        self._window = WINDOW
        self._keep_alive_s = float(KEEP_ALIVE_S)
        self._heard_s = 0.0
        self._sent_s = 0.0
        self._deadline_s = 0.0
        self._retry_s = 0.0
        self._wait_s = BACK_OFF_S[0]
        self._paused_until_s = 0.0
        self._pause_s = 0.0
        self._attempts = 0
        self._pinged = False
        self._want_write = False
        self._complaint = ""

    @property
    def up(self) -> bool:
        """Whether the broker has let us in."""
        return self._stage == "up"

    @property
    def paused(self) -> bool:
        """Whether numbered messages wait because the last one was not taken."""
        return self._paused_until_s > 0

    @property
    def idle(self) -> bool:
        """Whether everything said and published on this connection is acknowledged."""
        return not (self._in_flight or self._said or self._to_say or self._out)

    def fileno(self) -> int | None:
        """The socket to watch, None while there is none."""
        return None if self._socket is None else self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether to watch for room to write, too."""
        return self._stage == "connecting" or self._want_write or (bool(self._out) and self._stage != "securing")

    def next_s(self) -> float:
        """When `tick` is due at the latest."""
        if self._stage == "down":
            return self._retry_s
        if self._stage != "up":
            return self._deadline_s
        due = min(self._sent_s + self._keep_alive_s, self._heard_s + 1.5 * self._keep_alive_s)
        return min(due, self._paused_until_s) if self._paused_until_s else due

    def say(self, topic: str, payload: bytes) -> None:
        """Publish a retained note on this connection; it is forgotten when the connection is lost."""
        self._to_say.append((topic, payload))

    def tick(self, now_s: float) -> None:
        """Connect, keep alive, give up, and publish what there is."""
        if self._stage == "down":
            if now_s >= self._retry_s:
                self._connect(now_s)
            return
        if self._stage != "up":
            if now_s >= self._deadline_s:
                self._lost("the broker does not answer", now_s)
            return
        if now_s >= self._heard_s + 1.5 * self._keep_alive_s:
            self._lost("the broker has fallen silent", now_s)
            return
        if now_s >= self._sent_s + self._keep_alive_s or (
            now_s >= self._heard_s + self._keep_alive_s and not self._pinged
        ):
            self._pinged = True
            self._send(mqtt5.PingReqPacket().write(), now_s)
        self.pump(now_s)

    def ready(self, readable: bool, writable: bool, now_s: float) -> None:
        """The selector's word on the socket."""
        try:
            if self._stage == "connecting" and (writable or readable):
                self._connected(now_s)
            if self._stage == "securing":
                self._handshake(now_s)
            elif self._stage in ("asking", "up", "leaving"):
                if readable:
                    self._read(now_s)
                if writable or self._out:
                    self._flush(now_s)
        except OSError as error:
            self._lost(str(error), now_s)
        if self._stage == "up":
            self.pump(now_s)

    def pump(self, now_s: float) -> None:
        """Publish notes, then numbered messages, while the window has room."""
        if self._stage != "up":
            return
        while self._to_say and len(self._in_flight) + len(self._said) < self._window:
            topic, payload = self._to_say.popleft()
            number = self._next_id()
            self._said[number] = topic
            self._publish(number, topic, payload, True, now_s)
        if now_s < self._paused_until_s:
            return
        self._paused_until_s = 0.0
        while not self._to_say and len(self._in_flight) + len(self._said) < self._window:
            publication = self._source()
            if publication is None:
                return
            number = self._next_id()
            self._in_flight[number] = publication.token
            self._publish(number, publication.topic, publication.payload, False, now_s)
            if self._socket is None:
                return

    def leave(self, now_s: float) -> None:
        """Go with a word: the broker drops our will. No new attempt is made."""
        if self._stage == "up":
            self._send(mqtt5.DisconnectPacket().write(), now_s)
        self._close()
        self._retry_s = float("inf")

    def retry(self, now_s: float) -> None:
        """Try again at once, as after a sleep, when the old line is surely dead."""
        if self._stage != "down":
            self._lost("connecting afresh", now_s)
        self._wait_s = BACK_OFF_S[0]
        self._retry_s = now_s

    def _connect(self, now_s: float) -> None:
        try:
            found = socket.getaddrinfo(self._target.host.encode(), self._target.port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[self._attempts % len(found)]  # a name may have a dead address
            self._attempts += 1
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._stage, self._deadline_s = "connecting", now_s + ANSWER_WITHIN_S
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.connect(address)
            self._connected(now_s)
        except BlockingIOError:
            pass  # on its way: the selector tells when it stands
        except OSError as error:
            self._lost(str(error), now_s)

    def _connected(self, now_s: float) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"error {error}" if sys.platform == "win32" else _strerror(error))
        if self._target.ca is None:
            self._ask(now_s)
            return
        import ssl

        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._target.ca)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._target.certificate is not None:
                self._tls.load_cert_chain(self._target.certificate, self._target.key)
        self._socket = self._tls.wrap_socket(
            self._socket, do_handshake_on_connect=False, server_hostname=self._target.host
        )
        self._stage = "securing"
        self._handshake(now_s)

    def _handshake(self, now_s: float) -> None:
        import ssl

        assert isinstance(self._socket, ssl.SSLSocket)
        self._want_write = False
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._want_write = True
            return
        self._ask(now_s)

    def _ask(self, now_s: float) -> None:
        will, target = self._will(), self._target
        self._stage = "asking"
        self._heard_s = now_s
        self._send(
            mqtt5.ConnectPacket(
                target.client_id,
                username=target.username,
                password=target.password,
                clean_start=False,
                will=mqtt5.Will(
                    will.topic,
                    payload=will.payload,
                    qos=mqtt5.QoS.AT_LEAST_ONCE,
                    retain=True,
                    will_delay_interval=WILL_DELAY_S,
                ),
                keep_alive=KEEP_ALIVE_S,
                session_expiry_interval=SESSION_EXPIRY_S,
                receive_max=WINDOW,
                max_packet_size=_CHUNK,
            ).write(),
            now_s,
        )

    def _read(self, now_s: float) -> None:
        assert self._socket is not None
        while self._socket is not None:
            try:
                data = self._socket.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError as error:
                if _would_block(error):
                    break
                raise
            if not data:
                raise ConnectionError("the broker hung up")
            self._heard_s, self._pinged = now_s, False
            self._in += data
            self._take(now_s)

    def _take(self, now_s: float) -> None:
        while self._in:
            view = memoryview(bytes(self._in))
            try:
                packet, size = mqtt5.read(view)
            except IndexError:  # not all of it is here yet
                if len(self._in) > _CHUNK:
                    raise ConnectionError("a packet longer than we asked for") from None
                return
            except ValueError as error:
                raise ConnectionError(f"not MQTT: {error}") from None
            del self._in[:size]
            self._handle(packet, now_s)

    def _handle(self, packet: Any, now_s: float) -> None:
        if isinstance(packet, mqtt5.ConnAckPacket):
            self._admitted(packet, now_s)
        elif isinstance(packet, mqtt5.PubAckPacket):
            self._acknowledged(packet, now_s)
        elif isinstance(packet, mqtt5.PublishPacket):
            if packet.qos == mqtt5.QoS.AT_LEAST_ONCE and packet.packet_id is not None:
                self._send(mqtt5.PubAckPacket(packet.packet_id).write(), now_s)
            if packet.topic == self._subscribe:
                self._on_command(bytes(packet.payload))
        elif isinstance(packet, mqtt5.SubAckPacket):
            for code in map(int, packet.reason_codes):
                if code >= 128:
                    self._complain(f"the broker refuses our command topic (reason {code}): nothing will be obeyed")
        elif isinstance(packet, mqtt5.DisconnectPacket):
            raise ConnectionError(f"the broker ends the connection (reason {int(packet.reason_code)})")

    def _admitted(self, packet: mqtt5.ConnAckPacket, now_s: float) -> None:
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise ConnectionError(f"the broker refuses this machine (reason {int(packet.reason_code)})")
        self._stage = "up"
        self._wait_s = BACK_OFF_S[0]
        self._paused_until_s = 0.0
        self._window = min(WINDOW, packet.receive_max)
        self._keep_alive_s = float(packet.server_keep_alive or KEEP_ALIVE_S)
        self._complaint = ""
        number = self._next_id()
        topic = mqtt5.TopicFilter(self._subscribe, max_qos=mqtt5.QoS.AT_LEAST_ONCE)
        self._on_up()
        self._send(mqtt5.SubscribePacket(number, [topic]).write(), now_s)

    def _acknowledged(self, packet: mqtt5.PubAckPacket, now_s: float) -> None:
        number, code = packet.packet_id, int(packet.reason_code)
        topic = self._said.pop(number, None)
        if topic is not None:
            if code >= 128:
                self._complain(f"the broker refuses {topic} (reason {code})")
            return
        if number not in self._in_flight:
            return
        token = self._in_flight.pop(number)
        if code < 128 and code != NOBODY_LISTENS:
            self._pause_s = 0.0
            self._on_acked(token)
            return
        nobody = code == NOBODY_LISTENS
        why = "nobody listens to reports" if nobody else f"the broker refuses a report (reason {code})"
        self._complain(f"{why}; they are kept and tried again")
        if not self.paused:  # else it is one of the same window
            first_s, longest_s = PAUSE_S[nobody]
            self._pause_s = min(longest_s, max(first_s, self._pause_s * 2))
            self._paused_until_s = now_s + self._pause_s
        self._on_refused(token, code)

    def _publish(self, number: int, topic: str, payload: bytes, retain: bool, now_s: float) -> None:
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=number)
        self._send(packet.write(), now_s)

    def _send(self, data: bytes, now_s: float) -> None:
        self._out += data
        self._sent_s = now_s
        try:
            self._flush(now_s)
        except OSError as error:
            self._lost(str(error), now_s)

    def _flush(self, now_s: float) -> None:
        while self._out and self._socket is not None:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            except OSError as error:
                if _would_block(error):
                    return
                raise
            del self._out[:sent]

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._in_flight and self._packet_id not in self._said:
                return self._packet_id

    def _lost(self, why: str, now_s: float) -> None:
        self._close()
        self._complain(why)
        self._retry_s = now_s + self._wait_s * random.uniform(0.5, 1.5)
        self._wait_s = min(BACK_OFF_S[1], self._wait_s * 2)
        self._on_down()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._stage = "down"
        self._out.clear()
        self._in.clear()
        self._in_flight.clear()
        self._said.clear()
        self._to_say.clear()
        self._want_write = False
        self._pinged = False

    def _complain(self, why: str) -> None:
        """On standard error, once until it changes or a connection stands again."""
        if why != self._complaint:
            self._complaint = why
            print(f"caretaker-agent: {self._target.host}:{self._target.port}: {why}", file=sys.stderr)  # noqa: T201


def _would_block(error: OSError) -> bool:
    """Whether TLS only waits for more from the other side; ssl is looked at only when something imported it."""
    module = sys.modules.get("ssl")
    return module is not None and isinstance(error, (module.SSLWantReadError, module.SSLWantWriteError))


def _strerror(number: int) -> str:
    import os

    return os.strerror(number)
