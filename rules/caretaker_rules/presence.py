"""Power state of a device from what it says, what it fails to say, and how it leaves.

What the state rests on, and why order and repetition do not matter (invariant I2):
- **Within an epoch** the newest report by (boot, seq) gives the state, and the newest report that told of a change
  gives `since_ms`. Both are maxima, so any order and any repetition of reports ends in the same place. No clock is
  asked.
- **Between epochs** (the agent was reinstalled) only the device's clock can tell old from new, so the later `at_ms`
  wins and a late report of an older epoch changes nothing. A time beyond the collector's own is cut to the
  collector's, so a clock once set years ahead cannot shut out the epochs after it. With such a clock, or one that was
  set back within an epoch, the order of arrival may matter until the next report of the new epoch.
- **Links** are ordered by (boot, link). The will of an older link or boot is stale and ignored, and of one link a
  goodbye counts more than a will. A goodbye stands until a newer link, a newer boot, or a report made after it.
- **Signs of life** are reports, outcomes and new links. A hello is retained and may be days old, so it is none.

Three states are the collector's own conclusions: lost (a will whose grace ran out, or heartbeats missing), unknown (the
agent was stopped and the machine stays on: we are blind) and off by goodbye alone. The device's next word ends them.
"""

from typing import Annotated

from msgspec import Meta

from caretaker_contract.messages import (
    Cause,
    Hello,
    Outcome,
    PowerState,
    PresenceNote,
    PresenceWord,
    Report,
)
from caretaker_rules.model import Presence, Transition, Turn, Written

PLANNED_CAUSES = frozenset({Cause.RULE, Cause.USER, Cause.MAINTENANCE, Cause.RESTART})
"""Off or asleep for one of these is planned-off: neither up nor down (invariant I9)."""

ON_STATES = frozenset({PowerState.IN_USE, PowerState.IDLE})
AWAY_STATES = frozenset({PowerState.OFF, PowerState.ASLEEP})

WRONG_CLOCK_MS = 1_800_000
"""A device's clock that is further off says nothing of the moment."""

_heartbeats: dict[int, int] = {300: 300}
"""Each different heartbeat once, not one number for each device."""

Event = Hello | PresenceNote | Report | Outcome | None


class PresenceSettings(Written, frozen=True, kw_only=True):
    """How patient the collector is before it calls a machine lost."""

    grace_s: Annotated[float, Meta(ge=0, le=3600)] = 30
    """Seconds between a last will and lost, so that a short reconnect raises nothing."""
    missed_heartbeats: Annotated[float, Meta(ge=1, le=100)] = 2.5
    """A machine that is on and silent for this many of its own heartbeats is lost."""


def transition_of(report: Report) -> Transition | None:
    """The change of state that one report tells of, by itself; None for a heartbeat."""
    if report.state is report.was:
        return None
    return Transition(report.at_ms, report.was, report.state, report.cause, is_planned(report.state, report.cause))


def is_planned(state: PowerState, cause: Cause) -> bool:
    """Whether a machine in `state` is there on purpose and on record."""
    return state in AWAY_STATES and cause in PLANNED_CAUSES


def step(
    presence: Presence, event: Event, now_ms: int, settings: PresenceSettings, seen_since_ms: int = 0
) -> tuple[Presence, list[Transition]]:
    """The presence after `event`, and the changes of state that it tells of or brings about. `event` None is a tick.

    `now_ms` is the collector's time: of receipt for a message. `seen_since_ms` is the collector time since which the
    collector itself has been connected without a break; silence before it proves nothing.

    For a report the list holds its own change (`transition_of`), also when it is late or repeated: it is a fact of
    the past, and storing it twice changes nothing. Changes that the collector concludes have lost, unknown or
    off-by-goodbye on one side, and come only when they happen.
    """
    if event is None:
        return _tick(presence, now_ms, settings, seen_since_ms)
    if type(event) is Report:
        return _report(presence, event, now_ms)
    if type(event) is PresenceNote:
        return _note(presence, event, now_ms)
    if type(event) is Outcome:
        return _outcome(presence, event, now_ms), []
    assert isinstance(event, Hello)
    if presence.epoch and (event.epoch != presence.epoch or event.boot < presence.boot):
        return presence, []
    if presence.heartbeat_s == event.heartbeat_s:
        return presence, []
    return _with(presence, heartbeat_s=_heartbeats.setdefault(event.heartbeat_s, event.heartbeat_s)), []


