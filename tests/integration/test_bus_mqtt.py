"""The collector's own MQTT 5 connection, against a real mosquitto."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import pytest

from caretaker_collector.bus_mqtt import Broker, MqttBus, MqttLink
from caretaker_contract.errors import Unavailable
from caretaker_rules.ports import Incoming
from servers import Mosquitto, free_port, mosquitto

pytestmark = pytest.mark.slow


def bus(server: Mosquitto, client_id: str = "collector") -> MqttBus:
    """A bus to that server."""
    return MqttBus(Broker(host=server.host, port=server.port, client_id=client_id), lambda: int(time.time() * 1000))


async def publish(server: Mosquitto, numbers: range, size: int = 0, school: str = "ash") -> None:
    """Reports with a number as payload, padded to `size` bytes."""
    async with aiomqtt.Client(server.host, server.port) as client:
        for number in numbers:
            await client.publish(f"caretaker/1/{school}/d/report", str(number).rjust(size, "0"), qos=1)


async def take(link: MqttLink, until: Callable[[list[Incoming]], bool]) -> list[Incoming]:
    """Messages until the condition holds; ten seconds at most."""
    seen: list[Incoming] = []
    async with asyncio.timeout(10):
        async for batch in link.batches():
            seen += batch
            if until(seen):
                break
    return seen


async def test_what_was_not_acknowledged_comes_again(own_broker: Mosquitto) -> None:
    """Of ten messages, six acknowledged: after a break exactly the other four come again, more than once nothing."""
    async with bus(own_broker).connect() as link:
        await publish(own_broker, range(10))
        seen = await take(link, lambda got: len(got) == 10)
        link.acknowledge(seen[:6])
        await asyncio.sleep(0.3)
    async with bus(own_broker).connect() as link:
        again = await take(link, lambda got: len(got) == 4)
        assert [m.payload for m in again] == [b"6", b"7", b"8", b"9"]
        await asyncio.sleep(0.3)


async def test_late_acknowledgement_does_not_stall_the_stream(plain_broker: Mosquitto) -> None:
    """Hundreds of messages arrive although none is acknowledged (mosquitto alone would stop at 20)."""
    async with bus(plain_broker, "late").connect() as link:
        await publish(plain_broker, range(500))
        seen = await take(link, lambda got: len(got) == 500)
        assert [int(m.payload) for m in seen] == list(range(500))
        link.acknowledge(seen)


async def test_reading_stops_while_too_much_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound reached the socket is left unread, and reading goes on after the acknowledgement."""
    monkeypatch.setattr("caretaker_collector.bus_mqtt.UNREAD_HIGH", 50)
    monkeypatch.setattr("caretaker_collector.bus_mqtt.UNREAD_LOW", 10)
    with mosquitto(max_inflight_messages=1000) as server:
        async with bus(server).connect() as link:
            await publish(server, range(2000), size=2000)
            seen: list[Incoming] = []
            async with asyncio.timeout(20):
                async for batch in link.batches():
                    assert len(batch) <= 50 + 262_144 // 2000  # the bound, and one read of the socket beyond it
                    seen += batch
                    await asyncio.sleep(0.05)
                    link.acknowledge(batch)
                    if len(seen) >= 2000:
                        break
    assert [int(m.payload) for m in seen] == list(range(2000))


async def test_a_dead_broker_is_unavailable_with_its_place() -> None:
    """The error names host and port."""
    port = free_port()
    nobody = MqttBus(Broker(host="127.0.0.1", port=port), lambda: 0)
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        async with nobody.connect():
            pass


async def test_a_broker_that_dies_ends_the_batches(own_broker: Mosquitto) -> None:
    """Neither reading nor publishing hangs on a link that is gone."""
    async with bus(own_broker).connect() as link:
        own_broker.kill()
        with pytest.raises(Unavailable):
            await take(link, lambda got: False)
        with pytest.raises(Unavailable):
            await link.publish("caretaker/1/ash/d/command", b"x", 10)


async def test_a_refused_publish_is_no_success(tmp_path: Path) -> None:
    """MQTT 5 tells us when the access list refuses; it must not look as if the command was sent."""
    acl = tmp_path / "acl"
    acl.write_text("topic read caretaker/#\n")
    with mosquitto(acl_file=acl) as server:
        async with bus(server).connect() as link:
            with pytest.raises(Unavailable, match="not authorized"):
                await link.publish("caretaker/1/ash/d/command", b"x", 10)


async def test_a_command_dies_in_the_broker_at_its_expiry(plain_broker: Mosquitto) -> None:
    """A machine that comes back after the expiry is not told."""
    topic = "caretaker/1/exp/d/command"
    where = {"hostname": plain_broker.host, "port": plain_broker.port}
    session = {**where, "identifier": "sleeper", "protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False}
    async with aiomqtt.Client(properties=_session_properties(), **session) as client:
        await client.subscribe(topic, qos=1)
    async with bus(plain_broker, "sender").connect() as link:
        await link.publish(topic, b"soon gone", 1)
        await asyncio.sleep(2.5)
        await link.publish(topic, b"fresh", 30)
    async with aiomqtt.Client(properties=_session_properties(), **session) as client:
        async with asyncio.timeout(5):
            message = await anext(client.messages)
        assert message.payload == b"fresh"


def _session_properties() -> object:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 60
    return properties
