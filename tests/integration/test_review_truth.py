"""The figures of a pack against the truth of the simulator, and against what every other way to ask says."""

import asyncio
import json
from collections.abc import Mapping
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from board_queries import filled
from caretaker_collector.cli import app
from caretaker_collector.desk.school_page import SchoolPages
from caretaker_collector.desk.sources import Sources
from caretaker_collector.past import story
from caretaker_collector.review.build import tables_of
from caretaker_collector.settings import load_collector
from caretaker_collector.sla.view import percent
from caretaker_collector.stores import StoreSettings, open_store
from caretaker_dashboards import queries
from caretaker_dashboards.desk.school_views import EnergyMonth, MonthSoFar
from caretaker_dashboards.review.pack import Pack, Table, Unit
from caretaker_dashboards.review.words import text
from caretaker_rules import clocks
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.model import DeviceClass
from caretaker_rules.service_hours import ServiceClock
from review_world import END_MS, MONTH, START_MS, TICK_S, ReviewWorld
from rules_world import LONDON
from servers import Influx

pytestmark = pytest.mark.slow
FIRST, LAST = "2026-09-01", "2026-09-30"
STATES = ("in_use", "idle", "asleep", "off")


@pytest.fixture(scope="module")
def packs(review_world: ReviewWorld) -> dict[str, Pack]:
    """September of each school."""
    return {name: review_world.pack(name) for name in ("ash", "oak")}


@pytest.fixture(params=["ash", "oak"])
def pack(request: pytest.FixtureRequest, packs: dict[str, Pack]) -> Pack:
    """That of one of them."""
    return packs[request.param]


def table(pack: Pack, name: str) -> Table:
    """A table of the pack."""
    return next(each for each in tables_of(pack) if each.name == name)


def rows(pack: Pack, name: str) -> list[dict[str, Any]]:
    """Its rows by column."""
    found = table(pack, name)
    return [dict(zip([column.key for column in found.columns], row, strict=True)) for row in found.rows]


def value(pack: Pack, key: str) -> float:
    """A figure."""
    found = pack.facts[key].value
    assert isinstance(found, int | float), (key, pack.facts[key].why_not)
    return found


def kwh(seconds: Mapping[str, float], known: DeviceClass) -> float:
    """What a machine of this class really used."""
    return sum(seconds[state] * getattr(known, f"watts_{state}") for state in STATES) / 3_600_000


def command(world: ReviewWorld, *words: str) -> dict[str, Any]:
    """What a command says as JSON."""
    done = CliRunner().invoke(app, [*words, "--config", str(world.config), "--json"])
    assert done.exit_code in (0, 1, 3), done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# -- against what machines really did ----------------------------------------------------------------------------------


def test_energy_used_is_that_of_the_truth_within_what_nobody_saw_and_one_percent(
    review_world: ReviewWorld, pack: Pack
) -> None:
    """Each room too. What nobody saw is in no figure: at most its hours at the watts of a machine in use."""
    estate, truth, by_room = review_world.estate, review_world.truth, dict[str, float]()
    titles = {room.name: room.title for room in estate.schools[pack.place].rooms}
    for device in estate.devices.values():
        if device.school != pack.place or str(device.address) not in truth:
            continue
        days, known = truth[str(device.address)], estate.classes[device.device_class]
        used = sum(kwh(spent, known) for day, spent in days.items() if day[:7] == MONTH)
        by_room[titles[device.room]] = by_room.get(titles[device.room], 0.0) + used
    whole = sum(by_room.values())
    blind_kwh = value(pack, "energy.blind") * 0.09
    assert whole - blind_kwh - whole * 0.01 <= value(pack, "energy.used") <= whole * 1.01
    told = {row["place"]: row["used"] for row in rows(pack, "Energy by room")}
    assert told.keys() >= by_room.keys()
    for room, real in by_room.items():
        assert told[room] == pytest.approx(real, rel=0.03, abs=blind_kwh + 1), room


