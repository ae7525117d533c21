"""The pack as a spreadsheet: a sheet of all figures, and a sheet for each table with every row.

Only values: no formula, link, macro or comment. A text stays a text, whatever it begins with. A total is the sum of the
rows above it, as a value; its first cell says so, and a test adds the rows again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Column, Fact, Pack, Table, Unit, Value
from caretaker_dashboards.review.page import editions, title, total

FIGURES = "Figures"
TOTAL = "Sum of the rows"
_MOST_LETTERS = 31  # of a sheet's name
_MOST_TEXT = 32_000  # letters in a cell; the format's own limit is 32,767
_FORBIDDEN = set("[]:*?/\\'")
_WIDEST = 60


def xlsx_bytes(pack: Pack) -> bytes:
    """The spreadsheet of a pack: the same bytes for the same pack."""
    import xlsxwriter

    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
    }
    book = xlsxwriter.Workbook(out, options)
    made = datetime.fromtimestamp(pack.made_ms / 1000, UTC).replace(tzinfo=None, microsecond=0)
    book.set_properties(
        {"title": title(pack), "created": made, "comments": words.clean(pack.stamp), "author": "Caretaker"}
    )
    _Book(book, pack).write()
    book.close()
    return out.getvalue()


def sheet_names(names: Iterable[str]) -> list[str]:
    """Names that a spreadsheet takes: at most 31 letters, none of []:*?/\\ ', unique whatever the case."""
    taken, found = {FIGURES.casefold(), "history"}, []
    for name in names:
        plain = "".join(" " if letter in _FORBIDDEN else letter for letter in words.clean(name)).strip()
        plain = _letters(plain or "Table", _MOST_LETTERS)
        unique, number = plain, 2
        while unique.casefold() in taken:
            ending = f" {number}"
            unique, number = _letters(plain, _MOST_LETTERS - len(ending)) + ending, number + 1
        taken.add(unique.casefold())
        found.append(unique)
    return found


def _letters(name: str, most: int) -> str:
    """As much of a name as has so many UTF-16 units, which is how a spreadsheet counts."""
    while len(name.encode("utf-16-le")) // 2 > most:
        name = name[:-1]
    return name.strip() or "Table"


