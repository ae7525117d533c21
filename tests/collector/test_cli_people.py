"""What people read when they hold, list, end and copy, and when they ask what is due for patching."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.commands import orders as cli_orders
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.memory import Entry, save_entries
from caretaker_collector.numbering import Numberings
from caretaker_collector.order_book import Found, Scope
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.topics import Address
from caretaker_rules import incidents
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.model import Presence, Tracked
from rules_world import london_ms
from worlds import World, make_world

POLICY = """
mode = "live"
[[patch]]
name = "tuesday"
select = { classes = ["desktop"] }
hours = ["tue 22:00-02:00"]
restart = true
"""
NOW_MS = london_ms("2026-10-20 12:00")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A school of three machines; commands live on Tue 20 Oct 2026, noon, of a clock that hardly moves."""
    made = make_world(tmp_path, 1883, devices=3, policy=POLICY)
    made.data.mkdir()
    clock = Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001)
    monkeypatch.setenv(CLOCK_VARIABLE, clock.to_environment()[CLOCK_VARIABLE])
    return made


def run(world: World, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, [*words, "--config", str(world.config)])


def test_a_repeated_hold_is_told_listed_copied_and_ended(world: World) -> None:
    """From the first word to the list of what is over, with who and why."""
    made = run(
        world, "hold", "ash/ict1", "--from", "15:30", "--until", "17:00", "--reason", "chess club",
        "--by", "head of maths", "--repeat", "weekly", "--until-date", "2026-12-15",
    )  # fmt: skip
    assert made.stdout == (
        "hold 1: ash/ict1 stays as it is each Tuesday 15:30-17:00, 20 Oct to 15 Dec 2026 (chess club)\n"
    )
    assert made.stderr == "3 machines; take it back with: caretaker end 1\n"
    listed = run(world, "holds")
    assert listed.stdout.splitlines() == [
        "   1  hold         ash/ict1  each Tuesday 15:30-17:00, 20 Oct to 15 Dec 2026",
        "      next Tue 20 Oct 15:30; by head of maths: chess club",
        "      kept on 0 machines",
    ]
    copied = run(world, "copy", "1", "--from", "2026-10-21 15:30", "--until", "2026-10-21 16:30", "--by", "librarian")
    assert copied.stdout == "hold 2: ash/ict1 stays as it is from Wed 21 Oct 15:30 until 16:30 (chess club)\n"
    assert run(world, "end", "1").stdout == "hold 1 of ash/ict1 ended\n"
    assert run(world, "end", "1").exit_code == 1
    assert [row["record"]["id"] for row in json.loads(run(world, "holds", "--json").stdout)["holds"]] == [2]
    assert run(world, "holds", "--past").stdout.splitlines()[1] == (
        "      ended early Tue 20 Oct 12:00; by head of maths: chess club"
    )
    assert run(world, "end", "77").exit_code == 3


def test_lists_say_the_next_step_when_they_are_empty(world: World) -> None:
    """And a place narrows them to what touches it."""
    assert "keep a room on: caretaker hold" in run(world, "holds").stderr
    assert "nothing of that is over yet" in run(world, "holds", "--past").stderr
    until = ("--until", "18:00", "--reason", "fans")
    run(world, "maintenance", "ash/pc-001", *until)
    run(world, "freeze", "ash", *until, "--class", "desktop")
    found = run(world, "holds", "ash/pc-002").stdout.splitlines()
    assert found[0] == "   2  freeze       ash, class desktop  from Tue 20 Oct 12:00 until 18:00"
    assert "on now; by operator: fans" in found[1]
    assert len(found) == 3
    assert "by engineer: fans" in run(world, "holds", "ash/pc-001").stdout


def test_what_is_stopped_stands_first_with_the_way_back(world: World) -> None:
    """Until it is resumed; the place is told as `resume` wants it."""
    run(world, "stop", "ash/ict1", "--reason", "open evening")
    run(world, "stop", "all", "--reason", "storm")
    assert run(world, "holds").stdout.splitlines() == [
        "STOPPED ash/ict1 since Tue 20 Oct 12:00: open evening (caretaker resume ash/ict1)",
        "STOPPED all since Tue 20 Oct 11:00 UTC: storm (caretaker resume all)",
    ]
    for place in ("ash/ict1", "all"):
        assert run(world, "resume", place).exit_code == 0
    assert run(world, "holds").stdout == ""
    assert run(world, "resume", "all").exit_code == 1


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--until", "6pm"), "--until '6pm'  give a local time"),
        (("--until", "18:00", "--repeat", "daily"), "--repeat  needs --until-date"),
        (("--until", "18:00", "--until-date", "2026-12-15"), "--until-date  needs --repeat"),
        (("--until", "18:00", "--repeat", "daily", "--until-date", "soon"), "--until-date 'soon'  is no day"),
        (("--until", "18:00", "--class", "toaster"), "--class toaster  no such class; there are: desktop"),
    ],
)
def test_a_mistake_is_told_with_its_option(world: World, words: tuple[str, ...], wrong: str) -> None:
    """One sentence, and nothing is written."""
    result = run(world, "hold", "ash", "--reason", "x", *words)
    assert isinstance(result.exception, ConfigError)
    assert wrong in str(result.exception)
    assert "nothing is held" in run(world, "holds").stderr


