"""What was saved: time on avoided against what the same school did while no rule acted, as a range (design, section 7).

The baseline says, for machines left at an hour of a weekday, how long they stayed on (survival.py). Against it:

- **rule-off**: for each machine that a rule switched off, the time for which it would have been expected to stay on,
  given that it was still on then, up to its next use: rules get no credit for an hour in which it was used anyway, nor
  for what its user would have switched off later.
- **user-off**: expected less observed time on before a rule came, over *all* spells of being left. People switch off in
  the baseline too, and that is no saving; what they do beyond it is, and what they do less is a loss. So where nothing
  was changed it is zero, give or take.

Both are counted in the same currency: watts idle less watts off (or asleep, where a rule put it to sleep), by class.

The range is nominally 98 %, so that it holds the truth in at least 95 % of cases although spreads are estimated from
few days. It has two parts: what machines would really have done (not their mean), and that the baseline is a sample: a
figure that rests on n spells, estimated from m spells, has the variance of n (1 + n / m) spells. Machines of one day go
together (one person walks round and switches them all off), so the variance is multiplied by how much more the sums of
whole baseline days vary than they would if spells were independent.

Assumed, and not provable: that the school's habits were those of the baseline, and that whoever comes back would have
come back at that time had the machine been left on. Time on that a wake adds is not taken off here.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta, tzinfo
from itertools import pairwise
from math import sqrt
from statistics import NormalDist, median
from typing import TypeVar

from msgspec import Struct

from caretaker_contract.messages import PowerState
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import CarbonFactor, DeviceClass, Tariff
from caretaker_rules.spells import Ended, Spell
from caretaker_rules.survival import Curve

MIN_SPELLS = 20
"""A curve with fewer spells under way is not asked; the next wider one is."""
CONFIDENCE = 0.98
_T_OF_FEW = (31.821, 6.965, 4.541, 3.747)  # Student's t for 1 to 4 degrees of freedom, 0.01 on each side
LEVELS = ("class and room", "class", "all", "all of this part of the day", "all of this weekday", "all of any day")
"""Whose spells a curve is made of, each wider than the one before; the first three at the same weekday and hour.

The weekday is given up last: what is left on over a weekend is most of what there is to save.
"""
PARTS_FROM_H = (9, 15, 18)
"""The parts of a day: before school, school, after school, evening."""
_J_PER_KWH = 3_600_000

Key = tuple[object, ...]
T = TypeVar("T", Tariff, CarbonFactor)


class Figure(Struct, frozen=True):
    """An estimate with the range that it may lie in."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0


class Saving(Struct, frozen=True, kw_only=True):
    """What was avoided by rules, by users, or by both. Cost or carbon None: no tariff or factor is valid there."""

    spells: int  # machine-off spells of this kind
    off_s: float  # seconds off in them, more than which cannot be avoided
    kwh: Figure
    pounds: Figure | None
    kg_co2e: Figure | None


class Basis(Struct, frozen=True, kw_only=True):
    """What the figures rest on."""

    baseline_from: date
    baseline_until: date  # the last day
    baseline_spells: int
    baseline_days: int  # days with spells in them
    levels: dict[str, int]  # how many of the assessed spells rest on which level of the baseline
    fewest: int  # spells behind the thinnest curve that was used
    longest_s: float  # the longest that a machine was seen left on; nothing beyond it is counted
    together: float  # how much more machines of one day go together than by chance (variance, 1: not at all)
    policies: tuple[str, ...]
    tariffs: tuple[str, ...]
    factors: tuple[str, ...]
    watts: tuple[str, ...]
    unknown_class: int  # spells left out because nobody wrote down their watts


class Together(Struct, frozen=True):
    """How much more machines of one day go together than by chance (variance, 1: not at all)."""

    rule: float  # of the rest of the time on of machines still on when a rule came
    user: float  # of the whole time on


class Savings(Struct, frozen=True, kw_only=True):
    """The answer for one school and period."""

    rule_off: Saving
    user_off: Saving
    both: Saving
    basis: Basis


