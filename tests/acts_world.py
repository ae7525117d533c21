"""Two schools on disk and somebody at the desk: what the tests of actions act on."""

import sqlite3
from pathlib import Path

from caretaker_collector import audit, state
from caretaker_collector.acts.base import Site
from caretaker_collector.acts.port import DeskActs
from caretaker_collector.memory import Entry, save_entries
from caretaker_collector.numbering import Numberings
from caretaker_collector.settings import load_estate_and_policies
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.views import Answered
from caretaker_rules.model import Presence, Tracked
from caretaker_rules.roles import ROLE_MAY, Role, Who
from rules_world import london_ms
from telling_world import make_incident
from worlds import make_world

NOW_MS = london_ms("2026-10-20 12:00")
ENGINEER = Who(name="sam", via="desk", may=ROLE_MAY[Role.ENGINEER])
DIRECTOR = Who(name="head", via="desk", may=ROLE_MAY[Role.DIRECTOR], schools=("ash",))


class Desk:
    """Two schools, ash with three machines and an incident, oak with one of each; somebody at the desk."""

    def __init__(self, folder: Path) -> None:
        world = make_world(folder, 1883, devices=3)
        file = world.folder / "estate.toml"
        (folder / "oak.csv").write_text("device,room,class,mac,tags\nx,lab,desktop,02:00:00:00:00:09,\n")
        oak = '\n[[schools]]\nname = "oak"\ntitle = "Oakley"\ndevices = "oak.csv"\n'
        oak += '[[schools.rooms]]\nname = "lab"\nlessons = []\n[[schools.rooms]]\nname = "attic"\nlessons = []\n'
        file.write_text(file.read_text() + oak)
        register = folder / "ash.csv"
        rows = register.read_text().replace("pc-000,ict1,desktop,", "pc-000,ict1,desktop,02:00:00:00:00:01")
        register.write_text(rows)
        world.data.mkdir()
        estate, policies = load_estate_and_policies(file)
        self.path = world.data / "state.db"
        self.db: sqlite3.Connection = state.open_state(self.path)
        self.now_ms = NOW_MS
        self.site = Site(self.path, estate, policies, lambda db: self.now_ms, folder, wait_s=0.2)
        self.acts = DeskActs(self.site)
        make_incident(self.db, "u1", device="pc-000", at_ms=NOW_MS - 600_000)
        make_incident(self.db, "u2", device="x", school="oak", at_ms=NOW_MS - 600_000)

    async def act(self, action: str, place: str, who: Who = ENGINEER, **fields: str) -> Answered:
        """Do it."""
        return await self.acts.act(who, action, place, {name.rstrip("_"): value for name, value in fields.items()})

    async def preview(self, action: str, place: str, who: Who = ENGINEER, **fields: str) -> Answered:
        """Look what it would touch."""
        return await self.acts.preview(who, action, place, {name.rstrip("_"): v for name, v in fields.items()})

    def states(self, **states: PowerState) -> None:
        """What machines of ash are now: pc_000=..."""
        entries = {
            Address("ash", name.replace("_", "-")): Entry(
                Tracked(Presence(state=found, since_ms=NOW_MS - 3_600_000, cause=Cause.RULE)), Numberings()
            )
            for name, found in states.items()
        }
        save_entries(self.db, entries)

    def log(self) -> list[audit.Line]:
        """The audit log, the newest first."""
        return audit.listed(self.db)
