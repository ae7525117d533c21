"""Saving never delays patching: windows in which machines stay on, and machines that a rule has kept off too long.

A machine that is off gets no updates. Cyber Essentials asks for high-risk and critical ones within 14 days of their
release (NCSC, "Requirements for IT infrastructure" v3.3, security update management).
"""

from collections.abc import Iterable, Iterator
from datetime import time, timedelta
from typing import NamedTuple

from msgspec import Struct

from caretaker_contract.messages import Cause
from caretaker_contract.topics import Address
from caretaker_rules.calendar import DAY_MIN, local, parse_span, zone_of
from caretaker_rules.model import Device, School, Tracked
from caretaker_rules.policy import PatchWindow, Policy
from caretaker_rules.presence import AWAY_STATES
from caretaker_rules.repeats import wall_ms

DAY_MS = 86_400_000
RESTART_WITHIN_S = 1800
"""A window with `restart` restarts machines in its last half hour: until then updates are installed."""


class OpenWindow(NamedTuple):
    """A patch window that is on, or begins soon (UTC ms)."""

    window: PatchWindow
    from_ms: int
    until_ms: int


class Due(Struct, frozen=True, kw_only=True):
    """A machine that a rule has kept off for longer than its patch window allows, so it has to be woken for patches."""

    device: Address
    window: str  # the first patch window that selects the machine
    off_since_ms: int  # device time
    due_ms: int  # by when it has to be patched
    overdue: bool
    window_ms: int  # when that window is next on, or since when it is; 0: not within two weeks


def due_for_patching(
    machines: Iterable[tuple[Device, Tracked]], school: School, policy: Policy, now_ms: int
) -> list[Due]:
    """Machines that rules kept off beyond `off_at_most` of their patch window, the longest off first.

    Off counts when the machine itself said that a rule switched it (cause RULE): what its user or an engineer switched
    off is not a rule's doing. Machines that no window selects are never listed.
    """
    found = []
    for device, tracked in machines:
        presence = tracked.presence
        if presence.state not in AWAY_STATES or presence.cause is not Cause.RULE:
            continue
        window = next((window for window in policy.patch if window.selects(device, school)), None)
        if window is None or now_ms - presence.since_ms <= window.off_at_most_s * 1000:
            continue
        due_ms = presence.since_ms + window.due_days * DAY_MS
        opening = next(_openings(window, now_ms, now_ms + 14 * DAY_MS, school.time_zone), None)
        found.append(
            Due(
                device=device.address,
                window=window.name,
                off_since_ms=presence.since_ms,
                due_ms=due_ms,
                overdue=now_ms > due_ms,
                window_ms=opening[0] if opening else 0,
            )
        )
    return sorted(found, key=lambda due: (due.off_since_ms, due.device))


def open_windows(school: School, policy: Policy, now_ms: int, ahead_s: int = 0) -> list[OpenWindow]:
    """The patch windows of the policy that are on at `now_ms` or begin within `ahead_s`."""
    return [
        OpenWindow(window, *opening)
        for window in policy.patch
        for opening in _openings(window, now_ms, now_ms + ahead_s * 1000, school.time_zone)
    ]


def restarting(school: School, policy: Policy, now_ms: int) -> list[OpenWindow]:
    """The patch windows that restart their machines, in the part of them in which they do."""
    return [
        found
        for found in open_windows(school, policy, now_ms)
        if found.window.restart and found.until_ms - now_ms <= RESTART_WITHIN_S * 1000
    ]


def _openings(window: PatchWindow, at_ms: int, by_ms: int, time_zone: str) -> Iterator[tuple[int, int]]:
    """(from, until) of the window's hours that are not over at `at_ms` and begin by `by_ms`, in order of day."""
    zone = zone_of(time_zone)
    spans = [parse_span(text) for text in window.hours]
    day = local(at_ms, zone).date() - timedelta(days=1)  # yesterday's may run past midnight
    while wall_ms(day, time(), zone) <= by_ms:
        for span in sorted(spans, key=lambda span: span.start_min):
            if day.weekday() not in span.days:
                continue
            from_ms = wall_ms(day, _clock(span.start_min), zone)
            end_day = day + timedelta(days=span.end_min // DAY_MIN)
            until_ms = wall_ms(end_day, _clock(span.end_min), zone, later=True)
            if from_ms <= by_ms and at_ms < until_ms:
                yield from_ms, until_ms
        day += timedelta(days=1)


def _clock(minute: int) -> time:
    return time(minute % DAY_MIN // 60, minute % 60)
