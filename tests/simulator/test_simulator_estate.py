"""The demo's files say what the demo's estate is, and any size of estate can be had."""

from collections import Counter
from pathlib import Path

import pytest

from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address, is_name
from caretaker_simulator.estate import demo_estate, read_estate, synthetic_fleet, write_demo_estate


def test_written_files_read_back_as_the_same_estate(tmp_path: Path) -> None:
    policy = tmp_path / "school.toml"
    policy.write_text("# a policy\n")
    path = write_demo_estate(tmp_path / "demo", policy)
    assert path.name == "estate.toml"
    assert read_estate(tmp_path / "demo") == demo_estate()
    assert (tmp_path / "demo" / "policy.toml").read_text() == "# a policy\n"


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
