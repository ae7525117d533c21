"""Accounts, sessions and waits on a state file."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from structlog.testing import capture_logs

from caretaker_collector import audit, state
from caretaker_collector.accounts import book, sessions
from caretaker_collector.accounts.passwords import Passwords, generated, wrong_with
from caretaker_collector.accounts.port import DeskAccounts
from caretaker_collector.accounts.sessions import MOST_OF_ONE
from caretaker_collector.accounts.signon import AT_ONCE, FREE_OF_ACCOUNT, FREE_OF_ADDRESS, MOST_WAITING
from caretaker_collector.accounts.waits import MOST_KEYS, Waits
from caretaker_collector.files.kinds import DeskSettings
from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_dashboards.desk.ports import Refusal, SignedIn
from caretaker_rules.roles import Permission, Role
from signin_world import (
    DIRECTOR,
    ENGINEER,
    GLASS,
    MANAGER,
    OTHER,
    PASSWORD,
    ROOT,
    CountingHasher,
    Door,
    open_door,
)
from worlds import NOW_MS

WRONG = "not the password"
HERE, THERE = "192.0.2.10", "203.0.113.5"


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return open_door(tmp_path)


async def come_in(door: Door, name: str = ENGINEER, password: str = PASSWORD, address: str = HERE) -> SignedIn:
    answer = await door.accounts.sign_in(name, password, address)
    assert isinstance(answer, SignedIn), answer
    return answer


async def refused(door: Door, name: str = ENGINEER, password: str = WRONG, address: str = HERE) -> Refusal:
    answer = await door.accounts.sign_in(name, password, address)
    assert isinstance(answer, Refusal), "somebody was let in"
    return answer


async def test_a_person_gets_what_their_role_allows_at_their_schools(door: Door) -> None:
    who = (await come_in(door)).viewer.who
    assert who.allows(Permission.SWITCH, "ash") and not who.allows(Permission.ADMINISTER, None)
    who = (await come_in(door, DIRECTOR)).viewer.who
    assert who.allows(Permission.HOLD, "ash") and not who.allows(Permission.SWITCH, "ash")
    assert not who.allows(Permission.SEE, "oak") and not who.allows(Permission.SEE, None)
    assert (await come_in(door, MANAGER)).viewer.who.allows(Permission.ADMINISTER, None)


async def test_a_name_has_many_spellings_and_a_password_one(door: Door) -> None:
    for name in ("service desk", " SERVICE DESK ", "Ｓervice desk"):
        await come_in(door, name)
    for password in (PASSWORD.upper(), PASSWORD + " ", PASSWORD[:-1], "", "\0"):
        await refused(door, password=password, address=THERE)
        door.seconds += 4000
    accented = Passwords(door.hasher).hash("cafe\u0301 marble violin")
    book.set_password(door.db, ROOT, ENGINEER, accented, NOW_MS, must_change=False)
    await come_in(door, password="caf\u00e9 marble violin", address=THERE)


async def test_known_and_unknown_names_get_the_same_words_and_the_same_work(door: Door) -> None:
    book.new(door.db, ROOT, "By header", Role.VIEWER, (), None, NOW_MS)
    book.end(door.db, ROOT, DIRECTOR, NOW_MS)
    answers, work = [], []
    for number, name in enumerate((ENGINEER, "Nobody", DIRECTOR, "By header", "'; DROP TABLE accounts", "\u202e")):
        before = door.hasher.checks
        answers.append([await refused(door, name, address=f"192.0.2.{number}") for _ in range(FREE_OF_ACCOUNT + 2)])
        work.append(door.hasher.checks - before)
    assert len(set(work)) == 1 and all(each == answers[0] for each in answers)
    assert door.hasher.checks == 6 * (FREE_OF_ACCOUNT + 1)


async def test_a_thousand_attempts_at_once_are_refused_almost_for_nothing(door: Door) -> None:
    with capture_logs() as logs:
        answers = await asyncio.gather(*(refused(door, address=f"10.0.{n // 250}.{n % 250}") for n in range(1000)))
    assert door.hasher.checks == FREE_OF_ACCOUNT + 1
    assert sum(answer.wait_s > 0 for answer in answers) == 1000 - door.hasher.checks
    assert len(logs) <= FREE_OF_ACCOUNT + 2, "and fill no log"
    assert len(door.audit()) <= 4 + FREE_OF_ACCOUNT + 2


async def test_a_thousand_names_from_one_address_are_refused_almost_for_nothing(door: Door) -> None:
    with capture_logs() as logs:
        for number in range(1000):
            await refused(door, f"name {number}")
    assert door.hasher.checks == FREE_OF_ADDRESS + 1
    assert len(logs) == 2 and len(door.audit()) == 4 + 2, "one line for the first of each kind"
    door.seconds += 61
    await refused(door, "name 1")
    assert door.audit()[-1][2].startswith("refused: "), "and one a minute after that"
    assert "attempts)" in door.audit()[-1][2]


async def test_at_most_two_passwords_are_checked_at_a_time(tmp_path: Path) -> None:
    door = open_door(tmp_path)
    running, most, lock = 0, 0, threading.Lock()
    go = threading.Event()
    usual = door.hasher.verify

    def verify(hash: str | bytes, password: str | bytes) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(10)
        with lock:
            running -= 1
        return bool(usual(hash, password))

    await come_in(door)
    door.hasher.verify = verify  # type: ignore[method-assign]
    asked = [asyncio.create_task(door.accounts.sign_in(f"name {n}", "x", f"10.1.0.{n}")) for n in range(60)]
    while most < AT_ONCE or sum(task.done() for task in asked) < 60 - AT_ONCE - MOST_WAITING:
        await asyncio.sleep(0.001)  # the loop is free all the while
    busy = [task.result() for task in asked if task.done()]
    assert all(isinstance(answer, Refusal) and answer.wait_s == 5 for answer in busy)
    known = asyncio.create_task(door.accounts.sign_in(ENGINEER, PASSWORD, HERE))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*asked)
    assert most == AT_ONCE
    assert isinstance(await known, SignedIn), "strangers do not keep colleagues out"


async def test_somebody_who_guesses_elsewhere_keeps_nobody_out(door: Door) -> None:
    """Where the person has signed in before, a stranger's guesses do not count."""
    await come_in(door)
    for _ in range(50):
        await refused(door, address=THERE)
    assert (await refused(door, password=PASSWORD, address=THERE)).wait_s > 0
    await come_in(door)
    assert (await refused(door, password=PASSWORD, address="192.0.2.77")).wait_s > 0, "an address that is new"


