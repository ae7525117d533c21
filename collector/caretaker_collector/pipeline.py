"""The order of work, written once.

    receive -> journal -> decode -> deduplicate -> stay -> track -> watch -> calendars -> decide -> order -> recall
                       |                       -> wake -> ready -> alerts -> now -> keep -> feeds -> act -> changes
                       \\-> decode -> record

The upper row is the core reader, the lower one the recorder.

`receive` (bus_mqtt.py) and `journal` (journal.py) run in receiver.py, before a message is acknowledged. Everything
behind the journal is a reader with a saved position, so any of it may stop, fall behind or be killed: it goes on where
it was. A stage drops, enriches or records what is in the batch; each has a file of its own in stages/.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from caretaker_collector.journal import Record
from caretaker_collector.ledger import LedgerCommand
from caretaker_collector.memory import Entry
from caretaker_collector.order_book import Answer
from caretaker_contract.errors import ContractError
from caretaker_contract.messages import Message, Outcome, Report
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Snapshot
from caretaker_rules.energy import Decision
from caretaker_rules.model import Presence, Transition


@dataclass(slots=True)
class Received:
    """A decoded message with its sender and collector time."""

    address: Address
    message: Message
    received_ms: int


@dataclass(slots=True)
class Batch:
    """What flows through the core's stages: some journal records, or none on a mere tick."""

    now_ms: int
    records: list[Record]
    tick: bool
    position: int  # of the last record, or of the batch before
    messages: list[Received] = field(default_factory=list)
    quarantined: list[tuple[Record, ContractError]] = field(default_factory=list)
    touched: dict[Address, Entry] = field(default_factory=dict)
    inferred: list[tuple[Address, Transition]] = field(default_factory=list)  # lost and found, seen by no report
    outcomes: list[tuple[Address, Outcome]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)  # those that differ from what `why` already has
    commands: list[LedgerCommand] = field(default_factory=list)
    people: bool = False  # somebody has written to the state file since the batch before, or asks for a hold in it
    answers: list[Answer] = field(default_factory=list)  # how far people's orders have come
    writes: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)  # more SQL for the state file
    checked: list[str] = field(default_factory=list)  # schools whose rules ran
    looked: dict[str, Snapshot] = field(default_factory=dict)  # what was known of each school that was looked at
    crashes: list[tuple[Address, Presence, int]] = field(default_factory=list)  # boots that ended without a word; when
    goodbyes: list[tuple[Address, Report]] = field(default_factory=list)  # words of earlier boots that came late
    unfinished: bool = False  # schools are left whose rules have to run in the next batch
    counts: Counter[str] = field(default_factory=Counter)


class Stage(Protocol):
    """One step of the pipeline."""

    async def run(self, batch: Batch) -> None:
        """Work on the batch in place."""
        ...
