"""The pack as a spreadsheet: every fact and every row, totals that add up, and nothing that a spreadsheet would run."""

import io
import zipfile
from datetime import timedelta

import msgspec
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Column, Fact, Pack, Page, Section, Table, Unit, Value
from caretaker_dashboards.review.page import tables
from caretaker_dashboards.review.sheet import FIGURES, TOTAL, sheet_names, xlsx_bytes
from review_packs import HOSTILE, PACKS, full
from review_reading import book_of, shown, xlsx_of

FIRST = 5  # the first row below the headings


def number(value: object) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PACKS)
def test_every_fact_is_in_the_sheet_of_figures_as_the_page_writes_it(name: str) -> None:
    pack, sheet = PACKS[name](), book_of(name)[FIGURES]
    rows = {str(row[10].value): row for row in sheet.iter_rows(min_row=FIRST)}
    assert set(rows) == set(pack.facts)
    for key, fact in pack.facts.items():
        row = rows[key]
        places = words.digits(fact.unit, [fact.value, fact.low, fact.high])
        assert shown(row[2]) == words.figure(fact, pack.zone)
        for cell, bound in ((row[3], fact.low), (row[4], fact.high)):
            expected = "" if bound is None else words.text(fact.unit, bound, zone=pack.zone, places=places)
            assert shown(cell) == expected
        assert row[0].value == words.clean(fact.title)
        assert (row[8].value, row[9].value or "") == (fact.source, fact.command)
        assert (row[7].value or "") == fact.why_not


@pytest.mark.parametrize("name", PACKS)
def test_every_row_of_every_table_is_there_as_the_page_writes_it(name: str) -> None:
    pack, book = PACKS[name](), book_of(name)
    for table in tables(pack).values():
        sheet = book[sheet_names([table.name])[0]]
        totals = any(column.total for column in table.columns) and bool(table.rows)
        assert sheet.max_row == max(FIRST - 1 + len(table.rows) + totals, FIRST - 1)
        for at, column in enumerate(table.columns):
            values = [row[at] for row in table.rows]
            known = [value for value in values if isinstance(value, int | float)]
            places = words.digits(column.unit, [*values, sum(known) if column.total else None])
            expected = words.column(column.unit, values, pack.zone, places=places)
            cells = sheet.iter_rows(FIRST, FIRST - 1 + len(table.rows), at + 1, at + 1) if table.rows else []
            assert [shown(row[0]) for row in cells] == expected


@pytest.mark.parametrize("name", PACKS)
def test_each_total_is_the_sum_of_its_rows(name: str) -> None:
    found = 0
    for sheet in book_of(name):
        last = sheet.max_row
        if sheet.cell(last, 1).value != TOTAL:
            continue
        for at in range(2, sheet.max_column + 1):
            total = sheet.cell(last, at).value
            if total is None:
                continue
            rows = [sheet.cell(row, at).value for row in range(FIRST, last)]
            added = sum(number(value) for value in rows if value is not None and value != words.NONE)
            assert number(total) == pytest.approx(added, rel=1e-9, abs=1e-6)
            found += 1
    assert found >= 8 or name == "empty"


def _xml(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {one: archive.read(one).decode() for one in archive.namelist()}


@pytest.mark.parametrize("name", PACKS)
def test_there_is_no_formula_link_macro_or_outside_part(name: str) -> None:
    files = _xml(xlsx_of(name))
    assert not [
        one for one in files if "vba" in one or "externalLink" in one or "connections" in one or "drawing" in one
    ]
    for path, text in files.items():
        if path.startswith("xl/worksheets/"):
            assert (
                "<f>" not in text and "<f " not in text and "<hyperlink" not in text and "<dataValidation" not in text
            )
        assert 'TargetMode="External"' not in text
    assert "macro" not in files["[Content_Types].xml"].casefold()


def test_hostile_names_are_plain_texts() -> None:
    texts = [
        cell for sheet in book_of("hostile") for row in sheet.iter_rows() for cell in row if cell.value is not None
    ]
    for name in HOSTILE:
        found = [cell for cell in texts if cell.value == words.clean(name)]
        assert found, name
        assert all(cell.data_type == "s" and cell.hyperlink is None for cell in found)


def _with(tables_: list[Table]) -> Pack:
    page = Page(key="more", title="More", question="?", sections=[Section(title="S", tables=tables_)])
    return msgspec.structs.replace(full(), pages=[page], headlines=[])


def test_names_of_sheets_are_allowed_and_unique() -> None:
    names = ["a/b[1]:*?", "A b 1", "x" * 40, "X" * 40, "", "figures", "History", "'", "\N{ROCKET}" * 20]
    made = sheet_names(names)
    assert len({name.casefold() for name in made}) == len(names)
    for name in made:
        assert 1 <= len(name.encode("utf-16-le")) // 2 <= 31
        assert not set(name) & set("[]:*?/\\'")
        assert name.casefold() not in {"figures", "history"}
    columns, rows = [Column(key="a", title="A")], [["one"]]
    packed = xlsx_bytes(_with([Table(name=name, title=name, columns=columns, rows=list(rows)) for name in names]))
    assert "xl/worksheets/sheet11.xml" in _xml(packed)


def test_odd_values_are_written_and_nothing_breaks() -> None:
    values: list[list[Value]] = [
        [value] for value in (None, float("nan"), float("inf"), True, "", "x" * 40_000, "1", 1e300)
    ]
    for unit in Unit:
        table = Table(name="Odd", title="Odd", columns=[Column(key="a", title="A", unit=unit)], rows=values[:-1])
        assert xlsx_bytes(_with([table]))
    facts = {"odd": Fact(key="odd", title="Odd", unit=Unit.KWH, value=float("nan"))}
    assert xlsx_bytes(msgspec.structs.replace(full(), pages=[], headlines=[], facts=facts))


def test_the_same_pack_is_the_same_spreadsheet() -> None:
    assert xlsx_bytes(full()) == xlsx_of("full")


def test_headings_stay_in_sight_and_columns_are_wide_enough() -> None:
    for sheet in book_of("full"):
        assert isinstance(sheet, Worksheet)
        assert sheet.freeze_panes == "B5"
        assert all(9 <= dimension.width <= 62 for dimension in sheet.column_dimensions.values())
