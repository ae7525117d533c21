"""A small stand-in for Grafana's HTTP API, after its documentation: health, folders, dashboards. No real one is here.

It answers as documented: 401 without a token it knows, 404 for what is not there, 412 for a uid that is taken while
`overwrite` is not said, 400 for a dashboard without title or into a folder that is not there. Like Grafana it gives
every board an id and a version, keeps keys of its own beside ours, and has one set of uids for folders and boards.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "glsa_stand-in"
Json = dict[str, Any]


class GrafanaStandIn:
    """What is stored, and what was asked."""

    def __init__(self) -> None:
        self.folders: dict[str, Json] = {}
        self.boards: dict[str, Json] = {}
        self.asked: list[tuple[str, str]] = []
        self.url = ""
        self.is_grafana = True

    def answer(self, method: str, path: str, token: str, body: Json) -> tuple[int, Json]:
        """Status and body."""
        self.asked.append((method, path))
        if path == "/api/health":
            return (200, {"database": "ok", "version": "13.2.3"}) if self.is_grafana else (200, {"status": "up"})
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        *_, last = path.split("/")
        if path == "/api/folders" and method == "POST":
            return self._new_folder(body)
        if path.startswith("/api/folders/"):
            return self._folder(method, last, body)
        if path == "/api/dashboards/db" and method == "POST":
            return self._save(body)
        if path.startswith("/api/dashboards/uid/") and method == "GET":
            return self._board(last)
        return 404, {"message": "Not found"}

    def _new_folder(self, body: Json) -> tuple[int, Json]:
        if not body.get("title"):
            return 400, {"message": "folder title cannot be empty"}
        if body["uid"] in self.folders or body["uid"] in self.boards:
            return 412, {"message": "the folder has been changed by someone else"}
        self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
        return 200, self.folders[body["uid"]]

    def _folder(self, method: str, uid: str, body: Json) -> tuple[int, Json]:
        if uid not in self.folders:
            return 404, {"message": "folder not found", "status": "not-found"}
        if method == "PUT":
            if not body.get("overwrite") and body.get("version") != self.folders[uid]["version"]:
                return 412, {"message": "the folder has been changed by someone else"}
            self.folders[uid] |= {"title": body["title"], "version": self.folders[uid]["version"] + 1}
        return 200, self.folders[uid]

    def _save(self, body: Json) -> tuple[int, Json]:
        board = body["dashboard"]
        uid = board.get("uid")
        if not board.get("title"):
            return 400, {"message": "Dashboard title cannot be empty"}
        if not uid or len(uid) > 40:
            return 400, {"message": "uid too long, max 40 characters"}
        if uid in self.folders:
            return 400, {"message": "A folder with that uid already exists"}
        if body.get("folderUid") not in self.folders:
            return 400, {"message": "folder not found"}
        old = self.boards.get(uid)
        if old is not None and old["meta"].get("provisioned"):
            return 400, {"message": "Cannot save provisioned dashboard"}
        if old is not None and not body.get("overwrite"):
            return 412, {"message": "A dashboard with the same uid already exists", "status": "version-mismatch"}
        version = old["dashboard"]["version"] + 1 if old else 1
        stored = {**board, "id": len(self.boards) + 1, "version": version, "schemaVersion": 42, "preload": False}
        meta = {"folderUid": body["folderUid"], "version": version, "provisioned": False}
        self.boards[uid] = {"dashboard": stored, "meta": meta}
        return 200, {"uid": uid, "status": "success", "version": version, "url": f"/d/{uid}/x"}

    def _board(self, uid: str) -> tuple[int, Json]:
        if uid not in self.boards:
            return 404, {"message": "Dashboard not found"}
        return 200, self.boards[uid]


@contextmanager
def grafana() -> Iterator[GrafanaStandIn]:
    """It listens on a free port of loopback."""
    stand_in = GrafanaStandIn()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, answer = stand_in.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _reply

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
