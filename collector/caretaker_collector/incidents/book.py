"""The log of incidents in the state file: append-only; what an incident is now is folded from it.

Rules write within a batch's transaction (`write`), people through `append`; both may write at the same time.
"""

import sqlite3
from collections.abc import Iterable
from itertools import groupby

import msgspec

from caretaker_rules.incidents import Action, Entry, Incident, after, fold

SCHEMA = """
CREATE TABLE IF NOT EXISTS incidents (
    uid TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, school TEXT NOT NULL, opened_ms INTEGER NOT NULL,
    closed_ms INTEGER, merged INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incidents_by_school ON incidents (school, opened_ms);
CREATE INDEX IF NOT EXISTS incidents_open ON incidents (school, number) WHERE closed_ms IS NULL;
CREATE INDEX IF NOT EXISTS incidents_closed ON incidents (closed_ms) WHERE closed_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS incident_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, at_ms INTEGER NOT NULL, action TEXT NOT NULL,
    entry BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS incident_log_by_uid ON incident_log (uid, id);
"""
Write = tuple[str, tuple[object, ...]]
"""An SQL statement with its values."""
PRUNE_MS = 3_600_000
_entry = msgspec.json.Decoder(Entry).decode
_CLOSING = {
    Action.FIXED: "UPDATE incidents SET closed_ms = ? WHERE uid = ? AND closed_ms IS NULL",
    Action.MERGED: "UPDATE incidents SET closed_ms = ?, merged = 1 WHERE uid = ? AND closed_ms IS NULL",
    Action.REOPENED: "UPDATE incidents SET closed_ms = NULL WHERE ? AND uid = ? AND NOT merged",
}
"""`closed_ms` follows the log, by the same rules as the fold: what is open is found without reading what is not."""


def write(entry: Entry) -> list[Write]:
    """The statements that append an entry; an opening also gives the incident the next number."""
    statements: list[Write] = []
    if entry.action is Action.OPENED and entry.opened is not None:
        statements.append(
            (
                "INSERT INTO incidents (uid, number, school, opened_ms) "
                "SELECT ?, coalesce(max(number), 0) + 1, ?, ? FROM incidents",
                (entry.uid, entry.opened.subject.school, entry.at_ms),
            )
        )
    statements.append(
        (
            "INSERT INTO incident_log (uid, at_ms, action, entry) VALUES (?, ?, ?, ?)",
            (entry.uid, entry.at_ms, entry.action.value, msgspec.json.encode(entry)),
        )
    )
    if entry.action in _CLOSING:
        statements.append((_CLOSING[entry.action], (entry.at_ms, entry.uid)))
    return statements


def append(db: sqlite3.Connection, *entries: Entry) -> None:
    """Append entries in one transaction: the caller's if there is one, else one of their own."""
    statements = [statement for entry in entries for statement in write(entry)]
    if db.in_transaction:
        for statement, values in statements:
            db.execute(statement, values)
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in statements:
            db.execute(statement, values)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def log_of(db: sqlite3.Connection, uid: str) -> list[Entry]:
    """All that was ever written of an incident, in order."""
    rows = db.execute("SELECT entry FROM incident_log WHERE uid = ? ORDER BY id", (uid,))
    return [_entry(blob) for (blob,) in rows]


def one(db: sqlite3.Connection, number: int) -> Incident | None:
    """The incident of this number ("INC-12" is 12)."""
    row = db.execute("SELECT uid FROM incidents WHERE number = ?", (number,)).fetchone()
    return fold(number, log_of(db, row[0])) if row else None


def of_uid(db: sqlite3.Connection, uid: str) -> Incident | None:
    """The incident of this uid."""
    row = db.execute("SELECT number FROM incidents WHERE uid = ?", (uid,)).fetchone()
    return fold(row[0], log_of(db, uid)) if row else None


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


def open_ones(db: sqlite3.Connection, school: str | None = None) -> list[Incident]:
    """What is open, the oldest first; `school` None: everywhere, "": of Caretaker itself. Old ones cost nothing."""
    where = "i.closed_ms IS NULL" + ("" if school is None else " AND i.school = ?")
    return _folded(db, where, () if school is None else (school,))


def closed_since(db: sqlite3.Connection, from_ms: int) -> list[Incident]:
    """What was fixed or merged at `from_ms` or later, by number."""
    return _folded(db, "i.closed_ms >= ?", (from_ms,))


def _folded(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Incident]:
    rows = db.execute(
        "SELECT i.number, l.entry FROM incidents i JOIN incident_log l ON l.uid = i.uid "  # noqa: S608 (our own words)
        f"WHERE {where} ORDER BY +i.number, l.id",  # the plus keeps it from reading all of them in order of number
        values,
    )
    return [
        fold(number, [_entry(blob) for _, blob in group]) for number, group in groupby(rows, key=lambda row: row[0])
    ]


class Follower:
    """All open incidents, and those closed lately, kept up with the log: people write into it, too.

    Nothing is taken into it that is not in the file, so it is right whether or not a batch could be kept.
    """

    def __init__(self, db: sqlite3.Connection, keep_ms: int, from_id: int = 0) -> None:
        self._db = db
        self._keep_ms = keep_ms
        self._from_id = from_id  # what was written behind this entry is news at the first time
        self._last = -1  # id of the newest entry that was read; -1: nothing was
        self._schools: dict[str, dict[str, Incident]] = {}  # by school and uid
        self._where: dict[str, str] = {}  # uid -> school
        self._pruned_ms = 0

    def of(self, school: str) -> dict[str, Incident]:
        """Those of a school by uid, as of the last `refresh`; a copy. "": of Caretaker itself."""
        return dict(self._schools.get(school, {}))

    def refresh(self, now_ms: int) -> list[tuple[int, Entry, Incident]]:
        """Read what is new; returns each new entry with its id and the incident after it."""
        first = self._last < 0
        if first:
            for incident in (*open_ones(self._db), *closed_since(self._db, now_ms - self._keep_ms)):
                self._keep(incident)
            self._last = self._from_id
        news = []
        for number, uid, blob in self._db.execute(
            "SELECT id, uid, entry FROM incident_log WHERE id > ? ORDER BY id", (self._last,)
        ).fetchall():
            self._last = number
            entry = _entry(blob)
            known = None if first else self._schools.get(self._where.get(uid, ""), {}).get(uid)
            incident_then = after(known, entry) if known is not None else self._as_of(uid, number)
            if incident_then is not None:
                self._keep(incident_then)
                news.append((number, entry, incident_then))
        if now_ms - self._pruned_ms >= PRUNE_MS:
            self._prune(now_ms)
        return news

    def _as_of(self, uid: str, last: int) -> Incident | None:
        """An incident that is new, or was closed so long ago that it was forgotten, as it was after an entry."""
        row = self._db.execute("SELECT number FROM incidents WHERE uid = ?", (uid,)).fetchone()
        if row is None:
            return None
        rows = self._db.execute("SELECT entry FROM incident_log WHERE uid = ? AND id <= ? ORDER BY id", (uid, last))
        return fold(row[0], [_entry(blob) for (blob,) in rows])

    def _keep(self, incident: Incident) -> None:
        self._schools.setdefault(incident.subject.school, {})[incident.uid] = incident
        self._where[incident.uid] = incident.subject.school

    def _prune(self, now_ms: int) -> None:
        self._pruned_ms = now_ms
        for incidents in self._schools.values():
            old = [i.uid for i in incidents.values() if not i.open and now_ms - i.fixed_ms > self._keep_ms]
            for uid in old:
                del incidents[uid], self._where[uid]
