"""Actions that reviews agree on, the record of meetings, and the page that shows both."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import typer
from msgspec import structs
from typer.testing import CliRunner, Result

from caretaker_collector import audit, state
from caretaker_collector.commands import review_actions
from caretaker_collector.review import action_book, actions
from caretaker_collector.review.build import build
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import of_month
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from caretaker_contract.errors import ConfigError
from caretaker_rules.model import Network, ReviewSettings
from caretaker_rules.rota import Meeting
from rules_world import london_ms
from sla_world import Bench
from worlds import World, make_world

NOW_MS = london_ms("2026-10-20 12:00")
AUGUST, SEPTEMBER, OCTOBER = (london_ms(f"2026-{month} 12:00") for month in ("08-10", "09-10", "10-02"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A school; commands live on Tue 20 Oct 2026, noon, of a clock that hardly moves."""
    made = make_world(tmp_path, 1883)
    clock = Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001)
    monkeypatch.setenv(CLOCK_VARIABLE, clock.to_environment()[CLOCK_VARIABLE])
    return made


def run(world: World, *words: str) -> Result:
    """One command below `caretaker review`."""
    app = typer.Typer()
    review_actions.register(app)
    return CliRunner().invoke(app, [*words, "--config", str(world.config)])


def test_an_action_is_added_listed_moved_and_done(world: World) -> None:
    """From the first word to the audit log."""
    made = run(
        world, "action", "add", "ash", "replace the  switch of ICT 1", "--role", "technician", "--due", "2026-10-19"
    )
    assert made.stdout == "action 1: replace the switch of ICT 1 (technician, due 2026-10-19)\n"
    told = run(world, "action", "list", "ash")
    assert told.stdout == "   1  due 2026-10-19  technician                replace the switch of ICT 1  past its day\n"
    assert told.exit_code == 1
    assert run(world, "action", "move", "1", "--due", "2026-11-02").exit_code == 0
    assert run(world, "action", "list", "ash").exit_code == 0
    assert run(world, "action", "done", "1", "--note", "fitted").stdout.startswith("action 1: done")
    assert run(world, "action", "list", "ash").stdout == ""
    assert "done" in run(world, "action", "list", "ash", "--all").stdout
    db = state.open_state(world.data / "state.db", read_only=True)
    assert [line.what for line in audit.listed(db)] == [
        "review action 1 done",
        "review action 1 moved",
        "review action 1",
    ]
    assert db.execute("SELECT what FROM review_actions ORDER BY id").fetchall() == [("added",), ("moved",), ("done",)]
    db.close()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["action", "add", "elm", "a", "--role", "r", "--due", "2026-11-02"], "elm  no such school; there are: ash"),
        (["action", "add", "ash", " ", "--role", "r", "--due", "2026-11-02"], "the action  is empty"),
        (["action", "add", "ash", "x" * 301, "--role", "r", "--due", "2026-11-02"], "has 301 characters; 300 at most"),
        (["action", "add", "ash", "a", "--role", "r", "--due", "soon"], "--due 'soon'  is no day"),
        (["action", "done", "7"], "7  no such action"),
        (["meeting", "list", "green"], "green  no such network; there are: none"),
    ],
)
def test_a_mistake_is_refused_with_what_would_be_right(world: World, words: list[str], wrong: str) -> None:
    result = run(world, *words)
    assert isinstance(result.exception, ConfigError)
    assert wrong in str(result.exception)


def test_an_action_that_has_ended_cannot_end_again(world: World) -> None:
    run(world, "action", "add", "ash", "a", "--role", "r", "--due", "2026-11-02")
    run(world, "action", "drop", "1", "--note", "no money")
    assert "1  has ended already: a" in str(run(world, "action", "done", "1").exception)


@pytest.fixture
async def bench(tmp_path: Path):
    """A network of three schools; ash is the one of the review."""
    bench = Bench(tmp_path, network="green")
    ash = bench.estate.schools["ash"]
    others = {
        name: structs.replace(ash, name=name, title=title, devices="")
        for name, title in (("elm", "Elmfield"), ("oak", "Oakley"))
    }
    bench.estate = structs.replace(
        bench.estate,
        networks={"green": Network(name="green", title="Green network")},
        schools={**bench.estate.schools, **others},
    )
    yield bench
    await bench.close()


