"""Probes over made-up /proc and /sys, and how their answers are combined."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caretaker_agent import probe
from caretaker_agent.meters import Reading
from caretaker_agent.platforms import linux, packages, people, sensors, x11
from caretaker_agent.platforms.logind import Session, asks_to_stay, input_age_s
from caretaker_agent.sentences import sentence
from caretaker_contract.clock import Clock
from caretaker_contract.messages import POWER_VERBS, Verb, WarnText


class Says:
    cheap = True

    def __init__(self, gauge: str, *answers: object) -> None:
        self.gauge = gauge
        self.answers = list(answers)

    def gather(self) -> probe.Value:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]


class Dear(Says):
    cheap = False


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def look(*probes: probe.Probe, full: bool = True) -> probe.Look:
    return probe.gather(Reading(1, 1), probes, full)[0]


def test_the_shortest_input_age_of_all_probes_counts() -> None:
    assert look(Says("input_age_s", 500.0), Says("input_age_s", 20.0), Says("input_age_s", None)).input_age_s == 20


def test_one_probe_that_fails_makes_the_whole_gauge_unknown() -> None:
    found, broken = probe.gather(
        Reading(1, 1), [Says("input_age_s", 9999.0), Says("input_age_s", OSError("gone")), Says("session", True)], True
    )
    assert found.input_age_s is None
    assert found.session is True
    assert broken == ["Says: OSError: gone"]


def test_nothing_to_say_is_unknown_and_any_yes_is_yes() -> None:
    assert look(Says("inhibited", None)).inhibited is None
    assert look(Says("inhibited", False), Says("inhibited", True)).inhibited is True


def test_dear_probes_are_asked_only_for_a_report() -> None:
    assert look(Dear("cpu_ratio", 0.5), full=False).cpu_ratio is None
    assert look(Dear("cpu_ratio", 0.5)).cpu_ratio == 0.5


def test_processor_share_is_over_the_time_since_the_last_question(tmp_path: Path) -> None:
    cpu = sensors.Cpu(put(tmp_path, {"proc/stat": "cpu  100 0 100 700 100 0 0 0 9 9\ncpu0 1 2 3\n"}))
    assert cpu.gather() is None
    put(tmp_path, {"proc/stat": "cpu  125 0 125 800 150 0 0 0 9 9\n"})
    assert cpu.gather() == pytest.approx(0.25)
    assert cpu.gather() is None, "no time has passed"


def test_memory_share_is_what_new_programmes_could_not_have(tmp_path: Path) -> None:
    put(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\n"})
    assert sensors.Memory(tmp_path).gather() == pytest.approx(0.6)
    put(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\n"})
    with pytest.raises(KeyError):
        sensors.Memory(tmp_path).gather()


def test_watts_of_a_power_meter_are_the_whole_machines(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon3/"
    put(tmp_path, {chip + "name": "power_meter\n", chip + "power1_average": "47500000\n"})
    put(tmp_path, {"sys/class/hwmon/hwmon1/name": "k10temp\n", "sys/class/hwmon/hwmon1/power1_input": "1000\n"})
    assert sensors.PowerMeter(tmp_path).gather() == pytest.approx(47.5)
    assert sensors.PowerMeter(tmp_path / "none").gather() is None


def test_watts_of_the_psys_counter_hold_across_its_wrap(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:1/"
    put(tmp_path, {zone + "name": "psys\n", zone + "energy_uj": "5000000\n", zone + "max_energy_range_uj": "9999999\n"})
    put(
        tmp_path,
        {"sys/class/powercap/intel-rapl:0/name": "package-0", "sys/class/powercap/intel-rapl:0/energy_uj": "1"},
    )
    seconds = iter([10.0, 12.0, 14.0])
    psys = sensors.Psys(lambda: next(seconds), tmp_path)
    assert psys.gather() is None
    put(tmp_path, {zone + "energy_uj": "9000000\n"})
    assert psys.gather() == pytest.approx(2.0)
    put(tmp_path, {zone + "energy_uj": "3000000\n"})
    assert psys.gather() == pytest.approx(2.0)


def test_the_processors_own_counter_does_not_pass_for_the_machine(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0/"
    put(tmp_path, {zone + "name": "package-0\n", zone + "energy_uj": "5\n", zone + "max_energy_range_uj": "9\n"})
    assert sensors.Psys(lambda: 1.0, tmp_path).gather() is None


def test_a_battery_tells_watts_only_while_it_discharges(tmp_path: Path) -> None:
    supply = "sys/class/power_supply/BAT0/"
    put(tmp_path, {supply + "type": "Battery", supply + "status": "Discharging", supply + "power_now": "8000000"})
    mouse = "sys/class/power_supply/mouse/"
    put(tmp_path, {mouse + "type": "Battery", mouse + "scope": "Device", mouse + "status": "Discharging"})
    assert sensors.Battery(tmp_path).gather() == pytest.approx(8.0)
    put(tmp_path, {supply + "status": "Charging"})
    assert sensors.Battery(tmp_path).gather() is None
    (tmp_path / supply / "power_now").unlink()
    put(
        tmp_path,
        {supply + "status": "Discharging", supply + "current_now": "2000000", supply + "voltage_now": "12000000"},
    )
    assert sensors.Battery(tmp_path).gather() == pytest.approx(24.0)


def test_the_address_to_wake_by_is_the_first_real_wire(tmp_path: Path) -> None:
    for name, mac, extra in (
        ("docker0", "02:42:00:00:00:01", None),
        ("wlan0", "aa:aa:aa:aa:aa:01", "wireless"),
        ("enp3s0", "AA:AA:AA:AA:AA:02", None),
    ):
        put(tmp_path, {f"sys/class/net/{name}/address": mac + "\n", f"sys/class/net/{name}/type": "1\n"})
        if name != "docker0":
            (tmp_path / f"sys/class/net/{name}/device").mkdir()
        if extra:
            (tmp_path / f"sys/class/net/{name}/{extra}").mkdir()
    assert sensors.mac_of_first_wire(tmp_path) == "aa:aa:aa:aa:aa:02"
    assert sensors.mac_of_first_wire(tmp_path / "none") is None


def session(**more: object) -> Session:
    given = {
        "path": "/s",
        "uid": 1000,
        "kind": "x11",
        "klass": "user",
        "display": ":0",
        "tty": "",
        "closing": False,
        "idle_hint": False,
        "idle_since_s": 0.0,
    }
    return Session(**{**given, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sessions", "age_s"),
    [
        ([], 77.0),
        ([session()], 0.0),
        ([session(idle_hint=True, idle_since_s=400.0)], 600.0),
        ([session(kind="wayland", idle_hint=True, idle_since_s=100.0), session(kind="tty", idle_since_s=980.0)], 20.0),
        ([session(), session(kind="tty", idle_since_s=500.0)], 0.0),
        ([session(kind="tty", idle_since_s=0.0)], 0.0),
        ([session(klass="greeter", idle_hint=True, idle_since_s=990.0)], 10.0),
        ([session(klass="greeter")], 77.0),
        ([session(closing=True)], 77.0),
        ([session(klass="manager", kind="unspecified")], 77.0),
        ([session(kind="web")], 0.0),
    ],
)
def test_how_long_ago_the_last_input_was_by_logind(sessions: list[Session], age_s: float) -> None:
    assert input_age_s(sessions, 1000.0, 77.0) == age_s


def test_a_display_that_another_probe_watches_is_left_to_it() -> None:
    assert input_age_s([session()], 1000.0, 77.0, ":0") is None
    assert input_age_s([session(display=":0.0")], 1000.0, 77.0, ":0") is None
    assert input_age_s([session(display=":1")], 1000.0, 77.0, ":0") == 0.0
    assert input_age_s([session(), session(kind="tty", idle_since_s=950.0)], 1000.0, 77.0, ":0") == 50.0


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_SH if sys.argv[2] == "reads" else fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path, how: str = "writes") -> Iterator[None]:
    """A real process holds the lock, as dpkg does."""
    words = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"locked\n"
            yield
        finally:
            child.stdin.close()


@pytest.mark.parametrize("name", packages.LOCKS)
def test_a_package_manager_at_work_asks_to_stay_on(tmp_path: Path, name: str) -> None:
    """Whichever lock it holds, for as long as it holds it; and asking takes nothing from it."""
    root = put(tmp_path, dict.fromkeys(packages.LOCKS, ""))
    found = packages.PackageManager(root)
    assert found.gather() is False
    with locked(root / name):
        assert found.gather() is True
        assert found.gather() is True
    assert found.gather() is False
    with locked(root / name, "reads"):
        assert found.gather() is False, "somebody who only looks"


def test_asking_does_not_keep_a_package_manager_from_its_lock(tmp_path: Path) -> None:
    root = put(tmp_path, {packages.LOCKS[0]: ""})
    found = packages.PackageManager(root)
    for _ in range(3):
        found.gather()
        with locked(root / packages.LOCKS[0]):
            pass


def test_where_no_package_manager_is_nothing_is_installed(tmp_path: Path) -> None:
    assert packages.PackageManager(tmp_path).gather() is False


def test_a_lock_that_may_not_be_read_is_unknown_whatever_the_others_say(tmp_path: Path) -> None:
    """A link to itself stands for what even root cannot open."""
    root = put(tmp_path, {packages.LOCKS[1]: ""})
    (root / packages.LOCKS[0]).symlink_to(root / packages.LOCKS[0])
    found, broken = probe.gather(Reading(1, 1), [packages.PackageManager(root), Says("inhibited", False)], False)
    assert found.inhibited is None
    assert broken[0].startswith("PackageManager: OSError")
    machine = linux.Linux(Clock(), root, bus_socket=tmp_path / "no bus")
    assert machine.look(full=False).inhibited is None


def test_a_machine_whose_package_manager_is_at_work_says_so(tmp_path: Path) -> None:
    """Also at the look that is taken when a command comes."""
    root = put(tmp_path, {packages.LOCKS[0]: ""})
    machine = linux.Linux(Clock(), root, bus_socket=tmp_path / "no bus")
    assert machine.look(full=False).inhibited is False
    with locked(root / packages.LOCKS[0]):
        assert machine.look(full=False).inhibited is True


def test_only_blocking_inhibitors_ask_to_stay_on() -> None:
    assert asks_to_stay([("shutdown:sleep", "apt", "installing", "block", 0, 1)])
    assert asks_to_stay([("idle", "player", "a lesson's film", "block", 1000, 2)])
    assert asks_to_stay([("shutdown", "x", "y", "block-weak", 0, 1)])
    assert not asks_to_stay([("sleep:shutdown", "network", "says goodbye", "delay", 0, 1)])
    assert not asks_to_stay([("handle-lid-switch", "desktop", "own handling", "block", 1000, 1)])


def test_without_bus_and_display_linux_cannot_tell_and_so_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    machine = linux.Linux(Clock(), bus_socket=tmp_path / "none")
    found = machine.look(full=True)
    assert found.input_age_s is None
    assert found.inhibited is False, "no logind, no inhibitors"
    assert machine.boot_id() == machine.boot_id()
    assert machine.clocks().awake_s <= machine.clocks().since_boot_s + 0.1
    assert not machine.going_down() or Path("/run/systemd/system").is_dir()


def test_a_bus_that_does_not_answer_makes_everything_of_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    (tmp_path / "socket").write_text("")
    machine = linux.Linux(Clock(), bus_socket=tmp_path / "socket")
    machine.hold()
    found = machine.look(full=False)
    assert found.input_age_s is None
    assert found.inhibited is None
    assert machine.events() == []
    machine.release()


def test_on_a_fast_clock_the_input_age_runs_as_fast() -> None:
    machine = linux.Linux(Clock(0, 0, 60), bus_socket=Path("/none"))
    machine._probes = [Says("input_age_s", 5.0)]
    assert machine.look(full=False).input_age_s == 300.0


def test_only_a_local_display_is_asked(tmp_path: Path) -> None:
    assert x11.from_environment({"DISPLAY": ":3.1", "HOME": str(tmp_path)}) is not None
    for display in ("", "elsewhere:0", ":x", "host:10.0"):
        assert x11.from_environment({"DISPLAY": display}) is None


def test_a_display_that_is_gone_is_an_error_and_not_an_age() -> None:
    with pytest.raises(OSError):
        x11.X11Idle(":987", Path("/none")).gather()


def test_every_warning_is_a_fixed_sentence_that_says_what_to_do() -> None:
    for text in WarnText:
        for verb in POWER_VERBS:
            said = sentence(text, verb, 120)
            assert "2 minutes" in said
            assert "Press a key or move the mouse" in said
        assert "save your work" in sentence(text, None, 60)
    assert "in 90 seconds" in sentence(WarnText.AFTER_HOURS, Verb.SLEEP, 90)


def test_a_notification_is_sent_as_the_sessions_user_and_without_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"1234/bus": ""})
    tools = tmp_path / "bin"
    for name in ("setpriv", "gdbus"):
        put(tmp_path, {f"bin/{name}": "#!/bin/sh\n"})
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    command = people.notification(1234, "It will shut down; $(reboot)", 60, tmp_path)
    assert command is not None
    assert command[:4] == [str(tools / "setpriv"), "--reuid=1234", "--clear-groups", "--"]
    assert command[4] == str(tools / "gdbus")
    assert command.count("It will shut down; $(reboot)") == 1
    assert people.notification(4321, "nobody", 60, tmp_path) is None


def test_a_line_reaches_a_persons_terminal_and_one_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    try:
        people.write_line(Path(os.ttyname(theirs)), "It stays on.")
        assert b"*** It stays on. ***" in os.read(ours, 200)
    finally:
        os.close(ours)
        os.close(theirs)
    people.write_line(tmp_path / "gone", "x")
