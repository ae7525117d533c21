"""The pack as one HTML file: styles and drawings inlined, no script, nothing fetched; its print style is the PDF's.

`render` is given what the template shows as plain texts, made by `words`; the template only places them.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from msgspec import structs

from caretaker_dashboards.review import charts, layout, words
from caretaker_dashboards.review.pack import Chart, Column, Headline, Pack, Page, Section, Table, Unit, Value

PRINT_MOST = 250
"""Rows of any table on paper, whatever it asks for: beyond that it is the spreadsheet's job."""

NOTHING = "Nothing to draw: every figure is zero, or not known."
_PX = 96  # of CSS in an inch
_WORD_CUT = 48  # letters of a word that are printed
_WORD_MOST = 24  # letters of a word that a column makes room for
_LEFT_OVER = 2  # rows
_SHORT = 8  # rows of a table that stays on one sheet
_FEWEST = 2  # columns that a table keeps in any case
_TITLE_MOST = 70  # letters of a place in the running header


@cache
def _template() -> jinja2.Template:
    def load(name: str) -> str:
        return (files(__package__) / "templates" / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(load),
    )
    return environment.get_template("pack.html")


@cache
def _style() -> str:
    return (files(__package__) / "style.css").read_text(encoding="utf-8")


def short(name: str, most: int = _TITLE_MOST) -> str:
    """A name of at most so many letters, cut with an ellipsis."""
    name = words.clean(name)
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def title(pack: Pack) -> str:
    """The document's title: "Ashfield Secondary: service review, September 2026"."""
    return f"{short(pack.title)}: service review, {words.clean(pack.period_title)}"


def tables(pack: Pack) -> dict[str, Table]:
    """Every table of the pack by its name."""
    return {table.name: table for page in pack.pages for section in page.sections for table in section.tables}


def render(pack: Pack, paper: bool = False) -> str:
    """The whole pack as HTML. Raises KeyError when a chart or headline names what is not in the pack.

    `paper`: what the PDF is made of, without the tables that are for the screen; it says where they are.
    """
    return both(pack)[1 if paper else 0]


def both(pack: Pack) -> tuple[str, str]:
    """`render` for screen and for paper; what both have in common, such as drawings, is made once."""
    drawn: dict[int, dict[str, Any]] = {}
    return _render(pack, False, drawn), _render(pack, True, drawn)


