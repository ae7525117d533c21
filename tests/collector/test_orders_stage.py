"""The order stage by itself: orders that lay too long, restarts that end a patch window, orders that count together."""

import sqlite3
from pathlib import Path

import pytest

from caretaker_collector import order_book, records, state
from caretaker_collector.calendars import Calendars
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Entry, Memory
from caretaker_collector.numbering import Numberings
from caretaker_collector.order_book import Scope
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.orders import Orders
from caretaker_collector.stages.recall import Recall
from caretaker_contract.messages import Cause, Verb, WarnText
from caretaker_rules.model import Estate
from caretaker_rules.policy import Policy
from caretaker_rules.repeats import Series
from rules_world import CLASSES, SCHOOL, london_ms, machine, policy_from

POLICY = """
mode = "live"
[limits]
room_percent = 50
school_percent = 100
[[patch]]
name = "tuesday"
select = { rooms = ["office"] }
hours = ["tue 20:00-23:00"]
restart = true
"""
TAIL = london_ms("2026-10-06 22:31")


class Stage:
    """A school with four idle machines in the office, and the order stage over a real state file."""

    def __init__(self, folder: Path, now_ms: int, policy: Policy) -> None:
        pairs = [machine(name=f"pc-{number}", room="office", now_ms=now_ms) for number in range(4)]
        devices = {device.address: device for device, _ in pairs}
        estate = Estate(provider="Test", networks={}, schools={"ash": SCHOOL}, classes=CLASSES, devices=devices)
        self.db: sqlite3.Connection = state.open_state(folder / "state.db")
        self.memory = Memory(connected_since_ms=1)
        for device, tracked in pairs:
            self.memory.entries[device.address] = Entry(tracked, Numberings())
        self.ledger = Ledger(self.db, self.memory)
        self.estate = estate
        decide = Decide(self.memory, self.ledger, estate, {"ash": policy}, Calendars(estate, folder))
        self.orders = Orders(self.db, self.memory, decide, estate, {"ash": policy})

    async def run(self, now_ms: int, tick: bool = True) -> Batch:
        """One batch, kept as `keep` keeps it."""
        batch = Batch(now_ms=now_ms, records=[], tick=tick, position=0, people=True)
        await self.orders.run(batch)
        self.ledger.write(batch)
        return batch


async def test_a_patch_window_restarts_each_machine_once_within_the_limits(tmp_path: Path) -> None:
    """Half the room at a time in the last half hour of the window, as maintenance, and none of them twice."""
    stage = Stage(tmp_path, TAIL, policy_from(POLICY + "[doubt]\nreport_older_than = 10\n"))
    assert (await stage.run(london_ms("2026-10-06 22:29"))).commands == []
    first = (await stage.run(TAIL)).commands
    assert {(entry.command.verb, entry.command.cause, entry.command.warn_text) for entry in first} == {
        (Verb.RESTART, Cause.MAINTENANCE, WarnText.MAINTENANCE)
    }
    assert [entry.rule for entry in first] == ["patch-tuesday"] * 2
    assert (await stage.run(TAIL + 30_000)).commands == []
    second = (await stage.run(TAIL + 11 * 60_000)).commands
    assert {entry.address for entry in (*first, *second)} == set(stage.memory.entries)
    assert len(second) == 2
    assert (await stage.run(TAIL + 22 * 60_000)).commands == []


async def test_two_orders_in_one_batch_count_together(tmp_path: Path) -> None:
    """Half of the room at once is half of the room, however many people order; nobody is asked twice."""
    now_ms = london_ms("2026-10-07 18:00")
    stage = Stage(tmp_path, now_ms, policy_from(POLICY))
    for by in ("engineer", "head"):
        order_book.place(stage.db, "shut_down", Scope(school="ash"), "early close", by, 120, False, now_ms)
    batch = await stage.run(now_ms, tick=False)
    assert len(batch.commands) == len({entry.address for entry in batch.commands}) == 2
    assert len({entry.command.id for entry in batch.commands}) == 2
    first, second = order_book.unfinished(stage.db)
    assert (first.status, len(first.waiting)) == ("open", 2)
    assert (second.status, len(second.waiting)) == ("open", 4)


async def test_a_machine_obeys_one_order_once_whatever_happens_to_the_collector(tmp_path: Path) -> None:
    """A collector that was killed before it could write judges again, and makes the very same commands."""
    now_ms = london_ms("2026-10-07 18:00")
    stage = Stage(tmp_path, now_ms, policy_from(POLICY))
    order_book.place(stage.db, "sleep", Scope(school="ash"), "early close", "head", 120, False, now_ms)
    lost = Batch(now_ms=now_ms, records=[], tick=False, position=0, people=True)
    await stage.orders.run(lost)
    again = await stage.run(now_ms + 5000, tick=False)
    assert [entry.command.id for entry in lost.commands] == [entry.command.id for entry in again.commands]
    assert len(again.commands) == 2


async def test_what_has_not_been_sent_is_withdrawn_when_somebody_asks_to_stay_on(tmp_path: Path) -> None:
    """The doer, which may hold it in its hands already, asks once more before it sends, and leaves it."""
    now_ms = london_ms("2026-10-07 18:00")
    stage = Stage(tmp_path, now_ms, policy_from(POLICY))
    order_book.place(stage.db, "sleep", Scope(school="ash"), "early close", "head", 120, False, now_ms)
    await stage.run(now_ms)
    series = Series(from_ms=now_ms + 180_000, until_ms=now_ms + 3_600_000, time_zone="Europe/London")
    scope = Scope(school="ash", device="pc-0")
    records.make(stage.db, "hold", scope, series, "we are still here", "teacher", now_ms)
    batch = Batch(now_ms=now_ms + 1000, records=[], tick=False, position=0, people=True)
    in_hand = stage.ledger.to_send(now_ms + 1000)
    await Recall(stage.ledger, stage.estate).run(batch)
    assert batch.commands == []  # nothing has reached a machine, so nothing has to be called back
    claimed = {entry.address.device: stage.ledger.claim(entry.command.id, now_ms + 1000) for entry in in_hand}
    assert claimed == {"pc-0": False, "pc-1": True}
    statuses = dict(stage.db.execute("SELECT device, status FROM commands").fetchall())
    assert statuses == {"pc-0": "withdrawn", "pc-1": "sending"}


@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_order_that_lay_too_long_is_dead(tmp_path: Path, dry_run: bool) -> None:
    """Its command was killed before it could withdraw it, and the collector comes back eleven minutes later."""
    now_ms = london_ms("2026-10-07 18:00")
    stage = Stage(tmp_path, now_ms, policy_from(POLICY))
    order_book.place(stage.db, "shut_down", Scope(school="ash"), "x", "head", 120, dry_run, now_ms - 11 * 60_000)
    batch = await stage.run(now_ms)
    assert batch.commands == batch.decisions == []
    assert stage.db.execute("SELECT status FROM orders").fetchall() == [("expired",)]


async def test_a_school_without_a_policy_has_no_limits_so_nothing_is_ordered_there(tmp_path: Path) -> None:
    """The answer says what is missing."""
    now_ms = london_ms("2026-10-07 18:00")
    stage = Stage(tmp_path, now_ms, policy_from(POLICY))
    number = order_book.place(stage.db, "shut_down", Scope(school="elm"), "x", "head", 120, False, now_ms)
    batch = await stage.run(now_ms)
    assert batch.commands == []
    found = order_book.answer(stage.db, number)
    assert found is not None
    assert found.refused == "no policy in elm: without one the limits are not known"
