"""The figures that stand on the first page and are compared: as facts, of this span, the one before, and a year before.

Keys: availability, incidents.fixed, ready, energy.used, energy.avoided; with ".last_month" and ".last_year" the same of
the spans to compare with, with ".target" what was planned.
"""

from collections.abc import Callable

from caretaker_collector.review.energy_read import Avoided
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.inputs import Inputs, Totals
from caretaker_collector.sla import targets
from caretaker_dashboards.review.pack import Unit
from caretaker_rules.sla import Verdict

NO_INCIDENT = "no incident was opened of which it is decided yet"
NO_LESSON = "no lesson was seen to begin"
NO_BASELINE = (
    "no observe period is on record to compare with: run a policy that only observes for three weeks, "
    "or name one with caretaker savings --baseline-from"
)
NO_TARGET = "no target is written in service.toml"
_HOUR_MS = 3_600_000


def add(inputs: Inputs, facts: Facts) -> None:
    """All of them."""
    for end, totals in (("", inputs.now), (".last_month", inputs.before), (".last_year", inputs.year_before)):
        of = f", {totals.span.title}" if end else ""
        _service(inputs, facts, totals, end, of)
        _energy(inputs, facts, totals, end, of)
    _parts(inputs, facts)
    _targets(inputs, facts)


def service_command(inputs: Inputs, month: str | None) -> str:
    """What recomputes a figure of service."""
    name = inputs.where.name
    if month is None:
        return f"caretaker review {name} --from {inputs.span.first} --to {inputs.span.last}"
    return f"caretaker sla show {name} {month}" if inputs.where.of_many else f"caretaker sla explain {name} {month}"


def energy_command(inputs: Inputs, totals: Totals) -> str:
    """What recomputes a figure of energy; of many schools for each of them."""
    last = totals.span.last
    if totals is inputs.now:
        last = max((each.energy.until for each in inputs.schools if each.energy.until), default=last)
    if inputs.where.of_many:
        return f"caretaker savings SCHOOL --from {totals.span.first} --to {last}  (for each school)"
    return f"caretaker savings {inputs.where.name} --from {totals.span.first} --to {last}"


def _service(inputs: Inputs, facts: Facts, totals: Totals, end: str, of: str) -> None:
    command = service_command(inputs, totals.span.month)
    whole, why = totals.availability, totals.no_service
    facts.add(
        f"availability{end}",
        f"availability{of}",
        Unit.PERCENT,
        cut_percent(whole.likely),
        low=cut_percent(whole.low),
        high=cut_percent(whole.high),
        why_not=why or "nothing of the time owed was seen",
        source="device_day",
        command=command,
    )
    in_time, late, _ = totals.fixed
    facts.add(
        f"incidents.fixed{end}",
        f"incidents fixed in time{of}",
        Unit.TEXT,
        f"{in_time} of {in_time + late}" if in_time + late else None,
        why_not=why or NO_INCIDENT,
        source="incident log",
        command=command,
    )
    ready, lessons = totals.ready
    facts.add(
        f"ready{end}",
        f"rooms ready for lessons{of}",
        Unit.PERCENT,
        cut_percent(ready / lessons) if lessons else None,
        why_not=why or NO_LESSON,
        source="readiness",
        command=command,
    )


def _energy(inputs: Inputs, facts: Facts, totals: Totals, end: str, of: str) -> None:
    command = energy_command(inputs, totals)
    whole, why = totals.energy, totals.no_energy
    known = not why
    facts.add(
        f"energy.used{end}",
        f"energy used{of}",
        Unit.KWH,
        whole.kwh if known else None,
        why_not=why,
        source="energy_month",
        command=command,
    )
    facts.add(
        f"energy.cost{end}",
        f"its cost{of}",
        Unit.GBP,
        whole.gbp if known else None,
        why_not=why or "no tariff is valid on some day",
        source="energy_month",
        command=command,
    )
    facts.add(
        f"energy.carbon{end}",
        f"its carbon{of}",
        Unit.KG,
        whole.kg if known else None,
        why_not=why or "no carbon factor is valid on some day",
        source="energy_month",
        command=command,
    )
    both = whole.both if known else None
    avoided(facts, f"energy.avoided{end}", f"energy avoided{of}", both, why or NO_BASELINE, command)


def avoided(facts: Facts, key: str, title: str, found: Avoided | None, why: str, command: str) -> None:
    """What was avoided as three facts: `key` in kWh, `key`_gbp and `key`_kg."""
    rows = (
        ("", "", Unit.KWH, found.kwh if found else None, ""),
        ("_gbp", ", what it is worth", Unit.GBP, found.gbp if found else None, "no tariff is valid on some day"),
        ("_kg", ", its carbon", Unit.KG, found.kg if found else None, "no carbon factor is valid on some day"),
    )
    for end, more, unit, figure, missing in rows:
        facts.add(
            f"{key}{end}",
            f"{title}{more}",
            unit,
            figure.likely if figure else None,
            low=figure.low if figure else None,
            high=figure.high if figure else None,
            why_not=why if found is None else missing,
            source="energy_month",
            command=command,
        )


