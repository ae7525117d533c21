"""`caretaker incidents` and `caretaker incident`: what is wrong now, by the time left, and what people do about it."""

import re
import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from caretaker_collector import people
from caretaker_collector.acts.base import NO_REASON, ActBody
from caretaker_collector.acts.incidents import (
    AcknowledgeAct,
    AssignAct,
    FixAct,
    IncidentAct,
    MergeAct,
    NoteAct,
    PauseAct,
    ReportAct,
)
from caretaker_collector.commands import acting
from caretaker_collector.commands.base import (
    FINDING,
    OK,
    Config,
    Json,
    as_json,
    collector_now,
    recorded,
    say,
    settings_of,
)
from caretaker_collector.commands.people import By
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import findings as finding_book
from caretaker_collector.incidents import view as incident_view
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import ConfigError
from caretaker_rules.incidents import Action, Incident
from caretaker_rules.model import Estate

PAST_DAYS = 31
DAY_MS = 86_400_000
Number = Annotated[str, typer.Argument(help="The number that `caretaker incidents` shows: 12 or INC-12.")]
Reason = Annotated[str, typer.Option(help="Why; kept with it.")]


class _Numbered(TyperGroup):
    """`caretaker incident 12` is `caretaker incident show 12`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in where a number stands in its place."""
        if args and re.fullmatch(r"(inc-)?\d+", args[0], re.IGNORECASE):
            args = ["show", *args]
        return super().parse_args(ctx, args)


