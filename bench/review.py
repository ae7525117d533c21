"""What drawing the monthly review costs: one pack, cold and warm. bench/review_whole.py makes many, figures and all.

    python bench/review.py [--quick] [--json]

A pack is a full month of a secondary school of 328 devices: front page, eight pages and the annex, with six charts, as
HTML, PDF and spreadsheet. It is one of tests/review_packs.py, so reckoning the figures is not in it. The plain
reference is one empty A4 page through WeasyPrint in the same run: compare `pack_to_empty_page` between machines.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from caretaker_dashboards.review.draw import draw  # noqa: E402 (tests/ is put on the path just above)
from caretaker_dashboards.review.page import render  # noqa: E402
from caretaker_dashboards.review.pdf import pdf_bytes  # noqa: E402
from caretaker_dashboards.review.sheet import xlsx_bytes  # noqa: E402
from review_packs import full  # noqa: E402

EMPTY = '<html lang="en"><head><title>t</title></head><body><p>.</p></body></html>'
COLD = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from caretaker_dashboards.review.draw import draw
from review_packs import full
draw(full(), Path(tempfile.mkdtemp()))
"""


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _timed(work: Any, times: int) -> tuple[float, float]:
    """The least processor time and the least wall time of a few tries, in seconds."""
    tries = []
    for _ in range(times):
        cpu, wall = _cpu_s(), time.perf_counter()
        work()
        tries.append((_cpu_s() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in tries), min(wall for _, wall in tries)


def one(folder: Path, times: int) -> dict[str, float]:
    """A pack in this process, part by part, and the plain reference."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", COLD, str(ROOT / "tests")], check=True, capture_output=True)
    cold_s = time.perf_counter() - started
    pack = full()
    draw(pack, folder)
    html = render(pack, paper=True)
    parts = {
        "html_cpu_s": _timed(lambda: render(pack), times)[0],
        "pdf_cpu_s": _timed(lambda: pdf_bytes(html), times)[0],
        "xlsx_cpu_s": _timed(lambda: xlsx_bytes(pack), times)[0],
    }
    empty_cpu_s, _ = _timed(lambda: pdf_bytes(EMPTY), times)
    warm_cpu_s, warm_s = _timed(lambda: draw(pack, folder), times)
    sizes = {f"{path.suffix[1:]}_kb": path.stat().st_size / 1024 for path in folder.iterdir()}
    return {
        "cold_s": cold_s,
        "warm_s": warm_s,
        "warm_cpu_s": warm_cpu_s,
        **parts,
        "empty_page_cpu_s": empty_cpu_s,
        "pack_to_empty_page": warm_cpu_s / empty_cpu_s,
        **sizes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one try")
    parser.add_argument("--json", action="store_true")
    args, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as base:
        found = one(Path(base) / "one", 1 if args.quick else 5)
    found["load"] = os.getloadavg()[0]
    if args.json:
        print(json.dumps({"bench": "review", **{key: round(value, 3) for key, value in found.items()}}))
        return
    for key, value in found.items():
        print(f"{key:<22}{value:>10,.2f}")


if __name__ == "__main__":
    main()
