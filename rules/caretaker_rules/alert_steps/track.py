"""track: from what is wrong to incidents: opens, grows, raises the priority, merges, fixes and reopens them.

- One open incident for each finding. Its uid is made from kind, subject and the moment of opening.
- It is fixed when nothing of it is left, as of the moment from which it was gone; and reopened when it comes back
  within the level's `reopen_within`, as if it had never been fixed.
- What a person called fixed is left alone for a quarter of an hour; what is wrong then is reopened.
- The priority is that of the level's matrix for the most that was ever hit: rules raise it and never lower it.
- What a person reported is a person's to fix. Caretaker's own incidents have no level, so no priority.
"""

import hashlib
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from caretaker_rules.alert_settings import ms
from caretaker_rules.alerting import Round
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.incidents import RULES, Action, Entry, Incident, Opened, Status, after, fold
from caretaker_rules.model import Device
from caretaker_rules.service import Impact, Places, ServiceLevel, alternative_of, impact_of, priority_of

REOPEN_WITHIN = "48 h"
"""Where no level says so."""
TRUST_MS = 900_000
"""How long a person's word that it is fixed stands against what is seen."""
BY_PEOPLE = frozenset({FindingKind.REPORTED})


def track(current: Round) -> None:
    """Append to `entries`, and bring `incidents` up to date with them (a new one has number 0 until it is written)."""
    if not current.sees:
        return
    being = {incident.key: incident for incident in current.incidents.values() if incident.open}
    fixed: dict[str, Incident] = {}
    for incident in current.incidents.values():
        if incident.status is Status.FIXED:
            newest = fixed.get(incident.key)
            if newest is None or incident.fixed_ms > newest.fixed_ms:
                fixed[incident.key] = incident
    here: set[str] = set()
    for finding in current.findings:
        here.add(finding.key)
        known = being.get(finding.key)
        if known is not None:
            _grow(known, finding, current)
        else:
            _begin(finding, fixed.get(finding.key), current)
    by_key = {incident.key: incident for incident in current.incidents.values() if incident.open}
    for key, incident in being.items():
        if key in here or incident.kind in BY_PEOPLE:
            continue
        if key in current.causes:
            cause = by_key.get(current.causes[key])
            if cause is not None:
                _append(current, replace(_entry(incident.uid, Action.MERGED, current), text=cause.uid))
        else:
            _fix(incident, current)


def uid_of(kind: FindingKind, subject: Subject, opened_ms: int) -> str:
    """The same for the same kind, subject and moment of opening."""
    return hashlib.blake2b(f"{kind.value} {subject} {opened_ms}".encode(), digest_size=8).hexdigest()


def judge(finding: Finding, current: Round) -> tuple[int | None, Impact | None, bool]:
    """Priority, impact and whether there is an alternative, by the school's level of today; None, None: it has none."""
    level = current.clock.level_at(current.now_ms) if current.clock is not None else None
    if current.places is None:
        always_on = [name for name, known in current.classes.items() if known.always_on]
        current.places = Places(current.devices, always_on)
    return priority_for(level, finding.subject, finding.hits, current.devices, current.places)


def priority_for(
    level: ServiceLevel | None,
    subject: Subject,
    hits: Iterable[Subject],
    devices: Mapping[str, Device],
    places: Places,
) -> tuple[int | None, Impact | None, bool]:
    """The same for anything: what has neither a device nor hits is about its whole room, or its whole school."""
    if level is None:
        return None, None, False
    names = [hit.device for hit in (subject, *hits) if hit.device]
    if not names:
        names = [device.name for device in devices.values() if subject.room in ("", device.room)]
    found = places.reach(names)
    impact, alternative = impact_of(level, found), alternative_of(level, found)
    return priority_of(level, impact, alternative), impact, alternative


def _begin(finding: Finding, before: Incident | None, current: Round) -> None:
    if before is not None and current.now_ms - before.fixed_ms <= _reopen_ms(current):
        if before.fixed_by == RULES or current.now_ms - before.fixed_ms >= TRUST_MS:
            entry = replace(
                _entry(before.uid, Action.REOPENED, current),
                hits=finding.hits or ((finding.subject,) if finding.subject.device else ()),
                when_ms=max(finding.since_ms, before.fixed_ms),
            )
            _append(current, entry)
            _raise(current.incidents[before.uid], finding, current)
        return
    priority, impact, alternative = judge(finding, current)
    opened = Opened(
        kind=finding.kind,
        subject=finding.subject,
        title=str(finding),
        since_ms=finding.since_ms,
        hits=finding.hits,
        priority=priority,
        impact=impact,
        alternative=alternative,
    )
    uid = uid_of(finding.kind, finding.subject, current.now_ms)
    _append(current, replace(_entry(uid, Action.OPENED, current), opened=opened))


def _grow(incident: Incident, finding: Finding, current: Round) -> None:
    """More are hit, or so many fewer that it is worth a line."""
    if not finding.hits or finding.hits == incident.hits:
        return
    more = not set(finding.hits) <= set(incident.hits)
    if more or 2 * len(finding.hits) <= len(incident.hits):
        _append(current, replace(_entry(incident.uid, Action.GROWN, current), hits=finding.hits))
    if more:
        _raise(incident, finding, current)


def _raise(incident: Incident, finding: Finding, current: Round) -> None:
    priority, impact, alternative = judge(finding, current)
    if priority is not None and (incident.priority is None or priority < incident.priority):
        entry = _entry(incident.uid, Action.PRIORITY, current)
        _append(current, replace(entry, priority=priority, impact=impact, alternative=alternative))


def _fix(incident: Incident, current: Round) -> None:
    pending = current.pending.get(incident.key)
    ended_ms = pending.last_ms if pending is not None and not pending.present else current.now_ms
    when_ms = max(ended_ms, incident.opened_ms)
    _append(current, replace(_entry(incident.uid, Action.FIXED, current), when_ms=when_ms))


def _reopen_ms(current: Round) -> int:
    level = current.clock.level_at(current.now_ms) if current.clock is not None else None
    return ms(level.reopen_within if level is not None else REOPEN_WITHIN)


def _entry(uid: str, action: Action, current: Round) -> Entry:
    return Entry(uid=uid, at_ms=current.now_ms, by=RULES, action=action)


def _append(current: Round, entry: Entry) -> None:
    current.entries.append(entry)
    known = current.incidents.get(entry.uid)
    current.incidents[entry.uid] = fold(0, [entry]) if known is None else after(known, entry)
