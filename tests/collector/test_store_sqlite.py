"""What only the SQLite store promises: durable when written, grows with the table of metrics, survives a full disk."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import MEASUREMENTS, Point
from servers import program

T0_NS = 1_790_000_000_000_000_000
TAGS = ("ash", "ict1", "desktop", "pc-1")


def _points(count: int, first: int = 0) -> list[Point]:
    return [Point("device", T0_NS + i, TAGS, {"state": "idle", "seq": i}) for i in range(first, first + count)]


CHILD = """
import asyncio, sys
from pathlib import Path
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.metrics import Point

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    tags = ("ash", "ict1", "desktop", "pc-1")
    for batch in range(int(sys.argv[2])):
        points = [Point("device", 1 + batch * 50 + i, tags, {"state": "idle", "seq": i}) for i in range(50)]
        assert await store.write(points) == []
        print((batch + 1) * 50, flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_every_write_is_flushed_to_the_disk_before_it_returns(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = program("strace", "strace")
    for writes, file in ((1, "one.db"), (41, "many.db")):
        child = [sys.executable, "-c", CHILD, str(tmp_path / file)]
        subprocess.run(
            [strace, "-f", "-e", "trace=fsync,fdatasync", "-o", f"{trace}-{writes}", *child, str(writes)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    flushes = {writes: Path(f"{trace}-{writes}").read_text().count("sync(") for writes in (1, 41)}
    assert flushes[41] - flushes[1] >= 40


@pytest.mark.slow
def test_what_write_returned_for_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for delay_s in (0.0, 0.01, 0.05):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), "100000"], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay_s)
        child.kill()
        printed = child.stdout.read().split()
        child.wait()
        promised = int(printed[-1]) if printed else 50
        database = sqlite3.connect(path)
        [[stored]] = database.execute("SELECT count(*) FROM device")
        database.close()
        assert stored >= promised
        assert stored % 50 == 0, "a call is stored as a whole or not at all"


async def test_columns_that_the_table_of_metrics_gained_are_added_to_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old = sqlite3.connect(path)
    old.execute(
        "CREATE TABLE device (time_ns INTEGER NOT NULL, school TEXT NOT NULL, room TEXT NOT NULL, class TEXT NOT NULL, "
        "device TEXT NOT NULL, state TEXT, watts REAL, gone TEXT, PRIMARY KEY (time_ns, school, room, class, device)) "
        "WITHOUT ROWID"
    )
    old.execute("INSERT INTO device VALUES (?, ?, ?, ?, ?, 'off', 1.5, 'x')", (T0_NS, *TAGS))
    old.commit()
    old.close()
    store = SqliteStore(path)
    new = Point("device", T0_NS + 1, TAGS, {"state": "idle", "seq": 1, "session": False})
    assert await store.write([new]) == []
    assert await store.read("device", 0, 2**62) == [Point("device", T0_NS, TAGS, {"state": "off", "watts": 1.5}), new]
    assert await store.count("transition") == 0
    await store.close()


async def test_two_stores_may_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"{attempt}.db"
        stores = [SqliteStore(path) for _ in range(2)]
        await asyncio.gather(
            *(store.write(_points(10, 10 * i)) for i, store in enumerate(stores)),
            *(store.count("device") for store in stores),
        )
        assert await stores[0].count("device") == 20
        for store in stores:
            await store.close()


async def test_a_missing_folder_is_named_and_once_made_the_store_works(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "later" / "store.db")
    with pytest.raises(Unavailable, match=r"make the folder .*/later"):
        await store.write(_points(1))
    (tmp_path / "later").mkdir()
    assert await store.write(_points(1)) == []
    await store.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("not a database, but long enough to be read as the header of one. " * 20)
    store = SqliteStore(path)
    with pytest.raises(Unavailable, match=rf"{path}.*not a database.*move this file away"):
        await store.count("device")
    await store.close()


async def test_a_file_that_was_moved_away_is_made_afresh_and_not_written_behind_its_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.write(_points(5))
    for file in tmp_path.iterdir():
        file.rename(tmp_path / f"away-{file.name}")
    await store.write(_points(3, 5))
    assert [point.fields["seq"] for point in await store.read("device", 0, 2**62)] == [5, 6, 7]
    assert sqlite3.connect(path).execute("SELECT count(*) FROM device").fetchone() == (3,)
    assert sqlite3.connect(tmp_path / "away-store.db").execute("SELECT count(*) FROM device").fetchone() == (5,)
    await store.close()


async def test_another_process_that_holds_the_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, busy_s=5)
    await store.write(_points(1))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.write(_points(2)))
    await asyncio.sleep(0.1)
    assert not writing.done()
    assert len(await store.read("device", 0, 2**62)) == 1, "reading goes on meanwhile"
    holder.execute("COMMIT")
    assert await writing == []
    assert await store.count("device") == 2
    holder.close()
    await store.close()