def test_hours_on_with_nobody_there_are_those_of_the_truth_within_two_percent(
    review_world: ReviewWorld, pack: Pack
) -> None:
    estate, truth, idle_s = review_world.estate, review_world.truth, 0.0
    for device in estate.devices.values():
        if device.school == pack.place and not estate.classes[device.device_class].always_on:
            days = truth[str(device.address)]
            idle_s += sum(spent["idle"] for day, spent in days.items() if day[:7] == MONTH)
    assert value(pack, "awake.idle") == pytest.approx(idle_s / 3600, rel=0.02)
    every = rows(pack, "What keeps machines awake")
    assert sum(row["idle"] for row in every) == pytest.approx(value(pack, "awake.idle"))
    assert "the rule only observed" in [row["reason"] for row in every]


def test_a_machine_that_was_down_alone_was_really_off_for_as_long(review_world: ReviewWorld, pack: Pack) -> None:
    """Within two looks of the collector: a machine that comes back says so at once and is seen with the next."""
    lived, looked = review_world.lived, 0
    for row in rows(pack, "Outages"):
        if row["machines"] != 1:
            continue
        off_ms = sum(
            max(0, min(until, row["until"]) - max(begin, row["from"]))
            for begin, until, state in lived[f"{pack.place}/{row['where']}"]
            if state in ("asleep", "off")
        )
        assert row["lasted"] == pytest.approx(row["down"] * 60), "one machine: its minutes are those of service"
        assert off_ms >= row["down"] * 60_000 - 2 * TICK_S * 1000, row
        looked += 1
    assert looked


def test_what_went_wrong_on_purpose_is_an_incident_of_the_pack(review_world: ReviewWorld, pack: Pack) -> None:
    """By when it was opened, or by name where it became part of another one."""
    every = rows(pack, "Incidents")
    placed = [fault for fault in story.faults(START_MS, END_MS) if fault.school == pack.place]
    known = [fault for fault in placed if fault.kind.value in ("switch", "line", "server")]
    for fault in known:
        at_the_time = [row for row in every if fault.from_ms <= row["opened"] <= fault.until_ms + 1_800_000]
        by_name = [row for row in every if fault.where and f"{fault.where} is down" in str(row["done"])]
        assert at_the_time or by_name, fault
    assert known


# -- against every other way to ask ------------------------------------------------------------------------------------


def test_service_is_what_caretaker_sla_says_to_the_digit(review_world: ReviewWorld, pack: Pack) -> None:
    told = command(review_world, "sla", "explain", pack.place, MONTH)
    parts = told["figure"]["parts"]
    sums = {
        name: sum(part["availability"]["devices"][f"{name}_ms"] for part in parts)
        for name in ("owed", "maintained", "available", "down", "unseen")
    }
    counted = sums["owed"] - sums["maintained"]
    fact = pack.facts["availability"]
    shown = [text(Unit.PERCENT, each) for each in (fact.value, fact.low, fact.high)]
    assert shown == [
        percent(sums["available"] / (sums["available"] + sums["down"])),
        percent(sums["available"] / counted),
        percent((sums["available"] + sums["unseen"]) / counted),
    ]
    assert value(pack, "availability.owed") == pytest.approx(sums["owed"] / 3_600_000)
    assert value(pack, "availability.down") == pytest.approx(sums["down"] / 3_600_000)
    times = [row for part in parts for row in part["fixed"]]
    in_time, late = sum(row["in_time"] for row in times), sum(row["late"] for row in times)
    assert pack.facts["incidents.fixed"].value == f"{in_time} of {in_time + late}"
    assert value(pack, "outages.faults") == sum(part["faults"] for part in parts)
    ready, lessons = (sum(part[name] for part in parts) for name in ("lessons_ready", "lessons"))
    assert text(Unit.PERCENT, pack.facts["ready"].value) == percent(ready / lessons)
    assert value(pack, "credits.points") == told["figure"]["cost"]["points"]
    assert len(rows(pack, "Outages")) == len(told["faults"])
    assert value(pack, "blind.minutes") == sum(end - begin for begin, end in told["blind"]) / 60_000
    assert value(pack, "planned.count") == len(told["maintenance"])
    assert pack.stamp.endswith(told["figure"]["stamp"])


def test_rooms_are_what_caretaker_sla_show_says(review_world: ReviewWorld, pack: Pack) -> None:
    told = command(review_world, "sla", "show", pack.place, MONTH)["inside"]
    shown = {row["place"]: row for row in rows(pack, "Availability by room")}
    assert len(shown) == len(told)
    for line in told:
        row, sums = shown[line["title"]], line["sums"]["devices"]
        seen = sums["available_ms"] + sums["down_ms"]
        assert text(Unit.PERCENT, row["likely"]) == percent(sums["available_ms"] / seen if seen else None)
        assert (row["owed"] * 3_600_000, row["outages"]) == (pytest.approx(sums["owed_ms"]), line["outages"])
    assert sum(row["owed"] for row in shown.values()) == pytest.approx(value(pack, "availability.owed"))


