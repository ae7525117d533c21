"""Decides for each machine of a school whether a rule may switch it now, and says why (invariants I4, I5, I8)."""

from collections.abc import Sequence

from caretaker_contract.messages import PowerState
from caretaker_rules import limits
from caretaker_rules.calendar import Free
from caretaker_rules.decisions import ACTING, Decision, Snapshot, Verdict
from caretaker_rules.guards import DOORS, GUARDS, Case, Guard, SchoolNow, ask
from caretaker_rules.model import Device
from caretaker_rules.policy import Policy, Rule
from caretaker_rules.reasons import Reason, Why, duration

__all__ = ["ACTING", "Decision", "Snapshot", "Verdict", "decide", "judge", "pick_rule"]


def decide(snapshot: Snapshot, policy: Policy, now_ms: int) -> list[Decision]:
    """One decision for each machine, in the order of the register: guards first, then the limits of the school."""
    return limits.apply(judge(snapshot, policy, now_ms), snapshot, policy, now_ms)


def judge(
    snapshot: Snapshot,
    policy: Policy,
    now_ms: int,
    doors: Sequence[Guard] = DOORS,
    guards: Sequence[Guard] = GUARDS,
) -> list[Decision]:
    """What each machine by itself would be due, before any limit."""
    now = SchoolNow(snapshot.school, policy, now_ms, snapshot.holds, snapshot.behind_s, snapshot.timetable)
    decisions = []
    for device, tracked in snapshot.machines:
        address = device.address
        try:
            rule = pick_rule(device, policy, now)
        except Exception as error:  # such as a time zone that does not exist: doubt keeps the machine on
            failed = Reason(Why.CHECK_FAILED, f"hours: {type(error).__name__}")
            decisions.append(_decision(Case(device, tracked, None, None, None, now), Verdict.LEFT_ON, (failed,)))
            continue
        device_class = snapshot.classes.get(device.device_class)
        asked, cycles = snapshot.asked.get(address), snapshot.cycles.get(address, 0)
        in_vain_ms = snapshot.woken_in_vain.get(address, 0)
        case = Case(device, tracked, device_class, asked, rule, now, cycles, in_vain_ms)
        decisions.append(_judge(case, doors, guards))
    return decisions


def pick_rule(device: Device, policy: Policy, now: SchoolNow) -> Rule | None:
    """The first rule in file order that selects the machine and has its hours now; else the first that selects it."""
    first = None
    for rule in policy.rules:
        if not rule.selects(device, now.school):
            continue
        if now.in_hours(rule):
            return rule
        first = first or rule
    return first


def _judge(case: Case, doors: Sequence[Guard], guards: Sequence[Guard]) -> Decision:
    for door in doors:
        reason = ask(door, case)
        if reason is not None:
            verdict = Verdict.NOT_ON if reason.why is Why.ALREADY_OFF else Verdict.LEFT_ON
            return _decision(case, verdict, (reason,))
    against = []
    for guard in guards:
        reason = ask(guard, case)
        if reason is not None:
            against.append(reason)
    if against:
        return _decision(case, Verdict.LEFT_ON, tuple(against))
    return _decision(case, Verdict(case.the_rule.action.value), _reasons_for(case))


def _reasons_for(case: Case) -> tuple[Reason, ...]:
    """Why a machine that nothing keeps on is switched, with the age of what we know."""
    rule = case.the_rule
    found = case.now.booking(case.device.room, max(case.now.policy.booked_within_s, case.reach_s))
    next_ms = found.next_ms if isinstance(found, Free) else None
    return (
        Reason(Why.IDLE_LONG_ENOUGH, duration(case.idle_s or 0), duration(rule.idle_for_s), case.whole_age_s),
        Reason(Why.NOT_BOOKED, case.now.moment(next_ms) if next_ms is not None else "lesson not known"),
        Reason(Why.RULE_HOURS, rule.when),
    )


def _decision(case: Case, verdict: Verdict, reasons: tuple[Reason, ...]) -> Decision:
    rule, policy = case.rule, case.now.policy
    acts = verdict in ACTING
    return Decision(
        case.device.address,
        case.now.now_ms,
        verdict,
        rule.name if rule is not None else "",
        rule.line if rule is not None else 0,
        policy.version,
        reasons,
        rule.warn_s if rule is not None and acts else 0,
        rule.idle_for_s if rule is not None and acts else 0,
        _episode(case) if acts else "",
        policy.path,
        round(case.idle_s or 0) if acts and case.tracked.presence.state is PowerState.IDLE else 0,
    )


def _episode(case: Case) -> str:
    """A word for this idle time of this machine under this rule. After a veto whose wait is over it is a new word."""
    presence = case.tracked.presence
    word = f"{presence.epoch}.{presence.boot}.{presence.since_ms}.{case.the_rule.name}"
    asked = case.asked
    if asked is not None and asked.asked_ms >= case.idle_from_ms:
        word += f".after-{asked.asked_ms}"
    return word
