"""Seconds per state over any span, from meter readings (design, section 1: every device is a meter).

The meters of an epoch only grow, so between two readings each gives an exact amount, whatever was lost in between.
Readings are put in order by epoch and number, never by time; a repeat counts once; so neither order nor repetition
matters (invariant I2). Time serves for one thing only: to say which part of an interval lies within the span.

- Between readings of one boot the machine was on or asleep, and the meters say which. What they do not explain is time
  in which the agent was not running: **blind**. The metered part then lies right before the later reading.
- Between two boots the rest of the wall time is **off**. The metered part lies right after the earlier reading (it ran
  on until it crashed), or right before the later one when the earlier was a goodbye.
- Between two epochs (the agent was reinstalled) the new meters count from zero, and are bounded by the wall time; what
  the old agent did not report any more is **blind**.
- Before the first reading and after the last: **blind**. So give the last reading before the span and the first one
  after it as well.
- Rounding (meters are whole seconds) leaves a few unexplained seconds in a boot; up to `ROUNDING_S` of them count as
  off.

Bad clocks: times must not fall while numbers grow. Of readings that break this, as few as possible are left out (a
longest rising chain is kept), so a machine that starts in 1970 or reports from 2030 for a while costs nothing: the
readings around it hold the amounts. Where less wall time than metered time still lies between two neighbours, the clock
was set back for good; the metered part lies right before the later reading, whose clock was set last. Where this makes
intervals overlap, the parts can exceed the span; they are scaled down to fit, because no day has more seconds than it
has. A clock set forward for good leaves blind time: that hour exists on the wall, and nobody saw it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, timedelta, tzinfo
from itertools import pairwise
from statistics import median_low

from msgspec import Struct

from caretaker_contract.messages import PowerState
from caretaker_rules.calendar import midnight_ms
from caretaker_rules.model import DeviceClass
from caretaker_rules.presence import AWAY_STATES

ROUNDING_S = 5
"""Unexplained seconds of one boot within the span that are taken for rounding."""


class Reading(Struct, frozen=True, order=True, gc=False):
    """The meters of a device at one numbered report. `at_ms` is the device's time."""

    epoch: str
    boot: int
    seq: int
    at_ms: int
    state: PowerState
    in_use_s: int
    idle_s: int
    asleep_s: int

    @property
    def metered_s(self) -> int:
        """All that the meters have counted since the epoch began."""
        return self.in_use_s + self.idle_s + self.asleep_s


class Totals(Struct, frozen=True):
    """Whole seconds per state; their sum is the length of the span."""

    in_use_s: int = 0
    idle_s: int = 0
    asleep_s: int = 0
    off_s: int = 0
    blind_s: int = 0
    boots: int = 0  # times it was started within the span


class DeviceDay(Struct, frozen=True):
    """The totals of one local day, which may have 23 or 25 hours."""

    day: date
    start_ms: int
    end_ms: int
    totals: Totals


class _Sum:
    """Milliseconds within one span, before rounding."""

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.metered_ms = [0.0, 0.0, 0.0]  # in use, idle, asleep
        self.off_ms = 0.0
        self.blind_ms = 0.0
        self.boots = 0

    def within(self, from_ms: float, to_ms: float) -> float:
        """How much of an interval lies in the span."""
        return max(0.0, min(to_ms, self.end_ms) - max(from_ms, self.start_ms))

    def meter(self, amounts_s: Sequence[int], from_ms: float, to_ms: float) -> float:
        """Spread metered seconds evenly over an interval; returns the milliseconds of them within the span."""
        length_ms = to_ms - from_ms
        if length_ms <= 0:
            return 0.0
        ratio = self.within(from_ms, to_ms) / length_ms
        inside_ms = 0.0
        for index, amount_s in enumerate(amounts_s):
            self.metered_ms[index] += amount_s * 1000 * ratio
            inside_ms += amount_s * 1000 * ratio
        return inside_ms


def totals(readings: Iterable[Reading], start_ms: int, end_ms: int) -> Totals:
    """Seconds per state in start <= time < end, from readings in any order, repeated or not."""
    return totals_of(rising(in_order(readings)), start_ms, end_ms)


def totals_of(ordered: Sequence[Reading], start_ms: int, end_ms: int) -> Totals:
    """The same from readings that are a rising chain already, such as a part of one."""
    if end_ms <= start_ms:
        return Totals()
    result = _Sum(start_ms, end_ms)
    if not ordered:
        result.blind_ms = end_ms - start_ms
        return _rounded(result)
    if ordered[0].seq == 1 and start_ms <= ordered[0].at_ms < end_ms:
        result.boots += 1
    unexplained_ms = 0.0  # of the boot that is being walked through
    for earlier, later in pairwise(ordered):
        if later.epoch != earlier.epoch or later.boot != earlier.boot:
            _explain(result, unexplained_ms)
            unexplained_ms = 0.0
            if start_ms <= later.at_ms < end_ms:
                result.boots += later.boot - earlier.boot if later.epoch == earlier.epoch else 1
        unexplained_ms += _interval(result, earlier, later)
    _explain(result, unexplained_ms)
    result.blind_ms += result.within(start_ms, ordered[0].at_ms) + result.within(ordered[-1].at_ms, end_ms)
    return _rounded(result)


def device_days(readings: Iterable[Reading], zone: tzinfo, days: Iterable[date]) -> list[DeviceDay]:
    """The totals of each of `days` in local time; give the readings next to them on both sides as well."""
    known = list(readings)
    result = []
    for day in days:
        start_ms, end_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
        result.append(DeviceDay(day, start_ms, end_ms, totals(known, start_ms, end_ms)))
    return result


