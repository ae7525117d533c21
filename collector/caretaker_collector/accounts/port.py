"""`DeskAccounts`: the port `Accounts` of the desk's pages, over the state file.

    accounts = DeskAccounts(collector.state_path, collector.settings.desk, collector.clock.now_ms)
    Guarded(desk, accounts, guard_of(collector.settings))     # files/desk_table.py; see desk/guard.py

Nothing here holds up the loop beside which it runs: passwords are checked in two threads, what is written is written in
one of its own, and `viewer`, which each request asks, reads two rows by their keys.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

import structlog

from caretaker_collector import audit, state
from caretaker_collector.accounts import book, sessions
from caretaker_collector.accounts.book import Account, writing
from caretaker_collector.accounts.passwords import LONGEST, Passwords, wrong_with
from caretaker_collector.accounts.sessions import Session, Terms
from caretaker_collector.accounts.signon import (
    FREE_OF_ACCOUNT,
    WRONG,
    ByHeader,
    ByPassword,
    SignOn,
    Wrong,
)
from caretaker_collector.accounts.waits import Waits
from caretaker_collector.files.kinds import DeskSettings
from caretaker_contract.clock import Clock
from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk.ports import Refusal, SessionLine, SignedIn, Viewer
from caretaker_rules.durations import parse_duration
from caretaker_rules.reasons import duration
from caretaker_rules.roles import Who

log = structlog.get_logger()

TOUCH_EVERY_MS: Final = 300_000
"""How often it is written down that a session is used; in memory it is known at once."""
MOST_USED: Final = 10_000
TELL_EVERY_S: Final = 60.0
UNKNOWN: Final = "(unknown name)"
"""What the log says for a name that nobody has: people type passwords into the wrong field."""
T = TypeVar("T")


class DeskAccounts:
    """People who may sign in, and their sessions. `real_ms` and `now_s` are the world's; `now_ms` the collector's."""

    def __init__(
        self,
        path: Path,
        settings: DeskSettings,
        now_ms: Callable[[], int],
        *,
        real_ms: Callable[[], int] | None = None,
        now_s: Callable[[], float] = monotonic,
        passwords: Passwords | None = None,
    ) -> None:
        self._db = state.open_state(path)  # of the thread that writes
        self._read = state.open_state(path)  # of the loop
        self._read.execute("PRAGMA query_only = 1")
        self._writer = ThreadPoolExecutor(1, "accounts")
        self._now_ms, self._real_ms, self._now_s = now_ms, real_ms or Clock().now_ms, now_s
        self._header = bool(settings.header)
        idle_ms, most_ms = parse_duration(settings.session_idle) * 1000, parse_duration(settings.session_at_most) * 1000
        self._terms = Terms(idle_ms, most_ms)
        self._passwords = passwords or Passwords()
        self._by_password = ByPassword(self._find, self._passwords, now_s, only_break_glass=self._header)
        self._by_header = ByHeader(self._find, now_s)
        self._changes = Waits(FREE_OF_ACCOUNT)
        self._used: dict[str, int] = {}
        self._untold: dict[str, tuple[int, float]] = {}

    async def sign_in(self, name: str, password: str, address: str) -> SignedIn | Refusal:
        """Check a password; the same work whether the name exists or not. Unavailable: the state file is busy."""
        answer = await self._sign_on(self._by_password, name, password, address, by_header=False)
        if isinstance(answer, SignedIn):
            await self._renew(name, password)
        return answer

    async def by_header(self, name: str, address: str) -> SignedIn | Refusal:
        """Somebody whom a trusted proxy has signed in."""
        return await self._sign_on(self._by_header, name, "", address, by_header=True)

    def viewer(self, cookie: str, used: bool = True) -> Viewer | None:
        """Who a cookie stands for; None: nobody, or not any more. `used`: by a person, so it does not go stale."""
        digest, now_ms = sessions.digest(cookie), self._real_ms()
        try:
            session = sessions.find(self._read, digest)
            account = book.of_key(self._read, session.key) if session else None
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error
        if session is None or account is None or not self._good(session, account, now_ms):
            self._used.pop(digest, None)
            return None
        if used:
            self._use(session, now_ms)
        return self._viewer(account, session, cookie)

    def sign_out(self, cookie: str) -> None:
        """End a session: when this returns nobody can use it any more. Waits for the file: call it in a thread."""
        try:
            self._writer.submit(self._end_session, sessions.digest(cookie)).result()
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error

    async def change_password(self, cookie: str, old: str, new: str) -> Refusal | None:
        """Another password; the person's other sessions end. None: done."""
        viewer = self.viewer(cookie)
        account = self._find(viewer.who.name) if viewer else None
        if viewer is None or account is None:
            return Refusal(text="Your session has ended. Sign in again.")
        if account.hash is None:
            return Refusal(text="Your account has no password: your organisation signs you in.")
        if wait_s := self._changes.left_s(account.key, self._now_s()):
            return Refusal(text=f"Too many wrong attempts. Try again in {duration(wait_s)}.", wait_s=int(wait_s) + 1)
        self._changes.charge(account.key, self._now_s())
        kept = account.hash
        if not await self._by_password.in_thread(lambda: self._passwords.fits(kept, old[: 4 * LONGEST])):
            return Refusal(text="The old password is not right.")
        self._changes.clear(account.key)
        if wrong := wrong_with(new, account.name):
            return Refusal(text=wrong)
        if await self._by_password.in_thread(lambda: self._passwords.fits(kept, new)):
            return Refusal(text="That is the old password. Choose another one.")
        hashed = await self._by_password.in_thread(lambda: self._passwords.hash(new))
        keep, who = sessions.digest(cookie), account.who()
        await self._written(
            lambda: book.set_password(self._db, who, account.name, hashed, self._now_ms(), must_change=False, keep=keep)
        )
        log.info("a password was changed", account=account.name)
        return None

    def none_yet(self) -> bool:
        """Whether there is no account at all; False where that cannot be told."""
        try:
            return not book.any_yet(self._read)
        except sqlite3.Error:
            return False

    def sessions(self, cookie: str) -> list[SessionLine]:
        """All sessions of the person who has this cookie, theirs first; [] when it is nobody's."""
        digest, now_ms = sessions.digest(cookie), self._real_ms()
        own = sessions.find(self._read, digest)
        found = sessions.of_account(self._read, own.key, self._terms, now_ms) if own else []
        lines = [
            SessionLine(
                id=session.digest[:16],
                began_s=max(0, now_ms - session.made_ms) // 1000,
                used_s=max(0, now_ms - max(session.last_ms, self._used.get(session.digest, 0))) // 1000,
                this=session.digest == digest,
            )
            for session in found
        ]
        return sorted(lines, key=lambda line: not line.this)

    async def end_sessions(self, cookie: str, id_: str = "") -> int:
        """End one of the person's other sessions, or all others for ""; how many there were."""
        digest = sessions.digest(cookie)
        own = sessions.find(self._read, digest)
        if own is None:
            return 0
        others = sessions.of_account(self._read, own.key, self._terms, self._real_ms())
        wanted = [one.digest for one in others if one.digest != digest and one.digest.startswith(id_)]
        for other in wanted:
            await self._written(lambda other=other: self._end_session(other))  # type: ignore[misc]
        return len(wanted)

    def close(self) -> None:
        """Write what is not yet written, and let go of files and threads."""
        self._writer.shutdown(wait=True)
        self._by_password.close()
        self._db.close()
        self._read.close()

    async def _sign_on(self, way: SignOn, name: str, proof: str, address: str, by_header: bool) -> SignedIn | Refusal:
        try:
            account = await way.check(name, proof, address)
        except Wrong as wrong:
            await self._tell_refused(wrong)
            return wrong.refusal
        begun = await self._written(lambda: self._begin(account, by_header))
        if begun is None:  # changed or ended while the password was checked
            return Refusal(text=WRONG)
        cookie, session = begun
        if account.break_glass:
            log.critical("the break-glass account was used: find out by whom and why", account=account.name)
        else:
            log.info("signed in", account=account.name, role=account.role, by_header=by_header)
        viewer = self._viewer(account, session, cookie)
        return SignedIn(viewer=viewer, cookie=cookie, max_age_s=self._terms.most_ms // 1000)

    def _begin(self, account: Account, by_header: bool) -> tuple[str, Session] | None:
        with writing(self._db):
            now = book.of_key(self._db, account.key)
            if now is None or (now.hash != account.hash and not by_header):
                return None
            begun = sessions.begin(self._db, account, by_header, self._terms, self._real_ms())
            text = "by the web server in front" if by_header else ""
            book.signed_in(self._db, account, self._now_ms(), text)
        return begun

    async def _renew(self, name: str, password: str) -> None:
        """Hash it again where the parameters have changed; this is the one time that the password is known."""
        account = self._find(name)
        if account is None or account.hash is None or not self._passwords.outdated(account.hash):
            return
        hashed = await self._by_password.in_thread(lambda: self._passwords.hash(password))
        await self._written(lambda: book.rehash(self._db, account, hashed))

    async def _tell_refused(self, wrong: Wrong) -> None:
        """One line for the first, and at most one a minute for what follows of its kind: guessing fills no disk.

        Wrong passwords of accounts that exist are limited by their waits, and told one by one.
        """
        name = wrong.account.name if wrong.account else UNKNOWN
        each = wrong.account is not None and wrong.why == "wrong password"
        number = 1 if each else self._count(wrong.why)
        if not number:
            return
        many = f" ({number} attempts)" if number > 1 else ""
        if not each:
            name = name if number == 1 else "(several)"
        log.warning("sign-in refused", account=name, why=wrong.why, attempts=number)
        who = Who(name=name, via="desk", may=frozenset())
        school = wrong.account.school if wrong.account else ""
        await self._written(
            lambda: audit.append(
                self._db, who, "sign in", self._now_ms(), school=school, outcome=f"refused: {wrong.why}{many}"
            )
        )

    def _count(self, why: str) -> int:
        """How many to tell of now: 0 within a minute of the last time."""
        number, told_s = self._untold.get(why, (0, -TELL_EVERY_S))
        if self._now_s() - told_s < TELL_EVERY_S:
            self._untold[why] = (number + 1, told_s)
            return 0
        self._untold[why] = (0, self._now_s())
        return number + 1

    def _end_session(self, digest: str) -> None:
        with writing(self._db):
            session = sessions.find(self._db, digest)
            account = book.of_key(self._db, session.key) if session else None
            if sessions.end(self._db, digest) and account is not None:
                audit.append(self._db, account.who(), "sign out", self._now_ms(), school=account.school)

    def _good(self, session: Session, account: Account, now_ms: int) -> bool:
        """Whether it still holds: in time, and begun in a way in which one may still come in."""
        last_ms = max(session.last_ms, self._used.get(session.digest, 0))
        ends_ms = min(last_ms + self._terms.idle_ms, session.made_ms + self._terms.most_ms)
        allowed = self._header if session.by_header else not self._header or account.break_glass
        return allowed and now_ms < ends_ms

    def _use(self, session: Session, now_ms: int) -> None:
        self._used.pop(session.digest, None)
        if len(self._used) >= MOST_USED:
            self._used.pop(next(iter(self._used)))
        self._used[session.digest] = now_ms
        if now_ms - session.last_ms >= TOUCH_EVERY_MS:
            self._writer.submit(self._touch, {session.digest: now_ms})

    def _touch(self, used: dict[str, int]) -> None:
        try:
            sessions.touch(self._db, used)
        except sqlite3.Error as error:
            log.warning("it could not be written down that a session is used", reason=str(error))

    def _viewer(self, account: Account, session: Session, cookie: str) -> Viewer:
        last_ms = max(session.last_ms, self._used.get(session.digest, 0))
        return Viewer(
            who=account.who(),
            role=account.role.value,
            title=account.name,
            csrf=sessions.csrf_of(cookie),
            expires_ms=min(last_ms + self._terms.idle_ms, session.made_ms + self._terms.most_ms),
            by_header=session.by_header,
            must_change=account.must_change and not session.by_header,
            break_glass=account.break_glass,
        )

    def _find(self, name: str) -> Account | None:
        try:
            return book.find(self._read, name)
        except sqlite3.Error as error:
            raise Unavailable(f"state file: {error}") from error

    async def _written(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, work)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: the collector is ending
            raise Unavailable(f"state file: {error}") from error
