"""The first page of a pack as plain text: for a terminal, and for the mail that the pack comes with."""

from collections.abc import Iterator

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Headline, Pack

_BEFORE = ("last month", "same month last year"), ("time before", "same time last year")


def figures(pack: Pack) -> Iterator[str]:
    """A line for each of the five figures: "Availability 99.62 % (99.41 to 99.70): target met"."""
    for line in pack.headlines:
        yield f"{_title(pack, line)} {words.fact_text(pack.facts[line.fact], pack.zone)}: {words.verdict(line)[1]}"


def front(pack: Pack) -> Iterator[str]:
    """The five figures with what they are held against, and their sentences."""
    yield f"{words.clean(pack.title)}: service review of {words.clean(pack.period_title)}, {words.revision(pack)}"
    names = _BEFORE[0] if len(pack.period) == len("2026-09") else _BEFORE[1]
    for number, line in enumerate(pack.headlines, 1):
        against = [("target", line.target), (names[0], line.last_month), (names[1], line.last_year)]
        held = [f"{name} {words.fact_text(pack.facts[key], pack.zone)}" for name, key in against if key is not None]
        yield ""
        yield f"{number}  {_title(pack, line)}: {words.fact_text(pack.facts[line.fact], pack.zone)}"
        yield f"   {words.verdict(line)[1]}" + (f"; {'; '.join(held)}" if held else "")
        yield f"   {words.sentence_text(line.sentence, pack.facts, pack.zone)}"
    if pack.illustrative:
        yield ""
        yield "The service level is an example, and nobody's contract."


def changed(before: Pack, now: Pack) -> list[str]:
    """Which of the five figures are others than in an earlier revision: "Availability was 99.10 %, is 99.62 %"."""
    known = {line.fact: line for line in before.headlines}
    told = []
    for line in now.headlines:
        old = known.get(line.fact)
        was = words.fact_text(before.facts[old.fact], before.zone, why=False) if old is not None else "not told"
        new = words.fact_text(now.facts[line.fact], now.zone, why=False)
        if was != new or (old is not None and old.verdict != line.verdict):
            verdict = f" ({words.verdict(line)[1]})" if old is not None and old.verdict != line.verdict else ""
            told.append(f"{_title(now, line)} was {was}, is {new}{verdict}")
    return told


def _title(pack: Pack, line: Headline) -> str:
    title = words.clean(pack.facts[line.fact].title)
    return title[:1].upper() + title[1:]
