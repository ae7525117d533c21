"""The policy file: which machines are switched when, by whose rule, how carefully, and what keeps them on.

One policy may serve many schools. **Overlapping rules resolve in one way: the first rule in the file that selects the
machine and whose hours are now decides; later ones are not asked.** When no selecting rule has its hours now, the
first selecting one is named as the reason why nothing happens.

**A rule that selects nothing does nothing** (invariant I5): `select` must name at least one list, all lists that are
given must fit, and an empty list fits no machine. `everything = true` is the only way to mean all.
"""

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Name, Slug, Verb
from caretaker_rules.calendar import parse_span
from caretaker_rules.durations import Duration, parse_duration
from caretaker_rules.model import Device, School, TimeSpan, Written
from caretaker_rules.timetable import DayKind

_ROOM_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}(/[a-z0-9][a-z0-9-]{0,62})?$"
_WAKE_HEADER = re.compile(r"\s*\[\[\s*wake\s*\]\]")
_RULE_HEADER = re.compile(r"\s*\[\[\s*rules\s*\]\]")
_PATCH_HEADER = re.compile(r"\s*\[\[\s*patch\s*\]\]")

MIN_IDLE_S = 300
"""No rule may act on a machine that has been idle for less: people read, think and talk at a screen."""
MIN_WARN_S = 30
"""The shortest warning before a machine is switched; a silent five-second restart loses work."""
MAX_WARN_S = 3600
"""The longest countdown that the contract allows."""

Tag = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="a tag of the asset register")]
TimeOfDay = Annotated[
    str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="a time of day such as 08:30 (00:00 to 23:59)")
]
Days = Annotated[
    str,
    Meta(
        pattern=r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$",
        description='days such as "mon-fri"',
    ),
]
RoomName = Annotated[str, Meta(pattern=_ROOM_PATTERN, description="room, or school/room where several share the file")]


class Mode(StrEnum):
    """How much a policy may do."""

    OBSERVE = "observe"  # decides and records, sends nothing: how the baseline is learnt
    TRIAL = "trial"  # sends in the trial rooms only
    LIVE = "live"


class Action(StrEnum):
    """What a rule does to a machine that nobody uses."""

    SHUT_DOWN = "shut_down"
    SLEEP = "sleep"
    RESTART = "restart"
    WARN_ONLY = "warn_only"

    @property
    def verb(self) -> Verb:
        """The command that a machine must be able to obey for it."""
        return Verb.WARN if self is Action.WARN_ONLY else Verb(self.value)


class LimitSettings(Written, frozen=True, kw_only=True):
    """[limits]: never too many at once (invariant I5). Percentages are rounded down, but to one machine at least."""

    per_minute: Annotated[int, Meta(ge=0, le=1000)] = 12  # machines of the school; 0: none at all
    room_percent: Annotated[int, Meta(ge=0, le=100)] = 50  # of the room's machines; 0: none at all
    school_percent: Annotated[int, Meta(ge=0, le=100)] = 25  # of the school's machines; 0: none at all
    at_once: Duration = "10 min"  # the percentages count what a rule asked of machines in this time
    cycles_per_day: Annotated[int, Meta(ge=0, le=100)] = 6  # of one machine in its local day; 0: none at all


class DoubtSettings(Written, frozen=True, kw_only=True):
    """[doubt]: when what we know is too old or too odd to act on, so that the machine stays on."""

    report_older_than: Annotated[float, Meta(ge=1, le=10)] = 2.5  # heartbeats of the machine
    clock_skew: Duration = "2 min"
    reconnect_wait: Duration = "5 min"  # after its connection came back, and until it has reported since
    veto_wait: Duration = "1 h"  # after somebody at the machine said no
    answer_wait: Duration = "10 min"  # after expiry or the last answer, while a command may still be counting down
    collector_behind: Duration = "30 s"  # how old the newest message that the collector has read may be
    input_within: Duration = "10 s"  # a machine that says idle, with an input as young as this, contradicts itself
    readings_differ: Duration = "1 min"  # as does one whose idle time falls short of its idle state by this


