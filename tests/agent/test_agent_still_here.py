"""`caretaker-agent still-here`: from a person at the machine to a report, on a real broker, and what they are told."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caretaker_agent import still_here
from caretaker_agent.cli import main
from caretaker_agent.probe import Event
from caretaker_agent.still_here import SOCKET_FILE, WORD, Answer, FileDoor, SocketDoor, ask_by_file
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, Verb

Wait = Callable[..., Any]
TOML = 'school = "ash"\ndevice = "pc-1"\nroom = "ict1"\ndevice_class = "desktop"\nstate_dir = "state"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(TOML + '[broker]\nhost = "127.0.0.1"\n')
    return path


def test_without_an_agent_it_says_so_in_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether there never was one, or it was killed and its socket still lies there."""
    (config.parent / "state").mkdir()
    for _ in range(2):
        assert main(["still-here", "--config", str(config)]) == 3
        out, err = capsys.readouterr()
        assert (out, err) == (
            "",
            "caretaker-agent: the agent is not running on this machine, so nothing was asked; tell your ICT staff\n",
        )
        left = SocketDoor(config.parent / "state")
        left._socket.close()


@pytest.mark.slow
def test_a_person_who_asks_is_in_one_report_that_goes_out_at_once(
    world: Any, wait: Wait, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.options["poll_s"] = 300
    world.start()
    wait(lambda: world.ear.reports)
    before_ms = int(time.time() * 1000)
    assert main(["still-here", "--config", str(config)]) == 0
    until_s = before_ms / 1000 + 3600
    told = {
        f"asked: this room stays on until about {time.strftime('%H:%M', time.localtime(until_s + s))}\n" for s in (0, 5)
    }
    assert capsys.readouterr().out in told
    wait(lambda: len(world.ear.reports) == 2)
    first, second = world.ear.reports
    assert (second.stay_s, second.cause, second.seq, second.state) == (3600, Cause.HEARTBEAT, 2, first.state)
    assert not isinstance(first.stay_s, int)
    assert main(["still-here", "--config", str(config)]) == 0, "asked again at once"
    assert capsys.readouterr().out in told
    world.stop()
    assert [isinstance(report.stay_s, int) for report in world.ear.reports] == [False, True]
    assert not (config.parent / "state" / SOCKET_FILE).exists()


@pytest.mark.slow
def test_who_asks_during_a_warning_vetoes_it(world: Any, wait: Wait, config: Path) -> None:
    """Also where the machine cannot see their keys; nothing is switched."""
    world.start()
    wait(lambda: world.ear.reports)
    command = world.send(world.command(Verb.SHUT_DOWN, warn_s=600))
    wait(lambda: world.machine.warnings)
    assert main(["still-here", "--config", str(config)]) == 0
    wait(lambda: world.ear.steps(command)[-1:] == ["vetoed/user_input"])
    assert world.machine.acts == []


@pytest.mark.slow
def test_asked_without_a_line_it_is_kept_and_goes_out_later(
    own_world: Any, wait: Wait, own_broker: Any, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = own_world
    world.start()
    wait(lambda: world.ear.reports)
    own_broker.stop()
    wait(lambda: not world.agent._link.up)
    assert main(["still-here", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("kept: this machine has no line to Caretaker; once it has, this room stays on until about ")
    own_broker.start()
    wait(lambda: [report for report in world.ear.reports if report.stay_s == 3600], within_s=30)


@pytest.mark.slow
def test_a_disk_that_refuses_is_said_to_the_person(
    world: Any, wait: Wait, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.start()
    wait(lambda: world.ear.reports)
    account = world.agent._account

    def full(*_: Any, **__: Any) -> None:
        raise Unavailable("state: No space left on device")

    account.save = full
    assert main(["still-here", "--config", str(config)]) == 3
    assert "caretaker-agent: the agent could not ask: state: No space left on device\n" in capsys.readouterr().err
    del account.save


@pytest.mark.slow
def test_a_machine_that_is_leaving_asks_nothing_any_more(
    world: Any, wait: Wait, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its goodbye is the last that it says: a report after it would call it back from the dead."""
    world.start()
    wait(lambda: world.ear.reports)
    world.machine.queue.append(Event.SHUTTING_DOWN)
    wait(lambda: len(world.ear.reports) == 2)
    assert main(["still-here", "--config", str(config)]) == 3
    assert "this machine is just being switched off or put to sleep" in capsys.readouterr().err
    world.stop()
    assert [report.state.value for report in world.ear.reports][-1] == "off"


@pytest.mark.slow
def test_a_flood_of_words_makes_one_report_and_leaves_the_agent_at_rest(world: Any, wait: Wait, config: Path) -> None:
    world.options["poll_s"] = 300
    world.start()
    wait(lambda: world.ear.reports)
    looks = 0
    look = world.machine.look

    def counted(full: bool) -> Any:
        nonlocal looks
        looks += 1
        return look(full)

    world.machine.look = counted
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nobody:
        nobody.setblocking(False)
        end_s = time.monotonic() + 1.5
        while time.monotonic() < end_s:
            for word in (WORD, b"x" * 5000, b""):
                try:
                    nobody.sendto(word, str(config.parent / "state" / SOCKET_FILE))
                except BlockingIOError:
                    time.sleep(0.01)
    assert main(["still-here", "--config", str(config)]) == 0
    wait(lambda: len(world.ear.reports) == 2)
    assert looks <= 2, "nobody looks at the machine because of a word from nowhere"


def test_only_the_socket_is_open_to_everybody(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        door = SocketDoor(tmp_path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / SOCKET_FILE).stat().st_mode) == 0o666
    door.close()
    assert not (tmp_path / SOCKET_FILE).exists()


def test_a_socket_that_cannot_be_made_names_its_place(tmp_path: Path) -> None:
    (tmp_path / SOCKET_FILE).mkdir()
    with pytest.raises(Unavailable, match=SOCKET_FILE):
        SocketDoor(tmp_path)


@pytest.mark.slow
def test_an_agent_whose_socket_cannot_be_made_runs_all_the_same(world: Any, wait: Wait, config: Path) -> None:
    (config.parent / "state" / SOCKET_FILE).mkdir(parents=True)
    world.start()
    wait(lambda: world.ear.reports)
    assert main(["still-here", "--config", str(config)]) == 3


def test_by_file_the_agent_takes_the_request_away_when_it_is_kept(tmp_path: Path) -> None:
    """What Windows does, in one process here: a file in a folder, and whatever else is put in its place left alone."""
    with pytest.raises(Unavailable, match="not running"):
        ask_by_file(tmp_path, 0.1)
    door = FileDoor(tmp_path)
    with pytest.raises(Unavailable, match="not running"):
        ask_by_file(tmp_path, 0.1)
    assert door.asks() == [], "what nobody heard is not done later"
    code = f"from caretaker_agent.still_here import *; ask_by_file(Path({str(tmp_path)!r}), 10); print('kept')"
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    end_s = time.monotonic() + 10
    while not (found := door.asks()):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    door.answer(found[0], Answer(why="disk full"))
    assert door.asks() == found
    door.answer(found[0], Answer(until_ms=1))
    assert door.asks() == []
    assert caller.communicate(timeout=10)[0] == "kept\n"
    (tmp_path / still_here.ASK_FOLDER / still_here.ASK_FILE).symlink_to(tmp_path)
    assert door.asks() == []
