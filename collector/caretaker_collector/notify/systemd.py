"""What systemd is told where it started us with Type=notify: a datagram to NOTIFY_SOCKET (sd_notify(3)). No library."""

import os
import socket
from collections.abc import Mapping


def tell(word: str, environ: Mapping[str, str] = os.environ) -> bool:
    """READY=1, WATCHDOG=1 or STOPPING=1; False when nobody listens. Never raises: what is wrong systemd sees."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(word.encode(), "\0" + place[1:] if place.startswith("@") else place)
    except OSError:
        return False
    return True


def watchdog_s(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """How often it wants to hear that we are alive, in seconds (half of its limit); None when it does not ask."""
    text = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "")
    if not text.isascii() or not text.isdigit() or int(text) <= 0:
        return None
    if meant and meant != str(os.getpid() if pid is None else pid):
        return None
    return int(text) / 2_000_000
