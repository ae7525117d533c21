"""What goes wrong in a simulated school, by its truth, against the incidents that the collector's stages opened."""

from pathlib import Path

import pytest

from caretaker_collector import state
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.past import incidents as past_incidents
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident, Status
from caretaker_simulator.estate import read_estate, write_demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.story import Fault, FaultKind
from caretaker_simulator.troubles import NO_TROUBLES, Troubles
from rules_world import POLICIES, london_ms

START_MS, END_MS = london_ms("2026-10-06 00:00"), london_ms("2026-10-09 00:00")
SEED = 3
MINUTE_MS = 60_000

STORY = (
    (FaultKind.SWITCH, "ict-switch", "2026-10-06 09:40", "2026-10-06 10:05", FindingKind.LINK_DOWN, "oak/ict-switch"),
    (FaultKind.LINE, "", "2026-10-06 13:30", "2026-10-06 13:55", FindingKind.SCHOOL_DARK, "oak"),
    (FaultKind.SERVER, "servers-02", "2026-10-07 09:20", "2026-10-07 10:30", FindingKind.SERVER_DOWN, "oak/servers-02"),
    (FaultKind.RELAY, "servers-01", "2026-10-07 11:30", "2026-10-07 12:10", FindingKind.RELAY_SILENT, "oak/servers-01"),
    (FaultKind.POWER, "class2", "2026-10-07 13:10", "2026-10-07 13:40", FindingKind.LINK_DOWN, "oak/class2"),
    (FaultKind.CRASHES, "ict-07", "2026-10-08 09:05", "2026-10-08 13:00", FindingKind.CRASHING, "oak/ict-07"),
    (FaultKind.DISK, "servers-02", "2026-10-08 10:00", "2026-10-08 15:00", FindingKind.DISK_FULL, "oak/servers-02"),
)
KINDS_OF = {
    FaultKind.SWITCH: {FindingKind.LINK_DOWN, FindingKind.LOST, FindingKind.SERVER_DOWN, FindingKind.RELAY_SILENT},
    FaultKind.LINE: {FindingKind.SCHOOL_DARK, FindingKind.LINK_DOWN, FindingKind.LOST, FindingKind.RELAY_SILENT},
    FaultKind.POWER: {FindingKind.SCHOOL_DARK, FindingKind.LINK_DOWN, FindingKind.LOST, FindingKind.SERVER_DOWN},
    FaultKind.SERVER: {FindingKind.SERVER_DOWN, FindingKind.LOST},
    FaultKind.RELAY: {FindingKind.RELAY_SILENT},
    FaultKind.CRASHES: {FindingKind.CRASHING, FindingKind.LOST, FindingKind.SERVER_DOWN, FindingKind.RELAY_SILENT},
    FaultKind.DISK: {FindingKind.DISK_FULL},
}
FOLLOWS = {FindingKind.ROOM_NOT_READY, FindingKind.BURNING}
"""What may come of any fault."""


def lived(folder: Path, faults: list[Fault], troubles: Troubles) -> tuple[list[Incident], list[Fault]]:
    """Incidents of three days of the small school, and its truth."""
    write_demo_estate(folder, POLICIES / "school.toml", POLICIES / "service.toml")
    files = (folder / "store.db", folder / "state.db")
    past_incidents.find(folder, *files, START_MS, END_MS, SEED, ["oak"], faults, troubles)
    fleet = Fleet(read_estate(folder), seed=SEED, schools=["oak"], faults=faults, troubles=troubles)
    list(fleet.play(START_MS, START_MS + 1))
    db = state.open_state(folder / "state.db")
    try:
        return list(incident_book.listed(db)), fleet.faults(START_MS, END_MS)
    finally:
        db.close()


@pytest.mark.slow
def test_each_placed_fault_is_one_incident_of_its_kind_at_its_place_and_time(tmp_path: Path) -> None:
    placed = [
        Fault(kind=kind, school="oak", where=where, from_ms=london_ms(begin), until_ms=london_ms(end))
        for kind, where, begin, end, _, _ in STORY
    ]
    incidents, truth = lived(tmp_path, placed, NO_TROUBLES)
    assert len(truth) == len(STORY)
    for fault, (_, _, _, _, kind, subject) in zip(truth, STORY, strict=True):
        found = [one for one in incidents if one.kind is kind and str(one.subject) == subject]
        assert len(found) == 1, (kind, [str(one) for one in incidents])
        [incident] = found
        if kind is not FindingKind.CRASHING:  # that one lasts until a day without a crash has passed
            assert incident.status is Status.FIXED, incident
        # A disk counts as full some hours before its worst; a machine is crashing from its third crash on.
        early_ms = 12 * 60 * MINUTE_MS if kind is FindingKind.DISK_FULL else 0
        assert fault.from_ms - early_ms <= incident.since_ms <= fault.until_ms
        if kind in (FindingKind.LINK_DOWN, FindingKind.SCHOOL_DARK, FindingKind.SERVER_DOWN, FindingKind.RELAY_SILENT):
            assert incident.opened_ms - fault.from_ms <= 2 * MINUTE_MS, "told within two minutes"
            hit = {subject.device for subject in incident.ever_hit}
            assert hit <= set(fault.hits), "nobody is counted who was not hit"


@pytest.mark.slow
def test_every_incident_has_a_fault_behind_it(tmp_path: Path) -> None:
    """With much going wrong at random: no ghosts."""
    often = Troubles(0.03, 0.3, 0.5, 0.15, 0, 0, 0, 0)
    incidents, truth = lived(tmp_path, [], often)
    assert len(incidents) > 5, "else nothing was compared"
    for incident in incidents:
        behind = [
            fault
            for fault in truth
            if fault.from_ms - MINUTE_MS <= incident.since_ms
            and (
                (incident.kind in FOLLOWS)
                or (
                    incident.kind in KINDS_OF[fault.kind]
                    and {subject.device for subject in incident.ever_hit if subject.device} <= {*fault.hits}
                )
            )
        ]
        assert behind, f"{incident.title}, since {incident.since_ms}"
