"""What every store has to do, run against each adapter: a new store adds one `World` to WORLDS and passes all of this.

The InfluxDB half runs on a real server; a named server (CARETAKER_TEST_INFLUX_URL) keeps what it is given, so each test
writes and reads a school of its own.
"""

import asyncio
import random
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caretaker_collector.stores.influx import InfluxStore
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import MEASUREMENTS, FieldValue, Metric, Point
from caretaker_rules.ports import Store
from servers import Influx, influxd

T0_MS = 1_790_000_000_000  # 2026-09-21
SAMPLES: dict[str, FieldValue] = {"int": 7, "float": 0.1, "bool": True, "str": "idle"}


@dataclass
class World:
    """One store under test. `open` makes another adapter on the same data; within `down` nothing can be written."""

    store: Store
    school: str
    open: Callable[[], Store]
    down: Callable[[], AbstractAsyncContextManager[None]]

    def point(
        self, at_ms: int = T0_MS, device: str = "pc-1", measurement: str = "device", **fields: FieldValue
    ) -> Point:
        """A point of this test's school; without fields, a full one."""
        values = fields or {metric.name: SAMPLES[metric.type] for metric in MEASUREMENTS[measurement]}
        return Point(measurement, at_ms * 1_000_000, (self.school, "ict1", "desktop", device), values)

    async def all(self, measurement: str = "device") -> list[Point]:
        """Everything of this test's school."""
        return await self.store.read(measurement, 0, 2**62, school=self.school)


@asynccontextmanager
async def _sqlite_world(path: Path) -> AsyncIterator[World]:
    @asynccontextmanager
    async def down() -> AsyncIterator[None]:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.close()

    def open_store() -> Store:
        return SqliteStore(path, busy_s=0.1)

    store = open_store()
    await store.count("device")  # makes the file
    yield World(store, f"school-{uuid.uuid4().hex[:8]}", open_store, down)
    await store.close()


@asynccontextmanager
async def _influx_world(influx: Influx) -> AsyncIterator[World]:
    @asynccontextmanager
    async def down() -> AsyncIterator[None]:
        influx.stop()
        try:
            yield
        finally:
            influx.start()

    def open_store() -> Store:
        return InfluxStore(influx.url, influx.token, influx.org, influx.bucket)

    store = open_store()
    yield World(store, f"school-{uuid.uuid4().hex[:8]}", open_store, down)
    await store.close()


WORLDS = ["sqlite", pytest.param("influx", marks=pytest.mark.slow)]


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each store in turn."""
    if request.param == "sqlite":
        async with _sqlite_world(tmp_path / "store.db") as made:
            yield made
    else:
        async with _influx_world(request.getfixturevalue("influx")) as made:
            yield made


@pytest.fixture(params=WORLDS)
async def own_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Each store in turn, on a server that the test may stop."""
    if request.param == "sqlite":
        async with _sqlite_world(tmp_path / "store.db") as made:
            yield made
    else:
        with influxd() as server:
            async with _influx_world(server) as made:
                yield made


@pytest.mark.parametrize("measurement", MEASUREMENTS)
async def test_every_field_of_every_measurement_comes_back_as_it_went_in(world: World, measurement: str) -> None:
    point = world.point(measurement=measurement)
    assert await world.store.write([point]) == []
    [back] = await world.all(measurement)
    assert back == point
    assert [type(value) for value in back.fields.values()] == [type(value) for value in point.fields.values()]


async def test_fields_that_were_not_given_stay_absent(world: World) -> None:
    point = world.point(state="off", seq=3)
    await world.store.write([point])
    assert [found.fields for found in await world.all()] == [{"state": "off", "seq": 3}]


async def test_writing_the_same_points_again_changes_nothing(world: World) -> None:
    points = [world.point(T0_MS + i, state="idle", seq=i, cpu_ratio=i / 7) for i in range(50)]
    await world.store.write(points)
    before = await world.store.count("device")
    await world.store.write(points[::-1])
    await world.store.write(points + points)
    assert await world.all() == points
    assert await world.store.count("device") == before


