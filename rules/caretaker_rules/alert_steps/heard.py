"""What each channel has heard of each incident so far, from what was told: the only memory of the telling steps."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct, field

from caretaker_rules.alert_settings import Severity
from caretaker_rules.alerting import Round, Told, What

RANK = {severity.value: rank for rank, severity in enumerate((Severity.INFO, Severity.IMPORTANT, Severity.CRITICAL))}
NEWS = frozenset((What.OPENED, What.REOPENED, What.GROWN, What.REMINDED))
"""What waits for others of its group."""
BEGINNINGS = frozenset((What.OPENED, What.REOPENED))
ONCE_A_RUN = frozenset((What.ESCALATED, What.ANSWER_WARNED, What.ANSWER_LATE, What.WARNED, What.LATE))


class Heard(Struct):
    """What one channel heard of one incident."""

    counts: dict[str, int] = field(default_factory=dict)
    opened: int = 0  # how often it was told that it opened, or reopened
    once: int = 0  # how often of that by an escalation or a clock, at most
    ended: int = 0  # how often it was told that it is over
    since_ms: int = 0  # when it was told of what it knows
    last_ms: int = 0
    rank: int = -1  # of the gravest severity since it began

    @property
    def begun(self) -> int:
        """How often it was told that there is something: of the opening, or by an escalation or a clock alone."""
        return max(self.opened, self.once)

    @property
    def knows(self) -> bool:
        """Whether it believes that this is open."""
        return self.begun > self.ended

    def count(self, what: str) -> int:
        """How often it was told this."""
        return self.counts.get(what, 0)

    def add(self, told: Told) -> None:
        """Note one more."""
        knew = self.knows
        count = self.counts[told.what] = self.counts.get(told.what, 0) + 1
        self.last_ms = max(self.last_ms, told.at_ms)
        if told.what == What.FIXED:
            self.ended += 1
            self.rank = -1
            return
        self.rank = max(self.rank, RANK.get(told.severity, -1))
        if told.what in BEGINNINGS:
            self.opened += 1
        elif told.what in ONCE_A_RUN:
            self.once = max(self.once, count)
        if not knew:
            self.since_ms = told.at_ms


class Memory:
    """All that was told, by incident and channel, and when each group was last told its news."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._heard: dict[str, dict[str, Heard]] = {}
        self.group_ms: dict[tuple[str, str, bool], int] = {}
        self.begun_ms: dict[str, list[int]] = defaultdict(list)
        for each in told:
            self.add(each)

    def add(self, told: Told) -> None:
        """Note one more."""
        self.of(told.uid, told.channel).add(told)
        if told.what in BEGINNINGS:
            self.begun_ms[told.uid].append(told.at_ms)
        if told.what in NEWS or told.what == What.FIXED:
            key = (told.channel, told.severity, told.what == What.FIXED)
            self.group_ms[key] = max(self.group_ms.get(key, 0), told.at_ms)

    def of(self, uid: str, channel: str) -> Heard:
        """What this channel heard of this incident."""
        channels = self._heard.get(uid)
        if channels is None:
            channels = self._heard[uid] = {}
        heard = channels.get(channel)
        if heard is None:
            heard = channels[channel] = Heard()
        return heard

    def knowing(self, uid: str) -> list[str]:
        """Channels that believe that it is open."""
        return [channel for channel, heard in self._heard.get(uid, {}).items() if heard.knows]


def memory_of(look: Round) -> Memory:
    """The memory of this round, made of what was told before it; `tell` adds what it tells."""
    if look.memory is None:
        look.memory = Memory(look.told)
    return look.memory
