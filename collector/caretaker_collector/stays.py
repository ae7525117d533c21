""" "We are still here": the holds that somebody in a room asked for, at a machine or by its link; and these links.

They are holds like any other (records.py): listed, ended early, shown by `caretaker why`. `asked_key` tells them from
those that an operator made, and makes a request that is read twice one hold. A link is a random word that stands for
one room; whoever has it may ask for that room, and it can be taken back.
"""

import secrets
import sqlite3
from typing import Final

from msgspec import Struct

from caretaker_collector import audit
from caretaker_rules.model import Hold
from caretaker_rules.roles import Via

REASON: Final = "still here"
BY_LINK: Final = "somebody with the link of {place}"
AT_MACHINE: Final = "somebody at {place}"
AGAIN_MS: Final = 300_000
"""A link makes no second hold of its room so soon."""

Write = tuple[str, tuple[object, ...]]


class Kept(Struct, frozen=True, kw_only=True):
    """What became of a request by link. `until_ms` 0: no hold stands, because the newest was ended early just now."""

    school: str
    room: str
    until_ms: int
    new: bool


def standing_ms(db: sqlite3.Connection, school: str, room: str, now_ms: int) -> int:
    """Until when the room is kept on because somebody in it asked; 0: it is not."""
    row = db.execute(
        "SELECT max(until_ms) FROM holds WHERE asked_key IS NOT NULL AND school = ? AND room = ? AND ended_ms IS NULL "
        "AND from_ms <= ? AND until_ms > ?",
        (school, room, now_ms, now_ms),
    ).fetchone()
    return int(row[0] or 0)


def asked(key: str, hold: Hold, by: str, now_ms: int) -> Write:
    """The statement that writes a hold down, once for each key."""
    return (
        "INSERT INTO holds (kind, school, room, from_ms, until_ms, reason, made_ms, by_whom, asked_key) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM holds WHERE asked_key = ?)",
        (hold.kind, hold.school, hold.room, hold.from_ms, hold.until_ms, hold.reason, now_ms, by, key, key),
    )


def noted(hold: Hold, by: str, via: Via, now_ms: int) -> Write:
    """The statement that writes it into the audit log, right behind the one that writes the hold down, if that did."""
    return (
        "INSERT INTO audit (at_ms, who, via, what, school, place, text, outcome, link) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, '/records/' || last_insert_rowid() WHERE changes() > 0",
        (now_ms, by, via, hold.kind, hold.school, f"{hold.school}/{hold.room}", hold.reason, audit.DONE),
    )


def hold_of_room(school: str, room: str, from_ms: int, until_ms: int) -> Hold:
    """The hold that somebody in a room asks for; it has no number before it is written."""
    return Hold(
        id=0, kind="hold", school=school, room=room, device=None, from_ms=from_ms, until_ms=until_ms, reason=REASON
    )


def known_link(db: sqlite3.Connection, school: str, room: str) -> str | None:
    """The word of a room's link that stands; None: it has none."""
    query = "SELECT token FROM stay_links WHERE school = ? AND room = ? AND revoked_ms IS NULL"
    row = db.execute(query, (school, room)).fetchone()
    return str(row[0]) if row else None


def has_link(db: sqlite3.Connection, school: str, room: str) -> bool:
    """Whether the room has a link that works."""
    query = "SELECT 1 FROM stay_links WHERE school = ? AND room = ? AND revoked_ms IS NULL"
    return db.execute(query, (school, room)).fetchone() is not None


def link_of(db: sqlite3.Connection, school: str, room: str, now_ms: int) -> str:
    """The word of a room's link: the one that stands, else a new one."""
    known = known_link(db, school, room)
    if known is not None:
        return known
    token = secrets.token_urlsafe(16)
    db.execute(
        "INSERT INTO stay_links (token, school, room, made_ms) VALUES (?, ?, ?, ?)", (token, school, room, now_ms)
    )
    return token


def revoke(db: sqlite3.Connection, school: str, room: str, now_ms: int) -> bool:
    """Take the link of a room back, for good; False when there was none."""
    query = "UPDATE stay_links SET revoked_ms = ? WHERE school = ? AND room = ? AND revoked_ms IS NULL"
    return bool(db.execute(query, (now_ms, school, room)).rowcount)


def place_of(db: sqlite3.Connection, token: str) -> tuple[str, str] | None:
    """(school, room) that a link stands for; None: for none, or not any more."""
    row = db.execute("SELECT school, room FROM stay_links WHERE token = ? AND revoked_ms IS NULL", (token,)).fetchone()
    return (row[0], row[1]) if row else None


def ask_by_link(db: sqlite3.Connection, token: str, stay_ms: int, now_ms: int) -> Kept | None:
    """Keep the room of a link on from now on, unless that was asked a moment ago. None: no such link.

    In one transaction, so that two who press at once make one hold.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        place = place_of(db, token)
        if place is None:
            return None
        school, room = place
        until_ms = standing_ms(db, school, room, now_ms)
        if until_ms >= now_ms + stay_ms or _asked_since(db, school, room, now_ms):
            return Kept(school=school, room=room, until_ms=until_ms, new=False)
        hold = hold_of_room(school, room, now_ms, now_ms + stay_ms)
        by = BY_LINK.format(place=f"{school}/{room}")
        db.execute(*asked(f"link|{school}|{room}|{now_ms}", hold, by, now_ms))
        db.execute(*noted(hold, by, "link", now_ms))
        return Kept(school=school, room=room, until_ms=hold.until_ms, new=True)
    finally:
        db.execute("COMMIT")


def _asked_since(db: sqlite3.Connection, school: str, room: str, now_ms: int) -> bool:
    query = "SELECT 1 FROM holds WHERE asked_key IS NOT NULL AND school = ? AND room = ? AND made_ms BETWEEN ? AND ?"
    return db.execute(query, (school, room, now_ms - AGAIN_MS + 1, now_ms)).fetchone() is not None
