"""Savings that can be reckoned on paper: survival curves, spells, tariffs that change, days of 23 and 25 hours."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caretaker_contract.messages import Cause, PowerState
from caretaker_rules.model import CarbonFactor, Tariff
from caretaker_rules.savings import LEVELS, Baseline, assess, spans
from caretaker_rules.spells import Ended, Spell, Spells
from caretaker_rules.survival import Curve
from rules_world import CLASSES, LONDON, london_ms

H = 3_600_000
OFF, ASLEEP, IDLE, IN_USE, LOST = (PowerState(s) for s in ("off", "asleep", "idle", "in_use", "lost"))
TARIFF = Tariff(valid_from=date(2025, 10, 1), pence_per_kwh=25, source="bill of 2025")
DEARER = Tariff(valid_from=date(2026, 10, 13), pence_per_kwh=50, source="bill of 2026")
FACTOR = CarbonFactor(valid_from=date(2025, 6, 1), kg_co2e_per_kwh=0.2, source="2025 set")
LOWER = CarbonFactor(valid_from=date(2026, 10, 13), kg_co2e_per_kwh=0.1, source="2026 set")
MONDAYS = ("2026-09-07", "2026-09-14", "2026-09-21", "2026-09-28")
SEPTEMBER = (date(2026, 9, 1), date(2026, 9, 30))
MONDAY, TUESDAY = date(2026, 10, 12), date(2026, 10, 13)


def spell(start, on_h, next_h, ended=Ended.OPEN, away=OFF, room="ict1", device_class="desktop"):
    start_ms = london_ms(start) if isinstance(start, str) else start
    return Spell(room, device_class, start_ms, start_ms + round(on_h * H), start_ms + round(next_h * H), ended, away)


def mondays(room="ict1"):
    """Left at 16:00, used again after 16 h; on each Monday three of six are switched off after one hour."""
    return [
        spell(f"{day} 16:00", 1, 16, Ended.USER, room=room) if number < 3 else spell(f"{day} 16:00", 16, 16, room=room)
        for day in MONDAYS
        for number in range(6)
    ]


def saved(spells, tariffs=(TARIFF,), factors=(FACTOR,), first=MONDAY, last=TUESDAY, base=None):
    known = Baseline(mondays() if base is None else base, LONDON, *SEPTEMBER)
    return assess(known, spells, spans(first, last, LONDON, tariffs, factors), CLASSES)


RULED = spell("2026-10-12 16:00", 0.5, 16, Ended.RULE)


def test_a_shut_down_saves_what_the_curve_expects_to_the_watt_hour():
    """Off by a rule after half an hour: half an hour that all stay on, 15 h that half of them do, 87.4 W: 699.2 Wh."""
    found = saved([RULED])
    kwh = found.rule_off.kwh
    assert kwh.likely == pytest.approx(8 * 0.0874)
    assert (kwh.low, kwh.high) == pytest.approx((0.0, 15.5 * 0.0874))  # wide, so what is possible bounds it
    assert found.rule_off.pounds.likely == pytest.approx(8 * 0.0874 * 0.25)
    assert found.rule_off.kg_co2e.likely == pytest.approx(8 * 0.0874 * 0.2)
    assert (found.rule_off.spells, found.rule_off.off_s) == (1, 15.5 * 3600)
    assert found.user_off.kwh.likely == pytest.approx(0)
    assert found.both.kwh.likely == pytest.approx(kwh.likely)
    assert found.basis.levels == {"class and room": 1}
    assert (found.basis.fewest, found.basis.baseline_spells, found.basis.baseline_days) == (24, 24, 4)


def test_people_who_switch_off_more_than_before_save():
    """Of 24 machines as in the baseline nobody saves anything; had all been switched off after 1 h, 7.5 h each."""
    moved = [spell(s.start_ms + 35 * 24 * H, (s.end_ms - s.start_ms) / H, 16, s.ended) for s in mondays()]
    assert saved(moved, last=date(2026, 11, 30)).user_off.kwh.likely == pytest.approx(0)
    tidy = [spell("2026-10-12 16:00", 1, 16, Ended.USER)] * 24
    assert saved(tidy).user_off.kwh.likely == pytest.approx(24 * 7.5 * 0.0874)
    careless = [spell("2026-10-12 16:00", 16, 16)] * 24
    assert saved(careless).user_off.kwh.likely == pytest.approx(-24 * 7.5 * 0.0874)


def test_the_range_is_student_t_around_the_binomial_spread():
    """200 shut-downs judged by 24 spells: a spread of 7.5 h each, with the baseline's own error, times t of 3 days."""
    kwh = saved([RULED] * 200).rule_off.kwh
    spread = 0.0874 * 7.5 * (200 * (1 + 200 / 24)) ** 0.5
    assert kwh.high == pytest.approx(min(200 * 15.5 * 0.0874, kwh.likely + 4.541 * spread), rel=1e-3)
    assert kwh.low == pytest.approx(max(0.0, kwh.likely - 4.541 * spread), rel=1e-3)
    few = saved([RULED] * 4, base=[*mondays(), *mondays(), *mondays(), *mondays()]).rule_off.kwh
    assert few.high - few.likely == pytest.approx(min(4 * 7.5 * 0.0874, 4.541 * 0.0874 * 7.5 * 2 * (1 + 4 / 96) ** 0.5))


