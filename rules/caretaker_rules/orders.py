"""What a person orders (shut down, restart, sleep), judged by the guards and limits that rules are judged by (I4, I5).

A person decides what a rule's hours and idle time otherwise decide, and may ask again where a rule may not. So two
guards are left out, and no more: `not_idle_long_enough` and `asked_once`. What is in use, booked, held, frozen, worked
on, exempt, always on, not to be woken again, or in doubt stays on, and the limits, the mode and the stop switch hold as
they do for rules.
"""

from collections.abc import Collection

from msgspec import Struct

from caretaker_contract.topics import Address
from caretaker_rules import limits
from caretaker_rules.decisions import Decision, Snapshot, Verdict
from caretaker_rules.guards import GUARDS, Case, Guard, SchoolNow, already_off, ask, asked_once, not_idle_long_enough
from caretaker_rules.guards import patch_window as patch_window_guard
from caretaker_rules.policy import Action, Policy, Rule, Select
from caretaker_rules.presence import ON_STATES
from caretaker_rules.reasons import Reason, Why

NOT_FOR_PEOPLE: tuple[Guard, ...] = (not_idle_long_enough, asked_once)
"""What a rule has to heed and a person's order does not."""
LIMITS = frozenset({Why.LIMIT_PER_MINUTE, Why.LIMIT_ROOM, Why.LIMIT_SCHOOL, Why.ALREADY_ASKED})
"""What only delays an order: the same machine may come up a little later."""


class Order(Struct, frozen=True, kw_only=True):
    """Something to do to machines. `word` names the order: each machine obeys it at most once."""

    word: str
    action: Action
    by: str  # who and why, as it stands in the reason
    warn_s: int
    patch_window: bool = (
        False  # the restart at the end of a patch window, which that window must not keep from happening
    )


def judge_order(
    order: Order, machines: Collection[Address], snapshot: Snapshot, policy: Policy, now_ms: int
) -> list[Decision]:
    """One decision for each of `machines` that is in the school's register, in its order; none for no machines."""
    now = SchoolNow(snapshot.school, policy, now_ms, snapshot.holds, snapshot.behind_s, snapshot.timetable)
    rule = Rule(
        name=order.word,
        line=0,
        select=Select(),
        hours=(),
        idle_for_s=0,
        action=order.action,
        warn_s=order.warn_s,
    )
    left_out = (*NOT_FOR_PEOPLE, patch_window_guard) if order.patch_window else NOT_FOR_PEOPLE
    guards = [guard for guard in GUARDS if guard not in left_out]
    decisions = []
    for device, tracked in snapshot.machines:
        if device.address in machines:
            known_class = snapshot.classes.get(device.device_class)
            asked, cycles = snapshot.asked.get(device.address), snapshot.cycles.get(device.address, 0)
            in_vain_ms = snapshot.woken_in_vain.get(device.address, 0)
            case = Case(device, tracked, known_class, asked, rule, now, cycles, in_vain_ms)
            decisions.append(_judge(order, case, guards))
    return limits.apply(decisions, snapshot, policy, now_ms)


def _judge(order: Order, case: Case, guards: list[Guard]) -> Decision:
    ordered = Reason(Why.ORDERED, order.by, age_s=case.whole_age_s)
    off = ask(already_off, case)
    against = [off] if off else [reason for guard in guards if (reason := ask(guard, case))]
    verdict = Verdict(order.action.value)
    if against:
        verdict = Verdict.NOT_ON if off and off.why is Why.ALREADY_OFF else Verdict.LEFT_ON
    acts = not against
    return Decision(
        case.device.address,
        case.now.now_ms,
        verdict,
        "",
        0,
        case.now.policy.version,
        (*against, ordered),
        order.warn_s if acts else 0,
        0,
        order.word if acts else "",
        "",
        round(case.idle_s or 0) if acts and case.tracked.presence.state in ON_STATES else 0,
    )


def comes_later(decision: Decision) -> bool:
    """Whether nothing but a limit of the moment keeps the order from being carried out."""
    against = {reason.why for reason in decision.reasons} - {Why.ORDERED}
    return decision.verdict is Verdict.LEFT_ON and bool(against) and against <= LIMITS
