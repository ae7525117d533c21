"""Tokens for the HTTP API: shown once when they are made, kept as SHA-256 digests, for a time, ended by a word.

A token is 256 random bits, so a fast digest is enough: there is nothing to guess, unlike with a password.
"""

import hashlib
import hmac
import secrets
import sqlite3

from msgspec import Struct

from caretaker_contract.errors import ConfigError
from caretaker_rules.roles import SCOPE_MAY, Scope, Who

SCHEMA = """
CREATE TABLE IF NOT EXISTS api_answers (
    token TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY (token, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS api_answers_by_time ON api_answers (at_ms);
"""
PREFIX = "ct_"
DAY_MS = 86_400_000


class Token(Struct, frozen=True):
    """What a token may do, and for how long."""

    name: str
    scope: str
    school: str | None  # None: all
    made_ms: int
    expires_ms: int
    ended_ms: int | None

    def state(self, now_ms: int) -> str:
        """valid, expired or ended."""
        if self.ended_ms is not None:
            return "ended"
        return "expired" if self.expires_ms <= now_ms else "valid"

    def who(self, name: str) -> Who:
        """What may be done with it, by `name`, within its school if it has one."""
        schools = (self.school,) if self.school is not None else None
        return Who(name=name, via="api", may=SCOPE_MAY[self.scope], schools=schools)


_COLUMNS = "name, scope, school, made_ms, expires_ms, ended_ms"


def new(db: sqlite3.Connection, name: str, scope: Scope, school: str | None, days: int, now_ms: int) -> str:
    """Make a token; returns its text, which is kept nowhere. ConfigError when the name was given already."""
    text = PREFIX + secrets.token_urlsafe(32)
    try:
        db.execute(
            "INSERT INTO tokens (name, digest, scope, school, made_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (name, digest(text), scope, school, now_ms, now_ms + days * DAY_MS),
        )
    except sqlite3.IntegrityError:
        raise ConfigError([f"{name}  there is, or was, a token of this name; take another: history names it"]) from None
    return text


def end(db: sqlite3.Connection, name: str, now_ms: int) -> None:
    """From now on it is worth nothing. ConfigError when there is no such token."""
    if not db.execute("UPDATE tokens SET ended_ms = coalesce(ended_ms, ?) WHERE name = ?", (now_ms, name)).rowcount:
        raise ConfigError([f"{name}  no such token; `caretaker token list` names them"])


def listed(db: sqlite3.Connection) -> list[Token]:
    """All of them, by name."""
    return [Token(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY name")]  # noqa: S608


def find(db: sqlite3.Connection, text: str, now_ms: int) -> Token | None:
    """The valid token of this text; None when there is none, or it has expired or was ended."""
    wanted = digest(text)
    row = db.execute(f"SELECT digest, {_COLUMNS} FROM tokens WHERE digest = ?", (wanted,)).fetchone()  # noqa: S608
    if row is None or not hmac.compare_digest(row[0], wanted):
        return None
    token = Token(*row[1:])
    return token if token.state(now_ms) == "valid" else None


def digest(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
