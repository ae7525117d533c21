"""watch: notes on every tick that Caretaker could see, so that a silent machine and a blind Caretaker differ (I9).

It sees while it has its broker and has read all that came. Each row of `sight` is one span without a break; a collector
that starts again begins a new one.
"""

import sqlite3

from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_rules.intervals import Span, cut, union

LATE_TICKS = 3
LATE_REAL_S = 60.0
"""Ticks that are further apart than both together say nothing of the time between: the process stood still, and the
link may have been dead that long before anybody noticed."""


class Watch:
    """Extends the last row of `sight`, or begins a new one after a break."""

    def __init__(self, memory: Memory, tick_s: float, speed: float = 1.0) -> None:
        self._memory = memory
        self._longest_ms = round((LATE_TICKS * tick_s + LATE_REAL_S * speed) * 1000)
        self._seen: Span | None = None  # the row that is being extended

    async def run(self, batch: Batch) -> None:
        """Add the row of this tick to the batch."""
        if not batch.tick:
            return
        now_ms, linked_ms = batch.now_ms, self._memory.connected_since_ms
        if not linked_ms or self._memory.behind_s:
            self._seen = None
            return
        if self._seen is None or not 0 <= now_ms - self._seen[1] <= self._longest_ms:
            self._seen = (now_ms, now_ms)
        elif linked_ms > self._seen[1]:  # the link broke and came back between two ticks
            self._seen = (linked_ms, now_ms)
        else:
            self._seen = (self._seen[0], now_ms)
        batch.writes.append(
            (
                "INSERT INTO sight VALUES (?, ?) "
                "ON CONFLICT (from_ms) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)",
                self._seen,
            )
        )


def sight(db: sqlite3.Connection, from_ms: int, until_ms: int) -> list[Span]:
    """When Caretaker could see, within [from_ms, until_ms): sorted and apart."""
    rows = db.execute("SELECT from_ms, until_ms FROM sight WHERE until_ms > ? AND from_ms < ?", (from_ms, until_ms))
    return cut(union(rows), from_ms, until_ms)


def watched_since_ms(db: sqlite3.Connection) -> int | None:
    """When Caretaker first saw anything; None: never."""
    row = db.execute("SELECT min(from_ms) FROM sight").fetchone()
    return None if row is None or row[0] is None else int(row[0])
