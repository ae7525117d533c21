"""Real servers for tests, as private child processes on free ports of 127.0.0.1: mosquitto, and InfluxDB.

InfluxDB is Debian's 1.6.7 behind Debian's nginx, which turns /api/v2/write into /write, unless
CARETAKER_TEST_INFLUX_URL, _TOKEN, _ORG and _BUCKET name a 2.x or 3.x server (its bucket must be readable over /query:
on 2.x that takes a DBRP mapping).
A missing program fails the test with the remedy; it never skips it.
"""

import base64
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from faulty_http import PARTIAL_WRITE, FaultyHttp

__all__ = ["PARTIAL_WRITE", "FaultyHttp", "Influx", "Mosquitto", "free_port", "influxd", "mosquitto", "program"]

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
_given_ports: set[int] = set()


def free_port() -> int:
    """A free port of 127.0.0.1, never given twice in this process.

    It lies below the range from which Linux takes the ports of outgoing connections (32768 and up): otherwise a client
    that tries to reconnect while the server is down can be given the server's port, or even connect to itself.
    """
    while True:
        port = random.randint(15_000, 32_000)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


def program(name: str, package: str) -> str:
    """Path of a server's program, also in /usr/sbin, which is not on everybody's PATH."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        raise AssertionError(f"{name} is missing: apt-get install {package} (make test does this as root)")
    return found


@dataclass
class Child:
    """One server process with its log; `ready` is asked until it is true. Starts again with the same command."""

    name: str
    command: list[str]
    log: Path
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers; AssertionError with the end of its log when it does not."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if self.ready():
                return
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"{self.name} was not ready within {READY_WITHIN_S:.0f} s:\n{self.tail()}")

    def tail(self) -> str:
        """The last 4 kB of its log."""
        return self.log.read_bytes()[-4096:].decode(errors="replace") if self.log.exists() else "(no log)"

    def stop(self) -> None:
        """Ask it to end and wait; kill it when it does not. Nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 and wait."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_WITHIN_S)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self.process is not None
        return self.process.pid


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@dataclass
class Mosquitto:
    """A private broker. `start()` after `stop()` or `kill()` uses the same port and the same persistence directory."""

    host: str
    port: int
    directory: Path
    child: Child

    def start(self) -> None:
        """Start again (a fresh one runs already)."""
        self.child.start()

    def stop(self) -> None:
        """SIGTERM: a clean end, which saves the persistence database."""
        self.child.stop()

    def kill(self) -> None:
        """kill -9: nothing is saved."""
        self.child.kill()

    @property
    def log(self) -> str:
        """The end of the broker's log."""
        return self.child.tail()


@contextmanager
def mosquitto(persistence: bool = False, **conf: object) -> Iterator[Mosquitto]:
    """A broker with anonymous access and the limits of deploy/; `conf` adds or replaces lines of mosquitto.conf.

    `persistence=True` keeps mosquitto's own defaults (it saves every 1800 s and on a clean end); hand in
    autosave_interval and autosave_on_changes for more.
    """
    path = program("mosquitto", "mosquitto")
    with tempfile.TemporaryDirectory(prefix="caretaker-mosquitto-") as name, ExitStack() as stack:
        directory, port = Path(name), free_port()
        lines: dict[str, object] = {
            "allow_anonymous": True,
            "log_dest": "stderr",
            "log_type": "warning",
            "max_inflight_messages": 1000,
            "max_queued_messages": 100_000,
            "max_queued_bytes": 256 * 2**20,
            "memory_limit": 512 * 2**20,
            "persistent_client_expiration": "1d",
            "persistence": persistence,
            **conf,
        }
        if persistence:
            lines["persistence_location"] = f"{directory}/"
        if os.geteuid() == 0:
            lines["user"] = "root"  # else it changes to a user who may not read this directory
        text = [f"listener {port} 127.0.0.1"]
        text += [f"{key} {str(value).lower() if isinstance(value, bool) else value}" for key, value in lines.items()]
        config = directory / "mosquitto.conf"
        config.write_text("\n".join(text) + "\n")
        child = Child("mosquitto", [path, "-c", str(config)], directory / "log", lambda: _listens(port))
        stack.callback(child.stop)
        child.start()
        yield Mosquitto("127.0.0.1", port, directory, child)


class _Backend(Protocol):
    """What stands behind an `Influx`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Influx:
    """An InfluxDB that understands /api/v2/write and /query with a token. `stop()` makes it unreachable."""

    url: str
    token: str
    org: str
    bucket: str
    _backend: _Backend = field(repr=False)
    _create: Callable[[str], bool] = field(repr=False)

    def stop(self) -> None:
        """End it: connections are refused (a named server of version 2 or 3: broken off)."""
        self._backend.stop()

    def start(self) -> None:
        """Start it again, with its data."""
        self._backend.start()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows of an InfluxQL query, each with its columns, its tags (if grouped) and its time in ms."""
        arguments = urlencode({"db": self.bucket, "q": query, "epoch": "ms"})
        asked = urllib.request.Request(f"{self.url}/query?{arguments}")  # noqa: S310 (a server of ours)
        asked.add_header("Authorization", f"Token {self.token}")
        with urllib.request.urlopen(asked, timeout=60) as reply:  # noqa: S310
            answer = json.load(reply)
        rows = []
        for result in answer["results"]:
            assert "error" not in result, f"{query}: {result['error']}"
            for series in result.get("series", ()):
                tags = series.get("tags", {})
                rows += [{**tags, **dict(zip(series["columns"], values, strict=True))} for values in series["values"]]
        return rows

    def fresh_bucket(self) -> "Influx":
        """The same server with an empty bucket of its own (on a named server: its one bucket)."""
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        return replace(self, bucket=bucket) if self._create(bucket) else self


