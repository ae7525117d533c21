"""From a click to the machine and back onto the page: a real collector, a real broker, machines that obey."""

import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import segno

from browser import PHONE, OpenWindow, Window, shown
from caretaker_contract.messages import Cause, PowerState, Verb
from desk_site import Site, act, desk_site
from worlds import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One desk for all tests of this file; each leaves it as it found it, or uses what is its own."""
    with desk_site(tmp_path_factory.mktemp("desk"), devices=6) as found:
        yield found


def test_a_hold_keeps_machines_on_until_it_is_undone(site: Site, open_window: OpenWindow) -> None:
    """Click, reason, done; the page shows it by itself; an order leaves the machines alone; undo ends it."""
    window = open_window(site.base)
    site.sign_in(window, "eve")
    window.goto("/rooms/ash/ict1")
    act(window, "Hold", "after-school club")
    assert "6 machines" in window.text("dialog .banner")
    undo = window.page.locator("dialog a.act").first
    shown(window, "main", "after-school club")
    assert site.records("SELECT by_whom, reason FROM holds ORDER BY id DESC LIMIT 1") == [("eve", "after-school club")]
    assert site.audited("hold")[0] == ("eve", "desk", "ash/ict1", "done")

    other = open_window(site.base)
    site.sign_in(other, "eve")
    other.goto("/rooms/ash/ict1")
    act(other, "Shut down", "power cut at six")
    other.refused(409)
    assert "6 held" in other.text("dialog .banner")
    assert site.machines.asked(Verb.SHUT_DOWN) == set()
    _, out, _ = site.caretaker("why", "ash/pc-000")
    assert "held until" in out, out

    undo.click()
    window.page.locator("dialog button.do").wait_for()
    if window.page.locator("dialog [name=reason]").count():
        window.page.locator("dialog [name=reason]").fill("nobody came")
    window.page.locator("dialog button.do").click()
    window.page.locator("dialog .banner").wait_for()
    eventually(lambda: site.records("SELECT count(*) FROM holds WHERE ended_ms IS NULL") == [(0,)], 5)
    assert site.audited("end")[0][:2] == ("eve", "desk")


def test_a_room_that_is_shut_down_leaves_machines_in_use_on_and_is_shown_off(
    site: Site, open_window: OpenWindow
) -> None:
    """The preview names the counts, the machines obey, and an open page shows it by itself."""
    site.idle()
    site.machines.say(PowerState.IN_USE, "pc-004", "pc-005", cause=Cause.INPUT)
    looking = open_window(site.base, size=PHONE)
    site.sign_in(looking, "vic")
    looking.goto("/rooms/ash/ict1")
    shown(looking, "main", "2 in use")
    window = open_window(site.base)
    site.sign_in(window, "eve")
    window.goto("/rooms/ash/ict1")
    window.page.locator("main a.act").filter(has_text="Shut down").first.click()
    touches = window.text("dialog #touches")
    assert "6 machines in ICT suite 1" in touches and "2 in use" in touches and "those stay on" in touches
    assert "4 would be asked" in touches
    assert site.machines.asked(Verb.SHUT_DOWN) == set(), "looking changes nothing"
    window.page.locator("dialog [name=reason]").fill("the building closes")
    window.page.locator("dialog button.do").click()
    eventually(lambda: len(site.machines.asked(Verb.SHUT_DOWN)) == 4, 10)
    assert site.machines.asked(Verb.SHUT_DOWN) == {f"ash/pc-00{number}" for number in range(4)}
    shown(looking, "main", "4 off by rule")
    shown(looking, "main", "2 in use")
    rows = site.records("SELECT device, verb FROM commands WHERE verb = 'shut_down' ORDER BY device")
    assert rows == [(f"pc-00{number}", "shut_down") for number in range(4)]
    assert site.audited("shut_down")[0] == ("eve", "desk", "ash/ict1", "done")
    _, out, _ = site.caretaker("why", "ash/pc-001")
    assert "the building closes" in out and "done" in out


def test_a_room_is_woken_through_its_relay(site: Site, open_window: OpenWindow) -> None:
    site.idle()
    site.machines.say(PowerState.OFF, "pc-000", "pc-001", cause=Cause.USER)
    window = open_window(site.base)
    site.sign_in(window, "eve")
    window.goto("/rooms/ash/ict1")
    shown(window, "main", "2 off by user")
    act(window, "Wake", "parents' evening")
    eventually(lambda: site.machines.asked(Verb.WAKE) == {"ash/relay-1"}, 10)
    window.page.locator("dialog [data-close]").last.click()
    shown(window, "main", "6 idle")
    assert site.audited("wake")[0] == ("eve", "desk", "ash/ict1", "done")


def test_an_incident_is_reported_taken_and_fixed(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    site.sign_in(window, "eve")
    window.goto("/rooms/ash/ict1")
    window.page.locator("main a.act").filter(has_text="Report").first.click()
    window.page.locator("dialog [name=text]").fill("smoke from the projector of Mrs Brown")
    window.page.locator("dialog button.do").click()
    window.page.locator("dialog .banner").wait_for()
    window.goto("/incidents")
    shown(window, "main", "smoke from the projector")
    window.page.locator("main [data-row]").filter(has_text="smoke").click()
    window.page.wait_for_url("**/incidents/*")
    window.page.locator("main a.act").first.click()
    window.page.locator("dialog button.do").click()
    window.page.locator("dialog .banner").wait_for()
    window.page.locator("dialog [data-close]").last.click()
    shown(window, "main", "acknowledged")
    assert site.audited("acknowledge")[0][:2] == ("eve", "desk")

    school = open_window(site.base)
    school.goto("/s/ash")
    assert "Somebody has reported a fault" in school.text("main")
    assert "Somebody is working on it" in school.text("main")
    assert "Brown" not in school.page.content() and "smoke" not in school.page.content()
    site.sign_in(school, "dan")
    school.goto("/s/ash")
    shown(school, "main", "Mrs Brown")


def test_the_stop_switch_stops_and_resumes(site: Site, open_window: OpenWindow) -> None:
    site.idle()
    asked = len(site.machines.commands)
    window = open_window(site.base)
    site.sign_in(window, "dan")
    window.goto("/schools/ash")
    act(window, "Stop", "exam in the hall")
    window.page.locator("dialog [data-close]").last.click()
    shown(window, "main", "exam in the hall")
    engineer = open_window(site.base)
    site.sign_in(engineer, "eve")
    engineer.goto("/rooms/ash/ict1")
    act(engineer, "Shut down", "power cut")
    engineer.refused(409)
    assert len(site.machines.commands) == asked, "nothing is sent while it is stopped"
    window.page.locator("main a.act").filter(has_text="Resume").first.click()
    window.page.locator("dialog [name=reason]").fill("the exam is over")
    window.page.locator("dialog button.do").click()
    window.page.locator("dialog .banner").wait_for()
    eventually(lambda: site.records("SELECT count(*) FROM stops WHERE ended_ms IS NULL") == [(0,)], 5)
    assert site.audited("resume")[0][:2] == ("dan", "desk")


def test_the_desk_works_without_scripts_from_signing_in_to_an_action(site: Site, open_window: OpenWindow) -> None:
    """Work on the library: a form that is a page, sent with its token; then ended again the same way."""
    window = open_window(site.base, script=False)
    site.sign_in(window, "eve")
    window.goto("/rooms/ash/lib")
    window.page.locator("main a.act").filter(has_text="Maintenance").first.click()
    window.page.locator("[name=reason]").fill("new projector")
    window.page.locator("button.do").click()
    assert "new projector" in window.text("main") or window.page.locator(".banner.good").count()
    assert site.audited("maintenance")[0] == ("eve", "desk", "ash/lib", "done")
    window.goto("/records?kind=maintenance")
    row = window.page.locator("main tr").filter(has_text="new projector")
    row.locator("a.act").filter(has_text="End").first.click()
    if window.page.locator("[name=reason]").count():
        window.page.locator("[name=reason]").fill("it came early")
    window.page.locator("button.do").click()
    assert site.records("SELECT count(*) FROM holds WHERE kind = 'maintenance' AND ended_ms IS NULL") == [(0,)]
    assert site.audited("end")[0][:2] == ("eve", "desk")


def test_a_code_on_the_wall_keeps_the_room_on(site: Site, open_window: OpenWindow) -> None:
    """A manager makes the link; a phone that has signed in nowhere follows the code and presses the button."""
    site.idle()
    window = open_window(site.base)
    site.sign_in(window, "meg")
    window.goto("/rooms/ash/ict1/stay")
    act(window, "Make a link", "for the wall")
    window.goto("/rooms/ash/ict1/stay")
    link = window.text("main code")
    assert link.startswith(f"{site.base}/stay/")
    rows = segno.make(link, error="q", micro=False).matrix
    drawn = window.page.locator(".code path").get_attribute("d") or ""
    assert drawn.count("z") == sum(b"".join(b"%d" % bit for bit in b"\0" + bytes(row)).count(b"01") for row in rows)

    phone = open_window(site.base, size=PHONE)
    phone.goto(link.removeprefix(site.base))
    phone.check("stay")
    phone.page.get_by_role("button", name="Keep it on").click()
    phone.page.wait_for_load_state()
    assert "ICT suite 1 stays on until" in phone.text("h1")
    phone.check("stay-kept")
    [(room, why, by)] = site.records(
        "SELECT room, reason, by_whom FROM holds WHERE asked_key IS NOT NULL AND ended_ms IS NULL"
    )
    assert (room, why, by) == ("ict1", "still here", "somebody with the link of ash/ict1")
    window.goto("/rooms/ash/ict1")
    shown(window, "main", "still here")
    window.page.locator("main a.act").filter(has_text="Shut down").first.click()
    shown(window, "dialog #touches", "6 held")
    window.page.keyboard.press("Escape")
    code, said, _ = site.caretaker("shut-down", "ash/ict1", "--reason", "power cut")
    assert "6 held" in said, (code, said)
    _, out, _ = site.caretaker("why", "ash/pc-001")
    assert "held until" in out, out
    feed = site.world.data / "planned" / "ash.ics"
    eventually(lambda: feed.exists() and "Kept on: ICT suite 1" in feed.read_text(), 10)
    everybody = open_window(site.base)
    everybody.goto("/s/ash")
    assert "Kept on: ICT suite 1" in everybody.text("main")
    assert "still here" not in everybody.page.content()


def ask(site: Site, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
    """Without a browser: status, location, text."""
    connection = http.client.HTTPConnection("127.0.0.1", site.world.http_port, timeout=20)
    try:
        connection.request(method, path, body=body or None, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("location") or "", reply.read().decode(errors="replace")
    except OSError:
        return 0, "", "cut off"
    finally:
        connection.close()


def cookies_of(window: Window) -> str:
    """As a browser sends them."""
    return "; ".join(f"{one['name']}={one['value']}" for one in window.page.context.cookies())


def test_a_director_sees_and_does_nothing_at_another_school(site: Site, open_window: OpenWindow) -> None:
    window = open_window(site.base)
    site.sign_in(window, "dan")
    for path in ("/schools/oak", "/rooms/oak/lab", "/rooms/oak/lab/stay", "/devices/oak/oak-secret-1", "/s/oak",
                 "/why/oak/oak-secret-1", "/places/oak/lab", "/s/oak/planned.ics", "/act/stop?place=oak",
                 "/schools/nowhere"):  # fmt: skip
        window.goto(path, 404)
        assert "Oakley" not in window.text() and "secret" not in window.text("main"), path
    for path in ("/", "/incidents?school=ash", "/records", "/search?q=oak"):
        window.goto(path)
        assert "Oakley" not in window.text("main"), path
    cookie = cookies_of(window)
    window.goto("/act/stop?place=ash")
    csrf = window.page.locator("[name=csrf]").first.get_attribute("value") or ""
    form = urlencode({"csrf": csrf, "place": "oak", "reason": "mine now"}).encode()
    usual = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    status, _, text = ask(site, "POST", "/act/stop", form, **usual)
    assert status == 404 and "Oakley" not in text
    assert site.records("SELECT count(*) FROM stops WHERE school = 'oak'") == [(0,)]
    status, _, _ = ask(site, "GET", "/events?topic=oak", Cookie=cookie)
    assert status == 404


def test_forged_requests_change_nothing(site: Site, open_window: OpenWindow) -> None:
    """No token, another session's token, a cookie that was made up, another page's origin, a body that is huge."""
    window, other = open_window(site.base), open_window(site.base)
    site.sign_in(window, "meg")
    site.sign_in(other, "eve")
    tokens = []
    for one in (window, other):
        one.goto("/act/stop?place=ash")
        tokens.append(one.page.locator("[name=csrf]").first.get_attribute("value") or "")
    cookie = cookies_of(window)
    usual = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}

    def stop(csrf: str | None, **headers: str) -> int:
        fields = {"place": "ash", "reason": "forged"} | ({"csrf": csrf} if csrf is not None else {})
        return ask(site, "POST", "/act/stop", urlencode(fields).encode(), **{**usual, **headers})[0]

    assert stop(None) == 403
    assert stop("") == 403
    assert stop(tokens[1]) == 403
    assert stop(tokens[0], Origin="https://evil.example") == 403
    assert stop(tokens[0], **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert stop(tokens[0], Host="evil.example") == 400
    name = cookie.partition("=")[0]
    for forged in (f"{name}=", f"{name}={'A' * 43}", f"{name}={'%00' * 20}", cookie.swapcase(), f"{name}={'x' * 5000}"):
        assert stop(tokens[0], Cookie=forged) in (401, 403, 400, 431), forged[:60]
        status, where, text = ask(site, "GET", "/schools/ash", Cookie=forged)
        assert "Ashfield" not in text and (status == 400 or where.startswith("/sign-in")), forged[:60]
    status, _, _ = ask(site, "POST", "/act/stop", b"x" * 5_000_000, **usual)
    assert status in (413, 0), "refused, or the line is cut while we go on sending"
    status, _, _ = ask(site, "POST", "/sign-in", b"x" * 5_000_000)
    assert status in (413, 0)
    assert site.records("SELECT count(*) FROM stops WHERE reason = 'forged'") == [(0,)]
    assert stop(tokens[0]) == 200, "the very same with all that belongs to it is done"
    assert site.caretaker("resume", "ash")[0] == 0


def test_a_thousand_guesses_open_nothing_and_stall_nobody(site: Site, open_window: OpenWindow) -> None:
    """The last but one of this file: whoever comes from this address has to wait afterwards."""
    window = open_window(site.base)
    site.sign_in(window, "meg")
    stranger = open_window(site.base)
    stranger.goto("/sign-in")
    csrf = stranger.page.locator("[name=csrf]").first.get_attribute("value") or ""
    usual = {"Cookie": cookies_of(stranger), "Content-Type": "application/x-www-form-urlencoded"}
    begin, statuses = time.monotonic(), dict[int, int]()
    for number in range(1000):
        form = urlencode({"csrf": csrf, "name": "eve", "password": f"guess-{number}", "next": "/"}).encode()
        status, where, _ = ask(site, "POST", "/sign-in", form, **usual)
        assert where in ("",) or "sign-in" in where, "let in"
        statuses[status] = statuses.get(status, 0) + 1
    assert time.monotonic() - begin < 60
    assert set(statuses) <= {200, 401, 403, 429}, statuses
    assert statuses.get(429, 0) > 900, statuses
    site.kept = window.page.context.cookies()
    window.goto("/")
    assert "What to do first" in window.text("main"), "who has signed in is not kept waiting"
    refused = [row for row in site.audited("sign in") if row[3] != "done"]
    assert refused, "it is in the audit log"
    log = site.collector.log()
    assert "guess-" not in log and csrf not in log


def test_live_pages_do_not_keep_a_collector_from_ending(site: Site, open_window: OpenWindow) -> None:
    """The last test of this file."""
    window = open_window(site.base)
    window.page.context.add_cookies(site.kept)
    window.goto("/")
    shown(window, "#live-sign", "Live")
    window.allow("ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_NETWORK")
    begin = time.monotonic()
    assert site.collector.stop() == 0
    assert time.monotonic() - begin < 15
    shown(window, "#live-sign", "Not live since")
