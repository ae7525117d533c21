"""Tickets at a service desk: one for each incident, commented on while it lasts, closed when it is over.

| what is told | no ticket yet | ticket open | closed by us | closed by the desk |
|---|---|---|---|---|
| opened, grown, escalated, warned, late | open one | comment | nothing | nothing |
| fixed | nothing | comment, and close it | nothing | nothing |
| reopened | open one | comment | open it again | open it again |

- Before anything is written, the desk is asked for the ticket's state. So what its people closed is not touched by our
  comments, many desks would open it again at each. Only an incident that was over and has come back opens it again.
- That we are about to open a ticket is kept before, its number after. In between the desk may have opened one that we
  know nothing of: it is looked for by our word for the incident before another is opened, and not before the desk's
  search has had time to see it.
- A comment may stand there twice after a crash; a ticket does not.
"""

import asyncio
import sqlite3
from collections.abc import Callable

import structlog

from caretaker_collector.notify import outbox, ticket_book
from caretaker_collector.notify.desk import Desk, Gone, Ticket
from caretaker_collector.notify.http_call import Later
from caretaker_collector.notify.ticket_book import Kept
from caretaker_collector.notify.wording import lines, one_line, reference
from caretaker_contract.errors import Rejected, Unavailable
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident, Status

log = structlog.get_logger()

SEARCH_SEES_AFTER_MS = 60_000
"""Desks index what is new in the background; a search that comes too soon would find nothing."""
CHECK_EVERY_MS = 300_000
CHECKS_A_ROUND, ERRORS_A_ROUND = 20, 3
CLOSED_THERE, GONE_THERE = "closed at the desk", "the ticket is gone at the desk"


