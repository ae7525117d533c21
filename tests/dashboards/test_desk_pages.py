"""Every page of the desk, over stubs and without a browser: complete, escaped, plain about what is missing."""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Match

import caretaker_dashboards.desk
from asgi import Answer, ask
from caretaker_dashboards.desk import web
from caretaker_dashboards.desk.views import Answered, SchoolView
from caretaker_dashboards.states import LOOKS
from caretaker_rules.roles import Role, Who
from desk_stub import CSRF, HOSTILE, Guard, StubActs, StubData, desk, viewer

STATIC = Path(caretaker_dashboards.desk.__file__).parent / "static"
BOARDS = Path(caretaker_dashboards.desk.__file__).parents[2] / "generated"
PAGES = [
    "/",
    "/?network=north&text=ash",
    "/schools/ash",
    "/schools/stm",
    "/rooms/ash/ict1",
    "/rooms/ash/ict1?view=list",
    "/rooms/ash/ict1?view=day",
    "/rooms/ash/ict1?day=2026-10-05",
    "/rooms/oak/sci3",
    "/devices/ash/ict1-2",
    "/devices/ash/ict1-8",
    "/why/ash/ict1-2",
    "/why/ash/ict1-2?at=16:41",
    "/why/ash/ict1-8",
    "/incidents",
    "/incidents?status=fixed",
    "/incidents/12",
    "/incidents/15",
    "/records",
    "/records?past=yes",
    "/audit",
    "/search",
    "/search?q=ict",
    "/help",
    "/accessibility",
    "/act/hold?place=ash%2Fict1",
    "/act/maintenance?place=ash",
    "/act/shut_down?place=ash%2Fict1",
]
FAULTS = [("/nowhere", 404), ("/schools/zz", 404), ("/incidents/999", 404), ("/rooms/ash/ict1?day=soon", 400)]
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Read(HTMLParser):
    """What of a page can be checked without drawing it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[int, str] = {}
        self._inside: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts[len(self.elements) - 1] = ""
        if tag not in VOID:
            self.open.append(tag)
            self._inside.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        self._inside.pop()

    def handle_data(self, data: str) -> None:
        for at in self._inside:
            self.texts[at] += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        """Attributes of elements of these names."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    def text_of(self, tag: str) -> list[str]:
        """Text of elements of this name."""
        return [" ".join(self.texts[at].split()) for at, (name, _) in enumerate(self.elements) if name == tag]


def wrong(text: str) -> list[str]:
    """What a page of ours must not have, whatever it shows."""
    page = Read(text)
    found = [f"<{tag}> stays open" for tag in page.open]
    found += ["a script of its own" for script in page.all("script") if not (script.get("src") or "").startswith("/")]
    found += ["a style of its own" for _ in page.all("style")]
    found += [
        f"{name} at <{tag}>"
        for tag, attributes in page.elements
        for name in attributes
        if name == "style" or name.startswith("on") or name.startswith("hx-on")
    ]
    found += [
        f"{value} at <{tag}>"
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "action", "hx-post", "hx-get") and not re.match(r"/(?!/)|#", value or "")
    ]
    if page.all("html") != [{"lang": "en-GB"}]:
        found.append("no language")
    if len(page.text_of("h1")) != 1 or not page.text_of("h1")[0]:
        found.append(f"headings of the first order: {page.text_of('h1')}")
    titles = page.text_of("title")
    if not titles or not titles[0].endswith("· Caretaker") or len(titles[0]) < len("x · Caretaker"):
        found.append(f"title {titles}")
    labels = {label.get("for") for label in page.all("label")}
    found += [
        f"no label: {field}"
        for field in page.all("input", "select", "textarea")
        if field.get("type") != "hidden" and field.get("id") not in labels and not field.get("aria-label")
    ]
    names = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    found += [f"id {name} twice" for name in set(names) if names.count(name) > 1]
    found += [
        f"aria-labelledby {one['aria-labelledby']}"
        for _, one in page.elements
        if one.get("aria-labelledby") and one["aria-labelledby"] not in {*names, "dialog-title"}
    ]
    found += [
        f"no words: {tag}"
        for tag in ("a", "button", "h2", "h3", "th", "label")
        for text in page.text_of(tag)
        if not text
    ]
    found += ["img without alt" for image in page.all("img") if "alt" not in image]
    return found


