"""Targets of a school year: per indicator the target, each month's figure, the gap, and the trend.

A target stands in `service.toml` for a school or for all; where none is written for availability, the level's counts.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Literal

from msgspec import Struct

from caretaker_collector.sla.book import SlaBook
from caretaker_collector.sla.view import percent
from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import Estate, School
from caretaker_rules.ports import Store
from caretaker_rules.service import Target
from caretaker_rules.sla import Verdict

Indicator = Literal[
    "availability", "fixed_in_time", "answered_in_time", "rooms_ready", "seats_used", "energy_kwh", "avoided_kwh"
]
FIRST_MONTH = 9
"""A school year begins in September."""
TITLES: dict[Indicator, str] = {
    "availability": "availability",
    "fixed_in_time": "fixed in time",
    "answered_in_time": "answered in time",
    "rooms_ready": "rooms ready",
    "seats_used": "seats used",
    "energy_kwh": "energy, kWh",
    "avoided_kwh": "avoided, kWh",
}
TOTALS: tuple[Indicator, ...] = ("energy_kwh", "avoided_kwh")
"""Indicators that add up over the year; the others are ratios."""
_WIDE = 18


class Value(Struct, frozen=True):
    """A figure as a range; all three None: n/a."""

    low: float | None = None
    likely: float | None = None
    high: float | None = None


class Progress(Struct, frozen=True, kw_only=True):
    """One indicator in one school year."""

    indicator: Indicator
    target: float | None
    target_from: str  # "service.toml", "level transitional", "": none
    months: list[tuple[str, Value]]
    under_way: str  # the month that is not over, which is not in the trend; "": none
    so_far: Value
    gap: float | None  # likely less target
    trend: float | None  # by which it changes from month to month (least squares); None: fewer than two months
    verdict: Verdict
    note: str = ""


def year_of(day: date) -> int:
    """The school year that a day is in, by the year in which it begins."""
    return day.year if day.month >= FIRST_MONTH else day.year - 1


def months_of(year: int) -> list[str]:
    """Its months, from September on."""
    return [f"{year + (number >= 12):04}-{number % 12 + 1:02}" for number in range(FIRST_MONTH - 1, FIRST_MONTH + 11)]


def target_of(targets: Iterable[Target], school: str, indicator: Indicator, year: int) -> Target | None:
    """The school's own target, else that of all schools."""
    fitting = [each for each in targets if each.indicator == indicator and each.year == year]
    return next(
        (each for each in fitting if each.school == school), next((e for e in fitting if e.school is None), None)
    )


async def progress(
    book: SlaBook, store: Store, estate: Estate, school: School, year: int, now_ms: int
) -> list[Progress]:
    """Every indicator of a school year, up to now. Unavailable: the store."""
    assert estate.service is not None
    zone = zone_of(school.time_zone)
    today = local(now_ms, zone).date()
    figures: dict[str, sla.Month] = {}
    under_way = ""
    energy: dict[str, Value] = {}
    for month in months_of(year):
        first, last = sla.month_days(month)
        if first > today:
            break
        under_way = month if last >= today else ""
        figures[month] = (await book.reckon(school, month, now_ms)).figure
        start_ms, end_ms = midnight_ms(first, zone), midnight_ms(date.fromordinal(last.toordinal() + 1), zone)
        used = await store.sums("device_day", ("energy_wh",), start_ms, end_ms, school=school.name)
        kwh = used[()]["energy_wh"] / 1000 if used else None
        energy[month] = Value(kwh, kwh, kwh)
    found = []
    for indicator in TITLES:
        written = target_of(estate.service.targets, school.name, indicator, year)
        target, source = (written.value, "service.toml") if written else (None, "")
        if indicator == "availability" and written is None:
            target, source = _of_level(figures)
        if indicator == "avoided_kwh":
            if written is not None:
                note = f"caretaker savings {school.name} --from DAY --to DAY reckons it, against a baseline"
                found.append(_progress(indicator, target, source, {}, {}, note=note))
            continue
        if indicator == "seats_used":
            if written is not None:
                found.append(await _seats(store, school, target, source, list(figures), under_way))
            continue
        months = energy if indicator == "energy_kwh" else _ratios(indicator, figures)
        found.append(_progress(indicator, target, source, months, figures, under_way))
    return found


async def _seats(
    store: Store, school: School, target: float | None, source: str, months: Sequence[str], under_way: str
) -> Progress:
    """Seats used of those seen in booked lessons (days/use.py); a range where not all were seen."""
    zone = zone_of(school.time_zone)
    values: list[tuple[str, Value]] = []
    whole = [0.0, 0.0, 0.0]
    for month in months:
        first, last = sla.month_days(month)
        start_ms, end_ms = midnight_ms(first, zone), midnight_ms(date.fromordinal(last.toordinal() + 1), zone)
        sums = (await store.sums("room_use", ("seats", "used", "seen"), start_ms, end_ms, school=school.name)).get(
            (), {}
        )
        amounts = [sums.get(name, 0.0) for name in ("seats", "used", "seen")]
        whole = [total + amount for total, amount in zip(whole, amounts, strict=True)]
        values.append((month, _share(*amounts)))
    so_far = _share(*whole)
    return Progress(
        indicator="seats_used",
        target=target,
        target_from=source,
        months=values,
        under_way=under_way,
        so_far=so_far,
        gap=None if target is None or so_far.likely is None else so_far.likely - target,
        trend=trend([value.likely for month, value in values if month != under_way]),
        verdict=_verdict("seats_used", so_far, target),
    )


