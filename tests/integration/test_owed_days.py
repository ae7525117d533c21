"""A day says what was owed and whether it was there: through the real recorder, store and roll-up."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.order_book import Scope
from caretaker_collector.records import make
from caretaker_collector.sla.book import rows
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.model import LevelChange, Term
from caretaker_rules.repeats import Series
from rules_world import london_ms
from sla_world import IN_USE, Bench, level

MON, TUE, WED = "2026-09-14", "2026-09-15", "2026-09-16"
HOUR = 3600


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One machine, seen all the time."""
    made = Bench(tmp_path)
    made.sees("2026-09-01 00:00", "2026-10-10 00:00")
    yield made
    await made.close()


def figures(day):
    """Owed, maintained, available, down, unseen in hours, and faults."""
    names = ("owed_s", "maintained_s", "available_s", "down_s", "unseen_s")
    return (*(day[name] / HOUR for name in names), day["faults"])


async def test_a_good_day_is_all_available(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{TUE} 00:10")
    day = await bench.day(MON)
    assert figures(day) == (8, 0, 8, 0, 0, 0)
    assert (day["lesson_s"], day["lesson_available_s"]) == (2 * HOUR, 2 * HOUR)
    assert bench.outages() == []


async def test_a_machine_that_is_lost_is_down_until_it_is_back_and_overnight_counts_once(bench: Bench) -> None:
    await bench.works(MON, off="14:00")
    told = bench.working(TUE, on="07:30", off="12:00")
    await bench.say(*told[:-1])  # the last thing heard on Tuesday is a heartbeat at 11:55
    bench.infer(f"{TUE} 12:00", IN_USE, PowerState.LOST)
    await bench.roll(f"{WED} 09:00")
    assert figures(await bench.day(TUE)) == (8, 0, 4, 4, 0, 1)
    assert figures(await bench.day(WED)) == (1, 0, 0, 1, 0, 0)
    assert [row[1:4] for row in bench.outages()] == [
        ("15 12:00", "16 00:00", "lost"),
        ("16 00:00", "16 09:00", "lost"),
    ]


async def test_a_day_without_any_word_is_computed_when_it_is_over(bench: Bench) -> None:
    """The school is silent from Monday noon on: Tuesday comes out all the same."""
    await bench.say(*bench.working(MON, off="12:00")[:-1])
    await bench.roll(f"{MON} 13:00")
    await bench.roll(f"{WED} 00:10")
    assert figures(await bench.day(TUE)) == (8, 0, 0, 8, 0, 0)


async def test_what_was_concluded_makes_its_day_due_without_a_report(bench: Bench) -> None:
    """A machine falls silent and nobody else of the school says anything: its day is computed again all the same."""
    told = bench.working(TUE, on="07:30", off="09:00")
    await bench.say(*told[:-1])
    await bench.roll(f"{TUE} 09:00")
    bench.infer(f"{TUE} 09:00", IN_USE, PowerState.LOST)
    await bench.record()
    assert await bench.rollup.step(london_ms(f"{TUE} 10:00"), settle=False) == 1
    assert (await bench.day(TUE))["down_s"] == HOUR


async def test_planned_off_is_available_until_the_next_lesson_needs_it_however_long_ago_it_went(bench: Bench) -> None:
    """Off by a rule on Monday at 14:00: needed on Tuesday at 09:00; on Wednesday it is missing from eight on."""
    await bench.works(MON, off="14:00", cause=Cause.RULE)
    await bench.roll(f"{TUE} 23:59")
    await bench.roll("2026-09-17 00:10")
    assert figures(await bench.day(MON)) == (8, 0, 8, 0, 0, 0)
    assert figures(await bench.day(TUE)) == (8, 0, 1, 7, 0, 1)
    assert figures(await bench.day(WED)) == (8, 0, 0, 8, 0, 0)
    assert {row[3:] for row in bench.outages()} == {("not_back", "rule")}


async def test_off_by_its_user_is_available_until_a_wake_failed(bench: Bench) -> None:
    await bench.works(MON, off="14:00")
    bench.db.execute(
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, attempts, first_ms, result) "
        "VALUES ('ash', 'pc-000', 'x', 'r', 'ict1', ?, ?, 3, ?, 'cannot')",
        (london_ms(f"{TUE} 10:00"), london_ms(f"{TUE} 11:00"), london_ms(f"{TUE} 09:45")),
    )
    bench.db.execute(
        "INSERT INTO wakes (school, device, occasion, rule, room, needed_ms, until_ms, attempts, first_ms, result, "
        "result_ms) VALUES ('ash', 'pc-000', 'y', 'r', 'ict1', ?, ?, 1, ?, 'awake', ?)",
        (*(london_ms(f"{TUE} {at}") for at in ("09:00", "09:20", "08:45", "08:50")),),
    )
    await bench.roll(f"{TUE} 23:59")
    assert figures(await bench.day(TUE)) == (8, 0, 2, 6, 0, 1)


