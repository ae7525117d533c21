"""Commands about what people write down: hold, freeze, maintenance, silence; holds, end, copy; stop and resume."""

import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import people, records, state
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    FINDING,
    OK,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    say,
    settings_of,
)
from caretaker_collector.record_words import day_time, kept_back, standing, times
from caretaker_collector.records import Kind, Record
from caretaker_collector.settings import CollectorSettings, load_estate
from caretaker_contract.errors import ConfigError
from caretaker_rules.model import Estate
from caretaker_rules.repeats import Every, Series

Where = Annotated[str, typer.Argument(help="A school, a room or a machine: ash, ash/ict1, ash/ict1-07.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the record.")]
Until = Annotated[str, typer.Option(help='Local time: "18:00" (the next one) or "2026-10-06 18:00".')]
From = Annotated[str | None, typer.Option("--from", help="When it begins, likewise; else now.")]
OfClass = Annotated[str | None, typer.Option("--class", help="Only machines of this class.")]
Repeat = Annotated[Literal["daily", "weekly"] | None, typer.Option(help="The same hours each day or week.")]
UntilDate = Annotated[str | None, typer.Option(help="The last day on which it begins again: 2026-12-18.")]
By = Annotated[str, typer.Option(help="Who asks: a role or a member of staff, never a pupil.")]
Number = Annotated[int, typer.Argument(help="The number that `caretaker holds` shows.")]

_EVERY: dict[str, Every] = {"daily": "day", "weekly": "week"}


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (*RECORDING, holds, end, copy, stop, resume):
        app.command()(command)


def _open(config: str | None) -> tuple[Estate, sqlite3.Connection]:
    _, settings = settings_of(config)
    return load_estate(Path(settings.estate)), state.open_state(Path(settings.data) / "state.db")


def _make(
    kind: Kind,
    where: str,
    begin: str | None,
    until: str,
    reason: str,
    repeat: str | None,
    until_date: str | None,
    device_class: str | None,
    by: str,
    config: str | None,
) -> None:
    estate, db = _open(config)
    scope = people.scope(estate, where, device_class)
    zone = ZoneInfo(estate.schools[scope.school].time_zone)
    now_ms = collector_now(db)
    from_ms = people.moment("--from", begin, now_ms, zone) if begin else now_ms
    if until_date and not repeat:
        raise ConfigError(["--until-date  needs --repeat daily or --repeat weekly"])
    try:
        last_day = date.fromisoformat(until_date) if until_date else None
    except ValueError:
        raise ConfigError([f"--until-date {until_date!r}  is no day; write it as 2026-12-18"]) from None
    series = Series(
        from_ms=from_ms,
        until_ms=people.moment("--until", until, from_ms, zone),
        time_zone=str(zone),
        every=_EVERY[repeat] if repeat else None,
        last_day=last_day,
    )
    number = records.make(db, kind, scope, series, reason, people.who(by), now_ms)
    count = len(scope.devices(estate))
    typer.echo(_said(kind, number, str(scope), times(series, zone), reason))
    machines = f"{count} machine{'' if count == 1 else 's'}"
    if kind == "silence":
        say(f"{machines}; incidents are recorded meanwhile, and told afterwards if they are still open")
        say(f"take it back with: caretaker end {number}")
    else:
        say(f"{machines}; take it back with: caretaker end {number}")


def _said(kind: Kind, number: int, where: str, times: str, reason: str) -> str:
    """What a record means, in one line."""
    meant = f"nobody is told of {where}" if kind == "silence" else f"{where} stays as it is"
    return f"{kind} {number}: {meant} {times} ({reason})"


def _recording(kind: Kind, by_whom: str, meaning: str) -> Callable[..., None]:
    """The command that writes down a record of this kind."""

    def command(
        where: Where,
        until: Until,
        reason: Reason,
        begin: From = None,
        repeat: Repeat = None,
        until_date: UntilDate = None,
        device_class: OfClass = None,
        by: By = by_whom,
        config: Config = None,
    ) -> None:
        _make(kind, where, begin, until, reason, repeat, until_date, device_class, by, config)

    command.__name__, command.__doc__ = kind, meaning
    return command


RECORDING = (
    _recording("hold", "operator", 'Keep machines on until a time ("we are still here").'),
    _recording("freeze", "operator", "Exam freeze: nothing may be switched there until a time."),
    _recording("maintenance", "engineer", "Somebody works on machines: they stay on meanwhile."),
    _recording(
        "silence",
        "engineer",
        "Nobody is told of incidents there until a time; they are recorded all the same. It keeps no machine on.",
    ),
)


