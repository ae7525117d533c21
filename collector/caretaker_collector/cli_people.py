"""Commands for people about what keeps machines on: hold, freeze, stop and resume."""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import people, state, why
from caretaker_collector.cli_base import FINDING, OK, USAGE, Config, collector_now, fail, settings_of
from caretaker_collector.settings import CollectorSettings, load_estate

Where = Annotated[str, typer.Argument(help="A school or a room: ash, or ash/ict1.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the record.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (hold, freeze, stop, resume):
        app.command()(command)


def _hold(kind: str, where: str, until: str, reason: str, config: str | None) -> None:
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    school, room = people.place(estate, where)
    db = state.open_state(Path(settings.data) / "state.db")
    zone = ZoneInfo(estate.schools[school].time_zone)
    now_ms = collector_now(db)
    try:
        until_ms = why.read_time(until, now_ms + 86_400_000, zone)
        if until_ms - now_ms > 86_400_000 and len(until) <= 8:
            until_ms -= 86_400_000
    except ValueError:
        fail(f'--until {until!r}: give a local time such as "18:00" or "2026-10-06 18:00"', USAGE)
    if until_ms <= now_ms:
        fail(f"--until {until}: that is past", USAGE)
    number = people.hold(db, kind, school, room, now_ms, until_ms, reason)
    typer.echo(f"{kind} {number}: {where} stays as it is until {until} ({reason})")


def hold(where: Where, until: Annotated[str, typer.Option()], reason: Reason, config: Config = None) -> None:
    """Keep a room or school on until a time ("we are still here")."""
    _hold("hold", where, until, reason, config)


def freeze(where: Where, until: Annotated[str, typer.Option()], reason: Reason, config: Config = None) -> None:
    """Exam freeze: nothing may be switched in a room or school until a time."""
    _hold("freeze", where, until, reason, config)


def _everywhere_or(where: str, settings: CollectorSettings) -> tuple[str | None, str | None]:
    return (None, None) if where == "all" else people.place(load_estate(Path(settings.estate)), where)


def stop(
    where: Annotated[str, typer.Argument(help="all, a school, or school/room.")], reason: Reason, config: Config = None
) -> None:
    """The stop switch: from now on nothing is sent there."""
    _, settings = settings_of(config)
    school, room = _everywhere_or(where, settings)
    db = state.open_state(Path(settings.data) / "state.db")
    people.stop(db, school, room, collector_now(db), reason)
    typer.echo(f"stopped: {where} ({reason})")


def resume(where: Annotated[str, typer.Argument(help="all, a school, or school/room.")], config: Config = None) -> None:
    """Turn the stop switch of exactly that place off again."""
    _, settings = settings_of(config)
    school, room = _everywhere_or(where, settings)
    db = state.open_state(Path(settings.data) / "state.db")
    ended = people.resume(db, school, room, collector_now(db))
    typer.echo(f"resumed: {where}" if ended else f"{where} was not stopped")
    raise typer.Exit(OK if ended else FINDING)