def _parts(inputs: Inputs, facts: Facts) -> None:
    """What the sentences of this span speak of."""
    now, command = inputs.now, service_command(inputs, inputs.span.month)

    def count(key: str, title: str, value: float, unit: Unit = Unit.COUNT, source: str = "incident log") -> None:
        facts.add(
            key, title, unit, None if now.no_service else value, why_not=now.no_service, source=source, command=command
        )

    for key, title, length_ms in (
        ("owed", "service owed, in hours of machines", now.availability.owed_ms),
        ("down", "of it down", now.availability.down_ms),
        ("unseen", "of it not seen", now.availability.unseen_ms),
        ("maintained", "of it maintenance that was recorded before it began", now.availability.maintained_ms),
    ):
        count(f"availability.{key}", title, length_ms / _HOUR_MS, Unit.HOURS, "device_day")
    lessons = now.lessons
    facts.add(
        "availability.lessons",
        "availability within lessons",
        Unit.PERCENT,
        cut_percent(lessons.likely),
        low=cut_percent(lessons.low),
        high=cut_percent(lessons.high),
        why_not=now.no_service or "no lesson lay in the time owed",
        source="device_day",
        command=command,
    )
    count("incidents.decided", "incidents fixed, or late", now.fixed[0] + now.fixed[1])
    count("incidents.in_time", "incidents fixed in time", now.fixed[0])
    count("incidents.late", "incidents fixed late, or late already", now.fixed[1])
    count("incidents.running", "incidents still open and not late", now.fixed[2])
    count("incidents.answered", "incidents answered in time", now.answered[0])
    count("incidents.answered_late", "incidents answered late", now.answered[1])
    count("ready.lessons", "lessons that were seen to begin", now.ready[1], source="readiness")
    count("ready.in_time", "lessons whose room was ready", now.ready[0], source="readiness")


def _targets(inputs: Inputs, facts: Facts) -> None:
    now = inputs.now
    levels = sorted(set(now.targets))
    single = levels[0] if len(levels) == 1 else None
    if len(levels) > 1:
        text = " and ".join(f"{cut_percent(level):.2f} %" for level in levels)
        facts.add("availability.target", "availability, target", Unit.TEXT, text, source="service.toml")
    else:
        facts.add(
            "availability.target",
            "availability, target",
            Unit.PERCENT,
            cut_percent(single),
            why_not="no service level was agreed",
            source="service.toml",
        )
    likely = now.availability.likely
    facts.add(
        "availability.gap",
        "availability less its target",
        Unit.POINTS,
        round((likely - single) * 100, 2) if likely is not None and single is not None else None,
        why_not="there is no figure, or more than one target",
        source="device_day and service.toml",
        command=service_command(inputs, inputs.span.month),
    )
    for key, indicator, title in (
        ("incidents.fixed.target", "fixed_in_time", "incidents fixed in time, target"),
        ("ready.target", "rooms_ready", "rooms ready for lessons, target"),
    ):
        target = inputs.target(indicator)
        value = cut_percent(target.value) if target is not None else None
        facts.add(key, title, Unit.PERCENT, value, why_not=NO_TARGET, source="service.toml")
    plan = inputs.target("energy_kwh")
    facts.add(
        "energy.used.target",
        "energy used, even share of the school year's plan",
        Unit.KWH,
        None if plan is None or inputs.where.of_many else plan.value * share_of_year(inputs),
        why_not=NO_TARGET if not inputs.where.of_many else "each school has a plan of its own",
        source="service.toml",
    )


def share_of_year(inputs: Inputs) -> float:
    """Which share of its school year's days the span has, 0-1; days of another school year count as well."""
    first = inputs.span.last.replace(year=targets.year_of(inputs.span.last), month=targets.FIRST_MONTH, day=1)
    return inputs.span.days / (first.replace(year=first.year + 1) - first).days


VERDICTS: dict[Verdict, str] = {
    Verdict.MET: "met",
    Verdict.MISSED: "missed",
    Verdict.BLIND: "cannot tell",
    Verdict.NOTHING_OWED: "cannot tell",
}


def fits(value: float | None, target: float | None, better: Callable[[float, float], bool]) -> str:
    """The verdict on a figure without a range; a target that is not there is none."""
    if target is None:
        return "no target"
    if value is None:
        return "cannot tell"
    return "met" if better(value, target) else "missed"


def unseen(inputs: Inputs) -> bool:
    """Whether Caretaker was at none of the schools before the span ended."""
    return not any(each.service.months.watched for each in inputs.schools)


def empty(inputs: Inputs, why: str) -> str:
    """Why a table is empty, and what to do about it."""
    if inputs.now.no_service == "no service level was agreed":
        return "No service level was agreed: write one in service.toml and name it in estate.toml."
    if inputs.now.no_service:
        return f"Nothing to show: {inputs.now.no_service}."
    return f"Nothing to show: {why}."
