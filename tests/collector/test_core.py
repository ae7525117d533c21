"""The core goes on, whatever a message does to it."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from caretaker_collector import memory as memory_
from caretaker_collector import state
from caretaker_collector.core import Core
from caretaker_collector.journal import Journal
from caretaker_collector.ledger import Ledger
from caretaker_collector.pipeline import Batch
from caretaker_collector.settings import load_estate
from caretaker_collector.stages.decode import Decode
from caretaker_collector.stages.deduplicate import Deduplicate
from caretaker_collector.stages.keep import Keep
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_rules.ports import Incoming
from worlds import Stream, make_world


class FailsOn:
    """A stage with a defect: it fails on one number of one device, after it has changed what it should not have."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

    async def run(self, batch: Batch) -> None:
        for item in batch.messages:
            if getattr(item.message, "seq", 0) == self.seq:
                raise TypeError("nobody thought of this")


async def test_a_message_on_which_we_fail_is_put_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Invariant I3 for defects of our own: one quarantined with the reason, every other counted once."""
    world = make_world(tmp_path, 1)
    stream = Stream(world.devices[0])
    journal = Journal(tmp_path / "journal.db")
    reports = [stream.report() for _ in range(30)]
    await journal.append([Incoming(report.at_ms, *stream.wire(report)) for report in reports])
    db = state.open_state(tmp_path / "state.db")
    memory = memory_.load(db)
    ledger = Ledger(db, memory)
    stages = [
        Decode(),
        Deduplicate(memory),
        FailsOn(17),
        Keep(db, memory, ledger, load_estate(tmp_path / "estate.toml")),
    ]
    core = Core(journal, db, memory, ledger, stages, Clock(), tick_s=3600)
    for _ in range(60):
        if not await core.step():
            break
    assert core.position == 30
    assert state.position(db, "core") == 30
    counters = state.counters(db)
    assert (counters["received"], counters["reports"], counters["quarantined"]) == (30, 29, 1)
    [(pos, reason)] = db.execute("SELECT pos, reason FROM quarantine").fetchall()
    assert pos == 17
    assert "nobody thought of this" in reason
    again = memory_.load(db)
    assert again.entries[world.devices[0]].numberings.epochs[0].missing(5) == [(1, 17, 17)]
    await journal.append([Incoming(0, *stream.wire(stream.report()))])
    assert await core.step()
    assert core.position == 31
    journal.close()


class FailsOnTick:
    """Rules with a defect."""

    async def run(self, batch: Batch) -> None:
        if batch.tick:
            raise ZeroDivisionError("rules")


async def test_rules_that_fail_stop_no_message_and_put_none_aside(tmp_path: Path) -> None:
    """When it is not a message's fault, messages flow on, none is quarantined, and no tick counts as run."""
    world = make_world(tmp_path, 1)
    stream = Stream(world.devices[0])
    journal = Journal(tmp_path / "journal.db")
    db = state.open_state(tmp_path / "state.db")
    memory = memory_.load(db)
    ledger = Ledger(db, memory)
    keep = Keep(db, memory, ledger, load_estate(tmp_path / "estate.toml"))
    core = Core(
        journal, db, memory, ledger, [Decode(), Deduplicate(memory), FailsOnTick(), keep], Clock(), tick_s=0.001
    )
    for size in (1, 5, 0, 3):
        reports = [stream.report() for _ in range(size)]
        await journal.append([Incoming(report.at_ms, *stream.wire(report)) for report in reports])
        for _ in range(12):
            await core.step()
            await asyncio.sleep(0.002)
    assert core.position == 9
    assert state.counters(db).get("quarantined", 0) == 0
    assert state.counters(db)["reports"] == 9
    assert core.ticked_ms == 0
    journal.close()


class Busy:
    """A stage that has no turn at the state file, once."""

    def __init__(self, path: Path) -> None:
        self.path, self.times = path, 0

    async def run(self, batch: Batch) -> None:
        self.times += 1
        if self.times == 1:
            ours, theirs = [sqlite3.connect(self.path, isolation_level=None, timeout=0) for _ in range(2)]
            with closing(ours), closing(theirs):
                theirs.execute("BEGIN IMMEDIATE")
                ours.execute("BEGIN IMMEDIATE")


async def test_no_message_is_put_aside_because_another_process_kept_the_file(tmp_path: Path) -> None:
    """The core waits, and then deals with all of them, each once."""
    world = make_world(tmp_path, 1)
    stream = Stream(world.devices[0])
    journal = Journal(tmp_path / "journal.db")
    reports = [stream.report() for _ in range(3)]
    await journal.append([Incoming(report.at_ms, *stream.wire(report)) for report in reports])
    db = state.open_state(tmp_path / "state.db")
    memory = memory_.load(db)
    ledger = Ledger(db, memory)
    keep = Keep(db, memory, ledger, load_estate(tmp_path / "estate.toml"))
    stages = [Decode(), Deduplicate(memory), Busy(tmp_path / "state.db"), keep]
    core = Core(journal, db, memory, ledger, stages, Clock(), tick_s=3600)
    with pytest.raises(Unavailable, match="locked"):
        await core.step()
    core._note("state file: database is locked")
    assert await core.step()
    assert (core.position, state.counters(db).get("quarantined", 0)) == (3, 0)
    assert state.counters(db)["reports"] == 3


async def test_a_small_write_waits_for_its_turn_without_holding_up_the_loop(tmp_path: Path) -> None:
    db = state.open_state(tmp_path / "state.db", busy_s=0)
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(state.patiently(lambda: state.count(db, "late", 1)))
        await asyncio.sleep(0.1)
        assert not writing.done()
        other.execute("ROLLBACK")
        await writing
    assert state.counters(db)["late"] == 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await state.patiently(lambda: db.execute("INSERT INTO elsewhere VALUES (1)"))
