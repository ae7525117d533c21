"""A room's link over real HTTP against a collector process: the page, the hold, and those who mean it ill."""

import http.client
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from caretaker_collector.cli import app
from servers import free_port
from worlds import World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
TITLE = '<b onclick="x()">ICT & Art</b>'


class Site:
    """The collector's pages, as a phone sees them."""

    def __init__(self, world: World, path: str) -> None:
        self.world = world
        self.path = path

    def ask(
        self, method: str, path: str | None = None, who: str = "192.0.2.1", body: bytes | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text. `who` is the address that a web server on this machine passes on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.http_port, timeout=10)
        try:
            connection.request(method, path or self.path, body=body, headers={"X-Forwarded-For": who})
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
        finally:
            connection.close()

    def raw(self, head: str, body: bytes = b"") -> bytes:
        """The first bytes that come back, while we would go on sending."""
        with socket.create_connection(("127.0.0.1", self.world.http_port), timeout=10) as line:
            line.sendall(f"{head} HTTP/1.1\r\nHost: x\r\n".encode() + body)
            return line.recv(4096)

    def holds(self) -> list[tuple[str, str | None, str, str]]:
        """Room, device, who and why of every hold that was ever made."""
        query = "SELECT room, device, by_whom, reason FROM holds ORDER BY id"
        return self.world.state().execute(query).fetchall()


def caretaker(world: World, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*words, "--config", str(world.config)])
    return result.exit_code, result.stdout, result.stderr


def new_link(world: World) -> str:
    """The path of the room's link."""
    code, out, _ = caretaker(world, "stay-link", "ash/ict1", "--base-url", "https://caretaker.school.example/")
    assert code == 0
    assert out.startswith("https://caretaker.school.example/stay/")
    return out.strip().removeprefix("https://caretaker.school.example")


def with_links(folder: Path, on: bool = True) -> World:
    """A school whose one room has a title that is markup; no broker is needed to ask."""
    world = make_world(folder, free_port())
    text = world.config.read_text()
    world.config.write_text(text.replace("[http]\n", f'[http]\nstay_links = {str(on).lower()}\nstay_for = "40 min"\n'))
    estate = folder / "estate.toml"
    estate.write_text(estate.read_text().replace('"ICT suite 1"', f"'{TITLE}'"))
    return world


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    world = with_links(tmp_path)
    with collecting(world):
        yield Site(world, new_link(world))


def london(minutes: int) -> set[str]:
    """What the clock on the wall shows in so many minutes, or in a minute more."""
    now = datetime.now(ZoneInfo("Europe/London")) + timedelta(minutes=minutes)
    return {f"{now + timedelta(minutes=more):%H:%M}" for more in (-1, 0, 1)}


def test_a_link_keeps_its_room_on_and_says_until_when(site: Site) -> None:
    status, headers, page = site.ask("GET")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>Keep &lt;b onclick=&quot;x()&quot;&gt;ICT &amp; Art&lt;/b&gt; on for 40 min?</h1>" in page
    assert page.count("<button>") == 1
    assert not re.search(r"<script|<b |src=|href=|https?:|javascript:", page)
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert site.holds() == []

    status, _, page = site.ask("POST")
    until = re.search(r"stays on until (\d\d:\d\d)</h1>", page)
    assert status == 200 and until is not None and until[1] in london(40)
    made = [("ict1", None, "somebody with the link of ash/ict1", "still here")]
    assert site.holds() == made
    status, _, page = site.ask("POST", who="192.0.2.2")
    assert status == 200
    assert f"is already kept on until {until[1]}</h1>" in page
    assert site.holds() == made
    assert f"It is kept on until {until[1]} already." in site.ask("GET")[2]

    code, out, _ = caretaker(site.world, "holds")
    assert code == 0
    assert "on now; by somebody with the link of ash/ict1: still here" in out
    assert caretaker(site.world, "end", "1")[0] == 0
    status, _, page = site.ask("POST")
    assert (status, "was just released" in page) == (409, True)
    assert site.holds() == made


