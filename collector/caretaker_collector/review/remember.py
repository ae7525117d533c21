"""A store to read from that remembers: one review asks for the same days of the same school several times."""

from collections.abc import Sequence

from caretaker_contract.metrics import Point
from caretaker_rules.ports import Store

REMEMBERED = frozenset({"transition", "device_day"})
"""What is asked for day by day: by what was used and avoided, and by what kept machines awake."""


class Remembering:
    """The port `Store`, to read. Remembers the points of one school, until another one is asked about."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._school: str | None = None
        self._known: dict[tuple[str, int, int], list[Point]] = {}

    async def read(
        self, measurement: str, start_ms: int, end_ms: int, school: str | None = None, device: str | None = None
    ) -> list[Point]:
        """As the store does; the list is not to be changed."""
        if measurement not in REMEMBERED or school is None or device is not None:
            return await self._store.read(measurement, start_ms, end_ms, school, device)
        if school != self._school:
            self._known.clear()
            self._school = school
        key = (measurement, start_ms, end_ms)
        if key not in self._known:
            self._known[key] = await self._store.read(measurement, start_ms, end_ms, school)
        return self._known[key]

    async def sums(
        self,
        measurement: str,
        fields: Sequence[str],
        start_ms: int,
        end_ms: int,
        by: Sequence[str] = (),
        school: str | None = None,
    ) -> dict[tuple[str, ...], dict[str, float]]:
        """As the store does."""
        return await self._store.sums(measurement, fields, start_ms, end_ms, by, school)

    async def count(self, measurement: str) -> int:
        """As the store does."""
        return await self._store.count(measurement)

    async def write(self, points: Sequence[Point]) -> list[tuple[Point, str]]:
        """A review writes no points: RuntimeError."""
        raise RuntimeError("a review only reads from the store")

    async def close(self) -> None:
        """Forget; the store stays open, for whoever opened it."""
        self._known.clear()
