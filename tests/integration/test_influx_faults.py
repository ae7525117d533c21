"""What InfluxDB, and the way to it, can do to a write or a read, on a real server behind a proxy that misbehaves."""

import http.client
import math
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import pytest

from caretaker_collector.stores.influx import InfluxStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point
from servers import PARTIAL_WRITE, FaultyHttp, Influx

pytestmark = pytest.mark.slow
WRITE, QUERY = "/api/v2/write", "/query"
T0_NS = 1_790_000_000_000_000_000


@pytest.fixture
def proxy(influx: Influx) -> Iterator[FaultyHttp]:
    """Between the store and InfluxDB."""
    with FaultyHttp(influx.url) as made:
        yield made


@pytest.fixture
async def store(influx: Influx, proxy: FaultyHttp) -> AsyncIterator[InfluxStore]:
    """A store that goes through the proxy."""
    made = InfluxStore(proxy.url, influx.token, influx.org, influx.bucket, timeout_s=0.5)
    yield made
    await made.close()


@pytest.fixture
def school() -> str:
    """A school of the test's own."""
    return f"school-{uuid.uuid4().hex[:8]}"


def _points(school: str, count: int, start_ns: int = T0_NS) -> list[Point]:
    tags = (school, "ict1", "desktop", "pc-1")
    return [Point("device", start_ns + i, tags, {"state": "idle", "seq": i}) for i in range(count)]


def _lonely_week() -> int:
    """A time whose shard (a week) holds nothing else: InfluxDB 1.x and 2.x keep the types of fields for each shard."""
    return random.randrange(500, 1500) * 7 * 86_400 * 1_000_000_000


def _plant(influx: Influx, lines: str) -> None:
    """Write as somebody else does, with other types."""
    connection = http.client.HTTPConnection(urlsplit(influx.url).netloc, timeout=5)
    arguments = urlencode({"org": influx.org, "bucket": influx.bucket, "precision": "ns"})
    connection.request("POST", f"{WRITE}?{arguments}", lines.encode(), {"Authorization": f"Token {influx.token}"})
    reply = connection.getresponse()
    assert reply.status == 204, reply.read()
    connection.close()


async def _seqs(store: InfluxStore, school: str) -> list[object]:
    return [point.fields.get("seq") for point in await store.read("device", -(2**62), 2**62, school)]


async def test_points_that_clash_in_type_with_what_is_there_are_returned_and_the_others_stored(
    store: InfluxStore, influx: Influx, proxy: FaultyHttp, school: str
) -> None:
    week_ns = _lonely_week()
    _plant(influx, f"device,school=elsewhere watts=1i {week_ns}")
    points = _points(school, 1_000, week_ns)
    for at in (17, 400, 999):
        points[at] = replace(points[at], fields={**points[at].fields, "watts": 1.5})
    refused = await store.write(points)
    assert sorted(point.time_ns - week_ns for point, _ in refused) == [17, 400, 999]
    assert all("type conflict" in reason and "watts" in reason for _, reason in refused)
    assert await _seqs(store, school) == [i for i in range(1_000) if i not in (17, 400, 999)]
    assert proxy.requests(WRITE) <= 4 + 3 * 2 * math.ceil(math.log2(1_000))


async def test_when_all_points_clash_one_answer_is_enough(
    store: InfluxStore, influx: Influx, proxy: FaultyHttp, school: str
) -> None:
    week_ns = _lonely_week()
    _plant(influx, f'device,school=elsewhere seq="one" {week_ns}')
    points = _points(school, 400, week_ns)
    refused = await store.write(points)
    assert [point for point, _ in refused] == points
    assert proxy.requests(WRITE) == 1
    assert await _seqs(store, school) == []


async def test_a_partial_write_that_cannot_be_confirmed_leaves_every_point_stored(
    store: InfluxStore, proxy: FaultyHttp, school: str
) -> None:
    proxy.answer(400, PARTIAL_WRITE, forward=True, path=WRITE, times=1)
    points = _points(school, 64)
    assert await store.write(points) == []
    assert await _seqs(store, school) == list(range(64))
    assert proxy.requests(WRITE) == 3


async def test_a_request_that_is_too_long_is_halved_until_it_fits(
    store: InfluxStore, proxy: FaultyHttp, school: str
) -> None:
    proxy.answer(413, b"<html>413 Request Entity Too Large</html>", path=WRITE, times=3)
    assert await store.write(_points(school, 64)) == []
    assert await _seqs(store, school) == list(range(64))


@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_a_server_that_is_not_well_is_unavailable_at_once_and_takes_the_points_later(
    store: InfluxStore, proxy: FaultyHttp, school: str, status: int
) -> None:
    proxy.refuse(status)
    points = _points(school, 100)
    with pytest.raises(Unavailable, match=str(status)):
        await store.write(points)
    assert proxy.requests(WRITE) == 1, "no retry in here: the journal's position is the retry"
    with pytest.raises(Unavailable, match=str(status)):
        await store.read("device", 0, 2**62)
    proxy.pass_on()
    assert await store.write(points) == []
    assert await _seqs(store, school) == list(range(100))


