"""The review's page of use, on a school whose days went through the real recorder and roll-up."""

from datetime import date
from pathlib import Path

import pytest
from msgspec import structs

from caretaker_collector.files.indicators import read_access_log, read_indicators
from caretaker_collector.review import use, use_read
from caretaker_collector.review.build import build
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import of_month
from caretaker_rules.model import Device, DeviceClass, ReviewSettings, Room, Share, Term
from caretaker_rules.ownership import days_owned, owned
from review_world import ReviewWorld
from rules_world import london_ms
from sla_world import IDLE, IN_USE, Bench

NOW = london_ms("2026-10-02 09:00")
ROOM = Room(
    name="ict1",
    title="ICT suite {1}",
    lessons=["mon-fri 09:00-10:00", "mon-fri 15:00-16:00"],
    shared=[Share(whose="community", hours=["mon-fri 15:00-16:00"])],
)


async def page_of(bench, month="2026-09"):
    """The page, its facts and its tables by name, with the whole pack checked."""
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, NOW)
    inputs = await read(sources, "ash", of_month(month))
    facts = Facts()
    page = await use.page(inputs, facts)
    await build(inputs, [use.page])
    return page, facts.known, {table.name: table for section in page.sections for table in section.tables}


async def lived(folder: Path, **served) -> Bench:
    """14 September: pc-000 in use 07:30-16:30, pc-001 09:30-09:31; 15th the same for pc-000, pc-001 seen to 14:00."""
    bench = Bench(folder, devices=2, **({"rooms": [ROOM]} | served))
    bench.sees("2026-09-01 00:00", "2026-10-01 00:00")
    await bench.works("2026-09-14")
    await bench.say(
        bench.make("2026-09-14 08:00", IDLE, device="pc-001"),
        bench.make("2026-09-14 09:30", IN_USE, device="pc-001"),
        bench.make("2026-09-14 09:31", IDLE, device="pc-001"),
        bench.make("2026-09-15 14:00", IDLE, device="pc-001"),
    )
    await bench.works("2026-09-15")
    await bench.roll("2026-10-02 08:00")
    return bench


async def test_seats_used_of_seats_booked_by_hand(tmp_path: Path) -> None:
    """Monday 09:00 both, 15:00 one; Tuesday one of two, twice, and in the last lesson nobody saw the other: a range."""
    bench = await lived(tmp_path)
    _, facts, tables = await page_of(bench)
    seats = facts["use.seats"]
    assert (seats.low, seats.value, seats.high) == (5 / 8, 5 / 7, 6 / 8)
    [row] = tables["Booked and used"].rows
    assert row[2:6] == [4.0, 4.0, 8, 5]
    assert facts["use.seats.last_month"].value is None
    assert facts["use.seats.last_month"].why_not == "no booked lesson seen"
    await bench.close()


async def test_the_heat_map_adds_up_to_the_hours_in_use(tmp_path: Path) -> None:
    bench = await lived(tmp_path)
    page, facts, tables = await page_of(bench)
    rows = tables["When used"].rows
    assert sum(row[4] for row in rows) == pytest.approx(facts["use.hours"].value) == pytest.approx(18 + 1 / 60)
    [monday_at_9] = [row for row in rows if row[1:3] == ["Mon", "09"]]
    assert monday_at_9[3] == pytest.approx(3660 / 3600 / monday_at_9[5])
    assert [chart.kind for chart in page.sections[0].charts] == ["heat"]
    await bench.close()


async def test_shared_rooms_say_how_much_was_whose(tmp_path: Path) -> None:
    bench = await lived(tmp_path)
    _, facts, tables = await page_of(bench)
    assert facts["use.share_host"].value == facts["use.share_community"].value == 0.5
    assert facts["use.share_partner"].value == 0
    assert [row[1] for row in tables["Shared rooms"].rows] == ["host school", "partner schools", "community"]
    await bench.close()