def test_a_machine_that_a_rule_puts_to_sleep_saves_less():
    """Asleep it draws 3 W, not 2.6."""
    found = saved([spell("2026-10-12 16:00", 0.5, 16, Ended.RULE, ASLEEP)])
    assert found.rule_off.kwh.likely == pytest.approx(8 * 0.087)


def test_tariff_and_factor_are_those_of_the_moment():
    """Four hours fall before midnight, four after it, when both change; kWh do not care."""
    found = saved([RULED], (TARIFF, DEARER), (LOWER, FACTOR)).rule_off
    assert found.kwh.likely == pytest.approx(8 * 0.0874)
    assert found.pounds.likely == pytest.approx(4 * 0.0874 * (0.25 + 0.5))
    assert found.kg_co2e.likely == pytest.approx(4 * 0.0874 * (0.2 + 0.1))
    assert [part.tariff.source for part in spans(MONDAY, TUESDAY, LONDON, (TARIFF, DEARER), ())] == [
        "bill of 2025",
        "bill of 2026",
    ]


def test_a_falling_factor_is_no_saving():
    """Nothing avoided is no carbon avoided, however clean the grid becomes; a cleaner grid makes a saving smaller."""
    assert saved([], factors=(FACTOR, LOWER)).both.kg_co2e.likely == 0
    assert saved([RULED], factors=(LOWER,), first=TUESDAY).rule_off.kg_co2e.likely < 0.05


def test_without_a_valid_tariff_there_is_no_cost():
    """A period before the first tariff has kWh, but neither cost nor a guess of it."""
    found = saved([RULED], tariffs=(DEARER,), factors=())
    assert (found.rule_off.pounds, found.rule_off.kg_co2e) == (None, None)
    assert found.rule_off.kwh.likely > 0
    assert found.basis.factors == ()


@pytest.mark.parametrize(("day", "hours"), [("2026-10-24", 13), ("2026-03-28", 11), ("2026-10-17", 12)])
def test_nights_of_clock_changes_have_their_own_length(day, hours):
    """Off from 20:00 to 08:00 is 13 h when clocks go back, 11 h when they go forward."""
    start_ms, next_ms = (
        london_ms(f"{day} 19:00"),
        london_ms(f"{date.fromisoformat(day).replace(day=int(day[-2:]) + 1)} 08:00"),
    )
    ruled = Spell("ict1", "desktop", start_ms, start_ms + H, next_ms, Ended.RULE, OFF)
    base = [spell(f"2026-09-{number:02} 19:00", 20, 20) for number in (5, 12, 19, 26) for _ in range(5)]
    first = date.fromisoformat(day)
    found = saved([ruled], first=first, last=first.replace(day=first.day + 1), base=base)
    assert found.rule_off.kwh.likely == pytest.approx(hours * 0.0874)
    assert found.rule_off.off_s == hours * 3600


