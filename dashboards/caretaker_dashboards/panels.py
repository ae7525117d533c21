"""From our description of a panel to grafanalib's, with the options that each kind of panel has today."""

from typing import Any

from grafanalib import core, influxdb

from caretaker_dashboards.describe import SCHEMA_NAMES, Column, Kind, Panel, Question, Unit

SOURCE = {"type": "influxdb", "uid": "${source}"}
"""The data source: a variable, so that a board fits any Grafana."""
_CLASSES: dict[Kind, type[core.Panel]] = {
    Kind.STAT: core.Stat,
    Kind.TABLE: core.Table,
    Kind.LINES: core.TimeSeries,
    Kind.STATES: core.StateTimeline,
    Kind.GAUGES: core.BarGauge,
    Kind.BARS: core.BarChart,
    Kind.TEXT: core.Text,
}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_TOOLTIP = {"mode": "multi", "sort": "none"}
OPTIONS: dict[Kind, dict[str, Any]] = {
    Kind.STAT: {
        "colorMode": "background_solid",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": _REDUCE,
        "showPercentChange": False,
        "textMode": "value_and_name",
        "wideLayout": True,
    },
    Kind.TABLE: {"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
    Kind.LINES: {"legend": _LEGEND, "tooltip": _TOOLTIP},
    Kind.STATES: {
        "alignValue": "left",
        "legend": _LEGEND,
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    },
    Kind.GAUGES: {
        "displayMode": "basic",
        "legend": {**_LEGEND, "showLegend": False},
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": "horizontal",
        "reduceOptions": _REDUCE,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    },
    Kind.BARS: {
        "barRadius": 0,
        "barWidth": 0.8,
        "fullHighlight": False,
        "groupWidth": 0.7,
        "legend": _LEGEND,
        "orientation": "horizontal",
        "showValue": "auto",
        "stacking": "none",
        "tooltip": _TOOLTIP,
        "xTickLabelMaxLength": 0,
        "xTickLabelRotation": 0,
        "xTickLabelSpacing": 0,
    },
    Kind.TEXT: {"mode": "markdown", "content": ""},
}
_AXIS = {"axisPlacement": "auto", "axisLabel": "", "scaleDistribution": {"type": "linear"}}
_HIDE_FROM = {"legend": False, "tooltip": False, "viz": False}
CUSTOM: dict[Kind, dict[str, Any]] = {
    Kind.TABLE: {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
    Kind.LINES: {
        **_AXIS,
        "drawStyle": "line",
        "lineInterpolation": "stepAfter",
        "lineWidth": 2,
        "fillOpacity": 0,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "hideFrom": _HIDE_FROM,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": "off"},
    },
    Kind.STATES: {"fillOpacity": 100, "lineWidth": 0, "hideFrom": _HIDE_FROM},
    Kind.BARS: {
        **_AXIS,
        "fillOpacity": 100,
        "gradientMode": "none",
        "lineWidth": 0,
        "hideFrom": _HIDE_FROM,
        "thresholdsStyle": {"mode": "off"},
    },
}
"""What a kind of panel keeps for each field."""


def build(panel: Panel, number: int, x: int, y: int) -> core.Panel:
    """grafanalib's panel at a place of the grid, 24 columns wide."""
    extra: dict[str, Any] = {
        "options": _options(panel),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "transformations": [step for question in panel.questions for step in question.after] + _left_out(panel),
    }
    given = {
        "id": number,
        "title": panel.title,
        "description": describe(panel),
        "gridPos": core.GridPos(h=panel.height, w=panel.width, x=x, y=y),
        "targets": [_target(question, index) for index, question in enumerate(panel.questions)],
        "dataSource": None if panel.kind is Kind.TEXT else SOURCE,
        "timeFrom": panel.time_from or None,
        "maxDataPoints": None,
        "extraJson": extra,
    }
    if panel.kind is Kind.TEXT:
        given["content"] = panel.text
    return _CLASSES[panel.kind](**given)


def describe(panel: Panel) -> str:
    """What it shows, and what to do when it is red."""
    return f"{panel.says} When red: {panel.when_red}" if panel.when_red else panel.says


def _left_out(panel: Panel) -> list[dict[str, Any]]:
    """Columns that the answer has and nobody is to see; the way that every version of Grafana knows."""
    hidden = {column.name: True for column in panel.columns if column.hidden}
    if not hidden or any(question.after for question in panel.questions):
        return []
    return [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}}]


def _target(question: Question, index: int) -> influxdb.InfluxDBTarget:
    return influxdb.InfluxDBTarget(
        query=question.text,
        alias=question.alias,
        format="table" if question.table else "time_series",
        datasource=SOURCE,
        refId="ABCDEFGH"[index],
    )


