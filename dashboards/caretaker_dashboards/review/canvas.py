"""A sheet to draw a chart on, in inches from its top left corner; matplotlib makes an SVG of it.

One plain pair of axes without ticks of their own: what stands where is reckoned by `charts.py`, which knows how wide
each text is. That is quick (a chart takes a few hundredths of a second), and lets a test look for texts that overlap.
matplotlib is loaded when the first chart is drawn. Texts stay texts, in the font of the page: crisp on paper, and quick
for WeasyPrint. Where a browser has no DejaVu Sans, what it takes instead is no wider, so nothing comes to overlap.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from caretaker_dashboards.review import words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, RULE = "#1b2430", "#565f6b", "#d5dae1"
SHADES = ("#173475", "#8fb4e3", "#4f78b8", "#c9d3df")
"""Of the first, second, third and fourth series: neighbours differ in lightness, so a grey print tells them apart."""

SMALL = 7.0  # points
_FONTS = b"'DejaVu Sans', Verdana, sans-serif"
_TOFU = "\N{WHITE SQUARE}"


@cache
def _text_to_path() -> Any:
    import matplotlib

    matplotlib.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            "svg.fonttype": "none",
            "svg.hashsalt": "caretaker",
            "text.parse_math": False,  # a room may be called "$x$"
            "path.simplify": False,
        }
    )
    from matplotlib.textpath import text_to_path

    return text_to_path


@cache
def _font(size: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")


@cache
def _letters(bold: bool) -> Any:
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont(_font(SMALL, bold)))


def drawable(name: str) -> str:
    """A name with the letters that the font has; a square stands for each other one."""
    _text_to_path()
    font = _letters(False)
    return "".join(letter if font.get_char_index(ord(letter)) else _TOFU for letter in words.clean(name))


@cache
def width_of(name: str, size: float = SMALL, bold: bool = False) -> float:
    """How wide a text is, in inches."""
    return float(_text_to_path().get_text_width_height_descent(name, _font(size, bold), False)[0]) / 72


def fit(name: str, width: float, size: float = SMALL, bold: bool = False) -> str:
    """The name, cut with an ellipsis to what fits into the width."""
    name = drawable(name)
    if len(name) <= 400 and width_of(name, size, bold) <= width:
        return name
    low, high = 0, min(len(name), 400)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(name[:middle].rstrip() + "…", size, bold) <= width:
            low = middle
        else:
            high = middle - 1
    return name[:low].rstrip() + "…"


def steps(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers from at most `low` to at least `high`, for a scale."""
    if high <= low:
        high = low + (abs(low) or 1)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


class Canvas:
    """A drawing of `width` by `height` inches; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        _text_to_path()
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width, height), facecolor="none")
        FigureCanvasSVG(self.figure)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._axes.set_axis_off()

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = SMALL,
        bold: bool = False,
        colour: str = INK,
        across: Literal["left", "center", "right"] = "left",
        along: Literal["top", "center", "baseline"] = "center",
    ) -> None:
        """A line of text with its anchor at x, y."""
        self._axes.text(
            x,
            y,
            text,
            fontproperties=_font(size, bold),
            color=colour,
            ha=across,
            va="center_baseline" if along == "center" else along,
            zorder=5,
        )

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, name: str = "", over: bool = False
    ) -> None:
        """A filled rectangle; `name` is its id for tests; `over`: on top of lines, below texts."""
        from matplotlib.patches import Rectangle

        box = Rectangle(
            (x, y), width, height, facecolor=colour, linewidth=0, edgecolor="none", zorder=4.5 if over else 1
        )
        box.set_gid(name or None)
        self._axes.add_patch(box)

    def boxes(self, places: Sequence[tuple[float, float]], width: float, height: float, colours: Sequence[str]) -> None:
        """Many rectangles of one size, each with its colour: one shape for each colour, as what draws it is slow."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        by_colour: dict[str, list[tuple[float, float]]] = {}
        for (x, y), colour in zip(places, colours, strict=True):
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
            by_colour.setdefault(colour, []).extend(corners)
        codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
        for colour, points in by_colour.items():
            shape = Path(points, codes * (len(points) // 5))
            self._axes.add_patch(PathPatch(shape, facecolor=colour, linewidth=0, edgecolor="none"))

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str = RULE,
        width: float = 0.6,
        dash: Literal["solid", "dashed", "dotted"] = "solid",
        over: bool = False,
    ) -> None:
        """A line through points; `over`: on top of boxes."""
        from matplotlib.lines import Line2D

        self._axes.add_line(
            Line2D(
                list(xs),
                list(ys),
                color=colour,
                linewidth=width,
                linestyle=dash,
                zorder=3 if over else 0.5,
                solid_capstyle="butt",
            )
        )

    def dots(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str,
        size: float = 4,
        shape: str = "o",
        hollow: bool = False,
    ) -> None:
        """Marks at points."""
        from matplotlib.lines import Line2D

        self._axes.add_line(
            Line2D(
                list(xs),
                list(ys),
                linestyle="none",
                marker=shape,
                markersize=size,
                markerfacecolor="white" if hollow else colour,
                markeredgecolor=colour,
                markeredgewidth=1,
                zorder=4,
            )
        )

    def svg(self) -> bytes:
        """The drawing as SVG: the same bytes for the same drawing."""
        out = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(out, format="svg", metadata=nothing, transparent=True)
        # matplotlib names one font, which a reader may not have.
        return re.sub(rb"\n *", b"\n", out.getvalue()).replace(b"'DejaVu Sans'", _FONTS)
