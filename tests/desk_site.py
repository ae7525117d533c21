"""The whole desk for browser tests: a collector process on a real broker, its simulated machines, people's accounts.

    with desk_site(folder) as site:
        window = open_window(site.base)
        site.sign_in(window, "meg")          # a manager; "eve" an engineer, "dan" ash's director, "vic" a viewer

School `ash` has room ict1 with machines that obey, a room lib with the relay that wakes them, and a sister school
`oak`, whose page nobody but its people may see. Machines answer commands in a thread of their own, as agents do.
"""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from browser import Window, shown
from caretaker_collector.cli import app
from caretaker_contract.messages import (
    Cause,
    Command,
    Gauges,
    Hello,
    Outcome,
    OutcomeReason,
    PowerState,
    Step,
    Verb,
    encode,
)
from caretaker_contract.signing import key_id, verify
from caretaker_contract.topics import Address, Kind
from servers import mosquitto
from worlds import CollectorProcess, Stream, World, collecting, eventually, make_world

PASSWORD = "quiet lamp under seven stairs"
PEOPLE = {"meg": "manager", "eve": "engineer", "vic": "viewer", "dan": "director"}
RELAY, MACHINE, MAC = "relay-1", "pc-{:03}", "02:00:00:00:00:{:02x}"
ABLE = [Verb.SHUT_DOWN, Verb.SLEEP, Verb.RESTART, Verb.WARN, Verb.CANCEL, Verb.REPLAY]
SERVICE = """
[[levels]]
name = "transitional"
hours = ["mon-sun 00:00-24:00"]
days = ["term", "inset", "holiday", "weekend", "bank_holiday"]
availability_target = 0.99
priorities = [{ priority = 1, respond = "30 min", fix = "4 h" }]
matrix = [
  { impact = "school", alternative = false, priority = 1 }, { impact = "school", alternative = true, priority = 1 },
  { impact = "room", alternative = false, priority = 1 }, { impact = "room", alternative = true, priority = 1 },
  { impact = "device", alternative = false, priority = 1 }, { impact = "device", alternative = true, priority = 1 },
]
"""
"""A contract whose clock always runs."""
POLICY = """\
mode = "live"

[limits]
per_minute = 1000
room_percent = 100
school_percent = 100

[doubt]
reconnect_wait = "1 s"

[[rules]]
name = "evening"
select = { classes = ["laptop"] }
hours = ["mon-sun 00:00-24:00"]
idle_for = "5 min"
do = "shut_down"
warn_for = "10 min"
"""


