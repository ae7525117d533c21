"""What a school's review says of its service, as it was stated and recorded: months, rooms, incidents, planned work."""

from datetime import date, timedelta

from msgspec import Struct

from caretaker_collector import records
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_collector.sla import places
from caretaker_collector.sla.book import Reckoned, Stated
from caretaker_collector.stages.watch import sight, watched_since_ms
from caretaker_rules import clocks, sla, sla_faults
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.clocks import Clock
from caretaker_rules.incidents import Entry, Incident, Status
from caretaker_rules.intervals import Span as Moments
from caretaker_rules.intervals import without
from caretaker_rules.model import Hold, School
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla_faults import Fault

_DAY = timedelta(days=1)


class Months(Struct, frozen=True, kw_only=True):
    """A span against the level, month by month: as it was stated where a whole month was, else as it comes out."""

    span: Span
    parts: tuple[sla.Part, ...]  # none: no level was agreed
    figures: tuple[sla.Month, ...]  # of the whole months in it
    stated: tuple[Stated, ...]  # all revisions of all its months, in order
    reckoned: tuple[Reckoned, ...]  # of the whole months in it, as they come out now
    incidents: tuple[Incident, ...]  # opened in it or up to two months before: outages may belong to those
    faults: tuple[Fault, ...]
    clock: ServiceClock
    waiting: tuple[str, ...]  # days that are still to be computed
    over: bool
    watched_ms: int | None  # when Caretaker first saw anything; None: never
    start_ms: int
    end_ms: int

    @property
    def watched(self) -> bool:
        """Whether Caretaker was there before it ended."""
        return self.watched_ms is not None and self.watched_ms < self.end_ms

    @property
    def wholly(self) -> bool:
        """Whether Caretaker was there from its beginning."""
        return self.watched_ms is not None and self.watched_ms <= self.start_ms

    @property
    def figure(self) -> Figure:
        """All owed time."""
        return sum((part.availability.devices for part in self.parts), Figure())

    @property
    def lessons(self) -> Figure:
        """Owed time within lessons."""
        return sum((part.availability.lessons for part in self.parts), Figure())

    @property
    def verdict(self) -> sla.Verdict:
        """The worst of its parts in which something was owed."""
        return places.worst(part.verdict for part in self.parts)

    def times(self, which: str) -> tuple[int, int, int]:
        """Incidents "answered" or "fixed": in time, late, still running."""
        rows = [row for part in self.parts for row in (part.fixed if which == "fixed" else part.answered)]
        return sum(row.in_time for row in rows), sum(row.late for row in rows), sum(row.running for row in rows)

    @property
    def lessons_ready(self) -> tuple[int, int]:
        """Lessons whose room was ready, and all that were seen to begin."""
        return sum(part.lessons_ready for part in self.parts), sum(part.lessons for part in self.parts)

    @property
    def why_not(self) -> str:
        """Why there is no figure; "": there may be one."""
        if not self.watched:
            return "before Caretaker came"
        if not self.parts:
            return "no service level was agreed"
        return "" if self.figure.counted_ms else "nothing was owed on these days"


class Shown(Struct, frozen=True, kw_only=True):
    """An incident with its clocks and its history."""

    incident: Incident
    answer: Clock | None
    fix: Clock | None
    log: tuple[Entry, ...]
    causes: tuple[str, ...]  # what the machines that it hit said, by their outages
    merged: tuple[Incident, ...]  # those that became part of it


class Planned(Struct, frozen=True, kw_only=True):
    """A time of maintenance that was on record before it began."""

    hold: Hold
    by: str


class Service(Struct, frozen=True, kw_only=True):
    """All of it."""

    months: Months
    rooms: tuple[places.Line, ...]
    opened: tuple[Shown, ...]  # incidents opened in the span, the oldest first; merged ones left out
    merged: int  # how many of those opened became part of another
    planned: tuple[Planned, ...]
    blind: tuple[Moments, ...]  # Caretaker could not see, in hours of service
    watched_ms: int | None  # when Caretaker first saw anything


