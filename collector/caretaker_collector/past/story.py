"""What goes wrong in the demo's schools on purpose, so that there is a story to look at: one fault of each kind.

Times are the schools' own. The faults of the past fall into the month before the demo's day; those of the day itself
happen while it runs.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from caretaker_simulator.story import Fault, FaultKind

ZONE = ZoneInfo("Europe/London")
_PAST = (
    (FaultKind.POWER, "ash", "art", "2026-09-08 08:20", "2026-09-08 09:40"),
    (FaultKind.RELAY, "ash", "servers-01", "2026-09-11 07:00", "2026-09-11 08:40"),
    (FaultKind.SWITCH, "ash", "ict2-switch", "2026-09-14 10:02", "2026-09-14 10:20"),
    (FaultKind.SERVER, "oak", "servers-02", "2026-09-16 09:15", "2026-09-16 14:05"),
    (FaultKind.LINE, "ash", "", "2026-09-17 13:10", "2026-09-17 13:52"),
    (FaultKind.CRASHES, "ash", "sixth-07", "2026-09-22 09:00", "2026-09-22 13:00"),
    (FaultKind.SWITCH, "oak", "ict-switch", "2026-09-23 11:05", "2026-09-23 15:40"),
    (FaultKind.DISK, "ash", "servers-03", "2026-09-24 11:00", "2026-09-28 16:00"),
    (FaultKind.LINE, "oak", "", "2026-09-30 09:30", "2026-09-30 10:10"),
)
_TODAY = (
    (FaultKind.DISK, "ash", "servers-02", "2026-10-06 16:00", "2026-10-06 19:30"),
    (FaultKind.SWITCH, "ash", "ict2-switch", "2026-10-06 16:31", "2026-10-06 16:44"),
    (FaultKind.NO_WAKE, "ash", "tech", "2026-10-06 16:00", "2026-10-07 12:00"),
)


def faults(start_ms: int, end_ms: int, day: date | None = None) -> list[Fault]:
    """The placed faults that touch [start_ms, end_ms); `day`: those of the demo's own day instead of the past's."""
    rows = _PAST if day is None else _TODAY
    placed = [
        Fault(kind=kind, school=school, where=where, from_ms=_ms(begin), until_ms=_ms(end))
        for kind, school, where, begin, end in rows
    ]
    return [fault for fault in placed if fault.from_ms < end_ms and start_ms < fault.until_ms]


def _ms(text: str) -> int:
    return round(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE).timestamp() * 1000)
