"""The telling steps' corners: what a silence covers, when quiet hours end, whom nothing can be told."""

import msgspec
import pytest

from alert_world import DEVICES, World, at, said, settings_of
from caretaker_rules.alert_settings import Severity
from caretaker_rules.alert_steps.heard import RANK, Memory
from caretaker_rules.alert_steps.quiet import WEEK_MS, quiet_until
from caretaker_rules.alert_steps.silence import covers
from caretaker_rules.alerting import Round, Told, What
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Hold
from rules_world import LONDON, SCHOOL, london_ms

SETTINGS = settings_of("""
default = ["desk"]
[[channels]]
name = "desk"
kind = "file"
path = "desk.log"
""")


def incident(subject: Subject, *hits: str, kind: FindingKind = FindingKind.LOST) -> Incident:
    """An open incident of Ashfield."""
    return Incident(
        uid="u1",
        number=1,
        kind=kind,
        subject=subject,
        title="x",
        since_ms=0,
        opened_ms=0,
        hits=tuple(Subject("ash", "", name) for name in hits),
    )


def silence_of(school: str = "ash", room: str | None = None, device: str | None = None, of: str | None = None) -> Hold:
    """A silence over a place."""
    return Hold(
        id=1, kind="silence", school=school, room=room, device=device, device_class=of, from_ms=0, until_ms=1, reason=""
    )


@pytest.mark.parametrize(
    ("hold", "about", "covered"),
    [
        (silence_of(), incident(Subject("ash", "", "ict1-01")), True),
        (silence_of(), incident(Subject("ash")), True),
        (silence_of("elm"), incident(Subject("ash")), False),
        (silence_of(room="ict1"), incident(Subject("ash", "", "ict1-01")), True),
        (silence_of(room="ict1"), incident(Subject("ash", "ict1")), True),
        (silence_of(room="ict1"), incident(Subject("ash")), False),
        (silence_of(room="office"), incident(Subject("ash", "", "ict1-01")), False),
        (silence_of(room="ict1"), incident(Subject("ash"), "ict1-01", "ict1-02"), True),
        (silence_of(room="ict1"), incident(Subject("ash"), "ict1-01", "office-01"), False),
        (silence_of(room="ict1", device="ict1-01"), incident(Subject("ash", "", "ict1-02")), False),
        (silence_of(room="ict1", device="ict1-01"), incident(Subject("ash", "ict1")), False),
        (silence_of(of="desktop"), incident(Subject("ash", "ict1"), "ict1-01"), True),
        (silence_of(of="desktop"), incident(Subject("ash", "ict1")), False),
        (silence_of(of="server"), incident(Subject("ash", "", "ict1-01")), False),
    ],
)
def test_a_silence_covers_a_subject_or_all_that_is_hit(hold: Hold, about: Incident, covered: bool) -> None:
    """Never more than was asked for: of a wider fault people are told."""
    assert covers(hold, about, DEVICES) == covered


@pytest.mark.parametrize(
    ("spans", "when", "until"),
    [
        (["mon-sun 18:00-08:00"], "tue 17:59", None),
        (["mon-sun 18:00-08:00"], "tue 18:00", "wed 08:00"),
        (["mon-sun 18:00-08:00"], "wed 07:59:30", "wed 08:00"),
        (["mon-fri 18:00-24:00", "mon-sun 00:00-07:00"], "tue 20:00", "wed 07:00"),
        (["mon-fri 18:00-08:00", "sat-sun 00:00-24:00"], "fri 18:30", "MON 00:00"),
        (["mon-fri 18:00-08:00", "sat-sun 08:00-08:00"[:-5] + "07:00"], "fri 18:30", "sun 07:00"),
        ([], "tue 03:00", None),
    ],
)
def test_quiet_hours_end_where_no_span_goes_on(spans: list[str], when: str, until: str | None) -> None:
    """Over spans that touch or overlap, and over a weekend."""
    end_ms = quiet_until(spans, at(when), LONDON)
    assert (None if end_ms is None else said(end_ms)) == (until.lower() if until else None)


@pytest.mark.parametrize(
    ("when", "hours"),
    [
        ("2026-03-28 22:00", 9),  # the clock goes forward in this night: ten hours on the wall are nine
        ("2026-10-24 22:00", 11),
        ("2026-06-06 22:00", 10),
    ],
)
def test_a_night_with_a_clock_change_ends_by_the_clock_on_the_wall(when: str, hours: int) -> None:
    """At 08:00."""
    at_ms = london_ms(when)
    assert quiet_until(["mon-sun 22:00-08:00"], at_ms, LONDON) == at_ms + hours * 3_600_000


