"""A policy tried on what was recorded: whom it would have switched, what that would have saved, whom it would have met.

**Decisions are the live ones.** `energy.judge` and `limits.apply` decide on Snapshots, at the ticks of the live rules
loop. To be quick, a tick is only looked at when a decision can have changed: each decision to leave a machine on names
its reasons, and each reason says when it can be over at the earliest (`Replay._over_ms`). A reason that is not known
here is asked again at the machine's next report.

**What is approximated:**
- A report counts as arrived when it was made; broken connections, inhibitors and wakes in vain are not in the record.
- What is switched stays off until somebody uses it again in the record; one machine is asked once in an idle time.
- The policy is tried as if it were live everywhere, without stop switches or doubt about the school as a whole.
- Caps count by the same code, but only over machines that a tick looks at, and free places are sought when the oldest
  ask leaves the window; so a machine that waits for a cap may come some ticks later than live.

**Bounds of what is avoided**, from the moment the warning is over:
- high: the recorded idle time that is left, to the next use, as far as it lies within the hours of rules that select
  the machine, at the watts of the class. (Between them, somebody or a wake rule may have switched it on again.)
- mid: the same less one start, where the machine was used again (`START_S` at the watts in use).
- low: `LOW_RATIO` of mid, for classes whose machines draw less than the figure of the class.
Never more than the recorded idle time: what a machine that a rule had switched off would have done is not known.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from heapq import heappop, heappush

from msgspec import Struct, structs

from caretaker_contract.messages import Step, Verb
from caretaker_contract.topics import Address
from caretaker_rules import energy, limits
from caretaker_rules.calendar import Booked, local, zone_of
from caretaker_rules.decisions import Decision, Snapshot
from caretaker_rules.guards import COMMAND_LIFE_S, SchoolNow
from caretaker_rules.model import Asked, Device, DeviceClass, Hold, School, Tracked
from caretaker_rules.policy import Action, Mode, Policy, Rule
from caretaker_rules.reasons import Why
from caretaker_rules.recorded import IdleTime, Recording
from caretaker_rules.rule_hours import RuleHours
from caretaker_rules.timetable import NO_TIMETABLE, Timetable

CUT_OFF_S = 900
"""A machine that is used again so soon after it went off: somebody's session was cut off."""
START_S = 120
"""Seconds at the watts in use that a start costs. An assumption, to be put right by a measured start."""
LOW_RATIO = 0.38
"""34 W of 90 W: the least against the median of desktops measured with plugs (tracebase data set, 2011-12)."""
MINUTE_MS = 60_000
HOUR_MS = 3_600_000

_LASTING = frozenset(
    {
        Why.NO_RULE,
        Why.EXEMPT,
        Why.ALWAYS_ON,
        Why.UNKNOWN_CLASS,
        Why.NOT_WAKEABLE,
        Why.UNABLE,
        Why.UNREGISTERED,
        Why.ASKED_ONCE,
    }
)
"""Reasons that outlast an idle time."""
_LIMITS = frozenset({Why.LIMIT_PER_MINUTE, Why.LIMIT_ROOM, Why.LIMIT_SCHOOL})
_NEVER_HEARD = Tracked()


class Switched(Struct, frozen=True, kw_only=True):
    """One machine that the policy would have asked. Energy is in watt-hours."""

    device: Address
    room: str
    rule: str
    action: Action
    at_ms: int  # when it would have been asked
    off_ms: int  # when the warning would have been over
    idle_until_ms: int  # when the recorded idle time ended
    used_ms: int | None  # when somebody used it next, if that ended the idle time
    by_rule: bool  # in the record a rule ended this idle time
    avoided_s: float = 0.0  # recorded idle time within rules' hours in which it would have been off or asleep
    high_wh: float = 0.0
    mid_wh: float = 0.0
    low_wh: float = 0.0

    @property
    def vetoed(self) -> bool:
        """Somebody came back within the warning, and would have had to say no."""
        return self.used_ms is not None and self.used_ms <= self.off_ms

    @property
    def done(self) -> bool:
        """It would have been switched."""
        return self.action is not Action.WARN_ONLY and not self.vetoed and self.idle_until_ms > self.off_ms

    @property
    def cut_off(self) -> bool:
        """It was used again so soon that somebody's session would have been cut off."""
        return self.done and self.used_ms is not None and self.used_ms - self.off_ms <= CUT_OFF_S * 1000