def holds(
    where: Annotated[str | None, typer.Argument(help="Only what touches this school, room or machine.")] = None,
    past: Annotated[bool, typer.Option("--past", help="Those that are over, newest first.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """What is stopped; holds, freezes, maintenance and silences: when, who, why, and what they kept on or back."""
    estate, db = _open(config)
    now_ms = collector_now(db)
    found = records.listed(db, now_ms, past)
    if where:
        meant = {device.address for device in people.scope(estate, where).devices(estate)}
        found = [r for r in found if any(device.address in meant for device in r.scope.devices(estate))]
    counted = [(record, records.held_back(db, estate, record, now_ms)) for record in found]
    stops = [] if past else people.stopped(db)
    if json:
        rows = [
            {
                "record": record,
                "place": str(record.scope),
                "next": record.next_time(now_ms),
                "over_ms": record.over_ms(),
                "held_back": held,
            }
            for record, held in counted
        ]
        typer.echo(as_json({"holds": rows, "stops": stops}))
        return
    for stop_on in stops:
        place = "/".join(part for part in (stop_on.school, stop_on.room) if part) or "all"
        school = estate.schools.get(stop_on.school or "")
        since = day_time(stop_on.since_ms, ZoneInfo(school.time_zone if school else "UTC"))
        typer.echo(
            f"STOPPED {place} since {since}{'' if school else ' UTC'}: {stop_on.reason} (caretaker resume {place})"
        )
    for record, held in counted:
        zone = (
            ZoneInfo(estate.schools[record.scope.school].time_zone) if record.scope.school in estate.schools else None
        )
        typer.echo(f"{record.id:>4}  {record.kind:<11}  {record.scope}  {times(record.series, zone)}")
        state_now = standing(record, now_ms, zone)
        typer.echo(f"      {state_now}; by {record.by}: {record.reason}")
        typer.echo(f"      {kept_back(estate, db, record, held, now_ms)}")
    if not found and not past and not stops:
        say("nothing is held, frozen or worked on; keep a room on: caretaker hold ash/ict1 --until 18:00 --reason club")
    elif not found and past:
        say("nothing of that is over yet; `caretaker holds` shows what is on or to come")


def end(
    number: Number,
    once: Annotated[bool, typer.Option("--once", help="Only the time that is on now; it comes again.")] = False,
    config: Config = None,
) -> None:
    """End a hold, freeze, maintenance or silence early."""
    _, db = _open(config)
    record, now_ms = _one(db, number), collector_now(db)
    if not records.end(db, record, now_ms, once):
        say(f"{record.kind} {number} was {'not on' if once and record.next_time(now_ms) else 'over already'}")
        raise typer.Exit(FINDING)
    again = " for this time; it comes again" if once and record.series.every else ""
    typer.echo(f"{record.kind} {number} of {record.scope} ended{again}")


def copy(
    number: Number,
    until: Until,
    begin: From = None,
    reason: Annotated[str | None, typer.Option(help="Another reason.")] = None,
    by: Annotated[str | None, typer.Option(help="Who asks this time.")] = None,
    config: Config = None,
) -> None:
    """The same machines, kind and reason once more, at another time; what it repeated is not copied."""
    estate, db = _open(config)
    record, now_ms = _one(db, number), collector_now(db)
    zone = ZoneInfo(estate.schools[record.scope.school].time_zone)
    from_ms = people.moment("--from", begin, now_ms, zone) if begin else now_ms
    until_ms = people.moment("--until", until, from_ms, zone)
    series = Series(from_ms=from_ms, until_ms=until_ms, time_zone=str(zone))
    why = reason or record.reason
    made = records.make(db, record.kind, record.scope, series, why, people.who(by or record.by), now_ms)
    typer.echo(_said(record.kind, made, str(record.scope), times(series, zone), why))


def _one(db: sqlite3.Connection, number: int) -> Record:
    record = records.one(db, number)
    if record is None:
        fail(f"{number}: there is no such hold; `caretaker holds` and `caretaker holds --past` list them", CANNOT_TELL)
    return record


def _everywhere_or(where: str, settings: CollectorSettings) -> tuple[str | None, str | None]:
    return (None, None) if where == "all" else people.place(load_estate(Path(settings.estate)), where)


def stop(
    where: Annotated[str, typer.Argument(help="all, a school, or school/room.")], reason: Reason, config: Config = None
) -> None:
    """The stop switch: nothing is sent there, and what counts down there is taken back."""
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
