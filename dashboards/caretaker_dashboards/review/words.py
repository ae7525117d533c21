"""Where a figure becomes text: the one place for units, signs, decimals, ranges and "n/a".

Page and PDF take `text`, the spreadsheet takes `number_format`; both show the same digits. A percentage is cut and not
rounded, as in `caretaker sla explain`, so that nothing looks like a target that it misses. All else is rounded half up,
as spreadsheets do.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from zoneinfo import ZoneInfo

from caretaker_dashboards.review.pack import Fact, Headline, Pack, Sentence, Unit, Value

NONE = "n/a"
"""What stands where a figure is not known, or there is nothing to reckon it from."""

MINUS = "\N{MINUS SIGN}"
DAY_S = 86_400
TEXTS = frozenset({Unit.TEXT, Unit.MARK})
_CUT = 1e-6  # of the last digit: 99.5 that arrived as 99.4999999999 is 99.5
_TWO_IF_SMALL = frozenset({Unit.KWH, Unit.GBP, Unit.KG})
_AFTER = {
    Unit.PERCENT: " %",
    Unit.POINTS: " points",
    Unit.KWH: " kWh",
    Unit.KG: " kg",
    Unit.HOURS: " h",
    Unit.MINUTES: " min",
    Unit.WATTS: " W",
    Unit.RATIO: " %",
    Unit.GBP_PER_HOUR: " an hour",
}
_BEFORE = {Unit.GBP: "£", Unit.GBP_PER_HOUR: "£"}
_MARKS = {"measured": "●", "declared": "◐", "not known": "○"}
_SHAPES = {"met": "✓", "missed": "✕", "cannot tell": "?", "no target": "–"}
_VERDICTS = {"met": "target met", "missed": "target missed", "cannot tell": "cannot tell", "no target": "no target set"}
_NAMES = {Unit.POINTS: "points", Unit.GBP: "£", Unit.GBP_PER_HOUR: "£ an hour", Unit.DAYS: "days"}
_BARE = frozenset({*_NAMES, Unit.KWH, Unit.KG, Unit.HOURS, Unit.MINUTES, Unit.WATTS})
"""Units that stand in a column's heading, and not in each of its cells."""


def clean(name: str) -> str:
    """A name as one line of what can be seen: without control letters, and those that turn the writing round."""
    kept = (" " if letter in "\t\n\r" else letter for letter in name if letter in "\t\n\r\u200d" or not _hidden(letter))
    return "".join(kept)