class KeepOnSettings(Written, frozen=True, kw_only=True):
    """[keep_on]: what keeps a machine on whatever a rule says. Exempt tags and always-on classes need no line here."""

    booked_within: Duration = "20 min"  # a lesson that starts so soon counts as begun
    tags: list[Tag] = field(default_factory=list)  # more tags that exempt a device
    not_wakeable: bool = True  # what a wake rule selects and could not wake again is not shut down or put to sleep
    not_wakeable_for: Duration = "14 d"  # how long a wake that it did not answer counts; then it is tried again


class Select(Written, frozen=True, kw_only=True):
    """Which machines a rule is for. Every list that is given must fit; one of its entries is enough for that."""

    everything: bool = False
    schools: list[Name] | None = None
    networks: list[Name] | None = None
    rooms: list[RoomName] | None = None
    classes: list[Slug] | None = None
    tags: list[Tag] | None = None


def selects(select: Select, device: Device, school: School) -> bool:
    """Whether what was written selects this machine."""
    if select.everything:
        return True
    named = False
    if select.schools is not None:
        if device.school not in select.schools:
            return False
        named = True
    if select.networks is not None:
        if school.network not in select.networks:
            return False
        named = True
    if select.rooms is not None:
        if not names_room(select.rooms, device.school, device.room):
            return False
        named = True
    if select.classes is not None:
        if device.device_class not in select.classes:
            return False
        named = True
    if select.tags is not None:
        if not any(tag in select.tags for tag in device.tags):
            return False
        named = True
    return named


class RuleFile(Written, frozen=True, kw_only=True):
    """[[rules]], as written."""

    name: Name
    select: Select
    hours: Annotated[list[TimeSpan], Meta(min_length=1)]  # local time of the school
    days: Annotated[list[DayKind], Meta(min_length=1)] | None = None  # a night counts to the day it starts; None: any
    idle_for: Duration
    do: Action
    warn_for: Duration = "2 min"


class PatchFile(Written, frozen=True, kw_only=True):
    """[[patch]], as written: hours in which machines stay on for updates, and for how long rules may keep them off."""

    name: Name
    select: Select
    hours: Annotated[list[TimeSpan], Meta(min_length=1)]  # local time of the school
    restart: bool = False  # restart what nobody uses in the last half hour of the window
    off_at_most: Duration = "7 d"  # kept off by rules for longer: listed, and woken for the window
    due_days: Annotated[int, Meta(ge=1, le=60)] = 14  # by then it has to be patched (Cyber Essentials v3.3: 14 days)


class WakeFile(Written, frozen=True, kw_only=True):
    """[[wake]], as written: machines that have to be on when they are needed. One of `before` and `at`, not both."""

    name: Name
    select: Select
    before: Literal["first_booking"] | None = None  # of the room, on each day that has one
    at: TimeOfDay | None = None  # local time of the school, on school days
    days: Days | None = None  # for `at`; Monday to Friday unless given
    lead: Duration = "15 min"  # how long before that waking begins
    stagger: Duration = "2 s"  # between two machines of a school, on average over a minute
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3  # for one machine and occasion
    retry_after: Duration = "3 min"  # without a report of the machine


class PolicyFile(Written, frozen=True, kw_only=True):
    """A policy file, as written."""

    mode: Mode
    trial_rooms: list[RoomName] = field(default_factory=list)
    limits: LimitSettings = LimitSettings()
    doubt: DoubtSettings = DoubtSettings()
    keep_on: KeepOnSettings = KeepOnSettings()
    rules: list[RuleFile] = field(default_factory=list)
    wake: list[WakeFile] = field(default_factory=list)
    patch: list[PatchFile] = field(default_factory=list)


