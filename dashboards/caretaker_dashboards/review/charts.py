"""Charts of the review: each draws columns of one table, and reckons nothing.

Small multiples, names beside the lines instead of legends, scales from zero for bars, shades that differ in grey. What
does not fit is cut with an ellipsis; a chart with too many rows draws the first ones and says so. A chart without a
single number is no drawing at all: the page says a sentence instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from caretaker_dashboards.review import words
from caretaker_dashboards.review.canvas import INK, RULE, SHADES, SMALL, SOFT, Canvas, fit, steps, width_of
from caretaker_dashboards.review.pack import Chart, Table, Unit, Value

WIDE, NARROW = 6.85, 3.3
"""Inches: over the whole page, or two beside each other."""

ROWS = 30
"""A drawing with a line for each row has at most so many."""

_FEW_PANELS = 16  # up to so many are four beside each other
_PANELS = 25  # of a heat chart, on one drawing: what fits on a page
_UNDER = 0.46  # inches of a panel of lines that are above and below its scale: room for labels
_LINE = 0.19  # inches from one line of text to the next
_GAP = 0.08
_EDGE = 0.03  # so that no letter touches the border of a drawing
_STEPS = 20  # shades of a heat: a difference of less is not seen
_PALE, _DEEP = (0xEE, 0xF2, 0xF7), (0x12, 0x2B, 0x63)  # a heat's lightest and darkest


@dataclass(frozen=True, slots=True)
class Drawing:
    """One SVG of a chart. `note`: what is not on it; `wide`: it needs the whole width of the page."""

    canvas: Canvas
    note: str = ""
    wide: bool = True

    def svg(self) -> bytes:
        """The same bytes for the same chart."""
        return self.canvas.svg()


@dataclass(frozen=True, slots=True)
class _Series:
    """A column of numbers as it is written on a drawing."""

    title: str
    unit: Unit
    values: list[float | None]
    zone: str
    places: int

    def label(self, value: float, *, bare: bool = False) -> str:
        bare = bare and self.unit is not Unit.RATIO
        return words.text(self.unit, value, zone=self.zone, places=self.places, bare=bare)

    @property
    def known(self) -> list[float]:
        return [value for value in self.values if value is not None]


class _Data:
    """The columns of a table by key."""

    def __init__(self, chart: Chart, table: Table, zone: str) -> None:
        self.chart, self.table, self.zone = chart, table, zone
        self._at = {column.key: number for number, column in enumerate(table.columns)}

    def column(self, key: str) -> list[Value]:
        """The values of a column. Raises KeyError: the table has none of this key."""
        return [row[self._at[key]] for row in self.table.rows]

    def series(self, key: str) -> _Series:
        unit = self.table.columns[self._at[key]].unit
        values = [
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else None
            for value in self.column(key)
        ]
        # Series of one unit stand beside each other: they have the same decimals.
        like = [other for other in self.chart.y if self.table.columns[self._at[other]].unit is unit]
        places = words.digits(unit, [value for other in {key, *like} for value in self.column(other)])
        return _Series(self.table.columns[self._at[key]].title, unit, values, self.zone, places)

    def names(self, key: str, *, short: bool = False) -> list[str]:
        """The values of a column as text; days are `short`: "3 Sep"."""
        unit = self.table.columns[self._at[key]].unit
        names = words.column(unit, self.column(key), self.zone)
        return [name.rsplit(" ", 1)[0] for name in names] if short and unit is Unit.DATE else names

    def bounds(self) -> tuple[list[float | None], list[float | None]]:
        none: list[float | None] = [None] * len(self.table.rows)
        low = self.series(self.chart.low).values if self.chart.low else none
        high = self.series(self.chart.high).values if self.chart.high else none
        return low, high


def draw(chart: Chart, table: Table, zone: str = "UTC", *, narrow: bool = False) -> list[Drawing]:
    """The drawings of a chart; [] if no number is known, or there is nothing but zero to draw bars or shades of.

    Raises KeyError for a column that the table does not have.
    """
    data = _Data(chart, table, zone)
    series = [data.series(key) for key in chart.y]
    if not any(one.known for one in series):
        return []
    low, high = data.bounds()
    if chart.kind in ("bars", "heat") and not any([*(any(one.known) for one in series), *low, *high]):
        return []
    kinds: dict[str, Callable[[_Data, list[_Series], float], list[Drawing]]] = {
        "bars": _bars,
        "lines": _lines,
        "dots": _dots,
        "heat": _heat,
    }
    return kinds[chart.kind](data, series, NARROW if narrow else WIDE)


def can_be_narrow(chart: Chart) -> bool:
    """Whether half a page's width is enough for this kind of chart."""
    return chart.kind in ("bars", "lines")


