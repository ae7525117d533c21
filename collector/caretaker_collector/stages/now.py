"""now: how each school stands, once a minute, and each of its rooms, every five minutes: what boards show as "now".

Points bear the minute they were due in, so a batch that is replayed writes the same ones again. A school that cannot be
counted stops nothing: it has no points until it can.
"""

from collections.abc import Mapping

import msgspec
import structlog

from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.wake import NO_POLICY
from caretaker_contract.metrics import FieldValue
from caretaker_rules import standing
from caretaker_rules.decisions import Snapshot
from caretaker_rules.policy import Policy
from caretaker_rules.standing import Stands, Tally

log = structlog.get_logger()

SCHOOL_EVERY_MS = 60_000
ROOM_EVERY_MS = 300_000
Made = tuple[str, int, tuple[str, str, str, str], dict[str, FieldValue]]
"""A point as `keep` and `record` hand it on."""


class Now:
    """Writes `school_now` and `room_now` for the schools that the rules have just looked at."""

    def __init__(self, alerts: Alerts, policies: Mapping[str, Policy], ready_ratio: float) -> None:
        self._alerts = alerts
        self._policies = policies
        self._ready_ratio = ready_ratio
        self._schools: dict[str, int] = {}  # the minute of the newest point
        self._rooms: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self.tallies: dict[str, Tally] = {}
        """Each school's devices by power state, as of its newest point."""
        self.stands: dict[str, Stands] = {}
        """How each school stands, as of the newest look at it: the same object for as long as nothing changes."""
        self.looked_ms: dict[str, int] = {}

    async def run(self, batch: Batch) -> None:
        """Add the points that are due to the batch's writes."""
        for name, snapshot in batch.looked.items():
            self._stand(snapshot, batch.now_ms)
            school_ms = batch.now_ms // SCHOOL_EVERY_MS * SCHOOL_EVERY_MS
            room_ms = batch.now_ms // ROOM_EVERY_MS * ROOM_EVERY_MS
            if self._schools.get(name) == school_ms:
                continue
            try:
                points = self._points(snapshot, school_ms, room_ms, batch.now_ms)
            except Exception as error:
                self._fail(name, error)
                continue
            self._failed.pop(name, None)
            self._schools[name], self._rooms[name] = school_ms, room_ms
            for point in points:
                batch.writes.append(("INSERT INTO pending_points (point) VALUES (?)", (msgspec.msgpack.encode(point),)))

    def _stand(self, snapshot: Snapshot, now_ms: int) -> None:
        name = snapshot.school.name
        try:
            found = self.of(snapshot, now_ms)
        except Exception as error:
            self._fail(name, error)
            return
        if self.stands.get(name) != found:
            self.stands[name] = found
        self.looked_ms[name] = now_ms

    def of(self, snapshot: Snapshot, now_ms: int) -> Stands:
        """How a school stands, by what is known of it at this moment."""
        school = snapshot.school
        bookings = self._alerts.bookings(school, snapshot.timetable, now_ms)
        return standing.stands(snapshot, bookings, self._policies.get(school.name, NO_POLICY), now_ms)

    def _fail(self, school: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        if self._failed.get(school) != reason:
            log.error("boards get no figures of this school; all else goes on", school=school, reason=reason)
        self._failed[school] = reason

    def _points(self, snapshot: Snapshot, school_ms: int, room_ms: int, now_ms: int) -> list[Made]:
        school = snapshot.school
        policy = self._policies.get(school.name)
        whole, rooms = standing.tallies(snapshot)
        self.tallies[school.name] = whole
        lessons = self._alerts.lessons(school, snapshot.timetable, now_ms)
        incidents = self._alerts.incidents(school.name)
        hours = self._alerts.clock(school, snapshot.timetable)
        blind = standing.is_blind(snapshot, policy or NO_POLICY, now_ms)
        fields: dict[str, FieldValue] = {**standing.counts(whole)}
        fields["blind"] = blind
        fields["stopped"] = any(stop.school in (None, school.name) and stop.room is None for stop in snapshot.stops)
        if policy is not None:
            fields["mode"] = policy.mode.value
        found = standing.lessons_ready(snapshot, lessons, self._ready_ratio)
        fields["lessons"] = found.rooms
        if not blind:
            fields["lessons_ready"] = found.ready
        by_priority, without = standing.by_priority(incidents)
        fields |= {f"open_p{priority}": number for priority, number in by_priority.items()}
        fields["open_none"] = without
        left_ms = standing.fix_left_ms(incidents, hours, now_ms)
        if left_ms is not None:
            fields["fix_left_min"] = left_ms / 60_000
        points: list[Made] = [("school_now", school_ms * 1_000_000, (school.name, "all", "all", "all"), fields)]
        if self._rooms.get(school.name) != room_ms:
            for room in school.rooms:
                in_room: dict[str, FieldValue] = {**standing.counts(rooms[room.name])}
                in_room["lesson"] = room.name in lessons
                in_room["held"] = standing.is_held(snapshot.holds, school.name, room.name, now_ms)
                points.append(("room_now", room_ms * 1_000_000, (school.name, room.name, "room", "all"), in_room))
        return points