def test_only_what_lies_in_the_period_counts():
    """Each day of a spell over midnight has its own part; the parts add up."""
    parts = [saved([RULED], first=day, last=day).rule_off for day in (MONDAY, TUESDAY)]
    assert [part.kwh.likely for part in parts] == pytest.approx([4 * 0.0874, 4 * 0.0874])
    assert [part.off_s for part in parts] == [7.5 * 3600, 8 * 3600]


def test_few_spells_are_pooled_and_it_is_said():
    """A room without a record borrows its class's curve, a class without one all others', another hour that part."""
    known = Baseline(mondays(), LONDON, *SEPTEMBER)
    asked = [
        spell("2026-10-12 16:10", 1, 2),
        spell("2026-10-12 16:10", 1, 2, room="lib"),
        spell("2026-10-12 16:10", 1, 2, device_class="laptop"),
        spell("2026-10-12 17:10", 1, 2),
        spell("2026-10-12 12:10", 1, 2),
        spell("2026-10-13 16:10", 1, 2),
    ]
    assert [known.curve(one).level for one in asked] == list(LEVELS)
    assert known.curve(asked[0], 3601).level == LEVELS[-1]  # only 12 were still on by then


def test_an_unknown_class_is_left_out_and_counted():
    """Without watts there are no kWh."""
    found = saved([spell("2026-10-12 16:00", 0.5, 16, Ended.RULE, device_class="abacus")])
    assert (found.basis.unknown_class, found.both.kwh.likely) == (1, 0)


def test_a_curve_counts_whoever_came_back_only_up_to_then():
    """Kaplan-Meier by hand: off at 1 h (1 of 4), back at 2 h, off at 3 h (1 of 2): 3/4, then 3/8."""
    curve = Curve("all", [(1.0, True), (2.0, False), (3.0, True), (4.0, False)])
    assert [curve.share_on(at) for at in (0, 1, 2.9, 3, 9)] == [1, 0.75, 0.75, 0.375, 0.375]
    assert curve.area_s(4) == pytest.approx(1 + 2 * 0.75 + 0.375)
    assert curve.expected_s(3.5, 4, 3) == pytest.approx(0.5)
    assert [curve.at_risk(at) for at in (0, 1, 1.5, 3, 4.5)] == [4, 4, 3, 2, 0]
    coin = Curve("all", [(0.0, True), (8.0, False)])
    assert coin.variance_from_start_s2(8) == pytest.approx(16)
    assert (coin.variance_s2(0, 8), coin.expected_s(0, 8, 0)) == (0, 8)
    nobody_stays = Curve("all", [(1.0, True)])
    assert nobody_stays.expected_s(2, 3, 2) == nobody_stays.variance_s2(2, 3) == 0


