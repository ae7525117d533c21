"""`caretaker policy test`, `explain` and `backtest`, and `caretaker decisions`, as a person types them."""

import asyncio
import json

import msgspec
import pytest

from caretaker_collector import state
from caretaker_collector.backtest import Source, read_record
from caretaker_collector.cli import main
from caretaker_collector.points import points_of
from caretaker_collector.settings import load_collector, load_estate
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.clock import fast_clock
from caretaker_contract.messages import Cause, Gauges, PowerState
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.reasons import Reason, Why
from rules_world import london_ms
from worlds import Stream, make_world

POLICY = """mode = "live"
[limits]
room_percent = 100
school_percent = 100
[[rules]]
name = "after-hours"
select = { everything = true }
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""
START_MS = london_ms("2026-10-06 12:00")


def idle(stream, minutes):
    """The reports of an idle time of so many minutes, and of the input that ends it."""
    begin_ms = stream.at_ms
    for minute in range(5, minutes, 5):
        cause = Cause.NO_INPUT if minute == 5 else Cause.HEARTBEAT
        gauges = Gauges(idle_s=minute * 60, uptime_s=36_000)
        yield stream.report(PowerState.IDLE, at_ms=begin_ms + minute * 60_000, cause=cause, gauges=gauges)
    yield stream.report(PowerState.IN_USE, at_ms=begin_ms + minutes * 60_000, cause=Cause.INPUT)


def history(world, in_use_from="12:00"):
    """One machine, idle 16:00-17:10 and 17:20-18:00; the others say nothing. Its messages."""
    stream = Stream(world.devices[0], at_ms=START_MS)
    yield stream.report(PowerState.IN_USE, at_ms=START_MS, cause=Cause.BOOT)
    for begin, minutes in (("16:00", 70), ("17:20", 40)):
        stream.at_ms = london_ms(f"2026-10-06 {begin}")
        yield from idle(stream, minutes)


async def fill(path, world, messages):
    """Write what these messages leave in a SQLite store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    estate = load_estate(world.folder / "estate.toml")
    store = SqliteStore(path)
    points = [point for message in messages for point in points_of(message, world.devices[0], message.at_ms, estate)]
    assert await store.write(points) == []
    await store.close()


@pytest.fixture
async def world(tmp_path):
    """A school of four machines with a policy and a recorded afternoon."""
    made = make_world(tmp_path, 1883, policy=POLICY)
    await fill(made.data / "store.db", made, history(made))
    return made


def caretaker(monkeypatch, capsys, *words):
    """Run `caretaker` with these words; exit code, standard output and standard error."""
    monkeypatch.setattr("sys.argv", ["caretaker", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


async def test_backtest_of_a_recorded_afternoon(world, monkeypatch, capsys):
    """Two shut-downs, one session cut off, kWh by the watts of the class; the policy in force is the very same."""
    words = ("policy", "backtest", world.folder / "policy.toml", "--config", world.config, "--since", "1d")
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words, "--json")
    assert code == 0
    result = json.loads(out)
    # 38 and 8 minutes at 80 W idle less 2.6 W off; two starts of 2 min at 90 W.
    figures = result["tried"]["figures"]
    assert (figures["switched"], figures["cut_off"]) == (2, 1)
    assert figures["high_kwh"] * 1000 == pytest.approx(77.4 * 46 / 60)
    assert figures["mid_kwh"] * 1000 == pytest.approx(77.4 * 46 / 60 - 6)
    assert result["in_force"]["figures"] == figures
    assert result["recorded_idle_h"] == pytest.approx((65 + 35) / 60)
    assert [(row["rule"], row["room"]) for row in result["tried"]["rows"]] == [("after-hours", "ash/ict1")]
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words)
    assert "sessions cut off" in out
    assert "after-hours       ash/ict1" in out
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words, "--show", "after-hours")
    assert out.strip() == (
        "Tue 06 Oct 17:52:00  off   ash/pc-000               ict1           used again  8.0 min later"
    )


async def run(command, *words):
    """In a thread: the command may start an event loop of its own."""
    return await asyncio.to_thread(command, *words)


