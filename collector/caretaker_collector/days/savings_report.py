"""What a school used and what was avoided in a period, from the store; the reckoning is caretaker_rules.savings.

Points are read a day at a time and only spells are kept, so memory follows from how often machines are left, not from
how often they report.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_collector.points import CHANGE, whole
from caretaker_contract.messages import POWER_VERBS, Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import CarbonFactor, Estate, Tariff
from caretaker_rules.ports import Store
from caretaker_rules.reasons import duration
from caretaker_rules.savings import Baseline, Figure, Savings, Span, assess, spans, valid_on
from caretaker_rules.spells import Spell, Spells

LOOK_BACK_DAYS = 10
"""A machine that went off before the period may still be off in it; one that went earlier than this is not counted."""
WHOLE = ""
"""The name under which a school stands among its rooms."""
NO_BASELINE = 'n/a: no observe period recorded; run a policy with mode = "observe" for three weeks or more'
_STATES = {state.value: state for state in PowerState}
_CAUSES = {cause.value: cause for cause in Cause}
"""By value: a hundred thousand changes are looked at for one month, and an enum's own way takes three times as long."""
_OBSERVED = '%"why":"observe_only","value":"observe"%'


class Used(Struct, frozen=True, kw_only=True):
    """What was used, by the roll-up of the days. Cost or carbon None: no tariff or factor is valid on some day."""

    device_days: int  # 0: no day was rolled up, so nothing is known
    kwh: float
    pounds: float | None
    kg_co2e: float | None
    blind_h: float  # hours of machines that nobody saw; not in the figures


class SavingsReport(Struct, frozen=True, kw_only=True):
    """The answer of `caretaker savings`. `savings` None: `why_not` says why."""

    school: str
    title: str
    first: date
    last: date
    used: Used
    savings: Savings | None
    why_not: str = ""
    not_seen: int = 0  # spells left out because nobody saw when the machine went


def observed(db: sqlite3.Connection, school: str, zone: ZoneInfo) -> tuple[date, date] | None:
    """First and last whole day on which rules only observed here, by the ledger; None: there is none."""
    first_ms, last_ms = db.execute(
        "SELECT min(at_ms), max(at_ms) FROM decisions WHERE school = ? AND CAST(decision AS TEXT) LIKE ?",
        (school, _OBSERVED),
    ).fetchone()
    if first_ms is None:
        return None
    first, last = local(first_ms, zone).date(), local(last_ms, zone).date()
    places = ", ".join("?" * len(POWER_VERBS))
    (acted_ms,) = db.execute(
        f"SELECT min(decided_ms) FROM commands WHERE school = ? AND decided_ms >= ? AND verb IN ({places})",  # noqa: S608
        (school, first_ms, *(verb.value for verb in POWER_VERBS)),
    ).fetchone()
    if acted_ms is not None:
        last = min(last, local(acted_ms, zone).date() - timedelta(days=1))
    return (first, last) if first <= last else None


def policies(db: sqlite3.Connection, school: str, start_ms: int, end_ms: int) -> list[str]:
    """Rules that acted in a span of time, each with its file and the version of it."""
    rows = db.execute(
        "SELECT DISTINCT json_extract(told, '$.policy_file'), json_extract(told, '$.policy_version'), "
        "json_extract(told, '$.rule') FROM (SELECT CAST(d.decision AS TEXT) AS told FROM commands c JOIN decisions d "
        "ON d.school = c.school AND d.device = c.device AND d.at_ms = c.decided_ms "
        "WHERE c.school = ? AND c.decided_ms >= ? AND c.decided_ms < ? AND c.rule != '') ORDER BY 1, 2, 3",
        (school, start_ms, end_ms),
    )
    return [f"{rule} ({path}, version {version})" for path, version, rule in rows]


async def spells(
    store: Store, school: str, zone: ZoneInfo, first: date, last: date, known_until_ms: int
) -> tuple[list[Spell], int]:
    """All spells that begin on the days from `first` to `last`, cut at their end; and how many were not seen to end."""
    book = Spells()
    found: list[Spell] = []
    day = first
    while day <= last:
        start_ms, end_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
        for point in whole(await store.read("transition", start_ms, end_ms, school=school), *CHANGE):
            _, room, device_class, device = point.tags
            complete = book.feed(
                point.time_ns // 1_000_000,
                device,
                room,
                device_class,
                _STATES[str(point.fields["from_state"])],
                _STATES[str(point.fields["to_state"])],
                _CAUSES[str(point.fields["cause"])],
            )
            if complete is not None:
                found.append(complete)
        day += timedelta(days=1)
    found += book.finish(min(known_until_ms, midnight_ms(last + timedelta(days=1), zone)))
    return found, book.not_seen


async def used(store: Store, estate: Estate, school: str, zone: ZoneInfo, first: date, last: date) -> Used:
    """What was used on the days from `first` to `last`, each at the tariff and factor that is valid on it."""
    return (await used_by_room(store, estate, school, zone, first, last))[WHOLE]


async def used_by_room(
    store: Store, estate: Estate, school: str, zone: ZoneInfo, first: date, last: date
) -> dict[str, Used]:
    """What each room used, and `WHOLE` the school."""
    found: dict[str, _Using] = {WHOLE: _Using()}
    day = first
    while day <= last:
        start_ms, end_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
        _add_day(found, estate, day, await store.read("device_day", start_ms, end_ms, school=school))
        day += timedelta(days=1)
    return {room: using.result() for room, using in found.items()}


def used_on(estate: Estate, day: date, points: Sequence[Point]) -> dict[str, Used]:
    """What each room used on one day, and `WHOLE` the school, by the day's `device_day` points."""
    found: dict[str, _Using] = {WHOLE: _Using()}
    _add_day(found, estate, day, points)
    return {room: using.result() for room, using in found.items()}


