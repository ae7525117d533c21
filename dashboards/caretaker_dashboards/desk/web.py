"""The desk's pages: which address shows what. Each is a few lines: ask the port, fill a template.

A page is complete without scripts. With them it asks for its own main part again when its topic changes (live.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from caretaker_dashboards.desk import strips
from caretaker_dashboards.desk.acting import Acting
from caretaker_dashboards.desk.faults import Endpoint, fault, safely
from caretaker_dashboards.desk.live import Events
from caretaker_dashboards.desk.ports import Accounts, Acts, Data, NotThere, Viewer
from caretaker_dashboards.desk.shell import Main, Shell, viewer_of
from caretaker_dashboards.desk.views import IncidentLine, Offer, RecordLine
from caretaker_dashboards.desk.words import path
from caretaker_rules.roles import Permission, Who

INCIDENTS_ON_TOP: Final = 10
LONGEST_TEXT: Final = 100
STATUSES: Final = [("unfixed", "not fixed"), ("fixed", "fixed"), ("all", "all")]
RESUME: Final = "resume"
RECORD_KINDS: Final = ["hold", "freeze", "maintenance", "silence", "stop"]
VIEWS: Final = [("plan", "Plan"), ("list", "List"), ("day", "Day")]


def routes(data: Data, acts: Acts, accounts: Accounts | None = None, shell: Shell | None = None) -> list[BaseRoute]:
    """All pages of the desk. The guard in front of them puts a Viewer into each request's state.

    `accounts` is asked whether the session of a live page still stands.
    """
    return Desk(data, acts, accounts, shell or Shell()).routes()


def unknown(shell: Shell) -> list[BaseRoute]:
    """The last route of an application: the page for an address that nothing else knows."""

    async def not_found(request: Request) -> Response:
        return fault(shell, request, 404)

    return [Route("/{rest:path}", not_found, methods=["GET", "HEAD"])]


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request, with who asks."""

    request: Request
    viewer: Viewer

    @property
    def who(self) -> Who:
        return self.viewer.who

    def given(self, name: str) -> str:
        """A filter of the address, "" when it is not there."""
        return self.request.query_params.get(name, "").strip()[:LONGEST_TEXT]

    def part(self, name: str) -> str:
        return str(self.request.path_params[name])

    def choice(self, name: str, allowed: list[str]) -> str:
        """One of `allowed`, else the first of them."""
        value = self.given(name)
        return value if value in allowed else allowed[0]

    def number(self, name: str) -> int | None:
        value = self.given(name)
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


