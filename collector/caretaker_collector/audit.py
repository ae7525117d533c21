"""The audit log: who did what, from where, and what came of it. Appended to, never changed.

People's actions, sign-ins and refusals, changes of accounts and tokens. No password, token, cookie or address of a
person is ever in it.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from caretaker_rules.roles import Who

SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, what TEXT NOT NULL,
    school TEXT NOT NULL, place TEXT NOT NULL, text TEXT NOT NULL, outcome TEXT NOT NULL, link TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_by_school ON audit (school, number);
CREATE INDEX IF NOT EXISTS audit_by_link ON audit (link, number);
"""
LONGEST = 500
DONE = "done"


class Line(Struct, frozen=True, kw_only=True):
    """One entry. `school` "": of the whole estate; `link`: a path of the desk, or "" """

    number: int
    at_ms: int
    who: str
    via: str
    what: str  # the action: hold, acknowledge, sign in
    school: str
    place: str
    text: str  # the reason that was given, and the like
    outcome: str  # done; refused: why
    link: str


def append(
    db: sqlite3.Connection,
    who: Who,
    what: str,
    now_ms: int,
    *,
    school: str = "",
    place: str = "",
    text: str = "",
    outcome: str = DONE,
    link: str = "",
) -> None:
    """Write down what was done, or tried. Part of the caller's transaction."""
    db.execute(
        "INSERT INTO audit (at_ms, who, via, what, school, place, text, outcome, link) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now_ms, who.name[:80], who.via, what, school, place[:200], text[:LONGEST], outcome[:LONGEST], link),
    )


_COLUMNS = "number, at_ms, who, via, what, school, place, text, outcome, link"


def listed(
    db: sqlite3.Connection, school: str = "", before: int | None = None, limit: int = 100, since_ms: int = 0
) -> list[Line]:
    """The newest first; of one school when it is given, and not older than `since_ms`."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE (? = '' OR school = ?) AND number < ? AND at_ms >= ? "  # noqa: S608
        "ORDER BY number DESC LIMIT ?",
        (school, school, 2**62 if before is None else before, since_ms, limit),
    )
    return [_line(row) for row in rows]


def of_link(db: sqlite3.Connection, link: str, limit: int = 100) -> list[Line]:
    """What was done to one thing, by the page where it is on record ("/records/7"); the newest first."""
    query = f"SELECT {_COLUMNS} FROM audit WHERE link = ? ORDER BY number DESC LIMIT ?"  # noqa: S608 (our own names)
    return [_line(row) for row in db.execute(query, (link, limit))]


def _line(row: Sequence[Any]) -> Line:
    return Line(**dict(zip(Line.__struct_fields__, row, strict=True)))
