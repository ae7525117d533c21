"""Hours of service against calendars that were worked out by hand: golden/*.toml, each with its working.

The second, minute-by-minute implementation has to agree with them too, so that it is worth comparing with.
"""

import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caretaker_collector.calendars import bank_holidays
from caretaker_rules.durations import parse_duration
from caretaker_rules.model import School
from caretaker_rules.service import ServiceFile
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.timetable import DayKind, Timetable
from rules_world import LONDON
from slow_service import SlowService

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.toml"))
FIRST, LAST = date(2026, 1, 1), date(2028, 12, 31)
LEVEL = {"availability_target": 1, "priorities": [], "matrix": []}


def moment_ms(text: str) -> int:
    """UTC ms of "2026-10-25 01:30" in London, or with an offset where that is said twice."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=LONDON)).timestamp() * 1000)


def spans_of(rows: list[list[str]]) -> list[tuple[int, int]]:
    """Pairs of moments in UTC ms."""
    return [(moment_ms(begin), moment_ms(end)) for begin, end in rows]


class Golden:
    """One file: the product's clock, the slow one, and what is expected."""

    def __init__(self, path: Path) -> None:
        self.told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        school = msgspec.convert({"name": "ash", "title": "A", **self.told["school"]}, School)
        service = msgspec.convert({"levels": [LEVEL | level for level in self.told["levels"]]}, ServiceFile)
        kinds = {date.fromisoformat(day): kind for day, kind in self.told.get("kinds", {}).items()}
        free = bank_holidays(school.bank_holidays, FIRST, LAST)
        timetable = Timetable(
            first_day=FIRST,
            last_day=LAST,
            bank_holidays=free,
            kinds={day: DayKind(kind) for day, kind in kinds.items()},
        )
        self.clock = ServiceClock.of(school, service, timetable)
        self.slow = SlowService(school, service, kinds, free)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """What is expected of one kind."""
        return list(self.told.get(name, ()))


@pytest.fixture(params=FILES, ids=lambda path: path.stem, scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_so_much_is_owed_as_was_worked_out(golden: Golden) -> None:
    for row in golden.rows("owed"):
        from_ms, until_ms = moment_ms(row["from"]), moment_ms(row["until"])
        owed = golden.clock.owed(from_ms, until_ms)
        assert sum(end - begin for begin, end in owed) == row["seconds"] * 1000, row
        assert golden.slow.used_ms(from_ms, until_ms, ()) == row["seconds"] * 1000, row
        if "spans" in row:
            assert owed == spans_of(row["spans"]), row


def test_so_much_is_used_between_two_moments_as_was_worked_out(golden: Golden) -> None:
    for row in golden.rows("used"):
        from_ms, until_ms, pauses = moment_ms(row["from"]), moment_ms(row["until"]), spans_of(row.get("pauses", []))
        assert golden.clock.used_ms(from_ms, until_ms, pauses) == row["seconds"] * 1000, row
        assert golden.slow.used_ms(from_ms, until_ms, pauses) == row["seconds"] * 1000, row


def test_it_is_due_when_it_was_worked_out(golden: Golden) -> None:
    for row in golden.rows("due"):
        from_ms, allowance_ms = moment_ms(row["from"]), parse_duration(row["allowance"]) * 1000
        pauses = spans_of(row.get("pauses", []))
        due_ms = None if row["due"] == "never" else moment_ms(row["due"])
        assert golden.clock.due_ms(from_ms, allowance_ms, pauses) == due_ms, row
        until_ms = due_ms or from_ms + 14 * 86_400_000
        assert golden.slow.due_ms(from_ms, allowance_ms, pauses, until_ms) == due_ms, row


def test_days_of_an_unknown_kind_are_named(golden: Golden) -> None:
    row = golden.told.get("unknown")
    if row is None:
        first_ms = moment_ms(golden.rows("owed")[0]["from"]) if golden.rows("owed") else moment_ms("2026-10-06 00:00")
        assert golden.clock.unknown_days(first_ms, first_ms + 86_400_000) == []
    else:
        found = golden.clock.unknown_days(moment_ms(row["from"]), moment_ms(row["until"]))
        assert found == row["days"]


def test_every_calendar_shows_its_working_and_the_hard_days_are_there() -> None:
    names = {path.stem for path in FILES}
    assert names >= {"october-day-and-night", "march-day-and-night", "closing", "weekend", "bank-holidays-2026"}
    assert names >= {"bank-holidays-2027", "inset", "half-term", "level-change", "unknown-terms", "nothing-owed"}
    for path in FILES:
        assert path.read_text(encoding="utf-8").startswith("# "), path
