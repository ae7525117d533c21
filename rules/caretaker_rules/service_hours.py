"""When service is owed to a school: the hours on which the contract's clocks run.

A moment is owed when the clock on the school's wall is within the hours of the level that the school has on that local
day, and the day is of a kind that the level names. So it is calendar arithmetic (a day has 23 or 25 hours at the clock
changes, an hour that is there twice counts twice), and a month in which the level changes is reckoned in two parts.

- Hours over midnight ("mon-fri 22:00-06:00") belong to the day on which they start, as everywhere; its kind decides.
  At midnight before a change of level the old level's hours end.
- A day of a kind that nobody knows (beyond the terms that are written down, or its files cannot be read) counts as
  owed: doubt is not to the provider's favour. `unknown_days` names them, for the line under a figure.
- No level agreed: nothing is owed.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from caretaker_rules.calendar import DAY_MIN, local, midnight_ms, parse_span, zone_of
from caretaker_rules.intervals import Span, Spans, cut, length_ms, union, without
from caretaker_rules.model import School
from caretaker_rules.service import LevelSpan, ServiceFile, ServiceLevel
from caretaker_rules.timetable import NO_TIMETABLE, Timetable, day_kind

LOOK_AHEAD_DAYS = 400
"""How far ahead a moment at which something is due is looked for: more than a school year."""
_DAY = timedelta(days=1)


class ServiceClock:
    """A school's hours of service. Days are worked out once, so keep one for as long as its timetable is good.

    `timetable` has to cover the days that are asked about: where it does not, bank holidays are not known (they count
    as owed), and if the school has files of its own no kind of day is.
    """

    def __init__(self, school: School, spans: Sequence[LevelSpan], timetable: Timetable = NO_TIMETABLE) -> None:
        self.school = school
        self.zone: ZoneInfo = zone_of(school.time_zone)
        self._spans = sorted(spans, key=lambda span: span.from_day)
        self._timetable = timetable
        self._days: dict[date, tuple[Span, ...]] = {}

    @classmethod
    def of(cls, school: School, service: ServiceFile | None, timetable: Timetable = NO_TIMETABLE) -> "ServiceClock":
        """The clock of a school by the levels that estate.toml gives it. ValueError for one that `service` lacks."""
        return cls(school, level_spans(school, service), timetable)

    def level(self, day: date) -> ServiceLevel | None:
        """The level on a local day; None: none was agreed."""
        place = bisect_right(self._spans, day, key=lambda span: span.from_day)
        return self._spans[place - 1].level if place else None

    def level_at(self, at_ms: int) -> ServiceLevel | None:
        """The level at a moment."""
        return self.level(local(at_ms, self.zone).date())

    def owed(self, from_ms: int, until_ms: int) -> list[Span]:
        """The owed time within [from_ms, until_ms), as sorted spans that do not touch."""
        if from_ms >= until_ms or not self._spans:
            return []
        day, last = local(from_ms, self.zone).date(), local(until_ms - 1, self.zone).date()
        gathered: list[Span] = []
        while day <= last:
            gathered += self._day(day)
            day += _DAY
        return cut(union(gathered), from_ms, until_ms)

    def used_ms(self, from_ms: int, until_ms: int, pauses: Spans = ()) -> int:
        """How much owed time lies between two moments, pauses left out."""
        return length_ms(without(self.owed(from_ms, until_ms), union(pauses)))

    def due_ms(self, from_ms: int, allowance_ms: int, pauses: Spans = ()) -> int | None:
        """The moment at which `allowance_ms` of owed time has been used since `from_ms`, pauses left out.

        None: not within 400 days, or a pause that has no end is on before it is used up.
        """
        if allowance_ms <= 0:
            return from_ms
        if not self._spans:
            return None
        paused = union(pauses)
        day, left_ms = local(from_ms, self.zone).date(), allowance_ms
        last = day + _DAY * LOOK_AHEAD_DAYS
        if paused and paused[-1][1] > midnight_ms(last, self.zone):
            # Waiting without an end: what is owed after it began will not be used.
            last = min(last, local(paused[-1][0], self.zone).date())
        while day <= last:
            for begin, end in without([(max(span[0], from_ms), span[1]) for span in self._day(day)], paused):
                if end - begin >= left_ms:
                    return begin + left_ms
                left_ms -= end - begin
            day += _DAY
        return None

    def unknown_days(self, from_ms: int, until_ms: int) -> list[date]:
        """Local days of a kind that nobody knows, with time that counts as owed for that reason."""
        days: dict[date, None] = {}
        for begin, _ in self.owed(from_ms, until_ms):
            day = local(begin, self.zone).date()
            if day_kind(self.school, day, self._timetable) is None:
                days[day] = None
        return list(days)

    def _day(self, day: date) -> tuple[Span, ...]:
        """The owed time of a local day, from midnight to midnight."""
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = self._work_out(day)
        return found

    def _work_out(self, day: date) -> tuple[Span, ...]:
        level = self.level(day)
        if level is None:
            return ()
        hours = [parse_span(text) for text in (self.school.service_hours if level.hours is None else level.hours)]
        minutes: list[Span] = []
        for start_day, shift in ((day, 0), (day - _DAY, DAY_MIN)):
            here = [
                (max(span.start_min - shift, 0), min(span.end_min - shift, DAY_MIN))
                for span in hours
                if start_day.weekday() in span.days and span.end_min > shift
            ]
            if here and self._counts(start_day, level):
                minutes += here
        return tuple(_on_the_wall(day, union(minutes), self.zone)) if minutes else ()

    def _counts(self, day: date, level: ServiceLevel) -> bool:
        kind = day_kind(self.school, day, self._timetable)
        return kind is None or kind in level.days


def level_spans(school: School, service: ServiceFile | None) -> list[LevelSpan]:
    """The levels of a school in order, from the beginning of time on. Without a service file there are none.

    ValueError for a level that `service` lacks; an estate that was checked has none.
    """
    if service is None:
        return []
    levels = {level.name: level for level in service.levels}
    written = [(date.min, school.service_level), *((change.starts, change.level) for change in school.levels)]
    for _, name in written:
        if name not in levels:
            raise ValueError(f'{school.name}: no such service level "{name}"; caretaker check says where it stands')
    return [LevelSpan(level=levels[name], from_day=day) for day, name in written]


def _on_the_wall(day: date, minutes: Spans, zone: ZoneInfo) -> list[Span]:
    """Minutes of a local day as UTC ms; what the clock skips is left out, what it shows twice is there twice."""
    from_ms, until_ms = midnight_ms(day, zone), midnight_ms(day + _DAY, zone)
    day_ms = round(datetime.combine(day, time(), UTC).timestamp() * 1000)
    before, after = _offset_ms(from_ms, zone), _offset_ms(until_ms - 1, zone)
    turn_ms = until_ms if before == after else _turn_ms(from_ms, until_ms, zone)
    spans: list[Span] = []
    for begin, end, offset_ms in ((from_ms, turn_ms, before), (turn_ms, until_ms, after)):
        wall = [(day_ms + start * 60_000 - offset_ms, day_ms + stop * 60_000 - offset_ms) for start, stop in minutes]
        spans += cut(wall, begin, end)
    return union(spans)


def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    offset = local(at_ms, zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1000)


def _turn_ms(from_ms: int, until_ms: int, zone: ZoneInfo) -> int:
    """When the clocks change between two moments that have different offsets."""
    before = _offset_ms(from_ms, zone)
    while until_ms - from_ms > 1:
        middle = (from_ms + until_ms) // 2
        if _offset_ms(middle, zone) == before:
            from_ms = middle
        else:
            until_ms = middle
    return until_ms
