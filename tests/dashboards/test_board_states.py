"""The eight states: each has a word and a colour, and nobody needs to see colours to tell them apart."""

from itertools import pairwise

import pytest

from caretaker_contract.messages import Cause, PowerState
from caretaker_dashboards.states import LOOK, LOOKS
from caretaker_rules.shown import Shown, shown_as


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour, 0-1 (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lightness(colour: str) -> float:
    """L* of CIE Lab, 0-100."""
    return float(116 * luminance(colour) ** (1 / 3) - 16)


def test_there_are_eight_states_each_with_a_look_of_its_own() -> None:
    assert len(LOOKS) == 8 and LOOK.keys() == set(Shown)
    assert len({look.label for look in LOOKS}) == len({look.colour for look in LOOKS}) == 8


def test_states_can_be_told_apart_in_grey() -> None:
    for look in LOOKS:
        assert lightness(look.colour) == pytest.approx(look.grey, abs=0.6), look.state
    greys = sorted(look.grey for look in LOOKS)
    assert all(above - below >= 9 for below, above in pairwise(greys)), greys


@pytest.mark.parametrize("look", LOOKS, ids=[look.state.value for look in LOOKS])
def test_a_word_on_the_colour_of_its_state_can_be_read(look: object) -> None:
    from caretaker_dashboards.states import Look

    assert isinstance(look, Look)
    lighter, darker = sorted((luminance(look.colour), luminance(look.ink)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.parametrize(
    "to_state, cause, from_state, shown",
    [
        (PowerState.IN_USE, Cause.INPUT, PowerState.IDLE, Shown.IN_USE),
        (PowerState.IDLE, Cause.NO_INPUT, PowerState.IN_USE, Shown.IDLE),
        (PowerState.ASLEEP, Cause.RULE, PowerState.IDLE, Shown.ASLEEP),
        (PowerState.OFF, Cause.RULE, PowerState.IDLE, Shown.OFF_RULE),
        (PowerState.OFF, Cause.MAINTENANCE, PowerState.IDLE, Shown.OFF_RULE),
        (PowerState.OFF, Cause.RESTART, PowerState.IDLE, Shown.OFF_RULE),
        (PowerState.OFF, Cause.USER, PowerState.IN_USE, Shown.OFF_USER),
        (PowerState.OFF, Cause.UNKNOWN, PowerState.IN_USE, Shown.OFF_USER),
        (PowerState.LOST, Cause.UNKNOWN, PowerState.IN_USE, Shown.LOST),
        (PowerState.UNKNOWN, Cause.AGENT_STOP, PowerState.IDLE, Shown.BLIND),
        (PowerState.UNKNOWN, Cause.UNKNOWN, PowerState.UNKNOWN, Shown.UNKNOWN),
    ],
)
def test_a_change_of_state_is_shown_as_one_of_the_eight(
    to_state: PowerState, cause: Cause, from_state: PowerState, shown: Shown
) -> None:
    assert shown_as(to_state, cause, from_state) is shown
