"""Incidents: an append-only log of what happened to each, and what it is now is the fold of its entries.

Rules and people only append; nothing is changed or deleted, so the history of an incident is all there is of it, and
rules and people can write at the same time. Entries are folded in the order in which they were written.

    opened -> (grown, priority)* -> acknowledged, assigned, noted, paused, resumed, ticket -> fixed -> reopened ...
                                                                        merged: lives on in another one

- Paused means waiting for the customer; nothing else stops a clock.
- Fixed by `rules` when nothing of it is wrong any more, or by a person. The fix time is the moment when it ended, which
  rules know better than the moment of writing.
- Reopened when it comes back within the level's `reopen_within`: its clocks go on as if it had never been fixed.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec
from msgspec import Struct

from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.intervals import Span
from caretaker_rules.service import Impact

RULES = "rules"
"""Who writes what no person wrote."""


class Action(StrEnum):
    """What an entry says."""

    OPENED = "opened"
    GROWN = "grown"  # more, or fewer, devices are hit
    PRIORITY = "priority"
    ACKNOWLEDGED = "acknowledged"
    ASSIGNED = "assigned"
    NOTED = "noted"
    PAUSED = "paused"  # waiting for the customer
    RESUMED = "resumed"
    FIXED = "fixed"
    REOPENED = "reopened"
    MERGED = "merged"
    TICKET = "ticket"  # its number at another desk


class Status(StrEnum):
    """Where an incident is."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    PAUSED = "paused"
    FIXED = "fixed"
    MERGED = "merged"


class Opened(Struct, frozen=True, kw_only=True):
    """The body of `opened`: what it is about."""

    kind: FindingKind
    subject: Subject
    title: str
    since_ms: int
    hits: tuple[Subject, ...] = ()
    priority: int | None = None  # None: of Caretaker itself, or a school without a level
    impact: Impact | None = None
    alternative: bool = False


class Entry(Struct, frozen=True, kw_only=True):
    """One line of the log. `uid` names the incident; what else is set depends on `action`."""

    uid: str
    at_ms: int
    by: str
    action: Action
    text: str = ""  # assigned: to whom; noted, paused, fixed: what; ticket: its number; merged: into which uid
    opened: Opened | None = None
    hits: tuple[Subject, ...] = ()  # grown: all that are hit now
    priority: int | None = None
    impact: Impact | None = None
    alternative: bool = False
    when_ms: int = 0  # fixed: when it ended; reopened: when it came back


class Incident(Struct, frozen=True, kw_only=True):
    """What an incident is now. Times are UTC ms; 0 means: not yet."""

    uid: str
    number: int  # for people: "INC-12"
    kind: FindingKind
    subject: Subject
    title: str
    since_ms: int
    opened_ms: int
    status: Status = Status.OPEN
    hits: tuple[Subject, ...] = ()
    ever_hit: tuple[Subject, ...] = ()
    priority: int | None = None
    impact: Impact | None = None
    alternative: bool = False
    acknowledged_ms: int = 0
    acknowledged_by: str = ""
    assigned: str = ""
    pauses: tuple[Span, ...] = ()  # the one that is on ends at 2**62
    fixed_ms: int = 0
    fixed_by: str = ""
    reopened: int = 0
    reopened_ms: int = 0  # when it was last
    merged_into: str = ""
    tickets: tuple[str, ...] = ()  # "zammad:4711"
    entries: int = 0

    @property
    def key(self) -> str:
        """Kind and subject: one open incident for each."""
        return f"{self.kind.value} {self.subject}"

    @property
    def name(self) -> str:
        """As people call it."""
        return f"INC-{self.number}"

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self.status not in (Status.FIXED, Status.MERGED)


NEVER_MS = 2**62


def fold(number: int, entries: Iterable[Entry]) -> Incident:
    """The incident that these entries, all of one, tell of. ValueError when the first one does not open it."""
    incident: Incident | None = None
    for entry in entries:
        incident = _opened(number, entry) if incident is None else after(incident, entry)
    if incident is None:
        raise ValueError("an incident without entries")
    return incident


def _opened(number: int, entry: Entry) -> Incident:
    if entry.opened is None:
        raise ValueError(f"the log of {entry.uid} begins with {entry.action.value}")
    told = entry.opened
    hits = told.hits or ((told.subject,) if told.subject.device else ())
    return Incident(
        uid=entry.uid,
        number=number,
        kind=told.kind,
        subject=told.subject,
        title=told.title,
        since_ms=told.since_ms,
        opened_ms=entry.at_ms,
        hits=hits,
        ever_hit=hits,
        priority=told.priority,
        impact=told.impact,
        alternative=told.alternative,
        entries=1,
    )


def after(incident: Incident, entry: Entry) -> Incident:
    """The incident after one more entry; one that makes no sense any more (acknowledged twice) only counts as told."""
    changes: dict[str, object] = {"entries": incident.entries + 1}
    action, at_ms = entry.action, entry.at_ms
    if action is Action.GROWN:
        ever = tuple(sorted({*incident.ever_hit, *entry.hits}))
        changes |= {"hits": entry.hits, "ever_hit": ever}
    elif action is Action.PRIORITY:
        changes |= {"priority": entry.priority, "impact": entry.impact, "alternative": entry.alternative}
    elif action is Action.ACKNOWLEDGED and not incident.acknowledged_ms:
        changes |= {"acknowledged_ms": at_ms, "acknowledged_by": entry.by}
        if incident.status is Status.OPEN:
            changes["status"] = Status.ACKNOWLEDGED
    elif action is Action.ASSIGNED:
        changes["assigned"] = entry.text
    elif action is Action.PAUSED and incident.open and incident.status is not Status.PAUSED:
        changes |= {"status": Status.PAUSED, "pauses": (*incident.pauses, (at_ms, NEVER_MS))}
    elif action is Action.RESUMED and incident.status is Status.PAUSED:
        changes |= {"status": _running(incident), "pauses": _end_pause(incident, at_ms)}
    elif action is Action.FIXED and incident.open:
        fixed_ms = entry.when_ms or at_ms
        pauses = _end_pause(incident, fixed_ms) if incident.status is Status.PAUSED else incident.pauses
        changes |= {"status": Status.FIXED, "fixed_ms": fixed_ms, "fixed_by": entry.by, "hits": (), "pauses": pauses}
    elif action is Action.REOPENED and incident.status is Status.FIXED:
        hits = entry.hits or incident.hits
        ever = tuple(sorted({*incident.ever_hit, *hits}))
        changes |= {"status": _running(incident), "fixed_ms": 0, "fixed_by": "", "hits": hits, "ever_hit": ever}
        changes |= {"reopened": incident.reopened + 1, "reopened_ms": at_ms}
    elif action is Action.MERGED and incident.open:
        changes |= {"status": Status.MERGED, "merged_into": entry.text, "fixed_ms": at_ms, "fixed_by": entry.by}
    elif action is Action.TICKET and entry.text not in incident.tickets:
        changes["tickets"] = (*incident.tickets, entry.text)
    return msgspec.structs.replace(incident, **changes)


def _running(incident: Incident) -> Status:
    return Status.ACKNOWLEDGED if incident.acknowledged_ms else Status.OPEN


def _end_pause(incident: Incident, at_ms: int) -> tuple[Span, ...]:
    *before, (begin, _) = incident.pauses
    return (*before, (begin, max(begin, at_ms)))
