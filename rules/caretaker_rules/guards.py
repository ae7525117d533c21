"""What keeps a machine on (invariant I4). Each check is a small function: a reason to leave it on, or None.

`DOORS` ask whether there is anything to decide; the first that answers is the whole answer. `GUARDS` are all asked, so
that a decision lists everything that kept a machine on. A check that fails to run is itself a reason (`CHECK_FAILED`).
Missing, stale and contradictory data count as "in use".

Ages and idle times never claim more than the evidence supports. Let a report be made at device time `at_ms` and sent
with the skew that the collector saw. A skew above zero may be a slow clock or a slow journey, nobody can tell; so the
*age* of a report is reckoned from the earlier of the two readings of that moment, and the *idle time since* is reckoned
from the later. Time since the report counts as idle only while the machine's state is idle, because a machine reports
every change at once, and only while the report is fresh and the link unbroken (other guards see to that).
"""

from collections.abc import Callable, Sequence
from datetime import date
from math import isinf

from msgspec import Struct

from caretaker_contract.messages import PowerState, Step
from caretaker_rules.calendar import Booked, Booking, Unknown, in_hours, local, moment_text, zone_of
from caretaker_rules.calendar import booking as room_booking
from caretaker_rules.model import EXEMPT_TAG, Asked, Device, DeviceClass, Hold, School, Tracked
from caretaker_rules.patching import OpenWindow, open_windows
from caretaker_rules.policy import Action, Policy, Rule
from caretaker_rules.reasons import Reason, Why, duration
from caretaker_rules.timetable import NO_TIMETABLE, Timetable, day_kind, why_days_unknown

COMMAND_LIFE_S = 90
"""How long a command may wait for its machine; it dies after that. Guards look ahead as far as it can still bite."""
STALE_AT_MOST_S = 1800
"""However rare a machine's heartbeats are: nothing is switched on the word of a report older than this."""
RESTART_EVERY_S = 20 * 3600
"""A restarted machine is idle again soon; no rule restarts it twice in this time."""


class SchoolNow:
    """What the guards of one school share at one moment: its rooms' bookings and rules' hours, each worked out once."""

    def __init__(
        self,
        school: School,
        policy: Policy,
        now_ms: int,
        holds: Sequence[Hold],
        behind_s: float,
        timetable: Timetable = NO_TIMETABLE,
    ) -> None:
        self.school = school
        self.policy = policy
        self.now_ms = now_ms
        self.behind_s = behind_s
        self.timetable = timetable
        every = (*holds, *timetable.freezes)
        self.holds = [hold for hold in every if hold.school == school.name and hold.until_ms > now_ms]
        self._rooms = {room.name: room for room in school.rooms}
        self._bookings: dict[tuple[str, int], Booking] = {}
        self._hours: dict[tuple[str, int], bool] = {}
        self._patching: dict[int, list[OpenWindow]] = {}

    def booking(self, room: str, lead_s: int) -> Booking:
        """Whether the room is booked within `lead_s`."""
        key = (room, lead_s)
        if key not in self._bookings:
            self._bookings[key] = room_booking(self._rooms.get(room), self.school, self.now_ms, lead_s, self.timetable)
        return self._bookings[key]

    def in_hours(self, rule: Rule, ahead_s: int = 0) -> bool:
        """Whether the rule's hours hold `ahead_s` from now, on one of its kinds of day."""
        key = (rule.name, ahead_s)
        if key not in self._hours:
            zone = zone_of(self.school.time_zone)

            def fits(day: date) -> bool:
                return not rule.days or day_kind(self.school, day, self.timetable) in rule.days

            self._hours[key] = in_hours(rule.hours, self.now_ms + ahead_s * 1000, zone, fits)
        return self._hours[key]

    def why_day_unknown(self) -> str:
        """What is not known about the kind of day it is, or "" when it is known."""
        today = local(self.now_ms, zone_of(self.school.time_zone)).date()
        if day_kind(self.school, today, self.timetable) is not None:
            return ""
        why = why_days_unknown(self.school, self.timetable, today) or "no term is written down"
        return f"{today.day} {today:%b %Y} ({why})"

    def patching(self, ahead_s: int) -> list[OpenWindow]:
        """The patch windows that are on, or begin within `ahead_s`."""
        if ahead_s not in self._patching:
            self._patching[ahead_s] = open_windows(self.school, self.policy, self.now_ms, ahead_s)
        return self._patching[ahead_s]

    def moment(self, at_ms: int) -> str:
        """A moment in the school's local time."""
        return moment_text(at_ms, zone_of(self.school.time_zone))

    def day(self, at_ms: int) -> str:
        """The same with its date, for what lies further off."""
        return f"{local(at_ms, zone_of(self.school.time_zone)):%a %d %b %H:%M}"


