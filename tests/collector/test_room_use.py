"""The roll-up of a day says how its rooms were used: by the hour, and lesson by lesson."""

from datetime import date
from pathlib import Path

import pytest

from caretaker_collector.calendars import read_school
from caretaker_rules.model import Room, School, Share
from caretaker_rules.timetable import Shared
from rules_world import london_ms
from sla_world import IDLE, IN_USE, Bench

ROOM = Room(
    name="ict1",
    lessons=["mon-fri 09:00-10:00", "mon-fri 15:00-16:00"],
    shared=[Share(whose="community", hours=["mon-fri 15:00-16:00"])],
)


@pytest.fixture
async def bench(tmp_path: Path):
    """Two machines on Monday 14 September: one in use 07:30-16:30, one 09:30-09:31 and idle before and after."""
    bench = Bench(tmp_path, devices=2, rooms=[ROOM])
    bench.sees("2026-09-01 00:00", "2026-09-30 00:00")
    await bench.works("2026-09-14")
    await bench.say(
        bench.make("2026-09-14 08:00", IDLE, device="pc-001"),
        bench.make("2026-09-14 09:30", IN_USE, device="pc-001"),
        bench.make("2026-09-14 09:31", IDLE, device="pc-001"),
        bench.make("2026-09-14 16:30", IDLE, device="pc-001"),
    )
    await bench.works("2026-09-15")
    yield bench
    await bench.close()


async def stored(bench, measurement):
    """The points of the Monday, by local time."""
    span = london_ms("2026-09-14 00:00"), london_ms("2026-09-15 00:00")
    found = await bench.store.read(measurement, *span, school="ash")
    return {point.time_ns // 1_000_000: point.fields for point in found}


async def test_the_hours_of_a_room_add_up_to_the_days_of_its_machines(bench) -> None:
    await bench.roll("2026-09-16 08:00")
    found = await stored(bench, "room_hour")
    assert len(found) == 24
    both = [await bench.day("2026-09-14", device) for device in ("pc-000", "pc-001")]
    assert sum(hour["in_use_s"] for hour in found.values()) == sum(day["in_use_s"] for day in both) == 9 * 3600 + 60
    assert found[london_ms("2026-09-14 09:00")] == {"machines": 2, "in_use_s": 3660, "seen_s": 7200}
    # pc-000 was heard first at 07:30, pc-001 at 08:00
    assert found[london_ms("2026-09-14 07:00")]["seen_s"] == 1800


async def test_each_lesson_says_how_many_of_its_seats_were_used_and_whose_it_was(bench) -> None:
    await bench.roll("2026-09-16 08:00")
    found = await stored(bench, "room_use")
    assert found == {
        london_ms("2026-09-14 09:00"): {
            "length_s": 3600, "seats": 2, "used": 2, "seen": 2, "in_use_s": 3660, "whose": "host",
        },
        london_ms("2026-09-14 15:00"): {
            "length_s": 3600, "seats": 2, "used": 1, "seen": 2, "in_use_s": 3600, "whose": "community",
        },
    }  # fmt: skip


async def test_a_lesson_under_way_is_not_told_yet(bench) -> None:
    await bench.rollup.roll("ash", date(2026, 9, 14), london_ms("2026-09-14 09:45"))
    assert await stored(bench, "room_use") == {}


async def test_a_lesson_that_is_no_longer_in_the_timetable_counts_no_more(bench) -> None:
    await bench.roll("2026-09-16 08:00")
    other = Room(name="ict1", lessons=["mon-fri 09:00-10:00"])
    bench.start(rooms=[other])
    await bench.rollup.roll("ash", date(2026, 9, 14), london_ms("2026-09-16 08:00"))
    found = await stored(bench, "room_use")
    assert found[london_ms("2026-09-14 15:00")] == {
        "length_s": 0, "seats": 0, "used": 0, "seen": 0, "in_use_s": 0, "whose": "",
    }  # fmt: skip
    assert found[london_ms("2026-09-14 09:00")]["seats"] == 2


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:1
DTSTART:20260914T160000
DTEND:20260914T170000
SUMMARY:Mr Smith's class
CATEGORIES:Adult Class,12 seats
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART:20260914T170000
DTEND:20260914T180000
CATEGORIES:Partner school
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART:20260914T180000
DTEND:20260914T190000
SUMMARY:partner
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_s_categories_say_whose_a_booking_is_and_nothing_else_of_it_is_kept(tmp_path: Path) -> None:
    """A title is nobody's category: the third booking is the host's, which needs no entry."""
    (tmp_path / "ict1.ics").write_text(ICS)
    shared = [Share(whose="community", categories=["adult class"])]
    school = School(name="ash", title="Ash", rooms=[Room(name="ict1", calendar="ict1.ics", shared=shared)])
    read = read_school(school, tmp_path, date(2026, 9, 1), date(2026, 9, 30))
    assert read.faults == []
    assert read.timetable.shared == {
        "ict1": (
            Shared(london_ms("2026-09-14 16:00"), london_ms("2026-09-14 17:00"), "community", 12),
            Shared(london_ms("2026-09-14 17:00"), london_ms("2026-09-14 18:00"), "partner"),
        )
    }
    assert "Smith" not in repr(read)
    assert len(read.timetable.bookings["ict1"]) == 1  # the rules see one booked time, as before
