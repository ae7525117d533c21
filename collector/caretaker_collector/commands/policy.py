"""Commands to try a policy before it goes live, and to look back: policy test, explain, backtest; decisions."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from msgspec import structs

from caretaker_collector import decided, people, records, state, wake_book, why
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
    say,
    settings_of,
    time_of,
)
from caretaker_collector.files import case_file
from caretaker_collector.settings import CollectorSettings, load_estate, load_estate_and_policies, load_policy
from caretaker_contract.topics import Address
from caretaker_contract.topics import address as read_address
from caretaker_rules.durations import parse_duration
from caretaker_rules.model import Estate, Hold
from caretaker_rules.policy import Policy
from caretaker_rules.timetable import Timetable

policy_app = typer.Typer(help="Try a policy before it goes live.", no_args_is_help=True)
DAY_MS = 86_400_000


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(policy_app, name="policy")
    app.command()(decisions)


@policy_app.command("test")
def test(
    files: Annotated[list[Path], typer.Argument(help="Files of cases, such as school.test.toml.")], json: Json = False
) -> None:
    """Run the cases in FILES: what is decided, and whether that is what they expect. Exit code 1 when one fails."""
    found = {path: case_file.run_file(path) for path in files}
    failed = sum(not answer.passed for answers in found.values() for answer in answers)
    number = sum(map(len, found.values()))
    if json:
        typer.echo(as_json({str(path): answers for path, answers in found.items()}))
    else:
        for path, answers in found.items():
            typer.echo(f"{path}\n{case_file.render(answers)}")
    say(f"{number} expectation{'' if number == 1 else 's'}: {f'{failed} failed' if failed else 'all as expected'}")
    raise typer.Exit(FINDING if failed else OK)


@policy_app.command("explain")
def explain(
    policy: Annotated[str, typer.Argument(help="A policy file, or a school: then the policy that it runs.")],
    device: Annotated[str, typer.Argument(help="school/device, such as ash/ict1-07.")],
    at: Annotated[
        str | None, typer.Option(help='Local time: "17:25" (the next one) or "2026-10-06 17:25"; else now.')
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Which rule decides about a machine at a time, why each other one does not, and what limits there are."""
    from caretaker_collector.explain_view import render
    from caretaker_rules.explain import explain as ask

    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    address = read_address(device)
    found = estate.devices.get(address)
    if found is None:
        fail(f"{device}: not in the asset register of {address.school}", USAGE)
    school = estate.schools[address.school]
    now_ms = time_of(settings)
    at_ms = _moment(at, now_ms, ZoneInfo(school.time_zone)) if at else now_ms
    tried = _policy_of(policy, Path(settings.estate), estate)
    answer = ask(
        found,
        school,
        estate.classes,
        tried,
        at_ms,
        [other for other in estate.devices.values() if other.school == school.name],
        _holds_at(settings, at_ms),
        _timetable(settings, estate, school.name, at_ms),
        _woken_in_vain_ms(settings, found.address, at_ms - tried.not_wakeable_for_s * 1000),
    )
    typer.echo(as_json(answer) if json else render(answer, school.time_zone))


