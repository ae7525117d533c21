"""The page of service: what was promised and kept, what failed and for how long, what was planned, what nobody saw."""

from msgspec import structs

from caretaker_collector.review import service_incidents, service_outages, totals
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs
from caretaker_collector.sla.places import Line
from caretaker_dashboards.review.pack import Chart, Column, Page, Section, Sentence, Table, Unit, Value
from caretaker_rules import sla
from caretaker_rules.availability import Figure

_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
MOST_PLACES, MOST_BLIND, MOST_PLANNED = 10, 5, 6
FAILURES = {
    "availability": "percentage points below target",
    "response": "late answers",
    "fix": "late fixes",
    "room_not_ready": "lessons whose room was not ready",
}


def page(inputs: Inputs, facts: Facts) -> Page:
    """The facts of `totals` are there."""
    sections = [
        _availability(inputs, facts),
        service_incidents.section(inputs, facts),
        service_outages.section(inputs, facts),
        _planned(inputs, facts),
        _credits(inputs, facts),
        _blind(inputs, facts),
    ]
    return Page(
        key="service",
        title="Service",
        question="Was what was promised kept, and what was done where it was not?",
        sections=sections,
    )


# -- availability ------------------------------------------------------------------------------------------------------


def _availability(inputs: Inputs, facts: Facts) -> Section:
    place = "School" if inputs.where.of_many else "Room"
    sentences = []
    if facts.value("availability") is None:
        sentences.append(facts.say(f"Availability is n/a: {facts.known['availability'].why_not}.", "note"))
    else:
        text = "Machines were available for {availability} of the time owed and seen"
        if facts.value("availability.target") is not None:
            text += "; the target is {availability.target}"
        tone = {"met": "good", "missed": "bad"}.get(totals.VERDICTS[inputs.now.verdict], "plain")
        if facts.value("availability.lessons") is not None:
            text += "; within lessons they were for {availability.lessons}"
        sentences.append(facts.say(f"{text}.", tone))  # type: ignore[arg-type]
    sentences += _rules(inputs, facts)
    table = Table(
        name=f"Availability by {place.lower()}",
        title=f"Availability by {place.lower()}",
        columns=[
            Column(key="place", title=place),
            Column(key="owed", title="Owed", unit=Unit.HOURS, total="sum"),
            Column(key="maintained", title="Planned work", unit=Unit.HOURS, total="sum"),
            Column(key="down", title="Down", unit=Unit.HOURS, total="sum"),
            Column(key="unseen", title="Not seen", unit=Unit.HOURS, total="sum"),
            Column(key="likely", title="Available", unit=Unit.PERCENT),
            Column(key="low", title="At least", unit=Unit.PERCENT),
            Column(key="high", title="At most", unit=Unit.PERCENT),
            Column(key="lessons", title="In lessons", unit=Unit.PERCENT),
            Column(key="target", title="Target", unit=Unit.PERCENT),
            Column(key="outages", title="Outages of machines", unit=Unit.COUNT, total="sum"),
        ],
        rows=sorted((_place(line) for line in inputs.inside), key=_worst),
        empty=totals.empty(inputs, "no time was owed"),
        note="The least available first. Hours of machines. A range where something was not seen: at least, if all of "
        "that was down.",
        most=MOST_PLACES,
    )
    charts = []
    if any(line.sums.devices.likely is not None for line in inputs.inside):
        targets = sorted({target for line in inputs.inside for target in line.targets})
        charts.append(
            Chart(
                kind="dots",
                title=f"Availability by {place.lower()}, with its range",
                table=table.name,
                x="place",
                y=["likely"],
                low="low",
                high="high",
                target=cut_percent(targets[0]) if len(targets) == 1 else None,
                alt=f"A row for each {place.lower()}: how much of its owed time machines were available, with its range"
                + (", and the target as a line." if len(targets) == 1 else "."),
            )
        )
    levels = _levels(inputs)
    return Section(
        title="Availability",
        sentences=sentences,
        charts=charts,
        tables=[levels, table] if len(levels.rows) > 1 else [table],
    )


