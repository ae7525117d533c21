"""Reads a policy file, and checks its names against the estate that it is for.

A name that is nowhere in the estate selects no machine, which is safe (invariant I5) and hardly ever what was meant.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from caretaker_collector.files.faults import Fault, choose
from caretaker_collector.files.kinds import KINDS
from caretaker_collector.files.toml_file import TomlFile, convert, open_toml, read_text
from caretaker_collector.files.toml_lines import KeyPath
from caretaker_contract.errors import ConfigError
from caretaker_rules.model import Estate
from caretaker_rules.policy import Policy, PolicyFile, compile_policy


class PolicyText(NamedTuple):
    """A policy with the file that it came from. `policy` is None when `file.faults` holds faults."""

    file: TomlFile
    policy: Policy | None


def read_policy(path: Path) -> PolicyText:
    """Read, check and compile. ConfigError only when the file is no TOML at all."""
    file = open_toml(path)
    written = convert(file, PolicyFile, KINDS)
    if written is None:
        return PolicyText(file, None)
    try:
        return PolicyText(file, compile_policy(written, read_text(path, "TOML"), str(path)))
    except ConfigError as error:
        file.faults.extend(_placed(file, text) for text in error.faults)
        return PolicyText(file, None)


def _placed(file: TomlFile, text: str) -> Fault:
    """A fault of the core, which says "PATH:LINE  KEY = VALUE   WRONG" and knows the line of the table only."""
    start, _, wrong = text.partition("   ")
    subject = start.partition("  ")[2]
    parts = re.findall(r"\[(\d+)\]|([\w-]+)", subject.partition(" = ")[0])
    key = tuple(int(number) if number else name for number, name in parts)
    return Fault(file.path, file.lines.of(key), subject, wrong)


def check_names(found: PolicyText, estate: Estate, schools: Sequence[str]) -> None:
    """Note in `found.file.faults` what the policy names and the estate does not have. `schools` run this policy."""
    if found.policy is None:
        return
    rooms = sorted({room.name for school in schools for room in estate.schools[school].rooms})
    known = {
        "schools": sorted(estate.schools),
        "networks": sorted(estate.networks),
        "classes": sorted(estate.classes),
        "rooms": rooms + [f"{school}/{room.name}" for school in schools for room in estate.schools[school].rooms],
    }
    words = {"schools": "school", "networks": "network", "classes": "class", "rooms": "room in this policy's schools"}
    for key, kind, names in _named(found.policy):
        for number, name in enumerate(names):
            if name not in known[kind]:
                found.file.fault((*key, number), choose(name, known[kind], words[kind]), name)


def _named(policy: Policy) -> Iterator[tuple[KeyPath, str, Sequence[str]]]:
    """Every list of names in a policy: where it stands, of what it is, and the names."""
    yield ("trial_rooms",), "rooms", policy.trial_rooms
    for number, rule in enumerate(policy.rules):
        for kind in ("schools", "networks", "classes", "rooms"):
            yield ("rules", number, "select", kind), kind, getattr(rule.select, kind) or ()
    for number, wake in enumerate(policy.wakes):
        for kind in ("schools", "networks", "classes", "rooms"):
            yield ("wake", number, "select", kind), kind, getattr(wake.select, kind) or ()
    for number, window in enumerate(policy.patch):
        for kind in ("schools", "networks", "classes", "rooms"):
            yield ("patch", number, "select", kind), kind, getattr(window.select, kind) or ()
