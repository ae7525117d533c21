"""What the desk shows equals what the command line, the boards and the API say of the same moment."""

import asyncio
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from caretaker_collector import audit, decided, people, records, stays, wake_book, why
from caretaker_collector.api.routes import clocks_by
from caretaker_collector.incidents import actions as incident_actions
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.incidents import view as incident_view
from caretaker_collector.order_book import Scope
from caretaker_contract.errors import ConfigError
from caretaker_contract.metrics import Point
from caretaker_dashboards.desk.ports import NotThere
from caretaker_rules.calendar import Booked, day_bookings
from caretaker_rules.decisions import Verdict
from caretaker_rules.repeats import Series
from caretaker_rules.shown import Shown
from caretaker_rules.standing import tallies
from caretaker_simulator.story import Fault, FaultKind
from desk_world import ALL, NOBODY, OAK, VIEWER, DeskWorld
from rules_world import london_ms

START, NOW = "2026-10-05 16:10", "2026-10-06 10:06"
FAULTS = [
    Fault(kind=kind, school="ash", where=where, from_ms=london_ms(begin), until_ms=london_ms("2026-10-06 12:00"))
    for kind, where, begin in (
        (FaultKind.SWITCH, "ict2-switch", "2026-10-06 09:05"),
        (FaultKind.NO_WAKE, "tech", "2026-10-05 16:00"),
    )
]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskWorld]:
    """An evening, a night and half a morning; nobody writes to it but through `fresh`."""

    async def live() -> DeskWorld:
        world = await DeskWorld.begin(tmp_path_factory.mktemp("desk"), START, FAULTS)
        await world.until("2026-10-05 19:00")
        await world.until("2026-10-06 07:00", step_s=1800)
        await world.until(NOW)
        db, now_ms = world.collector.db, world.clock.at_ms
        room = Scope(school="ash", room="lib")
        series = Series(from_ms=now_ms - 60_000, until_ms=now_ms + 7_200_000, time_zone="Europe/London")
        records.make(db, "hold", room, series, "book fair", "engineer", now_ms)
        over = Series(from_ms=london_ms("2026-10-05 16:20"), until_ms=london_ms("2026-10-05 18:00"), time_zone="UTC")
        db.execute("SAVEPOINT past")
        records.make(db, "hold", Scope(school="ash"), over, "open evening", "engineer", london_ms("2026-10-05 16:15"))
        db.execute("RELEASE past")
        people.stop(db, "oak", None, now_ms, "boiler test")
        while await world.collector.day_rollup.step(now_ms, settle=False):
            pass
        while await world.collector.energy_days.step(now_ms, settle=False):
            pass
        await world.work()
        assert world._acts is not None
        world._acts.cancel()
        return world

    world = asyncio.run(live())
    yield world
    asyncio.run(world.end())


async def points(world: DeskWorld, measurement: str, school: str) -> list[Any]:
    """The newest points of a school."""
    found = await world.collector.store.read(measurement, 0, world.clock.at_ms + 1, school=school)
    last = max(point.time_ns for point in found)
    return [point for point in found if point.time_ns == last]


async def test_a_school_counts_its_machines_as_boards_do(lived: DeskWorld) -> None:
    for school in ("ash", "oak"):
        snapshot = lived.collector.decide.snapshot(school, lived.clock.at_ms)
        bar = (await lived.data.school(ALL, school)).row.bar
        tally = lived.collector.now.tallies[school]
        whole, rooms = tallies(snapshot)
        assert sum(bar.values()) == whole.devices == tally.devices
        assert {state: bar.get(Shown(state), 0) for state in ("in_use", "idle", "asleep", "lost")} == {
            state: getattr(whole, state) for state in ("in_use", "idle", "asleep", "lost")
        }
        assert bar.get(Shown.OFF_RULE, 0) + bar.get(Shown.OFF_USER, 0) == whole.off
        assert bar.get(Shown.BLIND, 0) + bar.get(Shown.UNKNOWN, 0) == whole.unknown
        view = await lived.data.school(ALL, school)
        assert {room.name: room.devices for room in view.rooms} == {name: room.devices for name, room in rooms.items()}
        for state in Shown:
            assert sum(room.bar.get(state, 0) for room in view.rooms) == view.row.bar.get(state, 0)


