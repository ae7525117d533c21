"""What can be known of compose.yaml and of provisioning without a container engine: names, paths, ports, pins."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from caretaker_collector.settings import load_collector
from caretaker_dashboards import build
from caretaker_dashboards.boards.defaults import short
from caretaker_dashboards.describe import Audience
from caretaker_dashboards.folders import TITLES

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
PROVISIONING = DEPLOY / "grafana" / "provisioning"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TEXT = (DEPLOY / "compose.yaml").read_text()
GENERATED = "../dashboards/generated"


def env_example() -> dict[str, str]:
    """Names and values of .env.example."""
    lines = [line for line in (DEPLOY / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def mounts(service: str) -> dict[str, str]:
    """Where each volume of a service is seen, and where it comes from."""
    found = {}
    for each in SERVICES[service].get("volumes", ()):
        plain = re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda match: f"<{match[1]}>", each)
        source, target, *_ = plain.split(":")
        found[target] = source
    return found


def test_there_are_broker_database_grafana_and_collector() -> None:
    assert list(SERVICES) == ["broker", "influxdb", "grafana", "collector"]


def test_every_image_is_pinned_to_a_version() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", service["image"]), name
    assert re.search(r"^FROM python:3\.11\.\d+-slim-bookworm$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_every_port_is_on_loopback_unless_env_says_otherwise() -> None:
    addresses = {name: value for name, value in env_example().items() if name.endswith("_ADDRESS")}
    assert set(addresses.values()) == {"127.0.0.1"}
    for service in SERVICES.values():
        for port in service.get("ports", ()):
            assert re.fullmatch(r"(127\.0\.0\.1|\$\{CARETAKER_\w+_ADDRESS:-127\.0\.0\.1\}):\d+:\d+", port), port


def test_every_variable_is_in_the_example_and_every_one_there_is_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    assert used == env_example().keys()
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT):
        assert env_example()[name] == default, name


def test_no_secret_has_a_value_that_somebody_could_leave_in() -> None:
    secrets = [name for name in env_example() if name.endswith(("_PASSWORD", "_TOKEN"))]
    assert len(secrets) == 4
    for name in secrets:
        assert env_example()[name] == ""
        assert f"${{{name}:?" in TEXT, f"{name} has to be asked for"


def test_every_file_that_is_mounted_is_there() -> None:
    for name in SERVICES:
        for source in mounts(name).values():
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                assert source.startswith("<") or source in COMPOSE["volumes"], source
    assert (DEPLOY / GENERATED).resolve() == build.GENERATED.resolve()
    build_of = SERVICES["collector"]["build"]
    assert (DEPLOY / build_of["context"] / build_of["dockerfile"]).exists()


def test_what_a_variable_of_compose_hands_on_is_what_provisioning_asks_for() -> None:
    text = (PROVISIONING / "datasources" / "caretaker.yaml").read_text()
    asked = set(re.findall(r"\$(CARETAKER_\w+)", text))
    assert asked and asked <= SERVICES["grafana"]["environment"].keys()
    script = (DEPLOY / "influxdb" / "10-read-with-influxql.sh").read_text()
    given = SERVICES["influxdb"]["environment"].keys() | {"DOCKER_INFLUXDB_INIT_BUCKET_ID"}  # the image's own
    assert set(re.findall(r"\$(\w+)", script)) <= given


def test_the_data_source_is_influxql_through_grafana_and_read_only() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "caretaker.yaml").read_text())["datasources"]
    assert (source["type"], source["access"], source["editable"]) == ("influxdb", "proxy", False)
    assert source["jsonData"]["version"] == "InfluxQL" and source["jsonData"]["dbName"] == "$CARETAKER_INFLUX_BUCKET"
    script = (DEPLOY / "influxdb" / "10-read-with-influxql.sh").read_text()
    assert f"--username {source['user']} " in script and "--read-bucket" in script and "--write-bucket" not in script


def test_every_provider_points_to_boards_that_nobody_edits_in_grafana() -> None:
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "caretaker.yaml").read_text())["providers"]
    inside = next(target for target, source in mounts("grafana").items() if source == "<CARETAKER_BOARDS>")
    paths = {provider["options"]["path"]: provider for provider in providers}
    assert set(paths) == {f"{inside}/{each.value}" for each in Audience} | {f"{inside}/schools"}
    for path, provider in paths.items():
        assert (build.GENERATED / path.removeprefix(f"{inside}/")).is_dir(), path
        assert provider["allowUiUpdates"] is False and provider["type"] == "file"
    for audience in Audience:  # the same folders as `caretaker boards push` makes
        provider = paths[f"{inside}/{audience.value}"]
        assert (provider["folder"], provider["folderUid"]) == (
            TITLES[audience],
            short(f"caretaker-for-{audience.value}"),
        )
    assert paths[f"{inside}/schools"]["options"]["foldersFromFilesStructure"] is True
    assert "folder" not in paths[f"{inside}/schools"]


def test_every_board_that_is_provisioned_is_json_with_a_uid_of_its_own() -> None:
    uids = [json.loads(path.read_text())["uid"] for path in build.GENERATED.rglob("*.json")]
    assert len(uids) == len(set(uids)) > 5


def test_the_script_for_influxdb_is_a_script_that_can_be_run() -> None:
    path = DEPLOY / "influxdb" / "10-read-with-influxql.sh"
    assert path.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_collectors_settings_fit_the_other_services(tmp_path: Path) -> None:
    for path in (DEPLOY / "examples").glob("*.*"):
        shutil.copy(path, tmp_path)
    shutil.copy(DEPLOY / "compose" / "collector.toml", tmp_path)
    shutil.copy(REPOSITORY / "rules" / "policies" / "observe.toml", tmp_path)
    for name in ("ca.crt", "collector.crt", "collector.key", "signing.key", "influx.token"):
        (tmp_path / name).write_text("x")
    settings = load_collector(tmp_path / "collector.toml")
    assert settings.broker.host in SERVICES and f":{settings.broker.port}:" in SERVICES["broker"]["ports"][0]
    assert settings.store.url == SERVICES["grafana"]["environment"]["CARETAKER_INFLUX_URL"]
    example = env_example()
    assert (settings.store.org, settings.store.bucket) == (
        example["CARETAKER_INFLUX_ORG"],
        example["CARETAKER_INFLUX_BUCKET"],
    )
    assert f":{settings.http.port}" in SERVICES["collector"]["ports"][0]
    assert mounts("collector")[settings.data] == "collector"


def test_the_image_is_made_of_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for name in re.findall(r"requirements/\w+\.txt", text):
        assert (REPOSITORY / name).exists()
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert all((REPOSITORY / name).exists() for name in kept)
    for package in re.findall(r'"(\w+)/caretaker_\w+",', (REPOSITORY / "pyproject.toml").read_text()):
        assert package in kept, f"{package} is left out of the image"


@pytest.mark.parametrize("name", ["compose.yaml", ".env.example"])
def test_no_address_of_this_machine_is_left_in(name: str) -> None:
    assert not re.search(r"/(home|root|tmp)/", (DEPLOY / name).read_text())
