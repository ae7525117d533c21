"""Holds, freezes and maintenance on a real state file: made, copied, ended, listed, and what they held back."""

import sqlite3
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from caretaker_collector import backtest, people, planned, records, state
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.model import Device, Estate
from caretaker_rules.reasons import Reason, Why
from caretaker_rules.repeats import Series
from caretaker_rules.timetable import NO_TIMETABLE
from rules_world import CLASSES, LONDON, SCHOOL, london_ms

NOW = "2026-10-20 12:00"
MINUTE_MS = 60_000


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    """An empty state file."""
    return state.open_state(tmp_path / "state.db")


def estate(*rows: tuple[str, str, str]) -> Estate:
    """Ashfield with these machines: name, room, class."""
    devices = [Device(school="ash", name=name, room=room, device_class=of) for name, room, of in rows]
    return Estate(
        provider="Test",
        networks={},
        schools={"ash": SCHOOL},
        classes=CLASSES,
        devices={device.address: device for device in devices},
    )


ROOM = estate(
    ("pc-01", "ict1", "desktop"),
    ("pc-02", "ict1", "desktop"),
    ("lap-1", "ict1", "server"),
    ("pc-09", "hall", "desktop"),
)


def series(
    begin: str = NOW, until: str = "2026-10-20 18:00", every: str | None = None, last: str | None = None
) -> Series:
    """Times of a record, local."""
    return Series(
        from_ms=london_ms(begin),
        until_ms=london_ms(until),
        time_zone="Europe/London",
        every=every,  # type: ignore[arg-type]
        last_day=date.fromisoformat(last) if last else None,
    )


def make(db: sqlite3.Connection, kind: str = "hold", scope: Scope | None = None, times: Series | None = None) -> int:
    """A record by the caretaker of the school, made at noon."""
    room = scope or Scope(school="ash", room="ict1")
    return records.make(db, kind, room, times or series(), "chess club", "site manager", london_ms(NOW))  # type: ignore[arg-type]


def decide(db: sqlite3.Connection, name: str, at: str, *whys: Why, verdict: Verdict = Verdict.LEFT_ON) -> None:
    """Write a decision as the ledger does."""
    decision = Decision(Address("ash", name), london_ms(at), verdict, "", 0, "1234", tuple(Reason(why) for why in whys))
    db.execute(
        "INSERT INTO decisions (school, device, at_ms, decision) VALUES ('ash', ?, ?, ?)",
        (name, decision.at_ms, msgspec.json.encode(decision)),
    )


def in_force(db: sqlite3.Connection, at: str) -> list[tuple[str, str | None]]:
    """What the rules get to see: kind and class of each."""
    holds = Ledger(db, Memory()).holds(london_ms(at))
    return [(hold.kind, hold.device_class) for hold in holds]


def test_the_rules_see_a_weekly_record_only_in_its_hours(db: sqlite3.Connection) -> None:
    """An hour and two minutes before it begins they see it coming, because a command may count down for so long."""
    times = series("2026-10-20 16:00", "2026-10-20 17:00", "week", "2026-11-03")
    make(db, "maintenance", Scope(school="ash", device_class="desktop"), times)
    assert in_force(db, "2026-10-27 14:57") == []
    assert in_force(db, "2026-10-27 14:59") == [("maintenance", "desktop")]
    assert in_force(db, "2026-10-27 16:59") == [("maintenance", "desktop")]
    assert in_force(db, "2026-10-27 17:00") == []
    assert in_force(db, "2026-11-10 16:30") == []


def test_a_silence_is_seen_by_the_alerts_and_never_by_what_keeps_machines_on(db: sqlite3.Connection) -> None:
    """The rules, what calls commands back, the feed of what is planned, and a trial on the record do not see it."""
    make(db, "silence", Scope(school="ash"))
    assert in_force(db, NOW) == []
    now_ms = london_ms(NOW)
    assert planned.planned(db, {"ash": NO_TIMETABLE}, now_ms) == {"ash": []}
    path = Path(db.execute("PRAGMA database_list").fetchone()[2])
    assert backtest._from_state(path, now_ms - 86_400_000, now_ms + 86_400_000)[0] == []
    make(db, "maintenance", Scope(school="ash"))
    assert in_force(db, NOW) == [("maintenance", None)]
    alerting = records.in_force(db, now_ms, now_ms, records.ALERTING)
    assert [hold.kind for hold in alerting] == ["silence", "maintenance"]


