"""Ways to show who one is. Each is a `SignOn`: it says whose account it is, and begins no session.

ByPassword   local accounts
ByHeader     a trusted web server in front has signed somebody in; off unless settings name header and proxies
OIDC         would be a third adapter here: `check` gets the authorisation code as `proof`, trades it at the
             provider for an ID token, verifies that, and returns the account that its name claim names. Its two
             pages (to the provider, and back from it) would stand beside /sign-in in signin.py, and its settings
             under [desk]. Sessions, roles and the guard stay as they are.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from caretaker_collector.accounts import book
from caretaker_collector.accounts.book import Account
from caretaker_collector.accounts.passwords import LONGEST, Passwords
from caretaker_collector.accounts.waits import Waits
from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk.peers import LOOPBACK
from caretaker_dashboards.desk.ports import Refusal
from caretaker_dashboards.desk.rates import Buckets, network_of
from caretaker_rules.reasons import duration

AT_ONCE: Final = 2
"""Checks of passwords at one time: each takes 64 MiB and one core."""
MOST_WAITING: Final = 20
"""Checks that wait for their turn; beyond them people are asked to come again in a few seconds."""
FREE_OF_ACCOUNT, FREE_OF_ADDRESS = 5, 20
"""Wrong passwords without a wait. A school or an office is one address, so that has more."""

WRONG: Final = "That name and password do not go together. Check both; names are spelled as your manager gave them."
BUSY: Final = "Many people are signing in just now. Please try again in a few seconds."
NO_ACCOUNT: Final = (
    "You have signed in to your organisation, but the desk has no account for you. Ask whoever runs Caretaker for one: "
    "caretaker account new NAME --role ROLE"
)

T = TypeVar("T")


class Wrong(Exception):
    """Nobody was signed in. `account`: whose it would have been, when that is known; it is not for the person."""

    def __init__(self, refusal: Refusal, why: str, account: Account | None = None) -> None:
        super().__init__(why)
        self.refusal, self.why, self.account = refusal, why, account


class SignOn(Protocol):
    """A way to show who one is."""

    async def check(self, name: str, proof: str, address: str) -> Account:
        """Whose account it is. Wrong when it is nobody's. `address` is for counting only, and never kept."""
        ...


Find = Callable[[str], Account | None]


class ByPassword:
    """A name and a password. `only_break_glass`: a proxy signs people in, and only that account has a use here."""

    def __init__(
        self, find: Find, passwords: Passwords, now_s: Callable[[], float], only_break_glass: bool = False
    ) -> None:
        self._find, self._passwords, self._now_s = find, passwords, now_s
        self._only_break_glass = only_break_glass
        self._pool = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._waiting = 0
        self._of_account, self._of_address = Waits(FREE_OF_ACCOUNT), Waits(FREE_OF_ADDRESS)
        self._of_known = Waits(FREE_OF_ACCOUNT)  # an account at an address from which it was signed in to before
        self._known: dict[str, None] = {}
        self._unlocks: dict[str, int] = {}

    async def check(self, name: str, proof: str, address: str) -> Account:
        """Names that nobody has are waited for and checked like others, so that nothing tells them apart."""
        name = name[: 2 * book.LONGEST_NAME]
        key, network, now_s = book.key_of(name), network_of(address), self._now_s()
        account = self._find(name)
        self._unlock(key, account)
        pair = f"{key}\0{network}"
        waits, counted = (self._of_known, pair) if pair in self._known else (self._of_account, key)
        # Without a web server in front that says who asks, everybody comes from loopback.
        addresses = self._of_address if network and network not in LOOPBACK else None
        wait_s = max(waits.left_s(counted, now_s), addresses.left_s(network, now_s) if addresses is not None else 0.0)
        if wait_s > 0:
            refusal = Refusal(text=f"Too many wrong attempts. Try again in {duration(wait_s)}.", wait_s=int(wait_s) + 1)
            raise Wrong(refusal, "has to wait", account)
        # Who has signed in from here before still gets a turn while strangers fill the queue.
        if self._waiting >= AT_ONCE + MOST_WAITING * (2 if pair in self._known else 1):
            raise Wrong(Refusal(text=BUSY, wait_s=5), "too many at once", account)
        # Charged before it is checked: of a thousand attempts at once, no more are checked than one after the other.
        waits.charge(counted, now_s)
        if addresses is not None:
            addresses.charge(network, now_s)
        usable = account is not None and (account.break_glass or not self._only_break_glass)
        hashed = account.hash if account is not None and usable else None
        fits = await self.in_thread(lambda: self._passwords.fits(hashed, proof[: 4 * LONGEST]))
        if account is None or not fits:
            raise Wrong(Refusal(text=WRONG), "wrong password" if account else "unknown name", account)
        waits.clear(counted)
        if addresses is not None:
            addresses.refund(network)
        self._know(pair)
        return account

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run something that takes a check's time and memory; at most AT_ONCE of them run at one time."""
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except RuntimeError as error:
            raise Unavailable("the collector is ending") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _know(self, pair: str) -> None:
        self._known.pop(pair, None)
        if len(self._known) >= 10_000:
            self._known.pop(next(iter(self._known)))
        self._known[pair] = None

    def _unlock(self, key: str, account: Account | None) -> None:
        """`caretaker account unlock` counts up; that it has is seen here."""
        if account is not None and self._unlocks.get(key, 0) != account.unlocks:
            self._unlocks[key] = account.unlocks
            self._of_account.clear(key)
            self._of_known.clear_from(f"{key}\0")


class ByHeader:
    """Somebody whom a trusted web server in front has signed in; that it was one, the guard has seen to."""

    def __init__(self, find: Find, now_s: Callable[[], float]) -> None:
        self._find, self._now_s = find, now_s
        # A program that keeps no cookies would begin a session with each request.
        self._rate = Buckets(30, 0.5)

    async def check(self, name: str, proof: str, address: str) -> Account:
        """The account of that name. The break-glass account is not one that a proxy can open."""
        account = self._find(name[: 2 * book.LONGEST_NAME])
        if account is None or account.break_glass:
            raise Wrong(Refusal(text=NO_ACCOUNT), "unknown name" if account is None else "not by header", account)
        if wait_s := self._rate.take(account.key, self._now_s()):
            raise Wrong(Refusal(text=BUSY, wait_s=int(wait_s) + 1), "too many at once", account)
        return account