async def test_a_room_shows_each_machine_as_its_bar_counts_it(lived: DeskWorld) -> None:
    view = await lived.data.room(ALL, "ash", "ict2")
    counted = [machine.shown for machine in view.machines if machine.agent]
    assert {state: counted.count(state) for state in set(counted)} == view.bar
    [row] = [row for row in (await lived.data.school(ALL, "ash")).rooms if row.name == "ict2"]
    assert row.bar == view.bar
    assert view.bar[Shown.LOST] == 8
    switch = next(machine for machine in view.machines if machine.name == "ict2-switch")
    assert (switch.agent, switch.shown) == (False, Shown.UNKNOWN)
    [link_down] = [line.number for line in view.incidents if line.kind == "link_down"]
    assert {machine.incident for machine in view.machines if machine.shown is Shown.LOST} == {link_down}
    strip = {each.device: each.spells for each in view.strips}
    assert all(strip[machine.name][-1].shown is machine.shown for machine in view.machines)


async def test_incidents_stand_in_the_order_and_words_of_the_command_line(lived: DeskWorld) -> None:
    now_ms, db = lived.clock.at_ms, lived.collector.db
    found = incident_book.open_ones(db)
    assert found
    hours = incident_view.service_clocks(lived.estate, lived.folder, found, now_ms)
    said = incident_view.by_time_left(
        [incident_view.shown(one, hours, incident_view.zone_for(one, lived.estate), now_ms) for one in found]
    )
    lines = (await lived.data.estate(ALL)).incidents
    assert [(line.name, line.clock, line.priority) for line in lines] == [
        (one.name, one.due, one.incident.priority) for one in said
    ]
    [link_down] = [line for line in lines if line.kind == "link_down"]
    assert (link_down.room, link_down.device, link_down.hits) == ("ict2", "ict2-switch", 8)
    assert (await lived.data.incidents(ALL))[0] == lines
    assert (await lived.data.incidents(ALL, text="ICT2 switch"))[0] == [link_down]
    assert (await lived.data.incidents(ALL, text="no such thing"))[0] == []


