"""Tickets at a service desk, there and back, at desks that behave as Zammad, GLPI and Freshservice document theirs.

The desks are ours (tests/desks.py): the real products could not be had.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from caretaker_collector.incidents import book as incident_book
from caretaker_collector.notify import by_ticket, outbox, ticket_book
from caretaker_collector.notify.by_ticket import ByTicket
from caretaker_collector.notify.by_ticket_mail import mail_of
from caretaker_collector.notify.channels import Surroundings, open_channels
from caretaker_collector.notify.wording import reference
from caretaker_contract.errors import ConfigError, Rejected, Unavailable
from caretaker_rules.alert_settings import Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Action, Entry, Incident, Status
from desks import APP_TOKEN, DESKS, TOKEN, FakeDesk, serving
from telling_world import NOW_MS, fixed, make_incident, open_world, telling

pytestmark = pytest.mark.slow


@dataclass
class World:
    """One desk, and the adapter that speaks to it."""

    desk: FakeDesk
    db: sqlite3.Connection
    channel: Channel
    adapter: ByTicket
    now_ms: int = NOW_MS

    async def tell(self, what: str, **more: str) -> str:
        """As the sender does."""
        self.now_ms += 1_000
        message = telling(what, at_ms=self.now_ms, **more)
        return await self.send(message)

    async def send(self, message: Telling) -> str:
        """This message again."""
        return await self.adapter.send(message, outbox.incident_of(self.db, message.uid))

    def again(self) -> None:
        """Another process takes over."""
        self.adapter = self._open()

    def _open(self) -> ByTicket:
        made = open_channels([self.channel], Surroundings(self.db, lambda: self.now_ms))[self.channel.name]
        assert isinstance(made, ByTicket)
        return made

    @property
    def incident(self) -> Incident:
        """As it is now."""
        found = outbox.incident_of(self.db, telling().uid)
        assert found is not None
        return found

    def notes(self) -> list[str]:
        """What was noted of it."""
        return [entry.text for entry in incident_book.log_of(self.db, telling().uid) if entry.action is Action.NOTED]

    async def watch(self) -> None:
        """Six minutes later: what has the desk done?"""
        self.now_ms += 360_000
        await self.adapter.watch()


@pytest.fixture(params=list(DESKS))
def desk(request: pytest.FixtureRequest) -> Iterator[FakeDesk]:
    """Each product in turn."""
    with serving(DESKS[request.param]()) as made:
        yield made


def channel_of(desk: FakeDesk, folder: Path, **more: object) -> Channel:
    """The channel's settings."""
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "app").write_text(APP_TOKEN + "\n")
    preset = next(name for name, kind in DESKS.items() if isinstance(desk, kind))
    settings: dict[str, object] = {
        "name": "desk",
        "kind": "ticket",
        "url": desk.url + "/",
        "preset": preset,
        "token_file": str(folder / "token"),
        "app_token_file": str(folder / "app"),
        "queue": "2nd Level",
        "requester": "ict@ash.example",
    }
    return Channel(**(settings | more))  # type: ignore[arg-type]


@pytest.fixture
async def world(desk: FakeDesk, tmp_path: Path) -> AsyncIterator[World]:
    """A desk and an incident."""
    db = open_world(tmp_path)
    make_incident(db)
    made = World(desk, db, channel_of(desk, tmp_path), None)  # type: ignore[arg-type]
    made.again()
    yield made
    await made.adapter.close()
    db.close()


async def test_one_incident_is_one_ticket_from_opening_to_closing(world: World) -> None:
    """Opened once, its number kept, commented on, closed when it is over."""
    answer = await world.tell("opened")
    [ticket] = world.desk.tickets.values()
    assert "ash/ict1-07 is not heard any more" in ticket.title
    assert "INC-1" in ticket.title
    assert "Priority 2." in ticket.body
    [kept] = world.incident.tickets
    number = kept.removeprefix("desk:")
    assert number in answer and number.endswith(str(ticket.id))
    await world.tell("escalated", body="Nobody has answered for 30 min.")
    await world.tell("late", body="Late since 10:40.")
    assert [("30 min" in c, "10:40" in c) for c in ticket.comments] == [(True, False), (False, True)]
    fixed(world.db, telling().uid, world.now_ms)
    await world.tell("fixed", body="Back after 40 min.")
    assert ticket.state == "closed"
    assert "40 min" in ticket.comments[-1]
    assert len(world.desk.tickets) == 1 and ticket.reopened == 0
    assert world.incident.status is Status.FIXED and world.notes() == []