@contextmanager
def influxd() -> Iterator[Influx]:
    """The InfluxDB that CARETAKER_TEST_INFLUX_* name, else a private 1.6.7 behind nginx with an empty bucket."""
    named = {key: os.environ.get(f"CARETAKER_TEST_INFLUX_{key}", "") for key in ("URL", "TOKEN", "ORG", "BUCKET")}
    if any(named.values()):
        missing = [f"CARETAKER_TEST_INFLUX_{key}" for key, value in named.items() if not value]
        assert not missing, f"also set {', '.join(missing)}"
        with FaultyHttp(named["URL"]) as proxy:  # so that it can be taken away
            backend = _Named(proxy)
            yield Influx(proxy.url, named["TOKEN"], named["ORG"], named["BUCKET"], backend, lambda bucket: False)
    else:
        with _private_influx() as influx:
            yield influx


@dataclass
class _Named:
    proxy: FaultyHttp

    def start(self) -> None:
        self.proxy.pass_on()

    def stop(self) -> None:
        self.proxy.drop()


@dataclass
class _Pair:
    influxd: Child
    nginx: Child

    def start(self) -> None:
        self.influxd.start()
        self.nginx.start()

    def stop(self) -> None:
        self.nginx.stop()
        self.influxd.stop()


_INFLUX_CONF = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{run}/meta"
[data]
dir = "{run}/data"
wal-dir = "{run}/wal"
index-version = "inmem"
query-log-enabled = false
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
[retention]
enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = true
log-enabled = false
[ifql]
enabled = false
"""

_NGINX_CONF = """\
{user}daemon off;
pid {run}/nginx.pid;
error_log {run}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy; fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
  client_max_body_size 25m;
  client_body_buffer_size 2m;
  # version 2's names of precisions and its token, as version 1.6 knows them
  map $arg_precision $old_precision {{ default n; us u; ms ms; s s; }}
  map $http_authorization $old_authorization {{ default $http_authorization; "Token {token}" "Basic {basic}"; }}
  upstream influx {{ server 127.0.0.1:{influx_port}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization $old_authorization;
    proxy_read_timeout 60s;
    location = /api/v2/write {{ proxy_pass http://influx/write?db=$arg_bucket&precision=$old_precision; }}
    location = /query {{ proxy_pass http://influx; }}
    location = /ping {{ proxy_pass http://influx; }}
  }}
}}
"""


@contextmanager
def _private_influx() -> Iterator[Influx]:
    database, proxy = program("influxd", "influxdb"), program("nginx", "nginx-light")
    with tempfile.TemporaryDirectory(prefix="caretaker-influx-") as name, ExitStack() as stack:
        run, port, influx_port = Path(name), free_port(), free_port()
        user, password, token = "caretaker", uuid.uuid4().hex, f"token-{uuid.uuid4().hex}"
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        (run / "influxd.conf").write_text(_INFLUX_CONF.format(run=run, port=influx_port, rpc_port=free_port()))
        (run / "nginx.conf").write_text(
            _NGINX_CONF.format(
                run=run,
                port=port,
                influx_port=influx_port,
                token=token,
                basic=basic,
                user="user root;\n" if os.geteuid() == 0 else "",  # else its workers may not enter this directory
            )
        )
        command = [proxy, "-p", name, "-e", f"{run}/nginx.log", "-c", f"{run}/nginx.conf"]
        direct, url = f"http://127.0.0.1:{influx_port}", f"http://127.0.0.1:{port}"
        pair = _Pair(
            Child("influxd", [database, "-config", f"{run}/influxd.conf"], run / "influxd.log", lambda: _pings(direct)),
            Child("nginx", command, run / "nginx.log", lambda: _pings(url)),
        )
        stack.callback(pair.stop)
        pair.influxd.start()
        _influxql(direct, f"CREATE USER {user} WITH PASSWORD '{password}' WITH ALL PRIVILEGES", None)
        pair.nginx.start()

        def create(bucket: str) -> bool:
            _influxql(direct, f'CREATE DATABASE "{bucket}"', basic)
            return True

        create("test")
        yield Influx(url, token, "caretaker", "test", pair, create)


def _pings(url: str) -> bool:
    try:
        return _request(url, "GET", "/ping", {})[0] == 204
    except (OSError, http.client.HTTPException):
        return False


def _influxql(url: str, query: str, basic: str | None) -> None:
    headers = {"Authorization": f"Basic {basic}"} if basic else {}
    status, body = _request(url, "POST", "/query?" + urlencode({"q": query}), headers)
    assert status == 200 and b"error" not in body, f"InfluxDB answered {status} to {query}: {body!r}"


def _request(url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
