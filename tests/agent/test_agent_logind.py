"""logind's side of the bus: a made-up logind on a private dbus-daemon, and the real probe against it."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, HeaderFields, MessageType, message_bus, new_method_return, new_signal
from jeepney.io.blocking import open_dbus_connection

from caretaker_agent.platforms.linux import Linux
from caretaker_agent.platforms.logind import Logind
from caretaker_agent.probe import Event
from caretaker_contract.clock import Clock

pytestmark = pytest.mark.slow
Wait = Callable[..., Any]
CONF = """\
<busconfig>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class FakeLogind(threading.Thread):
    """Answers ListSessions, GetAll, ListInhibitors and Inhibit; tells of sleep and shutdown."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.sessions: dict[str, dict[str, tuple[str, Any]]] = {}
        self.inhibitors: list[tuple[str, str, str, str, int, int]] = []
        self.taken: list[tuple[str, ...]] = []
        self.reader, self._writer = os.pipe()
        self._bus = open_dbus_connection(address, enable_fds=True)
        self._bus.send_and_get_reply(message_bus.RequestName("org.freedesktop.login1"))
        self.ending = False

    def signal(self, member: str, begins: bool) -> None:
        emitter = DBusAddress("/org/freedesktop/login1", interface="org.freedesktop.login1.Manager")
        self._bus.send(new_signal(emitter, member, "b", (begins,)))

    def run(self) -> None:
        while not self.ending:
            try:
                message = self._bus.receive(timeout=0.2)
            except TimeoutError:
                continue
            except OSError:
                return
            if message.header.message_type is MessageType.method_call:
                self._bus.send(self._answer(message))

    def _answer(self, message: Any) -> Any:
        member = message.header.fields[HeaderFields.member]
        if member == "ListSessions":
            rows = [(path[1:], 1000, "somebody", "seat0", path) for path in self.sessions]
            return new_method_return(message, "a(susso)", (rows,))
        if member == "GetAll":
            return new_method_return(message, "a{sv}", (self.sessions[message.header.fields[HeaderFields.path]],))
        if member == "ListInhibitors":
            return new_method_return(message, "a(ssssuu)", (self.inhibitors,))
        assert member == "Inhibit"
        self.taken.append(message.body)
        return new_method_return(message, "h", (self._writer,))


def session(**more: Any) -> dict[str, tuple[str, Any]]:
    plain: dict[str, tuple[str, Any]] = {
        "User": ("(uo)", (1000, "/org/freedesktop/login1/user/_1000")),
        "Name": ("s", "a pupil's name that must not leave"),
        "Type": ("s", "tty"),
        "Class": ("s", "user"),
        "Display": ("s", ""),
        "TTY": ("s", ""),
        "State": ("s", "active"),
        "IdleHint": ("b", False),
        "IdleSinceHintMonotonic": ("t", int((time.monotonic() - 700) * 1e6)),
    }
    return {**plain, **more}


def answers(path: Path) -> bool:
    """Whether the bus takes connections: its socket exists a moment earlier."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    except OSError:
        return False
    return True


@pytest.fixture
def logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: Wait) -> Iterator[FakeLogind]:
    daemon = shutil.which("dbus-daemon")
    assert daemon is not None, "dbus-daemon is missing: apt-get install dbus"
    path = tmp_path / "bus"
    (tmp_path / "bus.conf").write_text(CONF.format(path=path))
    process = subprocess.Popen([daemon, f"--config-file={tmp_path}/bus.conf", "--nofork", "--nopidfile"])
    try:
        wait(lambda: answers(path))
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        monkeypatch.delenv("DISPLAY", raising=False)
        fake = FakeLogind(f"unix:path={path}")
        fake.start()
        yield fake
        fake.ending = True
        fake.join(5)
    finally:
        process.terminate()
        process.wait(5)


@pytest.fixture
def linux(logind: FakeLogind, tmp_path: Path) -> Linux:
    return Linux(Clock(), bus_socket=tmp_path / "bus")


