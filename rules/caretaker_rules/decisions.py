"""What a decision is made of and what it looks like. `energy` makes decisions, `limits` holds some of them back."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field, structs

from caretaker_contract.topics import Address
from caretaker_rules.model import Asked, Device, DeviceClass, Hold, School, Stop, Tracked
from caretaker_rules.reasons import Reason
from caretaker_rules.timetable import NO_TIMETABLE, Timetable


class Verdict(StrEnum):
    """What is to happen to one machine now."""

    SHUT_DOWN = "shut_down"
    SLEEP = "sleep"
    RESTART = "restart"
    WARN_ONLY = "warn_only"
    LEFT_ON = "left_on"
    NOT_ON = "not_on"  # off or asleep already
    WAKE = "wake"  # a magic packet goes out through the relay of its school
    NOT_WOKEN = "not_woken"  # wanted and away, and no packet goes out now


ACTING = frozenset({Verdict.SHUT_DOWN, Verdict.SLEEP, Verdict.RESTART, Verdict.WARN_ONLY})
"""The verdicts that send a command."""


class Decision(Struct, frozen=True):
    """One machine, one moment: what is to happen and every reason for it (invariant I8).

    `episode` names the idle spell that the decision is about. It is made from the device's own numbers and the newest
    ask, so replaying the same messages gives the same word, and a doer that acts once for each word never acts twice.
    It is "" unless the verdict acts.
    """

    device: Address
    at_ms: int
    verdict: Verdict
    rule: str  # "" when no rule selects the machine
    rule_line: int
    policy_version: str
    reasons: tuple[Reason, ...]
    warn_s: int = 0
    idle_at_least_s: int = 0  # the machine itself refuses unless it has been idle for as long
    episode: str = ""
    policy_file: str = ""
    idle_s: int = 0  # how long it has been idle by the evidence, when the verdict acts

    @property
    def acts(self) -> bool:
        """Whether a command goes out for it."""
        return self.verdict in ACTING

    def held_back(self, *because: Reason) -> "Decision":
        """The same machine left on after all; what spoke for switching stays on record behind `because`."""
        return structs.replace(self, verdict=Verdict.LEFT_ON, reasons=(*because, *self.reasons), episode="")

    def with_reason(self, reason: Reason) -> "Decision":
        """The same decision with one more reason."""
        return structs.replace(self, reasons=(*self.reasons, reason))


class Snapshot(Struct, kw_only=True):
    """All that is known about one school at the moment of deciding. Nothing in it is changed."""

    school: School
    classes: Mapping[str, DeviceClass]
    machines: Sequence[tuple[Device, Tracked]]  # every machine of the school's asset register
    asked: Mapping[Address, Asked]  # the newest command to each machine
    holds: Sequence[Hold]  # in force now or soon; others are ignored
    stops: Sequence[Stop]
    behind_s: float  # how old the newest message is that the collector has read; inf: it has no broker
    recent_sends_ms: Sequence[tuple[int, str]]  # when, and to which room, commands went out lately
    timetable: Timetable = NO_TIMETABLE  # what the school's own files say
    cycles: Mapping[Address, int] = field(default_factory=dict)  # how often each was switched in its local day
    woken_in_vain: Mapping[Address, int] = field(default_factory=dict)  # when, for those that answered no wake since
