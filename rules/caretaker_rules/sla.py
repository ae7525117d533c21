"""A school's month against its service level, in figures that both sides can recompute.

A month in which the level changes is reckoned in parts, one for each level, each against its own target.

- **Availability** is a range where Caretaker was blind. `met` and `missed` are said only when the whole range lies on
  one side of the target; else nobody can tell, and the credits that it costs are those that are proved.
- **A fault counts once** (`sla_faults`), however many machines it hit.
- **Times** to answer and to fix are those of the incidents opened in the part, by `clocks`; merged ones live on in
  another. What still runs and is not late is neither in time nor late.
- **A room is ready** for a lesson when no more of its machines are missing than the level's `spare_ratio`.
- **Credits** are the level's table: for each *full* `per` of a failure. Caps of a month hold for each part by its own
  level, and for the whole month by the highest of them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from caretaker_rules import clocks
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.incidents import Incident
from caretaker_rules.model import School
from caretaker_rules.service import Credit, ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla_faults import DeviceOutage, faults

METHOD = "sla-1"
"""Changes whenever the same events would give another figure."""
_DAY = timedelta(days=1)
_NEARLY = 1e-9
"""What binary fractions may be off by: 99.5 % less 0.3 points is 99.2 %."""


class Verdict(StrEnum):
    """How a figure stands to its target; the value is the sentence."""

    MET = "met"
    MISSED = "missed"
    BLIND = "cannot tell: blind"
    NOTHING_OWED = "n/a: nothing was owed"


class Lesson(Struct, frozen=True):
    """The start of a lesson in a room: how many of its machines were on."""

    room: str
    at_ms: int
    ready: int
    total: int

    def is_ready(self, level: ServiceLevel) -> bool:
        """Whether no more are missing than others can stand in for."""
        return self.total - self.ready <= level.spare_ratio * self.total + _NEARLY


class Times(Struct, frozen=True, kw_only=True):
    """Incidents of one priority: how many were answered, or fixed, in time."""

    priority: int
    allowed_ms: int
    in_time: int = 0
    late: int = 0
    running: int = 0  # neither done nor late yet

    @property
    def ratio(self) -> float | None:
        """Share in time of those that are decided, 0-1; None when none is."""
        done = self.in_time + self.late
        return self.in_time / done if done else None


class CreditLine(Struct, frozen=True, kw_only=True):
    """What one line of the level's table costs this month. `most_...`: if all that nobody saw was down."""

    failure: str
    priority: int | None
    count: float  # availability: percentage points below target; else failures
    per: float
    points: float
    percent: float
    most_points: float
    most_percent: float


class Cost(Struct, frozen=True):
    """Credits, after caps."""

    points: float = 0.0
    percent: float = 0.0
    most_points: float = 0.0
    most_percent: float = 0.0


class Sums(Struct, frozen=True):
    """What the days of a span add up to: all owed time, and that within lessons."""

    devices: Figure
    lessons: Figure


class Part(Struct, frozen=True, kw_only=True):
    """The days of a month under one level."""

    level: str
    title: str
    illustrative: bool
    first: date
    last: date
    target: float
    availability: Sums
    verdict: Verdict
    faults: int
    answered: tuple[Times, ...]
    fixed: tuple[Times, ...]
    lessons: int  # starts of lessons at which Caretaker saw how many machines of the room were on
    lessons_ready: int
    credits: tuple[CreditLine, ...]
    cost: Cost
    capped: bool
    rule: str


class Month(Struct, frozen=True, kw_only=True):
    """A school's month. No parts: the school had no level in it."""

    school: str
    month: str  # 2026-09
    stamp: str  # "sla-1/3fa2": method, and a short hash over levels, hours and what each day was reckoned with
    levels_hash: str  # what the levels say
    days_hash: str  # hours and lessons that the days were reckoned with
    parts: tuple[Part, ...]
    cost: Cost
    incidents: tuple[tuple[str, str, str], ...] = ()  # name, how its answer stands, how its fix stands

    @property
    def verdict(self) -> Verdict:
        """The worst of the parts in which something was owed."""
        found = {part.verdict for part in self.parts}
        order = (Verdict.MISSED, Verdict.BLIND, Verdict.MET)
        return next((verdict for verdict in order if verdict in found), Verdict.NOTHING_OWED)


def month_days(month: str) -> tuple[date, date]:
    """First and last day of "2026-09". ValueError when it is no month."""
    first = date.fromisoformat(f"{month}-01")
    return first, (first + timedelta(days=31)).replace(day=1) - _DAY


