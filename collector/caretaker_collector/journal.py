"""The journal: every message, in order of arrival, on disk before it is acknowledged to the broker.

It is the spine: storing and deciding are readers of it, each with a saved position, so that recovery after a crash,
catching up after a database outage and trying a rule on last month's record are one mechanism.

Recent records are kept in memory as well, so a reader that keeps up never touches the disk, and a message is decoded
once for all readers.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from caretaker_collector import rows
from caretaker_contract.errors import ContractError, Unavailable
from caretaker_contract.messages import Message
from caretaker_contract.topics import Address, Kind
from caretaker_rules.ports import Incoming

T = TypeVar("T")
TAIL, TAIL_BYTES = 20_000, 16_000_000
"""Records kept in memory at most: two seconds at the highest rate that was measured. Their payloads are 6 MB then,
and a flood of long ones may not be much more."""
READ_BYTES = 8_000_000
"""Payloads that one reading from disk brings into memory, and one more message."""
_LAST = """
    WITH next AS (SELECT pos, length(payload) AS size FROM journal WHERE pos > ? ORDER BY pos LIMIT ?)
    SELECT max(pos) FROM (SELECT pos, sum(size) OVER (ORDER BY pos) - size AS before FROM next) WHERE before < ?
"""


class Record:
    """One journalled message. `decoded` is filled by the first reader that asks (stages/decode.py)."""

    __slots__ = ("decoded", "payload", "pos", "received_ms", "topic")

    def __init__(self, pos: int, received_ms: int, topic: str, payload: bytes) -> None:
        self.pos = pos
        self.received_ms = received_ms
        self.topic = topic
        self.payload = payload
        self.decoded: tuple[Address, Kind, Message] | ContractError | None = None


class Journal:
    """An append-only table in SQLite. Appending is durable when `append` returns (WAL, synchronous=FULL)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db = self._thread.submit(self._open).result()
        self._tail: deque[Record] = deque()
        self._tail_bytes = 0
        self._grown = asyncio.Event()
        row = self._db_first("SELECT max(seq) FROM sqlite_sequence WHERE name = 'journal'")
        self.last = row or 0
        """Position of the newest record; 0 when there is none."""

    def _open(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS journal ("
                "pos INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, topic TEXT NOT NULL, "
                "payload BLOB NOT NULL)"
            )
        except sqlite3.Error as error:
            raise Unavailable(f"journal {self._path}: {error}; is the disk full or the folder not writable?") from error
        return db

    def _db_first(self, query: str) -> int | None:
        found = self._thread.submit(lambda: self._db.execute(query).fetchone()).result()
        return found[0] if found else None

    async def _run(self, work: "asyncio.Future[T]") -> T:
        try:
            return await work
        except sqlite3.Error as error:
            raise Unavailable(f"journal {self._path}: {error}") from error

    async def append(self, messages: Sequence[Incoming]) -> None:
        """Write and commit `messages`; Unavailable when the disk does not take them (then none was written)."""
        records = [Record(pos, m.received_ms, m.topic, m.payload) for pos, m in enumerate(messages, self.last + 1)]
        await self._run(asyncio.get_running_loop().run_in_executor(self._thread, self._insert, records))
        self._tail.extend(records)
        self._tail_bytes += sum([len(record.payload) for record in records])
        while len(self._tail) > TAIL or self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft().payload)
        self.last += len(records)
        self._grown.set()

    def _insert(self, records: list[Record]) -> None:
        self._db.execute("BEGIN")
        try:
            rows.insert(self._db, "journal", [(r.pos, r.received_ms, r.topic, r.payload) for r in records])
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    async def read(self, after: int, limit: int) -> list[Record]:
        """Up to `limit` records behind position `after`, oldest first; empty when there is none yet."""
        if after >= self.last:
            return []
        tail = self._tail
        if tail and tail[0].pos <= after + 1:
            start = after + 1 - tail[0].pos  # positions in the tail have no holes
            return [tail[i] for i in range(start, min(start + limit, len(tail)))]
        found = await self._run(asyncio.get_running_loop().run_in_executor(self._thread, self._select, after, limit))
        return [Record(*row) for row in found]

    def _select(self, after: int, limit: int) -> list[tuple[int, int, str, bytes]]:
        (last,) = self._db.execute(_LAST, (after, limit, READ_BYTES)).fetchone()
        query = "SELECT pos, received_ms, topic, payload FROM journal WHERE pos > ? AND pos <= ? ORDER BY pos"
        return self._db.execute(query, (after, last)).fetchall()

    async def wait(self, after: int, timeout_s: float) -> None:
        """Return when there is something behind `after`, or after `timeout_s` real seconds."""
        if self.last > after:
            return
        self._grown.clear()
        try:
            async with asyncio.timeout(timeout_s):  # wait_for of Python 3.11 may lose a cancellation
                await self._grown.wait()
        except TimeoutError:
            pass  # the caller looks for itself

    async def prune(self, before_ms: int, up_to: int) -> int:
        """Forget records older than `before_ms` that every reader has passed (`up_to`); at most 50,000 a call."""
        query = "DELETE FROM journal WHERE pos IN (SELECT pos FROM journal WHERE received_ms < ? AND pos <= ? LIMIT ?)"
        return await self._run(
            asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._db.execute(query, (before_ms, up_to, 50_000)).rowcount
            )
        )

    def close(self) -> None:
        """Let go of the file. Calling it twice is safe."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()
