"""What goes wrong in a school, and which incidents come of it: grouped to their cause, settled, fixed in their time."""

import sys
from typing import Any

import pytest

from caretaker_rules import finders
from caretaker_rules.alert_steps.inhibit import EXPLAINS
from caretaker_rules.alerting import Round
from caretaker_rules.findings import Finding, FindingKind, Subject
from incident_world import ALERTS, SCHOOL, STEPS, Scene

inhibit = sys.modules[EXPLAINS[0][1].__module__]  # the package's own name `inhibit` is the step

STORIES = {
    "a machine that is not heard is an incident after a second look, and fixed two minutes after it is back": """
        09:00:10 lost pc-01 -> nothing
        09:00:30 -> lost ash/pc-01
        10:00 on pc-01 -> lost ash/pc-01
        10:01:30 -> lost ash/pc-01
        10:02:00 -> nothing
    """,
    "what is back at once was nothing": """
        09:00:10 lost pc-01
        09:00:20 on pc-01 -> nothing
        09:30 -> nothing
    """,
    "a machine that is back for a minute only is one incident all along": """
        09:00:10 lost pc-01
        09:10 on pc-01
        09:11 lost pc-01
        09:12:30 -> lost ash/pc-01
    """,
    "a machine that a rule or its user switched off is nobody's fault": """
        09:00 off pc-01 ; user-off pc-02
        12:00 -> nothing
    """,
    "a machine that is on by its last word and says nothing for a quarter of an hour counts as lost": """
        09:00 quiet pc-01
        09:14 -> nothing
        09:16 -> lost ash/pc-01
    """,
    "a dead switch that nobody ever hears is one incident, and none for its ten machines": """
        09:00:05 lost pc-01..04
        09:00:30 lost pc-05..10 -> link_down ash/sw-ict1 (10)
        09:20 on pc-* -> link_down ash/sw-ict1 (10)
        09:22 -> nothing
    """,
    "a switch that is heard of itself and falls silent is down, whatever is seen behind it": """
        08:40 on sw-ict1
        09:00:10 lost sw-ict1 pc-01 pc-02
        09:01 -> link_down ash/sw-ict1 (2)
        09:10 on sw-ict1 pc-*
        09:12:30 -> nothing
    """,
    "machines behind a switch that are lost one by one over a day are not the switch": """
        09:00 lost pc-01
        10:00 lost pc-02
        11:00 lost pc-03
        11:10 -> lost ash/pc-01, lost ash/pc-02, lost ash/pc-03
    """,
    "most of what is behind a switch, lost together, is the switch; off machines do not count": """
        08:40 off pc-05..10
        09:00:10 lost pc-01..03
        09:01 -> link_down ash/sw-ict1 (3)
    """,
    "two of ten behind a switch are two machines": """
        09:00:10 lost pc-01 pc-02
        09:01 -> lost ash/pc-01, lost ash/pc-02
    """,
    "what was an incident of its own is merged into the switch that is found to be the cause": """
        09:00:00 lost pc-01
        09:01:00 lost pc-02..10 -> link_down ash/sw-ict1 (10)
    """,
    "machines come back one by one: the switch ends when few are left, and what stays lost is its own incident": """
        09:00:10 lost pc-*
        09:10 on pc-01..03 -> link_down ash/sw-ict1 (10)
        09:20 on pc-04..09 -> link_down ash/sw-ict1 (10)
        09:24 -> lost ash/pc-10
    """,
    "a server takes its thin clients with it, as one incident": """
        09:00:10 lost srv-1 tc-*
        09:01 -> server_down ash/srv-1 (6)
        09:30 on srv-1 tc-*
        09:33 -> nothing
    """,
    "a server is down too when it is off, on record or not": """
        09:00:10 off srv-1
        09:01 -> server_down ash/srv-1
    """,
    "a room whose machines are all silent is cut off, where nobody wrote down its switch": """
        09:00:10 lost lb-*
        09:01 -> link_down ash/lib (6)
    """,
    "half a room without a known switch is that many machines": """
        09:00:10 lost lb-01..03
        09:01 -> lost ash/lb-01, lost ash/lb-02, lost ash/lb-03
    """,
    "a silent relay is an incident of its own kind": """
        08:45 on relay-1
        09:00 lost relay-1
        09:01 -> relay_silent ash/relay-1
    """,
    "a school that goes dark is one incident, whatever was silent in it before": """
        08:45 on relay-1
        08:50 lost pc-01
        09:00:10 lost pc-* tc-* lb-* srv-1 relay-1 lap-1 -> lost ash/pc-01
        09:01:00 -> school_dark ash (25)
        10:00 on pc-* tc-* lb-* srv-1 relay-1 lap-1
        10:03 -> nothing
    """,
    "a machine that is off on record when its room's lesson begins is not back": """
        08:30 off pc-01 ; user-off pc-02
        08:50 lesson ict1 -> nothing
        08:51:30 -> nothing
        08:52 -> not_back ash/pc-01
        09:00 on pc-01
        09:02 -> nothing
    """,
    "a machine that its user switched off is missed when a wake was asked for it": """
        08:30 user-off pc-02
        08:50 overdue pc-02
        08:52:30 -> not_back ash/pc-02
    """,
    "a machine switched off during the lesson is missed by nobody": """
        08:50 lesson ict1
        09:00 off pc-01
        09:30 -> nothing
    """,
    "three of a room that are not back are one incident of the room": """
        08:30 off pc-01..03
        08:50 lesson ict1
        08:53 -> not_back ash/ict1 (3)
    """,
    "what cannot be woken stays an incident until it was woken; three in a room are one": """
        08:45 cannot pc-01 -> cannot_wake ash/pc-01
        08:46 cannot pc-02 pc-03 -> cannot_wake ash/ict1 (3)
        12:00 -> cannot_wake ash/ict1 (3)
        12:01 woken pc-*
        12:04 -> nothing
    """,
    "while the relay is silent nobody is told what cannot be woken": """
        08:30 on relay-1
        08:44 lost relay-1
        08:45 cannot pc-01 -> relay_silent ash/relay-1
        09:00 on relay-1
        09:03 -> cannot_wake ash/pc-01
    """,
    "a room that is not ready is one incident, and over when enough of it is on; the one that is not is its own": """
        08:30 off pc-01..04
        08:50 lesson ict1 6 10 -> room_not_ready ash/ict1 (4)
        08:55 -> room_not_ready ash/ict1 (4)
        09:00 on pc-01..03
        09:02 -> not_back ash/pc-04
        09:30 lesson-over ict1
        09:33 -> nothing
    """,
    "a room is not ready because its switch is down: that is the switch": """
        08:45 lost pc-*
        08:50 lesson ict1 0 10 -> link_down ash/sw-ict1 (10)
        08:55 -> link_down ash/sw-ict1 (10)
    """,
    "a room that was not woken because the relay is silent is the relay's incident": """
        08:30 on relay-1 ; off pc-*
        08:40 lost relay-1
        08:50 lesson ict1 0 10
        08:55 -> relay_silent ash/relay-1
    """,
    "a relay that falls silent after the lesson began does not explain the room": """
        08:40 on relay-1 ; off pc-*
        08:50 lesson ict1 0 10
        08:55 lost relay-1
        08:57 -> relay_silent ash/relay-1, room_not_ready ash/ict1 (10)
    """,
    "a lost machine that no packet wakes is lost": """
        08:40 lost pc-01
        08:45 cannot pc-01 -> lost ash/pc-01
    """,
    "a machine that cannot be woken is not back for that reason": """
        08:30 off pc-01
        08:45 cannot pc-01
        08:50 lesson ict1
        08:55 -> cannot_wake ash/pc-01
    """,
    "a full disk counts after a quarter of an hour and is full until there is some room again": """
        09:00 disk pc-01 0.92 -> nothing
        09:15 -> disk_full ash/pc-01
        09:30 disk pc-01 0.87
        09:40 -> disk_full ash/pc-01
        09:45 disk pc-01 0.84
        09:48 -> nothing
        10:00 disk pc-01 0.87
        10:30 -> nothing
    """,
    "a machine that crashed three times in a day is an incident, twice is not": """
        09:00 crash pc-01 2
        09:10 -> nothing
        09:20 crash pc-01 3 -> crashing ash/pc-01
    """,
    "under maintenance nothing is opened, neither for the switch nor for what is behind it": """
        09:00 maintain sw-ict1 30
        09:01 lost pc-*
        09:29 -> nothing
        09:31 -> link_down ash/sw-ict1 (10)
    """,
    "maintenance of a machine is no excuse for its neighbour": """
        09:00 maintain pc-01 30 ; lost pc-01 pc-02
        09:05 -> lost ash/pc-02
    """,
    "an incident that somebody mends under maintenance stays open until it is mended": """
        09:00 lost pc-01
        09:05 maintain pc-01 60
        09:10 -> lost ash/pc-01
        09:20 on pc-01
        09:23 -> nothing
    """,
    "a hold is no maintenance": """
        09:00 hold pc-01 60 ; lost pc-01
        09:05 -> lost ash/pc-01
    """,
    "out of service a lost machine waits until service begins, a server does not": """
        08:30 service ends
        08:31 lost lap-1 srv-1
        08:40 -> server_down ash/srv-1
        09:00 service begins -> lost ash/lap-1, server_down ash/srv-1
    """,
    "what was open when service ended stays open": """
        09:00 lost lap-1
        09:05 service ends
        09:30 -> lost ash/lap-1
    """,
    "while Caretaker is blind nothing begins and nothing ends": """
        09:00 lost pc-01
        09:05 blind ; on pc-01 ; lost pc-02
        09:30 -> lost ash/pc-01
        09:31 sees-again -> lost ash/pc-01
        09:40 -> lost ash/pc-02
    """,
    "what comes back within two days is the same incident": """
        09:00 lost pc-01
        09:10 on pc-01
        09:15 -> nothing
        2026-10-06T20:00 lost pc-01
        2026-10-06T20:01 -> lost ash/pc-01
    """,
    "a person's word that it is fixed counts for a quarter of an hour": """
        09:00 lost pc-01
        09:10 by-hand fixed lost ash/pc-01 -> nothing
        09:24 -> nothing
        09:26 -> lost ash/pc-01
    """,
    "the first machines that are found lost wait for what follows": """
        09:00:00 lost-for 45 pc-01..03 -> nothing
        09:00:30 lost-for 60 pc-04..10 -> link_down ash/sw-ict1 (10)
    """,
    "machines behind a switch that are lost one by one are not the switch, however many": """
        09:00 lost pc-01
        09:10 lost pc-02
        09:20 lost pc-03
        09:30 lost pc-04
        09:40 lost pc-05
        09:50 lost pc-06
        10:00 -> lost ash/pc-01, lost ash/pc-02, lost ash/pc-03, lost ash/pc-04, lost ash/pc-05, lost ash/pc-06
    """,
    "two machines are no switch, though they are all that is on behind it": """
        08:40 off pc-03..10
        09:00 lost pc-01 pc-02
        09:05 -> lost ash/pc-01, lost ash/pc-02
    """,
    "most of a room without a known switch is that many machines, as long as one is heard": """
        09:00:10 lost lb-01..05
        09:01 -> lost ash/lb-01, lost ash/lb-02, lost ash/lb-03, lost ash/lb-04, lost ash/lb-05
    """,
    "a room of which some cannot be woken is one incident to its last machine": """
        08:45 cannot pc-01..03 -> cannot_wake ash/ict1 (3)
        09:00 woken pc-01 pc-02
        09:10 -> cannot_wake ash/ict1
    """,
    "silence is counted from when Caretaker hears again": """
        09:00 quiet pc-01
        09:10 reconnected
        09:20 -> nothing
        09:26 -> lost ash/pc-01
    """,
    "a relay does not wait for service to begin": """
        08:30 service ends
        08:31 lost relay-1 -> relay_silent ash/relay-1
    """,
    "a disk that is full now and then is not counted together": """
        09:00 disk pc-01 0.92
        09:10 disk pc-01 0.5
        09:12 disk pc-01 0.92
        09:20 -> nothing
        09:28 -> disk_full ash/pc-01
    """,
    "what is behind a switch that somebody works on is excused, too": """
        09:00 maintain sw-ict1 30
        09:01 lost pc-01
        09:20 -> nothing
    """,
    "of what is hit, the machines that somebody works on are left out": """
        09:00 maintain pc-01 60 ; maintain pc-02 60 ; lost pc-*
        09:05 -> link_down ash/sw-ict1 (8)
    """,
}


