"""Reviews that a running collector makes by itself, mails to their readers, revises, and shows on the desk."""

import email
import email.policy
import http.client
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiosmtpd.controller import Controller
from nacl.signing import SigningKey
from typer.testing import CliRunner

from caretaker_collector import state
from caretaker_collector.cli import app
from caretaker_collector.review import shelf
from caretaker_contract.clock import Clock
from review_world import END_MS, ReviewWorld
from servers import free_port
from worlds import CollectorProcess, World, eventually

pytestmark = pytest.mark.slow
PASSWORD = "kettle marble violin"


class Mails:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, EmailMessage]] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        """Take it."""
        content, to = envelope.content, envelope.rcpt_tos  # type: ignore[attr-defined]
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.taken += [(address, message) for address in to]
        return "250 taken"

    def subjects(self, address: str) -> list[str]:
        """Of what was sent there, in order."""
        return [str(message["Subject"]) for to, message in self.taken if to == address]


class Site:
    """A collector in the first working day's morning, with a mail server and two people at its desk."""

    def __init__(self, world: World, mails: Mails) -> None:
        self.world, self.mails = world, mails
        self.process = CollectorProcess(world, Clock(END_MS / 1000, time.time(), 60.0))

    def kept(self) -> list[tuple[str, int]]:
        """Place and revision of the newest packs."""
        db = state.open_state(self.world.data / "state.db", read_only=True)
        found = [(kept.place, kept.revision) for kept in shelf.newest(db)]
        db.close()
        return found

    def ask(self, path: str, cookie: str = "", body: str = "") -> http.client.HTTPResponse:
        """One request to the desk."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.http_port, timeout=20)
        headers = {"Cookie": cookie} | ({"Content-Type": "application/x-www-form-urlencoded"} if body else {})
        connection.request("POST" if body else "GET", path, body or None, headers)
        return connection.getresponse()

    def sign_in(self, name: str) -> str:
        """The cookie of a new session."""
        answer = self.ask("/sign-in")
        form = (answer.headers["set-cookie"] or "").partition(";")[0]
        token = re.search(r'name="csrf" value="([^"]+)"', answer.read().decode())
        assert token is not None
        fields = {"csrf": token[1], "name": name, "password": PASSWORD, "next": "/"}
        return str(self.ask("/sign-in", form, urlencode(fields)).headers["set-cookie"]).partition(";")[0]


@pytest.fixture(scope="module")
def site(review_world: ReviewWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both packs were made, and all mails sent."""
    own = review_world.copy(tmp_path_factory.mktemp("reviews") / "world")
    mails, smtp_port, http_port = Mails(), free_port(), free_port()
    (own.folder / "alerts.toml").write_text(
        'default = ["post"]\n[[channels]]\nname = "post"\nkind = "mail"\nto = ["desk@provider.example"]\n'
        f'from = "caretaker@provider.example"\nurl = "mailto://127.0.0.1:{smtp_port}?mode=insecure"\n'
    )
    own.config.write_text(f'alerts = "alerts.toml"\n{own.config.read_text()}\n[http]\nport = {http_port}\n')
    for words in (("Meg", "--role", "manager"), ("Olga", "--role", "director", "--school", "oak")):
        made = CliRunner().invoke(app, ["account", "new", *words, "--config", str(own.config)], input=f"{PASSWORD}\n")
        assert made.exit_code == 0, made.output
    found = Site(World(own.folder, 1, http_port, SigningKey.generate(), []), mails)
    server = Controller(mails, hostname="127.0.0.1", port=smtp_port)
    server.start()
    try:
        found.process.start()
        eventually(lambda: sorted(found.kept()) == [("ash", 1), ("oak", 1)], 90, found.process.log)
        eventually(lambda: len([to for to, _ in mails.taken if "@provider" not in to]) == 4, 30, found.process.log)
        yield found
    finally:
        if found.process.process is not None and found.process.process.poll() is None:
            found.process.stop()
        server.stop()


def test_each_reader_gets_the_figures_with_both_files_attached_once(site: Site) -> None:
    to = "ict-director@ash.example"
    [message] = [message for address, message in site.mails.taken if address == to]
    assert message["Subject"] == "Service review of September 2026: Ashfield Secondary"
    assert str(message["To"]).count("@") == 1, "nobody sees who else reads it"
    text = message.get_body(("plain",))
    assert text is not None
    words = text.get_content()
    assert "1  Availability: 99." in words and "You get this as ICT project director" in words
    files = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    folder = site.world.data / "review/ash/2026-09/r1"
    assert files == {name: (folder / name).read_bytes() for name in ("ash-2026-09.pdf", "ash-2026-09.xlsx")}
    readers = {address for address, _ in site.mails.taken} - {"desk@provider.example"}
    assert readers == {f"{role}@{school}.example" for role in ("ict-director", "head") for school in ("ash", "oak")}
    db = state.open_state(site.world.data / "state.db", read_only=True)
    [kept] = shelf.newest(db, "ash")
    assert [each.to for each in kept.sent] == [
        "ICT project director <ict-director@ash.example>",
        "head teacher <head@ash.example>",
    ]


