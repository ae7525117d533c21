"""Availability of 12 months for 100 schools of 328 devices, from device_day, beside a plain scan of the same rows.

    python bench/availability.py [--schools 100] [--months 12] [--json]

The store is SQLite, filled by one statement a day (12 million rows, about 2 GB in a temporary folder). Measured is what
`caretaker sla show all MONTH` reckons, month by month; a school's rooms for one month; and the plain scan: the same
columns of the same rows through Python's sqlite3, with nothing done with them.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

from caretaker_collector.days.owed import FIELDS
from caretaker_collector.sla.places import place, roll_up
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_rules import sla
from caretaker_rules.calendar import midnight_ms, zone_of
from caretaker_rules.model import Estate, Room, School
from caretaker_rules.service import ServiceFile, ServiceLevel
from caretaker_rules.timetable import DayKind

DEVICES, PER_ROOM = 328, 30
FIRST = date(2025, 9, 1)
LONDON = zone_of("Europe/London")
NOW_MS = midnight_ms(date(2027, 1, 1), LONDON)
FILL = """
WITH RECURSIVE school (s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM school WHERE s < :schools - 1),
    device (d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM device WHERE d < :devices - 1)
INSERT INTO device_day (time_ns, school, room, class, device, in_use_s, idle_s, asleep_s, off_s, blind_s, boots,
    energy_wh, owed_s, maintained_s, available_s, down_s, unseen_s, lesson_s, lesson_available_s, lesson_down_s,
    lesson_unseen_s, faults)
SELECT :time_ns, printf('school-%03d', s), printf('room-%02d', d / :per_room), 'desktop', printf('pc-%03d', d),
    18000, 7200, 0, 61200, 0, 1, 640.5, 32400, 0, 32400 - (s * 7 + d * 13) % 600, (s * 7 + d * 13) % 600, 0,
    18000, 18000 - (s + d) % 300, (s + d) % 300, 0, (s * 7 + d * 13) % 600 > 500
FROM school, device ORDER BY 2, 3, 5
"""


def estate_of(schools: int) -> Estate:
    """Schools with one level; rooms as the rows have them."""
    level = ServiceLevel(
        name="transitional",
        availability_target=0.99,
        days=[DayKind.TERM],
        priorities=[],
        matrix=[],
    )
    rooms = [Room(name=f"room-{number:02}", lessons=[]) for number in range(-(-DEVICES // PER_ROOM))]
    names = [f"school-{number:03}" for number in range(schools)]
    return Estate(
        provider="Bench",
        networks={},
        schools={name: School(name=name, title=name, rooms=rooms) for name in names},
        classes={},
        devices={},
        service=ServiceFile(levels=[level]),
    )


def months_of(count: int) -> list[str]:
    """Months from the first one on."""
    return [f"{FIRST.year + (FIRST.month - 1 + i) // 12}-{(FIRST.month - 1 + i) % 12 + 1:02}" for i in range(count)]


async def measure(folder: Path, schools: int, months: list[str]) -> dict[str, float]:
    """Fill a store, ask, and scan."""
    path = folder / "store.db"
    estate, store = estate_of(schools), SqliteStore(path)
    await store.count("device_day")  # makes the table
    began = perf_counter()
    rows = fill(path, schools, months)
    filled_s = perf_counter() - began
    began = perf_counter()
    found = [await roll_up(store, estate, place(estate, "all"), month, NOW_MS) for month in months]
    year_s = perf_counter() - began
    assert all(len(each.inside) == schools for each in found)
    began = perf_counter()
    await roll_up(store, estate, place(estate, "school-000"), months[-1], NOW_MS)
    school_s = perf_counter() - began
    await store.close()
    began = perf_counter()
    scan(path)
    scan_s = perf_counter() - began
    return {
        "rows": rows,
        "fill_s": round(filled_s, 1),
        "all_schools_s": round(year_s, 2),
        "plain_scan_s": round(scan_s, 2),
        "ratio": round(year_s / scan_s, 2),
        "rows_per_s": round(rows / year_s),
        "one_school_one_month_s": round(school_s, 3),
    }


def fill(path: Path, schools: int, months: list[str]) -> int:
    """A row for each device and day; returns how many."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    for month in months:
        day, last = sla.month_days(month)
        database.execute("BEGIN")
        while day <= last:
            values = {"time_ns": midnight_ms(day, LONDON) * 1_000_000, "per_room": PER_ROOM}
            database.execute(FILL, values | {"schools": schools, "devices": DEVICES})
            day += timedelta(days=1)
        database.execute("COMMIT")
    rows = database.total_changes
    database.close()
    return rows


def scan(path: Path) -> None:
    """Read the same columns of the same rows, and do nothing with them."""
    database = sqlite3.connect(path)
    cursor = database.execute(f"SELECT time_ns, school, {', '.join(FIELDS)} FROM device_day")
    while cursor.fetchmany(5_000):
        pass
    database.close()


def main() -> None:
    """Measure and print (JSON with --json)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schools", type=int, default=100)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="caretaker-bench-") as name:
        figures = asyncio.run(measure(Path(name), given.schools, months_of(given.months)))
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for key, value in figures.items():
        sys.stdout.write(f"{key:<24} {value:>14,}\n")


if __name__ == "__main__":
    main()
