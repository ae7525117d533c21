"""Last month's reviews in the demo: the collector makes them by itself; here they are put where people find them."""

import asyncio
import shutil
import sys
from typing import TYPE_CHECKING

from caretaker_collector.review import keep, shelf

if TYPE_CHECKING:
    from caretaker_collector.demo import Demo

FOLDER = "review"
LOOK_S = 1.0
NEEDS_A_PAST = "needs a past: caretaker demo --history 35d (a minute or two, once)"


async def show(demo: "Demo") -> None:
    """Copy each pack that is kept to `out`/review, and say so; until cancelled."""
    told: set[tuple[str, str, int]] = set()
    while True:
        for kept in shelf.newest(demo.collector.db):
            key = (kept.place, kept.period, kept.revision)
            if key in told:
                continue
            told.add(key)
            names = [name for name in kept.files if name != keep.PACK]
            await asyncio.to_thread(_copy, demo, kept.folder, names)
            for name in names:
                if name.endswith(".pdf"):
                    demo.reviews.append(f"{demo.out.name}/{FOLDER}/{name}")
                    sys.stderr.write(f"review  {demo.reviews[-1]}\n")
        await asyncio.sleep(LOOK_S)


def _copy(demo: "Demo", folder: str, names: list[str]) -> None:
    (demo.out / FOLDER).mkdir(exist_ok=True)
    for name in names:
        shutil.copyfile(demo.out / "data" / folder / name, demo.out / FOLDER / name)


def state(demo: "Demo") -> str:
    """Where they are, or what is missing."""
    if demo.reviews:
        return "   ".join(demo.reviews)
    if demo.reviews_come:
        return demo.collector.reviews.problem or f"being made, for {demo.out.name}/{FOLDER}/"
    return NEEDS_A_PAST