def _worst(row: list[Value]) -> tuple[float, float]:
    """The least available first; what has no figure last."""
    likely, low = (cell if isinstance(cell, int | float) else 101.0 for cell in row[5:7])
    return likely, low


def _rules(inputs: Inputs, facts: Facts) -> list[Sentence]:
    """The rule of each percentage, in one line each; of many schools they stand in a table."""
    if inputs.now.no_service or inputs.where.of_many:
        return []
    said = []
    for number, part in enumerate(inputs.schools[0].service.months.parts, 1):
        facts.text(f"service.level.{number}", "service level", part.title)
        said.append(facts.say(f"Rule of {{service.level.{number}}}: {part.rule}.", "note"))
    return said


def _levels(inputs: Inputs) -> Table:
    """Each school's days under each level, against its target: what the verdict is made of."""
    return Table(
        name="Levels",
        title="Each level against its target",
        columns=[
            Column(key="school", title="School"),
            Column(key="level", title="Level"),
            Column(key="first", title="From", unit=Unit.DATE),
            Column(key="last", title="To", unit=Unit.DATE),
            Column(key="likely", title="Available", unit=Unit.PERCENT),
            Column(key="low", title="At least", unit=Unit.PERCENT),
            Column(key="high", title="At most", unit=Unit.PERCENT),
            Column(key="target", title="Target", unit=Unit.PERCENT),
            Column(key="verdict", title="Verdict"),
            *([Column(key="rule", title="Rule")] if inputs.where.of_many else []),
        ],
        rows=[
            [
                each.school.title,
                part.title,
                part.first.isoformat(),
                part.last.isoformat(),
                cut_percent(part.availability.devices.likely),
                cut_percent(part.availability.devices.low),
                cut_percent(part.availability.devices.high),
                cut_percent(part.target),
                part.verdict.value,
                *([part.rule] if inputs.where.of_many else []),
            ]
            for each in inputs.schools
            for part in each.service.months.parts
            if not each.service.months.why_not
        ],
        empty=totals.empty(inputs, "no time was owed"),
        note="Met is said only when all of them are met.",
    )


def _place(line: Line) -> list[Value]:
    whole, lessons = line.sums.devices, line.sums.lessons
    return [
        line.title or line.place.rpartition("/")[2],
        whole.owed_ms / _HOUR_MS,
        whole.maintained_ms / _HOUR_MS,
        whole.down_ms / _HOUR_MS,
        whole.unseen_ms / _HOUR_MS,
        cut_percent(whole.likely),
        cut_percent(whole.low),
        cut_percent(whole.high),
        cut_percent(lessons.likely),
        cut_percent(line.targets[0]) if len(line.targets) == 1 else None,
        line.outages,
    ]


# -- planned work, credits ---------------------------------------------------------------------------------------------


def _planned(inputs: Inputs, facts: Facts) -> Section:
    rows: list[list[Value]] = []
    for each in inputs.schools:
        clock = each.service.months.clock
        for planned in each.service.planned:
            hold = planned.hold
            where = "/".join(part for part in (hold.school, hold.device or hold.room) if part)
            if hold.device_class:
                where += f" ({hold.device_class})"
            owed_s = clock.used_ms(hold.from_ms, hold.until_ms) / 1000
            rows.append([hold.from_ms, hold.until_ms, owed_s, where, hold.reason, planned.by])
    facts.add("planned.count", "times of planned work", Unit.COUNT, len(rows), source="holds")
    if rows and facts.value("availability.maintained") is not None:
        text = "Planned work: {planned.count} on record; {availability.maintained} of machines were left out for it."
    else:
        text = "Planned work: {planned.count} on record." if rows else "No work was planned."
    table = Table(
        name="Planned work",
        title="Planned work, recorded before it began",
        columns=[
            Column(key="from", title="From", unit=Unit.MOMENT),
            Column(key="until", title="Until", unit=Unit.MOMENT),
            Column(key="owed", title="Within service", unit=Unit.SECONDS),
            Column(key="where", title="Where"),
            Column(key="reason", title="Why"),
            Column(key="by", title="Recorded by"),
        ],
        rows=rows,
        empty="No work was planned: caretaker maintenance PLACE --from --until --reason records it beforehand.",
        note="What was recorded afterwards, and what took longer than planned, counts as down.",
        most=MOST_PLANNED,
        on="paper" if rows else "screen",
    )
    return Section(title="Planned work", sentences=[facts.say(text)], tables=[table])


