"""A message on its way from a simulated device, and the readings inside it."""

import random
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from caretaker_contract.topics import Kind

if TYPE_CHECKING:
    from caretaker_simulator.voice import Voice

_SENT = b'"sent_ms":'
_NEXT = b","


class Sent(NamedTuple):
    """One message on its way. Numbered ones (reports, outcomes) are not retained, the others are."""

    at_ms: int
    topic: str
    payload: bytes
    retain: bool
    device: "Voice"


class LinkEvent(StrEnum):
    """What became of a device's own connection."""

    UP = "up"
    LEFT = "left"  # with a goodbye
    CUT = "cut"  # without: the broker is to speak its will


class LinkChange(NamedTuple):
    """A device's own connection comes or goes. It stands in the stream of messages, at its place."""

    at_ms: int
    event: LinkEvent
    will: tuple[str, bytes]  # topic and payload, of the connection that comes
    device: "Voice"


def restamp(payload: bytes, sent_ms: int) -> bytes:
    """The same numbered message with another `sent_ms`: the moment of sending it (again)."""
    head, found, tail = payload.partition(_SENT)
    _, _, rest = tail.partition(_NEXT)
    return b"%b%b%d,%b" % (head, found, sent_ms, rest)


def kind_of(payload: bytes) -> Kind:
    """Report or outcome: which of the two numbered messages of our own making this is."""
    return Kind.OUTCOME if b',"command":"' in payload else Kind.REPORT


def cpu_ratio(in_use: bool, server: bool, noise: float) -> float:
    """Processor share for `noise` in 0-1: mostly near nothing, seldom much; its mean is calibrated (calibration.py)."""
    if server:
        return round(0.03 + 0.12 * noise, 3)
    cubed = noise * noise * noise  # its mean is 1/4
    return round(0.01 + 0.18 * cubed if in_use else 0.003 + 0.032 * cubed, 4)


def memory_ratio(base: float, in_use: bool, noise: float) -> float:
    """Memory share: the machine's own `base`, more while somebody works."""
    return round(base + (0.06 if in_use else 0.0) + 0.04 * (noise - 0.5), 3)


def disk_base(seed: str) -> float:
    """How full a machine's disk is while nothing is wrong with it."""
    return random.Random(seed).uniform(0.25, 0.7)


def memory_base(rng: random.Random) -> float:
    """What a machine's memory holds while nobody works at it."""
    return rng.uniform(0.46, 0.665)
