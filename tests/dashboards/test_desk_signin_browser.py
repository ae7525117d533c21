"""Signing in with a real browser, under the real content security policy, with and without scripts, by keyboard."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from browser import PHONE, OpenWindow, Window, shown
from caretaker_collector.accounts import book
from caretaker_dashboards.desk.guard_settings import GuardSettings
from signin_world import ENGINEER, OTHER, PASSWORD, ROOT, Door, open_door
from web_server import web_server
from worlds import NOW_MS

pytestmark = pytest.mark.slow


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return open_door(tmp_path)


@pytest.fixture
def site(door: Door) -> Iterator[str]:
    with web_server(door.app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def serve() -> Iterator[Callable[[Door], str]]:
    """Serves a door of the test's own, until its windows are closed."""
    with ExitStack() as servers:
        yield lambda door: f"http://127.0.0.1:{servers.enter_context(web_server(door.app))}"


def fill_in(window: Window, name: str, password: str) -> None:
    """Without a mouse."""
    keyboard = window.page.keyboard
    window.page.locator("#name").fill("")
    window.page.locator("#name").focus()
    keyboard.type(name)
    keyboard.press("Tab")
    keyboard.type(password)
    keyboard.press("Enter")


@pytest.mark.parametrize("script", [True, False])
def test_signing_in_by_keyboard_leads_to_the_page_that_was_wanted(
    site: str, open_window: OpenWindow, script: bool
) -> None:
    window = open_window(site, script=script)
    window.goto("/account")
    assert window.page.url == f"{site}/sign-in?next=/account"
    fill_in(window, ENGINEER, PASSWORD)
    shown(window, "h1", "Your account")
    assert window.page.url == f"{site}/account"
    window.page.locator(".me button").click()
    shown(window, "[role=status]", "You have signed out")
    window.goto("/account")
    shown(window, "h1", "Sign in to the desk")


def test_every_state_of_the_pages_can_be_read_by_everybody(site: str, door: Door, open_window: OpenWindow) -> None:
    window = open_window(site, PHONE)
    window.allow(r"status of (403|429)")
    window.goto("/sign-in")
    window.check("sign-in")
    for _ in range(7):
        fill_in(window, ENGINEER, "wrong")
        shown(window, "[role=alert]", "You are not signed in")
    shown(window, "[role=alert]", "Try again in")
    window.check("sign-in-refused")
    book.unlock(door.db, ROOT, ENGINEER, NOW_MS)
    kept = book.one(door.db, ENGINEER).hash
    assert kept is not None
    book.set_password(door.db, ROOT, ENGINEER, kept, NOW_MS, must_change=True)
    other = open_window(site)
    other.goto("/sign-in")
    fill_in(other, ENGINEER, PASSWORD)
    fill_in(window, ENGINEER, PASSWORD)
    shown(window, "main", "somebody else's choice")
    window.check("account")
    for field, text in (("old", PASSWORD), ("new", OTHER), ("again", OTHER + "x")):
        window.page.locator(f"#{field}").fill(text)
    window.page.locator("#again").press("Enter")
    shown(window, "[role=alert]", "not the same")
    window.check("account-refused")
    for field, text in (("old", PASSWORD), ("new", OTHER), ("again", OTHER)):
        window.page.locator(f"#{field}").fill(text)
    window.page.locator("#again").press("Enter")
    shown(window, "[role=status]", "Your password was changed")
    window.goto("/incidents/1")


def test_a_refusal_of_the_guard_can_be_read_by_everybody(site: str, door: Door, open_window: OpenWindow) -> None:
    window = open_window(site)
    window.allow(r"status of 403")
    window.goto("/sign-in")
    window.page.context.clear_cookies()
    fill_in(window, ENGINEER, PASSWORD)
    shown(window, "h1", "Please try again")
    window.check("refused")


def test_where_nobody_has_an_account_the_page_can_be_read_by_everybody(
    tmp_path: Path, serve: Callable[[Door], str], open_window: OpenWindow
) -> None:
    door = open_door(tmp_path, people=False)
    window = open_window(serve(door))
    window.goto("/sign-in")
    shown(window, "code", "caretaker account new NAME --role engineer")
    window.check("sign-in-none-yet")


def test_a_browser_takes_the_cookies_of_https_on_loopback_too(
    tmp_path: Path, serve: Callable[[Door], str], open_window: OpenWindow
) -> None:
    """The web server in front is broken, and somebody breaks the glass on the machine itself."""
    door = open_door(tmp_path, guard=GuardSettings(address="https://desk.example", hosts=frozenset({"desk.example"})))
    window = open_window(serve(door))
    window.goto("/account")
    fill_in(window, ENGINEER, PASSWORD)
    shown(window, "h1", "Your account")
    assert "__Host-caretaker" in {cookie["name"] for cookie in window.page.context.cookies()}
