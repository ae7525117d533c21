"""The page of a school about itself, and a room's link on paper, in a real browser."""

import io
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import segno
from PIL import Image

from browser import PHONE, TWO_LOOKS, OpenWindow
from caretaker_rules.roles import Role
from desk_school import BLIND, LINK, StubSchools, empty, full, hostile, public, school_site
from desk_stub import viewer
from web_server import web_server

pytestmark = pytest.mark.slow
OPEN = frozenset({"ash"})


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, str]]:
    pages = {"full": full(), "empty": empty(), "blind": BLIND, "hostile": hostile()}
    with ExitStack() as servers:
        found = {}
        for name, page in pages.items():
            app = school_site(StubSchools({"ash": page}), viewer(Role.MANAGER), OPEN)
            found[name] = f"http://127.0.0.1:{servers.enter_context(web_server(app))}"
        anybody = school_site(StubSchools({"ash": public(full())}), None, OPEN)
        found["anybody"] = f"http://127.0.0.1:{servers.enter_context(web_server(anybody))}"
        yield found


@pytest.mark.parametrize("state", ["full", "empty", "blind", "hostile", "anybody"])
def test_the_page_is_for_everybody_in_every_state(open_window: OpenWindow, sites: dict[str, str], state: str) -> None:
    window = open_window(sites[state])
    window.goto("/s/ash")
    window.check(f"school-page-{state}")
    assert "monitoring" not in window.text().lower()
    assert "What is not collected" in window.text()
    assert (window.page.locator(".live-sign").count() == 0) == (state == "anybody"), "only a session has a live page"


def test_a_phone_shows_first_what_is_wrong(open_window: OpenWindow, sites: dict[str, str]) -> None:
    window = open_window(sites["full"], size=PHONE)
    window.goto("/s/ash")
    first = window.page.locator(".banner").first.bounding_box()
    assert first is not None and first["y"] + first["height"] < PHONE[1], "the answer is on the first screen"


def test_the_printed_code_is_the_code_of_the_link_to_the_last_module(
    open_window: OpenWindow, sites: dict[str, str]
) -> None:
    window = open_window(sites["full"])
    window.goto("/rooms/ash/ict1/stay")
    window.check("stay-sheet", TWO_LOOKS)
    window.page.emulate_media(media="print")
    window.shot("stay-sheet-print")
    assert not window.page.locator("nav, .find, a.act").locator("visible=true").count()
    picture = Image.open(io.BytesIO(window.page.locator(".code svg").screenshot())).convert("L")
    expected = segno.make(LINK, error="q", micro=False).matrix
    size = len(expected) + 8
    for y, row in enumerate(expected):
        for x, dark in enumerate(row):
            at = [round((place + 4.5) * length / size) for place, length in zip((x, y), picture.size, strict=True)]
            assert (picture.getpixel((at[0], at[1])) < 128) == bool(dark), (x, y)  # type: ignore[operator]


def test_a_room_without_a_link_says_what_one_is_good_for(open_window: OpenWindow, sites: dict[str, str]) -> None:
    window = open_window(sites["full"])
    window.goto("/rooms/ash/lib/stay")
    window.check("stay-sheet-none", TWO_LOOKS)
    assert "This room has no link yet." in window.text("main")
