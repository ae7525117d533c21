"""A desk of three small pages behind the real guard, with real accounts in a real state file, asked without a network.

Passwords are hashed with the least work that argon2 allows. A `Browser` keeps its cookies as a browser does and sends
what a browser sends; `Door.ask` sends anything.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from caretaker_collector import audit, state
from caretaker_collector.accounts import book
from caretaker_collector.accounts.passwords import Passwords
from caretaker_collector.accounts.port import DeskAccounts
from caretaker_collector.files.kinds import DeskSettings
from caretaker_dashboards.desk.guard import Guarded
from caretaker_dashboards.desk.guard_settings import GuardSettings, Rates
from caretaker_dashboards.desk.peers import Peers
from caretaker_dashboards.desk.shell import Shell
from caretaker_dashboards.desk.signin import SignInPages
from caretaker_rules.roles import Role, operator
from worlds import NOW_MS

HOST = "127.0.0.1:8600"
PASSWORD, OTHER = "kettle marble violin", "ladder oyster thimble"
ENGINEER, DIRECTOR, MANAGER, GLASS = "Service desk", "Dora Ash", "Head office", "Glass"
ROOT = operator("test")
OPEN_HANDED = Rates((10_000, 1000), (10_000, 1000), (10_000, 1000))


class CountingHasher(PasswordHasher):
    """As little work as there can be, and how often it was done."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.checks = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        """Count, then check."""
        self.checks += 1
        return super().verify(hash, password)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str:
        """One header; "" when it is not there."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    def cookies(self) -> list[str]:
        """All Set-Cookie headers."""
        return [value for key, value in self.headers if key == "set-cookie"]


@dataclass
class Door:
    """The desk; `seconds` is its time."""

    accounts: DeskAccounts
    app: ASGIApp
    db: sqlite3.Connection
    path: Path
    hasher: CountingHasher
    settings: GuardSettings
    seconds: float = 1_000_000.0
    seen: list[dict[str, Any]] = field(default_factory=list)  # what reached a page

    def audit(self) -> list[tuple[str, str, str]]:
        """Who, what, outcome: the oldest first."""
        return [(line.who, line.what, line.outcome) for line in reversed(audit.listed(self.db))]

    async def ask(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (("host", HOST),),
        body: bytes | AsyncIterator[bytes] = b"",
        peer: str | None = "192.0.2.10",
    ) -> Answer:
        """One request, exactly as said."""
        return await ask(self.app, method, path, headers, body, peer)


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes | AsyncIterator[bytes] = b"",
    peer: str | None = "192.0.2.10",
) -> Answer:
    """One request to an application."""
    plain, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (peer, 50_000) if peer is not None else None,
        "server": ("127.0.0.1", 8600),
    }
    parts = _parts(body)
    sent: list[Message] = []

    async def receive() -> Message:
        try:
            part = await anext(parts)
        except StopAsyncIteration:
            await asyncio.Event().wait()  # who asked waits for the answer
            raise
        return {"type": "http.request", "body": part[0], "more_body": part[1]}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    raw = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    pairs = [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], pairs, raw.decode())


