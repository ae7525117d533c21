"""Boards against the schema that Grafana publishes, made with npm where that is installed."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from caretaker_dashboards import build, schema_check
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import Filling

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Grafana's schemas; where they cannot be made the tests are skipped with the reason."""
    try:
        return schema_check.schemas()
    except schema_check.CannotCheck as error:
        pytest.skip(f"not checked against Grafana's schema: {error}")


def test_every_board_and_panel_is_as_grafana_wants_it(known: dict[str, Any]) -> None:
    faults = [fault for text in build.texts().values() for fault in schema_check.check(json.loads(text), known)]
    filling = Filling(networks=(("Green", "ash|oak"),), school="ash", title="Ashfield", plan_kwh=1000.0)
    for board in BOARDS:
        faults += schema_check.check(build.made(board, filling), known) if board.for_school else []
    assert faults == []


def test_a_wrong_option_is_found(known: dict[str, Any]) -> None:
    board = json.loads(build.texts()["desk/estate.json"])
    wrong = copy.deepcopy(board)
    wrong["panels"][0]["options"]["colorMode"] = "rainbow"
    wrong["panels"][2]["fieldConfig"]["defaults"]["custom"]["hidden"] = True
    wrong["hideControls"] = False
    found = "\n".join(schema_check.check(wrong, known))
    assert "rainbow" in found and "'hidden' was unexpected" in found and "'hideControls' was unexpected" in found


def test_where_npm_is_missing_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("npm") is None
    with pytest.raises(schema_check.CannotCheck, match="npm is not installed: apt-get install"):
        schema_check.schemas(tmp_path / "schema")