def feed(*changes):
    """Spells of one machine: (hour, from, to, cause)."""
    book = Spells()
    done = [
        one
        for hour, was, state, cause in changes
        if (one := book.feed(hour * H, "pc", "ict1", "desktop", was, state, cause))
    ]
    return [
        (s.start_ms // H, s.end_ms // H, s.next_ms // H, s.ended, s.away) for s in [*done, *book.finish(100 * H)]
    ], book


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(1, IN_USE, IDLE, Cause.NO_INPUT), (3, IDLE, IN_USE, Cause.INPUT)], [(1, 3, 3, Ended.OPEN, OFF)]),
        ([(1, IN_USE, IDLE, Cause.NO_INPUT), (2, IDLE, OFF, Cause.RULE)], [(1, 2, 100, Ended.RULE, OFF)]),
        ([(1, IN_USE, OFF, Cause.USER), (9, OFF, IN_USE, Cause.BOOT)], [(1, 1, 9, Ended.USER, OFF)]),
        (
            [(1, IN_USE, ASLEEP, Cause.USER), (2, ASLEEP, OFF, Cause.USER), (9, OFF, IN_USE, Cause.BOOT)],
            [(1, 1, 9, Ended.USER, ASLEEP)],
        ),
        ([(1, IN_USE, IDLE, Cause.NO_INPUT), (2, IDLE, OFF, Cause.MAINTENANCE)], [(1, 2, 2, Ended.OPEN, OFF)]),
        ([(1, IN_USE, IDLE, Cause.NO_INPUT), (2, IDLE, LOST, Cause.UNKNOWN)], [(1, 2, 2, Ended.OPEN, OFF)]),
        ([(1, LOST, IDLE, Cause.HEARTBEAT), (2, IDLE, OFF, Cause.RULE)], []),
        ([(1, IN_USE, IDLE, Cause.NO_INPUT)], [(1, 100, 100, Ended.OPEN, OFF)]),
    ],
)
def test_changes_of_state_make_spells(changes, expected):
    """Left, perhaps switched off, used again: one spell; what nobody can know makes none."""
    assert feed(*changes)[0] == expected


def test_a_machine_that_went_without_a_word_is_left_out():
    """On, then found off at its next start: nobody knows since when. It is counted."""
    found, book = feed((1, IN_USE, IDLE, Cause.NO_INPUT), (9, OFF, IN_USE, Cause.BOOT))
    assert (found, book.not_seen) == ([], 1)


@st.composite
def any_spell(draw, month):
    """A spell of any length at any time of a month."""
    start_ms = london_ms(f"2026-{month:02}-{draw(st.integers(1, 28)):02} 00:00") + draw(st.integers(0, 1439)) * 60_000
    ended = draw(st.sampled_from(list(Ended)))
    on_h = draw(st.integers(0, 3000)) / 60
    rest_h = 0 if ended is Ended.OPEN else draw(st.integers(0, 5000)) / 60
    away, room = draw(st.sampled_from([OFF, ASLEEP])), draw(st.sampled_from(["ict1", "lib"]))
    return spell(start_ms, on_h, on_h + rest_h, ended, away, room)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_spell(9), min_size=1, max_size=60), st.lists(any_spell(10), max_size=40))
def test_no_more_is_avoided_than_machines_were_off(before, during):
    """Low, likely and high are in order, and none is beyond the time off; a rule never comes out as a waste."""
    found = saved(during, (TARIFF, DEARER), (FACTOR, LOWER), date(2026, 10, 5), date(2026, 10, 20), before)
    for line in (found.rule_off, found.user_off, found.both):
        for figure in (line.kwh, line.pounds, line.kg_co2e):
            assert figure.low <= figure.likely <= figure.high
        assert line.kwh.high <= line.off_s / 3600 * 0.0874 + 1e-9
    assert found.rule_off.kwh.low >= 0
    assert (found.rule_off.kwh.high > 0) <= (found.rule_off.spells > 0)


def test_machines_that_go_together_widen_the_range():
    """On two of four Mondays all six are switched off, on two none: six machines say no more than one does."""
    rounds = [
        spell(f"{day} 16:00", 1, 16, Ended.USER) if number % 2 else spell(f"{day} 16:00", 16, 16)
        for number, day in enumerate(MONDAYS)
        for _ in range(6)
    ]
    # The sum of each day is 6 x 7.5 h; alone they would make 7.5 h times the root of 6. Three of four days are free.
    assert saved([RULED], base=rounds).basis.together == pytest.approx(6 * 4 / 3)
    assert saved([RULED]).basis.together == 1
