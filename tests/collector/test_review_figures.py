"""The figures of a review pack: gathered once, said only where they are there, the same as every other command says."""

from datetime import date

import pytest
from msgspec import structs

from caretaker_collector.review.build import as_json, check, from_json, tables_of
from caretaker_collector.review.facts import Facts, cut_percent
from caretaker_collector.review.span import Span, named, of_days, of_month
from caretaker_contract.errors import ConfigError
from caretaker_dashboards.review.pack import Pack, Unit
from review_world import ReviewWorld


def test_a_fact_stands_once_and_one_that_is_not_known_has_a_reason() -> None:
    facts = Facts()
    facts.add("a", "A", Unit.COUNT, 1)
    with pytest.raises(ValueError, match="two facts are called a"):
        facts.add("a", "A", Unit.COUNT, 2)
    with pytest.raises(ValueError, match="nobody says why"):
        facts.add("b", "B", Unit.COUNT, None)


@pytest.mark.parametrize("text", ["{b}", "{a} of {b}", "{a", "a}", "{}"])
def test_a_sentence_may_only_speak_of_facts_that_are_there(text: str) -> None:
    facts = Facts()
    facts.add("a", "A", Unit.COUNT, 1)
    assert facts.say("so {a}").text == "so {a}"
    with pytest.raises(ValueError, match="not known"):
        facts.say(text)


def test_a_percentage_is_cut_so_that_nothing_looks_like_a_target_that_it_misses() -> None:
    assert (cut_percent(0.99499), cut_percent(0.995), cut_percent(None)) == (99.49, 99.5, None)


def test_a_span_is_a_month_or_any_days_and_knows_what_to_compare_with() -> None:
    month = of_month("2026-09")
    assert (month.name, month.title, month.days) == ("2026-09", "September 2026", 30)
    assert (month.before().name, month.year_before().name) == ("2026-08", "2025-09")
    term = of_days("2026-09-02", "2026-12-18")
    assert (term.name, term.title) == ("2026-09-02..2026-12-18", "2 Sep to 18 Dec 2026")
    assert term.months() == ["2026-09", "2026-10", "2026-11", "2026-12"]
    assert term.before() == Span(date(2026, 5, 17), date(2026, 9, 1))
    assert (named(term.name), named(month.name)) == (term, month)
    assert of_days("2026-09-01", "2026-09-30") == month
    assert of_days("2024-02-29", "2024-03-03").year_before().first == date(2023, 2, 28)
    assert [(week.first.day, week.last.day) for week in month.weeks()][0::4] == [(1, 6), (28, 30)]


@pytest.mark.parametrize(
    "first, last", [("soon", "2026-09-30"), ("2026-09-30", "2026-09-01"), ("2020-01-01", "2026-01-01")]
)
def test_days_that_cannot_be_meant_are_refused(first: str, last: str) -> None:
    with pytest.raises(ConfigError):
        of_days(first, last)


def test_a_month_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="write it as 2026-09"):
        of_month("2026-13")


@pytest.fixture(scope="module")
def ash(review_world: ReviewWorld) -> Pack:
    """September of the secondary."""
    return review_world.pack("ash")


@pytest.mark.slow
def test_a_pack_is_the_same_after_it_was_written_and_read(ash: Pack) -> None:
    assert from_json(as_json(ash)) == from_json(as_json(from_json(as_json(ash))))
    assert from_json(as_json(ash)).facts == ash.facts


@pytest.mark.slow
def test_a_pack_with_a_sentence_table_or_chart_that_is_wrong_is_refused(ash: Pack) -> None:
    page = next(page for page in ash.pages if page.key == "service")
    section = page.sections[0]
    wrong = [
        structs.replace(section, sentences=[structs.replace(section.sentences[0], text="{nothing}")]),
        structs.replace(section, tables=[structs.replace(section.tables[0], name="a/b")]),
        structs.replace(section, tables=[structs.replace(section.tables[0], rows=[[1]])]),
        structs.replace(section, charts=[structs.replace(section.charts[0], y=["nothing"])]),
        structs.replace(section, charts=[structs.replace(section.charts[0], table="nothing")]),
    ]
    for each in wrong:
        with pytest.raises(ValueError):
            check(structs.replace(ash, pages=[structs.replace(page, sections=[each])]))
    check(ash)


@pytest.mark.slow
def test_every_figure_has_a_place_that_it_comes_from(ash: Pack) -> None:
    assert [headline.fact for headline in ash.headlines] == [
        "availability",
        "incidents.fixed",
        "ready",
        "energy.used",
        "use.seats",
    ]
    for fact in ash.facts.values():
        assert fact.value is not None or fact.why_not, fact.key
    assert all(table.rows or table.empty for table in tables_of(ash))