def _report(old: Presence, report: Report, now_ms: int) -> tuple[Presence, list[Transition]]:
    """One report: newest, late, or of an epoch that is over."""
    own = transition_of(report)
    changes = [] if own is None else [own]
    boot, seq, at_ms, state = report.boot, report.seq, report.at_ms, report.state
    if report.epoch == old.epoch:
        if boot < old.boot or (boot == old.boot and seq <= old.seq):
            return _late(old, report, now_ms), changes
        epoch, turn = old.epoch, old.turn  # the string we have: one copy per device, not one per report
        link_boot, link, link_ms, left_ms = old.link_boot, old.link, old.link_ms, old.left_ms
    elif old.epoch and not _is_newer_epoch(old, report, now_ms):
        return old, changes
    else:
        # A machine first heard of, or heard of anew, counts as one that has just connected.
        epoch, turn = report.epoch, None
        link_boot, link, link_ms, left_ms = 0, 0, now_ms, 0

    if own is not None:
        turn = Turn(boot, seq, at_ms, state, report.cause)
    before_goodbye = False
    if left_ms:
        if boot > link_boot or (boot == link_boot and at_ms > left_ms):
            left_ms = 0
        else:
            before_goodbye = state not in AWAY_STATES
    if before_goodbye:
        now_state, since_ms, cause, planned = old.state, old.since_ms, old.cause, old.planned
    else:
        now_state = state
        since_ms, cause = _beginning(state, turn, at_ms)
        planned = is_planned(state, cause)
        if old.state is not old.said and old.state is not state and report.was is not old.state:
            changes.append(Transition(at_ms, old.state, state, cause, planned))
    heard_ms = now_ms if now_ms > old.heard_ms else old.heard_ms
    return Presence(
        now_state,
        since_ms,
        cause,
        planned,
        epoch,
        boot,
        seq,
        at_ms,
        heard_ms,
        old.heartbeat_s,
        link,
        link_ms,
        0,  # whatever will was waiting: it lives
        state,
        turn,
        link_boot,
        left_ms,
    ), changes


def _is_newer_epoch(old: Presence, report: Report, now_ms: int) -> bool:
    """Whether a report of another epoch comes after what we know, by device time, no clock trusted beyond ours."""
    known_ms = min(old.at_ms, old.heard_ms) if old.heard_ms else old.at_ms
    return (min(report.at_ms, now_ms), report.epoch) > (known_ms, old.epoch)


def _beginning(state: PowerState, turn: Turn | None, at_ms: int) -> tuple[int, Cause]:
    """When and why `state` began: from the newest change told of, if it led here.

    Else a report is missing in between, and nothing older than the newest report (`at_ms`) is proved.
    """
    if turn is not None and turn.state is state:
        return turn.at_ms, turn.cause
    return at_ms, Cause.UNKNOWN


def _late(old: Presence, report: Report, now_ms: int) -> Presence:
    """An older or repeated report: a sign of life, and perhaps the change that the state has lasted since."""
    turn = old.turn
    if report.was is not report.state and (turn is None or (report.boot, report.seq) > (turn.boot, turn.seq)):
        turn = Turn(report.boot, report.seq, report.at_ms, report.state, report.cause)
    elif now_ms <= old.heard_ms:
        return old
    heard_ms = max(now_ms, old.heard_ms)
    if turn is old.turn or old.state is not old.said:
        return _with(old, heard_ms=heard_ms, turn=turn)
    since_ms, cause = _beginning(old.state, turn, old.at_ms)
    planned = is_planned(old.state, cause)
    return _with(old, heard_ms=heard_ms, turn=turn, since_ms=since_ms, cause=cause, planned=planned)


def _outcome(old: Presence, outcome: Outcome, now_ms: int) -> Presence:
    """A sign of life without a state. It does not advance the number: a report before it may still be under way."""
    if outcome.epoch != old.epoch:
        return old
    heard_ms = max(now_ms, old.heard_ms)
    is_news = outcome.key > (old.boot, old.seq)
    return _with(old, heard_ms=heard_ms, lost_ms=0 if is_news else old.lost_ms)


def _note(old: Presence, note: PresenceNote, now_ms: int) -> tuple[Presence, list[Transition]]:
    """Online, leaving or lost."""
    if old.epoch and note.epoch != old.epoch:
        return old, []  # of another installation: its reports decide which of the two is in force
    link, known = (note.boot, note.link), (old.link_boot, old.link)
    if note.boot < old.boot or link < known:
        return old, []
    is_new = link > known
    if not is_new and (old.left_ms or note.presence is PresenceWord.ONLINE):
        return old, []
    if not old.epoch:  # never heard of: the note is where its story begins
        old = _with(old, epoch=note.epoch, at_ms=note.at_ms)
    if note.presence is PresenceWord.ONLINE:
        return _online(old, note, now_ms)
    if note.presence is PresenceWord.LEAVING:
        return _leaving(old, note, now_ms)
    linked = _with(old, link_boot=note.boot, link=note.link, link_ms=now_ms, left_ms=0)
    if old.state is PowerState.LOST or old.lost_ms:
        return linked, []
    if old.state in AWAY_STATES and note.boot <= old.boot:
        return linked, []  # it had said by report that it goes; the link breaking is no news
    return _with(linked, lost_ms=now_ms), []


