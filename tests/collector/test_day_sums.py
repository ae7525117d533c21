"""The days of rooms and schools are sums of the days of their machines, nothing else."""

from pathlib import Path

from caretaker_collector import state
from caretaker_collector.days.sums import Ready, ready_of, sums_of
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
    found = {(point.measurement, point.tags): point for point in sums_of(points, {})}
    assert {key: point.fields for key, point in found.items()} == {
        ("room_day", ("ash", "ict1", "room", "all")): {"devices": 2, "in_use_s": 30, "energy_wh": 0.75, "owed_s": 12},
        ("room_day", ("ash", "lib", "room", "all")): {"devices": 1, "in_use_s": 1, "energy_wh": 0.5, "owed_s": 0},
        ("school_day", ("ash", "all", "all", "all")): {"devices": 3, "in_use_s": 31, "energy_wh": 1.25, "owed_s": 12},
    }
    assert {point.time_ns for point in found.values()} == {DAY_NS}
    assert {fault_of(point, shape_of(point)) for point in found.values()} == {""}


def test_sums_do_not_depend_on_the_order_of_machines() -> None:
    points = [day(str(number), "ict1", in_use_s=number, energy_wh=0.1 if number else 1e15) for number in range(50)]
    assert sums_of(points, {}) == sums_of(points[::-1], {})


def test_what_no_machine_has_is_absent_and_not_zero() -> None:
    """Nothing owed and nothing known are different things."""
    points = [day("a", "ict1", in_use_s=10), day("b", "lib", in_use_s=20, owed_s=5)]
    fields = {point.tags[1]: point.fields for point in sums_of(points, {})}
    assert "owed_s" not in fields["ict1"]
    assert fields["lib"]["owed_s"] == fields["all"]["owed_s"] == 5
    assert sums_of([], {}) == []


def test_lessons_of_the_day_go_with_its_rooms_and_the_school(tmp_path: Path) -> None:
    db = state.open_state(tmp_path / "state.db")
    rows = [("ash", "ict1", 100, 29, 30), ("ash", "ict1", 200, 30, 30), ("ash", "lib", 100, 5, 10)]
    rows += [("ash", "ict1", 99, 1, 30), ("ash", "ict1", 300, 1, 30), ("oak", "ict1", 100, 1, 30)]
    db.executemany("INSERT INTO readiness VALUES (?, ?, ?, ?, ?)", rows)
    ready = ready_of(db, "ash", 100, 300)
    db.close()
    assert ready == {"ict1": Ready(2, 59, 60), "lib": Ready(1, 5, 10)}
    points = [day("a", "ict1", in_use_s=10), day("b", "office", in_use_s=10)]
    fields = {point.tags[1]: point.fields for point in sums_of(points, ready)}
    assert fields["ict1"] == {"devices": 1, "in_use_s": 10, "lessons": 2, "ready": 59, "total": 60}
    assert fields["lib"] == {"devices": 0, "lessons": 1, "ready": 5, "total": 10}
    assert fields["office"] == {"devices": 1, "in_use_s": 10}
    assert fields["all"] == {"devices": 2, "in_use_s": 20, "lessons": 3, "ready": 64, "total": 70}