def _add_day(found: dict[str, "_Using"], estate: Estate, day: date, points: Sequence[Point]) -> None:
    by_room: dict[str, list[Point]] = {WHOLE: list(points)}
    for point in points:
        by_room.setdefault(point.tags[1], []).append(point)
    tariff, factor = valid_on(estate.tariffs, day), valid_on(estate.carbon, day)
    for room, some in by_room.items():
        found.setdefault(room, _Using()).add(some, tariff, factor)


@dataclass
class _Using:
    """Sums over days."""

    device_days: int = 0
    kwh: float = 0.0
    pounds: float = 0.0
    kg: float = 0.0
    blind_s: int = 0
    priced: bool = True
    weighed: bool = True

    def add(self, points: Sequence[Point], tariff: Tariff | None, factor: CarbonFactor | None) -> None:
        """The device-days of one day."""
        today_kwh = sum(float(point.fields.get("energy_wh", 0.0)) for point in points) / 1000
        self.device_days += len(points)
        self.blind_s += sum(int(point.fields.get("blind_s", 0)) for point in points)
        self.kwh += today_kwh
        self.pounds += today_kwh * tariff.pence_per_kwh / 100 if tariff else 0.0
        self.kg += today_kwh * factor.kg_co2e_per_kwh if factor else 0.0
        self.priced, self.weighed = self.priced and tariff is not None, self.weighed and factor is not None

    def result(self) -> Used:
        """The sums."""
        return Used(
            device_days=self.device_days,
            kwh=self.kwh,
            pounds=self.pounds if self.priced else None,
            kg_co2e=self.kg if self.weighed else None,
            blind_h=round(self.blind_s / 3600, 1),
        )


async def report(
    store: Store,
    estate: Estate,
    school: str,
    period: tuple[date, date],
    baseline: tuple[date, date] | None,
    known_until_ms: int,
    acted: Sequence[str] = (),
) -> SavingsReport:
    """The whole answer. `baseline` None: no observe period is known. Nothing after `known_until_ms` is counted."""
    written = estate.schools[school]
    zone = ZoneInfo(written.time_zone)
    first, last = period
    spent = await used(store, estate, school, zone, first, last)
    known, not_seen = None, 0
    if baseline is not None:
        before, not_seen = await spells(store, school, zone, *baseline, known_until_ms)
        known = Baseline(before, zone, *baseline)
    if known is None or not known.spells:
        why_not = NO_BASELINE if known is None else f"n/a: nothing was recorded from {known.first} to {known.last}"
        return SavingsReport(
            school=school, title=written.title, first=first, last=last, used=spent, savings=None, why_not=why_not
        )
    during, more = await spells(store, school, zone, first - timedelta(days=LOOK_BACK_DAYS), last, known_until_ms)
    parts: list[Span] = spans(first, last, zone, estate.tariffs, estate.carbon)
    return SavingsReport(
        school=school,
        title=written.title,
        first=first,
        last=last,
        used=spent,
        savings=assess(known, during, parts, estate.classes, acted),
        not_seen=not_seen + more,
    )


def render(answer: SavingsReport) -> str:
    """The answer as people read it: a table, and the working below it."""
    lines = [f"{answer.title} ({answer.school}), {answer.first} to {answer.last}"]
    lines.append(f"{'':<22}{'kWh':>24}{'GBP':>24}{'kg CO2e':>24}{'times off':>11}")
    spent = answer.used
    known = (spent.kwh, spent.pounds, spent.kg_co2e) if spent.device_days else (None, None, None)
    lines.append(_row("used", *map(_number, known)))
    if answer.savings is None:
        return "\n".join([*lines, _row("avoided", answer.why_not.partition(":")[0]), answer.why_not])
    saved = answer.savings
    for name, line in (("rule-off", saved.rule_off), ("user-off", saved.user_off), ("both", saved.both)):
        figures = (_range(line.kwh), _range(line.pounds), _range(line.kg_co2e))
        lines.append(_row(f"avoided, {name}", *figures, f"{line.spells:,}"))
    note = "likely (low to high); user-off: what users switched off beyond what they did in the baseline"
    return "\n".join([*lines, note, working(answer)])


def working(answer: SavingsReport) -> str:
    """How the figures were made, in one line."""
    assert answer.savings is not None
    basis = answer.savings.basis
    levels = ", ".join(f"{number:,} by {level}" for level, number in basis.levels.items())
    parts = [
        f"baseline {basis.baseline_from} to {basis.baseline_until}: {basis.baseline_spells:,} spells of being left on "
        f"{basis.baseline_days} days, {basis.fewest:,} behind the thinnest curve",
        f"spells judged: {levels or 'none'}",
        f"nothing counted beyond {duration(basis.longest_s)} left on",
        f"rules: {'; '.join(basis.policies) or 'none acted'}",
        f"tariff: {'; '.join(basis.tariffs) or 'none is valid'}",
        f"factor: {'; '.join(basis.factors) or 'none is valid'}",
        f"watts: {'; '.join(basis.watts) or 'none'}",
        f"{answer.used.blind_h:g} machine-hours not seen",
        f"{answer.not_seen} spells not seen to end and {basis.unknown_class} of unknown class left out",
    ]
    return "working: " + " | ".join(parts)


def _row(name: str, kwh: str, pounds: str = "", kg: str = "", times: str = "") -> str:
    return f"{name:<22}{kwh:>24}{pounds:>24}{kg:>24}{times:>11}".rstrip()


def _range(figure: Figure | None) -> str:
    return "n/a" if figure is None else f"{_number(figure.likely)} ({_number(figure.low)} to {_number(figure.high)})"


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:,.1f}"
