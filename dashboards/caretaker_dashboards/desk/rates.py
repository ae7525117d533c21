"""How often somebody may ask: so many at once and so many a second, for each key, in bounded memory."""

import ipaddress
from typing import Final

MOST_KEYS: Final = 10_000


class Buckets:
    """So many at once and so many a second, for each key. Keys beyond MOST_KEYS push out the one unused the longest."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key: str, now_s: float, cost: float = 1.0) -> float:
        """0 when it may be, else after how many seconds it may. `now_s`: a clock that only grows."""
        left, at_s = self._left.pop(key, (self._burst, now_s))
        left = min(self._burst, left + max(0.0, now_s - at_s) * self._per_second)
        wait_s = 0.0 if left >= 1.0 else (1.0 - left) / self._per_second
        if len(self._left) >= MOST_KEYS:
            self._left.pop(next(iter(self._left)))  # the one that was used the longest ago
        self._left[key] = (left - cost if not wait_s else left, now_s)
        return wait_s


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network that one house has (/64). What is none stays as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # no address, such as of a local socket: they all count as one
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)
