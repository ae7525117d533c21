"""Keeps `energy_day` and `energy_month` true: what each school and room used and avoided, and each rule, reckoned once.

Boards and reviews only read these points; the reckoning is savings_report.py, as for `caretaker savings`, so a day or a
month comes out as it does there. A day is marked whenever it has been rolled up after its end (`mark`), and is reckoned
an hour later: machines that come on in the morning settle their day before one after the other. What was used is there
sooner, with the days themselves (`used_points`), also of the day under way. What a day's spells were reaches into the
days after it, so these are reckoned again with a day that was known before.

The month is reckoned as one, up to its last day that was marked: its range is narrower than the sum of the ranges of
its days, and what such a sum would claim nobody could explain.
"""

import asyncio
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import structlog

from caretaker_collector.days import savings_report
from caretaker_collector.days.savings_report import LOOK_BACK_DAYS, WHOLE, Used
from caretaker_collector.receiver import repeating
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import FieldValue, Point
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import Estate
from caretaker_rules.ports import Store
from caretaker_rules.savings import Baseline, Figure, Saving, Savings, assess, assess_each, spans
from caretaker_rules.spells import Ended, Spell

log = structlog.get_logger()

SETTLE_MS = 3_600_000
LOOK_EVERY_S = 60.0
COMMAND_TO_OFF_MS = 2 * 3_600_000
"""Warnings take up to an hour: a machine that a rule switched off was asked within this time before."""
SKEW_MS = 600_000
"""So much a device's clock may be behind ours, so that it went off before it was asked."""
UNKNOWN_RULE = "not-known"
"""A rule switched a machine off and the ledger has no command to it: another collector's, or a ledger that was lost."""


def mark(db: sqlite3.Connection, school: str, day: date, now_ms: int) -> None:
    """A day that is over was rolled up: it is due, and if it was reckoned before, so are the known days it reaches."""
    name = day.isoformat()
    known = db.execute("SELECT 1 FROM energy_days WHERE school = ? AND day = ?", (school, name)).fetchone()
    if known is None:
        db.execute("INSERT INTO energy_days (school, day, due_ms) VALUES (?, ?, ?)", (school, name, now_ms))
        return
    until = (day + timedelta(days=LOOK_BACK_DAYS)).isoformat()
    db.execute(
        "UPDATE energy_days SET due_ms = coalesce(due_ms, ?), marks = marks + 1 "
        "WHERE school = ? AND day >= ? AND day <= ?",
        (now_ms, school, name, until),
    )


def used_points(estate: Estate, school: str, day: date, points: Sequence[Point]) -> list[Point]:
    """What was used, of a day's `device_day` points: also of the day under way, of which nothing else is reckoned."""
    return [
        Point("energy_day", points[0].time_ns, _place(school, room), _used(used))
        for room, used in (savings_report.used_on(estate, day, points) if points else {}).items()
    ]


def _place(school: str, room: str) -> tuple[str, str, str, str]:
    return (school, room, "room", "all") if room != WHOLE else (school, "all", "all", "all")


@dataclass
class _Known:
    """The baseline of one school; only the newest is kept, since each holds all spells of some weeks."""

    school: str
    days: tuple[date, date]
    baseline: Baseline | None  # None: nothing was recorded on these days


