"""The page of energy: used and avoided by week, room and rule, what keeps machines awake, plan, and last year."""

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from caretaker_collector.review import kept_on, totals
from caretaker_collector.review.energy_read import Amounts, Avoided, Energy, added, weeks
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.review.span import day_text
from caretaker_collector.sla.targets import Progress
from caretaker_dashboards.review.pack import Chart, Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules.model import CarbonFactor, Tariff
from caretaker_rules.savings import Figure, valid_on
from caretaker_rules.sla import Verdict, month_days

MOST_REASONS = 8
FEWEST_DRAWN = 3  # rooms or schools; fewer are told by the table alone
RANGES = "Low, likely and high; each line is reckoned as one, so their ranges do not add up to that of the whole."
T = TypeVar("T", Tariff, CarbonFactor)
_VERDICTS = {
    Verdict.MET: "within the plan so far",
    Verdict.MISSED: "the plan is used up",
    Verdict.BLIND: "cannot tell",
    Verdict.NOTHING_OWED: "n/a",
}


async def page(inputs: Inputs, facts: Facts) -> Page:
    """The facts of `totals` are there. Unavailable: the store."""
    by_week = [
        (each, week) for each in inputs.schools for week in await weeks(inputs.sources, each.school, inputs.span)
    ]
    kept = [
        (each, reason)
        for each in inputs.schools
        for reason in await kept_on.kept_on(inputs.sources, each.school, inputs.span)
    ]
    sections = [
        _whole(inputs, facts),
        _by_week(inputs, by_week),
        _by_place(inputs),
        _by_rule(inputs, facts),
        _awake(inputs, facts, kept),
        _plan(inputs, facts),
        _last_year(inputs, facts),
    ]
    return Page(
        key="energy",
        title="Energy",
        question="What did the machines use, what was avoided, and what keeps them on?",
        sections=sections,
    )


# -- used and avoided --------------------------------------------------------------------------------------------------


def _whole(inputs: Inputs, facts: Facts) -> Section:
    now = inputs.now.energy
    command = totals.energy_command(inputs, inputs.now)
    why = inputs.now.no_energy or totals.NO_BASELINE
    totals.avoided(facts, "energy.by_rules", "energy avoided by rules", now.rule, why, command)
    totals.avoided(facts, "energy.by_users", "energy avoided by people who switch off", now.user, why, command)
    facts.add(
        "energy.blind",
        "hours of machines that nobody saw; in no figure of energy",
        Unit.HOURS,
        now.blind_h if not inputs.now.no_energy else None,
        why_not=inputs.now.no_energy,
        source="energy_month",
        command=command,
    )
    rows = [
        _doing(name, found, _offs(found))
        for name, found in (("rules", now.rule), ("people", now.user), ("together", now.both))
        if found is not None
    ]
    table = Table(
        name="Avoided, by whose doing",
        title="Avoided, by whose doing",
        columns=[Column(key="whose", title="By"), *_avoided_columns(), *_money_columns(), _offs_column()],
        rows=rows,
        empty=_no_energy(inputs, f"What was avoided is not known: {totals.NO_BASELINE}."),
        on="paper" if rows else "screen",  # the sentence says why there is none
        note="By people: what users switched off beyond what they did while rules only observed. Below zero: more was "
        "used than then would have been. The whole is reckoned as one, so the ranges of its parts do not add up to it.",
    )
    return Section(title="Used and avoided", sentences=_said(inputs, facts), tables=[table])