async def test_a_school_that_shares_nothing_is_told_how_it_would(tmp_path: Path) -> None:
    bench = await lived(tmp_path, rooms=[Room(name="ict1", lessons=["mon-fri 09:00-10:00"])])
    _, _, tables = await page_of(bench)
    assert tables["Shared rooms"].rows == []
    assert "[[schools.rooms.shared]]" in tables["Shared rooms"].empty
    await bench.close()


async def test_a_month_of_which_nothing_was_recorded_says_so_on_every_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    page, facts, tables = await page_of(bench)
    assert "is the collector running" in facts["use.seats"].why_not
    assert [table.name for table in tables.values() if not table.rows and not table.empty] == []
    assert [chart for section in page.sections for chart in section.charts] == []
    await bench.close()


async def test_without_lessons_seats_are_not_known_and_the_next_step_is_said(tmp_path: Path) -> None:
    bench = await lived(tmp_path, rooms=[Room(name="ict1")])
    _, facts, _ = await page_of(bench)
    assert facts["use.seats"].why_not.startswith("no lesson or booking is known: give rooms lessons")
    assert facts["use.hours"].value == pytest.approx(18 + 1 / 60)
    await bench.close()


async def test_pupils_per_computer_is_by_the_register_and_by_the_settings(tmp_path: Path) -> None:
    bench = await lived(tmp_path, pupils=25)
    _, facts, _ = await page_of(bench)
    assert facts["use.pupils_per_computer"].value == 12.5
    await bench.close()
    other = await lived(tmp_path / "other")
    _, facts, _ = await page_of(other)
    assert "add pupils = 1000" in facts["use.pupils_per_computer"].why_not
    await other.close()


async def test_a_price_that_lacks_for_one_device_leaves_the_cost_per_hour_unknown(tmp_path: Path) -> None:
    bench = await lived(tmp_path)
    _, facts, _ = await page_of(bench)
    assert facts["use.cost_per_hour"].value is None
    assert (facts["use.unpriced"].value, facts["use.devices"].value) == (2, 2)
    await bench.close()


async def test_owning_counts_only_the_days_that_were_computed(tmp_path: Path) -> None:
    """25 p a day each, on 14 and 15 September: a school that joined in mid-month pays no whole month."""
    bench = await lived(tmp_path)
    bench.estate = structs.replace(bench.estate, classes={"desktop": DESKTOP})
    _, facts, _ = await page_of(bench)
    assert facts["use.cost_owning"].value == pytest.approx(2 * 2 * 0.25)
    await bench.close()


DESKTOP = DeviceClass(name="desktop", watts_in_use=90, watts_idle=90, watts_asleep=3, watts_off=2, cost=365.25, years=4)


def device(**more) -> Device:
    return Device(school="ash", name="pc", room="ict1", device_class="desktop", **more)


def test_owning_costs_the_same_every_day_until_the_years_are_over() -> None:
    """GBP 365.25 over 4 years is 25 p a day; a row's own price goes before its class's."""
    first, last = date(2026, 9, 1), date(2026, 9, 30)
    whole = owned([(device(), DESKTOP), (device(cost=730.5), DESKTOP)], first, last)
    assert whole.whole == pytest.approx(30 * 0.25 + 30 * 0.5)
    assert days_owned(date(2022, 9, 11), 4, first, last) == 10
    old = owned([(device(bought=date(2015, 1, 1)), DESKTOP)], first, last)
    assert (old.whole, old.paid_off) == (0, 1)
    assert owned([(device(bought=date(2026, 9, 21)), DESKTOP)], first, last).gbp == pytest.approx(10 * 0.25)
    assert owned([(device(), None)], first, last).whole is None


KPI = """date,indicator,value
2026-07-01,page views,100
2026-08-03,page views,115
2026-09-02,page views,130
2026-09-05,page views,5
"""
"""The last is a Saturday, which does not count."""


