"""What the collector remembers of one device: its presence, its newest readings, and what it can do."""

from sys import intern

from caretaker_contract.messages import Cause, Hello, Outcome, PowerState, PresenceNote, Report, Verb
from caretaker_rules.model import Presence, Telemetry, Tracked, Transition
from caretaker_rules.presence import ON_STATES, PresenceSettings, step

_abilities: dict[tuple[Verb, ...], tuple[Verb, ...]] = {}
"""Every different list of abilities once: a fleet has a handful of them, not one for each device."""


def track(
    tracked: Tracked, message: Hello | PresenceNote | Report | Outcome, received_ms: int, settings: PresenceSettings
) -> tuple[Tracked, list[Transition]]:
    """What is known after `message`, received at `received_ms` (collector time), and the changes to record.

    Readings are the newest by number, never by arrival. The changes are those of `presence.step`.
    """
    old = tracked.presence
    presence, changes = step(old, message, received_ms, settings)
    if type(message) is Report:
        if presence.seq == message.seq and presence.boot == message.boot and presence.epoch == message.epoch:
            known = tracked.telemetry
            if known is not None and old.seq == message.seq and old.boot == message.boot and old.epoch == message.epoch:
                # A repeat. One of the copies may have waited in a queue: the smaller skew is nearer to the truth.
                skew_ms = min(known.skew_ms, received_ms - message.sent_ms)
                telemetry: Telemetry | None = Telemetry(message.meters, message.gauges, skew_ms)
            else:
                telemetry = Telemetry(message.meters, message.gauges, received_ms - message.sent_ms)
            return Tracked(presence, telemetry, tracked.abilities, tracked.system), changes
    elif type(message) is Hello and (not old.epoch or (message.epoch == old.epoch and message.boot >= old.boot)):
        said = tuple(message.abilities)
        return Tracked(presence, tracked.telemetry, _abilities.setdefault(said, said), intern(message.os)), changes
    if presence is old:
        return tracked, changes
    return Tracked(presence, tracked.telemetry, tracked.abilities, tracked.system), changes


def tick(
    tracked: Tracked, now_ms: int, settings: PresenceSettings, seen_since_ms: int = 0
) -> tuple[Tracked, list[Transition]]:
    """What is known at `now_ms` when nothing came. The very same object when nothing changed."""
    presence, changes = step(tracked.presence, None, now_ms, settings, seen_since_ms)
    if presence is tracked.presence:
        return tracked, changes
    return Tracked(presence, tracked.telemetry, tracked.abilities, tracked.system), changes


def crashed(before: Presence, report: Report) -> bool:
    """Whether this report, the first of a later boot, shows that the boot before it ended without a word.

    `before` is what was known until then. A goodbye that comes later (it waited in the outbox) takes it back.
    """
    if report.epoch != before.epoch or report.boot <= before.boot or not before.seq:
        return False
    # A lost machine that connects with a new boot is unknown until it reports; so is one whose agent was stopped.
    found = before.state is PowerState.UNKNOWN and before.cause is not Cause.AGENT_STOP
    return before.state in ON_STATES or ((before.state is PowerState.LOST or found) and before.said in ON_STATES)