@pytest.mark.parametrize("address", [*PAGES, *(address for address, _ in FAULTS)])
@pytest.mark.parametrize("kind", ["usual", "hostile"])
async def test_every_page_is_well_formed_labelled_and_free_of_styles_and_scripts_of_its_own(
    address: str, kind: str
) -> None:
    answer = await ask(desk(StubData(5, hostile=kind == "hostile")), address)
    assert answer.status == dict(FAULTS).get(address, 200)
    assert wrong(answer.text) == []
    assert "None" not in Read(answer.text).text_of("main")[0]


async def test_names_with_markup_quotes_and_templates_are_shown_as_they_are_written() -> None:
    app = desk(StubData(5, hostile=True))
    for address in PAGES:
        text = (await ask(app, address)).text
        assert HOSTILE[0] not in text
        assert not Read(text).all("b"), address
        assert "49" not in Read(text).text_of("h1")[0]
    home = (await ask(app, "/")).text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in home
    assert HOSTILE[3] in home  # braces are text, not a template
    assert f"<bdi>{HOSTILE[2]}</bdi>" in home  # right-to-left text turns nothing round it


EMPTY = [
    ("/", "Nothing is wrong that Caretaker can see. New incidents appear here"),
    ("/", "There is no school yet, or none is yours to see. Whoever runs the collector"),
    ("/", "No lesson begins within a day. Either there is none, or no timetable is known"),
    ("/", "Nothing is known of Caretaker's own health yet. It is looked at"),
    ("/?text=x", "No school fits this filter. Show all schools."),
    ("/incidents", "Nothing is wrong that Caretaker can see. New incidents"),
    ("/incidents?status=fixed", "There was no incident yet. The first appears here"),
    ("/incidents?text=x", "No incident fits this filter. Show all that is not fixed."),
    ("/records", "Nothing is on or planned. The buttons of a school"),
    ("/records?past=yes", "Nothing is over yet. What is on or to come."),
    ("/records?kind=hold", "No record fits this filter. Show all"),
    ("/audit", "Nobody did anything yet. The first action"),
    ("/audit?school=x", "Nobody did anything at this school. Show all schools."),
    ("/search", "Nothing was searched for yet. Type a part of a name"),
    ("/search?q=x", "Nothing of that name is yours to see. Try a part of a name"),
]
BARE = [
    ("/schools/stm", "No room of this school is known. Rooms come from"),
    ("/schools/stm", "Every machine that was to be woken came back, or none was to be. Machines that do not answer"),
    ("/schools/oak", "Nothing is wrong here that Caretaker can see. What was fixed:"),
    ("/rooms/oak/sci3", "No machine of this room is known. Machines come from"),
    ("/rooms/oak/sci3", "Nothing is on or planned for this room. The buttons above"),
    ("/devices/ash/ict1-8", "It has never been heard. Its agent has not reported yet: install it"),
    ("/devices/ash/ict1-8", "Nothing was read yet. Meters come with its first report."),
    ("/devices/ash/ict1-8", "Nothing was decided about it yet. No policy covers it"),
    ("/devices/ash/ict1-8", "Nothing has happened to it on record."),
    ("/why/ash/ict1-8", "Nothing was decided about it yet. No policy covers its school"),
    ("/why/ash/ict1-8?at=16:41", "Nothing was decided about it up to that time. Ask for a later one"),
    ("/incidents/15", "No clock runs. Nobody promised a time"),
    ("/incidents/15", "Nobody was told. The alerts file has no channel"),
]


@pytest.mark.parametrize(("address", "says"), [*EMPTY, *BARE])
async def test_what_is_empty_says_why_and_what_is_next(address: str, says: str) -> None:
    data = StubData(empty=True) if (address, says) in EMPTY else StubData(5)
    answer = await ask(desk(data), address)
    assert answer.status == 200
    assert says in Read(answer.text).text_of("main")[0]


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("/?network=south&text=oak", {"network": "south", "text": "oak"}),
        (
            "/incidents?school=ash&status=all&text=switch+%26+line",
            {"school": "ash", "status": "all", "text": "switch & line"},
        ),
        ("/records?kind=hold&place=ash%2Fict1&past=yes", {"kind": "hold", "place": "ash/ict1", "past": "yes"}),
        ("/audit?school=ash", {"school": "ash"}),
        ("/why/ash/ict1-2?at=16:41", {"at": "16:41"}),
        ("/rooms/ash/ict1?day=2026-10-05", {"day": "2026-10-05"}),
        ("/search?q=%3Cb%3E", {"q": "<b>"}),
    ],
)
async def test_filters_are_in_the_address_and_come_back_in_the_form(address: str, names: dict[str, str]) -> None:
    text = (await ask(desk(StubData(5)), address)).text
    main = text[text.index("<main") :]
    shown: dict[str, str] = {}
    chosen = ""
    for tag, attributes in Read(main[main.index(">") + 1 : main.index("</main>")]).elements:
        if tag == "input":
            shown[attributes.get("name") or ""] = attributes.get("value") or ""
        if tag == "select":
            chosen = attributes.get("name") or ""
            shown.setdefault(chosen, "")
        if tag == "option" and "selected" in attributes:
            shown[chosen] = attributes.get("value") or ""
    assert {name: shown[name] for name in names} == names


