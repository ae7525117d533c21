"""The page of comparison: the network's schools as dot plots, this one marked; then what was planned, and the gap.

What each school may see of others is decided in `caretaker_rules.comparison`. Figures of others are those of their own
packs: the same functions read them.
"""

from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from caretaker_collector.review import energy_read, service_read, targets, use_read
from caretaker_collector.review.energy_read import Energy
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs, Totals, totals
from caretaker_collector.review.service_read import Months
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_collector.review.use_read import Booked
from caretaker_collector.sla.book import SlaBook
from caretaker_dashboards.review.pack import Chart, Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.comparison import Comparison, Figure, Member, compare
from caretaker_rules.model import School


class Indicator(NamedTuple):
    """What is compared: its name in tables and facts, how people call it, its unit, and which end is better."""

    key: str
    title: str
    unit: Unit
    better: str


INDICATORS = (
    Indicator("availability", "Availability", Unit.PERCENT, "more is better"),
    Indicator("fixed", "Incidents fixed in time", Unit.PERCENT, "more is better"),
    Indicator("ready", "Rooms ready for lessons", Unit.PERCENT, "more is better"),
    Indicator("kwh", "Energy for each machine", Unit.KWH, "less is better"),
    Indicator("avoided", "Energy avoided, of what would have been used", Unit.PERCENT, "more is better"),
    Indicator("seats", "Seats used in booked lessons", Unit.PERCENT, "more is better"),
)
OURS = "this school"
_Known = dict[tuple[str, Span, int], dict[str, Figure]]
_known: WeakKeyDictionary[SlaBook, _Known] = WeakKeyDictionary()
"""Figures of schools by the book that they were read with: packs of one network need the same ones again and again."""


async def page(inputs: Inputs, facts: Facts) -> Page:
    """Both halves. Unavailable: the store."""
    return Page(
        key="comparison",
        title="Compared with others, and with the plan",
        question="How do we stand beside the schools of our network, and beside what we planned?",
        sections=[await _compared(inputs, facts), *await targets.sections(inputs, facts)],
    )


async def _compared(inputs: Inputs, facts: Facts) -> Section:
    schools, why = _schools(inputs)
    ours = inputs.one.school.name if inputs.one else None
    members = [await _member(inputs, school) for school in schools]
    found = compare(members, ours, [each.key for each in INDICATORS])
    tables, charts = [], []
    for indicator in INDICATORS:
        one = found[indicator.key]
        table = _table(indicator, one, why or one.why_not)
        tables.append(table)
        if one.dots:
            charts.append(_chart(indicator, table))
    if not charts:
        # Six times the same reason would not say more, and the sentence has it.
        tables = [msgspec.structs.replace(tables[0], on="screen")]
    return Section(
        title="The schools of the network",
        sentences=_said(facts, why, found, ours is not None),
        charts=charts,
        tables=tables,
    )


def _schools(inputs: Inputs) -> tuple[list[School], str]:
    """Whom to compare, and why there is nobody."""
    estate = inputs.sources.estate
    if inputs.one is None:
        return [each.school for each in inputs.schools], ""
    network = inputs.one.school.network
    if network is None:
        return [], 'the school is in no network; give it network = "..." in estate.toml to see it beside others'
    return [school for school in estate.schools.values() if school.network == network], ""


async def _member(inputs: Inputs, school: School) -> Member:
    sources, span = inputs.sources, inputs.span
    known = _known.setdefault(sources.book, {})
    key = (school.name, span, sources.now_ms)
    if key not in known:
        read = next(((each.service.months, each.energy) for each in inputs.schools if each.school is school), None)
        known[key] = await _figures(msgspec.structs.replace(sources, states=False), school, span, read)
    return Member(
        name=school.name,
        title=school.title,
        machines=len(use_read.computers(sources.estate, school)),
        agreed=school.share_figures,
        figures=known[key],
    )


async def _figures(
    sources: Sources, school: School, span: Span, read: tuple[Months, Energy] | None
) -> dict[str, Figure]:
    """What is known of a school, by indicator; `read` is what was read of it already."""
    if read is None:
        months = await service_read.months(sources, school, span)
        read = months, await energy_read.energy(sources, school, span)
    return figures_of(totals(span, [read]), await use_read.seats(sources, school, span))


