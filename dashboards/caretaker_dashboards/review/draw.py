"""A pack into its files: HTML, PDF and spreadsheet, the same bytes for the same pack.

It draws in the process that it is called in, and drawing libraries are loaded by the first pack. Whoever draws many
does it in worker processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from caretaker_dashboards.review.pack import Pack

Kind = Literal["html", "pdf", "xlsx"]
KINDS: tuple[Kind, ...] = ("html", "pdf", "xlsx")


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
