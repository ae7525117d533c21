"""Places, machines and mistakes in words, on the desk, in the API and at the command line. Times: `record_words`."""

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from caretaker_collector.records import Kind
from caretaker_contract.errors import ConfigError
from caretaker_rules.calendar import local
from caretaker_rules.model import Estate

UTC = ZoneInfo("UTC")
_OPTIONS = {
    "--until-date": "the last day",
    "--until": "the end",
    "--from": "the beginning",
    "--repeat": "a repeat",
    "--class": "the class",
    "--by": "the name",
}

_VERB = re.compile(r"(is|was|has|holds|needs|cannot|may)\b")


def machines(number: int) -> str:
    """ "1 machine", "31 machines"."""
    return f"{number} machine{'' if number == 1 else 's'}"


def zone_at(estate: Estate, school: str) -> ZoneInfo:
    """The time zone of a school; UTC for the whole estate, and for a school that is gone."""
    known = estate.schools.get(school)
    return ZoneInfo(known.time_zone) if known else UTC


def typed(at_ms: int, zone: ZoneInfo) -> str:
    """A moment as `people.moment` reads it: "2026-10-20 12:00"."""
    return f"{local(at_ms, zone):%Y-%m-%d %H:%M}"


def meant(kind: Kind, where: str, when: str) -> str:
    """What a record means, in a clause."""
    return f"nobody is told of {where} {when}" if kind == "silence" else f"{where} stays as it is {when}"


def some(names: Sequence[str], most: int = 5) -> str:
    """ "INC-1, INC-2 and 4 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def fault(text: str) -> str:
    """One fault as a sentence."""
    return sentence(ConfigError([text]))


def sentence(error: ConfigError) -> str:
    """A mistake for somebody who typed no options: "The end is past."."""
    faults = []
    for fault in error.faults:
        head, gap, rest = fault.partition("  ")
        for option, word in _OPTIONS.items():
            head, rest = (re.sub(rf"{option}\b(?!-)", word, part) for part in (head, rest))
        goes_on = head in _OPTIONS.values() or _VERB.match(rest)
        told = f"{head} {rest}" if goes_on else f"{head}: {rest}" if gap else head
        told = " ".join(told.split())
        names_a_place = gap and not head.startswith(tuple(_OPTIONS.values()))
        faults.append(told if names_a_place else told[:1].upper() + told[1:])
    return "; ".join(faults).rstrip(".") + "."