class Baseline:
    """How machines were left and switched off in a period without rules, by class, room, weekday and hour."""

    def __init__(self, spells: Iterable[Spell], zone: tzinfo, first: date, last: date) -> None:
        """Spells that began on the days from `first` to `last`. Where a rule did act, a spell counts up to there."""
        self.zone, self.first, self.last = zone, first, last
        self._hours: dict[int, tuple[date, int]] = {}
        self.spells = [spell for spell in spells if first <= self.when(spell)[0] <= last]
        self.days = {self.when(spell)[0] for spell in self.spells}
        self.longest_s = max((_on_s(spell) for spell in self.spells), default=0.0)
        self._groups: dict[Key, list[tuple[float, bool]]] = {}
        for spell in self.spells:
            for key in self._keys(spell):
                self._groups.setdefault(key, []).append((_on_s(spell), spell.ended is Ended.USER))
        self._curves: dict[Key, Curve] = {}
        self._errors_s = self._errors()

    def when(self, spell: Spell) -> tuple[date, int]:
        """Local date and hour at which a spell began; remembered by quarter-hours, because zones change only there."""
        quarter = spell.start_ms // 900_000
        found = self._hours.get(quarter)
        if found is None:
            moment = local(spell.start_ms, self.zone)
            found = self._hours[quarter] = (moment.date(), moment.hour)
        return found

    def _keys(self, spell: Spell) -> tuple[Key, ...]:
        day, hour = self.when(spell)
        weekday = day.weekday()
        return (
            (0, spell.device_class, spell.room, weekday, hour),
            (1, spell.device_class, weekday, hour),
            (2, weekday, hour),
            (3, weekday, bisect_right(PARTS_FROM_H, hour)),
            (4, weekday),
            (5,),
        )

    def curve(self, spell: Spell, elapsed_s: float = 0.0) -> Curve:
        """The narrowest curve for this spell that has enough spells still on after `elapsed_s`; else the widest."""
        found = None
        for key in self._keys(spell):
            members = self._groups.get(key, ())
            if len(members) < MIN_SPELLS and key != (5,):
                continue
            found = self._curves.get(key)
            if found is None:
                found = self._curves[key] = Curve(LEVELS[int(str(key[0]))], members)
            if found.at_risk(elapsed_s) >= MIN_SPELLS:
                break
        assert found is not None
        return found

    def _rest_s(self, spell: Spell, curve: Curve) -> float:
        """Expected less observed seconds on of a spell of the baseline itself."""
        on_s = _on_s(spell)
        until_s = on_s if spell.ended is Ended.RULE else max(on_s, self.until_s(spell))
        return curve.area_s(until_s) - on_s

    def _errors(self) -> dict[Key, float]:
        rests: dict[Key, list[float]] = {}
        for spell in self.spells:
            rests.setdefault(self._where(spell), []).append(self._rest_s(spell, self.curve(spell)))
        return {key: sum(found) / len(found) for key, found in rests.items() if len(found) >= MIN_SPELLS}

    def _where(self, spell: Spell) -> Key:
        return spell.device_class, spell.room, self.when(spell)[0].weekday()

    def error_s(self, spell: Spell) -> float:
        """How much too long spells of its class, room and weekday were expected to be on in the baseline, on average.

        Not zero, because curves are pooled, and because whoever leaves for the day switches off more often than whoever
        is back in five minutes, although an hour holds both. 0 where too few spells are known.
        """
        return self._errors_s.get(self._where(spell), 0.0)

    def together(self, watts: Mapping[str, float], landmark_s: float | None) -> float:
        """Variance of whole days' sums over what independent spells would give; 1 at least.

        `landmark_s` None: of the time on from the start; else of the rest of it for machines still on then.
        """
        sums: dict[date, float] = {}
        alone = 0.0
        for spell in self.spells:
            weight, on_s = watts.get(spell.device_class), _on_s(spell)
            if weight is None or (landmark_s is not None and on_s <= landmark_s):
                continue
            until_s = on_s if spell.ended is Ended.RULE else max(on_s, self.until_s(spell))
            curve = self.curve(spell, landmark_s or 0.0)
            if landmark_s is None:
                rest_s = self._rest_s(spell, curve) - self.error_s(spell)
                variance_s2 = curve.variance_from_start_s2(until_s)
            else:
                rest_s = curve.expected_s(landmark_s, until_s, landmark_s) - (on_s - landmark_s)
                variance_s2 = curve.variance_s2(landmark_s, until_s)
            day = self.when(spell)[0]
            sums[day] = sums.get(day, 0.0) + weight * rest_s
            alone += weight**2 * variance_s2
        if not alone:
            return 1.0
        # The curves were fitted to these very days, one of each weekday at least, so their sums come out too small.
        fitted = len(sums) / max(1, self.free_days)
        return max(1.0, fitted * sum(value**2 for value in sums.values()) / alone)

    @property
    def free_days(self) -> int:
        """Days beyond the first of each weekday: what a spread between days can be estimated from."""
        return len(self.days) - len({day.weekday() for day in self.days})

    def until_s(self, spell: Spell) -> float:
        """Seconds to a spell's next use, as far as the baseline can say anything."""
        return min((spell.next_ms - spell.start_ms) / 1000, self.longest_s)


