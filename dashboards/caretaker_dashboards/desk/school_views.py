"""What the page of a school about itself shows, as plain values. Times are UTC ms; the page shows them in `zone`."""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from caretaker_rules.findings import FindingKind


class Trouble(Struct, frozen=True, kw_only=True):
    """An incident of the school. `number`, `device` and `said` are only for people who have signed in."""

    key: str  # stands for it in a feed; tells nothing
    kind: FindingKind
    thing: str  # class of the device: "desktop"; "": not about one device
    where: str  # title of the room; "": the school
    machines: int  # that suffer from it
    since_ms: int
    due_ms: int | None  # when it should be mended by the agreement; None: no time was promised, or it is waiting
    late: bool
    taken: bool  # somebody has it
    waiting: bool  # for the school
    fixed_ms: int | None
    number: int | None = None
    device: str = ""
    said: str = ""  # the title that a person gave it


class Plan(Struct, frozen=True, kw_only=True):
    """Something that is on, or will be within two weeks."""

    key: str
    kind: str  # hold, freeze, maintenance, wake
    where: str  # title of the room; "": the school
    some: bool  # only some machines of it
    from_ms: int
    until_ms: int
    needed_ms: int | None = None  # wake: when the machines are needed
    reason: str = ""  # as somebody typed it; only for people who have signed in


class RoomNow(Struct, frozen=True, kw_only=True):
    """How many machines of a room are on for a lesson."""

    title: str
    ready: int
    total: int
    enough: bool


class LessonsNow(Struct, frozen=True, kw_only=True):
    """Lessons that are on now, and when the next begin. `known` False: no room has a timetable that can be read."""

    known: bool
    rooms: list[RoomNow]
    next_ms: int | None  # None: none in the next nine weeks
    next_rooms: list[str]


class EnergyDay(Struct, frozen=True, kw_only=True):
    """A day as `caretaker savings --from DAY --to DAY` has it. None: not reckoned, or no baseline is known."""

    day: str  # ISO
    under_way: bool
    used_kwh: float | None
    avoided_kwh: tuple[float, float, float] | None  # low, likely, high


class EnergyMonth(Struct, frozen=True, kw_only=True):
    """The month reckoned as one, up to a day; its range is narrower than its days' together."""

    until: str  # ISO
    used_kwh: float | None
    avoided_kwh: tuple[float, float, float] | None


class MonthSoFar(Struct, frozen=True, kw_only=True):
    """Availability against the service level, as `caretaker sla month` says it; a range where nobody could see."""

    title: str  # October 2026
    level: str
    illustrative: bool
    availability: str
    target: str
    verdict: str


class SchoolPage(Struct, frozen=True, kw_only=True):
    """All of the page. `public`: made for everybody."""

    now_ms: int
    zone: str
    school: str
    title: str
    provider: str
    public: bool
    blind: bool  # Caretaker cannot see the school now
    stopped: bool
    machines: int
    heard: int  # of these, ever
    troubles: list[Trouble]
    mended: list[Trouble]  # of the last seven days, the newest first
    plans: list[Plan]
    lessons: LessonsNow
    week: list[EnergyDay]  # Monday to today
    energy_month: EnergyMonth | None
    months: list[MonthSoFar]  # more than one where the level changed


def key_of(*parts: object) -> str:
    """A word that stands for something in a feed, always the same and telling nothing."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=9).hexdigest()


def listed(words: Sequence[str], most: int = 6) -> str:
    """ "a, b and c"; of many the first "and 4 more"."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
