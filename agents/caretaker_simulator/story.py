"""Faults: those that are placed on purpose (a story), and those that `troubles` draws, as one list of what went wrong.

A story is for demonstrations and tests: "the switch of ICT suite 1 dies on Monday at 10:02 for 18 minutes". The list is
the truth that incidents are compared with; no agent sees it.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from enum import StrEnum

from msgspec import Struct

from caretaker_simulator.habits import HOUR_MS, MINUTE_MS, Act, Seat, Step, day_of, midnight_ms
from caretaker_simulator.troubles import Troubles, cut, plan_troubles

DISK_GROWS_MS = 72 * HOUR_MS
"""How long a disk takes to fill up before it counts as full."""
FULL_RATIO = 0.97
CRASH_EVERY_MS = 50 * MINUTE_MS
STARTED_AFTER_MS = 3 * MINUTE_MS
"""Somebody starts a crashed machine again, so that it can crash once more."""


class FaultKind(StrEnum):
    """What goes wrong."""

    SWITCH = "switch"  # what is behind it is cut off and runs on
    LINE = "line"  # the school's line: all of it is cut off
    POWER = "power"  # the mains of a room, or of the school
    SERVER = "server"  # it stands still; what is behind it has nothing to talk to
    RELAY = "relay"  # it runs and is not heard
    CRASHES = "crashes"  # a machine that crashes, is started, and crashes again
    DISK = "disk"  # full, after three days of filling up
    NO_WAKE = "no_wake"  # magic packets do nothing


class Fault(Struct, frozen=True, kw_only=True):
    """One fault. `where` is a device (the switch, too), a room, or "" for the whole school."""

    kind: FaultKind
    school: str
    where: str = ""
    from_ms: int
    until_ms: int
    hits: tuple[str, ...] = ()  # devices that suffer from it, filled in for the truth
    placed: bool = True  # else it was drawn


def meets(fault: Fault, place: Seat) -> bool:
    """Whether this machine suffers from it."""
    device = place.device
    if device.school != fault.school:
        return False
    if fault.kind is FaultKind.SWITCH:
        return device.behind == fault.where or device.room == fault.where
    if fault.kind is FaultKind.SERVER:
        return fault.where in (device.name, device.behind)
    return fault.where in ("", device.room, device.name)


def steps_of(faults: Iterable[Fault], place: Seat) -> list[Step]:
    """What the placed faults do to this machine, in order of time."""
    steps: list[Step] = []
    for fault in faults:
        if not meets(fault, place):
            continue
        begin, end = fault.from_ms, fault.until_ms
        itself = fault.where == place.device.name
        if fault.kind is FaultKind.POWER or (fault.kind is FaultKind.SERVER and itself):
            steps += [(begin, Act.POWER_CUT, 0), (end, Act.POWER_BACK, int(place.always_on))]
        elif fault.kind is FaultKind.CRASHES:
            for at_ms in range(begin, end, CRASH_EVERY_MS):
                steps += [(at_ms, Act.CRASH, 0), (at_ms + STARTED_AFTER_MS, Act.SWITCH_ON, 0)]
        elif fault.kind in (FaultKind.SWITCH, FaultKind.LINE, FaultKind.SERVER, FaultKind.RELAY):
            steps += [(begin, Act.NET_CUT, 0), (end, Act.NET_BACK, 0)]
    return sorted(steps)


class Ailing:
    """What placed faults do to one machine that are no steps: how full its disk is, and whether packets wake it."""

    __slots__ = ("_base", "_deaf", "_full")

    def __init__(self, faults: Iterable[Fault], place: Seat, base: float) -> None:
        mine = [fault for fault in faults if meets(fault, place)]
        self._base = base
        self._full = [(fault.from_ms, fault.until_ms) for fault in mine if fault.kind is FaultKind.DISK]
        self._deaf = [(fault.from_ms, fault.until_ms) for fault in mine if fault.kind is FaultKind.NO_WAKE]

    def disk_ratio(self, at_ms: int) -> float:
        """Share of its disk in use, 0-1."""
        ratio = self._base
        for begin, end in self._full:
            if begin - DISK_GROWS_MS <= at_ms < end:
                grown = min(1.0, (at_ms - begin + DISK_GROWS_MS) / DISK_GROWS_MS)
                ratio = max(ratio, self._base + (FULL_RATIO - self._base) * grown)
        return round(ratio, 3)

    def deaf(self, at_ms: int) -> bool:
        """Whether a magic packet does nothing now."""
        return any(begin <= at_ms < end for begin, end in self._deaf)


def happened(
    faults: Iterable[Fault], seats: Sequence[Seat], troubles: Troubles, seed: int, start_ms: int, end_ms: int
) -> list[Fault]:
    """Every fault that touches [start_ms, end_ms), placed and drawn, each with whom it hits; in order of time."""
    found = list(faults)
    schools = sorted({place.device.school for place in seats})
    for school in schools:
        here = [place for place in seats if place.device.school == school]
        rooms = {place.device.room: place for place in here}
        day = day_of(start_ms, here[0].zone) - timedelta(days=1)
        while midnight_ms(day, here[0].zone) < end_ms:
            found += _drawn(here, rooms, day, troubles, seed)
            day += timedelta(days=1)
    return sorted(
        (
            Fault(
                kind=fault.kind,
                school=fault.school,
                where=fault.where,
                from_ms=fault.from_ms,
                until_ms=fault.until_ms,
                hits=tuple(sorted(place.device.name for place in seats if meets(fault, place))),
                placed=fault.placed,
            )
            for fault in found
            if fault.from_ms < end_ms and start_ms < fault.until_ms
        ),
        key=lambda fault: (fault.from_ms, fault.school, fault.kind, fault.where),
    )


def _drawn(here: list[Seat], rooms: dict[str, Seat], day: date, troubles: Troubles, seed: int) -> list[Fault]:
    """What `troubles` draws for one school and day."""
    school, midnight = here[0].device.school, midnight_ms(day, here[0].zone)
    found: list[Fault] = []

    def add(kind: FaultKind, where: str, span: tuple[int, int]) -> None:
        if span[1]:
            begin, end = midnight + span[0], midnight + span[1]
            found.append(Fault(kind=kind, school=school, where=where, from_ms=begin, until_ms=end, placed=False))

    add(FaultKind.POWER, "", cut(seed, f"{school}|power", day, troubles.power_cut_per_day, 1, 90))
    add(FaultKind.LINE, "", cut(seed, f"{school}|line", day, troubles.line_cut_per_day, 0.1, 40))
    for room, place in rooms.items():
        span = cut(seed, f"{school}|switch|{room}", day, troubles.switch_dead_per_day, 0.1, 90)
        add(FaultKind.SWITCH, place.device.behind or room, span)
    for place in here:
        for at_ms, act, _ in plan_troubles(place, day, troubles, seed):
            if act is Act.CRASH:
                add(FaultKind.CRASHES, place.device.name, (at_ms - midnight, at_ms - midnight + 1))
    return found
