"""Findings: what is wrong now, each with its subject and since when. An incident is made of them, not of messages.

A finding has no memory: the same facts give the same findings at each look. What settles, groups, silences and tells
people comes after (`alerting.py`).
"""

from enum import StrEnum

from msgspec import Struct

from caretaker_contract.topics import Address


class FindingKind(StrEnum):
    """What can be wrong. The member's value is stored; `TITLES` is shown."""

    LOST = "lost"
    NOT_BACK = "not_back"
    CANNOT_WAKE = "cannot_wake"
    ROOM_NOT_READY = "room_not_ready"
    DISK_FULL = "disk_full"
    CRASHING = "crashing"
    SERVER_DOWN = "server_down"
    LINK_DOWN = "link_down"
    RELAY_SILENT = "relay_silent"
    SCHOOL_DARK = "school_dark"
    BURNING = "burning"
    BROKER_SILENT = "broker_silent"
    STORE_SILENT = "store_silent"
    RULES_SILENT = "rules_silent"
    COLLECTOR_BEHIND = "collector_behind"
    GLASS_BROKEN = "glass_broken"
    REVIEW_NOT_MADE = "review_not_made"
    REPORTED = "reported"


TITLES: dict[FindingKind, str] = {
    FindingKind.LOST: "{subject} is not heard any more",
    FindingKind.NOT_BACK: "{subject} is not back though it is needed",
    FindingKind.CANNOT_WAKE: "{subject} cannot be woken",
    FindingKind.ROOM_NOT_READY: "{subject} is not ready for its lesson: {value}",
    FindingKind.DISK_FULL: "disk of {subject} is {value} full",
    FindingKind.CRASHING: "{subject} crashed {value}",
    FindingKind.SERVER_DOWN: "server {subject} is down: {value}",
    FindingKind.LINK_DOWN: "{subject} is cut off: {value}",
    FindingKind.RELAY_SILENT: "relay {subject} is silent: {value}",
    FindingKind.SCHOOL_DARK: "all of {subject} is silent: {value}",
    FindingKind.BURNING: "{subject} uses up its allowed outage too fast: {value}",
    FindingKind.BROKER_SILENT: "Caretaker has no connection to its broker",
    FindingKind.STORE_SILENT: "Caretaker cannot write to its database: {value}",
    FindingKind.RULES_SILENT: "Caretaker's rules do not run: {value}",
    FindingKind.COLLECTOR_BEHIND: "Caretaker is {value} behind",
    FindingKind.GLASS_BROKEN: "Caretaker's break-glass account is in use: {value}",
    FindingKind.REVIEW_NOT_MADE: "Caretaker cannot make a monthly review: {value}",
    FindingKind.REPORTED: "{value}",
}
LINK_TITLE = "{subject} is down: {value}"
"""Of a device, where `TITLES` speaks of what is behind one that nobody knows of: a room."""


class Subject(Struct, frozen=True, order=True):
    """What is wrong: a device, a room, a school; with nothing given it is Caretaker itself."""

    school: str = ""
    room: str = ""
    device: str = ""

    def __str__(self) -> str:
        if self.device:
            return f"{self.school}/{self.device}"
        return "/".join(part for part in (self.school, self.room) if part) or "caretaker"

    @property
    def address(self) -> Address | None:
        """The device; None when it is not one."""
        return Address(self.school, self.device) if self.device else None


class Finding(Struct, frozen=True):
    """One thing that is wrong. `key` is the same at every look for as long as it is wrong."""

    kind: FindingKind
    subject: Subject
    since_ms: int  # when it began, as far as it is known; collector time
    value: str = ""  # figures for the sentence
    hits: tuple[Subject, ...] = ()  # devices that suffer from it, where it is not the subject alone

    @property
    def key(self) -> str:
        """Kind and subject."""
        return f"{self.kind.value} {self.subject}"

    def __str__(self) -> str:
        of_device = self.kind is FindingKind.LINK_DOWN and self.subject.device
        title = LINK_TITLE if of_device else TITLES[self.kind]
        return title.format(subject=self.subject, value=self.value).removesuffix(": ")
