"""inhibit: what a wider fault explains is no incident of its own. Which fault explains which is the table `EXPLAINS`.

The wider one need not count yet, and may have gone a moment ago: what follows from it comes and goes at other moments.
`causes` keeps what was left out, and why; `track` merges what was already an incident of its own.
"""

from collections.abc import Callable, Iterable, Sequence

from caretaker_rules.alerting import Round
from caretaker_rules.findings import Finding, FindingKind, Subject

K = FindingKind
Explainer = Callable[[Finding], Finding | None]
"""The wider finding that explains this one."""
Relation = Callable[[Sequence[Finding], Round], Explainer]
"""How wider findings reach narrower ones."""


def of_school(wides: Sequence[Finding], _: Round) -> Explainer:
    """Whatever it is, anywhere in the school."""
    return lambda narrow: wides[0]


def before_it(wides: Sequence[Finding], _: Round) -> Explainer:
    """Anywhere in the school, if the wider fault began first."""
    wide = min(wides, key=lambda one: one.since_ms)
    return lambda narrow: wide if wide.since_ms <= narrow.since_ms else None


def of_device(wides: Sequence[Finding], _: Round) -> Explainer:
    """The same device, or one of those that are hit; of a finding with hits, most of them."""
    reached = _reached(wides)
    return lambda narrow: _most(_suffering(narrow), reached)


def behind_it(wides: Sequence[Finding], current: Round) -> Explainer:
    """A device that is hit or is behind the subject, seen to suffer or not; of a finding with hits, most of them."""
    reached = _reached(wides)
    by_device = {wide.subject.device: wide for wide in wides if wide.subject.device}
    by_room = {wide.subject.room: wide for wide in wides if not wide.subject.device}
    for device in current.devices.values():
        wide = by_device.get(device.behind or "") or (by_room.get(device.room) if device.behind is None else None)
        if wide is not None:
            reached.setdefault(Subject(device.school, device.room, device.name), wide)
    return lambda narrow: _most(_suffering(narrow), reached)


def of_room(wides: Sequence[Finding], _: Round) -> Explainer:
    """Any machine of the room."""
    rooms = {wide.subject.room: wide for wide in wides if not wide.subject.device}
    return lambda narrow: rooms.get(narrow.subject.room)


CUT_OFF = (K.LINK_DOWN, K.SERVER_DOWN)
SILENT = (K.LOST, K.LINK_DOWN, K.SERVER_DOWN, K.RELAY_SILENT)
EXPLAINS: tuple[tuple[tuple[FindingKind, ...], Relation, tuple[FindingKind, ...]], ...] = (
    ((K.SCHOOL_DARK,), of_school, (*SILENT, K.NOT_BACK, K.CANNOT_WAKE, K.ROOM_NOT_READY, K.BURNING)),
    (CUT_OFF, of_device, (*SILENT, K.BURNING)),
    (CUT_OFF, behind_it, (K.NOT_BACK, K.CANNOT_WAKE, K.ROOM_NOT_READY)),
    ((K.RELAY_SILENT,), of_school, (K.CANNOT_WAKE, K.NOT_BACK)),
    ((K.RELAY_SILENT,), before_it, (K.ROOM_NOT_READY,)),
    ((K.LOST,), of_device, (K.CANNOT_WAKE, K.NOT_BACK)),
    ((K.CANNOT_WAKE,), of_device, (K.CANNOT_WAKE, K.NOT_BACK)),
    ((K.ROOM_NOT_READY,), of_room, (K.NOT_BACK,)),
    ((K.NOT_BACK,), of_device, (K.NOT_BACK,)),
)
"""The wider kinds, how they reach, and the kinds that they explain. The first row that explains a finding counts."""


def inhibit(current: Round) -> None:
    """Leave out of `findings` what another one explains."""
    if current.school is None or not current.findings:
        return
    kinds = {finding.kind for finding in current.findings}
    found = [*current.findings, *current.waiting]
    causes: dict[str, str] = {}
    for wide_kinds, relation, narrow_kinds in EXPLAINS:
        wides = [finding for finding in found if finding.kind in wide_kinds]
        if not wides or kinds.isdisjoint(narrow_kinds):
            continue
        explain = relation(wides, current)
        for narrow in current.findings:
            if narrow.kind in narrow_kinds and narrow.key not in causes:
                wide = explain(narrow)
                if wide is not None and _wider(wide, narrow):
                    causes[narrow.key] = wide.key
    for key in causes:
        current.causes[key] = _last(causes, key)
    current.findings[:] = [finding for finding in current.findings if finding.key not in causes]


def _wider(wide: Finding, narrow: Finding) -> bool:
    """Of two findings, which may explain each other, the one that reaches further; never itself."""
    if wide.key == narrow.key:
        return False
    return wide.kind is not narrow.kind or (len(wide.hits), wide.key) > (len(narrow.hits), narrow.key)


def _last(causes: dict[str, str], key: str) -> str:
    """The end of a chain of causes; should it be a ring, the step before it closes."""
    passed = {key}
    at = causes[key]
    while at in causes and causes[at] not in passed:
        passed.add(at)
        at = causes[at]
    return at


def _reached(wides: Iterable[Finding]) -> dict[Subject, Finding]:
    """Each subject and each hit, with the finding; of several the one with most hits."""
    reached: dict[Subject, Finding] = {}
    for wide in sorted(wides, key=lambda one: len(one.hits)):
        for subject in (wide.subject, *wide.hits):
            reached[subject] = wide
    return reached


def _suffering(finding: Finding) -> tuple[Subject, ...]:
    return (finding.subject,) if finding.subject.device else finding.hits


def _most(subjects: Sequence[Subject], reached: dict[Subject, Finding]) -> Finding | None:
    """What explains at least half of these; None: nothing does."""
    found = [reached[subject] for subject in subjects if subject in reached]
    return found[0] if found and 2 * len(found) >= len(subjects) else None
