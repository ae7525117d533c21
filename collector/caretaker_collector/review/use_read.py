"""How a school's rooms were used in a span of days, from `room_hour` and `room_use`; what its machines cost to own."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from msgspec import Struct

from caretaker_collector.files.indicators import Indicators, read_access_log, read_indicators
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import Device, Estate, Room, School, Whose
from caretaker_rules.ownership import Owned, owned
from caretaker_rules.timetable import DayKind, day_kind
from caretaker_rules.usage import Cell, heat

_DAY = timedelta(days=1)
WHOSE: tuple[Whose, ...] = ("host", "partner", "community")
STAFF_TAG = "staff"
"""A machine on a desk of staff's; it is no pupil's computer."""


class Booked(Struct, frozen=True):
    """Lessons and bookings together. `seats`, `used`, `seen`: summed over them, an hour of a long one at a time."""

    lessons: int = 0
    length_s: int = 0
    used_length_s: int = 0  # of those in which at least one machine was used
    seats: int = 0
    used: int = 0
    seen: int = 0
    in_use_s: int = 0

    def __add__(self, other: "Booked") -> "Booked":
        mine, its = (tuple(getattr(each, name) for name in self.__struct_fields__) for each in (self, other))
        return Booked(*(left + right for left, right in zip(mine, its, strict=True)))

    @property
    def likely(self) -> float | None:
        """Seats used of the seats that were seen, 0-1; None: none was."""
        return self.used / self.seen if self.seen else None

    @property
    def low(self) -> float | None:
        """As if no seat that nobody saw was used; None where all were seen."""
        return self.used / self.seats if self.seen and self.seen < self.seats else None

    @property
    def high(self) -> float | None:
        """As if each of those was."""
        return (self.used + self.seats - self.seen) / self.seats if self.seen and self.seen < self.seats else None


class RoomUse(Struct, frozen=True, kw_only=True):
    """One room. `machines`: that people sit at, the most on any day."""

    name: str
    title: str
    room: Room | None
    machines: int
    in_use_s: int
    seen_s: int
    cells: dict[tuple[int, int], Cell]
    booked: dict[Whose, Booked]

    @property
    def all_booked(self) -> Booked:
        """Whoever it was for."""
        return sum(self.booked.values(), Booked())


class SchoolUse(Struct, frozen=True, kw_only=True):
    """A school's rooms in which somebody may sit at a machine; none: nothing was computed."""

    school: School
    rooms: tuple[RoomUse, ...]
    days: Span | None = None  # from the first day of the span that was computed to the last; None: none was

    @property
    def booked(self) -> Booked:
        """All rooms together: sums, never means."""
        return sum((room.all_booked for room in self.rooms), Booked())

    @property
    def knows_lessons(self) -> bool:
        """Whether anything says when its rooms are booked."""
        rooms = self.school.rooms
        return bool(self.school.timetable or any(room.lessons or room.calendar for room in rooms))

    @property
    def in_use_s(self) -> int:
        """Machine time in use."""
        return sum(room.in_use_s for room in self.rooms)

    @property
    def seen_s(self) -> int:
        """Machine time that Caretaker saw."""
        return sum(room.seen_s for room in self.rooms)


def bounds_ms(school: School, span: Span) -> tuple[int, int]:
    """Midnights between which a span of a school's days lies."""
    zone = zone_of(school.time_zone)
    return midnight_ms(span.first, zone), midnight_ms(span.last + _DAY, zone)


async def use(sources: Sources, school: School, span: Span) -> SchoolUse:
    """All rooms of a school. Unavailable: the store."""
    start_ms, end_ms = bounds_ms(school, span)
    hours = _by_room(await sources.store.read("room_hour", start_ms, end_ms, school=school.name))
    lessons = _by_room(await sources.store.read("room_use", start_ms, end_ms, school=school.name))
    known = {room.name: room for room in school.rooms}
    order = [*known, *sorted(hours.keys() - known.keys())]
    rooms = [
        _room(name, known.get(name), school, hours[name], lessons.get(name, ())) for name in order if name in hours
    ]
    zone = zone_of(school.time_zone)
    known_days = [local(point.time_ns // 1_000_000, zone).date() for points in hours.values() for point in points]
    days = Span(min(known_days), max(known_days)) if known_days else None
    return SchoolUse(school=school, rooms=tuple(rooms), days=days)


def _by_room(points: Iterable[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.tags[1], []).append(point)
    return found


def _room(name: str, room: Room | None, school: School, hours: Sequence[Point], lessons: Sequence[Point]) -> RoomUse:
    rows = [
        (point.time_ns // 1_000_000, int(point.fields.get("in_use_s", 0)), int(point.fields.get("seen_s", 0)))
        for point in hours
    ]
    booked: dict[Whose, Booked] = {}
    for point in lessons:
        if point.fields.get("length_s") and (whose := point.fields.get("whose")) in WHOSE:
            booked[whose] = booked.get(whose, Booked()) + _booked(point)
    return RoomUse(
        name=name,
        title=room.title if room is not None and room.title else name,
        room=room,
        machines=max((int(point.fields.get("machines", 0)) for point in hours), default=0),
        in_use_s=sum(row[1] for row in rows),
        seen_s=sum(row[2] for row in rows),
        cells=heat(rows, zone_of(school.time_zone)),
        booked=booked,
    )


def _booked(point: Point) -> Booked:
    length_s, seats, used, seen, in_use_s = (
        int(point.fields.get(name, 0)) for name in ("length_s", "seats", "used", "seen", "in_use_s")
    )
    return Booked(1, length_s, length_s if used else 0, seats, used, seen, in_use_s)


async def seats(sources: Sources, school: School, span: Span) -> Booked:
    """Seats of all lessons together, as the store adds them up: to compare with. Unavailable: the store."""
    fields = ("length_s", "seats", "used", "seen", "in_use_s")
    found = (await sources.store.sums("room_use", fields, *bounds_ms(school, span), school=school.name)).get((), {})
    length_s, of_seats, used, seen, in_use_s = (round(found.get(name, 0)) for name in fields)
    return Booked(1 if length_s else 0, length_s, 0, of_seats, used, seen, in_use_s)


def computers(estate: Estate, school: School) -> list[Device]:
    """The machines that people sit at, by the asset register."""
    return [
        device
        for device in estate.devices.values()
        if device.school == school.name
        and ((known := estate.classes.get(device.device_class)) is None or (known.agent and not known.always_on))
    ]


def owning(estate: Estate, school: School, days: Span | None, room: str | None = None) -> Owned:
    """What it costs to own the devices of a school, or of one of its rooms, for these days; None: for none."""
    own = [
        (device, estate.classes.get(device.device_class))
        for device in estate.devices.values()
        if device.school == school.name and room in (None, device.room)
    ]
    return owned(own, days.first, days.last) if days is not None else Owned()


def indicators(sources: Sources, school: School) -> Indicators | None:
    """What the school's learning platform counted; None: no file is named in its settings."""
    review = school.review
    if review.kpi:
        return read_indicators(sources.folder / review.kpi)
    if review.access_log:
        return read_access_log(Path(sources.folder / review.access_log))
    return None


async def school_days(sources: Sources, school: School, days: Mapping[date, float]) -> dict[date, float]:
    """Those of the days on which there was school; of a day of which nobody can tell, whether it was a weekday."""
    kept: dict[date, float] = {}
    for day, value in days.items():
        calendar = await sources.calendars.around(school, day)
        kind = day_kind(school, day, calendar.timetable)
        if kind is DayKind.TERM or (kind is None and day.weekday() < 5):
            kept[day] = value
    return kept
