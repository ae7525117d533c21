"""A full disk under the journal, the state and the store: the collector waits, says so, and loses nothing.

The disk is a small tmpfs over the collector's data folder, in a mount namespace of its own: it needs no root, nobody
else sees it, and it goes with the test. So the test runs itself again, inside.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caretaker_contract.clock import fast_clock
from caretaker_contract.messages import Verb
from fault_count import same_state, settle
from fault_devices import POLICY, Fleet
from servers import mosquitto
from worlds import NOW_MS, CollectorProcess, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
INSIDE = "CARETAKER_TEST_INSIDE"
DISK_MB = 24


def test_a_full_disk_loses_nothing_and_work_goes_on_when_room_comes_back(tmp_path: Path) -> None:
    """Twice in one stream, with commands under way; the collector stays up and names the full disk."""
    if os.environ.get(INSIDE):
        _inside(tmp_path)
        return
    options = ["-q", "-p", "no:cacheprovider", "--show-capture=no", "--basetemp", str(tmp_path / "inside")]
    again = subprocess.run(
        [*_namespace(), sys.executable, "-m", "pytest", *options, __file__],
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert again.returncode == 0, again.stdout[-8000:] + again.stderr[-2000:]


def _namespace() -> list[str]:
    """How to start a programme that may mount."""
    for command in (["unshare", "-rm"], ["unshare", "-m"]):
        if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
            return command
    pytest.skip("this system allows no mount, not even in a namespace of one's own (unshare -rm)")


def _inside(folder: Path) -> None:
    clock = fast_clock(NOW_MS, 30.0)
    with mosquitto() as broker:
        world = make_world(folder / "world", broker.port, devices=24, policy=POLICY, tick_s=5.0)
        world.data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(world.data)], check=True)
        fleet = Fleet(world, clock, seed=7, rate=200)
        with collecting(world, clock) as collector:
            eventually(lambda: (collector.health() or {}).get("status") == "ok", 15, collector.log)
            with fleet.running():
                for _ in range(2):
                    time.sleep(1.0)
                    _fill(world)
                    eventually(lambda: "journal.db" in _trouble(collector), 30, lambda: f"{_trouble(collector)!r}")
                    assert "full" in _trouble(collector), (
                        f"/healthz does not say that the disk is full: {_trouble(collector)}"
                    )
                    time.sleep(1.0)
                    assert collector.process is not None and collector.process.poll() is None, collector.log()
                    (world.data / "filler").unlink()
                    eventually(lambda: _trouble(collector) == "", 20, collector.log)
                settle(fleet, collector, within_s=30)
            same_state(world, fleet)
        assert fleet.asked[Verb.REPLAY] == 0, "what the journal did not take was confirmed to the broker"
        assert fleet.asked[Verb.SHUT_DOWN] > 0, "no command was under way: that is not proved"
        assert max(fleet.seen.values()) == 1, "a command came more than once"


def _fill(world: World) -> None:
    """Take all the room that is left."""
    with (world.data / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass  # that is the point


def _trouble(collector: CollectorProcess) -> str:
    """What /healthz says about parts that do not work."""
    assert collector.process is not None and collector.process.poll() is None, f"it has ended:\n{collector.log()}"
    health = collector.health()
    return "" if health is None else " | ".join(f"{part}: {problem}" for part, problem in health["problems"].items())
