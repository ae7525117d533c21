"""What a review pack says, as plain values: the collector fills it in; HTML, PDF and spreadsheet are drawn from it.

Every figure is a `Fact` or a cell of a `Table`; sentences only refer to facts, and charts only to columns of a table.
So each figure of the page is in the spreadsheet, each chart has its table, and no drawing code reckons anything.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct


class Unit(StrEnum):
    """What a figure is, which also says how it is written: drawn in one place, `review/words.py`."""

    COUNT = "count"  # 1,234
    PERCENT = "percent"  # the value is 0-100: 99.62 %
    POINTS = "points"  # difference of two percentages: +0.43 points
    KWH = "kWh"
    GBP = "GBP"
    KG = "kg CO2e"
    HOURS = "h"
    MINUTES = "min"
    SECONDS = "s"  # written as 3 h 20 min
    DAYS = "d"
    WATTS = "W"
    RATIO = "ratio"  # 0-1, written as a percentage without decimals
    GBP_PER_HOUR = "GBP/h"
    NUMBER = "number"  # two decimals
    MOMENT = "moment"  # UTC ms, written in the school's time
    DATE = "date"  # ISO
    TEXT = "text"
    MARK = "mark"  # measured, declared or not known


Value = float | int | str | bool | None
"""None: not known, or nothing to reckon from; written as "n/a". A yes or no is for a chart's `mark`."""


class Fact(Struct, frozen=True, kw_only=True):
    """One figure, with its range where it is one. `why_not`: why the value is None."""

    key: str  # unique in the pack: "availability", "energy.avoided"
    title: str
    unit: Unit
    value: Value
    low: float | None = None
    high: float | None = None
    why_not: str = ""
    source: str = ""  # where it comes from: "device_day", "incident log"
    command: str = ""  # what recomputes it: "caretaker sla explain ash 2026-09"


class Sentence(Struct, frozen=True, kw_only=True):
    """Plain text with facts in it: "{availability} of the time owed". Braces name keys of `Pack.facts`."""

    text: str
    tone: Literal["plain", "good", "bad", "note"] = "plain"


class Column(Struct, frozen=True, kw_only=True):
    """A column of a table. `total`: how the spreadsheet's total of it comes about from its rows."""

    key: str
    title: str
    unit: Unit = Unit.TEXT
    total: Literal["", "sum"] = ""


class Table(Struct, frozen=True, kw_only=True):
    """Rows of figures. `empty` says why there are none and what the next step is."""

    name: str  # unique in the pack, and the name of its sheet: at most 31 letters, none of []:*?/\\
    title: str
    columns: list[Column]
    rows: list[list[Value]]
    empty: str = ""
    note: str = ""
    most: int | None = None  # print so many rows, and say that the spreadsheet has all; None: all
    on: Literal["paper", "screen", "sheet"] = "paper"
    """Where it is shown. "screen": in HTML, not in the PDF; "sheet": in neither. The spreadsheet always has it."""


class Chart(Struct, frozen=True, kw_only=True):
    """A drawing of a table. `alt` says in one or two sentences what it shows.

    bars: `y` by `x`, stacked where there is more than one y; with `low`, `high` a whisker on the first
    lines: each of `y` over `x`
    dots: one row a line: `x` names it, `y[0]` is its value, `low`/`high` its range; a row whose `mark` is true is ours
    heat: `x` across, `by` down, `y[0]` as darkness, a small one for each value of `split`
    """

    kind: Literal["bars", "lines", "dots", "heat"]
    title: str
    table: str
    x: str
    y: list[str]
    alt: str
    by: str = ""
    split: str = ""
    low: str = ""
    high: str = ""
    mark: str = ""
    target: float | None = None
    horizontal: bool = False


class Section(Struct, frozen=True, kw_only=True):
    """A part of a page, in this order: sentences, charts, tables."""

    title: str
    sentences: list[Sentence] = []
    charts: list[Chart] = []
    tables: list[Table] = []


class Page(Struct, frozen=True, kw_only=True):
    """A page of the pack, with the question that it answers."""

    key: str  # front, service, energy, use, network, comparison, actions, made, annex
    title: str
    question: str
    sections: list[Section]


class Headline(Struct, frozen=True, kw_only=True):
    """One of the five figures of the first page: keys of facts, one sentence, and the page with more."""

    fact: str
    target: str | None
    last_month: str | None
    last_year: str | None
    verdict: Literal["met", "missed", "cannot tell", "no target"]
    sentence: Sentence
    page: str


class Revision(Struct, frozen=True, kw_only=True):
    """An earlier or this version of the pack."""

    number: int
    made_ms: int
    reason: str


class Pack(Struct, frozen=True, kw_only=True):
    """The whole pack of one school, or of a network, for a span of days."""

    place: str  # ash, network:green, all
    title: str
    period: str  # 2026-09, or 2026-09-01..2026-12-18
    period_title: str  # September 2026
    first: str  # ISO days, both included
    last: str
    zone: str
    made_ms: int
    revision: int
    revisions: list[Revision]
    stamp: str  # version stamp of the figures
    illustrative: bool  # the service level is an example, nobody's contract
    headlines: list[Headline]
    pages: list[Page]
    facts: dict[str, Fact]
