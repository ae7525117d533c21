"""`caretaker demo` is the product on one machine: bounded, honest about its figures, and safe to run twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from caretaker_contract.metrics import MEASUREMENTS
from servers import Influx

pytestmark = [pytest.mark.slow, pytest.mark.alone]

FIELDS = {
    *("devices", "published", "stored", "quarantined", "dropped", "duplicates", "decisions", "commands_sent"),
    *("outcomes", "unsafe", "real_agent"),
}


def demo(folder: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    """The command in a folder of the test's own."""
    return subprocess.Popen(
        [sys.executable, "-m", "caretaker_collector", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environ},
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
    _sign_in_to_the_desk(tmp_path / "demo-out")
    third = demo(tmp_path, "--for", "5")
    _, err = third.communicate(timeout=30)
    assert third.returncode == 2
    assert "another demo runs here" in err
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "all stored" in err
    assert "ending" in err


def _sign_in_to_the_desk(out: Path) -> None:
    """The demo's accounts open its desk, and only its owner can read their passwords."""
    kept = out / "accounts.txt"
    assert kept.stat().st_mode & 0o777 == 0o600
    passwords = dict(line.split()[:2] for line in kept.read_text().splitlines())
    assert passwords.keys() == {"viewer", "engineer", "director"}
    port = tomllib.loads((out / "collector.toml").read_text())["http"]["port"]
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    desk = f"http://127.0.0.1:{port}"
    form = browser.open(f"{desk}/sign-in", timeout=20).read().decode()
    token = re.search(r'name="csrf" value="([^"]+)"', form)
    assert token is not None
    fields = {"csrf": token[1], "name": "director", "password": passwords["director"], "next": "/"}
    page = browser.open(f"{desk}/sign-in", urllib.parse.urlencode(fields).encode(), timeout=20).read().decode()
    assert "Ashfield Secondary" in page
    assert "Oakley Primary" not in page


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    """Nothing of somebody else's is removed."""
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "demo-out" / "thesis.txt").write_text("three years of work")
    run = demo(tmp_path, "--for", "5")
    _, err = run.communicate(timeout=30)
    assert run.returncode == 2
    assert "no demo made it" in err
    assert (tmp_path / "demo-out" / "thesis.txt").exists()


def test_a_demo_fills_an_influxdb_with_its_past_too_and_says_how_boards_get_at_it(
    tmp_path: Path, influx: Influx
) -> None:
    (tmp_path / "token").write_text(influx.token)
    named = {"URL": influx.url, "TOKEN_FILE": str(tmp_path / "token"), "ORG": influx.org, "BUCKET": influx.bucket}
    run = demo(
        tmp_path,
        *("--store", "influx", "--history", "1d", "--for", "8", "--json"),
        **{f"CARETAKER_INFLUX_{name}": value for name, value in named.items()},
    )
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    for line in (
        f"  url           {influx.url}",
        f"  database      {influx.bucket}",
        f"  access        header Authorization: Token TOKEN, the one in {tmp_path / 'token'}",
        "  time range    the demo's own clock: it is Tue 6 October 2026 16:",
    ):
        assert f"\n{line}" in err
    assert influx.token not in err
    result = json.loads(out)
    assert result["published"] == result["stored"] > 100  # the past does not count
    counts = {}
    for measurement in ("device", "device_day", "school_day", "energy_day", "energy_month", "school_now", "collector"):
        first = MEASUREMENTS[measurement][0].name
        [row] = influx.ask(f'SELECT COUNT("{first}") AS "count" FROM "{measurement}"')
        counts[measurement] = row["count"]
    assert counts["device"] > result["stored"] + 20_000
    assert counts["device_day"] >= 378
    assert counts["school_day"] >= 2
