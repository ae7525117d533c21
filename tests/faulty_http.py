"""An HTTP proxy whose faults are switched on and off: what a database can do to us, on a real socket."""

import http.client
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

Mode = Literal["pass", "answer", "answer_after", "slow", "drop", "drop_after"]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date"}

PARTIAL_WRITE = (
    b'{"error":"partial write: field type conflict: input field \\"seq\\" on measurement \\"device\\" is type string, '
    b'already exists as type integer dropped=1"}'
)
"""Body of InfluxDB 1.x's answer 400 when some lines of a batch clash in type and the others were stored."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the proxy, as it came (a gzipped body stays gzipped)."""

    method: str
    path: str  # without the query string
    query: str
    body: bytes
    headers: dict[str, str]


@dataclass
class FaultyHttp(AbstractContextManager["FaultyHttp"]):
    """Proxy in front of `target` (an http:// or https:// address); as a context manager it listens on `.url`.

    Every fault holds until the next call of one of `pass_on`, `refuse`, `slow`, `drop`, `answer`; with `times=n` only
    for the next n requests that it concerns, with `path=` only for requests of that path, such as "/api/v2/write".
    `seen` lists all requests so far.
    """

    target: str
    seen: list[Seen] = field(default_factory=list)
    _mode: Mode = "pass"
    _status: int = 503
    _body: bytes = b""
    _delay_s: float = 0.0
    _path: str | None = None
    _left: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changed.set()  # wake the slow ones
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """Address of the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def requests(self, path: str) -> int:
        """How many requests for `path` have come so far."""
        with self._lock:
            return sum(1 for seen in self.seen if seen.path == path)

    def pass_on(self) -> None:
        """No fault (any more)."""
        self._set("pass")

    def refuse(self, status: int = 503, *, path: str | None = None, times: int | None = None) -> None:
        """Answer `status` without asking the target."""
        self._set("answer", status=status, body=b'{"error":"not now"}', path=path, times=times)

    def answer(
        self,
        status: int,
        body: bytes,
        *,
        forward: bool = False,
        path: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer this; with `forward` the target gets the request first (a partial write stores the good lines)."""
        self._set("answer_after" if forward else "answer", status=status, body=body, path=path, times=times)

    def slow(self, delay_s: float, *, path: str | None = None, times: int | None = None) -> None:
        """Wait before passing on (and again not at all once the mode changes)."""
        self._set("slow", delay_s=delay_s, path=path, times=times)

    def drop(self, *, forward: bool = False, path: str | None = None, times: int | None = None) -> None:
        """Close the connection without an answer; with `forward` after the target has done the work."""
        self._set("drop_after" if forward else "drop", path=path, times=times)

    def _set(
        self,
        mode: Mode,
        *,
        status: int = 503,
        body: bytes = b"",
        delay_s: float = 0.0,
        path: str | None = None,
        times: int | None = None,
    ) -> None:
        with self._lock:
            self._mode, self._status, self._body = mode, status, body
            self._delay_s, self._path, self._left = delay_s, path, times
            self._changed.set()  # those who wait on the old event go on now
            self._changed = threading.Event()

    def _next(self, seen: Seen) -> tuple[Mode, int, bytes, float, threading.Event]:
        """Note the request; what to do with it."""
        with self._lock:
            self.seen.append(seen)
            mode = self._mode
            if (self._path is not None and seen.path != self._path) or self._left == 0:
                mode = "pass"
            elif self._left is not None:
                self._left -= 1
            return mode, self._status, self._body, self._delay_s, self._changed


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what these tests are about: no stack trace for it."""


def _handler(proxy: FaultyHttp) -> type[BaseHTTPRequestHandler]:
    target = urlsplit(proxy.target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            seen = Seen(self.command, parts.path, parts.query, body, dict(self.headers.items()))
            mode, status, answer, delay_s, changed = proxy._next(seen)
            if mode == "drop":
                self.close_connection = True
                return
            if mode == "answer":
                self._answer(status, [("Content-Type", "application/json")], answer)
                return
            if mode == "slow":
                changed.wait(delay_s)
            upstream_status, headers, upstream_body = self._forward(body)
            if mode == "drop_after":
                self.close_connection = True
            elif mode == "answer_after":
                self._answer(status, [("Content-Type", "application/json")], answer)
            else:
                self._answer(upstream_status, headers, upstream_body)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _serve

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
            connection = kind(target.hostname or "127.0.0.1", target.port, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
                connection.request(
                    self.command, target.path.rstrip("/") + self.path, body=body or None, headers=headers
                )
                reply = connection.getresponse()
                kept = [(k, v) for k, v in reply.getheaders() if k.lower() not in _HOP_BY_HOP]
                return reply.status, kept, reply.read()
            except OSError as error:
                return 502, [], f'{{"error":"the proxy could not reach the server: {error}"}}'.encode()
            finally:
                connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and status != 204:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: the test says what it expects."""

    return Handler
