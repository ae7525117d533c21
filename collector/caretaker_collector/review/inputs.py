"""What the pages of a review need, read once: of each school its service and energy, now and to compare with.

Nothing is reckoned anew here. Months come from `sla.book` as they were stated, places from `sla.places`, what was used
and avoided from the points of `days.energy`, targets from `sla.targets`.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_collector.review import energy_read, service_read
from caretaker_collector.review.energy_read import Amounts, Energy
from caretaker_collector.review.service_read import Months, Service
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_collector.sla import places, targets
from caretaker_collector.sla.places import Line, Place
from caretaker_collector.sla.targets import Progress
from caretaker_contract.errors import ConfigError
from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import School
from caretaker_rules.service import Target

DEFAULT_ZONE = "Europe/London"
"""Of a review of no school at all."""


class Totals(Struct, frozen=True, kw_only=True):
    """The figures that are compared from span to span, of all schools of the review together: sums, never means."""

    span: Span
    availability: Figure
    lessons: Figure  # owed time within lessons
    targets: tuple[float, ...]  # of availability, in order of time and school, each once
    verdict: sla.Verdict  # of availability: the worst of the schools
    answered: tuple[int, int, int]  # incidents: in time, late, running
    fixed: tuple[int, int, int]
    ready: tuple[int, int]  # lessons whose room was ready, lessons
    energy: Amounts
    no_service: str  # why nothing is known of service; "": something is
    no_energy: str


class SchoolInputs(Struct, frozen=True, kw_only=True):
    """One school. `before`, `year_before`: months and energy to compare with."""

    school: School
    zone: ZoneInfo
    service: Service
    energy: Energy
    before: tuple[Months, Energy]
    year_before: tuple[Months, Energy]
    progress: tuple[Progress, ...]  # of the school year of the span's last day, up to that day
    year: int  # that school year


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything that pages are made of. For more, `sources` has what there is."""

    where: Place
    span: Span
    sources: Sources
    schools: tuple[SchoolInputs, ...]
    now: Totals
    before: Totals
    year_before: Totals
    inside: tuple[Line, ...]  # availability of its rooms, or of its schools where there are several

    @property
    def zone(self) -> ZoneInfo:
        """The clock on the wall there."""
        return self.schools[0].zone if self.schools else zone_of(DEFAULT_ZONE)

    @property
    def one(self) -> SchoolInputs | None:
        """The school that the review is of; None: of several."""
        return None if self.where.of_many else self.schools[0]

    @property
    def from_ms(self) -> int:
        """Midnight at which it begins."""
        return midnight_ms(self.span.first, self.zone)

    @property
    def end_ms(self) -> int:
        """Midnight after its last day."""
        return midnight_ms(date.fromordinal(self.span.last.toordinal() + 1), self.zone)

    @property
    def over(self) -> bool:
        """Whether it is past; else figures are those "so far"."""
        return self.sources.now_ms >= self.end_ms

    def target(self, indicator: str) -> Target | None:
        """The target of an indicator in the span's school year: the school's own, else that of all schools."""
        service = self.sources.estate.service
        if service is None:
            return None
        name = self.schools[0].school.name if self.one else ""
        year = targets.year_of(self.span.last)
        return targets.target_of(service.targets, name, indicator, year)  # type: ignore[arg-type]


def place_of(sources: Sources, text: str) -> Place:
    """A school, "network:green" or "all". ConfigError for anything else."""
    where = places.place(sources.estate, text)
    if where.room is not None or where.device is not None:
        raise ConfigError([f"{text}  is no school; a review is of a school, of network:NAME, or of all"])
    if not where.schools:
        raise ConfigError([f"{text}  has no schools"])
    return where


async def read(sources: Sources, place: str, span: Span) -> Inputs:
    """All that a review of `place` needs. ConfigError: no such place. Unavailable: the store."""
    where = place_of(sources, place)
    schools = [await _school(sources, sources.estate.schools[name], span) for name in where.schools]
    inside = schools[0].service.rooms
    if where.of_many:
        line = await places.roll_up_days(sources.store, sources.estate, where, span.first, span.last, sources.now_ms)
        inside = tuple(line.inside)
    return Inputs(
        where=where,
        span=span,
        sources=sources,
        schools=tuple(schools),
        now=totals(span, [(each.service.months, each.energy) for each in schools]),
        before=totals(span.before(), [each.before for each in schools], whole=True),
        year_before=totals(span.year_before(), [each.year_before for each in schools], whole=True),
        inside=inside,
    )


async def _school(sources: Sources, school: School, span: Span) -> SchoolInputs:
    zone = zone_of(school.time_zone)
    year = targets.year_of(span.last)
    return SchoolInputs(
        school=school,
        zone=zone,
        service=await service_read.service(sources, school, span),
        energy=await energy_read.energy(sources, school, span),
        before=await _compared(sources, school, span.before()),
        year_before=await _compared(sources, school, span.year_before()),
        progress=tuple(await _progress(sources, school, year, span, zone)),
        year=year,
    )


async def _compared(sources: Sources, school: School, span: Span) -> tuple[Months, Energy]:
    return (
        await service_read.months(sources, school, span),
        await energy_read.energy(sources, school, span),
    )


async def _progress(sources: Sources, school: School, year: int, span: Span, zone: ZoneInfo) -> Sequence[Progress]:
    """As it was when the span ended, so that a pack that is made later says the same."""
    if sources.estate.service is None:
        return []
    end_ms = midnight_ms(date.fromordinal(span.last.toordinal() + 1), zone)
    at_ms = min(sources.now_ms, end_ms - 1)
    return await targets.progress(sources.book, sources.store, sources.estate, school, year, at_ms)


def totals(span: Span, found: Iterable[tuple[Months, Energy]], whole: bool = False) -> Totals:
    """The sums over schools. `whole`: to compare with, for which a span that was seen in part is no use."""
    every = list(found)
    served = [months for months, _ in every if not _no_service(months, whole)]
    parts = [part for months in served for part in months.parts]
    reasons = {why: None for months, _ in every if (why := _no_service(months, whole))}
    lacking = {why: None for _, energy in every if (why := _no_energy(energy, whole))}
    known = energy_read.added(energy.whole for _, energy in every if not _no_energy(energy, whole))
    ready = [months.lessons_ready for months in served]
    return Totals(
        span=span,
        availability=sum((months.figure for months in served), Figure()),
        lessons=sum((months.lessons for months in served), Figure()),
        targets=tuple(dict.fromkeys(part.target for part in parts)),
        verdict=places.worst(months.verdict for months in served),
        answered=_three(months.times("answered") for months in served),
        fixed=_three(months.times("fixed") for months in served),
        ready=(sum(good for good, _ in ready), sum(count for _, count in ready)),
        energy=known,
        no_service="" if served else "; ".join(reasons),
        no_energy="" if known.device_days else "; ".join(lacking),
    )


def _no_service(months: Months, whole: bool) -> str:
    if whole and months.watched and not months.wholly:
        return "seen in part only"
    return months.why_not


def _no_energy(energy: Energy, whole: bool) -> str:
    if not energy.whole.device_days:
        return "no day on record"
    if whole and energy.days < energy.span.days:
        return f"{energy.days} of its {energy.span.days} days known"
    return ""


def _three(found: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    every = list(found)
    return sum(each[0] for each in every), sum(each[1] for each in every), sum(each[2] for each in every)


def today(inputs: Inputs) -> date:
    """The local day on which the review is made."""
    return local(inputs.sources.now_ms, inputs.zone).date()
