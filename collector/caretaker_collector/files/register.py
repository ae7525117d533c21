"""A school's asset register: a CSV file with a line for each device.

    device,room,class,mac,tags,behind,bought,cost,years
    ict1-07,ict1,thin_client,00:1b:63:84:45:e6,exempt,switch-2,2023-08-01,310,5

`behind` names the device of the same school that this one depends on, its switch or its server: when that one fails, it
is one incident, and not one for each machine. `bought` (a date), `cost` (pounds) and `years` (it is meant to last) are
for the monthly review; where a row has no cost or years, its class may have them.

The file comes out of spreadsheets and other people's tools, so what is harmless is tolerated: a byte order mark,
semicolons or tabs, Windows line ends, capitals in headings, classes, tags and MAC addresses, MAC addresses with
hyphens, dots or nothing between, and further columns, which are not read (so a user's name in one never gets in:
invariant I10).
"""

import csv
import io
import re
from datetime import date, datetime
from pathlib import Path
from sys import intern
from typing import NamedTuple

from caretaker_collector.files.faults import Fault, guess
from caretaker_collector.files.toml_file import read_text
from caretaker_contract.topics import is_name
from caretaker_rules.model import Device

NEEDED = ("device", "room", "class")
COLUMNS = (*NEEDED, "mac", "tags", "behind", "bought", "cost", "years")
MOST_COST, MOST_YEARS = 1_000_000.0, 30.0
_TAG_BREAK = re.compile(r"[\s,;|]+")
_DATE_FORMS = ("%Y-%m-%d", "%d/%m/%Y")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class Row(NamedTuple):
    """A device and the line on which it stands."""

    line: int
    device: Device


class Register(NamedTuple):
    """What was read. `ignored` are the headings of columns that Caretaker does not read."""

    path: Path
    rows: list[Row]
    faults: list[Fault]
    ignored: list[str]


def read_register(path: Path, school: str) -> Register:
    """The devices of one school, and all that is wrong with them. ConfigError when the file cannot be read at all."""
    text = read_text(path, "CSV")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    register = Register(path, [], [], [])
    records: list[tuple[int, list[str]]] = []
    broken = read_records(text, delimiter, records)
    if broken is not None:
        register.faults.append(Fault(path, *broken))
        return register
    line, heading = records[0] if records else (1, [])
    columns = [cell.strip().lower() for cell in heading]
    register.faults.extend(_heading_faults(path, line, columns))
    if register.faults:
        return register
    register.ignored.extend(name for name in columns if name not in COLUMNS)
    for line, cells in records[1:]:
        extra = [cell for cell in cells[len(columns) :] if cell.strip()]
        if extra:
            wrong = f"{len(cells)} cells, the heading has {len(columns)}; quote a cell that holds a {delimiter!r}"
            register.faults.append(Fault(path, line, f'device "{cells[0].strip()}"', wrong))
            continue
        given = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        found, faults = _device(school, given)
        register.faults.extend(Fault(path, line, subject, wrong) for subject, wrong in faults)
        if found is not None:
            register.rows.append(Row(line, found))
    return register


