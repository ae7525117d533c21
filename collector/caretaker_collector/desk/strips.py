"""A machine's day as spells without a gap, from the changes of state that are in the store: as boards show it.

What is known at the beginning of a day is the newest change before it. A machine that was on stays on until it says
otherwise, for as long as Caretaker could see: where nobody could, only the machine's own next word proves it, and what
nothing proves is blind. One that went off is off until it says otherwise, seen or not. Before the first change of all
it is unknown, or blind where its first word tells of something earlier.
"""

import asyncio
import sqlite3
from bisect import insort_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import msgspec
from msgspec import Struct

from caretaker_collector.days.owed import change_of
from caretaker_collector.desk import daily
from caretaker_collector.desk.sources import Sources
from caretaker_collector.points import CHANGE, whole
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.views import Spell
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.intervals import Spans, both
from caretaker_rules.model import Transition
from caretaker_rules.presence import ON_STATES
from caretaker_rules.rollup import Reading
from caretaker_rules.shown import Shown, shown_as
from caretaker_rules.standing import shown_now

LOOK_BACK_DAYS = (1, 6, 25, 60)
"""How far behind the day the newest change before it is looked for, step by step; what is older leaves a machine
blind until its first change."""
CONCLUDED = frozenset({PowerState.LOST, PowerState.UNKNOWN})
"""States that the collector concludes, which no machine says."""

_reading = msgspec.msgpack.Decoder(Reading).decode


class Change(Struct, frozen=True, gc=False):
    """A change of state, and what it leaves the machine shown as."""

    at_ms: int
    from_state: PowerState
    to_state: PowerState
    shown: Shown


def changes_by_device(points: Iterable[Point]) -> dict[str, list[Change]]:
    """The changes that `transition` points tell of, in order of time."""
    found: dict[str, list[Change]] = {}
    for point in whole(points, *CHANGE):
        told = change_of(point)
        shown = point.fields.get("shown")
        found.setdefault(point.tags[3], []).append(
            Change(
                told.at_ms,
                told.from_state,
                told.to_state,
                Shown(str(shown)) if shown is not None else _shown(told),
            )
        )
    for changes in found.values():
        changes.sort(key=lambda change: change.at_ms)
    return found


def _shown(told: Transition) -> Shown:
    """Of a point that was written before `shown` was."""
    return shown_as(told.to_state, told.cause, told.from_state)


def spells_of(
    changes: Sequence[Change], before: Change | None, start_ms: int, until_ms: int, unseen: Spans
) -> list[Spell]:
    """The spells of [start, until), without gap or overlap; neighbours differ. Empty when that is empty.

    `changes` in order; what lies before the span counts as before, and what lies after it proves its end where it
    fits. `unseen`: when nobody could see, sorted and apart.
    """
    if until_ms <= start_ms:
        return []
    line = _Line(start_ms, until_ms, unseen)
    earlier = [change for change in changes if change.at_ms <= start_ms]
    known = earlier[-1] if earlier else before
    later = [change for change in changes if change.at_ms > start_ms]
    first = later[0] if later else None
    blank = Shown.UNKNOWN if first is None or first.from_state is PowerState.UNKNOWN else Shown.BLIND
    for change in later:
        line.to(min(change.at_ms, until_ms), known, change, blank)
        if change.at_ms >= until_ms:
            return line.spells
        known = change
    line.to(until_ms, known, None, blank)
    return line.spells


class _Line:
    """Writes spells, each from where the last one ended."""

    def __init__(self, start_ms: int, until_ms: int, unseen: Spans) -> None:
        self.spells: list[Spell] = []
        self._at_ms = start_ms
        self._until_ms = until_ms
        self._unseen = unseen

    def to(self, end_ms: int, known: Change | None, following: Change | None, blank: Shown) -> None:
        """From where the last one ended until `end_ms` it was as `known` left it, where that is proved."""
        if known is None:
            self._add(end_ms, blank)
            return
        proved = known.to_state not in ON_STATES or (
            following is not None and following.to_state not in CONCLUDED and following.from_state is known.to_state
        )
        if not proved:
            for begin, end in both([(self._at_ms, end_ms)], self._unseen) if self._at_ms < end_ms else []:
                self._add(begin, known.shown)
                self._add(end, Shown.BLIND)
        self._add(end_ms, known.shown)

    def _add(self, end_ms: int, shown: Shown) -> None:
        if end_ms <= self._at_ms:
            return
        last = self.spells[-1] if self.spells else None
        if last is not None and last.shown is shown:
            self.spells[-1] = Spell(last.from_ms, end_ms, shown)
        else:
            self.spells.append(Spell(self._at_ms, end_ms, shown))
        self._at_ms = end_ms


class Strips(Struct, frozen=True):
    """Spells by device, of one span of time."""

    start_ms: int
    until_ms: int
    spells: Mapping[str, list[Spell]]
    unread: bool = False  # the store was away: only what is known by heart is in it


