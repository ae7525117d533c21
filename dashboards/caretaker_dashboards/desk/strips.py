"""Where things stand on a day's strip: per cents of the day's own length, 23 or 25 hours when clocks change."""

import re
from collections.abc import Iterable
from datetime import date, timedelta

from msgspec import Struct

from caretaker_dashboards.desk.views import DecisionLine, Lesson, MachineRow, Spell, Strip
from caretaker_dashboards.desk.words import lasting
from caretaker_dashboards.states import LOOK
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.shown import Shown

HOUR_MS = 3_600_000
ACTING = frozenset({"shut_down", "sleep", "restart", "wake", "not_woken", "warn_only"})
"""Verdicts that are drawn; "left on" is written down far too often to be."""


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a strip, from the left, in per cent."""

    x: str
    width: str
    shown: str
    says: str


class Mark(Struct, frozen=True, kw_only=True):
    """A decision on a strip."""

    x: str
    verdict: str
    line: DecisionLine


class Drawn(Struct, frozen=True, kw_only=True):
    """A machine's day, ready to be drawn. `says` is all of it in words."""

    device: str
    pieces: list[Piece]
    marks: list[Mark]
    says: str


class Axis(Struct, frozen=True, kw_only=True):
    """Hours of a day. `now` None: it is not today."""

    hours: list[tuple[str, str]]  # x, "06"
    now: str | None


def drawn(strip: Strip, from_ms: int, until_ms: int) -> Drawn:
    """Place a machine's spells and decisions; what is outside the day is cut off."""
    spells = [spell for spell in _joined(strip.spells) if spell.until_ms > from_ms and spell.from_ms < until_ms]
    pieces = [
        Piece(
            x=_at(max(spell.from_ms, from_ms), from_ms, until_ms),
            width=_share(min(spell.until_ms, until_ms) - max(spell.from_ms, from_ms), from_ms, until_ms),
            shown=spell.shown.value,
            says=f"{LOOK[spell.shown].label} for {lasting(spell.until_ms - spell.from_ms)}",
        )
        for spell in spells
    ]
    marks = [
        Mark(x=_at(line.at_ms, from_ms, until_ms), verdict=line.verdict, line=line)
        for line in strip.marks
        if line.verdict in ACTING and from_ms <= line.at_ms < until_ms
    ]
    return Drawn(device=strip.device, pieces=pieces, marks=marks, says=in_words(strip))


def _joined(spells: Iterable[Spell]) -> list[Spell]:
    """Spells of one state that follow on each other are one to the eye."""
    found: list[Spell] = []
    for spell in spells:
        if found and found[-1].shown is spell.shown and found[-1].until_ms == spell.from_ms:
            found[-1] = Spell(found[-1].from_ms, spell.until_ms, spell.shown)
        else:
            found.append(spell)
    return found


def in_words(strip: Strip) -> str:
    """ "in use 3 h 10 min, idle 2 h", in the order of the eight states."""
    spent = spent_ms(strip)
    told = ", ".join(f"{LOOK[shown].label} {lasting(spent[shown])}" for shown in LOOK if spent.get(shown))
    return told or "nothing is on record"


def spent_ms(strip: Strip) -> dict[Shown, int]:
    """How long it was in each state."""
    spent: dict[Shown, int] = {}
    for spell in strip.spells:
        spent[spell.shown] = spent.get(spell.shown, 0) + spell.until_ms - spell.from_ms
    return spent


def hours(strip: Strip) -> dict[str, float]:
    """Hours in each state, by its name, to the tenth."""
    spent = spent_ms(strip)
    return {shown.value: round(spent.get(shown, 0) / HOUR_MS, 1) for shown in LOOK}


def lessons(found: Iterable[Lesson], from_ms: int, until_ms: int) -> list[tuple[str, str, Lesson]]:
    """x and width of each lesson."""
    return [
        (
            _at(max(lesson.from_ms, from_ms), from_ms, until_ms),
            _share(min(lesson.until_ms, until_ms) - max(lesson.from_ms, from_ms), from_ms, until_ms),
            lesson,
        )
        for lesson in found
        if lesson.until_ms > from_ms and lesson.from_ms < until_ms
    ]


def axis(from_ms: int, until_ms: int, zone: str, now_ms: int) -> Axis:
    """Every third hour by the wall clock, so that 06 is at 06 also on the days on which clocks change."""
    marks: list[tuple[str, str]] = []
    for at_ms in range(from_ms, until_ms, HOUR_MS):
        hour = local(at_ms, zone_of(zone)).hour
        if hour % 3 == 0 and at_ms > from_ms and f"{hour:02}" not in [label for _, label in marks]:
            marks.append((_at(at_ms, from_ms, until_ms), f"{hour:02}"))
    now = _at(now_ms, from_ms, until_ms) if from_ms <= now_ms < until_ms else None
    return Axis(hours=marks, now=now)


def natural(machines: Iterable[MachineRow]) -> list[MachineRow]:
    """As people count: ict1-9 before ict1-10."""
    return sorted(machines, key=lambda row: [int(part) if part.isdigit() else part for part in _split(row.name)])


def near_days(day: str, now_ms: int, zone: str) -> dict[str, str]:
    """The day before, the day after ("" when that is to come) and today, as ISO days."""
    chosen, today = date.fromisoformat(day), local(now_ms, zone_of(zone)).date()
    after = chosen + timedelta(days=1)
    return {
        "before": (chosen - timedelta(days=1)).isoformat(),
        "after": after.isoformat() if after <= today else "",
        "today": today.isoformat(),
    }


def day_span(day: date, zone: str) -> tuple[int, int]:
    """From midnight to midnight."""
    return midnight_ms(day, zone_of(zone)), midnight_ms(day + timedelta(days=1), zone_of(zone))


def _split(name: str) -> list[str]:
    return re.split(r"([0-9]+)", name)


def _at(at_ms: int, from_ms: int, until_ms: int) -> str:
    return _share(at_ms - from_ms, from_ms, until_ms)


def _share(length_ms: int, from_ms: int, until_ms: int) -> str:
    return f"{max(0.0, 100 * length_ms / max(1, until_ms - from_ms)):.3f}%"
