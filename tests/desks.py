"""Service desks on a loopback port that behave as their products' documentation says, as far as we use them.

The real products cannot be had here. Each desk keeps its tickets in `tickets`; `close(ticket)` is what one of its
people does. `answer` makes the next requests fail.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN, APP_TOKEN = "desk-token-1", "app-token-1"


@dataclass
class DeskTicket:
    """One ticket as the desk has it."""

    id: int
    title: str
    body: str
    priority: Any
    tags: list[str] = field(default_factory=list)
    state: str = "open"
    comments: list[str] = field(default_factory=list)
    reopened: int = 0


@dataclass
class FakeDesk:
    """Base: a small web server; `route` is the product's."""

    tickets: dict[int, DeskTicket] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)  # statuses of the next answers, in place of the real ones
    drop_after: list[str] = field(default_factory=list)  # paths whose next POST or PUT is done and then not answered
    search_sees: bool = True
    search_finds_all: bool = False  # as a search by likeness may
    slow_look: bool = False  # the next look at a ticket takes until somebody has closed it, or half a second
    url: str = ""

    def open_tickets(self) -> list[DeskTicket]:
        """Those that nobody has closed."""
        return [ticket for ticket in self.tickets.values() if ticket.state == "open"]

    def close(self, ticket: DeskTicket) -> None:
        """One of the desk's people is done with it."""
        ticket.state = "closed"

    def add(self, title: str, body: str, priority: Any, tags: list[str] | None = None) -> DeskTicket:
        """A new ticket."""
        ticket = DeskTicket(4710 + len(self.tickets) + 1, title, body, priority, tags or [])
        self.tickets[ticket.id] = ticket
        return ticket

    def search(self, fits: Callable[[DeskTicket], bool]) -> list[DeskTicket]:
        """What its search finds."""
        return [t for t in self.tickets.values() if self.search_sees and (self.search_finds_all or fits(t))]

    def route(self, method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> tuple[int, Any]:
        """Status and answer."""
        raise NotImplementedError


class Zammad(FakeDesk):
    """docs.zammad.org, REST API."""

    def route(self, method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> tuple[int, Any]:
        if headers["Authorization"] != f"Token token={TOKEN}":
            return 401, {"error": "authentication failed"}
        if (method, path) == ("GET", "/api/v1/users/me"):
            return 200, {"id": 3, "login": "caretaker"}
        if (method, path) == ("GET", "/api/v1/tickets/search"):
            found = self.search(lambda t: query["query"] in t.title)
            return 200, {
                "tickets": [t.id for t in found],
                "tickets_count": len(found),
                "assets": {"Ticket": {str(t.id): self.view(t) for t in found}} if found else {},
            }
        if (method, path) == ("POST", "/api/v1/tickets"):
            if body["group"] != "2nd Level":
                return 422, {"error": "No lookup value found for 'group'"}
            article = body["article"]
            assert article["type"] == "note" and article["content_type"] == "text/plain"
            assert body["customer"] == "ict@ash.example"
            return 201, self.view(self.add(body["title"], article["body"], body["priority"]))
        if (method, path) == ("POST", "/api/v1/ticket_articles"):
            ticket = self.tickets[body["ticket_id"]]
            ticket.comments.append(body["body"])
            if not body["internal"] and ticket.state == "closed":
                ticket.state, ticket.reopened = "open", ticket.reopened + 1
            return 201, {"id": 1}
        ticket = self.tickets.get(int(path.rpartition("/")[2]))
        if ticket is None:
            return 404, {"error": "Couldn't find Ticket"}
        if method == "PUT":
            ticket.reopened += ticket.state == "closed" and body["state"] == "open"
            ticket.state = body["state"]
            return 200, self.view(ticket)
        return 200, self.view(ticket) | ({"state": ticket.state} if query.get("expand") == "true" else {})

    @staticmethod
    def view(ticket: DeskTicket) -> dict[str, Any]:
        """A ticket as the API gives it."""
        return {
            "id": ticket.id,
            "number": f"22{ticket.id}",
            "title": ticket.title,
            "state_id": {"open": 2, "closed": 4}[ticket.state],
        }


class Glpi(FakeDesk):
    """GLPI's apirest.md."""

    session = 0

    def route(self, method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> tuple[int, Any]:
        if headers["App-Token"] != APP_TOKEN:
            return 400, ["ERROR_WRONG_APP_TOKEN_PARAMETER", ""]
        if path == "/apirest.php/initSession":
            if headers["Authorization"] != f"user_token {TOKEN}":
                return 401, ["ERROR_GLPI_LOGIN_USER_TOKEN", ""]
            self.session += 1
            return 200, {"session_token": f"session-{self.session}"}
        if headers["Session-Token"] != f"session-{self.session}":
            return 401, ["ERROR_SESSION_TOKEN_INVALID", "session_token seems invalid"]
        name = path.removeprefix("/apirest.php/")
        if name == "killSession":
            self.session += 1
            return 200, None
        if name == "getMyProfiles":
            return 200, {"myprofiles": [{"id": 4, "name": "Technician"}]}
        if name == "search/Ticket":
            assert query["criteria[0][field]"] == "1" and query["criteria[0][searchtype]"] == "contains"
            word = query["criteria[0][value]"]
            found = self.search(lambda t: word in t.title)
            result: dict[str, Any] = {"totalcount": len(found), "count": len(found)}
            return 200, result | ({"data": [{"1": t.title, "2": t.id, "80": "Root"} for t in found]} if found else {})
        if (method, name) == ("POST", "Ticket"):
            told = body["input"]
            ticket = self.add(told["name"], told["content"], told["urgency"])
            return 201, {"id": ticket.id, "message": ""}
        if method == "POST":
            told = body["input"]
            ticket = self.tickets[told["items_id"]]
            assert told["itemtype"] == "Ticket"
            if name == "ITILFollowup":
                ticket.comments.append(told["content"])
                if ticket.state == "closed":
                    ticket.state, ticket.reopened = "open", ticket.reopened + 1
            else:
                assert name == "ITILSolution"
                ticket.state = "closed"
            return 201, {"id": 1}
        found_one = self.tickets.get(int(name.removeprefix("Ticket/")))
        if found_one is None:
            return 404, ["ERROR_ITEM_NOT_FOUND", "Item not found"]
        if method == "PUT":
            found_one.reopened += 1
            found_one.state = "open"
            return 200, [{str(found_one.id): True}]
        return 200, {"id": found_one.id, "status": {"open": 2, "closed": 5}[found_one.state]}


class Freshservice(FakeDesk):
    """api.freshservice.com, version 2."""

    def route(self, method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> tuple[int, Any]:
        if headers["Authorization"] != "Basic " + base64.b64encode(f"{TOKEN}:X".encode()).decode():
            return 401, {"code": "invalid_credentials"}
        if (method, path) == ("GET", "/api/v2/tickets"):
            return 200, {"tickets": []}
        if (method, path) == ("GET", "/api/v2/tickets/filter"):
            asked = query["query"]
            assert asked.startswith("\"tag:'") and asked.endswith("'\""), asked
            tag = asked[6:-2]
            found = self.search(lambda t: tag in t.tags)
            return 200, {"tickets": [self.view(t) for t in found], "total": len(found)}
        if (method, path) == ("POST", "/api/v2/tickets"):
            assert body["status"] == 2 and body["email"] == "ict@ash.example"
            ticket = self.add(body["subject"], body["description"], body["priority"], body["tags"])
            return 201, {"ticket": self.view(ticket)}
        if path.endswith("/notes"):
            ticket = self.tickets[int(path.split("/")[-2])]
            ticket.comments.append(body["body"])
            assert body["private"] is True
            return 201, {"conversation": {"id": 1}}
        found_one = self.tickets.get(int(path.rpartition("/")[2]))
        if found_one is None:
            return 404, None
        if method == "PUT":
            state = {2: "open", 4: "closed", 5: "closed"}[body["status"]]
            found_one.reopened += found_one.state == "closed" and state == "open"
            found_one.state = state
        return 200, {"ticket": self.view(found_one)}

    @staticmethod
    def view(ticket: DeskTicket) -> dict[str, Any]:
        """A ticket as the API gives it."""
        status = {"open": 2, "closed": 4}[ticket.state]
        return {"id": ticket.id, "subject": ticket.title, "status": status, "tags": ticket.tags}


DESKS: dict[str, type[FakeDesk]] = {"zammad": Zammad, "glpi": Glpi, "freshservice": Freshservice}


@contextmanager
def serving(desk: FakeDesk) -> Iterator[FakeDesk]:
    """The desk on a port of its own, at `desk.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            desk.requests.append((self.command, self.path))
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            if desk.answer:
                status, answer = desk.answer.pop(0), None
            else:
                body = json.loads(raw) if raw else None
                number = parts.path.rpartition("/")[2]
                if self.command == "GET" and number.isdigit() and desk.slow_look:
                    desk.slow_look = False
                    end = time.monotonic() + 0.5
                    while desk.tickets[int(number)].state == "open" and time.monotonic() < end:
                        time.sleep(0.005)
                status, answer = desk.route(self.command, parts.path, query, body, self.headers)
                if self.command != "GET" and parts.path in desk.drop_after:
                    desk.drop_after.remove(parts.path)
                    self.close_connection = True
                    return
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        desk.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield desk
        finally:
            server.shutdown()
            thread.join(5)
