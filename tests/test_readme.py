"""README says what is there: its commands exist, its policy loads, its links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from caretaker_rules.policy import PolicyFile, compile_policy

ROOT = Path(__file__).parents[1]
MADE = {".venv", "demo-out", "build"}  # by runs and checks, not by us
READMES = [path for path in ROOT.rglob("README.md") if not MADE & set(path.relative_to(ROOT).parts)]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of this environment."""
    return subprocess.run(
        [str(Path(sys.executable).parent / arguments[0]), *arguments[1:]], capture_output=True, text=True
    )


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`caretaker ([a-z-]+)", README))))
def test_each_command_of_the_readme_exists(command: str) -> None:
    """Its --help answers."""
    assert run("caretaker", command, "--help").returncode == 0


@pytest.mark.parametrize("command", ["run", "once", "still-here", "check-config"])
def test_each_agent_command_of_the_readme_exists(command: str) -> None:
    """Its --help answers."""
    assert run("caretaker-agent", command, "--help").returncode == 0


def test_the_policy_in_the_readme_is_one() -> None:
    """What a newcomer copies is accepted, and is what the demo runs."""
    text = README.split("```toml\n")[1].split("```")[0]
    policy = compile_policy(msgspec.convert(tomllib.loads(text), PolicyFile), text, "README.md")
    assert [rule.name for rule in policy.rules] == ["after-hours"]
    demo = tomllib.loads((ROOT / "rules/policies/school.toml").read_text(encoding="utf-8"))
    assert tomllib.loads(text)["rules"] == demo["rules"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(readme: Path) -> None:
    """Every relative link is a file or folder."""
    for target in re.findall(r"\]\(([^)#:]+)\)", readme.read_text(encoding="utf-8")):
        assert (readme.parent / target).exists(), target


def test_files_named_in_the_collectors_readme_exist() -> None:
    """Its table names modules that are there."""
    folder = ROOT / "collector/caretaker_collector"
    table = (ROOT / "collector/README.md").read_text(encoding="utf-8").split("What holds it together")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    there = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    assert named <= there
