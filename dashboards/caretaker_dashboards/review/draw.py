"""A pack into its files: HTML, PDF and spreadsheet, the same bytes for the same pack.

`draw` does one pack in this process. `Press` does many, in worker processes that are started once, so that drawing
libraries are loaded once, memory is given back, and a page that goes wrong takes nothing else with it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from caretaker_dashboards.review.pack import Pack

Kind = Literal["html", "pdf", "xlsx"]
KINDS: tuple[Kind, ...] = ("html", "pdf", "xlsx")

WORKER_MEMORY_BYTES = 2 * 1024**3
"""Address space that a worker may have: a pack needs about a fifth, and a runaway page must not take the machine."""

PACKS_A_WORKER = 50
"""After so many packs a worker is replaced: what drawing libraries keep is given back."""


def stem(pack: Pack) -> str:
    """The name of a pack's files without their ending: "ash-2026-09", "network-green-2026-09-01--2026-12-18"."""
    name = f"{pack.place}-{pack.period.replace('..', '--')}"
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in name)[
        :120
    ]


def draw(pack: Pack, folder: Path, kinds: Iterable[Kind] = KINDS, name: str = "") -> dict[Kind, Path]:
    """Writes the pack's files into `folder`, which it makes, and says where each is.

    `name`: their name without ending, instead of `stem`. A file that is there is replaced in one go.
    Raises KeyError (ValueError) when the pack refers to what it does not hold, and OSError when nothing can be written.
    """
    from caretaker_dashboards.review.page import render
    from caretaker_dashboards.review.pdf import pdf_bytes
    from caretaker_dashboards.review.sheet import xlsx_bytes

    wanted = list(kinds)
    folder.mkdir(parents=True, exist_ok=True)
    html = render(pack) if {"html", "pdf"} & set(wanted) else ""
    written: dict[Kind, Path] = {}
    for kind in wanted:
        data = html.encode() if kind == "html" else pdf_bytes(html) if kind == "pdf" else xlsx_bytes(pack)
        path = folder / f"{name or stem(pack)}.{kind}"
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
        written[kind] = path
    return written


def _bound(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


class Press(AbstractContextManager["Press"]):
    """Worker processes that draw packs. Leave it as a context: its workers end then."""

    def __init__(self, workers: int = 1, memory_bytes: int = WORKER_MEMORY_BYTES) -> None:
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),  # the caller may have threads
            initializer=_bound,
            initargs=(memory_bytes,),
            max_tasks_per_child=PACKS_A_WORKER,
        )

    def submit(
        self, pack: Pack, folder: Path, kinds: Iterable[Kind] = KINDS, name: str = ""
    ) -> Future[dict[Kind, Path]]:
        """`draw` in a worker; the future raises what it raised."""
        return self._pool.submit(draw, pack, folder, tuple(kinds), name)

    def draw_all(self, packs: Iterable[Pack], folder: Path) -> Iterator[dict[Kind, Path]]:
        """Draws each pack into one folder, and gives their files in the order of the packs."""
        waiting = [self.submit(pack, folder) for pack in packs]
        for one in waiting:
            yield one.result()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
