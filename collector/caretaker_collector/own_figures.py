"""Caretaker's own figures, gathered in one place: for /metrics, and once a minute for the store.

They are written beside the pipeline, in a transaction of their own: rules that stand still are what these figures are
there to show. A point bears its minute, so it can be written twice.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from caretaker_collector.certificate_end import soonest_end_ms
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import FieldValue

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

PARTS = ("broker", "store", "core", "rules", "alerts", "notify", "reviews")
"""The parts of which `problems` may tell."""
EVERY_MS = 60_000
CERTIFICATES_EVERY_MS = 3_600_000
DAY_MS = 86_400_000
COUNTERS = {
    "received": "received",
    "stored": "points_written",
    "quarantined": "quarantined",
    "dropped": "dropped",
    "duplicates": "duplicates",
    "gaps_closed": "gaps_closed",
    "replays": "replays_asked",
    "commands_sent": "commands_sent",
    "commands_done": "commands_done",
    "commands_vetoed": "commands_vetoed",
    "commands_refused": "commands_refused",
    "commands_failed": "commands_failed",
    "commands_unanswered": "commands_unanswered",
}
"""Fields that are counters, and the names of these in the state file."""


class OwnFigures(Struct, frozen=True, kw_only=True):
    """One reading. The fields are those of the measurement `collector`; what None means stands there."""

    core_lag: int
    recorder_lag: int
    behind_s: float
    received: int
    stored: int
    quarantined: int
    dropped: int
    duplicates: int
    gaps_closed: int
    missing: int
    replays: int
    commands_sent: int
    commands_done: int
    commands_vetoed: int
    commands_refused: int
    commands_failed: int
    commands_unanswered: int
    journal_bytes: int
    state_bytes: int
    parts: int
    parts_up: int
    agents: int | None  # None: no school was looked at yet
    agents_silent: int | None
    certificate_days: float | None
    tellings_waiting: int
    tellings_failed: int


@dataclass
class _Certificates:
    """When the first certificate ends, read again every hour: they are renewed while we run."""

    read_ms: int = -CERTIFICATES_EVERY_MS
    end_ms: int | None = None


class OwnBook:
    """Gathers the figures of one collector, and keeps them for the store."""

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector
        self._certificates = _Certificates()
        self._minute = -1

    def gather(self, now_ms: int) -> OwnFigures:
        """All of them, now. Unavailable when the state file cannot be read."""
        collector, memory = self._collector, self._collector.memory
        last = collector.journal.last
        tallies = list(collector.now.tallies.values())
        problems = collector.problems()
        end_ms = self._certificate_end_ms(now_ms)
        try:
            waiting, failed = (
                collector.db.execute(query, values).fetchone()[0]
                for query, values in (
                    ("SELECT count(*) FROM tellings WHERE status = 'waiting' AND due_ms <= ?", (now_ms,)),
                    ("SELECT count(*) FROM tellings WHERE status = 'failed'", ()),
                )
            )
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error
        return OwnFigures(
            core_lag=last - collector.core.position,
            recorder_lag=last - collector.recorder.position,
            behind_s=memory.behind_s,
            missing=memory.missing_count(),
            journal_bytes=_size(collector.journal_path),
            state_bytes=_size(collector.state_path),
            parts=len(PARTS),
            parts_up=sum(part not in problems for part in PARTS),
            agents=sum(tally.devices for tally in tallies) if tallies else None,
            agents_silent=sum(tally.lost + tally.unknown for tally in tallies) if tallies else None,
            certificate_days=None if end_ms is None else (end_ms - now_ms) / DAY_MS,
            tellings_waiting=int(waiting),
            tellings_failed=int(failed),
            **{field: memory.counts[name] for field, name in COUNTERS.items()},
        )

    def keep(self, now_ms: int) -> None:
        """Hand this minute's point on to the store, once. Unavailable when the state file cannot be written."""
        minute_ms = now_ms // EVERY_MS * EVERY_MS
        if minute_ms == self._minute:
            return
        client = self._collector.settings.broker.client_id
        found = structs.asdict(self.gather(now_ms))
        fields: dict[str, FieldValue] = {name: value for name, value in found.items() if value is not None}
        point = ("collector", minute_ms * 1_000_000, ("caretaker", "all", "collector", client), fields)
        try:
            self._collector.db.execute(
                "INSERT INTO pending_points (point) VALUES (?)", (msgspec.msgpack.encode(point),)
            )
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error
        self._minute = minute_ms

    def _certificate_end_ms(self, now_ms: int) -> int | None:
        known = self._certificates
        if not 0 <= now_ms - known.read_ms < CERTIFICATES_EVERY_MS:
            broker = self._collector.settings.broker
            end_ms = soonest_end_ms([broker.ca_file, broker.certificate_file])
            known = self._certificates = _Certificates(now_ms, end_ms)
        return known.end_ms


def _size(path: Path) -> int:
    """Bytes on disk of an SQLite file with what it has not merged yet; 0 when it is not there."""
    total = 0
    for name in (path, path.with_name(f"{path.name}-wal")):
        try:
            total += name.stat().st_size
        except OSError:
            continue
    return total
