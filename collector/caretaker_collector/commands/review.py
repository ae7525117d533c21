"""`caretaker review`: the monthly service review of a school, of a network, or of each school at once.

`caretaker review ash 2026-09` is `caretaker review make ash 2026-09`: a first word that is no command is a place.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from caretaker_collector.commands import review_actions
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    FINDING,
    OK,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    recorded,
    say,
    settings_of,
)
from caretaker_collector.review import keep, shelf
from caretaker_collector.review.make import Job, Made, Wish, make
from caretaker_collector.review.shelf import Kept
from caretaker_collector.review.shown import front
from caretaker_collector.review.span import named, of_days, of_month
from caretaker_collector.settings import CollectorSettings, load_estate
from caretaker_collector.sla import places
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.review.draw import KINDS, Kind
from caretaker_dashboards.review.words import moment
from caretaker_rules.calendar import local, zone_of
from caretaker_rules.model import Estate

HOME_ZONE = "Europe/London"


class PlaceFirst(TyperGroup):
    """`review ash` is `review make ash`, unless the first word is one of the commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in where a place, or an option of `make`, stands first."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=PlaceFirst,
    help="The monthly service review. `caretaker review PLACE [MONTH]` makes one: see `caretaker review make --help`.",
    no_args_is_help=True,
)
review_actions.register(app)

PlaceName = Annotated[str, typer.Argument(metavar="PLACE", help="A school (ash), network:green, or all.")]
MonthName = Annotated[str | None, typer.Argument(metavar="[MONTH]", help="2026-09; else last month.")]


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(app, name="review")


@app.command("make")
def make_(
    place: Annotated[
        str | None, typer.Argument(metavar="[PLACE]", help="A school (ash); network:green or all: one pack of many.")
    ] = None,
    month: MonthName = None,
    every: Annotated[bool, typer.Option("--all", help="A pack of each school.")] = False,
    first: Annotated[str | None, typer.Option("--from", help="A term or a year: its first day, 2026-09-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Its last day: 2026-12-18.")] = None,
    out: Annotated[Path | None, typer.Option(help="Put files into this folder, too.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Which files: html,pdf,xlsx.")] = ",".join(KINDS),
    no_keep: Annotated[bool, typer.Option("--no-keep", help="Only draw it; nothing is kept.")] = False,
    send: Annotated[
        bool, typer.Option("--send", help="Mail what is kept to its readers, as on the first day.")
    ] = False,
    processes: Annotated[int, typer.Option(help="How many packs at once.", min=1, max=64)] = min(
        4, os.cpu_count() or 1
    ),
    config: Config = None,
    json: Json = False,
) -> None:
    """Make packs: HTML, PDF and spreadsheet. Kept, never overwritten; other figures later make a revision.

    A month that is under way is drawn so far, and not kept.
    """
    if every and place is not None and month is None:
        place, month = None, place
    if every == (place is not None):
        raise ConfigError(["caretaker review  say of what: a school, network:NAME, all, or --all for each school"])
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    kinds = _kinds(formats)
    where = sorted(estate.schools) if every else [_known(estate, str(place))]
    db = recorded(settings)
    now_ms = collector_now(db)
    period = _period(estate, month, first, last, now_ms)
    db.close()
    wish = Wish(
        settings=settings,
        now_ms=now_ms,
        keeps=not no_keep,
        out=str(out.resolve()) if out else "",
        kinds=kinds,
        mails=send and not no_keep,
    )
    done = []
    with _bar(len(where), json) as step:
        for made in make(wish, [Job(each, period) for each in where], processes):
            done.append(made)
            step(made)
    done.sort(key=lambda made: where.index(made.place))
    if json:
        typer.echo(as_json({"packs": done}))
    else:
        for made in done:
            _tell(made)
        if len(done) > 1:
            say(f"{sum(not made.problem for made in done)} of {len(done)} packs were made")
    raise typer.Exit(FINDING if any(made.problem or not made.recorded for made in done) else OK)