async def test_waits_grow_end_by_themselves_and_by_hand(door: Door) -> None:
    waits = []
    for _ in range(FREE_OF_ACCOUNT + 12):
        waits.append((await refused(door)).wait_s)
        door.seconds += waits[-1]
    grown = [wait for wait in waits if wait]
    assert grown[0] in (2, 3) and grown == sorted(grown) and grown[-1] > 60
    await refused(door)
    assert (await refused(door, password=PASSWORD)).wait_s > 0
    book.unlock(door.db, ROOT, ENGINEER, NOW_MS)
    await come_in(door)


async def test_a_wait_is_over_after_a_quarter_of_an_hour_at_most(door: Door) -> None:
    for _ in range(200):
        await refused(door)
        door.seconds += 1000
    await come_in(door)


def test_waits_are_bounded_and_forget() -> None:
    waits = Waits(free=1, first_s=2, longest_s=8, forget_s=100)
    for number in range(MOST_KEYS + 50):
        waits.charge(f"key {number}", 0)
    assert waits.size == MOST_KEYS
    seen = []
    for _ in range(6):
        waits.charge("a", 0)
        seen.append(waits.left_s("a", 0))
    assert seen == [0, 2, 4, 8, 8, 8]
    assert waits.left_s("a", 5) == 3
    waits.refund("a")
    assert waits.left_s("a", 0) == 8
    waits.charge("a", 100)
    assert waits.left_s("a", 100) == 0, "long ago"
    for _ in range(4):
        waits.charge("b", 0)
    waits.clear_from("b")
    assert waits.left_s("b", 0) == 0


async def test_addresses_of_one_house_count_as_one(door: Door) -> None:
    for number in range(FREE_OF_ADDRESS + 1):
        await refused(door, f"name {number}", address=f"2001:db8::{number}")
    assert (await refused(door, "one more", address="2001:db8::ffff")).wait_s > 0
    assert (await refused(door, "one more", address="2001:db8:0:1::1")).wait_s == 0
    for number in range(FREE_OF_ADDRESS + 5):
        assert (await refused(door, f"other {number}", address="127.0.0.1")).wait_s == 0, "everybody behind a proxy"