class Case(Struct):
    """One machine as the guards see it. `rule` is the one that decides; None: no rule selects the machine."""

    device: Device
    tracked: Tracked
    device_class: DeviceClass | None
    asked: Asked | None
    rule: Rule | None
    now: SchoolNow
    cycles: int = 0  # how often Caretaker has switched it in its local day
    woken_in_vain_ms: int = 0  # when it last did not answer a wake, and none since; 0: it did, or was never woken

    @property
    def the_rule(self) -> Rule:
        """The rule, for guards that are asked only when there is one."""
        assert self.rule is not None
        return self.rule

    @property
    def reach_s(self) -> int:
        """How far from now a command that goes out now can still switch the machine."""
        return self.the_rule.warn_s + COMMAND_LIFE_S

    @property
    def age_s(self) -> float | None:
        """Seconds since the newest report was made, at most; None: there is none."""
        telemetry = self.tracked.telemetry
        if telemetry is None:
            return None
        return (self.now.now_ms - self.tracked.presence.at_ms + max(0, -telemetry.skew_ms)) / 1000

    @property
    def whole_age_s(self) -> int | None:
        """The same for a reason."""
        age_s = self.age_s
        return None if age_s is None else max(0, round(age_s))

    @property
    def idle_s(self) -> float | None:
        """Seconds without input of anybody that are proved; None: the machine cannot tell."""
        telemetry, presence = self.tracked.telemetry, self.tracked.presence
        if telemetry is None or telemetry.gauges.idle_s is None:
            return None
        if presence.state is not PowerState.IDLE:
            return telemetry.gauges.idle_s
        since_ms = self.now.now_ms - presence.at_ms - max(0, telemetry.skew_ms)
        return telemetry.gauges.idle_s + max(0, since_ms) / 1000

    @property
    def idle_from_ms(self) -> int:
        """When the present idle time began, at the earliest (collector time)."""
        presence, telemetry = self.tracked.presence, self.tracked.telemetry
        begin_ms = presence.since_ms
        if telemetry is not None:
            begin_ms += min(0, telemetry.skew_ms)
        idle_s = self.idle_s
        if idle_s is not None:
            begin_ms = min(begin_ms, self.now.now_ms - round(idle_s * 1000))
        return begin_ms


Guard = Callable[[Case], Reason | None]


# -- doors: is there anything to decide? -----------------------------------------------------------------------------


def already_off(case: Case) -> Reason | None:
    """Off or asleep: there is nothing to switch."""
    state = case.tracked.presence.state
    if state is PowerState.OFF or state is PowerState.ASLEEP:
        return Reason(Why.ALREADY_OFF, state.value)
    return None


def no_rule(case: Case) -> Reason | None:
    """No rule of the policy selects the machine."""
    return Reason(Why.NO_RULE) if case.rule is None else None


def outside_hours(case: Case) -> Reason | None:
    """The rule's hours are not now, or end before the machine could be off."""
    rule = case.the_rule
    if case.now.in_hours(rule) and case.now.in_hours(rule, case.reach_s):
        return None
    if rule.days and (unknown := case.now.why_day_unknown()):
        return Reason(Why.CALENDAR_UNKNOWN, unknown)
    return Reason(Why.OUTSIDE_RULE_HOURS, rule.when)


# -- guards: doubt about the machine -----------------------------------------------------------------------------------