@app.command("list")
def list_(
    place: Annotated[str | None, typer.Argument(metavar="[PLACE]", help="Only of this one.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Packs that are kept: each revision with its reason, and to whom it was sent."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    if place is not None:
        _known(estate, place)
    db = recorded(settings)
    found = [
        kept
        for newest in shelf.newest(db, place)
        for kept in reversed(shelf.revisions(db, newest.place, newest.period))
    ]
    if json:
        typer.echo(as_json({"packs": found}))
    else:
        for kept in found:
            typer.echo(_kept_line(estate, settings, kept))
        if not found:
            say(f"nothing is kept yet; make one with: caretaker review {place or '--all'}")
    raise typer.Exit(OK if found else FINDING)


@app.command()
def show(
    place: PlaceName,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="2026-09, or 2026-09-01..2026-12-18.")],
    revision: Annotated[int | None, typer.Option(help="This one; else the newest.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """The five figures of a kept pack as text."""
    _, settings = settings_of(config)
    _known(load_estate(Path(settings.estate)), place)
    period = named(month).name
    db = recorded(settings)
    known = shelf.revisions(db, place, period)
    kept = next((each for each in known[::-1] if revision in (None, each.revision)), None)
    if kept is None:
        what = f"revision {revision} of " if revision and known else ""
        fail(f"{place} {period}: {what}nothing is kept; make it with: caretaker review {place} {period}", CANNOT_TELL)
    pack = keep.read(Path(settings.data), kept)
    if pack is None:
        fail(
            f"{place} {period}: its files are gone; make it again with: caretaker review {place} {period}", CANNOT_TELL
        )
    if json:
        typer.echo(as_json({"kept": kept, "headlines": pack.headlines, "facts": pack.facts}))
        return
    for line in front(pack):
        typer.echo(line)
    typer.echo("")
    for name in kept.files:
        if name != keep.PACK:
            typer.echo(str(Path(settings.data) / kept.folder / name))


def _known(estate: Estate, text: str) -> str:
    """A place of which there can be a pack. ConfigError names what there is."""
    where = places.place(estate, text)
    if where.room is not None or where.device is not None:
        raise ConfigError([f"{text}  is no school; a review is of a school, of network:NAME, or of all"])
    return text


def _kinds(text: str) -> tuple[Kind, ...]:
    wanted = [each.strip().lower() for each in text.split(",") if each.strip()]
    wrong = [each for each in wanted if each not in KINDS]
    if wrong or not wanted:
        raise ConfigError([f"--format {text!r}  there are: {', '.join(KINDS)}"])
    return tuple(kind for kind in KINDS if kind in wanted)


def _period(estate: Estate, month: str | None, first: str | None, last: str | None, now_ms: int) -> str:
    """The name of the days that are meant. ConfigError: they contradict each other, or have not begun."""
    if (first is None) != (last is None):
        raise ConfigError(["--from, --to  belong together: give both days"])
    if first is not None and last is not None:
        if month is not None:
            raise ConfigError([f"{month}  and --from --to: give a month, or days"])
        span = of_days(first, last)
    elif month is not None:
        span = of_month(month)
    else:
        today = local(now_ms, zone_of(HOME_ZONE)).date()
        span = of_month(f"{today.replace(day=1) - timedelta(days=1):%Y-%m}")
    latest = max((local(now_ms, zone_of(each.time_zone)).date() for each in estate.schools.values()), default=date.max)
    if span.first > latest:
        raise ConfigError([f"{span.name}  has not begun: there is nothing to review before {span.first}"])
    return span.name


def _tell(made: Made) -> None:
    """What became of one pack, on a few lines: files on standard output, talk on standard error."""
    if made.problem:
        say(made.problem)
        return
    what = {
        "kept": "kept as the first edition",
        "revised": f"kept as revision {made.revision}: {made.reason}",
        "unchanged": f"nothing has changed since revision {made.revision}",
        "so far": "so far: it is not over, so it is not kept",
        "drawn": "drawn, not kept",
    }[made.state]
    say(f"{made.place} {made.period}  {what}")
    if not made.recorded:
        say(f"  nothing was recorded of these days, as the pack says: was Caretaker at {made.place} then?")
    for line in made.figures:
        say(f"  {line}")
    if made.mails:
        say(f"  {made.mails} mail{'s' if made.mails > 1 else ''} to readers wait to be sent by the running collector")
    if made.unsent:
        say(f"  {made.unsent}")
    for path in made.files:
        typer.echo(path)


def _kept_line(estate: Estate, settings: CollectorSettings, kept: Kept) -> str:
    school = estate.schools.get(kept.place)
    zone = zone_of(school.time_zone if school else HOME_ZONE)
    sent = ", ".join(f"{each.to} {moment(each.at_ms, str(zone))}" for each in kept.sent) or "nobody"
    when = moment(kept.made_ms, str(zone))
    folder = Path(settings.data) / kept.folder
    return (
        f"{kept.place:<14} {kept.period:<10} revision {kept.revision}  made {when}  {kept.reason}\n"
        f"{'':<14} sent to: {sent}\n{'':<14} {folder}"
    )


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Any]:
    """A progress bar on standard error, only where that is a terminal; each step names the pack."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("reviews"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    hidden = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=total)

        def step(made: Made) -> None:
            text = f"{made.place}: {made.state}".replace("[", r"\[")
            bar.update(task, advance=1, description=text)

        yield step
