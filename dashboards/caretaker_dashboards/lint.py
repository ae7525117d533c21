"""The rules that every board keeps, after those of Grafana's own linter that fit InfluxDB. They look at the JSON.

Left out of Grafana's list, with the reason: job and instance labels, rate intervals, counters in rate(), PromQL and
LogQL syntax (all Prometheus or Loki). Added: no red without a remedy, a text for no value, bounded groups, days beyond
a day.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from caretaker_contract.metrics import MEASUREMENTS, TAGS
from caretaker_dashboards.boards.defaults import MOST_UID, REFRESH_CHOICES, TAG
from caretaker_dashboards.describe import RED, Kind, Unit
from caretaker_dashboards.modern import SCHEMA_VERSION
from caretaker_dashboards.panels import SOURCE
from caretaker_dashboards.queries import MINUTES, RAW

Json = dict[str, Any]
COLUMNS = 24
LEAST_REFRESH_S = 30
GROUPS = frozenset(TAGS)
"""What may be grouped by, beside time: tags, whose values the asset register bounds."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
_AGO = re.compile(r"now(?:-(\d+)([smhdwMy]))?(?:/([dwMy]))?")
_FROM = re.compile(r'FROM "(\w+)"')
_GROUP = re.compile(r"GROUP BY ([^)]*?)(?: fill\(| ORDER| LIMIT| tz\(|\)|$)")
_VARIABLE = re.compile(r"\$\{?(\w+)[}:]?")
_BUILT_IN = ("timeFilter", "__all", "__interval", "__from", "__to", "__url_time_range", "__data", "__value", "__field")
_STATEMENT = re.compile(r"^(SELECT|SHOW TAG VALUES) ", re.ASCII)
_FLUX = re.compile(r"\|>|from\(bucket", re.ASCII)


def check(board: Json) -> list[str]:
    """What is wrong with one board, a sentence each, with the place."""
    place = board.get("uid") or board.get("title", "?")
    found = [f"{place}: {wrong}" for rule in _BOARD_RULES for wrong in rule(board)]
    for panel in board["panels"]:
        where = f"{place}, panel {panel.get('id')} {panel.get('title')!r}"
        found += [f"{where}: {wrong}" for rule in _PANEL_RULES for wrong in rule(panel, board)]
    return found


def check_links(boards: list[Json]) -> list[str]:
    """Every link to a board leads to one of these boards, and no uid is there twice."""
    uids = [board["uid"] for board in boards]
    found = [f"{uid}: this uid is there twice" for uid in set(uids) if uids.count(uid) > 1]
    for board in boards:
        for url in urls(board):
            name = re.match(r"/d/([\w-]+)", url)
            if name and name.group(1) not in uids:
                found.append(f"{board['uid']}: links to {name.group(1)}, and there is no such board")
            elif not name and not url.startswith("${desk}/"):
                found.append(f"{board['uid']}: {url!r} is neither a board nor the desk")
    return found


def urls(board: Json) -> Iterator[str]:
    """Every address that a board links to."""
    yield from (link["url"] for link in board["links"] if link["type"] == "link")
    for panel in board["panels"]:
        config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        given = list(config["defaults"].get("links", []))
        for override in config["overrides"]:
            for each in override["properties"]:
                given += each["value"] if each["id"] == "links" else []
        yield from (link["url"] for link in given)


def _identity(board: Json) -> Iterator[str]:
    if not re.fullmatch(r"caretaker-[a-z0-9-]+", board.get("uid", "")) or len(board["uid"]) > MOST_UID:
        yield f"its uid has to be caretaker-NAME, {MOST_UID} characters at most"
    if board.get("editable") is not False:
        yield "it can be edited: what is changed in Grafana is lost at the next build"
    if board.get("schemaVersion") != SCHEMA_VERSION:
        yield f"its schemaVersion is not {SCHEMA_VERSION}"
    if not board.get("title") or not board.get("description"):
        yield "it needs a title and a description"
    if TAG not in board.get("tags", ()):
        yield f"it needs the tag {TAG!r}: links between boards go by it"
    if board.get("timezone") in (None, "", "browser", "utc"):
        yield "its time zone has to be the schools', not the reader's"
    for name in ("rows", "hideControls", "style", "sharedCrosshair", "__inputs"):
        if name in board:
            yield f"{name!r} is of a schema of years ago"


