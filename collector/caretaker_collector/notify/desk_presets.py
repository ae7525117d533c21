"""How each service desk is spoken to, as data: paths, headers and bodies, with {words} that are filled in.

In bodies a text that is only "{word}" becomes the value itself (a number stays a number); in paths values are quoted.

| word | what |
|---|---|
| title, body | the message; body is HTML where `html` says so |
| ref | our own name for the incident at that desk, one word, by which its ticket is found again |
| id | the ticket's id in that API |
| priority | out of `priorities`, by the incident's |
| queue, requester, token, app_token, session | the channel's settings; what logging in gave |

None of the three products was at hand: what stands here was written from their documentation, and the tests' desks
behave as that says.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

Pointer = tuple[str, ...]
"""Keys down into an answer; where the value is a list or table of things, the reader takes all of them."""


class Call(Struct, frozen=True, kw_only=True):
    """One request."""

    method: str
    path: str
    body: Any = None


class Find(Struct, frozen=True, kw_only=True):
    """How a ticket of ours is found again."""

    call: Call
    tickets: Pointer  # in the answer: a list, or a table by id
    id: Pointer  # in each ticket
    number: Pointer
    holds: Pointer  # in each ticket: where our word has to stand (searches find more than was asked for)


class Preset(Struct, frozen=True, kw_only=True):
    """One product."""

    title: str
    docs: tuple[str, ...]
    headers: Mapping[str, str]
    basic_auth: bool = False  # the token is the user name of HTTP basic authentication, with the password "X"
    login: Call | None = None
    login_headers: Mapping[str, str] = field(default_factory=dict)
    session: Pointer = ()  # in the answer to `login`
    logout: Call | None = None
    html: bool = False
    probe: Call  # changes nothing; shows that address and token are good
    find: Find
    create: Call
    created_id: Pointer
    created_number: Pointer
    state: Call
    state_at: Pointer
    closed: tuple[str, ...]  # states, as text, that say that the desk is done with it
    comment: Call
    close: tuple[Call, ...]
    reopen: tuple[Call, ...]
    priorities: tuple[Any, Any, Any, Any]  # of incidents of priority 1, 2, 3, and all others
    needs: tuple[str, ...] = ()  # settings without which it cannot work


ZAMMAD = Preset(
    title="Zammad",
    docs=(
        "https://docs.zammad.org/en/latest/api/intro.html",  # token, expand=true
        "https://docs.zammad.org/en/latest/api/ticket/index.html",
        "https://docs.zammad.org/en/latest/api/ticket/articles.html",
    ),
    headers={"Authorization": "Token token={token}"},
    probe=Call(method="GET", path="/api/v1/users/me"),
    find=Find(
        call=Call(method="GET", path="/api/v1/tickets/search?query={ref}&limit=10"),
        tickets=("assets", "Ticket"),
        id=("id",),
        number=("number",),
        holds=("title",),
    ),
    create=Call(
        method="POST",
        path="/api/v1/tickets",
        body={
            "title": "{title} [{ref}]",
            "group": "{queue}",
            "customer": "{requester}",
            "priority": "{priority}",
            "article": {
                "subject": "{title}",
                "body": "{body}",
                "content_type": "text/plain",
                "type": "note",
                "internal": False,
            },
        },
    ),
    created_id=("id",),
    created_number=("number",),
    state=Call(method="GET", path="/api/v1/tickets/{id}?expand=true"),
    state_at=("state",),
    closed=("closed", "merged", "removed"),
    # Internal notes: they tell the desk's people, send no mail to the customer, and leave the state alone.
    comment=Call(
        method="POST",
        path="/api/v1/ticket_articles",
        body={
            "ticket_id": "{id}",
            "subject": "{title}",
            "body": "{body}",
            "content_type": "text/plain",
            "type": "note",
            "internal": True,
        },
    ),
    close=(Call(method="PUT", path="/api/v1/tickets/{id}", body={"state": "closed"}),),
    reopen=(Call(method="PUT", path="/api/v1/tickets/{id}", body={"state": "open"}),),
    priorities=("3 high", "2 normal", "1 low", "1 low"),
    needs=("queue", "requester"),
)

GLPI = Preset(
    title="GLPI",
    docs=(
        "https://github.com/glpi-project/glpi/blob/main/apirest.md",  # sessions, search, add and update items
    ),
    headers={"App-Token": "{app_token}", "Session-Token": "{session}"},
    login=Call(method="GET", path="/apirest.php/initSession"),
    login_headers={"App-Token": "{app_token}", "Authorization": "user_token {token}"},
    session=("session_token",),
    logout=Call(method="GET", path="/apirest.php/killSession"),
    html=True,
    probe=Call(method="GET", path="/apirest.php/getMyProfiles"),
    find=Find(
        # Search options of Ticket: 1 is its title, 2 its id.
        call=Call(
            method="GET",
            path="/apirest.php/search/Ticket?criteria[0][field]=1&criteria[0][searchtype]=contains"
            "&criteria[0][value]={ref}&forcedisplay[0]=1&forcedisplay[1]=2&range=0-9",
        ),
        tickets=("data",),
        id=("2",),
        number=("2",),
        holds=("1",),
    ),
    create=Call(
        method="POST",
        path="/apirest.php/Ticket",
        body={"input": {"name": "{title} [{ref}]", "content": "{body}", "type": 1, "urgency": "{priority}"}},
    ),
    created_id=("id",),
    created_number=("id",),
    state=Call(method="GET", path="/apirest.php/Ticket/{id}"),
    state_at=("status",),
    closed=("5", "6"),  # solved, closed
    comment=Call(
        method="POST",
        path="/apirest.php/ITILFollowup",
        body={"input": {"itemtype": "Ticket", "items_id": "{id}", "content": "{body}", "is_private": 1}},
    ),
    # A solution makes a ticket solved; GLPI closes it some days later by its own rules.
    close=(
        Call(
            method="POST",
            path="/apirest.php/ITILSolution",
            body={"input": {"itemtype": "Ticket", "items_id": "{id}", "content": "{body}"}},
        ),
    ),
    reopen=(Call(method="PUT", path="/apirest.php/Ticket/{id}", body={"input": {"status": 2}}),),
    priorities=(5, 4, 3, 2),  # urgency: very high, high, medium, low
)

FRESHSERVICE = Preset(
    title="Freshservice",
    docs=(
        "https://api.freshservice.com/#ticket_attributes",  # statuses 2 open, 4 resolved, 5 closed; priorities 1 to 4
        "https://api.freshservice.com/#create_ticket",
        "https://api.freshservice.com/#filter_tickets",
    ),
    headers={},
    basic_auth=True,
    html=True,
    probe=Call(method="GET", path="/api/v2/tickets?per_page=1"),
    find=Find(
        call=Call(method="GET", path="/api/v2/tickets/filter?query=%22tag:'{ref}'%22"),
        tickets=("tickets",),
        id=("id",),
        number=("id",),
        holds=("tags",),
    ),
    create=Call(
        method="POST",
        path="/api/v2/tickets",
        body={
            "subject": "{title}",
            "description": "{body}",
            "email": "{requester}",
            "priority": "{priority}",
            "status": 2,
            "tags": ["caretaker", "{ref}"],
        },
    ),
    created_id=("ticket", "id"),
    created_number=("ticket", "id"),
    state=Call(method="GET", path="/api/v2/tickets/{id}"),
    state_at=("ticket", "status"),
    closed=("4", "5"),
    comment=Call(method="POST", path="/api/v2/tickets/{id}/notes", body={"body": "{body}", "private": True}),
    close=(Call(method="PUT", path="/api/v2/tickets/{id}", body={"status": 4}),),
    reopen=(Call(method="PUT", path="/api/v2/tickets/{id}", body={"status": 2}),),
    priorities=(4, 3, 2, 1),
    needs=("requester",),
)

PRESETS: dict[str, Preset] = {"zammad": ZAMMAD, "glpi": GLPI, "freshservice": FRESHSERVICE}
"""By the `preset` of a channel. One more desk with an HTTP API: its table here, and a desk of its kind in the tests."""
