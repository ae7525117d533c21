"""The ledger: what was decided and why, what was asked of machines, and what came of it. Nothing is ever deleted.

A command goes decided -> sending -> sent, each written before the next thing happens. `sending` is written before the
message leaves, so a crash in between may lose a command (it expires; the machine stays on) but never send it twice.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from caretaker_collector import order_book, records, state, wake_book
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import FINAL_STEPS, POWER_VERBS, Command, Outcome, OutcomeReason, Step, Verb
from caretaker_contract.topics import Address
from caretaker_rules.model import Asked, Hold, Stop

if TYPE_CHECKING:
    from caretaker_collector.memory import Memory
    from caretaker_collector.pipeline import Batch

ANSWER_MARGIN_MS = 120_000
"""How long after expiry and countdown an answer may still come before the command counts as unanswered."""
LONGEST_WARNING_MS = 3_600_000
RECENT_MS = 3_600_000
TWO_DAYS_MS = 2 * 86_400_000
RULE_VERBS = POWER_VERBS | {Verb.WARN}
"""What a rule may ask of a machine."""
COUNTED_VERBS = frozenset(Verb) - {Verb.REPLAY, Verb.CANCEL}
"""Commands that figures count: not what only asks for numbers again or takes a command back."""
UNPROVEN = frozenset(
    {
        OutcomeReason.BAD_SIGNATURE,
        OutcomeReason.UNKNOWN_KEY,
        OutcomeReason.WRONG_TARGET,
        OutcomeReason.MALFORMED,
        OutcomeReason.REPEATED,
    }
)
_ORDER = {step: i for i, step in enumerate(Step)}


class LedgerCommand(Struct, frozen=True, kw_only=True):
    """A command with what the limits need to know of it."""

    command: Command
    address: Address
    room: str
    rule: str


class Ledger:
    """Decisions, commands, holds and stops, in the state file; what rules need of them is kept in memory as well."""

    def __init__(self, db: sqlite3.Connection, memory: "Memory", may_command: bool = True) -> None:
        self._db = db
        self._may_command = may_command
        self._memory = memory
        self._sends: dict[str, list[tuple[int, str]]] = {}  # school -> (when, room) of the last hour
        self._cycles: dict[str, list[tuple[int, Address]]] = {}  # school -> (when, which) was switched, of two days
        self._newest: dict[Address, str] = {}  # id of the command that memory.asked is about
        self.coming: list[Hold] = []  # holds that the batch under way will write
        self.load()

    def load(self) -> None:
        """Fill the memory with the newest command of each device."""
        self._sends.clear()
        self._cycles.clear()
        rows = self._db.execute(
            "SELECT id, school, device, verb, decided_ms, expires_ms, status, step_ms, body FROM commands "
            "ORDER BY decided_ms"
        )
        for command, school, device, verb, decided_ms, expires_ms, status, step_ms, body in rows:
            address = Address(school, device)
            if Verb(verb) in RULE_VERBS:
                self._newest[address] = command
                step = Step(status) if status in _ORDER else None
                self._memory.asked[address] = Asked(
                    verb=Verb(verb), asked_ms=decided_ms, expires_ms=expires_ms, step=step, step_ms=step_ms
                )
                room = msgspec.json.decode(body, type=LedgerCommand).room
                self._sends.setdefault(school, []).append((decided_ms, room))
                if step is Step.DONE and Verb(verb) in POWER_VERBS:
                    self._cycles.setdefault(school, []).append((decided_ms, address))

    # -- from the core reader, within its transaction ------------------------------------------------------------------

    def hear(self, address: Address, outcome: Outcome) -> None:
        """Note in memory how far the device's newest command has come."""
        asked = self._memory.asked.get(address)
        if asked is not None and self._newest.get(address) == outcome.command and _later(outcome, asked.step):
            self._memory.asked[address] = Asked(
                verb=asked.verb,
                asked_ms=asked.asked_ms,
                expires_ms=asked.expires_ms,
                step=outcome.step,
                step_ms=max(outcome.at_ms, asked.asked_ms),
            )

    def write(self, batch: "Batch") -> None:
        """Append the batch's decisions, commands and outcomes. Part of the caller's transaction."""
        self._db.executemany(
            "INSERT INTO decisions (school, device, at_ms, decision) VALUES (?, ?, ?, ?)",
            [(d.device.school, d.device.device, d.at_ms, msgspec.json.encode(d)) for d in batch.decisions],
        )
        for entry in batch.commands:
            made = self._db.execute(
                "INSERT OR IGNORE INTO commands (id, school, device, verb, rule, decided_ms, expires_ms, body, status) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'decided')",
                (
                    entry.command.id,
                    entry.address.school,
                    entry.address.device,
                    entry.command.verb.value,
                    entry.rule,
                    entry.command.issued_ms,
                    entry.command.expires_ms,
                    msgspec.json.encode(entry),
                ),
            ).rowcount
            if made and entry.command.verb in RULE_VERBS:
                self._newest[entry.address] = entry.command.id
                self._memory.asked[entry.address] = Asked(
                    verb=entry.command.verb, asked_ms=entry.command.issued_ms, expires_ms=entry.command.expires_ms
                )
                self._sends.setdefault(entry.address.school, []).append((entry.command.issued_ms, entry.room))
        for _, outcome in batch.outcomes:
            if self._write_step(outcome) and outcome.step in FINAL_STEPS and outcome.verb in COUNTED_VERBS:
                batch.counts[f"commands_{outcome.step.value}"] += 1
        order_book.write(self._db, batch.answers)
        self._db.executemany(
            "INSERT INTO checks VALUES (?, ?) ON CONFLICT (school) DO UPDATE SET at_ms = excluded.at_ms",
            [(school, batch.now_ms) for school in batch.checked],
        )

    def _write_step(self, outcome: Outcome) -> bool:
        """Note an outcome; True when it is news of a command of ours."""
        row = self._db.execute(
            "SELECT status, school, device, decided_ms FROM commands WHERE id = ?", (outcome.command,)
        ).fetchone()
        if row is None:
            return False  # a replay request, or an answer to a command of another collector: kept in the store only
        self._db.execute(
            "INSERT OR IGNORE INTO command_steps VALUES (?, ?, ?, ?)",
            (outcome.command, outcome.at_ms, outcome.step.value, outcome.reason.value),
        )
        if not _later(outcome, Step(row[0]) if row[0] in _ORDER else None):
            return False
        self._db.execute(
            "UPDATE commands SET status = ?, step_ms = ?, reason = ? WHERE id = ?",
            (outcome.step.value, outcome.at_ms, outcome.reason.value, outcome.command),
        )
        if outcome.step is Step.DONE and outcome.verb in POWER_VERBS:
            self._cycles.setdefault(row[1], []).append((row[3], Address(row[1], row[2])))
        return True

    # -- for the rules -------------------------------------------------------------------------------------------------

    def recent_sends(self, school: str, now_ms: int) -> list[tuple[int, str]]:
        """(when, room) of power commands to this school within the last hour, oldest first."""
        sends = [sent for sent in self._sends.get(school, ()) if sent[0] > now_ms - RECENT_MS]
        self._sends[school] = sends
        return sends

    def cycles(self, school: str, day_start_ms: int) -> Counter[Address]:
        """How often each machine of this school was switched by command since its local day began.

        What it forgets is older than two days, so a clock that is set back by a day finds its count again.
        """
        known = [cycle for cycle in self._cycles.get(school, ()) if cycle[0] >= day_start_ms - TWO_DAYS_MS]
        self._cycles[school] = known
        return Counter(address for at_ms, address in known if at_ms >= day_start_ms)

    def woken_in_vain(self, school: str, since_ms: int) -> dict[Address, int]:
        """When machines last did not answer a wake, from `since_ms` on, if they answered none after it."""
        return wake_book.in_vain(self._db, school, since_ms)

    def holds(self, now_ms: int) -> list[Hold]:
        """Holds, freezes and maintenance in force or soon to be, read anew: another process may have just written one.

        Soon, because a command asked for now is carried out after its warning: the rules look that far ahead.
        """
        return [*records.in_force(self._db, now_ms, now_ms + LONGEST_WARNING_MS + ANSWER_MARGIN_MS), *self.coming]

    def stops(self) -> list[Stop]:
        """Stop switches that are on, read anew. Without a signing key the whole estate counts as stopped."""
        keyless = Stop(school=None, room=None, since_ms=0, reason="no signing key in collector.toml")
        return ([] if self._may_command else [keyless]) + [
            Stop(school=school, room=room, since_ms=since, reason=reason)
            for school, room, since, reason in self._db.execute(
                "SELECT school, room, since_ms, reason FROM stops WHERE ended_ms IS NULL"
            )
        ]

    # -- for the doer --------------------------------------------------------------------------------------------------

    def to_send(self, now_ms: int) -> list[LedgerCommand]:
        """Commands that nobody has tried to send and that still apply, oldest first."""
        rows = self._db.execute(
            "SELECT body FROM commands WHERE status = 'decided' AND expires_ms > ? ORDER BY decided_ms, id", (now_ms,)
        )
        return [msgspec.json.decode(body, type=LedgerCommand) for (body,) in rows]

    def can_still_switch(self, now_ms: int) -> list[tuple[LedgerCommand, str]]:
        """Commands of rules and people that a machine may yet carry out, each with its status."""
        return can_still_switch(self._db, now_ms)

    def withdraw(self, command: str) -> None:
        """A command that has not been sent never will be."""
        self._db.execute("UPDATE commands SET status = 'withdrawn' WHERE id = ? AND status = 'decided'", (command,))

    def mark(self, command: str, status: str, now_ms: int) -> None:
        """Write how far the sending has come, on disk when this returns."""
        with _retried():
            self._db.execute("UPDATE commands SET status = ?, sent_ms = ? WHERE id = ?", (status, now_ms, command))

    def claim(self, command: str, now_ms: int) -> bool:
        """Write that the sending begins, on disk when this returns; False when the command is no longer to be sent."""
        try:
            return bool(
                self._db.execute(
                    "UPDATE commands SET status = 'sending', sent_ms = ? WHERE id = ? AND status = 'decided'",
                    (now_ms, command),
                ).rowcount
            )
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error

    def close_unanswered(self, now_ms: int) -> None:
        """Commands whose time is over without a final answer become `expired` (never sent) or `no_answer`."""
        with _retried():
            closed = self._db.execute(
                "UPDATE commands SET step_ms = ?, "
                "status = CASE WHEN status = 'decided' THEN 'expired' ELSE 'no_answer' END "
                "WHERE status IN ('decided', 'sending', 'sent') AND expires_ms < ? "
                "OR status IN ('received', 'warned') AND expires_ms < ? RETURNING verb",
                (now_ms, now_ms - ANSWER_MARGIN_MS, now_ms - ANSWER_MARGIN_MS - LONGEST_WARNING_MS),
            ).fetchall()
        if number := sum(Verb(verb) in COUNTED_VERBS for (verb,) in closed):
            self.count("commands_unanswered", number)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the doer's, on disk and in memory."""
        with _retried():
            state.count(self._db, name, by)
        self._memory.counts[name] += by

    def outcomes_by_kind(self) -> dict[str, int]:
        """How many commands stand at each status."""
        rows = self._db.execute(
            "SELECT status, count(*) FROM commands WHERE verb NOT IN ('replay', 'cancel') GROUP BY status"
        )
        return {str(status): int(number) for status, number in rows}


