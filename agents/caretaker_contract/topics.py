"""Topic names: caretaker/1/{school}/{device}/{kind}.

A name is a lower-case letter or digit, then up to 62 letters, digits or hyphens: such a name can hold neither a
separator nor a wildcard of MQTT, so a device cannot widen what it may read or write by choosing its name.
"""

import re
from enum import StrEnum
from typing import NamedTuple

from caretaker_contract.errors import ContractError

PREFIX = "caretaker/1"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


class Kind(StrEnum):
    """What a topic carries."""

    HELLO = "hello"  # retained: who the device is
    PRESENCE = "presence"  # retained: online, leaving or lost; the last will says lost
    REPORT = "report"  # numbered, QoS 1
    COMMAND = "command"  # to the device, signed
    OUTCOME = "outcome"  # numbered, QoS 1: what became of a command


UPWARD = (Kind.HELLO, Kind.PRESENCE, Kind.REPORT, Kind.OUTCOME)
"""The kinds that a device publishes and the collector subscribes to."""

_KINDS = {kind.value: kind for kind in Kind}


class Address(NamedTuple):
    """One device of one school. `str()` gives the form that people type: `ash/ict1-07`."""

    school: str
    device: str

    def __str__(self) -> str:
        return f"{self.school}/{self.device}"

    def topic(self, kind: Kind) -> str:
        """The topic of this device for `kind`."""
        return f"{PREFIX}/{self.school}/{self.device}/{kind.value}"


def is_name(text: str) -> bool:
    """Whether `text` may name a school, room or device."""
    return _NAME.fullmatch(text) is not None


def address(text: str) -> Address:
    """Read `school/device`; ContractError says what is wrong with it."""
    school, slash, device = text.partition("/")
    if not slash:
        raise ContractError(f"{text!r} is not of the form school/device", "device")
    for field, name in (("school", school), ("device", device)):
        if not is_name(name):
            raise ContractError(f"{name!r} is not a name (a-z, 0-9 and hyphens, 63 at most)", field)
    return Address(school, device)


def parse(topic: str) -> tuple[Address, Kind]:
    """Split a topic into the device's address and the kind; ContractError when it is not one of ours."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "caretaker" or parts[1] != "1":
        raise ContractError("not a topic of version 1 of the contract", "topic")
    kind = _KINDS.get(parts[4])
    if kind is None:
        raise ContractError(f"unknown kind {parts[4][:40]!r}", "topic")
    if not (is_name(parts[2]) and is_name(parts[3])):
        raise ContractError("school or device is not a name", "topic")
    return Address(parts[2], parts[3]), kind


def subscriptions(school: str = "+") -> list[str]:
    """What a collector subscribes to for one school, or for all."""
    return [f"{PREFIX}/{school}/+/{kind.value}" for kind in UPWARD]
