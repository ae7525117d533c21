"""What counts once: a dead switch is one fault, not thirty machines.

- Outages that belong to one incident are one fault, however many machines were hit; merged incidents are one.
- Outages of one machine that are parts of one outage, or with no service owed in between, are one.
- What belongs to no incident counts for itself.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident
from caretaker_rules.service_hours import ServiceClock


class DeviceOutage(Struct, frozen=True, order=True):
    """One stretch of one day in which a device was not available when it was owed, as the day's roll-up wrote it."""

    device: str
    from_ms: int
    until_ms: int
    what: str  # as availability.Down
    cause: str = ""
    began_ms: int = 0  # when the first part of it began, perhaps on another day
    room: str = ""


class Fault(Struct, frozen=True, kw_only=True):
    """What counts once: an incident with its outages, or outages of one device that belong to none."""

    incident: str = ""  # INC-12; "": none
    title: str = ""
    priority: int | None = None
    from_ms: int
    until_ms: int
    down_ms: int  # of all its devices, in owed time
    devices: tuple[str, ...]
    whats: tuple[str, ...]  # as availability.Down
    causes: tuple[str, ...]
    outages: tuple[DeviceOutage, ...] = ()


def faults(outages: Sequence[DeviceOutage], incidents: Sequence[Incident], clock: ServiceClock) -> list[Fault]:
    """The outages by what counts once, in order of time."""
    by_uid = {each.uid: each for each in incidents}
    groups: dict[str, list[DeviceOutage]] = {}
    alone: list[list[DeviceOutage]] = []
    for run in _runs(outages, clock):
        incident = _incident_of(run, incidents)
        if incident is None:
            alone.append(run)
        else:
            groups.setdefault(_root(incident, by_uid).uid, []).extend(run)
    found = [_fault(group, by_uid[uid], clock) for uid, group in groups.items()] + [
        _fault(run, None, clock) for run in alone
    ]
    return sorted(found, key=lambda fault: (fault.from_ms, fault.incident, fault.devices))


def _runs(outages: Iterable[DeviceOutage], clock: ServiceClock) -> list[list[DeviceOutage]]:
    """Outages of one device that are one: parts of it, or with no service owed between them."""
    by_device: dict[str, list[DeviceOutage]] = {}
    for outage in sorted(outages):
        by_device.setdefault(outage.device, []).append(outage)
    runs: list[list[DeviceOutage]] = []
    for own in by_device.values():
        runs.append([own[0]])
        for before, after in pairwise(own):
            if before.began_ms != after.began_ms and clock.owed(before.until_ms, after.from_ms):
                runs.append([after])
            else:
                runs[-1].append(after)
    return runs


def _incident_of(run: Sequence[DeviceOutage], incidents: Sequence[Incident]) -> Incident | None:
    """The incident that a run of outages belongs to: one that names the device, else its room, else the school.

    It has to be on at some time of the run; of several the first one counts.
    """
    device, room = run[0].device, run[0].room
    from_ms, until_ms = run[0].from_ms, run[-1].until_ms
    best: tuple[int, int, Incident] | None = None
    for incident in incidents:
        if incident.since_ms > until_ms or (incident.fixed_ms and incident.fixed_ms < from_ms):
            continue
        near = _nearness(incident, device, room)
        if near and (best is None or (near, incident.since_ms) < best[:2]):
            best = (near, incident.since_ms, incident)
    return best[2] if best else None


_OF_ITS_PLACE = (FindingKind.SCHOOL_DARK, FindingKind.LINK_DOWN, FindingKind.ROOM_NOT_READY)
"""Kinds whose subject stands for all machines in it. An incident named otherwise hits what it names."""


def _nearness(incident: Incident, device: str, room: str) -> int:
    subject = incident.subject
    if any(hit.device == device for hit in incident.ever_hit) or subject.device == device:
        return 1
    if subject.device or incident.kind not in _OF_ITS_PLACE:
        return 0
    if subject.room:
        return 2 if subject.room == room else 0
    return 3


def _root(incident: Incident, by_uid: dict[str, Incident]) -> Incident:
    """The incident that it was merged into, if it was."""
    seen = {incident.uid}
    while incident.merged_into in by_uid and incident.merged_into not in seen:
        incident = by_uid[incident.merged_into]
        seen.add(incident.uid)
    return incident


def _fault(outages: Sequence[DeviceOutage], incident: Incident | None, clock: ServiceClock) -> Fault:
    return Fault(
        incident=incident.name if incident else "",
        title=incident.title if incident else "",
        priority=incident.priority if incident else None,
        from_ms=min(each.from_ms for each in outages),
        until_ms=max(each.until_ms for each in outages),
        down_ms=sum(clock.used_ms(each.from_ms, each.until_ms) for each in outages),
        devices=tuple(sorted({each.device for each in outages})),
        whats=tuple(sorted({each.what for each in outages})),
        causes=tuple(sorted({each.cause for each in outages})),
        outages=tuple(sorted(outages)),
    )
