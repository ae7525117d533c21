"""Every page of the desk in every state, in a real browser: WCAG 2.2 AA, nothing sideways, nothing executed."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from browser import PHONE, TWO_LOOKS, WIDE, OpenWindow, Window
from caretaker_rules.roles import Role
from desk_stub import HOSTILE, StubActs, StubData, desk, viewer
from web_server import web_server

pytestmark = pytest.mark.slow

FULL = {
    "estate": "/",
    "estate-filtered": "/?text=ash",
    "estate-nothing-fits": "/?text=nowhere",
    "school": "/schools/ash",
    "room-plan": "/rooms/ash/ict1",
    "room-list": "/rooms/ash/ict1?view=list",
    "room-day": "/rooms/ash/ict1?view=day",
    "room-past-day": "/rooms/ash/ict1?day=2026-10-05",
    "device": "/devices/ash/ict1-7",
    "why": "/why/ash/ict1-7",
    "why-at": "/why/ash/ict1-7?at=16:41",
    "incidents": "/incidents",
    "incidents-fixed": "/incidents?status=fixed",
    "incident": "/incidents/12",
    "records": "/records",
    "records-past": "/records?past=yes",
    "audit": "/audit",
    "search": "/search?q=ict",
    "search-nothing": "/search?q=nowhere-at-all",
    "search-empty": "/search",
    "help": "/help",
    "accessibility": "/accessibility",
    "act-hold": "/act/hold?place=ash/ict1",
    "act-shut-down": "/act/shut_down?place=ash/ict1",
    "act-maintenance": "/act/maintenance?place=all",
    "act-note": "/act/note?place=12",
}
EMPTY = ("/", "/incidents", "/records", "/records?past=yes", "/audit", "/search?q=ict", "/help")
FAULTS = {"/nowhere": 404, "/schools/nowhere": 404, "/devices/ash/nobody": 404, "/act/nothing?place=ash": 404}


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, str]]:
    """The desk over stubs: full, empty, with hostile names, and with everything behind it down."""
    kinds = {
        "full": StubData(schools=6),
        "empty": StubData(empty=True),
        "hostile": StubData(schools=5, hostile=True),
        "down": StubData(down=True),
    }
    with ExitStack() as servers:
        ports = {name: servers.enter_context(web_server(desk(data))) for name, data in kinds.items()}
        looking = desk(StubData(schools=2), signed_in=viewer(Role.VIEWER))
        ports["viewer"] = servers.enter_context(web_server(looking))
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


@pytest.mark.parametrize("name", FULL)
def test_a_page_full_of_things_is_for_everybody(open_window: OpenWindow, sites: dict[str, str], name: str) -> None:
    window = open_window(sites["full"])
    window.goto(FULL[name])
    window.check(name)


def test_empty_pages_say_why_and_what_to_do_next(open_window: OpenWindow, sites: dict[str, str]) -> None:
    window = open_window(sites["empty"])
    for address in EMPTY:
        window.goto(address)
        window.check(f"empty{address.replace('/', '-').replace('?', '-')}", TWO_LOOKS)
        if address != "/help":
            assert window.page.locator("main .empty").count(), address


def test_faults_are_pages_of_their_own(open_window: OpenWindow, sites: dict[str, str]) -> None:
    window = open_window(sites["full"])
    for address, status in FAULTS.items():
        window.goto(address, status)
        assert "Nothing was changed" in window.text("main"), address
    window.check("fault-404")
    window = open_window(sites["down"])
    window.goto("/schools/ash", 503)
    window.check("fault-503", TWO_LOOKS)
    window = open_window(sites["viewer"])
    window.goto("/audit", 403)
    window.check("fault-403", TWO_LOOKS)


def test_somebody_who_only_looks_is_offered_nothing_to_do(open_window: OpenWindow, sites: dict[str, str]) -> None:
    window = open_window(sites["viewer"])
    for address in ("/", "/schools/ash", "/rooms/ash/ict1", "/devices/ash/ict1-7", "/incidents/12", "/records"):
        window.goto(address)
        assert window.page.locator("main a.act").count() == 0, address
    window.check("viewer-records", TWO_LOOKS)


@pytest.mark.parametrize("address", ["/", "/schools/ash", "/rooms/ash/ict1", "/rooms/ash/ict1?view=day", "/incidents"])
def test_hostile_names_are_shown_as_text_and_nothing_is_executed(
    open_window: OpenWindow, sites: dict[str, str], address: str
) -> None:
    """Markup, quotes, right-to-left text, emoji, templates and 70 letters without a gap."""
    window = open_window(sites["hostile"])
    window.goto(address)
    window.check(f"hostile{address.replace('/', '-').replace('?', '-')}", TWO_LOOKS)
    assert not window.page.locator("main b").filter(has_text="School").count(), "markup of a name became markup"
    assert "49" not in window.page.title()
    text = window.page.locator("main").inner_text()
    assert any(name in text for name in HOSTILE), "the names are shown as they are"


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_a_page_is_whole_without_scripts(open_window: OpenWindow, sites: dict[str, str], size: tuple[int, int]) -> None:
    """An action's link leads to its form as a page, and the form is sent as any form is."""
    acts = StubActs(StubData())
    with web_server(desk(acts.data, acts)) as port:
        window = open_window(f"http://127.0.0.1:{port}", size=size, script=False)
        window.goto("/rooms/ash/ict1")
        window.page.get_by_role("link", name="Keep on").first.click()
        assert "What it would touch" in window.page.content() or "31 machines" in window.text("main")
        window.page.get_by_label("Reason").fill("club until five")
        window.page.locator("button.do").click()
        assert "Done: 27 machines" in window.text("main")
        assert acts.acted == [("hold", "ash/ict1", {"for": "1 h", "reason": "club until five"})]


def test_colour_is_never_the_only_sign(open_window: OpenWindow, sites: dict[str, str]) -> None:
    """Each tile of a room and each chip has a word or a letter; a strip says what it shows."""
    window = open_window(sites["full"])
    window.goto("/rooms/ash/ict1")
    for tile in window.page.locator(".tile").all():
        assert len(tile.inner_text().split("\n")) > 1
    window.goto("/rooms/ash/ict1?view=day")
    for strip in window.page.locator("svg.strip").all():
        assert len(strip.get_attribute("aria-label") or "") > 10


def opens(window: Window, name: str) -> None:
    """A dialog over the page, by the button's name, with the mouse's help."""
    window.page.locator("main a.act").filter(has_text=name).first.click()
    window.page.locator("dialog[open]").wait_for()


@pytest.mark.parametrize("action", ["Keep on", "Shut down"])
def test_a_dialog_that_is_open_is_for_everybody_too(
    open_window: OpenWindow, sites: dict[str, str], action: str
) -> None:
    window = open_window(sites["full"])
    window.goto("/rooms/ash/ict1")
    opens(window, action)
    window.check(f"dialog-{action.lower().replace(' ', '-')}")
    window.page.get_by_label("Reason").fill("refuse")
    window.page.locator("dialog button.do").click()
    window.refused(409)
    window.page.locator("dialog .banner").wait_for()
    window.check(f"dialog-{action.lower().replace(' ', '-')}-refused", TWO_LOOKS)
