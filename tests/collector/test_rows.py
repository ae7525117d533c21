"""Many rows in few statements: rows.insert."""

import sqlite3

import pytest

from caretaker_collector import rows


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 511, 512, 513, 1500])
def test_every_row_is_written_once_and_in_order(number: int) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT)")
    given = [(i, f"word {i}") for i in range(number)]
    rows.insert(db, "t", given)
    assert db.execute("SELECT id, word FROM t ORDER BY id").fetchall() == given


def test_a_thousand_rows_take_few_statements() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    rows.insert(db, "t", [(i,) for i in range(1000)])
    assert len(statements) <= 16


def test_a_row_that_is_there_is_updated_when_the_conflict_says_so() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT)")
    update = "ON CONFLICT (id) DO UPDATE SET word = excluded.word"
    rows.insert(db, "t", [(i, "old") for i in range(10)], update)
    rows.insert(db, "t", [(i, "new") for i in range(9)], update)
    assert db.execute("SELECT word, count(*) FROM t GROUP BY word ORDER BY word").fetchall() == [("new", 9), ("old", 1)]
