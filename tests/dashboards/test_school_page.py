"""The page of a school about itself, and a room's link to print: who sees what of them."""

import asyncio
from xml.etree import ElementTree

import msgspec
import pytest
from starlette.applications import Starlette

from asgi import Answer, ask
from caretaker_dashboards.desk.plain_words import doing, what_is_wrong
from caretaker_dashboards.desk.school_page import atom, headline
from caretaker_rules.findings import FindingKind
from caretaker_rules.roles import Role
from desk_school import BLIND, LINK, SECRETS, StubSchools, empty, full, school_site, trouble
from desk_stub import viewer

ATOM = "{http://www.w3.org/2005/Atom}"
OPEN = frozenset({"ash"})


def client(
    role: Role | None = None, school: str | None = None, open_schools: frozenset[str] = frozenset()
) -> Starlette:
    """The desk for somebody, or for anybody."""
    who = viewer(role, (school,) if school else None) if role else None
    return school_site(StubSchools({"ash": full(), "oak": full()}), who, open_schools)


def get(app: Starlette, address: str, **headers: str) -> Answer:
    """One request."""
    return asyncio.run(ask(app, address, headers=headers))


def test_the_school_and_the_providers_staff_see_the_page() -> None:
    for site in (client(Role.DIRECTOR, "ash"), client(Role.VIEWER), client(Role.ENGINEER)):
        page = get(site, "/s/ash")
        assert page.status == 200
        assert SECRETS[0] in page.text and SECRETS[1] in page.text


@pytest.mark.parametrize("path", ["", "/planned.ics", "/feed.atom"])
def test_to_everybody_else_it_looks_like_a_school_that_is_not_there(path: str) -> None:
    """Another school's director, and somebody who has not signed in: the same page as for an unknown school."""
    for site in (client(Role.DIRECTOR, "oak"), client(), client(open_schools=frozenset({"oak"}))):
        known, unknown = (get(site, f"/s/{school}{path}") for school in ("ash", "nowhere"))
        assert known.status == unknown.status == 404
        assert known.text == unknown.text
        assert "Ashfield" not in known.text


def test_the_public_version_is_asked_for_by_who_has_not_signed_in_and_only_for_that_school() -> None:
    schools = StubSchools({"ash": full(), "oak": full()})
    anybody = school_site(schools, None, OPEN)
    assert get(anybody, "/s/ash").status == 200
    assert schools.asked == [("anybody", "ash", True)]
    assert get(anybody, "/s/oak").status == 404
    neighbour = school_site(schools, viewer(Role.DIRECTOR, ("oak",)), OPEN)
    assert get(neighbour, "/s/ash").status == 200
    assert schools.asked[-1] == ("anybody", "ash", True), "another school's director is anybody here"


def test_the_feed_is_the_public_version_also_for_who_has_signed_in() -> None:
    """What reads a feed keeps it, and passes it on."""
    schools = StubSchools({"ash": full()})
    feed = get(school_site(schools, viewer(Role.MANAGER)), "/s/ash/feed.atom")
    assert feed.status == 200
    assert "https://desk.example/s/ash/feed.atom" in feed.text, (
        "as people reach it, whatever the web server in front says"
    )
    assert schools.asked[-1][2] is True


def test_the_page_asked_for_twice_costs_one_question() -> None:
    schools = StubSchools({"ash": full()})
    site = school_site(schools, viewer(Role.VIEWER), OPEN)
    first = get(site, "/s/ash")
    assert get(site, "/s/ash", **{"If-None-Match": first.headers["etag"]}).status == 304
    assert len(schools.asked) == 1
    get(school_site(schools, None, OPEN), "/s/ash")
    assert [public for _, _, public in schools.asked] == [False, True], "who sees more has a page of their own"


def test_a_store_that_is_away_gives_a_page_that_says_so() -> None:
    site = school_site(StubSchools({"ash": full()}, down=True), viewer(), OPEN)
    page = get(site, "/s/ash")
    assert (page.status, page.headers["retry-after"]) == (503, "30")
    assert "Nothing was changed" in page.text


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_of_trouble_has_plain_words_without_a_name(kind: FindingKind) -> None:
    said = what_is_wrong(trouble(kind))
    assert SECRETS[0] not in said and "ash" not in said and "{" not in said
    assert said[0].isupper() and not said.endswith(".")
    assert "monitor" not in said.lower()


