"""One pass over grafanalib's output that brings it to today's dashboard schema.

grafanalib 0.7.1 writes schemaVersion 12 with `rows`, `hideControls` and other keys that are gone, options of panels of
years ago beside those of today, and null for all that is not set. What the schema does not know is dropped; what it
requires is added. The lists below are what this project's boards use; the schema check proves them.
"""

from typing import Any

from caretaker_dashboards.describe import Kind
from caretaker_dashboards.panels import CUSTOM, OPTIONS, SOURCE

SCHEMA_VERSION = 41
_BOARD = (
    "annotations",
    "description",
    "editable",
    "fiscalYearStartMonth",
    "graphTooltip",
    "links",
    "panels",
    "refresh",
    "schemaVersion",
    "tags",
    "templating",
    "time",
    "timepicker",
    "timezone",
    "title",
    "uid",
    "weekStart",
)
_PANEL = (
    "datasource",
    "description",
    "fieldConfig",
    "gridPos",
    "id",
    "options",
    "targets",
    "timeFrom",
    "title",
    "transformations",
    "transparent",
    "type",
)
_FIELD = (
    "color",
    "custom",
    "decimals",
    "displayName",
    "links",
    "mappings",
    "max",
    "min",
    "noValue",
    "thresholds",
    "unit",
)
_TARGET = ("alias", "datasource", "query", "rawQuery", "refId", "resultFormat")
_VARIABLE = (
    "allValue",
    "current",
    "datasource",
    "hide",
    "includeAll",
    "label",
    "multi",
    "name",
    "options",
    "query",
    "refresh",
    "regex",
    "skipUrlSync",
    "sort",
    "type",
)
_MORE_OPTIONS = {Kind.BARS: ("xField",), Kind.STATES: ("perPage",), Kind.TABLE: ("sortBy",), Kind.STAT: ("text",)}
_MORE_CUSTOM = {Kind.TABLE: ("width",)}

_FIRST = {"selected": False, "text": "", "value": ""}
"""Nothing is chosen: Grafana takes the first when it opens the board."""


def modernise(board: dict[str, Any]) -> dict[str, Any]:
    """The same board in today's words. `board` is plain JSON, and stays as it is."""
    board = {**board, "timepicker": _timepicker(board.get("timePicker") or board.get("timepicker") or {})}
    found = _only(board, _BOARD)
    found["schemaVersion"] = SCHEMA_VERSION
    found["panels"] = [_panel(panel) for panel in board["panels"]]
    found["templating"] = {"list": [_variable(variable) for variable in board["templating"]["list"]]}
    return found


def _only(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if given.get(name) is not None}


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    kind = Kind(panel["type"])
    found = _only(panel, _PANEL)
    allowed = (*OPTIONS[kind], *_MORE_OPTIONS.get(kind, ()))
    found["options"] = {**OPTIONS[kind], **_only(panel["options"], allowed)}
    defaults = _only(panel["fieldConfig"]["defaults"], _FIELD)
    if defaults["color"]["mode"] != "fixed":
        defaults["color"] = {"mode": defaults["color"]["mode"]}
    known = (*CUSTOM.get(kind, {}), *_MORE_CUSTOM.get(kind, ()))
    defaults["custom"] = {**CUSTOM.get(kind, {}), **_only(defaults.get("custom", {}), known)}
    found["fieldConfig"] = {"defaults": defaults, "overrides": panel["fieldConfig"].get("overrides", [])}
    found["targets"] = [{**_only(target, _TARGET), "datasource": SOURCE} for target in panel["targets"]]
    if kind is Kind.TEXT:
        for name in ("datasource", "targets", "fieldConfig"):
            found.pop(name, None)
    if not found.get("transformations"):
        found.pop("transformations", None)
    if not found.get("transparent"):
        found.pop("transparent", None)
    return found


def _variable(variable: dict[str, Any]) -> dict[str, Any]:
    found = _only(variable, _VARIABLE)
    if found["type"] == "query":
        found["datasource"] = SOURCE
        found["options"] = []
        found["current"] = {"selected": True, "text": "All", "value": "$__all"} if found["includeAll"] else _FIRST
    else:
        for name in ("refresh", "regex", "sort", "datasource"):
            found.pop(name, None)
    if found["type"] in ("constant", "datasource"):
        found["options"] = []
        for name in ("includeAll", "multi", "allValue"):
            found.pop(name, None)
    if not found.get("includeAll"):
        found.pop("allValue", None)
    return found


def _timepicker(given: Any) -> dict[str, Any]:
    data = given.to_json_data() if hasattr(given, "to_json_data") else dict(given)
    return {"refresh_intervals": data.get("refresh_intervals", [])}
