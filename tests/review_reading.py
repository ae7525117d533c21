"""Reading a drawn pack back: what a spreadsheet shows in a cell, what a PDF says aloud, and packs drawn only once."""

import io
import re
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cache
from typing import Any

import openpyxl
import pikepdf
from openpyxl.cell.cell import Cell
from openpyxl.workbook import Workbook

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Pack
from caretaker_dashboards.review.page import render
from caretaker_dashboards.review.pdf import pdf_bytes
from caretaker_dashboards.review.sheet import xlsx_bytes
from review_packs import PACKS

NUMBER = re.compile(r"[−-]?£?\d+(?:,\d{3})*(?:\.\d+)?")


@cache
def html_of(name: str) -> str:
    """A sample pack as HTML."""
    return render(PACKS[name]())


@cache
def pdf_of(name: str) -> bytes:
    """A sample pack as PDF."""
    return pdf_bytes(render(PACKS[name](), paper=True))


@cache
def xlsx_of(name: str) -> bytes:
    """A sample pack as spreadsheet."""
    return xlsx_bytes(PACKS[name]())


def book_of(name: str) -> Workbook:
    """A sample pack's spreadsheet, opened."""
    return openpyxl.load_workbook(io.BytesIO(xlsx_of(name)), rich_text=False)


def pdf_text(data: bytes) -> str:
    """What pdftotext reads in a PDF, in its layout."""
    found = subprocess.run(["pdftotext", "-layout", "-", "-"], input=data, capture_output=True, check=True)
    return found.stdout.decode()


def shown(cell: Cell) -> str:
    """What a spreadsheet shows in a cell, for the formats that a review uses."""
    value, pattern = cell.value, cell.number_format
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        clock = f" {value:%H:%M}" if "hh" in pattern else ""
        weekday = f"{value:%a} " if "ddd" in pattern else ""
        return f"{weekday}{value.day} {value:%b %Y}{clock}"
    if isinstance(value, timedelta | time) or "[h]" in pattern or "[m]" in pattern or "[s]" in pattern:
        if isinstance(value, time):
            value = timedelta(
                hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
            )
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value) * 86_400
        whole = int(seconds + 0.0005)
        if "[s]" in pattern:
            return f"{whole} s"
        return f"{whole // 60} min" if "[m]" in pattern else f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"
    return _number(float(value), pattern)


def _number(value: float, pattern: str) -> str:
    parts = pattern.split(";")
    condition = re.match(r"\[=(\d+)\]", parts[0])
    if condition:
        part, signed = (parts[0][condition.end() :], True) if value == float(condition[1]) else (parts[1], True)
    elif len(parts) > 1:
        part = parts[0] if value > 0 or (value == 0 and len(parts) < 3) else parts[1] if value < 0 else parts[2]
        signed = False
    else:
        part, signed = parts[0], True
    percent = part.replace('"%"', "").replace('" %"', "").rstrip().endswith("%")
    number = abs(value) * (100 if percent else 1)
    places = len(match[1]) if (match := re.search(r"#,##0\.(0+)", part)) else 0
    digits = f"{int(number * 10**places + 0.5 + 1e-7) / 10**places:,.{places}f}"
    text = re.sub(r"#,##0(\.0+)?", digits, part, count=1).replace('"', "").replace("-", "−")
    return f"−{text}" if signed and value < 0 else text


@dataclass
class Node:
    """An element of a PDF's structure tree."""

    kind: str
    alt: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)

    def all(self, *kinds: str) -> list["Node"]:
        """This and all below of these kinds, in reading order."""
        found = [self] if self.kind in kinds else []
        for child in self.children:
            found += child.all(*kinds)
        return found


def structure(pdf: pikepdf.Pdf) -> Node:
    """The structure tree of a tagged PDF."""

    def node(element: Any) -> Node:
        made = Node(str(element.get("/S", "/Root")).lstrip("/"), str(element.get("/Alt", "")))
        attributes = element.get("/A")
        if isinstance(attributes, pikepdf.Dictionary):
            made.attributes = {str(key): value for key, value in attributes.items()}
        kids = element.get("/K")
        listed = kids if isinstance(kids, pikepdf.Array) else [] if kids is None else [kids]
        made.children = [node(kid) for kid in listed if isinstance(kid, pikepdf.Dictionary) and "/S" in kid]
        return made

    return node(pdf.Root.StructTreeRoot)


def _spoken(pack: Pack) -> str:
    """The words of a pack that are no figures: what a person or the calendar wrote, with whatever digits it has."""
    parts = [pack.title, pack.period_title, pack.stamp, *(one.reason for one in pack.revisions)]
    for page in pack.pages:
        parts += [page.title, page.question]
        for section in page.sections:
            parts += [section.title, *(chart.title for chart in section.charts)]
            for sentence in section.sentences:
                parts += [part.text for part in words.parts(sentence, pack.facts) if not part.fact]
    for line in pack.headlines:
        parts += [part.text for part in words.parts(line.sentence, pack.facts) if not part.fact]
    return " ".join(parts)


def missing_figures(pack: Pack, text: str, book: Workbook) -> set[str]:
    """Numbers in a PDF's text that are neither in the spreadsheet, nor written by a person, nor a page's number."""
    said = [shown(cell) for sheet in book for row in sheet.iter_rows() for cell in row]
    known = {number for one in [*said, _spoken(pack)] for number in NUMBER.findall(one)}
    text = re.sub(r"page \d+( of \d+)?|\.{4,}\s*\d+|CO2e?", " ", text)  # footer, contents, a unit
    text = re.sub(
        r"\d[\d,]* of [\d,]+ rows are shown; the spreadsheet has all [\d,]+ rows|Total of [\d,]+|\([\d,]+\s+rows?\)",
        " ",
        text,
    )
    return {number for number in NUMBER.findall(text) if number not in known and number.lstrip("−-") not in known}
