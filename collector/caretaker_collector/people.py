"""What people type, and the stop switch. A running collector sees a stop at once.

Nothing is deleted: what ends keeps its row, so that it can be looked up later.
"""

import sqlite3
from zoneinfo import ZoneInfo

from caretaker_collector import why
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate, Stop


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


def scope(estate: Estate, text: str, device_class: str | None = None) -> Scope:
    """The machines of "ash", "ash/ict1", "ash/ict1-07" or "ash/ict1/ict1-07", of one class if it is given.

    A name that is both a room and a machine means the room; the long form means the machine. ConfigError names what
    exists.
    """
    if device_class is not None and device_class not in estate.classes:
        known = ", ".join(sorted(estate.classes))
        raise ConfigError([f"--class {device_class}  no such class; there are: {known}"])
    school, _, rest = text.partition("/")
    middle, _, name = rest.partition("/")
    device = estate.devices.get(Address(school, name or middle))
    rooms = {room.name for room in estate.schools[school].rooms} if school in estate.schools else set()
    rooms |= {known.room for known in estate.devices.values() if known.school == school}
    if device is not None and (name or middle not in rooms):
        if name and device.room != middle:
            raise ConfigError([f"{text}  {name} stands in room {device.room}, not in {middle}"])
        return Scope(school=school, room=device.room, device=device.name, device_class=device_class)
    if name:
        raise ConfigError([f"{text}  no machine {name!r} in {school}; the register of the school names them all"])
    school, room = place(estate, text)
    return Scope(school=school, room=room, device_class=device_class)


def who(text: str) -> str:
    """A role or a member of staff as it goes on record; ConfigError when it is none."""
    if not 1 <= len(text.strip()) <= 40 or not text.isprintable():
        raise ConfigError([f"--by {text!r}  give a role or a member of staff in 40 letters at most, such as: engineer"])
    return text.strip()


def moment(option: str, text: str, after_ms: int, zone: ZoneInfo) -> int:
    """UTC ms of a local "18:00" (the next one after `after_ms`) or "2026-10-06 18:00"; ConfigError when it is none."""
    try:
        for hours in range(27):  # the longest day has 25
            at_ms = why.read_time(text, after_ms + hours * 3_600_000, zone) // 1000 * 1000
            if len(text) == len("18:00"):
                at_ms = at_ms // 60_000 * 60_000
            if at_ms > after_ms:
                return at_ms
    except ValueError:
        raise ConfigError([f'{option} {text!r}  give a local time such as "18:00" or "2026-10-06 18:00"']) from None
    raise ConfigError([f"{option} {text}  that is past"])


def stop(db: sqlite3.Connection, school: str | None, room: str | None, now_ms: int, reason: str) -> None:
    """Turn the stop switch on: from the next single send on nothing leaves for that place."""
    db.execute("INSERT INTO stops (school, room, since_ms, reason) VALUES (?, ?, ?, ?)", (school, room, now_ms, reason))


def stopped(db: sqlite3.Connection) -> list[Stop]:
    """The stop switches that are on, oldest first."""
    rows = db.execute("SELECT school, room, since_ms, reason FROM stops WHERE ended_ms IS NULL ORDER BY id")
    return [Stop(school=school, room=room, since_ms=since, reason=reason) for school, room, since, reason in rows]


def resume(db: sqlite3.Connection, school: str | None, room: str | None, now_ms: int) -> int:
    """Turn stop switches of exactly that place off; returns how many were on."""
    return db.execute(
        "UPDATE stops SET ended_ms = ? WHERE ended_ms IS NULL AND school IS ? AND room IS ?", (now_ms, school, room)
    ).rowcount