def spans(clock: ServiceClock, first: date, last: date) -> list[tuple[date, date, ServiceLevel]]:
    """The days from `first` to `last` as (first, last, level); days without a level are left out."""
    found: list[tuple[date, date, ServiceLevel]] = []
    day = first
    while day <= last:
        level = clock.level(day)
        if level is not None:
            if found and found[-1][1] == day - _DAY and found[-1][2] == level:
                found[-1] = (found[-1][0], day, level)
            else:
                found.append((day, day, level))
        day += _DAY
    return found


def verdict_of(figure: Figure, target: float) -> Verdict:
    """Where a range stands to a target."""
    low, high = figure.low, figure.high
    if low is None or high is None:
        return Verdict.NOTHING_OWED
    if low >= target - _NEARLY:
        return Verdict.MET
    return Verdict.MISSED if high < target - _NEARLY else Verdict.BLIND


def _hash(*values: object) -> str:
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:8]


def part(
    school: School,
    clock: ServiceClock,
    span: tuple[date, date, ServiceLevel],
    sums: Sums,
    outages: Sequence[DeviceOutage],
    lessons: Sequence[Lesson],
    incidents: Sequence[Incident],
    now_ms: int,
) -> Part:
    """The figures of a span of days under one level.

    `outages`, `lessons`: those of its days; `incidents`: all that may have to do with it, merged ones too; those that
    were opened in it count.
    """
    first, last, level = span
    from_ms, until_ms = midnight_ms(first, clock.zone), midnight_ms(last + _DAY, clock.zone)
    opened = [each for each in incidents if from_ms <= each.opened_ms < until_ms]
    answered = times(level, opened, clock, now_ms, "respond")
    fixed = times(level, opened, clock, now_ms, "fix")
    not_ready = sum(not lesson.is_ready(level) for lesson in lessons)
    lines = credit_lines(level, sums.devices, answered, fixed, not_ready)
    cost, capped = _capped(level, lines)
    return Part(
        level=level.name,
        title=level.title or level.name,
        illustrative=level.illustrative,
        first=first,
        last=last,
        target=level.availability_target,
        availability=sums,
        verdict=verdict_of(sums.devices, level.availability_target),
        faults=len(faults(outages, incidents, clock)),
        answered=answered,
        fixed=fixed,
        lessons=len(lessons),
        lessons_ready=len(lessons) - not_ready,
        credits=lines,
        cost=cost,
        capped=capped,
        rule=rule_line(school, clock, span, sums.devices),
    )


def month(
    school: School,
    name: str,
    parts: Sequence[Part],
    levels: Sequence[ServiceLevel],
    days: Iterable[str],
    incidents: Sequence[Incident],
    clock: ServiceClock,
    now_ms: int,
) -> Month:
    """The month of its parts. `levels` in their order; `days`: what each day was reckoned with, in order."""
    total = [sum(getattr(each.cost, key) for each in parts) for key in Cost.__struct_fields__]
    caps = [_highest([getattr(each, key) for each in levels]) for key in ("most_points", "most_percent")]
    limits = (*caps, *caps)
    cost = Cost(*(value if cap is None else min(value, cap) for value, cap in zip(total, limits, strict=True)))
    first, last = month_days(name)
    from_ms, until_ms = midnight_ms(first, clock.zone), midnight_ms(last + _DAY, clock.zone)
    stands = tuple(
        (each.name, _stand(clocks.response(each, clock, now_ms)), _stand(clocks.fix(each, clock, now_ms)))
        for each in incidents
        if from_ms <= each.opened_ms < until_ms
    )
    levels_hash = _hash(list(levels))
    days_hash = _hash(school.service_hours, school.time_zone, list(days))
    return Month(
        school=school.name,
        month=name,
        stamp=f"{METHOD}/{_hash(levels_hash, days_hash)[:4]}",
        levels_hash=levels_hash,
        days_hash=days_hash,
        parts=tuple(parts),
        cost=cost,
        incidents=stands,
    )


def times(
    level: ServiceLevel, opened: Iterable[Incident], clock: ServiceClock, now_ms: int, which: str
) -> tuple[Times, ...]:
    """Answered ("respond") or fixed ("fix") in time, for each priority of the level of which there was an incident."""
    found: dict[int, dict[str, int]] = {}
    allowed: dict[int, int] = {}
    read = clocks.response if which == "respond" else clocks.fix
    for incident in opened:
        one = read(incident, clock, now_ms)
        if one is None or incident.priority is None:
            continue
        counts = found.setdefault(incident.priority, {"in_time": 0, "late": 0, "running": 0})
        counts[_stand(one).replace(" ", "_")] += 1
        allowed[incident.priority] = one.allowance_ms
    return tuple(
        Times(priority=priority, allowed_ms=allowed[priority], **counts) for priority, counts in sorted(found.items())
    )


