"""What boards show as "now": how a school and its rooms stand, once a minute and every five minutes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from caretaker_collector import memory as memory_
from caretaker_collector import state
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.now import Now
from caretaker_collector.stores.points import fault_of, shape_of
from caretaker_contract.messages import Cause
from caretaker_contract.metrics import Point
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Opened
from caretaker_rules.model import Device, Estate, LevelChange, Tracked
from caretaker_rules.service import MatrixRow, PriorityTimes, ServiceFile, ServiceLevel
from rules_world import CLASSES, SCHOOL, hold, load_policy, london_ms, machine, snapshot, stop

NOW_MS = london_ms("2026-10-06 10:02:30")  # a lesson in ict1, and nowhere else
LEVEL = ServiceLevel(
    name="early",
    hours=["mon-fri 08:00-17:00"],
    availability_target=0.98,
    priorities=[PriorityTimes(priority=1, respond="30 min", fix="4 h")],
    matrix=list[MatrixRow](),
)
SWITCH = structs.replace(CLASSES["desktop"], name="switch", agent=False)


def _planned(found: tuple[Device, Tracked]) -> tuple[Device, Tracked]:
    device, tracked = found
    return device, structs.replace(tracked, presence=structs.replace(tracked.presence, planned=True))


class World:
    """One school whose snapshot a test gives; the stage and the incidents that it reads."""

    def __init__(self, folder: Path, level: bool = True) -> None:
        self.db = state.open_state(folder / "state.db")
        school = structs.replace(SCHOOL, service_level="early") if level else SCHOOL
        self.school = structs.replace(school, levels=list[LevelChange]())
        self.estate = Estate(
            provider="Test",
            networks={},
            schools={"ash": self.school},
            classes=CLASSES,
            devices={},
            service=ServiceFile(levels=[LEVEL]) if level else None,
        )
        self.memory = memory_.load(self.db)
        self.memory.connected_since_ms = 1
        self.policies = {"ash": load_policy()}
        self.open()

    def open(self) -> None:
        """As after a start of the collector."""
        self.alerts = Alerts(self.db, self.memory, self.estate, self.policies)
        self.now = Now(self.alerts, self.policies, ready_ratio=0.9)

    async def look(self, *machines: tuple[Device, Tracked], now_ms: int = NOW_MS, **more: Any) -> list[Point]:
        """One round of the school; the points that it leaves."""
        batch = Batch(now_ms=now_ms, records=[], tick=True, position=0)
        await self.alerts.run(batch)  # brings incidents up to date
        batch.writes.clear()
        batch.looked["ash"] = snapshot(*machines, school=self.school, **more)
        await self.now.run(batch)
        points = []
        for statement, (blob,) in batch.writes:
            assert statement.startswith("INSERT INTO pending_points")
            measurement, time_ns, tags, fields = msgspec.msgpack.decode(blob)
            points.append(Point(measurement, time_ns, tuple(tags), fields))
        assert [fault for point in points if (fault := fault_of(point, shape_of(point)))] == []
        return points

    async def school_now(self, *machines: tuple[Device, Tracked], **more: Any) -> dict[str, Any]:
        """The fields of the school's point."""
        return next(point.fields for point in await self.look(*machines, **more) if point.measurement == "school_now")

    def incident(self, uid: str, opened: str, priority: int | None, *actions: tuple[str, Action]) -> None:
        """An incident in the book."""
        told = Opened(
            kind=FindingKind.LOST, subject=Subject("ash", "ict1", uid), title="lost", since_ms=1, priority=priority
        )
        entries = [Entry(uid=uid, at_ms=london_ms(opened), by="rules", action=Action.OPENED, opened=told)]
        entries += [Entry(uid=uid, at_ms=london_ms(at), by="ann", action=action) for at, action in actions]
        incident_book.append(self.db, *entries)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.db.close()


async def test_devices_are_counted_by_state_for_the_school_and_for_each_room(world: World) -> None:
    machines = [
        machine(name="pc-01", state="in_use", now_ms=NOW_MS),
        machine(name="pc-02", state="idle", now_ms=NOW_MS),
        machine(name="pc-03", state="lost", now_ms=NOW_MS),
        _planned(machine(name="pc-04", state="off", cause=Cause.RULE, now_ms=NOW_MS)),
        machine(name="pc-05", state="off", now_ms=NOW_MS),
        _planned(machine(name="pc-06", room="office", state="asleep", now_ms=NOW_MS)),
        machine(name="pc-07", room="office", silent=True),
        machine(name="sw", room="office", device_class="switch", silent=True),  # says nothing by itself
    ]
    points = {point.tags: point for point in await world.look(*machines, classes={**CLASSES, "switch": SWITCH})}
    states = ("devices", "in_use", "idle", "asleep", "off", "lost", "unknown", "planned_off")

    def told(*tags: str) -> list[Any]:
        return [points[tags].fields[name] for name in states]

    assert told("ash", "all", "all", "all") == [7, 1, 1, 1, 2, 1, 1, 2]
    assert told("ash", "ict1", "room", "all") == [5, 1, 1, 0, 2, 1, 0, 1]
    assert told("ash", "office", "room", "all") == [2, 0, 0, 1, 0, 0, 1, 1]
    assert told("ash", "hall", "room", "all") == [0] * 8  # an empty room has a line of its own, too
    assert points["ash", "all", "all", "all"].time_ns == london_ms("2026-10-06 10:02") * 1_000_000
    assert points["ash", "ict1", "room", "all"].time_ns == london_ms("2026-10-06 10:00") * 1_000_000


