"""Commands about what people write down: hold, freeze, maintenance, silence; holds, end, copy; stop and resume."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import people, records, state
from caretaker_collector.acts.base import NO_REASON, Done, ReasonBody
from caretaker_collector.acts.holds import CopyBody, RecordBody
from caretaker_collector.commands import acting
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
from caretaker_collector.settings import load_estate
from caretaker_rules.model import Estate

Where = Annotated[str, typer.Argument(help="A school, a room or a machine: ash, ash/ict1, ash/ict1-07.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the record.")]
Until = Annotated[str, typer.Option(help='Local time: "18:00" (the next one) or "2026-10-06 18:00".')]
From = Annotated[str | None, typer.Option("--from", help="When it begins, likewise; else now.")]
OfClass = Annotated[str | None, typer.Option("--class", help="Only machines of this class.")]
Repeat = Annotated[Literal["daily", "weekly"] | None, typer.Option(help="The same hours each day or week.")]
UntilDate = Annotated[str | None, typer.Option(help="The last day on which it begins again: 2026-12-18.")]
By = Annotated[str, typer.Option(help="Who asks: a role or a member of staff, never a pupil.")]
Number = Annotated[int, typer.Argument(help="The number that `caretaker holds` shows.")]

MaybeReason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (*RECORDING, holds, end, copy, stop, resume):
        app.command()(command)


def _open(config: str | None) -> tuple[Estate, sqlite3.Connection]:
    _, settings = settings_of(config)
    return load_estate(Path(settings.estate)), state.open_state(Path(settings.data) / "state.db")


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
        body = RecordBody(
            place=where,
            from_=begin or "",
            until=until,
            reason=reason,
            repeat=repeat or "",
            until_date=until_date or "",
            class_=device_class or "",
        )
        done = acting.do(config, kind, body, by)
        head, *rest = done.answered.lines
        typer.echo(head)
        if kind == "silence":
            say(rest[0])
            say(f"take it back with: caretaker end {done.number}")
        else:
            say(f"{rest[0]}; take it back with: caretaker end {done.number}")

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
    reason: MaybeReason = NO_REASON,
    by: By = "operator",
    config: Config = None,
) -> None:
    """End a hold, freeze, maintenance or silence early."""
    _, db = _open(config)
    _one(db, number)
    body = ReasonBody(place=str(number), reason=reason)
    _tell(acting.do(config, "end_once" if once else "end", body, by))


def copy(
    number: Number,
    until: Until,
    begin: From = None,
    reason: Annotated[str | None, typer.Option(help="Another reason.")] = None,
    by: Annotated[str | None, typer.Option(help="Who asks this time.")] = None,
    config: Config = None,
) -> None:
    """The same machines, kind and reason once more, at another time; what it repeated is not copied."""
    _, db = _open(config)
    record = _one(db, number)
    body = CopyBody(place=str(number), from_=begin or "", until=until, reason=reason or "")
    typer.echo(acting.do(config, "copy", body, by or record.by).answered.lines[0])


def _tell(done: Done) -> None:
    """What was done; where there was nothing to do, that is said, and the exit code is 1."""
    if not done.answered.ok:
        say(done.answered.lines[0])
        raise typer.Exit(FINDING)
    typer.echo(done.answered.lines[0])


def _one(db: sqlite3.Connection, number: int) -> Record:
    record = records.one(db, number)
    if record is None:
        fail(f"{number}: there is no such hold; `caretaker holds` and `caretaker holds --past` list them", CANNOT_TELL)
    return record


def stop(
    where: Annotated[str, typer.Argument(help="all, a school, or school/room.")],
    reason: Reason,
    by: By = "operator",
    config: Config = None,
) -> None:
    """The stop switch: nothing is sent there, and what counts down there is taken back."""
    _tell(acting.do(config, "stop", ReasonBody(place=where, reason=reason), by))


def resume(
    where: Annotated[str, typer.Argument(help="all, a school, or school/room.")],
    reason: MaybeReason = NO_REASON,
    by: By = "operator",
    config: Config = None,
) -> None:
    """Turn the stop switch of exactly that place off again."""
    done = acting.do(config, "resume", ReasonBody(place=where, reason=reason), by)
    typer.echo(done.answered.lines[0])
    raise typer.Exit(OK if done.answered.ok else FINDING)
