"""The audit log, and `caretaker audit`: who did what, from where, and what came of it."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector import audit, state, stays
from caretaker_collector.cli import app
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from caretaker_contract.errors import ConfigError
from caretaker_rules.roles import Who, operator
from rules_world import london_ms
from worlds import World, make_world

NOW_MS = london_ms("2026-10-20 12:00")
HOUR_MS = 3_600_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A school of three machines on Tue 20 Oct 2026, noon; two commands were given, one of them refused."""
    made = make_world(tmp_path, 1883, devices=3)
    made.data.mkdir()
    clock = Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001)
    monkeypatch.setenv(CLOCK_VARIABLE, clock.to_environment()[CLOCK_VARIABLE])
    run(made, "hold", "ash/ict1", "--until", "18:00", "--reason", "chess club", "--by", "head of maths")
    run(made, "stop", "ash/pc-000", "--reason", "smoke")
    return made


def run(world: World, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, [*words, "--config", str(world.config)])


def test_each_command_and_each_refusal_has_a_line_with_who_and_why(world: World) -> None:
    """The newest first, in the school's time."""
    told = run(world, "audit")
    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "Tue 20 Oct 12:00  operator (cli)  stop  ash/pc-000  REFUSED: ash/pc-000: that is a machine; write all or "
        "a school (ash) or a room (ash/ict1).",
        "    smoke",
        "Tue 20 Oct 12:00  head of maths (cli)  hold  ash/ict1",
        "    from Tue 20 Oct 12:00 until 18:00: chess club  /records/1",
    ]


def test_a_place_and_a_time_narrow_it(world: World) -> None:
    """A room has the lines of its machines; what is older than asked for is left out, and that is said."""
    db = state.open_state(world.data / "state.db")
    audit.append(db, operator("kim"), "wake", NOW_MS - 200 * HOUR_MS, school="ash", place="ash/pc-001", text="long ago")
    audit.append(db, operator("kim"), "stop", NOW_MS, place="all", text="storm")
    room = [line["what"] for line in json.loads(run(world, "audit", "ash/ict1", "--json").stdout)["audit"]]
    assert room == ["stop", "hold"]
    longer = json.loads(run(world, "audit", "ash/ict1", "--since", "30d", "--json").stdout)["audit"]
    assert [line["what"] for line in longer] == ["wake", "stop", "hold"]
    assert [line["place"] for line in json.loads(run(world, "audit", "all", "--json").stdout)["audit"]] == ["all"]
    nothing = run(world, "audit", "ash/pc-002", "--since", "90 min")
    assert nothing.stdout == "" and "nobody did anything there in the last 90 min" in nothing.stderr
    for wrong in (("audit", "--since", "soon"), ("audit", "elm")):
        assert isinstance(run(world, *wrong).exception, ConfigError)


def test_as_a_table_it_holds_no_formula(world: World) -> None:
    """A reason that begins as a formula would is text in every spreadsheet."""
    run(world, "hold", "ash", "--until", "18:00", "--reason", "x", "--by", "=cmd()")
    rows = list(csv.DictReader(io.StringIO(run(world, "audit", "--csv").stdout)))
    assert [row["who"] for row in rows] == ["head of maths", "operator", "'=cmd()"]
    assert rows[0]["at"] == "2026-10-20T11:00:00+00:00"


def test_the_log_is_paged_by_number_and_bounded_by_school(tmp_path: Path) -> None:
    """Texts are cut where they are kept."""
    db = state.open_state(tmp_path / "state.db")
    who = Who(name="n" * 200, via="desk", may=frozenset())
    for number in range(5):
        audit.append(db, who, "note", number, school="ash" if number % 2 else "oak", text="x" * 5_000)
    newest = audit.listed(db, limit=2)
    assert [line.at_ms for line in newest] == [4, 3]
    assert [line.at_ms for line in audit.listed(db, before=newest[-1].number)] == [2, 1, 0]
    assert [line.at_ms for line in audit.listed(db, "ash")] == [3, 1]
    assert (len(newest[0].text), len(newest[0].who)) == (audit.LONGEST, 80)


async def test_a_command_can_be_run_from_within_a_loop(world: World) -> None:
    """As tests in a browser do, and whoever calls `caretaker` as a library."""
    assert run(world, "incident", "open", "ash/ict1", "--reason", "the projector stays dark").exit_code == 0


def test_a_hold_by_a_rooms_link_or_at_a_machine_stands_in_the_log_once(tmp_path: Path) -> None:
    """A request that is read twice is one hold and one line; nothing of who it was is kept."""
    db = state.open_state(tmp_path / "state.db")
    stays.ask_by_link(db, stays.link_of(db, "ash", "ict1", NOW_MS), HOUR_MS, NOW_MS)
    hold = stays.hold_of_room("ash", "ict2", NOW_MS, NOW_MS + HOUR_MS)
    for _ in range(2):
        for write in (
            stays.asked("report|1", hold, "somebody at ash/pc-1", NOW_MS),
            stays.noted(hold, "somebody at ash/pc-1", "agent", NOW_MS),
        ):
            db.execute(*write)
    assert [(line.who, line.via, line.what, line.place, line.link) for line in audit.listed(db)] == [
        ("somebody at ash/pc-1", "agent", "hold", "ash/ict2", "/records/2"),
        ("somebody with the link of ash/ict1", "link", "hold", "ash/ict1", "/records/1"),
    ]


def test_tokens_and_links_that_are_made_and_ended_stand_in_the_log(world: World) -> None:
    """By name; never their text."""
    token = run(world, "token", "new", "ops", "--scope", "operate").stdout.strip()
    run(world, "token", "end", "ops")
    for _ in range(2):
        link = run(world, "stay-link", "ash/ict1").stdout.strip().rpartition("/")[2]
    assert run(world, "stay-link", "ash/ict1", "--revoke").exit_code == 0
    text = run(world, "audit", "--json").stdout
    lines = [(line["what"], line["place"]) for line in json.loads(text)["audit"]]
    assert lines[:4] == [
        ("revoke_stay_link", "ash/ict1"), ("stay_link", "ash/ict1"), ("end token", "ops"), ("make token", "ops"),
    ]  # fmt: skip
    assert token not in text and link not in text
