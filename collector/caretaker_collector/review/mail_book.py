"""Which mail goes to which reader with which pack, in the state file. That it was sent is known to the outbox.

The row is written together with the message; the message's id is made from it, so neither is there twice.
"""

import sqlite3

from msgspec import Struct

SCHEMA = """
CREATE TABLE IF NOT EXISTS pack_mails (
    id TEXT PRIMARY KEY, place TEXT NOT NULL, period TEXT NOT NULL, revision INTEGER NOT NULL, role TEXT NOT NULL,
    address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pack_mails_by_pack ON pack_mails (place, period, address);
"""


class PackMail(Struct, frozen=True):
    """One mail with one revision of a pack, for one address of a role."""

    id: str  # of the message in the outbox
    place: str
    period: str
    revision: int
    role: str
    address: str


def one(db: sqlite3.Connection, id_: str) -> PackMail | None:
    """The mail of a message; None: the message is none of these."""
    row = db.execute("SELECT * FROM pack_mails WHERE id = ?", (id_,)).fetchone()
    return None if row is None else PackMail(*row)


def of_pack(db: sqlite3.Connection, place: str, period: str) -> list[PackMail]:
    """Every mail with a revision of this pack, the oldest revision first."""
    rows = db.execute(
        "SELECT * FROM pack_mails WHERE place = ? AND period = ? ORDER BY revision, role, address", (place, period)
    )
    return [PackMail(*row) for row in rows]


def add(db: sqlite3.Connection, mail: PackMail) -> None:
    """Part of the caller's transaction."""
    db.execute(
        "INSERT OR IGNORE INTO pack_mails VALUES (?, ?, ?, ?, ?, ?)",
        (mail.id, mail.place, mail.period, mail.revision, mail.role, mail.address),
    )
