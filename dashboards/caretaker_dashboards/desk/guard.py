"""The guard in front of every page of the desk: nothing behind it is asked before it has let the request in.

How it is put together (collector/caretaker_collector/http.py):

    guard = guard_of(collector.settings)                           # a GuardSettings; collector's files/desk_table.py
    signin = SignInPages(accounts, guard, shell.extended)          # signin.py
    desk = Starlette(routes=[*signin.routes(), *pages])            # request.state.viewer: a ports.Viewer
    app = Starlette(routes=[..., Mount("/", Guarded(desk, accounts, guard, draw=shell.extended))])
    uvicorn.Config(Peers(app, guard.proxies), proxy_headers=False)  # peers.py: who is really at the other end

Behind it every page finds `request.state.viewer` (None on the few addresses that are open to all), `request.state.csrf`
(into each form as the field `csrf`, or into the header X-CSRF-Token), and `request.state.cookie`. What a page asks for
by itself carries the header X-Caretaker-Live, or is an event stream: it keeps no session from going stale, so a page
that stays open on an empty chair ends like any other. An event stream ends with its session.
"""

import asyncio
from collections.abc import Callable, Mapping
from html import escape
from time import monotonic
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk.asked import for_a_page, live, name_of, sign_in_path, whole_path
from caretaker_dashboards.desk.cookies import Cookies, new_secret, same, token_of_form
from caretaker_dashboards.desk.guard_settings import HEADERS, HSTS, LOOPBACK_NAMES, SANDBOX, GuardSettings, Rates
from caretaker_dashboards.desk.peers import PEER
from caretaker_dashboards.desk.ports import Accounts, Refusal, Viewer
from caretaker_dashboards.desk.rates import Buckets, network_of

