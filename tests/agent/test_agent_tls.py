"""The agent's line over TLS: both sides prove themselves, and a broker that cannot is not spoken to."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caretaker_agent.settings import Broker
from servers import Mosquitto, free_port, mosquitto, program

pytestmark = pytest.mark.slow
Wait = Callable[..., Any]


def openssl(folder: Path, *arguments: str) -> None:
    tool = program("openssl", "openssl")
    subprocess.run([tool, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def authority(folder: Path, name: str) -> None:
    openssl(folder, *_key(f"{name}.key"), "-x509", "-days", "2", "-out", f"{name}.pem", "-subj", f"/CN={name}")


def _key(name: str) -> list[str]:
    return ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name]


def certificate(folder: Path, name: str, signer: str, more: str = "") -> None:
    (folder / f"{name}.ext").write_text(more or "basicConstraints=CA:FALSE")
    openssl(folder, *_key(f"{name}.key"), "-out", f"{name}.csr", "-subj", f"/CN={name}")
    signed_by = ["-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed_by, "-days", "2", "-out", f"{name}.pem")


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Mosquitto, int, Path]]:
    """A broker with a plain port for the ear and a TLS port that asks for a certificate."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    for name in ("ca", "stranger"):
        authority(folder, name)
    certificate(folder, "broker", "ca", "subjectAltName=IP:127.0.0.1")
    certificate(folder, "pc-1", "ca")
    certificate(folder, "intruder", "stranger")
    port = free_port()
    with mosquitto(
        listener=f"{port} 127.0.0.1",
        cafile=folder / "ca.pem",
        certfile=folder / "broker.pem",
        keyfile=folder / "broker.key",
        require_certificate=True,
    ) as broker:
        yield broker, port, folder


def world_at(secured: tuple[Mosquitto, int, Path], world: Any, ca: str, own: str) -> Any:
    broker, port, folder = secured
    world.ear.close()
    world.port = broker.port
    world.listen()
    plain = world.settings()
    files = {"ca": f"{folder}/{ca}.pem", "certificate": f"{folder}/{own}.pem", "key": f"{folder}/{own}.key"}
    secure = msgspec.structs.replace(plain, broker=Broker(host="127.0.0.1", port=port, **files))
    world.settings = lambda: secure
    return world


def test_reports_arrive_and_commands_are_obeyed_over_tls(secured: Any, world: Any, wait: Wait) -> None:
    there = world_at(secured, world, "ca", "pc-1")
    there.start()
    wait(lambda: there.ear.reports)
    number = there.send(there.command(warn_s=0))
    wait(lambda: there.ear.steps(number) == ["received", "done/dry_run"])


def test_a_broker_of_another_authority_is_not_spoken_to(
    secured: Any, world: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    there = world_at(secured, world, "stranger", "pc-1")
    there.start()
    time.sleep(2)
    there.stop()
    assert there.ear.heard == []
    assert "certificate verify failed" in capfd.readouterr().err


def test_a_machine_of_another_authority_is_not_let_in(secured: Any, world: Any) -> None:
    there = world_at(secured, world, "ca", "intruder")
    there.start()
    time.sleep(2)
    there.stop()
    assert there.ear.heard == []
