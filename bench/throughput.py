"""Reports per second through broker, journal, rules and store in one collector process; see README.md beside this.

python bench/throughput.py                 1,000, 10,000 and 100,000 devices, about two and a half minutes
python bench/throughput.py --quick         1,000 and 10,000 devices, shorter windows
python bench/throughput.py --json          also writes bench-out/throughput.json
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import load

from servers import mosquitto
from worlds import CollectorProcess, World, eventually, make_world

SPREAD = multiprocessing.get_context("spawn")
WINDOW = 15_000
"""Messages sent and not yet stored, at most: the load is as much as is taken, never more."""
WARM = 30_000
"""Messages before the measured window, at least: caches are full and buffers at their size."""
PACED_RATE = 3_334
"""A million machines at the default heartbeat of 5 minutes."""
LARGE = 100_000
RULES = """\
mode = "live"
[limits]
per_minute = 12
room_percent = 50
school_percent = 25
[doubt]
reconnect_wait = "1 s"
[keep_on]
booked_within = "20 min"
[[rules]]
name = "idle"
select = { classes = ["desktop"] }
hours = ["mon-sun 00:00-24:00"]
idle_for = "30 min"
do = "shut_down"
warn_for = "2 min"
"""
LESSONS = '["mon-fri 09:00-10:00", "mon-fri 10:15-11:15", "mon-fri 11:30-12:30", "mon-fri 13:30-14:30"]'
ROOM_OF = 30


@dataclass
class Result:
    """What one number of devices gave."""

    devices: int
    reports_per_s: float = 0.0  # stored, over the measured window
    new_devices_per_s: float = 0.0  # messages a second while every device is heard for the first time
    collector_cpu_s: float = 0.0  # CPU seconds per 1,000 reports, in the measured window
    broker_cpu_s: float = 0.0
    collector_cores: float = 0.0  # processors busy with it
    paced_lag_p50_s: float = 0.0  # from the broker's acknowledgement to the store, at PACED_RATE
    paced_lag_p95_s: float = 0.0
    paced_lag_max_s: float = 0.0
    paced_cores: float = 0.0
    rss_started_mb: float = 0.0  # the register is read, nobody was heard
    rss_known_mb: float = 0.0  # every device is known, under load
    commands_sent: int = 0
    catch_up_messages: int = 0
    catch_up_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class Meter:
    """CPU and memory of one process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Resident memory now, in 10^6 bytes."""
        return float(self._process.memory_info().rss) / 1e6


class Load:
    """The generator's process, and how much of what it sent has reached the store."""

    def __init__(self, port: int, devices: int, cores: list[int]) -> None:
        self._allowed, self._sent = SPREAD.Value("q", 0), SPREAD.Value("q", 0)
        arguments = (port, devices, cores, self._allowed, self._sent)
        self._process = SPREAD.Process(target=load.generate, args=arguments, daemon=True)
        self._process.start()

    @property
    def sent(self) -> int:
        """Messages that the broker has taken."""
        return int(self._sent.value)

    def allow(self, total: int) -> None:
        """Send until `total` messages are out."""
        assert self._process.is_alive(), "the generator has ended; its words are above"
        self._allowed.value = max(total, self._allowed.value)

    def end(self) -> None:
        """Stop it."""
        self._allowed.value = -1
        self._process.join(10)