async def months(sources: Sources, school: School, span: Span) -> Months:
    """A span of a school's days against its level. Unavailable: the store."""
    parts: list[sla.Part] = []
    figures: list[sla.Month] = []
    stated: list[Stated] = []
    reckoned: list[Reckoned] = []
    faults: list[Fault] = []
    incidents: dict[str, Incident] = {}
    waiting: list[str] = []
    clock = await sources.book.clock(school, span.first)
    for name in span.months():
        first, last = sla.month_days(name)
        clock = await sources.book.clock(school, first)
        if span.first <= first and last <= span.last:
            found, known = await _month(sources, school, name)
            figure = known[-1].figure if known else found.figure
            figures.append(figure)
            stated += known
            reckoned.append(found)
            own, outages, around = list(figure.parts), found.outages, found.incidents
            waiting += found.waiting
        else:
            begin, end = max(first, span.first), min(last, span.last)
            days = await sources.book.days(school, begin, end, sources.now_ms)
            own, outages, around = days.parts, days.outages, days.incidents
            waiting += sources.book.waiting(school.name, begin, end)
        parts += own
        incidents |= {each.uid: each for each in around}
        faults += sla_faults.faults(outages, around, clock)
    end_ms = midnight_ms(span.last + _DAY, clock.zone)
    return Months(
        span=span,
        parts=tuple(parts),
        figures=tuple(figures),
        stated=tuple(stated),
        reckoned=tuple(reckoned),
        incidents=tuple(incidents.values()),
        faults=tuple(faults),
        clock=clock,
        waiting=tuple(waiting),
        over=sources.now_ms >= end_ms,
        watched_ms=watched_since_ms(sources.db),
        start_ms=midnight_ms(span.first, clock.zone),
        end_ms=end_ms,
    )


async def _month(sources: Sources, school: School, name: str) -> tuple[Reckoned, list[Stated]]:
    if sources.states:
        return await sources.book.state(school, name, sources.now_ms)
    return await sources.book.reckon(school, name, sources.now_ms), sources.book.stated(school.name, name)


async def service(sources: Sources, school: School, span: Span) -> Service:
    """All that the page says. Unavailable: the store."""
    found = await months(sources, school, span)
    where = places.place(sources.estate, school.name)
    line = await places.roll_up_days(sources.store, sources.estate, where, span.first, span.last, sources.now_ms)
    start_ms = midnight_ms(span.first, found.clock.zone)
    until_ms = min(found.end_ms, sources.now_ms)
    opened = [each for each in found.incidents if start_ms <= each.opened_ms < found.end_ms]
    causes = {fault.incident: fault for fault in found.faults if fault.incident}
    shown = []
    for incident in sorted(opened, key=lambda each: (each.opened_ms, each.number)):
        if incident.status is Status.MERGED:
            continue
        day = local(incident.opened_ms, found.clock.zone).date()
        clock = await sources.book.clock(school, day)
        fault = causes.get(incident.name)
        shown.append(
            Shown(
                incident=incident,
                answer=clocks.response(incident, clock, sources.now_ms),
                fix=clocks.fix(incident, clock, sources.now_ms),
                log=tuple(incident_book.log_of(sources.db, incident.uid)),
                causes=() if fault is None else (*fault.whats, *fault.causes),
                merged=tuple(each for each in found.incidents if each.merged_into == incident.uid),
            )
        )
    watched_ms = watched_since_ms(sources.db)
    begin_ms = until_ms if watched_ms is None else max(start_ms, watched_ms)
    owed: list[Moments] = []
    for name in span.months():
        first, last = (max(sla.month_days(name)[0], span.first), min(sla.month_days(name)[1], span.last))
        clock = await sources.book.clock(school, first)
        owed += clock.owed(*_within(first, last, clock, begin_ms, until_ms))
    return Service(
        months=found,
        rooms=tuple(line.inside),
        opened=tuple(shown),
        merged=len(opened) - len(shown),
        planned=tuple(_planned(sources, school, found, start_ms, until_ms)),
        blind=tuple(without(owed, sight(sources.db, begin_ms, until_ms))),
        watched_ms=watched_ms,
    )


def _within(first: date, last: date, clock: ServiceClock, begin_ms: int, until_ms: int) -> Moments:
    from_ms, end_ms = midnight_ms(first, clock.zone), midnight_ms(last + _DAY, clock.zone)
    return max(from_ms, begin_ms), min(end_ms, until_ms)


def _planned(sources: Sources, school: School, found: Months, start_ms: int, until_ms: int) -> list[Planned]:
    """Maintenance that was recorded before it began: what of it lies in hours of service is in no percentage."""
    held = []
    for hold in records.recorded_before(sources.db, school.name, start_ms, until_ms):
        record = records.one(sources.db, hold.id)
        held.append(Planned(hold=hold, by=record.by if record is not None else ""))
    return sorted(held, key=lambda each: (each.hold.from_ms, each.hold.id))