async def test_what_ends_a_session(door: Door) -> None:
    async def cookie(name: str = ENGINEER) -> str:
        return (await come_in(door, name)).cookie

    accounts, now_ms = door.accounts, NOW_MS
    one, two = await cookie(), await cookie()
    accounts.sign_out(one)
    assert accounts.viewer(one) is None and accounts.viewer(two) is not None
    book.set_role(door.db, ROOT, ENGINEER, Role.VIEWER, (), now_ms)
    assert accounts.viewer(two) is None
    one, two = await cookie(), await cookie()
    assert await accounts.change_password(one, PASSWORD, OTHER) is None
    assert accounts.viewer(one) is not None and accounts.viewer(two) is None, "the others end, this one stays"
    hashed = Passwords(door.hasher).hash(PASSWORD)
    book.set_password(door.db, ROOT, ENGINEER, hashed, now_ms, must_change=True)
    assert accounts.viewer(one) is None
    one = await cookie()
    assert book.end_sessions(door.db, ROOT, ENGINEER, now_ms) == 1
    assert accounts.viewer(one) is None
    one = await cookie()
    book.end(door.db, ROOT, ENGINEER, now_ms)
    assert accounts.viewer(one) is None
    await refused(door, password=PASSWORD)


async def test_one_account_has_so_many_sessions_and_old_ones_are_swept(door: Door) -> None:
    cookies = []
    for _ in range(MOST_OF_ONE + 3):
        door.seconds += 1
        cookies.append((await come_in(door)).cookie)
    assert [door.accounts.viewer(cookie) is None for cookie in cookies[:4]] == [True, True, True, False]
    other = (await come_in(door, DIRECTOR)).cookie
    lines = door.accounts.sessions(cookies[-1])
    assert len(lines) == MOST_OF_ONE and lines[0].this and not any(line.this for line in lines[1:])
    assert await door.accounts.end_sessions(cookies[-1], lines[1].id) == 1
    assert await door.accounts.end_sessions(cookies[-1], lines[1].id) == 0
    theirs = door.accounts.sessions(other)[0].id
    assert await door.accounts.end_sessions(cookies[-1], theirs) == 0, "somebody else's"
    assert await door.accounts.end_sessions(cookies[-1]) == MOST_OF_ONE - 2
    assert door.accounts.viewer(cookies[-1]) is not None and door.accounts.viewer(other) is not None
    door.seconds += 13 * 3600
    await come_in(door)
    assert door.db.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


async def test_use_is_known_at_once_and_survives_a_restart(door: Door, tmp_path: Path) -> None:
    cookie = (await come_in(door)).cookie
    for _ in range(5):
        door.seconds += 20 * 60
        assert door.accounts.viewer(cookie) is not None
    door.accounts.close()
    again = DeskAccounts(
        door.path, DeskSettings(), lambda: NOW_MS, real_ms=lambda: int(door.seconds * 1000), passwords=_quick()
    )
    assert again.viewer(cookie) is not None
    door.seconds += 31 * 60
    assert again.viewer(cookie) is None
    again.close()


async def test_a_password_is_hashed_again_when_the_parameters_have_changed(door: Door) -> None:
    older = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    book.set_password(door.db, ROOT, ENGINEER, older.hash(PASSWORD), NOW_MS, must_change=False)
    session = await come_in(door)
    kept = book.one(door.db, ENGINEER).hash
    assert kept is not None and extract_parameters(kept).memory_cost == 8
    assert door.accounts.viewer(session.cookie) is not None
    await come_in(door)


def test_the_hash_is_argon2id_as_recommended() -> None:
    found = extract_parameters(Passwords().hash("x" * 12))
    assert (found.type.name, found.time_cost, found.memory_cost, found.parallelism) == ("ID", 3, 65_536, 1)
    assert (found.salt_len, found.hash_len) == (16, 32)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "at least 12"),
        ("elevenchars", "at least 12"),
        ("x" * 257, "at most 256"),
        ("password1234", "tried first"),
        ("Password2026!", "tried first"),
        ("let me in please", "tried first"),
        ("correct horse battery staple", "tried first"),
        ("aaaaaaaaaaaaaaaa", "tried first"),
        ("123456789012", "tried first"),
        ("abababababab", "tried first"),
        ("head office 1", "your name"),
        ("Head Office!!", "your name"),
        ("twelve\nletters", "keyboards"),
        ("kettle marble violin", ""),
        ("service desk kettle marble", ""),
        ("чайник мрамор", ""),
        ("🫖🎻🪆🧶🧵🪡🧷🪢🧦🧤🧣🎩", ""),
    ],
)
def test_passwords_that_are_tried_first_are_refused(password: str, said: str) -> None:
    wrong = wrong_with(password, MANAGER)
    assert said in wrong and bool(wrong) == bool(said)


