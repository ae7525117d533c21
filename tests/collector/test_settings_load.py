"""Good settings come out whole: estates with their registers, policies, collector.toml and the way to find it."""

from datetime import date
from pathlib import Path

import pytest

from caretaker_collector.files.kinds import KINDS
from caretaker_collector.files.register import read_register
from caretaker_collector.settings import (
    CollectorSettings,
    check_files,
    find_config,
    kind_of,
    load,
    load_alerts,
    load_collector,
    load_estate,
    load_estate_and_policies,
    load_policy,
    load_service,
)
from caretaker_contract.errors import ConfigError
from caretaker_contract.topics import Address
from caretaker_rules.model import EXEMPT_TAG, EstateFile
from caretaker_rules.policy import Mode
from caretaker_rules.service_hours import ServiceClock

SETTINGS = Path(__file__).parent / "settings"

ESTATE = """
provider = "Borough ICT"
networks = [{ name = "north" }]

[[classes]]
name = "thin_client"
watts_in_use = 12
watts_idle = 9
watts_asleep = 1
watts_off = 0.5

[[schools]]
name = "ash"
title = "Ashfield Secondary"
network = "north"
devices = "ash.csv"
policy = "policies/after-hours.toml"
terms = [
  { starts = 2026-09-02, ends = 2026-10-23 },
  { starts = 2026-11-02, ends = 2026-12-18 },
]
rooms = [{ name = "ict1", lessons = [] }, { name = "lib" }]

[[tariffs]]
valid_from = 2026-04-01
pence_per_kwh = 25
source = "the school's contract"
"""
POLICY = """
mode = "observe"

[[rules]]
name = "after-hours"
select = { schools = ["ash"], rooms = ["ash/ict1"] }
hours = ["mon-fri 16:30-07:30"]
idle_for = "30 min"
do = "shut_down"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An estate of one school, with collector.toml."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "after-hours.toml").write_text(POLICY)
    (tmp_path / "estate.toml").write_text(ESTATE)
    (tmp_path / "ash.csv").write_text("device,room,class,mac,tags\nict1-01,ict1,thin_client,,\n")
    (tmp_path / "signing.key").write_text("00" * 32)
    (tmp_path / "collector.toml").write_text(
        'estate = "estate.toml"\ndata = "data"\n[broker]\nport = 1884\n[signing]\nkey_file = "signing.key"\n'
    )
    return tmp_path


def test_an_estate_is_joined_from_toml_and_register(folder: Path) -> None:
    estate = load_estate(folder / "estate.toml")
    assert estate.provider == "Borough ICT"
    assert estate.schools["ash"].terms[1].starts == date(2026, 11, 2)
    assert estate.schools["ash"].rooms[0].lessons == []
    assert estate.schools["ash"].rooms[1].lessons is None
    assert estate.devices[Address("ash", "ict1-01")].device_class == "thin_client"
    assert estate.tariffs[0].pence_per_kwh == 25


def test_an_estate_has_its_service_levels_and_its_schools_their_changes(folder: Path) -> None:
    """Named relative to estate.toml; without the key there are none, and no level's name is looked at."""
    assert load_estate(folder / "estate.toml").service is None
    (folder / "contract").mkdir()
    (folder / "contract" / "levels.toml").write_bytes((SETTINGS / "good-service.toml").read_bytes())
    moves = 'levels = [{ level = "enhanced", starts = 2026-09-16 }]\nrooms ='
    text = ESTATE.replace("networks =", 'service = "contract/levels.toml"\nnetworks =').replace("rooms =", moves)
    (folder / "estate.toml").write_text(text)
    estate = load_estate(folder / "estate.toml")
    assert estate.service is not None
    assert [level.name for level in estate.service.levels] == ["transitional", "enhanced"]
    assert estate.service == load_service(folder / "contract" / "levels.toml")
    clock = ServiceClock.of(estate.schools["ash"], estate.service)
    on = [clock.level(day) for day in (date(2026, 9, 15), date(2026, 9, 16))]
    assert [level.name for level in on if level] == ["transitional", "enhanced"]
    (folder / "estate.toml").write_text(text.replace('"contract/levels.toml"', '""').replace("enhanced", "platinum"))
    assert load_estate(folder / "estate.toml").service is None


