"""Signed webhooks: a CloudEvent in JSON, signed as Standard Webhooks ask.

    webhook-id          the message's id: a receiver drops what it has had
    webhook-timestamp   seconds since 1970: a receiver refuses what is old (five minutes, in their libraries)
    webhook-signature   "v1," + base64(HMAC-SHA256(key, id.timestamp.body)), several with a space between

The secret file holds one key a line, "whsec_" and base64 of 24 to 64 bytes. With two of them each message is signed
with both: to change keys, add the new one, let the receiver take it over, take the old one out.

Sources: standard-webhooks/standard-webhooks, spec/standard-webhooks.md; cloudevents/spec, cloudevents/formats/
json-format.md, structured mode (looked up November 2026).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from caretaker_collector.notify.http_call import Http
from caretaker_collector.notify.wording import lines, one_line
from caretaker_contract.errors import ConfigError
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident

PREFIX = "whsec_"
REMEDY = f'write "{PREFIX}" and base64 of 24 to 64 random bytes on a line, or make one: caretaker notify secret FILE'


class EventIncident(Struct, frozen=True, kw_only=True):
    """The incident that an event is about, as it is when the event is sent."""

    number: int
    kind: str
    school: str  # "": Caretaker itself
    room: str
    device: str
    title: str
    status: str
    priority: int | None
    opened_at: str
    fixed_at: str | None


class EventData(Struct, frozen=True, kw_only=True):
    """What people are told."""

    title: str
    body: str
    severity: str
    incident: EventIncident | None


class Event(Struct, frozen=True, kw_only=True):
    """A CloudEvent 1.0, as the body of our webhook."""

    specversion: str = "1.0"
    id: str
    source: str = "/caretaker"
    type: (
        str  # caretaker.incident.opened, .grown, .escalated, .warned, .late, .reopened, .fixed; caretaker.digest, .test
    )
    time: str
    subject: str | None = None  # the incident's uid, the same in all events of it
    datacontenttype: str = "application/json"
    data: EventData = field()


class ByWebhook:
    """One receiver. `now_s` is the world's time: receivers compare it with theirs."""

    def __init__(self, url: str, keys: Sequence[bytes], now_s: Callable[[], int]) -> None:
        self._url = url
        self._keys = keys
        self._now_s = now_s
        self._http = Http()

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Post the event."""
        body = msgspec.json.encode(event_of(telling, incident))
        timestamp = self._now_s()
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": telling.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            headers["webhook-signature"] = signatures(self._keys, telling.id, timestamp, body)
        answer = await self._http.call("POST", self._url, body, headers)
        return f"answered {answer.status}"

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


def signatures(keys: Sequence[bytes], id_: str, timestamp: int, body: bytes) -> str:
    """One for each key."""
    content = f"{id_}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)


def read_keys(path: Path) -> list[bytes]:
    """The keys of a secret file. ConfigError names the line and the remedy, and never shows the key."""
    try:
        rows = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ConfigError([f"{path}  cannot be read: {error.strerror}; {REMEDY}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}  holds no key; {REMEDY}"]) from None
    keys = []
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            key = base64.b64decode(row.strip().removeprefix(PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not row.strip().startswith(PREFIX) or not 24 <= len(key) <= 64:
            raise ConfigError([f"{path}:{number}  is no key; {REMEDY}"])
        keys.append(key)
    if not keys:
        raise ConfigError([f"{path}  holds no key; {REMEDY}"])
    return keys


def event_of(telling: Telling, incident: Incident | None) -> Event:
    """The message as a CloudEvent."""
    what = f"incident.{telling.what}" if telling.uid else telling.what
    about = None
    if incident is not None:
        about = EventIncident(
            number=incident.number,
            kind=incident.kind.value,
            school=incident.subject.school,
            room=incident.subject.room,
            device=incident.subject.device,
            title=one_line(incident.title),
            status=incident.status.value,
            priority=incident.priority,
            opened_at=stamp(incident.opened_ms),
            fixed_at=stamp(incident.fixed_ms) if incident.fixed_ms else None,
        )
    return Event(
        id=telling.id,
        type=f"caretaker.{what}",
        time=stamp(telling.made_ms),
        subject=telling.uid or None,
        data=EventData(
            title=one_line(telling.title), body=lines(telling.body), severity=telling.severity, incident=about
        ),
    )


def stamp(ms: int) -> str:
    """UTC milliseconds as RFC 3339."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
