"""The outbox keeps what it took, in order, whatever happens to its process, and says what it had to let go."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caretaker_agent.outbox import Cursor, Outbox
from caretaker_contract.errors import Unavailable
from caretaker_contract.messages import Range
from caretaker_contract.topics import Kind

E = "00c0ffee"
BOUND = 65_536


def fill(outbox: Outbox, first: int, last: int, boot: int = 1, size: int = 250) -> None:
    for seq in range(first, last + 1):
        outbox.append(E, boot, seq, Kind.REPORT, b'{"seq":%d,"x":"%s"}' % (seq, b"x" * size))


def numbers(outbox: Outbox, cursor: Cursor = Cursor()) -> list[tuple[int, int]]:  # noqa: B008
    return [(record.boot, record.seq) for record in outbox.read(cursor)]


def test_messages_come_back_as_they_were_taken(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, BOUND)
    outbox.append(E, 3, 9, Kind.OUTCOME, b'{"a":1}')
    (record,) = Outbox(tmp_path, BOUND).read(Cursor())
    assert record[:5] == (E, 3, 9, Kind.OUTCOME, b'{"a":1}')


def test_a_week_of_heartbeats_and_changes_fits_the_default_bound(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, 8 * 2**20)
    week = 7 * 24 * 12 + 7 * 200
    fill(outbox, 1, week, size=330)
    assert outbox.dropped == 0
    assert numbers(outbox) == [(1, seq) for seq in range(1, week + 1)]


def test_the_bound_holds_and_what_was_not_delivered_is_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, BOUND)
    fill(outbox, 1, 1000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= BOUND
    kept = numbers(outbox)
    assert kept == [(1, seq) for seq in range(1001 - len(kept), 1001)]
    assert outbox.dropped == 1000 - len(kept)


def test_what_was_delivered_is_let_go_without_being_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, BOUND)
    for seq in range(1, 1001):
        fill(outbox, seq, seq)
        *_, last = outbox.read(outbox.acked)
        outbox.acked = last.end
    assert outbox.dropped == 0
    assert numbers(outbox, outbox.acked) == []


def test_the_last_number_survives_and_so_is_never_given_twice(tmp_path: Path) -> None:
    fill(Outbox(tmp_path, BOUND), 1, 700)
    reopened = Outbox(tmp_path, BOUND)
    assert reopened.last(E, 1) == 700
    assert reopened.last(E, 2) == 0
    assert reopened.last("11111111", 1) == 0


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_write_that_was_cut_off_is_taken_away_and_the_next_one_is_whole(tmp_path: Path, cut: int) -> None:
    fill(Outbox(tmp_path, BOUND), 1, 5)
    newest = max(tmp_path.glob("*.log"))
    os.truncate(newest, newest.stat().st_size - cut)
    reopened = Outbox(tmp_path, BOUND)
    assert reopened.last(E, 1) == 4
    fill(reopened, 5, 6)
    assert numbers(Outbox(tmp_path, BOUND)) == [(1, seq) for seq in range(1, 7)]


def test_a_damaged_line_loses_only_itself(tmp_path: Path) -> None:
    fill(Outbox(tmp_path, BOUND), 1, 5)
    newest = max(tmp_path.glob("*.log"))
    lines = newest.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:30] + b"?" + lines[2][31:]
    newest.write_bytes(b"".join(lines))
    reopened = Outbox(tmp_path, BOUND)
    assert numbers(reopened) == [(1, 1), (1, 2), (1, 4), (1, 5)]
    assert reopened.missing([Range(E, 1, 1, 5)]) == [Range(E, 1, 3, 3)]
    assert reopened.damaged >= 1


@given(st.binary(max_size=400))
def test_any_bytes_in_a_file_never_stop_the_outbox(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "00000001.log").write_bytes(junk)
    outbox = Outbox(folder, BOUND)
    fill(outbox, 1, 2)
    assert numbers(Outbox(folder, BOUND))[-2:] == [(1, 1), (1, 2)]


def test_a_replay_finds_the_asked_numbers_and_names_the_missing_ones(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, BOUND)
    fill(outbox, 1, 1000)
    first_kept = numbers(outbox)[0][1]
    fill(outbox, 1, 3, boot=2)
    asked = [Range(E, 1, 1, first_kept + 1), Range(E, 2, 2, 5), Range("deadbeef", 1, 1, 9)]
    assert [(r.boot, r.seq) for r in outbox.find(asked)] == [(1, first_kept), (1, first_kept + 1), (2, 2), (2, 3)]
    assert outbox.missing(asked) == [
        Range(E, 1, 1, first_kept - 1),
        Range(E, 2, 4, 5),
        Range("deadbeef", 1, 1, 9),
    ]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_found_and_missing_together_are_what_was_asked(
    tmp_path_factory: pytest.TempPathFactory, first: int, length: int, kept: int
) -> None:
    outbox = Outbox(tmp_path_factory.mktemp("ring"), BOUND)
    fill(outbox, 11, 10 + kept, size=5)
    asked = Range(E, 1, first, first + length)
    found = {record.seq for record in outbox.find([asked])}
    missing = {seq for part in outbox.missing([asked]) for seq in range(part.first, part.last + 1)}
    assert found | missing == set(range(first, first + length + 1))
    assert not found & missing


def test_a_full_disk_is_said_and_leaves_no_half_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, BOUND)
    fill(outbox, 1, 2)
    real = os.write

    def half(fd: int, data: bytes) -> int:
        real(fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(Unavailable, match="No space left"):
        fill(outbox, 3, 3)
    monkeypatch.undo()
    fill(outbox, 3, 3)
    assert numbers(Outbox(tmp_path, BOUND)) == [(1, 1), (1, 2), (1, 3)]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        Outbox(tmp_path / "file" / "outbox", BOUND)