async def test_a_school_has_a_point_a_minute_and_a_room_one_every_five(world: World) -> None:
    found = []
    for second in range(0, 900, 20):
        points = await world.look(machine(now_ms=NOW_MS), now_ms=NOW_MS + second * 1000)
        found += [(point.measurement, point.tags[1], point.time_ns) for point in points]
    assert len(found) == len(set(found))
    assert sum(name == "school_now" for name, _, _ in found) == 16  # 10:02 to 10:17
    assert sum(room == "ict1" for _, room, _ in found) == 4  # 10:00 to 10:15


async def test_after_a_restart_the_same_minute_falls_on_the_same_rows(world: World) -> None:
    before = await world.look(machine(now_ms=NOW_MS))
    world.open()
    again = await world.look(machine(now_ms=NOW_MS), now_ms=NOW_MS + 10_000)
    assert [(p.measurement, p.tags, p.time_ns) for p in again] == [(p.measurement, p.tags, p.time_ns) for p in before]


@pytest.mark.parametrize(("on", "ready"), [(10, 1), (9, 1), (8, 0)])
async def test_a_room_with_a_lesson_is_ready_with_nine_tenths_of_its_machines_on(
    world: World, on: int, ready: int
) -> None:
    states = ["in_use"] * on + ["off"] * (10 - on)
    fields = await world.school_now(
        *(machine(name=f"pc-{at}", state=state, now_ms=NOW_MS) for at, state in enumerate(states))
    )
    assert (fields["lessons"], fields["lessons_ready"]) == (1, ready)


@pytest.mark.parametrize("more", [{"behind_s": float("inf")}, {"behind_s": 3600.0}])
async def test_while_caretaker_is_blind_it_says_so_and_claims_no_room_ready(
    world: World, more: dict[str, float]
) -> None:
    fields = await world.school_now(machine(now_ms=NOW_MS), **more)
    assert fields["blind"] is True
    assert "lessons_ready" not in fields
    assert fields["lessons"] == 1


async def test_a_school_that_looks_lost_is_blind(world: World) -> None:
    fields = await world.school_now(*(machine(name=f"pc-{at}", state="lost", now_ms=NOW_MS) for at in range(8)))
    assert fields["blind"] is True


async def test_incidents_are_counted_by_priority_and_the_tightest_clock_is_told(world: World) -> None:
    world.incident("a", "2026-10-06 09:00", 1)
    world.incident("b", "2026-10-06 08:30", 1)
    # A minute is left, and it waits for the customer.
    world.incident("c", "2026-10-02 08:00", 1, ("2026-10-02 11:59", Action.PAUSED))
    world.incident("d", "2026-10-06 08:00", 1, ("2026-10-06 09:00", Action.FIXED))
    world.incident("e", "2026-10-06 09:00", None)
    fields = await world.school_now(machine(now_ms=NOW_MS))
    assert [fields[f"open_p{priority}"] for priority in (1, 2, 3, 4)] == [3, 0, 0, 0]
    assert fields["open_none"] == 1
    assert fields["fix_left_min"] == 4 * 60 - 92.5


async def test_a_clock_that_is_late_is_below_zero_and_none_where_no_clock_runs(world: World, tmp_path: Path) -> None:
    assert "fix_left_min" not in await world.school_now(machine(now_ms=NOW_MS))
    world.incident("a", "2026-10-05 16:00", 1)  # 1 h of service on that day; 5 October is closed, so none
    later_ms = london_ms("2026-10-06 12:30")
    assert (await world.school_now(machine(now_ms=later_ms), now_ms=later_ms))["fix_left_min"] < 0
    (tmp_path / "bare").mkdir()
    bare = World(tmp_path / "bare", level=False)
    bare.incident("a", "2026-10-06 09:00", None)
    fields = await bare.school_now(machine(now_ms=NOW_MS))
    bare.db.close()
    assert "fix_left_min" not in fields
    assert fields["open_none"] == 1


async def test_mode_and_stop_switch_are_told(world: World) -> None:
    fields = await world.school_now(machine(now_ms=NOW_MS), stops=[stop("ash", "ict1")])
    assert (fields["mode"], fields["stopped"]) == (load_policy().mode.value, False)  # one room is not the school
    world.open()
    assert (await world.school_now(machine(now_ms=NOW_MS), stops=[stop()]))["stopped"] is True
    world.policies.clear()
    world.open()
    assert "mode" not in await world.school_now(machine(now_ms=NOW_MS))


async def test_a_room_tells_of_its_lesson_and_of_a_hold(world: World) -> None:
    holds = [structs.replace(hold(room="office"), from_ms=NOW_MS - 1, until_ms=NOW_MS + 1)]
    holds.append(structs.replace(hold(room="hall", kind="silence"), from_ms=NOW_MS - 1, until_ms=NOW_MS + 1))
    holds.append(structs.replace(hold(room="ict1", device="pc-01"), from_ms=NOW_MS - 1, until_ms=NOW_MS + 1))
    points = {point.tags[1]: point.fields for point in await world.look(machine(now_ms=NOW_MS), holds=holds)}
    assert {room: (points[room]["lesson"], points[room]["held"]) for room in ("ict1", "office", "hall")} == {
        "ict1": (True, False),
        "office": (False, True),
        "hall": (False, False),
    }


async def test_a_school_that_cannot_be_counted_stops_nothing_and_has_its_points_again_afterwards(world: World) -> None:
    broken = structs.replace(machine(now_ms=NOW_MS)[1], presence=None)  # type: ignore[arg-type]
    assert await world.look((machine()[0], broken)) == []
    assert len(await world.look(machine(now_ms=NOW_MS))) == 4
