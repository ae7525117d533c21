"""Every query of every panel against a real InfluxDB that a collector filled: answers, units, ranges, and totals."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from board_queries import asked, filled, transformed, wrong
from boards_world import BoardsWorld
from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.sla.view import percent
from caretaker_contract.metrics import MEASUREMENTS
from caretaker_dashboards import queries
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import Filling
from caretaker_dashboards.describe import Board, Pick, Question, Unit
from caretaker_rules.calendar import midnight_ms, zone_of

pytestmark = pytest.mark.slow
MONTH = "2026-09"
UNITS = {
    "count": Unit.NONE,
    "ratio": Unit.RATIO,
    "s": Unit.SECONDS,
    "min": Unit.MINUTES,
    "h": Unit.HOURS,
    "d": Unit.DAYS,
    "ms": Unit.DATE,
    "kWh": Unit.KWH,
    "W": Unit.WATT,
    "B": Unit.BYTES,
    "word": Unit.WORD,
    "yes/no": Unit.YES_NO,
}


def values(world: BoardsWorld, school: str) -> dict[str, str]:
    """A value for each variable: the machine that was asked most often, and its room."""
    of_rules = "\"verb\" = 'shut_down'"
    rows = world.ask(
        f'SELECT COUNT("id") AS "asked" FROM "command" WHERE {of_rules} GROUP BY "school", "room", "device"'
    )
    one = max((row for row in rows if row["school"] == "ash"), key=lambda row: row["asked"])
    filling = Filling()
    return {
        "network": ".*",
        "school": school,
        "room": str(one["room"]),
        "device": str(one["device"]),
        "target": f"{filling.target:g}",
        "always_on": "|".join(sorted(name for name, each in world.estate.classes.items() if each.always_on)),
        "plan_kwh": "120000",
    }


def now_ms(world: BoardsWorld, board: Board) -> int:
    """The story's end; for a board of the last month, a month later."""
    return world.end_ms + 31 * 86_400_000 if board.span[1] != "now" else world.end_ms


WITH = [(board, "ash") for board in BOARDS] + [(board, ".*") for board in BOARDS if Pick.SCHOOLS in board.picks]


@pytest.mark.parametrize("board, school", WITH, ids=[f"{board.name}-{school}" for board, school in WITH])
def test_every_query_brings_what_its_panel_promises(boards_world: BoardsWorld, board: Board, school: str) -> None:
    at_ms = now_ms(boards_world, board)
    faults = []
    for each in asked((board,), values(boards_world, school), at_ms, boards_world.start_ms):
        faults += [f"{each}\n    {fault}" for fault in wrong(each.question, boards_world.ask(each.query))[:5]]
    assert not faults, "\n".join(faults)


def test_every_variable_and_mark_finds_something(boards_world: BoardsWorld) -> None:
    known = values(boards_world, "ash")
    texts = [queries.schools(), queries.schools_alone(), queries.rooms(), queries.devices()]
    texts += [mark.text for board in BOARDS for mark in board.marks if board.name == "room"]
    for text in texts:
        assert boards_world.ask(filled(text, known, boards_world.start_ms, boards_world.end_ms)), text


def test_a_network_shows_its_schools_and_no_others(boards_world: BoardsWorld) -> None:
    known = values(boards_world, ".*") | {"network": "oak|elm"}
    rows = boards_world.ask(
        filled(queries.schools_now().text, known, boards_world.end_ms - 3_600_000, boards_world.end_ms)
    )
    assert [row["school"] for row in rows] == ["oak"]


def test_what_is_missing_now_does_not_show_what_it_was_before(boards_world: BoardsWorld) -> None:
    known = values(boards_world, ".*")
    text = filled(queries.schools_now().text, known, boards_world.start_ms, boards_world.end_ms)
    newest = {row["school"]: row for row in boards_world.ask(text)}
    for school, row in newest.items():
        raw = boards_world.ask(
            f'SELECT "fix_left_min", "lessons_ready", "devices" FROM "school_now" WHERE "school" = \'{school}\' '
            "ORDER BY time DESC LIMIT 1"
        )[0]
        assert (row["time"], row["fix_left_min"], row["lessons_ready"]) == (
            raw["time"],
            raw["fix_left_min"],
            raw["lessons_ready"],
        )


