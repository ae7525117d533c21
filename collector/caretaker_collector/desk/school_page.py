"""What a school's own page shows, read from the running collector. See desk/school_page.py of the dashboards.

The public version is made here without names of devices and without anything that somebody typed, so that no template
can let one slip.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from caretaker_collector import planned, state
from caretaker_collector.days.service_calendar import ServiceCalendars
from caretaker_collector.desk.sources import Sources
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.sla import view as sla_view
from caretaker_collector.sla.book import SlaBook
from caretaker_collector.stores import open_store
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.school_views import (
    EnergyDay,
    EnergyMonth,
    LessonsNow,
    MonthSoFar,
    Plan,
    RoomNow,
    SchoolPage,
    Trouble,
    key_of,
    listed,
)
from caretaker_rules import clocks, standing
from caretaker_rules.calendar import Booked, Free, Unknown, local, midnight_ms, zone_of
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident, Status
from caretaker_rules.model import Hold, School
from caretaker_rules.roles import Who
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.shown import Shown
from caretaker_rules.standing import Stands
from caretaker_rules.wake_plan import PlannedWake, not_frozen

DAY_MS = 86_400_000
MENDED_DAYS = 7
AHEAD_DAYS = 14
WAKES_AHEAD_DAYS = 2
MOST_TROUBLES = 50
MOST_PLANS = 30
GOOD_S = 300.0
"""Real seconds for which the month's availability is good: its days are rolled up seldom, and it is costly."""
NOT_LOOKED = Stands(bar={}, rooms={}, blind=False)
_Figures = tuple[float, float, float]


