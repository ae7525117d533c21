"""What can be told from a request: where it was going, whether a browser shows its answer, who asked for it."""

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope


def own_path(text: str) -> str:
    """`text` if it is a path of the desk to go on to, else "/". Browsers read "//", "/\\" and tabs in their own way."""
    plain = text.startswith("/") and not text.startswith("//") and len(text) <= 1000
    if not plain or "\\" in text or not all("!" <= character <= "~" for character in text):
        return "/"
    return "/" if text.startswith(("/sign-in", "/sign-out")) else text


def sign_in_path(path: str) -> str:
    """The sign-in page that leads back to a path."""
    back = own_path(path)
    return "/sign-in" if back == "/" else f"/sign-in?next={quote(back, safe='/')}"


def name_of(host: str) -> str:
    """The name in a Host header: lower case, without port, brackets and a last dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def whole_path(scope: Scope) -> str:
    """Path and query as they were sent."""
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def for_a_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser will show the answer as a page, as far as can be told; not what a script or a stream asks."""
    accept = headers.get("accept", "*/*")
    if headers.get("sec-fetch-dest", "document") != "document" or "hx-request" in headers:
        return False
    return "text/html" in accept or "*/*" in accept


def live(headers: Headers) -> bool:
    """Whether a page asks by itself, with nobody doing anything."""
    return "x-caretaker-live" in headers or "text/event-stream" in headers.get("accept", "")
