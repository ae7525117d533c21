"""I7: a device can publish and subscribe only as itself. The broker of deploy/, with its own certificates, on loopback.

mosquitto runs with deploy/mosquitto/mosquitto.conf and caretaker.acl as they are; only paths and the port are replaced.
The certificates come from deploy/certificates.sh.
"""

import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from caretaker_contract.topics import Kind, address, subscriptions
from servers import Child, free_port, program

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
WITHIN_S = 5.0
QUIET_S = 0.5  # how long to wait for what must not come; what may come takes milliseconds
NOT_AUTHORISED = 135
TAKEN = {0, 16}  # 16: taken, and nobody listens


def certificates(folder: Path, *words: str) -> None:
    """Run deploy/certificates.sh."""
    done = subprocess.run([DEPLOY / "certificates.sh", folder, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def sign_anything(authority: Path, name: str, to: Path) -> None:
    """A certificate for a name that certificates.sh would refuse, signed by the same authority."""
    subject = name.replace("/", "\\/").replace("+", "\\+")  # both have a meaning of their own in -subj
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{to}.key"]
    ask = ["openssl", "req", "-new", *key, "-subj", f"/CN={subject}", "-out", f"{to}.csr"]
    signed = ["-CA", str(authority / "ca.crt"), "-CAkey", str(authority / "ca.key"), "-set_serial", str(time.time_ns())]
    for command in (ask, ["openssl", "x509", "-req", "-in", f"{to}.csr", *signed, "-days", "9", "-out", f"{to}.crt"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@dataclass
class Broker:
    """The deployed broker and the folder of its authority."""

    port: int
    folder: Path
    child: Child


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """mosquitto as it is deployed, with certificates for a collector and some devices."""
    folder = tmp_path_factory.mktemp("broker")
    certificates(folder, "authority")
    certificates(folder, "server", "localhost", "127.0.0.1")
    certificates(folder, "collector")
    for device in ("ash/ict1-07", "ash/ict1-08", "oak/ict1-07", "ash/gone"):
        certificates(folder, "device", device)
    for suffix in ("crt", "key"):
        (folder / f"kept.{suffix}").write_bytes((folder / "ash" / f"gone.{suffix}").read_bytes())
    certificates(folder, "withdraw", "ash/gone")
    for number, name in enumerate(("ash/+", "+/+", "#", "ash", "ash/ict1-07/report")):
        sign_anything(folder, name, folder / f"odd{number}")
    port = free_port()
    text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
    text, replaced = re.subn(r"(?m)^listener 8883$", f"listener {port} 127.0.0.1", text)
    assert replaced == 1
    text = text.replace("/etc/mosquitto/certs/", f"{folder}/").replace("/var/lib/mosquitto/", f"{folder}/")
    text = text.replace("/etc/mosquitto/caretaker.acl", str(DEPLOY / "mosquitto" / "caretaker.acl"))
    if os.geteuid() == 0:
        text += "user root\n"  # else it changes to a user who may not read this folder
    (folder / "mosquitto.conf").write_text(text)
    child = Child(
        "mosquitto",
        [program("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")],
        folder / "log",
        lambda: _listens(port),
    )
    child.start()
    yield Broker(port, folder, child)
    child.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(true: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.01)


@dataclass
class Peer:
    """A connection over TLS, with what it got and what it was told."""

    client: mqtt.Client
    got: list[tuple[str, bytes]] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)  # reason code of each publish
    connected: list[int] = field(default_factory=list)
    subscribed: list[int] = field(default_factory=list)
    left: list[object] = field(default_factory=list)

    def publish(self, topic: str, payload: str, retain: bool = False) -> int:
        """Publish with QoS 1 and hand back the broker's reason code."""
        number = self.client.publish(topic, payload, qos=1, retain=retain).mid
        until(lambda: number in self.codes, f"an answer to {topic}")
        return self.codes[number]

    def subscribe(self, *topics: str) -> None:
        """Subscribe, and wait for the broker's answer."""
        before = len(self.subscribed)
        self.client.subscribe([(topic, 1) for topic in topics])
        until(lambda: len(self.subscribed) > before, "an answer to the subscription")


@pytest.fixture
def peer(broker: Broker) -> Iterator[Callable[..., Peer]]:
    """Connects with a certificate: peer("ash/ict1-07")."""
    peers: list[Peer] = []

    def connect(name: str | None, client_id: str = "", will: tuple[str, str] | None = None) -> Peer:
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id or "any",
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=str(broker.folder / "ca.crt"))
        if name is not None:
            context.load_cert_chain(broker.folder / f"{name}.crt", broker.folder / f"{name}.key")
        client.tls_set_context(context)
        one = Peer(client)
        client.on_connect = lambda _c, _u, _f, code, _p: one.connected.append(code.value)
        client.on_disconnect = lambda _c, _u, _f, code, _p: one.left.append(code)
        client.on_message = lambda _c, _u, message: one.got.append((message.topic, message.payload))
        client.on_publish = lambda _c, _u, number, code, _p: one.codes.update({number: code.value})
        client.on_subscribe = lambda _c, _u, number, _codes, _p: one.subscribed.append(number)
        if will is not None:
            client.will_set(*will, qos=1)
        peers.append(one)
        client.connect("localhost", broker.port)
        client.loop_start()
        until(lambda: one.connected or one.left, "an answer to the connection")
        return one

    yield connect
    for one in peers:
        one.client.disconnect()
        one.client.loop_stop()


@pytest.fixture
def collector(peer: Callable[..., Peer]) -> Peer:
    """The collector, subscribed to all that devices say."""
    one = peer("collector", client_id="caretaker-collector")
    one.subscribe(*subscriptions())
    return one


def refused(peer: Callable[..., Peer], name: str | None) -> bool:
    """Whether the broker does not let this certificate in."""
    try:
        one = peer(name)
    except (ssl.SSLError, OSError):
        return True
    return 0 not in one.connected


def test_a_device_says_all_that_it_has_to_say_and_hears_its_commands(
    peer: Callable[..., Peer], collector: Peer
) -> None:
    device = peer("ash/ict1-07")
    own = address("ash/ict1-07")
    device.subscribe(own.topic(Kind.COMMAND))
    for kind in (Kind.HELLO, Kind.PRESENCE, Kind.REPORT, Kind.OUTCOME):
        assert device.publish(own.topic(kind), kind.value) == 0
    until(lambda: len(collector.got) >= 4, "the four messages")
    assert sorted(collector.got) == sorted(
        (own.topic(kind), kind.value.encode()) for kind in (Kind.HELLO, Kind.PRESENCE, Kind.REPORT, Kind.OUTCOME)
    )
    assert collector.publish(own.topic(Kind.COMMAND), "to you") == 0
    until(lambda: device.got, "the command")
    assert device.got == [(own.topic(Kind.COMMAND), b"to you")]


@pytest.mark.parametrize(
    "topic",
    [
        "caretaker/1/ash/ict1-08/report",  # its neighbour
        "caretaker/1/oak/ict1-07/report",  # its namesake at another school
        "caretaker/1/oak/ict1-08/hello",
        "caretaker/1/ash/ict1-07/command",  # a command to itself
        "caretaker/1/ash/ict1-08/command",
        "caretaker/1/ash/report",
        "caretaker/1/ash/ict1-07/report/more",
        "caretaker/2/ash/ict1-07/report",
        "$SYS/broker/version",
        "anything",
    ],
)
def test_a_device_can_say_nothing_in_another_name(peer: Callable[..., Peer], collector: Peer, topic: str) -> None:
    neighbour = peer("ash/ict1-08")
    neighbour.subscribe("caretaker/1/ash/ict1-08/command")
    device = peer("ash/ict1-07")
    assert device.publish(topic, "forged", retain=True) == NOT_AUTHORISED
    time.sleep(QUIET_S)
    assert collector.got == neighbour.got == []


def test_a_device_hears_nothing_but_its_own_commands_whatever_it_asks_for(
    peer: Callable[..., Peer], collector: Peer
) -> None:
    device = peer("ash/ict1-07")
    device.subscribe("#", "caretaker/1/+/+/command", "caretaker/1/ash/ict1-08/command", "caretaker/1/ash/+/report")
    neighbour = peer("ash/ict1-08")
    assert neighbour.publish("caretaker/1/ash/ict1-08/report", "private") == 0
    for name in ("ash/ict1-08", "oak/ict1-07", "ash/ict1-07"):
        assert collector.publish(f"caretaker/1/{name}/command", name) == 0
    until(lambda: device.got, "its own command")
    time.sleep(QUIET_S)
    assert set(device.got) == {("caretaker/1/ash/ict1-07/command", b"ash/ict1-07")}


def test_a_last_will_in_another_name_is_never_delivered(peer: Callable[..., Peer], collector: Peer) -> None:
    forger = peer("ash/ict1-07", will=("caretaker/1/ash/ict1-08/presence", "forged"))
    honest = peer("oak/ict1-07", will=("caretaker/1/oak/ict1-07/presence", "lost"))
    for one in (forger, honest):
        one.client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
    until(lambda: collector.got, "the honest will")
    time.sleep(QUIET_S)
    assert set(collector.got) == {("caretaker/1/oak/ict1-07/presence", b"lost")}


@pytest.mark.parametrize("odd", range(5), ids=["ash/+", "+/+", "#", "ash", "too-deep"])
def test_a_name_with_a_wildcard_or_too_few_levels_opens_nothing(
    peer: Callable[..., Peer], collector: Peer, odd: int
) -> None:
    if refused(peer, f"odd{odd}"):
        return
    device = peer(f"odd{odd}")
    device.subscribe("#", "caretaker/1/+/+/command", "caretaker/1/ash/ict1-07/command")
    for topic in ("caretaker/1/ash/ict1-07/report", "caretaker/1/ash/ict1-07/command"):
        assert device.publish(topic, "forged") == NOT_AUTHORISED
    assert collector.publish("caretaker/1/ash/ict1-07/command", "secret") == 0
    time.sleep(QUIET_S)
    assert collector.got == device.got == []


def test_no_certificate_a_strangers_and_a_withdrawn_one_are_refused(
    peer: Callable[..., Peer], broker: Broker, tmp_path: Path
) -> None:
    certificates(tmp_path, "authority")
    certificates(tmp_path, "device", "ash/ict1-07")
    for suffix in ("crt", "key"):
        (broker.folder / f"stranger.{suffix}").write_bytes((tmp_path / "ash" / f"ict1-07.{suffix}").read_bytes())
    assert refused(peer, None)
    assert refused(peer, "stranger")
    assert refused(peer, "kept")
    assert not refused(peer, "ash/ict1-07")


def test_a_device_cannot_take_the_collectors_session_by_its_client_id(
    peer: Callable[..., Peer], collector: Peer
) -> None:
    device = peer("ash/ict1-07", client_id="caretaker-collector")
    assert device.publish("caretaker/1/ash/ict1-07/report", "still heard") == 0
    until(lambda: collector.got, "the report")
    assert collector.left == []


def test_the_collector_can_speak_in_no_devices_name(peer: Callable[..., Peer], collector: Peer) -> None:
    assert collector.publish("caretaker/1/ash/ict1-07/report", "forged") == NOT_AUTHORISED


def test_a_message_beyond_the_contract_is_refused_and_the_broker_goes_on(
    peer: Callable[..., Peer], collector: Peer
) -> None:
    peer("ash/ict1-08").client.publish("caretaker/1/ash/ict1-08/report", b"x" * 70_000, qos=1)
    assert peer("ash/ict1-07").publish("caretaker/1/ash/ict1-07/report", "small") == 0
    until(lambda: collector.got, "the small one")
    time.sleep(QUIET_S)
    assert [payload for _, payload in collector.got] == [b"small"]


def test_retained_messages_survive_a_restart_of_the_broker(broker: Broker, peer: Callable[..., Peer]) -> None:
    assert peer("oak/ict1-07").publish("caretaker/1/oak/ict1-07/hello", "here", retain=True) in TAKEN
    broker.child.stop()
    broker.child.start()
    late = peer("collector")
    late.subscribe("caretaker/1/oak/+/hello")
    until(lambda: late.got, "the retained hello")
    assert late.got[0] == ("caretaker/1/oak/ict1-07/hello", b"here")
