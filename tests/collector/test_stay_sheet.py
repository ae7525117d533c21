"""A room's link as a QR code and on paper: what is drawn is the link, and titles are only text."""

import io
import re
from pathlib import Path

import pikepdf
import pytest
import segno
from typer.testing import CliRunner

from caretaker_collector.cli import app
from caretaker_dashboards.desk import stay_sheet
from servers import free_port
from worlds import World, make_world

LINK = "https://desk.example/stay/abcDEF_123-xyz789AbCdEf"
HOSTILE = '<script>alert("x")</script> & \u202eback\u202c 🎓'


def drawn(svg: str) -> list[list[int]]:
    """The modules that a picture shows, its quiet border taken off."""
    size = int(re.search(r'viewBox="0 0 (\d+) \1"', svg)[1])  # type: ignore[index]
    shown = [[0] * size for _ in range(size)]
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", svg):
        for at in range(int(x), int(x) + int(width)):
            shown[int(y)][at] = 1
    border = stay_sheet.QUIET
    assert not any(any(row) for row in (*shown[:border], *shown[-border:])), "a code needs its quiet border"
    return [row[border:-border] for row in shown[border:-border]]


def caretaker(world: World, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["stay-link", "ash/ict1", *words, "--config", str(world.config)])
    return result.exit_code, result.stdout, result.stderr + str(result.exception or "")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path, free_port())


@pytest.mark.parametrize("link", [LINK, "http://127.0.0.1:8600/stay/" + "Q" * 22, "https://a.example/" + "x" * 300])
def test_the_picture_shows_the_code_of_the_link(link: str) -> None:
    expected = [list(row) for row in segno.make(link, error="q", micro=False).matrix]
    assert drawn(stay_sheet.qr_svg(link, "a room's code")) == expected


def test_titles_are_text_in_the_page_and_nothing_is_loaded() -> None:
    page = stay_sheet.sheet(LINK, HOSTILE, HOSTILE, "40 min")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 3
    assert "stay on for 40 min" in page
    assert not re.search(r"src=|href=|url\(|@import", page)
    assert page.count(LINK) == 2, "as text, and in place of the picture"


def test_the_printed_page_is_one_tagged_a4_page_in_english() -> None:
    with pikepdf.open(io.BytesIO(stay_sheet.sheet_pdf(LINK, "ICT suite 1", "Ashfield", "an hour"))) as pdf:
        [page] = pdf.pages
        assert [round(float(side)) for side in page.mediabox[2:]] == [595, 842]
        assert pdf.Root.MarkInfo.Marked
        assert str(pdf.Root.Lang) == "en-GB"
        assert str(pdf.docinfo.Title) == "Still working in ICT suite 1?"


def test_the_command_prints_a_page_of_the_link_that_it_names(world: World, tmp_path: Path) -> None:
    paper = tmp_path / "room.html"
    code, out, err = caretaker(world, "--base-url", "https://desk.example", "--print", str(paper))
    assert (code, out.count("\n")) == (0, 1), "no QR code where nobody looks"
    assert f"written to {paper}" in err
    page = paper.read_text()
    assert out.strip() in page
    assert drawn(page) == [list(row) for row in segno.make(out.strip(), error="q", micro=False).matrix]
    assert "ICT suite 1" in page and "Ashfield" in page and "for an hour" in page
    pdf = tmp_path / "room.pdf"
    assert caretaker(world, "--print", str(pdf))[0] == 0
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_a_code_for_the_terminal_comes_when_asked_and_not_into_json(world: World) -> None:
    _, out, _ = caretaker(world, "--qr")
    link, *code = out.splitlines()
    assert "/stay/" in link
    assert len(code) > 15 and set("".join(code)) <= set(" █▀▄")
    assert "█" not in caretaker(world, "--json")[1]


def test_a_page_that_cannot_be_is_refused_before_a_link_is_made(world: World, tmp_path: Path) -> None:
    code, _, err = caretaker(world, "--print", "room.png")
    assert code != 0 and "FILE.pdf or FILE.html" in err
    assert not (world.data / "state.db").exists()
    (tmp_path / "file").write_text("")
    code, _, err = caretaker(world, "--print", str(tmp_path / "file" / "room.html"))
    assert code != 0 and "cannot be written" in err
