"""A school's `days` file and room timetable: CSV as spreadsheets and timetabling programmes write it.

    date,week,kind                 day,period,room,week          day,start,end,room
    2026-09-07,A,                  Mon,1,ICT1,A                  Tuesday,18:00,19:00,Library
    2026-10-26,,holiday            TueB,3,ICT 2,

Columns that are not named here are not read: teachers, pupils and classes stay in the file (invariant I10). Faults
name line and column, never what stands there: where columns have slipped, that is a name. A week may be given for each
day or for its Monday. Rooms that the estate does not have are passed over.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from caretaker_collector.files.faults import Fault
from caretaker_collector.files.ical import Words
from caretaker_collector.files.register import read_records
from caretaker_collector.files.toml_file import read_text
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import DAY_MIN, DAY_NAMES
from caretaker_rules.timetable import DayKind, Lesson

_DAY = re.compile(
    r"(mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
    r"[ -]*([a-z0-9]{0,2})"
)
_TIME = re.compile(r"(\d{1,2})[:.](\d\d)", re.ASCII)
_WEEK = re.compile(r"(?:week |wk )?([a-z0-9]{1,2})", re.ASCII)
_EVERY_WEEK = {"", "both", "all", "every", "ab", "a/b", "a&b"}
_KINDS = {
    **{kind.value.replace("_", " "): kind for kind in DayKind},
    "bank_holiday": DayKind.BANK_HOLIDAY,
    "closed": DayKind.HOLIDAY,
    "half term": DayKind.HOLIDAY,
    "school": DayKind.TERM,
}


class DaysRead(NamedTuple):
    """What a `days` file says; nothing of it counts when there are faults."""

    kinds: dict[date, DayKind]
    weeks: dict[date, str]
    faults: list[Fault]
    ignored: list[str]  # headings of columns that were not read


class LessonsRead(NamedTuple):
    """What a room timetable says; nothing of it counts when there are faults."""

    lessons: dict[str, tuple[Lesson, ...]]
    faults: list[Fault]
    ignored: list[str]
    elsewhere: int  # rows about rooms that the estate does not have


class _Table(NamedTuple):
    rows: list[tuple[int, dict[str, str]]]
    faults: list[Fault]
    ignored: list[str]


def read_days(path: Path) -> DaysRead:
    """Kinds of day and timetable weeks by date. Nothing is raised."""
    table = _read_table(path, needed=("date",), known=("date", "week", "kind"))
    kinds: dict[date, DayKind] = {}
    weeks: dict[date, str] = {}
    for line, row in table.rows:
        day = _date(row["date"])
        if day is None:
            table.faults.append(Fault(path, line, "date", "not a date such as 2026-09-07 or 07/09/2026"))
            continue
        kind, week = row.get("kind", "").casefold(), row.get("week", "").casefold()
        if kind and kind not in _KINDS:
            table.faults.append(Fault(path, line, "kind", f"not a kind of day: {', '.join(DayKind)}"))
        elif kind and kinds.setdefault(day, _KINDS[kind]) is not _KINDS[kind]:
            table.faults.append(Fault(path, line, "kind", "another line says another kind of the same date"))
        if not week:
            continue
        named = _WEEK.fullmatch(week)
        if named is None:
            table.faults.append(Fault(path, line, "week", "not a week such as A"))
        elif weeks.setdefault(day, named[1].upper()) != named[1].upper():
            table.faults.append(Fault(path, line, "week", "another line says another week of the same date"))
    return DaysRead(kinds, weeks, table.faults, table.ignored)


def read_lessons(path: Path, rooms: Words, periods: Mapping[str, str], weeks: frozenset[str]) -> LessonsRead:
    """Weekly lessons by room. Nothing is raised.

    `periods` are the hours of each period; `weeks` those that the `days` file knows.
    """
    table = _read_table(path, needed=("day", "room"), known=("day", "period", "start", "end", "room", "week"))
    found: dict[str, dict[Lesson, None]] = {}
    elsewhere = 0
    hours = {_period(name): span for name, span in periods.items()}
    for line, row in table.rows:
        named = rooms.get(" ".join(row["room"].casefold().split()), ())
        elsewhere += not named
        try:
            for room in named:
                found.setdefault(room, {})[_lesson(row, hours, weeks)] = None
        except _CellFault as fault:
            table.faults.append(Fault(path, line, fault.column, fault.wrong))
    return LessonsRead({room: tuple(rows) for room, rows in found.items()}, table.faults, table.ignored, elsewhere)


class _CellFault(Exception):
    def __init__(self, column: str, wrong: str) -> None:
        super().__init__(wrong)
        self.column, self.wrong = column, wrong


def _lesson(row: Mapping[str, str], hours: Mapping[str, str], weeks: frozenset[str]) -> Lesson:
    day = _DAY.fullmatch(row["day"].casefold())
    if day is None:
        raise _CellFault("day", "not a day such as Mon, or MonA for week A")
    given = row.get("week", "").casefold()
    week = day[2]
    if given not in _EVERY_WEEK:
        named = _WEEK.fullmatch(given)
        if named is None:
            raise _CellFault("week", "not a week such as A; leave it empty for every week")
        week = named[1]
    week = week.upper()
    if week and week not in weeks:
        raise _CellFault("week", "no day of the school's `days` file is in this week")
    if row.get("start") or row.get("end"):
        start_min, end_min = _minutes(row.get("start", ""), "start"), _minutes(row.get("end", ""), "end")
    else:
        name = _period(row.get("period", ""))
        if name not in hours:
            known = ", ".join(hours) or 'none; add periods = { 1 = "08:50-09:50" } to the school'
            raise _CellFault("period", f"its hours are not in estate.toml (known there: {known})")
        start_text, _, end_text = hours[name].partition("-")
        start_min, end_min = _minutes(start_text, "period"), _minutes(end_text, "period")
    if end_min <= start_min:
        raise _CellFault("end" if row.get("end") else "period", "does not end after it starts")
    return Lesson(DAY_NAMES.index(day[1][:3]), start_min, end_min, week)


def _minutes(text: str, column: str) -> int:
    match = _TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or minutes > DAY_MIN:
        raise _CellFault(column, "not a time such as 08:50")
    return minutes


def _period(text: str) -> str:
    """A period's name, however it is written: 1, P1, Period 1."""
    return re.sub(r"^(?:period|p) ?(?=\d)", "", text.strip().casefold())


