"""The daily digest: what is open by the time that is left, what was fixed, and what was not worth a message of its own.

Not a step of a school's round: one digest is about all its schools. The collector asks `due` at each tick, gathers what
the digests that are due need, and writes what `digest` makes. An id names the channel and the day, so that a digest
goes out once a day, later the same day if nobody was there to send it, and not at all for a day that is over.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_rules import clocks
from caretaker_rules.alert_settings import AlertsFile, Digest, Severity
from caretaker_rules.alert_steps.tell import make_id
from caretaker_rules.alert_text import length, moment, short
from caretaker_rules.alerting import Telling, What
from caretaker_rules.calendar import local, parse_span, zone_of
from caretaker_rules.clocks import Clock
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident, Status
from caretaker_rules.model import School
from caretaker_rules.repeats import wall_ms
from caretaker_rules.service_hours import ServiceClock

MOST_LISTED = 50
"""Lines of one section; more nobody reads."""
FAR_MS = 2**62


class DigestDue(Struct, frozen=True):
    """A digest whose time has come; it covers what was fixed since `from_ms`, when the last one was due."""

    number: int  # in `alerts.digests`
    day: date
    from_ms: int
    at_ms: int


class Seen(Struct, frozen=True):
    """What a digest looks at: incidents of a school (None: of Caretaker itself), open ones and those fixed lately."""

    school: School | None
    incidents: Sequence[Incident]
    clock: ServiceClock | None = None


def due(alerts: AlertsFile, now_ms: int) -> list[DigestDue]:
    """The digests that are to go out on this local day and whose time has come, whether or not they went out."""
    zone = zone_of(alerts.time_zone)
    today = local(now_ms, zone).date()
    found = []
    for number, digest in enumerate(alerts.digests):
        days = parse_span(f"{digest.days} 00:00-24:00").days
        at_ms = _at_ms(digest, today, zone)
        if today.weekday() in days and at_ms <= now_ms:
            before = next(day for back in range(1, 8) if (day := today - timedelta(days=back)).weekday() in days)
            found.append(DigestDue(number, today, _at_ms(digest, before, zone), at_ms))
    return found


def ids(alerts: AlertsFile, which: DigestDue) -> dict[str, str]:
    """The id of its message for each channel that gets it: the collector leaves out what was written already."""
    people = alerts.people(alerts.digests[which.number].channels, which.at_ms)
    return {channel: make_id(What.DIGEST, which.number, which.day.isoformat(), channel) for _, channel in people}


def digest(alerts: AlertsFile, which: DigestDue, seen: Iterable[Seen], now_ms: int) -> list[Telling]:
    """The messages of one digest, one for each channel; the same text for all of them."""
    settings = alerts.digests[which.number]
    chosen = [each for each in seen if _meant(settings, each.school)]
    title, body = _text(alerts, which, chosen, now_ms)
    return [
        Telling(
            id=number,
            uid="",
            what=What.DIGEST,
            channel=channel,
            title=title,
            body=body,
            severity=Severity.INFO,
            due_ms=now_ms,
            made_ms=now_ms,
        )
        for channel, number in ids(alerts, which).items()
    ]


def _meant(settings: Digest, school: School | None) -> bool:
    if settings.schools is None and settings.networks is None:
        return True
    if school is None:
        return False
    return (settings.schools is None or school.name in settings.schools) and (
        settings.networks is None or school.network in settings.networks
    )


def _at_ms(settings: Digest, day: date, zone: ZoneInfo) -> int:
    hour, minute = settings.at.split(":")
    return wall_ms(day, time(int(hour), int(minute)), zone)


def _text(alerts: AlertsFile, which: DigestDue, seen: Sequence[Seen], now_ms: int) -> tuple[str, str]:
    zone = zone_of(alerts.time_zone)
    open_ones: list[tuple[int, str]] = []
    fixed: list[tuple[int, str]] = []
    info: list[tuple[int, str]] = []
    unwakeable: list[tuple[int, str]] = []
    for each in seen:
        for incident in each.incidents:
            fix = clocks.fix(incident, each.clock, now_ms) if each.clock else None
            row = _line(incident, each.school, fix, zone, now_ms)
            if incident.status is Status.MERGED:
                continue
            if not incident.open:
                if which.from_ms <= incident.fixed_ms:
                    fixed.append((incident.fixed_ms, row))
            elif incident.kind is FindingKind.CANNOT_WAKE:
                unwakeable.append((incident.since_ms, row))
            elif alerts.severity_of(incident) is Severity.INFO:
                info.append((incident.since_ms, row))
            else:
                open_ones.append((fix.left_ms if fix and not fix.paused else FAR_MS, row))
    sections: Mapping[str, list[tuple[int, str]]] = {
        "Open, least time left first": open_ones,
        f"Fixed since {moment(which.from_ms, zone)}": fixed,
        "For information": info,
        "Cannot be woken": unwakeable,
    }
    title = f"Caretaker on {which.day:%A} {which.day.day} {which.day:%B}: {len(open_ones)} open, {len(fixed)} fixed"
    if len(info) + len(unwakeable):
        title += f", {len(info) + len(unwakeable)} for information"
    parts = [_section(name, rows) for name, rows in sections.items() if rows]
    return title, "\n\n".join(parts or ["Nothing is open, and nothing was fixed."]) + "\n\nMore: caretaker incidents"


def _section(name: str, rows: list[tuple[int, str]]) -> str:
    shown = [row for _, row in sorted(rows)[:MOST_LISTED]]
    more = [f"  and {len(rows) - MOST_LISTED:,} more"] if len(rows) > MOST_LISTED else []
    return "\n".join([f"{name} ({len(rows):,})", *(f"  {row}" for row in shown), *more])


def _line(incident: Incident, school: School | None, fix: Clock | None, zone: ZoneInfo, now_ms: int) -> str:
    priority = f"P{incident.priority}  " if incident.priority is not None else ""
    place = f"{school.title}: " if school else ""
    if not incident.open:
        state = f"{moment(incident.fixed_ms, zone)}, after {length(incident.fixed_ms - incident.since_ms)}"
    else:
        state = clocks.text(fix, zone, now_ms) if fix else f"since {moment(incident.since_ms, zone)}"
        who = incident.assigned or incident.acknowledged_by
        state += f"; {who}" if who else "; nobody has acknowledged it"
    return f"{incident.name}  {priority}{place}{short(incident)}; {state}"
