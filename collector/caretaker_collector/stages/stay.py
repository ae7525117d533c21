"""stay: somebody at a machine says "we are still here", and its room is held.

The hold is written in the batch's transaction. The rules of the same batch see it already, and what counts down in the
room is called back at once.
"""

import sqlite3

from caretaker_collector import stays
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch, Received
from caretaker_contract.messages import Report
from caretaker_rules.model import Estate
from caretaker_rules.staying import ENOUGH_MS, Heard, hold_of


class Stay:
    """Has to run before `track`: what is known of a machine's clock is of the messages before."""

    def __init__(self, db: sqlite3.Connection, memory: Memory, ledger: Ledger, estate: Estate) -> None:
        self._db = db
        self._memory = memory
        self._ledger = ledger
        self._estate = estate

    async def run(self, batch: Batch) -> None:
        """Add the holds to the batch's writes, and to what the ledger tells the rules."""
        self._ledger.coming.clear()
        for item in batch.messages:
            message = item.message
            if type(message) is Report and type(message.stay_s) is int:
                batch.counts["stays_asked"] += 1
                self._ask(item, message, batch)

    def _ask(self, item: Received, report: Report, batch: Batch) -> None:
        device = self._estate.devices.get(item.address)
        times = hold_of(report, self._heard(item))
        if device is None or times is None or times[1] <= batch.now_ms:
            return
        hold = stays.hold_of_room(device.school, device.room, *times)
        kept_ms = max(
            stays.standing_ms(self._db, device.school, device.room, batch.now_ms),
            *(other.until_ms for other in self._ledger.coming if other.covers(device)),
            0,
        )
        if kept_ms >= min(hold.until_ms, batch.now_ms + ENOUGH_MS):
            return
        key = f"report|{item.address}|{report.epoch}|{report.boot}|{report.seq}"
        by = stays.AT_MACHINE.format(place=item.address)
        batch.writes.append(stays.asked(key, hold, by, batch.now_ms))
        batch.writes.append(stays.noted(hold, by, "agent", batch.now_ms))
        self._ledger.coming.append(hold)
        batch.people = True

    def _heard(self, item: Received) -> Heard:
        entry = self._memory.entries.get(item.address)
        tracked = entry.tracked if entry is not None else None
        return Heard(
            received_ms=item.received_ms,
            link_since_ms=self._memory.connected_since_ms,
            known_skew_ms=tracked.telemetry.skew_ms if tracked and tracked.telemetry else None,
            known_at_ms=tracked.presence.heard_ms if tracked else 0,
        )
