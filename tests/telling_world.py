"""Incidents and messages for the tests of those who tell people."""

import sqlite3
from pathlib import Path

from caretaker_collector import state
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import tellings as telling_book
from caretaker_collector.notify import outbox
from caretaker_rules.alerting import Telling
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened

NOW_MS = 1_791_000_000_000


def open_world(folder: Path) -> sqlite3.Connection:
    """A state file as the collector opens it."""
    return state.open_state(folder / "state.db")


def make_incident(
    db: sqlite3.Connection,
    uid: str = "lost ash/ict1-07 1791",
    device: str = "ict1-07",
    kind: FindingKind = FindingKind.LOST,
    priority: int | None = 2,
    at_ms: int = NOW_MS,
    school: str = "ash",
) -> Incident:
    """One that rules have opened."""
    subject = Subject(school, "", device)
    opened = Opened(
        kind=kind, subject=subject, title=f"{subject} is not heard any more", since_ms=at_ms, priority=priority
    )
    incident_book.append(db, Entry(uid=uid, at_ms=at_ms, by="rules", action=Action.OPENED, opened=opened))
    incident = outbox.incident_of(db, uid)
    assert incident is not None
    return incident


def fixed(db: sqlite3.Connection, uid: str, at_ms: int = NOW_MS) -> None:
    """It is over."""
    incident_book.append(db, Entry(uid=uid, at_ms=at_ms, by="rules", action=Action.FIXED, when_ms=at_ms))


def telling(
    what: str = "opened",
    uid: str = "lost ash/ict1-07 1791",
    channel: str = "desk",
    at_ms: int = NOW_MS,
    title: str = "ash/ict1-07 is not heard any more",
    body: str = "In room ICT suite 1 since 09:00.\nPriority 2.",
    id_: str | None = None,
) -> Telling:
    """A message."""
    return Telling(
        id=id_ or f"{what}-{channel}-{abs(hash(uid)) % 10**8}-{at_ms}",
        uid=uid,
        what=what,
        channel=channel,
        title=title,
        body=body,
        severity="critical",
        due_ms=at_ms,
        made_ms=at_ms,
    )


def put(db: sqlite3.Connection, *tellings: Telling) -> None:
    """Hand messages to the notifier, as rules do."""
    for each in tellings:
        for statement, values in telling_book.write(each):
            db.execute(statement, values)


def status_of(db: sqlite3.Connection, id_: str) -> tuple[str, int, str]:
    """Status, attempts and answer of a message."""
    row = db.execute("SELECT status, attempts, answer FROM tellings WHERE id = ?", (id_,)).fetchone()
    return str(row[0]), int(row[1]), str(row[2])
