"""Outages on the page of service: what counts once, for how long, and why; the longest is named."""

from caretaker_collector.review import service_incidents, totals
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_dashboards.review.pack import Column, Section, Table, Unit, Value
from caretaker_rules.intervals import union
from caretaker_rules.sla_faults import Fault

MOST_OUTAGES = 6
_MINUTE_MS = 60_000


def section(inputs: Inputs, facts: Facts) -> Section:
    """Every fault of the span, the heaviest first."""
    faults = [(each, fault) for each in inputs.schools for fault in each.service.months.faults]
    why = inputs.now.no_service
    facts.add(
        "outages.faults",
        "faults, each counted once however many machines it hit",
        Unit.COUNT,
        None if why else sum(part.faults for each in inputs.schools for part in each.service.months.parts),
        why_not=why,
        source="outages and incident log",
        command=totals.service_command(inputs, inputs.span.month),
    )
    rows = sorted(
        (_fault(each, fault, inputs.one is not None) for each, fault in faults),
        key=lambda row: (-_number(row[3]), str(row[0])),
    )
    sentences = []
    if why:
        sentences.append(facts.say(f"Outages are n/a: {why}.", "note"))
    elif not rows:
        sentences.append(facts.say("No machine was down in the time owed.", "good"))
    else:
        sentences.append(
            facts.say("{outages.faults} faults kept machines down, together for {availability.down} of the time owed.")
        )
        longest = max(rows, key=lambda row: (_number(row[2]), _number(row[3])))
        facts.add(
            "outages.longest", "the longest outage, in time of service", Unit.SECONDS, longest[2], source="outages"
        )
        facts.text(
            "outages.longest_what", "what it was", str(longest[7]) if longest[6] else f"{longest[5]}: {longest[7]}"
        )
        facts.add("outages.longest_from", "when it began", Unit.MOMENT, longest[0], source="outages")
        sentences.append(
            facts.say(
                "The longest lasted {outages.longest} of service, from {outages.longest_from}: {outages.longest_what}."
            )
        )
    table = Table(
        name="Outages",
        title="Outages, the heaviest first",
        columns=[
            Column(key="from", title="From", unit=Unit.MOMENT),
            Column(key="until", title="Until", unit=Unit.MOMENT),
            Column(key="lasted", title="Of service", unit=Unit.SECONDS),
            Column(key="down", title="Down, machines together", unit=Unit.MINUTES, total="sum"),
            Column(key="machines", title="Machines", unit=Unit.COUNT),
            Column(key="where", title="Where"),
            Column(key="incident", title="Incident"),
            Column(key="what", title="What and why"),
        ],
        rows=rows,
        empty=totals.empty(inputs, "no machine was down in the time owed"),
        note="What belongs to one incident is one line. Of service: time with at least one of its machines down.",
        most=MOST_OUTAGES,
    )
    return Section(title="Outages", sentences=sentences, tables=[table])


def _fault(each: SchoolInputs, fault: Fault, one: bool) -> list[Value]:
    school = each.school.name
    rooms = sorted({outage.room for outage in fault.outages if outage.room})
    ours = "" if one else f"{school}/"  # in a school's own pack its name need not be before each machine's
    where = (
        f"{ours}{fault.devices[0]}"
        if len(fault.devices) == 1
        else f"{'' if one else school + ': '}{', '.join(rooms) or 'machines'}"
    )
    return [
        fault.from_ms,
        fault.until_ms,
        _lasted_ms(each, fault) / 1000,
        fault.down_ms / _MINUTE_MS,
        len(fault.devices),
        where,
        fault.incident or None,
        ": ".join(
            part
            for part in (
                fault.title.replace(f"{school}/", ours),
                service_incidents.cause((*fault.whats, *fault.causes)),
            )
            if part
        ),
    ]


def _lasted_ms(each: SchoolInputs, fault: Fault) -> int:
    """Time of service in which at least one machine of it was down; what came back and went again is not filled in."""
    spans = union((outage.from_ms, outage.until_ms) for outage in fault.outages)
    return sum(each.service.months.clock.used_ms(begin, end) for begin, end in spans)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
