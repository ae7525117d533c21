"""The HTTP API, asked as others ask it: over HTTP, of the collector's own web application."""

import http.client
import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from caretaker_collector import audit
from caretaker_collector.api import guard as api_guard
from caretaker_collector.api import tokens
from caretaker_collector.api.doc import document
from caretaker_collector.api.routes import Api, clocks_by, refused_by_router
from caretaker_collector.files.service_file import load_service
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.settings import load_estate
from caretaker_dashboards.desk import rates
from caretaker_rules.incidents import Action, Entry
from caretaker_rules.model import School
from caretaker_rules.service_hours import ServiceClock
from telling_world import NOW_MS, fixed, make_incident, open_world
from web_server import web_server
from worlds import make_world

pytestmark = pytest.mark.slow

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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
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


def numbers(answer: Answer) -> list[int]:
    """Of a list."""
    return [each["number"] for each in answer.body["incidents"]]


def test_the_description_is_openapi_3_1_and_describes_the_webhook_too(world: World) -> None:
    """Checked by a validator that is not ours."""
    answer = world.ask("GET", "/api/1/openapi.json", token=None)
    validate(answer.body)
    assert answer.body["openapi"].startswith("3.1")
    event = answer.body["webhooks"]["told"]["post"]["requestBody"]["content"]["application/cloudevents+json"]
    assert event["schema"]["$ref"] == "#/components/schemas/Event"
    assert set(answer.body["components"]["schemas"]["Event"]["required"]) >= {"id", "type", "time", "data"}


def test_incidents_are_listed_newest_first_and_filtered(world: World) -> None:
    """By state, school and kind."""
    assert numbers(world.ask("GET", "/api/1/incidents")) == [3, 2, 1]
    assert numbers(world.ask("GET", "/api/1/incidents?status=all")) == [4, 3, 2, 1]
    assert numbers(world.ask("GET", "/api/1/incidents?status=fixed")) == [4]
    assert numbers(world.ask("GET", "/api/1/incidents?school=oak")) == [2]
    assert numbers(world.ask("GET", "/api/1/incidents?kind=disk_full")) == []
    assert world.ask("GET", "/api/1/incidents").body["incidents"][0]["place"] == {
        "school": "ash",
        "room": "",
        "device": "pc-001",
    }


def test_pages_go_on_where_the_last_one_ended(world: World) -> None:
    """Each incident comes once, and the end is told."""
    found, path = [], "/api/1/incidents?status=all&limit=3"
    first = world.ask("GET", path)
    found += numbers(first)
    second = world.ask("GET", f"{path}&before={first.body['next']}")
    found += numbers(second)
    assert (found, second.body["next"]) == ([4, 3, 2, 1], None)


