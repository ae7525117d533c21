"""What the desk needs of the rest: where its figures come from, who does its actions, who may sign in.

The collector has the adapters; tests have small ones of their own. Everything that a call raises is one of ours:
`NotThere` for a place that is not there or that this person may not see (the two look the same), ConfigError for what
cannot be meant, Unavailable for what does not answer now.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from caretaker_contract.errors import CaretakerError
from caretaker_dashboards.desk.views import (
    Answered,
    AuditLine,
    DeviceView,
    EstateView,
    Form,
    Found,
    IncidentLine,
    IncidentView,
    Offer,
    RecordLine,
    RoomView,
    SchoolView,
    WhyView,
)
from caretaker_rules.roles import Who


class NotThere(CaretakerError):
    """No such thing, or not for this person: the page says the same of both."""


class Data(Protocol):
    """Figures for pages. Every call is bounded by what `who` may see, and answers within a second."""

    def now_ms(self) -> int:
        """The collector's time."""
        ...

    async def estate(self, who: Who, network: str = "", text: str = "") -> EstateView:
        """All schools that `who` sees, those of a network, or those whose name or title holds `text`."""
        ...

    async def school(self, who: Who, school: str) -> SchoolView:
        """One school."""
        ...

    async def room(self, who: Who, school: str, room: str, day: str | None = None) -> RoomView:
        """One room, today or on an ISO day."""
        ...

    async def device(self, who: Who, school: str, device: str) -> DeviceView:
        """One machine."""
        ...

    async def why(self, who: Who, school: str, device: str, at: str | None = None) -> WhyView:
        """Decisions about a machine up to a local time such as "16:41"; None: up to now."""
        ...

    async def incidents(
        self, who: Who, school: str = "", status: str = "unfixed", text: str = "", before: int | None = None
    ) -> tuple[list[IncidentLine], int | None]:
        """At most 50 incidents and the `before` of the next page. Unfixed ones by time left, else the newest first."""
        ...

    async def incident(self, who: Who, number: int) -> IncidentView:
        """One incident."""
        ...

    async def records(self, who: Who, place: str = "", kind: str = "", past: bool = False) -> list[RecordLine]:
        """What people wrote down that is on or to come, stop switches first; or what is over, the newest first."""
        ...

    async def audit(self, who: Who, school: str = "", before: int | None = None) -> tuple[list[AuditLine], int | None]:
        """At most 100 lines of the audit log, the newest first, and the `before` of the next page."""
        ...

    async def search(self, who: Who, text: str) -> list[Found]:
        """At most 30 places and incidents that fit, the best first."""
        ...

    def changes(self, who: Who, topic: str) -> AsyncIterator[str]:
        """A mark (an ETag of the topic) at once, and whenever something of the topic has changed, until closed.

        Topics: "estate", "ash", "ash/ict1" (a room or machine of it), "incident/12". At most one mark in 2 seconds.
        """
        ...

    def mark(self, topic: str) -> str:
        """The newest mark of a topic: as long as it is the same, its pages are."""
        ...


class Acts(Protocol):
    """Actions: the same that the command line and the HTTP API do."""

    def offers(
        self, who: Who, kind: Literal["estate", "school", "room", "device", "incident", "record"], place: str
    ) -> Sequence[Offer]:
        """What this person can do at a place now, the most likely first."""
        ...

    def form(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Form:
        """What an action asks for there, filled in with `fields` and sensible defaults."""
        ...

    async def preview(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        """What it would touch. Nothing is written."""
        ...

    async def act(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        """Do it, and write it into the audit log, also when it is refused."""
        ...


class Viewer(Struct, frozen=True, kw_only=True):
    """Somebody who has signed in, in one session. `csrf` goes into each form that changes something."""

    who: Who
    role: str
    title: str  # how the page names them
    csrf: str
    expires_ms: int  # by the world's clock, also where the collector lives on a faster one
    by_header: bool = False  # a trusted proxy says so; the session is worth nothing without it
    must_change: bool = False  # the password was somebody else's choice: nothing goes before another one
    break_glass: bool = False  # the account for the day on which nothing else works


class SignedIn(Struct, frozen=True, kw_only=True):
    """A new session. `cookie` is its secret, shown to nobody but the browser."""

    viewer: Viewer
    cookie: str
    max_age_s: int


class Refusal(Struct, frozen=True, kw_only=True):
    """Why somebody could not sign in, in words that help nobody to guess. `wait_s` > 0: not before that."""

    text: str
    wait_s: int = 0


class SessionLine(Struct, frozen=True, kw_only=True):
    """One session of a person, as they see it. Nothing is kept of where it was begun."""

    id: str  # names it; nobody can use the session who has only that
    began_s: int  # seconds ago
    used_s: int  # seconds ago, to within a few minutes
    this: bool


class Accounts(Protocol):
    """People who may sign in, and their sessions."""

    async def sign_in(self, name: str, password: str, address: str) -> SignedIn | Refusal:
        """Check a password; takes about as long whether the name exists or not."""
        ...

    async def by_header(self, name: str, address: str) -> SignedIn | Refusal:
        """Somebody whom a trusted proxy has signed in."""
        ...

    def viewer(self, cookie: str, used: bool = True) -> Viewer | None:
        """Who a cookie stands for; None: nobody, or not any more. Using a session keeps it from going stale."""
        ...

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        ...

    async def change_password(self, cookie: str, old: str, new: str) -> Refusal | None:
        """Another password; the person's other sessions end. None: done."""
        ...
