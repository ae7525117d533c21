"""The agent as a process of its own: killed again and again, stopped, and looked at from outside."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caretaker_contract.messages import Cause, PowerState, PresenceWord, Report, Step, Verb
from caretaker_contract.topics import Kind
from servers import free_port, mosquitto

Wait = Callable[..., Any]

AGENT_TOML = """\
school = "{school}"
device = "pc-1"
room = "ict1"
device_class = "desktop"
state_dir = "state"
heartbeat_s = {heartbeat_s}
poll_s = 1
command_keys = ["{key}"]
[broker]
host = "127.0.0.1"
port = {port}
"""

ENTRY = [sys.executable, "-m", "caretaker_agent"]


def settings_file(world: Any, heartbeat_s: int = 1, port: int | None = None) -> Path:
    path = world.folder / "agent.toml"
    key = bytes(world.key.verify_key).hex()
    school, port = world.address.school, port or world.port
    path.write_text(AGENT_TOML.format(school=school, heartbeat_s=heartbeat_s, key=key, port=port))
    return path


def start(path: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*ENTRY, "run", "--config", str(path)], env=os.environ | environment)


def fast_clock(speed: float) -> str:
    return f"{time.time()!r}:{time.time()!r}:{speed!r}"


@pytest.mark.slow
def test_killed_again_and_again_it_never_skips_or_reuses_a_number_and_no_meter_falls(world: Any, wait: Wait) -> None:
    path = settings_file(world)
    seeded = random.Random(7)
    clock = fast_clock(60)
    for kill in range(80):
        if kill >= 20 and len(world.ear.reports) > 20:
            break  # a slow machine says less between two kills
        process = start(path, CARETAKER_CLOCK=clock)
        time.sleep(0.25 + seeded.random() * 0.6)
        process.kill()
        process.wait()
    before = len(world.ear.reports)
    last = start(path, CARETAKER_CLOCK=clock)
    try:
        wait(lambda: len(world.ear.reports) > before + 3)
    finally:
        last.terminate()
        assert last.wait(10) == 0
    time.sleep(0.3)
    by_number: dict[tuple[int, int], Report] = {}
    for report in world.ear.reports:
        known = by_number.setdefault(report.key, report)
        assert known.at_ms == report.at_ms, "one number, one message"
        assert known.meters == report.meters
    assert len({report.epoch for report in world.ear.reports}) == 1
    assert sorted(by_number) == [(1, seq) for seq in range(1, len(by_number) + 1)]
    assert len(by_number) > 20
    ordered = [by_number[key] for key in sorted(by_number)]
    for earlier, later in itertools.pairwise(ordered):
        assert later.meters.in_use_s >= earlier.meters.in_use_s
        assert later.meters.idle_s >= earlier.meters.idle_s
        assert later.meters.asleep_s >= earlier.meters.asleep_s
    grown_s = ordered[-1].meters.in_use_s - ordered[0].meters.in_use_s
    passed_s = (ordered[-1].at_ms - ordered[0].at_ms) / 1000
    assert abs(grown_s - passed_s) <= 2, "also the time between the kills is on the meter: the machine was on"
    links = [note.link for note in world.ear.all(Kind.PRESENCE) if note.presence is PresenceWord.ONLINE]
    assert links == sorted(set(links)), "no connection has the number of another"


def start_with_a_short_will(world: Any) -> subprocess.Popen[bytes]:
    """The agent, with a will that the broker publishes after a second instead of thirty."""
    shortened = world.folder / "shortened.py"
    shortened.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from caretaker_agent import link, settings, steady\n"
        "link.WILL_DELAY_S = 1\n"
        "path = Path(sys.argv[1])\n"
        "sys.exit(steady.stay(settings.beside(path, settings.load(path))))\n"
    )
    return subprocess.Popen([sys.executable, str(shortened), str(settings_file(world))])


@pytest.mark.slow
def test_after_kill_9_the_broker_says_lost_in_its_name(world: Any, wait: Wait) -> None:
    process = start_with_a_short_will(world)
    wait(lambda: world.ear.reports)
    process.kill()
    process.wait()
    wait(lambda: world.ear.all(Kind.PRESENCE)[-1].presence is PresenceWord.LOST)
    online, lost = world.ear.all(Kind.PRESENCE)
    assert (lost.link, lost.boot, lost.epoch) == (online.link, online.boot, online.epoch)


@pytest.mark.slow
def test_sigterm_says_leaving_and_no_will_follows(world: Any, wait: Wait) -> None:
    process = start_with_a_short_will(world)
    wait(lambda: world.ear.reports)
    process.terminate()
    assert process.wait(10) == 0
    wait(lambda: world.ear.all(Kind.PRESENCE)[-1].presence is PresenceWord.LEAVING)
    time.sleep(3)
    assert [note.presence for note in world.ear.all(Kind.PRESENCE)] == [PresenceWord.ONLINE, PresenceWord.LEAVING]
    assert world.ear.all(Kind.PRESENCE)[-1].cause is Cause.AGENT_STOP
    assert PowerState.OFF not in {report.state for report in world.ear.reports}


@pytest.mark.slow
def test_a_real_machine_obeys_only_what_it_is_sure_of(world: Any, wait: Wait) -> None:
    """This machine may have no logind: then nobody can tell how long it has been idle, and it refuses."""
    process = start(settings_file(world))
    try:
        wait(lambda: world.ear.reports)
        number = world.send(world.command(Verb.SHUT_DOWN, warn_s=0))
        wait(lambda: world.ear.steps(number))
        final = [outcome for outcome in world.ear.outcomes if outcome.command == number][-1]
        if world.ear.reports[0].gauges.idle_s is None:
            assert world.ear.steps(number) == ["refused/cannot_tell"]
        else:
            assert final.step in (Step.REFUSED, Step.DONE)
            assert final.reason != "none"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
def test_a_second_agent_on_the_same_state_directory_is_turned_away(world: Any, wait: Wait) -> None:
    path = settings_file(world)
    first = start(path)
    try:
        wait(lambda: world.ear.reports)
        second = subprocess.run([*ENTRY, "run", "--config", str(path)], capture_output=True, text=True, timeout=20)
        assert second.returncode == 3
        assert "another agent runs there" in second.stderr
        assert second.stdout == ""
    finally:
        first.terminate()
        first.wait(10)


HEAVY = {
    "aiohttp",
    "aiomqtt",
    "argparse",
    "asyncio",
    "cryptography",
    "dataclasses",
    "email",
    "http",
    "influxdb_client",
    "jeepney",
    "json",
    "logging",
    "multiprocessing",
    "nacl",
    "paho",
    "psutil",
    "rich",
    "sqlite3",
    "ssl",
    "starlette",
    "structlog",
    "subprocess",
    "tempfile",
    "tomllib",
    "typer",
    "xml",
    "yaml",
}
ALLOWED = {"caretaker_agent", "caretaker_contract", "mqtt5", "msgspec", "typing_extensions"}
PROBE = """\
import atexit, json, sys
def tell():
    with open({out!r}, "w") as out:
        json.dump(sorted({{name.partition(".")[0] for name in sys.modules}}), out)
