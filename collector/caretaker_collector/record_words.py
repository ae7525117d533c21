"""Holds, freezes, maintenance and silences in words: when, how it stands with them, and what they did."""

import sqlite3
from zoneinfo import ZoneInfo

from caretaker_collector import records
from caretaker_collector.records import HeldBack, Record
from caretaker_rules.calendar import local
from caretaker_rules.model import Estate
from caretaker_rules.repeats import Series


def times(series: Series, zone: ZoneInfo | None) -> str:
    """ "from Tue 6 Oct 16:00 until 18:00", "each Tuesday 16:00-18:00, 6 Oct to 15 Dec 2026". No zone: UTC."""
    begin, until = local(series.from_ms, zone or ZoneInfo("UTC")), local(series.until_ms, zone or ZoneInfo("UTC"))
    if series.every is None:
        last = f"{until:%H:%M}" if begin.date() == until.date() else day_time(series.until_ms, zone)
        return f"from {day_time(series.from_ms, zone)} until {last}"
    which = "each day" if series.every == "day" else f"each {begin:%A}"
    return f"{which} {begin:%H:%M}-{until:%H:%M}, {begin.day} {begin:%b} to {series.last_day:%d %b %Y}"


def standing(record: Record, now_ms: int, zone: ZoneInfo | None) -> str:
    """ "on now", "next Wed 7 Oct 12:00", "ended early Tue 6 Oct 16:00", "over since Tue 6 Oct 18:00"."""
    following = record.next_time(now_ms)
    if following is None:
        early = "ended early" if record.ended_ms is not None else "over since"
        return f"{early} {day_time(record.over_ms(), zone)}"
    return "on now" if following[0] <= now_ms else f"next {day_time(following[0], zone)}"


def kept_back(estate: Estate, db: sqlite3.Connection, record: Record, held: HeldBack, now_ms: int) -> str:
    """What a record did."""
    if record.kind == "silence":
        count = len(records.silenced(db, estate, record, now_ms))
        return f"{count} incident{'' if count == 1 else 's'} opened meanwhile"
    alone = f", {held.by_this_alone} by this alone" if held.machines else ""
    return f"kept on {held.machines} machine{'' if held.machines == 1 else 's'}{alone}"


def day_time(at_ms: int, zone: ZoneInfo | None) -> str:
    """ "Tue 6 Oct 16:00"."""
    moment = local(at_ms, zone or ZoneInfo("UTC"))
    return f"{moment:%a} {moment.day} {moment:%b %H:%M}"
