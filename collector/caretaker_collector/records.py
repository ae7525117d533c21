"""What people write down: holds, exam freezes and maintenance, which keep machines on, and silences, which do not: they
keep people from being told of incidents. A running collector sees it at once.

A record may come again each day or week until a day. Nothing is deleted: what ends keeps its row, with who made it
(a role or a member of staff, never a pupil), why, and what it held back.
"""

import sqlite3
from collections.abc import Collection, Iterator
from datetime import date
from typing import Literal

import msgspec
from msgspec import Struct

from caretaker_collector.incidents import book as incident_book
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_rules.alert_steps.silence import covers
from caretaker_rules.calendar import local, zone_of
from caretaker_rules.decisions import Decision, Verdict
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Estate, Hold
from caretaker_rules.reasons import Why
from caretaker_rules.repeats import STEP_DAYS, Every, Series, occurrences, over_ms

Kind = Literal["hold", "freeze", "maintenance", "silence"]
KEEP_ON: tuple[Kind, ...] = ("hold", "freeze", "maintenance")
"""The kinds that rules have to see. A silence is none of them: it keeps no machine on and calls nothing back."""
ALERTING: tuple[Kind, ...] = ("maintenance", "silence")
"""The kinds that the alert pipeline has to see."""
WHY: dict[Kind, Why] = {"hold": Why.HELD, "freeze": Why.FROZEN, "maintenance": Why.MAINTENANCE}
"""The reason that each kind gives to a decision."""

_COLUMNS = (
    "id, kind, school, room, device, class, from_ms, until_ms, ended_ms, reason, by_whom, every, last_day, time_zone, "
    "resumes_ms"
)


class Record(Struct, frozen=True, kw_only=True):
    """One hold, freeze, maintenance or silence, as written. Times of the first time that it is on; UTC ms."""

    id: int
    kind: Kind
    scope: Scope
    series: Series
    ended_ms: int | None  # ended early; None: not
    reason: str
    by: str

    def next_time(self, at_ms: int) -> tuple[int, int] | None:
        """(from, until) of the time that is on at `at_ms`, else of the next one; None: it is over."""
        if self.ended_ms is not None:
            return None
        return next(occurrences(self.series, at_ms, 2**62), None)

    def over_ms(self) -> int:
        """When it is, or will be, over for good."""
        return over_ms(self.series) if self.ended_ms is None else self.ended_ms


class HeldBack(Struct, frozen=True, kw_only=True):
    """How many machines a record kept on, and how many of them nothing else kept on at some moment."""

    machines: int
    by_this_alone: int


def make(
    db: sqlite3.Connection,
    kind: Kind,
    scope: Scope,
    series: Series,
    reason: str,
    by: str,
    now_ms: int,
) -> int:
    """Write a record down; returns its number. ConfigError when its times cannot be meant."""
    check(series, now_ms)
    row = db.execute(
        "INSERT INTO holds (kind, school, room, device, class, from_ms, until_ms, reason, made_ms, by_whom, every, "
        "last_day, time_zone) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            kind,
            scope.school,
            scope.room,
            scope.device,
            scope.device_class,
            series.from_ms,
            series.until_ms,
            reason,
            now_ms,
            by,
            series.every,
            series.last_day.isoformat() if series.last_day else None,
            series.time_zone,
        ),
    )
    return int(row.lastrowid or 0)


def check(series: Series, now_ms: int) -> None:
    """ConfigError when these times cannot be meant by somebody who writes them down now."""
    if series.until_ms <= series.from_ms:
        raise ConfigError(["--until  is before it begins"])
    if series.every is None:
        if series.until_ms <= now_ms:
            raise ConfigError(["--until  is past"])
        return
    if series.last_day is None:
        raise ConfigError(["--repeat  needs --until-date: the last day on which it begins, such as 2026-12-18"])
    if series.last_day < local(series.from_ms, zone_of(series.time_zone)).date():
        raise ConfigError(["--until-date  is before the first time"])
    if series.until_ms - series.from_ms > STEP_DAYS[series.every] * 86_400_000:
        raise ConfigError(
            [f"--until  it lasts longer than a {series.every}, so it cannot come again each {series.every}"]
        )


def end(db: sqlite3.Connection, record: Record, now_ms: int, once: bool = False) -> bool:
    """End a record now; with `once` only the time of it that is on now. False when there was nothing to end."""
    present = record.next_time(now_ms)
    if present is None:
        return False
    if not once or record.series.every is None:
        db.execute("UPDATE holds SET ended_ms = ? WHERE id = ? AND ended_ms IS NULL", (now_ms, record.id))
        return True
    if present[0] > now_ms:
        return False
    db.execute("UPDATE holds SET resumes_ms = ? WHERE id = ?", (present[0] + 1, record.id))
    return True


def one(db: sqlite3.Connection, number: int) -> Record | None:
    """The record of this number."""
    row = db.execute(f"SELECT {_COLUMNS} FROM holds WHERE id = ?", (number,)).fetchone()  # noqa: S608 (our own names)
    return _record(row) if row else None


