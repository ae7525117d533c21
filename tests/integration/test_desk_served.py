"""The desk of a real collector: its pages say what the machines say, live, and to nobody else."""

import asyncio
import contextlib
import http.client
import re
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import aiomqtt
import pytest
from typer.testing import CliRunner

from caretaker_collector.cli import app
from caretaker_contract.messages import Cause, PowerState
from servers import mosquitto
from worlds import CollectorProcess, Stream, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
PASSWORD = "kettle marble violin"
POLICY = """
mode = "observe"
[[rules]]
name = "after-hours"
select = { classes = ["desktop"] }
do = "shut_down"
idle_for = "30 min"
hours = ["mon-sun 00:00-24:00"]
"""


class Site:
    """A collector with somebody who may see all and somebody who may see another school only."""

    def __init__(self, world: World, process: CollectorProcess) -> None:
        self.world, self.process = world, process

    def request(self, method: str, path: str, cookie: str = "", body: str = "") -> http.client.HTTPResponse:
        """One request, its answer not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.http_port, timeout=20)
        sent = {"Cookie": cookie, "Host": f"127.0.0.1:{self.world.http_port}"}
        if body:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        if path.startswith("/events"):
            sent["Accept"] = "text/event-stream"
        connection.request(method, path, body or None, sent)
        return connection.getresponse()

    def page(self, path: str, cookie: str) -> tuple[int, str]:
        """Status and text."""
        answer = self.request("GET", path, cookie)
        return answer.status, answer.read().decode()

    def sign_in(self, name: str) -> str:
        """The cookie of a new session."""
        answer = self.request("GET", "/sign-in")
        form, page = (answer.headers["set-cookie"] or "").partition(";")[0], answer.read().decode()
        token = re.search(r'name="csrf" value="([^"]+)"', page)
        assert token is not None
        fields = {"csrf": token[1], "name": name, "password": PASSWORD, "next": "/"}
        answer = self.request("POST", "/sign-in", form, urlencode(fields))
        assert answer.status == 303, answer.read()
        return str(answer.headers["set-cookie"]).partition(";")[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with mosquitto() as broker:
        yield from serving(make_world(tmp_path_factory.mktemp("served"), broker.port, policy=POLICY))


def serving(world: World) -> Iterator[Site]:
    """Another school, two accounts, and a collector."""
    estate = world.folder / "estate.toml"
    other = '[[schools]]\nname = "oak"\ntitle = "Oakley"\n\n[[schools.rooms]]\nname = "hall"\n\n[[classes]]'
    estate.write_text(estate.read_text().replace("[[classes]]", other))
    for words in (("Desk", "--role", "engineer"), ("Oak", "--role", "director", "--school", "oak")):
        made = CliRunner().invoke(app, ["account", "new", *words, "--config", str(world.config)], input=f"{PASSWORD}\n")
        assert made.exit_code == 0, made.output
    with collecting(world) as process:
        yield Site(world, process)


async def say(site: Site, stream: Stream, state: PowerState, cause: Cause) -> None:
    """A machine reports."""
    report = stream.report(state, cause=cause, at_ms=int(time.time() * 1000))
    async with aiomqtt.Client("127.0.0.1", site.world.broker_port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.publish(*stream.wire(report), qos=1)


def marks(stream: http.client.HTTPResponse) -> Iterator[str]:
    """The marks of a stream of events."""
    for line in stream:
        if line.startswith(b"data:"):
            yield line.decode().strip()


def test_pages_are_live_and_show_what_the_machines_say(site: Site) -> None:
    cookie, machine = site.sign_in("Desk"), Stream(site.world.devices[0])
    status, page = site.page("/rooms/ash/ict1", cookie)
    assert status == 200
    assert "pc-000" in page
    events = site.request("GET", "/events?topic=ash/ict1", cookie)
    assert (events.status, events.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    told = marks(events)
    first = next(told)
    asyncio.run(say(site, machine, PowerState.IN_USE, Cause.BOOT))
    assert next(told) != first
    eventually(lambda: "in use" in site.page("/devices/ash/pc-000", cookie)[1], 10, site.process.log)
    status, page = site.page("/why/ash/pc-000", cookie)
    assert status == 200
    assert "policy.toml:" in page
    assert str(site.world.folder) not in page, "no path of this machine"
    events.close()


def test_another_schools_director_sees_neither_its_pages_nor_that_they_are_there(site: Site) -> None:
    cookie = site.sign_in("Oak")
    assert site.page("/schools/oak", cookie)[0] == 200
    missing = {path: site.page(path, cookie) for path in ("/schools/ash", "/rooms/ash/ict1", "/devices/ash/pc-000")}
    assert {status for status, _ in missing.values()} == {404}
    assert not any("Ashfield" in page for _, page in missing.values())
    assert "Ashfield" not in site.page("/", cookie)[1]
    assert site.request("GET", "/events?topic=ash", cookie).status == 404


def test_what_is_not_the_desks_stays_as_it_was_and_the_desk_is_closed_to_strangers(site: Site) -> None:
    assert site.page("/healthz", "")[0] in (200, 503)
    assert site.page("/metrics", "")[0] == 200
    status, text = site.page("/api/1/nothing", "")
    assert (status, '"status":404' in text) == (404, True)
    assert site.request("PUT", "/api/1/incidents").status == 405
    assert site.page("/stay/nothing", "")[0] == 404
    for path in ("/", "/schools/ash", "/rooms/ash/ict1", "/nothing-of-that-name", "/events?topic=estate"):
        answer = site.request("GET", path)
        assert answer.status in (303, 401, 403), path
        assert b"Ashfield" not in answer.read()


def test_pages_that_go_away_leave_no_stream_behind(site: Site) -> None:
    cookie = site.sign_in("Desk")
    for _ in range(3):  # twelve streams a session are allowed: thirty work only if those that went are forgotten
        streams = [site.request("GET", "/events?topic=estate", cookie) for _ in range(10)]
        assert {stream.status for stream in streams} == {200}
        for stream in streams:
            next(marks(stream))
            stream.close()

        def forgotten() -> bool:
            with contextlib.closing(site.request("GET", "/events?topic=ash", cookie)) as stream:
                return stream.status == 200

        eventually(forgotten, 10, site.process.log)
        time.sleep(1)
