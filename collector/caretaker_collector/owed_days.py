"""The owed half of `device_day`: what service was owed on a day, and whether it was there; with the outages behind it.

The reckoning is `timeline` and `availability` of the core. Here is brought together what they need: readings, changes,
sight, maintenance recorded beforehand, lessons, wakes that failed, hours of service. Each day keeps a short stamp of
the hours and lessons that it was reckoned with, so that a change of level or calendar makes the days it touches due.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct, field

from caretaker_collector import state
from caretaker_collector.calendars import read_or_doubt, signature_of
from caretaker_collector.records import recorded_before
from caretaker_collector.stages.watch import sight
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import FieldValue, Point
from caretaker_rules.availability import Outage, Wanted, account
from caretaker_rules.calendar import Unknown, day_bookings, local, midnight_ms, zone_of
from caretaker_rules.intervals import Span, cut, union
from caretaker_rules.model import Device, Estate, Hold, School, Tracked, Transition
from caretaker_rules.ports import Store
from caretaker_rules.rollup import Reading
from caretaker_rules.service import ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla import month_days
from caretaker_rules.timeline import timeline
from caretaker_rules.timetable import Timetable

LOOK_BACK_DAYS = 60
"""How long before a day the last word of a machine may lie, for what was needed since to count."""
AHEAD_DAYS = 62
"""How far beyond a month its calendar is read: clocks of its last incidents run on."""
CHECK_DAYS = 400
"""How far back days are looked at again when a level or a calendar has changed."""
MOST_CALENDARS = 32
_DAY = timedelta(days=1)
FIELDS = (
    "owed_s",
    "maintained_s",
    "available_s",
    "down_s",
    "unseen_s",
    "lesson_s",
    "lesson_available_s",
    "lesson_down_s",
    "lesson_unseen_s",
    "faults",
)
"""What is reckoned here of `device_day`."""

_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(Transition).decode
_decode_tracked = msgspec.msgpack.Decoder(Tracked).decode


class Calendar(Struct):
    """A school's hours of service and lessons, for one month and what surrounds it."""

    school: School
    clock: ServiceClock
    timetable: Timetable
    _lessons: dict[tuple[str, date], list[Span]] = field(default_factory=dict)

    def lessons(self, room: str, day: date) -> list[Span]:
        """Lessons and bookings of a room on a local day; none when the room or its calendar is not known."""
        key = (room, day)
        found = self._lessons.get(key)
        if found is None:
            known = next((each for each in self.school.rooms if each.name == room), None)
            booked = day_bookings(known, self.school, day, self.timetable) if known else []
            found = [] if isinstance(booked, Unknown) else [(each.from_ms, each.until_ms) for each in booked]
            self._lessons[key] = found
        return found

    def stamp(self, day: date) -> str:
        """A short hash of what figures of this day depend on beside the events."""
        level = self.clock.level(day)
        start_ms, end_ms = midnight_ms(day, self.clock.zone), midnight_ms(day + _DAY, self.clock.zone)
        lessons = [self.lessons(room.name, day) for room in self.school.rooms]
        made_of = [
            level.name if level else "",
            level.user_off if level else "",
            self.clock.owed(start_ms, end_ms),
            lessons,
        ]
        return hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:8]


