"""Incidents for the desk: what is open by the time left, one with all of it, and those of the past, page by page."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from caretaker_collector.api.routes import LOOKED_AT, PAGE, STATUSES, fits
from caretaker_collector.desk.sources import NOTHING, Sources
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.incidents import view as incident_view
from caretaker_collector.incidents.view import Shown
from caretaker_collector.notify import outbox
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import ClockView, HistoryLine, IncidentLine, IncidentView
from caretaker_rules import clocks
from caretaker_rules.alert_text import short
from caretaker_rules.alerting import Telling
from caretaker_rules.clocks import Clock
from caretaker_rules.findings import Subject
from caretaker_rules.incidents import Action, Entry, Incident, Status, fold
from caretaker_rules.roles import Who
from caretaker_rules.service_hours import ServiceClock

UNFIXED = "unfixed"
OTHERS = 50
"""Of a school's other open incidents, so many can be chosen from."""
_STATUS = {"done": "sent", "waiting": "waiting", "failed": "given up", "within": "told with another"}


class Open(Struct, frozen=True):
    """All that is open, least time left first, as it stands at one moment."""

    shown: Sequence[Shown]
    lines: Sequence[IncidentLine]

    def of(self, school: str) -> list[tuple[Incident, IncidentLine]]:
        """Those of one school; "": of Caretaker itself."""
        both = zip(self.shown, self.lines, strict=True)
        return [(one.incident, line) for one, line in both if one.incident.subject.school == school]