def test_a_terminal_session_tells_its_last_input(logind: FakeLogind, linux: Linux) -> None:
    logind.sessions["/s1"] = session()
    found = linux.look(full=False)
    assert found.input_age_s == pytest.approx(700, abs=3)
    assert found.session is True
    assert found.inhibited is False


def test_a_desktop_that_never_tells_counts_as_in_use(logind: FakeLogind, linux: Linux) -> None:
    logind.sessions["/s1"] = session(Type=("s", "wayland"))
    assert linux.look(full=False).input_age_s == 0
    logind.sessions["/s1"] = session(Type=("s", "wayland"), IdleHint=("b", True))
    assert linux.look(full=False).input_age_s == pytest.approx(700, abs=3)


def test_with_nobody_signed_in_the_time_without_anybody_counts(logind: FakeLogind, linux: Linux) -> None:
    assert linux.look(full=False).session is False
    time.sleep(1.1)
    found = linux.look(full=False)
    assert found.input_age_s == pytest.approx(1.1, abs=0.5)


def test_a_blocking_inhibitor_is_seen(logind: FakeLogind, linux: Linux) -> None:
    logind.inhibitors.append(("shutdown:idle", "player", "a film", "block", 1000, 77))
    assert linux.look(full=False).inhibited is True


def test_a_session_with_a_broken_answer_makes_it_unknown_and_not_idle(logind: FakeLogind, linux: Linux) -> None:
    logind.sessions["/s1"] = {"User": ("(uo)", (1, "/x"))}
    found = linux.look(full=False)
    assert found.input_age_s is None


def test_the_delay_is_taken_and_given_back_and_sleep_is_heard(logind: FakeLogind, linux: Linux, wait: Wait) -> None:
    linux.hold()
    linux.hold()
    assert logind.taken == [("shutdown:sleep", "caretaker-agent", "Says goodbye", "delay")]
    assert linux.fileno() is not None
    heard: list[Event] = []
    for member, begins in (("PrepareForSleep", True), ("PrepareForSleep", False), ("PrepareForShutdown", True)):
        logind.signal(member, begins)

    def listen() -> bool:
        heard.extend(linux.events())
        return len(heard) == 3

    wait(listen)
    assert heard == [Event.SLEEPING, Event.BACK, Event.SHUTTING_DOWN]
    linux.release()
    linux.hold()
    assert len(logind.taken) == 2


def test_no_name_of_anybody_is_kept(logind: FakeLogind, linux: Linux) -> None:
    logind.sessions["/s1"] = session()
    assert "name" not in repr(linux.look(full=True)).lower()
    assert linux._logind is not None
    assert "pupil" not in repr(linux._logind.last_sessions())
    assert "somebody" not in repr(linux._logind.last_sessions())


def test_a_bus_that_says_nothing_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()

        def agree() -> None:
            """Lets the agent in, and never answers after that."""
            connection, _ = mute.accept()
            kept.append(connection)
            for answer in (b"OK 1234deadbeef\r\n", b"AGREE_UNIX_FD\r\n"):
                line = b""
                while not line.endswith(b"\r\n"):
                    line += connection.recv(1000)
                connection.sendall(answer)

        kept: list[socket.socket] = []
        threading.Thread(target=agree, daemon=True).start()
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/mute")
        started_s = time.monotonic()
        logind = Logind(time.monotonic)
        with pytest.raises(TimeoutError):
            logind.inhibited()
        assert time.monotonic() - started_s < 5
        for connection in kept:
            connection.close()


def test_a_bus_that_goes_away_is_found_again(logind: FakeLogind, linux: Linux) -> None:
    logind.sessions["/s1"] = session()
    assert linux.look(full=False).input_age_s is not None
    assert linux._logind is not None
    linux._logind._connection.sock.shutdown(2)
    assert linux.events() == []
    assert linux.look(full=False).input_age_s is not None
