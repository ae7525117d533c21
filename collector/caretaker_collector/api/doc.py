"""The OpenAPI 3.1 description of the API and of our outgoing webhook, made from the Structs that they use."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from caretaker_collector.acts.base import Action
from caretaker_collector.api import routes as api
from caretaker_collector.api import types as api_types
from caretaker_collector.api.act_routes import ACTIONS, least_scope
from caretaker_collector.api.guard import LARGEST_BODY
from caretaker_collector.notify.by_webhook import Event
from caretaker_collector.version import VERSION
from caretaker_rules.findings import FindingKind

_PROBLEMS = {
    400: "The body is not JSON.",
    401: "No token, or none that is valid.",
    403: "The token may not do this, or not there.",
    404: "There is no such incident or place, or this token does not see it.",
    409: "It is in no state for this, such as acknowledging what is fixed, or a place without machines.",
    413: f"The body is larger than {LARGEST_BODY // 1024} kB.",
    415: "The body is not declared to be JSON.",
    422: "Something in the request is not as described.",
    429: "Too many requests; Retry-After says when to try again.",
    503: "The collector cannot use its state file now, or did not answer; Retry-After says when to try again.",
}
NEVER_IN_THE_WAY = frozenset({"note", "report", "end", "end_once", "stop", "resume", "shut_down", "restart", "sleep"})
"""Actions that no state of things forbids; where there is nothing to do they answer with `ok` false."""
_REF = "#/components/schemas/{name}"
_MEANING = {
    "acknowledge": "Somebody has seen it: its response clock ends.",
    "assign": "Say who works on it.",
    "note": "Keep something with it, also when it is over.",
    "pause": "It waits for the customer: its clocks stand still.",
    "resume": "It waits no longer.",
    "fix": "It is over.",
    "merge": "It goes on in another incident of the same school.",
}


def document() -> bytes:
    """The description, as JSON."""
    bodies: list[type[Struct]] = [body for body, *_ in api.ACTIONS.values()]
    kinds: list[type[Struct]] = [
        *(api_types.IncidentList, api_types.IncidentDetail, api_types.Problem, api_types.ReportBody, Event),
        *(api_types.ActionList, api_types.ActionAnswer),
        *bodies,
        *dict.fromkeys(action.body for action in ACTIONS.values()),
    ]
    refs, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    ref = dict(zip(kinds, refs, strict=True))
    detail = ref[api_types.IncidentDetail]
    number = {
        "name": "number",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": r"^(INC-)?[0-9]{1,15}$"},
        "description": "The incident's number: 12 or INC-12.",
    }
    once = {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "maxLength": 200},
        "description": "A word of your own: what comes again under it within a day is not done again, only answered.",
    }
    problem = ref[api_types.Problem]
    paths: dict[str, Any] = {
        "/api/1/openapi.json": {
            "get": {
                "operationId": "describe",
                "summary": "This description.",
                "security": [],
                "responses": {
                    "200": {
                        "description": "OpenAPI 3.1.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    }
                },
            }
        },
        "/api/1/incidents": {
            "get": {
                "operationId": "list_incidents",
                "summary": "Incidents, the newest first.",
                "parameters": _filters(),
                "responses": _responses(
                    200, "Some incidents.", ref[api_types.IncidentList], problem, 401, 422, 429, 503
                ),
            },
            "post": {
                "operationId": "report_incident",
                "summary": "Tell of something that no rule can see.",
                "parameters": [once],
                "requestBody": _body(ref[api_types.ReportBody]),
                "responses": _responses(201, "It is open.", detail, problem, 400, 401, 403, 413, 415, 422, 429, 503),
            },
        },
        "/api/1/incidents/{number}": {
            "parameters": [number],
            "get": {
                "operationId": "get_incident",
                "summary": "One incident with its history and clocks.",
                "responses": _responses(200, "The incident.", detail, problem, 401, 404, 429, 503),
            },
        },
    }
    for name, (kind, *_) in api.ACTIONS.items():
        codes = [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]
        if name == "note":
            codes.remove(409)
        paths[f"/api/1/incidents/{{number}}/{name}"] = {
            "parameters": [number, once],
            "post": {
                "operationId": f"{name}_incident",
                "summary": _MEANING[name],
                "requestBody": _body(ref[kind]),
                "responses": _responses(200, "The incident after it.", detail, problem, *codes),
            },
        }
    paths["/api/1/actions"] = {
        "get": {
            "operationId": "list_actions",
            "summary": "All that a token can do, with what each asks for.",
            "responses": _responses(200, "The actions.", ref[api_types.ActionList], problem, 401, 429, 503),
        }
    }
    preview = _query("preview", {"type": "string", "enum": ["0", "1"], "default": "0"}, "1: say what it would touch.")
    for name, action in ACTIONS.items():
        paths[f"/api/1/actions/{name}"] = {"parameters": [once, preview], "post": _acting(action, ref, problem)}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Caretaker",
                "version": VERSION,
                "description": "Incidents of the schools' computers, and what people do about them.",
            },
            "security": [{"token": []}],
            "paths": paths,
            "webhooks": {"told": {"post": _webhook(ref[Event])}},
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "`caretaker token new NAME` makes one; --scope incidents works on "
                        "incidents, --scope operate also holds, switches and stops.",
                    }
                },
            },
        }
    )


def _acting(action: Action, ref: Mapping[type[Struct], Any], problem: Any) -> dict[str, Any]:
    """One action: what it is asked with, and how it answers."""
    codes = [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]
    if action.name in NEVER_IN_THE_WAY:
        codes.remove(409)
    explains = action.explains[:1].upper() + action.explains[1:]
    return {
        "operationId": f"do_{action.name}",
        "summary": f"{action.label}: {explains}",
        "description": f"`place` is one of: {', '.join(action.kinds)}. Token scope: {least_scope(action.permission)}.",
        "requestBody": _body(ref[action.body]),
        "responses": _responses(200, "What came of it.", ref[api_types.ActionAnswer], problem, *codes),
    }


def _filters() -> list[dict[str, Any]]:
    return [
        _query("school", {"type": "string"}, "Of this school only."),
        _query("status", {"type": "string", "enum": list(api.STATUSES), "default": "unfixed"}, "In this state only."),
        _query("kind", {"type": "string", "enum": [kind.value for kind in FindingKind]}, "Of this kind only."),
        _query(
            "before", {"type": "integer", "minimum": 1}, "With smaller numbers than this: `next` of the answer before."
        ),
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": api.MOST_A_PAGE, "default": api.PAGE},
            "At most so many. There may be fewer and still a `next`.",
        ),
    ]


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _body(schema: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _responses(status: int, meaning: str, schema: Any, problem: Any, *codes: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        str(status): {"description": meaning, "content": {"application/json": {"schema": schema}}}
    }
    for code in codes:
        found: dict[str, Any] = {
            "description": _PROBLEMS[code],
            "content": {"application/problem+json": {"schema": problem}},
        }
        if code in (429, 503):
            found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
        result[str(code)] = found
    return result


def _webhook(schema: Any) -> dict[str, Any]:
    header = {"in": "header", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "told",
        "summary": "A channel of kind webhook gets each message as a CloudEvent, signed as Standard Webhooks ask.",
        "security": [],
        "parameters": [
            {
                **header,
                "name": "webhook-id",
                "description": "The message's id. The same one may come twice: drop the second.",
            },
            {
                **header,
                "name": "webhook-timestamp",
                "description": "Seconds since 1970: refuse what is older than 5 minutes.",
            },
            {
                **header,
                "name": "webhook-signature",
                "required": False,
                "description": "v1, and base64 of HMAC-SHA256 of id.timestamp.body; several with a space between: any "
                "of them may fit. Absent when the channel has no secret_file.",
            },
        ],
        "requestBody": {"required": True, "content": {"application/cloudevents+json": {"schema": schema}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "4XX": {"description": "Refused: not sent again (but for 401, 403, 407, 408, 425 and 429)."},
            "5XX": {"description": "Sent again later, for a day."},
        },
    }
