"""What has changed, by topic: a stage at the end of the pipeline, a look at what people wrote, one watcher for all.

A topic's *mark* is a word that stays the same for as long as its pages do: it is made from counters that are moved on
at once. Who follows a topic is told of a new mark by the one watcher, not more often than every two seconds, and less
often the more there are: what hundreds of pages ask for after it has to be answered beside the rules.

Topics: "estate", "ash" (a school), "ash/ict1" (a room, or a machine of it), "incident/12". A tick moves all of them on:
time that is left has become less.
"""

import asyncio
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.now import Now
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate
from caretaker_rules.standing import Stands

log = structlog.get_logger()

LOOK_S = 0.5
"""Real seconds between two looks of the watcher."""
EVERY_S = 2.0
"""A topic has one new mark in this time at most."""
PER_FOLLOWER_S = 0.05
"""And for each of its followers so much more, so that 200 open pages ask 20 times a second and not 100 times."""
RULES_S = 10.0
"""So long followers wait at most for the rules to come through."""
ESTATE = "estate"
INCIDENT = "incident"


@dataclass
class _Topic:
    """One topic that somebody follows."""

    mark: str
    told_s: float
    followers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Signs:
    """What people's writing leaves behind in the state file: other values, other pages."""

    log: int = 0
    audit: int = 0
    holds: tuple[int, ...] = ()
    stops: tuple[int, ...] = ()
    links: tuple[int, ...] = ()


class Changes:
    """Counts changes; the last stage of the pipeline, and the watcher that `run` is."""

    def __init__(
        self, db: sqlite3.Connection, estate: Estate, now: Now, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._estate = estate
        self._now = now
        self._monotonic_s = monotonic_s
        self._start = secrets.token_hex(3)  # marks of before a restart are worth nothing
        self._beat = 0
        self._counts: Counter[str] = Counter()  # by topic
        self._whole: Counter[str] = Counter()  # by school: what touches each of its rooms
        self._everywhere = 0
        self._stands: dict[str, Stands] = {}
        self._topics: dict[str, _Topic] = {}
        self._signs: _Signs | None = None
        self._failed = ""
        self._rules_run = False
        self._rules_since_s = 0.0

    # -- counting --

    async def run(self, batch: Batch) -> None:
        """Move on what the batch has touched."""
        devices = self._estate.devices
        rooms: set[tuple[str, str]] = set()
        for address in {*batch.touched, *(decision.device for decision in batch.decisions)}:
            device = devices.get(address)
            rooms.add((address.school, device.room if device is not None else address.device))
        for command in batch.commands:
            rooms.add((command.address.school, command.room))
        for school, room in rooms:
            self._counts[f"{school}/{room}"] += 1
        for school in {school for school, _ in rooms}:
            self._counts[school] += 1
        stands = self._now.stands
        for school in batch.looked:
            if self._stands.get(school) is not stands.get(school):
                self._stands[school] = stands[school]
                self._counts[school] += 1
                self._counts[ESTATE] += 1
        if batch.tick:
            self._beat += 1
        if batch.unfinished and not self._rules_run:
            self._rules_since_s = self._monotonic_s()
        self._rules_run = batch.unfinished

    def look(self) -> None:
        """Move on what people and rules have written since the last look. sqlite3.Error: it cannot be read."""
        found, known = self._read(), self._signs
        if known is None or found == known:
            self._signs = found
            return
        if found.log != known.log:
            rows = self._db.execute(
                "SELECT DISTINCT i.number, i.school FROM incident_log l JOIN incidents i ON i.uid = l.uid "
                "WHERE l.id > ?",
                (known.log,),
            )
            for number, school in rows:
                self._counts[f"{INCIDENT}/{number}"] += 1
                self._whole[school] += 1
                self._counts[school] += 1
            self._counts[ESTATE] += 1
        if (found.holds, found.stops, found.links) != (known.holds, known.stops, known.links):
            self._everywhere += 1  # seldom, and finding out where costs more than it saves
        self._signs = found

    def _read(self) -> _Signs:
        one = self._db.execute
        (last,) = one("SELECT coalesce(max(id), 0) FROM incident_log").fetchone()
        (number,) = one("SELECT coalesce(max(number), 0) FROM audit").fetchone()
        ended = "count(*), coalesce(max(id), 0), coalesce(sum(ended_ms), 0)"
        holds = one(f"SELECT {ended}, coalesce(sum(resumes_ms), 0) FROM holds").fetchone()  # noqa: S608
        stops = one(f"SELECT {ended} FROM stops").fetchone()  # noqa: S608
        links = one("SELECT count(*), coalesce(sum(revoked_ms), 0) FROM stay_links").fetchone()
        return _Signs(log=last, audit=number, holds=holds, stops=stops, links=links)

    # -- marks --

    @property
    def beat(self) -> int:
        """How often the rules' clock has ticked since the start: what depends on time alone is good for one."""
        return self._beat

    @property
    def logged(self) -> int:
        """The newest entry in the log of incidents, as of the last look."""
        return self._signs.log if self._signs is not None else 0

    def mark(self, topic: str) -> str:
        """The newest mark of a topic, with all that is written by now."""
        self._try_look()
        return self._mark(topic)

    def _mark(self, topic: str) -> str:
        school, _, name = topic.partition("/")
        count = self._counts.get(topic, 0)
        if name and school != INCIDENT:
            device = self._estate.devices.get(Address(school, name))
            room = f"{school}/{device.room}" if device is not None and topic not in self._counts else topic
            count = self._counts.get(room, 0) + self._whole.get(school, 0)
        return f"{self._start}-{self._beat}.{self._everywhere}.{count}"

    def _try_look(self) -> None:
        try:
            self.look()
        except sqlite3.Error as error:
            if str(error) != self._failed:
                log.warning("the desk cannot see what people wrote", reason=str(error))
            self._failed = str(error)
        else:
            self._failed = ""

    # -- followers --

    @property
    def followers(self) -> Mapping[str, int]:
        """How many follow each topic."""
        return {name: topic.followers for name, topic in self._topics.items()}

    async def follow(self, topic: str) -> AsyncGenerator[str]:
        """A mark at once, and each new one, until closed."""
        known = self._topics.get(topic)
        if known is None:
            known = self._topics[topic] = _Topic(self.mark(topic), self._monotonic_s())
        known.followers += 1
        try:
            news, seen = known.news, self._mark(topic)
            yield seen
            while True:
                await news.wait()
                news = known.news
                if known.mark != seen:
                    seen = known.mark
                    yield seen
        finally:
            known.followers -= 1
            if not known.followers and self._topics.get(topic) is known:
                del self._topics[topic]

    async def watch(self) -> None:
        """Tell followers, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._topics:
                self._try_look()
                self.tell()

    def tell(self) -> None:
        """Tell those that follow a topic whose mark is new and whose time has come.

        Not while the rules work through the schools: what pages ask for then waits behind them, and is new again soon.
        """
        now_s = self._monotonic_s()
        if self._rules_run and now_s - self._rules_since_s < RULES_S:
            return
        for name, topic in self._topics.items():
            mark = self._mark(name)
            if mark == topic.mark or now_s - topic.told_s < max(EVERY_S, topic.followers * PER_FOLLOWER_S):
                continue
            topic.mark, topic.told_s = mark, now_s
            waiting, topic.news = topic.news, asyncio.Event()
            waiting.set()
