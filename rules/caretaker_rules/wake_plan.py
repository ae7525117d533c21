"""Which wakes calendar and policy make certain, ahead of time: for people's calendars.

Each occasion is the one that the live waking would find (`waking.occasion_of`), asked at the moment at which its waking
begins. What happens on the day is not foreseen: machines that are on already, a stop switch, a relay that is away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from msgspec import Struct

from caretaker_rules import calendar
from caretaker_rules.calendar import Unknown
from caretaker_rules.model import EXEMPT_TAG, Device, DeviceClass, Hold, School
from caretaker_rules.patching import open_windows
from caretaker_rules.policy import Policy, WakeRule
from caretaker_rules.timetable import Timetable
from caretaker_rules.waking import PATCH_RULE, Occasion, for_patches, occasion_of, time_on

DAY_MS = 86_400_000


class PlannedWake(Struct, frozen=True, kw_only=True):
    """Machines of a room will be woken, as far as calendar and policy say."""

    rule: str  # the wake rule, or the patch window
    room: str
    kind: str  # lesson, at or patch: what they are needed for
    from_ms: int  # when waking begins
    needed_ms: int
    until_ms: int  # when they are needed no longer for this; of a lesson only its beginning counts


def planned_wakes(
    school: School,
    classes: Mapping[str, DeviceClass],
    devices: Iterable[Device],
    policy: Policy,
    timetable: Timetable,
    first: date,
    days: int,
) -> list[PlannedWake]:
    """The wakes that begin on local days from `first` on, in order of time.

    None for a room whose calendar says nothing certain of a day, and where the mode sends nothing. Machines that cannot
    be woken by a rule (no MAC address, exempt, of an always-on class) ask for none.
    """
    rooms: dict[str, list[Device]] = {}
    for device in devices:
        known = classes.get(device.device_class)
        exempt = EXEMPT_TAG in device.tags or not policy.exempt_tags.isdisjoint(device.tags)
        if device.mac is None or exempt or (known is not None and known.always_on):
            continue
        if policy.may_act(school.name, device.room):
            rooms.setdefault(device.room, []).append(device)
    zone = calendar.zone_of(school.time_zone)
    begin_ms = calendar.midnight_ms(first, zone)
    end_ms = calendar.midnight_ms(first + timedelta(days=days), zone)
    found: dict[tuple[str, str], PlannedWake] = {}
    for room, machines in rooms.items():
        for rule in policy.wakes:
            if any(rule.selects(device, school) for device in machines):
                # A day more: waking for its first lesson may begin on the evening before.
                for occasion in _occasions(rule, room, school, timetable, first, days + 1):
                    kind = "lesson" if rule.at_min is None else "at"
                    found[occasion.name, room] = _planned(occasion, rule.name, room, kind, occasion.needed_ms)
    for opening in open_windows(school, policy, begin_ms, (end_ms - begin_ms) // 1000):
        occasion = for_patches(opening, school)
        for room, machines in rooms.items():
            if any(opening.window.selects(device, school) for device in machines):
                found[occasion.name, room] = _planned(
                    occasion, opening.window.name, room, PATCH_RULE, occasion.until_ms
                )
    wakes = [wake for wake in found.values() if begin_ms <= wake.from_ms < end_ms]
    return sorted(wakes, key=lambda wake: (wake.from_ms, wake.needed_ms, wake.room, wake.rule))


def not_frozen(wakes: Iterable[PlannedWake], holds: Sequence[Hold]) -> list[PlannedWake]:
    """Those that no exam freeze of their whole room or school keeps from happening when they begin."""
    freezes = [hold for hold in holds if hold.kind == "freeze" and hold.device is None and hold.device_class is None]
    return [
        wake
        for wake in wakes
        if not any(hold.room in (None, wake.room) and hold.from_ms <= wake.from_ms < hold.until_ms for hold in freezes)
    ]


def _planned(occasion: Occasion, rule: str, room: str, kind: str, until_ms: int) -> PlannedWake:
    return PlannedWake(
        rule=rule,
        room=room,
        kind=kind,
        from_ms=occasion.from_ms,
        needed_ms=occasion.needed_ms,
        until_ms=until_ms,
    )


def _occasions(
    rule: WakeRule, room: str, school: School, timetable: Timetable, first: date, days: int
) -> Iterator[Occasion]:
    """Each day's occasions, asked of the live waking when it would begin, and again when the machines are needed."""
    zone = calendar.zone_of(school.time_zone)
    place = next((each for each in school.rooms if each.name == room), None)
    for number in range(days):
        day = first + timedelta(days=number)
        needed: list[int] = []
        if rule.at_min is not None:
            at_ms = time_on(rule, school, timetable, day)
            needed = [] if at_ms is None else [at_ms]
        elif place is not None:
            bookings = calendar.day_bookings(place, school, day, timetable)
            starts = [] if isinstance(bookings, Unknown) else [booked.from_ms for booked in bookings]
            needed = [at_ms for at_ms in starts if calendar.local(at_ms, zone).date() == day]
        moments = ((at_ms, now_ms) for at_ms in needed for now_ms in (at_ms - rule.lead_s * 1000, at_ms))
        for needed_ms, now_ms in moments:
            occasion = occasion_of(rule, room, school, timetable, now_ms)
            if occasion is not None and occasion.needed_ms == needed_ms:
                yield occasion
                break  # there is one a day