async def _parts(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    if isinstance(body, bytes):
        yield body, False
        return
    async for part in body:
        yield part, True
    yield b"", False


class Browser:
    """Cookies, the token of the page that it saw last, and the headers of a browser."""

    def __init__(self, door: Door, peer: str = "192.0.2.10", host: str = HOST, origin: str = "") -> None:
        self.door, self.peer, self.host = door, peer, host
        self.origin = origin or f"http://{host}"
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self.extra: list[tuple[str, str]] = []  # headers that a web server in front adds

    async def get(self, path: str, *more: tuple[str, str]) -> Answer:
        """Follow a link."""
        return self._keep(await self.door.ask("GET", path, [*self._headers(), *more], peer=self.peer))

    async def post(self, path: str, csrf: str | None = None, **fields: str) -> Answer:
        """Send a form of our own; `csrf` another token than the page's."""
        body = urlencode({**fields, "csrf": self.csrf if csrf is None else csrf}).encode()
        headers = [
            *self._headers(),
            ("origin", self.origin),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(len(body))),
        ]
        return self._keep(await self.door.ask("POST", path, headers, body, peer=self.peer))

    async def sign_in(self, name: str = ENGINEER, password: str = PASSWORD, path: str = "/") -> Answer:
        """Open the page and fill it in."""
        await self.get("/sign-in")
        answer = await self.post("/sign-in", name=name, password=password, next=path)
        if answer.status == 303:
            await self.get("/account")
        return answer

    def _headers(self) -> list[tuple[str, str]]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [("host", self.host), ("accept", "text/html"), *self.extra, *([("cookie", cookie)] if cookie else [])]

    def _keep(self, answer: Answer) -> Answer:
        for text in answer.cookies():
            name, _, rest = text.partition("=")
            value = rest.partition(";")[0]
            if value and "Max-Age=0" not in rest:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        if found := re.search(r'name="csrf" value="([^"]+)"', answer.body):
            self.csrf = found[1]
        return answer


def open_door(
    folder: Path,
    desk: DeskSettings | None = None,
    guard: GuardSettings | None = None,
    people: bool = True,
    rates: Rates = OPEN_HANDED,
    body_within_s: float = 10.0,
) -> Door:
    """A desk with four accounts, all with PASSWORD."""
    path = folder / "state.db"
    db = state.open_state(path)
    hasher = CountingHasher()
    desk = desk or DeskSettings()
    guard = guard or GuardSettings(
        address=f"http://{HOST}",
        header=desk.header,
        proxies=frozenset(desk.proxies),
        open_schools=frozenset(desk.public_school_pages),
    )
    if people:
        hashed = Passwords(hasher).hash(PASSWORD)
        book.new(db, ROOT, ENGINEER, Role.ENGINEER, (), hashed, NOW_MS)
        book.new(db, ROOT, DIRECTOR, Role.DIRECTOR, ("ash",), hashed, NOW_MS)
        book.new(db, ROOT, MANAGER, Role.MANAGER, (), hashed, NOW_MS)
        book.new(db, ROOT, GLASS, Role.MANAGER, (), hashed, NOW_MS, break_glass=True)
    seen: list[dict[str, Any]] = []
    made: list[Door] = []

    def now_s() -> float:
        return made[0].seconds if made else Door.seconds

    accounts = DeskAccounts(
        path,
        desk,
        lambda: NOW_MS,
        real_ms=lambda: int(now_s() * 1000),
        now_s=now_s,
        passwords=Passwords(hasher),
    )
    shell = Shell()
    signin = SignInPages(accounts, guard, shell.extended)
    inner = Starlette(routes=[*signin.routes(), *shell.assets.routes(), *_pages(seen)])
    guarded = Guarded(inner, accounts, guard, rates, now_s, body_within_s, draw=shell.extended)
    door = Door(accounts, Peers(guarded, guard.proxies), db, path, hasher, guard, seen=seen)
    made.append(door)
    return door


def _pages(seen: list[dict[str, Any]]) -> list[Route]:
    async def page(request: Request) -> Response:
        viewer = request.state.viewer
        fields = dict(await request.form()) if request.method == "POST" else {}
        seen.append({"path": request.url.path, "viewer": viewer, "fields": fields, "headers": dict(request.headers)})
        return HTMLResponse(f"<p>{viewer.title if viewer else 'nobody'}</p>")

    async def stream(request: Request) -> Response:
        async def marks() -> AsyncIterator[str]:
            for number in range(5):
                yield f"data: {number}\n\n"
                await request.app.state.between(number)

        return StreamingResponse(marks(), media_type="text/event-stream")

    return [
        Route("/", page, methods=["GET", "POST"]),
        Route("/incidents/{number:int}", page, methods=["GET", "POST", "DELETE"]),
        Route("/s/{school}", page),
        Route("/static/{name}", page),
        Route("/events", stream),
    ]