# --- bars -------------------------------------------------------------------------------------------------------


def _bars(data: _Data, series: list[_Series], width: float) -> list[Drawing]:
    names = data.names(data.chart.x, short=True)
    slot = (width - 1.5) / max(len(names), 1)
    upright = (
        not data.chart.horizontal and len(names) <= 31 and all(width_of(name[:80]) < slot - 0.06 for name in names)
    )
    return [_columns(data, series, names, width) if upright else _lying(data, series, names, width)]


def _top(data: _Data, series: list[_Series], rows: int) -> float:
    sums = [sum(one.values[row] or 0 for one in series) for row in range(rows)]
    highs = [value for value in data.bounds()[1][:rows] if value is not None]
    return max([*sums, *highs, data.chart.target or 0, 0])


def _columns(data: _Data, series: list[_Series], names: list[str], width: float) -> Drawing:
    height, left, bottom, top = 1.9, 0.62, 0.26, 0.2
    named = len(series) > 1
    right = min(1.35, max(width_of(one.title[:60]) for one in series) + 0.14) if named else 0.1
    canvas = Canvas(width, height)
    low, high = data.bounds()
    lowest = min(
        [0.0, *(value for one in series for value in one.known), *(least for least in low if least is not None)]
    )
    scale = steps(lowest, _top(data, series, len(names)) or 1)
    room = height - bottom - top

    def y_of(value: float) -> float:
        return height - bottom - (value - scale[0]) / (scale[-1] - scale[0]) * room

    _scale_left(canvas, series[0], scale, y_of, left, width - right)
    slot = (width - left - right) / len(names)
    thick = min(slot * 0.62, 0.55)
    for row, name in enumerate(names):
        middle, level = left + slot * (row + 0.5), 0.0
        for number, one in enumerate(series):
            value = one.values[row]
            if value is None:
                continue
            start, end = y_of(level), y_of(level + value)
            canvas.box(middle - thick / 2, min(start, end), thick, abs(end - start), SHADES[number % 4], "bar")
            label = one.label(value, bare=True)
            if named and abs(end - start) > 0.15 and width_of(label, 6.5) < thick - 0.03:
                ink = "#ffffff" if number % 4 in (0, 2) else INK
                # off the middle, where the whisker may be
                canvas.text(middle, max(start, end) - 0.09, label, size=6.5, colour=ink, across="center")
            level += value
        least, most = low[row], high[row]
        if least is not None and most is not None:
            _whisker(canvas, middle + thick * 0.36, y_of(least), y_of(most))
        elif not named and series[0].values[row] is not None:
            label = series[0].label(series[0].values[row] or 0, bare=True)
            if width_of(label) < slot - 0.04:
                canvas.text(middle, min(y_of(level), y_of(0)) - 0.08, label, across="center")
        canvas.text(middle, height - 0.1, fit(name, slot), colour=SOFT, across="center")
    if named:
        _names_right(canvas, series, names, y_of, width - right + 0.06, right - 0.06)
    _target(canvas, data, series[0], y_of, left, width - right)
    return Drawing(canvas, wide=width > NARROW)


def _names_right(
    canvas: Canvas,
    series: list[_Series],
    names: list[str],
    y_of: Callable[[float], float],
    x: float,
    room: float,
) -> None:
    """The names of stacked series beside the last bar that has any, each at the height of its part."""
    last = max((row for row in range(len(names)) if any(one.values[row] for one in series)), default=0)
    wanted, level = [], 0.0
    for one in series:
        value = one.values[last] or 0
        wanted.append(y_of(level + value / 2))
        level += value
    for number, (one, y) in enumerate(zip(series, _apart(wanted, 0.14), strict=True)):
        canvas.box(x, y - 0.035, 0.07, 0.07, SHADES[number % 4])
        canvas.text(x + 0.11, y, fit(one.title, room - 0.11))