async def test_a_past_beside_the_settings_comes_before_the_store(world, monkeypatch, capsys, tmp_path):
    """history/store.db and the collector's own store are one record; `--since` counts back from the newest report."""
    past = Stream(world.devices[0], epoch="0000beef", at_ms=london_ms("2026-10-05 16:00"))
    await fill(tmp_path / "history" / "store.db", world, [past.report(at_ms=past.at_ms), *idle(past, 90)])
    words = ("policy", "backtest", world.folder / "policy.toml", "--config", world.config, "--json")
    counts = []
    for since in ("12h", "28d"):
        _, out, _ = await run(caretaker, monkeypatch, capsys, *words, "--since", since)
        counts.append(json.loads(out)["tried"]["figures"]["switched"])
    assert counts == [2, 3]


async def test_a_store_that_is_read_by_its_port_gives_the_same_recordings(world):
    """InfluxDB has no rows to read directly; what its points give is what the SQLite rows give."""
    settings = load_collector(world.config)
    estate = load_estate(world.folder / "estate.toml")
    found = []
    store = SqliteStore(world.data / "store.db")
    until_ms = london_ms("2026-10-06 18:00") + 1

    def read(path, port):
        return read_record([Source(path, port)], settings, estate, ["ash"], 86_400_000, until_ms, ignore)

    for source in ((world.data / "store.db", None), (None, store)):
        record = await run(read, *source)
        found.append([msgspec.structs.astuple(each) for each in record.recordings["ash"][world.devices[0]].idle_times])
    await store.close()
    assert found[0] == found[1]
    assert len(found[0]) == 2


def ignore(ratio, what):
    """Nobody looks at how far it has come."""


async def test_backtest_says_what_is_missing(world, monkeypatch, capsys, tmp_path):
    """No policy, no such rule, no such length of time, nothing recorded: one clear line each."""
    code, _, err = await run(caretaker, monkeypatch, capsys, "policy", "backtest", "no.toml", "--config", world.config)
    assert (code, "no.toml   no such file" in err) == (2, True)
    words = ("policy", "backtest", world.folder / "policy.toml", "--config", world.config)
    code, _, err = await run(caretaker, monkeypatch, capsys, *words, "--show", "lunch")
    assert (code, "after-hours" in err) == (2, True)
    code, _, err = await run(caretaker, monkeypatch, capsys, *words, "--since", "soon")
    assert (code, "28d" in err) == (2, True)
    (world.data / "store.db").unlink()
    code, _, err = await run(caretaker, monkeypatch, capsys, *words)
    assert (code, "nothing was recorded yet" in err) == (3, True)


CASES = """policy = "policy.toml"
[[cases]]
name = "after hours"
day = "15:00 boot; 15:05 idle"
expect = [{ at = "17:00", verdict = "VERDICT", because = ["WHY"] }]
"""


@pytest.mark.parametrize(
    ("verdict", "why", "code"),
    [("shut_down", "idle_long_enough", 0), ("left_on", "idle_long_enough", 1), ("shut_down", "held", 1)],
)
def test_policy_test_ends_with_0_or_1(tmp_path, monkeypatch, capsys, verdict, why, code):
    """What was decided and why is printed where it is not as expected, and the exit code says so."""
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "cases.toml").write_text(CASES.replace("VERDICT", verdict).replace("WHY", why))
    found, out, err = caretaker(monkeypatch, capsys, "policy", "test", tmp_path / "cases.toml")
    assert found == code
    assert ("1 expectation: 1 failed" if code else "1 expectation: all as expected") in err
    assert ("FAIL     17:00  shut down" in out, "idle 115 min, limit 30 min" in out) == (code == 1, code == 1)


def test_policy_test_names_the_line_of_a_mistake(tmp_path, monkeypatch, capsys):
    """An unknown key, a day that cannot be and a policy that is not there: file, line and remedy, exit code 2."""
    (tmp_path / "policy.toml").write_text(POLICY)
    path = tmp_path / "cases.toml"
    for wrong, right, said in (
        ("policy.toml", "polcy.toml", "no such file"),
        ("day =", "dya =", 'did you mean "day"'),
        ("15:05 idle", "15:05 sit", "cases[0].day"),
        ("VERDICT", "off", "verdict"),
    ):
        path.write_text(CASES.replace(wrong, right).replace("VERDICT", "shut_down").replace("WHY", "held"))
        code, _, err = caretaker(monkeypatch, capsys, "policy", "test", path)
        assert code == 2
        assert said in err, err
        assert f"{path}:" in err


