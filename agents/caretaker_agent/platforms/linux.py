"""Linux machines and servers: the registry of probes, the clocks, and the orders to systemd.

logind and X11 may each be absent. Seconds of input age run on the agent's timeline (caretaker_contract.clock), so that
a demonstration on a fast clock sees a machine fall idle; `uptime_s` stays in the world's seconds.
"""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Final

from caretaker_agent import probe
from caretaker_agent.meters import Reading
from caretaker_agent.platforms import disks, sensors, x11
from caretaker_agent.platforms.logind import (
    BUS_SOCKET,
    Logind,
    LogindIdle,
    LogindInhibited,
    LogindSession,
)
from caretaker_agent.platforms.packages import PackageManager
from caretaker_agent.probe import Event, Look, Probe
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Verb

_ORDERS: Final = {Verb.SHUT_DOWN: "poweroff", Verb.RESTART: "reboot", Verb.SLEEP: "suspend"}
_WAIT_S = 10.0


class Linux:
    """See the module. `root` is the root of the file systems under /proc, /sys, /run and /var."""

    def __init__(self, clock: Clock, root: Path = Path("/"), bus_socket: Path = BUS_SOCKET) -> None:
        self._clock = clock
        self._root = root
        self._complained: set[str] = set()
        self.os_text = _os_text(root)
        self.mac = sensors.mac_of_first_wire(root)
        self.abilities = frozenset({Verb.SHUT_DOWN, Verb.RESTART, Verb.SLEEP, Verb.WARN, Verb.CANCEL, Verb.REPLAY})
        self._logind: Logind | None = None
        self._probes: list[Probe] = [
            sensors.Cpu(root),
            sensors.Memory(root),
            disks.Disks(root),
            sensors.PowerMeter(root),
            sensors.Psys(lambda: self.clocks().awake_s / clock.speed, root),
            sensors.Battery(root),
            PackageManager(root),
        ]
        display = x11.from_environment(dict(os.environ))
        if display is not None:
            self._probes.append(display)
        if bus_socket.exists():
            self._logind = Logind(time.monotonic)
            self._logind.x11_display = "" if display is None else display.display.partition(".")[0]
            self._probes += [LogindIdle(self._logind), LogindSession(self._logind), LogindInhibited(self._logind)]

    def boot_id(self) -> str:
        """The kernel's own, drawn at every boot (proc(5), random/boot_id)."""
        return (self._root / "proc/sys/kernel/random/boot_id").read_text().strip()

    def clocks(self) -> Reading:
        """CLOCK_MONOTONIC and CLOCK_BOOTTIME, on the timeline."""
        speed = self._clock.speed
        return Reading(
            time.clock_gettime(time.CLOCK_MONOTONIC) * speed, time.clock_gettime(time.CLOCK_BOOTTIME) * speed
        )

    def uptime_s(self) -> int:
        """CLOCK_BOOTTIME, which counts from the start of the kernel."""
        return int(time.clock_gettime(time.CLOCK_BOOTTIME))

    def look(self, full: bool) -> Look:
        """Ask every probe (without `full`: the cheap ones); a failing one is named once on standard error."""
        look, broken = probe.gather(self.clocks(), self._probes, full)
        for line in broken:
            if line not in self._complained and len(self._complained) < 50:
                self._complained.add(line)
                print(f"caretaker-agent: cannot tell: {line}", file=sys.stderr)  # noqa: T201
        if look.input_age_s is not None:
            look = look._replace(input_age_s=look.input_age_s * self._clock.speed)
        return look

    def act(self, verb: Verb) -> bool:
        """`systemctl` queues the job and returns; it is started without a shell and with no word from the wire."""
        import subprocess

        order = _ORDERS.get(verb)
        if order is None:
            return False
        try:
            done = subprocess.run(["systemctl", order], timeout=_WAIT_S, check=False, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def warn(self, sentence: str, seconds: int) -> None:
        """A notification and a terminal line for everybody signed in."""
        if self._logind is not None:
            from caretaker_agent.platforms import people

            people.tell(self._logind.last_sessions(), sentence, seconds)

    def unwarn(self) -> None:
        """Say that it stays on."""
        self.warn("This computer stays on.", 10)

    def fileno(self) -> int | None:
        """The bus connection."""
        return None if self._logind is None else self._logind.fileno()

    def events(self) -> list[Event]:
        """What logind told. A bus that went away tells nothing; the next look connects again and takes hold anew."""
        if self._logind is None:
            return []
        try:
            return self._logind.events()
        except Exception:  # the bus library lets several kinds through
            return []

    def hold(self) -> None:
        """Take logind's delay inhibitor, where there is a logind that gives one."""
        if self._logind is not None:
            try:
                self._logind.hold()
            except Exception as error:  # without it we only have less time to say goodbye
                if "hold" not in self._complained:
                    self._complained.add("hold")
                    print(f"caretaker-agent: the system will not wait for goodbyes: {error}", file=sys.stderr)  # noqa: T201

    def release(self) -> None:
        """Give the inhibitor back."""
        if self._logind is not None:
            self._logind.release()

    def going_down(self) -> bool:
        """`systemctl is-system-running` says stopping; False where there is no systemd."""
        if not (self._root / "run/systemd/system").is_dir():
            return False
        import subprocess

        try:
            done = subprocess.run(
                ["systemctl", "is-system-running"], timeout=2, check=False, capture_output=True, text=True
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.stdout.strip() == "stopping"


def _os_text(root: Path) -> str:
    names: dict[str, str] = {}
    try:
        for line in (root / "etc/os-release").read_text().splitlines():
            key, _, value = line.partition("=")
            names[key] = value.strip('"')
    except (OSError, UnicodeDecodeError):
        pass  # the kernel's name below has to do
    return probe.ascii_text([names.get("PRETTY_NAME", "Linux"), platform.release()])
