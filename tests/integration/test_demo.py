"""`caretaker demo` is the product on one machine: bounded, honest about its figures, and safe to run twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FIELDS = {
    *("devices", "published", "stored", "quarantined", "dropped", "duplicates", "decisions", "commands_sent"),
    *("outcomes", "unsafe", "real_agent"),
}


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a folder of the test's own."""
    return subprocess.Popen(
        [sys.executable, "-m", "caretaker_collector", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
    )


def test_a_bounded_demo_keeps_its_promises_and_leaves_answers(tmp_path: Path) -> None:
    """All is stored, nobody was switched off in use, commands were done and vetoed, and `why` answers afterwards."""
    first = demo(tmp_path, "--for", "45", "--json", "--no-input")
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert err.startswith("Look at this first\n")
    result = json.loads(out)
    assert result.keys() >= FIELDS
    assert result["devices"] == 379
    assert result["published"] == result["stored"] > 1000
    assert result["unsafe"] == result["quarantined"] == result["dropped"] == 0
    assert result["outcomes"]["done"] >= 1
    assert result["outcomes"]["vetoed"] >= 1
    assert result["real_agent"]["hostname"] == "hidden"
    assert result["real_agent"]["uptime_s"] > 0
    assert result["real_agent"]["published"] > 0

    why = subprocess.run(
        [sys.executable, "-m", "caretaker_collector", "why", "here/this-machine", "--limit", "50"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "exempt by its tag" in why.stdout

    told = [json.loads(line)["title"] for line in (tmp_path / "demo-out" / "alerts.log").read_text().splitlines()]
    dead = [title for title in told if "ict2-switch is down" in title and not title.startswith("fixed")]
    assert len(dead) == 1 and dead[0].startswith("P2 Ashfield Secondary: ")

    # A second run starts afresh in the same folder, and ends on Ctrl-C in good order.
    second = demo(tmp_path)
    time.sleep(8)
    third = demo(tmp_path, "--for", "5")
    _, err = third.communicate(timeout=30)
    assert third.returncode == 2
    assert "another demo runs here" in err
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "all stored" in err
    assert "ending" in err


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    """Nothing of somebody else's is removed."""
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "demo-out" / "thesis.txt").write_text("three years of work")
    run = demo(tmp_path, "--for", "5")
    _, err = run.communicate(timeout=30)
    assert run.returncode == 2
    assert "no demo made it" in err
    assert (tmp_path / "demo-out" / "thesis.txt").exists()
