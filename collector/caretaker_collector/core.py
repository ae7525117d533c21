"""The core reader: takes batches out of the journal, and ticks, through the stages of pipeline.py."""

import asyncio
import gc
import sqlite3
from collections.abc import Callable, Sequence

import structlog

from caretaker_collector import state
from caretaker_collector.journal import Journal, Record
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch, Stage
from caretaker_collector.receiver import retrying
from caretaker_collector.stages.keep import CORE
from caretaker_contract.clock import Clock
from caretaker_contract.errors import ContractError, Unavailable

log = structlog.get_logger()

BATCH = 2_000
PEOPLE_POLL_S = 0.4
"""Real seconds between two looks whether a person has written an order, a hold or a stop: they work within a second."""
YOUNG_OBJECTS = 50_000
"""New objects between two looks for garbage (Python's own choice, 700, is a tenth of one batch: at 10,000 devices the
looking took a fifth of the collector's time)."""


class Core:
    """Runs the stages in order, one batch after the other."""

    def __init__(
        self,
        journal: Journal,
        db: sqlite3.Connection,
        memory: Memory,
        ledger: Ledger,
        stages: Sequence[Stage],
        clock: Clock,
        tick_s: float,
    ) -> None:
        self._journal = journal
        self._db = db
        self._memory = memory
        self._ledger = ledger
        self._stages = stages
        self._clock = clock
        self._tick_ms = int(tick_s * 1000)
        self._next_tick_ms = clock.now_ms()
        self._unfinished = False  # the rules of some schools have still to run
        self._singly = 0  # how many records are still to be read one at a time, because their batch failed
        self.position = state.position(db, CORE)
        self._seen_version = -1  # of the state file, as others have written it
        self.ticked_ms = 0
        """Collector time of the last tick that went through: an old one means that the rules loop stands still."""
        self.problem = ""

    async def run(self) -> None:
        """Until cancelled."""
        gc.collect()
        gc.freeze()  # the register and the programme itself stay: no need to look through them again and again
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        await retrying(self._once, self._note)

    def _note(self, problem: str) -> None:
        """A batch could not be kept: memory goes back to the file, and the journal replays what came after."""
        if problem != self.problem:
            log.error("the core stands still; retrying", reason=problem)
        self.problem = problem
        try:
            self._go_back()
        except sqlite3.Error as error:
            log.error("state file cannot be read", reason=str(error))

    def _go_back(self) -> None:
        """Memory becomes what the state file has; what came after is read from the journal again."""
        self._seen_version = -1
        self._memory.reload(self._db)
        self._ledger.load()
        self.position = state.position(self._db, CORE)

    async def _once(self, succeeded: Callable[[], None]) -> None:
        while True:
            if not await self.step():
                wait_ms = max(0, self._next_tick_ms - self._clock.now_ms())
                wait_s = min(max(0.001, self._clock.real_s(wait_ms / 1000)), PEOPLE_POLL_S)
                await self._journal.wait(self.position, timeout_s=wait_s)
            self.problem = ""
            succeeded()
            await asyncio.sleep(0)  # while records are in memory no stage waits for anything: let the others in

    async def _sort_out(self, records: list[Record], error: Exception) -> None:
        """After a defect of ours: go on without whatever it is that we fail on, so that it stops nothing else.

        A message is put aside like any bad one. When it is none of them, it is the rules: then nothing is switched,
        messages still flow, and /healthz says that the rules have not run.
        """
        self._go_back()
        if not records:
            log.error("the rules failed; nothing is switched until they run again", reason=repr(error))
            return
        if len(records) > 1:
            log.error("a batch failed; its messages are tried one by one", reason=repr(error))
            self._singly = len(records)
            return
        if not self._singly:  # it came together with a tick: try it without
            self._singly = 1
            return
        [culprit] = records
        log.error("put aside a message on which the core fails", position=culprit.pos, reason=repr(error))
        batch = Batch(now_ms=self._clock.now_ms(), records=[], tick=False, position=culprit.pos)
        batch.counts["received"] = 1
        batch.quarantined.append((culprit, ContractError(f"the core failed on it: {error!r}"[:500], "core")))
        for stage in self._stages:
            await stage.run(batch)
        self.position = culprit.pos
        self._singly = max(0, self._singly - 1)

    async def step(self) -> bool:
        """One batch or tick; False when there was neither. Unavailable when it could not be kept."""
        records = await self._journal.read(self.position, 1 if self._singly else BATCH)
        now_ms = self._clock.now_ms()
        version = state.version(self._db)
        # Records are read one by one to find the one that is at fault; what is not about them has to wait.
        tick = not self._singly and now_ms >= self._next_tick_ms
        people = not self._singly and version != self._seen_version
        if not (records or tick or people or self._unfinished):
            return False
        position = records[-1].pos if records else self.position
        more = self._journal.last > position
        self._memory.behind_s = max(0, now_ms - records[-1].received_ms) / 1000 if records and more else 0.0
        batch = Batch(now_ms=now_ms, records=records, tick=tick, position=position, people=people)
        try:
            for stage in self._stages:
                await stage.run(batch)
        except Unavailable:
            raise
        except Exception as error:
            if isinstance(error, sqlite3.Error) and state.is_busy(error):
                raise Unavailable(f"state file: {error}") from error  # no message is to blame
            await self._sort_out(records, error)
            self._next_tick_ms = now_ms + self._tick_ms
            self._unfinished, self._seen_version = False, version
            return True
        self._singly = max(0, self._singly - len(records))
        self.position, self._unfinished = position, batch.unfinished
        self._seen_version = version
        if tick:
            self.ticked_ms = now_ms
            self._next_tick_ms = now_ms + self._tick_ms
        return True