def test_what_a_device_is_behind_is_read_from_the_register(folder: Path) -> None:
    (folder / "ash.csv").write_text(
        "device,room,class,behind\nict1-01,ict1,thin_client,files\nfiles,lib,thin_client,\n"
    )
    devices = load_estate(folder / "estate.toml").devices
    assert [device.behind for device in devices.values()] == ["files", None]


def test_checking_says_which_levels_are_examples(folder: Path) -> None:
    levels = (SETTINGS / "good-service.toml").read_text(encoding="utf-8")
    (folder / "service.toml").write_text(levels.replace('name = "enhanced"', 'name = "enhanced"\nillustrative = true'))
    checked = check_files([folder / "service.toml"])
    assert checked.faults == []
    assert checked.notes == [f"{folder / 'service.toml'}: 2 service levels; examples, nobody's contract: enhanced"]


def test_policies_come_by_school_and_remember_their_file(folder: Path) -> None:
    _, policies = load_estate_and_policies(folder / "estate.toml")
    assert policies["ash"].mode is Mode.OBSERVE
    assert policies["ash"] == load_policy(folder / "policies" / "after-hours.toml")
    assert policies["ash"].rules[0].line == 4


def test_paths_of_collector_toml_are_taken_from_its_own_folder(folder: Path) -> None:
    settings = load_collector(folder / "collector.toml")
    assert settings.estate == str(folder / "estate.toml")
    assert settings.data == str(folder / "data")
    assert settings.signing is not None and settings.signing.key_file == str(folder / "signing.key")
    assert (settings.broker.port, settings.http.port, settings.journal.keep_days) == (1884, 8600, 35)


def test_what_is_not_written_has_the_default_of_its_declaration(folder: Path) -> None:
    (folder / "least.toml").write_text('estate = "estate.toml"\ndata = "data"\n')
    assert load(folder / "least.toml", CollectorSettings) == CollectorSettings(estate="estate.toml", data="data")


def test_a_byte_order_mark_and_windows_line_ends_are_harmless_in_toml(folder: Path) -> None:
    plain = load(folder / "estate.toml", EstateFile)
    (folder / "estate.toml").write_bytes(b"\xef\xbb\xbf" + ESTATE.replace("\n", "\r\n").encode())
    assert load(folder / "estate.toml", EstateFile) == plain


@pytest.mark.parametrize(
    "register",
    [
        b"device,room,class,mac,tags\nict1-01,ict1,thin_client,00:1b:63:84:45:e6,exempt\n",
        b"\xef\xbb\xbfdevice,room,class,mac,tags\nict1-01,ict1,thin_client,00:1b:63:84:45:e6,exempt\n",
        b"Device;Room;Class;MAC;Tags\r\nict1-01;ict1;Thin_Client;00-1B-63-84-45-E6;Exempt\r\n",
        b"tags\tmac\tclass\troom\tdevice\nEXEMPT\t001B.6384.45E6\tthin_client\tict1\tict1-01\n",
        b"device,room,class,mac,tags\n\n,,,,\nict1-01 , ict1,thin_client,001b638445e6,exempt;\n",
        b'device,room,class,mac,tags,owner\nict1-01,ict1,thin_client,00:1b:63:84:45:e6,"exempt,","A. Pupil\n(7B)"\n',
    ],
    ids=["plain", "mark", "semicolons", "tabs", "blanks", "columns"],
)
def test_a_register_is_understood_however_a_spreadsheet_wrote_it(tmp_path: Path, register: bytes) -> None:
    (tmp_path / "ash.csv").write_bytes(register)
    found = read_register(tmp_path / "ash.csv", "ash")
    assert found.faults == []
    (row,) = found.rows
    assert (str(row.device.address), row.device.room, row.device.device_class) == ("ash/ict1-01", "ict1", "thin_client")
    assert row.device.mac == "00:1b:63:84:45:e6"
    assert EXEMPT_TAG in row.device.tags


def test_columns_that_caretaker_does_not_know_are_named_and_never_kept(tmp_path: Path) -> None:
    (tmp_path / "ash.csv").write_text("device,room,class,owner\nict1-01,ict1,thin_client,A. Pupil\n")
    found = read_register(tmp_path / "ash.csv", "ash")
    assert found.ignored == ["owner"]
    assert "Pupil" not in repr(found)