class Rule(Struct, frozen=True, kw_only=True):
    """A rule ready for use; `line` is where it stands in its file."""

    name: str
    line: int
    select: Select
    hours: tuple[str, ...]
    idle_for_s: int
    action: Action
    warn_s: int
    days: tuple[DayKind, ...] = ()  # (): on days of any kind

    @property
    def when(self) -> str:
        """Its hours and kinds of day as people read them."""
        hours = ", ".join(self.hours)
        kinds = " or ".join(kind.value.replace("_", " ") for kind in self.days)
        return f"{hours} on {kinds} days" if kinds else hours

    def selects(self, device: Device, school: School) -> bool:
        """Whether the rule is for this machine."""
        return selects(self.select, device, school)


class PatchWindow(Struct, frozen=True, kw_only=True):
    """A patch window ready for use; `line` is where it stands in its file."""

    name: str
    line: int
    select: Select
    hours: tuple[str, ...]
    restart: bool
    off_at_most_s: int
    due_days: int

    def selects(self, device: Device, school: School) -> bool:
        """Whether the window is for this machine."""
        return selects(self.select, device, school)


class WakeRule(Struct, frozen=True, kw_only=True):
    """A wake rule ready for use; `line` is where it stands in its file."""

    name: str
    line: int
    select: Select
    at_min: int | None  # minute of the local day; None: the room's first lesson of the day
    days: frozenset[int]  # for `at`: 0 is Monday
    lead_s: int
    stagger_s: int
    attempts: int
    retry_s: int

    def selects(self, device: Device, school: School) -> bool:
        """Whether the rule is for this machine."""
        return selects(self.select, device, school)


class Policy(Struct, frozen=True, kw_only=True):
    """A policy ready for use: durations in seconds, rules with their lines, the version of the text it came from."""

    path: str
    version: str  # first 4 hex digits of the text's SHA-256
    mode: Mode
    trial_rooms: tuple[str, ...]
    rules: tuple[Rule, ...]
    per_minute: int
    room_percent: int
    school_percent: int
    at_once_s: int
    cycles_per_day: int
    stale_heartbeats: float
    clock_skew_s: int
    reconnect_wait_s: int
    veto_wait_s: int
    answer_wait_s: int
    behind_s: int
    input_within_s: int
    readings_differ_s: int
    booked_within_s: int
    exempt_tags: frozenset[str]
    not_wakeable: bool
    not_wakeable_for_s: int
    wakes: tuple[WakeRule, ...] = ()
    patch: tuple[PatchWindow, ...] = ()

    def may_act(self, school: str, room: str) -> bool:
        """Whether the mode lets a decision about this room be carried out."""
        return self.mode is Mode.LIVE or (self.mode is Mode.TRIAL and names_room(self.trial_rooms, school, room))


def names_room(names: list[str] | tuple[str, ...], school: str, room: str) -> bool:
    """Whether a list of "room" or "school/room" names this room."""
    return room in names or f"{school}/{room}" in names


def compile_policy(file: PolicyFile, text: str, path: str) -> Policy:
    """The policy in `file`, which was read from `text` at `path`. ConfigError lists all that the types cannot see."""
    lines = _rule_lines(text, len(file.rules))
    faults = _faults(file, path, lines) + _patch_faults(file, path, text) + _wake_faults(file, path, text)
    if faults:
        raise ConfigError(faults)
    limits, doubt = file.limits, file.doubt
    return Policy(
        path=path,
        version=hashlib.sha256(text.encode()).hexdigest()[:4],
        mode=file.mode,
        trial_rooms=tuple(file.trial_rooms),
        rules=tuple(
            Rule(
                name=rule.name,
                line=line,
                select=rule.select,
                hours=tuple(rule.hours),
                idle_for_s=parse_duration(rule.idle_for),
                action=rule.do,
                warn_s=parse_duration(rule.warn_for),
                days=tuple(rule.days or ()),
            )
            for rule, line in zip(file.rules, lines, strict=True)
        ),
        per_minute=limits.per_minute,
        room_percent=limits.room_percent,
        school_percent=limits.school_percent,
        at_once_s=parse_duration(limits.at_once),
        cycles_per_day=limits.cycles_per_day,
        stale_heartbeats=doubt.report_older_than,
        clock_skew_s=parse_duration(doubt.clock_skew),
        reconnect_wait_s=parse_duration(doubt.reconnect_wait),
        veto_wait_s=parse_duration(doubt.veto_wait),
        answer_wait_s=parse_duration(doubt.answer_wait),
        behind_s=parse_duration(doubt.collector_behind),
        input_within_s=parse_duration(doubt.input_within),
        readings_differ_s=parse_duration(doubt.readings_differ),
        booked_within_s=parse_duration(file.keep_on.booked_within),
        exempt_tags=frozenset(file.keep_on.tags),
        not_wakeable=file.keep_on.not_wakeable,
        not_wakeable_for_s=parse_duration(file.keep_on.not_wakeable_for),
        wakes=_wake_rules(file, text),
        patch=_patch_windows(file, text),
    )


