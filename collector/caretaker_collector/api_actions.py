"""What is done to incidents by people: each action a function of (db, estate, number, who, text, now).

Doing a thing twice changes nothing where that makes sense (acknowledge, assign, pause, resume, fix). ConfigError says
why something cannot be done.
"""

import hashlib
import sqlite3
from typing import Any

from caretaker_collector import incident_book
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened, Status
from caretaker_rules.model import Estate


def _incident(db: sqlite3.Connection, number: int) -> Incident:
    incident = incident_book.one(db, number)
    if incident is None:
        raise ConfigError([f"INC-{number}  no such incident"])
    return incident


def _open(db: sqlite3.Connection, number: int) -> Incident:
    incident = _incident(db, number)
    if not incident.open:
        raise ConfigError([f"{incident.name}  is {incident.status.value}: this can be done to an open incident only"])
    return incident


def _append(db: sqlite3.Connection, incident: Incident, who: str, now_ms: int, action: Action, **more: Any) -> None:
    incident_book.append(db, Entry(uid=incident.uid, at_ms=now_ms, by=who, action=action, **more))


def acknowledge(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """Somebody has seen it."""
    incident = _open(db, number)
    if not incident.acknowledged_ms:
        _append(db, incident, who, now_ms, Action.ACKNOWLEDGED, text=text)


def assign(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """`text` works on it from now on."""
    incident = _open(db, number)
    if incident.assigned != text:
        _append(db, incident, who, now_ms, Action.ASSIGNED, text=text)


def note(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """Something to keep with it, also when it is over."""
    _append(db, _incident(db, number), who, now_ms, Action.NOTED, text=text)


def pause(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """It waits for the customer."""
    incident = _open(db, number)
    if incident.status is not Status.PAUSED:
        _append(db, incident, who, now_ms, Action.PAUSED, text=text)


def resume(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """It waits no longer."""
    incident = _open(db, number)
    if incident.status is Status.PAUSED:
        _append(db, incident, who, now_ms, Action.RESUMED, text=text)


def fix(db: sqlite3.Connection, estate: Estate, number: int, who: str, text: str, now_ms: int) -> None:
    """It is over."""
    incident = _incident(db, number)
    if incident.status is Status.MERGED:
        _open(db, number)
    if incident.open:
        _append(db, incident, who, now_ms, Action.FIXED, text=text, when_ms=now_ms)


def merge(db: sqlite3.Connection, estate: Estate, number: int, who: str, into: int, now_ms: int) -> None:
    """It goes on in the incident `into`, of the same school."""
    incident, other = _open(db, number), _open(db, into)
    if incident.uid == other.uid:
        raise ConfigError([f"{incident.name}  cannot be merged into itself"])
    if incident.subject.school != other.subject.school:
        raise ConfigError([f"{other.name}  is not of the same school"])
    _append(db, incident, who, now_ms, Action.MERGED, text=other.uid)


def report(
    db: sqlite3.Connection, estate: Estate, school: str, room: str, device: str, title: str, who: str, now_ms: int
) -> int:
    """Open an incident that no rule can see; returns its number."""
    if school not in estate.schools:
        raise ConfigError([f"{school}  no such school"])
    rooms = {each.name for each in estate.schools[school].rooms}
    if room and room not in rooms:
        raise ConfigError([f"{school}/{room}  no such room"])
    if device and Address(school, device) not in estate.devices:
        raise ConfigError([f"{school}/{device}  no such device"])
    subject = Subject(school, room, device)
    uid = "r" + hashlib.blake2b(f"{subject}|{title}|{now_ms}".encode(), digest_size=12).hexdigest()
    opened = Opened(kind=FindingKind.REPORTED, subject=subject, title=title, since_ms=now_ms)
    incident_book.append(db, Entry(uid=uid, at_ms=now_ms, by=who, action=Action.OPENED, opened=opened))
    return int(db.execute("SELECT number FROM incidents WHERE uid = ?", (uid,)).fetchone()[0])
