"""Schools of a network side by side, so that nobody is shown who did not agree to it.

- A school with fewer than `LEAST_MACHINES` machines is left out: its figures would tell of single people.
- Others than the reader's own are named only if they agreed. The rest are "School A", "School B" and so on, in the
  order of their figures alone: the letters could be put there by somebody who knows no name, so they give nobody away.
  They are the same throughout one pack, and nowhere else.
- A single school without a name would be known by elimination, so there are at least two of those, or none.
- With fewer than `LEAST_SCHOOLS` figures nothing is compared.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

LEAST_MACHINES = 5
LEAST_SCHOOLS = 3


class Figure(Struct, frozen=True):
    """A figure with its range, if it is one."""

    value: float
    low: float | None = None
    high: float | None = None


class Member(Struct, frozen=True, kw_only=True):
    """A school of the network. `figures`: by indicator, only what is known of it."""

    name: str
    title: str
    machines: int
    agreed: bool
    figures: Mapping[str, Figure]


class Dot(Struct, frozen=True, kw_only=True):
    """One school's figure, as the reader may see it."""

    label: str
    figure: Figure
    ours: bool


class Comparison(Struct, frozen=True, kw_only=True):
    """One indicator; `why_not` says why there are no dots."""

    dots: tuple[Dot, ...]
    why_not: str = ""


def compare(members: Sequence[Member], ours: str | None, indicators: Sequence[str]) -> dict[str, Comparison]:
    """What a reader of the school `ours` (None: of the whole network) may see of each indicator, highest first."""
    shown = [each for each in members if each.name == ours or each.machines >= LEAST_MACHINES]
    hidden = [each for each in shown if each.name != ours and not each.agreed]
    labels = {each.name: each.title for each in shown if each not in hidden}
    labels |= {each.name: f"School {letters(number)}" for number, each in enumerate(_by_figures(hidden, indicators))}
    small = len(members) - len(shown)
    return {
        indicator: _one(indicator, shown, labels, {each.name for each in hidden}, ours, small)
        for indicator in indicators
    }


def _by_figures(hidden: Sequence[Member], indicators: Sequence[str]) -> list[Member]:
    """In an order that depends on figures only; schools with the same figures throughout cannot be told apart."""

    def figures(member: Member) -> tuple[tuple[float, float, float], ...]:
        found = []
        for indicator in indicators:
            one = member.figures.get(indicator)
            ends = (-1.0, -1.0, -1.0) if one is None else (one.value, _or(one.low, one.value), _or(one.high, one.value))
            found.append(ends)
        return tuple(found)

    return sorted(hidden, key=figures, reverse=True)


def _or(end: float | None, value: float) -> float:
    return value if end is None else end


def _one(
    indicator: str, shown: Sequence[Member], labels: Mapping[str, str], hidden: set[str], ours: str | None, small: int
) -> Comparison:
    known = [each for each in shown if indicator in each.figures]
    if sum(each.name in hidden for each in known) == 1:
        known = [each for each in known if each.name not in hidden]
    if len(known) < LEAST_SCHOOLS:
        return Comparison(dots=(), why_not=_why(small))
    dots = [Dot(label=labels[each.name], figure=each.figures[indicator], ours=each.name == ours) for each in known]
    return Comparison(dots=tuple(sorted(dots, key=lambda dot: (-dot.figure.value, dot.label))))


def _why(small: int) -> str:
    left = f"; those with fewer than {LEAST_MACHINES} machines are left out" if small else ""
    return f"fewer than {LEAST_SCHOOLS} schools of the network have a figure that may be shown{left}"


def letters(number: int) -> str:
    """0 is A, 25 is Z, 26 is AA."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
