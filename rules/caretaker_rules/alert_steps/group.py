"""group: many findings of one cause give one more finding, of the cause. What it explains is left out by `inhibit`.

- Machines behind one device (column `behind` of the register) that fell silent together: that device is down, whether
  or not anybody ever hears of it itself. Together means within two minutes of each other, or all of them.
- Machines of one room of which nobody wrote down what they are behind, all of them silent: the room is cut off.
- Machines of one room that cannot be woken, or are not back, from three on: the room.

What is an incident stays one until less than half as many are left, so that machines which come back one by one do
not end it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from caretaker_contract.messages import PowerState
from caretaker_rules.alerting import Round
from caretaker_rules.finders import subject_of
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.presence import AWAY_STATES

TOGETHER_MS = 120_000
"""What falls silent within such a time is taken to have one cause."""
SILENT = frozenset({FindingKind.LOST, FindingKind.LINK_DOWN, FindingKind.SERVER_DOWN, FindingKind.RELAY_SILENT})
"""Kinds that say that a device is not heard."""
BY_ROOM = (FindingKind.CANNOT_WAKE, FindingKind.NOT_BACK)
ROOM_MACHINES = 3
"""So many machines of a room with the same fault are one fault of the room."""


def group(current: Round) -> None:
    """Add the causes to the findings; a device that is itself silent gets what is behind it as its hits."""
    if current.school is None or not current.findings:
        return
    silent = {found.subject.device: found for found in current.findings if found.kind in SILENT}
    being = {incident.key for incident in current.incidents.values() if incident.open}
    if silent:
        _behind(current, silent, being)
        _rooms(current, silent, being)
    for kind in BY_ROOM:
        found = [finding for finding in current.findings if finding.kind is kind and finding.subject.device]
        if found:
            _by_room(current, kind, found, being)


def _behind(current: Round, silent: dict[str, Finding], being: set[str]) -> None:
    """Devices with others behind them."""
    behind: dict[str, list[Finding]] = {}
    for name, finding in silent.items():
        for before in _chain(current, name):
            behind.setdefault(before, []).append(finding)
    if not behind:
        return
    expected = _expected(current, {name: _chain(current, name) for name in current.devices})
    for before, findings in behind.items():
        hits = tuple(sorted(finding.subject for finding in findings))
        known = silent.get(before)
        if known is not None:
            # It is silent itself: that it is the cause needs no counting.
            told = Finding(known.kind, known.subject, known.since_ms, _behind_it(len(hits), expected[before]), hits)
            current.findings[current.findings.index(known)] = told
            continue
        device = current.devices.get(before)
        if device is None:
            continue
        cause = _cut_off(current, subject_of(device), findings, expected[before], being)
        if cause is not None:
            current.findings.append(cause)


def _rooms(current: Round, silent: dict[str, Finding], being: set[str]) -> None:
    """Rooms of which nobody wrote down what their machines are behind."""
    found = sorted(
        (
            finding
            for finding in silent.values()
            if finding.kind is FindingKind.LOST and not _chain_of(current, finding)
        ),
        key=lambda finding: finding.subject.room,
    )
    if not found:
        return
    expected = _expected(
        current,
        {
            name: [device.room] if device.behind is None and not current.always_on(name) else []
            for name, device in current.devices.items()
        },
    )
    for room, findings in groupby(found, key=lambda finding: finding.subject.room):
        assert current.school is not None
        subject = Subject(current.school.name, room)
        cause = _cut_off(current, subject, list(findings), expected[room], being, all_of_them=True)
        if cause is not None:
            current.findings.append(cause)


def _cut_off(
    current: Round,
    subject: Subject,
    findings: Sequence[Finding],
    expected: int,
    being: set[str],
    all_of_them: bool = False,
) -> Finding | None:
    """The finding that a device or a room is cut off, if so many of what is there are silent; else None."""
    find = current.find
    hits = tuple(sorted(finding.subject for finding in findings))
    value = _behind_it(len(hits), expected) if subject.device else f"{_count(len(hits), expected)} silent"
    cause = Finding(FindingKind.LINK_DOWN, subject, min(found.since_ms for found in findings), value, hits)
    ratio = 1.0 if all_of_them else find.link_ratio
    if cause.key in being:
        enough = len(hits) >= max(1, find.link_machines // 2) and len(hits) >= ratio / 2 * expected
        return cause if enough else None
    if len(hits) < find.link_machines:
        return None
    together = len(hits) if all_of_them else _together(finding.since_ms for finding in findings)
    if len(hits) < expected and (together < find.link_machines or together < ratio * expected):
        return None
    return cause


def _behind_it(silent: int, expected: int) -> str:
    """ "20 machines behind it are cut off"; fewer than should be heard: "18 of 20 machines"."""
    return f"{_count(silent, expected, ' behind it')} cut off"


def _count(silent: int, expected: int, where: str = "") -> str:
    of = f" of {expected}" if silent < expected else ""
    machines = "machine" if max(silent, expected) == 1 else "machines"
    return f"{silent}{of} {machines}{where} {'is' if silent == 1 else 'are'}"


def _together(moments: Iterable[int]) -> int:
    """The most of these moments that lie within TOGETHER_MS."""
    ordered = sorted(moments)
    most, first = 0, 0
    for last, at_ms in enumerate(ordered):
        while at_ms - ordered[first] > TOGETHER_MS:
            first += 1
        most = max(most, last - first + 1)
    return most


def _by_room(current: Round, kind: FindingKind, findings: list[Finding], being: set[str]) -> None:
    assert current.school is not None
    findings.sort(key=lambda finding: finding.subject)
    for room, found in groupby(findings, key=lambda finding: finding.subject.room):
        some = list(found)
        hits = tuple(finding.subject for finding in some)
        since_ms = min(finding.since_ms for finding in some)
        cause = Finding(kind, Subject(current.school.name, room), since_ms, f"{len(hits)} machines", hits)
        if len(some) >= (1 if cause.key in being else ROOM_MACHINES):
            current.findings.append(cause)


def _chain(current: Round, name: str) -> list[str]:
    """What a device is behind, the nearest first; a ring of names ends where it began."""
    chain: list[str] = []
    device = current.devices.get(name)
    while device is not None and device.behind is not None and device.behind not in (name, *chain):
        chain.append(device.behind)
        device = current.devices.get(device.behind)
    return chain


def _chain_of(current: Round, finding: Finding) -> bool:
    device = current.devices.get(finding.subject.device)
    return device is not None and device.behind is not None


def _expected(current: Round, places: dict[str, list[str]]) -> Counter[str]:
    """How many devices of each place should be heard: not those that are off, and none of which nothing ever came."""
    found: Counter[str] = Counter()
    for device, tracked in current.machines:
        presence = tracked.presence
        heard = presence.heard_ms or presence.state is PowerState.LOST
        if heard and presence.state not in AWAY_STATES:
            found.update(places.get(device.name, ()))
    return found
