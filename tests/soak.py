"""Drives hostile schools (hostile_school.py) for a number of machine-hours, in several processes: `make soak`.

Every school is made from one number, its seed. A school in which something is switched that must not be ends the run
with that seed and the command that does it again. Exit code 1 then, else 0.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from hostile_school import drive

SEEDS_AT_ONCE = 4
TELL_EVERY_S = 30.0


class Broken(Exception):
    """A school broke an invariant; the text names its seed, the moment and what was wrong."""


def soak(
    machine_hours: int,
    processes: int,
    first_seed: int,
    tell: Callable[[Counter[str]], None] = lambda total: None,
    drive: Callable[[Sequence[int]], Counter[str]] = drive,
) -> Counter[str]:
    """Drive schools from `first_seed` on until so many machine-hours are lived; what they came to. Raises Broken."""
    total: Counter[str] = Counter()
    seeds = itertools.count(first_seed)
    # Spawned, not forked: a process of the tests has threads of its own.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running: set[Future[Counter[str]]] = set()
        try:
            while total["machine_hours"] < machine_hours:
                while len(running) < processes:
                    running.add(pool.submit(drive, [next(seeds) for _ in range(SEEDS_AT_ONCE)]))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    total += each.result()
                tell(total)
        except AssertionError as error:
            raise Broken(str(error)) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return total


def progress(began_s: float) -> Callable[[Counter[str]], None]:
    """Prints a line now and then."""
    told_s = began_s

    def tell(total: Counter[str]) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= TELL_EVERY_S:
            told_s = now_s
            print(f"{now_s - began_s:6.0f} s  {total['machine_hours']:>11,} machine-hours", flush=True)

    return tell


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine-hours", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=min(3, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, help="of the first school; else drawn")
    parser.add_argument("--one", type=int, metavar="SEED", help="only this school, in this process")
    words = parser.parse_args()
    began_s = time.monotonic()
    if words.one is not None:
        print(_text(drive([words.one]), time.monotonic() - began_s))
        return 0
    first = random.SystemRandom().randrange(2**32) if words.seed is None else words.seed
    print(f"{words.machine_hours:,} machine-hours in {words.processes} processes, seeds from {first}", flush=True)
    try:
        total = soak(words.machine_hours, words.processes, first, progress(began_s))
    except Broken as error:
        seed = str(error).partition(",")[0].removeprefix("seed ")
        print(f"BROKEN: {error}\nagain: python tests/soak.py --one {seed}", file=sys.stderr)
        return 1
    print(_text(total, time.monotonic() - began_s))
    return 0


def _text(total: Counter[str], took_s: float) -> str:
    return (
        f"{total['machine_hours']:,} machine-hours ({total['hours_on']:,} of them on) in {total['schools']:,} schools: "
        f"{total['looks']:,} looks, {total['decisions']:,} decisions, {total['asked']:,} asked, "
        f"{total['switched']:,} switched, nothing that must not be; {took_s:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
