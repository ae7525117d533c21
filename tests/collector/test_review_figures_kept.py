"""Kept packs: a revision for each change of a figure, none without, and nothing is ever overwritten."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

import review_packs
from caretaker_collector import state
from caretaker_collector.review import keep, shelf
from caretaker_collector.review.shelf import Kept
from caretaker_contract.errors import Unavailable
from caretaker_dashboards.review.pack import Pack, Unit


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A state file."""
    found = state.open_state(tmp_path / "state.db")
    yield found
    found.close()


@pytest.fixture
def pack() -> Pack:
    """A pack of September 2026, made on 1 October."""
    return review_packs.full()


def kept(db: sqlite3.Connection, data: Path, pack: Pack) -> Kept | None:
    """Place a pack and keep it, as the command does; None: it is no news."""
    placed = keep.place(db, data, pack)
    if not placed.news:
        return None
    with keep.room(data, placed.pack) as folder:
        (folder / "pack.html").write_text(f"revision {placed.pack.revision}")
        return keep.put(db, data, placed.pack, folder)


def with_value(pack: Pack, key: str, value: float) -> Pack:
    """The same pack with another figure, a day later."""
    fact = structs.replace(pack.facts[key], value=value)
    return structs.replace(pack, facts={**pack.facts, key: fact}, made_ms=pack.made_ms + 86_400_000)


def test_a_pack_is_kept_once_and_found_again(db: sqlite3.Connection, tmp_path: Path, pack: Pack) -> None:
    first = kept(db, tmp_path, pack)
    assert first is not None
    assert (first.revision, first.reason, first.files) == (1, "first made", ("pack.html", "pack.json"))
    assert first.folder == f"review/{pack.place}/{pack.period}/r1"
    assert (tmp_path / first.folder / "pack.html").read_text() == "revision 1"
    again = keep.read(tmp_path, first)
    assert again is not None and again.facts == pack.facts
    assert kept(db, tmp_path, structs.replace(pack, made_ms=pack.made_ms + 1)) is None
    assert shelf.newest(db) == [first]


def test_a_figure_that_changed_makes_a_revision_with_its_reason(
    db: sqlite3.Connection, tmp_path: Path, pack: Pack
) -> None:
    kept(db, tmp_path, pack)
    key = next(key for key, fact in pack.facts.items() if fact.unit is Unit.PERCENT and fact.low is not None)
    title = pack.facts[key].title
    second = kept(db, tmp_path, with_value(pack, key, 90.123))
    assert second is not None and second.revision == 2
    assert second.reason.startswith(f"{title} was ") and second.reason.endswith("is 90.12 %")
    now = keep.read(tmp_path, second)
    assert now is not None
    assert [(each.number, each.reason) for each in now.revisions] == [(1, "first made"), (2, second.reason)]
    assert kept(db, tmp_path, with_value(pack, key, 90.1239)) is None, "the same digits are the same figure"
    assert [each.revision for each in shelf.revisions(db, pack.place, pack.period)] == [1, 2]
    assert (tmp_path / "review" / pack.place / pack.period / "r1" / "pack.html").read_text() == "revision 1"


def test_a_cell_that_changed_is_a_figure_too_and_words_are_none(
    db: sqlite3.Connection, tmp_path: Path, pack: Pack
) -> None:
    kept(db, tmp_path, pack)

    def changed(unit: Unit, value: object) -> Pack:
        pages = list(pack.pages)
        for number, page in enumerate(pages):
            for at, section in enumerate(page.sections):
                for place, table in enumerate(section.tables):
                    columns = [spot for spot, column in enumerate(table.columns) if column.unit is unit]
                    if page.key != "energy" or not columns or not table.rows:
                        continue
                    row = list(table.rows[0])
                    row[columns[0]] = value  # type: ignore[call-overload]
                    tables = list(section.tables)
                    tables[place] = structs.replace(table, rows=[row, *table.rows[1:]])
                    sections = list(page.sections)
                    sections[at] = structs.replace(section, tables=tables)
                    pages[number] = structs.replace(page, sections=sections)
                    return structs.replace(pack, pages=pages)
        raise AssertionError("no such table")

    assert kept(db, tmp_path, changed(Unit.TEXT, "another name")) is None
    second = kept(db, tmp_path, changed(Unit.KWH, 98765.0))
    assert second is not None and second.reason.startswith("figures of the table ")


def test_a_span_that_is_not_over_is_not_kept(db: sqlite3.Connection, tmp_path: Path, pack: Pack) -> None:
    early = structs.replace(pack, made_ms=pack.made_ms - 20 * 86_400_000)
    assert not keep.place(db, tmp_path, early).news
    with keep.room(tmp_path, early) as folder, pytest.raises(ValueError, match="is not over"):
        keep.put(db, tmp_path, early, folder)


def test_who_comes_second_is_told_and_leaves_nothing_behind(db: sqlite3.Connection, tmp_path: Path, pack: Pack) -> None:
    mine, theirs = keep.place(db, tmp_path, pack), keep.place(db, tmp_path, pack)
    with keep.room(tmp_path, mine.pack) as folder:
        keep.put(db, tmp_path, mine.pack, folder)
    with keep.room(tmp_path, theirs.pack) as folder, pytest.raises(Unavailable, match="meanwhile"):
        keep.put(db, tmp_path, theirs.pack, folder)
    assert len(shelf.revisions(db, pack.place, pack.period)) == 1
    assert [path.name for path in (tmp_path / "review" / pack.place / pack.period).iterdir()] == ["r1"]


def test_a_folder_that_was_left_when_power_went_is_not_overwritten(
    db: sqlite3.Connection, tmp_path: Path, pack: Pack
) -> None:
    left = tmp_path / "review" / pack.place / pack.period / "r1"
    left.mkdir(parents=True)
    (left / "pack.html").write_text("left")
    first = kept(db, tmp_path, pack)
    assert first is not None and first.revision == 2
    assert (left / "pack.html").read_text() == "left"


def test_a_pack_whose_files_are_gone_is_kept_again(db: sqlite3.Connection, tmp_path: Path, pack: Pack) -> None:
    first = kept(db, tmp_path, pack)
    assert first is not None
    (tmp_path / first.folder / "pack.json").unlink()
    second = kept(db, tmp_path, pack)
    assert second is not None and second.reason == "the files of the one before are gone"


def test_who_was_sent_a_pack_is_written_down_once(db: sqlite3.Connection, tmp_path: Path, pack: Pack) -> None:
    first = kept(db, tmp_path, pack)
    assert first is not None
    for at_ms in (5, 6):
        sent = shelf.note_sent(db, first, "director@ash.example", at_ms)
    sent = shelf.note_sent(db, first, "authority@example", 7)
    assert [(each.to, each.at_ms) for each in sent.sent] == [("director@ash.example", 5), ("authority@example", 7)]
    assert shelf.newest(db, pack.place) == [sent]


def test_the_names_of_folders_are_those_of_no_other_place(pack: Pack) -> None:
    names = [keep.folder_name(place) for place in ("all", "network:all", "network-all", "network:green", "green")]
    assert len(set(names)) == len(names)
    assert not any(set(name) & set("/:.") for name in names)
