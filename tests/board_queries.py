"""Boards asked the way Grafana asks: spans worked out, variables filled in, answers held against what was promised."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from caretaker_dashboards.describe import Board, Column, Panel, Question, Unit

LONDON = ZoneInfo("Europe/London")
_AGO = re.compile(r"now(?:-(\d+)([smhdwMy]))?(?:/([dwMy]))?")
_STEPS = {"s": 1, "m": 60, "h": 3600}
POINTS = 300
"""About what a panel asks for: $__interval is the span by this, a minute at least."""


def moment(text: str, now_ms: int, end: bool = False) -> int:
    """What "now-1M/M" is in ms; at its end where it closes a span."""
    match = _AGO.fullmatch(text)
    assert match is not None, text
    count, unit, rounded = int(match[1] or 0), match[2], match[3]
    at = datetime.fromtimestamp(now_ms / 1000, LONDON)
    if unit in _STEPS:
        at -= timedelta(seconds=count * _STEPS[unit])
    elif unit in ("d", "w"):
        at -= timedelta(days=count * (7 if unit == "w" else 1))
    elif unit in ("M", "y"):
        months = at.year * 12 + at.month - 1 - count * (12 if unit == "y" else 1)
        at = at.replace(year=months // 12, month=months % 12 + 1, day=min(at.day, 28))
    if rounded:
        at = at.replace(hour=0, minute=0, second=0, microsecond=0)
        if rounded == "M":
            at = at.replace(day=1)
        if end:
            at = (at + timedelta(days=32)).replace(day=1) if rounded == "M" else at + timedelta(days=1)
            at -= timedelta(milliseconds=1)
    return round(at.timestamp() * 1000)


def span(board: Board, panel: Panel, now_ms: int) -> tuple[int, int]:
    """From and to, in ms, of a panel on a board that has just been opened."""
    if panel.time_from:
        return moment(panel.time_from, now_ms), now_ms
    return moment(board.span[0], now_ms), moment(board.span[1], now_ms, end=True)


def filled(text: str, values: Mapping[str, str], from_ms: int, to_ms: int) -> str:
    """A query as InfluxDB gets it."""
    interval_s = max(60, (to_ms - from_ms) // 1000 // POINTS)
    built_in = {
        "timeFilter": f"time >= {from_ms}ms and time <= {to_ms}ms",
        "__interval": f"{interval_s}s",
        "__from": str(from_ms),
        "__to": str(to_ms),
    }
    known = {**built_in, **values}

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        assert name in known, f"${name} has no value: {text}"
        return known[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", put, text)


@dataclass(frozen=True)
class Asked:
    """One question of a panel, ready to be asked."""

    board: Board
    panel: Panel
    question: Question
    query: str

    def __str__(self) -> str:
        return f"{self.board.name} / {self.panel.title}: {self.query}"


def asked(boards: tuple[Board, ...], values: Mapping[str, str], now_ms: int, start_ms: int) -> Iterator[Asked]:
    """Every question. What is good when empty is asked from `start_ms` on: the story has some in it."""
    for board in boards:
        for panel in board.panels:
            from_ms, to_ms = span(board, panel, now_ms)
            if panel.good_when_empty:
                from_ms = min(from_ms, start_ms)
            for question in panel.questions:
                yield Asked(board, panel, question, filled(question.text, values, from_ms, to_ms))


def wrong(question: Question, rows: list[dict[str, Any]]) -> list[str]:
    """Where an answer is not what the question promised."""
    if not rows:
        return ["nothing comes back"]
    found = []
    for column in question.columns:
        found += [f"{column.name}: {fault}" for fault in _column(column, rows)]
    known = {column.name for column in question.columns} | {"time"}
    found += [
        f"{name} comes back and nobody said what it is" for name in sorted(rows[0].keys() - known) if not question.alias
    ]
    return found


def _column(column: Column, rows: list[dict[str, Any]]) -> Iterator[str]:
    name = "time" if column.name == "Time" else column.name
    if name not in rows[0]:
        yield "the answer has no such column"
        return
    given = [row[name] for row in rows if row[name] is not None]
    if not given and not column.often_none:
        yield "no row has a value"
    for value in given:
        if column.unit is Unit.WORD:
            if not isinstance(value, str):
                yield f"{value!r} is no word"
        elif column.unit is Unit.YES_NO:
            if not isinstance(value, bool):
                yield f"{value!r} is neither yes nor no"
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{value!r} is no number"
        elif column.low is not None and value < column.low - 1e-9:
            yield f"{value} is below {column.low}"
        elif column.high is not None and value > column.high + 1e-9:
            yield f"{value} is above {column.high}"
        if column.words and column.unit is Unit.WORD and value not in {each[0] for each in column.words}:
            yield f"{value!r} is none of its words"


def transformed(rows: list[dict[str, Any]], steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What Grafana's groupBy, filterByValue and organize make of rows, as far as boards use them."""
    for step in steps:
        options = step["options"]
        if step["id"] == "groupBy":
            (key,) = (name for name, each in options["fields"].items() if each["operation"] == "groupby")
            first: dict[Any, dict[str, Any]] = {}
            for row in rows:
                first.setdefault(row[key], row)
            kept = {name for name, each in options["fields"].items() if each["aggregations"] == ["first"]}
            rows = [{key: row[key]} | {f"{name} (first)": row[name] for name in kept} for row in first.values()]
        elif step["id"] == "filterByValue":
            assert (options["type"], options["match"]) == ("exclude", "any")
            for one in options["filters"]:
                assert one["config"]["id"] == "equal"
                rows = [row for row in rows if row[one["fieldName"]] != one["config"]["options"]["value"]]
        else:
            assert step["id"] == "organize", step["id"]
            names = options["renameByName"]
            rows = [{names.get(name, name): value for name, value in row.items()} for row in rows]
    return rows
