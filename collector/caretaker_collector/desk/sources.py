"""What all pages' figures are made from: the running collector, a look into its state file of one's own, its store.

Everything here runs beside the rules in one process. So what is in memory is read on the event loop, a school at most
at a time; the state file is read in a thread of the desk's own, on a connection that cannot write; the store over a
connection of its own, so that no page waits behind the night's roll-up.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec import structs

from caretaker_collector.desk.changes import Changes
from caretaker_collector.stores import open_store
from caretaker_collector.stores.worker import Worker
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import NotThere
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import Device, Estate, Room, School
from caretaker_rules.policy import Policy
from caretaker_rules.roles import Permission, Who

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

T = TypeVar("T")
HOME_ZONE = "Europe/London"
"""The zone of pages that are about no single school."""
FIRST_YEAR, LAST_YEAR = 2000, 2100
NOTHING = "There is nothing here, or not for you."
BUSY_S = 1.0


class Sources:
    """Shared by the files of this room; `close` it with the collector."""

    def __init__(self, collector: "Collector", changes: Changes) -> None:
        self.collector = collector
        self.changes = changes
        self.estate: Estate = collector.estate
        self.memory = collector.memory
        self.folder = Path(collector.settings.estate).parent
        self.store = open_store(collector.settings.store, Path(collector.settings.data))
        self.devices: dict[str, dict[str, Device]] = {name: {} for name in self.estate.schools}
        self.rooms: dict[str, dict[str, list[Device]]] = {
            name: {room.name: [] for room in school.rooms} for name, school in self.estate.schools.items()
        }
        for device in self.estate.devices.values():
            self.devices[device.school][device.name] = device
            self.rooms[device.school].setdefault(device.room, []).append(device)
        self.estates: dict[str, Estate] = {
            name: structs.replace(self.estate, devices={device.address: device for device in devices.values()})
            for name, devices in self.devices.items()
        }
        """The estate with the devices of one school only: what looks through all of them then looks through these."""
        self._worker = Worker("desk")
        self._db: sqlite3.Connection | None = None
        self._kept = _Kept()

    # -- time and places --

    def now_ms(self) -> int:
        """The collector's time."""
        return self.collector.clock.now_ms()

    def zone(self, school: str) -> ZoneInfo:
        """The zone of a school; that of the provider's own pages for none."""
        known = self.estate.schools.get(school)
        return zone_of(known.time_zone if known is not None else HOME_ZONE)

    def school_title(self, school: str) -> str:
        """As people call it; "" is Caretaker itself."""
        known = self.estate.schools.get(school)
        return known.title if known is not None else school or "Caretaker itself"

    def room_of(self, school: str, room: str) -> Room | None:
        """The room as estate.toml has it; None: only the register names it."""
        return next((each for each in self.estate.schools[school].rooms if each.name == room), None)

    def room_title(self, school: str, room: str) -> str:
        """As people call it."""
        known = self.room_of(school, room) if school in self.estate.schools else None
        return known.title if known is not None and known.title else room

    def seen_by(self, who: Who) -> list[School]:
        """The schools that somebody may see, in the order of estate.toml."""
        return [school for school in self.estate.schools.values() if self.sees(who, school.name)]

    def sees(self, who: Who, school: str) -> bool:
        """Whether somebody may see this school; "": Caretaker itself, which is for those who see all schools."""
        return who.allows(Permission.SEE, school or None)

    def school_for(self, who: Who, school: str) -> School:
        """The school; NotThere when there is none, or not for this person."""
        known = self.estate.schools.get(school)
        if known is None or not self.sees(who, school):
            raise NotThere(NOTHING)
        return known

    def room_for(self, who: Who, school: str, room: str) -> tuple[School, list[Device]]:
        """The school and the room's devices; NotThere when there is no such room, or not for this person."""
        known = self.school_for(who, school)
        devices = self.rooms[school].get(room)
        if devices is None:
            raise NotThere(NOTHING)
        return known, devices

    def address_for(self, who: Who, school: str, device: str) -> Address:
        """The address of a device of the register, or of one that was heard of; else NotThere."""
        self.school_for(who, school)
        address = Address(school, device)
        if address not in self.estate.devices and address not in self.memory.entries:
            raise NotThere(NOTHING)
        return address

    def policy_of(self, school: str) -> Policy | None:
        """The policy in force; None: no rule runs there."""
        return self.collector.policies.get(school)

    def policy_text(self, school: str) -> str:
        """ "policies/school.toml, version 7c1e"; "": none."""
        policy = self.policy_of(school)
        return f"{self.short(policy.path)}, version {policy.version}" if policy is not None else ""

    def short(self, path: str) -> str:
        """A file's path for a page: as from the folder of estate.toml, and nothing of this machine."""
        near = Path(path)
        if near.is_relative_to(self.folder):
            return str(near.relative_to(self.folder))
        return near.name if near.is_absolute() else path

    def day_of(self, text: str) -> date:
        """An ISO day. ConfigError when it is none, or of another age."""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ConfigError([f"{text[:20]!r}  is no day; write one such as 2026-10-06"]) from None
        if not FIRST_YEAR <= day.year < LAST_YEAR:
            raise ConfigError([f"{text[:20]!r}  is too long ago, or too far ahead: nothing was recorded then"])
        return day

    def span_of(self, day: date, zone: ZoneInfo) -> tuple[int, int]:
        """When a local day begins and ends; 23 or 25 hours lie between them where the clocks change."""
        return midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)

    def today(self, school: str) -> date:
        """The local day of a school."""
        return local(self.now_ms(), self.zone(school)).date()

    # -- reading --

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on the desk's own connection to the state file. Unavailable when that cannot be read."""

        def do() -> T:
            try:
                if self._db is None:
                    self._db = sqlite3.connect(
                        f"file:{self.collector.state_path}?mode=ro",
                        uri=True,
                        isolation_level=None,
                        timeout=BUSY_S,
                        check_same_thread=False,
                    )
                self._db.execute("BEGIN")  # all of it as it stood at one moment
                try:
                    return work(self._db)
                finally:
                    self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db is not None:
                    self._db.close()
                    self._db = None
                raise Unavailable(f"the state file cannot be read now ({error}); try again in a moment") from error

        return await self._worker.run(do)

    async def apart(self, work: Callable[[], T]) -> T:
        """Do what takes long and needs no state file in another thread: no page waits behind it."""
        return await asyncio.to_thread(work)

    async def kept(self, key: object, mark: object, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` gives, made once for each mark, however many ask for it at the same time."""
        return await self._kept.get(key, mark, make)

    async def close(self) -> None:
        """Let go of the state file and the store."""
        await self._worker.run(self._drop)
        self._worker.end()
        await self.store.close()

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


class _Kept:
    """Answers by key, each good for as long as its mark; at most so many, the oldest go first."""

    MOST = 256

    def __init__(self) -> None:
        self._known: dict[object, tuple[object, asyncio.Task[Any]]] = {}

    async def get(self, key: object, mark: object, make: Callable[[], Awaitable[T]]) -> T:
        """The answer for this mark. Whoever waits for it and goes away does not take it from the others."""
        known = self._known.get(key)
        if known is None or known[0] != mark or (known[1].done() and _failed(known[1])):
            task: asyncio.Task[T] = asyncio.ensure_future(_awaited(make))
            self._known.pop(key, None)
            self._known[key] = known = (mark, task)
            while len(self._known) > self.MOST:
                self._known.pop(next(iter(self._known)))
        answer: T = await asyncio.shield(known[1])
        return answer


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def listed(words: Iterable[str]) -> str:
    """Words with commas, empty ones left out."""
    return ", ".join(word for word in words if word)
