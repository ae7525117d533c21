"""`caretaker account`: who may sign in to the desk."""

import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from caretaker_collector import people, state
from caretaker_collector.accounts import book, sessions
from caretaker_collector.accounts.passwords import Passwords, generated, wrong_with
from caretaker_collector.accounts.sessions import Terms
from caretaker_collector.commands.base import (
    FINDING,
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
from caretaker_collector.files.desk_table import address_of
from caretaker_collector.settings import CollectorSettings, load_estate
from caretaker_contract.clock import Clock
from caretaker_contract.errors import ConfigError
from caretaker_rules.durations import parse_duration
from caretaker_rules.reasons import duration
from caretaker_rules.roles import Role, Who, operator

account_app = typer.Typer(help="Who may sign in to the desk.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A role or a member of staff, never a pupil.")]
Schools = Annotated[
    list[str] | None,
    typer.Option("--school", help="A director's school; a viewer or engineer may be kept to some (repeat it)."),
]
By = Annotated[str, typer.Option(help="Who does it: a role or a member of staff.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Its first line is the password; - is standard input. Else it is asked for.")
]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password and print it, this once.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(account_app, name="account")


@account_app.command("new")
def new(
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do; see dashboards/README.md.")],
    school: Schools = None,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="The one account for the day on which nothing else works.")
    ] = False,
    password_file: PasswordFile = None,
    generate: Generate = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="A web server in front signs them in ([desk] header).")
    ] = False,
    by: By = "operator",
    config: Config = None,
) -> None:
    """Make an account. Its password is asked for, unless an option says otherwise."""
    _, settings = settings_of(config)
    schools = _schools(settings, school)
    if faults := [*book.wrong_name(name), *book.wrong_schools(role, schools)]:
        raise ConfigError(faults)
    if no_password and (generate or password_file):
        fail("--no-password  goes with none of --generate and --password-file", USAGE)
    db = _open(settings)
    hashed, made = (None, "") if no_password else _password(name, password_file, generate)
    account = book.new(
        db,
        _by(by),
        name,
        role,
        schools,
        hashed,
        collector_now(db),
        # The break-glass password lies in an envelope; there is no time to choose another when it is opened.
        must_change=bool(made) and not break_glass,
        break_glass=break_glass,
    )
    if made:
        typer.echo(made)
        say("that is the password; it is not shown again" + ("" if break_glass else ", and has to be changed at once"))
    say(f"account {account.name}: {book.said(account)}; sign in at {address_of(settings)}/sign-in")
    if break_glass:
        say("keep its password in an envelope; each use is in the audit log and in the collector's log, as critical")


@account_app.command("list")
def list_(config: Config = None, json: Json = False) -> None:
    """All accounts, without their passwords."""
    _, settings = settings_of(config)
    db = recorded(settings)
    found, real_ms, terms = book.listed(db), Clock().now_ms(), _terms(settings)
    open_ = {account.key: len(sessions.of_account(db, account.key, terms, real_ms)) for account in found}
    if json:
        rows = [
            {
                "name": account.name,
                "role": account.role,
                "schools": account.schools,
                "made_ms": account.made_ms,
                "signed_in_ms": account.signed_ms,
                "ended_ms": account.ended_ms,
                "password": account.hash is not None,
                "must_change": account.must_change,
                "break_glass": account.break_glass,
                "sessions": open_[account.key],
            }
            for account in found
        ]
        typer.echo(as_json({"accounts": rows}))
        return
    for account in found:
        more = [f"made {_day(account.made_ms)}"]
        if account.ended_ms is not None:
            more.append(f"ended {_day(account.ended_ms)}")
        elif account.hash is None:
            more.append("no password")
        elif account.must_change:
            more.append("has to change the password")
        if account.signed_ms is not None:
            more.append(f"last signed in {_day(account.signed_ms)}")
        if number := open_[account.key]:
            more.append(f"{number} session{'' if number == 1 else 's'}")
        typer.echo(f"{account.name}  {book.said(account)}  {', '.join(more)}")
    if not found:
        say("no accounts; make one with: caretaker account new NAME --role engineer")


@account_app.command("password")
def password(
    name: Name,
    password_file: PasswordFile = None,
    generate: Generate = False,
    by: By = "operator",
    config: Config = None,
) -> None:
    """Give an account another password; its sessions end."""
    _, settings = settings_of(config)
    db = _there(settings)
    account = book.one(db, name)
    hashed, made = _password(account.name, password_file, generate)
    must_change = bool(made) and not account.break_glass
    book.set_password(db, _by(by), name, hashed, collector_now(db), must_change=must_change)
    if made:
        typer.echo(made)
    say(f"account {account.name}: the password was changed" + (", to be changed at once" if must_change else ""))


