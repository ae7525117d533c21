"""Many rows in few statements.

Python's sqlite3 lets go of the interpreter's lock for every row of `executemany`, and while other threads are busy each
of these may cost the switch interval (5 ms); see stores/sqlite.py for what was measured.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

SIZES = (512, 64, 8, 1)
"""Rows in one statement: few different numbers, so that the statements stay prepared."""


def insert(db: sqlite3.Connection, into: str, rows: Sequence[Iterable[Any]], conflict: str = "") -> None:
    """Run `INSERT INTO {into} VALUES rows {conflict}`. All rows have the same width. `into` and `conflict` are ours."""
    if not rows:
        return
    at, width = 0, len(tuple(rows[0]))
    for size in SIZES:
        while len(rows) - at >= size:
            db.execute(_statement(into, conflict, width, size), tuple(chain.from_iterable(rows[at : at + size])))
            at += size


@lru_cache(maxsize=64)
def _statement(into: str, conflict: str, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * size)} {conflict}"  # noqa: S608  # nothing but our own names
