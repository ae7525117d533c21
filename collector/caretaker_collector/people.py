"""What people write into the collector's records: holds, freezes, stops. A running collector sees them at once.

Nothing is deleted: what ends keeps its row, with who may look it up later.
"""

import sqlite3

from caretaker_contract.errors import ConfigError
from caretaker_rules.model import Estate


def place(estate: Estate, text: str) -> tuple[str, str | None]:
    """(school, room) from "ash" or "ash/ict1"; ConfigError names what exists."""
    school_name, _, room = text.partition("/")
    school = estate.schools.get(school_name)
    if school is None:
        raise ConfigError([f"{text}  no school {school_name!r}; there are: {', '.join(sorted(estate.schools))}"])
    rooms = sorted(
        {r.name for r in school.rooms} | {d.room for d in estate.devices.values() if d.school == school_name}
    )
    if room and room not in rooms:
        raise ConfigError([f"{text}  no room {room!r} in {school_name}; there are: {', '.join(rooms)}"])
    return school_name, room or None


def hold(
    db: sqlite3.Connection, kind: str, school: str, room: str | None, now_ms: int, until_ms: int, reason: str
) -> int:
    """Keep a school or room on from now; returns the hold's number."""
    row = db.execute(
        "INSERT INTO holds (kind, school, room, from_ms, until_ms, reason, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, school, room, now_ms, until_ms, reason, now_ms),
    )
    return int(row.lastrowid or 0)


def stop(db: sqlite3.Connection, school: str | None, room: str | None, now_ms: int, reason: str) -> None:
    """Turn the stop switch on: from the next single send on nothing leaves for that place."""
    db.execute("INSERT INTO stops (school, room, since_ms, reason) VALUES (?, ?, ?, ?)", (school, room, now_ms, reason))


def resume(db: sqlite3.Connection, school: str | None, room: str | None, now_ms: int) -> int:
    """Turn stop switches of exactly that place off; returns how many were on."""
    return db.execute(
        "UPDATE stops SET ended_ms = ? WHERE ended_ms IS NULL AND school IS ? AND room IS ?", (now_ms, school, room)
    ).rowcount
