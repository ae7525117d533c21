"""GET and POST /stay/{token}: the page behind a room's link (`caretaker stay-link`), for a phone, without any script.

Only a POST makes a hold: link previews, and phones that load a page again, ask with GET. The page needs nothing but the
link; who has it is not asked, nothing about them is kept, and the count of requests by address is in memory only, for a
minute. Behind a web server on this machine the address is the one that it passes on (X-Forwarded-For).
"""

import asyncio
import base64
import hashlib
import ipaddress
import sqlite3
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from caretaker_collector import state, stays
from caretaker_collector.stays import Kept
from caretaker_contract.errors import Unavailable
from caretaker_rules.calendar import local
from caretaker_rules.durations import parse_duration
from caretaker_rules.reasons import duration

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

log = structlog.get_logger()

POSTS_A_MINUTE: Final = 20
"""From one address; more people than that do not stand in one room with one question."""
MOST_ADDRESSES: Final = 10_000
"""Counted in one minute; beyond it new ones have to wait, so that memory is bounded."""
MOST_BODY: Final = 1024
"""Bytes: our form sends none, and what is sent is not read."""

# The desk's colours, by day and by night (desk/static/desk.css); here within the page, which loads nothing else.
_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:0 auto;padding:2rem 1.2rem;"
    "color:#17212c;background:#fff;overflow-wrap:anywhere}h1{font-size:1.5rem;line-height:1.3}"
    "button{font:inherit;font-weight:600;width:100%;padding:1rem;border:0;border-radius:.5rem;"
    "background:#0b5797;color:#fff}button:focus-visible{outline:3px solid;outline-offset:3px}p{color:#4d5b69}"
    "@media(prefers-color-scheme:dark){body{color:#e7ecf1;background:#0f151b}p{color:#a9b6c2}"
    "button{background:#86bff2;color:#0c1620}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address of the page is the key to the room
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}


class Limiter:
    """So many requests a minute from one address. Counts begin again each minute."""

    def __init__(self, most: int = POSTS_A_MINUTE) -> None:
        self._most = most
        self._since_s = 0.0
        self._counts: Counter[str] = Counter()

    def allows(self, address: str, now_s: float) -> bool:
        """Count one request. A network of IPv6 that one house has (/64) counts as one address."""
        if now_s - self._since_s >= 60:
            self._since_s = now_s
            self._counts.clear()
        try:
            parsed = ipaddress.ip_address(address)
            if parsed.version == 6:
                address = str(ipaddress.ip_network((int(parsed), 64), strict=False))
        except ValueError:
            pass  # no address, such as of a local socket: they all count as one
        if address not in self._counts and len(self._counts) >= MOST_ADDRESSES:
            return False
        self._counts[address] += 1
        return self._counts[address] <= self._most


class StayPages:
    """The two routes over a running collector."""

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector
        self._state = Path(collector.settings.data) / "state.db"
        self._stay_ms = parse_duration(collector.settings.http.stay_for) * 1000
        self._limiter = Limiter()

    def routes(self) -> list[Route]:
        """For the web application."""
        return [
            Route("/stay/{token:path}", self.ask, methods=["GET"]),
            Route("/stay/{token:path}", self.keep, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """The question. Changes nothing."""
        collector = self._collector
        place = self._place(request)
        if place is None:
            return _unknown()
        room, now_ms = self._title(*place), collector.clock.now_ms()
        until_ms = stays.standing_ms(collector.db, *place, now_ms)
        already = f"<p>It is kept on until {self._moment(place[0], until_ms)} already.</p>" if until_ms else ""
        return _page(
            f"Keep {room} on for {stay_words(self._stay_ms)}?",
            f'{already}<form method="post"><button>Keep it on</button></form>'
            "<p>Until then Caretaker leaves the computers of this room on. They can still be switched off by hand.</p>",
        )

    async def keep(self, request: Request) -> Response:
        """The answer: makes the hold, unless one was made a moment ago."""
        address = request.client.host if request.client else ""
        if not self._limiter.allows(address, asyncio.get_running_loop().time()):
            return _page("Too many requests", "<p>Please try again in a minute.</p>", 429, {"Retry-After": "60"})
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not length.isdigit() or int(length) > MOST_BODY:
            return _page("Too much was sent", "<p>Please use the button of the page.</p>", 413)
        if self._place(request) is None:
            return _unknown()
        try:
            kept = await asyncio.to_thread(self._write, request.path_params["token"])
        except (sqlite3.Error, Unavailable) as error:
            log.error("a request by link could not be written down", reason=str(error))
            return _page(
                "That did not work", "<p>The room is not kept on. Please try again, or call the service desk.</p>", 503
            )
        return _unknown() if kept is None else self._told(kept)

    def _write(self, token: str) -> Kept | None:
        # On a connection of its own: the core looks for what others have written, and acts on it at once.
        db = state.open_state(self._state)
        try:
            return stays.ask_by_link(db, token, self._stay_ms, self._collector.clock.now_ms())
        finally:
            db.close()

    def _told(self, kept: Kept) -> Response:
        room = self._title(kept.school, kept.room)
        if not kept.until_ms:
            return _page(
                f"{room} was just released",
                "<p>Somebody ended the request for this room a moment ago. Ask again in five minutes, "
                "or call the service desk.</p>",
                409,
            )
        until = self._moment(kept.school, kept.until_ms)
        if kept.new:
            return _page(f"{room} stays on until {until}", "<p>Thank you. You can close this page.</p>")
        return _page(f"{room} is already kept on until {until}", "<p>You can ask again later.</p>")

    def _place(self, request: Request) -> tuple[str, str] | None:
        place = stays.place_of(self._collector.db, request.path_params["token"])
        return place if place is not None and place[0] in self._collector.estate.schools else None

    def _title(self, school: str, room: str) -> str:
        rooms = self._collector.estate.schools[school].rooms
        return next((known.title for known in rooms if known.name == room and known.title), room)

    def _moment(self, school: str, at_ms: int) -> str:
        return f"{local(at_ms, ZoneInfo(self._collector.estate.schools[school].time_zone)):%H:%M}"


def stay_words(stay_ms: int) -> str:
    """For how long a link keeps its room on: "an hour", "40 min"."""
    return "an hour" if stay_ms == 3_600_000 else duration(stay_ms / 1000)


def _unknown() -> Response:
    return _page("This link does not work", "<p>Please ask your ICT staff for a new one.</p>", 404)


def _page(heading: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`heading` is text and escaped here; `body` is ours."""
    title = escape(heading)
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
    # One request a connection: what else somebody sends on it is not waited for.
    return HTMLResponse(html, status, {**HEADERS, "Connection": "close", **(headers or {})})
