"""What is known of machines now, from the state file: the same that rules decided by at their last batch."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable

import msgspec

from caretaker_contract.messages import PowerState
from caretaker_contract.topics import Address
from caretaker_rules.model import Device, Tracked
from caretaker_rules.presence import ON_STATES

_decode = msgspec.msgpack.Decoder(Tracked).decode
_WORDS = {
    PowerState.IN_USE: "in use",
    PowerState.IDLE: "idle",
    PowerState.ASLEEP: "asleep",
    PowerState.OFF: "off",
    PowerState.LOST: "lost",
    PowerState.UNKNOWN: "not heard of yet",
}


def tracked_of(db: sqlite3.Connection, school: str) -> dict[Address, Tracked]:
    """All machines of a school that were ever heard of."""
    rows = db.execute("SELECT device, tracked FROM devices WHERE school = ?", (school,))
    return {Address(school, device): _decode(blob) for device, blob in rows}


def state_of(db: sqlite3.Connection, address: Address) -> PowerState:
    """The power state of one machine."""
    row = db.execute("SELECT tracked FROM devices WHERE school = ? AND device = ?", address).fetchone()
    return _decode(row[0]).presence.state if row else PowerState.UNKNOWN


def is_on(state: PowerState) -> bool:
    """Whether a machine is certainly on."""
    return state in ON_STATES


def states(db: sqlite3.Connection, school: str, devices: Iterable[Device]) -> Counter[PowerState]:
    """How many of these machines, all of one school, are in each state."""
    known = tracked_of(db, school)
    return Counter(
        known[device.address].presence.state if device.address in known else PowerState.UNKNOWN for device in devices
    )


def in_words(found: Counter[PowerState], only: Collection[PowerState] = tuple(PowerState)) -> str:
    """ "4 in use, 20 idle, 7 off"; "" when there is nothing to count."""
    return ", ".join(f"{found[state]} {_WORDS[state]}" for state in PowerState if found[state] and state in only)
