"""What the HTTP API takes and gives, as Structs: the OpenAPI description is made from them."""

from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from caretaker_collector.notify.by_webhook import stamp
from caretaker_rules import clocks
from caretaker_rules.clocks import Clock
from caretaker_rules.findings import Subject
from caretaker_rules.incidents import Entry, Incident
from caretaker_rules.model import Written

Text = Annotated[str, Meta(max_length=2_000, description="What to keep with it; it is shown as it is, never as HTML.")]
SomeText = Annotated[str, Meta(min_length=1, max_length=2_000, description="What to keep with it.")]
By = Annotated[
    str,
    Meta(max_length=40, description="The role or member of staff for whom the token's holder speaks; never a pupil."),
]
Number = Annotated[int, Meta(ge=1, le=2**53, description="The number of an incident: 12 is INC-12.")]


class Place(Struct, frozen=True):
    """What an incident is about; all of it empty: Caretaker itself."""

    school: str
    room: str
    device: str


class ClockView(Struct, frozen=True):
    """A clock of the service level, in service hours."""

    started_at: str
    allowance_s: int
    used_s: int
    left_s: int  # negative: late
    due_at: str | None  # null: nothing is due (paused, or it has ended)
    ended_at: str | None
    paused: bool
    late: bool
    text: str  # the same in words


class IncidentSummary(Struct, frozen=True):
    """An incident as it stands in a list."""

    number: int
    name: str
    kind: str
    place: Place
    title: str
    status: str
    priority: int | None
    assigned: str
    hits: int  # devices that suffer from it now
    since: str
    opened_at: str
    acknowledged_at: str | None
    fixed_at: str | None
    tickets: list[str]


class HistoryEntry(Struct, frozen=True):
    """One line of an incident's history."""

    at: str
    by: str
    action: str
    text: str
    priority: int | None


class IncidentDetail(Struct, frozen=True):
    """An incident with its history and its clocks."""

    incident: IncidentSummary
    hits: list[Place]
    reopened: int
    merged_into: str | None
    response: ClockView | None
    fix: ClockView | None
    history: list[HistoryEntry]


class IncidentList(Struct, frozen=True):
    """Some incidents, the newest first. `next` is the `before` of the next request; null: there are no more."""

    incidents: list[IncidentSummary]
    next: int | None


class ActionField(Struct, frozen=True, kw_only=True):
    """One thing that an action asks for."""

    name: str
    label: str
    kind: str  # text, area, time, day, choice, number
    required: bool
    longest: int
    help: str


class ActionView(Struct, frozen=True, kw_only=True):
    """An action: what it is, what it takes, and what it asks for beside `place` and `by`."""

    name: str
    label: str
    explains: str
    permission: str
    scope: str  # the least that a token has to have
    places: list[str]  # what `place` may be: estate, school, room, device, incident, record
    fields: list[ActionField]


class ActionList(Struct, frozen=True):
    """All actions that a token can do."""

    actions: list[ActionView]


class Undo(Struct, frozen=True, kw_only=True):
    """The action that takes another one back, with what is already known of it."""

    action: str
    place: str
    fields: dict[str, str]


class ActionAnswer(Struct, frozen=True, kw_only=True):
    """What came of an action, or with ?preview=1 what it would touch."""

    ok: bool  # false: there was nothing to do; the lines say why
    lines: list[str]  # the first is the whole in one sentence
    number: int | None  # of the record, order or incident
    link: str  # path of the desk where it is on record
    undo: Undo | None


class Problem(Struct, frozen=True, omit_defaults=True):
    """What is wrong with a request (RFC 9457)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


class AcknowledgeBody(Written, frozen=True, kw_only=True):
    """Somebody has seen it."""

    text: Text = ""
    by: By = ""


class AssignBody(Written, frozen=True, kw_only=True):
    """Who works on it."""

    to: Annotated[str, Meta(min_length=1, max_length=80)]
    by: By = ""


class NoteBody(Written, frozen=True, kw_only=True):
    """Something to keep with it."""

    text: SomeText
    by: By = ""


class PauseBody(Written, frozen=True, kw_only=True):
    """It waits for the customer: what for."""

    text: SomeText
    by: By = ""


class ResumeBody(Written, frozen=True, kw_only=True):
    """It waits no longer."""

    text: Text = ""
    by: By = ""


class FixBody(Written, frozen=True, kw_only=True):
    """It is over: what was done."""

    text: SomeText
    by: By = ""


class MergeBody(Written, frozen=True, kw_only=True):
    """It is the same as another one, in which it goes on."""

    into: Number
    by: By = ""


class ReportBody(Written, frozen=True, kw_only=True):
    """What somebody tells us of, that no rule can see."""

    school: Annotated[str, Meta(min_length=1, max_length=64)]
    room: Annotated[str, Meta(max_length=64)] = ""
    device: Annotated[str, Meta(max_length=64)] = ""
    title: Annotated[str, Meta(min_length=3, max_length=200)]
    by: By = ""


def clock_view(clock: Clock | None, zone: ZoneInfo, now_ms: int) -> ClockView | None:
    """A clock as the API gives it."""
    if clock is None:
        return None
    return ClockView(
        started_at=stamp(clock.started_ms),
        allowance_s=clock.allowance_ms // 1000,
        used_s=clock.used_ms // 1000,
        left_s=clock.left_ms // 1000,
        due_at=stamp(clock.due_ms) if clock.due_ms is not None and not (clock.ended_ms or clock.paused) else None,
        ended_at=stamp(clock.ended_ms) if clock.ended_ms else None,
        paused=clock.paused,
        late=clock.late,
        text=clocks.text(clock, zone, now_ms),
    )


def place_of(subject: Subject) -> Place:
    """A subject as the API gives it."""
    return Place(subject.school, subject.room, subject.device)


def summary_of(incident: Incident) -> IncidentSummary:
    """An incident as it stands in a list."""
    return IncidentSummary(
        number=incident.number,
        name=incident.name,
        kind=incident.kind.value,
        place=place_of(incident.subject),
        title=incident.title,
        status=incident.status.value,
        priority=incident.priority,
        assigned=incident.assigned,
        hits=len(incident.hits),
        since=stamp(incident.since_ms),
        opened_at=stamp(incident.opened_ms),
        acknowledged_at=stamp(incident.acknowledged_ms) if incident.acknowledged_ms else None,
        fixed_at=stamp(incident.fixed_ms) if incident.fixed_ms else None,
        tickets=list(incident.tickets),
    )


def history_of(entries: list[Entry]) -> list[HistoryEntry]:
    """The history of an incident, the oldest first."""
    return [HistoryEntry(stamp(e.at_ms), e.by, e.action.value, e.text, e.priority) for e in entries]
