"""Runs the benchmarks one after the other: `make bench`, `make bench ARGS="--quick --only throughput"`.

    --only NAME    just bench/NAME.py (may be given more than once)
    --quick        a rough figure in less time

Anything else on the command line is handed on; that takes one --only, because each benchmark has options of its own.
Ends with 1 when one of them failed.
"""

import argparse
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"
QUICK = {
    "stores": ["--points", "20000"],
    "agent_memory": ["--seconds", "15"],
    "bell": ["--quick"],
    "throughput": ["--quick"],
    "backtest_days": ["--days", "5"],
    "savings_coverage": ["--runs", "20"],
    "availability": ["--schools", "20", "--months", "3"],
    "board_queries": ["--quick"],
}
"""The benchmarks in their order, lightest first, and what makes each quick. Other files there are parts of these."""


def main() -> int:
    """Run those that are wanted and there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=QUICK, metavar="NAME", help=", ".join(QUICK))
    parser.add_argument("--quick", action="store_true")
    given, rest = parser.parse_known_args()
    if rest and len(given.only or ()) != 1:
        parser.error(f"{' '.join(rest)} is for one benchmark: say which with --only, such as --only throughput")
    failed = []
    for name in given.only or QUICK:
        script = BENCH / f"{name}.py"
        if not script.exists():
            print(f"{name}: no such benchmark here", file=sys.stderr)
            continue
        print(f"\n== {name} ==", flush=True)
        command = [sys.executable, str(script), *(QUICK[name] if given.quick else []), *rest]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
