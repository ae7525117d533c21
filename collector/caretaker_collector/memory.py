"""What the running collector knows of every device, shared by the stages of one pipeline (one thread, no locks)."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from caretaker_collector import state
from caretaker_collector.numbering import Numberings
from caretaker_contract.topics import Address
from caretaker_rules.model import Asked, Tracked

_encode = msgspec.msgpack.Encoder().encode
_decode_tracked = msgspec.msgpack.Decoder(Tracked).decode
_decode_numberings = msgspec.msgpack.Decoder(Numberings).decode


class Entry:
    """One device: what the core tracks of it, and which of its numbers have come."""

    __slots__ = ("numberings", "tracked")

    def __init__(self, tracked: Tracked, numberings: Numberings) -> None:
        self.tracked = tracked
        self.numberings = numberings


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
        address = Address(school, device)
        entry = Entry(_decode_tracked(tracked), _decode_numberings(numberings))
        memory.entries[address] = entry
        if any(numbering.missing_count() for numbering in entry.numberings.epochs):
            memory.replays[address] = ReplayPlan(next_ms=0)
    return memory


def save_entries(db: sqlite3.Connection, entries: dict[Address, Entry]) -> None:
    """Write these entries. Part of the caller's transaction."""
    db.executemany(
        "INSERT INTO devices VALUES (?, ?, ?, ?) ON CONFLICT (school, device) "
        "DO UPDATE SET tracked = excluded.tracked, numberings = excluded.numberings",
        [(a.school, a.device, _encode(e.tracked), _encode(e.numberings)) for a, e in entries.items()],
    )
