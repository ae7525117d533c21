"""What every way of telling people has to do, run against each: on a real mail server and real HTTP receivers.

A new adapter adds one line to TARGETS and passes all of this.
"""

import asyncio
import email
import email.policy
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from caretaker_collector.notify import by_apprise
from caretaker_collector.notify.channels import KINDS, Surroundings, open_channels
from caretaker_contract.errors import Rejected, Unavailable
from caretaker_rules.alert_settings import Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.ports import Notifier
from desks import TOKEN, Zammad, serving
from servers import FaultyHttp, free_port
from telling_world import NOW_MS, make_incident, open_world, telling

pytestmark = pytest.mark.slow


@dataclass
class Got:
    """One message as it arrived; `id` "" where it does not travel."""

    title: str
    text: str
    id: str = ""


Other = tuple[dict[str, Any], Callable[[], list[Got]], Callable[[int], None] | None, Callable[[], None]]
"""Another side: the channel's settings; what arrived; how it is made to answer a status once (None: it never does so);
how it goes away."""


@dataclass
class Target:
    """One adapter with its other side."""

    notifier: Notifier
    db: sqlite3.Connection
    got: Callable[[], list[Got]]
    says: Callable[[int], None] | None
    silent: Callable[[], None]

    async def send(self, message: Telling) -> str:
        """Through the adapter, with its incident as the sender would hand it over."""
        return await self.notifier.send(message, make_incident(self.db, message.uid))


@dataclass
class Mails:
    """A mail server's memory."""

    mails: list[Any] = field(default_factory=list)
    answer: str = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Take a mail, or refuse one."""
        if self.answer:
            answer, self.answer = self.answer, ""
            return answer
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"


@contextmanager
def _mail(preset: str | None = None) -> Iterator[Other]:
    mails, port, stopped = Mails(), free_port(), False
    controller = Controller(mails, hostname="127.0.0.1", port=port)
    controller.start()

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            controller.stop()
        stopped = True

    def got() -> list[Got]:
        return [
            Got(str(mail["Subject"]), mail.get_body(("plain",)).get_content(), str(mail["X-Caretaker-Id"]))
            for mail in mails.mails
        ]

    def says(status: int) -> None:
        mails.answer = "554 no such thing" if 400 <= status < 500 else "451 try later"

    settings = {"url": f"mailto://127.0.0.1:{port}?mode=insecure", "to": ["desk@example.org"], "preset": preset}
    try:
        yield {**settings, "sender": "caretaker@example.org"}, got, says, stop
    finally:
        stop()


@contextmanager
def _web(read: Callable[[Any], Got]) -> Iterator[tuple[str, Any, Any, Any]]:
    """A receiver that answers 200, or what it is told to."""
    with FaultyHttp("http://127.0.0.1:9") as server:
        server.answer(200, b"ok")
        refused: set[int] = set()

        def says(status: int) -> None:
            refused.add(len(server.seen))
            server.answer(status, b'{"error":"no"}')

        def got() -> list[Got]:
            return [read(seen) for place, seen in enumerate(server.seen) if place not in refused]

        yield server.url, got, says, server._server.server_close


@contextmanager
def _file_target(folder: Path) -> Iterator[Other]:
    path = folder / "told.jsonl"

    def got() -> list[Got]:
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [Got(row["title"], row["body"], row["id"]) for row in rows]

    yield {"path": str(path)}, got, None, path.mkdir


@contextmanager
def _webhook_target(folder: Path) -> Iterator[Other]:
    secret = folder / "secret"
    secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")

    def read(seen: Any) -> Got:
        data = json.loads(seen.body)["data"]
        return Got(data["title"], data["body"], seen.headers["webhook-id"])

    with _web(read) as (url, got, says, silent):
        yield {"url": url + "/hook", "secret_file": str(secret)}, got, says, silent


@contextmanager
def _slack_target(folder: Path) -> Iterator[Other]:
    """Slack's and Teams' own addresses cannot be had on loopback: apprise's plainest HTTP service stands for them."""

    def read(seen: Any) -> Got:
        body = json.loads(seen.body)
        return Got(body["title"], body["message"])

    with _web(read) as (url, got, says, silent):
        yield {"url": url.replace("http://", "json://")}, got, says, silent


