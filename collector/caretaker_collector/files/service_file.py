"""Reads `service.toml` and checks what its declaration cannot: that the matrix is whole, and that figures fit together.

Names of schools in it are checked against the estate that names the file.
"""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from caretaker_collector.files.faults import choose, show_value, stop_at
from caretaker_collector.files.kinds import KINDS
from caretaker_collector.files.toml_file import TomlFile, as_share, convert, open_toml
from caretaker_collector.files.toml_lines import KeyPath
from caretaker_collector.files.written_hours import check_spans
from caretaker_rules.durations import parse_duration
from caretaker_rules.service import Credit, Impact, ServiceFile, ServiceLevel

_RATIOS = ("availability", "fixed_in_time", "answered_in_time", "rooms_ready", "seats_used")
"""Indicators whose targets are shares."""


class ServiceText(NamedTuple):
    """Service levels with the file that they came from. `service` is None when `file.faults` holds faults."""

    file: TomlFile
    service: ServiceFile | None

    @property
    def names(self) -> list[str]:
        """The levels' names as they are written, also where the file has faults."""
        tables = self.file.data.get("levels")
        given: list[Any] = tables if isinstance(tables, list) else []
        return [table["name"] for table in given if isinstance(table, dict) and isinstance(table.get("name"), str)]


def read_service(path: Path) -> ServiceText:
    """Read and check. ConfigError only when the file is no TOML at all."""
    file = open_toml(path)
    written = convert(file, ServiceFile, KINDS)
    if written is not None:
        _check(file, written)
    return ServiceText(file, None if file.faults else written)


def load_service(path: Path) -> ServiceFile:
    """A service file, checked. ConfigError with every fault."""
    found = read_service(path)
    stop_at(found.file.faults)
    assert found.service is not None
    return found.service


def check_schools(found: ServiceText, schools: Iterable[str]) -> None:
    """Note in `found.file.faults` the targets of schools that the estate does not have."""
    known = sorted(schools)
    tables = found.file.data.get("targets")
    for number, table in enumerate(tables if isinstance(tables, list) else ()):
        school = table.get("school") if isinstance(table, dict) else None
        if isinstance(school, str) and school not in known:
            found.file.fault(("targets", number, "school"), choose(school, known, "school in the estate"), school)


def _check(file: TomlFile, written: ServiceFile) -> None:
    if not written.levels:
        file.fault(("levels",), "no level in it; add at least one [[levels]]")
    for number, level in enumerate(written.levels):
        key: KeyPath = ("levels", number)
        _check_hours(file, key, level)
        _check_priorities(file, key, level)
        _check_matrix(file, key, level)
        _check_ratios(file, key, level)
        _check_credits(file, key, level)
    _check_targets(file, written)


def _check_hours(file: TomlFile, key: KeyPath, level: ServiceLevel) -> None:
    check_spans(file, (*key, "hours"), level.hours or ())
    if level.hours == []:
        file.fault((*key, "hours"), "nothing would ever be owed; leave it out for the school's own service_hours")
    if not level.days:
        file.fault((*key, "days"), 'nothing would ever be owed; such as ["term", "inset"]')
    _length_s(file, (*key, "reopen_within"), level.reopen_within)


def _check_priorities(file: TomlFile, key: KeyPath, level: ServiceLevel) -> None:
    seen: dict[int, int] = {}
    for number, times in enumerate(level.priorities):
        place = (*key, "priorities", number)
        if times.priority in seen:
            first = file.lines.of((*key, "priorities", seen[times.priority], "priority"))
            wrong = f"the times of this priority stand in line {first} already"
            file.fault((*place, "priority"), wrong, times.priority)
        seen.setdefault(times.priority, number)
        respond_s = _length_s(file, (*place, "respond"), times.respond)
        fix_s = _length_s(file, (*place, "fix"), times.fix)
        for name, length_s in (("respond", respond_s), ("fix", fix_s)):
            if length_s == 0:
                file.fault((*place, name), "no time at all: every fault would be late", getattr(times, name))
        if respond_s and fix_s and fix_s < respond_s:
            wrong = f"shorter than respond ({show_value(times.respond)}): nothing is fixed before it is answered"
            file.fault((*place, "fix"), wrong, times.fix)


