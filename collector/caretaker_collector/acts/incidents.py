"""Actions on incidents, over `incidents/actions.py`: what cannot be done is refused there, with what can."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import Meta

from caretaker_collector.acts.base import (
    MACHINES,
    NO_REASON,
    ActBody,
    Action,
    BadBody,
    Ctx,
    Done,
    by,
    said,
)
from caretaker_collector.acts.forms import STAND_IN
from caretaker_collector.acts.places import no_incident, sees
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_dashboards.desk.views import Offer
from caretaker_rules.incidents import Entry
from caretaker_rules.roles import Permission

_KEPT = "Kept with it and shown as it is; no pupil's name."
Text = Annotated[
    str, Meta(min_length=1, max_length=2_000, title="What", description=_KEPT, extra={"kind": "area"})
]  # fmt: skip
Why = Annotated[
    str, Meta(min_length=1, max_length=2_000, title="Why", description=_KEPT, extra={"kind": "text"})
]  # fmt: skip
MaybeWhy = Annotated[
    str, Meta(max_length=2_000, title="Note", description=f"{_KEPT} It may be left out.", extra={"kind": "text"})
]  # fmt: skip


class AcknowledgeAct(ActBody, frozen=True, kw_only=True):
    """Somebody has seen it."""

    reason: MaybeWhy = ""


class AssignAct(ActBody, frozen=True, kw_only=True):
    """Who works on it."""

    to: Annotated[
        str, Meta(min_length=1, max_length=80, title="To whom", description="A role or a member of staff.")
    ]  # fmt: skip
    reason: MaybeWhy = ""


class NoteAct(ActBody, frozen=True, kw_only=True):
    """Something to keep with it."""

    text: Text


class IncidentAct(ActBody, frozen=True, kw_only=True):
    """Something that is done to it, and why."""

    reason: Why


class PauseAct(ActBody, frozen=True, kw_only=True):
    """What it waits for."""

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=2_000, title="What it waits for", description=_KEPT, extra={"kind": "text"}),
    ]


class FixAct(ActBody, frozen=True, kw_only=True):
    """What mended it."""

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=2_000, title="What was done", description=_KEPT, extra={"kind": "text"}),
    ]


class MergeAct(ActBody, frozen=True, kw_only=True):
    """It is the same as another one, in which it goes on."""

    into: Annotated[
        int,
        Meta(ge=1, le=2**53, title="Into", description="An open incident of the same school, by its number."),
    ]
    reason: Why


class ReportAct(ActBody, frozen=True, kw_only=True):
    """What somebody tells us of, that no rule can see."""

    text: Annotated[
        str,
        Meta(
            min_length=3, max_length=200, title="What is wrong", description="In a few words; no pupil's name.",
            extra={"kind": "text"},
        ),
    ]  # fmt: skip


Step = Callable[[sqlite3.Connection, Ctx, Any], Entry | None]


@contextmanager
def _taken_back(db: sqlite3.Connection) -> Iterator[None]:
    """Try something on the real file, and leave nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def _text(body: Any) -> str:
    """What goes into the history of the incident."""
    reason: str = getattr(body, "reason", "")
    return "" if reason == NO_REASON else reason


def _action(
    name: str,
    label: str,
    title: str,
    explains: str,
    body: type[ActBody],
    step: Step,
    done: Callable[[Any], str],
    undo: str = "",
    **more: Any,
) -> Action:
    """An action on one incident. `done` says what it was, as `caretaker incident` has it."""

    def do(ctx: Ctx, asked: Any) -> Done:
        incident = ctx.incident
        entry = step(ctx.db, ctx, asked)
        link = f"/incidents/{incident.number}"
        if entry is None:
            return said(f"{incident.name} was so already: {done(asked)}", link=link, ok=False)
        text = _text(asked) or getattr(asked, "text", "")
        shown = f": {text}" if text and text not in done(asked) else ""
        told = said(f"{incident.name} {done(asked)}{shown}", link=link)
        offer = Offer(action=undo, label=_UNDO[undo], place=str(incident.number)) if undo else None
        answered = type(told.answered)(lines=told.answered.lines, link=link, undo=offer)
        extra = "" if name in ("note", "acknowledge", "pause", "unpause", "fix") else done(asked)
        noted = ": ".join(part for part in (extra, getattr(asked, "reason", "") or getattr(asked, "text", "")) if part)
        return Done(answered, noted=noted, number=incident.number)

    def preview(ctx: Ctx, asked: Any) -> Done:
        incident = ctx.incident
        with _taken_back(ctx.db):
            entry = step(ctx.db, ctx, asked)
        if entry is None:
            return said(f"{incident.name} is so already: {done(asked)}", ok=False)
        return said(f"{incident.name}: {explains}", incident.title)

    return Action(
        name=name,
        label=label,
        title=title,
        explains=explains,
        permission=Permission.INCIDENTS,
        kinds=("incident",),
        body=body,
        preview=preview,
        do=do,
        **more,
    )


