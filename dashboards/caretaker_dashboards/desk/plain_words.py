"""What is wrong, and what is being done about it, in words for people who work at a school. No names of devices."""

from typing import Final

from caretaker_dashboards.desk.school_views import Trouble
from caretaker_rules.findings import FindingKind

_THINGS: Final = {
    "access_point": "wireless access point",
    "pdu": "power strip of the server room",
    "ups": "emergency power supply",
    "desktop": "computer",
    "laptop": "laptop",
    "printer": "printer",
    "server": "server",
    "switch": "network switch",
    "thin_client": "computer",
}
_SAID: Final = {
    FindingKind.LOST: "A {thing} does not answer",
    FindingKind.NOT_BACK: "A {thing} is not on though it is needed",
    FindingKind.CANNOT_WAKE: "A {thing} does not come on by itself",
    FindingKind.ROOM_NOT_READY: "The room is not ready for its lesson",
    FindingKind.DISK_FULL: "A {thing} has little space left",
    FindingKind.CRASHING: "A {thing} keeps failing and starting again",
    FindingKind.SERVER_DOWN: "A server does not answer",
    FindingKind.LINK_DOWN: "Part of the school's network is down",
    FindingKind.RELAY_SILENT: "The box that wakes the computers does not answer",
    FindingKind.SCHOOL_DARK: "Nothing is heard from the school",
    FindingKind.BURNING: "There are more outages this month than were agreed",
    FindingKind.REPORTED: "Somebody has reported a fault",
}


def thing_of(device_class: str) -> str:
    """A device as people at a school call it."""
    return _THINGS.get(device_class, device_class.replace("_", " ") or "device")


def what_is_wrong(trouble: Trouble) -> str:
    """One sentence without a full stop, and without a name."""
    thing = thing_of(trouble.thing)
    said = _SAID.get(trouble.kind, "Something is wrong").format(thing=thing)
    if said.startswith("A ") and thing[0] in "aeiou":
        said = f"An {said.removeprefix('A ')}"
    return f"{said}: {trouble.machines:,} machines are hit" if trouble.machines > 1 else said


def doing(trouble: Trouble) -> str:
    """What is being done about it, in one sentence."""
    if trouble.fixed_ms is not None:
        return "Mended."
    if trouble.waiting:
        return "We are waiting for the school."
    return (
        "Somebody is working on it." if trouble.taken else "The service desk has it on its list; nobody has begun yet."
    )