def _credits(inputs: Inputs, facts: Facts) -> Section:
    rows: list[list[Value]] = []
    for each in inputs.schools:
        for part in each.service.months.parts:
            level = f"{each.school.title}, {part.title}" if inputs.where.of_many else part.title
            for line in part.credits:
                failure = FAILURES[line.failure] + (f", priority {line.priority}" if line.priority is not None else "")
                rows.append(
                    [
                        level,
                        failure,
                        line.count,
                        line.per,
                        line.points,
                        line.percent,
                        line.most_points,
                        line.most_percent,
                    ]
                )
    why = inputs.now.no_service
    months = [figure for each in inputs.schools for figure in each.service.months.figures]
    source, command = "service.toml and the figures above", totals.service_command(inputs, inputs.span.month)
    for key, title in (
        ("points", "credits in points, after caps"),
        ("percent", "credits in percent of a month's charge, after caps"),
        ("most_points", "credits in points, if all that nobody saw was down"),
        ("most_percent", "credits in percent, if all that nobody saw was down"),
    ):
        value = sum(getattr(figure.cost, key) for figure in months) if months and not why else None
        facts.add(
            f"credits.{key}",
            title,
            Unit.PERCENT if "percent" in key else Unit.NUMBER,
            value,
            why_not=why or "credits are reckoned for whole months",
            source=source,
            command=command,
        )
    table = Table(
        name="Credits",
        title="Credits, before caps",
        columns=[
            Column(key="level", title="Level"),
            Column(key="failure", title="What failed"),
            Column(key="count", title="How many", unit=Unit.NUMBER),
            Column(key="per", title="A credit for each", unit=Unit.NUMBER),
            Column(key="points", title="Points", unit=Unit.NUMBER, total="sum"),
            Column(key="percent", title="Of the charge", unit=Unit.PERCENT, total="sum"),
            Column(key="most_points", title="At most, points", unit=Unit.NUMBER, total="sum"),
            Column(key="most_percent", title="At most, of the charge", unit=Unit.PERCENT, total="sum"),
        ],
        rows=rows,
        empty=totals.empty(inputs, "nothing that costs credits failed"),
        note="Caps of a month are not in these lines; the sentence above has them.",
    )
    return Section(title="Credits", sentences=[_cost(facts, why)], tables=[_lean(table)])


def _lean(table: Table) -> Table:
    """Without what is the same for each line: the only level, and charges of nothing."""
    nothing = [at for at, column in enumerate(table.columns) if column.unit is Unit.PERCENT]
    drop = [at for at in nothing if not any(row[at] for row in table.rows)]
    drop += [0] if len({row[0] for row in table.rows}) == 1 else []
    if not table.rows:
        return table
    kept = [at for at in range(len(table.columns)) if at not in drop]
    return structs.replace(
        table, columns=[table.columns[at] for at in kept], rows=[[row[at] for at in kept] for row in table.rows]
    )


def _cost(facts: Facts, why: str) -> Sentence:
    if facts.value("credits.points") is None:
        return facts.say(f"Credits are n/a: {facts.known['credits.points'].why_not}.", "note")
    told = [
        f"{{credits.{key}}}" + (" points" if key == "points" else " of the month's charge")
        for key in ("points", "percent")
        if facts.value(f"credits.{key}")
    ]
    most = [
        f"{{credits.{key}}}" + (" points" if key == "most_points" else " of the month's charge")
        for key in ("most_points", "most_percent")
        if facts.value(f"credits.{key}") != facts.value(f"credits.{key.removeprefix('most_')}")
    ]
    text = f"Credits come to {' and '.join(told)}, after caps" if told else "No credits are due for certain"
    if most:
        text += f"; at most {' and '.join(most)}, if all that nobody saw was down"
    return facts.say(f"{text}.", "bad" if told else "plain")


