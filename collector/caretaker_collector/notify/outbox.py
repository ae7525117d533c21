"""The rows of `tellings`: what is due on a channel, and what came of it. All times are the collector's.

A row is claimed before it is sent: the next try is set first, so that a message that kills us does not do so at once
again. `sent` and `failed` are written only after the answer. So after kill -9 a row is sent again, with the same id.
"""

import sqlite3
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from caretaker_collector.incidents import book as incident_book
from caretaker_collector.notify.wording import ANSWER_MAX, one_line
from caretaker_contract.errors import ConfigError
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident, fold

SCHEMA = """
CREATE INDEX IF NOT EXISTS tellings_by_channel ON tellings (channel, made_ms, id) WHERE status = 'waiting';
CREATE INDEX IF NOT EXISTS tellings_failed ON tellings (done_ms) WHERE status = 'failed';
"""
GIVE_UP_MS = 86_400_000
"""So long a message is tried; then a person has to look."""
BACKOFF_MS = 30_000
BACKOFF_MAX_MS = 3_600_000
AT_A_TIME = 100


class Row(Struct, frozen=True):
    """One message and how it fared."""

    telling: Telling
    status: str  # waiting, sent, failed
    attempts: int
    next_ms: int
    done_ms: int
    answer: str


_COLUMNS = "telling, status, attempts, next_ms, done_ms, answer"


def _row(values: tuple[Any, ...]) -> Row:
    blob, *rest = values
    return Row(msgspec.json.decode(blob, type=Telling), *rest)


def due(db: sqlite3.Connection, channel: str, now_ms: int) -> list[Row]:
    """What may be sent now, in the order of making, at most AT_A_TIME; after a failure it has to be asked again.

    Of one incident nothing overtakes what was made before it: "fixed" after "down", never the other way round.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM tellings AS t WHERE status = 'waiting' AND channel = ? AND next_ms <= ? "  # noqa: S608
        "AND due_ms <= ? AND (uid = '' OR NOT EXISTS (SELECT 1 FROM tellings AS e WHERE e.uid = t.uid "
        "AND e.channel = t.channel AND e.status = 'waiting' AND e.made_ms < t.made_ms "
        "AND (e.next_ms > ? OR e.due_ms > ?))) ORDER BY made_ms, id LIMIT ?",
        (channel, now_ms, now_ms, now_ms, now_ms, AT_A_TIME),
    )
    return [_row(row) for row in rows]


def claim(db: sqlite3.Connection, id_: str, now_ms: int) -> bool:
    """Count an attempt and set when the next one would be; False when it does not wait any more."""
    return bool(
        db.execute(
            "UPDATE tellings SET next_ms = ? + min(?, ? * (1 << min(attempts, 10))), attempts = attempts + 1 "
            "WHERE id = ? AND status = 'waiting'",
            (now_ms, BACKOFF_MAX_MS, BACKOFF_MS, id_),
        ).rowcount
    )


def done(db: sqlite3.Connection, id_: str, status: str, now_ms: int, answer: str) -> None:
    """The answer has come: `sent`, or `failed` for good."""
    db.execute(
        "UPDATE tellings SET status = ?, done_ms = ?, answer = ? WHERE id = ?",
        (status, now_ms, one_line(answer, ANSWER_MAX), id_),
    )


def later(db: sqlite3.Connection, id_: str, answer: str, at_least_ms: int = 0) -> None:
    """It did not work; it stays in the queue, until `at_least_ms` if the other side named a time."""
    db.execute(
        "UPDATE tellings SET answer = ?, next_ms = max(next_ms, ?) WHERE id = ?",
        (one_line(answer, ANSWER_MAX), at_least_ms, id_),
    )


def hurry(db: sqlite3.Connection, channel: str, now_ms: int) -> None:
    """A channel that was down works again: what waits for its next try need not wait any longer."""
    db.execute(
        "UPDATE tellings SET next_ms = ? WHERE status = 'waiting' AND channel = ? AND next_ms > ? AND attempts > 0",
        (now_ms, channel, now_ms),
    )


def again(db: sqlite3.Connection, id_: str, now_ms: int) -> Row:
    """A person wants it tried again. ConfigError when there is none of this id, or it was sent."""
    row = one(db, id_)
    if row is None:
        raise ConfigError([f"{id_}  no such message; `caretaker notify queue` lists what waits and what failed"])
    if row.status == "sent":
        raise ConfigError([f"{row.telling.id}  was sent already ({row.answer})"])
    # Made anew in what counts for giving up, so that a message that failed yesterday gets another day.
    db.execute(
        "UPDATE tellings SET status = 'waiting', attempts = 0, next_ms = 0, due_ms = ?, done_ms = 0, answer = '' "
        "WHERE id = ?",
        (now_ms, row.telling.id),
    )
    return row


def one(db: sqlite3.Connection, id_: str) -> Row | None:
    """The message of this id, or of the only id that begins so."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM tellings WHERE id = ? OR (length(?) >= 6 AND substr(id, 1, length(?)) = ?) "  # noqa: S608
        "ORDER BY id <> ? LIMIT 2",
        (id_, id_, id_, id_, id_),
    ).fetchall()
    found = [_row(row) for row in rows]
    return found[0] if found and (len(found) == 1 or found[0].telling.id == id_) else None