async def test_where_a_recovery_is_not_to_close_it_only_says_so(desk: FakeDesk, tmp_path: Path) -> None:
    """close_on_recovery = false."""
    db = open_world(tmp_path)
    make_incident(db)
    world = World(desk, db, channel_of(desk, tmp_path, close_on_recovery=False), None)  # type: ignore[arg-type]
    world.again()
    await world.tell("opened")
    await world.tell("fixed", body="Back after 40 min.")
    [ticket] = desk.tickets.values()
    assert ticket.state == "open" and "40 min" in ticket.comments[-1]
    await world.adapter.close()


async def test_the_priority_is_the_desks_own(world: World) -> None:
    """Each product has its own words for it."""
    for priority in (1, 2, 3, 4, None):
        uid = f"lost {priority}"
        incident = make_incident(world.db, uid, priority=priority)
        await world.adapter.send(telling(uid=uid), incident)
    found = [ticket.priority for ticket in world.desk.tickets.values()]
    expected = {
        "Zammad": ["3 high", "2 normal", "1 low", "1 low", "1 low"],
        "Glpi": [5, 4, 3, 2, 2],
        "Freshservice": [4, 3, 2, 1, 1],
    }
    assert found == expected[type(world.desk).__name__]


async def test_what_the_desk_closed_is_noted_acknowledged_and_left_closed(world: World) -> None:
    """No comment of ours opens it again, and nothing is closed twice."""
    await world.tell("opened")
    [ticket] = world.desk.tickets.values()
    await world.watch()
    assert world.incident.status is Status.OPEN
    world.desk.close(ticket)
    await world.watch()
    [note] = world.notes()
    assert note.startswith("closed at the desk (desk ")
    assert (world.incident.status, world.incident.acknowledged_by) == (Status.ACKNOWLEDGED, "service desk")
    comments = len(ticket.comments)
    for what in ("grown", "escalated", "reminded", "late", "fixed"):
        assert "closed at the desk" in await world.tell(what)
    await world.watch()
    assert (ticket.state, ticket.reopened, len(ticket.comments)) == ("closed", 0, comments)
    assert len(world.notes()) == 1 and len(world.desk.tickets) == 1


async def test_what_the_desk_closed_a_moment_ago_is_seen_before_a_comment(world: World) -> None:
    """Without waiting for the next look."""
    await world.tell("opened")
    [ticket] = world.desk.tickets.values()
    world.desk.close(ticket)
    await world.tell("escalated")
    assert (ticket.state, ticket.reopened, ticket.comments) == ("closed", 0, [])
    assert len(world.notes()) == 1


async def test_somebody_who_acknowledged_before_is_not_replaced_by_the_desk(world: World) -> None:
    """The first one counts."""
    await world.tell("opened")
    incident_book.append(world.db, Entry(uid=telling().uid, at_ms=NOW_MS, by="engineer", action=Action.ACKNOWLEDGED))
    world.desk.close(next(iter(world.desk.tickets.values())))
    await world.watch()
    assert world.incident.acknowledged_by == "engineer" and len(world.notes()) == 1


async def test_our_own_closing_is_not_taken_for_the_desks(world: World) -> None:
    """However often the desk is looked at."""
    await world.tell("opened")
    await world.tell("fixed")
    await world.watch()
    await world.watch()
    assert world.notes() == []


