"""The demo's two schools on a whole collector with an embedded store, without broker and on a clock that tests set.

    world = await DeskWorld.begin(tmp_path, "2026-10-06 07:30")
    await world.until("2026-10-06 10:05")
    view = await world.data.estate(ALL)

The simulated fleet says what it would, the rules work on it, and what the desk shows is what a running one would. Of
each room a fourth of the machines is there.
"""

import asyncio
from pathlib import Path
from typing import Any

from boards_world import SetClock, _Link, incoming
from caretaker_collector.app import Collector
from caretaker_collector.desk.data import DeskData
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract import signing
from caretaker_rules.ports import Incoming
from caretaker_rules.roles import ROLE_MAY, Role, Who
from caretaker_simulator.estate import write_demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.story import Fault
from caretaker_simulator.troubles import Troubles
from rules_world import POLICIES, london_ms
from servers import free_port

ALL = Who(name="engineer", via="desk", may=ROLE_MAY[Role.ENGINEER])
VIEWER = Who(name="viewer", via="desk", may=ROLE_MAY[Role.VIEWER])
OAK = Who(name="director of oak", via="desk", may=ROLE_MAY[Role.DIRECTOR], schools=("oak",))
NOBODY = Who(name="nobody", via="desk", may=frozenset())
TICK_S = 120
ONE_OF = 4


class DeskWorld:
    """A collector that lives through what a test tells it to."""

    def __init__(self, folder: Path, start: str, faults: list[Fault], store: bool) -> None:
        self.folder = folder
        write_settings(folder)
        settings = load_collector(folder / "collector.toml")
        estate, policies = load_estate_and_policies(Path(settings.estate))
        self.clock = SetClock()
        self.clock.at_ms = london_ms(start)
        self.collector = Collector(settings, estate, policies, self.clock)
        self.estate = estate
        self.data: DeskData = self.collector.desk
        self.heard: list[Incoming] = []
        self.fleet = Fleet(
            estate,
            seed=11,
            heartbeat_s=300,
            troubles=Troubles(wrong_clocks=0, stepped_clocks=0),
            schools=("ash", "oak"),
            public_keys=[(folder / "command.pub").read_text().strip()],
            faults=faults,
        )
        self._store = store
        self._acts: asyncio.Task[None] | None = None

    @classmethod
    async def begin(
        cls, folder: Path, start: str, faults: list[Fault] | None = None, store: bool = True
    ) -> "DeskWorld":
        """The machines as they stand at that local time, and everything connected."""
        world = cls(folder, start, faults or [], store)
        collector = world.collector
        world.heard += incoming(world.fleet.begin(world.clock.at_ms))
        collector.receiver.problem = ""
        collector.memory.connected_since_ms = world.clock.at_ms - 60_000
        assert collector.act is not None
        collector.act._outlet.link = _Link(world.fleet, world.clock, world.heard)  # type: ignore[assignment]
        world._acts = asyncio.create_task(collector.act.work())
        await world.step(world.clock.at_ms)
        return world

    async def until(self, text: str, step_s: int = TICK_S) -> None:
        """Live on until a local time."""
        end_ms = london_ms(text)
        while self.clock.at_ms < end_ms:
            await self.step(min(end_ms, self.clock.at_ms + step_s * 1000))

    async def step(self, now_ms: int) -> None:
        """The clock shows this, and all that happened meanwhile is dealt with."""
        self.clock.at_ms = now_ms
        self.heard += incoming(self.fleet.advance(now_ms))
        await self.work()

    async def work(self) -> None:
        """Deal with what was said, and with what people wrote."""
        await self.collector.journal.append(self.heard)
        self.heard.clear()
        while await self.collector.core.step():
            pass
        await asyncio.sleep(0)
        if self._store:
            while await self.collector.recorder.step():
                pass

    async def end(self) -> None:
        """Let go of everything."""
        if self._acts is not None:
            self._acts.cancel()
        await self.collector.close()


def _stays(name: str) -> bool:
    return "server" in name or "switch" in name


def write_settings(folder: Path, more: str = "") -> None:
    """The demo's estate with a fourth of its machines."""
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    for register in folder.glob("*-devices.csv"):
        head, *rows = register.read_text(encoding="utf-8").splitlines()
        kept = [row for number, row in enumerate(rows) if number % ONE_OF == 0 or _stays(row.split(",")[0])]
        names = {row.split(",")[0] for row in kept}
        behind = head.split(",").index("behind")
        cut = []
        for row in kept:
            cells: list[Any] = row.split(",")
            cells[behind] = cells[behind] if cells[behind] in names else ""
            cut.append(",".join(cells))
        register.write_text("\n".join([head, *cut]) + "\n", encoding="utf-8")
    key = signing.new_key()
    (folder / "command.key").write_text(bytes(key).hex() + "\n")
    (folder / "command.pub").write_text(signing.public_text(key) + "\n")
    (folder / "collector.toml").write_text(
        f"""estate = "estate.toml"
data = "data"
tick_s = {TICK_S}.0

[broker]
host = "127.0.0.1"
port = {free_port()}

[http]
host = "127.0.0.1"
port = {free_port()}

[signing]
key_file = "command.key"

[store]
kind = "sqlite"
path = "store.db"
{more}"""
    )
