"""Mail, Teams (by Workflows) and Slack, through apprise. It blocks and takes 2.5 s to import: a thread, when needed.

apprise says only whether it worked; what was wrong is read from the lines that it logs about this one call.
"""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from caretaker_collector.notify.wording import lines, one_line
from caretaker_contract.errors import Rejected, Unavailable
from caretaker_rules.alert_settings import Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident

ALLOWED = {
    "mail": ("mailto", "mailtos"),
    "teams": ("workflows", "workflow"),  # not msteams: the connectors that it speaks to were retired in 2026
    "slack": ("slack", "slacks"),
}
"""Which of apprise's services a kind of channel may be: an address of any other kind is a mistake."""
LONGEST_TEAMS = 20_000  # characters of a card; Teams takes 28 kB
_HTTP = re.compile(r"error=(\d{3})")
_SMTP = re.compile(r"\(?\b([45]\d\d), b['\"](.{0,120}?)['\"]")
_SOCKET = "Socket Exception: "
_RETRY = {"401", "403", "407", "408", "425", "429"}


class Mail(NamedTuple):
    """What is handed to apprise."""

    title: str
    body: str
    files: tuple[Path, ...] = ()  # attached


class ByApprise:
    """One target of apprise."""

    def __init__(self, channel: Channel, url: str) -> None:
        self._kind = channel.kind
        self._url = with_people(url, channel) if channel.kind in ("mail", "ticket") else url

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Hand the message over."""
        return await self.deliver(telling.id, Mail(one_line(telling.title), lines(telling.body)))

    async def deliver(self, id_: str, mail: Mail) -> str:
        """One message under these words; `id_` goes into a mail's header, so that a repeated one can be told."""
        return await asyncio.to_thread(_notify, self._url, self._kind, id_, mail)

    async def close(self) -> None:
        """Nothing is kept open."""


def with_people(url: str, channel: Channel) -> str:
    """The address with the `to` and `from` of the settings; those that stand in the address itself are left alone."""
    more = []
    if channel.to and "to=" not in url:
        more.append("to=" + quote(",".join(channel.to), safe=""))
    if channel.sender and "from=" not in url:
        more.append("from=" + quote(channel.sender, safe=""))
    return url + ("&" if "?" in url else "?") + "&".join(more) if more else url


def _notify(url: str, kind: str, id_: str, mail: Mail) -> str:
    import apprise
    from apprise.attachment import file as attachment

    attached: Any = attachment.AttachFile

    _quiet()
    schemas = ALLOWED["mail" if kind == "ticket" else kind]
    mail_like = schemas[0] == "mailto"
    if mail_like:
        url += ("&" if "?" in url else "?") + f"+X-Caretaker-Id={quote(id_, safe='')}"
    target = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if target is None:
        raise Rejected(f"its address is none that apprise understands; it should begin with {_choice(schemas)}")
    if _schema(target) not in schemas:
        raise Rejected(f"a channel of kind {kind} needs an address that begins with {_choice(schemas)}")
    sender = apprise.Apprise()
    sender.add(target)
    body = mail.body[:LONGEST_TEAMS] if kind == "teams" else mail.body
    result = sender.notify(
        title=mail.title,
        body=body or mail.title,
        body_format=apprise.NotifyFormat.TEXT,
        attach=[attached(str(path), name=path.name) for path in mail.files] or None,
        interpret_escapes=False,
        log_level=logging.DEBUG,
    )
    if result:
        return "taken"
    raise _fault([(str(entry.level), str(entry.message)) for entry in result.logs()])


def _fault(said: list[tuple[str, str]]) -> Exception:
    """What apprise's own lines tell of the failure. What it was to send stands among them too, and is not looked at."""
    warnings = [text for level, text in said if level in ("WARNING", "ERROR")]
    broken = [text.removeprefix(_SOCKET) for _, text in said if text.startswith(_SOCKET)]
    if match := _HTTP.search("\n".join(warnings)):
        status = match[1]
        never = status.startswith(("3", "4")) and status not in _RETRY
        return Rejected(f"it answered {status}") if never else Unavailable(f"it answered {status}")
    if match := _SMTP.search("\n".join([*broken, *warnings])):
        code, words = match.groups()
        reason = f"the mail server answered {code} {one_line(words, 120)}"
        # 53x: signing in failed, or is needed: a person can mend that while the message waits.
        return Rejected(reason) if code.startswith("5") and not code.startswith("53") else Unavailable(reason)
    reason = next(iter([*broken[::-1], *warnings]), "no reason was given")
    return Unavailable(f"not delivered: {one_line(reason, 160)}")


def _schema(target: Any) -> str:
    return str(target.schema or "")


def _choice(schemas: tuple[str, ...]) -> str:
    return " or ".join(f"{schema}://" for schema in schemas)


def _quiet() -> None:
    """apprise's lines stay with the call that they are about: they name servers and people."""
    log = logging.getLogger("apprise")
    if log.propagate:
        log.propagate = False
        log.addHandler(logging.NullHandler())
        log.setLevel(logging.DEBUG)
