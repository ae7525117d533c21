"""A driver for stories of a morning: what happens at(...), and what people were told between(...).

A `Play` is one collector as a process of its own, on a clock that runs fast, with a real broker, a mail server and a
receiver of webhooks; simulated machines live in its schools, and faults that are placed beforehand hit them. Plays run
at the same time (`perform`), so that many stories cost one morning. Afterwards tests read what was kept: the incidents
with their logs, and every message as it arrived.
"""

import email
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.controller import Controller
from nacl.signing import SigningKey
from typer.testing import CliRunner

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_contract import signing
from caretaker_contract.clock import Clock
from caretaker_rules.alert_text import moment
from caretaker_rules.alerting import Telling
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Action, Entry, Incident
from caretaker_rules.model import Device, DeviceClass, Estate, Room, School
from caretaker_simulator.estate import CLASSES, write_estate
from caretaker_simulator.story import Fault, FaultKind
from rules_world import LONDON, london_ms
from servers import FaultyHttp, Mosquitto, free_port, mosquitto
from worlds import CollectorProcess, World, eventually

DAY = "2026-10-06"
"""A Tuesday in term; all times of a play are of this day, in London."""
SPEED = 40.0
"""Forty seconds of a play are one of the world: a window of two minutes leaves a busy machine three seconds."""
MOST_LATE_MS = 120_000
"""What happens later than that is another story; three seconds of the world."""
ALL_MORNING = ["mon-fri 08:00-12:30"]
SEED = 4


def at_ms(when: str) -> int:
    """ "09:00" or "09:00:30" on the day of all plays."""
    return london_ms(f"{DAY} {when}")


def machines(school: str, room: str, count: int, behind: str | None = None, kind: str = "desktop") -> list[Device]:
    """So many machines of a room: ict1-01, ict1-02, ..."""
    return [
        Device(school=school, name=f"{room}-{n:02}", room=room, device_class=kind, behind=behind)
        for n in range(1, count + 1)
    ]


def of_network(school: str, *names: str) -> list[Device]:
    """Switches, which have no agent; they stand in the room that their name begins with."""
    return [
        Device(school=school, name=name, room=name.partition("-")[0], device_class="switch", behind=None)
        for name in names
    ]


@dataclass(frozen=True)
class Arrived:
    """A message as it came to somebody."""

    at_ms: int  # on the play's clock
    channel: str  # a mail's is the name in its address
    title: str
    id: str = ""
    what: str = ""
    body: str = ""


