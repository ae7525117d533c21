"""The demo's three accounts: one for each way of looking at the desk, with passwords that are new each time."""

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from caretaker_collector.accounts import book
from caretaker_collector.accounts.passwords import Passwords
from caretaker_collector.app import Collector
from caretaker_rules.roles import Role, operator

FILE = "accounts.txt"
PEOPLE: tuple[tuple[str, Role, tuple[str, ...], str], ...] = (
    ("viewer", Role.VIEWER, (), "sees everything, changes nothing"),
    ("engineer", Role.ENGINEER, (), "acts on everything"),
    ("director", Role.DIRECTOR, ("ash",), "project director of Ashfield: sees that school only"),
)
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


class DemoAccount(NamedTuple):
    """One of them."""

    name: str
    password: str
    about: str


def make(collector: Collector, out: Path) -> list[DemoAccount]:
    """Make them, and write their passwords into a file that only its owner can read."""
    passwords, made = Passwords(), []
    for name, role, schools, about in PEOPLE:
        password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
        hashed, now_ms = passwords.hash(password), collector.clock.now_ms()
        book.new(collector.db, operator("demo"), name, role, schools, hashed, now_ms)
        made.append(DemoAccount(name, password, about))
    path = out / FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(f"{one.name:<10} {one.password}   {one.about}\n" for one in made))
    return made
