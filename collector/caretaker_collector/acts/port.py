"""The actions for the desk: the `Acts` of `caretaker_dashboards/desk/ports.py`, over the running collector's file."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from caretaker_collector import people, state
from caretaker_collector.acts import doing, forms, known, places, words
from caretaker_collector.acts.base import Action, BadBody, Ctx, NotAllowed, Place, Site, Unknown
from caretaker_collector.acts.incidents import others
from caretaker_collector.acts.registry import ACTIONS
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_contract.messages import PowerState
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import Answered, Form, Offer
from caretaker_rules.incidents import Status
from caretaker_rules.roles import Who

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

Kind = Literal["estate", "school", "room", "device", "incident", "record"]
_AT: dict[Kind, tuple[str, ...]] = {
    "estate": ("stop",),
    "school": ("hold", "shut_down", "restart", "sleep", "maintenance", "silence", "freeze", "report", "stop"),
    "room": (
        "hold", "wake", "shut_down", "restart", "sleep", "maintenance", "silence", "freeze", "report", "stay_link",
        "stop",
    ),
    "device": ("hold", "shut_down", "wake", "restart", "sleep", "maintenance", "silence", "freeze", "report"),
    "incident": ("acknowledge", "assign", "note", "pause", "unpause", "fix", "merge"),
    "record": ("end", "end_once", "copy"),
}  # fmt: skip
"""What is offered where, the most likely first."""


_APART = frozenset({"stop"})
"""Kept away from the others on a page, though it switches nothing off."""


def site_of(collector: "Collector") -> Site:
    """Where a running collector's actions are done."""
    return Site(
        state=collector.state_path,
        estate=collector.estate,
        policies=collector.policies,
        now_ms=lambda db: collector.clock.now_ms(),
        folder=Path(collector.settings.estate).parent,
    )


class DeskActs:
    """What can be done at a place, what it asks for, what it would touch; and doing it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        """For short looks within the loop; what takes longer, or writes, has a connection and a thread of its own."""
        if self._open is None:
            self._open = state.open_state(self._site.state)
        return self._open

    def offers(self, who: Who, kind: Kind, place: str) -> Sequence[Offer]:
        """What this person can do at a place now, the most likely first. NotThere."""
        try:
            found = places.find(self._db, self._site.estate, who, (kind,), place or places.ALL)
        except ConfigError as error:
            raise NotThere(str(error)) from None
        ctx = Ctx(self._db, self._site, who, self._site.now_ms(self._db), found)
        return [
            Offer(
                action=name, label=ACTIONS[name].label, place=found.text, danger=ACTIONS[name].danger or name in _APART
            )
            for name in self._likely(kind, ctx)
            if self._may(ACTIONS[name], ctx)
        ]

    def form(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Form:
        """What an action asks for there. NotThere; ConfigError when this person may not."""
        try:
            asked = doing.action_of(action)
            ctx = doing.context(self._site, self._db, who, asked, place)
        except Unknown as error:
            raise NotThere(doing.sentence(error)) from None
        if asked.needs is not None:
            asked.needs(ctx)
        return forms.form_of(asked, ctx, fields)

    async def preview(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        """What it would touch, also before somebody has typed why. Nothing is written.

        What cannot be read yet is no error here: the answer is `incomplete`, and names the place's machines all the
        same.
        """
        try:
            asked = doing.action_of(action)
            try:
                body = forms.stand_ins(asked) | forms.values_of(asked, place, fields)
                return (await doing.perform(self._site, who, asked, body, preview=True, strict=False)).answered
            except BadBody as error:
                touched = await asyncio.to_thread(doing.touched, self._site, who, asked, place)
                return Answered(lines=[touched, *map(words.fault, error.faults)], incomplete=True)
            except Unavailable as error:
                touched = await asyncio.to_thread(doing.touched, self._site, who, asked, place)
                return Answered(lines=[touched, doing.sentence(error)], ok=False)
        except (ConfigError, Unavailable) as error:
            return Answered(lines=[doing.sentence(error)], ok=False)

    async def act(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        """Do it, and write it into the audit log, also when it is refused.

        ConfigError says what of `fields` is missing or cannot be meant, so that it can be put right; every other
        refusal is an answer that is not `ok`.
        """
        try:
            asked = doing.action_of(action)
            done = await doing.perform(self._site, who, asked, forms.values_of(asked, place, fields), strict=False)
        except BadBody as error:
            raise BadBody([words.fault(fault) for fault in error.faults]) from None
        except (ConfigError, Unavailable) as error:
            return Answered(lines=[doing.sentence(error)], ok=False)
        return done.answered

    def _likely(self, kind: Kind, ctx: Ctx) -> list[str]:
        """What makes sense at this place as it is now."""
        names = list(_AT[kind])
        if kind == "incident":
            return _of_incident(names, ctx)
        if kind == "record":
            return _of_record(names, ctx)
        if kind == "device" and not known.is_on(self._state_of(ctx.place)):
            names = ["wake", *(name for name in names if name not in ("wake", "shut_down", "restart", "sleep"))]
        elif kind == "device":
            names.remove("wake")
        if "stop" in names and _stopped(ctx):
            names[names.index("stop")] = "resume"
        return names

    def _state_of(self, place: Place) -> PowerState:
        assert place.scope is not None and place.scope.device is not None
        return known.state_of(self._db, Address(place.scope.school, place.scope.device))

    def _may(self, action: Action, ctx: Ctx) -> bool:
        try:
            doing.allowed(ctx.who, action, ctx.place)
            if action.needs is not None:
                action.needs(ctx)
        except NotAllowed:
            return False
        return True


def _of_incident(names: list[str], ctx: Ctx) -> list[str]:
    incident = ctx.incident
    if not incident.open:
        return ["note"]
    names.remove("pause" if incident.status is Status.PAUSED else "unpause")
    if incident.acknowledged_ms:
        names.remove("acknowledge")
    if not others(ctx):
        names.remove("merge")  # there is nothing to merge it into
    return names


def _of_record(names: list[str], ctx: Ctx) -> list[str]:
    present = ctx.record.next_time(ctx.now_ms)
    if present is None:
        return ["copy"]
    if ctx.record.series.every is None or present[0] > ctx.now_ms:
        names.remove("end_once")
    return names


def _stopped(ctx: Ctx) -> bool:
    scope = ctx.place.scope
    here = (scope.school, scope.room) if scope is not None else (None, None)
    return any((stop.school, stop.room) == here for stop in people.stopped(ctx.db))
