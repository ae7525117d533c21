"""Burn rate: is a school using up the outage that its service level allows faster than the month can bear?

A level that promises 99 % of the owed time allows 1 % of it to fail. A burn rate of 1 uses exactly that up in a month.
The known rates of 14.4, 6 and 1 are for a service that runs day and night for 30 days (Google's "The Site Reliability
Workbook", chapter 5). On a school's clock with some 200 hours of service a month, like shares of the month's budget are
used at 4 times over 1 h (2 %), 1.67 over 6 h (5 %) and 1 over 30 h (15 %; the book's is 10), all hours of service.

An alert needs two windows: the long one says that it matters, the short one, a twelfth of it, that it still goes on.

Out of hours of service both windows stand where they were at closing time: what burnt then burns on. What a fault of
several machines has used up is told as that fault, so nothing begins to burn while one is within the long window.
"""

from collections.abc import Sequence

from msgspec import Struct

from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.service import ServiceLevel

HOUR_MS = 3_600_000
SHORT_SHARE = 12
"""The short window is this part of the long one, as in the book."""


class Rate(Struct, frozen=True):
    """How fast is too fast, over how many hours of service."""

    times: float
    over_h: int


RATES = (Rate(4.0, 1), Rate(5 / 3, 6), Rate(1.0, 30))
"""From the fastest to the slowest: the first that burns is the one that is told."""
MOST_BACK_MS = max(rate.over_h for rate in RATES) * HOUR_MS
"""So many hours of service have to be known for all of them."""


class Slice(Struct, frozen=True):
    """Machine time of a school over a stretch of service hours: how much was owed, and how much of it was down.

    `from_ms` and `until_ms` are moments; `service_ms` is how much of the stretch were hours of service. Blind time is
    neither owed nor down here: what nobody saw does not raise an alarm (it has one of its own).
    """

    from_ms: int
    until_ms: int
    service_ms: int
    owed_ms: int
    down_ms: int


class Burn(Struct, frozen=True):
    """What one rate comes to."""

    rate: Rate
    long_times: float  # burn rate over the whole window
    short_times: float
    since_ms: int  # when the oldest slice with an outage in the window began
    from_ms: int = 0  # when the long window began

    @property
    def burning(self) -> bool:
        """Whether both windows burn faster than allowed."""
        bar = self.rate.times * (1 + 1e-9)  # at the bar itself nothing burns, however the division is rounded
        return self.long_times > bar and self.short_times > bar


def burns(slices: Sequence[Slice], target: float) -> list[Burn]:
    """Each rate over the newest hours of service; `slices` in order of time, `target` the level's, such as 0.99.

    A rate whose window is longer than what is known is left out. Empty when nothing may fail or be told (target 1).
    """
    allowed = 1 - target
    if allowed <= 0:
        return []
    known_ms = sum(each.service_ms for each in slices)
    found = []
    for rate in RATES:
        long_ms = rate.over_h * HOUR_MS
        if known_ms < long_ms:
            continue
        window = _newest(slices, long_ms)
        short = _newest(slices, long_ms // SHORT_SHARE)
        hit = [each.from_ms for each in window if each.down_ms]
        found.append(
            Burn(rate, _share(window) / allowed, _share(short) / allowed, min(hit, default=0), window[0].from_ms)
        )
    return found


def burning(
    slices: Sequence[Slice], level: ServiceLevel, subject: Subject, explained_ms: int | None = None
) -> list[Finding]:
    """A finding when some rate burns; at most one, of the fastest.

    `explained_ms` is the newest moment at which a fault of several machines was there; None: it does not matter, such
    as for what is an incident already.
    """
    for burn in burns(slices, level.availability_target):
        if burn.burning and (explained_ms is None or explained_ms < burn.from_ms):
            allowed = (1 - level.availability_target) * burn.long_times
            value = (
                f"{burn.long_times:.1f} times as fast as allowed over {burn.rate.over_h} h of service "
                f"({allowed:.1%} down, {1 - level.availability_target:.1%} allowed)"
            )
            return [Finding(FindingKind.BURNING, subject, burn.since_ms, value)]
    return []


def _newest(slices: Sequence[Slice], service_ms: int) -> list[Slice]:
    """The newest slices with at least so much service between them, the oldest of them cut to fit."""
    found: list[Slice] = []
    for each in reversed(slices):
        if service_ms <= 0:
            break
        if each.service_ms > service_ms:
            share = service_ms / each.service_ms
            owed_ms, down_ms = round(each.owed_ms * share), round(each.down_ms * share)
            each = Slice(each.from_ms, each.until_ms, service_ms, owed_ms, down_ms)
        found.append(each)
        service_ms -= each.service_ms
    return found[::-1]


def _share(slices: Sequence[Slice]) -> float:
    """Part of the owed time that was down."""
    owed_ms = sum(each.owed_ms for each in slices)
    return sum(each.down_ms for each in slices) / owed_ms if owed_ms else 0.0


def sample(before: Sequence[Slice], from_ms: int, until_ms: int, service_ms: int, owed: int, down: int) -> list[Slice]:
    """The slices after one more look: `owed` machines of which `down` were down for the service since the last look.

    Looks within the same five minutes go into one slice, and what no rate needs any more is left out, so a school keeps
    at most 360 of them. Out of service hours nothing is added.
    """
    if service_ms <= 0 or until_ms <= from_ms:
        return list(before)
    slices = list(before)
    owed_ms, down_ms = owed * service_ms, down * service_ms
    last = slices[-1] if slices else None
    if last is not None and last.from_ms // SLICE_MS == from_ms // SLICE_MS:
        slices[-1] = Slice(
            last.from_ms,
            until_ms,
            last.service_ms + service_ms,
            last.owed_ms + owed_ms,
            last.down_ms + down_ms,
        )
    else:
        slices.append(Slice(from_ms, until_ms, service_ms, owed_ms, down_ms))
    kept_ms, first = 0, len(slices)
    while first > 0 and kept_ms < MOST_BACK_MS:
        first -= 1
        kept_ms += slices[first].service_ms
    return slices[first:]


SLICE_MS = 300_000
"""How finely the time behind is kept; the shortest window is five minutes."""
