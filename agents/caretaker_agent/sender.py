"""Which numbered message goes next: the outbox in order, then what a replay asked for.

A message counts as delivered when everything before it is too, so after a lost connection it goes on from the first
that nobody acknowledged. Repeats are harmless by the contract; gaps are not.
"""

from collections import deque
from collections.abc import Callable, Iterator

from caretaker_agent.account import restamped
from caretaker_agent.link import Publication
from caretaker_agent.outbox import Cursor, Outbox, Record
from caretaker_contract.messages import Range
from caretaker_contract.topics import Address


class _Pending:
    """One message of the outbox that is on its way."""

    __slots__ = ("delivered", "end")

    def __init__(self, end: Cursor) -> None:
        self.end = end
        self.delivered = False


class Sender:
    """Feeds a Link from an Outbox. `now_ms` stamps the moment of sending."""

    def __init__(self, outbox: Outbox, device: Address, now_ms: Callable[[], int]) -> None:
        self._outbox = outbox
        self._device = device
        self._now_ms = now_ms
        self._cursor = outbox.acked
        self._reader: Iterator[Record] = iter(())
        self._on_the_way: deque[_Pending] = deque()
        self._replays: deque[Iterator[Record]] = deque()

    @property
    def all_acknowledged(self) -> bool:
        """Whether the broker has everything of the outbox."""
        return self._outbox.pending(self._outbox.acked) == 0

    def replay(self, ranges: list[Range]) -> list[Range]:
        """Send these again behind what is new; returns the numbers that are no longer kept."""
        missing = self._outbox.missing(ranges)
        self._replays.append(self._outbox.find(ranges))
        return missing

    def rewind(self) -> None:
        """Go on from the first message without an acknowledgement: the connection is new, or one was refused."""
        self._on_the_way.clear()
        self._cursor = self._outbox.acked
        self._reader = iter(())

    def next(self) -> Publication | None:
        """What to publish now, None when there is nothing."""
        record = next(self._reader, None)
        if record is None and self._outbox.pending(self._cursor):
            self._reader = self._outbox.read(self._cursor)
            record = next(self._reader, None)
        if record is not None:
            self._cursor = record.end
            pending = _Pending(record.end)
            self._on_the_way.append(pending)
            return self._publication(record, pending)
        while self._replays:
            record = next(self._replays[0], None)
            if record is not None:
                return self._publication(record, None)
            self._replays.popleft()
        return None

    def acknowledged(self, token: object) -> None:
        """The broker has it."""
        if isinstance(token, _Pending):
            token.delivered = True
            while self._on_the_way and self._on_the_way[0].delivered:
                self._outbox.acked = max(self._outbox.acked, self._on_the_way.popleft().end)

    def _publication(self, record: Record, token: _Pending | None) -> Publication:
        payload = restamped(record.kind, record.payload, self._now_ms())
        return Publication(self._device.topic(record.kind), payload, token)