def test_words_fit_what_they_speak_of() -> None:
    lost = FindingKind.LOST
    assert what_is_wrong(trouble(lost, thing="access_point")) == "A wireless access point does not answer"
    assert what_is_wrong(trouble(lost, thing="ups")) == "An emergency power supply does not answer"
    assert what_is_wrong(trouble(lost, thing="3d_printer")) == "A 3d printer does not answer"
    assert what_is_wrong(trouble(FindingKind.LINK_DOWN, machines=31)).endswith(": 31 machines are hit")
    assert doing(trouble(lost)) == "Somebody is working on it."
    assert doing(trouble(lost, waiting=True)) == "We are waiting for the school."
    assert "nobody has begun" in doing(trouble(lost, taken=False))


def test_the_first_line_answers_the_question() -> None:
    well = msgspec.structs.replace(full(), troubles=[])
    one = msgspec.structs.replace(full(), troubles=[trouble(FindingKind.LOST)])
    assert headline(well) == ("Everything we look after is well", "good")
    assert headline(one) == ("One thing is not right", "warn")
    assert headline(full()) == ("3 things are not right", "bad")
    assert headline(BLIND) == ("We cannot see the school's machines at the moment", "warn")
    assert headline(empty()) == ("We have not heard from any machine of the school yet", "warn")


def test_what_was_avoided_is_not_promised_where_nothing_can_be_compared() -> None:
    """The month was reckoned and claims nothing: there is no baseline, and there will be none tomorrow."""
    known = full()
    assert known.energy_month is not None
    week = [msgspec.structs.replace(day, avoided_kwh=None) for day in known.week]
    month = msgspec.structs.replace(known.energy_month, avoided_kwh=None)
    bare = msgspec.structs.replace(known, week=week, energy_month=month)
    page = get(school_site(StubSchools({"ash": bare}), viewer()), "/s/ash").text
    assert "nothing to compare with" in page and "not reckoned yet" not in page
    page = get(school_site(StubSchools({"ash": known}), viewer()), "/s/ash").text
    assert "nothing to compare with" not in page and "not reckoned yet" in page


def test_the_feed_is_atom_with_stable_entries_and_nothing_that_was_typed() -> None:
    made = atom(full(), "https://desk.example/s/ash/feed.atom")
    assert made == atom(full(), "https://desk.example/s/ash/feed.atom")
    assert not any(secret.encode() in made for secret in SECRETS)
    feed = ElementTree.fromstring(made)  # noqa: S314 (we made it)
    assert feed.findtext(f"{ATOM}title") == "Ashfield Secondary: device health"
    entries = feed.findall(f"{ATOM}entry")
    titles = [entry.findtext(f"{ATOM}title") for entry in entries]
    assert "Mended: A computer has little space left (ICT suite 1)" in titles
    assert "Exam freeze: Ashfield Secondary" in titles
    assert not any("woken" in (title or "") for title in titles), "wakes are in planned.ics"
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(set(ids)) == len(ids) == 7
    for name in ("id", "title", "updated", "summary"):
        assert all(entry.findtext(f"{ATOM}{name}") for entry in entries), name


def test_a_title_with_control_characters_breaks_no_feed() -> None:
    view = msgspec.structs.replace(full(), title="A\x00\x0b<b>\ufffe &", provider="\x1f")
    feed = ElementTree.fromstring(atom(view, "https://desk.example/s/ash/feed.atom"))  # noqa: S314
    assert feed.findtext(f"{ATOM}title") == "A<b> &: device health"


def test_a_link_is_only_for_who_may_hold_the_room() -> None:
    assert LINK in get(client(Role.DIRECTOR, "ash"), "/rooms/ash/ict1/stay").text
    refused = get(client(Role.VIEWER), "/rooms/ash/ict1/stay")
    assert (refused.status, LINK in refused.text) == (403, False)
    assert get(client(None), "/rooms/ash/ict1/stay").status == 403
    for site, path in (
        (client(Role.DIRECTOR, "oak"), "/rooms/ash/ict1/stay"),
        (client(Role.MANAGER), "/rooms/ash/x/stay"),
    ):
        answer = get(site, path)
        assert (answer.status, LINK in answer.text) == (404, False)


def test_only_who_administers_is_offered_to_make_or_take_back_a_link() -> None:
    assert "/act/revoke_stay_link?place=ash%2Fict1" in get(client(Role.MANAGER), "/rooms/ash/ict1/stay").text
    assert "/act/stay_link?place=ash%2Flib" in get(client(Role.MANAGER), "/rooms/ash/lib/stay").text
    engineer = get(client(Role.ENGINEER), "/rooms/ash/lib/stay").text
    assert "/act/" not in engineer and "A manager of the provider can make one" in engineer
