"""What a platform has to offer, and how its probes make one look at the machine.

A probe fills one gauge with one small method. None means that it has nothing to say (no such sensor here); an exception
means that something is wrong, and then nobody can tell: the whole gauge is None, whatever other probes of it say, and
an unknown input age counts as in use. Adding a probe: its class, its test, one line in the platform's registry.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from caretaker_agent.meters import Reading
from caretaker_contract.messages import Verb

Value = float | bool | None


class Probe(Protocol):
    """One source for one gauge, which is the name of a field of Look."""

    gauge: str
    cheap: bool  # asked at every look; the others only when a report is made

    def gather(self) -> Value:
        """Read it now. None: nothing to say. Any exception: cannot tell."""
        ...


class Look(NamedTuple):
    """What was seen of the machine. None: cannot tell."""

    clocks: Reading
    input_age_s: float | None = None
    session: bool | None = None
    inhibited: bool | None = None
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    disk_ratio: float | None = None
    watts: float | None = None
    whole_watts: float | None = None  # of the whole machine and all the time, so that energy may be counted from it


class Event(Enum):
    """What the system tells of itself."""

    SLEEPING = auto()
    SHUTTING_DOWN = auto()
    BACK = auto()  # from sleep, or from a shutdown that was called off


class Platform(Protocol):
    """The machine under an agent. Tests hand in their own."""

    os_text: str  # such as "Debian GNU/Linux 12", printable ASCII
    mac: str | None
    abilities: frozenset[Verb]

    def boot_id(self) -> str:
        """The same until the machine is booted again."""
        ...

    def clocks(self) -> Reading:
        """The two clocks that no person can set."""
        ...

    def look(self, full: bool) -> Look:
        """Ask the probes; `full` asks the dear ones too."""
        ...

    def uptime_s(self) -> int:
        """Seconds of the world since the machine was started, sleep included."""
        ...

    def act(self, verb: Verb) -> bool:
        """Shut down, restart or sleep now; False when the system refuses."""
        ...

    def warn(self, sentence: str, seconds: int) -> None:
        """Show it to whoever is at the machine; never raises."""
        ...

    def unwarn(self) -> None:
        """Say that nothing will happen after all; never raises."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when `events` has something, None where nothing does."""
        ...

    def events(self) -> list[Event]:
        """What the system told since the last call."""
        ...

    def hold(self) -> None:
        """Ask the system to wait for us before it sleeps or shuts down."""
        ...

    def release(self) -> None:
        """We have said goodbye: let it go on."""
        ...

    def going_down(self) -> bool:
        """Whether the whole system is stopping (asked when the agent is told to stop)."""
        ...


def gather(clocks: Reading, probes: Sequence[Probe], full: bool) -> tuple[Look, list[str]]:
    """Ask the probes and combine what they say; also one line for every probe that failed."""
    found: dict[str, list[float | bool]] = {}
    broken: dict[str, str] = {}
    for probe in probes:
        if not (full or probe.cheap):
            continue
        try:
            value = probe.gather()
        except Exception as error:  # whatever a driver, bus or file system comes up with: we cannot tell
            broken[probe.gauge] = f"{type(probe).__name__}: {type(error).__name__}: {error}"
            continue
        if value is not None:
            found.setdefault(probe.gauge, []).append(value)

    def number(gauge: str) -> float | None:
        return None if gauge in broken or gauge not in found else min(found[gauge])

    def fact(gauge: str) -> bool | None:
        return None if gauge in broken or gauge not in found else any(found[gauge])

    look = Look(
        clocks,
        number("input_age_s"),
        fact("session"),
        fact("inhibited"),
        number("cpu_ratio"),
        number("memory_ratio"),
        number("disk_ratio"),
        number("watts"),
        number("whole_watts"),
    )
    return look, list(broken.values())


def ascii_text(parts: Iterable[str], limit: int = 80) -> str:
    """Printable ASCII for a hello; anything else becomes a question mark."""
    text = " ".join(part for part in parts if part)
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:limit]
