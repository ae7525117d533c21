"""Making messages: one for each channel, or one for several incidents of a school where the channel is for people."""

import hashlib
from collections.abc import Sequence

from caretaker_rules import alert_text
from caretaker_rules.alert_settings import Severity
from caretaker_rules.alert_steps.heard import memory_of
from caretaker_rules.alerting import Round, Telling, What
from caretaker_rules.incidents import Incident

Item = tuple[Incident, What]


def tell(look: Round, channel: str, severity: Severity, items: Sequence[Item], one: bool) -> None:
    """Put what `channel` is to be told into `look.telling`; `one`: in one message."""
    if not items:
        return
    memory = memory_of(look)
    due_ms = look.quiet.get((channel, severity), look.now_ms)
    ordered = sorted(items, key=lambda item: (item[0].priority or 9, item[0].since_ms, item[0].uid))
    group = one and len(ordered) > 1
    lead = ""
    for incident, what in ordered:
        counted = memory.of(incident.uid, channel).count(what)
        number = make_id(incident.uid, what, channel, counted)
        if group:
            whole = not lead
            title = alert_text.group_title(ordered, look.school) if whole else ""
            body = alert_text.group_body(ordered, look) if whole else ""
        else:
            title, body = alert_text.title(incident, what, look.school), alert_text.body(incident, look)
        telling = Telling(
            id=number,
            uid=incident.uid,
            what=what,
            channel=channel,
            title=title,
            body=body,
            severity=severity,
            due_ms=due_ms,
            made_ms=look.now_ms,
            within=lead,
        )
        look.telling.append(telling)
        memory.add(telling.told)
        if group and not lead:
            lead = number


def make_id(*parts: object) -> str:
    """An id that the same message always gets; safe in a header, a file name and an address."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
