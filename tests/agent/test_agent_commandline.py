"""The command line's manners: results on standard output, talk on standard error, documented exit codes."""

from pathlib import Path

import pytest

from caretaker_agent.cli import main
from caretaker_contract import messages
from caretaker_contract.messages import Report
from caretaker_contract.topics import Kind

GOOD = """\
school = "ash"
device = "pc-1"
room = "ict1"
device_class = "desktop"
state_dir = "state"
[broker]
host = "127.0.0.1"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(GOOD)
    return path


def test_once_prints_one_report_as_json_and_leaves_no_trace(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["once", "--json", "--config", str(config)]) == 0
    report = messages.decode(Kind.REPORT, capsys.readouterr().out.encode())
    assert isinstance(report, Report)
    assert report.gauges.uptime_s is not None
    assert report.gauges.memory_ratio is not None
    assert report.gauges.disk_ratio is None or 0 < report.gauges.disk_ratio <= 1, "None: this machine runs from memory"
    assert report.gauges.cpu_ratio is not None
    assert not (config.parent / "state").exists(), "it must not use up a number of the agent that runs"


def test_once_prints_lines_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["once", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["machine", "ash/pc-1"]
    assert lines[1].startswith("state")


def test_check_config_finds_nothing_or_prints_every_mistake(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", str(config)]) == 0
    assert "all well" in capsys.readouterr().out
    config.write_text(GOOD.replace("room", "rooom").replace("device_class", "klass"))
    assert main(["check-config", "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 4, out
    assert err == ""


def test_settings_with_mistakes_stop_every_other_verb_with_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("")
    for verb in ("run", "once"):
        assert main([verb, "--config", str(config)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "school: is missing" in err


def test_a_state_that_cannot_be_read_is_cannot_tell(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "state").write_text("a file where a folder should be")
    assert main(["once", "--config", str(config)]) == 3
    assert "state" in capsys.readouterr().err


def test_settings_are_found_by_variable_and_then_by_place(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CARETAKER_AGENT_CONFIG", str(config))
    assert main(["check-config"]) == 0
    monkeypatch.delenv("CARETAKER_AGENT_CONFIG")
    monkeypatch.chdir(tmp_path)
    assert main(["check-config"]) == 0
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    capsys.readouterr()
    if not Path("/etc/caretaker/agent.toml").exists():
        assert main(["check-config"]) == 1
        assert "CARETAKER_AGENT_CONFIG" in capsys.readouterr().err


def test_wrong_usage_is_2_and_help_and_version_are_0(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["dance"], 2), ([], 2), (["--version"], 0), (["run", "--help"], 0)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == code
    out = capsys.readouterr().out
    assert "caretaker-agent 0.1.0" in out
    assert "3 cannot tell" in out