def _share(seats: float, used: float, seen: float) -> Value:
    if not seen:
        return Value()
    return Value(used / seats, used / seen, (used + seats - seen) / seats)


def _of_level(figures: dict[str, sla.Month]) -> tuple[float | None, str]:
    """The target of the newest month's last level."""
    parts = [part for figure in figures.values() for part in figure.parts]
    return (parts[-1].target, f"level {parts[-1].level}") if parts else (None, "")


def _ratios(indicator: Indicator, figures: dict[str, sla.Month]) -> dict[str, Value]:
    return {month: _ratio(indicator, [figure]) for month, figure in figures.items()}


def _ratio(indicator: Indicator, figures: Iterable[sla.Month]) -> Value:
    """An indicator over some months together: sums, never means of ratios."""
    parts = [part for figure in figures for part in figure.parts]
    if indicator == "availability":
        whole = sum((part.availability.devices for part in parts), Figure())
        return Value(whole.low, whole.likely, whole.high)
    if indicator == "rooms_ready":
        good, every = sum(part.lessons_ready for part in parts), sum(part.lessons for part in parts)
    else:
        times = [each for part in parts for each in (part.fixed if indicator == "fixed_in_time" else part.answered)]
        good = sum(each.in_time for each in times)
        every = good + sum(each.late for each in times)
    ratio = good / every if every else None
    return Value(ratio, ratio, ratio)


def _progress(
    indicator: Indicator,
    target: float | None,
    source: str,
    months: dict[str, Value],
    figures: dict[str, sla.Month],
    under_way: str = "",
    note: str = "",
) -> Progress:
    if indicator in TOTALS:
        known = [value.likely for value in months.values() if value.likely is not None]
        total = sum(known) if known else None
        so_far = Value(total, total, total)
    else:
        so_far = _ratio(indicator, figures.values())
    return Progress(
        indicator=indicator,
        target=target,
        target_from=source,
        months=list(months.items()),
        under_way=under_way,
        so_far=so_far,
        gap=None if target is None or so_far.likely is None else so_far.likely - target,
        trend=trend([value.likely for month, value in months.items() if month != under_way]),
        verdict=_verdict(indicator, so_far, target),
        note=note,
    )


def _verdict(indicator: Indicator, so_far: Value, target: float | None) -> Verdict:
    """Less is better for energy used; all else should reach its target."""
    if target is None or so_far.low is None or so_far.high is None:
        return Verdict.NOTHING_OWED
    if indicator == "energy_kwh":
        return Verdict.MET if so_far.high <= target else Verdict.MISSED
    if so_far.low >= target - 1e-9:
        return Verdict.MET
    return Verdict.MISSED if so_far.high < target - 1e-9 else Verdict.BLIND


def trend(values: Sequence[float | None]) -> float | None:
    """The slope of a straight line through the months that have a figure; None for fewer than two."""
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return None
    middle = sum(number for number, _ in known) / len(known)
    mean = sum(value for _, value in known) / len(known)
    spread = sum((number - middle) ** 2 for number, _ in known)
    return sum((number - middle) * (value - mean) for number, value in known) / spread


def render(school: School, year: int, found: Sequence[Progress]) -> str:
    """A column for each indicator, a row for each month."""
    shown = [each for each in found if each.months or each.target is not None]
    names = sorted({month for each in shown for month, _ in each.months})
    lines = [
        f"{school.title} ({school.name}) · school year {year}/{(year + 1) % 100:02}",
        f"{'':<14}" + "".join(f"{TITLES[each.indicator]:>{_WIDE}}" for each in shown),
        _row("target", [_value(each.indicator, each.target) for each in shown]),
    ]
    for month in names:
        first, _ = sla.month_days(month)
        cells = [_text(each.indicator, dict(each.months).get(month, Value())) for each in shown]
        lines.append(_row(f"{first:%b %Y}" + (" *" if any(each.under_way == month for each in shown) else ""), cells))
    lines += [
        _row("so far", [_text(each.indicator, each.so_far) for each in shown]),
        _row("gap", [_change(each.indicator, each.gap) for each in shown]),
        _row("trend a month", [_change(each.indicator, each.trend) for each in shown]),
        _row("", [_WORDS.get(each.verdict, "") if each.target is not None else "" for each in shown]),
    ]
    told = [f"{TITLES[each.indicator]}: {each.note}" for each in shown if each.note]
    sources = [f"{TITLES[each.indicator]} from {each.target_from}" for each in shown if each.target_from]
    lines.append(f"targets: {', '.join(sources) or 'none is written for this year'}; kWh are totals of the year")
    lines.append(
        "gap and trend in percentage points, or kWh; a range where Caretaker was blind; *: under way, not in the trend"
    )
    return "\n".join([*(line.rstrip() for line in lines), *told])


_WORDS = {
    Verdict.MET: "met so far",
    Verdict.MISSED: "missed so far",
    Verdict.BLIND: "cannot tell",
    Verdict.NOTHING_OWED: "n/a",
}


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<14}" + "".join(f"{cell:>{_WIDE}}" for cell in cells)


def _value(indicator: Indicator, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if indicator in TOTALS else percent(value)


def _text(indicator: Indicator, value: Value) -> str:
    if value.low is None or value.high is None:
        return "n/a"
    if value.low == value.high:
        return _value(indicator, value.low)
    return f"{percent(value.low).removesuffix(' %')}-{percent(value.high)}"


def _change(indicator: Indicator, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+,.0f}" if indicator in TOTALS else f"{value * 100:+.2f}"
