"""track: from messages and the passing of time to the power state of each device."""

from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch, Received
from caretaker_contract.messages import Outcome, Report
from caretaker_rules import tracking
from caretaker_rules.model import Presence
from caretaker_rules.presence import AWAY_STATES, PresenceSettings, transition_of


class Track:
    """Runs the core's presence and telemetry over what is new."""

    def __init__(self, memory: Memory, settings: PresenceSettings) -> None:
        self._memory = memory
        self._settings = settings

    async def run(self, batch: Batch) -> None:
        """Bring every touched device up to date; on a tick, look for those that fell silent."""
        memory, settings = self._memory, self._settings
        for item in batch.messages:
            entry = memory.entry(item.address)
            before = entry.tracked
            entry.tracked, transitions = tracking.track(before, item.message, item.received_ms, settings)
            batch.touched[item.address] = entry
            if isinstance(item.message, Outcome):
                batch.outcomes.append((item.address, item.message))
            told = None
            if isinstance(item.message, Report):
                told = transition_of(item.message)
                if item.message.boot != before.presence.boot:
                    _boots(batch, item, before.presence, item.message)
            # What a report itself tells is recorded from the report; only what we inferred has no other witness.
            batch.inferred.extend((item.address, change) for change in transitions if change != told)
        if not batch.tick:
            return
        seen_since_ms = memory.connected_since_ms
        if not seen_since_ms or memory.behind_s:
            return  # blind, or still catching up: silence proves nothing
        for address, entry in memory.entries.items():
            tracked, transitions = tracking.tick(entry.tracked, batch.now_ms, settings, seen_since_ms)
            if tracked is not entry.tracked:
                entry.tracked = tracked
                batch.touched[address] = entry
            batch.inferred.extend((address, change) for change in transitions)


def _boots(batch: Batch, item: Received, before: Presence, report: Report) -> None:
    """Note what a report of another boot tells of how the earlier one ended."""
    if tracking.crashed(before, report):
        batch.crashes.append((item.address, before, item.received_ms))
    elif report.boot < before.boot and report.state in AWAY_STATES:
        batch.goodbyes.append((item.address, report))
