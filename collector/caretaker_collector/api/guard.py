"""Who may do what over HTTP: tokens, scopes, schools, sizes, rates; and every refusal as a sentence (RFC 9457)."""

import asyncio
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from caretaker_collector.api import tokens
from caretaker_collector.api.tokens import Token
from caretaker_collector.api.types import Problem
from caretaker_dashboards.desk.rates import Buckets
from caretaker_rules.roles import SCOPE_MAY, Permission

LARGEST_BODY = 65_536
BODY_WITHIN_S = 20.0
BURST, PER_SECOND = 60, 10
"""Requests of a token: so many at once, and so many a second in the long run."""
WRONG_BURST, WRONG_PER_SECOND = 20, 0.2
"""Wrong tokens from an address."""

B = TypeVar("B")


class Refused(Exception):
    """A request that is not granted. `headers` go with the answer."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(refused: Refused) -> Response:
    """The refusal as an answer."""
    body = Problem(title=HTTPStatus(refused.status).phrase, status=refused.status, detail=refused.detail)
    return Response(
        msgspec.json.encode(body), refused.status, {**refused.headers, **SAFE}, media_type="application/problem+json"
    )


SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A result as JSON."""
    return Response(msgspec.json.encode(value), status, {**(headers or {}), **SAFE}, media_type="application/json")


class Guard:
    """Looks at each request before anything is done for it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._asked = Buckets(BURST, PER_SECOND)
        self._wrong = Buckets(WRONG_BURST, WRONG_PER_SECOND)

    def admit(self, request: Request, now_ms: int, now_s: float) -> Token:
        """The token of this request. Refused: 401 without a good one, 429 for too much.

        `now_s` is a clock that only grows, for rates; `now_ms` the collector's, for expiry.
        """
        address = request.client.host if request.client else ""
        wait_s = self._wrong.take(address, now_s, cost=0)
        if wait_s:
            raise _too_many("too many wrong tokens from this address", wait_s)
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        token = tokens.find(self._db, text.strip(), now_ms) if kind.lower() == "bearer" and len(text) < 200 else None
        if token is None:
            self._wrong.take(address, now_s)
            detail = (
                "This needs a token: Authorization: Bearer ct_... `caretaker token new` makes one."
                if not kind
                else "This token is not known, has expired or was ended."
            )
            raise Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="caretaker"'})
        wait_s = self._asked.take(token.name, now_s)
        if wait_s:
            raise _too_many("more than 10 requests a second", wait_s)
        return token


def too_little(token: Token, needed: Permission) -> Refused | None:
    """The refusal of a token that may not do this; None: it may."""
    if needed in SCOPE_MAY[token.scope]:
        return None
    least = next((scope for scope, may in SCOPE_MAY.items() if needed in may), None)
    what = "may read only" if token.scope == "read" else f"is of scope {token.scope}"
    remedy = f"this needs one with --scope {least}" if least else "this is for people who sign in"
    return Refused(403, f"The token {token.name} {what}; {remedy}.")


def _too_many(why: str, wait_s: float) -> Refused:
    seconds = int(wait_s) + 1
    return Refused(429, f"Not now: {why}. Try again in {seconds} s.", {"Retry-After": str(seconds)})


async def body_of(request: Request, kind: type[B]) -> tuple[B, bytes]:
    """The body as `kind`, and as it came. Refused: 415, 413, 400 or 422."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(415, "The body has to be JSON: Content-Type: application/json.")
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in request.stream():
                raw += part
                if len(raw) > LARGEST_BODY:
                    raise Refused(413, f"The body is larger than {LARGEST_BODY // 1024} kB.", {"Connection": "close"})
    except TimeoutError:
        raise Refused(400, f"The body did not come within {BODY_WITHIN_S:.0f} s.", {"Connection": "close"}) from None
    try:
        return msgspec.json.decode(raw, type=kind), bytes(raw)
    except msgspec.ValidationError as error:
        raise Refused(422, f"The body is not as described: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "The body is not JSON in UTF-8.") from None
