"""Whether a package manager is at work: it holds a lock on its database, and its machine must not be switched off.

dpkg (so apt, too) locks `lock-frontend` and `lock`, rpm (dnf, zypper) `.rpm.lock`, all with fcntl's record locks.
Asking who holds one (F_GETLK in fcntl(2)) takes nothing, so no installation ever waits for the agent; it needs the file
open to read, which root may.
"""

import fcntl
import os
import struct
from pathlib import Path

from caretaker_agent.probe import Value

LOCKS = ("var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/lib/rpm/.rpm.lock")
_FLOCK = "hhqqi"
"""struct flock: l_type, l_whence, l_start, l_len (0: to the end), l_pid."""


class PackageManager:
    """Probe: whether software is being installed, updated or removed."""

    gauge = "inhibited"
    cheap = True

    def __init__(self, root: Path = Path("/")) -> None:
        self._locks = [root / name for name in LOCKS]

    def gather(self) -> Value:
        """Raises OSError where a lock file is there and may not be read: then nobody can tell."""
        return any(_is_locked(path) for path in self._locks)


def _is_locked(path: Path) -> bool:
    """Whether another process holds a lock for writing; False where there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # "Could I read?": a lock for writing is in the way, one of somebody who only looks is not.
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        in_the_way = fcntl.fcntl(fd, fcntl.F_GETLK, asked)
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, in_the_way)[0] != fcntl.F_UNLCK)
