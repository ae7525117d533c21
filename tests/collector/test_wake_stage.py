"""The wake stage over a real ledger and state file: what is asked, what is remembered, and what is never sent twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from caretaker_collector import memory as memory_
from caretaker_collector import state, wake_book
from caretaker_collector.calendars import Calendars
from caretaker_collector.ledger import Ledger, LedgerCommand
from caretaker_collector.order_book import Scope
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.keep import Keep
from caretaker_collector.stages.ready import Ready
from caretaker_collector.stages.wake import Wake
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, Outcome, OutcomeReason, Step, Verb
from caretaker_contract.topics import Address
from caretaker_rules import energy
from caretaker_rules.model import Estate
from caretaker_rules.reasons import Why
from rules_world import CLASSES, SCHOOL, london_ms, machine, policy_from

RELAY = Address("ash", "relay-1")
PC = Address("ash", "pc-01")
START_MS = london_ms("2026-10-06 08:40")
POLICY = 'mode = "live"\n[[wake]]\nname = "early"\nselect = { rooms = ["ict1"] }\nbefore = "first_booking"\n'


class World:
    """A school with a relay and five machines that are off; the stages between tracking and sending."""

    def __init__(self, folder: Path, policy: str = POLICY) -> None:
        self.db = state.open_state(folder / "state.db")
        self.memory = memory_.Memory(connected_since_ms=1)
        self.ledger = Ledger(self.db, self.memory)
        devices = {}
        for number in range(1, 6):
            device, tracked = machine(name=f"pc-{number:02}", state="off", idle_state="14 h", cause=Cause.RULE)
            device = structs.replace(device, mac=f"02:00:00:00:00:0{number}" if number < 5 else None)
            devices[device.address] = device
            self.track(device.address, tracked)
        device, tracked = machine(name=RELAY.device, room="office", abilities=(Verb.WAKE,))
        devices[RELAY] = device
        self.track(RELAY, tracked)
        self.estate = Estate(provider="Test", networks={}, schools={"ash": SCHOOL}, classes=CLASSES, devices=devices)
        self.policies = {"ash": policy_from(policy)}
        self.open()

    def open(self) -> None:
        """The stages, as after a start of the collector."""
        decide = Decide(self.memory, self.ledger, self.estate, self.policies, Calendars(self.estate, Path()))
        self.decide = decide
        self.wake = Wake(self.db, decide, self.estate, self.policies)
        self.ready = Ready(self.db, self.memory, decide, self.estate, self.policies)
        self.keep = Keep(self.db, self.memory, self.ledger, self.estate)

    def track(self, address: Address, tracked: Any) -> None:
        self.memory.entry(address).tracked = tracked

    def on(self, *names: str) -> None:
        """These machines report that they are on."""
        for name in names:
            self.track(Address("ash", name), machine(name=name, state="in_use")[1])

    async def tick(self, at_s: int, *, keep: bool = True, people: bool = False, outcomes: Any = ()) -> Batch:
        """One batch, `at_s` seconds after the start."""
        batch = Batch(now_ms=START_MS + at_s * 1000, records=[], tick=not people, position=0, people=people)
        batch.outcomes += [(RELAY, outcome) for outcome in outcomes]
        await self.wake.run(batch)
        await self.ready.run(batch)
        if keep:
            await self.keep.run(batch)
        return batch

    def results(self) -> dict[str, tuple[str, int, str]]:
        """(result, attempts, why) by machine."""
        rows = self.db.execute("SELECT device, result, attempts, why FROM wakes").fetchall()
        return {device: (result, attempts, why) for device, result, attempts, why in rows}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.db.close()


def outcome(entry: LedgerCommand, step: Step, seq: int, reason: OutcomeReason = OutcomeReason.NONE) -> Outcome:
    at_ms = START_MS + seq * 1000
    return Outcome(
        epoch="0000abcd",
        boot=1,
        seq=seq,
        prev=0,
        at_ms=at_ms,
        sent_ms=at_ms,
        command=entry.command.id,
        verb=Verb.WAKE,
        step=step,
        reason=reason,
    )


async def test_a_room_is_asked_of_the_relay_in_one_command_and_what_has_no_mac_is_listed(world: World) -> None:
    batch = await world.tick(0)
    (entry,) = batch.commands
    assert (entry.address, entry.room, entry.rule) == (RELAY, "ict1", "early")
    assert entry.command.macs == [f"02:00:00:00:00:0{number}" for number in range(1, 5)]
    assert (entry.command.verb, entry.command.device) == (Verb.WAKE, "ash/relay-1")
    assert world.results()["pc-01"] == ("waiting", 1, "")
    assert world.results()["pc-05"] == ("cannot", 0, "no_mac")
    assert [entry.command.id for entry in world.ledger.to_send(START_MS)] == [entry.command.id]


async def test_deciding_again_before_it_was_kept_gives_the_same_command_and_after_it_none(world: World) -> None:
    """A crash between deciding and keeping replays the tick; a crash after it finds the attempts in the book."""
    lost = await world.tick(0, keep=False)
    world.open()
    again = await world.tick(0)
    assert [entry.command.id for entry in again.commands] == [entry.command.id for entry in lost.commands]
    world.open()
    assert (await world.tick(1)).commands == []


async def test_a_batch_that_cannot_be_kept_leaves_no_trace_in_the_book(world: World) -> None:
    batch = await world.tick(0, keep=False)
    batch.writes.append(("INSERT INTO no_such_table VALUES (1)", ()))
    with pytest.raises(Unavailable):
        await world.keep.run(batch)
    assert world.results() == {}
    assert world.ledger.to_send(START_MS) == []


async def test_a_relay_that_comes_late_takes_its_machines_off_the_list_and_gets_its_first_packet_on_record(
    world: World,
) -> None:
    world.track(RELAY, machine(name=RELAY.device, room="office", abilities=(Verb.WAKE,), state="off")[1])
    await world.tick(0)
    assert world.results()["pc-01"] == ("cannot", 0, "no_relay")
    world.track(RELAY, machine(name=RELAY.device, room="office", abilities=(Verb.WAKE,))[1])
    await world.tick(30)
    assert world.results()["pc-01"] == ("waiting", 1, "")
    (first_ms,) = world.db.execute("SELECT first_ms FROM wakes WHERE device = 'pc-01'").fetchone()
    assert first_ms == START_MS + 30_000


async def test_only_the_machines_own_report_makes_it_awake(world: World) -> None:
    (entry,) = (await world.tick(0)).commands
    await world.tick(5, outcomes=[outcome(entry, Step.RECEIVED, 1), outcome(entry, Step.DONE, 2)])
    assert world.results()["pc-01"][0] == "waiting", "done says that the packets are out, no more"
    world.on("pc-01", "pc-02")
    await world.tick(60)
    assert {name: found[0] for name, found in world.results().items()} == {
        "pc-01": "awake",
        "pc-02": "awake",
        "pc-03": "waiting",
        "pc-04": "waiting",
        "pc-05": "cannot",
    }
    assert set(wake_book.answered(world.db, "ash")) == {PC, Address("ash", "pc-02")}


async def test_silent_machines_get_three_packets_and_then_stand_on_the_list_until_a_wake_succeeds(
    world: World,
) -> None:
    world.on("pc-02", "pc-03", "pc-04")
    asked = []
    for at_s in range(0, 721, 30):
        batch = await world.tick(at_s)
        asked += [(at_s, entry) for entry in batch.commands]
        if batch.commands:
            steps = [outcome(batch.commands[0], Step.DONE, 10 + at_s)]
            await world.tick(at_s + 1, outcomes=steps)
    assert [at_s for at_s, _ in asked] == [0, 180, 360]
    assert len({entry.command.id for _, entry in asked}) == 3
    listed = {row.address.device: str(row.reason) for row in wake_book.cannot_wake(world.db)}
    assert set(listed) == {"pc-01", "pc-05"}
    assert listed["pc-01"].startswith("no report after 3 packets, and it never answered one before")
    world.on("pc-01")
    await world.tick(730)
    assert [row.address.device for row in wake_book.cannot_wake(world.db)] == ["pc-05"]


async def test_a_relay_that_never_answers_is_what_is_named(world: World) -> None:
    for at_s in range(0, 721, 30):
        await world.tick(at_s)
        world.ledger.close_unanswered(START_MS + at_s * 1000)
    assert world.results()["pc-01"] == ("cannot", 3, "relay_silent")


async def test_an_occasion_that_ends_before_all_attempts_is_given_up_and_not_called_unable(world: World) -> None:
    await world.tick(0)
    world.db.execute("INSERT INTO stops (school, room, since_ms, reason) VALUES ('ash', NULL, 1, 'boiler')")
    for at_s in (200, 1000, 1600):
        assert (await world.tick(at_s)).commands == []
    assert world.results()["pc-01"] == ("given_up", 1, "")


async def test_a_persons_order_is_asked_at_once_with_who_and_why_also_without_a_policy(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.policies.clear()
    world.open()
    wake_book.order(world.db, Scope(school="ash", room="ict1", device="pc-02"), "patches", "technician", START_MS)
    batch = await world.tick(0, people=True)
    (entry,) = batch.commands
    assert entry.command.macs == ["02:00:00:00:00:02"]
    assert (entry.rule, entry.command.cause) == ("order", Cause.MAINTENANCE)
    assert str(batch.decisions[0].reasons[0]) == "a person asked for it (technician: patches)"
    world.db.close()


async def test_what_is_decided_is_written_once_for_why_and_again_when_it_changes(world: World) -> None:
    await world.tick(0)
    await world.tick(30)
    await world.tick(60)
    rows = world.db.execute("SELECT decision FROM decisions WHERE device = 'pc-01' ORDER BY id").fetchall()
    told = [msgspec.json.decode(blob) for (blob,) in rows]
    assert [each["verdict"] for each in told] == ["wake", "not_woken"]


async def test_a_quiet_school_is_looked_at_once_a_minute_and_at_once_for_a_person(world: World) -> None:
    """Also after the clock was set back."""
    early = -400  # 08:33:20, before the lead begins at 08:35
    assert (await world.tick(early)).commands == []
    assert (await world.tick(early + 110)).commands != [], "08:35:10: looked at again, and wanted"
    world.open()
    for number in range(1, 6):
        world.on(f"pc-{number:02}")
    await world.tick(7200)
    assert (await world.tick(early + 3600)).commands == []
    number = wake_book.order(
        world.db, Scope(school="ash", room="ict1", device="pc-02"), "x", "me", START_MS + 7_230_000
    )
    world.track(Address("ash", "pc-02"), machine(name="pc-02", state="off", idle_state="14 h")[1])
    assert number == 1
    assert len((await world.tick(7230, people=True)).commands) == 1


# -- what could not be woken stays on ----------------------------------------------------------------------------------

EVENING_MS = london_ms("2026-10-06 17:15")
DAY_MS = 86_400_000
RULE = """[[rules]]
name = "evening"
select = { rooms = ["ict1"] }
hours = ["mon-sun 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""


async def in_vain(world: World, answers: bool = True) -> None:
    """pc-01 gets all packets of a morning and does not come; the relay says that it sent them, or says nothing."""
    world.on("pc-02", "pc-03", "pc-04", "pc-05")
    for at_s in range(0, 721, 30):
        batch = await world.tick(at_s)
        if batch.commands and answers:
            await world.tick(at_s + 1, outcomes=[outcome(batch.commands[0], Step.DONE, 10 + at_s)])
        world.ledger.close_unanswered(START_MS + at_s * 1000)
    assert world.results()["pc-01"][0] == "cannot"


def kept_on(world: World, at_ms: int) -> list[str]:
    """Somebody switched everything on and left; who is kept on because it could not be woken."""
    for number in range(1, 6):
        name = f"pc-{number:02}"
        world.track(Address("ash", name), machine(name=name, now_ms=at_ms)[1])
    decisions = energy.decide(world.decide.snapshot("ash", at_ms), world.policies["ash"], at_ms)
    return [
        decision.device.device
        for decision in decisions
        if Why.NOT_WAKEABLE in {reason.why for reason in decision.reasons}
    ]


async def test_what_did_not_answer_its_last_wake_and_what_has_no_mac_stay_on_in_the_evening(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY + RULE)
    await in_vain(world)
    assert kept_on(world, EVENING_MS) == ["pc-01", "pc-05"]
    world.open()
    assert kept_on(world, EVENING_MS) == ["pc-01", "pc-05"], "also after a start of the collector"
    (decision,) = [
        each
        for each in energy.decide(world.decide.snapshot("ash", EVENING_MS), world.policies["ash"], EVENING_MS)
        if each.device == PC
    ]
    assert str(decision.reasons[0]) == (
        "could not be woken again (it did not answer its last wake, Tue 06 Oct 08:49; "
        "tried again from Tue 20 Oct 08:49), so it stays on"
    )
    world.db.close()


async def test_it_may_go_when_it_answered_a_wake_or_when_14_days_are_over_and_not_for_being_on(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY + RULE)
    await in_vain(world)
    assert "pc-01" in kept_on(world, EVENING_MS + 12 * DAY_MS), "switched on by hand, day after day"
    assert "pc-01" not in kept_on(world, EVENING_MS + 14 * DAY_MS)
    late_s = 10 * 3600
    assert "pc-01" in kept_on(world, START_MS + late_s * 1000)
    world.track(PC, machine(name="pc-01", state="off", idle_state="14 h", now_ms=START_MS + late_s * 1000)[1])
    wake_book.order(world.db, Scope(school="ash", room="ict1", device="pc-01"), "x", "me", START_MS + late_s * 1000)
    assert len((await world.tick(late_s, people=True)).commands) == 1
    assert "pc-01" in kept_on(world, START_MS + late_s * 1000), "a packet proves nothing"
    await world.tick(late_s + 60)
    assert "pc-01" not in kept_on(world, START_MS + (late_s + 60) * 1000)
    world.db.close()


async def test_a_wake_that_failed_for_the_relay_says_nothing_of_the_machine(tmp_path: Path) -> None:
    world = World(tmp_path, POLICY + RULE)
    await in_vain(world, answers=False)
    assert world.results()["pc-01"][2] == "relay_silent"
    assert kept_on(world, EVENING_MS) == ["pc-05"]
    world.track(RELAY, machine(name=RELAY.device, room="office", abilities=(Verb.WAKE,), state="off")[1])
    assert kept_on(world, EVENING_MS) == ["pc-05"], "no relay now: they come back"
    world.db.close()


# -- readiness ---------------------------------------------------------------------------------------------------------


def recorded(world: World) -> list[tuple[str, int, int, int]]:
    return world.db.execute("SELECT room, lesson_ms, ready, total FROM readiness").fetchall()


async def test_each_lesson_is_recorded_once_for_people_and_for_the_store(world: World) -> None:
    world.on("pc-01", "pc-02", "pc-03")
    lesson_ms = london_ms("2026-10-06 08:50")
    for at_s in (570, 600, 630, 660):
        await world.tick(at_s)
    assert recorded(world) == [("ict1", lesson_ms, 3, 5)]
    points = [msgspec.msgpack.decode(blob) for (blob,) in world.db.execute("SELECT point FROM pending_points")]
    labels = ["ash", "ict1", "room", "all"]
    assert points == [["room_ready", lesson_ms * 1_000_000, labels, {"ready": 3, "total": 5}]]
    world.open()
    await world.tick(690)
    assert len(recorded(world)) == 1
    assert world.db.execute("SELECT count(*) FROM pending_points").fetchone() == (1,)


@pytest.mark.parametrize("blind", ["no broker", "new connection", "behind", "lost"])
async def test_nothing_is_recorded_of_a_lesson_that_caretaker_could_not_see(world: World, blind: str) -> None:
    if blind == "no broker":
        world.memory.connected_since_ms = 0
    elif blind == "new connection":
        world.memory.connected_since_ms = london_ms("2026-10-06 08:50") + 1
    elif blind == "behind":
        world.memory.behind_s = 31.0
    else:
        for number in range(1, 6):
            world.track(Address("ash", f"pc-{number:02}"), machine(name=f"pc-{number:02}", state="lost")[1])
    await world.tick(610)
    assert recorded(world) == []


async def test_a_lesson_that_began_long_ago_is_not_made_up_for(world: World) -> None:
    await world.tick(900)
    assert recorded(world) == []