def month(world: BoardsWorld) -> tuple[int, int]:
    """The story's month."""
    zone = zone_of("Europe/London")
    return midnight_ms(date(2026, 9, 1), zone), midnight_ms(date(2026, 10, 1), zone) - 1


def command(world: BoardsWorld, *words: str) -> dict[str, Any]:
    """What a command says as JSON."""
    done = CliRunner().invoke(app, [*words, "--config", str(world.config), "--json"])
    assert done.exit_code in (0, 1, 3), done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def figures(world: BoardsWorld, schools: str, question: Any) -> list[dict[str, Any]]:
    """A question over the story's month."""
    return world.ask(filled(question.text, values(world, schools), *month(world)))


@pytest.mark.parametrize("place, school", [("all", ".*"), ("ash", "ash"), ("oak", "oak")])
def test_availability_is_that_of_caretaker_sla_to_the_digit_shown(
    boards_world: BoardsWorld, place: str, school: str
) -> None:
    told = command(boards_world, "sla", "show", place, MONTH)["whole"]["sums"]["devices"]
    seen = told["available_ms"] + told["down_ms"]
    counted = told["owed_ms"] - told["maintained_ms"]
    shown = figures(boards_world, school, queries.availability())[0]
    assert seen and counted
    assert f"{shown['likely']:.2%}".replace("%", " %") == percent(told["available_ms"] / seen)
    assert f"{shown['low']:.2%}".replace("%", " %") == percent(told["available_ms"] / counted)
    assert f"{shown['high']:.2%}".replace("%", " %") == percent((told["available_ms"] + told["unseen_ms"]) / counted)


def test_each_schools_hours_are_those_of_caretaker_sla(boards_world: BoardsWorld) -> None:
    inside = command(boards_world, "sla", "show", "all", MONTH)["inside"]
    told = {line["place"]: line["sums"]["devices"] for line in inside}
    shown = {row["school"]: row for row in figures(boards_world, ".*", queries.availability_by_school())}
    assert shown.keys() == told.keys()
    for school, row in shown.items():
        for name in ("owed", "maintained", "down", "unseen"):
            assert row[name] == pytest.approx(told[school][f"{name}_ms"] / 3_600_000), (school, name)
    assert {line["place"]: line["outages"] for line in inside} == {name: row["faults"] for name, row in shown.items()}


FIRST, LAST = "2026-09-14", "2026-09-21"
"""The story's days that are over: what was used on a day is told once it is."""


def over(world: BoardsWorld) -> tuple[int, int]:
    """The days that are over."""
    return world.start_ms, midnight_ms(date.fromisoformat(LAST) + timedelta(days=1), zone_of("Europe/London")) - 1


@pytest.mark.parametrize("school", ["ash", "oak"])
def test_energy_used_is_the_sum_of_the_machines_days_and_what_caretaker_savings_says(
    boards_world: BoardsWorld, school: str
) -> None:
    known, (from_ms, to_ms) = values(boards_world, school), over(boards_world)
    shown = boards_world.ask(filled(queries.energy_used().text, known, from_ms, to_ms))[0]
    days = boards_world.ask(
        f'SELECT SUM("energy_wh") / 1000 AS "kwh" FROM "device_day" WHERE "school" = \'{school}\' '
        f"AND time >= {from_ms}ms AND time <= {to_ms}ms"
    )
    assert f"{shown['used']:.1f}" == f"{days[0]['kwh']:.1f}"
    rooms = boards_world.ask(filled(queries.energy_by_room().text, known, from_ms, to_ms))
    assert f"{sum(row['used'] for row in rooms):.1f}" == f"{shown['used']:.1f}"
    told = command(boards_world, "savings", school, "--from", FIRST, "--to", LAST)
    assert f"{shown['used']:.1f}" == f"{told['used']['kwh']:.1f}"


