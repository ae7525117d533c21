"""What pages are put together from: words, strips, the stream of events, and what is kept of pages."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest
from starlette.requests import Request

from asgi import ask
from caretaker_dashboards.desk import live, strips, words
from caretaker_dashboards.desk.ports import Viewer
from caretaker_dashboards.desk.shell import Shell
from caretaker_dashboards.desk.views import DecisionLine, Lesson, Spell, Strip
from caretaker_dashboards.states import LOOKS
from caretaker_rules.roles import Role
from caretaker_rules.shown import Shown
from desk_stub import MIN_MS, NOW_MS, StubData, desk, minute, viewer

LONDON = "Europe/London"


def ms(text: str) -> int:
    """UTC ms of an ISO time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# Words


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-10-06T15:41:00", "16:41"),
        ("2026-10-05T15:41:00", "Mon 5 Oct 16:41"),
        ("2025-10-06T15:41:00", "Mon 6 Oct 2025 16:41"),
        ("2026-10-06T23:30:00", "Wed 7 Oct 00:30"),  # tomorrow by the school's clock
    ],
)
def test_times_are_the_schools_with_the_date_when_it_is_not_today(at: str, says: str) -> None:
    assert words.clock(ms(at), LONDON, NOW_MS) == says


def test_times_that_are_not_known_say_so() -> None:
    assert words.clock(None, LONDON, NOW_MS) == "not known"
    assert words.ago(None, NOW_MS) == "never"
    assert words.kwh(None) == "not known"
    assert words.kwh_range(None) == "not known"


def test_figures_carry_their_unit_and_range() -> None:
    assert [words.kwh(one) for one in (0, 0.44, 61.4, 1102)] == ["0 kWh", "0.4 kWh", "61 kWh", "1,102 kWh"]
    assert words.kwh_range((44, 61, 79)) == "61 kWh (44 to 79)"
    assert words.left(87 * MIN_MS) == "87 min left"
    assert words.left(-12 * MIN_MS) == "12 min late"
    assert words.ago(NOW_MS + 5, NOW_MS) == "now"  # a machine's clock may be ahead


def test_readiness_is_news_only_when_the_lesson_is_near() -> None:
    assert not words.soon(None, False, NOW_MS)
    assert not words.soon(NOW_MS + 15 * 60 * MIN_MS, False, NOW_MS)  # machines are off: nobody needs them yet
    assert words.soon(NOW_MS + 5 * MIN_MS, False, NOW_MS)
    assert words.soon(NOW_MS - 5 * MIN_MS, True, NOW_MS)


def test_addresses_are_quoted_whatever_is_in_a_name() -> None:
    assert words.path("rooms", "a/b", "../x?y#z") == "/rooms/a%2Fb/..%2Fx%3Fy%23z"
    assert words.path("incidents", text="a&b=c", school="", before=None) == "/incidents?text=a%26b%3Dc"
    assert [words.place_path(place) for place in ("all", "ash", "ash/ict1")] == [
        "/",
        "/schools/ash",
        "/places/ash/ict1",
    ]


def test_every_state_has_a_letter_of_its_own() -> None:
    assert set(words.LETTERS) == {look.state for look in LOOKS}
    assert len(set(words.LETTERS.values())) == len(LOOKS)


# Strips


def test_the_day_on_which_clocks_go_back_has_25_hours_and_09_is_at_09() -> None:
    for day, hours, at_nine in ((date(2026, 10, 25), 25, 10), (date(2026, 3, 29), 23, 8), (date(2026, 10, 6), 24, 9)):
        from_ms, until_ms = strips.day_span(day, LONDON)
        assert until_ms - from_ms == hours * 3_600_000
        labels = {label: x for x, label in strips.axis(from_ms, until_ms, LONDON, NOW_MS).hours}
        assert labels["09"] == f"{100 * at_nine / hours:.3f}%"
        assert sorted(labels) == ["03", "06", "09", "12", "15", "18", "21"]


def test_the_now_line_is_on_today_alone() -> None:
    assert strips.axis(*strips.day_span(date(2026, 10, 6), LONDON), LONDON, NOW_MS).now is not None
    assert strips.axis(*strips.day_span(date(2026, 10, 5), LONDON), LONDON, NOW_MS).now is None


def test_a_strip_is_cut_at_its_day_and_spells_of_one_state_are_one() -> None:
    span = strips.day_span(date(2026, 10, 6), LONDON)
    spells = [
        Spell(span[0] - 60 * MIN_MS, span[0] + 60 * MIN_MS, Shown.IDLE),
        Spell(span[0] + 60 * MIN_MS, span[0] + 120 * MIN_MS, Shown.IDLE),
        Spell(span[0] + 120 * MIN_MS, span[1] + 60 * MIN_MS, Shown.LOST),
    ]
    marks = [
        DecisionLine(at_ms=span[0] + at * MIN_MS, device="x", verdict=verdict, sentence="because")
        for at, verdict in ((30, "shut_down"), (40, "left_on"), (24 * 60 + 1, "wake"))
    ]
    drawn = strips.drawn(Strip(device="x", spells=spells, marks=marks), *span)
    assert [(piece.x, piece.width, piece.shown) for piece in drawn.pieces] == [
        ("0.000%", "8.333%", "idle"),
        ("8.333%", "91.667%", "lost"),
    ]
    assert [mark.verdict for mark in drawn.marks] == ["shut_down"]
    assert strips.in_words(Strip(device="x", spells=spells[1:2], marks=[])) == "idle 60 min"
    assert strips.in_words(Strip(device="x", spells=[], marks=[])) == "nothing is on record"


