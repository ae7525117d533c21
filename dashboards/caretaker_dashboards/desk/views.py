"""What the desk's pages show, as plain values: the collector fills them in, templates draw them.

Times are UTC milliseconds; a page shows them in `zone`, the time zone of its school. None means "not known" or "there
is none", and the page says which. Nothing here knows how it is drawn, or where it comes from.
"""

from msgspec import Struct

from caretaker_rules.shown import Shown

Bar = dict[Shown, int]
"""Devices by shown state; a state without devices may be absent."""


class IncidentLine(Struct, frozen=True, kw_only=True):
    """An incident in a list."""

    number: int
    name: str  # INC-12
    priority: int | None
    title: str
    kind: str
    status: str
    school: str
    school_title: str
    room: str
    device: str
    hits: int
    opened_ms: int
    acknowledged: bool
    assigned: str
    response_left_ms: int | None  # None: no clock runs
    fix_left_ms: int | None
    fix_due_ms: int | None
    paused: bool
    clock: str  # what is left, in words


class RoomReady(Struct, frozen=True, kw_only=True):
    """How ready a room is for a lesson."""

    room: str
    title: str
    ready: int
    total: int
    enough: bool


class LessonsLine(Struct, frozen=True, kw_only=True):
    """How ready a school is for its lessons now, or else for its next ones. `starts_ms` None: none within a day."""

    school: str
    title: str
    starts_ms: int | None
    now: bool
    rooms: int
    ready: int
    not_ready: list[RoomReady]


class SchoolRow(Struct, frozen=True, kw_only=True):
    """A school in the estate's table."""

    name: str
    title: str
    network: str
    network_title: str
    devices: int
    bar: Bar
    lessons: LessonsLine
    incidents: dict[int, int]  # open, by priority; 0: without one
    used_today_kwh: float | None
    avoided_kwh: tuple[float, float, float] | None  # low, likely, high; of `avoided_day`
    avoided_day: str | None  # ISO day: the newest that was reckoned
    blind_today_s: int
    blind: bool
    mode: str  # observe, trial, live; "": no policy
    stopped: str  # the reason of a stop switch that is on here; "": none


class Part(Struct, frozen=True, kw_only=True):
    """One thing of Caretaker's own health. `problem` "": it is well."""

    name: str
    value: str
    problem: str


class EstateView(Struct, frozen=True, kw_only=True):
    """What do I do first?"""

    now_ms: int
    zone: str
    provider: str
    networks: list[tuple[str, str]]  # name, title
    incidents: list[IncidentLine]  # the least time left first; those that nobody promised a time for last
    schools: list[SchoolRow]
    caretaker: list[Part]  # empty for somebody who sees single schools only
    stopped: str  # the whole estate; "": not
    looked_ms: int | None = None  # when the schools were last looked at; None: not yet since Caretaker was started
    levels: bool = True  # whether a service level is agreed anywhere: without one no clock runs


class RecordLine(Struct, frozen=True, kw_only=True):
    """A hold, freeze, maintenance, silence or stop switch."""

    number: int | None  # None: a stop switch
    kind: str
    school: str
    place: str  # "ash/ict1"; "all": a stop switch of the estate
    place_title: str
    times: str  # in words
    state: str  # "on now", "next Wed 7 Oct 12:00", "ended early Tue 6 Oct 16:00"
    on: bool
    over: bool
    repeats: bool
    reason: str
    by: str
    did: str  # what it kept on or back, in words; "": not reckoned here


class RoomRow(Struct, frozen=True, kw_only=True):
    """A room in its school's table."""

    name: str
    title: str
    devices: int
    bar: Bar
    lesson: str  # "now until 09:50", "next 11:10", "no lesson today", "no timetable is known"
    ready: RoomReady | None  # for the lesson that is on; None: none is
    held: str  # what keeps it as it is, in words; "": nothing
    incidents: int


class Unwakeable(Struct, frozen=True, kw_only=True):
    """A machine that could not be woken, with the likely reason."""

    device: str
    room: str
    tried_ms: int
    why: str


