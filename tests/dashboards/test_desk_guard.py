"""The guard in front of the desk: who gets in, what is refused, and that nothing behind it hears of what is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from caretaker_collector.accounts import book
from caretaker_collector.files.kinds import DeskSettings
from caretaker_dashboards.desk.asked import own_path
from caretaker_dashboards.desk.guard_settings import CSP, GuardSettings, Rates
from caretaker_dashboards.desk.peers import PEER, Peers
from caretaker_dashboards.desk.ports import SignedIn
from signin_world import DIRECTOR, ENGINEER, GLASS, HOST, PASSWORD, ROOT, Answer, Browser, Door, ask, open_door
from worlds import NOW_MS

PROXY, PHONE = "198.51.100.7", "192.0.2.99"
HEADER = DeskSettings(header="X-Remote-User", proxies=(PROXY,))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return open_door(tmp_path)


async def signed_in(door: Door, name: str = ENGINEER) -> Browser:
    browser = Browser(door)
    assert (await browser.sign_in(name)).status == 303
    return browser


async def test_a_page_leads_to_the_sign_in_page_and_back(door: Door) -> None:
    browser = Browser(door)
    answer = await browser.get("/incidents/12?view=all&x=%2F")
    assert (answer.status, answer.header("location")) == (303, "/sign-in?next=/incidents/12%3Fview%3Dall%26x%3D%252F")
    assert 'value="/incidents/12?view=all&amp;x=%2F"' in (await browser.get(answer.header("location"))).body
    answer = await browser.post("/sign-in", name=ENGINEER, password=PASSWORD, next="/incidents/12?view=all&x=%2F")
    assert (answer.status, answer.header("location")) == (303, "/incidents/12?view=all&x=%2F")
    assert ENGINEER in (await browser.get("/incidents/12")).body


async def test_what_a_script_asks_for_and_what_changes_something_gets_401(door: Door) -> None:
    plain = [("host", HOST)]
    for method, more in [
        ("GET", ("hx-request", "true")),
        ("GET", ("sec-fetch-dest", "empty")),
        ("GET", ("accept", "text/event-stream")),
        ("GET", ("accept", "application/json")),
        ("POST", ("accept", "text/html")),
        ("DELETE", ("accept", "text/html")),
    ]:
        answer = await door.ask(method, "/incidents/12", [*plain, more])
        assert (answer.status, answer.header("hx-redirect")) == (401, "/sign-in"), (method, more)
    assert door.seen == []


async def test_a_forged_cookie_is_nobody(door: Door) -> None:
    real = await signed_in(door)
    (name, secret), *_ = [pair for pair in real.cookies.items() if not pair[0].endswith("-form")]
    flipped = ("A" if secret[0] != "A" else "B") + secret[1:]
    digest = door.db.execute("SELECT digest FROM sessions").fetchone()[0]
    for forged in (flipped, digest, "A" * 43, "", secret + "A", secret[:-1], "' OR 1=1 --", "x" * 9000):
        answer = await door.ask("GET", "/", [("host", HOST), ("cookie", f"{name}={forged}")])
        assert answer.status == 303, forged
    assert (await door.ask("GET", "/", [("host", HOST), ("cookie", f"{name}={secret}")])).status == 200


async def test_a_stolen_cookie_is_worth_nothing_after_sign_out(door: Door) -> None:
    browser = await signed_in(door)
    thief = Browser(door, peer="203.0.113.5")
    thief.cookies = dict(browser.cookies)
    assert (await thief.get("/")).status == 200
    answer = await browser.post("/sign-out")
    assert (answer.status, answer.header("location")) == (303, "/sign-in?out=1")
    assert (await thief.get("/")).status == 303
    assert browser.cookies.keys() == {"caretaker-form"}, "the browser forgets it, too"


async def test_a_session_ends_when_nobody_uses_it_and_in_any_case_after_a_day(door: Door) -> None:
    browser = await signed_in(door)
    door.seconds += 29 * 60
    assert (await browser.get("/")).status == 200
    door.seconds += 29 * 60
    assert (await browser.get("/")).status == 200
    door.seconds += 31 * 60
    assert (await browser.get("/")).status == 303
    await browser.sign_in()
    for _ in range(26):
        door.seconds += 27 * 60
        assert (await browser.get("/")).status == 200
    door.seconds += 27 * 60
    assert (await browser.get("/")).status == 303, "12 h are over"


async def test_a_page_that_refreshes_itself_keeps_no_session_from_going_stale(door: Door) -> None:
    browser = await signed_in(door)
    for _ in range(2):
        door.seconds += 14 * 60
        assert (await browser.get("/", ("x-caretaker-live", "1"))).status == 200
    door.seconds += 3 * 60
    assert (await browser.get("/", ("x-caretaker-live", "1"))).status == 303


async def test_a_form_without_its_token_changes_nothing(door: Door) -> None:
    browser, other = await signed_in(door), await signed_in(door, DIRECTOR)
    for wrong in ("", "0" * 64, other.csrf, browser.cookies["caretaker"], browser.csrf[:-1], "é" * 64):
        answer = await browser.post("/incidents/1", csrf=wrong, reason="x")
        assert (answer.status, "load the page again" in answer.body) == (403, True), wrong
    headers = [*browser._headers(), ("content-type", "application/json"), ("sec-fetch-site", "same-origin")]
    assert (await door.ask("POST", "/incidents/1", headers, b'{"csrf": "x"}')).status == 403
    twice = urlencode([("csrf", browser.csrf), ("csrf", browser.csrf)]).encode()
    form = [*browser._headers(), ("content-type", "application/x-www-form-urlencoded")]
    assert (await door.ask("POST", "/incidents/1", form, twice)).status == 403
    assert [one for one in door.seen if one["path"] != "/account"] == []
    assert (await browser.post("/incidents/1", reason="it is mine")).status == 200
    assert door.seen[-1]["fields"]["reason"] == "it is mine"
    token = [*browser._headers(), ("x-csrf-token", browser.csrf)]
    assert (await door.ask("DELETE", "/incidents/1", token)).status == 200


async def test_a_form_of_another_page_changes_nothing_even_with_the_token(door: Door) -> None:
    browser = await signed_in(door)
    body = urlencode({"csrf": browser.csrf}).encode()
    form = [*browser._headers(), ("content-type", "application/x-www-form-urlencoded")]
    for more in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("origin", "http://127.0.0.1:9999")],
        [("origin", "http://127.0.0.1.evil.example:8600")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("origin", f"http://{HOST}"), ("sec-fetch-site", "cross-site")],
    ]:
        answer = await door.ask("POST", "/", [*form, *more], body)
        assert (answer.status, "did not come from the desk" in answer.body) == (403, True), more
    assert (await door.ask("POST", "/", [*form, ("origin", f"http://{HOST}")], body)).status == 200
    assert (await door.ask("POST", "/", form, body)).status == 200, "a program that is no browser, with both secrets"


async def test_signing_somebody_in_from_another_page_does_not_work(door: Door) -> None:
    """Else a stranger's account could be put into a colleague's browser, and their work land there."""
    answer = await Browser(door).post("/sign-in", csrf="", name=ENGINEER, password=PASSWORD)
    assert (answer.status, door.hasher.checks) == (403, 0)
    mine, theirs = Browser(door), Browser(door)
    await mine.get("/sign-in")
    await theirs.get("/sign-in")
    assert (await theirs.post("/sign-in", csrf=mine.csrf, name=ENGINEER, password=PASSWORD)).status == 403


@pytest.mark.parametrize("length", ["70000", "-1", "x", "9" * 5000, "65537"])
async def test_a_length_that_is_too_much_is_refused_before_anything_is_read(door: Door, length: str) -> None:
    browser = await signed_in(door)

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = [*browser._headers(), ("content-length", length), ("x-csrf-token", browser.csrf)]
    answer = await door.ask("POST", "/", headers, never())
    assert (answer.status, answer.header("connection")) == (413, "close")


async def test_a_body_without_a_length_is_counted_as_it_comes(door: Door) -> None:
    browser, read = await signed_in(door), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 8192
            yield b"x" * 8192

    headers = [*browser._headers(), ("transfer-encoding", "chunked"), ("x-csrf-token", browser.csrf)]
    assert (await door.ask("POST", "/", headers, endless())).status == 413
    assert read <= 65_536 + 8192


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    door = open_door(tmp_path, body_within_s=0.05)
    browser = await signed_in(door)

    async def slow() -> AsyncIterator[bytes]:
        yield b"csrf="
        await asyncio.Event().wait()

    form = [*browser._headers(), ("content-type", "application/x-www-form-urlencoded")]
    answer = await door.ask("POST", "/", form, slow())
    assert (answer.status, answer.header("connection")) == (408, "close")


async def test_a_form_of_very_many_fields_is_refused(door: Door) -> None:
    browser = await signed_in(door)
    form = [*browser._headers(), ("content-type", "application/x-www-form-urlencoded")]
    assert (await door.ask("POST", "/", form, b"a&" * 20_000)).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 303),
        ("localhost", 303),
        ("[::1]:8600", 303),
        ("LOCALHOST.:1", 303),
        ("desk.school.example", 303),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
        ("desk.school.example@evil.example", 400),
    ],
)
async def test_only_the_desks_own_names_lead_to_it(tmp_path: Path, host: str, status: int) -> None:
    """A page of an attacker, whose name was made to lead to this machine, could read the desk otherwise."""
    guard = GuardSettings(address=f"http://{HOST}", hosts=frozenset({"desk.school.example"}))
    door = open_door(tmp_path, guard=guard)
    assert (await door.ask("GET", "/", [("host", host)])).status == status
    assert (await door.ask("GET", "/static/x.css", [("host", host)])).status == (200 if status == 303 else 400)


async def test_no_host_and_two_hosts_are_refused(door: Door) -> None:
    assert (await door.ask("GET", "/", [])).status == 400
    assert (await door.ask("GET", "/", [("host", HOST), ("host", "evil.example")])).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/a\r\nSet-Cookie: x=y",
        "/é",
        "/" + "a" * 2000,
        "/sign-out",
        "/sign-in?next=/",
        "\\\\evil.example",
        " /x",
    ],
)
async def test_after_signing_in_nobody_is_led_out_of_the_desk(door: Door, path: str) -> None:
    assert own_path(path) == "/"
    browser = Browser(door)
    answer = await browser.sign_in(path=path)
    assert (answer.status, answer.header("location")) == (303, "/")
    answer = await browser.get(f"/sign-in?{urlencode({'next': path})}")
    assert (answer.status, answer.header("location")) == (303, "/"), "and not when they have signed in already"


def test_a_path_of_the_desk_stays_as_it_is() -> None:
    for path in ("/", "/incidents/12", "/rooms/ash/ict1?day=2026-10-06&view=list", "/search?q=%2F%2Fx"):
        assert own_path(path) == path


async def test_every_answer_keeps_the_browser_careful(door: Door) -> None:
    browser = await signed_in(door)
    answers = [
        await browser.get("/"),
        await browser.get("/no-such-page"),
        await browser.get("/static/desk.css"),
        await Browser(door).get("/"),
        await Browser(door).get("/sign-in"),
        await browser.post("/", csrf="wrong"),
        await door.ask("GET", "/", [("host", "evil.example")]),
        await door.ask("POST", "/", [("host", HOST)]),
    ]
    assert [answer.status for answer in answers] == [200, 404, 200, 303, 200, 403, 400, 401]
    for answer in answers:
        assert answer.header("content-security-policy") == CSP
        assert "unsafe" not in CSP and "default-src 'none'" in CSP and "frame-ancestors 'none'" in CSP
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("referrer-policy") == "same-origin"
        assert answer.header("cross-origin-opener-policy") == "same-origin"
        assert answer.header("cross-origin-resource-policy") == "same-origin"
        assert "camera=()" in answer.header("permissions-policy")
        assert answer.header("strict-transport-security") == "", "not over plain http"
    assert [answer.header("cache-control") for answer in answers[:2]] == ["no-store"] * 2


async def test_over_https_cookies_are_bound_to_this_host_and_plain_is_not_gone_back_to(tmp_path: Path) -> None:
    guard = GuardSettings(address="https://desk.example", hosts=frozenset({"desk.example"}))
    door = open_door(tmp_path, guard=guard)
    browser = Browser(door, host="desk.example", origin="https://desk.example")
    answer = await browser.sign_in()
    assert answer.header("strict-transport-security") == "max-age=31536000"
    (cookie,) = answer.cookies()
    assert cookie.startswith("__Host-caretaker=")
    assert cookie.partition("; ")[2] == "Max-Age=43200; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert (await browser.get("/")).status == 200
    mixed = Browser(door, host="desk.example", origin="http://desk.example")
    mixed.cookies, mixed.csrf = browser.cookies, browser.csrf
    assert (await mixed.post("/")).status == 403, "a page over plain http may be anybody's"


async def test_over_loopback_the_cookie_is_for_pages_only(door: Door) -> None:
    (cookie,) = (await Browser(door).sign_in()).cookies()
    assert cookie.startswith("caretaker=")
    assert cookie.partition("; ")[2] == "Max-Age=43200; Path=/; HttpOnly; SameSite=Lax"


async def test_a_session_and_an_address_may_ask_only_so_often(tmp_path: Path) -> None:
    door = open_door(tmp_path, rates=Rates(reads=(5, 1), changes=(2, 1), strangers=(8, 1)))
    one = await signed_in(door)
    door.seconds += 60
    other = Browser(door, peer="192.0.2.11")
    await other.sign_in(DIRECTOR)
    door.seconds += 60
    assert [(await one.get("/")).status for _ in range(6)] == [200] * 5 + [429]
    assert [(await one.post("/")).status for _ in range(3)] == [200, 200, 429]
    assert (await other.get("/")).status == 200, "somebody else"
    assert (await one.get("/static/x")).status == 200, "what is the same for everybody costs nothing"
    stranger = Browser(door, peer="192.0.2.12")
    answers = [await stranger.get("/") for _ in range(9)]
    assert [answer.status for answer in answers] == [303] * 8 + [429]
    assert answers[-1].header("retry-after") == "2"
    door.seconds += 2
    assert (await one.get("/")).status == 200


@pytest.mark.parametrize(
    ("peer", "passed_on", "counted"),
    [
        ("127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("::1", "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        ("::ffff:127.0.0.1", "203.0.113.5", "203.0.113.5"),
        (PROXY, f"6.6.6.6, 203.0.113.5, {PROXY}", "203.0.113.5"),
        (PHONE, "203.0.113.5", PHONE),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.5, nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
async def test_who_asks_is_what_a_trusted_web_server_says_and_nobody_else(
    peer: str, passed_on: str, counted: str
) -> None:
    seen: list[tuple[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope[PEER]))
        await PlainTextResponse("")(scope, receive, send)

    await ask(Peers(app, [PROXY]), "GET", "/", [("x-forwarded-for", passed_on)], peer=peer)
    assert seen == [(counted, peer.removeprefix("::ffff:"))], "and the direct peer stays what it is"


async def test_only_the_pages_of_schools_that_are_named_are_open(tmp_path: Path) -> None:
    door = open_door(tmp_path, DeskSettings(public_school_pages=("ash",)))
    assert (await Browser(door).get("/s/ash")).body == "<p>nobody</p>"
    for path in ("/s/oak", "/s/ashes", "/s/", "/s/ash/../oak", "/incidents/1", "/s", "/static/../incidents/1"):
        answer = await Browser(door).get(path)
        assert (answer.status, answer.body) == (303, ""), path


async def test_a_web_socket_is_closed_and_start_and_end_are_passed_on(door: Door) -> None:
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    await door.app({"type": "websocket", "path": "/", "headers": [], "client": None}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_stream_ends_with_its_session(door: Door) -> None:
    browser = await signed_in(door)

    async def between(number: int) -> None:
        if number == 1:
            await asyncio.to_thread(door.accounts.sign_out, browser.cookies["caretaker"])

    _inner(door).state.between = between
    answer = await browser.get("/events", ("accept", "text/event-stream"))
    assert answer.body == "data: 0\n\ndata: 1\n\n"


async def test_who_has_to_choose_a_password_first_sees_nothing_else(door: Door) -> None:
    kept = door.db.execute("SELECT hash FROM accounts WHERE name = ?", (ENGINEER,)).fetchone()[0]
    book.set_password(door.db, ROOT, ENGINEER, kept, NOW_MS, must_change=True)
    browser = Browser(door)
    assert (await browser.sign_in(path="/incidents/1")).header("location") == "/account"
    assert (await browser.get("/incidents/1")).header("location") == "/account"
    assert (await browser.post("/incidents/1")).header("location") == "/account"
    assert door.seen == []
    again = {"do": "password", "old": PASSWORD, "new": "ladder oyster thimble", "again": "ladder oyster thimble"}
    assert (await browser.post("/account", **again)).header("location") == "/account?done=changed"
    assert (await browser.get("/incidents/1")).status == 200


# A trusted header


async def by_header(door: Door, name: str | list[str], peer: str | None = PROXY, **more: str) -> Answer:
    names = [name] if isinstance(name, str) else name
    headers = [("host", HOST), *[("X-Remote-User", one) for one in names], *more.items()]
    return await door.ask("GET", "/", headers, peer=peer)


async def test_a_trusted_web_server_signs_people_in(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    browser = Browser(door, peer=PROXY)
    browser.extra = [("X-Remote-User", "service DESK")]
    answer = await browser.get("/incidents/1")
    assert (answer.status, ENGINEER in answer.body, len(answer.cookies())) == (200, True, 1)
    assert (await browser.get("/")).cookies() == [], "one session, not one for each request"
    assert "x-remote-user" not in door.seen[-1]["headers"]
    await browser.get("/account")
    assert (await browser.post("/")).status == 200
    browser.extra = [("X-Remote-User", DIRECTOR)]
    assert DIRECTOR in (await browser.get("/")).body, "the next person at this machine"
    assert door.audit()[-2:] == [(ENGINEER, "sign in", "done"), (DIRECTOR, "sign in", "done")]


async def test_a_header_of_anybody_else_is_nothing(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    for peer in (PHONE, "127.0.0.1", "::1", None, "198.51.100.70"):
        assert (await by_header(door, ENGINEER, peer)).status == 303, peer
    assert door.seen == []
    for forged in (PROXY, f"{PROXY}, {PROXY}", f"1.2.3.4, {PROXY}"):
        assert (await by_header(door, ENGINEER, "127.0.0.1", **{"X-Forwarded-For": forged})).status == 303, forged
        assert (await by_header(door, ENGINEER, PHONE, **{"X-Forwarded-For": forged})).status == 303, forged
    assert (await by_header(door, ENGINEER, PROXY, **{"X-Forwarded-For": PHONE})).status == 200


async def test_without_the_setting_no_header_is_believed(door: Door) -> None:
    for peer in (PROXY, "127.0.0.1"):
        assert (await by_header(door, ENGINEER, peer)).status == 303


async def test_a_header_names_nobody_whom_the_desk_does_not_know(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    answer = await by_header(door, "somebody@school.example")
    assert (answer.status, "no account for you" in answer.body, answer.cookies()) == (403, True, [])
    assert "somebody" not in answer.body
    assert (await by_header(door, GLASS)).status == 403, "a proxy does not break the glass"
    assert (await by_header(door, [ENGINEER, DIRECTOR])).status == 400
    assert (await by_header(door, "  ")).status == 303
    book.end(door.db, ROOT, ENGINEER, NOW_MS)
    assert (await by_header(door, ENGINEER)).status == 403


async def test_a_session_by_header_is_worth_nothing_without_the_header(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    browser = Browser(door, peer=PROXY)
    browser.extra = [("X-Remote-User", ENGINEER)]
    await browser.get("/")
    browser.extra = []
    assert (await browser.get("/")).status == 303, "the web server signed them out"
    browser.peer, browser.extra = PHONE, [("X-Remote-User", ENGINEER)]
    assert (await browser.get("/")).status == 303


async def test_where_a_web_server_signs_people_in_only_the_glass_can_be_broken(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    browser = Browser(door, peer="127.0.0.1")
    assert (await browser.sign_in(ENGINEER)).status == 403
    assert (await browser.sign_in(GLASS)).status == 303
    assert GLASS in (await browser.get("/")).body
    assert door.audit()[-1] == (GLASS, "break-glass sign in", "done")


async def test_a_change_by_header_needs_a_session_and_its_token_first(tmp_path: Path) -> None:
    door = open_door(tmp_path, HEADER)
    headers = [("host", HOST), ("X-Remote-User", ENGINEER), ("content-type", "application/x-www-form-urlencoded")]
    assert (await door.ask("POST", "/", headers, b"csrf=", peer=PROXY)).status == 403
    assert door.seen == []


async def test_another_schools_director_is_told_to_the_pages_as_such(door: Door) -> None:
    """The guard lets them in; what they may see the ports say, by the one school that they are told."""
    signed = await door.accounts.sign_in(DIRECTOR, PASSWORD, PHONE)
    assert isinstance(signed, SignedIn)
    assert signed.viewer.who.schools == ("ash",)
    await (await signed_in(door, DIRECTOR)).get("/s/oak")
    assert door.seen[-1]["viewer"].who.schools == ("ash",)


def _inner(door: Door) -> object:
    peers = door.app
    return peers._app._app  # type: ignore[attr-defined]
