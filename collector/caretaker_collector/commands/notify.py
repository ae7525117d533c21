"""`caretaker notify test`, `queue`, `retry` and `secret`: telling people; `caretaker token`: who may use the API."""

import asyncio
import base64
import os
import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import audit, state
from caretaker_collector.api import tokens
from caretaker_collector.commands.base import (
    FINDING,
    OK,
    USAGE,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    recorded,
    records_of,
    say,
    settings_of,
)
from caretaker_collector.notify import outbox
from caretaker_collector.settings import CollectorSettings, load_alerts, load_estate
from caretaker_contract import clock as clock_
from caretaker_contract.errors import ConfigError, Rejected, Unavailable
from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.alerting import Telling
from caretaker_rules.ports import Notifier
from caretaker_rules.roles import Scope, operator

notify_app = typer.Typer(help="How people are told: try it, see what waits, send again.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens for the HTTP API.", no_args_is_help=True)
TEST_WITHIN_S = 60.0


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(notify_app, name="notify")
    app.add_typer(token_app, name="token")


@notify_app.command("test")
def notify_test(
    channel: Annotated[str | None, typer.Argument(help="Only this one of alerts.toml; else all of them.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send a test message now, and say for each channel whether it was taken. A desk is asked; no ticket is opened."""
    from caretaker_collector.notify.channels import Surroundings, open_channels

    _, settings = settings_of(config)
    alerts = alerts_of(settings)
    chosen = [each for each in alerts.channels if channel in (None, each.name)]
    if not chosen:
        fail(f"{channel}: no such channel; there are: {', '.join(each.name for each in alerts.channels)}", USAGE)
    clock = clock_.from_environment()
    around = Surroundings(sqlite3.connect(":memory:"), clock.now_ms)
    results: list[dict[str, Any]] = []
    ready: dict[str, Notifier] = {}
    for each in chosen:
        try:
            ready |= open_channels([each], around)
        except ConfigError as error:
            results.append({"channel": each.name, "kind": each.kind, "ok": False, "answer": "; ".join(error.faults)})
    kinds = {each.name: each.kind for each in chosen}
    answers = asyncio.run(_try_all(ready, clock.now_ms()))
    results += [
        {"channel": name, "kind": kinds[name], "ok": ok, "answer": said} for name, (ok, said) in answers.items()
    ]
    if json:
        typer.echo(as_json({"channels": results}))
    else:
        width = max(len(row["channel"]) for row in results)
        for row in results:
            typer.echo(
                f"{row['channel']:<{width}}  {row['kind']:<7}  {'ok    ' if row['ok'] else 'FAILED'}  {row['answer']}"
            )
            if not row["ok"]:
                say(f"{'':<{width}}  {remedy(row['kind'], row['answer'])}")
    raise typer.Exit(OK if all(row["ok"] for row in results) else FINDING)


async def _try_all(channels: dict[str, Notifier], now_ms: int) -> dict[str, tuple[bool, str]]:
    async def one(name: str, notifier: Notifier) -> tuple[bool, str]:
        telling = Telling(
            id=f"test-{name}-{now_ms}",
            uid="",
            what="test",
            channel=name,
            title="Test message of Caretaker",
            body="This is a test: somebody ran `caretaker notify test`. Nothing is wrong.",
            severity="info",
            due_ms=now_ms,
            made_ms=now_ms,
        )
        try:
            async with asyncio.timeout(TEST_WITHIN_S):
                return True, await notifier.send(telling, None)
        except TimeoutError:
            return False, f"no answer within {TEST_WITHIN_S:.0f} s"
        except (Unavailable, Rejected) as error:
            return False, str(error)
        finally:
            await notifier.close()

    answers = await asyncio.gather(*(one(name, notifier) for name, notifier in channels.items()))
    return dict(zip(channels, answers, strict=True))


def remedy(kind: str, answer: str) -> str:
    """What a person can do about it."""
    if any(word in answer for word in ("answered 401", "answered 403", "answered 407", "answered 53")):
        return "the other side does not know us: make a new token or password there, and put it into the channel's file"
    if "answered 404" in answer or "answered 410" in answer or "in JSON" in answer:
        return "there is nothing at this address: take it again from the other side's settings"
    if "answered 429" in answer:
        return "the other side wants fewer messages: wait, and try again"
    if "cannot be reached" in answer or "no answer" in answer or "not delivered" in answer:
        where = "mail server" if kind == "mail" else "address"
        return f"look whether the {where} is written right, is up, and lets this machine in (name, port, firewall)"
    if "certificate" in answer:
        return "its certificate has to be signed by an authority that this machine trusts"
    return "mend alerts.toml or what it names, then run this again"


@notify_app.command("queue")
def notify_queue(config: Config = None, json: Json = False) -> None:
    """Messages that wait, with what went wrong, and those that failed in a week. Exit code 1 when any is stuck."""
    _, settings = settings_of(config)
    db = _state(settings, read_only=True)
    now_ms = collector_now(db)
    rows = outbox.queue(db, now_ms - 7 * tokens.DAY_MS)
    stuck = [row for row in rows if row.status == "failed" or row.attempts > 0]
    if json:
        items = [
            {
                "id": row.telling.id,
                "channel": row.telling.channel,
                "what": row.telling.what,
                "title": row.telling.title,
                "made_ms": row.telling.made_ms,
                "status": row.status,
                "attempts": row.attempts,
                "next_ms": row.next_ms if row.status == "waiting" else None,
                "done_ms": row.done_ms or None,
                "answer": row.answer,
            }
            for row in rows
        ]
        typer.echo(as_json({"messages": items}))
    else:
        zone = _zone(settings)
        for row in rows:
            typer.echo(_line(row, now_ms, zone))
            if row.answer:
                typer.echo(f"    {row.answer}")
        waiting = sum(row.status == "waiting" for row in rows)
        failed = len(rows) - waiting
        say(f"{waiting} waiting, {failed} failed in the last week" if rows else "nothing waits, and nothing failed")
        if failed:
            say("send one again: caretaker notify retry ID (its first letters will do)")
    raise typer.Exit(FINDING if stuck else OK)


def _line(row: outbox.Row, now_ms: int, zone: ZoneInfo) -> str:
    telling = row.telling
    tries = f"{row.attempts} tr{'y' if row.attempts == 1 else 'ies'}"
    if row.status == "failed":
        state_ = f"FAILED {_clock(row.done_ms, zone)} after {tries}"
    elif row.attempts:
        state_ = f"waiting, {tries}, next {_clock(max(row.next_ms, now_ms), zone)}"
    else:
        due_ms = max(row.next_ms, telling.due_ms)
        state_ = "waiting" if due_ms <= now_ms else f"due {_clock(due_ms, zone)}"
    return f"{telling.id[:12]}  {telling.channel}  {telling.what}  {state_}  {telling.title}"


def _clock(ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone).strftime("%a %H:%M:%S")


@notify_app.command("retry")
def notify_retry(
    message: Annotated[str, typer.Argument(metavar="ID", help="As `caretaker notify queue` shows it.")],
    config: Config = None,
) -> None:
    """Try a message again now that waits or failed; the running collector sends it within a second."""
    _, settings = settings_of(config)
    db = _state(settings)
    row = outbox.again(db, message, collector_now(db))
    typer.echo(f"{row.telling.id}: goes out again through {row.telling.channel}: {row.telling.title}")


@notify_app.command("secret")
def notify_secret(file: Annotated[Path, typer.Argument(help="Where the key goes; never overwritten.")]) -> None:
    """Make a key that webhooks are signed with; give the same line to the receiver."""
    write_secret(file, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    typer.echo(f"{file}: made; the receiver needs this file's line too")


def write_secret(file: Path, line: str) -> None:
    """A new file that only its owner may read."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)
    with os.fdopen(handle, "w") as out:
        out.write(line + "\n")


@token_app.command("new")
def token_new(
    name: Annotated[str, typer.Argument(help="Who has it, such as zammad or head-office; histories name it.")],
    scope: Annotated[
        Scope,
        typer.Option(help="read: look only; incidents: work on them too; operate: hold, wake, shut down and stop too."),
    ] = "read",
    school: Annotated[str | None, typer.Option(help="Only what is of this school.")] = None,
    days: Annotated[int, typer.Option(help="How long it is good for.", min=1, max=3650)] = 90,
    config: Config = None,
) -> None:
    """Make a token and print it, this once: only its digest is kept."""
    if not (1 <= len(name) <= 40 and name.isprintable() and name == name.strip()):
        fail(f"{name!r}: give a name of 40 letters at most", USAGE)
    _, settings = settings_of(config)
    if school is not None:
        estate = load_estate(Path(settings.estate))
        if school not in estate.schools:
            fail(f"--school {school}: no such school; there are: {', '.join(sorted(estate.schools))}", USAGE)
    db = _state(settings)
    now_ms = collector_now(db)
    typer.echo(tokens.new(db, name, scope, school, days, now_ms))
    text = f"scope {scope}, {days} d"
    audit.append(db, operator("operator"), "make token", now_ms, school=school or "", place=name, text=text)
    until = datetime.fromtimestamp((now_ms + days * tokens.DAY_MS) / 1000, UTC).strftime("%d %b %Y")
    where = f"school {school}" if school else "all schools"
    say(
        f"token {name}: {scope}, {where}, until {until}; it is not shown again. End it with: caretaker token end {name}"
    )


@token_app.command("list")
def token_list(config: Config = None, json: Json = False) -> None:
    """All tokens, without their texts."""
    _, settings = settings_of(config)
    db = _state(settings, read_only=True)
    now_ms = collector_now(db)
    found = tokens.listed(db)
    if json:
        rows = [{**{name: getattr(t, name) for name in t.__struct_fields__}, "state": t.state(now_ms)} for t in found]
        typer.echo(as_json({"tokens": rows}))
        return
    for token in found:
        until = datetime.fromtimestamp((token.ended_ms or token.expires_ms) / 1000, UTC).strftime("%d %b %Y")
        words = {"valid": "until", "expired": "expired", "ended": "ended"}[token.state(now_ms)]
        typer.echo(f"{token.name}  {token.scope}  {token.school or 'all schools'}  {words} {until}")
    if not found:
        say("no tokens; make one with: caretaker token new NAME")


@token_app.command("end")
def token_end(name: str, config: Config = None) -> None:
    """From now on this token is worth nothing."""
    _, settings = settings_of(config)
    db = _state(settings)
    now_ms = collector_now(db)
    tokens.end(db, name, now_ms)
    audit.append(db, operator("operator"), "end token", now_ms, place=name)
    typer.echo(f"token {name}: ended")


def _state(settings: CollectorSettings, read_only: bool = False) -> sqlite3.Connection:
    if read_only:
        return recorded(settings)
    path = records_of(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    return state.open_state(path)


def alerts_of(settings: CollectorSettings) -> AlertsFile:
    """alerts.toml. ConfigError when collector.toml names none."""
    if settings.alerts is None:
        raise ConfigError(['collector.toml  names no alerts, so nobody is told: add alerts = "alerts.toml"'])
    return load_alerts(Path(settings.alerts))


def _zone(settings: CollectorSettings) -> ZoneInfo:
    try:
        return ZoneInfo(alerts_of(settings).time_zone)
    except ConfigError:
        return ZoneInfo("Europe/London")
