"""What a school's own page shows equals what the command line says; and what everybody may see holds no name."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from boards_world import BoardsWorld, SetClock
from caretaker_collector import people, records
from caretaker_collector.app import Collector
from caretaker_collector.cli import app
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.order_book import Scope
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.school_page import atom
from caretaker_rules.repeats import Series
from caretaker_rules.standing import is_enough
from caretaker_simulator.story import Fault, FaultKind
from desk_world import ALL, OAK, VIEWER, DeskWorld
from rules_world import london_ms

FAULT = Fault(
    kind=FaultKind.SWITCH,
    school="ash",
    where="ict2-switch",
    from_ms=london_ms("2026-10-06 09:05"),
    until_ms=london_ms("2026-10-06 12:00"),
)
TYPED = ("Mrs Typed-Name", "Mr Reason-Name")
HOUR_MS = 3_600_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[DeskWorld]:
    """A morning with a dead switch, somebody's report and somebody's hold."""
    found = await DeskWorld.begin(tmp_path, "2026-10-06 08:50", [FAULT], store=False)
    await found.until("2026-10-06 09:30")
    db, now_ms = found.collector.db, found.clock.at_ms
    incident_actions.report(db, found.estate, people.scope(found.estate, "ash/lib"), "engineer", TYPED[0], now_ms)
    series = Series(from_ms=now_ms - HOUR_MS, until_ms=now_ms + HOUR_MS, time_zone="Europe/London")
    records.make(db, "hold", Scope(school="ash", room="lib"), series, TYPED[1], "engineer", now_ms)
    records.make(db, "silence", Scope(school="ash"), series, TYPED[1], "engineer", now_ms)
    await found.until("2026-10-06 09:40")
    yield found
    await found.end()


async def test_what_everybody_may_see_holds_no_device_and_nothing_that_was_typed(world: DeskWorld) -> None:
    pages = world.data.school_pages
    whole, public = await pages.school_page(VIEWER, "ash", False), await pages.school_page(VIEWER, "ash", True)
    told, open_to_all = (msgspec.json.encode(page).decode() for page in (whole, public))
    assert "ict2-switch" in told and all(typed in told for typed in TYPED), "or this test proves nothing"
    feed = atom(public, "https://desk.example/s/ash/feed.atom").decode()
    feed += (await pages.planned_feed(VIEWER, "ash")).decode()
    names = [device.name for device in world.estate.devices.values()]
    for text in (open_to_all, feed):
        assert not [name for name in names if name in text]
        assert not [typed for typed in TYPED if typed in text]
        assert "INC-" not in text and "engineer" not in text
    assert {one.number for one in (*public.troubles, *public.mended)} == {None}, (
        "an incident's page is not for everybody"
    )
    assert [one.kind for one in public.troubles] == [one.kind for one in whole.troubles]
    assert public.troubles[0].machines == whole.troubles[0].machines > 1
    assert not [plan for plan in whole.plans if plan.kind == "silence"], "who is told of what is no school's plan"


async def test_only_who_may_see_the_school_gets_its_page(world: DeskWorld) -> None:
    pages = world.data.school_pages
    for school in ("ash", "nowhere", ""):
        with pytest.raises(NotThere):
            await pages.school_page(OAK, school, False)
        with pytest.raises(NotThere):
            await pages.planned_feed(OAK, school)
    assert (await pages.school_page(OAK, "oak", False)).school == "oak"


async def test_troubles_lessons_and_plans_are_what_the_rules_see(world: DeskWorld) -> None:
    page = await world.data.school_pages.school_page(ALL, "ash", False)
    desk = await world.data.school(ALL, "ash")
    assert sorted(one.number or 0 for one in page.troubles) == sorted(line.number for line in desk.incidents)
    due = {line.number: line.fix_due_ms for line in desk.incidents}
    assert {one.number: one.due_ms for one in page.troubles} == due
    on = {room.title: (room.ready.ready, room.ready.total) for room in desk.rooms if room.ready is not None}
    assert on and {room.title: (room.ready, room.total) for room in page.lessons.rooms} == on
    ratio = world.collector.alerts.ready_ratio
    assert all(room.enough == is_enough(room.ready, room.total, ratio) for room in page.lessons.rooms)
    assert [(plan.kind, plan.where, plan.reason) for plan in page.plans if plan.kind == "hold"] == [
        ("hold", "Library", TYPED[1])
    ]
    assert page.machines == page.heard == sum(desk.row.bar.values())
    assert page.blind is False


async def test_what_changes_is_on_the_page_at_once_and_what_does_not_is_kept(world: DeskWorld) -> None:
    pages = world.data.school_pages
    before = await pages.school_page(ALL, "ash", False)
    assert await pages.school_page(ALL, "ash", False) is before
    number = next(one.number for one in before.troubles if one.said)
    assert number is not None
    incident_actions.fix(world.collector.db, world.estate, number, "engineer", "", world.clock.at_ms)
    people.stop(world.collector.db, "ash", None, world.clock.at_ms, "drill")
    await world.step(world.clock.at_ms + 60_000)
    after = await pages.school_page(ALL, "ash", False)
    assert [one.number for one in after.mended] == [number]
    assert after.stopped and not before.stopped
    world.collector.memory.connected_since_ms = 0
    await world.step(world.clock.at_ms + 60_000)
    assert (await pages.school_page(ALL, "ash", False)).blind


async def test_a_calendar_file_that_is_not_there_yet_is_asked_for_again(world: DeskWorld) -> None:
    shutil.rmtree(Path(world.collector.settings.data) / "planned")
    with pytest.raises(Unavailable):
        await world.data.school_pages.planned_feed(ALL, "ash")


async def caretaker(config: Path, *words: str) -> str:
    """What a command tells."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--config", str(config)])
    assert not isinstance(result.exception, Exception), result.exception
    return result.stdout


