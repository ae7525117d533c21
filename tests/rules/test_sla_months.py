"""A month against its level, worked out by hand: parts, verdicts, faults that count once, times, credits and caps."""

from datetime import date

import msgspec
import pytest

from caretaker_rules import sla
from caretaker_rules.availability import Figure
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Incident, Status
from caretaker_rules.model import LevelChange
from caretaker_rules.service import Credit, LevelSpan
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.sla import Cost, Lesson, Sums, Verdict
from caretaker_rules.sla_faults import DeviceOutage, faults
from rules_world import SCHOOL, london_ms
from sla_world import level

HOUR = 3_600_000
NOW = london_ms("2026-10-05 12:00")
SEP = (date(2026, 9, 1), date(2026, 9, 30))


def clock_of(*spans):
    """The hours of service of Ashfield under these levels, each from a day on."""
    return ServiceClock(SCHOOL, [LevelSpan(level=one, from_day=day) for day, one in spans])


ONE = level()
CLOCK = clock_of((date.min, ONE))


def figure(available, down=0.0, unseen=0.0, maintained=0.0):
    parts = [round(hours * HOUR) for hours in (maintained, available, down, unseen)]
    return Figure(sum(parts), *parts)


def sums(*given, **more):
    return Sums(figure(*given, **more), figure(0))


def incident(number, subject, since, fixed=None, **more):
    since_ms = london_ms(f"2026-09-{since}")
    given = {
        "uid": f"u{number}",
        "number": number,
        "kind": FindingKind.LOST,
        "subject": subject,
        "title": f"{subject} is not heard any more",
        "since_ms": since_ms,
        "opened_ms": since_ms,
        "priority": 2,
        "fixed_ms": london_ms(f"2026-09-{fixed}") if fixed else 0,
        "status": Status.FIXED if fixed else Status.OPEN,
    }
    return Incident(**(given | more))


def outage(device, begin, end, room="ict1", began=None):
    from_ms, until_ms = (london_ms(f"2026-09-{text}") for text in (begin, end))
    return DeviceOutage(device, from_ms, until_ms, "lost", "unknown", london_ms(f"2026-09-{began or begin}"), room)


def part(of=ONE, clock=CLOCK, given=None, outages=(), lessons=(), incidents=(), span=SEP):
    return sla.part(SCHOOL, clock, (*span, of), given or sums(100), outages, lessons, incidents, NOW)


@pytest.mark.parametrize(
    ("available", "down", "unseen", "said"),
    [
        (100, 0, 0, Verdict.MET),
        (99, 1, 0, Verdict.MET),  # just 99 %
        (98.9, 1.1, 0, Verdict.MISSED),
        (98, 0.5, 1.5, Verdict.BLIND),  # 98 % to 99.5 %
        (99, 0, 1, Verdict.MET),
        (90, 1.1, 8.9, Verdict.MISSED),
        (0, 0, 0, Verdict.NOTHING_OWED),
        (0, 0, 8, Verdict.BLIND),
    ],
)
def test_a_verdict_is_said_only_when_the_whole_range_is_on_one_side(available, down, unseen, said):
    assert sla.verdict_of(figure(available, down, unseen), 0.99) is said


def test_all_owed_time_in_maintenance_is_nothing_owed():
    found = part(given=sums(0, maintained=40))
    assert (found.verdict, found.credits, found.cost) == (Verdict.NOTHING_OWED, (), Cost())


def test_a_level_that_changes_in_mid_month_makes_two_parts():
    """1 to 13 September transitional at 99 %, from the 14th on enhanced at 99.5 %; each has its own verdict."""
    two = level("enhanced", availability_target=0.995, title="Enhanced service", illustrative=True)
    clock = clock_of((date.min, ONE), (date(2026, 9, 14), two))
    spans = sla.spans(clock, *SEP)
    assert [(first.day, last.day, one.name) for first, last, one in spans] == [
        (1, 13, "transitional"),
        (14, 30, "enhanced"),
    ]
    parts = [
        sla.part(SCHOOL, clock, span, given, (), (), (), NOW)
        for span, given in zip(spans, (sums(99.2, 0.8), sums(99.2, 0.8)), strict=True)
    ]
    assert [one.verdict for one in parts] == [Verdict.MET, Verdict.MISSED]
    month = sla.month(SCHOOL, "2026-09", parts, [ONE, two], ["a"], (), clock, NOW)
    assert month.verdict is Verdict.MISSED
    assert parts[0].rule.startswith("1 Sep to 13 Sep 2026, Europe/London; owed mon-fri 08:00-16:00 on term days")
    assert parts[1].rule.endswith("an illustrative level, nobody's contract")


def test_a_change_to_the_same_level_makes_no_part():
    clock = clock_of((date.min, ONE), (date(2026, 9, 14), ONE))
    assert len(sla.spans(clock, *SEP)) == 1


def test_days_before_any_level_are_in_no_part():
    clock = clock_of((date(2026, 9, 14), ONE))
    assert [(first.day, last.day) for first, last, _ in sla.spans(clock, *SEP)] == [(14, 30)]
    assert sla.spans(clock_of(), *SEP) == []


