"""Signing in to the desk of a real collector over real HTTP, past a web server that may or may not be trusted."""

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from typer.testing import CliRunner, Result

from caretaker_collector.cli import app
from servers import free_port
from worlds import World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
PASSWORD = "kettle marble violin"


def caretaker(world: World, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(world.config)], input=typed)


@contextmanager
def serving(folder: Path, desk: str = "") -> Iterator[World]:
    """A collector with an engineer and a break-glass account; it needs no broker for this."""
    world = make_world(folder, free_port())
    world.config.write_text(world.config.read_text() + f"\n[desk]\n{desk}\n")
    for name, more in (("Service desk", ["--role", "engineer"]), ("Glass", ["--role", "manager", "--break-glass"])):
        made = caretaker(world, "account", "new", name, *more, typed=PASSWORD + "\n")
        assert made.exit_code == 0, made.stderr
    with collecting(world):
        yield world


def ask(
    world: World, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", world.http_port, timeout=20)
    try:
        connection.request(method, path, body or None, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read().decode()
    finally:
        connection.close()


def sign_in(world: World, name: str, password: str = PASSWORD) -> tuple[int, str]:
    """Status, and the cookie of the session."""
    _, headers, page = ask(world, "GET", "/sign-in")
    form = headers["set-cookie"].partition(";")[0]
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    body = urlencode({"csrf": token[1], "name": name, "password": password, "next": "/"})
    sent = {"Cookie": form, "Content-Type": "application/x-www-form-urlencoded"}
    status, headers, _ = ask(world, "POST", "/sign-in", sent, body)
    return status, (headers["set-cookie"] or "").partition(";")[0]


def test_people_sign_in_to_the_desk_and_an_ended_account_is_out_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as world:
        for path in ("/", "/audit", "/schools/ash", "/s/ash", "/events?topic=estate", "/no-such-page"):
            status, headers, _ = ask(world, "GET", path)
            assert (status, headers["location"].startswith("/sign-in")) == (303, True), path
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["server"] is None
        status, cookie = sign_in(world, "service desk")
        assert status == 303
        status, headers, page = ask(world, "GET", "/", {"Cookie": cookie})
        assert (status, "Service desk" in page, headers["cache-control"]) == (200, True, "no-store")
        assert ask(world, "GET", "/", {"Cookie": cookie, "Host": "evil.example"})[0] == 400
        assert ask(world, "GET", "/healthz", {"Host": "evil.example"})[0] in (200, 503), "not the desk's"
        assert caretaker(world, "account", "end", "Service desk").exit_code == 0
        assert ask(world, "GET", "/", {"Cookie": cookie})[0] == 303
        assert sign_in(world, "service desk")[0] == 403


def test_a_slow_body_is_given_up_and_the_line_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path) as world, socket.create_connection(("127.0.0.1", world.http_port), timeout=30) as line:
        line.sendall(
            b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 100\r\n\r\ncsrf="
        )
        answer = b""
        while part := line.recv(65_536):
            answer += part
        assert answer.startswith(b"HTTP/1.1 408"), "and then the line is closed"


def test_a_trusted_header_counts_from_the_direct_peer_only(tmp_path: Path) -> None:
    """The collector's peer here is 127.0.0.1, which is not the web server that the settings name."""
    with serving(tmp_path, 'header = "X-Remote-User"\nproxies = ["192.0.2.80"]') as world:
        for forged in ("192.0.2.80", "192.0.2.80, 127.0.0.1", "127.0.0.1, 192.0.2.80"):
            sent = {"X-Remote-User": "Service desk", "X-Forwarded-For": forged}
            assert ask(world, "GET", "/", sent)[0] == 303, forged
        assert sign_in(world, "Service desk")[0] == 403, "a password is for the break-glass account only"
    with serving(tmp_path / "2", 'header = "X-Remote-User"\nproxies = ["127.0.0.1"]') as world:
        sent = {"X-Remote-User": "Service desk", "X-Forwarded-For": "203.0.113.5"}
        status, headers, page = ask(world, "GET", "/", sent)
        assert (status, "Service desk" in page, "caretaker=" in headers["set-cookie"]) == (200, True, True)
        assert ask(world, "GET", "/", {**sent, "X-Remote-User": "Somebody"})[0] == 403


def test_breaking_the_glass_opens_an_incident(tmp_path: Path) -> None:
    with serving(tmp_path) as world:
        assert sign_in(world, "Glass")[0] == 303

        def opened() -> list[str]:
            return [line for line in caretaker(world, "incidents").stdout.splitlines() if "break-glass" in line]

        eventually(lambda: len(opened()) == 1, 30)
        assert "Caretaker's break-glass account is in use: Glass" in opened()[0]