class Machines:
    """Machines of `ash` on one connection; each obeys what is asked of it, and is in one state until told otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.streams = {device.device: Stream(device, epoch=f"{at:08x}") for at, device in enumerate(world.devices)}
        self.commands: list[Command] = []
        self.veto: set[str] = set()  # names of machines whose user says no
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", world.broker_port)
        self._client.subscribe("caretaker/1/ash/+/command", qos=1)
        self._client.loop_start()

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, state: PowerState, *names: str, idle_s: int = 0, cause: Cause = Cause.NO_INPUT) -> None:
        """These machines (all when none is named) say hello and how they are."""
        with self._lock:
            for name in names or self.streams:
                self._say(self.streams[name], state, idle_s, cause)

    def _say(self, stream: Stream, state: PowerState, idle_s: int, cause: Cause) -> None:
        now_ms = int(time.time() * 1000)
        gauges = Gauges(idle_s=idle_s, session=state is PowerState.IN_USE)
        report = stream.report(state, 0, cause, at_ms=now_ms, gauges=gauges)
        for topic, payload in (self._hello(stream, now_ms), stream.wire(report)):
            self._client.publish(topic, payload, qos=1)

    def _hello(self, stream: Stream, now_ms: int) -> tuple[str, bytes]:
        relay = stream.address.device == RELAY
        hello = Hello(
            device_class="server" if relay else "desktop", room="lib" if relay else "ict1",
            epoch=stream.epoch, boot=stream.boot, seq=stream.seq,
            abilities=[Verb.WAKE, Verb.REPLAY, Verb.CANCEL] if relay else ABLE, at_ms=now_ms,
        )  # fmt: skip
        return stream.address.topic(Kind.HELLO), encode(hello)

    def _on_message(self, client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        key, now_ms = self.world.key.verify_key, int(time.time() * 1000)
        name = message.topic.split("/")[3]
        command = verify(bytes(message.payload), {key_id(key): key}, f"ash/{name}", now_ms)
        with self._lock:
            self.commands.append(command)
            stream = self.streams[name]
            if command.verb is Verb.CANCEL:
                return
            self._answer(stream, command, Step.RECEIVED if command.verb is Verb.WAKE else Step.WARNED)
            if name in self.veto:
                self._answer(stream, command, Step.VETOED, OutcomeReason.USER_INPUT)
            elif command.verb is Verb.SHUT_DOWN:
                self._answer(stream, command, Step.DONE)
                self._say(stream, PowerState.OFF, 0, command.cause)
            elif command.verb is Verb.SLEEP:
                self._answer(stream, command, Step.DONE)
                self._say(stream, PowerState.ASLEEP, 0, command.cause)
            elif command.verb is Verb.RESTART:
                self._answer(stream, command, Step.DONE)
                self._say(stream, PowerState.OFF, 0, Cause.RESTART)
                stream.reboot()
                self._say(stream, PowerState.IDLE, 0, Cause.BOOT)
            elif command.verb is Verb.WAKE:
                self._answer(stream, command, Step.DONE)
                for woken in command.macs:
                    machine = self.streams[MACHINE.format(int(woken[-2:], 16))]
                    machine.reboot()
                    self._say(machine, PowerState.IDLE, 0, Cause.BOOT)

    def _answer(self, stream: Stream, command: Command, step: Step, reason: OutcomeReason = OutcomeReason.NONE) -> None:
        stream.seq += 1
        now_ms = int(time.time() * 1000)
        outcome = Outcome(
            epoch=stream.epoch, boot=stream.boot, seq=stream.seq, prev=stream.prev, at_ms=now_ms, sent_ms=now_ms,
            command=command.id, verb=command.verb, step=step, reason=reason,
        )  # fmt: skip
        self._client.publish(stream.address.topic(Kind.OUTCOME), encode(outcome), qos=1)

    def asked(self, verb: Verb) -> set[str]:
        """Machines that were asked this."""
        with self._lock:
            return {command.device for command in self.commands if command.verb is verb}


@dataclass
class Site:
    """What a test holds in its hands."""

    world: World
    collector: CollectorProcess
    machines: Machines
    kept: list[Any] = field(default_factory=list)  # cookies of somebody who has signed in

    @property
    def base(self) -> str:
        """The desk's address."""
        return f"http://127.0.0.1:{self.world.http_port}"

    def sign_in(self, window: Window, name: str = "meg") -> None:
        """As a person does it."""
        window.goto("/sign-in")
        window.page.get_by_label("Name").fill(name)
        window.page.get_by_label("Password").fill(PASSWORD)
        window.page.locator("main button").first.click()
        window.page.wait_for_url(lambda address: "sign-in" not in address)

    def caretaker(self, *words: str) -> tuple[int, str, str]:
        """A command; its exit code, what it tells and what it says."""
        return caretaker(self.world, *words)

    def records(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of the collector's state file."""
        db = self.world.state()
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def audited(self, what: str) -> list[tuple[object, ...]]:
        """(who, via, place, outcome) of each line of the audit log about an action, the newest first."""
        return self.records("SELECT who, via, place, outcome FROM audit WHERE what = ? ORDER BY number DESC", what)

    def idle(self) -> None:
        """All machines are on, and nobody has been at them for a minute; none has come back just now."""
        self.machines.veto.clear()
        before = self.world.counters()["reports"]
        self.machines.say(PowerState.IDLE, idle_s=60, cause=Cause.BOOT)
        self.heard(before + len(self.machines.streams))
        time.sleep(1.2)

    def heard(self, number: int) -> None:
        """Until so many reports are on record."""
        eventually(lambda: self.world.counters().get("reports", 0) >= number, 20, self.collector.log)


def form(window: Window, label: str, within: str = "main") -> None:
    """Click an action; its form stands over the page."""
    window.page.locator(f"{within} a.act").filter(has_text=re.compile(f"^{re.escape(label)}$")).first.click()
    window.page.locator("dialog[open] form").wait_for()


def fill(window: Window, **fields: str) -> None:
    """Fill the form in, by the names of its fields; from_ and class_ are Python's names for from and class."""
    for name, value in fields.items():
        field = window.page.locator(f"dialog[open] [name={name.rstrip('_')}]")
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)


