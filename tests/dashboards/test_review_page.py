"""The pack as one HTML file: whole, valid, without script, readable by everybody, hostile texts shown as text."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest

from browser import OpenWindow
from caretaker_dashboards.review.pack import Chart, Column, Pack, Page, Section, Sentence, Table, Unit
from caretaker_dashboards.review.page import render, tables
from review_packs import HOSTILE, PACKS, full
from review_reading import html_of

VOID = {"meta", "img", "br", "col", "link", "input", "hr", "wbr"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "nav", "div"),
    *("h1", "h2", "h3", "p", "span", "b", "a", "ol", "li", "figure", "figcaption", "img"),
    *("table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"),
}


class Reader(HTMLParser):
    """Reads a page strictly: every element closed in order, only those that the pack uses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ALLOWED:
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            width = tag == "col" and re.fullmatch(r"width: \d+(\.\d+)?%", value or "")
            if name.startswith("on") or (name == "style" and not width):
                self.faults.append(f"{tag} {name}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of order")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@pytest.mark.parametrize("name", PACKS)
def test_a_page_is_whole_and_holds_only_what_the_pack_uses(name: str) -> None:
    page = read(html_of(name))
    assert page.faults == [] and page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        label = attributes.get("aria-labelledby")
        assert label is None or label in ids
        link = attributes.get("href")
        assert link is None or (link.startswith("#") and link[1:] in ids)
        source = attributes.get("src")
        assert source is None or source.startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize("name", PACKS)
def test_headings_go_down_one_step_at_a_time(name: str) -> None:
    levels = [int(tag[1]) for tag, _ in read(html_of(name)).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", PACKS)
def test_every_header_has_a_scope_and_every_drawing_says_what_it_shows(name: str) -> None:
    tags = read(html_of(name)).tags
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")
    assert all(len(attributes.get("alt") or "") > 20 for tag, attributes in tags if tag == "img")
    data = [attributes for tag, attributes in tags if tag == "table"]
    named_by_heading = sum("aria-labelledby" in attributes for attributes in data)
    assert len(data) == named_by_heading + sum(tag == "caption" for tag, _ in tags)


def test_nothing_is_fetched_and_nothing_runs() -> None:
    for name in PACKS:
        html = html_of(name)
        assert "default-src 'none'" in html
        assert "<script" not in html and "javascript:" not in html
        assert not re.search(r"url\(|@import|<link|http://|https://(?!example\.invalid)", html)


def test_hostile_names_are_shown_as_text() -> None:
    html = html_of("hostile")
    shown = " ".join(read(html).text)
    for name in HOSTILE[:7]:
        assert name in shown
    assert "L" * 47 + "…" in shown and "L" * 48 not in shown
    assert "{{ 7 * 7 }} {% raw %}" in shown and "49" not in re.findall(r"\b49 \{%", shown)
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in html and "\x07" not in html


def test_the_same_pack_is_the_same_page() -> None:
    assert render(full()) == render(full())


def test_a_long_table_is_cut_and_says_where_the_rest_is() -> None:
    shown = " ".join(read(html_of("full")).text)
    assert "15 of 43 rows are shown; the spreadsheet has all 43 rows." in shown
    assert "25 of 328 rows are shown" in shown


def test_long_texts_of_a_table_with_many_columns_stand_below_their_row() -> None:
    columns = [Column(key=str(number), title=f"Figure {number}", unit=Unit.COUNT) for number in range(8)]
    columns += [Column(key="cause", title="Cause"), Column(key="done", title="What was done")]
    said = "the switch of the room was started again, after which everything came back by itself"
    rows: list[list[float | int | str | None]] = [[*range(8), said, None], [*range(8), None, said]]
    table = Table(name="Wide", title="Wide", columns=columns, rows=rows)
    pages = [Page(key="more", title="More", question="?", sections=[Section(title="Wide", tables=[table])])]
    shown = " ".join("".join(read(render(msgspec.structs.replace(full(), pages=pages, headlines=[]))).text).split())
    assert f"Cause: {said}" in shown and f"What was done: {said}" in shown
    assert "Cause: n/a" not in shown


def test_no_table_is_printed_beyond_what_paper_holds() -> None:
    pack = full()
    rows: list[list[float | int | str | None]] = [[f"pc-{number}"] for number in range(2_000)]
    table = Table(name="All", title="All", columns=[Column(key="pc", title="Machine")], rows=rows)
    pages = [*pack.pages, Page(key="more", title="More", question="?", sections=[Section(title="All", tables=[table])])]
    shown = " ".join(read(render(msgspec.structs.replace(pack, pages=pages))).text)
    assert "250 of 2,000 rows are shown" in shown and "pc-250" not in shown


def test_an_empty_month_says_why_everywhere() -> None:
    page = read(html_of("empty"))
    shown = " ".join(page.text)
    assert shown.count("no service time in August: the school was closed") >= 5
    assert not any(tag == "img" for tag, _ in page.tags), "no chart without data"
    pack = PACKS["empty"]()
    for table in tables(pack).values():
        assert table.title in shown
    assert shown.count("Nothing was recorded in this month. Check that") >= 8, "once in each section"


def test_a_chart_whose_figures_are_all_unknown_is_a_sentence() -> None:
    table = Table(
        name="T",
        title="Table",
        columns=[Column(key="x", title="Room"), Column(key="y", title="Used", unit=Unit.KWH)],
        rows=[["Library", None]],
    )
    chart = Chart(kind="bars", title="Chart", table="T", x="x", y=["y"], alt="Alt")
    section = Section(title="Part", charts=[chart], tables=[table])
    pack = msgspec.structs.replace(
        full(), pages=[Page(key="energy", title="Energy", question="?", sections=[section])], headlines=[]
    )
    shown = " ".join(read(render(pack)).text)
    assert "Nothing to draw: every figure is zero, or not known." in shown


def test_a_sentence_that_names_no_fact_shows_what_was_written() -> None:
    pack = full()
    pages = [
        Page(
            key="made",
            title="Made",
            question="?",
            sections=[Section(title="One", sentences=[Sentence(text="{no.such.fact} stays")])],
        )
    ]
    shown = " ".join(read(render(msgspec.structs.replace(pack, pages=pages, headlines=[]))).text)
    assert "{no.such.fact} stays" in shown


def test_verdicts_have_words_and_shapes() -> None:
    shown = " ".join("".join(read(html_of("full")).text).split())
    for verdict in ("✓ target met", "✕ target missed", "? cannot tell", "– no target set"):
        assert verdict in shown


def test_a_term_compares_with_the_time_before_and_not_with_last_month() -> None:
    term: Pack = msgspec.structs.replace(full(), period="2026-09-01..2026-12-18", period_title="Autumn term 2026")
    shown = " ".join(read(render(term)).text)
    assert "Last month" not in shown and "Time before" in shown and "Monthly" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "hostile"])
def test_everybody_can_read_a_page_on_desk_and_phone(name: str, open_window: OpenWindow) -> None:
    window = open_window("http://127.0.0.1")
    window.page.set_content(html_of(name))
    window.check(f"review-{name}")