def test_energy_is_what_caretaker_savings_says_of_the_month_and_of_each_week(
    review_world: ReviewWorld, pack: Pack
) -> None:
    told = command(review_world, "savings", pack.place, "--from", FIRST, "--to", LAST)
    assert value(pack, "energy.used") == pytest.approx(told["used"]["kwh"])
    assert value(pack, "energy.cost") == pytest.approx(told["used"]["pounds"])
    for key, kind in (("avoided", "both"), ("by_rules", "rule_off"), ("by_users", "user_off")):
        for end, name in (("", "kwh"), ("_gbp", "pounds"), ("_kg", "kg_co2e")):
            fact, figure = pack.facts[f"energy.{key}{end}"], told["savings"][kind][name]
            assert (fact.low, fact.value, fact.high) == pytest.approx((figure["low"], figure["likely"], figure["high"]))
    weeks = rows(pack, "Energy by week")
    assert sum(row["used"] for row in weeks) == pytest.approx(value(pack, "energy.used"))
    week = command(review_world, "savings", pack.place, "--from", "2026-09-14", "--to", "2026-09-20")
    row = next(row for row in weeks if row["week"] == "14 Sep to 20 Sep")
    both = week["savings"]["both"]["kwh"]
    assert (row["low"], row["avoided"], row["high"]) == pytest.approx((both["low"], both["likely"], both["high"]))
    rooms = rows(pack, "Energy by room")
    assert sum(row["used"] for row in rooms) == pytest.approx(value(pack, "energy.used"))
    assert sum(row["avoided"] for row in rooms) == pytest.approx(value(pack, "energy.avoided"), rel=0.02)


def test_clocks_of_incidents_are_those_of_the_desk(review_world: ReviewWorld, pack: Pack) -> None:
    """The desk reads `clocks` with the school's hours: so does this, for each incident of the table."""

    async def read(sources: Any) -> dict[str, tuple[float, float]]:
        from caretaker_collector.incidents import book

        school = sources.estate.schools[pack.place]
        found = {}
        for incident in book.listed(sources.db, pack.place):
            clock: ServiceClock = await sources.book.clock(school, date(2026, 9, 15))
            fix = clocks.fix(incident, clock, END_MS)
            if fix is not None:
                found[incident.name] = (fix.used_ms / 1000, fix.allowance_ms / 1000)
        return found

    known = review_world.asked(read)
    shown = {row["name"]: (row["used"], row["allowed"]) for row in rows(pack, "Incidents") if row["used"] is not None}
    assert shown and shown.items() <= known.items()


@pytest.fixture(scope="module")
def boards(review_world: ReviewWorld, shared_influx: Influx, tmp_path_factory: pytest.TempPathFactory) -> Influx:
    """What was rolled up, in the InfluxDB that boards ask."""
    influx = shared_influx.fresh_bucket()
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(influx.token)

    async def copy(sources: Any) -> None:
        settings = StoreSettings(
            kind="influx", url=influx.url, token_file=str(token), org=influx.org, bucket=influx.bucket
        )
        store = open_store(settings, token.parent)
        try:
            for measurement in ("school_day", "room_day", "energy_day", "energy_month"):
                points = await sources.store.read(measurement, START_MS, END_MS)
                assert points and not await store.write(points)
        finally:
            await store.close()

    review_world.asked(copy)
    return influx