class EnergyDays:
    """Reckons the days that are due, school by school."""

    def __init__(self, db: sqlite3.Connection, store: Store, estate: Estate, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._estate = estate
        self._clock = clock
        self._known: _Known | None = None
        self._observed: dict[str, tuple[date, tuple[date, date] | None]] = {}  # as of which day

    async def run(self) -> None:
        """Until cancelled. A store that is down leaves the marks where they are."""
        await repeating(self.step, self._clock, LOOK_EVERY_S)

    async def step(self, now_ms: int, settle: bool = True) -> int:
        """Reckon what is due; returns how many school-days were. With `settle` False marks need not have aged.

        Unavailable: the store did not answer; what is not done stays due.
        """
        before_ms = now_ms - SETTLE_MS if settle else now_ms
        rows = self._db.execute(
            "SELECT school, day, marks FROM energy_days WHERE due_ms IS NOT NULL AND due_ms <= ? ORDER BY school, day",
            (before_ms,),
        ).fetchall()
        by_school: dict[str, list[tuple[str, int]]] = {}
        for school, day, marks in rows:
            by_school.setdefault(school, []).append((day, marks))
        for school, days in by_school.items():
            if school in self._estate.schools:
                await self._guarded(school, [date.fromisoformat(day) for day, _ in days], now_ms)
            # A day that was marked again meanwhile stays due.
            self._db.executemany(
                "UPDATE energy_days SET due_ms = NULL WHERE school = ? AND day = ? AND marks = ?",
                [(school, day, marks) for day, marks in days],
            )
        self._known = None
        return len(rows)

    async def _guarded(self, school: str, days: list[date], now_ms: int) -> None:
        """A school whose figures cannot be reckoned stops nothing else; it is tried again when a day is marked."""
        try:
            await self._school(school, days, now_ms)
        except (Unavailable, sqlite3.OperationalError):
            raise
        except Exception as error:
            log.error("what a school used and avoided cannot be reckoned", school=school, reason=repr(error))

    async def _school(self, school: str, days: list[date], now_ms: int) -> None:
        for day in days:
            await self.reckon("day", school, day, day, now_ms)
        for month in sorted({day.replace(day=1) for day in days}):
            following = (month + timedelta(days=31)).replace(day=1)
            (last,) = self._db.execute(
                "SELECT max(day) FROM energy_days WHERE school = ? AND day >= ? AND day < ?",
                (school, month.isoformat(), following.isoformat()),
            ).fetchone()
            await self.reckon("month", school, month, date.fromisoformat(last), now_ms)

    async def reckon(self, length: str, school: str, first: date, last: date, now_ms: int) -> None:
        """Write the points of a "day" or "month". Unavailable: the store did not answer."""
        points = await self.points(length, school, first, last, now_ms)
        for point, reason in await self._store.write(points):
            log.warning("the store refuses what was used and avoided", tags=point.tags, reason=reason)

    async def points(
        self, length: str, school: str, first: date, last: date, now_ms: int, only_whole: bool = False
    ) -> list[Point]:
        """The points of a school, its rooms and its rules for the days from `first` to `last`; or only the school's."""
        zone = ZoneInfo(self._estate.schools[school].time_zone)
        used = await savings_report.used_by_room(self._store, self._estate, school, zone, first, last)
        if only_whole:
            used = {WHOLE: used[WHOLE]}
        baseline = await self._baseline(school, zone, now_ms)
        avoided, rules = dict[str, Savings](), dict[str, Savings]()
        if baseline is not None:
            look_from = first - timedelta(days=LOOK_BACK_DAYS)
            found, _ = await savings_report.spells(self._store, school, zone, look_from, last, now_ms)
            asked = _Asked(self._db, school, midnight_ms(look_from, zone), midnight_ms(_after(last), zone))
            acted = asked.rules_since(midnight_ms(first, zone))
            names = [name for name in used if name != WHOLE]
            parts = spans(first, last, zone, self._estate.tariffs, self._estate.carbon)
            classes = self._estate.classes

            def reckon() -> tuple[Savings, dict[str, Savings], dict[str, Savings]]:
                whole = assess(baseline, found, parts, classes)
                if only_whole:
                    return whole, {}, {}
                return (
                    whole,
                    assess_each(baseline, found, parts, classes, lambda spell: spell.room, names),
                    assess_each(baseline, found, parts, classes, asked.rule, acted),
                )

            whole, by_room, rules = await asyncio.to_thread(reckon)
            avoided = {**by_room, WHOLE: whole}
        time_ns = midnight_ms(first, zone) * 1_000_000
        points = [
            Point(
                f"energy_{length}",
                time_ns,
                _place(school, room),
                {**_used(used.get(room)), **_all_fields(avoided.get(room))},
            )
            for room in {**used, **avoided}
        ]
        for rule, savings in rules.items():
            labels = (school, "all", f"rule:{rule}", "all")
            points.append(Point(f"rule_{length}", time_ns, labels, _fields("rule", savings.rule_off)))
        return points

    async def _baseline(self, school: str, zone: ZoneInfo, now_ms: int) -> Baseline | None:
        """How the school's machines were left before rules acted; None: nobody knows yet."""
        days = self.observed_days(school, zone, now_ms)
        if days is None:
            return None
        known = self._known
        if known is None or (known.school, known.days) != (school, days):
            before, _ = await savings_report.spells(self._store, school, zone, *days, now_ms)
            made = await asyncio.to_thread(Baseline, before, zone, *days) if before else None
            known = self._known = _Known(school, days, made if made is not None and made.spells else None)
        return known.baseline

    def observed_days(self, school: str, zone: ZoneInfo, now_ms: int) -> tuple[date, date] | None:
        """First and last day on which rules only observed here; None: none. Asked once a day: the ledger is long, and
        read from end to end for it."""
        today = local(now_ms, zone).date()
        known = self._observed.get(school)
        if known is None or known[0] != today:
            known = self._observed[school] = (today, savings_report.observed(self._db, school, zone))
        return known[1]


class _Asked:
    """What rules asked of the machines of a school in a span of time, by the ledger."""

    def __init__(self, db: sqlite3.Connection, school: str, start_ms: int, end_ms: int) -> None:
        self._by_device: dict[str, list[tuple[int, str]]] = {}
        for device, decided_ms, rule in db.execute(
            "SELECT device, decided_ms, rule FROM commands WHERE school = ? AND decided_ms >= ? AND decided_ms < ? "
            "AND rule != '' ORDER BY decided_ms",
            (school, start_ms - COMMAND_TO_OFF_MS, end_ms + SKEW_MS),
        ):
            self._by_device.setdefault(device, []).append((decided_ms, rule))

    def rule(self, spell: Spell) -> str | None:
        """The rule that ended a spell; None: no rule did."""
        if spell.ended is not Ended.RULE:
            return None
        asked = self._by_device.get(spell.device, [])
        at = bisect_right(asked, spell.end_ms + SKEW_MS, key=lambda entry: entry[0])
        if at and spell.end_ms - asked[at - 1][0] <= COMMAND_TO_OFF_MS:
            return asked[at - 1][1]
        return UNKNOWN_RULE

    def rules_since(self, from_ms: int) -> list[str]:
        """Rules that asked anything from then on."""
        return sorted({rule for asked in self._by_device.values() for at_ms, rule in asked if at_ms >= from_ms})


def _after(day: date) -> date:
    return day + timedelta(days=1)


def _used(used: Used | None) -> dict[str, FieldValue]:
    if used is None or not used.device_days:  # nothing was rolled up, so nothing is known
        return {"device_days": 0}
    fields: dict[str, FieldValue] = {
        "device_days": used.device_days,
        "blind_h": used.blind_h,
        "used_kwh": used.kwh,
    }
    if used.pounds is not None:
        fields["used_pence"] = used.pounds * 100
    if used.kg_co2e is not None:
        fields["used_kg"] = used.kg_co2e
    return fields


def _all_fields(savings: Savings | None) -> dict[str, FieldValue]:
    if savings is None:
        return {}
    return {
        **_fields("rule", savings.rule_off),
        **_fields("user", savings.user_off),
        **_fields("both", savings.both),
    }


def _fields(kind: str, saving: Saving) -> dict[str, FieldValue]:
    """One line of savings as fields; what is not known (no tariff, no factor) is left out."""
    fields: dict[str, FieldValue] = {f"{kind}_offs": saving.spells}
    figures: Iterable[tuple[str, Figure | None, float]] = (
        ("kwh", saving.kwh, 1),
        ("pence", saving.pounds, 100),
        ("kg", saving.kg_co2e, 1),
    )
    for name, figure, factor in figures:
        if figure is not None:
            ends: Mapping[str, float] = {"": figure.likely, "_low": figure.low, "_high": figure.high}
            fields |= {f"{kind}_{name}{end}": value * factor for end, value in ends.items()}
    return fields