@pytest.mark.parametrize("closed_by", ["us", "the desk"])
async def test_what_was_over_and_comes_back_opens_its_ticket_again_once(world: World, closed_by: str) -> None:
    """The same incident, the same ticket."""
    await world.tell("opened")
    [ticket] = world.desk.tickets.values()
    if closed_by == "the desk":
        world.desk.close(ticket)
    await world.tell("fixed")
    assert ticket.state == "closed"
    assert "opened again" in await world.tell("reopened", body="It is away again.")
    assert (ticket.state, ticket.reopened) == ("open", 1)
    assert "away again" in ticket.comments[-1]
    await world.tell("fixed")
    await world.watch()
    assert (ticket.state, ticket.reopened, len(world.desk.tickets)) == ("closed", 1, 1)


async def test_what_was_over_before_there_was_a_ticket_gets_none(world: World) -> None:
    """Nobody at the desk has to look at it."""
    await world.tell("fixed")
    assert world.desk.tickets == {}


async def test_a_ticket_that_was_opened_and_whose_number_was_lost_is_found_again(world: World) -> None:
    """The desk opens it, the line breaks: another process finds it, after the desk's search has had time to see it."""
    create = {"Zammad": "/api/v1/tickets", "Glpi": "/apirest.php/Ticket", "Freshservice": "/api/v2/tickets"}
    world.desk.drop_after.append(create[type(world.desk).__name__])
    message = telling("opened")
    with pytest.raises(Unavailable):
        await world.send(message)
    assert len(world.desk.tickets) == 1 and world.incident.tickets == ()
    world.again()
    world.desk.search_sees = False
    with pytest.raises(Unavailable, match="the desk is searched first"):
        await world.send(message)
    world.desk.search_sees = True
    world.now_ms += by_ticket.SEARCH_SEES_AFTER_MS
    assert "was open already" in await world.send(message)
    assert len(world.desk.tickets) == 1 and len(world.incident.tickets) == 1
    await world.tell("fixed")
    assert world.desk.open_tickets() == []


async def test_a_ticket_that_was_never_opened_is_opened_when_the_search_finds_none(world: World) -> None:
    """The request itself was lost."""
    ticket_book.begin(world.db, "desk", telling().uid, world.now_ms)
    world.now_ms += by_ticket.SEARCH_SEES_AFTER_MS
    assert "opened" in await world.tell("opened")
    assert len(world.desk.tickets) == 1


async def test_what_was_over_before_its_ticket_was_really_opened_gets_none(world: World) -> None:
    """The request was lost, and meanwhile all is well."""
    ticket_book.begin(world.db, "desk", telling().uid, world.now_ms)
    world.now_ms += by_ticket.SEARCH_SEES_AFTER_MS
    assert await world.tell("fixed") == "over before there was a ticket"
    assert world.desk.tickets == {}


async def test_a_ticket_that_cannot_be_looked_at_does_not_hide_the_others(world: World) -> None:
    """The desk fails on the first one."""
    for uid in ("u1", "u2"):
        incident = make_incident(world.db, uid)
        world.now_ms += 1
        await world.send(telling(uid=uid))
    world.desk.close(list(world.desk.tickets.values())[1])
    world.desk.answer.append(500)
    with pytest.raises(Unavailable, match="500"):
        await world.watch()
    found = outbox.incident_of(world.db, "u2")
    assert incident.acknowledged_ms == 0 and found is not None and found.acknowledged_ms


async def test_our_closing_whose_answer_was_lost_is_not_taken_for_the_desks(world: World) -> None:
    """The desk closed it and the line broke: looks in between and the next try find it closed, and it was us."""
    await world.tell("opened")
    [ticket] = world.desk.tickets.values()
    closing = {
        "Zammad": f"/api/v1/tickets/{ticket.id}",
        "Glpi": "/apirest.php/ITILSolution",
        "Freshservice": f"/api/v2/tickets/{ticket.id}",
    }
    world.desk.drop_after += [closing[type(world.desk).__name__]] * 2  # the HTTP library repeats a PUT once by itself
    with pytest.raises(Unavailable):
        await world.tell("fixed")
    assert ticket.state == "closed"
    world.again()
    await world.watch()
    comments = len(ticket.comments)
    assert "closed" in await world.tell("fixed")
    kept = ticket_book.kept(world.db, "desk", telling().uid)
    assert kept is not None and kept.state == "closed"
    assert (world.notes(), len(ticket.comments), ticket.reopened) == ([], comments, 0)


