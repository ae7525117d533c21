"""A person's commands against a collector process on a real mosquitto: shut-down, the stop switch, a hold in time."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from typer.testing import CliRunner

from caretaker_collector import order_book
from caretaker_collector.cli import app
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Cause, Command, Gauges, Outcome, OutcomeReason, PowerState, Step, Verb, encode
from caretaker_contract.signing import key_id, verify
from caretaker_contract.topics import Kind
from servers import Mosquitto
from worlds import Stream, World, collecting, eventually, make_world

pytestmark = [pytest.mark.slow, pytest.mark.alone]

POLICY = """\
mode = "live"

[limits]
per_minute = 1000
room_percent = {room_percent}
school_percent = 100

[doubt]
reconnect_wait = "1 s"

[[rules]]
name = "evening"
select = {{ classes = ["{rule_class}"] }}
hours = ["mon-sun 00:00-24:00"]
idle_for = "5 min"
do = "shut_down"
warn_for = "10 min"
"""


TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"


@dataclass
class Room:
    """Some machines on one connection: `say` makes reports; what they are commanded is noted with its Unix time."""

    world: World
    client: aiomqtt.Client
    streams: list[Stream]
    commands: list[tuple[float, Command]] = field(default_factory=list)

    async def say(self, state: PowerState, only: slice = slice(None), idle_s: int = 0) -> None:
        """Hello and a report, now."""
        now_ms = int(time.time() * 1000)
        for stream in self.streams[only]:
            gauges = Gauges(idle_s=idle_s, session=state is PowerState.IN_USE)
            report = stream.report(state, 0, Cause.NO_INPUT, at_ms=now_ms, gauges=gauges)
            for topic, payload in (stream.hello(now_ms), stream.wire(report)):
                await self.client.publish(topic, payload, qos=1)

    async def answer(self, command: Command, step: Step) -> None:
        """One step of a command, as its machine would tell it."""
        stream = next(s for s in self.streams if str(s.address) == command.device)
        stream.seq += 1
        now_ms = int(time.time() * 1000)
        outcome = Outcome(
            epoch=stream.epoch, boot=stream.boot, seq=stream.seq, prev=stream.prev, at_ms=now_ms, sent_ms=now_ms,
            command=command.id, verb=command.verb, step=step, reason=OutcomeReason.NONE,
        )  # fmt: skip
        await self.client.publish(stream.address.topic(Kind.OUTCOME), encode(outcome), qos=1)

    async def listen(self) -> None:
        """Note each command, proven as a machine would prove it."""
        key = self.world.key.verify_key
        async for message in self.client.messages:
            _, _, school, name, _ = message.topic.value.split("/")
            now_ms = int(time.time() * 1000)
            command = verify(bytes(message.payload), {key_id(key): key}, f"{school}/{name}", now_ms)
            self.commands.append((time.time(), command))
            if command.verb is not Verb.CANCEL:
                await self.answer(command, Step.WARNED)

    def of(self, verb: Verb) -> dict[str, Command]:
        """Commands of a verb that came, by machine."""
        return {command.device: command for _, command in self.commands if command.verb is verb}

    async def until(self, number: int, verb: Verb, within_s: float = 10) -> float:
        """Wait for so many machines to have got the verb; how many seconds that took."""
        begin = time.monotonic()
        while len(self.of(verb)) < number:
            assert time.monotonic() < begin + within_s, f"{len(self.of(verb))} of {number} {verb} in {within_s} s"
            await asyncio.sleep(0.02)
        return time.monotonic() - begin


@asynccontextmanager
async def room(world: World, broker: Mosquitto) -> AsyncIterator[Room]:
    """All machines of a world on one connection."""
    streams = [Stream(device, epoch=f"{number:08x}") for number, device in enumerate(world.devices)]
    async with aiomqtt.Client(broker.host, broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("caretaker/1/ash/+/command", qos=1)
        machines = Room(world, client, streams)
        listening = asyncio.create_task(machines.listen())
        try:
            yield machines
        finally:
            # Python 3.11's wait_for, in which a publication waits, may lose a cancellation: then it takes a second one.
            while not listening.done():
                listening.cancel()
                await asyncio.wait({listening}, timeout=1)
            assert listening.cancelled(), listening.exception()


async def caretaker(world: World, *words: str, own_process: bool = False) -> tuple[int, str, str]:
    """Run a command; its exit code, what it tells and what it says. In this process, which is quicker, unless asked."""
    arguments = [*words, "--config", str(world.config)]
    if not own_process:
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        if isinstance(result.exception, ConfigError):
            return 2, result.stdout, str(result.exception)  # as `main` does
        return result.exit_code, result.stdout, result.stderr
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "caretaker_collector", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def heard(world: World, number: int) -> None:
    """Wait until the collector has so many machines on record, and none of them has come back just now."""
    eventually(lambda: world.counters().get("reports", 0) >= number, 10)
    time.sleep(1.1)


def reasons(world: World, device: str) -> list[str]:
    """The reasons of the newest decision about a machine."""
    row = (
        world.state()
        .execute("SELECT decision FROM decisions WHERE device = ? ORDER BY id DESC LIMIT 1", (device,))
        .fetchone()
    )
    return [reason["why"] for reason in json.loads(row[0])["reasons"]]


async def test_a_persons_shut_down_leaves_machines_in_use_on(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Six machines, two in use, one held: a dry run sends nothing; the order asks three, and says why of the others.

    The machines have been idle for one minute only, no rule selects them, and ticks are 30 s apart: what happens within
    a few seconds happens because of the person.
    """
    policy = POLICY.format(rule_class="laptop", room_percent=100)
    world = make_world(tmp_path, own_broker.port, devices=6, policy=policy, tick_s=30)
    estate = tmp_path / "estate.toml"
    laptop = '\n[[classes]]\nname = "laptop"\nwatts_in_use = 30\nwatts_idle = 20\nwatts_asleep = 1\nwatts_off = 0.5\n'
    estate.write_text(estate.read_text() + laptop)
    with collecting(world):
        async with room(world, own_broker) as machines:
            await machines.say(PowerState.IDLE, slice(0, 4), idle_s=60)
            await machines.say(PowerState.IN_USE, slice(4, 6))
            await asyncio.to_thread(heard, world, 6)
            code, out, _ = await caretaker(
                world, "hold", "ash/pc-003", "--until", TOMORROW, "--reason", "render job", "--by", "head of art"
            )
            assert (code, out.startswith("hold 1: ash/ict1/pc-003 stays as it is from")) == (0, True)
            order = ("shut-down", "ash/ict1", "--reason", "power cut at six")
            code, out, _ = await caretaker(world, *order, "--dry-run")
            assert (code, out.splitlines()) == (
                0,
                [
                    "6 machines in ict1, 1 held, 2 in use: those stay on",
                    "  3 would be asked to shut down, with 2 min of warning",
                ],
            )
            assert machines.commands == []
            code, out, _ = await caretaker(world, *order, own_process=True)
            assert (code, out.splitlines()[1]) == (0, "  3 asked to shut down, with 2 min of warning")
            await machines.until(3, Verb.SHUT_DOWN)
            commands = machines.of(Verb.SHUT_DOWN)
            assert set(commands) == {"ash/pc-000", "ash/pc-001", "ash/pc-002"}
            assert {(c.cause, c.warn_s, c.warn_text.value) for c in commands.values()} == {
                (Cause.MAINTENANCE, 120, "engineer")
            }
            assert reasons(world, "pc-000") == ["ordered", "within_limits"]
            assert reasons(world, "pc-003") == ["held", "ordered"]
            assert reasons(world, "pc-004") == ["in_use", "ordered"]
            code, out, _ = await caretaker(world, "holds", "--json")
            (row,) = json.loads(out)["holds"]
            assert (row["record"]["by"], row["held_back"]) == ("head of art", {"machines": 1, "by_this_alone": 1})
            code, out, _ = await caretaker(world, "why", "ash/pc-000")
            assert 'ordered by operator ("power cut at six")' in out
            code, _, err = await caretaker(world, "shut-down", "ash/attic", "--reason", "x")
            assert (code, "no room 'attic' in ash; there are: ict1" in err) == (2, True)


