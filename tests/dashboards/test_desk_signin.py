"""The pages to sign in and out and of one's own account, as a browser without scripts gets them."""

from pathlib import Path

import pytest

from caretaker_collector.accounts import book
from caretaker_collector.files.kinds import DeskSettings
from caretaker_dashboards.desk.ports import SignedIn
from signin_world import ENGINEER, GLASS, OTHER, PASSWORD, ROOT, Browser, Door, open_door
from worlds import NOW_MS

WRONG = "do not go together"


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return open_door(tmp_path)


async def test_the_form_is_made_for_password_managers_and_screen_readers(door: Door) -> None:
    page = (await Browser(door).get("/sign-in")).body
    assert 'autocomplete="username"' in page and 'autocomplete="current-password"' in page
    for name in ("name", "password"):
        assert f'<label for="{name}">' in page and f'id="{name}"' in page
    assert "<script" not in page and "style=" not in page and 'role="alert"' not in page


async def test_a_refusal_helps_nobody_to_guess(door: Door) -> None:
    answers = []
    for name, password in ((ENGINEER, "wrong"), ("Nobody at all", "wrong")):
        browser = Browser(door)
        answer = await browser.sign_in(name, password)
        answers.append((answer.status, answer.body.replace(name, "NAME").replace(browser.csrf, "TOKEN")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403 and WRONG in answers[0][1] and 'role="alert"' in answers[0][1]
    assert "wrong" not in answers[0][1], "a password is not shown again"


async def test_too_many_attempts_say_for_how_long_to_wait(door: Door) -> None:
    browser = Browser(door)
    for _ in range(7):
        answer = await browser.sign_in(password="wrong")
    assert (answer.status, answer.header("retry-after")) == (429, "3")
    assert "Too many wrong attempts. Try again in 2 s." in answer.body


async def test_an_empty_form_asks_nobody(door: Door) -> None:
    browser = Browser(door)
    for name, password in (("", PASSWORD), (ENGINEER, ""), ("  ", "x")):
        answer = await browser.sign_in(name, password)
        assert (answer.status, "both your name and your password" in answer.body) == (403, True)
    assert door.hasher.checks == 0 and len(door.audit()) == 4


async def test_a_name_with_markup_stays_text(door: Door) -> None:
    browser = Browser(door)
    for name in ('"><script>alert(1)</script>', "\u202eevil", "{{ 7*7 }}"):
        body = (await browser.sign_in(name, "x")).body
        assert "<script>" not in body and 'value="49"' not in body


async def test_where_nobody_has_an_account_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    door = open_door(tmp_path, people=False)
    page = (await Browser(door).get("/sign-in")).body
    assert "<code>caretaker account new NAME --role engineer</code>" in page
    book.new(door.db, ROOT, ENGINEER, book.Role.ENGINEER, (), None, NOW_MS)
    assert "caretaker account new" not in (await Browser(door).get("/sign-in")).body


async def test_signing_in_again_ends_the_session_before(door: Door) -> None:
    browser = Browser(door)
    await browser.sign_in()
    before = browser.cookies["caretaker"]
    await browser.sign_in(GLASS)
    assert browser.cookies["caretaker"] != before
    assert door.accounts.viewer(before) is None


async def test_a_session_that_was_there_before_is_never_taken_over(door: Door) -> None:
    """A cookie that somebody else put into the browser does not become the session of who signs in."""
    browser = Browser(door)
    browser.cookies["caretaker"] = "A" * 43
    await browser.sign_in()
    assert browser.cookies["caretaker"] != "A" * 43


async def test_after_signing_out_the_page_says_so_and_the_browser_forgets(door: Door) -> None:
    browser = Browser(door)
    await browser.sign_in()
    answer = await browser.post("/sign-out")
    assert answer.cookies() == ["caretaker=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"]
    assert "You have signed out" in (await browser.get(answer.header("location"))).body
    assert (await browser.get("/sign-out")).status == 303, "a link signs nobody out"


async def test_the_account_page_tells_role_school_and_sessions(door: Door) -> None:
    browser, other = Browser(door), Browser(door)
    await browser.sign_in("Dora Ash")
    door.seconds += 3600 / 4
    await other.sign_in("Dora Ash")
    page = (await other.get("/account")).body
    assert "<dd>director</dd>" in page and "<dd>ash</dd>" in page
    assert "<strong>This session</strong>, begun 0 s ago" in page and "Begun 15 min ago" in page
    id_ = page.partition('name="session" value="')[2].partition('"')[0]
    answer = await other.post("/account", do="end", session=id_)
    assert answer.header("location") == "/account?done=ended"
    assert "That session has ended." in (await other.get("/account?done=ended")).body
    assert (await browser.get("/")).status == 303
    assert (await other.post("/account", do="end", session=id_)).status == 403
    assert (await other.post("/account", do="end", session="")).status == 403
    assert (await other.post("/account", do="others")).status == 303
    assert (await other.post("/account", do="delete everything")).status == 403
    assert (await other.get("/account?done=<b>")).body.count("<b>") == 0


async def test_a_password_is_changed_on_the_page(door: Door) -> None:
    browser, other = Browser(door), Browser(door)
    await browser.sign_in()
    await other.sign_in()
    for old, new, again, said in [
        (PASSWORD, OTHER, OTHER + "x", "not the same"),
        ("wrong", OTHER, OTHER, "old password is not right"),
        (PASSWORD, "short", "short", "at least 12"),
    ]:
        answer = await browser.post("/account", do="password", old=old, new=new, again=again)
        assert (answer.status, said in answer.body) == (403, True)
        assert OTHER not in answer.body
    answer = await browser.post("/account", do="password", old=PASSWORD, new=OTHER, again=OTHER)
    assert answer.header("location") == "/account?done=changed"
    assert "Your password was changed" in (await browser.get("/account?done=changed")).body
    assert (await other.get("/")).status == 303
    assert isinstance(await door.accounts.sign_in(ENGINEER, OTHER, "192.0.2.1"), SignedIn)


async def test_where_a_web_server_signs_people_in_the_page_leads_there(tmp_path: Path) -> None:
    door = open_door(tmp_path, DeskSettings(header="X-Remote-User", proxies=("198.51.100.7",)))
    page = (await Browser(door).get("/sign-in?next=/incidents/1")).body
    assert '<a href="/incidents/1">' in page and "break-glass account only" in page
    browser = Browser(door, peer="198.51.100.7")
    browser.extra = [("X-Remote-User", ENGINEER)]
    page = (await browser.get("/account")).body
    assert "the desk has no password of yours" in page and 'name="old"' not in page
    answer = await browser.post("/account", do="password", old="x", new=OTHER, again=OTHER)
    assert answer.status == 403
    assert "You have signed out of the desk" in (await browser.get("/sign-in?out=1")).body


async def test_a_busy_state_file_is_a_sentence_and_no_error(door: Door) -> None:
    browser = Browser(door)
    await browser.get("/sign-in")
    door.accounts._db.execute("PRAGMA busy_timeout = 20")
    door.db.execute("BEGIN IMMEDIATE")
    answer = await browser.post("/sign-in", name=ENGINEER, password=PASSWORD)
    assert (answer.status, "Please try again in a minute" in answer.body) == (503, True)
    door.db.execute("ROLLBACK")
    await browser.sign_in()
    door.db.execute("BEGIN IMMEDIATE")
    answer = await browser.post("/sign-out")
    assert (answer.status, "Nothing was changed" in answer.body) == (503, True), "it does not say that it is done"
    door.db.execute("ROLLBACK")
    assert (await browser.get("/")).status == 200


async def test_pages_of_refusals_are_pages_of_the_desk(door: Door) -> None:
    browser = Browser(door)
    await browser.sign_in()
    body = (await browser.post("/", csrf="wrong")).body
    assert '<html lang="en-GB">' in body and "<h1>Please try again</h1>" in body and "To the desk" in body
