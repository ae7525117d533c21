"""Growing waits for those who guess, in memory and bounded.

Nobody is locked out for good: a wait ends by itself, attempts while it runs change nothing, and what was wrong is
forgotten after a while. Somebody who guesses at a colleague's account from elsewhere makes only the unknown wait: an
address from which the account was signed in to before has a count of its own (`SignOn` in signon.py).
"""

from typing import Final

MOST_KEYS: Final = 10_000


class Waits:
    """After `free` failures each further one doubles the wait, from `first_s` up to `longest_s`.

    `forget_s` after the last failure all is forgotten. Beyond MOST_KEYS the key that failed the longest ago goes.
    """

    def __init__(self, free: int, first_s: float = 2.0, longest_s: float = 900.0, forget_s: float = 3600.0) -> None:
        self._free, self._first_s, self._longest_s, self._forget_s = free, first_s, longest_s, forget_s
        self._failed: dict[str, tuple[int, float]] = {}

    def left_s(self, key: str, now_s: float) -> float:
        """For how long this key still has to wait; 0: not at all."""
        failures, last_s = self._failed.get(key, (0, now_s))
        if failures <= self._free:
            return 0.0
        wait_s = min(self._longest_s, self._first_s * 2.0 ** min(failures - self._free - 1, 30))
        return max(0.0, last_s + wait_s - now_s)

    def charge(self, key: str, now_s: float) -> None:
        """One failure. Charge before you check, so that many attempts at once are not all checked."""
        failures, last_s = self._failed.pop(key, (0, now_s))
        if now_s - last_s >= self._forget_s:
            failures = 0
        if len(self._failed) >= MOST_KEYS:
            self._failed.pop(next(iter(self._failed)))
        self._failed[key] = (failures + 1, now_s)

    def refund(self, key: str) -> None:
        """It was no failure after all; what failed before stays."""
        failures, last_s = self._failed.get(key, (0, 0.0))
        if failures > 1:
            self._failed[key] = (failures - 1, last_s)
        else:
            self._failed.pop(key, None)

    def clear(self, key: str) -> None:
        """All is forgiven."""
        self._failed.pop(key, None)

    def clear_from(self, start: str) -> None:
        """All is forgiven of keys that begin so."""
        for key in [key for key in self._failed if key.startswith(start)]:
            del self._failed[key]

    @property
    def size(self) -> int:
        """Keys that are kept."""
        return len(self._failed)
