"""The audit log: who did what, from where, and what came of it. Appended to, never changed.

People's actions, sign-ins and refusals, changes of accounts and tokens. No password, token, cookie or address of a
person is ever in it.
"""

import sqlite3

from msgspec import Struct

from caretaker_rules.roles import Who

SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, what TEXT NOT NULL,
    school TEXT NOT NULL, place TEXT NOT NULL, text TEXT NOT NULL, outcome TEXT NOT NULL, link TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_by_school ON audit (school, number);
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


def listed(db: sqlite3.Connection, school: str = "", before: int | None = None, limit: int = 100) -> list[Line]:
    """The newest first; of one school when it is given."""
    rows = db.execute(
        "SELECT number, at_ms, who, via, what, school, place, text, outcome, link FROM audit "
        "WHERE (? = '' OR school = ?) AND number < ? ORDER BY number DESC LIMIT ?",
        (school, school, 2**62 if before is None else before, limit),
    )
    return [
        Line(
            number=number,
            at_ms=at_ms,
            who=who,
            via=via,
            what=what,
            school=of_school,
            place=place,
            text=text,
            outcome=outcome,
            link=link,
        )
        for number, at_ms, who, via, what, of_school, place, text, outcome, link in rows
    ]
