"""Cases for a policy, written as data: a machine's day in a line of text, and what must be decided at which time.

    day = "08:40 boot; 08:50 use; 15:05 idle; 16:45 use; 16:50 idle"
    expect = [{ at = "17:25", verdict = "shut_down", because = ["idle_long_enough"] }]

The day is played by a small agent that makes real reports, heartbeats and presence notes; these go through
`tracking.track` and `energy.decide` like those of any machine. So a case proves what will happen, not what a rule seems
to say. What is decided is not done to the machine: every expectation asks what would be decided on that day as written.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Annotated, Literal

from msgspec import Meta, Struct, field, structs

from caretaker_contract.messages import (
    POWER_VERBS,
    Cause,
    Gauges,
    Hello,
    Message,
    Meters,
    Name,
    PowerState,
    PresenceNote,
    PresenceWord,
    Report,
    Slug,
    Step,
    Verb,
)
from caretaker_contract.topics import Address
from caretaker_rules import tracking
from caretaker_rules.calendar import zone_of
from caretaker_rules.decisions import Decision, Snapshot, Verdict
from caretaker_rules.energy import decide
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.model import Asked, Device, DeviceClass, Hold, Room, School, TimeSpan, Tracked, Written
from caretaker_rules.policy import Mode, Policy, Tag
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.reasons import Why
from caretaker_rules.timetable import DayKind, Timetable

IDLE_AFTER_S = 300
"""Seconds without input after which an agent calls its machine idle: the agent's own default."""
HEARTBEAT_S = 300
ABILITIES = [*sorted(POWER_VERBS), Verb.WARN, Verb.CANCEL, Verb.REPLAY]
EPOCH = "0000ca5e"

Clock = Annotated[
    str,
    Meta(
        pattern=r"^(\+[1-7] )?([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$",
        description='a local time such as "17:25", or "+1 07:10" on the next day',
    ),
]


class HoldCase(Written, frozen=True, kw_only=True):
    """A hold or an exam freeze of the machine's room."""

    starts: Clock = field(name="from")
    until: Clock
    kind: Literal["hold", "freeze"] = "hold"


class Expected(Written, frozen=True, kw_only=True):
    """What must be decided at `at`. Every reason in `because` must be among those of the decision; more may be."""

    at: Clock
    verdict: Verdict
    because: list[Why] = field(default_factory=list)
    rule: Name | None = None


class CaseWritten(Written, frozen=True, kw_only=True):
    """[[cases]]: one machine on one day."""

    name: Annotated[str, Meta(min_length=1)]
    day: str
    expect: Annotated[list[Expected], Meta(min_length=1)]
    on: date = date(2026, 10, 6)  # a Tuesday
    lessons: list[TimeSpan] = field(default_factory=list)  # of its room; none: never booked
    kind_of_day: DayKind | None = None  # of this day and those around it; None: term, or weekend by the calendar
    holds: list[HoldCase] = field(default_factory=list)
    device_class: Slug = field(name="class", default="desktop")
    always_on: bool = False
    tags: list[Tag] = field(default_factory=list)
    school: Name = "school"
    network: Name | None = None
    room: Name = "room"
    time_zone: str = "Europe/London"


class CaseFile(Written, frozen=True, kw_only=True):
    """A file of cases, such as school.test.toml beside school.toml."""

    policy: Annotated[str, Meta(min_length=1)]  # relative to this file
    mode: Mode | None = None  # try it as if it were in this mode; None: its own
    cases: Annotated[list[CaseWritten], Meta(min_length=1)]