def _rule_lines(text: str, count: int, header: re.Pattern[str] = _RULE_HEADER) -> list[int]:
    """The line of each [[rules]]; 1 for all when they are written in another way (as one inline list)."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if header.match(line)]
    return found if len(found) == count else [1] * count


def _patch_windows(file: PolicyFile, text: str) -> tuple[PatchWindow, ...]:
    lines = _rule_lines(text, len(file.patch), _PATCH_HEADER)
    return tuple(
        PatchWindow(
            name=window.name,
            line=line,
            select=window.select,
            hours=tuple(window.hours),
            restart=window.restart,
            off_at_most_s=parse_duration(window.off_at_most),
            due_days=window.due_days,
        )
        for window, line in zip(file.patch, lines, strict=True)
    )


def _faults(file: PolicyFile, path: str, lines: list[int]) -> list[str]:
    """One line for each mistake: file, line, key as typed, and how to mend it."""
    faults: list[str] = []

    def fault(line: int, key: str, value: object, wrong: str) -> None:
        shown = f' = "{value}"' if isinstance(value, str) else ""
        faults.append(f"{path}:{line}  {key}{shown}   {wrong}")

    sections: list[tuple[str, Any]] = [("limits", file.limits), ("doubt", file.doubt), ("keep_on", file.keep_on)]
    for section, settings in sections:
        for key in settings.__struct_fields__:
            value = getattr(settings, key)
            if isinstance(value, str) and (wrong := _wrong_duration(value)):
                fault(1, f"{section}.{key}", value, wrong)
    kept_for = file.keep_on.not_wakeable_for
    if not _wrong_duration(kept_for) and not 86_400 <= parse_duration(kept_for) <= 90 * 86_400:
        fault(1, "keep_on.not_wakeable_for", kept_for, "must lie between 1 d and 90 d")
    if file.mode is Mode.TRIAL and not file.trial_rooms:
        fault(1, "trial_rooms", None, 'a trial needs at least one room; name it, or write mode = "observe"')
    seen: set[str] = set()
    for index, (rule, line) in enumerate(zip(file.rules, lines, strict=True)):
        key = f"rules[{index}]"
        if rule.name in seen:
            fault(line, f"{key}.name", rule.name, "a rule before it has this name; give each its own")
        seen.add(rule.name)
        for span in rule.hours:
            try:
                parse_span(span)
            except ValueError as error:
                fault(line, f"{key}.hours", span, str(error))
        for wrong in _select_faults(rule.select):
            fault(line, f"{key}.select", None, wrong)
        for name, value, least, most in (
            ("idle_for", rule.idle_for, MIN_IDLE_S, 7 * 86_400),
            ("warn_for", rule.warn_for, MIN_WARN_S, MAX_WARN_S),
        ):
            if wrong := _wrong_duration(value) or _out_of_range(parse_duration(value), least, most):
                fault(line, f"{key}.{name}", value, wrong)
    return faults


def _patch_faults(file: PolicyFile, path: str, text: str) -> list[str]:
    """The same for the patch windows."""
    faults: list[str] = []
    seen: set[str] = set()
    lines = _rule_lines(text, len(file.patch), _PATCH_HEADER)
    for index, (window, line) in enumerate(zip(file.patch, lines, strict=True)):
        key = f"{path}:{line}  patch[{index}]"
        if window.name in seen:
            faults.append(f'{key}.name = "{window.name}"   a window before it has this name; give each its own')
        seen.add(window.name)
        for span in window.hours:
            try:
                parse_span(span)
            except ValueError as error:
                faults.append(f'{key}.hours = "{span}"   {error}')
        faults += [f"{key}.select   {wrong}" for wrong in _select_faults(window.select)]
        if wrong := _wrong_duration(window.off_at_most):
            faults.append(f'{key}.off_at_most = "{window.off_at_most}"   {wrong}')
        elif not 86_400 <= parse_duration(window.off_at_most) <= window.due_days * 86_400:
            faults.append(
                f'{key}.off_at_most = "{window.off_at_most}"   must lie between 1 d and due_days '
                f"({window.due_days} d): what is off for longer cannot be patched in time"
            )
    return faults


def _wake_rules(file: PolicyFile, text: str) -> tuple[WakeRule, ...]:
    lines = _rule_lines(text, len(file.wake), _WAKE_HEADER)
    return tuple(
        WakeRule(
            name=rule.name,
            line=line,
            select=rule.select,
            at_min=None if rule.at is None else int(rule.at[:2]) * 60 + int(rule.at[3:]),
            days=parse_span(f"{rule.days or 'mon-fri'} 00:00-24:00").days,
            lead_s=parse_duration(rule.lead),
            stagger_s=parse_duration(rule.stagger),
            attempts=rule.attempts,
            retry_s=parse_duration(rule.retry_after),
        )
        for rule, line in zip(file.wake, lines, strict=True)
    )


def _wake_faults(file: PolicyFile, path: str, text: str) -> list[str]:
    """The same as `_faults` for [[wake]]."""
    faults: list[str] = []
    seen: set[str] = set()
    for index, (rule, line) in enumerate(zip(file.wake, _rule_lines(text, len(file.wake), _WAKE_HEADER), strict=True)):
        wrongs: list[tuple[str, str]] = [("select", wrong) for wrong in _select_faults(rule.select)]
        if rule.name in seen:
            wrongs.append((f'name = "{rule.name}"', "a wake rule before it has this name; give each its own"))
        seen.add(rule.name)
        if (rule.before is None) == (rule.at is None):
            wrongs.append(("before", 'write one of before = "first_booking" and at = "08:30"'))
        if rule.days is not None and rule.at is None:
            wrongs.append((f'days = "{rule.days}"', "belongs to at; with before the timetable says the days"))
        for name, value, least, most in (
            ("lead", rule.lead, 60, 4 * 3600),
            ("stagger", rule.stagger, 0, 60),
            ("retry_after", rule.retry_after, 60, 3600),
        ):
            if wrong := _wrong_duration(value) or _out_of_range(parse_duration(value), least, most):
                wrongs.append((f'{name} = "{value}"', wrong))
        faults += [f"{path}:{line}  wake[{index}].{key}   {wrong}" for key, wrong in wrongs]
    return faults


def _select_faults(select: Select) -> list[str]:
    lists = {name: getattr(select, name) for name in select.__struct_fields__ if name != "everything"}
    given = {name: value for name, value in lists.items() if value is not None}
    if select.everything:
        return ["everything = true and a list contradict each other; keep one"] if given else []
    if not given:
        return ["selects nothing; name schools, networks, rooms, classes or tags, or write everything = true"]
    return [
        f"{name} is empty, so the rule selects nothing; fill it or leave it out" for name in given if not given[name]
    ]


def _wrong_duration(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        return str(error)
    return ""


def _out_of_range(seconds: int, least: int, most: int) -> str:
    if least <= seconds <= most:
        return ""
    return f"must lie between {least} s and {most} s"