class OwedDay(Struct, kw_only=True):
    """One school-day that is being reckoned."""

    school: str
    day: date
    start_ms: int
    until_ms: int
    level: ServiceLevel
    calendar: Calendar
    owed: list[Span]  # this and what follows from LOOK_BACK_DAYS before the day on
    seen: list[Span]
    maintenance: list[Hold]
    wanted: dict[str, list[Wanted]]
    changes: dict[str, list[Transition]]
    before: dict[str, Transition]  # the last change before the day
    heartbeats_s: dict[str, int]
    outages: list[tuple[str, Outage]] = field(default_factory=list)

    def fields(self, device: Device, readings: Sequence[Reading]) -> dict[str, FieldValue]:
        """The owed fields of a device, from the readings of its day and the neighbours of these; keeps its outages."""
        earlier = [reading.at_ms for reading in readings if reading.at_ms < self.start_ms]
        oldest_ms = self.start_ms - LOOK_BACK_DAYS * 86_400_000
        begin_ms = max(max(earlier, default=self.start_ms), oldest_ms)
        changes = self.changes.get(device.name, [])
        if device.name in self.before:
            changes = [self.before[device.name], *changes]
        line = timeline(
            readings,
            changes,
            begin_ms,
            self.until_ms,
            self.until_ms,
            cut(self.seen, begin_ms, self.until_ms),
            self.heartbeats_s.get(device.name, 300),
        )
        lessons: list[Span] = []
        day = local(begin_ms, self.calendar.clock.zone).date()
        while day <= self.day:
            lessons += self.calendar.lessons(device.room, day)
            day += _DAY
        kept = [(hold.from_ms, hold.until_ms) for hold in self.maintenance if hold.covers(device)]
        found = account(
            line,
            cut(self.owed, begin_ms, self.until_ms),
            union(kept),
            lessons,
            self.wanted.get(device.name, ()),
            self.level.user_off,
            (self.start_ms, self.until_ms),
        )
        self.outages += [(device.name, outage) for outage in found.outages]
        amounts = (
            found.owed_ms,
            found.maintained_ms,
            found.available_ms,
            found.down_ms,
            found.unseen_ms,
            found.lesson_ms,
            found.lesson_available_ms,
            found.lesson_down_ms,
            found.lesson_unseen_ms,
        )
        seconds = (*_whole(amounts[0], amounts[1:5]), *_whole(amounts[5], amounts[6:]))
        return dict(zip(FIELDS, (*seconds, found.faults), strict=True))


def _whole(total_ms: int, parts_ms: Sequence[int]) -> list[int]:
    """Whole seconds of a total and its parts, so that the parts still add up to it."""
    ends, running_ms = [0], 0
    for part in parts_ms:
        running_ms += part
        ends.append(round(running_ms / 1000))
    return [round(total_ms / 1000), *(end - begin for begin, end in pairwise(ends))]


