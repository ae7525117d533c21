"""What people read when they wake a room, ask what cannot be woken, and whether rooms were ready."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from rules_world import london_ms
from worlds import World, make_world

NOW_MS = london_ms("2026-10-20 12:00")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A school of three machines, one without a MAC address; Tue 20 Oct 2026, noon, on a clock that hardly moves."""
    made = make_world(tmp_path, 1883, devices=3)
    made.data.mkdir()
    register = tmp_path / "ash.csv"
    rows = register.read_text().replace("pc-000,ict1,desktop,", "pc-000,ict1,desktop,02:00:00:00:00:01")
    register.write_text(rows.replace("pc-001,ict1,desktop,", "pc-001,ict1,desktop,02:00:00:00:00:02"))
    clock = Clock(NOW_MS / 1000, datetime.now(UTC).timestamp(), 0.001)
    monkeypatch.setenv(CLOCK_VARIABLE, clock.to_environment()[CLOCK_VARIABLE])
    return made


def run(world: World, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, [*words, "--config", str(world.config)])


def test_an_order_is_written_down_with_who_and_why_and_says_what_cannot_be_woken(world: World) -> None:
    done = run(world, "wake", "ash/ict1", "--reason", "updates", "--by", "technician")
    assert done.exit_code == 0
    assert done.stdout == ("wake 1: ash/ict1, 3 machines; those that are off get up to 3 packets within 12 minutes\n")
    assert done.stderr.splitlines()[0] == ("1 of them cannot be woken: the asset register has no MAC address for them")
    row = world.state().execute("SELECT school, room, device, reason, by_whom FROM wake_orders").fetchone()
    assert row == ("ash", "ict1", None, "updates", "technician")
    alone = run(world, "wake", "ash/pc-001", "--reason", "updates", "--json")
    assert json.loads(alone.stdout) == {"order": 2, "machines": 1, "without_mac": 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["wake"], 'say what to wake and why: caretaker wake ash/ict1 --reason "patches tonight"; or --list'),
        (["wake", "ash/ict1"], "say what to wake and why"),
        (
            ["wake", "ash", "--reason", "all"],
            "ash: a whole school is not woken at once; name a room or a machine of it",
        ),
        (["ready", "elm"], "elm: no such school; there are: ash"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(world: World, words: list[str], told: str) -> None:
    done = run(world, *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_room_that_does_not_exist_is_named_with_those_that_do(world: World) -> None:
    done = run(world, "wake", "ash/gym", "--reason", "updates")
    assert "no room 'gym' in ash; there are: ict1" in str(done.exception)


def book(world: World, *rows: tuple[object, ...]) -> None:
    """(device, occasion, result, result_ms, attempts, why, value) in the wake book."""
    db = state.open_state(world.data / "state.db")
    db.executemany(
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, result, result_ms, attempts, "
        "why, value) VALUES ('ash', ?, ?, 'early', 'ict1', 0, 0, ?, ?, ?, ?, ?)",
        rows,
    )
    db.close()


def test_the_list_has_the_newest_result_of_each_machine_and_the_likely_reason(world: World) -> None:
    day_ms = 86_400_000
    book(
        world,
        ("pc-000", "a", "cannot", NOW_MS - 2 * day_ms, 3, "never_answered", "3"),
        ("pc-000", "b", "awake", NOW_MS - day_ms, 1, "", ""),
        ("pc-001", "a", "awake", NOW_MS - 2 * day_ms, 1, "", ""),
        ("pc-001", "b", "cannot", NOW_MS - day_ms, 3, "never_answered", "3"),
        ("pc-002", "b", "cannot", NOW_MS - day_ms, 0, "no_mac", ""),
        ("gone-9", "b", "cannot", NOW_MS - day_ms, 0, "no_mac", ""),
    )
    done = run(world, "wake", "--list")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "ash/pc-001             ict1       Mon 19 Oct 12:00  early            no report after 3 packets, and it never "
        "answered one before: wake-on-LAN may be off in its firmware or driver, or its MAC address wrong",
        "ash/pc-002             ict1       Mon 19 Oct 12:00  early            the asset register has no MAC address "
        "for it",
    ]
    found = json.loads(run(world, "wake", "--list", "--json").stdout)
    assert [(each["device"], each["attempts"]) for each in found] == [("ash/pc-001", 3), ("ash/pc-002", 0)]


def test_an_empty_list_says_so(world: World) -> None:
    book(world)
    done = run(world, "wake", "--list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "every machine that was to be woken reported that it is on, or none was wanted yet" in done.stderr


def test_readiness_is_told_by_room_for_its_last_lesson(world: World) -> None:
    db = state.open_state(world.data / "state.db")
    for room, at, ready in (
        ("ict1", "2026-10-20 08:50", 29),
        ("ict1", "2026-10-20 09:50", 30),
        ("lab", "2026-10-19 14:00", 8),
    ):
        db.execute("INSERT INTO readiness VALUES ('ash', ?, ?, ?, 30)", (room, london_ms(at), ready))
    db.close()
    now = run(world, "ready", "ash")
    assert now.exit_code == 1, "somewhere a machine was not ready"
    assert now.stdout.splitlines() == [
        "ict1 (ICT suite 1)                  30 of 30  ready at 09:50",
        "lab                                  8 of 30  ready at 14:00 Mon 19 Oct",
    ]
    before = run(world, "ready", "ash", "--at", "08:55", "--json")
    assert [(each["room"], each["ready"]) for each in json.loads(before.stdout)] == [("ict1", 29), ("lab", 8)]
    long_ago = run(world, "ready", "ash", "--at", "2026-10-18 12:00")
    assert long_ago.exit_code == 3
    assert "no lesson began in ash since Sat 17 Oct 12:00 while the collector could see" in long_ago.stderr
