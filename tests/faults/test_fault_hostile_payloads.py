"""Ten thousand hostile messages among good ones: put aside with a reason and counted, and nobody waits for them."""

import asyncio
import random
import sqlite3
import threading
import time
from pathlib import Path

import psutil
import pytest

from caretaker_contract.clock import Clock, fast_clock
from caretaker_contract.topics import Kind
from fault_count import same_state, settle, sqlite_rows
from fault_devices import Fleet
from fault_hostile import BIG, Hostile, endless, hostile, send_all, send_what_no_client_lets_through
from servers import mosquitto
from worlds import NOW_MS, CollectorProcess, Stream, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
FLOOD = 5_000
"""Messages of 60 kB: 286 MB."""
STALL_S = 4.0
"""For how long nothing good may be stored. Far more than needed, far less than a stall."""


def test_ten_thousand_hostile_messages_are_put_aside_and_the_good_stream_does_not_stall(tmp_path: Path) -> None:
    with mosquitto() as broker:
        world, clock = make_world(tmp_path, broker.port, devices=8), Clock()
        rng = random.Random(5)
        messages = hostile(rng, 10_000, world.devices)
        kept = [m for m in messages[:500] if m.retain]  # retained: there before the collector comes for the first time
        asyncio.run(send_all(broker.port, kept))
        messages = [m for m in messages if m not in kept]
        fleet = Fleet(world, clock, seed=5, rate=100)
        with collecting(world, clock) as collector:
            eventually(lambda: (collector.health() or {}).get("status") == "ok", 10, collector.log)
            with fleet.running():
                time.sleep(0.5)
                _watch_while(lambda: asyncio.run(send_all(broker.port, messages)), world, collector)
                assert send_what_no_client_lets_through(broker.port) == 5
                settle(fleet, collector, within_s=20)
            same_state(world, fleet)
        _counted(world, messages, kept)
        _one_restart_more(world, fleet, collector)


def test_a_device_that_lies_about_endless_numbers_cannot_stop_the_collector_for_good(tmp_path: Path) -> None:
    """All within the contract, and all in one batch: the sum of what it gives up is larger than 64 bits hold."""
    with mosquitto() as broker:
        world = make_world(tmp_path, broker.port)
        stream = Stream(world.devices[0])
        good = [Hostile(*stream.wire(stream.report())) for _ in range(50)]
        with collecting(world) as collector:
            eventually(lambda: (collector.health() or {}).get("status") == "ok", 10, collector.log)
            collector.kill()
            asyncio.run(send_all(broker.port, endless(1_200) + good))
            collector.start()
            eventually(lambda: world.counters().get("reports") == 1_200 + 50, 15, collector.log)
            eventually(lambda: world.stored() == 1_200 + 50, 15, collector.log)
            health = collector.health()
            assert health is not None and not health["problems"], collector.log()
            assert collector.stop() == 0, collector.log()
            collector.start()  # and what it wrote, it can read


def _watch_while(work, world: World, collector: CollectorProcess) -> None:  # type: ignore[no-untyped-def]
    """Do `work` beside; meanwhile good messages are stored all the time, and the collector calls itself well."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    best, since_s, looks = 0, time.monotonic(), 0
    while thread.is_alive():
        now_s, good = time.monotonic(), len(sqlite_rows(world, "device"))
        if good > best:
            best, since_s = good, now_s
        assert now_s - since_s < STALL_S, f"no good message was stored for {STALL_S} s: {collector.health()}"
        health = collector.health()
        assert health is not None and not health["problems"], f"{health}\n{collector.log()}"
        looks += 1
        time.sleep(0.1)
    assert looks > 5, "it was over too soon to see anything"


def _counted(world: World, messages: list[Hostile], kept: list[Hostile]) -> None:
    """As many are put aside as break the contract, each with its reason."""
    bad = sum(m.breaks_the_contract for m in messages)
    # Of several retained on one topic the last one stands; the collector saw only that.
    standing = {m.topic: m for m in kept}
    bad += sum(m.breaks_the_contract for m in standing.values())
    assert bad > 7_000, f"only {bad} of {len(messages)} break the contract: nothing is proved"
    assert world.counters()["quarantined"] == bad
    db = world.state()
    try:
        rows, reasons = db.execute("SELECT count(*), sum(reason != '') FROM quarantine").fetchone()
    finally:
        db.close()
    assert (rows, reasons) == (bad, bad)


def _one_restart_more(world: World, fleet: Fleet, collector: CollectorProcess) -> None:
    """What was put aside once is not met again after a restart."""
    before = world.counters()
    collector.start()
    eventually(lambda: (collector.health() or {}).get("status") == "ok", 10, collector.log)
    assert collector.stop() == 0, collector.log()
    after = world.counters()
    assert {name: after[name] for name in ("quarantined", "reports")} == {
        name: before[name] for name in ("quarantined", "reports")
    }


def test_a_flood_that_the_disk_does_not_take_waits_at_the_broker_and_not_in_the_collectors_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 kB at a time, unasked (QoS 0, so no limit of unconfirmed messages holds it back), while the journal is locked.

    The good stream (QoS 1) loses nothing: what the broker drops of it in its need, the devices send again.
    """
    monkeypatch.setenv(
        "MALLOC_MMAP_THRESHOLD_", "32768"
    )  # what it lets go of is gone at once, so that only what it holds counts
    with mosquitto(max_queued_bytes=64 * 2**20) as broker:
        clock = fast_clock(NOW_MS, 30.0)
        world = make_world(tmp_path, broker.port, devices=4, tick_s=5.0)
        fleet = Fleet(world, clock, seed=9, rate=50)
        flood = [Hostile(world.devices[0].topic(Kind.REPORT), bytes(BIG), qos=0)] * FLOOD
        with collecting(world, clock) as collector:
            eventually(lambda: (collector.health() or {}).get("status") == "ok", 10, collector.log)
            assert collector.process is not None
            process = psutil.Process(collector.process.pid)
            with fleet.running():
                time.sleep(0.5)
                before = process.memory_info().rss
                lock = sqlite3.connect(world.data / "journal.db", isolation_level=None)
                lock.execute("BEGIN IMMEDIATE")  # a disk that does not answer; SQLite waits 5 s for it
                thread = threading.Thread(target=lambda: asyncio.run(send_all(broker.port, flood)), daemon=True)
                thread.start()
                most, end_s = before, time.monotonic() + 4.0
                while time.monotonic() < end_s:
                    most = max(most, process.memory_info().rss)
                    time.sleep(0.05)
                lock.execute("ROLLBACK")
                lock.close()
                thread.join(60)
                settle(fleet, collector, within_s=30)
                after = process.memory_info().rss
    for when, rss in (("while the journal was locked", most), ("after it", after)):
        grown_mb = (rss - before) / 2**20
        assert grown_mb < 150, f"the collector has grown by {grown_mb:.0f} MB {when}; {FLOOD * BIG / 2**20:.0f} MB came"
