"""settle: a finding counts when it has been there for long enough, and ends when it has been gone for long enough.

- Each kind has its delay (`[find.settle]`, and `[find.silence]` for the parts of Caretaker itself), counted from the
  moment at which it began. What is gone sooner was nothing.
- A lost machine has to be there at two looks: others behind the same switch may follow.
- What an incident is open for stays, as it was last seen, until it has been gone for `gone_for`; while it flaps it
  stays anyhow. Time in which Caretaker saw nothing does not count for that. So neither a moment's return, nor a cable
  that is loose, nor a restart ends one incident and begins the next.
- Out of the school's hours of service nothing begins that can wait until they do: only what is always on cannot.

What is found but does not count yet is in `waiting`: it may still be the reason for something else (`inhibit`).
"""

from msgspec import structs

from caretaker_rules.alert_settings import FindSettings, ms
from caretaker_rules.alerting import Pending, Round
from caretaker_rules.findings import Finding, FindingKind
from caretaker_rules.flapping import LOOKS, flapping, note

LOOK_MS = 300_000
"""A look, as flapping counts them: so long, with a change in it or not. As long as the heartbeat, and as the usual
interval between two checks of a tool that asks."""
OWN_KINDS = frozenset({FindingKind.SERVER_DOWN, FindingKind.RELAY_SILENT})
"""Kinds of devices that are always on."""


def settle(current: Round) -> None:
    """Leave in `findings` what counts."""
    if not current.sees:
        current.findings.clear()
        return
    seen = {finding.key: finding for finding in current.findings}
    being = {incident.key for incident in current.incidents.values() if incident.open}
    real: list[Finding] = []
    for key in {**seen, **current.pending}:
        finding, before = seen.get(key), current.pending.get(key)
        pending = _look(before, finding, key, current, key in being)
        if pending is None:
            del current.pending[key]
            continue
        if pending is not before:
            current.pending[key] = pending
        if finding is not None:
            since_ms = min(finding.since_ms, pending.first_ms)
            counted = finding if since_ms == finding.since_ms else structs.replace(finding, since_ms=since_ms)
            if key in being or (_is_settled(counted, pending, current) and not _can_wait(current, finding)):
                real.append(counted)
            else:
                current.waiting.append(counted)
        elif key in being and pending.finding is not None and _lingers(pending, current):
            real.append(pending.finding)
    current.findings[:] = real


def _is_settled(finding: Finding, pending: Pending, current: Round) -> bool:
    if finding.kind is FindingKind.LOST and pending.first_ms == current.now_ms:
        return False
    return current.now_ms - finding.since_ms >= delay_ms(finding.kind, current.find)


def delay_ms(kind: FindingKind, find: FindSettings) -> int:
    """How long a finding of this kind has to be seen before it counts."""
    silence = {
        FindingKind.BROKER_SILENT: find.silence.broker,
        FindingKind.STORE_SILENT: find.silence.database,
        FindingKind.RULES_SILENT: find.silence.rules,
    }
    return ms(getattr(find.settle, kind.value)) + (ms(silence[kind]) if kind in silence else 0)


def _look(before: Pending | None, finding: Finding | None, key: str, current: Round, open_now: bool) -> Pending | None:
    """What is known of a finding after this look; the same object when nothing changed, None when it can be forgotten.

    It is kept in the state file, so it must not change at each look of something that does not change.
    """
    now_ms = current.now_ms
    if before is None:
        return Pending(key=key, first_ms=now_ms, last_ms=now_ms, history=1, looked_ms=now_ms, finding=finding)
    changed = before.present != (finding is not None)
    history, looked_ms = before.history, before.looked_ms
    if now_ms - looked_ms >= LOOK_MS:
        looks = (now_ms - looked_ms) // LOOK_MS
        for _ in range(min(looks, LOOKS)):
            history = note(history, False)
        looked_ms += looks * LOOK_MS
    if changed:
        history |= 1
    flaps = flapping(history, before.flapping)
    if finding is None:
        last_ms = now_ms if changed else before.last_ms
        if not history and not (open_now and _gone_ms(last_ms, current) < ms(current.find.gone_for)):
            return None
        first_ms, told = before.first_ms, before.finding
    else:
        # Back while it still counted: the same run. Else it has to settle anew.
        goes_on = not changed or (open_now and _lingers(before, current))
        first_ms = before.first_ms if goes_on else now_ms
        last_ms, told = (now_ms if changed else before.last_ms), finding
    after = Pending(
        key=key,
        first_ms=first_ms,
        last_ms=last_ms,
        present=finding is not None,
        history=history,
        flapping=flaps,
        looked_ms=looked_ms if history else before.looked_ms,
        finding=told,
    )
    return before if after == before else after


def _lingers(pending: Pending, current: Round) -> bool:
    """Whether what is not seen any more still counts as there."""
    return pending.flapping or _gone_ms(pending.last_ms, current) < ms(current.find.gone_for)


def _gone_ms(last_ms: int, current: Round) -> int:
    """How long it has been seen to be gone: of what was before a restart or a lost broker, nobody knows."""
    return current.now_ms - max(last_ms, current.seen_since_ms)


def _can_wait(current: Round, finding: Finding) -> bool:
    """Whether nobody needs to know before service begins."""
    if current.school is None or current.in_service or finding.kind in OWN_KINDS:
        return False
    return not any(current.always_on(one.device) for one in (finding.subject, *finding.hits) if one.device)
