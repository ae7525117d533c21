"""`caretaker audit`: who did what, from where, and what came of it; also what was refused."""

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from caretaker_collector import audit as audit_log
from caretaker_collector import people
from caretaker_collector.acts import places, words
from caretaker_collector.commands.base import Config, Json, as_json, collector_now, recorded, say, settings_of
from caretaker_collector.record_words import day_time
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import ConfigError
from caretaker_rules.durations import parse_duration

MOST = 100_000


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(audit)


def audit(
    where: Annotated[
        str | None, typer.Argument(metavar="PLACE", help="Only of this school, room or machine; all: of the estate.")
    ] = None,
    since: Annotated[str, typer.Option(help='How far back: "7d", "12h", "30min".')] = "7d",
    config: Config = None,
    json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, the oldest first.")] = False,
) -> None:
    """Who did what, from where, and what came of it, the newest first. Refusals stand in it, too."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    scope = people.scope(estate, where) if where and where != places.ALL else None
    db = recorded(settings)
    from_ms = collector_now(db) - _span_ms(since)
    lines = audit_log.listed(db, scope.school if scope else "", limit=MOST, since_ms=from_ms)
    if where == places.ALL:
        lines = [line for line in lines if line.place == places.ALL]
    elif scope is not None and scope.room is not None:
        meant = {places.text_of(scope), *(str(device.address) for device in scope.devices(estate))}
        lines = [line for line in lines if line.place in meant]
    if json:
        typer.echo(as_json({"audit": lines}))
        return
    if as_csv:
        typer.echo(_csv(lines), nl=False)
        return
    for line in lines:
        zone = words.zone_at(estate, line.school)
        outcome = "" if line.outcome == audit_log.DONE else f"  {line.outcome.upper().partition(':')[0]}"
        why = line.outcome.partition(": ")[2]
        head = f"{day_time(line.at_ms, zone)}  {line.who} ({line.via})  {line.what.replace('_', ' ')}"
        typer.echo(f"{head}  {line.place or '-'}{outcome}{f': {why}' if why else ''}")
        if line.text:
            typer.echo(f"    {line.text}{f'  {line.link}' if line.link else ''}")
    if not lines:
        say(f"nobody did anything there in the last {since}; further back: --since 90d")


def _span_ms(text: str) -> int:
    """ "7d", "7 d", "12h"."""
    letters = text.replace(" ", "").lstrip("0123456789")
    digits = text.replace(" ", "").removesuffix(letters) if letters else ""
    try:
        return parse_duration(f"{digits} {letters}") * 1000
    except ValueError:
        raise ConfigError([f"--since {text!r}  is no length of time; write 7d, 12h or 30min"]) from None


def _csv(lines: list[audit_log.Line]) -> str:
    """As a table programme reads it; a text that it would take for a formula is kept from being one."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("number", "at", "who", "via", "what", "school", "place", "text", "outcome", "link"))
    for line in reversed(lines):
        at = datetime.fromtimestamp(line.at_ms / 1000, words.UTC).isoformat()
        cells = (line.who, line.via, line.what, line.school, line.place, line.text, line.outcome, line.link)
        table.writerow((line.number, at, *(f"'{cell}" if cell[:1] in tuple("=+-@") else cell for cell in cells)))
    return out.getvalue()
