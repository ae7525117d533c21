"""September 2026 of the demo's two schools, lived through by a whole collector in seconds, for everything of reviews.

Like `boards_world`, with a SQLite store, and a month long: the simulated fleet says what it would, and the collector
works on it (journal, rules, incidents, ledger, roll-ups), only without broker, web page and clock of its own. Of the
secondary (`ash`) every eighth machine is there, of the primary (`oak`) every second one.

- Until Sunday 13 September rules only observe, which is the baseline; from Monday 14 on they act.
- The demo's story of the month before its day goes wrong; a desk answers, writes notes and mends.
- Caretaker itself could not see for 40 minutes on Wednesday 9; work was planned twice, once recorded too late.
- It ends on Thursday 1 October at 09:30: September is over, computed and stated.

    def test_...(review_world: ReviewWorld) -> None:
        pack = review_world.pack("ash", "2026-09")

Shared by the session: read it, and write nothing to it (`copy()` gives one's own to change). `truth` is what machines
really did, by school, device and day: seconds in each state.
"""

import asyncio
import csv
import json
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from boards_world import TROUBLES, SetClock, _Link, incoming
from caretaker_collector import records, state
from caretaker_collector.app import Collector
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.order_book import Scope
from caretaker_collector.past import story as demo_story
from caretaker_collector.review.build import build
from caretaker_collector.review.inputs import Inputs, read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import Span, named
from caretaker_collector.settings import load_collector, load_estate, load_estate_and_policies
from caretaker_collector.stores import open_store
from caretaker_contract import signing
from caretaker_dashboards.review.pack import Pack
from caretaker_rules.calendar import in_hours, local, midnight_ms
from caretaker_rules.incidents import Action, Entry
from caretaker_rules.model import Estate
from caretaker_rules.policy import Mode
from caretaker_rules.repeats import Series
from caretaker_simulator.estate import write_demo_estate
from caretaker_simulator.fleet import Fleet
from rules_world import LONDON, POLICIES, london_ms
from servers import free_port

START_MS = london_ms("2026-08-31 00:00")
ACTING_MS = london_ms("2026-09-14 00:00")
END_MS = london_ms("2026-10-01 09:30")
BLIND = (london_ms("2026-09-09 10:00"), london_ms("2026-09-09 10:40"))
SCHOOLS = ("ash", "oak")
ONE_OF = {"ash": 8, "oak": 2}
TICK_S = 900
REST_TICK_MS = 2 * 3_600_000
SEED = 11
MONTH = "2026-09"
TARGETS = """
[[targets]]
indicator = "energy_kwh"
year = 2026
value = 26000
school = "ash"
"""
T = TypeVar("T")


@dataclass(frozen=True)
class ReviewWorld:
    """What was lived through, and where it is kept."""

    folder: Path
    start_ms: int = START_MS
    acting_ms: int = ACTING_MS
    end_ms: int = END_MS

    @property
    def config(self) -> Path:
        """The collector's settings, for commands."""
        return self.folder / "collector.toml"

    @property
    def estate(self) -> Estate:
        """Both schools."""
        return load_estate(self.folder / "estate.toml")

    @property
    def truth(self) -> dict[str, dict[str, dict[str, float]]]:
        """Seconds in each state by "ash/ict1-01" and local day."""
        return dict(json.loads((self.folder / "truth.json").read_text()))

    @property
    def lived(self) -> dict[str, list[tuple[int, int, str]]]:
        """What each machine really did: (from, until, state) in UTC ms, by "ash/ict1-01"."""
        return dict(json.loads((self.folder / "lived.json").read_text()))

    def copy(self, folder: Path) -> "ReviewWorld":
        """One of one's own, to write to."""
        shutil.copytree(self.folder, folder)
        return ReviewWorld(folder)

    def asked(self, work: Callable[[Any], Awaitable[T]], states: bool = False, now_ms: int = END_MS) -> T:
        """What `work` makes of the sources of reviews."""
        return asyncio.run(self.ask(work, states, now_ms))

    async def ask(self, work: Callable[[Any], Awaitable[T]], states: bool = False, now_ms: int = END_MS) -> T:
        """The same within a loop."""
        settings = load_collector(self.config)
        db = state.open_state(self.folder / "data" / "state.db", read_only=not states)
        store = open_store(settings.store, self.folder / "data")
        try:
            return await work(sources_of(self.estate, db, store, self.folder, now_ms, states))
        finally:
            await store.close()
            db.close()

    def inputs(self, place: str = "ash", span: str | Span = MONTH, now_ms: int = END_MS) -> Inputs:
        """What a review reads."""
        return self.asked(lambda sources: read(sources, place, _span(span)), now_ms=now_ms)

    def pack(self, place: str = "ash", span: str | Span = MONTH, now_ms: int = END_MS) -> Pack:
        """A review pack."""

        async def work(sources: Any) -> Pack:
            return await build(await read(sources, place, _span(span)))

        return self.asked(work, now_ms=now_ms)


