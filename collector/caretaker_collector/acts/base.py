"""What an action is, what it gets to know, and what it answers.

An action's body is a Struct: the parser of the API, its description, the form of the desk and the length of each text
come from it. `place` names what it is about: "all", "ash", "ash/ict1", "ash/ict1-07", or a number.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from caretaker_collector.order_book import Found, Scope
from caretaker_collector.records import Record
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.views import Answered
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Estate, Written
from caretaker_rules.policy import Policy
from caretaker_rules.roles import Permission, Who

PlaceKind = Literal["estate", "school", "room", "device", "incident", "record"]
MACHINES: tuple[PlaceKind, ...] = ("school", "room", "device")

NO_REASON = "no reason was given"
"""What goes on record where an old way in asks for none."""

Reason = Annotated[
    str,
    Meta(
        min_length=1, max_length=200, title="Why", description="Kept with it, and shown to others; no pupil's name.",
        extra={"kind": "text"},
    ),
]  # fmt: skip
PlaceText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        title="Where",
        description='"ash", "ash/ict1" or "ash/ict1-07"; "all": the whole estate; or the number of what is meant.',
    ),
]
By = Annotated[
    str,
    Meta(max_length=40, description="The role or member of staff for whom the token's holder speaks; never a pupil."),
]


class ActBody(Written, frozen=True, kw_only=True):
    """What every action is asked with. `by` is for tokens, which speak for somebody."""

    place: PlaceText
    by: By = ""


class ReasonBody(ActBody, frozen=True, kw_only=True):
    """An action that needs nothing but its reason."""

    reason: Reason


class NotAllowed(ConfigError):
    """This person, or token, may not do that there."""


class BadBody(ConfigError):
    """What was filled in is missing, cannot be read or cannot be meant."""


class Unknown(ConfigError):
    """No such action or place, or not for this person: the two look the same."""


class Place(Struct, frozen=True, kw_only=True):
    """What an action is about, found. `school` "": the whole estate, or Caretaker itself."""

    kind: PlaceKind
    text: str  # as it is written: "ash/ict1", "all", "12"
    title: str  # "ICT suite 1"
    school: str = ""
    scope: Scope | None = None  # of machines; None: of the estate
    incident: Incident | None = None
    record: Record | None = None


@dataclass(frozen=True)
class Site:
    """Where actions are done: the collector's state file, and what it knows of the estate."""

    state: Path
    estate: Estate
    policies: Mapping[str, Policy]
    now_ms: Callable[[sqlite3.Connection], int]
    folder: Path | None = None  # of estate.toml, for calendars; None: they are not looked at
    wait_s: float = 5.0  # how long the running collector has for its answer, in real seconds


@dataclass(frozen=True)
class Ctx:
    """One action under way: its connection, who asks, when, and about what."""

    db: sqlite3.Connection
    site: Site
    who: Who
    now_ms: int
    place: Place

    @property
    def estate(self) -> Estate:
        """The estate."""
        return self.site.estate

    @property
    def scope(self) -> Scope:
        """The machines that are meant; only for actions about machines."""
        assert self.place.scope is not None
        return self.place.scope

    @property
    def incident(self) -> Incident:
        """The incident that is meant; only for actions about one."""
        assert self.place.incident is not None
        return self.place.incident

    @property
    def record(self) -> Record:
        """The record that is meant; only for actions about one."""
        assert self.place.record is not None
        return self.place.record


@dataclass(frozen=True)
class Done:
    """What came of it. `noted` goes into the audit log; with `waits` the running collector has still to answer."""

    answered: Answered
    noted: str = ""
    number: int | None = None  # of what was written
    found: Found | None = None
    waits: "Waits | None" = None


@dataclass(frozen=True)
class Waits:
    """An order that the running collector answers, and what is said then."""

    order: int
    told: Callable[[Found], Done]


Does = Callable[[Ctx, Any], Done]


@dataclass(frozen=True)
class Action:
    """One thing that people do. `permission` is the least that it takes; `needs` says more where the place decides."""

    name: str
    label: str  # on its button: "Hold"
    title: str  # "Keep {place} on"
    explains: str  # one sentence: what it does and what it does not
    permission: Permission
    kinds: tuple[PlaceKind, ...]
    body: type[ActBody]
    preview: Does
    do: Does
    needs: Callable[[Ctx], None] | None = None  # raises NotAllowed
    danger: bool = False  # it may switch machines off
    defaults: Callable[[Ctx], Mapping[str, str]] | None = None
    choices: Mapping[str, Callable[[Ctx], list[tuple[str, str]]]] = field(default_factory=dict)


def said(*lines: str, link: str = "", ok: bool = True) -> Done:
    """An answer of these lines."""
    return Done(Answered(lines=list(lines), ok=ok, link=link))


def by(ctx: Ctx) -> str:
    """Who it was, as records have it."""
    return ctx.who.name