def _said(inputs: Inputs, facts: Facts) -> list[Sentence]:
    if facts.value("energy.used") is None:
        why = facts.known["energy.used"].why_not
        return [facts.say(f"Energy is n/a: {why}. A day is reckoned about an hour after it is over.", "note")]
    cost = [f"{{energy.{key}}}" for key in ("cost", "carbon") if facts.value(f"energy.{key}") is not None]
    worth = f", which is {' and '.join(cost)} of CO2e" if len(cost) > 1 else f", which is {cost[0]}" if cost else ""
    said = [facts.say(f"The machines used {{energy.used}}{worth}.")]
    for key, what in (("cost", "tariff"), ("carbon", "carbon factor")):
        if facts.value(f"energy.{key}") is None:
            table = "tariffs" if key == "cost" else "carbon"
            said.append(facts.say(f"No {what} is valid on some day: write one in estate.toml, under {table}.", "note"))
    if facts.value("energy.avoided") is None:
        said.append(facts.say(f"What was avoided is n/a: {facts.known['energy.avoided'].why_not}.", "note"))
    else:
        worth_keys = [
            f"{{energy.avoided{end}}}" for end in ("_gbp", "_kg") if facts.value(f"energy.avoided{end}") is not None
        ]
        worth = (
            f", worth {' and '.join(worth_keys)}" + (" of CO2e" if len(worth_keys) > 1 else "") if worth_keys else ""
        )
        said.append(facts.say(f"Rules and people who switch off avoided {{energy.avoided}}{worth}."))
        said.append(facts.say("Rules avoided {energy.by_rules} of it, people {energy.by_users}."))
        low = facts.known["energy.avoided"].low
        if low is not None and low < 0:
            text = "The range reaches below zero: it is not certain that anything was avoided."
            said.append(facts.say(text, "note"))
    if facts.value("energy.blind"):
        said.append(facts.say("{energy.blind} of machines nobody saw; what they used then is not counted.", "note"))
    if not inputs.over:
        said.append(facts.say("Days that are not over are not in it.", "note"))
    if inputs.where.of_many:
        said.append(facts.say("The ends of the schools' ranges are added up, so the range is rather too wide.", "note"))
    return said


def rates(inputs: Inputs) -> Table:
    """Tariffs and factors that were valid in the span, with their sources."""
    estate, span = inputs.sources.estate, inputs.span
    rows: list[list[Value]] = [
        ["price", each.valid_from.isoformat(), f"{each.pence_per_kwh:g}", "pence a kWh", each.source]
        for each in valid_in(estate.tariffs, span.first, span.last)
    ]
    rows += [
        ["carbon", each.valid_from.isoformat(), f"{each.kg_co2e_per_kwh:g}", "kg CO2e a kWh", each.source]
        for each in valid_in(estate.carbon, span.first, span.last)
    ]
    return Table(
        name="Tariffs and factors",
        title="Tariffs and factors",
        columns=[
            Column(key="what", title="What"),
            Column(key="from", title="Valid from", unit=Unit.DATE),
            Column(key="value", title="Value", unit=Unit.TEXT),
            Column(key="unit", title="Unit"),
            Column(key="source", title="Source"),
        ],
        rows=rows,
        empty="No tariff and no carbon factor is valid on these days: write them in estate.toml.",
    )


def valid_in(entries: Sequence[T], first: date, last: date) -> list[T]:
    """Those that were valid on some of these days, in order of time."""
    begun = [entry for entry in entries if entry is valid_on(entries, first)]
    return begun + sorted(
        (entry for entry in entries if first < entry.valid_from <= last), key=lambda entry: entry.valid_from
    )


# -- by week, room and rule --------------------------------------------------------------------------------------------


def _by_week(inputs: Inputs, found: Sequence[tuple[SchoolInputs, Energy]]) -> Section:
    known: dict[tuple[date, date], list[Amounts]] = {}
    for _, week in found:
        known.setdefault((week.span.first, week.span.last), []).append(week.whole)
    rows: list[list[Value]] = [
        [f"{day_text(first)} to {day_text(last)}", *_cells(added(amounts))]
        for (first, last), amounts in sorted(known.items())
    ]
    table = Table(
        name="Energy by week",
        title="By week",
        columns=[Column(key="week", title="Week"), *_used_columns(), *_avoided_columns()],
        rows=rows,
        empty=_no_energy(inputs, "No day of it was reckoned."),
        note=RANGES,
    )
    charts = [_bars("Used by week", table, "week", "used", "A bar for each week: the energy that its machines used.")]
    if any(row[-1] is not None for row in rows):
        charts.append(
            _whiskers("Avoided by week", table, "week", "A bar for each week: the energy avoided, with its range.")
        )
    return Section(title="By week", charts=charts if rows else [], tables=[table])