class Incidents:
    """Reads the log in the state file, so that what somebody just did is there at once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def open(self) -> Open:
        """What is open everywhere. Made once for each change of the log, and at each tick: time has passed."""
        changes = self._sources.changes
        return await self._sources.kept("open incidents", (changes.mark("incident/0"), changes.logged), self._open)

    async def _open(self) -> Open:
        now_ms, hours = self._sources.now_ms(), self._hours()

        def work(db: sqlite3.Connection) -> Open:
            found = incident_book.open_ones(db)
            rows = incident_view.by_time_left(self._shown(db, found, hours, now_ms))
            return Open(rows, [self._line(row) for row in rows])

        return await self._sources.read(work)

    def _hours(self) -> Mapping[str, ServiceClock]:
        """The hours of service by which rules reckon."""
        alerts = self._sources.collector.alerts
        found = {name: alerts.clock(school) for name, school in self._sources.estate.schools.items()}
        return {name: clock for name, clock in found.items() if clock is not None}

    def _shown(
        self, db: sqlite3.Connection, found: Sequence[Incident], hours: Mapping[str, ServiceClock], now_ms: int
    ) -> list[Shown]:
        newest = finding_book.titles(db, {one.subject.school for one in found if one.open})
        return [
            incident_view.shown(
                one,
                hours,
                incident_view.zone_for(one, self._sources.estate),
                now_ms,
                newest.get(one.key, "") if one.open else "",
            )
            for one in found
        ]

    def _line(self, one: Shown) -> IncidentLine:
        incident, sources = one.incident, self._sources
        subject = incident.subject
        device = sources.estate.devices.get(Address(subject.school, subject.device))
        response, fix = _running(one.response), _running(one.fix)
        return IncidentLine(
            number=incident.number,
            name=incident.name,
            priority=incident.priority,
            title=short(incident, one.newest),
            kind=incident.kind.value,
            status=incident.status.value,
            school=subject.school,
            school_title=sources.school_title(subject.school),
            room=subject.room or (device.room if device is not None else ""),
            device=subject.device,
            hits=len(incident.hits),
            opened_ms=incident.opened_ms,
            acknowledged=bool(incident.acknowledged_ms),
            assigned=incident.assigned,
            response_left_ms=response.left_ms if response is not None else None,
            fix_left_ms=fix.left_ms if fix is not None else None,
            fix_due_ms=fix.due_ms if fix is not None and not fix.paused else None,
            paused=incident.status is Status.PAUSED,
            clock=one.due,
        )

    async def listed(
        self, who: Who, school: str = "", status: str = UNFIXED, text: str = "", before: int | None = None
    ) -> tuple[list[IncidentLine], int | None]:
        """A page of them. `before` of what is unfixed counts lines, for time left is in no order of numbers."""
        if status not in STATUSES:
            raise ConfigError([f"{status[:20]!r}  no such status; there are: {', '.join(STATUSES)}"])
        if school:
            self._sources.school_for(who, school)
        if status == UNFIXED:
            lines = [line for line in (await self.open()).lines if self._fits(who, line, school, text)]
            start = max(0, before or 0)
            return lines[start : start + PAGE], start + PAGE if len(lines) > start + PAGE else None
        now_ms, hours = self._sources.now_ms(), self._hours()

        def work(db: sqlite3.Connection) -> tuple[list[IncidentLine], int | None]:
            last, found = before, list[IncidentLine]()
            for looked, incident in enumerate(_newest(db, school, last)):
                if len(found) == PAGE or looked == LOOKED_AT:
                    return found, last
                last = incident.number
                if fits(incident, status) and self._sources.sees(who, incident.subject.school):
                    [row] = self._shown(db, [incident], hours, now_ms)
                    line = self._line(row)
                    if self._fits(who, line, school, text):
                        found.append(line)
            return found, None

        return await self._sources.read(work)

    def _fits(self, who: Who, line: IncidentLine, school: str, text: str) -> bool:
        if not self._sources.sees(who, line.school) or school not in ("", line.school):
            return False
        said = f"{line.name} {line.title} {line.school} {line.school_title} {line.room} {line.device} {line.assigned}"
        return all(word in said.casefold() for word in text.casefold().split())

    async def one(self, who: Who, number: int) -> IncidentView:
        """All of one incident. NotThere when there is none, or not for this person."""
        now_ms, hours = self._sources.now_ms(), self._hours()

        def work(db: sqlite3.Connection) -> tuple[Shown, list[Entry], dict[str, str], int | None, list[HistoryLine]]:
            incident = incident_book.one(db, number) if 0 < number < 2**53 else None
            if incident is None or not self._sources.sees(who, incident.subject.school):
                raise NotThere(NOTHING)
            log = incident_book.log_of(db, incident.uid)
            merged = {entry.text for entry in log if entry.action is Action.MERGED}
            others = [other for uid in merged if (other := incident_book.of_uid(db, uid)) is not None]
            into = outbox.incident_of(db, incident.merged_into)
            [row] = self._shown(db, [incident], hours, now_ms)
            names = {other.uid: other.name for other in others}
            return row, log, names, into.number if into is not None else None, _told(db, incident.uid)

        row, log, names, into, told = await self._sources.read(work)
        incident = row.incident
        zone = incident_view.zone_for(incident, self._sources.estate)
        around = (await self.open()).of(incident.subject.school)
        history = [(entry, *incident_view.said_of(entry, names, zone)) for entry in log]
        return IncidentView(
            now_ms=now_ms,
            zone=str(zone),
            line=self._line(row),
            clocks=[
                _clock_view(name, clock, clocks.text(clock, zone, now_ms))
                for name, clock in (("response", row.response), ("fix", row.fix))
                if clock is not None
            ],
            level=self._level(incident, hours),
            since_ms=incident.since_ms,
            fixed_ms=incident.fixed_ms or None,
            reopened=incident.reopened,
            merged_into=into,
            hits=[self._place(hit) for hit in incident.hits],
            history=[HistoryLine(at_ms=e.at_ms, by=e.by, what=what, text=text) for e, what, text in history],
            told=told,
            tickets=list(incident.tickets),
            others=[line for other, line in around if other.uid != incident.uid][:OTHERS],
        )

    def _level(self, incident: Incident, hours: Mapping[str, ServiceClock]) -> str:
        clock = hours.get(incident.subject.school)
        level = clock.level_at(incident.opened_ms) if clock is not None else None
        if level is None:
            return ""
        return (level.title or level.name) + (" (illustrative)" if level.illustrative else "")

    def _place(self, hit: Subject) -> tuple[str, str]:
        device = self._sources.estate.devices.get(Address(hit.school, hit.device))
        return hit.room or (device.room if device is not None else ""), hit.device

    def touches(self, incident: Incident, room: str) -> bool:
        """Whether an incident is about this room, a machine of it, or hits one."""
        return any(self._place(place)[0] == room for place in (incident.subject, *incident.hits))


def _newest(db: sqlite3.Connection, school: str, before: int | None) -> Iterable[Incident]:
    rows = db.execute(
        "SELECT uid, number FROM incidents WHERE (? = '' OR school = ?) AND number < ? ORDER BY number DESC LIMIT ?",
        (school, school, before or 2**62, LOOKED_AT + 1),
    ).fetchall()
    for uid, number in rows:
        yield fold(number, incident_book.log_of(db, uid))


def _told(db: sqlite3.Connection, uid: str) -> list[HistoryLine]:
    rows = db.execute(
        "SELECT made_ms, done_ms, channel, status, answer, telling FROM tellings WHERE uid = ? ORDER BY made_ms, id",
        (uid,),
    )
    found = []
    for made_ms, done_ms, channel, status, answer, blob in rows:
        telling = msgspec.json.decode(blob, type=Telling)
        said = _STATUS.get(status, status) + (f": {answer}" if answer else "")
        found.append(HistoryLine(at_ms=done_ms or made_ms, by=channel, what=said, text=telling.title))
    return found


def _running(clock: Clock | None) -> Clock | None:
    return clock if clock is not None and not clock.ended_ms else None


def _clock_view(name: str, clock: Clock, text: str) -> ClockView:
    return ClockView(
        name=name,
        text=text,
        left_ms=clock.left_ms,
        allowance_ms=clock.allowance_ms,
        used_ms=clock.used_ms,
        due_ms=clock.due_ms if not (clock.ended_ms or clock.paused) else None,
        ended=bool(clock.ended_ms),
        late=clock.late,
        paused=clock.paused,
    )
