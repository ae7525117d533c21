"""The page of comparison on a network of schools, and the targets of the school year."""

from pathlib import Path

import pytest
from msgspec import structs

from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.review import comparison
from caretaker_collector.review.build import build
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import of_month
from caretaker_contract.clock import Clock
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_rules.model import Network
from rules_world import london_ms
from sla_world import Bench

DAY_MS = london_ms("2026-09-14 00:00")
SCHOOLS = {"elm": "Elmfield", "fir": "Firbank", "oak": "Oakley"}


@pytest.fixture
async def bench(tmp_path: Path):
    """Four schools of ten machines; each has used some seats and some energy on one day."""
    bench = Bench(tmp_path, devices=10, network="green", share_figures=True, targets=[
        {"indicator": "availability", "year": 2026, "value": 0.9},
        {"indicator": "avoided_kwh", "year": 2026, "value": 10.0},
        {"indicator": "seats_used", "year": 2026, "value": 0.3},
    ])  # fmt: skip
    bench.sees("2026-09-01 00:00", "2026-10-01 00:00")
    ash = bench.estate.schools["ash"]
    schools = {"ash": ash}
    devices = dict(bench.estate.devices)
    for name, title in SCHOOLS.items():
        schools[name] = structs.replace(ash, name=name, title=title, share_figures=name == "oak")
        for device in list(bench.estate.devices.values()):
            devices[Address(name, device.name)] = structs.replace(device, school=name)
    bench.estate = structs.replace(
        bench.estate, networks={"green": Network(name="green")}, schools=schools, devices=devices
    )
    bench.rollup = DayRollup(bench.db, bench.store, bench.estate, bench.recorder, Clock(), bench.folder)
    for number, name in enumerate(schools, 1):
        seats = {"length_s": 3600, "seats": 10, "used": number, "seen": 10, "in_use_s": 3600 * number, "whose": "host"}
        hour = {"machines": 10, "in_use_s": 3600 * number, "seen_s": 36_000}
        tags = (name, "ict1", "room", "all")
        await bench.store.write(
            [
                Point("room_use", (DAY_MS + 32_400_000) * 1_000_000, tags, seats),
                Point("room_hour", (DAY_MS + 32_400_000) * 1_000_000, tags, hour),
            ]
        )
    yield bench
    await bench.close()


async def page_of(bench, place="ash"):
    """The page, facts, and tables by name."""
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, london_ms("2026-10-02 09:00"))
    inputs = await read(sources, place, of_month("2026-09"))
    facts = Facts()
    page = await comparison.page(inputs, facts)
    await build(inputs, [comparison.page])
    return page, facts.known, {table.name: table for section in page.sections for table in section.tables}


def change(bench, name, **changes) -> None:
    other = structs.replace(bench.estate.schools[name], **changes)
    bench.estate = structs.replace(bench.estate, schools={**bench.estate.schools, name: other})


async def test_this_school_is_marked_those_that_agreed_are_named_and_the_others_have_letters(bench) -> None:
    page, facts, tables = await page_of(bench)
    assert [(row[0], row[1], row[4]) for row in tables["Compared, seats"].rows] == [
        ("Oakley", 40.0, ""),
        ("School A", 30.0, ""),
        ("School B", 20.0, ""),
        ("Ashfield", 10.0, "this school"),
    ]
    assert (facts["compared.seats_place"].value, facts["compared.seats_of"].value) == (4, 4)
    assert "Compared, seats" in [chart.table for chart in page.sections[0].charts]


async def test_with_two_schools_nothing_is_compared_and_the_page_says_why(bench) -> None:
    for name in ("elm", "fir"):
        change(bench, name, network=None)
    page, _, tables = await page_of(bench)
    [table] = [table for name, table in tables.items() if name.startswith("Compared")]
    assert table.rows == []
    assert "fewer than 3 schools" in table.empty
    assert page.sections[0].charts == []


async def test_a_school_of_four_machines_is_left_out(bench) -> None:
    few = {address: device for address, device in bench.estate.devices.items() if address.school != "oak"}
    few |= dict(list(bench.estate.devices.items())[-4:])
    bench.estate = structs.replace(bench.estate, devices=few)
    _, _, tables = await page_of(bench)
    assert "Oakley" not in [row[0] for row in tables["Compared, seats"].rows]
    assert len(tables["Compared, seats"].rows) == 3


async def test_a_school_in_no_network_is_told_how_it_would_see_others(bench) -> None:
    change(bench, "ash", network=None)
    _, _, tables = await page_of(bench)
    assert "in no network" in tables["Compared, availability"].empty


async def test_the_same_school_has_the_same_figures_in_everybodys_pack(bench) -> None:
    _, _, ours = await page_of(bench)
    _, _, theirs = await page_of(bench, "oak")
    assert sorted(row[1] for row in ours["Compared, seats"].rows) == sorted(
        row[1] for row in theirs["Compared, seats"].rows
    )


async def test_a_network_s_own_pack_names_only_those_that_agreed(bench) -> None:
    _, _, tables = await page_of(bench, "network:green")
    assert [row[0] for row in tables["Compared, seats"].rows] == ["Oakley", "School A", "School B", "Ashfield"]


async def test_targets_show_the_gap_and_what_was_never_reckoned_is_not_judged(bench) -> None:
    _, facts, tables = await page_of(bench)
    by_name = {row[0]: row for row in (*tables["Targets"].rows, *tables["Targets of energy"].rows)}
    assert by_name["availability"][1] == 90.0
    assert by_name["avoided"][1:3] == [10.0, None]
    assert by_name["avoided"][7] == "n/a"
    assert by_name["seats used"][1:7] == [30.0, 10.0, 10.0, 10.0, -20.0, None]
    assert by_name["seats used"][7] == "missed so far"
    assert facts["targets.all"].value == 3