def read_records(text: str, delimiter: str, records: list[tuple[int, list[str]]]) -> tuple[int, str, str] | None:
    """Gather the records that hold something, each with the line on which it begins; line and fault where it stops."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        return begins, "a cell", f"not CSV ({error}): a quote in this line is never closed, or one too many"
    return None


def _heading_faults(path: Path, line: int, columns: list[str]) -> list[Fault]:
    faults = []
    for name in NEEDED:
        if name not in columns:
            nearest = guess(name, [column for column in columns if column not in COLUMNS])
            hint = f'; is it "{nearest}"?' if nearest else f"; the first line is {','.join(COLUMNS)}"
            faults.append(Fault(path, line, f'column "{name}"', f"missing{hint}"))
    for name in COLUMNS:
        if columns.count(name) > 1:
            faults.append(Fault(path, line, f'column "{name}"', "stands twice; keep one"))
        elif name not in NEEDED and name not in columns:
            nearest = guess(name, [column for column in columns if column not in COLUMNS])
            if nearest:
                faults.append(Fault(path, line, f'column "{nearest}"', f'not known; did you mean "{name}"?'))
    return faults


def _device(school: str, given: dict[str, str]) -> tuple[Device | None, list[tuple[str, str]]]:
    """A row as a Device, or what is wrong with it: pairs of subject and fault."""
    faults = []
    for column in ("device", "room"):
        wrong = _name_fault(given.get(column, ""))
        if wrong:
            faults.append((f'{column} "{given.get(column, "")}"', wrong))
    device_class = given.get("class", "").lower()
    if not device_class:
        faults.append(('class ""', f'missing for device "{given.get("device", "")}"'))
    behind = given.get("behind", "")
    if behind and (wrong := _name_fault(behind)):
        faults.append((f'behind "{behind}"', wrong))
    mac, wrong = _mac(given.get("mac", ""))
    if wrong:
        faults.append((f'mac "{given.get("mac", "")}"', wrong))
    bought, wrong = _day(given.get("bought", ""))
    if wrong:
        faults.append((f'bought "{given.get("bought", "")}"', wrong))
    cost, wrong = _number(given.get("cost", ""), 0.0, MOST_COST, "pounds, such as 310 or 310.50")
    if wrong:
        faults.append((f'cost "{given.get("cost", "")}"', wrong))
    years, wrong = _number(given.get("years", ""), 0.5, MOST_YEARS, "years, such as 5")
    if wrong:
        faults.append((f'years "{given.get("years", "")}"', wrong))
    if faults:
        return None, faults
    tags = tuple(intern(tag) for tag in _TAG_BREAK.split(given.get("tags", "").lower()) if tag)
    return Device(
        school=intern(school),
        name=given["device"],
        room=intern(given["room"]),
        device_class=intern(device_class),
        mac=mac,
        tags=tags,
        behind=intern(behind) if behind else None,
        bought=bought,
        cost=cost,
        years=years,
    ), []


def _day(written: str) -> tuple[date | None, str]:
    """A date, None where none is given, and what is wrong with it."""
    if not written:
        return None, ""
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(written, form).date(), ""  # noqa: DTZ007  # a day has no zone
        except ValueError:
            continue
    return None, "not a date; write it as 2023-08-01"


def _number(written: str, least: float, most: float, what: str) -> tuple[float | None, str]:
    """A figure, None where none is given, and what is wrong with it. A pound sign and commas do no harm."""
    text = written.lstrip("£").replace(",", "").strip()
    if not text:
        return None, ""
    try:
        value = float(text)
    except ValueError:
        return None, f"not a number of {what}"
    return (value, "") if least <= value <= most else (None, f"must lie between {least:g} and {most:,.0f} {what}")


def _name_fault(name: str) -> str:
    if is_name(name):
        return ""
    if not name:
        return "missing"
    likely = _NOT_IN_NAMES.sub("-", name.lower()).strip("-")[:63].rstrip("-")
    hint = f'; did you mean "{likely}"?' if is_name(likely) else ""
    return f"not a name (a-z, 0-9 and hyphens, 63 at most){hint}"


def _mac(written: str) -> tuple[str | None, str]:
    """A MAC address as 00:1b:63:84:45:e6 (None: not given), and what is wrong with it."""
    if not written:
        return None, ""
    text = written.lower()
    pairs = [pair for pair in re.split(r"[:\-. ]", text) if pair]
    if all(len(pair) == 4 for pair in pairs) or len(pairs) == 1:
        # 001b.6384.45e6 or 001b638445e6
        joined = "".join(pairs)
        pairs = [joined[at : at + 2] for at in range(0, len(joined), 2)]
    if len(pairs) != 6:
        return None, f"6 pairs expected, {len(pairs)} found"
    bad = next((pair for pair in pairs if not re.fullmatch(r"[0-9a-f]{2}", pair)), None)
    if bad is not None:
        return None, f'"{bad}" is not a pair of hex digits (0-9, a-f)'
    if int(pairs[0], 16) & 1 or not any(int(pair, 16) for pair in pairs):
        return None, "not the address of one machine; leave it empty if it is not known"
    return ":".join(pairs), ""
