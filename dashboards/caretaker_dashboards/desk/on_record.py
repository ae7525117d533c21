"""Where an action is found again: /records/7, /orders/3, and /orders, the newest orders.

The audit log and each answer link here. An order's page says how far it has come and, machine by machine, what became
of it and why the others stayed as they were.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_dashboards.desk.faults import fault, safely
from caretaker_dashboards.desk.ports import Acts
from caretaker_dashboards.desk.shell import Main, Shell, viewer_of
from caretaker_dashboards.desk.views import HistoryLine
from caretaker_rules.roles import Who


class OrderLine(Struct, frozen=True, kw_only=True):
    """An order in a list."""

    number: int
    at_ms: int
    what: str  # shut down, restart, sleep
    school: str
    place: str  # "ash/ict1"
    place_title: str
    reason: str
    by: str
    state: str  # in words
    open: bool  # machines that a limit held back are still tried again


class OrderView(Struct, frozen=True, kw_only=True):
    """One order. `said`: what was answered, the whole in the first line; empty: nobody answered it."""

    now_ms: int
    zone: str
    line: OrderLine
    said: list[str]
    machines: list[tuple[str, str]]  # machine, what became of it in words


class RecordView(Struct, frozen=True, kw_only=True):
    """One hold, freeze, maintenance or silence."""

    now_ms: int
    zone: str
    number: int
    kind: str
    school: str
    place: str
    place_title: str
    times: str
    state: str
    reason: str
    by: str
    did: str
    machines: list[str]
    history: list[HistoryLine]  # what people did to it, the newest first


class OrderList(Struct, frozen=True, kw_only=True):
    """Some orders, the newest first. `following`: the `before` of the next page; None: there are no more."""

    now_ms: int
    zone: str
    lines: list[OrderLine]
    following: int | None


class OnRecord(Protocol):
    """Where the pages come from. NotThere for a number that is not there, or not for this person."""

    async def order(self, who: Who, number: int) -> OrderView:
        """One order."""
        ...

    async def orders(self, who: Who, before: int | None = None) -> OrderList:
        """At most 50 of them."""
        ...

    async def record(self, who: Who, number: int) -> RecordView:
        """One record."""
        ...


def routes(found: OnRecord, acts: Acts, shell: Shell) -> Sequence[Route]:
    """The three addresses, for whoever has signed in."""
    pages = _Pages(found, acts, shell)
    return [
        Route("/orders", safely(shell, pages.orders), methods=["GET"]),
        Route("/orders/{number:int}", safely(shell, pages.order), methods=["GET"]),
        Route("/records/{number:int}", safely(shell, pages.record), methods=["GET"]),
    ]


class _Pages:
    def __init__(self, found: OnRecord, acts: Acts, shell: Shell) -> None:
        self._found, self._acts, self._shell = found, acts, shell

    async def orders(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        before = request.query_params.get("before", "")
        number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
        view = await self._found.orders(viewer.who, number)
        return self._shell.page(request, Main("orders.html", "Orders", "estate", view=view, before=number))

    async def order(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        view = await self._found.order(viewer.who, int(request.path_params["number"]))
        title = f"Order {view.line.number}: {view.line.what} {view.line.place_title}"
        return self._shell.page(request, Main("order.html", title, view.line.school, view=view))

    async def record(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        view = await self._found.record(viewer.who, int(request.path_params["number"]))
        offers = self._acts.offers(viewer.who, "record", str(view.number))
        title = f"{view.kind.capitalize()} {view.number}: {view.place_title}"
        return self._shell.page(request, Main("record.html", title, view.school, view=view, offers=offers))
