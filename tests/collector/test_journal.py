"""The journal keeps what it took, in order, and says so when the disk takes no more."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from caretaker_collector import journal as journal_module
from caretaker_collector.journal import Journal
from caretaker_contract.errors import Unavailable
from caretaker_rules.ports import Incoming


def incoming(first: int, number: int, size: int = 20) -> list[Incoming]:
    """Messages that tell their number."""
    return [Incoming(1000 + i, f"caretaker/1/ash/d/{i}", b"%d" % i + b"x" * size) for i in range(first, first + number)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; needs root, which CI and the set-up have."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_what_was_appended_is_read_in_order_and_after_reopening(tmp_path: Path) -> None:
    """Positions are consecutive and survive the process."""
    journal = Journal(tmp_path / "journal.db")
    await journal.append(incoming(1, 3))
    await journal.append(incoming(4, 2))
    journal.close()
    again = Journal(tmp_path / "journal.db")
    records = await again.read(0, 10)
    assert [(r.pos, r.payload.rstrip(b"x")) for r in records] == [(i, b"%d" % i) for i in range(1, 6)]
    assert [r.pos for r in await again.read(3, 1)] == [4]
    await again.append(incoming(6, 1))
    assert again.last == 6
    again.close()


async def test_a_reader_behind_the_tail_reads_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds the newest records only; older ones come from the file, without a hole where both meet."""
    monkeypatch.setattr(journal_module, "TAIL", 10)
    journal = Journal(tmp_path / "journal.db")
    for start in range(1, 101, 7):
        await journal.append(incoming(start, min(7, 101 - start)))
    seen: list[int] = []
    while records := await journal.read(seen[-1] if seen else 0, 6):
        seen += [record.pos for record in records]
    assert seen == list(range(1, 101))
    journal.close()


async def test_positions_go_on_after_everything_was_pruned(tmp_path: Path) -> None:
    """A saved position stays valid when the records before it are forgotten, also over a restart."""
    journal = Journal(tmp_path / "journal.db")
    await journal.append(incoming(1, 5))
    assert await journal.prune(before_ms=10**12, up_to=3) == 3
    assert [r.pos for r in await journal.read(0, 10)][-1] == 5
    assert await journal.prune(before_ms=10**12, up_to=5) == 2
    journal.close()
    again = Journal(tmp_path / "journal.db")
    await again.append(incoming(6, 1))
    assert [r.pos for r in await again.read(5, 10)] == [6]
    again.close()


async def test_a_full_disk_refuses_the_whole_batch_and_loses_nothing(small_disk: Path) -> None:
    """Unavailable is raised, the batch is not half there, and the journal goes on when there is room again."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_200_000)
    journal = Journal(small_disk / "journal.db")
    taken = 0
    with pytest.raises(Unavailable, match="full"):
        for start in range(1, 100_000, 100):
            await journal.append(incoming(start, 100, size=500))
            taken += 100
    assert 0 < taken < 5_000
    assert journal.last == taken
    ballast.unlink()
    await journal.append(incoming(taken + 1, 100))
    journal.close()
    again = Journal(small_disk / "journal.db")
    records = await again.read(0, 100_000)
    assert [int(r.payload.rstrip(b"x")) for r in records] == list(range(1, taken + 101))
    again.close()
