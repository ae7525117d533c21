"""Packs of odd schools and spans: every page is there, says why it has no figure, and what to do next."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caretaker_collector.days.energy import EnergyDays
from caretaker_collector.review import keep
from caretaker_collector.review.build import build, tables_of
from caretaker_collector.review.inputs import place_of, read
from caretaker_collector.review.kept_on import NO_POLICY, words
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import Span, named
from caretaker_contract.clock import Clock
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import PowerState
from caretaker_dashboards.review.pack import Pack
from caretaker_rules.model import Estate, Room
from rules_world import london_ms
from sla_world import IN_USE, Bench

OCT = "2026-10-01 18:00"
LATE = "2026-09-03"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One machine, seen from 2 September on, that worked on two days; no policy, no baseline, one level."""
    made = Bench(tmp_path)
    made.sees("2026-09-02 00:00", "2026-10-10 00:00")
    await made.works("2026-09-02")
    await made.works("2026-09-04")
    await made.works("2026-10-01", on="06:00")
    await made.roll(OCT)
    yield made
    await made.close()


def changed(estate: Estate, **changes: Any) -> Estate:
    """An estate whose one school, or which itself, is otherwise."""
    of_estate = {name: changes.pop(name) for name in list(changes) if name in Estate.__struct_fields__}
    ash = msgspec.structs.replace(estate.schools["ash"], **changes)
    return msgspec.structs.replace(estate, schools={"ash": ash}, **of_estate)


async def made(bench: Bench, span: str | Span = "2026-09", now: str = OCT, **changes: Any) -> Pack:
    """The pack of the school, with these settings."""
    estate = changed(bench.estate, **changes)
    await EnergyDays(bench.db, bench.store, estate, Clock()).step(london_ms(now), settle=False)
    sources = sources_of(estate, bench.db, bench.store, bench.folder, london_ms(now))
    return await build(await read(sources, "ash", named(span) if isinstance(span, str) else span))


def told(pack: Pack) -> str:
    """All sentences, and what empty tables say."""
    sentences = [sentence.text for page in pack.pages for section in page.sections for sentence in section.sentences]
    return " ".join([*sentences, *(table.empty for table in tables_of(pack) if not table.rows)])


def whole(pack: Pack) -> None:
    """Every page that there is always is there, and nothing is without a reason."""
    assert [page.key for page in pack.pages][:4] == ["front", "service", "energy", "use"]
    assert "made" in [page.key for page in pack.pages]
    assert all(table.rows or table.empty for table in tables_of(pack))
    assert all(fact.value is not None or fact.why_not for fact in pack.facts.values())
    assert len(pack.headlines) == 5


async def test_a_school_that_was_first_seen_within_the_month_says_since_when(bench: Bench) -> None:
    pack = await made(bench)
    whole(pack)
    assert pack.facts["made.watched"].value == "Wed 2 Sep 00:00"
    assert pack.facts["availability"].value is not None
    assert pack.facts["availability.last_month"].why_not == "before Caretaker came"


async def test_a_month_without_any_data_is_a_pack_that_says_so(bench: Bench) -> None:
    pack = await made(bench, "2025-03")
    whole(pack)
    assert {headline.verdict for headline in pack.headlines} <= {"no target", "cannot tell"}
    assert all(pack.facts[headline.fact].value is None for headline in pack.headlines)
    assert pack.facts["availability"].why_not == "before Caretaker came"


async def test_a_month_under_way_says_so_far_and_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    pack = await made(bench, "2026-10")
    whole(pack)
    assert "these are the figures so far" in told(pack)
    assert not keep.place(bench.db, tmp_path, pack).news


async def test_a_month_that_was_seen_in_part_is_nothing_to_compare_with(bench: Bench) -> None:
    pack = await made(bench, "2026-10")
    assert pack.facts["availability.last_month"].why_not == "seen in part only"
    assert pack.facts["energy.used.last_month"].why_not == "29 of its 30 days known"


async def test_without_a_service_level_it_says_where_to_write_one(bench: Bench) -> None:
    pack = await made(bench, service=None)
    whole(pack)
    assert pack.facts["availability"].why_not == "no service level was agreed"
    assert "write one in service.toml" in told(pack)
    assert pack.facts["energy.used"].value is not None


async def test_without_tariff_and_factor_there_are_kwh_and_no_money(bench: Bench) -> None:
    pack = await made(bench, tariffs=(), carbon=())
    whole(pack)
    assert pack.facts["energy.used"].value is not None
    assert "write them in estate.toml" in told(pack)
    assert pack.facts["energy.carbon.last_year_restated"].value is None


