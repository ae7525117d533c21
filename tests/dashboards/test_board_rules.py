"""Boards as they are committed: not stale, and within every rule. Each rule is also seen to find what breaks it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caretaker_dashboards import build, lint
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import Filling, uid_of
from caretaker_dashboards.describe import Kind, Unit

Json = dict[str, Any]
MADE = {name: json.loads(text) for name, text in build.texts().items()}


def test_the_committed_boards_are_what_their_descriptions_make() -> None:
    assert build.stale() == []


def test_a_board_that_was_edited_is_gone_or_belongs_to_nothing_is_stale(tmp_path: Path) -> None:
    build.write(tmp_path, build.texts())
    assert build.stale(tmp_path) == []
    (tmp_path / "desk" / "estate.json").write_text("{}")
    (tmp_path / "desk" / "room.json").unlink()
    (tmp_path / "desk" / "old.json").write_text("{}")
    faults = "\n".join(build.stale(tmp_path))
    assert "estate.json  is not what its description makes; run `caretaker boards build`" in faults
    assert "room.json  missing" in faults and "old.json  belongs to no board" in faults
    assert build.write(tmp_path, build.texts()) == ["desk/estate.json", "desk/room.json", "desk/old.json"]
    assert build.stale(tmp_path) == []


@pytest.mark.parametrize("board", MADE.values(), ids=MADE.keys())
def test_a_board_keeps_every_rule(board: Json) -> None:
    assert lint.check(board) == []


def test_every_link_leads_to_a_board_or_the_desk() -> None:
    assert lint.check_links(list(MADE.values())) == []
    for board in BOARDS:
        urls = list(lint.urls(MADE[f"{board.audience.value}/{board.name}.json"]))
        assert "${desk}/" in urls
        assert any(url.startswith("/d/caretaker-") for url in urls) or board.name == "device"
    for name in ("room", "device"):
        assert any(url.startswith("${desk}/why/") for url in lint.urls(MADE[f"desk/{name}.json"]))


def _set(path: str, value: Any) -> Callable[[Json], None]:
    """A change of one place of a board."""

    def change(board: Json) -> None:
        *way, last = path.split("/")
        place: Any = board
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            place[int(last)] = value
        elif value is None:
            del place[last]
        else:
            place[last] = value

    return change


QUERY = "panels/0/targets/0/query"
NOW = 'SELECT "in_use" FROM "school_now" WHERE $timeFilter'
BREAKS: list[tuple[Callable[[Json], None], str]] = [
    (_set("uid", "estate"), "its uid has to be caretaker-NAME"),
    (_set("uid", "caretaker-" + "x" * 31), "40 characters at most"),
    (_set("editable", True), "it can be edited"),
    (_set("schemaVersion", 12), "schemaVersion is not 41"),
    (_set("description", ""), "needs a title and a description"),
    (_set("tags", []), "needs the tag"),
    (_set("timezone", "browser"), "its time zone"),
    (_set("rows", []), "of a schema of years ago"),
    (_set("refresh", "5s"), "refresh '5s': 30 s at least"),
    (_set("timepicker/refresh_intervals", ["10s"]), "refresh '10s'"),
    (
        _set("templating/list/0", {"name": "x", "type": "constant", "query": ""}),
        "first variable has to be the data source",
    ),
    (_set("templating/list/2/refresh", 0), "is never read again"),
    (_set("templating/list/2/datasource", {"type": "influxdb", "uid": "abc"}), "variable school does not use the data"),
    (_set("panels/0/gridPos/w", 25), "leaves the 24 columns"),
    (_set("panels/0/gridPos/h", 8), "lie over each other"),
    (_set("panels/0/id", 2), "numbers of their own"),
    (_set("panels/0/title", ""), "it has no title"),
    (_set("panels/1/description", ""), "no description of what it shows"),
    (_set("panels/0/description", "How many incidents are open now."), "does not say what to do then"),
    (_set("panels/0/fieldConfig/defaults/thresholds/steps/0/color", "#c43c1e"), "a cell without a value would be red"),
    (_set("panels/0/fieldConfig/defaults/noValue", "N/A"), "what no value means"),
    (_set("panels/0/fieldConfig/defaults/unit", "machines"), "its unit 'machines'"),
    (_set("panels/0/fieldConfig/overrides/0/properties/1/value", "parsec"), "the unit 'parsec'"),
    (_set("panels/0/datasource", {"type": "influxdb", "uid": "abc"}), "it does not use the data source"),
    (_set("panels/0/targets/0/datasource", {"type": "influxdb", "uid": "abc"}), "query A does not use the data source"),
    (_set("panels/0/targets/0/rawQuery", False), "not raw InfluxQL"),
    (_set(QUERY, 'from(bucket: "caretaker") |> range(start: -1h)'), "no InfluxQL"),
    (_set(QUERY, 'SELECT "in_use" FROM "school_now"'), "not bounded in time"),
    (_set(QUERY, NOW.replace("in_use", "in_user")), "no field 'in_user'"),
    (_set(QUERY, NOW.replace("school_now", "schools")), "no measurement 'schools'"),
    (_set(QUERY, f'{NOW} GROUP BY "mode"'), "groups by 'mode'"),
    (_set(QUERY, f"{NOW} GROUP BY time(1s)"), "groups by 'time(1s'"),
    (_set(QUERY, NOW.replace("$timeFilter", "$timeFilter AND $where")), "$where is used"),
    (_set(QUERY, 'SELECT "state" FROM "device" WHERE $timeFilter'), "of more than a room"),
]


@pytest.mark.parametrize("change, says", BREAKS, ids=[says for _, says in BREAKS])
def test_a_board_that_breaks_a_rule_is_found(change: Callable[[Json], None], says: str) -> None:
    board = copy.deepcopy(MADE["desk/estate.json"])
    change(board)
    found = lint.check(board)
    assert any(says in fault for fault in found), found
    assert all(fault.startswith(board["uid"]) for fault in found)


def test_raw_reports_beyond_a_day_are_found() -> None:
    board = copy.deepcopy(MADE["desk/room.json"])
    assert lint.check(board) == []
    board["time"]["from"] = "now-7d"
    assert any("reads transition beyond a day" in fault for fault in lint.check(board))
    board = copy.deepcopy(MADE["desk/school.json"])
    board["panels"][4]["timeFrom"] = "now-30d"
    board["panels"][4]["targets"][0]["query"] = NOW
    assert any("reads every minute beyond a day" in fault for fault in lint.check(board))


def test_a_link_to_nowhere_and_a_uid_that_is_there_twice_are_found() -> None:
    boards = [copy.deepcopy(board) for board in MADE.values()]
    boards[0]["links"][0]["url"] = "/d/caretaker-nowhere"
    boards[1]["uid"] = boards[2]["uid"]
    found = "\n".join(lint.check_links(boards))
    assert "no such board" in found and "there twice" in found


def test_grafanalibs_own_old_keys_are_gone_and_panels_are_of_todays_kinds() -> None:
    for board in MADE.values():
        assert not {"rows", "hideControls", "style", "sharedCrosshair", "__inputs", "gnetId"} & board.keys()
        for panel in board["panels"]:
            assert panel["type"] in {kind.value for kind in Kind}
            assert not {"span", "editable", "error", "height", "minSpan", "cacheTimeout"} & panel.keys()
            assert "fieldOptions" not in panel["options"]


def test_a_schools_copy_shows_that_school_only_and_links_to_no_other() -> None:
    filling = Filling(networks=(("Green", "ash|oak"),), school="ash", title="Ashfield Secondary", plan_kwh=1000.0)
    for board in BOARDS:
        if board.for_school:
            made = build.made(board, filling)
            school = next(each for each in made["templating"]["list"] if each["name"] == "school")
            assert (school["type"], school["query"], school["hide"]) == ("constant", "ash", 2)
            assert made["title"] == f"Ashfield Secondary: {board.title}"
            for url in lint.urls(made):
                assert url.startswith("${desk}/") or "-ash" in url, url
            assert lint.check(made) == []
            shown = [each["name"] for each in made["templating"]["list"] if not each.get("hide")]
            assert set(shown) <= {"source", "room", "device"}


def test_energy_against_plan_is_there_only_where_a_plan_is_written_down() -> None:
    energy = next(board for board in BOARDS if board.name == "energy")
    titles = [panel["title"] for panel in MADE["school/energy.json"]["panels"]]
    planned = build.made(energy, Filling(school="ash", plan_kwh=1000.0))
    assert "Used against plan" not in titles
    assert "Used against plan" in [panel["title"] for panel in planned["panels"]]


def test_a_uid_is_never_too_long_for_grafana() -> None:
    long = uid_of("service", "x" * 63)
    assert len(long) == 40 and long != uid_of("service", "x" * 62)
    assert uid_of("service", "ash") == "caretaker-service-ash"


def test_every_unit_is_one_of_grafanas() -> None:
    # From the list that Grafana 13 has in packages/grafana-data/src/valueFormats/categories.ts
    known = "none string bool_yes_no percentunit s m h d watt kwatth currencyGBP masskg bytes cps cpm"
    assert {unit.value for unit in Unit} <= {*known.split(), "dateTimeAsLocal", "dateTimeFromNow"}


def test_a_cell_without_a_value_says_so_in_a_word_and_not_in_the_panels_sentence() -> None:
    schools = next(panel for panel in MADE["desk/estate.json"]["panels"] if panel["title"] == "Schools")
    for override in schools["fieldConfig"]["overrides"]:
        said = {each["id"]: each["value"] for each in override["properties"]}
        assert 0 < len(said["noValue"]) < 20
    left = next(o for o in schools["fieldConfig"]["overrides"] if o["matcher"]["options"] == "fix_left_min")
    assert {"id": "noValue", "value": "no clock"} in left["properties"]
