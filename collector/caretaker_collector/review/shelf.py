"""The list of kept packs, in the state file: one row for each revision, never changed but for whom it was sent to."""

import sqlite3

import msgspec
from msgspec import Struct

SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (
    place TEXT NOT NULL, period TEXT NOT NULL, revision INTEGER NOT NULL, made_ms INTEGER NOT NULL, stamp TEXT NOT NULL,
    reason TEXT NOT NULL, folder TEXT NOT NULL, files TEXT NOT NULL, sent TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (place, period, revision)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS packs_by_period ON packs (period, place);
"""
_COLUMNS = "place, period, revision, made_ms, stamp, reason, folder, files, sent"


class Sent(Struct, frozen=True):
    """Somebody was sent it, or asked for it."""

    to: str
    at_ms: int


class Kept(Struct, frozen=True, kw_only=True):
    """One revision of a pack."""

    place: str  # ash, network:green, all
    period: str  # 2026-09, or 2026-09-01..2026-12-18
    revision: int
    made_ms: int
    stamp: str
    reason: str  # why it is there: "first made", or which figures changed
    folder: str  # relative to the collector's data folder
    files: tuple[str, ...]  # names in it
    sent: tuple[Sent, ...] = ()


def revisions(db: sqlite3.Connection, place: str, period: str) -> list[Kept]:
    """Every revision of a pack, in order."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM packs WHERE place = ? AND period = ? ORDER BY revision",  # noqa: S608 (our own names)
        (place, period),
    )
    return [_kept(row) for row in rows]


def newest(db: sqlite3.Connection, place: str | None = None, period: str | None = None) -> list[Kept]:
    """The newest revision of each pack, the latest period first; of a place or period where they are given."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM packs AS p WHERE (? IS NULL OR place = ?) AND (? IS NULL OR period = ?) "  # noqa: S608
        "AND revision = (SELECT max(revision) FROM packs WHERE place = p.place AND period = p.period) "
        "ORDER BY period DESC, place",
        (place, place, period, period),
    )
    return [_kept(row) for row in rows]


def add(db: sqlite3.Connection, kept: Kept) -> None:
    """Part of the caller's transaction. sqlite3.IntegrityError: that revision is there."""
    db.execute(
        f"INSERT INTO packs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (
            kept.place,
            kept.period,
            kept.revision,
            kept.made_ms,
            kept.stamp,
            kept.reason,
            kept.folder,
            msgspec.json.encode(kept.files).decode(),
            msgspec.json.encode(kept.sent).decode(),
        ),
    )


def note_sent(db: sqlite3.Connection, kept: Kept, to: str, at_ms: int) -> Kept:
    """Write down that somebody was sent it; once for each of them. Returns it as it is now."""
    db.execute("BEGIN IMMEDIATE")
    try:
        key = (kept.place, kept.period, kept.revision)
        known = next(each for each in revisions(db, *key[:2]) if each.revision == kept.revision)
        if all(each.to != to for each in known.sent):
            known = msgspec.structs.replace(known, sent=(*known.sent, Sent(to, at_ms)))
            db.execute(
                "UPDATE packs SET sent = ? WHERE place = ? AND period = ? AND revision = ?",
                (msgspec.json.encode(known.sent).decode(), *key),
            )
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return known


def _kept(row: tuple[str, str, int, int, str, str, str, str, str]) -> Kept:
    place, period, revision, made_ms, stamp, reason, folder, files, sent = row
    return Kept(
        place=place,
        period=period,
        revision=revision,
        made_ms=made_ms,
        stamp=stamp,
        reason=reason,
        folder=folder,
        files=msgspec.json.decode(files, type=tuple[str, ...]),
        sent=msgspec.json.decode(sent, type=tuple[Sent, ...]),
    )
