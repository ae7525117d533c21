"""The days of the demo that boards are asked about: whatever Caretaker can store is in them, and it is in its range."""

from datetime import date

import pytest

from boards_world import BoardsWorld
from caretaker_collector import state
from caretaker_collector.days import savings_report
from caretaker_collector.stores.influx import InfluxStore
from caretaker_contract.metrics import MEASUREMENTS

pytestmark = pytest.mark.slow
ABSENT = {"collector.certificate_days"}  # there is no TLS


def test_every_field_of_every_measurement_is_there(boards_world: BoardsWorld) -> None:
    missing = set()
    for measurement, metrics in MEASUREMENTS.items():
        fields = ", ".join(f'count("{metric.name}") AS "{metric.name}"' for metric in metrics)
        found = boards_world.ask(f'SELECT {fields} FROM "{measurement}"')
        counts = found[0] if found else {}
        missing |= {f"{measurement}.{metric.name}" for metric in metrics if not counts.get(metric.name)}
    assert missing == ABSENT


def test_rules_observed_first_and_acted_then(boards_world: BoardsWorld) -> None:
    before, after = (
        boards_world.ask(
            f'SELECT sum("rule_offs") AS offs FROM "energy_day" WHERE "school" = \'ash\' AND "room" = \'all\' '
            f"AND time {when} {boards_world.acting_ms}ms"
        )[0]["offs"]
        for when in ("<", ">=")
    )
    assert (before, after > 50) == (0, True)


def test_states_of_a_school_and_of_its_rooms_add_up(boards_world: BoardsWorld) -> None:
    states = " + ".join(f'last("{name}")' for name in ("in_use", "idle", "asleep", "off", "lost", "unknown"))
    [school] = boards_world.ask(
        f'SELECT {states} AS all_states, last("devices") AS devices FROM "school_now" WHERE "school" = \'ash\''
    )
    rooms = boards_world.ask(
        'SELECT last("devices") AS devices FROM "room_now" WHERE "school" = \'ash\' GROUP BY "room"'
    )
    assert school["all_states"] == school["devices"] == sum(row["devices"] for row in rooms) > 50


def test_what_is_counted_of_caretaker_itself_is_in_the_store(boards_world: BoardsWorld) -> None:
    """Its last point was made after everything of that moment was stored."""
    [own] = boards_world.ask('SELECT last("received") AS received, last("recorder_lag") AS lag FROM "collector"')
    assert (own["received"] > 50_000, own["lag"]) == (True, 0)
    steps = boards_world.ask('SELECT count("id") AS steps FROM "command" WHERE "step" = \'done\'')[0]["steps"]
    done = boards_world.ask('SELECT last("commands_done") AS done FROM "collector"')[0]["done"]
    assert 0 < done <= steps


async def test_a_day_in_the_store_is_what_the_savings_command_reckons(boards_world: BoardsWorld) -> None:
    """Asked the other way round: InfluxDB gives the report, and the point that a board reads says the same."""
    influx, school = boards_world.influx, boards_world.estate.schools["ash"]
    day = date(2026, 9, 18)
    store = InfluxStore(influx.url, influx.token, influx.org, influx.bucket)
    db = state.open_state(boards_world.state, read_only=True)
    try:
        baseline = savings_report.observed(db, "ash", savings_report.ZoneInfo(school.time_zone))
        told = await savings_report.report(store, boards_world.estate, "ash", (day, day), baseline, boards_world.end_ms)
    finally:
        db.close()
        await store.close()
    [row] = boards_world.ask(
        'SELECT "used_kwh", "rule_kwh", "user_kwh_low", "both_kwh_high" FROM "energy_day" '
        "WHERE \"school\" = 'ash' AND \"room\" = 'all' AND time = '2026-09-17T23:00:00Z'"
    )
    assert told.savings is not None
    assert row["used_kwh"] == pytest.approx(told.used.kwh)
    assert row["rule_kwh"] == pytest.approx(told.savings.rule_off.kwh.likely)
    assert row["user_kwh_low"] == pytest.approx(told.savings.user_off.kwh.low)
    assert row["both_kwh_high"] == pytest.approx(told.savings.both.kwh.high)


def test_days_of_rooms_and_schools_add_up_to_those_of_machines(boards_world: BoardsWorld) -> None:
    sums = ", ".join(
        f'sum("{metric.name}") AS "{metric.name}"' for metric in MEASUREMENTS["device_day"] if metric.type == "int"
    )
    machines, rooms, schools = (
        boards_world.ask(f'SELECT {sums} FROM "{name}" WHERE "school" = \'ash\'')
        for name in ("device_day", "room_day", "school_day")
    )
    assert machines == rooms == schools != []


def test_hours_of_rooms_add_up_to_the_use_of_the_machines_that_people_sit_at(boards_world: BoardsWorld) -> None:
    """And every room has one series of them, whatever happens in it."""
    people = {
        device.name
        for device in boards_world.estate.devices.values()
        if device.school == "ash" and not boards_world.estate.classes[device.device_class].always_on
    }
    machines = boards_world.ask(
        'SELECT sum("in_use_s") AS in_use_s FROM "device_day" WHERE "school" = \'ash\' GROUP BY "device"'
    )
    rooms = boards_world.ask(
        'SELECT sum("in_use_s") AS in_use_s FROM "room_hour" WHERE "school" = \'ash\' '
        'GROUP BY "room", "class", "device"'
    )
    assert sum(row["in_use_s"] for row in rooms) == sum(row["in_use_s"] for row in machines if row["device"] in people)
    assert {(row["class"], row["device"]) for row in rooms} == {("room", "all")}
    assert len(rooms) == len({row["room"] for row in rooms}) > 10
