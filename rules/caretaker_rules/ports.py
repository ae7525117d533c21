"""The narrow ports between the core and the world. Each has adapters that pass one contract test suite."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from caretaker_contract.metrics import Point
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident


class Incoming(Struct, frozen=True, gc=False):
    """A message as it came from the broker. `token` is the bus's own, to acknowledge it by."""

    received_ms: int  # collector time, UTC milliseconds
    topic: str
    payload: bytes
    token: int = 0


class Bus(Protocol):
    """The way to and from the devices. `connect()` lasts until the link breaks, which raises Unavailable."""

    def connect(self) -> AbstractAsyncContextManager["BusLink"]:
        """A fresh connection with the collector's subscriptions in place."""
        ...


class BusLink(Protocol):
    """One connection to the broker."""

    def batches(self) -> AsyncIterator[list[Incoming]]:
        """Messages as they come, several at a time, none acknowledged yet."""
        ...

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Tell the broker that these are safe. Never before they are on disk."""
        ...

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Send once (QoS 1), to be dropped by the broker after `expiry_s` real seconds. Unavailable when it cannot."""
        ...


class Store(Protocol):
    """Where points go and figures come from. Writing the same point twice changes nothing.

    Every call raises Unavailable when the store did not answer (nothing is lost: repeat the call).
    """

    async def write(self, points: Sequence[Point]) -> list[tuple[Point, str]]:
        """Store what can be stored; return the points that the store refuses for good, each with its reason."""
        ...

    async def read(
        self, measurement: str, start_ms: int, end_ms: int, school: str | None = None, device: str | None = None
    ) -> list[Point]:
        """Points with start <= time < end, in order of time; fields that were not given are absent."""
        ...

    async def sums(
        self,
        measurement: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        by: Sequence[str] = (),
        school: str | None = None,
    ) -> dict[tuple[str, ...], dict[str, float]]:
        """Sums of numeric fields over points with start <= time < end, by the values of these tags, in their order.

        The store adds up, so that a year's figure does not carry every point. A field that no point of a group has is
        absent, and so is a group without any; `by` empty gives one group, (). ValueError for a field that is no number
        of `measurement`, and for an unknown tag.
        """
        ...

    async def count(self, measurement: str) -> int:
        """How many points of `measurement` there are."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class Notifier(Protocol):
    """One way to tell people: an adapter of one channel."""

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Deliver; returns in a few words what the other side said (such as "200" or "ticket 4711").

        `incident` is what the message is about as it is now; None for a digest or a test. The same telling may come
        twice after a crash: its id is then the same. Unavailable: worth repeating; Rejected: never.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
