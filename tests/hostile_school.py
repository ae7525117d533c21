"""A school that lives through hostile hours, and an oracle that watches what the rules do to it (I4, I5).

People come and go, also between a decision and its action; machines crash, are put to sleep, reboot; links break and
come back, of one machine or of nearly all at once; clocks are wrong and are set right; reports are late, lost, repeated
and overtake each other; the collector is away for a while and gets everything at once, some of it twice; bookings,
holds, exam freezes, stop switches and broken calendars come and go. The core sees only what arrives. What it sends is
checked against an oracle of its own, which knows what had arrived and which reckons lessons and hours by itself, and
against the machines' truth.

Time goes from event to event, so a machine that is off costs nearly nothing. The rules are asked at random moments, as
often as every two seconds, and at every edge: the last millisecond before it, the first of it, and the one after.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import structs

from caretaker_contract.messages import (
    Cause,
    Gauges,
    Hello,
    Meters,
    PowerState,
    PresenceNote,
    PresenceWord,
    Report,
    Step,
    Verb,
)
from caretaker_contract.topics import Address
from caretaker_rules.decisions import Decision, Snapshot
from caretaker_rules.energy import decide
from caretaker_rules.limits import share
from caretaker_rules.model import Asked, Device, Hold, Room, Stop, Term, Tracked
from caretaker_rules.policy import Policy
from caretaker_rules.presence import PresenceSettings
from caretaker_rules.timetable import Timetable
from caretaker_rules.tracking import tick, track
from rules_world import ABILITIES, CLASSES, LONDON, SCHOOL, london_ms, policy_from

Decide = Callable[[Snapshot, Policy, int], list[Decision]]
Spans = tuple[tuple[frozenset[int], int, int], ...]

WEEKDAYS, WEEKEND = frozenset(range(5)), frozenset({5, 6})
EVENING: Spans = ((WEEKDAYS, 16 * 60 + 30, 31 * 60 + 30), (WEEKEND, 0, 24 * 60))
_RULE = """mode = "live"
[limits]
per_minute = {per_minute}
room_percent = {room}
school_percent = {school}
cycles_per_day = {cycles}
[[rules]]
name = "evening"
select = {{ everything = true }}
hours = {hours}
idle_for = "{idle}"
warn_for = "{warn}"
do = "{do}"
[[wake]]
name = "wanted"
select = {{ tags = ["wanted"] }}
at = "08:30"
[[patch]]
name = "always"
select = {{ tags = ["patched"] }}
hours = ["mon-sun 00:00-24:00"]
"""
_EVENING = '["mon-fri 16:30-07:30", "sat-sun 00:00-24:00"]'
RULES: tuple[tuple[Policy, Spans], ...] = tuple(
    (policy_from(_RULE.format(**words)), spans)
    for words, spans in (
        (
            {
                "per_minute": 2,
                "room": 40,
                "school": 30,
                "cycles": 6,
                "hours": _EVENING,
                "idle": "10 min",
                "warn": "2 min",
                "do": "shut_down",
            },
            EVENING,
        ),
        (
            {
                "per_minute": 12,
                "room": 50,
                "school": 25,
                "cycles": 2,
                "hours": _EVENING,
                "idle": "30 min",
                "warn": "30 s",
                "do": "sleep",
            },
            EVENING,
        ),
        (
            {
                "per_minute": 30,
                "room": 100,
                "school": 100,
                "cycles": 1,
                "hours": _EVENING,
                "idle": "5 min",
                "warn": "10 min",
                "do": "shut_down",
            },
            EVENING,
        ),
        (
            {
                "per_minute": 5,
                "room": 50,
                "school": 50,
                "cycles": 3,
                "hours": '["mon-sun 00:10-01:50", "mon-fri 12:10-13:05", "mon-fri 15:00-23:30"]',
                "idle": "8 min",
                "warn": "1 min",
                "do": "sleep",
            },
            ((frozenset(range(7)), 10, 110), (WEEKDAYS, 730, 785), (WEEKDAYS, 900, 1410)),
        ),
    )
)
TERMS = [*SCHOOL.terms, Term(starts=date(2027, 1, 5), ends=date(2027, 4, 2))]
PLACE = structs.replace(SCHOOL, terms=TERMS, rooms=[*SCHOOL.rooms, Room(name="lab", calendar="lab.ics")])
LESSONS = ((WEEKDAYS, 8 * 60 + 50, 15 * 60 + 10), (frozenset({1}), 18 * 60, 19 * 60))
"""Of ict1, as SCHOOL has them."""
STARTS = (
    "2026-10-06 11:30",  # a rule at lunch, a lesson at 18:00
    "2026-10-06 16:00",  # before the rule's hours
    "2026-10-06 17:00",
    "2026-10-07 05:30",  # towards the end of the rule's hours and the first lesson
    "2026-10-24 22:00",  # the clocks go back (half term)
    "2026-11-20 22:00",  # over midnight into a Saturday
    "2026-12-18 21:30",  # the last day of a term
    "2027-03-27 22:00",  # the clocks go forward (in term)
    "2027-04-02 20:00",  # the last day that is written down
)
SETTINGS = PresenceSettings()
IN_USE, IDLE, OFF, ASLEEP = PowerState.IN_USE, PowerState.IDLE, PowerState.OFF, PowerState.ASLEEP
ON = (IN_USE, IDLE)
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
IDLE_AFTER_MS = 300_000
LIFE_MS = 90_000
_RANK = {None: 0, Step.RECEIVED: 1, Step.WARNED: 2, Step.REFUSED: 3, Step.VETOED: 3, Step.DONE: 3}


ROLES = {
    1: "cannot_tell",  # when its last input was
    2: "exempt",
    3: "no_mac",  # and a wake rule counts on it
    4: "in_vain",  # it did not answer a wake
    6: "patched",  # in a patch window that never ends
    7: "server",
    8: "unable",
    9: "kiosk",  # of a class that nobody wrote down
    10: "contradictory",
    11: "inhibited",
}
"""Machines, by number within each two dozen, that no rule may ever switch. The others are all alike."""


class Machine:
    """What a machine really does, and what it says about it."""

    def __init__(self, number: int, room: str, rng: random.Random, now_ms: int) -> None:
        self.role = role = ROLES.get(number % 24, "")
        self.device = Device(
            school="ash",
            name=f"pc-{number:03}",
            room=room,
            device_class=role if role in ("server", "kiosk") else "desktop",
            mac=None if role == "no_mac" else f"02:00:00:00:00:{number:02x}",
            tags={"exempt": ("exempt",), "patched": ("patched",), "no_mac": ("wanted",), "in_vain": ("wanted",)}.get(
                role, ()
            ),
        )
        self.address = self.device.address
        self.clock_ms, self.clock = rng.choice([0, 0, 0, 0, 0, 900, -900, 100_000, -100_000, 400_000, -400_000]), 0
        self.epoch = f"{number:08x}"
        self.boot, self.seq, self.prev, self.link = 1, 0, 0, 0
        self.state, self.busy_until_ms = IN_USE, now_ms - rng.randrange(0, 400_000)
        self.beat_ms = self.idle_due_ms = 0
        self.linked = False
        self.outbox: list[tuple[Report, int, int]] = []  # report, when it was made, by which setting of the clock
        self.stuck_until_ms = 0  # its reports come no further until then
        self.on_since_ms = now_ms
        self.countdown = 0  # the ask that counts down; 0: none does

    def last_input_ms(self, now_ms: int) -> int:
        return min(now_ms, self.busy_until_ms)


class HostileSchool:
    """The school, the network between, and a collector made of nothing but the core and a list of what it asked."""

    def __init__(self, seed: int, machines: int = 0, hours: float = 0, rules: Decide = decide) -> None:
        self.seed, self.rules = seed, rules
        self.rng = rng = random.Random(seed)
        self.policy, self.spans = rng.choice(RULES)
        self.idle_for_ms, self.warn_ms = self.policy.rules[0].idle_for_s * SECOND, self.policy.rules[0].warn_s * SECOND
        self.start_ms = self.now_ms = london_ms(rng.choice(STARTS)) + rng.randrange(HOUR)
        count = machines or rng.choice([24, 48, 72, 120])
        self.end_ms = self.now_ms + round((hours or rng.choice([2.5, 6, 18])) * HOUR)
        self.queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.tie = 0
        pattern = ["ict1"] * 5 + ["office"] * 4 + ["lab"] * 2 + ["hall"]
        self.machines = [Machine(number, pattern[(number * 7) % 12], rng, self.now_ms) for number in range(count)]
        self.by_address = {machine.address: machine for machine in self.machines}
        self.room_sizes = Counter(machine.device.room for machine in self.machines)
        self.tracked = {address: Tracked() for address in self.by_address}
        self.newest: dict[Address, tuple[Report, int, int, bool]] = {}  # report, skew, when made, clock set since
        self.asked: dict[Address, Asked] = {}
        self.linked_ms: dict[Address, tuple[int, int, int]] = {}  # newest link: boot, number, when it was heard of
        self.sends: list[tuple[int, str]] = []
        self.spells: dict[Address, list[int]] = {}  # when the idle times began in which a machine was asked
        self.cycles: Counter[Address] = Counter()
        self.today: date | None = None
        self.away = False  # the collector
        self.kept_by_broker: list[tuple[Address, Any, int, bool]] = []
        self.last_heard: list[tuple[Address, Any, int, bool]] = []
        self.behind_s = 0.0
        self.seen_since_ms = 0
        self.holds: list[Hold] = []
        self.known_holds: list[Hold] = []
        self.stops: list[Stop] = []
        self.woken_in_vain = {
            machine.address: self.now_ms - rng.randrange(9 * 86_400_000)
            for machine in self.machines
            if machine.role == "in_vain"
        }
        self.acted = self.switched = self.ticks = self.on_ms = 0
        self.kinds: Counter[Any] = Counter()
        self._write_calendar()
        self._set_off()

    @property
    def machine_hours(self) -> float:
        return len(self.machines) * (self.end_ms - self.start_ms) / HOUR

    def live(self) -> "HostileSchool":
        """Until the end. AssertionError names the seed that does it again."""
        queue = self.queue
        try:
            while queue and queue[0][0] <= self.end_ms:
                self.now_ms, _, action, words = heapq.heappop(queue)
                action(*words)
        except AssertionError as error:
            moment = datetime.fromtimestamp(self.now_ms / 1000, LONDON)
            raise AssertionError(f"seed {self.seed}, {moment:%a %d %b %Y %H:%M:%S}: {error}") from error
        return self

    def at(self, when_ms: float, action: Callable[..., None], *words: Any) -> None:
        self.tie += 1
        heapq.heappush(self.queue, (max(round(when_ms), self.now_ms), self.tie, action, words))

    def after(self, mean_ms: float, action: Callable[..., None], *words: Any) -> None:
        self.at(self.now_ms + self.rng.expovariate(1 / mean_ms), action, *words)

    # -- what is planned, and what comes up ----------------------------------------------------------------------------

    def _write_calendar(self) -> None:
        """Lessons by wall clock and bookings; kept as plain spans of UTC ms for the oracle."""
        rng = self.rng
        first, last = (datetime.fromtimestamp(ms / 1000, LONDON).date() for ms in (self.start_ms, self.end_ms))
        self.booked: dict[str, list[tuple[int, int]]] = {"ict1": [], "office": [], "lab": []}
        self.edges: list[int] = []
        day = first - timedelta(days=1)
        while day <= last + timedelta(days=1):
            midnight = datetime(day.year, day.month, day.day, tzinfo=LONDON)

            def clock(minute: int, midnight: datetime = midnight) -> int:
                days, rest = divmod(minute, 1440)
                wall = (midnight + timedelta(days=days)).replace(hour=rest // 60, minute=rest % 60)
                return round(wall.timestamp() * 1000)

            if any(term.starts <= day <= term.ends for term in TERMS) and day not in PLACE.closed_days:
                self.booked["ict1"] += [(clock(a), clock(b)) for days, a, b in LESSONS if day.weekday() in days]
            for days, begin, end in self.spans:
                if day.weekday() in days:
                    self.edges += [clock(begin), clock(end)]
            day += timedelta(days=1)
        at_ms = self.start_ms - HOUR
        while at_ms < self.end_ms + 12 * HOUR:
            at_ms += rng.randrange(20 * MINUTE, 5 * HOUR)
            until_ms = at_ms + rng.randrange(10 * MINUTE, 2 * HOUR)
            self.booked["lab"].append((at_ms, until_ms))
            at_ms = until_ms + 1
        self.timetable = Timetable(
            first_day=first - timedelta(days=2),
            last_day=last + timedelta(days=70),
            bookings={"lab": tuple(self.booked["lab"])},
        )
        for spans in self.booked.values():
            for begin_ms, end_ms in spans:
                self.edges += [begin_ms, end_ms, begin_ms - self.policy.booked_within_s * SECOND]
                self.edges.append(begin_ms - self.warn_ms - LIFE_MS)

    def _set_off(self) -> None:
        rng, now_ms = self.rng, self.now_ms
        for machine in self.machines:
            self.after(2 * MINUTE, self.connect, machine, machine.link)
            self._watch_idle(machine)
            self._on(machine)
            self.at(now_ms, self.visit, machine)
            self.after(40 * MINUTE, self.mishap, machine)
        for number in range(rng.randrange(4)):
            from_ms = rng.randrange(now_ms, self.end_ms)
            self.at(rng.randrange(now_ms - HOUR, from_ms), self.hold, number, from_ms)
        for _ in range(rng.randrange(3)):
            self.at(rng.randrange(now_ms, self.end_ms), self.stop)
        for _ in range(rng.randrange(2)):
            self.at(rng.randrange(now_ms, self.end_ms), self.break_calendar)
        for _ in range(rng.randrange(3)):
            self.at(rng.randrange(now_ms, self.end_ms), self.leave)
        for _ in range(rng.randrange(1, 5)):
            self.at(rng.randrange(now_ms, self.end_ms), self.cut)
        for edge_ms in self.edges:
            if now_ms < edge_ms < self.end_ms:
                self._look_around(edge_ms)
        self.at(now_ms, self.look, True)

    def _look_around(self, edge_ms: int) -> None:
        for offset_ms in (-1, 0, 1, self.rng.randrange(-5000, 5000)):
            self.at(edge_ms + offset_ms, self.look, False)

    def hold(self, number: int, from_ms: int) -> None:
        rng = self.rng
        made = Hold(
            id=number,
            kind=rng.choice(["hold", "freeze", "maintenance"]),
            school="ash",
            room=rng.choice(["ict1", "office", "lab", None]),
            device=None,
            from_ms=from_ms,
            until_ms=from_ms + rng.randrange(MINUTE, 25 * MINUTE),
            reason="",
        )
        self.holds.append(made)
        for edge_ms in (from_ms, from_ms - self.warn_ms - LIFE_MS, made.until_ms):
            self._look_around(edge_ms)

    def stop(self) -> None:
        room = self.rng.choice([None, "ict1", "office"])
        made = Stop(school=self.rng.choice([None, "ash"]), room=room, since_ms=self.now_ms, reason="")
        self.stops = [*self.stops, made]
        self.after(10 * MINUTE, self.resume, made)

    def resume(self, stop: Stop) -> None:
        self.stops = [each for each in self.stops if each is not stop]
        self._look_around(self.now_ms)

    def break_calendar(self) -> None:
        self.timetable = structs.replace(self.timetable, wrong_rooms={"lab": "lab.ics cannot be read"})
        self.after(20 * MINUTE, self.mend_calendar)

    def mend_calendar(self) -> None:
        self.timetable = structs.replace(self.timetable, wrong_rooms={})

    def leave(self) -> None:
        """The collector is restarted, or dies: what comes meanwhile waits at the broker, and some comes twice."""
        if not self.away:
            self.away = True
            self.at(self.now_ms + self.rng.choice([5 * SECOND, MINUTE, 20 * MINUTE]), self.come_back)

    def come_back(self) -> None:
        self.away, self.seen_since_ms = False, self.now_ms
        again, self.last_heard = self.last_heard[-self.rng.randrange(1, 30) :], []
        waiting, self.kept_by_broker = self.kept_by_broker, []
        self.behind_s = self.rng.choice([float("inf"), 40.0, 31.0])
        self.look(False)
        for words in (*again, *waiting):
            self.deliver(*words)
        self.behind_s = self.rng.choice([0.0, 29.0])
        self.look(False)

    def cut(self) -> None:
        """A switch of the school dies: most of its machines lose their link."""
        ratio = self.rng.choice([0.6, 0.75, 0.9])
        for machine in self.machines:
            if machine.linked and self.rng.random() < ratio:
                self.lose_link(machine, 20 * MINUTE)

    # -- people and machines -------------------------------------------------------------------------------------------

    def visit(self, machine: Machine) -> None:
        """Somebody uses it, now and then; fewer at night."""
        hour = self.now_ms // HOUR % 24
        mean_ms = 6 * HOUR if hour >= 21 or hour < 6 else HOUR
        if self.now_ms > self.start_ms:
            self.use(machine)
        self.after(mean_ms, self.visit, machine)

    def use(self, machine: Machine) -> None:
        rng, now_ms = self.rng, self.now_ms
        luck = rng.random()
        length_ms = 0 if luck < 0.45 else rng.randrange(400_000) if luck < 0.8 else rng.randrange(90 * MINUTE)
        if machine.state is OFF:
            self.boot(machine, 0)
        elif machine.state is ASLEEP:
            self.become(machine, IN_USE, Cause.INPUT)
            self._on(machine)
        machine.busy_until_ms = max(machine.last_input_ms(now_ms), now_ms) + length_ms
        if machine.state is IDLE:
            self.become(machine, IN_USE, Cause.INPUT)
        self._watch_idle(machine)
        if machine.countdown:
            self.answer(machine.address, machine.countdown, Step.VETOED)
            machine.countdown = 0
        if rng.random() < 0.2:
            self.at(machine.busy_until_ms + rng.randrange(MINUTE), self.go, machine, machine.busy_until_ms)

    def go(self, machine: Machine, busy_until_ms: int) -> None:
        """Its user shuts it down on leaving, unless somebody has come since."""
        if machine.state in ON and machine.busy_until_ms == busy_until_ms:
            self._off(machine, OFF, Cause.USER)

    def _watch_idle(self, machine: Machine) -> None:
        machine.idle_due_ms = machine.busy_until_ms + IDLE_AFTER_MS
        self.at(machine.idle_due_ms, self.fall_idle, machine, machine.idle_due_ms)

    def fall_idle(self, machine: Machine, due_ms: int) -> None:
        if machine.state is IN_USE and machine.idle_due_ms == due_ms:
            self.become(machine, IDLE, Cause.NO_INPUT)

    def _on(self, machine: Machine) -> None:
        machine.on_since_ms = self.now_ms
        self.at(self.now_ms + 300_000, self.beat, machine, machine.boot)

    def beat(self, machine: Machine, boot: int) -> None:
        if machine.boot != boot or machine.state not in ON:
            return
        if self.now_ms - machine.beat_ms >= 300_000:
            self.say(machine, machine.state, Cause.HEARTBEAT)
        self.at(machine.beat_ms + 300_000, self.beat, machine, boot)

    def boot(self, machine: Machine, away_ms: int) -> None:
        """It starts; the link comes a little later."""
        machine.boot, machine.prev, machine.seq = machine.boot + 1, machine.seq, 0
        machine.linked = False
        machine.busy_until_ms = self.now_ms
        self.become(machine, IN_USE, Cause.BOOT)
        self._on(machine)
        self._watch_idle(machine)
        self.after(40 * SECOND, self.connect, machine, machine.link)

    def _off(self, machine: Machine, state: PowerState, cause: Cause | None) -> None:
        """Off or asleep; with `cause` None it cannot say so."""
        self.on_ms += self.now_ms - machine.on_since_ms
        machine.countdown = 0
        if cause is None:
            machine.state = OFF
            self.post(machine, self.note(machine, PresenceWord.LOST), late_ms=self.rng.choice([50, 450_000]))
            machine.linked = False
            return
        self.become(machine, state, cause)
        if state is OFF and machine.linked:
            self.post(machine, self.note(machine, PresenceWord.LEAVING, cause))
            machine.linked = False

    def become(self, machine: Machine, state: PowerState, cause: Cause) -> None:
        was, machine.state = machine.state, state
        self.say(machine, was, cause)

    def mishap(self, machine: Machine) -> None:
        rng = self.rng
        self.after(50 * MINUTE, self.mishap, machine)
        luck = rng.random()
        if luck < 0.06:
            machine.clock_ms = rng.choice([0, 0, 100_000, -100_000, 400_000, -900_000])
            machine.clock += 1
        elif machine.state not in ON:
            return
        elif luck < 0.13:
            self._off(machine, OFF, None)  # somebody pulls the plug
        elif luck < 0.2:  # it restarts by itself
            self._off(machine, OFF, rng.choice([None, Cause.RESTART]))
            self.after(MINUTE, self.restart, machine, machine.boot)
        elif luck < 0.3:
            machine.stuck_until_ms = self.now_ms + 25 * MINUTE
        elif machine.linked:
            self.lose_link(machine, 100 * SECOND)

    def lose_link(self, machine: Machine, mean_ms: float) -> None:
        machine.linked = False
        self.post(machine, self.note(machine, PresenceWord.LOST), late_ms=self.rng.choice([50, 450_000]))
        self.after(mean_ms, self.connect, machine, machine.link)

    def restart(self, machine: Machine, boot: int) -> None:
        if machine.state is OFF and machine.boot == boot:
            self.boot(machine, 0)

    def connect(self, machine: Machine, link: int) -> None:
        if machine.link != link or machine.linked or machine.state not in ON:
            return
        machine.linked = True
        machine.link += 1
        self.post(machine, self.note(machine, PresenceWord.ONLINE))
        hello = Hello(
            device_class=machine.device.device_class,
            room=machine.device.room,
            epoch=machine.epoch,
            boot=machine.boot,
            seq=machine.seq,
            abilities=[Verb.REPLAY] if machine.role == "unable" else list(ABILITIES),
            at_ms=self.now_ms,
        )
        self.post(machine, hello)
        for entry in machine.outbox:
            self.send(machine, *entry)
        machine.outbox.clear()

    def say(self, machine: Machine, was: PowerState, cause: Cause) -> None:
        machine.seq += 1
        at_ms = self.now_ms + machine.clock_ms
        report = Report(
            epoch=machine.epoch,
            boot=machine.boot,
            seq=machine.seq,
            prev=machine.prev,
            at_ms=at_ms,
            sent_ms=at_ms,
            state=machine.state,
            was=was,
            cause=cause,
            meters=Meters(in_use_s=0, idle_s=0, asleep_s=0),
            gauges=self.gauges(machine),
        )
        machine.beat_ms = self.now_ms
        if machine.linked:
            self.send(machine, report, self.now_ms, machine.clock)
        else:
            machine.outbox.append((report, self.now_ms, machine.clock))

    def gauges(self, machine: Machine) -> Gauges:
        idle_s = (self.now_ms - machine.last_input_ms(self.now_ms)) // SECOND
        if machine.role == "cannot_tell":
            return Gauges(inhibited=False)
        if machine.role == "contradictory":
            return Gauges(idle_s=idle_s + 50_000, uptime_s=100, inhibited=False)
        return Gauges(idle_s=idle_s, inhibited=machine.role == "inhibited")

    # -- the network ---------------------------------------------------------------------------------------------------

    def note(self, machine: Machine, word: PresenceWord, cause: Cause = Cause.UNKNOWN) -> PresenceNote:
        return PresenceNote(
            presence=word,
            cause=cause,
            epoch=machine.epoch,
            boot=machine.boot,
            link=machine.link,
            at_ms=self.now_ms + machine.clock_ms,
        )

    def send(self, machine: Machine, report: Report, made_ms: int, clock: int) -> None:
        """Once as a rule; sometimes late, twice, or only when it is asked for again."""
        rng, luck = self.rng, self.rng.random()
        sent = structs.replace(report, sent_ms=self.now_ms + machine.clock_ms)
        stepped = clock != machine.clock
        if self.now_ms < machine.stuck_until_ms:
            self.post(machine, sent, made_ms, stepped, machine.stuck_until_ms - self.now_ms + rng.randrange(1000))
        elif luck > 0.05:
            late_ms = rng.randrange(600_000) if luck < 0.1 else -1
            self.post(machine, sent, made_ms, stepped, late_ms)
        elif luck > 0.02:
            self.at(self.now_ms + rng.randrange(30 * MINUTE), self.send_again, machine, report, made_ms, clock)
        if luck > 0.9:
            self.post(machine, sent, made_ms, stepped, rng.randrange(900_000))

    def send_again(self, machine: Machine, report: Report, made_ms: int, clock: int) -> None:
        if machine.linked:
            self.send(machine, report, made_ms, clock)

    def post(self, machine: Machine, message: Any, made_ms: int = 0, stepped: bool = False, late_ms: int = -1) -> None:
        delay_ms = self.rng.choice([20, 50, 400, 3000]) if late_ms < 0 else late_ms
        self.at(self.now_ms + delay_ms, self.deliver, machine.address, message, made_ms, stepped)

    def deliver(self, address: Address, message: Any, made_ms: int, stepped: bool) -> None:
        if self.away:
            self.kept_by_broker.append((address, message, made_ms, stepped))
            return
        now_ms = self.now_ms
        self.last_heard.append((address, message, made_ms, stepped))
        if len(self.last_heard) > 60:
            del self.last_heard[:30]
        self.tracked[address], _ = track(self.tracked[address], message, now_ms, SETTINGS)
        if type(message) is PresenceNote:
            link = message.boot, message.link
            if link > self.linked_ms.get(address, (0, 0, 0))[:2]:
                self.linked_ms[address] = *link, now_ms
        elif type(message) is Report:
            known = self.newest.get(address)
            skew_ms = now_ms - message.sent_ms
            if known is None or message.key > known[0].key:
                self.newest[address] = message, skew_ms, made_ms, stepped
            elif message.key == known[0].key:
                self.newest[address] = message, min(skew_ms, known[1]), made_ms, stepped or known[3]

    # -- the collector -------------------------------------------------------------------------------------------------

    def look(self, goes_on: bool) -> None:
        """The rules' tick, at once or again and again."""
        if goes_on:
            local = datetime.fromtimestamp(self.now_ms / 1000, LONDON)
            seconds = (2, 10, 30, 60, 90, 120) if self.within_hours(local) else (30, 60, 300)
            self.at(self.now_ms + self.rng.choice(seconds) * SECOND + self.rng.randrange(SECOND), self.look, True)
        if self.away:
            return
        now_ms = self.now_ms
        self.ticks += 1
        today = datetime.fromtimestamp(now_ms / 1000, LONDON).date()
        if today != self.today:
            self.today = today
            self.cycles.clear()
        tracked = self.tracked
        for address, known in tracked.items():
            now_known, _ = tick(known, now_ms, SETTINGS, self.seen_since_ms)
            if now_known is not known:
                tracked[address] = now_known
        self.known_holds = list(self.holds)
        while self.sends and now_ms - self.sends[0][0] > HOUR:
            del self.sends[0]
        world = Snapshot(
            school=PLACE,
            classes=CLASSES,
            machines=[(machine.device, tracked[machine.address]) for machine in self.machines],
            asked=self.asked,
            holds=self.known_holds,
            stops=self.stops,
            behind_s=self.behind_s,
            recent_sends_ms=self.sends,
            timetable=self.timetable,
            cycles=self.cycles,
            woken_in_vain=self.woken_in_vain,
        )
        decisions = self.rules(world, self.policy, now_ms)
        assert len(decisions) == len(self.machines)
        acting = []
        for decision in decisions:
            assert decision.reasons
            if decision.acts:
                acting.append(decision)
            for reason in decision.reasons:
                self.kinds[reason.why] += 1
        for decision in acting:
            self.check_decision(decision)
            self.ask(decision)
        if acting:
            self.check_limits()

    def ask(self, decision: Decision) -> None:
        rng, now_ms, address = self.rng, self.now_ms, decision.device
        machine = self.by_address[address]
        self.asked[address] = Asked(verb=Verb(decision.verdict.value), asked_ms=now_ms, expires_ms=now_ms + LIFE_MS)
        self.sends.append((now_ms, machine.device.room))
        self.acted += 1
        if rng.random() < 0.85:
            arrives_ms = now_ms + rng.choice([50, 50, 50, 20_000, 89_999, 90_000, 100_000])
            self.at(arrives_ms, self.obey, machine, now_ms, decision.idle_at_least_s)
        if rng.random() < 0.3:  # somebody comes just now
            self.at(now_ms + rng.randrange(self.warn_ms + LIFE_MS), self.use, machine)

    def obey(self, machine: Machine, asked_ms: int, idle_s: int) -> None:
        """The machine looks again and counts down."""
        if machine.state not in ON or not machine.linked or self.now_ms >= asked_ms + LIFE_MS:
            return
        if self.now_ms - machine.last_input_ms(self.now_ms) < idle_s * SECOND:
            self.answer(machine.address, asked_ms, Step.REFUSED)
            return
        self.answer(machine.address, asked_ms, Step.WARNED)
        machine.countdown = asked_ms
        self.at(self.now_ms + self.warn_ms, self.carry_out, machine, asked_ms)

    def carry_out(self, machine: Machine, asked_ms: int) -> None:
        if machine.countdown != asked_ms:
            return
        self.check_switch_off(machine)
        self.answer(machine.address, asked_ms, Step.DONE)
        self._off(machine, ASLEEP if self.asked[machine.address].verb is Verb.SLEEP else OFF, Cause.RULE)
        self.switched += 1

    def answer(self, address: Address, asked_ms: int, step: Step) -> None:
        if self.rng.random() > 0.1:
            delay_ms = self.rng.choice([50, 50, 50, 3000, 120_000])
            self.at(self.now_ms + delay_ms, self.hear, address, asked_ms, step, self.now_ms)

    def hear(self, address: Address, asked_ms: int, step: Step, said_ms: int) -> None:
        if self.away:
            self.after(MINUTE, self.hear, address, asked_ms, step, said_ms)
            return
        if step is Step.DONE and datetime.fromtimestamp(asked_ms / 1000, LONDON).date() == self.today:
            self.cycles[address] += 1
        asked = self.asked[address]
        if asked.asked_ms == asked_ms and _RANK[step] > _RANK[asked.step]:
            self.asked[address] = structs.replace(asked, step=step, step_ms=said_ms)
            if step is Step.VETOED:
                self.spells.pop(address, None)  # after a veto and its wait a machine may be asked again

    # -- the oracle ----------------------------------------------------------------------------------------------------

    def within_hours(self, local: datetime) -> bool:
        """Whether the rule's hours are now, by the clock on the wall; a night counts to the day on which it starts."""
        weekday, minute = local.weekday(), local.hour * 60 + local.minute
        return any(
            (weekday - back) % 7 in days and begin <= minute + 1440 * back < end
            for days, begin, end in self.spans
            for back in (0, 1)
        )

    def check_decision(self, decision: Decision) -> None:
        """I4 by what had arrived: the newest report says idle, long enough, lately, by a clock that can be believed."""
        now_ms, machine, policy = self.now_ms, self.by_address[decision.device], self.policy
        assert not machine.role, f"never to be switched: {machine.role}"
        assert machine.device.room != "hall", "no timetable is known there"
        assert self.behind_s <= policy.behind_s, "the collector is behind"
        for stop in self.stops:
            assert stop.room not in (None, machine.device.room), "stopped"
        assert not (self.timetable.wrong_rooms and machine.device.room == "lab"), "its calendar is broken"
        assert self.cycles[decision.device] < policy.cycles_per_day, "switched too often today"
        asked = self.asked.get(decision.device)
        if asked is not None and asked.step is Step.VETOED:
            assert now_ms - asked.step_ms >= policy.veto_wait_s * SECOND, "somebody there said no"
        elif asked is not None and asked.step in (None, Step.WARNED):
            over_ms = max(asked.expires_ms, asked.step_ms) + policy.answer_wait_s * SECOND
            assert now_ms >= over_ms, "asked, and the answer is pending"
        presence = self.tracked[decision.device].presence
        assert presence.state in ON and not presence.lost_ms, "nothing certain is known of it"
        *_, linked_ms = self.linked_ms.get(decision.device, (0,))
        assert now_ms - linked_ms >= policy.reconnect_wait_s * SECOND, "its connection came back just now"
        newest, skew_ms, made_ms, stepped = self.newest[decision.device]
        assert newest.state is IDLE, "in use"
        assert abs(skew_ms) <= policy.clock_skew_s * SECOND, "its clock is doubtful"
        assert now_ms - min(newest.at_ms, newest.at_ms + skew_ms) <= 750_000, "its report is old"
        # A journey can hide a clock that is ahead, but never make an idle time look longer than it truly was. Only when
        # the clock was set between making and sending a report nobody can tell; the machine itself looks again.
        idle_ms = newest.gauges.idle_s * SECOND
        assert stepped or idle_ms + now_ms - made_ms >= self.idle_for_ms, "not idle for long enough"
        # Once in an idle time: of the machine's own, by the truth of its last input.
        begin_ms, spells = made_ms - idle_ms, self.spells.setdefault(decision.device, [])
        assert not any(abs(known_ms - begin_ms) < 1500 for known_ms in spells), "asked twice in one idle time"
        spells.append(begin_ms)
        # Whatever is booked or held when the command can still bite, as far as it is known now.
        reach_ms = now_ms + self.warn_ms + LIFE_MS
        soon_ms = max(reach_ms, now_ms + policy.booked_within_s * SECOND)
        for from_ms, until_ms in self.booked[machine.device.room]:
            assert not from_ms <= soon_ms or now_ms >= until_ms, "booked"
        for hold in self.known_holds:
            mine = hold.room in (None, machine.device.room)
            assert not (mine and hold.from_ms <= reach_ms and now_ms < hold.until_ms), hold.kind

    def check_limits(self) -> None:
        """I5 over every window that ends now."""
        policy = self.policy
        recent = [room for at_ms, room in self.sends if self.now_ms - at_ms < MINUTE]
        assert len(recent) <= policy.per_minute, "too many in a minute"
        lately = [room for at_ms, room in self.sends if self.now_ms - at_ms < policy.at_once_s * SECOND]
        for room, count in Counter(lately).items():
            assert count <= share(policy.room_percent, self.room_sizes[room]), f"too many of {room}"
        assert len(lately) <= share(policy.school_percent, len(self.machines)), "too many of the school"
        on = [t.presence for t in self.tracked.values() if t.presence.state not in (OFF, ASLEEP, PowerState.UNKNOWN)]
        lost = sum(presence.state is PowerState.LOST for presence in on)
        assert lost < 3 or lost < 0.55 * len(on), "the school looks lost"

    def check_switch_off(self, machine: Machine) -> None:
        """I4 by the truth at the very moment of switching."""
        now_ms, room = self.now_ms, machine.device.room
        assert not machine.role
        assert machine.state is IDLE, "in use, or off"
        assert now_ms - machine.last_input_ms(now_ms) >= self.idle_for_ms + self.warn_ms, "in use lately"
        assert not any(from_ms <= now_ms < until_ms for from_ms, until_ms in self.booked[room]), "in a lesson"
        assert self.within_hours(datetime.fromtimestamp(now_ms / 1000, LONDON)), "outside the rule's hours"


def drive(seeds: Sequence[int]) -> Counter[str]:
    """One school for each seed; what they came to."""
    total: Counter[str] = Counter()
    for seed in seeds:
        school = HostileSchool(seed).live()
        on_ms = school.on_ms + sum(
            school.end_ms - machine.on_since_ms for machine in school.machines if machine.state in ON
        )
        total += Counter(
            schools=1,
            machine_hours=round(school.machine_hours),
            hours_on=round(on_ms / HOUR),
            looks=school.ticks,
            decisions=school.ticks * len(school.machines),
            asked=school.acted,
            switched=school.switched,
        )
    return total


def drive_into_the_wall(seeds: Sequence[int]) -> Counter[str]:
    """Instead of `drive`, to see what a violation comes to. (Processes can only be handed what they can import.)"""
    raise AssertionError(f"seed {seeds[0]}, Tue: in use")
