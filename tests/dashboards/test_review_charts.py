"""Charts: the same each time, bars from zero, nothing on top of something else, and none without data."""

from itertools import combinations, pairwise

import matplotlib
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from caretaker_dashboards.review import charts, words
from caretaker_dashboards.review.canvas import SHADES, Canvas, fit, steps, width_of
from caretaker_dashboards.review.pack import Chart, Column, Pack, Table, Unit, Value
from review_packs import HOSTILE, PACKS

RENDERER = RendererAgg(100, 100, 100)  # asked how large texts are; nothing is drawn on it


def table(rows: list[list[Value]], *units: Unit) -> Table:
    columns = [Column(key="x", title="Name")]
    columns += [Column(key=f"y{number}", title=f"Series {number}", unit=unit) for number, unit in enumerate(units)]
    return Table(name="T", title="T", columns=columns, rows=rows)


def chart(kind: str, *y: str, **more: object) -> Chart:
    return Chart(kind=kind, title="C", table="T", x="x", y=list(y) or ["y0"], alt="A", **more)  # type: ignore[arg-type]


def drawings(pack: Pack, *, narrow: bool) -> list[charts.Drawing]:
    tables = {one.name: one for page in pack.pages for section in page.sections for one in section.tables}
    found = []
    for page in pack.pages:
        for section in page.sections:
            for one in section.charts:
                half = narrow and charts.can_be_narrow(one)
                found += charts.draw(one, tables[one.table], pack.zone, narrow=half)
    return found


def texts(canvas: Canvas) -> list[tuple[Text, tuple[float, float, float, float]]]:
    """Each text with its box in inches: left, right, top, bottom; letters, not the line's full height."""
    found = []
    matplotlib.rcParams["text.hinting"] = "none"  # outlines are not fitted to pixels
    for text in canvas.figure.axes[0].texts:
        box = text.get_window_extent(RENDERER).transformed(canvas.figure.dpi_scale_trans.inverted())
        found.append((text, (box.x0, box.x1, box.y0, box.y1)))
    return found


def overlaps(canvas: Canvas) -> list[str]:
    """Pairs of texts that lie on each other by more than a hair, and texts that leave the drawing."""
    wrong = []
    placed = texts(canvas)
    for (one, a), (other, b) in combinations(placed, 2):
        if min(a[1], b[1]) - max(a[0], b[0]) > 0.015 and min(a[3], b[3]) - max(a[2], b[2]) > 0.025:
            wrong.append(f"{one.get_text()!r} lies on {other.get_text()!r}")
    for text, box in placed:
        if box[0] < -0.02 or box[1] > canvas.width + 0.02 or box[2] < -0.03 or box[3] > canvas.height + 0.03:
            wrong.append(f"{text.get_text()!r} leaves the drawing: {[round(side, 2) for side in box]}")
    return wrong


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("narrow", [False, True])
def test_no_text_of_any_sample_lies_on_another_or_leaves_the_drawing(name: str, narrow: bool) -> None:
    found = drawings(PACKS[name](), narrow=narrow)
    assert found or name == "empty"
    assert [wrong for drawing in found for wrong in overlaps(drawing.canvas)] == []


@pytest.mark.parametrize("kind", ["bars", "lines", "dots"])
@pytest.mark.parametrize("count", [1, 5, 12, 31, 200])
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_any_number_of_rows_and_any_length_of_name_fits(kind: str, count: int, long: bool, narrow: bool) -> None:
    name = "a room with a name that somebody made up on a Friday " * 6 if long else "room"
    rows: list[list[Value]] = [
        [f"{number} {name}", 1_000.0 + number * 17.3, 12.5 + number % 7, 900.0, 1_300.0] for number in range(count)
    ]
    made = table(rows, Unit.KWH, Unit.KWH, Unit.KWH, Unit.KWH)
    for one in (chart(kind, "y0"), chart(kind, "y0", "y1", low="y2", high="y3"), chart(kind, "y0", target=1_100.0)):
        for drawing in charts.draw(one, made, narrow=narrow):
            assert overlaps(drawing.canvas) == []
            assert drawing.canvas.height <= 9.5, "a drawing must fit on a page"


def test_too_many_rows_are_drawn_in_part_and_it_says_so() -> None:
    made = table([[f"room {number}", float(number)] for number in range(45)], Unit.KWH)
    (drawing,) = charts.draw(chart("bars", horizontal=True), made)
    assert drawing.note == "The first 30 of 45 are drawn."


