"""What is wrong at a school now: one small function for each kind, and `FINDERS`, the list of them.

A finder looks at one `View` and says what it finds. It remembers nothing, so it knows of no delay and of no cause:
that is the work of the steps in `alert_steps/`. Only `View.known` comes from before, for what ends at another figure
than it begins at (a disk is full from 90 % on, and is not full any more below 85 %).

A machine that is away on record is nobody's fault. It becomes one when it is needed: its room's lesson has begun, or a
wake was asked for whose moment is past.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil

from caretaker_contract.messages import Cause, PowerState, Verb
from caretaker_rules import waking
from caretaker_rules.alert_settings import FindSettings, ms
from caretaker_rules.calendar import Booked, local, zone_of
from caretaker_rules.decisions import Snapshot
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.limits import looks_lost
from caretaker_rules.model import Device, Tracked
from caretaker_rules.policy import Policy
from caretaker_rules.presence import AWAY_STATES, ON_STATES
from caretaker_rules.reasons import Reason

LINK_WORDS = ("switch", "access_point", "router", "firewall")
"""A class whose name holds one of them is a device of the network: when it is gone, what is behind it is cut off."""
HEARTBEATS = 3
"""A machine that is on may say nothing for so many of its own heartbeats, however short the limit is."""

Machine = tuple[Device, Tracked]


@dataclass(slots=True)
class View:
    """All that finders know of one school. Moments are UTC ms of the collector."""

    snapshot: Snapshot
    policy: Policy
    now_ms: int
    find: FindSettings = field(default_factory=FindSettings)
    seen_since_ms: int = 0  # since when Caretaker hears what is said; silence before it proves nothing
    lessons: Mapping[str, Booked] = field(default_factory=dict)  # of each room that has one now
    ready: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # rooms with a lesson: (on, of) as it began
    cannot_wake: Mapping[str, tuple[int, Reason | None]] = field(default_factory=dict)  # machines: since when, and why
    overdue: Mapping[str, int] = field(default_factory=dict)  # machines: the moment for which a wake was asked
    crashes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # machines: how often lately, and when last
    user_off_until_lesson: bool = False  # a machine that its user switched off is needed again by the next lesson
    known: Container[str] = frozenset()  # keys of what was found at the look before
    lost: list[Machine] = field(default_factory=list)  # those that should be heard and are not
    away: list[Machine] = field(default_factory=list)
    full: list[Machine] = field(default_factory=list)  # whose disk is, or lately was, nearly full

    def __post_init__(self) -> None:
        """One pass over all machines: schools have hundreds, and each finder wants a few of them."""
        free_ratio = min(self.find.disk_full_ratio, self.find.disk_free_again_ratio)
        silent_ms = min(ms(self.find.silence.agent), ms(self.find.silence.relay))
        for machine in self.snapshot.machines:
            presence, telemetry = machine[1].presence, machine[1].telemetry
            state = presence.state
            if state in ON_STATES:
                if self.now_ms - presence.heard_ms > silent_ms and self._silent(machine[1]):
                    self.lost.append(machine)
            elif state in AWAY_STATES:
                self.away.append(machine)
            elif state is PowerState.LOST:
                self.lost.append(machine)
            if telemetry is not None:
                disk_ratio = telemetry.gauges.disk_ratio
                if disk_ratio is not None and disk_ratio >= free_ratio:
                    self.full.append(machine)

    def _silent(self, tracked: Tracked) -> bool:
        limit_ms = ms(self.find.silence.relay if Verb.WAKE in tracked.abilities else self.find.silence.agent)
        limit_ms = max(limit_ms, HEARTBEATS * tracked.presence.heartbeat_s * 1000)
        return self.now_ms - max(tracked.presence.heard_ms, self.seen_since_ms) > limit_ms

    def left_by_user(self, device: Device, tracked: Tracked) -> bool:
        """Whether it is off because its user wanted that, and nobody wanted it on since."""
        presence = tracked.presence
        off_by_user = presence.state in AWAY_STATES and presence.cause is Cause.USER
        wanted = device.name in self.overdue or device.name in self.cannot_wake
        return off_by_user and not wanted and not self.user_off_until_lesson

    def always_on(self, device: Device) -> bool:
        """Whether it is of a class that is never off."""
        known = self.snapshot.classes.get(device.device_class)
        return known is not None and known.always_on

    def kind_lost(self, machine: Machine) -> FindingKind:
        """What it means that this device is not heard."""
        device, tracked = machine
        if Verb.WAKE in tracked.abilities:
            return FindingKind.RELAY_SILENT
        if is_link(device):
            return FindingKind.LINK_DOWN
        return FindingKind.SERVER_DOWN if self.always_on(device) else FindingKind.LOST


def is_link(device: Device) -> bool:
    """Whether it is a device of the network."""
    return any(word in device.device_class for word in LINK_WORDS)


def subject_of(device: Device) -> Subject:
    """A device as the subject of a finding."""
    return Subject(device.school, device.room, device.name)


def away_since_ms(tracked: Tracked, now_ms: int) -> int:
    """Since when it is off or asleep, by the collector's clock: the device's own may be wrong."""
    skew_ms = tracked.telemetry.skew_ms if tracked.telemetry is not None else 0
    return min(now_ms, tracked.presence.since_ms + skew_ms)


def lost(view: View) -> Iterator[Finding]:
    """A machine that should be heard is not."""
    for machine in view.lost:
        if view.kind_lost(machine) is FindingKind.LOST:
            yield _not_heard(machine, FindingKind.LOST)


def relay_silent(view: View) -> Iterator[Finding]:
    """The device that wakes the others is not heard."""
    for machine in view.lost:
        if view.kind_lost(machine) is FindingKind.RELAY_SILENT:
            yield _not_heard(machine, FindingKind.RELAY_SILENT)


def link_down(view: View) -> Iterator[Finding]:
    """A device of the network is not heard. One that is never heard is judged by what is behind it (`group`)."""
    for machine in view.lost:
        if view.kind_lost(machine) is FindingKind.LINK_DOWN:
            yield _not_heard(machine, FindingKind.LINK_DOWN, "it is not heard any more")


def server_down(view: View) -> Iterator[Finding]:
    """A device that is never off is not heard, or is off."""
    for machine in view.lost:
        if view.kind_lost(machine) is FindingKind.SERVER_DOWN:
            yield _not_heard(machine, FindingKind.SERVER_DOWN)
    for device, tracked in view.away:
        if view.always_on(device) and Verb.WAKE not in tracked.abilities and not is_link(device):
            yield Finding(FindingKind.SERVER_DOWN, subject_of(device), away_since_ms(tracked, view.now_ms))


def _not_heard(machine: Machine, kind: FindingKind, value: str = "") -> Finding:
    device, tracked = machine
    presence = tracked.presence
    since_ms = presence.since_ms if presence.state is PowerState.LOST else presence.heard_ms
    return Finding(kind, subject_of(device), since_ms, value)


def not_back(view: View) -> Iterator[Finding]:
    """A machine that is away on record, and needed."""
    for device, tracked in view.away:
        lesson, overdue_ms = view.lessons.get(device.room), view.overdue.get(device.name)
        if (lesson is None and overdue_ms is None) or view.always_on(device) or Verb.WAKE in tracked.abilities:
            continue
        went_ms = away_since_ms(tracked, view.now_ms)
        moments = [overdue_ms] if overdue_ms is not None else []
        if lesson is not None and (tracked.presence.cause is not Cause.USER or view.user_off_until_lesson):
            moments.append(lesson.from_ms)
        needed = [at_ms for at_ms in moments if went_ms < at_ms <= view.now_ms]
        if needed:
            moment = local(min(needed), zone_of(view.snapshot.school.time_zone))
            yield Finding(FindingKind.NOT_BACK, subject_of(device), min(needed), f"{moment:%H:%M}")


def cannot_wake(view: View) -> Iterator[Finding]:
    """Wakes were asked for in vain; it lasts until one succeeds."""
    if not view.cannot_wake:
        return
    for device, _ in view.snapshot.machines:
        found = view.cannot_wake.get(device.name)
        if found is not None:
            at_ms, why = found
            yield Finding(FindingKind.CANNOT_WAKE, subject_of(device), at_ms, str(why) if why is not None else "")


def room_not_ready(view: View) -> Iterator[Finding]:
    """Too few machines of a room were on when its lesson began, and are still.

    What its user switched off is ready for whoever comes and switches it on, unless it was to be woken.
    """
    for room, (on, total) in view.ready.items():
        lesson = view.lessons.get(room)
        if lesson is None or not total or on >= view.find.room_ready_ratio * total:
            continue
        now_on, now_total = waking.readiness(view.snapshot, room)
        if not now_total or now_on >= view.find.room_ready_ratio * now_total:
            continue
        hits = tuple(
            subject_of(device)
            for device, tracked in view.snapshot.machines
            if device.room == room
            and tracked.presence.state not in ON_STATES
            and not view.always_on(device)
            and Verb.WAKE not in tracked.abilities
            and not view.left_by_user(device, tracked)
        )
        if now_total - len(hits) >= view.find.room_ready_ratio * now_total:
            continue
        moment = local(lesson.from_ms, zone_of(view.snapshot.school.time_zone))
        value = f"{on} of {total} on at {moment:%H:%M}, {now_on} now"
        yield Finding(FindingKind.ROOM_NOT_READY, Subject(view.snapshot.school.name, room), lesson.from_ms, value, hits)


def disk_full(view: View) -> Iterator[Finding]:
    """The fullest disk of a machine is nearly full."""
    for device, tracked in view.full:
        assert tracked.telemetry is not None
        disk_ratio = tracked.telemetry.gauges.disk_ratio
        assert disk_ratio is not None
        finding = Finding(FindingKind.DISK_FULL, subject_of(device), view.now_ms, f"{disk_ratio:.0%}")
        if disk_ratio >= view.find.disk_full_ratio or finding.key in view.known:
            yield finding


def crashing(view: View) -> Iterator[Finding]:
    """A machine started again and again without having said that it goes."""
    if not view.crashes:
        return
    for device, _ in view.snapshot.machines:
        times, last_ms = view.crashes.get(device.name, (0, 0))
        if times >= view.find.crashes:
            value = f"{times} times in {view.find.crashes_within}"
            yield Finding(FindingKind.CRASHING, subject_of(device), last_ms, value)


def school_dark(view: View) -> Iterator[Finding]:
    """So much of the school looks lost that it is one fault: its line, or Caretaker's own way to it."""
    if len(view.lost) < view.find.dark_machines:
        return
    machines = view.snapshot.machines
    count, expected = looks_lost(machines, view.policy, view.now_ms)
    if count < view.find.dark_machines or count < view.find.dark_ratio * expected:
        return
    hits = [
        (device, tracked)
        for device, tracked in machines
        if looks_lost([(device, tracked)], view.policy, view.now_ms) == (1, 1)
    ]
    # It became dark with the machine that was one too many; the first may have been gone for days.
    enough = max(view.find.dark_machines, ceil(view.find.dark_ratio * expected))
    since_ms = sorted(_not_heard(machine, FindingKind.LOST).since_ms for machine in hits)[enough - 1]
    yield Finding(
        FindingKind.SCHOOL_DARK,
        Subject(view.snapshot.school.name),
        since_ms,
        f"{count} of {expected} machines",
        tuple(subject_of(device) for device, _ in hits),
    )


