"""A school for tests of the telling steps: what happens as a few words, and who is told what, when.

    "tue 09:00 opened 1 P1 ict1 link_down"        number, priority (or -), place, kind (`lost` if not given)
    "tue 09:04 acknowledged 1", likewise fixed, reopened, paused, resumed
    "tue 09:05 priority 1 P2"
    "tue 09:00 silence ict1 until 10:00"          ended by itself
    expected: "tue 09:00:30 opened 1+2 -> desk"   1+2: one message for both; "at 08:00" behind it: sent then

A look is taken every `tick_s` seconds. What one look leaves to the next goes through JSON: the log of incidents, and
what was told. Days are those of the week of Monday 23 November 2026.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from caretaker_rules.alert_settings import AlertsFile
from caretaker_rules.alert_steps import PIPELINE
from caretaker_rules.alert_steps.track import track
from caretaker_rules.alerting import Round, Step, Telling, Told
from caretaker_rules.calendar import local
from caretaker_rules.findings import FindingKind, Subject
from caretaker_rules.incidents import Action, Entry, Incident, Opened, fold
from caretaker_rules.model import Device, Hold
from caretaker_rules.service import Impact, LevelSpan, ServiceFile
from caretaker_rules.service_hours import ServiceClock
from rules_world import LONDON, SCHOOL, london_ms

TELLING: tuple[Step, ...] = PIPELINE[PIPELINE.index(track) + 1 :]
"""The steps that decide who is told; those before them do nothing here, as nothing is found."""
MONDAY = date(2026, 11, 23)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEVICES = {
    name: Device(school="ash", name=name, room=name.partition("-")[0], device_class="desktop")
    for name in ("ict1-01", "ict1-02", "office-01", "ict1-sw")
}
LEVEL = """
[[levels]]
name = "transitional"
availability_target = 0.99
priorities = [
  { priority = 1, respond = "30 min", fix = "4 h" },
  { priority = 2, respond = "1 h", fix = "8 h" },
  { priority = 3, respond = "2 h", fix = "16 h" },
]
matrix = []
"""
CLOCK = ServiceClock(
    SCHOOL, [LevelSpan(msgspec.convert(tomllib.loads(LEVEL), ServiceFile).levels[0], date(2020, 1, 1))]
)


def settings_of(text: str) -> AlertsFile:
    """Alert settings from their text, as the collector converts them."""
    return msgspec.convert(tomllib.loads(text), AlertsFile)


def at(words: str) -> int:
    """UTC ms of "tue 09:00" or "tue 09:00:30", on the school's clock."""
    day, clock = words.split(" ")
    return london_ms(f"{MONDAY + timedelta(days=DAYS.index(day))} {clock}")


def said(at_ms: int) -> str:
    """The reverse of `at`."""
    moment = local(at_ms, LONDON)
    return f"{DAYS[moment.weekday()]} {moment:%H:%M}" + (f":{moment:%S}" if moment.second else "")