class _Book:
    """Writes sheets; keeps each format once."""

    def __init__(self, book: Any, pack: Pack) -> None:
        self._book, self._pack = book, pack
        self._formats: dict[tuple[tuple[str, Any], ...], Any] = {}

    def write(self) -> None:
        tables = [table for page in self._pack.pages for section in page.sections for table in section.tables]
        tables.append(editions(self._pack))
        self._figures()
        for name, table in zip(sheet_names(table.name for table in tables), tables, strict=True):
            self._table(name, table)

    def _format(self, **properties: Any) -> Any:
        properties.setdefault("valign", "top")
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self._book.add_format(properties)
        return self._formats[key]

    def _cell(self, sheet: Any, at: tuple[int, int], unit: Unit, value: Value, places: int, **more: Any) -> None:
        """One value: a number with its unit's format, or a plain text."""
        bare, properties = more.pop("bare", False), dict(more)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if unit is Unit.DATE and isinstance(value, str) and (then := _iso(value)) is not None:
            sheet.write_datetime(
                *at, then, self._format(num_format=words.number_format(unit, 0), align="left", **properties)
            )
        elif number is None or not isfinite(number) or unit in words.TEXTS:
            text = words.text(unit, value, zone=self._pack.zone)
            align = "right" if words.numeric(unit) and value is None else "left"
            sheet.write_string(*at, text[:_MOST_TEXT], self._format(num_format="@", align=align, **properties))
        elif unit is Unit.MOMENT:
            then = words.local(number, self._pack.zone)
            style = self._format(num_format=words.number_format(unit, 0), align="left", **properties)
            sheet.write_datetime(*at, then, style)
        elif unit is Unit.SECONDS:
            style = self._format(num_format=words.duration_format(number), **properties)
            sheet.write_number(*at, number / words.DAY_S, style)
        else:
            style = self._format(num_format=words.number_format(unit, places, bare=bare), **properties)
            sheet.write_number(*at, words.printed(unit, number, places), style)

    def _heads(self, sheet: Any, row: int, heads: list[str], widths: list[int], numeric: list[bool]) -> None:
        for at, (head, wide) in enumerate(zip(heads, widths, strict=True)):
            align = "right" if numeric[at] else "left"
            sheet.write_string(row, at, head, self._format(bold=True, bottom=1, text_wrap=True, align=align))
            sheet.set_column(at, at, min(max(wide, 9), _WIDEST))
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(row)
        sheet.freeze_panes(row + 1, 1)

    def _figures(self) -> None:
        sheet = self._book.add_worksheet(FIGURES)
        sheet.write_string(0, 0, title(self._pack), self._format(bold=True, font_size=14))
        example = " · The service level is an example and nobody's contract." if self._pack.illustrative else ""
        about = (
            f"{words.revision(self._pack)}, made {words.made(self._pack)} · {words.clean(self._pack.stamp)}{example}"
        )
        sheet.write_string(1, 0, about[:1].upper() + about[1:], self._format())
        heads = [
            "Figure",
            "Page",
            "Value",
            "At least",
            "At most",
            "Unit",
            "Target",
            "Why not known",
            "Source",
            "Command",
            "Key",
        ]
        widths = [44, 22, 18, 16, 16, 12, 18, 34, 20, 44, 28]
        self._heads(sheet, 3, heads, widths, [False, False, True, True, True, False, True, *[False] * 4])
        targets = {line.fact: line.target for line in self._pack.headlines}
        where = self._where()
        for row, (key, fact) in enumerate(self._pack.facts.items(), 4):
            places = words.digits(fact.unit, [fact.value, fact.low, fact.high])
            self._text(sheet, row, 0, fact.title)
            self._text(sheet, row, 1, where.get(key, ""))
            self._cell(sheet, (row, 2), fact.unit, fact.value, places)
            for at, bound in ((3, fact.low), (4, fact.high)):
                if bound is not None:
                    self._cell(sheet, (row, at), fact.unit, bound, places)
            self._text(sheet, row, 5, fact.unit.value)
            target = self._target(targets.get(key))
            if target is not None:
                places = words.digits(target.unit, [target.value, target.low, target.high])
                self._cell(sheet, (row, 6), target.unit, target.value, places)
            for at, text in ((7, fact.why_not), (8, fact.source), (9, fact.command), (10, key)):
                self._text(sheet, row, at, text)

    def _target(self, key: str | None) -> Fact | None:
        return self._pack.facts[key] if key is not None else None

    def _where(self) -> dict[str, str]:
        """On which page each figure stands: the first that names it."""
        found: dict[str, str] = {}
        for page in self._pack.pages:
            said = [sentence for section in page.sections for sentence in section.sentences]
            if page.key == "front":
                for line in self._pack.headlines:
                    said.append(line.sentence)
                    for key in (line.fact, line.target, line.last_month, line.last_year):
                        if key is not None:
                            found.setdefault(key, page.title)
            for sentence in said:
                for part in words.parts(sentence, self._pack.facts, self._pack.zone):
                    if part.fact:
                        found.setdefault(part.fact, page.title)
        return found

    def _text(self, sheet: Any, row: int, at: int, text: str) -> None:
        sheet.write_string(row, at, words.clean(text)[:_MOST_TEXT], self._format(num_format="@", align="left"))

    def _table(self, name: str, table: Table) -> None:
        sheet = self._book.add_worksheet(name)
        sheet.write_string(0, 0, words.clean(table.title), self._format(bold=True, font_size=14))
        says = " ".join(words.clean(text) for text in (table.note, "" if table.rows else table.empty) if text)
        sheet.write_string(1, 0, says[:_MOST_TEXT], self._format())
        columns = table.columns
        places = [
            words.digits(column.unit, [*(row[at] for row in table.rows), total(table, at)])
            for at, column in enumerate(columns)
        ]
        heads = [words.heading(words.clean(column.title), column.unit) for column in columns]
        widths = [
            self._width(column, at, table, head) for at, (column, head) in enumerate(zip(columns, heads, strict=True))
        ]
        self._heads(sheet, 3, heads, widths, [words.numeric(column.unit) for column in columns])
        for number, row in enumerate(table.rows, 4):
            for at, (column, value) in enumerate(zip(columns, row, strict=True)):
                self._cell(sheet, (number, at), column.unit, value, places[at], bare=True)
        totals = [total(table, at) for at in range(len(columns))]
        if any(value is not None for value in totals):
            end = 4 + len(table.rows)
            if totals[0] is None:
                sheet.write_string(end, 0, TOTAL, self._format(bold=True, top=1))
            for at, (column, value) in enumerate(zip(columns, totals, strict=True)):
                if value is not None:
                    self._cell(sheet, (end, at), column.unit, value, places[at], bare=True, bold=True, top=1)

    def _width(self, column: Column, at: int, table: Table, head: str) -> int:
        sample = [row[at] for row in table.rows[:200]]
        longest = max((len(words.text(column.unit, value, zone=self._pack.zone)) for value in sample), default=0)
        return max(longest + 2, min(len(head) + 2, 16))


def _iso(day: str) -> datetime | None:
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    return datetime(found.year, found.month, found.day) if found.year >= 1900 else None  # noqa: DTZ001 (cells have no zone)
