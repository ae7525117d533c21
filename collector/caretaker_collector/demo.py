"""`caretaker demo`: a broker, a collector, two simulated schools and this machine's own agent, on one fast clock.

Everything is real but the schools: mosquitto is Debian's, messages cross loopback, the agent is the one that a school
installs. All of it lives in one folder; nothing is left running, and a second run starts afresh.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from caretaker_collector import demo_accounts, demo_reviews, logs
from caretaker_collector.app import Collector
from caretaker_collector.demo_accounts import DemoAccount
from caretaker_collector.past import backfill
from caretaker_collector.past import store as past_store
from caretaker_collector.past import story as demo_story
from caretaker_collector.settings import CollectorSettings, load_collector, load_estate_and_policies
from caretaker_contract import signing
from caretaker_contract.clock import Clock, fast_clock
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_contract.topics import Address
from caretaker_simulator.estate import write_demo_estate

ORIGIN = datetime(2026, 10, 6, 16, 20, tzinfo=ZoneInfo("Europe/London"))
"""A Tuesday in term, ten minutes before the after-hours rule: lessons are over, staff and clubs are still there."""
THIS_MACHINE = Address("here", "this-machine")
SEED = 7
DRAIN_S = 30.0
HTTP_PORT = 8600
OURS = ("data", "agent", "run", "command.key", "alerts.log", "alerts-duty.log", "accounts.txt", "review")
"""What an earlier demo wrote and this one must not go on with; its settings are written over."""


class DemoResult(msgspec.Struct, kw_only=True):
    """What `--json` prints. `published`: numbered messages that machines made; `unsafe`: off while in use, in truth."""

    devices: int
    published: int
    stored: int
    quarantined: int
    dropped: int
    duplicates: int
    decisions: int
    commands_sent: int
    outcomes: dict[str, int]
    unsafe: int
    drained: bool
    real_agent: dict[str, Any]
    simulated_until: str


@dataclass
class Demo:
    """A demo under way: its folder, its children, its collector."""

    out: Path
    clock: Clock
    collector: Collector
    broker_port: int
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ended: str = ""
    accounts: list[DemoAccount] = field(default_factory=list)
    reviews: list[str] = field(default_factory=list)  # PDFs of last month, as they get ready
    reviews_come: bool = False  # there is a past to review
    stored_before: int = 0  # in a store that was not empty: a past, or an earlier demo's


def run(out: Path, seconds: float | None, store: str, speed: float, as_json: bool, past_ms: int = 0) -> None:
    """Run the demo for `seconds`, or until Ctrl-C; results on standard output, talk on standard error."""
    import uvloop

    logs.set_up(quiet=True)
    mosquitto = find_program("mosquitto", "mosquitto")
    out = out.resolve()
    prepare(out, store)
    origin_ms = int(ORIGIN.timestamp() * 1000)
    port = free_port()
    write_settings(out, port, store)
    if past_ms:
        # Other machines than the demo's by their seed: the numbers of these begin anew with the demo.
        backfill.fill(out, ["ash", "oak"], origin_ms, past_ms, SEED + 1)
        if store == "sqlite":
            backfill.seed(out / backfill.FOLDER, out / "data")
    settings = load_collector(out / "collector.toml")
    if past_ms and store == "influx":
        past_store.hand_over(out / backfill.FOLDER, settings.store, out)
    clock = fast_clock(origin_ms, speed)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_main(mosquitto, out, port, clock, settings, seconds, quiet=as_json))
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


async def _main(
    mosquitto: str, out: Path, port: int, clock: Clock, settings: CollectorSettings, seconds: float | None, quiet: bool
) -> DemoResult:
    from caretaker_collector.demo_view import boards_on_this, look_at_this_first, summary, watch

    collector = Collector(settings, *load_estate_and_policies(Path(settings.estate)), clock)
    demo = Demo(out=out, clock=clock, collector=collector, broker_port=port)
    demo.accounts = demo_accounts.make(collector, out)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await start_broker(demo, mosquitto)
    collecting = loop.create_task(collector.run())
    try:
        demo.stored_before = await stored(collector)
        await listening(collector)
        start_machines(demo)
        demo.reviews_come = bool(collector.reviews.due(clock.now_ms()))
        sys.stderr.write(look_at_this_first(demo) + boards_on_this(demo))
        showing = loop.create_task(demo_reviews.show(demo))
        watching = loop.create_task(watch(demo, quiet))
        await _first(told.wait(), collecting, seconds)
        watching.cancel()
        showing.cancel()
        sys.stderr.write("ending: machines say goodbye, and what is under way is stored ...\n")
        drained = await drain(demo)
        result = await gather(demo, drained)
        if not quiet:
            sys.stderr.write(summary(demo, result))
        return result
    finally:
        for name in reversed(demo.children):
            end(demo.children[name])
        collecting.cancel()
        with suppress(asyncio.CancelledError):
            await collecting


async def _first(told: Any, collecting: asyncio.Task[None], seconds: float | None) -> None:
    """Wait until a person ends it, the time is over, or the collector fails (which is raised)."""
    waiting = asyncio.ensure_future(told)
    await asyncio.wait({waiting, collecting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if collecting.done():
        collecting.result()


# -- setting up --


def find_program(name: str, package: str) -> str:
    """The path of a server programme, also where Debian keeps those; ConfigError says what to install."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise ConfigError([f"{name} is not installed; run: sudo apt-get install --no-install-recommends {package}"])
    return found