async def test_further_pages_keep_their_filters() -> None:
    text = (await ask(desk(StubData(40)), "/incidents?status=all&text=lost")).text
    link = re.search(r'href="(/incidents\?[^"]*before=[^"]*)"', text)
    assert link is not None
    assert "status=all" in link[1]
    assert "text=lost" in link[1]


# Who sees what


async def test_a_school_that_is_not_there_and_one_of_others_look_the_same() -> None:
    app = desk(StubData(3), signed_in=viewer(Role.DIRECTOR, ("ash",)))
    unknown = await ask(app, "/schools/zz")
    for address in (
        "/schools/oak",
        "/rooms/oak/ict2",
        "/devices/oak/ict2-1",
        "/why/oak/ict2-1",
        "/places/oak/ict2",
        "/incidents/9",
        "/incidents?school=oak",
        "/act/hold?place=oak",
    ):
        answer = await ask(app, address)
        assert answer.status == 404, address
        assert Read(answer.text).text_of("main") == Read(unknown.text).text_of("main"), address
    assert (await ask(app, "/schools/ash")).status == 200


async def test_the_audit_log_is_for_those_who_administer() -> None:
    answer = await ask(desk(StubData(2), signed_in=viewer(Role.ENGINEER)), "/audit")
    assert answer.status == 403
    assert "Your role does not reach this page." in answer.text
    assert 'href="/audit"' not in answer.text


async def test_without_a_viewer_there_is_no_page_even_if_no_guard_stands_before_it() -> None:
    data = StubData(2)
    app = Starlette(routes=web.routes(data, StubActs(data)))
    for address in PAGES:
        if address != "/accessibility":
            answer = await ask(app, address)
            assert answer.status == 403, address
            assert "Ashfield" not in answer.text
    assert (await ask(app, "/events?topic=estate")).status == 404
    assert (await ask(app, "/act/hold", form={"place": "ash", "reason": "x"})).status == 403
    assert data.asked == []


async def test_what_one_role_may_do_is_not_offered_to_another() -> None:
    data = StubData(2)
    for signed_in, offered in ((viewer(Role.VIEWER), False), (viewer(Role.ENGINEER), True)):
        text = (await ask(desk(data, signed_in=signed_in), "/rooms/ash/ict1")).text
        assert ("/act/shut_down?" in text) is offered


async def test_a_page_that_is_kept_for_one_role_is_not_shown_to_another() -> None:
    data = StubData(2)
    acts = StubActs(data)
    shell = web.Shell()
    apps = [
        Starlette(routes=web.routes(data, acts, None, shell), middleware=[Middleware(Guard, viewer=one)])
        for one in (viewer(Role.ENGINEER), viewer(Role.VIEWER), viewer(Role.DIRECTOR, ("ash",)))
    ]
    engineer, onlooker, director = [(await ask(app, "/")).text for app in apps]
    assert "/act/stop?" in engineer
    assert "/act/stop?" not in onlooker
    assert "Oakley" in onlooker
    assert "Oakley" not in director
    assert shell.made == 3


# When it does not work


async def test_what_does_not_answer_is_said_with_what_was_kept_and_what_to_do() -> None:
    answer = await ask(desk(StubData(2, down=True)), "/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")
    text = Read(answer.text).text_of("main")[0]
    assert "A part of Caretaker did not answer in time." in text
    assert "What was kept: Nothing was changed." in text
    assert "What to do: Load the page again in a minute." in text


async def test_a_fault_of_ours_shows_nothing_of_its_inside_and_the_log_no_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(StubData):
        async def school(self, who: Who, school: str) -> SchoolView:
            raise RuntimeError("secret in /srv/caretaker/state.db")

    answer = await ask(desk(Broken(2)), "/schools/ash")
    assert answer.status == 500
    assert "What went wrong is in the collector" in answer.text
    assert "secret" not in answer.text
    logged = "".join(capsys.readouterr())
    assert "RuntimeError" in logged
    assert CSRF not in logged


