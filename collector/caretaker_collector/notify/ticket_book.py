"""Which ticket at which desk belongs to which incident, and who closed it. In the state file, beside the incidents.

    opening -> open -> closing -> closed          by us, when the incident is fixed
                    -> closed_at_desk             by its people: nothing is written there any more
    closed, closed_at_desk -> open                when the same incident comes back

`opening` and `closing` are written before the desk is asked, so that after a crash it is known what was under way.
"""

import sqlite3

from msgspec import Struct

from caretaker_collector.incidents import book as incident_book
from caretaker_rules.incidents import Action, Entry, Incident

SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
    channel TEXT NOT NULL, uid TEXT NOT NULL, ticket TEXT NOT NULL DEFAULT '', number TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, changed_ms INTEGER NOT NULL, checked_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, uid)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tickets_to_check ON tickets (channel, checked_ms) WHERE state = 'open';
"""
BY = "notify"
DESK = "service desk"


class Kept(Struct, frozen=True):
    """What is known of a ticket."""

    uid: str
    ticket: str
    number: str
    state: str
    changed_ms: int
    checked_ms: int


_COLUMNS = "uid, ticket, number, state, changed_ms, checked_ms"


def kept(db: sqlite3.Connection, channel: str, uid: str) -> Kept | None:
    """The ticket of an incident at a desk; None when none was ever begun."""
    row = db.execute(f"SELECT {_COLUMNS} FROM tickets WHERE channel = ? AND uid = ?", (channel, uid)).fetchone()  # noqa: S608
    return Kept(*row) if row else None


def begin(db: sqlite3.Connection, channel: str, uid: str, now_ms: int) -> None:
    """We are about to open one."""
    db.execute(
        "INSERT INTO tickets (channel, uid, state, changed_ms) VALUES (?, ?, 'opening', ?) "
        "ON CONFLICT (channel, uid) DO UPDATE SET changed_ms = excluded.changed_ms WHERE state = 'opening'",
        (channel, uid, now_ms),
    )


def opened(db: sqlite3.Connection, channel: str, uid: str, ticket: str, number: str, now_ms: int) -> None:
    """It has a number: kept here and in the incident's history, in one transaction."""
    entry = Entry(uid=uid, at_ms=now_ms, by=BY, action=Action.TICKET, text=f"{channel}:{number}")
    _together(
        db,
        [
            (
                "UPDATE tickets SET ticket = ?, number = ?, state = 'open', changed_ms = ?, checked_ms = ? "
                "WHERE channel = ? AND uid = ?",
                (ticket, number, now_ms, now_ms, channel, uid),
            ),
            *incident_book.write(entry),
        ],
    )


def set_state(db: sqlite3.Connection, channel: str, uid: str, state: str, now_ms: int) -> None:
    """closing, closed, or open again."""
    db.execute(
        "UPDATE tickets SET state = ?, changed_ms = ?, checked_ms = ? WHERE channel = ? AND uid = ?",
        (state, now_ms, now_ms, channel, uid),
    )


def checked(db: sqlite3.Connection, channel: str, uid: str, now_ms: int) -> None:
    """It was looked at, and is open still."""
    db.execute("UPDATE tickets SET checked_ms = ? WHERE channel = ? AND uid = ?", (now_ms, channel, uid))


def closed_at_desk(
    db: sqlite3.Connection, channel: str, incident: Incident, number: str, now_ms: int, how: str
) -> None:
    """The desk's own people closed it: a note, and somebody has seen the incident. It stays open while it is wrong."""
    entries = [Entry(uid=incident.uid, at_ms=now_ms, by=DESK, action=Action.NOTED, text=f"{how} ({channel} {number})")]
    if incident.open and not incident.acknowledged_ms:
        entries.append(Entry(uid=incident.uid, at_ms=now_ms, by=DESK, action=Action.ACKNOWLEDGED))
    _together(
        db,
        [
            (
                "UPDATE tickets SET state = 'closed_at_desk', changed_ms = ?, checked_ms = ? "
                "WHERE channel = ? AND uid = ?",
                (now_ms, now_ms, channel, incident.uid),
            ),
            *(statement for entry in entries for statement in incident_book.write(entry)),
        ],
    )


def to_check(db: sqlite3.Connection, channel: str, before_ms: int, at_most: int) -> list[Kept]:
    """Tickets that are open as far as we know and were not looked at since then; the longest ago first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM tickets WHERE channel = ? AND state = 'open' AND checked_ms < ? "  # noqa: S608
        "ORDER BY checked_ms LIMIT ?",
        (channel, before_ms, at_most),
    )
    return [Kept(*row) for row in rows]


def _together(db: sqlite3.Connection, writes: list[incident_book.Write]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in writes:
            db.execute(statement, values)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
