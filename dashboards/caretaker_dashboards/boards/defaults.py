"""The one pass over all boards: identity, time, links, variables. A board's own file says only what is its own."""

import hashlib
from dataclasses import dataclass
from typing import Any

from grafanalib import core

from caretaker_dashboards import queries
from caretaker_dashboards.describe import DESK, PLAIN, Board, Mark, Pick
from caretaker_dashboards.panels import SOURCE

ZONE = "Europe/London"
TAG = "caretaker"
REFRESH_CHOICES = ["30s", "1m", "5m", "15m", "1h"]
ALWAYS_ON = "server|switch|access_point|ups|pdu|relay"
ALL = ".*"
_NEXT = {
    "estate": "school",
    "school": "room",
    "room": "device",
    "energy": "school",
    "service": "school",
    "network": "school",
    "review": "service",
    "caretaker": "estate",
}
"""From each board to the next finer one."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What an estate puts into boards. The committed boards know of none."""

    networks: tuple[tuple[str, str], ...] = ()  # title, and its schools as "ash|oak"
    always_on: str = ALWAYS_ON  # classes, as "server|switch"
    target: float = 0.995  # availability that is asked for
    desk: str = DESK
    school: str = ""  # the only one; "": any
    title: str = ""  # of that school
    plan_kwh: float = 0.0  # of that school in a school year; 0: none is written down


MOST_UID = 40
"""Grafana takes no longer one."""


def uid_of(name: str, school: str = "") -> str:
    """A board's uid: the same for ever."""
    return short(f"caretaker-{name}" + (f"-{school}" if school else ""))


def short(uid: str) -> str:
    """One that is too long ends in a hash of all of it."""
    return uid if len(uid) <= MOST_UID else f"{uid[:31]}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def dashboard(board: Board, panels: list[core.Panel], filling: Filling) -> core.Dashboard:
    """grafanalib's dashboard with all that boards share."""
    own = f"{filling.title or filling.school}: {board.title}" if filling.school else board.title
    return core.Dashboard(
        title=own if filling.school or board.title.startswith("Caretaker") else f"Caretaker: {board.title}",
        uid=uid_of(board.name, filling.school),
        description=board.about,
        tags=[TAG, board.audience.value],
        timezone=ZONE,
        editable=False,
        refresh=board.refresh,
        time=core.Time(*board.span),
        timePicker=core.TimePicker(refreshIntervals=REFRESH_CHOICES, timeOptions=[], hidden=False),
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        templating=core.Templating(list=variables(board, filling)),
        annotations=core.Annotations(list=[_annotation(mark) for mark in board.marks]),
        links=links(board, filling),
        panels=panels,
    )


def variables(board: Board, filling: Filling) -> list[Any]:
    """The data source first, then what can be chosen, then what is only filled in."""
    found: list[Any] = [
        _plain("source", "datasource", "influxdb", "Data", text="default", value="default"),
    ]
    picks = board.picks
    if Pick.NETWORK in picks:
        choices = [("All networks", ALL), *filling.networks]
        found.append(_custom("network", "Network", choices, hide=core.HIDE_VARIABLE if filling.school else core.SHOW))
    if filling.school and {Pick.SCHOOL, Pick.SCHOOLS} & set(picks):
        found.append(_plain("school", "constant", filling.school, "School", hide=core.HIDE_VARIABLE))
    elif Pick.SCHOOLS in picks:
        found.append(_query("school", queries.schools(), "School", everything=True))
    elif Pick.SCHOOL in picks:
        found.append(_query("school", queries.schools_alone(), "School"))
    if Pick.ROOM in picks:
        found.append(_query("room", queries.rooms(), "Room"))
    if Pick.DEVICE in picks:
        found.append(_query("device", queries.devices(), "Machine"))
    for name, value in (
        ("desk", filling.desk),
        ("target", f"{filling.target:g}"),
        ("always_on", filling.always_on),
        ("plan_kwh", f"{filling.plan_kwh:g}"),
    ):
        if name == "desk" or _uses(board, name):
            found.append(_plain(name, "constant", value, name, hide=core.HIDE_VARIABLE))
    return found


def _uses(board: Board, name: str) -> bool:
    return any(f"${name}" in question.text for panel in board.panels for question in panel.questions)


def _query(name: str, text: str, label: str, everything: bool = False) -> core.Template:
    return core.Template(
        name=name,
        query=text,
        label=label,
        dataSource=SOURCE,
        includeAll=everything,
        allValue=ALL if everything else None,
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
        sort=core.SORT_ALPHA_ASC,
    )


def _custom(name: str, label: str, choices: list[tuple[str, str]], hide: int) -> dict[str, Any]:
    options = [{"selected": number == 0, "text": text, "value": value} for number, (text, value) in enumerate(choices)]
    written = ", ".join(f"{_safe(text)} : {_safe(value)}" for text, value in choices)
    return {
        "name": name,
        "type": "custom",
        "label": label,
        "query": written,
        "options": options,
        "current": options[0],
        "includeAll": False,
        "multi": False,
        "hide": hide,
    }


def _safe(text: str) -> str:
    """In a list of choices a comma ends one."""
    return text.replace(",", "\\,")


def _plain(
    name: str, kind: str, query: str, label: str, text: str = "", value: str = "", hide: int = core.SHOW
) -> dict[str, Any]:
    current = {"text": text or query, "value": value or query, "selected": True}
    return {"name": name, "type": kind, "label": label, "query": query, "current": current, "hide": hide}


def links(board: Board, filling: Filling) -> list[dict[str, Any]]:
    """To the next finer board, to all others, to the desk, and to why."""
    found = []
    finer = _NEXT.get(board.name)
    if finer and not (filling.school and finer not in SCHOOL_BOARDS):
        url = f"/d/{uid_of(finer, filling.school)}"
        found.append(_link(f"Next finer: {finer}", url, "dashboard", keep=True))
    if not filling.school:
        found.append({**_link("Other boards", "", "dashboard", keep=True), "type": "dashboards", "asDropdown": True})
        found[-1] |= {"tags": [TAG]}
        found.append(_link("Desk", "${desk}/", "external link"))
    if Pick.DEVICE in board.picks:
        found.append(_link("Why is it on, or off?", "${desk}/why/${school}/${device}", "question"))
    elif Pick.ROOM in board.picks:
        found.append(_link("Why are these on, or off?", "${desk}/why/${school}/${room}", "question"))
    return found


SCHOOL_BOARDS: tuple[str, ...] = ("school", "room", "device", "energy", "service", "review")
"""Boards that each school has in its own folder."""


def _link(title: str, url: str, icon: str, keep: bool = False) -> dict[str, Any]:
    return {
        "title": title,
        "type": "link",
        "icon": icon,
        "url": url,
        "tooltip": title,
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "keepTime": keep,
        "includeVars": keep,
    }


def _annotation(mark: Mark) -> dict[str, Any]:
    """InfluxDB's annotations keep their query in `target`, beside what Grafana's own would have there."""
    return {
        "name": mark.name,
        "datasource": SOURCE,
        "enable": mark.enabled,
        "hide": False,
        "iconColor": mark.colour or PLAIN,
        "target": {
            "limit": 500,
            "matchAny": False,
            "tags": [],
            "type": "dashboard",
            "refId": "Anno",
            "fromAnnotations": True,
            "textEditor": True,
            "rawQuery": True,
            "query": mark.text,
            "textColumn": mark.column,
            "tagsColumn": mark.tags,
        },
    }