def can_still_switch(db: sqlite3.Connection, now_ms: int) -> list[tuple[LedgerCommand, str]]:
    """Commands of rules and people that a machine may yet carry out, each with its status."""
    rows = db.execute(
        "SELECT body, status, verb FROM commands "
        "WHERE expires_ms > ? AND status IN ('decided', 'sending', 'sent', 'received', 'warned')",
        (now_ms - LONGEST_WARNING_MS,),
    )
    found = [
        (msgspec.json.decode(body, type=LedgerCommand), status) for body, status, verb in rows if verb in POWER_VERBS
    ]
    return [entry for entry in found if entry[0].command.expires_ms + entry[0].command.warn_s * 1000 > now_ms]


@contextmanager
def _retried() -> Iterator[None]:
    """A state file that does not take a change (the disk is full, say) is Unavailable: the next tick tries again."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"state file: {error}") from error


def _later(outcome: Outcome, than: Step | None) -> bool:
    """Whether an outcome tells more than is known; a final step is never replaced (order does not matter, I2).

    A machine that has said anything of a command has proved it. A refusal for want of proof is then about something
    else that bears the same id, and anybody may have made that.
    """
    if than is None:
        return True
    if than in FINAL_STEPS or outcome.reason in UNPROVEN:
        return False
    return _ORDER[outcome.step] > _ORDER[than]
