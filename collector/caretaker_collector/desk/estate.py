"""The estate and one school: what do I do first?"""

import time
from collections.abc import Mapping, Sequence

from caretaker_collector import wake_book
from caretaker_collector.desk import daily
from caretaker_collector.desk.daily import Daily, DailyFigures
from caretaker_collector.desk.incidents import Incidents, Open
from caretaker_collector.desk.records import Records, stopped
from caretaker_collector.desk.sources import HOME_ZONE, Sources
from caretaker_collector.own_figures import PARTS, OwnFigures
from caretaker_collector.record_words import day_time
from caretaker_collector.records import WHY
from caretaker_dashboards.desk.views import (
    EstateView,
    LessonsLine,
    Part,
    RoomReady,
    RoomRow,
    SchoolRow,
    SchoolView,
    Unwakeable,
)
from caretaker_dashboards.desk.words import plural
from caretaker_rules import standing
from caretaker_rules.calendar import Booked, Booking, Free, Unknown, day_bookings, local, zone_of
from caretaker_rules.model import Hold, Room, School, Stop
from caretaker_rules.reasons import Reason
from caretaker_rules.roles import Who
from caretaker_rules.standing import RoomStands, Stands
from caretaker_rules.timetable import Timetable

DAY_MS = 86_400_000
OWN_GOOD_S = 3
"""Real seconds for which Caretaker's own figures are good."""
NOT_LOOKED = Stands(bar={}, rooms={}, blind=False)
PART_TITLES = {
    "broker": "messages from machines",
    "store": "database of figures",
    "core": "reading of messages",
    "rules": "rules",
    "alerts": "incidents",
    "notify": "messages to people",
    "reviews": "monthly reviews",
}


