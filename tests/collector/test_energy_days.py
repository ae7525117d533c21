"""What each school, room and rule used and avoided by day and month: as `caretaker savings` has it, kept true."""

from collections.abc import AsyncIterator, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caretaker_collector import state
from caretaker_collector.days import energy as energy_days
from caretaker_collector.days import savings_report
from caretaker_collector.days.energy import EnergyDays
from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.points import transition_fields
from caretaker_collector.stores.points import fault_of, shape_of
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.model import Transition
from caretaker_rules.reasons import Reason, Why
from rules_world import london_ms
from savings_fleet import BASELINE, ESTATE, FACTORS, TARGET, TARIFFS, ZONE, live

MIX = {"ict3": 6, "english": 3}
LATE_MS = london_ms("2026-11-01 00:00")
MONDAY, TUESDAY = date(2026, 9, 28), date(2026, 9, 29)
OCTOBER = (date(2026, 10, 1), date(2026, 10, 16))


def moved(heard: Iterable[tuple[Any, ...]]) -> list[Point]:
    """Changes of state as points."""
    return [
        Point(
            "transition",
            at_ms * 1_000_000,
            ("ash", room, device_class, device),
            dict(transition_fields(Transition(at_ms, was, now, cause, False))),
        )
        for at_ms, device, room, device_class, was, now, cause in heard
    ]


@pytest.fixture(scope="module")
def lived() -> tuple[list[Point], list[Point]]:
    """A few machines of a school: three weeks without a rule, and three with one."""
    return moved(live(3, *BASELINE, mix=MIX)[0]), moved(live(3, *TARGET, rule=True, mix=MIX)[0])


