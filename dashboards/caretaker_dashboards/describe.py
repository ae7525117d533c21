"""What a board is, before it becomes Grafana's JSON: boards, panels, and the questions that panels ask.

A question knows its answer: the unit of each column, the range in which it must lie, and what it means when nothing
comes. Tests ask every question of a real InfluxDB and hold the answer against that.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

GOOD, WATCH, RED, PLAIN = "#0d965f", "#f6d860", "#c43c1e", "#8e949c"
"""Colours of thresholds: green, yellow and red differ in lightness too, as the states do. PLAIN says nothing."""

DESK = "http://127.0.0.1:8600"
"""Where the desk is, until `boards push --desk URL` says otherwise: the collector's default address."""


class Unit(StrEnum):
    """Grafana's names of the units that boards use."""

    NONE = "none"  # a count
    WORD = "string"
    YES_NO = "bool_yes_no"
    RATIO = "percentunit"  # 0-1
    SECONDS = "s"
    MINUTES = "m"
    HOURS = "h"
    DAYS = "d"
    WATT = "watt"
    KWH = "kwatth"
    POUND = "currencyGBP"
    KG = "masskg"
    BYTES = "bytes"
    PER_SECOND = "cps"
    PER_MINUTE = "cpm"
    DATE = "dateTimeAsLocal"  # of milliseconds
    AGO = "dateTimeFromNow"  # of milliseconds


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on (None: from the lowest) a cell or line has this colour."""

    value: float | None
    colour: str


LEAST = -1e9
"""Below every value. A scale whose lowest colour is red begins here and not at None: Grafana gives a cell without a
value the colour of None, and "no clock runs" is no alarm."""


def red_below(watch: float, good: float) -> tuple[Step, ...]:
    """A scale on which low is bad."""
    return (Step(None, PLAIN), Step(LEAST, RED), Step(watch, WATCH), Step(good, GOOD))


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a value. `url` may use Grafana's variables."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer, by the name that the query gives it."""

    name: str
    title: str = ""
    unit: Unit = Unit.NONE
    low: float | None = 0.0
    high: float | None = None
    decimals: int | None = None
    colour: str = ""  # fixed; else by steps, words or the palette
    steps: tuple[Step, ...] = ()
    words: tuple[tuple[str, str, str], ...] = ()  # value, text, colour ("": none)
    link: Link | None = None
    width: int | None = None
    often_none: bool = False  # no row needs to have it
    none: str = "–"  # what a cell without a value says
    hidden: bool = False
    bar: bool = False  # a table shows it as a bar

    @property
    def shown(self) -> str:
        """Its heading."""
        return self.title or self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Question:
    """A query in InfluxQL with Grafana's variables, and what its answer is."""

    text: str
    columns: tuple[Column, ...]
    empty: str  # what nothing means, and the next step
    table: bool = False
    alias: str = ""
    after: tuple[dict[str, Any], ...] = ()  # Grafana's transformations of the answer


class Kind(StrEnum):
    """Kinds of panel, by Grafana's name of the plug-in."""

    STAT = "stat"
    TABLE = "table"
    LINES = "timeseries"
    STATES = "state-timeline"
    GAUGES = "bargauge"
    BARS = "barchart"
    TEXT = "text"


SCHEMA_NAMES = {kind: kind.value.replace("-", "") for kind in Kind}
"""How @grafana/schema calls them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: the question it answers, and how."""

    kind: Kind
    title: str
    says: str  # what it shows; the unit and what to do when it is red come after it
    question: Question | None = None  # None: text
    more: tuple[Question, ...] = ()  # further questions on the same panel
    width: int = 24
    height: int = 8
    when_red: str = ""  # what to do; needed as soon as a step is red
    good_when_empty: bool = False
    time_from: str = ""  # its own span, up to now, such as "now-30d"
    stacked: bool = False
    bars: bool = False  # LINES as bars
    text: str = ""  # TEXT: Markdown
    with_plan: bool = False  # its row is there only where a plan of energy is written down
    options: dict[str, Any] = field(default_factory=dict)  # laid over the kind's own
    custom: dict[str, Any] = field(default_factory=dict)  # laid over the field's custom settings

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that it asks."""
        return (() if self.question is None else (self.question,)) + self.more

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of all its answers."""
        return tuple(column for question in self.questions for column in question.columns)


@dataclass(frozen=True, slots=True)
class Mark:
    """Annotations: marks over the panels of a board."""

    name: str
    text: str  # InfluxQL
    column: str  # the text of a mark
    tags: str = ""
    colour: str = PLAIN
    enabled: bool = True


class Pick(StrEnum):
    """What a reader of a board can choose."""

    NETWORK = "network"
    SCHOOL = "school"
    SCHOOLS = "schools"  # a school, or all of them
    ROOM = "room"
    DEVICE = "device"


class Audience(StrEnum):
    """Whom a board is for: its folder."""

    DESK = "desk"
    SCHOOL = "school"  # also made for each school by itself, with only that school in it
    CARETAKER = "caretaker"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `name` makes its uid; it never changes, links rest on it."""

    name: str
    title: str
    about: str
    audience: Audience
    rows: tuple[tuple[Panel, ...], ...]
    picks: tuple[Pick, ...] = ()
    span: tuple[str, str] = ("now-24h", "now")
    refresh: str = "1m"
    marks: tuple[Mark, ...] = ()
    for_school: bool = False  # has a copy in the folder of each school

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Row by row."""
        return tuple(panel for row in self.rows for panel in row)
