"""The alert pipeline: from what is wrong to who is told what, one school at a time.

    group -> settle -> inhibit -> maintain -> track -> silence -> quiet -> deduplicate -> escalate  (-> send -> record)

The order is written once, as `PIPELINE` in `alert_steps/`. Each step is a function of a `Round` that it works on in
place, in a file of its own; it reads no clock and no disk. What rounds leave to each other (`Pending`, the log of
incidents, what was told) is read before a round and written after it, in the transaction of the batch that it belongs
to. So a crash between two rounds neither loses nor repeats anything. `send` and `record` are the collector's notifier,
which takes what is written in `telling`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec import Struct

from caretaker_rules.alert_settings import AlertsFile, FindSettings
from caretaker_rules.calendar import zone_of
from caretaker_rules.findings import Finding
from caretaker_rules.incidents import Entry, Incident
from caretaker_rules.model import Device, DeviceClass, Hold, School, Tracked
from caretaker_rules.service import Places
from caretaker_rules.service_hours import ServiceClock
from caretaker_rules.timetable import NO_TIMETABLE, Timetable

if TYPE_CHECKING:
    from caretaker_rules.alert_steps.heard import Memory


class Pending(Struct, frozen=True, kw_only=True):
    """What the rounds so far know of one finding: it may still have to settle, or have gone a moment ago."""

    key: str
    first_ms: int  # when it was first seen in its present run
    last_ms: int  # when its last change was seen: that it is there, or is not
    present: bool = True
    history: int = 0  # its last 20 looks that differed or not, newest in the lowest bit: 1 is a change
    flapping: bool = False
    looked_ms: int = 0  # when the newest of those looks began
    finding: Finding | None = None  # as it was last seen


class What(StrEnum):
    """What a message says of an incident. `opened` and `reopened` begin it for a channel, `fixed` ends it."""

    OPENED = "opened"
    REOPENED = "reopened"
    GROWN = "grown"  # it matters more than when it was told
    REMINDED = "reminded"  # still open, and nobody has acknowledged it
    ESCALATED = "escalated"
    ANSWER_WARNED = "answer_warned"
    ANSWER_LATE = "answer_late"
    WARNED = "warned"  # most of the time to fix it is used
    LATE = "late"
    FIXED = "fixed"
    DIGEST = "digest"
    TEST = "test"


class Told(Struct, frozen=True, kw_only=True):
    """That something was told: what `deduplicate` and `escalate` look at."""

    uid: str
    what: str
    channel: str
    at_ms: int
    severity: str = ""  # as it was told


class Telling(Struct, frozen=True, kw_only=True):
    """One message for one channel, as it is handed to the notifier. `id` is made from what it is about, never drawn."""

    id: str
    uid: str  # of the incident; "" for a digest or a test
    what: str  # of What
    channel: str  # name in alerts.toml
    title: str
    body: str
    severity: str
    due_ms: int  # not to be sent before
    made_ms: int
    within: str = (
        ""  # id of the message that tells of it with others of its group, so nothing to send; "": is a message
    )

    @property
    def told(self) -> Told:
        """What it is remembered by."""
        return Told(uid=self.uid, what=self.what, channel=self.channel, at_ms=self.made_ms, severity=self.severity)


@dataclass(slots=True)
class Round:
    """One look at one school (or at Caretaker itself: `school` None)."""

    now_ms: int
    school: School | None
    devices: Mapping[str, Device]  # of the school, by name
    findings: list[Finding]  # what is wrong now; steps leave out what nobody is to be told
    timetable: Timetable = NO_TIMETABLE
    holds: list[Hold] = field(default_factory=list)  # with kinds maintenance and silence
    pending: dict[str, Pending] = field(default_factory=dict)  # by key of the finding
    incidents: dict[str, Incident] = field(default_factory=dict)  # by uid: the open ones, and those fixed lately
    told: list[Told] = field(default_factory=list)  # of those incidents
    entries: list[Entry] = field(default_factory=list)  # what this round appends to the log of incidents
    telling: list[Telling] = field(default_factory=list)  # what this round wants sent
    causes: dict[str, str] = field(default_factory=dict)  # key of a finding -> key of the wider one that explains it
    alerts: AlertsFile | None = None  # None: nobody is told of anything
    clock: ServiceClock | None = None  # of the school; None: no service level, so no clock runs
    silenced: set[str] = field(default_factory=set)  # uids of incidents that nobody is told of now (`silence`)
    quiet: dict[tuple[str, str], int] = field(default_factory=dict)  # (channel, severity) -> until when (`quiet`)
    machines: Sequence[tuple[Device, Tracked]] = ()  # what is known of the devices
    classes: Mapping[str, DeviceClass] = field(default_factory=dict)
    in_service: bool = True  # is it within the school's hours of service
    sees: bool = True  # False: Caretaker cannot see, so nothing begins and nothing ends
    seen_since_ms: int = 0  # since when it sees without a break
    waiting: list[Finding] = field(default_factory=list)  # what is wrong but does not count yet
    places: Places | None = None  # how far faults reach: made when first asked
    memory: "Memory | None" = None  # what each channel has heard, of `told`: the telling steps share it

    @property
    def find(self) -> FindSettings:
        """What counts as wrong."""
        return self.alerts.find if self.alerts is not None else FindSettings()

    @property
    def zone(self) -> ZoneInfo:
        """In which moments are said."""
        if self.school is not None:
            return zone_of(self.school.time_zone)
        return zone_of(self.alerts.time_zone if self.alerts else "UTC")

    def always_on(self, name: str) -> bool:
        """Whether a device of the school is of a class that is never off."""
        device = self.devices.get(name)
        known = self.classes.get(device.device_class) if device is not None else None
        return known is not None and known.always_on


Step = Callable[[Round], None]
