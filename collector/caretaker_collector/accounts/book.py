"""Accounts in the state file. What changes one is written into the audit log with it, and ends its sessions.

An account is a role or a member of staff, never a pupil. It is ended, not removed: the audit log names it.
"""

import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from caretaker_collector import audit
from caretaker_contract.errors import ConfigError
from caretaker_rules.roles import ROLE_MAY, Role, Via, Who

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, schools TEXT NOT NULL, hash TEXT,
    made_ms INTEGER NOT NULL, ended_ms INTEGER, must_change INTEGER NOT NULL, break_glass INTEGER NOT NULL,
    unlocks INTEGER NOT NULL DEFAULT 0, signed_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    digest TEXT PRIMARY KEY, key TEXT NOT NULL, made_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    by_header INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_account ON sessions (key, made_ms);
"""
GLASS_FOR_MS: Final = 3_600_000
"""For so long after somebody signed in to the break-glass account its incident stays open."""
LONGEST_NAME: Final = 40  # as of everybody who is named in records
_SIGNS: Final = frozenset(" .,'@_+-\\")


class Account(Struct, frozen=True, kw_only=True):
    """One account. `hash` None: no password, so only a trusted proxy can sign it in."""

    key: str
    name: str
    role: Role
    schools: tuple[str, ...]  # (): all of them
    hash: str | None
    made_ms: int
    ended_ms: int | None
    must_change: bool
    break_glass: bool
    unlocks: int  # how many times its waits were ended by hand
    signed_ms: int | None  # when somebody last signed in to it; None: never

    def who(self, via: Via = "desk") -> Who:
        """What somebody may do who has signed in to it."""
        everywhere = not self.schools and self.role is not Role.DIRECTOR  # whose school is missing has none
        return Who(name=self.name, via=via, may=ROLE_MAY[self.role], schools=None if everywhere else self.schools)

    @property
    def school(self) -> str:
        """The one school that it is for, "" otherwise: where its lines of the audit log belong."""
        return self.schools[0] if len(self.schools) == 1 else ""


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


_COLUMNS = "key, name, role, schools, hash, made_ms, ended_ms, must_change, break_glass, unlocks, signed_ms"


def key_of(name: str) -> str:
    """What two spellings of a name have in common."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def find(db: sqlite3.Connection, name: str) -> Account | None:
    """The account of this name that has not ended; None when there is none."""
    return of_key(db, key_of(name))


def of_key(db: sqlite3.Connection, key: str) -> Account | None:
    """The account with this key that has not ended; None when there is none."""
    sql = f"SELECT {_COLUMNS} FROM accounts WHERE key = ? AND ended_ms IS NULL"  # noqa: S608
    row = db.execute(sql, (key,)).fetchone()
    return _account(row) if row else None


def one(db: sqlite3.Connection, name: str) -> Account:
    """The account of this name. ConfigError when there is none, or it has ended."""
    found = find(db, name)
    if found is None:
        raise ConfigError([f"{name}  no such account; `caretaker account list` names them"])
    return found


def listed(db: sqlite3.Connection) -> list[Account]:
    """All of them by name, also those that have ended."""
    return [_account(row) for row in db.execute(f"SELECT {_COLUMNS} FROM accounts ORDER BY key")]  # noqa: S608


def any_yet(db: sqlite3.Connection) -> bool:
    """Whether anybody could sign in."""
    return db.execute("SELECT 1 FROM accounts WHERE ended_ms IS NULL LIMIT 1").fetchone() is not None


def new(
    db: sqlite3.Connection,
    by: Who,
    name: str,
    role: Role,
    schools: tuple[str, ...],
    hashed: str | None,
    now_ms: int,
    *,
    must_change: bool = False,
    break_glass: bool = False,
) -> Account:
    """Make an account. ConfigError for a name that is or was another's, or a role that does not go with its schools."""
    faults = [*wrong_name(name), *wrong_schools(role, schools)]
    if break_glass and role not in (Role.ENGINEER, Role.MANAGER):
        faults.append(f"--break-glass  it has to be able to act: give it the role engineer or manager, not {role}")
    if break_glass and hashed is None:
        faults.append("--break-glass  it is for the day on which no proxy answers: it needs a password")
    with writing(db):
        if db.execute("SELECT 1 FROM accounts WHERE key = ?", (key_of(name),)).fetchone():
            faults.append(f"{name}  there is, or was, an account of this name; take another: the audit log names it")
        other = db.execute("SELECT name FROM accounts WHERE break_glass = 1 AND ended_ms IS NULL").fetchone()
        if break_glass and other:
            faults.append(f"--break-glass  {other[0]} is that account already; there is one")
        if faults:
            raise ConfigError(faults)
        db.execute(
            "INSERT INTO accounts (key, name, role, schools, hash, made_ms, must_change, break_glass) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key_of(name), name.strip(), role, " ".join(schools), hashed, now_ms, must_change, break_glass),
        )
        account = one(db, name)
        text = said(account)
        audit.append(db, by, "make account", now_ms, school=account.school, place=account.name, text=text)
    return account


def set_password(
    db: sqlite3.Connection, by: Who, name: str, hashed: str, now_ms: int, *, must_change: bool, keep: str = ""
) -> None:
    """Another password; all sessions of the account end, but that with the digest `keep`."""
    with writing(db):
        account = one(db, name)
        db.execute("UPDATE accounts SET hash = ?, must_change = ? WHERE key = ?", (hashed, must_change, account.key))
        _end_sessions(db, account.key, keep)
        audit.append(db, by, "change password", now_ms, school=account.school, place=account.name)


