"""Telling whoever is at the machine: a desktop notification and a line on their terminal. Only fixed sentences.

root cannot join a user's session bus (tried: connection reset), so the notification is sent by a child that becomes
that user first (setpriv). The argument lists hold our own sentences and numbers, nothing that came over the wire.
"""

import os
import shutil
import subprocess
from pathlib import Path

from caretaker_agent.platforms.logind import Session

_WAIT_S = 3.0


def tell(sessions: list[Session], sentence: str, seconds: int, run: Path = Path("/run/user")) -> None:
    """Show `sentence` in every session of a person, for `seconds`. Never raises: nobody there is no fault."""
    for session in sessions:
        if session.klass != "user" or session.closing:
            continue
        command = notification(session.uid, sentence, seconds, run)
        if command is not None:
            environment = {
                "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/{session.uid}/bus",
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            }
            try:
                subprocess.run(
                    command,
                    env=environment,
                    timeout=_WAIT_S,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except (OSError, subprocess.TimeoutExpired):
                pass  # the terminal's line below is the other way
        if session.tty:
            write_line(Path("/dev") / session.tty, sentence)


def notification(uid: int, sentence: str, seconds: int, run: Path) -> list[str] | None:
    """The command that shows a notification as the session's user, None when this machine has no way to."""
    if not (run / str(uid) / "bus").exists():
        return None
    become: list[str] = []
    if os.geteuid() != uid:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return None
        become = [setpriv, f"--reuid={uid}", "--clear-groups", "--"]
    notify_send, gdbus = shutil.which("notify-send"), shutil.which("gdbus")
    expire_ms = str(seconds * 1000)
    if notify_send is not None:
        return [*become, notify_send, "--urgency=critical", f"--expire-time={expire_ms}", "Caretaker", sentence]
    if gdbus is not None:
        name, path = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
        arguments = ["Caretaker", "0", "computer", "Caretaker", sentence, "[]", "{}", expire_ms]
        call = ["call", "--session", f"--dest={name}", f"--object-path={path}", f"--method={name}.Notify"]
        return [*become, gdbus, *call, *arguments]
    return None


def write_line(terminal: Path, sentence: str) -> None:
    """One line on a terminal, without ever waiting for it."""
    try:
        fd = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(fd, f"\r\n*** {sentence} ***\r\n".encode())
    except OSError:
        pass  # a terminal that is full or gone
    finally:
        os.close(fd)
