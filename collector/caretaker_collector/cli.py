"""`caretaker`: the command line. Results go to standard output, talk to standard error.

Exit codes: 0 all is well, 1 there is a finding, 2 the command or a settings file is wrong, 3 it cannot be told.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import logs, state, why
from caretaker_collector.commands import ROOMS, policy
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    FINDING,
    OK,
    USAGE,
    Config,
    Json,
    NoInput,
    as_json,
    fail,
    recorded,
    say,
    settings_of,
)
from caretaker_collector.settings import check_files, load_estate, load_estate_and_policies
from caretaker_collector.version import VERSION
from caretaker_contract import clock as clock_
from caretaker_contract import signing
from caretaker_contract.errors import CaretakerError, ConfigError, ContractError, Unavailable
from caretaker_contract.topics import address as read_address

app = typer.Typer(
    name="caretaker",
    help="Device health and energy saving for the computers of many schools.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
key_app = typer.Typer(help="The key that commands are signed with.", no_args_is_help=True)
app.add_typer(key_app, name="key")
for room in ROOMS:
    room.register(app)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        typer.echo(f"caretaker {VERSION}")
        raise typer.Exit(OK)


@app.command()
def collect(config: Config = None, no_input: NoInput = False) -> None:
    """Run the collector until it is told to end (SIGTERM or Ctrl-C)."""
    from caretaker_collector.app import Collector

    logs.set_up()
    _, settings = settings_of(config)
    estate, policies = load_estate_and_policies(Path(settings.estate))
    collector = Collector(settings, estate, policies, clock_.from_environment())
    run_until_told(collector.run())


def run_until_told(main: Any) -> None:
    """Run a coroutine on uvloop; SIGINT and SIGTERM end it in good order."""
    import uvloop

    async def guarded() -> None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            pass  # told to end

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option("--for", help="End after so many seconds.", min=5)] = None,
    store: Annotated[str, typer.Option(help="sqlite, or influx (settings from CARETAKER_INFLUX_*).")] = "sqlite",
    speed: Annotated[float, typer.Option(help="How many times as fast as the world.", min=1, max=600)] = 60.0,
    out: Annotated[Path, typer.Option(help="Folder for all that the demo writes.")] = Path("demo-out"),
    history: Annotated[
        str | None, typer.Option(help="First fill in a past of so long, such as 35d (40 s; kept for the next demo).")
    ] = None,
    json: Json = False,
    no_input: NoInput = False,
) -> None:
    """Two simulated schools, a broker, a collector and this machine's own agent, on a fast clock."""
    from caretaker_collector import demo as demo_

    past_ms = policy.length_ms(history, "--history") if history else 0
    demo_.run(out=out, seconds=seconds, store=store, speed=speed, as_json=json, past_ms=past_ms)


@app.command()
def simulate(
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Compare the habits with published figures.")
    ] = False,
    days: Annotated[int, typer.Option(help="Days to play for --calibration.", min=7, max=365)] = 28,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 1,
    json: Json = False,
) -> None:
    """What the simulated schools do. A fleet over a real broker: python -m caretaker_simulator run --help."""
    if not calibration:
        fail("say --calibration, or run a fleet with: python -m caretaker_simulator run --help", USAGE)
    from caretaker_simulator.calibration import calibration as compare
    from caretaker_simulator.calibration import table

    rows = compare(days=days, seed=seed)
    typer.echo(as_json(rows) if json else table(rows))
    raise typer.Exit(OK if all(row.fits for row in rows if row.compared) else FINDING)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="estate, collector, agent or policy TOML, or a register CSV.")],
    json: Json = False,
) -> None:
    """Read settings files and report every mistake at once; nothing is changed."""
    checked = check_files(files, clock_.from_environment().now_ms())
    if json:
        typer.echo(as_json({"faults": checked.faults, "notes": checked.notes}))
    else:
        for line in checked.faults:
            typer.echo(line)
        for note in checked.notes:
            say(note)
        number = len(checked.faults)
        say(f"{number} fault{'' if number == 1 else 's'}, nothing was changed" if number else "no faults")
    raise typer.Exit(FINDING if checked.faults else OK)


