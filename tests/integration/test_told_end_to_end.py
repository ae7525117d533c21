"""From a word over the API to a ticket, a mail and a signed webhook, and back: a real collector as a process."""

import email
import json
import sqlite3
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from caretaker_collector import state
from caretaker_collector.api import tokens
from caretaker_collector.incidents import book as incident_book
from caretaker_contract.clock import Clock
from caretaker_rules.incidents import Action
from desks import TOKEN, Zammad, serving
from servers import FaultyHttp, Mosquitto, free_port
from telling_world import NOW_MS
from worlds import collecting, eventually, make_world

pytestmark = [pytest.mark.slow, pytest.mark.alone]


class Mails:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Take it."""
        self.subjects.append(str(email.message_from_bytes(envelope.content)["Subject"]))
        return "250 taken"


def ask(port: int, token: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the collector's API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/1/{path}",
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own collector)
        return dict(json.load(answer))


def test_what_is_reported_is_told_everywhere_and_the_desks_closing_comes_back(
    tmp_path: Path, plain_broker: Mosquitto
) -> None:
    """One incident: one ticket, one mail, one webhook; closed at the desk, acknowledged here; fixed, told again."""
    mails, smtp_port = Mails(), free_port()
    mail_server = Controller(mails, hostname="127.0.0.1", port=smtp_port)
    mail_server.start()
    try:
        with serving(Zammad()) as desk, FaultyHttp("http://127.0.0.1:9") as hook:
            hook.answer(200, b"ok")
            world = make_world(tmp_path, plain_broker.port)
            (tmp_path / "token").write_text(TOKEN + "\n")
            (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
            (tmp_path / "alerts.toml").write_text(
                'default = ["desk", "mail", "hook"]\n'
                '[severities.important]\ndelay = "0 s"\n[grouping]\nwait = "0 s"\n'
                f'[[channels]]\nname = "desk"\nkind = "ticket"\npreset = "zammad"\nurl = "{desk.url}"\n'
                'token_file = "token"\nqueue = "2nd Level"\nrequester = "ict@ash.example"\n'
                f'[[channels]]\nname = "mail"\nkind = "mail"\nurl = "mailto://127.0.0.1:{smtp_port}?mode=insecure"\n'
                'to = ["duty@example.org"]\nfrom = "caretaker@example.org"\n'
                f'[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "{hook.url}/hook"\nsecret_file = "secret"\n'
            )
            world.config.write_text('alerts = "alerts.toml"\n' + world.config.read_text())
            world.data.mkdir()
            db = state.open_state(world.data / "state.db")
            token = tokens.new(db, "test", "incidents", None, 90, NOW_MS)
            with collecting(world, Clock(NOW_MS / 1000, time.time(), 60)) as collector:
                port = world.http_port
                made = ask(port, token, "incidents", {"school": "ash", "room": "ict1", "title": "The projector hums"})
                number = made["incident"]["number"]
                eventually(
                    lambda: bool(desk.tickets and mails.subjects and hook.seen), 30, lambda: (collector.log(), rows(db))
                )
                [ticket] = desk.tickets.values()
                assert "The projector hums" in ticket.title and "projector" in mails.subjects[0]
                assert json.loads(hook.seen[0].body)["data"]["incident"]["number"] == number
                eventually(lambda: bool(ask(port, token, f"incidents/{number}")["incident"]["tickets"]), 10)
                desk.close(ticket)
                eventually(lambda: "acknowledged" in actions(db), 30, lambda: (collector.log(), rows(db)))
                ask(port, token, f"incidents/{number}/fix", {"text": "New lamp"})
                eventually(lambda: len(mails.subjects) == 2 and len(hook.seen) == 2, 30, lambda: rows(db))
                eventually(lambda: not unsent(db), 30, lambda: rows(db))
                assert len(desk.tickets) == 1 and ticket.reopened == 0 and ticket.comments == []
                health = collector.health()
                assert health is not None and "notify" not in health["problems"]
            assert token not in collector.log() and TOKEN not in collector.log()
            db.close()
    finally:
        mail_server.stop()


def rows(db: sqlite3.Connection) -> list[Any]:
    """All messages, for the explanation of a failure."""
    return db.execute("SELECT what, channel, status, attempts, answer FROM tellings").fetchall()


def unsent(db: sqlite3.Connection) -> int:
    """Messages that still wait."""
    return int(db.execute("SELECT count(*) FROM tellings WHERE status = 'waiting'").fetchone()[0])


def actions(db: sqlite3.Connection) -> list[str]:
    """What happened to the only incident."""
    [row] = db.execute("SELECT uid FROM incidents").fetchall()
    return [Action(entry.action).value for entry in incident_book.log_of(db, row[0])]
