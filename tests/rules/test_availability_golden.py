"""Availability as worked out by hand: each file of `golden/availability/` is a case, with its reckoning on top.

The simple implementation that walks over every minute has to come to the same."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from availability_by_minute import MINUTE_MS, by_minute
from caretaker_contract.messages import Cause
from caretaker_rules.availability import Figure, Outage, Wanted, account, faults_of
from caretaker_rules.timeline import Stretch, What
from rules_world import london_ms

GOLDEN = sorted((Path(__file__).parent / "golden" / "availability").glob("*.toml"))
SUMS = [name.removesuffix("_ms") for name in account([], [], [], [], [], "until_woken").__struct_fields__]
KEYS = {"days", "hours", "lessons", "maintenance", "wanted", "user_off", "counted"}
EXPECTED = {"line", "outages", "low", "likely", "high", "minutes"}


def span(text: str) -> tuple[int, int]:
    """ "2026-10-06 10:00 - 2026-10-06 12:00" in UTC ms."""
    begin, end = text.split(" - ")
    return london_ms(begin), london_ms(end)


def at(day: str, clock: str) -> int:
    """A local time; 24:00 is the midnight at the end of the day, however long the day was."""
    if clock != "24:00":
        return london_ms(f"{day} {clock}")
    year_month, number = day[:-2], int(day[-2:])
    return london_ms(f"{year_month}{number + 1:02} 00:00")


def daily(case: dict[str, Any], key: str) -> list[tuple[int, int]]:
    """Hours of each of the case's days; an entry with a date is itself."""
    spans = [span(text) for text in case.get(key, []) if " - " in text]
    for day in case["days"]:
        for text in case.get(key, []):
            if " - " not in text:
                begin, end = text.split("-")
                spans.append((at(day, begin), at(day, end)))
    return spans


def stretches_of(lines: list[str]) -> list[Stretch]:
    """Each line is "day time what cause" and lasts until the next one; the last one is the end."""
    words = [line.split(" ") for line in lines]
    times = [london_ms(" ".join(one[:2])) for one in words]
    return [
        Stretch(times[n], times[n + 1], What(words[n][2]), Cause(words[n][3]) if len(words[n]) > 3 else Cause.UNKNOWN)
        for n in range(len(words) - 1)
    ]


def wanted_of(text: str) -> Wanted:
    """A moment, and perhaps when it was asked for."""
    needed, _, asked = text.partition(", asked ")
    return Wanted(london_ms(needed), london_ms(asked) if asked else None)


def outage_of(text: str) -> Outage:
    """ "from - until what cause, began from"; began is its own beginning where it is not said."""
    body, _, began = text.partition(", began ")
    begin_text, rest = body.split(" - ")
    day, clock, *words = rest.split(" ")
    begin = london_ms(begin_text)
    cause = Cause(words[1]) if len(words) > 1 else Cause.UNKNOWN
    return Outage(begin, london_ms(f"{day} {clock}"), words[0], cause, london_ms(began) if began else begin)


def given(case: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a case."""
    assert case.keys() <= KEYS | EXPECTED, case.keys() - KEYS - EXPECTED
    return {
        "stretches": stretches_of(case["line"]),
        "owed": daily(case, "hours"),
        "maintenance": [span(text) for text in case.get("maintenance", [])],
        "lessons": daily(case, "lessons"),
        "wanted": [wanted_of(text) for text in case.get("wanted", [])],
        "user_off": case.get("user_off", "until_woken"),
        "counted": span(case["counted"]) if "counted" in case else None,
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_case_worked_out_by_hand(path: Path) -> None:
    """Minutes, outages, faults and the range; also by the simple implementation."""
    case = tomllib.loads(path.read_text())
    told = account(**given(case))
    expected = {name: case["minutes"].pop(name, 0) for name in SUMS if name != "outages"}
    assert not case["minutes"], "misspelt"
    minutes = {name: told.faults if name == "faults" else getattr(told, f"{name}_ms") / MINUTE_MS for name in expected}
    assert minutes == expected
    assert told.outages == [outage_of(text) for text in case["outages"]]
    for name in ("low", "likely", "high"):
        if name in case:
            ratio = getattr(told.figure, name)
            assert ("n/a" if ratio is None else ratio) == pytest.approx(case[name], abs=1e-6), name
    simple = by_minute(**given(case))
    assert {name: simple[name] for name in expected} == expected


def test_figures_add_up_and_are_weighted_by_what_was_owed() -> None:
    """One machine up for 8 of 10 hours and one for 1 of 2 are 9 of 12, not the mean of the two ratios."""
    both = Figure(owed_ms=10, available_ms=8, down_ms=2) + Figure(
        owed_ms=3, maintained_ms=1, available_ms=1, unseen_ms=1
    )
    assert both == Figure(owed_ms=13, maintained_ms=1, available_ms=9, down_ms=2, unseen_ms=1)
    assert (both.low, both.likely, both.high) == (9 / 12, 9 / 11, 10 / 12)
    assert sum([both, both], Figure()).low == both.low
    assert (Figure().low, Figure().likely, Figure().high) == (None, None, None)


def test_a_fault_of_many_machines_is_counted_once() -> None:
    """Three machines behind a dead switch are one fault; a machine with one outage in two parts is another."""
    switch = [(f"pc-{n}", Outage(100 + n, 200 + n, "lost", Cause.UNKNOWN, 100 + n), "uid-1") for n in range(3)]
    alone = [
        ("pc-9", Outage(150, 160, "lost", Cause.UNKNOWN, 150), None),
        ("pc-9", Outage(300, 310, "lost", Cause.UNKNOWN, 150), None),
    ]
    faults = faults_of([*switch, *alone])
    assert (faults.count, faults.spans) == (2, [(100, 202), (300, 310)])


def test_the_parts_of_an_outage_of_an_incident_are_no_fault_of_their_own() -> None:
    """One part is known to belong to an incident: so do the others of that outage, on that machine only."""
    parts = [
        ("pc-1", Outage(100, 200, "lost", Cause.UNKNOWN, 100), "uid-1"),
        ("pc-1", Outage(300, 400, "lost", Cause.UNKNOWN, 100), None),
        ("pc-2", Outage(100, 150, "lost", Cause.UNKNOWN, 100), None),
    ]
    assert faults_of(parts).count == 2
    assert faults_of([]).count == 0
