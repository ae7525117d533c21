"""`caretaker savings`: figures from the store and the ledger, their working, and a plain word where there are none."""

import json
from datetime import date, timedelta

import msgspec
import pytest
from typer.testing import CliRunner

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.days.savings_report import observed, report
from caretaker_collector.points import transition_fields
from caretaker_collector.settings import load_estate
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.model import Transition
from caretaker_rules.reasons import Reason, Why
from rules_world import LONDON, london_ms
from worlds import make_world

OFF, IDLE, IN_USE = PowerState.OFF, PowerState.IDLE, PowerState.IN_USE
PC = Address("ash", "pc-000")
MONEY = """
[[tariffs]]
valid_from = 2025-10-01
pence_per_kwh = 25
source = "bill of 2025"
"""


def changes(device, day, off_at, cause):
    """Used from 09:00, left at 16:00, off at `off_at` (None: never), started again on the next morning."""
    after = date.fromisoformat(day) + timedelta(days=1)
    steps = [(f"{day} 16:00", IN_USE, IDLE, Cause.NO_INPUT)]
    steps += [(f"{day} {off_at}", IDLE, OFF, cause)] if off_at else []
    steps += [(f"{after} 08:00", OFF if off_at else IDLE, IN_USE, Cause.BOOT if off_at else Cause.INPUT)]
    for at, was, now, why in steps:
        fields = transition_fields(Transition(london_ms(at), was, now, why, False))
        yield Point("transition", london_ms(at) * 1_000_000, ("ash", "ict1", "desktop", device), fields)


def decision(at, verdict=Verdict.LEFT_ON, why=Why.OBSERVE_ONLY, value="observe", version="7c1e"):
    return Decision(PC, london_ms(at), verdict, "evening", 3, version, (Reason(why, value),), policy_file="school.toml")


@pytest.fixture
async def world(tmp_path):
    """Four Mondays of six machines in September, of which half go off after an hour; one shut-down on 12 October."""
    made = make_world(tmp_path, 1, devices=6)
    estate = made.folder / "estate.toml"
    estate.write_text(estate.read_text() + MONEY)
    made.data.mkdir()
    points = [
        point
        for day in ("2026-09-07", "2026-09-14", "2026-09-21", "2026-09-28")
        for number in range(6)
        for point in changes(f"pc-{number:03}", day, "17:00" if number < 3 else None, Cause.USER)
    ]
    points += changes("pc-000", "2026-10-12", "16:30", Cause.RULE)
    day_ns = london_ms("2026-10-12 00:00") * 1_000_000
    whole = {"in_use_s": 0, "idle_s": 0, "asleep_s": 0, "off_s": 0, "blind_s": 1800, "boots": 1, "energy_wh": 800.0}
    points.append(Point("device_day", day_ns, ("ash", "ict1", "desktop", "pc-000"), whole))
    store = SqliteStore(made.data / "store.db")
    assert await store.write(points) == []
    await store.close()
    db = state.open_state(made.data / "state.db")
    db.execute("INSERT INTO checks VALUES ('ash', ?)", (london_ms("2026-11-01 00:00"),))
    db.close()
    return made


def observe(world, *days):
    db = state.open_state(world.data / "state.db")
    ledger = [decision(f"{day} 16:31") for day in days]
    shut_down = decision("2026-10-12 16:30", Verdict.SHUT_DOWN, Why.IDLE_LONG_ENOUGH, "30 min")
    for one in (*ledger, shut_down):
        db.execute(
            "INSERT INTO decisions (school, device, at_ms, decision) VALUES ('ash', 'pc-000', ?, ?)",
            (one.at_ms, msgspec.json.encode(one)),
        )
    db.execute(
        "INSERT INTO commands (id, school, device, verb, rule, decided_ms, expires_ms, body, status) "
        "VALUES ('a', 'ash', 'pc-000', 'shut_down', 'evening', ?, 0, '', 'done')",
        (shut_down.at_ms,),
    )
    db.close()


def run(world, *more):
    period = ["--from", "2026-10-12", "--to", "2026-10-13", "--config", str(world.config)]
    return CliRunner().invoke(app, ["savings", "ash", *period, *more])


