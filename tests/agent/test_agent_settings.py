"""agent.toml: all mistakes at once, each with its line, key and remedy."""

import tomllib
from pathlib import Path

import msgspec
import pytest

import caretaker_agent
from caretaker_agent import settings
from caretaker_contract.errors import ConfigError

GOOD = """\
school = "ash"
device = "pc-1"
room = "ict1"
device_class = "desktop"

[broker]
host = "broker.example"
"""


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    return [fault.replace(f"{tmp_path}/", "") for fault in caught.value.faults]


def test_the_smallest_file_has_the_documented_defaults(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(GOOD)
    found = settings.load(tmp_path / "agent.toml")
    assert settings.address(found) == "ash/pc-1"
    assert (found.heartbeat_s, found.idle_after_s, found.poll_s) == (300, 300, 15)
    assert found.allow_power_off is False
    assert found.command_keys == []
    assert found.broker.port == 1883
    assert found.outbox_max_bytes == 8 * 1024 * 1024


def test_all_mistakes_come_at_once_with_line_key_and_remedy(tmp_path: Path) -> None:
    text = """\
school = "Ash Primary"
device = "pc-1"
device_class = "desktop"
heartbeats_s = 60
idle_after_s = 5
allow_power_off = "yes"
command_keys = ["abc"]
[broker]
port = 99999
hots = "x"
certificate = "c.pem"
password_file = "missing.txt"
"""
    found = faults(tmp_path, text)
    expected = [
        ("agent.toml:9: broker.port: ", "<= 65535"),
        ("agent.toml:10: broker.hots: unknown key; ", "did you mean host?"),
        ("agent.toml: broker.host: is missing", "give the broker's host name"),
        ("agent.toml:1: school: ", "use a-z, 0-9 and hyphens"),
        ("agent.toml:4: heartbeats_s: unknown key; ", "did you mean heartbeat_s?"),
        ("agent.toml:5: idle_after_s: ", ">= 10"),
        ("agent.toml:6: allow_power_off: ", "bool"),
        ("agent.toml:7: command_keys: ", "64 hex digits"),
        ("agent.toml: room: is missing", "asset register"),
    ]
    for start, rest in expected:
        assert any(fault.startswith(start) and rest in fault for fault in found), (start, found)
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('ca = "ca.pem"\ncertificate = "c.pem"', "certificate and key go together"),
        ('certificate = "c.pem"\nkey = "k.pem"', "without ca nothing is encrypted"),
        ('password_file = "p"', "has no username"),
        ('ca = "nowhere.pem"', "agent.toml:8: broker.ca: no such file: nowhere.pem"),
    ],
)
def test_keys_that_belong_together_are_asked_for(tmp_path: Path, more: str, what: str) -> None:
    for name in ("ca.pem", "c.pem", "k.pem", "p"):
        (tmp_path / name).write_text("")
    (fault,) = faults(tmp_path, GOOD + more + "\n")
    assert what in fault


def test_a_table_that_is_none_and_a_file_that_is_not_toml_are_named(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD.replace('[broker]\nhost = "broker.example"', 'broker = "here"')) == [
        "agent.toml:6: broker: must be a table; add a table [broker] with at least host"
    ]
    (fault,) = faults(tmp_path, "school = ")
    assert "not TOML" in fault
    with pytest.raises(ConfigError, match="no such file"):
        settings.load(tmp_path / "none.toml")


def test_relative_files_are_looked_for_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "agent.toml").write_text('state_dir = "state"\n' + GOOD + 'ca = "ca.pem"\n')
    found = settings.beside(tmp_path / "agent.toml", settings.load(tmp_path / "agent.toml"))
    assert found.state_dir == f"{tmp_path}/state"
    assert found.broker.ca == f"{tmp_path}/ca.pem"
    assert found.broker.key is None


def test_checked_settings_pass_to_the_steady_process_unchanged(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(GOOD)
    found = settings.load(tmp_path / "agent.toml")
    assert msgspec.json.decode(msgspec.json.encode(found), type=settings.Settings) == found


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == caretaker_agent.VERSION
