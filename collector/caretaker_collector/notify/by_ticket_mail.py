"""Tickets by mail, in the form that service desks' filters parse since Nagios: they open, merge and resolve by it.

    Subject: PROBLEM Host Alert: ash.ict1-07 is DOWN          (device, server, link, relay, school: something is away)
    Subject: PROBLEM Service Alert: ash.lib-01/disk_full is CRITICAL                          (anything else)
    Subject: RECOVERY Host Alert: ash.ict1-07 is UP

    Notification Type: PROBLEM
    Host: ash.ict1-07
    State: DOWN

The subject is what RT's filter takes apart: (PROBLEM|RECOVERY|ACKNOWLEDGEMENT) (Service|Host) Alert: HOST/SERVICE is
STATE (metacpan.org/pod/RT::Extension::Nagios); a slash would end the host, so it is a dot. The lines are what OTRS
SystemMonitoring and Zammad's monitoring integrations look for in the body. No number comes back by mail, and the desk's
own closing is not seen.
"""

from caretaker_collector.notify.by_apprise import ByApprise, Mail
from caretaker_collector.notify.wording import lines, one_line
from caretaker_rules.alert_settings import Channel
from caretaker_rules.alerting import Telling
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident

DOWN = {
    FindingKind.LOST,
    FindingKind.SERVER_DOWN,
    FindingKind.LINK_DOWN,
    FindingKind.RELAY_SILENT,
    FindingKind.SCHOOL_DARK,
}
"""Kinds in which the thing itself is away: a host alert. One host has at most one of them open at a time."""


class ByTicketMail:
    """A desk that takes its tickets by mail."""

    def __init__(self, channel: Channel, url: str) -> None:
        self._mail = ByApprise(channel, url)

    async def send(self, telling: Telling, incident: Incident | None) -> str:
        """Mail it; a test or a digest goes as it is, so that no filter takes it for a fault."""
        if incident is None:
            return await self._mail.deliver(telling.id, Mail(one_line(telling.title), lines(telling.body)))
        return await self._mail.deliver(telling.id, mail_of(telling, incident))

    async def close(self) -> None:
        """Nothing is kept open."""
        await self._mail.close()


def mail_of(telling: Telling, incident: Incident) -> Mail:
    """Subject and body for the filter, and then for people."""
    recovered = telling.what == "fixed"
    kind = "RECOVERY" if recovered else "PROBLEM"
    host = str(incident.subject).replace("/", ".")
    if incident.kind in DOWN:
        state = "UP" if recovered else "DOWN"
        subject = f"{kind} Host Alert: {host} is {state}"
        about = [f"Host: {host}"]
    else:
        state = "OK" if recovered else "CRITICAL"
        subject = f"{kind} Service Alert: {host}/{incident.kind.value} is {state}"
        about = [f"Host: {host}", f"Service: {incident.kind.value}"]
    head = ["***** Caretaker *****", "", f"Notification Type: {kind}", *about, f"State: {state}"]
    head += [f"Incident: {incident.name}", f"Additional Info: {one_line(telling.title)}", "", ""]
    return Mail(one_line(subject), lines("\n".join(head) + telling.body))
