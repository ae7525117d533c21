"""All boards as JSON: the committed ones, and those that an estate has filled in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafanalib._gen import DashboardEncoder

from caretaker_dashboards import panels
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import SCHOOL_BOARDS, Filling, dashboard, uid_of
from caretaker_dashboards.describe import Board
from caretaker_dashboards.modern import modernise

_HERE = Path(__file__).parent
GENERATED = next((each for each in (_HERE.parent / "generated", _HERE / "generated") if each.is_dir()), _HERE)
"""Where the committed boards are: beside the package in a checkout, within it when it is installed."""
_COMMAND = "caretaker boards build"


def made(board: Board, filling: Filling | None = None) -> dict[str, Any]:
    """One board as plain JSON in today's schema."""
    built = []
    y = number = 0
    for row in board.rows:
        if any(panel.with_plan for panel in row) and not (filling and filling.plan_kwh):
            continue
        x = 0
        for panel in row:
            number += 1
            built.append(panels.build(panel, number, x, y))
            x += panel.width
        y += max(panel.height for panel in row)
    whole = dashboard(board, built, filling or Filling())
    plain: dict[str, Any] = json.loads(json.dumps(whole.to_json_data(), cls=DashboardEncoder))
    found = modernise(plain)
    return _own_links(found) if filling is not None and filling.school else found


def _own_links(board: dict[str, Any]) -> dict[str, Any]:
    """A school's copy links to that school's copies, and to nothing that shows other schools."""
    school = next(each["query"] for each in board["templating"]["list"] if each["name"] == "school")
    text = json.dumps(board)
    for name in SCHOOL_BOARDS:
        text = text.replace(f"/d/{uid_of(name)}?", f"/d/{uid_of(name, school)}?")
    found: dict[str, Any] = json.loads(text)
    return found


def texts() -> dict[str, str]:
    """Every board of the checkout by its path: a folder for each audience."""
    return {f"{board.audience.value}/{board.name}.json": as_text(made(board)) for board in BOARDS}


def as_text(board: dict[str, Any]) -> str:
    """JSON as it is committed: readable in a diff."""
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def write(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Write boards by their paths; returns which changed. Those of no board are removed."""
    changed = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(name)
    for path in _extra(folder, wanted):
        path.unlink()
        changed.append(str(path.relative_to(folder)))
    return changed


def _extra(folder: Path, wanted: Mapping[str, str]) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.json")) if str(path.relative_to(folder)) not in wanted]


def stale(folder: Path = GENERATED) -> list[str]:
    """What is wrong with the committed boards, one sentence each."""
    wanted = texts()
    found = []
    for name, text in wanted.items():
        path = folder / name
        if not path.exists():
            found.append(f"{path}  missing; run `{_COMMAND}`")
        elif path.read_text() != text:
            found.append(f"{path}  is not what its description makes; run `{_COMMAND}`")
    return found + [f"{path}  belongs to no board; run `{_COMMAND}`" for path in _extra(folder, wanted)]
