"""device_day follows the readings: also over a weekend, a late report and a night off."""

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from caretaker_collector import state
from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.journal import Journal
from caretaker_collector.memory import Memory
from caretaker_collector.points import CHANGE, whole
from caretaker_collector.receiver import repeating
from caretaker_collector.settings import load_estate
from caretaker_collector.stages.record import Recorder
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_rules.ports import Incoming
from worlds import Stream, make_world

LONDON = ZoneInfo("Europe/London")


def at(day: int, hour: int, minute: int = 0) -> int:
    """UTC ms of a local time in October 2026."""
    return int(datetime(2026, 10, day, hour, minute, tzinfo=LONDON).timestamp() * 1000)


class Bench:
    """Journal, recorder and roll-up without a broker: `say` is a report that arrives."""

    def __init__(self, folder: Path) -> None:
        world = make_world(folder, 1)
        self.stream = Stream(world.devices[0], at_ms=at(2, 9), state=PowerState.OFF)
        estate = load_estate(folder / "estate.toml")
        self.journal = Journal(folder / "journal.db")
        self.db = state.open_state(folder / "state.db")
        self.store = SqliteStore(folder / "store.db")
        self.recorder = Recorder(self.journal, self.db, self.store, estate, Memory())
        self.rollup = DayRollup(self.db, self.store, estate, self.recorder, Clock())

    def make(self, state: PowerState, when: int, cause: Cause = Cause.HEARTBEAT) -> Incoming:
        """A report of that moment; meters count what the state before was."""
        step_s = (when - self.stream.at_ms) // 1000
        report = self.stream.report(state, cause=cause, step_s=step_s)
        return Incoming(when, *self.stream.wire(report))

    async def say(self, *messages: Incoming) -> None:
        """Messages arrive and are recorded."""
        await self.journal.append(messages)
        while await self.recorder.step():
            pass

    async def days(self, now: int) -> dict[int, dict[str, object]]:
        """Roll up what is due and return the fields by day of the month."""
        while await self.rollup.step(now, settle=False):
            pass
        points = await self.store.read("device_day", 0, 2**42)
        return {datetime.fromtimestamp(p.time_ns / 1e9, UTC).astimezone(LONDON).day: dict(p.fields) for p in points}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh bench."""
    return Bench(tmp_path)


async def test_a_weekend_is_blind_until_monday_proves_that_it_was_off(bench: Bench) -> None:
    """Friday afternoon to Monday morning: unknown while nobody knows, off once the machine says so itself."""
    await bench.say(
        bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT), bench.make(PowerState.OFF, at(2, 15), Cause.USER)
    )
    friday = (await bench.days(at(3, 1)))[2]
    assert (friday["in_use_s"], friday["off_s"], friday["blind_s"]) == (6 * 3600, 0, 18 * 3600)
    bench.stream.reboot()
    await bench.say(bench.make(PowerState.IN_USE, at(5, 8), Cause.BOOT))
    days = await bench.days(at(5, 9))
    assert days[2]["off_s"] == 9 * 3600  # from 15:00; before 09:00 nothing was ever heard of it
    assert (days[3]["off_s"], days[3]["blind_s"]) == (24 * 3600, 0)
    assert (days[4]["off_s"], days[4]["blind_s"]) == (24 * 3600, 0)
    assert days[5]["off_s"] == 8 * 3600
    assert days[5]["boots"] == 1


async def test_a_late_report_makes_its_day_right_again(bench: Bench) -> None:
    """A replayed report in the middle moves time between the states of that day, and nothing is counted twice."""
    first = bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT)
    middle = bench.make(PowerState.IDLE, at(2, 10), Cause.NO_INPUT)
    last = bench.make(PowerState.IDLE, at(2, 12))
    await bench.say(first, last)
    before = (await bench.days(at(2, 12)))[2]
    await bench.say(middle, middle)
    after = (await bench.days(at(2, 12)))[2]
    assert (before["in_use_s"], before["idle_s"]) == (after["in_use_s"], after["idle_s"]) == (3600, 7200)
    assert after["energy_wh"] == pytest.approx(90 * 1 + 80 * 2)


async def test_the_day_of_the_clock_change_has_25_hours(bench: Bench) -> None:
    """25 October 2026 is an hour longer; its seconds add up to it."""
    await bench.say(
        bench.make(PowerState.IN_USE, at(24, 12), Cause.BOOT),
        bench.make(PowerState.OFF, at(24, 13), Cause.USER),
    )
    bench.stream.reboot()
    await bench.say(bench.make(PowerState.IN_USE, at(26, 8), Cause.BOOT))
    day = (await bench.days(at(26, 9)))[25]
    assert day["off_s"] == 25 * 3600


async def test_a_store_that_is_down_keeps_the_mark(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten when the computation could not be done."""
    from caretaker_contract.errors import Unavailable

    await bench.say(bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT))

    async def down(*_: object, **__: object) -> list[object]:
        raise Unavailable("down")

    good = bench.store.read
    monkeypatch.setattr(bench.store, "read", down)
    with pytest.raises(Unavailable):
        await bench.rollup.step(at(2, 10), settle=False)
    monkeypatch.setattr(bench.store, "read", good)
    assert await bench.rollup.step(at(2, 10), settle=False) == 1


