"""The demo's files say what the demo's estate is, and any size of estate can be had."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from msgspec import structs

from caretaker_collector.register import read_register
from caretaker_collector.settings import check_files, load_estate
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address, is_name
from caretaker_rules.service_hours import ServiceClock
from caretaker_simulator.estate import demo_estate, read_estate, synthetic_fleet, write_demo_estate, write_estate

POLICIES = Path(__file__).parents[2] / "rules" / "policies"


def test_written_files_read_back_as_the_same_estate(tmp_path: Path) -> None:
    policy = tmp_path / "school.toml"
    policy.write_text("# a policy\n")
    path = write_demo_estate(tmp_path / "demo", policy)
    assert path.name == "estate.toml"
    assert read_estate(tmp_path / "demo") == demo_estate()
    assert (tmp_path / "demo" / "policy.toml").read_text() == "# a policy\n"


def test_the_demo_with_service_levels_has_a_school_that_changes_in_mid_month(tmp_path: Path) -> None:
    path = write_demo_estate(tmp_path, POLICIES / "school.toml", POLICIES / "service.toml")
    checked = check_files([path])
    assert checked.faults == []
    assert any("examples, nobody's contract: transitional, enhanced" in note for note in checked.notes)
    estate = load_estate(path)
    assert estate.service is not None
    clock = ServiceClock.of(estate.schools["oak"], estate.service)
    assert [clock.level(date(2026, 9, day)) for day in (15, 16)] == estate.service.levels
    assert ServiceClock.of(estate.schools["ash"], estate.service).level(date(2026, 9, 1)) == estate.service.levels[1]


def test_what_devices_are_behind_is_written_and_read(tmp_path: Path) -> None:
    estate = demo_estate()
    address = Address("oak", "class5-01")
    estate.devices[address] = structs.replace(estate.devices[address], behind="servers-01")
    write_estate(tmp_path, estate, "one thin client is behind its server")
    assert read_estate(tmp_path).devices[address].behind == "servers-01"
    rows = read_register(tmp_path / "oak-devices.csv", "oak").rows
    assert {row.device.name: row.device.behind for row in rows if row.device.behind} == {"class5-01": "servers-01"}


def test_the_demo_has_a_primary_of_50_and_a_secondary_of_328_with_all_four_classes() -> None:
    estate = demo_estate()
    assert Counter(address.school for address in estate.devices) == {"ash": 328, "oak": 50}
    assert {device.device_class for device in estate.devices.values()} == {"thin_client", "desktop", "laptop", "server"}
    assert len({device.mac for device in estate.devices.values()}) == 378
    rooms = {(school.name, room.name) for school in estate.schools.values() for room in school.rooms}
    assert all((device.school, device.room) in rooms for device in estate.devices.values())


def test_a_synthetic_estate_has_as_many_devices_as_asked_with_good_names_in_schools_of_the_given_size() -> None:
    estate = synthetic_fleet(1500, devices_per_school=400)
    assert len(estate.devices) == 1500
    assert Counter(address.school for address in estate.devices) == {
        "s0001": 400,
        "s0002": 400,
        "s0003": 400,
        "s0004": 300,
    }
    assert all(is_name(address.school) and is_name(address.device) for address in estate.devices)


def test_a_folder_without_an_estate_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"estate\.toml.*caretaker check"):
        read_estate(tmp_path)
