"""What the rounds of the alert pipeline leave to each other in the state file, and what finders read of other books."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from caretaker_collector.incidents.book import Write
from caretaker_contract.messages import Report
from caretaker_contract.topics import Address
from caretaker_rules.alerting import Pending
from caretaker_rules.burn import Slice
from caretaker_rules.model import Presence

SCHEMA = """
CREATE TABLE IF NOT EXISTS crashes (
    school TEXT NOT NULL, device TEXT NOT NULL, epoch TEXT NOT NULL, boot INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (school, device, epoch, boot)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS crashes_by_time ON crashes (at_ms);
CREATE TABLE IF NOT EXISTS burn_slices (
    school TEXT NOT NULL, from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, service_ms INTEGER NOT NULL,
    owed_ms INTEGER NOT NULL, down_ms INTEGER NOT NULL, PRIMARY KEY (school, from_ms)
) WITHOUT ROWID;
"""
"""Boots that ended without a goodbye; and machine time of each school, for the burn rate."""
KEEP_CRASHES_MS = 30 * 86_400_000
T = TypeVar("T")
_decode = msgspec.msgpack.Decoder(Pending).decode


def pending_of(db: sqlite3.Connection, school: str) -> dict[str, Pending]:
    """What the rounds so far know of each finding of a school, by key."""
    rows = db.execute("SELECT key, pending FROM pending_findings WHERE school = ?", (school,))
    return {key: _decode(blob) for key, blob in rows}


def titles(db: sqlite3.Connection, schools: Iterable[str]) -> dict[str, str]:
    """Each finding of these schools in words, with the figures of the newest look, by key."""
    found = {key: pending.finding for school in schools for key, pending in pending_of(db, school).items()}
    return {key: str(finding) for key, finding in found.items() if finding is not None}


def changes(school: str, before: Mapping[str, Pending], after: Mapping[str, Pending]) -> list[Write]:
    """The statements that make `before` into `after`: only what is different is written."""
    writes: list[Write] = [
        ("DELETE FROM pending_findings WHERE school = ? AND key = ?", (school, key)) for key in before.keys() - after
    ]
    for key, pending in after.items():
        if before.get(key) is not pending:
            values = (school, key, msgspec.msgpack.encode(pending))
            writes.append(("INSERT OR REPLACE INTO pending_findings VALUES (?, ?, ?)", values))
    return writes


def crashed(address: Address, ended: Presence, now_ms: int) -> list[Write]:
    """A boot of this device ended without a word."""
    key = (*address, ended.epoch, ended.boot)
    return [
        ("INSERT OR IGNORE INTO crashes VALUES (?, ?, ?, ?, ?)", (*key, now_ms)),
        ("DELETE FROM crashes WHERE at_ms < ?", (now_ms - KEEP_CRASHES_MS,)),
    ]


def said_goodbye(address: Address, report: Report) -> Write:
    """It had said a word, which came late."""
    key = (*address, report.epoch, report.boot)
    return ("DELETE FROM crashes WHERE school = ? AND device = ? AND epoch = ? AND boot = ?", key)


def crashes(db: sqlite3.Connection, from_ms: int) -> dict[str, dict[str, tuple[int, int]]]:
    """How often each device crashed since `from_ms`, and when it last did, by school and name."""
    rows = db.execute(
        "SELECT school, device, count(*), max(at_ms) FROM crashes WHERE at_ms > ? GROUP BY school, device", (from_ms,)
    )
    return _by_school((school, device, (times, last_ms)) for school, device, times, last_ms in rows)


def overdue(db: sqlite3.Connection, from_ms: int, now_ms: int) -> dict[str, dict[str, int]]:
    """The newest moment since `from_ms` for which a wake was asked, and is past, of machines that did not answer it."""
    rows = db.execute(
        "SELECT school, device, max(needed_ms) FROM wakes WHERE until_ms > ? AND needed_ms > ? AND needed_ms <= ? "
        "AND result != 'awake' AND attempts > 0 GROUP BY school, device",
        (from_ms, from_ms, now_ms),
    )
    return _by_school(rows)


def slices_of(db: sqlite3.Connection, school: str) -> list[Slice]:
    """Machine time of a school, in order."""
    rows = db.execute(
        "SELECT from_ms, until_ms, service_ms, owed_ms, down_ms FROM burn_slices WHERE school = ? ORDER BY from_ms",
        (school,),
    )
    return [Slice(*row) for row in rows]


def sampled(school: str, slices: Sequence[Slice]) -> list[Write]:
    """The statements that keep the newest of these slices, and forget those that stand before the oldest."""
    if not slices:
        return []
    newest = slices[-1]
    values = (newest.from_ms, newest.until_ms, newest.service_ms, newest.owed_ms, newest.down_ms)
    return [
        ("INSERT OR REPLACE INTO burn_slices VALUES (?, ?, ?, ?, ?, ?)", (school, *values)),
        ("DELETE FROM burn_slices WHERE school = ? AND from_ms < ?", (school, slices[0].from_ms)),
    ]


def _by_school(rows: Iterable[tuple[str, str, T]]) -> dict[str, dict[str, T]]:
    found: dict[str, dict[str, T]] = {}
    for school, device, value in rows:
        found.setdefault(school, {})[device] = value
    return found