async def test_a_search_that_finds_more_than_was_asked_for_gives_nobody_elses_ticket(world: World) -> None:
    """Only one that holds our word for this incident is ours."""
    make_incident(world.db, "other")
    await world.send(telling(uid="other"))
    world.desk.search_finds_all = True
    await world.tell("opened")
    assert len(world.desk.tickets) == 2


async def test_a_ticket_that_the_desk_deleted_counts_as_closed_there(world: World) -> None:
    """And no new one is opened in its place."""
    await world.tell("opened")
    world.desk.tickets.clear()
    await world.tell("escalated")
    assert world.notes()[0].startswith("the ticket is gone at the desk")
    assert world.desk.tickets == {}


async def test_an_incident_merged_into_another_closes_its_ticket(world: World) -> None:
    """It goes on in the other one's."""
    await world.tell("opened")
    incident_book.append(
        world.db, Entry(uid=telling().uid, at_ms=NOW_MS, by="engineer", action=Action.MERGED, text="x")
    )
    await world.watch()
    assert world.desk.open_tickets() == [] and world.notes() == []


async def test_looking_is_bounded_and_seldom(world: World) -> None:
    """Twenty tickets a look, each at most every five minutes, the longest ago first."""
    for number in range(30):
        uid = f"lost {number}"
        make_incident(world.db, uid)
        await world.adapter.send(telling(uid=uid, at_ms=world.now_ms), outbox.incident_of(world.db, uid))
    world.desk.requests.clear()
    await world.adapter.watch()
    assert world.desk.requests == []
    await world.watch()
    first = len(world.desk.requests)
    await world.adapter.watch()
    assert (first, len(world.desk.requests)) == (20, 30)
    await world.adapter.watch()
    assert len(world.desk.requests) == 30


async def test_words_from_outside_do_not_change_what_is_asked_of_the_desk(world: World) -> None:
    """Braces, quotes, tags and paths in a title are only text."""
    evil = '{token} {id} "}], <script>alert(1)</script> ../../users'
    await world.tell("opened", title=evil, body=evil)
    await world.tell("late", title=evil, body=evil)
    [ticket] = world.desk.tickets.values()
    for text in (ticket.title, ticket.body, *ticket.comments):
        assert TOKEN not in text and "{token}" in text
    if type(world.desk).__name__ != "Zammad":  # its articles are declared as plain text
        assert "<script>" not in ticket.body + ticket.comments[0]


async def test_a_wrong_token_is_said_and_worth_waiting_for(desk: FakeDesk, tmp_path: Path) -> None:
    """A person can put it right while the message waits; it is never in the words."""
    db = open_world(tmp_path)
    make_incident(db)
    channel = channel_of(desk, tmp_path)
    (tmp_path / "token").write_text("wrong-token-9\n")
    adapter = open_channels([channel], Surroundings(db, lambda: NOW_MS))["desk"]
    with pytest.raises(Unavailable, match=r"answered 401.*look at its token") as caught:
        await adapter.send(telling(), outbox.incident_of(db, telling().uid))
    assert "wrong-token-9" not in str(caught.value)
    await adapter.close()


async def test_a_test_message_opens_no_ticket_but_sees_that_the_desk_answers(world: World) -> None:
    """`caretaker notify test`."""
    assert await world.adapter.send(telling("test", uid=""), None) == "the desk answers; nothing was opened"
    assert world.desk.tickets == {} and world.desk.requests


async def test_a_digest_is_no_ticket(world: World) -> None:
    """It is for people."""
    await world.adapter.send(telling("digest", uid=""), None)
    assert world.desk.tickets == {}


async def test_a_look_in_the_middle_of_our_closing_does_not_take_it_for_the_desks(world: World) -> None:
    """Both wait for each other."""
    await world.tell("opened")
    world.now_ms += 360_000
    world.desk.slow_look = True
    look = asyncio.create_task(world.adapter.watch())
    await asyncio.sleep(0.1)
    await asyncio.gather(look, world.tell("fixed"))
    assert world.notes() == [] and world.desk.open_tickets() == []


