"""Decides which machines are to be woken now, by a rule or because a person asked, and which cannot be, and why.

A machine is *wanted* on an occasion: its room's first lesson of the day, a time that a rule names, a patch window, or a
person's order.
Waking begins `lead` before that moment. A packet proves nothing: only the machine's own report makes it awake, and
until it comes the packet is repeated every `retry_after`, `attempts` times in all for one occasion. Then, or when there
is no way to send one, the machine *cannot be woken*, with the reason that the evidence makes likely.

What is away since waking began was switched off by somebody: it is left as it is. Where a stop switch or an exam freeze
is on, where Caretaker doubts its own view, and for classes and tags that no rule may switch, nothing is sent.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from math import isinf
from typing import NamedTuple

from msgspec import Struct, field, structs

from caretaker_contract.messages import PowerState, Verb
from caretaker_contract.topics import Address
from caretaker_rules import calendar
from caretaker_rules.calendar import Booked
from caretaker_rules.decisions import Decision, Snapshot, Verdict
from caretaker_rules.limits import blindness, stop_on
from caretaker_rules.model import EXEMPT_TAG, Device, School, Tracked
from caretaker_rules.patching import OpenWindow, open_windows
from caretaker_rules.policy import Policy, WakeRule
from caretaker_rules.presence import AWAY_STATES, ON_STATES
from caretaker_rules.reasons import Reason, Why, duration
from caretaker_rules.timetable import Timetable, is_school_day

MINUTE_MS = 60_000
ORDER_RULE = "order"
"""What stands in the place of a rule's name when a person asked."""
PATCH_RULE = "patch"
ATTEMPTS, RETRY_S, STAGGER_S = 3, 180, 2
"""For orders and patch windows, as `[[wake]]` has them unless it says otherwise."""
NO_ANSWER = frozenset({"decided", "sending", "sent", "expired", "no_answer"})
"""Where a command stands in the ledger when its relay has not said a word."""


class Tried(Struct, frozen=True):
    """What was done for one machine on one occasion. `answer`: where its newest command stands in the ledger."""

    attempts: int
    last_ms: int
    answer: str = ""


class Order(Struct, frozen=True, kw_only=True):
    """A person asks for a device, a room (device None) or a whole school (room None) to be woken."""

    id: int
    room: str | None
    device: str | None
    made_ms: int
    reason: str


class WakeSnapshot(Struct, kw_only=True):
    """All that is known about one school at the moment of deciding. Nothing in it is changed."""

    school: Snapshot
    tried: Mapping[tuple[Address, str], Tried] = field(default_factory=dict)  # by machine and occasion
    answered: Mapping[Address, int] = field(default_factory=dict)  # when each last reported after a wake
    packets_ms: Sequence[int] = ()  # when packets for this school were asked for lately
    orders: Sequence[Order] = ()


class WakeDecision(Struct, frozen=True, kw_only=True):
    """One machine that is wanted and away. `cannot`: it is on the list of those that cannot be woken."""

    decision: Decision  # as `caretaker why` shows it; its verdict is WAKE or NOT_WOKEN
    room: str
    occasion: str  # the same word for the same occasion, however often it is decided
    needed_ms: int
    until_ms: int  # when the occasion is over
    attempt: int  # the number that a packet now has, or would have
    relay: Address | None = None
    mac: str = ""
    cannot: bool = False

    @property
    def wakes(self) -> bool:
        """Whether a packet goes out for it."""
        return self.decision.verdict is Verdict.WAKE


class Occasion(NamedTuple):
    """Something that machines are wanted for: who says so, when they are needed, when waking begins and ends."""

    name: str
    rule: str
    line: int
    needed_ms: int
    from_ms: int
    until_ms: int
    why: Reason
    attempts: int = ATTEMPTS
    retry_s: int = RETRY_S
    stagger_s: int = STAGGER_S
    by_person: bool = False


class _Case(NamedTuple):
    device: Device
    tracked: Tracked
    occasion: Occasion


