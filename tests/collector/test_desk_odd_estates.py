"""The desk of estates that are not like the demo's: very large rooms, odd titles, nothing known, nothing answering."""

import html
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi import ask
from boards_world import SetClock
from caretaker_collector.acts.on_record import ActsOnRecord
from caretaker_collector.acts.port import DeskActs, site_of
from caretaker_collector.app import Collector
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_contract.messages import PowerState
from caretaker_contract.topics import Address
from caretaker_dashboards.desk import on_record, school_page, web
from caretaker_dashboards.desk.shell import Shell
from caretaker_rules.ports import Incoming
from caretaker_rules.roles import Role
from desk_stub import Guard, viewer
from rules_world import london_ms
from worlds import Stream, make_world

TITLE = 'Café / Räume "1" <b>🎓</b> \u202eabc'
SHOWN = html.escape(TITLE).replace("&quot;", "&#34;")
MACHINES = 2_000
PLACES = (
    "/", "/schools/ash", "/schools/elm", "/rooms/ash/ict1", "/rooms/ash/ict1?view=list", "/rooms/ash/ict1?view=day",
    "/devices/ash/pc-000", "/devices/ash/stray-1", "/why/ash/pc-000", "/why/ash/stray-1", "/incidents", "/records",
    "/orders", "/audit", "/search?q=pc-1", "/s/ash", "/s/elm", "/act/hold?place=ash/ict1",
    "/act/shut_down?place=ash/ict1", "/act/silence?place=elm", "/act/wake?place=ash/ict1",
)  # fmt: skip


class Odd:
    """A collector without a policy; a school of one huge room, and one without machines."""

    away = False  # the store

    def __init__(self, folder: Path, store: str) -> None:
        world = make_world(folder, 1883, devices=MACHINES, store=store)
        file = folder / "estate.toml"
        title = TITLE.replace('"', '\\"')
        file.write_text(
            file.read_text().replace("ICT suite 1", title)
            + '\n[[schools]]\nname = "elm"\ntitle = "Elm"\n\n[[schools.rooms]]\nname = "hall"\nlessons = []\n'
        )
        settings = load_collector(world.config)
        estate, policies = load_estate_and_policies(file)
        self.clock = SetClock()
        self.clock.at_ms = london_ms("2026-10-06 10:05")
        self.collector = Collector(settings, estate, policies, self.clock)
        shell, acts = Shell(), DeskActs(replace(site_of(self.collector), wait_s=0.2))
        desk = self.collector.desk
        routes = [
            *web.routes(desk, acts, None, shell),
            *school_page.routes(desk.school_pages, shell),
            *on_record.routes(ActsOnRecord(site_of(self.collector)), acts, shell),
            *web.unknown(shell),
        ]
        self.app = Starlette(routes=routes, middleware=[Middleware(Guard, viewer=viewer(Role.MANAGER))])
        self.streams = [Stream(device, epoch=f"{at:08x}") for at, device in enumerate(world.devices)]
        self.streams.append(Stream(Address("ash", "stray-1"), epoch="f" * 8))

    async def live(self) -> None:
        """Each says how it is, and the rules run."""
        now_ms = self.clock.at_ms
        wires = [
            stream.wire(stream.report((PowerState.IDLE, PowerState.IN_USE)[at % 2], at_ms=now_ms))
            for at, stream in enumerate(self.streams)
        ]
        await self.collector.journal.append([Incoming(now_ms, *wire) for wire in wires])
        while await self.collector.core.step():
            pass


@pytest.fixture(params=["sqlite", "influx that is away"])
async def odd(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Odd]:
    store = '[store]\nkind = "sqlite"\npath = "store.db"\n'
    if request.param != "sqlite":
        store = '[store]\nkind = "influx"\nurl = "http://127.0.0.1:9"\ntoken_file = "influx.token"\n'
        store += 'org = "x"\nbucket = "x"\n'
        (tmp_path / "influx.token").write_text("x")
    made = Odd(tmp_path, store)
    made.away = request.param != "sqlite"
    yield made
    await made.collector.close()


async def test_every_page_of_an_odd_estate_is_there(odd: Odd) -> None:
    """Before anything was heard and afterwards: nothing fails, and what does not answer is said."""
    for heard in (False, True):
        if heard:
            await odd.live()
        for address in PLACES:
            answer = await ask(odd.app, address)
            stray = "stray" in address and not heard
            own = address.startswith("/s/") and odd.away  # it is of figures: it says that they do not answer
            assert answer.status == (404 if stray else 503 if own else 200), (heard, address, answer.text)
            assert "<b>🎓" not in answer.text
    room = await ask(odd.app, "/rooms/ash/ict1")
    assert SHOWN in room.text
    for answer in (room, await ask(odd.app, "/devices/ash/pc-000")):
        assert ("The database of figures does not answer" in answer.text) == odd.away
        assert "in use" in answer.text
    stray = await ask(odd.app, "/devices/ash/stray-1")
    assert "Not in the asset register" in stray.text
    assert "/act/" not in stray.text
