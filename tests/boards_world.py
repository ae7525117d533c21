"""Some days of the demo's two schools in the tests' InfluxDB, for everything that asks it questions (boards, reviews).

`play()` lives through 14 to 22 September 2026 in seconds: the simulated fleet says what it would, and a whole collector
works on it (journal, rules, incidents, ledger, roll-ups, stores/influx.py), only without broker, web page and clock of
its own. Of each room a fourth of the machines is there. What is in the store is therefore all that a running Caretaker
writes, and nothing else:

- Monday 14 to Thursday 17: rules only observe, which is the baseline; from Friday 18 on they act. Servers, a switch and
  a line fail as the demo's story has it.
- It ends on Tuesday 22 at 10:30, in the middle of a lesson. Days that are over are rolled up, with what was used and
  avoided on them, and so is the morning of the last.

    def test_...(boards_world: BoardsWorld) -> None:
        rows = boards_world.ask('SELECT last("in_use") FROM "school_now" WHERE "school" = \\'ash\\'')

Shared by the whole session: ask it, and write nothing to it. `state` is the collector's state file, `config` its
settings, for commands of which the boards should say the same.
"""

import asyncio
import csv
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from caretaker_collector import state
from caretaker_collector.app import Collector
from caretaker_collector.past import story as demo_story
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract import signing
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Kind
from caretaker_contract.topics import parse
from caretaker_rules.model import Estate
from caretaker_rules.policy import Mode
from caretaker_rules.ports import Incoming
from caretaker_simulator.estate import write_demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.sent import Sent
from caretaker_simulator.story import Fault, FaultKind
from caretaker_simulator.troubles import Troubles
from rules_world import POLICIES, london_ms
from servers import Influx, free_port

START_MS = london_ms("2026-09-14 00:00")
ACTING_MS = london_ms("2026-09-18 00:00")
END_MS = london_ms("2026-09-22 10:30")
SCHOOLS = ("ash", "oak")
ONE_OF = 4
TICK_S = 600
NIGHT_TICK_MS = 3_600_000
STORE_EVERY_MS = 3_600_000
TROUBLES = Troubles(wrong_clocks=0, stepped_clocks=0)
"""No wrong clocks: a machine whose clock is a minute slow says at the first midnight what was on the day before."""


STILL_WRONG = Fault(
    kind=FaultKind.DISK,
    school="ash",
    where="servers-04",
    from_ms=london_ms("2026-09-22 08:00"),
    until_ms=london_ms("2026-09-23 08:00"),
)
"""What is open at the end."""


class SetClock(Clock):
    """A clock that shows what it is set to."""

    at_ms = START_MS

    def now_ms(self) -> int:
        """As it was set."""
        return self.at_ms


class _Link:
    """The collector's way to the machines: its commands go straight to the simulated fleet."""

    def __init__(self, fleet: Fleet, clock: SetClock, heard: list[Incoming]) -> None:
        self._fleet, self._clock, self._heard = fleet, clock, heard

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Deliver a command."""
        address, kind = parse(topic)
        assert kind is Kind.COMMAND
        said = self._fleet.command(address, payload, self._clock.now_ms())
        self._heard += incoming(said)


@dataclass(frozen=True)
class BoardsWorld:
    """What was lived through, and where it is stored."""

    influx: Influx
    estate: Estate
    config: Path
    state: Path
    start_ms: int = START_MS
    acting_ms: int = ACTING_MS  # rules observed before, and act from here on
    end_ms: int = END_MS

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows of an InfluxQL query, each with its columns, its tags (if grouped) and its time in ms."""
        return self.influx.ask(query)


def play(folder: Path, influx: Influx) -> BoardsWorld:
    """Live through these days, with settings in `folder`, and store all points in `influx`."""
    write_settings(folder, influx)
    settings = load_collector(folder / "collector.toml")
    estate, policies = load_estate_and_policies(Path(settings.estate))
    asyncio.run(_play(folder, settings, estate, dict(policies)))
    return BoardsWorld(influx, estate, folder / "collector.toml", folder / "data" / "state.db")


