"""The changes of state that were stored of a device, sorted out for its timeline.

Some are a report's own: they add the cause to the reading of the same report. Some no reading tells of: a goodbye whose
report never came. The rest the collector concluded: lost, found again, unknown after the agent was stopped.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.model import Transition
from caretaker_rules.presence import AWAY_STATES, ON_STATES
from caretaker_rules.rollup import Reading

SKEW_MS = 1_860_000
"""A change is stored at the device's time, its reading at the collector's where the clock is minutes off (up to half
an hour: whole hours are put right for both). So far apart, the two may still be the same report."""
CONNECT_MS = 120_000
"""From a machine's first report to the moment when the collector finds it, at most; it may be seconds."""
EVER_MS = 2**62
_NOT_SEEN = frozenset({PowerState.LOST, PowerState.UNKNOWN})


class Told:
    """The stored changes, sorted out: causes of readings, turns without a reading, and what the collector concluded."""

    def __init__(self, ordered: Sequence[Reading], chain: Sequence[Reading], changes: Iterable[Transition]) -> None:
        self.causes: dict[tuple[str, int, int], Cause] = {}  # of readings that say off or asleep
        self.turns: list[Transition] = []  # off, asleep and back, of which no reading tells; by time
        self.concluded: list[tuple[int, int, bool]] = []  # from, until, lost (else unknown); by time, apart
        once = set(changes)
        if once:
            in_time = sorted(once, key=_rank)
            self._match(ordered, [one for one in in_time if _is_turn(one)])
            self._conclude([one for one in in_time if _is_concluded(one)], chain)
        self._inherit(ordered)

    def cause(self, reading: Reading) -> Cause:
        """Why the machine went, by the reading that says so."""
        return self.causes.get((reading.epoch, reading.boot, reading.seq), Cause.UNKNOWN)

    def goodbye_within(self, from_ms: int, until_ms: int) -> Transition | None:
        """The last goodbye in a span of which no reading tells."""
        for turn in reversed(self.turns):
            if from_ms < turn.at_ms <= until_ms and turn.to_state in AWAY_STATES:
                return turn
        return None

    def _match(self, ordered: Sequence[Reading], turns: list[Transition]) -> None:
        """Each turn to the reading of the same report: at the same moment, else the nearest within `SKEW_MS`."""
        if not turns:
            return
        there: dict[tuple[int, PowerState], Reading] = {}
        before: Reading | None = None
        for reading in ordered:
            away = reading.state in AWAY_STATES
            if away or before is None or before.boot != reading.boot or before.state in AWAY_STATES:
                there.setdefault((reading.at_ms, reading.state), reading)
            before = reading
        left: list[Transition] = []
        used: set[tuple[int, PowerState]] = set()
        for turn in turns:
            key = (turn.at_ms, turn.to_state)
            if key in used:
                continue
            reading_then = there.get(key)
            if reading_then is None:
                left.append(turn)
                continue
            used.add(key)
            self._note(reading_then, turn.cause)
        if len(used) < len(there):
            free = [reading for key, reading in there.items() if key not in used]
            left = self._match_near(free, left)
        self.turns = left

    def _match_near(self, free: list[Reading], turns: list[Transition]) -> list[Transition]:
        """The turns that fit no free reading; each reading takes one turn."""
        left: list[Transition] = []
        for turn in turns:
            near = [
                reading
                for reading in free
                if reading.state is turn.to_state and abs(reading.at_ms - turn.at_ms) <= SKEW_MS
            ]
            if not near:
                left.append(turn)
                continue
            reading = min(near, key=lambda one: (abs(one.at_ms - turn.at_ms), one))
            free.remove(reading)
            self._note(reading, turn.cause)
        return left

    def _note(self, reading: Reading, cause: Cause) -> None:
        if reading.state in AWAY_STATES:
            self.causes[(reading.epoch, reading.boot, reading.seq)] = cause

    def _inherit(self, ordered: Sequence[Reading]) -> None:
        """A reading that repeats off or asleep without a change of its own has the cause of the one before."""
        if not self.causes:
            return
        for earlier, later in pairwise(ordered):
            if later.state in AWAY_STATES and earlier.state is later.state and earlier.boot == later.boot:
                known = self.causes.get((earlier.epoch, earlier.boot, earlier.seq))
                if known is not None:
                    self.causes.setdefault((later.epoch, later.boot, later.seq), known)

    def _conclude(self, changes: list[Transition], chain: Sequence[Reading]) -> None:
        """Spans of lost and unknown. A machine found with a new boot turns unknown: that ends lost and begins nothing.

        The beginning is by the collector's clock and the end by the device's, so an end may come shortly before its own
        beginning: then the next reading ends it. An end before any beginning says that it was lost already.
        """
        begun: Transition | None = None
        stray_ms = -EVER_MS  # the last end without a beginning
        for at, change in enumerate(changes):
            begins, at_ms = _begins(change), change.at_ms
            if begun is not None:
                if not begins and change.from_state is not begun.to_state:
                    continue  # a replayed report ends what was concluded after this one began
                is_odd = begins and begun.at_ms - stray_ms <= SKEW_MS
                until_ms = min(at_ms, _next_ms(chain, begun.at_ms)) if is_odd else at_ms
                self._add(begun.at_ms, until_ms, begun.to_state, chain)
            elif not begins:
                is_early = any(_begins(one) and one.at_ms - at_ms <= SKEW_MS for one in changes[at + 1 : at + 2])
                if not self.concluded and not is_early:
                    self._add(-EVER_MS, at_ms, change.from_state, chain)
                stray_ms = at_ms
            begun = change if begins else None
        if begun is not None:
            is_odd = begun.at_ms - stray_ms <= SKEW_MS
            self._add(begun.at_ms, _next_ms(chain, begun.at_ms) if is_odd else EVER_MS, begun.to_state, chain)

    def _add(self, from_ms: int, until_ms: int, state: PowerState, chain: Sequence[Reading]) -> None:
        """A machine that boots is there from its first report on, not only when its link stands."""
        at = bisect_right(chain, until_ms, key=made_ms) - 1
        while at >= 0 and chain[at].at_ms >= until_ms - CONNECT_MS:
            if chain[at].seq == 1:
                until_ms = chain[at].at_ms
            at -= 1
        if from_ms < until_ms:
            self.concluded.append((from_ms, until_ms, state is PowerState.LOST))


