"""Reads what was recorded for a trial of a policy: reports out of the store, and holds out of the state file.

The SQLite store is read by a statement of our own: of 20 fields a trial needs 8, and points of all fields take eight
times as long to make (measured: 65,000 points a second against 500,000 rows).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from caretaker_collector import memory as memory_
from caretaker_collector import records, state
from caretaker_collector.app import STATE_FILE
from caretaker_collector.calendars import read_school
from caretaker_collector.settings import CollectorSettings
from caretaker_collector.stores import open_store
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.topics import Address
from caretaker_rules.backtest import Replay, Switched, Totals, by_rule_and_room, idle_s, total
from caretaker_rules.calendar import LOOK_AHEAD_DAYS, local
from caretaker_rules.model import Estate, Hold
from caretaker_rules.policy import Mode, Policy
from caretaker_rules.ports import Store
from caretaker_rules.recorded import Recording
from caretaker_rules.repeats import occurrences
from caretaker_rules.timetable import NO_TIMETABLE, Timetable

HISTORY = Path("history") / "store.db"
"""A record beside the settings that is older than the store's own, such as the one that the demo fills in."""
CHUNK_MS = 21_600_000
DAY_MS = 86_400_000
Progress = Callable[[float, str], None]
"""Told how far the work has come (0-1), and at what."""

_ROWS = (
    "SELECT time_ns, device, state, epoch, boot, seq, input_age_s, uptime_s, skew_s FROM device "
    "WHERE time_ns >= ? AND time_ns < ? AND school = ? ORDER BY time_ns"
)
_LEFT_BY_RULE = "SELECT time_ns, device FROM transition WHERE time_ns >= ? AND time_ns < ? AND school = ? AND cause = ?"


class Row(Struct, frozen=True, kw_only=True):
    """Figures of one rule in one room."""

    rule: str
    room: str
    figures: Totals


class Trial(Struct, frozen=True, kw_only=True):
    """One policy over the whole span. `as_if_live`: its own mode is another one."""

    policy: str
    version: str
    as_if_live: bool
    figures: Totals
    rows: list[Row]
    switched: list[Switched]


class Backtest(Struct, frozen=True, kw_only=True):
    """The policy that is tried beside those in force, on the same record."""

    from_ms: int
    until_ms: int
    machines: int
    recorded_idle_h: float
    decided: int
    tried: Trial
    in_force: Trial | None


class Record(NamedTuple):
    """All that was recorded of the schools that are looked at."""

    from_ms: int
    until_ms: int
    recordings: dict[str, dict[Address, Recording]]  # by school
    holds: list[Hold]


class Source:
    """Where reports are: a SQLite store's file, or any store by its port."""

    def __init__(self, path: Path | None, store: Store | None = None) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) if path is not None else None
        self._store = store
        self._path = path

    def newest_ms(self) -> int | None:
        """When the newest report was made; None when there is none, or when only asking for all would tell."""
        if self._db is None:
            return None
        newest = self._query("SELECT max(time_ns) FROM device", ()).fetchone()[0]
        return None if newest is None else int(newest) // 1_000_000

    def read(self, school: str, from_ms: int, until_ms: int, into: Callable[[str], Recording | None]) -> None:
        """Add the reports of a school to the recordings that `into` gives by the device's name, in order of time."""
        if self._db is not None:
            self._read_rows(school, from_ms, until_ms, into)
        else:
            asyncio.run(self._read_points(school, from_ms, until_ms, into))

    def _query(self, text: str, arguments: Sequence[object]) -> sqlite3.Cursor:
        assert self._db is not None
        try:
            return self._db.execute(text, arguments)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: {error}") from error

    def _read_rows(self, school: str, from_ms: int, until_ms: int, into: Callable[[str], Recording | None]) -> None:
        span = (from_ms * 1_000_000, until_ms * 1_000_000, school)
        by_rule = set(self._query(_LEFT_BY_RULE, (*span, Cause.RULE.value)).fetchall())
        states = {each.value: each for each in PowerState}
        recordings: dict[str, Recording | None] = {}
        for time_ns, device, said, epoch, boot, seq, idle, uptime, skew in self._query(_ROWS, span):
            if device not in recordings:
                recordings[device] = into(device)
            recording = recordings[device]
            if recording is not None:
                recording.add(
                    time_ns // 1_000_000,
                    states[said],
                    epoch,
                    boot,
                    seq,
                    idle,
                    uptime,
                    round((skew or 0.0) * 1000),
                    bool(by_rule) and (time_ns, device) in by_rule,
                )

    async def _read_points(
        self, school: str, from_ms: int, until_ms: int, into: Callable[[str], Recording | None]
    ) -> None:
        assert self._store is not None
        for start_ms in range(from_ms, until_ms, CHUNK_MS):
            end_ms = min(start_ms + CHUNK_MS, until_ms)
            left = await self._store.read("transition", start_ms, end_ms, school=school)
            by_rule = {(p.time_ns, p.tags[3]) for p in left if p.fields.get("cause") == Cause.RULE.value}
            for point in await self._store.read("device", start_ms, end_ms, school=school):
                recording = into(point.tags[3])
                if recording is None:
                    continue
                read = msgspec.convert(point.fields, _Fields)
                recording.add(
                    point.time_ns // 1_000_000,
                    read.state,
                    read.epoch,
                    read.boot,
                    read.seq,
                    read.input_age_s,
                    read.uptime_s,
                    round(read.skew_s * 1000),
                    (point.time_ns, point.tags[3]) in by_rule,
                )


