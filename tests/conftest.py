"""Real servers as fixtures. Shared ones run for the whole session; a test that stops a server starts its own."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from boards_world import BoardsWorld, play
from browser import OpenWindow, chromium, windows
from review_world import ReviewWorld, shared
from servers import Influx, Mosquitto, influxd, mosquitto


@pytest.fixture(scope="session")
def broker() -> Iterator[Mosquitto]:
    """A shared mosquitto without persistence: use topics (school names) that are the test's own, and do not stop it."""
    with mosquitto() as server:
        yield server


@pytest.fixture
def plain_broker() -> Iterator[Mosquitto]:
    """A mosquitto of the test's own without persistence: nothing of another test is on it."""
    with mosquitto() as server:
        yield server


@pytest.fixture
def own_broker() -> Iterator[Mosquitto]:
    """A mosquitto of the test's own, to stop, kill and start again; it saves every change within a second."""
    with mosquitto(persistence=True, autosave_interval=1, autosave_on_changes=True) as server:
        yield server


@pytest.fixture(scope="session")
def shared_influx() -> Iterator[Influx]:
    """A shared InfluxDB: do not stop it; take `influx` for a bucket of the test's own."""
    with influxd() as server:
        yield server


@pytest.fixture
def influx(shared_influx: Influx) -> Influx:
    """An empty bucket on the shared InfluxDB."""
    return shared_influx.fresh_bucket()


@pytest.fixture
def own_influx() -> Iterator[Influx]:
    """An InfluxDB of the test's own, to stop and start again."""
    with influxd() as server:
        yield server


@pytest.fixture(scope="session")
def boards_world(shared_influx: Influx, tmp_path_factory: pytest.TempPathFactory) -> BoardsWorld:
    """Some days of the demo in a bucket of the shared InfluxDB: ask it, and write nothing to it (takes 20 s, once)."""
    return play(tmp_path_factory.mktemp("boards"), shared_influx.fresh_bucket())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for a file of tests. They cannot be `async def`: playwright's own event loop is in the way."""
    with chromium() as running:
        yield running


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Opens pages that fail the test at its end when anything went wrong in them: see browser.py."""
    with windows(browser) as opener:
        yield opener


@pytest.fixture(scope="session")
def review_world(tmp_path_factory: pytest.TempPathFactory) -> ReviewWorld:
    """A month of two schools with everything that a review says: read it, write nothing to it (takes 25 s, once)."""
    base = tmp_path_factory.getbasetemp()
    return shared(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)
