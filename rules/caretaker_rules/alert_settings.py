"""`alerts.toml` as written: when something counts as wrong, how much it matters, who is told of it, when and how.

Who is told: of every route that fits an incident, its channels; where none fits, the channels of `default`. Nobody is
told twice of one thing because two routes name them. An escalation adds channels when nothing happens in time.
A secret stands in a file of its own, never here, so that this file can be shown around.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta, field

from caretaker_contract.messages import Name
from caretaker_rules.calendar import in_hours, zone_of
from caretaker_rules.durations import Duration, parse_duration
from caretaker_rules.findings import FindingKind
from caretaker_rules.incidents import Incident
from caretaker_rules.model import TimeSpan, Written
from caretaker_rules.policy import Days, TimeOfDay
from caretaker_rules.service import Priority, Ratio

File = Annotated[str, Meta(min_length=1)]


class Severity(StrEnum):
    """How much it matters that somebody is told."""

    CRITICAL = "critical"
    IMPORTANT = "important"
    INFO = "info"  # in the daily digest only


class SettleTimes(Written, frozen=True, kw_only=True):
    """[find.settle]: how long each kind has to be seen before it counts; what is gone again sooner was nothing."""

    lost: Duration = "15 s"  # the grace period of presence comes before it
    not_back: Duration = "2 min"
    cannot_wake: Duration = "0 s"
    room_not_ready: Duration = "0 s"
    disk_full: Duration = "15 min"
    crashing: Duration = "0 s"
    server_down: Duration = "15 s"
    link_down: Duration = "15 s"
    relay_silent: Duration = "0 s"
    school_dark: Duration = "15 s"
    burning: Duration = "0 s"
    broker_silent: Duration = "0 s"
    store_silent: Duration = "0 s"
    rules_silent: Duration = "0 s"
    collector_behind: Duration = "1 min"
    glass_broken: Duration = "0 s"
    review_not_made: Duration = "0 s"
    reported: Duration = "0 s"


class SilenceTimes(Written, frozen=True, kw_only=True):
    """[find.silence]: how long each may say nothing before that itself is an alert (invariant I11)."""

    agent: Duration = "15 min"  # three heartbeats
    relay: Duration = "10 min"
    broker: Duration = "1 min"
    collector: Duration = "5 min"  # how far it may be behind
    database: Duration = "5 min"
    rules: Duration = "5 min"  # no round of the rules for so long


class FindSettings(Written, frozen=True, kw_only=True):
    """[find]: what counts as wrong."""

    settle: SettleTimes = SettleTimes()
    silence: SilenceTimes = SilenceTimes()
    gone_for: Duration = "2 min"  # so long nothing of it may be seen before an incident counts as fixed
    disk_full_ratio: Ratio = 0.9
    disk_free_again_ratio: Ratio = 0.85  # below this it is all right again
    crashes: Annotated[int, Meta(ge=2, le=100)] = 3
    crashes_within: Duration = "24 h"
    room_ready_ratio: Ratio = 0.9  # a room with fewer of its machines ready at the lesson's start is not ready
    link_ratio: Ratio = 0.6  # of what stands behind a switch or in a room: so much silent at once has one cause
    link_machines: Annotated[int, Meta(ge=2, le=1000)] = 3
    dark_ratio: Ratio = 0.55  # of a school
    dark_machines: Annotated[int, Meta(ge=2, le=10_000)] = 3


class Critical(Written, frozen=True, kw_only=True):
    """[severities.critical]: what is critical, and how soon people are told."""

    kinds: list[FindingKind] = field(  # whatever their priority; Caretaker's own have none
        default_factory=lambda: [
            FindingKind.SCHOOL_DARK,
            FindingKind.BROKER_SILENT,
            FindingKind.STORE_SILENT,
            FindingKind.RULES_SILENT,
            FindingKind.GLASS_BROKEN,
        ]
    )
    priorities: list[Priority] = field(default_factory=lambda: [1, 2])
    delay: Duration = "0 s"  # from the opening to the first message


class Important(Written, frozen=True, kw_only=True):
    """[severities.important]: likewise; what stands nowhere is important too."""

    kinds: list[FindingKind] = field(default_factory=list)
    priorities: list[Priority] = field(default_factory=lambda: [3])
    delay: Duration = "5 min"


class Info(Written, frozen=True, kw_only=True):
    """[severities.info]: what is told in the daily digest only."""

    kinds: list[FindingKind] = field(default_factory=lambda: [FindingKind.CANNOT_WAKE])
    priorities: list[Priority] = field(default_factory=lambda: [4, 5, 6, 7, 8, 9])


class Severities(Written, frozen=True, kw_only=True):
    """[severities]: the first that names an incident's kind, else the first that names its priority; else important."""

    critical: Critical = Critical()
    important: Important = Important()
    info: Info = Info()