class Span(Struct, frozen=True):
    """A stretch of the period within which neither tariff nor factor changes."""

    start_ms: int
    end_ms: int
    tariff: Tariff | None
    factor: CarbonFactor | None


def spans(
    first: date, last: date, zone: tzinfo, tariffs: Sequence[Tariff], factors: Sequence[CarbonFactor]
) -> list[Span]:
    """The days from `first` to `last`, cut where a tariff or factor begins to be valid."""
    after = last + timedelta(days=1)
    begins = {entry.valid_from for entry in tariffs} | {entry.valid_from for entry in factors}
    cuts = sorted({first, after} | {begin for begin in begins if first < begin < after})
    return [
        Span(midnight_ms(begin, zone), midnight_ms(end, zone), valid_on(tariffs, begin), valid_on(factors, begin))
        for begin, end in pairwise(cuts)
    ]


def valid_on(entries: Sequence[T], day: date) -> T | None:
    """The tariff or factor that is valid on a day: the newest that began by then; None: none had."""
    past = [entry for entry in entries if entry.valid_from <= day]
    return max(past, key=lambda entry: entry.valid_from, default=None)


def assess(
    baseline: Baseline,
    spells: Iterable[Spell],
    parts: Sequence[Span],
    classes: Mapping[str, DeviceClass],
    policies: Sequence[str] = (),
) -> Savings:
    """What was avoided within `parts` (see `spans`), by spells that may have begun before and may end after them.

    The baseline must hold at least one spell. Machines of a class that is not in `classes` are left out, and counted.
    """
    sums = _Sums(baseline, parts, classes)
    for spell in spells:
        sums.add(spell)
    return sums.result(tuple(policies), sums.together())


def assess_each(
    baseline: Baseline,
    spells: Iterable[Spell],
    parts: Sequence[Span],
    classes: Mapping[str, DeviceClass],
    group: Callable[[Spell], str | None],
    names: Iterable[str] = (),
) -> dict[str, Savings]:
    """What was avoided in each group of spells: rooms, rules; `group` names it, None leaves a spell out.

    Groups of `names` are in the answer also when they have no spell: nothing was avoided there.
    How machines of one day go together is what all of them show, as in `assess`: of a few machines it cannot be told.
    So likely figures of groups that share all spells out add up to that of the whole; their ranges do not.
    """
    whole = _Sums(baseline, parts, classes)
    groups = {name: _Sums(baseline, parts, classes) for name in names}
    for spell in spells:
        whole.add(spell)
        name = group(spell)
        if name is not None:
            if name not in groups:
                groups[name] = _Sums(baseline, parts, classes)
            groups[name].add(spell)
    together = whole.together()
    return {name: sums.result((), together) for name, sums in groups.items()}