def _hidden(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _number(value: Value) -> float | None:
    """The value as a number; None: it is none, or not a finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isfinite(value) else None


def digits(unit: Unit, values: Iterable[Value]) -> int:
    """How many decimals figures of this unit have that stand together: a column, or a figure with its range."""
    numbers = [abs(number) for value in values if (number := _number(value)) is not None]
    most = max(numbers, default=0)
    if unit in _TWO_IF_SMALL:
        return 0 if most >= 100 or not any(numbers) else 2 if unit is Unit.GBP or most < 10 else 1
    if unit in (Unit.PERCENT, Unit.POINTS, Unit.NUMBER, Unit.GBP_PER_HOUR):
        return 2
    if unit is Unit.HOURS:
        return 1
    if unit in (Unit.COUNT, Unit.DAYS, Unit.MINUTES, Unit.WATTS):
        return 0 if most >= 1_000 or all(float(number).is_integer() for number in numbers) else 1
    return 0


def printed(unit: Unit, value: float, places: int) -> float:
    """The number whose digits are written: a percentage is cut to its decimals, all else is left to be rounded."""
    if unit is not Unit.PERCENT:
        return value
    scale = 10.0**places
    return int(value * scale + (_CUT if value >= 0 else -_CUT)) / scale


def _plain(value: float, places: int, *, signed: bool = False) -> str:
    """Digits with thousands and a true minus; nothing is written as minus zero."""
    exact = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    if exact == 0:
        return f"{abs(exact):,}"
    sign = MINUS if exact < 0 else "+" if signed else ""
    return f"{sign}{abs(exact):,}"


def _duration(seconds: float) -> str:
    """3 h 05 min, 20 min, 45 s: what is under way is not counted, as a spreadsheet's hours and minutes do."""
    whole = int(abs(seconds) + 0.0005)
    sign = MINUS if seconds < 0 and whole else ""
    if whole < 60:
        return f"{sign}{whole} s"
    if whole < 3600:
        return f"{sign}{whole // 60} min"
    return f"{sign}{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def day(iso: str) -> str:
    """An ISO day as "3 Sep 2026"; what is none stays as it is."""
    try:
        found = date.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{found.day} {found:%b %Y}"


def local(ms: float, zone: str) -> datetime:
    """UTC milliseconds as the school's time, without its zone, cut to the minute."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return moment.replace(tzinfo=None, second=0, microsecond=0)


def moment(ms: float, zone: str) -> str:
    """UTC milliseconds as "Thu 3 Sep 2026 08:45" in the school's time."""
    then = local(ms, zone)
    return f"{then:%a} {then.day} {then:%b %Y %H:%M}"


def text(unit: Unit, value: Value, *, zone: str = "UTC", places: int | None = None, bare: bool = False) -> str:
    """A value as people read it. `places`: decimals, when it stands among others. `bare`: without its unit."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        value = clean(value)
        if unit is Unit.DATE:
            return day(value)
        return f"{_MARKS[value]} {value}" if unit is Unit.MARK and value in _MARKS else value
    if not isfinite(value):
        return NONE
    if unit is Unit.MOMENT:
        return moment(value, zone)
    if unit is Unit.SECONDS:
        return _duration(value)
    places = digits(unit, [value]) if places is None else places
    if unit is Unit.RATIO:
        value *= 100
    number = _plain(printed(unit, value, places), places, signed=unit is Unit.POINTS)
    if bare:
        return number
    if unit is Unit.DAYS:
        return f"{number} day" if number == "1" else f"{number} days"
    before = _BEFORE.get(unit, "")
    if before and number.startswith(MINUS):
        return f"{MINUS}{before}{number[1:]}{_AFTER.get(unit, '')}"
    return f"{before}{number}{_AFTER.get(unit, '')}"


def span(fact: Fact, zone: str = "UTC") -> str:
    """The range of a fact as "99.41 to 99.70"; "": it has none, or it is as narrow as its digits."""
    if fact.low is None or fact.high is None:
        return ""
    places = digits(fact.unit, [fact.value, fact.low, fact.high])
    bare = fact.unit not in _BEFORE
    low, high = (text(fact.unit, value, zone=zone, places=places, bare=bare) for value in (fact.low, fact.high))
    return "" if low == high and fact.value is not None else f"{low} to {high}"


def figure(fact: Fact, zone: str = "UTC") -> str:
    """The value of a fact without its range and reason."""
    return text(fact.unit, fact.value, zone=zone, places=digits(fact.unit, [fact.value, fact.low, fact.high]))


def fact_text(fact: Fact, zone: str = "UTC", *, why: bool = True) -> str:
    """A fact in a sentence: "99.62 % (99.41 to 99.70)", or "n/a (no service hours)" where `why` is asked for."""
    within = span(fact, zone) or (clean(fact.why_not) if fact.value is None and why else "")
    return f"{figure(fact, zone)} ({within})" if within else figure(fact, zone)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence: `fact` is the key of the fact that it is, "" for the words between.

    `figure`: the fact is a figure, and no text: it stands out.
    """

    text: str
    fact: str = ""
    figure: bool = False


def parts(sentence: Sentence, facts: dict[str, Fact], zone: str = "UTC") -> list[Part]:
    """A sentence cut into words and figures. A key that is no fact is left as it was written.

    Braces are taken literally, not as Python's format language: a name with braces in it must not reach into anything.
    """
    found: list[Part] = []
    reasons: set[str] = set()  # each is given once
    rest = sentence.text
    while rest:
        before, opened, after = rest.partition("{")
        key, closed, tail = after.partition("}")
        if not opened or not closed or key not in facts:
            found.append(Part(clean(before + opened)))
            rest = after
            continue
        fact = facts[key]
        found.extend(
            [
                Part(clean(before)),
                Part(fact_text(fact, zone, why=fact.why_not not in reasons), key, fact.unit not in TEXTS),
            ]
        )
        if fact.value is None:
            reasons.add(fact.why_not)
        rest = tail
    return [part for part in found if part.text]


def sentence_text(sentence: Sentence, facts: dict[str, Fact], zone: str = "UTC") -> str:
    """A sentence with its figures in it."""
    return "".join(part.text for part in parts(sentence, facts, zone))


def heading(title: str, unit: Unit) -> str:
    """The title of a column, with the unit where its cells have none: "Used, kWh"."""
    if unit not in _BARE:
        return title
    name = _NAMES.get(unit, unit.value)
    return title if title.casefold().endswith(name.casefold()) else f"{title}, {name}"


def column(unit: Unit, values: Sequence[Value], zone: str = "UTC", *, places: int | None = None) -> list[str]:
    """The cells of a column, with the same decimals in all; the unit may stand in the `heading`."""
    places = digits(unit, values) if places is None else places
    return [text(unit, value, zone=zone, places=places, bare=unit in _BARE) for value in values]


def numeric(unit: Unit) -> bool:
    """Whether cells of this unit stand flush right."""
    return unit not in TEXTS and unit not in (Unit.MOMENT, Unit.DATE)


def number_format(unit: Unit, places: int, *, bare: bool = False) -> str:
    """The spreadsheet's format that shows the digits of `text`, with the unit; seconds have `duration_format`."""
    digits_ = "#,##0" + ("." + "0" * places if places else "")
    if bare and unit in _BARE:
        return f"+{digits_};-{digits_};{digits_}" if unit is Unit.POINTS else digits_
    match unit:
        case Unit.MOMENT:
            return "ddd d mmm yyyy hh:mm"
        case Unit.DATE:
            return "d mmm yyyy"
        case Unit.TEXT | Unit.MARK:
            return "@"
        case Unit.POINTS:
            return f'+{digits_}" points";-{digits_}" points";{digits_}" points"'
        case Unit.RATIO:
            return f"{digits_} %"
        case Unit.GBP | Unit.GBP_PER_HOUR:
            money = f'"£"{digits_}' + (f'"{_AFTER[unit]}"' if unit in _AFTER else "")
            return f"{money};-{money}"
        case Unit.DAYS:
            return f'[=1]{digits_}" day";{digits_}" days"'
    after = _AFTER.get(unit, "")
    return f'{digits_}"{after}"' if after else digits_


def duration_format(seconds: float) -> str:
    """The spreadsheet's format of one duration that is held in days: by its size, as `text` does."""
    whole = int(abs(seconds) + 0.0005)
    return '[s]" s"' if whole < 60 else '[m]" min"' if whole < 3600 else '[h]" h "mm" min"'


def mark(name: str) -> str:
    """The shape beside measured, declared or not known; "": it is none of them."""
    return _MARKS.get(name, "")


def verdict(headline: Headline) -> tuple[str, str]:
    """A verdict as a shape and in words."""
    return _SHAPES[headline.verdict], _VERDICTS[headline.verdict]


def revision(pack: Pack) -> str:
    """Which edition of the pack this is: "first edition", or "revision 2"."""
    return "first edition" if pack.revision <= 1 else f"revision {pack.revision}"


def made(pack: Pack) -> str:
    """When the pack was made, in the school's time."""
    return moment(pack.made_ms, pack.zone)