class Grouping(Written, frozen=True, kw_only=True):
    """[grouping]: one message for what begins at one school at about one time. The defaults are Alertmanager's."""

    wait: Duration = "30 s"  # what begins so soon after the first goes into the same message
    interval: Duration = "5 min"  # from one message of news to the next, for a school, a channel and a severity
    repeat: Duration = "4 h"  # what nobody has acknowledged is told again


class Channel(Written, frozen=True, kw_only=True):
    """[[channels]]: somebody, or something, that can be told. A person has a channel of their own."""

    name: Name
    kind: Literal["mail", "teams", "slack", "webhook", "ticket", "file"]
    url: str = ""  # an address of apprise (mailtos://...) or, for webhooks and tickets, http(s)
    url_file: File | None = None  # its first line is the url, where that holds a secret
    to: list[str] = field(default_factory=list)  # mail
    sender: str = field(name="from", default="")  # mail
    preset: Literal["zammad", "glpi", "freshservice", "mail"] | None = None  # tickets: how that desk is spoken to
    token_file: File | None = None  # tickets: its first line is the desk's token
    app_token_file: File | None = (
        None  # tickets, GLPI: its first line is the application's token, where it asks for one
    )
    queue: str = ""  # tickets, Zammad: the group that they go to
    requester: str = ""  # tickets, Zammad and Freshservice: the mail address that they are opened for
    close_on_recovery: bool = True  # tickets: what is over is closed; false: it is only said in the ticket
    secret_file: File | None = None  # webhooks: its first line is the key that messages are signed with
    path: File | None = None  # file: lines are appended to it; for trying things out
    quiet: list[TimeSpan] = field(default_factory=list)  # hours in which it is left in peace
    critical_breaks_quiet: bool = True


class Fits(Written, frozen=True, kw_only=True):
    """What a route or an escalation is for: each key that is given has to fit; none given: all."""

    schools: list[Name] | None = None
    networks: list[Name] | None = None
    kinds: list[FindingKind] | None = None
    severities: list[Severity] | None = None

    def fits(self, incident: Incident, severity: Severity, network: str | None) -> bool:
        """Whether it is for this incident, of a school of this network."""
        return (
            (self.schools is None or incident.subject.school in self.schools)
            and (self.networks is None or network in self.networks)
            and (self.kinds is None or incident.kind in self.kinds)
            and (self.severities is None or severity in self.severities)
        )


class Route(Fits, frozen=True, kw_only=True):
    """[[routes]]: which incidents go where. Every route that fits counts."""

    channels: Annotated[list[Name], Meta(min_length=1)]  # channels or rotas


class OnCall(Written, frozen=True, kw_only=True):
    """Who is on call in these hours."""

    hours: TimeSpan
    channel: Name


class Rota(Written, frozen=True, kw_only=True):
    """[[rotas]]: stands for whoever is on call now: the first span that has its hours, else `otherwise`."""

    name: Name
    on_call: Annotated[list[OnCall], Meta(min_length=1)]
    otherwise: Name | None = None  # None: nobody


