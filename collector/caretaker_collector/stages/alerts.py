"""alerts: from what is known of a school to incidents and messages, after its rules ran; and the same for Caretaker.

For each school that was looked at, one round of the pipeline in `caretaker_rules.alert_steps`. All that a round needs
from before stands in the state file, and all that it leaves is written with the batch: a restart changes nothing.

Nothing here may stop energy decisions or messages. A round that fails is left out, logged, and said in /healthz; and
that is a finding itself (`watch`, which does not depend on the rules' loop: it has to notice when that stands still).
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import structlog

from caretaker_collector import records, state, wake_book
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.incidents import tellings as telling_book
from caretaker_collector.incidents.book import Follower, Write
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.ready import LATE_MS
from caretaker_collector.stages.wake import NO_POLICY
from caretaker_contract.errors import Unavailable
from caretaker_rules import burn
from caretaker_rules.alert_settings import AlertsFile, FindSettings, ms
from caretaker_rules.alert_steps import run
from caretaker_rules.alert_steps.digest import Seen
from caretaker_rules.alert_steps.maintain import worked_on, works_on
from caretaker_rules.alerting import Round
from caretaker_rules.calendar import Booked, Booking, Free, booking, in_hours, zone_of
from caretaker_rules.decisions import Snapshot
from caretaker_rules.finders import View, find, find_own
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Entry, Incident
from caretaker_rules.model import Device, Estate, Hold, School
from caretaker_rules.policy import Policy
from caretaker_rules.reasons import Reason
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.timetable import NO_TIMETABLE, Timetable

log = structlog.get_logger()

POINTS = "incident_points"
"""The name of the position in the log of incidents up to which points were made."""
SIGHT_MS = 60_000
"""So long after Caretaker has its broker back, what it knows may be of before: nothing begins and nothing ends."""
LOOK_AGAIN_MS = 60_000
"""How long what stands in the books of wakes and crashes is good for: they change seldom, and reading all is dear."""
BOOKING_MS = 600_000
"""How long a calendar's word counts before it is asked again: feeds change during the day."""
RECORDED_MS = LATE_MS + 600_000
"""So long after a lesson began its readiness is on record, or never will be."""
WAKES_BACK_MS = 12 * 3_600_000
"""A wake that was asked for longer ago is not waited for any more."""
KEEP_CLOSED_MS = 4 * 86_400_000
"""How long what is closed is kept at hand: over a weekend, for the digest; longer if a level reopens later."""
TOLD_BACK_MS = 86_400_000
"""That it is over is told within this time."""


EVERYWHERE = "all schools"
DOWN = frozenset(
    {
        FindingKind.LOST,
        FindingKind.NOT_BACK,
        FindingKind.SERVER_DOWN,
        FindingKind.RELAY_SILENT,
        FindingKind.LINK_DOWN,
    }
)
"""Kinds of findings of machines that give no service."""
LONGEST_LOOK_MS = 600_000
"""Of what lies between two looks further apart, nobody knows."""


class _Books(NamedTuple):
    """What stands in other books, of all schools, as of a moment."""

    read_ms: int
    cannot_wake: Mapping[str, Mapping[str, tuple[int, Reason | None]]]
    overdue: Mapping[str, Mapping[str, int]]
    crashes: Mapping[str, Mapping[str, tuple[int, int]]]