def test_check_sends_a_file_of_cases_where_it_belongs(tmp_path, monkeypatch, capsys):
    """It is no policy, so `caretaker check` names the command that reads it."""
    (tmp_path / "policy.test.toml").write_text(CASES)
    code, _, err = caretaker(monkeypatch, capsys, "check", tmp_path / "policy.test.toml")
    assert (code, "caretaker policy test" in err) == (0, True)


async def test_explain_by_file_and_by_school(world, monkeypatch, capsys):
    """The same answer whether the policy or the school that runs it is named."""
    words = ("ash/pc-001", "--at", "2026-10-06 17:00", "--config", world.config, "--json")
    answers = [
        json.loads((await run(caretaker, monkeypatch, capsys, "policy", "explain", name, *words))[1])
        for name in (world.folder / "policy.toml", "ash")
    ]
    assert [rule["decides"] for rule in answers[0]["rules"]] == [True]
    assert {**answers[0], "policy": ""} == {**answers[1], "policy": ""}
    code, out, _ = await run(caretaker, monkeypatch, capsys, "policy", "explain", "ash", *words[:-1])
    assert (code, "after-hours: shut_down when idle for 30 min" in out) == (0, True)
    code, _, err = await run(caretaker, monkeypatch, capsys, "policy", "explain", "elm", *words)
    assert (code, "there are: ash" in err) == (2, True)


async def test_explain_tells_of_a_wake_that_was_not_answered(world, monkeypatch, capsys):
    """It is looked up in what the collector recorded."""
    wake = '[[wake]]\nname = "early"\nselect = { everything = true }\nat = "08:30"\n'
    (world.folder / "policy.toml").write_text((world.folder / "policy.toml").read_text() + wake)
    register = (world.folder / "ash.csv").read_text()
    (world.folder / "ash.csv").write_text(
        register.replace("pc-001,ict1,desktop,", "pc-001,ict1,desktop,02:00:00:00:00:01")
    )
    words = ("policy", "explain", "ash", "ash/pc-001", "--at", "2026-10-06 17:00", "--config", world.config)
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words)
    assert (code, "could not be woken" in out) == (0, False)
    at_ms = london_ms("2026-10-06 08:50")
    db = state.open_state(world.data / "state.db")
    db.execute(
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, attempts, result, result_ms, "
        "why) VALUES ('ash', 'pc-001', 'early.1', 'early', 'ict1', ?, ?, 3, 'cannot', ?, 'not_back')",
        (at_ms, at_ms, at_ms),
    )
    db.close()
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words)
    assert (code, "it did not answer its last wake, Tue 06 Oct 08:50" in out) == (0, True)
    code, out, _ = await run(caretaker, monkeypatch, capsys, *(w if w != "ash/pc-001" else "ash/pc-002" for w in words))
    assert (code, "wake rule early needs its MAC address, which no asset register has" in out) == (0, True)


async def test_decisions_of_a_room_newest_first_with_counts(world, monkeypatch, capsys):
    """Only the room's, only since then, and every reason counted."""
    db = state.open_state(world.data / "state.db")
    for minute, why in enumerate((Why.IN_USE, Why.IN_USE, Why.BOOKED)):
        at_ms = START_MS + minute * 3_600_000
        decision = Decision(
            world.devices[0], at_ms, Verdict.LEFT_ON, "after-hours", 5, "abcd", (Reason(why, str(minute)),)
        )
        db.execute(
            "INSERT INTO decisions (school, device, at_ms, decision) VALUES (?, ?, ?, ?)",
            ("ash", "pc-000" if minute else "pc-999", at_ms, msgspec.json.encode(decision)),
        )
    db.close()
    for name, value in fast_clock(START_MS + 7_200_000, 1).to_environment().items():
        monkeypatch.setenv(name, value)
    words = ("decisions", "ash/ict1", "--config", world.config, "--since")
    code, out, _ = await run(caretaker, monkeypatch, capsys, *words, "3h", "--json")
    answer = json.loads(out)
    assert code == 0
    assert [item["reasons"][0]["why"] for item in answer["decisions"]] == ["booked", "in_use"]
    assert answer["counts"] == {"booked": 1, "in_use": 1}
    _, out, _ = await run(caretaker, monkeypatch, capsys, *words, "30min")
    assert "· 1 decisions" in out
    assert "14:00:00  pc-000" in out
