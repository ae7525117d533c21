"""Indicators of a learning platform: counts per day, from a CSV (`date,indicator,value`) or an access log.

Of an access log (combined format) only the day and the outcome of each line are looked at: how many pages were shown.
Addresses, names, paths and programmes are never kept, nor shown in a fault (invariant I10).
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from caretaker_collector.files.faults import Fault
from caretaker_collector.files.register import read_records
from caretaker_collector.files.toml_file import read_text
from caretaker_contract.errors import ConfigError

COLUMNS = ("date", "indicator", "value")
VIEWS = "page views"
LONGEST_NAME = 60
MOST_INDICATORS = 20
_LOG = re.compile(r'\[(\d{2}/[A-Z][a-z]{2}/\d{4}):[^\]]*\] "(GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH) [^"]*" (\d{3}) ')
_NOT_PAGES = re.compile(r'\.(?:css|js|png|jpe?g|gif|svg|ico|woff2?|ttf|map|webp|mp4|webm)[? ][^"]*"', re.IGNORECASE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Indicators(NamedTuple):
    """Values by indicator and day, what is wrong with the file, and how many of its lines were left out."""

    days: dict[str, dict[date, float]]
    faults: list[Fault]
    skipped: int = 0


def read_indicators(path: Path) -> Indicators:
    """A CSV file of indicators. Two rows of one day and indicator are a fault: nobody knows which is meant."""
    try:
        text = read_text(path, "CSV")
    except ConfigError as error:
        return Indicators({}, [Fault(path, 0, "", error.faults[0].partition("   ")[2].strip())])
    first = next((line for line in text.splitlines() if line.strip()), "")
    records: list[tuple[int, list[str]]] = []
    broken = read_records(text, max(",;\t", key=first.count), records)
    if broken is not None:
        return Indicators({}, [Fault(path, *broken)])
    heading = [cell.strip().lower() for cell in records[0][1]] if records else []
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        wrong = f"missing; the first line is {','.join(COLUMNS)}"
        return Indicators({}, [Fault(path, records[0][0] if records else 1, f'column "{missing[0]}"', wrong)])
    found: dict[str, dict[date, float]] = {}
    faults: list[Fault] = []
    places = [heading.index(name) for name in COLUMNS]
    for line, cells in records[1:]:
        given = [cells[place].strip() if place < len(cells) else "" for place in places]
        fault = _take(found, *given)
        if fault is not None:
            faults.append(Fault(path, line, *fault))
    return Indicators({} if faults else found, faults)


def _take(found: dict[str, dict[date, float]], day_text: str, name: str, value_text: str) -> tuple[str, str] | None:
    """Take in a row; returns subject and fault when it cannot be."""
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        return f'date "{day_text[:20]}"', "not a date; write it as 2026-09-01"
    if not 0 < len(name) <= LONGEST_NAME:
        return "indicator", f"its name has 1 to {LONGEST_NAME} characters"
    try:
        value = float(value_text.replace(",", ""))
    except ValueError:
        return f'value "{value_text[:20]}"', "not a number"
    if not 0 <= value < 1e15:
        return f'value "{value_text[:20]}"', "must be a count, 0 or more"
    days = found.setdefault(name, {})
    if day in days:
        return f'"{name}" of {day}', "stands twice; keep one row for each day and indicator"
    if len(found) > MOST_INDICATORS:
        return f'indicator "{name}"', f"more than {MOST_INDICATORS} indicators: keep those that people look at"
    days[day] = value
    return None


def read_access_log(path: Path) -> Indicators:
    """Pages shown per day (GET, answered with 200; no images, styles or scripts), streamed line by line.

    A file that cannot be read is a fault; a line that is no log line is counted and left out.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            counts, skipped = _count(lines)
    except OSError as error:
        return Indicators({}, [Fault(path, 0, "", f"cannot be read: {error.strerror}")])
    return Indicators(
        {VIEWS: {day: float(count) for day, count in sorted(counts.items())}} if counts else {}, [], skipped
    )


def _count(lines: Iterable[str]) -> tuple[Counter[date], int]:
    counts: Counter[date] = Counter()
    skipped = 0
    for line in lines:
        match = _LOG.search(line)
        day = _log_day(match[1]) if match else None
        if match is None or day is None:
            skipped += bool(line.strip())
        elif match[2] == "GET" and match[3] == "200" and not _NOT_PAGES.search(line):
            counts[day] += 1
        else:
            counts[day] += 0  # the platform answered on this day, so nought is a count and not a gap
    return counts, skipped


def _log_day(text: str) -> date | None:
    day, month, year = text.split("/")
    try:
        return datetime(int(year), _MONTHS.index(month) + 1, int(day)).date()  # noqa: DTZ001  # as the platform's clock has it
    except ValueError:
        return None
