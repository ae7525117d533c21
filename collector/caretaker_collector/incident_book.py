"""The log of incidents in the state file: append-only; what an incident is now is folded from it.

Rules write within a batch's transaction (`write`), people through `append`; both may write at the same time.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from caretaker_rules.incidents import Action, Entry, Incident, fold

SCHEMA = """
CREATE TABLE IF NOT EXISTS incidents (
    uid TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, school TEXT NOT NULL, opened_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incidents_by_school ON incidents (school, opened_ms);
CREATE TABLE IF NOT EXISTS incident_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, at_ms INTEGER NOT NULL, action TEXT NOT NULL,
    entry BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS incident_log_by_uid ON incident_log (uid, id);
"""
Write = tuple[str, tuple[object, ...]]
"""An SQL statement with its values."""


def write(entry: Entry) -> list[Write]:
    """The statements that append an entry; an opening also gives the incident the next number."""
    statements: list[Write] = []
    if entry.action is Action.OPENED and entry.opened is not None:
        statements.append(
            (
                "INSERT INTO incidents SELECT ?, coalesce(max(number), 0) + 1, ?, ? FROM incidents",
                (entry.uid, entry.opened.subject.school, entry.at_ms),
            )
        )
    statements.append(
        (
            "INSERT INTO incident_log (uid, at_ms, action, entry) VALUES (?, ?, ?, ?)",
            (entry.uid, entry.at_ms, entry.action.value, msgspec.json.encode(entry)),
        )
    )
    return statements


def append(db: sqlite3.Connection, *entries: Entry) -> None:
    """Append entries in one transaction of their own."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for entry in entries:
            for statement, values in write(entry):
                db.execute(statement, values)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def log_of(db: sqlite3.Connection, uid: str) -> list[Entry]:
    """All that was ever written of an incident, in order."""
    rows = db.execute("SELECT entry FROM incident_log WHERE uid = ? ORDER BY id", (uid,))
    return [msgspec.json.decode(blob, type=Entry) for (blob,) in rows]


def one(db: sqlite3.Connection, number: int) -> Incident | None:
    """The incident of this number ("INC-12" is 12)."""
    row = db.execute("SELECT uid FROM incidents WHERE number = ?", (number,)).fetchone()
    return fold(number, log_of(db, row[0])) if row else None


def listed(
    db: sqlite3.Connection, school: str | None = None, from_ms: int = 0, until_ms: int = 2**62
) -> Iterable[Incident]:
    """Incidents opened in [from_ms, until_ms), the oldest first; `school` None: of all, "": of Caretaker itself."""
    rows = db.execute(
        "SELECT uid, number FROM incidents WHERE (? IS NULL OR school = ?) AND opened_ms >= ? AND opened_ms < ? "
        "ORDER BY opened_ms, number",
        (school, school, from_ms, until_ms),
    ).fetchall()
    for uid, number in rows:
        yield fold(number, log_of(db, uid))