class _Sums:
    """Joules by span, and their variances."""

    def __init__(self, baseline: Baseline, parts: Sequence[Span], classes: Mapping[str, DeviceClass]) -> None:
        self._base, self._parts, self._classes = baseline, parts, classes
        self._starts_ms = [part.start_ms for part in parts]
        self._rule_j, self._user_j = [0.0] * len(parts), [0.0] * len(parts)
        self._off_j = {Ended.RULE: 0.0, Ended.USER: 0.0}
        self._off_s = {Ended.RULE: 0.0, Ended.USER: 0.0}
        self._spells = {Ended.RULE: 0, Ended.USER: 0}
        self._rule_spread: list[tuple[Curve, int, int, float]] = []  # curve, under way, span, variance in J^2
        self._user_spread: dict[Curve, list[float]] = {}  # by span
        self._number: dict[Curve, int] = {}
        self._after_s: list[float] = []  # how long machines had been left when a rule came
        self._levels: dict[str, int] = {}
        self._fewest = 0
        self._used: set[str] = set()
        self._unknown = 0

    def add(self, spell: Spell) -> None:
        """One spell."""
        parts, base = self._parts, self._base
        if spell.next_ms <= parts[0].start_ms or spell.start_ms >= parts[-1].end_ms:
            return
        known = self._classes.get(spell.device_class)
        if known is None:
            self._unknown += 1
            return
        self._used.add(known.name)
        curve = base.curve(spell)
        watts = known.watts_idle - known.watts_off
        away = known.watts_asleep if spell.away is PowerState.ASLEEP else known.watts_off
        rule_watts = known.watts_idle - away
        until_s, on_s = base.until_s(spell), min(_on_s(spell), base.longest_s)
        by_rule = spell.ended is Ended.RULE and _on_s(spell) < base.longest_s
        late = base.curve(spell, on_s) if by_rule else curve
        under_way = late.at_risk(on_s) if by_rule else curve.spells
        self._levels[late.level] = self._levels.get(late.level, 0) + 1
        self._fewest = min(self._fewest or under_way, under_way)
        start_ms = spell.start_ms
        for at, part in enumerate(parts):
            from_s = max(0.0, (part.start_ms - start_ms) / 1000)
            to_s = min(until_s, (part.end_ms - start_ms) / 1000)
            expected_s = curve.area_s(to_s) - curve.area_s(from_s) if to_s > from_s else 0.0
            # What was observed: on until `on_s`, or what the curve says of a machine that a rule switched off then.
            expected_s -= max(0.0, min(on_s, to_s) - from_s)
            if by_rule:
                after_s = max(on_s, from_s)
                expected_s -= curve.expected_s(after_s, to_s, on_s)
                self._rule_j[at] += rule_watts * late.expected_s(after_s, to_s, on_s)
            self._user_j[at] += watts * expected_s
        if spell.ended is not Ended.OPEN:
            off_s = (min(spell.next_ms, parts[-1].end_ms) - max(spell.end_ms, parts[0].start_ms)) / 1000
            if off_s > 0:
                self._spells[spell.ended] += 1
                self._off_s[spell.ended] += off_s
                self._off_j[spell.ended] += off_s * max(0.0, rule_watts if spell.ended is Ended.RULE else watts)
        at = max(0, bisect_right(self._starts_ms, start_ms) - 1)
        variance_s2 = curve.variance_from_start_s2(until_s)
        if by_rule:
            self._after_s.append(on_s)
            variance = rule_watts**2 * late.variance_s2(on_s, until_s)
            self._rule_spread.append((late, under_way, at, variance))
            variance_s2 = max(0.0, variance_s2 - curve.share_on(on_s) * curve.variance_s2(on_s, until_s))
        self._user_spread.setdefault(curve, [0.0] * len(parts))[at] += watts**2 * variance_s2
        self._number[curve] = self._number.get(curve, 0) + 1
        if start_ms >= parts[0].start_ms:
            self._user_j[at] -= watts * base.error_s(spell)

    def together(self) -> Together:
        """How machines of the classes that were added go together, by the baseline."""
        watts = {name: self._classes[name].watts_idle - self._classes[name].watts_off for name in self._used}
        by_rule = self._base.together(watts, median(self._after_s)) if self._after_s else 1.0
        return Together(by_rule, self._base.together(watts, None))

    def result(self, policies: tuple[str, ...], together: Together) -> Savings:
        """The figures."""
        base, count = self._base, len(self._parts)
        user_j = self._user_j
        asked: dict[Curve, int] = {}
        for curve, _, _, _ in self._rule_spread:
            asked[curve] = asked.get(curve, 0) + 1
        rule_v, user_v = [0.0] * count, [0.0] * count
        for curve, under_way, at, variance in self._rule_spread:
            rule_v[at] += together.rule * variance * (1 + asked[curve] / max(1, under_way))
        for curve, variances in self._user_spread.items():
            for at, variance in enumerate(variances):
                user_v[at] += together.user * variance * (1 + self._number[curve] / curve.spells)
        off = self._off_j
        rule = self._saving(Ended.RULE, self._rule_j, rule_v, 0.0, off[Ended.RULE])
        user = self._saving(Ended.USER, user_j, user_v, None, off[Ended.USER])
        both = self._saving(
            None,
            [a + b for a, b in zip(self._rule_j, user_j, strict=True)],
            [a + b for a, b in zip(rule_v, user_v, strict=True)],
            None,
            off[Ended.RULE] + off[Ended.USER],
        )
        basis = Basis(
            baseline_from=base.first,
            baseline_until=base.last,
            baseline_spells=len(base.spells),
            baseline_days=len(base.days),
            levels={level: self._levels[level] for level in LEVELS if level in self._levels},
            fewest=self._fewest,
            longest_s=base.longest_s,
            together=max(together.rule, together.user),
            policies=policies,
            tariffs=_texts(_tariff_text(part.tariff) for part in self._parts if part.tariff is not None),
            factors=_texts(_factor_text(part.factor) for part in self._parts if part.factor is not None),
            watts=tuple(_watts_text(self._classes[name]) for name in sorted(self._used)),
            unknown_class=self._unknown,
        )
        return Savings(rule_off=rule, user_off=user, both=both, basis=basis)

    def _saving(
        self, kind: Ended | None, joules: list[float], variances: list[float], least_j: float | None, most_j: float
    ) -> Saving:
        """One line. Nothing beyond the time off can have been avoided, and a rule that switches off cannot waste."""
        kwh = [joule / _J_PER_KWH for joule in joules]
        spread = [variance / _J_PER_KWH**2 for variance in variances]
        most = most_j / _J_PER_KWH
        least = None if least_j is None else least_j / _J_PER_KWH

        def figure(rates: list[float]) -> Figure:
            # The bounds are in kWh: at the dearest rate of the period, they hold for what kWh cost.
            top = max(rates, default=0.0)
            return _figure(
                sum(a * b for a, b in zip(kwh, rates, strict=True)),
                sum(a * b * b for a, b in zip(spread, rates, strict=True)),
                None if least is None else least * top,
                most * top,
                self._base.free_days,
            )

        prices = [part.tariff.pence_per_kwh / 100 for part in self._parts if part.tariff is not None]
        weights = [part.factor.kg_co2e_per_kwh for part in self._parts if part.factor is not None]
        kinds = [Ended.RULE, Ended.USER] if kind is None else [kind]
        return Saving(
            spells=sum(self._spells[one] for one in kinds),
            off_s=sum(self._off_s[one] for one in kinds),
            kwh=figure([1.0] * len(kwh)),
            pounds=figure(prices) if len(prices) == len(kwh) else None,
            kg_co2e=figure(weights) if len(weights) == len(kwh) else None,
        )


