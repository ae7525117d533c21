"""Odd schools through `caretaker review` and into files: a clean pack each time, and nothing in it is executed."""

import csv
import re
import sqlite3
from pathlib import Path

import pytest
from openpyxl import load_workbook

from caretaker_collector.review.make import Job, Made, Wish, make
from caretaker_collector.settings import load_collector
from review_world import END_MS, ReviewWorld
from rules_world import london_ms

pytestmark = pytest.mark.slow
HOSTILE = '=cmd|\\"/C calc\\"!A0 <script>alert(1)</script> O\'Neill & {{ 7*7 }} {availability} \N{ROCKET}'


@pytest.fixture(scope="module")
def packs(review_world: ReviewWorld, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Made, Path]]:
    """ash joined in mid-month and has hostile names; oak has one machine and no timetable."""
    out = tmp_path_factory.mktemp("odd")
    world = review_world.copy(out / "world")
    estate = world.folder / "estate.toml"
    text = estate.read_text()
    ash, oak = text.split('name = "oak"', 1)
    ash = re.sub(r'(?m)^title = ".*"$', f'title = "{HOSTILE}"', ash)
    oak = re.sub(r'(?ms)^(timetable|calendars|lessons|days) = (\[.*?\]|".*?")\n', "", oak)
    estate.write_text(f'{ash}name = "oak"{oak}')
    register = world.folder / "oak-devices.csv"
    first = next(csv.DictReader(register.read_text().splitlines()))
    with register.open("w", newline="") as file:
        writer = csv.DictWriter(file, first.keys())
        writer.writeheader()
        writer.writerow({**first, "behind": ""})
    db = sqlite3.connect(world.folder / "data/state.db")
    db.execute("UPDATE OR REPLACE sight SET from_ms = max(from_ms, ?)", (london_ms("2026-09-16 00:00"),))
    db.commit()
    db.close()
    wish = Wish(settings=load_collector(world.config), now_ms=END_MS, keeps=False, out=str(out))
    made = list(make(wish, [Job("ash", "2026-09"), Job("oak", "2026-09")], processes=2))
    return {each.place: (each, out / f"{each.place}-2026-09") for each in made}


@pytest.mark.parametrize("place", ["ash", "oak"])
def test_every_file_is_there_and_says_why_where_there_is_no_figure(
    packs: dict[str, tuple[Made, Path]], place: str
) -> None:
    made, stem = packs[place]
    assert made.problem == "" and made.recorded
    assert [Path(file).suffix for file in made.files] == [".html", ".pdf", ".xlsx"]
    assert all(Path(file).stat().st_size > 5_000 for file in made.files)
    assert len(made.figures) == 5
    assert all("n/a:" not in line for line in made.figures), "what is not known has a reason"
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_names_are_text_wherever_they_come_to(packs: dict[str, tuple[Made, Path]]) -> None:
    _, stem = packs["ash"]
    page = stem.with_suffix(".html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page and "{availability}" in page and "\N{ROCKET}" in page
    book = load_workbook(stem.with_suffix(".xlsx"))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    formulas = {str(cell.value) for cell in cells if cell.data_type == "f"}
    assert all(re.fullmatch(r"=SUM\([A-Z]+\d+:[A-Z]+\d+\)|=SUBTOTAL\(109,.*\)", each) for each in formulas), formulas
    assert any("=cmd|" in str(cell.value) for cell in cells if cell.data_type == "s")
