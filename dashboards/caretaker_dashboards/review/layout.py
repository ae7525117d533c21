"""How wide the columns of a printed table are, reckoned from its letters.

A narrow table stays narrow, so that a name and its figure are beside each other. One that fits is left to the browser
and to WeasyPrint. One with many columns has its long texts below each row, with the column's name before each. What is
still wider than the page gets fixed widths: each column what its longest word needs, and the rest to those with long
texts. Otherwise a table with many columns would run off the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from caretaker_dashboards.review import words
from caretaker_dashboards.review.pack import Unit

PAGE = 118
"""Letters of a table's usual size on the width of the page, with some to spare: a mean letter is 0.059 inches."""

TIGHT = 1.13  # so many more letters at the smaller size
_SNUG = 0.62  # of the page: below that a table does not fill it
_BETWEEN = 2.2  # letters between two columns
_WORD_MOST = 16  # letters of a word that a text column makes room for, when there is not enough
_MANY, _MUCH, _LONG = 6, 1.2, 20  # columns; of the page; letters of a text that may stand below its row
_SAMPLE = 250


@dataclass(frozen=True, slots=True)
class Fitted:
    """The class of a table, and the share of each column in percent; []: as wide as it comes.

    `below`: which columns stand below each row; they have no share.
    """

    name: str
    percents: list[float] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


def fitted(units: Sequence[Unit], heads: Sequence[str], columns: Sequence[Sequence[str]]) -> Fitted:
    """How a table is laid out. `columns` are the texts of the cells, column by column."""
    natural, least = [], []
    for unit, head, cells in zip(units, heads, columns, strict=True):
        sample = cells[:_SAMPLE]
        longest = max(map(len, sample), default=0)
        natural.append(max(longest, _head(head)) + _BETWEEN)
        if words.numeric(unit) or unit in (Unit.MARK, Unit.DATE):
            whole = longest
        elif unit is Unit.MOMENT:  # the day above the time
            whole = max((len(cell.rsplit(" ", 1)[0]) for cell in sample), default=0)
        else:
            whole = max((len(word) for cell in sample for word in cell.split()), default=0)
            whole = min(whole, _WORD_MOST)
        least.append(max(whole, _head(head)) + _BETWEEN)
    below = _below(units, natural)
    if below:
        beside = [at for at in range(len(units)) if at not in below]
        natural, least = [natural[at] for at in beside], [least[at] for at in beside]
    found = _shared(natural, least)
    # A text below a row has the whole width of the table, so the table has that of the page.
    return Fitted(found.name.replace(" snug", ""), found.percents, below) if below else found


def _below(units: Sequence[Unit], natural: Sequence[float]) -> list[int]:
    """The long texts of a table with many columns that is much too wide, in the order of its columns."""
    rest = sum(natural)
    if len(natural) < _MANY or rest <= PAGE * _MUCH:
        return []
    found = []
    for at in sorted(range(1, len(natural)), key=lambda column: -natural[column]):
        if units[at] is Unit.TEXT and natural[at] > _LONG and rest > PAGE * 0.9:
            found.append(at)
            rest -= natural[at]
    return sorted(found)


def _shared(natural: Sequence[float], least: Sequence[float]) -> Fitted:
    total = sum(natural)
    if total <= PAGE * _SNUG:
        return Fitted(" snug")
    if total <= PAGE:
        return Fitted("")
    tight = sum(least) > PAGE * 0.8
    page = PAGE * TIGHT if tight else PAGE
    spare = max(page - sum(least), 0.0)
    wishes = [max(wish - need, 0.0) ** 0.75 for wish, need in zip(natural, least, strict=True)]
    shares = [need + spare * wish / (sum(wishes) or 1) for need, wish in zip(least, wishes, strict=True)]
    percents = [round(100 * share / sum(shares), 2) for share in shares]
    return Fitted(" fixed tight" if tight else " fixed", percents)


def _head(head: str) -> float:
    """Letters of the longest word of a heading, which is bold."""
    return 1.22 * max(map(len, head.split()), default=0)
