"""A desk without a collector: rich or empty views in memory, for tests of pages and for looking at them.

    python tests/desk_stub.py --port 8700 --schools 3          # --hostile, --empty, --role viewer

`StubData(schools=3)` has every state and incident; `hostile=True` names things with markup, quotes, right-to-left text
and emoji; `empty=True` is a collector that knows nothing yet. `StubActs` writes what it did into `acted`.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Literal

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk import web
from caretaker_dashboards.desk.ports import NotThere, Viewer
from caretaker_dashboards.desk.shell import Shell
from caretaker_dashboards.desk.views import (
    Answered,
    Field,
    Form,
    Offer,
)
from caretaker_rules.roles import ROLE_MAY, Permission, Role, Who
from desk_stub_data import HOSTILE, HOUR_MS, MIN_MS, NOW_MS, StubData, minute

__all__ = [
    "CSP",
    "CSRF",
    "HOSTILE",
    "MIN_MS",
    "NOW_MS",
    "Guard",
    "StubActs",
    "StubData",
    "desk",
    "minute",
    "viewer",
    "who",
]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
CSRF = "stub-csrf-token"


def who(role: Role = Role.MANAGER, schools: tuple[str, ...] | None = None) -> Who:
    """Somebody who has signed in at the desk."""
    return Who(name="K. Mensah", via="desk", may=ROLE_MAY[role], schools=schools)


def viewer(role: Role = Role.MANAGER, schools: tuple[str, ...] | None = None) -> Viewer:
    """Their session."""
    return Viewer(
        who=who(role, schools), role=role.value, title="K. Mensah", csrf=CSRF, expires_ms=NOW_MS + 8 * HOUR_MS
    )


class StubActs:
    """`Acts` of desk/ports.py: knows a few actions, does them to a list."""

    def __init__(self, data: StubData) -> None:
        self.data = data
        self.acted: list[tuple[str, str, dict[str, str]]] = []
        self.previewed: list[tuple[str, str, dict[str, str]]] = []

    def offers(
        self, who: Who, kind: Literal["estate", "school", "room", "device", "incident", "record"], place: str
    ) -> Sequence[Offer]:
        if kind == "incident":
            found = [
                ("acknowledge", "Take it", "incidents"),
                ("note", "Note", "incidents"),
                ("merge", "Merge", "incidents"),
                ("pause", "Pause the clock", "incidents"),
                ("fix", "Fixed", "incidents"),
            ]
        elif kind == "record":
            found = [("end", "End now", "hold"), ("copy", "Copy", "hold")]
        elif kind == "estate":
            found = [("maintenance", "Plan work", "records"), ("stop", "Stop everything", "stop")]
        else:
            found = [
                ("hold", "Keep on", "hold"),
                ("wake", "Wake", "switch"),
                ("shut_down", "Shut down", "switch"),
                ("freeze", "Exam freeze", "records"),
                ("stop", "Stop rules here", "stop"),
            ]
        if place in self.data.names and self.data.row(place).stopped:
            found = [("resume", "Start the rules again", "stop"), *(one for one in found if one[0] != "stop")]
        school = None if kind in ("estate", "incident", "record") else place.partition("/")[0]
        allowed = [
            (a, b)
            for a, b, need in found
            if (who.schools and kind == "record") or who.allows(Permission(need), school or (who.schools or (None,))[0])
        ]
        return [
            Offer(action=action, label=label, place=place, fields={"for": "1 h"} if action == "hold" else {})
            for action, label in allowed
        ]

    def _check(self, who: Who, action: str, place: str) -> str:
        if action not in (
            "acknowledge",
            "note",
            "merge",
            "pause",
            "fix",
            "end",
            "copy",
            "maintenance",
            "stop",
            "hold",
            "wake",
            "shut_down",
            "freeze",
            "release",
            "resume",
        ):
            raise NotThere(action)
        school = place.partition("/")[0]
        if (
            place != "all"
            and not place.isdigit()
            and (school not in self.data.names or not who.allows(Permission.SEE, school))
        ):
            raise NotThere(place)
        return (
            self.data.title(school)
            if school in self.data.names
            else "the whole estate"
            if place == "all"
            else f"number {place}"
        )

    def form(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Form:
        title = self._check(who, action, place)
        asked = [
            Field(
                name="reason",
                label="Reason",
                kind="area",
                value=fields.get("reason", ""),
                help="It goes into the log, for the next person.",
            )
        ]
        if action == "hold":
            asked.insert(
                0,
                Field(
                    name="for",
                    label="How long",
                    kind="choice",
                    value=fields.get("for", "1 h"),
                    choices=[("1 h", "for an hour"), ("2 h", "for two hours"), ("day", "until midnight")],
                ),
            )
        if action == "shut_down":
            warned = fields.get("warn_s", "120")
            asked.append(Field(name="warn_s", label="Seconds of warning", kind="number", value=warned, required=False))
        if action in ("maintenance", "freeze"):
            asked[:0] = [
                Field(
                    name="from",
                    label="From",
                    kind="time",
                    value=fields.get("from", "18:00"),
                    help='"18:00" or "2026-10-06 18:00"',
                ),
                Field(name="day", label="Day", kind="day", value=fields.get("day", "2026-10-10")),
                Field(name="times", label="How often", kind="number", value=fields.get("times", "1"), required=False),
                Field(
                    name="quiet",
                    label="Tell nobody of what happens meanwhile",
                    kind="check",
                    value=fields.get("quiet", ""),
                    required=False,
                ),
            ]
        danger = action in ("shut_down", "stop")
        words = {"shut_down": "Shut down", "hold": "Keep on", "wake": "Wake", "stop": "Stop the rules of"}.get(
            action, action.replace("_", " ").capitalize()
        )
        return Form(
            action=action,
            title=f"{words}: {title}",
            place=place,
            place_title=title,
            fields=asked,
            button=words,
            explains="Asks each machine to shut down; one that is in use, held or frozen says no."
            if danger
            else "It is written down, and ends by itself.",
            danger=danger,
        )

    async def preview(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        self._check(who, action, place)
        self.previewed.append((action, place, dict(fields)))
        if fields.get("warn_s") == "1":
            return Answered(lines=["31 machines in ICT1", "Warning has to be at least 30."], incomplete=True)
        if len(fields.get("reason", "")) > 200:
            raise ConfigError(["reason: 200 characters at most"])
        return Answered(
            lines=[
                "31 machines in ICT1, 4 in use: those stay on.",
                f"For {fields.get('for', 'an hour')}; then the rules decide again.",
            ],
            count=27 + 4 * (fields.get("warn_s") == "60") if action == "shut_down" else None,
        )

    async def act(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
        self._check(who, action, place)
        if not fields.get("reason", "").strip():
            raise ConfigError(["reason: say why, in a few words"])
        self.acted.append((action, place, dict(fields)))
        if fields["reason"] == "refuse":
            return Answered(
                lines=["Refused: exam freeze until Fri 20 Nov.", "A manager can end the freeze first."], ok=False
            )
        undo = Offer(action="release", label="Undo", place=place) if action in ("hold", "stop") else None
        return Answered(
            lines=["Done: 27 machines are kept on until 17:42.", "4 were in use and stay on anyway."],
            link="/records#record-4",
            undo=undo,
        )


class Guard:
    """A guard that lets everybody in: puts a viewer into the state, and sets the content security policy."""

    def __init__(self, app: ASGIApp, viewer: Viewer | None) -> None:
        self.app, self.viewer = app, viewer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            scope.setdefault("state", {})["viewer"] = self.viewer

            async def secure(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"content-security-policy", CSP.encode())]
                await send(message)

            await self.app(scope, receive, secure)
        else:
            await self.app(scope, receive, send)


def desk(
    data: StubData | None = None,
    acts: StubActs | None = None,
    signed_in: Viewer | None = None,
    shell: Shell | None = None,
) -> Starlette:
    """A desk over stubs, for somebody who has signed in (a manager unless another viewer is given)."""
    data, shell = data or StubData(), shell or Shell()
    routes = web.routes(data, acts or StubActs(data), None, shell)
    middleware = [Middleware(Guard, viewer=signed_in or viewer())]
    return Starlette(routes=[*routes, *web.unknown(shell)], middleware=middleware)


def main() -> None:
    """Serve it on loopback, with a clock that stands still."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--schools", type=int, default=3)
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--down", action="store_true")
    parser.add_argument("--role", default="manager")
    args = parser.parse_args()
    data = StubData(args.schools, hostile=args.hostile, empty=args.empty, down=args.down)
    schools = ("ash",) if args.role == "director" else None
    uvicorn.run(
        desk(data, signed_in=viewer(Role(args.role), schools)), host="127.0.0.1", port=args.port, log_level="warning"
    )


if __name__ == "__main__":
    main()
