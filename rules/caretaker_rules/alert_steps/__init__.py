"""The steps of the alert pipeline, each in a file of its own; `alerting.py` says what they share."""

from caretaker_rules.alert_steps.deduplicate import deduplicate
from caretaker_rules.alert_steps.escalate import escalate
from caretaker_rules.alert_steps.group import group
from caretaker_rules.alert_steps.inhibit import inhibit
from caretaker_rules.alert_steps.maintain import maintain
from caretaker_rules.alert_steps.quiet import quiet
from caretaker_rules.alert_steps.settle import settle
from caretaker_rules.alert_steps.silence import silence
from caretaker_rules.alert_steps.track import track
from caretaker_rules.alerting import Round, Step

PIPELINE: tuple[Step, ...] = (
    group,
    settle,
    inhibit,
    maintain,
    track,
    silence,
    quiet,
    deduplicate,
    escalate,
)
"""The order of work, written once: from what is wrong to incidents, and from incidents to who is told."""


def run(current: Round, steps: tuple[Step, ...] = PIPELINE) -> None:
    """One round through the steps, in place."""
    for step in steps:
        step(current)
