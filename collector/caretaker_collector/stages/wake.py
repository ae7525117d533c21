"""wake: who has to be woken now, by rule, patch window or a person's order; and who was, by its own report.

Like `decide` it only returns what has to be sent and written: packets go out through the ledger as commands to the
relay of the school, each machine's attempts stand in the wake book, and both are kept in the batch's one transaction.
"""

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence

from caretaker_collector import wake_book
from caretaker_collector.ledger import LedgerCommand
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.decide import Decide
from caretaker_collector.wake_book import WakeRow
from caretaker_contract.messages import Cause, Command, Verb
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Snapshot
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.model import Estate
from caretaker_rules.policy import Mode, Policy, PolicyFile, compile_policy
from caretaker_rules.presence import ON_STATES
from caretaker_rules.waking import ORDER_RULE, Order, WakeDecision, WakeSnapshot, decide_wakes

MACS_A_COMMAND = 64
"""The contract's bound."""
LOOK_AGAIN_MS = 60_000
"""A school in which nothing is wanted and nothing under way is not looked at again for so long: bookings are dear."""
NO_POLICY = compile_policy(PolicyFile(mode=Mode.OBSERVE), "", "")
"""For schools without one: no rule wakes anything there, and a person's order has the usual bounds."""


class Wake:
    """Decides, asks, and checks what came of it."""

    def __init__(self, db: sqlite3.Connection, decide: Decide, estate: Estate, policies: Mapping[str, Policy]) -> None:
        self._db = db
        self._decide = decide
        self._estate = estate
        self._policies = policies
        self._told: dict[Address, tuple[object, ...]] = {}  # what was last written for `why`
        self._quiet_ms: dict[str, int] = {}  # until when nothing is looked for in a school

    async def run(self, batch: Batch) -> None:
        """Add commands, decisions and entries of the wake book to the batch."""
        if not (batch.tick or batch.people):
            return
        orders, rows = wake_book.orders(self._db, batch.now_ms), wake_book.under_way(self._db, batch.now_ms)
        for school in self._estate.schools:
            policy = self._policies.get(school, NO_POLICY)
            quiet = batch.now_ms < self._quiet_ms.get(school, 0) <= batch.now_ms + LOOK_AGAIN_MS
            ruled = batch.tick and not quiet and (policy.wakes or policy.patch)
            if ruled or school in orders or school in rows:
                self._school(school, policy, orders.get(school, []), rows.get(school, []), batch)

    def _school(
        self, school: str, policy: Policy, orders: Sequence[Order], rows: Sequence[WakeRow], batch: Batch
    ) -> None:
        base = self._decide.snapshot(school, batch.now_ms)
        settled = self._settle(base, rows, batch)
        snapshot = WakeSnapshot(
            school=base,
            tried=wake_book.tried(rows),
            answered=wake_book.answered(self._db, school),
            packets_ms=wake_book.packets_ms(rows, batch.now_ms),
            orders=orders,
        )
        listed = {(row.address, row.occasion): row.why for row in rows if row.result == "cannot"}
        going: dict[tuple[Address, str, str], list[WakeDecision]] = {}
        wanted = decide_wakes(snapshot, policy, batch.now_ms)
        if not wanted:
            self._quiet_ms[school] = batch.now_ms + LOOK_AGAIN_MS
        for wake in wanted:
            decision = wake.decision
            key = (wake.occasion, decision.verdict, wake.attempt, *(reason.why for reason in decision.reasons))
            if self._told.get(decision.device) != key:
                batch.decisions.append(decision)
                self._told[decision.device] = key
            if wake.wakes and wake.relay is not None:
                going.setdefault((wake.relay, wake.room, decision.rule), []).append(wake)
            elif wake.cannot:
                reason = decision.reasons[0]
                place = (decision.device, wake.occasion)
                if listed.get(place) != reason.why.value and place not in settled:
                    batch.writes.append(wake_book.unable(wake, reason, batch.now_ms))
        for (relay, room, rule), wakes in going.items():
            for start in range(0, len(wakes), MACS_A_COMMAND):
                self._ask(relay, room, rule, wakes[start : start + MACS_A_COMMAND], batch)

    def _settle(self, base: Snapshot, rows: Sequence[WakeRow], batch: Batch) -> set[tuple[Address, str]]:
        """Note which of those that got packets are on by their own report, and which occasions are over."""
        states = {device.address: tracked.presence.state for device, tracked in base.machines}
        settled = set()
        for row in rows:
            on = states.get(row.address) in ON_STATES
            if on and row.attempts and row.result in ("waiting", "cannot") and row.until_ms > batch.now_ms:
                batch.writes += wake_book.settled(row, "awake", batch.now_ms)
                batch.counts["woken"] += 1
            elif row.result == "waiting" and row.until_ms <= batch.now_ms:
                batch.writes += wake_book.settled(row, "given_up", batch.now_ms)
            else:
                continue
            settled.add((row.address, row.occasion))
        return settled

    def _ask(self, relay: Address, room: str, rule: str, wakes: Sequence[WakeDecision], batch: Batch) -> None:
        command = Command(
            id=wake_id(relay, wakes),
            device=str(relay),
            verb=Verb.WAKE,
            issued_ms=batch.now_ms,
            expires_ms=batch.now_ms + COMMAND_LIFE_S * 1000,
            cause=Cause.MAINTENANCE if rule == ORDER_RULE else Cause.RULE,
            macs=[wake.mac for wake in wakes],
        )
        # The room is that of the machines: a stop switch there stops the packets on their last step, too.
        batch.commands.append(LedgerCommand(command=command, address=relay, room=room, rule=rule))
        batch.writes += [wake_book.asked(wake, command.id, batch.now_ms) for wake in wakes]


def wake_id(relay: Address, wakes: Sequence[WakeDecision]) -> str:
    """The same attempts for the same machines always give the same id, so deciding twice cannot send two commands."""
    told = [f"{wake.decision.device}|{wake.occasion}|{wake.attempt}" for wake in wakes]
    return hashlib.blake2b("\n".join([str(relay), *sorted(told)]).encode(), digest_size=16).hexdigest()
