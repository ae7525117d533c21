"""scripts/setup.sh: one line when it may not install, everything when it may, nothing the second time.

The script is the real one; around it are a PATH of stand-ins that write down how they were called, and a clone with
small requirement files. (`make demo` and `make test` in a fresh clone run it against real packages.)
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TOOLS = [
    "true",
    "bash",
    "cat",
    "chmod",
    "cut",
    "dirname",
    "env",
    "ls",
    "mkdir",
    "mktemp",
    "rm",
    "sha256sum",
    "tail",
    "cp",
]
PYTHON = """#!/bin/bash
echo "python $*" >>"{log}"
case "$*" in
*version_info*) exit {too_old} ;;
*"import ensurepip"*) exit {no_ensurepip} ;;
"-m venv .venv") mkdir -p .venv/bin && echo "home = /" >.venv/pyvenv.cfg && cp "$0" .venv/bin/python ;;
--version) echo "Python 3.11.2" ;;
esac
"""
BESIDE_SERVERS = ("ip", "unshare", "mount", "dbus-daemon", "npm", "chromium", "pdftotext", "fc-list")
"""What the tests call beside the servers that they start."""


@dataclass
class World:
    """A clone and a machine around it."""

    clone: Path
    bin: Path
    log: Path

    def stand_in(self, name: str, body: str = "exit 0") -> None:
        """A programme that notes its call and then does `body`."""
        path = self.bin / name
        path.unlink(missing_ok=True)  # never write through a link to the real programme
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\n{body}\n')
        path.chmod(0o755)

    def python(self, too_old: bool = False, no_ensurepip: bool = False) -> None:
        """A stand-in for python3."""
        path = self.bin / "python3"
        path.write_text(PYTHON.format(log=self.log, too_old=int(too_old), no_ensurepip=int(no_ensurepip)))
        path.chmod(0o755)

    def run(self, level: str = "demo") -> subprocess.CompletedProcess[str]:
        """Run the script with this machine's PATH and nothing else."""
        return subprocess.run(
            [self.clone / "scripts" / "setup.sh", level],
            env={"PATH": str(self.bin), "TMPDIR": str(self.bin)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def calls(self, start: str) -> list[str]:
        """What was called, of those lines that start so."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An ordinary user's machine without sudo, on which nothing is missing."""
    made = World(tmp_path / "clone", tmp_path / "bin", tmp_path / "log")
    made.bin.mkdir()
    for folder in ("scripts", "requirements"):
        (made.clone / folder).mkdir(parents=True)
    for name in ("collector", "build", "dev"):
        (made.clone / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
    (made.clone / "pyproject.toml").write_text("")
    text = (REPOSITORY / "scripts" / "setup.sh").read_text()
    for place, own in (("/usr/sbin:/sbin", "/nowhere"), ("/run/systemd/system", str(tmp_path / "systemd"))):
        assert text.count(place) == 1
        text = text.replace(place, own)
    script = made.clone / "scripts" / "setup.sh"
    script.write_text(text)
    script.chmod(0o755)
    for tool in TOOLS:
        (made.bin / tool).symlink_to(str(shutil.which(tool)))
    made.python()
    made.stand_in("id", "echo 1000")
    made.stand_in("apt-get")
    for server in ("mosquitto", "influxd", "nginx", "openssl", "strace", "systemd-analyze", *BESIDE_SERVERS):
        made.stand_in(server)
    made.stand_in("ldconfig", "echo libpango-1.0.so.0 libpangoft2-1.0.so.0")
    return made


def test_a_missing_package_is_one_line_that_says_what_to_install_when_it_may_not(world: World) -> None:
    (world.bin / "mosquitto").unlink()
    done = world.run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "caretaker: Debian packages are missing; run: sudo apt-get install --no-install-recommends mosquitto\n"
    )
    assert world.calls("apt-get") == []
    assert not (world.clone / ".venv").exists()


def test_what_draws_the_review_pack_is_named_when_it_is_missing(world: World) -> None:
    world.stand_in("ldconfig", "echo libc.so.6")
    world.stand_in("fc-list", "exit 1")
    done = world.run()
    assert done.returncode == 2
    assert done.stderr.endswith(" libpango-1.0-0 libpangoft2-1.0-0 fonts-dejavu-core\n")


@pytest.mark.parametrize("how", ["root", "sudo"])
def test_as_root_or_with_sudo_it_installs_what_is_missing(world: World, how: str) -> None:
    for name in ("mosquitto", "nginx"):
        (world.bin / name).unlink()
    if how == "root":
        world.stand_in("id", "echo 0")
    else:
        world.stand_in("sudo", 'shift\nexec "$@"')
    done = world.run("test")
    assert done.returncode == 0, done.stderr
    assert world.calls("apt-get") == [
        "apt-get -q -y update",
        "apt-get -q -y install --no-install-recommends mosquitto nginx-light",
    ]
    assert bool(world.calls("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get")) is (how == "sudo")


def test_servers_that_debian_would_start_are_neither_started_nor_enabled(world: World, tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    (world.bin / "mosquitto").unlink()
    world.stand_in("id", "echo 0")
    world.stand_in("systemctl")
    assert world.run().returncode == 0
    order = [line.split(" ")[1:] for line in world.log.read_text().splitlines() if line.startswith(("syst", "apt"))]
    assert [words[1] for words in order] == ["mask", "-y", "-y", "unmask", "disable"]
    assert all(words[-1] == "mosquitto.service" for words in order if words[0] == "--quiet")


def test_when_apt_fails_its_last_words_are_shown_and_it_ends_with_2(world: World) -> None:
    (world.bin / "mosquitto").unlink()
    world.stand_in("id", "echo 0")
    world.stand_in("apt-get", "echo 'E: no such mirror'; exit 100")
    done = world.run()
    assert done.returncode == 2
    assert "E: no such mirror" in done.stderr
    assert done.stderr.endswith("caretaker: apt-get could not install mosquitto (its last words are above)\n")


def test_packages_are_pinned_with_hashes_and_come_from_where_the_user_says(world: World) -> None:
    assert world.run().returncode == 0
    required, own = world.calls("python -m pip --quiet")
    assert "--require-hashes" in required
    assert required.endswith("--requirement=requirements/collector.txt --requirement=requirements/build.txt")
    assert own.endswith("install --no-deps --no-build-isolation --editable .")
    script = (REPOSITORY / "scripts" / "setup.sh").read_text()
    assert "index" not in script and "http" not in script


def test_the_second_run_installs_nothing_and_says_nothing(world: World) -> None:
    assert world.run().returncode == 0
    before = len(world.calls("python -m pip --quiet"))
    again = world.run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(world.calls("python -m pip --quiet")) == before


def test_what_serves_the_tests_serves_the_demo_too_but_not_the_other_way(world: World) -> None:
    assert world.run("test").returncode == 0
    assert world.run("demo").stderr == ""
    (world.clone / ".venv" / ".caretaker-dev").unlink()
    assert world.run("demo").returncode == 0
    assert "requirements/dev.txt" in world.run("test").stderr


@pytest.mark.parametrize("changed", ["requirements/collector.txt", "pyproject.toml"])
def test_changed_requirements_are_installed_again(world: World, changed: str) -> None:
    assert world.run().returncode == 0
    (world.clone / changed).write_text("changed\n")
    before = len(world.calls("python -m pip --quiet"))
    assert world.run().returncode == 0
    assert len(world.calls("python -m pip --quiet")) == before + 2


def test_a_set_up_that_failed_half_way_is_not_taken_for_done(world: World) -> None:
    world.python()
    path = world.bin / "python3"
    path.write_text(path.read_text().replace("esac", "*--require-hashes*) exit 1 ;;\nesac"))
    done = world.run()
    assert done.returncode == 2
    assert "pip could not install requirements/collector.txt requirements/build.txt" in done.stderr
    assert world.run().returncode == 2


def test_after_a_failed_change_nothing_that_was_there_before_is_trusted(world: World) -> None:
    assert world.run("demo").returncode == 0
    pip = world.clone / ".venv" / "bin" / "python"
    good = pip.read_text()
    pip.write_text(good.replace("esac", "*--require-hashes*) exit 1 ;;\nesac"))
    assert world.run("test").returncode == 2
    pip.write_text(good)
    assert "requirements/collector.txt" in world.run("demo").stderr


def test_a_python_without_ensurepip_needs_debians_python3_venv(world: World) -> None:
    world.python(no_ensurepip=True)
    assert world.run().stderr.endswith("apt-get install --no-install-recommends python3-venv\n")


def test_an_old_python_is_refused_in_one_line(world: World) -> None:
    world.python(too_old=True)
    done = world.run()
    assert done.returncode == 2
    assert done.stderr == "caretaker: Python 3.11 or newer is needed: apt-get install python3 python3-venv\n"


def test_a_folder_called_venv_that_is_none_is_left_alone(world: World) -> None:
    (world.clone / ".venv").mkdir()
    (world.clone / ".venv" / "notes.txt").write_text("mine")
    assert world.run().stderr.endswith("caretaker: .venv is not a virtual environment; move it away\n")
    assert (world.clone / ".venv" / "notes.txt").read_text() == "mine"


def test_the_build_requirements_agree_with_the_development_ones() -> None:
    build = (REPOSITORY / "requirements" / "build.txt").read_text()
    assert "hatchling==" in build and "editables==" in build
    pins = [line for line in build.splitlines() if "==" in line]
    dev = (REPOSITORY / "requirements" / "dev.txt").read_text()
    assert all(pin in dev for pin in pins)


@pytest.mark.parametrize("name", ["agent", "build", "collector", "dev"])
def test_every_pin_has_hashes_and_no_file_names_an_index(name: str) -> None:
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text()
    pins = [block for block in text.replace("\\\n", " ").splitlines() if block.strip()]
    assert pins and all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    assert "index-url" not in text and "://" not in text


def test_scripts_can_be_run() -> None:
    for script in ("scripts/setup.sh", "scripts/lock.sh", ".ci/run", "deploy/certificates.sh"):
        assert os.access(REPOSITORY / script, os.X_OK), script
