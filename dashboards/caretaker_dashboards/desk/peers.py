"""Who is at the other end: the direct peer, and the address that a trusted web server in front passes on.

The two must never be mixed up. A trusted header counts only from the *direct* peer, which nobody can forge over TCP; an
address that was passed on (X-Forwarded-For) is good enough to count requests by, and for nothing else. So the server
underneath must leave the direct peer alone (uvicorn: proxy_headers=False), and `Peers` stands in front of everything.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

PEER: Final = "caretaker.peer"
"""Key of the scope with the direct peer's address; "" for a local socket."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


class Peers:
    """ASGI: puts the direct peer into scope[PEER], and into scope["client"] whom it speaks for."""

    def __init__(self, app: ASGIApp, proxies: Iterable[str] = ()) -> None:
        self._app = app
        self._trusted = LOOPBACK | {plain(address) for address in proxies}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            peer = plain(client[0]) if client else ""
            scope = {**scope, PEER: peer}
            if peer in self._trusted and (address := self._forwarded(Headers(scope=scope))):
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)

    def _forwarded(self, headers: Headers) -> str:
        """The last address that is not itself a trusted server's; "" when none is given, or what is given is none."""
        for text in reversed(",".join(headers.getlist("x-forwarded-for")).split(",")):
            try:
                address = plain(str(ipaddress.ip_address(text.strip())))
            except ValueError:
                return ""
            if address not in self._trusted:
                return address
        return ""


def plain(address: str) -> str:
    """An address in one spelling: IPv4 that came over an IPv6 socket is IPv4."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