@contextmanager
def _ticket_target(folder: Path) -> Iterator[Other]:
    (folder / "token").write_text(TOKEN + "\n")
    with serving(Zammad()) as desk, FaultyHttp(desk.url) as proxy:

        def got() -> list[Got]:
            return [Got(ticket.title, ticket.body) for ticket in desk.tickets.values()]

        settings = {"preset": "zammad", "queue": "2nd Level", "requester": "ict@ash.example"}
        yield (
            {"url": proxy.url, "token_file": str(folder / "token"), **settings},
            got,
            proxy.refuse,
            proxy._server.server_close,
        )


TARGETS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "file": ("file", _file_target),
    "webhook": ("webhook", _webhook_target),
    "mail": ("mail", lambda _: _mail()),
    "slack": ("slack", _slack_target),
    "ticket": ("ticket", _ticket_target),
    "ticket by mail": ("ticket", lambda _: _mail("mail")),
}


@pytest.fixture(params=list(TARGETS))
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Target]:
    """Each adapter in turn."""
    kind, make = TARGETS[request.param]
    monkeypatch.setitem(by_apprise.ALLOWED, "slack", ("json",))
    db = open_world(tmp_path)
    with make(tmp_path) as (settings, got, says, silent):
        channel = Channel(name="desk", kind=kind, **settings)  # type: ignore[arg-type]
        notifier = open_channels([channel], Surroundings(db, lambda: NOW_MS))["desk"]
        yield Target(notifier, db, got, says, silent)
        await notifier.close()
    db.close()


def test_every_kind_of_channel_is_in_the_contract() -> None:
    """Teams goes through the same adapter as Slack."""
    assert set(KINDS) - {"teams"} == {kind for kind, _ in TARGETS.values()}


async def test_a_message_arrives_whole_with_its_accents(target: Target) -> None:
    """Title or text has the words in any script; the id travels where there is a place for it."""
    message = telling(title="Où est ict1-07? £5 – naïve 教室", body="Zeile 1\nLigne 2: déjà vu\n第三行")
    answer = await target.send(message)
    assert 0 < len(answer) < 100
    [got] = target.got()
    assert "naïve 教室" in got.title + got.text
    assert "第三行" in got.text
    assert got.id in ("", message.id)


async def test_a_title_with_line_breaks_makes_no_header_of_its_own(target: Target) -> None:
    """Nor control characters, nor those that turn the reading direction."""
    message = telling(
        title="down\r\nBcc: pupil@example.org\r\n\r\nHTTP/1.1 200\x00\u2028\u202eevil",
        body="line\r\n.\r\nMAIL FROM:<x@example.org>\r\nX-Header: no",
    )
    await target.send(message)
    [got] = target.got()
    assert not set(got.title) & set("\r\n\x00\u2028\u202e")
    assert "X-Header: no" in got.text  # what stands in the body stays in the body


async def test_what_is_too_long_is_shortened(target: Target) -> None:
    """However much is wrong at once."""
    await target.send(telling(title="t" * 5_000, body="b" * 500_000))
    [got] = target.got()
    assert len(got.title) <= 260
    assert len(got.text) < 20_000


async def test_nobody_there_is_worth_repeating(target: Target) -> None:
    """And the error tells no secret."""
    target.silent()
    with pytest.raises(Unavailable) as caught:
        await target.send(telling())
    assert str(caught.value)
    assert TOKEN not in str(caught.value) and "whsec" not in str(caught.value)


async def test_a_refusal_for_now_is_worth_repeating(target: Target) -> None:
    """503, or a mail server's 451."""
    if target.says is not None:
        target.says(503)
        with pytest.raises(Unavailable, match=r"503|451"):
            await target.send(telling())


async def test_a_refusal_for_good_is_not_repeated(target: Target) -> None:
    """422, or a mail server's 554."""
    if target.says is not None:
        target.says(422)
        with pytest.raises(Rejected, match=r"422|554"):
            await target.send(telling())


async def test_several_at_once_all_arrive(target: Target) -> None:
    """A burst on one channel."""
    messages = [telling(uid=f"lost ash/pc-{n} 1", id_=f"id-{n:04}", title=f"pc-{n} is away") for n in range(8)]
    await asyncio.gather(*(target.send(message) for message in messages))
    text = " ".join(got.title + got.text for got in target.got())
    assert all(f"pc-{n} is away" in text for n in range(8))
