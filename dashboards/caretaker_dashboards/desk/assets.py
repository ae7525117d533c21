"""What the pages load: style, scripts, icon. Served from memory, with a hash of the content in the address.

An address never changes its content, so browsers keep it for a year; a new version has new addresses. `states.css` is
made from states.py, so that the eight colours are written down once.
"""

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from caretaker_dashboards.states import LOOKS

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ALWAYS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
PUBLIC: Final = ("/static/", "/icon.svg", "/manifest.webmanifest")
"""Paths that need no sign-in: nothing of a school is in them."""


def states_css() -> str:
    """The eight states as CSS: a colour, the ink that is readable on it, and how they fill a strip and a chip."""
    names = "".join(f"--{look.state.value}:{look.colour};--{look.state.value}-ink:{look.ink};" for look in LOOKS)
    fills = "".join(
        f".f-{look.state.value}{{fill:var(--{look.state.value})}}"
        f".tile.is-{look.state.value}{{border-left-color:var(--{look.state.value})}}"
        f".c-{look.state.value}{{background:var(--{look.state.value});color:var(--{look.state.value}-ink)}}"
        for look in LOOKS
    )
    return f":root{{{names}}}\n{fills}\n"


def _read() -> dict[str, bytes]:
    found = {
        file.relative_to(_FOLDER).as_posix(): file.read_bytes()
        for file in sorted(_FOLDER.rglob("*"))
        if file.suffix in _TYPES
    }
    found["states.css"] = states_css().encode()
    return found


class Assets:
    """All files of `static/`, by name."""

    def __init__(self) -> None:
        self._files = _read()
        self._hashes = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in self._files.items()}

    def address(self, name: str) -> str:
        """Where a file is served; KeyError when there is none of that name."""
        return f"/static/{self._hashes[name]}/{name}"

    def routes(self) -> list[Route]:
        """Files, the icon and the manifest."""
        return [
            Route("/static/{hash}/{name:path}", self._serve),
            Route("/icon.svg", self._icon),
            Route("/manifest.webmanifest", self._manifest),
        ]

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        if self._hashes.get(name) != request.path_params["hash"]:
            return PlainTextResponse("There is no such file; load the page again.", status_code=404)
        return Response(self._files[name], media_type=_TYPES[Path(name).suffix], headers=_ALWAYS)

    async def _icon(self, _: Request) -> Response:
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return Response(self._files["icon.svg"], media_type=_TYPES[".svg"], headers=headers)

    async def _manifest(self, _: Request) -> Response:
        body = (
            '{"name": "Caretaker desk", "short_name": "Caretaker", "start_url": "/", "scope": "/", '
            '"display": "standalone", "background_color": "#f5f6f8", "theme_color": "#12324f", '
            '"icons": [{"src": "/icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}]}'
        )
        return Response(
            body, media_type="application/manifest+json", headers={"Cache-Control": "public, max-age=86400"}
        )