class SchoolView(Struct, frozen=True, kw_only=True):
    """One school, room by room."""

    now_ms: int
    zone: str
    row: SchoolRow
    rooms: list[RoomRow]
    incidents: list[IncidentLine]
    records: list[RecordLine]
    unwakeable: list[Unwakeable]
    policy: str  # file and version of the policy in force; "": none
    looked_ms: int | None = None  # when this school was last looked at; None: not yet since Caretaker was started
    level: str = ""  # the service level of today, with "illustrative" where it is; "": none is agreed
    wakes: bool = False  # whether its policy wakes anything


class DecisionLine(Struct, frozen=True, kw_only=True):
    """A decision in a word and a sentence."""

    at_ms: int
    device: str
    verdict: str  # shut_down, left_on and so on
    sentence: str


class MachineRow(Struct, frozen=True, kw_only=True):
    """A machine in its room."""

    name: str
    device_class: str
    shown: Shown
    since_ms: int | None
    heard_ms: int | None  # the last sign of life
    idle_s: int | None  # since somebody touched it, as of its newest report
    decision: DecisionLine | None  # the newest
    asked: str  # a command that is under way, in words; "": none
    incident: int | None
    exempt: bool
    agent: bool = True  # False: its class says nothing by itself (a switch), so it is in no bar


class Spell(Struct, frozen=True):
    """A machine was in one state from one time to another."""

    from_ms: int
    until_ms: int
    shown: Shown


class Lesson(Struct, frozen=True):
    """A lesson or booking of a room."""

    from_ms: int
    until_ms: int


class Strip(Struct, frozen=True, kw_only=True):
    """A machine's day. Spells cover the day up to now without a gap."""

    device: str
    spells: list[Spell]
    marks: list[DecisionLine]


class RoomView(Struct, frozen=True, kw_only=True):
    """A room on a day."""

    now_ms: int
    zone: str
    school: str
    school_title: str
    room: str
    title: str
    day: str  # ISO
    today: bool
    day_from_ms: int
    day_until_ms: int
    bar: Bar
    machines: list[MachineRow]
    strips: list[Strip]
    lessons: list[Lesson]
    lesson: str
    records: list[RecordLine]
    incidents: list[IncidentLine]
    unwakeable: list[Unwakeable]
    stay_link: str | None  # path of its link page; None: links are off, or nobody has made one of this room
    stay_links: bool = False  # whether links are on at all
    recorded: bool = True  # False: nothing was recorded on this day, so strips say nothing
    recorded_from_ms: int | None = None  # since when Caretaker has looked at all; None: it never has
    lessons_unknown: str = ""  # why nobody knows the lessons of this day; "": they are known
    policy: str = ""  # file and version of the policy in force; "": none, so nothing is decided here
    unread: bool = False  # the database of figures is away, so what was before is not shown


class ReasonLine(Struct, frozen=True):
    """One reason of a decision. `age_s`: of the report behind it; None: it rests on none."""

    text: str
    age_s: int | None


class Told(Struct, frozen=True, kw_only=True):
    """A decision with all its reasons, and what became of its command."""

    at_ms: int
    verdict: str
    rule: str
    source: str  # "policies/school.toml:12, version 7c1e"
    reasons: list[ReasonLine]
    command: str  # "asked 16:39:55, warned, done 16:41:57"; "": it led to none


class WhyView(Struct, frozen=True, kw_only=True):
    """Why is this machine on, or off?"""

    now_ms: int
    zone: str
    school: str
    school_title: str
    room: str
    room_title: str
    device: str
    device_class: str
    at_ms: int | None  # None: now
    checked_ms: int | None  # when the rules last ran
    told: list[Told]  # newest first; the first is in force at the time asked for
    registered: bool = True
    policy: str = ""  # file and version of the policy in force; "": none, so nothing is decided here


class Reading(Struct, frozen=True, kw_only=True):
    """One meter or gauge, for people."""

    name: str
    value: str
    meaning: str


