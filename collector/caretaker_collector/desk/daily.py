"""What was used and avoided by school, as the nightly reckoning has it; and for how long nobody could see today."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from msgspec import Struct

from caretaker_collector.desk.sources import Sources
from caretaker_collector.stages.watch import sight, watched_since_ms
from caretaker_contract.errors import Unavailable
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.intervals import Spans, length_ms, without

log = structlog.get_logger()

GOOD_S = 15.0
STORE_WITHIN_S = 3.0
"""So long a page waits for the store that can do without it."""
"""Real seconds for which the figures of a day are good: they are reckoned every quarter of an hour at most."""
AVOIDED_BACK_DAYS = 10
"""A day that was reckoned longer ago than a weekend and a holiday says nothing of now."""


class Daily(Struct, frozen=True, kw_only=True):
    """Of one school. None: not reckoned."""

    used_today_kwh: float | None = None
    avoided_kwh: tuple[float, float, float] | None = None  # low, likely, high
    avoided_day: str | None = None


class DailyFigures:
    """Reads `energy_day` for all schools at once, and keeps it for a moment."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def by_school(self) -> dict[str, Daily]:
        """The newest figures; a school of which nothing was reckoned is absent, and all are while the store is away.

        What is wrong now and what to do first must be there without it; that it is away stands beside them.
        """
        return await self._sources.kept("daily", int(time.monotonic() / GOOD_S), self._read)

    async def _read(self) -> dict[str, Daily]:
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return await self._ask()
        except (Unavailable, TimeoutError) as error:
            log.warning("the estate's page goes without energy: the store is away", reason=str(error))
            return {}

    async def _ask(self) -> dict[str, Daily]:
        now_ms = self._sources.now_ms()
        first_ms = now_ms - (AVOIDED_BACK_DAYS + 1) * 86_400_000
        by_school: dict[str, list[Point]] = {}
        for point in await self._sources.store.read("energy_day", first_ms, now_ms + 1):
            school, room, device_class, _ = point.tags
            if (room, device_class) == ("all", "all"):
                by_school.setdefault(school, []).append(point)
        return {school: self._figures(school, points) for school, points in by_school.items()}

    def _figures(self, school: str, points: Iterable[Point]) -> Daily:
        zone = self._sources.zone(school)
        midnight = midnight_ms(local(self._sources.now_ms(), zone).date(), zone)
        used: float | None = None
        avoided: tuple[float, float, float] | None = None
        day: str | None = None
        for point in sorted(points, key=lambda point: point.time_ns):
            at_ms, fields = point.time_ns // 1_000_000, point.fields
            if at_ms == midnight and "used_kwh" in fields:
                used = float(fields["used_kwh"])
            if all(name in fields for name in ("both_kwh_low", "both_kwh", "both_kwh_high")):
                avoided = (
                    float(fields["both_kwh_low"]),
                    float(fields["both_kwh"]),
                    float(fields["both_kwh_high"]),
                )
                day = local(at_ms, zone).date().isoformat()
        return Daily(used_today_kwh=used, avoided_kwh=avoided, avoided_day=day)


class Sight(Struct, frozen=True):
    """When Caretaker could see. `since_ms` None: it has not looked yet."""

    spans: Spans
    since_ms: int | None


async def sight_of(sources: Sources, from_ms: int, until_ms: int, now: bool = False) -> Sight:
    """Sight within [from_ms, until_ms), from the stage `watch`.

    `now` says that `until_ms` is this moment: what it saw at its last tick holds until it should have looked again.
    """
    spans, since_ms = await sources.read(lambda db: (sight(db, from_ms, until_ms), watched_since_ms(db)))
    if now and spans:
        settings, clock = sources.collector.settings, sources.collector.clock
        patience_ms = round((3 * settings.tick_s + 2 * clock.speed) * 1000)
        begin, end = spans[-1]
        spans[-1] = (begin, until_ms if until_ms - end <= patience_ms else end)
    return Sight(spans, since_ms)


def unseen(sight: Sight, from_ms: int, until_ms: int) -> Spans:
    """What of [from_ms, until_ms) nobody saw, from when Caretaker first looked on."""
    if sight.since_ms is None:
        return []
    begin = max(from_ms, sight.since_ms)
    return without([(begin, until_ms)], sight.spans) if begin < until_ms else []


async def blind_today_s(sources: Sources, school: str) -> int:
    """Seconds of the school's day so far in which Caretaker looked and could not see."""
    now_ms, zone = sources.now_ms(), sources.zone(school)
    begin_ms = midnight_ms(local(now_ms, zone).date(), zone)
    found = await sight_of(sources, begin_ms, now_ms, now=True)
    return length_ms(unseen(found, begin_ms, now_ms)) // 1000
