"""Fills in a past: the simulated schools play some weeks at full speed, and a store keeps what they say.

Every message goes through `decode` and `points_of` into the SQLite store, as it would have at the time, with what the
collector would have concluded from silence; the journal is left out, because a trial reads the store. Machines do not
know of each other, so shares of the fleet are played by several processes side by side; the same seed gives the same
past, however many there are.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from multiprocessing import get_context
from pathlib import Path
from queue import Queue

import msgspec
from msgspec import Struct

from caretaker_collector import state
from caretaker_collector.past import days as past_days
from caretaker_collector.past import incidents as past_incidents
from caretaker_collector.past import story as demo_story
from caretaker_collector.past.incidents import BUSY_S
from caretaker_collector.past.presence import Watched
from caretaker_collector.points import points_of, tags, transition_fields
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.messages import decode
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address, parse
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import Estate, Transition
from caretaker_rules.presence import PresenceSettings
from caretaker_simulator.estate import read_estate
from caretaker_simulator.fleet import Fleet, has_agent

FOLDER, STORE, STATE, NOTE = "history", "store.db", "state.db", "history.json"
BATCH = 20_000
DAY_MS = 86_400_000
MOST_PROCESSES = 4
KEPT_MESSAGES = 1
"""Nobody asks these machines for a replay, so they need not keep what they have said."""


class History(Struct, frozen=True, kw_only=True):
    """What a past was made of: one that was made of the same need not be made again."""

    start_ms: int
    end_ms: int
    seed: int
    schools: list[str]
    devices: int
    version: int = 6  # of what is filled in: an older past is made anew
    messages: int = 0
    incidents: int = 0


def backfill(
    estate_folder: Path,
    out: Path,
    start_ms: int,
    end_ms: int,
    seed: int,
    schools: list[str],
    processes: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> History:
    """Fill `out`/store.db with what the fleet of `estate_folder` says in [start_ms, end_ms); kept when it is there.

    `progress` is told how much is done, 0-1. Unavailable when the store cannot be written.
    """
    estate = read_estate(estate_folder)
    count = sum(device.school in schools and has_agent(device, estate) for device in estate.devices.values())
    wanted = History(start_ms=start_ms, end_ms=end_ms, seed=seed, schools=sorted(schools), devices=count)
    if (known := existing(out)) is not None and msgspec.structs.replace(known, messages=0, incidents=0) == wanted:
        return known
    out.mkdir(parents=True, exist_ok=True)
    for name in (NOTE, *(f"{file}{end}" for file in (STORE, STATE) for end in ("", "-wal", "-shm"))):
        (out / name).unlink(missing_ok=True)
    db = state.open_state(out / STATE)
    db.execute("INSERT INTO sight VALUES (?, ?)", (start_ms, end_ms))
    db.close()
    shares = max(1, min(processes or os.cpu_count() or 1, MOST_PROCESSES, count))
    days = max(1, -(-(end_ms - start_ms) // DAY_MS))
    due = past_days.school_days(estate, sorted(schools), start_ms, end_ms)
    steps = days * shares + len(due)
    context = get_context("spawn")
    told = context.Manager().Queue()
    faults = demo_story.faults(start_ms, end_ms)
    with ProcessPoolExecutor(shares + 1, mp_context=context) as pool:
        found = pool.submit(
            past_incidents.find,
            estate_folder,
            out / STORE,
            out / STATE,
            start_ms,
            end_ms,
            seed,
            sorted(schools),
            faults,
        )
        jobs = [
            pool.submit(_play, estate_folder, out, start_ms, end_ms, seed, schools, (share, shares), told)
            for share in range(shares)
        ]
        done = 0
        while wait(jobs, timeout=0.2).not_done:
            while not told.empty():
                done += told.get()
                if progress is not None:
                    progress(done / steps)
        messages = sum(job.result() for job in jobs)
        files = (estate_folder / "estate.toml", out / STORE, out / STATE)
        parts = [due[share :: shares * 4] for share in range(shares * 4)]
        for part in as_completed([pool.submit(past_days.compute, *files, part, end_ms) for part in parts]):
            done += part.result()
            if progress is not None:
                progress(min(1.0, done / steps))
        incidents = found.result()
        pool.submit(past_days.reckon, *files, end_ms).result()
    history = msgspec.structs.replace(wanted, messages=messages, incidents=incidents)
    (out / NOTE).write_bytes(msgspec.json.encode(history))
    return history


def fill(folder: Path, schools: list[str], end_ms: int, length_ms: int, seed: int) -> None:
    """Fill `folder`/history with the past of the estate in `folder` up to `end_ms`, from a midnight on.

    Talks on standard error.
    """
    start_ms = midnight_ms(local(end_ms - length_ms, demo_story.ZONE).date(), demo_story.ZONE)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("filling in the past", total=1.0)
        made = backfill(
            folder,
            folder / FOLDER,
            start_ms,
            end_ms,
            seed,
            schools,
            progress=lambda ratio: bar.update(task, completed=ratio),
        )
    sys.stderr.write(
        f"history  {length_ms / DAY_MS:.0f} days of {made.devices} machines, {made.messages:,} messages, "
        f"{made.incidents} incidents: try a policy on them with `caretaker policy backtest`\n"
    )


def seed(out: Path, data: Path) -> None:
    """Let a collector that begins in `data` go on from the past in `out`: figures and records, no machine's state."""
    data.mkdir(parents=True, exist_ok=True)
    for name in (STORE, STATE):
        with sqlite3.connect(out / name) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        shutil.copyfile(out / name, data / name)