def test_lessons_are_placed_above_and_those_of_other_days_left_out() -> None:
    span = strips.day_span(date(2026, 10, 6), LONDON)
    found = [Lesson(minute("06:00"), minute("12:00")), Lesson(minute("09:00", 1), minute("10:00", 1))]
    assert [(x, width) for x, width, _ in strips.lessons(found, *span)] == [("25.000%", "25.000%")]


async def test_machines_are_in_the_order_in_which_people_count() -> None:
    text = (await ask(desk(StubData(2)), "/rooms/ash/ict1")).text
    assert text.index(">ict1-9<") < text.index(">ict1-10<") < text.index(">ict1-30<")


# The stream


def asking(seen: Viewer | None, topic: str) -> Request:
    """A request for events behind a guard."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "headers": [],
        "query_string": f"topic={topic}".encode(),
    }
    return Request(scope | {"state": {"viewer": seen}})


async def body(response: object) -> AsyncIterator[str]:
    """Pieces of a streamed answer."""
    async for piece in response.body_iterator:  # type: ignore[attr-defined]
        yield piece


async def test_a_stream_says_a_mark_at_once_and_at_each_change_and_comments_between() -> None:
    data = StubData(2)
    events = live.Events(data, keep_alive_s=0.12)
    pieces = body(await events.endpoint(asking(viewer(), "ash")))
    assert (await anext(pieces)).endswith("event: mark\ndata: ash:0\n\n")
    assert await anext(pieces) == ": still here\n\n"
    data.change("ash")
    assert await anext(pieces) == "event: mark\ndata: ash:1\n\n"
    await pieces.aclose()


async def test_a_stream_ends_with_its_session() -> None:
    data = StubData(2)
    standing = True
    events = live.Events(data, lambda _: standing, keep_alive_s=0.02)
    pieces = body(await events.endpoint(asking(viewer(), "estate")))
    await anext(pieces)
    standing = False
    rest = [piece async for piece in pieces]
    assert len(rest) <= 1


async def test_a_stream_ends_by_itself_so_that_the_guard_looks_again() -> None:
    events = live.Events(StubData(2), keep_alive_s=0.02, longest_s=0.1)
    pieces = [piece async for piece in body(await events.endpoint(asking(viewer(), "estate")))]
    assert 2 <= len(pieces) <= 8


async def test_a_session_has_so_many_streams_and_no_more_and_gets_them_back() -> None:
    events = live.Events(StubData(2), keep_alive_s=5)
    opened = []
    for _ in range(live.MOST_A_SESSION):
        answer = await events.endpoint(asking(viewer(), "estate"))
        await anext(answer.body_iterator)  # type: ignore[attr-defined]
        opened.append(answer)
    refused = await events.endpoint(asking(viewer(), "estate"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    for answer in opened:
        await answer.body_iterator.aclose()  # type: ignore[attr-defined]
    assert (await events.endpoint(asking(viewer(), "estate"))).status_code == 200
    assert events.open == 0


async def test_topics_of_others_and_of_nobody_look_the_same() -> None:
    events = live.Events(StubData(2))
    director = viewer(Role.DIRECTOR, ("ash",))
    answers = [
        await events.endpoint(asking(one, topic))
        for one, topic in ((director, "oak"), (director, "zz"), (director, ""), (None, "ash"))
    ]
    assert {(answer.status_code, bytes(answer.body)) for answer in answers} == {
        (404, b"There is nothing to be told of.")
    }


async def test_a_mark_cannot_forge_an_event() -> None:
    data = StubData(2)
    data.mark = lambda topic: "1\n\nevent: other\ndata: x"  # type: ignore[method-assign]
    pieces = body(await live.Events(data).endpoint(asking(viewer(), "estate")))
    assert (await anext(pieces)).count("\n\n") == 1
    await pieces.aclose()


# What is kept


async def test_what_is_kept_of_pages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caretaker_dashboards.desk.shell.MOST_KEPT_BYTES", 30_000)
    data = StubData(4)
    shell = Shell()
    app = desk(data, shell=shell)
    for text in range(12):
        await ask(app, f"/?text={text or ''}")
    assert 0 < shell.kept_bytes <= 30_000
    again = shell.made
    await ask(app, "/?text=11")
    assert shell.made == again
    await ask(app, "/?text=")
    assert shell.made == again + 1


async def test_a_page_that_could_not_be_made_is_made_again_by_the_next_who_asks() -> None:
    data = StubData(2, down=True)
    app = desk(data)
    assert {answer.status for answer in await asyncio.gather(*(ask(app, "/") for _ in range(5)))} == {503}
    data.down = False
    assert (await ask(app, "/")).status == 200