class _Fields(Struct, frozen=True):
    """What a trial reads of a `device` point."""

    state: PowerState
    epoch: str
    boot: int
    seq: int
    input_age_s: int | None = None
    uptime_s: int | None = None
    skew_s: float = 0.0


def sources(settings: CollectorSettings, folder: Path) -> list[Source]:
    """The record beside the settings in `folder`, if there is one, then the store; Unavailable without either."""
    found = []
    if (folder / HISTORY).is_file():
        found.append(Source(folder / HISTORY))
    if settings.store.kind != "sqlite":
        return [*found, Source(None, open_store(settings.store, Path(settings.data)))]
    path = Path(settings.data) / settings.store.path
    if path.is_file():
        found.append(Source(path))
    if not found:
        raise Unavailable(
            f"{path}: nothing was recorded yet; run `caretaker collect`, or `caretaker demo --history 35d --for 20`"
        )
    return found


def read_record(
    found: Sequence[Source],
    settings: CollectorSettings,
    estate: Estate,
    schools: Sequence[str],
    since_ms: int,
    now_ms: int,
    progress: Progress,
) -> Record:
    """What was recorded in the `since_ms` milliseconds before the newest report (`now_ms` when none can tell)."""
    newest = [at_ms for source in found if (at_ms := source.newest_ms()) is not None]
    until_ms = max(newest) + 1 if newest else now_ms
    from_ms = until_ms - since_ms
    holds: list[Hold] = []
    known: dict[Address, memory_.Entry] = {}
    state_file = Path(settings.data) / STATE_FILE
    if state_file.is_file():
        holds, known = _from_state(state_file, from_ms, until_ms)
    recordings: dict[str, dict[Address, Recording]] = {}
    for number, school in enumerate(schools):
        recordings[school] = {}
        for source in found:
            progress(number / len(schools), f"reading {school}")
            source.read(school, from_ms, until_ms, _into(school, estate, known, recordings[school]))
        for recording in recordings[school].values():
            recording.end()
    if not any(recording.idle_times for by_device in recordings.values() for recording in by_device.values()):
        raise Unavailable("no machine was idle in that time, by what was recorded: there is nothing to try a rule on")
    return Record(from_ms, until_ms, recordings, holds)


def _into(
    school: str, estate: Estate, known: dict[Address, memory_.Entry], recordings: dict[Address, Recording]
) -> Callable[[str], Recording | None]:
    """Gives the recording of a device of the register, made with what the collector knows of the device itself."""

    def into(device: str) -> Recording | None:
        address = Address(school, device)
        if address not in estate.devices:
            return None
        if address not in recordings:
            entry = known.get(address)
            if entry is not None and entry.tracked.abilities:
                recordings[address] = Recording(entry.tracked.presence.heartbeat_s, entry.tracked.abilities)
            else:
                recordings[address] = Recording()
        return recordings[address]

    return into