# -- what nobody saw, and what was shown before ------------------------------------------------------------------------


def _blind(inputs: Inputs, facts: Facts) -> Section:
    spans = [(each, span) for each in inputs.schools for span in each.service.blind]
    minutes = sum(end - begin for _, (begin, end) in spans) / _MINUTE_MS
    facts.add(
        "blind.minutes", "minutes of service in which Caretaker could not see", Unit.MINUTES, minutes, source="sight"
    )
    facts.add("blind.times", "times that it could not", Unit.COUNT, len(spans), source="sight")
    sentences = []
    if spans:
        sentences.append(
            facts.say(
                "For {blind.minutes} of service Caretaker itself could not see (stretches: {blind.times}). What "
                "machines did then is neither up nor down: it makes the range.",
                "note",
            )
        )
    elif totals.unseen(inputs):
        sentences.append(facts.say("Caretaker came later: all of it is unknown.", "note"))
    elif inputs.now.no_service:
        sentences.append(facts.say("No time was owed that Caretaker could have missed.", "note"))
    else:
        sentences.append(
            facts.say(
                "Caretaker itself could see in all hours of service; what is not seen are single machines that said "
                "nothing.",
                "good",
            )
        )
    blind = Table(
        name="Not seen",
        title="When Caretaker could not see",
        columns=[
            *([Column(key="school", title="School")] if inputs.where.of_many else []),
            Column(key="from", title="From", unit=Unit.MOMENT),
            Column(key="until", title="Until", unit=Unit.MOMENT),
            Column(key="minutes", title="Minutes of service", unit=Unit.MINUTES, total="sum"),
        ],
        rows=[
            [*([each.school.title] if inputs.where.of_many else []), begin, end, (end - begin) / _MINUTE_MS]
            for each, (begin, end) in spans
        ],
        empty="Nothing to show: there is no time of service in which Caretaker was there and could not see.",
        most=MOST_BLIND,
        on="paper" if spans else "screen",
    )
    stated = [(each, one) for each in inputs.schools for one in each.service.months.stated]
    facts.add(
        "stated.revisions", "revisions of what was stated", Unit.COUNT, sum(one.revision > 1 for _, one in stated)
    )
    if not stated:
        sentences.append(facts.say("No month of it was stated yet: that happens once it is over and computed.", "note"))
    elif facts.value("stated.revisions"):
        sentences.append(
            facts.say(
                "{stated.revisions} times a figure that had been stated came out otherwise; both are kept.", "note"
            )
        )
    else:
        sentences.append(facts.say("What was stated has not changed since."))
    revisions = Table(
        name="As it was stated",
        title="As it was stated",
        columns=[
            *([Column(key="school", title="School")] if inputs.where.of_many else []),
            Column(key="month", title="Month"),
            Column(key="revision", title="Revision", unit=Unit.COUNT),
            Column(key="made", title="Stated", unit=Unit.MOMENT),
            Column(key="available", title="Available", unit=Unit.PERCENT),
            Column(key="verdict", title="Verdict"),
            Column(key="stamp", title="Version"),
            Column(key="reason", title="Why"),
        ],
        rows=[
            [
                *([each.school.title] if inputs.where.of_many else []),
                one.month,
                one.revision,
                one.made_ms,
                cut_percent(_whole(one.figure).likely),
                one.figure.verdict.value,
                one.stamp,
                one.reason,
            ]
            for each, one in stated
        ],
        empty="No month was stated yet: caretaker sla month states it once it is over.",
        # That a month was stated once, and not changed, is said above.
        on="paper" if facts.value("stated.revisions") else "screen",
    )
    return Section(title="What nobody saw, and what was stated before", sentences=sentences, tables=[blind, revisions])


def _whole(figure: sla.Month) -> Figure:
    return sum((part.availability.devices for part in figure.parts), Figure())
