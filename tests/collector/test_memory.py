"""What the collector keeps of each device between batches: memory.Entry and its rows in the state file."""

import gc
from pathlib import Path

from caretaker_collector import memory, state
from caretaker_collector.memory import Memory
from caretaker_contract.messages import PowerState
from caretaker_contract.topics import Address
from caretaker_rules import tracking
from caretaker_rules.presence import PresenceSettings
from worlds import NOW_MS, Stream

HERE = Address("ash", "pc-000")


def _heard(known: Memory, stream: Stream, numbers: int) -> None:
    """Put some reports of a device into its entry, as the stages do."""
    for _ in range(numbers):
        report = stream.report(PowerState.IDLE)
        entry = known.entry(stream.address)
        entry.tracked, _ = tracking.track(entry.tracked, report, NOW_MS, PresenceSettings())
        entry.numberings.of(report.epoch).accept(report.boot, report.seq, report.prev)


def test_an_entry_says_the_same_packed_as_before() -> None:
    known, stream = Memory(), Stream(HERE)
    _heard(known, stream, 3)
    entry = known.entries[HERE]
    tracked, received = entry.tracked, entry.numberings.epochs[0].received
    entry.pack()
    assert entry.tracked == tracked
    assert entry.numberings.epochs[0].received == received == 3


def test_a_packed_entry_takes_further_reports() -> None:
    known, stream = Memory(), Stream(HERE)
    _heard(known, stream, 2)
    known.entries[HERE].pack()
    _heard(known, stream, 2)
    known.entries[HERE].pack()
    assert known.entries[HERE].tracked.presence.seq == 4
    assert known.entries[HERE].numberings.epochs[0].received == 4


def test_packing_twice_gives_the_same_bytes() -> None:
    known, stream = Memory(), Stream(HERE)
    _heard(known, stream, 2)
    assert known.entries[HERE].pack() == known.entries[HERE].pack()


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    known, stream = Memory(), Stream(HERE)
    _heard(known, stream, 2)
    stream.report()  # does not come
    _heard(known, stream, 1)
    db = state.open_state(tmp_path / "state.db")
    memory.save_entries(db, known.entries)
    loaded = memory.load(db)
    assert loaded.entries[HERE].tracked == known.entries[HERE].tracked
    assert loaded.missing_count() == 1
    assert list(loaded.replays) == [HERE]


def test_a_saved_entry_keeps_less_than_600_bytes_and_nothing_for_the_garbage_collector() -> None:
    known, stream = Memory(), Stream(HERE)
    _heard(known, stream, 400)
    entry = known.entries[HERE]
    assert sum(map(len, entry.pack())) < 600
    assert not gc.is_tracked(entry)
    assert not any(gc.is_tracked(part) for part in entry.pack())
