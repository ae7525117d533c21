"""The days of rooms and schools are sums of the days of their machines, nothing else."""

from caretaker_collector.day_sums import sums_of
from caretaker_collector.stores.points import fault_of, shape_of
from caretaker_contract.metrics import Point

DAY_NS = 1_790_000_000 * 10**9


def day(device: str, room: str, **fields: float) -> Point:
    """A device-day."""
    return Point("device_day", DAY_NS, ("ash", room, "desktop", device), dict(fields))


def test_each_room_and_the_school_have_a_sum_that_a_store_takes() -> None:
    points = [
        day("a", "ict1", in_use_s=10, energy_wh=0.25, owed_s=5),
        day("b", "ict1", in_use_s=20, energy_wh=0.5, owed_s=7),
        day("c", "lib", in_use_s=1, energy_wh=0.5, owed_s=0),
    ]
    found = {(point.measurement, point.tags): point for point in sums_of(points)}
    assert {key: point.fields for key, point in found.items()} == {
        ("room_day", ("ash", "ict1", "room", "all")): {"devices": 2, "in_use_s": 30, "energy_wh": 0.75, "owed_s": 12},
        ("room_day", ("ash", "lib", "room", "all")): {"devices": 1, "in_use_s": 1, "energy_wh": 0.5, "owed_s": 0},
        ("school_day", ("ash", "all", "all", "all")): {"devices": 3, "in_use_s": 31, "energy_wh": 1.25, "owed_s": 12},
    }
    assert {point.time_ns for point in found.values()} == {DAY_NS}
    assert {fault_of(point, shape_of(point)) for point in found.values()} == {""}


def test_sums_do_not_depend_on_the_order_of_machines() -> None:
    points = [day(str(number), "ict1", in_use_s=number, energy_wh=number / 10) for number in range(50)]
    assert sums_of(points) == sums_of(points[::-1])


def test_what_no_machine_has_is_absent_and_not_zero() -> None:
    """Nothing owed and nothing known are different things."""
    points = [day("a", "ict1", in_use_s=10), day("b", "lib", in_use_s=20, owed_s=5)]
    fields = {point.tags[1]: point.fields for point in sums_of(points)}
    assert "owed_s" not in fields["ict1"]
    assert fields["lib"]["owed_s"] == fields["all"]["owed_s"] == 5
    assert sums_of([]) == []
