"""Which rule of a policy decides about a machine at a time, and why each other one does not.

It asks the same functions as a decision: the rules' own `selects`, `SchoolNow.in_hours` and `energy.pick_rule`, and the
guards that need no report of the machine. What the machine itself does then, a decision asks on top.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from caretaker_rules.energy import pick_rule
from caretaker_rules.guards import (
    Case,
    SchoolNow,
    always_on,
    ask,
    booked,
    exempt,
    frozen,
    held,
    maintenance,
    not_wakeable,
    outside_hours,
    patch_window,
    unknown_class,
)
from caretaker_rules.limits import share
from caretaker_rules.model import Device, DeviceClass, Hold, School, Tracked
from caretaker_rules.policy import Policy, Rule, Select
from caretaker_rules.reasons import Reason, duration
from caretaker_rules.timetable import NO_TIMETABLE, Timetable

STANDING = (
    outside_hours,
    booked,
    held,
    frozen,
    maintenance,
    patch_window,
    exempt,
    always_on,
    unknown_class,
    not_wakeable,
)
"""Guards that ask the calendar, people, the register and the book of wakes, not the machine."""


class RuleSays(Struct, frozen=True, kw_only=True):
    """One rule: `decides`, or the reasons in `because` why it does not."""

    rule: str
    line: int
    does: str
    decides: bool
    because: tuple[str, ...] = ()


class Explained(Struct, frozen=True, kw_only=True):
    """What a policy has to say about one machine at one moment."""

    device: str
    room: str
    at_ms: int
    policy: str
    version: str
    mode: str
    acts: bool  # whether the mode lets anything be sent to this room
    rules: tuple[RuleSays, ...]
    keeps_on: tuple[Reason, ...]  # whatever the machine itself does
    limits: tuple[str, ...]


def explain(
    device: Device,
    school: School,
    classes: Mapping[str, DeviceClass],
    policy: Policy,
    at_ms: int,
    devices: Sequence[Device],
    holds: Sequence[Hold] = (),
    timetable: Timetable = NO_TIMETABLE,
    woken_in_vain_ms: int = 0,
) -> Explained:
    """Ask every rule of `policy` about `device` at `at_ms`. `devices`: all of the school, whose shares limits count.

    `woken_in_vain_ms`: when it did not answer a wake, and none since; 0: no such wake is known.
    """
    now = SchoolNow(school, policy, at_ms, holds, 0.0, timetable)
    chosen = pick_rule(device, policy, now)
    decides = chosen is not None and now.in_hours(chosen)
    case = Case(device, Tracked(), classes.get(device.device_class), None, chosen, now, 0, woken_in_vain_ms)
    standing = [ask(guard, case) for guard in STANDING] if chosen is not None else []
    return Explained(
        device=str(device.address),
        room=device.room,
        at_ms=at_ms,
        policy=policy.path,
        version=policy.version,
        mode=policy.mode.value,
        acts=policy.may_act(device.school, device.room),
        rules=tuple(_says(rule, chosen if decides else None, device, school, now) for rule in policy.rules),
        keeps_on=tuple(reason for reason in standing if reason is not None),
        limits=_limits(device, devices, policy),
    )


def _says(rule: Rule, chosen: Rule | None, device: Device, school: School, now: SchoolNow) -> RuleSays:
    does = f"{rule.action.value} when idle for {duration(rule.idle_for_s)}, after a warning of {duration(rule.warn_s)}"
    because: list[str] = []
    if rule is not chosen:
        because = _not_selected(rule, device, school)
        if not now.in_hours(rule):
            because.append(f"its hours are {rule.when}")
        if not because and chosen is not None:
            because.append(f"{chosen.name} stands before it and decides")
    return RuleSays(rule=rule.name, line=rule.line, does=does, decides=rule is chosen, because=tuple(because))


def _not_selected(rule: Rule, device: Device, school: School) -> list[str]:
    """Each list of the selection that does not fit, tried by itself as a rule of its own."""
    if rule.selects(device, school):
        return []
    has = {
        "schools": school.name,
        "networks": school.network or "no network",
        "rooms": device.room,
        "classes": device.device_class,
        "tags": " ".join(device.tags) or "no tags",
    }
    given = {name: names for name in has if (names := getattr(rule.select, name)) is not None}
    return [
        f"it selects {name} {', '.join(names)}, not {has[name]}"
        for name, names in given.items()
        if not structs.replace(rule, select=Select(**{name: names})).selects(device, school)
    ] or ["it selects nothing"]


def _limits(device: Device, devices: Sequence[Device], policy: Policy) -> tuple[str, ...]:
    in_room = sum(other.room == device.room for other in devices)
    return (
        f"{policy.per_minute} a minute in the school",
        f"{share(policy.room_percent, in_room)} of {in_room} in the room within {duration(policy.at_once_s)} "
        f"({policy.room_percent} %)",
        f"{share(policy.school_percent, len(devices))} of {len(devices)} in the school within "
        f"{duration(policy.at_once_s)} ({policy.school_percent} %)",
        f"each machine {policy.cycles_per_day} times a day",
    )