def _date(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 (a date has no zone)
        except ValueError:
            continue
    return None


def _read_table(path: Path, needed: tuple[str, ...], known: tuple[str, ...]) -> _Table:
    """The cells of known columns, by line; a heading that lacks a needed one is a fault."""
    table = _Table([], [], [])
    try:
        text = read_text(path, "CSV")
    except ConfigError as error:
        table.faults.append(Fault(path, 0, "", error.faults[0].partition("   ")[2].strip()))
        return table
    first = next((line for line in text.splitlines() if line.strip()), "")
    records: list[tuple[int, list[str]]] = []
    broken = read_records(text, max(",;\t", key=first.count), records)
    if broken is not None:
        table.faults.append(Fault(path, *broken))
        return table
    line, heading = records[0] if records else (1, [])
    columns = [cell.strip().casefold() for cell in heading]
    table.faults.extend(_heading_faults(path, line, columns, needed, known))
    if not table.faults:
        table.ignored.extend(cell for cell in columns if cell not in known)
        for line, cells in records[1:]:
            if any(cell.strip() for cell in cells[len(columns) :]):
                wrong = f"{len(cells)} cells, the heading has {len(columns)}: quote a cell that holds a separator"
                table.faults.append(Fault(path, line, "", wrong))
                continue
            padded = cells + [""] * (len(columns) - len(cells))
            named = zip(columns, padded, strict=False)
            table.rows.append((line, {name: cell.strip() for name, cell in named if name in known}))
    return table


def _heading_faults(
    path: Path, line: int, columns: list[str], needed: tuple[str, ...], known: tuple[str, ...]
) -> Iterator[Fault]:
    for name in known:
        if columns.count(name) > 1:
            yield Fault(path, line, f'column "{name}"', "stands twice; keep one")
        elif name in needed and name not in columns:
            # Without saying what is there instead: a file without a heading begins with somebody's lesson.
            wrong = f"missing; the first line names the columns, of which these are read: {', '.join(known)}"
            yield Fault(path, line, f'column "{name}"', wrong)