class HistoryLine(Struct, frozen=True, kw_only=True):
    """Something that happened to a machine or an incident."""

    at_ms: int
    by: str
    what: str
    text: str


class DeviceView(Struct, frozen=True, kw_only=True):
    """One machine."""

    now_ms: int
    zone: str
    school: str
    school_title: str
    room: str
    room_title: str
    registered: bool
    machine: MachineRow
    report_ms: int | None  # the newest report, the device's own time
    skew_s: float | None
    agent: bool  # whether its class says anything by itself
    meters: list[Reading]
    gauges: list[Reading]
    days: list[tuple[str, Strip]]  # ISO day and its strip: today and the six before it, newest first
    day_spans: list[tuple[int, int]]  # (from, until) of each of `days`
    history: list[HistoryLine]  # changes of state and steps of commands, newest first
    told: list[Told]
    incidents: list[IncidentLine]
    records: list[RecordLine]
    behind: str | None
    depend: int  # machines behind it
    mac: str
    tags: list[str]
    abilities: list[str]
    unread: bool = False  # the database of figures is away, so what was before is not shown


class ClockView(Struct, frozen=True, kw_only=True):
    """A clock of the contract."""

    name: str  # response, fix
    text: str
    left_ms: int
    allowance_ms: int
    used_ms: int
    due_ms: int | None
    ended: bool
    late: bool
    paused: bool


class IncidentView(Struct, frozen=True, kw_only=True):
    """All of one incident."""

    now_ms: int
    zone: str
    line: IncidentLine
    clocks: list[ClockView]
    level: str  # the service level, with "illustrative" where it is
    since_ms: int
    fixed_ms: int | None
    reopened: int
    merged_into: int | None
    hits: list[tuple[str, str]]  # room, device: what suffers from it now
    history: list[HistoryLine]
    told: list[HistoryLine]  # who was told what, by which way, with what answer
    tickets: list[str]
    others: list[IncidentLine]  # open ones of the same school: what it may be merged with


class AuditLine(Struct, frozen=True, kw_only=True):
    """One thing that somebody did."""

    number: int
    at_ms: int
    who: str
    via: str
    what: str
    place: str
    text: str
    outcome: str  # done, refused: ...
    link: str  # a path of the desk; ""


class Found(Struct, frozen=True, kw_only=True):
    """A hit of the search."""

    kind: str  # school, room, device, incident
    title: str
    detail: str
    path: str


class Answered(Struct, frozen=True, kw_only=True):
    """What somebody who asked for an action is told beforehand, or afterwards."""

    lines: list[str]  # the first is the whole in one sentence
    count: int | None = None  # machines that it switches, or would; None: it switches none by itself
    ok: bool = True  # False: refused, or nothing to do there; the lines say why and what else there is
    link: str = ""  # path of the desk where it is on record
    undo: "Offer | None" = None
    incomplete: bool = False  # beforehand only: something cannot be read yet; the first line is true all the same


class Offer(Struct, frozen=True, kw_only=True):
    """An action that can be taken from here, with what it needs already filled in."""

    action: str
    label: str
    place: str  # "ash/ict1", "all", or the number of an incident or a record
    fields: dict[str, str] = {}
    danger: bool = False  # its button stands apart from those that keep machines on


class Field(Struct, frozen=True, kw_only=True):
    """One thing to fill in."""

    name: str
    label: str
    kind: str  # text, area, time (a local "18:00" or "2026-10-06 18:00"), day, choice, number, check
    value: str = ""
    choices: list[tuple[str, str]] = []  # value, label
    help: str = ""
    required: bool = True
    longest: int = 200


class Form(Struct, frozen=True, kw_only=True):
    """What an action asks for."""

    action: str
    title: str  # "Keep ICT suite 1 on"
    place: str
    place_title: str
    fields: list[Field]
    button: str  # "Hold"
    explains: str  # one sentence: what it does and what it does not
    danger: bool = False  # it may switch machines off