def touches(window: Window, *texts: str) -> None:
    """What the form says that it would touch, once somebody has left its fields."""
    for text in texts:
        shown(window, "dialog[open] #touches", text)


def send(window: Window, close: bool = True) -> str:
    """Send the form; what is answered. With `close` the page is there again."""
    window.page.locator("dialog[open] button.do").click()
    window.page.locator("dialog[open] .banner").wait_for()
    answer = window.text("dialog[open] .banner")
    if close:
        window.page.locator("dialog[open] [data-close]").last.click()
    return answer


def act(window: Window, label: str, reason: str, **fields: str) -> str:
    """Click an action, fill its form in, and send it; the answer stays open."""
    form(window, label)
    fill(window, **fields, reason=reason)
    return send(window, close=False)


def caretaker(world: World, *words: str, stdin: str | None = None) -> tuple[int, str, str]:
    """A command in this process, in a thread: some run a loop of their own, and the browser has this one's."""
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(CliRunner().invoke, app, [*words, "--config", str(world.config)], input=stdin).result()
    return result.exit_code, result.stdout, result.stderr + str(result.exception or "")


def two_schools(folder: Path, broker_port: int, devices: int = 6, settings: str = "") -> World:
    """`ash` with rooms ict1 and lib, and `oak`; links of rooms are on, and ash's page is for everybody."""
    world = make_world(folder, broker_port, devices=devices, policy=POLICY, tick_s=0.5)
    (folder / "oak.csv").write_text("device,room,class,mac,tags\noak-secret-1,lab,desktop,,\n")
    machines = [f"{MACHINE.format(number)},ict1,desktop,{MAC.format(number)},\n" for number in range(devices)]
    (folder / "ash.csv").write_text(f"device,room,class,mac,tags\n{''.join(machines)}{RELAY},lib,server,,\n")
    world.devices.append(Address("ash", RELAY))
    estate = folder / "estate.toml"
    text = estate.read_text()
    school, _, classes = text.partition("\n[[classes]]")
    laptop = '\n[[classes]]\nname = "laptop"\nwatts_in_use = 30\nwatts_idle = 20\nwatts_asleep = 1\nwatts_off = 0.5\n'
    laptop += laptop.replace('"laptop"', '"server"') + "always_on = true\n"
    estate.write_text(
        f'service = "service.toml"\n{school}\n[[schools.rooms]]\nname = "lib"\ntitle = "Library"\nlessons = []\n'
        '\n[[schools]]\nname = "oak"\ntitle = "Oakley"\ndevices = "oak.csv"\n'
        '\n[[schools.rooms]]\nname = "lab"\ntitle = "Lab"\nlessons = []\n'
        f"\n[[classes]]{classes}{laptop}"
    )
    (folder / "service.toml").write_text(SERVICE)
    config = world.config.read_text().replace("[http]\n", "[http]\nstay_links = true\n")
    world.config.write_text(f'{config}\n[desk]\npublic_school_pages = ["ash"]\n{settings}')
    return world


def make_people(world: World) -> None:
    """One of each role."""
    password = world.folder / "password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD + "\n")
    for name, role in PEOPLE.items():
        school = ("--school", "ash") if role == "director" else ()
        words = ("account", "new", name, "--role", role, *school, "--password-file", str(password))
        code, _, said = caretaker(world, *words)
        assert code == 0, said


@contextmanager
def desk_site(folder: Path, devices: int = 6, settings: str = "") -> Iterator[Site]:
    """All of it, until the end; the machines are idle for a minute, and heard."""
    with mosquitto() as broker:
        world = two_schools(folder, broker.port, devices, settings)
        make_people(world)
        with collecting(world) as collector:
            # Before it has subscribed, what machines say reaches nobody: they would say it again.
            eventually(lambda: "broker" not in (collector.health() or {})["problems"], 20, collector.log)
            machines = Machines(world)
            try:
                machines.say(PowerState.IDLE, idle_s=60)
                site = Site(world, collector, machines)
                site.heard(devices + 1)
                time.sleep(1.1)  # what has come back just now is in doubt: reconnect_wait
                yield site
            finally:
                machines.close()
