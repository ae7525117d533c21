"""Priority from how far a fault reaches and whether people can work elsewhere; which level a school has on a day."""

import tomllib
from datetime import date

import msgspec
import pytest
from msgspec import structs

from caretaker_rules.model import Device, LevelChange
from caretaker_rules.service import (
    Impact,
    MatrixRow,
    PriorityTimes,
    ServiceFile,
    ServiceLevel,
    alternative_of,
    impact_of,
    priority_of,
    reach,
    with_dependents,
)
from caretaker_rules.service_hours import ServiceClock
from rules_world import POLICIES, SCHOOL, london_ms

LEVEL = ServiceLevel(
    name="transitional",
    availability_target=0.99,
    priorities=[PriorityTimes(priority=1, respond="1 h", fix="2 h")],
    matrix=[MatrixRow(impact=Impact.ROOM, alternative=False, priority=1)],
)


def _device(name: str, room: str, device_class: str = "desktop", behind: str | None = None) -> Device:
    return Device(school="ash", name=name, room=room, device_class=device_class, behind=behind)


DEVICES = {
    device.name: device
    for device in (
        _device("core", "servers", "switch"),
        _device("switch-1", "ict1", "switch", "core"),
        _device("files", "servers", "server"),
        *(_device(f"ict1-{number}", "ict1", behind="switch-1") for number in range(10)),
        *(_device(f"lib-{number}", "lib") for number in range(10)),
        *(_device(f"office-{number}", "office") for number in range(2)),
    )
}
ALWAYS_ON = {"switch", "server"}


@pytest.mark.parametrize(
    ("hits", "impact", "alternative"),
    [
        (["lib-0"], Impact.DEVICE, True),
        (["lib-0", "lib-1"], Impact.DEVICE, True),  # 2 of 10: the others can be used
        (["lib-0", "lib-1", "lib-2"], Impact.DEVICE, False),
        ([f"lib-{number}" for number in range(5)], Impact.ROOM, False),
        (["office-0"], Impact.ROOM, False),  # one of two
        (["lib-0", "ict1-0"], Impact.ROOM, True),  # several rooms, each with others to use
        (["switch-1"], Impact.ROOM, False),  # with the ten machines behind it
        (["files"], Impact.ROOM, False),  # nobody wrote down who depends on it
        (["core"], Impact.ROOM, False),  # by what is behind what is behind it: 10 of 22 machines
        (["core", "lib-0"], Impact.SCHOOL, False),
        ([f"{room}-{number}" for room in ("lib", "ict1") for number in range(10)], Impact.SCHOOL, False),
        (["gone"], Impact.DEVICE, True),  # not of this school
        ([], Impact.DEVICE, True),
    ],
)
def test_impact_and_alternative_follow_what_is_hit(hits: list[str], impact: Impact, alternative: bool) -> None:
    found = reach(hits, DEVICES, ALWAYS_ON)
    assert (impact_of(LEVEL, found), alternative_of(LEVEL, found)) == (impact, alternative)


def test_what_is_always_on_is_not_counted_as_a_machine_that_people_use() -> None:
    found = reach(["core"], DEVICES, ALWAYS_ON)
    assert (found.hit, found.total, found.rooms, found.shared) == (10, 22, {"ict1": (10, 10)}, False)


def test_a_loop_of_dependents_ends() -> None:
    """The register's check refuses one; what was read before must not hang the rules."""
    assert with_dependents(["a"], {"a": ["b"], "b": ["a", "c"]}) == {"a", "b", "c"}


def test_a_pair_that_the_matrix_lacks_has_no_priority() -> None:
    assert priority_of(LEVEL, Impact.ROOM, False) == 1
    assert priority_of(LEVEL, Impact.ROOM, True) is None


def test_the_example_gives_a_priority_with_times_to_every_pair_and_says_that_it_is_one() -> None:
    text = (POLICIES / "service.toml").read_text(encoding="utf-8")
    example = msgspec.convert(tomllib.loads(text), ServiceFile)
    assert [level.name for level in example.levels] == ["transitional", "enhanced"]
    for level in example.levels:
        assert level.illustrative
        known = {times.priority for times in level.priorities}
        assert {priority_of(level, impact, spare) for impact in Impact for spare in (True, False)} <= known
    for source in ("Moray", "Buckinghamshire", "One IT"):
        assert source in text


def test_the_level_changes_at_local_midnight() -> None:
    other = structs.replace(LEVEL, name="enhanced")
    moves = structs.replace(SCHOOL, levels=[LevelChange(level="enhanced", starts=date(2026, 10, 14))])
    clock = ServiceClock.of(moves, ServiceFile(levels=[LEVEL, other]))
    assert clock.level(date(2026, 10, 13)) == LEVEL
    assert clock.level(date(2026, 10, 14)) == other
    before, after = clock.level_at(london_ms("2026-10-13 23:59")), clock.level_at(london_ms("2026-10-14 00:00"))
    assert (before, after) == (LEVEL, other)


def test_without_a_service_file_nothing_is_owed_and_nothing_is_due() -> None:
    clock = ServiceClock.of(SCHOOL, None)
    from_ms = london_ms("2026-10-06 10:00")
    assert clock.level_at(from_ms) is None
    assert clock.owed(from_ms, from_ms + 7 * 86_400_000) == []
    assert clock.due_ms(from_ms, 60_000) is None


def test_a_level_that_the_file_lacks_is_an_error_with_its_school() -> None:
    with pytest.raises(ValueError, match=r'ash: no such service level "transitional"'):
        ServiceClock.of(SCHOOL, ServiceFile(levels=[structs.replace(LEVEL, name="gold")]))


def test_a_school_whose_files_were_not_read_is_owed_its_hours() -> None:
    """Doubt about the kind of a day is not to the provider's favour."""
    unread = structs.replace(SCHOOL, days="days.csv", service_hours=["mon-fri 08:00-17:00"])
    clock = ServiceClock.of(unread, ServiceFile(levels=[LEVEL]))
    half_term = london_ms("2026-10-27 00:00")
    assert sum(end - begin for begin, end in clock.owed(half_term, half_term + 86_400_000)) == 9 * 3_600_000
    assert clock.unknown_days(half_term, half_term + 86_400_000) == [date(2026, 10, 27)]


def test_level_without_hours_has_the_schools_own() -> None:
    own = structs.replace(SCHOOL, service_hours=["tue 10:00-11:00"])
    clock = ServiceClock.of(own, ServiceFile(levels=[LEVEL]))
    day_ms = london_ms("2026-10-06 00:00")
    hour = (london_ms("2026-10-06 10:00"), london_ms("2026-10-06 11:00"))
    assert clock.owed(day_ms, day_ms + 86_400_000) == [hour]
    assert clock.owed(hour[0] + 60_000, hour[1] - 60_000) == [(hour[0] + 60_000, hour[1] - 60_000)]
    assert clock.owed(hour[1], hour[0]) == []