class Estates:
    """Makes the estate's and the schools' pages."""

    def __init__(self, sources: Sources, incidents: Incidents, records: Records, figures: DailyFigures) -> None:
        self._sources = sources
        self._incidents = incidents
        self._records = records
        self._figures = figures
        self._known_own: tuple[int, OwnFigures] | None = None

    async def estate(self, who: Who, network: str = "", text: str = "") -> EstateView:
        """All that `who` sees, or a network of it, or those whose name or title holds `text`."""
        sources, now_ms = self._sources, self._sources.now_ms()
        open_ones = await self._incidents.open()
        rows = await self._rows(open_ones)
        seen = sources.seen_by(who)
        words = text.casefold().split()
        shown = [
            school.name
            for school in seen
            if network in ("", school.network)
            and all(word in f"{school.name} {school.title}".casefold() for word in words)
        ]
        names = set(shown) | ({""} if who.schools is None and not network and not words else set())
        networks = {school.network for school in seen}
        return EstateView(
            now_ms=now_ms,
            zone=HOME_ZONE if len(seen) != 1 else str(sources.zone(seen[0].name)),
            provider=sources.estate.provider,
            networks=[(name, one.title or name) for name, one in sources.estate.networks.items() if name in networks],
            incidents=[line for line in open_ones.lines if line.school in names],
            schools=[rows[name] for name in shown],
            caretaker=self._parts(now_ms) if sources.sees(who, "") else [],
            stopped=stopped(sources.collector.ledger.stops(), None),
            looked_ms=max((sources.collector.now.looked_ms.get(name, 0) for name in shown), default=0) or None,
            levels=sources.estate.service is not None,
        )

    async def _rows(self, open_ones: Open) -> Mapping[str, SchoolRow]:
        """All rows, made once however many ask."""

        async def make() -> Mapping[str, SchoolRow]:
            figures, blind_s = await self._figures.by_school(), await self._blind_s()
            by_school: dict[str, dict[int, int]] = {}
            for shown in open_ones.shown:
                counted = by_school.setdefault(
                    shown.incident.subject.school, dict.fromkeys((*standing.PRIORITIES, 0), 0)
                )
                priority = shown.incident.priority
                counted[priority if priority in standing.PRIORITIES else 0] += 1
            stops, now_ms = self._sources.collector.ledger.stops(), self._sources.now_ms()
            return {
                school.name: self._row(
                    school,
                    self._sources.collector.now.stands.get(school.name, NOT_LOOKED),
                    by_school.get(school.name, {}),
                    figures.get(school.name, Daily()),
                    blind_s.get(school.time_zone, 0),
                    stops,
                    now_ms,
                )
                for school in self._sources.estate.schools.values()
            }

        return await self._sources.kept("rows", self._sources.changes.mark("estate"), make)

    async def _blind_s(self) -> Mapping[str, int]:
        """Blind time of today by time zone: Caretaker sees all schools or none."""
        zones = {school.time_zone: school.name for school in self._sources.estate.schools.values()}
        return {zone: await daily.blind_today_s(self._sources, school) for zone, school in zones.items()}

    def _row(
        self,
        school: School,
        stands: Stands,
        incidents: Mapping[int, int],
        figures: Daily,
        blind_today_s: int,
        stops: Sequence[Stop],
        now_ms: int,
    ) -> SchoolRow:
        networks = self._sources.estate.networks
        network = networks.get(school.network or "")
        policy = self._sources.policy_of(school.name)
        return SchoolRow(
            name=school.name,
            title=school.title,
            network=school.network or "",
            network_title=(network.title or network.name) if network is not None else school.network or "",
            devices=sum(stands.bar.values()),
            bar=dict(stands.bar),
            lessons=self._lessons(school, stands, now_ms),
            incidents={**dict.fromkeys((*standing.PRIORITIES, 0), 0), **incidents},
            used_today_kwh=figures.used_today_kwh,
            avoided_kwh=figures.avoided_kwh,
            avoided_day=figures.avoided_day,
            blind_today_s=blind_today_s,
            blind=stands.blind or not self._sources.memory.connected_since_ms,
            mode=policy.mode.value if policy is not None else "",
            stopped=stopped(stops, school.name),
        )

    def _lessons(self, school: School, stands: Stands, now_ms: int) -> LessonsLine:
        """Of the lessons that are on; else of those that begin next, within a day."""
        rooms = {name: room for name, room in stands.rooms.items() if room.total}
        on = {name: room for name, room in rooms.items() if isinstance(room.lesson, Booked)}
        starts_ms = min((room.lesson.from_ms for room in on.values() if isinstance(room.lesson, Booked)), default=None)
        meant, now = on, bool(on)
        if not on:
            following = {
                name: room.lesson.next_ms
                for name, room in rooms.items()
                if isinstance(room.lesson, Free)
                and room.lesson.next_ms is not None
                and now_ms <= room.lesson.next_ms < now_ms + DAY_MS
            }
            starts_ms = min(following.values(), default=None)
            meant = {name: rooms[name] for name, at_ms in following.items() if at_ms == starts_ms}
        ready = [self._ready(school.name, name, room) for name, room in meant.items()]
        return LessonsLine(
            school=school.name,
            title=school.title,
            starts_ms=starts_ms,
            now=now,
            rooms=len(ready),
            ready=sum(room.enough for room in ready),
            not_ready=[room for room in ready if not room.enough],
        )

    def _ready(self, school: str, name: str, room: RoomStands) -> RoomReady:
        ratio = self._sources.collector.alerts.ready_ratio
        return RoomReady(
            room=name,
            title=self._sources.room_title(school, name),
            ready=room.ready,
            total=room.total,
            enough=standing.is_enough(room.ready, room.total, ratio),
        )

    def _parts(self, now_ms: int) -> list[Part]:
        collector = self._sources.collector
        problems = collector.problems()
        own = self._own(now_ms)
        silent = f"{own.agents_silent:,} of {own.agents:,}" if own.agents is not None else "not counted yet"
        ends = own.certificate_days
        figures = [
            ("behind", f"{plural(collector.lag, 'message')}, {collector.memory.behind_s:.1f} s", ""),
            (
                "put aside",
                f"{own.quarantined:,} messages",
                "",
            ),
            ("machines not heard", silent, ""),
            (
                "messages to people",
                f"{own.tellings_waiting:,} waiting",
                f"{own.tellings_failed:,} were given up: caretaker notify" if own.tellings_failed else "",
            ),
            (
                "first certificate ends",
                f"in {ends:.0f} days" if ends is not None else "none is used",
                "renew it" if ends is not None and ends < 14 else "",
            ),
        ]
        parts = [
            Part(name=PART_TITLES[part], value="" if part in problems else "works", problem=problems.get(part, ""))
            for part in PARTS
        ]
        return parts + [Part(name=name, value=value, problem=problem) for name, value, problem in figures]

    def _own(self, now_ms: int) -> OwnFigures:
        second = int(time.monotonic() / OWN_GOOD_S)
        if self._known_own is None or self._known_own[0] != second:
            self._known_own = (second, self._sources.collector.figures.gather(now_ms))
        return self._known_own[1]

    async def school(self, who: Who, name: str) -> SchoolView:
        """One school, as it stands at this moment."""
        sources = self._sources
        school = sources.school_for(who, name)
        return await sources.kept(("school", name), sources.changes.mark(name), lambda: self._school(school))

    async def _school(self, school: School) -> SchoolView:
        sources, now_ms, name = self._sources, self._sources.now_ms(), school.name
        open_ones = await self._incidents.open()
        rows = await self._rows(open_ones)
        snapshot = sources.collector.decide.snapshot(name, now_ms)
        stands = sources.collector.now.of(snapshot, now_ms)
        figures, blind_s = await self._figures.by_school(), await daily.blind_today_s(sources, name)

        cannot = await self.cannot_wake(name)
        records = await sources.read(lambda db: self._records.of_school(db, name, now_ms))
        here = open_ones.of(name)
        policy, timetable = sources.policy_of(name), sources.collector.calendars.timetable(name)
        row = self._row(
            school,
            stands,
            rows[name].incidents,
            figures.get(name, Daily()),
            blind_s,
            sources.collector.ledger.stops(),
            now_ms,
        )
        return SchoolView(
            now_ms=now_ms,
            zone=school.time_zone,
            row=row,
            rooms=[
                RoomRow(
                    name=room,
                    title=sources.room_title(name, room),
                    devices=sum(found.bar.values()),
                    bar=dict(found.bar),
                    lesson=lesson_text(found.lesson, now_ms, school, sources.room_of(name, room), timetable),
                    ready=self._ready(name, room, found) if isinstance(found.lesson, Booked) and found.total else None,
                    held=held_text(snapshot.holds, snapshot.stops, school, room, now_ms),
                    incidents=sum(self._incidents.touches(incident, room) for incident, _ in here),
                )
                for room, found in stands.rooms.items()
            ],
            incidents=[line for _, line in here],
            records=records,
            unwakeable=cannot,
            policy=sources.policy_text(name),
            looked_ms=sources.collector.now.looked_ms.get(name),
            level=self.level(school, now_ms),
            wakes=policy is not None and bool(policy.wakes or policy.patch),
        )

    async def cannot_wake(self, school: str, room: str | None = None) -> list[Unwakeable]:
        """Machines of the register whose newest wake was in vain."""
        rows = await self._sources.read(lambda db: wake_book.cannot_wake(db, school))
        known = self._sources.devices[school]
        return [
            Unwakeable(
                device=row.address.device,
                room=known[row.address.device].room,
                tried_ms=row.result_ms,
                why=str(row.reason) if row.reason is not None else "",
            )
            for row in rows
            if row.address.device in known and room in (None, known[row.address.device].room)
        ]

    def level(self, school: School, now_ms: int) -> str:
        """The service level of today in words; "": none is agreed."""
        clock = self._sources.collector.alerts.clock(school)
        level = clock.level_at(now_ms) if clock is not None else None
        if level is None:
            return ""
        return (level.title or level.name) + (" (illustrative)" if level.illustrative else "")


