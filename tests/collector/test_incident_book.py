"""The log of incidents: what is open is found without reading what is not, and is what the log says."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from caretaker_collector import state
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents.book import Follower
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened, fold

DAY_MS = 86_400_000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = state.open_state(tmp_path / "state.db")
    yield made
    made.close()


def opening(uid: str, at_ms: int, school: str = "ash") -> Entry:
    told = Opened(kind=FindingKind.LOST, subject=Subject(school, "ict1", uid), title=uid, since_ms=at_ms)
    return Entry(uid=uid, at_ms=at_ms, by="rules", action=Action.OPENED, opened=told)


def entry(uid: str, action: Action, at_ms: int, text: str = "") -> Entry:
    return Entry(uid=uid, at_ms=at_ms, by="rules", action=action, text=text)


def test_open_ones_are_found_by_an_index_that_holds_nothing_else(db: sqlite3.Connection) -> None:
    """With a hundred thousand old ones, whatever is asked of the open ones reads a handful of rows."""
    rows = [(f"old{number}", number, "ash", number, number + 1) for number in range(1, 100_001)]
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO incidents (uid, number, school, opened_ms, closed_ms) VALUES (?, ?, ?, ?, ?)",
        rows,
    )
    db.execute("COMMIT")
    incident_book.append(db, opening("a", 200_000), opening("b", 200_001, "oak"))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 100)
    assert [one.uid for one in incident_book.open_ones(db, "ash")] == ["a"]
    assert [(one.uid, one.number) for one in incident_book.open_ones(db)] == [("a", 100_001), ("b", 100_002)]
    follower = Follower(db, 60_000, from_id=2)
    follower.refresh(300_000)
    assert list(follower.of("oak")) == ["b"]
    incident_book.append(db, opening("c", 200_002), entry("c", Action.FIXED, 200_003))
    assert steps < 50, "a hundred SQLite steps each: some rows were read that are not open"
    db.set_progress_handler(None, 0)


def test_what_counts_as_open_is_what_the_log_says_whatever_was_written(db: sqlite3.Connection) -> None:
    """People and rules may write anything at any time: acknowledge what is fixed, reopen what is merged."""
    random.seed(4)
    follower = Follower(db, 10**9)
    for number in range(40):
        incident_book.append(db, opening(f"i{number}", number))
    for at_ms in range(100, 900):
        uid = f"i{random.randrange(40)}"
        incident_book.append(db, entry(uid, random.choice([a for a in Action if a is not Action.OPENED]), at_ms, "i0"))
        if random.random() < 0.1:
            follower.refresh(at_ms)
    follower.refresh(1000)
    folded = list(incident_book.listed(db))
    open_ones = [one for one in folded if one.open]
    assert 0 < len(open_ones) < 40
    assert incident_book.open_ones(db) == open_ones
    closed_ms = {one.uid: one.at_ms for one in _last_closing(db, folded)}
    assert dict(db.execute("SELECT uid, closed_ms FROM incidents WHERE closed_ms IS NOT NULL")) == closed_ms
    assert sorted(follower.of("ash").values(), key=lambda one: one.number) == folded


def test_a_follower_keeps_what_is_open_and_forgets_what_was_closed_long_ago_until_it_is_reopened(
    db: sqlite3.Connection,
) -> None:
    follower = Follower(db, DAY_MS)
    incident_book.append(db, opening("a", 1), opening("b", 2), entry("b", Action.FIXED, 3))
    assert [(number, told.action) for number, told, _ in follower.refresh(10)] == [
        (1, Action.OPENED),
        (2, Action.OPENED),
        (3, Action.FIXED),
    ]
    assert follower.refresh(20) == []
    incident_book.append(db, entry("a", Action.ACKNOWLEDGED, 30))
    follower.refresh(3 * DAY_MS)
    assert list(follower.of("ash")) == ["a"]
    incident_book.append(db, entry("b", Action.REOPENED, 3 * DAY_MS))
    follower.refresh(3 * DAY_MS + 1)
    assert {one.uid: one.entries for one in follower.of("ash").values()} == {"a": 2, "b": 3}
    assert Follower(db, DAY_MS, from_id=4).refresh(3 * DAY_MS + 1)[0][2] == follower.of("ash")["b"]


def _last_closing(db: sqlite3.Connection, folded: list[Incident]) -> list[Entry]:
    """The entry that closed each incident that is not open, by the fold."""
    found = []
    for incident in folded:
        log = incident_book.log_of(db, incident.uid)
        closings = [
            number
            for number in range(2, len(log) + 1)
            if fold(1, log[: number - 1]).open and not fold(1, log[:number]).open
        ]
        if not incident.open:
            found.append(log[closings[-1] - 1])
    return found
