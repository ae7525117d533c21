"""receive -> journal -> acknowledge: the only way in, and the only place that acknowledges (invariant I1)."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

import structlog

from caretaker_collector.journal import Journal
from caretaker_collector.memory import Memory
from caretaker_collector.stages.act import Outlet
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_rules.ports import Bus

log = structlog.get_logger()

RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0


class Receiver:
    """Keeps a connection to the broker and moves messages into the journal."""

    def __init__(
        self, bus: Bus, journal: Journal, memory: Memory, outlet: Outlet, clock: Clock, commit_s: float
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._memory = memory
        self._outlet = outlet
        self._clock = clock
        self._commit_s = commit_s
        self.problem = "not connected yet"
        """What is wrong now, for /healthz; "" when nothing is."""

    async def run(self) -> None:
        """Until cancelled. A broken link or a full disk is waited out; nothing is acknowledged meanwhile."""
        await retrying(self._once, self._note)

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("receiving stopped; retrying", reason=problem)
        self.problem = problem

    async def _once(self, succeeded: Callable[[], None]) -> None:
        async with self._bus.connect() as link:
            log.info("connected to the broker")
            self._outlet.link = link
            self._memory.connected_since_ms = self._clock.now_ms()
            self.problem = ""
            try:
                async for batch in link.batches():
                    await self._journal.append(batch)
                    link.acknowledge(batch)
                    succeeded()
                    if len(batch) < 1000 and self._commit_s:
                        await asyncio.sleep(self._commit_s)  # group commit: let some more come for the next one
            finally:
                self._outlet.link = None
                self._memory.connected_since_ms = 0


async def repeating(step: Callable[[int], Awaitable[object]], clock: Clock, every_s: float) -> None:
    """Call `step` with the time, each `every_s` seconds of the clock (no two within a real one), until cancelled.

    What raises Unavailable, or finds the state file busy, is called again, later each time, and that is logged.
    """
    told = ""

    def note(reason: str) -> None:
        nonlocal told
        if reason != told:
            log.warning("a regular task is tried again", task=step.__qualname__, reason=reason)
        told = reason

    async def once(succeeded: Callable[[], None]) -> None:
        while True:
            try:
                await step(clock.now_ms())
            except sqlite3.OperationalError as error:  # another process has kept the state file for too long
                raise Unavailable(f"state file: {error}") from error
            succeeded()
            await asyncio.sleep(max(1.0, clock.real_s(every_s)))

    await retrying(once, note)


async def retrying(once: Callable[[Callable[[], None]], Awaitable[None]], note: Callable[[str], None]) -> None:
    """Call `once` again and again while it raises Unavailable, waiting longer each time until it reports success."""
    wait_s = RETRY_MIN_S

    def succeeded() -> None:
        nonlocal wait_s
        wait_s = RETRY_MIN_S

    while True:
        try:
            await once(succeeded)
        except Unavailable as error:
            note(str(error))
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, RETRY_MAX_S)
