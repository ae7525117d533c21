"""`caretaker stay-link`: a link with which anybody in a room can ask that it be kept on."""

from pathlib import Path
from typing import Annotated

import typer

from caretaker_collector import people, state, stays
from caretaker_collector.commands.base import FINDING, Config, Json, as_json, collector_now, say, settings_of
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("stay-link")(stay_link)


def stay_link(
    where: Annotated[str, typer.Argument(metavar="ROOM", help="A room: ash/ict1.")],
    base_url: Annotated[
        str | None, typer.Option(help="How people reach the collector: https://caretaker.school.example.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the link of this room back, for good.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """The link with which whoever is in a room keeps it on for a while; the same each time, until it is taken back."""
    _, settings = settings_of(config)
    school, room = people.place(load_estate(Path(settings.estate)), where)
    if room is None:
        raise ConfigError([f"{where}  a link is for one room; write it as {where}/ROOM"])
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise ConfigError([f"--base-url {base_url!r}  write it with http:// or https://"])
    folder = Path(settings.data)
    folder.mkdir(parents=True, exist_ok=True)
    db = state.open_state(folder / "state.db")
    now_ms = collector_now(db)
    if revoke:
        done = stays.revoke(db, school, room, now_ms)
        typer.echo(f"the link of {where} no longer works" if done else f"{where} has no link")
        raise typer.Exit(0 if done else FINDING)
    http = settings.http
    address = (base_url or f"http://{http.host}:{http.port}").rstrip("/")
    link = f"{address}/stay/{stays.link_of(db, school, room, now_ms)}"
    typer.echo(as_json({"room": where, "link": link, "works": http.stay_links}) if json else link)
    if not http.stay_links:
        say(
            "it answers 404 until collector.toml has stay_links = true under [http], and the collector is started again"
        )
    if base_url is None:
        say("that is how the collector listens; say --base-url when people reach it by another name")
    say(f"whoever has it may keep {where} on; take it back with: caretaker stay-link {where} --revoke")
