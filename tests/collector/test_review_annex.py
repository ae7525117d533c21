"""The annex says of each point whether it is measured, declared or not known, and what to do next."""

from datetime import date
from pathlib import Path

import pytest
from msgspec import structs

from caretaker_collector.memory import Entry, save_entries
from caretaker_collector.numbering import Numberings
from caretaker_collector.review import annex
from caretaker_collector.review.build import build
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import of_month
from caretaker_contract.topics import Address
from caretaker_rules.model import Declared, DeclaredFacts, Tracked
from rules_world import london_ms
from sla_world import Bench

LIVE = """
mode = "{mode}"
trial_rooms = ["ict1"]
[[rules]]
name = "after-hours"
select = {{ classes = ["desktop"] }}
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
[[patch]]
name = "tuesday"
select = {{ classes = ["desktop"] }}
hours = ["tue 22:00-02:00"]
"""


@pytest.fixture
async def bench(tmp_path: Path):
    """Two desktops of which one worked on 14 September."""
    bench = Bench(tmp_path, devices=2)
    bench.sees("2026-09-01 00:00", "2026-10-01 00:00")
    await bench.works("2026-09-14")
    await bench.works("2026-09-15")
    await bench.roll("2026-10-02 08:00")
    yield bench
    await bench.close()


def set_school(bench, **changes) -> None:
    ash = structs.replace(bench.estate.schools["ash"], **changes)
    bench.estate = structs.replace(bench.estate, schools={"ash": ash})


async def evidence(bench):
    """The rows of the evidence by what they are about: known, mark, since, step."""
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, london_ms("2026-10-02 09:00"))
    inputs = await read(sources, "ash", of_month("2026-09"))
    page = await annex.page(inputs, Facts())
    await build(inputs, [annex.page])
    tables = {table.name: table for section in page.sections for table in section.tables}
    return {row[0]: row[1:] for row in tables["Evidence"].rows}, tables


async def test_what_nobody_said_is_not_known_and_has_a_next_step(bench) -> None:
    found, _ = await evidence(bench)
    for what in ("Backup", "Broadband", "UPS of the server room", "Age of missing updates"):
        known, mark, _, step = found[what]
        assert (known, mark) == ("", "not known")
        assert "[schools.declared]" in step
    assert all(mark in ("measured", "declared", "not known") for _, mark, _, _ in found.values())


async def test_what_is_declared_says_by_which_role_and_on_which_day(bench) -> None:
    backup = Declared(text="nightly", on=date(2026, 6, 30), by="network manager")
    set_school(bench, declared=DeclaredFacts(backup=backup, ups_minutes=backup))
    found, _ = await evidence(bench)
    assert found["Backup"] == ["nightly", "declared", "30 Jun 2026, network manager", ""]
    assert found["UPS of the server room"][3] == "the standard asks for 30 min: compare"


async def test_devices_that_were_heard_are_measured(bench) -> None:
    found, _ = await evidence(bench)
    assert found["Devices heard of, of the register"][:2] == ["1 of 2 that have an agent", "measured"]


@pytest.mark.parametrize(
    ("mode", "count"), [("live", "2 of 2 (100 %)"), ("trial", "2 of 2 (100 %)"), ("observe", "0 of 2 (0 %)")]
)
async def test_only_a_policy_that_acts_covers_a_machine(bench, mode: str, count: str) -> None:
    (bench.folder / "policy.toml").write_text(LIVE.format(mode=mode))
    set_school(bench, policy="policy.toml")
    found, _ = await evidence(bench)
    assert found["Machines under a power policy that acts"][0] == count
    assert found["Machines with a patch window"][0] == "2 of 2 (100 %)"


async def test_a_policy_that_cannot_be_read_covers_nobody_knows_what(bench) -> None:
    (bench.folder / "policy.toml").write_text('mode = "lvie"')
    set_school(bench, policy="policy.toml")
    found, _ = await evidence(bench)
    assert found["Machines under a power policy that acts"] == [
        "", "not known", "", "policy.toml cannot be read: caretaker check says why",
    ]  # fmt: skip


async def test_an_exempt_machine_is_under_no_power_policy(bench) -> None:
    (bench.folder / "policy.toml").write_text(LIVE.format(mode="live"))
    set_school(bench, policy="policy.toml")
    first = Address("ash", "pc-000")
    exempt = structs.replace(bench.estate.devices[first], tags=("exempt",))
    bench.estate = structs.replace(bench.estate, devices={**bench.estate.devices, first: exempt})
    found, _ = await evidence(bench)
    assert found["Machines under a power policy that acts"][0] == "1 of 2 (50 %)"


async def test_systems_are_those_that_agents_told(bench) -> None:
    found, tables = await evidence(bench)
    assert found["Operating systems out of support"][1] == "not known"
    assert tables["Systems"].rows == []
    entry = Entry(Tracked(system="Windows 10 10.0.19045"), Numberings())
    save_entries(bench.db, {Address("ash", "pc-000"): entry})
    found, tables = await evidence(bench)
    assert found["Operating systems out of support"][:2] == ["1 of 1 machines that told their system", "measured"]
    assert tables["Systems"].rows[0][:4] == ["Windows 10", 1, "2025-10-14", "out of support"]


async def test_age_is_reckoned_from_the_register(bench) -> None:
    _, tables = await evidence(bench)
    assert tables["Register"].rows == [["desktop", 2, 0, None, None, None]]
    first = Address("ash", "pc-000")
    old = structs.replace(bench.estate.devices[first], bought=date(2020, 9, 30), years=5.0)
    bench.estate = structs.replace(bench.estate, devices={**bench.estate.devices, first: old})
    _, tables = await evidence(bench)
    assert tables["Register"].rows == [["desktop", 2, 1, pytest.approx(6, abs=0.01), pytest.approx(6, abs=0.01), 1]]


async def test_an_empty_register_is_a_clean_page(bench) -> None:
    bench.estate = structs.replace(bench.estate, devices={})
    found, tables = await evidence(bench)
    assert found["Asset register"][:2] == ["no device", "not known"]
    assert "devices = " in tables["Register"].empty