class OwedDays:
    """Makes `OwedDay`s, keeps what comes of them, and says which days are due."""

    def __init__(self, db: sqlite3.Connection, estate: Estate, folder: Path) -> None:
        self._db = db
        self._estate = estate
        self._folder = folder
        self._calendars: dict[tuple[str, date], tuple[tuple[object, ...], Calendar]] = {}
        self._signatures: dict[str, str] = {}

    @property
    def schools(self) -> list[School]:
        """Those that have a service level."""
        return list(self._estate.schools.values()) if self._estate.service is not None else []

    async def calendar(self, school: School, day: date) -> Calendar:
        """Hours and lessons around the month of a day; read again when one of the school's files has changed."""
        first, last = month_days(f"{day:%Y-%m}")
        signature = signature_of(school, self._folder)
        known = self._calendars.get((school.name, first))
        if known is None or known[0] != signature:
            span = (first - timedelta(days=LOOK_BACK_DAYS + 1), last + timedelta(days=AHEAD_DAYS))
            read = await asyncio.to_thread(read_or_doubt, school, self._folder, *span)
            clock = ServiceClock.of(school, self._estate.service, read.timetable)
            known = (signature, Calendar(school, clock, read.timetable))
            while len(self._calendars) >= MOST_CALENDARS:
                del self._calendars[next(iter(self._calendars))]
            self._calendars[school.name, first] = known
        return known[1]

    async def begin(self, store: Store, name: str, day: date, start_ms: int, until_ms: int) -> OwedDay | None:
        """What the day's reckoning needs; None when the school has no level on it. Unavailable: the store."""
        school = self._estate.schools.get(name)
        if school is None or self._estate.service is None or until_ms <= start_ms:
            return None
        calendar = await self.calendar(school, day)
        level = calendar.clock.level(day)
        if level is None:
            return None
        changes: dict[str, list[Transition]] = {}
        for point in await store.read("transition", start_ms, until_ms, school=name):
            changes.setdefault(point.tags[3], []).append(change_of(point))
        oldest_ms = start_ms - LOOK_BACK_DAYS * 86_400_000
        return OwedDay(
            school=name,
            day=day,
            start_ms=start_ms,
            until_ms=until_ms,
            level=level,
            calendar=calendar,
            owed=calendar.clock.owed(oldest_ms, until_ms),
            seen=sight(self._db, oldest_ms, until_ms),
            maintenance=list(recorded_before(self._db, name, oldest_ms, until_ms)),
            wanted=self._wanted(name, oldest_ms, until_ms),
            changes=changes,
            before=self._before(name, day),
            heartbeats_s=self._heartbeats(name),
        )

    def _before(self, school: str, day: date) -> dict[str, Transition]:
        rows = self._db.execute(
            "SELECT device, last, max(day) FROM day_changes WHERE school = ? AND day < ? GROUP BY device",
            (school, day.isoformat()),
        )
        return {device: _decode_change(last) for device, last, _ in rows}

    def _heartbeats(self, school: str) -> dict[str, int]:
        rows = self._db.execute("SELECT device, tracked FROM devices WHERE school = ?", (school,))
        return {device: _decode_tracked(tracked).presence.heartbeat_s for device, tracked in rows}

    def _wanted(self, school: str, from_ms: int, until_ms: int) -> dict[str, list[Wanted]]:
        """Moments at which a machine was wanted by a wake that did not bring it in time."""
        found: dict[str, list[Wanted]] = {}
        rows = self._db.execute(
            "SELECT device, needed_ms, first_ms FROM wakes WHERE school = ? AND until_ms >= ? AND needed_ms >= ? "
            "AND needed_ms < ? AND (attempts > 0 OR result = 'cannot') "
            "AND NOT (result = 'awake' AND result_ms <= needed_ms) ORDER BY needed_ms",
            (school, from_ms, from_ms, until_ms),
        )
        for device, needed_ms, asked_ms in rows:
            found.setdefault(device, []).append(Wanted(needed_ms, asked_ms or None))
        return found

    async def keep(self, store: Store, owed: OwedDay, points: Sequence[Point]) -> None:
        """Write the day's outages, its last changes and its stamp; in a stated month also which devices it amends.

        Call it before `points`, the day's new ones, are stored, as it compares them with those that are. Unavailable:
        the store, and nothing was written.
        """
        text = owed.day.isoformat()
        amended = await self._amended(store, owed, points) if self._is_stated(owed.school, owed.day) else []
        outages = [
            (
                owed.school,
                text,
                device,
                max(each.from_ms, owed.start_ms),
                min(each.until_ms, owed.until_ms),
                each.what.value,
                each.cause.value,
                each.began_ms,
            )
            for device, each in owed.outages
        ]
        last = [
            (owed.school, device, text, _encode(max(changes, key=lambda change: change.at_ms)))
            for device, changes in owed.changes.items()
        ]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("DELETE FROM outages WHERE school = ? AND day = ?", (owed.school, text))
            self._db.executemany("INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", outages)
            self._db.executemany("INSERT OR REPLACE INTO day_changes VALUES (?, ?, ?, ?)", last)
            self._db.execute(
                "INSERT OR REPLACE INTO day_stamps VALUES (?, ?, ?)", (owed.school, text, owed.calendar.stamp(owed.day))
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO amended VALUES (?, ?, ?)", [(owed.school, text, device) for device in amended]
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _is_stated(self, school: str, day: date) -> bool:
        query = "SELECT 1 FROM stated WHERE school = ? AND month = ?"
        return self._db.execute(query, (school, f"{day:%Y-%m}")).fetchone() is not None

    async def _amended(self, store: Store, owed: OwedDay, points: Sequence[Point]) -> list[str]:
        """Devices whose owed figures of this day are not what they were."""
        old = await store.read("device_day", owed.start_ms, owed.start_ms + 1, school=owed.school)
        before = {point.tags[3]: _figures(point) for point in old}
        return [point.tags[3] for point in points if _figures(point) != before.get(point.tags[3])]

    async def due(self, now_ms: int) -> list[tuple[str, date, int]]:
        """Days that no report has made due: those that have passed, that maintenance or a change of settings touches.

        Each with the moment since when it is. Whoever asks has to mark them.
        """
        found: list[tuple[str, date, int]] = []
        for school in self.schools:
            found += self._passed(school, now_ms)
            found += await self._changed(school, now_ms)
        found += self._maintained(now_ms)
        return found

    def _passed(self, school: School, now_ms: int) -> Iterator[tuple[str, date, int]]:
        """The day under way when it begins, and those before it back to the one that was under way at the last look."""
        zone = zone_of(school.time_zone)
        today = local(now_ms, zone).date()
        reader = f"days {school.name}"
        known = state.position(self._db, reader)
        if known == today.toordinal():
            return
        day = max(date.fromordinal(known), today - timedelta(days=LOOK_BACK_DAYS)) if known else today
        since_ms = midnight_ms(today, zone)
        while day <= today:
            yield school.name, day, since_ms
            day += _DAY
        state.save_position(self._db, reader, today.toordinal())

    async def _changed(self, school: School, now_ms: int) -> list[tuple[str, date, int]]:
        """Days that were reckoned with other hours or lessons than they have now."""
        signature = self._signature(school)
        if self._signatures.get(school.name) == signature:
            return []
        row = self._db.execute("SELECT signature FROM owed_inputs WHERE school = ?", (school.name,)).fetchone()
        found: list[tuple[str, date, int]] = []
        if row is not None and row[0] != signature:
            oldest = local(now_ms, zone_of(school.time_zone)).date() - timedelta(days=CHECK_DAYS)
            rows = self._db.execute(
                "SELECT day, stamp FROM day_stamps WHERE school = ? AND day >= ? ORDER BY day",
                (school.name, oldest.isoformat()),
            ).fetchall()
            for text, stamp in rows:
                day = date.fromisoformat(text)
                if (await self.calendar(school, day)).stamp(day) != stamp:
                    found.append((school.name, day, now_ms))
                await asyncio.sleep(0)
            # What is not of days, such as a target, may change a stated month too: an empty name stands for no device.
            self._db.execute(
                "INSERT OR IGNORE INTO amended SELECT DISTINCT school, month || '-01', '' FROM stated WHERE school = ?",
                (school.name,),
            )
        self._db.execute("INSERT OR REPLACE INTO owed_inputs VALUES (?, ?)", (school.name, signature))
        self._signatures[school.name] = signature
        return found

    def _signature(self, school: School) -> str:
        """What changes when the level, the school's settings or one of its files does."""
        made_of = [self._estate.service, school, signature_of(school, self._folder)]
        return hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:16]

    def _maintained(self, now_ms: int) -> Iterator[tuple[str, date, int]]:
        """Today, where maintenance was recorded or ended since the last look; it never counts for what lies before."""
        seen_ms = state.position(self._db, "maintenance")
        rows = self._db.execute(
            "SELECT DISTINCT school FROM holds WHERE kind = 'maintenance' AND (made_ms > ? OR ended_ms > ?)",
            (seen_ms, seen_ms),
        ).fetchall()
        for (name,) in rows:
            school = self._estate.schools.get(name)
            if school is not None and self._estate.service is not None:
                yield name, local(now_ms, zone_of(school.time_zone)).date(), now_ms
        if rows:
            state.save_position(self._db, "maintenance", now_ms)


def _figures(point: Point) -> tuple[FieldValue | None, ...]:
    return tuple(point.fields.get(name) for name in FIELDS)


def change_of(point: Point) -> Transition:
    """The change of state that a `transition` point tells of."""
    fields = point.fields
    return Transition(
        at_ms=point.time_ns // 1_000_000,
        from_state=PowerState(str(fields["from_state"])),
        to_state=PowerState(str(fields["to_state"])),
        cause=Cause(str(fields["cause"])),
        planned=bool(fields["planned"]),
    )