def write_settings(folder: Path, influx: Influx) -> None:
    """The demo's estate with a fourth of its machines, and a collector that stores in `influx`."""
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    for register in folder.glob("*-devices.csv"):
        rows = list(csv.DictReader(register.read_text(encoding="utf-8").splitlines()))
        kept = [row for number, row in enumerate(rows) if number % ONE_OF == 0 or "servers" in row["room"] or not row]
        kept += [row for row in rows if row not in kept and row["device"].endswith("-switch")]
        names = {row["device"] for row in kept}
        with register.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            for row in kept:
                writer.writerow({**row, "behind": row["behind"] if row.get("behind") in names else ""})
    key = signing.new_key()
    (folder / "command.key").write_text(bytes(key).hex() + "\n")
    (folder / "command.pub").write_text(signing.public_text(key) + "\n")
    (folder / "influx.token").write_text(influx.token)
    (folder / "collector.toml").write_text(
        f"""estate = "estate.toml"
data = "data"
tick_s = {TICK_S}.0

[broker]
host = "127.0.0.1"
port = {free_port()}

[signing]
key_file = "command.key"

[store]
kind = "influx"
url = "{influx.url}"
token_file = "influx.token"
org = "{influx.org}"
bucket = "{influx.bucket}"
"""
    )


async def _play(folder: Path, settings: Any, estate: Estate, policies: dict[str, Any]) -> None:
    clock = SetClock()
    acting = dict(policies)
    policies.update({name: structs.replace(policy, mode=Mode.OBSERVE) for name, policy in acting.items()})
    collector = Collector(settings, estate, policies, clock)
    heard: list[Incoming] = []
    fleet = Fleet(
        estate,
        seed=11,
        heartbeat_s=TICK_S,
        troubles=TROUBLES,
        schools=SCHOOLS,
        public_keys=[(folder / "command.pub").read_text().strip()],
        faults=[*demo_story.faults(START_MS, END_MS), STILL_WRONG],
    )
    heard += incoming(fleet.begin(START_MS))
    collector.receiver.problem = ""
    collector.memory.connected_since_ms = START_MS
    assert collector.act is not None
    collector.act._outlet.link = _Link(fleet, clock, heard)  # type: ignore[assignment]
    acts = asyncio.create_task(collector.act.work())
    try:
        now_ms = stored_ms = START_MS
        while now_ms < END_MS:
            now_ms = min(END_MS, now_ms + pause_ms(now_ms))
            clock.at_ms = now_ms
            if now_ms >= ACTING_MS:
                policies.update(acting)
            heard += incoming(fleet.advance(now_ms))
            await collector.journal.append(heard)
            heard.clear()
            while await collector.core.step():
                pass
            await asyncio.sleep(0)  # commands go out
            if now_ms - stored_ms >= STORE_EVERY_MS or now_ms == END_MS:
                stored_ms = now_ms
                await store(collector)
            collector.figures.keep(now_ms)
        await settle(collector, now_ms)
    finally:
        acts.cancel()
        await collector.close()


async def store(collector: Collector) -> None:
    """What was heard and concluded goes to InfluxDB."""
    while await collector.recorder.step():
        pass


async def settle(collector: Collector, now_ms: int) -> None:
    """Everything is stored and rolled up."""
    await store(collector)
    while await collector.day_rollup.step(now_ms, settle=False):
        pass
    while await collector.energy_days.step(now_ms, settle=False):
        pass


def pause_ms(now_ms: int) -> int:
    """Until the next look: at night, when nothing happens, much longer."""
    hour = (now_ms - START_MS) // 3_600_000 % 24
    return TICK_S * 1000 if 7 <= hour < 20 else NIGHT_TICK_MS


def incoming(said: list[Any]) -> list[Incoming]:
    """What the fleet said, as it comes from a broker."""
    return [
        Incoming(received_ms=each.at_ms, topic=each.topic, payload=each.payload)
        for each in said
        if isinstance(each, Sent)
    ]


def ledger(world: BoardsWorld) -> sqlite3.Connection:
    """The collector's state file, to read."""
    return state.open_state(world.state, read_only=True)
