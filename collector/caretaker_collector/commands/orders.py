"""Commands for people that switch machines: shut-down, restart, sleep; and `patching`, what is due for updates."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import memory, people, state
from caretaker_collector.acts import words
from caretaker_collector.acts.orders import OrderBody, told
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
from caretaker_collector.commands.people import By, OfClass, Reason, Where
from caretaker_collector.order_book import Verb as OrderVerb
from caretaker_collector.settings import load_estate, load_estate_and_policies
from caretaker_rules.calendar import local
from caretaker_rules.model import Tracked
from caretaker_rules.patching import due_for_patching
from caretaker_rules.policy import MAX_WARN_S, MIN_WARN_S
from caretaker_rules.reasons import duration

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; nothing is sent or recorded.")]
Warn = Annotated[int, typer.Option(min=MIN_WARN_S, max=MAX_WARN_S, help="Seconds of warning on the machines.")]
Wait = Annotated[float, typer.Option(min=1, max=60, help="Seconds to wait for the running collector.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("shut-down")(shut_down)
    for command in (restart, sleep, patching):
        app.command()(command)


def _ordering(verb: OrderVerb, meaning: str) -> Callable[..., None]:
    """The command that orders this of machines."""

    def command(
        where: Where,
        reason: Reason,
        device_class: OfClass = None,
        dry_run: DryRun = False,
        warn: Warn = 120,
        by: By = "operator",
        wait: Wait = 5.0,
        config: Config = None,
        json: Json = False,
    ) -> None:
        body = OrderBody(place=where, reason=reason, class_=device_class or "", warn_s=warn)
        done = acting.do(config, verb, body, by, preview=dry_run, wait_s=wait)
        found = done.found
        assert found is not None, "an order that nobody answered is Unavailable"
        if json:
            typer.echo(as_json({"order": done.number, "dry_run": dry_run, "found": found}))
        elif found.refused:
            say(found.refused)
        else:
            _, settings = settings_of(config)
            scope = people.scope(load_estate(Path(settings.estate)), where, device_class)
            typer.echo(told(found, scope, verb, warn, dry_run))
        raise typer.Exit(OK if found.asked or found.later else FINDING)

    command.__name__, command.__doc__ = verb, meaning
    return command


shut_down = _ordering("shut_down", "Shut down machines that nobody uses, by the same guards and limits as rules.")
restart = _ordering("restart", "Restart machines that nobody uses, by the same guards and limits as rules.")
sleep = _ordering("sleep", "Put machines that nobody uses to sleep, by the same guards and limits as rules.")


def patching(
    school: Annotated[str, typer.Argument(help="A school, such as ash.")], config: Config = None, json: Json = False
) -> None:
    """Patch windows of a school, and machines that rules have kept off for too long."""
    _, settings = settings_of(config)
    path = Path(settings.estate)
    estate, policies = load_estate_and_policies(path)
    people.place(estate, school)
    policy = policies.get(school)
    if policy is None or not policy.patch:
        fail(f"{school} has no patch window; write [[patch]] in its policy (name, select, hours)", CANNOT_TELL)
    file = Path(settings.data) / "state.db"
    if not file.exists():
        fail(f"{file}: nothing was recorded yet; run `caretaker collect` first", CANNOT_TELL)
    db = state.open_state(file)
    now_ms = collector_now(db)
    entries = memory.load(db).entries
    machines = [
        (device, entries[device.address].tracked if device.address in entries else Tracked())
        for device in estate.devices.values()
        if device.school == school
    ]
    due = due_for_patching(machines, estate.schools[school], policy, now_ms)
    outside = sum(not any(w.selects(d, estate.schools[school]) for w in policy.patch) for d, _ in machines)
    if json:
        typer.echo(as_json({"school": school, "due": due, "no_window": outside}))
        raise typer.Exit(FINDING if due else OK)
    zone = ZoneInfo(estate.schools[school].time_zone)
    for window in policy.patch:
        typer.echo(
            f"{window.name}: {', '.join(window.hours)}; off for {duration(window.off_at_most_s)} at most, "
            f"patched within {window.due_days} d{', then restarted' if window.restart else ''}"
        )
    for row in due:
        off = duration((now_ms - row.off_since_ms) / 1000)
        by = local(row.due_ms, zone)
        when = "OVERDUE since" if row.overdue else "due by"
        typer.echo(f"  {row.device}  kept off by rules for {off}, {when} {by:%a} {by.day} {by:%b}  ({row.window})")
    if not due:
        say("no machine was kept off for too long")
    if outside:
        say(f"{words.machines(outside)} in no patch window: nothing watches whether they are patched")
    raise typer.Exit(FINDING if due else OK)
