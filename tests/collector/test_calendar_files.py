"""Calendars, days files and timetables as schools have them, and what is wrong with them. Files: tests/rules/calendars.

NAME.ics holds a calendar; NAME.expected what it says of the year 2026, or its fault as "LINE PROPERTY WRONG".
"""

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from caretaker_collector.calendars import bank_holidays, read_school
from caretaker_collector.files.ical import read_calendar
from caretaker_collector.files.timetable_files import read_days, read_lessons
from caretaker_collector.settings import check_files
from caretaker_rules.calendar import local
from caretaker_rules.model import Room, School
from caretaker_rules.timetable import DayKind, Lesson
from rules_world import london_ms

CALENDARS = Path(__file__).parent.parent / "rules" / "calendars"
LONDON = ZoneInfo("Europe/London")
FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
ROOMS = {"library": ("library",), "ict1": ("ict1",), "ict suite 1": ("ict1",)}
NAME = "quillfeather"
"""Planted as a teacher's or pupil's name in many of the files."""


def school(**more: Any) -> School:
    """Ashfield with two rooms, and these files."""
    rooms = [Room(name="ict1", title="ICT suite 1"), Room(name="library", lessons=[])]
    return School(**{"name": "ash", "title": "Ashfield", "rooms": rooms, **more})


@pytest.mark.parametrize("path", sorted(CALENDARS.glob("*.ics")), ids=lambda path: path.stem)
def test_a_calendar_says_what_is_expected(path: Path) -> None:
    """Both clock changes, exceptions, moved and cancelled instances, whole days, floating times, and every fault."""

    def moment(at_ms: int) -> str:
        return f"{local(at_ms, LONDON):%a %d %b %H:%M%z}"

    read = read_calendar(path, LONDON, FIRST, LAST, ROOMS)
    lines = [
        " ".join(
            [moment(event.from_ms), "to", moment(event.until_ms)]
            + ([event.kind] if event.kind else [])
            + (["exam"] if event.exam else [])
            + list(event.rooms)
        )
        for event in read.events
    ] + [f"{fault.line} {fault.subject} {fault.wrong}" for fault in read.faults]
    assert lines == path.with_suffix(".expected").read_text().splitlines()
    assert path.stem.startswith("broken") is bool(read.faults)
    assert NAME not in repr(read).lower()


def test_bank_holidays_are_those_of_the_country_without_days_that_have_a_substitute() -> None:
    """England by default; Christmas 2027 falls on a weekend, so only its substitutes count (gov.uk/bank-holidays)."""
    england = bank_holidays("england", date(2027, 1, 1), date(2027, 12, 31))
    assert sorted(day for day in england if day.month == 12) == [date(2027, 12, 27), date(2027, 12, 28)]
    assert date(2027, 3, 29) in england
    assert date(2027, 3, 29) not in bank_holidays("scotland", date(2027, 1, 1), date(2027, 12, 31))
    assert date(2027, 11, 30) in bank_holidays("scotland", date(2027, 1, 1), date(2027, 12, 31))
    assert bank_holidays("none", date(2027, 1, 1), date(2027, 12, 31)) == frozenset()
    read = read_school(school(), CALENDARS, date(2026, 12, 20), date(2027, 1, 10))
    assert {date(2026, 12, 25), date(2026, 12, 28), date(2027, 1, 1)} <= read.timetable.bank_holidays


def test_a_days_file_gives_kinds_and_weeks() -> None:
    """Dates in both ways of writing, weeks as A or Week A; other columns are not read."""
    read = read_days(CALENDARS / "days.csv")
    assert read.faults == []
    assert read.weeks == {
        date(2026, 9, 7): "A",
        date(2026, 9, 14): "B",
        date(2026, 9, 21): "A",
        date(2026, 9, 28): "B",
        date(2026, 10, 3): "A",
    }
    assert read.kinds == {date(2026, 9, 24): DayKind.INSET, date(2026, 10, 3): DayKind.TERM}
    assert read.ignored == ["duty head"]
    assert NAME not in repr(read).lower()


