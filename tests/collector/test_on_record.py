"""The desk's pages of an order and of a record, over a real state file: where an action is found again."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi import Answer, ask
from caretaker_collector import order_book, state
from caretaker_collector.acts.base import Site
from caretaker_collector.acts.on_record import ActsOnRecord
from caretaker_collector.acts.port import DeskActs
from caretaker_collector.order_book import Found
from caretaker_collector.settings import load_estate
from caretaker_dashboards.desk import on_record
from caretaker_dashboards.desk.ports import Viewer
from caretaker_dashboards.desk.shell import Shell
from caretaker_rules.roles import ROLE_MAY, Role, Who
from rules_world import london_ms
from worlds import make_world

NOW_MS = london_ms("2026-10-20 12:00")
SAM = Who(name="sam <b>", via="desk", may=ROLE_MAY[Role.ENGINEER])
ELSEWHERE = Who(name="head", via="desk", may=ROLE_MAY[Role.DIRECTOR], schools=("oak",))


class As:
    """In the place of the guard: somebody has signed in."""

    def __init__(self, app: ASGIApp, who: Who | None) -> None:
        self.app, self.who = app, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.who is not None:
            viewer = Viewer(who=self.who, role="engineer", title=self.who.name, csrf="c", expires_ms=NOW_MS * 2)
            scope["state"]["viewer"] = viewer
        await self.app(scope, receive, send)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A school of three machines, Tue 20 Oct 2026, noon."""
    world = make_world(tmp_path, 1883, devices=3)
    world.data.mkdir()
    state.open_state(world.data / "state.db").close()
    return Site(world.data / "state.db", load_estate(tmp_path / "estate.toml"), {}, lambda db: NOW_MS, wait_s=0.1)


async def get(site: Site, address: str, who: Who | None = SAM) -> Answer:
    """One page."""
    pages = on_record.routes(ActsOnRecord(site), DeskActs(site), Shell())
    return await ask(Starlette(routes=list(pages), middleware=[Middleware(As, who=who)]), address)


async def test_an_order_is_found_again_with_what_became_of_each_machine(site: Site) -> None:
    """Asked, later, left alone and why; what nobody took says so; a look is no order."""
    acts = DeskActs(site)
    await acts.act(SAM, "shut_down", "ash/ict1", {"reason": "storm <script>"})
    await acts.preview(SAM, "shut_down", "ash/ict1", {"reason": "x"})
    page = await get(site, "/orders/1")
    assert page.status == 200 and "Withdrawn: nobody took it" in page.text
    assert "storm &lt;script&gt;" in page.text and "sam &lt;b&gt;" in page.text and "<script>" not in page.text
    db = state.open_state(site.state)
    found = Found(machines=3, asked=["pc-000"], later=["pc-001"], stay={"in_use": ["pc-002"]}, later_why="limit")
    waiting = [device.address for device in site.estate.devices.values() if device.name == "pc-001"]
    order_book.write(db, [order_book.Answer(order=1, status="open", until_ms=2**50, waiting=waiting, found=found)])
    told = (await get(site, "/orders/1")).text
    for words in (
        "3 machines in ICT suite 1, 1 in use: that one stays on",
        "1 asked to shut down",
        "left alone: in use",
    ):
        assert words in told
    assert "follows as limits allow" in told and "Some follow, as limits allow" in told
    listed = (await get(site, "/orders")).text
    assert 'href="/orders/1"' in listed and 'href="/orders/2"' not in listed
    assert (await get(site, "/orders/2")).status == 404


async def test_a_record_is_found_again_with_what_people_did_with_it(site: Site) -> None:
    """Its times and machines, who wrote it and who ended it, and what can be done with it now."""
    acts = DeskActs(site)
    await acts.act(SAM, "hold", "ash/ict1", {"until": "18:00", "reason": "chess & go"})
    page = (await get(site, "/records/1")).text
    for words in ("Hold 1:", "from Tue 20 Oct 12:00 until 18:00", "on now", "chess &amp; go", "3 machines", "/act/end"):
        assert words in page, words
    await acts.act(SAM, "end", "1", {"reason": "they went home"})
    over = (await get(site, "/records/1")).text
    assert "ended early Tue 20 Oct 12:00" in over and "they went home" in over and "/act/copy" in over
    assert "/act/end" not in over


async def test_what_is_of_another_school_or_not_there_looks_alike(site: Site) -> None:
    """404 for both; nothing without a sign-in."""
    acts = DeskActs(site)
    await acts.act(SAM, "hold", "ash/ict1", {"until": "18:00", "reason": "club"})
    await acts.act(SAM, "sleep", "ash/ict1", {"reason": "club"})
    for address in ("/records/1", "/orders/1"):
        hidden, nothing = await get(site, address, ELSEWHERE), await get(site, address.replace("1", "77"), ELSEWHERE)
        assert hidden.status == nothing.status == 404 and "club" not in hidden.text
        assert (await get(site, address, None)).status == 403
    assert "Nobody has ordered anything yet" in (await get(site, "/orders", ELSEWHERE)).text