@account_app.command("role")
def role_(
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do from now on.")],
    school: Schools = None,
    by: By = "operator",
    config: Config = None,
) -> None:
    """Give an account another role, or other schools; its sessions end."""
    _, settings = settings_of(config)
    db = _there(settings)
    account = book.set_role(db, _by(by), name, role, _schools(settings, school), collector_now(db))
    typer.echo(f"account {account.name}: {book.said(account)}")


@account_app.command("end")
def end(name: Name, by: By = "operator", config: Config = None) -> None:
    """From now on nobody can sign in to it, and whoever has is out."""
    _, settings = settings_of(config)
    db = _there(settings)
    book.end(db, _by(by), name, collector_now(db))
    typer.echo(f"account {name}: ended")


@account_app.command("unlock")
def unlock(name: Name, by: By = "operator", config: Config = None) -> None:
    """Whoever has to wait after wrong passwords for this account need not any more."""
    _, settings = settings_of(config)
    db = _there(settings)
    book.unlock(db, _by(by), name, collector_now(db))
    typer.echo(f"account {name}: nobody has to wait for it")


@account_app.command("sessions")
def sessions_(
    name: Annotated[str | None, typer.Argument(help="Only of this account.")] = None,
    end_them: Annotated[bool, typer.Option("--end", help="End all sessions of the account that is named.")] = False,
    by: By = "operator",
    config: Config = None,
    json: Json = False,
) -> None:
    """Who is signed in. Kept is when a session was begun and last used, and nothing of the machine."""
    _, settings = settings_of(config)
    if end_them:
        if name is None:
            fail("--end  say whose: caretaker account sessions NAME --end", USAGE)
        db = _there(settings)
        number = book.end_sessions(db, _by(by), name, collector_now(db))
        typer.echo(f"account {name}: {number} session{'' if number == 1 else 's'} ended")
        raise typer.Exit(0 if number else FINDING)
    db = recorded(settings)
    accounts = [book.one(db, name)] if name else [account for account in book.listed(db) if account.ended_ms is None]
    real_ms, terms = Clock().now_ms(), _terms(settings)
    found = [
        (account.name, session)
        for account in accounts
        for session in sessions.of_account(db, account.key, terms, real_ms)
    ]
    if json:
        rows = [
            {"account": who, "began_ms": one.made_ms, "used_ms": one.last_ms, "by_header": one.by_header}
            for who, one in found
        ]
        typer.echo(as_json({"sessions": rows}))
        return
    for who, one in found:
        began, used = duration((real_ms - one.made_ms) / 1000), duration((real_ms - one.last_ms) / 1000)
        typer.echo(f"{who}  begun {began} ago, last used {used} ago" + (", by header" if one.by_header else ""))
    if not found:
        say("nobody is signed in")


def _password(name: str, file: Path | None, generate: bool) -> tuple[str, str]:
    """The hash of a password that is asked for, read or made; and its text when it was made, else ""."""
    if generate and file:
        fail("--generate  goes without --password-file", USAGE)
    if generate:
        text = made = generated()
    else:
        text, made = _asked(name) if file is None and sys.stdin.isatty() else _read(file), ""
        if wrong := wrong_with(text, name):
            raise ConfigError([f"password  {wrong}"])
    return Passwords().hash(text), made


def _asked(name: str) -> str:
    """Typed twice, without an echo."""
    return str(typer.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True))


def _read(file: Path | None) -> str:
    """The first line of a file; of standard input for - and for no file."""
    if file is None or str(file) == "-":
        return sys.stdin.readline().rstrip("\r\n")
    try:
        with file.open(encoding="utf-8") as lines:
            if os.fstat(lines.fileno()).st_mode & 0o077:
                say(f"{file}: others can read this file; chmod 600 keeps it to you")
            return lines.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"--password-file {file}  cannot be read: {error}"]) from error


def _schools(settings: CollectorSettings, names: list[str] | None) -> tuple[str, ...]:
    if not names:
        return ()
    known = load_estate(Path(settings.estate)).schools
    for name in names:
        if name not in known:
            fail(f"--school {name}: no such school; there are: {', '.join(sorted(known))}", USAGE)
    return tuple(dict.fromkeys(names))


def _by(by: str) -> Who:
    return operator(people.who(by))


def _terms(settings: CollectorSettings) -> Terms:
    desk = settings.desk
    return Terms(parse_duration(desk.session_idle) * 1000, parse_duration(desk.session_at_most) * 1000)


def _open(settings: CollectorSettings) -> sqlite3.Connection:
    """The state file, made if it is not there: the first account may be made before the collector runs."""
    path = records_of(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    return state.open_state(path)


def _there(settings: CollectorSettings) -> sqlite3.Connection:
    return recorded(settings, read_only=False)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %Y")
