"""/act/{action}: a form that asks, a preview of what it touches, and the answer. Only a POST with a token acts."""

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from caretaker_contract.errors import ConfigError
from caretaker_dashboards.desk.cookies import new_secret
from caretaker_dashboards.desk.faults import fault, safely
from caretaker_dashboards.desk.ports import Acts, Data, NotThere, Viewer
from caretaker_dashboards.desk.shell import PRIVATE, Main, Shell, viewer_of
from caretaker_dashboards.desk.views import Answered, Form

OURS: Final = frozenset({"csrf", "place", "settled", "once"})
"""Names of the form that are no fields of the action."""
MOST_FIELDS: Final = 30
LONGEST_VALUE: Final = 2_000
TWICE_S: Final = 60.0
"""The same form sent again so soon after is a second click, not a second wish: it gets the answer of the first."""
MOST_REMEMBERED: Final = 2_000


class Acting:
    """The three routes of every action."""

    def __init__(self, data: Data, acts: Acts, shell: Shell) -> None:
        self._data = data
        self._acts = acts
        self._shell = shell
        self._sent: dict[tuple[object, ...], tuple[float, asyncio.Task[Answered]]] = {}

    def routes(self) -> list[BaseRoute]:
        """Asking with GET changes nothing."""
        return [
            Route("/act/{action}", safely(self._shell, self._ask), methods=["GET"]),
            Route("/act/{action}", safely(self._shell, self._do), methods=["POST"]),
            Route("/act/{action}/preview", safely(self._shell, self._preview), methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        action, fields = request.path_params["action"], _fields(request.query_params)
        place = request.query_params.get("place", "")
        try:
            form = self._acts.form(viewer.who, action, place, fields)
        except ConfigError as error:
            return fault(self._shell, request, 409, tuple(error.faults))
        filled = {field.name: field.value for field in form.fields} | fields
        return self._shell.page(request, await self._form(viewer, form, filled))

    async def _form(self, viewer: Viewer, form: Form, fields: Mapping[str, str], faults: tuple[str, ...] = ()) -> Main:
        seen, wrong = None, ""
        try:
            seen = await self._acts.preview(viewer.who, form.action, form.place, fields)
        except ConfigError as error:
            wrong = "; ".join(error.faults)
        return Main(
            "act.html",
            form.title,
            form=form,
            again=False,
            csrf=viewer.csrf,
            once=new_secret(),
            seen=seen,
            wrong=wrong,
            faults=faults,
        )

    async def _preview(self, request: Request) -> Response:
        """The part of the form that says what it would touch."""
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        sent = await _sent(request)
        settled = bool(sent.get("settled"))
        action, place, fields = request.path_params["action"], sent.get("place", ""), _fields(sent)
        form: Form | None = None
        seen: Answered | None = None
        wrong = ""
        try:
            form = self._acts.form(viewer.who, action, place, fields)
            seen = await self._acts.preview(viewer.who, action, place, fields)
        except ConfigError as error:
            wrong = "; ".join(error.faults)
        if not settled and seen is not None and seen.incomplete:
            # Somebody is in the middle of typing "18:00": what was said before stays until they have left the field.
            return Response(status_code=204, headers=PRIVATE)
        main = Main("act_preview_again.html", "What it would touch", seen=seen, wrong=wrong, form=form, again=True)
        return self._shell.page(request, main)

    async def _do(self, request: Request) -> Response:
        viewer = viewer_of(request)
        if viewer is None:
            return fault(self._shell, request, 403)
        action, sent = request.path_params["action"], await _sent(request)
        place, fields = sent.get("place", ""), _fields(sent)
        try:
            answered = await self._once(viewer, action, place, fields, sent.get("once", "")[:64])
        except ConfigError as error:
            answered = Answered(lines=list(error.faults), ok=False)
        if not answered.ok:
            # The form again, so that what was typed is not lost.
            try:
                form = self._acts.form(viewer.who, action, place, fields)
            except ConfigError:
                return self._shell.page(request, self._told(viewer, action, place, answered), 409)
            return self._shell.page(request, await self._form(viewer, form, fields, tuple(answered.lines)), 409)
        return self._shell.page(request, self._told(viewer, action, place, answered))

    async def _once(self, viewer: Viewer, action: str, place: str, fields: dict[str, str], form: str) -> Answered:
        """Do it; `form` names the one form that was sent, "" for none. ConfigError as `act`."""
        if not form:
            return await self._acts.act(viewer.who, action, place, fields)
        now_s = asyncio.get_running_loop().time()
        for old in [key for key, (at_s, _) in self._sent.items() if now_s - at_s > TWICE_S]:
            del self._sent[old]
        while len(self._sent) >= MOST_REMEMBERED:
            del self._sent[next(iter(self._sent))]
        key = (viewer.csrf, action, place, tuple(sorted(fields.items())), form)
        if key not in self._sent:

            async def act() -> Answered:
                return await self._acts.act(viewer.who, action, place, fields)

            self._sent[key] = (now_s, asyncio.ensure_future(act()))
        return await asyncio.shield(self._sent[key][1])  # who goes away does not take it from the second click

    def _told(self, viewer: Viewer, action: str, place: str, answered: Answered) -> Main:
        try:
            title = self._acts.form(viewer.who, action, place, {}).title
        except (NotThere, ConfigError):
            title = "Done"  # what was acted on is no more, such as a record that was ended
        return Main(
            "act_done.html",
            title if answered.ok else f"Not done: {title}",
            title_of=title,
            answered=answered,
            place=place,
        )


async def _sent(request: Request) -> Mapping[str, str]:
    """What a form sent; files are not taken."""
    async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST_VALUE] for name, value in given.items() if name not in OURS}
