"""What each channel has heard of each incident so far, from what was told: the only memory of the telling steps."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct

from caretaker_rules.alert_settings import Severity
from caretaker_rules.alerting import Told, What

RANK = {severity.value: rank for rank, severity in enumerate((Severity.INFO, Severity.IMPORTANT, Severity.CRITICAL))}
NEWS = (What.OPENED, What.REOPENED, What.GROWN, What.REMINDED)
"""What waits for others of its group."""
_ONCE_A_RUN = (What.ESCALATED, What.ANSWER_WARNED, What.ANSWER_LATE, What.WARNED, What.LATE)


class Heard(Struct):
    """What one channel heard of one incident."""

    counts: Counter[str]
    last_ms: int = 0
    rank: int = -1  # of the gravest severity since it began

    @property
    def ended(self) -> int:
        """How often it was told that it is over."""
        return self.counts[What.FIXED]

    @property
    def begun(self) -> int:
        """How often it was told that there is something: of the opening, or by an escalation alone."""
        opened = self.counts[What.OPENED] + self.counts[What.REOPENED]
        return max(opened, *(self.counts[what] for what in _ONCE_A_RUN))

    @property
    def knows(self) -> bool:
        """Whether it believes that this is open."""
        return self.begun > self.ended


class Memory:
    """All that was told, by incident and channel, and when each group was last told its news."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._heard: dict[str, dict[str, Heard]] = defaultdict(dict)
        self.group_ms: dict[tuple[str, str, bool], int] = {}
        self.begun_ms: dict[str, list[int]] = defaultdict(list)
        for each in told:
            self.add(each)

    def add(self, told: Told) -> None:
        """Note one more."""
        heard = self.of(told.uid, told.channel)
        heard.counts[told.what] += 1
        heard.last_ms = max(heard.last_ms, told.at_ms)
        heard.rank = -1 if told.what == What.FIXED else max(heard.rank, RANK.get(told.severity, -1))
        if told.what in (What.OPENED, What.REOPENED):
            self.begun_ms[told.uid].append(told.at_ms)
        if told.what in NEWS or told.what == What.FIXED:
            key = (told.channel, told.severity, told.what == What.FIXED)
            self.group_ms[key] = max(self.group_ms.get(key, 0), told.at_ms)

    def of(self, uid: str, channel: str) -> Heard:
        """What this channel heard of this incident."""
        channels = self._heard[uid]
        if channel not in channels:
            channels[channel] = Heard(Counter())
        return channels[channel]

    def knowing(self, uid: str) -> list[str]:
        """Channels that believe that it is open."""
        return [channel for channel, heard in self._heard.get(uid, {}).items() if heard.knows]