def _by_place(inputs: Inputs) -> Section:
    if inputs.where.of_many:
        title, places = "School", [(each.school.title, each.energy.whole) for each in inputs.schools]
    else:
        each = inputs.schools[0]
        names = {room.name: room.title or room.name for room in each.school.rooms}
        title, places = "Room", [(names.get(room, room), amounts) for room, amounts in each.energy.rooms.items()]
    rows: list[list[Value]] = [
        [name, *_cells(amounts), amounts.gbp, amounts.kg]
        for name, amounts in sorted(places, key=lambda place: (-place[1].kwh, place[0]))
        if amounts.device_days
    ]
    avoided = any(amounts.both is not None for _, amounts in places)
    table = Table(
        name=f"Energy by {title.lower()}",
        title=f"By {title.lower()}",
        columns=[
            Column(key="place", title=title),
            *_used_columns(),
            *_avoided_columns(),
            Column(key="cost", title="Cost of use", unit=Unit.GBP, total="sum"),
            Column(key="carbon", title="Carbon of use", unit=Unit.KG, total="sum"),
        ],
        rows=rows,
        empty=_no_energy(inputs, "No day of it was reckoned."),
        note=RANGES,
        # With a drawing, what is left of the table is cost and carbon, which follow from what was used.
        on="paper" if avoided or len(rows) < FEWEST_DRAWN else "screen",
    )
    charts = []
    if len(rows) >= FEWEST_DRAWN and not avoided:
        alt = f"A bar for each {title.lower()}, the most first: the energy that its machines used."
        charts.append(_bars(f"Used by {title.lower()}", table, "place", "used", alt, horizontal=True))
    return Section(title=f"By {title.lower()}", charts=charts, tables=[table])


def _by_rule(inputs: Inputs, facts: Facts) -> Section:
    rows: list[list[Value]] = []
    for each in inputs.schools:
        for rule, found in each.energy.rules.items():
            if not found.offs:  # a rule that wakes, or one that found nobody to switch off
                continue
            name = f"{each.school.title}: {rule}" if inputs.where.of_many else rule
            rows.append(
                _doing("a rule that the ledger does not name" if rule == "not-known" else name, found, _offs(found))
            )
    table = Table(
        name="Avoided by rule",
        title="By rule",
        columns=[Column(key="rule", title="Rule"), *_avoided_columns(), *_money_columns(), _offs_column()],
        rows=rows,
        empty=_no_rule(inputs),
        note=RANGES,
    )
    return Section(title="By rule", tables=[table])


def _no_rule(inputs: Inputs) -> str:
    if not any(each.school.policy for each in inputs.schools):
        return "No rule runs here: write a policy, and try it with caretaker policy backtest before it goes live."
    return "No rule switched a machine off on these days, or what it avoided is not known without an observe period."


# -- what keeps machines awake -----------------------------------------------------------------------------------------


def _awake(inputs: Inputs, facts: Facts, kept: Sequence[tuple[SchoolInputs, kept_on.KeptOn]]) -> Section:
    idle_h = sum(reason.idle_s for _, reason in kept) / 3600
    facts.add(
        "awake.idle",
        "hours of machines on with nobody there, without those that are always on",
        Unit.HOURS,
        idle_h if kept else None,
        why_not="no machine was seen idle",
        source="transition",
    )
    most = sorted(kept, key=lambda item: -item[1].idle_s)
    rows: list[list[Value]] = []
    for each, reason in most:
        rooms = {room.name: room.title or room.name for room in each.school.rooms}
        room = rooms.get(reason.room, reason.room)
        name = f"{each.school.title}: {reason.reason}" if inputs.where.of_many else reason.reason
        hours = reason.idle_s / 3600
        rows.append([name, hours, hours / idle_h * 100 if idle_h else None, reason.machines, room])
    table = Table(
        name="What keeps machines awake",
        title="What keeps machines awake",
        columns=[
            Column(key="reason", title="Reason"),
            Column(key="idle", title="On with nobody there", unit=Unit.HOURS, total="sum"),
            Column(key="share", title="Share", unit=Unit.PERCENT),
            Column(key="machines", title="Machines", unit=Unit.COUNT),
            Column(key="room", title="Most of it in"),
        ],
        rows=rows,
        empty="No machine was seen on with nobody there.",
        note="Each hour has the reason of the rules' newest decision before it. Machines that are always on are left "
        "out.",
        most=MOST_REASONS,
        on="paper" if len(rows) == 1 else "screen",
    )
    sentences, charts = [facts.say("No machine was seen on with nobody there.")], []
    if rows:
        facts.text("awake.most", "what kept most of them on", str(rows[0][0]))
        facts.add("awake.most_hours", "for how long", Unit.HOURS, rows[0][1], source="transition and decisions")
        sentences = [
            facts.say(
                "Machines stood on with nobody there for {awake.idle} together; {awake.most_hours} of it: {awake.most}."
            )
        ]
        alt = "A bar for each reason, the longest first: hours that machines stood on with nobody there."
        charts = (
            []
            if len(rows) == 1
            else [_bars("Hours on with nobody there", table, "reason", "idle", alt, horizontal=True)]
        )
    return Section(title="What keeps machines awake", sentences=sentences, charts=charts, tables=[table])