def test_ending_early_frees_the_room_at_once_and_keeps_the_record(db: sqlite3.Connection) -> None:
    """It moves from the list of what is on to the list of what is over, with who and why."""
    number = make(db)
    assert [record.id for record in records.listed(db, london_ms(NOW), past=False)] == [number]
    record = records.one(db, number)
    assert record is not None
    assert records.end(db, record, london_ms("2026-10-20 13:00"))
    assert in_force(db, "2026-10-20 13:00") == []
    assert records.listed(db, london_ms("2026-10-20 13:00"), past=False) == []
    (past,) = records.listed(db, london_ms("2026-10-20 13:00"), past=True)
    assert (past.by, past.reason, past.over_ms()) == ("site manager", "chess club", london_ms("2026-10-20 13:00"))
    assert not records.end(db, past, london_ms("2026-10-20 14:00"))


def test_one_time_of_a_repeated_record_can_end_and_the_next_comes(db: sqlite3.Connection) -> None:
    """`end --once` today, and tomorrow it is on again; what is not on now cannot end once."""
    number = make(db, times=series("2026-10-20 12:00", "2026-10-20 14:00", "day", "2026-10-23"))
    record = records.one(db, number)
    assert record is not None
    assert records.end(db, record, london_ms("2026-10-20 13:00"), once=True)
    assert in_force(db, "2026-10-20 13:00") == []
    assert in_force(db, "2026-10-21 13:00") == [("hold", None)]
    ended = records.one(db, number)
    assert ended is not None
    assert not records.end(db, ended, london_ms("2026-10-20 15:00"), once=True)


def test_what_a_record_held_back_is_counted_from_decisions(db: sqlite3.Connection) -> None:
    """Machines of its room that were left on for its reason while it lasted; alone: where nothing else kept them on."""
    number = make(db)
    decide(db, "pc-01", "2026-10-20 11:58", Why.HELD)  # the rules saw it coming, and nothing changed since
    decide(db, "pc-02", "2026-10-20 17:00", Why.NOT_IDLE_LONG_ENOUGH, Why.HELD, Why.ORDERED)
    decide(db, "lap-1", "2026-10-20 15:00", Why.IN_USE)
    decide(db, "lap-1", "2026-10-20 18:30", Why.HELD)  # after it was over
    decide(db, "pc-09", "2026-10-20 15:00", Why.HELD)  # another room
    record = records.one(db, number)
    assert record is not None
    after = london_ms("2026-10-20 19:00")
    assert records.held_back(db, ROOM, record, after) == records.HeldBack(machines=2, by_this_alone=1)
    decide(db, "pc-02", "2026-10-20 17:30", Why.HELD)
    assert records.held_back(db, ROOM, record, after) == records.HeldBack(machines=2, by_this_alone=2)
    freeze = records.one(db, make(db, "freeze"))
    assert freeze is not None
    assert records.held_back(db, ROOM, freeze, after).machines == 0


@pytest.mark.parametrize(
    ("times", "wrong"),
    [
        (series(until="2026-10-20 12:00"), "--until  is before it begins"),
        (series("2026-10-19 12:00", "2026-10-20 11:00"), "--until  is past"),
        (series(every="day"), "--repeat  needs --until-date: the last day on which it begins, such as 2026-12-18"),
        (series(every="day", last="2026-10-19"), "--until-date  is before the first time"),
        (
            series(until="2026-10-21 13:00", every="day", last="2026-10-30"),
            "--until  it lasts longer than a day, so it cannot come again each day",
        ),
    ],
)
def test_times_that_cannot_be_meant_are_refused(db: sqlite3.Connection, times: Series, wrong: str) -> None:
    """One clear sentence, and nothing is written."""
    with pytest.raises(ConfigError) as raised:
        make(db, times=times)
    assert list(raised.value.faults) == [wrong]
    assert db.execute("SELECT count(*) FROM holds").fetchone() == (0,)