def _apart(wanted: list[float], least: float) -> list[float]:
    """The heights, moved up (to smaller y) and down as little as needed to stand `least` apart."""
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    found = list(wanted)
    for _ in range(20):
        for above, below in pairwise(order):
            lack = least - (found[below] - found[above])
            if lack > 0:
                found[above] -= lack / 2
                found[below] += lack / 2
    return found


def _lying(data: _Data, series: list[_Series], names: list[str], width: float) -> Drawing:
    shown = min(len(names), ROWS)
    note = f"The first {shown} of {len(names)} are drawn." if shown < len(names) else ""
    labels = [fit(name, width * 0.33) for name in names[:shown]]
    left = max(width_of(label) for label in labels) + _GAP + _EDGE
    named = len(series) > 1
    top, line, thick = (0.26, 0.25, 0.15) if named else (0.06, _LINE, 0.11)
    right = 0.1 if named else max(width_of(one.label(value)) for one in series for value in one.known) + 0.12
    canvas = Canvas(width, top + shown * line + 0.06)
    low, high = data.bounds()
    highest = _top(data, series, shown) or 1
    lowest = min(
        [0.0, *(value for one in series for value in one.known), *(least for least in low if least is not None)]
    )
    room = width - left - right

    def x_of(value: float) -> float:
        return left + (value - lowest) / ((highest - lowest) or 1) * room

    if named:
        x = left
        for number, one in enumerate(series):
            title = fit(one.title, (width - left) / len(series) - 0.25)
            canvas.box(x, 0.065, 0.08, 0.08, SHADES[number % 4])
            canvas.text(x + 0.12, 0.105, title)
            x += width_of(title) + 0.3
    canvas.line([x_of(0)] * 2, [top - 0.02, top + shown * line + 0.02], SOFT, 0.6, over=True)
    for row, label in enumerate(labels):
        y, level = top + line * (row + 0.5), 0.0
        canvas.text(left - _GAP, y, label, across="right")
        for number, one in enumerate(series):
            value = one.values[row]
            if value is not None:
                x, long = min(x_of(level), x_of(level + value)), abs(x_of(level + value) - x_of(level))
                canvas.box(x, y - thick / 2, long, thick, SHADES[number % 4], "bar")
                text = one.label(value, bare=True)
                if named and width_of(text, 6.5) < long - 0.05:
                    ink = "#ffffff" if number % 4 in (0, 2) else INK
                    canvas.text(x + long / 2, y, text, size=6.5, colour=ink, across="center")
                level += value
        least, most = low[row], high[row]
        end = x_of(level)
        if least is not None and most is not None:
            under = y + thick / 2 + 0.03 if named else y
            canvas.line([x_of(least), x_of(most)], [under, under], INK, 0.9, over=True)
            end = max(end, x_of(most))
        if not named:
            value = series[0].values[row]
            text = series[0].label(value) if value is not None else words.NONE
            canvas.text(max(end, x_of(0)) + 0.05, y, text, colour=INK if value is not None else SOFT)
    return Drawing(canvas, note, wide=width > NARROW)


def _whisker(canvas: Canvas, x: float, low: float, high: float) -> None:
    canvas.line([x, x], [low, high], INK, 0.8, over=True)
    for y in (low, high):
        canvas.line([x - 0.025, x + 0.025], [y, y], INK, 0.8, over=True)


def _scale_left(
    canvas: Canvas, series: _Series, scale: list[float], y_of: Callable[[float], float], left: float, right: float
) -> None:
    """Numbers and thin lines of a scale; the unit stands at the topmost."""
    places = next((many for many in range(4) if all(abs(round(v, many) - v) < 1e-9 for v in scale)), 4)
    if series.unit is Unit.RATIO:
        places = max(places - 2, 0)
    for value in scale:
        top = value == scale[-1]
        text = words.text(series.unit, value, places=places, bare=not top)
        if series.unit is Unit.POINTS and top:
            text = text.removesuffix(" points")
        canvas.line([left, right], [y_of(value)] * 2, SOFT if value == 0 else RULE, 0.6)
        canvas.text(left - 0.05, y_of(value), fit(text, left - 0.06), colour=SOFT, across="right")


