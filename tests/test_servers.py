"""The servers that the other tests stand on."""

import socket

import pytest

from servers import Mosquitto, free_port, influxd, mosquitto, program


def test_a_missing_program_fails_with_the_package_to_install() -> None:
    with pytest.raises(AssertionError, match="no-such-server is missing: apt-get install some-package"):
        program("no-such-server", "some-package")


def test_free_ports_differ_and_are_never_the_port_of_an_outgoing_connection() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < 32_768


def test_a_server_that_does_not_start_shows_its_log() -> None:
    with (
        pytest.raises(AssertionError, match=r"mosquitto ended with \d+:\n.*no_such_setting"),
        mosquitto(no_such_setting=1),
    ):
        pass


def _answers(server: Mosquitto) -> bool:
    with socket.socket() as client:
        return client.connect_ex((server.host, server.port)) == 0


def test_a_broker_can_be_stopped_killed_and_started_again_on_its_port() -> None:
    with mosquitto(persistence=True) as server:
        assert _answers(server)
        for end in (server.stop, server.kill):
            end()
            assert not _answers(server)
            server.start()
            assert _answers(server)
    assert not _answers(server)
    assert not server.directory.exists()


@pytest.mark.slow
def test_a_named_influxdb_needs_all_four_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARETAKER_TEST_INFLUX_URL", "http://127.0.0.1:1")
    for key in ("TOKEN", "ORG", "BUCKET"):
        monkeypatch.delenv(f"CARETAKER_TEST_INFLUX_{key}", raising=False)
    with pytest.raises(AssertionError, match=r"also set CARETAKER_TEST_INFLUX_TOKEN, .*_ORG, .*_BUCKET"), influxd():
        pass