class EscalationStep(Written, frozen=True, kw_only=True):
    """[[escalations.steps]]: when who else is told."""

    when: Literal["unacknowledged", "answer_due", "answer_late", "fix_due", "fix_late"]
    """`due`: `warn_ratio` of the clock's time is used; `late`: all of it. Both stand still outside service hours."""
    after: Duration = "0 s"  # unacknowledged: for so long since people were told, by the clock on the wall
    channels: Annotated[list[Name], Meta(min_length=1)]  # channels or rotas
    hours: list[TimeSpan] = field(default_factory=list)  # only in these; none given: at any time


class Escalation(Fits, frozen=True, kw_only=True):
    """[[escalations]]: what follows when nothing happens. Every escalation that fits counts."""

    name: Name
    steps: Annotated[list[EscalationStep], Meta(min_length=1)]


class Digest(Written, frozen=True, kw_only=True):
    """[[digests]]: one message a day of what is open, what was fixed, and what was not worth a message of its own."""

    at: TimeOfDay = "07:30"
    days: Days = "mon-fri"
    channels: Annotated[list[Name], Meta(min_length=1)]
    schools: list[Name] | None = None
    networks: list[Name] | None = None


class Heartbeat(Written, frozen=True, kw_only=True):
    """[heartbeat]: a sign of life to another tool, which raises the alarm when it stays away."""

    url: str = ""
    url_file: File | None = None
    every: Duration = "1 min"


class AlertsFile(Written, frozen=True, kw_only=True):
    """`alerts.toml`, as written."""

    default: Annotated[list[Name], Meta(min_length=1)]  # channels or rotas for what no route fits
    time_zone: str = "Europe/London"  # of quiet hours, rotas, digests and of Caretaker's own incidents
    warn_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.75  # of a clock's time
    find: FindSettings = FindSettings()
    severities: Severities = Severities()
    grouping: Grouping = Grouping()
    channels: Annotated[list[Channel], Meta(min_length=1)]
    routes: list[Route] = field(default_factory=list)
    rotas: list[Rota] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    heartbeat: Heartbeat | None = None

    def severity_of(self, incident: Incident) -> Severity:
        """How much this incident matters now: its priority may have changed since it was opened."""
        table = self.severities
        rows = ((Severity.CRITICAL, table.critical), (Severity.IMPORTANT, table.important), (Severity.INFO, table.info))
        by_kind = (severity for severity, row in rows if incident.kind in row.kinds)
        by_priority = (severity for severity, row in rows if incident.priority in row.priorities)
        return next(by_kind, next(by_priority, Severity.IMPORTANT))

    def delay_ms(self, severity: Severity) -> int:
        """From the opening of an incident to its first message."""
        return ms(self.severities.critical.delay if severity is Severity.CRITICAL else self.severities.important.delay)

    def routed(self, incident: Incident, severity: Severity, network: str | None) -> list[str]:
        """Names of channels and rotas that this incident goes to, each once. Info goes nowhere: it is in the digest."""
        if severity is Severity.INFO:
            return []
        fitting = [route for route in self.routes if route.fits(incident, severity, network)]
        return list(dict.fromkeys(name for route in fitting for name in route.channels)) or self.default

    def people(self, names: Sequence[str], now_ms: int) -> list[tuple[str, str]]:
        """(name, channel) for each channel that these names stand for now, each channel once, in order.

        A rota stands for whoever is on call; the name of a channel for itself.
        """
        found: dict[str, str] = {}
        for name in names:
            channel = self._person(name, now_ms)
            if channel is not None:
                found.setdefault(channel, name)
        return [(name, channel) for channel, name in found.items()]

    def _person(self, name: str, now_ms: int) -> str | None:
        rota = next((rota for rota in self.rotas if rota.name == name), None)
        if rota is None:
            return name
        zone = zone_of(self.time_zone)
        return next((span.channel for span in rota.on_call if in_hours([span.hours], now_ms, zone)), rota.otherwise)


@lru_cache(maxsize=1024)
def ms(duration: Duration) -> int:
    """Milliseconds of a length of time as written. ValueError as `parse_duration`."""
    return parse_duration(duration) * 1000