class World:
    """The log of incidents and what was told, as the state file would keep them."""

    def __init__(
        self, alerts: AlertsFile, steps: Sequence[Step] = PIPELINE, keep: Callable[[bytes], bytes] = lambda kept: kept
    ) -> None:
        self.alerts = alerts
        self.steps = steps
        self.log: bytes = b"{}"
        self.told: bytes = b"[]"
        self.holds: list[Hold] = []
        self.messages: list[Telling] = []
        self.keep = keep  # how state is kept from one look to the next

    def happens(self, words: str) -> None:
        """One event in words; see the top of this file."""
        day, clock, action, rest = words.split(" ", 3)
        at_ms = at(f"{day} {clock}")
        if action == "silence":
            place, until = rest.split(" until ")
            self._silence(at_ms, place, at(until if " " in until else f"{day} {until}"))
            return
        number, *more = rest.split(" ")
        uid = f"u{number}"
        if action == "opened":
            entry = _opened(uid, at_ms, *more)
        else:
            priority = int(more[0][1:]) if action == "priority" else None
            by = "rules" if action in ("fixed", "reopened") else "ann"
            when_ms = at_ms if action in ("fixed", "reopened") else 0
            entry = Entry(uid=uid, at_ms=at_ms, by=by, action=Action(action), priority=priority, when_ms=when_ms)
        log = msgspec.json.decode(self.log, type=dict[str, list[Entry]])
        log.setdefault(uid, []).append(entry)
        self.log = msgspec.json.encode(log)

    def _silence(self, from_ms: int, place: str, until_ms: int) -> None:
        device = place if place in DEVICES else None
        room = DEVICES[place].room if device else None if place == "ash" else place
        self.holds.append(
            Hold(
                id=len(self.holds) + 1,
                kind="silence",
                school="ash",
                room=room,
                device=device,
                from_ms=from_ms,
                until_ms=until_ms,
                reason="works",
            )
        )

    def look(self, now_ms: int) -> list[Telling]:
        """One look at the school; returns the messages that it made, and keeps what was told."""
        made = self.try_look(now_ms)
        told = msgspec.json.decode(self.told, type=list[Told])
        known = {telling.id for telling in self.messages}
        fresh = [telling for telling in made if telling.id not in known]
        self.messages += fresh
        self.told = self.keep(msgspec.json.encode([*told, *(telling.told for telling in fresh)]))
        self.log = self.keep(self.log)
        return fresh

    def try_look(self, now_ms: int) -> list[Telling]:
        """A look whose messages are not kept, as if it crashed before its commit."""
        look = Round(
            now_ms=now_ms,
            school=SCHOOL,
            devices=DEVICES,
            findings=[],
            holds=self.holds,
            incidents=self.incidents(),
            told=msgspec.json.decode(self.told, type=list[Told]),
            alerts=self.alerts,
            clock=CLOCK,
            sees=False,
        )
        for step in self.steps:
            step(look)
        return look.telling

    def incidents(self) -> dict[str, Incident]:
        """All of them, by uid."""
        log = msgspec.json.decode(self.log, type=dict[str, list[Entry]])
        return {uid: fold(int(uid[1:]), entries) for uid, entries in log.items()}


def _opened(uid: str, at_ms: int, priority: str, place: str, kind: str = "lost") -> Entry:
    device = place if place in DEVICES else ""
    subject = Subject("ash", DEVICES[place].room if device else "" if place == "ash" else place, device)
    if device:
        subject = Subject("ash", "", device)
    return Entry(
        uid=uid,
        at_ms=at_ms,
        by="rules",
        action=Action.OPENED,
        opened=Opened(
            kind=FindingKind(kind),
            subject=subject,
            title=f"{subject} is not well",
            since_ms=at_ms - 60_000,
            priority=None if priority == "-" else int(priority[1:]),
            impact=Impact.ROOM,
        ),
    )


class Case(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A case as written."""

    name: str
    events: list[str]
    expect: list[str]
    until: str = ""  # "": an hour after the last event
    tick_s: int = 30


class CaseFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of cases with the alert settings that they run with."""

    settings: str
    cases: list[Case]


def load_cases(folder: Path) -> list[tuple[str, AlertsFile, Case]]:
    """All cases of all files: name of the file, settings, case."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        read = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), CaseFile)
        found += [(path.stem, settings_of(read.settings), case) for case in read.cases]
    return found


def run(case: Case, world: World) -> list[str]:
    """Everything that was told, as `expect` says it."""
    events = sorted((at(" ".join(words.split(" ")[:2])), number, words) for number, words in enumerate(case.events))
    end_ms = at(case.until) if case.until else events[-1][0] + 3_600_000
    for now_ms in range(events[0][0], end_ms + 1, case.tick_s * 1000):
        while events and events[0][0] <= now_ms:
            world.happens(events.pop(0)[2])
        world.look(now_ms)
    return lines(world.messages)


def lines(messages: Iterable[Telling]) -> list[str]:
    """Messages as `expect` says them, those of a group in one line."""
    messages = list(messages)
    found = []
    for telling in messages:
        if telling.within:
            continue
        group = [telling, *(each for each in messages if each.within == telling.id)]
        whats = "+".join(dict.fromkeys(each.what for each in group))
        numbers = "+".join(sorted((each.uid[1:] for each in group), key=int))
        later = f" at {said(telling.due_ms)}" if telling.due_ms != telling.made_ms else ""
        found.append(f"{said(telling.made_ms)} {whats} {numbers} -> {telling.channel}{later}")
    return found


def start_of(words: str) -> datetime:
    """Local time of an event or message."""
    match = re.match(r"(\w{3} \d\d:\d\d(:\d\d)?)", words)
    assert match
    return local(at(match[1]), LONDON)
