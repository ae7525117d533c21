"""The collector reads changed calendars again, keeps machines on when they break, and keeps no name of them."""

import asyncio
import os
import shutil
from pathlib import Path

from caretaker_collector import why
from caretaker_collector.app import Collector
from caretaker_collector.calendars import Calendars
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract.clock import Clock
from caretaker_contract.topics import Address
from caretaker_rules.calendar import Booked, Free, Unknown, booking
from caretaker_rules.model import Estate, Room, School
from rules_world import london_ms
from worlds import make_world

CALENDARS = Path(__file__).parent.parent / "rules" / "calendars"
MONDAY = london_ms("2026-10-05 09:30")
SCHOOL = School(name="ash", title="Ashfield", rooms=[Room(name="ict1", calendar="ict1.ics")])


def estate(*schools: School) -> Estate:
    """These schools and nothing else."""
    return Estate(provider="P", networks={}, schools={found.name: found for found in schools}, classes={}, devices={})


async def test_a_calendar_is_read_again_when_it_changes_and_forgotten_when_it_breaks(tmp_path: Path) -> None:
    """The next tick sees a new file; while it is broken or gone the room is unknown: the old version is not used."""
    calendars = Calendars(estate(SCHOOL), tmp_path)

    async def now() -> object:
        await calendars.refresh(MONDAY, wait_s=30)
        return booking(SCHOOL.rooms[0], SCHOOL, MONDAY, 0, calendars.timetable("ash"))

    file = tmp_path / "ict1.ics"
    assert isinstance(booking(SCHOOL.rooms[0], SCHOOL, MONDAY, 0, calendars.timetable("ash")), Unknown)
    assert await now() == Unknown("ict1 (ict1.ics no such file)")
    shutil.copy(CALENDARS / "all-day.ics", file)
    assert isinstance(await now(), Free)
    shutil.copy(CALENDARS / "weekly-with-exception.ics", file)
    assert await now() == Booked(london_ms("2026-10-05 09:00"), london_ms("2026-10-05 10:00"))
    file.write_bytes(file.read_bytes()[:-40])
    assert await now() == Unknown("ict1 (ict1.ics END:VCALENDAR is missing, so it is not whole)")
    file.unlink()
    assert await now() == Unknown("ict1 (ict1.ics no such file)")
    shutil.copy(CALENDARS / "all-day.ics", file)
    assert isinstance(await now(), Free)


async def test_a_change_that_keeps_size_and_time_is_seen_as_well(tmp_path: Path) -> None:
    """A feed that is put in place with its old time and length has another inode or time of change."""
    file = tmp_path / "ict1.ics"
    shutil.copy(CALENDARS / "weekly-with-exception.ics", file)
    os.utime(file, ns=(10**18, 10**18))
    calendars = Calendars(estate(SCHOOL), tmp_path)
    await calendars.refresh(MONDAY, wait_s=30)
    other = tmp_path / "new.ics"
    other.write_bytes(file.read_bytes().replace(b"T09", b"T19").replace(b"T10", b"T20"))
    os.utime(other, ns=(10**18, 10**18))
    other.replace(file)
    await calendars.refresh(MONDAY, wait_s=30)
    assert booking(SCHOOL.rooms[0], SCHOOL, MONDAY, 0, calendars.timetable("ash")) == Free(
        london_ms("2026-10-05 19:00")
    )


async def test_unchanged_files_are_not_read_again_until_their_weeks_run_out(tmp_path: Path) -> None:
    """A tick looks at times and sizes only; after some days the weeks ahead are worked out anew."""
    shutil.copy(CALENDARS / "weekly-over-october.ics", tmp_path / "ict1.ics")
    calendars = Calendars(estate(SCHOOL), tmp_path)
    await calendars.refresh(MONDAY, wait_s=30)
    first = calendars.timetable("ash")
    await calendars.refresh(MONDAY + 60_000, wait_s=30)
    assert calendars.timetable("ash") is first
    await calendars.refresh(MONDAY + 20 * 86_400_000, wait_s=30)
    again = calendars.timetable("ash")
    assert again.first_day > first.first_day and again.last_day > first.last_day
    await calendars.refresh(MONDAY - 30 * 86_400_000, wait_s=30)  # a clock that was put back
    assert calendars.timetable("ash").first_day < first.first_day


async def test_no_tick_waits_long_for_calendars(tmp_path: Path) -> None:
    """What cannot be read at once is read beside the ticks; rooms count as booked until it is."""
    schools = [
        School(name=f"s-{number}", title="S", days="days.csv", rooms=[Room(name="ict1", lessons=[])])
        for number in range(30)
    ]
    (tmp_path / "days.csv").write_text("date,week\n2026-10-05,A\n")
    calendars = Calendars(estate(*schools), tmp_path)

    def known() -> int:
        found = [booking(s.rooms[0], s, MONDAY, 0, calendars.timetable(s.name)) for s in schools]
        return sum(isinstance(one, Free) for one in found)

    await calendars.refresh(MONDAY, wait_s=0)
    assert known() == 0
    for _ in range(200):
        await calendars.refresh(MONDAY, wait_s=0.05)
        if known() == len(schools):
            break
    assert known() == len(schools)
    (tmp_path / "days.csv").write_text("date,week\n2026-10-05,B\n")
    await calendars.refresh(MONDAY, wait_s=0)
    assert known() == 0  # changed and not read yet: what was known before does not count
    await calendars.refresh(MONDAY, wait_s=30)


POLICY = """
mode = "live"
[[rules]]
name = "always"
select = { everything = true }
hours = ["mon-sun 00:00-24:00"]
days = ["term", "weekend", "holiday", "inset", "bank_holiday"]
idle_for = "30 min"
do = "shut_down"
"""


async def test_a_broken_calendar_is_the_reason_on_record_and_no_name_of_it_is(tmp_path: Path) -> None:
    """`caretaker why` says which file and line keep a machine on; nothing that the files call people is on disk."""
    world = make_world(tmp_path, broker_port=1, devices=1, policy=POLICY)
    for name in ("broken-date.ics", "days.csv", "timetable.csv"):
        shutil.copy(CALENDARS / name, tmp_path / name)
    text = (tmp_path / "estate.toml").read_text()
    text = text.replace("lessons = []", 'lessons = []\ncalendar = "broken-date.ics"')
    text = text.replace('devices = "ash.csv"', 'devices = "ash.csv"\ndays = "days.csv"\ntimetable = "timetable.csv"')
    text = text.replace(
        "[[schools.rooms]]", '[schools.periods]\n1 = "08:50-09:50"\n2 = "09:50-10:50"\n\n[[schools.rooms]]'
    )
    (tmp_path / "estate.toml").write_text(text)
    settings = load_collector(world.config)
    estate_file = Path(settings.estate)
    collector = Collector(settings, *load_estate_and_policies(estate_file), Clock())
    expected = "no timetable is known for ict1 (broken-date.ics:13 DTSTART cannot be read), so it counts as booked"
    reasons: list[str] = []
    try:
        for _ in range(100):  # until the files were read, which a slow machine may do beside some ticks
            await collector.core.step()
            answer = why.ask(collector.db, collector.estate, Address("ash", "pc-000"), None)
            reasons = [str(reason) for reason in answer.told[0].decision.reasons] if answer.told else []
            if expected in reasons:
                break
            await asyncio.sleep(0.1)
    finally:
        await collector.close()
    assert expected in reasons
    for path in world.data.rglob("*"):
        assert path.is_dir() or b"uillfeather" not in path.read_bytes(), path
