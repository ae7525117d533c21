"""A collector that starts at once: fifty starts would otherwise be a minute of importing the same modules."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from caretaker_contract.clock import Clock
from worlds import CollectorProcess, World

_STARTER = """\
import os, signal, sys
import uvloop
import caretaker_collector.app
import caretaker_collector.cli
import caretaker_collector.stores.sqlite

child = 0
for order in sys.stdin:
    if order == "start\\n":
        child = os.fork()
        if child == 0:
            sys.argv = ["caretaker", "collect", "--config", os.environ["FAULT_CONFIG"]]
            os.close(0)
            try:
                sys.exit(caretaker_collector.cli.main())
            finally:
                sys.stderr.flush()
        print(child, flush=True)
    else:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(f"ended by itself with {os.waitstatus_to_exitcode(status)}" if ended else "killed", flush=True)
"""


@dataclass
class WarmCollector:
    """`caretaker collect` forked off a process that has imported everything and opened nothing."""

    world: World
    clock: Clock
    pid: int = 0
    shot: bool = False
    _starter: subprocess.Popen[str] | None = field(default=None, repr=False)

    @contextmanager
    def ready(self) -> Iterator["WarmCollector"]:
        """Import; the collector is killed with the block."""
        log_path = self.world.folder / "collector.log"
        with log_path.open("ab") as log:
            self._starter = subprocess.Popen(
                [sys.executable, "-c", _STARTER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.clock.to_environment(), "FAULT_CONFIG": str(self.world.config)},
            )
        try:
            yield self
        finally:
            if self.pid:
                self._order("kill")
            assert self._starter.stdin is not None
            self._starter.stdin.close()
            self._starter.wait(10)

    def start(self) -> None:
        """Start it; returns at once."""
        self.shot = False
        self.pid = int(self._order("start"))

    def shoot(self) -> None:
        """kill -9 this very moment, from any thread; `kill` has to follow."""
        self.shot = True
        os.kill(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """kill -9; AssertionError when it had ended by itself before."""
        answer = self._order("kill")
        self.pid = 0
        assert answer == "killed" or (self.shot and answer.endswith(" -9")), f"the collector {answer}:\n{self.log()}"

    def log(self) -> str:
        """The end of its log."""
        return CollectorProcess(self.world).log()

    def health(self) -> dict[str, object] | None:
        """What /healthz says; None while nobody answers."""
        return CollectorProcess(self.world).health()

    def _order(self, word: str) -> str:
        assert self._starter is not None and self._starter.stdin is not None and self._starter.stdout is not None
        self._starter.stdin.write(f"{word}\n")
        self._starter.stdin.flush()
        answer = self._starter.stdout.readline().strip()
        assert answer, f"the collector's starter has ended:\n{self.log()}"
        return answer


def copy_journal(world: World, to: Path) -> None:
    """A copy of the journal as it is on disk now, whether its collector runs or was killed."""
    to.mkdir(parents=True, exist_ok=True)
    source = sqlite3.connect(f"file:{world.data / 'journal.db'}?mode=ro", uri=True, timeout=10)
    target = sqlite3.connect(to / "journal.db")
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
