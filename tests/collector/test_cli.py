"""The command line's manners: data on standard output, talk on standard error, and exit codes that mean something."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caretaker_collector import state
from caretaker_contract.clock import fast_clock
from worlds import NOW_MS, World, make_world


def caretaker(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "caretaker_collector", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
        timeout=60,
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Settings and an empty state file, as after a collector's first start."""
    world = make_world(tmp_path, 1883)
    world.data.mkdir()
    state.open_state(world.data / "state.db").close()
    return world


def test_version_and_help_answer_without_settings(tmp_path: Path) -> None:
    """A newcomer's first two commands."""
    assert caretaker("--version", cwd=tmp_path).stdout.startswith("caretaker 0.")
    answer = caretaker("--help", cwd=tmp_path)
    assert answer.returncode == 0
    for command in ("demo", "collect", "check", "why", "hold", "stop"):
        assert command in answer.stdout


def test_without_settings_every_place_is_named(tmp_path: Path) -> None:
    """Exit code 2, nothing on standard output, and where it looked."""
    answer = caretaker("why", "ash/pc-000", cwd=tmp_path, CARETAKER_CONFIG="")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "./collector.toml" in answer.stderr
    assert "./demo-out/collector.toml" in answer.stderr


def test_settings_are_found_in_the_stated_order(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The working folder's file, then the demo's; the environment and --config come before."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "demo-out").symlink_to(world.folder)
    assert caretaker("quarantine", cwd=elsewhere).returncode == 0
    assert caretaker("quarantine", cwd=world.folder).returncode == 0
    assert caretaker("quarantine", cwd=Path("/"), CARETAKER_CONFIG=str(world.config)).returncode == 0
    assert caretaker("quarantine", "--config", "missing.toml", cwd=world.folder).returncode == 2


def test_check_finds_and_counts(world: World) -> None:
    """Good files: 0. A fault: 1, on standard output, with its line; the count on standard error."""
    estate = world.folder / "estate.toml"
    assert caretaker("check", str(estate), str(world.config)).returncode == 0
    estate.write_text(estate.read_text().replace("class", "clas", 1) + "\n[[tarifs]]\nx = 1\n")
    answer = caretaker("check", str(estate))
    assert answer.returncode == 1
    assert "did you mean" in answer.stdout
    assert "nothing was changed" in answer.stderr
    faults = json.loads(caretaker("check", "--json", str(estate)).stdout)["faults"]
    assert all("estate.toml:" in fault for fault in faults)


def test_why_of_what_is_not_there(world: World) -> None:
    """A misspelt school is a usage fault that names the schools; a device nobody knows cannot be told about."""
    answer = caretaker("why", "oak/pc-000", "--config", str(world.config))
    assert answer.returncode == 2
    assert "there are: ash" in answer.stderr
    assert caretaker("why", "ash/nobody", "--config", str(world.config)).returncode == 3
    assert caretaker("why", "not a device", "--config", str(world.config)).returncode == 2
    answer = caretaker("why", "ash/pc-000", "--config", str(world.config))
    assert answer.returncode == 0
    assert "nothing was decided about it yet" in answer.stdout


def test_a_hold_is_kept_with_its_reason(world: World) -> None:
    """It lands in the state file, from now until the given local time, and a past time is refused."""
    db = state.open_state(world.data / "state.db")
    common = ("--reason", "club", "--config", str(world.config))
    clock = fast_clock(NOW_MS, 1.0).to_environment()
    answer = caretaker("hold", "ash/ict1", "--until", "2026-10-03 23:30", *common, **clock)
    assert answer.returncode == 0, answer.stderr
    kind, school, room, begin, until, reason = db.execute(
        "SELECT kind, school, room, from_ms, until_ms, reason FROM holds"
    ).fetchone()
    assert (kind, school, room, reason) == ("hold", "ash", "ict1", "club")
    assert NOW_MS <= begin < NOW_MS + 60_000 < until
    assert caretaker("hold", "ash/ict1", "--until", "2026-10-02 18:00", *common, **clock).returncode == 2
    assert caretaker("hold", "ash/nowhere", "--until", "18:00", *common).returncode == 2
    assert caretaker("hold", "ash", "--until", "tomorrow", *common).returncode == 2


def test_stop_and_resume_are_exact(world: World) -> None:
    """Resuming a place that was not stopped is a finding; the switch of another place stays on."""
    config = ("--config", str(world.config))
    assert caretaker("stop", "ash/ict1", "--reason", "look", *config).returncode == 0
    assert caretaker("resume", "all", *config).returncode == 1
    assert caretaker("resume", "ash/ict1", *config).returncode == 0
    db = state.open_state(world.data / "state.db")
    assert db.execute("SELECT count(*) FROM stops WHERE ended_ms IS NULL").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM stops").fetchone() == (1,)


def test_a_new_key_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """Only its owner may read it; the public half is what is printed."""
    file = tmp_path / "command.key"
    answer = caretaker("key", "new", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(answer.stdout.strip()) == 64
    assert caretaker("key", "public", str(file)).stdout == answer.stdout
    again = caretaker("key", "new", str(file))
    assert again.returncode == 2
    assert "exists" in again.stderr.lower()


def test_quarantine_says_when_it_is_empty(world: World) -> None:
    """An empty list says why it is empty."""
    answer = caretaker("quarantine", "--config", str(world.config))
    assert answer.stdout == ""
    assert "nothing was put aside" in answer.stderr