LARGEST_BODY: Final = 65_536
BODY_WITHIN_S: Final = 10.0
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class _Refused(Exception):
    def __init__(self, status: int, title: str, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text
        self.headers = headers or {}


class _Elsewhere(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Draws(Protocol):
    """Makes a page of a template that extends base.html (`Shell.extended`)."""

    def __call__(
        self,
        request: Request,
        template: str,
        title: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """The page."""
        ...


USUAL: Final = Rates()


class Guarded:
    """ASGI middleware; see the top of this file. `now_s`: a clock that only grows."""

    def __init__(
        self,
        app: ASGIApp,
        accounts: Accounts,
        settings: GuardSettings,
        rates: Rates = USUAL,
        now_s: Callable[[], float] = monotonic,
        body_within_s: float = BODY_WITHIN_S,
        draw: Draws | None = None,
    ) -> None:
        self._app, self._accounts, self._settings = app, accounts, settings
        self._cookies = Cookies(settings.https)
        self._hosts = LOOPBACK_NAMES | settings.hosts
        self._reads, self._changes = Buckets(*rates.reads), Buckets(*rates.changes)
        self._strangers = Buckets(*rates.strangers)
        self._now_s, self._body_within_s, self._draw = now_s, body_within_s, draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, or let it in."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, kept = Headers(scope=scope), list[str]()
        send = self._with_headers(scope, send, kept)
        try:
            inner, receive = await self._admit(scope, headers, receive, kept)
        except _Refused as refused:
            await self._page(refused, scope, headers)(scope, receive, send)
        except Unavailable:
            away = _Refused(503, "The desk cannot look you up just now", "Nothing was done. Please try again.")
            await self._page(away, scope, headers)(scope, receive, send)
        except _Elsewhere as elsewhere:
            await RedirectResponse(elsewhere.path, 303)(scope, receive, send)
        else:
            await self._let_in(inner, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Behind the guard. A stream of events goes on only as long as its session."""
        cookie = scope["state"]["cookie"]
        streaming = over = False

        async def sending(message: Message) -> None:
            nonlocal streaming, over
            if message["type"] == "http.response.start":
                kind = Headers(raw=message.get("headers", [])).get("content-type", "")
                streaming = bool(cookie) and kind.startswith("text/event-stream")
            elif streaming and not over and self._accounts.viewer(cookie, used=False) is None:
                over = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            if over:
                raise OSError("the session is over")  # what a page meets when its reader has gone
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            if not over:
                raise

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive, kept: list[str]) -> tuple[Scope, Receive]:
        """The request with its viewer, and its body. Cookies for the answer go into `kept`."""
        self._check_host(headers)
        if self._settings.free(scope["path"]) and scope["method"] in SAFE_METHODS:
            return _with_state(scope, None, "", ""), receive
        address = scope["client"][0] if scope.get("client") else ""
        session, form = self._cookies.read(headers.getlist("cookie"))
        viewer = self._viewer(session, live(headers))
        changes = scope["method"] not in SAFE_METHODS
        self._count(viewer, address, changes)
        if self._settings.header:
            scope, viewer, session = await self._by_header(scope, headers, viewer, session, address, kept)
        if viewer is None and not self._settings.open_to_all(scope["path"]):
            raise self._sign_in_first(scope, headers)
        if viewer is not None:
            csrf = viewer.csrf
        else:
            if not form:
                form = new_secret()
                kept.append(self._cookies.form(form))
            csrf = token_of_form(form)
        if changes:
            self._check_origin(headers)
            receive = await self._checked_body(headers, receive, csrf)
        if viewer is not None and viewer.must_change and not self._may_wait(scope["path"]):
            raise _Elsewhere("/account")
        return _with_state(scope, viewer, csrf, session if viewer else ""), receive

    def _viewer(self, session: str, live: bool) -> Viewer | None:
        if not session:
            return None
        return self._accounts.viewer(session, used=False) if live else self._accounts.viewer(session)

    def _check_host(self, headers: Headers) -> None:
        """A name that is not ours may be an attacker's that leads here (DNS rebinding)."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or name_of(hosts[0]) not in self._hosts:
            raise _Refused(
                400,
                "This is not the desk's address",
                f"Nothing was done. Open {self._settings.address} instead. (Whoever runs Caretaker can add a name to "
                "`hosts` under [desk] in collector.toml.)",
            )

    def _count(self, viewer: Viewer | None, address: str, changes: bool) -> None:
        if viewer is None:
            wait_s = self._strangers.take(network_of(address), self._now_s())
        else:
            wait_s = (self._changes if changes else self._reads).take(viewer.csrf, self._now_s())
        if wait_s:
            seconds = int(wait_s) + 1
            raise _Refused(
                429,
                "Too many requests",
                f"Nothing was done. Please try again in {seconds} s.",
                {"Retry-After": str(seconds), "Connection": "close"},
            )

    async def _by_header(
        self, scope: Scope, headers: Headers, viewer: Viewer | None, session: str, address: str, kept: list[str]
    ) -> tuple[Scope, Viewer | None, str]:
        """Whom the proxy has signed in, if it is one of ours; from anybody else the header is taken away."""
        wanted = self._settings.header.lower()
        names = headers.getlist(wanted)
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].decode("latin-1") != wanted]}
        said = names[0].strip() if len(names) == 1 and scope.get(PEER) in self._settings.proxies else ""
        if len(names) > 1 and scope.get(PEER) in self._settings.proxies:
            raise _Refused(400, "Signed in twice", "The web server in front names more than one person.")
        if not said:
            # A session of the header's is worth nothing without it: the proxy may know better by now.
            return scope, None if viewer is not None and viewer.by_header else viewer, session
        if viewer is not None and viewer.by_header and viewer.who.name.casefold() == said.casefold():
            return scope, viewer, session
        answer = await self._accounts.by_header(said, address)
        if isinstance(answer, Refusal):
            raise _Refused(403, "You cannot use the desk", answer.text)
        kept.append(self._cookies.session(answer))
        return scope, answer.viewer, answer.cookie

    def _sign_in_first(self, scope: Scope, headers: Headers) -> Exception:
        """To the sign-in page and back, for a page; 401 for what a page's script asks for, and for changes."""
        if scope["method"] in ("GET", "HEAD") and for_a_page(scope, headers):
            return _Elsewhere(sign_in_path(whole_path(scope)))
        return _Refused(
            401,
            "Please sign in",
            "Nothing was done: you have not signed in, or your session has ended.",
            {"HX-Redirect": "/sign-in", "Connection": "close"},
        )

    def _check_origin(self, headers: Headers) -> None:
        """What changes something has to come from our own pages. (Programs that are no browsers say neither.)"""
        site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers["host"].lower()
        name = name_of(host)
        scheme = "https" if self._settings.https else "http"
        ours = {self._settings.address, f"{scheme}://{host}"} | (
            {f"http://{host}"} if name in LOOPBACK_NAMES else set()
        )
        if site not in (None, "same-origin", "none") or (origin is not None and origin.lower() not in ours):
            raise _Refused(
                403,
                "This did not come from the desk",
                f"Nothing was done: another page asked for it. Open {self._settings.address} and do it there.",
                {"Connection": "close"},
            )

    async def _checked_body(self, headers: Headers, receive: Receive, csrf: str) -> Receive:
        """The body, read and handed on; its token is the session's."""
        raw = await _read(headers, receive, self._body_within_s)
        token = headers.get("x-csrf-token")
        if token is None and headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            try:
                fields = parse_qs(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
            except ValueError:
                raise _Refused(400, "Too much was sent", "Nothing was done: the form has too many fields.") from None
            tokens = fields.get("csrf", [])
            token = tokens[0] if len(tokens) == 1 else None
        if token is None or not same(token, csrf):
            raise _Refused(
                403,
                "Please try again",
                "Nothing was done: the page that you used is too old, or your browser keeps no cookies for the desk. "
                "Go back, load the page again, and repeat it.",
            )
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": raw, "more_body": False}

        return replay

    def _may_wait(self, path: str) -> bool:
        """What somebody may do who has to choose a password first."""
        return path in ("/account", "/sign-out") or self._settings.open_to_all(path)

    def _page(self, refused: _Refused, scope: Scope, headers: Headers) -> Response:
        """A refusal as a page, or as a line for a script."""
        if not for_a_page(scope, headers):
            return Response(f"{refused.title}. {refused.text}\n", refused.status, refused.headers, "text/plain")
        if self._draw is None:
            return _plain_page(refused)
        return self._draw(
            Request(_with_state(scope, None, "", "")),
            "refused.html",
            refused.title,
            refused.status,
            refused.headers,
            heading=refused.title,
            text=refused.text,
        )

    def _with_headers(self, scope: Scope, send: Send, kept: list[str]) -> Send:
        """Each answer gets the headers that keep a browser careful, whatever made it."""
        free = self._settings.free(scope["path"])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                own = headers.get("content-security-policy", "")
                headers.update(HEADERS)
                if own.startswith(SANDBOX):  # a file that is shown as a page is held more tightly than pages of ours
                    headers["Content-Security-Policy"] = own
                if self._settings.https:
                    headers["Strict-Transport-Security"] = HSTS
                if not free or message["status"] >= 400:
                    headers["Cache-Control"] = "no-store"
                for cookie in kept:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        return sending


_FORM: Final = "application/x-www-form-urlencoded"


async def _read(headers: Headers, receive: Receive, within_s: float) -> bytes:
    """The body. Refused: 413, or 408 for one that does not come."""
    close = {"Connection": "close"}
    large = _Refused(413, "Too much was sent", f"Nothing was done: {LARGEST_BODY // 1024} kB is the most.", close)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > LARGEST_BODY:
        raise large
    raw = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Refused(400, "The request was cut off", "Nothing was done.", close)
                raw += message.get("body", b"")
                if len(raw) > LARGEST_BODY:
                    raise large
                if not message.get("more_body", False):
                    return bytes(raw)
    except TimeoutError:
        text = f"Nothing was done: what was sent did not come within {within_s:g} s."
        raise _Refused(408, "That took too long", text, close) from None


def _with_state(scope: Scope, viewer: Viewer | None, csrf: str, cookie: str) -> Scope:
    state = {**scope.get("state", {}), "viewer": viewer, "csrf": csrf, "cookie": cookie}
    return {**scope, "state": state, "viewer": viewer}


def _plain_page(refused: _Refused) -> Response:
    title, text = escape(refused.title), escape(refused.text)
    body = (
        '<!doctype html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} - Caretaker</title></head><body><main><h1>{title}</h1><p>{text}</p>"
        '<p><a href="/">To the desk</a></p></main></body></html>\n'
    )
    return HTMLResponse(body, refused.status, refused.headers)
