"""Where a review's figures come from: the store, the state file, the estate, and the books that reckon with them."""

import sqlite3
from pathlib import Path

from msgspec import Struct

from caretaker_collector.days.energy import EnergyDays
from caretaker_collector.days.service_calendar import ServiceCalendars
from caretaker_collector.review.remember import Remembering
from caretaker_collector.sla.book import SlaBook
from caretaker_contract.clock import Clock
from caretaker_rules.model import Estate
from caretaker_rules.ports import Store


class Sources(Struct):
    """What all pages read from. `states`: months that are over are stated by the way, for which `db` is written to."""

    estate: Estate
    db: sqlite3.Connection
    store: Store
    folder: Path  # that of estate.toml: calendars and registers are relative to it
    book: SlaBook
    remembered: Remembering  # the store again, for what is asked for several times
    energy: EnergyDays
    calendars: ServiceCalendars
    now_ms: int
    states: bool


def sources_of(
    estate: Estate, db: sqlite3.Connection, store: Store, folder: Path, now_ms: int, states: bool = True
) -> Sources:
    """The sources of reviews that are made at `now_ms`. One for many schools: calendars and baselines are kept."""
    calendars, remembered = ServiceCalendars(estate, folder), Remembering(store)
    return Sources(
        estate=estate,
        db=db,
        store=store,
        folder=folder,
        book=SlaBook(db, store, estate, calendars),
        remembered=remembered,
        energy=EnergyDays(db, remembered, estate, Clock()),
        calendars=calendars,
        now_ms=now_ms,
        states=states,
    )