@pytest.mark.slow
async def test_energy_and_availability_are_those_of_the_command_line_to_the_digit(
    boards_world: BoardsWorld, tmp_path: Path
) -> None:
    """Each day as `caretaker savings` of that day, the month as that of its days, and as `caretaker sla month`."""
    folder = boards_world.config.parent
    shutil.copytree(folder, tmp_path / "copy")
    config = tmp_path / "copy" / boards_world.config.name
    clock = SetClock()
    clock.at_ms = boards_world.end_ms
    settings = load_collector(config)
    estate, policies = load_estate_and_policies(Path(settings.estate))
    collector = Collector(settings, estate, policies, clock)
    try:
        page = await collector.desk.school_pages.school_page(VIEWER, "ash", True)
    finally:
        await collector.close()
    assert [day.day for day in page.week] == ["2026-09-21", "2026-09-22"]

    async def savings(first: str, last: str) -> tuple[float, ...]:
        told: dict[str, Any] = json.loads(
            await caretaker(boards_world.config, "savings", "ash", "--from", first, "--to", last, "--json")
        )
        figure = told["savings"]["both"]["kwh"]
        return told["used"]["kwh"], figure["low"], figure["likely"], figure["high"]

    day = page.week[0]
    assert day.avoided_kwh is not None
    assert (day.used_kwh, *day.avoided_kwh) == pytest.approx(await savings(day.day, day.day))
    assert page.week[1].under_way and page.week[1].avoided_kwh is None
    month = page.energy_month
    assert month is not None and date.fromisoformat(month.until) < date(2026, 9, 22)
    assert month.avoided_kwh is not None
    assert (month.used_kwh, *month.avoided_kwh) == pytest.approx(await savings("2026-09-01", month.until))
    said = await caretaker(boards_world.config, "sla", "month", "ash", "2026-09")
    [part] = page.months
    assert f"{part.availability}   target {part.target}" in said
    assert part.title == "September 2026"
