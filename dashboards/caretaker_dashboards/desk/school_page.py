"""/s/SCHOOL: the page of a school about itself. Read only, in plain words, for a phone first.

    /s/ash               what is wrong, what is being done, what is planned, lessons, energy, the month so far
    /s/ash/planned.ics   what is planned, for people's own calendars
    /s/ash/feed.atom     what went wrong and was mended, and what is planned, for a feed reader

Who has signed in for the school sees it whole. Where `[desk]` names the school under `public_school_pages` everybody
may read it, but then it holds no name of a device and nothing that somebody typed: a reason may hold a person's name.
To everybody else it is a page that is not there.
"""

from typing import Final, Protocol
from xml.etree import ElementTree

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_dashboards.desk.faults import safely
from caretaker_dashboards.desk.plain_words import doing, what_is_wrong
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.school_views import SchoolPage
from caretaker_dashboards.desk.shell import Main, Shell, viewer_of
from caretaker_dashboards.desk.words import machine_time, path
from caretaker_rules.roles import Permission, Who

NOTHING: Final = "There is nothing here, or not for you."
ANYBODY: Final = "anybody"
_ATOM: Final = "http://www.w3.org/2005/Atom"


class Schools(Protocol):
    """Where the page comes from."""

    async def school_page(self, who: Who, school: str, public: bool) -> SchoolPage:
        """The page as `who` may see it. NotThere for no such school, or not for this person; Unavailable: later."""
        ...

    async def planned_feed(self, who: Who, school: str) -> bytes:
        """`planned.ics`: kind, place and time, no reasons. NotThere, Unavailable as above."""
        ...

    def mark(self, topic: str) -> str:
        """The newest mark of a topic, here of a school."""
        ...

    def now_ms(self) -> int:
        """The collector's time."""
        ...


def routes(
    schools: Schools, shell: Shell, open_schools: frozenset[str] = frozenset(), address: str = ""
) -> list[Route]:
    """The three addresses. `open_schools`: those whose page anybody may read; `address`: how people reach the desk."""
    pages = _Pages(schools, shell, open_schools, address)
    return [
        Route("/s/{school}", safely(shell, pages.page), methods=["GET"]),
        Route("/s/{school}/planned.ics", safely(shell, pages.planned), methods=["GET"]),
        Route("/s/{school}/feed.atom", safely(shell, pages.feed), methods=["GET"]),
    ]


class _Pages:
    def __init__(self, schools: Schools, shell: Shell, open_schools: frozenset[str], address: str) -> None:
        self._schools, self._shell, self._open, self._address = schools, shell, open_schools, address

    def _asking(self, request: Request) -> tuple[Who, str, bool]:
        """Who asks, for which school, and whether they get what everybody may read. The guard was asked before."""
        school = str(request.path_params["school"])
        viewer = viewer_of(request)
        if viewer is not None and viewer.who.allows(Permission.SEE, school):
            return viewer.who, school, False
        if school in self._open:
            return Who(name=ANYBODY, via="desk", may=frozenset({Permission.SEE}), schools=(school,)), school, True
        raise NotThere(NOTHING)

    async def page(self, request: Request) -> Response:
        who, school, public = self._asking(request)

        async def make() -> Main:
            view = await self._schools.school_page(who, school, public)
            return Main(
                "school-page.html",
                f"{view.title}: device health",
                "" if public else school,
                view=view,
                what_is_wrong=what_is_wrong,
                doing=doing,
                headline=headline(view),
                subscribe=school in self._open,
            )

        key = (self._schools.mark(school), "s", school, public, self._schools.now_ms() // 60_000)
        return await self._shell.live(request, key, make)

    async def planned(self, request: Request) -> Response:
        who, school, _ = self._asking(request)
        feed = await self._schools.planned_feed(who, school)
        headers = {"Content-Disposition": f'inline; filename="{school}.ics"'}
        return Response(feed, media_type="text/calendar; charset=utf-8", headers=headers)

    async def feed(self, request: Request) -> Response:
        # Always the public version: what reads feeds keeps them, and passes them on.
        who, school, _ = self._asking(request)
        view = await self._schools.school_page(who, school, True)
        # Not the request's own address: behind a web server with https that is another one.
        here = f"{self._address}{path('s', school)}/feed.atom"
        return Response(atom(view, here), media_type="application/atom+xml; charset=utf-8")


def headline(view: SchoolPage) -> tuple[str, str]:
    """The first line of the page, which answers its question; and how it is: good, warn or bad."""
    if view.blind:
        return "We cannot see the school's machines at the moment", "warn"
    if not view.heard and not view.troubles:
        return "We have not heard from any machine of the school yet", "warn"
    if not view.troubles:
        return "Everything we look after is well", "good"
    count = len(view.troubles)
    said = "One thing is not right" if count == 1 else f"{count} things are not right"
    return said, "bad" if any(trouble.late for trouble in view.troubles) else "warn"


def atom(view: SchoolPage, address: str) -> bytes:
    """What is wrong, what was mended and what is planned, the newest first; the same page gives the same bytes."""
    ElementTree.register_namespace("", _ATOM)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _add(feed, "id", f"urn:caretaker:{view.school}")
    _add(feed, "title", f"{view.title}: device health")
    entries = sorted((*_troubles(view), *_plans(view)), key=lambda entry: (-entry[1], entry[0]))
    _add(feed, "updated", machine_time(entries[0][1] if entries else 0, "UTC"))
    _add(_add(feed, "author"), "name", view.provider)
    link = ElementTree.SubElement(feed, f"{{{_ATOM}}}link")
    link.attrib.update(rel="self", href=address)
    page = address.removesuffix("/feed.atom")
    for key, at_ms, title, text in entries:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:caretaker:{view.school}:{key}")
        _add(entry, "title", title)
        _add(entry, "updated", machine_time(at_ms, "UTC"))
        ElementTree.SubElement(entry, f"{{{_ATOM}}}link", href=page)
        _add(entry, "summary", text)
    made: bytes = ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return made


def _troubles(view: SchoolPage) -> list[tuple[str, int, str, str]]:
    found = []
    for trouble in (*view.troubles, *view.mended):
        where = trouble.where or view.title
        title = f"{what_is_wrong(trouble)} ({where})"
        if trouble.fixed_ms is not None:
            found.append((trouble.key, trouble.fixed_ms, f"Mended: {title}", "It works again."))
        else:
            found.append((trouble.key, trouble.since_ms, title, doing(trouble)))
    return found


def _plans(view: SchoolPage) -> list[tuple[str, int, str, str]]:
    """Of what people planned, as of its beginning; wakes are daily bread, and are in planned.ics."""
    said = {"hold": "Kept on", "freeze": "Exam freeze", "maintenance": "Maintenance"}
    found = []
    for plan in view.plans:
        if plan.kind in said:
            times = f"From {machine_time(plan.from_ms, view.zone)} until {machine_time(plan.until_ms, view.zone)}."
            found.append((plan.key, plan.from_ms, f"{said[plan.kind]}: {plan.where or view.title}", times))
    return found


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    child = ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}")
    child.text = _printable(text) or None
    return child


def _printable(text: str) -> str:
    """XML has no characters for controls: a title that holds one must not break the feed."""
    return "".join(character for character in text if character >= " " and character not in "\ufffe\uffff")