def decide_wakes(snapshot: WakeSnapshot, policy: Policy, now_ms: int) -> list[WakeDecision]:
    """One decision for each machine that is wanted now and is not on: those wanted first, in the neediest rooms, first.

    Machines of which nobody wants anything have none. Raises nothing of its own; times are UTC ms.
    """
    cases = _wanted(snapshot, policy, now_ms)
    if not cases:
        return []
    base = snapshot.school
    relay = relay_of(base.machines)
    doubt = _doubt(base, policy, now_ms)
    away: dict[str, int] = {}
    for case in cases:
        away[case.device.room] = away.get(case.device.room, 0) + 1
    sizes: dict[str, int] = {}
    for device, _ in base.machines:
        sizes[device.room] = sizes.get(device.room, 0) + 1
    cases.sort(
        key=lambda case: (
            case.occasion.needed_ms,
            -away[case.device.room] / sizes[case.device.room],
            case.device.room,
            case.device.name,
        )
    )
    sent = sum(now_ms - at_ms < MINUTE_MS for at_ms in snapshot.packets_ms)
    decisions = []
    for case in cases:
        decision = _judge(case, snapshot, policy, now_ms, relay, doubt)
        if decision.wakes:
            stagger_s = case.occasion.stagger_s
            most = 60 // stagger_s if stagger_s else len(base.machines)
            if sent >= most:
                decision = _held_back(decision, Reason(Why.LIMIT_WAKES, limit=str(most)))
            else:
                sent += 1
        decisions.append(decision)
    return decisions


def relay_of(machines: Sequence[tuple[Device, Tracked]]) -> Address | None:
    """The first device of the register that said it can wake others and is certainly on; None: there is none."""
    for device, tracked in machines:
        presence = tracked.presence
        if Verb.WAKE in tracked.abilities and presence.state in ON_STATES and not presence.lost_ms:
            return device.address
    return None


def readiness(snapshot: Snapshot, room: str) -> tuple[int, int]:
    """(ready, total) of a room's machines: those that are on, of all that are no always-on class and no relay."""
    return readiness_by_room(snapshot).get(room, (0, 0))


def readiness_by_room(snapshot: Snapshot) -> dict[str, tuple[int, int]]:
    """The same of every room that has such machines."""
    found: dict[str, tuple[int, int]] = {}
    for device, tracked in snapshot.machines:
        device_class = snapshot.classes.get(device.device_class)
        always_on = device_class is not None and device_class.always_on
        if always_on or Verb.WAKE in tracked.abilities:
            continue
        ready, total = found.get(device.room, (0, 0))
        found[device.room] = (ready + (tracked.presence.state in ON_STATES), total + 1)
    return found


def _wanted(snapshot: WakeSnapshot, policy: Policy, now_ms: int) -> list[_Case]:
    """Machines that are not on and wanted now: by a person, for patches, or by the first rule that has an occasion."""
    base = snapshot.school
    orders = [order for order in snapshot.orders if order.made_ms <= now_ms < _order_until_ms(order)]
    windows = open_windows(base.school, policy, now_ms)
    if not orders and not policy.wakes and not windows:
        return []
    known: dict[tuple[str, str], Occasion | None] = {}
    cases = []
    for device, tracked in base.machines:
        if tracked.presence.state in ON_STATES or Verb.WAKE in tracked.abilities:
            continue
        order = next(
            (o for o in orders if o.room in (None, device.room) and o.device in (None, device.name)),
            None,
        )
        if order is not None:
            cases.append(_Case(device, tracked, _ordered(order)))
            continue
        opening = next((found for found in windows if found.window.selects(device, base.school)), None)
        if opening is not None:
            cases.append(_Case(device, tracked, for_patches(opening, base.school)))
            continue
        for rule in policy.wakes:
            if not rule.selects(device, base.school):
                continue
            key = (rule.name, device.room)
            if key not in known:
                known[key] = occasion_of(rule, device.room, base.school, base.timetable, now_ms)
            occasion = known[key]
            if occasion is not None:
                cases.append(_Case(device, tracked, occasion))
                break
    return cases


def _order_until_ms(order: Order) -> int:
    return order.made_ms + (ATTEMPTS + 1) * RETRY_S * 1000


def _ordered(order: Order) -> Occasion:
    return Occasion(
        f"{ORDER_RULE}:{order.id}",
        ORDER_RULE,
        0,
        order.made_ms,
        order.made_ms,
        _order_until_ms(order),
        Reason(Why.WANTED_BY_PERSON, order.reason),
        by_person=True,
    )


