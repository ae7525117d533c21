"""systemd's logind over D-Bus: sessions, their idle time, inhibitors, and word of sleep and shutdown.

jeepney is imported only where the system bus has a socket. Source of names and meanings: org.freedesktop.login1(5). For
a text terminal logind takes the time of the last input from the terminal itself; for a graphical session it knows only
what the desktop tells it (IdleHint), so a desktop that never tells counts as in use. Nothing here asks who a session
belongs to, except to show that person a warning.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from caretaker_agent.probe import Event, Value

BUS_SOCKET = Path("/run/dbus/system_bus_socket")
_TIMEOUT_S = 2.0
_BUS_NAME = "org.freedesktop.login1"
_MANAGER = "/org/freedesktop/login1"
_SLEEP_WORDS = frozenset({"shutdown", "sleep", "idle"})


class Session(NamedTuple):
    """What matters of one session."""

    path: str
    uid: int
    kind: str  # x11, wayland, mir, tty, web or unspecified
    klass: str  # user, greeter, lock-screen, background, manager
    display: str
    tty: str
    closing: bool
    idle_hint: bool
    idle_since_s: float  # CLOCK_MONOTONIC, which nobody can set; 0: never


def input_age_s(sessions: list[Session], now_s: float, empty_for_s: float, x11_display: str = "") -> float | None:
    """Seconds since anybody's last input; None when another probe (for `x11_display`) knows the only session better.

    With nobody signed in, it is the time for which there has been nobody (`empty_for_s`). A greeter's idle hint counts
    too where there is one, since somebody may be typing a password.
    """
    ages: list[float] = []
    left_out = False
    for session in sessions:
        if session.closing or session.klass not in ("user", "greeter"):
            continue
        if x11_display and session.kind == "x11" and session.display.partition(".")[0] == x11_display:
            left_out = True
            continue
        since_s = max(0.0, now_s - session.idle_since_s)
        if session.kind in ("x11", "wayland", "mir"):
            if session.idle_hint and session.idle_since_s:
                ages.append(since_s)
            elif session.klass == "user":
                ages.append(0.0)
        elif session.klass == "user":
            ages.append(since_s if session.idle_since_s else 0.0)
    if not any(_person(session) for session in sessions):
        ages.append(empty_for_s)
    elif not ages and left_out:
        return None
    return min(ages, default=0.0)


def asks_to_stay(inhibitors: list[tuple[str, str, str, str, int, int]]) -> bool:
    """Whether a programme blocks shutdown, sleep or idleness (what, who, why, mode, uid, pid).

    Asked here because root's own orders pass over them: systemd before 257 ignores blocking inhibitors for root
    (systemd issue 27568).
    """
    return any(
        mode.startswith("block") and not _SLEEP_WORDS.isdisjoint(what.split(":"))
        for what, _who, _why, mode, _uid, _pid in inhibitors
    )


class Logind:
    """One connection to logind. Any method may raise OSError, TimeoutError or ValueError; `call` then connects anew."""

    def __init__(self, awake_s: Callable[[], float], bus: str = "SYSTEM") -> None:
        self._awake_s = awake_s
        self._bus = bus
        self._connection: Any = None
        self._queue: deque[Any] = deque()
        self._hold_fd = -1
        self._empty_since_s: float | None = None
        self._sessions: list[Session] = []
        self.x11_display = ""  # the display that another probe watches

    def fileno(self) -> int | None:
        """The bus connection, None while there is none."""
        return None if self._connection is None else int(self._connection.sock.fileno())

    def sessions(self) -> list[Session]:
        """The sessions of now; also keeps since when there has been nobody."""
        found = []
        for name, *_, path in self._call("ListSessions")[0]:
            try:
                got = self._properties(path)
            except ValueError:
                continue  # it ended between the two questions
            found.append(
                Session(
                    path,
                    int(got["User"][0]),
                    str(got["Type"]),
                    str(got["Class"]),
                    str(got["Display"]),
                    str(got["TTY"]),
                    got["State"] == "closing",
                    bool(got["IdleHint"]),
                    int(got["IdleSinceHintMonotonic"]) / 1e6,
                )
            )
            del name
        now_s = self._awake_s()
        if any(_person(session) for session in found):
            self._empty_since_s = None
        elif self._empty_since_s is None:
            self._empty_since_s = now_s
        self._sessions = found
        return found

    def last_sessions(self) -> list[Session]:
        """The sessions of the last look."""
        return self._sessions

    def age_s(self) -> float | None:
        """Seconds since the last input, as `input_age_s` defines it."""
        sessions = self.sessions()
        now_s = self._awake_s()
        empty_s = now_s - (now_s if self._empty_since_s is None else self._empty_since_s)
        return input_age_s(sessions, now_s, empty_s, self.x11_display)

    def inhibited(self) -> bool:
        """Whether a programme asks the machine to stay on."""
        return asks_to_stay(self._call("ListInhibitors")[0])

    def events(self) -> list[Event]:
        """What logind told since the last call. Raises OSError when the bus went away."""
        if self._connection is None:
            return []
        try:
            while True:
                self._connection.recv_messages(timeout=0)
        except TimeoutError:
            pass
        except Exception:
            self.close()
            raise
        found = []
        while self._queue:
            message = self._queue.popleft()
            from jeepney import HeaderFields

            member, begins = message.header.fields[HeaderFields.member], bool(message.body[0])
            leaving = Event.SHUTTING_DOWN if member == "PrepareForShutdown" else Event.SLEEPING
            found.append(leaving if begins else Event.BACK)
        return found

    def hold(self) -> None:
        """Take a delay inhibitor: logind then waits up to InhibitDelayMaxSec (5 s by default) for our goodbye."""
        if self._hold_fd >= 0:
            return
        reply = self._call("Inhibit", "ssss", ("shutdown:sleep", "caretaker-agent", "Says goodbye", "delay"))
        self._hold_fd = reply[0].to_raw_fd()

    def release(self) -> None:
        """Give the delay inhibitor back."""
        if self._hold_fd >= 0:
            os.close(self._hold_fd)
            self._hold_fd = -1

    def close(self) -> None:
        """Leave the bus; the next call connects again."""
        self.release()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        from jeepney import MatchRule, message_bus
        from jeepney.bus import get_bus
        from jeepney.io.blocking import DBusConnection, prep_socket

        class Connection(DBusConnection):  # type: ignore[misc]
            """Waits at most so long for anything; the library's own first question waits for ever."""

            def receive(self, *, timeout: float | None = None) -> Any:
                return super().receive(timeout=_TIMEOUT_S if timeout is None else timeout)

        socket = prep_socket(get_bus(self._bus), enable_fds=True, timeout=_TIMEOUT_S)
        try:
            self._connection = Connection(socket, enable_fds=True)
        except BaseException:
            socket.close()
            raise
        for member in ("PrepareForShutdown", "PrepareForSleep"):
            rule = MatchRule(
                type="signal",
                interface=f"{_BUS_NAME}.Manager",
                member=member,
                path=_MANAGER,
            )
            self._connection.filter(rule, queue=self._queue)
            self._connection.send_and_get_reply(message_bus.AddMatch(rule), timeout=_TIMEOUT_S)

    def _call(self, method: str, signature: str | None = None, body: tuple[Any, ...] = ()) -> Any:
        return self._ask(_MANAGER, f"{_BUS_NAME}.Manager", method, signature, body)

    def _properties(self, path: str) -> dict[str, Any]:
        reply = self._ask(path, "org.freedesktop.DBus.Properties", "GetAll", "s", (f"{_BUS_NAME}.Session",))
        return {name: value for name, (_signature, value) in reply[0].items()}

    def _ask(self, path: str, interface: str, method: str, signature: str | None, body: tuple[Any, ...]) -> Any:
        from jeepney import DBusAddress, MessageType, new_method_call

        try:
            if self._connection is None:
                self._connect()
            address = DBusAddress(path, bus_name=_BUS_NAME, interface=interface)
            reply = self._connection.send_and_get_reply(
                new_method_call(address, method, signature, body), timeout=_TIMEOUT_S
            )
        except Exception:
            self.close()
            raise
        if reply.header.message_type is MessageType.error:
            raise ValueError(f"logind refuses {method}: {reply.body}")
        return reply.body


class LogindIdle:
    """Probe: seconds since the last input in any session."""

    gauge = "input_age_s"
    cheap = True

    def __init__(self, logind: Logind) -> None:
        self._logind = logind

    def gather(self) -> Value:
        """See `input_age_s`."""
        return self._logind.age_s()


class LogindSession:
    """Probe: whether anybody is signed in. Goes by the look that LogindIdle has just taken."""

    gauge = "session"
    cheap = True

    def __init__(self, logind: Logind) -> None:
        self._logind = logind

    def gather(self) -> Value:
        """Never who."""
        return any(_person(session) for session in self._logind.last_sessions())


class LogindInhibited:
    """Probe: whether a programme asks the machine to stay on."""

    gauge = "inhibited"
    cheap = True

    def __init__(self, logind: Logind) -> None:
        self._logind = logind

    def gather(self) -> Value:
        """See `asks_to_stay`."""
        return self._logind.inhibited()


def _person(session: Session) -> bool:
    return session.klass == "user" and not session.closing