def test_the_desk_lists_packs_and_hands_out_their_files_to_those_who_may_see_the_school(site: Site) -> None:
    meg, olga = site.sign_in("Meg"), site.sign_in("Olga")
    page = site.ask("/reviews", meg).read().decode()
    assert "Ashfield Secondary" in page and "September 2026" in page and "ict-director@" not in page
    assert "ICT project director" in page
    pdf = site.ask("/reviews/ash/2026-09/1/ash-2026-09.pdf", meg)
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"] == 'attachment; filename="ash-2026-09.pdf"'
    assert pdf.read() == (site.world.data / "review/ash/2026-09/r1/ash-2026-09.pdf").read_bytes()
    shown = site.ask("/reviews/ash/2026-09/1/ash-2026-09.html", meg)
    assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    assert site.ask("/reviews", olga).read().decode().count("Ashfield") == 0
    for path in ("/reviews/ash", "/reviews/ash/2026-09/1/ash-2026-09.pdf", "/reviews/all", "/reviews/network:green"):
        assert site.ask(path, olga).status == 404, path
    for name in ("pack.json", "..%2F..%2F..%2Fstate.db", "state.db", "ash-2026-09.txt"):
        assert site.ask(f"/reviews/ash/2026-09/1/{name}", meg).status == 404, name
    assert site.ask("/reviews/oak/2026-09/1/oak-2026-09.xlsx", olga).status == 200
    assert site.ask("/reviews").status in (303, 401, 403)


def test_a_month_that_is_stated_anew_gets_a_revision_and_its_readers_the_changed_figure(site: Site) -> None:
    """An incident's end moves, and only ash's packs: the desk shows both editions, the mail says what changed."""
    site.process.stop()
    db = sqlite3.connect(site.world.data / "state.db", isolation_level=None)
    before = (site.world.data / "review/ash/2026-09/r1/ash-2026-09.pdf").read_bytes()
    # Readiness that comes in late is of the first page; that a month was stated anew is what the collector looks for.
    db.execute("UPDATE readiness SET ready = 0 WHERE school = 'ash' AND lesson_ms % 2 = 0 AND room = 'ict1'")
    newest = db.execute(
        "SELECT stamp, figure FROM stated WHERE school = 'ash' AND month = '2026-09' ORDER BY revision DESC LIMIT 1"
    ).fetchone()
    late_ms = END_MS + 30 * 86_400_000
    db.execute(
        "INSERT INTO stated VALUES ('ash', '2026-09', 9, ?, ?, ?, 'late reports of ash/ict1-07 for 3 Sep')",
        (late_ms, *newest),
    )
    db.close()
    site.process = CollectorProcess(site.world, Clock(late_ms / 1000 + 3600, time.time(), 1.0))
    site.process.start()
    eventually(lambda: ("ash", 2) in site.kept(), 90, site.process.log)
    to = "ict-director@ash.example"
    eventually(lambda: len(site.mails.subjects(to)) >= 2, 30, site.process.log)
    assert "revision 2: Rooms ready for lessons was " in site.mails.subjects(to)[1]
    assert (site.world.data / "review/ash/2026-09/r1/ash-2026-09.pdf").read_bytes() == before
    page = site.ask("/reviews/ash", site.sign_in("Meg")).read().decode()
    assert "Revision 2" in page and "replaced" in page and "late reports of ash/ict1-07" in page
    assert "reviews" not in json.dumps((site.process.health() or {}).get("problems", {}))


def test_what_cannot_be_made_is_a_problem_of_caretaker_itself_and_ends_when_it_works_again(site: Site) -> None:
    if site.process.process is not None and site.process.process.poll() is None:
        site.process.stop()
    folder = site.world.data / "review/oak"
    aside = folder.rename(folder.with_name("aside"))
    db = sqlite3.connect(site.world.data / "state.db", isolation_level=None)
    db.execute("DELETE FROM packs WHERE place = 'oak'")
    db.close()
    folder.write_text("a file where a folder should be")
    site.process = CollectorProcess(site.world, Clock(END_MS / 1000 + 40 * 86_400, time.time(), 600.0))
    site.process.start()
    eventually(lambda: "oak 2026-09" in json.dumps(site.process.health()), 90, site.process.log)
    found = sqlite3.connect(site.world.data / "state.db", isolation_level=None)

    def known() -> bool:
        opened = "SELECT 1 FROM incident_log WHERE CAST(entry AS TEXT) LIKE '%review_not_made%'"
        return found.execute(opened).fetchone() is not None

    eventually(known, 30, site.process.log)
    folder.unlink()
    eventually(lambda: ("oak", 1) in site.kept(), 90, site.process.log)
    eventually(lambda: "oak 2026-09" not in json.dumps(site.process.health()), 30, site.process.log)
    assert Path(aside).is_dir()
