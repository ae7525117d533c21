"""What became of every wake: asked, awake by the machine's own report, or not to be woken; and what people asked for.

    waiting    packets were asked for, and no report has come yet
    awake      the machine reported that it is on
    cannot     all attempts were made in vain, or none could be; `why` says what is likely behind it
    given_up   the occasion ended before all attempts were made (a stop switch, a collector that was down)

Everything is written with the batch that it belongs to, in one transaction with the commands.
"""

import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from caretaker_collector.order_book import Scope
from caretaker_contract.topics import Address
from caretaker_rules.reasons import Reason, Why
from caretaker_rules.waking import Order, Tried, WakeDecision

Write = tuple[str, tuple[object, ...]]
"""An SQL statement with its values, for the batch's transaction."""
MINUTE_MS = 60_000
ORDER_LIFE_MS = 900_000


class WakeRow(Struct, frozen=True, kw_only=True):
    """One machine on one occasion."""

    address: Address
    occasion: str
    rule: str
    room: str
    needed_ms: int
    until_ms: int
    attempts: int
    first_ms: int
    last_ms: int
    result: str
    result_ms: int
    why: str
    value: str
    limit: str
    answer: str = ""  # where its newest command stands in the ledger; "" when there is none

    @property
    def reason(self) -> Reason | None:
        """Why it cannot be woken; None unless that is its result."""
        return Reason(Why(self.why), self.value, self.limit) if self.why else None


_COLUMNS = (
    "w.school, w.device, w.occasion, w.rule, w.room, w.needed_ms, w.until_ms, w.attempts, w.first_ms, w.last_ms, "
    "w.result, w.result_ms, w.why, w.value, w.why_limit, coalesce(c.status, '')"
)
_FROM = "FROM wakes w LEFT JOIN commands c ON c.id = w.command"


def order(db: sqlite3.Connection, scope: Scope, reason: str, by: str, now_ms: int) -> int:
    """A person asks for machines to be woken; returns the order's number."""
    row = db.execute(
        "INSERT INTO wake_orders (school, room, device, made_ms, reason, by_whom) VALUES (?, ?, ?, ?, ?, ?)",
        (scope.school, scope.room, scope.device, now_ms, reason, by),
    )
    return int(row.lastrowid or 0)


def orders(db: sqlite3.Connection, now_ms: int) -> dict[str, list[Order]]:
    """People's orders that may still be under way, by school."""
    found: dict[str, list[Order]] = {}
    rows = db.execute(
        "SELECT id, school, room, device, made_ms, reason, by_whom FROM wake_orders WHERE made_ms > ? ORDER BY id",
        (now_ms - ORDER_LIFE_MS,),
    )
    for number, school, room, device, made_ms, reason, by in rows:
        told = f"{by}: {reason}"
        found.setdefault(school, []).append(Order(id=number, room=room, device=device, made_ms=made_ms, reason=told))
    return found


def under_way(db: sqlite3.Connection, now_ms: int) -> dict[str, list[WakeRow]]:
    """Occasions that are not over, or whose end nobody has noted, by school."""
    found: dict[str, list[WakeRow]] = {}
    query = f"SELECT {_COLUMNS} {_FROM} WHERE w.until_ms > ? OR w.result = 'waiting'"
    for row in db.execute(query, (now_ms,)):
        found.setdefault(row[0], []).append(_row(row))
    return found


def cannot_wake(db: sqlite3.Connection, school: str | None = None) -> list[WakeRow]:
    """Machines whose newest settled occasion ended in vain, by school and name."""
    query = (
        f"SELECT {_COLUMNS} {_FROM} WHERE w.result = 'cannot' AND (? IS NULL OR w.school = ?) "  # noqa: S608
        "AND NOT EXISTS (SELECT 1 FROM wakes n WHERE n.school = w.school AND n.device = w.device "
        "AND n.result IN ('cannot', 'awake') AND n.result_ms > w.result_ms) ORDER BY w.school, w.device"
    )
    return [_row(row) for row in db.execute(query, (school, school))]