def figures_of(together: Totals, seats: Booked) -> dict[str, Figure]:
    """The indicators that come out of a school's totals; what is not known is left out."""
    found: dict[str, Figure | None] = {
        "availability": _ratio(together.availability.likely, together.availability.low, together.availability.high),
        "fixed": _ratio(_share(together.fixed[0], together.fixed[0] + together.fixed[1])),
        "ready": _ratio(_share(*together.ready)),
        "seats": _ratio(seats.likely, seats.low, seats.high),
    }
    energy, days = together.energy, together.span.days
    if energy.device_days:
        found["kwh"] = Figure(energy.kwh / energy.device_days * days)
        if energy.both is not None and energy.kwh + energy.both.kwh.likely > 0:
            avoided = energy.both.kwh
            found["avoided"] = _ratio(
                *(_share(each, energy.kwh + each) for each in (avoided.likely, avoided.low, avoided.high))
            )
    return {key: figure for key, figure in found.items() if figure is not None}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _ratio(value: float | None, low: float | None = None, high: float | None = None) -> Figure | None:
    """A ratio as percent, cut as everywhere."""
    percent = cut_percent(value)
    return None if percent is None else Figure(percent, cut_percent(low), cut_percent(high))


def _table(indicator: Indicator, one: Comparison, why: str) -> Table:
    rows: list[list[Value]] = [
        [dot.label, dot.figure.value, dot.figure.low, dot.figure.high, OURS if dot.ours else ""] for dot in one.dots
    ]
    return Table(
        name=f"Compared, {indicator.key}",
        title=f"{indicator.title} ({indicator.better})",
        columns=[
            Column(key="school", title="School"),
            Column(key="value", title=indicator.title, unit=indicator.unit),
            Column(key="low", title="at least", unit=indicator.unit),
            Column(key="high", title="at most", unit=indicator.unit),
            Column(key="ours", title="Which"),
        ],
        rows=rows,
        empty=f"Nothing to compare: {why}.",
    )


def _chart(indicator: Indicator, table: Table) -> Chart:
    return Chart(
        kind="dots",
        title=f"{indicator.title} ({indicator.better})",
        table=table.name,
        x="school",
        y=["value"],
        low="low",
        high="high",
        mark="ours",
        alt=f"A dot for each school of the network: {indicator.title.lower()}; {indicator.better}. Ours is marked.",
    )


def _said(facts: Facts, why: str, found: Mapping[str, Comparison], ours: bool) -> list[Sentence]:
    shown = [(indicator, found[indicator.key]) for indicator in INDICATORS if found[indicator.key].dots]
    if not shown:
        return [facts.say(f"There is no comparison: {why or found[INDICATORS[0].key].why_not}.", "note")]
    sentences = []
    for indicator, one in shown if ours else ():
        place = _place(one, indicator.better == "less is better")
        if place is None:
            continue
        key = f"compared.{indicator.key}"
        facts.add(f"{key}_place", f"{indicator.title}: place among schools, best first", Unit.COUNT, place)
        facts.add(f"{key}_of", f"{indicator.title}: schools compared", Unit.COUNT, len(one.dots))
        sentences.append(facts.say(f"{indicator.title}: place {{{key}_place}} of {{{key}_of}}."))
    hidden = any(dot.label.startswith("School ") for _, one in shown for dot in one.dots)
    if hidden:
        sentences.append(
            facts.say(
                "A school is named only if it agreed to that (share_figures in estate.toml). Letters are the same "
                "throughout this pack, and mean nothing in another.",
                "note",
            )
        )
    return sentences


def _place(one: Comparison, less: bool) -> int | None:
    """The place of this school, best first; schools with the same figure share it. None: it has no figure."""
    own = next((dot.figure.value for dot in one.dots if dot.ours), None)
    if own is None:
        return None
    return 1 + sum(dot.figure.value < own if less else dot.figure.value > own for dot in one.dots)
