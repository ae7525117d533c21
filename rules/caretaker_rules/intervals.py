"""Spans of time as sorted lists of (from, until), apart from each other, in UTC milliseconds; `until` is not included.

Outages overlap, hours of service have gaps, maintenance runs into both: whatever is counted is first made into such
a list, so that nothing is counted twice.
"""

from collections.abc import Iterable, Sequence

Span = tuple[int, int]
Spans = Sequence[Span]


def union(*lists: Iterable[Span]) -> list[Span]:
    """Time that is in any of them; empty and reversed spans are left out."""
    result: list[Span] = []
    for begin, end in sorted(span for spans in lists for span in spans if span[0] < span[1]):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def both(first: Spans, second: Spans) -> list[Span]:
    """Time that is in both; each has to be sorted and apart."""
    result: list[Span] = []
    at, other = 0, 0
    while at < len(first) and other < len(second):
        begin, end = max(first[at][0], second[other][0]), min(first[at][1], second[other][1])
        if begin < end:
            result.append((begin, end))
        if first[at][1] < second[other][1]:
            at += 1
        else:
            other += 1
    return result


def without(spans: Spans, taken: Spans) -> list[Span]:
    """Time of `spans` that is not in `taken`; each has to be sorted and apart."""
    result: list[Span] = []
    at = 0
    for begin, end in spans:
        while at < len(taken) and taken[at][1] <= begin:
            at += 1
        look = at
        while look < len(taken) and taken[look][0] < end:
            if begin < taken[look][0]:
                result.append((begin, taken[look][0]))
            begin = max(begin, taken[look][1])
            look += 1
        if begin < end:
            result.append((begin, end))
    return result


def length_ms(spans: Iterable[Span]) -> int:
    """How long they are together; they have to be apart."""
    return sum(end - begin for begin, end in spans)


def cut(spans: Spans, from_ms: int, until_ms: int) -> list[Span]:
    """What of them lies within [from_ms, until_ms)."""
    return both(spans, [(from_ms, until_ms)]) if from_ms < until_ms else []