@pytest.mark.parametrize("horizontal", [False, True])
def test_bars_begin_at_zero_and_are_as_long_as_their_values(horizontal: bool) -> None:
    made = table([["a", 100.0], ["b", 101.0], ["c", 50.0]], Unit.KWH)
    (drawing,) = charts.draw(chart("bars", horizontal=horizontal), made)
    bars = [patch for patch in drawing.canvas.figure.axes[0].patches if patch.get_gid() == "bar"]
    assert all(isinstance(bar, Rectangle) for bar in bars)
    sizes = [bar.get_width() if horizontal else bar.get_height() for bar in bars if isinstance(bar, Rectangle)]
    starts = {
        round(bar.get_x() if horizontal else bar.get_y() + bar.get_height(), 6)
        for bar in bars
        if isinstance(bar, Rectangle)
    }
    assert len(starts) == 1
    (start,) = starts
    assert start > 0.1 if horizontal else start < drawing.canvas.height - 0.2, "zero is on the drawing"
    assert sizes[0] / sizes[2] == pytest.approx(2)
    assert sizes[1] / sizes[0] == pytest.approx(1.01)


def test_stacked_bars_stand_on_each_other_and_differ_in_grey() -> None:
    made = table([["a", 100.0, 40.0]], Unit.KWH, Unit.KWH)
    (drawing,) = charts.draw(chart("bars", "y0", "y1"), made)
    lower, upper = [patch for patch in drawing.canvas.figure.axes[0].patches if patch.get_gid() == "bar"]
    assert isinstance(lower, Rectangle) and isinstance(upper, Rectangle)
    assert upper.get_y() + upper.get_height() == pytest.approx(lower.get_y())
    for one, other in pairwise(SHADES):
        assert abs(lightness(one) - lightness(other)) > 20


def lightness(colour: str) -> float:
    """Grey of a colour in percent, as a printer without colour makes it."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 2.55


@pytest.mark.parametrize("rows", [[], [["a", None]], [["a", float("nan")], ["b", float("inf")]], [["a", "text"]]])
@pytest.mark.parametrize("kind", ["bars", "lines", "dots", "heat"])
def test_no_chart_is_drawn_without_a_number(kind: str, rows: list[list[Value]]) -> None:
    assert charts.draw(chart(kind), table(rows, Unit.KWH)) == []


@pytest.mark.parametrize("kind", ["bars", "lines", "dots", "heat"])
@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e12])
def test_odd_numbers_are_drawn(kind: str, value: float) -> None:
    made = table([["a", value], ["b", None], ["c", float("nan")]], Unit.NUMBER)
    drawn = charts.draw(chart(kind), made)
    assert [overlaps(drawing.canvas) for drawing in drawn] == [[]] * (value != 0 or kind in ("lines", "dots"))


def test_the_same_chart_is_the_same_bytes() -> None:
    one, other = ([drawing.svg() for drawing in drawings(PACKS["full"](), narrow=True)] for _ in range(2))
    assert one == other
    assert b"<dc:date>" not in b"".join(one)


@pytest.mark.parametrize("kind", ["bars", "lines", "dots"])
def test_figures_on_a_drawing_are_those_of_its_table_or_of_its_scale(kind: str) -> None:
    values = [1234.5, 880.25, 401.0]
    made = table([["a", values[0]], ["b", values[1]], ["c", values[2]]], Unit.KWH)
    (drawing,) = charts.draw(chart(kind), made)
    written = {text.get_text() for text in drawing.canvas.figure.axes[0].texts} - {"a", "b", "c"}
    labels = {words.text(Unit.KWH, value, places=0) for value in values}
    bare = {words.text(Unit.KWH, value, places=0, bare=True) for value in values}
    assert labels <= written or bare <= written
    assert all(float(text.split()[0].replace(",", "")) % 50 == 0 for text in written - labels - bare)


def test_a_drawing_refers_to_nothing_outside_and_runs_nothing() -> None:
    for drawing in drawings(PACKS["hostile"](), narrow=False):
        svg = drawing.svg().decode()
        assert "<script" not in svg and "<img" not in svg and "<image" not in svg and "<!--" not in svg
        assert 'href="http' not in svg


def test_hostile_names_are_cut_to_what_fits() -> None:
    for name in HOSTILE:
        assert width_of(fit(name, 1.0)) <= 1.0


def test_a_heat_chart_with_many_rooms_is_cut_into_pages() -> None:
    rows: list[list[Value]] = [
        [f"{hour:02d}", 0.5, weekday, f"room {room}"]
        for room in range(45)
        for weekday in ("Mon", "Tue")
        for hour in range(9)
    ]
    columns = [
        Column(key="x", title="Hour"),
        Column(key="y0", title="Used", unit=Unit.RATIO),
        Column(key="day", title="Day"),
        Column(key="room", title="Room"),
    ]
    made = Table(name="T", title="T", columns=columns, rows=rows)
    found = charts.draw(chart("heat", by="day", split="room"), made)
    assert [drawing.note for drawing in found] == ["1 to 25 of 45.", "26 to 45 of 45."]
    assert all(drawing.canvas.height < 9.5 for drawing in found)


def test_a_scale_is_made_of_round_numbers_around_its_values() -> None:
    assert steps(0, 368) == [0, 100, 200, 300, 400]
    assert steps(98.98, 99.82) == [98.75, 99.0, 99.25, 99.5, 99.75, 100.0]
    assert steps(5, 5)[0] <= 5 <= steps(5, 5)[-1]
