"""Every address that a collector serves, for everybody who might ask: nothing of a school reaches another one.

The table names each route of the real applications once. A route that is not in it fails the first test.
"""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from starlette.routing import Route

from asgi import Answer, ask
from boards_world import SetClock
from caretaker_collector import records, state, stays
from caretaker_collector.accounts import book
from caretaker_collector.accounts.passwords import Passwords
from caretaker_collector.api import tokens
from caretaker_collector.app import Collector
from caretaker_collector.desk.served import DeskServed
from caretaker_collector.http import application, with_desk
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.order_book import Scope, place
from caretaker_collector.review import shelf
from caretaker_collector.review.shelf import Kept
from caretaker_collector.settings import load_collector, load_estate_and_policies
from caretaker_dashboards.desk.guard_settings import HEADERS, SANDBOX
from caretaker_rules.repeats import Series
from caretaker_rules.roles import Role, operator
from desk_world import write_settings
from rules_world import london_ms
from signin_world import OPEN_HANDED

PASSWORD = "kettle marble violin"
HOST = {"host": "127.0.0.1:8600"}
WHO = ("stranger", "viewer", "engineer", "manager", "ash", "oak")
"""`ash` and `oak`: their project directors. Nobody but ash's people may learn of what the table asks for."""
ALL = ("viewer", "engineer", "manager", "ash", "oak")
OF_ASH = ("viewer", "engineer", "manager", "ash")
NAMES = re.compile(r"Ashfield|ash/|SECRET")

# route: (address, who gets it, what the others who have signed in get, what strangers get). Where two are given the
# second is for another school's director: a role that does not reach is told so, a place of others is not there.
Row = tuple[str, tuple[str, ...], int | tuple[int, int], int]
PAGES: dict[tuple[str, str], Row] = {
    ("GET", "/"): ("/", ALL, 0, 303),
    ("GET", "/schools/{school}"): ("/schools/ash", OF_ASH, 404, 303),
    ("GET", "/rooms/{school}/{room}"): ("/rooms/ash/ict1", OF_ASH, 404, 303),
    ("GET", "/rooms/{school}/{room}/stay"): ("/rooms/ash/ict1/stay", ("engineer", "manager", "ash"), (403, 404), 303),
    ("GET", "/devices/{school}/{device}"): ("/devices/ash/{device}", OF_ASH, 404, 303),
    ("GET", "/why/{school}/{device}"): ("/why/ash/{device}", OF_ASH, 404, 303),
    ("GET", "/places/{school}/{name}"): ("/places/ash/ict1", OF_ASH, 404, 303),
    ("GET", "/incidents"): ("/incidents?school=ash", OF_ASH, 404, 303),
    ("GET", "/incidents/{number:int}"): ("/incidents/{incident}", OF_ASH, 404, 303),
    ("GET", "/records"): ("/records?place=ash", OF_ASH, 404, 303),
    ("GET", "/records/{number:int}"): ("/records/{record}", OF_ASH, 404, 303),
    ("GET", "/orders"): ("/orders", ALL, 0, 303),
    ("GET", "/orders/{number:int}"): ("/orders/{order}", OF_ASH, 404, 303),
    ("GET", "/audit"): ("/audit?school=ash", ("manager",), 403, 303),
    ("GET", "/search"): ("/search?q=SECRET", ALL, 0, 303),
    ("GET", "/help"): ("/help", ALL, 0, 303),
    ("GET", "/account"): ("/account", ALL, 0, 303),
    ("GET", "/events"): ("/events?topic=ash", OF_ASH, 404, 303),
    ("GET", "/act/{action}"): ("/act/hold?place=ash/ict1", ("engineer", "manager", "ash"), (409, 404), 303),
    ("POST", "/act/{action}"): ("/act/hold", ("engineer", "manager", "ash"), (409, 404), 401),
    ("POST", "/act/{action}/preview"): ("/act/hold/preview", OF_ASH, 404, 401),
    ("GET", "/s/{school}"): ("/s/ash", OF_ASH, 404, 303),
    ("GET", "/s/{school}/planned.ics"): ("/s/ash/planned.ics", OF_ASH, 404, 303),
    ("GET", "/s/{school}/feed.atom"): ("/s/ash/feed.atom", OF_ASH, 404, 303),
    ("GET", "/reviews"): ("/reviews", ALL, 0, 303),
    ("GET", "/reviews/{place}"): ("/reviews/ash", OF_ASH, 404, 303),
    ("GET", "/reviews/{place}/{period}/{revision:int}/{file}"): (
        "/reviews/ash/2026-09/1/review.html",
        OF_ASH,
        404,
        303,
    ),
    ("POST", "/account"): ("/account", ALL, 0, 401),
    ("POST", "/sign-out"): ("/sign-out", ALL, 0, 401),
}
OPEN: dict[tuple[str, str], tuple[str, int]] = {
    ("GET", "/sign-in"): ("/sign-in", 200),
    ("POST", "/sign-in"): ("/sign-in", 403),  # without the token of the form
    ("GET", "/accessibility"): ("/accessibility", 200),
    ("GET", "/static/{hash}/{name:path}"): ("/static/0/desk.css", 404),
    ("GET", "/icon.svg"): ("/icon.svg", 200),
    ("GET", "/manifest.webmanifest"): ("/manifest.webmanifest", 200),
    ("GET", "/{rest:path}"): ("/nothing/of/that/name", 303),
}
OTHERS: dict[tuple[str, str], tuple[str, int]] = {  # without a token of the API: what a desk's cookie is worth there
    ("GET", "/healthz"): ("/healthz", 503),
    ("GET", "/metrics"): ("/metrics", 200),
    ("GET", "/api/1/openapi.json"): ("/api/1/openapi.json", 200),
    ("GET", "/api/1/incidents"): ("/api/1/incidents", 401),
    ("POST", "/api/1/incidents"): ("/api/1/incidents", 401),
    ("GET", "/api/1/incidents/{number}"): ("/api/1/incidents/{incident}", 401),
    ("POST", "/api/1/incidents/{number}/{action}"): ("/api/1/incidents/{incident}/note", 401),
    ("GET", "/api/1/actions"): ("/api/1/actions", 401),
    ("POST", "/api/1/actions/{action}"): ("/api/1/actions/hold", 401),
    ("GET", "/stay/{token:path}"): ("/stay/../../etc/passwd", 404),
    ("POST", "/stay/{token:path}"): ("/stay/nothing", 404),
}