class Desk:
    """The pages over the ports."""

    def __init__(self, data: Data, acts: Acts, accounts: Accounts | None, shell: Shell) -> None:
        self._data = data
        self._acts = acts
        self._shell = shell
        self._acting = Acting(data, acts, shell)
        self._events = Events(data, _stands(accounts))

    def routes(self) -> list[BaseRoute]:
        """Address by address."""
        pages: dict[str, Any] = {
            "/": self._estate,
            "/schools/{school}": self._school,
            "/rooms/{school}/{room}": self._room,
            "/devices/{school}/{device}": self._device,
            "/why/{school}/{device}": self._why,
            "/places/{school}/{name}": self._place,
            "/incidents": self._incidents,
            "/incidents/{number:int}": self._incident,
            "/records": self._records,
            "/audit": self._audit,
            "/search": self._search,
            "/help": self._help,
        }
        found: list[BaseRoute] = [
            Route(address, safely(self._shell, _signed_in(self._shell, page)), methods=["GET"])
            for address, page in pages.items()
        ]
        found += [
            Route("/accessibility", safely(self._shell, self._accessibility), methods=["GET"]),
            Route("/events", self._events.endpoint, methods=["GET"]),
            *self._acting.routes(),
            *self._shell.assets.routes(),
        ]
        return found

    async def _live(self, ask: _Ask, topic: str, make: Any) -> Response:
        """A page that is kept until its topic changes, or its minute is over."""
        data, params = self._data, ask.request.query_params
        key = (data.mark(topic), topic, data.now_ms() // 60_000, ask.request.url.path, sorted(params.multi_items()))
        return await self._shell.live(ask.request, key, make)

    def _firsts(self, who: Who, lines: list[IncidentLine]) -> dict[int, Offer]:
        """The likeliest action for each incident."""
        offers = {line.number: self._acts.offers(who, "incident", str(line.number)) for line in lines}
        return {number: found[0] for number, found in offers.items() if found}

    async def _estate(self, ask: _Ask) -> Response:
        network, text = ask.given("network"), ask.given("text")

        async def make() -> Main:
            view = await self._data.estate(ask.who, network, text)
            first = view.incidents[:INCIDENTS_ON_TOP]
            return Main(
                "estate.html",
                "Estate",
                "estate",
                view=view,
                incidents=first,
                more=len(view.incidents) - len(first),
                firsts=self._firsts(ask.who, first),
                offers=self._acts.offers(ask.who, "estate", "all"),
                network=network,
                text=text,
            )

        return await self._live(ask, "estate", make)

    async def _school(self, ask: _Ask) -> Response:
        school = ask.part("school")

        async def make() -> Main:
            view = await self._data.school(ask.who, school)
            return Main(
                "school.html",
                view.row.title,
                school,
                view=view,
                firsts=self._firsts(ask.who, view.incidents[:INCIDENTS_ON_TOP]),
                offers=self._acts.offers(ask.who, "school", school),
            )

        return await self._live(ask, school, make)

    async def _room(self, ask: _Ask) -> Response:
        school, room = ask.part("school"), ask.part("room")
        day = ask.given("day")
        views = [name for name, _ in VIEWS]

        async def make() -> Main:
            view = await self._data.room(ask.who, school, room, day or None)
            shown = ask.choice("view", views if view.today else ["day", *views])
            return Main(
                "room.html",
                f"{view.title}, {view.school_title}",
                f"{school}/{room}",
                view=view,
                shown=shown if view.today else "day",
                views=VIEWS,
                axis=strips.axis(view.day_from_ms, view.day_until_ms, view.zone, view.now_ms),
                lessons=strips.lessons(view.lessons, view.day_from_ms, view.day_until_ms),
                strips=[strips.drawn(strip, view.day_from_ms, view.day_until_ms) for strip in view.strips],
                machines={row.name: row for row in strips.natural(view.machines)},
                offers=self._acts.offers(ask.who, "room", f"{school}/{room}"),
                firsts=self._firsts(ask.who, view.incidents[:INCIDENTS_ON_TOP]),
                near=strips.near_days(view.day, view.now_ms, view.zone),
            )

        return await self._live(ask, f"{school}/{room}", make)

    async def _device(self, ask: _Ask) -> Response:
        school, device = ask.part("school"), ask.part("device")

        async def make() -> Main:
            view = await self._data.device(ask.who, school, device)
            days = [
                (day, strips.drawn(strip, *span), strips.hours(strip))
                for (day, strip), span in zip(view.days, view.day_spans, strict=True)
            ]
            return Main(
                "device.html",
                f"{device}, {view.school_title}",
                f"{school}/{device}",
                charts=True,
                view=view,
                days=days,
                axis=strips.axis(*view.day_spans[0], view.zone, view.now_ms) if view.day_spans else None,
                offers=self._acts.offers(ask.who, "device", f"{school}/{device}") if view.registered else [],
                firsts=self._firsts(ask.who, view.incidents[:INCIDENTS_ON_TOP]),
            )

        return await self._live(ask, f"{school}/{device}", make)

    async def _why(self, ask: _Ask) -> Response:
        school, device, at = ask.part("school"), ask.part("device"), ask.given("at")

        async def make() -> Main:
            view = await self._data.why(ask.who, school, device, at or None)
            topic = "" if at else f"{school}/{device}"
            return Main("why.html", f"Why {device}", topic, view=view, at=at)

        try:
            return await self._live(ask, f"{school}/{device}", make)
        except NotThere:
            # Grafana's board of a room asks for the reasons of all its machines.
            await self._data.room(ask.who, school, device)
            return RedirectResponse(path("rooms", school, device, view="list"), 303)

    async def _place(self, ask: _Ask) -> Response:
        """A room or a machine: records name both alike."""
        school, name = ask.part("school"), ask.part("name")
        try:
            await self._data.room(ask.who, school, name)
            return RedirectResponse(path("rooms", school, name), 303)
        except NotThere:
            await self._data.device(ask.who, school, name)
            return RedirectResponse(path("devices", school, name), 303)

    async def _incidents(self, ask: _Ask) -> Response:
        school, text, before = ask.given("school"), ask.given("text"), ask.number("before")
        status = ask.choice("status", [name for name, _ in STATUSES])

        async def make() -> Main:
            lines, following = await self._data.incidents(ask.who, school, status, text, before)
            estate = await self._data.estate(ask.who)
            return Main(
                "incidents.html",
                "Incidents",
                school or "estate",
                view=estate,
                lines=lines,
                firsts=self._firsts(ask.who, lines),
                schools=[(row.name, row.title) for row in estate.schools],
                school=school,
                status=status,
                statuses=STATUSES,
                text=text,
                before=before,
                following=following,
            )

        return await self._live(ask, school or "estate", make)

    async def _incident(self, ask: _Ask) -> Response:
        number = int(ask.request.path_params["number"])

        async def make() -> Main:
            view = await self._data.incident(ask.who, number)
            return Main(
                "incident.html",
                f"{view.line.name}: {view.line.title}",
                f"incident/{number}",
                view=view,
                offers=self._acts.offers(ask.who, "incident", str(number)),
            )

        return await self._live(ask, f"incident/{number}", make)

    async def _records(self, ask: _Ask) -> Response:
        place, past = ask.given("place"), ask.given("past") == "yes"
        kind = ask.choice("kind", ["", *RECORD_KINDS])

        async def make() -> Main:
            lines = await self._data.records(ask.who, place, kind, past)
            offers = [self._for_record(ask.who, line) for line in lines]
            return Main(
                "records.html",
                "Records",
                "estate",
                lines=lines,
                offers=offers,
                place=place,
                kind=kind,
                kinds=RECORD_KINDS,
                past=past,
                new=self._acts.offers(ask.who, "estate", "all"),
            )

        return await self._live(ask, "estate", make)

    def _for_record(self, who: Who, line: RecordLine) -> Sequence[Offer]:
        """What can be done with a record; a stop switch has no number, and can be turned off where it is."""
        if line.number is not None:
            return self._acts.offers(who, "record", str(line.number))
        kind: Literal["estate", "school", "room"] = (
            "estate" if line.place == "all" else "room" if "/" in line.place else "school"
        )
        try:
            return [offer for offer in self._acts.offers(who, kind, line.place) if offer.action == RESUME]
        except NotThere:
            return []

    async def _audit(self, ask: _Ask) -> Response:
        if Permission.ADMINISTER not in ask.who.may:
            return fault(self._shell, ask.request, 403)
        school, before = ask.given("school"), ask.number("before")
        lines, following = await self._data.audit(ask.who, school, before)
        estate = await self._data.estate(ask.who)
        main = Main(
            "audit.html",
            "Audit log",
            lines=lines,
            following=following,
            before=before,
            school=school,
            schools=[(row.name, row.title) for row in estate.schools],
            view=estate,
        )
        return self._shell.page(ask.request, main)

    async def _search(self, ask: _Ask) -> Response:
        text = ask.given("q")
        found = await self._data.search(ask.who, text) if text else []
        return self._shell.page(ask.request, Main("search.html", "Search", text=text, found=found))

    async def _help(self, ask: _Ask) -> Response:
        return self._shell.page(ask.request, Main("help.html", "Help"))

    async def _accessibility(self, request: Request) -> Response:
        return self._shell.page(request, Main("accessibility.html", "Accessibility"))


def _signed_in(shell: Shell, page: Any) -> Endpoint:
    """A page for people who have signed in. The guard sends others away; should it ever not, they see nothing here."""

    async def endpoint(request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(shell, request, 403)
        response: Response = await page(_Ask(request, viewer))
        return response

    return endpoint


def _stands(accounts: Accounts | None) -> Any:
    def stands(request: Request) -> bool:
        cookie = getattr(request.state, "cookie", None)
        return accounts is None or cookie is None or accounts.viewer(cookie, used=False) is not None

    return stands