FULL_DISK = """
import asyncio, json, subprocess, sys
from pathlib import Path
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point

async def main():
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], check=True)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    store = SqliteStore(disk / "store.db")
    tags = ("ash", "ict1", "desktop", "pc-1")
    written, words = 0, ""
    for batch in range(200):
        points = [Point("device", 1 + batch * 1500 + i, tags, {"state": "idle", "seq": i}) for i in range(1500)]
        try:
            await store.write(points)
        except Unavailable as error:
            words = words or str(error)
            kept = await store.count("device")
            assert kept == written, (kept, written)
            ballast.unlink(missing_ok=True)
            await store.write(points)
        written += 1500
        if words:
            break
    await store.write([Point("device", 10**9, tags, {"state": "off"})])
    print(json.dumps({"words": words, "written": written, "stored": await store.count("device")}))
    await store.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_full_disk_is_unavailable_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    alone = [program("unshare", "util-linux"), *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", FULL_DISK, str(disk)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "full" in result["words"] and f"free space on the disk of {disk}" in result["words"]
    assert result["stored"] == result["written"] + 1 > 1500


BAD_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    tags = ("ash", "ict1", "desktop", "pc-1")
    points = [Point("device", 1 + i, tags, {"state": "idle", "seq": i}) for i in range(3000)]
    await store.write(points[:10])
    failures = []
    for size in (60_000, 100_000, 150_000):
        limit(size)
        for _ in range(2):
            try:
                await store.write(points)
            except Unavailable as error:
                failures.append(str(error))
            assert await store.count("device") == 10
    limit(resource.RLIM_INFINITY)
    await store.write(points)
    print(json.dumps({"failures": failures, "stored": await store.count("device")}))
    await store.close()

asyncio.run(main())
"""


def test_a_disk_that_fails_to_write_is_unavailable_and_the_next_call_starts_afresh(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BAD_DISK, str(tmp_path / "store.db")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["failures"]) == 6
    assert all("disk I/O error" in words for words in result["failures"])
    assert result["stored"] == 3000


async def test_a_mistake_in_the_middle_of_a_transaction_does_not_block_the_next_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")

    def mistake(database: sqlite3.Connection) -> None:
        database.execute("BEGIN IMMEDIATE")
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        await store._writing.run(mistake)
    assert await store.write(_points(2)) == []
    assert await store.count("device") == 2
    await store.close()


@pytest.mark.slow
async def test_a_busy_event_loop_does_not_starve_the_writer(tmp_path: Path) -> None:
    """4,000 rows take about 0.1 s; in a plain executor 15 s, and with executemany far longer."""
    store = SqliteStore(tmp_path / "store.db")
    await store.write(_points(1))
    began = time.monotonic()
    writing = asyncio.create_task(store.write(_points(4_000)))
    while not writing.done():
        sum(range(20_000))  # the loop has other work
        await asyncio.sleep(0)
        assert time.monotonic() - began < 4
    await writing
    await store.close()


def test_every_measurement_has_a_table_keyed_by_time_first(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def make() -> None:
        store = SqliteStore(path)
        await store.count("device")
        await store.close()

    asyncio.run(make())
    database = sqlite3.connect(path)
    for measurement in MEASUREMENTS:
        key = sorted((row[5], row[1]) for row in database.execute(f"PRAGMA table_info({measurement})") if row[5])
        assert [name for _, name in key] == ["time_ns", "school", "room", "class", "device"]
    database.close()
