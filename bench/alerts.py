"""What the alert pipeline costs when 10,000 things go wrong at once.

    python bench/alerts.py [--alerts 10000] [--quick] [--json]

No broker and no disk: findings of 100 schools go through `alert_steps.PIPELINE`, as the collector's stage runs it, each
30 s; what a round leaves to the next goes through JSON, as through the state file. Told are a channel for people
and a desk of tickets. Two bursts:

    separate   every alert is an incident of its own (a disk is full)
    switches   every 25 alerts are the machines behind one switch, which is one incident

The figure to look at is the ratio to a plain pass in the same run that only keeps the same alerts in a dict by key and
writes one line of text for each, with no settling, no grouping, no memory and no clocks: it says how fast this machine
is. "A quiet round" is one in which all of them are open and nothing is news: that comes every 30 s.
"""

import argparse
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median
from time import process_time
from zoneinfo import ZoneInfo

import msgspec

from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.alert_steps import run
from caretaker_rules.alerting import Pending, Round, Told
from caretaker_rules.findings import Finding, FindingKind, Subject
from caretaker_rules.incidents import Entry, Incident, after, fold
from caretaker_rules.model import Device, DeviceClass, School, Term
from caretaker_rules.service import LevelSpan, ServiceFile
from caretaker_rules.service_hours import ServiceClock