def lesson_text(lesson: Booking, now_ms: int, school: School, room: Room | None, timetable: Timetable) -> str:
    """ "now until 09:50", "next 11:10", "no lesson today, next Wed 7 Oct 08:50", "no timetable is known for ict1".

    After the last one of the day: "no more lessons today, next Wed 7 Oct 08:50". `room`, `timetable`: for that.
    """
    zone = zone_of(school.time_zone)
    if isinstance(lesson, Booked):
        return f"now until {local(lesson.until_ms, zone):%H:%M}"
    if isinstance(lesson, Unknown):
        return f"no timetable is known for {lesson.why}"
    if lesson.next_ms is None:
        return "no lesson in the next nine weeks"
    following = local(lesson.next_ms, zone)
    if following.date() == local(now_ms, zone).date():
        return f"next {following:%H:%M}"
    today = day_bookings(room, school, local(now_ms, zone).date(), timetable) if room is not None else []
    none = "no lesson today" if isinstance(today, Unknown) or not today else "no more lessons today"
    return f"{none}, next {day_time(lesson.next_ms, zone)}"


def held_text(holds: Sequence[Hold], stops: Sequence[Stop], school: School, room: str, now_ms: int) -> str:
    """What keeps a whole room as it is now, in the words of decisions; "": nothing."""
    zone = zone_of(school.time_zone)
    words = [
        str(Reason(WHY[hold.kind], f"{local(hold.until_ms, zone):%H:%M}"))
        + (f" ({hold.reason})" if hold.reason else "")
        for hold in standing.holding(holds, school.name, room, now_ms)
        if hold.kind != "silence"
    ]
    words += [
        f"stopped ({stop.reason})" for stop in stops if stop.school in (None, school.name) and stop.room in (None, room)
    ]
    return "; ".join(dict.fromkeys(words))
