"""In a browser: an action from its form to the machines, and back to the page where it is on record."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import OpenWindow, shown
from caretaker_collector.acts import known
from caretaker_contract.messages import PowerState, Verb
from caretaker_contract.topics import Address
from desk_site import Site, desk_site
from worlds import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Six machines of ash; it ends after the windows that look at it."""
    with desk_site(tmp_path) as running:
        yield running


def test_an_order_and_a_hold_are_found_again(site: Site, open_window: OpenWindow) -> None:
    """The order's page says what became of each machine, the hold's what people did with it; undo is one click away."""
    window = open_window(site.base)
    site.sign_in(window, "eve")
    site.machines.say(PowerState.IN_USE, "pc-005")
    in_use = Address("ash", "pc-005")
    eventually(lambda: known.state_of(site.world.state(), in_use) is PowerState.IN_USE, 10)
    window.goto("/act/shut_down?place=ash/ict1")
    shown(window, "#touches", "5 would be asked to shut down, with 2 min of warning")
    window.page.get_by_label("Why").fill('power cut <b>"at six"</b>')
    window.page.locator("main form button.do").click()
    shown(window, "main", "5 asked to shut down, with 2 min of warning")
    eventually(lambda: len(site.machines.asked(Verb.SHUT_DOWN)) == 5, 10)
    window.page.get_by_role("link", name="Where it is on record").click()
    shown(window, "main h1", "shut down ICT suite 1")
    shown(window, "main", 'power cut <b>"at six"</b>')
    shown(window, "main", "pc-005 left alone: in use")
    window.check("order")
    window.goto("/orders")
    shown(window, "main", "shut down ICT suite 1")
    window.check("orders")
    window.goto("/act/hold?place=ash/ict1")
    window.page.get_by_label("Why").fill("we are still here")
    window.page.locator("main form button.do").click()
    window.page.get_by_role("link", name="Where it is on record").click()
    shown(window, "main", "we are still here")
    window.check("record")
    window.page.get_by_role("link", name="End", exact=True).click()
    window.page.get_by_label("Why").fill("they went home")
    window.page.locator("form button.do").click()
    shown(window, "body", "hold 1 of ash/ict1 ended")
    window.page.get_by_role("link", name="Write it down again").click()
    shown(window, "body", "Copy hold 1 of ICT suite 1")
    window.goto("/records/1")
    shown(window, "main", "they went home")
