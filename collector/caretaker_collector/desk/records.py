"""Holds, freezes, maintenance, silences and stop switches for the desk, in the words of the command line."""

import sqlite3
import time
from collections.abc import Iterable, Sequence

from caretaker_collector import people, record_words
from caretaker_collector import records as record_book
from caretaker_collector.desk.sources import Sources
from caretaker_collector.records import Record
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.views import RecordLine
from caretaker_rules.model import Stop
from caretaker_rules.roles import Who

KINDS = ("hold", "freeze", "maintenance", "silence", "stop")
MOST = 200
"""Lines of one page."""
RECKON_S = 0.5
"""Real seconds for which it is counted what records did; the rest of the page does without."""
STOP = "stop"


class Records:
    """Reads what people wrote down."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._did: dict[int, str] = {}  # of records that are over: what they did does not change any more

    async def listed(self, who: Who, place: str = "", kind: str = "", past: bool = False) -> list[RecordLine]:
        """What `who` may see, of a place and kind. ConfigError for a kind that there is not; NotThere for a place."""
        if kind and kind not in KINDS:
            raise ConfigError([f"{kind[:20]!r}  no such kind; there are: {', '.join(KINDS)}"])
        school, room, devices = self._meant(who, place)
        now_ms = self._sources.now_ms()

        def work(db: sqlite3.Connection) -> list[RecordLine]:
            lines = []
            if not past and kind in ("", STOP):
                lines += [
                    self._stop_line(stop, now_ms)
                    for stop in people.stopped(db)
                    if (stop.school is None or self._sources.sees(who, stop.school))
                    and stop.school in (None, school or stop.school)
                    and stop.room in (None, room or stop.room)
                ]
            found = [
                record
                for record in record_book.listed(db, now_ms, past)
                if kind in ("", record.kind)
                and self._sources.sees(who, record.scope.school)
                and self._within(record, school, devices)
            ]
            until_s = time.monotonic() + RECKON_S
            for record in found[:MOST]:
                did = self._what_it_did(db, record, now_ms) if time.monotonic() < until_s else ""
                lines.append(self.line(record, now_ms, did))
            return lines

        return await self._sources.read(work)

    def _meant(self, who: Who, place: str) -> tuple[str, str, frozenset[str] | None]:
        """(school, room, devices) of "ash", "ash/ict1" or "ash/ict1-07"; devices None: all of the school."""
        if not place:
            return "", "", None
        school, _, name = place.partition("/")
        self._sources.school_for(who, school)
        if not name:
            return school, "", None
        if name in self._sources.rooms[school]:
            return school, name, frozenset(device.name for device in self._sources.rooms[school][name])
        address = self._sources.address_for(who, school, name)
        device = self._sources.estate.devices.get(address)
        return school, device.room if device is not None else "", frozenset({name})

    def _within(self, record: Record, school: str, devices: frozenset[str] | None) -> bool:
        if school and record.scope.school != school:
            return False
        if devices is None:
            return True
        known = self._sources.devices[school]
        return any(name in known and record.scope.has(known[name]) for name in devices)

    def touching(self, db: sqlite3.Connection, school: str, devices: Iterable[str], now_ms: int) -> list[RecordLine]:
        """What is on or to come for any of these devices, stop switches first; what it did is not counted here."""
        some = frozenset(devices)
        rooms = {device.room for name in some if (device := self._sources.devices[school].get(name)) is not None}
        stops = [
            self._stop_line(stop, now_ms)
            for stop in people.stopped(db)
            if stop.school in (None, school) and (stop.room is None or stop.room in rooms)
        ]
        found = record_book.listed(db, now_ms, False)
        return stops + [self.line(one, now_ms) for one in found if self._within(one, school, some)][:MOST]

    def of_school(self, db: sqlite3.Connection, school: str, now_ms: int) -> list[RecordLine]:
        """What is on or to come anywhere in a school, stop switches first; what it did is not counted here."""
        stops = [self._stop_line(stop, now_ms) for stop in people.stopped(db) if stop.school in (None, school)]
        found = record_book.listed(db, now_ms, False)
        return stops + [self.line(one, now_ms) for one in found if one.scope.school == school][:MOST]

    def _what_it_did(self, db: sqlite3.Connection, record: Record, now_ms: int) -> str:
        known = self._did.get(record.id)
        if known is not None:
            return known
        estate = self._sources.estates.get(record.scope.school)
        if estate is None:
            return ""
        held = record_book.held_back(db, estate, record, now_ms)
        did = record_words.kept_back(estate, db, record, held, now_ms)
        if record.next_time(now_ms) is None:
            self._did[record.id] = did
        return did

    def line(self, record: Record, now_ms: int, did: str = "") -> RecordLine:
        """A record as the desk shows it."""
        school, scope = record.scope.school, record.scope
        zone = self._sources.zone(school)
        following = record.next_time(now_ms)
        titles = [self._sources.school_title(school)]
        titles += [self._sources.room_title(school, scope.room)] if scope.room else []
        titles += [scope.device] if scope.device else []
        titles += [f"class {scope.device_class}"] if scope.device_class else []
        return RecordLine(
            number=record.id,
            kind=record.kind,
            school=school,
            place=str(scope) if not scope.device_class else str(scope).partition(",")[0],
            place_title=", ".join(titles),
            times=record_words.times(record.series, zone),
            state=record_words.standing(record, now_ms, zone),
            on=following is not None and following[0] <= now_ms,
            over=following is None,
            repeats=record.series.every is not None,
            reason=record.reason,
            by=record.by,
            did=did,
        )

    def _stop_line(self, stop: Stop, now_ms: int) -> RecordLine:
        school = stop.school or ""
        since = record_words.day_time(stop.since_ms, self._sources.zone(school))
        titles = [self._sources.school_title(school)] if school else ["all schools"]
        titles += [self._sources.room_title(school, stop.room)] if stop.room else []
        return RecordLine(
            number=None,
            kind=STOP,
            school=school,
            place="/".join(part for part in (stop.school, stop.room) if part) or "all",
            place_title=", ".join(titles),
            times=f"since {since}",
            state="on now",
            on=True,
            over=False,
            repeats=False,
            reason=stop.reason,
            by="",
            did="",
        )


def stopped(stops: Sequence[Stop], school: str | None) -> str:
    """The reason of a stop switch that is on for a whole school (None: for the whole estate); "": none."""
    places = (None,) if school is None else (None, school)
    return next((stop.reason or "stopped" for stop in stops if stop.school in places and stop.room is None), "")
