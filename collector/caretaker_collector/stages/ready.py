"""ready: at the start of each lesson, how many of the room's machines are on ("29 of 30 ready at 08:50").

A machine of which nothing is known counts as not ready. Nothing at all is recorded while Caretaker itself could not
see: without a broker since before the lesson, behind, or when the school looks lost to it.
"""

import sqlite3
from collections.abc import Mapping

import msgspec

from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.wake import NO_POLICY
from caretaker_rules.calendar import Booked, Free, booking
from caretaker_rules.decisions import Snapshot
from caretaker_rules.limits import blindness
from caretaker_rules.model import Estate, Room, School
from caretaker_rules.policy import Policy
from caretaker_rules.waking import readiness

LATE_MS = 300_000
"""A lesson that began longer ago is not recorded any more: the figure would be of another moment."""
LOOK_AGAIN_MS = 600_000
"""How long a calendar's word counts before it is asked again: feeds change during the day."""


class Ready:
    """Records readiness, once for each room and lesson."""

    def __init__(
        self, db: sqlite3.Connection, memory: Memory, decide: Decide, estate: Estate, policies: Mapping[str, Policy]
    ) -> None:
        self._db = db
        self._memory = memory
        self._decide = decide
        self._estate = estate
        self._policies = policies
        self._look_ms: dict[tuple[str, str], int] = {}  # when to ask a room's calendar again

    async def run(self, batch: Batch) -> None:
        """Add the readiness of every room whose lesson has just begun to the batch."""
        if not batch.tick:
            return
        for school in self._estate.schools.values():
            due = [room for room in school.rooms if self._look_ms.get((school.name, room.name), 0) <= batch.now_ms]
            if due:
                snapshot = self._decide.snapshot(school.name, batch.now_ms)
                for room in due:
                    self._room(school, room, snapshot, batch)

    def _sees(self, snapshot: Snapshot, lesson_ms: int, now_ms: int) -> bool:
        policy = self._policies.get(snapshot.school.name, NO_POLICY)
        heard_all = 0 < self._memory.connected_since_ms <= lesson_ms and snapshot.behind_s <= policy.behind_s
        return heard_all and blindness(snapshot, policy, now_ms) is None

    def _room(self, school: School, room: Room, snapshot: Snapshot, batch: Batch) -> None:
        found = booking(room, school, batch.now_ms, 0, snapshot.timetable)
        next_ms = batch.now_ms + LOOK_AGAIN_MS
        if isinstance(found, Free) and found.next_ms is not None:
            next_ms = min(next_ms, found.next_ms)
        if isinstance(found, Booked):
            next_ms = min(next_ms, found.until_ms)
            if batch.now_ms - found.from_ms < LATE_MS:
                if self._sees(snapshot, found.from_ms, batch.now_ms):
                    self._record(school, room, found.from_ms, snapshot, batch)
                else:
                    next_ms = batch.now_ms  # perhaps the next tick sees
        self._look_ms[school.name, room.name] = next_ms

    def _record(self, school: School, room: Room, lesson_ms: int, snapshot: Snapshot, batch: Batch) -> None:
        ready, total = readiness(snapshot, room.name)
        key = (school.name, room.name, lesson_ms)
        known = "SELECT 1 FROM readiness WHERE school = ? AND room = ? AND lesson_ms = ?"
        if not total or self._db.execute(known, key).fetchone():
            return
        batch.writes.append(("INSERT OR IGNORE INTO readiness VALUES (?, ?, ?, ?, ?)", (*key, ready, total)))
        labels = (school.name, room.name, "room", "all")
        point = ("room_ready", lesson_ms * 1_000_000, labels, {"ready": ready, "total": total})
        batch.writes.append(("INSERT INTO pending_points (point) VALUES (?)", (msgspec.msgpack.encode(point),)))
