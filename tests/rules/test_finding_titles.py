"""What an engineer reads at a glance: a device is down, a room is cut off."""

import pytest

from caretaker_rules import alert_text
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.incidents import Incident
from incident_world import Scene

DEVICE, ROOM, SCHOOL = Subject("ash", "ict1", "sw-1"), Subject("ash", "ict1"), Subject("ash")


@pytest.mark.parametrize(
    ("kind", "subject", "value", "expected"),
    [
        (FindingKind.LINK_DOWN, DEVICE, "20 machines behind it are cut off", "sw-1 is down: 20 machines behind it ..."),
        (FindingKind.LINK_DOWN, ROOM, "9 of 12 machines are silent", "ict1 is cut off: 9 of 12 machines are silent"),
        (FindingKind.SERVER_DOWN, DEVICE, "", "server sw-1 is down"),
        (FindingKind.SERVER_DOWN, DEVICE, "8 machines behind it are cut off", "server sw-1 is down: 8 machines ..."),
        (FindingKind.RELAY_SILENT, DEVICE, "", "relay sw-1 is silent"),
        (FindingKind.SCHOOL_DARK, SCHOOL, "7 of 9 machines", "the whole school is silent: 7 of 9 machines"),
        (FindingKind.BURNING, SCHOOL, "5 times", "the school uses up its allowed outage too fast: 5 times"),
        (FindingKind.REPORTED, SCHOOL, "ash/ict1 smells", "ash/ict1 smells"),
    ],
)
def test_a_title_says_what_is_down_and_what_is_cut_off_without_the_schools_name(
    kind: FindingKind, subject: Subject, value: str, expected: str
) -> None:
    finding = Finding(kind, subject, 0, value)
    incident = Incident(uid="u", number=1, kind=kind, subject=subject, title=str(finding), since_ms=0, opened_ms=0)
    begin, dots, _ = expected.partition("...")
    told = alert_text.short(incident)
    assert told.startswith(begin) if dots else told == expected


def test_what_stands_behind_a_device_is_counted_in_words() -> None:
    scene = Scene().play(
        """
        09:00     lost pc-*
        09:01     -> link_down ash/sw-ict1 (10)
        09:02     lost srv-1
        09:03     -> link_down ash/sw-ict1 (10), server_down ash/srv-1
        """
    )
    titles = {one.kind: one.title for one in scene.incidents.values()}
    assert titles[FindingKind.LINK_DOWN] == "ash/sw-ict1 is down: 10 machines behind it are cut off"
    assert titles[FindingKind.SERVER_DOWN] == "server ash/srv-1 is down"


def test_a_room_that_is_cut_off_is_told_by_its_machines() -> None:
    scene = Scene().play("09:00 lost lb-*\n09:01 -> link_down ash/lib (6)")
    assert [one.title for one in scene.incidents.values()] == ["ash/lib is cut off: 6 machines are silent"]
