"""deduplicate: drop what has come before, and notice what has not come at all (invariants I1 and I2)."""

from caretaker_collector.memory import Memory, ReplayPlan
from caretaker_collector.pipeline import Batch, Received
from caretaker_contract.messages import Numbered, Outcome, OutcomeReason
from caretaker_contract.topics import Address

PATIENCE_MS = 20_000
"""How long a missing number may just be late before the device is asked for it."""


class Deduplicate:
    """Keeps the numbering of every device."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def run(self, batch: Batch) -> None:
        """Leave only messages that are new."""
        fresh: list[Received] = []
        for item in batch.messages:
            message = item.message
            if not isinstance(message, Numbered):
                fresh.append(
                    item
                )  # hello and presence are not numbered; the newest counts, and stages behind see to it
                continue
            entry = self._memory.entry(item.address)
            numbering = entry.numberings.of(message.epoch)
            if not numbering.accept(message.boot, message.seq, message.prev):
                batch.counts["duplicates"] += 1
                continue
            batch.touched[item.address] = entry
            fresh.append(item)
            if isinstance(message, Outcome):
                batch.counts["outcomes"] += 1
                if message.reason is OutcomeReason.NOT_KEPT:
                    for part in message.missing:
                        lost = entry.numberings.of(part.epoch).give_up(part.boot, part.first, part.last)
                        batch.counts["dropped"] += lost
            else:
                batch.counts["reports"] += 1
            self._watch_gaps(item.address, batch)
        batch.messages = fresh

    def _watch_gaps(self, address: Address, batch: Batch) -> None:
        """Plan a replay when numbers are missing; drop the plan when none are any more."""
        missing = self._memory.entries[address].numberings.have_gaps()
        plan = self._memory.replays.get(address)
        if missing and plan is None:
            self._memory.replays[address] = ReplayPlan(next_ms=batch.now_ms + PATIENCE_MS)
        elif plan is not None and not missing:
            del self._memory.replays[address]
            batch.counts["gaps_closed"] += 1
        elif plan is not None and plan.attempts:
            # It is answering: start counting attempts anew, and give the rest of the answer time to come.
            plan.attempts = 0
            plan.next_ms = max(plan.next_ms, batch.now_ms + PATIENCE_MS)
