"""Service levels as written: `service.toml`, the contract in figures that both sides can recompute.

A level says when service is owed, how much of it may fail, how soon a fault is answered and mended, and what a miss
costs. Which level a school has stands in `estate.toml`, and may change on a date.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from caretaker_contract.messages import Name
from caretaker_rules.durations import Duration
from caretaker_rules.model import Device, TimeSpan, Written
from caretaker_rules.timetable import DayKind

Ratio = Annotated[float, Meta(ge=0, le=1)]
Priority = Annotated[int, Meta(ge=1, le=9)]


class Impact(StrEnum):
    """How much of a school is hit."""

    SCHOOL = "school"  # at least `school_ratio` of its machines, or what all of them depend on
    ROOM = "room"  # at least `room_ratio` of a room, or several rooms
    DEVICE = "device"  # less than that


class PriorityTimes(Written, frozen=True, kw_only=True):
    """How soon a fault of this priority is answered and mended, in hours of service ("1 d" is 24 of them)."""

    priority: Priority
    respond: Duration
    fix: Duration


class MatrixRow(Written, frozen=True, kw_only=True):
    """What makes a priority."""

    impact: Impact
    alternative: bool  # can the people hit work elsewhere meanwhile
    priority: Priority


class Credit(Written, frozen=True, kw_only=True):
    """What a miss costs: points, or percent of the month's charge, for each `per` of it."""

    failure: Literal["availability", "response", "fix", "room_not_ready"]
    priority: Priority | None = None  # response, fix: only of this priority; None: of any
    per: Annotated[float, Meta(gt=0)] = 1.0  # availability: percentage points below target; else: number of failures
    points: Annotated[float, Meta(ge=0)] = 0.0
    percent: Annotated[float, Meta(ge=0, le=100)] = 0.0


class ServiceLevel(Written, frozen=True, kw_only=True):
    """[[levels]]: one service level."""

    name: Name
    title: str = ""
    illustrative: bool = False  # an example, nobody's contract: said wherever its figures are shown
    hours: list[TimeSpan] | None = None  # local; not given: the school's own service_hours
    days: list[DayKind] = field(default_factory=lambda: [DayKind.TERM, DayKind.INSET])
    availability_target: Ratio
    user_off: Literal["until_woken", "until_lesson"] = "until_woken"
    """A machine that its user switched off is needed again when a wake was asked for, or by the next lesson too."""
    priorities: list[PriorityTimes]
    matrix: list[MatrixRow]
    school_ratio: Ratio = 0.5
    room_ratio: Ratio = 0.5
    spare_ratio: Ratio = 0.2
    """An alternative exists while no more than this share of the room is hit (others can be used)."""
    reopen_within: Duration = "48 h"  # a fault that is back so soon (by the clock on the wall) is the same incident
    credits: list[Credit] = field(default_factory=list)
    most_points: Annotated[float, Meta(ge=0)] | None = None  # caps of a month
    most_percent: Annotated[float, Meta(ge=0, le=100)] | None = None


class Target(Written, frozen=True, kw_only=True):
    """[[targets]]: what was planned for an indicator of a school (or of all schools) in a school year."""

    indicator: Literal[
        "availability", "fixed_in_time", "answered_in_time", "rooms_ready", "seats_used", "energy_kwh", "avoided_kwh"
    ]
    year: Annotated[int, Meta(ge=2000, le=2100)]  # the school year that begins in September of it
    value: float
    school: Name | None = None  # None: of every school that has none of its own


class ServiceFile(Written, frozen=True, kw_only=True):
    """`service.toml`, as written."""

    levels: list[ServiceLevel]
    targets: list[Target] = field(default_factory=list)


class LevelSpan(Struct, frozen=True):
    """A level that a school has from a day on, until the next one."""

    level: ServiceLevel
    from_day: date


class Reach(Struct, frozen=True, kw_only=True):
    """How far a fault reaches within a school: of machines that people use, how many are hit."""

    hit: int
    total: int
    rooms: Mapping[str, tuple[int, int]]  # of each room with a hit: how many are hit, of how many
    shared: bool = False  # something always-on is hit of which nobody wrote down what depends on it


def behind_of(devices: Iterable[Device]) -> dict[str, list[str]]:
    """Names of a school's devices by the device right before them: a switch's, a server's."""
    found: dict[str, list[str]] = {}
    for device in devices:
        if device.behind is not None:
            found.setdefault(device.behind, []).append(device.name)
    return found


def with_dependents(hits: Iterable[str], behind: Mapping[str, list[str]]) -> set[str]:
    """The devices that are hit, and all that is behind them, however many steps away."""
    reached: set[str] = set()
    waiting = list(hits)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += behind.get(name, ())
    return reached


class Places:
    """A school's devices in the order that `reach` needs: put so once for many faults. `always_on` as for `reach`."""

    def __init__(self, devices: Mapping[str, Device], always_on: Container[str] = ()) -> None:
        self._devices = devices
        self._always_on = always_on
        self._behind = behind_of(devices.values())
        self._totals: dict[str, int] = {}
        for device in devices.values():
            if device.device_class not in always_on:
                self._totals[device.room] = self._totals.get(device.room, 0) + 1
        self._total = sum(self._totals.values())

    def reach(self, hits: Iterable[str]) -> Reach:
        """How far a fault of these devices reaches, by as much work as there are devices that it hits."""
        named = [name for name in hits if name in self._devices]
        hit: dict[str, int] = {}
        for name in with_dependents(named, self._behind):
            device = self._devices[name]
            if device.device_class not in self._always_on:
                hit[device.room] = hit.get(device.room, 0) + 1
        return Reach(
            hit=sum(hit.values()),
            total=self._total,
            rooms={room: (count, self._totals[room]) for room, count in hit.items()},
            shared=any(
                self._devices[name].device_class in self._always_on and name not in self._behind for name in named
            ),
        )


def reach(hits: Iterable[str], devices: Mapping[str, Device], always_on: Container[str] = ()) -> Reach:
    """How far a fault of these devices of a school reaches. `always_on`: names of the classes that are.

    What is always on (servers, switches) is counted by what is behind it, not as a machine: nobody sits at it. Names
    that the school does not have are left out.
    """
    return Places(devices, always_on).reach(hits)


def impact_of(level: ServiceLevel, found: Reach) -> Impact:
    """How much of the school is hit.

    Something always-on of which nobody wrote down what depends on it counts as a room: some depend on it for certain,
    all of them perhaps; the register's column `behind` says which.
    """
    if found.hit and found.hit >= level.school_ratio * found.total:
        return Impact.SCHOOL
    if found.shared or len(found.rooms) > 1:
        return Impact.ROOM
    if any(hit >= level.room_ratio * total for hit, total in found.rooms.values()):
        return Impact.ROOM
    return Impact.DEVICE


def alternative_of(level: ServiceLevel, found: Reach) -> bool:
    """Whether people can work at other machines: in each room no more than `spare_ratio` of them is hit."""
    return not found.shared and all(hit <= level.spare_ratio * total for hit, total in found.rooms.values())


def priority_of(level: ServiceLevel, impact: Impact, alternative: bool) -> int | None:
    """The priority by the level's matrix; None: the matrix has no such row (one that was checked has all)."""
    rows = (row for row in level.matrix if row.impact is impact and row.alternative is alternative)
    return next((row.priority for row in rows), None)
