"""Orders to machines: shut_down, restart, sleep (over `order_book.py`), wake (over `wake_book.py`).

What a person orders is judged by the running collector, by the guards and limits that rules are judged by. A preview
is an order that is judged and never carried out.
"""

from collections import Counter
from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, structs

from caretaker_collector import calendars, order_book, people, records, wake_book
from caretaker_collector.acts import known, places, words
from caretaker_collector.acts.base import (
    MACHINES,
    ActBody,
    Action,
    Ctx,
    Done,
    Reason,
    ReasonBody,
    Waits,
    by,
    said,
)
from caretaker_collector.acts.holds import HOUR_MS, OfClass, classes, scope_of, soon
from caretaker_collector.order_book import Found, Scope
from caretaker_collector.order_book import Verb as OrderVerb
from caretaker_collector.stages.wake import NO_POLICY
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.views import Answered, Offer
from caretaker_rules.calendar import local, zone_of
from caretaker_rules.decisions import Snapshot
from caretaker_rules.model import School, Tracked
from caretaker_rules.policy import MAX_WARN_S, MIN_WARN_S
from caretaker_rules.reasons import Why, duration
from caretaker_rules.roles import Permission
from caretaker_rules.timetable import NO_TIMETABLE, Timetable
from caretaker_rules.waking import ORDER_RULE, Order, WakeDecision, WakeSnapshot, decide_wakes

WORDS: dict[OrderVerb, str] = {"shut_down": "shut down", "restart": "restart", "sleep": "go to sleep"}
STAYS = {
    "in_use": "in use",
    "idle_unknown": "unable to tell whether they are in use",
    "calendar_unknown": "in a room without a timetable",
    "recent_reconnect": "just back on the line",
    "recent_veto": "where somebody said no a while ago",
    "report_stale": "with too old a report",
    "unable": "unable to do it",
    "cycles": "switched often enough today",
    "always_on": "of a class that is always on",
    "state_unknown": "lost or unknown",
    "patch_window": "in their patch window",
    "maintenance": "worked on",
    "observe_only": "where the policy only observes",
}
"""How an answer names what keeps machines from being switched; the others as their reasons are called."""


class OrderBody(ActBody, frozen=True, kw_only=True):
    """What is ordered, of which machines, with how much warning on their screens."""

    reason: Reason
    class_: OfClass = msgspec.field(default="", name="class")
    warn_s: Annotated[
        int,
        Meta(
            ge=MIN_WARN_S, le=MAX_WARN_S, title="Seconds of warning", description="Meanwhile somebody there may say no."
        ),
    ] = 120


def told(found: Found, scope: Scope, verb: OrderVerb, warn_s: int, dry_run: bool, title: str = "") -> str:
    """An answer as people read it. `title` of the place; "": its name."""
    head = f"{words.machines(found.machines)} in {title or scope.room or scope.school}"
    if scope.device:
        head = f"machine {scope.device}"
    off = found.stay.get(Why.ALREADY_OFF.value, [])
    on = {why: names for why, names in found.stay.items() if why != Why.ALREADY_OFF.value}
    if off:
        head += f", {len(off)} off already"
        head = f"machine {scope.device}, off already" if scope.device else head
    if on:
        parts = (f"{len(names)} {STAYS.get(why, why.replace('_', ' '))}" for why, names in on.items())
        count = sum(len(names) for names in on.values())
        if scope.device:
            parts = (STAYS.get(why, why.replace("_", " ")) for why in on)
        stays = "left alone" if verb == "restart" else "on"
        one, more = ("is", "are") if verb == "restart" else ("stays", "stay")
        which = f"it {one}" if scope.device else f"that one {one}" if count == 1 else f"those {more}"
        head += f", {', '.join(parts)}: {which} {stays}"
    lines = [head]
    would = "would be asked" if dry_run else "asked"
    if found.asked:
        lines.append(f"  {len(found.asked)} {would} to {WORDS[verb]}, with {duration(warn_s)} of warning")
    if found.later:
        follow = "would follow" if dry_run else "follow"
        lines.append(f"  {len(found.later)} {follow} within half an hour ({found.later_why})")
    if not found.asked and not found.later:
        lines.append("  none would be asked" if dry_run else "  none is asked")
    return "\n".join(lines)


def _ordering(verb: OrderVerb, label: str, title: str, explains: str) -> Action:
    """The action that orders this of machines."""

    def place(ctx: Ctx, body: OrderBody, dry_run: bool) -> Done:
        scope = scope_of(ctx, body.class_)
        number = order_book.place(ctx.db, verb, scope, body.reason, by(ctx), body.warn_s, dry_run, ctx.now_ms)
        link = f"/orders/{number}"

        def answer(found: Found) -> Done:
            if found.refused:
                return Done(Answered(lines=[found.refused], ok=False, link=link), number=number, found=found)
            name = places.title_of(ctx.estate, scope)
            lines = [line.strip() for line in told(found, scope, verb, body.warn_s, dry_run, name).splitlines()]
            goes = bool(found.asked or found.later)
            undo = None
            if goes and not dry_run:
                fields = {"until": soon(ctx, HOUR_MS)}
                undo = Offer(action="hold", label="Keep them on after all", place=ctx.place.text, fields=fields)
            count = len(found.asked) + len(found.later)
            answered = Answered(lines=lines, count=count, ok=goes, link="" if dry_run else link, undo=undo)
            return Done(answered, "", number, found)

        return Done(Answered(lines=[], link=link), noted=body.reason, number=number, waits=Waits(number, answer))

    return Action(
        name=verb,
        label=label,
        title=title,
        explains=explains,
        permission=Permission.SWITCH,
        kinds=MACHINES,
        body=OrderBody,
        preview=lambda ctx, body: place(ctx, body, True),
        do=lambda ctx, body: place(ctx, body, False),
        danger=True,
        choices={"class": classes},
    )


