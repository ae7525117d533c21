"""act: send what the ledger says has to be sent, once; and ask devices for numbers that have not come.

Before each single send the stop switch is read again, so that a person's stop takes effect between two machines.
"""

import asyncio
import hashlib
import math

import structlog
from nacl.signing import SigningKey

from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Command, Range, Verb
from caretaker_contract.signing import sign
from caretaker_contract.topics import Address, Kind
from caretaker_rules.limits import is_stopped
from caretaker_rules.ports import BusLink
from caretaker_rules.presence import ON_STATES

log = structlog.get_logger()

REPLAY_LIFE_MS = 600_000
RANGES_A_TIME = 50
NUMBERS_A_TIME = 2_000
REPLAYS_A_TICK = 200
"""How many devices are asked in one tick: a whole school coming back must not swamp the broker."""
AWAY_MS = 30_000
BACKOFF_MS = 60_000
BACKOFF_MAX_MS = 3_600_000


class Outlet:
    """The present way to the broker; `link` is None while there is none."""

    def __init__(self) -> None:
        self.link: BusLink | None = None


class Act:
    """The only place from which a command leaves."""

    def __init__(self, memory: Memory, ledger: Ledger, key: SigningKey, outlet: Outlet, clock: Clock) -> None:
        self._memory = memory
        self._ledger = ledger
        self._key = key
        self._outlet = outlet
        self._clock = clock
        self._due = asyncio.Event()

    async def run(self, batch: Batch) -> None:
        """Wake the doer. It works beside the pipeline: a broker that is slow to answer must not hold up the rules."""
        if batch.tick:
            self._ledger.close_unanswered(batch.now_ms)
        if batch.tick or batch.commands:
            self._due.set()

    async def work(self) -> None:
        """Until cancelled: at each tick send what is due. A broken link leaves it for the next, until it expires."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._outlet.link is None:
                continue
            try:
                await self._send_commands(self._outlet.link)
                await self._ask_for_missing(self._outlet.link, self._clock.now_ms())
            except Unavailable as error:
                log.warning("could not send; what still applies is tried again", reason=str(error))

    async def _send_commands(self, link: BusLink) -> None:
        for entry in self._ledger.to_send(self._clock.now_ms()):
            now_ms = self._clock.now_ms()
            stopped = is_stopped(self._ledger.stops(), entry.address.school, entry.room)
            if entry.command.expires_ms <= now_ms or (stopped and entry.command.verb is not Verb.CANCEL):
                continue
            if not self._ledger.claim(entry.command.id, now_ms):
                continue  # withdrawn since the list was read
            await self._publish(link, entry.address, entry.command)
            self._ledger.mark(entry.command.id, "sent", now_ms)
            self._ledger.count("commands_sent")

    async def _ask_for_missing(self, link: BusLink, now_ms: int) -> None:
        asked = 0
        for address, plan in list(self._memory.replays.items()):
            if plan.next_ms > now_ms:
                continue
            if self._memory.entries[address].tracked.presence.state not in ON_STATES:
                plan.next_ms = now_ms + AWAY_MS  # nobody would answer; it is asked when it is back
                continue
            if asked == REPLAYS_A_TICK:
                return
            ranges = self._missing(address)
            if not ranges:
                self._memory.replays.pop(address, None)
                continue
            # By the machine's own clock, as far as we know it: one whose clock is wrong would refuse, and its numbers
            # would be lost for good. Asking for what it has said already is harmless, so this holds for replay only.
            telemetry = self._memory.entries[address].tracked.telemetry
            issued_ms = max(0, now_ms - telemetry.skew_ms) if telemetry else now_ms
            command = Command(
                id=_replay_id(address, ranges, now_ms),
                device=str(address),
                verb=Verb.REPLAY,
                issued_ms=issued_ms,
                expires_ms=issued_ms + REPLAY_LIFE_MS,
                ranges=ranges,
            )
            await self._publish(link, address, command)
            plan.next_ms = now_ms + min(BACKOFF_MS * 2**plan.attempts, BACKOFF_MAX_MS)
            plan.attempts = min(plan.attempts + 1, 10)
            self._ledger.count("replays_asked")
            asked += 1

    def _missing(self, address: Address) -> list[Range]:
        """The newest missing numbers of a device, as many as one request may ask for."""
        ranges: list[Range] = []
        left = NUMBERS_A_TIME
        for numbering in reversed(self._memory.entries[address].numberings.epochs):
            for boot, first, last in numbering.missing(RANGES_A_TIME - len(ranges)):
                if left <= 0:
                    return ranges
                first = max(first, last - left + 1)
                left -= last - first + 1
                ranges.append(Range(numbering.epoch, boot, first, last))
        return ranges

    async def _publish(self, link: BusLink, address: Address, command: Command) -> None:
        life_s = self._clock.real_s((command.expires_ms - command.issued_ms) / 1000)
        await link.publish(address.topic(Kind.COMMAND), sign(command, self._key), max(1, math.ceil(life_s)))


def _replay_id(address: Address, ranges: list[Range], now_ms: int) -> str:
    return hashlib.blake2b(f"{address}|{ranges}|{now_ms}".encode(), digest_size=16).hexdigest()