class StripMaker:
    """Reads changes of state from the store, for the devices of one school."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def days(
        self, school: str, devices: Sequence[str], first: date, last: date, device: str | None = None
    ) -> list[Strips]:
        """The strips of each local day from `first` to `last`; `device`: of this one only.

        While the store is away they hold what the collector knows by heart, and are `unread`.
        """
        sources, now_ms, zone = self._sources, self._sources.now_ms(), self._sources.zone(school)
        from_ms, end_ms = midnight_ms(first, zone), midnight_ms(last + timedelta(days=1), zone)
        until_ms = min(end_ms, now_ms)
        if until_ms <= from_ms:
            return [Strips(*span, {name: [] for name in devices}) for _, span in self._spans(first, last, school)]
        sight = await daily.sight_of(sources, from_ms, until_ms, now=until_ms == now_ms)
        unseen = daily.unseen(sight, from_ms, until_ms)
        read_until = until_ms
        if unseen and until_ms < now_ms:  # what came after the span may prove how it ended
            read_until = min(now_ms, until_ms + 86_400_000)
        unread = False
        try:
            async with asyncio.timeout(daily.STORE_WITHIN_S):
                changes = await self._read(school, from_ms, read_until + 1, device)
                before = await self._before(school, devices, from_ms, device)
        except (Unavailable, TimeoutError):
            changes, before, unread = {}, {}, True
        for name, first_word in (await self._first_words(school, devices, before)).items():
            _put(changes.setdefault(name, []), first_word)
        if until_ms == now_ms:
            for name in devices:
                if (present := self._present(school, name, now_ms)) is not None:
                    _put(changes.setdefault(name, []), present)
        found = []
        for _, (start_ms, day_end_ms) in self._spans(first, last, school):
            day_until = min(day_end_ms, now_ms)
            spells = {
                name: spells_of(changes.get(name, []), before.get(name), start_ms, day_until, unseen)
                for name in devices
            }
            found.append(Strips(start_ms, day_end_ms, spells, unread))
        return found

    def _spans(self, first: date, last: date, school: str) -> list[tuple[date, tuple[int, int]]]:
        zone, day, found = self._sources.zone(school), first, []
        while day <= last:
            found.append((day, self._sources.span_of(day, zone)))
            day += timedelta(days=1)
        return found

    async def _read(self, school: str, from_ms: int, until_ms: int, device: str | None) -> dict[str, list[Change]]:
        points = await self._sources.store.read("transition", from_ms, until_ms, school=school, device=device)
        return changes_by_device(points)

    def _present(self, school: str, device: str, now_ms: int) -> Change | None:
        """What is known of a machine now, as the newest of its changes; None: nothing."""
        entry = self._sources.memory.entries.get(Address(school, device))
        presence = entry.tracked.presence if entry is not None else None
        if presence is None or not presence.since_ms:
            return None
        at_ms = min(presence.since_ms, now_ms)
        return Change(at_ms, presence.state, presence.state, shown_now(presence))

    async def _before(self, school: str, devices: Sequence[str], from_ms: int, device: str | None) -> dict[str, Change]:
        """The newest change of each device before a moment: what is known of it by heart, else from the store."""
        found: dict[str, Change] = {}
        missing: set[str] = set()
        first_ms = await self._sources.read(lambda db: _first_readings(db, school, devices))
        for name in devices:
            present = self._present(school, name, from_ms + 1)
            if present is None:
                continue  # nothing was ever heard of it
            if present.at_ms <= from_ms:  # as it is now it was then
                found[name] = present
            elif name not in first_ms or first_ms[name].at_ms < from_ms:
                missing.add(name)
        end_ms = from_ms
        for back in LOOK_BACK_DAYS:
            if not missing:
                break
            start_ms = from_ms - back * 86_400_000
            for name, changes in (await self._read(school, start_ms, end_ms, device)).items():
                if name in missing and changes:
                    found[name] = changes[-1]
                    missing.discard(name)
            end_ms = start_ms
        return found

    async def _first_words(self, school: str, devices: Sequence[str], known: Mapping[str, Change]) -> dict[str, Change]:
        """The first reading ever of those of which nothing earlier is known: from then on it was as it said."""
        strangers = [name for name in devices if name not in known]
        readings = await self._sources.read(lambda db: _first_readings(db, school, strangers)) if strangers else {}
        return {
            name: Change(reading.at_ms, PowerState.UNKNOWN, reading.state, shown_as(reading.state, Cause.UNKNOWN))
            for name, reading in readings.items()
        }


def _first_readings(db: sqlite3.Connection, school: str, devices: Sequence[str]) -> dict[str, Reading]:
    """The first reading of all of each device, as the roll-up of the days keeps it."""
    found = {}
    for device in devices:
        row = db.execute(
            "SELECT first FROM day_ends WHERE school = ? AND device = ? ORDER BY day LIMIT 1", (school, device)
        ).fetchone()
        if row is not None:
            found[device] = _reading(row[0])
    return found


def _put(changes: list[Change], change: Change) -> None:
    """Insert where its time is; of two at one time what was told comes last."""
    insort_left(changes, change, key=lambda each: each.at_ms)