async def test_a_wrong_clock_does_not_move_the_hours(bench: Bench) -> None:
    """A machine whose clock is two days slow is counted on the days on which it was really on."""
    slow_ms = 2 * 86_400_000
    for message in (
        bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT),
        bench.make(PowerState.OFF, at(2, 15), Cause.USER),
    ):
        await bench.say(Incoming(message.received_ms + slow_ms, message.topic, message.payload))
    days = await bench.days(at(5, 1))
    assert days[4]["in_use_s"] == 6 * 3600
    assert 2 not in days


async def test_a_point_that_the_store_shows_half_is_passed_over(bench: Bench) -> None:
    """InfluxDB may show some fields of a point that it is just taking in: that ends neither the roll-up nor the day."""
    await bench.say(bench.make(PowerState.IDLE, at(6, 9)), bench.make(PowerState.IDLE, at(6, 10)))
    labels = (await bench.store.read("device", 0, 2**42))[0].tags
    await bench.store.write([Point("device", at(6, 11) * 1_000_000, labels, {"state": "idle"})])
    days = await bench.days(at(7, 9))
    assert days[6]["idle_s"] == 3600
    half = Point("transition", 1, labels, {"to_state": "off"})
    done = Point("transition", 2, labels, {"from_state": "idle", "to_state": "off", "cause": "user", "planned": True})
    assert list(whole([half, done], *CHANGE)) == [done]


async def test_somebody_else_may_write_to_the_state_file_while_days_are_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a command that holds a room: two days are due, and the file changes before the second one."""
    await bench.say(bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT), bench.make(PowerState.IDLE, at(3, 9)))
    other = sqlite3.connect(bench.rollup._db.execute("PRAGMA database_list").fetchone()[2], isolation_level=None)
    read = bench.store.read

    async def read_while_somebody_writes(measurement: str, *asked: Any, **more: Any) -> list[Point]:
        other.execute("INSERT INTO stops (school, room, since_ms, reason) VALUES ('ash', NULL, 1, 'look')")
        return await read(measurement, *asked, **more)

    monkeypatch.setattr(bench.store, "read", read_while_somebody_writes)
    assert {2, 3} <= (await bench.days(at(4, 1))).keys()
    other.close()


async def test_a_day_that_is_broken_off_and_one_that_was_marked_meanwhile_stay_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.say(bench.make(PowerState.IN_USE, at(2, 9), Cause.BOOT), bench.make(PowerState.IDLE, at(2, 15)))
    write, late = bench.store.write, bench.make(PowerState.IDLE, at(2, 17))

    async def killed(points: Sequence[Point]) -> list[tuple[Point, str]]:
        raise asyncio.CancelledError

    monkeypatch.setattr(bench.store, "write", killed)
    with pytest.raises(asyncio.CancelledError):
        await bench.rollup.step(at(3, 1), settle=False)
    assert bench.db.execute("SELECT count(*) FROM dirty_days WHERE day = '2026-10-02'").fetchone() == (1,)

    async def write_while_a_report_comes(points: Sequence[Point]) -> list[tuple[Point, str]]:
        monkeypatch.setattr(bench.store, "write", write)
        await bench.say(late)
        return await write(points)

    monkeypatch.setattr(bench.store, "write", write_while_a_report_comes)
    assert await bench.rollup.step(at(3, 1), settle=False) == 1
    assert bench.db.execute("SELECT since_ms FROM dirty_days WHERE day = '2026-10-02'").fetchone() == (at(3, 1),)
    assert (await bench.days(at(3, 1)))[2]["idle_s"] == 2 * 3600
    assert bench.db.execute("SELECT count(*) FROM dirty_days WHERE day = '2026-10-02'").fetchone() == (0,)


async def test_a_state_file_that_is_busy_for_too_long_ends_no_regular_task() -> None:
    """It is tried again; before, one such moment ended the whole collector."""
    calls = []

    async def step(now_ms: int) -> None:
        calls.append(now_ms)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database is locked")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await repeating(step, Clock(), 1.0)
    assert len(calls) == 2