async def test_page_views_up_thirty_percent_over_three_months(tmp_path: Path) -> None:
    terms = [Term(starts=date(2026, 6, 1), ends=date(2026, 12, 18))]
    bench = await lived(tmp_path, review=ReviewSettings(kpi="kpi.csv"), terms=terms)
    (tmp_path / "kpi.csv").write_text(KPI)
    page, facts, tables = await page_of(bench)
    assert facts["use.platform_1_trend"].value == pytest.approx(0.3)
    assert "Measured there: {use.platform_1_name} up {use.platform_1_trend} over three months." in [
        sentence.text for sentence in page.sections[-1].sentences
    ]
    assert tables["Learning platform"].rows == [
        ["page views", "2026-07", 100, "2026-08", 115, "2026-09", 130, pytest.approx(0.3)]
    ]
    await bench.close()


def test_of_an_access_log_only_counts_per_day_are_kept(tmp_path: Path) -> None:
    line = '10.1.2.3 - s.pupil [{}:08:50:00 +0100] "GET {} HTTP/1.1" {} 512 "-" "Mozilla/5.0"\n'
    (tmp_path / "access.log").write_text(
        line.format("01/Sep/2026", "/maths/s.pupil", 200)
        + line.format("01/Sep/2026", "/look.css", 200)
        + line.format("01/Sep/2026", "/away", 404)
        + line.format("02/Sep/2026", "/maths", 500)
        + "no log line of s.pupil\n"
    )
    found = read_access_log(tmp_path / "access.log")
    assert found.days == {"page views": {date(2026, 9, 1): 1, date(2026, 9, 2): 0}}
    assert found.skipped == 1
    assert "pupil" not in repr(found)
    assert "10.1" not in repr(found)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("day,indicator,value\n", 'column "date"'),
        ("date,indicator,value\n2026-13-01,page views,1\n", 'date "2026-13-01"'),
        ("date,indicator,value\n2026-09-01,page views,many\n", 'value "many"'),
        ("date,indicator,value\n2026-09-01,page views,-1\n", 'value "-1"'),
        ("date,indicator,value\n2026-09-01,page views,nan\n", 'value "nan"'),
        ("date,indicator,value\n2026-09-01,,1\n", "indicator"),
        ("date,indicator,value\n2026-09-01,a,1\n2026-09-01,a,2\n", '"a" of 2026-09-01'),
    ],
)
def test_each_mistake_in_a_file_of_indicators_is_told_with_its_line(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "kpi.csv"
    path.write_text(text)
    found = read_indicators(path)
    assert [fault.subject for fault in found.faults] == [wrong]
    assert found.faults[0].line == len(text.splitlines())
    assert found.days == {}


@pytest.mark.slow
def test_a_recorded_month_adds_up_and_is_what_the_machines_really_did(review_world: ReviewWorld) -> None:
    """The heat map, the meters' days and the simulator's truth give the same hours in use; seats by the truth too."""
    pack = review_world.pack("ash")
    estate = review_world.estate
    people = {str(device.address) for device in use_read.computers(estate, estate.schools["ash"])}
    truth_h = sum(
        day["in_use"] / 3600
        for device, days in review_world.truth.items()
        for name, day in days.items()
        if device in people and name.startswith("2026-09")
    )
    hours = pack.facts["use.hours"].value

    async def metered(sources):
        sums = await sources.store.sums(
            "device_day",
            ("in_use_s",),
            london_ms("2026-09-01 00:00"),
            london_ms("2026-10-01 00:00"),
            ("device",),
            "ash",
        )
        return sum(found["in_use_s"] for (device,), found in sums.items() if f"ash/{device}" in people) / 3600

    assert hours == pytest.approx(review_world.asked(metered))
    assert hours == pytest.approx(truth_h, rel=0.002)
    tables = {table.name: table for page in pack.pages for section in page.sections for table in section.tables}
    assert sum(row[4] for row in tables["When used"].rows) == pytest.approx(hours)
    booked = tables["Booked and used"]
    assert sum(row[9] + row[10] for row in booked.rows) == pytest.approx(hours)
    assert pack.facts["use.seats"].value == pytest.approx(
        sum(row[5] or 0 for row in booked.rows) / sum(row[4] for row in booked.rows), rel=0.01
    )
    assert [headline.fact for headline in pack.headlines][-1] == "use.seats"