async def test_only_maintenance_recorded_before_it_began_is_left_out(bench: Bench) -> None:
    """Ten to twelve was on record the day before; the rest, written down afterwards, counts as down."""
    insert = (
        "INSERT INTO holds (kind, school, room, from_ms, until_ms, reason, made_ms, time_zone) "
        "VALUES ('maintenance', 'ash', 'ict1', ?, ?, 'fan', ?, 'Europe/London')"
    )
    for begin, end, made in (("10:00", "12:00", f"{MON} 17:00"), ("12:00", "14:00", f"{TUE} 15:00")):
        bench.db.execute(insert, (london_ms(f"{TUE} {begin}"), london_ms(f"{TUE} {end}"), london_ms(made)))
    await bench.say(*bench.working(TUE, off="10:00")[:-1])
    bench.infer(f"{TUE} 10:00", IN_USE, PowerState.LOST)
    await bench.roll(f"{WED} 00:10")
    assert figures(await bench.day(TUE)) == (8, 2, 2, 4, 0, 1)


async def test_a_repeated_record_of_maintenance_counts_each_time(bench: Bench) -> None:
    bench.db.execute(
        "INSERT INTO holds (kind, school, from_ms, until_ms, reason, made_ms, every, last_day, time_zone, resumes_ms) "
        "VALUES ('maintenance', 'ash', ?, ?, 'patches', ?, 'day', '2026-09-18', 'Europe/London', ?)",
        (
            *(london_ms(f"{MON} {at}") for at in ("15:00", "16:00", "09:00")),
            london_ms(f"{WED} 15:00") + 1,  # the time on Wednesday was called off
        ),
    )
    for day in (MON, TUE, WED):
        await bench.works(day)
    await bench.roll("2026-09-17 00:10")
    assert [(await bench.day(day))["maintained_s"] for day in (MON, TUE, WED)] == [HOUR, HOUR, 0]


async def test_without_sight_silence_is_unseen_and_not_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.sees("2026-09-14 00:00", "2026-09-14 11:00")
    await bench.say(*bench.working(MON, off="11:00")[:-1])
    await bench.roll(f"{TUE} 00:10")
    owed, _, available, down, unseen, faults = figures(await bench.day(MON))
    assert (owed, down, faults) == (8, 0, 0)
    assert available + unseen == 8
    assert 4.9 < unseen <= 5.2
    await bench.close()


