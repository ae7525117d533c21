"""What people see when they make, change and end accounts on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector import state
from caretaker_collector.accounts import book, sessions
from caretaker_collector.accounts.passwords import Passwords
from caretaker_collector.accounts.sessions import Terms
from caretaker_collector.cli import app
from caretaker_contract.clock import Clock
from caretaker_rules.roles import Role
from worlds import World, make_world

PASSWORD = "kettle marble violin"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path, 1883, devices=1)


def run(world: World, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["account", *words, "--config", str(world.config)], input=typed)


def test_the_first_account_can_be_made_before_the_collector_has_run(world: World) -> None:
    made = run(world, "new", "Service desk", "--role", "engineer", typed=PASSWORD + "\n")
    assert (made.exit_code, made.stdout) == (0, "")
    assert made.stderr.startswith("account Service desk: engineer, all schools; sign in at http://127.0.0.1:")
    account = book.one(state.open_state(world.data / "state.db"), "service desk")
    assert account.hash is not None and Passwords().fits(account.hash, PASSWORD) and not account.must_change


def test_a_made_password_is_shown_once_and_has_to_be_changed(world: World) -> None:
    made = run(world, "new", "Dora", "--role", "director", "--school", "ash", "--generate")
    account = book.one(state.open_state(world.data / "state.db"), "dora")
    assert account.hash is not None and Passwords().fits(account.hash, made.stdout.strip())
    assert (account.must_change, account.schools, account.role) == (True, ("ash",), Role.DIRECTOR)
    assert "it is not shown again, and has to be changed at once" in made.stderr
    listed = run(world, "list").stdout
    assert "Dora  director, ash  made" in listed and "has to change the password" in listed
    assert made.stdout.strip() not in listed


def test_a_password_can_come_from_a_file_that_only_its_owner_reads(world: World, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\nnot this\n")
    made = run(world, "new", "Head office", "--role", "manager", "--password-file", str(file))
    assert made.exit_code == 0 and "chmod 600" in made.stderr
    file.chmod(0o600)
    assert "chmod" not in run(world, "password", "Head office", "--password-file", str(file)).stderr
    gone = run(world, "password", "Head office", "--password-file", str(tmp_path / "gone"))
    assert gone.exit_code != 0 and "cannot be read" in str(gone.exception)


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["new", "A b", "--role", "engineer"], "short\n", "at least 12 characters"),
        (["new", "A b", "--role", "engineer"], "", "at least 12 characters"),
        (["new", "A b", "--role", "director"], PASSWORD, "a director has one school"),
        (["new", "A b", "--role", "engineer", "--school", "nix"], PASSWORD, "no such school; there are: ash"),
        (["new", "A b", "--role", "engineer", "--no-password", "--generate"], "", "goes with none of"),
        (["password", "Nobody"], PASSWORD, "no such account"),
        (["end", "Nobody"], "", "no such account"),
        (["sessions", "--end"], "", "say whose"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(world: World, words: list[str], typed: str, said: str) -> None:
    run(world, "new", "Head office", "--role", "manager", "--no-password")
    result = run(world, *words, typed=typed)
    assert result.exit_code != 0
    assert said in result.stderr + str(result.exception)
    assert [account.name for account in book.listed(state.open_state(world.data / "state.db"))] == ["Head office"]


def test_a_role_changes_an_account_ends_and_sessions_with_it(world: World) -> None:
    run(world, "new", "Service desk", "--role", "engineer", typed=PASSWORD)
    db = state.open_state(world.data / "state.db")
    with book.writing(db):
        sessions.begin(db, book.one(db, "service desk"), False, Terms(10**6, 10**7), Clock().now_ms())
    assert run(world, "sessions").stdout.startswith("Service desk  begun 0 s ago, last used 0 s ago")
    (row,) = json.loads(run(world, "sessions", "--json").stdout)["sessions"]
    assert row["account"] == "Service desk" and "digest" not in row
    assert json.loads(run(world, "list", "--json").stdout)["accounts"][0]["sessions"] == 1
    assert run(world, "role", "service desk", "--role", "viewer", "--school", "ash").stdout == (
        "account Service desk: viewer, ash\n"
    )
    assert run(world, "sessions").stderr == "nobody is signed in\n"
    assert run(world, "sessions", "service desk", "--end").exit_code == 1
    assert run(world, "unlock", "service desk").exit_code == 0
    assert run(world, "end", "service desk").exit_code == 0
    assert "ended" in run(world, "list").stdout


def test_there_is_one_break_glass_account_and_its_password_stays(world: World) -> None:
    made = run(world, "new", "Glass", "--role", "manager", "--break-glass", "--generate")
    assert made.exit_code == 0 and "keep its password in an envelope" in made.stderr
    assert not book.one(state.open_state(world.data / "state.db"), "glass").must_change
    again = run(world, "new", "Glass 2", "--role", "manager", "--break-glass", "--generate")
    assert again.exit_code != 0 and "Glass is that account already" in str(again.exception)


def test_where_nobody_is_the_next_step_is_said(world: World) -> None:
    assert run(world, "list").exit_code == 3
    state.open_state((world.data.mkdir(), world.data)[1] / "state.db").close()
    assert run(world, "list").stderr == "no accounts; make one with: caretaker account new NAME --role engineer\n"