def _target(
    canvas: Canvas, data: _Data, series: _Series, y_of: Callable[[float], float], left: float, right: float
) -> None:
    if data.chart.target is not None:
        y = y_of(data.chart.target)
        canvas.line([left, right], [y, y], INK, 0.8, "dashed", over=True)


# --- lines ------------------------------------------------------------------------------------------------------


def _lines(data: _Data, series: list[_Series], width: float) -> list[Drawing]:
    """A panel for each series, above each other, with one row of names below."""
    drawn = [one for one in series if one.known]
    names = data.names(data.chart.x, short=True)
    each, bottom = (1.75 if len(drawn) == 1 else 1.25), 0.24
    canvas = Canvas(width, each * len(drawn) + bottom)
    left = 0.62
    target = f"target {drawn[0].label(data.chart.target)}" if data.chart.target is not None else ""
    right = max(0.12, width_of(target) + 0.12 if target else 0)
    inner = width - left - right

    def x_of(row: int) -> float:
        return left + 0.12 + (inner - 0.24) * (row / (len(names) - 1) if len(names) > 1 else 0.5)

    for number, one in enumerate(drawn):
        _panel(canvas, data, one, number * each, each, x_of, left, width - right, titled=len(drawn) > 1)
    if target:
        low, high = _line_range(data, drawn[0])
        share = (data.chart.target or 0) - low
        y = 0.26 + (each - _UNDER) * (1 - share / (high - low))
        canvas.text(width - right + 0.05, y, target, colour=INK)
    labels = [fit(name, min(1.4, width / 3)) for name in names]
    widest = max(width_of(label) for label in labels) + 0.12
    every = next((many for many in range(1, len(names)) if x_of(many) - x_of(0) >= widest), len(names))
    taken = 0.0
    for row in range(0, len(names), every):
        half = width_of(labels[row]) / 2
        x = min(max(x_of(row), half + _EDGE), width - half - _EDGE)
        if x - half > taken:
            canvas.text(x, canvas.height - 0.1, labels[row], colour=SOFT, across="center")
            taken = x + half + 0.06
    return [Drawing(canvas, wide=width > NARROW)]


def _line_range(data: _Data, one: _Series) -> tuple[float, float]:
    bounds = [*one.known]
    if data.chart.target is not None:
        bounds.append(data.chart.target)
    least, most = min(bounds), max(bounds)
    # A count or a sum begins at zero; shares that move between 98 and 100 would be a flat line there.
    if one.unit not in (Unit.PERCENT, Unit.NUMBER) and least > 0:
        least = 0.0
    scale = steps(least, most, 3)
    high = min(scale[-1], 100.0) if one.unit is Unit.PERCENT and most <= 100 else scale[-1]
    return scale[0], max(high, scale[0] + 1e-9)


def _panel(
    canvas: Canvas,
    data: _Data,
    one: _Series,
    top: float,
    each: float,
    x_of: Callable[[int], float],
    left: float,
    right: float,
    *,
    titled: bool,
) -> None:
    low, high = _line_range(data, one)
    scale = [value for value in steps(low, high, 3) if low - 1e-9 <= value <= high + 1e-9]

    def y_of(value: float) -> float:
        return top + 0.26 + (each - _UNDER) * (1 - (value - low) / (high - low))

    _scale_left(canvas, one, scale, y_of, left, right)
    if titled:
        canvas.text(left, top + 0.09, fit(one.title, right - left, bold=True), bold=True)
    if data.chart.target is not None:
        canvas.line([left, right], [y_of(data.chart.target)] * 2, INK, 0.8, "dashed")
    run: list[int] = []
    for row, value in enumerate([*one.values, None]):
        if value is not None:
            run.append(row)
            continue
        if run:
            xs, ys = [x_of(each_row) for each_row in run], [y_of(one.values[each_row] or 0) for each_row in run]
            canvas.line(xs, ys, SHADES[0], 1.6, over=True)
            canvas.dots(xs, ys, SHADES[0], 2.6 if len(one.known) > 8 else 4)
        run = []
    _labels(canvas, one, x_of, y_of, left, right, targeted=data.chart.target is not None)