def _rank(change: Transition) -> tuple[int, bool, bool, str, str, str]:
    """By time; at one moment what was recorded as planned first, and beginnings before ends."""
    return (
        change.at_ms,
        not change.planned,
        not _begins(change),
        change.from_state.value,
        change.to_state.value,
        change.cause.value,
    )


def _begins(change: Transition) -> bool:
    """Whether the collector concludes here that it does not see the machine."""
    if change.to_state is PowerState.LOST:
        return True
    return change.to_state is PowerState.UNKNOWN and change.from_state is not PowerState.LOST


def _is_concluded(change: Transition) -> bool:
    """Whether lost or unknown begins or ends here."""
    return change.to_state in _NOT_SEEN or change.from_state in _NOT_SEEN


def _is_turn(change: Transition) -> bool:
    """Whether it went, or came back from being off or asleep."""
    return change.to_state in AWAY_STATES or (change.from_state in AWAY_STATES and change.to_state in ON_STATES)


def _next_ms(chain: Sequence[Reading], after_ms: int) -> int:
    """When the first reading after a moment was made; `EVER_MS` when there is none."""
    at = bisect_right(chain, after_ms, key=made_ms)
    return chain[at].at_ms if at < len(chain) else EVER_MS


def made_ms(reading: Reading) -> int:
    """When it was made."""
    return reading.at_ms
