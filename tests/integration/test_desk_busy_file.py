"""The state file is written by others all the time, or kept for seconds: nothing ends, nothing is lost, all is said."""

import http.client
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from caretaker_contract.messages import PowerState
from desk_site import PASSWORD, Site, desk_site
from worlds import eventually

pytestmark = pytest.mark.slow
PAGES = (
    "/", "/schools/ash", "/rooms/ash/ict1", "/devices/ash/pc-000", "/why/ash/pc-000", "/incidents", "/records",
    "/orders", "/audit", "/search?q=pc", "/s/ash",
)  # fmt: skip
HOLD = {"place": "ash/ict1", "until": "23:59", "reason": "chess"}
ORDER = {"place": "ash/ict1", "reason": "patches", "warn_s": "60"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with desk_site(tmp_path_factory.mktemp("busy")) as made:
        yield made


class Person:
    """Somebody at the desk, without a browser."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.cookie, self.csrf = site, "", ""
        form = self.ask("GET", "/sign-in")
        token = re.search(r'name="csrf" value="([^"]+)"', form[1])
        assert token is not None
        self.cookie = form[2]
        fields = {"csrf": token[1], "name": name, "password": PASSWORD, "next": "/"}
        answer = self.ask("POST", "/sign-in", fields)
        assert answer[0] == 303, answer
        self.cookie = answer[2]
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask("GET", "/account")[1])
        assert found is not None
        self.csrf = found[1]

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, text, and a cookie that was set."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.site.world.http_port, timeout=60)) as connection:
            headers = {"Cookie": self.cookie}
            body = None
            if fields is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                body = urlencode({"csrf": self.csrf, **fields})
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
            return answer.status, answer.read().decode(), cookie

    def page(self, path: str) -> int:
        """Read one page; its status."""
        status, text, _ = self.ask("GET", path)
        assert status in (200, 503), (path, status, text)
        assert status == 200 or "Load the page again" in text or "Please try again" in text
        return status

    def do(self, action: str, fields: dict[str, str]) -> tuple[int, str]:
        """Do something; what comes of it is said."""
        status, text, _ = self.ask("POST", f"/act/{action}", fields)
        assert status in (200, 409, 503), (action, status, text)
        return status, text


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do this again and again beside the rest."""
    over = threading.Event()

    def again() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(1) as thread:
        doing = thread.submit(again)
        try:
            yield
        finally:
            over.set()
            doing.result()


def well(site: Site) -> bool:
    """Nothing is wrong with the collector."""
    return (site.collector.health() or {"problems": {"all": "gone"}})["problems"] == {}


def quarantined(site: Site) -> int:
    with closing(site.world.state()) as db:
        return int(db.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def test_two_hundred_writes_a_second_by_another_process_stop_nothing(site: Site) -> None:
    eventually(lambda: well(site), 20, site.collector.log)
    db = sqlite3.connect(site.world.data / "state.db", isolation_level=None, timeout=10, check_same_thread=False)
    meg, eve = Person(site, "meg"), Person(site, "eve")
    before = site.world.counters()["reports"]
    said = 0

    def write() -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO counters VALUES ('of_a_test', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
        db.execute("COMMIT")
        time.sleep(0.005)

    with meanwhile(write), closing(db), ThreadPoolExecutor(4) as pool:
        for round_ in range(6):
            site.machines.say(PowerState.IDLE, idle_s=60 + round_)
            said += len(site.machines.streams)
            pages = [pool.submit(meg.page, path) for path in (*PAGES, *PAGES)]
            acts = [
                pool.submit(meg.do, "hold", HOLD | {"reason": f"chess {round_}"}),
                pool.submit(eve.do, "report", {"place": "ash/ict1", "text": f"The projector hums {round_}"}),
                pool.submit(eve.do, "shut_down", ORDER),
            ]
            assert [page.result() for page in pages].count(200) == len(pages)
            assert [act.result()[0] for act in acts][:2] == [200, 200]
        eventually(lambda: site.world.counters()["reports"] == before + said, 20, site.collector.log)
    assert site.world.counters()["of_a_test"] > 200
    assert quarantined(site) == 0
    eventually(lambda: well(site), 20, site.collector.log)
    assert "Traceback" not in site.collector.log()


def test_a_file_that_is_kept_for_fifteen_seconds_costs_nothing_but_a_clear_answer(site: Site) -> None:
    """Reading goes on; what writes says that nothing was done; afterwards every report is there, and no message is
    blamed."""
    meg = Person(site, "meg")
    before = site.world.counters()["reports"]
    with closing(sqlite3.connect(site.world.data / "state.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        site.machines.say(PowerState.IN_USE)
        status, text = meg.do("hold", HOLD | {"reason": "while it is kept"})
        assert status in (409, 503), text
        assert "locked" in text or "try again" in text
        for path in PAGES:
            meg.page(path)
        time.sleep(max(0.0, 15 - (time.monotonic() - began_s)))
        db.execute("ROLLBACK")
    said = len(site.machines.streams)
    eventually(lambda: site.world.counters()["reports"] == before + said, 40, site.collector.log)
    eventually(lambda: well(site), 40, site.collector.log)
    assert quarantined(site) == 0
    with closing(site.world.state()) as db:
        assert db.execute("SELECT count(*) FROM holds WHERE reason = 'while it is kept'").fetchone() == (0,)
    assert meg.do("hold", HOLD | {"reason": "afterwards"})[0] == 200


def test_the_collector_ends_well_with_pages_open(site: Site) -> None:
    meg = Person(site, "meg")
    connection = http.client.HTTPConnection("127.0.0.1", site.world.http_port, timeout=20)
    connection.request("GET", "/events?topic=estate", headers={"Cookie": meg.cookie, "Accept": "text/event-stream"})
    stream = connection.getresponse()
    assert stream.status == 200
    stream.readline()
    assert site.collector.stop() in (0, 143, -15)
    assert "Traceback" not in site.collector.log()
    connection.close()


def test_nothing_secret_is_in_the_log(site: Site) -> None:
    log = (Path(site.world.folder) / "collector.log").read_text()
    assert PASSWORD not in log
    assert "caretaker-session" not in log
    assert bytes(site.world.key).hex() not in log
