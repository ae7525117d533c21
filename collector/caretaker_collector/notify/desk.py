"""One service desk over HTTP, by its preset: find, open, comment, close and reopen a ticket, and read its state."""

import base64
import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from caretaker_collector.notify.desk_presets import Call, Pointer, Preset
from caretaker_collector.notify.http_call import Http
from caretaker_contract.errors import Rejected, Unavailable

_WORD = re.compile(r"\{(\w+)\}")


class Ticket(Struct, frozen=True):
    """A ticket at the desk: its id in the API, and the number that its people see."""

    id: str
    number: str


class Gone(Rejected):
    """The desk has no such ticket (any more)."""


class Desk:
    """`settings` holds queue, requester, token and app_token as far as they were given."""

    def __init__(self, preset: Preset, url: str, settings: Mapping[str, str]) -> None:
        self._preset = preset
        self._url = url.rstrip("/")
        self._settings = dict(settings)
        self._session = ""
        self._http = Http()

    async def probe(self) -> None:
        """See whether it can be spoken to; changes nothing there."""
        await self._call(self._preset.probe, {})

    async def find(self, ref: str) -> Ticket | None:
        """Our ticket for `ref`, the oldest if there are several; None when the desk knows none."""
        find = self._preset.find
        answer = await self._call(find.call, {"ref": ref})
        found = _at(answer, find.tickets)
        rows = found.values() if isinstance(found, dict) else found if isinstance(found, list) else []
        tickets = [
            Ticket(str(_at(row, find.id)), str(_at(row, find.number)))
            for row in rows
            if ref in _texts(_at(row, find.holds)) and _at(row, find.id) is not None
        ]
        return min(tickets, key=lambda ticket: (len(ticket.id), ticket.id), default=None)

    async def create(self, ref: str, title: str, body: str, priority: int | None) -> Ticket:
        """Open a ticket."""
        priorities = self._preset.priorities
        rank = priorities[priority - 1] if priority in (1, 2, 3) else priorities[3]
        answer = await self._call(self._preset.create, {"ref": ref, "priority": rank, **self._words(title, body)})
        id_ = _at(answer, self._preset.created_id)
        if id_ is None or id_ is False:
            raise Rejected(f"{self._preset.title} opened no ticket: {msgspec.json.encode(answer)[:200].decode()}")
        return Ticket(str(id_), str(_at(answer, self._preset.created_number) or id_))

    async def is_closed(self, id_: str) -> bool:
        """Whether the desk is done with it. Gone when there is no such ticket."""
        answer = await self._call(self._preset.state, {"id": _number(id_)})
        state = _at(answer, self._preset.state_at)
        if state is None:
            raise Unavailable(f"{self._preset.title} tells no state of ticket {id_}")
        return str(state).lower() in self._preset.closed

    async def comment(self, id_: str, title: str, body: str) -> None:
        """Add an internal note."""
        await self._call(self._preset.comment, {"id": _number(id_), **self._words(title, body)})

    async def close_ticket(self, id_: str, title: str, body: str) -> None:
        """Close it."""
        for call in self._preset.close:
            await self._call(call, {"id": _number(id_), **self._words(title, body)})

    async def reopen(self, id_: str, title: str, body: str) -> None:
        """Open it again."""
        for call in self._preset.reopen:
            await self._call(call, {"id": _number(id_), **self._words(title, body)})

    async def close(self) -> None:
        """End the session and let go of connections."""
        try:
            if self._session and self._preset.logout:
                await self._request(self._preset.logout, {}, self._preset.headers)
        except (Rejected, Unavailable):
            pass  # sessions end by themselves
        finally:
            self._session = ""
            await self._http.close()

    def _words(self, title: str, body: str) -> dict[str, Any]:
        text = html.escape(body, quote=False).replace("\n", "<br>") if self._preset.html else body
        return {"title": title, "body": text}

    async def _call(self, call: Call, words: Mapping[str, Any]) -> Any:
        preset = self._preset
        if preset.login and not self._session:
            await self._log_in(preset.login)
        try:
            return await self._request(call, words, preset.headers)
        except Unavailable as error:
            if not (preset.login and "answered 401" in str(error)):
                raise
        await self._log_in(preset.login)  # the session ran out
        return await self._request(call, words, preset.headers)

    async def _log_in(self, login: Call) -> None:
        self._session = ""
        answer = await self._request(login, {}, self._preset.login_headers)
        session = _at(answer, self._preset.session)
        if not isinstance(session, str):
            raise Unavailable(f"{self._preset.title} gave no session")
        self._session = session

    async def _request(self, call: Call, words: Mapping[str, Any], templates: Mapping[str, str]) -> Any:
        words = {**self._settings, "session": self._session, **words}
        headers = {name: _text(template, words) for name, template in templates.items()}
        headers = {name: value for name, value in headers.items() if value}
        if self._preset.basic_auth:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{words['token']}:X".encode()).decode()
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
        path = _WORD.sub(lambda match: quote(str(words.get(match[1], "")), safe=""), call.path)
        body = msgspec.json.encode(filled(call.body, words)) if call.body is not None else None
        try:
            answer = await self._http.call(call.method, self._url + path, body, headers)
        except Rejected as error:
            if "answered 404" in str(error) and "{id}" in call.path:
                raise Gone(f"{self._preset.title} has no ticket {words.get('id')}") from None
            raise
        try:
            return msgspec.json.decode(answer.body) if answer.body.strip() else None
        except msgspec.DecodeError:
            raise Unavailable(f"{self._preset.title} did not answer in JSON; is the address right?") from None


def filled(template: Any, words: Mapping[str, Any]) -> Any:
    """A body with its words filled in, once: what is in braces in a value stays as it is."""
    if isinstance(template, dict):
        return {key: filled(value, words) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, words) for value in template]
    if isinstance(template, str):
        whole = _WORD.fullmatch(template)
        return words.get(whole[1], "") if whole else _text(template, words)
    return template


def _text(template: str, words: Mapping[str, Any]) -> str:
    return _WORD.sub(lambda match: str(words.get(match[1], "")), template)


def _at(value: Any, pointer: Pointer) -> Any:
    for key in pointer:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _texts(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(id_: str) -> int | str:
    return int(id_) if id_.isascii() and id_.isdigit() else id_
