"""Windows machines.

This module has not been run on Windows: it is written from Microsoft's reference pages and tested
against a faked interface (`Api`), on Linux.

Time since the last input comes from GetLastInputInfo, which answers for the session it is called in. An agent that runs
as a service lives in session 0, where nobody types: there it can tell only that nobody is signed in, and otherwise
reports that it cannot tell, which counts as in use. (The last input that WTS gives is 0 for a disconnected session and
the present moment for the console's, so it is not used.) To have idle machines recognised, the agent has to be started
in the user's session, such as by a scheduled task at logon.

Sources (learn.microsoft.com): GetLastInputInfo and GetTickCount (both count 32-bit milliseconds and wrap after 49.7
days), GetTickCount64, QueryUnbiasedInterruptTime, WTSEnumerateSessionsW, WTSSendMessageW, GetSystemTimes,
GlobalMemoryStatusEx, GetDriveTypeW, GetDiskFreeSpaceExW, SetSuspendState, shutdown.exe.
"""

import platform
import sys
from typing import Final, NamedTuple, Protocol

from caretaker_agent import probe
from caretaker_agent.meters import Reading
from caretaker_agent.platforms.win32 import Win32
from caretaker_agent.probe import Event, Look, Probe, Value
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Verb

TICKS: Final = 2**32
ACTIVE, CONNECTED, DISCONNECTED = 0, 1, 4
"""States of a session (WTS_CONNECTSTATE_CLASS)."""


class Session(NamedTuple):
    """A session of the terminal services. `person` tells whether somebody is signed in, never who."""

    number: int
    state: int
    person: bool


class CpuTimes(NamedTuple):
    """Processor time since boot in units of 100 ns; `busy_and_idle` is kernel plus user, and kernel holds idle."""

    idle: int
    busy_and_idle: int


class Api(Protocol):
    """The few calls into Windows that the agent makes."""

    def tick_ms(self) -> int:
        """GetTickCount: 32 bits."""
        ...

    def last_input_tick_ms(self) -> int:
        """GetLastInputInfo: the tick of the last input in this process's session, 32 bits."""
        ...

    def since_boot_ms(self) -> int:
        """GetTickCount64: with the time asleep."""
        ...

    def awake_100ns(self) -> int:
        """QueryUnbiasedInterruptTime: without the time asleep."""
        ...

    def boot_number(self) -> int:
        """A number that changes with every boot."""
        ...

    def own_session(self) -> int:
        """The session of this process; 0 for a service."""
        ...

    def sessions(self) -> list[Session]:
        """WTSEnumerateSessionsW."""
        ...

    def cpu_times(self) -> CpuTimes:
        """GetSystemTimes."""
        ...

    def memory_ratio(self) -> float:
        """GlobalMemoryStatusEx: share of physical memory in use."""
        ...

    def disk_ratio(self) -> float | None:
        """GetDiskFreeSpaceExW: share in use of the fullest fixed drive; None: there is none."""
        ...

    def shutdown(self, arguments: list[str]) -> bool:
        """shutdown.exe with these arguments; whether it agreed."""
        ...

    def suspend(self) -> bool:
        """SetSuspendState: sleep, not hibernate."""
        ...

    def message(self, session: int, text: str, seconds: int) -> None:
        """WTSSendMessageW, without waiting for an answer."""
        ...

    def shutting_down(self) -> bool:
        """GetSystemMetrics(SM_SHUTTINGDOWN)."""
        ...


def age_ms(tick_ms: int, last_input_tick_ms: int) -> int:
    """Milliseconds between two 32-bit ticks, right across their wrap after 49.7 days."""
    return (tick_ms - last_input_tick_ms) % TICKS


class Idle:
    """Probe: seconds since the last input in any session."""

    gauge = "input_age_s"
    cheap = True

    def __init__(self, api: Api) -> None:
        self._api = api
        self._empty_since_ms: int | None = None

    def gather(self) -> Value:
        """See the module; raises LookupError where somebody is signed in whose input cannot be seen from here."""
        api = self._api
        present = [session for session in api.sessions() if session.person]
        now_ms = api.since_boot_ms()
        if not present:
            if self._empty_since_ms is None:
                self._empty_since_ms = now_ms
            return (now_ms - self._empty_since_ms) / 1000
        self._empty_since_ms = None
        own = api.own_session()
        if any(session.state in (ACTIVE, CONNECTED) and session.number != own for session in present):
            raise LookupError("somebody is signed in to a session whose input only that session can see")
        if not any(session.number == own for session in present):
            raise LookupError("only disconnected sessions: when their last input was is not recorded")
        return age_ms(api.tick_ms(), api.last_input_tick_ms()) / 1000


