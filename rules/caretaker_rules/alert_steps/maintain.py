"""maintain: what is under recorded maintenance opens nothing, and neither does what is behind it.

What was an incident before the maintenance began stays one: somebody is there to mend it. Holds, freezes and stop
switches keep machines on; they excuse no fault.
"""

from msgspec import structs

from caretaker_rules.alerting import Round
from caretaker_rules.findings import Finding, Subject
from caretaker_rules.model import Device, Hold


def maintain(current: Round) -> None:
    """Leave out of `findings` what somebody works on; of a finding with hits, those of them."""
    works = works_on(current)
    if not works or not current.findings:
        return
    being = {incident.key: incident for incident in current.incidents.values() if incident.open}
    kept: list[Finding] = []
    for finding in current.findings:
        known = being.get(finding.key)
        if known is None and worked_on(finding.subject, works, current):
            continue
        before = known.ever_hit if known is not None else ()
        hits = tuple(hit for hit in finding.hits if hit in before or not worked_on(hit, works, current))
        if hits or not finding.hits or known is not None:
            kept.append(finding if len(hits) == len(finding.hits) else structs.replace(finding, hits=hits))
    current.findings[:] = kept


def works_on(current: Round) -> list[Hold]:
    """The maintenance that is on now."""
    return [
        hold for hold in current.holds if hold.kind == "maintenance" and hold.from_ms <= current.now_ms < hold.until_ms
    ]


def worked_on(subject: Subject, works: list[Hold], current: Round) -> bool:
    """Whether somebody works on it, or on what it is behind."""
    if not subject.device:
        whole = [hold for hold in works if hold.device is None and hold.device_class is None]
        return any(hold.room is None or (bool(subject.room) and hold.room == subject.room) for hold in whole)
    device: Device | None = current.devices.get(subject.device)
    passed: set[str] = set()
    while device is not None and device.name not in passed:
        if any(hold.covers(device) for hold in works):
            return True
        passed.add(device.name)
        device = current.devices.get(device.behind) if device.behind is not None else None
    return False
