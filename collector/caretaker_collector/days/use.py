"""`room_hour` and `room_use`: how the rooms of a school were used on a day, by the hour and by lesson.

Made of the readings that `device_day` is made of, for machines that people sit at: no always-on classes, none without
an agent, none that is in no register. So a room's hours add up to the seconds in use of its days.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise

from caretaker_collector.days.service_calendar import Calendar
from caretaker_collector.points import UNREGISTERED
from caretaker_contract.metrics import FieldValue, Point
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.intervals import cut
from caretaker_rules.model import Estate, Room
from caretaker_rules.rollup import Reading, Totals
from caretaker_rules.usage import Chain, Hour, Piece, hours, pieces, seats_of


class UseDay:
    """Gathers one school-day, machine by machine. `calendar` None: the school is not in estate.toml."""

    def __init__(
        self, estate: Estate, school: str, calendar: Calendar | None, day: date, start_ms: int, until_ms: int
    ) -> None:
        self._estate = estate
        self._school = school
        self._calendar = calendar
        self._day = day
        self._start_ms, self._until_ms = start_ms, until_ms
        self._pieces: dict[str, list[Piece]] = {}
        self._hours: dict[str, list[list[int]]] = {}  # by room: machines, and seconds in use and seen, hour by hour
        self._used: dict[str, list[list[Totals]]] = {}  # by room and piece: each machine

    def add(self, point: Point, readings: Sequence[Reading]) -> None:
        """A machine's `device_day` point, and the readings that it is made of with their neighbours."""
        room, device_class = point.tags[1], point.tags[2]
        known = self._estate.classes.get(device_class)
        if room == UNREGISTERED or (known is not None and (known.always_on or not known.agent)):
            return
        chain = Chain(readings)
        in_use_s = int(point.fields["in_use_s"])
        for number, hour in enumerate(self._hours_of(chain, point, in_use_s)):
            sums = self._hours.setdefault(room, [])
            if number == len(sums):
                sums.append([hour.from_ms, 0, 0, 0])
            sums[number][1] += 1
            sums[number][2] += hour.in_use_s
            sums[number][3] += hour.seen_s
        lessons = self._lessons(room)
        used = self._used.setdefault(room, [[] for _ in lessons])
        for piece, machines in zip(lessons, used, strict=True):
            machines.append(chain.totals(piece.from_ms, min(piece.until_ms, self._until_ms)))

    def _hours_of(self, chain: Chain, point: Point, in_use_s: int) -> list[Hour]:
        if in_use_s or point.fields["blind_s"]:
            return hours(chain, self._start_ms, self._until_ms, in_use_s)
        edges = [*range(self._start_ms, self._until_ms, 3_600_000), self._until_ms]
        return [Hour(begin, 0, (end - begin) // 1000) for begin, end in pairwise(edges)]

    def _lessons(self, room: str) -> list[Piece]:
        if room not in self._pieces:
            self._pieces[room] = list(self._booked(room))
        return self._pieces[room]

    def _booked(self, name: str) -> Iterable[Piece]:
        """Lessons and bookings that are over. A lesson under way is told when it has ended: seats may still fill."""
        room = self._room(name)
        if self._calendar is None or room is None:
            return
        zone = self._calendar.clock.zone
        end_ms = midnight_ms(self._day + timedelta(days=1), zone)
        lessons = cut(self._calendar.lessons(name, self._day), self._start_ms, end_ms)
        found = pieces(lessons, room, self._calendar.timetable.shared.get(name, ()), zone)
        yield from (piece for piece in found if piece.until_ms <= self._until_ms)

    def _room(self, name: str) -> Room | None:
        return (
            next((room for room in self._calendar.school.rooms if room.name == name), None) if self._calendar else None
        )

    def points(self, old: Iterable[Point]) -> list[Point]:
        """What the store gets. Of `old`, the day's `room_use` points that it has, those that are no more turn 0."""
        found = [
            Point(
                "room_hour",
                from_ms * 1_000_000,
                (self._school, room, "room", "all"),
                {"machines": machines, "in_use_s": in_use_s, "seen_s": seen_s},
            )
            for room, sums in self._hours.items()
            for from_ms, machines, in_use_s, seen_s in sums
        ]
        used = [
            self._use(room, piece, machines)
            for room, rows in self._used.items()
            for piece, machines in zip(self._pieces[room], rows, strict=True)
        ]
        now = {(point.tags, point.time_ns) for point in used}
        gone = [
            Point("room_use", point.time_ns, point.tags, {name: value * 0 for name, value in point.fields.items()})
            for point in old
            if (point.tags, point.time_ns) not in now and point.fields.get("length_s")
        ]
        return [*found, *used, *gone]

    def _use(self, room: str, piece: Piece, machines: Sequence[Totals]) -> Point:
        seats = seats_of(piece, machines)
        fields: dict[str, FieldValue] = {
            "length_s": (piece.until_ms - piece.from_ms) // 1000,
            "seats": seats.seats,
            "used": seats.used,
            "seen": seats.seen,
            "in_use_s": seats.in_use_s,
            "whose": piece.whose,
        }
        return Point("room_use", piece.from_ms * 1_000_000, (self._school, room, "room", "all"), fields)
