"""What has changed: marks, and those who follow them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caretaker_collector import people, state
from caretaker_collector.desk.changes import EVERY_S, Changes
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.memory import Entry
from caretaker_collector.numbering import Numberings
from caretaker_collector.pipeline import Batch
from caretaker_contract.topics import Address
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Opened
from caretaker_rules.incidents import Entry as LogEntry
from caretaker_rules.model import Device, Estate, Room, School, Tracked

DEVICES = [
    Device(school="ash", name="pc-01", room="ict1", device_class="desktop"),
    Device(school="ash", name="pc-02", room="lib", device_class="desktop"),
    Device(school="oak", name="pc-03", room="ict", device_class="desktop"),
]
ESTATE = Estate(
    provider="Test",
    networks={},
    schools={
        "ash": School(name="ash", title="Ashfield", rooms=[Room(name="ict1"), Room(name="lib")]),
        "oak": School(name="oak", title="Oakley", rooms=[Room(name="ict")]),
    },
    classes={},
    devices={device.address: device for device in DEVICES},
)
TOPICS = ("estate", "ash", "ash/ict1", "ash/lib", "ash/pc-01", "oak", "oak/ict", "incident/1")


class Watched:
    """Counting changes of a state file, on a clock that a test sets."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.now_s = db, 100.0
        self.now: Any = SimpleNamespace(stands={})
        self.changes = Changes(db, ESTATE, self.now, lambda: self.now_s)
        self.changes.look()
        self.before = self.marks()

    def marks(self) -> dict[str, str]:
        """Of all topics."""
        return {topic: self.changes.mark(topic) for topic in TOPICS}

    def moved(self) -> list[str]:
        """The topics whose mark is another one than before."""
        known, self.before = self.before, self.marks()
        return [topic for topic in TOPICS if self.before[topic] != known[topic]]

    async def touch(
        self, *devices: str, tick: bool = False, looked: tuple[str, ...] = (), unfinished: bool = False
    ) -> None:
        """A batch with reports of these."""
        batch = Batch(now_ms=1, records=[], tick=tick, position=0, unfinished=unfinished)
        for text in devices:
            school, _, name = text.partition("/")
            batch.touched[Address(school, name)] = Entry(Tracked(), Numberings())
        for school in looked:
            batch.looked[school] = None  # type: ignore[assignment]  # only its name is looked at
        await self.changes.run(batch)

    async def tell(self, seconds: float = EVERY_S) -> None:
        """So much later."""
        self.now_s += seconds
        self.changes.tell()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    db = state.open_state(tmp_path / "state.db")
    yield Watched(db)
    db.close()


def open_incident(db: sqlite3.Connection) -> None:
    opened = Opened(kind=FindingKind.LOST, subject=Subject("ash", "ict1", "pc-01"), title="lost", since_ms=1)
    incident_book.append(db, LogEntry(uid="a", at_ms=1, by="rules", action=Action.OPENED, opened=opened))


async def test_a_report_moves_its_room_and_school_on_and_nothing_else(watched: Watched) -> None:
    await watched.touch("ash/pc-01")
    assert watched.moved() == ["ash", "ash/ict1", "ash/pc-01"]
    assert watched.moved() == []


async def test_the_estate_moves_on_when_a_school_stands_otherwise_and_not_with_each_report(watched: Watched) -> None:
    watched.now.stands["oak"] = object()
    await watched.touch(looked=("oak",))
    assert watched.moved() == ["estate", "oak"]
    await watched.touch(looked=("oak",))
    assert watched.moved() == []


async def test_a_tick_moves_everything_on_because_less_time_is_left(watched: Watched) -> None:
    await watched.touch(tick=True)
    assert watched.moved() == list(TOPICS)


async def test_an_incident_moves_its_own_page_its_school_and_all_rooms_of_it_on_at_once(watched: Watched) -> None:
    open_incident(watched.db)
    assert watched.moved() == ["estate", "ash", "ash/ict1", "ash/lib", "ash/pc-01", "incident/1"]


