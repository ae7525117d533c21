"""A pack into its files: HTML, PDF and spreadsheet, the same bytes for the same pack.

`draw` does one pack in this process. `Press` does many, in worker processes that are started once, so that drawing
libraries are loaded once, memory is given back, and a page that goes wrong takes nothing else with it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from caretaker_contract.errors import Unavailable
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
    from caretaker_dashboards.review.page import both
    from caretaker_dashboards.review.pdf import pdf_bytes
    from caretaker_dashboards.review.sheet import xlsx_bytes

    wanted = list(kinds)
    folder.mkdir(parents=True, exist_ok=True)
    screen, paper = both(pack) if {"html", "pdf"} & set(wanted) else ("", "")
    written: dict[Kind, Path] = {}
    for kind in wanted:
        data = screen.encode() if kind == "html" else pdf_bytes(paper) if kind == "pdf" else xlsx_bytes(pack)
        path = folder / f"{name or stem(pack)}.{kind}"
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
        written[kind] = path
    return written


def _bound(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of one pack of many: its files, or why there are none."""

    pack: Pack
    files: dict[Kind, Path]
    error: Exception | None = None


class Press(AbstractContextManager["Press"]):
    """Worker processes that draw packs. Leave it as a context: its workers end then."""

    def __init__(self, workers: int = 1, memory_bytes: int = WORKER_MEMORY_BYTES) -> None:
        self._workers, self._memory_bytes = workers, memory_bytes
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=get_context("spawn"),  # the caller may have threads
            initializer=_bound,
            initargs=(self._memory_bytes,),
            max_tasks_per_child=PACKS_A_WORKER,
        )

    def submit(
        self, pack: Pack, folder: Path, kinds: Iterable[Kind] = KINDS, name: str = ""
    ) -> Future[dict[Kind, Path]]:
        """`draw` in a worker; the future raises what it raised, or BrokenProcessPool if a worker died meanwhile."""
        try:
            return self._pool.submit(draw, pack, folder, tuple(kinds), name)
        except BrokenExecutor:  # a worker died while nobody waited for it
            self._pool = self._new_pool()
            return self._pool.submit(draw, pack, folder, tuple(kinds), name)

    def draw_all(self, packs: Iterable[Pack], folder: Path, kinds: Iterable[Kind] = KINDS) -> Iterator[Drawn]:
        """Draws each pack into one folder, in the order of the packs; one that goes wrong takes no other with it."""
        wanted, listed = tuple(kinds), list(packs)
        waiting = [self.submit(pack, folder, wanted) for pack in listed]
        for pack, one in zip(listed, waiting, strict=True):
            try:
                yield Drawn(pack, one.result())
            except BrokenExecutor:  # a worker died, of this pack or of another one: which, is seen when it is alone
                yield self._alone(pack, folder, wanted)
            except Exception as error:
                yield Drawn(pack, {}, error)

    def _alone(self, pack: Pack, folder: Path, kinds: tuple[Kind, ...]) -> Drawn:
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._new_pool()
        try:
            return Drawn(pack, self.submit(pack, folder, kinds).result())
        except BrokenExecutor:
            error = Unavailable(f"{stem(pack)}: its worker ended, most likely for want of memory")
            return Drawn(pack, {}, error)
        except Exception as error:
            return Drawn(pack, {}, error)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
