"""How often the savings range holds the truth: simulated schools lived twice, with and without a change.

    python bench/savings_coverage.py --runs 200

Each run is a school of its own (seed) with three weeks of baseline and three weeks judged: with nothing changed, with a
rule for evenings, nights and weekends, and with tidier people. The truth is the simulator's: tests/savings_fleet.py.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from savings_fleet import KINDS, MIX, play

LARGE = {"ict3": 31, "english": 10, "lib": 24, "science": 32, "office": 12, "ict1": 31}


def main() -> None:
    """Run and print a table (JSON with --json)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--large", action="store_true", help="140 machines instead of 28; five times as slow")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    mix = LARGE if given.large else MIX
    began = perf_counter()
    runs = [play(seed, mix=mix) for seed in range(given.runs)]
    rows = []
    for kind in KINDS:
        figures = [run[kind].savings.both.kwh for run in runs]
        truths = [run[kind].true_rule_kwh + run[kind].true_user_kwh for run in runs]
        covers = [run[kind].covers() for run in runs]
        rows.append(
            {
                "kind": kind,
                "runs": given.runs,
                "machines": sum(mix.values()),
                "covered": {part: sum(one[part] for one in covers) / len(covers) for part in covers[0]},
                "true_kwh": round(mean(truths), 1),
                "likely_kwh": round(mean(figure.likely for figure in figures), 1),
                "half_range_kwh": round(mean((figure.high - figure.low) / 2 for figure in figures), 1),
            }
        )
    took_s = perf_counter() - began
    if given.json:
        sys.stdout.write(json.dumps({"rows": rows, "seconds": round(took_s, 1)}) + "\n")
        return
    line = "{:<9} {:>5} {:>9} {:>9} {:>9} {:>7} {:>10} {:>11} {:>11}\n"
    words = ("kind", "runs", "machines", "rule-off", "user-off", "both", "true kWh", "likely kWh", "half range")
    sys.stdout.write(line.format(*words))
    for row in rows:
        shares = [f"{100 * share:.1f} %" for share in row["covered"].values()]
        figures = (row["true_kwh"], row["likely_kwh"], row["half_range_kwh"])
        sys.stdout.write(line.format(row["kind"], row["runs"], row["machines"], *shares, *figures))
    sys.stdout.write(f"{took_s:.0f} s\n")


if __name__ == "__main__":
    main()
