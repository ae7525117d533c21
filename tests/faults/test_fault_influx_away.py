"""InfluxDB stopped, refusing, slow, breaking off, taking a part only: the store lags, then has everything once."""

import http.client
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from caretaker_contract.clock import Clock
from caretaker_contract.messages import Report
from caretaker_contract.metrics import point_time_ns
from fault_count import settle
from fault_devices import Fleet, Row
from servers import PARTIAL_WRITE, FaultyHttp, Influx
from servers import Mosquitto as Broker
from worlds import CollectorProcess, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
WRITE = "/api/v2/write"


@pytest.fixture
def proxy(own_influx: Influx) -> Iterator[FaultyHttp]:
    """Between the collector and an InfluxDB of the test's own."""
    with FaultyHttp(own_influx.url) as made:
        yield made


def test_an_influxdb_that_fails_in_every_way_only_makes_the_store_lag(
    broker: Broker, own_influx: Influx, proxy: FaultyHttp, tmp_path: Path
) -> None:
    """Six outages in one stream; the collector receives and decides in each, says what is wrong, and catches up."""
    world, clock = _world(tmp_path, broker, own_influx, proxy), Clock()
    fleet = Fleet(world, clock, seed=3, rate=300)
    outages: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("refuses with 503", lambda: proxy.refuse(503), proxy.pass_on),
        ("is too slow", lambda: proxy.slow(20), proxy.pass_on),
        ("breaks off before the work", proxy.drop, proxy.pass_on),
        ("breaks off after the work", lambda: proxy.drop(forward=True), proxy.pass_on),
        ("is stopped", own_influx.stop, own_influx.start),
        ("refuses with 429", lambda: proxy.refuse(429), proxy.pass_on),
    ]
    with collecting(world, clock) as collector, fleet.running():
        for name, begin, end in outages:
            begin()
            eventually(lambda: _problem(collector, "store"), 10, lambda n=name: f"InfluxDB {n}, and /healthz is happy")
            before = _position(world, "core")
            eventually(lambda b=before: _position(world, "core") > b + 100, 10, lambda n=name: f"the core waits: {n}")
            end()
            eventually(lambda: not _problem(collector, "store"), 15, lambda n=name: f"not back: {n}: {collector.log()}")
        settle(fleet, collector, within_s=30, rows=lambda _, measurement: _rows(own_influx, measurement))
        assert world.counters().get("quarantined", 0) == 0


def test_points_that_clash_in_type_are_put_aside_and_all_others_stored(
    broker: Broker, own_influx: Influx, proxy: FaultyHttp, tmp_path: Path
) -> None:
    """A real partial write: somebody else wrote watts as a whole number, so what two devices measure is refused.

    Then partial writes of which the halves are taken: nobody can be blamed, so nothing is put aside.
    """
    world, clock = _world(tmp_path, broker, own_influx, proxy), Clock()
    day_ns = clock.now_ms() * 1_000_000
    for week in (-1, 0, 1):  # InfluxDB 1.x keeps types for each shard, which is a week
        _plant(own_influx, f"device,school=elsewhere watts=1i {day_ns + week * 7 * 86_400 * 10**9}")
    fleet = Fleet(world, clock, seed=4, rate=200)
    measured = list(fleet.devices.values())[:2]
    for device in measured:
        device.watts_every = 10
    refused: Callable[[], list[Row]] = lambda: [  # noqa: E731
        (device.address.device, point_time_ns(message.at_ms, *key))
        for device in measured
        for key, message in dict(device.kept).items()
        if isinstance(message, Report) and message.gauges.watts is not None
    ]
    with collecting(world, clock) as collector, fleet.running():
        eventually(lambda: world.counters().get("quarantined", 0) > 10, 20, collector.log)
        for _ in range(3):
            proxy.refuse(503)  # until many points wait, so that they come in one request
            time.sleep(0.7)
            proxy.answer(400, PARTIAL_WRITE, forward=True, path=WRITE, times=1)
            eventually(lambda: not _problem(collector, "store"), 10, collector.log)
        settle(fleet, collector, 30, lambda _, measurement: _rows(own_influx, measurement), refused)
    db = world.state()
    reasons = db.execute("SELECT reason FROM quarantine").fetchall()
    db.close()
    assert len(reasons) == len(refused())
    assert all("type conflict" in reason and "watts" in reason for (reason,) in reasons)


def _world(folder: Path, broker: Broker, influx: Influx, proxy: FaultyHttp) -> World:
    store = (
        f'[store]\nkind = "influx"\nurl = "{proxy.url}"\ntoken_file = "token"\norg = "{influx.org}"\n'
        f'bucket = "{influx.bucket}"\ntimeout_s = 1.0\n'
    )
    world = make_world(folder, broker.port, devices=12, store=store)
    (folder / "token").write_text(influx.token)
    world.data.mkdir()
    (world.data / "token").write_text(influx.token)
    return world


def _problem(collector: CollectorProcess, part: str) -> str:
    return str((collector.health() or {}).get("problems", {}).get(part, ""))


def _position(world: World, reader: str) -> int:
    db = world.state()
    try:
        row = db.execute("SELECT pos FROM positions WHERE reader = ?", (reader,)).fetchone()
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()
    return int(row[0]) if row else 0


def _plant(influx: Influx, line: str) -> None:
    status, body = _ask(influx, "POST", f"{WRITE}?{_arguments(influx, precision='ns')}", line.encode())
    assert status == 204, body


def _rows(influx: Influx, measurement: str) -> list[Row]:
    """What InfluxDB holds, asked past the proxy."""
    first = {"device": "state", "command": "id"}[measurement]
    query = f'SELECT "device", "{first}" FROM "{measurement}" WHERE "school" = \'ash\''
    status, body = _ask(influx, "GET", f"/query?{_arguments(influx, db=influx.bucket, q=query, epoch='ns')}")
    assert status == 200, body
    series = json.loads(body)["results"][0].get("series", [])
    return [(device, time_ns) for part in series for time_ns, device, _ in part["values"]]


def _arguments(influx: Influx, **more: str) -> str:
    return urlencode({"org": influx.org, "bucket": influx.bucket, **more})


def _ask(influx: Influx, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(influx.url).netloc, timeout=5)
    try:
        connection.request(method, path, body, {"Authorization": f"Token {influx.token}"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
