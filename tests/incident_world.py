"""A small school in which things go wrong, told line by line: what happens when, and which incidents are open then.

    09:00:10  lost pc-*                      what happens, several things apart by ";"; nothing: time passes
    09:01     -> link_down ash/sw-ict1 (10)  what is open after the look at that time; (10): so many are hit
    10:00     on pc-* -> nothing

A look is taken every half minute, as the collector's tick is, and at each line.
"""

import re
from fnmatch import fnmatch

from msgspec import structs

from caretaker_contract.messages import Cause, Gauges, Meters, PowerState, Verb
from caretaker_rules.alert_settings import AlertsFile, Channel
from caretaker_rules.alert_steps import run
from caretaker_rules.alert_steps.group import group
from caretaker_rules.alert_steps.inhibit import inhibit
from caretaker_rules.alert_steps.maintain import maintain
from caretaker_rules.alert_steps.settle import settle
from caretaker_rules.alert_steps.track import track
from caretaker_rules.alerting import Pending, Round, Step
from caretaker_rules.calendar import Booked
from caretaker_rules.decisions import Snapshot
from caretaker_rules.finders import View, find
from caretaker_rules.incidents import Action, Entry, Incident, after, fold
from caretaker_rules.model import Device, DeviceClass, Hold, Presence, Room, School, Telemetry, Tracked
from caretaker_rules.service_hours import ServiceClock
from rules_world import CLASSES, london_ms, policy_from

STEPS: tuple[Step, ...] = (group, settle, inhibit, maintain, track)
TICK_MS = 30_000
DAY = "2026-10-06"  # a Tuesday in term
ROOMS = {"ict1": ("pc", 10, "sw-ict1"), "ict2": ("tc", 6, "srv-1"), "lib": ("lb", 6, None)}
SCHOOL = School(name="ash", title="Ashfield", rooms=[Room(name=name, lessons=[]) for name in ROOMS])
ALL_CLASSES = {
    **CLASSES,
    "switch": DeviceClass(name="switch", watts_in_use=20, watts_idle=20, watts_asleep=20, watts_off=0, always_on=True),
}
POLICY = policy_from('mode = "observe"')
ALERTS = AlertsFile(default=["desk"], channels=[Channel(name="desk", kind="mail", to=["desk@test.invalid"])])


def devices() -> dict[str, Device]:
    """Ten machines behind a switch that nobody hears, six behind a server, six of which nobody wrote it down."""
    found = {
        f"{short}-{number:02}": Device(
            school="ash", name=f"{short}-{number:02}", room=room, device_class="desktop", behind=behind
        )
        for room, (short, count, behind) in ROOMS.items()
        for number in range(1, count + 1)
    }
    for name, room, device_class in (
        ("sw-ict1", "ict1", "switch"),
        ("srv-1", "office", "server"),
        ("relay-1", "office", "desktop"),
        ("lap-1", "office", "desktop"),
    ):
        found[name] = Device(school="ash", name=name, room=room, device_class=device_class)
    return found