def _wake(ctx: Ctx, body: ReasonBody) -> Done:
    scope = ctx.scope
    devices = scope.devices(ctx.estate)
    if not devices:
        raise ConfigError([f"{scope}  no machine of the register is meant, so nothing is done"])
    number = wake_book.order(ctx.db, scope, body.reason, by(ctx), ctx.now_ms)
    head = f"wake {number}: {ctx.place.text}, {words.machines(len(devices))}"
    lines = [f"{head}; those that are off get up to 3 packets within 12 minutes"]
    without = sum(device.mac is None for device in devices)
    if without:
        lines.append(f"{without} of them cannot be woken: the asset register has no MAC address for them")
    return Done(Answered(lines=lines, link=places.link_of(scope)), noted=body.reason, number=number)


def _wake_preview(ctx: Ctx, body: ReasonBody) -> Done:
    """By what decides on wakes, with an order that is nowhere written."""
    scope = ctx.scope
    devices = scope.devices(ctx.estate)
    if not devices:
        raise ConfigError([f"{scope}  no machine of the register is meant, so nothing is done"])
    wanted = [wake for wake in _wakes(ctx, body.reason) if scope.has(ctx.estate.devices[wake.decision.device])]
    going = [wake for wake in wanted if wake.wakes]
    later = [wake for wake in wanted if _why(wake) is Why.LIMIT_WAKES]
    rest = [wake for wake in wanted if not wake.wakes and wake not in later]
    on = len(devices) - len(wanted)
    head = f"{words.machines(len(devices))} in {ctx.place.title}"
    if scope.device:
        head = ctx.place.title
    parts = [f"{on} on already"] if on and not scope.device else ["it is on already"] if on else []
    parts += [f"{len(going) + len(later)} would be woken"] if going or later else []
    lines = [f"{head}: {', '.join(parts) or 'none would be woken'}."]
    if later:
        lines.append(f"{len(later)} of them a minute later ({later[0].decision.reasons[0]}).")
    for reason, count in Counter(str(wake.decision.reasons[0]) for wake in rest).items():
        lines.append(f"{words.machines(count)} cannot be woken now: {reason}.")
    listed = {row.address for row in wake_book.cannot_wake(ctx.db, scope.school)}
    vain = sum(wake.decision.device in listed for wake in (*going, *later))
    if vain:
        lines.append(f"{words.machines(vain)} of these could not be woken the last time.")
    return said(*lines, ok=bool(going or later))


def _why(wake: WakeDecision) -> Why:
    return wake.decision.reasons[0].why


def _wakes(ctx: Ctx, reason: str) -> list[WakeDecision]:
    """What would be decided about a person's order for this place, were it given now."""
    scope, now_ms = ctx.scope, ctx.now_ms
    school = ctx.estate.schools[scope.school]
    heard = known.tracked_of(ctx.db, scope.school)
    machines = [
        (device, heard.get(device.address, Tracked()))
        for device in ctx.estate.devices.values()
        if device.school == scope.school
    ]
    snapshot = Snapshot(
        school=school,
        classes=ctx.estate.classes,
        machines=machines,
        asked={},
        holds=[hold for hold in records.in_force(ctx.db, now_ms, now_ms) if hold.school == scope.school],
        stops=people.stopped(ctx.db),
        behind_s=0.0,  # whether the collector is behind, it knows itself when the order comes
        recent_sends_ms=[],
        timetable=_timetable(ctx, school),
    )
    under_way = wake_book.under_way(ctx.db, now_ms).get(scope.school, [])
    order = Order(id=0, room=scope.room, device=scope.device, made_ms=now_ms, reason=f"{by(ctx)}: {reason}")
    looked = WakeSnapshot(school=snapshot, packets_ms=wake_book.packets_ms(under_way, now_ms), orders=[order])
    policy = structs.replace(ctx.site.policies.get(scope.school, NO_POLICY), wakes=(), patch=())
    return [wake for wake in decide_wakes(looked, policy, now_ms) if wake.decision.rule == ORDER_RULE]


def _timetable(ctx: Ctx, school: School) -> Timetable:
    """With the exams of its calendar, which freeze rooms."""
    if ctx.site.folder is None:
        return NO_TIMETABLE
    today = local(ctx.now_ms, zone_of(school.time_zone)).date()
    day = timedelta(days=1)
    return calendars.read_school(school, ctx.site.folder, today - day, today + day).timetable


ACTIONS = (
    Action(
        name="wake",
        label="Wake",
        title="Wake {place}",
        explains="Machines that are off get up to three packets through the relay of the school; a packet proves "
        "nothing, only the machine's own report does.",
        permission=Permission.SWITCH,
        kinds=("room", "device"),
        body=ReasonBody,
        preview=_wake_preview,
        do=_wake,
    ),
    _ordering(
        "shut_down",
        "Shut down",
        "Shut down {place}",
        "What is in use, in a lesson, held or frozen stays on; everybody at a machine is warned and can say no.",
    ),
    _ordering(
        "restart",
        "Restart",
        "Restart {place}",
        "What is in use, in a lesson, held or frozen is left alone; everybody at a machine is warned and can say no.",
    ),
    _ordering(
        "sleep",
        "Sleep",
        "Put {place} to sleep",
        "What is in use, in a lesson, held or frozen stays on; everybody at a machine is warned and can say no.",
    ),
)
