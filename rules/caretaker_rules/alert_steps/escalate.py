"""What follows when nothing happens: steps by time without an acknowledgement, and by the contract's clocks.

- Unacknowledged time runs on the wall clock, from the first message about it (from when that was due, where all who
  would get it are left in peace). It stops for good with the acknowledgement, and while waiting for the customer.
- `warn_ratio` of a clock's time, and all of it, are told to those who knew of the incident and to the steps' channels,
  once. The clocks stand still outside service hours and while waiting for the customer (`clocks.py`).
- A rota's place is taken by whoever is on call at the look: who takes over is told of what nobody has acknowledged.
- Silence and quiet hours hold here too.
"""

from collections import defaultdict

from caretaker_rules import clocks
from caretaker_rules.alert_settings import AlertsFile, EscalationStep, Severity, ms
from caretaker_rules.alert_steps.deduplicate import ALONE
from caretaker_rules.alert_steps.heard import Memory, memory_of
from caretaker_rules.alert_steps.tell import Item, tell
from caretaker_rules.alerting import Round, What
from caretaker_rules.calendar import in_hours, zone_of
from caretaker_rules.incidents import Incident, Status

WHENS = {
    What.ANSWER_WARNED: "answer_due",
    What.ANSWER_LATE: "answer_late",
    What.WARNED: "fix_due",
    What.LATE: "fix_late",
}
"""The steps that each turn of a clock calls for."""


def escalate(look: Round) -> None:
    """Write what is overdue into `look.telling`."""
    if look.alerts is None:
        return
    memory = memory_of(look)
    due: dict[tuple[str, Severity], list[Item]] = defaultdict(list)
    for incident in look.incidents.values():
        if not incident.open or not incident.number or incident.uid in look.silenced:
            continue
        severity = look.alerts.severity_of(incident)
        if severity is Severity.INFO:
            continue
        steps = _steps(look, look.alerts, incident, severity)
        for what, channels in (
            _unacknowledged(look, look.alerts, memory, incident, severity, steps),
            *_turns(look, look.alerts, memory, incident, steps),
        ):
            for channel in dict.fromkeys(channels):
                heard = memory.of(incident.uid, channel)
                told = heard.count(what) > (heard.ended if what is What.ESCALATED else 0)
                if not told and (channel, severity) not in look.quiet:
                    due[channel, severity].append((incident, what))
    kinds = {channel.name: channel.kind for channel in look.alerts.channels}
    for (channel, severity), items in due.items():
        if channel in kinds:
            tell(look, channel, severity, items, one=kinds[channel] not in ALONE)


def _steps(look: Round, alerts: AlertsFile, incident: Incident, severity: Severity) -> list[EscalationStep]:
    """The steps for this incident that may be taken at this hour."""
    network, zone = look.school.network if look.school else None, zone_of(alerts.time_zone)
    return [
        step
        for escalation in alerts.escalations
        if escalation.fits(incident, severity, network)
        for step in escalation.steps
        if not step.hours or in_hours(step.hours, look.now_ms, zone)
    ]


def _unacknowledged(
    look: Round, alerts: AlertsFile, memory: Memory, incident: Incident, severity: Severity, steps: list[EscalationStep]
) -> tuple[What, list[str]]:
    """Whom to tell that nobody has answered."""
    if incident.acknowledged_ms or incident.status is Status.PAUSED:
        return What.ESCALATED, []
    began_ms = incident.reopened_ms or incident.opened_ms
    told_ms = [at_ms for at_ms in memory.begun_ms.get(incident.uid, ()) if at_ms >= began_ms]
    since_ms = min(told_ms, default=began_ms + alerts.delay_ms(severity))
    names = [
        name
        for step in steps
        if step.when == "unacknowledged" and look.now_ms >= since_ms + ms(step.after)
        for name in step.channels
    ]
    return What.ESCALATED, [channel for _, channel in alerts.people(names, look.now_ms)]


def _turns(
    look: Round, alerts: AlertsFile, memory: Memory, incident: Incident, steps: list[EscalationStep]
) -> list[tuple[What, list[str]]]:
    """What the clocks say, and whom to tell: late takes the place of the warning where that was not told in time."""
    if look.clock is None or incident.priority is None or incident.status is Status.PAUSED:
        return []
    level = look.clock.level_at(incident.opened_ms)
    times = next((each for each in level.priorities if each.priority == incident.priority), None) if level else None
    if times is None:
        return []
    knowing, found = memory.knowing(incident.uid), []
    for clock_of, allowance, warned, late in (
        (clocks.response, times.respond, What.ANSWER_WARNED, What.ANSWER_LATE),
        (clocks.fix, times.fix, What.WARNED, What.LATE),
    ):
        if late is What.ANSWER_LATE and incident.acknowledged_ms:
            continue
        # Reckoning a clock is dear. No more of it can be used than has passed; and what is late stays so.
        if look.now_ms - incident.opened_ms < alerts.warn_ratio * ms(allowance):
            continue
        all_late = [*knowing, *_called(look, alerts, steps, late)]
        if all(memory.of(incident.uid, channel).count(late) for channel in all_late):
            continue
        clock = clock_of(incident, look.clock, look.now_ms)
        if clock is None:
            continue
        if clock.late:
            what, turned_ms = late, clock.due_ms
        elif clock.used_ms >= alerts.warn_ratio * clock.allowance_ms:
            what, turned_ms = warned, clocks.warn_ms(clock, alerts.warn_ratio)
        else:
            continue
        # Who was told of the incident after that could read it there.
        before = [each for each in knowing if turned_ms is None or memory.of(incident.uid, each).since_ms < turned_ms]
        found.append((what, [*before, *_called(look, alerts, steps, what)]))
    return found


def _called(look: Round, alerts: AlertsFile, steps: list[EscalationStep], what: What) -> list[str]:
    """The channels that the steps call at this turn of a clock."""
    names = [name for step in steps if step.when == WHENS[what] for name in step.channels]
    return [channel for _, channel in alerts.people(names, look.now_ms)]
