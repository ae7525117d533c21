"""Keeps `device_day` true: every day that a report touched is computed again from the readings in the store.

With it go the same sums of each room and of the school (`sums.py`).

A day's total needs the last reading before it and the first one after it, which may be days away (a machine that was
off over a weekend says so on Monday). So the first and last reading of each device and day are kept in the state file,
and a first reading that closes such a gap makes the days in between due again.

Of a school with a service level the day also says what was owed and whether it was there (`owed.py`). Such a day
is computed once it is over even when nothing was heard on it, and a month that was stated is revised when it comes
out otherwise (`sla/book.py`). What was used and avoided on a day that is over follows from it (`energy.py`); how rooms
were used, hour by hour and lesson by lesson, goes with it (`use.py`).
"""

import asyncio
import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
import structlog

from caretaker_collector.days import energy as energy_days
from caretaker_collector.days.owed import OwedDays, tags_of
from caretaker_collector.days.service_calendar import ServiceCalendars
from caretaker_collector.days.sums import ready_of, sums_of
from caretaker_collector.days.use import UseDay
from caretaker_collector.points import READING, clock_error_ms, tags, whole
from caretaker_collector.receiver import repeating
from caretaker_collector.sla.book import SlaBook
from caretaker_contract.clock import Clock
from caretaker_contract.messages import PowerState
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_rules import rollup
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import Estate
from caretaker_rules.ports import Store
from caretaker_rules.rollup import Reading

log = structlog.get_logger()

SETTLE_MS = 300_000
"""How long a day stays marked before it is computed, so that a burst of late reports costs one computation."""
TODAY_EVERY_MS = 900_000
"""The day under way is computed this often."""
TRUSTED_SKEW_MS = 120_000
"""A clock that is further off is corrected; within it, transit time would be mistaken for skew."""
LOOK_EVERY_S = 60.0
LONGEST_GAP_DAYS = 60
"""A machine that was away for longer than this leaves its days blind."""

KEEP_ENDS = (
    "INSERT INTO day_ends VALUES (?, ?, ?, ?, ?) ON CONFLICT (school, device, day) "
    "DO UPDATE SET first = excluded.first, last = excluded.last"
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reading).decode


class Marks(Protocol):
    """Where days are marked that have to be computed again (the recorder)."""

    def mark_day(self, school: str, day: str, since_ms: int) -> None:
        """A day has to be computed again."""
        ...

    def forget_days(self, days: set[tuple[str, str]]) -> None:
        """These are being computed; a later report marks them again."""
        ...


