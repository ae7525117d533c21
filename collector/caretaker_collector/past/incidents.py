"""The incidents of a past that is filled in: the live stages find them, over a fleet that plays the past once more.

Presence, readiness and the alert pipeline are the collector's own stages on a state file of the past. What differs is
when they look: every half minute for a while after somebody fell silent or came back, else every five minutes in hours
of service, and hourly at night. Machines report hourly here instead of each five minutes (a will tells at once who is
gone), which makes no difference to what is found and a great one to how long it takes.

An invented desk answers: each incident is acknowledged some minutes after it was opened, within hours of service.
"""

import asyncio
import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from caretaker_collector import state
from caretaker_collector.calendars import Calendars
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch, Received, Stage
from caretaker_collector.settings import load_estate
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.keep import Keep, pending_point
from caretaker_collector.stages.ready import Ready
from caretaker_collector.stages.track import Track
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.messages import PresenceNote, PresenceWord, decode
from caretaker_contract.topics import Address, parse
from caretaker_rules.calendar import in_hours, zone_of
from caretaker_rules.incidents import Action, Entry
from caretaker_rules.model import Estate
from caretaker_rules.presence import PresenceSettings
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.story import Fault
from caretaker_simulator.troubles import Troubles

SOON_MS, NOW_AND_THEN_MS, SELDOM_MS = 30_000, 300_000, 3_600_000
STIRRED_MS = 900_000
"""How long after somebody fell silent or came back the looks are close together."""
HEARTBEAT_S = 3600
BUSY_S = 120.0
"""How long a process waits while another one writes."""
DAY_MS = 86_400_000
AT_THE_DESK = "mon-fri 08:00-17:00"


class Past:
    """The stages over one past, with the state file that they leave."""

    def __init__(self, db: sqlite3.Connection, estate: Estate, folder: Path, schools: Iterable[str]) -> None:
        self._db = db
        self._estate = estate
        self._schools = list(schools)
        self._memory = Memory()
        ledger = Ledger(db, self._memory, may_command=False)
        self._calendars = Calendars(estate, folder)
        self._decide = Decide(self._memory, ledger, estate, {}, self._calendars)
        self._before: list[Stage] = [
            Track(self._memory, PresenceSettings()),
            self._calendars,
            Ready(db, self._memory, self._decide, estate, {}),
        ]
        self._after: list[Stage] = [Alerts(db, self._memory, estate, {}), Keep(db, self._memory, ledger, estate)]
        self._silent: set[Address] = set()
        self._zones = [zone_of(estate.schools[name].time_zone) for name in self._schools]

    async def play(self, fleet: Fleet, start_ms: int, end_ms: int) -> None:
        """Live through [start_ms, end_ms)."""
        self._memory.connected_since_ms = start_ms
        waiting: list[Received] = []
        look_ms, stirred_ms = start_ms, 0
        for at_ms, topic, payload in fleet.play(start_ms, end_ms):
            while at_ms >= look_ms:
                await self._look(waiting, look_ms)
                waiting = []
                look_ms += self._pause_ms(look_ms, stirred_ms)
            address, kind = parse(topic)
            message = decode(kind, payload)
            waiting.append(Received(address, message, at_ms))
            if isinstance(message, PresenceNote) and self._stirs(address, message.presence):
                stirred_ms = at_ms
                look_ms = min(look_ms, at_ms - at_ms % SOON_MS + SOON_MS)
        await self._look(waiting, end_ms)

    def _stirs(self, address: Address, word: PresenceWord) -> bool:
        """Whether somebody fell silent, or came back who was."""
        if word is PresenceWord.LOST:
            self._silent.add(address)
            return True
        was_silent = address in self._silent
        self._silent.discard(address)
        return was_silent

    def _pause_ms(self, now_ms: int, stirred_ms: int) -> int:
        if now_ms - stirred_ms < STIRRED_MS:
            return SOON_MS
        hours = (AT_THE_DESK,)
        return NOW_AND_THEN_MS if any(in_hours(hours, now_ms, zone) for zone in self._zones) else SELDOM_MS

    async def _look(self, messages: list[Received], now_ms: int) -> None:
        batch = Batch(now_ms=now_ms, records=[], tick=True, position=0, messages=messages)
        for stage in self._before:
            await stage.run(batch)
        batch.looked = {name: self._decide.snapshot(name, now_ms) for name in self._schools}
        for stage in self._after:
            await stage.run(batch)
        self._answer(now_ms)

    def _answer(self, now_ms: int) -> None:
        """The invented desk."""
        rows = self._db.execute("SELECT uid, school, opened_ms FROM incidents WHERE opened_ms > ?", (now_ms - DAY_MS,))
        for uid, school, opened_ms in rows.fetchall():
            zone = zone_of(self._estate.schools[school].time_zone)
            after_ms = random.Random(uid).randint(2, 25) * 60_000
            if now_ms - opened_ms < after_ms or not in_hours((AT_THE_DESK,), now_ms, zone):
                continue
            log = incident_book.log_of(self._db, uid)
            if any(entry.action in (Action.ACKNOWLEDGED, Action.MERGED, Action.FIXED) for entry in log):
                continue
            incident_book.append(
                self._db, Entry(uid=uid, at_ms=now_ms, by="desk", action=Action.ACKNOWLEDGED, text="looking into it")
            )


def find(
    estate_folder: Path,
    store_file: Path,
    state_file: Path,
    start_ms: int,
    end_ms: int,
    seed: int,
    schools: list[str],
    faults: list[Fault],
    troubles: Troubles | None = None,
) -> int:
    """Fill the incidents of [start_ms, end_ms) into a state file and their points into a store; returns how many.

    A process of its own.
    """
    estate = load_estate(estate_folder / "estate.toml")
    fleet = Fleet(estate, seed=seed, schools=schools, keep=1, heartbeat_s=HEARTBEAT_S, faults=faults, troubles=troubles)
    db = state.open_state(state_file, busy_s=BUSY_S)
    store = SqliteStore(store_file, busy_s=BUSY_S)
    try:
        return asyncio.run(_find(Past(db, estate, estate_folder, schools), fleet, store, db, start_ms, end_ms))
    finally:
        db.close()


async def _find(
    past: Past, fleet: Fleet, store: SqliteStore, db: sqlite3.Connection, start_ms: int, end_ms: int
) -> int:
    try:
        await past.play(fleet, start_ms, end_ms)
        points = [pending_point(blob) for (blob,) in db.execute("SELECT point FROM pending_points ORDER BY id")]
        # The changes of state are stored by those who play with all heartbeats.
        await store.write([point for point in points if point.measurement != "transition"])
    finally:
        await store.close()
    # A lesson that is still on was looked at by a collector that is over: the next one looks for itself.
    db.execute("DELETE FROM readiness WHERE lesson_ms > ?", (end_ms - DAY_MS // 2,))
    for table in ("pending_points", "pending_findings", "devices", "positions", "counters"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 (our own names); of a collector that is over
    return int(db.execute("SELECT count(*) FROM incidents").fetchone()[0])
