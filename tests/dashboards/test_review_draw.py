"""A pack into its files: named, whole, or not at all."""

from pathlib import Path

import msgspec
import pytest

from caretaker_dashboards.review.draw import draw, stem
from caretaker_dashboards.review.pack import Chart, Page, Section
from review_packs import full
from review_reading import html_of, xlsx_of


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_files_have_the_name_of_place_and_period() -> None:
    pack = full()
    assert stem(pack) == "ash-2026-09"
    term = msgspec.structs.replace(pack, place="network:green", period="2026-09-01..2026-12-18")
    assert stem(term) == "network-green-2026-09-01--2026-12-18"
    assert "/" not in stem(msgspec.structs.replace(pack, place="../../etc/passwd\0"))
    assert stem(msgspec.structs.replace(pack, place="..")).strip("-") == "2026-09"


def test_only_the_kinds_that_are_asked_for_are_written(tmp_path: Path) -> None:
    files = draw(full(), tmp_path / "new" / "folder", ["html", "xlsx"])
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "ash-2026-09.html",
        "ash-2026-09.xlsx",
    ]
    assert files["html"].read_text() == html_of("full")
    assert files["xlsx"].read_bytes() == xlsx_of("full")


def test_a_file_is_replaced_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("before")
    draw(full(), tmp_path, ["html"], name="mine")
    assert (tmp_path / "mine.html").read_text() == html_of("full")
    assert names(tmp_path) == ["mine.html"]


def test_a_pack_that_refers_to_what_it_does_not_hold_writes_nothing(tmp_path: Path) -> None:
    chart = Chart(kind="bars", title="C", table="no such table", x="x", y=["y"], alt="")
    pages = [Page(key="use", title="Use", question="?", sections=[Section(title="S", charts=[chart])])]
    with pytest.raises(KeyError, match="no such table"):
        draw(msgspec.structs.replace(full(), pages=pages), tmp_path)
    assert names(tmp_path) == []
