"""How rooms are used: machine time in use by hour, seats used of seats booked, whose bookings they were, and trends.

Everything comes from the meters (rollup.py), so the hours of a day add up to its seconds in use, to the second.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta, tzinfo
from itertools import pairwise

from msgspec import Struct

from caretaker_rules.calendar import in_hours, local
from caretaker_rules.intervals import Span, both, union, without
from caretaker_rules.model import Room, Whose
from caretaker_rules.rollup import Reading, Totals, in_order, rising, totals_of
from caretaker_rules.timetable import Shared

HOUR_MS = 3_600_000
LONGEST_LESSON_MS = 2 * HOUR_MS
"""A booking beyond this is looked at hour by hour: of a whole day's booking every seat is used at some time."""
USED_S = 60
"""A seat counts as used when its machine was in use for so long: waking a machine by accident is no use."""


class Hour(Struct, frozen=True):
    """One clock hour of one machine. `seen_s`: of which Caretaker knows."""

    from_ms: int
    in_use_s: int
    seen_s: int


class Piece(Struct, frozen=True):
    """A lesson or booking, or an hour of a long one. `seats` None: all machines of the room."""

    from_ms: int
    until_ms: int
    whose: Whose = "host"
    seats: int | None = None


class Chain:
    """The readings of one machine, put in order once, for totals of many short spans."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._chain = rising(in_order(readings))
        self._times_ms = [reading.at_ms for reading in self._chain]

    def totals(self, start_ms: int, end_ms: int) -> Totals:
        """As `rollup.totals` of all of them, from those within the span and the neighbour on either side."""
        first = max(0, bisect_left(self._times_ms, start_ms) - 1)
        last = bisect_right(self._times_ms, end_ms) + 1
        return totals_of(self._chain[first:last], start_ms, end_ms)


def hours(chain: Chain, start_ms: int, until_ms: int, in_use_s: int) -> list[Hour]:
    """The clock hours from local midnight on, with `in_use_s` of the whole span shared out to the second.

    The last one ends at `until_ms` (the day under way).
    """
    edges = [*range(start_ms, until_ms, HOUR_MS), until_ms]
    found = [chain.totals(begin, end) for begin, end in pairwise(edges)]
    seen_s = [each.in_use_s + each.idle_s + each.asleep_s + each.off_s for each in found]
    # Each hour was rounded by itself: they are weights only. A second in use may have been too short for all of them.
    used_s = [each.in_use_s for each in found]
    weights = used_s if any(used_s) else seen_s
    ratio = in_use_s / sum(weights) if any(weights) else 0.0
    shared, running, given_s = [], 0, 0
    for begin, weight, known_s in zip(edges, weights, seen_s, strict=False):
        running += weight
        until_here_s = round(running * ratio)
        shared.append(Hour(begin, until_here_s - given_s, known_s))
        given_s = until_here_s
    return shared


def pieces(lessons: Sequence[Span], room: Room, shared: Iterable[Shared], zone: tzinfo) -> list[Piece]:
    """Lessons and bookings in order, cut where they change hands, long ones into hours. `lessons`: sorted, none over
    another; one that follows right after another is one of its own.

    What a calendar's category names comes first, then the hours that the room's settings name; all else is the host's.
    """
    rest = list(lessons)
    found: list[Piece] = []
    for each in sorted(shared, key=lambda one: (one.from_ms, one.until_ms)):
        own = both(rest, [(each.from_ms, each.until_ms)])
        if each.whose == "host" and each.seats is None:
            continue
        found += [Piece(begin, end, each.whose, each.seats) for begin, end in own]
        rest = without(rest, [(each.from_ms, each.until_ms)])
    for share in room.shared:
        if share.hours:
            kept: list[Span] = []
            for span in rest:
                for begin, end in _within(span, share.hours, zone):
                    found.append(Piece(begin, end, share.whose))
                    kept.append((begin, end))
            rest = without(rest, union(kept))
    found += [Piece(begin, end) for begin, end in rest]
    return [short for piece in sorted(found, key=lambda one: one.from_ms) for short in _short(piece)]


def _within(span: Span, hours: Sequence[str], zone: tzinfo) -> list[Span]:
    """The part of a span that lies within weekly hours, looked at every five minutes: lessons begin on such."""
    step_ms = 300_000
    return union(
        (at_ms, min(at_ms + step_ms, span[1]))
        for at_ms in range(span[0], span[1], step_ms)
        if in_hours(hours, at_ms, zone)
    )


def _short(piece: Piece) -> list[Piece]:
    if piece.until_ms - piece.from_ms <= LONGEST_LESSON_MS:
        return [piece]
    edges = [*range(piece.from_ms, piece.until_ms, HOUR_MS), piece.until_ms]
    return [Piece(begin, end, piece.whose, piece.seats) for begin, end in pairwise(edges)]


class Seats(Struct, frozen=True):
    """A piece with what was used of it. `seen`: seats of which Caretaker knows for all of it."""

    piece: Piece
    seats: int
    used: int
    seen: int
    in_use_s: int


def seats_of(piece: Piece, machines: Sequence[Totals]) -> Seats:
    """What the machines of the room did during a piece. A booking of fewer seats has no more used than booked."""
    seats = len(machines) if piece.seats is None else min(piece.seats, len(machines))
    used = sum(each.in_use_s >= USED_S for each in machines)
    seen = sum(each.in_use_s >= USED_S or not each.blind_s for each in machines)
    return Seats(piece, seats, min(used, seats), min(seen, seats), sum(each.in_use_s for each in machines))


class Cell(Struct, frozen=True):
    """An hour of the week in a room. `share` None: Caretaker has seen none of it."""

    in_use_s: int = 0
    seen_s: int = 0

    @property
    def share(self) -> float | None:
        """Machine time in use of machine time seen, 0-1."""
        return self.in_use_s / self.seen_s if self.seen_s else None


def heat(hours_of: Iterable[tuple[int, int, int]], zone: tzinfo) -> dict[tuple[int, int], Cell]:
    """Hours (time, in_use_s, seen_s) summed by weekday (0: Monday) and hour on the wall."""
    found: dict[tuple[int, int], list[int]] = {}
    for at_ms, in_use_s, seen_s in hours_of:
        moment = local(at_ms, zone)
        cell = found.setdefault((moment.weekday(), moment.hour), [0, 0])
        cell[0] += in_use_s
        cell[1] += seen_s
    return {key: Cell(*sums) for key, sums in found.items()}


LOOK_BACK_MONTHS = 6
"""The three months of a trend lie within so many: a summer holiday passes, an indicator that was given up does not."""


class Trend(Struct, frozen=True, kw_only=True):
    """How an indicator moved over three months: a straight line (least squares) through the mean a day of each.

    `ratio`: its rise from the first of them to the last, of where it began: 0.3 is 30 % up; None: too little is known,
    `why_not` says what.
    """

    means: tuple[tuple[str, float | None], ...]  # three months, mean of their days that have a value
    ratio: float | None
    why_not: str = ""


def trend(days: Mapping[date, float], last: date) -> Trend:
    """The trend over the newest three months that have values, up to `last`, whose month has to be one of them.

    A month without any value, such as August, is passed over. A month counts by its mean a day, so one with more school
    days does not look busier.
    """
    found: list[tuple[str, float | None]] = []
    for back in range(LOOK_BACK_MONTHS):
        name = _month(last, back)
        values = [value for day, value in days.items() if f"{day:%Y-%m}" == name and day <= last]
        if values and len(found) < 3:
            found.insert(0, (name, sum(values) / len(values)))
    if not found or found[-1][0] != f"{last:%Y-%m}":
        return _no_trend(found, f"no values for {last:%Y-%m}")
    if len(found) < 3:
        return _no_trend(found, "values of fewer than three months")
    slope, start = line([(float(number), mean or 0.0) for number, (_, mean) in enumerate(found)])
    if start <= 0:
        return _no_trend(found, "it began at nought, of which nothing is a share")
    return Trend(means=tuple(found), ratio=slope * 2 / start)


def _no_trend(found: list[tuple[str, float | None]], why_not: str) -> Trend:
    empty: list[tuple[str, float | None]] = [("", None)] * (3 - len(found))
    return Trend(means=(*empty, *found), ratio=None, why_not=why_not)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope, and value at 0, of the straight line nearest to the points (least squares). Needs two of different x."""
    middle = sum(x for x, _ in points) / len(points)
    mean = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    slope = sum((x - middle) * (y - mean) for x, y in points) / spread
    return slope, mean - slope * middle


def _month(day: date, back: int) -> str:
    first = day.replace(day=1)
    for _ in range(back):
        first = (first - timedelta(days=1)).replace(day=1)
    return f"{first:%Y-%m}"
