"""The HTTP API for incidents, under /api/1 on the collector's port. `/api/1/openapi.json` describes it.

A token for one school sees only that school's incidents: all others are not there (404). An action names who did it:
the token, and for whom it speaks.
"""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_collector import people
from caretaker_collector.api.guard import Guard, Refused, answer, body_of, problem
from caretaker_collector.api.tokens import DAY_MS, Token
from caretaker_collector.api.types import (
    AcknowledgeBody,
    AssignBody,
    ClockView,
    FixBody,
    IncidentDetail,
    IncidentList,
    MergeBody,
    NoteBody,
    PauseBody,
    ReportBody,
    ResumeBody,
    clock_view,
    history_of,
    place_of,
    summary_of,
)
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.notify import outbox
from caretaker_contract.errors import ConfigError
from caretaker_rules import clocks
from caretaker_rules.calendar import zone_of
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident, Status, fold
from caretaker_rules.model import Estate, School
from caretaker_rules.service_hours import ServiceClock

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]
Clocks = Callable[[Incident, int], tuple[ClockView | None, ClockView | None]]

ACTIONS: dict[str, tuple[type[Struct], str, Callable[..., object]]] = {
    "acknowledge": (AcknowledgeBody, "text", incident_actions.acknowledge),
    "assign": (AssignBody, "to", incident_actions.assign),
    "note": (NoteBody, "text", incident_actions.note),
    "pause": (PauseBody, "text", incident_actions.pause),
    "resume": (ResumeBody, "text", incident_actions.resume),
    "fix": (FixBody, "text", incident_actions.fix),
    "merge": (MergeBody, "into", incident_actions.merge),
}
"""By the last part of the path: what the body has to be, which of its keys is handed on, and what does it."""

PAGE, MOST_A_PAGE = 50, 200
LOOKED_AT = 2_000
"""So many incidents a request looks at: a filter that fits none of thousands answers with `next` instead."""
NEVER_AGAIN_MS = DAY_MS
"""So long an Idempotency-Key is remembered."""
STATUSES = ("all", "unfixed", *(status.value for status in Status))
QUERY = {"school", "status", "kind", "before", "limit"}


class Api:
    """The routes, over the state file."""

    def __init__(
        self, db: sqlite3.Connection, estate: Estate, now_ms: Callable[[], int], clocks: Clocks, document: bytes
    ) -> None:
        self._db = db
        self._estate = estate
        self._now_ms = now_ms
        self._clocks = clocks
        self._document = document
        self._guard = Guard(db)

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/api/1/openapi.json", _safe(self._openapi)),
            Route("/api/1/incidents", _safe(self._list), methods=["GET"]),
            Route("/api/1/incidents", _safe(self._report), methods=["POST"]),
            Route("/api/1/incidents/{number}", _safe(self._one), methods=["GET"]),
            Route("/api/1/incidents/{number}/{action}", _safe(self._act), methods=["POST"]),
        ]

    async def _openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    def _admit(self, request: Request, scope: str) -> Token:
        return self._guard.admit(request, scope, self._now_ms(), time.monotonic())

    async def _list(self, request: Request) -> Response:
        token = self._admit(request, "read")
        asked = request.query_params
        unknown = set(asked) - QUERY
        if unknown:
            raise Refused(422, f"No such filter: {min(unknown)[:40]}; there are: {', '.join(sorted(QUERY))}.")
        status, kind = asked.get("status", "unfixed"), asked.get("kind")
        if status not in STATUSES:
            raise Refused(422, f"No such status; there are: {', '.join(STATUSES)}.")
        if kind is not None and kind not in list(FindingKind):
            raise Refused(422, f"No such kind; there are: {', '.join(FindingKind)}.")
        limit, before = _whole(asked.get("limit"), "limit", PAGE, MOST_A_PAGE), _whole(asked.get("before"), "before")
        school = asked.get("school")
        if token.school is not None:
            if school not in (None, token.school):
                return answer(IncidentList([], None))  # what it may not see is not there
            school = token.school
        found: list[Incident] = []
        next_: int | None = None
        for looked, incident in enumerate(self._newest(school, before)):
            if len(found) == limit or looked == LOOKED_AT:
                next_ = before
                break
            before = incident.number
            if fits(incident, status, kind):
                found.append(incident)
        return answer(IncidentList([summary_of(incident) for incident in found], next_))

    def _newest(self, school: str | None, before: int | None) -> Any:
        """Incidents from the newest on, each read when it is its turn."""
        rows = self._db.execute(
            "SELECT uid, number FROM incidents WHERE (? IS NULL OR school = ?) AND number < ? ORDER BY number DESC "
            "LIMIT ?",
            (school, school, before or 2**62, LOOKED_AT + 1),
        ).fetchall()
        for uid, number in rows:
            yield fold(number, incident_book.log_of(self._db, uid))

    async def _one(self, request: Request) -> Response:
        token = self._admit(request, "read")
        return answer(self._detail(self._visible(request, token)))

    def _visible(self, request: Request, token: Token) -> Incident:
        text = request.path_params["number"].removeprefix("INC-")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
        incident = self._seen(number, token)
        if incident is None:
            raise Refused(404, "There is no such incident.")
        return incident

    def _seen(self, number: int, token: Token) -> Incident | None:
        incident = incident_book.one(self._db, number) if number else None
        return incident if incident and token.school in (None, incident.subject.school) else None

    def _detail(self, incident: Incident) -> IncidentDetail:
        response, fix = self._clocks(incident, self._now_ms())
        merged = outbox.incident_of(self._db, incident.merged_into)
        return IncidentDetail(
            incident=summary_of(incident),
            hits=[place_of(subject) for subject in incident.hits],
            reopened=incident.reopened,
            merged_into=merged.name if merged else None,
            response=response,
            fix=fix,
            history=history_of(incident_book.log_of(self._db, incident.uid)),
        )

    async def _act(self, request: Request) -> Response:
        token = self._admit(request, "incidents")
        name = request.path_params["action"]
        if name not in ACTIONS:
            raise Refused(404, f"There is no such action; there are: {', '.join(ACTIONS)}.")
        incident = self._visible(request, token)
        kind, key, do = ACTIONS[name]
        body, raw = await body_of(request, kind)

        def act() -> tuple[int, bytes]:
            value: Any = getattr(body, key)
            value = value.strip() if isinstance(value, str) else value
            if value == "" and name not in ("acknowledge", "resume"):
                raise Refused(422, f"The body is not as described: {key} is blank.")
            if name == "merge" and self._seen(value, token) is None:
                raise Refused(422, f"There is no incident {value} to merge it into.")
            try:
                do(self._db, self._estate, incident.number, _who(token, body), value, self._now_ms())
            except ConfigError as error:
                raise Refused(409, _sentence(error)) from None
            now = incident_book.one(self._db, incident.number)
            assert now is not None
            return 200, msgspec.json.encode(self._detail(now))

        return self._once(request, token, raw, act)

    async def _report(self, request: Request) -> Response:
        token = self._admit(request, "incidents")
        body, raw = await body_of(request, ReportBody)

        def act() -> tuple[int, bytes]:
            if token.school not in (None, body.school):
                raise Refused(422, f"{body.school}: no such school.")
            who, now_ms = _who(token, body), self._now_ms()
            place = "/".join(part for part in (body.school, body.room, body.device) if part)
            try:
                where = people.scope(self._estate, place)
                made = incident_actions.report(self._db, self._estate, where, who, body.title, now_ms)
            except ConfigError as error:
                raise Refused(422, _sentence(error)) from None
            except sqlite3.IntegrityError:
                raise Refused(422, "The very same was reported in this millisecond.") from None
            return 201, msgspec.json.encode(self._detail(made))

        return self._once(request, token, raw, act)

    def _once(self, request: Request, token: Token, raw: bytes, act: Callable[[], tuple[int, bytes]]) -> Response:
        """Do it; under an Idempotency-Key that was used, give the answer of then instead."""
        key = request.headers.get("idempotency-key", "")
        if len(key) > 200:
            raise Refused(422, "An Idempotency-Key has 200 characters at most.")
        now_ms = self._now_ms()
        asked = sha256(f"{request.method} {request.url.path}\n".encode() + raw).hexdigest()
        if key:
            self._db.execute("DELETE FROM api_answers WHERE at_ms < ?", (now_ms - NEVER_AGAIN_MS,))
            row = self._db.execute(
                "SELECT request, status, body FROM api_answers WHERE token = ? AND key = ?", (token.name, key)
            ).fetchone()
            if row is not None and row[0] != asked:
                raise Refused(422, "This Idempotency-Key was used for another request.")
            if row is not None:
                return _raw(int(row[1]), bytes(row[2]))
        status, body = act()
        if key:
            self._db.execute(
                "INSERT OR IGNORE INTO api_answers VALUES (?, ?, ?, ?, ?, ?)",
                (token.name, key, asked, status, body, now_ms),
            )
        return _raw(status, body)