def _labels(
    canvas: Canvas,
    one: _Series,
    x_of: Callable[[int], float],
    y_of: Callable[[float], float],
    left: float,
    right: float,
    *,
    targeted: bool,
) -> None:
    """Every value where there are few, else the lowest where a target is set, or the newest."""
    rows = [row for row, value in enumerate(one.values) if value is not None]
    few = len(rows) <= 6
    lowest = min(rows, key=lambda row: (one.values[row] or 0, row))
    taken: list[tuple[float, float, float, float]] = []
    for row in rows if few else (lowest,) if targeted else rows[-1:]:
        value = one.values[row] or 0
        text = one.label(value)
        half = width_of(text) / 2 + 0.02
        x = min(max(x_of(row), left + half + 0.02), right - half)
        y = y_of(value) + (0.13 if targeted and not few else -0.12)
        place = (x - half, x + half, y - 0.06, y + 0.06)
        if any(place[0] < b and a < place[1] and place[2] < d and c < place[3] for a, b, c, d in taken):
            continue
        taken.append(place)
        canvas.text(x, y, text, across="center")


# --- dots -------------------------------------------------------------------------------------------------------


def _dots(data: _Data, series: list[_Series], width: float) -> list[Drawing]:
    one, names = series[0], data.names(data.chart.x)
    shown = min(len(names), ROWS)
    note = f"The first {shown} of {len(names)} are drawn." if shown < len(names) else ""
    ours = [bool(value) for value in data.column(data.chart.mark)] if data.chart.mark else [False] * len(names)
    low, high = data.bounds()
    labels = [fit(name, width * 0.3, bold=mine) for name, mine in zip(names[:shown], ours, strict=False)]
    left = max(width_of(label, bold=mine) for label, mine in zip(labels, ours, strict=False)) + _GAP + _EDGE
    texts = [one.label(value) if value is not None else words.NONE for value in one.values[:shown]]
    right = max(width_of(text, bold=True) for text in texts) + _GAP
    top, bottom = (0.22 if data.chart.target is not None else 0.08), 0.26
    canvas = Canvas(width, top + shown * _LINE + bottom)
    bounds = [
        value for column in (one.values[:shown], low[:shown], high[:shown]) for value in column if value is not None
    ] or [0.0]
    if data.chart.target is not None:
        bounds.append(data.chart.target)
    scale = steps(min(bounds), max(bounds))
    room = width - left - right - 0.3

    def x_of(value: float) -> float:
        return left + 0.15 + (value - scale[0]) / (scale[-1] - scale[0]) * room

    floor = top + shown * _LINE
    places = next((many for many in range(4) if all(abs(round(v, many) - v) < 1e-9 for v in scale)), 4)
    taken = width + 1.0
    for tick in reversed(scale):  # the last first: it has the unit
        if one.unit is Unit.PERCENT and tick > 100:
            continue
        canvas.line([x_of(tick)] * 2, [top, floor + 0.03], RULE)
        text = words.text(one.unit, tick, places=0 if one.unit is Unit.RATIO else places, bare=taken < width)
        half = width_of(text) / 2
        x = min(x_of(tick), width - half - _EDGE)
        if x + half < taken and x - half > 0:
            canvas.text(x, floor + 0.14, text, colour=SOFT, across="center")
            taken = x - half - 0.06
    if data.chart.target is not None:
        x = x_of(data.chart.target)
        canvas.line([x, x], [top, floor], INK, 0.8, "dashed")
        text = f"target {one.label(data.chart.target)}"
        half = width_of(text) / 2
        canvas.text(min(max(x, half), width - half), 0.1, text, across="center")
    for row, label in enumerate(labels):
        y, mine, value = top + _LINE * (row + 0.5), ours[row], one.values[row]
        colour = SHADES[0] if mine else SOFT
        canvas.text(left - _GAP, y, label, across="right", bold=mine)
        least, most = low[row], high[row]
        if least is not None and most is not None:
            canvas.line([x_of(least), x_of(most)], [y, y], colour, 1.6 if mine else 0.9, over=True)
        if value is not None:
            canvas.dots([x_of(value)], [y], colour, 6 if mine else 4.5, "D" if mine else "o", hollow=not mine)
        canvas.text(width - _EDGE, y, texts[row], across="right", bold=mine)
    return [Drawing(canvas, note)]


# --- heat -------------------------------------------------------------------------------------------------------


