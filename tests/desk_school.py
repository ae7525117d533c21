"""Pages of schools about themselves over stubs: full, empty, blind, with hostile names; for tests and for looking."""

from collections.abc import Mapping

from msgspec import structs
from starlette.applications import Starlette
from starlette.middleware import Middleware

from caretaker_contract.errors import Unavailable
from caretaker_dashboards.desk import school_page, stay_page, web
from caretaker_dashboards.desk.ports import NotThere, Viewer
from caretaker_dashboards.desk.school_views import (
    EnergyDay,
    EnergyMonth,
    LessonsNow,
    MonthSoFar,
    Plan,
    RoomNow,
    SchoolPage,
    Trouble,
)
from caretaker_dashboards.desk.shell import Shell
from caretaker_dashboards.desk.stay_page import StayLink
from caretaker_rules.findings import FindingKind
from caretaker_rules.roles import Permission, Who
from desk_stub import HOSTILE, HOUR_MS, MIN_MS, NOW_MS, Guard, StubActs, StubData

DAY_MS = 24 * HOUR_MS
LINK = "https://desk.example/stay/abcDEF_123-xyz789AbCdEf"
SECRETS = ("sw-ict1-secret", "Mrs Typed-Name", "Mr Reason-Name")
"""What the public version must not hold: a device, what somebody reported, why somebody holds a room."""


def trouble(kind: FindingKind, **more: object) -> Trouble:
    """An incident, with everything that can be said of it unless it is said otherwise."""
    known: dict[str, object] = {
        "key": kind.value, "kind": kind, "thing": "desktop", "where": "ICT suite 1", "machines": 1,
        "since_ms": NOW_MS - 2 * HOUR_MS, "due_ms": NOW_MS + HOUR_MS, "late": False, "taken": True, "waiting": False,
        "fixed_ms": None, "number": 12, "device": SECRETS[0], "said": "",
    }  # fmt: skip
    return Trouble(**(known | more))  # type: ignore[arg-type]


def full(title: str = "Ashfield Secondary", room: str = "ICT suite 1") -> SchoolPage:
    """A school with everything on it."""
    return SchoolPage(
        now_ms=NOW_MS,
        zone="Europe/London",
        school="ash",
        title=title,
        provider="Borough ICT",
        public=False,
        blind=False,
        stopped=True,
        machines=328,
        heard=320,
        troubles=[
            trouble(FindingKind.LINK_DOWN, thing="switch", where=room, machines=31, late=True),
            trouble(FindingKind.REPORTED, thing="", where="", taken=False, due_ms=None, said=SECRETS[1]),
            trouble(FindingKind.LOST, thing="access_point", where=room, waiting=True, due_ms=None, number=14),
        ],
        mended=[trouble(FindingKind.DISK_FULL, where=room, fixed_ms=NOW_MS - DAY_MS)],
        plans=[
            Plan(
                key="h",
                kind="hold",
                where=room,
                some=False,
                from_ms=NOW_MS - HOUR_MS,
                until_ms=NOW_MS + HOUR_MS,
                reason=SECRETS[2],
            ),
            Plan(
                key="w",
                kind="wake",
                where=room,
                some=False,
                from_ms=NOW_MS + 15 * HOUR_MS,
                until_ms=NOW_MS + 16 * HOUR_MS,
                needed_ms=NOW_MS + 16 * HOUR_MS,
            ),
            Plan(
                key="f",
                kind="freeze",
                where="",
                some=True,
                from_ms=NOW_MS + 2 * DAY_MS,
                until_ms=NOW_MS + 3 * DAY_MS,
                reason=SECRETS[2],
            ),
            Plan(
                key="m",
                kind="maintenance",
                where=room,
                some=False,
                from_ms=NOW_MS + DAY_MS,
                until_ms=NOW_MS + 2 * DAY_MS,
            ),
        ],
        lessons=LessonsNow(
            known=True,
            rooms=[
                RoomNow(title=room, ready=29, total=30, enough=True),
                RoomNow(title="Library", ready=2, total=12, enough=False),
            ],
            next_ms=NOW_MS + 70 * MIN_MS,
            next_rooms=["Library", "Science 3"],
        ),
        week=[
            EnergyDay(day="2026-10-05", under_way=False, used_kwh=212.4, avoided_kwh=(44.2, 61.0, 79.9)),
            EnergyDay(day="2026-10-06", under_way=True, used_kwh=98.0, avoided_kwh=None),
        ],
        energy_month=EnergyMonth(until="2026-10-05", used_kwh=812.0, avoided_kwh=(205.0, 240.0, 301.0)),
        months=[
            MonthSoFar(
                title="October 2026",
                level="Enhanced service",
                illustrative=True,
                availability="99.93 % (99.12 to 99.93 %)",
                target="99.50 %",
                verdict="met",
            )
        ],
    )