def since(db: sqlite3.Connection, id_: str) -> int:
    """From when on the day counts after which it is given up."""
    row = db.execute("SELECT max(made_ms, due_ms) FROM tellings WHERE id = ?", (id_,)).fetchone()
    return int(row[0]) if row else 0


def queue(db: sqlite3.Connection, failed_since_ms: int) -> list[Row]:
    """What waits, and what failed since then; in order of making."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM tellings WHERE status = 'waiting' OR (status = 'failed' AND done_ms >= ?) "  # noqa: S608
        "ORDER BY made_ms, id",
        (failed_since_ms,),
    )
    return [_row(row) for row in rows]


def strays(db: sqlite3.Connection, channels: Collection[str]) -> list[tuple[str, str, int]]:
    """Id, channel and time of waiting messages for channels that there are not (any more)."""
    marks = ", ".join("?" * len(channels))
    rows = db.execute(
        f"SELECT id, channel, max(made_ms, due_ms) FROM tellings WHERE status = 'waiting' "  # noqa: S608
        f"AND channel NOT IN ({marks}) ORDER BY made_ms LIMIT 1000",
        tuple(channels),
    )
    return [(str(id_), str(channel), int(made)) for id_, channel, made in rows]


def troubles(db: sqlite3.Connection, now_ms: int) -> str:
    """What people should know of the queue, in a sentence; "" when nothing is stuck.

    Stuck is what was tried three times in vain; failed counts for a day.
    """
    parts: list[str] = []
    stuck = db.execute(
        "SELECT channel, count(*), min(made_ms) FROM tellings WHERE status = 'waiting' AND attempts >= 3 "
        "GROUP BY channel ORDER BY channel"
    ).fetchall()
    for channel, count, _ in stuck:
        answer = db.execute(
            "SELECT answer FROM tellings WHERE status = 'waiting' AND channel = ? AND attempts >= 3 "
            "ORDER BY made_ms LIMIT 1",
            (channel,),
        ).fetchone()[0]
        parts.append(f"channel {channel}: {_messages(count)} cannot be sent: {answer}")
    failed = db.execute(
        "SELECT channel, count(*) FROM tellings WHERE status = 'failed' AND done_ms >= ? GROUP BY channel "
        "ORDER BY channel",
        (now_ms - GIVE_UP_MS,),
    ).fetchall()
    parts += [f"channel {channel}: {_messages(count)} given up within a day" for channel, count in failed]
    return "; ".join(parts) + ("; see `caretaker notify queue`" if parts else "")


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def incident_of(db: sqlite3.Connection, uid: str) -> Incident | None:
    """The incident of this uid as it is now; None when there is none."""
    row = db.execute("SELECT number FROM incidents WHERE uid = ?", (uid,)).fetchone() if uid else None
    return fold(int(row[0]), incident_book.log_of(db, uid)) if row else None
