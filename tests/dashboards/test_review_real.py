"""A real month of two schools on paper: tagged, on pages that hold it, with every figure of it in the spreadsheet."""

import io
import re

import openpyxl
import pikepdf
import pytest

from caretaker_dashboards.review import charts
from caretaker_dashboards.review.page import render, tables
from caretaker_dashboards.review.pdf import pdf_bytes
from caretaker_dashboards.review.sheet import xlsx_bytes
from review_reading import missing_figures, pdf_text, structure
from review_world import SCHOOLS, ReviewWorld

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("school", SCHOOLS)
def test_every_figure_of_a_real_month_on_paper_is_in_the_spreadsheet(school: str, review_world: ReviewWorld) -> None:
    pack = review_world.pack(school)
    html = render(pack, paper=True)
    plain = pdf_bytes(re.sub(r"<img [^>]*>", "", html))
    book = openpyxl.load_workbook(io.BytesIO(xlsx_bytes(pack)))
    assert missing_figures(pack, pdf_text(plain), book) == set()
    pdf = pikepdf.open(io.BytesIO(pdf_bytes(html)))
    assert len(pdf.pages) <= 15
    tree = structure(pdf)
    assert len(tree.all("H2")) == len(pack.pages)
    assert all(figure.alt for figure in tree.all("Figure"))


@pytest.mark.parametrize("school", SCHOOLS)
def test_every_chart_of_a_real_month_is_drawn(school: str, review_world: ReviewWorld) -> None:
    pack = review_world.pack(school)
    by_name = tables(pack)
    listed = [chart for page in pack.pages for section in page.sections for chart in section.charts]
    assert listed
    for chart in listed:
        assert charts.draw(chart, by_name[chart.table], pack.zone), chart.title