def test_a_filter_that_fits_none_of_thousands_looks_at_some_and_says_where_to_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request holds the collector up for long."""
    monkeypatch.setattr("caretaker_collector.api.routes.LOOKED_AT", 2)
    first = world.ask("GET", "/api/1/incidents?kind=disk_full")
    assert (numbers(first), first.body["next"]) == ([], 3)
    last = world.ask("GET", "/api/1/incidents?kind=disk_full&before=3")
    assert last.body["next"] is None


def test_one_incident_comes_with_its_history(world: World) -> None:
    """By its number or its name."""
    answer = world.ask("GET", "/api/1/incidents/INC-4")
    assert answer.body == world.ask("GET", "/api/1/incidents/4").body
    assert [entry["action"] for entry in answer.body["history"]] == ["opened", "fixed"]
    assert answer.body["incident"]["status"] == "fixed"


def test_one_incident_comes_with_its_clocks(world: World) -> None:
    """Priority 2 of the example level: an hour to answer, eight to fix, on a Saturday that owes nothing."""
    world.ask("POST", "/api/1/incidents/1/pause", {"text": "The room is locked"})
    answer = world.ask("GET", "/api/1/incidents/1").body
    assert (answer["response"]["allowance_s"], answer["fix"]["allowance_s"]) == (3_600, 28_800)
    assert (answer["fix"]["used_s"], answer["fix"]["paused"], answer["fix"]["due_at"]) == (0, True, None)
    assert answer["fix"]["text"] == "waiting for the customer, 8 h left"
    own = make_incident(world.db, "own", device="", school="")
    assert world.ask("GET", f"/api/1/incidents/{own.number}").body["fix"] is None


def test_everything_that_can_be_done_is_done_and_its_history_names_who(world: World) -> None:
    """Acknowledge, assign, note, pause, resume, merge, fix."""
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("acknowledge", {"by": "engineer"}, "acknowledged"),
        ("assign", {"to": "network team"}, "acknowledged"),
        ("note", {"text": "Ordered a new fan. <b>déjà</b>"}, "acknowledged"),
        ("pause", {"text": "The school opens the room at 14:00"}, "paused"),
        ("resume", {}, "acknowledged"),
        ("fix", {"text": "New fan"}, "fixed"),
    ]
    for action, body, status in steps:
        answer = world.ask("POST", f"/api/1/incidents/1/{action}", body)
        assert (answer.status, answer.body["incident"]["status"]) == (200, status), answer.body
    history = answer.body["history"]
    assert [entry["action"] for entry in history] == [
        "opened", "acknowledged", "assigned", "noted", "paused", "resumed", "fixed",
    ]  # fmt: skip
    assert [entry["by"] for entry in history][1:3] == ["engineer (by token desk)", "token desk"]
    assert history[3]["text"] == "Ordered a new fan. <b>déjà</b>"
    merged = world.ask("POST", "/api/1/incidents/3/merge", {"into": 1})
    assert merged.status == 409, "1 is fixed"
    assert world.ask("POST", "/api/1/incidents/3/merge", {"into": 2}).status == 409, "another school"
    make_incident(world.db, "u9", device="pc-003")
    assert world.ask("POST", "/api/1/incidents/3/merge", {"into": 5}).body["merged_into"] == "INC-5"


def test_what_somebody_saw_can_be_reported(world: World) -> None:
    """It is an incident like any other."""
    answer = world.ask("POST", "/api/1/incidents", {"school": "ash", "room": "ict1", "title": "The projector hums"})
    assert answer.status == 201
    assert answer.body["incident"]["title"] == "The projector hums"
    assert answer.body["incident"]["number"] in numbers(world.ask("GET", "/api/1/incidents"))


def test_doing_it_twice_changes_nothing_where_that_makes_sense(world: World) -> None:
    """Acknowledged, paused, fixed already: well."""
    for action, body in (("acknowledge", {}), ("pause", {"text": "x"}), ("fix", {"text": "x"})):
        first = world.ask("POST", f"/api/1/incidents/1/{action}", body)
        assert world.ask("POST", f"/api/1/incidents/1/{action}", body).body == first.body


def test_under_one_idempotency_key_it_is_done_once(world: World) -> None:
    """A note, a report; also after a restart, for the key is in the state file. Another request under it is refused."""
    key = {"Idempotency-Key": "abc-1"}
    first = world.ask("POST", "/api/1/incidents/1/note", {"text": "once"}, headers=key)
    world.clock[0] += 3_600_000
    assert world.ask("POST", "/api/1/incidents/1/note", {"text": "once"}, headers=key).body == first.body
    assert world.ask("POST", "/api/1/incidents/1/note", {"text": "other"}, headers=key).status == 422
    assert len(incident_book.log_of(world.db, "u0")) == 2
    mine = world.ask("POST", "/api/1/incidents/1/note", {"text": "once"}, headers=key, token=world.ash_only)
    assert len(mine.body["history"]) == 3, "another token's keys are its own"
    world.clock[0] += 86_400_000
    world.ask("POST", "/api/1/incidents/1/note", {"text": "other"}, headers=key)
    assert len(incident_book.log_of(world.db, "u0")) == 4


def test_a_token_for_one_school_sees_no_other(world: World) -> None:
    """What it may not see is not there: 404, as for a number that nobody has given."""
    ash = world.ash_only
    assert numbers(world.ask("GET", "/api/1/incidents?status=all", token=ash)) == [4, 3, 1]
    assert numbers(world.ask("GET", "/api/1/incidents?school=oak", token=ash)) == []
    hidden = world.ask("GET", "/api/1/incidents/2", token=ash)
    nobody = world.ask("GET", "/api/1/incidents/999", token=ash)
    assert (hidden.status, hidden.body) == (404, nobody.body)
    assert world.ask("POST", "/api/1/incidents/2/note", {"text": "x"}, token=ash).status == 404
    into = world.ask("POST", "/api/1/incidents/1/merge", {"into": 2}, token=ash)
    none = world.ask("POST", "/api/1/incidents/1/merge", {"into": 999}, token=ash)
    assert (into.status, none.status) == (422, 422)
    assert into.body["detail"].replace("2", "N") == none.body["detail"].replace("999", "N")
    there = world.ask("POST", "/api/1/incidents", {"school": "oak", "title": "hello"}, token=ash)
    assert there.status == 422 and there.body["detail"] == "oak: no such school."


def test_without_a_good_token_nothing_is_told(world: World) -> None:
    """None, a wrong one, an expired one, an ended one, another scheme."""
    for token, headers in [
        (None, {}),
        ("ct_wrong", {}),
        ("", {"Authorization": "Basic ZGVzazpkZXNr"}),
        ("", {"Authorization": "Bearer"}),
        ("", {"Authorization": "Bearer " + "x" * 5_000}),
        ("", {"Authorization": "Bearer ct_\xff\xfe"}),
    ]:
        answer = world.ask("GET", "/api/1/incidents/1", token=token, headers=headers)
        assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    world.clock[0] += 91 * 86_400_000
    assert world.ask("GET", "/api/1/incidents").status == 401
    world.clock[0] -= 91 * 86_400_000
    assert world.ask("GET", "/api/1/incidents").status == 200
    tokens.end(world.db, "desk", world.clock[0])
    assert world.ask("GET", "/api/1/incidents").status == 401


def test_a_token_to_read_changes_nothing(world: World) -> None:
    """403, with what it would take."""
    for path, body in (("/api/1/incidents/1/note", {"text": "x"}), ("/api/1/incidents", {"school": "ash"})):
        answer = world.ask("POST", path, body, token=world.reader)
        assert answer.status == 403 and "--scope incidents" in answer.body["detail"]
    assert world.ask("GET", "/api/1/incidents/1", token=world.reader).status == 200


def test_too_many_requests_are_told_when_to_come_again(world: World) -> None:
    """A token has its own measure; the others go on."""
    statuses = [world.ask("GET", "/api/1/incidents", token=world.reader).status for _ in range(90)]
    assert statuses[0] == 200 and 429 in statuses
    last = next(
        answer
        for answer in (world.ask("GET", "/api/1/incidents", token=world.reader) for _ in range(100))
        if answer.status == 429
    )
    assert int(last.headers["retry-after"]) >= 1
    assert world.ask("GET", "/api/1/incidents").status == 200


def test_guessing_tokens_is_slowed_down(world: World) -> None:
    """From one address, whatever it guesses; a good token waits with it, for we cannot tell them apart."""
    statuses = [world.ask("GET", "/api/1/incidents", token=f"ct_{n}").status for n in range(30)]
    assert statuses[:10] == [401] * 10 and statuses[-1] == 429


BODIES: list[tuple[bytes, dict[str, str], int]] = [
    (b"{", {}, 400),
    (b"\xff\xfe", {}, 400),
    (b"[" * 60_000, {}, 422),
    (b'{"text": "  \\n "}', {}, 422),
    (b"", {}, 400),
    (b'{"text": "' + b"x" * 70_000 + b'"}', {}, 413),
    (b'{"text": "x"}', {"Content-Type": "text/plain"}, 415),
    (b'{"text": "x"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b'{"text": ""}', {}, 422),
    (b'{"text": 7}', {}, 422),
    (b'{"txt": "x"}', {}, 422),
    (b"[]", {}, 422),
    (b'{"text": "' + b"x" * 3_000 + b'"}', {}, 422),
    (b'{"text": "x", "by": "\\u0000\\u202e"}', {}, 422),
    (b'{"text": "x"}', {"Idempotency-Key": "k" * 300}, 422),
]


def test_a_body_that_is_not_as_described_is_refused_with_a_sentence(world: World) -> None:
    """Nothing of it is kept."""
    for raw, headers, status in BODIES:
        answer = world.ask("POST", "/api/1/incidents/1/note", raw=raw, headers=headers)
        assert answer.status == status, (raw[:40], headers)
    assert len(incident_book.log_of(world.db, "u0")) == 1


PATHS = [
    ("/api/1/incidents/0", 404),
    ("/api/1/incidents/-1", 404),
    ("/api/1/incidents/1e9", 404),
    ("/api/1/incidents/99999999999999999999", 404),
    ("/api/1/incidents/%D9%A1", 404),
    ("/api/1/incidents/1%00", 404),
    ("/api/1/incidents/..%2f..%2fetc", 404),
    ("/api/1/incidents/1'%20OR%201=1--", 404),
    ("/api/2/incidents", 404),
    ("/api/1/incidents?limit=0", 422),
    ("/api/1/incidents?limit=201", 422),
    ("/api/1/incidents?limit=9999999999999999999999", 422),
    ("/api/1/incidents?before=x", 422),
    ("/api/1/incidents?status=bad", 422),
    ("/api/1/incidents?kind=bad", 422),
    ("/api/1/incidents?shcool=ash", 422),
    ("/api/1/incidents?school=nowhere'--", 200),
]


def test_odd_paths_and_filters_are_answered_with_a_sentence(world: World) -> None:
    """None of them is a defect."""
    for path, status in PATHS:
        assert world.ask("GET", path).status == status, path


def test_a_body_that_never_comes_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client holds a connection, and not for long."""
    monkeypatch.setattr(api_guard, "BODY_WITHIN_S", 0.05)
    head = f"POST /api/1/incidents/1/note HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.all}\r\n"
    with socket.create_connection(("127.0.0.1", world.port), 10) as slow:
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_method_that_a_path_does_not_take(world: World) -> None:
    """405, and which it takes."""
    answer = world.ask("DELETE", "/api/1/incidents/1")
    assert (answer.status, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_every_documented_answer_is_really_given(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `check` has seen to it that no other is."""
    good: dict[str, dict[str, Any]] = {
        "acknowledge": {}, "assign": {"to": "x"}, "note": {"text": "x"}, "pause": {"text": "x"}, "resume": {},
        "fix": {"text": "x"}, "merge": {"into": 3},
    }  # fmt: skip
    monkeypatch.setattr(api_guard, "LARGEST_BODY", 500)
    world.ask("GET", "/api/1/openapi.json", token=None)
    writes = [("/api/1/incidents", {"school": "ash", "title": "hum"})]
    writes += [(f"/api/1/incidents/1/{action}", body) for action, body in good.items() if action != "merge"]
    for path, body in writes:
        done = world.ask("POST", path, body)
        assert done.status in (200, 201)
        world.ask("POST", path, raw=b"{")
        world.ask("POST", path, raw=b" " * 600)
        world.ask("POST", path, raw=b"{}", headers={"Content-Type": "text/plain"})
        world.ask("POST", path, {"no": 1})
        world.ask("POST", path, body, token=None)
        world.ask("POST", path, body, token=world.reader)
        world.ask("POST", path.replace("/1/", "/9/", 2).replace("/api/9", "/api/1"), body)
    incident_book.append(world.db, Entry(uid="u1", at_ms=NOW_MS, by="x", action=Action.MERGED, text="u0"))
    for action, body in good.items():
        world.ask("POST", f"/api/1/incidents/2/{action}", body)
    merge = "/api/1/incidents/3/merge"
    make_incident(world.db, "u8", device="pc-003")
    for raw, headers in ((b"{", {}), (b" " * 600, {}), (b"{}", {"Content-Type": "x"}), (b"{}", {})):
        world.ask("POST", merge, raw=raw, headers=headers)
    world.ask("POST", merge, {"into": 6}, token=None)
    world.ask("POST", merge, {"into": 6}, token=world.reader)
    world.ask("POST", merge.replace("3", "99"), {"into": 6})
    assert world.ask("POST", merge, {"into": 6}).status == 200
    for path in ("/api/1/incidents", "/api/1/incidents/1"):
        world.ask("GET", path)
        world.ask("GET", path, token=None)
    world.ask("GET", "/api/1/incidents?limit=x")
    world.ask("GET", "/api/1/incidents/77")
    monkeypatch.setattr(api_guard.Buckets, "take", lambda *_, cost=1.0: 2.5 * cost)
    for path, _ in [*writes, (merge, {})]:
        world.ask("POST", path, {})
    world.ask("GET", "/api/1/incidents")
    world.ask("GET", "/api/1/incidents/1")
    monkeypatch.undo()
    world.all = tokens.new(world.db, "fresh", "incidents", None, 1, NOW_MS)
    world.db.execute("ALTER TABLE incidents RENAME TO gone")
    world.db.execute("CREATE VIEW incidents AS SELECT 1 AS blank")  # in its way, so that nobody can make it anew
    for path, body in [*writes, (merge, {"into": 6})]:
        world.ask("POST", path, body)
    world.ask("GET", "/api/1/incidents")
    world.ask("GET", "/api/1/incidents/1")
    documented = {
        (method.upper(), path, int(status))
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if method != "parameters" and not path.startswith("/api/1/actions")
        for status in operation["responses"]
    }
    assert documented - world.seen == set()


def test_a_rate_refills_and_forgets_the_longest_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself."""
    buckets = api_guard.Buckets(3, 1)
    assert [buckets.take("a", 0) for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take("a", 1) == 0 and buckets.take("a", 1) == 1
    assert buckets.take("b", 1) == 0
    monkeypatch.setattr(rates, "MOST_KEYS", 2)
    for key in "cde":
        buckets.take(key, 1)
    assert len(buckets._left) <= 2


def test_a_token_is_kept_as_a_digest_only(tmp_path: Path) -> None:
    """Whoever reads the state file has no token."""
    db = open_world(tmp_path)
    text = tokens.new(db, "x", "read", None, 1, NOW_MS)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert text.removeprefix("ct_").encode() not in (tmp_path / "state.db").read_bytes()
    assert len(text) > 40 and tokens.find(db, text, NOW_MS) is not None


ACTING: dict[str, tuple[str, dict[str, Any]]] = {
    "acknowledge": ("1", {}), "assign": ("1", {"to": "x"}), "note": ("1", {"text": "x"}),
    "pause": ("1", {"reason": "x"}), "unpause": ("1", {"reason": "x"}), "merge": ("3", {"into": 1, "reason": "x"}),
    "fix": ("1", {"reason": "x"}),
    "report": ("ash/ict1", {"text": "It hums"}), "hold": ("ash/ict1", {"until": "18:00", "reason": "x"}),
    "freeze": ("ash", {"until": "18:00", "reason": "x"}), "maintenance": ("ash", {"until": "18:00", "reason": "x"}),
    "silence": ("ash/pc-000", {"until": "18:00", "reason": "x"}), "end": ("1", {"reason": "x"}),
    "end_once": ("2", {"reason": "x"}), "copy": ("1", {"until": "19:00"}), "wake": ("ash/ict1", {"reason": "x"}),
    "shut_down": ("ash/ict1", {"reason": "x"}), "restart": ("ash", {"reason": "x"}), "sleep": ("ash", {"reason": "x"}),
    "stop": ("ash", {"reason": "x"}), "resume": ("ash", {"reason": "x"}),
}  # fmt: skip


@pytest.fixture
def operator(world: World) -> str:
    """A token that may do everything at all schools."""
    return tokens.new(world.db, "ops", "operate", None, 90, NOW_MS)


def test_every_action_is_listed_with_what_it_asks_for(world: World) -> None:
    """And with the least that a token has to have; links of rooms are for people who sign in."""
    found = {each["name"]: each for each in world.ask("GET", "/api/1/actions").body["actions"]}
    assert set(found) == set(ACTING)
    assert [field["name"] for field in found["hold"]["fields"]] == [
        "until", "from", "reason", "repeat", "until_date", "class",
    ]  # fmt: skip
    assert (found["acknowledge"]["scope"], found["stop"]["scope"]) == ("incidents", "operate")
    assert found["stop"]["places"] == ["estate", "school", "room"]


def test_an_action_says_what_it_would_touch_and_then_does_it_with_a_line_in_the_log(
    world: World, operator: str
) -> None:
    """Over HTTP it is the same action as on the desk, by somebody for whom the token speaks."""
    body = {"place": "ash/ict1", "until": "18:00", "reason": "chess club", "by": "head of maths"}
    looked = world.ask("POST", "/api/1/actions/hold?preview=1", body, token=operator)
    assert looked.body["lines"][0].startswith("4 machines in ICT suite 1 stay as they are from ")
    assert world.db.execute("SELECT count(*) FROM holds").fetchone() == (0,)
    done = world.ask("POST", "/api/1/actions/hold", body, token=operator)
    assert (done.body["ok"], done.body["number"], done.body["link"]) == (True, 1, "/records/1")
    assert done.body["undo"] == {"action": "end", "place": "1", "fields": {}}
    [line] = audit.listed(world.db)
    assert (line.who, line.via, line.what, line.outcome) == ("head of maths (by token ops)", "api", "hold", "done")
    undone = world.ask("POST", "/api/1/actions/end", {"place": "1", "reason": "over"}, token=operator)
    assert undone.body["lines"] == ["hold 1 of ash/ict1 ended"]
    again = world.ask("POST", "/api/1/actions/end", {"place": "1", "reason": "over"}, token=operator)
    assert (again.status, again.body["ok"]) == (200, False)


def test_under_one_key_an_action_is_done_once(world: World, operator: str) -> None:
    """As incidents have it, also for two requests that come together."""
    body, key = {"place": "ash", "until": "18:00", "reason": "x"}, {"Idempotency-Key": "k1"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda _: world.ask("POST", "/api/1/actions/hold", body, token=operator, headers=key).body, range(4)
            )
        )
    assert answers == [answers[0]] * 4
    assert world.db.execute("SELECT count(*) FROM holds").fetchone() == (1,)
    other = {**body, "reason": "y"}
    assert world.ask("POST", "/api/1/actions/hold", other, token=operator, headers=key).status == 422


def test_a_token_does_no_more_than_its_scope_and_only_at_its_school(world: World) -> None:
    """What it tried stands in the log all the same."""
    stop = {"place": "ash", "reason": "x"}
    for token, least in ((world.reader, "operate"), (world.all, "operate")):
        answer = world.ask("POST", "/api/1/actions/stop", stop, token=token)
        assert answer.status == 403 and f"--scope {least}" in answer.body["detail"]
    note = world.ask("POST", "/api/1/incidents/1/note", {"text": "x"}, token=world.reader)
    assert note.status == 403
    mine = tokens.new(world.db, "ash-ops", "operate", "ash", 90, NOW_MS)
    assert world.ask("POST", "/api/1/actions/stop", {"place": "oak", "reason": "x"}, token=mine).status == 404
    nowhere = world.ask("POST", "/api/1/actions/stop", {"place": "elm", "reason": "x"}, token=mine)
    there = world.ask("POST", "/api/1/actions/stop", {"place": "oak", "reason": "x"}, token=mine)
    assert nowhere.body["detail"].replace("elm", "oak") == there.body["detail"]
    assert world.ask("POST", "/api/1/actions/stop", {"place": "all", "reason": "x"}, token=mine).status == 403
    assert world.db.execute("SELECT count(*) FROM stops").fetchone() == (0,)
    assert world.ask("POST", "/api/1/actions/stop", stop, token=mine).status == 200
    tried = [(line.who, line.what, line.outcome.partition(":")[0]) for line in audit.listed(world.db)]
    assert tried[::-1] == [
        ("token reader", "stop", "refused"),
        ("token desk", "stop", "refused"),
        ("token reader", "note", "refused"),
        *[("token ash-ops", "stop", "refused")] * 4,
        ("token ash-ops", "stop", "done"),
    ]


def test_what_an_incident_route_does_stands_in_the_log_too(world: World) -> None:
    """Acknowledge, report, and what was refused."""
    world.ask("POST", "/api/1/incidents/1/acknowledge", {"by": "engineer"})
    made = world.ask("POST", "/api/1/incidents", {"school": "ash", "title": "The projector hums"})
    world.ask("POST", "/api/1/incidents/4/acknowledge", {})
    rows = [(line.who, line.what, line.place, line.outcome, line.link) for line in audit.listed(world.db)][::-1]
    number = made.body["incident"]["number"]
    assert rows == [
        ("engineer (by token desk)", "acknowledge", "INC-1", "done", "/incidents/1"),
        ("token desk", "report", "ash", "done", f"/incidents/{number}"),
        (
            "token desk", "acknowledge", "INC-4",
            "refused: INC-4 is fixed already; if it comes back, it is opened again.", "",
        ),
    ]  # fmt: skip


def test_every_documented_answer_of_an_action_is_really_given(
    world: World, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `check` has seen to it that no other is."""
    monkeypatch.setattr(api_guard, "PER_SECOND", 10_000)
    monkeypatch.setattr(api_guard.Buckets, "take", lambda *_, cost=1.0: 0.0)
    world.ask("GET", "/api/1/actions", token=None)
    world.ask("GET", "/api/1/actions")
    found = '{"machines": 1, "asked": ["pc-000"], "later": [], "stay": {}}'  # as a running collector answers
    world.db.execute(
        "CREATE TRIGGER answers AFTER INSERT ON orders "
        f"BEGIN UPDATE orders SET status = 'done', answer = '{found}' WHERE id = new.id; END"
    )
    paths = {name: f"/api/1/actions/{name}" for name in ACTING}
    for name, (place, body) in ACTING.items():
        full = {"place": place, **body}
        done = world.ask("POST", paths[name], full, token=operator)
        assert done.status == 200, (name, done.body)
        world.ask("POST", paths[name], raw=b"{", token=operator)
        world.ask("POST", paths[name], raw=b"{}", headers={"Content-Type": "text/plain"}, token=operator)
        world.ask("POST", paths[name], {**full, "no": 1}, token=operator)
        world.ask("POST", paths[name], full, token=None)
        world.ask("POST", paths[name], full, token=world.reader)
        world.ask("POST", paths[name], {**full, "place": "99"}, token=operator)
    world.db.execute("DROP TRIGGER answers")
    for name in ("acknowledge", "assign", "pause", "unpause", "fix", "merge"):
        world.ask("POST", paths[name], {**ACTING[name][1], "place": "3"}, token=operator)
    world.db.execute("UPDATE holds SET room = 'gone' WHERE id = 1")
    for name in ("hold", "freeze", "maintenance", "silence", "wake"):
        world.ask("POST", paths[name], {**ACTING[name][1], "place": "oak/lab"}, token=operator)
    world.ask("POST", paths["copy"], {"place": "1", "until": "19:00"}, token=operator)
    monkeypatch.setattr(api_guard, "LARGEST_BODY", 50)
    for path in paths.values():
        world.ask("POST", path, raw=b" " * 60, token=operator)
    monkeypatch.setattr(api_guard.Buckets, "take", lambda *_, cost=1.0: 2.5 * cost)
    for path in (*paths.values(), "/api/1/actions"):
        world.ask("GET" if path.endswith("actions") else "POST", path, token=operator)
    monkeypatch.undo()
    monkeypatch.setattr(api_guard.Buckets, "take", lambda *_, cost=1.0: 0.0)
    world.db.execute("ALTER TABLE tokens RENAME TO gone")
    world.db.execute("CREATE VIEW tokens AS SELECT 1 AS blank")
    for path in (*paths.values(), "/api/1/actions"):
        world.ask("GET" if path.endswith("actions") else "POST", path, None, token=operator)
    documented = {
        (method.upper(), path, int(status))
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if method != "parameters" and path.startswith("/api/1/actions")
        for status in operation["responses"]
    }
    assert documented - world.seen == set()
