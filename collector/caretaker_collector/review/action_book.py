"""What was agreed in service reviews, and who hosted them: append-only in the state file.

An action is what its entries say: added, done, moved to another day, or dropped. Owners are roles, never names. Of
meetings the newest entry of a month counts; the rota writes one when a pack is made, people when it was held otherwise.
"""

import sqlite3
from collections.abc import Iterable
from datetime import date
from typing import Literal

import msgspec
from msgspec import Struct

from caretaker_contract.errors import ConfigError
from caretaker_rules.rota import Meeting

SCHEMA = """
CREATE TABLE IF NOT EXISTS review_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, school TEXT NOT NULL, at_ms INTEGER NOT NULL,
    by_whom TEXT NOT NULL, what TEXT NOT NULL, text TEXT NOT NULL, role TEXT NOT NULL DEFAULT '',
    due TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS review_actions_by_school ON review_actions (school, number, id);
CREATE TABLE IF NOT EXISTS review_meetings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, network TEXT NOT NULL, month TEXT NOT NULL, host TEXT NOT NULL,
    chair TEXT NOT NULL, at_ms INTEGER NOT NULL, by_whom TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS review_meetings_by_network ON review_meetings (network, month, id);
"""
LONGEST = 300
LONGEST_ROLE = 80
What = Literal["added", "done", "moved", "dropped"]
RULES = "rota"
"""Who writes a meeting that no person wrote."""


class Action(Struct, frozen=True, kw_only=True):
    """One action as it stands."""

    number: int
    school: str
    text: str
    role: str
    due: date
    added_ms: int
    ended_ms: int | None = None  # done or dropped; None: open
    dropped: bool = False
    note: str = ""  # of its newest entry
    moved: int = 0  # how often it was given another day

    def open_at(self, at_ms: int) -> bool:
        """Whether it was open then."""
        return self.added_ms <= at_ms and (self.ended_ms is None or self.ended_ms > at_ms)


def add(db: sqlite3.Connection, school: str, text: str, role: str, due: date, by: str, now_ms: int) -> int:
    """Write down a new action; returns its number. ConfigError when there is nothing to read, or too much."""
    text, role = _clean(text, "the action", LONGEST), _clean(role, "--role", LONGEST_ROLE)
    with _changing(db):
        number = int(db.execute("SELECT coalesce(max(number), 0) + 1 FROM review_actions").fetchone()[0])
        _append(db, number, school, "added", text, by, now_ms, role, due.isoformat())
    return number


def change(
    db: sqlite3.Connection, number: int, what: What, note: str, by: str, now_ms: int, due: date | None = None
) -> Action:
    """End an action or move it to another day; returns what it is now. ConfigError: no such action, or it has ended."""
    note = _clean(note, "--note", LONGEST) if note else ""
    with _changing(db):
        known = one(db, number)
        if known is None:
            raise ConfigError([f"{number}  no such action; `caretaker review action list SCHOOL` shows them"])
        if known.ended_ms is not None:
            raise ConfigError([f"{number}  has ended already: {known.text}"])
        _append(db, number, known.school, what, note, by, now_ms, "", due.isoformat() if due else "")
    changed = one(db, number)
    assert changed is not None
    return changed


def one(db: sqlite3.Connection, number: int) -> Action | None:
    """An action by its number."""
    found = _folded(
        db.execute(
            "SELECT number, school, at_ms, what, text, role, due FROM review_actions WHERE number = ? ORDER BY id",
            (number,),
        )
    )
    return found[0] if found else None


def listed(db: sqlite3.Connection, schools: Iterable[str]) -> list[Action]:
    """All actions of some schools, by number."""
    names = sorted(set(schools))
    found: list[Action] = []
    for name in names:
        found += _folded(
            db.execute(
                "SELECT number, school, at_ms, what, text, role, due FROM review_actions WHERE school = ? "
                "ORDER BY number, id",
                (name,),
            )
        )
    return sorted(found, key=lambda action: action.number)


def _folded(rows: Iterable[tuple[int, str, int, What, str, str, str]]) -> list[Action]:
    found: dict[int, Action] = {}
    for number, school, at_ms, what, text, role, due in rows:
        if what == "added":
            found[number] = Action(
                number=number, school=school, text=text, role=role, due=date.fromisoformat(due), added_ms=at_ms
            )
        elif what == "moved":
            known = found[number]
            found[number] = msgspec.structs.replace(
                known, due=date.fromisoformat(due), moved=known.moved + 1, note=text or known.note
            )
        else:
            found[number] = msgspec.structs.replace(
                found[number], ended_ms=at_ms, dropped=what == "dropped", note=text or found[number].note
            )
    return list(found.values())


def meetings(db: sqlite3.Connection, network: str) -> list[Meeting]:
    """The meetings of a network by month, as they were written down last."""
    rows = db.execute("SELECT month, host, chair FROM review_meetings WHERE network = ? ORDER BY id", (network,))
    found = {month: Meeting(month=month, host=host, chair=chair) for month, host, chair in rows}
    return [found[month] for month in sorted(found)]


def hold(db: sqlite3.Connection, network: str, meeting: Meeting, by: str, now_ms: int, keep: bool = False) -> None:
    """Write down a meeting. `keep`: what is written of its month already stays."""
    with _changing(db):
        known = db.execute(
            "SELECT 1 FROM review_meetings WHERE network = ? AND month = ?", (network, meeting.month)
        ).fetchone()
        if not (keep and known):
            db.execute(
                "INSERT INTO review_meetings (network, month, host, chair, at_ms, by_whom) VALUES (?, ?, ?, ?, ?, ?)",
                (network, meeting.month, meeting.host, meeting.chair, now_ms, by),
            )


def _append(
    db: sqlite3.Connection, number: int, school: str, what: What, text: str, by: str, now_ms: int, role: str, due: str
) -> None:
    db.execute(
        "INSERT INTO review_actions (number, school, at_ms, by_whom, what, text, role, due) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, school, now_ms, by, what, text, role, due),
    )


def _clean(text: str, what: str, most: int) -> str:
    """One line of text. ConfigError when it is empty or too long."""
    words = " ".join(text.split())
    if not words:
        raise ConfigError([f"{what}  is empty; say it in a few words"])
    if len(words) > most:
        raise ConfigError([f"{what}  has {len(words)} characters; {most} at most"])
    return words


class _changing:
    """One transaction, taken back when anything is raised within it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *rest: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
