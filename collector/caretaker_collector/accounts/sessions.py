"""Sessions in the state file. The cookie holds 256 random bits; kept is their SHA-256, and no address or browser.

Times are of the world's clock, also where the collector lives on a faster one: it is people who sit there.
"""

import hashlib
import hmac
import secrets
import sqlite3
from typing import Final

from msgspec import Struct

from caretaker_collector.accounts.book import Account, writing

MOST_OF_ONE: Final = 20
"""Sessions of one account; a new one beyond them ends the one that was begun the longest ago."""


class Terms(Struct, frozen=True):
    """How long a session lasts."""

    idle_ms: int  # without being used
    most_ms: int  # at most


class Session(Struct, frozen=True, kw_only=True):
    """One session. `digest` names it; nobody can use it who has only that."""

    digest: str
    key: str  # of the account
    made_ms: int
    last_ms: int  # last used, to within a few minutes
    by_header: bool

    def ends_ms(self, terms: Terms) -> int:
        """When it is over if nobody uses it any more."""
        return min(self.last_ms + terms.idle_ms, self.made_ms + terms.most_ms)


_COLUMNS = "digest, key, made_ms, last_ms, by_header"


def begin(db: sqlite3.Connection, account: Account, by_header: bool, terms: Terms, now_ms: int) -> tuple[str, Session]:
    """A new session and its secret. Sessions that are over go. Part of the caller's transaction."""
    secret = secrets.token_urlsafe(32)
    session = Session(digest=digest(secret), key=account.key, made_ms=now_ms, last_ms=now_ms, by_header=by_header)
    db.execute(
        "DELETE FROM sessions WHERE last_ms <= ? OR made_ms <= ?", (now_ms - terms.idle_ms, now_ms - terms.most_ms)
    )
    db.execute(
        "DELETE FROM sessions WHERE digest IN "
        "(SELECT digest FROM sessions WHERE key = ? ORDER BY made_ms DESC LIMIT -1 OFFSET ?)",
        (account.key, MOST_OF_ONE - 1),
    )
    db.execute(
        "INSERT INTO sessions (digest, key, made_ms, last_ms, by_header) VALUES (?, ?, ?, ?, ?)",
        (session.digest, session.key, now_ms, now_ms, by_header),
    )
    return secret, session


def find(db: sqlite3.Connection, digest_: str) -> Session | None:
    """The session with this digest, over or not; None when there is none."""
    row = db.execute(f"SELECT {_COLUMNS} FROM sessions WHERE digest = ?", (digest_,)).fetchone()  # noqa: S608
    return _session(row) if row else None


def of_account(db: sqlite3.Connection, key: str, terms: Terms, now_ms: int) -> list[Session]:
    """All sessions of an account that are not over, the newest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM sessions WHERE key = ? ORDER BY made_ms DESC", (key,))  # noqa: S608
    return [session for session in map(_session, rows) if session.ends_ms(terms) > now_ms]


def touch(db: sqlite3.Connection, used: dict[str, int]) -> None:
    """Note when sessions were last used."""
    with writing(db):
        for digest_, last_ms in used.items():
            db.execute("UPDATE sessions SET last_ms = max(last_ms, ?) WHERE digest = ?", (last_ms, digest_))


def end(db: sqlite3.Connection, digest_: str) -> bool:
    """End a session. False: there was none. Part of the caller's transaction."""
    return bool(db.execute("DELETE FROM sessions WHERE digest = ?", (digest_,)).rowcount)


def digest(secret: str) -> str:
    """What is kept of a cookie."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def csrf_of(secret: str) -> str:
    """The token that forms of this session carry; the secret cannot be told from it."""
    return hmac.new(secret.encode("utf-8", "surrogateescape"), b"caretaker forms", hashlib.sha256).hexdigest()


def _session(row: tuple[str, str, int, int, int]) -> Session:
    digest_, key, made_ms, last_ms, by_header = row
    return Session(digest=digest_, key=key, made_ms=made_ms, last_ms=last_ms, by_header=bool(by_header))
