""" "We are still here" from the journal to a hold: once, in time, for the room of the register, seen by the rules."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from caretaker_collector import memory as memory_
from caretaker_collector import records, state, stays
from caretaker_collector.calendars import Calendars
from caretaker_collector.core import Core
from caretaker_collector.journal import Journal
from caretaker_collector.ledger import Ledger
from caretaker_collector.settings import load_estate_and_policies
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.decode import Decode
from caretaker_collector.stages.deduplicate import Deduplicate
from caretaker_collector.stages.keep import Keep
from caretaker_collector.stages.recall import Recall
from caretaker_collector.stages.stay import Stay
from caretaker_collector.stages.track import Track
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, Gauges, PowerState, Report, Verb
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision
from caretaker_rules.ports import Incoming
from caretaker_rules.presence import PresenceSettings
from worlds import NOW_MS, Stream, make_world

MINUTE_MS = 60_000
POLICY = """\
mode = "live"
[limits]
per_minute = 1000
room_percent = 100
school_percent = 100
[doubt]
reconnect_wait = "1 s"
[[rules]]
name = "evening"
select = { classes = ["desktop"] }
hours = ["mon-sun 00:00-24:00"]
idle_for = "5 min"
do = "shut_down"
warn_for = "2 min"
"""


class Hand:
    """A clock that the test sets."""

    now = NOW_MS

    def now_ms(self) -> int:
        return self.now

    def real_s(self, timeline_s: float) -> float:
        return 0.0


class World:
    """Three idle machines in ict1, the stages from the journal to the ledger, and a clock to set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = make_world(folder, 1, devices=3, policy=POLICY)
        self.estate, self.policies = load_estate_and_policies(folder / "estate.toml")
        self.streams = [Stream(device, epoch=f"{number:08x}") for number, device in enumerate(made.devices)]
        self.journal = Journal(folder / "journal.db")
        self.clock = Hand()
        self.hellos = [Incoming(NOW_MS, *stream.hello(NOW_MS)) for stream in self.streams]
        self.open(folder / "state.db")

    def open(self, path: Path) -> None:
        """The collector starts on this state file, with a link that has stood for long."""
        self.db = state.open_state(path)
        self.memory = memory_.load(self.db)
        self.memory.connected_since_ms = 1
        self.ledger = Ledger(self.db, self.memory)
        calendars = Calendars(self.estate, self.folder)
        self.keep = Keep(self.db, self.memory, self.ledger, self.estate)
        stages = [
            Decode(),
            Deduplicate(self.memory),
            Stay(self.db, self.memory, self.ledger, self.estate),
            Track(self.memory, PresenceSettings()),
            calendars,
            Decide(self.memory, self.ledger, self.estate, self.policies, calendars),
            Recall(self.ledger, self.estate),
            self.keep,
        ]
        self.core = Core(self.journal, self.db, self.memory, self.ledger, stages, self.clock, tick_s=1)  # type: ignore[arg-type]

    async def say(self, *reports: tuple[Stream, Report], received_ms: int | None = None) -> None:
        """These arrive in one batch, together with a tick."""
        now_ms = self.clock.now if received_ms is None else received_ms
        told = [Incoming(now_ms, *stream.wire(report)) for stream, report in reports]
        await self.journal.append([*self.hellos, *told])
        self.hellos = []
        self.clock.now += 1_000
        while await self.core.step():
            pass

    def idle(self, number: int, stay: bool = False) -> tuple[Stream, Report]:
        """A machine that nobody has touched for ten minutes; with `stay` somebody says that they are there."""
        stream = self.streams[number]
        gauges = Gauges(idle_s=600, session=True, uptime_s=4000)
        report = stream.report(PowerState.IDLE, 0, Cause.NO_INPUT, at_ms=self.clock.now, gauges=gauges)
        return stream, structs.replace(report, stay_s=3600) if stay else report

    def holds(self) -> list[records.Record]:
        return records.listed(self.db, self.clock.now, past=False)

    def newest(self, number: int) -> Decision:
        row = self.db.execute(
            "SELECT decision FROM decisions WHERE device = ? ORDER BY id DESC LIMIT 1", (f"pc-{number:03}",)
        ).fetchone()
        return msgspec.json.decode(row[0], type=Decision)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def why(decision: Decision) -> set[str]:
    return {reason.why.value for reason in decision.reasons}


async def test_one_who_asks_keeps_the_whole_room_on_in_the_same_batch(world: World) -> None:
    await world.say(world.idle(0), world.idle(1, stay=True), world.idle(2))
    (hold,) = world.holds()
    assert (hold.kind, str(hold.scope), hold.by, hold.reason) == (
        "hold",
        "ash/ict1",
        "somebody at ash/pc-001",
        "still here",
    )
    assert (hold.series.from_ms, hold.series.until_ms) == (NOW_MS, NOW_MS + 3_600_000)
    assert all("held" in why(world.newest(number)) for number in range(3))
    assert world.db.execute("SELECT count(*) FROM commands").fetchone() == (0,)
    world.clock.now = hold.series.until_ms
    await world.say(*(world.idle(number) for number in range(3)))
    assert "held" not in why(world.newest(0))


