"""What the running collector knows of every device, shared by the stages of one pipeline (one thread, no locks)."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from sys import intern

import msgspec
from msgspec import Struct

from caretaker_collector import rows, state
from caretaker_collector.numbering import Numberings
from caretaker_contract.topics import Address
from caretaker_rules.model import Asked, Tracked

_encode_into = msgspec.msgpack.Encoder().encode_into
_buffer = bytearray()
_decode_tracked = msgspec.msgpack.Decoder(Tracked).decode
_decode_numberings = msgspec.msgpack.Decoder(Numberings).decode


class Entry(Struct, gc=False):
    """One device: what the core tracks of it, and which of its numbers have come.

    From one batch to the next it keeps both as the bytes that stand in the state file: a third of the memory, and
    nothing in it that the garbage collector would look through. Reading them costs 1 to 2 microseconds.
    """

    _tracked: Tracked | bytes
    _numberings: Numberings | bytes

    @property
    def tracked(self) -> Tracked:
        """Presence, telemetry and abilities. Set it to change it, in a batch that has the entry as touched."""
        held = self._tracked
        return _decode_tracked(held) if isinstance(held, bytes) else held

    @tracked.setter
    def tracked(self, tracked: Tracked) -> None:
        self._tracked = tracked

    @property
    def numberings(self) -> Numberings:
        """Changed in place, in a batch that has the entry as touched."""
        held = self._numberings
        if isinstance(held, bytes):
            held = self._numberings = _decode_numberings(held)
        return held

    def pack(self) -> tuple[bytes, bytes]:
        """Tracked and numberings as bytes, which is what it holds from now on."""
        if not isinstance(self._tracked, bytes):
            self._tracked = _packed(self._tracked)
        if not isinstance(self._numberings, bytes):
            self._numberings = _packed(self._numberings)
        return self._tracked, self._numberings


def _packed(value: Tracked | Numberings) -> bytes:
    """As bytes of just their size; what `encode` returns is up to half as large again for as long as it lives."""
    _encode_into(value, _buffer)
    return bytes(_buffer)


@dataclass(slots=True)
class ReplayPlan:
    """When to ask a device again for numbers that have not come, and how often that was done."""

    next_ms: int
    attempts: int = 0


@dataclass
class Memory:
    """All entries by address, and what goes with them."""

    entries: dict[Address, Entry] = field(default_factory=dict)
    asked: dict[Address, Asked] = field(default_factory=dict)  # the newest power command to each device
    replays: dict[Address, ReplayPlan] = field(default_factory=dict)  # only devices of which numbers are missing
    verdicts: dict[Address, tuple[object, ...]] = field(default_factory=dict)  # what was last written for `why`
    counts: Counter[str] = field(default_factory=Counter)  # since the state file was made
    connected_since_ms: int = 0  # collector time since when the broker link has not broken; 0: it is down
    behind_s: float = 0.0  # how old the newest message was that the core has read, when more were waiting

    def reload(self, db: sqlite3.Connection) -> None:
        """Go back to what the state file has, after a batch could not be kept."""
        fresh = load(db)
        self.entries, self.replays, self.counts = fresh.entries, fresh.replays, fresh.counts
        self.verdicts.clear()
        self.asked.clear()

    def entry(self, address: Address) -> Entry:
        """The entry of a device, made if it is new."""
        found = self.entries.get(address)
        if found is None:
            address = Address(intern(address.school), intern(address.device))  # one copy of names that come again
            found = self.entries[address] = Entry(Tracked(), Numberings())
        return found

    def missing_count(self) -> int:
        """Numbers that are known to exist and have neither come nor been given up."""
        return sum(
            n.missing_count() for a in self.replays if a in self.entries for n in self.entries[a].numberings.epochs
        )

    def published(self) -> int:
        """Numbered messages that devices are known to have made."""
        return sum(n.published() for entry in self.entries.values() for n in entry.numberings.epochs)


def load(db: sqlite3.Connection) -> Memory:
    """The memory as the state file has it."""
    memory = Memory(counts=Counter(state.counters(db)))
    for school, device, tracked, numberings in db.execute("SELECT school, device, tracked, numberings FROM devices"):
        memory.entries[Address(intern(school), intern(device))] = Entry(tracked, numberings)
        if any(numbering.missing_count() for numbering in _decode_numberings(numberings).epochs):
            memory.replays[Address(school, device)] = ReplayPlan(next_ms=0)
    return memory


def save_entries(db: sqlite3.Connection, entries: dict[Address, Entry]) -> None:
    """Write these entries, which are packed by it. Part of the caller's transaction."""
    rows.insert(
        db,
        "devices",
        [(*address, *entry.pack()) for address, entry in entries.items()],
        "ON CONFLICT (school, device) DO UPDATE SET tracked = excluded.tracked, numberings = excluded.numberings",
    )