class Served:
    """One collector's whole application, with sessions of everybody."""

    def __init__(self, folder: Path) -> None:
        write_settings(folder, "")
        settings_file = folder / "collector.toml"
        settings_file.write_text(settings_file.read_text().replace("[http]\n", "[http]\nstay_links = true\n"))
        settings = load_collector(settings_file)
        estate, policies = load_estate_and_policies(Path(settings.estate))
        clock = SetClock()
        clock.at_ms = london_ms("2026-10-06 10:05")
        self.collector = Collector(settings, estate, policies, clock)
        self.desk = DeskServed(self.collector, OPEN_HANDED)
        self.others = application(self.collector)
        self.app = with_desk(self.others, self.desk.app)
        now_ms, db = self.collector.clock.now_ms(), state.open_state(self.collector.state_path)
        hashed = Passwords().hash(PASSWORD)
        for name, role in (("viewer", Role.VIEWER), ("engineer", Role.ENGINEER), ("manager", Role.MANAGER)):
            book.new(db, operator("test"), name, role, (), hashed, now_ms)
        for name in ("ash", "oak"):
            book.new(db, operator("test"), name, Role.DIRECTOR, (name,), hashed, now_ms)
        scope = Scope(school="ash", room="ict1", device=None, device_class=None)
        made = incident_actions.report(db, estate, scope, "test", "SECRET projector hums", now_ms)
        series = Series(from_ms=now_ms, until_ms=now_ms + 3_600_000, time_zone="Europe/London")
        record = records.make(db, "hold", scope, series, "SECRET club", "test", now_ms)
        order = place(db, "shut_down", scope, "SECRET reason", "test", 120, False, now_ms)
        stays.link_of(db, "ash", "ict1", now_ms)
        kept = Kept(
            place="ash", period="2026-09", revision=1, made_ms=now_ms, stamp="x", reason="SECRET", folder="packs",
            files=("review.html", "../state.db"),
        )  # fmt: skip
        shelf.add(db, kept)
        packs = Path(settings.data) / kept.folder
        packs.mkdir()
        (packs / "review.html").write_text("<p>SECRET figures of Ashfield</p>")
        self.token = tokens.new(db, "oak", "operate", "oak", 30, now_ms)
        db.close()
        device = next(address.device for address in estate.devices if address.school == "ash")
        self.names = SimpleNamespace(device=device, incident=made.number, record=record, order=order)
        self.cookies: dict[str, str] = {"stranger": ""}
        self.csrf: dict[str, str] = {"stranger": "x"}

    def address(self, text: str) -> str:
        """With the numbers of this collector."""
        return text.format(**vars(self.names))

    async def ask(
        self, who: str, address: str, form: dict[str, str] | None = None, token: bool = True, method: str = "GET"
    ) -> Answer:
        """One request by one of them."""
        headers = HOST | ({"cookie": self.cookies[who]} if self.cookies[who] else {})
        fields = {"csrf": self.csrf[who], **form} if form is not None and token else form
        events = 1 if address.startswith("/events") else None
        return await ask(self.app, address, method, headers, fields, events)

    async def sign_in(self, name: str) -> None:
        """A session."""
        page = await ask(self.app, "/sign-in", headers=HOST)
        token = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert token is not None
        form = page.headers["set-cookie"].partition(";")[0]
        fields = {"csrf": token[1], "name": name, "password": PASSWORD, "next": "/"}
        answer = await ask(self.app, "/sign-in", headers=HOST | {"cookie": form}, form=fields)
        assert answer.status == 303, answer.text
        self.cookies[name] = answer.headers["set-cookie"].partition(";")[0]
        account = await self.ask(name, "/account")
        found = re.search(r'name="csrf" value="([^"]+)"', account.text)
        assert found is not None
        self.csrf[name] = found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    made = Served(tmp_path_factory.mktemp("routes"))
    for name in WHO[1:]:
        await made.sign_in(name)
    yield made
    made.desk.close()
    await made.collector.close()


