"""What of the owed time a device was available, down or not seen, and the outages that this comes from.

    owed = maintained + available + down + unseen       (hours of service, as `service_hours` says)

- **On** is available. **Planned-off** is available until it is needed: off by a rule, an engineer or a restart, from
  the next start of a lesson in its room after it went, or from a wake that was asked for; off by its user, from such a
  wake, and from the next lesson too where the level says `until_lesson`. From then until it is on again it is **down**
  (not back), whatever it says meanwhile.
- **Off** without a recorded cause and **lost** are down. **Blind** is unseen: neither up nor down, a range.
- **Maintenance** recorded before it began is cut out of all of these; what overruns it counts. (What was recorded
  afterwards must not be given.)
- An **outage** is the union of down time: what touches is one outage, called after what it began as. Closing time does
  not end it, nor does maintenance or blind time within it: what goes on after those `began` with the first part.
- A **fault** is an outage that began within owed time; one that began outside and reaches in counts as beginning when
  service begins. It counts once, at that moment, not once a day: give everything from where a long outage began (the
  last reading before the day will do), and the day as `counted`.
"""

from collections.abc import Hashable, Iterable, Sequence
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field

from caretaker_contract.messages import Cause
from caretaker_rules.intervals import Span, Spans, both, cut, length_ms, union, without
from caretaker_rules.timeline import Stretch, What

UserOff = Literal["until_woken", "until_lesson"]


class Wanted(Struct, frozen=True, order=True):
    """A wake that was asked for. One that was asked for before the machine went says nothing of it: who was there then
    switched it off knowingly. `asked_ms` None: it counts from `needed_ms` on."""

    needed_ms: int
    asked_ms: int | None = None


class Down(StrEnum):
    """What an outage began as."""

    LOST = "lost"
    OFF = "off"  # off or asleep without a recorded cause
    NOT_BACK = "not_back"  # planned-off, and not on when it was needed
    OVERRUN = "overrun"  # down since planned maintenance, which is over


class Outage(Struct, frozen=True, order=True):
    """Down from one moment to another without a break. `cause`: why the machine had gone, where it said so."""

    from_ms: int
    until_ms: int
    what: Down
    cause: Cause = Cause.UNKNOWN
    began_ms: int = 0  # when the first part began; later ones went on after maintenance or blind time


class Figure(Struct, frozen=True):
    """Availability of a device, a room, a school, or all: figures add up, so it is weighted by the time owed."""

    owed_ms: int = 0
    maintained_ms: int = 0
    available_ms: int = 0
    down_ms: int = 0
    unseen_ms: int = 0

    def __add__(self, other: "Figure") -> "Figure":
        return Figure(
            self.owed_ms + other.owed_ms,
            self.maintained_ms + other.maintained_ms,
            self.available_ms + other.available_ms,
            self.down_ms + other.down_ms,
            self.unseen_ms + other.unseen_ms,
        )

    @property
    def counted_ms(self) -> int:
        """What the ratios are taken of: owed without planned maintenance."""
        return self.owed_ms - self.maintained_ms

    @property
    def low(self) -> float | None:
        """Ratio if all that was not seen was down; None: nothing was owed ("n/a")."""
        return self.available_ms / self.counted_ms if self.counted_ms > 0 else None

    @property
    def high(self) -> float | None:
        """Ratio if all that was not seen was available; None: nothing was owed ("n/a")."""
        return (self.available_ms + self.unseen_ms) / self.counted_ms if self.counted_ms > 0 else None

    @property
    def likely(self) -> float | None:
        """Ratio of the time that was seen; None: nothing was owed, or nothing of it seen."""
        seen_ms = self.available_ms + self.down_ms
        return self.available_ms / seen_ms if seen_ms > 0 else None


class Account(Struct, frozen=True):
    """Owed time of one device, in milliseconds: the four parts of `owed_ms` add up to it."""

    owed_ms: int = 0
    maintained_ms: int = 0
    available_ms: int = 0
    down_ms: int = 0
    unseen_ms: int = 0
    lesson_ms: int = 0  # owed within lessons of its room, without maintenance; the three below add up to it
    lesson_available_ms: int = 0
    lesson_down_ms: int = 0
    lesson_unseen_ms: int = 0
    outages: list[Outage] = field(default_factory=list)  # those that reach into owed time, whole, by time
    faults: int = 0

    @property
    def figure(self) -> Figure:
        """Over all owed time."""
        return Figure(self.owed_ms, self.maintained_ms, self.available_ms, self.down_ms, self.unseen_ms)


class Faults(Struct, frozen=True):
    """Faults of many devices, each counted once."""

    count: int
    spans: list[Span]  # when at least one of them lasted