class ByTicket:
    """The tickets of one channel. `closes`: whether a recovery closes the ticket, or only says so in it."""

    def __init__(
        self, channel: str, desk: Desk, db: sqlite3.Connection, now_ms: Callable[[], int], closes: bool = True
    ) -> None:
        self._channel = channel
        self._desk = desk
        self._db = db
        self._now_ms = now_ms
        self._closes = closes
        self._one_at_a_time = asyncio.Lock()  # looking whether the desk closed it must not meet our own closing

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Open, comment, close, or leave alone: see the table above."""
        if incident is None:
            await self._desk.probe()
            return "the desk answers; nothing was opened" if telling.what == "test" else "no incident, so no ticket"
        async with self._one_at_a_time:
            ticket = ticket_book.kept(self._db, self._channel, telling.uid)
            if ticket is None or ticket.state == "opening":
                return await self._open(telling, incident, ticket)
            return await self._go_on(telling, incident, ticket)

    async def watch(self) -> None:
        """See what the desk has closed. Unavailable when it cannot be asked; it is asked again in a later round."""
        wrong: list[Exception] = []
        before_ms = self._now_ms() - CHECK_EVERY_MS
        for ticket in ticket_book.to_check(self._db, self._channel, before_ms, CHECKS_A_ROUND):
            try:
                async with self._one_at_a_time:
                    await self._look(ticket.uid)
            except (Unavailable, Rejected) as error:
                ticket_book.checked(self._db, self._channel, ticket.uid, self._now_ms())  # the others have their turn
                wrong.append(error)
                if len(wrong) == ERRORS_A_ROUND:
                    break
        if wrong:
            raise wrong[0]

    async def _look(self, uid: str) -> None:
        ticket = ticket_book.kept(self._db, self._channel, uid)
        incident = outbox.incident_of(self._db, uid)
        if ticket is None or ticket.state != "open" or incident is None:
            return
        if await self._closed_there(incident, ticket):
            return
        ticket_book.checked(self._db, self._channel, uid, self._now_ms())
        if incident.status is Status.MERGED and self._closes:
            await self._close(incident, ticket, incident.title, "It goes on in another incident.")

    async def close(self) -> None:
        """Let go of the desk."""
        await self._desk.close()

    async def _open(self, telling: Telling, incident: Incident, begun: Kept | None) -> str:
        ref = reference(telling.uid)
        if begun is not None:
            wait_ms = begun.changed_ms + SEARCH_SEES_AFTER_MS - self._now_ms()
            if wait_ms > 0:
                raise Later("a ticket was asked for and no number came; the desk is searched first", wait_ms / 1000)
        found = await self._desk.find(ref) if begun is not None or telling.what != "fixed" else None
        if found is None and telling.what == "fixed":
            return "over before there was a ticket"
        if found is None:
            ticket_book.begin(self._db, self._channel, telling.uid, self._now_ms())
            title = one_line(telling.title)
            title = title if incident.name in title else f"{incident.name}: {title}"
            found = await self._desk.create(ref, title, lines(telling.body) or title, incident.priority)
            self._keep(telling.uid, found)
            return f"ticket {found.number} opened"
        ticket_book.begin(self._db, self._channel, telling.uid, self._now_ms())
        self._keep(telling.uid, found)
        kept = ticket_book.kept(self._db, self._channel, telling.uid)
        assert kept is not None
        if telling.what != "opened":
            return await self._go_on(telling, incident, kept)
        return f"ticket {found.number} was open already"

    def _keep(self, uid: str, ticket: Ticket) -> None:
        ticket_book.opened(self._db, self._channel, uid, ticket.id, ticket.number, self._now_ms())

    async def _go_on(self, telling: Telling, incident: Incident, ticket: Kept) -> str:
        title, body = one_line(telling.title), lines(telling.body) or one_line(telling.title)
        if telling.what == "reopened" and ticket.state != "open":
            if await self._desk.is_closed(ticket.ticket):
                await self._desk.reopen(ticket.ticket, title, body)
            ticket_book.set_state(self._db, self._channel, incident.uid, "open", self._now_ms())
            await self._desk.comment(ticket.ticket, title, body)
            return f"ticket {ticket.number} opened again"
        if ticket.state == "closing":
            return await self._close(incident, ticket, title, body)
        if ticket.state == "closed":
            return f"ticket {ticket.number} is closed; nothing was added"
        if ticket.state == "closed_at_desk" or await self._closed_there(incident, ticket):
            return f"ticket {ticket.number} was closed at the desk; nothing was added"
        if telling.what == "fixed" and self._closes:
            return await self._close(incident, ticket, title, body)
        await self._desk.comment(ticket.ticket, title, body)
        return f"ticket {ticket.number} commented on"

    async def _close(self, incident: Incident, ticket: Kept, title: str, body: str) -> str:
        fresh = ticket.state != "closing"
        ticket_book.set_state(self._db, self._channel, incident.uid, "closing", self._now_ms())
        try:
            if fresh:
                await self._desk.comment(ticket.ticket, title, body)
            if not await self._desk.is_closed(ticket.ticket):
                await self._desk.close_ticket(ticket.ticket, title, body)
        except Gone:
            pass  # so it is closed
        except Rejected as error:
            log.error("the desk does not let us close a ticket", ticket=ticket.number, reason=str(error))
            ticket_book.set_state(self._db, self._channel, incident.uid, "open", self._now_ms())
            raise
        ticket_book.set_state(self._db, self._channel, incident.uid, "closed", self._now_ms())
        return f"ticket {ticket.number} closed"

    async def _closed_there(self, incident: Incident, ticket: Kept) -> bool:
        """Whether the desk's people are done with a ticket that we took for open; if so, that is kept."""
        try:
            if not await self._desk.is_closed(ticket.ticket):
                return False
            how = CLOSED_THERE
        except Gone:
            how = GONE_THERE
        now_ms = self._now_ms()
        ticket_book.closed_at_desk(self._db, self._channel, incident, ticket.number, now_ms, how)
        log.info(how, channel=self._channel, ticket=ticket.number, incident=incident.name)
        return True