def known(routes: list[object]) -> Iterator[tuple[str, str]]:
    for route in routes:
        assert isinstance(route, Route), f"{route} cannot be looked through: say here how"
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_no_route_is_forgotten(served: Served) -> None:
    desk = set(known(served.desk.routes))
    assert desk == set(PAGES) | set(OPEN), "a new route has to say in this table who may have it"
    assert set(known(list(served.others.routes))) == set(OTHERS)


OF_ONESELF = {("POST", "/sign-out"), ("POST", "/account")}
"""Whose school and role make no difference: test_desk_signin.py has them."""


@pytest.mark.parametrize("route", [route for route in PAGES if route not in OF_ONESELF], ids=" ".join)
async def test_a_page_is_for_those_whose_school_and_role_it_is(served: Served, route: tuple[str, str]) -> None:
    address, allowed, refused, strangers = PAGES[route]
    address = served.address(address)
    for who in WHO:
        form = {"place": "ash/ict1", "until": "23:59", "reason": "x"} if route[0] == "POST" else None
        answer = await served.ask(who, address, form)
        denied = refused if isinstance(refused, int) else refused[who == "oak"]
        fine = (200, 303, 503) if address.endswith("planned.ics") else (200, 303)  # 503: it is not written yet
        wanted = (strangers,) if who == "stranger" else fine if who in allowed else (denied,)
        assert answer.status in wanted, (who, answer.status, answer.text)
        if who in ("stranger", "oak"):
            shown = answer.text
            for typed in ("ash/ict1", "SECRET") if "=" in address or form else (address,):  # by themselves
                shown = shown.replace(typed, "")
            assert not NAMES.search(shown), (who, NAMES.search(shown))
        careful(answer)


@pytest.mark.parametrize("route", [*OPEN, *OTHERS], ids=" ".join)
async def test_what_is_open_to_all_tells_nothing_of_a_school(served: Served, route: tuple[str, str]) -> None:
    """Nor is a desk's cookie worth anything at the API."""
    address, status = (OPEN | OTHERS)[route]
    for who in ("stranger", "manager"):
        form = {"place": "ash/ict1"} if route[0] == "POST" else None
        answer = await served.ask(who, served.address(address), form, token=False)
        if route == ("GET", "/{rest:path}") and who == "manager":
            status = 404
        if route[1] == "/sign-in" and who == "manager" and route[0] == "GET":
            continue  # goes on to the desk
        assert answer.status == status, (who, answer.text)
        assert not NAMES.search(answer.text.replace("ash/ict1", "")), who  # the example of the description
        if route in OPEN:
            careful(answer)


@pytest.mark.parametrize("route", [route for route in PAGES if route[0] == "POST"], ids=" ".join)
async def test_nothing_is_done_without_the_token_of_the_session(served: Served, route: tuple[str, str]) -> None:
    address = served.address(PAGES[route][0])
    for given in ({}, {"csrf": ""}, {"csrf": served.csrf["engineer"]}):
        answer = await served.ask("manager", address, {"place": "ash/ict1", "reason": "x", **given}, token=False)
        assert answer.status == 403, answer.text
        careful(answer)
    assert (await served.ask("manager", "/account")).status == 200, "and the session is as it was"


@pytest.mark.parametrize("route", PAGES, ids=" ".join)
async def test_other_methods_do_nothing(served: Served, route: tuple[str, str]) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        answer = await served.ask("manager", served.address(PAGES[route][0]), method=method)
        assert answer.status in (403, 405), (method, answer.status)
        careful(answer)


