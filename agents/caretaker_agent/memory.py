"""What the agent must remember over restarts and reboots, in one small file that is replaced as a whole.

It is written *before* the message that it belongs to is appended to the outbox, so the meters that a collector has
seen are never above the ones that are remembered. Missing or damaged, a new epoch begins: numbers and meters start
again, and the collector sees that they are new ones.
"""

import os
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct, field

from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Count, Epoch, Number, PowerState


class Memory(Struct, kw_only=True):
    """See the module. Times in ms or s as named; `awake_s` and `since_boot_s` are the clocks at the last look."""

    epoch: Epoch
    boot: Number = 1
    boot_id: str = ""
    seq: Count = 0  # last number of this boot when this was written; the outbox may hold one more
    prev: Count = 0  # last number of the boot before
    link: Count = 0  # connections of this boot
    in_use_ms: Count = 0
    idle_ms: Count = 0
    asleep_ms: Count = 0
    energy_w_ms: float | None = None
    state: PowerState = PowerState.IN_USE
    awake_s: float = 0.0
    since_boot_s: float = 0.0
    told: PowerState | None = None  # the state that the last report gave; None before the first report of an epoch
    acked: tuple[int, int] = (0, 0)
    dropped: Count = 0
    seen: dict[str, int] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(Memory)


def new() -> Memory:
    """A fresh memory: a new epoch."""
    return Memory(epoch=os.urandom(4).hex())


def load(path: Path) -> Memory | None:
    """What was remembered, None when it is missing or damaged. Raises Unavailable when it may not be read."""
    try:
        line = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        return _decoder.decode(body)
    except (ValueError, msgspec.MsgspecError):
        return None


def save(path: Path, memory: Memory) -> None:
    """Replace the file as a whole, and wait until the disk has it. Raises Unavailable."""
    body = msgspec.json.encode(memory)
    beside = path.with_suffix(".new")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, b"%08x %s" % (zlib.crc32(body), body))
            os.fsync(fd)
        finally:
            os.close(fd)
        beside.replace(path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from None
