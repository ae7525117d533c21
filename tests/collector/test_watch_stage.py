"""When Caretaker could see is on record, tick by tick; whatever breaks it begins a new row."""

from pathlib import Path

import pytest

from caretaker_collector import state
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.watch import Watch, sight, watched_since_ms

T0 = 1_791_000_000_000
TICK_S = 30


class Bench:
    """The stage with a state file; `tick` at so many seconds after T0."""

    def __init__(self, folder: Path) -> None:
        self.db = state.open_state(folder / "state.db")
        self.start()

    def start(self) -> None:
        """A collector that starts, with a link since T0."""
        self.memory = Memory(connected_since_ms=T0)
        self.watch = Watch(self.memory, TICK_S)

    async def tick(self, *at_s: int, tick: bool = True, keep: bool = True) -> None:
        for second in at_s:
            batch = Batch(now_ms=T0 + second * 1000, records=[], tick=tick, position=0)
            await self.watch.run(batch)
            for statement, values in batch.writes if keep else ():
                self.db.execute(statement, values)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """From and until in seconds after T0."""
        return [((a - T0) // 1000, (b - T0) // 1000) for a, b in self.db.execute("SELECT * FROM sight ORDER BY 1")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_ticks_that_see_extend_one_row(bench: Bench) -> None:
    await bench.tick(0, 30, 60, 130)
    assert bench.rows == [(0, 130)]


async def test_a_batch_without_a_tick_says_nothing(bench: Bench) -> None:
    await bench.tick(0)
    await bench.tick(10, tick=False)
    assert bench.rows == [(0, 0)]


async def test_no_broker_and_being_behind_are_breaks(bench: Bench) -> None:
    await bench.tick(0, 30)
    bench.memory.connected_since_ms = 0
    await bench.tick(60, 90)
    bench.memory.connected_since_ms = T0 + 100_000
    bench.memory.behind_s = 40.0
    await bench.tick(120)
    bench.memory.behind_s = 0.0
    await bench.tick(150, 180)
    assert bench.rows == [(0, 30), (150, 180)]


async def test_a_link_that_broke_between_two_ticks_is_a_break(bench: Bench) -> None:
    await bench.tick(0, 30)
    bench.memory.connected_since_ms = T0 + 50_000
    await bench.tick(60, 90)
    assert bench.rows == [(0, 30), (50, 90)]


async def test_rules_that_stood_still_saw_nothing_meanwhile(bench: Bench) -> None:
    await bench.tick(0, 30, 181)
    assert bench.rows == [(0, 30), (181, 181)]


async def test_a_clock_that_went_back_begins_anew(bench: Bench) -> None:
    await bench.tick(100, 40, 70)
    assert bench.rows == [(40, 70), (100, 100)]


async def test_a_restart_ends_a_row(bench: Bench) -> None:
    await bench.tick(0, 30)
    bench.start()
    await bench.tick(60, 90)
    assert bench.rows == [(0, 30), (60, 90)]


async def test_a_batch_that_was_not_kept_is_made_up_for_by_the_next(bench: Bench) -> None:
    await bench.tick(0, keep=False)
    await bench.tick(30)
    assert bench.rows == [(0, 30)]


async def test_sight_is_told_within_a_span(bench: Bench) -> None:
    assert watched_since_ms(bench.db) is None
    await bench.tick(0, 30)
    bench.start()
    await bench.tick(100, 130)
    assert sight(bench.db, T0 + 10_000, T0 + 110_000) == [(T0 + 10_000, T0 + 30_000), (T0 + 100_000, T0 + 110_000)]
    assert sight(bench.db, T0 + 200_000, T0 + 210_000) == []
    assert watched_since_ms(bench.db) == T0


async def test_rows_that_overlap_are_told_once(bench: Bench) -> None:
    await bench.tick(0, 60, 30, 90)
    assert bench.rows == [(0, 60), (30, 90)]
    assert sight(bench.db, 0, 2**62) == [(T0, T0 + 90_000)]
