"""Who is sent a kept pack, when again, and when the collector looks for what is due."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
from msgspec import structs

import review_packs
from caretaker_collector import state
from caretaker_collector.files.kinds import CollectorSettings
from caretaker_collector.notify import outbox
from caretaker_collector.review import keep, mail_book, schedule, send, shelf
from caretaker_collector.review.make import Job
from caretaker_collector.review.shelf import Kept
from caretaker_contract.clock import Clock
from caretaker_dashboards.review.pack import Pack
from caretaker_rules.model import Estate, Readers, ReviewSettings, School
from caretaker_rules.timetable import NO_TIMETABLE
from rules_world import london_ms
from telling_world import NOW_MS

PEOPLE = [
    Readers(role="ICT project director", addresses=["dan@ash.example"]),
    Readers(role="head teacher", addresses=["head@ash.example", "dan@ash.example"]),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = state.open_state(tmp_path / "state.db")
    yield found
    found.close()


def estate_of(place: str, readers: list[Readers]) -> Estate:
    """One school."""
    school = School(name=place, title="Ashfield", review=ReviewSettings(readers=readers))
    return Estate(provider="p", networks={}, schools={place: school}, classes={}, devices={})


@pytest.fixture
def settings(tmp_path: Path) -> CollectorSettings:
    """With a mail server."""
    (tmp_path / "alerts.toml").write_text(
        'default = ["post"]\n[[channels]]\nname = "post"\nkind = "mail"\nurl = "mailto://127.0.0.1:9"\n'
        'to = ["a@b.example"]\n'
    )
    return CollectorSettings(estate="estate.toml", data=str(tmp_path), alerts=str(tmp_path / "alerts.toml"))


def kept_of(db: sqlite3.Connection, data: Path, pack: Pack) -> Kept:
    """Keep it with its files."""
    placed = keep.place(db, data, pack)
    with keep.room(data, placed.pack) as folder:
        for kind in ("html", "pdf", "xlsx"):
            (folder / f"pack.{kind}").write_text("drawn")
        return keep.put(db, data, placed.pack, folder)


def changed(pack: Pack, key: str, value: float) -> Pack:
    """Another figure, a day later."""
    fact = structs.replace(pack.facts[key], value=value, low=None, high=None)
    return structs.replace(pack, facts={**pack.facts, key: fact}, made_ms=pack.made_ms + 86_400_000)


def test_each_address_gets_one_mail_and_a_revision_only_when_the_first_page_changed(
    db: sqlite3.Connection, tmp_path: Path, settings: CollectorSettings
) -> None:
    pack = review_packs.full()
    estate = estate_of(pack.place, PEOPLE)

    def write(kept: Kept) -> int:
        count, unsent = send.write(db, tmp_path, estate, settings, kept, NOW_MS)
        assert unsent == ""
        return count

    first = kept_of(db, tmp_path, pack)
    assert (write(first), write(first)) == (2, 0)
    rows = outbox.due(db, send.CHANNEL, NOW_MS)
    assert len({row.telling.id for row in rows}) == 2
    front = {key for line in pack.headlines for key in (line.fact, line.target, line.last_month, line.last_year)}
    inner = next(
        key
        for key, fact in pack.facts.items()
        if key not in front and isinstance(fact.value, float) and not key.startswith(keep.OF_THE_DAY_FACTS)
    )
    second_pack = changed(pack, inner, 12.5)
    assert write(kept_of(db, tmp_path, second_pack)) == 0, "no figure of the first page is another"
    third_pack = changed(second_pack, pack.headlines[0].fact, 90.12)
    third = kept_of(db, tmp_path, third_pack)
    assert (write(third), write(third)) == (2, 0)
    third_mails = {mail.id for mail in mail_book.of_pack(db, pack.place, pack.period) if mail.revision == 3}
    newest = next(row.telling for row in outbox.due(db, send.CHANNEL, NOW_MS) if row.telling.id in third_mails)
    assert "revision 3: Availability in service hours was " in newest.title and "is 90.12 %" in newest.title
    assert newest.body.startswith("This takes the place of what you were sent.")
    assert {mail.revision for mail in mail_book.of_pack(db, pack.place, pack.period)} == {1, 3}


def test_without_readers_or_a_mail_server_it_is_kept_and_that_is_said(
    db: sqlite3.Connection, tmp_path: Path, settings: CollectorSettings
) -> None:
    kept = kept_of(db, tmp_path, review_packs.full())
    nobody = estate_of(kept.place, [])
    assert send.write(db, tmp_path, nobody, settings, kept, NOW_MS) == (0, send.NO_READERS)
    silent = structs.replace(settings, alerts=None)
    assert send.write(db, tmp_path, estate_of(kept.place, PEOPLE), silent, kept, NOW_MS) == (0, send.NO_MAIL)


def test_people_of_the_alerts_channel_are_not_sent_reviews() -> None:
    url = "mailtos://user:pass@mail.example:465/all@provider.example?to=a@b.example&mode=ssl&CC=c@d.example&from=x"
    assert send.without_people(url) == "mailtos://user:pass@mail.example:465/?mode=ssl&from=x"


def reviews(db: sqlite3.Connection, tmp_path: Path, clock: Clock, mails: bool = False) -> schedule.Reviews:
    """Of one school that was heard of all through September 2026."""
    db.execute("INSERT INTO sight VALUES (?, ?)", (london_ms("2026-08-31 00:00"), london_ms("2026-10-01 05:00")))
    db.execute("INSERT INTO day_ends VALUES ('ash', 'pc-1', '2026-09-07', x'00', x'00')")
    found = CollectorSettings(estate="estate.toml", data=str(tmp_path))
    return schedule.Reviews(found, estate_of("ash", PEOPLE), db, lambda school: NO_TIMETABLE, clock, mails)


def test_what_is_due_is_made_once_waits_for_its_days_and_for_a_reader_who_has_not_got_it(
    db: sqlite3.Connection, tmp_path: Path
) -> None:
    found = reviews(db, tmp_path, Clock(), mails=True)
    begin_ms, later_ms = london_ms("2026-10-01 06:00"), london_ms("2026-10-02 06:00")
    assert found.due(begin_ms - 1) == []
    assert found.due(begin_ms) == [Job("ash", "2026-09")]
    db.execute("INSERT INTO dirty_days (school, day, since_ms) VALUES ('ash', '2026-09-30', 0)")
    assert found.due(begin_ms) == [], "a day of it is still to be computed"
    assert found.due(later_ms) == [Job("ash", "2026-09")], "it does not wait for ever"
    db.execute("DELETE FROM dirty_days")
    shelf.add(
        db,
        Kept(place="ash", period="2026-09", revision=1, made_ms=1, stamp="", reason="", folder="x", files=()),
    )
    assert found.due(begin_ms) == [Job("ash", "2026-09")], "made by hand: its readers wait for it"
    for _, address in send.readers(estate_of("ash", PEOPLE), "ash"):
        mail_book.add(db, mail_book.PackMail(address, "ash", "2026-09", 1, "reader", address))
    assert found.due(later_ms) == []


def test_it_looks_each_morning_of_the_schools_own_clock_also_at_weekends_and_makes_up_for_sleep(
    db: sqlite3.Connection, tmp_path: Path
) -> None:
    """What is a working day is for the rules to say, by the school's calendar."""
    jobs = {job.id: job for job in reviews(db, tmp_path, Clock()).scheduler().get_jobs()}
    trigger = jobs["look Europe/London"].trigger
    london = ZoneInfo("Europe/London")
    saturday = datetime(2026, 10, 24, 22, 0, tzinfo=london)
    assert trigger.get_next_fire_time(None, saturday) == datetime(2026, 10, 25, 6, 10, tzinfo=london)
    assert trigger.get_next_fire_time(None, saturday).astimezone(UTC).hour == 6, "the clocks went back that night"
    db.execute("DELETE FROM sight")
    db.execute("DELETE FROM day_ends")
    for job in reviews(db, tmp_path, Clock(0.0, 0.0, 60.0)).scheduler().get_jobs():
        assert job.trigger.interval.total_seconds() == 60


def test_the_process_that_makes_reviews_ends_with_the_collector() -> None:
    """Whoever waits for it is told to end: nothing of it is left."""

    async def begin_and_end() -> list[psutil.Process]:
        before = set(psutil.Process().children())
        task = asyncio.create_task(schedule.child(b"", ("-c", "import time; time.sleep(60)")))
        while not (mine := set(psutil.Process().children()) - before):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [process for process in mine if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    assert asyncio.run(begin_and_end()) == []
