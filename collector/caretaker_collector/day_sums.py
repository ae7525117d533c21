"""`room_day` and `school_day`: the device-days of a school's day, summed: boards read hundreds of rows, not millions.

They are made from the very points that `device_day` gets, so their totals cannot differ from its.
"""

from collections.abc import Iterable, Sequence
from math import fsum

from caretaker_contract.metrics import MEASUREMENTS, FieldValue, Point

_FIELDS = tuple(metric.name for metric in MEASUREMENTS["device_day"])


def sums_of(points: Sequence[Point]) -> list[Point]:
    """The points of the rooms and of the school that these device-days, all of one school and day, add up to."""
    if not points:
        return []
    school, time_ns = points[0].tags[0], points[0].time_ns
    rooms: dict[str, list[Point]] = {}
    for point in points:
        rooms.setdefault(point.tags[1], []).append(point)
    found = [Point("room_day", time_ns, (school, room, "room", "all"), _summed(some)) for room, some in rooms.items()]
    return [*found, Point("school_day", time_ns, (school, "all", "all", "all"), _summed(points))]


def _summed(points: Sequence[Point]) -> dict[str, FieldValue]:
    """A field that no device-day has is absent: nothing was owed, or nobody knows the watts."""
    fields: dict[str, FieldValue] = {"devices": len(points)}
    for name in _FIELDS:
        values = [value for point in points if (value := point.fields.get(name)) is not None]
        if values:
            fields[name] = _sum(values)
    return fields


def _sum(values: Iterable[FieldValue]) -> int | float:
    numbers = [value for value in values if not isinstance(value, str)]
    return sum(numbers) if all(isinstance(number, int) for number in numbers) else fsum(numbers)
