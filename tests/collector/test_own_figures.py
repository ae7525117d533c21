"""Caretaker's own figures: the same for /metrics and for the store, once a minute, also while the rules stand still."""

import re
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from caretaker_collector import certificate_end
from caretaker_collector.app import Collector
from caretaker_collector.http import registry_of
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_collector.stages.keep import pending_point
from caretaker_collector.stores.points import fault_of, shape_of
from caretaker_contract.clock import Clock
from caretaker_contract.metrics import MEASUREMENTS, Point
from caretaker_rules.ports import Incoming
from servers import free_port, program
from worlds import Stream, make_world


@pytest.fixture
async def collector(tmp_path: Path) -> Any:
    """A collector that is put together and does not run; its broker does not exist."""
    world = make_world(tmp_path, free_port(), devices=3)
    settings = load_collector(world.config)
    made = Collector(settings, *load_estate_and_policies(Path(settings.estate)), Clock())
    yield made
    await made.close()


def points(collector: Collector) -> list[Point]:
    """What is handed on to the store of Caretaker itself."""
    rows = collector.db.execute("SELECT point FROM pending_points ORDER BY id").fetchall()
    return [point for (blob,) in rows if (point := pending_point(blob)).measurement == "collector"]


async def hear(collector: Collector, stream: Stream, reports: int) -> None:
    """Reports of a machine come into the journal."""
    wired = [stream.wire(stream.report()) for _ in range(reports)]
    await collector.journal.append(
        [Incoming(topic=topic, payload=payload, received_ms=now_ms(collector)) for topic, payload in wired]
    )


def now_ms(collector: Collector) -> int:
    return collector.clock.now_ms()


