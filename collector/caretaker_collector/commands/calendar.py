"""Commands about the calendar: what a school's files say of a day, and the feed of what is planned."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from caretaker_collector import calendars
from caretaker_collector.commands.base import (
    FINDING,
    Config,
    Json,
    as_json,
    collector_now,
    recorded,
    say,
    settings_of,
    time_of,
)
from caretaker_collector.planned import feed, planned, wakes, write
from caretaker_collector.settings import load_estate, load_estate_and_policies
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import Booked, Unknown, day_bookings, local, midnight_ms, zone_of
from caretaker_rules.model import Estate, School
from caretaker_rules.timetable import day_kind, why_days_unknown
from caretaker_rules.wake_plan import not_frozen

SchoolName = Annotated[str, typer.Argument(help="A school: ash.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("calendar")(calendar)
    app.command("planned")(planned_)


def _school(estate: Estate, name: str) -> School:
    school = estate.schools.get(name)
    if school is None:
        raise ConfigError([f"{name}  no such school; there are: {', '.join(sorted(estate.schools))}"])
    return school


def calendar(
    school: SchoolName,
    day: Annotated[str | None, typer.Option(help="2026-10-06; else today.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What kind of day it is, which week, and when each room is booked: as the rules see it."""
    _, settings = settings_of(config)
    estate_file = Path(settings.estate)
    found = _school(load_estate(estate_file), school)
    zone = zone_of(found.time_zone)
    try:
        on = date.fromisoformat(day) if day else local(time_of(settings), zone).date()
    except ValueError:
        raise ConfigError([f"--day {day!r}  is no day; write it as 2026-10-06"]) from None
    timetable = calendars.read_at(found, estate_file.parent, midnight_ms(on, zone)).timetable
    kind, week = day_kind(found, on, timetable), timetable.week_of(on)
    rooms = {room.name: day_bookings(room, found, on, timetable) for room in found.rooms}
    why = why_days_unknown(found, timetable, on) or "no term is written down for it"
    if json:
        typer.echo(as_json({"school": school, "day": on, "kind": kind, "week": week, "rooms": rooms}))
    else:
        said = f"{kind.value.replace('_', ' ')} day" if kind else f"of a kind that nobody knows: {why}"
        typer.echo(f"{found.title} · {on:%a} {on.day} {on:%b %Y} · {said}" + (f" · week {week}" if week else ""))
        for name, spans in rooms.items():
            typer.echo(f"  {name:<12}  {_text(spans, lambda at_ms: f'{local(at_ms, zone):%H:%M}')}")
    if kind is None or any(isinstance(spans, Unknown) for spans in rooms.values()):
        raise typer.Exit(FINDING)


def _text(spans: list[Booked] | Unknown, clock: Callable[[int], str]) -> str:
    if isinstance(spans, Unknown):
        return f"counts as booked: no timetable is known for {spans.why}"
    return ", ".join(f"{clock(span.from_ms)}-{clock(span.until_ms)}" for span in spans) or "not booked"


def planned_(
    school: SchoolName,
    out: Annotated[Path | None, typer.Option(help="A file to write; else standard output.")] = None,
    config: Config = None,
) -> None:
    """Holds, exam freezes, maintenance, and wakes of the next seven days, as an iCalendar feed.

    A running collector keeps it in DATA/planned/SCHOOL.ics.
    """
    _, settings = settings_of(config)
    estate_file = Path(settings.estate)
    estate, policies = load_estate_and_policies(estate_file)
    found = _school(estate, school)
    db = recorded(settings)
    now_ms = collector_now(db)
    timetable = calendars.read_at(found, estate_file.parent, now_ms).timetable
    holds = planned(db, {school: timetable}, now_ms)[school]
    devices = [device for device in estate.devices.values() if device.school == school]
    woken = not_frozen(wakes(found, estate, devices, policies.get(school), timetable, now_ms), holds)
    if out is None:
        typer.echo(feed(found, holds, woken).decode(), nl=False)
        return
    try:
        write(out, feed(found, holds, woken))
    except OSError as error:
        raise ConfigError([f"{out}  cannot be written: {error.strerror}"]) from error
    say(f"{len(holds) + len(woken)} planned for {found.title}, written to {out}")
