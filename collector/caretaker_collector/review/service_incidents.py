"""Incidents on the page of service: how soon they were answered and fixed by the clock, and what was done."""

from collections.abc import Iterable

from caretaker_collector.review import totals
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import Inputs, SchoolInputs
from caretaker_collector.review.service_read import Shown
from caretaker_dashboards.review.pack import Column, Section, Table, Unit, Value
from caretaker_rules.alert_text import short
from caretaker_rules.clocks import Clock
from caretaker_rules.incidents import RULES, Action

MOST_INCIDENTS, NO_PRIORITY = 10, 9
"""On paper; the spreadsheet has all."""
WHATS = {
    "lost": "not heard any more",
    "off": "off, and nobody said why",
    "not_back": "not back when needed",
    "overrun": "planned work that took longer",
}
CAUSES = {
    "user": "its user switched it off",
    "rule": "a rule switched it off",
    "maintenance": "switched off for planned work",
    "restart": "a restart",
    "agent_stop": "its agent was stopped",
}
_TOLD = {
    Action.NOTED: "{text}",
    Action.PAUSED: "waited for the school: {text}",
    Action.FIXED: "{text}",
    Action.TICKET: "ticket {text}",
    Action.ASSIGNED: "given to {text}",
}


def section(inputs: Inputs, facts: Facts) -> Section:
    """Times by priority, each incident, and how soon it was answered."""
    shown = [(each, one) for each in inputs.schools for one in each.service.opened]
    merged = sum(each.service.merged for each in inputs.schools)
    facts.add("incidents.opened", "incidents opened", Unit.COUNT, len(shown), source="incident log")
    facts.add("incidents.merged", "incidents that became part of another", Unit.COUNT, merged, source="incident log")
    sentences = []
    if shown:
        text = "{incidents.opened} incidents were opened"
        sentences.append(facts.say(text + (", {incidents.merged} more became part of another." if merged else ".")))
        if facts.value("incidents.decided"):
            late = facts.value("incidents.late")
            text = "{incidents.in_time} of {incidents.decided} were fixed within the time promised"
            sentences.append(
                facts.say(f"{text}; {{incidents.late}} took longer." if late else f"{text}.", "bad" if late else "good")
            )
    elif totals.unseen(inputs):
        sentences.append(facts.say("Incidents are n/a: Caretaker came later.", "note"))
    else:
        sentences.append(facts.say("No incident was opened.", "good"))
    rows = _times(inputs)
    level = len({row[0] for row in rows}) != 1  # one that is the same in each row needs no column
    times = Table(
        name="Times by priority",
        title="Answered and fixed in time, by priority",
        columns=[
            *([Column(key="level", title="Level")] if level else []),
            Column(key="priority", title="Priority", unit=Unit.COUNT),
            Column(key="answer", title="Answer within", unit=Unit.SECONDS),
            Column(key="answered", title="Answered in time", unit=Unit.COUNT, total="sum"),
            Column(key="answered_late", title="Answered late", unit=Unit.COUNT, total="sum"),
            Column(key="fix", title="Fix within", unit=Unit.SECONDS),
            Column(key="fixed", title="Fixed in time", unit=Unit.COUNT, total="sum"),
            Column(key="fixed_late", title="Fixed late", unit=Unit.COUNT, total="sum"),
            Column(key="running", title="Open, not late", unit=Unit.COUNT, total="sum"),
        ],
        rows=rows if level else [row[1:] for row in rows],
        empty=totals.empty(inputs, "no incident with a clock was opened"),
        note="Lengths are of service: the clock stands still when school is out, and while the school is waited for.",
    )
    table = Table(
        name="Incidents",
        title="Incidents opened, the worst first",
        columns=[
            Column(key="name", title="Incident"),
            Column(key="priority", title="Priority", unit=Unit.COUNT),
            Column(key="what", title="What"),
            Column(key="opened", title="Opened", unit=Unit.MOMENT),
            Column(key="used", title="Fixed after", unit=Unit.SECONDS),
            Column(key="allowed", title="Promised", unit=Unit.SECONDS),
            Column(key="stands", title="In time?"),
            Column(key="done", title="Cause, and what was done"),
        ],
        rows=[_incident(inputs, each, one) for each, one in sorted(shown, key=_worst)],
        empty="No incident was opened.",
        note="Late ones first, then by priority and length. Times are of service, on the contract's clock: 0 s is "
        "fixed before service began again. No times: no level, or none for that priority.",
        most=MOST_INCIDENTS,
    )
    answers = Table(
        name="Answers",
        title="How soon they were answered",
        columns=[
            Column(key="name", title="Incident"),
            Column(key="where", title="Where"),
            Column(key="hits", title="Machines hit", unit=Unit.COUNT),
            Column(key="used", title="Answered after", unit=Unit.SECONDS),
            Column(key="allowed", title="Promised", unit=Unit.SECONDS),
            Column(key="stands", title="In time?"),
        ],
        rows=[_answer(one) for _, one in shown],
        empty="No incident was opened.",
        on="sheet",
    )
    return Section(title="Incidents", sentences=sentences, tables=[times, table, answers])


