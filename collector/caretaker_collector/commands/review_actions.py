"""`caretaker review action` and `caretaker review meeting`: what was agreed, and who hosted."""

import sqlite3
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from caretaker_collector import audit, people, state
from caretaker_collector.commands.base import (
    FINDING,
    OK,
    Config,
    Json,
    as_json,
    collector_now,
    recorded,
    records_of,
    say,
    settings_of,
)
from caretaker_collector.review import action_book
from caretaker_collector.review.action_book import Action, What
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import local, zone_of
from caretaker_rules.model import Estate
from caretaker_rules.roles import operator
from caretaker_rules.rota import Meeting, after, next_meeting

action_app = typer.Typer(help="Actions that a review agreed on: whose they are, and until when.", no_args_is_help=True)
meeting_app = typer.Typer(help="Who hosted and chaired a network's reviews, and who is next.", no_args_is_help=True)

SchoolName = Annotated[str, typer.Argument(help="A school: ash.")]
Number = Annotated[int, typer.Argument(help="The number that `caretaker review action list` shows.")]
Note = Annotated[str, typer.Option(help="What came of it, in a few words.")]
By = Annotated[str, typer.Option(help="Who says so: a role or a member of staff, never a pupil.")]
Network = Annotated[str, typer.Argument(help="A network: green.")]


def register(parent: typer.Typer) -> None:
    """Add these commands below `caretaker review`."""
    parent.add_typer(action_app, name="action")
    parent.add_typer(meeting_app, name="meeting")


@action_app.command()
def add(
    school: SchoolName,
    text: Annotated[str, typer.Argument(help="What is to be done.")],
    role: Annotated[str, typer.Option(help="Whose it is: a role, never a name.")],
    due: Annotated[str, typer.Option(help="Until when: 2026-11-02.")],
    by: By = "operator",
    config: Config = None,
) -> None:
    """Write down a new action."""
    estate, db = _open(config)
    _known(school, "school", estate.schools)
    now_ms = collector_now(db)
    number = action_book.add(db, school, text, role, _day("--due", due), people.who(by), now_ms)
    _audit(db, by, f"review action {number}", now_ms, school, text)
    typer.echo(f"action {number}: {' '.join(text.split())} ({role}, due {due})")
    say(f"when it is done: caretaker review action done {number}")


@action_app.command()
def done(number: Number, note: Note = "", by: By = "operator", config: Config = None) -> None:
    """An action is done."""
    _end(number, "done", note, by, config)


@action_app.command()
def drop(number: Number, note: Note, by: By = "operator", config: Config = None) -> None:
    """An action is given up; say why with --note."""
    _end(number, "dropped", note, by, config)


@action_app.command()
def move(
    number: Number,
    due: Annotated[str, typer.Option(help="Until when now: 2026-11-02.")],
    note: Note = "",
    by: By = "operator",
    config: Config = None,
) -> None:
    """Give an action another day; the page says that it was moved."""
    _end(number, "moved", note, by, config, _day("--due", due))


@action_app.command("list")
def list_(
    school: SchoolName,
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Open actions of a school, the most urgent first."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    _known(school, "school", estate.schools)
    db = recorded(settings)
    today = local(collector_now(db), zone_of(estate.schools[school].time_zone)).date()
    found = [action for action in action_book.listed(db, [school]) if every or action.ended_ms is None]
    found.sort(key=lambda action: (action.ended_ms is not None, action.due, action.number))
    if json:
        typer.echo(as_json(found))
    else:
        for action in found:
            typer.echo(_line(action, today))
        if not found:
            say(f'nothing is open; write one down with: caretaker review action add {school} "what" --role R --due DAY')
    late = any(action.ended_ms is None and action.due < today for action in found)
    raise typer.Exit(FINDING if late else OK)


@meeting_app.command()
def held(
    network: Network,
    month: Annotated[str, typer.Argument(help="The month that it was about: 2026-09.")],
    host: Annotated[str, typer.Option(help="The school that hosted.")],
    chair: Annotated[str, typer.Option(help="The school whose representative chaired.")],
    by: By = "operator",
    config: Config = None,
) -> None:
    """A meeting was held, perhaps otherwise than the rota had in mind: the queue goes on from it."""
    estate, db = _open(config)
    _known(network, "network", estate.networks)
    members = {name: school for name, school in estate.schools.items() if school.network == network}
    _known(host, f"school of {network}", members)
    _known(chair, f"school of {network}", members)
    _check_month(month)
    now_ms = collector_now(db)
    action_book.hold(db, network, Meeting(month=month, host=host, chair=chair), people.who(by), now_ms)
    _audit(db, by, "review meeting", now_ms, "", f"{network} {month}: host {host}, chair {chair}")
    typer.echo(f"{network} {month}: host {host}, chair {chair}")


@meeting_app.command("list")
def meetings(network: Network, config: Config = None, json: Json = False) -> None:
    """The meetings of a network, and who is next."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    _known(network, "network", estate.networks)
    db = recorded(settings)
    past = action_book.meetings(db, network)
    month = after(past[-1].month) if past else f"{local(collector_now(db), zone_of('Europe/London')):%Y-%m}"
    names = [each.name for each in estate.schools.values() if each.network == network and each.review.hosts]
    coming = next_meeting(month, names, past)
    if json:
        typer.echo(as_json({"past": past, "next": coming}))
        return
    for meeting in past:
        typer.echo(f"{meeting.month}  host {meeting.host}  chair {meeting.chair}")
    if coming is None:
        say("nobody is next: every school asks not to host (hosts = false under [schools.review] in estate.toml)")
        raise typer.Exit(FINDING)
    typer.echo(f"{coming.month}  host {coming.host}  chair {coming.chair}  (next)")


def _end(number: int, what: What, note: str, by: str, config: str | None, due: date | None = None) -> None:
    _, db = _open(config)
    now_ms = collector_now(db)
    action = action_book.change(db, number, what, note, people.who(by), now_ms, due)
    _audit(db, by, f"review action {number} {what}", now_ms, action.school, note)
    typer.echo(f"action {number}: {what}" + (f" to {due}" if due else "") + f" ({action.text})")


def _open(config: str | None) -> tuple[Estate, sqlite3.Connection]:
    _, settings = settings_of(config)
    records_of(settings).parent.mkdir(parents=True, exist_ok=True)
    return load_estate(Path(settings.estate)), state.open_state(records_of(settings))


def _audit(db: sqlite3.Connection, by: str, what: str, now_ms: int, school: str, text: str) -> None:
    audit.append(db, operator(by), what, now_ms, school=school, place=school, text=text)


def _line(action: Action, today: date) -> str:
    word = "dropped" if action.dropped else "done" if action.ended_ms is not None else ""
    late = "  past its day" if action.ended_ms is None and action.due < today else ""
    return f"{action.number:>4}  due {action.due}  {action.role:<24}  {action.text}{late}" + (
        f"  {word}" if word else ""
    )


def _known(name: str, what: str, among: Iterable[str]) -> None:
    """ConfigError names what there is."""
    names = sorted(among)
    if name not in names:
        raise ConfigError([f"{name}  no such {what}; there are: {', '.join(names) or 'none'}"])


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError([f"{option} {text!r}  is no day; write it as 2026-11-02"]) from None


def _check_month(text: str) -> None:
    try:
        date.fromisoformat(f"{text}-01")
    except ValueError:
        raise ConfigError([f"{text}  is no month; write it as 2026-09"]) from None
