"""What people see when they try their channels, look into the queue, and make tokens."""

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector.cli import app
from caretaker_collector.commands.notify import remedy
from caretaker_collector.notify import outbox
from caretaker_contract.clock import CLOCK_VARIABLE, Clock
from servers import FaultyHttp
from telling_world import NOW_MS, open_world, put, status_of, telling
from worlds import World, make_world

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A file, a receiver that works, one that has nothing at that path; commands live on Sat 3 Oct 2026."""
    made = make_world(tmp_path, 1883, devices=1)
    made.data.mkdir()
    monkeypatch.setenv(CLOCK_VARIABLE, Clock(NOW_MS / 1000, time.time(), 0.001).to_environment()[CLOCK_VARIABLE])
    with FaultyHttp("http://127.0.0.1:9") as receiver:
        receiver.answer(404, b"", path="/gone")
        (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        (tmp_path / "alerts.toml").write_text(
            'default = ["log"]\n'
            '[[channels]]\nname = "log"\nkind = "file"\npath = "told.jsonl"\n'
            f'[[channels]]\nname = "gone-hook"\nkind = "webhook"\nurl = "{receiver.url}/gone"\nsecret_file = "secret"\n'
            '[[channels]]\nname = "chat"\nkind = "teams"\nurl = "https://example.org/nothing"\n'
        )
        made.config.write_text('alerts = "alerts.toml"\n' + made.config.read_text())
        yield made


def run(world: World, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(app, [*words, "--config", str(world.config)])


def test_a_test_says_of_each_channel_what_came_of_it_and_what_to_do(world: World) -> None:
    """Exit code 1 when one failed; the others are tried all the same."""
    result = run(world, "notify", "test")
    assert result.exit_code == 1
    assert result.stdout == (
        "log        file     ok      written\n"
        "gone-hook  webhook  FAILED  it answered 404\n"
        "chat       teams    FAILED  its address is none that apprise understands; "
        "it should begin with workflows:// or workflow://\n"
    )
    assert "take it again from the other side's settings" in result.stderr
    [line] = (world.folder / "told.jsonl").read_text().splitlines()
    assert json.loads(line)["title"] == "Test message of Caretaker"


def test_one_channel_can_be_tried_by_its_name(world: World) -> None:
    """A name that there is not names those that there are."""
    result = run(world, "notify", "test", "log", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"channels": [{"channel": "log", "kind": "file", "ok": True, "answer": "written"}]},
    )
    wrong = run(world, "notify", "test", "lgo")
    assert wrong.exit_code == 2 and "there are: log, gone-hook, chat" in wrong.stderr


def test_the_queue_shows_what_waits_what_failed_and_why(world: World) -> None:
    """And a failed message goes out again."""
    db = open_world(world.data)
    assert run(world, "notify", "queue").stderr == "nothing waits, and nothing failed\n"
    put(
        db,
        telling(id_="a" * 32, channel="log", title="ash/ict1-07 is away"),
        telling(uid="u2", id_="b" * 32, channel="gone-hook", title="Disk of lib-01 is full"),
        telling(uid="u3", id_="c" * 32, channel="log", at_ms=NOW_MS + 3_600_000, title="in the morning"),
    )
    assert run(world, "notify", "queue").exit_code == 0
    outbox.claim(db, "a" * 32, NOW_MS)
    outbox.later(db, "a" * 32, "it answered 503")
    outbox.claim(db, "b" * 32, NOW_MS)
    outbox.done(db, "b" * 32, "failed", NOW_MS, "it answered 404")
    result = run(world, "notify", "queue")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "aaaaaaaaaaaa  log  opened  waiting, 1 try, next Sat 05:00:30  ash/ict1-07 is away",
        "    it answered 503",
        "bbbbbbbbbbbb  gone-hook  opened  FAILED Sat 05:00:00 after 1 try  Disk of lib-01 is full",
        "    it answered 404",
        "cccccccccccc  log  opened  due Sat 06:00:00  in the morning",
    ]
    assert "2 waiting, 1 failed in the last week" in result.stderr
    assert [row["status"] for row in json.loads(run(world, "notify", "queue", "--json").stdout)["messages"]] == [
        "waiting", "failed", "waiting",
    ]  # fmt: skip
    again = run(world, "notify", "retry", "bbbbbbbb")
    assert again.exit_code == 0 and "goes out again through gone-hook" in again.stdout
    assert status_of(db, "b" * 32) == ("waiting", 0, "")
    assert isinstance(run(world, "notify", "retry", "nonsense").exception, Exception)


def test_without_alerts_nobody_is_told_and_that_is_said(tmp_path: Path) -> None:
    """collector.toml has to name them."""
    bare = make_world(tmp_path, 1883)
    assert "names no alerts" in str(run(bare, "notify", "test").exception)


def test_a_token_is_shown_once_listed_and_ended(world: World) -> None:
    """With what it may do and until when."""
    made = run(world, "token", "new", "ash-office", "--scope", "incidents", "--school", "ash", "--days", "30")
    assert made.stdout.startswith("ct_") and len(made.stdout) > 45
    assert "token ash-office: incidents, school ash, until 02 Nov 2026; it is not shown again" in made.stderr
    assert run(world, "token", "list").stdout == "ash-office  incidents  ash  until 02 Nov 2026\n"
    assert made.stdout.strip() not in run(world, "token", "list", "--json").stdout
    assert "there is, or was, a token of this name" in str(run(world, "token", "new", "ash-office").exception)
    assert run(world, "token", "new", "x", "--school", "nowhere").exit_code == 2
    assert run(world, "token", "new", " x ").exit_code == 2
    assert run(world, "token", "end", "ash-office").stdout == "token ash-office: ended\n"
    assert run(world, "token", "list").stdout == "ash-office  incidents  ash  ended 03 Oct 2026\n"


def test_a_secret_is_made_for_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    """The receiver needs the same line."""
    path = tmp_path / "hook.secret"
    assert CliRunner().invoke(app, ["notify", "secret", str(path)]).exit_code == 0
    assert path.read_text().startswith("whsec_") and stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert CliRunner().invoke(app, ["notify", "secret", str(path)]).exit_code == 2
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("it answered 401: no; look at its token or password", "make a new token"),
        ("the mail server answered 535 no", "make a new token or password"),
        ("cannot be reached: Connection refused", "name, port, firewall"),
        ("no answer within 30 s", "name, port, firewall"),
        ("its certificate is not trusted", "signed by an authority"),
        ("it answered 429", "wait, and try again"),
        ("it answered 422: no such group", "mend alerts.toml"),
    ],
)
def test_each_failure_has_its_remedy(answer: str, words: str) -> None:
    """In words that help."""
    assert words in remedy("mail", answer)