def free_port(preferred: int = 0) -> int:
    """`preferred` when it is free, else any free port on loopback."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("no free port on 127.0.0.1")


def prepare(out: Path, store: str) -> None:
    """An empty folder, but for what is not ours. ConfigError when another demo runs in it or it is somebody else's."""
    out.mkdir(parents=True, exist_ok=True)
    marker = out / ".caretaker-demo"
    if any(out.iterdir()) and not marker.exists():
        raise ConfigError([f"{out}  is not empty and no demo made it; choose another with --out"])
    running = out / "run" / "demo.pid"
    if running.exists() and Path(f"/proc/{running.read_text().strip()}").exists():
        raise ConfigError([f"{out}  another demo runs here (process {running.read_text().strip()}); end it first"])
    for name in OURS:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    marker.touch()
    (out / "run").mkdir()
    running.write_text(str(os.getpid()))


def write_settings(out: Path, broker_port: int, store: str) -> None:
    """Everything that a provider would write by hand, for the demo's two schools and this machine."""
    with resources.as_file(example("school.toml")) as policy, resources.as_file(example("service.toml")) as service:
        write_demo_estate(out, policy, service)
    # Its channels are files in this folder: a demo tells nobody else.
    (out / "alerts.toml").write_text(example("alerts.toml").read_text(encoding="utf-8"), encoding="utf-8")
    # Exempt: the machine of whoever tries the demo is looked at and never asked to switch off.
    (out / "here-devices.csv").write_text(f"device,room,class,mac,tags\n{THIS_MACHINE.device},desk,desktop,,exempt\n")
    with (out / "estate.toml").open("a", encoding="utf-8") as estate:
        estate.write(
            f'''
[[schools]]
name = "{THIS_MACHINE.school}"
title = "Where the demo runs"
devices = "here-devices.csv"
policy = "policy.toml"

[[schools.rooms]]
name = "desk"
title = "Your desk"
lessons = []
'''
        )
    key = signing.new_key()
    key_file = out / "command.key"
    key_file.touch(mode=0o600)
    key_file.write_text(bytes(key).hex() + "\n")
    (out / "command.pub").write_text(signing.public_text(key) + "\n")
    http_port = free_port(HTTP_PORT)
    (out / "collector.toml").write_text(
        f"""# Written by `caretaker demo`. Commands such as `caretaker why` find it here.
estate = "estate.toml"
alerts = "alerts.toml"
data = "data"
tick_s = 30.0

[broker]
host = "127.0.0.1"
port = {broker_port}

[signing]
key_file = "command.key"

[http]
host = "127.0.0.1"
port = {http_port}

{store_settings(store)}
"""
    )
    (out / "agent.toml").write_text(
        f'''# Written by `caretaker demo`: this machine's own agent. It may warn nobody and switch nothing off.
school = "{THIS_MACHINE.school}"
device = "{THIS_MACHINE.device}"
room = "desk"
device_class = "desktop"
command_keys = ["{signing.public_text(key)}"]
state_dir = "agent"
allow_power_off = false

[broker]
host = "127.0.0.1"
port = {broker_port}
'''
    )


def example(name: str) -> Any:
    """A packaged example of settings: in a checkout it lies beside the package, in a wheel within it."""
    package = resources.files("caretaker_rules")
    inside = package / "policies" / name
    return inside if inside.is_file() else package / ".." / "policies" / name


def store_settings(store: str) -> str:
    """The [store] table; ConfigError when InfluxDB is asked for and not named."""
    if store == "sqlite":
        return '[store]\nkind = "sqlite"\npath = "store.db"'
    if store != "influx":
        raise ConfigError([f'--store {store!r}: there are "sqlite" and "influx"'])
    names = ("URL", "TOKEN_FILE", "ORG", "BUCKET")
    values = {name: os.environ.get(f"CARETAKER_INFLUX_{name}", "") for name in names}
    missing = [f"CARETAKER_INFLUX_{name}" for name, value in values.items() if not value]
    if missing:
        raise ConfigError([f"--store influx needs {', '.join(missing)} in the environment"])
    lines = [
        f"{name.lower()} = {json.dumps(str(Path(v).resolve()) if name == 'TOKEN_FILE' else v)}"
        for name, v in values.items()
    ]
    return "\n".join(["[store]", 'kind = "influx"', *lines])