def _stand(clock: clocks.Clock | None) -> str:
    if clock is None:
        return ""
    if clock.late:
        return "late"
    return "in time" if clock.ended_ms else "running"


def credit_lines(
    level: ServiceLevel,
    figure: Figure,
    answered: Sequence[Times],
    fixed: Sequence[Times],
    not_ready: int,
) -> tuple[CreditLine, ...]:
    """Each line of the level's table that costs something, or would if all that nobody saw was down."""
    lines = []
    for credit in level.credits:
        count, most = _failures(credit, level, figure, answered, fixed, not_ready)
        steps, most_steps = (int(number / credit.per + _NEARLY) for number in (count, most))
        if most_steps:
            lines.append(
                CreditLine(
                    failure=credit.failure,
                    priority=credit.priority,
                    count=round(count, 9),
                    per=credit.per,
                    points=steps * credit.points,
                    percent=steps * credit.percent,
                    most_points=most_steps * credit.points,
                    most_percent=most_steps * credit.percent,
                )
            )
    return tuple(lines)


def _failures(
    credit: Credit,
    level: ServiceLevel,
    figure: Figure,
    answered: Sequence[Times],
    fixed: Sequence[Times],
    not_ready: int,
) -> tuple[float, float]:
    """How much failed for certain, and at most."""
    if credit.failure == "availability":
        if figure.low is None or figure.high is None:
            return 0.0, 0.0
        proved, most = ((level.availability_target - ratio) * 100 for ratio in (figure.high, figure.low))
        return max(0.0, proved), max(0.0, most)
    if credit.failure == "room_not_ready":
        number = not_ready
    else:
        rows = answered if credit.failure == "response" else fixed
        number = sum(row.late for row in rows if credit.priority in (None, row.priority))
    return number, number


def _capped(level: ServiceLevel, lines: Sequence[CreditLine]) -> tuple[Cost, bool]:
    """The sum of the lines under the level's caps, and whether a cap took something off."""
    caps = (level.most_points, level.most_percent, level.most_points, level.most_percent)
    total = [sum(getattr(line, key) for line in lines) for key in Cost.__struct_fields__]
    under = [value if cap is None else min(value, cap) for value, cap in zip(total, caps, strict=True)]
    return Cost(*under), under != total


def _highest(caps: Sequence[float | None]) -> float | None:
    """The highest cap; None: one of them has none, or there is no level."""
    known = [cap for cap in caps if cap is not None]
    return max(known) if known and len(known) == len(caps) else None


def rule_line(school: School, clock: ServiceClock, span: tuple[date, date, ServiceLevel], figure: Figure) -> str:
    """The rule that stands under a percentage, in one line."""
    first, last, level = span
    days = " and ".join(kind.value.replace("_", " ") for kind in level.days) or "no"
    unknown = clock.unknown_days(midnight_ms(first, clock.zone), midnight_ms(last + _DAY, clock.zone))
    holidays = school.bank_holidays != "none" and "bank_holiday" not in level.days
    country = school.bank_holidays.replace("_", " ").title()
    hours = school.service_hours if level.hours is None else level.hours
    parts = [
        f"{day_text(first)} to {day_text(last)} {last.year}, {school.time_zone}",
        f"owed {', '.join(hours)} on {days} days" + (f", not on bank holidays of {country}" if holidays else ""),
        f"maintenance recorded before it began left out ({hours_text(figure.maintained_ms)})",
        "planned-off is available until it is needed",
        f"no data ({hours_text(figure.unseen_ms)}) is neither up nor down and makes the range",
    ]
    if unknown:
        listed = ", ".join(day_text(day) for day in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        count = "1 day" if len(unknown) == 1 else f"{len(unknown)} days"
        counts = "counts" if len(unknown) == 1 else "count"
        parts.append(f"{count} of a kind that nobody knows {counts} as owed ({listed})")
    if level.illustrative:
        parts.append("an illustrative level, nobody's contract")
    return "; ".join(parts)


def day_text(day: date) -> str:
    """ "3 Sep" """
    return f"{day.day} {day:%b}"


def hours_text(length_ms: int) -> str:
    """ "1,234 h", "3.5 h" of machines."""
    hours = length_ms / 3_600_000
    return f"{hours:,.0f} h" if hours >= 99.5 or hours == int(hours) else f"{hours:,.1f} h"