class Totals(Struct, kw_only=True):
    """Figures of some machines: of a rule and room, or of all."""

    asked: int = 0
    switched: int = 0
    vetoed: int = 0
    cut_off: int = 0
    by_rule: int = 0  # idle times that a rule had ended in the record, so that they count for little
    avoided_h: float = 0.0
    low_kwh: float = 0.0
    mid_kwh: float = 0.0
    high_kwh: float = 0.0

    def add(self, item: Switched) -> None:
        """Count one more."""
        self.asked += 1
        self.switched += item.done
        self.vetoed += item.vetoed
        self.cut_off += item.cut_off
        self.by_rule += item.by_rule
        self.avoided_h += item.avoided_s / 3600
        self.low_kwh += item.low_wh / 1000
        self.mid_kwh += item.mid_wh / 1000
        self.high_kwh += item.high_wh / 1000


def total(items: Iterable[Switched]) -> Totals:
    """The figures of all."""
    result = Totals()
    for item in items:
        result.add(item)
    return result


def by_rule_and_room(items: Iterable[Switched]) -> dict[tuple[str, str], Totals]:
    """The figures of each (rule, school/room), in order of both."""
    rows: dict[tuple[str, str], Totals] = {}
    for item in items:
        rows.setdefault((item.rule, f"{item.device.school}/{item.room}"), Totals()).add(item)
    return dict(sorted(rows.items()))


def idle_s(recordings: Iterable[Recording], from_ms: int, until_ms: int) -> float:
    """All recorded idle seconds in a span: no figure of a trial can be more."""
    return sum(
        max(0, min(idle.until_ms, until_ms) - max(idle.from_ms, from_ms)) / 1000
        for recording in recordings
        for idle in recording.idle_times
    )


class _Machine:
    """A machine on its way through its idle times."""

    def __init__(self, device: Device, recording: Recording, rules: list[Rule]) -> None:
        self.device = device
        self.recording = recording
        self.rules = rules  # those that select it
        self.least_idle_s = min(rule.idle_for_s for rule in rules)
        self.at = -1
        self.idle: IdleTime | None = None


