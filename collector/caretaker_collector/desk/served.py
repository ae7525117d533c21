"""The desk as it is served: pages over the running collector, and the guard in front of all of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from caretaker_collector.accounts.port import DeskAccounts
from caretaker_collector.acts.on_record import ActsOnRecord
from caretaker_collector.acts.port import DeskActs, site_of
from caretaker_collector.files.desk_table import guard_of
from caretaker_dashboards.desk import on_record, reviews, school_page, stay_page, web
from caretaker_dashboards.desk.faults import fault
from caretaker_dashboards.desk.guard import USUAL, Guarded
from caretaker_dashboards.desk.guard_settings import Rates
from caretaker_dashboards.desk.shell import Shell
from caretaker_dashboards.desk.signin import SignInPages

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

SAID = frozenset({400, 403, 404, 405, 503})
"""Statuses that have a page of their own; any other that a router may give shows as 400."""


class DeskServed:
    """One collector's desk. `app` is to be mounted behind everything else that is served; `close` it at the end."""

    def __init__(self, collector: "Collector", rates: Rates = USUAL) -> None:
        guard, self._shell = guard_of(collector.settings), Shell()
        self._accounts = DeskAccounts(collector.state_path, collector.settings.desk, collector.clock.now_ms)
        signin = SignInPages(self._accounts, guard, self._shell.extended)
        site = site_of(collector)
        acts = DeskActs(site)
        pages = Starlette(
            routes=[
                *signin.routes(),
                *web.routes(collector.desk, acts, self._accounts, self._shell),
                *school_page.routes(collector.desk.school_pages, self._shell, guard.open_schools, guard.address),
                *on_record.routes(ActsOnRecord(site), acts, self._shell),
                *reviews.routes(collector.desk.reviews, self._shell),
                *stay_page.routes(collector.desk.room_links, self._shell),
                *web.unknown(self._shell),
            ],
            exception_handlers={HTTPException: self._refused()},
        )
        self.routes: Sequence[BaseRoute] = pages.routes  # so that a test can say of each who may have it
        self.app: ASGIApp = Guarded(pages, self._accounts, guard, rates, draw=self._shell.extended)

    def _refused(self) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def page(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 500
            return fault(self._shell, request, status if status in SAID else 400)

        return page

    def close(self) -> None:
        """Let go of the accounts."""
        self._accounts.close()