START_MS = int(datetime(2026, 10, 6, 10, 0, tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)
TICK_MS, SCHOOLS, BEHIND = 30_000, 100, 25
DESKTOP = DeviceClass(name="desktop", watts_in_use=90, watts_idle=90, watts_asleep=3, watts_off=2.6)
ALERTS = msgspec.convert(
    tomllib.loads("""
default = ["desk", "tickets"]
[find.settle]
disk_full = "0 s"
[severities.important]
delay = "0 s"
[[channels]]
name = "desk"
kind = "file"
path = "desk.log"
[[channels]]
name = "tickets"
kind = "ticket"
preset = "zammad"
url = "https://desk.example"
"""),
    AlertsFile,
)
SERVICE = msgspec.convert(
    tomllib.loads("""
[[levels]]
name = "transitional"
availability_target = 0.99
priorities = [
  { priority = 1, respond = "30 min", fix = "4 h" },
  { priority = 2, respond = "1 h", fix = "8 h" },
  { priority = 3, respond = "2 h", fix = "16 h" },
]
matrix = [
  { impact = "school", alternative = false, priority = 1 },
  { impact = "school", alternative = true, priority = 1 },
  { impact = "room", alternative = false, priority = 2 },
  { impact = "room", alternative = true, priority = 2 },
  { impact = "device", alternative = false, priority = 3 },
  { impact = "device", alternative = true, priority = 3 },
]
"""),
    ServiceFile,
)


@dataclass
class Kept:
    """What a school's rounds leave to each other."""

    school: School
    devices: dict[str, Device]
    clock: ServiceClock
    findings: list[Finding]
    pending: dict[str, Pending] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    told: bytes = b"[]"


def school_of(number: int, count: int, switches: bool) -> Kept:
    """A school and what goes wrong there."""
    term = Term(starts=date(2026, 9, 1), ends=date(2026, 12, 18))
    school = School(name=f"school-{number:03}", title=f"School {number}", terms=[term])
    devices: dict[str, Device] = {}
    for index in range(count):
        room = f"room-{index // BEHIND}"
        switch = f"switch-{index // BEHIND}"
        if switches and switch not in devices:
            devices[switch] = Device(school=school.name, name=switch, room=room, device_class="desktop")
        name = f"pc-{index:05}"
        behind = switch if switches else None
        devices[name] = Device(school=school.name, name=name, room=room, device_class="desktop", behind=behind)
    kind = FindingKind.LOST if switches else FindingKind.DISK_FULL
    found = [
        Finding(kind, Subject(school.name, device.room, device.name), START_MS - 60_000, "95 %")
        for device in devices.values()
        if device.name.startswith("pc-")
    ]
    clock = ServiceClock(school, [LevelSpan(SERVICE.levels[0], date(2020, 1, 1))])
    return Kept(school, devices, clock, found)


def look(kept: Kept, findings: list[Finding], now_ms: int) -> Round:
    """One round of a school; what it leaves is kept."""
    current = Round(
        now_ms=now_ms,
        school=kept.school,
        devices=kept.devices,
        findings=list(findings),
        pending=kept.pending,
        incidents=dict(kept.incidents),
        told=msgspec.json.decode(kept.told, type=list[Told]),
        alerts=ALERTS,
        clock=kept.clock,
        classes={"desktop": DESKTOP},
    )
    run(current)
    for entry in msgspec.json.decode(msgspec.json.encode(current.entries), type=list[Entry]):
        known = kept.incidents.get(entry.uid)
        number = len(kept.incidents) + 1
        kept.incidents[entry.uid] = fold(number, [entry]) if known is None else after(known, entry)
    if current.telling:
        kept.told = msgspec.json.encode([*current.told, *(telling.told for telling in current.telling)])
    return current


def plain(schools: list[Kept]) -> None:
    """The same alerts in a dict, and a line of text for each."""
    known: dict[str, tuple[int, str]] = {}
    for kept in schools:
        for finding in kept.findings:
            key = f"{finding.kind.value} {finding.subject.school}/{finding.subject.device}"
            if key not in known:
                known[key] = (finding.since_ms, f"{finding.subject.device} {finding.value}")


def timed(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    start = process_time()
    work()
    return process_time() - start


def burst(total: int, switches: bool, plain_s: Callable[[list[Kept]], float]) -> dict[str, float]:
    """One burst from the first round to the last message that all is well."""
    schools = [school_of(number, total // SCHOOLS, switches) for number in range(SCHOOLS)]
    base_s = plain_s(schools)
    rows: dict[str, float] = {"plain_ms": base_s * 1000}
    messages = opened = 0
    now_ms = START_MS

    def rounds(name: str, findings: bool, count: int) -> None:
        nonlocal messages, opened, now_ms
        took = []
        for _ in range(count):
            now_ms += TICK_MS
            start = process_time()
            for kept in schools:
                current = look(kept, kept.findings if findings else [], now_ms)
                messages += sum(not telling.within for telling in current.telling)
                opened += sum(entry.action.value == "opened" for entry in current.entries)
            took.append(process_time() - start)
        rows[f"{name}_ms"] = (median(took) if name == "quiet" else sum(took)) * 1000
        rows[f"{name}_ratio"] = rows[f"{name}_ms"] / rows["plain_ms"]

    rounds("burst", True, 4)  # seen, settled, opened, told
    rounds("quiet", True, 10)
    rounds("over", False, 8)  # gone for two minutes, fixed, told
    still = sum(incident.open for kept in schools for incident in kept.incidents.values())
    rows |= {"incidents": opened, "messages": messages, "still_open": still}
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the alerts")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    total = given.alerts // 10 if given.quick else given.alerts
    plain(warm := [school_of(0, 100, switches=False)])

    def plain_s(schools: list[Kept]) -> float:
        return median(timed(lambda: plain(schools)) for _ in range(25))

    del warm
    found = {name: burst(total, name == "switches", plain_s) for name in ("separate", "switches")}
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{total:,} alerts in {SCHOOLS} schools; processor time, and as a multiple of a plain pass over a dict")
    for name, rows in found.items():
        print(
            f"\n{name}: {rows['incidents']:,} incidents, {rows['messages']:,} messages; plain {rows['plain_ms']:.1f} ms"
        )
        if rows["still_open"]:
            print(f"  wrong: {rows['still_open']} are open though all is well")
        for label, key in (
            ("seen, opened and told (4 rounds)", "burst"),
            ("a quiet round", "quiet"),
            ("gone, fixed and told (8 rounds)", "over"),
        ):
            each_us = rows[f"{key}_ms"] * 1000 / total
            print(
                f"  {label:<34} {rows[f'{key}_ms']:>8.0f} ms {rows[f'{key}_ratio']:>7.0f} x {each_us:>7.1f} us an alert"
            )


if __name__ == "__main__":
    main()
