"""A school morning on a fast clock: the collector wakes rooms through the relay, checks, and records who was ready."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from caretaker_contract import signing
from caretaker_contract.clock import Clock, fast_clock
from caretaker_simulator.estate import write_demo_estate
from servers import Mosquitto, free_port
from worlds import World, collecting, eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]
SPEED = 60.0
LONDON = ZoneInfo("Europe/London")
POLICY = Path(__file__).parents[2] / "rules" / "policies" / "school.toml"
LESSON_MS = int(datetime(2026, 10, 6, 8, 50, tzinfo=LONDON).timestamp() * 1000)


def demo_world(folder: Path, broker_port: int) -> World:
    """Settings for the demo's two schools, with the policy that the demo runs."""
    write_demo_estate(folder, POLICY)
    key, http_port = signing.new_key(), free_port()
    (folder / "command.key").write_text(bytes(key).hex())
    (folder / "command.pub").write_text(signing.public_text(key) + "\n")
    (folder / "collector.toml").write_text(
        f'estate = "estate.toml"\ndata = "data"\ntick_s = 30\n[broker]\nhost = "127.0.0.1"\nport = {broker_port}\n'
        f'[http]\nhost = "127.0.0.1"\nport = {http_port}\n[signing]\nkey_file = "command.key"\n'
        '[store]\nkind = "sqlite"\npath = "store.db"\n'
    )
    return World(folder, broker_port, http_port, key, [])


def caretaker(world: World, clock: Clock, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of a person, on the same clock."""
    command = [sys.executable, "-m", "caretaker_collector", *words, "--config", str(world.config)]
    environment = {**os.environ, **clock.to_environment()}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)


def test_rooms_are_woken_before_their_lesson_and_readiness_is_recorded(own_broker: Mosquitto, tmp_path: Path) -> None:
    world = demo_world(tmp_path, own_broker.port)
    clock = fast_clock(int(datetime(2026, 10, 6, 8, 26, tzinfo=LONDON).timestamp() * 1000), SPEED)
    simulator = [
        *(sys.executable, "-m", "caretaker_simulator", "run", "--port", str(own_broker.port), "--no-troubles"),
        *("--estate", str(tmp_path), "--schools", "ash", "--public-key-file", str(tmp_path / "command.pub")),
        *("--truth-out", str(tmp_path / "truth.json")),
    ]
    with collecting(world, clock) as collector:
        with (tmp_path / "simulator.log").open("wb") as log:
            machines = subprocess.Popen(simulator, stdout=log, stderr=log, env={**os.environ, **clock.to_environment()})
        try:
            db = world.state()

            def count(query: str) -> int:
                return int(db.execute(query).fetchone()[0])

            eventually(lambda: count("SELECT count(*) FROM devices") == 328, 20, collector.log)
            assert clock.now_ms() < LESSON_MS - 15 * 60_000, "this computer is too busy: the machines came too late"
            eventually(lambda: count("SELECT count(*) FROM wakes") >= 15, 20, collector.log)
            asked = caretaker(world, clock, "wake", "ash/science", "--reason", "updates", "--by", "technician")
            assert asked.returncode == 0, asked.stderr
            assert asked.stdout.startswith("wake 1: ash/science, 32 machines")
            eventually(lambda: count("SELECT count(*) FROM readiness WHERE room = 'ict1'") == 1, 30, collector.log)
            eventually(lambda: clock.now_ms() > LESSON_MS + 120_000, 10)
            rows = db.execute("SELECT device, room, rule, result, attempts, needed_ms, first_ms FROM wakes").fetchall()
            ready, total = db.execute(
                "SELECT ready, total FROM readiness WHERE room = 'ict1' AND lesson_ms = ?", (LESSON_MS,)
            ).fetchone()
            commands = db.execute("SELECT device, status, rule FROM commands WHERE verb = 'wake'").fetchall()
            told = caretaker(world, clock, "ready", "ash")
            listed = caretaker(world, clock, "wake", "--list")
            why = caretaker(world, clock, "why", "ash/" + db.execute("SELECT min(device) FROM wakes").fetchone()[0])
            eventually(lambda: world.stored("room_ready") > 3, 10)
        finally:
            machines.terminate()
            machines.wait(40)
    ict1 = [row for row in rows if row[1] == "ict1"]
    assert len(ict1) >= 10, "the suite was off in the morning"
    assert sum(row[3] == "awake" for row in ict1) >= 0.9 * len(ict1)
    assert {row[2] for row in ict1} == {"before-lessons"}
    assert all(row[6] >= row[5] - 15 * 60_000 for row in ict1), "nothing before the lead"
    assert all(1 <= row[4] <= 3 for row in rows)
    assert total == 31
    assert ready >= 28
    science = {row[0] for row in rows if row[1] == "science"}
    assert {row[0] for row in rows if row[2] == "order"} == science != set(), "no rule selects laptops; a person did"
    assert {device for device, _, _ in commands} == {"servers-01"}
    done = sum(status == "done" for _, status, _ in commands)
    assert done >= 3
    assert re.search(rf"ict1 \(ICT suite 1\) +{ready} of 31 +ready at 08:50", told.stdout)
    assert (listed.returncode, listed.stderr[:13]) in ((0, "every machine"), (1, "")), listed.stderr
    assert "wake by rule before-lessons" in why.stdout
    assert "packet 1, through ash/servers-01, of 3 at most" in why.stdout
    truth = json.loads((tmp_path / "truth.json").read_text())
    for name in (row[0] for row in rows if row[3] == "awake"):
        seconds = truth["devices"][f"ash/{name}"]["seconds"]
        assert seconds["off"] + seconds["asleep"] > 0 < seconds["in_use"], f"{name} was away, and is on"
    assert truth["totals"]["commands"]["wake done"] >= done
