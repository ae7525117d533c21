"""Incidents for people: a line for each in a list, and everything about one."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_collector import calendars
from caretaker_rules import clocks
from caretaker_rules.alert_text import length, moment, short
from caretaker_rules.calendar import LOOK_AHEAD_DAYS, local, zone_of
from caretaker_rules.clocks import Clock
from caretaker_rules.findings import Subject
from caretaker_rules.incidents import RULES, Action, Entry, Incident, Status
from caretaker_rules.model import Estate
from caretaker_rules.service_hours import ServiceClock

FAR_MS = 2**62
HITS_SHOWN = 12
_ACTIONS = {
    Action.OPENED: "opened",
    Action.GROWN: "hit now",
    Action.PRIORITY: "priority",
    Action.ACKNOWLEDGED: "acknowledged",
    Action.ASSIGNED: "assigned to",
    Action.NOTED: "note",
    Action.PAUSED: "waits for the customer",
    Action.RESUMED: "waits no longer",
    Action.FIXED: "fixed",
    Action.REOPENED: "reopened",
    Action.MERGED: "merged",
    Action.TICKET: "ticket",
}
_WITH_WORDS = frozenset({Action.NOTED, Action.PAUSED, Action.RESUMED, Action.FIXED})
"""What somebody said stands after a colon, as it was typed."""


class Shown(Struct, frozen=True, kw_only=True):
    """An incident with its clocks, as --json prints it."""

    name: str
    incident: Incident
    response: Clock | None
    fix: Clock | None
    due: str  # what is said of its time: "fix due Tue 10:12 (1 h 27 min left)"
    newest: str = ""  # its title with the figures of the newest look; "": as it was opened


def service_clocks(
    estate: Estate, folder: Path, incidents: Sequence[Incident], now_ms: int
) -> Mapping[str, ServiceClock]:
    """Hours of service of each school that has one of these, its calendar read for as far back as they go."""
    found: dict[str, ServiceClock] = {}
    if estate.service is None:
        return found
    for name, school in estate.schools.items():
        opened = [one.opened_ms for one in incidents if one.subject.school == name and one.priority is not None]
        if opened:
            zone = zone_of(school.time_zone)
            first = local(min(opened), zone).date() - timedelta(days=1)
            last = local(now_ms, zone).date() + timedelta(days=LOOK_AHEAD_DAYS)
            timetable = calendars.read_school(school, folder, first, last).timetable
            found[name] = ServiceClock.of(school, estate.service, timetable)
    return found


def shown(
    incident: Incident, hours: Mapping[str, ServiceClock], zone: ZoneInfo, now_ms: int, newest: str = ""
) -> Shown:
    """With its clocks, and what is said of its time in a list."""
    service = hours.get(incident.subject.school)
    response = clocks.response(incident, service, now_ms) if service is not None else None
    fix = clocks.fix(incident, service, now_ms) if service is not None else None
    if incident.status is Status.MERGED:
        due = "merged"
    elif fix is None:
        state = "fixed" if incident.fixed_ms else "since"
        due = f"{state} {moment(incident.fixed_ms or incident.since_ms, zone)}"
    else:
        text = clocks.text(fix, zone, now_ms)
        due = text if fix.ended_ms or fix.paused else f"fix {text}"
    return Shown(name=incident.name, incident=incident, response=response, fix=fix, due=due, newest=newest)


def by_time_left(found: Sequence[Shown]) -> list[Shown]:
    """What is open by the time that is left (what waits for the customer, or has no clock, last); then what is over."""

    def order(one: Shown) -> tuple[bool, int, int]:
        runs = one.fix is not None and not one.fix.paused
        left_ms = one.fix.left_ms if one.fix is not None and runs else FAR_MS
        return not one.incident.open, left_ms if one.incident.open else -one.incident.fixed_ms, one.incident.number

    return sorted(found, key=order)


def line(one: Shown, estate: Estate) -> str:
    """ "INC-12  P1  Ashfield · sw-ict1 is down: 31 machines behind it are cut off · fix due Tue 10:12 ..."."""
    incident = one.incident
    said = short(incident, one.newest)
    parts = [f"{_place(incident.subject, estate)} · {said}"]
    if len(incident.hits) > 1 and "machines" not in said:
        parts.append(f"{len(incident.hits)} machines")
    parts.append(one.due)
    if incident.open:
        who = incident.assigned or incident.acknowledged_by
        parts.append(who or "nobody has acknowledged it")
    parts += incident.tickets
    priority = f"P{incident.priority}" if incident.priority is not None else "--"
    return f"{one.name:<7} {priority}  " + " · ".join(parts)


def details(one: Shown, log: Sequence[Entry], names: Mapping[str, str], estate: Estate, now_ms: int) -> list[str]:
    """Everything about one incident: what it is now, and its whole history. `names`: of other incidents by uid."""
    incident = one.incident
    zone = zone_for(incident, estate)
    rows = [
        (one.name, short(incident, one.newest)),
        ("where", f"{_place(incident.subject, estate)} ({incident.subject})"),
    ]
    since = f"{moment(incident.since_ms, zone)} ({length(now_ms - incident.since_ms)} ago)"
    rows += [("state", _state(incident, names)), ("since", since)]
    if incident.priority is not None:
        alternative = "there is an alternative" if incident.alternative else "there is no alternative"
        impact = f"a {incident.impact.value} is hit, " if incident.impact is not None else ""
        rows.append(("priority", f"P{incident.priority}: {impact}{alternative}"))
    for name, clock in (("answer", one.response), ("fix", one.fix)):
        if clock is not None:
            rows.append((name, clocks.text(clock, zone, now_ms)))
    if incident.assigned:
        rows.append(("assigned", incident.assigned))
    if incident.tickets:
        rows.append(("tickets", ", ".join(incident.tickets)))
    if incident.ever_hit:
        rows.append(
            ("hit", _devices(incident.hits) if incident.hits else f"nothing now; {_devices(incident.ever_hit)}")
        )
    lines = [f"{name:<9} {text}" for name, text in rows]
    lines.append("history")
    return lines + [f"  {moment(entry.at_ms, zone)}  {_told(entry, names, zone)}" for entry in log]


def zone_for(incident: Incident, estate: Estate) -> ZoneInfo:
    """The zone in which its moments are said."""
    school = estate.schools.get(incident.subject.school)
    return zone_of(school.time_zone if school is not None else "Europe/London")


def _place(subject: Subject, estate: Estate) -> str:
    school = estate.schools.get(subject.school)
    return school.title if school is not None else subject.school or "Caretaker itself"


def _state(incident: Incident, names: Mapping[str, str]) -> str:
    if incident.status is Status.MERGED:
        return f"merged into {names.get(incident.merged_into, incident.merged_into)}"
    said = incident.status.value
    if incident.status is Status.PAUSED:
        said = "waiting for the customer"
    if incident.acknowledged_ms and incident.open:
        said = f"{'' if said == 'acknowledged' else said + ', '}acknowledged by {incident.acknowledged_by}"
    if incident.fixed_by and incident.fixed_by != RULES:
        said += f" by {incident.fixed_by}"
    return said + (f", reopened {incident.reopened} times" if incident.reopened > 1 else "")


def _devices(hits: Sequence[Subject]) -> str:
    names = [hit.device or str(hit) for hit in hits]
    more = f" and {len(names) - HITS_SHOWN} more" if len(names) > HITS_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:HITS_SHOWN])}{more}"


def _told(entry: Entry, names: Mapping[str, str], zone: ZoneInfo) -> str:
    gap = ": " if entry.action in _WITH_WORDS else " "
    return gap.join(filter(None, said_of(entry, names, zone))) + f"  ({entry.by})"


def said_of(entry: Entry, names: Mapping[str, str], zone: ZoneInfo) -> tuple[str, str]:
    """An entry of a log in words: what was done, and all that was said with it. `names`: of other incidents by uid."""
    words = []
    if entry.opened is not None:
        words.append(entry.opened.title)
        if entry.opened.priority is not None:
            words.append(f"(P{entry.opened.priority})")
    elif entry.action is Action.GROWN:
        words.append(_devices(entry.hits))
    elif entry.action is Action.PRIORITY:
        words.append(f"P{entry.priority}")
    elif entry.action is Action.MERGED:
        words.append(f"into {names.get(entry.text, entry.text)}")
    elif entry.text:
        words.append(entry.text)
    if entry.when_ms and entry.when_ms != entry.at_ms:
        words.append(f"as of {moment(entry.when_ms, zone)}")
    return _ACTIONS[entry.action], " ".join(words)