def test_patching_lists_what_rules_kept_off_for_too_long(world: World) -> None:
    """The windows, then the machines with the day by which they are due; a finding gives exit code 1."""
    nothing = run(world, "patching", "ash")
    assert nothing.exit_code == 3
    db = state.open_state(world.data / "state.db")
    assert run(world, "patching", "ash").exit_code == 0
    off_since(db, {"pc-000": 9, "pc-001": 15, "pc-002": 3})
    result = run(world, "patching", "ash")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "tuesday: tue 22:00-02:00; off for 7 d at most, patched within 14 d, then restarted",
        "  ash/pc-001  kept off by rules for 15 d, OVERDUE since Mon 19 Oct  (tuesday)",
        "  ash/pc-000  kept off by rules for 9 d, due by Sun 25 Oct  (tuesday)",
    ]
    rows = json.loads(run(world, "patching", "ash", "--json").stdout)["due"]
    assert [row["overdue"] for row in rows] == [True, False]


def off_since(db: sqlite3.Connection, days: dict[str, int]) -> None:
    """Machines that a rule switched off so many days ago."""
    entries = {}
    for name, ago in days.items():
        since_ms = NOW_MS - round(timedelta(days=ago).total_seconds() * 1000)
        presence = Presence(state=PowerState.OFF, since_ms=since_ms, cause=Cause.RULE, planned=True)
        entries[Address("ash", name)] = Entry(Tracked(presence), Numberings())
    save_entries(db, entries)


def test_an_answer_reads_as_one_says_it() -> None:
    """What is off, what stays on and why, what is asked and what follows."""
    found = Found(
        machines=31,
        asked=[f"pc-{number}" for number in range(12)],
        later=[f"pc-{number}" for number in range(12, 24)],
        stay={"in_use": ["a", "b", "c", "d"], "already_off": ["e", "f"], "exempt": ["g"]},
        later_why="limit of 12 a minute reached in this school",
    )
    assert cli_orders.told(found, Scope(school="ash", room="ict1"), "sleep", 120, dry_run=False).splitlines() == [
        "31 machines in ict1, 2 off already, 4 in use, 1 exempt: those stay on",
        "  12 asked to go to sleep, with 2 min of warning",
        "  12 follow within half an hour (limit of 12 a minute reached in this school)",
    ]
    only = Found(machines=1, asked=[], later=[], stay={"frozen": ["pc-1"]})
    assert cli_orders.told(only, Scope(school="ash", room="ict1", device="pc-1"), "restart", 60, True).splitlines() == [
        "machine pc-1, frozen: it is left alone",
        "  none would be asked",
    ]


def test_a_silence_is_told_listed_copied_and_ended_like_a_hold_and_counts_what_it_kept_back(world: World) -> None:
    """It says what it means: nobody is told, and nothing is kept on by it."""
    made = run(world, "silence", "ash/ict1", "--until", "18:00", "--reason", "new switch", "--by", "engineer")
    assert made.stdout == ("silence 1: nobody is told of ash/ict1 from Tue 20 Oct 12:00 until 18:00 (new switch)\n")
    assert made.stderr.splitlines() == [
        "3 machines; incidents are recorded meanwhile, and told afterwards if they are still open",
        "take it back with: caretaker end 1",
    ]
    db = state.open_state(world.data / "state.db")
    for uid, subject, at_ms in (
        ("a", Subject("ash", "ict1"), NOW_MS),
        ("b", Subject("ash", "", "pc-001"), NOW_MS),
        ("c", Subject("ash"), NOW_MS),  # of the whole school: wider than the silence
        ("d", Subject("ash", "ict1"), NOW_MS - 60_000),  # before it began
    ):
        opened = incidents.Opened(kind=FindingKind.LOST, subject=subject, title="x", since_ms=at_ms)
        entry = incidents.Entry(uid=uid, at_ms=at_ms, by="rules", action=incidents.Action.OPENED, opened=opened)
        incident_book.append(db, entry)
    assert run(world, "holds").stdout.splitlines() == [
        "   1  silence      ash/ict1  from Tue 20 Oct 12:00 until 18:00",
        "      on now; by engineer: new switch",
        "      2 incidents opened meanwhile",
    ]
    copied = run(world, "copy", "1", "--until", "2026-10-21 16:30")
    assert copied.stdout == (
        "silence 2: nobody is told of ash/ict1 from Tue 20 Oct 12:00 until Wed 21 Oct 16:30 (new switch)\n"
    )
    assert run(world, "end", "1").stdout == "silence 1 of ash/ict1 ended\n"


def test_a_silence_may_come_again_each_week(world: World) -> None:
    """As holds do."""
    made = run(
        world, "silence", "ash", "--from", "22:00", "--until", "23:00", "--reason", "patches", "--repeat", "weekly",
        "--until-date", "2026-12-15",
    )  # fmt: skip
    assert made.stdout == (
        "silence 1: nobody is told of ash each Tuesday 22:00-23:00, 20 Oct to 15 Dec 2026 (patches)\n"
    )