async def test_there_is_one_point_a_minute_and_the_store_takes_it(collector: Collector) -> None:
    start_ms = 1_791_000_000_000
    for second in range(0, 180, 7):
        collector.figures.keep(start_ms + second * 1000)
    found = points(collector)
    assert [point.time_ns // 1_000_000 - start_ms for point in found] == [0, 60_000, 120_000]
    assert {point.tags for point in found} == {("caretaker", "all", "collector", "caretaker-collector")}
    assert [fault_of(point, shape_of(point)) for point in found] == ["", "", ""]


async def test_what_is_not_known_is_absent_and_all_else_is_there(collector: Collector) -> None:
    collector.figures.keep(now_ms(collector))
    declared = {metric.name for metric in MEASUREMENTS["collector"]}
    assert declared - points(collector)[0].fields.keys() == {"agents", "agents_silent", "certificate_days"}


async def test_lag_parts_and_silent_agents_are_those_of_the_collector(collector: Collector) -> None:
    stream = Stream(next(iter(collector.estate.devices)), at_ms=now_ms(collector))
    await hear(collector, stream, 4)
    while await collector.core.step():
        pass
    figures = collector.figures.gather(now_ms(collector))
    assert (figures.core_lag, figures.recorder_lag, figures.received) == (0, 4, 4)
    assert (figures.agents, figures.agents_silent) == (3, 2)
    assert figures.journal_bytes >= 4096
    assert figures.state_bytes >= 4096
    while await collector.recorder.step():
        pass
    assert collector.figures.gather(now_ms(collector)).recorder_lag == 0
    collector.recorder.problem = "no store"
    assert collector.figures.gather(now_ms(collector)).parts_up == figures.parts_up - 1


async def test_messages_to_people_count_as_waiting_when_they_are_due(collector: Collector) -> None:
    at_ms = now_ms(collector)
    rows = [("a", at_ms - 1, "waiting"), ("b", at_ms + 60_000, "waiting"), ("c", at_ms - 1, "failed")]
    collector.db.executemany(
        "INSERT INTO tellings (id, uid, what, channel, made_ms, due_ms, telling, status) "
        "VALUES (?, 'u', 'opened', 'desk', 0, ?, '', ?)",
        rows,
    )
    figures = collector.figures.gather(at_ms)
    assert (figures.tellings_waiting, figures.tellings_failed) == (1, 1)


async def test_the_page_of_metrics_and_the_point_say_the_same(collector: Collector) -> None:
    stream = Stream(next(iter(collector.estate.devices)), at_ms=now_ms(collector))
    await hear(collector, stream, 4)
    while await collector.core.step():
        pass
    page = generate_latest(registry_of(collector)).decode()
    collector.figures.keep(now_ms(collector))
    fields = points(collector)[0].fields
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    for name, field in {
        ("caretaker_received_total",): "received",
        ("caretaker_quarantined_total",): "quarantined",
        ("caretaker_commands_vetoed_total",): "commands_vetoed",
        ("caretaker_journal_lag_records", "core"): "core_lag",
        ("caretaker_journal_lag_records", "recorder"): "recorder_lag",
        ("caretaker_missing_messages",): "missing",
        ("caretaker_file_bytes", "journal"): "journal_bytes",
        ("caretaker_tellings", "waiting"): "tellings_waiting",
    }.items():
        assert shown[name] == fields[field], name
    assert fields["received"] == 4
    assert sum(value for name, value in shown.items() if name[0] == "caretaker_part_up") == fields["parts_up"]


# -- certificates --


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Certificates that openssl made, by their days: a short one, a long one beyond 2049, and both in one file."""
    folder = tmp_path_factory.mktemp("certificates")
    tool = program("openssl", "openssl")
    made = {}
    for days in (3, 12_000):
        made[str(days)] = path = folder / f"{days}.pem"
        subprocess.run(
            [
                *(tool, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(folder / "key"), "-days", str(days), "-out", str(path), "-subj", "/CN=test"),
            ],
            check=True,
            capture_output=True,
        )
    made["both"] = folder / "both.pem"
    made["both"].write_text(made["12000"].read_text() + made["3"].read_text())
    yield made


@pytest.mark.parametrize(("name", "days"), [("3", 3), ("12000", 12_000), ("both", 3)])
def test_the_end_of_a_certificate_is_the_one_that_openssl_says(
    certificates: dict[str, Path], name: str, days: int
) -> None:
    """Beyond 2049 a certificate writes its year with four digits."""
    end_ms = certificate_end.soonest_end_ms([str(certificates[name])])
    assert end_ms is not None
    until = datetime.fromtimestamp(end_ms / 1000, UTC)
    assert abs(until - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)
    if name != "both":
        said = subprocess.run(
            [program("openssl", "openssl"), "x509", "-noout", "-enddate", "-in", str(certificates[name])],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        match = re.match(r"notAfter=(\w+) +(\d+) (\S+) (\d+) GMT", said)
        assert match
        assert datetime.strptime(" ".join(match.groups()), "%b %d %H:%M:%S %Y").replace(tzinfo=UTC) == until


def test_files_that_hold_no_certificate_have_no_end(tmp_path: Path, certificates: dict[str, Path]) -> None:
    text = certificates["3"].read_text()
    (tmp_path / "cut.pem").write_text(text[:200] + "\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty.pem").write_text("")
    files = [str(tmp_path / "cut.pem"), str(tmp_path / "empty.pem"), str(tmp_path / "none.pem"), "", None]
    assert certificate_end.soonest_end_ms(files) is None
    assert certificate_end.soonest_end_ms([*files, str(certificates["3"])]) is not None
    with pytest.raises(ValueError, match="cut off"):
        certificate_end.end_ms(ssl.PEM_cert_to_DER_cert(text)[:-10])


async def test_a_certificate_that_settings_name_is_watched(collector: Collector, certificates: dict[str, Path]) -> None:
    broker = msgspec.structs.replace(collector.settings.broker, ca_file=str(certificates["3"]))
    collector.settings = msgspec.structs.replace(collector.settings, broker=broker)
    found = collector.figures.gather(now_ms(collector)).certificate_days
    assert found is not None
    assert 2.9 < found <= 3
