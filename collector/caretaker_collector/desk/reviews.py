"""Kept reviews for the desk: which there are, to whom they went, and their files."""

import asyncio
import sqlite3
from pathlib import Path

from caretaker_collector.desk.sources import HOME_ZONE, NOTHING, Sources
from caretaker_collector.review import shelf
from caretaker_collector.review.shelf import Kept
from caretaker_collector.review.span import named
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.reviews import TITLES, PackFile, PackLine, ReviewList
from caretaker_rules.roles import Permission, Who

MOST = 200
"""Lines of one page."""
COMING = "The next ones are made by themselves on the first working day of the month."


class KeptReviews:
    """The `Reviews` of the desk."""

    def __init__(self, sources: Sources, data: Path) -> None:
        self._sources, self._data = sources, data

    async def reviews(self, who: Who, place: str = "") -> ReviewList:
        """What `who` may see. NotThere: no such place, or not for them."""
        if place and not self._sees(who, place):
            raise NotThere(NOTHING)

        def work(db: sqlite3.Connection) -> list[PackLine]:
            lines: list[PackLine] = []
            for newest in shelf.newest(db, place or None):
                if self._sees(who, newest.place) and len(lines) < MOST:
                    known = shelf.revisions(db, newest.place, newest.period)[::-1]
                    lines += [self._line(kept, kept.revision == newest.revision) for kept in known]
            return lines

        return ReviewList(
            now_ms=self._sources.now_ms(),
            zone=str(self._sources.zone(place)) if place in self._sources.estate.schools else HOME_ZONE,
            place=place,
            place_title=self._title(place) if place else "",
            lines=await self._sources.read(work),
            coming=COMING,
        )

    async def review_file(self, who: Who, place: str, period: str, revision: int, name: str) -> Path:
        """A file of a kept pack; only one that is on the list, so no part of an address becomes part of a path."""
        if not self._sees(who, place):
            raise NotThere(NOTHING)
        known = await self._sources.read(lambda db: shelf.revisions(db, place, period))
        kept = next((each for each in known if each.revision == revision), None)
        if kept is None or name not in kept.files or Path(name).suffix[1:] not in TITLES:
            raise NotThere(NOTHING)
        path = self._data / kept.folder / name
        if not await asyncio.to_thread(path.is_file):
            raise NotThere(NOTHING)
        return path

    def _sees(self, who: Who, place: str) -> bool:
        """A school's for those who see it; of several schools for those who see all: it names each of them."""
        estate = self._sources.estate
        if place in estate.schools:
            return self._sources.sees(who, place)
        known = place == "all" or place.removeprefix("network:") in estate.networks
        return known and who.allows(Permission.SEE, None)

    def _title(self, place: str) -> str:
        estate = self._sources.estate
        if place in estate.schools:
            return estate.schools[place].title
        network = estate.networks.get(place.removeprefix("network:"))
        return network.title if network is not None else "All schools"

    def _line(self, kept: Kept, newest: bool) -> PackLine:
        folder, files = self._data / kept.folder, []
        for kind, title in TITLES.items():
            for name in kept.files:
                path = folder / name
                if path.suffix[1:] == kind and path.is_file():
                    files += [PackFile(name, title, round(path.stat().st_size / 1000))]
        try:
            period_title = named(kept.period).title
        except ConfigError:
            period_title = kept.period
        return PackLine(
            place=kept.place,
            place_title=self._title(kept.place),
            period=kept.period,
            period_title=period_title,
            revision=kept.revision,
            newest=newest,
            made_ms=kept.made_ms,
            reason=kept.reason,
            files=files,
            # By role: an address is nobody's business here.
            sent=[(each.to.partition(" <")[0], each.at_ms) for each in kept.sent],
        )
