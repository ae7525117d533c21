"""Months against their service level: reckoned from the store, and kept as they were shown.

A figure that was stated for a month that is over stays: when the same month comes out otherwise later (a late report, a
changed setting, an incident that went on), a *revision* is written beside it with its reason. Nothing is overwritten.

    caretaker sla month -> shown; stated as revision 1 once the month is over and all its days are computed
    a day's roll-up     -> `amended`: which device's day of a stated month came out otherwise
    the same task       -> `revise`: the month again, and a revision when it differs
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec
from msgspec import Struct

from caretaker_collector.days.service_calendar import ServiceCalendars
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.stages.watch import watched_since_ms
from caretaker_contract.topics import Address
from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Estate, School
from caretaker_rules.ports import Store
from caretaker_rules.service import ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla_faults import DeviceOutage

INCIDENTS_BACK_DAYS = 62
"""An incident opened so long before a month may still be what its outages belong to."""
FIRST = "first shown"
ALL_FIELDS = ("owed_s", "maintained_s", "available_s", "down_s", "unseen_s")
LESSON_FIELDS = ("lesson_s", "lesson_available_s", "lesson_down_s", "lesson_unseen_s")
_DAY = timedelta(days=1)
_MOST_NAMED = 3


class Stated(Struct, frozen=True, kw_only=True):
    """A month as it was shown. Revision 1 is the first."""

    school: str
    month: str
    revision: int
    made_ms: int
    stamp: str
    figure: sla.Month
    reason: str


class Reckoned(Struct, frozen=True, kw_only=True):
    """A month as it comes out now, with the events that it comes from."""

    figure: sla.Month
    outages: list[DeviceOutage]
    incidents: list[Incident]  # also those opened before, to which outages of the month may belong
    over: bool  # the month has ended
    watched: bool  # Caretaker was there before it ended
    waiting: list[str]  # its days that are still to be computed (again)


class Days(Struct, frozen=True, kw_only=True):
    """Some days as they come out now, with the events that they come from."""

    parts: list[sla.Part]  # none: no level was agreed on any of them
    levels: list[ServiceLevel]
    outages: list[DeviceOutage]
    incidents: list[Incident]  # also those opened before, to which outages may belong
    clock: ServiceClock
    end_ms: int  # the midnight after the last of them


class Row(Struct, frozen=True):
    """A place in a roll-up: what its devices add up to, and how many outages of single devices began."""

    sums: sla.Sums
    outages: int


async def rows(
    store: Store, start_ms: int, end_ms: int, by: Sequence[str] = (), school: str | None = None
) -> dict[tuple[str, ...], Row]:
    """Roll-ups of the days that begin in [start_ms, end_ms), by tags; only places to which anything was owed or not.

    Unavailable: the store.
    """
    fields = (*ALL_FIELDS, *LESSON_FIELDS, "faults")
    found = await store.sums("device_day", fields, start_ms, end_ms, by, school)
    return {key: _row(amounts) for key, amounts in found.items()}


def _row(amounts: Mapping[str, float]) -> Row:
    whole = Figure(*(round(amounts.get(name, 0.0)) * 1000 for name in ALL_FIELDS))
    owed, available, down, unseen = (round(amounts.get(name, 0.0)) * 1000 for name in LESSON_FIELDS)
    return Row(sla.Sums(whole, Figure(owed, 0, available, down, unseen)), round(amounts.get("faults", 0.0)))


class SlaBook:
    """Reckons and keeps months. With a `db` that is only read it can reckon."""

    def __init__(self, db: sqlite3.Connection, store: Store, estate: Estate, calendars: ServiceCalendars) -> None:
        self._db = db
        self._store = store
        self._estate = estate
        self._calendars = calendars

    async def clock(self, school: School, day: date) -> ServiceClock:
        """Hours of service around a day."""
        return (await self._calendars.around(school, day)).clock

    async def reckon(self, school: School, month: str, now_ms: int) -> Reckoned:
        """A month from the store and the state file, up to now. Unavailable: the store."""
        first, last = sla.month_days(month)
        days = await self.days(school, first, last, now_ms)
        stamps = self._stamps(school.name, first, last)
        return Reckoned(
            figure=sla.month(school, month, days.parts, days.levels, stamps, days.incidents, days.clock, now_ms),
            outages=days.outages,
            incidents=days.incidents,
            over=now_ms >= days.end_ms,
            watched=(watched_since_ms(self._db) or days.end_ms) < days.end_ms,
            waiting=self.waiting(school.name, first, last),
        )

    async def days(self, school: School, first: date, last: date, now_ms: int) -> Days:
        """Any days of one month, up to now: in parts, one for each level. Unavailable: the store."""
        clock = await self.clock(school, first)
        start_ms, end_ms = midnight_ms(first, clock.zone), midnight_ms(last + _DAY, clock.zone)
        incidents = self._incidents(school.name, start_ms - INCIDENTS_BACK_DAYS * 86_400_000, end_ms)
        outages = self._outages(school.name, first, last)
        found = sla.spans(clock, first, min(last, local(now_ms, clock.zone).date()))
        parts = []
        for span in found:
            from_ms, until_ms = midnight_ms(span[0], clock.zone), midnight_ms(span[1] + _DAY, clock.zone)
            whole = await rows(self._store, from_ms, until_ms, school=school.name)
            own = [outage for day, outage in outages if span[0] <= day <= span[1]]
            lessons = self._lessons(school.name, from_ms, until_ms)
            sums = whole[()].sums if whole else _row({}).sums
            parts.append(sla.part(school, clock, span, sums, own, lessons, incidents, now_ms))
        return Days(
            parts=parts,
            levels=list({level.name: level for _, _, level in found}.values()),
            outages=[outage for _, outage in outages],
            incidents=incidents,
            clock=clock,
            end_ms=end_ms,
        )

    async def state(self, school: School, month: str, now_ms: int) -> tuple[Reckoned, list[Stated]]:
        """The month as it comes out now, and all that was ever stated of it, with this where it is news.

        A month that is under way, that Caretaker has seen nothing of, or some of whose days wait to be computed, is not
        stated.
        """
        found = await self.reckon(school, month, now_ms)
        known = self.stated(school.name, month)
        if found.over and found.watched and not found.waiting and found.figure.parts:
            newest = known[-1] if known else None
            if newest is None:
                self._write(found.figure, 1, now_ms, FIRST)
            elif _bare(newest.figure) != _bare(found.figure):
                self._write(found.figure, newest.revision + 1, now_ms, self._reason(newest.figure, found.figure))
            known = self.stated(school.name, month)
        return found, known

    async def revise(self, now_ms: int) -> list[Stated]:
        """Look again at every stated month that something touched; returns the revisions that were written."""
        touched = self._db.execute("SELECT DISTINCT school, substr(day, 1, 7) FROM amended").fetchall()
        made = []
        for name, month in touched:
            school = self._estate.schools.get(name)
            if school is None or self.waiting(name, *sla.month_days(month)):
                continue
            before = self.stated(name, month)
            _, known = await self.state(school, month, now_ms)
            made += known[len(before) :]
            # By this task alone, in which days are computed: nothing of it can be of a day that is still on its way.
            self._db.execute("DELETE FROM amended WHERE school = ? AND day LIKE ?", (name, f"{month}-%"))
        return made

    def stated(self, school: str, month: str) -> list[Stated]:
        """All that was stated of a month, in order."""
        found = self._db.execute(
            "SELECT revision, made_ms, stamp, figure, reason FROM stated WHERE school = ? AND month = ? "
            "ORDER BY revision",
            (school, month),
        )
        return [
            Stated(
                school=school,
                month=month,
                revision=revision,
                made_ms=made_ms,
                stamp=stamp,
                figure=msgspec.json.decode(blob, type=sla.Month),
                reason=reason,
            )
            for revision, made_ms, stamp, blob, reason in found
        ]

    def _write(self, figure: sla.Month, revision: int, now_ms: int, reason: str) -> None:
        """Somebody else may state the same month at this moment: who comes second leaves it."""
        self._db.execute(
            "INSERT OR IGNORE INTO stated VALUES (?, ?, ?, ?, ?, ?, ?)",
            (figure.school, figure.month, revision, now_ms, figure.stamp, msgspec.json.encode(figure), reason),
        )

    def _reason(self, old: sla.Month, new: sla.Month) -> str:
        """Why a month comes out otherwise, in one sentence."""
        reasons = []
        if old.levels_hash != new.levels_hash:
            names = ", ".join(dict.fromkeys(part.level for part in new.parts))
            reasons.append(f"settings changed: level {names}")
        if old.days_hash != new.days_hash:
            reasons.append("settings changed: hours, terms or lessons of some days")
        late = self._db.execute(
            "SELECT device, day FROM amended WHERE school = ? AND day LIKE ? AND device != '' ORDER BY day, device",
            (new.school, f"{new.month}-%"),
        ).fetchall()
        if late and not reasons:
            devices = list(dict.fromkeys(str(Address(new.school, device)) for device, _ in late))
            days = [sla.day_text(date.fromisoformat(day)) for day in dict.fromkeys(day for _, day in late)]
            reasons.append(f"late reports of {_listed(devices, 'machines')} for {_listed(days, 'days')}")
        moved = sorted({name for name, *_ in set(old.incidents) ^ set(new.incidents)}, key=_number)
        if moved:
            reasons.append(f"incidents went on: {_listed(moved, 'incidents')}")
        return "; ".join(reasons) or "days were computed again"

    def _outages(self, school: str, first: date, last: date) -> list[tuple[date, DeviceOutage]]:
        """Outages with their day, in order."""
        found = self._db.execute(
            "SELECT day, device, from_ms, until_ms, what, cause, began_ms FROM outages "
            "WHERE school = ? AND day BETWEEN ? AND ? ORDER BY day, device, from_ms",
            (school, first.isoformat(), last.isoformat()),
        )
        outages = []
        for day, device, from_ms, until_ms, what, cause, began_ms in found:
            known = self._estate.devices.get(Address(school, device))
            outage = DeviceOutage(device, from_ms, until_ms, what, cause, began_ms, known.room if known else "")
            outages.append((date.fromisoformat(day), outage))
        return outages

    def _lessons(self, school: str, from_ms: int, until_ms: int) -> list[sla.Lesson]:
        found = self._db.execute(
            "SELECT room, lesson_ms, ready, total FROM readiness WHERE school = ? AND lesson_ms >= ? AND lesson_ms < ? "
            "ORDER BY lesson_ms, room",
            (school, from_ms, until_ms),
        )
        return [sla.Lesson(*row) for row in found]

    def _incidents(self, school: str, from_ms: int, until_ms: int) -> list[Incident]:
        return list(incident_book.listed(self._db, school, from_ms, until_ms))

    def _stamps(self, school: str, first: date, last: date) -> list[str]:
        found = self._db.execute(
            "SELECT stamp FROM day_stamps WHERE school = ? AND day BETWEEN ? AND ? ORDER BY day",
            (school, first.isoformat(), last.isoformat()),
        )
        return [stamp for (stamp,) in found]

    def waiting(self, school: str, first: date, last: date) -> list[str]:
        """Days of a school that are still to be computed (again), by name."""
        found = self._db.execute(
            "SELECT day FROM dirty_days WHERE school = ? AND day BETWEEN ? AND ? ORDER BY day",
            (school, first.isoformat(), last.isoformat()),
        )
        return [day for (day,) in found]


def _bare(figure: sla.Month) -> bytes:
    """What has to differ for a revision: all but the sentences, which another version may word otherwise."""
    read = msgspec.json.decode(msgspec.json.encode(figure), type=sla.Month)  # a 1 that was kept reads back as 1.0
    parts = tuple(msgspec.structs.replace(part, rule="") for part in read.parts)
    return msgspec.json.encode(msgspec.structs.replace(read, parts=parts))


def _listed(names: Sequence[str], what: str) -> str:
    """ "a, b and c", or how many of them."""
    if len(names) > _MOST_NAMED:
        return f"{len(names)} {what}"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
