"""Probes over /proc and /sys. All of them take the file system's root, so that a test can show them one of its own."""

from collections.abc import Callable
from pathlib import Path

from caretaker_agent.probe import Value

_MICRO = 1e-6
Seconds = Callable[[], float]


class Cpu:
    """Share of processor time in use since the last call, 0-1 (proc(5), /proc/stat: idle is columns 4 and 5)."""

    gauge = "cpu_ratio"
    cheap = False

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = root / "proc/stat"
        self._before = (0, 0)

    def gather(self) -> Value:
        """None on the first call: there is no span to speak of yet."""
        with self._stat.open() as lines:
            ticks = [int(word) for word in lines.readline().split()[1:9]]
        idle, total = ticks[3] + ticks[4], sum(ticks)
        before_idle, before_total = self._before
        first, self._before = not before_total, (idle, total)
        if first or total <= before_total:
            return None
        return min(1.0, max(0.0, 1 - (idle - before_idle) / (total - before_total)))


class Memory:
    """Share of memory that new programmes could not have, 0-1 (/proc/meminfo: 1 - MemAvailable / MemTotal)."""

    gauge = "memory_ratio"
    cheap = False

    def __init__(self, root: Path = Path("/")) -> None:
        self._meminfo = root / "proc/meminfo"

    def gather(self) -> Value:
        """Raises where a kernel does not tell."""
        found: dict[str, int] = {}
        with self._meminfo.open() as lines:
            for line in lines:
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0])
                    if len(found) == 2:
                        break
        return min(1.0, max(0.0, 1 - found["MemAvailable"] / found["MemTotal"]))


class PowerMeter:
    """Watts of the whole machine from an ACPI power meter (hwmon named power_meter, power1_average in microwatts)."""

    gauge = "whole_watts"
    cheap = True

    def __init__(self, root: Path = Path("/")) -> None:
        self._files = [
            chip / name
            for chip in sorted((root / "sys/class/hwmon").glob("hwmon*"))
            if _text(chip / "name") == "power_meter"
            for name in ("power1_average", "power1_input")
            if _text(chip / name)
        ][:1]

    def gather(self) -> Value:
        """None where there is no such meter."""
        return float(self._files[0].read_text()) * _MICRO if self._files else None


class Psys:
    """Watts of the whole platform from the powercap zone `psys`, where a machine has it and lets the agent read it.

    The zones `package-N` are left out on purpose: they measure the processor alone, a fraction of what the machine
    draws, and would pass for it in every energy figure. energy_uj wraps at max_energy_range_uj (kernel documentation,
    power/powercap).
    """

    gauge = "whole_watts"
    cheap = True

    def __init__(self, since_boot_s: Seconds, root: Path = Path("/")) -> None:
        zones = (root / "sys/class/powercap").glob("intel-rapl:*")
        self._zones = [zone for zone in sorted(zones) if _text(zone / "name") == "psys" and _text(zone / "energy_uj")][
            :1
        ]
        self._seconds = since_boot_s
        self._before: tuple[float, int] | None = None

    def gather(self) -> Value:
        """Mean watts since the last call; None on the first, and where there is no such zone."""
        if not self._zones:
            return None
        zone, now = self._zones[0], self._seconds()
        energy_uj = int((zone / "energy_uj").read_text())
        before, self._before = self._before, (now, energy_uj)
        if before is None or now <= before[0]:
            return None
        used = energy_uj - before[1]
        if used < 0:
            used += int((zone / "max_energy_range_uj").read_text()) + 1
        return used * _MICRO / (now - before[0])


class Battery:
    """Watts that a laptop draws from its battery: the whole machine's, but only while it is unplugged."""

    gauge = "watts"
    cheap = False

    def __init__(self, root: Path = Path("/")) -> None:
        supplies = sorted((root / "sys/class/power_supply").glob("*"))
        self._batteries = [
            supply
            for supply in supplies
            if _text(supply / "type") == "Battery" and _text(supply / "scope") != "Device"  # a mouse has one too
        ]

    def gather(self) -> Value:
        """None while nothing discharges."""
        watts = [
            abs(float(_text(battery / "power_now"))) * _MICRO
            if _text(battery / "power_now")
            else abs(float(_text(battery / "current_now")) * float(_text(battery / "voltage_now"))) * _MICRO**2
            for battery in self._batteries
            if _text(battery / "status") == "Discharging"
        ]
        return sum(watts) if watts else None


def mac_of_first_wire(root: Path = Path("/")) -> str | None:
    """The MAC address to wake this machine by: its first real Ethernet card's, wired before wireless; None: none."""
    cards = [card for card in sorted((root / "sys/class/net").glob("*")) if (card / "device").exists()]
    cards.sort(key=lambda card: (card / "wireless").exists())
    for card in cards:
        if _text(card / "type") == "1":  # ARPHRD_ETHER
            mac = _text(card / "address").lower()
            if len(mac) == 17 and mac != "00:00:00:00:00:00":
                return mac
    return None


def _text(path: Path) -> str:
    """A small file's text, "" when it is not there or may not be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
