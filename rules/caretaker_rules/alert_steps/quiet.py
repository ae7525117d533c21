"""Quiet hours: when a channel is left in peace. What is important waits until they end; critical goes out, if the
channel lets it. What is over by then is not told at all, but for the digest.
"""

from collections.abc import Sequence
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from caretaker_rules.alert_settings import Severity
from caretaker_rules.alerting import Round
from caretaker_rules.calendar import DAY_MIN, in_hours, local, parse_span, zone_of
from caretaker_rules.repeats import wall_ms

WEEK_MS = 7 * 86_400_000


def quiet(look: Round) -> None:
    """Note which channels are not to be told now, of which severity, and until when."""
    if look.alerts is None:
        return
    zone = zone_of(look.alerts.time_zone)
    for channel in look.alerts.channels:
        until_ms = quiet_until(channel.quiet, look.now_ms, zone)
        for severity in Severity if until_ms is not None else ():
            if severity is not Severity.CRITICAL or not channel.critical_breaks_quiet:
                look.quiet[channel.name, severity] = until_ms or 0


def quiet_until(spans: Sequence[str], at_ms: int, zone: ZoneInfo) -> int | None:
    """When the quiet hours that are on at `at_ms` end, over spans that touch; None: none is on.

    Hours that never end (settings with them are refused) end after a week.
    """
    if not in_hours(spans, at_ms, zone):
        return None
    until_ms = at_ms
    while in_hours(spans, until_ms, zone):
        until_ms = max(end for text in spans for end in _ends(text, until_ms, zone))
        if until_ms - at_ms >= WEEK_MS:
            return at_ms + WEEK_MS
    return until_ms


def _ends(text: str, at_ms: int, zone: ZoneInfo) -> list[int]:
    """When the span ends, if it is on at `at_ms`; later than that, whatever the clock on the wall does."""
    if not in_hours([text], at_ms, zone):
        return []
    span, moment, ends = parse_span(text), local(at_ms, zone), []
    minute = moment.hour * 60 + moment.minute
    for back, at_min in ((0, minute), (1, minute + DAY_MIN)):
        day = moment.date() - timedelta(days=back)
        if day.weekday() in span.days and span.start_min <= at_min < span.end_min:
            end_day, end_min = day + timedelta(days=span.end_min // DAY_MIN), span.end_min % DAY_MIN
            ends.append(wall_ms(end_day, time(end_min // 60, end_min % 60), zone, later=True))
    return [max(end, at_ms + 1000) for end in ends]
