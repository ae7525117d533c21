"""How fast a policy is tried on a record, in machine-days a second, and how fast the record is made.

    python bench/backtest_days.py --days 28

The demo's two schools (378 machines) play so many days into a SQLite store by `caretaker_collector.past.backfill`; then
rules/policies/school.toml is tried on them, read from the store and replayed, as `caretaker policy backtest` does.
"""

import argparse
import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo

from caretaker_collector.backtest import Source, read_record, run
from caretaker_collector.past.backfill import DAY_MS, STORE, backfill
from caretaker_collector.settings import CollectorSettings, load_estate, load_policy
from caretaker_simulator.estate import write_demo_estate

POLICY = Path(__file__).parents[1] / "rules" / "policies" / "school.toml"
SCHOOLS = ["ash", "oak"]
END_MS = int(datetime(2026, 10, 6, 16, 20, tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)


def main() -> None:
    """Measure and print (JSON with --json)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="caretaker-bench-") as name:
        folder = Path(name)
        estate = load_estate(write_demo_estate(folder, POLICY))
        began = perf_counter()
        made = backfill(folder, folder, END_MS - given.days * DAY_MS, END_MS, 8, SCHOOLS)
        filled = perf_counter()
        settings = CollectorSettings(estate=str(folder / "estate.toml"), data=name)
        found = [Source(folder / STORE)]
        record = read_record(found, settings, estate, SCHOOLS, given.days * DAY_MS, END_MS, lambda *_: None)
        read = perf_counter()
        result = run(record, estate, load_policy(POLICY), {}, {}, 30.0, lambda *_: None)
        done = perf_counter()
    machine_days = given.days * result.machines
    figures = {
        "machine_days": machine_days,
        "messages": made.messages,
        "fill_s": round(filled - began, 1),
        "read_s": round(read - filled, 1),
        "replay_s": round(done - read, 1),
        "machine_days_per_s": round(machine_days / (done - filled)),
        "switched": result.tried.figures.switched,
    }
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for key, value in figures.items():
        sys.stdout.write(f"{key:<20} {value:>12,}\n")


if __name__ == "__main__":
    main()