def account(
    stretches: Sequence[Stretch],
    owed: Spans,
    maintenance: Spans,
    lessons: Spans,
    wanted: Sequence[Wanted],
    user_off: UserOff,
    counted: Span | None = None,
) -> Account:
    """The account of one device over its timeline; owed time outside the timeline is not counted.

    Spans in any order. Give each lesson by itself: where two follow each other, the second has a start of its own.
    `counted`: what to count of it; what lies before serves to know since when it has been down (None: all).
    """
    if not stretches:
        return Account()
    covered = (stretches[0].from_ms, stretches[-1].until_ms)
    maintained = union(maintenance)
    all_owed = cut(union(owed), *covered)
    all_due = without(all_owed, maintained)
    from_ms, until_ms = covered if counted is None else counted
    owed_here, due = cut(all_owed, from_ms, until_ms), cut(all_due, from_ms, until_ms)
    down, unseen, chains = _judge(stretches, _Needs(lessons, wanted, user_off))
    outages: list[Outage] = []
    faults = 0
    for chain in chains:
        parts = _parts(chain, maintained)
        felt_ms = next(
            (both([(one.from_ms, one.until_ms)], all_due)[0][0] for one in parts if _meets(one, all_due)), None
        )
        if felt_ms is not None and from_ms <= felt_ms < until_ms:
            faults += 1
        outages.extend(one for one in parts if _meets(one, due))
    in_lessons = both(due, union(lessons))
    due_ms, lesson_ms = length_ms(due), length_ms(in_lessons)
    down_ms, unseen_ms = length_ms(both(due, down)), length_ms(both(due, unseen))
    lesson_down_ms, lesson_unseen_ms = length_ms(both(in_lessons, down)), length_ms(both(in_lessons, unseen))
    owed_ms = length_ms(owed_here)
    return Account(
        owed_ms=owed_ms,
        maintained_ms=owed_ms - due_ms,
        available_ms=due_ms - down_ms - unseen_ms,
        down_ms=down_ms,
        unseen_ms=unseen_ms,
        lesson_ms=lesson_ms,
        lesson_available_ms=lesson_ms - lesson_down_ms - lesson_unseen_ms,
        lesson_down_ms=lesson_down_ms,
        lesson_unseen_ms=lesson_unseen_ms,
        outages=outages,
        faults=faults,
    )


def faults_of(outages: Iterable[tuple[Hashable, Outage, str | None]]) -> Faults:
    """How many faults these outages are: (device, outage, uid of the incident that it belongs to, or None).

    Outages of one incident are one fault (a dead switch is not 30), and so are the parts of one outage.
    """
    known = list(outages)
    incident_of = {(device, one.began_ms): uid for device, one, uid in known if uid is not None}
    incidents = set(incident_of.values())
    alone = {(device, one.began_ms) for device, one, _ in known} - incident_of.keys()
    return Faults(len(incidents) + len(alone), union((one.from_ms, one.until_ms) for _, one, _ in known))


class _Needs:
    """When a machine that is planned-off is needed again."""

    def __init__(self, lessons: Spans, wanted: Sequence[Wanted], user_off: UserOff) -> None:
        self._starts = sorted(begin for begin, _ in lessons)
        self._wanted = wanted
        self._user_off = user_off

    def moment(self, went_ms: int, cause: Cause) -> int | None:
        """The moment from which one that went so is needed; None: not that we know."""
        moments = [
            one.needed_ms if one.asked_ms is None else max(one.needed_ms, one.asked_ms)
            for one in self._wanted
            if went_ms <= (one.needed_ms if one.asked_ms is None else one.asked_ms)
        ]
        if cause is not Cause.USER or self._user_off == "until_lesson":
            moments.extend(begin for begin in self._starts if begin >= went_ms)
        return min(moments, default=None)


_Piece = tuple[int, int, Down, Cause]


def _judge(stretches: Sequence[Stretch], needs: _Needs) -> tuple[list[Span], list[Span], list[list[_Piece]]]:
    """Down time, unseen time, and the outages as chains of down pieces with nothing but unseen time between them."""
    down: list[Span] = []
    unseen: list[Span] = []
    chains: list[list[_Piece]] = []
    missing = False  # it was needed and has not been on since
    ended = True  # the chain is, by a time in which it was available
    for one in stretches:
        from_ms, until_ms, what = one.from_ms, one.until_ms, one.what
        if what is What.BLIND:
            unseen.append((from_ms, until_ms))
            continue
        if what is What.ON:
            missing, ended = False, True
            continue
        kind = Down.LOST if what is What.LOST else Down.OFF
        if what is What.PLANNED_OFF:
            kind = Down.NOT_BACK
            if not missing:
                needed_ms = needs.moment(from_ms, one.cause)
                if needed_ms is None or needed_ms >= until_ms:
                    ended = True
                    continue
                missing = True
                if needed_ms > from_ms:
                    from_ms, ended = needed_ms, True
        down.append((from_ms, until_ms))
        if ended:
            chains.append([])
            ended = False
        chains[-1].append((from_ms, until_ms, kind, one.cause))
    return down, unseen, chains


def _parts(chain: list[_Piece], maintained: list[Span]) -> list[Outage]:
    """The outages of a chain: what touches is one, and planned maintenance is cut out."""
    joined: list[_Piece] = []
    for piece in chain:
        if joined and joined[-1][1] == piece[0]:
            joined[-1] = (joined[-1][0], piece[1], joined[-1][2], joined[-1][3])
        else:
            joined.append(piece)
    parts: list[Outage] = []
    for from_ms, until_ms, what, cause in joined:
        for begin, end in without([(from_ms, until_ms)], maintained):
            kind = Down.OVERRUN if not parts and begin > chain[0][0] else what
            parts.append(Outage(begin, end, kind, cause, parts[0].from_ms if parts else begin))
    return parts


def _meets(outage: Outage, spans: list[Span]) -> bool:
    return bool(both([(outage.from_ms, outage.until_ms)], spans))