atexit.register(tell)
"""


@pytest.mark.slow
def test_in_its_steady_state_it_has_imported_nothing_heavy(world: Any, wait: Wait) -> None:
    """Seen from inside the very process that stays: a sitecustomize of the test's writes down what is loaded."""
    inside, out = world.folder / "inside", world.folder / "modules.json"
    inside.mkdir()
    (inside / "sitecustomize.py").write_text(PROBE.format(out=str(out)))
    before = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{name.partition('.')[0] for name in sys.modules})"],
        env=os.environ | {"PYTHONPATH": str(inside)},
        capture_output=True,
        text=True,
        check=True,
    )
    process = start(settings_file(world), PYTHONPATH=str(inside))
    wait(lambda: len(world.ear.reports) >= 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    loaded = set(json.loads(out.read_text())) - set(before.stdout.split()) - {"json"}
    heavy = HEAVY - {"dataclasses"} if "typing_extensions" in loaded else HEAVY
    if not Path("/run/dbus/system_bus_socket").exists():
        assert not loaded & heavy, loaded & heavy
    else:
        assert not loaded & (heavy - {"jeepney"}), loaded & heavy
    foreign = {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert foreign <= ALLOWED | {"jeepney"}, foreign - ALLOWED


@pytest.mark.slow
def test_no_socket_leaves_loopback(world: Any, wait: Wait) -> None:
    process = start(settings_file(world))
    try:
        wait(lambda: world.ear.reports)
        sockets = {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir() if fd.exists()}
        numbers = {name[8:-1] for name in sockets if name.startswith("socket:[")}
        peers = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[9] in numbers:
                    peers.add(words[2].partition(":")[0])
        assert peers == {"0100007F"}, peers  # 127.0.0.1 as the kernel writes it
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.slow
def test_a_broker_that_refuses_reports_does_not_count_as_having_them(tmp_path: Path, wait: Wait) -> None:
    """Its access list lets this device say who it is, but not report: MQTT 5 answers with reason 135."""
    acl = tmp_path / "acl"
    rules = "topic readwrite caretaker/1/+/pc-1/{}\n"
    acl.write_text("".join(rules.format(kind) for kind in ("hello", "presence")) + "topic read #\n")
    from caretaker_agent.outbox import Outbox

    with mosquitto(acl_file=str(acl)) as broker:
        toml = AGENT_TOML.format(school="ash", heartbeat_s=1, key="ab" * 32, port=broker.port)
        (tmp_path / "agent.toml").write_text(toml)
        process = subprocess.Popen(
            [*ENTRY, "run", "--config", str(tmp_path / "agent.toml")], stderr=subprocess.PIPE, text=True
        )
        time.sleep(3)
        process.terminate()
        _, talk = process.communicate(timeout=10)
    assert "refuses a report (reason 135)" in talk
    remembered = json.loads((tmp_path / "state/memory.json").read_bytes().partition(b" ")[2])
    assert remembered["acked"] == [0, 0]
    assert remembered["seq"] >= 3
    assert Outbox(tmp_path / "state/outbox", 65_536).last(remembered["epoch"], 1) == remembered["seq"]


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_said_once_and_not_for_ever(world: Any) -> None:
    path = settings_file(world, port=free_port())
    process = subprocess.Popen([*ENTRY, "run", "--config", str(path)], stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.terminate()
    _, talk = process.communicate(timeout=10)
    assert talk.count("refused") == 1, talk
