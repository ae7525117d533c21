"""What was planned for the school year, the gap, and the trend: the second half of the page of comparison."""

from collections.abc import Sequence

from msgspec import Struct

from caretaker_collector.review import energy_read
from caretaker_collector.review.columns import told_apart
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import of_month
from caretaker_collector.sla.targets import TITLES, TOTALS, Progress, Value, months_of, trend
from caretaker_dashboards.review.pack import Column, Section, Sentence, Table, Unit
from caretaker_dashboards.review.pack import Value as Cell
from caretaker_rules.sla import Verdict

WORDS = {
    Verdict.MET: "met so far",
    Verdict.MISSED: "missed so far",
    Verdict.BLIND: "cannot tell",
    Verdict.NOTHING_OWED: "n/a",
}
NO_LEVEL = "no service level is agreed, so there is nothing to hold figures against: name a service.toml in estate.toml"


class Standing(Struct, frozen=True, kw_only=True):
    """One indicator of one school."""

    school: str
    progress: Progress
    verdict: Verdict


async def sections(inputs: Inputs, facts: Facts) -> list[Section]:
    """The one section, with ratios and totals apart. Unavailable: the store."""
    standings = [
        Standing(school=each.school.title, progress=one, verdict=one.verdict)
        for each in inputs.schools
        for one in [await _filled(inputs.sources, each, progress) for progress in each.progress]
        if one.target is not None or one.months
    ]
    ratios = [each for each in standings if each.progress.indicator not in TOTALS]
    totals = [each for each in standings if each.progress.indicator in TOTALS]
    return [
        Section(
            title="Against the plan of the school year",
            sentences=_said(facts, standings),
            tables=[
                told_apart(
                    inputs,
                    _table("Targets", "Shares: target, so far, gap and trend", Unit.PERCENT, Unit.POINTS, ratios),
                ),
                told_apart(
                    inputs,
                    _table("Targets of energy", "Energy: target, so far, gap and trend", Unit.KWH, Unit.KWH, totals),
                ),
            ],
        )
    ]


async def _filled(sources: Sources, school: SchoolInputs, progress: Progress) -> Progress:
    """What was avoided is not in the book of targets: it is read here, month by month, as the page of energy has it."""
    if progress.indicator != "avoided_kwh" or progress.target is None:
        return progress
    months: list[tuple[str, Value]] = []
    last = school.service.months.span.last
    for month in months_of(school.year):
        span = of_month(month)
        if span.first > last:
            break
        both = (await energy_read.energy(sources, school.school, span)).whole.both
        months.append((month, Value() if both is None else Value(both.kwh.low, both.kwh.likely, both.kwh.high)))
    known = [value for _, value in months if value.likely is not None]
    ends = [sum(getattr(value, end) for value in known) for end in ("low", "likely", "high")]
    so_far = Value(*ends) if known else Value()
    over = [value.likely for month, value in months if of_month(month).last <= last]
    return Progress(
        indicator=progress.indicator,
        target=progress.target,
        target_from=progress.target_from,
        months=months,
        under_way=progress.under_way,
        so_far=so_far,
        gap=None if so_far.likely is None else so_far.likely - progress.target,
        trend=trend(over),
        verdict=_reached(so_far, progress.target),
    )


def _reached(so_far: Value, target: float) -> Verdict:
    if so_far.low is None or so_far.high is None:
        return Verdict.NOTHING_OWED
    if so_far.low >= target:
        return Verdict.MET
    return Verdict.MISSED if so_far.high < target else Verdict.BLIND


def _table(name: str, title: str, unit: Unit, gap_unit: Unit, standings: Sequence[Standing]) -> Table:
    of_percent = unit is Unit.PERCENT

    def value(figure: float | None) -> float | None:
        return cut_percent(figure) if of_percent else figure

    def change(figure: float | None) -> float | None:
        return figure if figure is None or not of_percent else round(figure * 100, 2)

    rows: list[list[Cell]] = []
    for each in standings:
        one = each.progress
        rows.append(
            [
                each.school,
                TITLES[one.indicator].removesuffix(", kWh"),
                value(one.target),
                value(one.so_far.likely),
                value(one.so_far.low),
                value(one.so_far.high),
                change(one.gap),
                change(one.trend),
                WORDS[each.verdict] if one.target is not None else "no target",
                one.target_from or "none is written",
            ]
        )
    return Table(
        name=name,
        title=title,
        columns=[
            Column(key="school", title="School"),
            Column(key="indicator", title="Indicator"),
            Column(key="target", title="Target", unit=unit),
            Column(key="so_far", title="So far", unit=unit),
            Column(key="low", title="at least", unit=unit),
            Column(key="high", title="at most", unit=unit),
            Column(key="gap", title="Gap", unit=gap_unit),
            Column(key="trend", title="Trend a month", unit=gap_unit),
            Column(key="verdict", title="Verdict"),
            Column(key="source", title="Target from"),
        ],
        rows=rows,
        empty=f"No target: {NO_LEVEL}."
        if of_percent
        else "No target of energy and no month of it is on record: write "
        'one as [[targets]] with indicator = "energy_kwh" in service.toml.',
        note="Since the school year began; kWh are totals of it. The gap is the figure less its target; the trend is a "
        "straight line through the months that are over (least squares).",
    )


def _said(facts: Facts, standings: Sequence[Standing]) -> list[Sentence]:
    judged = [each for each in standings if each.progress.target is not None]
    if not standings:
        return [facts.say(f"There is nothing to hold against a plan: {NO_LEVEL}.", "note")]
    if not judged:
        return [facts.say("No target is written for this school year: add [[targets]] to service.toml.", "note")]
    met = sum(each.verdict is Verdict.MET for each in judged)
    facts.add("targets.met", "targets met so far", Unit.COUNT, met, source="sla.targets")
    facts.add("targets.all", "targets of the school year", Unit.COUNT, len(judged), source="service.toml")
    text = "{targets.met} of {targets.all} targets of the school year are met so far."
    return [facts.say(text, "good" if met == len(judged) else "plain")]
