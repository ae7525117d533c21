"""What every command of `caretaker` shares: exit codes, how it talks, its settings and the collector's time."""

import os
import sqlite3
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from caretaker_collector import state
from caretaker_collector.settings import CollectorSettings, find_config, load_collector
from caretaker_contract import clock as clock_
from caretaker_contract.errors import CaretakerError

OK, FINDING, USAGE, CANNOT_TELL = 0, 1, 2, 3

Config = Annotated[
    str | None,
    typer.Option(help="collector.toml; else CARETAKER_CONFIG, ./collector.toml, ./demo-out/collector.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Never ask anything (no command does; kept for scripts).")]


def say(text: str) -> None:
    """Talk: to standard error."""
    typer.echo(text, err=True)


def fail(error: CaretakerError | str, code: int) -> NoReturn:
    """Say what is wrong and end."""
    say(str(error))
    raise typer.Exit(code)


def as_json(value: Any) -> str:
    """Any result as one line of JSON."""
    return msgspec.json.encode(value).decode()


def settings_of(config: str | None) -> tuple[Path, CollectorSettings]:
    """collector.toml: where it is, and what it says."""
    path = find_config(config, os.environ, Path.cwd())
    return path, load_collector(path)


def records_of(settings: CollectorSettings) -> Path:
    """The state file, there or not yet."""
    return Path(settings.data) / "state.db"


def recorded(settings: CollectorSettings, read_only: bool = True) -> sqlite3.Connection:
    """The state file of a collector that has run; where none has, the command ends and says so."""
    path = records_of(settings)
    if not path.exists():
        fail(f"{path}: nothing was recorded yet; run `caretaker collect` or `make demo` first", CANNOT_TELL)
    return state.open_state(path, read_only=read_only)


def time_of(settings: CollectorSettings) -> int:
    """The collector's time; where none has run yet, the clock's."""
    if not records_of(settings).exists():
        return clock_.from_environment().now_ms()
    db = state.open_state(records_of(settings), read_only=True)
    try:
        return collector_now(db)
    finally:
        db.close()


def collector_now(db: sqlite3.Connection) -> int:
    """The collector's time. With the demo's clock that is where its rules have come to: it may have ended since."""
    clock, kept = clock_.from_environment(), state.clock_of(db)
    if clock != clock_.Clock() or kept == clock_.Clock():
        return clock.now_ms()
    newest = db.execute("SELECT max(at_ms) FROM checks").fetchone()[0]
    return int(newest) if newest else kept.now_ms()  # where no rule runs, nothing says how far they have come