async def test_a_session_that_ran_out_is_begun_again(tmp_path: Path) -> None:
    """GLPI ends sessions by itself."""
    with serving(DESKS["glpi"]()) as desk:
        db = open_world(tmp_path)
        make_incident(db)
        adapter = open_channels([channel_of(desk, tmp_path)], Surroundings(db, lambda: NOW_MS))["desk"]
        incident = outbox.incident_of(db, telling().uid)
        await adapter.send(telling(), incident)
        desk.session += 1  # type: ignore[attr-defined]
        await adapter.send(telling("late"), incident)
        assert len(next(iter(desk.tickets.values())).comments) == 1
        await adapter.close()


async def test_a_desk_that_refuses_says_why(tmp_path: Path) -> None:
    """Zammad without the group."""
    with serving(DESKS["zammad"]()) as desk:
        db = open_world(tmp_path)
        make_incident(db)
        adapter = open_channels([channel_of(desk, tmp_path, queue="3rd")], Surroundings(db, lambda: NOW_MS))["desk"]
        with pytest.raises(Rejected, match=r"422.*No lookup value found for 'group'"):
            await adapter.send(telling(), outbox.incident_of(db, telling().uid))
        await adapter.close()


def test_settings_that_a_desk_cannot_work_without_are_named_all_at_once(tmp_path: Path) -> None:
    """And a secret file that is empty."""
    (tmp_path / "token").write_text("x\n")
    (tmp_path / "empty").write_text("\n")
    token, empty = str(tmp_path / "token"), str(tmp_path / "empty")
    channels = [
        Channel(name="a", kind="ticket", url="https://z.example", preset="zammad", token_file=token),
        Channel(name="b", kind="ticket", url="https://z.example", preset="glpi", token_file=empty),
        Channel(name="c", kind="ticket", url="https://z.example", preset="freshservice"),
    ]
    with pytest.raises(ConfigError) as caught:
        open_channels(channels, Surroundings(sqlite3.connect(":memory:"), lambda: 0))
    assert caught.value.faults == [
        "channel a  Zammad needs queue",
        f"channel b  token_file: {empty} has no text in its first line",
        "channel c  needs token_file",
    ]


@pytest.mark.parametrize(
    ("kind", "what", "subject", "lines"),
    [
        (FindingKind.LOST, "opened", "PROBLEM Host Alert: ash.ict1-07 is DOWN", ["Host: ash.ict1-07", "State: DOWN"]),
        (FindingKind.SERVER_DOWN, "late", "PROBLEM Host Alert: ash.ict1-07 is DOWN", ["State: DOWN"]),
        (FindingKind.LOST, "fixed", "RECOVERY Host Alert: ash.ict1-07 is UP", ["State: UP"]),
        (
            FindingKind.DISK_FULL,
            "opened",
            "PROBLEM Service Alert: ash.ict1-07/disk_full is CRITICAL",
            ["Host: ash.ict1-07", "Service: disk_full", "State: CRITICAL"],
        ),
        (FindingKind.DISK_FULL, "fixed", "RECOVERY Service Alert: ash.ict1-07/disk_full is OK", ["State: OK"]),
    ],
)
def test_mail_for_desks_has_the_form_that_their_filters_parse(
    tmp_path: Path, kind: FindingKind, what: str, subject: str, lines: list[str]
) -> None:
    """The subject whole and alone; the lines each by itself."""
    mail = mail_of(telling(what), make_incident(open_world(tmp_path), kind=kind))
    assert mail.title == subject
    assert set(lines) <= set(mail.body.splitlines())


def test_our_word_for_an_incident_is_one_word_and_stays_the_same() -> None:
    """Searches take words apart at anything but letters and digits."""
    word = reference("lost ash/ict1-07 1791")
    assert word.isalnum() and word == reference("lost ash/ict1-07 1791") != reference("lost ash/ict1-08 1791")