async def test_another_schools_place_is_like_one_that_is_not_there(served: Served) -> None:
    """To the letter, whatever is asked of it."""
    pairs = [
        ("/schools/ash", "/schools/elm"),
        ("/rooms/ash/ict1", "/rooms/elm/ict1"),
        ("/devices/ash/{device}", "/devices/elm/{device}"),
        ("/why/ash/{device}", "/why/elm/{device}"),
        ("/places/ash/ict1", "/places/elm/ict1"),
        ("/incidents/{incident}", "/incidents/4711"),
        ("/records/{record}", "/records/4711"),
        ("/orders/{order}", "/orders/4711"),
        ("/s/ash", "/s/elm"),
        ("/reviews/ash", "/reviews/elm"),
        ("/reviews/ash/2026-09/1/review.html", "/reviews/elm/2026-09/1/review.html"),
        ("/s/ash/planned.ics", "/s/elm/planned.ics"),
        ("/events?topic=ash", "/events?topic=elm"),
        ("/events?topic=incident/{incident}", "/events?topic=incident/4711"),
        ("/act/hold?place=ash/ict1", "/act/hold?place=elm/ict1"),
        ("/act/note?place={incident}", "/act/note?place=4711"),
    ]
    for there, nowhere in pairs:
        one, other = [await served.ask("oak", served.address(address)) for address in (there, nowhere)]
        assert one.status == other.status, there
        # "there are: oak" may follow where a school is none at all: it names their own school only
        told = [re.sub(r"elm|ash|\b\d+\b", "_", answer.text) for answer in (one, other)]
        assert told[0] == told[1], there


async def test_a_page_that_was_made_for_somebody_is_not_shown_to_somebody_else(served: Served) -> None:
    """Main parts are kept by what their reader may see: the manager's never reach a director, nor an ETag of theirs."""
    first = await served.ask("manager", "/")
    for who in ("viewer", "engineer", "ash", "oak"):
        headers = HOST | {"cookie": served.cookies[who], "if-none-match": first.headers.get("etag", "")}
        answer = await ask(served.app, "/", headers=headers)
        assert answer.status == 200, who
        assert ("Ashfield" in answer.text) == (who != "oak")
        assert served.csrf["manager"] not in answer.text


@pytest.mark.parametrize("number", ["0", "9" * 15, "9" * 30, "9" * 400])
async def test_numbers_that_are_too_large_are_none(served: Served, number: str) -> None:
    for address in ("/incidents/{}", "/records/{}", "/orders/{}"):
        assert (await served.ask("manager", address.format(number))).status == 404, address


@pytest.mark.parametrize(
    "address",
    [
        "/static/0/../../../../etc/passwd",
        "/reviews/ash/2026-09/1/..%2fstate.db",
        "/reviews/ash/2026-09/1/%2e%2e%2fstate.db",
        "/reviews/..%2f../2026-09/1/review.html",
        "/sign-in?next=//evil.example", "/sign-in?next=/%0d%0aSet-Cookie:x=y", "/places/ash/ict1%0d%0aX-Evil:1",
        "/places/ash/%2f%2fevil.example", "/why/ash/ict1?next=//evil.example", "//evil.example/%2e%2e",
        "/static/0/%2e%2e/%2e%2e/base.html", "/s/ash%0d%0aX-Evil:1/planned.ics",
    ],
)  # fmt: skip
async def test_no_address_leads_out_or_writes_a_header(served: Served, address: str) -> None:
    for who in ("stranger", "manager"):
        answer = await served.ask(who, address)
        assert "x-evil" not in answer.headers
        assert not re.match(r"//|/\\|https?:", answer.headers.get("location", "")), answer.headers
        assert "\n" not in "".join(answer.headers.values())
        assert answer.status != 500


async def test_a_token_of_another_school_learns_nothing_by_the_api(served: Served) -> None:
    headers = HOST | {"authorization": f"Bearer {served.token}"}
    listed = await ask(served.app, "/api/1/incidents", headers=headers)
    assert (listed.status, "SECRET" in listed.text) == (200, False)
    one = await ask(served.app, served.address("/api/1/incidents/{incident}"), headers=headers)
    none = await ask(served.app, "/api/1/incidents/4711", headers=headers)
    assert one.status == none.status == 404
    assert one.text.replace(str(served.names.incident), "4711") == none.text


def careful(answer: Answer) -> None:
    """Whatever the answer is, the browser is kept careful, and nothing of it stays in a cache."""
    policy = answer.headers["content-security-policy"]
    assert policy == HEADERS["Content-Security-Policy"] or policy.startswith(SANDBOX)
    for name, value in HEADERS.items():
        assert name == "Content-Security-Policy" or answer.headers.get(name.lower()) == value, name
    if answer.status != 200 or "text/html" in answer.headers.get("content-type", ""):
        assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