def _span(span: str | Span) -> Span:
    return named(span) if isinstance(span, str) else span


def shared(base: Path) -> ReviewWorld:
    """The world in `base`, made by whoever asks first; another process that asks meanwhile waits for it."""
    folder, mark = base / "review-world", base / "review-world.done"
    try:
        (base / "review-world.begun").mkdir()
    except FileExistsError:
        for _ in range(1200):
            if mark.exists():
                return ReviewWorld(folder)
            time.sleep(0.1)
        raise TimeoutError("another process began to make the review's world and did not end") from None
    folder.mkdir()
    world = play(folder)
    mark.touch()
    return world


def play(folder: Path) -> ReviewWorld:
    """Live through the month, with settings and data in `folder`."""
    write_settings(folder)
    settings = load_collector(folder / "collector.toml")
    estate, policies = load_estate_and_policies(Path(settings.estate))
    asyncio.run(_play(folder, settings, estate, dict(policies)))
    return ReviewWorld(folder)


def write_settings(folder: Path, one_of: dict[str, int] | None = None) -> None:
    """The demo's estate with some of its machines, and a collector that stores in SQLite."""
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    for school, number in (one_of or ONE_OF).items():
        thin(folder / f"{school}-devices.csv", number)
    with (folder / "service.toml").open("a") as file:
        file.write(TARGETS)
    key = signing.new_key()
    (folder / "command.key").write_text(bytes(key).hex() + "\n")
    (folder / "command.pub").write_text(signing.public_text(key) + "\n")
    (folder / "collector.toml").write_text(
        f'estate = "estate.toml"\ndata = "data"\ntick_s = {TICK_S}.0\n\n[broker]\nhost = "127.0.0.1"\n'
        f'port = {free_port()}\n\n[signing]\nkey_file = "command.key"\n'
    )


def thin(register: Path, one_of: int) -> None:
    """Keep every n-th machine of a register, and all servers and switches."""
    rows = list(csv.DictReader(register.read_text(encoding="utf-8").splitlines()))
    kept = [
        row
        for number, row in enumerate(rows)
        if number % one_of == 0 or row["room"] == "servers" or row["device"].endswith("-switch")
    ]
    names = {row["device"] for row in kept}
    with register.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in kept:
            writer.writerow({**row, "behind": row["behind"] if row.get("behind") in names else ""})