def test_only_a_post_with_the_right_link_makes_a_hold(site: Site) -> None:
    """No method but POST, and every wrong link gets the same page, whatever it looks like."""
    for method, status in (
        ("GET", 200),
        ("HEAD", 200),
        ("PUT", 405),
        ("DELETE", 405),
        ("PATCH", 405),
        ("OPTIONS", 405),
    ):
        answer = site.ask(method)
        assert answer[0] == status, method
    assert site.ask("HEAD")[2] == ""
    token = site.path.removeprefix("/stay/")
    wrong = [token[:-1], token + "A", token.swapcase(), "ash", "ash%2Fict1", "%00", "' OR 1=1 --", "x" * 5000, "%FF%FE"]
    pages = {
        site.ask(method, "/stay/" + text.replace(" ", "%20"), who=f"192.0.2.{number}")[::2]
        for method in ("GET", "POST")
        for number, text in enumerate(wrong)
    }
    assert len(pages) == 1
    (status, page) = pages.pop()
    assert status == 404
    assert "This link does not work" in page and "ict1" not in page and "Art" not in page
    for path in ("/stay/", f"/stay/{token}/more", f"/stay/../stay/{token}/"):
        assert site.ask("POST", path)[0] == 404
    assert site.holds() == []


def test_a_thousand_posts_make_one_hold_and_stall_nobody(site: Site) -> None:
    """From one address twenty a minute are heard; from many addresses the room is still held once."""
    with ThreadPoolExecutor(16) as many:
        one = list(many.map(lambda _: site.ask("POST")[0], range(1000)))
        others = list(many.map(lambda number: site.ask("POST", who=f"198.51.100.{number}")[0], range(60)))
        house = list(many.map(lambda number: site.ask("POST", who=f"2001:db8::{number:x}")[0], range(1, 41)))
    assert (one.count(200), one.count(429)) == (20, 980)
    assert others == [200] * 60
    assert house.count(200) == 20, "a network of IPv6 is one house"
    assert len(site.holds()) == 1
    assert site.ask("GET")[0] == 200
    assert site.ask("POST")[1]["retry-after"] == "60"


def test_a_huge_body_is_refused_before_it_is_sent(site: Site) -> None:
    post = f"POST {site.path}"
    for head in (b"Content-Length: 10000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
        answer = site.raw(post, head)
        assert answer.startswith(b"HTTP/1.1 413"), answer
    assert site.raw(post, b"Content-Length: -1\r\n\r\n").startswith(b"HTTP/1.1 4")
    begin = time.monotonic()
    with pytest.raises(OSError):
        for _ in range(4):  # however much is pushed, the line is closed
            site.ask("POST", body=b"x" * 50_000_000)
            raise AssertionError("took it")
    assert time.monotonic() - begin < 10
    assert site.holds() == []
    assert site.ask("POST", body=b"a=1")[0] == 200, "what a form may send is not read"
    health = site.ask("GET", "/healthz")[0]
    assert health in (200, 503)


def test_a_link_that_was_taken_back_is_dead_at_once_and_a_new_one_is_another(site: Site) -> None:
    assert new_link(site.world) == site.path, "it is the same until it is taken back"
    code, out, _ = caretaker(site.world, "stay-link", "ash/ict1", "--revoke")
    assert (code, out) == (0, "the link of ash/ict1 no longer works\n")
    assert site.ask("GET")[0] == 404
    assert site.ask("POST")[0] == 404
    assert caretaker(site.world, "stay-link", "ash/ict1", "--revoke")[0] == 1
    fresh = new_link(site.world)
    assert fresh != site.path
    assert site.ask("POST", fresh)[0] == 200
    assert site.ask("POST")[0] == 404


def test_links_are_off_unless_settings_say_so(tmp_path: Path) -> None:
    world = with_links(tmp_path, on=False)
    text = world.config.read_text()
    world.config.write_text(re.sub(r"stay_\w+ = .*\n", "", text))
    with collecting(world):
        code, out, err = caretaker(world, "stay-link", "ash/ict1")
        assert (code, "it answers 404 until collector.toml has stay_links = true under [http]" in err) == (0, True)
        site = Site(world, "/stay/" + out.strip().rpartition("/")[2])
        assert [site.ask(method)[0] for method in ("GET", "POST", "HEAD")] == [404, 404, 404]
        assert site.ask("GET")[2] == site.ask("GET", "/api/nothing")[2]
        assert site.holds() == []


def test_the_rules_hear_of_it_without_waiting_for_their_tick(tmp_path: Path) -> None:
    """Two links pressed at once by ten people: the core has the hold on its next look."""
    world = with_links(tmp_path)
    with collecting(world):
        site = Site(world, new_link(world))
        with ThreadPoolExecutor(10) as people:
            pages = list(people.map(lambda number: site.ask("POST", who=f"192.0.2.{number}")[2], range(10)))
        assert sum("stays on until" in page for page in pages) == 1
        assert sum("already kept on" in page for page in pages) == 9
        feed = world.data / "planned" / "ash.ics"
        eventually(lambda: feed.exists() and "Kept on" in feed.read_text(), 10, lambda: feed.read_text())
