"""Which boards go into which folder, filled in from an estate: one folder for each audience, and one for each school.

A school's folder holds copies of its boards in which no other school can be chosen. That is what its director sees, not
a lock: who may see a folder may ask its data source anything. A provider that must keep schools apart gives each its
own Grafana organisation and its own bucket.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from caretaker_dashboards import build
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import SCHOOL_BOARDS, Filling, short
from caretaker_dashboards.describe import Audience
from caretaker_rules.model import Estate, School
from caretaker_rules.service_hours import ServiceClock

TITLES = {
    Audience.DESK: "Caretaker: service desk",
    Audience.SCHOOL: "Caretaker: energy and reviews",
    Audience.CARETAKER: "Caretaker: itself",
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of Grafana with its boards. `path`: where `boards build --out` writes it."""

    uid: str
    title: str
    path: str
    boards: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """Every folder, and what whoever uploads it should know."""

    folders: tuple[Folder, ...]
    notes: tuple[str, ...]


def of_estate(estate: Estate, today: date, desk: str, schools: tuple[str, ...] | None = None) -> Filled:
    """All folders. `schools`: whose own folders to make (None: of every school)."""
    targets = {name: _target(estate, school, today) for name, school in estate.schools.items()}
    known = {target for target in targets.values() if target is not None}
    notes = []
    bare = Filling()
    if len(known) > 1:
        listed = ", ".join(f"{target:.2%}" for target in sorted(known))
        notes.append(
            f"schools have different targets ({listed}): boards of all schools compare with the highest; a school's "
            "own folder with its own"
        )
    filling = Filling(
        networks=_networks(estate),
        always_on=_always_on(estate),
        target=max(known, default=bare.target),
        desk=desk.rstrip("/"),
    )
    folders = [
        Folder(
            short(f"caretaker-for-{audience.value}"),
            title,
            audience.value,
            tuple(build.made(board, filling) for board in BOARDS if board.audience is audience),
        )
        for audience, title in TITLES.items()
    ]
    for name in sorted(estate.schools) if schools is None else schools:
        school = estate.schools[name]
        target = targets[name]
        own = replace(
            filling,
            school=name,
            title=school.title,
            target=filling.target if target is None else target,
            plan_kwh=_plan(estate, name, today),
        )
        boards = tuple(build.made(board, own) for board in BOARDS if board.name in SCHOOL_BOARDS)
        folders.append(
            Folder(
                short(f"caretaker-for-school-{name}"),
                f"Caretaker: {school.title}",
                f"schools/{school.title.replace('/', '-')}",
                boards,
            )
        )
    return Filled(tuple(folders), tuple(notes))


def _networks(estate: Estate) -> tuple[tuple[str, str], ...]:
    found = []
    for network in estate.networks.values():
        members = sorted(school.name for school in estate.schools.values() if school.network == network.name)
        if members:
            found.append((network.title or network.name, "|".join(members)))
    return tuple(sorted(found))


def _always_on(estate: Estate) -> str:
    names = sorted(each.name for each in estate.classes.values() if each.always_on)
    return "|".join(names) or Filling().always_on


def _target(estate: Estate, school: School, today: date) -> float | None:
    level = ServiceClock.of(school, estate.service).level(today)
    return None if level is None else level.availability_target


def _plan(estate: Estate, school: str, today: date) -> float:
    """kWh of the school year that `today` is in, by the service file's targets; the school's own come first."""
    year = today.year - (today.month < 9)
    targets = estate.service.targets if estate.service is not None else ()
    fitting = [each for each in targets if each.indicator == "energy_kwh" and each.year == year]
    fitting.sort(key=lambda each: each.school is None)
    return next((each.value for each in fitting if each.school in (school, None)), 0.0)