# -- children --


async def start_broker(demo: Demo, mosquitto: str) -> None:
    """mosquitto as a private child process on loopback."""
    run_dir = demo.out / "run"
    conf = run_dir / "mosquitto.conf"
    conf.write_text(
        f"listener {demo.broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        "max_queued_messages 100000\nmax_queued_bytes 67108864\nmemory_limit 536870912\nmax_inflight_messages 1000\n"
        + (f"user {os.environ.get('USER', 'root')}\n" if os.geteuid() == 0 else "")
    )
    start(demo, "mosquitto", [mosquitto, "-c", str(conf)])
    await answering(demo.broker_port)


async def listening(collector: Collector) -> None:
    """Wait until the collector has subscribed, so that the first word of a machine is not spoken into the wind."""
    for _ in range(200):
        if collector.memory.connected_since_ms:
            return
        await asyncio.sleep(0.05)
    raise Unavailable(f"the collector has not reached its broker: {collector.receiver.problem}")


def start_machines(demo: Demo) -> None:
    """The simulated schools and the real agent, processes of their own on the demo's clock."""
    run_dir = demo.out / "run"
    now_ms = demo.clock.now_ms()
    placed = demo_story.faults(now_ms, now_ms + 2 * 86_400_000, ORIGIN.date())
    (run_dir / "faults.json").write_bytes(msgspec.json.encode(placed))
    start(
        demo,
        "simulator",
        [
            *(sys.executable, "-m", "caretaker_simulator", "run", "--host", "127.0.0.1"),
            *("--port", str(demo.broker_port), "--estate", str(demo.out), "--schools", "ash", "oak"),
            *("--seed", str(SEED)),
            *("--faults", str(run_dir / "faults.json")),
            *("--public-key-file", str(demo.out / "command.pub")),
            *("--truth-out", str(run_dir / "truth.json"), "--status-file", str(run_dir / "simulator.json")),
        ],
    )
    start(demo, "agent", [sys.executable, "-m", "caretaker_agent", "run", "--config", str(demo.out / "agent.toml")])


def start(demo: Demo, name: str, command: list[str]) -> None:
    """Start a child with its output in run/NAME.log."""
    with (demo.out / "run" / f"{name}.log").open("wb") as log:
        demo.children[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **demo.clock.to_environment()},
            start_new_session=True,  # Ctrl-C is ours to pass on, in order
        )


async def answering(port: int) -> None:
    """Wait until something listens on `port`; Unavailable after ten seconds."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise Unavailable(f"mosquitto does not answer on 127.0.0.1:{port}; see run/mosquitto.log")


def end(child: subprocess.Popen[bytes], within_s: float = 10.0) -> None:
    """Ask a child to end; after `within_s` seconds make it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


# -- the end --


async def drain(demo: Demo) -> bool:
    """End the machines, then wait until all that they said is stored; False when that took too long."""
    for name in ("simulator", "agent"):
        demo.children[name].terminate()
    for name in ("simulator", "agent"):
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(demo.children[name].wait, DRAIN_S)
    collector = demo.collector
    still = 0
    for _ in range(int(DRAIN_S / 0.1)):
        await asyncio.sleep(0.1)
        still = still + 1 if collector.lag == 0 and not collector.memory.replays else 0
        if still == 5:
            return True
    return False


async def stored(collector: Collector) -> int:
    """Points of numbered messages in the store."""
    return await collector.store.count("device") + await collector.store.count("command")


async def gather(demo: Demo, drained: bool) -> DemoResult:
    """The figures of the run, the machines' side from the simulator's truth and the agent's own outbox."""
    collector = demo.collector
    truth = json.loads((demo.out / "run" / "truth.json").read_text())
    counts = collector.memory.counts
    entry = collector.memory.entries.get(THIS_MACHINE)
    published_here = sum(n.published() for n in entry.numberings.epochs) if entry else 0
    telemetry = entry.tracked.telemetry if entry else None
    return DemoResult(
        devices=len(collector.memory.entries),
        published=truth["totals"]["published"] + published_here,
        stored=await stored(collector) - demo.stored_before,
        quarantined=counts["quarantined"],
        dropped=counts["dropped"],
        duplicates=counts["duplicates"],
        decisions=collector.db.execute("SELECT count(*) FROM decisions").fetchone()[0],
        commands_sent=counts["commands_sent"],
        outcomes=collector.ledger.outcomes_by_kind(),
        unsafe=truth["totals"]["unsafe"],
        drained=drained,
        real_agent={
            "hostname": "hidden",
            "state": entry.tracked.presence.said.value if entry else "not heard",
            "uptime_s": telemetry.gauges.uptime_s if telemetry else None,
            "published": published_here,
        },
        simulated_until=datetime.fromtimestamp(demo.clock.now_ms() / 1000, ORIGIN.tzinfo).isoformat(timespec="seconds"),
    )
