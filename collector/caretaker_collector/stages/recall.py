"""recall: when a person stops a place or asks to keep machines on, what was asked of these machines is taken back.

A machine may be counting down when somebody turns the stop switch on or says "we are still here". What has not been
sent is withdrawn; what has been sent gets a signed `cancel`, which the machine obeys at once.
"""

import hashlib
from collections.abc import Collection, Iterable

from caretaker_collector.ledger import Ledger, LedgerCommand
from caretaker_collector.pipeline import Batch
from caretaker_contract.messages import Cause, Command, Verb
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.limits import is_stopped
from caretaker_rules.model import Estate, Hold, Stop


class Recall:
    """Looks at each command that may still switch a machine, whenever people's records may have changed."""

    def __init__(self, ledger: Ledger, estate: Estate) -> None:
        self._ledger = ledger
        self._estate = estate

    async def run(self, batch: Batch) -> None:
        """Add the cancels to the batch's commands. Each has one id for good, so that it goes out once."""
        if not (batch.people or batch.tick):
            return
        holds, stops = self._ledger.holds(batch.now_ms), self._ledger.stops()
        if not (holds or stops):
            return
        for entry, status in called_back(self._ledger.can_still_switch(batch.now_ms), self._estate, holds, stops):
            if status == "decided":
                self._ledger.withdraw(entry.command.id)
            else:
                batch.commands.append(_cancel(entry, batch.now_ms))


def called_back(
    commands: Iterable[tuple[LedgerCommand, str]], estate: Estate, holds: Collection[Hold], stops: Collection[Stop]
) -> list[tuple[LedgerCommand, str]]:
    """Those of these commands that one of these holds or stops takes back."""
    found = []
    for entry, status in commands:
        device = estate.devices.get(entry.address)
        acts_by_ms = entry.command.expires_ms + entry.command.warn_s * 1000
        kept = device is not None and any(hold.covers(device) and hold.from_ms < acts_by_ms for hold in holds)
        if kept or is_stopped(stops, entry.address.school, entry.room):
            found.append((entry, status))
    return found


def _cancel(entry: LedgerCommand, now_ms: int) -> LedgerCommand:
    command = Command(
        id=hashlib.blake2b(f"cancel|{entry.command.id}".encode(), digest_size=16).hexdigest(),
        device=entry.command.device,
        verb=Verb.CANCEL,
        issued_ms=now_ms,
        expires_ms=max(entry.command.expires_ms, now_ms) + COMMAND_LIFE_S * 1000,
        cause=Cause.MAINTENANCE,
        target=entry.command.id,
    )
    return LedgerCommand(command=command, address=entry.address, room=entry.room, rule=entry.rule)