def _refreshes(board: Json) -> Iterator[str]:
    for text in (board.get("refresh", ""), *board.get("timepicker", {}).get("refresh_intervals", REFRESH_CHOICES)):
        match = re.fullmatch(r"(\d+)([smhd])", text)
        if match is None or int(match.group(1)) * _SECONDS[match.group(2)] < LEAST_REFRESH_S:
            yield f"refresh {text!r}: {LEAST_REFRESH_S} s at least, data comes once a minute"


def _variables(board: Json) -> Iterator[str]:
    listed = board["templating"]["list"]
    names = [variable["name"] for variable in listed]
    if not names or listed[0]["type"] != "datasource":
        yield "its first variable has to be the data source"
    text = str([board["panels"], board["links"], board["annotations"], listed])
    for used in sorted(set(_VARIABLE.findall(text)) - set(names) - set(_BUILT_IN)):
        if not used.startswith(("tag_", "col")):
            yield f"${used} is used and no variable is called so"
    for variable in listed:
        if variable["type"] == "query":
            yield from (f"variable {variable['name']}: {wrong}" for wrong in _query(variable["query"]))
            if variable.get("datasource") != SOURCE:
                yield f"variable {variable['name']} does not use the data source that is chosen"
            if not variable.get("refresh"):
                yield f"variable {variable['name']} is never read again"


