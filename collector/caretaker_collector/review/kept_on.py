"""What keeps machines awake: hours on with nobody there, by the reason that was in force at the time.

A decision stands until the next one of the same machine, and is kept only where it differs from the one before. So the
reason of any moment is that of the newest decision before it. Of several reasons the first one counts that is not
merely "idle for too short a time": that one passes by itself. Machines that are meant to be on always are left out.
"""

from collections.abc import Iterable
from datetime import timedelta

import msgspec
from msgspec import Struct

from caretaker_collector.points import CHANGE, whole
from caretaker_collector.review.sources import Sources
from caretaker_collector.review.span import Span
from caretaker_contract.messages import PowerState
from caretaker_rules.calendar import midnight_ms, zone_of
from caretaker_rules.decisions import ACTING, Verdict
from caretaker_rules.model import School
from caretaker_rules.reasons import Why

NO_POLICY = "no rule runs in this school"
NO_DECISION = "no rule had looked at it yet"
ASKED = "asked to go, and not gone yet"
THOUGHT_OFF = "not known to be on"
WORDS: dict[str, str] = {
    Why.IN_USE: "used a moment ago",
    Why.NOT_IDLE_LONG_ENOUGH: "idle for too short a time yet",
    Why.IDLE_UNKNOWN: "it cannot tell how long it has been idle",
    Why.STATE_UNKNOWN: "nothing certain was known of it",
    Why.REPORT_STALE: "its last report was too old",
    Why.CLOCK_DOUBTFUL: "its clock was wrong",
    Why.RECENT_RECONNECT: "its connection had just come back",
    Why.CONTRADICTORY: "its readings contradicted each other",
    Why.BOOKED: "its room was booked",
    Why.CALENDAR_UNKNOWN: "no timetable is known, so its room counts as booked",
    Why.HELD: "somebody asked for it to stay on",
    Why.FROZEN: "an exam freeze",
    Why.MAINTENANCE: "it was worked on",
    Why.PATCH_WINDOW: "kept on for updates",
    Why.EXEMPT: "exempt by its tag",
    Why.INHIBITED: "a programme on it asked to stay on",
    Why.UNABLE: "it has not said that it can switch itself off",
    Why.UNREGISTERED: "not in the asset register",
    Why.UNKNOWN_CLASS: "its class is not in the estate",
    Why.RECENT_VETO: "somebody there had said no",
    Why.ALREADY_ASKED: ASKED,
    Why.ASKED_ONCE: "asked once in this idle time already",
    Why.NOT_WAKEABLE: "it could not be woken again",
    Why.CHECK_FAILED: "a check could not be made",
    Why.OUTSIDE_RULE_HOURS: "outside the hours of any rule",
    Why.NO_RULE: "no rule selects it",
    Why.ALREADY_OFF: THOUGHT_OFF,
    Why.LIMIT_PER_MINUTE: "as many went at once as may",
    Why.LIMIT_ROOM: "as many of its room went at once as may",
    Why.LIMIT_SCHOOL: "as many of the school went at once as may",
    Why.CYCLES: "switched often enough that day",
    Why.SCHOOL_LOOKS_LOST: "much of the school looked lost",
    Why.STOPPED: "the stop switch was on",
    Why.OBSERVE_ONLY: "the rule only observed",
    Why.COLLECTOR_BEHIND: "Caretaker itself was behind",
    Why.NO_BROKER: "Caretaker itself had no connection",
}
IDLE = PowerState.IDLE.value
_PASSES = frozenset({Why.IN_USE.value, Why.NOT_IDLE_LONG_ENOUGH.value})
_NOT_OF_ENERGY = frozenset({Verdict.WAKE.value, Verdict.NOT_WOKEN.value})
_ACTS = frozenset(verdict.value for verdict in ACTING)
LOOK_BACK_DAYS = 10
"""A decision of before the span may still be in force in it; one older than this is not looked for."""


class _Reason(Struct, frozen=True):
    why: str


class _Told(Struct, frozen=True):
    """What is needed of a decision."""

    verdict: str
    reasons: tuple[_Reason, ...]


class KeptOn(Struct, frozen=True, kw_only=True):
    """One reason."""

    reason: str
    idle_s: float  # machines together
    machines: int
    room: str  # in which most of it was


_read = msgspec.json.Decoder(_Told).decode


