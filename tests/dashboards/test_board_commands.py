"""`caretaker boards`: made from an estate, checked, and brought to a Grafana (a stand-in after its documented API)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from caretaker_collector.cli import app
from caretaker_collector.grafana import contains
from caretaker_contract.errors import CaretakerError
from caretaker_dashboards.boards import BOARDS
from caretaker_dashboards.boards.defaults import SCHOOL_BOARDS
from caretaker_simulator.estate import write_demo_estate
from grafana_stand_in import TOKEN, GrafanaStandIn, grafana
from rules_world import POLICIES

SHARED, OWN = len(BOARDS), len(SCHOOL_BOARDS)


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """The demo's two schools."""
    folder = tmp_path / "estate"
    folder.mkdir()
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    return folder / "estate.toml"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A file with the token."""
    path = tmp_path / "grafana.token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def stand_in() -> Iterator[GrafanaStandIn]:
    """An empty Grafana."""
    with grafana() as server:
        yield server


def run(*words: object) -> Result:
    """A command; its mistakes come as they would be told."""
    return CliRunner().invoke(app, ["boards", *map(str, words)])


def pushed(stand_in: GrafanaStandIn, token: Path, estate: Path, *more: object) -> list[dict[str, Any]]:
    """What changed."""
    done = run("push", stand_in.url, "--token-file", token, "--estate", estate, "--json", *more)
    assert done.exit_code == 0, done.output + repr(done.exception)
    changes: list[dict[str, Any]] = json.loads(done.stdout)["changes"]
    return changes


def test_the_first_push_creates_folders_and_boards_and_the_second_changes_nothing(
    stand_in: GrafanaStandIn, token: Path, estate: Path
) -> None:
    first = pushed(stand_in, token, estate)
    assert {each["change"] for each in first} == {"created"}
    assert len([each for each in first if each["what"] == "folder"]) == 3 + 2
    assert len(stand_in.boards) == SHARED + 2 * OWN
    assert {each["change"] for each in pushed(stand_in, token, estate)} == {"unchanged"}
    writes = [asked for asked in stand_in.asked if asked[0] != "GET"]
    assert len(writes) == len(first)


def test_only_what_differs_is_updated_and_what_is_others_stays(
    stand_in: GrafanaStandIn, token: Path, estate: Path
) -> None:
    pushed(stand_in, token, estate)
    stand_in.boards["caretaker-room"]["dashboard"]["title"] = "Edited by hand"
    stand_in.boards["caretaker-device"]["meta"]["folderUid"] = "elsewhere"
    stand_in.folders["caretaker-for-desk"]["title"] = "Renamed"
    stand_in.boards["their-own"] = {"dashboard": {"title": "Theirs"}, "meta": {}}
    changed = {each["uid"]: each["change"] for each in pushed(stand_in, token, estate) if each["change"] != "unchanged"}
    assert changed == dict.fromkeys(("caretaker-for-desk", "caretaker-room", "caretaker-device"), "updated")
    assert stand_in.boards["caretaker-room"]["dashboard"]["title"] == "Caretaker: Room"
    assert stand_in.boards["caretaker-room"]["dashboard"]["version"] == 2
    assert stand_in.boards["caretaker-device"]["meta"]["folderUid"] == "caretaker-for-desk"
    assert "their-own" in stand_in.boards


def test_networks_classes_and_targets_come_from_the_estate(stand_in: GrafanaStandIn, token: Path, estate: Path) -> None:
    pushed(stand_in, token, estate, "--desk", "https://desk.example/", "--school", "ash")
    assert "caretaker-school-ash" in stand_in.boards and "caretaker-school-oak" not in stand_in.boards
    listed = stand_in.boards["caretaker-service"]["dashboard"]["templating"]["list"]
    known = {each["name"]: each for each in listed}
    assert known["network"]["options"][0]["value"] == ".*"
    assert {"ash|oak", "ash", "oak"} & {each["value"] for each in known["network"]["options"]}
    assert known["desk"]["query"] == "https://desk.example"
    assert 0.9 < float(known["target"]["query"]) < 1
    network = stand_in.boards["caretaker-network"]["dashboard"]["templating"]["list"]
    assert "server" in next(each["query"] for each in network if each["name"] == "always_on")


def test_what_changed_is_told_in_words(stand_in: GrafanaStandIn, token: Path, estate: Path) -> None:
    done = run("push", stand_in.url, "--token-file", token, "--estate", estate)
    assert "created   Caretaker: service desk  (caretaker-for-desk)" in done.stdout
    assert "created     Caretaker: Estate wall  (caretaker-estate)" in done.stdout
    assert f"{5 + SHARED + 2 * OWN} created, 0 updated, 0 unchanged" in done.stderr


def test_a_wrong_token_a_wrong_place_and_no_answer_each_name_their_remedy(
    stand_in: GrafanaStandIn, token: Path, estate: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.token"
    wrong.write_text("guess\n")

    def failure(url: str, file: Path) -> str:
        done = run("push", url, "--token-file", file, "--estate", estate)
        assert done.exit_code != 0
        return str(done.exception) if isinstance(done.exception, CaretakerError) else done.output

    assert "look at --token-file" in failure(stand_in.url, wrong) and not stand_in.boards
    assert "No such file" in failure(stand_in.url, tmp_path / "none.token")
    assert "with http:// or https://" in failure("grafana.example", token)
    assert "does not answer" in failure("http://127.0.0.1:9", token)
    stand_in.is_grafana = False
    assert "is no Grafana" in failure(stand_in.url, token)


def test_a_board_that_comes_from_a_file_of_that_grafana_is_left_alone(
    stand_in: GrafanaStandIn, token: Path, estate: Path
) -> None:
    pushed(stand_in, token, estate)
    stand_in.boards["caretaker-estate"]["meta"] |= {"provisioned": True, "provisionedExternalId": "desk/estate.json"}
    done = run("push", stand_in.url, "--token-file", token, "--estate", estate)
    assert "comes from a file of that Grafana (desk/estate.json)" in str(done.exception)


def test_build_writes_a_folder_for_each_audience_and_school_and_removes_what_is_gone(
    estate: Path, tmp_path: Path
) -> None:
    out = tmp_path / "boards"
    assert run("build", "--out", out, "--estate", estate).exit_code == 0
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.json"))
    assert len(found) == SHARED + 2 * OWN
    assert "desk/caretaker-estate.json" in found
    assert "schools/Ashfield Secondary/caretaker-room-ash.json" in found
    assert run("build", "--out", out, "--estate", estate, "--school", "oak").exit_code == 0
    assert not (out / "schools/Ashfield Secondary/caretaker-room-ash.json").exists()
    (out / "mine.json").write_text("{}")
    done = run("build", "--out", out, "--estate", estate)
    assert done.exit_code == 2 and (out / "mine.json").exists()


def test_an_unknown_school_is_refused_with_those_that_there_are(estate: Path, tmp_path: Path) -> None:
    done = run("build", "--out", tmp_path / "b", "--estate", estate, "--school", "elm")
    assert "elm  no such school; there are: ash, oak" in str(done.exception)


def test_check_finds_the_committed_boards_without_fault() -> None:
    done = run("check", "--json")
    assert (done.exit_code, json.loads(done.stdout)["faults"]) == (0, [])


def test_keys_that_grafana_adds_do_not_make_a_board_differ() -> None:
    assert contains({"a": [{"b": 1, "new": 2}], "x": 0}, {"a": [{"b": 1}]})
    assert not contains({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}]})
    assert not contains({"a": 1}, {"b": 1})


def test_a_token_sent_in_the_clear_and_a_desk_on_loopback_are_said() -> None:
    from caretaker_collector.commands.boards import _warnings

    assert _warnings("http://127.0.0.1:3000", "http://127.0.0.1:8600") == []
    assert _warnings("https://grafana.example", "https://desk.example") == []
    told = "\n".join(_warnings("http://grafana.example", "http://127.0.0.1:8600"))
    assert "unencrypted" in told and "say --desk" in told
