"""`DeskData`: all that the desk's pages show, for whoever may see it. Each page has a file of its own in this room."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from caretaker_collector import audit
from caretaker_collector.desk.changes import ESTATE, INCIDENT, Changes
from caretaker_collector.desk.daily import DailyFigures
from caretaker_collector.desk.device import Devices
from caretaker_collector.desk.estate import Estates
from caretaker_collector.desk.incidents import UNFIXED, Incidents
from caretaker_collector.desk.machines import Machines
from caretaker_collector.desk.records import Records
from caretaker_collector.desk.reviews import KeptReviews
from caretaker_collector.desk.room import Rooms
from caretaker_collector.desk.school_page import SchoolPages
from caretaker_collector.desk.search import Search
from caretaker_collector.desk.sources import NOTHING, Sources
from caretaker_collector.desk.stay_links import RoomLinks
from caretaker_collector.desk.strips import StripMaker
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import (
    AuditLine,
    DeviceView,
    EstateView,
    Found,
    IncidentLine,
    IncidentView,
    RecordLine,
    RoomView,
    SchoolView,
    WhyView,
)
from caretaker_rules.roles import Permission, Who

if TYPE_CHECKING:
    from caretaker_collector.app import Collector

AUDIT_PAGE = 100


class DeskData:
    """The adapter of the desk's `Data` over a running collector. Raises what that says, and Unavailable."""

    def __init__(self, collector: "Collector", changes: Changes) -> None:
        self._sources = sources = Sources(collector, changes)
        self._changes = changes
        self._incidents = Incidents(sources)
        self._records = Records(sources)
        self._estates = Estates(sources, self._incidents, self._records, DailyFigures(sources))
        machines, strips = Machines(sources), StripMaker(sources)
        self._rooms = Rooms(sources, self._incidents, self._records, machines, strips, self._estates)
        self._devices = Devices(sources, self._incidents, self._records, machines, strips)
        self._search = Search(sources, self._incidents)
        self.school_pages = SchoolPages(sources)
        self.room_links = RoomLinks(sources)
        self.reviews = KeptReviews(sources, Path(collector.settings.data))

    def now_ms(self) -> int:
        """The collector's time."""
        return self._sources.now_ms()

    async def estate(self, who: Who, network: str = "", text: str = "") -> EstateView:
        """See `Data`."""
        self._may_see(who)
        return await self._estates.estate(who, network, text)

    async def school(self, who: Who, school: str) -> SchoolView:
        """See `Data`."""
        return await self._estates.school(who, school)

    async def room(self, who: Who, school: str, room: str, day: str | None = None) -> RoomView:
        """See `Data`."""
        return await self._rooms.room(who, school, room, day)

    async def device(self, who: Who, school: str, device: str) -> DeviceView:
        """See `Data`."""
        return await self._devices.device(who, school, device)

    async def why(self, who: Who, school: str, device: str, at: str | None = None) -> WhyView:
        """See `Data`."""
        return await self._devices.why(who, school, device, at)

    async def incidents(
        self, who: Who, school: str = "", status: str = UNFIXED, text: str = "", before: int | None = None
    ) -> tuple[list[IncidentLine], int | None]:
        """See `Data`."""
        self._may_see(who)
        return await self._incidents.listed(who, school, status, text, before)

    async def incident(self, who: Who, number: int) -> IncidentView:
        """See `Data`."""
        return await self._incidents.one(who, number)

    async def records(self, who: Who, place: str = "", kind: str = "", past: bool = False) -> list[RecordLine]:
        """See `Data`."""
        self._may_see(who)
        return await self._records.listed(who, place, kind, past)

    async def audit(self, who: Who, school: str = "", before: int | None = None) -> tuple[list[AuditLine], int | None]:
        """See `Data`. All schools together are for those who see all schools."""
        if not school and who.schools is not None:
            if len(who.schools) != 1:
                raise NotThere(NOTHING)
            [school] = who.schools
        if school:
            self._sources.school_for(who, school)
        self._may_see(who)
        found = await self._sources.read(lambda db: audit.listed(db, school, before, AUDIT_PAGE + 1))
        lines = [
            AuditLine(
                number=line.number,
                at_ms=line.at_ms,
                who=line.who,
                via=line.via,
                what=line.what,
                place=line.place,
                text=line.text,
                outcome=line.outcome,
                link=line.link,
            )
            for line in found[:AUDIT_PAGE]
        ]
        return lines, lines[-1].number if len(found) > AUDIT_PAGE else None

    async def search(self, who: Who, text: str) -> list[Found]:
        """See `Data`."""
        self._may_see(who)
        return await self._search.search(who, text)

    async def changes(self, who: Who, topic: str) -> AsyncIterator[str]:
        """See `Data`. NotThere, at the first mark, for a topic that is not there, or not for this person."""
        self._check(who, topic)
        marks = self._changes.follow(topic)
        try:
            async for mark in marks:
                yield mark
        finally:
            await marks.aclose()

    def _check(self, who: Who, topic: str) -> None:
        self._may_see(who)
        first, _, name = topic.partition("/")
        if first == INCIDENT and name:
            self._incident_for(who, name)
        elif topic != ESTATE:
            self._sources.school_for(who, first)
            known = name in self._sources.rooms[first] or not name
            if not known and Address(first, name) not in self._sources.estate.devices:
                self._sources.address_for(who, first, name)

    def _incident_for(self, who: Who, name: str) -> None:
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 16 else 0
        db = self._sources.collector.db
        row = db.execute("SELECT school FROM incidents WHERE number = ?", (number,)).fetchone()
        if row is None or not self._sources.sees(who, row[0]):
            raise NotThere(NOTHING)

    def mark(self, topic: str) -> str:
        """See `Data`."""
        return self._changes.mark(topic)

    def _may_see(self, who: Who) -> None:
        if Permission.SEE not in who.may:
            raise NotThere(NOTHING)

    async def close(self) -> None:
        """Let go of the state file and the store."""
        await self._sources.close()