def empty() -> SchoolPage:
    """A school of which nothing is known yet."""
    return SchoolPage(
        now_ms=NOW_MS,
        zone="Europe/London",
        school="ash",
        title="Ashfield",
        provider="Borough ICT",
        public=False,
        blind=False,
        stopped=False,
        machines=0,
        heard=0,
        troubles=[],
        mended=[],
        plans=[],
        lessons=LessonsNow(known=False, rooms=[], next_ms=None, next_rooms=[]),
        week=[EnergyDay(day="2026-10-05", under_way=True, used_kwh=None, avoided_kwh=None)],
        energy_month=None,
        months=[],
    )


BLIND = structs.replace(empty(), heard=20, machines=20, blind=True)


def hostile() -> SchoolPage:
    """Its names are markup, right-to-left text, emoji and templates."""
    return full(title=HOSTILE[1], room=HOSTILE[2] + HOSTILE[3] + HOSTILE[0])


def public(page: SchoolPage) -> SchoolPage:
    """As everybody may see it: what a collector leaves out of it is tested over a real one."""
    return structs.replace(
        page,
        public=True,
        troubles=[structs.replace(one, number=None, device="", said="") for one in page.troubles],
        plans=[structs.replace(plan, reason="") for plan in page.plans],
    )


class StubSchools:
    """`Schools` and `StayLinks` over pages in memory."""

    def __init__(self, pages: Mapping[str, SchoolPage], down: bool = False) -> None:
        self.pages, self.down = pages, down
        self.asked: list[tuple[str, str, bool]] = []
        self.links = {("ash", "ict1"): LINK}
        self.stay_works = True

    def now_ms(self) -> int:
        return NOW_MS

    def mark(self, topic: str) -> str:
        return "0"

    def _page(self, who: Who, school: str) -> SchoolPage:
        if self.down:
            raise Unavailable("the store does not answer")
        if school not in self.pages or not who.allows(Permission.SEE, school):
            raise NotThere(school)
        return self.pages[school]

    async def school_page(self, who: Who, school: str, public: bool) -> SchoolPage:
        page = self._page(who, school)
        self.asked.append((who.name, school, public))
        return page

    async def planned_feed(self, who: Who, school: str) -> bytes:
        self._page(who, school)
        return b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"

    async def stay_link(self, who: Who, school: str, room: str) -> StayLink:
        page = self._page(who, school)
        if room not in ("ict1", "lib"):
            raise NotThere(room)
        return StayLink(
            school=school,
            school_title=page.title,
            room=room,
            title="ICT suite 1",
            link=self.links.get((school, room), ""),
            stay="an hour",
            works=self.stay_works,
        )


def school_site(
    schools: StubSchools, signed_in: Viewer | None, open_schools: frozenset[str] = frozenset()
) -> Starlette:
    """The pages, for somebody who has signed in, or for nobody."""
    shell, data = Shell(), StubData(schools=2)
    pages = [
        *school_page.routes(schools, shell, open_schools, "https://desk.example"),
        *stay_page.routes(schools, shell),
        *web.routes(data, StubActs(data), None, shell),
        *web.unknown(shell),
    ]
    return Starlette(routes=pages, middleware=[Middleware(Guard, viewer=signed_in)])
