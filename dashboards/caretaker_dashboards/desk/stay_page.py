"""/rooms/SCHOOL/ROOM/stay: a room's link with its QR code, to print for the wall.

Who may keep machines on there may see it: whoever has the link may hold the room. Making a link and taking it back are
actions like any other (`stay_link`, `revoke_stay_link`).
"""

from typing import Protocol

from markupsafe import Markup
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from caretaker_dashboards.desk import stay_sheet
from caretaker_dashboards.desk.faults import fault, safely
from caretaker_dashboards.desk.shell import Main, Shell, viewer_of
from caretaker_dashboards.desk.views import Offer
from caretaker_rules.roles import Permission, Who


class StayLink(Struct, frozen=True, kw_only=True):
    """The link of a room. `link` "": none was made yet, or it was taken back."""

    school: str
    school_title: str
    room: str
    title: str
    link: str
    stay: str  # for how long it keeps the room on: "an hour"
    works: bool  # False: settings have stay_links = false, and the link answers 404


class StayLinks(Protocol):
    """Where links come from."""

    async def stay_link(self, who: Who, school: str, room: str) -> StayLink:
        """The link of a room. NotThere: no such room, or not for this person; Unavailable: later."""
        ...


def routes(links: StayLinks, shell: Shell) -> list[Route]:
    """The page."""

    async def show(request: Request) -> Response:
        viewer = viewer_of(request)
        school, room = (str(request.path_params[name]) for name in ("school", "room"))
        if viewer is None or not (viewer.who.may & {Permission.HOLD, Permission.ADMINISTER}):
            return fault(shell, request, 403)
        found = await links.stay_link(viewer.who, school, room)
        heading, place = stay_sheet.heading(found.title), f"{school}/{room}"
        picture = stay_sheet.qr_svg(found.link, f"QR code of {found.link}") if found.link else ""
        offer = (
            Offer(action="revoke_stay_link", label="Take the link back", place=place)
            if found.link
            else Offer(action="stay_link", label="Make a link", place=place)
        )
        main = Main(
            "stay-sheet.html",
            heading,
            found=found,
            heading=heading,
            sentences=stay_sheet.sentences(found.stay),
            picture=Markup(picture),  # noqa: S704 (our own drawing; the link in it is escaped)
            offers=[offer] if viewer.who.allows(Permission.ADMINISTER, school) else [],
        )
        return shell.page(request, main)

    return [Route("/rooms/{school}/{room}/stay", safely(shell, show), methods=["GET"])]
