"""The core goes on, whatever a message does to it."""

import asyncio
from pathlib import Path

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
