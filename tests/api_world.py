"""A collector's HTTP API on a port, and requests that check each answer against its description."""

import http.client
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from caretaker_collector.api import tokens
from caretaker_collector.api.doc import document
from caretaker_collector.api.routes import Api, clocks_by, refused_by_router
from caretaker_collector.files.service_file import load_service
from caretaker_collector.settings import load_estate
from caretaker_rules.model import School
from caretaker_rules.service_hours import ServiceClock
from telling_world import NOW_MS, fixed, make_incident, open_world
from web_server import web_server
from worlds import make_world

DOCUMENT = json.loads(document())


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class World:
    """A collector's API on a port, and tokens for it."""

    port: int
    db: sqlite3.Connection
    clock: list[int]
    all: str
    reader: str
    ash_only: str
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """One request. `token` "" is the one that may do everything; None: without any."""
        sent = {"Authorization": f"Bearer {self.all if token == '' else token}"} if token is not None else {}
        content = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if content is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, content, sent | (headers or {}))
            reply = connection.getresponse()
            read = reply.read()
            answer = Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, json.loads(read))
        finally:
            connection.close()
        check(method, path, answer, self.seen)
        return answer


def template_of(path: str) -> str | None:
    """The documented path that this one is."""
    plain = path.partition("?")[0]
    for template in DOCUMENT["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), plain):
            return str(template)
    return None


def check(method: str, path: str, answer: Answer, seen: set[tuple[str, str, int]]) -> None:
    """Every answer is as documented, and every refusal a sentence with its type."""
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.body["status"] == answer.status
        assert answer.body["detail"][-1] in ".?" and " " in answer.body["detail"]
        assert "Traceback" not in answer.body["detail"] and "ct_" not in answer.body["detail"].replace("ct_...", "")
    assert answer.headers.get("cache-control") == "no-store" or path.endswith("openapi.json")
    template = template_of(path)
    operation = DOCUMENT["paths"].get(template, {}).get(method.lower()) if template else None
    if operation is None:
        assert answer.status in (404, 405, 401)
        return
    assert str(answer.status) in operation["responses"], f"{method} {template} gives an undocumented {answer.status}"
    [(media, described)] = operation["responses"][str(answer.status)]["content"].items()
    assert answer.headers["content-type"].startswith(media)
    schema = {**described["schema"], "components": DOCUMENT["components"]}
    jsonschema.validate(answer.body, schema, cls=jsonschema.Draft202012Validator)
    seen.add((method, template or "", answer.status))


@contextmanager
def api_world(tmp_path: Path) -> Iterator[World]:
    """A school "ash" and one "oak", four incidents, three tokens."""
    made = make_world(tmp_path, 1883)
    estate_file = made.folder / "estate.toml"
    oak = '\n[[schools]]\nname = "oak"\ntitle = "Oakley"\n[[schools.rooms]]\nname = "lab"\nlessons = []\n'
    estate_file.write_text(estate_file.read_text() + oak)
    estate = load_estate(estate_file)
    db = open_world(tmp_path)
    for number, (school, device) in enumerate([("ash", "pc-000"), ("oak", "x"), ("ash", "pc-001"), ("ash", "pc-002")]):
        make_incident(db, f"u{number}", device=device, school=school)
    fixed(db, "u3")
    clock = [NOW_MS]
    service = load_service(Path("rules/policies/service.toml"))

    def hours_of(school: School) -> ServiceClock:
        return ServiceClock.of(school, service)

    api = Api(db, estate, lambda: clock[0], clocks_by(estate, hours_of), document())
    handlers = {HTTPException: refused_by_router, Exception: refused_by_router}
    with web_server(Starlette(routes=api.routes(), exception_handlers=handlers)) as port:
        yield World(
            port,
            db,
            clock,
            tokens.new(db, "desk", "incidents", None, 90, NOW_MS),
            tokens.new(db, "reader", "read", None, 90, NOW_MS),
            tokens.new(db, "ash-office", "incidents", "ash", 90, NOW_MS),
        )
