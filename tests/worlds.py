"""Small worlds for tests: a school's settings on disk, numbered streams of messages, the collector as a process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from caretaker_contract import signing
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Cause, Gauges, Hello, Meters, PowerState, Report, Verb, encode
from caretaker_contract.topics import Address, Kind
from servers import free_port

NOW_MS = 1_791_000_000_000  # Sat 3 Oct 2026; streams that need no live clock start here


@dataclass
class World:
    """One school on disk, ready for `caretaker collect --config`."""

    folder: Path
    broker_port: int
    http_port: int
    key: SigningKey
    devices: list[Address]

    @property
    def config(self) -> Path:
        """collector.toml"""
        return self.folder / "collector.toml"

    @property
    def data(self) -> Path:
        """The folder with journal.db, state.db and store.db."""
        return self.folder / "data"

    def state(self) -> sqlite3.Connection:
        """The collector's state file, to read."""
        return sqlite3.connect(f"file:{self.data / 'state.db'}?mode=ro", uri=True, timeout=10)

    def counters(self) -> dict[str, int]:
        """What the collector has counted, on disk."""
        db = self.state()
        try:
            return dict(db.execute("SELECT name, value FROM counters").fetchall())
        finally:
            db.close()

    def stored(self, measurement: str = "device") -> int:
        """Points in the SQLite store; 0 while it is not made."""
        if not (self.data / "store.db").exists():
            return 0
        db = sqlite3.connect(f"file:{self.data / 'store.db'}?mode=ro", uri=True, timeout=10)
        try:
            return int(db.execute(f"SELECT count(*) FROM {measurement}").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # the file is there and its tables are just being made
        finally:
            db.close()


def make_world(
    folder: Path,
    broker_port: int,
    devices: int = 4,
    store: str = '[store]\nkind = "sqlite"\npath = "store.db"\n',
    policy: str = "",
    tick_s: float = 0.5,
    data: Path | None = None,
) -> World:
    """Write settings for school `ash` with `devices` desktops in room `ict1`, never booked."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"pc-{number:03}" for number in range(devices)]
    rows = "\n".join(f"{name},ict1,desktop,," for name in names)
    (folder / "ash.csv").write_text(f"device,room,class,mac,tags\n{rows}\n")
    if policy:
        (folder / "policy.toml").write_text(policy)
    (folder / "estate.toml").write_text(
        'provider = "Test"\n\n'
        '[[schools]]\nname = "ash"\ntitle = "Ashfield"\ndevices = "ash.csv"\n'
        + ('policy = "policy.toml"\n' if policy else "")
        + '\n[[schools.rooms]]\nname = "ict1"\ntitle = "ICT suite 1"\nlessons = []\n\n'
        '[[classes]]\nname = "desktop"\nwatts_in_use = 90\nwatts_idle = 80\nwatts_asleep = 3\nwatts_off = 2.6\n'
    )
    key = signing.new_key()
    (folder / "command.key").write_text(bytes(key).hex())
    http_port = free_port()
    (folder / "collector.toml").write_text(
        f'estate = "estate.toml"\ndata = "{data or "data"}"\ntick_s = {tick_s}\n\n'
        f'[broker]\nhost = "127.0.0.1"\nport = {broker_port}\n\n'
        f'[http]\nhost = "127.0.0.1"\nport = {http_port}\n\n'
        f'[signing]\nkey_file = "command.key"\n\n{store}'
    )
    return World(folder, broker_port, http_port, key, [Address("ash", name) for name in names])


@dataclass
class Stream:
    """The numbered messages of one device: `report()` makes the next one. Keeps all of them, as an outbox would."""

    address: Address
    epoch: str = "0000abcd"
    boot: int = 1
    prev: int = 0
    seq: int = 0
    at_ms: int = NOW_MS
    meters: dict[str, int] = field(default_factory=lambda: {"in_use_s": 0, "idle_s": 0, "asleep_s": 0})
    state: PowerState = PowerState.IN_USE
    made: dict[tuple[int, int], Report] = field(default_factory=dict)

    def report(
        self,
        state: PowerState | None = None,
        step_s: int = 10,
        cause: Cause = Cause.HEARTBEAT,
        at_ms: int | None = None,
        gauges: Gauges | None = None,
    ) -> Report:
        """The next message, `step_s` seconds after the last one unless `at_ms` says when."""
        self.seq += 1
        before, self.at_ms = self.at_ms, self.at_ms + step_s * 1000 if at_ms is None else at_ms
        name = {PowerState.IN_USE: "in_use_s", PowerState.IDLE: "idle_s", PowerState.ASLEEP: "asleep_s"}.get(self.state)
        if name:
            self.meters[name] += (self.at_ms - before) // 1000 if at_ms is None else step_s
        was, self.state = self.state, state or self.state
        report = Report(
            epoch=self.epoch,
            boot=self.boot,
            seq=self.seq,
            prev=self.prev,
            at_ms=self.at_ms,
            sent_ms=self.at_ms,
            state=self.state,
            was=was,
            cause=cause,
            meters=Meters(**self.meters),
            gauges=gauges or Gauges(session=self.state is PowerState.IN_USE),
        )
        self.made[self.boot, self.seq] = report
        return report

    def reboot(self) -> None:
        """The next boot begins."""
        self.boot, self.prev, self.seq = self.boot + 1, self.seq, 0

    def hello(self, at_ms: int) -> tuple[str, bytes]:
        """Topic and payload of its hello."""
        hello = Hello(
            device_class="desktop",
            room="ict1",
            epoch=self.epoch,
            boot=self.boot,
            seq=self.seq,
            abilities=[Verb.SHUT_DOWN, Verb.WARN, Verb.CANCEL, Verb.REPLAY],
            at_ms=at_ms,
        )
        return self.address.topic(Kind.HELLO), encode(hello)

    def wire(self, report: Report) -> tuple[str, bytes]:
        """Topic and payload of a report."""
        return self.address.topic(Kind.REPORT), encode(report)


@dataclass
class CollectorProcess:
    """`caretaker collect` as a process of its own."""

    world: World
    clock: Clock = field(default_factory=Clock)
    process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        """Start it; with `wait` until it answers on /healthz."""
        with (self.world.folder / "collector.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "caretaker_collector", "collect", "--config", str(self.world.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.clock.to_environment()},
            )
        if wait:
            eventually(lambda: self.health() is not None, 20, self.log)

    def kill(self) -> None:
        """kill -9"""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def health(self) -> dict[str, Any] | None:
        """What /healthz says; None while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.world.http_port}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return None

    def log(self) -> str:
        """The end of its log."""
        return (self.world.folder / "collector.log").read_text()[-4000:]


@contextmanager
def collecting(world: World, clock: Clock | None = None) -> Iterator[CollectorProcess]:
    """A running collector that is ended with the test."""
    process = CollectorProcess(world, clock or Clock())
    process.start()
    try:
        yield process
    finally:
        if process.process is not None and process.process.poll() is None:
            process.process.kill()
            process.process.wait(10)


def eventually(condition: Callable[[], bool], within_s: float, explain: Callable[[], object] = lambda: "") -> None:
    """Wait until the condition holds; AssertionError with `explain()` when it does not."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s: {explain()}"
        time.sleep(0.05)