async def _play(folder: Path, settings: Any, estate: Estate, policies: dict[str, Any]) -> None:
    clock = SetClock()
    clock.at_ms = START_MS
    acting = dict(policies)
    policies.update({name: structs.replace(policy, mode=Mode.OBSERVE) for name, policy in acting.items()})
    collector = Collector(settings, estate, policies, clock)
    heard: list[Any] = []
    fleet = Fleet(
        estate,
        seed=SEED,
        heartbeat_s=TICK_S,
        troubles=TROUBLES,
        schools=SCHOOLS,
        public_keys=[(folder / "command.pub").read_text().strip()],
        faults=demo_story.faults(START_MS, END_MS),
    )
    heard += incoming(fleet.begin(START_MS))
    collector.receiver.problem = ""
    collector.memory.connected_since_ms = START_MS
    assert collector.act is not None
    collector.act._outlet.link = _Link(fleet, clock, heard)  # type: ignore[assignment]
    acts = asyncio.create_task(collector.act.work())
    db = state.open_state(folder / "data" / "state.db")
    stored_ms = START_MS
    try:
        now_ms = START_MS
        while now_ms < END_MS:
            now_ms = min(END_MS, now_ms + pause_ms(now_ms))
            clock.at_ms = now_ms
            if now_ms >= ACTING_MS:
                policies.update(acting)
            collector.memory.connected_since_ms = linked_since_ms(now_ms)
            heard += incoming(fleet.advance(now_ms))
            await collector.journal.append(heard)
            heard.clear()
            while await collector.core.step():
                pass
            await asyncio.sleep(0)  # commands go out
            at_the_desk(db, now_ms)
            if now_ms - stored_ms >= 4 * 3_600_000 or now_ms == END_MS:
                stored_ms = now_ms
                while await collector.recorder.step():
                    pass
        while await collector.day_rollup.step(END_MS, settle=False):
            pass
        while await collector.energy_days.step(END_MS, settle=False):
            pass
        for name in SCHOOLS:
            await collector.day_rollup.book.state(estate.schools[name], MONTH, END_MS)
    finally:
        acts.cancel()
        db.close()
        await collector.close()
    (folder / "truth.json").write_text(json.dumps(truth_of(fleet)))
    lived = {str(address): device.truth.intervals(END_MS) for address, device in fleet.devices.items()}
    (folder / "lived.json").write_text(json.dumps(lived))


def pause_ms(now_ms: int) -> int:
    """Until the next look: at night and at weekends, when little happens, longer."""
    at = local(now_ms, LONDON)
    return TICK_S * 1000 if 7 <= at.hour < 19 and at.weekday() < 5 else REST_TICK_MS - now_ms % (TICK_S * 1000)


def linked_since_ms(now_ms: int) -> int:
    """Since when the broker is there; 0: it is not."""
    if BLIND[0] <= now_ms < BLIND[1]:
        return 0
    return BLIND[1] if now_ms >= BLIND[1] else START_MS


def at_the_desk(db: Any, now_ms: int) -> None:
    """People answer incidents within hours of service, and write down what they did; work is planned."""
    if not in_hours(("mon-fri 08:00-17:00",), now_ms, LONDON):
        return
    for made, where, begin, end, reason in PLANNED:
        if now_ms - TICK_S * 1000 < london_ms(made) <= now_ms:
            series = Series(from_ms=london_ms(begin), until_ms=london_ms(end), time_zone="Europe/London")
            scope = Scope(school=where[0], room=where[1], device=None, device_class=None)
            records.make(db, "maintenance", scope, series, reason, "network manager", now_ms)
    rows = db.execute("SELECT uid, opened_ms FROM incidents WHERE opened_ms > ?", (now_ms - 2 * 86_400_000,)).fetchall()
    for uid, opened_ms in rows:
        actions = [entry.action for entry in incident_book.log_of(db, uid)]
        if Action.MERGED in actions or now_ms - opened_ms < random.Random(uid).randint(5, 70) * 60_000:
            continue
        if Action.ACKNOWLEDGED not in actions:
            for action, text in ((Action.ACKNOWLEDGED, ""), (Action.NOTED, "looked at its cable and power")):
                incident_book.append(db, Entry(uid=uid, at_ms=now_ms, by="desk", action=action, text=text))


PLANNED = (
    ("2026-09-10 09:00", ("ash", "ict1"), "2026-09-15 13:00", "2026-09-15 14:30", "new fans"),
    ("2026-09-24 12:00", ("oak", "ict"), "2026-09-24 12:15", "2026-09-24 13:00", "a new switch"),
)


def truth_of(fleet: Fleet) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds in each state, by device and local day."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    day, last = local(START_MS, LONDON).date(), date(2026, 9, 30)
    while day <= last:
        begin, end = midnight_ms(day, LONDON), midnight_ms(day + timedelta(days=1), LONDON)
        for address, device in fleet.devices.items():
            spent = device.truth.totals_ms(begin, end)
            found.setdefault(str(address), {})[day.isoformat()] = {
                power.value: length_ms / 1000 for power, length_ms in spent.items()
            }
        day += timedelta(days=1)
    return found