Finder = Callable[[View], Iterator[Finding]]
FINDERS: tuple[Finder, ...] = (
    school_dark,
    link_down,
    server_down,
    relay_silent,
    lost,
    not_back,
    cannot_wake,
    room_not_ready,
    disk_full,
    crashing,
)


def find(view: View) -> list[Finding]:
    """All that is wrong at this school."""
    return [finding for finder in FINDERS for finding in finder(view)]


PARTS: Mapping[str, FindingKind] = {
    "broker": FindingKind.BROKER_SILENT,
    "store": FindingKind.STORE_SILENT,
    "core": FindingKind.RULES_SILENT,
    "rules": FindingKind.RULES_SILENT,
    "alerts": FindingKind.RULES_SILENT,
    "reviews": FindingKind.REVIEW_NOT_MADE,
    "break-glass": FindingKind.GLASS_BROKEN,  # no part, and not in /healthz: somebody has to know of it all the same
}
"""What it means that a part of the collector, as /healthz names it, does not work."""


def find_own(problems: Mapping[str, str], behind_s: float, find: FindSettings, now_ms: int) -> list[Finding]:
    """What is wrong with Caretaker itself: `problems` by part, and how old the newest message is that it has read."""
    found: dict[FindingKind, list[str]] = {}
    for part, problem in problems.items():
        if part in PARTS:
            found.setdefault(PARTS[part], []).append(problem)
    if behind_s * 1000 > ms(find.silence.collector):
        found[FindingKind.COLLECTOR_BEHIND] = [f"{behind_s / 60:.0f} min"]
    return [Finding(kind, Subject(), now_ms, "; ".join(said)) for kind, said in found.items()]