def in_use(case: Case) -> Reason | None:
    """Somebody is there, by the machine's own word."""
    if case.tracked.presence.state is not PowerState.IN_USE:
        return None
    age_s, idle_s = case.age_s, case.idle_s
    return Reason(Why.IN_USE, duration((age_s or 0) + (idle_s or 0)), age_s=case.whole_age_s)


def state_unknown(case: Case) -> Reason | None:
    """Lost, never heard, blind, or its link has just broken."""
    presence = case.tracked.presence
    if presence.state is PowerState.LOST or presence.state is PowerState.UNKNOWN:
        return Reason(Why.STATE_UNKNOWN, presence.state.value, age_s=case.whole_age_s)
    if presence.lost_ms:
        return Reason(Why.STATE_UNKNOWN, "its connection broke", age_s=case.whole_age_s)
    return None


def idle_unknown(case: Case) -> Reason | None:
    """The machine cannot tell when the last input was."""
    return Reason(Why.IDLE_UNKNOWN, age_s=case.whole_age_s) if case.idle_s is None else None


def not_idle_long_enough(case: Case) -> Reason | None:
    """Idle, but not for as long as the rule asks."""
    idle_s, limit_s = case.idle_s, case.the_rule.idle_for_s
    if idle_s is None or idle_s >= limit_s:
        return None
    return Reason(Why.NOT_IDLE_LONG_ENOUGH, duration(idle_s), duration(limit_s), case.whole_age_s)


def report_stale(case: Case) -> Reason | None:
    """The newest report is older than a few heartbeats."""
    age_s = case.age_s
    if age_s is None:
        return None
    limit_s = min(case.now.policy.stale_heartbeats * case.tracked.presence.heartbeat_s, STALE_AT_MOST_S)
    if age_s <= limit_s:
        return None
    return Reason(Why.REPORT_STALE, duration(age_s), duration(limit_s), case.whole_age_s)


def clock_doubtful(case: Case) -> Reason | None:
    """The machine's clock and the collector's differ, or its report comes from the future."""
    telemetry = case.tracked.telemetry
    if telemetry is None:
        return None
    limit_s = case.now.policy.clock_skew_s
    ahead_ms = case.tracked.presence.at_ms + telemetry.skew_ms - case.now.now_ms
    off_s = max(abs(telemetry.skew_ms), ahead_ms) / 1000
    if off_s <= limit_s:
        return None
    return Reason(Why.CLOCK_DOUBTFUL, duration(off_s), duration(limit_s), case.whole_age_s)


def recent_reconnect(case: Case) -> Reason | None:
    """Its connection came back a moment ago, or it has not reported since."""
    presence, telemetry = case.tracked.presence, case.tracked.telemetry
    if not presence.link_ms:
        return None
    wait_s = case.now.policy.reconnect_wait_s
    back_s = (case.now.now_ms - presence.link_ms) / 1000
    reported_since = telemetry is not None and presence.at_ms + telemetry.skew_ms >= presence.link_ms
    if back_s >= wait_s and reported_since:
        return None
    limit = duration(wait_s) if reported_since else f"{duration(wait_s)} and a report"
    return Reason(Why.RECENT_RECONNECT, duration(back_s), limit, case.whole_age_s)


def contradictory(case: Case) -> Reason | None:
    """Its readings cannot all be true."""
    presence, telemetry = case.tracked.presence, case.tracked.telemetry
    if telemetry is None or telemetry.gauges.idle_s is None or presence.state is not PowerState.IDLE:
        return None
    policy, idle_s, uptime_s = case.now.policy, telemetry.gauges.idle_s, telemetry.gauges.uptime_s
    idle_state_s = (presence.at_ms - presence.since_ms) / 1000
    if idle_s < policy.input_within_s:
        odd = f"idle, yet an input {duration(idle_s)} before"
    elif idle_state_s > idle_s + policy.readings_differ_s:
        odd = f"idle for {duration(idle_state_s)} by its state, {duration(idle_s)} by its last input"
    elif uptime_s is not None and idle_s > uptime_s + policy.readings_differ_s:
        odd = f"idle for {duration(idle_s)}, running for {duration(uptime_s)}"
    else:
        return None
    return Reason(Why.CONTRADICTORY, odd, age_s=case.whole_age_s)


