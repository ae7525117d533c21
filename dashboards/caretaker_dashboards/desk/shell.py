"""How a page is made: a template fills the main part, the shell (base.html) goes round it.

The main part holds nothing of a session, so it is made once for all who may see the same, and is kept until something
of its topic changes, or a minute is over (for "left" and "ago"). 200 open pages of one school cost one rendering.
"""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from caretaker_dashboards.desk import words
from caretaker_dashboards.desk.assets import Assets
from caretaker_dashboards.desk.ports import Viewer
from caretaker_dashboards.states import LOOK, LOOKS
from caretaker_rules.roles import Permission

MOST_KEPT_BYTES: Final = 64_000_000
"""Of main parts that are kept; the ones that nobody asked for the longest go first."""
PRIVATE: Final = {"Cache-Control": "no-store", "Vary": "HX-Request"}
"""A page shows what only some may see: no browser keeps it for the next person at this machine."""


def environment() -> Environment:
    """Jinja with the desk's words; everything is escaped, and a name that is not there is an error."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "clock",
        "ago",
        "left",
        "lasting",
        "kwh",
        "kwh_range",
        "day",
        "short_day",
        "verdict",
        "tame",
        "in_words",
    ):
        env.filters[name] = getattr(words, name)
    env.globals.update(
        path=words.path,
        place_path=words.place_path,
        plural=words.plural,
        soon=words.soon,
        machine_time=words.machine_time,
        letters=words.LETTERS,
        looks=LOOKS,
        look=LOOK,
    )
    return env


class Main:
    """The main part of a page: its template and what goes into it."""

    __slots__ = ("as_of", "charts", "template", "title", "topic", "values")

    def __init__(self, template: str, title: str, topic: str = "", charts: bool = False, **values: Any) -> None:
        self.template = template
        self.title = title  # of the window; the product's name is added
        self.topic = topic  # what it is live on; "": on nothing
        self.charts = charts  # whether the shell loads what draws them
        self.values = values
        view = values.get("view")
        self.as_of = "" if view is None else words.clock(view.now_ms, view.zone, view.now_ms)


class _Kept:
    """A main part that was made."""

    __slots__ = ("body", "etag", "main")

    def __init__(self, body: str, main: Main, etag: str) -> None:
        self.body, self.etag = body, etag
        self.main = Main(main.template, main.title, main.topic, main.charts)  # without the values: they are in the body
        self.main.as_of = main.as_of


class Shell:
    """Makes pages, and keeps their main parts."""

    def __init__(self, env: Environment | None = None, assets: Assets | None = None) -> None:
        self.assets = assets or Assets()
        self.env = env or environment()
        self.env.globals["asset"] = self.assets.address
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.kept_bytes = 0  # of main parts that are kept
        self._being_made: dict[str, asyncio.Task[_Kept]] = {}
        self.made = 0  # main parts that were rendered: for tests and benchmarks

    def page(
        self, request: Request, main: Main, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A page that is made anew each time: forms, answers, faults, and whatever is not live."""
        body = self._render(main, viewer_of(request))
        return self._answer(request, _Kept(body, main, ""), status, headers)

    async def live(self, request: Request, key: tuple[object, ...], make: Callable[[], Awaitable[Main]]) -> Response:
        """A page that is kept under `key` (its mark and minute, address and all that it depends on) and who sees it.

        A request that brings the ETag of what it shows gets 304 and costs nothing.
        """
        viewer = viewer_of(request)
        name = _digest((*key, *_scope(viewer)))
        if _etag(name) in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={**PRIVATE, "ETag": _etag(name)})
        kept = self._kept.get(name)
        if kept is None:
            kept = await self._once(name, make, viewer)
        else:
            self._kept.move_to_end(name)
        return self._answer(request, kept, 200, None)

    async def _once(self, name: str, make: Callable[[], Awaitable[Main]], viewer: Viewer | None) -> _Kept:
        """Make it once, however many ask at the same moment; the others wait for it."""
        task = self._being_made.get(name)
        if task is None:
            task = asyncio.create_task(self._make(name, make, viewer))
            self._being_made[name] = task
            task.add_done_callback(lambda _: self._being_made.pop(name, None))
        return await asyncio.shield(task)  # who goes away does not take it from the others

    async def _make(self, name: str, make: Callable[[], Awaitable[Main]], viewer: Viewer | None) -> _Kept:
        main = await make()
        body = await asyncio.to_thread(self._render, main, viewer)
        self.made += 1
        kept = _Kept(body, main, _etag(name))
        self._kept[name] = kept
        self.kept_bytes += len(body)
        while self.kept_bytes > MOST_KEPT_BYTES and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self.kept_bytes -= len(gone.body)
        return kept

    def _render(self, main: Main, viewer: Viewer | None) -> str:
        may = frozenset() if viewer is None else viewer.who.may
        return self.env.get_template(main.template).render(main.values, may=may, Permission=Permission)

    def _answer(self, request: Request, kept: _Kept, status: int, headers: Mapping[str, str] | None) -> Response:
        """The main part alone for a script of ours that asks (HX-Request), else with the shell round it."""
        given = {**PRIVATE, **(headers or {})}
        if kept.etag:
            given["ETag"] = kept.etag
        if request.headers.get("hx-request") == "true":
            # ASCII: a header takes nothing else.
            given["X-Page"] = json.dumps({"title": kept.main.title, "as_of": kept.main.as_of})
            return HTMLResponse(kept.body, status, given)
        return HTMLResponse(self.around(request, kept.body, kept.main), status, given)

    def around(self, request: Request, body: str, main: Main) -> str:
        """The whole page round a main part."""
        values = self.base_values(request, main.title, main.topic, main.charts) | {"as_of": main.as_of}
        # Markup: the main part is our own rendering, escaped where it was made.
        return self.env.get_template("base.html").render(values | {"main": Markup(body)})  # noqa: S704

    def base_values(self, request: Request, title: str, topic: str = "", charts: bool = False) -> dict[str, Any]:
        """What base.html needs, for pages that extend it."""
        viewer = viewer_of(request)
        return {
            "title": title,
            "topic": topic,
            "charts": charts,
            "as_of": "",
            "here": request.url.path,
            "viewer": viewer,
            "may": frozenset() if viewer is None else viewer.who.may,
            "Permission": Permission,
            "main": "",
        }

    def extended(
        self,
        request: Request,
        template: str,
        title: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """A page whose template extends base.html itself, such as the one to sign in."""
        body = self.env.get_template(template).render(self.base_values(request, title) | values)
        return HTMLResponse(body, status, {**PRIVATE, **(headers or {})})


def viewer_of(request: Request) -> Viewer | None:
    """Who has signed in; the guard puts it there."""
    viewer = getattr(request.state, "viewer", None)
    return viewer if isinstance(viewer, Viewer) else None


def _scope(viewer: Viewer | None) -> tuple[object, ...]:
    if viewer is None:
        return (None,)
    return (sorted(viewer.who.may), viewer.who.schools and sorted(viewer.who.schools))


def _digest(key: tuple[object, ...]) -> str:
    return hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()


def _etag(name: str) -> str:
    return f'"{name}"'
