"""The collector as a process, on a real mosquitto: from a report to a stored point, a closed gap, a reason."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiomqtt
import pytest

from caretaker_contract.messages import Verb
from caretaker_contract.signing import key_id, verify
from caretaker_contract.topics import Kind
from servers import Mosquitto
from worlds import Stream, collecting, eventually, make_world

pytestmark = [pytest.mark.slow, pytest.mark.alone]


async def send(broker: Mosquitto, messages: list[tuple[str, bytes]], retain: bool = False) -> None:
    """Publish in order, QoS 1."""
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=retain)


async def test_a_report_is_stored_once_and_counted(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Repeats change nothing, garbage is put aside with its reason, and the sum of all is what was sent."""
    world = make_world(tmp_path, own_broker.port)
    stream = Stream(world.devices[0])
    messages = [stream.wire(stream.report()) for _ in range(20)]
    garbage = [(world.devices[1].topic(Kind.REPORT), b"\xff{"), ("caretaker/1/ash/pc-001/report", b'{"v":1}')]
    with collecting(world) as collector:
        await send(own_broker, messages + messages[5:9] + garbage)
        eventually(lambda: world.stored() == 20 and world.counters().get("quarantined") == 2, 15, collector.log)
        counters = world.counters()
        assert (counters["reports"], counters["duplicates"]) == (20, 4)
        health = collector.health()
        assert health is not None
        assert health["status"] == "ok"
        assert collector.stop() == 0
    answer = subprocess.run(
        [sys.executable, "-m", "caretaker_collector", "quarantine", "--json", "--config", str(world.config)],
        capture_output=True,
        check=True,
    )
    newest = json.loads(answer.stdout)["newest"]
    assert {row["reason"] for row in newest} == {
        "Object missing required field `epoch`",
        "JSON is malformed: invalid character (byte 0)",
    }


async def test_a_gap_is_asked_for_and_closed(own_broker: Mosquitto, tmp_path: Path) -> None:
    """A signed command asks the device for exactly the numbers that did not come, the last of a boot included."""
    world = make_world(tmp_path, own_broker.port)
    device = world.devices[0]
    stream = Stream(device)
    for _ in range(10):
        stream.report()
    stream.reboot()
    for _ in range(5):
        stream.report()
    lost = {(1, 4), (1, 5), (1, 10), (2, 2)}
    with collecting(world):
        async with aiomqtt.Client(own_broker.host, own_broker.port) as client:
            await client.subscribe(device.topic(Kind.COMMAND), qos=1)
            for key, report in stream.made.items():
                if key not in lost:
                    await client.publish(*stream.wire(report), qos=1)
            async with asyncio.timeout(40):
                message = await anext(client.messages)
            key = world.key.verify_key
            device_now_ms = stream.at_ms + 1000  # its clock is weeks behind ours, and still it can be asked
            command = verify(bytes(message.payload), {key_id(key): key}, str(device), device_now_ms)
            assert command.verb is Verb.REPLAY
            asked = {(r.boot, seq) for r in command.ranges for seq in range(r.first, r.last + 1)}
            assert asked == lost
            for number in asked:
                await client.publish(*stream.wire(stream.made[number]), qos=1)
        eventually(lambda: world.stored() == 15, 15)
        eventually(lambda: world.counters().get("gaps_closed") == 1, 5)


async def test_why_answers_for_every_registered_machine(own_broker: Mosquitto, tmp_path: Path) -> None:
    """A machine that never reported is left on, and `caretaker why` says that nothing is known of it."""
    policy = (
        'mode = "live"\n\n[[rules]]\nname = "always"\nselect = { classes = ["desktop"] }\n'
        'hours = ["mon-sun 00:00-24:00"]\nidle_for = "20 min"\ndo = "shut_down"\nwarn_for = "1 min"\n'
    )
    world = make_world(tmp_path, own_broker.port, policy=policy)
    with collecting(world):
        eventually(lambda: world.state().execute("SELECT count(*) FROM decisions").fetchone()[0] == 4, 15)
    answer = subprocess.run(
        [sys.executable, "-m", "caretaker_collector", "why", "ash/pc-001", "--config", str(world.config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ICT suite 1 · Ashfield" in answer.stdout
    assert "left on" in answer.stdout
    assert "nothing certain is known of it" in answer.stdout


def test_a_second_collector_on_the_same_folder_is_refused(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Two doers on one ledger could act twice."""
    world = make_world(tmp_path, own_broker.port)
    with collecting(world):
        second = subprocess.run(
            [sys.executable, "-m", "caretaker_collector", "collect", "--config", str(world.config)],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert second.returncode == 2
    assert "another collector is running" in second.stderr