def existing(out: Path) -> History | None:
    """The past that `out` holds whole; None when there is none."""
    try:
        return msgspec.json.decode((out / NOTE).read_bytes(), type=History) if (out / STORE).is_file() else None
    except (OSError, msgspec.MsgspecError):
        return None


def _play(
    estate_folder: Path,
    out: Path,
    start_ms: int,
    end_ms: int,
    seed: int,
    schools: list[str],
    share: tuple[int, int],
    told: "Queue[int]",
) -> int:
    """Play every n-th machine (`share`: which, of how many), a process of its own; returns how many messages."""
    return asyncio.run(_store(read_estate(estate_folder), out, start_ms, end_ms, seed, schools, share, told))


async def _store(
    estate: Estate,
    out: Path,
    start_ms: int,
    end_ms: int,
    seed: int,
    schools: list[str],
    share: tuple[int, int],
    told: "Queue[int]",
) -> int:
    number, shares = share
    devices = dict(list(estate.devices.items())[number::shares])
    some = msgspec.structs.replace(estate, devices=devices)
    fleet = Fleet(some, seed=seed, schools=schools, keep=KEPT_MESSAGES, faults=demo_story.faults(start_ms, end_ms))
    watched = {address: Watched(PresenceSettings()) for address in devices}
    store, ends = SqliteStore(out / STORE, busy_s=BUSY_S), past_days.Ends(estate)
    count, points, next_day_ms = 0, list[Point](), start_ms + DAY_MS
    try:
        for at_ms, topic, payload in fleet.play(start_ms, end_ms):
            address, kind = parse(topic)
            message = decode(kind, payload)
            points += points_of(message, address, at_ms, estate)
            points += inferred(watched[address].hear(message, at_ms), address, estate)
            count += 1
            if len(points) >= BATCH:
                ends.note(points)
                await store.write(points)
                points = []
            if at_ms >= next_day_ms:
                told.put(1)
                next_day_ms += DAY_MS
        for address, machine in watched.items():
            points += inferred(machine.until(end_ms), address, estate)
        ends.note(points)
        await store.write(points)
    finally:
        await store.close()
    db = state.open_state(out / STATE, busy_s=BUSY_S)
    ends.keep(db)
    db.close()
    return count


def inferred(changes: Iterable[Transition], address: Address, estate: Estate) -> list[Point]:
    """What the collector concluded of a machine, as its core would have written it."""
    labels = tags(estate, address)
    return [
        Point("transition", change.at_ms * 1_000_000, labels, dict(transition_fields(change))) for change in changes
    ]
