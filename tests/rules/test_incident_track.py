"""What is written about incidents over time: moments, priorities, what comes back, what comes and goes too often."""

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from caretaker_rules.alert_settings import FindSettings
from caretaker_rules.alert_steps.settle import delay_ms
from caretaker_rules.alert_steps.track import track, uid_of
from caretaker_rules.alerting import Round
from caretaker_rules.findings import TITLES, Finding, FindingKind, Subject
from caretaker_rules.incidents import RULES, Action, Status
from caretaker_rules.model import Device
from caretaker_rules.service import Impact, LevelSpan, MatrixRow, PriorityTimes, ServiceLevel
from caretaker_rules.service_hours import ServiceClock
from incident_world import ALL_CLASSES, DAY, SCHOOL, Scene
from rules_world import london_ms

MATRIX = {
    (Impact.SCHOOL, False): 1,
    (Impact.SCHOOL, True): 2,
    (Impact.ROOM, False): 2,
    (Impact.ROOM, True): 3,
    (Impact.DEVICE, False): 4,
    (Impact.DEVICE, True): 5,
}


def clock(reopen_within: str = "48 h") -> ServiceClock:
    """Hours of service under a level in which every priority differs."""
    level = ServiceLevel(
        name="test",
        availability_target=0.98,
        priorities=[PriorityTimes(priority=number, respond="1 h", fix="4 h") for number in range(1, 6)],
        matrix=[MatrixRow(impact=i, alternative=a, priority=number) for (i, a), number in MATRIX.items()],
        reopen_within=reopen_within,
    )
    return ServiceClock(SCHOOL, [LevelSpan(level, date.min)])


def at(text: str) -> int:
    return london_ms(f"{DAY} {text}")


def test_an_incident_ends_when_the_fault_did_not_when_that_was_certain() -> None:
    scene = Scene().play("09:00 lost pc-01\n10:00:10 on pc-01\n10:05 -> nothing")
    one = scene.one("lost ash/pc-01")
    [*_, last] = scene.logs[one.uid]
    assert (one.since_ms, one.opened_ms) == (at("09:00"), at("09:00:30"))
    assert (one.fixed_ms, one.fixed_by) == (at("10:00:10"), RULES)
    assert last.at_ms == at("10:02:10")
    assert one.uid == uid_of(FindingKind.LOST, Subject("ash", "ict1", "pc-01"), at("09:00:30"))


def test_the_priority_is_that_of_the_most_that_was_ever_hit() -> None:
    scene = Scene(clock=clock()).play(
        """
        09:00 lost pc-01
        09:01 -> lost ash/pc-01
        09:10 lost pc-02..07
        09:11 -> link_down ash/sw-ict1 (7)
        09:12 lost pc-08..10
        09:13 -> link_down ash/sw-ict1 (10)
        09:20 on pc-01..06
        09:21 -> link_down ash/sw-ict1 (4)
        """
    )
    assert scene.one("lost ash/pc-01").priority == 5
    switch = scene.one("link_down ash/sw-ict1")
    # A switch counts by all that is behind it, from the first moment on.
    assert (switch.priority, switch.impact, switch.alternative) == (2, Impact.ROOM, False)
    assert scene.actions("link_down ash/sw-ict1") == ["opened", "grown", "grown"]
    assert len(switch.ever_hit) == 10


def test_rules_raise_a_priority_and_never_lower_it() -> None:
    scene = Scene(clock=clock()).play("08:30 off lb-01..03\n08:50 lesson lib 3 6 -> room_not_ready ash/lib (3)")
    assert scene.one("room_not_ready ash/lib").priority == 2
    more = Scene(clock=clock()).play(
        """
        08:40 off lb-01
        08:50 lesson lib 5 6 -> room_not_ready ash/lib
        08:52 off lb-02..03
        08:53 -> room_not_ready ash/lib (3)
        08:55 on lb-02..03
        08:56 -> room_not_ready ash/lib
        08:57 off lb-04 ; on lb-01 ; off lb-05
        08:58 -> room_not_ready ash/lib (2)
        """
    )
    assert more.actions("room_not_ready ash/lib") == ["opened", "grown", "priority", "grown", "grown"]
    assert more.one("room_not_ready ash/lib").priority == 2


def test_without_a_service_level_there_is_no_priority() -> None:
    assert Scene().play("09:00 lost pc-01\n09:05").one("lost ash/pc-01").priority is None


