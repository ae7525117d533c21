"""The page of the network: servers by their meters, what failed, repairs without a visit, and what nobody records."""

from pathlib import Path

import pytest
from msgspec import structs

from caretaker_collector.incidents import book as incident_book
from caretaker_collector.review import network
from caretaker_collector.review.build import build
from caretaker_collector.review.facts import Facts
from caretaker_collector.review.inputs import read
from caretaker_collector.review.sources import sources_of
from caretaker_collector.review.span import of_month
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import RULES, Action, Entry, Opened
from rules_world import london_ms
from sla_world import Bench

OPENED, FIXED = london_ms("2026-09-14 10:00"), london_ms("2026-09-14 10:30")


@pytest.fixture
async def bench(tmp_path: Path):
    """pc-000 is a server that worked on 14 September; pc-001 is an ordinary machine."""
    bench = Bench(tmp_path, devices=2)
    bench.sees("2026-09-01 00:00", "2026-10-01 00:00")
    bench.estate = structs.replace(
        bench.estate,
        classes={**bench.estate.classes, "server": structs.replace(bench.estate.classes["desktop"], always_on=True)},
        devices={
            address: structs.replace(device, device_class="server" if device.name == "pc-000" else "desktop")
            for address, device in bench.estate.devices.items()
        },
    )
    yield bench
    await bench.close()


async def works(bench) -> None:
    """The roll-up has to know the classes too."""
    from caretaker_collector.days.rollup import DayRollup
    from caretaker_contract.clock import Clock

    bench.rollup = DayRollup(bench.db, bench.store, bench.estate, bench.recorder, Clock(), bench.folder)
    await bench.works("2026-09-14")
    await bench.works("2026-09-15")
    await bench.roll("2026-10-02 08:00")


def incident(bench, kind: FindingKind, device: str, *texts: str, fixed: bool = True) -> None:
    """One that was open for half an hour, and what people wrote of it."""
    subject = Subject(school="ash", room="ict1", device=device)
    uid = f"{kind.value}-{device}-{len(texts)}"
    opened = Opened(kind=kind, subject=subject, title=f"{subject} {kind.value}", since_ms=OPENED, hits=(subject,))
    entries = [Entry(uid=uid, at_ms=OPENED, by=RULES, action=Action.OPENED, opened=opened)]
    entries += [Entry(uid=uid, at_ms=OPENED + 1, by="desk", action=Action.NOTED, text=text) for text in texts]
    if fixed:
        entries.append(Entry(uid=uid, at_ms=FIXED, by=RULES, action=Action.FIXED, when_ms=FIXED))
    incident_book.append(bench.db, *entries)


def restarted(bench, device: str, at_ms: int, status: str = "done") -> None:
    """A restart that was carried out, as the ledger has it."""
    row = (f"{device}-{at_ms}", "ash", device, "restart", "", at_ms, at_ms + 90_000, b"", status, at_ms, at_ms, "")
    bench.db.execute("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


async def page_of(bench):
    """Facts, and tables by name."""
    sources = sources_of(bench.estate, bench.db, bench.store, bench.folder, london_ms("2026-10-02 09:00"))
    inputs = await read(sources, "ash", of_month("2026-09"))
    facts = Facts()
    page = await network.page(inputs, facts)
    await build(inputs, [network.page])
    return facts.known, {table.name: table for section in page.sections for table in section.tables}


async def test_servers_are_what_is_always_on_and_has_an_agent(bench) -> None:
    await works(bench)
    facts, tables = await page_of(bench)
    [row] = tables["Servers"].rows
    assert row[:4] == ["pc-000", "ict1", "server", pytest.approx(18)]
    assert facts["network.kwh"].value == pytest.approx(row[-1])


async def test_a_school_without_servers_says_why_there_is_no_figure(bench) -> None:
    bench.estate = structs.replace(bench.estate, devices={})
    facts, tables = await page_of(bench)
    assert facts["network.kwh"].value is None
    assert "no device of an always-on class" in facts["network.kwh"].why_not
    assert tables["Servers"].empty


async def test_a_restart_of_ours_that_ended_an_incident_is_a_repair_without_a_visit(bench) -> None:
    incident(bench, FindingKind.LOST, "pc-001")
    restarted(bench, "pc-001", FIXED - 60_000)
    facts, tables = await page_of(bench)
    assert [facts[f"network.{key}"].value for key in ("remote", "visits", "unclear")] == [1, 0, 0]
    assert tables["Repairs"].rows[0][3] == "without a visit"


async def test_a_command_that_was_not_carried_out_or_of_another_machine_is_no_repair(bench) -> None:
    incident(bench, FindingKind.LOST, "pc-001")
    restarted(bench, "pc-001", FIXED - 60_000, status="failed")
    restarted(bench, "pc-000", FIXED - 60_000)
    facts, _ = await page_of(bench)
    assert [facts[f"network.{key}"].value for key in ("remote", "visits", "unclear")] == [0, 0, 1]


async def test_a_cut_line_is_never_put_right_by_a_restart_of_a_machine(bench) -> None:
    incident(bench, FindingKind.LINK_DOWN, "pc-001")
    restarted(bench, "pc-001", FIXED - 60_000)
    facts, tables = await page_of(bench)
    assert facts["network.remote"].value == 0
    assert tables["Network failures"].rows[0][1] == "switch or room cut off"


async def test_what_somebody_wrote_decides_over_a_command(bench) -> None:
    incident(bench, FindingKind.LOST, "pc-001", "went on-site, it was unplugged")
    restarted(bench, "pc-001", FIXED - 60_000)
    incident(bench, FindingKind.LOST, "pc-000", fixed=False)
    facts, _ = await page_of(bench)
    assert [facts[f"network.{key}"].value for key in ("remote", "visits", "unclear")] == [0, 1, 0]


async def test_what_is_not_recorded_is_named(bench) -> None:
    _, tables = await page_of(bench)
    assert len(tables["Not recorded"].rows) == 4