async def test_a_rewrite_replaces_the_fields_that_it_gives_and_keeps_the_others(world: World) -> None:
    await world.store.write([world.point(state="idle", seq=1, watts=20.5)])
    await world.store.write([world.point(state="in_use", session=True)])
    assert [point.fields for point in await world.all()] == [
        {"state": "in_use", "seq": 1, "watts": 20.5, "session": True}
    ]


async def test_of_two_versions_of_a_point_in_one_call_the_later_one_stays(world: World) -> None:
    old = [world.point(T0_MS, f"pc-{i}", "device_day", in_use_s=1, boots=1) for i in range(1501)]
    new = [world.point(T0_MS, f"pc-{i}", "device_day", in_use_s=2) for i in range(1501)]
    assert await world.store.write(old + new) == []
    found = await world.all("device_day")
    assert len(found) == 1501
    assert all(point.fields == {"in_use_s": 2, "boots": 1} for point in found)


async def test_points_come_back_in_order_of_time_then_tags_however_they_were_written(world: World) -> None:
    points = [world.point(T0_MS + i // 3, f"pc-{i % 3}", state="idle", seq=i) for i in range(300)]
    shuffled = points[:]
    random.Random(4).shuffle(shuffled)
    for start in range(0, 300, 37):
        await world.store.write(shuffled[start : start + 37])
    assert await world.all() == points


async def test_a_window_holds_its_start_and_not_its_end(world: World) -> None:
    await world.store.write([world.point(T0_MS + i, state="idle", seq=i) for i in range(5)])

    async def seqs(start_ms: int, end_ms: int) -> list[FieldValue]:
        return [point.fields["seq"] for point in await world.store.read("device", start_ms, end_ms, world.school)]

    assert await seqs(T0_MS + 1, T0_MS + 3) == [1, 2]
    assert await seqs(T0_MS + 4, T0_MS + 5) == [4]
    assert await seqs(T0_MS + 5, T0_MS + 9) == []
    assert await seqs(T0_MS + 2, T0_MS + 2) == []
    assert await seqs(-(2**70), 2**70) == [0, 1, 2, 3, 4]


async def test_times_keep_their_nanoseconds(world: World) -> None:
    odd = replace(world.point(state="idle"), time_ns=T0_MS * 1_000_000 + 123_457)
    await world.store.write([odd])
    assert await world.all() == [odd]
    assert await world.store.read("device", T0_MS, T0_MS + 1, world.school) == [odd]


async def test_a_long_reading_has_every_point_once_though_many_share_a_time(world: World) -> None:
    points = [world.point(T0_MS + i // 4_500, f"pc-{i % 4_500:04}", state="idle", seq=i) for i in range(9_000)]
    await world.store.write(points)
    assert await world.all() == points
    assert await world.store.read("device", 0, 2**62, world.school, "pc-0007") == [points[7], points[4_507]]


async def test_reading_can_be_limited_to_a_school_or_a_device(world: World) -> None:
    other = f"{world.school}-x"
    here = [world.point(T0_MS + i, f"pc-{i % 2}", state="idle", seq=i) for i in range(6)]
    there = [replace(point, tags=(other, *point.tags[1:])) for point in here]
    await world.store.write(here + there)
    assert await world.all() == here
    assert await world.store.read("device", 0, 2**62, other, "pc-1") == there[1::2]
    both = await world.store.read("device", T0_MS, T0_MS + 9, device="pc-0")
    assert [point for point in both if point.tags[0] in (world.school, other)] == sorted(
        here[::2] + there[::2], key=lambda point: (point.time_ns, point.tags)
    )
    assert await world.store.read("device", 0, 2**62, world.school, "pc-9") == []
    assert await world.store.read("device", 0, 2**62, "no such school") == []


def _day(world: World, device: str, room: str, day: int, **fields: FieldValue) -> Point:
    time_ns = (T0_MS + day * 86_400_000) * 1_000_000
    return Point("device_day", time_ns, (world.school, room, "desktop", device), {"in_use_s": 0, **fields})


async def test_sums_are_made_by_tags_and_span_and_school(world: World) -> None:
    points = [
        _day(world, f"pc-{number}", "ict1" if number < 3 else "it's", day, owed_s=100 * number + day, energy_wh=0.5)
        for number in range(5)
        for day in range(4)
    ]
    other = replace(points[0], tags=(f"{world.school}-b", "ict1", "desktop", "pc-0"))
    assert await world.store.write([*points, other]) == []
    span = (T0_MS + 86_400_000, T0_MS + 3 * 86_400_000)  # days 1 and 2
    fields = ("owed_s", "energy_wh")
    by_room = await world.store.sums("device_day", fields, *span, ("school", "room"), school=world.school)
    assert by_room == {
        (world.school, "ict1"): {"owed_s": 2 * 300 + 3 * 3, "energy_wh": 3.0},
        (world.school, "it's"): {"owed_s": 2 * 700 + 2 * 3, "energy_wh": 2.0},
    }
    assert all(type(value) is float for sums in by_room.values() for value in sums.values())
    whole = await world.store.sums("device_day", ("owed_s",), *span, school=world.school)
    assert whole == {(): {"owed_s": 2015.0}}
    schools = await world.store.sums("device_day", ("owed_s",), T0_MS, T0_MS + 1, ("school",))
    mine = {key: value for key, value in schools.items() if key[0].startswith(world.school)}
    assert mine == {(world.school,): {"owed_s": 1000.0}, (f"{world.school}-b",): {"owed_s": 0.0}}


async def test_sums_leave_out_what_no_point_has(world: World) -> None:
    points = [_day(world, "pc-0", "ict1", 0), _day(world, "pc-1", "lib", 0, owed_s=5), _day(world, "pc-2", "lib", 0)]
    await world.store.write(points)
    span = (T0_MS, T0_MS + 1)
    found = await world.store.sums("device_day", ("owed_s", "down_s"), *span, ("room",), school=world.school)
    assert found == {("lib",): {"owed_s": 5.0}}
    assert await world.store.sums("device_day", ("owed_s",), *span, ("room",), school="nobody") == {}
    assert await world.store.sums("device_day", ("owed_s",), 0, 1, school=world.school) == {}


async def test_sums_of_what_is_no_number_are_a_mistake(world: World) -> None:
    for fields, by in ((("state",), ()), (("owed_s",), ()), ((), ()), (("seq",), ("colour",))):
        with pytest.raises(ValueError, match=r"no sums of device|no tags"):
            await world.store.sums("device", fields, 0, 1, by)


async def test_sums_rewritten_points_count_once(world: World) -> None:
    for owed_s in (7, 9):
        await world.store.write([_day(world, "pc-0", "ict1", 0, owed_s=owed_s)])
    assert await world.store.sums("device_day", ("owed_s",), 0, 2**62, school=world.school) == {(): {"owed_s": 9.0}}


AWKWARD = [
    "two words", " ", "comma,comma", "a=b", 'say "hi"', "it's", "school/room", "Zoë", "教室", "🙂", "50 %", "--",
    "; DROP", "' OR '1'='1", "$1", "{x}", "%s", "a" * 300, "",
]  # fmt: skip


@pytest.mark.parametrize("text", AWKWARD)
async def test_any_printable_text_can_be_a_tag_and_be_looked_for(world: World, text: str) -> None:
    point = Point("device", T0_MS * 1_000_000, (f"{world.school}{text}", text, text, text), {"state": "idle", "seq": 1})
    assert await world.store.write([point]) == []
    found = await world.store.read("device", 0, 2**62, f"{world.school}{text}")
    assert found == [point]
    if text:
        assert await world.store.read("device", 0, 2**62, f"{world.school}{text}", text) == [point]


@pytest.mark.parametrize("text", [*AWKWARD, "back\\slash", "end\\", "line\nbreak", 'quote\\"', "tab\t"])
async def test_any_text_can_be_a_field(world: World, text: str) -> None:
    await world.store.write([world.point(state=text, epoch="x")])
    assert [point.fields for point in await world.all()] == [{"state": text, "epoch": "x"}]


async def test_numbers_come_back_exactly(world: World) -> None:
    ints = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
    floats = [0.1 + 0.2, 1e-7, 0.0, -3.9489070087941205e-295, 1e300, 5e-324, 1 / 3, -2.5e16, 4.0]
    points = [world.point(T0_MS + i, state="idle", seq=value) for i, value in enumerate(ints)]
    points += [world.point(T0_MS + 100 + i, state="idle", watts=value) for i, value in enumerate(floats)]
    assert await world.store.write(points) == []
    assert await world.all() == points


async def test_a_whole_number_in_a_float_field_comes_back_as_a_float_of_the_same_worth(world: World) -> None:
    points = [world.point(T0_MS, state="idle", watts=5), world.point(T0_MS + 1, state="idle", watts=5.5)]
    assert await world.store.write(points) == []
    values = [point.fields["watts"] for point in await world.all()]
    assert values == [5.0, 5.5]
    assert type(values[0]) is float


async def test_ten_thousand_points_in_one_call(world: World) -> None:
    points = [
        world.point(T0_MS + i // 100, f"pc-{i % 100:02}", state="idle", seq=i, watts=i / 3) for i in range(10_000)
    ]
    before = await world.store.count("device")
    assert await world.store.write(points) == []
    assert await world.all() == points
    assert await world.store.count("device") == before + 10_000


@pytest.mark.parametrize("size", [1, 2, 3, 5, 63, 64, 65, 700, 1023, 1024, 1025, 1600])
async def test_no_point_is_lost_at_any_size_of_call(world: World, size: int) -> None:
    points = [world.point(T0_MS + i, state="idle", seq=i) for i in range(size)]
    await world.store.write(points)
    assert await world.all() == points


async def test_writing_nothing_does_nothing(world: World) -> None:
    before = await world.store.count("device")
    assert await world.store.write([]) == []
    assert await world.store.count("device") == before


async def test_an_empty_store_reads_as_empty(world: World) -> None:
    assert await world.all() == []
    assert await world.all("device_day") == []
    assert await world.store.count("command") >= 0


async def test_what_can_never_be_stored_comes_back_with_its_reason_and_the_rest_is_stored(world: World) -> None:
    good = [world.point(T0_MS + i, state="idle", seq=i) for i in range(40)]
    plain = world.point(T0_MS, "bad")
    bad: list[tuple[Point, str]] = [
        (world.point(device="bad", state="idle", watts=float("nan")), "watts is nan"),
        (world.point(device="bad", state="idle", watts=float("inf")), "watts is inf"),
        (world.point(device="bad", state="idle", watts=True), "watts of device is float, not bool"),
        (world.point(device="bad", state="idle", watts=10**400), "watts does not fit"),
        (world.point(device="bad", state="idle", seq=1.0), "seq of device is int, not float"),
        (world.point(device="bad", state="idle", seq=True), "seq of device is int, not bool"),
        (world.point(device="bad", state="idle", seq=2**63), "seq does not fit"),
        (world.point(device="bad", state="idle", session=1), "session of device is bool, not int"),
        (world.point(device="bad", state=5), "state of device is str, not int"),
        (world.point(device="bad", state="\ud800"), "state holds a broken character"),
        (world.point(device="bad", state="x" * 70_000), "state is longer"),
        (world.point(device="bad", state="idle", user_name="x"), "no field 'user_name'"),
        (world.point(device="bad", seq=1), "state of device is missing"),
        (replace(plain, measurement="gossip"), "no measurement 'gossip'"),
        (replace(plain, time_ns=2**63), "time"),
        (replace(plain, time_ns=-(2**63)), "time"),
        (replace(plain, tags=(world.school, "a\nb", "desktop", "bad")), "tags"),
        (replace(plain, tags=(world.school, "a\\", "desktop", "bad")), "tags"),
        (replace(plain, tags=(world.school, "\ud800", "desktop", "bad")), "tags"),
    ]
    mixed = good[:20] + [point for point, _ in bad] + good[20:]
    refused = await world.store.write(mixed)
    assert [point for point, _ in refused] == [point for point, _ in bad]
    assert [reason for (_, reason), (_, part) in zip(refused, bad, strict=True) if part not in reason] == []
    assert await world.all() == good


def _value(metric: Metric) -> st.SearchStrategy[FieldValue]:
    kinds: dict[str, st.SearchStrategy[FieldValue]] = {
        "int": st.integers(-(2**64), 2**64),
        "float": st.floats(),
        "bool": st.booleans(),
        "str": st.text(max_size=8),
    }
    wrong = st.one_of(*kinds.values())
    return st.one_of(kinds[metric.type], kinds[metric.type], kinds[metric.type], wrong)


_fields = st.fixed_dictionaries(
    {"state": st.text(max_size=8)},
    optional={metric.name: _value(metric) for metric in MEASUREMENTS["device"] if metric.name != "state"},
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.text(max_size=6), _fields), min_size=1, max_size=12))
async def test_whatever_is_written_is_either_refused_or_comes_back_equal(
    world: World, rows: list[tuple[str, dict[str, FieldValue]]]
) -> None:
    school = f"{world.school}-{uuid.uuid4().hex[:8]}"  # of its own for every example
    points = [
        Point("device", (T0_MS + i) * 1_000_000, (school, text, text, f"d{text}"), fields)
        for i, (text, fields) in enumerate(rows)
    ]
    refused = [id(point) for point, _ in await world.store.write(points)]
    kept = [point for point in points if id(point) not in refused]
    assert await world.store.read("device", 0, 2**62, school) == kept


@pytest.mark.slow
async def test_a_store_that_is_down_is_unavailable_and_takes_the_same_points_when_it_is_back(own_world: World) -> None:
    points = [own_world.point(T0_MS + i, state="idle", seq=i) for i in range(1_000)]
    assert await own_world.store.write(points[:500]) == []
    async with own_world.down():
        for _ in range(2):
            with pytest.raises(Unavailable):
                await own_world.store.write(points)
    assert await own_world.store.write(points) == []
    assert await own_world.all() == points


async def test_what_is_written_is_there_for_another_adapter_on_the_same_data(world: World) -> None:
    points = [world.point(T0_MS + i, state="idle", seq=i) for i in range(10)]
    await world.store.write(points)
    other = world.open()
    assert await other.read("device", 0, 2**62, world.school) == points
    await other.write([world.point(T0_MS + 10, state="off", seq=10)])
    await other.close()
    assert len(await world.all()) == 11


async def test_reads_while_writing_see_whole_points_and_never_fewer_than_before(world: World) -> None:
    points = [world.point(T0_MS + i, state="idle", seq=i, watts=float(i)) for i in range(4_000)]
    done = asyncio.Event()

    async def write() -> None:
        for start in range(0, len(points), 200):
            await world.store.write(points[start : start + 200])
        done.set()

    async def read() -> int:
        seen = rounds = 0
        while not done.is_set():
            found = await world.all()
            assert seen <= len(found) <= len(points)
            assert all(len(point.fields) == 3 for point in found)
            seen, rounds = len(found), rounds + 1
        return rounds

    _, rounds = await asyncio.gather(write(), read())
    assert rounds > 1
    assert await world.all() == points


async def test_many_writers_at_once_all_get_their_points_in(world: World) -> None:
    points = [world.point(T0_MS + i, state="idle", seq=i) for i in range(2_000)]
    await asyncio.gather(*(world.store.write(points[start::20]) for start in range(20)))
    assert await world.all() == points


async def test_closing_twice_is_allowed_and_a_closed_store_is_unavailable(world: World) -> None:
    store = world.open()
    await store.write([world.point()])
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.write([world.point()])
    with pytest.raises(Unavailable, match="closed"):
        await store.read("device", 0, 1)
    never_used = world.open()
    await never_used.close()
