"""Saving never delays patching: who is due, when windows are on, and what a wrong window in a file is told."""

import pytest
from msgspec import structs

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Cause
from caretaker_rules.patching import due_for_patching, open_windows, restarting
from caretaker_rules.policy import Policy
from rules_world import NOW_MS, SCHOOL, london_ms, machine, policy_from

DAY_MS = 86_400_000
PATCH = """
[[patch]]
name = "tuesday-night"
select = { classes = ["desktop"] }
hours = ["tue 22:00-02:00"]
restart = true
off_at_most = "7 d"
due_days = 14
"""


def policy(patch: str = PATCH) -> Policy:
    """A live policy with these windows."""
    return policy_from('mode = "live"\n' + patch)


def off(name: str, days: float, cause: Cause = Cause.RULE, state: str = "off", **more: str):  # type: ignore[no-untyped-def]
    """A machine that has been off for so long."""
    device, tracked = machine(name=name, state=state, cause=cause, **more)
    presence = structs.replace(tracked.presence, since_ms=NOW_MS - round(days * DAY_MS))
    return device, structs.replace(tracked, presence=presence)


def test_machines_that_rules_kept_off_too_long_are_due_the_longest_first() -> None:
    """Off or asleep by a rule for more than 7 days; overdue after 14. Everything else is nobody's delay of ours."""
    machines = [
        off("pc-01", 6.9),
        off("pc-02", 7.1),
        off("pc-03", 15),
        off("pc-04", 30, Cause.USER),
        off("pc-05", 30, Cause.MAINTENANCE),
        off("pc-06", 30, state="idle"),
        off("pc-07", 30, device_class="server"),
        off("pc-08", 9, state="asleep"),
        machine(name="pc-09", silent=True),
    ]
    due = due_for_patching(machines, SCHOOL, policy(), NOW_MS)
    assert [(row.device.device, row.overdue) for row in due] == [("pc-03", True), ("pc-08", False), ("pc-02", False)]
    assert due[0].due_ms == NOW_MS - DAY_MS
    assert {row.window for row in due} == {"tuesday-night"}
    assert {row.window_ms for row in due} == {london_ms("2026-10-06 22:00")}


def test_without_a_window_nothing_is_due() -> None:
    """A policy of before knows no patch windows."""
    assert due_for_patching([off("pc-01", 90)], SCHOOL, policy(""), NOW_MS) == []


@pytest.mark.parametrize(
    ("at", "is_open", "restarts"),
    [
        ("2026-10-06 21:59", False, False),
        ("2026-10-06 22:00", True, False),
        ("2026-10-07 01:29", True, False),
        ("2026-10-07 01:30", True, True),
        ("2026-10-07 02:00", False, False),
    ],
)
def test_a_window_is_on_over_midnight_and_restarts_in_its_last_half_hour(
    at: str, is_open: bool, restarts: bool
) -> None:
    """From Tuesday 22:00 until Wednesday 02:00."""
    assert bool(open_windows(SCHOOL, policy(), london_ms(at))) is is_open
    assert bool(restarting(SCHOOL, policy(), london_ms(at))) is restarts


def test_a_window_over_the_october_change_lasts_to_its_end_on_the_wall() -> None:
    """Saturday 23:00 to 01:30, with the hour from 01:00 twice: three and a half hours, not two and a half."""
    (found,) = open_windows(
        SCHOOL, policy(PATCH.replace("tue 22:00-02:00", "sat 23:00-01:30")), london_ms("2026-10-24 23:30")
    )
    assert (found.until_ms - found.from_ms) / 3_600_000 == 3.5


def test_every_mistake_in_a_window_is_told_with_its_line() -> None:
    """All at once, each with the key as typed and the remedy."""
    bad = (
        PATCH.replace('"7 d"', '"20 d"')
        .replace('{ classes = ["desktop"] }', "{}")
        .replace("22:00-02:00", "25:00-02:00")
    )
    with pytest.raises(ConfigError) as raised:
        policy(PATCH + bad)
    assert [fault.partition("  ")[2] for fault in raised.value.faults] == [
        'patch[1].name = "tuesday-night"   a window before it has this name; give each its own',
        "patch[1].hours = \"tue 25:00-02:00\"   '25:00' is not a time of the day (00:00 to 24:00)",
        "patch[1].select   selects nothing; name schools, networks, rooms, classes or tags, or write everything = true",
        'patch[1].off_at_most = "20 d"   must lie between 1 d and due_days (14 d): '
        "what is off for longer cannot be patched in time",
    ]
    assert {fault.partition("  ")[0] for fault in raised.value.faults} == {"policy.toml:11"}
