"""What the reviews of a hundred schools cost from end to end: figures read, reckoned, drawn and kept, on two processes.

    python bench/review_whole.py [--packs 100] [--schools 8] [--processes 2] [--past FOLDER] [--json]

A simulated secondary school of 328 devices lives through a month (which takes minutes; `--past` is the `demo-out` of a
demo with `--history 35d`, used again). The state file and the store then get it under so many names, all in one
network, and each has its pack made in turn until there are enough, by `review.make` as the command does it. Nothing is
kept, so that a school can come again; files are drawn all the same.
"""

import argparse
import json
import os
import re
import resource
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from caretaker_collector.past.backfill import backfill  # noqa: E402 (tests/ is put on the path just above)
from caretaker_collector.review.make import Job, Wish, make  # noqa: E402
from caretaker_collector.settings import load_collector  # noqa: E402
from caretaker_simulator.estate import write_demo_estate  # noqa: E402
from rules_world import POLICIES, london_ms  # noqa: E402

BEGIN, END = "2026-09-01 00:00", "2026-10-01 09:00"
MONTH = "2026-09"


def play(folder: Path) -> None:
    """A month of the demo's secondary school."""
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    backfill(folder, folder / "history", london_ms(BEGIN), london_ms(END), 11, ["ash"])


def world(past: Path, folder: Path, count: int) -> list[str]:
    """`count` schools that all lived through what `ash` did."""
    shutil.copytree(past, folder, ignore=shutil.ignore_patterns("data", "run", "history", "agent", "review"))
    (folder / "data").mkdir()
    for name in ("store.db", "state.db"):
        shutil.copyfile(past / "history" / name, folder / "data" / name)
    names = [f"s{number:03}" for number in range(count)]
    text = (folder / "estate.toml").read_text()
    [ash, *_] = re.findall(r"(?ms)^\[\[schools\]\]\nname = \"ash\".*?(?=^\[\[schools\]\]|^\[\[classes\]\]|\Z)", text)
    register, copies = (folder / "ash-devices.csv").read_text(), ""
    for number, name in enumerate(names, 1):
        (folder / f"{name}-devices.csv").write_text(register.replace("02:00:00:", f"02:00:{number:02x}:"))
        own = ash.replace('name = "ash"', f'name = "{name}"', 1)
        copies += own.replace('"ash-devices.csv"', f'"{name}-devices.csv"')
    (folder / "estate.toml").write_text(text.replace(ash, copies + ash, 1))
    for file in ("store.db", "state.db"):
        db = sqlite3.connect(folder / "data" / file)
        db.execute("PRAGMA synchronous = OFF")
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            if "school" not in columns or table == "incidents":
                continue
            kept = [column for column in columns if column != "id"]
            for name in names:
                values = ", ".join("?" if column == "school" else column for column in kept)
                db.execute(
                    f"INSERT OR IGNORE INTO {table} ({', '.join(kept)}) "
                    f"SELECT {values} FROM {table} WHERE school = 'ash'",
                    (name,),
                )
        db.commit()
        db.close()
    (folder / "collector.toml").write_text(
        'estate = "estate.toml"\ndata = "data"\n\n[store]\nkind = "sqlite"\npath = "store.db"\n'
    )
    return names


class Watch(threading.Thread):
    """The most memory of a worker, and of all together."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.one = self.all = 0

    def run(self) -> None:
        while not self.ended.wait(0.3):
            sizes = []
            for child in psutil.Process().children():
                try:
                    sizes.append(child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            self.one, self.all = max([self.one, *sizes]), max(self.all, sum(sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--packs", type=int, default=100)
    parser.add_argument("--schools", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--past", type=Path)
    parser.add_argument("--json", action="store_true")
    args, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as base:
        past = args.past or Path(base) / "past"
        if args.past is None:
            past.mkdir()
            play(past)
        folder = Path(base) / "world"
        names = world(past, folder, args.schools)
        wish = Wish(settings=load_collector(folder / "collector.toml"), now_ms=london_ms(END), keeps=False, out=base)
        jobs = [Job(names[number % len(names)], MONTH) for number in range(args.packs)]
        watch, started = Watch(), time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        watch.start()
        made = list(make(wish, jobs, args.processes))
        took_s = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        watch.ended.set()
        watch.join()
        wrong = [each.problem for each in made if each.problem or not each.recorded]
        if wrong:
            raise SystemExit(f"{len(wrong)} packs could not be made: {wrong[0]}")
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    found = {
        "packs": args.packs,
        "schools": args.schools,
        "processes": args.processes,
        "took_s": took_s,
        "packs_a_minute": args.packs / took_s * 60,
        "hundred_packs_s": took_s / args.packs * 100,
        "cpu_s_a_pack": cpu_s / args.packs,
        "worker_rss_mb": watch.one / 1024**2,
        "all_rss_mb": watch.all / 1024**2,
        "load": os.getloadavg()[0],
    }
    if args.json:
        print(json.dumps({"bench": "review_whole", **{key: round(value, 2) for key, value in found.items()}}))
        return
    for key, value in found.items():
        print(f"{key:<22}{value:>10,.2f}")


if __name__ == "__main__":
    main()