def inhibited(case: Case) -> Reason | None:
    """A programme or its package manager needs it on. A machine that cannot tell looks again when the command comes."""
    telemetry = case.tracked.telemetry
    if telemetry is not None and telemetry.gauges.inhibited:
        return Reason(Why.INHIBITED, age_s=case.whole_age_s)
    return None


def unable(case: Case) -> Reason | None:
    """Its hello did not say that it can do this."""
    verb = case.the_rule.action.verb
    return None if verb in case.tracked.abilities else Reason(Why.UNABLE, verb.value)


def collector_behind(case: Case) -> Reason | None:
    """What Caretaker itself knows is old."""
    limit_s = case.now.policy.behind_s
    if case.now.behind_s <= limit_s:
        return None
    if isinf(case.now.behind_s):
        return Reason(Why.NO_BROKER)
    return Reason(Why.COLLECTOR_BEHIND, duration(case.now.behind_s), duration(limit_s))


# -- guards: the school says so ----------------------------------------------------------------------------------------


def booked(case: Case) -> Reason | None:
    """A lesson is on or near, or nobody wrote down whether one is."""
    lead_s = max(case.now.policy.booked_within_s, case.reach_s)
    found = case.now.booking(case.device.room, lead_s)
    if isinstance(found, Unknown):
        return Reason(Why.CALENDAR_UNKNOWN, found.why)
    if isinstance(found, Booked):
        return Reason(Why.BOOKED, f"{case.now.moment(found.from_ms)} to {case.now.moment(found.until_ms)}")
    return None


def _hold(case: Case, kind: str) -> Hold | None:
    """What people wrote of this kind that lasts longest, if it is on or begins while a command can still bite."""
    latest_ms = case.now.now_ms + case.reach_s * 1000
    mine = [
        hold for hold in case.now.holds if hold.kind == kind and hold.from_ms <= latest_ms and hold.covers(case.device)
    ]
    return max(mine, key=lambda hold: hold.until_ms, default=None)


def held(case: Case) -> Reason | None:
    """Somebody asked to keep it on."""
    hold = _hold(case, "hold") if case.now.holds else None
    return None if hold is None else Reason(Why.HELD, _until(case, hold))


def frozen(case: Case) -> Reason | None:
    """An exam window in which nothing may be switched."""
    hold = _hold(case, "freeze") if case.now.holds else None
    return None if hold is None else Reason(Why.FROZEN, _until(case, hold))


def maintenance(case: Case) -> Reason | None:
    """Somebody works on it."""
    hold = _hold(case, "maintenance") if case.now.holds else None
    return None if hold is None else Reason(Why.MAINTENANCE, _until(case, hold))


def patch_window(case: Case) -> Reason | None:
    """It is to install updates now. An update that is not done when the window ends shows as `inhibited`."""
    mine = [found for found in case.now.patching(case.reach_s) if found.window.selects(case.device, case.now.school)]
    last = max(mine, key=lambda found: found.until_ms, default=None)
    if last is None:
        return None
    return Reason(Why.PATCH_WINDOW, f"{case.now.moment(last.until_ms)} ({last.window.name})")


def _until(case: Case, hold: Hold) -> str:
    until = case.now.moment(hold.until_ms)
    return f'{until} ("{hold.reason}")' if hold.reason else until


def exempt(case: Case) -> Reason | None:
    """A tag says that no rule may switch it, such as a pupil's adapted machine."""
    tags = case.device.tags
    if EXEMPT_TAG in tags or not case.now.policy.exempt_tags.isdisjoint(tags):
        return Reason(Why.EXEMPT)
    return None


def always_on(case: Case) -> Reason | None:
    """Its class is never switched by a rule: servers, switches."""
    if case.device_class is not None and case.device_class.always_on:
        return Reason(Why.ALWAYS_ON, case.device_class.name)
    return None


def unknown_class(case: Case) -> Reason | None:
    """Nobody wrote down what its class is, so it might be a server."""
    return Reason(Why.UNKNOWN_CLASS, case.device.device_class) if case.device_class is None else None