def test_a_password_that_is_made_is_good_and_another_each_time() -> None:
    made = {generated() for _ in range(50)}
    assert len(made) == 50 and not any(wrong_with(text, ENGINEER) for text in made)


async def test_changing_a_password_asks_for_the_old_one(door: Door) -> None:
    session = await come_in(door)
    for old, new, said in [
        ("wrong", OTHER, "old password is not right"),
        (PASSWORD, "short", "at least 12"),
        (PASSWORD, PASSWORD, "the old password"),
    ]:
        answer = await door.accounts.change_password(session.cookie, old, new)
        assert answer is not None and said in answer.text
    for _ in range(10):
        answer = await door.accounts.change_password(session.cookie, "wrong", OTHER)
    assert answer is not None and answer.wait_s > 0, "a stolen session is no place to guess"
    assert await door.accounts.change_password("x" * 43, PASSWORD, OTHER) is not None
    door.seconds += 1000
    session = await come_in(door)
    assert await door.accounts.change_password(session.cookie, PASSWORD, OTHER) is None
    await refused(door, password=PASSWORD)
    await come_in(door, password=OTHER)


async def test_an_account_that_changes_while_its_password_is_checked_is_not_let_in(door: Door) -> None:
    usual = door.hasher.verify

    def verify(hash: str | bytes, password: str | bytes) -> bool:
        right = usual(hash, password)
        other = sqlite3.connect(door.path, isolation_level=None)
        other.execute("UPDATE accounts SET hash = 'other' WHERE name = ?", (ENGINEER,))
        other.close()
        return bool(right)

    door.hasher.verify = verify  # type: ignore[method-assign]
    await refused(door, password=PASSWORD)


async def test_breaking_the_glass_is_loud(door: Door) -> None:
    with capture_logs() as logs:
        await come_in(door, GLASS)
    assert [(line["log_level"], line["account"]) for line in logs] == [("critical", GLASS)]
    assert door.audit()[-1] == (GLASS, "break-glass sign in", "done")


async def test_no_password_cookie_address_or_mistyped_name_is_in_a_log_or_in_the_file(door: Door) -> None:
    """People type their password into the wrong field, too."""
    secret = "teapot-secret-1234"
    book.set_password(door.db, ROOT, ENGINEER, Passwords(door.hasher).hash(secret), NOW_MS, must_change=False)
    with capture_logs() as logs:
        session = await come_in(door, password=secret, address="198.51.100.23")
        door.accounts.viewer(session.cookie)
        await refused(door, secret, secret, "198.51.100.23")
        await refused(door, ENGINEER, secret + "x", "198.51.100.23")
        await door.accounts.change_password(session.cookie, secret, "marble-secret-5678")
        for _ in range(30):
            await refused(door, "marble-secret-5678", secret, "198.51.100.23")
        door.accounts.sign_out(session.cookie)
    door.accounts.close()
    door.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    lines = "\n".join(map(str, audit.listed(door.db)))
    kept = b"".join(file.read_bytes() for file in door.path.parent.iterdir()).decode("latin-1")
    assert logs and len(lines) > 500
    for text in (secret, "marble-secret-5678", session.cookie, session.viewer.csrf, "198.51.100.23"):
        assert text not in str(logs) and text not in lines and text not in kept, text


async def test_every_change_of_an_account_is_in_the_audit_log(door: Door) -> None:
    before = len(door.audit())
    book.new(door.db, ROOT, "New one", Role.DIRECTOR, ("oak",), None, NOW_MS)
    book.set_role(door.db, ROOT, "new one", Role.VIEWER, ("oak", "ash"), NOW_MS)
    book.set_password(door.db, ROOT, "new one", "hash", NOW_MS, must_change=False)
    book.unlock(door.db, ROOT, "new one", NOW_MS)
    book.end(door.db, ROOT, "new one", NOW_MS)
    lines = list(reversed(audit.listed(door.db)))[before:]
    assert [(line.who, line.via, line.what, line.place, line.school) for line in lines] == [
        ("test", "cli", "make account", "New one", "oak"),
        ("test", "cli", "change role", "New one", ""),
        ("test", "cli", "change password", "New one", ""),
        ("test", "cli", "unlock account", "New one", ""),
        ("test", "cli", "end account", "New one", ""),
    ]
    assert lines[1].text == "director, oak -> viewer, oak, ash"