def test_config_is_found_by_option_then_variable_then_folder_then_demo(folder: Path) -> None:
    demo = folder / "demo-out"
    demo.mkdir()
    (demo / "collector.toml").write_text("")
    (folder / "other.toml").write_text("")
    environ = {"CARETAKER_CONFIG": "other.toml"}
    assert find_config("collector.toml", environ, folder) == folder / "collector.toml"
    assert find_config(None, environ, folder) == folder / "other.toml"
    assert find_config(None, {}, folder) == folder / "collector.toml"
    (folder / "collector.toml").unlink()
    assert find_config(None, {"CARETAKER_CONFIG": ""}, folder) == demo / "collector.toml"


def test_when_there_is_no_config_all_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config(None, {}, tmp_path)
    for place in ("--config", "CARETAKER_CONFIG", "./collector.toml", "./demo-out/collector.toml", "make demo"):
        assert place in str(caught.value)


@pytest.mark.parametrize(("given", "environ"), [("gone.toml", {}), (None, {"CARETAKER_CONFIG": "gone.toml"})])
def test_a_config_that_was_named_is_never_replaced_by_another(folder: Path, given: str | None, environ: dict) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml   no such file \(named by (--config|CARETAKER_CONFIG)\)"):
        find_config(given, environ, folder)


def test_a_file_is_known_by_its_keys_and_only_then_by_its_name() -> None:
    assert kind_of(Path("x.toml"), {"schools": [], "classes": []}) == "estate"
    assert kind_of(Path("estate.toml"), {"mode": "live", "rules": []}) == "policy"
    assert kind_of(Path("x.toml"), {"school": "ash", "broker": {}}) == "agent"
    assert kind_of(Path("collector.toml"), {"broker": {}}) == "collector"
    assert kind_of(Path("policies/school.toml"), {}) == "policy"
    assert kind_of(Path("x.toml"), {}) is None
    assert kind_of(Path("x.toml"), {"levels": [], "targets": []}) == "service"
    assert kind_of(Path("service.toml"), {}) == "service"
    assert set(KINDS) >= {"estate", "collector", "policy", "agent", "service", "alerts"}


def test_a_register_is_checked_although_its_estate_has_faults(tmp_path: Path) -> None:
    """All mistakes come at once: a wrong key in the estate does not hide a wrong line of the register it names."""
    (tmp_path / "ash.csv").write_text("device,room,class,mac,tags\npc-1,ict1,desktop,00:1B:63:84:45,\n")
    (tmp_path / "estate.toml").write_text(
        'provider = "P"\nclasses = []\n'
        '[[schools]]\nname = "ash"\ntitle = "A"\nlevle = "enhanced"\ndevices = "ash.csv"\n'
    )
    faults = check_files([tmp_path / "estate.toml"]).faults
    assert len(faults) == 2
    assert "6 pairs expected, 5 found" in "\n".join(faults)


def test_alert_settings_load_with_their_paths_whole_and_the_example_is_good(tmp_path: Path) -> None:
    """Paths are those of the file's folder; a severity keeps defaults that are not given."""
    example = Path(__file__).parents[2] / "rules" / "policies" / "alerts.toml"
    alerts = load_alerts(example)
    assert alerts.channels[0].path == str(example.parent / "alerts.log")
    assert alerts.severities.critical.priorities == [1, 2]
    assert [rota.name for rota in alerts.rotas] == ["on-call"]
    (tmp_path / "secret").write_text("key\n")
    (tmp_path / "alerts.toml").write_text(
        'default = ["hook"]\n[severities.critical]\ndelay = "1 min"\n'
        '[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "https://hook.example"\nsecret_file = "secret"\n'
    )
    own = load_alerts(tmp_path / "alerts.toml")
    assert own.channels[0].secret_file == str(tmp_path / "secret")
    assert (own.severities.critical.delay, own.severities.critical.priorities) == ("1 min", [1, 2])
    assert kind_of(Path("x.toml"), {"default": [], "channels": []}) == "alerts"