class Alerts:
    """Runs rounds. `problem` says what does not work; "" when all is well."""

    def __init__(
        self,
        db: sqlite3.Connection,
        memory: Memory,
        estate: Estate,
        policies: Mapping[str, Policy],
        alerts: AlertsFile | None = None,
    ) -> None:
        self._db = db
        self._memory = memory
        self._estate = estate
        self._policies = policies
        self._alerts = alerts
        self._find = alerts.find if alerts is not None else FindSettings()
        self._devices: dict[str, dict[str, Device]] = {name: {} for name in estate.schools}
        for device in estate.devices.values():
            self._devices[device.school][device.name] = device
        levels = estate.service.levels if estate.service is not None else []
        keep_ms = max([KEEP_CLOSED_MS, *(ms(level.reopen_within) for level in levels)])
        self._incidents = Follower(db, keep_ms, state.position(db, POINTS))
        self._clocks: dict[str, tuple[Timetable, ServiceClock]] = {}
        self._bookings: dict[tuple[str, str], tuple[int, int, Booking]] = {}  # from when until when it is good
        self._unpointed: list[tuple[int, Entry, Incident]] = []  # changes of which no point is known to be kept
        self._readiness: dict[tuple[str, str], tuple[int, tuple[int, int] | None]] = {}  # of which lesson, and what
        self._slices: dict[str, list[burn.Slice]] = {}
        self._looked_ms: dict[str, int] = {}
        self._books: _Books | None = None
        self._news: set[str] = set()  # schools with an incident that was just written, so has a number to tell by now
        self._failed: dict[str, str] = {}  # by school

    @property
    def problem(self) -> str:
        """What failed at the last look, and at how many schools."""
        if not self._failed:
            return ""
        school, reason = next(iter(self._failed.items()))
        more = f", and of {len(self._failed) - 1} more" if len(self._failed) > 1 else ""
        return f"no incidents of {school}{more}: {reason}"

    async def run(self, batch: Batch) -> None:
        """Add to the batch's writes what follows from each school that was looked at."""
        for address, ended, at_ms in batch.crashes:
            batch.writes += finding_book.crashed(address, ended, at_ms)
        batch.writes += [finding_book.said_goodbye(address, report) for address, report in batch.goodbyes]
        news, self._news = self._news, set()
        if not (batch.tick or batch.looked or news):
            return
        holds: dict[str, list[Hold]] = {}
        try:
            self._refresh(batch)
            books = self._read_books(batch.now_ms)
            for hold in records.in_force(self._db, batch.now_ms, batch.now_ms, records.ALERTING):
                holds.setdefault(hold.school, []).append(hold)
        except Exception as error:
            self._fail(EVERYWHERE, error)
            return
        self._failed.pop(EVERYWHERE, None)
        for school in sorted(news - batch.looked.keys()) + list(batch.looked):
            try:
                current = self._round(school, batch.looked.get(school), holds.get(school, []), books, batch.now_ms)
                writes = self._burn(current) if current.sees else []
                batch.writes += writes + self._run(current, school)
                if current.entries:
                    self._news.add(school)
                    batch.unfinished = True  # the next batch comes at once: by then they have their numbers
            except Exception as error:
                self._fail(school, error)
            else:
                self._failed.pop(school, None)

    def watch(self, problems: Mapping[str, str], now_ms: int) -> None:
        """One round for Caretaker itself, in a transaction of its own: the rules' loop may be what does not work.

        Unavailable when the state file cannot be read or written.
        """
        current = Round(
            now_ms=now_ms,
            school=None,
            devices={},
            findings=find_own(problems, self._memory.behind_s, self._find, now_ms),
            alerts=self._alerts,
        )
        try:
            self._follow(now_ms)
            writes = self._run(current, "")
            if self._alerts is not None:
                writes += telling_book.digests(self._db, self._alerts, self._seen, now_ms)
            self._db.execute("BEGIN IMMEDIATE")
            for statement, values in writes:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise Unavailable(f"state file: {error}") from error

    def incidents(self, school: str) -> list[Incident]:
        """Open incidents of a school, and some that are closed, as of this batch; "": of Caretaker itself."""
        return list(self._incidents.of(school).values())

    @property
    def ready_ratio(self) -> float:
        """Share of its machines with which a room is ready for its lesson, as the alert settings have it."""
        return self._find.room_ready_ratio

    def _fail(self, school: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        if self._failed.get(school) != reason:
            log.error("incidents cannot be found; the rules go on", school=school, reason=reason)
        self._failed[school] = reason

    def _follow(self, now_ms: int) -> None:
        """Read what is new in the log of incidents; its points go out with the next batch."""
        self._unpointed += self._incidents.refresh(now_ms)

    def _refresh(self, batch: Batch) -> None:
        """Bring incidents up to date, and make points of what is new."""
        self._follow(batch.now_ms)
        done = state.position(self._db, POINTS)
        news = [item for item in self._unpointed if item[0] > done]
        self._unpointed = news  # until it is seen that they are kept
        for _, entry, incident in news:
            encoded = msgspec.msgpack.encode(point_of(entry, incident, self._devices))
            batch.writes.append(("INSERT INTO pending_points (point) VALUES (?)", (encoded,)))
        if news:
            batch.writes.append(
                (
                    "INSERT INTO positions VALUES (?, ?) ON CONFLICT (reader) DO UPDATE SET pos = excluded.pos",
                    (POINTS, news[-1][0]),
                )
            )

    def _read_books(self, now_ms: int) -> _Books:
        books = self._books
        if books is None or not 0 <= now_ms - books.read_ms < LOOK_AGAIN_MS:
            cannot: dict[str, dict[str, tuple[int, Reason | None]]] = {}
            for row in wake_book.cannot_wake(self._db):
                cannot.setdefault(row.address.school, {})[row.address.device] = (row.result_ms, row.reason)
            overdue = finding_book.overdue(self._db, now_ms - WAKES_BACK_MS, now_ms)
            crashes = finding_book.crashes(self._db, now_ms - ms(self._find.crashes_within))
            books = self._books = _Books(now_ms, cannot, overdue, crashes)
        return books

    def _round(self, name: str, snapshot: Snapshot | None, holds: list[Hold], books: _Books, now_ms: int) -> Round:
        """What a round of a school begins with. Without a snapshot nothing begins and nothing ends in it."""
        school = self._estate.schools[name]
        connected_ms = self._memory.connected_since_ms
        # Without a broker it is behind without end.
        sees = snapshot is not None and connected_ms <= now_ms - SIGHT_MS and snapshot.behind_s * 1000 <= SIGHT_MS
        timetable = snapshot.timetable if snapshot is not None else NO_TIMETABLE
        clock = self.clock(school, timetable if snapshot is not None else None)
        current = Round(
            now_ms=now_ms,
            school=school,
            devices=self._devices[name],
            findings=[],
            timetable=timetable,
            holds=holds,
            alerts=self._alerts,
            clock=clock,
            classes=self._estate.classes,
            in_service=self._in_service(school, clock, now_ms),
            sees=sees,
            seen_since_ms=connected_ms,
        )
        if snapshot is not None and sees:
            current.machines = snapshot.machines
            current.pending = finding_book.pending_of(self._db, name)
            level = clock.level_at(now_ms) if clock is not None else None
            lessons = self.lessons(school, timetable, now_ms)
            view = View(
                snapshot=snapshot,
                policy=self._policies.get(name, NO_POLICY),
                now_ms=now_ms,
                find=self._find,
                seen_since_ms=connected_ms,
                lessons=lessons,
                ready=self._ready(name, lessons, now_ms),
                cannot_wake=books.cannot_wake.get(name, {}),
                overdue=books.overdue.get(name, {}),
                crashes=books.crashes.get(name, {}),
                user_off_until_lesson=level is not None and level.user_off == "until_lesson",
                known=frozenset(key for key, pending in current.pending.items() if pending.present),
            )
            current.findings = find(view)
        return current

    def _run(self, current: Round, school: str) -> list[Write]:
        """One round through the pipeline; returns what it leaves."""
        if current.school is None:
            current.pending = finding_book.pending_of(self._db, school)
        before = dict(current.pending)
        current.incidents = self._incidents.of(school)
        if self._alerts is not None:
            since_ms = current.now_ms - TOLD_BACK_MS
            told = [one.uid for one in current.incidents.values() if one.open or one.fixed_ms >= since_ms]
            current.told = telling_book.told_of(self._db, told)
        run(current)
        writes = finding_book.changes(school, before, current.pending)
        for entry in current.entries:
            writes += incident_book.write(entry)
        for telling in current.telling:
            writes += telling_book.write(telling)
        return writes

    def _burn(self, current: Round) -> list[Write]:
        """Note the machine time since the last look, and find whether the school uses up its outage too fast."""
        assert current.school is not None
        name, now_ms = current.school.name, current.now_ms
        level = current.clock.level_at(now_ms) if current.clock is not None else None
        if level is None or current.clock is None:
            return []
        works = works_on(current)
        down = {
            finding.subject
            for finding in current.findings
            if finding.kind in DOWN and finding.subject.device and not worked_on(finding.subject, works, current)
        }
        if name not in self._slices:
            self._slices[name] = finding_book.slices_of(self._db, name)
        before = self._slices[name]
        last_ms = self._looked_ms.get(name, before[-1].until_ms if before else now_ms)
        self._looked_ms[name] = now_ms
        looked = 0 < now_ms - last_ms <= LONGEST_LOOK_MS  # else nobody looked meanwhile
        service_ms = current.clock.used_ms(last_ms, now_ms) if looked else 0
        slices = before
        if service_ms:
            heard = sum(bool(tracked.presence.heard_ms) for _, tracked in current.machines)
            slices = self._slices[name] = burn.sample(before, last_ms, now_ms, service_ms, heard, len(down))
        hits = tuple(sorted(down))
        explained_ms = explained(self._incidents.of(name).values(), now_ms)
        for finding in burn.burning(slices, level, Subject(name), explained_ms):
            current.findings.append(msgspec.structs.replace(finding, hits=hits))
        return finding_book.sampled(name, slices) if service_ms else []

    def _seen(self) -> list[Seen]:
        """What a digest looks at."""
        schools = [
            Seen(school, list(self._incidents.of(name).values()), self.clock(school, None))
            for name, school in self._estate.schools.items()
        ]
        return [*schools, Seen(None, list(self._incidents.of("").values()))]

    def clock(self, school: School, timetable: Timetable | None = None) -> ServiceClock | None:
        """The school's hours of service, kept while its timetable is the same; `timetable` None: whatever is known."""
        if self._estate.service is None:
            return None
        known = self._clocks.get(school.name)
        if known is None or (timetable is not None and known[0] is not timetable):
            timetable = timetable or NO_TIMETABLE
            known = self._clocks[school.name] = (timetable, ServiceClock.of(school, self._estate.service, timetable))
        return known[1]

    def _in_service(self, school: School, clock: ServiceClock | None, now_ms: int) -> bool:
        if clock is not None:
            return bool(clock.owed(now_ms, now_ms + 1))
        return in_hours(school.service_hours, now_ms, zone_of(school.time_zone))

    def lessons(self, school: School, timetable: Timetable, now_ms: int) -> dict[str, Booked]:
        """The lesson that each room has now; of a room of which nothing is known none."""
        answers = self.bookings(school, timetable, now_ms)
        return {room: answer for room, answer in answers.items() if isinstance(answer, Booked)}

    def bookings(self, school: School, timetable: Timetable, now_ms: int) -> dict[str, Booking]:
        """What the calendar says of each room now; it is asked again when a lesson begins or ends, and now and then."""
        found: dict[str, Booking] = {}
        for room in school.rooms:
            key = (school.name, room.name)
            known = self._bookings.get(key)
            if known is None or not known[0] <= now_ms < known[1]:
                answer = booking(room, school, now_ms, 0, timetable)
                until_ms = now_ms + BOOKING_MS
                if isinstance(answer, Booked):
                    until_ms = min(until_ms, answer.until_ms)
                elif isinstance(answer, Free) and answer.next_ms is not None:
                    until_ms = min(until_ms, answer.next_ms)
                known = self._bookings[key] = (now_ms, until_ms, answer)
            found[room.name] = known[2]
        return found

    def _ready(self, school: str, lessons: Mapping[str, Booked], now_ms: int) -> dict[str, tuple[int, int]]:
        """How many machines of each room with a lesson were on as it began, where that was recorded."""
        found: dict[str, tuple[int, int]] = {}
        for room, lesson in lessons.items():
            key = (school, room)
            known = self._readiness.get(key)
            if known is None or known[0] != lesson.from_ms:
                row = self._db.execute(
                    "SELECT ready, total FROM readiness WHERE school = ? AND room = ? AND lesson_ms = ?",
                    (*key, lesson.from_ms),
                ).fetchone()
                if row is None and now_ms - lesson.from_ms < RECORDED_MS:
                    continue  # it may still come
                known = self._readiness[key] = (lesson.from_ms, row)
            if known[1] is not None:
                found[room] = known[1]
        return found


def explained(incidents: Iterable[Incident], now_ms: int) -> int | None:
    """The newest moment at which a fault of several machines was open; 0: never. None: a burn rate is one already."""
    newest_ms = 0
    for incident in incidents:
        if incident.kind is FindingKind.BURNING:
            if incident.open:
                return None
        elif len(incident.ever_hit) > 1:
            newest_ms = max(newest_ms, now_ms if incident.open else incident.fixed_ms)
    return newest_ms


def point_of(
    entry: Entry, incident: Incident, devices: Mapping[str, Mapping[str, Device]]
) -> tuple[str, int, tuple[str, str, str, str], dict[str, object]]:
    """A change of an incident, for the store. What people wrote stays out of it: it may hold a name."""
    subject = incident.subject
    device = devices.get(subject.school, {}).get(subject.device)
    labels = (
        subject.school or "caretaker",
        subject.room or "all",
        device.device_class if device is not None else "all",
        subject.device or "all",
    )
    fields: dict[str, object] = {
        "number": incident.number,
        "kind": incident.kind.value,
        "action": entry.action.value,
        "status": incident.status.value,
        "hits": len(incident.hits),
        "since_ms": incident.since_ms,
        "opened_ms": incident.opened_ms,
        "acknowledged_ms": incident.acknowledged_ms,
        "fixed_ms": incident.fixed_ms,
        "reopened": incident.reopened,
    }
    if incident.priority is not None:
        fields["priority"] = incident.priority
    # Two incidents of one device may change in one millisecond, and one incident twice: each has a time of its own.
    own_ns = incident.number % 10_000 * 100 + incident.entries % 100
    return "incident", entry.at_ms * 1_000_000 + own_ns, labels, fields
