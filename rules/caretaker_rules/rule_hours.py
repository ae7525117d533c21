"""When the hours of a policy's rules hold over a long span, worked out once by asking as the guards ask."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise

from caretaker_rules.calendar import DAY_MIN, local, midnight_ms, parse_span, zone_of
from caretaker_rules.guards import SchoolNow
from caretaker_rules.model import School
from caretaker_rules.policy import Policy, Rule
from caretaker_rules.timetable import Timetable


class RuleHours:
    """When rules' hours hold, as the guards see them; worked out once for the whole span."""

    def __init__(self, school: School, policy: Policy, from_ms: int, until_ms: int, timetable: Timetable) -> None:
        zone = zone_of(school.time_zone)
        days = range((until_ms - from_ms) // 86_400_000 + 5)
        midnights = [midnight_ms(local(from_ms, zone).date() + timedelta(days=day - 1), zone) for day in days]
        minutes = {0} | {
            minute % DAY_MIN
            for rule in policy.rules
            for span in map(parse_span, rule.hours)
            for minute in (span.start_min, span.end_min)
        }
        # Clock changes move wall-clock times against midnight by an hour, so look at those moments too.
        edges = {
            m + (minute * 60 + shift) * 1000 for m in midnights for minute in minutes for shift in (-3600, 0, 3600)
        }
        self._holds: dict[str, list[tuple[int, bool]]] = {}
        self._any: dict[tuple[str, ...], list[tuple[int, bool]]] = {}
        moments = {at_ms: SchoolNow(school, policy, at_ms, (), 0.0, timetable) for at_ms in sorted(edges)}
        for rule in policy.rules:
            self._holds[rule.name] = [(at_ms, now.in_hours(rule)) for at_ms, now in moments.items()]

    def next_open_ms(self, rules: Iterable[Rule], now_ms: int) -> int | None:
        """Now when the hours of one of the rules hold, else when they do next; None: not within the span."""
        found = [at for rule in rules if (at := _first(self._holds[rule.name], now_ms)) is not None]
        return min(found, default=None)

    def within_s(self, rules: Sequence[Rule], from_ms: int, until_ms: int) -> float:
        """Seconds of a span in which the hours of any of the rules hold."""
        names = tuple(rule.name for rule in rules)
        if names not in self._any:
            columns = zip(*(self._holds[name] for name in names), strict=True)
            self._any[names] = [(column[0][0], any(holds for _, holds in column)) for column in columns]
        changes = self._any[names]
        place = max(0, bisect_right(changes, (from_ms, True)) - 1)
        inside_ms = 0
        for (begin_ms, holds), (end_ms, _) in pairwise([*changes[place:], (2**62, False)]):
            if begin_ms >= until_ms:
                break
            if holds:
                inside_ms += min(end_ms, until_ms) - max(begin_ms, from_ms)
        return inside_ms / 1000


def _first(changes: list[tuple[int, bool]], now_ms: int) -> int | None:
    """The first moment from now on at which hours known by their changes hold."""
    place = max(0, bisect_right(changes, (now_ms, True)) - 1)
    for at_ms, holds in changes[place:]:
        if holds:
            return max(at_ms, now_ms)
    return None