def not_wakeable(case: Case) -> Reason | None:
    """A wake rule is to have it on when it is needed, and it could not be woken: what is on had better stay on.

    Without a MAC address nothing can wake it. A wake that it did not answer counts until it answers one: being switched
    on by hand proves nothing. That no relay is online now is no reason, relays come back. After `not_wakeable_for` the
    reason lapses, because what stays on is never woken and so could never prove that it was mended.
    """
    policy = case.now.policy
    if not policy.not_wakeable or case.the_rule.action not in (Action.SHUT_DOWN, Action.SLEEP):
        return None
    wake = next((wake for wake in policy.wakes if wake.selects(case.device, case.now.school)), None)
    if wake is None:
        return None
    if case.device.mac is None:
        return Reason(Why.NOT_WAKEABLE, f"wake rule {wake.name} needs its MAC address, which no asset register has")
    lapses_ms = case.woken_in_vain_ms + policy.not_wakeable_for_s * 1000
    if not case.woken_in_vain_ms or case.now.now_ms >= lapses_ms:
        return None
    failed, again = case.now.day(case.woken_in_vain_ms), case.now.day(lapses_ms)
    return Reason(Why.NOT_WAKEABLE, f"it did not answer its last wake, {failed}; tried again from {again}")


# -- guards: it was asked before ---------------------------------------------------------------------------------------


def recent_veto(case: Case) -> Reason | None:
    """Somebody at the machine said no a short while ago."""
    asked, wait_s = case.asked, case.now.policy.veto_wait_s
    if asked is None or asked.step is not Step.VETOED:
        return None
    ago_s = (case.now.now_ms - asked.step_ms) / 1000
    return Reason(Why.RECENT_VETO, duration(ago_s), duration(wait_s)) if ago_s < wait_s else None


def already_asked(case: Case) -> Reason | None:
    """A command is under way, or may still be counting down there."""
    asked = case.asked
    if asked is None or asked.step not in (None, Step.RECEIVED, Step.WARNED):
        return None
    pending_until_ms = max(asked.expires_ms, asked.step_ms) + case.now.policy.answer_wait_s * 1000
    if case.now.now_ms >= pending_until_ms:
        return None
    return Reason(Why.ALREADY_ASKED, duration((case.now.now_ms - asked.asked_ms) / 1000))


def asked_once(case: Case) -> Reason | None:
    """It was asked in this very idle time, and nobody said no: asking again would only wear it and people out."""
    asked = case.asked
    if asked is None or asked.step is Step.VETOED:
        return None
    ago_s = (case.now.now_ms - asked.asked_ms) / 1000
    action = case.the_rule.action
    restarted = action is Action.RESTART and asked.verb is action.verb and ago_s < RESTART_EVERY_S
    if asked.asked_ms < case.idle_from_ms and not restarted:
        return None
    return Reason(Why.ASKED_ONCE, duration(ago_s), asked.step.value if asked.step else "no answer")


def cycles(case: Case) -> Reason | None:
    """It was switched often enough today.

    Disks are rated for 30,000 to 50,000 starts at least; 6 on each of 190 school days are 5,700 in five years.
    """
    limit = case.now.policy.cycles_per_day
    if case.cycles < limit or case.the_rule.action is Action.WARN_ONLY:
        return None
    return Reason(Why.CYCLES, str(case.cycles), str(limit))


DOORS: tuple[Guard, ...] = (already_off, no_rule, outside_hours)

GUARDS: tuple[Guard, ...] = (
    in_use,
    state_unknown,
    idle_unknown,
    not_idle_long_enough,
    report_stale,
    clock_doubtful,
    recent_reconnect,
    contradictory,
    inhibited,
    unable,
    collector_behind,
    booked,
    held,
    frozen,
    maintenance,
    patch_window,
    exempt,
    always_on,
    unknown_class,
    not_wakeable,
    recent_veto,
    already_asked,
    asked_once,
    cycles,
)


def ask(guard: Guard, case: Case) -> Reason | None:
    """What a guard says; when it cannot be asked, that is a reason as well."""
    try:
        return guard(case)
    except Exception as error:  # doubt keeps the machine on, whatever went wrong
        return Reason(Why.CHECK_FAILED, f"{guard.__name__}: {type(error).__name__}")
