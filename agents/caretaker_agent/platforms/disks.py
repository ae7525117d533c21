"""Probe: how full the fullest local disk is. Which one it is, and what lies on it, never leaves the machine."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from caretaker_agent.probe import Value

LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "zfs", "bcachefs", "ntfs3", "vfat"}
)
"""File systems on a disk of this machine that people and programmes write to (proc(5), /proc/filesystems)."""
SMALLEST_BYTES = 1 << 30
"""A boot partition that is nearly full by design is no trouble."""
_OCTAL = re.compile(r"\\([0-7]{3})")  # how a space in a mount point is written


class Space(Protocol):
    """What statvfs tells of a file system."""

    @property
    def f_frsize(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_bfree(self) -> int: ...
    @property
    def f_bavail(self) -> int: ...


class Disks:
    """Share in use of the fullest local file system that is mounted for writing, 0-1, as df counts it.

    Blocks that only root may use count as used up: ordinary programmes fail before them.
    """

    gauge = "disk_ratio"
    cheap = False

    def __init__(self, root: Path = Path("/"), space: Callable[[str], Space] = os.statvfs) -> None:
        self._mounts = root / "proc/self/mountinfo"
        self._space = space

    def gather(self) -> Value:
        """None where no such file system is mounted (a thin client that runs from memory)."""
        ratios = []
        for place in dict(self._places()).values():
            space = self._space(place)
            used = space.f_blocks - space.f_bfree
            usable = used + space.f_bavail
            if usable > 0 and space.f_blocks * space.f_frsize >= SMALLEST_BYTES:
                ratios.append(used / usable)
        return max(ratios, default=None)

    def _places(self) -> Iterator[tuple[str, str]]:
        """(device number, mount point) of each; proc(5): "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/a rw"."""
        for line in self._mounts.read_text(errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            fields, kinds = before.split(), after.split()
            if len(fields) < 6 or len(kinds) < 3 or kinds[0] not in LOCAL:
                continue
            if "rw" in fields[5].split(",") and "rw" in kinds[2].split(","):
                yield fields[2], _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
