"""What people order (shut down, restart, sleep): written by their command, carried out by the running collector.

    asked -> taken -> done       everything that could be switched was asked, the rest stays on
                   -> open       some are held back by a limit; they are tried again at each tick until `until_ms`
                   -> refused    nothing can be judged there, such as a school without a policy
    asked -> withdrawn           nobody took it while its command waited
    asked -> expired             nobody took it in time

A command that waits for an answer withdraws its order when none comes: nothing happens later that nobody expects.
"""

import sqlite3
from typing import Any, Literal

import msgspec
from msgspec import Struct

from caretaker_contract.topics import Address
from caretaker_rules.model import Device, Estate

TAKE_WITHIN_MS = 600_000
"""Collector time after which an order that nobody took is dead, should its command have been killed."""
KEEP_TRYING_MS = 1_800_000
"""How long machines that a limit holds back are tried again."""

Verb = Literal["shut_down", "restart", "sleep"]
Status = Literal["asked", "taken", "open", "done", "refused", "withdrawn", "expired"]


class Scope(Struct, frozen=True, kw_only=True):
    """Machines that a person means: a school, and what is given of room, device and class has to fit."""

    school: str
    room: str | None = None
    device: str | None = None
    device_class: str | None = None

    def __str__(self) -> str:
        place = "/".join(part for part in (self.school, self.room, self.device) if part)
        return f"{place}, class {self.device_class}" if self.device_class else place

    def has(self, device: Device) -> bool:
        """Whether this machine is meant."""
        return (
            device.school == self.school
            and self.room in (None, device.room)
            and self.device in (None, device.name)
            and self.device_class in (None, device.device_class)
        )

    def devices(self, estate: Estate) -> list[Device]:
        """All machines of the register that are meant."""
        return [device for device in estate.devices.values() if self.has(device)]


class PersonsOrder(Struct, frozen=True, kw_only=True):
    """One row of the order book. `waiting` are the machines that a limit still holds back."""

    id: int
    verb: Verb
    scope: Scope
    reason: str
    by: str
    warn_s: int
    dry_run: bool
    made_ms: int
    status: Status
    until_ms: int
    waiting: list[Address]
    found: "Found | None" = None  # None: the collector has not answered


class Found(Struct, frozen=True, kw_only=True):
    """What became of an order, by machine name. `stay` says why the others stay on, or are off already."""

    machines: int
    asked: list[str]
    later: list[str]
    stay: dict[str, list[str]]
    later_why: str = ""
    refused: str = ""


class Answer(Struct, frozen=True, kw_only=True):
    """How far an order has come: what `keep` writes with the commands that follow from it, in one transaction."""

    order: int
    status: Status
    until_ms: int = 0
    waiting: list[Address] = []
    found: Found | None = None  # None: as it was


def place(
    db: sqlite3.Connection, verb: Verb, scope: Scope, reason: str, by: str, warn_s: int, dry_run: bool, now_ms: int
) -> int:
    """Write an order down; returns its number."""
    row = db.execute(
        "INSERT INTO orders (verb, school, room, device, class, reason, by_whom, warn_s, dry_run, made_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (verb, scope.school, scope.room, scope.device, scope.device_class, reason, by, warn_s, dry_run, now_ms),
    )
    return int(row.lastrowid or 0)


def withdraw(db: sqlite3.Connection, order: int) -> bool:
    """Take an order back; False when it has been taken already."""
    query = "UPDATE orders SET status = 'withdrawn' WHERE id = ? AND status = 'asked'"
    return bool(db.execute(query, (order,)).rowcount)


def forget(db: sqlite3.Connection, order: int) -> None:
    """Take away what was only looked at: it is on record nowhere."""
    db.execute("DELETE FROM orders WHERE id = ? AND dry_run", (order,))


def answer(db: sqlite3.Connection, order: int) -> Found | None:
    """What the collector made of it; None while it has not."""
    row = db.execute("SELECT answer FROM orders WHERE id = ?", (order,)).fetchone()
    return msgspec.json.decode(row[0], type=Found) if row and row[0] else None


_COLUMNS = (
    "id, verb, school, room, device, class, reason, by_whom, warn_s, dry_run, made_ms, status, until_ms, waiting, "
    "answer"
)


def unfinished(db: sqlite3.Connection) -> list[PersonsOrder]:
    """Orders that somebody still waits for, oldest first."""
    query = f"SELECT {_COLUMNS} FROM orders WHERE status IN ('asked', 'taken', 'open') ORDER BY id"  # noqa: S608
    return [_order(row) for row in db.execute(query)]


def one(db: sqlite3.Connection, number: int) -> PersonsOrder | None:
    """The order of this number, with what became of it."""
    row = db.execute(f"SELECT {_COLUMNS} FROM orders WHERE id = ?", (number,)).fetchone()  # noqa: S608 (our own names)
    return _order(row) if row else None


def listed(db: sqlite3.Connection, school: str = "", before: int | None = None, limit: int = 50) -> list[PersonsOrder]:
    """Orders, the newest first; of one school when it is given. What was only looked at (a dry run) is none."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM orders WHERE NOT dry_run AND (? = '' OR school = ?) AND id < ? "  # noqa: S608
        "ORDER BY id DESC LIMIT ?",
        (school, school, 2**62 if before is None else before, limit),
    )
    return [_order(row) for row in rows]


def _order(row: Any) -> PersonsOrder:
    number, verb, school, room, device, of_class, reason, by, warn_s, dry_run, made_ms, status, until_ms, *rest = row
    waiting, answer = rest
    return PersonsOrder(
        id=number,
        verb=verb,
        scope=Scope(school=school, room=room, device=device, device_class=of_class),
        reason=reason,
        by=by,
        warn_s=warn_s,
        dry_run=bool(dry_run),
        made_ms=made_ms,
        status=status,
        until_ms=until_ms,
        waiting=msgspec.json.decode(waiting, type=list[Address]),
        found=msgspec.json.decode(answer, type=Found) if answer else None,
    )


def take(db: sqlite3.Connection, order: int) -> bool:
    """Claim an order for the collector, on disk when this returns; False when it was withdrawn a moment ago."""
    query = "UPDATE orders SET status = 'taken' WHERE id = ? AND status IN ('asked', 'taken')"
    return bool(db.execute(query, (order,)).rowcount)


def write(db: sqlite3.Connection, answers: list[Answer]) -> None:
    """Note how far orders have come. Part of the caller's transaction."""
    for one in answers:
        db.execute(
            "UPDATE orders SET status = ?, until_ms = ?, waiting = ?, answer = CASE WHEN ? = '' THEN answer ELSE ? END "
            "WHERE id = ?",
            (
                one.status,
                one.until_ms,
                msgspec.json.encode(one.waiting).decode(),
                *[msgspec.json.encode(one.found).decode() if one.found else ""] * 2,
                one.order,
            ),
        )