def in_vain(db: sqlite3.Connection, school: str, since_ms: int) -> dict[Address, int]:
    """When machines last did not answer a wake, from `since_ms` on, if they answered none after it.

    What failed because of the relay, or for want of an address, says nothing about the machine.
    """
    rows = db.execute(
        "SELECT w.device, max(w.result_ms) FROM wakes w "
        "LEFT JOIN woken k ON k.school = w.school AND k.device = w.device "
        "WHERE w.school = ? AND w.result = 'cannot' AND w.result_ms >= ? AND w.why IN (?, ?) "
        "AND w.result_ms >= coalesce(k.at_ms, 0) GROUP BY w.device",
        (school, since_ms, Why.NEVER_ANSWERED.value, Why.NOT_BACK.value),
    )
    return {Address(school, device): at_ms for device, at_ms in rows}


def tried(rows: Iterable[WakeRow]) -> dict[tuple[Address, str], Tried]:
    """The same for the rules."""
    return {(row.address, row.occasion): Tried(row.attempts, row.last_ms, row.answer) for row in rows if row.attempts}


def packets_ms(rows: Iterable[WakeRow], now_ms: int) -> list[int]:
    """When packets went out in the last minute."""
    return [row.last_ms for row in rows if row.attempts and now_ms - row.last_ms < MINUTE_MS]


def answered(db: sqlite3.Connection, school: str) -> dict[Address, int]:
    """When each machine of a school last reported after a wake."""
    return {
        Address(school, device): at_ms
        for device, at_ms in db.execute("SELECT device, at_ms FROM woken WHERE school = ?", (school,))
    }


def asked(decision: WakeDecision, command: str, now_ms: int) -> Write:
    """A packet for this machine is asked for by `command`."""
    address = decision.decision.device
    return (
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, attempts, first_ms, last_ms, "
        "command, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting') "
        "ON CONFLICT (school, device, occasion) DO UPDATE SET attempts = excluded.attempts, "
        "first_ms = CASE attempts WHEN 0 THEN excluded.first_ms ELSE first_ms END, "
        "last_ms = excluded.last_ms, command = excluded.command, result = 'waiting', why = '', value = '', "
        "why_limit = ''",
        (
            *address,
            decision.occasion,
            decision.decision.rule,
            decision.room,
            decision.needed_ms,
            decision.until_ms,
            decision.attempt,
            now_ms,
            now_ms,
            command,
        ),
    )


def unable(decision: WakeDecision, reason: Reason, now_ms: int) -> Write:
    """This machine cannot be woken."""
    address = decision.decision.device
    return (
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, result, result_ms, why, value, "
        "why_limit) VALUES (?, ?, ?, ?, ?, ?, ?, 'cannot', ?, ?, ?, ?) "
        "ON CONFLICT (school, device, occasion) DO UPDATE SET result = 'cannot', result_ms = excluded.result_ms, "
        "why = excluded.why, value = excluded.value, why_limit = excluded.why_limit",
        (
            *address,
            decision.occasion,
            decision.decision.rule,
            decision.room,
            decision.needed_ms,
            decision.until_ms,
            now_ms,
            reason.why.value,
            reason.value,
            reason.limit,
        ),
    )


def settled(row: WakeRow, result: str, now_ms: int) -> list[Write]:
    """The machine reported, or its occasion is over."""
    key = (*row.address, row.occasion)
    writes: list[Write] = [
        (
            "UPDATE wakes SET result = ?, result_ms = ?, why = '', value = '', why_limit = '' "
            "WHERE school = ? AND device = ? AND occasion = ?",
            (result, now_ms, *key),
        )
    ]
    if result == "awake":
        writes.append(("INSERT OR REPLACE INTO woken VALUES (?, ?, ?)", (*row.address, now_ms)))
    return writes


def _row(row: tuple[object, ...]) -> WakeRow:
    school, device, *rest = row
    names = [name for name in WakeRow.__struct_fields__ if name != "address"]
    return WakeRow(address=Address(str(school), str(device)), **dict(zip(names, rest, strict=True)))  # type: ignore[arg-type]  # columns in the order of the fields
