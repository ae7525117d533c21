"""`caretaker sla`: availability and times against the service level, with the events that every figure came from."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from msgspec import Struct

from caretaker_collector import state
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    FINDING,
    OK,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    settings_of,
)
from caretaker_collector.days.service_calendar import ServiceCalendars
from caretaker_collector.records import recorded_before
from caretaker_collector.settings import load_estate
from caretaker_collector.sla import places as sla_places
from caretaker_collector.sla import targets as sla_targets
from caretaker_collector.sla import view as sla_view
from caretaker_collector.sla.book import Reckoned, SlaBook, Stated, rows
from caretaker_collector.stages.watch import sight, watched_since_ms
from caretaker_collector.stores import open_store
from caretaker_contract.errors import ConfigError
from caretaker_rules import sla, sla_faults
from caretaker_rules.availability import Figure
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.intervals import Span, without
from caretaker_rules.model import Estate, Hold, School
from caretaker_rules.ports import Store
from caretaker_rules.sla import Verdict
from caretaker_rules.sla_faults import Fault

app = typer.Typer(
    help="Availability and times against the service level, and the events that every figure came from.",
    no_args_is_help=True,
)
SchoolName = Annotated[str, typer.Argument(help="A school: ash.")]
MonthName = Annotated[str, typer.Argument(metavar="MONTH", help="A month: 2026-09.")]
T = TypeVar("T")
_EXITS = {Verdict.MET: OK, Verdict.MISSED: FINDING, Verdict.BLIND: CANNOT_TELL, Verdict.NOTHING_OWED: CANNOT_TELL}
_MOST_UNSEEN = 5


class Tools(Struct):
    """What every command here works with."""

    estate: Estate
    db: sqlite3.Connection
    store: Store
    book: SlaBook
    now_ms: int


class Explained(Struct, frozen=True, kw_only=True):
    """A month with every event behind it."""

    figure: sla.Month
    verdict: Verdict
    waiting: list[str]
    stated: list[Stated]
    faults: list[Fault]
    maintenance: list[Hold]
    blind: list[Span]  # Caretaker could not see, in hours of service
    unseen: list[tuple[str, Figure]]  # machines, those first that were not seen for longest


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(app, name="sla")


@app.command()
def month(school: SchoolName, month: MonthName, config: Config = None, json: Json = False) -> None:
    """A school's month: figures with their rule, times, credits. Once it is over they are stated, and kept."""
    _check_month(month)

    async def answer(tools: Tools) -> tuple[School, Reckoned, list[Stated]]:
        known = _school(tools.estate, school)
        return known, *(await tools.book.state(known, month, tools.now_ms))

    tools, (known, found, stated) = _with(config, answer, writes=True)
    if json:
        told = {"figure": found.figure, "over": found.over, "waiting": found.waiting, "stated": stated}
        typer.echo(as_json(told | {"verdict": found.figure.verdict}))
    else:
        typer.echo(sla_view.month_view(known, found, stated, tools.now_ms, watched_since_ms(tools.db)))
    raise typer.Exit(_EXITS[found.figure.verdict])


@app.command()
def show(
    place: Annotated[str, typer.Argument(help="all, network:green, ash, ash/ict1, or ash/ict1-07.")],
    month: MonthName,
    config: Config = None,
    json: Json = False,
) -> None:
    """Availability of a place, and of what is in it: schools, rooms, machines."""
    _check_month(month)

    async def answer(tools: Tools) -> sla_places.RollUp:
        where = sla_places.place(tools.estate, place)
        return await sla_places.roll_up(tools.store, tools.estate, where, month, tools.now_ms)

    _, found = _with(config, answer)
    typer.echo(as_json(found) if json else sla_view.roll_up_view(found))
    raise typer.Exit(_EXITS[found.whole.verdict])