def _render(pack: Pack, paper: bool, drawn: dict[int, dict[str, Any]]) -> str:
    by_name = tables(pack)
    page_titles = {page.key: page.title for page in pack.pages}
    pages = [_page(pack, page, by_name, paper, drawn) for page in pack.pages]
    if "front" not in page_titles:
        front = Page(key="front", title="Main figures", question="", sections=[])
        pages.insert(0, _page(pack, front, by_name, paper, drawn))
    made = words.made(pack)
    run_made = f"Made {made} · {words.clean(pack.stamp)}"
    if pack.illustrative:
        run_made += " · illustrative service level"
    # Why there is a first edition needs no saying.
    reason = next((one.reason for one in pack.revisions if one.number == pack.revision > 1), "")
    edition = f"{words.revision(pack)}, made {made}" + (f": {words.clean(reason)}" if reason else "")
    return _template().render(
        title=title(pack),
        made_iso=datetime.fromtimestamp(pack.made_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        style=Markup(_style()),  # noqa: S704 (our own file)
        kicker="Monthly service review" if _is_month(pack) else "Service review",
        place=words.clean(pack.title),
        period=words.clean(pack.period_title),
        edition=edition[:1].upper() + edition[1:],
        illustrative=pack.illustrative,
        run_place=short(pack.title),
        run_period=f"{words.clean(pack.period_title)} · {words.revision(pack)}",
        run_made=run_made,
        headlines=[_headline(pack, number, line, page_titles) for number, line in enumerate(pack.headlines, 1)],
        pages=pages,
    )


def _is_month(pack: Pack) -> bool:
    return len(pack.period) == len("2026-09")


def _page(
    pack: Pack, page: Page, by_name: dict[str, Table], paper: bool, drawn: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    listed = list(page.sections)
    if page.key == "made" and len(pack.revisions) > 1:
        listed.append(Section(title="Editions of this pack", tables=[editions(pack)]))
    sections = [
        _section(pack, page, number, section, by_name, paper, drawn) for number, section in enumerate(listed, 1)
    ]
    return {
        "id": f"page-{page.key}",
        "front": page.key == "front",
        "title": words.clean(page.title),
        "question": words.clean(page.question),
        "sections": sections,
    }


def editions(pack: Pack) -> Table:
    """The revisions of the pack as a table."""
    return Table(
        name="Editions",
        title="Editions of this pack",
        columns=[
            Column(key="number", title="Edition", unit=Unit.COUNT),
            Column(key="made", title="Made", unit=Unit.MOMENT),
            Column(key="reason", title="Why"),
        ],
        rows=[[one.number, one.made_ms, one.reason] for one in pack.revisions],
        empty="This is the only edition.",
    )


def _headline(pack: Pack, number: int, line: Headline, page_titles: dict[str, str]) -> dict[str, Any]:
    fact = pack.facts[line.fact]
    shape, verdict = words.verdict(line)
    before = ("Last month", "Same month last year") if _is_month(pack) else ("Time before", "Same time last year")
    against = []
    for name, key in (("Target", line.target), (before[0], line.last_month), (before[1], line.last_year)):
        other = pack.facts[key] if key is not None else None
        if other is None:
            against.append((name, "none set" if name == "Target" else words.NONE))
            continue
        why = words.clean(other.why_not) if other.value is None and other.why_not != fact.why_not else ""
        against.append((name, words.figure(other, pack.zone) + (f": {why}" if why else "")))
    span, fact_title = words.span(fact, pack.zone), words.clean(fact.title)
    return {
        "id": f"headline-{number}",
        "title": fact_title[:1].upper() + fact_title[1:],
        "value": words.figure(fact, pack.zone),
        "span": span or (words.clean(fact.why_not) if fact.value is None else ""),
        "sentence": words.parts(line.sentence, pack.facts, pack.zone),
        "page": f"page-{line.page}" if line.page in page_titles else "",
        "page_title": page_titles.get(line.page, ""),
        "verdict": verdict,
        "shape": shape,
        "verdict_class": line.verdict.replace(" ", "-"),
        "against": against,
    }


def _section(
    pack: Pack,
    page: Page,
    number: int,
    section: Section,
    by_name: dict[str, Table],
    paper: bool,
    drawn: dict[int, dict[str, Any]],
) -> dict[str, Any]:
    # A table that is empty says so itself, below.
    empty = {table.name for table in section.tables if not table.rows}
    shown = [chart for chart in section.charts if chart.table not in empty]
    halves = sum(charts.can_be_narrow(chart) for chart in shown)
    printed = [table for table in section.tables if table.rows and _is_shown(table, paper)]
    alone = not shown and len(section.tables) == 1
    for chart in shown:
        half = halves > 1 and charts.can_be_narrow(chart)
        drawn.setdefault(id(chart), _chart(chart, by_name[chart.table], pack.zone, half=half))
    return {
        "id": f"part-{page.key}-{number}",
        "title": words.clean(section.title),
        "sentences": [
            {"tone": sentence.tone, "parts": words.parts(sentence, pack.facts, pack.zone)}
            for sentence in section.sentences
        ],
        "charts": [drawn[id(chart)] for chart in shown],
        "tables": [
            # Where a table is all of its section and has its title, the heading names it.
            {
                **_table(_without_own_name(table, pack.title), pack.zone),
                "named": not alone or table.title != section.title,
            }
            for table in printed
        ],
        "empties": _empties(section),
        "elsewhere": _elsewhere(section, paper),
    }


def _is_shown(table: Table, paper: bool) -> bool:
    return table.on == "paper" or (table.on == "screen" and not paper)


def _elsewhere(section: Section, paper: bool) -> str:
    """Names the sheets of tables that are not shown; "": all are."""
    found = [table for table in section.tables if table.rows and not _is_shown(table, paper)]
    names = [f"\u201c{words.clean(table.name)}\u201d ({len(table.rows):,} rows)" for table in found]
    return f"In the spreadsheet: {', '.join(names).replace('(1 rows)', '(1 row)')}." if names else ""


def _empties(section: Section) -> list[dict[str, str]]:
    """What tables without rows say; those that say the same say it once."""
    found: dict[str, list[str]] = {}
    for table in section.tables:
        if not table.rows and table.on == "paper":
            found.setdefault(words.clean(table.empty) or "There are none.", []).append(words.clean(table.title))
    return [{"titles": "; ".join(titles), "text": text} for text, titles in found.items()]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell's text. `long`: a word of it may be cut anywhere, so that no name is wider than the page."""

    text: str

    @property
    def long(self) -> bool:
        return len(self.text) > _WORD_MOST and max(map(len, self.text.split()), default=0) > _WORD_MOST


@dataclass(frozen=True, slots=True)
class _Picture:
    src: str
    alt: str
    width: int
    height: int


def _chart(chart: Chart, table: Table, zone: str, *, half: bool) -> dict[str, Any]:
    drawings = charts.draw(chart, table, zone, narrow=half)
    notes = [drawing.note for drawing in drawings if drawing.note]
    if drawings and chart.low and chart.high:
        notes.append("Thin lines: the range, from at least to at most.")
    alt = words.clean(chart.alt) or words.clean(chart.title)
    name = words.clean(table.title)
    where = f"the table {name}" if table.on == "paper" else f"the sheet {words.clean(table.name)} of the spreadsheet"
    return {
        "title": words.clean(chart.title),
        "half": half,
        "note": " ".join(notes),
        "nothing": f"Nothing to draw: {words.clean(table.empty)}" if table.empty and not table.rows else NOTHING,
        "drawings": [
            _Picture(
                "data:image/svg+xml;base64," + b64encode(drawing.svg()).decode(),
                f"{alt} The figures are in {where}."
                + (f" Drawing {number} of {len(drawings)}." if len(drawings) > 1 else ""),
                round(drawing.canvas.width * _PX),
                round(drawing.canvas.height * _PX),
            )
            for number, drawing in enumerate(drawings, 1)
        ],
    }


def _cut(text: str) -> str:
    """A cell's text with no word that is longer than half a line; the spreadsheet has it whole."""
    if len(text) <= _WORD_CUT:
        return text
    return " ".join(word if len(word) <= _WORD_CUT else word[: _WORD_CUT - 1] + "…" for word in text.split(" "))


def total(table: Table, at: int) -> Value:
    """The total of a column: the sum of its known values; None: the column has no total, or no value is known."""
    known = [row[at] for row in table.rows if isinstance(row[at], int | float) and not isinstance(row[at], bool)]
    return sum(known) if table.columns[at].total == "sum" and known else None  # type: ignore[arg-type]


def _without_own_name(table: Table, place: str) -> Table:
    """The table without a first column that says in each row whose pack it is; the spreadsheet has it."""
    if len(table.columns) < 3 or {row[0] for row in table.rows} != {place} or table.columns[0].total:
        return table
    return structs.replace(table, columns=table.columns[1:], rows=[row[1:] for row in table.rows])


def _known(table: Table) -> tuple[Table, str]:
    """The table without columns of which no figure is known, and which these are; the spreadsheet has them."""
    unknown = [
        at
        for at, column in enumerate(table.columns)
        if at and words.numeric(column.unit) and all(row[at] is None for row in table.rows)
    ]
    if not unknown or len(table.columns) - len(unknown) < _FEWEST:
        return table, ""
    kept = [at for at in range(len(table.columns)) if at not in unknown]
    titles = ", ".join(words.clean(table.columns[at].title) for at in unknown)
    rows = [[row[at] for at in kept] for row in table.rows]
    return (
        structs.replace(table, columns=[table.columns[at] for at in kept], rows=rows),
        f"Not known in any row, and left out: {titles}.",
    )


def _table(table: Table, zone: str) -> dict[str, Any]:
    table, unknown = _known(table)
    shown = min(len(table.rows), PRINT_MOST if table.most is None else min(table.most, PRINT_MOST))
    if shown < len(table.rows) <= min(shown + _LEFT_OVER, PRINT_MOST):
        shown = len(table.rows)  # to say that some are elsewhere takes as much room as they do
    totals = [total(table, at) for at in range(len(table.columns))]
    cells = []
    for at, column in enumerate(table.columns):
        values = [row[at] for row in table.rows]
        # The total is written with the decimals of its column, and is below it.
        places = words.digits(column.unit, [*values, totals[at]])
        listed = values[:shown] if totals[at] is None else [*values[:shown], totals[at]]
        cells.append(words.column(column.unit, listed, zone, places=places))
    rows = [[_Cell(_cut(column[number])) for column in cells] for number in range(shown)]
    foot = [cells[at][shown] if value is not None else "" for at, value in enumerate(totals)]
    if any(foot) and not foot[0]:
        foot[0] = "Total" if shown == len(table.rows) else f"Total of {len(table.rows):,}"
    heads = [words.heading(words.clean(column.title), column.unit) for column in table.columns]
    fitted = layout.fitted([column.unit for column in table.columns], heads, cells)
    more = ""
    if shown < len(table.rows):
        more = f"{shown} of {len(table.rows):,} rows are shown; the spreadsheet has all {len(table.rows):,} rows."
    beside = [at for at in range(len(table.columns)) if at not in fitted.below]
    return {
        "id": "table-" + "".join(letter if letter.isalnum() else "-" for letter in table.name.casefold()),
        "title": words.clean(table.title),
        "heads": [
            {
                "title": head,
                "numeric": words.numeric(column.unit),
                "whole": column.unit in (Unit.MOMENT, Unit.DATE, Unit.MARK) and not fitted.percents,
            }
            for head, column in ((heads[at], table.columns[at]) for at in beside)
        ],
        "below": [
            [(heads[at], row[at].text) for at in fitted.below if row[at].text not in ("", words.NONE)] for row in rows
        ],
        "rows": [[row[at] for at in beside] for row in rows],
        "totals": [_Cell(foot[at]) for at in beside] if any(foot) else [],
        "layout": fitted.name,
        "short": shown <= _SHORT,
        "widths": fitted.percents,
        "more": more,
        "note": " ".join(text for text in (words.clean(table.note), unknown) if text),
    }
