"""A month is stated once it is over, and what changes it later is a revision with its reason: end to end."""

import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.incidents import book as incident_book
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import PowerState
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Opened
from caretaker_rules.model import LevelChange
from caretaker_rules.ports import Incoming
from caretaker_rules.sla import Verdict
from rules_world import london_ms
from sla_world import IN_USE, Bench, level

LATE = "2026-09-03"
OCT = "2026-10-01 06:00"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One machine, seen through September; on the 3rd its user switched it off at noon, and that report is missing."""
    made = Bench(tmp_path)
    made.sees("2026-09-01 00:00", "2026-10-10 00:00")
    await made.works("2026-09-02")
    *told, made.late = made.working(LATE, off="12:00")
    await made.say(*told)
    made.infer(f"{LATE} 12:05", IN_USE, PowerState.LOST)
    made.infer("2026-09-04 07:30", PowerState.LOST, IN_USE)
    await made.works("2026-09-04")
    await made.roll("2026-09-05 01:00")
    await made.works(OCT[:10], on="06:00")
    await made.roll(f"{OCT[:10]} 18:00")
    yield made
    await made.close()


async def stated(bench, now=OCT):
    """(revision, verdict, reason) of all that was stated of September."""
    _, known = await bench.book.state(bench.school, "2026-09", london_ms(now))
    return [(each.revision, each.figure.verdict, each.reason) for each in known]


async def test_a_month_under_way_is_not_stated(bench: Bench) -> None:
    found, known = await bench.book.state(bench.school, "2026-09", london_ms("2026-09-30 23:59"))
    assert (found.over, known) == (False, [])


async def test_a_month_is_not_stated_while_a_day_of_it_waits_to_be_computed(bench: Bench) -> None:
    bench.recorder.mark_day("ash", LATE, 0)
    found, known = await bench.book.state(bench.school, "2026-09", london_ms(OCT))
    assert (found.waiting, known) == ([LATE], [])
    await bench.roll("2026-10-01 19:00")
    assert len(await stated(bench)) == 1


async def test_a_month_that_caretaker_was_not_there_to_see_is_not_stated(bench: Bench) -> None:
    found, known = await bench.book.state(bench.school, "2026-08", london_ms(OCT))
    assert (found.over, found.watched, known) == (True, False, [])


async def test_looking_again_states_nothing_new(bench: Bench) -> None:
    first = await stated(bench)
    assert first == [(1, Verdict.MISSED, "first shown")]
    assert await stated(bench, "2026-10-20 12:00") == first
    await bench.roll("2026-10-20 12:00")
    assert await stated(bench, "2026-10-20 12:00") == first


async def test_a_late_report_makes_a_revision_by_itself_with_its_reason(bench: Bench) -> None:
    """It was not lost but off by its user: down becomes available. The first figure stands as it was shown."""
    [first] = (await bench.book.state(bench.school, "2026-09", london_ms(OCT)))[1]
    await bench.say(bench.late)
    await bench.roll("2026-10-02 09:00")
    known = bench.book.stated("ash", "2026-09")
    assert [each.revision for each in known] == [1, 2]
    assert known[0] == first
    assert known[1].reason == "late reports of ash/pc-000 for 3 Sep"
    down = [each.figure.parts[0].availability.devices.down_ms for each in known]
    assert down[1] < down[0]
    assert known[0].stamp == known[1].stamp
    await bench.roll("2026-10-02 10:00")
    assert len(bench.book.stated("ash", "2026-09")) == 2


async def test_a_month_is_not_stated_while_one_of_its_days_is_being_computed(bench: Bench) -> None:
    """The day stays marked until its points are stored, so nobody is shown a figure that changes a moment later."""
    await bench.say(bench.late)
    write, done = bench.store.write, []

    async def state_and_write(points):
        if points[0].time_ns == london_ms(f"{LATE} 00:00") * 1_000_000:
            bench.db.execute("DELETE FROM dirty_days WHERE day > ?", (LATE,))  # what it touches comes later
            done.append(await stated(bench))
        return await write(points)

    bench.store.write = state_and_write
    await bench.rollup.step(london_ms("2026-10-02 09:00"), settle=False)
    await bench.roll("2026-10-02 09:10")
    assert done == [[]]
    assert await stated(bench) == [(1, Verdict.MET, "first shown")]


async def test_a_report_that_changes_no_figure_makes_no_revision(bench: Bench) -> None:
    await stated(bench)
    again = bench.streams["pc-000"].made
    report = again[next(key for key, one in again.items() if one.at_ms > london_ms("2026-09-04 09:00"))]
    await bench.say(Incoming(london_ms(OCT), *bench.streams["pc-000"].wire(report)))
    await bench.roll("2026-10-02 09:00")
    assert len(bench.book.stated("ash", "2026-09")) == 1


async def test_a_changed_level_makes_a_revision_that_says_so(bench: Bench) -> None:
    await stated(bench)
    two = [level(), level("enhanced", hours=["mon-fri 08:00-17:00"], availability_target=0.5)]
    bench.start(service=two, levels=[LevelChange(level="enhanced", starts=date(2026, 9, 4))])
    await bench.roll("2026-10-02 09:00")
    [_, second] = bench.book.stated("ash", "2026-09")
    assert second.reason.startswith("settings changed: level transitional, enhanced")
    assert [(part.level, part.first.day, part.last.day) for part in second.figure.parts] == [
        ("transitional", 1, 3),
        ("enhanced", 4, 30),
    ]


async def test_a_target_alone_makes_a_revision_too(bench: Bench) -> None:
    assert (await stated(bench))[0][1] is Verdict.MISSED
    bench.start(service=[level(availability_target=0.5)])
    await bench.roll("2026-10-02 09:00")
    assert [one[1:] for one in await stated(bench)] == [
        (Verdict.MISSED, "first shown"),
        (Verdict.MET, "settings changed: level transitional"),
    ]


async def test_an_incident_that_went_on_makes_a_revision_on_the_next_day(bench: Bench) -> None:
    subject = Subject("ash", "ict1", "pc-000")
    opened = Opened(
        kind=FindingKind.LOST, subject=subject, title="lost", since_ms=london_ms("2026-09-30 15:00"), priority=2
    )
    at_ms = opened.since_ms
    incident_book.append(bench.db, Entry(uid="u", at_ms=at_ms, by="rules", action=Action.OPENED, opened=opened))
    await stated(bench, "2026-10-01 08:30")
    fixed = Entry(uid="u", at_ms=london_ms("2026-10-01 09:00"), by="rules", action=Action.FIXED)
    incident_book.append(bench.db, fixed)
    await bench.roll("2026-10-01 20:00")
    assert len(bench.book.stated("ash", "2026-09")) == 1
    await bench.roll("2026-10-02 00:10")
    assert [each.reason for each in bench.book.stated("ash", "2026-09")][1:] == ["incidents went on: INC-1"]


class Desk:
    """The command line on a school of two machines whose September is over."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def run(self, *words: str):
        return CliRunner().invoke(app, ["sla", *words, "--config", str(self.bench.world.config)])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """pc-000 worked on five days; pc-001 lost its power on the second at ten, until the next morning."""
    bench = Bench(tmp_path, devices=2, written=True)
    bench.sees("2026-09-01 00:00", "2026-09-04 09:00")
    bench.sees("2026-09-04 10:00", "2026-10-10 00:00")
    for day in ("2026-09-01", "2026-09-02", "2026-09-03"):
        await bench.works(day)
        told = bench.working(day, "pc-001", off="10:00" if day == "2026-09-02" else "16:30")
        await bench.say(*(told[:-1] if day == "2026-09-02" else told))
    bench.infer("2026-09-02 10:00", IN_USE, PowerState.LOST, "pc-001")
    bench.infer("2026-09-03 07:30", PowerState.LOST, IN_USE, "pc-001")
    hit = Subject("ash", "ict1", "pc-001")
    opened = Opened(
        kind=FindingKind.LOST,
        subject=hit,
        title="ash/pc-001 is not heard any more",
        since_ms=london_ms("2026-09-02 10:00"),
        priority=2,
    )
    for at, action in (
        ("09-02 10:02", Action.OPENED),
        ("09-02 10:30", Action.ACKNOWLEDGED),
        ("09-03 15:00", Action.FIXED),
    ):
        told = opened if action is Action.OPENED else None
        entry = Entry(uid="u", at_ms=london_ms(f"2026-{at}"), by="rules", action=action, opened=told)
        incident_book.append(bench.db, entry)
    bench.db.execute(
        "INSERT INTO holds (kind, school, room, from_ms, until_ms, reason, made_ms, time_zone) "
        "VALUES ('maintenance', 'ash', 'ict1', ?, ?, 'new fans', ?, 'Europe/London')",
        tuple(london_ms(f"2026-09-{at}") for at in ("03 14:00", "03 16:00", "02 14:00")),
    )
    bench.db.execute("INSERT INTO readiness VALUES ('ash', 'ict1', ?, 2, 2)", (london_ms("2026-09-01 09:00"),))
    bench.db.execute("INSERT INTO readiness VALUES ('ash', 'ict1', ?, 1, 2)", (london_ms("2026-09-02 11:00"),))
    await bench.roll("2026-09-04 00:10")
    bench.db.execute("DELETE FROM dirty_days")
    bench.db.execute("INSERT INTO checks VALUES ('ash', ?)", (london_ms("2026-10-01 09:00"),))
    bench.db.execute("INSERT OR REPLACE INTO clock VALUES (1, 0, 0, 60)")  # the collector's time is where its rules are
    await bench.store.close()
    yield Desk(bench)
    bench.journal.close()
    bench.db.close()


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# 48 h owed of two machines on three days, 4 h of them in maintenance, 6 h down: 38 of 44 h. 4 Sep is not computed yet.


