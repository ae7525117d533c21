"""What people read when they are told: plain words, with what, where, since when, how urgent, and how to see why."""

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from caretaker_rules import clocks
from caretaker_rules.alerting import Round, What
from caretaker_rules.calendar import local
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import RULES, Incident, Status
from caretaker_rules.model import School
from caretaker_rules.service import Impact
from caretaker_rules.service_hours import ServiceClock

MOST_LISTED = 20
"""Of a group, so many are listed; more nobody reads in a message."""

STARTS: dict[What, str] = {
    What.OPENED: "",
    What.REOPENED: "back again: ",
    What.GROWN: "more urgent now: ",
    What.REMINDED: "still open: ",
    What.ESCALATED: "nobody has answered: ",
    What.ANSWER_WARNED: "answer due soon: ",
    What.ANSWER_LATE: "answer late: ",
    What.WARNED: "fix due soon: ",
    What.LATE: "fix late: ",
    What.FIXED: "fixed: ",
}
"""How a title begins."""

_IMPACTS = {Impact.SCHOOL: "the school is hit", Impact.ROOM: "a room is hit", Impact.DEVICE: "a machine is hit"}


def title(incident: Incident, what: What, school: School | None) -> str:
    """One line: "P2 Ashfield: sw-1 is down: 20 machines behind it are cut off (INC-12)"."""
    place = f"{school.title}: " if school else ""
    start = "part of another incident now: " if incident.status is Status.MERGED else STARTS[what]
    return f"{start}{_priority(incident)}{place}{short(incident)} ({incident.name})"


def short(incident: Incident, title: str = "") -> str:
    """Its title (or another one of it) for a line that names the school already."""
    school, title = incident.subject.school, title or incident.title
    if not school or incident.kind is FindingKind.REPORTED:
        return title  # people write what they like
    if not incident.subject.room and not incident.subject.device:
        whole = title.replace(f"all of {school} ", "the whole school ", 1)
        return whole if whole != title else title.replace(f"{school} ", "the school ", 1)
    return title.replace(f"{school}/", "")


def body(incident: Incident, look: Round) -> str:
    """A line for each thing that somebody at the desk asks first."""
    now_ms, zone = look.now_ms, look.zone
    rows = [("What", short(incident)), ("Where", where(incident, look))]
    if incident.status is Status.MERGED:
        rows.append(("State", "part of another incident now"))
    elif incident.fixed_ms:
        lasted = length(incident.fixed_ms - incident.since_ms)
        rows.append(("Fixed", f"{moment(incident.fixed_ms, zone)}, after {lasted}{_by(incident.fixed_by)}"))
    rows.append(("Since", f"{moment(incident.since_ms, zone)} ({length(now_ms - incident.since_ms)} ago)"))
    if incident.priority is not None:
        alternative = "there is an alternative" if incident.alternative else "no alternative"
        impact = f"{_IMPACTS[incident.impact]}, {alternative}" if incident.impact else alternative
        rows.append(("Priority", f"P{incident.priority}: {impact}"))
    rows += _clock_rows(incident, look.clock, zone, now_ms)
    if incident.open:
        rows.append(("State", _state(incident)))
    rows.append(("Why", f"caretaker incident {incident.number}"))
    return "\n".join(f"{name:<9} {text}" for name, text in rows)


def group_title(items: Sequence[tuple[Incident, What]], school: School | None) -> str:
    """One line for several incidents of a school."""
    whats = {what for _, what in items}
    start = STARTS[next(iter(whats))] if len(whats) == 1 else ""
    count, priorities = len(items), sorted({incident.priority for incident, _ in items if incident.priority})
    levels = f", P{priorities[0]}" + (f" to P{priorities[-1]}" if len(priorities) > 1 else "") if priorities else ""
    place = school.title if school else "Caretaker itself"
    return f"{start}{count} incidents at {place}{levels}"


def group_body(items: Sequence[tuple[Incident, What]], look: Round) -> str:
    """A line for each incident, the first ones of many."""
    mixed = len({what for _, what in items}) > 1
    lines = [line(incident, look, what if mixed else None) for incident, what in items[:MOST_LISTED]]
    if len(items) > MOST_LISTED:
        lines.append(f"and {len(items) - MOST_LISTED:,} more")
    place = look.school.name if look.school else "caretaker"
    return "\n".join(
        [*lines, "", f"All of them: caretaker incidents {place}", "One of them: caretaker incident NUMBER"]
    )


def line(incident: Incident, look: Round, what: What | None = None) -> str:
    """An incident in one line: "INC-12  P2  Mon 23 Nov 09:00  sw-1 is down; fix due Tue 10:40"."""
    start = STARTS[what] if what else ""
    due = next((f"; fix {text}" for name, text in _clock_rows(incident, look.clock, look.zone, look.now_ms)[1:]), "")
    since = moment(incident.since_ms, look.zone)
    return f"{incident.name}  {_priority(incident)} {since}  {start}{short(incident)}{due}"


def where(incident: Incident, look: Round) -> str:
    """The place in words, and how many machines are hit."""
    subject = incident.subject
    if look.school is None or not subject.school:
        return "Caretaker itself"
    parts = [look.school.title]
    device = look.devices.get(subject.device)
    room_name = subject.room or (device.room if device else "")
    room = next((room for room in look.school.rooms if room.name == room_name), None)
    if room_name:
        parts.append(f"room {room_name}" + (f" ({room.title})" if room and room.title else ""))
    if subject.device:
        parts.append(subject.device)
    hit = len(incident.hits) if incident.open else len(incident.ever_hit)
    return ", ".join(parts) + (f"; {hit} machines hit" if hit > 1 else "")


def moment(at_ms: int, zone: ZoneInfo) -> str:
    """ "Mon 23 Nov 09:00", on the school's clock."""
    at = local(at_ms, zone)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def length(length_ms: int) -> str:
    """A length of time by the clock on the wall, in its two largest units: "2 d 3 h", "12 min", "30 s"."""
    rest = timedelta(milliseconds=max(0, length_ms))
    seconds = rest.days * 86_400 + rest.seconds
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min")]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or f"{seconds} s"


def _priority(incident: Incident) -> str:
    return f"P{incident.priority} " if incident.priority is not None else ""


def _by(who: str) -> str:
    return f", by {who}" if who and who != RULES else ""


def _clock_rows(incident: Incident, service: ServiceClock | None, zone: ZoneInfo, now_ms: int) -> list[tuple[str, str]]:
    """Answer and fix; empty where no clock runs."""
    if service is None:
        return []
    both = (
        ("Answer", clocks.response(incident, service, now_ms)),
        ("Fix", clocks.fix(incident, service, now_ms)),
    )
    return [(name, clocks.text(clock, zone, now_ms)) for name, clock in both if clock is not None]


def _state(incident: Incident) -> str:
    said = f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_ms else "nobody has acknowledged it"
    if incident.status is Status.PAUSED:
        said = f"waiting for the customer; {said}"
    return said + (f"; assigned to {incident.assigned}" if incident.assigned else "")