@app.command()
def explain(school: SchoolName, month: MonthName, config: Config = None, json: Json = False) -> None:
    """Every figure of a school's month with the events it came from: outages, incidents, maintenance, blind time."""
    _check_month(month)

    async def answer(tools: Tools) -> tuple[School, Reckoned, Explained]:
        known = _school(tools.estate, school)
        found = await tools.book.reckon(known, month, tools.now_ms)
        return known, found, await _explained(tools, known, found)

    tools, (known, found, told) = _with(config, answer)
    if json:
        typer.echo(as_json(told))
    else:
        zone = zone_of(known.time_zone)
        typer.echo(sla_view.month_view(known, found, told.stated, tools.now_ms, watched_since_ms(tools.db)))
        seen = [each for each in told.unseen if each[1].unseen_ms][:_MOST_UNSEEN]
        typer.echo(sla_view.events_view(told.faults, told.maintenance, told.blind, seen, zone))
    raise typer.Exit(_EXITS[found.figure.verdict])


@app.command()
def targets(
    school: SchoolName,
    year: Annotated[int | None, typer.Option(help="The school year, by the year in which it begins.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Target, figure, gap and trend of each indicator, month by month through a school year."""

    async def answer(tools: Tools) -> tuple[School, int, list[sla_targets.Progress]]:
        known = _school(tools.estate, school)
        when = year or sla_targets.year_of(local(tools.now_ms, zone_of(known.time_zone)).date())
        told = await sla_targets.progress(tools.book, tools.store, tools.estate, known, when, tools.now_ms)
        return known, when, told

    _, (known, when, found) = _with(config, answer)
    if json:
        typer.echo(as_json({"school": school, "year": when, "indicators": found}))
    else:
        typer.echo(sla_targets.render(known, when, found))
    raise typer.Exit(_EXITS[sla_places.worst(each.verdict for each in found if each.target is not None)])


async def _explained(tools: Tools, school: School, found: Reckoned) -> Explained:
    first, last = sla.month_days(found.figure.month)
    clock = await tools.book.clock(school, first)
    start_ms, end_ms = midnight_ms(first, clock.zone), midnight_ms(last + timedelta(days=1), clock.zone)
    watched_ms = watched_since_ms(tools.db)
    begin_ms = end_ms if watched_ms is None else max(start_ms, watched_ms)
    until_ms = min(end_ms, tools.now_ms)
    owed = clock.owed(begin_ms, until_ms)
    by_device = await rows(tools.store, start_ms, end_ms, ("device",), school.name)
    unseen = sorted(
        ((key[0], row.sums.devices) for key, row in by_device.items()), key=lambda e: (-e[1].unseen_ms, e[0])
    )
    kept = [
        hold
        for hold in recorded_before(tools.db, school.name, start_ms, until_ms)
        if clock.owed(hold.from_ms, hold.until_ms)
    ]
    return Explained(
        figure=found.figure,
        verdict=found.figure.verdict,
        waiting=found.waiting,
        stated=tools.book.stated(school.name, found.figure.month),
        faults=sla_faults.faults(found.outages, found.incidents, clock),
        maintenance=kept,
        blind=without(owed, sight(tools.db, begin_ms, until_ms)),
        unseen=unseen,
    )


def _with(config: str | None, work: Callable[[Tools], Awaitable[T]], writes: bool = False) -> tuple[Tools, T]:
    """Do `work` with the collector's files open."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    if estate.service is None:
        raise ConfigError([f'{settings.estate}  no service level is agreed: add service = "service.toml"'])
    folder = Path(settings.data)
    if not (folder / "state.db").exists():
        fail(f"{folder}: nothing was recorded yet; run `caretaker collect` or `make demo` first", CANNOT_TELL)
    db = state.open_state(folder / "state.db", read_only=not writes)

    async def answer() -> tuple[Tools, T]:
        store = open_store(settings.store, folder)
        try:
            book = SlaBook(db, store, estate, ServiceCalendars(estate, Path(settings.estate).parent))
            tools = Tools(estate, db, store, book, collector_now(db))
            return tools, await work(tools)
        finally:
            await store.close()

    return asyncio.run(answer())


def _school(estate: Estate, name: str) -> School:
    school = estate.schools.get(name)
    if school is None:
        raise ConfigError([f"{name}  no such school; there are: {', '.join(sorted(estate.schools))}"])
    return school


def _check_month(text: str) -> date:
    try:
        return sla.month_days(text)[0]
    except ValueError:
        raise ConfigError([f"{text}  is no month; write it as 2026-09"]) from None
