"""A pack into its files, in this process or in workers; one pack that goes wrong takes nothing else with it."""

import multiprocessing
from pathlib import Path

import msgspec
import pytest

from caretaker_dashboards.review import draw as drawing
from caretaker_dashboards.review.draw import Press, draw, stem
from caretaker_dashboards.review.pack import Chart, Page, Section
from review_packs import full, one_device
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


@pytest.mark.slow
def test_workers_draw_many_packs_and_one_that_goes_wrong_takes_nothing_with_it(tmp_path: Path) -> None:
    good = one_device()
    chart = Chart(kind="bars", title="C", table="no such table", x="x", y=["y"], alt="")
    pages = [Page(key="use", title="Use", question="?", sections=[Section(title="S", charts=[chart])])]
    bad = msgspec.structs.replace(good, place="bad", pages=pages)
    with Press(2) as press:
        packs = [bad, *(msgspec.structs.replace(good, place=place) for place in ("a", "b"))]
        wrong, *right = press.draw_all(packs, tmp_path)
    assert isinstance(wrong.error, KeyError) and wrong.files == {} and wrong.pack == bad
    files = [one.files for one in right]
    assert sorted(names(tmp_path)) == sorted(
        f"{place}-2026-09.{kind}" for place in ("a", "b") for kind in ("html", "pdf", "xlsx")
    )
    assert [sorted(made) for made in files] == [["html", "pdf", "xlsx"]] * 2
    assert files[0]["pdf"].read_bytes() == files[1]["pdf"].read_bytes(), "the same pack is the same bytes in any worker"


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_only_its_own_pack_is_missing(tmp_path: Path) -> None:
    good = msgspec.structs.replace(full(), pages=[])
    with Press(1) as press:
        press.submit(good, tmp_path, ["html"]).result()
        (worker,) = multiprocessing.active_children()
        worker.kill()
        worker.join()
        drawn = list(press.draw_all([good, good], tmp_path, ["html"]))
    assert [one.error for one in drawn] == [None, None]


@pytest.mark.slow
def test_a_worker_cannot_take_more_memory_than_it_may(tmp_path: Path) -> None:
    with (
        Press(1, memory_bytes=120 * 1024**2) as press,
        pytest.raises((MemoryError, ImportError, OSError, RuntimeError)),
    ):
        press.submit(full(), tmp_path).result(120)
    assert drawing.WORKER_MEMORY_BYTES >= 1024**3
