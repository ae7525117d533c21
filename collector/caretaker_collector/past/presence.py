"""What a collector would have concluded of one machine in a past that is filled in: lost, found, left, unknown.

Live, ticks find out who has fallen silent. Here nothing happens between two messages of a machine, so before each one
that moment is looked at from which silence would have counted; that gives the same conclusions without the ticks.
"""

from caretaker_contract.messages import Message, Report
from caretaker_rules import tracking
from caretaker_rules.model import Tracked, Transition
from caretaker_rules.presence import ON_STATES, PresenceSettings, transition_of


class Watched:
    """One machine of the past: what is known of it after each message."""

    __slots__ = ("_settings", "tracked")

    def __init__(self, settings: PresenceSettings) -> None:
        self._settings = settings
        self.tracked = Tracked()

    def hear(self, message: Message, at_ms: int) -> list[Transition]:
        """A message of this moment; the changes of state that no report tells of, oldest first."""
        found = self.until(at_ms)
        self.tracked, changes = tracking.track(self.tracked, message, at_ms, self._settings)
        told = transition_of(message) if isinstance(message, Report) else None
        return found + [change for change in changes if change != told]

    def until(self, at_ms: int) -> list[Transition]:
        """Nothing was heard before `at_ms`: perhaps it was lost on the way there."""
        due_ms = self.silent_ms
        if due_ms is None or due_ms >= at_ms:
            return []
        self.tracked, changes = tracking.tick(self.tracked, due_ms, self._settings)
        return changes

    @property
    def silent_ms(self) -> int | None:
        """From when on its silence counts, should nothing come; None: its silence is no news."""
        presence, settings = self.tracked.presence, self._settings
        if presence.lost_ms:
            return presence.lost_ms + int(settings.grace_s * 1000)
        if presence.state in ON_STATES:
            return presence.heard_ms + int(settings.missed_heartbeats * presence.heartbeat_s * 1000) + 1
        return None