def test_month_shows_every_figure_with_its_rule_and_states_it(desk: Desk) -> None:
    shown = desk.run("month", "ash", "2026-09")
    assert shown.exit_code == 1, shown.output
    lines = words(shown.stdout)
    assert lines[0].startswith("Ashfield (ash) · September 2026 · version sla-1/")
    for line in (
        "Transitional service, 1 Sep to 30 Sep: missed",
        "availability 86.36 % target 99.00 % -12.64 points",
        "owed 48 h of machines, 6 h of it down",
        "faults 1",
        "answered in time priority 2: 1 of 1",
        "fixed in time priority 2: 0 of 1",
        "rooms ready 50.00 % 1 of 2 lessons",
        "credits 20 points (capped)",
        "12.64 percentage points below target, for each full 0.5: 50 points",
        "1 late fixes, for each full 1: 1 point",
    ):
        assert line in lines, line
    assert any(line.startswith("rule: 1 Sep to 30 Sep 2026, Europe/London; owed mon-fri 08:00-16:00") for line in lines)
    assert lines[-1].startswith("1 Thu 1 Oct 09:00 2026 86.36 % missed sla-1/")
    assert lines[-1].endswith("first shown")
    again = json.loads(desk.run("month", "ash", "2026-09", "--json").stdout)
    assert [each["revision"] for each in again["stated"]] == [1]


