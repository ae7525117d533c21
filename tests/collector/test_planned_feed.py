"""planned.ics: what keeps machines on, for people's own calendars; and `caretaker calendar` and `caretaker planned`."""

import asyncio
import shutil
import sqlite3
from datetime import date
from pathlib import Path

import icalendar
import pytest
import recurring_ical_events
from msgspec import structs
from typer.testing import CliRunner

from caretaker_collector import records, state
from caretaker_collector.app import Collector
from caretaker_collector.calendars import read_at
from caretaker_collector.cli import app
from caretaker_collector.order_book import Scope
from caretaker_collector.planned import feed, planned, wakes
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract.clock import Clock
from caretaker_rules.calendar import Booked, day_bookings
from caretaker_rules.model import Hold, Room, School
from caretaker_rules.repeats import Series
from caretaker_rules.timetable import NO_TIMETABLE, Lesson, Timetable
from caretaker_rules.wake_plan import PlannedWake
from rules_world import london_ms
from worlds import World, make_world

CALENDARS = Path(__file__).parent.parent / "rules" / "calendars"
SCHOOL = School(name="ash", title="Ashfield", rooms=[Room(name="ict1", title="ICT suite 1")])
NOW_MS = london_ms("2026-10-20 12:00")
WAKES = """mode = "live"
[[wake]]
name = "early"
select = { classes = ["desktop"] }
before = "first_booking"
[[patch]]
name = "nightly"
select = { classes = ["desktop"] }
hours = ["mon-sun 22:00-23:00"]
"""


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    """A fresh state file."""
    return state.open_state(tmp_path / "state.db")


def hold(db: sqlite3.Connection, begin: str, end: str, kind: records.Kind = "hold", **more: object) -> int:
    """A record of room ict1 with a reason that must not go out."""
    series = Series(from_ms=london_ms(begin), until_ms=london_ms(end), time_zone="Europe/London", **more)  # type: ignore[arg-type]
    scope = Scope(school="ash", room="ict1", device=None, device_class=None)
    return records.make(db, kind, scope, series, "Zebedee Quillfeather's club", "teacher", NOW_MS)


def test_the_feed_is_an_icalendar_file_with_its_time_zone(db: sqlite3.Connection) -> None:
    """Weekly holds come out at the same hour by the wall clock on both sides of a clock change; no reason goes out."""
    hold(db, "2026-10-22 15:45", "2026-10-22 17:00", every="week", last_day=date(2026, 10, 29))
    hold(db, "2026-10-21 09:00", "2026-10-21 11:00", kind="freeze")
    raw = feed(SCHOOL, planned(db, {"ash": NO_TIMETABLE}, NOW_MS)["ash"])
    assert b"TZID=Europe/London:20261022T154500" in raw
    assert raw.count(b"BEGIN:VTIMEZONE") == 1 and raw.index(b"BEGIN:VTIMEZONE") < raw.index(b"BEGIN:VEVENT")
    assert b"uillfeather" not in raw
    abroad = structs.replace(SCHOOL, time_zone="Europe/Dublin")
    assert b"DTSTART:20261022T144500Z" in feed(abroad, planned(db, {"ash": NO_TIMETABLE}, NOW_MS)["ash"])
    read = recurring_ical_events.of(icalendar.Calendar.from_ical(raw)).between(date(2026, 10, 1), date(2026, 12, 1))
    assert [(str(event["SUMMARY"]), event["DTSTART"].dt.timestamp() * 1000) for event in read] == [
        ("Exam freeze: ICT suite 1", london_ms("2026-10-21 09:00")),
        ("Kept on: ICT suite 1", london_ms("2026-10-22 15:45")),
        ("Kept on: ICT suite 1", london_ms("2026-10-29 15:45")),
    ]


