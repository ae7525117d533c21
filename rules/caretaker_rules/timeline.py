"""What a device was at each moment of a span: on, planned-off, off, lost, or not seen (design, section 6).

The truth, in this order:
1. **The device's own numbered readings**, put in order as for the totals (`rollup.py`), never by arrival. Between two
   of one boot the meters say how long it was on and asleep; what they leave unexplained nobody saw. Between two boots
   it was off: with a cause where it said goodbye, else without one, from the last moment of life that the meters prove.
2. **What the collector concluded** (lost, unknown after the agent was stopped, off by goodbye alone). Lost or unknown
   time in which the meters say that the machine was on becomes blind: the line was cut, not the machine. Lost time that
   no meter disproves stays lost.
3. **Silence.** A machine that was on, and is not heard although Caretaker could see, is lost from the first heartbeat
   that did not come; where Caretaker could not see (outside `sight`) it is blind, and so is the first heartbeat's time
   after sight came back. A machine that said it goes off is off until it says otherwise, seen or not.

A new epoch (the agent was reinstalled) proves nothing of the time before its own meters begin: until then the last word
of the old one is judged like an open end, so that reinstalling does not turn an outage into blind time. Before the
first reading of all it is blind; a registered machine that was never heard is blind all the time.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.intervals import Span, Spans
from caretaker_rules.model import Transition
from caretaker_rules.presence import AWAY_STATES, PLANNED_CAUSES, PresenceSettings
from caretaker_rules.rollup import ROUNDING_S, Reading, in_order, rising
from caretaker_rules.told import EVER_MS, Told, made_ms

SLACK_MS = ROUNDING_S * 1000
MISSED_HEARTBEATS = PresenceSettings().missed_heartbeats


class What(StrEnum):
    """What a device was."""

    ON = "on"
    PLANNED_OFF = "planned_off"  # off or asleep, with a recorded cause
    OFF = "off"  # off or asleep without one: it crashed, or lost its power
    LOST = "lost"  # should have been heard and was not
    BLIND = "blind"  # nobody could see


class Stretch(Struct, frozen=True, gc=False):
    """One part of a timeline; `until_ms` is not included. `cause` says why it went off (unknown elsewhere)."""

    from_ms: int
    until_ms: int
    what: What
    cause: Cause = Cause.UNKNOWN


_OFF_BY = {cause: What.PLANNED_OFF if cause in PLANNED_CAUSES else What.OFF for cause in Cause}


def timeline(
    readings: Iterable[Reading],
    changes: Iterable[Transition],
    start_ms: int,
    end_ms: int,
    known_until_ms: int,
    sight: Spans,
    heartbeat_s: int = 300,
) -> list[Stretch]:
    """The stretches of [start, min(end, known_until)), without gap or overlap; neighbours differ.

    `readings` and `changes` in any order, repeated or not. Give the last reading before the span and the first one
    after it as well, and of the changes the last one before the span too: it may be lost already when that begins.
    `sight`: when Caretaker could see, sorted and apart. `heartbeat_s`: how often the device reports while it is on.
    To count outages that began earlier, let the span begin at the last reading before the day (see availability.py).
    """
    until_ms = min(end_ms, known_until_ms)
    if until_ms <= start_ms:
        return []
    ordered = in_order(readings)
    chain = rising(ordered)
    told = Told(ordered, chain, changes)
    line = _Line(start_ms, until_ms, told, sight, heartbeat_s * 1000)
    if not chain:
        line.untold(-EVER_MS, until_ms, What.BLIND)
        return line.stretches()
    line.untold(-EVER_MS, chain[0].at_ms, What.BLIND)
    first = max(0, bisect_right(chain, start_ms, key=made_ms) - 1)
    for at in range(first, len(chain) - 1):
        if chain[at].at_ms >= until_ms:
            break
        _between(line, told, chain[at], chain[at + 1])
    line.last_word(chain[-1], until_ms)
    return line.stretches()


class _Line:
    """Writes stretches one after the other, each from where the last one ended: so there is no gap and no overlap."""

    def __init__(self, start_ms: int, until_ms: int, told: Told, sight: Spans, heartbeat_ms: int) -> None:
        self._told = told
        self._sight = sight
        self._heartbeat_ms = heartbeat_ms
        self._at_ms = start_ms
        self._until_ms = until_ms
        self._begun_ms = start_ms
        self._what = What.BLIND
        self._cause = Cause.UNKNOWN
        self._done: list[Stretch] = []

    def stretches(self) -> list[Stretch]:
        """All of them; what nothing was said of is blind."""
        self.to(self._until_ms, What.BLIND)
        return [*self._done, Stretch(self._begun_ms, self._at_ms, self._what, self._cause)]

    def to(self, until_ms: int, what: What, cause: Cause = Cause.UNKNOWN) -> None:
        """It was so up to then; nothing when that lies behind."""
        until_ms = min(until_ms, self._until_ms)
        if until_ms <= self._at_ms:
            return
        if what is not self._what or cause is not self._cause:
            if self._begun_ms < self._at_ms:
                self._done.append(Stretch(self._begun_ms, self._at_ms, self._what, self._cause))
            self._begun_ms, self._what, self._cause = self._at_ms, what, cause
        self._at_ms = until_ms

    def metered(self, until_ms: int) -> None:
        """The meters say that it was on: blind where the collector took it for lost."""
        for begin, end, _ in self._told.concluded:
            if end > self._at_ms and begin < until_ms:
                self.to(begin, What.ON)
                self.to(min(end, until_ms), What.BLIND)
        self.to(until_ms, What.ON)

    def last_word(self, reading: Reading, until_ms: int) -> None:
        """From a reading to a time up to which there is no other that proves anything."""
        if reading.state in AWAY_STATES:
            cause = self._told.cause(reading)
            self.untold(reading.at_ms, until_ms, _OFF_BY[cause], cause)
        else:
            self.untold(reading.at_ms, until_ms, What.ON)

    def untold(self, from_ms: int, until_ms: int, what: What, cause: Cause = Cause.UNKNOWN) -> None:
        """Time without readings, which began so: what the collector concluded decides, then silence."""
        for turn in self._told.turns:
            if from_ms < turn.at_ms < until_ms:
                self._until_turn(from_ms, turn.at_ms, what, cause)
                from_ms = turn.at_ms
                if turn.to_state in AWAY_STATES:
                    what, cause = _OFF_BY[turn.cause], turn.cause
                else:
                    what, cause = What.ON, Cause.UNKNOWN
        self._until_turn(from_ms, until_ms, what, cause)

    def _until_turn(self, from_ms: int, until_ms: int, what: What, cause: Cause) -> None:
        for begin, end, is_lost in self._told.concluded:
            if end <= from_ms or begin >= until_ms:
                continue
            if begin < from_ms and what in (What.PLANNED_OFF, What.OFF):
                continue  # it said goodbye since
            self._not_lost(from_ms, begin, what, cause)
            if is_lost:
                self._lost(max(begin, from_ms), min(end, until_ms))
            else:
                self.to(min(end, until_ms), What.BLIND)
            from_ms = end
            if what is not What.BLIND:
                what, cause = What.ON, Cause.UNKNOWN  # it was found again
        self._not_lost(from_ms, until_ms, what, cause)

    def _not_lost(self, from_ms: int, until_ms: int, what: What, cause: Cause) -> None:
        """What it was goes on; one that was on at `from_ms` has to be heard as long as we can see."""
        if what is not What.ON:
            self.to(until_ms, what, cause)
            return
        patience_ms = self._heartbeat_ms * MISSED_HEARTBEATS
        gone = False
        for begin, end in _within(self._sight, from_ms, until_ms):
            self.to(begin, What.BLIND)
            if not gone:
                patient = What.ON if begin == from_ms else What.BLIND
                gone = end - begin > patience_ms
                self.to(begin + self._heartbeat_ms if gone else end, patient)
            self.to(end, What.LOST)
        self.to(until_ms, What.BLIND)

    def _lost(self, from_ms: int, until_ms: int) -> None:
        for begin, end in _within(self._sight, from_ms, until_ms):
            self.to(begin, What.BLIND)
            self.to(end, What.LOST)
        self.to(until_ms, What.BLIND)


def _between(line: _Line, told: Told, earlier: Reading, later: Reading) -> None:
    """What happened between two neighbours."""
    wall_ms = later.at_ms - earlier.at_ms
    if later.epoch != earlier.epoch:
        line.last_word(earlier, max(earlier.at_ms, later.at_ms - later.metered_s * 1000))
        if later.asleep_s:
            line.to(later.at_ms - (later.in_use_s + later.idle_s) * 1000, What.BLIND)  # nobody knows when it slept
        line.metered(later.at_ms)
        return
    on_ms = (max(0, later.in_use_s - earlier.in_use_s) + max(0, later.idle_s - earlier.idle_s)) * 1000
    asleep_ms = max(0, later.asleep_s - earlier.asleep_s) * 1000
    if later.boot != earlier.boot:
        _over_boot(line, told, earlier, later, min(on_ms, wall_ms))
        return
    if asleep_ms <= SLACK_MS and wall_ms - on_ms <= SLACK_MS:
        line.metered(later.at_ms)
        return
    if wall_ms - on_ms - asleep_ms <= SLACK_MS:  # rounding; or the clock was set back, then the time on counts
        asleep_ms = max(0, wall_ms - on_ms)
    if earlier.state is PowerState.ASLEEP:
        cause = told.cause(earlier)
        line.to(earlier.at_ms + asleep_ms, _OFF_BY[cause], cause)
        line.to(later.at_ms - on_ms, What.BLIND)
        line.metered(later.at_ms)
        return
    turn = told.goodbye_within(earlier.at_ms, later.at_ms) if asleep_ms else None
    cause = Cause.UNKNOWN if turn is None else turn.cause
    line.to(later.at_ms - on_ms - asleep_ms, What.BLIND)
    line.metered(later.at_ms - asleep_ms if turn is None else min(turn.at_ms, later.at_ms - asleep_ms))
    line.to(later.at_ms if turn is None else turn.at_ms + asleep_ms, _OFF_BY[cause], cause)
    line.metered(later.at_ms)


def _over_boot(line: _Line, told: Told, earlier: Reading, later: Reading, on_ms: int) -> None:
    """Between two boots it was off but for `on_ms`: before that when it crashed, after it when it had said goodbye."""
    if earlier.state in AWAY_STATES:
        cause = told.cause(earlier)
    else:
        turn = told.goodbye_within(earlier.at_ms, later.at_ms)
        if turn is None:
            line.metered(earlier.at_ms + on_ms)
            line.to(later.at_ms, What.OFF)
            return
        line.metered(turn.at_ms)
        on_ms = max(0, on_ms - (turn.at_ms - earlier.at_ms))
        cause = turn.cause
    line.to(later.at_ms - on_ms, _OFF_BY[cause], cause)
    line.metered(later.at_ms)


def _within(spans: Spans, from_ms: int, until_ms: int) -> Iterator[Span]:
    """What of them lies within."""
    for begin, end in spans[max(0, bisect_right(spans, (from_ms, EVER_MS)) - 1) :]:
        if begin >= until_ms:
            return
        if end > from_ms:
            yield max(begin, from_ms), min(end, until_ms)