async def test_what_a_limit_holds_back_follows(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Half a room at once: the order stays open, and the other half is not forgotten and not asked at once either."""
    policy = POLICY.format(rule_class="desktop", room_percent=50).replace('"5 min"', '"7 d"')
    policy = policy.replace("[[rules]]", "[limits_of_rooms]\n[[rules]]").replace("[limits_of_rooms]\n", "")
    policy = policy.replace("school_percent = 100", 'school_percent = 100\nat_once = "3 s"')
    world = make_world(tmp_path, own_broker.port, devices=4, policy=policy, tick_s=0.5)
    with collecting(world):
        async with room(world, own_broker) as machines:
            await machines.say(PowerState.IDLE, idle_s=400)
            await asyncio.to_thread(heard, world, 4)
            code, out, _ = await caretaker(world, "restart", "ash", "--reason", "update", "--json")
            assert code == 1, out  # no machine of this world can restart
            assert json.loads(out)["found"]["stay"] == {"unable": [f"pc-{n:03}" for n in range(4)]}
            code, out, _ = await caretaker(world, "shut-down", "ash", "--reason", "update")
            assert out.splitlines() == [
                "4 machines in ash",
                "  2 asked to shut down, with 2 min of warning",
                "  2 follow within half an hour (limit of 50 % of a room at once reached)",
            ]
            await machines.until(2, Verb.SHUT_DOWN)
            assert await machines.until(4, Verb.SHUT_DOWN) > 1.0
        eventually(lambda: world.state().execute("SELECT status FROM orders").fetchall()[-1] == ("done",), 5)


async def test_the_stop_switch_works_within_a_second_and_survives_a_kill(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Machines that are counting down are called back, no other is asked, not even after kill -9; resume lets go on."""
    world = make_world(
        tmp_path, own_broker.port, devices=8, policy=POLICY.format(rule_class="desktop", room_percent=100), tick_s=0.5
    )
    with collecting(world) as collector:
        async with room(world, own_broker) as machines:
            await machines.say(PowerState.IDLE, slice(0, 5), idle_s=400)
            await machines.until(5, Verb.SHUT_DOWN)
            asked = machines.of(Verb.SHUT_DOWN)
            code, out, err = await caretaker(world, "stop", "ash", "--reason", "open evening", own_process=True)
            assert (code, out) == (0, "stopped: ash (open evening)\n"), err
            await machines.say(PowerState.IDLE, slice(5, 8), idle_s=400)
            await machines.until(5, Verb.CANCEL)
            cancels = machines.of(Verb.CANCEL)
            assert {device: command.target for device, command in cancels.items()} == {
                device: command.id for device, command in asked.items()
            }
            since_s = world.state().execute("SELECT since_ms FROM stops").fetchone()[0] / 1000
            late = [when - since_s for when, command in machines.commands if command.verb is Verb.CANCEL]
            assert max(late) < 1.0, late
            collector.kill()
            collector.start()
            await asyncio.sleep(2)
            assert set(machines.of(Verb.SHUT_DOWN)) == set(asked)
            assert "stopped" in reasons(world, "pc-006")
            code, out, err = await caretaker(world, "resume", "ash")
            assert (code, out) == (0, "resumed: ash\n"), err
            resumed_s = time.monotonic()
            await machines.until(8, Verb.SHUT_DOWN)
            assert time.monotonic() - resumed_s < 2.0
            assert len([c for _, c in machines.commands if c.verb is Verb.CANCEL]) == 5


async def test_a_hold_calls_back_what_is_counting_down(own_broker: Mosquitto, tmp_path: Path) -> None:
    """ "We are still here" during the warning: only the machines of the hold are called back."""
    world = make_world(
        tmp_path, own_broker.port, devices=3, policy=POLICY.format(rule_class="desktop", room_percent=100), tick_s=30
    )
    with collecting(world):
        async with room(world, own_broker) as machines:
            await machines.say(PowerState.IDLE, idle_s=60)
            await asyncio.to_thread(heard, world, 3)
            await caretaker(world, "shut-down", "ash", "--reason", "update", "--warn", "600")
            await machines.until(3, Verb.SHUT_DOWN)
            begin = time.monotonic()
            await caretaker(world, "hold", "ash/pc-001", "--until", TOMORROW, "--reason", "club")
            await machines.until(1, Verb.CANCEL, within_s=3)
            assert time.monotonic() - begin < 3.0
            await asyncio.sleep(0.6)
            assert set(machines.of(Verb.CANCEL)) == {"ash/pc-001"}


async def test_without_a_collector_an_order_is_withdrawn(own_broker: Mosquitto, tmp_path: Path) -> None:
    """Nothing happens later that nobody expects: the collector that starts afterwards finds no order."""
    world = make_world(
        tmp_path, own_broker.port, devices=1, policy=POLICY.format(rule_class="desktop", room_percent=100)
    )
    world.data.mkdir()
    code, out, err = await caretaker(world, "sleep", "ash", "--reason", "test", "--wait", "1")
    assert (code, out) == (3, "")
    assert "no collector took the order within 1 s, so it was withdrawn" in err
    assert world.state().execute("SELECT status FROM orders").fetchall() == [("withdrawn",)]


async def test_over_http_an_order_is_looked_at_given_and_called_back(own_broker: Mosquitto, tmp_path: Path) -> None:
    """The same action as at the command line: the running collector answers, machines hear, the log has it all."""
    policy = POLICY.format(rule_class="laptop", room_percent=100)
    world = make_world(tmp_path, own_broker.port, devices=6, policy=policy, tick_s=30)
    estate = tmp_path / "estate.toml"
    laptop = '\n[[classes]]\nname = "laptop"\nwatts_in_use = 30\nwatts_idle = 20\nwatts_asleep = 1\nwatts_off = 0.5\n'
    estate.write_text(estate.read_text() + laptop)
    with collecting(world):
        _, token, _ = await caretaker(world, "token", "new", "ops", "--scope", "operate")

        async def ask(action: str, **body: object) -> dict[str, Any]:
            return await asyncio.to_thread(posted, world, token.strip(), action, body)

        async with room(world, own_broker) as machines:
            await machines.say(PowerState.IDLE, slice(0, 4), idle_s=60)
            await machines.say(PowerState.IN_USE, slice(4, 6))
            await asyncio.to_thread(heard, world, 6)
            order = {"place": "ash/ict1", "reason": "power cut at six", "warn_s": 600}
            looked = await ask("shut_down?preview=1", **order)
            assert looked["lines"] == [
                "6 machines in ICT suite 1, 2 in use: those stay on",
                "4 would be asked to shut down, with 10 min of warning",
            ]
            assert machines.commands == [] and looked["link"] == ""
            given = await ask("shut_down", **order, by="head")
            assert given["lines"][1] == "4 asked to shut down, with 10 min of warning"
            assert (given["ok"], given["link"], given["number"]) == (True, "/orders/2", 2)
            await machines.until(4, Verb.SHUT_DOWN)
            assert given["undo"]["action"] == "hold"
            calls = await ask("hold?preview=1", place="ash/ict1", until=TOMORROW, reason="x")
            assert "4 machines counting down now are called back." in calls["lines"]
            undone = await ask("hold", place=given["undo"]["place"], **given["undo"]["fields"], reason="not today")
            assert undone["ok"], undone
            await machines.until(4, Verb.CANCEL)
            again = await ask("sleep", place="ash/pc-005", reason="x")
            assert (again["ok"], again["lines"][0][:16]) == (False, "machine pc-005, ")
        _, log, _ = await caretaker(world, "audit", "ash", "--json")
        lines = [(line["who"], line["what"], line["outcome"], line["link"]) for line in json.loads(log)["audit"]]
        assert lines[::-1] == [
            ("head (by token ops)", "shut_down", "done", "/orders/2"),
            ("token ops", "hold", "done", "/records/1"),
            ("token ops", "sleep", "done", "/orders/3"),
        ]
        found = order_book.one(world.state(), 2)
        assert found is not None and found.found is not None
        assert (found.status, len(found.found.asked), found.by) == ("done", 4, "head (by token ops)")


def posted(world: World, token: str, action: str, body: object) -> dict[str, Any]:
    """What the collector's HTTP API answers to an action."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{world.http_port}/api/1/actions/{action}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 (our own collector)
        return dict(json.load(answer))
