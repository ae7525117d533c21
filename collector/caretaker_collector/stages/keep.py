"""keep: one transaction with everything that follows from the batch, and the position behind it."""

import sqlite3

import msgspec

from caretaker_collector import state
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory, save_entries
from caretaker_collector.pipeline import Batch
from caretaker_collector.points import tags, transition_fields
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate, Transition

CORE = "core"
"""The name of this reader's position."""
QUARANTINE_ROWS = 100_000
"""Payloads kept to look at; the count goes on beyond."""


class Keep:
    """The only writer of the core's state."""

    def __init__(self, db: sqlite3.Connection, memory: Memory, ledger: Ledger, estate: Estate) -> None:
        self._db = db
        self._memory = memory
        self._ledger = ledger
        self._estate = estate

    async def run(self, batch: Batch) -> None:
        """Commit the batch, or raise Unavailable with nothing written."""
        for address, outcome in batch.outcomes:
            self._ledger.hear(address, outcome)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            save_entries(self._db, batch.touched)
            self._quarantine(batch)
            self._db.executemany(
                "INSERT INTO pending_points (point) VALUES (?)",
                [(msgspec.msgpack.encode(self._point(*change)),) for change in batch.inferred],
            )
            self._ledger.write(batch)
            for statement, values in batch.writes:
                self._db.execute(statement, values)
            for name, by in batch.counts.items():
                state.count(self._db, name, by)
            state.save_position(self._db, CORE, batch.position)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"state file: {error}") from error
        self._memory.counts.update(batch.counts)

    def _quarantine(self, batch: Batch) -> None:
        if not batch.quarantined:
            return
        self._db.executemany(
            "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)",
            [
                (record.pos, record.received_ms, record.topic, record.payload, error.field, error.reason)
                for record, error in batch.quarantined
            ],
        )
        self._db.execute(
            "DELETE FROM quarantine WHERE pos <= (SELECT pos FROM quarantine ORDER BY pos DESC LIMIT 1 OFFSET ?)",
            (QUARANTINE_ROWS,),
        )

    def _point(
        self, address: Address, change: Transition
    ) -> tuple[str, int, tuple[str, str, str, str], dict[str, object]]:
        return "transition", change.at_ms * 1_000_000, tags(self._estate, address), dict(transition_fields(change))


def pending_point(blob: bytes) -> Point:
    """A point as `keep` wrote it."""
    measurement, time_ns, labels, fields = msgspec.msgpack.decode(blob)
    return Point(measurement, time_ns, tuple(labels), fields)
