"""The HTTP API for incidents, under /api/1 on the collector's port. `/api/1/openapi.json` describes it.

A token for one school sees only that school's incidents: all others are not there (404). An action names who did it:
the token, and for whom it speaks.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_collector.acts import registry as acts
from caretaker_collector.acts.base import NO_REASON, ActBody, Site
from caretaker_collector.acts.incidents import (
    AcknowledgeAct,
    AssignAct,
    FixAct,
    IncidentAct,
    MergeAct,
    NoteAct,
    PauseAct,
    ReportAct,
)
from caretaker_collector.api.act_routes import ActRoutes, Once, allow, perform, safe, who_of
from caretaker_collector.api.guard import Guard, Refused, answer, body_of, problem
from caretaker_collector.api.tokens import Token
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
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.notify import outbox
from caretaker_rules import clocks
from caretaker_rules.calendar import zone_of
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident, Status, fold
from caretaker_rules.model import Estate, School
from caretaker_rules.service_hours import ServiceClock

Clocks = Callable[[Incident, int], tuple[ClockView | None, ClockView | None]]

ACTIONS: dict[str, tuple[type[Struct], str, str, Callable[[str, Any], ActBody]]] = {
    "acknowledge": (AcknowledgeBody, "text", "acknowledge", lambda place, x: AcknowledgeAct(place=place, reason=x)),
    "assign": (AssignBody, "to", "assign", lambda place, x: AssignAct(place=place, to=x)),
    "note": (NoteBody, "text", "note", lambda place, x: NoteAct(place=place, text=x)),
    "pause": (PauseBody, "text", "pause", lambda place, x: PauseAct(place=place, reason=x)),
    "resume": (ResumeBody, "text", "unpause", lambda place, x: IncidentAct(place=place, reason=x or NO_REASON)),
    "fix": (FixBody, "text", "fix", lambda place, x: FixAct(place=place, reason=x)),
    "merge": (MergeBody, "into", "merge", lambda place, x: MergeAct(place=place, into=x, reason=NO_REASON)),
}
"""By the last part of an incident's path: what the body has to be, which of its keys is handed on, and to which action
as what. All actions, these too, are under /api/1/actions (`api/act_routes.py`)."""

PAGE, MOST_A_PAGE = 50, 200
LOOKED_AT = 2_000
"""So many incidents a request looks at: a filter that fits none of thousands answers with `next` instead."""
STATUSES = ("all", "unfixed", *(status.value for status in Status))
QUERY = {"school", "status", "kind", "before", "limit"}


class Api:
    """The routes, over the state file."""

    def __init__(
        self,
        db: sqlite3.Connection,
        estate: Estate,
        now_ms: Callable[[], int],
        clocks: Clocks,
        document: bytes,
        site: Site | None = None,
    ) -> None:
        """`site`: where actions are done; None: on the file of `db`, of which no calendar and no policy is known."""
        self._db = db
        self._estate = estate
        self._now_ms = now_ms
        self._clocks = clocks
        self._document = document
        self._guard = Guard(db)
        file = Path(db.execute("PRAGMA database_list").fetchone()[2])
        self._site = site if site is not None else Site(file, estate, {}, lambda _: now_ms())
        self._once = Once(db)

    def routes(self) -> list[Route]:
        """All of them."""
        acting = ActRoutes(self._site, self._admit, self._once, self._now_ms)
        return [
            Route("/api/1/openapi.json", safe(self._openapi)),
            Route("/api/1/incidents", safe(self._list), methods=["GET"]),
            Route("/api/1/incidents", safe(self._report), methods=["POST"]),
            Route("/api/1/incidents/{number}", safe(self._one), methods=["GET"]),
            Route("/api/1/incidents/{number}/{action}", safe(self._act), methods=["POST"]),
            *acting.routes(),
        ]

    async def _openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    def _admit(self, request: Request) -> Token:
        return self._guard.admit(request, self._now_ms(), time.monotonic())

    async def _list(self, request: Request) -> Response:
        token = self._admit(request)
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
        token = self._admit(request)
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
        token = self._admit(request)
        name = request.path_params["action"]
        if name not in ACTIONS:
            raise Refused(404, f"There is no such action; there are: {', '.join(ACTIONS)}.")
        kind, key, does, made = ACTIONS[name]
        action = acts.ACTIONS[does]
        await allow(self._site, token, action, request.path_params["number"])
        incident = self._visible(request, token)
        body, raw = await body_of(request, kind)

        async def act() -> tuple[int, bytes]:
            value: Any = getattr(body, key)
            value = value.strip() if isinstance(value, str) else value
            if value == "" and name not in ("acknowledge", "resume"):
                raise Refused(422, f"The body is not as described: {key} is blank.")
            if name == "merge" and self._seen(value, token) is None:
                raise Refused(422, f"There is no incident {value} to merge it into.")
            who = token.who(who_of(token, getattr(body, "by", "")))
            await perform(self._site, who, action, made(str(incident.number), value))
            now = incident_book.one(self._db, incident.number)
            assert now is not None
            return 200, msgspec.json.encode(self._detail(now))

        return await self._once.answer(request, token, raw, self._now_ms(), act)

    async def _report(self, request: Request) -> Response:
        token = self._admit(request)
        action = acts.ACTIONS["report"]
        await allow(self._site, token, action, "")
        body, raw = await body_of(request, ReportBody)

        async def act() -> tuple[int, bytes]:
            if token.school not in (None, body.school):
                raise Refused(422, f"{body.school}: no such school.")
            place = "/".join(part for part in (body.school, body.room, body.device) if part)
            who = token.who(who_of(token, body.by))
            done = await perform(self._site, who, action, ReportAct(place=place, text=body.title), all_422=True)
            made = incident_book.one(self._db, done.number or 0)
            assert made is not None
            return 201, msgspec.json.encode(self._detail(made))

        return await self._once.answer(request, token, raw, self._now_ms(), act)


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


async def refused_by_router(request: Request, error: Exception) -> Response:
    """404 and 405 of paths that no route has."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    words = {404: "There is nothing at this path.", 405: "This path does not take this method."}
    return problem(
        Refused(status, words.get(status, "Something is wrong with Caretaker itself; its log says what."), headers)
    )