def make_estate(folder: Path, broker_port: int, devices: int, tick_s: float) -> World:
    """Settings for `devices` desktops in schools of 328, 30 to a room, with lessons and a rule that is live."""
    world = make_world(folder, broker_port, tick_s=tick_s, policy=RULES)
    parts = ['provider = "Bench"\n']
    for first in range(0, devices, load.SCHOOL_OF):
        machines = [load.address(number) for number in range(first, min(devices, first + load.SCHOOL_OF))]
        school = machines[0].school
        rows = [f"{one.device},ict{at // ROOM_OF + 1},desktop,," for at, one in enumerate(machines)]
        (folder / f"{school}.csv").write_text("device,room,class,mac,tags\n" + "\n".join(rows) + "\n")
        parts.append(
            f'[[schools]]\nname = "{school}"\ntitle = "{school}"\ndevices = "{school}.csv"\npolicy = "policy.toml"'
        )
        parts += [
            f'[[schools.rooms]]\nname = "ict{room + 1}"\nlessons = {LESSONS}'
            for room in range((len(machines) - 1) // ROOM_OF + 1)
        ]
    parts.append(
        '[[classes]]\nname = "desktop"\nwatts_in_use = 90\nwatts_idle = 80\nwatts_asleep = 3\nwatts_off = 2.6\n'
    )
    (folder / "estate.toml").write_text("\n".join(parts))
    return world


class Watch:
    """Reads the collector's saved positions: what both readers of the journal have dealt with is done."""

    def __init__(self, world: World) -> None:
        self._db = world.state()

    def done(self) -> int:
        """Messages through rules and store, on disk."""
        rows = dict(self._db.execute("SELECT reader, pos FROM positions").fetchall())
        return min(rows.get("core", 0), rows.get("recorder", 0))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def run_until(sending: Load, watch: Watch, total: int, within_s: float, window: int = WINDOW) -> float:
    """Send up to `total` messages, as fast as they are taken; returns the seconds until all are stored."""
    began = time.monotonic()
    while (done := watch.done()) < total:
        if time.monotonic() - began > within_s:
            raise TimeoutError(f"{done} of {total} messages stored after {within_s:.0f} s")
        sending.allow(min(total, done + window))
        time.sleep(0.01)
    return time.monotonic() - began


def measure(size: int, seconds: float, paced_s: float, catch_up: int, own: list[int], others: list[int]) -> Result:
    """One collector from start to end with `size` devices."""
    result = Result(size)
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="caretaker-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.sched_setaffinity(0, own)  # children inherit it, threads and all
        broker = stack.enter_context(mosquitto())
        world = make_estate(folder / "world", broker.port, size, tick_s=seconds)
        collector = CollectorProcess(world)
        stack.callback(lambda: collector.process and collector.process.poll() is None and collector.kill())
        start(collector)
        os.sched_setaffinity(0, others)
        assert collector.process is not None
        meter, broker_meter = Meter(collector.process.pid), Meter(broker.child.pid)
        result.rss_started_mb = meter.rss_mb()
        sending = Load(broker.port, size, others)
        stack.callback(sending.end)
        watch = Watch(world)
        stack.callback(watch.close)

        known = 2 * size  # every device: its hello and its first report
        result.new_devices_per_s = known / run_until(sending, watch, known, 60 + known / 500)
        run_until(sending, watch, max(known, WARM), 60)

        at, cpu, broker_cpu, done = time.monotonic(), meter.cpu_s(), broker_meter.cpu_s(), watch.done()
        while time.monotonic() - at < seconds:
            sending.allow(watch.done() + WINDOW)
            time.sleep(0.01)
        took, stored = time.monotonic() - at, watch.done() - done
        result.reports_per_s = stored / took
        result.collector_cores = (meter.cpu_s() - cpu) / took
        result.collector_cpu_s = (meter.cpu_s() - cpu) / stored * 1000
        result.broker_cpu_s = (broker_meter.cpu_s() - broker_cpu) / stored * 1000
        result.rss_known_mb = meter.rss_mb()
        drain(sending, watch)
        pace(result, sending, watch, meter, paced_s)
        drain(sending, watch)

        if catch_up:
            collector.stop()
            result.catch_up_messages = catch_up
            total = sending.sent + catch_up
            sending.allow(total)
            eventually(lambda: sending.sent >= total, 60)
            os.sched_setaffinity(0, own)
            began = time.monotonic()
            collector.start(wait=False)
            os.sched_setaffinity(0, others)
            while watch.done() < total:
                assert time.monotonic() - began < 120, f"not caught up: {watch.done()} of {total}; {collector.log()}"
                time.sleep(0.01)
            result.catch_up_s = time.monotonic() - began
        account(result, sending, world)
        collector.stop()
    return result


def start(collector: CollectorProcess) -> None:
    """Start it and wait: a register of 100,000 devices takes its time to read."""
    collector.start(wait=False)
    eventually(lambda: (collector.health() or {}).get("status") == "ok", 120, collector.log)


def drain(sending: Load, watch: Watch) -> None:
    """Until all that was sent is stored and nothing more is on its way."""
    while True:
        before = sending.sent
        time.sleep(0.2)
        if before == sending.sent == watch.done():
            return


def pace(result: Result, sending: Load, watch: Watch, meter: Meter, seconds: float) -> None:
    """A steady load: how long from the broker's word to the store."""
    at, first, cpu = time.monotonic(), sending.sent, meter.cpu_s()
    sent_at: list[float] = []
    sent: list[int] = []
    lags: list[float] = []
    stored = first
    while (passed := time.monotonic() - at) < seconds:
        sending.allow(first + int(PACED_RATE * passed))
        sent_at.append(time.monotonic())
        sent.append(sending.sent)
        done = watch.done()
        if done > stored:  # the oldest of those that have just been stored waited longest
            lags.append(time.monotonic() - sent_at[min(bisect_left(sent, stored + 1), len(sent) - 1)])
            stored = done
        time.sleep(0.003)
    result.paced_cores = (meter.cpu_s() - cpu) / seconds
    lags.sort()
    result.paced_lag_p50_s, result.paced_lag_p95_s = lags[len(lags) // 2], lags[len(lags) * 95 // 100]
    result.paced_lag_max_s = lags[-1]


def account(result: Result, sending: Load, world: World) -> None:
    """Everything that was sent has to be there once: a fast collector that loses is worth nothing."""
    counters, stored = world.counters(), world.stored()
    result.commands_sent = counters.get("commands_sent", 0)
    reports = sending.sent - result.devices
    for name, want in (("received", sending.sent), ("reports", reports), ("quarantined", 0), ("duplicates", 0)):
        if counters.get(name, 0) != want:
            result.faults.append(f"{name}: {counters.get(name, 0)}, not {want}")
    if stored != reports:
        result.faults.append(f"points in the store: {stored}, not {reports}")


def plain_loop(devices: int, seconds: float, own: list[int], others: list[int]) -> tuple[float, float]:
    """Messages a second that a consumer takes which only acknowledges; and its CPU seconds per 1,000."""
    os.sched_setaffinity(0, own)
    with mosquitto() as broker:
        done = SPREAD.Value("q", -1)
        consumer = SPREAD.Process(target=load.consume, args=(broker.port, own, done), daemon=True)
        consumer.start()
        os.sched_setaffinity(0, others)
        eventually(lambda: done.value == 0, 20)
        sending = Load(broker.port, devices, others)
        try:
            eventually(lambda: sending.allow(done.value + WINDOW) or done.value > WARM, 30)
            at, count, cpu = time.monotonic(), done.value, Meter(consumer.pid).cpu_s()
            while time.monotonic() - at < seconds:
                sending.allow(done.value + WINDOW)
                time.sleep(0.002)
            took, taken, cpu_s = time.monotonic() - at, done.value - count, Meter(consumer.pid).cpu_s() - cpu
        finally:
            sending.end()
            consumer.kill()
    return taken / took, cpu_s / taken * 1000


def split_cores() -> tuple[list[int], list[int]]:
    """Two processors for broker and collector, and the rest (or the same two) for the load."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[:2], cores[2:] or cores


ROWS = (
    ("reports stored a second", "reports_per_s", ",.0f"),
    ("  as a share of the plain loop", "share", ".2f"),
    ("messages a second while all devices are new", "new_devices_per_s", ",.0f"),
    ("collector: CPU s per 1,000 reports", "collector_cpu_s", ".4f"),
    ("collector: processors busy", "collector_cores", ".2f"),
    ("broker: CPU s per 1,000 reports", "broker_cpu_s", ".4f"),
    (f"lag at {PACED_RATE:,} a second: median s", "paced_lag_p50_s", ".3f"),
    ("  95th percentile s", "paced_lag_p95_s", ".3f"),
    ("  longest s", "paced_lag_max_s", ".3f"),
    ("  collector: processors busy", "paced_cores", ".2f"),
    ("memory with the register read, MB", "rss_started_mb", ".0f"),
    ("memory with all devices known, MB", "rss_known_mb", ".0f"),
    ("commands sent meanwhile", "commands_sent", ",d"),
    ("messages that waited in the broker at a restart", "catch_up_messages", ",d"),
    ("  seconds from start to stored", "catch_up_s", ".1f"),
)


def table(columns: list[dict[str, object]]) -> Iterator[str]:
    """The results side by side."""
    yield f"{'devices':48}" + "".join(f"{column['devices']:>12,}" for column in columns)
    for title, name, form in ROWS:
        cells = [format(column[name], form) if column[name] else "-" for column in columns]
        yield f"{title:48}" + "".join(f"{cell:>12}" for cell in cells)


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 devices, shorter windows")
    parser.add_argument("--json", action="store_true", help="write bench-out/throughput.json too")
    parser.add_argument("--devices", type=int, nargs="+", help="other numbers of devices")
    parser.add_argument("--seconds", type=float, help="the measured window")
    given = parser.parse_args()
    sizes = given.devices or ([1_000, 10_000] if given.quick else [1_000, 10_000, 100_000])
    own, others = split_cores()
    load_before = os.getloadavg()[0]
    elsewhere = f"load from {others}" if others != own else "load on the same ones"
    print(f"broker and collector on processors {own}, {elsewhere}; load average before: {load_before:.1f}")
    plain, plain_cpu = plain_loop(10_000, 3.0 if given.quick else 5.0, own, others)
    print(f"plain loop, which only acknowledges: {plain:,.0f} messages a second, {plain_cpu:.4f} CPU s per 1,000")
    results = []
    for size in sizes:
        # The window is as long as the time between two looks of the rules, so that one of them falls into it.
        seconds = given.seconds or (30.0 if size >= LARGE else 4.0 if given.quick else 10.0)
        catch_up = (20_000 if given.quick else 60_000) if size == 10_000 else 0
        results.append(measure(size, seconds, 3.0 if given.quick else 5.0, catch_up, own, others))
        print(f"{size:,} devices: {results[-1].reports_per_s:,.0f} a second", *results[-1].faults, sep="; ", flush=True)
    columns = [asdict(result) | {"share": result.reports_per_s / plain} for result in results]
    print("", *table(columns), sep="\n")
    per_device = None
    if len(results) > 1:
        (low, *_, high), devices = results, results[-1].devices - results[0].devices
        per_device = (high.rss_known_mb - low.rss_known_mb) * 1e6 / devices
        register = (high.rss_started_mb - low.rss_started_mb) * 1e6 / devices
        print(f"memory per device: {per_device:.0f} bytes, of which its line of the register {register:.0f}")
    if given.json:
        out = Path("bench-out")
        out.mkdir(exist_ok=True)
        document = {
            "plain_loop_per_s": plain,
            "bytes_per_device": per_device,
            "processors": {"collector_and_broker": own, "load": others, "load_average_before": load_before},
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "sizes": columns,
        }
        (out / "throughput.json").write_text(json.dumps(document, indent=2) + "\n")
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
