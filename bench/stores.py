"""How many device points a second each store takes, by size of call, beside the bare minimum on the same machine.

    python bench/stores.py [--points 60000] [--store sqlite|influx] [--json]

The bare minimum is `executemany` of ready-made rows with the same key and the same flush for each call, and an HTTP
POST of ready-made lines on one connection. Servers are private children on loopback, as in the tests.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rich.console import Console
from rich.table import Table

from caretaker_collector.stores.influx import InfluxStore, line
from caretaker_collector.stores.points import shape_of
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.metrics import MEASUREMENTS, Point
from caretaker_rules.ports import Store
from servers import Influx, influxd

SIZES = (100, 1_000, 5_000)
DEVICES = 3_000
T0_MS = 1_790_000_000_000
Write = Callable[[list[Point]], Awaitable[object]]


def device_points(count: int) -> list[Point]:
    """Reports of many devices, in order of time, as a school gives them."""
    return [
        Point(
            "device",
            (T0_MS + i) * 1_000_000 + i % 10_000,
            (f"school-{i % 8}", f"ict{i % 40}", "desktop", f"pc-{i % DEVICES:04}"),
            {
                "state": "idle",
                "epoch": "3f9a01c2",
                "boot": 5,
                "seq": i // DEVICES + 1,
                "in_use_s": 1_000 + i,
                "idle_s": 2_000 + i,
                "asleep_s": 30,
                "skew_s": 0.125,
                "input_age_s": 500,
                "session": True,
                "cpu_ratio": 0.02 + (i % 50) / 100,
                "memory_ratio": 0.58,
                "uptime_s": 10_000 + i,
            },
        )
        for i in range(count)
    ]


@contextlib.asynccontextmanager
async def _closing(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    finally:
        await store.close()


async def _rate(write: Write, points: list[Point], size: int) -> float:
    """Points a second, after one call to warm up (connection, statements, the library's import)."""
    await write(points[:size])
    began = time.perf_counter()
    for start in range(0, len(points), size):
        await write(points[start : start + size])
    return len(points) / (time.perf_counter() - began)


async def _read_rate(store: Store, count: int) -> float:
    began = time.perf_counter()
    found = await store.read("device", 0, 2**62)
    if len(found) != count:
        raise SystemExit(f"{count} points written, {len(found)} read")
    return count / (time.perf_counter() - began)


def _bare_sqlite(points: list[Point], size: int, path: Path) -> float:
    names = [metric.name for metric in MEASUREMENTS["device"]]
    columns = ["time_ns", "school", "room", "class", "device", *names]
    rows = [(point.time_ns, *point.tags, *(point.fields.get(name) for name in names)) for point in points]
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        f"CREATE TABLE device ({', '.join(columns)}, PRIMARY KEY ({', '.join(columns[:5])})) WITHOUT ROWID"
    )
    insert = f"INSERT OR REPLACE INTO device VALUES ({', '.join('?' * len(columns))})"
    began = time.perf_counter()
    for start in range(0, len(rows), size):
        database.execute("BEGIN")
        database.executemany(insert, rows[start : start + size])
        database.execute("COMMIT")
    spent_s = time.perf_counter() - began
    database.close()
    return len(points) / spent_s


def _bare_influx(points: list[Point], size: int, influx: Influx) -> float:
    lines = [line(point, shape_of(point)) for point in points]
    bodies = ["\n".join(lines[start : start + size]).encode() for start in range(0, len(lines), size)]
    path = "/api/v2/write?" + urlencode({"org": influx.org, "bucket": influx.bucket, "precision": "ns"})
    connection = http.client.HTTPConnection(urlsplit(influx.url).netloc)
    began = time.perf_counter()
    for body in bodies:
        connection.request("POST", path, body, {"Authorization": f"Token {influx.token}"})
        reply = connection.getresponse()
        if reply.read() or reply.status != 204:
            raise SystemExit(f"InfluxDB answered {reply.status}")
    spent_s = time.perf_counter() - began
    connection.close()
    return len(points) / spent_s


async def _bench_sqlite(points: list[Point]) -> list[dict[str, object]]:
    results = []
    with tempfile.TemporaryDirectory() as name:
        for size in SIZES:
            bare = _bare_sqlite(points, size, Path(name) / f"bare-{size}.db")
            async with _closing(SqliteStore(Path(name) / f"{size}.db")) as store:
                results.append(_result("sqlite", size, await _rate(store.write, points, size), bare))
                if size == SIZES[-1]:
                    results[-1]["read_per_s"] = round(await _read_rate(store, len(points)))
    return results


async def _bench_influx(points: list[Point]) -> list[dict[str, object]]:
    results = []
    with influxd() as server:
        for size in SIZES:
            bare = _bare_influx(points, size, server.fresh_bucket())
            own = server.fresh_bucket()
            async with _closing(InfluxStore(own.url, own.token, own.org, own.bucket)) as store:
                results.append(_result("influx", size, await _rate(store.write, points, size), bare))
                if size == SIZES[-1]:
                    results[-1]["read_per_s"] = round(await _read_rate(store, len(points)))
    return results


def _result(store: str, size: int, rate: float, bare: float) -> dict[str, object]:
    return {
        "store": store,
        "points_per_call": size,
        "points_per_s": round(rate),
        "bare_per_s": round(bare),
        "ratio": round(rate / bare, 2),
    }


STORES = {"sqlite": _bench_sqlite, "influx": _bench_influx}


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Points a second into each store.")
    parser.add_argument("--points", type=int, default=60_000)
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--json", action="store_true", help="one JSON line for each result")
    given = parser.parse_args()
    points = device_points(given.points)
    results = [result for name in given.store or STORES for result in await STORES[name](points)]
    if given.json:
        sys.stdout.writelines(json.dumps(result) + "\n" for result in results)
        return
    table = Table("store", "points a call", "points/s", "bare points/s", "ratio", "read points/s")
    keys = ("store", "points_per_call", "points_per_s", "bare_per_s", "ratio", "read_per_s")
    for result in results:
        table.add_row(*(str(result.get(key, "")) for key in keys))
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(_main())