class DayRollup:
    """Computes school-days that are marked dirty; one at a time, oldest mark first."""

    def __init__(
        self,
        db: sqlite3.Connection,
        store: Store,
        estate: Estate,
        recorder: Marks,
        clock: Clock,
        folder: Path = Path(),
    ) -> None:
        self._db = db
        self._store = store
        self._estate = estate
        self._recorder = recorder
        self._clock = clock
        self._calendars = ServiceCalendars(estate, folder)
        self._owed = OwedDays(db, estate, self._calendars)
        self.book = SlaBook(db, store, estate, self._calendars)

    async def run(self) -> None:
        """Until cancelled. A store that is down leaves the marks where they are."""
        await repeating(self.step, self._clock, LOOK_EVERY_S)

    async def step(self, now_ms: int, settle: bool = True) -> int:
        """Compute what is due; returns how many school-days were. With `settle` False marks need not have aged.

        Then months that were stated and whose days came out otherwise get a revision.
        """
        await self._owed.mark_due(now_ms, self._recorder.mark_day)
        done = 0
        # All at once: a cursor that stays open while we compute holds on to the file as it was, and then nothing can be
        # written any more once another connection has.
        rows = self._db.execute("SELECT school, day, since_ms, marks FROM dirty_days ORDER BY since_ms").fetchall()
        for school, text, since_ms, marks in rows:
            day = date.fromisoformat(text)
            zone = self._zone(school)
            patience_ms = TODAY_EVERY_MS if day == local(now_ms, zone).date() else SETTLE_MS
            if settle and now_ms - since_ms < patience_ms:
                continue
            self._recorder.forget_days({(school, text)})
            await self.roll(school, day, now_ms)
            # A day that was marked again meanwhile stays due, and so does one that was not computed to its end.
            unmark = "DELETE FROM dirty_days WHERE school = ? AND day = ? AND marks = ?"
            if not self._db.execute(unmark, (school, text, marks)).rowcount:
                again = "UPDATE dirty_days SET since_ms = ? WHERE school = ? AND day = ?"
                self._db.execute(again, (now_ms, school, text))
            done += 1
        for revision in await self.book.revise(now_ms):
            log.warning(
                "a stated month was revised", school=revision.school, month=revision.month, reason=revision.reason
            )
        return done

    async def roll(self, school: str, day: date, now_ms: int) -> None:
        """Compute one day of a school from the store, marked or not. Unavailable: the store did not answer."""
        zone = self._zone(school)
        start_ms, end_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
        until_ms = min(end_ms, max(now_ms, start_ms))
        by_device: dict[str, list[Reading]] = {}
        for point in whole(await self._store.read("device", start_ms, end_ms, school=school), *READING):
            by_device.setdefault(point.tags[3], []).append(reading_of(point))
        # Devices without a reading on this day may have been off all through it.
        devices = by_device.keys() | {a.device for a in self._estate.devices if a.school == school}
        today = local(now_ms, zone).date()
        owed = await self._owed.begin(self._store, school, day, start_ms, until_ms)
        use = await self._use(school, day, start_ms, until_ms)
        points: list[Point] = []
        for count, device in enumerate(sorted(devices)):
            if count % 50 == 49:
                await asyncio.sleep(0)  # let messages through
            readings = by_device.get(device, [])
            self._keep_ends(school, device, day, readings, today)
            around = [*self._neighbours(school, device, day), *readings]
            address = Address(school, device)
            served = owed.device(self._estate, address) if owed is not None else None
            if (around or served) and until_ms > start_ms:
                labels = tags(self._estate, address) if served is None else tags_of(served)
                point = self._point(labels, start_ms, around, until_ms)
                if owed is not None and served is not None:
                    point.fields.update(owed.fields(served, around))
                use.add(point, around)
                points.append(point)
        if owed is not None:
            self._owed.keep(owed)
            points += owed.moved(points)
        if now_ms >= end_ms:
            energy_days.mark(self._db, school, day, now_ms)
        used = energy_days.used_points(self._estate, school, day, points)
        sums = sums_of(points, ready_of(self._db, school, start_ms, end_ms))
        rooms = use.points(await self._store.read("room_use", start_ms, end_ms, school=school))
        refused = await self._store.write([*points, *sums, *used, *rooms])
        for point, reason in refused:
            log.warning("the store refuses a day", tags=point.tags, reason=reason)
        if owed is not None:
            self._owed.amend(owed, points)

    async def _use(self, school: str, day: date, start_ms: int, until_ms: int) -> UseDay:
        known = self._estate.schools.get(school)
        calendar = await self._calendars.around(known, day) if known is not None else None
        return UseDay(self._estate, school, calendar, day, start_ms, until_ms)

    def _zone(self, school: str) -> ZoneInfo:
        known = self._estate.schools.get(school)
        return ZoneInfo(known.time_zone if known else "UTC")

    def _keep_ends(self, school: str, device: str, day: date, readings: list[Reading], today: date) -> None:
        """Note the day's first and last reading. When the first is news, the days back to the one before are due; when
        the last is, those up to the next one that are there already: what they began with is another thing now."""
        if not readings:
            return
        first, last = min(readings, key=by_time), max(readings, key=by_time)
        known = self._db.execute(
            "SELECT first, last FROM day_ends WHERE school = ? AND device = ? AND day = ?",
            (school, device, day.isoformat()),
        ).fetchone()
        self._db.execute(KEEP_ENDS, (school, device, day.isoformat(), _encode(first), _encode(last)))
        if known is None or _decode(known[1]) != last:
            self._mark_after(school, device, day, last, today)
        if known is not None and _decode(known[0]) == first:
            return
        before = self._db.execute(
            "SELECT max(day) FROM day_ends WHERE school = ? AND device = ? AND day < ?",
            (school, device, day.isoformat()),
        ).fetchone()[0]
        if before is None:
            return
        due = max(date.fromisoformat(before), day - timedelta(days=LONGEST_GAP_DAYS))
        while due < day:
            self._recorder.mark_day(school, due.isoformat(), first.at_ms)
            due += timedelta(days=1)

    def _mark_after(self, school: str, device: str, day: date, last: Reading, today: date) -> None:
        """Only days whose owed figures are there: the totals do not depend on how a machine went."""
        if day >= today:
            return
        reckoned = self._db.execute(
            "SELECT day FROM day_stamps WHERE school = ? AND day > ? AND day <= min(?, coalesce("
            "(SELECT min(day) FROM day_ends WHERE school = ? AND device = ? AND day > ?), '9999'))",
            (school, day.isoformat(), today.isoformat(), school, device, day.isoformat()),
        ).fetchall()
        for (text,) in reckoned[:LONGEST_GAP_DAYS]:
            self._recorder.mark_day(school, text, last.at_ms)

    def _neighbours(self, school: str, device: str, day: date) -> list[Reading]:
        """The last reading before the day and the first one after it, where there are any."""
        text = day.isoformat()
        before = self._db.execute(
            "SELECT last FROM day_ends WHERE school = ? AND device = ? AND day < ? ORDER BY day DESC LIMIT 1",
            (school, device, text),
        ).fetchone()
        after = self._db.execute(
            "SELECT first FROM day_ends WHERE school = ? AND device = ? AND day > ? ORDER BY day LIMIT 1",
            (school, device, text),
        ).fetchone()
        return [_decode(row[0]) for row in (before, after) if row is not None]

    def _point(self, labels: tuple[str, str, str, str], start_ms: int, readings: list[Reading], until_ms: int) -> Point:
        spent = rollup.totals(readings, start_ms, until_ms)
        fields: dict[str, int | float | bool | str] = {
            "in_use_s": spent.in_use_s,
            "idle_s": spent.idle_s,
            "asleep_s": spent.asleep_s,
            "off_s": spent.off_s,
            "blind_s": spent.blind_s,
            "boots": spent.boots,
        }
        device_class = self._estate.classes.get(labels[2])
        if device_class is not None:
            fields["energy_wh"] = float(rollup.energy_wh(spent, device_class))
        return Point("device_day", start_ms * 1_000_000, labels, fields)


def by_time(reading: Reading) -> tuple[int, int, int]:
    """What the first and the last reading of a day are found by."""
    return reading.at_ms, reading.boot, reading.seq


def reading_of(point: Point) -> Reading:
    """The meters of a `device` point, at the collector's time when the device's clock was plainly wrong.

    The skew was measured when the report was sent, so it holds for a replayed one too, to within its time in transit.
    """
    fields = point.fields
    skew_ms = round(float(fields.get("skew_s", 0.0)) * 1000)
    rest_ms = skew_ms - clock_error_ms(skew_ms)  # whole hours were put right when the point was made
    at_ms = point.time_ns // 1_000_000 + (rest_ms if abs(rest_ms) > TRUSTED_SKEW_MS else 0)
    return Reading(
        epoch=str(fields["epoch"]),
        boot=int(fields["boot"]),
        seq=int(fields["seq"]),
        at_ms=at_ms,
        state=PowerState(str(fields["state"])),
        in_use_s=int(fields["in_use_s"]),
        idle_s=int(fields["idle_s"]),
        asleep_s=int(fields["asleep_s"]),
    )
