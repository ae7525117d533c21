"""The look of the eight states, once for boards, desk and review.

Colours differ in lightness as well as in hue: their L* (CIE Lab) runs from 97 to 23 in steps of about 10, so that a
grey print and every kind of colour blindness still tell them apart; `grey` is that lightness, and a test reckons it
from the colour. Colour is never the only sign: every state has its word.
"""

from dataclasses import dataclass

from caretaker_rules.shown import Shown


@dataclass(frozen=True, slots=True)
class Look:
    """How one state looks. `colour` is sRGB, `grey` its lightness 0-100; `ink` is readable on it."""

    state: Shown
    label: str
    colour: str
    grey: int
    ink: str
    meaning: str


_DARK, _LIGHT = "#10141a", "#ffffff"

LOOKS: tuple[Look, ...] = (
    Look(Shown.IN_USE, "in use", "#0d965f", 55, _DARK, "somebody is at it"),
    Look(Shown.IDLE, "idle", "#f6d860", 87, _DARK, "on, and nobody is at it: what rules save on"),
    Look(Shown.ASLEEP, "asleep", "#62a6d8", 66, _DARK, "in standby"),
    Look(Shown.OFF_RULE, "off by rule", "#173475", 23, _LIGHT, "Caretaker switched it off, with a reason on record"),
    Look(Shown.OFF_USER, "off by user", "#9cbfe9", 76, _DARK, "somebody switched it off, or nobody said why"),
    Look(Shown.LOST, "lost", "#c43c1e", 46, _LIGHT, "it should be heard and is not: a fault until proved otherwise"),
    Look(Shown.BLIND, "blind", "#53565c", 36, _LIGHT, "Caretaker itself could not see it: neither up nor down"),
    Look(Shown.UNKNOWN, "unknown", "#f5f6f8", 97, _DARK, "never heard: its agent has not reported yet"),
)

LOOK: dict[Shown, Look] = {look.state: look for look in LOOKS}
"""By state."""
