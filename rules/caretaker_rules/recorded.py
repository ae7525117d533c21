"""What was recorded of one machine, kept small, and its idle times as a policy can be tried on them.

Only what a trial needs is kept: the first report of each time in use, off or asleep, and every report of an idle time.
A recorded idle time ends with the next report that says otherwise. It also ends with the last report before a silence
(longer than `SILENT_HEARTBEATS`), a new boot or the end of the record: what nobody saw is no idle time.
"""

from array import array
from bisect import bisect_right

from msgspec import Struct

from caretaker_contract.messages import POWER_VERBS, Cause, Gauges, Meters, PowerState, Report, Verb
from caretaker_rules import tracking
from caretaker_rules.model import Presence, Tracked
from caretaker_rules.presence import AWAY_STATES, PresenceSettings

SILENT_HEARTBEATS = 2.5
"""Heartbeats that may be missing before a silence is a gap in the record: as presence and the doubt guard count."""
ASSUMED_ABILITIES = (*sorted(POWER_VERBS), Verb.WARN)
"""What a machine is taken to obey when its hello is not known: all that a rule can ask."""

_SETTINGS = PresenceSettings()
_NO_METERS = Meters(in_use_s=0, idle_s=0, asleep_s=0)
_STATES = tuple(PowerState)
_NUMBERS = {state: number for number, state in enumerate(_STATES)}
_IDLE, _IN_USE = PowerState.IDLE, PowerState.IN_USE
_UNTOLD = -1


class IdleTime(Struct, gc=False):
    """One recorded idle time. `first` and `last` number its reports in the recording."""

    first: int
    last: int
    from_ms: int
    until_ms: int = 0
    used_ms: int | None = None  # when somebody used the machine, if that is how it ended
    by_rule: bool = False  # it ended because a rule switched the machine off: what would have come after is not known


class Recording:
    """The reports of one machine, added in order of time."""

    def __init__(self, heartbeat_s: int = 300, abilities: tuple[Verb, ...] = ASSUMED_ABILITIES) -> None:
        self.idle_times: list[IdleTime] = []
        self._base = Tracked(Presence(heartbeat_s=heartbeat_s), None, abilities)
        self._silent_ms = int(SILENT_HEARTBEATS * heartbeat_s * 1000)
        self._open: IdleTime | None = None
        self._boots: list[tuple[str, int]] = []  # epoch and boot, in the order in which they come
        self._at_ms, self._seq = array("q"), array("q")
        self._idle_s, self._uptime_s, self._skew_ms = array("q"), array("q"), array("q")
        self._boot, self._state = array("L"), array("B")  # numbers of `_boots` and of `_STATES`
        self._last: tuple[PowerState, str, int, int] = (PowerState.UNKNOWN, "", 0, 0)  # the newest of all reports

    def add(
        self,
        at_ms: int,
        state: PowerState,
        epoch: str,
        boot: int,
        seq: int,
        idle_s: int | None = None,
        uptime_s: int | None = None,
        skew_ms: int = 0,
        by_rule: bool = False,
    ) -> None:
        """The next report. `by_rule`: it says that the machine leaves because a rule asked it to."""
        last_state, last_epoch, last_boot, last_ms = self._last
        self._last = state, epoch, boot, at_ms
        same = boot == last_boot and epoch == last_epoch
        if not same:
            self._boots.append((epoch, boot))
        idle = self._open
        if idle is None:
            if same and state is last_state:
                return  # in use, off or asleep as before
        elif not same or at_ms - last_ms > self._silent_ms:
            self._close(last_ms, at_ms if same and state is _IN_USE else None)
        elif state is _IDLE:
            idle.last += 1
        else:
            self._close(at_ms, at_ms if state is _IN_USE else None, by_rule)
        self._at_ms.append(at_ms)
        self._seq.append(seq)
        self._idle_s.append(_UNTOLD if idle_s is None else idle_s)
        self._uptime_s.append(_UNTOLD if uptime_s is None else uptime_s)
        self._skew_ms.append(skew_ms)
        self._boot.append(len(self._boots) - 1)
        self._state.append(_NUMBERS[state])
        if state is _IDLE and self._open is None:
            index = len(self._at_ms) - 1
            self._open = IdleTime(index, index, at_ms)
            self.idle_times.append(self._open)

    def end(self) -> None:
        """The record ends: an idle time under way ends with its last report."""
        if self._open is not None:
            self._close(self._last[3], None)

    def _close(self, until_ms: int, used_ms: int | None, by_rule: bool = False) -> None:
        assert self._open is not None
        self._open.until_ms, self._open.used_ms, self._open.by_rule = until_ms, used_ms, by_rule
        self._open = None

    def report_at(self, idle: IdleTime, now_ms: int) -> int:
        """The newest report of an idle time up to `now_ms`, by its number; its first when there is none yet."""
        return max(idle.first, bisect_right(self._at_ms, now_ms, idle.first, idle.last + 1) - 1)

    def next_report_ms(self, idle: IdleTime, index: int) -> int | None:
        """When the report after `index` comes; None: the idle time is over before."""
        return self._at_ms[index + 1] if index < idle.last else None

    def trusted_ms(self, idle: IdleTime, index: int, limit_ms: int) -> int | None:
        """When the next report comes whose clock is right to within `limit_ms`; None: the idle time is over before."""
        for later in range(index + 1, idle.last + 1):
            if abs(self._skew_ms[later]) <= limit_ms:
                return self._at_ms[later]
        return None

    def reaches_ms(self, index: int, idle_s: int) -> int:
        """When the machine will have been idle for `idle_s` by its report `index`; not too late, at the earliest."""
        told_s = max(0, self._idle_s[index])
        return self._at_ms[index] + max(0, self._skew_ms[index]) + max(0, idle_s - told_s) * 1000

    def tracked(self, idle: IdleTime, now_ms: int) -> Tracked:
        """What a collector would know at `now_ms`: by `tracking.track`, from the reports that can make a difference.

        Those are the change to idle, the state before it, and the newest report: heartbeats between them leave no
        trace. A machine that comes from off or asleep counts as connected at its first report.
        """
        newest = self.report_at(idle, now_ms)
        tracked = self._base
        before = idle.first - 1
        if (
            before >= 0
            and self._boot[before] == self._boot[idle.first]
            and _STATES[self._state[before]] not in AWAY_STATES
        ):
            tracked = self._track(tracked, before)
        tracked = self._track(tracked, idle.first)
        if newest != idle.first:
            tracked = self._track(tracked, newest)
        return tracking.tick(tracked, now_ms, _SETTINGS)[0]

    def _track(self, tracked: Tracked, index: int) -> Tracked:
        at_ms, state = self._at_ms[index], _STATES[self._state[index]]
        if index and self._boot[index - 1] == self._boot[index]:
            was = _STATES[self._state[index - 1]]
        else:
            was = state if index == 0 else PowerState.OFF
        epoch, boot = self._boots[self._boot[index]]
        report = Report(
            epoch=epoch,
            boot=boot,
            seq=self._seq[index],
            prev=0,
            at_ms=at_ms,
            sent_ms=at_ms,
            state=state,
            was=was,
            cause=Cause.HEARTBEAT if state is was else Cause.UNKNOWN,
            meters=_NO_METERS,
            gauges=Gauges(
                idle_s=None if self._idle_s[index] == _UNTOLD else self._idle_s[index],
                uptime_s=None if self._uptime_s[index] == _UNTOLD else self._uptime_s[index],
            ),
        )
        return tracking.track(tracked, report, at_ms + self._skew_ms[index], _SETTINGS)[0]