async def test_without_a_policy_idle_hours_are_for_want_of_a_rule(bench: Bench) -> None:
    await bench.say(bench.make("2026-10-01 19:00", PowerState.IDLE))
    await bench.roll("2026-10-02 01:00")
    pack = await made(bench, "2026-10", "2026-10-02 01:00", policy="")
    whole(pack)
    [awake] = [table for table in tables_of(pack) if table.name == "What keeps machines awake"]
    assert [row[0] for row in awake.rows] == [NO_POLICY]
    assert "No rule runs here" in told(pack)


async def test_without_an_observe_period_it_says_how_to_get_one(bench: Bench) -> None:
    pack = await made(bench)
    assert pack.facts["energy.avoided"].value is None
    assert "observes for three weeks" in pack.facts["energy.avoided"].why_not
    assert "no observe period is on record" in next(h for h in pack.headlines if h.fact == "energy.used").sentence.text


async def test_without_a_timetable_nothing_is_ready_and_it_says_why(bench: Bench) -> None:
    pack = await made(bench, rooms=[Room(name="ict1", title="ICT {suite} <1>")])
    whole(pack)
    assert pack.facts["ready"].value is None and pack.facts["ready"].why_not
    assert any(row[0] == "ICT {suite} <1>" for table in tables_of(pack) for row in table.rows)


async def test_names_with_braces_in_them_never_become_figures(bench: Bench) -> None:
    level = msgspec.structs.replace(bench.estate.service.levels[0], title="{availability} {nothing}")
    service = msgspec.structs.replace(bench.estate.service, levels=[level])
    pack = await made(bench, service=service, title="{energy.used}", rooms=[Room(name="ict1", title="}{", lessons=[])])
    whole(pack)
    assert pack.facts["service.level.1"].value == "{availability} {nothing}"


async def test_a_late_report_makes_revision_two_with_its_reason(bench: Bench, tmp_path: Path) -> None:
    """One that was thought lost had been switched off by its user: down becomes available, and the reason says whose
    report it was."""
    *told_in_time, late = bench.working("2026-09-07", off="12:00")
    await bench.say(*told_in_time)
    bench.infer("2026-09-07 12:05", IN_USE, PowerState.LOST)
    bench.infer("2026-09-08 07:30", PowerState.LOST, IN_USE)
    await bench.works("2026-09-08")
    await bench.roll(OCT)
    data = tmp_path / "data"

    async def kept(now: str) -> list[tuple[int, str]]:
        placed = keep.place(bench.db, data, await made(bench, now=now))
        if placed.news:
            with keep.room(data, placed.pack) as folder:
                keep.put(bench.db, data, placed.pack, folder)
        return [(each.number, each.reason) for each in placed.pack.revisions]

    assert await kept(OCT) == [(1, "first made")]
    assert await kept("2026-10-02 07:00") == [(1, "first made")]
    await bench.say(late)
    await bench.roll("2026-10-02 09:00")
    [_, (number, reason)] = await kept("2026-10-02 10:00")
    assert number == 2
    assert reason.startswith("availability was ") and "late reports of ash/pc-000 for 7 Sep" in reason
    first = keep.shelf.revisions(bench.db, "ash", "2026-09")[0]
    before = keep.read(data, first)
    assert before is not None and before.revision == 1 and len(before.revisions) == 1


async def test_a_review_is_of_no_room_and_of_no_machine(bench: Bench) -> None:
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, london_ms(OCT))
    for place in ("ash/ict1", "ash/pc-000", "elm", "network:none"):
        with pytest.raises(ConfigError):
            place_of(sources, place)


@pytest.mark.parametrize(
    "verdict, whys, reason",
    [
        ("left_on", ["in_use", "not_idle_long_enough", "booked"], "its room was booked"),
        ("left_on", ["not_idle_long_enough"], "idle for too short a time yet"),
        ("left_on", ["limit_room", "idle_long_enough"], "as many of its room went at once as may"),
        ("shut_down", ["idle_long_enough", "not_booked"], "asked to go, and not gone yet"),
        ("left_on", ["a_reason_of_tomorrow"], "a reason of tomorrow"),
    ],
)
def test_of_several_reasons_the_one_counts_that_does_not_pass_by_itself(
    verdict: str, whys: list[str], reason: str
) -> None:
    assert words(verdict, whys) == reason