def _check_matrix(file: TomlFile, key: KeyPath, level: ServiceLevel) -> None:
    known = {times.priority for times in level.priorities}
    rows: dict[tuple[Impact, bool], int] = {}
    for number, row in enumerate(level.matrix):
        place = (*key, "matrix", number)
        what = (row.impact, row.alternative)
        if what in rows:
            first = file.lines.of((*key, "matrix", rows[what], "impact"))
            file.fault((*place, "impact"), f"{_row(*what)} stands in line {first} already; keep one", row.impact.value)
        rows.setdefault(what, number)
        if row.priority not in known:
            wrong = (
                f"no times are written for it; add {{ priority = {row.priority}, respond = ..., fix = ... }} "
                "to priorities"
            )
            file.fault((*place, "priority"), wrong, row.priority)
    for what in product(Impact, (False, True)):
        if what not in rows:
            wrong = f"incomplete; add {{ {_row(*what)}, priority = ... }}"
            file.fault((*key, "matrix"), wrong)


def _row(impact: Impact, alternative: bool) -> str:
    return f'impact = "{impact.value}", alternative = {show_value(alternative)}'


def _check_ratios(file: TomlFile, key: KeyPath, level: ServiceLevel) -> None:
    for name, what in (("school_ratio", "school"), ("room_ratio", "room")):
        if getattr(level, name) == 0:
            file.fault((*key, name), f"every fault would count as a {what}'s; such as 0.5", 0.0)


def _check_credits(file: TomlFile, key: KeyPath, level: ServiceLevel) -> None:
    known = sorted({times.priority for times in level.priorities})
    seen: dict[tuple[str, int | None], int] = {}
    for number, credit in enumerate(level.credits):
        place = (*key, "credits", number)
        what = (credit.failure, credit.priority)
        if what in seen:
            first = file.lines.of((*key, "credits", seen[what], "failure"))
            file.fault((*place, "failure"), f"the same failure stands in line {first} already", credit.failure)
        seen.setdefault(what, number)
        if not credit.points and not credit.percent:
            file.fault(place, "costs nothing; add points = ... or percent = ...")
        if credit.priority is not None:
            _check_credit_priority(file, (*place, "priority"), credit, known)
    for name, unit in (("most_points", "points"), ("most_percent", "percent")):
        cap = getattr(level, name)
        if cap is None:
            continue
        if not any(getattr(credit, unit) for credit in level.credits):
            file.fault((*key, name), f"caps {unit} that no credit gives; leave it out", cap)
        elif cap == 0:
            file.fault((*key, name), f"no credit could ever cost {unit}; leave it out for no cap", cap)


def _check_credit_priority(file: TomlFile, key: KeyPath, credit: Credit, known: list[int]) -> None:
    if credit.failure not in ("response", "fix"):
        file.fault(key, f'failure = "{credit.failure}" has no priority; leave it out', credit.priority)
    elif credit.priority not in known:
        has = ", ".join(map(str, known))
        file.fault(key, f"no times are written for it; the level has those of {has}", credit.priority)


def _check_targets(file: TomlFile, written: ServiceFile) -> None:
    seen: dict[tuple[str, int, str | None], int] = {}
    for number, target in enumerate(written.targets):
        place: KeyPath = ("targets", number)
        what = (target.indicator, target.year, target.school)
        if what in seen:
            first = file.lines.of(("targets", seen[what], "indicator"))
            wrong = f"this indicator's target of that school and year stands in line {first} already"
            file.fault((*place, "indicator"), wrong, target.indicator)
        seen.setdefault(what, number)
        if target.indicator in _RATIOS and not 0 <= target.value <= 1:
            file.fault((*place, "value"), f"expected a number between 0 and 1{as_share(target.value)}", target.value)
        elif target.value < 0:
            file.fault((*place, "value"), "expected a number of kWh, at least 0", target.value)


def _length_s(file: TomlFile, key: KeyPath, text: str) -> int | None:
    """Seconds; None, and a fault, when it is no length of time."""
    try:
        return parse_duration(text)
    except ValueError as error:
        file.fault(key, str(error), text)
        return None