_UNDO = {"unpause": "It waits no longer", "pause": "Pause it again"}


def _merge(db: sqlite3.Connection, ctx: Ctx, body: MergeAct) -> Entry | None:
    other = incident_book.one(db, body.into)
    if other is None or not sees(ctx.who, other.subject.school):
        raise BadBody(no_incident(db, ctx.who, body.into))
    incident, why = ctx.incident, _text(body)
    done = incident_actions.merge(db, ctx.estate, incident.number, by(ctx), body.into, ctx.now_ms)
    if done is not None:  # else who reads the one that goes on would not know what came to it, and why
        told = f"{incident.name} goes on here: {incident.title}" + (f" ({why})" if why else "")
        incident_actions.note(db, ctx.estate, body.into, by(ctx), told, ctx.now_ms)
    return done


def others(ctx: Ctx) -> list[tuple[str, str]]:
    """Open incidents of the same school, into which it may be merged."""
    incident = ctx.incident
    return [
        (str(one.number), f"{one.name}: {one.title}")
        for one in incident_book.open_ones(ctx.db, incident.subject.school)
        if one.uid != incident.uid
    ]


def _plain(function: Callable[..., Entry | None], key: str = "reason") -> Step:
    """A step that hands one text on."""

    def step(db: sqlite3.Connection, ctx: Ctx, body: Any) -> Entry | None:
        text = _text(body) if key == "reason" else getattr(body, key)
        return function(db, ctx.estate, ctx.incident.number, by(ctx), text, ctx.now_ms)

    return step


def _report(ctx: Ctx, body: ReportAct) -> Done:
    made = incident_actions.report(ctx.db, ctx.estate, ctx.scope, by(ctx), body.text, ctx.now_ms)
    priority = f", P{made.priority}" if made.priority is not None else ""
    told = said(f"{made.name}: {made.title} ({made.subject}{priority})", link=f"/incidents/{made.number}")
    return Done(told.answered, noted=body.text, number=made.number)


def _report_preview(ctx: Ctx, body: ReportAct) -> Done:
    with _taken_back(ctx.db):
        made = incident_actions.report(ctx.db, ctx.estate, ctx.scope, by(ctx), body.text, ctx.now_ms)
    priority = f" of priority {made.priority}" if made.priority is not None else ""
    text = f": {made.title}" if made.title != STAND_IN else ""
    return said(f"An incident{priority} is opened at {ctx.place.title}{text}.")


ACTIONS = (
    _action(
        "acknowledge",
        "Acknowledge",
        "Acknowledge {place}",
        "its response clock ends, and nobody is reminded of it any more.",
        AcknowledgeAct,
        _plain(incident_actions.acknowledge),
        lambda body: "acknowledged",
    ),
    _action(
        "assign",
        "Assign",
        "Say who works on {place}",
        "everybody sees who works on it; its clocks run on.",
        AssignAct,
        _plain(incident_actions.assign, "to"),
        lambda body: f"assigned to {body.to}",
    ),
    _action(
        "note",
        "Note",
        "Keep a note with {place}",
        "the note is kept with it, also when it is over.",
        NoteAct,
        _plain(incident_actions.note, "text"),
        lambda body: "noted",
    ),
    _action(
        "pause",
        "Pause",
        "Pause {place}",
        "it waits for the customer, and its clocks stand still until it waits no longer.",
        PauseAct,
        _plain(incident_actions.pause),
        lambda body: "waits for the customer",
        undo="unpause",
    ),
    _action(
        "unpause",
        "Go on",
        "{place} waits no longer",
        "its clocks go on.",
        IncidentAct,
        _plain(incident_actions.resume),
        lambda body: "waits no longer",
    ),
    _action(
        "fix",
        "Fixed",
        "Say that {place} is fixed",
        "it is over; what is still seen a quarter of an hour later is opened again.",
        FixAct,
        _plain(incident_actions.fix),
        lambda body: "fixed",
    ),
    _action(
        "merge",
        "Merge",
        "Merge {place} into another one",
        "it goes on as part of the other incident of its school; this cannot be taken back.",
        MergeAct,
        _merge,
        lambda body: f"merged into INC-{body.into}",
        choices={"into": others},
    ),
    Action(
        name="report",
        label="Report",
        title="Report something at {place}",
        explains="An incident is opened that no rule can see; only people can fix it again.",
        permission=Permission.INCIDENTS,
        kinds=MACHINES,
        body=ReportAct,
        preview=_report_preview,
        do=_report,
    ),
)
