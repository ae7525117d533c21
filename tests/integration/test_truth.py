"""What the collector concludes, held against what the simulated machines really did."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from caretaker_collector.days.rollup import reading_of
from caretaker_collector.settings import load_collector
from caretaker_collector.stores import open_store
from caretaker_contract import signing
from caretaker_contract.clock import Clock, fast_clock
from caretaker_rules.rollup import Reading, totals
from caretaker_simulator.estate import write_demo_estate
from servers import Mosquitto, free_port
from worlds import World, collecting, eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HEARTBEAT_S = 300
SPEED = 240
AFTERNOON = int(datetime(2026, 10, 6, 14, 30, tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)
OBSERVE = Path(__file__).parents[2] / "rules" / "policies" / "observe.toml"


def demo_world(folder: Path, broker_port: int) -> World:
    """The demo's two schools with a policy that only observes."""
    write_demo_estate(folder, OBSERVE)
    key = signing.new_key()
    (folder / "command.key").write_text(bytes(key).hex())
    (folder / "command.pub").write_text(signing.public_text(key) + "\n")
    http_port = free_port()
    (folder / "collector.toml").write_text(
        'estate = "estate.toml"\ndata = "data"\n\n[signing]\nkey_file = "command.key"\n\n'
        f"[broker]\nport = {broker_port}\n\n[http]\nport = {http_port}\n"
    )
    return World(folder, broker_port, http_port, key, [])


@contextmanager
def simulator(world: World, clock: Clock, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The fleet as a process of its own on the same clock."""
    command = [sys.executable, "-m", "caretaker_simulator", "run", "--port", str(world.broker_port)]
    command += ["--estate", str(world.folder), "--public-key-file", str(world.folder / "command.pub")]
    command += ["--truth-out", str(world.folder / "truth.json"), "--seed", "11", *options]
    with (world.folder / "simulator.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **clock.to_environment()})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


async def test_seconds_per_state_agree_within_one_heartbeat(plain_broker: Mosquitto, tmp_path: Path) -> None:
    """With 10 % of messages lost, the rest late, shuffled and some doubled, each machine's totals are the truth's."""
    world = demo_world(tmp_path, plain_broker.port)
    clock = fast_clock(AFTERNOON, SPEED)
    lossy = ("--loss", "0.1", "--shuffle", "120", "--duplicates", "0.05", "--schools", "ash")
    with collecting(world, clock) as collector:
        with simulator(world, clock, *lossy, "--for", "45", "--roll-call", "--linger", "8") as fleet:
            assert fleet.wait(150) == 0, (tmp_path / "simulator.log").read_text()[-2000:]
        truth = json.loads((tmp_path / "truth.json").read_text())
        published = truth["totals"]["published"]
        stored = lambda: world.stored("device") + world.stored("command")  # noqa: E731 (read again at each look)
        eventually(lambda: stored() == published, 20, lambda: (stored(), published, world.counters()))
        counters = world.counters()
        assert collector.stop() == 0
    assert counters["gaps_closed"] > 50  # the loss was real
    assert counters["duplicates"] > 50
    assert counters.get("dropped", 0) == counters.get("quarantined", 0) == 0

    settings = load_collector(world.config)
    store = open_store(settings.store, Path(settings.data))
    by_device: dict[str, list[Reading]] = {}
    for point in await store.read("device", 0, 2**42):
        by_device.setdefault(f"{point.tags[0]}/{point.tags[3]}", []).append(reading_of(point))
    await store.close()
    assert len(by_device) == len(truth["devices"]) == 328
    worst = 0.0
    for device, facts in truth["devices"].items():
        found = totals(by_device[device], truth["start_ms"], truth["end_ms"])
        for state, real_s in facts["seconds"].items():
            worst = max(worst, abs(getattr(found, f"{state}_s") - real_s))
            assert abs(getattr(found, f"{state}_s") - real_s) <= HEARTBEAT_S, (device, found, facts["seconds"])
    assert worst > 0  # figures to the exact second would mean that the truth was copied, not measured