def _figure(likely: float, variance: float, least: float | None, most: float, free_days: int) -> Figure:
    """The range around an estimate, kept within what is possible."""
    half = _quantile(free_days) * sqrt(variance)
    low, high = likely - half, likely + half
    if least is not None:
        low, likely, high = max(least, low), max(least, likely), max(least, high)
    return Figure(min(low, most), min(likely, most), min(high, most))


def _quantile(free: int) -> float:
    """Student's t for `CONFIDENCE` on both sides with `free` degrees of freedom.

    From 5 on the Cornish-Fisher expansion (Abramowitz and Stegun 1964, 26.7.5), right to 0.3 %; below, their table.
    A baseline of one week leaves no freedom at all, and gets the widest.
    """
    if free <= len(_T_OF_FEW):
        return _T_OF_FEW[max(0, free - 1)]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3


def _on_s(spell: Spell) -> float:
    return (spell.end_ms - spell.start_ms) / 1000


def _texts(found: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(found))


def _tariff_text(tariff: Tariff) -> str:
    return f"{tariff.pence_per_kwh:g} p/kWh from {tariff.valid_from} ({tariff.source})"


def _factor_text(factor: CarbonFactor) -> str:
    return f"{factor.kg_co2e_per_kwh:g} kgCO2e/kWh from {factor.valid_from} ({factor.source})"


def _watts_text(known: DeviceClass) -> str:
    source = known.source or "no source is written down"
    return f"{known.name} {known.watts_idle:g} W idle, {known.watts_off:g} W off ({source})"