async def test_a_stop_switch_moves_everything_on_also_when_another_process_wrote_it(
    watched: Watched, tmp_path: Path
) -> None:
    other = state.open_state(tmp_path / "state.db")
    people.stop(other, "oak", None, 5, "boiler")
    assert watched.moved() == list(TOPICS)
    people.resume(other, "oak", None, 6)
    assert watched.moved() == list(TOPICS)
    other.close()


async def _gather(marks: AsyncIterator[str], found: list[str]) -> None:
    async for mark in marks:
        found.append(mark)  # noqa: PERF401 (each is looked at when it comes)


async def test_followers_get_a_mark_at_once_and_then_at_most_one_in_two_seconds(watched: Watched) -> None:
    found: list[str] = []
    following = asyncio.create_task(_gather(watched.changes.follow("ash"), found))
    await watched.tell(0)
    assert found == [watched.changes.mark("ash")]
    await watched.touch("ash/pc-01")
    await watched.tell(EVERY_S - 0.1)
    assert len(found) == 1, "too early"
    await watched.touch("ash/pc-02")
    await watched.tell(0.1)
    assert found[1:] == [watched.changes.mark("ash")], "two changes are one mark"
    await watched.tell(10)
    assert len(found) == 2, "nothing new, so nothing is said"
    following.cancel()


async def test_the_more_follow_a_topic_the_less_often_they_are_told(watched: Watched) -> None:
    found: list[list[str]] = [[] for _ in range(200)]
    tasks = [asyncio.create_task(_gather(watched.changes.follow("estate"), each)) for each in found]
    await asyncio.sleep(0)
    await watched.touch(tick=True)
    await watched.tell(EVERY_S + 1)
    assert {len(each) for each in found} == {1}
    await watched.tell(10)
    assert {len(each) for each in found} == {2}
    for task in tasks:
        task.cancel()


async def test_nobody_is_told_while_the_rules_work_through_the_schools_but_not_for_ever(watched: Watched) -> None:
    found: list[str] = []
    following = asyncio.create_task(_gather(watched.changes.follow("estate"), found))
    await asyncio.sleep(0)
    await watched.touch(tick=True, unfinished=True)
    await watched.tell(5)
    assert len(found) == 1
    await watched.touch()
    await watched.tell(0)
    assert len(found) == 2, "they have come through"
    await watched.touch(tick=True, unfinished=True)
    await watched.tell(30)
    assert len(found) == 3, "they seem to stand still"
    following.cancel()


async def test_a_follower_that_goes_away_leaves_nothing_behind(watched: Watched) -> None:
    marks = [watched.changes.follow("ash"), watched.changes.follow("ash"), watched.changes.follow("oak")]
    for each in marks:
        await anext(each)
    assert dict(watched.changes.followers) == {"ash": 2, "oak": 1}
    waiting = asyncio.create_task(_gather(marks[0], []))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert dict(watched.changes.followers) == {"ash": 1, "oak": 1}
    await marks[1].aclose()
    await marks[2].aclose()
    assert dict(watched.changes.followers) == {}


async def test_two_thousand_topics_later_only_those_that_are_followed_are_kept(watched: Watched) -> None:
    for number in range(2_000):
        marks = watched.changes.follow(f"incident/{number}")
        await anext(marks)
        await marks.aclose()
    assert dict(watched.changes.followers) == {}
    watched.changes.mark("ash/nothing-of-that-name")
    assert "ash/nothing-of-that-name" not in watched.changes._counts


async def test_a_state_file_that_cannot_be_read_tells_nobody_and_stops_nothing(watched: Watched) -> None:
    mark = watched.changes.mark("ash")
    watched.db.execute("ALTER TABLE stops RENAME TO gone")
    assert watched.changes.mark("ash") == mark
    watched.db.execute("ALTER TABLE gone RENAME TO stops")
    await watched.touch("ash/pc-01")
    assert watched.changes.mark("ash") != mark