async def test_an_incident_has_the_clocks_that_the_api_gives(lived: DeskWorld) -> None:
    now_ms, db = lived.clock.at_ms, lived.collector.db
    incident = incident_book.open_ones(db)[0]
    response, fix = clocks_by(lived.estate, lived.collector.alerts.clock)(incident, now_ms)
    view = await lived.data.incident(ALL, incident.number)
    assert response is not None
    assert fix is not None
    assert [(clock.name, clock.left_ms // 1000, clock.text, clock.late) for clock in view.clocks] == [
        ("response", response.left_s, response.text, response.late),
        ("fix", fix.left_s, fix.text, fix.late),
    ]
    assert view.level.endswith("(illustrative)")
    assert len(view.hits) == view.line.hits
    assert view.history[0].what == "opened"


async def test_lessons_and_their_rooms_are_as_the_rules_see_them(lived: DeskWorld) -> None:
    now_ms = lived.clock.at_ms
    [row] = [row for row in (await lived.data.estate(ALL)).schools if row.name == "ash"]
    [now] = [point for point in await points(lived, "school_now", "ash") if point.tags[1] == "all"]
    assert row.lessons.now
    assert (row.lessons.rooms, row.lessons.ready) == (now.fields["lessons"], now.fields["lessons_ready"])
    assert "ict2" in [room.room for room in row.lessons.not_ready]
    view = await lived.data.school(ALL, "ash")
    timetable = lived.collector.calendars.timetable("ash")
    on = lived.collector.alerts.lessons(lived.estate.schools["ash"], timetable, now_ms)
    assert {room.name for room in view.rooms if room.lesson.startswith("now until")} == set(on)
    room = lived.estate.schools["ash"].rooms[0]
    lessons = day_bookings(room, lived.estate.schools["ash"], date(2026, 10, 6), timetable)
    shown = (await lived.data.room(ALL, "ash", room.name)).lessons
    assert [Booked(lesson.from_ms, lesson.until_ms) for lesson in shown] == lessons


async def test_energy_is_what_the_days_were_reckoned_to(lived: DeskWorld) -> None:
    for row in (await lived.data.estate(ALL)).schools:
        if row.name == "here":
            continue
        found = await lived.collector.store.read("energy_day", 0, lived.clock.at_ms, school=row.name)
        whole = [point for point in found if point.tags[1:3] == ("all", "all")]
        assert row.used_today_kwh == pytest.approx(whole[-1].fields["used_kwh"])
        assert row.avoided_kwh is None, "no baseline was learnt, so nothing is claimed"


async def test_reasons_are_those_of_the_command_line(lived: DeskWorld) -> None:
    db, asked = lived.collector.db, []
    for address in list(lived.estate.devices)[:30]:
        answer = why.ask(db, lived.estate, address, None, 20)
        view = await lived.data.why(ALL, *address)
        assert [(told.at_ms, told.verdict, told.rule) for told in view.told] == [
            (told.decision.at_ms, told.decision.verdict.value, told.decision.rule) for told in answer.told
        ]
        assert [[reason.text for reason in told.reasons] for told in view.told] == [
            [str(reason) for reason in told.decision.reasons] for told in answer.told
        ]
        rendered = why.render(answer)
        asked += [told for told in view.told if told.command]
        assert all(told.command in rendered for told in view.told[:1])
    assert asked, "some rule asked a machine to go in the evening"
    assert all(told.source.startswith("policy.toml:") for told in asked), "no path of the machine it runs on"
    moment = await lived.data.why(ALL, "ash", "ict1-01", "2026-10-05 16:40")
    assert moment.at_ms == london_ms("2026-10-05 16:40")
    assert moment.told
    assert all(told.at_ms <= moment.at_ms for told in moment.told)
    with pytest.raises(ConfigError):
        await lived.data.why(ALL, "ash", "ict1-01", "yesterday")


async def test_a_strip_bears_every_decision_that_did_something_and_one_left_on_an_hour(lived: DeskWorld) -> None:
    from_ms, until_ms = london_ms("2026-10-05 00:00"), london_ms("2026-10-06 00:00")
    acted = 0
    for room in ("ict1", "lib"):
        view = await lived.data.room(ALL, "ash", room, "2026-10-05")
        said = decided.ask(lived.collector.db, lived.estate, "ash", room, from_ms, until_ms - 1).decisions
        did = [each for each in said if each.acts or each.verdict is Verdict.WAKE]
        marks = [mark for strip in view.strips for mark in strip.marks]
        quiet = [mark for mark in marks if mark.verdict == "left_on"]
        assert sorted((d.device.device, d.at_ms) for d in did) == sorted(
            (mark.device, mark.at_ms) for mark in marks if mark.verdict != "left_on"
        )
        hours = [(mark.device, mark.at_ms // 3_600_000) for mark in quiet]
        assert len(hours) == len(set(hours))
        acted += len(did)
    assert acted


async def test_every_strip_of_every_room_covers_its_day(lived: DeskWorld) -> None:
    for school, rooms in (("ash", ("ict1", "ict2", "lib", "tech")), ("oak", ("ict",))):
        for room in rooms:
            for day in (None, "2026-10-05", "2026-10-04", "2026-03-29", "2025-10-26", "2027-01-01"):
                view = await lived.data.room(ALL, school, room, day)
                end_ms = max(view.day_from_ms, min(view.day_until_ms, view.now_ms))
                for strip in view.strips:
                    edges = [view.day_from_ms, *(spell.until_ms for spell in strip.spells)]
                    assert [spell.from_ms for spell in strip.spells] == edges[: len(strip.spells)]
                    assert edges[-1] == end_ms
    spring = await lived.data.room(ALL, "ash", "ict1", "2026-03-29")
    autumn = await lived.data.room(ALL, "ash", "ict1", "2025-10-26")
    assert (spring.day_until_ms - spring.day_from_ms, autumn.day_until_ms - autumn.day_from_ms) == (
        23 * 3_600_000,
        25 * 3_600_000,
    )
    assert not spring.recorded
    with pytest.raises(ConfigError):
        await lived.data.room(ALL, "ash", "ict1", "2026-02-30")
    with pytest.raises(ConfigError):
        await lived.data.room(ALL, "ash", "ict1", "0001-01-01")


async def test_a_device_shows_seven_days_and_what_was_asked_of_it(lived: DeskWorld) -> None:
    rows = lived.collector.db.execute(
        "SELECT device FROM commands WHERE school = 'ash' AND status = 'done' ORDER BY decided_ms LIMIT 1"
    ).fetchone()
    view = await lived.data.device(ALL, "ash", rows[0])
    assert [day for day, _ in view.days][:2] == ["2026-10-06", "2026-10-05"]
    assert len(view.days) == len(view.day_spans) == 7
    told = [line.text for line in view.history if line.what == "shut down"]
    assert any(re.fullmatch(r"asked [0-9:]{8}, .*done [0-9:]{8}", text) for text in told), told
    said = [line.what for line in view.history if not line.text]
    assert "switched off by Caretaker" in said, "a state is said once, and nothing beside it"
    assert [line.at_ms for line in view.history] == sorted((line.at_ms for line in view.history), reverse=True)
    assert {reading.name for reading in view.meters} >= {"in use", "idle", "asleep"}
    behind = await lived.data.device(ALL, "ash", "ict2-switch")
    assert (behind.agent, behind.depend) == (False, 8)


async def test_what_cannot_be_woken_is_the_list_of_the_command_line(lived: DeskWorld) -> None:
    listed = {row.address.device: str(row.reason) for row in wake_book.cannot_wake(lived.collector.db, "ash")}
    assert listed
    view = await lived.data.school(ALL, "ash")
    assert {row.device: row.why for row in view.unwakeable} == listed
    tech = await lived.data.room(ALL, "ash", "tech")
    assert {row.device for row in tech.unwakeable} == {name for name in listed if name.startswith("tech")}


async def test_records_say_what_they_held_back_as_the_command_line_does(lived: DeskWorld) -> None:
    db, now_ms = lived.collector.db, lived.clock.at_ms
    stop, hold = await lived.data.records(ALL)
    assert (stop.kind, stop.number, stop.place, stop.reason) == ("stop", None, "oak", "boiler test")
    assert (hold.place, hold.on, hold.state, hold.by) == ("ash/lib", True, "on now", "engineer")
    [past] = await lived.data.records(ALL, past=True)
    record = records.one(db, past.number or 0)
    assert record is not None
    held = records.held_back(db, lived.estate, record, now_ms)
    assert past.did.startswith(f"kept on {held.machines} machine")
    assert [line.place for line in await lived.data.records(ALL, place="ash/lib")] == ["ash/lib"]
    assert await lived.data.records(ALL, place="ash/ict1") == []
    assert [line.kind for line in await lived.data.records(ALL, kind="stop")] == ["stop"]
    assert [line.place for line in (await lived.data.room(ALL, "ash", "lib")).records] == ["ash/lib"]
    assert (await lived.data.estate(ALL)).schools[1].stopped == "boiler test"


async def test_caretaker_itself_is_as_its_own_figures_say(lived: DeskWorld) -> None:
    parts = {part.name: part for part in (await lived.data.estate(ALL)).caretaker}
    own = lived.collector.figures.gather(lived.clock.at_ms)
    assert parts["machines not heard"].value == f"{own.agents_silent} of {own.agents}"
    problems = lived.collector.problems()
    assert {part.problem for part in parts.values()} >= set(problems.values())


async def test_search_finds_places_by_name_and_title_and_incidents_by_number(lived: DeskWorld) -> None:
    assert [found.path for found in await lived.data.search(ALL, "ict1-05")] == ["/devices/ash/ict1-05"]
    assert (await lived.data.search(ALL, "ASH"))[0].path == "/schools/ash"
    assert (await lived.data.search(ALL, "suite 1"))[0].path == "/rooms/ash/ict1"
    assert (await lived.data.search(ALL, "INC-1"))[0].path == "/incidents/1"
    assert await lived.data.search(ALL, "   ") == []
    assert await lived.data.search(ALL, "'; DROP TABLE holds --") == []
    assert len(await lived.data.search(ALL, "a")) == 30


async def test_a_director_sees_the_own_school_and_no_sign_of_any_other(lived: DeskWorld) -> None:
    estate = await lived.data.estate(OAK)
    assert ([row.name for row in estate.schools], estate.incidents, estate.caretaker) == (["oak"], [], [])
    assert (await lived.data.incidents(OAK)) == ([], None)
    assert (await lived.data.incidents(OAK, status="all")) == ([], None)
    assert [line.school for line in await lived.data.records(OAK)] == ["oak"]
    assert await lived.data.records(OAK, past=True) == []
    ash = structs.replace(OAK, schools=("ash",))
    assert "stop" not in {line.kind for line in await lived.data.records(ash)}, "the other school's stop switch"
    assert {found.path.split("/")[2] for found in await lived.data.search(OAK, "ict")} == {"oak"}
    assert await lived.data.search(OAK, "INC-1") == []
    calls = {
        "school": lambda who, school: lived.data.school(who, school),
        "room": lambda who, school: lived.data.room(who, school, "ict1"),
        "device": lambda who, school: lived.data.device(who, school, "ict1-01"),
        "why": lambda who, school: lived.data.why(who, school, "ict1-01"),
        "incidents": lambda who, school: lived.data.incidents(who, school),
        "records": lambda who, school: lived.data.records(who, school),
        "audit": lambda who, school: lived.data.audit(who, school),
        "changes": lambda who, school: anext(lived.data.changes(who, school)),
        "changes of a room": lambda who, school: anext(lived.data.changes(who, f"{school}/ict1")),
    }
    for name, call in calls.items():
        said = set()
        for school in ("ash", "no-such-school"):
            with pytest.raises(NotThere) as there:
                await call(OAK, school)
            said.add(str(there.value))
        assert len(said) == 1, f"{name} tells a school that is there from one that is not"
    for number in (1, 99_999):
        with pytest.raises(NotThere):
            await lived.data.incident(OAK, number)
        with pytest.raises(NotThere):
            await anext(lived.data.changes(OAK, f"incident/{number}"))


async def test_without_the_permission_to_see_nothing_is_shown(lived: DeskWorld) -> None:
    for call in (
        lived.data.estate(NOBODY),
        lived.data.school(NOBODY, "ash"),
        lived.data.incidents(NOBODY),
        lived.data.records(NOBODY),
        lived.data.audit(NOBODY),
        lived.data.search(NOBODY, "ash"),
        anext(lived.data.changes(NOBODY, "estate")),
    ):
        with pytest.raises(NotThere):
            await call


async def test_unknown_rooms_devices_and_kinds_are_refused(lived: DeskWorld) -> None:
    with pytest.raises(NotThere):
        await lived.data.room(ALL, "ash", "cellar")
    with pytest.raises(NotThere):
        await lived.data.device(ALL, "ash", "pc-nowhere")
    with pytest.raises(ConfigError):
        await lived.data.records(ALL, kind="party")
    with pytest.raises(ConfigError):
        await lived.data.incidents(ALL, status="lost in thought")


async def test_a_page_names_files_as_from_the_estates_folder_and_never_with_a_path_of_this_machine(
    lived: DeskWorld,
) -> None:
    sources = lived.data._sources
    assert sources.short(str(lived.folder / "policies" / "school.toml")) == "policies/school.toml"
    assert sources.short("/srv/secret/place/school.toml") == "school.toml"
    assert sources.short("policy.toml") == "policy.toml"


@pytest.fixture
async def fresh(tmp_path: Path) -> Any:
    """A world of a test's own, in which it may write."""
    world = await DeskWorld.begin(tmp_path, "2026-10-06 09:30", FAULTS, store=False)
    await world.until("2026-10-06 09:40")
    yield world
    await world.end()


async def test_what_somebody_did_is_on_the_page_at_once(fresh: DeskWorld) -> None:
    db, now_ms = fresh.collector.db, fresh.clock.at_ms
    where = people.scope(fresh.estate, "ash/lib")
    made = incident_actions.report(db, fresh.estate, where, "engineer", "door is stuck", now_ms)
    assert [line.title for line in (await fresh.data.estate(ALL)).incidents if line.kind == "reported"]
    mark = fresh.data.mark(f"incident/{made.number}")
    before = await fresh.data.incident(ALL, made.number)
    incident_actions.acknowledge(db, fresh.estate, made.number, "engineer", "", now_ms)
    assert fresh.data.mark(f"incident/{made.number}") != mark
    after = await fresh.data.incident(ALL, made.number)
    assert (before.line.acknowledged, after.line.acknowledged) == (False, True)
    [line] = [line for line in (await fresh.data.school(ALL, "ash")).incidents if line.number == made.number]
    assert line.acknowledged
    people.stop(db, None, None, now_ms, "fire drill")
    assert (await fresh.data.estate(ALL)).stopped == "fire drill"


async def test_what_was_avoided_is_the_newest_day_that_was_reckoned_and_says_which(fresh: DeskWorld) -> None:
    def point(day: str, room: str, factor: float) -> Point:
        kwh = {"both_kwh_low": 1.0 * factor, "both_kwh": 2.0 * factor, "both_kwh_high": 3.0 * factor}
        labels = ("ash", room, "all" if room == "all" else "room", "all")
        return Point(
            "energy_day", london_ms(f"{day} 00:00") * 1_000_000, labels, {"device_days": 1, "used_kwh": 9.5, **kwh}
        )

    some = [point("2026-10-02", "all", 1), point("2026-10-05", "all", 4), point("2026-10-05", "lib", 50)]
    assert await fresh.collector.store.write(some) == []
    row = (await fresh.data.estate(ALL)).schools[0]
    assert (row.avoided_kwh, row.avoided_day) == ((4.0, 8.0, 12.0), "2026-10-05")
    assert row.used_today_kwh is None, "yesterday's is not today's"


async def test_the_audit_log_is_shown_a_page_at_a_time_and_a_school_its_own_lines(fresh: DeskWorld) -> None:
    for number in range(150):
        school = "oak" if number % 3 == 0 else "ash"
        audit.append(fresh.collector.db, ALL, "hold", number, school=school, place=f"{school}/ict", text="club")
    first, following = await fresh.data.audit(ALL)
    rest, end = await fresh.data.audit(ALL, before=following)
    assert (len(first), len(rest), end) == (100, 50, None)
    assert [line.number for line in first + rest] == sorted(range(1, 151), reverse=True)
    own, _ = await fresh.data.audit(OAK)
    assert {line.place for line in own} == {"oak/ict"}
    assert len(own) == 50


async def test_the_link_of_a_room_is_shown_to_whoever_may_hold_it(fresh: DeskWorld) -> None:
    token = stays.link_of(fresh.collector.db, "ash", "ict1", 1)
    settings = fresh.collector.settings
    off = await fresh.data.room(ALL, "ash", "ict1")
    assert (off.stay_links, off.stay_link) == (False, None)
    fresh.collector.settings = structs.replace(settings, http=structs.replace(settings.http, stay_links=True))
    await fresh.step(fresh.clock.at_ms + 120_000)
    assert (await fresh.data.room(ALL, "ash", "ict1")).stay_link == f"/stay/{token}"
    shown = await fresh.data.room(VIEWER, "ash", "ict1")
    assert (shown.stay_links, shown.stay_link) == (True, None)
    assert (await fresh.data.room(ALL, "ash", "lib")).stay_link is None


async def test_without_a_broker_schools_are_blind_and_the_day_counts_it(fresh: DeskWorld) -> None:
    before = (await fresh.data.estate(ALL)).schools[0]
    assert (before.blind, before.blind_today_s) == (False, 0)
    fresh.collector.memory.connected_since_ms = 0
    await fresh.until("2026-10-06 10:40")
    row = (await fresh.data.estate(ALL)).schools[0]
    assert row.blind
    assert row.blind_today_s == pytest.approx(3600, abs=300)