def test_the_table_and_its_working(world):
    """Half an hour sure and fifteen half sure make 8 h of 77.4 W; the line below says what stands behind it."""
    observe(world, "2026-09-01", "2026-09-30")
    shown = run(world)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "Ashfield (ash), 2026-10-12 to 2026-10-13"
    assert lines[2].split() == ["used", "0.8", "0.2", "n/a"]
    assert " ".join(lines[3].split()) == "avoided, rule-off 0.6 (0.0 to 1.2) 0.2 (0.0 to 0.3) n/a 1"
    assert lines[4].startswith("avoided, user-off")
    working = lines[-1]
    for part in (
        "baseline 2026-09-01 to 2026-09-30: 24 spells of being left on 4 days, 24 behind the thinnest curve",
        "evening (school.toml, version 7c1e)",
        "25 p/kWh from 2025-10-01 (bill of 2025)",
        "factor: none is valid",
        "desktop 80 W idle, 2.6 W off (no source is written down)",
        "0.5 machine-hours not seen",
    ):
        assert part in working


def test_json_carries_every_figure(world):
    """The same as one object, with the baseline given by hand."""
    observe(world)
    shown = run(world, "--baseline-from", "2026-09-01", "--baseline-to", "2026-09-30", "--json")
    answer = json.loads(shown.stdout)
    assert answer["savings"]["rule_off"]["kwh"]["likely"] == pytest.approx(8 * 0.0774)
    assert answer["savings"]["rule_off"]["pounds"]["likely"] == pytest.approx(8 * 0.0774 * 0.25)
    assert answer["savings"]["basis"]["policies"] == ["evening (school.toml, version 7c1e)"]


def test_without_an_observe_period_there_is_no_figure(world):
    """Nothing to compare with is said, not guessed: exit code 3."""
    observe(world)
    shown = run(world)
    assert shown.exit_code == 3
    assert "n/a: no observe period recorded" in shown.stdout
    assert json.loads(run(world, "--json").stdout)["savings"] is None
    assert shown.stdout.splitlines()[3].split() == ["avoided", "n/a"]
    nothing = run(world, "--baseline-from", "2026-08-01", "--baseline-to", "2026-08-20")
    assert (nothing.exit_code, "n/a: nothing was recorded from 2026-08-01" in nothing.stdout) == (3, True)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["elm", "--from", "2026-10-12", "--to", "2026-10-13"], "no school 'elm'; there are: ash", 2),
        (["ash", "--from", "12.10.", "--to", "2026-10-13"], "--from '12.10.': give a date such as", 2),
        (["ash", "--from", "2026-10-12", "--to", "2026-10-11"], "--to 2026-10-11 is before --from 2026-10-12", 2),
        (["ash", "--from", "2026-10-12", "--to", "2026-10-13", "--baseline-from", "2026-09-01"], "give both", 2),
        (["ash", "--from", "2026-12-01", "--to", "2026-12-02"], "nothing is recorded yet", 3),
    ],
)
def test_mistakes_are_named(world, words, said, code):
    """What is wrong and how to mend it."""
    shown = CliRunner().invoke(app, ["savings", *words, "--config", str(world.config)])
    assert (shown.exit_code, said in shown.stderr) == (code, True), shown.stderr


def test_the_observe_period_ends_before_the_first_command(world):
    """A policy that went live later is no baseline from then on; one that acted at once leaves none."""
    observe(world, "2026-09-01", "2026-10-20")
    db = state.open_state(world.data / "state.db", read_only=True)
    assert observed(db, "ash", LONDON) == (date(2026, 9, 1), date(2026, 10, 11))
    assert observed(db, "elm", LONDON) is None
    db.close()


async def test_nothing_is_credited_beyond_what_was_heard(world):
    """A machine that is off when the record ends has saved up to there and no further."""
    store, estate = SqliteStore(world.data / "store.db"), load_estate(world.folder / "estate.toml")
    period, baseline = (date(2026, 10, 12), date(2026, 10, 13)), (date(2026, 9, 1), date(2026, 9, 30))
    until_ms = london_ms("2026-10-12 18:30")
    await store.write([*changes("pc-001", "2026-10-12", "16:30", Cause.RULE)][:2])
    found = await report(store, estate, "ash", period, baseline, until_ms)
    await store.close()
    # pc-000 came back on the next morning, which the record has: 8 h; pc-001: half an hour sure, 1.5 h half sure.
    assert found.savings.rule_off.kwh.likely == pytest.approx((8 + 0.5 + 0.75) * 0.0774)


def test_days_that_were_not_rolled_up_are_not_zero(world):
    """Nothing used and nothing known are different things."""
    observe(world, "2026-09-01", "2026-09-30")
    period = ["--from", "2026-10-20", "--to", "2026-10-21", "--config", str(world.config)]
    shown = CliRunner().invoke(app, ["savings", "ash", *period])
    assert shown.stdout.splitlines()[2].split() == ["used", "n/a", "n/a", "n/a"]