async def test_a_filter_that_cannot_be_meant_says_how_to_write_it() -> None:
    answer = await ask(desk(StubData(2)), "/why/ash/ict1-2?at=teatime")
    assert answer.status == 400
    assert "write it as" in answer.text


# Live


async def test_a_page_that_has_not_changed_is_not_made_again() -> None:
    data = StubData(2)
    app = desk(data)
    first = await ask(app, "/schools/ash")
    asked = len(data.asked)
    for _ in range(3):
        assert (await ask(app, "/schools/ash", headers={"If-None-Match": first.headers["etag"]})).status == 304
        assert (await ask(app, "/schools/ash")).headers["etag"] == first.headers["etag"]
    assert len(data.asked) == asked
    data.change("ash")
    again = await ask(app, "/schools/ash", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["etag"] == first.headers["etag"]) == (200, False)
    data.now += 60_000  # "left" and "ago" are of a minute
    assert (await ask(app, "/schools/ash", headers={"If-None-Match": again.headers["etag"]})).status == 200


async def test_200_pages_that_ask_at_once_cost_one() -> None:
    data = StubData(30)
    app = desk(data)
    answers = await asyncio.gather(*(ask(app, "/") for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    assert data.asked == ["estate"]


async def test_a_script_gets_the_main_part_alone_and_no_browser_keeps_either() -> None:
    app = desk(StubData(2))
    whole, part = await ask(app, "/"), await ask(app, "/", headers={"HX-Request": "true"})
    assert part.text in whole.text
    assert "<html" not in part.text
    assert json.loads(part.headers["x-page"]) == {"title": "Estate", "as_of": "16:42"}
    for answer in (whole, part):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "HX-Request"


async def test_the_main_part_holds_nothing_of_a_session() -> None:
    app = desk(StubData(5))
    for address in PAGES:
        if not address.startswith("/act/"):
            part = await ask(app, address, headers={"HX-Request": "true"})
            assert CSRF not in part.text, address
            assert "K. Mensah" not in part.text, address


# Actions


async def test_asking_for_an_action_and_looking_at_what_it_touches_change_nothing() -> None:
    data = StubData(2)
    acts = StubActs(data)
    app = desk(data, acts)
    form = await ask(app, "/act/hold?place=ash%2Fict1&for=2+h&reason=club")
    assert form.status == 200
    text = Read(form.text).text_of("main")[0]
    assert "31 machines in ICT1, 4 in use: those stay on." in text
    assert '<option value="2 h" selected>' in form.text
    assert ">club</textarea>" in form.text
    seen = await ask(app, "/act/hold/preview", form={"csrf": CSRF, "place": "ash/ict1", "for": "2 h", "reason": ""})
    assert "For 2 h; then the rules decide again." in seen.text
    assert acts.acted == []
    assert acts.previewed[-1] == ("hold", "ash/ict1", {"for": "2 h", "reason": ""})


async def test_an_action_is_done_by_post_and_answers_with_its_record_and_its_undo() -> None:
    data = StubData(2)
    acts = StubActs(data)
    done = await ask(
        desk(data, acts), "/act/hold", form={"csrf": CSRF, "place": "ash/ict1", "for": "1 h", "reason": "club"}
    )
    assert done.status == 200
    assert acts.acted == [("hold", "ash/ict1", {"for": "1 h", "reason": "club"})]
    assert "Done: 27 machines are kept on until 17:42." in done.text
    assert 'href="/records#record-4"' in done.text
    assert 'href="/act/release?place=ash%2Fict1"' in done.text
    assert wrong(done.text) == []


@pytest.mark.parametrize(
    ("reason", "says"), [("", "reason: say why, in a few words"), ("refuse", "Refused: exam freeze")]
)
async def test_what_is_refused_keeps_what_was_typed(reason: str, says: str) -> None:
    data = StubData(2)
    acts = StubActs(data)
    answer = await ask(
        desk(data, acts), "/act/hold", form={"csrf": CSRF, "place": "ash/ict1", "for": "day", "reason": reason}
    )
    assert answer.status == 409
    assert "Nothing was done." in answer.text
    assert says in answer.text
    assert '<option value="day" selected>' in answer.text
    assert f">{reason}</textarea>" in answer.text
    assert wrong(answer.text) == []


async def test_every_form_carries_the_token_of_its_session_and_danger_names_its_count() -> None:
    text = (await ask(desk(StubData(2)), "/act/shut_down?place=ash%2Fict1")).text
    assert f'<input type="hidden" name="csrf" value="{CSRF}">' in text
    assert "This may switch machines off" in text
    assert "Shut down 27 machines" in Read(text).text_of("button")


async def test_a_stop_switch_among_the_records_can_be_turned_off_there() -> None:
    text = (await ask(desk(StubData(5)), "/records?kind=stop")).text
    assert 'href="/act/resume?place=elm"' in text
    assert "/act/stop?place=elm" not in text


async def test_a_link_of_an_answer_that_leads_elsewhere_is_not_shown() -> None:
    class Elsewhere(StubActs):
        async def act(self, who: Who, action: str, place: str, fields: Mapping[str, str]) -> Answered:
            return Answered(lines=["Done."], link="//evil.example/x")

    data = StubData(2)
    answer = await ask(desk(data, Elsewhere(data)), "/act/hold", form={"csrf": CSRF, "place": "ash", "reason": "x"})
    assert "Done." in answer.text
    assert "evil" not in answer.text


# Addresses and files


async def test_every_address_that_a_board_links_to_is_a_page() -> None:
    links = {link for file in BOARDS.rglob("*.json") for link in re.findall(r'"\$\{desk\}([^"]*)"', file.read_text())}
    assert len(links) > 2
    data = StubData(2)
    routes = web.routes(data, StubActs(data))
    for link in links:
        path = re.sub(r"\$\{[a-z_.:]+\}", "12", link).partition("?")[0] or "/"
        scope = {"type": "http", "path": path, "method": "GET"}
        assert any(route.matches(scope)[0] is Match.FULL for route in routes), link


async def test_reasons_of_a_room_and_places_of_records_lead_to_their_page() -> None:
    app = desk(StubData(2))
    for address, leads in (
        ("/why/ash/ict1", "/rooms/ash/ict1?view=list"),
        ("/places/ash/ict1", "/rooms/ash/ict1"),
        ("/places/ash/ict1-2", "/devices/ash/ict1-2"),
    ):
        answer = await ask(app, address)
        assert (answer.status, answer.headers.get("location")) == (303, leads)


async def test_files_are_kept_for_ever_under_an_address_that_changes_with_them() -> None:
    app = desk(StubData(1))
    home = Read((await ask(app, "/devices/ash/ict1-2")).text)
    files = [one.get("src") or "" for one in home.all("script")] + [
        one["href"] or "" for one in home.all("link") if one.get("rel") == "stylesheet"
    ]
    assert len(files) == 9
    for address in files:
        answer = await ask(app, address)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(answer.body).hexdigest()[:12] == address.split("/")[2]
    assert (await ask(app, "/static/000000000000/desk.css")).status == 404
    assert (await ask(app, "/static/000000000000/../web.py")).status == 404


def test_vendored_files_are_what_their_list_says() -> None:
    listed = dict(re.findall(r"\| `([^`]+)` \|.*`([0-9a-f]{64})` \|", (STATIC / "vendor/README.md").read_text()))
    there = {file.name for file in (STATIC / "vendor").iterdir() if file.suffix in (".js", ".css")}
    assert set(listed) == there
    for name, digest in listed.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name


async def test_the_colours_of_the_states_are_those_of_boards_and_review() -> None:
    app = desk(StubData(1))
    home = (await ask(app, "/")).text
    address = re.search(r'href="(/static/[0-9a-f]+/states\.css)"', home)
    assert address is not None
    css = (await ask(app, address[1])).text
    for look in LOOKS:
        assert f"--{look.state.value}:{look.colour};" in css
        assert f"--{look.state.value}-ink:{look.ink};" in css
    own = (STATIC / "desk.css").read_text()
    assert not [look.colour for look in LOOKS if look.colour in own]


def test_styles_and_scripts_of_ours_ask_no_other_host() -> None:
    for file in (*STATIC.glob("*.css"), *STATIC.glob("*.js")):
        text = file.read_text()
        assert not re.search(r"https?://|@import|\beval\(|new Function|\.style\.|innerHTML \+=", text), file.name


async def test_the_manifest_is_json_with_an_icon_that_is_there() -> None:
    app = desk(StubData(1))
    manifest = json.loads((await ask(app, "/manifest.webmanifest")).body)
    icon: Answer = await ask(app, manifest["icons"][0]["src"])
    assert (icon.status, icon.headers["content-type"]) == (200, "image/svg+xml")
