"""Our webhooks, seen by a receiver that was written from the specification and not from our code."""

import base64
import hashlib
import hmac
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from caretaker_collector.api.doc import document
from caretaker_collector.notify import by_apprise, channels
from caretaker_collector.notify.by_webhook import ByWebhook, event_of, read_keys, signatures
from caretaker_collector.notify.channels import Surroundings, open_channels
from caretaker_collector.notify.heartbeat import fail_url
from caretaker_collector.notify.http_call import Http, Later
from caretaker_contract.errors import ConfigError, Rejected, Unavailable
from caretaker_rules.alert_settings import Channel
from servers import FaultyHttp
from telling_world import NOW_MS, make_incident, open_world, telling

pytestmark = pytest.mark.slow

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """What a receiver does, by the text of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(
        version == "v1" and hmac.compare_digest(value, wanted)
        for version, _, value in (part.partition(",") for part in headers["webhook-signature"].split(" "))
    )


def test_the_signature_is_the_one_of_the_specifications_own_example() -> None:
    """Its example: secret, id, timestamp and body, with the signature that its libraries are tested with."""
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    made = signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.fixture
def receiver() -> Any:
    """Takes everything."""
    with FaultyHttp("http://127.0.0.1:9") as server:
        server.answer(204, b"")
        yield server


def channel(tmp_path: Path, url: str, *keys: str) -> Channel:
    """A webhook that is signed with these keys."""
    (tmp_path / "secret").write_text("\n".join(keys) + "\n")
    return Channel(name="hook", kind="webhook", url=url, secret_file=str(tmp_path / "secret"))


async def test_a_receiver_can_verify_the_message_and_read_it(tmp_path: Path, receiver: FaultyHttp) -> None:
    """Signature, headers, and a CloudEvent as the API's description has it."""
    db = open_world(tmp_path)
    incident = make_incident(db)
    hook = open_channels([channel(tmp_path, receiver.url, KEY)], Surroundings(db, lambda: NOW_MS))["hook"]
    await hook.send(telling("opened", id_="msg-1"), incident)
    await hook.close()
    [seen] = receiver.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert verified(KEY, headers, seen.body) and not verified(OTHER, headers, seen.body)
    assert not verified(KEY, headers, seen.body + b" ")
    assert headers["webhook-id"] == "msg-1"
    assert abs(int(headers["webhook-timestamp"]) - channels.world_s()) < 60, "the world's time, not the collector's"
    event = json.loads(seen.body)
    described = json.loads(document())
    schema = {"$ref": "#/components/schemas/Event", "components": described["components"]}
    jsonschema.validate(event, schema, cls=jsonschema.Draft202012Validator)
    assert {key: event[key] for key in ("specversion", "id", "source", "type", "subject")} == {
        "specversion": "1.0",
        "id": "msg-1",
        "source": "/caretaker",
        "type": "caretaker.incident.opened",
        "subject": incident.uid,
    }
    assert event["data"]["incident"]["number"] == 1 and event["data"]["incident"]["device"] == "ict1-07"


async def test_while_keys_change_either_of_them_fits(tmp_path: Path, receiver: FaultyHttp) -> None:
    """Two lines in the file are two signatures."""
    around = Surroundings(sqlite3.connect(":memory:"), lambda: NOW_MS)
    hook = open_channels([channel(tmp_path, receiver.url, OTHER, KEY)], around)["hook"]
    await hook.send(telling("test", uid=""), None)
    await hook.close()
    [seen] = receiver.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert verified(KEY, headers, seen.body) and verified(OTHER, headers, seen.body)


def test_a_digest_is_an_event_without_an_incident() -> None:
    """And without a subject."""
    event = event_of(telling("digest", uid=""), None)
    assert (event.type, event.subject, event.data.incident) == ("caretaker.digest", None, None)


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_!!!!", "whsec_" + "QUJD" * 30, "whsec_\xe9"],
)
def test_a_secret_file_without_a_good_key_says_so_and_how_to_make_one(tmp_path: Path, text: str) -> None:
    """Without showing what stands there."""
    path = tmp_path / "secret"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="caretaker notify secret") as caught:
        read_keys(path)
    assert "short" not in str(caught.value) and "MfKQ" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Rejected), (302, Rejected), (400, Rejected), (404, Rejected), (410, Rejected), (413, Rejected),
        (401, Unavailable), (403, Unavailable), (408, Unavailable), (425, Unavailable), (429, Unavailable),
        (500, Unavailable), (502, Unavailable), (503, Unavailable), (599, Unavailable),
    ],
)  # fmt: skip
async def test_what_each_answer_means(receiver: FaultyHttp, status: int, kind: type[Exception]) -> None:
    """A redirect is not followed: it could lead anywhere with our signature."""
    receiver.answer(status, b"no\r\n" * 100_000)
    hook = ByWebhook(receiver.url, [], lambda: 0)
    with pytest.raises(kind, match=str(status)) as caught:
        await hook.send(telling(), None)
    assert len(str(caught.value)) < 250 and "\n" not in str(caught.value)
    assert len(receiver.seen) == 1
    await hook.close()


async def test_a_redirect_is_not_followed(receiver: FaultyHttp) -> None:
    """It could lead anywhere, with our signature and our key."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(307)
            self.send_header("Location", receiver.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        hook = ByWebhook(f"http://127.0.0.1:{server.server_address[1]}", [], lambda: 0)
        with pytest.raises(Rejected, match="307"):
            await hook.send(telling(), None)
        await hook.close()
        server.shutdown()
    assert receiver.seen == []


async def test_an_answer_without_end_is_cut_off(receiver: FaultyHttp) -> None:
    """It is not read into memory."""
    receiver.answer(200, b"x" * 3_000_000)
    http = Http()
    with pytest.raises(Unavailable, match="larger than 2 MB"):
        await http.call("GET", receiver.url)
    await http.close()


async def test_no_address_is_no_message(tmp_path: Path) -> None:
    """ftp, nonsense, a host that is none: all said without the address, for it may hold a secret."""
    http = Http()
    for url in ("ftp://example.org/secret-1", "http://", "http://127.0.0.1:1/secret-1"):
        with pytest.raises((Rejected, Unavailable)) as caught:
            await http.call("GET", url)
        assert "secret-1" not in str(caught.value)
    await http.close()


def test_a_later_is_an_unavailable_with_a_time() -> None:
    """So whoever does not look at the time retries all the same."""
    assert isinstance(Later("x", 3.0), Unavailable)


def test_the_address_for_trouble_keeps_its_query() -> None:
    """Healthchecks has none, others do."""
    assert fail_url("https://hc.example/ping/abc") == "https://hc.example/ping/abc/fail"
    assert fail_url("https://hc.example/ping/abc/?a=1") == "https://hc.example/ping/abc/fail?a=1"


WORKFLOW = (
    "workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/invoke?api-version=1&sv=1.0&sig=" + "a" * 43
)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("teams", f"https://prod-00.westeurope.logic.azure.com:443/{WORKFLOW}"),
        ("teams", f"https://d1.cd.environment.api.powerplatform.com:443/powerautomate/automations/direct/{WORKFLOW}"),
        ("slack", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
    ],
)
def test_addresses_are_taken_as_teams_and_slack_show_them(kind: str, url: str) -> None:
    """Nothing is sent: their own servers cannot be had here."""
    import apprise

    target = apprise.Apprise.instantiate(url)
    assert target is not None and target.schema in by_apprise.ALLOWED[kind]
