"""What the collector keeps beside the journal: one SQLite file with device states, positions, quarantine and ledger.

Everything that follows from a batch of journal records is written in one transaction together with the position behind
them. So after kill -9 the file shows the world as it was after some whole batch, and the journal replays the rest.
People's records (holds, stops) are in the same file, and may be written by another process (`caretaker hold`).
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from caretaker_collector import audit
from caretaker_collector.accounts import book as account_book
from caretaker_collector.api import tokens
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.notify import outbox, ticket_book
from caretaker_collector.review import action_book, mail_book, shelf
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable

T = TypeVar("T")
LOOP_BUSY_MS = 500
"""How long the collector's own connection waits while another process writes. It is used on the loop, on which all
else waits too, the line to the broker and every page: what has no turn by then tries again later."""
COUNT_MAX = 2**61
"""Two of it are still an integer for SQLite."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS positions (reader TEXT PRIMARY KEY, pos INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (
    school TEXT NOT NULL, device TEXT NOT NULL, tracked BLOB NOT NULL, numberings BLOB NOT NULL,
    PRIMARY KEY (school, device)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    pos INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    field TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS pending_points (id INTEGER PRIMARY KEY AUTOINCREMENT, point BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dirty_days (
    school TEXT NOT NULL, day TEXT NOT NULL, since_ms INTEGER NOT NULL, PRIMARY KEY (school, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day_ends (
    school TEXT NOT NULL, device TEXT NOT NULL, day TEXT NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
    PRIMARY KEY (school, device, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, school TEXT NOT NULL, device TEXT NOT NULL, at_ms INTEGER NOT NULL,
    decision BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_device ON decisions (school, device, at_ms);
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, school TEXT NOT NULL, device TEXT NOT NULL, verb TEXT NOT NULL, rule TEXT NOT NULL,
    decided_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, body BLOB NOT NULL, status TEXT NOT NULL,
    sent_ms INTEGER NOT NULL DEFAULT 0, step_ms INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS commands_by_device ON commands (school, device, decided_ms);
CREATE TABLE IF NOT EXISTS command_steps (
    id TEXT NOT NULL, at_ms INTEGER NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (id, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, school TEXT NOT NULL, room TEXT, device TEXT,
    from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, ended_ms INTEGER, reason TEXT NOT NULL,
    made_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS stops (
    id INTEGER PRIMARY KEY AUTOINCREMENT, school TEXT, room TEXT, since_ms INTEGER NOT NULL, ended_ms INTEGER,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (
    id INTEGER PRIMARY KEY CHECK (id = 1), origin_s REAL NOT NULL, start_s REAL NOT NULL, speed REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, school TEXT NOT NULL, room TEXT, device TEXT, class TEXT,
    reason TEXT NOT NULL, by_whom TEXT NOT NULL, warn_s INTEGER NOT NULL, dry_run INTEGER NOT NULL,
    made_ms INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'asked', until_ms INTEGER NOT NULL DEFAULT 0,
    waiting TEXT NOT NULL DEFAULT '[]', answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS orders_open ON orders (id) WHERE status IN ('asked', 'taken', 'open');
CREATE INDEX IF NOT EXISTS commands_by_expiry ON commands (expires_ms);
CREATE TABLE IF NOT EXISTS wakes (
    school TEXT NOT NULL, device TEXT NOT NULL, occasion TEXT NOT NULL, rule TEXT NOT NULL, room TEXT NOT NULL,
    needed_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    first_ms INTEGER NOT NULL DEFAULT 0, last_ms INTEGER NOT NULL DEFAULT 0, command TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL, result_ms INTEGER NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '',
    value TEXT NOT NULL DEFAULT '', why_limit TEXT NOT NULL DEFAULT '', PRIMARY KEY (school, device, occasion)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wakes_by_end ON wakes (until_ms);
CREATE INDEX IF NOT EXISTS wakes_by_result ON wakes (result);
CREATE INDEX IF NOT EXISTS wakes_by_school ON wakes (school, result, result_ms);
CREATE TABLE IF NOT EXISTS woken (
    school TEXT NOT NULL, device TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (school, device)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wake_orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, school TEXT NOT NULL, room TEXT, device TEXT, made_ms INTEGER NOT NULL,
    reason TEXT NOT NULL, by_whom TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS wake_orders_by_time ON wake_orders (made_ms);
CREATE TABLE IF NOT EXISTS readiness (
    school TEXT NOT NULL, room TEXT NOT NULL, lesson_ms INTEGER NOT NULL, ready INTEGER NOT NULL,
    total INTEGER NOT NULL, PRIMARY KEY (school, room, lesson_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sight (from_ms INTEGER PRIMARY KEY, until_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outages (
    school TEXT NOT NULL, day TEXT NOT NULL, device TEXT NOT NULL, from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
    what TEXT NOT NULL, cause TEXT NOT NULL, began_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (school, day, device, from_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stated (
    school TEXT NOT NULL, month TEXT NOT NULL, revision INTEGER NOT NULL, made_ms INTEGER NOT NULL, stamp TEXT NOT NULL,
    figure BLOB NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (school, month, revision)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS amended (
    school TEXT NOT NULL, day TEXT NOT NULL, device TEXT NOT NULL, PRIMARY KEY (school, day, device)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day_changes (
    school TEXT NOT NULL, device TEXT NOT NULL, day TEXT NOT NULL, last BLOB NOT NULL, went BLOB,
    PRIMARY KEY (school, device, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day_stamps (
    school TEXT NOT NULL, day TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (school, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owed_inputs (school TEXT PRIMARY KEY, signature TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS energy_days (
    school TEXT NOT NULL, day TEXT NOT NULL, due_ms INTEGER, marks INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (school, day)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS energy_days_due ON energy_days (school, day) WHERE due_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS pending_findings (
    school TEXT NOT NULL, key TEXT NOT NULL, pending BLOB NOT NULL, PRIMARY KEY (school, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tellings (
    id TEXT PRIMARY KEY, uid TEXT NOT NULL, what TEXT NOT NULL, channel TEXT NOT NULL, made_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL, telling BLOB NOT NULL, status TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0, done_ms INTEGER NOT NULL DEFAULT 0,
    answer TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tellings_by_uid ON tellings (uid);
CREATE INDEX IF NOT EXISTS tellings_waiting ON tellings (next_ms) WHERE status = 'waiting';
CREATE TABLE IF NOT EXISTS tokens (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, school TEXT, made_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL, ended_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stay_links (
    token TEXT PRIMARY KEY, school TEXT NOT NULL, room TEXT NOT NULL, made_ms INTEGER NOT NULL, revoked_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checks (school TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""


SCHEMA += incident_book.SCHEMA + finding_book.SCHEMA + outbox.SCHEMA + ticket_book.SCHEMA + tokens.SCHEMA + audit.SCHEMA
SCHEMA += account_book.SCHEMA + action_book.SCHEMA + shelf.SCHEMA + mail_book.SCHEMA

ADDED_COLUMNS = (
    ("dirty_days", "marks", "INTEGER NOT NULL DEFAULT 1"),
    ("holds", "class", "TEXT"),
    ("accounts", "signed_ms", "INTEGER"),  # when somebody last signed in to it
    ("holds", "by_whom", "TEXT NOT NULL DEFAULT 'operator'"),
    ("holds", "every", "TEXT"),  # day, week; NULL: once
    ("holds", "last_day", "TEXT"),
    ("holds", "time_zone", "TEXT NOT NULL DEFAULT 'UTC'"),
    ("holds", "resumes_ms", "INTEGER NOT NULL DEFAULT 0"),
    ("holds", "asked_key", "TEXT"),  # of a request by somebody in the room (stays.py); NULL: an operator made it
)
"""What tables have now and had not in files of before."""


def _add_columns(db: sqlite3.Connection) -> None:
    for table, column, kind in ADDED_COLUMNS:
        if not db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column)).fetchone():
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def open_state(path: Path, read_only: bool = False, busy_s: float = 10.0) -> sqlite3.Connection:
    """The state file, made if it is not there. Unavailable when it cannot be opened.

    `busy_s`: how long to wait while another process writes.
    """
    try:
        if read_only:
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=busy_s)
            db.execute("SELECT count(*) FROM positions")
            return db
        db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=busy_s)
        db.execute("PRAGMA journal_mode = WAL")
        # A power cut may take the newest transactions back, but always whole ones: position and what followed from it
        # go back together, and a command that is decided again has the same id, which the machine obeys once only.
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(SCHEMA)
        _add_columns(db)
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error
    return db


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process keeps the file: the same will work in a while."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, sqlite3.OperationalError) and code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


async def patiently(write: Callable[[], T], within_s: float = 60.0) -> T:
    """A small write that must not be lost for want of a turn: again and again, while everything else goes on."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    while True:
        try:
            return write()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or loop.time() > end_s:
                raise
        await asyncio.sleep(0.5)


def position(db: sqlite3.Connection, reader: str) -> int:
    """Where `reader` has come to in the journal; 0 at the start."""
    row = db.execute("SELECT pos FROM positions WHERE reader = ?", (reader,)).fetchone()
    return int(row[0]) if row else 0


def save_position(db: sqlite3.Connection, reader: str, pos: int) -> None:
    """Note that `reader` is done with everything up to `pos`. Part of the caller's transaction."""
    db.execute(
        "INSERT INTO positions VALUES (?, ?) ON CONFLICT (reader) DO UPDATE SET pos = excluded.pos", (reader, pos)
    )


def save_clock(db: sqlite3.Connection, clock: Clock) -> None:
    """Note which clock the collector lives by, for commands that are started without it."""
    db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", tuple(clock))


def clock_of(db: sqlite3.Connection) -> Clock:
    """The clock of the collector that wrote here last; the world's when none did."""
    row = db.execute("SELECT origin_s, start_s, speed FROM clock").fetchone()
    return Clock(*row) if row else Clock()


def version(db: sqlite3.Connection) -> int:
    """A number that changes when another process has written to the file; cheap enough to ask all the time."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def count(db: sqlite3.Connection, name: str, by: int) -> None:
    """Add to a counter that survives a restart. Part of the caller's transaction.

    A counter stays at COUNT_MAX: beyond lies no truth, and what SQLite refuses would stop the core for good.
    """
    if by:
        db.execute(
            "INSERT INTO counters VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = min(value + excluded.value, ?)",
            (name, min(by, COUNT_MAX), COUNT_MAX),
        )


def counters(db: sqlite3.Connection) -> dict[str, int]:
    """All counters by name."""
    return dict(db.execute("SELECT name, value FROM counters").fetchall())