async def test_a_400_that_is_not_influxdb_s_own_says_nothing_about_the_data(
    store: InfluxStore, proxy: FaultyHttp, school: str
) -> None:
    proxy.answer(400, b"<html>400 The plain HTTP request was sent to HTTPS port</html>")
    with pytest.raises(Unavailable, match="400"):
        await store.write(_points(school, 10))
    assert proxy.requests(WRITE) == 1


async def test_a_server_that_is_too_slow_is_unavailable_and_nothing_is_doubled(
    store: InfluxStore, proxy: FaultyHttp, school: str
) -> None:
    points = _points(school, 100)
    proxy.slow(5)
    with pytest.raises(Unavailable, match="does not answer: Timeout"):
        await store.write(points)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.read("device", 0, 2**62)
    proxy.pass_on()
    assert await store.write(points) == []
    assert await _seqs(store, school) == list(range(100))


@pytest.mark.parametrize("forward", [False, True], ids=["before", "after"])
async def test_a_connection_that_breaks_before_or_after_the_work_is_unavailable_and_nothing_is_doubled(
    store: InfluxStore, proxy: FaultyHttp, school: str, forward: bool
) -> None:
    points = _points(school, 100)
    proxy.drop(forward=forward)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.write(points)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.count("device")
    proxy.pass_on()
    assert await store.write(points) == []
    assert await _seqs(store, school) == list(range(100))


async def test_when_one_of_several_requests_fails_the_whole_call_is_unavailable(
    store: InfluxStore, proxy: FaultyHttp, school: str
) -> None:
    points = [
        replace(point, tags=(school, "ict1", "desktop", f"pc-{i}")) for i, point in enumerate(_points(school, 5000))
    ]
    proxy.refuse(503, path=WRITE, times=1)
    with pytest.raises(Unavailable):
        await store.write(points)
    assert await store.write(points) == []
    assert await _seqs(store, school) == list(range(5_000))


async def test_wrong_settings_are_unavailable_and_name_the_setting(influx: Influx, school: str) -> None:
    cases = [
        (InfluxStore(influx.url, "wrong", influx.org, influx.bucket), "401.*token_file"),
        (InfluxStore(influx.url, influx.token, influx.org, "none-such"), r"404.*bucket \('none-such'\)"),
        (InfluxStore(f"{influx.url}/elsewhere", influx.token, influx.org, influx.bucket), "404.*url"),
    ]
    for store, words in cases:
        with pytest.raises(Unavailable, match=words):
            await store.write(_points(school, 3))
        await store.close()
    for store, words in [
        (InfluxStore(influx.url, "wrong", influx.org, influx.bucket), "401.*token_file"),
        (InfluxStore(influx.url, influx.token, influx.org, "none-such"), "none-such"),
    ]:
        with pytest.raises(Unavailable, match=words):
            await store.read("device", 0, 1)
        await store.close()


async def test_an_answer_that_breaks_off_or_is_not_ours_is_unavailable_and_never_a_short_reading(
    store: InfluxStore, proxy: FaultyHttp
) -> None:
    whole = b'{"results":[{"series":[{"columns":["time","school","room","class","device","state"],"values":[]}]'
    for answer in (
        whole + b',"partial":true}]}\n',
        whole,
        b"<html>Welcome</html>",
        b'{"results":[{"error":"timeout"}]}',
    ):
        proxy.answer(200, answer, path=QUERY)
        with pytest.raises(Unavailable):
            await store.read("device", 0, 1)
    proxy.answer(200, whole + b"}]}\n", path=QUERY)
    assert await store.read("device", 0, 1) == []


async def test_fields_have_the_types_of_the_table_of_metrics(store: InfluxStore, influx: Influx, school: str) -> None:
    point = Point(
        "device",
        T0_NS,
        (school, "ict1", "desktop", "pc-1"),
        {"state": "idle", "seq": 1, "watts": 5, "cpu_ratio": 1e-9, "session": False},
    )
    assert await store.write([point]) == []
    found: set[tuple[str, str]] = set()
    async for series in store._query('SHOW FIELD KEYS FROM "device"'):
        found.update((name, kind) for name, kind in series.values)
    expected = {"state": "string", "seq": "integer", "watts": "float", "cpu_ratio": "float", "session": "boolean"}
    assert set(expected.items()) <= found


async def test_data_of_a_type_that_we_never_write_reads_as_absent(
    store: InfluxStore, influx: Influx, school: str
) -> None:
    tags = f"class=desktop,device=pc-1,room=ict1,school={school}"
    _plant(influx, f'device,{tags} state="idle",seq="seven",watts=2i,cpu_ratio=true {_lonely_week()}')
    [point] = await store.read("device", -(2**62), 2**62, school)
    assert point.fields == {"state": "idle", "watts": 2.0}