def _online(old: Presence, note: PresenceNote, now_ms: int) -> tuple[Presence, list[Transition]]:
    """A new link. A lost machine that comes back in the same boot was never off: what it last said holds again."""
    new = _with(
        old,
        link_boot=note.boot,
        link=note.link,
        link_ms=now_ms,
        heard_ms=max(now_ms, old.heard_ms),
        lost_ms=0,
        left_ms=0,
    )
    if old.state is not PowerState.LOST:
        return new, []
    if note.boot == old.boot and old.said in ON_STATES:
        state = old.said
        since_ms, cause = _beginning(state, old.turn, old.at_ms)
        # A clock that is so wrong, or a note that was kept for so long, does not say when the machine was found.
        at_ms = note.at_ms if abs(now_ms - note.at_ms) < WRONG_CLOCK_MS else now_ms
    else:
        state, cause = PowerState.UNKNOWN, Cause.UNKNOWN
        at_ms = since_ms = now_ms
    new = _with(new, state=state, since_ms=since_ms, cause=cause, planned=False)
    return new, [Transition(at_ms, PowerState.LOST, state, cause, False)]


def _leaving(old: Presence, note: PresenceNote, now_ms: int) -> tuple[Presence, list[Transition]]:
    """A goodbye: off with its cause, unless a report said asleep, or only the agent leaves (then we are blind)."""
    new = _with(old, link_boot=note.boot, link=note.link, link_ms=now_ms, heard_ms=max(now_ms, old.heard_ms), lost_ms=0)
    if old.boot == note.boot and old.at_ms > note.at_ms and old.state not in AWAY_STATES:
        return new, []  # it has reported since: the goodbye is late
    new = _with(new, left_ms=max(note.at_ms, 1))
    if old.state in AWAY_STATES and note.boot <= old.boot:
        return new, []  # the report told the same, and more
    if note.cause is Cause.AGENT_STOP:
        state, at_ms = PowerState.UNKNOWN, now_ms
    else:
        state, at_ms = PowerState.OFF, note.at_ms
    planned = is_planned(state, note.cause)
    new = _with(new, state=state, since_ms=at_ms, cause=note.cause, planned=planned)
    changes = [] if old.state is state else [Transition(at_ms, old.state, state, note.cause, planned)]
    return new, changes


def _tick(
    old: Presence, now_ms: int, settings: PresenceSettings, seen_since_ms: int
) -> tuple[Presence, list[Transition]]:
    """Time has passed and nothing came: perhaps the machine is lost."""
    if old.lost_ms:
        if now_ms - max(old.lost_ms, seen_since_ms) < settings.grace_s * 1000:
            return old, []
        return _lose(old, old.lost_ms)
    if old.state is not PowerState.IDLE and old.state is not PowerState.IN_USE:
        return old, []
    silent_from_ms = max(old.heard_ms, seen_since_ms)
    if now_ms - silent_from_ms <= settings.missed_heartbeats * old.heartbeat_s * 1000:
        return old, []
    return _lose(old, silent_from_ms + old.heartbeat_s * 1000)


def _lose(old: Presence, at_ms: int) -> tuple[Presence, list[Transition]]:
    """Lost since `at_ms` (collector time): its will, or the first heartbeat that did not come."""
    new = _with(old, state=PowerState.LOST, since_ms=at_ms, cause=Cause.UNKNOWN, planned=False, lost_ms=0)
    return new, [Transition(at_ms, old.state, PowerState.LOST, Cause.UNKNOWN, False)]


def _with(
    old: Presence,
    *,
    state: PowerState | None = None,
    since_ms: int | None = None,
    cause: Cause | None = None,
    planned: bool | None = None,
    epoch: str | None = None,
    at_ms: int | None = None,
    heard_ms: int | None = None,
    heartbeat_s: int | None = None,
    link: int | None = None,
    link_ms: int | None = None,
    lost_ms: int | None = None,
    turn: Turn | None = None,
    link_boot: int | None = None,
    left_ms: int | None = None,
) -> Presence:
    """A copy with some fields changed (None keeps them); three times as fast as msgspec.structs.replace."""
    return Presence(
        old.state if state is None else state,
        old.since_ms if since_ms is None else since_ms,
        old.cause if cause is None else cause,
        old.planned if planned is None else planned,
        old.epoch if epoch is None else epoch,
        old.boot,
        old.seq,
        old.at_ms if at_ms is None else at_ms,
        old.heard_ms if heard_ms is None else heard_ms,
        old.heartbeat_s if heartbeat_s is None else heartbeat_s,
        old.link if link is None else link,
        old.link_ms if link_ms is None else link_ms,
        old.lost_ms if lost_ms is None else lost_ms,
        old.said,
        old.turn if turn is None else turn,
        old.link_boot if link_boot is None else link_boot,
        old.left_ms if left_ms is None else left_ms,
    )
