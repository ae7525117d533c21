"""That Caretaker is alive, told to others: a heartbeat to a URL, and systemd's watchdog."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from caretaker_collector.notify import systemd
from caretaker_collector.notify.heartbeat import Heartbeat, pet
from servers import FaultyHttp
from worlds import CollectorProcess, eventually, make_world

pytestmark = pytest.mark.slow


async def test_a_heartbeat_says_that_all_is_well_and_what_is_not() -> None:
    """GET URL, POST URL/fail with the problems."""
    problems: dict[str, str] = {}
    with FaultyHttp("http://127.0.0.1:9") as other:
        other.answer(200, b"OK")
        heart = Heartbeat(other.url + "/ping/abc", 60, lambda: problems)
        assert await heart.beat()
        problems["broker"] = "not connected yet"
        problems["store"] = "disk full"
        assert await heart.beat()
        first, second = other.seen
        assert (first.method, first.path) == ("GET", "/ping/abc")
        assert (second.method, second.path) == ("POST", "/ping/abc/fail")
        assert second.body.decode() == "broker: not connected yet\nstore: disk full"
        other.refuse(500)
        assert not await heart.beat()
        await heart._http.close()


async def test_a_heartbeat_that_nobody_hears_goes_on() -> None:
    """The other side watches for silence; a failure of it is none of ours."""
    with FaultyHttp("http://127.0.0.1:9") as other:
        other.drop()
        heart = Heartbeat(other.url, 0.02, dict)
        task = asyncio.create_task(heart.run())
        async with asyncio.timeout(10):
            while len(other.seen) < 3:
                await asyncio.sleep(0.01)
            other.answer(200, b"OK")
            count = len(other.seen)
            while len(other.seen) < count + 3:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    """The socket on which systemd would listen."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(tmp_path / "notify"))
    made.settimeout(10)
    return made


def test_systemd_is_told_on_a_path_or_an_abstract_name(tmp_path: Path, listener: socket.socket) -> None:
    """Both forms of NOTIFY_SOCKET; nobody there is no error."""
    assert systemd.tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert listener.recv(100) == b"READY=1"
    name = f"caretaker-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0" + name)
        assert systemd.tell("WATCHDOG=1", {"NOTIFY_SOCKET": "@" + name})
        assert abstract.recv(100) == b"WATCHDOG=1"
    assert not systemd.tell("READY=1", {})
    assert not systemd.tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nowhere")})


def test_the_watchdogs_time_is_halved_and_only_ours_counts() -> None:
    """sd_watchdog_enabled(3): half the time, and only for the process that is meant."""
    assert systemd.watchdog_s({"WATCHDOG_USEC": "120000000"}) == 60
    assert systemd.watchdog_s({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, pid=2) is None
    assert systemd.watchdog_s({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "2"}, pid=2) == 60
    for odd in ("", "x", "0", "-5"):
        assert systemd.watchdog_s({"WATCHDOG_USEC": odd}) is None


async def test_the_watchdog_is_petted_only_while_the_rules_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it stands still nothing is said, and systemd starts us again; when it turns again, it is petted again."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    said: list[str] = []
    alive = [True]

    def tell(word: str) -> bool:
        said.append(word)
        return True

    task = asyncio.create_task(pet(lambda: alive[0], tell))
    async with asyncio.timeout(10):
        while said.count("WATCHDOG=1") < 3:
            await asyncio.sleep(0.005)
        alive[0] = False
        await asyncio.sleep(0.03)
        count = len(said)
        await asyncio.sleep(0.1)
        assert len(said) == count
        alive[0] = True
        while len(said) == count:
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert said[0] == "READY=1" and set(said[1:]) == {"WATCHDOG=1"}


def test_a_real_collector_tells_systemd_and_the_other_tool(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 when it runs, WATCHDOG=1 while it ticks; without its broker the heartbeat says /fail."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with FaultyHttp("http://127.0.0.1:9") as other:
        other.answer(200, b"OK")
        world = make_world(tmp_path / "world", 1)
        (world.folder / "alerts.toml").write_text(
            'default = ["log"]\n[[channels]]\nname = "log"\nkind = "file"\npath = "told.jsonl"\n'
            f'[heartbeat]\nurl = "{other.url}/ping/abc"\nevery = "10 s"\n'
        )
        world.config.write_text('alerts = "alerts.toml"\n' + world.config.read_text())
        collector = CollectorProcess(world)
        collector.start()
        try:
            assert listener.recv(100) == b"READY=1"
            assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            eventually(lambda: len(other.seen) >= 1, 10, collector.log)
            assert other.seen[0].path == "/ping/abc/fail" and b"broker: " in other.seen[0].body
        finally:
            assert collector.stop() == 0, collector.log()