@pytest.mark.parametrize("school", ["ash", "oak"])
def test_energy_avoided_in_a_month_is_what_caretaker_savings_says(boards_world: BoardsWorld, school: str) -> None:
    row = figures(boards_world, school, queries.avoided_in_months())[0]
    told = command(boards_world, "savings", school, "--from", f"{MONTH}-01", "--to", LAST)["savings"]
    for mine, kind in (("low", "both"), ("likely", "both"), ("high", "both")):
        assert f"{row[mine]:.1f}" == f"{told[kind]['kwh'][mine]:.1f}"
    assert f"{row['by_rules']:.1f}" == f"{told['rule_off']['kwh']['likely']:.1f}"
    assert f"{row['by_users']:.1f}" == f"{told['user_off']['kwh']['likely']:.1f}"


def test_open_incidents_are_those_that_the_collector_knows(boards_world: BoardsWorld) -> None:
    question = queries.incidents()
    rows = boards_world.ask(
        filled(question.text, values(boards_world, ".*"), boards_world.start_ms, boards_world.end_ms)
    )
    shown = transformed(rows, question.after)
    with closing(state.open_state(boards_world.state, read_only=True)) as db:
        known = {number for (number,) in db.execute("SELECT number FROM incidents WHERE closed_ms IS NULL")}
    assert {row["number"] for row in shown} == known
    assert len(shown) == len(known) and known
    assert {"kind", "status", "school", "opened_ms"} <= shown[0].keys()
    counted = boards_world.ask(
        filled(queries.incidents_now().text, values(boards_world, ".*"), boards_world.start_ms, boards_world.end_ms)
    )[0]
    assert sum(value for name, value in counted.items() if name.startswith("open_")) == len(known)


def test_a_day_begins_at_the_schools_midnight_in_summer_too(boards_world: BoardsWorld) -> None:
    known = values(boards_world, ".*")
    for question in (queries.availability_by_day(), queries.energy_by_day(), queries.hours_by_state()):
        rows = boards_world.ask(filled(question.text, known, boards_world.start_ms, boards_world.end_ms))
        zone = zone_of("Europe/London")
        days = [midnight_ms(date(2026, 9, day), zone) for day in range(14, 23)]
        assert {row["time"] for row in rows} <= set(days), question.text
        assert len(rows) >= 8


def test_a_strip_of_states_is_not_blank_at_its_beginning(boards_world: BoardsWorld) -> None:
    from_ms = boards_world.end_ms - 86_400_000
    text = queries.machine_states(f"{queries.SCHOOL} AND {queries.ROOM}").text
    rows = boards_world.ask(filled(text, values(boards_world, "ash"), from_ms, boards_world.end_ms))
    first = {row["device"]: row["time"] for row in reversed(rows)}
    assert first and all(time_ms <= from_ms for time_ms in first.values())


def questions() -> Iterator[Question]:
    """Of all boards."""
    for board in BOARDS:
        for panel in board.panels:
            yield from panel.questions


def test_a_field_that_is_shown_as_it_is_has_the_unit_of_the_table_of_metrics() -> None:
    looked = 0
    for question in questions():
        for measurement, metrics in MEASUREMENTS.items():
            if f'FROM "{measurement}"' not in question.text or " / " in question.text:
                continue
            units = {metric.name: metric.unit for metric in metrics}
            for column in question.columns:
                if column.name in units:
                    looked += 1
                    assert column.unit is UNITS[units[column.name]], (measurement, column.name)
    assert looked > 50


def test_a_question_with_a_wrong_range_or_a_field_that_is_gone_is_found(boards_world: BoardsWorld) -> None:
    question = queries.availability()
    rows = figures(boards_world, "ash", question)
    assert not wrong(question, rows)
    narrow = tuple(replace(column, high=0.5) for column in question.columns)
    assert "above 0.5" in wrong(replace(question, columns=narrow), rows)[0]
    gone = (*question.columns, replace(question.columns[0], name="gone"))
    assert wrong(replace(question, columns=gone), rows) == ["gone: the answer has no such column"]
    assert wrong(question, []) == ["nothing comes back"]