def test_explain_lists_what_every_figure_came_from(desk: Desk) -> None:
    shown = desk.run("explain", "ash", "2026-09")
    lines = words(shown.stdout)
    assert "faults (1): what counts once, with all that was down because of it" in lines
    fault = next(line for line in lines if line.startswith("INC-1"))
    words_of_it = "6 h down, pc-001: ash/pc-001 is not heard any more, priority 2 · off without a cause"
    assert fault == f"INC-1 Wed 2 Sep 10:00 to Thu 3 Sep 00:00 {words_of_it}"
    assert "Thu 3 Sep 14:00 to 16:00 ash/ict1 new fans" in lines
    assert "Fri 4 Sep 09:00 to 10:00 1 h" in lines
    told = json.loads(desk.run("explain", "ash", "2026-09", "--json").stdout)
    assert [len(told[key]) for key in ("faults", "maintenance", "blind")] == [1, 1, 1]
    assert told["faults"][0]["outages"][0]["device"] == "pc-001"


def test_show_adds_up_room_school_network_and_all(desk: Desk) -> None:
    """The same 38 of 44 hours from each side; the machine that worked is at 100 %."""
    for place in ("ash", "ash/ict1", "network:green", "all"):
        shown = desk.run("show", place, "2026-09")
        assert shown.exit_code == 1, shown.output
        whole = next(line for line in words(shown.stdout) if line.startswith(f"{place} together"))
        assert "86.36 %" in whole
    machines = words(desk.run("show", "ash/ict1", "2026-09").stdout)
    assert any(line.startswith("ash/pc-000 100.00 % 100.00 % 99.00 % 24 h 0 met") for line in machines)
    assert desk.run("show", "ash/pc-000", "2026-09").exit_code == 0
    told = json.loads(desk.run("show", "all", "2026-09", "--json").stdout)
    assert told["inside"][0]["sums"]["devices"]["owed_ms"] == 48 * 3_600_000


def test_targets_tell_target_gap_and_trend(desk: Desk) -> None:
    shown = desk.run("targets", "ash", "--year", "2026")
    assert shown.exit_code == 1, shown.output
    lines = words(shown.stdout)
    assert lines[0] == "Ashfield (ash) · school year 2026/27"
    assert lines[2].startswith("target 99.00 % 90.00 %")
    assert lines[3].startswith("Sep 2026 86.36 % 0.00 % 100.00 % 50.00 %")
    assert "gap -12.64 -90.00 - - -" in lines
    assert json.loads(desk.run("targets", "ash", "--json").stdout)["year"] == 2026


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["month", "elm", "2026-09"], "elm  no such school; there are: ash"),
        (["month", "ash", "09/2026"], "09/2026  is no month; write it as 2026-09"),
        (["show", "network:blue", "2026-09"], "no network 'blue'; there are: network:green"),
        (["show", "ash/gym", "2026-09"], "no room 'gym' in ash; there are: ict1"),
    ],
)
def test_mistakes_are_named(desk: Desk, given: list[str], said: str) -> None:
    shown = desk.run(*given)
    assert isinstance(shown.exception, ConfigError)
    assert said in str(shown.exception)


def test_a_month_of_which_nothing_was_owed_cannot_be_told(desk: Desk) -> None:
    shown = desk.run("month", "ash", "2026-08")
    assert shown.exit_code == 3
    assert "Caretaker has watched since Tue 1 Sep 00:00; what lies before is in no figure" in shown.stdout
    assert desk.run("show", "ash", "2026-08").exit_code == 3


def test_reading_commands_write_nothing(desk: Desk) -> None:
    before = state.version(desk.bench.db)
    for given in (("show", "all", "2026-09"), ("explain", "ash", "2026-09"), ("targets", "ash")):
        desk.run(*given)
    assert state.version(desk.bench.db) == before
    assert desk.bench.db.execute("SELECT count(*) FROM stated").fetchone() == (0,)
