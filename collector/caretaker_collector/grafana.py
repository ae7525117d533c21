"""Boards into a running Grafana, through its HTTP API: folders and dashboards by their uid, and what changed.

    GET  /api/health               is it Grafana
    GET  /api/folders/:uid         POST /api/folders, PUT /api/folders/:uid
    GET  /api/dashboards/uid/:uid  POST /api/dashboards/db   with overwrite, by uid

A board counts as unchanged when all that ours says is there, in the same folder: Grafana adds keys of its own, and
raises schemaVersion. Nothing is ever deleted. The token is a service account's with the role Editor (Admin where
folders are locked).
"""

from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_dashboards.folders import Folder

TIMEOUT_S = 30.0
_SERVERS_OWN = ("id", "version", "schemaVersion")
Json = dict[str, Any]


class Change(Struct, frozen=True):
    """What became of a folder or a board: created, updated or unchanged."""

    what: str
    uid: str
    title: str
    change: str


class Grafana:
    """A Grafana at `url`. Use it as an asynchronous context."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def __aenter__(self) -> "Grafana":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def push(self, folders: Sequence[Folder]) -> list[Change]:
        """Bring every folder and board there; ConfigError: refused. Unavailable: no answer. What was done stays."""
        status, body = await self._ask("GET", "/api/health")
        if status != 200 or "database" not in body:
            raise ConfigError([f"{self._url}  is no Grafana: /api/health answers {status}; give its address, path too"])
        changes = []
        for folder in folders:
            changes.append(await self._folder(folder))
            changes += [await self._board(board, folder.uid) for board in folder.boards]
        return changes

    async def _folder(self, folder: Folder) -> Change:
        status, body = await self._ask("GET", f"/api/folders/{folder.uid}")
        if status == 404:
            await self._must("POST", "/api/folders", {"uid": folder.uid, "title": folder.title}, folder.title)
            return Change("folder", folder.uid, folder.title, "created")
        self._refused(status, body, folder.title)
        if body.get("title") == folder.title:
            return Change("folder", folder.uid, folder.title, "unchanged")
        asked = {"title": folder.title, "overwrite": True}
        await self._must("PUT", f"/api/folders/{folder.uid}", asked, folder.title)
        return Change("folder", folder.uid, folder.title, "updated")

    async def _board(self, board: Json, folder_uid: str) -> Change:
        uid, title = board["uid"], board["title"]
        status, body = await self._ask("GET", f"/api/dashboards/uid/{uid}")
        if status != 404:
            self._refused(status, body, title)
            meta, there = body.get("meta", {}), body.get("dashboard", {})
            if meta.get("provisioned"):
                where = meta.get("provisionedExternalId", "")
                raise ConfigError([f"{title}  comes from a file of that Grafana ({where}): change it there"])
            ours = {key: value for key, value in board.items() if key not in _SERVERS_OWN}
            if meta.get("folderUid") == folder_uid and contains(there, ours):
                return Change("board", uid, title, "unchanged")
        asked = {
            "dashboard": {**board, "id": None},
            "folderUid": folder_uid,
            "overwrite": True,
            "message": "caretaker boards push",
        }
        await self._must("POST", "/api/dashboards/db", asked, title)
        return Change("board", uid, title, "created" if status == 404 else "updated")

    async def _must(self, method: str, path: str, asked: Json, what: str) -> None:
        status, body = await self._ask(method, path, asked)
        self._refused(status, body, what)

    def _refused(self, status: int, body: Json, what: str) -> None:
        """Nothing when it went well."""
        if 200 <= status < 300:
            return
        says = str(body.get("message", "no reason given"))[:300]
        if status in (401, 403):
            remedy = "look at --token-file: it needs the token of a service account with the role Editor"
            raise ConfigError([f"{self._url}  does not let us in ({status}, {says}): {remedy}"])
        if status in (400, 409, 412, 422):
            raise ConfigError([f"{what}  is refused by {self._url} ({status}): {says}"])
        raise Unavailable(f"{self._url} answers {status} for {what}: {says}")

    async def _ask(self, method: str, path: str, asked: Json | None = None) -> tuple[int, Json]:
        data = None if asked is None else msgspec.json.encode(asked)
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(method, self._url + path, data=data, headers=headers) as reply:
                text = await reply.read()
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Grafana at {self._url} does not answer: {error or type(error).__name__}") from error
        try:
            body = msgspec.json.decode(text) if text else {}
        except msgspec.MsgspecError:
            body = {"message": text.decode("utf-8", "replace")[:200]}
        return status, body if isinstance(body, dict) else {}


def contains(there: Any, ours: Any) -> bool:
    """Whether all of ours is there. Keys that Grafana adds do not matter; in lists the order and number do."""
    if isinstance(ours, dict):
        return isinstance(there, dict) and all(key in there and contains(there[key], ours[key]) for key in ours)
    if isinstance(ours, list):
        return isinstance(there, list) and len(there) == len(ours) and all(map(contains, there, ours))
    return bool(there == ours)
