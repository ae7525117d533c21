"""Schools side by side: nobody is named who did not agree, and nobody can be worked out who is not named."""

from hypothesis import given
from hypothesis import strategies as st

from caretaker_rules.comparison import LEAST_MACHINES, Figure, Member, compare, letters

INDICATORS = ("availability", "kwh")
figures = st.dictionaries(st.sampled_from(INDICATORS), st.integers(0, 5).map(lambda n: Figure(float(n))))
networks = st.lists(st.tuples(st.integers(1, 12), st.booleans(), figures), min_size=1, max_size=9)


def members(network, names=None):
    names = names or [f"s{number}" for number in range(len(network))]
    return [
        Member(name=name, title=f"Title of {name}", machines=machines, agreed=agreed, figures=known)
        for name, (machines, agreed, known) in zip(names, network, strict=True)
    ]


@given(networks)
def test_nobody_is_named_who_did_not_agree(network) -> None:
    every = members(network)
    allowed = {each.title for each in every if each.agreed} | {every[0].title}
    for found in compare(every, "s0", INDICATORS).values():
        assert all(dot.label in allowed or dot.label.startswith("School ") for dot in found.dots)


@given(networks)
def test_a_school_of_few_machines_is_in_nobody_elses_comparison(network) -> None:
    every = members(network)
    small = {each.name for each in every[1:] if each.machines < LEAST_MACHINES}
    without = [each for each in every if each.name not in small]
    seen = compare(every, "s0", INDICATORS)
    assert {key: found.dots for key, found in seen.items()} == {
        key: found.dots for key, found in compare(without, "s0", INDICATORS).items()
    }


@given(networks)
def test_there_are_three_schools_or_none_and_never_a_single_one_without_a_name(network) -> None:
    for found in compare(members(network), "s0", INDICATORS).values():
        assert len(found.dots) == 0 or len(found.dots) >= 3
        assert bool(found.dots) != bool(found.why_not)
        assert sum(dot.label.startswith("School ") for dot in found.dots) != 1


@given(networks, st.randoms(use_true_random=False))
def test_letters_depend_on_figures_and_not_on_who_the_schools_are(network, random) -> None:
    """Exchange the names of all that are hidden, and give them in another order: the reader sees the same."""
    every = members(network)
    hidden = [number for number, each in enumerate(every) if number and not each.agreed]
    names = [each.name for each in every]
    for number, name in zip(hidden, random.sample([names[n] for n in hidden], len(hidden)), strict=True):
        names[number] = name
    other = members(network, names)
    random.shuffle(other)
    assert compare(every, "s0", INDICATORS) == compare(other, "s0", INDICATORS)


@given(networks)
def test_a_letter_means_the_same_school_throughout_a_pack(network) -> None:
    """Every figure under a letter is of one school: there is one that has them all."""
    every = members(network)
    seen: dict[str, dict[str, Figure]] = {}
    for indicator, found in compare(every, "s0", INDICATORS).items():
        for dot in found.dots:
            seen.setdefault(dot.label, {})[indicator] = dot.figure
    for label, known in seen.items():
        if label.startswith("School "):
            assert any(known.items() <= dict(each.figures).items() for each in every[1:] if not each.agreed)


def test_letters_go_on_after_z() -> None:
    assert [letters(number) for number in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
