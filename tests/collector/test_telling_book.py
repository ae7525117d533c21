"""What was told, on a real state file: written once, remembered whole, and a digest once a day."""

import sqlite3
from pathlib import Path

import pytest

from alert_world import CLOCK, World, at, lines, settings_of
from caretaker_collector import state
from caretaker_collector.incidents import tellings as telling_book
from caretaker_collector.incidents.book import Write
from caretaker_rules.alert_steps.digest import Seen
from rules_world import SCHOOL

ALERTS = settings_of("""
default = ["desk"]
[[channels]]
name = "desk"
kind = "file"
path = "desk.log"
[[digests]]
channels = ["desk"]
""")


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    """An empty state file."""
    return state.open_state(tmp_path / "state.db")


def execute(db: sqlite3.Connection, writes: list[Write]) -> None:
    """As the batch does."""
    for statement, values in writes:
        db.execute(statement, values)


def test_a_message_that_is_written_twice_is_there_once_and_the_group_is_remembered(db: sqlite3.Connection) -> None:
    """A replayed batch changes nothing, not even a message that was sent meanwhile; of a group one message waits."""
    world = World(ALERTS)
    for number in (1, 2, 3):
        world.happens(f"tue 09:00 opened {number} P1 ict1")
    made = world.look(at("tue 09:01"))
    execute(db, [each for telling in made for each in telling_book.write(telling)])
    db.execute("UPDATE tellings SET status = 'sent' WHERE status = 'waiting'")
    execute(db, [each for telling in made for each in telling_book.write(telling)])
    statuses = sorted(status for (status,) in db.execute("SELECT status FROM tellings"))
    assert statuses == ["sent", telling_book.WITHIN, telling_book.WITHIN]
    assert lines(made) == ["tue 09:01 opened 1+2+3 -> desk"]
    told = telling_book.told_of(db, ["u1", "u2", "u3", "other"])
    assert told == [telling.told for telling in sorted(made, key=lambda telling: telling.uid)]
    assert telling_book.told_of(db, []) == []


def test_what_was_told_of_thousands_of_incidents_is_found(db: sqlite3.Connection) -> None:
    """More than SQLite takes in one statement."""
    world = World(ALERTS)
    world.happens("tue 09:00 opened 1 P1 ict1")
    execute(db, telling_book.write(world.look(at("tue 09:01"))[0]))
    assert len(telling_book.told_of(db, [f"u{number}" for number in range(3000, 0, -1)])) == 1


def test_a_digest_is_written_once_a_day_and_asks_for_incidents_only_then(db: sqlite3.Connection) -> None:
    """Before its time and after it was written nobody is asked."""
    world = World(ALERTS)
    world.happens("mon 09:00 opened 1 P1 ict1")
    asked = []

    def seen() -> list[Seen]:
        asked.append(1)
        return [Seen(SCHOOL, list(world.incidents().values()), CLOCK)]

    for when in ("tue 07:29", "tue 07:31", "tue 07:32", "tue 23:00", "wed 09:00"):
        execute(db, telling_book.digests(db, ALERTS, seen, at(when)))
    assert len(asked) == 2
    assert [row[0] for row in db.execute("SELECT made_ms FROM tellings ORDER BY made_ms")] == [
        at("tue 07:31"),
        at("wed 09:00"),
    ]