def _options(panel: Panel) -> dict[str, Any]:
    options = {**OPTIONS[panel.kind], **panel.options}
    if panel.kind is Kind.STAT and not any(column.steps or column.colour for column in panel.columns):
        options["colorMode"] = "none"  # nothing is good or bad here
    if panel.kind is Kind.BARS and panel.stacked:
        options["stacking"] = "normal"
    if panel.kind is Kind.BARS:
        options["xField"] = next(column.name for column in panel.columns if column.unit is Unit.WORD)
    if panel.kind is Kind.TEXT:
        options["content"] = panel.text
    return options


def _custom(panel: Panel) -> dict[str, Any]:
    custom = dict(CUSTOM.get(panel.kind, {}))
    if panel.kind is Kind.LINES and panel.stacked:
        custom["stacking"] = {"group": "A", "mode": "normal"}
        custom["fillOpacity"] = 80
    if panel.kind is Kind.LINES and panel.bars:
        custom |= {"drawStyle": "bars", "fillOpacity": 90, "lineWidth": 0}
    return custom | panel.custom


def _defaults(panel: Panel) -> dict[str, Any]:
    """What holds for every field: that of the only column, where there is but one."""
    shown = [column for column in panel.columns if not column.hidden]
    values = [column for column in shown if column.unit is not Unit.WORD] or shown
    defaults: dict[str, Any] = {
        "custom": _custom(panel),
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": [{"color": "text", "value": None}]},
        "color": {"mode": "palette-classic" if panel.kind in (Kind.LINES, Kind.BARS) else "thresholds"},
    }
    if panel.question is not None:
        defaults["noValue"] = panel.question.empty
    if not values:
        return defaults
    units = {column.unit for column in values}
    defaults["unit"] = values[0].unit.value if len(units) == 1 else Unit.NONE.value
    if len(values) == 1:
        # Series made of one column are called after their alias, so what it is holds for all of them.
        for key, value in _properties(panel, values[0]):
            if key not in ("displayName", "noValue"):
                _put(defaults, key, value)
    return defaults


def _put(defaults: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith("custom."):
        defaults["custom"] = {**defaults["custom"], key.removeprefix("custom."): value}
    else:
        defaults[key] = value


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    made = []
    for column in panel.columns:
        if column.hidden or (len(panel.columns) == 1 and "$tag" in panel.questions[0].alias):
            continue  # a series for each tag: what it is stands in the defaults
        properties = [{"id": key, "value": value} for key, value in _properties(panel, column)]
        # A table calls it by its name; Grafana's series are called after the alias, which is the name too.
        made.append({"matcher": {"id": "byName", "options": column.name}, "properties": properties})
    return made


def _properties(panel: Panel, column: Column) -> list[tuple[str, Any]]:
    """What is said of one column, in Grafana's words."""
    found: list[tuple[str, Any]] = []
    if column.title:
        found.append(("displayName", column.title))
    found.append(("unit", column.unit.value))
    found.append(("noValue", column.none))
    if column.decimals is not None:
        found.append(("decimals", column.decimals))
    if column.low == 0 and column.unit is not Unit.WORD and panel.kind is not Kind.STAT:
        found.append(("min", 0))
    if column.high is not None and panel.kind is not Kind.STAT:
        found.append(("max", column.high))
    coloured = _coloured(panel, column)
    found += coloured
    if column.link is not None:
        found.append(("links", [{"title": column.link.title, "url": column.link.url, "targetBlank": False}]))
    if column.width is not None and panel.kind is Kind.TABLE:
        found.append(("custom.width", column.width))
    return found


def _coloured(panel: Panel, column: Column) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if column.colour:
        found.append(("color", {"mode": "fixed", "fixedColor": column.colour}))
    if column.steps:
        steps = [{"color": step.colour, "value": step.value} for step in column.steps]
        found.append(("thresholds", {"mode": "absolute", "steps": steps}))
        if panel.kind is not Kind.LINES:
            found.append(("color", {"mode": "thresholds"}))
    if column.words:
        options = {
            value: {"index": index, "text": text, **({"color": colour} if colour else {})}
            for index, (value, text, colour) in enumerate(column.words)
        }
        found.append(("mappings", [{"type": "value", "options": options}]))
    if panel.kind is Kind.TABLE and column.bar:
        found.append(("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
    elif panel.kind is Kind.TABLE and (column.steps or any(colour for _, _, colour in column.words)):
        found.append(("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    return found


def schema_name(kind: str) -> str:
    """Grafana's schema of this kind of panel."""
    return SCHEMA_NAMES[Kind(kind)]