def for_patches(opening: OpenWindow, school: School) -> Occasion:
    """A patch window: its machines are wanted for all of it."""
    window, from_ms, until_ms = opening
    zone = calendar.zone_of(school.time_zone)
    span = f"{window.name}, {calendar.moment_text(from_ms, zone)} to {calendar.moment_text(until_ms, zone)}"
    why = Reason(Why.WANTED_FOR_PATCHES, span)
    return Occasion(f"{PATCH_RULE}:{window.name}.{from_ms}", PATCH_RULE, window.line, from_ms, from_ms, until_ms, why)


def occasion_of(rule: WakeRule, room: str, school: School, timetable: Timetable, now_ms: int) -> Occasion | None:
    """The rule's occasion for a room, if it is being woken for one now."""
    if rule.at_min is None:
        needed_ms = _first_lesson_ms(rule, room, school, timetable, now_ms)
    else:
        needed_ms = _at_ms(rule, school, timetable, now_ms)
    if needed_ms is None:
        return None
    from_ms = needed_ms - rule.lead_s * 1000
    # What could not be asked for in time is made up for, but not for ever: people are there by then.
    until_ms = max(needed_ms + rule.lead_s * 1000, from_ms + (rule.attempts + 1) * rule.retry_s * 1000)
    if not from_ms <= now_ms < until_ms:
        return None
    moment = calendar.moment_text(needed_ms, calendar.zone_of(school.time_zone))
    why = Why.WANTED_FOR_LESSON if rule.at_min is None else Why.WANTED_AT
    return Occasion(
        f"{rule.name}.{needed_ms}",
        rule.name,
        rule.line,
        needed_ms,
        from_ms,
        until_ms,
        Reason(why, moment),
        rule.attempts,
        rule.retry_s,
        rule.stagger_s,
    )


def _first_lesson_ms(rule: WakeRule, room: str, school: School, timetable: Timetable, now_ms: int) -> int | None:
    """When the lesson begins that is on or near, if it is the first of its day; None also when nobody knows."""
    place = next((each for each in school.rooms if each.name == room), None)
    found = calendar.booking(place, school, now_ms, rule.lead_s, timetable)
    if not isinstance(found, Booked):
        return None
    zone = calendar.zone_of(school.time_zone)
    midnight_ms = calendar.midnight_ms(calendar.local(found.from_ms, zone).date(), zone)
    at_ms = midnight_ms
    while at_ms < found.from_ms:
        before = calendar.booking(place, school, at_ms, (found.from_ms - at_ms) / 1000, timetable)
        if not isinstance(before, Booked):
            return None
        if before.from_ms >= midnight_ms:
            return found.from_ms if before.from_ms == found.from_ms else None
        at_ms = before.until_ms  # that one runs on from the evening before
    return found.from_ms


def _at_ms(rule: WakeRule, school: School, timetable: Timetable, now_ms: int) -> int | None:
    """The rule's time on the school day whose waking is on; None: on none."""
    today = calendar.local(now_ms, calendar.zone_of(school.time_zone)).date()
    for day in (today, today + timedelta(days=1), today - timedelta(days=1)):
        needed_ms = time_on(rule, school, timetable, day)
        if needed_ms is not None and needed_ms - rule.lead_s * 1000 <= now_ms < needed_ms + 2 * rule.lead_s * 1000:
            return needed_ms
    return None