def _from_state(path: Path, from_ms: int, until_ms: int) -> tuple[list[Hold], dict[Address, memory_.Entry]]:
    """Holds and freezes that were in force since then, as long as they were; and what is known of each device."""
    db = state.open_state(path, read_only=True)
    try:
        written = [*records.listed(db, until_ms, past=False), *records.listed(db, until_ms, past=True)]
        known = memory_.load(db).entries
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error
    finally:
        db.close()
    holds = [
        Hold(
            id=record.id,
            kind=record.kind,
            school=record.scope.school,
            room=record.scope.room,
            device=record.scope.device,
            device_class=record.scope.device_class,
            from_ms=begin_ms,
            until_ms=end_ms if record.ended_ms is None else min(end_ms, record.ended_ms),
            reason=record.reason,
        )
        for record in written
        if record.kind in records.KEEP_ON
        for begin_ms, end_ms in occurrences(record.series, from_ms, until_ms)
        if record.ended_ms is None or begin_ms < record.ended_ms
    ]
    return holds, known


def timetables(record: Record, estate: Estate, folder: Path) -> dict[str, Timetable]:
    """What the files of each school say of the days of the record, as they are now. `folder` is that of estate.toml."""
    found = {}
    for name in record.recordings:
        zone = ZoneInfo(estate.schools[name].time_zone)
        first = local(record.from_ms, zone).date() - timedelta(days=1)
        last = local(record.until_ms, zone).date() + timedelta(days=LOOK_AHEAD_DAYS)
        found[name] = read_school(estate.schools[name], folder, first, last).timetable
    return found


def run(
    record: Record,
    estate: Estate,
    policy: Policy,
    in_force: Mapping[str, Policy],
    calendars: Mapping[str, Timetable],
    tick_s: float,
    progress: Progress,
) -> Backtest:
    """Try `policy` in every school of the record, and beside it the policy that each school runs."""
    found: dict[str, list[Switched]] = {"tried": [], "in force": []}
    decided = machines = done = 0
    plans: list[tuple[str, Mapping[str, Policy]]] = [
        ("tried", dict.fromkeys(record.recordings, policy)),
        ("in force", {school: rules for school, rules in in_force.items() if school in record.recordings}),
    ]
    works = [(name, school, by[school]) for name, by in plans for school in record.recordings if school in by]
    sizes = [len(record.recordings[school]) for _, school, _ in works]
    span_ms = record.until_ms - record.from_ms
    for (name, school, rules), size in zip(works, sizes, strict=True):
        replay = Replay(
            school=estate.schools[school],
            classes=estate.classes,
            devices=[device for device in estate.devices.values() if device.school == school],
            recordings=record.recordings[school],
            policy=rules,
            from_ms=record.from_ms,
            until_ms=record.until_ms,
            holds=record.holds,
            timetable=calendars.get(school, NO_TIMETABLE),
            tick_ms=max(1, int(tick_s * 1000)),
        )
        before = done

        def tell(at_ms: int, before: int = before, size: int = size, school: str = school, name: str = name) -> None:
            ratio = (before + size * (at_ms - record.from_ms) / span_ms) / max(1, sum(sizes))
            progress(ratio, f"policy {name}, {school}")

        found[name] += replay.run(tell)
        decided += replay.decided
        done += size
        machines += size if name == "tried" else 0
    everything = [recording for by_device in record.recordings.values() for recording in by_device.values()]
    return Backtest(
        from_ms=record.from_ms,
        until_ms=record.until_ms,
        machines=machines,
        recorded_idle_h=idle_s(everything, record.from_ms, record.until_ms) / 3600,
        decided=decided,
        tried=_trial([policy], found["tried"]),
        in_force=_trial(plans[1][1].values(), found["in force"]) if plans[1][1] else None,
    )


def _trial(policies: Iterable[Policy], switched: list[Switched]) -> Trial:
    once = list({(policy.path, policy.version): policy for policy in policies}.values())
    return Trial(
        policy=", ".join(policy.path for policy in once),
        version=", ".join(policy.version for policy in once),
        as_if_live=any(policy.mode is not Mode.LIVE for policy in once),
        figures=total(switched),
        rows=[
            Row(rule=rule, room=room, figures=figures) for (rule, room), figures in by_rule_and_room(switched).items()
        ],
        switched=switched,
    )
