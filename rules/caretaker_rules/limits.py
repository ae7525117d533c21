"""What holds back decisions of a whole school: stop switch, mode, our own blindness, and the caps (invariant I5).

Every cap counts what rules have asked of machines lately, then lets through candidates in a fixed order, longest idle
first. What is held back is left on with the limit as its reason and comes up again at the next tick.
"""

from collections.abc import Iterable, Sequence

from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision, Snapshot
from caretaker_rules.model import Device, Stop, Tracked
from caretaker_rules.policy import Policy
from caretaker_rules.presence import AWAY_STATES, ON_STATES
from caretaker_rules.reasons import Reason, Why

LOST_RATIO = 0.55
"""Kubernetes slows or stops evictions when as many nodes of a zone look unhealthy (--unhealthy-zone-threshold)."""
LOST_AT_LEAST = 3
MINUTE_MS = 60_000


def apply(decisions: Sequence[Decision], snapshot: Snapshot, policy: Policy, now_ms: int) -> list[Decision]:
    """The same decisions in the same order, those beyond a limit turned into left-on with its reason."""
    result = list(decisions)
    candidates = [index for index, decision in enumerate(result) if decision.acts]
    if not candidates:
        return result
    rooms = {device.address: device.room for device, _ in snapshot.machines}
    blind = blindness(snapshot, policy, now_ms)
    stops = snapshot.stops
    waiting = []
    for index in candidates:
        decision = result[index]
        room = rooms.get(decision.device)
        if room is None or decision.device.school != snapshot.school.name:
            result[index] = decision.held_back(Reason(Why.UNREGISTERED))
            continue
        against = []
        stop = stop_on(stops, decision.device.school, room)
        if stop is not None:
            against.append(Reason(Why.STOPPED, stop.reason))
        if blind is not None:
            against.append(blind)
        if not policy.may_act(decision.device.school, room):
            against.append(Reason(Why.OBSERVE_ONLY, policy.mode.value))
        if against:
            result[index] = decision.held_back(*against)
        else:
            waiting.append(index)
    if waiting:
        caps = _Caps(snapshot, policy, now_ms, rooms)
        waiting.sort(key=lambda index: (-result[index].idle_s, result[index].device))
        for index in waiting:
            decision = result[index]
            against = caps.against(decision.device)
            if against:
                result[index] = decision.held_back(*against)
            else:
                result[index] = caps.let_through(decision)
    return result


def is_stopped(stops: Iterable[Stop], school: str, room: str) -> bool:
    """Whether a stop switch is on for this room: everywhere, in its school, or for itself."""
    return stop_on(stops, school, room) is not None


def stop_on(stops: Iterable[Stop], school: str, room: str) -> Stop | None:
    """The first stop switch that is on for this room; None: there is none."""
    for stop in stops:
        if stop.school in (None, school) and stop.room in (None, room):
            return stop
    return None


def looks_lost(machines: Iterable[tuple[Device, Tracked]], policy: Policy, now_ms: int) -> tuple[int, int]:
    """How many machines look lost, out of how many that should be heard.

    Machines known to be off or asleep, and those of which nothing ever came, are in neither number: at night, three
    lost out of the four that are on are a reason to doubt, however many are off. A machine that is on with a stale
    report looks lost even before it is called so.
    """
    lost = expected = 0
    for _, tracked in machines:
        presence = tracked.presence
        never_heard = not presence.heard_ms and presence.state is not PowerState.LOST  # a will alone counts as lost
        if presence.state in AWAY_STATES or never_heard:
            continue
        expected += 1
        stale_ms = policy.stale_heartbeats * presence.heartbeat_s * 1000
        if presence.state not in ON_STATES or presence.lost_ms or now_ms - presence.heard_ms > stale_ms:
            lost += 1
    return lost, expected


def blindness(snapshot: Snapshot, policy: Policy, now_ms: int) -> Reason | None:
    """Why we doubt our own view of this school, so that nothing is sent there; None: we do not."""
    lost, expected = looks_lost(snapshot.machines, policy, now_ms)
    if lost >= LOST_AT_LEAST and lost >= LOST_RATIO * expected:
        return Reason(Why.SCHOOL_LOOKS_LOST, f"{lost} of {expected}")
    return None


def share(percent: int, machines: int) -> int:
    """How many of `machines` a percentage allows: rounded down, but one at least unless it is 0 %."""
    return max(1, machines * percent // 100) if percent and machines else 0


class _Caps:
    """Counts what went out lately, and each decision that is let through."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now_ms: int, rooms: dict[Address, str]) -> None:
        self._rooms = rooms
        self._per_minute = policy.per_minute
        room_sizes: dict[str, int] = {}
        for room in rooms.values():
            room_sizes[room] = room_sizes.get(room, 0) + 1
        self._room_caps = {room: share(policy.room_percent, size) for room, size in room_sizes.items()}
        self._room_percent = policy.room_percent
        self._school_percent = policy.school_percent
        self._school_cap = share(policy.school_percent, len(rooms))
        window_ms = policy.at_once_s * 1000
        asked = {address: snapshot.asked[address].asked_ms for address in rooms if address in snapshot.asked}
        # A send in the future (our clock was set back) still counts: better too few than too many.
        sent = [at_ms for at_ms, _ in snapshot.recent_sends_ms if now_ms - at_ms < MINUTE_MS]
        self._minute = max(len(sent), sum(now_ms - at_ms < MINUTE_MS for at_ms in asked.values()))
        recent = {address for address, at_ms in asked.items() if now_ms - at_ms < window_ms}
        for device, tracked in snapshot.machines:
            presence = tracked.presence
            by_rule = presence.cause is Cause.RULE and presence.state in AWAY_STATES
            if by_rule and now_ms - presence.since_ms < window_ms:
                recent.add(device.address)
        self._in_room: dict[str, int] = {}
        for address in recent:
            self._in_room[rooms[address]] = self._in_room.get(rooms[address], 0) + 1
        self._in_school = len(recent)
        # The list of sends may know of machines that were asked twice or have left the register: take the larger count.
        sends_in_room: dict[str, int] = {}
        for at_ms, room in snapshot.recent_sends_ms:
            if now_ms - at_ms < window_ms:
                sends_in_room[room] = sends_in_room.get(room, 0) + 1
        for room, count in sends_in_room.items():
            self._in_room[room] = max(self._in_room.get(room, 0), count)
        self._in_school = max(self._in_school, sum(sends_in_room.values()))

    def against(self, address: Address) -> list[Reason]:
        """Every cap that this machine would break."""
        room = self._rooms[address]
        reasons = []
        if self._minute >= self._per_minute:
            reasons.append(Reason(Why.LIMIT_PER_MINUTE, limit=str(self._per_minute)))
        if self._in_room.get(room, 0) >= self._room_caps[room]:
            reasons.append(Reason(Why.LIMIT_ROOM, limit=f"{self._room_percent} %"))
        if self._in_school >= self._school_cap:
            reasons.append(Reason(Why.LIMIT_SCHOOL, limit=f"{self._school_percent} %"))
        return reasons

    def let_through(self, decision: Decision) -> Decision:
        """Count it, and note in its reasons how far the limits are used with it."""
        room = self._rooms[decision.device]
        self._minute += 1
        self._in_school += 1
        self._in_room[room] = self._in_room.get(room, 0) + 1
        used = (
            f"{self._minute} of {self._per_minute} this minute, "
            f"{self._in_room[room]} of {self._room_caps[room]} of the room, "
            f"{self._in_school} of {self._school_cap} of the school"
        )
        return decision.with_reason(Reason(Why.WITHIN_LIMITS, used))
