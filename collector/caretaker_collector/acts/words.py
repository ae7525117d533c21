"""Times, machines and mistakes in words, the same on the desk, in answers of the API and at the command line."""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from caretaker_collector.records import Kind, Record
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import local
from caretaker_rules.model import Estate
from caretaker_rules.repeats import Series

UTC = ZoneInfo("UTC")
_OPTIONS = {
    "--until-date": "the last day",
    "--until": "the end",
    "--from": "the beginning",
    "--repeat": "a repeat",
    "--class": "the class",
    "--by": "the name",
}


def machines(number: int) -> str:
    """ "1 machine", "31 machines"."""
    return f"{number} machine{'' if number == 1 else 's'}"


def zone_at(estate: Estate, school: str) -> ZoneInfo:
    """The time zone of a school; UTC for the whole estate, and for a school that is gone."""
    known = estate.schools.get(school)
    return ZoneInfo(known.time_zone) if known else UTC


def moment(at_ms: int, zone: ZoneInfo | None) -> str:
    """ "Tue 20 Oct 12:00"."""
    at = local(at_ms, zone or UTC)
    return f"{at:%a} {at.day} {at:%b %H:%M}"


def typed(at_ms: int, zone: ZoneInfo) -> str:
    """A moment as `people.moment` reads it: "2026-10-20 12:00"."""
    return f"{local(at_ms, zone):%Y-%m-%d %H:%M}"


def times(series: Series, zone: ZoneInfo | None) -> str:
    """When a record is on: "from Tue 20 Oct 12:00 until 18:00", "each Tuesday 15:30-17:00, 20 Oct to 15 Dec 2026"."""
    begin, until = local(series.from_ms, zone or UTC), local(series.until_ms, zone or UTC)
    if series.every is None:
        last = f"{until:%H:%M}" if begin.date() == until.date() else moment(series.until_ms, zone)
        return f"from {moment(series.from_ms, zone)} until {last}"
    which = "each day" if series.every == "day" else f"each {begin:%A}"
    return f"{which} {begin:%H:%M}-{until:%H:%M}, {begin.day} {begin:%b} to {series.last_day:%d %b %Y}"


def state_of(record: Record, now_ms: int, zone: ZoneInfo | None) -> str:
    """Where a record stands: "on now", "next Wed 7 Oct 12:00", "ended early Tue 6 Oct 16:00"."""
    following = record.next_time(now_ms)
    if following is None:
        early = "ended early" if record.ended_ms is not None else "over since"
        return f"{early} {moment(record.over_ms(), zone)}"
    return "on now" if following[0] <= now_ms else f"next {moment(following[0], zone)}"


def meant(kind: Kind, where: str, when: str) -> str:
    """What a record means, in a clause."""
    return f"nobody is told of {where} {when}" if kind == "silence" else f"{where} stays as it is {when}"


def some(names: Sequence[str], most: int = 5) -> str:
    """ "INC-1, INC-2 and 4 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def sentence(error: ConfigError) -> str:
    """A mistake for somebody who typed no options: "The end is past."."""
    faults = []
    for fault in error.faults:
        head, gap, rest = fault.partition("  ")
        for option, word in _OPTIONS.items():
            head, rest = (re.sub(rf"{option}\b(?!-)", word, part) for part in (head, rest))
        told = f"{head} {rest}" if head in _OPTIONS.values() else f"{head}: {rest}" if gap else head
        told = " ".join(told.split())
        faults.append(told[:1].upper() + told[1:])
    return "; ".join(faults).rstrip(".") + "."
