"""Takes a past that was filled in (backfill.py) over into another store, such as the InfluxDB that boards read."""

import asyncio
import sys
from pathlib import Path

from caretaker_collector.past.backfill import DAY_MS, STORE, existing
from caretaker_collector.stores import open_store
from caretaker_collector.stores.settings import StoreSettings
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import MEASUREMENTS
from caretaker_rules.ports import Store

AHEAD_MS = 2 * DAY_MS
"""Points of the last day may stand after the end of the past, where a clock was wrong."""


async def copy(past: Path, target: Store) -> int:
    """Every point of the past in the folder `past`; returns how many. Written twice it changes nothing.

    Unavailable when there is no whole past, or when one of the stores does not answer.
    """
    history = existing(past)
    if history is None:
        raise Unavailable(f"{past}: holds no past")
    source = SqliteStore(past / STORE)
    count = 0
    try:
        for measurement in MEASUREMENTS:
            # A day at a time bounds the memory; a month's first midnight may lie before the past.
            at_ms = history.start_ms - 31 * DAY_MS
            while at_ms < history.end_ms + AHEAD_MS:
                points = await source.read(measurement, at_ms, at_ms + DAY_MS)
                refused = await target.write(points)
                if refused:
                    raise Unavailable(f"the store refuses points of the past: {refused[0][1]}")
                count += len(points)
                at_ms += DAY_MS
    finally:
        await source.close()
    return count


def hand_over(past: Path, settings: StoreSettings, folder: Path) -> None:
    """Copy into the store that these settings name, and say so on standard error."""

    async def run() -> int:
        target = open_store(settings, folder)
        try:
            return await copy(past, target)
        finally:
            await target.close()

    sys.stderr.write("history  goes to the store ...\n")
    count = asyncio.run(run())
    sys.stderr.write(f"history  {count:,} points are in the store\n")