# 0.5 points below 99 % costs 2 points and 1 percent.
@pytest.mark.parametrize(
    ("given", "cost"),
    [
        (figure(98.6, 1.4), Cost()),  # 0.4 below: no full half point
        (figure(98.5, 1.5), Cost(2, 1, 2, 1)),
        (figure(97.5, 2.5), Cost(6, 3, 6, 3)),
        (figure(97, 2, 1), Cost(4, 2, 8, 4)),  # 97 to 98 %: one point proved, two at most
        (figure(98, 0.5, 1.5), Cost(0, 0, 4, 2)),  # proved is nothing
        (figure(50, 50), Cost(30, 5, 30, 5)),  # 98 steps, capped
    ],
)
def test_credits_are_for_full_steps_of_what_is_proved_under_the_caps(given, cost):
    capped = level(most_points=30.0, most_percent=5.0)
    found = part(of=capped, given=Sums(given, figure(0)))
    assert found.cost == cost
    assert found.capped == (cost.points == 30)


def test_late_answers_and_fixes_and_rooms_cost_by_the_table():
    """A priority of its own and any priority are two lines; three lessons at `per` 2 are one full step."""
    priced = level(
        credits=[
            Credit(failure="response", points=1.0),
            Credit(failure="fix", priority=1, points=4.0),
            Credit(failure="fix", points=2.0),
            Credit(failure="room_not_ready", per=2.0, percent=0.5),
        ]
    )
    late = [
        incident(1, Subject("ash", "ict1", "pc-1"), "08 09:00", "09 15:00", priority=1),  # 14 h of service for 4 h
        incident(
            2,
            Subject("ash", "ict1", "pc-2"),
            "08 09:00",
            "10 12:00",
            priority=2,
            acknowledged_ms=london_ms("2026-09-08 10:00"),
        ),
    ]
    lessons = [Lesson("ict1", 0, ready, 10) for ready in (10, 8, 7, 0, 5)]
    found = part(of=priced, clock=clock_of((date.min, priced)), incidents=late, lessons=lessons)
    assert [(line.failure, line.priority, line.count, line.points, line.percent) for line in found.credits] == [
        ("response", None, 1, 1, 0),
        ("fix", 1, 1, 4, 0),
        ("fix", None, 2, 4, 0),
        ("room_not_ready", None, 3, 0, 0.5),
    ]
    assert (found.lessons_ready, found.lessons) == (2, 5)


def test_the_month_is_capped_by_the_highest_cap_of_its_levels():
    low, high = level(most_points=10.0), level("enhanced", most_points=12.0)
    parts = [part(of=one, given=sums(50, 50)) for one in (low, high)]
    month = sla.month(SCHOOL, "2026-09", parts, [low, high], [], (), CLOCK, NOW)
    assert [one.cost.points for one in parts] == [10, 12]
    assert month.cost.points == 12
    free = sla.month(SCHOOL, "2026-09", parts, [low, level("enhanced")], [], (), CLOCK, NOW)
    assert free.cost.points == 22


SWITCH = incident(
    7,
    Subject("ash", "ict1", "sw-1"),
    "08 09:00",
    "08 09:20",
    ever_hit=tuple(Subject("ash", "ict1", f"pc-{number}") for number in range(30)),
)