class Answer(Struct, frozen=True, kw_only=True):
    """What was decided where something was expected. `wrong` is empty when it is as expected."""

    case: str
    expected: Expected
    decision: Decision
    wrong: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it came out as expected."""
        return not self.wrong


def run_case(case: CaseWritten, policy: Policy, mode: Mode | None = None) -> list[Answer]:
    """One answer for each expectation. ValueError says what in `day` cannot be."""
    policy = policy if mode is None else structs.replace(policy, mode=mode, trial_rooms=(case.room,))
    played = _Played(case)
    device = Device(
        school=case.school,
        name="machine",
        room=case.room,
        device_class=case.device_class,
        mac="02:00:00:00:00:01",  # a register has one, so that it can be woken
        tags=tuple(case.tags),
    )
    answers = []
    for expected in case.expect:
        at_ms = played.moment(expected.at)
        decision = decide(_snapshot(case, device, played, at_ms), policy, at_ms)[0]
        answers.append(Answer(case=case.name, expected=expected, decision=decision, wrong=_wrong(expected, decision)))
    return answers


def _wrong(expected: Expected, decision: Decision) -> tuple[str, ...]:
    wrong = []
    if decision.verdict is not expected.verdict:
        wrong.append(f"verdict is {decision.verdict.value}, not {expected.verdict.value}")
    if expected.rule is not None and decision.rule != expected.rule:
        wrong.append(f"rule is {decision.rule or 'none'}, not {expected.rule}")
    given = {reason.why for reason in decision.reasons}
    wrong += [f"not because of {why.value}" for why in expected.because if why not in given]
    return tuple(wrong)


def _snapshot(case: CaseWritten, device: Device, played: "_Played", at_ms: int) -> Snapshot:
    days = [case.on + timedelta(days=number) for number in range(-1, 9)]
    school = School(
        name=case.school,
        title=case.school,
        network=case.network,
        time_zone=case.time_zone,
        rooms=[Room(name=case.room, lessons=case.lessons)],
    )
    device_class = DeviceClass(
        name=case.device_class, watts_in_use=1, watts_idle=1, watts_asleep=1, watts_off=1, always_on=case.always_on
    )
    holds = [
        Hold(
            id=number,
            kind=hold.kind,
            school=case.school,
            room=case.room,
            device=None,
            from_ms=played.moment(hold.starts),
            until_ms=played.moment(hold.until),
            reason="",
        )
        for number, hold in enumerate(case.holds, 1)
    ]
    asked = [asked for asked in played.asked if max(asked.asked_ms, asked.step_ms) <= at_ms]
    return Snapshot(
        school=school,
        classes={device_class.name: device_class},
        machines=[(device, played.tracked(at_ms))],
        asked={Address(case.school, device.name): asked[-1]} if asked else {},
        holds=holds,
        stops=[],
        behind_s=0.0,
        recent_sends_ms=[],
        timetable=Timetable(
            first_day=days[0],
            last_day=days[-1],
            kinds=dict.fromkeys(days, case.kind_of_day) if case.kind_of_day else {},
        ),
    )


class _Played:
    """The messages of a day, as its agent made them and as they arrived."""

    def __init__(self, case: CaseWritten) -> None:
        self._case = case
        self._zone: tzinfo = zone_of(case.time_zone)
        self.asked: list[Asked] = []
        self._received: list[tuple[int, Message]] = []
        self._kept: list[Report] = []  # made while there was no connection
        self._power = PowerState.OFF
        self._said = PowerState.OFF
        self._present = False
        self._busy = False
        self._cut = False
        self._input_ms = self._up_ms = self._counted_ms = self._heartbeat_ms = 0
        self._boot, self._seq, self._prev, self._link = 0, 0, 0, 0
        self._meters = {PowerState.IN_USE: 0, PowerState.IDLE: 0, PowerState.ASLEEP: 0}
        words: dict[str, Callable[[int], None]] = {
            "boot": self._on_boot,
            "use": self._on_use,
            "idle": self._on_idle,
            "sleep": self._on_sleep,
            "wake": self._on_wake,
            "off": self._on_off,
            "cut": self._on_cut,
            "back": self._on_back,
            "busy": self._on_busy,
            "free": self._on_free,
            "asked": self._on_asked,
            "no": self._on_no,
        }
        before_ms = 0
        for part in case.day.split(";"):
            text, _, word = part.strip().rpartition(" ")
            if word not in words:
                raise ValueError(f'{part.strip()!r} is not a time and one of: {", ".join(words)} (as in "08:40 boot")')
            at_ms = self.moment(text)
            if at_ms < before_ms:
                raise ValueError(f"{part.strip()!r} comes before what stands before it; write +1 for the next day")
            self._pass(at_ms)
            words[word](at_ms)
            before_ms = at_ms
        self._pass(max(before_ms, *(self.moment(expected.at) for expected in case.expect)))

    def moment(self, text: str) -> int:
        """UTC ms of "17:25" on the day of the case, or of "+1 07:10" on the day after it; else ValueError."""
        days, _, clock = text.rpartition(" ")
        try:
            on = self._case.on + timedelta(days=int(days or 0))
            return round(datetime.combine(on, time.fromisoformat(clock), self._zone).timestamp() * 1000)
        except ValueError:
            raise ValueError(f'{text!r} is not a time such as "17:25" or "+1 07:10"') from None

    def tracked(self, at_ms: int) -> Tracked:
        """What a collector knows of the machine at `at_ms`."""
        settings = PresenceSettings()
        tracked = Tracked()
        for received_ms, message in self._received:
            if received_ms > at_ms:
                break
            tracked, _ = tracking.tick(tracked, received_ms, settings)
            tracked, _ = tracking.track(tracked, message, received_ms, settings)
        return tracking.tick(tracked, at_ms, settings)[0]

    # -- time passes ---------------------------------------------------------------------------------------------------

    def _pass(self, to_ms: int) -> None:
        """Reports that come by themselves up to `to_ms`: heartbeats, and idle after the last input."""
        while self._power is PowerState.IDLE:
            due_ms = self._heartbeat_ms
            if self._said is PowerState.IN_USE and not self._present:
                due_ms = min(due_ms, self._input_ms + IDLE_AFTER_S * 1000)
            if due_ms > to_ms:
                return
            if self._present:
                self._input_ms = due_ms
            self._report(due_ms, Cause.HEARTBEAT if self._state(due_ms) is self._said else Cause.NO_INPUT)

    def _state(self, at_ms: int) -> PowerState:
        """By its power and its last input; `_power` is IDLE for a machine that is on."""
        if self._power is not PowerState.IDLE:
            return self._power
        return PowerState.IN_USE if at_ms - self._input_ms < IDLE_AFTER_S * 1000 else PowerState.IDLE

    def _report(self, at_ms: int, cause: Cause) -> None:
        if self._said in self._meters:
            self._meters[self._said] += (at_ms - self._counted_ms) // 1000
        self._counted_ms, self._heartbeat_ms = at_ms, at_ms + HEARTBEAT_S * 1000
        self._seq += 1
        state, on = self._state(at_ms), self._power is PowerState.IDLE
        report = Report(
            epoch=EPOCH,
            boot=self._boot,
            seq=self._seq,
            prev=self._prev,
            at_ms=at_ms,
            sent_ms=at_ms,
            state=state,
            was=self._said,
            cause=cause,
            meters=Meters(
                in_use_s=self._meters[PowerState.IN_USE],
                idle_s=self._meters[PowerState.IDLE],
                asleep_s=self._meters[PowerState.ASLEEP],
            ),
            gauges=Gauges(
                idle_s=(at_ms - self._input_ms) // 1000,
                session=self._present,
                uptime_s=(at_ms - self._up_ms) // 1000,
                inhibited=self._busy,
            )
            if on
            else Gauges(),
        )
        self._said = state
        if self._cut:
            self._kept.append(report)
        else:
            self._received.append((at_ms, report))

    def _note(self, at_ms: int, word: PresenceWord, cause: Cause = Cause.UNKNOWN) -> None:
        note = PresenceNote(presence=word, cause=cause, epoch=EPOCH, boot=self._boot, link=self._link, at_ms=at_ms)
        self._received.append((at_ms, note))

    def _connect(self, at_ms: int) -> None:
        self._link += 1
        case = self._case
        hello = Hello(
            device_class=case.device_class,
            room=case.room,
            epoch=EPOCH,
            boot=self._boot,
            seq=self._seq,
            abilities=ABILITIES,
            heartbeat_s=HEARTBEAT_S,
            at_ms=at_ms,
        )
        self._received.append((at_ms, hello))
        self._note(at_ms, PresenceWord.ONLINE)

    # -- what the words do ---------------------------------------------------------------------------------------------

    def _need(self, word: str, power: PowerState) -> None:
        if self._power is not power:
            is_on = {PowerState.IDLE: "on", PowerState.ASLEEP: "asleep", PowerState.OFF: "off"}
            raise ValueError(f"{word!r} needs a machine that is {is_on[power]}; it is {is_on[self._power]} then")

    def _on_boot(self, at_ms: int) -> None:
        """Somebody switches it on, which counts as an input."""
        self._need("boot", PowerState.OFF)
        self._power, self._input_ms, self._up_ms, self._counted_ms = PowerState.IDLE, at_ms, at_ms, at_ms
        self._boot, self._prev, self._seq, self._link = self._boot + 1, self._seq, 0, 0
        self._report(at_ms, Cause.BOOT)
        self._connect(at_ms)

    def _on_use(self, at_ms: int) -> None:
        """Somebody sits down and stays."""
        self._on_idle(at_ms)
        self._present = True

    def _on_idle(self, at_ms: int) -> None:
        """The last input for now: five minutes later the agent calls it idle."""
        self._need("use and idle", PowerState.IDLE)
        self._present, self._input_ms = False, at_ms
        if self._said is PowerState.IDLE:
            self._report(at_ms, Cause.INPUT)

    def _on_sleep(self, at_ms: int) -> None:
        """It goes to sleep."""
        self._leave("sleep", at_ms, PowerState.ASLEEP)

    def _on_off(self, at_ms: int) -> None:
        """Its user shuts it down."""
        self._leave("off", at_ms, PowerState.OFF)

    def _leave(self, word: str, at_ms: int, power: PowerState) -> None:
        self._need(word, PowerState.IDLE)
        self._power, self._present = power, False
        self._report(at_ms, Cause.USER)
        if not self._cut:
            self._note(at_ms, PresenceWord.LEAVING, Cause.USER)

    def _on_wake(self, at_ms: int) -> None:
        """It wakes from sleep; nobody need be there."""
        self._need("wake", PowerState.ASLEEP)
        self._power = PowerState.IDLE
        self._report(at_ms, Cause.RESUME)
        self._connect(at_ms)

    def _on_cut(self, at_ms: int) -> None:
        """Its connection breaks; the broker speaks its last will."""
        self._cut = True
        self._note(at_ms, PresenceWord.LOST)

    def _on_back(self, at_ms: int) -> None:
        """The connection is back, and what was kept meanwhile is sent."""
        self._cut = False
        self._connect(at_ms)
        self._received += [(at_ms, structs.replace(report, sent_ms=at_ms)) for report in self._kept]
        self._kept.clear()

    def _on_busy(self, at_ms: int) -> None:
        """A programme on it asks to stay on."""
        self._busy = True

    def _on_free(self, at_ms: int) -> None:
        """No programme asks any more."""
        self._busy = False

    def _on_asked(self, at_ms: int) -> None:
        """A rule has asked it to shut down."""
        expires_ms = at_ms + COMMAND_LIFE_S * 1000
        self.asked.append(Asked(verb=Verb.SHUT_DOWN, asked_ms=at_ms, expires_ms=expires_ms))

    def _on_no(self, at_ms: int) -> None:
        """Somebody there says no to it: a key press, which is an input as well."""
        if not self.asked:
            raise ValueError("'no' needs an 'asked' before it")
        self.asked.append(structs.replace(self.asked[-1], step=Step.VETOED, step_ms=at_ms))
        self._on_idle(at_ms)
