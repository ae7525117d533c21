"""`caretaker savings`: what was used and avoided in a period, as a range, with its working."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from caretaker_collector import state
from caretaker_collector.commands.base import (
    CANNOT_TELL,
    USAGE,
    Config,
    Json,
    as_json,
    collector_now,
    fail,
    settings_of,
)
from caretaker_collector.days import savings_report
from caretaker_collector.days.savings_report import SavingsReport
from caretaker_collector.settings import load_estate
from caretaker_collector.stores import open_store
from caretaker_rules.calendar import midnight_ms


def savings(
    school: Annotated[str, typer.Argument(help="The school, such as ash.")],
    first: Annotated[str, typer.Option("--from", help="The first day: 2026-10-01.")],
    last: Annotated[str, typer.Option("--to", help="The last day: 2026-10-31.")],
    baseline_from: Annotated[
        str | None, typer.Option(help="The first day of the baseline; else the days on which rules only observed.")
    ] = None,
    baseline_to: Annotated[str | None, typer.Option(help="The last day of the baseline.")] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """What a school used and avoided: kWh, cost and carbon as low - likely - high, by rule-off and user-off."""
    _, settings = settings_of(config)
    estate = load_estate(Path(settings.estate))
    if school not in estate.schools:
        fail(f"no school {school!r}; there are: {', '.join(sorted(estate.schools))}", USAGE)
    period = _days("--from", first, "--to", last)
    if (baseline_from is None) != (baseline_to is None):
        fail("give both --baseline-from and --baseline-to, or neither", USAGE)
    baseline = None
    if baseline_from is not None and baseline_to is not None:
        baseline = _days("--baseline-from", baseline_from, "--baseline-to", baseline_to)
    folder = Path(settings.data)
    if not (folder / "state.db").exists():
        fail(f"{folder}: nothing was recorded yet; run `caretaker collect` or `make demo` first", CANNOT_TELL)
    db = state.open_state(folder / "state.db", read_only=True)
    zone = ZoneInfo(estate.schools[school].time_zone)
    checked = db.execute("SELECT at_ms FROM checks WHERE school = ?", (school,)).fetchone()
    known_until_ms = int(checked[0]) if checked else collector_now(db)
    if midnight_ms(period[0], zone) >= known_until_ms:
        fail(f"--from {first}: nothing is recorded yet of that day", CANNOT_TELL)
    if baseline is None:
        baseline = savings_report.observed(db, school, zone)
    acted = savings_report.policies(db, school, midnight_ms(period[0], zone), midnight_ms(_after(period[1]), zone))

    async def answer() -> SavingsReport:
        store = open_store(settings.store, folder)
        try:
            return await savings_report.report(store, estate, school, period, baseline, known_until_ms, acted)
        finally:
            await store.close()

    found = asyncio.run(answer())
    typer.echo(as_json(found) if json else savings_report.render(found))
    if found.savings is None:
        raise typer.Exit(CANNOT_TELL)


def _days(first_name: str, first: str, last_name: str, last: str) -> tuple[date, date]:
    days = []
    for name, text in ((first_name, first), (last_name, last)):
        try:
            days.append(date.fromisoformat(text))
        except ValueError:
            fail(f"{name} {text!r}: give a date such as 2026-10-01", USAGE)
    if days[1] < days[0]:
        fail(f"{last_name} {last} is before {first_name} {first}", USAGE)
    return days[0], days[1]


def _after(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(savings)