def test_a_state_file_of_before_gets_the_new_columns(tmp_path: Path) -> None:
    """A hold that was written by the version before still holds."""
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    old.execute(
        "CREATE TABLE holds (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, school TEXT NOT NULL, "
        "room TEXT, device TEXT, from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, ended_ms INTEGER, "
        "reason TEXT NOT NULL, made_ms INTEGER NOT NULL)"
    )
    old.execute(
        "INSERT INTO holds (kind, school, from_ms, until_ms, reason, made_ms) "
        "VALUES ('freeze', 'ash', ?, ?, 'exam', 0)",
        (london_ms(NOW), london_ms("2026-10-20 16:00")),
    )
    old.commit()
    old.close()
    state.open_state(path).close()
    db = state.open_state(path)
    assert in_force(db, "2026-10-20 13:00") == [("freeze", None)]
    (record,) = records.listed(db, london_ms("2026-10-20 13:00"), past=False)
    assert record.by == "operator"


def test_a_place_is_a_school_a_room_or_a_machine_and_a_class_narrows_it() -> None:
    """The short form of a machine's name, the long one, and what each mistake is told."""

    def names(text: str, of: str | None = None) -> list[str]:
        return [device.name for device in people.scope(ROOM, text, of).devices(ROOM)]

    assert names("ash") == ["pc-01", "pc-02", "lap-1", "pc-09"]
    assert names("ash/ict1") == ["pc-01", "pc-02", "lap-1"]
    assert names("ash/ict1", "desktop") == ["pc-01", "pc-02"]
    assert names("ash/pc-02") == names("ash/ict1/pc-02") == ["pc-02"]
    both = estate(("hall", "ict1", "desktop"), ("pc-09", "hall", "desktop"))
    assert [d.name for d in people.scope(both, "ash/hall").devices(both)] == ["pc-09"]
    assert [d.name for d in people.scope(both, "ash/ict1/hall").devices(both)] == ["hall"]
    for text, of, wrong in (
        ("elm", None, "no school 'elm'; there are: ash"),
        ("ash/attic", None, "no room 'attic' in ash; there are: hall, ict1, office"),
        ("ash/hall/pc-01", None, "pc-01 stands in room ict1, not in hall"),
        ("ash/ict1/pc-77", None, "no machine 'pc-77' in ash"),
        ("ash", "mystery", "no such class; there are: desktop, server"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            people.scope(ROOM, text, of)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("18:00", "2026-10-20 12:00", "2026-10-20 18:00"),
        ("09:00", "2026-10-20 12:00", "2026-10-21 09:00"),
        ("12:00", "2026-10-20 12:00", "2026-10-21 12:00"),
        ("17:30", "2026-10-24 18:00", "2026-10-25 17:30"),
        ("17:30", "2026-10-24 17:15", "2026-10-24 17:30"),
        ("17:30", "2027-03-27 17:45", "2027-03-28 17:30"),
        ("2026-10-22 08:15", "2026-10-20 12:00", "2026-10-22 08:15"),
    ],
)
def test_a_time_of_day_is_the_next_one_also_over_a_clock_change(text: str, after: str, expected: str) -> None:
    """Never a minute of the past, and no day left out where a day has 23 or 25 hours."""
    assert people.moment("--until", text, london_ms(after), LONDON) == london_ms(expected)


@pytest.mark.parametrize("text", ["6pm", "2026-10-01 18:00", "25:00"])
def test_a_time_that_is_none_or_past_is_refused(text: str) -> None:
    """The option is named, and how to write it."""
    with pytest.raises(ConfigError, match="--until"):
        people.moment("--until", text, london_ms(NOW), ZoneInfo("Europe/London"))


def test_who_asks_is_a_role_or_a_member_of_staff() -> None:
    """Something has to stand there, and no essay."""
    assert people.who(" head of art ") == "head of art"
    for text in ("", "x" * 41, "a\nb"):
        with pytest.raises(ConfigError, match="--by"):
            people.who(text)
