"""record: the second reader of the journal; writes points to the store. A store that is down only makes it lag (I1)."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

import structlog

from caretaker_collector import state
from caretaker_collector.journal import Journal, Record
from caretaker_collector.memory import Memory
from caretaker_collector.points import points_of, true_at_ms
from caretaker_collector.receiver import retrying
from caretaker_collector.stages.decode import decoded
from caretaker_collector.stages.keep import pending_point
from caretaker_contract.errors import ContractError, Unavailable
from caretaker_contract.messages import Report
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local
from caretaker_rules.model import Estate
from caretaker_rules.ports import Store

log = structlog.get_logger()

RECORDER = "recorder"
BATCH = 5_000

MARK_DAY = (
    "INSERT INTO dirty_days (school, day, since_ms) VALUES (?, ?, ?) "
    "ON CONFLICT (school, day) DO UPDATE SET marks = marks + 1"
)
"""A day has to be computed (again). `marks` tells the roll-up whether that was said once more while it computed."""


class Recorder:
    """Turns journal records into points, in batches; its position moves only when the store has them."""

    def __init__(self, journal: Journal, db: sqlite3.Connection, store: Store, estate: Estate, memory: Memory) -> None:
        self._journal = journal
        self._db = db
        self._store = store
        self._estate = estate
        self._memory = memory
        self.position = state.position(db, RECORDER)
        self.problem = ""
        self._days: set[tuple[str, str]] = set()  # school-days that are already marked for the roll-up
        self._dates: dict[tuple[str, int], str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await retrying(self._once, self._note)

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("store not available; its position waits", reason=problem)
        self.problem = problem

    async def _once(self, succeeded: Callable[[], None]) -> None:
        while True:
            if not await self.step():
                await self._journal.wait(self.position, timeout_s=1.0)
            self.problem = ""
            succeeded()

    async def step(self) -> bool:
        """Write what is there, at most one batch; False when there was nothing. Unavailable: nothing moved."""
        records = await self._journal.read(self.position, BATCH)
        pending = self._db.execute("SELECT id, point FROM pending_points ORDER BY id LIMIT ?", (BATCH,)).fetchall()
        if not records and not pending:
            return False
        points: list[Point] = [pending_point(blob) for _, blob in pending]
        sources: list[Record | None] = [None] * len(points)  # of each point
        # What was inferred (lost) has no report of its own, and changes its day all the same.
        touched = {
            (p.tags[0], self._day(p.tags[0], p.time_ns // 1_000_000)) for p in points if p.measurement == "transition"
        }
        for record in records:
            try:
                address, _, message = decoded(record)
            except ContractError:
                continue  # the core reader has put it aside
            made = points_of(message, address, record.received_ms, self._estate)
            points += made
            sources += [record] * len(made)
            if isinstance(message, Report):
                touched.add((address.school, self._day(address.school, true_at_ms(message, record.received_ms))))
        refused = await self._store.write(points)
        counts = Counter({"points_written": len(points) - len(refused), "points_refused": len(refused)})
        position = records[-1].pos if records else self.position
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if refused:
                source_of = dict(zip(map(id, points), sources, strict=True))
                for point, reason in refused:
                    counts["quarantined"] += self._quarantine(point, reason, source_of.get(id(point)))
            if pending:
                self._db.execute("DELETE FROM pending_points WHERE id <= ?", (pending[-1][0],))
            newest_ms = records[-1].received_ms if records else points[-1].time_ns // 1_000_000
            self._db.executemany(
                MARK_DAY,
                [(school, day, newest_ms) for school, day in touched - self._days],
            )
            for name, by in counts.items():
                state.count(self._db, name, by)
            state.save_position(self._db, RECORDER, position)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"state file: {error}") from error
        self.position = position
        self._days |= touched
        self._memory.counts.update(counts)
        return True

    def _day(self, school: str, at_ms: int) -> str:
        """The school's local date of a moment, as 2026-10-06; remembered by quarter-hours: zones change only there."""
        key = (school, at_ms // 900_000)
        day = self._dates.get(key)
        if day is None:
            if len(self._dates) > 100_000:
                self._dates.clear()
            known = self._estate.schools.get(school)
            zone = ZoneInfo(known.time_zone if known else "UTC")
            day = self._dates[key] = local(at_ms, zone).date().isoformat()
        return day

    def mark_day(self, school: str, day: str, since_ms: int) -> None:
        """A day has to be computed again."""
        self._db.execute(MARK_DAY, (school, day, since_ms))
        self._days.add((school, day))

    def forget_days(self, days: set[tuple[str, str]]) -> None:
        """The roll-up begins with these; a report from now on marks them again."""
        self._days -= days

    def _quarantine(self, point: Point, reason: str, record: Record | None) -> int:
        """Put the message behind a refused point aside; 1 when it was not there already."""
        log.warning(
            "the store refuses a point for good", measurement=point.measurement, device=point.tags, reason=reason
        )
        if record is None:
            return 0
        return self._db.execute(
            "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)",
            (record.pos, record.received_ms, record.topic, record.payload, "store", reason[:500]),
        ).rowcount
