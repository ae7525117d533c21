"""Availability of a place and of what is in it: all schools, a network, a school, a room, a machine. Sums, never means.

all              the networks' schools, and those of none
network:green    the schools of a network
ash, ash/ict1    a school's rooms, a room's machines
ash/ict1-07      a machine
"""

from collections.abc import Iterable
from datetime import date, timedelta

import msgspec
from msgspec import Struct

from caretaker_collector import people
from caretaker_collector.sla.book import Row, rows
from caretaker_contract.errors import ConfigError
from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import Estate, School
from caretaker_rules.ports import Store
from caretaker_rules.service import ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla import Sums, Verdict

NETWORK = "network:"
_DAY = timedelta(days=1)
_Parts = list[tuple[ServiceLevel, Row]]
_ORDER = (Verdict.MISSED, Verdict.BLIND, Verdict.MET)


class Place(Struct, frozen=True):
    """What is asked about. `room` and `device` only within one school."""

    name: str
    title: str
    schools: tuple[str, ...]
    room: str | None = None
    device: str | None = None

    @property
    def of_many(self) -> bool:
        """Whether schools stand in it, not rooms or machines."""
        return self.name == "all" or self.name.startswith(NETWORK)


class Line(Struct, frozen=True, kw_only=True):
    """One place in a month. A school whose level changes has more than one target, and the worse verdict."""

    place: str
    title: str
    targets: tuple[float, ...]
    verdict: Verdict
    sums: Sums
    outages: int  # of single machines, that began in it


class RollUp(Struct, frozen=True, kw_only=True):
    """A place with what is in it."""

    month: str  # 2026-09; of other days 2026-09-01..2026-12-18
    whole: Line
    inside: list[Line]


def place(estate: Estate, text: str) -> Place:
    """What "all", "network:green", "ash", "ash/ict1" or "ash/ict1-07" means. ConfigError names what exists."""
    if text == "all":
        return Place(text, estate.provider, tuple(sorted(estate.schools)))
    if text.startswith(NETWORK):
        network = estate.networks.get(name := text.removeprefix(NETWORK))
        if network is None:
            known = ", ".join(f"{NETWORK}{each}" for each in sorted(estate.networks)) or "none in estate.toml"
            raise ConfigError([f"{text}  no network {name!r}; there are: {known}"])
        members = tuple(sorted(each.name for each in estate.schools.values() if each.network == name))
        return Place(text, network.title or name, members)
    scope = people.scope(estate, text)
    return Place(
        text, _title(estate, scope.school, scope.room, scope.device), (scope.school,), scope.room, scope.device
    )


def _title(estate: Estate, name: str, room: str | None, device: str | None) -> str:
    school = estate.schools[name]
    words = next((each.title for each in school.rooms if each.name == room and each.title), room)
    return ", ".join(part for part in (device, words, school.title) if part)


async def roll_up(store: Store, estate: Estate, where: Place, month: str, now_ms: int) -> RollUp:
    """The month of a place, up to now. Unavailable: the store."""
    first, last = sla.month_days(month)
    return msgspec.structs.replace(await roll_up_days(store, estate, where, first, last, now_ms), month=month)


async def roll_up_days(store: Store, estate: Estate, where: Place, first: date, last: date, now_ms: int) -> RollUp:
    """Any days of a place, such as a term, up to now. Unavailable: the store."""
    of_many = where.of_many
    by = ("school",) if of_many else ("room",) if where.room is None else ("room", "device")
    found: dict[str, _Parts] = {}
    whole: _Parts = []
    asked: dict[tuple[int, int], dict[tuple[str, ...], Row]] = {}
    for name in where.schools:
        for from_ms, until_ms, level in _spans(estate, estate.schools[name], first, last, now_ms):
            span = (from_ms, until_ms)
            if span not in asked:  # schools whose level changes on the same day share one question
                asked[span] = await rows(store, *span, by, None if of_many else name)
            here = {key: row for key, row in asked[span].items() if _within(where, name, key)}
            for key, row in here.items():
                found.setdefault(name if of_many else f"{name}/{key[-1]}", []).append((level, row))
            whole.append((level, _added(here.values())))
    inside = [_line(key, _title_of(estate, key), parts) for key, parts in sorted(found.items())]
    line = _line(where.name, where.title, whole)
    if of_many:  # each school has a target of its own
        line = msgspec.structs.replace(line, verdict=worst(each.verdict for each in inside))
    return RollUp(month=f"{first}..{last}", whole=line, inside=[] if where.device is not None else inside)


def _within(where: Place, school: str, key: tuple[str, ...]) -> bool:
    if where.of_many:
        return key[0] == school
    return where.room is None or (key[0] == where.room and where.device in (None, key[1]))


def _spans(
    estate: Estate, school: School, first: date, last: date, now_ms: int
) -> Iterable[tuple[int, int, ServiceLevel]]:
    zone = zone_of(school.time_zone)
    clock = ServiceClock.of(school, estate.service)
    for begin, end, level in sla.spans(clock, first, min(last, local(now_ms, zone).date())):
        yield midnight_ms(begin, zone), midnight_ms(end + _DAY, zone), level


def _line(name: str, title: str, parts: _Parts) -> Line:
    by_target: dict[float, Row] = {}
    for level, row in parts:
        before = by_target.get(level.availability_target)
        by_target[level.availability_target] = row if before is None else _added([before, row])
    total = _added(by_target.values())
    return Line(
        place=name,
        title=title,
        targets=tuple(by_target),
        verdict=worst(sla.verdict_of(row.sums.devices, target) for target, row in by_target.items()),
        sums=total.sums,
        outages=total.outages,
    )


def _title_of(estate: Estate, key: str) -> str:
    """Of a school or a room; a machine's name says it all."""
    name, _, rest = key.partition("/")
    school = estate.schools[name]
    return next((room.title for room in school.rooms if room.name == rest), "") if rest else school.title


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; where nothing was owed to any it is that."""
    found = set(verdicts)
    return next((verdict for verdict in _ORDER if verdict in found), Verdict.NOTHING_OWED)


def _added(found: Iterable[Row]) -> Row:
    every = list(found)
    return Row(
        Sums(
            sum((each.sums.devices for each in every), Figure()),
            sum((each.sums.lessons for each in every), Figure()),
        ),
        sum(each.outages for each in every),
    )
