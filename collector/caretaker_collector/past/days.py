"""The days of a past that is filled in: `device_day` for each machine and day, by the code that computes them live.

While shares of the fleet play, each notes the first and last reading and the last change of every day (`Ends`): what
a live collector's state file would hold. Then days can be computed in any order, by several processes.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from caretaker_collector import rows, state
from caretaker_collector.days.energy import EnergyDays
from caretaker_collector.days.owed import change_of, last_of
from caretaker_collector.days.rollup import KEEP_ENDS, DayRollup, by_time, reading_of
from caretaker_collector.past.incidents import BUSY_S
from caretaker_collector.settings import load_estate
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.clock import Clock
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local
from caretaker_rules.model import Estate, Transition
from caretaker_rules.rollup import Reading

_encode = msgspec.msgpack.Encoder().encode
_Key = tuple[str, str, str]


class Ends:
    """First and last reading, and last change, of each machine and day that has passed by."""

    def __init__(self, estate: Estate) -> None:
        self._zones = {school.name: ZoneInfo(school.time_zone) for school in estate.schools.values()}
        self._days: dict[tuple[str, int], str] = {}
        self._readings: dict[_Key, tuple[Reading, Reading]] = {}
        self._changes: dict[_Key, list[Transition]] = {}

    def note(self, points: Iterable[Point]) -> None:
        """Take in what is about to be stored."""
        for point in points:
            if point.measurement == "device":
                reading = reading_of(point)
                key = self._key(point, reading.at_ms)
                first, last = self._readings.get(key, (reading, reading))
                self._readings[key] = min(first, reading, key=by_time), max(last, reading, key=by_time)
            elif point.measurement == "transition":
                change = change_of(point)
                key = self._key(point, change.at_ms)
                self._changes.setdefault(key, []).append(change)

    def keep(self, db: sqlite3.Connection) -> None:
        """Write them into a state file."""
        db.execute("BEGIN IMMEDIATE")
        ends = [(*key, _encode(first), _encode(last)) for key, (first, last) in self._readings.items()]
        db.executemany(KEEP_ENDS, ends)
        rows.insert(db, "day_changes", [(*key, *last_of(changes)) for key, changes in self._changes.items()])
        db.execute("COMMIT")

    def _key(self, point: Point, at_ms: int) -> _Key:
        school, _, _, device = point.tags
        quarter = (school, at_ms // 900_000)
        day = self._days.get(quarter)
        if day is None:
            day = self._days[quarter] = local(at_ms, self._zones[school]).date().isoformat()
        return school, device, day


class _Unmarked:
    """Nobody marks days of the past: each is computed once, with all that will ever be known of it."""

    def mark_day(self, school: str, day: str, since_ms: int) -> None:
        """Nothing."""

    def forget_days(self, days: set[tuple[str, str]]) -> None:
        """Nothing."""


def school_days(estate: Estate, schools: Iterable[str], start_ms: int, end_ms: int) -> list[tuple[str, date]]:
    """Every school with every local day that [start_ms, end_ms) touches."""
    found = []
    for name in schools:
        zone = ZoneInfo(estate.schools[name].time_zone)
        day = local(start_ms, zone).date()
        while day <= local(end_ms - 1, zone).date():
            found.append((name, day))
            day += timedelta(days=1)
    return found


def compute(estate_file: Path, store: Path, state_file: Path, days: Sequence[tuple[str, date]], end_ms: int) -> int:
    """Compute these days, a process of its own; returns how many."""
    return asyncio.run(_compute(estate_file, store, state_file, days, end_ms))


def reckon(estate_file: Path, store: Path, state_file: Path, end_ms: int) -> int:
    """What was used in these days and months, once all days are computed; returns how many days."""
    return asyncio.run(_reckon(estate_file, store, state_file, end_ms))


async def _reckon(estate_file: Path, store: Path, state_file: Path, end_ms: int) -> int:
    db = state.open_state(state_file)
    points = SqliteStore(store)
    try:
        return await EnergyDays(db, points, load_estate(estate_file), Clock()).step(end_ms, settle=False)
    finally:
        await points.close()
        db.close()


async def _compute(
    estate_file: Path, store: Path, state_file: Path, days: Sequence[tuple[str, date]], end_ms: int
) -> int:
    db = state.open_state(state_file, busy_s=BUSY_S)
    points = SqliteStore(store, busy_s=BUSY_S)
    try:
        rollup = DayRollup(db, points, load_estate(estate_file), _Unmarked(), Clock(), estate_file.parent)
        for school, day in days:
            await rollup.roll(school, day, end_ms)
    finally:
        await points.close()
        db.close()
    return len(days)
