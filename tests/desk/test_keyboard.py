"""The desk with nothing but a keyboard: search, rows, help, an action from its form to the focus coming back."""

from collections.abc import Iterator

import pytest

from browser import OpenWindow, Window, shown
from desk_stub import StubActs, StubData, desk
from web_server import web_server

pytestmark = pytest.mark.slow


@pytest.fixture
def stub() -> Iterator[tuple[str, StubActs]]:
    """A desk, and what was done on it. Ask for it before the window: its live pages have to go before it does."""
    acts = StubActs(StubData(schools=3))
    with web_server(desk(acts.data, acts)) as port:
        yield f"http://127.0.0.1:{port}", acts


def press(window: Window, *keys: str) -> None:
    """One key after the other."""
    for key in keys:
        window.page.keyboard.press(key)


def tab_to(window: Window, text: str, most: int = 40) -> None:
    """Tab until something with this text has the keyboard, and can be seen to have it."""
    for _ in range(most):
        press(window, "Tab")
        if text in window.focus():
            style = window.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", f"nobody sees that {text!r} has the keyboard"
            return
    raise AssertionError(f"{text!r} is not reached in {most} steps; the last was {window.focus()}")


def test_the_first_tab_leads_past_the_head_of_the_page(stub: tuple[str, StubActs], open_window: OpenWindow) -> None:
    window = open_window(stub[0])
    window.goto("/")
    press(window, "Tab")
    assert "Skip to the page" in window.focus()
    press(window, "Enter")
    assert window.page.url.endswith("#main")
    assert window.focus().startswith("main#main")


def test_slash_searches_j_and_k_walk_enter_opens(stub: tuple[str, StubActs], open_window: OpenWindow) -> None:
    window = open_window(stub[0])
    window.goto("/")
    press(window, "/")
    assert window.focus().startswith("input#find")
    window.page.keyboard.type("ict1 j k ?")
    assert window.page.locator("#find").input_value() == "ict1 j k ?", "keys are letters where one types"
    window.page.locator("#find").fill("ict1")
    press(window, "Enter")
    window.page.wait_for_url("**/search?q=ict1")
    press(window, "j")
    first = window.focus()
    press(window, "j")
    second = window.focus()
    assert first != second and first.startswith("a#")
    press(window, "k")
    assert window.focus() == first
    press(window, "k", "k", "k")
    assert window.focus() == first, "the first row is the end of it"
    press(window, "Enter")
    window.page.wait_for_url(lambda address: "/search" not in address)
    press(window, "?")
    window.page.wait_for_url("**/help#keys")
    press(window, "g", "e")
    window.page.wait_for_url(lambda address: address.rstrip("/") == stub[0])


def test_an_action_is_filled_in_and_sent_and_the_focus_comes_back(
    stub: tuple[str, StubActs], open_window: OpenWindow
) -> None:
    window = open_window(stub[0])
    window.goto("/rooms/ash/ict1")
    tab_to(window, "Keep on")
    press(window, "Enter")
    window.page.locator("dialog[open]").wait_for()
    assert window.focus().startswith("select#field-for"), "the first field has the keyboard"
    tab_to(window, "", 1)
    window.page.keyboard.type("club until five")
    press(window, "Escape")
    assert window.page.locator("dialog[open]").count() == 0
    assert "Keep on" in window.focus(), "left with Escape, nothing is sent"
    assert stub[1].acted == []
    press(window, "Enter")
    window.page.locator("dialog[open]").wait_for()
    window.page.locator("dialog [name=reason]").focus()
    window.page.keyboard.type("club until five")
    tab_to(window, "Keep on", 4)
    press(window, "Enter")
    shown(window, "dialog .banner", "Done: 27 machines")
    assert stub[1].acted == [("hold", "ash/ict1", {"for": "1 h", "reason": "club until five"})]
    assert window.page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    press(window, "Escape")
    assert "Keep on" in window.focus()


def test_the_keyboard_cannot_leave_a_dialog_that_is_open(stub: tuple[str, StubActs], open_window: OpenWindow) -> None:
    window = open_window(stub[0])
    window.goto("/rooms/ash/ict1")
    tab_to(window, "Shut down")
    press(window, "Enter")
    window.page.locator("dialog[open]").wait_for()
    for _ in range(12):
        press(window, "Tab")
        within = "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert window.page.evaluate(within), window.focus()
    press(window, "j", "?")
    assert window.page.locator("dialog[open]").count() == 1, "keys of the page do nothing behind a dialog"


def test_what_is_wrong_with_a_form_is_told_where_the_keyboard_is(
    stub: tuple[str, StubActs], open_window: OpenWindow
) -> None:
    window = open_window(stub[0])
    window.goto("/rooms/ash/ict1")
    tab_to(window, "Keep on")
    press(window, "Enter")
    window.page.locator("dialog [name=reason]").wait_for()
    window.page.locator("dialog [name=reason]").focus()
    window.page.keyboard.type("   ")
    window.refused(409)
    tab_to(window, "Keep on", 4)
    press(window, "Enter")
    fault = window.page.locator("dialog [data-fault]")
    fault.wait_for()
    assert "Nothing was done" in window.focus()
    assert "say why" in fault.inner_text()
    window.check("dialog-fault")


def test_a_page_that_renews_itself_leaves_the_keyboard_where_it_is(
    stub: tuple[str, StubActs], open_window: OpenWindow
) -> None:
    """News of the estate come while somebody types a filter and has a list of colours open."""
    address, acts = stub
    window = open_window(address)
    window.goto("/")
    shown(window, "#live-sign", "Live")
    window.page.locator("#key summary").click()
    window.page.locator("#f-text").fill("ash")
    before = len(acts.data.asked)
    acts.data.now += 60_000
    window.page.evaluate("desk.refresh()")
    window.page.wait_for_function("document.querySelector('main time').textContent === '16:43'")
    assert len(acts.data.asked) > before
    assert window.focus().startswith("input#f-text")
    assert window.page.locator("#f-text").input_value() == "ash"
    assert window.page.locator("#key").get_attribute("open") is not None
