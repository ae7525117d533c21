"""Pages for when it does not work: what happened, what was kept, what to do."""

import traceback
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.shell import Main, Shell

log = structlog.get_logger()
Endpoint = Callable[[Request], Awaitable[Response]]

NOTHING_CHANGED: Final = "Nothing was changed."
_WHAT: Final = {
    400: (
        "That address cannot be meant",
        "Something in the address does not fit.",
        "Go back, or start from the estate.",
    ),
    403: (
        "You may not see this",
        "Your role does not reach this page.",
        "A manager of the provider can change your role, or do it for you.",
    ),
    404: (
        "There is nothing here, or not for you",
        "No school, room, machine or record of this name is yours to see. It may have been renamed or taken away.",
        "Look for it with the search, or start from the estate.",
    ),
    405: (
        "That cannot be done to this page",
        "The address exists, but not for what was asked of it.",
        "Go back and use the buttons of the page.",
    ),
    409: (
        "That cannot be done here now",
        "What was asked for does not fit this place, what it is doing now, or your role.",
        "Go back to the place; its buttons are what you can do there now.",
    ),
    500: (
        "Something went wrong in Caretaker",
        "The page could not be made. What went wrong is in the collector's log.",
        "Load the page again. If it happens twice, tell whoever runs the collector the time and the page.",
    ),
    503: (
        "That does not answer now",
        "A part of Caretaker did not answer in time. Machines, rules and records go on without this page.",
        "Load the page again in a minute. The estate page says how Caretaker itself is.",
    ),
}


def fault(
    shell: Shell, request: Request, status: int, said: tuple[str, ...] = (), kept: str = NOTHING_CHANGED
) -> Response:
    """The page for a status. `said` are lines of ours that say more."""
    title, happened, do = _WHAT[status]
    headers = {"Retry-After": "30"} if status == 503 else None
    main = Main("fault.html", title, heading=title, status=status, happened=happened, do=do, said=said, kept=kept)
    return shell.page(request, main, status, headers)


def safely(shell: Shell, endpoint: Endpoint) -> Endpoint:
    """An endpoint whose errors are pages. What is not one of ours is logged, and its text is not shown."""

    @wraps(endpoint)
    async def safe(request: Request) -> Response:
        kept = (
            NOTHING_CHANGED
            if request.method != "POST"
            else (
                "What was done before it went wrong is in the audit log and among the records; "
                "look there before you try again."
            )
        )
        try:
            return await endpoint(request)
        except NotThere:
            return fault(shell, request, 404)
        except ConfigError as error:
            return fault(shell, request, 400, tuple(error.faults))
        except Unavailable as error:
            log.warning("a page of the desk had to wait", path=request.url.path, reason=str(error))
            return fault(shell, request, 503, kept=kept)
        except Exception as error:
            # Where it went wrong, and no more: what stood in variables there may be a session's token.
            trace = "".join(traceback.format_exception(error))
            log.error("a page of the desk failed", path=request.url.path, trace=trace)
            return fault(shell, request, 500, kept=kept)

    return safe