def _heat(data: _Data, series: list[_Series], width: float) -> list[Drawing]:
    one = series[0]
    across = list(dict.fromkeys(data.names(data.chart.x)))
    down = list(dict.fromkeys(data.names(data.chart.by))) if data.chart.by else [""]
    splits = data.names(data.chart.split) if data.chart.split else [""] * len(one.values)
    rows = zip(splits, data.names(data.chart.x), data.names(data.chart.by) if data.chart.by else splits, strict=True)
    values: dict[str, dict[tuple[str, str], float | None]] = {}
    for (split, x, y), value in zip(rows, one.values, strict=True):
        values.setdefault(split, {})[x, y if data.chart.by else ""] = value
    known = [name for name, cells in values.items() if any(value is not None for value in cells.values())]
    full = 1.0 if one.unit is Unit.RATIO else 100.0 if one.unit is Unit.PERCENT else max(one.known) or 1.0
    drawings = []
    for start in range(0, len(known), _PANELS):
        part = known[start : start + _PANELS]
        canvas = _heat_sheet(one, part, values, across, down, full, width)
        note = f"{start + 1} to {start + len(part)} of {len(known)}." if len(known) > _PANELS else ""
        drawings.append(Drawing(canvas, note))
    return drawings


def _heat_sheet(
    one: _Series,
    part: list[str],
    values: dict[str, dict[tuple[str, str], float | None]],
    across: list[str],
    down: list[str],
    full: float,
    width: float,
) -> Canvas:
    many = 5 if len(part) > _FEW_PANELS else 4 if len(part) > 2 else max(len(part), 1)
    left = min(max(width_of(name[:40]) for name in down) + 0.06, 0.9)
    panel = (width - left - 0.12 * (many - 1)) / max(many, 3)
    cell_w, cell_h = panel / len(across), min(0.125, 1.6 / len(down))
    tall = 0.2 + cell_h * len(down) + 0.27
    lines = -(-len(part) // many)
    canvas = Canvas(width, tall * lines + 0.2)
    places, colours = [], []
    for number, split in enumerate(part):
        x0, y0 = left + (number % many) * (panel + 0.12), (number // many) * tall
        if split:
            canvas.text(x0, y0 + 0.1, fit(split, panel, bold=True), bold=True)
        for row, y_name in enumerate(down):
            for at, x_name in enumerate(across):
                used = values[split].get((x_name, y_name))
                if used is not None:
                    places.append((x0 + at * cell_w, y0 + 0.2 + row * cell_h))
                    colours.append(_shade(used / full))
        if number % many == 0 and any(down):
            for row, y_name in enumerate(down):
                y = y0 + 0.2 + cell_h * (row + 0.5)
                canvas.text(left - 0.05, y, fit(y_name, left - 0.05, 6), size=6, colour=SOFT, across="right")
        _hours(canvas, across, x0, y0 + 0.2 + cell_h * len(down) + 0.08, cell_w)
    canvas.boxes(places, cell_w - 0.012, cell_h - 0.012, colours)
    _key(canvas, one, full, left, canvas.height - 0.1)
    return canvas


def _hours(canvas: Canvas, across: Sequence[str], x0: float, y: float, cell: float) -> None:
    """The names below a panel, as many as fit."""
    every, widest = 1, max(width_of(name[:40], 6) for name in across) + 0.05
    while every < len(across) and cell * every < widest:
        every += 1
    for at in range(0, len(across), every):
        name = fit(across[at], max(widest, cell), 6)
        canvas.text(x0 + at * cell + cell / 2, y, name, size=6, colour=SOFT, across="center")


def _key(canvas: Canvas, one: _Series, full: float, x: float, y: float) -> None:
    """What the shades say, from none to all."""
    places = words.digits(one.unit, [full])
    low, high = (words.text(one.unit, value, places=places) for value in (0.0, full))
    canvas.text(x, y, low, colour=SOFT)
    x += width_of(low) + 0.06
    for number in range(5):
        canvas.box(x + number * 0.2, y - 0.045, 0.19, 0.09, _shade(number / 4))
    canvas.text(x + 1.05, y, f"{high} · blank: not known", colour=SOFT)


def _shade(share: float) -> str:
    share = round(min(max(share, 0.0), 1.0) * _STEPS) / _STEPS
    mixed = (round(pale + (deep - pale) * share) for pale, deep in zip(_PALE, _DEEP, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


__all__ = ["NARROW", "ROWS", "SMALL", "WIDE", "Drawing", "can_be_narrow", "draw"]
