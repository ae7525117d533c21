"""The desk's pages with their scripts, in a real browser: live, by keyboard alone, and with a form over the page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from browser import PHONE, OpenWindow, Window
from desk_stub import StubActs, StubData, desk
from web_server import web_server

pytestmark = pytest.mark.slow


@dataclass
class Site:
    """A desk of its own for each test, for tests change what it shows."""

    data: StubData
    acts: StubActs
    base: str


@pytest.fixture
def site() -> Iterator[Site]:
    """Five schools."""
    data = StubData(5)
    acts = StubActs(data)
    with web_server(desk(data, acts)) as port:
        yield Site(data, acts, f"http://127.0.0.1:{port}")


def live(window: Window) -> None:
    """Wait until the page says that it is live."""
    expect(window.page.locator("#live-sign[data-live=yes]")).to_contain_text("Live, as of 16:42")


def test_a_change_comes_by_itself_and_is_said_while_focus_typing_and_details_stay(
    site: Site, open_window: OpenWindow
) -> None:
    window = open_window(site.base)
    window.goto("/")
    live(window)
    page = window.page
    page.locator("#key summary").click()
    page.locator("#f-text").fill("half a na")
    page.locator("#f-text").evaluate("e => e.setSelectionRange(2, 4)")
    page.evaluate("scrollTo(0, 400)")
    site.data.names.append("new")
    site.data.change("estate")
    expect(page.locator("main")).to_contain_text("Riverbank")
    assert page.locator("#f-text").input_value() == "half a na"
    assert window.focus().startswith("input#f-text")
    assert page.locator("#f-text").evaluate("e => [e.selectionStart, e.selectionEnd]") == [2, 4]
    assert page.evaluate("scrollY") == 400
    assert page.locator("#key").get_attribute("open") is not None
    expect(page.locator("#say")).to_have_text(re.compile(r"^\d+ new incidents$"))
    assert page.locator("#say").get_attribute("aria-live") == "polite"


def test_a_row_that_has_the_keyboard_keeps_it(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/rooms/ash/ict1?view=list")
    live(window)
    link = window.page.locator("main table a[data-row]").nth(3)
    link.focus()
    before = window.focus()
    site.data.change("ash/ict1")
    window.page.wait_for_timeout(400)  # a change that shows nothing new has nothing to be waited for
    assert window.focus() == before


def test_a_page_that_loses_its_line_says_since_when_and_goes_on(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.allow(r"^console: Failed to load resource", r"^request: GET .* net::ERR_FAILED")
    window.goto("/")
    live(window)
    cut = True
    for address in ("**/events*", site.base + "/"):
        window.page.route(address, lambda route: route.abort() if cut else route.continue_())
    # What opens the stream again meets a line that is cut.
    window.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(window.page.locator("#live-sign")).to_have_attribute("data-live", "lost")
    expect(window.page.locator("#live-sign")).to_contain_text("Not live since 16:42")
    assert "Ashfield" in window.text("main")
    cut = False
    window.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    live(window)


def test_a_page_whose_session_has_ended_says_so_and_keeps_what_was_typed(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/incidents")
    live(window)
    window.page.locator("#f-text").fill("typed")
    window.allow(r"status of 401")
    window.page.route(site.base + "/incidents", lambda route: route.fulfill(status=401, body="Please sign in."))
    site.data.change("estate")
    expect(window.page.locator("#live-sign")).to_contain_text("your session has ended")
    assert window.page.locator("#f-text").input_value() == "typed"


def test_keys_lead_through_the_pages_and_do_nothing_while_one_types(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/incidents")
    keys = window.page.keyboard
    keys.press("j")
    first = window.focus()
    keys.press("j")
    second = window.focus()
    assert first.startswith("a#")
    assert second != first
    keys.press("k")
    assert window.focus() == first
    keys.press("/")
    assert window.focus().startswith("input#find")
    keys.type("j?ge")
    assert window.page.locator("#find").input_value() == "j?ge"
    window.page.locator("#find").fill("")
    keys.press("Tab")
    keys.press("g")
    keys.press("e")
    window.page.wait_for_url(site.base + "/")
    keys.press("?")
    window.page.wait_for_url(site.base + "/help#keys")
    for key in ("/", "j", "k", "Enter", "a", "g", "e", "Esc", "?"):
        assert key in [one.inner_text() for one in window.page.locator("kbd").all()]
    window.goto("/incidents")
    keys.press("j")
    keys.press("Enter")
    window.page.wait_for_url(re.compile(r"/incidents/12$"))


def test_a_takes_the_incident_that_is_marked(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/incidents")
    for key in ("j", "j", "a"):
        window.page.keyboard.press(key)
    expect(window.page.locator("dialog h1")).to_contain_text("number 14")


@pytest.mark.parametrize("how", ["Escape", "Leave it"])
def test_a_form_opens_over_the_page_and_gives_the_keyboard_back(site: Site, open_window: OpenWindow, how: str) -> None:
    window = open_window(site.base)
    window.goto("/rooms/ash/ict1")
    page = window.page
    page.locator("main a.act", has_text="Keep on").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.url == site.base + "/rooms/ash/ict1"
    assert window.focus().startswith("select#field-for")
    for _ in range(12):  # the keyboard does not get out of it
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    if how == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_text("Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert window.focus() == "a# Keep on"
    assert site.acts.acted == []


def test_what_an_action_touches_follows_what_is_chosen(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/rooms/ash/ict1")
    page = window.page
    page.locator("main a.act", has_text="Keep on").click()
    expect(page.locator("#touches")).to_contain_text("For 1 h; then")
    page.locator("#field-for").select_option("day")
    expect(page.locator("#touches")).to_contain_text("For day; then")
    page.locator("#field-reason").fill("x" * 150)
    assert page.locator("#field-reason").input_value() == "x" * 150
    assert site.acts.acted == []


def test_the_button_of_a_dangerous_form_counts_what_would_be_switched_now(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/rooms/ash/ict1")
    page = window.page
    page.locator("main a.act", has_text="Shut down").click()
    expect(page.locator("dialog button.do")).to_have_text("Shut down 27 machines")
    page.locator("#field-warn_s").fill("60")
    expect(page.locator("dialog button.do")).to_have_text("Shut down 31 machines")
    page.locator("#field-reason").press_sequentially("1234", delay=150)
    page.locator("#field-warn_s").focus()
    expect(page.locator("dialog button.do")).to_have_text("Shut down 31 machines")
    reasons = [fields["reason"] for _, _, fields in site.acts.previewed]
    assert reasons == [""] * 3, "opened, typed, left: why it is done changes nothing of what it touches"
    page.locator("dialog button.do").click()
    expect(page.get_by_role("dialog")).to_contain_text("Done: 27 machines")


def test_no_fault_flashes_up_in_the_middle_of_a_word(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/rooms/ash/ict1")
    page = window.page
    page.locator("main a.act", has_text="Shut down").click()
    page.locator("#field-warn_s").fill("60")
    expect(page.locator("dialog button.do")).to_have_text("Shut down 31 machines")
    page.locator("#field-warn_s").press("Control+a")
    with page.expect_response("**/preview") as answer:
        page.locator("#field-warn_s").press_sequentially("1")
    assert answer.value.status == 204
    expect(page.locator("#touches")).to_contain_text("31 machines in ICT1, 4 in use")
    page.locator("#field-reason").focus()
    expect(page.locator("#touches")).to_contain_text("Warning has to be at least 30.")


def test_an_action_is_done_from_click_to_answer_without_leaving_the_page(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base, size=PHONE)
    window.allow(r"status of 409")
    window.goto("/rooms/ash/ict1")
    page = window.page
    page.locator("main a.act", has_text="Keep on").click()
    page.locator("#field-reason").fill("refuse")
    page.locator("button.do").click()
    expect(page.locator("dialog [data-fault]")).to_be_focused()
    assert page.locator("#field-reason").input_value() == "refuse"
    page.locator("#field-reason").fill("after-school club")
    page.locator("button.do").dblclick()
    expect(page.get_by_role("dialog")).to_contain_text("Done: 27 machines are kept on until 17:42.")
    assert [fields["reason"] for _, _, fields in site.acts.acted] == ["refuse", "after-school club"]
    assert page.url == site.base + "/rooms/ash/ict1"
    page.get_by_role("dialog").get_by_role("link", name="Undo").click()
    expect(page.locator("dialog h1")).to_contain_text("Release")


def test_an_open_form_stays_while_the_page_under_it_changes(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/")
    live(window)
    page = window.page
    page.locator("main a.act", has_text="Plan work").click()
    page.locator("#field-reason").fill("half a rea")
    site.data.names.append("new")
    site.data.change("estate")
    expect(page.locator("main")).to_contain_text("Riverbank")
    assert page.locator("#field-reason").input_value() == "half a rea"
    assert window.focus().startswith("textarea#field-reason")


def test_hours_by_state_are_drawn_and_are_a_table_too(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    window.goto("/devices/ash/ict1-2")
    live(window)
    expect(window.page.locator("#chart canvas")).to_have_count(1)
    assert window.page.locator("#hours tbody tr").count() == 7
    site.data.change("ash/ict1-2")
    window.page.wait_for_timeout(400)
    expect(window.page.locator("#chart canvas")).to_have_count(1)