@policy_app.command("backtest")
def backtest(
    file: Annotated[Path, typer.Argument(help="The policy to try.")],
    since: Annotated[str, typer.Option(help="How much of the record, back from its newest report: 28d.")] = "28d",
    show: Annotated[str | None, typer.Option(help="List the sessions that this rule would have cut off.")] = None,
    school: Annotated[list[str] | None, typer.Option(help="Only this school; may be given again.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What a policy would have done on what was recorded, beside the policy in force. Nothing is sent or changed."""
    from caretaker_collector import backtest as backtest_
    from caretaker_collector.backtest_view import render, sessions

    began_s = perf_counter()
    path, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    policy = load_policy(file)
    if show is not None and show not in {rule.name for rule in policy.rules}:
        fail(f"--show {show!r}: {file} has {', '.join(rule.name for rule in policy.rules)}", USAGE)
    for name in school or ():
        people.place(estate, name)
    with _progress() as tell:
        record = backtest_.read_record(
            backtest_.sources(settings, path.parent),
            settings,
            estate,
            school or sorted(estate.schools),
            length_ms(since),
            time_of(settings),
            lambda ratio, what: tell(ratio / 2, what),
        )
        result = backtest_.run(
            record,
            estate,
            policy,
            load_estate_and_policies(Path(settings.estate))[1],
            backtest_.timetables(record, estate, Path(settings.estate).parent),
            settings.tick_s,
            lambda ratio, what: tell(0.5 + ratio / 2, what),
        )
    if json:
        listed = [item for item in result.tried.switched if item.rule == show and item.cut_off]
        force = result.in_force and structs.replace(result.in_force, switched=[])
        tried = structs.replace(result.tried, switched=listed)
        typer.echo(as_json(structs.replace(result, tried=tried, in_force=force)))
    elif show is not None:
        zones = {each.name: each.time_zone for each in estate.schools.values()}
        typer.echo(sessions(result.tried.switched, show, zones))
    else:
        typer.echo(render(result, perf_counter() - began_s))


def decisions(
    room: Annotated[str, typer.Argument(help="A room or a school: ash/ict1, or ash.")],
    since: Annotated[str, typer.Option(help="How far back: 2h, 30min, 3d.")] = "2h",
    limit: Annotated[int, typer.Option(help="How many to show; all are counted.", min=1, max=100_000)] = 30,
    config: Config = None,
    json: Json = False,
) -> None:
    """What was decided in a room, newest first, and how often for which reason."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    school, name = people.place(estate, room)
    db = recorded(settings)
    now_ms = collector_now(db)
    answer = decided.ask(db, estate, school, name, now_ms - length_ms(since), now_ms)
    typer.echo(as_json(answer) if json else decided.render(answer, limit))


# -- what the commands share -------------------------------------------------------------------------------------------


def length_ms(text: str, option: str = "--since") -> int:
    """Milliseconds of "28d", "2h" or "1 h 30 min"; says what is wrong and ends when it is none."""
    spaced = re.sub(r"(?<=\d)(?=[a-z])", " ", text)
    try:
        found_ms = parse_duration(re.sub(r"(?<=[a-z])(?=\d)", " ", spaced)) * 1000
    except ValueError:
        found_ms = 0
    if found_ms <= 0:
        fail(f'{option} {text!r}: give a length of time such as "28d", "2h" or "30min"', USAGE)
    return found_ms


def _moment(text: str, now_ms: int, zone: ZoneInfo) -> int:
    """The next such time of day, or the given date and time, on the whole minute."""
    try:
        return why.read_time(text, now_ms + DAY_MS, zone) // 60_000 * 60_000
    except ValueError:
        fail(f'--at {text!r}: give a local time such as "17:25" or "2026-10-06 17:25"', USAGE)


def _policy_of(text: str, estate_file: Path, estate: Estate) -> Policy:
    if text not in estate.schools:
        if not Path(text).is_file():
            fail(
                f"{text}: no such policy file, and no such school; there are: {', '.join(sorted(estate.schools))}",
                USAGE,
            )
        return load_policy(Path(text))
    _, policies = load_estate_and_policies(estate_file)
    if text not in policies:
        fail(f"{text}: this school runs no policy; give a policy file", USAGE)
    return policies[text]


def _holds_at(settings: CollectorSettings, at_ms: int) -> list[Hold]:
    """What people had asked for at that time and not ended since."""
    path = Path(settings.data) / "state.db"
    if not path.exists():
        return []
    db = state.open_state(path, read_only=True)
    try:
        return list(records.in_force(db, at_ms, at_ms + DAY_MS))
    finally:
        db.close()


def _woken_in_vain_ms(settings: CollectorSettings, address: Address, since_ms: int) -> int:
    """When the machine did not answer a wake, and none since; 0: no such wake is on record."""
    path = Path(settings.data) / "state.db"
    if not path.exists():
        return 0
    db = state.open_state(path, read_only=True)
    try:
        return wake_book.in_vain(db, address.school, since_ms).get(address, 0)
    finally:
        db.close()


def _timetable(settings: CollectorSettings, estate: Estate, school: str, at_ms: int) -> Timetable:
    from caretaker_collector import backtest as backtest_

    record = backtest_.Record(at_ms, at_ms, {school: {}}, [])
    return backtest_.timetables(record, estate, Path(settings.estate).parent)[school]


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error, gone when the work is done; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda ratio, what: bar.update(task, completed=ratio, description=what)