@pytest.mark.parametrize("when", ["2026-10-25 00:15", "2026-03-29 00:15"])
def test_hours_that_end_within_the_hour_that_is_doubled_or_left_out_come_to_an_end(when: str) -> None:
    """In October after the second 01:30, so that nobody is woken by the first."""
    end_ms = quiet_until(["mon-sun 23:00-01:30"], london_ms(when), LONDON)
    assert end_ms is not None
    assert london_ms(when) < end_ms <= london_ms(when) + 3 * 3_600_000


def test_hours_without_an_end_are_cut_after_a_week() -> None:
    """Settings refuse them; nothing may hang if they come in another way."""
    assert quiet_until(["mon-sun 00:00-24:00"], at("tue 09:00"), LONDON) == at("tue 09:00") + WEEK_MS


def test_what_has_no_number_yet_is_told_at_the_next_look() -> None:
    """Its number is what people call it by, and is given as it is written."""
    world = World(SETTINGS)
    world.happens("tue 09:00 opened 0 P1 ict1")
    assert world.look(at("tue 09:10")) == []


def test_a_channel_that_was_taken_away_is_told_nothing_more() -> None:
    """Not even the end: there is nobody any more to tell."""
    world = World(SETTINGS)
    world.happens("tue 09:00 opened 1 P1 ict1")
    assert len(world.look(at("tue 09:01"))) == 1
    world.happens("tue 09:10 fixed 1")
    text = msgspec.json.encode(SETTINGS).replace(b'"desk"', b'"new"')
    world.alerts = msgspec.json.decode(text, type=type(SETTINGS))
    assert world.look(at("tue 09:30")) == []
    world.happens("tue 09:40 reopened 1")
    assert {telling.channel for telling in world.look(at("tue 15:00"))} == {"new"}


def test_without_alert_settings_nobody_is_told_of_anything() -> None:
    """Incidents are recorded all the same."""
    world = World(SETTINGS)
    world.happens("tue 09:00 opened 1 P1 ict1")
    look = Round(
        now_ms=at("tue 12:00"), school=SCHOOL, devices=DEVICES, findings=[], incidents=world.incidents(), sees=False
    )
    for step in world.steps:
        step(look)
    assert look.telling == []


@pytest.mark.parametrize(
    ("kind", "priority", "severity"),
    [
        (FindingKind.LOST, 1, Severity.CRITICAL),
        (FindingKind.LOST, 3, Severity.IMPORTANT),
        (FindingKind.LOST, 4, Severity.INFO),
        (FindingKind.LOST, None, Severity.IMPORTANT),
        (FindingKind.BROKER_SILENT, None, Severity.CRITICAL),
        (FindingKind.COLLECTOR_BEHIND, None, Severity.IMPORTANT),
        (FindingKind.CANNOT_WAKE, 1, Severity.INFO),
    ],
)
def test_severity_is_by_kind_then_by_priority(kind: FindingKind, priority: int | None, severity: Severity) -> None:
    """What nobody gave one is important: in doubt somebody is told."""
    found = msgspec.structs.replace(incident(Subject("ash", "ict1"), kind=kind), priority=priority)
    assert SETTINGS.severity_of(found) is severity


def test_what_a_channel_knows_begins_anew_after_the_end() -> None:
    """Since when it knows, and how grave it was told it is: of the present run, not of the one before."""
    memory = Memory([])
    for what, at_ms, severity in (
        (What.OPENED, 10, "critical"),
        (What.REMINDED, 20, "critical"),
        (What.FIXED, 30, "critical"),
        (What.REOPENED, 40, "important"),
        (What.WARNED, 50, "important"),
    ):
        memory.add(Told(uid="u1", what=what, channel="desk", at_ms=at_ms, severity=severity))
        if at_ms == 20:
            assert memory.of("u1", "desk").since_ms == 10
    heard = memory.of("u1", "desk")
    assert (heard.since_ms, heard.last_ms, heard.rank) == (40, 50, RANK["important"])
    assert memory.knowing("u1") == ["desk"]
    assert memory.knowing("u2") == []
