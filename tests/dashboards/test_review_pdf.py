"""The pack as a tagged PDF that everybody can read, that fetches nothing, and whose figures are in the spreadsheet."""

import io
import re
from collections.abc import Callable
from itertools import pairwise

import pikepdf
import pytest

from caretaker_dashboards.review import page
from caretaker_dashboards.review.page import title
from caretaker_dashboards.review.pdf import pdf_bytes
from review_packs import PACKS, full
from review_reading import book_of, html_of, missing_figures, pdf_of, pdf_text, structure

pytestmark = pytest.mark.slow


def opened(name: str) -> pikepdf.Pdf:
    return pikepdf.open(io.BytesIO(pdf_of(name)))


@pytest.mark.parametrize("name", PACKS)
def test_a_document_says_its_title_language_and_standard(name: str) -> None:
    pdf = opened(name)
    assert pdf.Root.Lang == "en-GB"
    assert bool(pdf.Root.MarkInfo.Marked) is True
    assert str(pdf.Root.ViewerPreferences.DisplayDocTitle) == "True"
    assert str(pdf.docinfo["/Title"]) == title(PACKS[name]())
    metadata = pdf.open_metadata()
    assert metadata["pdfuaid:part"] == "1"
    assert metadata["dc:title"] == title(PACKS[name]())
    assert all("/Tabs" not in sheet or sheet.Tabs == "/S" for sheet in pdf.pages)


@pytest.mark.parametrize("name", PACKS)
def test_headings_are_tagged_in_order(name: str) -> None:
    levels = [int(node.kind[1]) for node in structure(opened(name)).all("H1", "H2", "H3", "H4", "H5", "H6")]
    assert levels[0] == 1 and levels.count(1) == 1 and levels.count(2) == len(PACKS[name]().pages)
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", PACKS)
def test_every_header_cell_has_a_scope_and_every_cell_names_its_headers(name: str) -> None:
    tree = structure(opened(name))
    headers = tree.all("TH")
    assert headers and {str(head.attributes["/Scope"]) for head in headers} == {"/Column", "/Row"}
    for table in tree.all("Table"):
        assert table.all("TH")
        for row in table.all("TR"):
            assert {cell.kind for cell in row.children} <= {"TH", "TD"}
        assert all(cell.attributes.get("/Headers") for cell in table.all("TD"))


def test_tables_have_captions_and_figures_say_what_they_show() -> None:
    tree = structure(opened("full"))
    assert len(tree.all("Caption")) >= 12
    figures = tree.all("Figure")
    assert len(figures) == 6
    assert all("The figures are in the table" in figure.alt for figure in figures)
    assert tree.all("L") and tree.all("LI"), "the contents are a list"


def test_nothing_is_said_that_is_not_seen() -> None:
    text = pdf_text(pdf_of("full"))
    assert text.count("rules 0.1.0 · policy 7c1e") == len(opened("full").pages), "once in each footer"


def test_every_font_is_in_the_document() -> None:
    for sheet in opened("full").pages:
        for font in (sheet.Resources.get("/Font") or {}).values():
            inner = font.DescendantFonts[0] if "/DescendantFonts" in font else font
            if inner.get("/Subtype") != "/Type3":
                assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(inner.FontDescriptor.keys())
            assert "/ToUnicode" in font


def test_links_go_to_places_in_the_document_only() -> None:
    for name in ("full", "hostile"):
        for sheet in opened(name).pages:
            for note in sheet.get("/Annots") or []:
                action = note.get("/A")
                assert action is None or action.S == "/GoTo"
                assert "/Contents" in note or "/StructParent" in note
        assert "/OpenAction" not in opened(name).Root and "/AcroForm" not in opened(name).Root


def test_the_same_pack_is_the_same_document() -> None:
    assert pdf_bytes(html_of("one")) == pdf_of("one")


@pytest.mark.parametrize(
    "inside",
    [
        '<img alt="x" src="http://127.0.0.1:9/x.svg">',
        '<img alt="x" src="file:///etc/hostname">',
        "<style>@import url(http://127.0.0.1:9/x.css);</style>",
        "<style>p { background: url(file:///etc/hostname) }</style><p>x</p>",
        '<link rel="stylesheet" href="file:///etc/hostname">',
        '<link rel="attachment" href="file:///etc/hostname">',
    ],
)
def test_a_document_that_refers_outside_itself_is_refused(inside: str) -> None:
    with pytest.raises(ValueError, match="outside itself"):
        pdf_bytes(f'<html lang="en"><head><title>t</title></head><body>{inside}</body></html>')


@pytest.mark.parametrize("name", ["full", "estate", "empty"])
def test_every_figure_of_the_document_is_in_the_spreadsheet(name: str) -> None:
    # Without drawings: their scales are no figures, and what else is on them is in their tables (test_review_charts).
    text = pdf_text(pdf_bytes(re.sub(r"<img [^>]*>", "", html_of(name))))
    assert missing_figures(PACKS[name](), text, book_of(name)) == set()


def test_a_figure_that_no_spreadsheet_has_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., str] = page.words.figure
    monkeypatch.setattr(page.words, "figure", lambda fact, zone="UTC": real(fact, zone).replace("98.93", "98.77"))
    changed = pdf_text(pdf_bytes(re.sub(r"<img [^>]*>", "", page.render(full()))))
    assert missing_figures(full(), changed, book_of("full")) == {"98.77"}
