""" "We are still here" all the way: a real agent, a real broker, a real collector, killed in between."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs
from paho.mqtt import publish

from caretaker_contract.messages import PowerState
from servers import Mosquitto
from worlds import Stream, World, collecting, eventually, make_world

pytestmark = [pytest.mark.slow, pytest.mark.alone]

POLICY = """\
mode = "live"
[[rules]]
name = "evening"
select = { classes = ["desktop"] }
hours = ["mon-sun 00:00-24:00"]
idle_for = "5 min"
do = "shut_down"
warn_for = "2 min"
"""
HOUR_MS = 3_600_000


@contextmanager
def agent(world: World) -> Iterator[Path]:
    """The first machine's own agent as a process; gives the path of its settings."""
    path = world.folder / "agent.toml"
    path.write_text(
        'school = "ash"\ndevice = "pc-000"\nroom = "ict1"\ndevice_class = "desktop"\nstate_dir = "agent"\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {world.broker_port}\n'
    )
    process = subprocess.Popen([sys.executable, "-m", "caretaker_agent", "run", "--config", str(path)])
    try:
        yield path
    finally:
        process.terminate()
        process.wait(10)


def still_here(config: Path) -> subprocess.CompletedProcess[str]:
    """What a person at the machine types, or an icon runs."""
    command = [sys.executable, "-m", "caretaker_agent", "still-here", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def holds(world: World) -> list[tuple[str, str | None, str, str, int, int]]:
    """Every hold that was ever made."""
    query = "SELECT room, device, by_whom, reason, from_ms, until_ms FROM holds ORDER BY id"
    return world.state().execute(query).fetchall()


def reasons(world: World, device: str) -> list[str]:
    """Why the newest decision about a machine is what it is."""
    query = "SELECT decision FROM decisions WHERE device = ? ORDER BY id DESC LIMIT 1"
    row = world.state().execute(query, (device,)).fetchone()
    return [reason["why"] for reason in json.loads(row[0])["reasons"]] if row else []


def test_a_person_at_a_machine_keeps_its_room_on(own_broker: Mosquitto, tmp_path: Path) -> None:
    world = make_world(tmp_path, own_broker.port, devices=2, policy=POLICY)
    with collecting(world) as collector, agent(world) as config:
        eventually(lambda: world.counters().get("reports", 0) >= 1, 15, collector.log)
        eventually(lambda: reasons(world, "pc-000") != [], 15, collector.log)
        assert "held" not in reasons(world, "pc-000")
        begin_ms = int(time.time() * 1000)
        told = still_here(config)
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith("asked: this room stays on until about ")
        eventually(lambda: "held" in reasons(world, "pc-000"), 15, collector.log)
        ((room, device, by, why, from_ms, until_ms),) = holds(world)
        assert (room, device, by, why) == ("ict1", None, "somebody at ash/pc-000", "still here")
        assert until_ms - from_ms == HOUR_MS
        assert abs(from_ms - begin_ms) < 20_000
        shown = subprocess.run(
            [sys.executable, "-m", "caretaker_collector", "why", "ash/pc-000", "--config", str(world.config)],
            capture_output=True,
            text=True,
        )
        assert "held until" in shown.stdout


def test_asked_while_the_collector_is_dead_the_hour_runs_from_then(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Kill -9 before and after; the broker hands reports over later, one of them twice: one hold."""
    world = make_world(tmp_path, own_broker.port, devices=2, policy=POLICY)
    with collecting(world) as collector, agent(world) as config:
        eventually(lambda: world.counters().get("reports", 0) >= 1, 15, collector.log)
        collector.kill()
        asked_ms = int(time.time() * 1000)
        assert still_here(config).returncode == 0
        hours_ago_ms = asked_ms - 3 * HOUR_MS
        stale = Stream(world.devices[1], at_ms=hours_ago_ms)
        late = structs.replace(stale.report(PowerState.IDLE, at_ms=hours_ago_ms), stay_s=3600)
        topic, payload = stale.wire(late)
        publish.multiple(
            [{"topic": topic, "payload": payload, "qos": 1}] * 2, hostname=own_broker.host, port=own_broker.port
        )
        time.sleep(2.5)
        collector.start()
        eventually(lambda: world.counters().get("stays_asked", 0) == 2, 15, collector.log)
        collector.kill()
        collector.start()
        eventually(lambda: "held" in reasons(world, "pc-001"), 15, collector.log)
        ((_, _, by, _, from_ms, until_ms),) = holds(world)
        assert by == "somebody at ash/pc-000", "what was asked three hours ago is over"
        assert until_ms - from_ms == HOUR_MS
        assert asked_ms - 500 <= from_ms < asked_ms + 10_000  # seconds in a queue are within what a clock may be off
        assert collector.stop() == 0