def test_the_same_plans_give_the_same_bytes_and_uids_stay(db: sqlite3.Connection) -> None:
    """A subscriber sees a change only where there is one: what is added or ended moves nobody else's UID."""
    first = hold(db, "2026-10-21 15:45", "2026-10-21 17:00")
    before = feed(SCHOOL, planned(db, {"ash": NO_TIMETABLE}, NOW_MS)["ash"])
    assert feed(SCHOOL, planned(db, {"ash": NO_TIMETABLE}, NOW_MS + 3_600_000)["ash"]) == before
    second = hold(db, "2026-10-20 15:45", "2026-10-20 17:00")
    record = records.one(db, first)
    assert record is not None

    def uids() -> set[str]:
        raw = feed(SCHOOL, planned(db, {"ash": NO_TIMETABLE}, NOW_MS)["ash"])
        return {str(event["UID"]) for event in icalendar.Calendar.from_ical(raw).walk("VEVENT")}

    both = uids()
    assert len(both) == 2 and any(uid.startswith(f"hold-{second}-") for uid in both)
    records.end(db, record, NOW_MS)
    assert uids() == {uid for uid in both if uid.startswith(f"hold-{second}-")}


def test_exams_of_the_school_calendar_are_in_the_feed_and_what_is_long_over_is_not(db: sqlite3.Connection) -> None:
    """Freezes from calendars go out beside people's; four weeks back is as far as the feed goes."""
    exam = Hold(
        id=0,
        kind="freeze",
        school="ash",
        room=None,
        device=None,
        from_ms=london_ms("2026-11-17 09:00"),
        until_ms=london_ms("2026-11-17 11:00"),
        reason="exam in the school's calendar",
    )
    old = Hold(id=0, kind="freeze", school="ash", room=None, device=None, from_ms=1, until_ms=2, reason="")
    found = planned(db, {"ash": Timetable(freezes=(old, exam))}, NOW_MS)["ash"]
    assert found == [exam]
    assert b"SUMMARY:Exam freeze: Ashfield" in feed(SCHOOL, found)
    assert b"VTIMEZONE" not in feed(SCHOOL, [])


def test_the_day_of_a_room_lists_lessons_and_bookings_in_order() -> None:
    """What `caretaker calendar` shows is asked of the same function as the rules ask."""
    school = School(name="ash", title="A", timetable="t.csv")
    known = Timetable(
        first_day=date(2026, 10, 1),
        last_day=date(2026, 12, 1),
        lessons={"ict1": (Lesson(1, 540, 600), Lesson(1, 600, 660))},
        bookings={"ict1": ((london_ms("2026-10-06 16:00"), london_ms("2026-10-06 17:00")),)},
    )
    assert day_bookings(Room(name="ict1"), school, date(2026, 10, 6), known) == [
        Booked(london_ms(f"2026-10-06 {begin}"), london_ms(f"2026-10-06 {end}"))
        for begin, end in (("09:00", "10:00"), ("10:00", "11:00"), ("16:00", "17:00"))
    ]
    assert day_bookings(Room(name="ict1"), school, date(2026, 10, 7), known) == []