@pytest.mark.parametrize("name", STORIES, ids=str)
def test_story(name: str) -> None:
    Scene().play(STORIES[name])


def failed() -> int:
    """How many stories come out otherwise."""
    found = 0
    for story in STORIES.values():
        try:
            Scene().play(story)
        except AssertionError:
            found += 1
    return found


@pytest.mark.parametrize(("hits", "left"), [(("pc-01", "lb-01"), 1), (("pc-01", "lb-01", "lb-02"), 2)])
def test_what_suffers_is_explained_when_at_least_half_of_it_is_hit_by_the_wider_fault(
    hits: tuple[str, ...], left: int
) -> None:
    scene = Scene()
    cut_off = Finding(FindingKind.LINK_DOWN, Subject("ash", "ict1", "sw-ict1"), 0, "", (_subject("pc-01"),))
    burning = Finding(FindingKind.BURNING, Subject("ash"), 0, "", tuple(map(_subject, hits)))
    current = Round(
        now_ms=scene.now_ms, school=SCHOOL, devices=scene.devices, findings=[cut_off, burning], alerts=ALERTS
    )
    inhibit.inhibit(current)
    assert len(current.findings) == left


def _subject(name: str) -> Subject:
    return Subject("ash", "ict1" if name.startswith("pc") else "lib", name)


@pytest.mark.parametrize("finder", finders.FINDERS, ids=lambda finder: finder.__name__)
def test_without_any_one_of_the_finders_a_story_comes_out_otherwise(
    finder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finders, "FINDERS", tuple(other for other in finders.FINDERS if other is not finder))
    assert failed()


@pytest.mark.parametrize("row", range(len(inhibit.EXPLAINS)))
def test_without_any_one_row_of_what_explains_what_a_story_comes_out_otherwise(
    row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inhibit, "EXPLAINS", inhibit.EXPLAINS[:row] + inhibit.EXPLAINS[row + 1 :])
    assert failed()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_without_any_one_of_the_steps_a_story_comes_out_otherwise(step: object) -> None:
    without = tuple(other for other in STEPS if other is not step)
    found = 0
    for story in STORIES.values():
        try:
            Scene(without).play(story)
        except AssertionError:
            found += 1
    assert found