def test_boards_show_the_same_to_the_digit(boards: Influx, pack: Pack) -> None:
    begin = midnight_ms(date.fromisoformat(FIRST), LONDON)
    end = midnight_ms(date.fromisoformat(LAST) + timedelta(days=1), LONDON) - 1

    def ask(question: Any) -> list[dict[str, Any]]:
        return boards.ask(filled(question.text, {"school": pack.place, "network": ".*", "target": "0.99"}, begin, end))

    shown = ask(queries.availability(queries.SCHOOL))[0]
    fact = pack.facts["availability"]
    for name, mine in (("likely", fact.value), ("low", fact.low), ("high", fact.high)):
        assert text(Unit.PERCENT, shown[name] * 100) == text(Unit.PERCENT, mine), name
    used = ask(queries.energy_used(queries.SCHOOL))[0]
    for name, key in (("used", "energy.used"), ("cost", "energy.cost"), ("carbon", "energy.carbon")):
        assert f"{used[name]:.1f}" == f"{value(pack, key):.1f}"
    month = ask(queries.avoided_in_months(queries.SCHOOL))[0]
    avoided = pack.facts["energy.avoided"]
    assert [f"{month[name]:.1f}" for name in ("low", "likely", "high")] == [
        f"{each:.1f}" for each in (avoided.low, avoided.value, avoided.high)
    ]
    assert f"{month['by_rules']:.1f}" == f"{value(pack, 'energy.by_rules'):.1f}"
    by_room = {row["room"]: row for row in ask(queries.availability_by_room())}
    assert len(by_room) == len(rows(pack, "Availability by room"))
    assert sum(row["down"] for row in by_room.values()) == pytest.approx(value(pack, "availability.down"))


def test_a_network_is_the_sum_of_its_schools(review_world: ReviewWorld, packs: dict[str, Pack]) -> None:
    network = next(iter(review_world.estate.networks))
    whole = review_world.pack(f"network:{network}")
    members = [name for name, school in review_world.estate.schools.items() if school.network == network]
    for key in ("energy.used", "availability.owed", "availability.down", "incidents.in_time", "ready.lessons"):
        assert value(whole, key) == pytest.approx(sum(value(packs[name], key) for name in members)), key
    named = {row["place"] for row in rows(whole, "Availability by school")}
    assert named == {review_world.estate.schools[name].title for name in members}


def test_the_desk_s_page_of_the_school_shows_the_same_to_the_digit(review_world: ReviewWorld, pack: Pack) -> None:
    """On the evening of the month's last day, when its figures are those of the month."""
    settings = load_collector(review_world.config)
    collector: Any = SimpleNamespace(
        settings=settings,
        estate=review_world.estate,
        memory=None,
        clock=SimpleNamespace(now_ms=lambda: midnight_ms(date(2026, 10, 1), LONDON) - 1),
        state_path=review_world.folder / "data" / "state.db",
    )

    unused: Any = None  # what happened since, which only pages that are open look at

    async def ask() -> tuple[list[MonthSoFar], EnergyMonth | None]:
        sources = Sources(collector, unused)
        try:
            pages = SchoolPages(sources)
            energy = await pages._energy_month(pack.place, date.fromisoformat(LAST), LAST)
            return await pages._months(review_world.estate.schools[pack.place]), energy
        finally:
            await sources.close()

    months, energy = asyncio.run(ask())
    assert energy is not None and energy.used_kwh == pytest.approx(value(pack, "energy.used"))
    avoided = pack.facts["energy.avoided"]
    assert energy.avoided_kwh == pytest.approx((avoided.low, avoided.value, avoided.high))
    fact = pack.facts["availability"]
    if len(months) == 1:
        low, likely, high = (text(Unit.PERCENT, each) for each in (fact.low, fact.value, fact.high))
        for shown in (low, likely, high):
            assert shown.removesuffix(" %") in months[0].availability
        assert months[0].target == text(Unit.PERCENT, pack.facts["availability.target"].value)
    else:
        levels = {row["level"]: row["likely"] for row in rows(pack, "Levels")}
        for month in months:
            assert text(Unit.PERCENT, levels[month.level]) in month.availability


def test_incidents_are_as_many_as_caretaker_incidents_lists(review_world: ReviewWorld, pack: Pack) -> None:
    done = CliRunner().invoke(app, ["incidents", "--all", "--json", "--config", str(review_world.config)])
    assert done.exit_code in (0, 1), done.output
    listed = [
        each for each in json.loads(done.stdout)["incidents"] if each["incident"]["subject"]["school"] == pack.place
    ]
    begin = midnight_ms(date.fromisoformat(FIRST), LONDON)
    end = midnight_ms(date.fromisoformat(LAST) + timedelta(days=1), LONDON)
    of_month = [each for each in listed if begin <= each["incident"]["opened_ms"] < end]
    assert len(of_month) == value(pack, "incidents.opened") + value(pack, "incidents.merged")
