"""Sends kept packs to their readers: a mail to each address, with PDF and spreadsheet, the five figures as text.

It goes through the outbox (at least once, always with the same id) on a channel of its own name, with the mail server
of `alerts.toml`: its channel `review` of kind mail, else its first of that kind. A revision goes to who had an earlier
one only when a figure of the first page changed.
"""

import hashlib
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from caretaker_collector.incidents import tellings
from caretaker_collector.notify.by_apprise import ByApprise, Mail
from caretaker_collector.notify.channels import Surroundings, url_of
from caretaker_collector.notify.wording import BODY_MAX, lines, one_line
from caretaker_collector.review import keep, mail_book, shelf
from caretaker_collector.review.mail_book import PackMail
from caretaker_collector.review.shelf import Kept
from caretaker_collector.review.shown import changed, front
from caretaker_collector.settings import CollectorSettings, load_alerts
from caretaker_contract.errors import ConfigError, Rejected
from caretaker_dashboards.review.pack import Pack
from caretaker_rules.alert_settings import AlertsFile, Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Estate

CHANNEL = "review mail"
"""In the outbox; a channel of alerts.toml cannot be called so."""
NO_MAIL = "no mail channel in alerts.toml: it is kept, and sent to nobody"
NO_READERS = "no readers in estate.toml ([[schools.review.readers]]): it is kept, and sent to nobody"
_ATTACHED = (".pdf", ".xlsx")


def channel_of(alerts: AlertsFile | None) -> Channel | None:
    """The mail server to use; None: there is none."""
    mails = [each for each in alerts.channels if each.kind == "mail"] if alerts is not None else []
    return next((each for each in mails if each.name == "review"), mails[0] if mails else None)


def readers(estate: Estate, place: str) -> list[tuple[str, str]]:
    """(role, address) of a school's readers, each address once; a pack of several schools has none."""
    school = estate.schools.get(place)
    found: dict[str, str] = {}
    for each in school.review.readers if school is not None else []:
        for address in each.addresses:
            found.setdefault(address, each.role)
    return [(role, address) for address, role in found.items()]


def write(
    db: sqlite3.Connection, data: Path, estate: Estate, settings: CollectorSettings, kept: Kept, now_ms: int
) -> tuple[int, str]:
    """Hand the newest revision to the outbox, for all readers that are to have it; again changes nothing.

    Returns how many mails, and why nobody gets any ("": somebody does, or had it). ConfigError: alerts.toml is wrong.
    """
    wanted = readers(estate, kept.place)
    if not wanted:
        return 0, NO_READERS
    if channel_of(load_alerts(Path(settings.alerts), estate) if settings.alerts else None) is None:
        return 0, NO_MAIL
    pack = keep.read(data, kept)
    if pack is None:
        return 0, "its files are gone; make it again with caretaker review"
    had = mail_book.of_pack(db, kept.place, kept.period)
    earlier = {each.revision: each for each in shelf.revisions(db, kept.place, kept.period)}
    packs: dict[int, Pack | None] = {}
    count = 0
    for role, address in wanted:
        last = max((mail.revision for mail in had if mail.address == address), default=None)
        news: list[str] = []
        if last is not None:
            if last >= kept.revision:
                continue
            if last not in packs:
                packs[last] = keep.read(data, earlier[last]) if last in earlier else None
            before = packs[last]
            news = changed(before, pack) if before is not None else ["figures changed"]
            if not news:
                continue
        count += _write(db, kept, pack, role, address, news, now_ms)
    return count, ""


def _write(
    db: sqlite3.Connection, kept: Kept, pack: Pack, role: str, address: str, news: list[str], now_ms: int
) -> int:
    made_of = f"review\n{kept.place}\n{kept.period}\n{kept.revision}\n{address}"
    id_ = "review-" + hashlib.blake2b(made_of.encode(), digest_size=12).hexdigest()
    telling = Telling(
        id=id_,
        uid="",
        what="review",
        channel=CHANNEL,
        title=subject(pack, news),
        body=body(pack, role, news),
        severity="info",
        due_ms=now_ms,
        made_ms=now_ms,
    )
    db.execute("BEGIN IMMEDIATE")
    try:
        mail_book.add(db, PackMail(id_, kept.place, kept.period, kept.revision, role, address))
        for statement, values in tellings.write(telling):
            db.execute(statement, values)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return 1


def subject(pack: Pack, news: list[str]) -> str:
    """One line; of a revision it says the first figure that changed."""
    said = f"Service review of {pack.period_title}: {pack.title}"
    if not news:
        return one_line(said)
    more = f", and {len(news) - 1} more" if len(news) > 1 else ""
    return one_line(f"{said}, revision {pack.revision}: {news[0]}{more}")


def body(pack: Pack, role: str, news: list[str]) -> str:
    """The five figures, what changed, and why somebody gets this."""
    text = [*front(pack), ""]
    if news:
        reason = next((each.reason for each in pack.revisions if each.number == pack.revision), "")
        text = ["This takes the place of what you were sent. What changed on its first page:"]
        text += [f"- {each}" for each in news] + ([f"Why: {reason}"] if reason else []) + ["", *front(pack), ""]
    text += [
        "Attached: the whole review as PDF for the meeting, and as a spreadsheet with every figure in it.",
        f"You get this as {role} of {pack.title}; Caretaker's operator can change who does.",
    ]
    return lines("\n".join(text), BODY_MAX)


class ReviewMail:
    """The adapter of `CHANNEL`."""

    def __init__(self, channel: Channel, around: Surroundings, data: Path) -> None:
        self._channel, self._around, self._data = channel, around, data
        self._url = without_people(url_of(channel))

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """One mail to one address, with its files. Rejected: it is no mail of a pack, or the files are gone."""
        db = self._around.db
        mail = mail_book.one(db, telling.id)
        if mail is None:
            raise Rejected("nobody knows any more which pack this is about")
        known = {each.revision: each for each in shelf.revisions(db, mail.place, mail.period)}
        kept = known.get(mail.revision)
        files = [] if kept is None else [self._data / kept.folder / name for name in kept.files]
        files = [path for path in files if path.suffix in _ATTACHED]
        if kept is None or not files or not all(path.is_file() for path in files):
            raise Rejected(f"the files of {mail.place} {mail.period} are gone; make it again with caretaker review")
        sender = structs.replace(self._channel, to=[mail.address])
        answer = await ByApprise(sender, self._url).deliver(
            telling.id, Mail(one_line(telling.title), lines(telling.body), tuple(files))
        )
        shelf.note_sent(db, kept, f"{mail.role} <{mail.address}>", self._around.now_ms())
        return answer

    async def close(self) -> None:
        """Nothing is kept open."""


def without_people(url: str) -> str:
    """A mail address of apprise without whom it writes to: readers take their place."""
    parts = urlsplit(url)
    kept = [each for each in parts.query.split("&") if each and each.partition("=")[0].lower() not in _TO]
    return f"{parts.scheme}://{parts.netloc}/" + (f"?{'&'.join(kept)}" if kept else "")


_TO = frozenset({"to", "cc", "bcc"})


def adapter(alerts: AlertsFile | None, around: Surroundings, data: Path) -> dict[str, ReviewMail]:
    """The adapter by its name, where there is a mail server; else nothing. ConfigError: its address."""
    channel = channel_of(alerts)
    if channel is None:
        return {}
    if not channel.url and not channel.url_file:
        raise ConfigError([f"channel {channel.name}  needs url, or url_file where the address holds a secret"])
    return {CHANNEL: ReviewMail(channel, around, data)}