def listed(db: sqlite3.Connection, now_ms: int, past: bool) -> list[Record]:
    """Those on or to come, in order of time; with `past` those that are over, the newest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM holds").fetchall()  # noqa: S608 (our own names)
    found = [record for record in map(_record, rows) if (record.next_time(now_ms) is None) == past]
    if past:
        return sorted(found, key=lambda record: (-record.over_ms(), -record.id))
    return sorted(found, key=lambda record: (record.next_time(now_ms) or (0, 0), record.id))


def in_force(db: sqlite3.Connection, now_ms: int, by_ms: int, kinds: Collection[Kind] = KEEP_ON) -> Iterator[Hold]:
    """Each time of each record of these kinds that is not over at `now_ms` and begins by `by_ms`, as rules read it."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM holds "  # noqa: S608 (our own names)
        "WHERE ended_ms IS NULL AND from_ms <= ? AND (until_ms > ? OR every IS NOT NULL)",
        (by_ms, now_ms),
    )
    for record in map(_record, rows):
        if record.kind not in kinds:
            continue
        for from_ms, until_ms in occurrences(record.series, now_ms, by_ms):
            yield _hold(record, from_ms, until_ms)


def recorded_before(db: sqlite3.Connection, school: str, from_ms: int, until_ms: int) -> Iterator[Hold]:
    """Each time of the school's maintenance within [from_ms, until_ms) that was on record before it began.

    Only as long as it lasted by the record: what overruns is not in it, nor is a time that was called off midway.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS}, made_ms FROM holds WHERE kind = 'maintenance' AND school = ? AND from_ms < ? "  # noqa: S608
        "AND (until_ms > ? OR every IS NOT NULL)",
        (school, until_ms, from_ms),
    )
    for *columns, made_ms in rows:
        record = _record(tuple(columns))
        end_ms = until_ms if record.ended_ms is None else record.ended_ms
        # `resumes_ms` calls off the time that was on then, and leaves those before it as they were.
        called_off_ms = record.series.resumes_ms - 1
        series = msgspec.structs.replace(record.series, resumes_ms=0)
        for begin, end in occurrences(series, from_ms, until_ms - 1):
            if made_ms <= begin < end_ms and begin != called_off_ms:
                yield Hold(
                    id=record.id,
                    kind=record.kind,
                    school=record.scope.school,
                    room=record.scope.room,
                    device=record.scope.device,
                    device_class=record.scope.device_class,
                    from_ms=begin,
                    until_ms=min(end, end_ms) if record.ended_ms is not None else end,
                    reason=record.reason,
                )


def held_back(db: sqlite3.Connection, estate: Estate, record: Record, now_ms: int) -> HeldBack:
    """What decisions say of it: machines of its scope that were left on for its kind of reason while it lasted.

    Two records of one kind that cover the same machine at the same time are both credited: a decision names the reason,
    not the record. A decision stands until the next one, so the one in force when the record began counts too.
    """
    why = WHY.get(record.kind)
    if why is None:
        return HeldBack(machines=0, by_this_alone=0)
    until_ms = min(record.over_ms(), now_ms)
    kept: set[str] = set()
    alone: set[str] = set()
    for device in record.scope.devices(estate):
        before = db.execute(
            "SELECT max(at_ms) FROM decisions WHERE school = ? AND device = ? AND at_ms <= ?",
            (device.school, device.name, record.series.from_ms),
        ).fetchone()[0]
        rows = db.execute(
            "SELECT decision FROM decisions WHERE school = ? AND device = ? AND at_ms >= ? AND at_ms < ?",
            (device.school, device.name, record.series.from_ms if before is None else before, until_ms),
        )
        for (blob,) in rows:
            decision = msgspec.json.decode(blob, type=Decision)
            reasons = {reason.why for reason in decision.reasons} - {Why.ORDERED}
            if decision.verdict is Verdict.LEFT_ON and why in reasons:
                kept.add(device.name)
                if reasons == {why}:
                    alone.add(device.name)
    return HeldBack(machines=len(kept), by_this_alone=len(alone))


def silenced(db: sqlite3.Connection, estate: Estate, record: Record, now_ms: int) -> list[Incident]:
    """Incidents that were opened while this silence was on and that it covers, the oldest first."""
    scope, devices = record.scope, {device.name: device for device in record.scope.devices(estate)}
    until_ms = min(record.over_ms(), now_ms + 1)
    found = []
    for incident in incident_book.listed(db, scope.school, record.series.from_ms, until_ms):
        for from_ms, end_ms in occurrences(record.series, incident.opened_ms, incident.opened_ms):
            hold = _hold(record, from_ms, end_ms)
            if from_ms <= incident.opened_ms and covers(hold, incident, devices):
                found.append(incident)
    return found


def _hold(record: Record, from_ms: int, until_ms: int) -> Hold:
    """One time of a record, as rules read it."""
    return Hold(
        id=record.id,
        kind=record.kind,
        school=record.scope.school,
        room=record.scope.room,
        device=record.scope.device,
        device_class=record.scope.device_class,
        from_ms=from_ms,
        until_ms=until_ms,
        reason=record.reason,
    )


def _record(
    row: tuple[
        int,
        Kind,
        str,
        str | None,
        str | None,
        str | None,
        int,
        int,
        int | None,
        str,
        str,
        Every | None,
        str | None,
        str,
        int,
    ],
) -> Record:
    (
        number,
        kind,
        school,
        room,
        device,
        device_class,
        from_ms,
        until_ms,
        ended_ms,
        reason,
        by,
        every,
        last_day,
        zone,
        resumes_ms,
    ) = row
    return Record(
        id=number,
        kind=kind,
        scope=Scope(school=school, room=room, device=device, device_class=device_class),
        series=Series(
            from_ms=from_ms,
            until_ms=until_ms,
            time_zone=zone,
            every=every,
            last_day=date.fromisoformat(last_day) if last_day else None,
            resumes_ms=resumes_ms,
        ),
        ended_ms=ended_ms,
        reason=reason,
        by=by,
    )