def test_a_dead_switch_is_one_fault_and_not_thirty():
    outages = [outage(f"pc-{number}", "08 09:00", "08 09:20") for number in range(30)]
    [fault] = faults(outages, [SWITCH], CLOCK)
    assert (fault.incident, len(fault.devices), fault.down_ms) == ("INC-7", 30, 30 * HOUR // 3)
    assert part(outages=outages, incidents=[SWITCH]).faults == 1
    assert part(outages=outages).faults == 30


def test_an_incident_that_was_over_before_explains_nothing():
    [fault] = faults([outage("pc-1", "08 10:00", "08 11:00")], [SWITCH], CLOCK)
    assert (fault.incident, fault.priority) == ("", None)


def test_merged_incidents_are_one_fault():
    first = incident(1, Subject("ash", "ict1", "pc-1"), "08 09:00", "08 10:00")
    merged = incident(
        2, Subject("ash", "ict1", "pc-2"), "08 09:00", status=Status.MERGED, merged_into="u1", fixed="08 09:30"
    )
    outages = [outage("pc-1", "08 09:00", "08 10:00"), outage("pc-2", "08 09:00", "08 10:00")]
    assert [one.incident for one in faults(outages, [first, merged], CLOCK)] == ["INC-1"]


def test_an_outage_over_night_or_through_maintenance_is_one():
    """Two days' rows of one outage touch out of hours; a third goes on after maintenance, and has begun with it."""
    rows = [outage("pc-1", "08 15:00", "09 00:00"), outage("pc-1", "09 00:00", "09 10:00", began="08 15:00")]
    rows.append(outage("pc-1", "09 12:00", "09 13:00", began="08 15:00"))
    assert len(faults(rows, [], CLOCK)) == 1
    assert len(faults([*rows, outage("pc-1", "09 14:00", "09 15:00")], [], CLOCK)) == 2
    assert faults(rows, [], CLOCK)[0].down_ms == (1 + 2 + 1) * HOUR


def test_an_outage_belongs_to_the_nearest_incident():
    """The device's own before its room's, the room's before the school's; one about another room is no cause."""
    room = Subject("ash", "ict1")
    school = incident(1, Subject("ash"), "08 08:00", "08 18:00", kind=FindingKind.SCHOOL_DARK)
    cut_off = incident(2, room, "08 08:00", "08 18:00", kind=FindingKind.LINK_DOWN)
    own = incident(3, Subject("ash", "ict1", "pc-1"), "08 09:00", "08 18:00")
    far = incident(4, Subject("ash", "lib"), "08 08:00", "08 18:00", kind=FindingKind.LINK_DOWN)
    burning = incident(5, Subject("ash"), "08 08:00", "08 18:00", kind=FindingKind.BURNING)
    rows = [outage("pc-1", "08 09:00", "08 10:00"), outage("pc-2", "08 09:00", "08 10:00")]
    rows.append(outage("lap-1", "08 09:00", "08 10:00", room="hall"))
    found = faults(rows, [burning, school, cut_off, own, far], CLOCK)
    assert {fault.devices[0]: fault.incident for fault in found} == {"pc-1": "INC-3", "pc-2": "INC-2", "lap-1": "INC-1"}
    assert faults(rows[2:], [burning], CLOCK)[0].incident == ""


def test_times_tell_in_time_late_and_still_running_by_priority():
    """Priority 2: answer in 2 h, fix in 8 h of service. Opened on the last day the clock still runs."""
    subject = Subject("ash", "ict1", "pc-1")
    incidents = [
        incident(1, subject, "08 09:00", "08 15:00", acknowledged_ms=london_ms("2026-09-08 09:30")),
        incident(2, subject, "09 09:00", "10 10:00", acknowledged_ms=london_ms("2026-09-09 12:00")),
        incident(3, subject, "10 09:00", status=Status.MERGED),
        incident(4, subject, "11 09:00", "11 10:00", priority=None),
        incident(5, subject, "30 15:00", opened_ms=london_ms("2026-10-05 11:00")),
    ]
    found = part(incidents=incidents)
    [answered], [fixed] = found.answered, found.fixed
    assert (answered.priority, answered.in_time, answered.late, answered.running, answered.ratio) == (2, 1, 1, 0, 0.5)
    assert (fixed.allowed_ms, fixed.in_time, fixed.late) == (8 * HOUR, 1, 1)
    october = part(incidents=incidents, span=(date(2026, 10, 1), date(2026, 10, 31)))
    assert [(one.in_time, one.late, one.running, one.ratio) for one in october.fixed] == [(0, 0, 1, None)]


def test_the_stamp_changes_with_what_the_figure_was_made_with():
    def stamp(levels=(ONE,), days=("a", "b"), school=SCHOOL):
        return sla.month(school, "2026-09", [], levels, days, (), CLOCK, NOW).stamp

    assert stamp().startswith("sla-1/")
    assert len(stamp()) == len("sla-1/3fa2")
    assert stamp() == stamp()
    others = {
        stamp(levels=[level(availability_target=0.98)]),
        stamp(days=("a", "c")),
        stamp(school=msgspec.structs.replace(SCHOOL, service_hours=["mon-fri 08:00-18:00"])),
        stamp(),
    }
    assert len(others) == 4


def test_days_of_a_kind_that_nobody_knows_are_named_in_the_rule():
    """The first term begins on 2 September: of the 1st, a Tuesday, nobody knows."""
    assert "1 day of a kind that nobody knows counts as owed (1 Sep)" in part().rule
    early = part(span=(date(2026, 8, 3), date(2026, 8, 31)))
    assert "21 days of a kind that nobody knows count as owed (3 Aug, 4 Aug, 5 Aug, 6 Aug, 7 Aug ...)" in early.rule


def test_the_rule_says_what_was_left_out_and_what_no_data_means():
    rule = part(given=sums(90, 5, 12.5, maintained=1200)).rule
    assert "maintenance recorded before it began left out (1,200 h)" in rule
    assert "no data (12.5 h) is neither up nor down and makes the range" in rule


def test_level_change_in_the_estate_reads_as_written():
    """The clock of a school with a level on a date, from estate.toml's own structs."""
    from caretaker_rules.service import ServiceFile

    school = msgspec.structs.replace(SCHOOL, levels=[LevelChange(level="enhanced", starts=date(2026, 9, 14))])
    clock = ServiceClock.of(school, ServiceFile(levels=[ONE, level("enhanced")]))
    assert [one.name for *_, one in sla.spans(clock, *SEP)] == ["transitional", "enhanced"]


@pytest.mark.parametrize(("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2026-12", 31)])
def test_a_month_has_its_days(month, days):
    first, last = sla.month_days(month)
    assert (first.day, last.day) == (1, days)


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-9", "Sep"])
def test_what_is_no_month_is_refused(month):
    with pytest.raises(ValueError, match=r"isoformat|month"):
        sla.month_days(month)