class SignedIn:
    """Probe: whether anybody is signed in."""

    gauge = "session"
    cheap = True

    def __init__(self, api: Api) -> None:
        self._api = api

    def gather(self) -> Value:
        """Never who."""
        return any(session.person for session in self._api.sessions())


class Cpu:
    """Probe: share of processor time in use since the last call."""

    gauge = "cpu_ratio"
    cheap = False

    def __init__(self, api: Api) -> None:
        self._api = api
        self._before: CpuTimes | None = None

    def gather(self) -> Value:
        """None on the first call."""
        before, now = self._before, self._api.cpu_times()
        self._before = now
        if before is None or now.busy_and_idle <= before.busy_and_idle:
            return None
        return min(1.0, max(0.0, 1 - (now.idle - before.idle) / (now.busy_and_idle - before.busy_and_idle)))


class Memory:
    """Probe: share of physical memory in use."""

    gauge = "memory_ratio"
    cheap = False

    def __init__(self, api: Api) -> None:
        self._api = api

    def gather(self) -> Value:
        """As Windows counts it."""
        return self._api.memory_ratio()


class Disks:
    """Probe: share in use of the fullest fixed drive."""

    gauge = "disk_ratio"
    cheap = False

    def __init__(self, api: Api) -> None:
        self._api = api

    def gather(self) -> Value:
        """None where there is no fixed drive."""
        return self._api.disk_ratio()


class Windows:
    """The platform over `api`; see the module."""

    def __init__(self, clock: Clock, api: Api | None = None) -> None:
        self._clock = clock
        self._api: Api = Win32() if api is None else api
        self._probes: list[Probe] = [
            Idle(self._api),
            SignedIn(self._api),
            Cpu(self._api),
            Memory(self._api),
            Disks(self._api),
        ]
        self._complained: set[str] = set()
        self.os_text = probe.ascii_text(["Windows", platform.release(), platform.version()])
        self.mac: str | None = None
        self.abilities = frozenset({Verb.SHUT_DOWN, Verb.RESTART, Verb.SLEEP, Verb.WARN, Verb.CANCEL, Verb.REPLAY})

    def boot_id(self) -> str:
        """The number of this boot."""
        return f"windows-{self._api.boot_number()}"

    def clocks(self) -> Reading:
        """Both clocks on the timeline, from one look at each."""
        speed = self._clock.speed
        return Reading(self._api.awake_100ns() / 1e7 * speed, self._api.since_boot_ms() / 1e3 * speed)

    def uptime_s(self) -> int:
        """Sleep included."""
        return self._api.since_boot_ms() // 1000

    def look(self, full: bool) -> Look:
        """Ask every probe (without `full`: the cheap ones). Windows has no list of programmes that ask to stay on."""
        look, broken = probe.gather(self.clocks(), self._probes, full)
        for line in broken:
            if line not in self._complained:
                self._complained.add(line)
                print(f"caretaker-agent: cannot tell: {line}", file=sys.stderr)  # noqa: T201
        if look.input_age_s is not None:
            look = look._replace(input_age_s=look.input_age_s * self._clock.speed)
        return look._replace(inhibited=False)

    def act(self, verb: Verb) -> bool:
        """shutdown.exe at once (our own countdown is over) and without /f: open work can still stop it."""
        if verb is Verb.SHUT_DOWN:
            return self._api.shutdown(["/s", "/t", "0"])
        if verb is Verb.RESTART:
            return self._api.shutdown(["/r", "/t", "0"])
        return verb is Verb.SLEEP and self._api.suspend()

    def warn(self, sentence: str, seconds: int) -> None:
        """A message box in every session with somebody in it; it closes by itself."""
        try:
            for session in self._api.sessions():
                if session.person:
                    self._api.message(session.number, sentence, seconds)
        except OSError:
            pass  # nobody could be told; the countdown and the veto go on

    def unwarn(self) -> None:
        """Say that it stays on."""
        self.warn("This computer stays on.", 10)

    def fileno(self) -> int | None:
        """Nothing to wait for: a sleep is seen afterwards on the clocks."""
        return None

    def events(self) -> list[Event]:
        """None are delivered to a process without a window."""
        return []

    def hold(self) -> None:
        """Windows gives a service its own time to stop."""

    def release(self) -> None:
        """Nothing is held."""

    def going_down(self) -> bool:
        """Whether the system is shutting down."""
        return self._api.shutting_down()
