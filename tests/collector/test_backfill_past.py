"""A past for the demo: played once, kept, and the same however many processes play it."""

import sqlite3

import pytest

from caretaker_collector.past.backfill import NOTE, STORE, backfill, existing
from caretaker_simulator.estate import write_demo_estate
from rules_world import POLICIES, london_ms

START_MS = london_ms("2026-10-05 08:00")


def rows(path):
    """All reports of a store."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT time_ns, device, state, epoch, boot, seq FROM device ORDER BY 1, 2").fetchall()
    finally:
        db.close()


@pytest.mark.slow
def test_a_past_is_the_same_by_one_process_and_by_two_and_is_kept(tmp_path):
    """Two hours of the small school: the same reports; asked for again, nothing is played anew."""
    write_demo_estate(tmp_path, POLICIES / "school.toml")
    told = []
    made = [
        backfill(tmp_path, tmp_path / name, START_MS, START_MS + 7_200_000, 5, ["oak"], processes, told.append)
        for name, processes in (("one", 1), ("two", 2))
    ]
    assert made[0] == made[1]
    assert made[0].devices == 50
    assert rows(tmp_path / "one" / STORE) == rows(tmp_path / "two" / STORE) != []
    assert made[0].messages > len(rows(tmp_path / "one" / STORE))
    before = (tmp_path / "one" / STORE).stat().st_mtime_ns
    assert backfill(tmp_path, tmp_path / "one", START_MS, START_MS + 7_200_000, 5, ["oak"], 1) == made[0]
    assert (tmp_path / "one" / STORE).stat().st_mtime_ns == before
    (tmp_path / "one" / NOTE).unlink()  # as a run that was ended in the middle leaves it
    assert existing(tmp_path / "one") is None
