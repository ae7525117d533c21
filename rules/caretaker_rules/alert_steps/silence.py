"""Silence: a person asked that nobody be told of a place. The incident is there all the same, and its clocks run.

When the silence ends, what is still open is told, as it was never told. That something is over is told in spite of a
silence to those who know that it began, so that no ticket is left open.
"""

from collections.abc import Mapping

from caretaker_rules.alerting import Round
from caretaker_rules.incidents import Incident
from caretaker_rules.model import Device, Hold


def silence(look: Round) -> None:
    """Note the open incidents that nobody is to be told of now."""
    on = [hold for hold in look.holds if hold.kind == "silence" and hold.from_ms <= look.now_ms < hold.until_ms]
    if on:
        look.silenced |= {
            uid
            for uid, incident in look.incidents.items()
            if incident.open and any(covers(hold, incident, look.devices) for hold in on)
        }


def covers(hold: Hold, incident: Incident, devices: Mapping[str, Device]) -> bool:
    """Whether a silence is about this incident: about its subject, or about all that is hit.

    A class of machines covers a room or a school only when all that is hit there is of that class.
    """
    subject = incident.subject
    if hold.school != subject.school:
        return False
    if subject.device and subject.device in devices and hold.covers(devices[subject.device]):
        return True
    if hold.device is None and hold.device_class is None and hold.room in (None, subject.room):
        return True
    hit = [devices.get(each.device) for each in incident.hits if each.device]
    return bool(hit) and all(device is not None and hold.covers(device) for device in hit)