async def page_of(bench, now_ms=OCTOBER, month="2026-09"):
    """Tables and facts of the page."""
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, now_ms)
    inputs = await read(sources, "ash", of_month(month))
    facts = Facts()
    page = await actions.page(inputs, facts)
    await build(inputs, [actions.page])
    return {table.name: table for section in page.sections for table in section.tables}, facts.known


def add(bench, text, at_ms, due):
    return action_book.add(bench.db, "ash", text, "technician", due, "operator", at_ms)


async def test_what_was_open_before_the_span_is_carried_over_and_what_came_since_is_new(bench) -> None:
    add(bench, "old and done before", AUGUST, date(2026, 8, 20))
    action_book.change(bench.db, 1, "done", "", "operator", AUGUST + 1)
    add(bench, "old and done within", AUGUST, date(2026, 9, 20))
    action_book.change(bench.db, 2, "done", "fitted", "operator", SEPTEMBER)
    add(bench, "old and late", AUGUST, date(2026, 9, 30))
    add(bench, "new", SEPTEMBER, date(2026, 10, 30))
    add(bench, "after the pack was made", OCTOBER + 1, date(2026, 10, 30))
    tables, facts = await page_of(bench)
    assert [(row[1], row[4], row[5]) for row in tables["Actions carried over"].rows] == [
        ("old and late", "past its day", ""),
        ("old and done within", "done", "fitted"),
    ]
    assert [(row[1], row[4]) for row in tables["Actions new"].rows] == [("new", "open")]
    assert [facts[f"actions.{key}"].value for key in ("open", "late", "done", "new")] == [2, 1, 1, 1]


async def test_nothing_agreed_says_how_to_write_it_down(bench) -> None:
    tables, _ = await page_of(bench)
    assert "caretaker review action add ash" in tables["Actions new"].empty


async def test_the_rota_goes_on_month_by_month_and_is_kept(bench) -> None:
    tables, _ = await page_of(bench)
    assert [row[1:] for row in tables["Meetings"].rows] == [
        ["2026-09", "Ashfield", "ICT project director of Elmfield"],
        ["2026-10", "Elmfield", "ICT project director of Oakley"],
    ]
    tables, _ = await page_of(bench, london_ms("2026-11-02 08:00"), "2026-10")
    assert [row[2] for row in tables["Meetings"].rows] == ["Elmfield", "Oakley"]
    assert [meeting.month for meeting in action_book.meetings(bench.db, "green")] == ["2026-09", "2026-10"]


async def test_a_month_that_is_not_over_writes_no_meeting_down(bench) -> None:
    await page_of(bench, SEPTEMBER)
    assert action_book.meetings(bench.db, "green") == []


async def test_what_was_really_held_comes_before_what_the_rota_had_in_mind(bench) -> None:
    await page_of(bench)
    action_book.hold(bench.db, "green", Meeting(month="2026-09", host="oak", chair="ash"), "operator", OCTOBER)
    tables, _ = await page_of(bench)
    assert [row[2] for row in tables["Meetings"].rows] == ["Oakley", "Ashfield"]


async def test_a_school_that_asks_not_to_host_is_skipped(bench) -> None:
    ash = structs.replace(bench.estate.schools["ash"], review=ReviewSettings(hosts=False))
    bench.estate = structs.replace(bench.estate, schools={**bench.estate.schools, "ash": ash})
    tables, _ = await page_of(bench)
    assert [row[2] for row in tables["Meetings"].rows] == ["Elmfield", "Oakley"]


async def test_a_school_in_no_network_is_told_why_there_is_no_rota(bench) -> None:
    ash = structs.replace(bench.estate.schools["ash"], network=None)
    bench.estate = structs.replace(bench.estate, schools={"ash": ash})
    tables, _ = await page_of(bench)
    assert "in no network" in tables["Meetings"].empty