async def test_what_counts_down_in_the_room_is_called_back_in_the_same_batch(world: World) -> None:
    await world.say(*(world.idle(number) for number in range(3)))
    assert world.newest(0).acts, why(world.newest(0))
    world.db.execute("UPDATE commands SET status = 'warned'")
    world.core._next_tick_ms = 2**62  # no rule is asked meanwhile
    await world.say(world.idle(2, stay=True))
    rows = world.db.execute("SELECT device FROM commands WHERE verb = ?", (Verb.CANCEL.value,)).fetchall()
    assert {name for (name,) in rows} == {"pc-000", "pc-001", "pc-002"}


async def test_a_machine_that_is_not_in_the_register_holds_nothing_and_breaks_nothing(world: World) -> None:
    stranger = Stream(Address("ash", "pc-999"))
    elsewhere = Stream(Address("elm", "pc-001"))
    for stream in (stranger, elsewhere):
        await world.say((stream, structs.replace(stream.report(at_ms=world.clock.now), stay_s=3600)))
    assert world.holds() == []
    counters = state.counters(world.db)
    assert (counters["reports"], counters["stays_asked"], counters.get("quarantined", 0)) == (2, 2, 0)


async def test_asking_again_adds_a_hold_only_when_less_than_three_quarters_of_an_hour_are_left(world: World) -> None:
    await world.say(world.idle(0, stay=True), world.idle(1, stay=True))
    world.clock.now = NOW_MS + 14 * MINUTE_MS
    await world.say(world.idle(1, stay=True), world.idle(0, stay=True))
    assert len(world.holds()) == 1
    world.clock.now = NOW_MS + 16 * MINUTE_MS
    await world.say(world.idle(1, stay=True))
    assert [hold.series.until_ms - NOW_MS for hold in world.holds()] == [60 * MINUTE_MS, 76 * MINUTE_MS]


async def test_one_that_was_ended_early_is_no_hold_so_asking_again_makes_one(world: World) -> None:
    await world.say(world.idle(0, stay=True))
    assert records.end(world.db, world.holds()[0], world.clock.now)
    await world.say(world.idle(0))
    assert world.newest(0).acts
    await world.say(world.idle(0, stay=True))
    (again,) = world.holds()
    assert again.id == 2


async def test_asked_at_four_and_heard_at_seven_holds_nothing(world: World) -> None:
    """The collector was away, and the broker kept the report."""
    stream, report = world.idle(0, stay=True)
    world.clock.now += 3 * 3_600_000
    world.memory.connected_since_ms = world.clock.now - 1
    await world.say((stream, report))
    assert world.db.execute("SELECT count(*) FROM holds").fetchone() == (0,)
    assert state.counters(world.db)["stays_asked"] == 1


class Fails(Keep):
    """A disk that is full when the batch is to be kept."""

    async def run(self, batch: Any) -> None:
        raise Unavailable("disk full")


async def test_killed_before_the_batch_is_kept_the_journal_makes_the_one_hold(world: World, tmp_path: Path) -> None:
    """Nothing of the batch is there, and then all of it; what is already kept makes no second one."""
    before = tmp_path / "before.db"
    world.db.execute("VACUUM INTO ?", (str(before),))
    good, stages = world.keep, world.core._stages
    stages[-1] = Fails(world.db, world.memory, world.ledger, world.estate)  # type: ignore[index]
    with pytest.raises(Unavailable):
        await world.say(world.idle(0, stay=True))
    assert world.holds() == []
    stages[-1] = good  # type: ignore[index]
    world.open(tmp_path / "state.db")  # as after kill -9
    await world.say()
    assert len(world.holds()) == 1
    world.open(tmp_path / "state.db")
    await world.say()
    assert len(world.holds()) == 1
    world.open(before)  # a power cut took the newest transactions back
    await world.say()
    assert len(world.holds()) == 1


async def test_a_report_that_comes_twice_makes_one_hold(world: World) -> None:
    """Dropped by its number; and were that forgotten, the hold itself is written once, also when it was ended."""
    told = world.idle(0, stay=True)
    await world.say(told, told)
    await world.say(told)
    assert [hold.id for hold in world.holds()] == [1]
    assert state.counters(world.db)["duplicates"] == 2
    records.end(world.db, world.holds()[0], world.clock.now)
    world.db.execute("DELETE FROM devices")
    world.open(world.folder / "state.db")
    await world.say(told)
    assert world.holds() == []
    assert state.counters(world.db)["reports"] == 2


def test_a_state_file_of_before_gets_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    old = sqlite3.connect(path)
    old.executescript(state.SCHEMA)
    old.execute("DROP TABLE stay_links")
    old.commit()
    old.close()
    db = state.open_state(path)
    token = stays.link_of(db, "ash", "ict1", NOW_MS)
    assert stays.ask_by_link(db, token, 3_600_000, NOW_MS) is not None