def rehash(db: sqlite3.Connection, account: Account, hashed: str) -> None:
    """The same password with today's parameters. Nothing happens when it was changed meanwhile."""
    db.execute("UPDATE accounts SET hash = ? WHERE key = ? AND hash = ?", (hashed, account.key, account.hash))


def set_role(db: sqlite3.Connection, by: Who, name: str, role: Role, schools: tuple[str, ...], now_ms: int) -> Account:
    """Another role, or other schools; its sessions end. ConfigError as for `new`."""
    if faults := wrong_schools(role, schools):
        raise ConfigError(faults)
    with writing(db):
        before = one(db, name)
        if before.break_glass and role not in (Role.ENGINEER, Role.MANAGER):
            raise ConfigError([f"{name}  is the break-glass account, which has to be able to act"])
        db.execute("UPDATE accounts SET role = ?, schools = ? WHERE key = ?", (role, " ".join(schools), before.key))
        _end_sessions(db, before.key)
        after = one(db, name)
        text = f"{said(before)} -> {said(after)}"
        audit.append(db, by, "change role", now_ms, school=after.school, place=after.name, text=text)
    return after


def end(db: sqlite3.Connection, by: Who, name: str, now_ms: int) -> None:
    """From now on nobody can sign in to it, and whoever has is out. ConfigError when there is no such account."""
    with writing(db):
        account = one(db, name)
        db.execute("UPDATE accounts SET ended_ms = ?, hash = NULL WHERE key = ?", (now_ms, account.key))
        _end_sessions(db, account.key)
        audit.append(db, by, "end account", now_ms, school=account.school, place=account.name)


def end_sessions(db: sqlite3.Connection, by: Who, name: str, now_ms: int) -> int:
    """Whoever has signed in to it is out, and may sign in again; how many sessions there were."""
    with writing(db):
        account = one(db, name)
        number = _end_sessions(db, account.key)
        if number:
            audit.append(db, by, "end sessions", now_ms, school=account.school, place=account.name, text=str(number))
    return number


def signed_in(db: sqlite3.Connection, account: Account, now_ms: int, text: str = "") -> None:
    """Somebody has signed in. Part of the caller's transaction."""
    db.execute("UPDATE accounts SET signed_ms = ? WHERE key = ?", (now_ms, account.key))
    what = "break-glass sign in" if account.break_glass else "sign in"
    audit.append(db, account.who(), what, now_ms, school=account.school, text=text)


def glass_broken(db: sqlite3.Connection, now_ms: int) -> str:
    """The name of the break-glass account if it was used in the last hour, else "". By the collector's clock."""
    sql = "SELECT name FROM accounts WHERE break_glass = 1 AND signed_ms > ?"
    row = db.execute(sql, (now_ms - GLASS_FOR_MS,)).fetchone()
    return str(row[0]) if row else ""


def unlock(db: sqlite3.Connection, by: Who, name: str, now_ms: int) -> None:
    """Whoever has to wait because of wrong passwords for this account need not any more."""
    with writing(db):
        account = one(db, name)
        db.execute("UPDATE accounts SET unlocks = unlocks + 1 WHERE key = ?", (account.key,))
        audit.append(db, by, "unlock account", now_ms, school=account.school, place=account.name)


def said(account: Account) -> str:
    """Role and schools in words."""
    where = ", ".join(account.schools) or "all schools"
    return f"{account.role}, {where}" + (", break-glass" if account.break_glass else "")


def wrong_name(name: str) -> list[str]:
    """What is wrong with a name for an account."""
    plain = name.strip()
    if not 2 <= len(plain) <= LONGEST_NAME or not key_of(plain):
        return [f"{name!r}  a name has 2 to {LONGEST_NAME} letters"]
    odd = sorted({character for character in plain if not (character.isalnum() or character in _SIGNS)})
    if odd:
        return [f"{plain!r}  a name has letters, digits and . , ' @ _ + - only: leave out {' '.join(map(repr, odd))}"]
    return []


def wrong_schools(role: Role, schools: tuple[str, ...]) -> list[str]:
    """What is wrong with the schools of a role."""
    if role is Role.DIRECTOR and len(schools) != 1:
        return ["--school  a director has one school: say which"]
    if role is Role.MANAGER and schools:
        return ["--school  a manager is for all schools: leave it out, or make an engineer or a viewer"]
    return []


def _end_sessions(db: sqlite3.Connection, key: str, keep: str = "") -> int:
    return db.execute("DELETE FROM sessions WHERE key = ? AND digest <> ?", (key, keep)).rowcount


def _account(row: tuple[str, str, str, str, str | None, int, int | None, int, int, int, int | None]) -> Account:
    key, name, role, schools, hashed, made_ms, ended_ms, must_change, break_glass, unlocks, signed_ms = row
    return Account(
        key=key,
        name=name,
        role=Role(role),
        schools=tuple(schools.split()),
        hash=hashed,
        made_ms=made_ms,
        ended_ms=ended_ms,
        must_change=bool(must_change),
        break_glass=bool(break_glass),
        unlocks=unlocks,
        signed_ms=signed_ms,
    )