class World:
    """A store with these weeks in it, a ledger, and what reckons them."""

    def __init__(self, folder: Path, tariffs: Any = TARIFFS) -> None:
        self.store = SqliteStore(folder / "store.db")
        self.db = state.open_state(folder / "state.db")
        self.estate = msgspec.structs.replace(ESTATE, tariffs=list(tariffs), carbon=list(FACTORS))
        self.energy = EnergyDays(self.db, self.store, self.estate, Clock())

    async def fill(self, lived: tuple[list[Point], list[Point]]) -> None:
        """Transitions, device-days of 500 Wh, and a ledger that says which rule asked."""
        before, during = lived
        machines = {point.tags for point in during}
        days = [TARGET[0] + timedelta(days=number) for number in range((TARGET[1] - TARGET[0]).days + 1)]
        spent = {"in_use_s": 0, "idle_s": 0, "asleep_s": 0, "off_s": 0, "blind_s": 60, "boots": 1, "energy_wh": 500.0}
        device_days = [
            Point("device_day", midnight_ms(day, ZONE) * 1_000_000, tags, dict(spent))
            for day in days
            for tags in machines
        ]
        assert await self.store.write([*before, *during, *device_days]) == []
        for point in during:
            if point.fields["cause"] == "rule" and point.fields["to_state"] == "off":
                rule = "lab" if point.tags[1] == "ict3" else "rest"
                self.command(point.tags[3], point.time_ns // 1_000_000 - 120_000, rule)

    def command(self, device: str, at_ms: int, rule: str) -> None:
        """A shut-down in the ledger."""
        self.db.execute(
            "INSERT INTO commands (id, school, device, verb, rule, decided_ms, expires_ms, body, status) "
            "VALUES (?, 'ash', ?, 'shut_down', ?, ?, 0, '', 'done')",
            (f"{device}-{at_ms}", device, rule, at_ms),
        )

    def observed(self) -> None:
        """The ledger knows that rules only observed in the baseline."""
        for day in BASELINE:
            one = Decision(
                Address("ash", "x"),
                london_ms(f"{day} 17:00"),
                Verdict.LEFT_ON,
                "lab",
                3,
                "7c1e",
                (Reason(Why.OBSERVE_ONLY, "observe"),),
                policy_file="school.toml",
            )
            self.db.execute(
                "INSERT INTO decisions (school, device, at_ms, decision) VALUES ('ash', 'x', ?, ?)",
                (one.at_ms, msgspec.json.encode(one)),
            )

    async def reckon(self, *days: date) -> int:
        """Mark these days, or all of the target, and reckon them."""
        for day in days or [TARGET[0] + timedelta(days=at) for at in range((TARGET[1] - TARGET[0]).days + 1)]:
            energy_days.mark(self.db, "ash", day, LATE_MS)
        return await self.energy.step(LATE_MS, settle=False)

    async def fields(self, measurement: str, day: date, room: str = "all", kind: str = "") -> dict[str, Any]:
        """The fields of one point; {} when there is none."""
        kind = kind or ("all" if room == "all" else "room")
        start_ms = midnight_ms(day, ZONE)
        for point in await self.store.read(measurement, start_ms, start_ms + 1, school="ash"):
            if point.tags == ("ash", room, kind, "all"):
                assert fault_of(point, shape_of(point)) == ""
                return dict(point.fields)
        return {}

    async def close(self) -> None:
        await self.store.close()
        self.db.close()


@pytest.fixture
async def world(tmp_path: Path, lived: tuple[list[Point], list[Point]]) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.fill(lived)
    yield made
    await made.close()


@pytest.mark.parametrize(("measurement", "first", "last"), [("energy_day", MONDAY, MONDAY), ("energy_month", *OCTOBER)])
async def test_a_day_and_a_month_are_what_the_command_says(
    world: World, measurement: str, first: date, last: date
) -> None:
    world.observed()
    await world.reckon()
    told = await savings_report.report(world.store, world.estate, "ash", (first, last), BASELINE, LATE_MS)
    fields = await world.fields(measurement, first)
    assert told.savings is not None
    assert (fields["device_days"], fields["used_kwh"]) == (told.used.device_days, told.used.kwh)
    assert fields["used_pence"] == pytest.approx(told.used.kwh * 25)
    for kind, saving in (("rule", told.savings.rule_off), ("user", told.savings.user_off), ("both", told.savings.both)):
        assert saving.pounds is not None
        assert saving.kg_co2e is not None
        assert [fields[f"{kind}_kwh{end}"] for end in ("_low", "", "_high")] == [
            saving.kwh.low,
            saving.kwh.likely,
            saving.kwh.high,
        ]
        assert fields[f"{kind}_pence_high"] == saving.pounds.high * 100
        assert fields[f"{kind}_kg_low"] == saving.kg_co2e.low
        assert fields[f"{kind}_offs"] == saving.spells
    assert fields["rule_kwh"] > 0


async def test_rooms_and_rules_add_up_to_the_school(world: World) -> None:
    """The likely figures; a sum of ranges would be too wide."""
    world.observed()
    await world.reckon(MONDAY)
    whole = await world.fields("energy_day", MONDAY)
    rooms = [await world.fields("energy_day", MONDAY, room) for room in MIX]
    rules = [await world.fields("rule_day", MONDAY, kind=f"rule:{rule}") for rule in ("lab", "rest")]
    for name in ("used_kwh", "rule_kwh", "user_kwh", "both_kwh", "used_kg", "rule_pence", "rule_offs", "device_days"):
        assert sum(fields[name] for fields in rooms) == pytest.approx(whole[name]), name
    for name in ("rule_kwh", "rule_offs", "rule_kg"):
        assert sum(fields[name] for fields in rules) == pytest.approx(whole[name]), name
    assert sum(fields["rule_kwh_high"] for fields in rooms) > whole["rule_kwh_high"]
    assert rules[0]["rule_offs"] > 0
    assert rules[1]["rule_offs"] > 0


async def test_a_rule_that_the_ledger_does_not_know_is_not_blamed_on_another(world: World) -> None:
    world.observed()
    world.db.execute("DELETE FROM commands WHERE rule = 'rest'")
    await world.reckon(MONDAY)
    assert (await world.fields("rule_day", MONDAY, kind="rule:not-known"))["rule_offs"] > 0
    assert await world.fields("rule_day", MONDAY, kind="rule:rest") == {}


async def test_before_there_is_a_baseline_only_what_was_used_is_known(world: World) -> None:
    await world.reckon(MONDAY)
    fields = await world.fields("energy_day", MONDAY)
    assert fields.keys() == {"device_days", "blind_h", "used_kwh", "used_pence", "used_kg"}
    assert fields["used_kwh"] == pytest.approx(9 * 0.5)


async def test_without_a_tariff_there_are_no_pence_and_all_else_is_there(
    tmp_path: Path, lived: tuple[list[Point], list[Point]]
) -> None:
    world = World(tmp_path, tariffs=())
    await world.fill(lived)
    world.observed()
    await world.reckon(MONDAY)
    fields = await world.fields("energy_day", MONDAY)
    await world.close()
    assert [name for name in fields if "pence" in name] == []
    assert {"used_kg", "both_kg_low", "rule_kwh"} <= fields.keys()


async def test_a_room_in_which_nothing_was_left_has_avoided_nothing_and_says_so(world: World) -> None:
    world.observed()
    extra = Point("device_day", midnight_ms(MONDAY, ZONE) * 1_000_000, ("ash", "hall", "desktop", "x"), {"in_use_s": 1})
    await world.store.write([extra])
    await world.reckon(MONDAY)
    fields = await world.fields("energy_day", MONDAY, "hall")
    assert (fields["rule_kwh"], fields["user_kwh"], fields["both_offs"]) == (0, 0, 0)


async def test_a_late_report_changes_its_day_and_the_days_that_it_reaches(world: World) -> None:
    """A machine that was seen to go off on Monday evening only later has saved on Tuesday, too."""
    world.observed()
    await world.reckon()
    before = {day: await world.fields("energy_day", day) for day in (MONDAY, TUESDAY, date(2026, 10, 12))}
    gone_ms = london_ms(f"{MONDAY} 22:00")
    tags = ("ash", "ict3", "desktop", "late-pc")
    for at, was, now, cause in (
        (london_ms(f"{MONDAY} 21:00"), PowerState.IN_USE, PowerState.IDLE, Cause.NO_INPUT),
        (gone_ms, PowerState.IDLE, PowerState.OFF, Cause.RULE),
    ):
        fields = dict(transition_fields(Transition(at, was, now, cause, True)))
        await world.store.write([Point("transition", at * 1_000_000, tags, fields)])
    assert await world.reckon(MONDAY) == 11  # ten days on from it, all of which were known
    for day in (MONDAY, TUESDAY):
        assert (await world.fields("energy_day", day))["rule_kwh"] > before[day]["rule_kwh"], day
    assert await world.fields("energy_day", date(2026, 10, 12)) == before[date(2026, 10, 12)]
    assert await world.energy.step(LATE_MS, settle=False) == 0


async def test_nothing_is_reckoned_before_an_hour_has_passed_and_nothing_twice(world: World) -> None:
    energy_days.mark(world.db, "ash", MONDAY, LATE_MS)
    assert await world.energy.step(LATE_MS + 3_599_000) == 0
    energy_days.mark(world.db, "ash", MONDAY, LATE_MS + 3_599_000)  # the hour counts from the first mark
    assert await world.energy.step(LATE_MS + 3_600_000) == 1
    assert await world.energy.step(LATE_MS + 9_000_000) == 0


async def test_a_day_that_is_marked_while_it_is_reckoned_stays_due(world: World, monkeypatch: Any) -> None:
    written = world.store.write

    async def write(points: list[Point]) -> Any:
        energy_days.mark(world.db, "ash", MONDAY, LATE_MS)
        monkeypatch.setattr(world.store, "write", written)
        return await written(points)

    energy_days.mark(world.db, "ash", MONDAY, LATE_MS)
    monkeypatch.setattr(world.store, "write", write)
    assert await world.energy.step(LATE_MS, settle=False) == 1
    assert await world.energy.step(LATE_MS, settle=False) == 1
    assert await world.energy.step(LATE_MS, settle=False) == 0


async def test_a_store_that_is_down_leaves_the_day_due(world: World, monkeypatch: Any) -> None:
    async def down(*_: Any, **__: Any) -> Any:
        raise Unavailable("down")

    read = world.store.read
    monkeypatch.setattr(world.store, "read", down)
    energy_days.mark(world.db, "ash", MONDAY, LATE_MS)
    with pytest.raises(Unavailable):
        await world.energy.step(LATE_MS, settle=False)
    monkeypatch.setattr(world.store, "read", read)
    assert await world.energy.step(LATE_MS, settle=False) == 1


async def test_a_school_that_cannot_be_reckoned_stops_no_other(world: World, monkeypatch: Any) -> None:
    energy_days.mark(world.db, "oak", MONDAY, LATE_MS)
    energy_days.mark(world.db, "ash", MONDAY, LATE_MS)
    good = savings_report.used_by_room

    async def breaks(store: Any, estate: Any, school: str, *more: Any) -> Any:
        if school == "ash":
            raise ZeroDivisionError
        return await good(store, estate, school, *more)

    monkeypatch.setattr(savings_report, "used_by_room", breaks)
    assert await world.energy.step(LATE_MS, settle=False) == 2
    assert {point.tags[0] for point in await world.store.read("energy_day", 0, LATE_MS)} == {"oak"}


async def test_the_roll_up_marks_a_day_once_it_is_over(world: World) -> None:
    class Unmarked:
        def mark_day(self, *_: Any) -> None: ...
        def forget_days(self, *_: Any) -> None: ...

    rollup = DayRollup(world.db, world.store, world.estate, Unmarked(), Clock())
    await rollup.roll("ash", MONDAY, midnight_ms(TUESDAY, ZONE) - 1)
    assert world.db.execute("SELECT count(*) FROM energy_days").fetchone() == (0,)
    await rollup.roll("ash", MONDAY, midnight_ms(TUESDAY, ZONE))
    assert world.db.execute("SELECT school, day FROM energy_days").fetchall() == [("ash", "2026-09-28")]


async def test_what_was_used_is_there_with_the_day_itself_also_while_it_lasts(world: World) -> None:
    days = await world.store.read("device_day", midnight_ms(MONDAY, ZONE), midnight_ms(TUESDAY, ZONE), school="ash")
    await world.store.write(energy_days.used_points(world.estate, "ash", MONDAY, days))
    sooner = await world.fields("energy_day", MONDAY)
    assert sooner["used_kwh"] == pytest.approx(4.5)
    await world.reckon(MONDAY)
    assert await world.fields("energy_day", MONDAY) == sooner
    assert energy_days.used_points(world.estate, "ash", MONDAY, []) == []