def _worst(item: tuple[SchoolInputs, Shown]) -> tuple[bool, int, int, int]:
    """Late ones first, then by priority and length."""
    incident, fix = item[1].incident, item[1].fix
    return (
        fix is None or not fix.late,
        incident.priority or NO_PRIORITY,
        -(fix.used_ms if fix else 0),
        incident.opened_ms,
    )


def _times(inputs: Inputs) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for each in inputs.schools:
        for part in each.service.months.parts:
            level = f"{each.school.title}, {part.title}" if inputs.where.of_many else part.title
            answered = {row.priority: row for row in part.answered}
            for fix in part.fixed:
                answer = answered.get(fix.priority)
                rows.append(
                    [
                        level,
                        fix.priority,
                        answer.allowed_ms / 1000 if answer else None,
                        answer.in_time if answer else None,
                        answer.late if answer else None,
                        fix.allowed_ms / 1000,
                        fix.in_time,
                        fix.late,
                        fix.running,
                    ]
                )
    return rows


def _incident(inputs: Inputs, each: SchoolInputs, shown: Shown) -> list[Value]:
    incident = shown.incident
    what = f"{each.school.title}: {short(incident)}" if inputs.where.of_many else short(incident)
    why = cause(shown.causes)
    return [
        incident.name,
        incident.priority,
        what,
        incident.opened_ms,
        *_used(shown.fix),
        stands(shown.fix),
        "; ".join(part for part in (why, done(shown)) if part),
    ]


def _answer(shown: Shown) -> list[Value]:
    incident = shown.incident
    hits = len(incident.ever_hit) or None
    return [incident.name, str(incident.subject), hits, *_used(shown.answer), stands(shown.answer)]


def _used(clock: Clock | None) -> tuple[Value, Value]:
    return (None, None) if clock is None else (clock.used_ms / 1000, clock.allowance_ms / 1000)


def stands(clock: Clock | None) -> str:
    """How a clock stands, in words."""
    if clock is None:
        return "no clock"
    if clock.late:
        return "late"
    return "in time" if clock.ended_ms else "waits for the school" if clock.paused else "runs"


def cause(causes: Iterable[str]) -> str:
    """What machines said, in words; "": nothing. People's own words are in what was done."""
    words = dict.fromkeys(WHATS.get(each) or CAUSES.get(each) or "" for each in causes)
    return ", ".join(word for word in words if word)


def done(shown: Shown) -> str:
    """What people wrote of it, and how it ended."""
    told = []
    for entry in shown.log:
        words = _TOLD.get(entry.action)
        if words is not None and entry.text and entry.by != RULES:
            told.append(words.format(text=entry.text))
    told += [f"{each.name} became part of it: {short(each)}" for each in shown.merged]
    incident = shown.incident
    if incident.open:
        told.append("still open")
    elif incident.fixed_by == RULES:
        told.append("over by itself")
    elif not told:
        told.append(f"fixed by {incident.fixed_by}")
    return "; ".join(dict.fromkeys(told))