class Scene:
    """The school, and all that rounds leave to each other."""

    def __init__(
        self, steps: tuple[Step, ...] = STEPS, clock: ServiceClock | None = None, start: str = "08:30"
    ) -> None:
        self.steps, self.clock = steps, clock
        self.now_ms = london_ms(f"{DAY} {start}")
        self.devices = devices()
        self.tracked: dict[str, Tracked] = {}
        self._set([name for name in self.devices if name != "sw-ict1"], PowerState.IN_USE)
        self.lessons: dict[str, Booked] = {}
        self.ready: dict[str, tuple[int, int]] = {}
        self.cannot: dict[str, tuple[int, None]] = {}
        self.overdue: dict[str, int] = {}
        self.crashes: dict[str, tuple[int, int]] = {}
        self.holds: list[Hold] = []
        self.sees = True
        self.seen_since_ms = 1
        self.in_service = True
        self.until_lesson = False
        self.pending: dict[str, Pending] = {}
        self.logs: dict[str, list[Entry]] = {}
        self.incidents: dict[str, Incident] = {}
        self.last: Round | None = None

    def play(self, story: str) -> "Scene":
        """Every line of a story; AssertionError names the line that comes out otherwise."""
        for line in filter(None, (line.split("#")[0].strip() for line in story.splitlines())):
            at, _, rest = line.partition(" ")
            told, arrow, expected = rest.partition("->")
            at_ms = london_ms(at if "T" in at else f"{DAY} {at}")
            while self.now_ms + TICK_MS < at_ms:
                self.now_ms += TICK_MS
                self.look()
            self.now_ms = at_ms
            for event in filter(None, (part.strip() for part in told.split(";"))):
                self.happen(*event.split())
            self.look()
            if arrow:
                wanted = sorted(part.strip() for part in expected.split(",") if part.strip() != "nothing")
                assert self.open() == wanted, f"{line}\n   open: {self.open()}"
        return self

    def open(self) -> list[str]:
        """What is open, as stories have it."""
        found = []
        for incident in self.incidents.values():
            if incident.open:
                count = f" ({len(incident.hits)})" if incident.hits and len(incident.hits) > 1 else ""
                found.append(f"{incident.key}{count}")
        return sorted(found)

    def actions(self, key: str) -> list[str]:
        """What was written about the incidents of a finding, in order."""
        return [entry.action.value for log in self.logs.values() for entry in log if self._key(log) == key]

    def _key(self, log: list[Entry]) -> str:
        return fold(0, log).key

    def one(self, key: str) -> Incident:
        """The one incident of a finding."""
        [found] = [incident for incident in self.incidents.values() if incident.key == key]
        return found

    def write(self, entry: Entry) -> None:
        """Append to the log."""
        log = self.logs.setdefault(entry.uid, [])
        log.append(entry)
        known = self.incidents.get(entry.uid)
        self.incidents[entry.uid] = fold(len(self.logs), log) if known is None else after(known, entry)

    def look(self) -> Round:
        """One round. What it leaves goes through bytes, as in the state file."""
        for name, tracked in self.tracked.items():
            if tracked.presence.state is PowerState.IN_USE:
                heard = structs.replace(tracked.presence, heard_ms=self.now_ms)
                self.tracked[name] = structs.replace(tracked, presence=heard)
        snapshot = Snapshot(
            school=SCHOOL,
            classes=ALL_CLASSES,
            machines=[(device, self.tracked.get(name, Tracked())) for name, device in self.devices.items()],
            asked={},
            holds=[],
            stops=[],
            behind_s=0,
            recent_sends_ms=[],
        )
        view = View(
            snapshot=snapshot,
            policy=POLICY,
            now_ms=self.now_ms,
            seen_since_ms=self.seen_since_ms,
            lessons=self.lessons,
            ready=self.ready,
            cannot_wake=self.cannot,
            overdue=self.overdue,
            crashes=self.crashes,
            user_off_until_lesson=self.until_lesson,
            known=frozenset(key for key, pending in self.pending.items() if pending.present),
        )
        current = Round(
            now_ms=self.now_ms,
            school=SCHOOL,
            devices=self.devices,
            findings=find(view) if self.sees else [],
            holds=self.holds,
            pending=dict(self.pending),
            incidents=dict(self.incidents),
            alerts=ALERTS,
            clock=self.clock,
            machines=snapshot.machines,
            classes=ALL_CLASSES,
            in_service=self.in_service,
            sees=self.sees,
            seen_since_ms=self.seen_since_ms,
        )
        run(current, self.steps)
        self.pending = current.pending
        for entry in current.entries:
            self.write(entry)
        self.last = current
        return current

    def happen(self, what: str, *args: str) -> None:
        """One thing of a story."""
        getattr(self, f"_{what.replace('-', '_')}")(*args)

    def _names(self, *patterns: str) -> list[str]:
        found = [name for name in self.devices if any(fnmatch(name, pattern) for pattern in _spread(patterns))]
        assert found, patterns
        return found

    def _tracked(self, state: PowerState, cause: Cause = Cause.UNKNOWN, disk: float | None = None) -> Tracked:
        abilities: tuple[Verb, ...] = ()
        presence = Presence(
            state=state, since_ms=self.now_ms, cause=cause, epoch="0000abcd", boot=1, seq=5, heard_ms=self.now_ms
        )
        telemetry = Telemetry(Meters(in_use_s=0, idle_s=0, asleep_s=0), Gauges(disk_ratio=disk), 0)
        return Tracked(presence, telemetry, abilities)

    def _set(self, names: list[str], state: PowerState, cause: Cause = Cause.UNKNOWN) -> None:
        for name in names:
            tracked = self._tracked(state, cause)
            self.tracked[name] = structs.replace(tracked, abilities=(Verb.WAKE,) if name == "relay-1" else ())

    def _lost(self, *names: str) -> None:
        self._set(self._names(*names), PowerState.LOST)

    def _lost_for(self, seconds: str, *names: str) -> None:
        """Lost since a while ago, as after the grace of its last will."""
        self._lost(*names)
        for name in self._names(*names):
            presence = structs.replace(self.tracked[name].presence, since_ms=self.now_ms - int(seconds) * 1000)
            self.tracked[name] = structs.replace(self.tracked[name], presence=presence)

    def _on(self, *names: str) -> None:
        self._set(self._names(*names), PowerState.IN_USE)

    def _off(self, *names: str) -> None:
        self._set(self._names(*names), PowerState.OFF, Cause.RULE)

    def _user_off(self, *names: str) -> None:
        self._set(self._names(*names), PowerState.OFF, Cause.USER)

    def _quiet(self, *names: str) -> None:
        """On, by its last word, and not heard since."""
        for name in self._names(*names):
            presence = structs.replace(self.tracked[name].presence, state=PowerState.IDLE)
            self.tracked[name] = structs.replace(self.tracked[name], presence=presence)

    def _disk(self, name: str, ratio: str) -> None:
        self.tracked[name] = self._tracked(PowerState.IN_USE, disk=float(ratio))

    def _lesson(self, room: str, on: str = "", total: str = "") -> None:
        self.lessons[room] = Booked(self.now_ms, self.now_ms + 3_600_000)
        if on:
            self.ready[room] = (int(on), int(total))

    def _lesson_over(self, room: str) -> None:
        del self.lessons[room]
        self.ready.pop(room, None)

    def _cannot(self, *names: str) -> None:
        self.cannot = {**self.cannot, **dict.fromkeys(self._names(*names), (self.now_ms, None))}

    def _woken(self, *names: str) -> None:
        self.cannot = {name: row for name, row in self.cannot.items() if name not in self._names(*names)}

    def _overdue(self, *names: str) -> None:
        self.overdue = dict.fromkeys(self._names(*names), self.now_ms)

    def _crash(self, name: str, times: str) -> None:
        self.crashes = {name: (int(times), self.now_ms)}

    def _maintain(self, place: str, minutes: str) -> None:
        room, device = (place, None) if place in ROOMS else (None, None if place == "ash" else place)
        self.holds.append(
            Hold(
                id=len(self.holds) + 1,
                kind="maintenance",
                school="ash",
                room=room,
                device=device,
                from_ms=self.now_ms,
                until_ms=self.now_ms + int(minutes) * 60_000,
                reason="new fan",
            )
        )

    def _hold(self, place: str, minutes: str) -> None:
        self._maintain(place, minutes)
        self.holds[-1] = structs.replace(self.holds[-1], kind="hold")

    def _blind(self) -> None:
        self.sees = False

    def _reconnected(self) -> None:
        self.seen_since_ms = self.now_ms

    def _sees_again(self) -> None:
        self.sees = True

    def _service(self, word: str) -> None:
        self.in_service = word == "begins"

    def _by_hand(self, action: str, *key: str) -> None:
        """A person does something to the incident of a finding."""
        found = [uid for uid, one in self.incidents.items() if one.key == " ".join(key)]
        assert found, key
        self.write(Entry(uid=found[-1], at_ms=self.now_ms, by="engineer", action=Action(action)))


def _spread(patterns: tuple[str, ...]) -> list[str]:
    """pc-03..05 is pc-03, pc-04, pc-05."""
    found = []
    for pattern in patterns:
        span = re.fullmatch(r"(.*-)(\d\d)\.\.(\d\d)", pattern)
        found += [f"{span[1]}{n:02}" for n in range(int(span[2]), int(span[3]) + 1)] if span else [pattern]
    return found
