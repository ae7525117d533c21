"""One agent per state directory: two of them would give out the same numbers."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caretaker_contract.errors import Unavailable


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the directory for this process; the system lets go of it when the process ends, however it ends."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"{state_dir}: {error.strerror}; set state_dir to a folder the agent may write") from None
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise Unavailable(
            f"{state_dir}: another agent runs there; stop it, or give this one its own state_dir"
        ) from None
    try:
        yield
    finally:
        os.close(fd)