@pytest.mark.parametrize(
    ("name", "role", "schools", "glass", "said"),
    [
        ("x", Role.VIEWER, (), False, "2 to 40 letters"),
        ("x" * 41, Role.VIEWER, (), False, "2 to 40 letters"),
        ("<script>", Role.VIEWER, (), False, "leave out '<' '>'"),
        ("Anna\u202e", Role.VIEWER, (), False, "leave out"),
        ("Anna\nBob", Role.VIEWER, (), False, "leave out"),
        ("SERVICE desk", Role.VIEWER, (), False, "there is, or was"),
        ("New one", Role.DIRECTOR, (), False, "one school"),
        ("New one", Role.DIRECTOR, ("ash", "oak"), False, "one school"),
        ("New one", Role.MANAGER, ("ash",), False, "for all schools"),
        ("New one", Role.DIRECTOR, ("ash",), True, "able to act"),
        ("New one", Role.MANAGER, (), True, f"{GLASS} is that account already"),
    ],
)
def test_accounts_that_make_no_sense_are_refused(
    door: Door, name: str, role: Role, schools: tuple[str, ...], glass: bool, said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        book.new(door.db, ROOT, name, role, schools, "hash", NOW_MS, break_glass=glass)
    assert len(book.listed(door.db)) == 4


def test_a_name_that_was_used_is_not_given_to_somebody_else(door: Door) -> None:
    book.end(door.db, ROOT, ENGINEER, NOW_MS)
    with pytest.raises(ConfigError, match="there is, or was"):
        book.new(door.db, ROOT, ENGINEER, Role.VIEWER, (), "hash", NOW_MS)
    with pytest.raises(ConfigError, match="no such account"):
        book.set_role(door.db, ROOT, ENGINEER, Role.VIEWER, (), NOW_MS)


async def test_a_busy_state_file_is_said_and_holds_up_nobody_who_has_signed_in(door: Door) -> None:
    session = await come_in(door)
    door.accounts._db.execute("PRAGMA busy_timeout = 50")
    door.db.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await door.accounts.sign_in(ENGINEER, PASSWORD, HERE)
    door.seconds += 600
    assert door.accounts.viewer(session.cookie) is not None
    door.db.execute("ROLLBACK")
    await come_in(door)


async def test_at_its_end_the_desk_says_that_it_does_not_answer(door: Door) -> None:
    session = await come_in(door)
    door.accounts.close()
    for ask in (door.accounts.sign_in(ENGINEER, PASSWORD, HERE), door.accounts.by_header(ENGINEER, HERE)):
        with pytest.raises(Unavailable):
            await ask
    with pytest.raises(Unavailable):
        door.accounts.viewer(session.cookie)
    assert not door.accounts.none_yet()


def test_what_is_kept_of_a_session_opens_nothing(door: Door) -> None:
    with book.writing(door.db):
        secret, session = sessions.begin(door.db, book.one(door.db, ENGINEER), False, door.accounts._terms, 1)
    assert len(secret) == 43, "256 bits"
    assert session.digest == sessions.digest(secret) != secret
    assert sessions.csrf_of(secret) not in (secret, session.digest)
    assert door.accounts.viewer(session.digest) is None


async def test_a_director_can_be_kept_out_of_a_school_only_by_having_another(door: Door) -> None:
    """A row of the file that says otherwise gives no more: no school is never every school."""
    session = await come_in(door, DIRECTOR)
    door.db.execute("UPDATE accounts SET schools = '' WHERE name = ?", (DIRECTOR,))
    viewer = door.accounts.viewer(session.cookie)
    assert viewer is None or not viewer.who.allows(Permission.SEE, "oak")


def test_an_old_state_file_gets_its_tables(tmp_path: Path) -> None:
    db = state.open_state(tmp_path / "state.db")
    db.execute("DROP TABLE accounts")
    db.execute("DROP TABLE sessions")
    db.close()
    assert not book.any_yet(state.open_state(tmp_path / "state.db"))


def _quick() -> Passwords:
    return Passwords(CountingHasher())