# -- against plan, and against last year -------------------------------------------------------------------------------


def _plan(inputs: Inputs, facts: Facts) -> Section:
    found = [
        (each, progress)
        for each in inputs.schools
        for progress in each.progress
        if progress.indicator in ("energy_kwh", "avoided_kwh")
    ]
    rows = [_progress(inputs, each, progress) for each, progress in found]
    plan = Table(
        name="Energy against plan",
        title="Against the plan of the school year",
        columns=[
            Column(key="what", title="Indicator"),
            Column(key="plan", title="Plan of the year", unit=Unit.KWH),
            Column(key="so_far", title="So far", unit=Unit.KWH),
            Column(key="left", title="Left of the plan", unit=Unit.KWH),
            Column(key="trend", title="More each month", unit=Unit.KWH),
            Column(key="verdict", title="Verdict"),
        ],
        rows=[row for row in rows if row[1] is not None or row[2] is not None],
        empty="Nothing was planned: write targets with indicator energy_kwh or avoided_kwh in service.toml.",
        on="paper" if not rows or any(row[1] is not None for row in rows) else "screen",
        note="So far: since September. More each month: the slope of a line through the whole months.",
    )
    months: dict[str, float] = {}
    for _, progress in found:
        if progress.indicator == "energy_kwh":
            for month, value in progress.months:
                if value.likely is not None:
                    months[month] = months.get(month, 0.0) + value.likely
    year = Table(
        name="Energy by month",
        title="Used by month of the school year",
        columns=[Column(key="month", title="Month"), Column(key="used", title="Used", unit=Unit.KWH, total="sum")],
        rows=[[f"{month_days(month)[0]:%b %Y}", kwh] for month, kwh in months.items()],
        empty="No month of the school year was recorded.",
        on="paper" if len(months) > 1 else "screen",
    )
    sentences = []
    if facts.value("energy.used.target") is not None and facts.value("energy.used") is not None:
        text = "{energy.used} were used; an even share of the year's plan would be {energy.used.target}."
        sentences.append(facts.say(text))
    elif not any(row[1] is not None for row in rows):
        sentences.append(facts.say("No energy was planned for this school year.", "note"))
    charts = []
    if len(months) > 1:
        alt = "A bar for each month of the school year: the energy that machines used."
        charts.append(_bars("Used by month", year, "month", "used", alt))
    return Section(title="Against the plan", sentences=sentences, charts=charts, tables=[plan, year])


def _progress(inputs: Inputs, each: SchoolInputs, progress: Progress) -> list[Value]:
    what = "energy used" if progress.indicator == "energy_kwh" else "energy avoided"
    so_far, target = progress.so_far.likely, progress.target
    verdict = "no plan" if target is None else _VERDICTS[progress.verdict]
    return [
        f"{each.school.title}: {what}" if inputs.where.of_many else what,
        target,
        so_far,
        None if target is None or so_far is None else target - so_far,
        progress.trend,
        verdict,
    ]