async def kept_on(sources: Sources, school: School, span: Span) -> list[KeptOn]:
    """Every reason with its hours, the longest first. Unavailable: the store."""
    zone = zone_of(school.time_zone)
    start_ms = midnight_ms(span.first, zone)
    end_ms = min(midnight_ms(span.last + timedelta(days=1), zone), sources.now_ms)
    idle = await _idle(sources, school, span, end_ms)
    decided = _decided(sources, school.name, start_ms, end_ms) if school.policy else {}
    sums: dict[str, dict[tuple[str, str], int]] = {}
    for (device, room), stretches in idle.items():
        for reason, length_ms in _split(stretches, decided.get(device, []), bool(school.policy)):
            places = sums.setdefault(reason, {})
            places[room, device] = places.get((room, device), 0) + length_ms
    found = []
    for reason, places in sums.items():
        by_room: dict[str, int] = {}
        for (room, _), length_ms in places.items():
            by_room[room] = by_room.get(room, 0) + length_ms
        found.append(
            KeptOn(
                reason=reason,
                idle_s=sum(places.values()) / 1000,
                machines=len(places),
                room=max(sorted(by_room), key=lambda room: by_room[room]),
            )
        )
    return sorted(found, key=lambda each: (-each.idle_s, each.reason))


async def _idle(
    sources: Sources, school: School, span: Span, end_ms: int
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """When each machine was on and idle, by machine and room."""
    zone = zone_of(school.time_zone)
    since: dict[tuple[str, str], tuple[int, bool]] = {}  # when its state began, and whether that is idle
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    day, span_ms = span.first, midnight_ms(span.first, zone)
    while day <= span.last:
        begin_ms, until_ms = midnight_ms(day, zone), midnight_ms(day + timedelta(days=1), zone)
        if begin_ms >= end_ms:
            break
        points = await sources.remembered.read("transition", begin_ms, until_ms, school=school.name)
        for point in whole(points, *CHANGE):
            _, room, device_class, device = point.tags
            known = sources.estate.classes.get(device_class)
            if known is not None and known.always_on:
                continue
            at_ms, key = point.time_ns // 1_000_000, (device, room)
            # Before its first change of the span it was what this one says that it was.
            before = since.get(key, (span_ms, point.fields["from_state"] == IDLE))
            if before[1] and before[0] < min(at_ms, end_ms):
                found.setdefault(key, []).append((before[0], min(at_ms, end_ms)))
            since[key] = (at_ms, point.fields["to_state"] == IDLE)
        day += timedelta(days=1)
    for key, (from_ms, is_idle) in since.items():
        if is_idle and from_ms < end_ms:
            found.setdefault(key, []).append((from_ms, end_ms))
    return found


def _decided(sources: Sources, school: str, start_ms: int, end_ms: int) -> dict[str, list[tuple[int, str]]]:
    """From when which reason was in force, by machine, in order of time."""
    found: dict[str, list[tuple[int, str]]] = {}
    rows = sources.db.execute(
        "SELECT device, at_ms, decision FROM decisions WHERE school = ? AND at_ms >= ? AND at_ms < ? ORDER BY id",
        (school, start_ms - LOOK_BACK_DAYS * 86_400_000, end_ms),
    )
    for device, at_ms, blob in rows:
        told = _read(blob)
        if told.verdict in _NOT_OF_ENERGY:
            continue
        reasons = found.setdefault(device, [])
        if reasons and at_ms < start_ms:
            reasons.clear()  # of those before the span only the newest is in force in it
        reasons.append((at_ms, words(told.verdict, [reason.why for reason in told.reasons])))
    return found


def words(verdict: str, whys: Iterable[str]) -> str:
    """The reason of a decision that stood while a machine was idle."""
    if verdict in _ACTS:
        return ASKED
    every = list(whys)
    lasting = [why for why in every if why not in _PASSES]
    why = (lasting or every or [verdict])[0]
    return WORDS.get(why, why.replace("_", " "))


def _split(
    stretches: Iterable[tuple[int, int]], reasons: list[tuple[int, str]], policy: bool
) -> Iterable[tuple[str, int]]:
    """Idle stretches, in order of time, by the reason that was in force in each part."""
    # From `begins[n]` on until the next one `told[n]` was in force.
    begins = [0, *(at_ms for at_ms, _ in reasons)]
    told = [NO_DECISION if policy else NO_POLICY, *(reason for _, reason in reasons)]
    place = 0
    for from_ms, until_ms in stretches:
        here = from_ms
        while here < until_ms:
            while place + 1 < len(begins) and begins[place + 1] <= here:
                place += 1
            ends_ms = min(until_ms, begins[place + 1]) if place + 1 < len(begins) else until_ms
            yield told[place], ends_ms - here
            here = ends_ms