class Replay:
    """One school's record under one policy."""

    def __init__(
        self,
        *,
        school: School,
        classes: Mapping[str, DeviceClass],
        devices: Sequence[Device],
        recordings: Mapping[Address, Recording],
        policy: Policy,
        from_ms: int,
        until_ms: int,
        holds: Sequence[Hold] = (),
        timetable: Timetable = NO_TIMETABLE,
        tick_ms: int = 30_000,
    ) -> None:
        self._school = school
        self._classes = classes
        self._policy = structs.replace(policy, mode=Mode.LIVE)
        self._from_ms, self._until_ms, self._tick_ms = from_ms, until_ms, tick_ms
        self._holds = [hold for hold in holds if hold.school == school.name]
        self._timetable = timetable
        self._hours = RuleHours(school, policy, from_ms, until_ms, timetable)
        self._rules = {rule.name: rule for rule in policy.rules}
        self._everybody = [(device, _NEVER_HEARD) for device in devices]
        self._machines: list[_Machine] = []
        for device in devices:
            rules = [rule for rule in policy.rules if rule.selects(device, school)]
            if device.address in recordings and rules:
                self._machines.append(_Machine(device, recordings[device.address], rules))
        self._asked: dict[Address, Asked] = {}
        self._sends: deque[tuple[int, str]] = deque()
        self._today, self._cycles = date.min, dict[Address, int]()
        self._due: list[tuple[int, int]] = []
        self.found: list[Switched] = []
        self.decided = 0
        """How many decisions were made."""

    def run(self, progress: Callable[[int], None] | None = None) -> list[Switched]:
        """Whom the policy would have asked, in order of time. `progress` is told how far it has come (UTC ms)."""
        for number, machine in enumerate(self._machines):
            self._next_idle_time(number, machine)
        while self._due:
            now_ms = self._due[0][0]
            numbers = []
            while self._due and self._due[0][0] == now_ms:
                numbers.append(heappop(self._due)[1])
            self._tick(now_ms, numbers)
            if progress is not None:
                progress(now_ms)
        return self.found

    # -- when to look --------------------------------------------------------------------------------------------------

    def _next_idle_time(self, number: int, machine: _Machine) -> None:
        """Go on to the next idle time in which any rule could act, and plan the first look at it."""
        idle_times = machine.recording.idle_times
        while machine.at + 1 < len(idle_times):
            machine.at += 1
            machine.idle = idle_times[machine.at]
            earliest_ms = machine.recording.reaches_ms(machine.idle.first, machine.least_idle_s)
            if self._plan(number, machine, earliest_ms):
                return

    def _plan(self, number: int, machine: _Machine, at_ms: int) -> bool:
        """Look at the first tick from `at_ms` on within rules' hours; False when the idle time is over by then."""
        assert machine.idle is not None
        open_ms = self._hours.next_open_ms(machine.rules, max(at_ms, self._from_ms))
        if open_ms is None:
            return False
        tick_ms = self._from_ms + -(-(open_ms - self._from_ms) // self._tick_ms) * self._tick_ms
        if tick_ms >= min(machine.idle.until_ms, self._until_ms):
            return False
        heappush(self._due, (tick_ms, number))
        return True

    def _tick(self, now_ms: int, numbers: list[int]) -> None:
        """Decide about these machines as the live loop does, and plan when to look at each again."""
        machines = [self._machines[number] for number in numbers]
        known: list[tuple[Device, Tracked]] = []
        for machine in machines:
            assert machine.idle is not None
            known.append((machine.device, machine.recording.tracked(machine.idle, now_ms)))
        while self._sends and self._sends[0][0] <= now_ms - HOUR_MS:
            self._sends.popleft()
        snapshot = Snapshot(
            school=self._school,
            classes=self._classes,
            machines=known,
            asked=self._asked,
            holds=self._holds,
            stops=(),
            behind_s=0.0,
            recent_sends_ms=self._sends,
            timetable=self._timetable,
            cycles=self._cycles_of(now_ms),
        )
        decisions = energy.judge(snapshot, self._policy, now_ms)
        self.decided += len(decisions)
        if any(decision.acts for decision in decisions):
            # The caps are shares of all machines, so all are counted; what state they are in is not asked here.
            snapshot = structs.replace(snapshot, machines=self._everybody)
            decisions = limits.apply(decisions, snapshot, self._policy, now_ms)
        # In the order in which limits let machines through, so that each waits for a place of its own.
        queue: dict[str | None, int] = dict.fromkeys((None, *(machine.device.room for machine in machines)), 0)
        order = sorted(range(len(machines)), key=lambda i: (-decisions[i].idle_s, decisions[i].device))
        for number, machine, decision in ((numbers[i], machines[i], decisions[i]) for i in order):
            if decision.acts:
                self._ask(machine, decision)
            else:
                again_ms = self._again_ms(machine, decision, now_ms, queue)
                if again_ms is not None and self._plan(number, machine, max(again_ms, now_ms + self._tick_ms)):
                    continue
            self._next_idle_time(number, machine)

    def _cycles_of(self, now_ms: int) -> dict[Address, int]:
        """How often each machine was switched in this local day; a new day begins with none."""
        today = local(now_ms, zone_of(self._school.time_zone)).date()
        if today != self._today:
            self._today, self._cycles = today, {}
        return self._cycles

    def _again_ms(self, machine: _Machine, decision: Decision, now_ms: int, queue: dict[str | None, int]) -> int | None:
        """When every reason against can be over at the earliest; None: not in this idle time.

        `queue` counts the machines of each room (None: of the school) that wait for a place at this tick.
        """
        latest_ms = now_ms
        for reason in decision.reasons:
            if reason.why in _LASTING:
                return None
            over_ms = self._over_ms(machine, decision, reason.why, now_ms, queue)
            if over_ms is None:
                return None
            latest_ms = max(latest_ms, over_ms)
        if any(reason.why in _LIMITS for reason in decision.reasons):
            queue[None] += 1
            queue[machine.device.room] += 1
        return latest_ms

    def _over_ms(
        self, machine: _Machine, decision: Decision, why: Why, now_ms: int, queue: dict[str | None, int]
    ) -> int | None:
        """When one reason can be over at the earliest; None: not in this idle time."""
        recording, idle, policy = machine.recording, machine.idle, self._policy
        assert idle is not None
        index = recording.report_at(idle, now_ms)
        if why in _SPEAKS_FOR:
            return now_ms
        if why is Why.NOT_IDLE_LONG_ENOUGH:
            return recording.reaches_ms(index, self._rules[decision.rule].idle_for_s)
        if why is Why.OUTSIDE_RULE_HOURS:
            return self._hours.next_open_ms(machine.rules, now_ms + 1)
        if why is Why.BOOKED:
            rule = self._rules[decision.rule]
            lead_s = max(policy.booked_within_s, rule.warn_s + COMMAND_LIFE_S)
            found = SchoolNow(self._school, policy, now_ms, (), 0.0, self._timetable).booking(
                machine.device.room, lead_s
            )
            return found.until_ms if isinstance(found, Booked) else now_ms + self._tick_ms
        if why in (Why.HELD, Why.FROZEN, Why.MAINTENANCE):
            ends_ms = [hold.until_ms for hold in (*self._holds, *self._timetable.freezes) if hold.until_ms > now_ms]
            return min(ends_ms, default=now_ms)
        if why is Why.RECENT_VETO:
            return self._asked[machine.device.address].step_ms + policy.veto_wait_s * 1000
        if why is Why.LIMIT_PER_MINUTE:
            return self._leaves_ms(now_ms, MINUTE_MS, None, queue)
        if why is Why.LIMIT_SCHOOL:
            return self._leaves_ms(now_ms, policy.at_once_s * 1000, None, queue)
        if why is Why.LIMIT_ROOM:
            return self._leaves_ms(now_ms, policy.at_once_s * 1000, machine.device.room, queue)
        if why is Why.CLOCK_DOUBTFUL:
            return recording.trusted_ms(idle, index, policy.clock_skew_s * 1000)
        return recording.next_report_ms(idle, index)

    def _leaves_ms(self, now_ms: int, window_ms: int, room: str | None, queue: dict[str | None, int]) -> int:
        """When an ask leaves a window and makes a place free, for the next one of those that wait."""
        asks = sorted(at_ms for at_ms, where in self._sends if now_ms - at_ms < window_ms and room in (None, where))
        if not asks:
            return now_ms
        rounds, place = divmod(queue[room], len(asks))
        return asks[place] + (1 + rounds) * window_ms

    # -- what comes of it ----------------------------------------------------------------------------------------------

    def _ask(self, machine: _Machine, decision: Decision) -> None:
        """Note a machine that is asked, what would have come of it, and what it would have saved."""
        device, idle = machine.device, machine.idle
        assert idle is not None
        rule = self._rules[decision.rule]
        off_ms = decision.at_ms + rule.warn_s * 1000
        until_ms = min(idle.until_ms, self._until_ms)
        item = Switched(
            device=device.address,
            room=device.room,
            rule=rule.name,
            action=rule.action,
            at_ms=decision.at_ms,
            off_ms=off_ms,
            idle_until_ms=until_ms,
            used_ms=idle.used_ms,
            by_rule=idle.by_rule,
        )
        if item.done:
            item = structs.replace(item, avoided_s=self._hours.within_s(machine.rules, off_ms, until_ms))
        self.found.append(_with_energy(item, self._classes[device.device_class]))
        self._sends.append((decision.at_ms, device.room))
        if item.done:
            self._cycles[device.address] = self._cycles.get(device.address, 0) + 1
        self._asked[device.address] = Asked(
            verb=Verb(rule.action.verb),
            asked_ms=decision.at_ms,
            expires_ms=decision.at_ms + COMMAND_LIFE_S * 1000,
            step=Step.VETOED if item.vetoed else Step.DONE,
            step_ms=idle.used_ms if item.vetoed and idle.used_ms is not None else off_ms,
        )


_SPEAKS_FOR = frozenset({Why.IDLE_LONG_ENOUGH, Why.NOT_BOOKED, Why.RULE_HOURS, Why.WITHIN_LIMITS})
"""Reasons that stand beside a limit and keep nothing on."""


def _with_energy(item: Switched, device_class: DeviceClass) -> Switched:
    """The bounds of what it avoids, by the watts of its class. A restart and a mere warning save nothing."""
    if item.action not in (Action.SHUT_DOWN, Action.SLEEP) or not item.done:
        return item
    away_w = device_class.watts_off if item.action is Action.SHUT_DOWN else device_class.watts_asleep
    high_wh = (device_class.watts_idle - away_w) * item.avoided_s / 3600
    again = item.used_ms is not None and item.action is Action.SHUT_DOWN
    mid_wh = high_wh - (device_class.watts_in_use * START_S / 3600 if again else 0.0)
    return structs.replace(item, high_wh=high_wh, mid_wh=mid_wh, low_wh=min(mid_wh, LOW_RATIO * mid_wh))
