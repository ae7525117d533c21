"""The eight states as people see them: on boards, at the desk and in the review alike."""

from enum import StrEnum

from caretaker_contract.messages import Cause, PowerState


class Shown(StrEnum):
    """What a machine is shown as. The value is stored; names and colours are in caretaker_dashboards/states.py."""

    IN_USE = "in_use"
    IDLE = "idle"
    ASLEEP = "asleep"
    OFF_RULE = "off_rule"  # Caretaker switched it off: a rule, an order, maintenance, a restart under way
    OFF_USER = "off_user"  # somebody at the machine switched it off, or nobody said why
    LOST = "lost"
    BLIND = "blind"  # it was heard before, and now Caretaker cannot see it
    UNKNOWN = "unknown"  # never heard


_BY_CARETAKER = frozenset({Cause.RULE, Cause.MAINTENANCE, Cause.RESTART})
_PLAIN = {
    PowerState.IN_USE: Shown.IN_USE,
    PowerState.IDLE: Shown.IDLE,
    PowerState.ASLEEP: Shown.ASLEEP,
    PowerState.LOST: Shown.LOST,
}


def shown_as(to_state: PowerState, cause: Cause, from_state: PowerState = PowerState.UNKNOWN) -> Shown:
    """How a change of state leaves a machine. Asleep is asleep, whoever sent it there."""
    if to_state is PowerState.OFF:
        return Shown.OFF_RULE if cause in _BY_CARETAKER else Shown.OFF_USER
    if to_state is PowerState.UNKNOWN:
        return Shown.UNKNOWN if from_state is PowerState.UNKNOWN else Shown.BLIND
    return _PLAIN[to_state]
