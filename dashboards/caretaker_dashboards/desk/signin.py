"""Signing in and out, and one's own account: pages that work without scripts, and with any password manager.

    pages = SignInPages(accounts, guard, shell.extended)     # guard.py says how it is all put together
    Starlette(routes=[*pages.routes(), ...])

A way to sign in over another service (OIDC) would be two more routes here, "to the provider" and "back from it", and
an adapter beside the two in collector/caretaker_collector/accounts/signon.py.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk.asked import own_path
from caretaker_dashboards.desk.cookies import Cookies
from caretaker_dashboards.desk.guard import Draws
from caretaker_dashboards.desk.guard_settings import GuardSettings
from caretaker_dashboards.desk.ports import Accounts, Refusal, SessionLine, Viewer
from caretaker_rules.reasons import duration

FIRST_ACCOUNT: Final = "caretaker account new NAME --role engineer"
DONE: Final = {
    "changed": "Your password was changed, and your other sessions have ended.",
    "ended": "That session has ended.",
    "others": "Your other sessions have ended.",
}
BUSY: Final = Refusal(
    text="Caretaker is busy and could not look you up. Nothing was changed. Please try again in a minute.", wait_s=60
)


class AccountsOfPages(Accounts, Protocol):
    """What these pages need beside what the guard does."""

    def none_yet(self) -> bool:
        """Whether there is no account at all."""
        ...

    def sessions(self, cookie: str) -> list[SessionLine]:
        """All sessions of the person who has this cookie, this one first."""
        ...

    async def end_sessions(self, cookie: str, id_: str = "") -> int:
        """End one of the person's other sessions, or all others for ""; how many there were."""
        ...


class SignInPages:
    """The routes; the guard stands in front of them."""

    def __init__(self, accounts: AccountsOfPages, guard: GuardSettings, draw: Draws) -> None:
        self._accounts, self._guard, self._draw = accounts, guard, draw
        self._cookies = Cookies(guard.https)

    def routes(self) -> list[BaseRoute]:
        """For the application behind the guard."""
        return [
            Route("/sign-in", self._ask, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/account", self._account, methods=["GET"]),
            Route("/account", self._change, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        path, out = own_path(request.query_params.get("next", "/")), "out" in request.query_params
        if request.state.viewer is not None and not out:
            return RedirectResponse(path, 303)
        return self._form(request, path, out=out)

    async def _sign_in(self, request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=20)
        path = own_path(str(fields.get("next", "/")))
        name, password = str(fields.get("name", "")), str(fields.get("password", ""))
        if not name.strip() or not password:
            return self._form(request, path, name=name, refusal=Refusal(text="Give both your name and your password."))
        try:
            answer = await self._accounts.sign_in(name, password, request.client.host if request.client else "")
            if not isinstance(answer, Refusal) and request.state.cookie:
                await asyncio.to_thread(self._accounts.sign_out, request.state.cookie)
        except Unavailable:
            answer = BUSY
        if isinstance(answer, Refusal):
            return self._form(request, path, name=name, refusal=answer)
        response = RedirectResponse("/account" if answer.viewer.must_change else path, 303)
        response.headers.append("Set-Cookie", self._cookies.session(answer))
        return response

    async def _sign_out(self, request: Request) -> Response:
        if request.state.cookie:
            try:
                await asyncio.to_thread(self._accounts.sign_out, request.state.cookie)
            except Unavailable:
                return self._own(request, refusal=BUSY)
        response = RedirectResponse("/sign-in?out=1", 303)
        response.headers.append("Set-Cookie", self._cookies.no_session())
        return response

    async def _account(self, request: Request) -> Response:
        return self._own(request, said=DONE.get(request.query_params.get("done", ""), ""))

    async def _change(self, request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=20)
        done, refusal = "", None
        cookie, what = request.state.cookie, str(fields.get("do", ""))
        try:
            if what == "password":
                done, refusal = "changed", await self._password(cookie, fields)
            elif what == "end":
                id_ = str(fields.get("session", ""))
                if not id_ or not await self._accounts.end_sessions(cookie, id_):
                    refusal = Refusal(text="That session has ended already.")
                done = "ended"
            elif what == "others":
                await self._accounts.end_sessions(cookie)
                done = "others"
            else:
                refusal = Refusal(text="That cannot be done here. Nothing was changed.")
        except Unavailable:
            refusal = BUSY
        return self._own(request, refusal=refusal) if refusal else RedirectResponse(f"/account?done={done}", 303)

    async def _password(self, cookie: str, fields: Mapping[str, Any]) -> Refusal | None:
        old, new, again = (str(fields.get(name, "")) for name in ("old", "new", "again"))
        if new != again:
            return Refusal(text="The new password and its repetition are not the same. Nothing was changed.")
        return await self._accounts.change_password(cookie, old, new)

    def _form(
        self, request: Request, path: str, name: str = "", refusal: Refusal | None = None, out: bool = False
    ) -> Response:
        status, headers = _status(refusal)
        return self._draw(
            request,
            "sign-in.html",
            "Not signed in" if refusal else "Sign in",
            status,
            headers,
            csrf=request.state.csrf,
            next_path=path,
            name=name[:40],
            refusal=refusal.text if refusal else "",
            out=out,
            none_yet=self._accounts.none_yet(),
            first_account=FIRST_ACCOUNT,
            by_header=bool(self._guard.header),
        )

    def _own(self, request: Request, said: str = "", refusal: Refusal | None = None) -> Response:
        viewer: Viewer = request.state.viewer
        schools = ", ".join(viewer.who.schools) if viewer.who.schools is not None else "all schools"
        status, headers = _status(refusal)
        return self._draw(
            request,
            "account.html",
            "Not done" if refusal else "Your account",
            status,
            headers,
            csrf=viewer.csrf,
            schools=schools,
            sessions=[
                (line.id, line.this, duration(line.began_s), duration(line.used_s))
                for line in self._accounts.sessions(request.state.cookie)
            ],
            said=said,
            refusal=refusal.text if refusal else "",
        )


def _status(refusal: Refusal | None) -> tuple[int, dict[str, str]]:
    if refusal is None:
        return 200, {}
    if not refusal.wait_s:
        return 403, {}
    return 503 if refusal is BUSY else 429, {"Retry-After": str(refusal.wait_s)}
