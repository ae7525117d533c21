"""The demo's files say what the demo's estate is, and any size of estate can be had."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from caretaker_collector.files.register import read_register
from caretaker_collector.settings import check_files, load_estate
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address, is_name
from caretaker_rules.service_hours import ServiceClock
from caretaker_simulator.estate import demo_estate, read_estate, synthetic_fleet, write_demo_estate

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


def test_what_machines_are_behind_is_written_and_read(tmp_path: Path) -> None:
    estate = demo_estate()
    write_demo_estate(tmp_path, POLICIES / "school.toml")
    rows = read_register(tmp_path / "oak-devices.csv", "oak").rows
    behind = {row.device.name: row.device.behind for row in rows if row.device.behind}
    assert behind["class5-01"] == "servers-02"
    assert behind == {a.device: d.behind for a, d in estate.devices.items() if a.school == "oak" and d.behind}


def test_the_demo_has_a_primary_of_50_and_a_secondary_of_328_with_all_four_classes() -> None:
    estate = demo_estate()
    machines = [device for device in estate.devices.values() if device.device_class != "switch"]
    assert Counter(device.school for device in machines) == {"ash": 328, "oak": 50}
    assert {device.device_class for device in machines} == {"thin_client", "desktop", "laptop", "server"}
    assert len({device.mac for device in machines}) == 378


def test_what_a_machine_is_behind_is_in_the_register_too() -> None:
    estate = demo_estate()
    behind = {Address(device.school, device.behind) for device in estate.devices.values() if device.behind}
    assert len(behind) == 9, "eight switches, and the server of the thin clients"
    assert behind <= estate.devices.keys()
    assert all(estate.classes[estate.devices[address].device_class].always_on for address in behind)
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
