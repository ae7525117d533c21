"""`caretaker stay-link`: a link with which anybody in a room can ask that it be kept on; as a QR code, and on paper."""

import sys
from pathlib import Path
from typing import Annotated

import segno
import typer

from caretaker_collector import people, state, stays
from caretaker_collector.acts.base import NO_REASON, ReasonBody
from caretaker_collector.api.stay_pages import stay_words
from caretaker_collector.commands import acting
from caretaker_collector.commands.base import FINDING, Config, Json, as_json, collector_now, say, settings_of
from caretaker_collector.planned import write
from caretaker_collector.settings import load_estate
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk import stay_sheet
from caretaker_rules.durations import parse_duration
from caretaker_rules.model import School

SUFFIXES = (".html", ".pdf")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("stay-link")(stay_link)


def stay_link(
    where: Annotated[str, typer.Argument(metavar="ROOM", help="A room: ash/ict1.")],
    base_url: Annotated[
        str | None, typer.Option(help="How people reach the collector: https://caretaker.school.example.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the link of this room back, for good.")] = False,
    qr: Annotated[
        bool | None, typer.Option("--qr/--no-qr", help="With a QR code; else only when this is a terminal.")
    ] = None,
    print_to: Annotated[
        Path | None,
        typer.Option("--print", metavar="FILE", help="Write a page of A4 for the wall: FILE.pdf or FILE.html."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """The link with which whoever is in a room keeps it on for a while; the same each time, until it is taken back."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    school, room = people.place(estate, where)
    if room is None:
        raise ConfigError([f"{where}  a link is for one room; write it as {where}/ROOM"])
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise ConfigError([f"--base-url {base_url!r}  write it with http:// or https://"])
    if print_to is not None and print_to.suffix.lower() not in SUFFIXES:
        raise ConfigError([f"--print {print_to}  the name says which it becomes: FILE.pdf or FILE.html"])
    folder = Path(settings.data)
    folder.mkdir(parents=True, exist_ok=True)
    db = state.open_state(folder / "state.db")
    now_ms = collector_now(db)
    body = ReasonBody(place=where, reason=NO_REASON)
    if revoke:
        answered = acting.do(config, "revoke_stay_link", body, "operator").answered
        typer.echo(answered.lines[0])
        raise typer.Exit(0 if answered.ok else FINDING)
    if not stays.has_link(db, school, room):
        acting.do(config, "stay_link", body, "operator")
    http = settings.http
    address = (base_url or f"http://{http.host}:{http.port}").rstrip("/")
    link = f"{address}/stay/{stays.link_of(db, school, room, now_ms)}"
    typer.echo(as_json({"room": where, "link": link, "works": http.stay_links}) if json else link)
    if qr or (qr is None and not json and sys.stdout.isatty()):
        segno.make(link, error="q", micro=False).terminal(sys.stdout, compact=True)
    if print_to is not None:
        _print(print_to, link, estate.schools[school], room, stay_words(parse_duration(http.stay_for) * 1000))
    if not http.stay_links:
        say(
            "it answers 404 until collector.toml has stay_links = true under [http], and the collector is started again"
        )
    if base_url is None:
        say("that is how the collector listens; say --base-url when people reach it by another name")
    say(f"whoever has it may keep {where} on; take it back with: caretaker stay-link {where} --revoke")


def _print(file: Path, link: str, school: School, room: str, stay: str) -> None:
    title = next((each.title for each in school.rooms if each.name == room and each.title), room)
    as_pdf = file.suffix.lower() == ".pdf"
    made = stay_sheet.sheet_pdf if as_pdf else stay_sheet.sheet
    content = made(link, title, school.title, stay)
    try:
        write(file, content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise ConfigError([f"{file}  cannot be written: {error.strerror}"]) from error
    say(f"written to {file}: print it at its full size, and try the code with a phone before it goes on the wall")
