"""`caretaker wake` and `caretaker ready`: what people ask of relays, and whether rooms were ready for their lessons."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from msgspec import Struct

from caretaker_collector import people, wake_book, why
from caretaker_collector.acts.base import ReasonBody
from caretaker_collector.commands import acting
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    FINDING,
    OK,
    USAGE,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    recorded,
    say,
    settings_of,
)
from caretaker_collector.commands.people import By
from caretaker_collector.settings import CollectorSettings, load_estate
from caretaker_rules.model import Estate

DAY_MS = 86_400_000


class CannotWake(Struct, kw_only=True):
    """A machine on the list, as --json prints it."""

    device: str
    room: str
    since_ms: int
    attempts: int
    rule: str
    reason: str


class RoomReady(Struct, kw_only=True):
    """A room at the start of a lesson, as --json prints it."""

    room: str
    lesson_ms: int
    ready: int
    total: int


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(wake)
    app.command()(ready)


def wake(
    where: Annotated[
        str | None, typer.Argument(help="A room or a machine: ash/ict1, ash/ict1-07. With --list: a school.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept with the order.")] = None,
    by: By = "operator",
    list_: Annotated[bool, typer.Option("--list", help="Machines that cannot be woken, and why probably.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Wake a room or a machine through the relay of its school; or list what cannot be woken."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    if list_:
        _list(settings, estate, where, json)
        return
    if where is None or not reason:
        fail('say what to wake and why: caretaker wake ash/ict1 --reason "patches tonight"; or --list', USAGE)
    scope = people.scope(estate, where)
    if scope.room is None:
        fail(f"{where}: a whole school is not woken at once; name a room or a machine of it", USAGE)
    done = acting.do(config, "wake", ReasonBody(place=where, reason=reason), by)
    if json:
        devices = scope.devices(estate)
        without = sum(device.mac is None for device in devices)
        typer.echo(as_json({"order": done.number, "machines": len(devices), "without_mac": without}))
        return
    head, *rest = done.answered.lines
    typer.echo(head)
    for line in rest:
        say(line)
    say(f"what came of it: caretaker ready {scope.school}, caretaker wake --list, caretaker why {scope.school}/DEVICE")


def _list(settings: CollectorSettings, estate: Estate, school: str | None, json: bool) -> None:
    if school is not None:
        people.place(estate, school)
    db = recorded(settings)
    rows = [row for row in wake_book.cannot_wake(db, school) if row.address in estate.devices]
    if json:
        typer.echo(
            as_json(
                [
                    CannotWake(
                        device=str(row.address),
                        room=row.room,
                        since_ms=row.result_ms,
                        attempts=row.attempts,
                        rule=row.rule,
                        reason=str(row.reason),
                    )
                    for row in rows
                ]
            )
        )
    for row in rows if not json else ():
        zone = ZoneInfo(estate.schools[row.address.school].time_zone)
        since = datetime.fromtimestamp(row.result_ms / 1000, zone)
        typer.echo(f"{row.address!s:<22} {row.room:<10} {since:%a %d %b %H:%M}  {row.rule:<16} {row.reason}")
    if not rows:
        say("every machine that was to be woken reported that it is on, or none was wanted yet")
    raise typer.Exit(FINDING if rows else OK)


def ready(
    school: Annotated[str, typer.Argument(help="A school: ash.")],
    at: Annotated[
        str | None, typer.Option(help='Up to this local time: "08:50" or "2026-10-06 08:50"; else now.')
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """How many machines of each room were ready at its last lesson, the newest lesson first."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    if school not in estate.schools:
        fail(f"{school}: no such school; there are: {', '.join(sorted(estate.schools))}", USAGE)
    db = recorded(settings)
    now_ms = collector_now(db)
    zone = ZoneInfo(estate.schools[school].time_zone)
    try:
        until_ms = why.read_time(at, now_ms, zone) if at else now_ms
    except ValueError:
        fail(f'--at {at!r}: give a local time such as "08:50" or "2026-10-06 08:50"', USAGE)
    rows = db.execute(
        "SELECT room, max(lesson_ms), ready, total FROM readiness "
        "WHERE school = ? AND lesson_ms <= ? AND lesson_ms > ? GROUP BY room ORDER BY 2 DESC, room",
        (school, until_ms, until_ms - DAY_MS),
    ).fetchall()
    found = [RoomReady(room=room, lesson_ms=at_ms, ready=on, total=total) for room, at_ms, on, total in rows]
    if json:
        typer.echo(as_json(found))
    titles = {room.name: room.title for room in estate.schools[school].rooms}
    for one in found if not json else ():
        moment = datetime.fromtimestamp(one.lesson_ms / 1000, zone)
        day = "" if moment.date() == datetime.fromtimestamp(until_ms / 1000, zone).date() else f" {moment:%a %d %b}"
        name = f"{one.room} ({titles[one.room]})" if titles.get(one.room) else one.room
        typer.echo(f"{name:<34} {one.ready:>3} of {one.total:<3} ready at {moment:%H:%M}{day}")
    if not found:
        before = datetime.fromtimestamp(until_ms / 1000, zone) - timedelta(days=1)
        say(f"no lesson began in {school} since {before:%a %d %b %H:%M} while the collector could see")
        raise typer.Exit(CANNOT_TELL)
    raise typer.Exit(OK if all(one.ready == one.total for one in found) else FINDING)
