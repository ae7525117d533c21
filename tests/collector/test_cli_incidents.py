"""`caretaker incidents` and `caretaker incident`, on a school with and without service levels."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.settings import load_estate
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from caretaker_contract.errors import ConfigError
from caretaker_rules.alerting import Pending
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened
from rules_world import london_ms
from worlds import make_world

POLICIES = Path(__file__).parents[2] / "rules" / "policies"
NOW_MS = london_ms("2026-10-06 09:15")
HITS = tuple(Subject("ash", "ict1", f"pc-{number:03}") for number in range(10))


class Desk:
    """A school on disk, and a person at the command line."""

    def __init__(self, folder: Path) -> None:
        self.world = make_world(folder, 1, devices=12)
        estate = self.world.folder / "estate.toml"
        (self.world.folder / "service.toml").write_text((POLICIES / "service.toml").read_text())
        estate.write_text('service = "service.toml"\n' + estate.read_text())
        self.world.data.mkdir()
        self.db = state.open_state(self.world.data / "state.db")
        self.estate = load_estate(estate)

    def opened(self, kind: FindingKind, subject: Subject, at: str, *, priority: int | None, **more: Any) -> int:
        at_ms = london_ms(f"2026-10-06 {at}")
        told = Opened(kind=kind, subject=subject, since_ms=at_ms, priority=priority, **more)
        uid = f"{kind.value}{at}"
        incident_book.append(self.db, Entry(uid=uid, at_ms=at_ms, by="rules", action=Action.OPENED, opened=told))
        return self.one(uid).number

    def one(self, uid: str) -> Incident:
        found = incident_book.of_uid(self.db, uid)
        assert found is not None
        return found

    def run(self, *words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--config", str(self.world.config)])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    clock = Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001)
    monkeypatch.setenv(CLOCK_VARIABLE, clock.to_environment()[CLOCK_VARIABLE])
    return Desk(tmp_path)


def test_the_list_stands_by_the_time_that_is_left(desk: Desk) -> None:
    room, alone = Subject("ash", "ict1"), Subject("ash", "ict1", "pc-011")
    desk.opened(FindingKind.LOST, alone, "08:00", priority=3, title="ash/pc-011 is not heard any more")
    title = "ash/ict1 is cut off: 10 of 12 of the room silent"
    desk.opened(FindingKind.LINK_DOWN, room, "09:00", priority=1, hits=HITS, title=title)
    own = "Caretaker has no connection to its broker"
    desk.opened(FindingKind.BROKER_SILENT, Subject(), "09:10", priority=None, title=own)
    told = desk.run("incidents")
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "INC-2   P1  Ashfield · ict1 is cut off: 10 of 12 of the room silent · 10 machines · "
        "fix due Tue 15:00 (5 h 45 min left) · nobody has acknowledged it",
        "INC-1   P3  Ashfield · pc-011 is not heard any more · "
        "fix due Wed 7 Oct 12:00 (10 h 45 min left) · nobody has acknowledged it",
        "INC-3   --  Caretaker itself · Caretaker has no connection to its broker · "
        "since Tue 6 Oct 09:10 · nobody has acknowledged it",
    ]
    assert told.stderr == "illustrative service levels, nobody's contract: transitional, enhanced\n"
    assert [line[:5] for line in desk.run("incidents", "ash").stdout.splitlines()] == ["INC-2", "INC-1"]
    assert [line[:5] for line in desk.run("incidents", "caretaker").stdout.splitlines()] == ["INC-3"]
    rows = json.loads(desk.run("incidents", "--json").stdout)["incidents"]
    assert [(row["name"], row["fix"] and row["fix"]["left_ms"] // 60_000) for row in rows] == [
        ("INC-2", 345),
        ("INC-1", 645),
        ("INC-3", None),
    ]


def test_the_list_says_the_newest_figures_of_what_is_open(desk: Desk) -> None:
    """A disk was 90 % full when it was opened, and is 97 % now."""
    disk = Subject("ash", "ict1", "pc-011")
    desk.opened(FindingKind.DISK_FULL, disk, "08:00", priority=3, title="disk of ash/pc-011 is 90% full")
    finding = Finding(FindingKind.DISK_FULL, disk, NOW_MS, "97%")
    pending = Pending(key=finding.key, first_ms=NOW_MS, last_ms=NOW_MS, finding=finding)
    for statement, values in finding_book.changes("ash", {}, {finding.key: pending}):
        desk.db.execute(statement, values)
    assert "disk of pc-011 is 97% full" in desk.run("incidents").stdout
    lines = desk.run("incident", "1").stdout.splitlines()
    assert "97%" in lines[0] and "90%" in lines[-1], "its history stays as it was"


def test_on_a_fast_clock_without_rules_the_clocks_are_the_collectors(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CLOCK_VARIABLE)
    state.save_clock(desk.db, Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001))
    desk.opened(FindingKind.LOST, Subject("ash", "ict1", "pc-011"), "08:00", priority=3, title="it")
    assert "fix due Wed 7 Oct 12:00 (10 h 45 min left)" in desk.run("incidents").stdout


def test_what_people_do_is_the_history_of_an_incident(desk: Desk) -> None:
    room = Subject("ash", "ict1")
    title = "ash/ict1 is cut off: 10 of 12 of the room silent"
    desk.opened(FindingKind.LINK_DOWN, room, "09:00", priority=1, hits=HITS, title=title)
    for words, said in (
        (("ack", "1", "--by", "engineer"), "INC-1 acknowledged"),
        (("assign", "INC-1", "network team"), "INC-1 assigned to network team"),
        (("note", "1", "new cable ordered"), "INC-1 noted: new cable ordered"),
        (("pause", "1", "--reason", "room locked"), "INC-1 waits for the customer: room locked"),
        (("resume", "1"), "INC-1 waits no longer"),
        (("fix", "1", "--reason", "cable changed"), "INC-1 fixed: cable changed"),
    ):
        done = desk.run("incident", *words)
        assert (done.exit_code, done.stdout, done.stderr) == (0, said + "\n", "")
    lines = desk.run("incident", "1").stdout.splitlines()
    assert lines == desk.run("incident", "show", "inc-1").stdout.splitlines()
    assert lines[:4] == [
        "INC-1     ict1 is cut off: 10 of 12 of the room silent",
        "where     Ashfield (ash/ict1)",
        "state     fixed by operator",
        "since     Tue 6 Oct 09:00 (15 min ago)",
    ]
    start = lines.index("history") + 1
    assert lines[start:] == [
        "  Tue 6 Oct 09:00  opened ash/ict1 is cut off: 10 of 12 of the room silent (P1)  (rules)",
        "  Tue 6 Oct 09:15  acknowledged  (engineer)",
        "  Tue 6 Oct 09:15  assigned to network team  (operator)",
        "  Tue 6 Oct 09:15  note: new cable ordered  (operator)",
        "  Tue 6 Oct 09:15  waits for the customer: room locked  (operator)",
        "  Tue 6 Oct 09:15  waits no longer  (operator)",
        "  Tue 6 Oct 09:15  fixed: cable changed  (operator)",
    ]
    assert desk.run("incidents").exit_code == 0
    assert desk.run("incidents").stderr == "nothing is open\n"
    assert desk.run("incidents", "--past").stdout.startswith("INC-1   P1  Ashfield · ict1 is cut off")


def test_what_was_done_already_is_said_and_not_written_twice(desk: Desk) -> None:
    desk.opened(FindingKind.LOST, HITS[0], "09:00", priority=3, title="ash/pc-000 is not heard any more")
    assert desk.run("incident", "ack", "1").exit_code == 0
    again = desk.run("incident", "ack", "1")
    assert (again.exit_code, again.stderr) == (1, "INC-1 was so already: acknowledged\n")
    assert len(incident_book.log_of(desk.db, "lost09:00")) == 2


def test_a_fault_that_no_rule_can_see_is_opened_by_a_person_with_the_priority_of_its_place(desk: Desk) -> None:
    done = desk.run("incident", "open", "ash/ict1", "--reason", "the projector stays dark", "--by", "teacher")
    assert done.stdout == "INC-1: the projector stays dark (ash/ict1, P1)\n"
    [made] = incident_book.open_ones(desk.db, "ash")
    assert (made.kind, made.subject) == (FindingKind.REPORTED, Subject("ash", "ict1"))


def test_merging_shows_on_both_sides_where_it_goes_on(desk: Desk) -> None:
    desk.opened(FindingKind.LOST, HITS[0], "09:00", priority=3, title="ash/pc-000 is not heard any more")
    desk.run("incident", "open", "ash/ict1", "--reason", "no network")
    assert desk.run("incident", "merge", "1", "2").stdout == "INC-1 merged into INC-2\n"
    lines = desk.run("incident", "1").stdout.splitlines()
    assert "state     merged into INC-2" in lines
    assert lines[-1].endswith("merged into INC-2  (operator)")
    other = desk.run("incident", "2").stdout.splitlines()
    assert "INC-1 goes on here: " in other[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ack", "7"), "INC-7  no such incident; the newest is INC-2; `caretaker incidents --all` lists them"),
        (("ack", "two"), "'two'  is no number of an incident; write 12 or INC-12"),
        (("ack", "1"), "INC-1  is fixed already; if it comes back, it is opened again"),
        (("merge", "2", "2"), "INC-2  cannot be merged into itself"),
        (("note", "2", " "), "INC-2  a note needs a text"),
        (("pause", "2", "--reason", " "), "INC-2  say what it waits for: only waiting for the customer stops a clock"),
        (("open", "elm", "--reason", "x"), "elm  no school 'elm'; there are: ash"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(desk: Desk, words: tuple[str, ...], told: str) -> None:
    desk.opened(FindingKind.LOST, HITS[0], "09:00", priority=3, title="ash/pc-000 is not heard any more")
    desk.opened(FindingKind.LOST, HITS[1], "09:01", priority=3, title="ash/pc-001 is not heard any more")
    incident_actions.fix(desk.db, desk.estate, 1, "engineer", "", NOW_MS)
    before = desk.db.execute("SELECT count(*) FROM incident_log").fetchone()
    done = desk.run("incident", *words)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == told
    assert desk.db.execute("SELECT count(*) FROM incident_log").fetchone() == before


def test_incidents_of_two_schools_are_not_merged(desk: Desk) -> None:
    desk.opened(FindingKind.LOST, HITS[0], "09:00", priority=3, title="ash/pc-000 is not heard any more")
    desk.opened(FindingKind.STORE_SILENT, Subject(), "09:01", priority=None, title="Caretaker cannot write")
    with pytest.raises(ConfigError, match="INC-2  is of Caretaker itself, not of ash"):
        incident_actions.merge(desk.db, desk.estate, 1, "engineer", 2, NOW_MS)


def test_before_anything_ran_the_list_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path, 1)
    done = CliRunner().invoke(app, ["incidents", "--config", str(world.config)])
    assert done.exit_code == 3
    assert "nothing was recorded yet" in done.stderr
