"""What actions left behind, for the desk's pages of an order and of a record."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from typing import TypeVar
from zoneinfo import ZoneInfo

from caretaker_collector import audit, order_book, record_words, records, state, why
from caretaker_collector.acts import places, words
from caretaker_collector.acts.base import Site
from caretaker_collector.acts.orders import STAYS, WORDS, told
from caretaker_collector.order_book import Found, PersonsOrder
from caretaker_contract.errors import Unavailable
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.on_record import OrderLine, OrderList, OrderView, RecordView
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import HistoryLine
from caretaker_rules.calendar import local
from caretaker_rules.reasons import Why
from caretaker_rules.roles import Who

A_PAGE = 50
STATES: dict[order_book.Status, str] = {
    "asked": "Waits for the running collector",
    "taken": "Is being judged",
    "open": "Some follow, as limits allow",
    "done": "Done: who could be asked was asked",
    "refused": "Refused",
    "withdrawn": "Withdrawn: nobody took it",
    "expired": "Expired: nobody took it in time",
}
T = TypeVar("T")


class ActsOnRecord:
    """The `OnRecord` of the desk, over the state file."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def order(self, who: Who, number: int) -> OrderView:
        """One order. NotThere."""
        return await asyncio.to_thread(self._with, lambda db, now_ms: self._order(db, who, number, now_ms))

    async def orders(self, who: Who, before: int | None = None) -> OrderList:
        """The newest orders that this person may see, or those before a number."""
        return await asyncio.to_thread(self._with, lambda db, now_ms: self._orders(db, who, before, now_ms))

    async def record(self, who: Who, number: int) -> RecordView:
        """One record. NotThere."""
        return await asyncio.to_thread(self._with, lambda db, now_ms: self._record(db, who, number, now_ms))

    def _with(self, look: Callable[[sqlite3.Connection, int], T]) -> T:
        db = state.open_state(self._site.state, read_only=True)
        try:
            return look(db, self._site.now_ms(db))
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self._site.state.name}: {error}") from error
        finally:
            db.close()

    def _line(self, order: PersonsOrder) -> OrderLine:
        return OrderLine(
            number=order.id,
            at_ms=order.made_ms,
            what=WORDS[order.verb],
            school=order.scope.school,
            place=places.text_of(order.scope),
            place_title=places.title_of(self._site.estate, order.scope),
            reason=order.reason,
            by=order.by,
            state=STATES[order.status],
            open=order.status in ("asked", "taken", "open"),
        )

    def _order(self, db: sqlite3.Connection, who: Who, number: int, now_ms: int) -> OrderView:
        order = order_book.one(db, number) if number < 2**63 else None
        if order is None or order.dry_run or not places.sees(who, order.scope.school):
            raise NotThere(f"order {number}")
        line, said = self._line(order), []
        if order.found is not None and order.found.refused:
            said = [order.found.refused]
        elif order.found is not None:
            text = told(order.found, order.scope, order.verb, order.warn_s, dry_run=False, title=line.place_title)
            said = [part.strip() for part in text.splitlines()]
        zone = words.zone_at(self._site.estate, order.scope.school)
        waiting = {address.device for address in order.waiting}
        came = _what_came(db, order, zone)
        return OrderView(
            now_ms=now_ms,
            zone=str(zone),
            line=line,
            said=said,
            machines=_machines(order.found, waiting, came) if order.found is not None else [],
        )

    def _orders(self, db: sqlite3.Connection, who: Who, before: int | None, now_ms: int) -> OrderList:
        schools = ("",) if who.schools is None else who.schools
        every = [order for school in schools for order in order_book.listed(db, school, before, A_PAGE)]
        found = sorted(every, key=lambda order: -order.id)[:A_PAGE]
        return OrderList(
            now_ms=now_ms,
            zone=str(words.zone_at(self._site.estate, found[0].scope.school if found else "")),
            lines=[self._line(order) for order in found],
            following=found[-1].id if len(found) == A_PAGE else None,
        )

    def _record(self, db: sqlite3.Connection, who: Who, number: int, now_ms: int) -> RecordView:
        record = records.one(db, number) if number < 2**63 else None
        if record is None or not places.sees(who, record.scope.school):
            raise NotThere(f"record {number}")
        estate, zone = self._site.estate, words.zone_at(self._site.estate, record.scope.school)
        of_class = f", class {record.scope.device_class}" if record.scope.device_class else ""
        held = records.held_back(db, estate, record, now_ms)
        return RecordView(
            now_ms=now_ms,
            zone=str(zone),
            number=number,
            kind=record.kind,
            school=record.scope.school,
            place=places.text_of(record.scope),
            place_title=places.title_of(estate, record.scope) + of_class,
            times=record_words.times(record.series, zone),
            state=record_words.standing(record, now_ms, zone),
            reason=record.reason,
            by=record.by,
            did=record_words.kept_back(estate, db, record, held, now_ms),
            machines=sorted(device.name for device in record.scope.devices(estate)),
            history=[
                HistoryLine(at_ms=line.at_ms, by=line.who, what=line.what, text=line.text)
                for line in audit.of_link(db, f"/records/{number}")
            ],
        )


def _what_came(db: sqlite3.Connection, order: PersonsOrder, zone: ZoneInfo) -> dict[str, str]:
    """What each machine made of the order's command: "asked 16:39:55, warned 16:39:56, done 16:41:57"."""
    devices = [(order.scope.school, name) for name in (*order.found.asked, *order.found.later)] if order.found else []
    came = {}
    for school, device in devices:
        told = why.command_of_rule(db, Address(school, device), f"order-{order.id}", order.made_ms)
        if told is not None:
            came[device] = why.story(told, lambda at_ms: f"{local(at_ms, zone):%H:%M:%S}")
    return came


def _machines(found: Found, waiting: set[str], came: Mapping[str, str]) -> list[tuple[str, str]]:
    """What became of each machine, those that were asked first."""
    rows = [(name, came.get(name, "asked")) for name in found.asked]
    rows += [
        (name, "follows as limits allow" if name in waiting else came.get(name, "tried again later"))
        for name in found.later
    ]
    for reason, names in found.stay.items():
        left = f"left alone: {STAYS.get(reason, reason.replace('_', ' '))}"
        rows += [(name, "off already" if reason == Why.ALREADY_OFF.value else left) for name in names]
    return rows