class Receivers:
    """A mail server and a receiver of webhooks, and all that came to them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.arrived: list[Arrived] = []
        self.now_ms = now_ms
        self.smtp_port = free_port()
        self.hook_port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """A mail."""
        mail = email.message_from_bytes(envelope.content)
        title = str(email.header.make_header(email.header.decode_header(str(mail["Subject"]))))
        for to in envelope.rcpt_tos:
            self.arrived.append(
                Arrived(self.now_ms(), to.partition("@")[0], title, str(mail["X-Caretaker-Id"]), body=str(mail))
            )
        return "250 taken"

    def hook(self, body: bytes) -> None:
        """A webhook."""
        event = json.loads(body)
        what = event["type"].rpartition(".")[2]
        self.arrived.append(Arrived(self.now_ms(), "hook", event["data"]["title"], event["id"], what))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Both on ports of their own."""
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receivers.hook(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        mails = Controller(self, hostname="127.0.0.1", port=self.smtp_port)
        mails.start()
        try:
            with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
                self.hook_port = server.server_address[1]
                thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
                thread.start()
                try:
                    yield
                finally:
                    server.shutdown()
                    thread.join(5)
        finally:
            mails.stop()


@dataclass
class Play:
    """One collector's morning. Say what happens with `at`, `fault` and `command`; `perform` lets it happen."""

    folder: Path
    schools: Sequence[School]
    devices: Sequence[Device]
    service: str
    alerts: str  # may name {smtp} and {hook}, the receivers' addresses
    begin: str
    end: str
    database: bool = False  # it writes to an InfluxDB that can fail; else to a file
    classes: Sequence[DeviceClass] = ()
    faults: list[Fault] = field(default_factory=list)
    script: list[tuple[int, Callable[["Play"], None]]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    logs: dict[str, list[Entry]] = field(default_factory=dict)
    tellings: dict[str, Telling] = field(default_factory=dict)  # by id
    unsent: list[tuple[str, str, str]] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)  # of each message
    looks: dict[str, int] = field(default_factory=dict)  # of each finding: how many of its last looks differed

    def fault(self, kind: FaultKind, school: str, where: str, begin: str, end: str) -> None:
        """Something breaks, and is mended."""
        self.faults.append(
            Fault(kind=kind, school=school, where=where, from_ms=at_ms(begin), until_ms=at_ms(end), placed=True)
        )

    def at(self, when: str, act: Callable[["Play"], None]) -> None:
        """Somebody does something to the collector, the broker, the database."""
        self.script.append((at_ms(when), act))

    def command(self, when: str, *arguments: str) -> None:
        """Somebody types `caretaker ...`."""
        self.at(when, lambda play: play.caretaker(*arguments))

    def caretaker(self, *arguments: str) -> str:
        """One command; its output. AssertionError when it fails; exit code 1 says that there is something to see."""
        result = CliRunner().invoke(app, [*arguments, "--config", str(self.world.config)])
        assert result.exit_code in (0, 1), (arguments, result.output, result.exception)
        return result.output

    # -- while it runs --

    def prepare(self, stack: ExitStack) -> None:
        """Everything but the collector and the machines."""
        self.clock = Clock()
        self.receivers = Receivers(lambda: self.clock.now_ms())
        stack.enter_context(self.receivers.listening())
        self.broker: Mosquitto = stack.enter_context(mosquitto())
        self.influx = stack.enter_context(FaultyHttp("http://127.0.0.1:9"))
        self.influx.answer(204, b"")
        self.world = self._written()

    def _written(self) -> World:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        estate = Estate(
            provider="Test",
            networks={},
            schools={school.name: school for school in self.schools},
            classes={each.name: each for each in CLASSES},
            devices={device.address: device for device in self.devices},
        )
        write_estate(folder, estate, "A play.", "service.toml")
        (folder / "service.toml").write_text(self.service)
        smtp = f"mailto://127.0.0.1:{self.receivers.smtp_port}?mode=insecure"
        hook = f"http://127.0.0.1:{self.receivers.hook_port}/hook"
        (folder / "alerts.toml").write_text(self.alerts.replace("{smtp}", smtp).replace("{hook}", hook))
        (folder / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        (folder / "influx.token").write_text("token\n")
        key: SigningKey = signing.new_key()
        (folder / "command.key").write_text(bytes(key).hex())
        http_port = free_port()
        store = '[store]\nkind = "sqlite"\npath = "store.db"\n'
        if self.database:
            store = f'[store]\nkind = "influx"\nurl = "{self.influx.url}"\ntoken_file = "influx.token"\n'
            store += 'org = "test"\nbucket = "test"\n'
        (folder / "collector.toml").write_text(
            'estate = "estate.toml"\nalerts = "alerts.toml"\ndata = "data"\ntick_s = 5\n\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\n\n'
            f'[http]\nhost = "127.0.0.1"\nport = {http_port}\n\n[signing]\nkey_file = "command.key"\n\n{store}'
        )
        return World(folder, self.broker.port, http_port, key, [])

    def start(self, clock: Clock, stack: ExitStack) -> None:
        """The collector, then the machines: none speaks before it listens."""
        self.clock = clock
        self.collector = CollectorProcess(self.world, clock)
        self.collector.start(wait=False)
        stack.callback(lambda: end_of(self.collector.process))

    def bring_machines(self, stack: ExitStack) -> None:
        """The simulator; each machine has a connection of its own, so wills are real."""
        eventually(lambda: self.collector.health() is not None, 30, self.collector.log)
        faults = self.folder / "faults.json"
        faults.write_bytes(msgspec.json.encode(self.faults))
        with (self.folder / "simulator.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "caretaker_simulator", "run", "--port", str(self.broker.port)),
                    *("--estate", str(self.folder), "--no-troubles", "--connection-per-device"),
                    *("--faults", str(faults), "--seed", str(SEED)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.clock.to_environment()},
            )
        stack.callback(lambda: end_of(process))

    def kill_and_start(self) -> None:
        """kill -9 of the collector, and a new one at once."""
        self.collector.kill()
        self.collector.start(wait=False)

    def gather(self) -> None:
        """Keep what the state file says at the end."""
        db = state.open_state(self.world.data / "state.db", read_only=True)
        try:
            self.incidents = list(incident_book.listed(db))
            self.logs = {one.uid: list(incident_book.log_of(db, one.uid)) for one in self.incidents}
            rows = db.execute("SELECT telling, status, answer, attempts FROM tellings").fetchall()
            told = [(msgspec.json.decode(blob, type=Telling), status, answer) for blob, status, answer, _ in rows]
            self.tries = {telling.id: row[3] for (telling, _, _), row in zip(told, rows, strict=True)}
            self.tellings = {telling.id: telling for telling, _, _ in told}
            self.unsent = [
                (one.title, status, answer) for one, status, answer in told if status in ("waiting", "failed")
            ]
            for name in {one.subject.school for one in self.incidents}:
                for key, pending in finding_book.pending_of(db, name).items():
                    self.looks[key] = pending.history.bit_count()
        finally:
            db.close()

    # -- afterwards --

    def of(self, school: str) -> list[Incident]:
        """The incidents of a school; "": of Caretaker itself."""
        return [one for one in self.incidents if one.subject.school == school]

    def one(self, school: str, kind: FindingKind, subject: str) -> Incident:
        """The only incident of a school. AssertionError when there are others, or none."""
        found = self.of(school)
        assert [(one.kind, str(one.subject)) for one in found] == [(kind, subject)], self.told_of(school)
        return found[0]

    def actions(self, incident: Incident) -> list[Action]:
        """What happened to it."""
        return [entry.action for entry in self.logs[incident.uid]]

    def arrived(self, channel: str, title: str = "") -> list[Arrived]:
        """What came there, in order, each once; of one school with its title."""
        found = {one.id: one for one in reversed(self.receivers.arrived) if one.channel == channel}
        return [one for one in reversed(found.values()) if title in one.title]

    def ready_ms(self, message: Arrived) -> int:
        """When the collector had it ready."""
        telling = self.tellings[message.id]
        return max(telling.made_ms, telling.due_ms)

    def told_of(self, school: str) -> str:
        """Everything about a school, to explain a failure."""
        lines = [f"{one.title} {one.status.value} ({', '.join(self.actions(one))})" for one in self.of(school)]
        lines += [f"{clock_time(self.ready_ms(one))} {one.channel}: {one.title}" for one in self.receivers.arrived]
        return "\n".join(["", *lines, self.collector.log()[-1500:]])

    def between(self, start: str, end: str, what: "int | Arrived", late_s: int = 0) -> None:
        """AssertionError unless the moment, or the one at which a message was ready to go out, lies there.

        By the collector's own time: how soon a server on this machine takes it is no part of the story. `late_s`: so
        much later is in order (after a restart).
        """
        when_ms = self.ready_ms(what) if isinstance(what, Arrived) else what
        assert at_ms(start) <= when_ms <= at_ms(end) + late_s * 1000, (
            f"{clock_time(when_ms)} is not between {start} and {end} (+{late_s} s)"
        )


def clock_time(when_ms: int) -> str:
    """For people."""
    return f"{moment(when_ms, LONDON)}:{when_ms // 1000 % 60:02}"


def end_of(process: "subprocess.Popen[bytes] | None") -> None:
    """End a child, now."""
    if process is not None and process.poll() is None:
        process.kill()
        process.wait(10)


def school(name: str, title: str, rooms: Sequence[str], level: str = "test") -> School:
    """A school whose rooms have lessons all morning."""
    return School(
        name=name,
        title=title,
        service_level=level,
        rooms=[Room(name=room, lessons=[] if room == "servers" else ALL_MORNING) for room in rooms],
        devices=f"{name}.csv",
    )


@contextmanager
def performing(plays: Sequence[Play]) -> Iterator[None]:
    """Let all plays happen at the same time, to their ends."""
    with ExitStack() as stack:
        for play in plays:
            play.prepare(stack)
        clock = Clock(min(at_ms(play.begin) for play in plays) / 1000, time.time(), SPEED)
        for play in plays:
            play.start(clock, stack)
        for play in plays:
            play.bring_machines(stack)
        acts = [(when_ms, play, act) for play in plays for when_ms, act in play.script]
        acts += [(at_ms(play.end), play, Play.gather) for play in plays]
        for when_ms, play, act in sorted(acts, key=lambda one: one[0]):
            time.sleep(max(0.0, clock.real_s((when_ms - clock.now_ms()) / 1000)))
            late_ms = clock.now_ms() - when_ms
            assert late_ms < MOST_LATE_MS, f"{clock_time(when_ms)} came {late_ms / 1000:.0f} s late: too busy a machine"
            act(play)
        yield
