"""Actions over HTTP: listed, looked at, done once, logged; and every answer that is documented."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api_world import DOCUMENT, World, api_world
from caretaker_collector import audit
from caretaker_collector.api import guard as api_guard
from caretaker_collector.api import tokens
from telling_world import NOW_MS

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A school "ash" and one "oak", four incidents, three tokens."""
    with api_world(tmp_path) as made:
        yield made


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
