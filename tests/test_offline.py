"""No telemetry, works offline: nothing in Caretaker looks beyond loopback unless a person names a server."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from offline import run_offline

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LOOK_OUTSIDE = """
import socket
for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as client:
            try:
                client.connect((address, 443))
            except OSError:
                pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    try:
        client.sendto(b"hello", ("192.0.2.2", 8125))
    except OSError:
        pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("0.0.0.0", 8125))
socket.create_server(("0.0.0.0", 0)).close()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
print("still here")
"""


def test_the_watch_itself_sees_every_look_outside(tmp_path: Path) -> None:
    found = run_offline([sys.executable, "-c", LOOK_OUTSIDE], tmp_path)
    assert (found.returncode, found.stdout) == (0, "still here\n"), found.stderr
    assert found.outside == [
        *["connect 192.0.2.1:443"] * 2,
        *["connect 2001:db8::1:443"] * 2,
        "sendto 192.0.2.2:8125",
        "bind 0.0.0.0:8125",
        "listen 0.0.0.0:0",
    ]
    assert found.inside == 2  # bind and connect on loopback


def test_the_demo_works_offline_and_never_looks_outside(tmp_path: Path) -> None:
    """Broker, collector, store, two simulated schools and the real agent: the whole path."""
    caretaker = shutil.which("caretaker", path=str(Path(sys.executable).parent))
    assert caretaker is not None, "caretaker is not installed: run make test, or pip install -e '.[dev]'"
    found = run_offline([caretaker, "demo", "--for", "10", "--json", "--no-input"], tmp_path)
    assert found.returncode == 0, found.stderr[-4000:]
    assert found.outside == []
    assert found.inside > 10, "the watch saw nothing: it is not watching"
    result = json.loads(found.stdout.strip().splitlines()[-1])
    assert result["devices"] >= 378
    assert result["published"] == result["stored"] > 0
