"""The desk's two cookies: that of a session, and that of a form which somebody fills in before there is one.

Both are HttpOnly and SameSite=Lax: with Strict a link in a mail would lead somebody who has signed in to the sign-in
page. Lax sends a cookie along with other sites' links only, which change nothing; what changes something needs the
token of its form and comes from our own pages (guard.py). On https they are Secure and carry the prefix __Host-, which
browsers accept from this very host only. (On plain loopback http, any other server on the same machine sees them.)
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

from starlette.requests import cookie_parser

from caretaker_dashboards.desk.ports import SignedIn

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookies:
    """Reads and writes them. `secure`: people reach the desk by https."""

    def __init__(self, secure: bool) -> None:
        self._end = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        prefix = "__Host-" if secure else ""
        self.session_name = f"{prefix}caretaker"
        self.form_name = f"{prefix}caretaker-form"

    def read(self, headers: list[str]) -> tuple[str, str]:
        """The secrets of the session and of the form in Cookie headers; "" where there is none that could be ours."""
        found: dict[str, str] = {}
        for header in headers:
            found.update(cookie_parser(header))
        session, form = found.get(self.session_name, ""), found.get(self.form_name, "")
        return session if _SECRET.fullmatch(session) else "", form if _SECRET.fullmatch(form) else ""

    def session(self, signed_in: SignedIn) -> str:
        """Set-Cookie for a new session."""
        return f"{self.session_name}={signed_in.cookie}; Max-Age={signed_in.max_age_s}{self._end}"

    def form(self, secret: str) -> str:
        """Set-Cookie for the form of somebody who has not signed in; it goes with the browser."""
        return f"{self.form_name}={secret}{self._end}"

    def no_session(self) -> str:
        """Set-Cookie that takes the session's away."""
        return f"{self.session_name}=; Max-Age=0{self._end}"


def new_secret() -> str:
    """256 random bits as text for a cookie."""
    return secrets.token_urlsafe(32)


def token_of_form(secret: str) -> str:
    """The token that belongs into a form whose cookie has this secret; the secret cannot be told from it."""
    return hashlib.sha256(b"caretaker form " + secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two tokens are the same, in a time that tells nothing."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
