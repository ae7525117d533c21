"""How long a machine that was left stays on: a survival curve (Kaplan and Meier 1958), and what follows from it.

A spell of being left ends when somebody or something switches the machine off (the event), or when it is used again
first: then all that is known is that it would have stayed on for at least as long (a right-censored spell). The curve
is S(t), the share still on after `t` seconds if nobody comes back. From it:

- the expected time on between `a` and `b` of a machine that was on at `a`: (A(b) - A(a)) / S(a), A being the area
  under S;
- the variance of that time: its second moment is 2 (M(b) - M(a) - a (A(b) - A(a))) / S(a), M being the area under
  t S(t), less the square of the mean.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class Curve:
    """The curve of some spells, given as (seconds on, whether it was switched off then)."""

    def __init__(self, level: str, members: Iterable[tuple[float, bool]]) -> None:
        """`level` says which spells these are. Times are not negative."""
        self.level = level
        known = sorted(members)
        self._on_s = [on_s for on_s, _ in known]
        self.spells = len(known)
        switched: dict[float, int] = {}
        for on_s, event in known:
            if event:
                switched[on_s] = switched.get(on_s, 0) + 1
        # From each time in `_times_s` on, S is the value at the same place in `_shares`.
        self._times_s, self._shares, self._areas, self._moments = [0.0], [1.0], [0.0], [0.0]
        for at_s, number in sorted(switched.items()):
            share = self._shares[-1] * (1 - number / self.at_risk(at_s))
            self._areas.append(self.area_s(at_s))
            self._moments.append(self._moment(at_s))
            self._times_s.append(at_s)
            self._shares.append(share)

    def at_risk(self, elapsed_s: float) -> int:
        """How many spells were still under way after `elapsed_s`: those that stand behind the curve from there on."""
        return self.spells - bisect_left(self._on_s, elapsed_s)

    def share_on(self, elapsed_s: float) -> float:
        """S: share still on just after `elapsed_s`, 0-1."""
        return self._shares[bisect_right(self._times_s, elapsed_s) - 1]

    def area_s(self, elapsed_s: float) -> float:
        """A: expected seconds on within the first `elapsed_s` after it was left."""
        at = bisect_right(self._times_s, elapsed_s) - 1
        return self._areas[at] + self._shares[at] * (elapsed_s - self._times_s[at])

    def _moment(self, elapsed_s: float) -> float:
        """M: the area under t S(t) up to `elapsed_s`."""
        at = bisect_right(self._times_s, elapsed_s) - 1
        return self._moments[at] + self._shares[at] * (elapsed_s**2 - self._times_s[at] ** 2) / 2

    def expected_s(self, from_s: float, until_s: float, on_at_s: float) -> float:
        """Expected seconds on between two times of a machine that was on at `on_at_s`, which is not after them."""
        share = self.share_on(on_at_s)
        if until_s <= from_s or not share:
            return 0.0
        return (self.area_s(until_s) - self.area_s(from_s)) / share

    def variance_s2(self, on_at_s: float, until_s: float) -> float:
        """Variance of the time on between `on_at_s`, when it was on, and `until_s`; in seconds squared."""
        share = self.share_on(on_at_s)
        if until_s <= on_at_s or not share:
            return 0.0
        area = self.area_s(until_s) - self.area_s(on_at_s)
        second = 2 * (self._moment(until_s) - self._moment(on_at_s) - on_at_s * area) / share
        return max(0.0, second - (area / share) ** 2)

    def variance_from_start_s2(self, until_s: float) -> float:
        """The same for a machine that has just been left, before anybody could switch it off."""
        area = self.area_s(until_s)
        return max(0.0, 2 * self._moment(until_s) - area**2)
