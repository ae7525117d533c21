"""Figures become text in one place: units, signs, decimals, ranges, and n/a with its reason."""

import pytest

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Fact, Sentence, Unit, Value


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (Unit.COUNT, 1234, "1,234"),
        (Unit.COUNT, 0, "0"),
        (Unit.COUNT, -0.0, "0"),
        (Unit.PERCENT, 99.624, "99.62 %"),
        (Unit.PERCENT, 99.499, "99.49 %"),
        (Unit.PERCENT, 100, "100.00 %"),
        (Unit.POINTS, 0.43, "+0.43 points"),
        (Unit.POINTS, -1.25, "−1.25 points"),
        (Unit.POINTS, 0, "0.00 points"),
        (Unit.KWH, 3420.4, "3,420 kWh"),
        (Unit.KWH, 12.44, "12.4 kWh"),
        (Unit.KWH, 0.43, "0.43 kWh"),
        (Unit.KWH, 0, "0 kWh"),
        (Unit.GBP, 275.5, "£276"),
        (Unit.GBP, 9.6, "£9.60"),
        (Unit.GBP, -9.6, "−£9.60"),
        (Unit.KG, 195.1, "195 kg"),
        (Unit.HOURS, 1234.56, "1,234.6 h"),
        (Unit.MINUTES, 30, "30 min"),
        (Unit.SECONDS, 12_000, "3 h 20 min"),
        (Unit.SECONDS, 11_100, "3 h 05 min"),
        (Unit.SECONDS, 1_200, "20 min"),
        (Unit.SECONDS, 45, "45 s"),
        (Unit.SECONDS, -1_200, "−20 min"),
        (Unit.DAYS, 1, "1 day"),
        (Unit.DAYS, 12, "12 days"),
        (Unit.WATTS, 46.5, "46.5 W"),
        (Unit.RATIO, 0.714, "71 %"),
        (Unit.GBP_PER_HOUR, 0.431, "£0.43 an hour"),
        (Unit.NUMBER, 3.425, "3.43"),
        (Unit.MOMENT, 1_790_838_000_000, "Thu 1 Oct 2026 08:00"),
        (Unit.DATE, "2026-09-03", "3 Sep 2026"),
        (Unit.DATE, "next week", "next week"),
        (Unit.TEXT, "ICT suite 1", "ICT suite 1"),
        (Unit.MARK, "declared", "◐ declared"),
        (Unit.KWH, None, "n/a"),
        (Unit.KWH, float("nan"), "n/a"),
        (Unit.TEXT, True, "yes"),
    ],
)
def test_each_unit_is_written_in_its_way(unit: Unit, value: Value, text: str) -> None:
    assert words.text(unit, value, zone="Europe/London") == text


def fact(unit: Unit, value: Value, low: float | None = None, high: float | None = None, why_not: str = "") -> Fact:
    return Fact(key="one", title="One", unit=unit, value=value, low=low, high=high, why_not=why_not)


def test_a_figure_with_a_range_has_the_decimals_of_its_range() -> None:
    assert words.fact_text(fact(Unit.PERCENT, 99.624, 99.413, 99.709)) == "99.62 % (99.41 to 99.70)"
    assert words.fact_text(fact(Unit.KWH, 95.0, 80.0, 120.0)) == "95 kWh (80 to 120)"
    assert words.fact_text(fact(Unit.GBP, 276.0, 226.0, 335.0)) == "£276 (£226 to £335)"


def test_a_range_without_width_is_not_written() -> None:
    assert words.fact_text(fact(Unit.PERCENT, 99.5, 99.5, 99.5)) == "99.50 %"


def test_what_is_not_known_says_why() -> None:
    assert words.fact_text(fact(Unit.KWH, None, why_not="no meter")) == "n/a (no meter)"
    assert words.fact_text(fact(Unit.PERCENT, None, 98.0, 99.0)) == "n/a (98.00 to 99.00)"


def test_a_share_just_below_its_target_is_not_rounded_up_to_it() -> None:
    assert words.text(Unit.PERCENT, 99.4999) == "99.49 %"
    assert words.text(Unit.PERCENT, 0.995 * 100) == "99.50 %"


def test_a_column_has_the_same_decimals_in_every_cell() -> None:
    assert words.column(Unit.KWH, [0.5, 20.0, None]) == ["0.5", "20.0", "n/a"]
    assert words.heading("Used", Unit.KWH) == "Used, kWh"
    assert words.heading("Cost, £", Unit.GBP) == "Cost, £"


def test_braces_name_facts_and_reach_into_nothing_else() -> None:
    facts = {"one": fact(Unit.COUNT, 3)}
    text = "{one} of {two}, {one.__class__}, {, }{one"
    assert words.sentence_text(Sentence(text=text), facts) == "3 of {two}, {one.__class__}, {, }{one"


def test_a_name_cannot_turn_the_writing_round_or_hide_letters() -> None:
    name = "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\x07\x00\N{ZERO WIDTH SPACE}\nline"
    assert words.text(Unit.TEXT, name) == "gnp.exe line"
