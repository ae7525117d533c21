"""What deploy/ hands to a provider: examples without faults, units that systemd takes and finds tight, true paths."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from caretaker_agent import settings as agent_settings
from caretaker_collector.settings import check_files, load_collector
from caretaker_contract.topics import UPWARD, Kind
from caretaker_relay import settings as relay_settings

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.service"))
MOST_EXPOSED = {"caretaker-collector.service": 12, "caretaker-agent.service": 25, "caretaker-relay.service": 18}
"""Tenths of systemd-analyze's scale of 0 (tight) to 10; a plain unit has 9.6."""


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """A command with its output."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A unit whose programme exists: systemd-analyze asks for it."""
    text = (DEPLOY / "systemd" / request.param).read_text()
    text, replaced = re.subn(r"(?m)^ExecStart=/opt/\S+", f"ExecStart={shutil.which('true')}", text)
    assert replaced == 1
    path = tmp_path / request.param
    path.write_text(text)
    return path


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_systemd_finds_no_mistake_in_a_unit(unit: Path) -> None:
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_a_unit_is_no_more_exposed_than_was_decided(unit: Path) -> None:
    threshold = f"--threshold={MOST_EXPOSED[unit.name]}"
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", threshold, unit)
    assert done.returncode == 0, done.stdout


def test_the_collectors_user_is_one_that_sysusers_can_make(tmp_path: Path) -> None:
    (tmp_path / "etc" / "sysusers.d").mkdir(parents=True)
    shutil.copy(DEPLOY / "systemd" / "caretaker.sysusers.conf", tmp_path / "etc" / "sysusers.d" / "caretaker.conf")
    done = run("systemd-sysusers", f"--root={tmp_path}", "caretaker.conf")
    assert done.returncode == 0, done.stderr
    user = re.search(r"^User=(.*)$", (DEPLOY / "systemd" / "caretaker-collector.service").read_text(), re.MULTILINE)
    assert user is not None and f"\n{user[1]}:" in "\n" + (tmp_path / "etc" / "passwd").read_text()


def test_the_examples_have_no_faults_once_keys_and_certificates_are_there(tmp_path: Path) -> None:
    for path in (*(DEPLOY / "examples").iterdir(), REPOSITORY / "rules" / "policies" / "observe.toml"):
        shutil.copy(path, tmp_path)
    for name in ("ca.crt", "collector.crt", "collector.key", "device.crt", "device.key", "signing.key"):
        (tmp_path / name).write_text("")
    checked = check_files([tmp_path / "collector.toml", tmp_path / "agent.toml"])
    assert checked.faults == []
    assert "1 school, 2 rooms, 3 devices" in checked.notes[0]
    collector, agent = load_collector(tmp_path / "collector.toml"), agent_settings.load(tmp_path / "agent.toml")
    assert (collector.broker.host, collector.broker.port) == (agent.broker.host, agent.broker.port)
    assert agent.allow_power_off is False


def test_the_relays_example_has_no_fault_once_key_and_certificates_are_there(tmp_path: Path) -> None:
    text = (DEPLOY / "examples" / "relay.toml").read_text()
    (tmp_path / "relay.toml").write_text(text.replace("command_keys = []", f'command_keys = ["{"ab" * 32}"]'))
    for name in ("ca.crt", "relay.crt", "relay.key"):
        (tmp_path / name).write_text("")
    relay = relay_settings.load(tmp_path / "relay.toml")
    assert relay.wake == relay_settings.WakeSettings()
    assert relay.broker.host == agent_settings.load(_agent_example(tmp_path)).broker.host


def _agent_example(folder: Path) -> Path:
    for name in ("device.crt", "device.key"):
        (folder / name).write_text("")
    return Path(shutil.copy(DEPLOY / "examples" / "agent.toml", folder))


def test_the_access_list_is_exactly_the_contract() -> None:
    lines = (DEPLOY / "mosquitto" / "caretaker.acl").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules == [
        "user collector",
        *(f"topic read caretaker/1/+/+/{kind.value}" for kind in UPWARD),
        f"topic write caretaker/1/+/+/{Kind.COMMAND.value}",
        *(f"pattern write caretaker/1/%u/{kind.value}" for kind in UPWARD),
        f"pattern read caretaker/1/%u/{Kind.COMMAND.value}",
    ]


@pytest.mark.parametrize(
    "key",
    [
        "max_queued_messages",
        "max_queued_bytes",
        "memory_limit",
        "autosave_interval",
        "max_inflight_messages",
        "max_packet_size",
        "max_keepalive",
        "max_connections",
    ],
)
def test_no_limit_of_the_broker_is_left_open(key: str) -> None:
    text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
    found = re.search(rf"^{key} (\d+)$", text, re.MULTILINE)
    assert found is not None and int(found[1]) > 0
    assert re.search(r"^persistent_client_expiration \d+[dwm]$", text, re.MULTILINE)


def test_every_file_that_the_readme_names_is_there() -> None:
    text = (DEPLOY / "README.md").read_text()
    named = set(re.findall(r"(?:deploy|rules|requirements|tests)/[\w./-]+\w", text))
    named |= {f"deploy/{name}" for name in re.findall(r"`((?:mosquitto|systemd)/[\w.-]+|certificates\.sh)`", text)}
    assert len(named) > 12
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


def test_every_settings_file_that_the_readme_installs_goes_where_the_units_look() -> None:
    text = (DEPLOY / "README.md").read_text()
    for unit in UNITS:
        command = re.search(
            r"^ExecStart=(\S+) .*--config (\S+)$", (DEPLOY / "systemd" / unit).read_text(), re.MULTILINE
        )
        assert command is not None
        assert Path(command[2]).parent == Path("/etc/caretaker")
        assert f"venv {Path(command[1]).parents[1]}\n" in text