def energy_wh(spent: Totals, device_class: DeviceClass) -> float:
    """Watt-hours by the watts of its class in each state. Blind time is left out: nobody knows what it was."""
    return (
        spent.in_use_s * device_class.watts_in_use
        + spent.idle_s * device_class.watts_idle
        + spent.asleep_s * device_class.watts_asleep
        + spent.off_s * device_class.watts_off
    ) / 3600


def in_order(readings: Iterable[Reading]) -> list[Reading]:
    """Each number once, by epoch and number. Epochs follow each other by the middle one of the times in each."""
    once: dict[tuple[str, int, int], Reading] = {}
    for reading in readings:
        key = (reading.epoch, reading.boot, reading.seq)
        known = once.get(key)
        if known is None or reading < known:  # two different readings with one number: always the same one of them
            once[key] = reading
    ordered = sorted(once.values())
    if not ordered or ordered[0].epoch == ordered[-1].epoch:
        return ordered
    times_ms: dict[str, list[int]] = {}
    for reading in ordered:
        times_ms.setdefault(reading.epoch, []).append(reading.at_ms)
    middle_ms = {epoch: median_low(times) for epoch, times in times_ms.items()}
    return sorted(ordered, key=lambda r: (middle_ms[r.epoch], r.epoch, r.boot, r.seq))


def rising(ordered: list[Reading]) -> list[Reading]:
    """A longest chain of readings whose times do not fall (by patience sorting)."""
    if all(earlier.at_ms <= later.at_ms for earlier, later in pairwise(ordered)):
        return ordered
    tails_ms: list[int] = []
    tails: list[int] = []
    before: list[int | None] = []
    for index, reading in enumerate(ordered):
        place = bisect_right(tails_ms, reading.at_ms)
        before.append(tails[place - 1] if place else None)
        tails_ms[place : place + 1] = [reading.at_ms]
        tails[place : place + 1] = [index]
    chain: list[Reading] = []
    at: int | None = tails[-1]
    while at is not None:
        chain.append(ordered[at])
        at = before[at]
    return chain[::-1]


def _interval(result: _Sum, earlier: Reading, later: Reading) -> float:
    """Add what happened between two neighbours; returns milliseconds that a boot's meters leave unexplained."""
    wall_ms = later.at_ms - earlier.at_ms
    if later.epoch != earlier.epoch:
        grown_s = (later.in_use_s, later.idle_s, later.asleep_s)
        grown_ms = sum(grown_s) * 1000
        if grown_ms > wall_ms:  # more than the time there was: the meters are older than the old agent's last word
            ratio = max(0, wall_ms) / grown_ms
            grown_s = (int(grown_s[0] * ratio), int(grown_s[1] * ratio), int(grown_s[2] * ratio))
            grown_ms = sum(grown_s) * 1000
        inside_ms = result.meter(grown_s, later.at_ms - grown_ms, later.at_ms)
        result.blind_ms += result.within(earlier.at_ms, later.at_ms) - inside_ms
        return 0.0
    grown_s = (
        max(0, later.in_use_s - earlier.in_use_s),
        max(0, later.idle_s - earlier.idle_s),
        max(0, later.asleep_s - earlier.asleep_s),
    )
    grown_ms = sum(grown_s) * 1000
    if grown_ms > wall_ms + ROUNDING_S * 1000:  # the clock was set back
        result.meter(grown_s, later.at_ms - grown_ms, later.at_ms)
        return 0.0
    if later.boot == earlier.boot:
        from_ms = earlier.at_ms if wall_ms <= grown_ms + ROUNDING_S * 1000 else later.at_ms - grown_ms
        inside_ms = result.meter(grown_s, from_ms, max(later.at_ms, from_ms + 1))
        return result.within(earlier.at_ms, later.at_ms) - inside_ms
    from_ms = later.at_ms - grown_ms if earlier.state in AWAY_STATES else earlier.at_ms
    inside_ms = result.meter(grown_s, from_ms, from_ms + grown_ms)
    result.off_ms += max(0.0, result.within(earlier.at_ms, later.at_ms) - inside_ms)
    return 0.0


def _explain(result: _Sum, unexplained_ms: float) -> None:
    """Time of one boot that its meters do not account for: rounding, or an agent that was not running."""
    if unexplained_ms <= ROUNDING_S * 1000:
        result.off_ms += unexplained_ms  # may be a little below zero: the other half of the same rounding
    else:
        result.blind_ms += unexplained_ms


def _rounded(result: _Sum) -> Totals:
    """Whole seconds whose sum is the length of the span, none below zero."""
    span_ms = result.end_ms - result.start_ms
    parts_ms = [*result.metered_ms, max(0.0, result.off_ms), max(0.0, result.blind_ms)]
    total_ms = sum(parts_ms)
    missing_ms = span_ms - total_ms
    if missing_ms < 0:  # clocks set back, or rounding
        parts_ms = [part * span_ms / total_ms for part in parts_ms]
    else:
        parts_ms[3 if missing_ms <= ROUNDING_S * 1000 else 4] += missing_ms
    ends, running_ms = [], 0.0
    for part in parts_ms:
        running_ms += part
        ends.append(min(round(running_ms / 1000), span_ms // 1000))
    ends[-1] = span_ms // 1000
    in_use_s, idle_s, asleep_s, off_s, blind_s = (end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True))
    return Totals(in_use_s, idle_s, asleep_s, off_s, blind_s, result.boots)