def test_a_room_timetable_gives_lessons_and_no_names() -> None:
    """Periods or hours, rooms by name or title, weeks in their own column or beside the day."""
    periods = {"1": "08:50-09:50", "2": "09:50-10:50"}
    read = read_lessons(CALENDARS / "timetable.csv", ROOMS, periods, frozenset({"A", "B"}))
    assert read.faults == []
    assert read.lessons == {
        "ict1": (Lesson(0, 530, 590, "A"), Lesson(0, 590, 650, "B"), Lesson(5, 540, 750)),
        "library": (Lesson(1, 1080, 1140),),
    }
    assert (read.elsewhere, read.ignored) == (1, ["teacher", "class"])
    assert NAME not in repr(read).lower()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("day,room,start,end\nQuillfeather,ict1,09:00,10:00\n", "2 day not a day such as Mon"),
        ("day,room,start,end\nMon,ict1,nine,10:00\n", "2 start not a time such as 08:50"),
        ("day,room,start,end\nMon,ict1,10:00,09:00\n", "2 end does not end after it starts"),
        ("day,room,start,end\nMon,ict1,10:00,\n", "2 end not a time such as 08:50"),
        ("day,room,period\nTue,ict1,7\n", "2 period its hours are not in estate.toml (known there: 1)"),
        ("day,room,period,week\nTue,ict1,1,C\n", "2 week no day of the school's `days` file is in this week"),
        ("day,room,period,week\nTue,ict1,1,Quillfeather\n", "2 week not a week such as A"),
        ("day,rooms,period\nTue,ict1,1\n", '1 column "room" missing; the first line'),
        ("day,period\nTue,1\n", '1 column "room" missing; the first line'),
        ("Quillfeather,rooms,7B\nMon,ict1,1\n", '1 column "day" missing'),
        ("day,room,room\nTue,1,1\n", '1 column "room" stands twice'),
        ("day,teacher,room,period\nMon,Quillfeather, Z.,ict1,1\n", "2  5 cells, the heading has 4"),
        ('day,room,period\nMon,"ict1,1\n', "2 a cell not CSV"),
        ("", '1 column "day" missing'),
    ],
)
def test_each_fault_of_a_timetable_names_line_and_column_but_no_text_of_it(
    tmp_path: Path, text: str, fault: str
) -> None:
    """What stands in a cell may be a name, so no fault shows it."""
    (tmp_path / "t.csv").write_text(text)
    read = read_lessons(tmp_path / "t.csv", ROOMS, {"1": "08:50-09:50"}, frozenset({"A"}))
    shown = [f"{found.line} {found.subject} {found.wrong}" for found in read.faults]
    assert shown and shown[0].startswith(fault)
    assert NAME not in repr(read).lower()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("date,week\n7 September,A\n", "2 date not a date"),
        ("date,week\n2026-09-07,\n2026-09-14,Quillfeather\n", "3 week not a week"),
        ("date,kind\n2026-09-07,trip\n", "2 kind not a kind of day: term, inset, holiday, weekend, bank_holiday"),
        ("date,kind\n2026-09-07,term\n07/09/2026,inset\n", "3 kind another line says another kind"),
        ("date,week\n2026-09-07,A\n2026-09-07,B\n", "3 week another line says another week"),
    ],
)
def test_each_fault_of_a_days_file_names_line_and_column(tmp_path: Path, text: str, fault: str) -> None:
    """Dates, kinds and weeks that cannot be meant."""
    (tmp_path / "d.csv").write_text(text)
    read = read_days(tmp_path / "d.csv")
    assert f"{read.faults[0].line} {read.faults[0].subject} {read.faults[0].wrong}".startswith(fault)
    assert NAME not in repr(read).lower()