def test_wakes_are_told_with_room_hour_and_lesson_and_keep_their_uid() -> None:
    """One event for each, from when waking begins until the machines are needed, or the patch window ends."""
    begin_ms, lesson_ms = london_ms("2026-10-20 08:35"), london_ms("2026-10-20 08:50")
    night_ms = london_ms("2026-10-20 22:00")
    lesson = PlannedWake(
        rule="early", room="ict1", kind="lesson", from_ms=begin_ms, needed_ms=lesson_ms, until_ms=lesson_ms
    )
    at = structs.replace(lesson, kind="at", rule="office")
    patch = PlannedWake(
        rule="tuesdays",
        room="ict1",
        kind="patch",
        from_ms=night_ms,
        needed_ms=night_ms,
        until_ms=london_ms("2026-10-21 02:00"),
    )
    raw = feed(SCHOOL, [], [lesson, at, patch])
    assert raw.count(b"BEGIN:VTIMEZONE") == 1
    events = icalendar.Calendar.from_ical(raw).walk("VEVENT")
    assert [str(event["SUMMARY"]) for event in events] == [
        "Machines of ICT suite 1 are woken 08:35 for the lesson 08:50",
        "Machines of ICT suite 1 are woken 08:35 to be on at 08:50",
        "Machines of ICT suite 1 are woken 22:00 for the patch window tuesdays, until 02:00",
    ]
    assert [event["DTSTART"].dt.timestamp() * 1000 for event in events] == [begin_ms, begin_ms, night_ms]
    assert len({str(event["UID"]) for event in events}) == 3
    alone = icalendar.Calendar.from_ical(feed(SCHOOL, [], [lesson])).walk("VEVENT")[0]
    assert alone["UID"] == events[0]["UID"]
    freeze = Hold(
        id=1,
        kind="freeze",
        school="ash",
        room="ict1",
        device=None,
        from_ms=begin_ms,
        until_ms=lesson_ms,
        reason="",
    )
    assert b"08:35 for the lesson" not in feed(SCHOOL, [freeze], [lesson])


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A school with a calendar of its own and one for its room, whose machine is woken for it and for updates."""
    world = make_world(tmp_path, broker_port=1, devices=1, policy=WAKES)
    register = (tmp_path / "ash.csv").read_text()
    (tmp_path / "ash.csv").write_text(register.replace("pc-000,ict1,desktop,", "pc-000,ict1,desktop,02:00:00:00:00:01"))
    shutil.copy(CALENDARS / "school.ics", tmp_path)
    shutil.copy(CALENDARS / "weekly-over-october.ics", tmp_path)
    text = (tmp_path / "estate.toml").read_text()
    text = text.replace('devices = "ash.csv"', 'devices = "ash.csv"\ncalendars = ["school.ics"]')
    text = text.replace("lessons = []", 'lessons = []\ncalendar = "weekly-over-october.ics"')
    (tmp_path / "estate.toml").write_text(text)
    return world


def test_caretaker_calendar_shows_a_day_as_the_rules_see_it(world: World) -> None:
    """The kind of day and each room's bookings; a broken file shows where, and the exit code says so."""

    def ask(day: str) -> tuple[int, list[str]]:
        result = CliRunner().invoke(app, ["calendar", "ash", "--day", day, "--config", str(world.config)])
        return result.exit_code, result.output.splitlines()

    assert ask("2026-10-29") == (
        0,
        ["Ashfield · Thu 29 Oct 2026 · holiday day", "  ict1          15:45-17:00"],
    )
    assert ask("2026-11-23")[1] == [
        "Ashfield · Mon 23 Nov 2026 · inset day",
        "  ict1          not booked",
    ]
    (world.folder / "school.ics").write_text("")
    code, lines = ask("2026-10-29")
    assert code == 1
    assert "of a kind that nobody knows: school.ics not an iCalendar file" in lines[0]
    assert "counts as booked: no timetable is known for ict1 (school.ics not an iCalendar file" in lines[1]


async def test_the_collector_keeps_the_feed_and_the_command_writes_the_same(world: World) -> None:
    """data/planned/ash.ics follows each change at the next tick; `caretaker planned ash --out FILE` agrees with it."""
    settings = load_collector(world.config)
    estate, policies = load_estate_and_policies(Path(settings.estate))
    collector = Collector(settings, estate, policies, Clock())
    kept = world.data / "planned" / "ash.ics"
    now_ms = collector.clock.now_ms()
    try:
        assert await collector.core.step()
        series = Series(from_ms=now_ms, until_ms=now_ms + 3_600_000, time_zone="Europe/London")
        scope = Scope(school="ash", room="ict1", device=None, device_class=None)
        records.make(collector.db, "hold", scope, series, "club", "teacher", now_ms)
        school = collector.estate.schools["ash"]
        read = read_at(school, world.folder, now_ms).timetable
        woken = wakes(school, estate, estate.devices.values(), policies["ash"], read, now_ms)
        expected = feed(school, planned(collector.db, {"ash": read}, now_ms)["ash"], woken)
        for _ in range(100):
            await collector.core.step()
            if kept.exists() and kept.read_bytes() == expected:
                break
            await asyncio.sleep(0.1)
    finally:
        await collector.close()
    assert kept.read_bytes() == expected
    assert expected.count(b"SUMMARY:Kept on: ICT suite 1") == 1
    assert expected.replace(b"\r\n ", b"").count(b"are woken 22:00 for the patch window nightly") == 8
    out = world.folder / "out.ics"
    result = CliRunner().invoke(app, ["planned", "ash", "--out", str(out), "--config", str(world.config)])
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == kept.read_bytes()
    assert sorted(path.name for path in kept.parent.iterdir()) == ["ash.ics"]
