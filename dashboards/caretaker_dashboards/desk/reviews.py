"""Kept reviews: /reviews, /reviews/{place}, and their files at /reviews/{place}/{period}/{revision}/{file}.

A file is made by us out of what people wrote. Shown as a page, it may run nothing, fetch nothing, and is of no origin.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from caretaker_dashboards.desk.faults import fault, safely
from caretaker_dashboards.desk.guard_settings import SANDBOX
from caretaker_dashboards.desk.shell import PRIVATE, Main, Shell, viewer_of
from caretaker_rules.roles import Who

CSP_OF_A_PACK: Final = (
    f"{SANDBOX}style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
TITLES: Final = {"html": "Page", "pdf": "PDF", "xlsx": "Spreadsheet"}


class PackFile(Struct, frozen=True):
    """A file of a pack, as a reader sees it."""

    name: str
    title: str  # PDF
    size_kb: int


class PackLine(Struct, frozen=True, kw_only=True):
    """One revision of a pack."""

    place: str  # ash, network:green, all
    place_title: str
    period: str
    period_title: str
    revision: int
    newest: bool
    made_ms: int
    reason: str
    files: list[PackFile]  # none: they are gone
    sent: list[tuple[str, int]]  # role, when


class ReviewList(Struct, frozen=True, kw_only=True):
    """Kept packs, the latest period first. `place` "": of all places that this person may see."""

    now_ms: int
    zone: str
    place: str
    place_title: str
    lines: list[PackLine]
    coming: str  # when the next ones are made, in a sentence


class Reviews(Protocol):
    """Where the pages come from. NotThere for what is not there, or not for this person."""

    async def reviews(self, who: Who, place: str = "") -> ReviewList:
        """Every revision of every pack, of one place where it is given."""
        ...

    async def review_file(self, who: Who, place: str, period: str, revision: int, name: str) -> Path:
        """A file of a kept pack."""
        ...


def routes(found: Reviews, shell: Shell) -> Sequence[Route]:
    """The three addresses, for whoever has signed in."""
    pages = _Pages(found, shell)
    return [
        Route("/reviews", safely(shell, pages.listed), methods=["GET"]),
        Route("/reviews/{place}", safely(shell, pages.listed), methods=["GET"]),
        Route("/reviews/{place}/{period}/{revision:int}/{file}", safely(shell, pages.file), methods=["GET"]),
    ]


class _Pages:
    def __init__(self, found: Reviews, shell: Shell) -> None:
        self._found, self._shell = found, shell

    async def listed(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        view = await self._found.reviews(viewer.who, str(request.path_params.get("place", "")))
        title = f"Reviews: {view.place_title}" if view.place else "Reviews"
        return self._shell.page(request, Main("reviews.html", title, view=view))

    async def file(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        part = request.path_params
        path = await self._found.review_file(
            viewer.who, str(part["place"]), str(part["period"]), int(part["revision"]), str(part["file"])
        )
        kind = path.suffix[1:]
        headers = {**PRIVATE, "Content-Security-Policy": CSP_OF_A_PACK}
        return FileResponse(
            path,
            media_type=TYPES[kind],
            filename=path.name,
            headers=headers,
            content_disposition_type="inline" if kind == "html" else "attachment",
        )
