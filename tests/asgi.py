"""Asks an ASGI application without a socket: one request, the whole answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlencode, urlsplit

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, decoded."""
        return self.body.decode()


async def ask(
    app: ASGIApp,
    address: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    gone_after: int | None = None,
) -> Answer:
    """One request; `form` makes it a POST. `gone_after`: whoever asked goes away after so many pieces of the body."""
    body = b"" if form is None else urlencode(form).encode()
    given = {"host": "desk.test", **{name.lower(): value for name, value in (headers or {}).items()}}
    if form is not None:
        method = "POST"
        given |= {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
    parts = urlsplit(address)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 40_000),
        "server": ("desk.test", 80),
        "state": {},
    }
    sent: list[Message] = []
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if gone_after is not None and sum(one["type"] == "http.response.body" for one in sent) >= gone_after:
            raise OSError("the other side has gone")

    try:
        await app(scope, receive, send)
    except Exception:
        if not sent:
            raise
    start = sent[0]
    names = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    whole = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    return Answer(start["status"], names, whole)
