"""`caretaker boards`: Grafana's boards, made, checked, and brought to a running Grafana."""

import asyncio
import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from caretaker_collector.commands.base import (
    FINDING,
    OK,
    USAGE,
    Config,
    Json,
    as_json,
    fail,
    say,
    settings_of,
)
from caretaker_collector.settings import load_estate
from caretaker_contract import clock as clock_
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.describe import DESK
from caretaker_rules.calendar import local, zone_of

if TYPE_CHECKING:  # grafanalib and aiohttp take their time to load, and no other command needs them here
    from caretaker_collector.grafana import Change
    from caretaker_dashboards.folders import Filled

app = typer.Typer(help="Grafana's boards: make them, check them, bring them to a Grafana.", no_args_is_help=True)
Desk = Annotated[str, typer.Option("--desk", help="Address of the desk that boards link to.")]
Schools = Annotated[list[str] | None, typer.Option("--school", help="Only these schools' own folders; else all.")]

EstateFile = Annotated[Path | None, typer.Option("--estate", help="estate.toml; else the one that the settings name.")]


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(app, name="boards")


@app.command()
def build(
    out: Annotated[
        Path | None, typer.Option(help="A folder for boards filled in from the estate: a folder for each audience.")
    ] = None,
    desk: Desk = DESK,
    school: Schools = None,
    estate: EstateFile = None,
    config: Config = None,
) -> None:
    """Make the boards of this checkout again (dashboards/generated), or with --out those of your estate."""
    from caretaker_dashboards import build as build_

    if out is None:
        changed = build_.write(build_.GENERATED, build_.texts())
        typer.echo("\n".join(f"{name}  changed" for name in changed) or "all boards are as described")
        return
    filled = _filled(config, estate, desk, school)
    wanted = {
        f"{folder.path}/{board['uid']}.json": build_.as_text(board)
        for folder in filled.folders
        for board in folder.boards
    }
    foreign = [path for path in out.rglob("*.json") if not path.name.startswith("caretaker-")]
    if foreign:
        fail(f"--out {out}: {foreign[0]} is none of Caretaker's boards; give a folder of their own", USAGE)
    changed = build_.write(out, wanted)
    for folder in filled.folders:
        typer.echo(f"{out / folder.path}  {len(folder.boards)} board{'' if len(folder.boards) == 1 else 's'}")
    say("\n".join([*filled.notes, f"{len(changed)} of {len(wanted)} files changed"]))


@app.command()
def check(
    schema: Annotated[
        bool, typer.Option("--schema", help="Also against Grafana's own schema (npm, a minute).")
    ] = False,
    json: Json = False,
) -> None:
    """Whether the committed boards are what their descriptions make, and keep every rule."""
    from caretaker_dashboards import build as build_
    from caretaker_dashboards import lint, schema_check

    boards = [json_.loads(text) for text in build_.texts().values()]
    faults = build_.stale()
    for board in boards:
        faults += lint.check(board)
    faults += lint.check_links(boards)
    notes = []
    if schema:
        try:
            known = schema_check.schemas()
            notes.append(f"checked against @grafana/schema {known['version']}")
            faults += [fault for board in boards for fault in schema_check.check(board, known)]
        except schema_check.CannotCheck as error:
            notes.append(f"not checked against Grafana's schema: {error}")
    if json:
        typer.echo(as_json({"boards": len(boards), "faults": faults, "notes": notes}))
    else:
        for fault in faults:
            typer.echo(fault)
        panels = sum(len(board["panels"]) for board in boards)
        say("\n".join([*notes, f"{len(boards)} boards, {panels} panels, {len(faults)} faults"]))
    raise typer.Exit(FINDING if faults else OK)


@app.command()
def push(
    url: Annotated[str, typer.Argument(help="Grafana's address: https://grafana.example or http://127.0.0.1:3000.")],
    token_file: Annotated[Path, typer.Option(help="File with a service account's token (role Editor) on one line.")],
    desk: Desk = DESK,
    school: Schools = None,
    estate: EstateFile = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Bring the boards, filled in from the estate, to a running Grafana; says what changed. Nothing is deleted."""
    if not url.startswith(("http://", "https://")):
        fail(f"{url}: give Grafana's address with http:// or https://", USAGE)
    try:
        token = token_file.read_text().strip()
    except OSError as error:
        fail(f"--token-file {token_file}: {error.strerror}", USAGE)
    if not token or "\n" in token:
        fail(f"--token-file {token_file}: one line with the token is expected", USAGE)
    filled = _filled(config, estate, desk, school)
    changes = asyncio.run(_push(url, token, filled))
    if json:
        typer.echo(as_json({"changes": changes, "notes": filled.notes}))
        return
    for change in changes:
        lead = "" if change.what == "folder" else "  "
        typer.echo(f"{change.change:<10}{lead}{change.title}  ({change.uid})")
    for note in (*filled.notes, *_warnings(url, desk)):
        say(note)
    counts = ", ".join(
        f"{sum(c.change == kind for c in changes)} {kind}" for kind in ("created", "updated", "unchanged")
    )
    say(f"{counts}. Data comes from the InfluxDB source that each board names first; see dashboards/README.md")


def _warnings(url: str, desk: str) -> list[str]:
    """What is not wrong and yet not meant."""
    here = ("127.0.0.1", "localhost", "::1")
    parts = urlsplit(url)
    found = []
    if parts.scheme == "http" and parts.hostname not in here:
        found.append(f"{url}: the token went there unencrypted; use https://")
    if parts.hostname not in here and urlsplit(desk).hostname in here:
        found.append(f"boards link to the desk at {desk}, which is another machine for each reader; say --desk")
    return found


async def _push(url: str, token: str, filled: "Filled") -> "list[Change]":
    from caretaker_collector.grafana import Grafana

    async with Grafana(url, token) as grafana:
        return await grafana.push(filled.folders)


def _filled(config: str | None, written: Path | None, desk: str, only: list[str] | None) -> "Filled":
    from caretaker_dashboards.folders import of_estate

    estate = load_estate(Path(settings_of(config)[1].estate) if written is None else written)
    unknown = [name for name in only or () if name not in estate.schools]
    if unknown:
        known = ", ".join(sorted(estate.schools))
        raise ConfigError([f"{name}  no such school; there are: {known}" for name in unknown])
    zones = [school.time_zone for school in estate.schools.values()]
    today = local(clock_.from_environment().now_ms(), zone_of(zones[0] if zones else "Europe/London")).date()
    return of_estate(estate, today, desk, tuple(only) if only else None)
