"""Reviews that the running collector makes by itself: last month's on the first working day, revised ones when due.

APScheduler only says when to look. What is due as of the collector's own time is decided anew at each look, from what
is kept: so a collector that was down that day makes them when it is back, once, and the demo's fast clock may leap over
the day. Packs are made in a process of their own, and what fails is tried again at the next look.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from caretaker_collector.review import by_itself, mail_book, send, shelf
from caretaker_collector.review.make import Job, Made, Wish
from caretaker_collector.review.span import named, of_month
from caretaker_collector.settings import CollectorSettings
from caretaker_collector.stages.watch import watched_since_ms
from caretaker_contract.clock import Clock
from caretaker_contract.errors import CaretakerError
from caretaker_rules.model import Estate, School
from caretaker_rules.review_due import due
from caretaker_rules.timetable import Timetable

log = structlog.get_logger()

FIRST_LOOK_S = 3.0
"""Real seconds after the start: messages that piled up come first, and calendars have been read."""
GRACE_S = 5 * 86_400
"""A look that was missed while the machine slept is made up for; one, however many were missed."""
EVERY_S = 3_600
"""Of the collector's seconds, where its clock is not the world's."""
DAYS_MAY_WAIT_MS = 86_400_000
"""So long after a review is due it is put off while days of its month are still to be computed."""
PROCESSES = 2


class Reviews:
    """Looks, makes, writes to readers. `problem` is for /healthz."""

    def __init__(
        self,
        settings: CollectorSettings,
        estate: Estate,
        db: sqlite3.Connection,
        timetable: Callable[[str], Timetable],
        clock: Clock,
        mails: bool,
    ) -> None:
        self._settings, self._estate, self._db = settings, estate, db
        self._timetable, self._clock, self._mails = timetable, clock, mails
        self._looking = asyncio.Lock()
        self._looked: dict[tuple[str, str], int] = {}  # the newest statement with which a kept pack was compared
        self._failed: dict[tuple[str, str], str] = {}
        self._wrong = ""
        self.made: list[Made] = []
        """What became of each pack at the last look that made any."""

    @property
    def problem(self) -> str:
        """Which reviews could not be made, in a sentence; "" when all were."""
        said = [self._wrong, *self._failed.values()]
        told = [each for each in said if each]
        return "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")

    def scheduler(self) -> AsyncIOScheduler:
        """Not started yet: a look each hour of the day in each school's zone, and one right away."""
        usual = {"misfire_grace_time": GRACE_S, "coalesce": True, "max_instances": 1}
        made = AsyncIOScheduler(timezone=ZoneInfo("Europe/London"), job_defaults=usual)
        soon = datetime.now(ZoneInfo("UTC")) + timedelta(seconds=FIRST_LOOK_S)  # noqa: TID251  the scheduler's own clock
        if self._clock == Clock():
            for zone in dict.fromkeys(school.time_zone for school in self._estate.schools.values()):
                # At ten past, from six on: `due` says from when; each hour, so that what failed is tried again.
                made.add_job(self.look, CronTrigger(hour="6-20", minute=10, timezone=ZoneInfo(zone)), id=f"look {zone}")
            made.add_job(self.look, "date", run_date=soon, id="first look")
        else:
            every = IntervalTrigger(seconds=max(5, round(self._clock.real_s(EVERY_S))), timezone=ZoneInfo("UTC"))
            made.add_job(self.look, every, id="look", next_run_time=soon)
        return made

    async def run(self) -> None:
        """Until cancelled."""
        scheduler = self.scheduler()
        scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            scheduler.shutdown(wait=False)

    async def look(self) -> None:
        """Make what is due. Never raises: what goes wrong is `problem`, and is tried again at the next look."""
        if self._looking.locked():
            return  # the one before is at it still
        async with self._looking:
            try:
                now_ms = self._clock.now_ms()
                jobs = self.due(now_ms)
                if jobs:
                    await self._make(jobs, now_ms)
                if not jobs:
                    self._failed.clear()
                self._wrong = ""
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.error("reviews could not be looked after; retrying", reason=repr(error))
                said = str(error) if isinstance(error, CaretakerError | sqlite3.Error) else repr(error)
                self._wrong = f"reviews cannot be made: {said}"

    def due(self, now_ms: int) -> list[Job]:
        """What is to be made as of now: months that have none yet, that a reader waits for, or that were revised."""
        since_ms = watched_since_ms(self._db)
        if since_ms is None:
            return []
        found: dict[Job, None] = {}
        for school in self._estate.schools.values():
            for month in self._of_school(school, now_ms, since_ms):
                found[Job(school.name, month)] = None
        for job in self._revised():
            found[job] = None
        return list(found)

    def _of_school(self, school: School, now_ms: int, since_ms: int) -> list[str]:
        timetable = self._timetable(school.name)
        wanted = {address for _, address in send.readers(self._estate, school.name)} if self._mails else set()
        done = {kept.period for kept in shelf.newest(self._db, school.name)}
        had = {period: {mail.address for mail in mail_book.of_pack(self._db, school.name, period)} for period in done}
        months = due(school, now_ms, done, timetable, since_ms)
        # Its newest month may have been made by hand before the day: then its readers wait for it.
        last = due(school, now_ms, (), timetable, since_ms)[-1:]
        months += [month for month in last if month in done and wanted - had[month]]
        return [month for month in months if self._ready(school, month, now_ms, timetable)]

    def _ready(self, school: School, month: str, now_ms: int, timetable: Timetable) -> bool:
        """Whether there is anything to say, and nothing of it is still to be computed."""
        span = of_month(month)
        heard = self._db.execute(
            "SELECT 1 FROM day_ends WHERE school = ? AND day BETWEEN ? AND ? LIMIT 1",
            (school.name, span.first.isoformat(), span.last.isoformat()),
        ).fetchone()
        if heard is None:
            return False
        waits = self._db.execute(
            "SELECT 1 FROM dirty_days WHERE school = ? AND day BETWEEN ? AND ? LIMIT 1",
            (school.name, span.first.isoformat(), span.last.isoformat()),
        ).fetchone()
        return waits is None or month in due(school, now_ms - DAYS_MAY_WAIT_MS, (), timetable)

    def _revised(self) -> list[Job]:
        """Kept packs of months that were stated anew since, each once for each statement."""
        found = []
        for kept in shelf.newest(self._db):
            schools = self._schools(kept.place)
            months = named(kept.period).months()
            marks = ", ".join("?" * len(schools))
            stated_ms = self._db.execute(
                f"SELECT max(made_ms) FROM stated WHERE school IN ({marks}) AND month BETWEEN ? AND ?",  # noqa: S608
                (*schools, months[0], months[-1]),
            ).fetchone()[0]
            key = (kept.place, kept.period)
            if stated_ms is not None and stated_ms > max(kept.made_ms, self._looked.get(key, 0)):
                found.append(Job(*key))
        return found

    def _schools(self, place: str) -> list[str]:
        network = place.removeprefix("network:") if place.startswith("network:") else ""
        return [
            school.name
            for school in self._estate.schools.values()
            if place in ("all", school.name) or (network and school.network == network)
        ]

    async def _make(self, jobs: list[Job], now_ms: int) -> None:
        log.info("making reviews", packs=[f"{job.place} {job.period}" for job in jobs])
        wish = Wish(settings=self._settings, now_ms=now_ms, mails=True, nice=by_itself.NICE)
        task = by_itself.Task(wish=wish, jobs=tuple(jobs), processes=PROCESSES)
        out, said = await child(msgspec.json.encode(task))
        self.made = by_itself.results(out)
        there = {(made.place, made.period): made for made in self.made}
        for job in jobs:
            key = (job.place, job.period)
            made = there.get(key)
            problem = f"{job.place} {job.period}: the process that makes reviews ended early: {said[-200:]}"
            if made is not None:
                problem = made.problem
            if problem:
                self._failed[key] = problem
                log.error("a review could not be made; retrying", place=job.place, period=job.period, reason=problem)
                continue
            self._failed.pop(key, None)
            self._looked[key] = now_ms
            if made is not None:
                log.info(
                    "a review was made", place=job.place, period=job.period, what=made.state, reason=made.reason,
                    mails=made.mails, unsent=made.unsent,
                )  # fmt: skip


OURS = ("-m", "caretaker_collector.review.by_itself")


async def child(task: bytes, what: Sequence[str] = OURS) -> tuple[bytes, str]:
    """Run `by_itself` with a task: what it wrote, and its last words. It ends with us, its workers with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *what),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that all of its processes can be told at once
    )
    try:
        out, said = await process.communicate(task)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # workers that it left, or all of it when we end first
        if process.returncode is None:
            await process.wait()
    return out, said.decode(errors="replace").strip()
