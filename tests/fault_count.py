"""The count at the end of every fault test (invariant I1), per device sequence.

published = stored + quarantined + dropped, nothing lost and nothing doubled: in the store, in the collector's numbering
of each device, and in its counters against its own journal.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable

from caretaker_collector import memory
from caretaker_contract.messages import Outcome, Report
from fault_devices import Device, Fleet, Number, Row
from fault_starts import WarmCollector
from worlds import CollectorProcess, World, eventually


def sqlite_rows(world: World, measurement: str) -> list[Row]:
    """What the SQLite store holds."""
    path = world.data / "store.db"
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return db.execute(f"SELECT device, time_ns FROM {measurement} WHERE school = 'ash'").fetchall()
    finally:
        db.close()


Rows = Callable[[World, str], list[Row]]


def unaccounted(fleet: Fleet, rows: Rows = sqlite_rows, put_aside: Iterable[Row] = ()) -> list[str]:
    """Why not all that the fleet made is stored, quarantined or dropped, each once; [] when it is.

    put_aside: messages of the fleet that the store has to refuse; given none, all that is quarantined is others'.
    """
    faults: list[str] = []
    world, aside = fleet.world, set(put_aside)
    for kind, measurement in ((Report, "device"), (Outcome, "command")):
        expected, stored = fleet.of(kind), Counter(rows(world, measurement))
        lost = [expected[row] for row in expected if row not in stored and row not in aside]
        doubled = [expected[row] for row, times in stored.items() if times > 1 and row in expected]
        strange = [row for row in stored if row not in expected]
        twice = [expected[row] for row in expected if row in stored and row in aside]
        faults += [f"{measurement}: not stored: {_numbers(lost)}"] if lost else []
        faults += [f"{measurement}: stored more than once: {_numbers(doubled)}"] if doubled else []
        faults += [f"{measurement}: stored, though it was put aside: {_numbers(twice)}"] if twice else []
        faults += [f"{measurement}: stored, though nobody made it: {strange[:10]}"] if strange else []
    db = world.state()
    try:
        known = memory.load(db)
    finally:
        db.close()
    for device in fleet.devices.values():
        entry = known.entries.get(device.address)
        [numbering] = entry.numberings.epochs if entry else [None]
        kept, forgotten = len(device.kept), len(device.forgotten)
        if numbering is None:
            faults += [f"{device.address.device}: never heard of"] if kept else []
        elif (numbering.received, numbering.dropped, numbering.missing_count()) != (kept, forgotten, 0):
            faults.append(
                f"{device.address.device}: made {kept} and forgot {forgotten}, the collector has "
                f"{numbering.received} received, {numbering.dropped} dropped, missing {numbering.missing(5)}"
            )
    strangers = [entry for address, entry in known.entries.items() if address not in fleet.devices]
    faults += _counters(fleet, len(aside), sum(n.received for entry in strangers for n in entry.numberings.epochs))
    return faults


def _counters(fleet: Fleet, put_aside: int, strange: int) -> list[str]:
    """The collector's own count against what was made and against its journal."""
    faults = []
    counted = Counter(fleet.world.counters())
    reports, outcomes = len(fleet.of(Report)), len(fleet.of(Outcome))
    dropped = sum(len(device.forgotten) for device in fleet.devices.values())
    if strange:  # which of them were reports, nobody has written down
        if counted["reports"] + counted["outcomes"] != reports + outcomes + strange:
            faults.append(f"counted: {counted}; there were {reports} + {outcomes}, and {strange} of strangers")
    else:
        for name, true in (("reports", reports), ("outcomes", outcomes), ("dropped", dropped)):
            if counted[name] != true:
                faults.append(f"the collector has counted {counted[name]} {name}, there were {true}")
    db = sqlite3.connect(f"file:{fleet.world.data / 'journal.db'}?mode=ro", uri=True, timeout=10)
    try:
        total, numbered = db.execute(
            "SELECT count(*), sum(payload != x'' AND (topic LIKE '%/report' OR topic LIKE '%/outcome')) FROM journal"
        ).fetchone()
    finally:
        db.close()
    if counted["received"] != total:
        faults.append(f"{total} messages are in the journal, the core has counted {counted['received']} of them")
    if put_aside and counted["quarantined"] != put_aside:
        faults.append(f"the collector has counted {counted['quarantined']} quarantined, there were {put_aside}")
    sum_ = reports + outcomes + counted["duplicates"]
    if (put_aside or not counted["quarantined"]) and sum_ != (numbered or 0):
        faults.append(f"{numbered} numbered messages are in the journal, counted were {sum_}")
    return faults


def _numbers(which: list[tuple[Device, Number]]) -> str:
    """Numbers by device, shortened: pc-003: 1.5-1.9 1.14; pc-004: ..."""
    by_device: dict[str, list[Number]] = {}
    for device, number in which:
        by_device.setdefault(device.address.device, []).append(number)
    texts = []
    for name, numbers in sorted(by_device.items()):
        spans: list[list[Number]] = []
        for boot, seq in sorted(numbers):
            if spans and spans[-1][1] == (boot, seq - 1):
                spans[-1][1] = (boot, seq)
            else:
                spans.append([(boot, seq), (boot, seq)])
        words = [f"{a[0]}.{a[1]}" + (f"-{b[0]}.{b[1]}" if a != b else "") for a, b in spans[:6]]
        texts.append(f"{name}: {' '.join(words)}{' ...' if len(spans) > 6 else ''}")
    more = f"; and {len(texts) - 8} more devices" if len(texts) > 8 else ""
    return f"{len(which)} numbers ({'; '.join(texts[:8])}{more})"


def settle(
    fleet: Fleet,
    collector: CollectorProcess | WarmCollector,
    within_s: float = 40.0,
    rows: Rows = sqlite_rows,
    put_aside: Callable[[], Iterable[Row]] = lambda: (),
) -> None:
    """Let the fleet rest, and wait until all that it made is accounted for.

    The collector has to hear the last words: that a last number was lost shows only when the device says one more.
    """
    eventually(lambda: (collector.health() or {}).get("problems") == {}, within_s, collector.log)
    fleet.rest()
    found: list[str] = ["not looked yet"]
    made, since_s = 0, time.monotonic()

    def all_well() -> bool:
        """For half a second nothing was made (an answer to a command, say), and all is accounted for."""
        nonlocal made, since_s
        if fleet.made != made:
            made, since_s = fleet.made, time.monotonic()
        found[:] = unaccounted(fleet, rows, put_aside())
        return not found and time.monotonic() - since_s > 0.5

    def explain() -> str:
        log = collector.log()[-1500:]
        return "\n  ".join(["", *found[:12]]) + f"\nthe collector's log ends with:\n{log}"

    eventually(all_well, within_s, explain)


def same_state(world: World, fleet: Fleet) -> None:
    """The collector's state of each device is what the device itself said last."""
    db = world.state()
    try:
        known = memory.load(db)
    finally:
        db.close()
    for device in fleet.devices.values():
        newest = max((m for m in device.kept.values() if isinstance(m, Report)), key=lambda m: m.key)
        tracked = known.entries[device.address].tracked
        assert tracked.telemetry is not None
        told = (tracked.presence.state, tracked.presence.boot, tracked.presence.seq, tracked.telemetry.meters)
        assert told == (newest.state, newest.boot, newest.seq, newest.meters), f"{device.address}: {told} != {newest}"
