"""The HTTP API, asked as others ask it: over HTTP, of the collector's own web application."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from api_world import DOCUMENT, Answer, World, api_world
from caretaker_collector.api import guard as api_guard
from caretaker_collector.api import tokens
from caretaker_collector.incidents import book as incident_book
from caretaker_dashboards.desk import rates
from caretaker_rules.incidents import Action, Entry
from telling_world import NOW_MS, make_incident, open_world

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A school "ash" and one "oak", four incidents, three tokens."""
    with api_world(tmp_path) as made:
        yield made


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
