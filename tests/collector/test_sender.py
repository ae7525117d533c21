"""The sender: what waits is sent, in order, at least once; what cannot be sent is seen."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from caretaker_collector.notify import outbox, sender
from caretaker_collector.notify.http_call import Later
from caretaker_collector.notify.sender import Sender
from caretaker_contract.clock import Clock
from caretaker_contract.errors import ConfigError, Rejected, Unavailable
from caretaker_rules.alerting import Telling
from caretaker_rules.incidents import Incident
from servers import FaultyHttp
from telling_world import NOW_MS, fixed, make_incident, open_world, put, status_of, telling
from worlds import collecting, eventually, make_world

SPEED = 600.0


@dataclass
class Ears:
    """A channel that remembers what it was told; `does` may raise or wait instead."""

    told: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    does: Callable[[Telling], object] | None = None
    incidents: list[Incident | None] = field(default_factory=list)

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Hear it."""
        self.tried.append(telling.id)
        if self.does is not None:
            result = self.does(telling)
            if asyncio.iscoroutine(result):
                await result
        self.told.append(telling.id)
        self.incidents.append(incident)
        return "heard"

    async def close(self) -> None:
        """Nothing."""


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    """A state file."""
    return open_world(tmp_path)


@asynccontextmanager
async def running(db: sqlite3.Connection, **channels: Ears) -> AsyncIterator[Sender]:
    """A sender at work, 600 times as fast as the world."""
    made = Sender(db, channels, Clock(NOW_MS / 1000, time.time(), SPEED))
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into the queue all the time."""
    monkeypatch.setattr(sender, "LOOK_S", 0.01)


async def test_what_waits_is_sent_in_the_order_of_making_with_its_incident(db: sqlite3.Connection) -> None:
    """And its answer is kept."""
    incident = make_incident(db)
    messages = [
        telling("opened", id_="c"),
        telling("grown", id_="b", at_ms=NOW_MS + 1),
        telling("fixed", id_="a", at_ms=NOW_MS + 2),
    ]
    put(db, *reversed(messages), telling("digest", uid="", id_="d", at_ms=NOW_MS + 3))
    ears = Ears()
    async with running(db, desk=ears):
        await until(lambda: len(ears.told) == 4)
    assert ears.told == ["c", "b", "a", "d"]
    assert [each.uid if each else None for each in ears.incidents] == [incident.uid] * 3 + [None]
    assert [status_of(db, id_) for id_ in "abcd"] == [("sent", 1, "heard")] * 4


async def test_nothing_goes_out_before_it_is_due(db: sqlite3.Connection) -> None:
    """Quiet hours put messages off."""
    put(db, telling(id_="now"), telling(uid="other", id_="morning", at_ms=NOW_MS + 3_600_000_000))
    ears = Ears()
    async with running(db, desk=ears):
        await until(lambda: ears.told == ["now"])
        await asyncio.sleep(0.1)
    assert ears.told == ["now"]
    assert status_of(db, "morning")[:2] == ("waiting", 0)


async def test_a_slow_channel_holds_up_no_other(db: sqlite3.Connection) -> None:
    """One queue for each."""
    put(db, *(telling(channel=name, id_=f"{name}{n}", uid=f"u{n}") for name in ("slow", "quick") for n in range(3)))
    slow, quick_ = Ears(does=lambda _: asyncio.sleep(60)), Ears()
    async with running(db, slow=slow, quick=quick_):
        await until(lambda: len(quick_.told) == 3)
    assert slow.told == [] and slow.tried == ["slow0"]


async def test_what_does_not_go_out_is_tried_again_and_its_queue_is_seen(db: sqlite3.Connection) -> None:
    """Attempts, answer and the next time stand in the row; the problem says so after the third."""
    put(db, telling(id_="m1"))

    def down(_: Telling) -> None:
        raise Unavailable("it answered 503")

    ears = Ears(does=down)
    async with running(db, desk=ears) as at_work:
        await until(lambda: len(ears.tried) >= 4)
        status, attempts, answer = status_of(db, "m1")
        assert (status, answer) == ("waiting", "it answered 503") and attempts >= 4
        assert "channel desk: 1 message cannot be sent: it answered 503" in at_work.problem
        ears.does = None
        await until(lambda: ears.told == ["m1"])
        await until(lambda: at_work.problem == "")


async def test_waits_between_tries_grow_and_end_at_an_hour(db: sqlite3.Connection) -> None:
    """30 s, 1 min, 2 min ... of the collector's time, set before the try."""
    put(db, telling(id_="m1"))
    waits = []
    for _ in range(10):
        assert outbox.claim(db, "m1", NOW_MS)
        waits.append((db.execute("SELECT next_ms FROM tellings").fetchone()[0] - NOW_MS) // 1000)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_the_other_side_may_name_the_time(db: sqlite3.Connection) -> None:
    """Retry-After is kept to."""
    put(db, telling(id_="m1"))

    def later(_: Telling) -> None:
        raise Later("it answered 429", 1800)

    ears = Ears(does=later)
    async with running(db, desk=ears):
        await until(lambda: status_of(db, "m1")[2] == "it answered 429")
        assert db.execute("SELECT next_ms FROM tellings").fetchone()[0] >= NOW_MS + 1_800_000


async def test_of_one_incident_nothing_overtakes_what_came_before(db: sqlite3.Connection) -> None:
    """ "Fixed" never arrives before "down", though others go on."""
    put(
        db,
        telling(id_="down"),
        telling("fixed", id_="up", at_ms=NOW_MS + 1),
        telling(uid="other", id_="other", at_ms=NOW_MS + 2),
    )

    def not_down(message: Telling) -> None:
        if message.id == "down":
            raise Unavailable("not this one")

    ears = Ears(does=not_down)
    async with running(db, desk=ears):
        await until(lambda: ears.told == ["other"] and ears.tried.count("down") >= 2)
        ears.does = None
        await until(lambda: len(ears.told) == 3)
    assert ears.told == ["other", "down", "up"]


async def test_a_refused_message_is_failed_at_once_and_a_person_can_send_it_again(db: sqlite3.Connection) -> None:
    """It counts as a problem for a day."""
    put(db, telling(id_="refused-1"))

    def never(_: Telling) -> None:
        raise Rejected("it answered 422: no such group")

    ears = Ears(does=never)
    async with running(db, desk=ears) as at_work:
        await until(lambda: status_of(db, "refused-1")[0] == "failed")
        assert status_of(db, "refused-1") == ("failed", 1, "it answered 422: no such group")
        assert at_work.problem == "channel desk: 1 message given up within a day; see `caretaker notify queue`"
        ears.does = None
        outbox.again(db, "refuse", NOW_MS)
        await until(lambda: ears.told == ["refused-1"])
        assert at_work.problem == ""
    with pytest.raises(ConfigError, match="was sent already"):
        outbox.again(db, "refused-1", NOW_MS)
    with pytest.raises(ConfigError, match="no such message"):
        outbox.again(db, "nonsense", NOW_MS)


async def test_after_a_day_it_is_given_up_with_a_clear_word(db: sqlite3.Connection) -> None:
    """Not before; and a person who sends it again gets another day."""
    put(
        db, telling(id_="oldest", at_ms=NOW_MS - 86_400_000), telling(uid="u", id_="younger", at_ms=NOW_MS - 80_000_000)
    )

    def down(_: Telling) -> None:
        raise Unavailable("cannot be reached: refused")

    async with running(db, desk=Ears(does=down)):
        await until(lambda: status_of(db, "oldest")[0] == "failed" and status_of(db, "younger")[1] > 0)
    assert status_of(db, "oldest")[2] == "given up after a day: cannot be reached: refused"
    assert status_of(db, "younger")[0] == "waiting"
    outbox.again(db, "oldest", NOW_MS)
    assert outbox.since(db, "oldest") == NOW_MS


async def test_one_message_that_kills_its_adapter_stops_no_other(db: sqlite3.Connection) -> None:
    """A defect is a failure like any other."""
    put(db, *(telling(uid=f"u{n}", id_=f"m{n}", at_ms=NOW_MS + n) for n in range(4)))

    def defect(message: Telling) -> None:
        if message.id == "m1":
            raise ZeroDivisionError("oh")

    ears = Ears(does=defect)
    async with running(db, desk=ears):
        await until(lambda: len(ears.told) == 3)
    assert ears.told == ["m0", "m2", "m3"]
    assert "ZeroDivisionError" in status_of(db, "m1")[2]


async def test_a_channel_that_is_down_is_not_asked_for_every_message_and_drains_when_it_is_back(
    db: sqlite3.Connection,
) -> None:
    """It rests, longer and longer; once it works, nothing waits for its own next try."""
    put(db, *(telling(uid=f"u{n:03}", id_=f"m{n:03}", at_ms=NOW_MS + n) for n in range(200)))

    def down(_: Telling) -> None:
        raise Unavailable("down")

    ears = Ears(does=down)
    async with running(db, desk=ears):
        await until(lambda: len(ears.tried) >= 8)
        tried = len(ears.tried)
        await asyncio.sleep(0.2)  # two minutes of the collector: at a minute between tries
        assert len(ears.tried) <= tried + 4
        ears.does = None
        await until(lambda: len(ears.told) == 200)


async def test_when_a_channel_works_again_nothing_waits_for_its_own_next_try(db: sqlite3.Connection) -> None:
    """Three failures in a row were the channel's; what had been put off for hours goes out now."""
    put(db, *(telling(uid=f"u{n}", id_=f"m{n}", at_ms=NOW_MS + n) for n in range(5)))
    db.execute("UPDATE tellings SET attempts = 7, next_ms = ? WHERE id <> 'm0'", (NOW_MS + 10**10,))

    def down(_: Telling) -> None:
        if len(ears.tried) <= 3:
            raise Unavailable("down")

    ears = Ears(does=down)
    async with running(db, desk=ears):
        await until(lambda: len(ears.told) == 5)


async def test_messages_for_a_channel_that_is_not_there_wait_and_are_a_problem(db: sqlite3.Connection) -> None:
    """Somebody may put it back into the settings."""
    put(db, telling(channel="gone", id_="m1"))
    async with running(db, desk=Ears()) as at_work:
        assert at_work.problem == "messages wait for channel gone, which is not in the settings"
    assert status_of(db, "m1")[0] == "waiting"
    put(db, telling(channel="gone", id_="m0", at_ms=NOW_MS - 90_000_000))
    async with running(db, desk=Ears()):
        await until(lambda: status_of(db, "m0")[0] == "failed")


async def test_what_was_under_way_in_a_crash_goes_out_again_under_the_same_id(db: sqlite3.Connection) -> None:
    """Claimed and never answered: the row still waits."""
    put(db, telling(id_="m1"))
    assert outbox.claim(db, "m1", NOW_MS)
    ears = Ears()
    async with running(db, desk=ears):
        await until(lambda: ears.told == ["m1"])
    assert status_of(db, "m1") == ("sent", 2, "heard")


async def test_a_row_within_another_message_is_not_sent(db: sqlite3.Connection) -> None:
    """What one message tells of several incidents goes out once."""
    lead = telling(id_="lead")
    put(db, lead, msgspec.structs.replace(telling(uid="u2", id_="inner"), within="lead"))
    ears = Ears()
    async with running(db, desk=ears):
        await until(lambda: ears.told == ["lead"])
        await asyncio.sleep(0.05)
    assert ears.told == ["lead"]


async def test_a_burst_of_ten_thousand_leaves_the_queue_in_seconds(db: sqlite3.Connection) -> None:
    """The work for each message does not grow with the queue."""
    db.execute("BEGIN")
    put(db, *(telling(uid=f"u{n}", id_=f"m{n}", at_ms=NOW_MS) for n in range(10_000)))
    db.execute("COMMIT")
    ears = Ears()
    async with running(db, desk=ears):
        await until(lambda: len(ears.told) == 10_000, within_s=60)


@pytest.mark.slow
def test_kill_9_between_sending_and_marking_sends_it_again_with_the_same_id(tmp_path: Path) -> None:
    """A real collector, a real receiver that took the message and never answered."""
    with FaultyHttp("http://127.0.0.1:9") as receiver:
        receiver.slow(60)
        world = make_world(tmp_path, 1)
        (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        (tmp_path / "alerts.toml").write_text(
            'default = ["hook"]\n[[channels]]\nname = "hook"\nkind = "webhook"\nsecret_file = "secret"\n'
            f'url = "{receiver.url}/hook"\n'
        )
        world.config.write_text('alerts = "alerts.toml"\n' + world.config.read_text())
        world.data.mkdir()
        made = open_world(world.data)
        make_incident(made)
        put(made, telling(channel="hook", id_="msg-1", at_ms=NOW_MS))
        fixed(made, telling().uid)
        clock = Clock(NOW_MS / 1000, time.time(), 60)
        with collecting(world, clock) as collector:
            eventually(lambda: len(receiver.seen) == 1, 10, collector.log)
            collector.kill()
            assert status_of(made, "msg-1")[:2] == ("waiting", 1)
            receiver.answer(200, b"ok")
            collector.start()
            eventually(lambda: status_of(made, "msg-1")[0] == "sent", 15, collector.log)
        assert [seen.headers["webhook-id"] for seen in receiver.seen] == ["msg-1", "msg-1"]
        assert all(seen.path == "/hook" for seen in receiver.seen)
        made.close()
