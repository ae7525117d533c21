"""The real agent killed with -9, again and again, and the broker and the collector now and then with it."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

import pytest

from caretaker_agent.outbox import Cursor, Outbox
from caretaker_collector import memory
from caretaker_collector.numbering import Numbering
from caretaker_contract.clock import Clock, fast_clock
from caretaker_contract.messages import Outcome, Report, decode
from caretaker_contract.metrics import point_time_ns
from caretaker_contract.signing import public_text
from fault_count import sqlite_rows
from fault_devices import Row
from servers import mosquitto
from worlds import NOW_MS, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
KILLS = 24
SPEED = 60.0  # with a heartbeat of a second: as many reports a second as it looks at the machine, about twenty


@dataclass
class RealAgent:
    """`caretaker-agent run` as a process, in the place of the world's first device."""

    world: World
    clock: Clock
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        """Its own folder."""
        return self.world.folder / "agent"

    def write_settings(self) -> None:
        """agent.toml"""
        address = self.world.devices[0]
        (self.world.folder / "agent.toml").write_text(
            f'school = "{address.school}"\ndevice = "{address.device}"\nroom = "ict1"\ndevice_class = "desktop"\n'
            f'state_dir = "agent"\ncommand_keys = ["{public_text(self.world.key)}"]\nheartbeat_s = 1\npoll_s = 1\n'
            f'\n[broker]\nhost = "127.0.0.1"\nport = {self.world.broker_port}\n'
        )

    def start(self) -> None:
        """Start it; returns at once."""
        with (self.world.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "caretaker_agent", "run", "--config", str(self.world.folder / "agent.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.clock.to_environment()},
            )

    def wait_for_a_message(self) -> None:
        """Until it has numbered one more."""
        before = self._outbox_bytes()
        eventually(lambda: self._outbox_bytes() > before, 10, self.log)

    def _outbox_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.state / "outbox").glob("*.log"))

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait; AssertionError when it had ended by itself before."""
        assert self.process is not None
        assert self.process.poll() is None, f"the agent ended with {self.process.returncode}:\n{self.log()}"
        self.process.send_signal(number)
        self.process.wait(15)

    def log(self) -> str:
        """The end of its log."""
        return (self.world.folder / "agent.log").read_text()[-3000:]

    @contextmanager
    def cleared(self) -> Iterator["RealAgent"]:
        """Killed with the block, if it still runs."""
        try:
            yield self
        finally:
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)

    def made(self) -> list[Report | Outcome]:
        """All that it ever numbered, in the order of its outbox (which is far from full here)."""
        outbox = Outbox(self.state / "outbox", 8 * 2**20)
        try:
            found = [decode(record.kind, record.payload) for record in outbox.read(Cursor())]
        finally:
            outbox.close()
        return [message for message in found if isinstance(message, Report | Outcome)]


def test_a_killed_agent_uses_no_number_twice_and_everything_it_made_is_stored(tmp_path: Path) -> None:
    """Every eighth time collector and broker are killed with it, and the broker's queue is lost: the outbox has it."""
    rng = random.Random(7)
    clock = fast_clock(NOW_MS, SPEED)
    with mosquitto(persistence=True) as broker:
        world = make_world(tmp_path, broker.port, devices=1, tick_s=5.0)
        agent = RealAgent(world, clock)
        agent.write_settings()
        with collecting(world, clock) as collector, agent.cleared():
            for number in range(KILLS):
                agent.start()
                if number % 2:
                    agent.wait_for_a_message()
                time.sleep(rng.uniform(0.0, 0.5))
                if number % 8 == 5:  # what the broker confirms now waits in it, and goes with it
                    collector.kill()
                    time.sleep(0.4)
                    broker.kill()
                    broker.start()
                    collector.start(wait=False)
                agent.end(signal.SIGKILL)
            agent.start()
            eventually(lambda: (collector.health() or {}).get("problems") == {}, 20, collector.log)
            before = _numberings(world, published)
            eventually(
                lambda: _numberings(world, published) > before, 20, agent.log
            )  # the agent tries less often by now
            time.sleep(1.0)  # so that what the last kills took is missed, and asked for
            eventually(lambda: _numberings(world, missing) == 0, 30, agent.log)
            agent.end(signal.SIGTERM)
            made = agent.made()
            eventually(lambda: not _unaccounted(world, made), 15, lambda: f"{_unaccounted(world, made)}\n{agent.log()}")
    assert any(isinstance(message, Outcome) for message in made), "it was never asked to send again: nothing is proved"
    numbers = [(message.epoch, message.boot, message.seq) for message in made]
    assert len(numbers) > 60, f"only {len(numbers)} messages: nothing is proved"
    assert len({epoch for epoch, _, _ in numbers}) == 1, "it lost its memory and began a new epoch"
    assert numbers == sorted(set(numbers)), "a number was used twice, or out of order"
    _meters_never_fall([message for message in made if isinstance(message, Report)])


def _numberings(world: World, count: Callable[[Numbering], int]) -> int:
    """What the collector knows of the agent's numbers; -1 when it knows nothing yet."""
    db = world.state()
    try:
        entry = memory.load(db).entries.get(world.devices[0])
    finally:
        db.close()
    return sum(count(numbering) for numbering in entry.numberings.epochs) if entry else -1


missing, published = methodcaller("missing_count"), methodcaller("published")


def _unaccounted(world: World, made: list[Report | Outcome]) -> list[str]:
    """Where store and counters differ from what the agent made."""
    faults = []
    name = world.devices[0].device
    for kind, measurement in ((Report, "device"), (Outcome, "command")):
        expected: dict[Row, tuple[int, int]] = {
            (name, point_time_ns(message.at_ms, *message.key)): message.key
            for message in made
            if isinstance(message, kind)
        }
        stored = sqlite_rows(world, measurement)
        lost = sorted(expected[row] for row in expected.keys() - set(stored))
        strange = sorted(set(stored) - expected.keys())
        faults += [f"{measurement}: not stored: {len(lost)} numbers, {lost[:10]}"] if lost else []
        faults += [f"{measurement}: stored, though it is in no outbox: {strange[:10]}"] if strange else []
        faults += [f"{measurement}: {len(stored)} rows for {len(expected)}"] if len(stored) != len(expected) else []
    counted = world.counters()
    told = counted.get("reports", 0) + counted.get("outcomes", 0)
    faults += [f"{told} counted, {len(made)} made"] if told != len(made) else []
    lost_ = counted.get("quarantined", 0) + counted.get("dropped", 0)
    faults += [f"{lost_} quarantined or dropped"] if lost_ else []
    return faults


def _meters_never_fall(reports: list[Report]) -> None:
    for before, after in itertools.pairwise(reports):
        for meter in ("in_use_s", "idle_s", "asleep_s"):
            assert getattr(after.meters, meter) >= getattr(before.meters, meter), f"{meter} fell: {before} -> {after}"