def clocks_by(estate: Estate, hours_of: Callable[[School], ServiceClock | None]) -> Clocks:
    """The response and the fix clock of an incident; none where no service level is agreed."""

    def look(incident: Incident, now_ms: int) -> tuple[ClockView | None, ClockView | None]:
        school = estate.schools.get(incident.subject.school)
        hours = hours_of(school) if school else None
        if school is None or hours is None:
            return None, None
        both = clocks.response(incident, hours, now_ms), clocks.fix(incident, hours, now_ms)
        response, fix = (clock_view(clock, zone_of(school.time_zone), now_ms) for clock in both)
        return response, fix

    return look


def _raw(status: int, body: bytes) -> Response:
    return answer(msgspec.Raw(body), status)


def fits(incident: Incident, status: str, kind: str | None = None) -> bool:
    """Whether an incident is of this status ("all" and "unfixed" are more than one) and kind (None: any)."""
    if kind is not None and incident.kind != kind:
        return False
    return status == "all" or (incident.open if status == "unfixed" else incident.status == status)


def _whole(text: str | None, name: str, default: int | None = None, most: int = 2**53) -> int | None:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 17 and 1 <= int(text) <= most):
        raise Refused(422, f"{name} has to be a whole number between 1 and {most}.")
    return int(text)


def _who(token: Token, body: Any) -> str:
    """Who it was, for the history."""
    by = " ".join(body.by.split())
    if by and not by.isprintable():
        raise Refused(422, "`by` has to be printable.")
    return f"{by} (by token {token.name})" if by else f"token {token.name}"


def _sentence(error: ConfigError) -> str:
    faults = (fault.replace("  ", ": ", 1) for fault in error.faults)
    return "; ".join(" ".join(fault.split()) for fault in faults) + "."


def _safe(handler: Handler) -> Handler:
    """Every refusal as problem+json; a defect of ours says nothing of itself to the other side."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return problem(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        except sqlite3.Error as error:
            log.error("the API cannot use the state file", reason=str(error))
            return problem(Refused(503, "The collector cannot use its state file now.", {"Retry-After": "10"}))

    return handle


async def refused_by_router(request: Request, error: Exception) -> Response:
    """404 and 405 of paths that no route has."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    words = {404: "There is nothing at this path.", 405: "This path does not take this method."}
    return problem(
        Refused(status, words.get(status, "Something is wrong with Caretaker itself; its log says what."), headers)
    )
