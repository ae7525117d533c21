"""`caretaker decisions`: what was decided in a room lately, and how often for which reason."""

import sqlite3
from collections import Counter
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from caretaker_rules.calendar import local
from caretaker_rules.decisions import Decision
from caretaker_rules.model import Estate


class RoomDecisions(Struct, frozen=True, kw_only=True):
    """Decisions of a room (or school), newest first; `counts`: how many of them name each reason."""

    place: str
    time_zone: str
    from_ms: int
    until_ms: int
    decisions: list[Decision]
    counts: dict[str, int]


def ask(
    db: sqlite3.Connection, estate: Estate, school: str, room: str | None, from_ms: int, until_ms: int
) -> RoomDecisions:
    """All decisions about the machines of a room, or of a whole school when `room` is None."""
    names = {d.name for d in estate.devices.values() if d.school == school and room in (None, d.room)}
    rows = db.execute(
        "SELECT device, decision FROM decisions WHERE school = ? AND at_ms >= ? AND at_ms <= ? ORDER BY id DESC",
        (school, from_ms, until_ms),
    )
    found = [msgspec.json.decode(blob, type=Decision) for device, blob in rows if device in names]
    counts = Counter(reason.why.value for decision in found for reason in decision.reasons)
    return RoomDecisions(
        place=school if room is None else f"{school}/{room}",
        time_zone=estate.schools[school].time_zone,
        from_ms=from_ms,
        until_ms=until_ms,
        decisions=found,
        counts=dict(counts.most_common()),
    )


def render(answer: RoomDecisions, limit: int) -> str:
    """The newest `limit` of them a line each, then the counts. Times are the school's, with the date when not today."""
    zone = ZoneInfo(answer.time_zone)
    today = local(answer.until_ms, zone).date()
    lines = [f"{answer.place} · since {local(answer.from_ms, zone):%a %d %b %H:%M} · {len(answer.decisions)} decisions"]
    for decision in answer.decisions[:limit]:
        moment = local(decision.at_ms, zone)
        when = moment.strftime("%H:%M:%S" if moment.date() == today else "%a %d %b %H:%M:%S")
        verdict = decision.verdict.value.replace("_", " ")
        reasons = "; ".join(str(reason) for reason in decision.reasons)
        lines.append(f"{when}  {decision.device.device:<14} {verdict:<9}  {reasons}")
    if len(answer.decisions) > limit:
        lines.append(f"... and {len(answer.decisions) - limit} older ones (--limit)")
    if answer.counts:
        lines.append("reasons")
        lines += [f"{count:>7}  {why.replace('_', ' ')}" for why, count in answer.counts.items()]
    return "\n".join(lines)
