"""How a school and its rooms stand at a moment, as numbers: what screens show "now", counted in one place.

A device counts when it is in the asset register and something is to be heard of it, by its class.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from caretaker_contract.messages import PowerState
from caretaker_rules import clocks
from caretaker_rules.calendar import Booking, Unknown
from caretaker_rules.decisions import Snapshot
from caretaker_rules.incidents import Incident, Status
from caretaker_rules.limits import blindness
from caretaker_rules.model import Hold, Presence
from caretaker_rules.policy import Policy
from caretaker_rules.presence import AWAY_STATES
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.shown import Shown, shown_as
from caretaker_rules.waking import readiness_by_room

PRIORITIES = (1, 2, 3, 4)
MINUTE_MS = 60_000


class Tally(Struct):
    """Devices by power state. `planned_off` are among those off or asleep."""

    devices: int = 0
    in_use: int = 0
    idle: int = 0
    asleep: int = 0
    off: int = 0
    lost: int = 0
    unknown: int = 0
    planned_off: int = 0

    def add(self, state: PowerState, planned: bool) -> None:
        """One more device."""
        self.devices += 1
        setattr(self, state.value, getattr(self, state.value) + 1)
        self.planned_off += planned and state in AWAY_STATES


class RoomStands(Struct, frozen=True, kw_only=True):
    """A room at a moment. `ready`, `total`: of the machines that a lesson needs."""

    bar: Mapping[Shown, int]
    ready: int
    total: int
    lesson: Booking


class Stands(Struct, frozen=True, kw_only=True):
    """A school at a moment, room by room, for a page that shows hundreds of them without looking at a device."""

    bar: Mapping[Shown, int]
    rooms: Mapping[str, RoomStands]
    blind: bool


class Lessons(Struct, frozen=True):
    """Rooms with a lesson or booking now; and how many of them have the machines for it."""

    rooms: int
    ready: int


def tallies(snapshot: Snapshot) -> tuple[Tally, dict[str, Tally]]:
    """The school's devices by power state, and those of each of its rooms."""
    school, rooms = Tally(), {room.name: Tally() for room in snapshot.school.rooms}
    for device, tracked in snapshot.machines:
        device_class = snapshot.classes.get(device.device_class)
        if device_class is not None and not device_class.agent:
            continue
        presence = tracked.presence
        school.add(presence.state, presence.planned)
        rooms.setdefault(device.room, Tally()).add(presence.state, presence.planned)
    return school, rooms


def stands(snapshot: Snapshot, bookings: Mapping[str, Booking], policy: Policy, now_ms: int) -> Stands:
    """How a school and its rooms stand. A room of which `bookings` does not speak has no calendar that is known."""
    whole, rooms = bars(snapshot)
    found = readiness_by_room(snapshot)
    return Stands(
        bar=whole,
        rooms={
            name: RoomStands(
                bar=bar,
                ready=found.get(name, (0, 0))[0],
                total=found.get(name, (0, 0))[1],
                lesson=bookings.get(name, Unknown(name)),
            )
            for name, bar in rooms.items()
        },
        blind=is_blind(snapshot, policy, now_ms),
    )


def shown_now(presence: Presence) -> Shown:
    """What a machine is shown as now; of one that was heard before and about which nothing is certain: blind."""
    before = PowerState.IN_USE if presence.heard_ms else PowerState.UNKNOWN
    return shown_as(presence.state, presence.cause, before)


def bars(snapshot: Snapshot) -> tuple[dict[Shown, int], dict[str, dict[Shown, int]]]:
    """The same devices as of `tallies` by shown state: of the school, and of each of its rooms."""
    school: dict[Shown, int] = {}
    rooms: dict[str, dict[Shown, int]] = {room.name: {} for room in snapshot.school.rooms}
    for device, tracked in snapshot.machines:
        device_class = snapshot.classes.get(device.device_class)
        if device_class is not None and not device_class.agent:
            continue
        shown = shown_now(tracked.presence)
        room = rooms.setdefault(device.room, {})
        school[shown] = school.get(shown, 0) + 1
        room[shown] = room.get(shown, 0) + 1
    return school, rooms


def is_blind(snapshot: Snapshot, policy: Policy, now_ms: int) -> bool:
    """Whether Caretaker itself cannot see: without a broker or behind, or the school looks lost to it."""
    return snapshot.behind_s > policy.behind_s or blindness(snapshot, policy, now_ms) is not None


def lessons_ready(snapshot: Snapshot, rooms: Iterable[str], ratio: float) -> Lessons:
    """Of `rooms`, which have a lesson now: how many have at least `ratio` of their machines on.

    A room without a machine that a lesson needs is in neither number.
    """
    counted = [(on, total) for on, total in ready(snapshot, rooms).values() if total]
    return Lessons(len(counted), sum(is_enough(on, total, ratio) for on, total in counted))


def ready(snapshot: Snapshot, rooms: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Of each of these rooms (ready, total) of the machines that a lesson there needs."""
    found = readiness_by_room(snapshot)
    return {room: found.get(room, (0, 0)) for room in rooms}


def is_enough(on: int, total: int, ratio: float) -> bool:
    """Whether a room with so many machines on is ready for its lesson."""
    return on >= ratio * total


def by_priority(incidents: Iterable[Incident]) -> tuple[dict[int, int], int]:
    """How many incidents are open at each priority of 1 to 4, and how many without one."""
    found, without = dict.fromkeys(PRIORITIES, 0), 0
    for incident in incidents:
        if incident.open:
            if incident.priority in found:
                found[incident.priority] += 1
            else:
                without += 1
    return found, without


def fix_left_ms(incidents: Iterable[Incident], hours: ServiceClock | None, now_ms: int) -> int | None:
    """What the tightest fix clock has left, in time of service; below 0: it is late.

    None when no clock runs: nothing is open, no service level gives it a time, or all wait for the customer.
    """
    if hours is None:
        return None
    running = [incident for incident in incidents if incident.open and incident.status is not Status.PAUSED]
    left = [clock.left_ms for incident in running if (clock := clocks.fix(incident, hours, now_ms)) is not None]
    return min(left, default=None)


def is_held(holds: Iterable[Hold], school: str, room: str, now_ms: int) -> bool:
    """Whether something keeps the whole room as it is: a hold, a freeze or maintenance, now."""
    return next(holding(holds, school, room, now_ms), None) is not None


def holding(holds: Iterable[Hold], school: str, room: str, now_ms: int) -> Iterator[Hold]:
    """What keeps the whole room as it is now."""
    for hold in holds:
        if (
            hold.kind != "silence"
            and hold.school == school
            and hold.room in (None, room)
            and hold.device is None
            and hold.device_class is None
            and hold.from_ms <= now_ms < hold.until_ms
        ):
            yield hold


def counts(tally: Tally) -> Mapping[str, int]:
    """A tally as fields of a point."""
    return {name: getattr(tally, name) for name in Tally.__struct_fields__}
