"""/api/1/actions: all that people do, over HTTP. And what every route that changes something shares."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_collector import state
from caretaker_collector.acts import doing, forms
from caretaker_collector.acts.base import ActBody, Action, BadBody, Done, NotAllowed, Site, Unknown
from caretaker_collector.acts.registry import ACTIONS as ALL_ACTIONS
from caretaker_collector.api.guard import Refused, answer, body_of, problem, too_little
from caretaker_collector.api.tokens import DAY_MS, Token
from caretaker_collector.api.types import ActionAnswer, ActionField, ActionList, ActionView, Undo
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_rules.roles import SCOPE_MAY, Permission, Who

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]
Act = Callable[[], Awaitable[tuple[int, bytes]]]

NEVER_AGAIN_MS = DAY_MS
"""So long an Idempotency-Key is remembered."""
WAIT_S = 10.0
"""Real seconds that a request waits for its turn at the state file, before anything is done."""
PREVIEW = {"0": False, "1": True}


def least_scope(permission: Permission) -> str:
    """The smallest scope of a token that may do this; "": none may."""
    return next((scope for scope, may in SCOPE_MAY.items() if permission in may), "")


ACTIONS: dict[str, Action] = {name: one for name, one in ALL_ACTIONS.items() if least_scope(one.permission)}
"""What a token can do: accounts, tokens and links are for people who sign in."""


class Once:
    """Does a request once; under an Idempotency-Key that was used, gives the answer of then instead."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._under_way: dict[tuple[str, str], asyncio.Lock] = {}

    async def answer(self, request: Request, token: Token, raw: bytes, now_ms: int, act: Act) -> Response:
        """Do it, unless it was done. Of two that come together under one key the second waits for the first."""
        key = request.headers.get("idempotency-key", "")
        if len(key) > 200:
            raise Refused(422, "An Idempotency-Key has 200 characters at most.")
        if not key:
            return _raw(*await act())
        lock = self._under_way.setdefault((token.name, key), asyncio.Lock())
        try:
            async with lock:
                return await self._keyed(request, token, key, raw, now_ms, act)
        finally:
            if not lock.locked():
                self._under_way.pop((token.name, key), None)

    async def _keyed(self, request: Request, token: Token, key: str, raw: bytes, now_ms: int, act: Act) -> Response:
        asked = sha256(f"{request.method} {request.url.path}\n".encode() + raw).hexdigest()
        await state.patiently(
            lambda: self._db.execute("DELETE FROM api_answers WHERE at_ms < ?", (now_ms - NEVER_AGAIN_MS,)), WAIT_S
        )
        row = self._db.execute(
            "SELECT request, status, body FROM api_answers WHERE token = ? AND key = ?", (token.name, key)
        ).fetchone()
        if row is not None and row[0] != asked:
            raise Refused(422, "This Idempotency-Key was used for another request.")
        if row is not None:
            return _raw(int(row[1]), bytes(row[2]))
        status, body = await act()
        kept = (token.name, key, asked, status, body, now_ms)
        await state.patiently(
            lambda: self._db.execute("INSERT OR IGNORE INTO api_answers VALUES (?, ?, ?, ?, ?, ?)", kept)
        )
        return _raw(status, body)


class ActRoutes:
    """The two routes of the actions."""

    def __init__(self, site: Site, admit: Callable[[Request], Token], once: Once, now_ms: Callable[[], int]) -> None:
        self._site = site
        self._admit = admit
        self._now_ms = now_ms
        self._once = once

    def routes(self) -> list[Route]:
        """Both of them."""
        return [
            Route("/api/1/actions", safe(self._list), methods=["GET"]),
            Route("/api/1/actions/{action}", safe(self._act), methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        self._admit(request)
        return answer(ActionList([_view(action) for action in ACTIONS.values()]))

    async def _act(self, request: Request) -> Response:
        token = self._admit(request)
        name = request.path_params["action"]
        action = ACTIONS.get(name)
        if action is None:
            raise Refused(404, f"There is no such action; there are: {', '.join(ACTIONS)}.")
        preview = PREVIEW.get(request.query_params.get("preview", "0"))
        if preview is None or set(request.query_params) - {"preview"}:
            raise Refused(422, "The only filter is preview=1: say what it would touch.")
        values, raw = await body_of(request, dict[str, Any])
        by = values.get("by", "")
        who = token.who(who_of(token, by if isinstance(by, str) else ""))
        if not preview:
            place = values.get("place", "")
            await allow(self._site, token, action, place if isinstance(place, str) else "")

        async def act() -> tuple[int, bytes]:
            done = await perform(self._site, who, action, values, preview=preview)
            return 200, msgspec.json.encode(_answer(done))

        if preview:
            return _raw(*await act())
        return await self._once.answer(request, token, raw, self._now_ms(), act)


def _view(action: Action) -> ActionView:
    return ActionView(
        name=action.name,
        label=action.label,
        explains=action.explains,
        permission=action.permission.value,
        scope=least_scope(action.permission),
        places=list(action.kinds),
        fields=[
            ActionField(
                name=field.name,
                label=field.label,
                kind=field.kind,
                required=field.required,
                longest=field.longest,
                help=field.help,
            )
            for field in forms.fields_of(action.body)
        ],
    )


def _answer(done: Done) -> ActionAnswer:
    undo = done.answered.undo
    return ActionAnswer(
        ok=done.answered.ok,
        lines=done.answered.lines,
        number=done.number,
        link=done.answered.link,
        undo=Undo(action=undo.action, place=undo.place, fields=undo.fields) if undo is not None else None,
    )


async def allow(site: Site, token: Token, action: Action, place: str) -> None:
    """Refused (403), and written down, when the token may not do this anywhere."""
    refused = too_little(token, action.permission)
    if refused is not None:
        who = token.who(f"token {token.name}")
        await asyncio.to_thread(doing.refuse, site, who, action, {"place": place}, refused.detail)
        raise refused


async def perform(
    site: Site,
    who: Who,
    action: Action,
    body: ActBody | dict[str, Any],
    *,
    preview: bool = False,
    all_422: bool = False,
) -> Done:
    """Through the gate; what it refuses as an answer of HTTP. `all_422`: whatever is wrong is wrong with the body."""
    try:
        return await doing.perform(site, who, action, body, preview=preview)
    except NotAllowed as error:
        raise Refused(403, doing.sentence(error)) from None
    except Unknown as error:
        raise Refused(422 if all_422 else 404, doing.sentence(error)) from None
    except BadBody as error:
        raise Refused(422, doing.sentence(error)) from None
    except ConfigError as error:
        raise Refused(422 if all_422 else 409, doing.sentence(error)) from None


def who_of(token: Token, by: str) -> str:
    """Who it was, for histories and the audit log."""
    by = " ".join(by.split())
    if len(by) > 40:
        raise Refused(422, "`by` has 40 characters at most.")
    if by and not by.isprintable():
        raise Refused(422, "`by` has to be printable.")
    return f"{by} (by token {token.name})" if by else f"token {token.name}"


def _raw(status: int, body: bytes) -> Response:
    return answer(msgspec.Raw(body), status)


def safe(handler: Handler) -> Handler:
    """Every refusal as problem+json; a defect of ours says nothing of itself to the other side."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return problem(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        except Unavailable as error:
            return problem(Refused(503, doing.sentence(error), {"Retry-After": "10"}))
        except sqlite3.Error as error:
            log.error("the API cannot use the state file", reason=str(error))
            return problem(Refused(503, "The collector cannot use its state file now.", {"Retry-After": "10"}))

    return handle
