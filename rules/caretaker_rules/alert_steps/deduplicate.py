"""What is news to whom: a channel is told once that something began, and once that it is over.

- It is told of what is open and it does not know of: opened, or reopened after it was told the end.
- It is told again when the incident matters more than when it was told, and, after `repeat`, while nobody has
  acknowledged it and it does not wait for the customer.
- That it is over is told to those who know that it began, and to nobody else.
- News for people of one school and one severity waits `wait` for what else begins, then `interval` after the last one;
  each such message lists what is due by then. Tickets and webhooks get one message for each incident, at once.

The memory is what was told, nothing else. So a restart neither repeats nor loses anything, and a round may be left out.
"""

from collections import defaultdict

from caretaker_rules.alert_settings import AlertsFile, Severity, ms
from caretaker_rules.alert_steps.heard import RANK, Heard, Memory, memory_of
from caretaker_rules.alert_steps.tell import Item, tell
from caretaker_rules.alerting import Round, What
from caretaker_rules.incidents import Incident, Status

ALONE = ("ticket", "webhook")
"""Kinds of channels that take one message for each incident."""
Waiting = dict[tuple[str, Severity, bool], list[tuple[int, Item]]]
"""News by channel, severity and whether it is an end: since when it is due, and what."""


def deduplicate(look: Round) -> None:
    """Write the news that is due into `look.telling`."""
    if look.alerts is None:
        return
    memory = memory_of(look)
    waiting: Waiting = defaultdict(list)
    for incident in look.incidents.values():
        # Its number, which people know it by, is given as it is written: an incident of this very round has none yet.
        if not incident.number:
            continue
        severity = look.alerts.severity_of(incident)
        if incident.open:
            _begun(look, memory, incident, severity, waiting)
        else:
            for channel in memory.knowing(incident.uid):
                waiting[channel, severity, True].append((incident.fixed_ms, (incident, What.FIXED)))
    kinds = {channel.name: channel.kind for channel in look.alerts.channels}
    for (channel, severity, end), news in waiting.items():
        if channel not in kinds:  # its settings were taken away since it was told
            continue
        if kinds[channel] in ALONE:
            tell(look, channel, severity, [item for _, item in news], one=False)
        elif _group_is_due(look.alerts, memory.group_ms.get((channel, severity, end)), news, look.now_ms):
            tell(look, channel, severity, [item for _, item in news], one=True)


def _begun(look: Round, memory: Memory, incident: Incident, severity: Severity, waiting: Waiting) -> None:
    """What the channels of an open incident do not know."""
    assert look.alerts is not None
    if incident.uid in look.silenced:
        return
    network = look.school.network if look.school else None
    for name, channel in look.alerts.people(look.alerts.routed(incident, severity, network), look.now_ms):
        if (channel, severity) in look.quiet:
            continue
        # Who takes over a rota is told of what nobody has answered, not of what a colleague deals with.
        if channel != name and incident.acknowledged_ms and memory.knowing(incident.uid):
            continue
        news = _news(look.alerts, memory.of(incident.uid, channel), incident, severity)
        if news is not None and news[0] <= look.now_ms:
            waiting[channel, severity, False].append((news[0], (incident, news[1])))


def _news(alerts: AlertsFile, heard: Heard, incident: Incident, severity: Severity) -> tuple[int, What] | None:
    """What one channel has to be told, and since when that is due."""
    if not heard.knows:
        began_ms = incident.reopened_ms or incident.opened_ms
        return began_ms + alerts.delay_ms(severity), What.REOPENED if heard.begun else What.OPENED
    if RANK[severity] > heard.rank:
        return heard.last_ms, What.GROWN
    if not incident.acknowledged_ms and incident.status is not Status.PAUSED:
        return heard.last_ms + ms(alerts.grouping.repeat), What.REMINDED
    return None


def _group_is_due(alerts: AlertsFile, told_ms: int | None, news: list[tuple[int, Item]], now_ms: int) -> bool:
    """Whether the wait for others is over, and the last message to this group is long enough ago."""
    first_ms = min(since for since, _ in news)
    again_ms = told_ms + ms(alerts.grouping.interval) if told_ms is not None else 0
    return now_ms >= max(first_ms + ms(alerts.grouping.wait), again_ms)
