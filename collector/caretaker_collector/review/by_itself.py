"""The process that makes packs for the running collector, out of the way of rules and messages.

It is told on standard input what to make, as one `Task` in JSON; what became of each pack is a line of JSON on
standard output. `python -m caretaker_collector.review.by_itself`
"""

import sys

import msgspec
from msgspec import Struct

from caretaker_collector.review.make import Job, Made, Wish, make

NICE = 10
"""Rules and messages come first, and whoever looks at the desk."""


class Task(Struct, frozen=True, kw_only=True):
    """What to make."""

    wish: Wish
    jobs: tuple[Job, ...]
    processes: int = 1


def main() -> None:
    """Make them all; failures are told, not raised."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    for made in make(task.wish, task.jobs, task.processes):
        sys.stdout.buffer.write(msgspec.json.encode(made) + b"\n")
        sys.stdout.buffer.flush()


def results(out: bytes) -> list[Made]:
    """What the process said, as far as its lines are whole."""
    return [msgspec.json.decode(line, type=Made) for line in out.splitlines() if line.endswith(b"}")]


if __name__ == "__main__":
    main()
