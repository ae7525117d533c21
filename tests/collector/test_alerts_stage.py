"""The alerts stage over a real state file: what it writes, what a restart changes, and what it must never stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from caretaker_collector import memory as memory_
from caretaker_collector import state
from caretaker_collector.calendars import Calendars
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.ledger import Ledger
from caretaker_collector.pipeline import Batch, Received
from caretaker_collector.stages import alerts as alerts_stage
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.keep import Keep
from caretaker_collector.stages.track import Track
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.topics import Address
from caretaker_rules.alert_settings import AlertsFile, Channel, Digest
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Action, Entry, Incident, Status
from caretaker_rules.model import Estate
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.service import Impact, MatrixRow, PriorityTimes, ServiceFile, ServiceLevel
from rules_world import CLASSES, SCHOOL, load_policy, london_ms, machine, report

START_MS = london_ms("2026-10-06 10:00")
NAMES = [f"pc-{number:02}" for number in range(1, 21)]
LEVEL = ServiceLevel(
    name="transitional",
    availability_target=0.98,
    priorities=[PriorityTimes(priority=number, respond="1 h", fix=f"{4 * number} h") for number in (1, 2, 3)],
    matrix=[
        MatrixRow(impact=impact, alternative=alternative, priority=priority + alternative)
        for priority, impact in ((1, Impact.SCHOOL), (1, Impact.ROOM), (2, Impact.DEVICE))
        for alternative in (True, False)
    ],
)


class World:
    """Two schools; the stages from deciding to keeping."""

    def __init__(self, folder: Path, service: ServiceFile | None = None, settings: AlertsFile | None = None) -> None:
        self.settings = settings
        self.path = folder / "state.db"
        oak = structs.replace(SCHOOL, name="oak", title="Oakley")
        devices = {}
        for name in NAMES:
            device, _ = machine(name=name, room="ict1" if name < "pc-11" else "office")
            for school in ("ash", "oak"):
                one = structs.replace(device, school=school)
                devices[one.address] = one
        self.estate = Estate(
            provider="Test",
            networks={},
            schools={"ash": SCHOOL, "oak": oak},
            classes=CLASSES,
            devices=devices,
            service=service,
        )
        self.states: dict[Address, str] = dict.fromkeys(devices, "in_use")
        self.open()

    def open(self) -> None:
        """As after a start of the collector."""
        self.db = state.open_state(self.path)
        self.memory = memory_.load(self.db)
        self.memory.connected_since_ms = 1
        self.ledger = Ledger(self.db, self.memory)
        policies = {"ash": load_policy()}  # oak has none: its incidents are found all the same
        self.decide = Decide(self.memory, self.ledger, self.estate, policies, Calendars(self.estate, Path()))
        self.track = Track(self.memory, PresenceSettings())
        self.alerts = Alerts(self.db, self.memory, self.estate, policies, self.settings)
        self.keep = Keep(self.db, self.memory, self.ledger, self.estate)

    def restart(self) -> None:
        """The collector ends and starts again."""
        self.db.close()
        self.open()

    async def tick(self, at_s: int, *, keep: bool = True, messages: Any = ()) -> Batch:
        """One batch, `at_s` seconds after the start, and the one that follows at once where it asks for it."""
        now_ms = START_MS + at_s * 1000
        for address, word in self.states.items():
            cause = Cause.RULE if word == "off" else Cause.NO_INPUT
            tracked = machine(name=address.device, state=word, now_ms=now_ms, cause=cause)[1]
            if word == "lost":
                presence = structs.replace(tracked.presence, since_ms=START_MS, heard_ms=START_MS)
                tracked = structs.replace(tracked, presence=presence)
            self.memory.entry(address).tracked = tracked
        batch = Batch(now_ms=now_ms, records=[], tick=True, position=0)
        batch.messages += messages
        again = batch
        for stage in (self.track, self.decide, self.alerts) if messages else (self.decide, self.alerts):
            await stage.run(batch)
        if keep:
            await self.keep.run(batch)
            while again.unfinished:
                again = Batch(now_ms=now_ms, records=[], tick=False, position=0)
                await self.decide.run(again)
                await self.alerts.run(again)
                await self.keep.run(again)
        return batch

    def set(self, word: str, *names: str, school: str = "ash") -> None:
        self.states.update({Address(school, name): word for name in names or NAMES})

    def listed(self, school: str | None = None) -> list[Incident]:
        return list(incident_book.listed(self.db, school))

    def points(self) -> list[tuple[str, dict[str, Any]]]:
        rows = self.db.execute("SELECT point FROM pending_points ORDER BY id").fetchall()
        found = [msgspec.msgpack.decode(blob) for (blob,) in rows]
        return [("/".join(tags), fields) for measurement, _, tags, fields in found if measurement == "incident"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, ServiceFile(levels=[LEVEL]))
    yield made
    made.db.close()


async def test_a_lost_machine_becomes_one_incident_with_priority_and_ends_as_of_its_return(world: World) -> None:
    world.set("lost", "pc-01")
    world.set("lost", "pc-02", school="oak")
    for at_s in range(0, 300, 30):
        await world.tick(at_s)
    ash, oak = world.listed("ash"), world.listed("oak")
    assert [(one.key, one.number, one.priority, one.status) for one in ash + oak] == [
        ("lost ash/pc-01", 1, 3, Status.OPEN),
        ("lost oak/pc-02", 2, 3, Status.OPEN),
    ]
    world.set("in_use")
    for at_s in range(300, 600, 30):
        await world.tick(at_s)
    [fixed] = world.listed("ash")
    assert (fixed.status, fixed.fixed_ms, fixed.fixed_by) == (Status.FIXED, START_MS + 300_000, "rules")
    assert fixed.priority == 3


async def test_a_school_that_goes_dark_is_one_incident(world: World) -> None:
    await world.tick(0)
    world.set("lost", *NAMES[:-3])
    for at_s in range(30, 600, 30):
        await world.tick(at_s)
    [dark] = world.listed()
    assert (dark.key, len(dark.hits), dark.priority, dark.impact) == ("school_dark ash", 17, 1, Impact.SCHOOL)


async def test_a_restart_in_mid_outage_changes_nothing(tmp_path: Path) -> None:
    told = []
    for restarts in (False, True):
        (tmp_path / str(restarts)).mkdir()
        world = World(tmp_path / str(restarts), ServiceFile(levels=[LEVEL]))
        for at_s in range(0, 1800, 30):
            if at_s == 60:
                world.set("lost", "pc-01")
            if at_s == 300:
                world.set("lost", *NAMES[1:10])
            if at_s == 900:
                world.set("in_use")
            await world.tick(at_s)
            if restarts:
                world.restart()
        told.append([(incident_book.log_of(world.db, one.uid), one.number) for one in world.listed()])
        world.db.close()
    assert told[0] == told[1]
    assert [log[0].opened.kind.value for log, _ in told[0] if log[0].opened] == ["lost", "link_down"]
    assert [log[-1].action for log, _ in told[0]] == [Action.MERGED, Action.FIXED]


async def test_a_batch_that_could_not_be_kept_leaves_nothing_behind(world: World) -> None:
    world.set("lost", "pc-01")
    await world.tick(0)
    await world.tick(30, keep=False)
    assert world.listed() == []
    await world.tick(60)
    await world.tick(90)
    assert [one.key for one in world.listed()] == ["lost ash/pc-01"]


async def test_a_look_that_fails_at_one_school_stops_neither_the_rules_nor_the_other_school(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(view: Any) -> Any:
        if view.snapshot.school.name == "ash":
            raise ZeroDivisionError("of all things")
        return honest(view)

    honest = alerts_stage.find
    monkeypatch.setattr(alerts_stage, "find", broken)
    world.set("lost", "pc-01")
    world.set("lost", "pc-01", school="oak")
    for at_s in range(0, 120, 30):
        batch = await world.tick(at_s)
        assert batch.checked == ["ash"]
    assert batch.decisions or world.memory.verdicts
    assert [one.key for one in world.listed()] == ["lost oak/pc-01"]
    assert world.alerts.problem == "no incidents of ash: ZeroDivisionError: of all things"
    for at_s in range(0, 900, 30):
        world.alerts.watch({"alerts": world.alerts.problem}, START_MS + at_s * 1000)
    [own] = world.listed("")
    assert (own.key, own.priority) == ("rules_silent caretaker", None)
    assert "ZeroDivisionError" in own.title
    monkeypatch.setattr(alerts_stage, "find", honest)
    await world.tick(900)
    assert world.alerts.problem == ""


async def test_without_a_broker_nothing_begins_and_nothing_ends_at_a_school(world: World) -> None:
    world.set("lost", "pc-01")
    for at_s in range(0, 90, 30):
        await world.tick(at_s)
    world.memory.connected_since_ms = 0
    world.set("in_use", "pc-01")
    world.set("lost", "pc-02")
    for at_s in range(90, 900, 30):
        await world.tick(at_s)
    assert [(one.key, one.open) for one in world.listed()] == [("lost ash/pc-01", True)]


async def test_silence_of_a_part_of_caretaker_is_an_incident_after_its_stated_time(world: World) -> None:
    def look(until_s: int, problems: dict[str, str]) -> None:
        nonlocal at_s
        while at_s < until_s:
            world.alerts.watch(problems, START_MS + at_s * 1000)
            at_s += 10

    at_s = 0
    wrong = {"broker": "refused", "store": "disk full", "rules": "not run for 900 s"}
    look(60, wrong)
    assert world.listed() == []
    look(80, wrong)
    assert [one.key for one in world.listed()] == ["broker_silent caretaker"]
    look(330, wrong)
    assert {one.key for one in world.listed()} == {f"{part}_silent caretaker" for part in ("broker", "store", "rules")}
    look(600, {})
    assert not incident_book.open_ones(world.db)
    world.memory.behind_s = 400
    look(700, {})
    [behind] = incident_book.open_ones(world.db, "")
    assert behind.title == "Caretaker is 7 min behind"


def test_a_watch_that_cannot_write_says_so(world: World) -> None:
    world.db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON pending_findings BEGIN SELECT raise(ABORT, 'disk full'); END"
    )
    with pytest.raises(Unavailable):
        world.alerts.watch({"broker": "gone"}, START_MS)
    assert not world.db.in_transaction


async def test_every_change_of_an_incident_becomes_one_point_whoever_made_it(world: World) -> None:
    world.set("lost", "pc-01")
    await world.tick(0)
    await world.tick(30)
    [one] = world.listed()
    entry = Entry(uid=one.uid, at_ms=START_MS + 40_000, by="engineer", action=Action.ACKNOWLEDGED, text="Mr Smith")
    incident_book.append(world.db, entry)
    world.restart()
    await world.tick(60)
    await world.tick(90)
    world.restart()
    await world.tick(120)
    points = world.points()
    assert [(tags, fields["action"], fields["status"], fields["number"]) for tags, fields in points] == [
        ("ash/ict1/desktop/pc-01", "opened", "open", 1),
        ("ash/ict1/desktop/pc-01", "acknowledged", "acknowledged", 1),
    ]
    assert "Smith" not in str(points)


async def test_three_starts_without_a_goodbye_within_a_day_are_crashes_and_a_late_goodbye_takes_one_back(
    world: World,
) -> None:
    address = Address("ash", "pc-01")

    def boots(boot: int, at_s: int) -> Received:
        at_ms = START_MS + at_s * 1000
        return Received(address, report(1, PowerState.IN_USE, boot=boot, at_ms=at_ms, cause=Cause.BOOT), at_ms)

    for boot, at_s in ((6, 0), (7, 60), (8, 120)):
        world.memory.entry(address).tracked = machine(name="pc-01", state="in_use")[1]
        tracked = world.memory.entry(address).tracked
        presence = structs.replace(tracked.presence, boot=boot - 1, link_boot=boot - 1)
        world.memory.entry(address).tracked = structs.replace(tracked, presence=presence)
        batch = Batch(now_ms=START_MS + at_s * 1000, records=[], tick=False, position=0)
        batch.messages.append(boots(boot, at_s))
        for stage in (world.track, world.alerts, world.keep):
            await stage.run(batch)
    await world.tick(180)
    assert [one.key for one in world.listed()] == ["crashing ash/pc-01"]
    late = report(9, PowerState.OFF, PowerState.IN_USE, boot=6, at_ms=START_MS + 50_000, cause=Cause.USER)
    batch = Batch(now_ms=START_MS + 200_000, records=[], tick=False, position=0)
    batch.messages.append(Received(address, late, START_MS + 200_000))
    world.memory.entry(address).tracked = structs.replace(tracked, presence=structs.replace(presence, boot=8))
    for stage in (world.track, world.alerts, world.keep):
        await stage.run(batch)
    assert finding_book.crashes(world.db, 0) == {"ash": {"pc-01": (2, START_MS + 120_000)}}


async def test_a_school_that_loses_machines_one_by_one_burns_its_allowed_outage_and_a_restart_forgets_nothing(
    world: World,
) -> None:
    """Of twenty machines three are 15 %; 2 % may be down, and four times as much over an hour is too fast."""
    for at_s in range(0, 5400, 300):
        if at_s in (600, 1200, 1800):
            world.set("lost", NAMES[at_s // 600 - 1])
        await world.tick(at_s)
        if at_s % 900 == 0:
            world.restart()
    found = {one.key: one for one in world.listed("ash")}
    assert set(found) == {"lost ash/pc-01", "lost ash/pc-02", "lost ash/pc-03", "burning ash"}
    burning = found["burning ash"]
    assert "2.0% allowed" in burning.title
    assert len(burning.hits) == 3
    assert world.db.execute("SELECT count(*), sum(service_ms) FROM burn_slices WHERE school = 'ash'").fetchone() == (
        16,  # all of the time but the first five minutes: before them nothing was on record
        4_800_000,
    )


async def test_a_dark_school_burns_without_a_second_incident(world: World) -> None:
    for at_s in range(0, 9000, 300):
        if at_s == 3600:
            world.set("lost", *NAMES[:-2])
        await world.tick(at_s)
    assert [one.key for one in world.listed("ash")] == ["school_dark ash"]


async def test_what_burns_at_closing_time_is_neither_fixed_then_nor_opened_anew_in_the_morning(world: World) -> None:
    for at_s in range(0, 24 * 3600, 300):
        if at_s == 6 * 3600 - 600:  # ten to four
            world.set("lost", *NAMES[:1])
        if at_s == 6 * 3600:
            world.set("lost", *NAMES[1:2])
        await world.tick(at_s)
    [burning] = [one for one in world.listed("ash") if one.kind is FindingKind.BURNING]
    assert burning.opened_ms < START_MS + 7 * 3_600_000, "within service"
    assert burning.open and burning.reopened == 0


async def test_what_a_dark_school_used_up_does_not_begin_to_burn_when_it_is_back(world: World) -> None:
    """Only what the four machines use up that stay away, once its end is no more within the hour that is looked at."""
    for at_s in (*range(0, 5400, 300), *range(5400, 6000, 30), *range(6000, 4 * 3600, 300)):
        if at_s == 3600:
            world.set("lost", *NAMES[:-2])
        if at_s == 5400:
            world.set("in_use", *NAMES[:-6])
        await world.tick(at_s)
    found = {one.key: one for one in world.listed("ash")}
    assert set(found) == {"school_dark ash", "burning ash", *(f"lost ash/{name}" for name in NAMES[-6:-2])}
    back_ms = found["school_dark ash"].fixed_ms
    assert 0 <= found["burning ash"].opened_ms - back_ms - 3_600_000 <= 300_000


async def test_the_digest_goes_out_once_a_day_though_the_rules_stand_still(tmp_path: Path) -> None:
    desk = Channel(name="desk", kind="mail", to=["desk@test.invalid"])
    settings = AlertsFile(default=["desk"], channels=[desk], digests=[Digest(channels=["desk"], at="10:00")])
    world = World(tmp_path, ServiceFile(levels=[LEVEL]), settings)
    for at_s in range(0, 3600, 300):
        world.alerts.watch({}, START_MS + at_s * 1000)
        if at_s == 900:
            world.restart()
    rows = world.db.execute("SELECT what, channel, status FROM tellings").fetchall()
    assert rows == [("digest", "desk", "waiting")]
    world.db.close()


async def test_people_are_told_once_of_a_dark_school_with_its_number(tmp_path: Path) -> None:
    desk = Channel(name="desk", kind="mail", to=["desk@test.invalid"])
    world = World(tmp_path, ServiceFile(levels=[LEVEL]), AlertsFile(default=["desk"], channels=[desk]))
    for at_s in range(0, 1500, 30):
        if at_s == 30:
            world.set("lost", *NAMES[:-2])
        if at_s == 900:
            world.set("in_use")
        await world.tick(at_s)
        world.restart()
    rows = world.db.execute("SELECT what, json_extract(telling, '$.title') FROM tellings ORDER BY made_ms").fetchall()
    assert [what for what, _ in rows] == ["opened", "fixed"]
    assert rows[0][1] == "P1 Ashfield Secondary: the whole school is silent: 18 of 20 machines (INC-1)"
    world.db.close()


async def test_what_is_urgent_is_told_in_the_round_in_which_it_is_found(tmp_path: Path) -> None:
    desk = Channel(name="desk", kind="ticket", url="http://127.0.0.1:1")
    world = World(tmp_path, ServiceFile(levels=[LEVEL]), AlertsFile(default=["desk"], channels=[desk]))
    await world.tick(0)
    world.set("lost", *NAMES[:-2])
    await world.tick(60)
    [one] = world.listed()
    assert world.db.execute("SELECT uid, what FROM tellings").fetchall() == [(one.uid, "opened")]
    world.db.close()


async def test_right_after_the_broker_is_back_nothing_begins_yet(world: World) -> None:
    world.set("lost", "pc-01")
    world.memory.connected_since_ms = START_MS - 10_000
    await world.tick(0)
    await world.tick(30)
    assert world.listed() == []
    await world.tick(60)
    await world.tick(90)
    assert [one.key for one in world.listed()] == ["lost ash/pc-01"]


async def test_a_machine_that_said_goodbye_did_not_crash(world: World) -> None:
    address = Address("ash", "pc-01")
    tracked = machine(name="pc-01", state="off", cause=Cause.USER)[1]
    for before in (tracked, structs.replace(tracked, presence=structs.replace(tracked.presence, seq=0))):
        world.memory.entry(address).tracked = before
        batch = Batch(now_ms=START_MS, records=[], tick=False, position=0)
        boot = report(1, PowerState.IN_USE, boot=6, at_ms=START_MS, cause=Cause.BOOT)
        batch.messages.append(Received(address, boot, START_MS))
        await world.track.run(batch)
        assert batch.crashes == []


async def test_what_lies_between_two_looks_far_apart_is_no_machine_time(world: World) -> None:
    for at_s in (0, 300, 7500, 7800):
        await world.tick(at_s)
    [(spent_ms,)] = world.db.execute("SELECT sum(service_ms) FROM burn_slices WHERE school = 'ash'")
    assert spent_ms == 600_000
