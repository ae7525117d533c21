"""order: what people order, and the restarts that end patch windows, by the guards, limits and ledger of the rules.

An order is judged as soon as its command has written it down. Machines that only a limit holds back are tried again at
each tick, for half an hour; what stays on for any other reason stays on for good.
"""

import hashlib
import sqlite3
from collections.abc import Collection, Mapping

from msgspec import structs

from caretaker_collector import order_book
from caretaker_collector.ledger import LedgerCommand
from caretaker_collector.memory import Memory
from caretaker_collector.order_book import KEEP_TRYING_MS, TAKE_WITHIN_MS, Answer, Found, PersonsOrder
from caretaker_collector.pipeline import Batch
from caretaker_collector.stages.decide import Decide
from caretaker_contract.messages import Cause, Command, Verb, WarnText
from caretaker_rules.decisions import Decision, Snapshot
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.model import Asked, Estate
from caretaker_rules.orders import Order, comes_later, judge_order
from caretaker_rules.patching import OpenWindow, restarting
from caretaker_rules.policy import Action, Policy
from caretaker_rules.reasons import Why

PATCH_WARN_S = 300


class Orders:
    """Judges orders and makes their commands."""

    def __init__(
        self, db: sqlite3.Connection, memory: Memory, decide: Decide, estate: Estate, policies: Mapping[str, Policy]
    ) -> None:
        self._db = db
        self._memory = memory
        self._decide = decide
        self._estate = estate
        self._policies = policies

    async def run(self, batch: Batch) -> None:
        """Add decisions, commands and answers to the batch."""
        if batch.people or batch.tick:
            for order in order_book.unfinished(self._db):
                if order.status != "open":
                    self._first(order, batch)
                elif batch.tick:
                    self._again(order, batch)
        if batch.tick:
            for school, policy in self._policies.items():
                for opening in restarting(self._estate.schools[school], policy, batch.now_ms):
                    self._restart(school, policy, opening, batch)

    def _first(self, order: PersonsOrder, batch: Batch) -> None:
        if batch.now_ms - order.made_ms > TAKE_WITHIN_MS:
            batch.answers.append(Answer(order=order.id, status="expired"))
            return
        if not order_book.take(self._db, order.id):
            return
        devices = {device.address for device in order.scope.devices(self._estate)}
        policy = self._policies.get(order.scope.school)
        if policy is None or not devices:
            refused = (
                "no machine of the register is meant"
                if policy
                else f"no policy in {order.scope.school}: without one the limits are not known"
            )
            found = Found(machines=0, asked=[], later=[], stay={}, refused=refused)
            batch.answers.append(Answer(order=order.id, status="refused", found=found))
            return
        decisions = judge_order(_order(order), devices, self._snapshot(order.scope.school, batch), policy, batch.now_ms)
        later = [decision.device for decision in decisions if comes_later(decision)]
        until_ms = batch.now_ms + KEEP_TRYING_MS
        if not order.dry_run:
            for decision in decisions:
                self._keep(decision, Action(order.verb), f"order-{order.id}", WarnText.ENGINEER, batch)
        goes_on = bool(later) and not order.dry_run
        batch.answers.append(
            Answer(
                order=order.id,
                status="open" if goes_on else "done",
                until_ms=until_ms if goes_on else 0,
                waiting=later if goes_on else [],
                found=_found(decisions),
            )
        )

    def _again(self, order: PersonsOrder, batch: Batch) -> None:
        policy = self._policies.get(order.scope.school)
        if policy is None or batch.now_ms >= order.until_ms:
            batch.answers.append(Answer(order=order.id, status="done"))
            return
        snapshot = self._snapshot(order.scope.school, batch)
        decisions = judge_order(_order(order), set(order.waiting), snapshot, policy, batch.now_ms)
        later = [decision.device for decision in decisions if comes_later(decision)]
        for decision in decisions:
            if decision.device not in later:
                self._keep(decision, Action(order.verb), f"order-{order.id}", WarnText.ENGINEER, batch)
        if later != order.waiting:
            status: order_book.Status = "open" if later else "done"
            batch.answers.append(Answer(order=order.id, status=status, until_ms=order.until_ms, waiting=later))

    def _restart(self, school: str, policy: Policy, opening: OpenWindow, batch: Batch) -> None:
        """Restart what the window has updated, once for each time that it is on."""
        window = opening.window
        snapshot = self._snapshot(school, batch)
        devices = {
            device.address
            for device, _ in snapshot.machines
            if window.selects(device, snapshot.school)
            and not _restarted_since(snapshot.asked.get(device.address), opening.from_ms)
        }
        order = Order(
            word=f"patch.{window.name}.{opening.from_ms}",
            action=Action.RESTART,
            by=f"patch window {window.name}",
            warn_s=PATCH_WARN_S,
            patch_window=True,
        )
        for decision in judge_order(order, devices, snapshot, policy, batch.now_ms):
            if decision.acts:
                self._keep(decision, Action.RESTART, f"patch-{window.name}", WarnText.MAINTENANCE, batch)

    def _snapshot(self, school: str, batch: Batch) -> Snapshot:
        """The school as it is with what this very batch already asks of its machines."""
        snapshot = self._decide.snapshot(school, batch.now_ms)
        fresh = [entry for entry in batch.commands if entry.address.school == school]
        if not fresh:
            return snapshot
        asked = dict(snapshot.asked)
        for entry in fresh:
            command = entry.command
            asked[entry.address] = Asked(verb=command.verb, asked_ms=command.issued_ms, expires_ms=command.expires_ms)
        sends = [*snapshot.recent_sends_ms, *((entry.command.issued_ms, entry.room) for entry in fresh)]
        return structs.replace(snapshot, asked=asked, recent_sends_ms=sends)

    def _keep(self, decision: Decision, action: Action, name: str, text: WarnText, batch: Batch) -> None:
        batch.decisions.append(decision)
        self._memory.verdicts.pop(decision.device, None)  # so that what the rules say next is written down again
        if not decision.acts:
            return
        command = Command(
            id=hashlib.blake2b(f"{decision.device}|{decision.episode}".encode(), digest_size=16).hexdigest(),
            device=str(decision.device),
            verb=Verb(action.value),
            issued_ms=batch.now_ms,
            expires_ms=batch.now_ms + COMMAND_LIFE_S * 1000,
            cause=Cause.MAINTENANCE,
            warn_s=decision.warn_s,
            warn_text=text,
        )
        room = self._estate.devices[decision.device].room
        batch.commands.append(LedgerCommand(command=command, address=decision.device, room=room, rule=name))


def _order(order: PersonsOrder) -> Order:
    return Order(
        word=f"order.{order.id}.{order.made_ms}",
        action=Action(order.verb),
        by=f'{order.by} ("{order.reason}")',
        warn_s=order.warn_s,
    )


def _restarted_since(asked: Asked | None, from_ms: int) -> bool:
    return asked is not None and asked.verb is Verb.RESTART and asked.asked_ms >= from_ms


def _found(decisions: Collection[Decision]) -> Found:
    stay: dict[str, list[str]] = {}
    later_why = ""
    for decision in decisions:
        if comes_later(decision):
            later_why = later_why or str(decision.reasons[0])
        elif not decision.acts:
            first = next(reason.why for reason in decision.reasons if reason.why is not Why.ORDERED)
            stay.setdefault(first.value, []).append(decision.device.device)
    return Found(
        machines=len(decisions),
        asked=[decision.device.device for decision in decisions if decision.acts],
        later=[decision.device.device for decision in decisions if comes_later(decision)],
        stay=stay,
        later_why=later_why,
    )