def test_a_school_calendar_gives_half_term_inset_exams_and_rooms() -> None:
    """A whole day counts only when its title says nothing else: "Holiday club" and "Start of half term 2" do not."""
    read = read_school(school(calendars=["school.ics"]), CALENDARS, FIRST, LAST)
    assert read.faults == []
    assert read.timetable.closures == {
        **{date(2026, 10, day): DayKind.HOLIDAY for day in range(26, 31)},
        date(2026, 11, 23): DayKind.INSET,
    }
    evening = (london_ms("2026-11-19 17:00"), london_ms("2026-11-19 20:00"))
    assert read.timetable.bookings["library"] == (evening,)
    assert evening in read.timetable.bookings["ict1"]
    assert [(freeze.room, freeze.from_ms) for freeze in read.timetable.freezes] == [
        (None, london_ms("2026-11-17 09:00")),
        ("ict1", london_ms("2026-11-18 13:00")),
    ]
    assert read.notes == [f"{CALENDARS / 'school.ics'}: events that name no room of ours, exam or kind of day: 3"]
    assert NAME not in repr(read).lower()


def test_the_example_in_the_readme_is_one_that_can_be_read(tmp_path: Path) -> None:
    """What rules/README.md shows of a school's calendar has no fault, with files as described there."""
    readme = (CALENDARS.parent.parent.parent / "rules" / "README.md").read_text()
    shown = readme.partition("    [[schools]]\n")[2].partition("\n| kind of day")[0]
    example = '[[schools]]\ntitle = "Ash"\n' + "\n".join(line[4:] for line in shown.splitlines())
    (tmp_path / "estate.toml").write_text(f'provider = "P"\nclasses = []\n{example}')
    for name, source in (("ash", "school"), ("ict1", "weekly-over-october")):
        (tmp_path / f"{name}.ics").write_bytes((CALENDARS / f"{source}.ics").read_bytes())
    for name in ("days.csv", "timetable.csv"):
        (tmp_path / name).write_bytes((CALENDARS / name).read_bytes())
    checked = check_files([tmp_path / "estate.toml"], london_ms("2026-10-06 12:00"))
    assert checked.faults == []
    assert any("1 school, 1 room" in note for note in checked.notes)


def test_a_broken_or_missing_file_of_the_school_makes_the_school_unknown_and_says_where() -> None:
    """The reason names the file as it is written, the line, and what is wrong."""
    read = read_school(school(calendars=["school.ics", "broken-date.ics"], days="gone.csv"), CALENDARS, FIRST, LAST)
    assert read.timetable.wrong == "broken-date.ics:13 DTSTART cannot be read, and 1 more"
    assert read.timetable.closures == {}
    gone = read_school(school(days="gone.csv"), CALENDARS, FIRST, LAST)
    assert gone.timetable.wrong == "gone.csv no such file"


def test_check_reports_faults_and_notes_of_these_files(tmp_path: Path) -> None:
    """`caretaker check estate.toml` follows calendars, days and timetables, with the line of each fault."""
    for name in ("days.csv", "timetable.csv", "broken-date.ics"):
        (tmp_path / name).write_bytes((CALENDARS / name).read_bytes())
    estate = (
        'provider = "P"\nclasses = []\n[[schools]]\nname = "ash"\ntitle = "Ash"\ndays = "days.csv"\n'
        'timetable = "timetable.csv"\nperiods = { 1 = "08:50-09:50" }\n'
        'rooms = [{ name = "ict1", title = "ICT suite 1", calendar = "broken-date.ics" }]\n'
    )
    (tmp_path / "estate.toml").write_text(estate)
    checked = check_files([tmp_path / "estate.toml"], london_ms("2026-10-06 12:00"))
    assert [" ".join(fault.split()) for fault in checked.faults] == [
        f"{tmp_path}/timetable.csv:3 period its hours are not in estate.toml (known there: 1)",
        f"{tmp_path}/broken-date.ics:13 DTSTART cannot be read",
    ]
    assert f"{tmp_path}/timetable.csv: columns not read: teacher, class" in checked.notes
    assert f"{tmp_path}/timetable.csv: rows about rooms that are not in estate.toml: 2" in checked.notes
    (tmp_path / "estate.toml").write_text(estate.replace("08:50-09:50", "09:50-08:50"))
    (fault,) = check_files([tmp_path / "estate.toml"]).faults
    assert fault.startswith(f'{tmp_path}/estate.toml:8  schools[0].periods.1 = "09:50-08:50"   ends before it starts')