async def test_what_lies_before_caretaker_was_there_is_in_no_figure(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.sees(f"{MON} 12:00", f"{WED} 00:00")
    await bench.works(MON, on="12:00")
    await bench.roll(f"{TUE} 00:10")
    assert figures(await bench.day(MON)) == (4, 0, 4, 0, 0, 0)
    await bench.close()


async def test_a_machine_that_was_never_heard_is_owed_and_unseen(tmp_path: Path) -> None:
    bench = Bench(tmp_path, devices=2)
    bench.sees("2026-09-01 00:00", "2026-10-10 00:00")
    await bench.works(MON)
    await bench.roll(f"{TUE} 00:10")
    assert figures(await bench.day(MON, "pc-001")) == (8, 0, 0, 0, 8, 0)
    assert (await bench.row(MON, TUE)).sums.devices.low == 0.5
    await bench.close()


async def test_a_changed_level_makes_the_days_that_it_touches_be_computed_again(bench: Bench) -> None:
    """From Tuesday on the level has nine hours; Monday is left alone."""
    for day in (MON, TUE):
        await bench.works(day)
    await bench.roll(f"{WED} 00:10")
    assert [(await bench.day(day))["owed_s"] for day in (MON, TUE)] == [8 * HOUR, 8 * HOUR]
    two = [level(), level("enhanced", hours=["mon-fri 08:00-17:00"])]
    bench.start(service=two, levels=[LevelChange(level="enhanced", starts=date(2026, 9, 15))])
    assert await bench.rollup.step(london_ms(f"{WED} 00:20"), settle=False) == 2  # Tuesday, and today
    assert [(await bench.day(day))["owed_s"] for day in (MON, TUE)] == [8 * HOUR, 9 * HOUR]
    assert await bench.rollup.step(london_ms(f"{WED} 00:30"), settle=False) == 0
    bench.start(service=two, levels=[LevelChange(level="enhanced", starts=date(2026, 9, 15))])
    assert await bench.rollup.step(london_ms(f"{WED} 00:40"), settle=False) == 0


async def test_a_calendar_file_that_closes_the_school_makes_its_day_be_computed_again(bench: Bench) -> None:
    for day in (MON, TUE):
        await bench.works(day)
    days = bench.folder / "days.csv"
    days.write_text("date,kind,week\n2026-09-15,term,\n")
    bench.start(days="days.csv")
    await bench.roll(f"{WED} 00:10")
    assert (await bench.day(TUE))["owed_s"] == 8 * HOUR
    days.write_text("date,kind,week\n2026-09-15,holiday,\n")
    assert await bench.rollup.step(london_ms(f"{WED} 00:20"), settle=False) == 1
    assert [(await bench.day(day))["owed_s"] for day in (MON, TUE)] == [8 * HOUR, 0]


async def test_maintenance_written_down_today_makes_today_be_computed_again(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{MON} 17:00")
    scope = Scope(school="ash", room="ict1")
    series = Series(from_ms=london_ms(f"{MON} 18:00"), until_ms=london_ms(f"{MON} 19:00"), time_zone="Europe/London")
    make(bench.db, "maintenance", scope, series, "fan", "engineer", london_ms(f"{MON} 17:05"))
    assert await bench.rollup.step(london_ms(f"{MON} 17:06"), settle=False) == 1
    assert await bench.rollup.step(london_ms(f"{MON} 17:07"), settle=False) == 0


async def test_a_late_report_makes_an_outage_blind_because_the_line_was_cut(bench: Bench) -> None:
    """The machine was on all the time, only nobody heard it: its own numbered reports say so (design, section 6)."""
    told = bench.working(MON)
    lost = [one for one in told if london_ms(f"{MON} 10:00") < one.received_ms < london_ms(f"{MON} 12:00")]
    await bench.say(*(one for one in told if one not in lost and one.received_ms <= london_ms(f"{MON} 10:00")))
    bench.infer(f"{MON} 10:05", IN_USE, PowerState.LOST)
    await bench.roll(f"{MON} 12:00")
    assert figures(await bench.day(MON))[3] > 1.9
    bench.infer(f"{MON} 12:00", PowerState.LOST, IN_USE)
    await bench.say(*lost, *(one for one in told if one.received_ms >= london_ms(f"{MON} 12:00")))
    await bench.roll(f"{TUE} 00:10")
    day = figures(await bench.day(MON))
    assert (day[0], day[3], day[5]) == (8, 0, 0)
    assert day[2] + day[4] == 8
    assert bench.outages() == []


async def test_a_school_without_a_level_has_no_owed_fields(bench: Bench) -> None:
    await bench.works(MON)
    estate = msgspec.structs.replace(bench.estate, service=None)
    bench.rollup = DayRollup(bench.db, bench.store, estate, bench.recorder, Clock())
    await bench.roll(f"{TUE} 00:10")
    assert "owed_s" not in await bench.day(MON)


async def test_the_parts_of_a_day_add_up_to_what_was_owed(bench: Bench) -> None:
    """Whole seconds, though reports come at any millisecond."""
    await bench.works(MON, on="08:11", off="15:07")
    stream = bench.streams["pc-000"]
    stream.at_ms += 1_777
    await bench.roll(f"{TUE} 00:10")
    day = await bench.day(MON)
    parts = ("maintained_s", "available_s", "down_s", "unseen_s")
    assert sum(day[name] for name in parts) == day["owed_s"]
    lessons = ("lesson_available_s", "lesson_down_s", "lesson_unseen_s")
    assert sum(day[name] for name in lessons) == day["lesson_s"]


async def test_a_late_goodbye_mends_the_days_after_it_too(bench: Bench) -> None:
    """Off by its user on Monday noon, told only on Thursday: until then it was down on Tuesday and Wednesday."""
    *told, goodbye = bench.working(MON, off="12:00")
    await bench.say(*told)
    bench.infer(f"{MON} 12:05", IN_USE, PowerState.LOST)
    await bench.roll(f"{MON} 23:00")
    await bench.roll(f"{TUE} 23:00")
    await bench.roll(f"{WED} 23:00")
    assert [round((await bench.day(day))["down_s"] / HOUR) for day in (MON, TUE, WED)] == [4, 8, 8]
    bench.infer("2026-09-17 07:30", PowerState.LOST, IN_USE)
    await bench.works("2026-09-17")
    await bench.roll("2026-09-17 20:00")
    await bench.say(goodbye)
    await bench.roll("2026-09-17 21:00")
    assert [(await bench.day(day))["down_s"] for day in (MON, TUE, WED)] == [0, 0, 0]
    assert bench.outages() == []


async def test_a_machine_that_moves_to_another_room_counts_once(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{TUE} 00:10")
    devices = {address: msgspec.structs.replace(device, room="lib") for address, device in bench.estate.devices.items()}
    estate = msgspec.structs.replace(bench.estate, devices=devices)
    bench.rollup = DayRollup(bench.db, bench.store, estate, bench.recorder, Clock(), bench.folder)
    bench.recorder.mark_day("ash", MON, 0)
    await bench.roll(f"{TUE} 00:20")
    whole = await bench.row(MON, TUE)
    assert whole.sums.devices.owed_ms == 8 * HOUR * 1000
    assert sorted(await rows(bench.store, london_ms(f"{MON} 00:00"), london_ms(f"{TUE} 00:00"), ("room",))) == [
        ("ict1",),
        ("lib",),
    ]


async def test_a_machine_that_left_the_register_keeps_what_it_was_owed(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{TUE} 00:10")
    estate = msgspec.structs.replace(bench.estate, devices={})
    bench.rollup = DayRollup(bench.db, bench.store, estate, bench.recorder, Clock(), bench.folder)
    bench.recorder.mark_day("ash", MON, 0)
    await bench.roll(f"{TUE} 00:20")
    assert figures(await bench.day(MON)) == (8, 0, 8, 0, 0, 0)


async def test_a_day_that_was_closed_after_all_owes_nothing_any_more(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{TUE} 00:10")
    bench.start(terms=[Term(starts=date(2026, 9, 15), ends=date(2026, 12, 18))], closed_days=[date(2026, 9, 14)])
    await bench.roll(f"{TUE} 00:20")
    assert figures(await bench.day(MON)) == (0, 0, 0, 0, 0, 0)


async def test_days_on_which_the_collector_was_down_are_computed_when_it_is_back(bench: Bench) -> None:
    await bench.works(MON)
    await bench.roll(f"{MON} 18:00")
    bench.start()
    await bench.roll("2026-09-18 09:00")
    for day in (TUE, WED, "2026-09-17"):
        assert (await bench.day(day))["owed_s"] == 8 * HOUR
