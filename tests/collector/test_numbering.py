"""Every number is received, missing or given up, in any order, with repeats."""

import random

from hypothesis import given
from hypothesis import strategies as st

from caretaker_collector.numbering import Numbering, Numberings

Stream = list[tuple[int, int, int]]  # (boot, seq, prev)


def stream(lengths: list[int], first_boot: int = 1, before: int = 0) -> Stream:
    """All numbers of consecutive boots with `lengths` messages each."""
    numbers: Stream = []
    prev = before
    for boot, length in enumerate(lengths, first_boot):
        numbers += [(boot, seq, prev) for seq in range(1, length + 1)]
        prev = length
    return numbers


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Stream, Stream]:
    """What was made, and what arrived: some lost, some repeated, in any order, the very last among it."""
    made = stream(draw(st.lists(st.integers(1, 8), min_size=1, max_size=5)))
    kept = [number for number in made[:-1] if draw(st.booleans())] + [made[-1]]
    repeats = draw(st.lists(st.sampled_from(kept), max_size=8))
    return made, draw(st.permutations(kept + repeats))


@given(deliveries())
def test_what_was_made_is_received_or_asked_for(case: tuple[Stream, Stream]) -> None:
    """Asking until nothing is missing brings every number exactly once, boots nobody heard of included."""
    made, arrived = case
    prevs = {(boot, seq): prev for boot, seq, prev in made}
    numbering = Numbering("0" * 8)
    fresh = sum(numbering.accept(*number) for number in arrived)
    assert fresh == len(set(arrived))
    for _ in range(len(made) + 1):  # a replay may reveal a boot before it
        for boot, first, last in numbering.missing(1000):
            for seq in range(first, last + 1):
                assert numbering.accept(boot, seq, prevs[boot, seq])
    assert numbering.missing_count() == 0
    assert numbering.received == numbering.published() == len(made)


@given(deliveries())
def test_a_repeat_is_never_fresh(case: tuple[Stream, Stream]) -> None:
    """Whatever has come once is refused ever after."""
    _, arrived = case
    numbering = Numbering("0" * 8)
    for number in arrived:
        numbering.accept(*number)
    assert not any(numbering.accept(*number) for number in arrived)


@given(deliveries(), st.randoms(use_true_random=False))
def test_given_up_numbers_are_counted_once(case: tuple[Stream, Stream], rng: random.Random) -> None:
    """What the device no longer has is dropped, and dropped plus received plus missing is what is known to exist."""
    _, arrived = case
    numbering = Numbering("0" * 8)
    for number in arrived:
        numbering.accept(*number)
    known = numbering.published()
    for boot, first, last in numbering.missing(1000):
        middle = rng.randint(first, last)
        numbering.give_up(boot, middle, last + 5)
        assert numbering.give_up(boot, middle, last + 5) == 0
    assert numbering.published() == known


def test_a_new_collector_asks_for_what_came_before_it() -> None:
    """A device first heard of in mid-boot is asked for that boot's start and, link by link, the boots before."""
    numbering = Numbering("0" * 8)
    numbering.accept(57, 400, 20)
    assert numbering.missing(10) == [(57, 1, 399), (56, 1, 20)]
    assert numbering.accept(56, 20, 7)
    assert numbering.missing(10) == [(57, 1, 399), (56, 1, 19), (55, 1, 7)]


def test_complete_boots_are_forgotten() -> None:
    """A year of clean boots takes no more room than one."""
    numbering = Numbering("0" * 8)
    for number in stream([5] * 400):
        numbering.accept(*number)
    assert list(numbering.boots) == [400]
    assert not numbering.accept(3, 2, 5)


def test_what_an_old_installation_lost_counts_as_dropped() -> None:
    """After a second reinstall nobody can send the first epoch's missing numbers any more."""
    numberings = Numberings()
    numberings.of("a" * 8).accept(1, 3, 0)
    numberings.of("b" * 8).accept(1, 1, 0)
    numberings.of("c" * 8).accept(1, 1, 0)
    assert sum(n.published() for n in numberings.epochs) == 5
    assert sum(n.dropped for n in numberings.epochs) == 2
