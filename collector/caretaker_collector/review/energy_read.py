"""What a school used and avoided, from the points of `days.energy`; of days that are no month by its own reckoning."""

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec import Struct

from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_contract.metrics import FieldValue, Point
from caretaker_rules.calendar import midnight_ms, zone_of
from caretaker_rules.model import School
from caretaker_rules.savings import Figure

PENCE = 100


class Avoided(Struct, frozen=True, kw_only=True):
    """What rules, users or both avoided, with its range. Cost or carbon None: no tariff or factor is valid there."""

    offs: int
    kwh: Figure
    gbp: Figure | None
    kg: Figure | None


class Amounts(Struct, frozen=True, kw_only=True):
    """What one place used and avoided. Avoided None: no baseline is known. Cost, carbon None: no tariff, no factor."""

    device_days: int  # 0: no day was rolled up, so nothing is known
    kwh: float = 0.0
    gbp: float | None = None
    kg: float | None = None
    blind_h: float = 0.0  # hours of machines that nobody saw; in no figure
    rule: Avoided | None = None
    user: Avoided | None = None
    both: Avoided | None = None


class Energy(Struct, frozen=True, kw_only=True):
    """A school in a span of days."""

    span: Span
    until: date | None  # its last day that was reckoned; None: none was
    days: int  # how many of its days were
    whole: Amounts
    rooms: dict[str, Amounts]
    rules: dict[str, Avoided]


NOTHING = Amounts(device_days=0)


async def energy(sources: Sources, school: School, span: Span) -> Energy:
    """What a school used and avoided in a span, up to its last day that was reckoned. Unavailable: the store."""
    until, days = reckoned(sources, school.name, span)
    if until is None:
        return Energy(span=span, until=None, days=0, whole=NOTHING, rooms={}, rules={})
    if span.month is None:
        points = await sources.energy.points("month", school.name, span.first, until, sources.now_ms)
        return read(points, span, until, days)
    start_ms = midnight_ms(span.first, zone_of(school.time_zone))
    points = []
    for measurement in ("energy_month", "rule_month"):
        points += await sources.store.read(measurement, start_ms, start_ms + 1, school=school.name)
    return read(points, span, until, days)


async def weeks(sources: Sources, school: School, span: Span) -> list[Energy]:
    """The same week by week; each is reckoned as one, so their ranges do not add up to that of the span."""
    found = []
    for week in span.weeks():
        until, days = reckoned(sources, school.name, week)
        if until is not None:
            points = await sources.energy.points(
                "month", school.name, week.first, until, sources.now_ms, only_whole=True
            )
            found.append(read(points, week, until, days))
    return found


def reckoned(sources: Sources, school: str, span: Span) -> tuple[date | None, int]:
    """The last day of a span for which used and avoided were reckoned, and how many were; None: none was."""
    last, days = sources.db.execute(
        "SELECT max(day), count(*) FROM energy_days WHERE school = ? AND day BETWEEN ? AND ?",
        (school, span.first.isoformat(), span.last.isoformat()),
    ).fetchone()
    return (date.fromisoformat(last) if last else None), int(days)


def read(points: Iterable[Point], span: Span, until: date | None, days: int) -> Energy:
    """What points of a month say."""
    whole, rooms, rules = NOTHING, dict[str, Amounts](), dict[str, Avoided]()
    for point in points:
        _, room, label, _ = point.tags
        if point.measurement.startswith("rule_"):
            avoided = _avoided(point.fields, "rule")
            if avoided is not None:
                rules[label.removeprefix("rule:")] = avoided
        elif label == "room":
            rooms[room] = _amounts(point.fields)
        else:
            whole = _amounts(point.fields)
    in_order = dict(sorted(rooms.items()))
    return Energy(span=span, until=until, days=days, whole=whole, rooms=in_order, rules=dict(sorted(rules.items())))


def _amounts(fields: Mapping[str, FieldValue]) -> Amounts:
    return Amounts(
        device_days=int(fields.get("device_days", 0)),
        kwh=float(fields.get("used_kwh", 0.0)),
        gbp=float(fields["used_pence"]) / PENCE if "used_pence" in fields else None,
        kg=float(fields["used_kg"]) if "used_kg" in fields else None,
        blind_h=float(fields.get("blind_h", 0.0)),
        rule=_avoided(fields, "rule"),
        user=_avoided(fields, "user"),
        both=_avoided(fields, "both"),
    )


def _avoided(fields: Mapping[str, FieldValue], kind: str) -> Avoided | None:
    kwh = _figure(fields, f"{kind}_kwh", 1)
    if kwh is None:
        return None
    return Avoided(
        offs=int(fields.get(f"{kind}_offs", 0)),
        kwh=kwh,
        gbp=_figure(fields, f"{kind}_pence", PENCE),
        kg=_figure(fields, f"{kind}_kg", 1),
    )


def _figure(fields: Mapping[str, FieldValue], name: str, by: int) -> Figure | None:
    if name not in fields:
        return None
    return Figure(*(float(fields[f"{name}{end}"]) / by for end in ("_low", "", "_high")))


def added(found: Iterable[Amounts]) -> Amounts:
    """Several schools together: sums, also of the ends of their ranges, so that the range of all is rather too wide.

    Avoided, cost or carbon is known only if it is known of all of which anything was used.
    """
    every = [each for each in found if each.device_days]
    if not every:
        return NOTHING
    return Amounts(
        device_days=sum(each.device_days for each in every),
        kwh=sum(each.kwh for each in every),
        gbp=_sum([each.gbp for each in every]),
        kg=_sum([each.kg for each in every]),
        blind_h=sum(each.blind_h for each in every),
        rule=_added([each.rule for each in every]),
        user=_added([each.user for each in every]),
        both=_added([each.both for each in every]),
    )


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _added(found: list[Avoided | None]) -> Avoided | None:
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return Avoided(
        offs=sum(each.offs for each in known),
        kwh=_together([each.kwh for each in known]) or Figure(),
        gbp=_together([each.gbp for each in known]),
        kg=_together([each.kg for each in known]),
    )


def _together(found: list[Figure | None]) -> Figure | None:
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return Figure(*(sum(getattr(each, end) for each in known) for end in ("low", "likely", "high")))