@app.command("why")
def why_(
    device: Annotated[str, typer.Argument(help="school/device, such as ash/ict1-07.")],
    at: Annotated[str | None, typer.Option(help='Local time: "16:41", "16:41:55" or "2026-10-06 16:41".')] = None,
    limit: Annotated[int, typer.Option(help="How many decisions to show.", min=1, max=1000)] = 5,
    config: Config = None,
    json: Json = False,
) -> None:
    """Why a machine was, or was not, switched: decisions, reasons, and what came of them. Newest first."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    address = read_address(device)
    if address.school not in estate.schools:
        fail(f"{device}: no school {address.school!r}; there are: {', '.join(sorted(estate.schools))}", USAGE)
    db = recorded(settings)
    newest = db.execute("SELECT max(at_ms) FROM checks").fetchone()[0] or clock_.from_environment().now_ms()
    try:
        at_ms = why.read_time(at, newest, ZoneInfo(estate.schools[address.school].time_zone)) if at else None
    except ValueError:
        fail(f'--at {at!r}: give a local time such as "16:41" or "2026-10-06 16:41"', USAGE)
    answer = why.ask(db, estate, address, at_ms, limit)
    typer.echo(as_json(answer) if json else why.render(answer))
    if address not in estate.devices and not answer.told:
        raise typer.Exit(CANNOT_TELL)


@app.command()
def quarantine(limit: Annotated[int, typer.Option(min=1)] = 20, config: Config = None, json: Json = False) -> None:
    """Messages that were put aside, newest first, each with the reason."""
    _, settings = settings_of(config)
    db = state.open_state(Path(settings.data) / "state.db", read_only=True)
    rows = db.execute(
        "SELECT pos, received_ms, topic, field, reason, substr(payload, 1, 200) FROM quarantine "
        "ORDER BY pos DESC LIMIT ?",
        (limit,),
    ).fetchall()
    total = state.counters(db).get("quarantined", 0)
    if json:
        names = ("position", "received_ms", "topic", "field", "reason", "payload_start")
        items = [dict(zip(names, (*row[:5], bytes(row[5]).decode("utf-8", "replace")), strict=True)) for row in rows]
        typer.echo(as_json({"total": total, "newest": items}))
    else:
        for pos, _, topic, field, reason, payload in rows:
            typer.echo(f"{pos}  {topic}  {field + ': ' if field else ''}{reason}  {bytes(payload)[:60]!r}")
        say(f"{total} put aside in all" if total else "nothing was put aside: every message so far kept the contract")


@key_app.command("new")
def key_new(file: Annotated[Path, typer.Argument(help="Where the private key goes; never overwritten.")]) -> None:
    """Make a signing key; prints the public half for the agents' `command_keys`."""
    key = signing.new_key()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)
    with os.fdopen(handle, "w") as out:
        out.write(bytes(key).hex() + "\n")
    typer.echo(signing.public_text(key))


@key_app.command("public")
def key_public(file: Path) -> None:
    """Print the public half of a signing key."""
    from caretaker_collector.app import read_key

    typer.echo(signing.public_text(read_key(file)))


def main() -> None:
    """Entry point: turns our errors into one clear text and an exit code."""
    try:
        app()
    except BaseExceptionGroup as group:
        ours = group.subgroup(CaretakerError)
        if ours is None:
            raise
        say("\n".join(str(error) for error in _leaves(ours)))
        sys.exit(USAGE)
    except (ConfigError, ContractError) as error:
        say(str(error))
        sys.exit(USAGE)
    except Unavailable as error:
        say(str(error))
        sys.exit(CANNOT_TELL)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