class Counted(dict[str, Device]):
    """The devices of a school, which counts how often somebody goes through all of them."""

    passes = 0

    def values(self) -> Any:
        self.passes += 1
        return super().values()


def test_many_incidents_at_once_go_through_the_school_as_often_as_one() -> None:
    """Else opening 4,000 takes a hundred times as long as opening 400."""
    level_clock = clock()
    passes = []
    for count in (1, 50):
        names = [f"pc-{number:03}" for number in range(100)]
        devices = Counted({n: Device(school="ash", name=n, room="ict1", device_class="desktop") for n in names})
        found = [Finding(FindingKind.CRASHING, Subject("ash", "ict1", name), 1, "3 times") for name in names[:count]]
        current = Round(
            now_ms=at("09:00"), school=SCHOOL, devices=devices, findings=found, clock=level_clock, classes=ALL_CLASSES
        )
        track(current)
        assert len(current.incidents) == count
        assert {one.priority for one in current.incidents.values()} == {5}
        passes.append(devices.passes)
    assert passes[0] == passes[1]


def test_time_in_which_caretaker_saw_nothing_does_not_end_an_incident() -> None:
    """Gone at 09:10, then a restart: seen to be gone only since 09:14. It ended when it went, all the same."""
    scene = Scene().play("09:00 lost pc-01\n09:10 on pc-01")
    scene.sees = False
    scene.play("09:14 -> lost ash/pc-01")
    scene.sees, scene.seen_since_ms = True, at("09:14")
    scene.play("09:15:30 -> lost ash/pc-01\n09:16 -> nothing")
    assert scene.one("lost ash/pc-01").fixed_ms == at("09:10")


def test_what_comes_back_within_the_level_s_time_is_the_same_incident_and_after_it_a_new_one() -> None:
    story = "09:00 lost pc-01\n09:10 on pc-01\n12:00 lost pc-01\n12:05 -> lost ash/pc-01"
    again = Scene(clock=clock("3 h")).play(story)
    one = again.one("lost ash/pc-01")
    assert (one.reopened, one.fixed_ms, one.hits) == (1, 0, (Subject("ash", "ict1", "pc-01"),))
    assert [entry.when_ms for entry in again.logs[one.uid] if entry.action is Action.REOPENED] == [at("12:00")]
    assert len(Scene(clock=clock("2 h")).play(story).incidents) == 2


def test_what_a_person_reported_is_a_person_s_to_fix() -> None:
    scene = Scene()
    scene.play("09:00 lost pc-01\n09:05")
    uid = scene.one("lost ash/pc-01").uid
    told = scene.logs[uid][0]
    assert told.opened is not None
    reported = replace(told.opened, kind=FindingKind.REPORTED, subject=Subject("ash", "lib"), title="no sound")
    scene.write(replace(told, uid="r1", by="teacher", opened=reported))
    scene.play("12:00 -> lost ash/pc-01, reported ash/lib")


def test_what_is_merged_says_into_what() -> None:
    scene = Scene().play("09:00:00 lost pc-01\n09:01:00 lost pc-02..10\n09:02")
    merged, switch = scene.one("lost ash/pc-01"), scene.one("link_down ash/sw-ict1")
    assert (merged.status, merged.merged_into) == (Status.MERGED, switch.uid)


def test_a_machine_that_comes_and_goes_all_morning_is_one_incident_and_stays_open_until_it_is_calm() -> None:
    def told(minute: int, what: str) -> str:
        return f"{8 + minute // 60:02}:{minute % 60:02} {what} pc-01"

    changes = [told(m, "lost" if m % 20 == 10 else "on") for m in range(30, 270, 10)]
    scene = Scene(start="08:29").play("\n".join(changes))
    one = scene.one("lost ash/pc-01")
    assert scene.last is not None
    assert scene.last.pending["lost ash/pc-01"].flapping
    assert one.open
    before = one.entries
    scene.play("13:00 -> lost ash/pc-01\n15:00 -> nothing")
    # Seven changes in a hundred minutes and it flaps; what it did before that was told each time.
    assert (one.reopened, scene.one("lost ash/pc-01").entries) == (3, before + 1)


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_has_its_sentence_and_its_delay(kind: FindingKind) -> None:
    assert "{" in TITLES[kind] or kind is FindingKind.BROKER_SILENT
    assert delay_ms(kind, FindSettings()) >= 0
