"""Links of rooms on a state file, and the count of those who press their button."""

import sqlite3
from pathlib import Path

import pytest

from caretaker_collector import state, stays
from caretaker_collector.api.stay_pages import MOST_ADDRESSES, Limiter
from caretaker_collector.stays import Kept
from worlds import NOW_MS

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    return state.open_state(tmp_path / "state.db")


def press(db: sqlite3.Connection, token: str, minute: int, stay_min: int = 60) -> tuple[float, bool] | None:
    """Press the button so many minutes after the start: until when, counted likewise, and whether that is new."""
    kept = stays.ask_by_link(db, token, stay_min * MINUTE_MS, NOW_MS + minute * MINUTE_MS)
    return None if kept is None else ((kept.until_ms - NOW_MS) / MINUTE_MS, kept.new)


def test_one_room_gets_one_new_hold_in_five_minutes_and_then_a_later_one(db: sqlite3.Connection) -> None:
    token, other = (stays.link_of(db, "ash", room, NOW_MS) for room in ("ict1", "ict2"))
    assert token != other
    assert press(db, token, 0) == (60, True)
    assert press(db, token, 4) == (60, False)
    assert press(db, other, 4) == (64, True), "another room is another matter"
    assert press(db, token, 5) == (65, True)
    assert press(db, token, 200) == (260, True)


def test_what_lasts_longer_already_is_not_held_again(db: sqlite3.Connection) -> None:
    """Somebody at a machine asked for an hour, and this link gives forty minutes."""
    token = stays.link_of(db, "ash", "ict1", NOW_MS)
    hold = stays.hold_of_room("ash", "ict1", NOW_MS, NOW_MS + HOUR_MS)
    db.execute(*stays.asked("report|ash/pc-1|0|1|1", hold, "somebody at ash/pc-1", NOW_MS))
    assert press(db, token, 10, stay_min=40) == (60, False)
    assert press(db, token, 21, stay_min=40) == (61, True)


def test_an_unknown_word_changes_nothing(db: sqlite3.Connection) -> None:
    before = db.total_changes
    assert stays.ask_by_link(db, "x", HOUR_MS, NOW_MS) is None
    assert (db.total_changes, db.in_transaction) == (before, False)


def test_an_operators_own_hold_of_the_room_is_left_alone(db: sqlite3.Connection) -> None:
    token = stays.link_of(db, "ash", "ict1", NOW_MS)
    db.execute(
        "INSERT INTO holds (kind, school, room, from_ms, until_ms, reason, made_ms) "
        "VALUES ('hold', 'ash', 'ict1', 0, ?, 'still here', ?)",
        (NOW_MS + 9 * HOUR_MS, NOW_MS),
    )
    assert stays.ask_by_link(db, token, HOUR_MS, NOW_MS) == Kept(
        school="ash", room="ict1", until_ms=NOW_MS + HOUR_MS, new=True
    )


def test_a_link_is_hard_to_guess(db: sqlite3.Connection) -> None:
    tokens = [stays.link_of(db, "ash", f"room-{number}", NOW_MS) for number in range(100)]
    assert len(set(tokens)) == 100
    assert {len(token) for token in tokens} == {22}, "128 bits"


def test_addresses_are_counted_for_a_minute_and_not_without_bound() -> None:
    limiter = Limiter(most=2)
    assert [limiter.allows("192.0.2.1", 1000.0) for _ in range(3)] == [True, True, False]
    assert limiter.allows("192.0.2.2", 1000.0)
    assert [limiter.allows(f"2001:db8::{number}", 1000.0) for number in range(3)] == [True, True, False]
    assert limiter.allows("2001:db8:0:1::1", 1000.0), "the house next door"
    assert limiter.allows("192.0.2.1", 1060.0)
    heard = [limiter.allows(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1061.0) for n in range(MOST_ADDRESSES + 10)]
    assert heard.count(True) == MOST_ADDRESSES - 1
    assert limiter.allows("no address", 1130.0)
