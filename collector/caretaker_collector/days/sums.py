"""`room_day` and `school_day`: the device-days of a school's day, summed: boards read hundreds of rows, not millions.

They are made from the very points that `device_day` gets, so their totals cannot differ from its. Lessons go with them.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

from caretaker_contract.metrics import MEASUREMENTS, FieldValue, Point

_FIELDS = tuple(metric.name for metric in MEASUREMENTS["device_day"])


class Ready(NamedTuple):
    """What was seen of the lessons of a room on a day."""

    lessons: int = 0
    ready: int = 0
    total: int = 0


def ready_of(db: sqlite3.Connection, school: str, start_ms: int, end_ms: int) -> dict[str, Ready]:
    """Rooms of the school in which lessons began in [start_ms, end_ms), as the stage `ready` wrote it down."""
    rows = db.execute(
        "SELECT room, count(*), sum(ready), sum(total) FROM readiness "
        "WHERE school = ? AND lesson_ms >= ? AND lesson_ms < ? GROUP BY room",
        (school, start_ms, end_ms),
    )
    return {room: Ready(*sums) for room, *sums in rows}


def sums_of(points: Sequence[Point], ready: Mapping[str, Ready]) -> list[Point]:
    """The points of the rooms and of the school that these device-days, all of one school and day, add up to."""
    if not points:
        return []
    school, time_ns = points[0].tags[0], points[0].time_ns
    rooms: dict[str, list[Point]] = {room: [] for room in ready}
    for point in points:
        rooms.setdefault(point.tags[1], []).append(point)
    found = [
        Point("room_day", time_ns, (school, room, "room", "all"), _summed(some, [ready[room]] if room in ready else []))
        for room, some in rooms.items()
    ]
    whole = _summed(points, list(ready.values()))
    return [*found, Point("school_day", time_ns, (school, "all", "all", "all"), whole)]


def _summed(points: Sequence[Point], ready: Sequence[Ready]) -> dict[str, FieldValue]:
    """A field that no device-day has is absent: nothing was owed, or nobody knows the watts. So are lessons."""
    fields: dict[str, FieldValue] = {"devices": len(points)}
    if ready:
        fields |= {name: sum(getattr(one, name) for one in ready) for name in Ready._fields}
    for name in _FIELDS:
        values = [value for point in points if (value := point.fields.get(name)) is not None]
        if values:
            fields[name] = _sum(values)
    return fields


def _sum(values: Iterable[FieldValue]) -> int | float:
    numbers = [value for value in values if not isinstance(value, str)]
    return sum(numbers) if all(isinstance(number, int) for number in numbers) else fsum(numbers)
