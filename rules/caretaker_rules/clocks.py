"""The clocks of an incident: how much of the time to answer and to mend it is used, in hours of service.

- Both start when the incident was opened, by the times that the school's level of that day has for its priority; a
  priority that changes changes the allowance, not the start. The hours are those of the level of each day.
- The response clock ends when somebody acknowledges the incident, or when it is fixed; the fix clock when it is fixed.
- They stand still out of service hours, and while waiting for the customer is on record. Nothing else stops them.
- Reopened, they go on as if it had never been fixed: the time between counts, for the fault was not mended.
- Late is what has used more than its allowance: fixed after closing, at an allowance used up to the minute, is in time.
- An incident that was merged has no clock of its own: that of the one which it was merged into counts.
"""

from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_rules.calendar import local
from caretaker_rules.durations import parse_duration
from caretaker_rules.incidents import Incident, Status
from caretaker_rules.intervals import Span, union, without
from caretaker_rules.service import PriorityTimes
from caretaker_rules.service_hours import ServiceClock


class Clock(Struct, frozen=True, kw_only=True):
    """One clock of an incident, as it stands at a moment. Lengths are of service, moments UTC ms."""

    what: Literal["response", "fix"]
    started_ms: int
    allowance_ms: int
    used_ms: int
    left_ms: int  # negative: late by so much
    due_ms: int | None  # when the allowance is (or was) used up; None: waiting for the customer, or not in 400 days
    ended_ms: int = 0  # 0: it runs, or is paused
    paused: bool = False  # waiting for the customer
    late: bool = False
    runs: tuple[Span, ...] = ()  # when it runs, from its start until it is due; until now (or its end) if it has no due


def response(incident: Incident, hours: ServiceClock, now_ms: int) -> Clock | None:
    """The clock to the first answer. None: no priority, no level, no times for that priority, or merged."""
    times = _times(incident, hours)
    if times is None:
        return None
    ends = [at_ms for at_ms in (incident.acknowledged_ms, incident.fixed_ms) if at_ms]
    return _clock("response", incident, hours, times.respond, min(ends, default=0), now_ms)


def fix(incident: Incident, hours: ServiceClock, now_ms: int) -> Clock | None:
    """The clock to the fix. None: no priority, no level, no times for that priority, or merged."""
    times = _times(incident, hours)
    return _clock("fix", incident, hours, times.fix, incident.fixed_ms, now_ms) if times is not None else None


def warn_ms(clock: Clock, ratio: float) -> int | None:
    """When `ratio` (0-1) of the allowance is used. None: nobody knows yet, or the clock ended before."""
    wanted_ms = round(clock.allowance_ms * ratio)
    for begin, end in clock.runs:
        if end - begin >= wanted_ms:
            at_ms = begin + wanted_ms
            return None if clock.ended_ms and at_ms > clock.ended_ms else at_ms
        wanted_ms -= end - begin
    return None


def text(clock: Clock, zone: ZoneInfo, now_ms: int) -> str:
    """A clock for people: "due Tue 10:40 (1 h 27 min left)"; with the date when that is not today."""
    if clock.ended_ms:
        done = "fixed" if clock.what == "fix" else "answered"
        late = f", {length_text(-clock.left_ms)} late" if clock.late else ""
        return f"{done} after {length_text(clock.used_ms)} of {length_text(clock.allowance_ms)}{late}"
    if clock.paused:
        left = f"late by {length_text(-clock.left_ms)}" if clock.late else f"{length_text(clock.left_ms)} left"
        return f"waiting for the customer, {left}"
    if clock.due_ms is None:
        return f"not due within 400 days, {length_text(clock.left_ms)} left"
    due = _moment(clock.due_ms, zone, now_ms)
    if clock.late:
        return f"late since {due} (by {length_text(-clock.left_ms)} of service)"
    return f"due {due} ({length_text(clock.left_ms)} left)"


def length_text(length_ms: int) -> str:
    """A length of service for people, to the minute; "1 h 27 min". Hours stay hours: a day of service has few."""
    hours, minutes = divmod(max(length_ms, 0) // 60_000, 60)
    if not hours and not minutes:
        return "under 1 min" if length_ms > 0 else "0 min"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _moment(at_ms: int, zone: ZoneInfo, now_ms: int) -> str:
    at, now = local(at_ms, zone), local(now_ms, zone)
    if at.date() == now.date():
        return f"{at:%a %H:%M}"
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at:%a} {at.day} {at:%b}{year} {at:%H:%M}"


def _times(incident: Incident, hours: ServiceClock) -> PriorityTimes | None:
    if incident.priority is None or incident.status is Status.MERGED:
        return None
    level = hours.level_at(incident.opened_ms)
    return next((each for each in level.priorities if each.priority == incident.priority), None) if level else None


def _clock(
    what: Literal["response", "fix"],
    incident: Incident,
    hours: ServiceClock,
    allowance: str,
    ended_ms: int,
    now_ms: int,
) -> Clock:
    start_ms, until_ms = incident.opened_ms, ended_ms or now_ms
    # What was paused after it ended does not move the moment at which it was due.
    pauses = union([span for span in incident.pauses if span[0] < until_ms])
    allowance_ms = parse_duration(allowance) * 1000
    due_ms = hours.due_ms(start_ms, allowance_ms, pauses)
    used_ms = hours.used_ms(start_ms, until_ms, pauses)
    runs = without(hours.owed(start_ms, until_ms if due_ms is None else due_ms), pauses)
    return Clock(
        what=what,
        started_ms=start_ms,
        allowance_ms=allowance_ms,
        used_ms=used_ms,
        left_ms=allowance_ms - used_ms,
        due_ms=due_ms,
        ended_ms=ended_ms,
        paused=not ended_ms and incident.status is Status.PAUSED,
        late=used_ms > allowance_ms,
        runs=tuple(runs),
    )
