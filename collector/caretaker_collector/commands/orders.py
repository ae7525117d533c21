"""Commands for people that switch machines: shut-down, restart, sleep; and `patching`, what is due for updates."""

import sqlite3
import time
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import memory, order_book, people, state
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
from caretaker_collector.order_book import Found, Scope
from caretaker_collector.order_book import Verb as OrderVerb
from caretaker_collector.settings import load_estate, load_estate_and_policies
from caretaker_rules.calendar import local
from caretaker_rules.model import Tracked
from caretaker_rules.patching import due_for_patching
from caretaker_rules.policy import MAX_WARN_S, MIN_WARN_S
from caretaker_rules.reasons import Why, duration

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; nothing is sent or recorded.")]
Warn = Annotated[int, typer.Option(min=MIN_WARN_S, max=MAX_WARN_S, help="Seconds of warning on the machines.")]
Wait = Annotated[float, typer.Option(min=1, max=60, help="Seconds to wait for the running collector.")]
POLL_S = 0.05
WORDS: dict[OrderVerb, str] = {"shut_down": "shut down", "restart": "restart", "sleep": "go to sleep"}
STAYS = {
    "in_use": "in use",
    "idle_unknown": "unable to tell whether they are in use",
    "calendar_unknown": "in a room without a timetable",
    "recent_reconnect": "just back on the line",
    "recent_veto": "where somebody said no a while ago",
    "report_stale": "with too old a report",
    "unable": "unable to do it",
    "cycles": "switched often enough today",
    "always_on": "of a class that is always on",
    "state_unknown": "lost or unknown",
    "patch_window": "in their patch window",
    "maintenance": "worked on",
    "observe_only": "where the policy only observes",
}
"""How an answer names what keeps machines from being switched; the others as their reasons are called."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("shut-down")(shut_down)
    for command in (restart, sleep, patching):
        app.command()(command)


def shut_down(
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
    """Shut down machines that nobody uses, by the same guards and limits as rules."""
    _order("shut_down", where, reason, device_class, dry_run, warn, by, wait, config, json)


def restart(
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
    """Restart machines that nobody uses, by the same guards and limits as rules."""
    _order("restart", where, reason, device_class, dry_run, warn, by, wait, config, json)


def sleep(
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
    """Put machines that nobody uses to sleep, by the same guards and limits as rules."""
    _order("sleep", where, reason, device_class, dry_run, warn, by, wait, config, json)


def _order(
    verb: OrderVerb,
    where: str,
    reason: str,
    device_class: str | None,
    dry_run: bool,
    warn_s: int,
    by: str,
    wait_s: float,
    config: str | None,
    json: bool,
) -> None:
    _, settings = settings_of(config)
    scope = people.scope(load_estate(Path(settings.estate)), where, device_class)
    who = people.who(by)
    db = state.open_state(Path(settings.data) / "state.db")
    number = order_book.place(db, verb, scope, reason, who, warn_s, dry_run, collector_now(db))
    found = _answer(db, number, wait_s)
    if found is None:
        fail(
            f"no collector took the order within {wait_s:g} s, so it was withdrawn; is `caretaker collect` running?",
            CANNOT_TELL,
        )
    if json:
        typer.echo(as_json({"order": number, "dry_run": dry_run, "found": found}))
    elif found.refused:
        say(found.refused)
    else:
        typer.echo(told(found, scope, verb, warn_s, dry_run))
    raise typer.Exit(OK if found.asked or found.later else FINDING)


def _answer(db: sqlite3.Connection, number: int, wait_s: float) -> Found | None:
    """What the collector says; None when it says nothing, and then the order is withdrawn (also at Ctrl-C)."""
    withdrawn = False
    try:
        found = _poll(db, number, wait_s)
    finally:
        withdrawn = order_book.withdraw(db, number)
    if found is not None or withdrawn:
        return found
    found = _poll(db, number, wait_s)  # it was taken at the last moment: the answer is on its way
    if found is None:
        fail(f"order {number} was taken, and no answer came; `caretaker why` shows what was decided", CANNOT_TELL)
    return found


def _poll(db: sqlite3.Connection, number: int, wait_s: float) -> Found | None:
    for _ in range(round(wait_s / POLL_S)):
        found = order_book.answer(db, number)
        if found is not None:
            return found
        time.sleep(POLL_S)
    return None


def told(found: Found, scope: Scope, verb: OrderVerb, warn_s: int, dry_run: bool) -> str:
    """An answer as people read it."""
    head = f"{_machines(found.machines)} in {scope.room or scope.school}"
    if scope.device:
        head = f"machine {scope.device}"
    off = found.stay.get(Why.ALREADY_OFF.value, [])
    on = {why: names for why, names in found.stay.items() if why != Why.ALREADY_OFF.value}
    if off:
        head += f", {len(off)} off already"
    if on:
        parts = (f"{len(names)} {STAYS.get(why, why.replace('_', ' '))}" for why, names in on.items())
        count = sum(len(names) for names in on.values())
        head += f", {', '.join(parts)}: {'that one stays' if count == 1 else 'those stay'} on"
    lines = [head]
    would = "would be asked" if dry_run else "asked"
    if found.asked:
        lines.append(f"  {len(found.asked)} {would} to {WORDS[verb]}, with {duration(warn_s)} of warning")
    if found.later:
        follow = "would follow" if dry_run else "follow"
        lines.append(f"  {len(found.later)} {follow} within half an hour ({found.later_why})")
    if not found.asked and not found.later:
        lines.append("  none would be asked" if dry_run else "  none is asked")
    return "\n".join(lines)


def _machines(number: int) -> str:
    return f"{number} machine{'' if number == 1 else 's'}"


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
        say(f"{_machines(outside)} in no patch window: nothing watches whether they are patched")
    raise typer.Exit(FINDING if due else OK)
