"""Flapping: on above 30 % of the last 20 looks, off below 25 %."""

from caretaker_rules.flapping import flapping, note, ratio


def after(looks: str, history: int = 0) -> int:
    """The history after these looks: "x" differed from the one before, "." did not."""
    for look in looks:
        history = note(history, look == "x")
    return history


def test_six_changes_of_twenty_looks_do_not_flap_and_seven_do() -> None:
    """Above 30 % it is."""
    assert ratio(after("x.x.x.x.x.x")) == 0.3
    assert not flapping(after("x.x.x.x.x.x"), was=False)
    assert flapping(after("x.x.x.x.x.x.x"), was=False)


def test_it_goes_on_until_fewer_than_a_quarter_changed() -> None:
    """Between the two thresholds it stays what it was."""
    assert flapping(after("xxxxx"), was=True)
    assert not flapping(after("xxxxx"), was=False)
    assert not flapping(after("xxxx"), was=True)


def test_only_the_last_twenty_looks_count() -> None:
    """What was long ago is forgotten."""
    assert after("x" * 50) == 2**20 - 1
    assert after("x" * 20 + "." * 16) == after("x" * 4 + "." * 16)
    assert not flapping(after("x" * 20 + "." * 16), was=True)
