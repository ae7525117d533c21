"""The owed half of `device_day`: what service was owed on a day, and whether it was there; with the outages behind it.

The reckoning is `timeline` and `availability` of the core. Here is brought together what they need: readings, changes,
sight, maintenance recorded beforehand, lessons, wakes that failed, hours of service. Each day keeps a short stamp of
the hours and lessons that it was reckoned with, so that a change of level or calendar makes the days it touches due.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise

import msgspec
from msgspec import Struct, field

from caretaker_collector import state
from caretaker_collector.days.service_calendar import LOOK_BACK_DAYS, Calendar, ServiceCalendars
from caretaker_collector.points import CHANGE, whole
from caretaker_collector.records import recorded_before
from caretaker_collector.stages.watch import sight, watched_since_ms
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import FieldValue, Point
from caretaker_contract.topics import Address
from caretaker_rules.availability import Outage, Wanted, account
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.intervals import Span, cut, union
from caretaker_rules.model import Device, Estate, Hold, School, Tracked, Transition
from caretaker_rules.ports import Store
from caretaker_rules.presence import AWAY_STATES
from caretaker_rules.rollup import Reading
from caretaker_rules.service import ServiceLevel
from caretaker_rules.timeline import timeline

CHECK_DAYS = 400
"""How far back days are looked at again when a level or a calendar has changed."""
STATED_DAYS = 100
"""How long after its end a stated month is looked at again each day."""
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

Mark = Callable[[str, str, int], None]
"""Marks a day of a school as due, since a moment."""
_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(Transition).decode
_decode_tracked = msgspec.msgpack.Decoder(Tracked).decode


class OwedDay(Struct, kw_only=True):
    """One school-day that is being reckoned."""

    school: str
    day: date
    start_ms: int
    until_ms: int
    level: ServiceLevel
    calendar: Calendar
    old: dict[str, list[Point]]  # what the store has of the day, by device
    owed: list[Span]  # this and what follows from LOOK_BACK_DAYS before the day on
    seen: list[Span]
    maintenance: list[Hold]
    wanted: dict[str, list[Wanted]]
    changes: dict[str, list[Transition]]
    before: dict[str, list[Transition]]  # the last change before the day, and the last one that told of going off
    heartbeats_s: dict[str, int]
    outages: list[tuple[str, Outage]] = field(default_factory=list)

    def device(self, estate: Estate, address: Address) -> Device | None:
        """The device as the register has it, or as it had it when the day was first reckoned.

        None: never, or nothing is to be heard of it by its class.
        """
        known = estate.devices.get(address)
        if known is None:
            for point in self.old.get(address.device, ()):
                if point.fields.get("owed_s"):
                    _, room, device_class, name = point.tags
                    return Device(school=self.school, name=name, room=room, device_class=device_class)
            return None
        its_class = estate.classes.get(known.device_class)
        return known if its_class is None or its_class.agent else None

    def moved(self, points: Sequence[Point]) -> list[Point]:
        """Noughts for what the store has of these devices under another room or class, so that none counts twice."""
        now = {point.tags[3]: point.tags for point in points}
        return [
            Point("device_day", old.time_ns, old.tags, {name: value * 0 for name, value in old.fields.items()})
            for device, rows in self.old.items()
            for old in rows
            if device in now and old.tags != now[device]
        ]

    def fields(self, device: Device, readings: Sequence[Reading]) -> dict[str, FieldValue]:
        """The owed fields of a device, from the readings of its day and the neighbours of these; keeps its outages."""
        earlier = [reading.at_ms for reading in readings if reading.at_ms < self.start_ms]
        oldest_ms = self.start_ms - LOOK_BACK_DAYS * 86_400_000
        begin_ms = max(max(earlier, default=self.start_ms), oldest_ms)
        changes = [*self.before.get(device.name, ()), *self.changes.get(device.name, ())]
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

    def __init__(self, db: sqlite3.Connection, estate: Estate, calendars: ServiceCalendars) -> None:
        self._db = db
        self._estate = estate
        self._calendars = calendars
        self._signatures: dict[str, str] = {}

    @property
    def schools(self) -> list[School]:
        """Those that have a service level."""
        return list(self._estate.schools.values()) if self._estate.service is not None else []

    async def begin(self, store: Store, name: str, day: date, start_ms: int, until_ms: int) -> OwedDay | None:
        """What the day's reckoning needs; None when the school has no level on it. Unavailable: the store."""
        school = self._estate.schools.get(name)
        if school is None or self._estate.service is None or until_ms <= start_ms:
            return None
        calendar = await self._calendars.around(school, day)
        level = calendar.clock.level(day)
        if level is None:
            return None
        changes: dict[str, list[Transition]] = {}
        for point in whole(await store.read("transition", start_ms, until_ms, school=name), *CHANGE):
            changes.setdefault(point.tags[3], []).append(change_of(point))
        old: dict[str, list[Point]] = {}
        for point in await store.read("device_day", start_ms, start_ms + 1, school=name):
            old.setdefault(point.tags[3], []).append(point)
        oldest_ms = start_ms - LOOK_BACK_DAYS * 86_400_000
        # Before Caretaker was there it can say nothing: that is in no figure, and whoever shows one says so.
        watched_ms = max(oldest_ms, watched_since_ms(self._db) or oldest_ms)
        return OwedDay(
            school=name,
            day=day,
            start_ms=start_ms,
            until_ms=until_ms,
            level=level,
            calendar=calendar,
            old=old,
            owed=calendar.clock.owed(watched_ms, until_ms),
            seen=sight(self._db, oldest_ms, until_ms),
            maintenance=list(recorded_before(self._db, name, oldest_ms, until_ms)),
            wanted=self._wanted(name, oldest_ms, until_ms),
            changes=changes,
            before=self._before(name, day, old.keys() | {a.device for a in self._estate.devices if a.school == name}),
            heartbeats_s=self._heartbeats(name),
        )

    def _before(self, school: str, day: date, devices: Iterable[str]) -> dict[str, list[Transition]]:
        found: dict[str, list[Transition]] = {}
        for column in ("last", "went"):
            query = (
                f"SELECT {column} FROM day_changes WHERE school = ? AND device = ? AND day < ? "  # noqa: S608
                f"AND {column} IS NOT NULL ORDER BY day DESC LIMIT 1"
            )
            for device in devices:
                row = self._db.execute(query, (school, device, day.isoformat())).fetchone()
                if row is not None:
                    found.setdefault(device, []).append(_decode_change(row[0]))
        return found

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

    def keep(self, owed: OwedDay) -> None:
        """Write the day's outages, its last changes and its stamp."""
        text = owed.day.isoformat()
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
        last = [(owed.school, device, text, *last_of(changes)) for device, changes in owed.changes.items()]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("DELETE FROM outages WHERE school = ? AND day = ?", (owed.school, text))
            self._db.executemany("INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", outages)
            self._db.executemany("INSERT OR REPLACE INTO day_changes VALUES (?, ?, ?, ?, ?)", last)
            self._db.execute(
                "INSERT OR REPLACE INTO day_stamps VALUES (?, ?, ?)", (owed.school, text, owed.calendar.stamp(owed.day))
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def amend(self, owed: OwedDay, points: Sequence[Point]) -> None:
        """Note the devices whose figures of a stated month are not what they were.

        Call it when the new points are stored: who states the month from now on states it with them.
        """
        stated = "SELECT 1 FROM stated WHERE school = ? AND month = ?"
        if self._db.execute(stated, (owed.school, f"{owed.day:%Y-%m}")).fetchone() is None:
            return
        before = {point.tags: _figures(point) for rows in owed.old.values() for point in rows}
        self._db.executemany(
            "INSERT OR IGNORE INTO amended VALUES (?, ?, ?)",
            [
                (owed.school, owed.day.isoformat(), point.tags[3])
                for point in points
                if _figures(point) != before.get(point.tags)
            ],
        )

    async def mark_due(self, now_ms: int, mark: Mark) -> None:
        """Mark the days that no report has made due: those that have passed, that maintenance or new settings touch."""
        for school in self.schools:
            self._mark_passed(school, now_ms, mark)
            await self._mark_changed(school, now_ms, mark)
        self._mark_maintained(now_ms, mark)

    def _mark_passed(self, school: School, now_ms: int, mark: Mark) -> None:
        """The day under way when it begins, and those before it back to the one that was under way at the last look."""
        zone = zone_of(school.time_zone)
        today = local(now_ms, zone).date()
        reader = f"days {school.name}"
        known = state.position(self._db, reader)
        if known == today.toordinal():
            return
        day = max(date.fromordinal(known), today - timedelta(days=LOOK_BACK_DAYS)) if known else today
        while day <= today:
            mark(school.name, day.isoformat(), midnight_ms(today, zone))
            day += _DAY
        # Incidents go on after their month is over, and no day of it says so: what was stated is looked at once a day.
        self._look_again(school.name, f"{today - timedelta(days=STATED_DAYS):%Y-%m}")
        state.save_position(self._db, reader, today.toordinal())

    async def _mark_changed(self, school: School, now_ms: int, mark: Mark) -> None:
        """Days that were reckoned with other hours or lessons than they have now."""
        signature = self._signature(school)
        if self._signatures.get(school.name) == signature:
            return
        row = self._db.execute("SELECT signature FROM owed_inputs WHERE school = ?", (school.name,)).fetchone()
        if row is not None and row[0] != signature:
            oldest = local(now_ms, zone_of(school.time_zone)).date() - timedelta(days=CHECK_DAYS)
            rows = self._db.execute(
                "SELECT day, stamp FROM day_stamps WHERE school = ? AND day >= ? ORDER BY day",
                (school.name, oldest.isoformat()),
            ).fetchall()
            for text, stamp in rows:
                day = date.fromisoformat(text)
                if (await self._calendars.around(school, day)).stamp(day) != stamp:
                    mark(school.name, text, now_ms)
                await asyncio.sleep(0)
            self._look_again(school.name, "")  # what is not of days, such as a target, may change a stated month too
        self._db.execute("INSERT OR REPLACE INTO owed_inputs VALUES (?, ?)", (school.name, signature))
        self._signatures[school.name] = signature

    def _look_again(self, school: str, first_month: str) -> None:
        """Have the months that were stated be reckoned again; an empty name stands for no device."""
        self._db.execute(
            "INSERT OR IGNORE INTO amended SELECT DISTINCT school, month || '-01', '' FROM stated "
            "WHERE school = ? AND month >= ?",
            (school, first_month),
        )

    def _signature(self, school: School) -> str:
        """What changes when the level, the school's settings or one of its files does."""
        made_of = [self._estate.service, school, self._calendars.signature(school)]
        return hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:16]

    def _mark_maintained(self, now_ms: int, mark: Mark) -> None:
        """Today, where maintenance was recorded or ended since the last look; it never counts for what lies before."""
        seen_ms = state.position(self._db, "maintenance")
        rows = self._db.execute(
            "SELECT DISTINCT school FROM holds WHERE kind = 'maintenance' AND (made_ms > ? OR ended_ms > ?)",
            (seen_ms, seen_ms),
        ).fetchall()
        for (name,) in rows:
            school = self._estate.schools.get(name)
            if school is not None and self._estate.service is not None:
                mark(name, local(now_ms, zone_of(school.time_zone)).date().isoformat(), now_ms)
        if rows:
            state.save_position(self._db, "maintenance", now_ms)


def tags_of(device: Device) -> tuple[str, str, str, str]:
    """School, room, class and device."""
    return device.school, device.room, device.device_class, device.name


def _figures(point: Point) -> tuple[FieldValue | None, ...]:
    return tuple(point.fields.get(name) for name in FIELDS)


def last_of(changes: Sequence[Transition]) -> tuple[bytes, bytes | None]:
    """The last of a day's changes, and the last one to off or asleep, None when there is none."""
    in_time = sorted(changes, key=lambda change: change.at_ms)
    went = [change for change in in_time if change.to_state in AWAY_STATES]
    return _encode(in_time[-1]), _encode(went[-1]) if went else None


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