incident_app = typer.Typer(
    cls=_Numbered,
    no_args_is_help=True,
    help="One incident: `caretaker incident 12` shows all of it; or do something to it.",
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(incidents)
    app.add_typer(incident_app, name="incident")


def incidents(
    school: Annotated[str | None, typer.Argument(help="Only of this school; caretaker: of Caretaker itself.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    past: Annotated[bool, typer.Option("--past", help=f"Only what is over, of the last {PAST_DAYS} days.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """What is wrong now, least time left first. Exit code 1 when anything is open."""
    estate, folder, db = _opened(config)
    if school is not None and school != "caretaker":
        people.place(estate, school)
    name = "" if school == "caretaker" else school
    now_ms = collector_now(db)
    found = incident_book.open_ones(db, name) if not past else []
    if all_ or past:
        from_ms = now_ms - PAST_DAYS * DAY_MS if past else 0
        closed = incident_book.closed_since(db, from_ms)
        found += [one for one in closed if not one.open and name in (None, one.subject.school)]
    hours = incident_view.service_clocks(estate, folder, found, now_ms)
    newest = finding_book.titles(db, {one.subject.school for one in found if one.open})
    rows = incident_view.by_time_left(
        [
            incident_view.shown(
                one, hours, incident_view.zone_for(one, estate), now_ms, newest.get(one.key, "") if one.open else ""
            )
            for one in found
        ]
    )
    if json:
        typer.echo(as_json({"incidents": rows}))
    else:
        for row in rows:
            typer.echo(incident_view.line(row, estate))
        _note_levels(estate, found)
        if not rows:
            say("nothing is over yet" if past else f"nothing is open{f' at {school}' if school else ''}")
    raise typer.Exit(FINDING if any(one.open for one in found) else OK)


def _note_levels(estate: Estate, found: list[Incident]) -> None:
    if estate.service is not None and any(one.priority is not None for one in found):
        examples = [level.name for level in estate.service.levels if level.illustrative]
        if examples:
            say(f"illustrative service levels, nobody's contract: {', '.join(examples)}")


@incident_app.command()
def show(number: Number, config: Config = None, json: Json = False) -> None:
    """All of one incident: what it is now, its clocks, and its whole history."""
    estate, folder, db = _opened(config)
    one, now_ms = incident_actions.one(db, _number(number)), collector_now(db)
    hours = incident_view.service_clocks(estate, folder, [one], now_ms)
    newest = finding_book.titles(db, {one.subject.school}) if one.open else {}
    row = incident_view.shown(one, hours, incident_view.zone_for(one, estate), now_ms, newest.get(one.key, ""))
    log = incident_book.log_of(db, one.uid)
    if json:
        typer.echo(as_json({"incident": row, "history": log}))
        return
    merged = [entry.text for entry in log if entry.action is Action.MERGED]
    others = [other for uid in merged if (other := incident_book.of_uid(db, uid)) is not None]
    for text in incident_view.details(row, log, {other.uid: other.name for other in others}, estate, now_ms):
        typer.echo(text)
    _note_levels(estate, [one])


@incident_app.command()
def ack(
    number: Number,
    text: Annotated[str, typer.Option("--note", help="Something to keep with it.")] = "",
    by: By = "operator",
    config: Config = None,
) -> None:
    """Say that somebody has seen it: the response clock ends, and nobody is reminded any more."""
    _do("acknowledge", AcknowledgeAct(place=_place(number), reason=text), by, config)


@incident_app.command()
def assign(
    number: Number,
    who: Annotated[str, typer.Argument(help="Who works on it: a role or a member of staff.")],
    by: By = "operator",
    config: Config = None,
) -> None:
    """Say who works on it."""
    _do("assign", AssignAct(place=_place(number), to=people.who(who)), by, config)


@incident_app.command()
def note(
    number: Number,
    text: Annotated[str, typer.Argument(help="What to keep with it; no pupil's name.")],
    by: By = "operator",
    config: Config = None,
) -> None:
    """Write something down that is kept with it."""
    _do("note", NoteAct(place=_place(number), text=text), by, config)


@incident_app.command()
def pause(number: Number, reason: Reason, by: By = "operator", config: Config = None) -> None:
    """It waits for the customer: its clocks stand still until `caretaker incident resume`."""
    _do("pause", PauseAct(place=_place(number), reason=reason), by, config)


@incident_app.command()
def resume(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; kept with it.")] = NO_REASON,
    by: By = "operator",
    config: Config = None,
) -> None:
    """It waits no longer: its clocks go on."""
    _do("unpause", IncidentAct(place=_place(number), reason=reason), by, config)


@incident_app.command()
def fix(number: Number, reason: Reason, by: By = "operator", config: Config = None) -> None:
    """Say that it is over. What is still seen a quarter of an hour later is opened again."""
    _do("fix", FixAct(place=_place(number), reason=reason), by, config)


@incident_app.command()
def merge(
    number: Number,
    into: Annotated[str, typer.Argument(help="The number of the incident that it goes on in.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = NO_REASON,
    by: By = "operator",
    config: Config = None,
) -> None:
    """Make it part of another incident of its school."""
    body = MergeAct(place=_place(number), into=_number(into), reason=reason)
    _do("merge", body, by, config)


@incident_app.command("open")
def open_(
    place: Annotated[str, typer.Argument(help="A school, a room or a machine: ash, ash/ict1, ash/ict1-07.")],
    reason: Annotated[str, typer.Option(help="What is wrong, in words; no pupil's name.")],
    by: By = "operator",
    config: Config = None,
) -> None:
    """Open one that no rule can see ("teacher phoned: the projector stays dark"). Only people can fix it again."""
    typer.echo(acting.do(config, "report", ReportAct(place=place, text=reason), by).answered.lines[0])


def _do(action: str, body: ActBody, by: str, config: str | None) -> None:
    answered = acting.do(config, action, body, by).answered
    if not answered.ok:
        say(answered.lines[0])
        raise typer.Exit(FINDING)
    typer.echo(answered.lines[0])


def _place(number: str) -> str:
    return str(_number(number))


def _number(text: str) -> int:
    found = re.fullmatch(r"(?:inc-)?(\d{1,18})", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError([f"{text!r}  is no number of an incident; write 12 or INC-12"])
    return int(found[1])


def _opened(config: str | None) -> tuple[Estate, Path, sqlite3.Connection]:
    """The estate, the folder of estate.toml, and the state file, to read."""
    _, settings = settings_of(config)
    estate_path = Path(settings.estate)
    return load_estate(estate_path), estate_path.parent, recorded(settings)