class SchoolPages:
    """The adapter of `Schools`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def now_ms(self) -> int:
        """The collector's time."""
        return self._sources.now_ms()

    def mark(self, topic: str) -> str:
        """The newest mark of a topic."""
        return self._sources.changes.mark(topic)

    async def planned_feed(self, who: Who, school: str) -> bytes:
        """`planned.ics` as the stage `Feeds` keeps it. NotThere; Unavailable before its first tick."""
        self._sources.school_for(who, school)
        file = Path(self._sources.collector.settings.data) / planned.FOLDER / f"{school}.ics"
        try:
            return await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise Unavailable("the calendar file is not written yet; try again in a minute") from error

    async def school_page(self, who: Who, school: str, public: bool) -> SchoolPage:
        """One school as it stands at this moment. NotThere; Unavailable: the state file or the store."""
        known = self._sources.school_for(who, school)
        key = ("school page", school, public)
        return await self._sources.kept(key, self.mark(school), lambda: self._made(known, public))

    async def _made(self, school: School, public: bool) -> SchoolPage:
        sources, now_ms, name = self._sources, self.now_ms(), school.name
        collector = sources.collector
        stands = collector.now.stands.get(name, NOT_LOOKED)
        timetable = collector.calendars.timetable(name)
        week = local(now_ms, zone_of(school.time_zone)).date()

        def work(db: sqlite3.Connection) -> tuple[list[Incident], list[Incident], list[Hold], str | None]:
            closed = incident_book.closed_since(db, now_ms - MENDED_DAYS * DAY_MS)
            mended = [one for one in closed if one.subject.school == name and one.status is Status.FIXED]
            holds = planned.planned(db, {name: timetable}, now_ms)[name] if timetable is not None else []
            (last,) = db.execute(
                "SELECT max(day) FROM energy_days WHERE school = ? AND day >= ?", (name, f"{week:%Y-%m}-01")
            ).fetchone()
            return incident_book.open_ones(db, name), mended, holds, last

        open_ones, mended, holds, last_day = await sources.read(work)
        clock = collector.alerts.clock(school)
        troubles = [self._trouble(one, clock, now_ms, public) for one in open_ones]
        troubles.sort(key=lambda one: (one.due_ms is None, one.due_ms or one.since_ms, one.key))
        newest = sorted(mended, key=lambda one: -one.fixed_ms)
        return SchoolPage(
            now_ms=now_ms,
            zone=school.time_zone,
            school=name,
            title=school.title,
            provider=sources.estate.provider,
            public=public,
            blind=stands.blind or not sources.memory.connected_since_ms,
            stopped=any(stop.school in (None, name) and stop.room is None for stop in collector.ledger.stops()),
            machines=sum(stands.bar.values()),
            heard=sum(number for shown, number in stands.bar.items() if shown is not Shown.UNKNOWN),
            troubles=troubles[:MOST_TROUBLES],
            mended=[self._trouble(one, clock, now_ms, public) for one in newest[:MOST_TROUBLES]],
            plans=self._plans(school, holds, collector.feeds.wakes_of(name), now_ms, public),
            lessons=self._lessons(name, stands),
            week=await self._week(name, week),
            energy_month=await self._energy_month(name, week, last_day),
            months=await self._months(school),
        )

    def _trouble(self, incident: Incident, clock: ServiceClock | None, now_ms: int, public: bool) -> Trouble:
        subject = incident.subject
        device = self._sources.estate.devices.get(Address(subject.school, subject.device))
        room = subject.room or (device.room if device is not None else "")
        fix = clocks.fix(incident, clock, now_ms) if clock is not None and not incident.fixed_ms else None
        reported = incident.kind is FindingKind.REPORTED
        return Trouble(
            key=key_of("incident", incident.uid),
            kind=incident.kind,
            thing=device.device_class if device is not None else "",
            where=self._sources.room_title(subject.school, room) if room else "",
            machines=len(incident.hits) if incident.open else len(incident.ever_hit),
            since_ms=incident.since_ms,
            due_ms=fix.due_ms if fix is not None and not fix.paused else None,
            late=fix.late if fix is not None else False,
            taken=bool(incident.acknowledged_ms or incident.assigned),
            waiting=incident.status is Status.PAUSED,
            fixed_ms=incident.fixed_ms or None,
            number=None if public else incident.number,
            device="" if public else subject.device,
            said=incident.title if reported and not public else "",
        )

    def _plans(
        self, school: School, holds: Iterable[Hold], wakes: Sequence[PlannedWake], now_ms: int, public: bool
    ) -> list[Plan]:
        coming = [hold for hold in holds if hold.until_ms > now_ms and hold.from_ms < now_ms + AHEAD_DAYS * DAY_MS]
        plans = [
            Plan(
                key=key_of(hold.kind, hold.id, hold.from_ms, hold.room),
                kind=hold.kind,
                where=self._sources.room_title(school.name, hold.room) if hold.room else "",
                some=bool(hold.device or hold.device_class),
                from_ms=hold.from_ms,
                until_ms=hold.until_ms,
                reason="" if public else hold.reason,
            )
            for hold in coming
        ]
        soon: dict[tuple[int, str], list[PlannedWake]] = {}
        for wake in not_frozen(wakes, coming):
            if now_ms < wake.until_ms and wake.from_ms < now_ms + WAKES_AHEAD_DAYS * DAY_MS:
                soon.setdefault((wake.needed_ms, wake.kind), []).append(wake)
        for (needed_ms, kind), together in soon.items():
            titles = [self._sources.room_title(school.name, wake.room) for wake in together]
            plans.append(
                Plan(
                    key=key_of("wake", kind, needed_ms),
                    kind="wake",
                    where=listed(list(dict.fromkeys(titles))),
                    some=False,
                    from_ms=min(wake.from_ms for wake in together),
                    until_ms=max(wake.until_ms for wake in together),
                    needed_ms=needed_ms,
                )
            )
        plans.sort(key=lambda plan: (plan.from_ms, plan.key))
        return plans[:MOST_PLANS]

    def _lessons(self, school: str, stands: Stands) -> LessonsNow:
        ratio = self._sources.collector.alerts.ready_ratio
        rooms = {name: room for name, room in stands.rooms.items() if room.total}
        following: dict[str, int] = {
            self._sources.room_title(school, name): room.lesson.next_ms
            for name, room in rooms.items()
            if isinstance(room.lesson, Free) and room.lesson.next_ms is not None
        }
        next_ms = min(following.values(), default=None)
        return LessonsNow(
            known=any(not isinstance(room.lesson, Unknown) for room in rooms.values()),
            rooms=[
                RoomNow(
                    title=self._sources.room_title(school, name),
                    ready=room.ready,
                    total=room.total,
                    enough=standing.is_enough(room.ready, room.total, ratio),
                )
                for name, room in rooms.items()
                if isinstance(room.lesson, Booked)
            ],
            next_ms=next_ms,
            next_rooms=[title for title, at_ms in following.items() if at_ms == next_ms],
        )

    async def _week(self, school: str, today: date) -> list[EnergyDay]:
        """Monday to today, from `energy_day`."""
        zone = self._sources.zone(school)
        monday = today - timedelta(days=today.weekday())
        points = await self._points("energy_day", school, zone, monday, today)
        days = [monday + timedelta(days=number) for number in range(today.weekday() + 1)]
        return [
            EnergyDay(
                day=day.isoformat(),
                under_way=day == today,
                used_kwh=_number(points.get(day), "used_kwh"),
                avoided_kwh=_range(points.get(day)),
            )
            for day in days
        ]

    async def _energy_month(self, school: str, today: date, last: str | None) -> EnergyMonth | None:
        """The month up to its last day that was reckoned, from `energy_month`; None: no day of it was."""
        if last is None:
            return None
        first = today.replace(day=1)
        points = await self._points("energy_month", school, self._sources.zone(school), first, first)
        found = points.get(first)
        if found is None:
            return None
        return EnergyMonth(until=last, used_kwh=_number(found, "used_kwh"), avoided_kwh=_range(found))

    async def _points(self, name: str, school: str, zone: ZoneInfo, first: date, last: date) -> dict[date, Point]:
        """The points of the whole school, by the local day on which each begins."""
        from_ms, until_ms = midnight_ms(first, zone), midnight_ms(last + timedelta(days=1), zone)
        found = await self._sources.store.read(name, from_ms, until_ms, school=school)
        return {
            local(point.time_ns // 1_000_000, zone).date(): point
            for point in found
            if point.tags == (school, "all", "all", "all")
        }

    async def _months(self, school: School) -> list[MonthSoFar]:
        """Availability of the month up to now, by each level that it was under."""
        mark = (local(self.now_ms(), zone_of(school.time_zone)).date(), int(time.monotonic() / GOOD_S))
        return await self._sources.kept(
            ("month so far", school.name), mark, lambda: asyncio.to_thread(self._reckoned, school, self.now_ms())
        )

    def _reckoned(self, school: School, now_ms: int) -> list[MonthSoFar]:
        """In a thread with connections of its own, as the command line does it: the rules do not wait for it."""
        settings, estate = self._sources.collector.settings, self._sources.estate
        folder = Path(settings.data)
        month = f"{local(now_ms, zone_of(school.time_zone)):%Y-%m}"

        async def reckon() -> list[MonthSoFar]:
            store = open_store(settings.store, folder)
            try:
                book = SlaBook(db, store, estate, ServiceCalendars(estate, self._sources.folder))
                figure = (await book.reckon(school, month, now_ms)).figure
            finally:
                await store.close()
            return [
                MonthSoFar(
                    title=sla_view.month_name(month),
                    level=part.title or part.level,
                    illustrative=part.illustrative,
                    availability=sla_view.figure_text(part.availability.devices),
                    target=sla_view.percent(part.target),
                    verdict=part.verdict.value,
                )
                for part in figure.parts
                if part.availability.devices.counted_ms > 0
            ]

        db = state.open_state(self._sources.collector.state_path, read_only=True)
        try:
            return asyncio.run(reckon())
        except sqlite3.Error as error:
            raise Unavailable(f"the state file cannot be read now ({error}); try again in a moment") from error
        finally:
            db.close()


def _number(point: Point | None, name: str) -> float | None:
    value = point.fields.get(name) if point is not None else None
    return float(value) if value is not None else None


def _range(point: Point | None) -> _Figures | None:
    low, likely, high = (_number(point, f"both_kwh{end}") for end in ("_low", "", "_high"))
    return (low, likely, high) if low is not None and likely is not None and high is not None else None