def _last_year(inputs: Inputs, facts: Facts) -> Section:
    estate, span = inputs.sources.estate, inputs.span
    factor = valid_on(estate.carbon, span.last)
    then = valid_on(estate.carbon, span.year_before().last)
    used, before = inputs.now.energy, inputs.year_before.energy
    known = not inputs.year_before.no_energy and factor is not None
    why = inputs.year_before.no_energy or "no carbon factor is valid on the last day of this span"
    facts.add(
        "energy.carbon.last_year_restated",
        f"carbon of {span.year_before().title}, with this span's factor",
        Unit.KG,
        before.kwh * factor.kg_co2e_per_kwh if known and factor is not None else None,
        why_not=why,
        source="energy_month and estate.toml",
        command=totals.energy_command(inputs, inputs.year_before),
    )
    both = known and not inputs.now.no_energy
    facts.add(
        "energy.carbon.less",
        "carbon less than a year before, with one factor",
        Unit.KG,
        (before.kwh - used.kwh) * factor.kg_co2e_per_kwh if both and factor is not None else None,
        why_not=why if not known else inputs.now.no_energy,
        source="energy_month and estate.toml",
    )
    said = []
    if not both:
        said.append(
            facts.say(
                f"There is nothing to compare with a year before: {why if not known else inputs.now.no_energy}.", "note"
            )
        )
    else:
        said.append(
            facts.say(
                "A year before it was {energy.used.last_year}; with one factor that is "
                "{energy.carbon.last_year_restated}. The difference, {energy.carbon.less}, is use and no cleaner grid."
            )
        )
    table = Table(
        name="Energy of last year",
        title="A year before, restated with one factor",
        columns=[
            Column(key="span", title="Span"),
            Column(key="used", title="Used", unit=Unit.KWH),
            Column(key="carbon", title="Carbon as it was", unit=Unit.KG),
            Column(key="restated", title="Carbon with one factor", unit=Unit.KG),
        ],
        on="paper" if both else "screen",  # the sentence says why there is none
        rows=[
            _restated(span.year_before().title, before, factor),
            _restated(span.title, used, factor),
        ]
        if both
        else [],
        empty=f"There is nothing to compare with: {why if not known else inputs.now.no_energy}.",
        note="" if then == factor else "The grid's own carbon changed between the two: that is nobody's saving.",
    )
    return Section(title="Against last year", sentences=said, tables=[table])


def _restated(title: str, amounts: Amounts, factor: CarbonFactor | None) -> list[Value]:
    return [title, amounts.kwh, amounts.kg, amounts.kwh * factor.kg_co2e_per_kwh if factor is not None else None]


# -- columns and cells -------------------------------------------------------------------------------------------------


def _used_columns() -> list[Column]:
    return [Column(key="used", title="Used", unit=Unit.KWH, total="sum")]


def _avoided_columns() -> list[Column]:
    return [
        Column(key="low", title="Avoided, low", unit=Unit.KWH),
        Column(key="avoided", title="Avoided, likely", unit=Unit.KWH),
        Column(key="high", title="Avoided, high", unit=Unit.KWH),
    ]


def _money_columns() -> list[Column]:
    return [Column(key="gbp", title="Worth", unit=Unit.GBP), Column(key="kg", title="Carbon", unit=Unit.KG)]


def _offs_column() -> Column:
    return Column(key="offs", title="Times off", unit=Unit.COUNT)


def _cells(amounts: Amounts) -> list[Value]:
    return [amounts.kwh if amounts.device_days else None, *_three(amounts.both.kwh if amounts.both else None)]


def _three(figure: Figure | None) -> list[Value]:
    return [None, None, None] if figure is None else [figure.low, figure.likely, figure.high]


def _doing(name: str, found: Avoided, offs: int) -> list[Value]:
    gbp, kg = found.gbp.likely if found.gbp else None, found.kg.likely if found.kg else None
    return [name, *_three(found.kwh), gbp, kg, offs]


def _offs(found: Avoided | None) -> int:
    return found.offs if found is not None else 0


def _bars(title: str, table: Table, x: str, y: str, alt: str, horizontal: bool = False) -> Chart:
    return Chart(kind="bars", title=title, table=table.name, x=x, y=[y], alt=alt, horizontal=horizontal)


def _whiskers(title: str, table: Table, x: str, alt: str) -> Chart:
    return Chart(kind="bars", title=title, table=table.name, x=x, y=["avoided"], low="low", high="high", alt=alt)


def _no_energy(inputs: Inputs, otherwise: str) -> str:
    if inputs.now.no_energy:
        return f"Nothing to show: {inputs.now.no_energy}. A day is reckoned about an hour after it is over."
    return otherwise
