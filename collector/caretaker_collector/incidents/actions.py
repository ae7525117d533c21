"""What people do to incidents: one function for each action, of (db, estate, number, who, text, now).

The command line and the HTTP API do the same things here. Each returns the entry that it wrote, or None where it was so
already; ConfigError says what cannot be done, and what can. Nothing is changed or deleted: entries are appended.
"""

import hashlib
import sqlite3

from caretaker_collector.incidents import book as incident_book
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_rules.alert_steps.track import priority_for
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened, Status
from caretaker_rules.model import Estate
from caretaker_rules.service import Places
from caretaker_rules.service_hours import ServiceClock

LONGEST_TEXT = 2_000


def one(db: sqlite3.Connection, number: int) -> Incident:
    """The incident of this number. ConfigError when there is none."""
    incident = incident_book.one(db, number)
    if incident is None:
        newest = db.execute("SELECT max(number) FROM incidents").fetchone()[0]
        known = f"the newest is INC-{newest}" if newest else "there are none yet"
        raise ConfigError([f"INC-{number}  no such incident; {known}; `caretaker incidents --all` lists them"])
    return incident


def acknowledge(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """Somebody has seen it: the response clock ends, and nobody is reminded any more."""
    incident = _open(db, number)
    if incident.acknowledged_ms:
        return None
    return _append(db, incident, Action.ACKNOWLEDGED, who, text, now_ms)


def assign(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """`text`, a role or a member of staff, works on it from now on."""
    incident = _open(db, number)
    if not text.strip():
        raise ConfigError([f"{incident.name}  say to whom: a role or a member of staff"])
    if incident.assigned == text.strip():
        return None
    return _append(db, incident, Action.ASSIGNED, who, text, now_ms)


def note(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """Something to keep with it, also when it is over."""
    incident = one(db, number)
    if not text.strip():
        raise ConfigError([f"{incident.name}  a note needs a text"])
    return _append(db, incident, Action.NOTED, who, text, now_ms)


def pause(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """It waits for the customer, and so do its clocks: the reason has to be on record."""
    incident = _open(db, number)
    if not text.strip():
        raise ConfigError([f"{incident.name}  say what it waits for: only waiting for the customer stops a clock"])
    if incident.status is Status.PAUSED:
        return None
    return _append(db, incident, Action.PAUSED, who, text, now_ms)


def resume(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """It waits no longer."""
    incident = _open(db, number)
    if incident.status is not Status.PAUSED:
        return None
    return _append(db, incident, Action.RESUMED, who, text, now_ms)


def fix(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """It is over. What rules still see after a quarter of an hour they open again."""
    incident = one(db, number)
    if incident.status is Status.FIXED:
        return None
    if incident.status is Status.MERGED:
        _open(db, number)
    return _append(db, incident, Action.FIXED, who, text, now_ms, when_ms=now_ms)


def merge(db: sqlite3.Connection, estate: Estate, number: int, who: str, into: int, now_ms: int) -> Entry | None:
    """It goes on as part of the incident `into`, of the same school."""
    incident, other = _open(db, number), _open(db, into)
    if incident.uid == other.uid:
        raise ConfigError([f"{incident.name}  cannot be merged into itself"])
    if incident.subject.school != other.subject.school:
        here, there = (one.subject.school or "Caretaker itself" for one in (incident, other))
        raise ConfigError([f"{other.name}  is of {there}, not of {here}: only incidents of one school are merged"])
    return _append(db, incident, Action.MERGED, who, other.uid, now_ms)


def ticket(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> Entry | None:
    """It has a number at another desk: "zammad:4711"."""
    incident = one(db, number)
    if text in incident.tickets:
        return None
    return _append(db, incident, Action.TICKET, who, text, now_ms)


def report(db: sqlite3.Connection, estate: Estate, where: Scope, who: str, text: str, now_ms: int) -> Incident:
    """Open an incident that no rule can see ("the projector stays dark"): only people can fix it again."""
    if where.school not in estate.schools:
        known = ", ".join(sorted(estate.schools))
        raise ConfigError([f"{where.school}  no such school; there are: {known}"])
    if not text.strip():
        raise ConfigError([f"{where}  say what is wrong"])
    school = estate.schools[where.school]
    subject = Subject(where.school, where.room or "", where.device or "")
    devices = {device.name: device for device in estate.devices.values() if device.school == where.school}
    level = ServiceClock.of(school, estate.service).level_at(now_ms)
    always_on = [name for name, known in estate.classes.items() if known.always_on]
    priority, impact, alternative = priority_for(level, subject, (), devices, Places(devices, always_on))
    title = text.strip()[:LONGEST_TEXT]
    opened = Opened(
        kind=FindingKind.REPORTED,
        subject=subject,
        title=title,
        since_ms=now_ms,
        priority=priority,
        impact=impact,
        alternative=alternative,
    )
    told = f"{FindingKind.REPORTED.value} {subject} {now_ms} {title}"
    uid = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    incident_book.append(db, Entry(uid=uid, at_ms=now_ms, by=who, action=Action.OPENED, opened=opened))
    return one(db, int(db.execute("SELECT number FROM incidents WHERE uid = ?", (uid,)).fetchone()[0]))


def _open(db: sqlite3.Connection, number: int) -> Incident:
    incident = one(db, number)
    if incident.status is Status.MERGED:
        into = incident_book.of_uid(db, incident.merged_into)
        goes_on = f"; it goes on as {into.name}" if into is not None else ""
        raise ConfigError([f"{incident.name}  is merged{goes_on}"])
    if not incident.open:
        raise ConfigError([f"{incident.name}  is fixed already; if it comes back, it is opened again"])
    return incident


def _append(
    db: sqlite3.Connection, incident: Incident, action: Action, who: str, text: str, now_ms: int, when_ms: int = 0
) -> Entry:
    kept = text.strip()[:LONGEST_TEXT]
    entry = Entry(uid=incident.uid, at_ms=now_ms, by=who, action=action, text=kept, when_ms=when_ms)
    incident_book.append(db, entry)
    return entry