def _grid(board: Json) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) < len(ids) or not all(ids):
        yield "panels need numbers of their own"
    for panel in board["panels"]:
        at = panel["gridPos"]
        if at["x"] < 0 or at["w"] < 1 or at["x"] + at["w"] > COLUMNS:
            yield f"panel {panel['title']!r} leaves the {COLUMNS} columns"
        cells = [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        over = {taken[cell] for cell in cells if cell in taken}
        yield from (f"panels {panel['title']!r} and {other!r} lie over each other" for other in sorted(over))
        taken |= dict.fromkeys(cells, panel["title"])


def _marks(board: Json) -> Iterator[str]:
    for mark in board["annotations"]["list"]:
        if mark.get("datasource") != SOURCE:
            yield f"marks {mark['name']!r} do not use the data source that is chosen"
        yield from (f"marks {mark['name']!r}: {wrong}" for wrong in _query(mark["target"]["query"]))


def _texts(panel: Json, _: Json) -> Iterator[str]:
    if not panel.get("title"):
        yield "it has no title"
    if panel["type"] != Kind.TEXT and len(panel.get("description", "")) < 20:
        yield "it has no description of what it shows"
    no_value = panel.get("fieldConfig", {}).get("defaults", {}).get("noValue", "")
    if panel["type"] != Kind.TEXT and len(no_value) < 30:
        yield "it does not say what no value means and what to do then"


def _source(panel: Json, _: Json) -> Iterator[str]:
    if panel["type"] == Kind.TEXT:
        return
    if panel.get("datasource") != SOURCE:
        yield "it does not use the data source that is chosen"
    for target in panel["targets"]:
        if target.get("datasource") != SOURCE:
            yield f"query {target.get('refId')} does not use the data source that is chosen"
        if not target.get("rawQuery"):
            yield f"query {target.get('refId')} is not raw InfluxQL"


def _units(panel: Json, _: Json) -> Iterator[str]:
    known = {unit.value for unit in Unit}
    config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
    if panel["type"] != Kind.TEXT and config["defaults"].get("unit") not in known:
        yield f"its unit {config['defaults'].get('unit')!r} is none that Grafana knows"
    for override in config["overrides"]:
        for each in override["properties"]:
            if each["id"] == "unit" and each["value"] not in known:
                yield f"the unit {each['value']!r} of {override['matcher']['options']!r} is none that Grafana knows"


def _red(panel: Json, _: Json) -> Iterator[str]:
    config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
    said = [config["defaults"].get("thresholds", {})]
    for override in config["overrides"]:
        said += [each["value"] for each in override["properties"] if each["id"] == "thresholds"]
    colours = [step["color"] for each in said for step in each.get("steps", ())]
    for override in config["overrides"]:
        mappings = [each["value"] for each in override["properties"] if each["id"] == "mappings"]
        colours += [word.get("color", "") for each in mappings for one in each for word in one["options"].values()]
    for one in config["defaults"].get("mappings", ()):
        colours += [word.get("color", "") for word in one["options"].values()]
    red = any(colour.lower() in (RED, "red", "dark-red") for colour in colours)
    if any(each.get("steps") and each["steps"][0]["color"] == RED for each in said):
        yield "a cell without a value would be red: begin the scale with a colour that says nothing"
    if red and " When red: " not in panel.get("description", ""):
        yield "it can turn red, and its description does not say what to do then"


def _queries(panel: Json, board: Json) -> Iterator[str]:
    seconds = span_s(panel.get("timeFrom") or board["time"]["from"])
    for target in panel.get("targets", ()):
        text = target["query"]
        name = target["refId"]
        yield from (f"query {name}: {wrong}" for wrong in _query(text))
        for measurement in _FROM.findall(text):
            bounded = "time($__interval)" in text or "LIMIT 1" in text
            if measurement in RAW and seconds > 86_400:
                yield f"query {name} reads {measurement} beyond a day: ask the days that are rolled up"
            if measurement in RAW and '"device" =~' not in text and '"room" =~' not in text and "LIMIT 1" not in text:
                yield f"query {name} reads {measurement} of more than a room"
            if measurement in MINUTES and seconds > 86_400 and not bounded:
                yield f"query {name} reads every minute beyond a day: group by $__interval, or take the newest row"


def _query(text: str) -> Iterator[str]:
    if not _STATEMENT.match(text) or _FLUX.search(text):
        yield "it is no InfluxQL; queries come from queries.py"
    for measurement in _FROM.findall(text):
        if measurement not in MEASUREMENTS:
            yield f"there is no measurement {measurement!r}"
    if text.startswith("SELECT ") and "$timeFilter" not in text and "time >=" not in text:
        yield "it is not bounded in time"
    for groups in _GROUP.findall(text):
        for group in groups.split(", "):
            bare = group.strip().strip('"')
            if bare not in GROUPS and not re.fullmatch(r"time\((?:\$__interval|1d)\)?", bare):
                yield f"it groups by {bare!r}, whose values nothing bounds"
    known = {metric.name for name in _FROM.findall(text) for metric in MEASUREMENTS.get(name, ())} | GROUPS
    named = set(re.findall(r' AS "(\w+)"', text)) | set(_FROM.findall(text))
    for word in sorted(set(re.findall(r'"(\w+)"', text)) - known - named):
        yield f"there is no field {word!r} in the table of metrics"


def span_s(start: str) -> int:
    """How long "now-30d" to now is, in seconds; `now/M` is a month at most."""
    match = _AGO.fullmatch(start)
    if match is None:
        raise ValueError(f"{start!r}: a span begins with now")
    count, unit, rounded = match.groups()
    return (int(count) * _SECONDS[unit] if count else 0) + (_SECONDS[rounded] if rounded else 0)


_BOARD_RULES: tuple[Callable[[Json], Iterator[str]], ...] = (_identity, _refreshes, _variables, _grid, _marks)
_PANEL_RULES: tuple[Callable[[Json, Json], Iterator[str]], ...] = (_texts, _source, _units, _red, _queries)
