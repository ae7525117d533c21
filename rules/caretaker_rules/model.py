"""What the core knows: the estate as written down, and the state of each device as heard.

The estate's structs are also the declaration of `estate.toml`: the settings reader, its checks and its defaults come
from them. A key whose default is missing must be given.
"""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field

from caretaker_contract.messages import Cause, Gauges, Mac, Meters, Name, PowerState, Slug, Step, Verb, Watts
from caretaker_contract.topics import Address

if TYPE_CHECKING:
    from caretaker_rules.service import ServiceFile  # which is written in terms of what stands here

TimeSpan = Annotated[
    str,
    Meta(
        pattern=r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))? \d\d:\d\d-\d\d:\d\d$",
        description='days and hours such as "mon-fri 08:00-17:00"',
    ),
]
"""Days and local hours, such as "mon-fri 08:00-17:00"."""

HourSpan = Annotated[str, Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$", description='hours such as "08:50-09:50"')]
"""Local hours of one day, such as "08:50-09:50"."""


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that a person writes in a TOML file."""


class DeviceClass(Written, frozen=True, kw_only=True):
    """Power of a class by state in watts, with its source, and whether rules may touch it."""

    name: Slug
    watts_in_use: Watts
    watts_idle: Watts
    watts_asleep: Watts
    watts_off: Watts
    always_on: bool = False  # never switched by a rule: servers, switches
    cost: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None  # pounds for one, where its register row says none
    years: Annotated[float, Meta(gt=0, le=30)] | None = None  # it is meant to last, likewise
    agent: bool = True  # false: it says nothing by itself, so nothing is owed of it (a switch that others are behind)
    source: str = ""


class Tariff(Written, frozen=True, kw_only=True):
    """Price of electricity from a day on, until the next tariff."""

    valid_from: date
    pence_per_kwh: Annotated[float, Meta(ge=0, le=1000)]
    source: str


class CarbonFactor(Written, frozen=True, kw_only=True):
    """Carbon of grid electricity from a day on, until the next factor."""

    valid_from: date
    kg_co2e_per_kwh: Annotated[float, Meta(ge=0, le=10)]
    source: str


class Term(Written, frozen=True, kw_only=True):
    """First and last day of a term or half term, both included."""

    starts: date
    ends: date


Whose = Literal["host", "partner", "community"]
"""Who uses a shared room: the school that it belongs to, another school, or anybody else."""


class Share(Written, frozen=True, kw_only=True):
    """Which lessons and bookings of a shared room are another school's, or the community's; all others are the host's.

    A booking is known by a category of its calendar (capitals do not matter), a weekly lesson by its hours.
    """

    whose: Whose
    hours: list[TimeSpan] = field(default_factory=list)
    categories: list[Annotated[str, Meta(min_length=1)]] = field(default_factory=list)


class Room(Written, frozen=True, kw_only=True):
    """A room and its weekly lessons in term time (local time). No lessons given means: unknown, so always booked.

    Lessons may come from the school's `timetable` instead, and bookings from a calendar; what any of them says counts.
    """

    name: Name
    title: str = ""
    lessons: list[TimeSpan] | None = None  # [] says: never booked
    calendar: str = ""  # iCalendar file of the room's bookings, relative to this file
    shared: list[Share] = field(default_factory=list)  # [] says: the host's alone


class LevelChange(Written, frozen=True, kw_only=True):
    """A school moves to another service level on a day."""

    level: Name
    starts: date


class Declared(Written, frozen=True, kw_only=True):
    """A fact that Caretaker does not measure, as somebody stated it on a day. `by` is a role, never a person's name."""

    text: Annotated[str, Meta(min_length=1, max_length=500)]
    on: date
    by: Annotated[str, Meta(min_length=1, max_length=80)]


class DeclaredFacts(Written, frozen=True, kw_only=True):
    """What a school has stated of itself; what is not given is not known."""

    backup: Declared | None = None
    ups_minutes: Declared | None = None
    patching: Declared | None = None
    operating_systems: Declared | None = None
    broadband: Declared | None = None


class Readers(Written, frozen=True, kw_only=True):
    """Who gets the review by mail: addresses by role, never by name."""

    role: Annotated[str, Meta(min_length=1, max_length=80)]
    addresses: Annotated[
        list[Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", description="a mail address")]], Meta(min_length=1)
    ]


class ReviewSettings(Written, frozen=True, kw_only=True):
    """What the monthly review of a school needs beside what is recorded. Nothing has to be given."""

    readers: list[Readers] = field(default_factory=list)
    kpi: str = ""  # CSV of learning-platform indicators: date,indicator,value; relative to this file
    access_log: str = ""  # or the platform's access log (combined format); only counts per day are kept
    hosts: bool = True  # false: this school asks not to host, or chair, the meeting


class Support(Written, frozen=True, kw_only=True):
    """Until when the makers of an operating system support it."""

    system: Annotated[str, Meta(min_length=1)]  # how the name begins that its agent tells: "Windows 10"
    ends: date
    source: str


class School(Written, frozen=True, kw_only=True):
    """One school: its clock, its rooms, where its asset register lies, and which policy it runs."""

    name: Name
    title: str
    network: Name | None = None
    time_zone: str = "Europe/London"
    service_level: Name = "transitional"  # of `service`; the one of the first `levels` entry comes after it
    levels: list[LevelChange] = field(default_factory=list)
    service_hours: list[TimeSpan] = field(default_factory=lambda: ["mon-fri 08:00-17:00"])
    terms: list[Term] = field(default_factory=list)  # none given means: every day may be a school day
    closed_days: list[date] = field(default_factory=list)  # INSET days, bank holidays, closures
    inset_days: list[date] = field(default_factory=list)  # no lessons, but staff are in
    bank_holidays: Literal["england", "wales", "scotland", "northern_ireland", "none"] = "england"
    calendars: list[str] = field(default_factory=list)  # iCalendar files of the school, relative to this file
    days: str = ""  # CSV: date,kind,week; which days are what, and which weeks are A or B
    timetable: str = ""  # CSV: day,period (or start,end),room,week
    periods: dict[str, HourSpan] = field(default_factory=dict)  # what the timetable's periods are: 1 = "08:50-09:50"
    rooms: list[Room] = field(default_factory=list)
    devices: str = ""  # CSV asset register, relative to this file
    policy: str = ""  # policy file, relative to this file; "" means: no rule runs here
    pupils: Annotated[int, Meta(ge=1, le=100_000)] | None = None  # on roll; None: no ratio to computers is shown
    share_figures: bool = False  # true: other schools of the network may see this one's figures with its name
    review: ReviewSettings = ReviewSettings()
    declared: DeclaredFacts = DeclaredFacts()


class Network(Written, frozen=True, kw_only=True):
    """A cluster of schools."""

    name: Name
    title: str = ""


class EstateFile(Written, frozen=True, kw_only=True):
    """`estate.toml`, as written."""

    provider: str
    service: str = ""  # service levels, relative to this file; "": none is agreed, so nothing is owed
    networks: list[Network] = field(default_factory=list)
    schools: list[School]
    classes: list[DeviceClass]
    tariffs: list[Tariff] = field(default_factory=list)
    carbon: list[CarbonFactor] = field(default_factory=list)
    support: list[Support] = field(default_factory=list)


class Device(Struct, frozen=True, kw_only=True):
    """One row of an asset register: device, room, class, mac, tags (space-separated), behind, bought, cost, years."""

    school: Name
    name: Name
    room: Name
    device_class: Slug
    mac: Mac | None = None
    tags: tuple[str, ...] = ()
    behind: Name | None = None  # the device of the same school that it depends on: its switch, or its server
    bought: date | None = None
    cost: float | None = None  # pounds; None: its class may say
    years: float | None = None  # it is meant to last; None: its class may say

    @property
    def address(self) -> Address:
        """school/device."""
        return Address(self.school, self.name)


EXEMPT_TAG = "exempt"
"""A device with this tag is never switched by a rule, such as a pupil's adapted machine."""


class Estate(Struct, frozen=True, kw_only=True):
    """The whole estate, joined: schools and classes by name, devices by address."""

    provider: str
    networks: dict[str, Network]
    schools: dict[str, School]
    classes: dict[str, DeviceClass]
    devices: dict[Address, Device]
    tariffs: tuple[Tariff, ...] = ()
    carbon: tuple[CarbonFactor, ...] = ()
    support: tuple[Support, ...] = ()
    service: "ServiceFile | None" = None  # None: no service level is agreed, so nothing is owed


class Turn(Struct, frozen=True, gc=False, array_like=True):
    """The newest report of an epoch that told of a change of state: where `since_ms` comes from."""

    boot: int
    seq: int
    at_ms: int  # device time
    state: PowerState
    cause: Cause


class Presence(Struct, frozen=True, gc=False, array_like=True):
    """Power state of a device and how we know it. Device times and collector times are never mixed in one sum."""

    state: PowerState = PowerState.UNKNOWN
    since_ms: int = 0  # device time at which `state` began
    cause: Cause = Cause.UNKNOWN
    planned: bool = False  # off or asleep with a recorded cause
    epoch: str = ""
    boot: int = 0
    seq: int = 0  # newest numbered message behind this
    at_ms: int = 0  # device time of that message
    heard_ms: int = 0  # collector time of the last sign of life; 0: never
    heartbeat_s: int = 300
    link: int = 0  # newest connection of this boot that we know of
    link_ms: int = 0  # collector time at which the link last came or went
    lost_ms: int = 0  # collector time of a last will whose grace still runs; 0: none
    said: PowerState = PowerState.UNKNOWN  # what the newest report said; `state` may know better (lost, left)
    turn: Turn | None = None  # None: no change of state was ever told in this epoch
    link_boot: int = 0  # the boot that `link` belongs to
    left_ms: int = 0  # device time of the goodbye that ended `link`; 0: it has not said goodbye


class Telemetry(Struct, frozen=True, gc=False, array_like=True):
    """The newest readings of a device, by number, not by arrival."""

    meters: Meters
    gauges: Gauges
    skew_ms: int  # collector's clock minus the device's when it was sent


class Tracked(Struct, frozen=True, gc=False, array_like=True):
    """All that the core remembers of one device."""

    presence: Presence = Presence()
    telemetry: Telemetry | None = None
    abilities: tuple[Verb, ...] = ()  # what its hello said it can do
    system: str = ""  # the operating system that its hello named; "": it named none


class Transition(Struct, frozen=True):
    """A change of power state at `at_ms` (device time; collector time for lost and unknown)."""

    at_ms: int
    from_state: PowerState
    to_state: PowerState
    cause: Cause
    planned: bool


class Hold(Struct, frozen=True, kw_only=True):
    """A request to keep machines on until a time ("we are still here"), an exam freeze, work on them, or a silence.

    Each of room, device and class that is given has to fit; with none of them it is the whole school.
    """

    id: int
    kind: Literal["hold", "freeze", "maintenance", "silence"]
    school: str
    room: str | None
    device: str | None
    from_ms: int
    until_ms: int
    reason: str
    device_class: str | None = None

    def covers(self, device: Device) -> bool:
        """Whether this machine is meant; when, is another matter."""
        return (
            self.school == device.school
            and self.room in (None, device.room)
            and self.device in (None, device.name)
            and self.device_class in (None, device.device_class)
        )


class Stop(Struct, frozen=True, kw_only=True):
    """The stop switch is on for a school (None: everywhere) or one of its rooms (None: all)."""

    school: str | None
    room: str | None
    since_ms: int
    reason: str


class Asked(Struct, frozen=True, kw_only=True):
    """The newest power command to a device, from the ledger. `step` None: no answer yet."""

    verb: Verb
    asked_ms: int
    expires_ms: int
    step: Step | None = None
    step_ms: int = 0