def time_on(rule: WakeRule, school: School, timetable: Timetable, day: date) -> int | None:
    """The time of a rule with `at` on a local day; None: no school day, or nobody knows whether it is one."""
    assert rule.at_min is not None
    if day.weekday() not in rule.days or is_school_day(school, day, timetable) is not True:
        return None
    clock = time(rule.at_min // 60, rule.at_min % 60)
    return round(datetime.combine(day, clock, calendar.zone_of(school.time_zone)).timestamp() * 1000)


def _doubt(base: Snapshot, policy: Policy, now_ms: int) -> Reason | None:
    """Why nothing at all is sent to this school."""
    if isinf(base.behind_s):
        return Reason(Why.NO_BROKER)
    if base.behind_s > policy.behind_s:
        return Reason(Why.COLLECTOR_BEHIND, duration(base.behind_s), duration(policy.behind_s))
    return blindness(base, policy, now_ms)


def _judge(
    case: _Case, snapshot: WakeSnapshot, policy: Policy, now_ms: int, relay: Address | None, doubt: Reason | None
) -> WakeDecision:
    device, occasion = case.device, case.occasion
    tried = snapshot.tried.get((device.address, occasion.name), Tried(0, 0))
    against = _against(case, snapshot.school, policy, now_ms)
    if doubt is not None:
        against.append(doubt)
    unable = _unable(case, snapshot, tried, now_ms, relay)
    wait_until_ms = tried.last_ms + occasion.retry_s * 1000
    if not against and unable is None and tried.attempts and now_ms < wait_until_ms:
        ago = duration((now_ms - tried.last_ms) / 1000)
        against.append(Reason(Why.WOKEN_LATELY, ago, duration(occasion.retry_s)))
    cannot = unable is not None and not against
    if unable is not None:
        against.append(unable)
    attempt = tried.attempts + 1
    reasons = (
        tuple(against)
        if against
        else (occasion.why, Reason(Why.WAKE_ATTEMPT, f"{attempt}, through {relay},", str(occasion.attempts)))
    )
    return WakeDecision(
        decision=Decision(
            device.address,
            now_ms,
            Verdict.NOT_WOKEN if against else Verdict.WAKE,
            occasion.rule,
            occasion.line,
            policy.version,
            reasons if not against else (*reasons, occasion.why),
            policy_file=policy.path,
        ),
        room=device.room,
        occasion=occasion.name,
        needed_ms=occasion.needed_ms,
        until_ms=occasion.until_ms,
        attempt=attempt,
        relay=relay,
        mac=device.mac or "",
        cannot=cannot,
    )


def _against(case: _Case, base: Snapshot, policy: Policy, now_ms: int) -> list[Reason]:
    """What forbids waking this machine now, whether or not it could be done."""
    device, presence, occasion = case.device, case.tracked.presence, case.occasion
    found = []
    stop = stop_on(base.stops, device.school, device.room)
    if stop is not None:
        found.append(Reason(Why.STOPPED, stop.reason))
    for hold in (*base.holds, *base.timetable.freezes):
        if hold.kind == "freeze" and hold.covers(device) and hold.from_ms <= now_ms < hold.until_ms:
            until = calendar.moment_text(hold.until_ms, calendar.zone_of(base.school.time_zone))
            found.append(Reason(Why.FROZEN, until))
            break
    if presence.state in AWAY_STATES and presence.since_ms >= occasion.from_ms:
        found.append(Reason(Why.LEFT_SINCE, presence.state.value))
    if occasion.by_person:
        return found
    if not policy.may_act(device.school, device.room):
        found.append(Reason(Why.OBSERVE_ONLY, policy.mode.value))
    if EXEMPT_TAG in device.tags or not policy.exempt_tags.isdisjoint(device.tags):
        found.append(Reason(Why.EXEMPT))
    device_class = base.classes.get(device.device_class)
    if device_class is not None and device_class.always_on:
        found.append(Reason(Why.ALWAYS_ON, device_class.name))
    if presence.state is PowerState.UNKNOWN:
        found.append(Reason(Why.STATE_UNKNOWN, presence.state.value))
    return found


def _unable(case: _Case, snapshot: WakeSnapshot, tried: Tried, now_ms: int, relay: Address | None) -> Reason | None:
    """Why this machine cannot be woken, as far as the evidence goes; None: it can be tried."""
    if case.device.mac is None:
        return Reason(Why.NO_MAC)
    occasion = case.occasion
    if tried.attempts >= occasion.attempts:
        if now_ms < tried.last_ms + occasion.retry_s * 1000:
            return None  # the last packet has its time, too
        if tried.answer in NO_ANSWER:
            return Reason(Why.RELAY_SILENT, tried.answer.replace("_", " "))
        if tried.answer in ("failed", "refused"):
            return Reason(Why.RELAY_FAILED, tried.answer)
        answered_ms = snapshot.answered.get(case.device.address)
        if answered_ms is None:
            return Reason(Why.NEVER_ANSWERED, str(tried.attempts))
        zone = calendar.zone_of(snapshot.school.school.time_zone)
        return Reason(Why.NOT_BACK, str(tried.attempts), f"{calendar.local(answered_ms, zone):%a %d %b %H:%M}")
    return Reason(Why.NO_RELAY) if relay is None else None


def _held_back(decision: WakeDecision, because: Reason) -> WakeDecision:
    told = structs.replace(
        decision.decision, verdict=Verdict.NOT_WOKEN, reasons=(because, *decision.decision.reasons[:1])
    )
    return structs.replace(decision, decision=told)
