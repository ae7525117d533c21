"""A school with a service level on disk and in memory: reports go through the real recorder and roll-up."""

from datetime import date
from pathlib import Path

import msgspec

from caretaker_collector import state
from caretaker_collector.days.rollup import DayRollup
from caretaker_collector.journal import Journal
from caretaker_collector.memory import Memory
from caretaker_collector.settings import load_estate
from caretaker_collector.sla.book import Row, SlaBook, rows
from caretaker_collector.stages.keep import pending_point
from caretaker_collector.stages.record import Recorder
from caretaker_collector.stores.sqlite import SqliteStore
from caretaker_contract.clock import Clock
from caretaker_contract.messages import Cause, PowerState
from caretaker_contract.metrics import Point
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.model import Estate, Room, Term, Transition
from caretaker_rules.ports import Incoming
from caretaker_rules.service import (
    Credit,
    Impact,
    MatrixRow,
    PriorityTimes,
    ServiceFile,
    ServiceLevel,
    Target,
)
from caretaker_rules.timetable import DayKind
from rules_world import LONDON, london_ms
from worlds import Stream, make_world

OFF, IDLE, IN_USE = PowerState.OFF, PowerState.IDLE, PowerState.IN_USE

TERMS = "terms = [{ starts = 2026-09-01, ends = 2026-12-18 }]\n"
SERVICE = """
[[levels]]
name = "transitional"
title = "Transitional service"
hours = ["mon-fri 08:00-16:00"]
days = ["term"]
availability_target = 0.99
priorities = [{ priority = 1, respond = "30 min", fix = "4 h" }, { priority = 2, respond = "2 h", fix = "8 h" }]
matrix = [
  { impact = "school", alternative = false, priority = 1 },
  { impact = "school", alternative = true, priority = 1 },
  { impact = "room", alternative = false, priority = 2 },
  { impact = "room", alternative = true, priority = 2 },
  { impact = "device", alternative = false, priority = 2 },
  { impact = "device", alternative = true, priority = 2 },
]
credits = [
  { failure = "availability", per = 0.5, points = 2 },
  { failure = "fix", points = 1 },
]
most_points = 20

[[targets]]
indicator = "fixed_in_time"
year = 2026
value = 0.9
"""


def level(name="transitional", **more):
    """A level of 8 hours a day on weekdays, 99 % of them, unless told otherwise."""
    given = {
        "hours": ["mon-fri 08:00-16:00"],
        "days": [DayKind.TERM],
        "availability_target": 0.99,
        "priorities": [
            PriorityTimes(priority=1, respond="30 min", fix="4 h"),
            PriorityTimes(priority=2, respond="2 h", fix="8 h"),
        ],
        "matrix": [
            MatrixRow(impact=impact, alternative=alternative, priority=1 if impact is Impact.SCHOOL else 2)
            for impact in Impact
            for alternative in (True, False)
        ],
        "credits": [Credit(failure="availability", per=0.5, points=2.0, percent=1.0)],
    }
    return ServiceLevel(name=name, **(given | more))


def serve(estate: Estate, service=None, targets=(), **school) -> Estate:
    """The estate with these levels, and its school `ash` in term from September to December with lessons in ict1."""
    changes = {
        "terms": [Term(starts=date(2026, 9, 1), ends=date(2026, 12, 18))],
        "rooms": [Room(name="ict1", title="ICT suite 1", lessons=["mon-fri 09:00-10:00", "mon-fri 11:00-12:00"])],
    } | school
    written = ServiceFile(levels=service or [level()], targets=[Target(**each) for each in targets])
    ash = msgspec.structs.replace(estate.schools["ash"], **changes)
    return msgspec.structs.replace(estate, service=written, schools={**estate.schools, "ash": ash})


class Bench:
    """Journal, recorder, roll-up and book without a broker. Moments are written as "2026-09-14 09:00"."""

    def __init__(self, folder: Path, devices: int = 1, written: bool = False, **served: object) -> None:
        self.world = make_world(folder, 1, devices)
        self.written = written
        if written:
            (folder / "service.toml").write_text(SERVICE)
            estate = (folder / "estate.toml").read_text()
            (folder / "estate.toml").write_text(
                estate.replace("[[schools]]", 'service = "service.toml"\n\n[[networks]]\nname = "green"\n\n[[schools]]')
                .replace('name = "ash"', 'name = "ash"\nnetwork = "green"\n' + TERMS)
                .replace("lessons = []", 'lessons = ["mon-fri 09:00-10:00", "mon-fri 11:00-12:00"]')
            )
        self.folder = folder
        self.streams = {
            address.device: Stream(address, epoch=f"0000abc{number}", at_ms=london_ms("2026-09-01 00:00"), state=OFF)
            for number, address in enumerate(self.world.devices)
        }
        self.world.data.mkdir(exist_ok=True)
        self.journal = Journal(folder / "journal.db")
        self.db = state.open_state(self.world.data / "state.db")
        self.store = SqliteStore(self.world.data / "store.db")
        self.start(**served)

    def start(self, **served: object) -> None:
        """A collector that starts, with these settings."""
        estate = load_estate(self.folder / "estate.toml")
        self.estate = estate if self.written else serve(estate, **served)
        self.recorder = Recorder(self.journal, self.db, self.store, self.estate, Memory())
        self.rollup = DayRollup(self.db, self.store, self.estate, self.recorder, Clock(), self.folder)

    @property
    def school(self):
        return self.estate.schools["ash"]

    def sees(self, from_: str, until: str) -> None:
        """Caretaker saw all the time between."""
        self.db.execute("INSERT INTO sight VALUES (?, ?)", (london_ms(from_), london_ms(until)))

    def make(self, when: str, power: PowerState, cause: Cause = Cause.HEARTBEAT, device: str = "pc-000") -> Incoming:
        """A report of that moment, not delivered yet; meters count what the state before was."""
        stream, at_ms = self.streams[device], london_ms(when)
        if stream.state is OFF and stream.seq:
            stream.reboot()
        report = stream.report(power, cause=cause, step_s=(at_ms - stream.at_ms) // 1000)
        return Incoming(at_ms, *stream.wire(report))

    async def say(self, *messages: Incoming) -> None:
        """Messages arrive and are recorded."""
        await self.journal.append(messages)
        await self.record()

    async def record(self) -> None:
        while await self.recorder.step():
            pass

    async def works(self, day: str, **more) -> None:
        """A day as it should be: on before service, reports every five minutes, off by its user after it."""
        await self.say(*self.working(day, **more))

    def working(
        self, day: str, device: str = "pc-000", on: str = "07:30", off: str = "16:30", cause: Cause = Cause.USER
    ) -> list[Incoming]:
        """The messages of such a day."""
        told = [self.make(f"{day} {on}", IN_USE, Cause.BOOT, device)]
        at_ms, end_ms = london_ms(f"{day} {on}") + 300_000, london_ms(f"{day} {off}")
        while at_ms < end_ms:
            told.append(self.make(f"{local(at_ms, LONDON):%Y-%m-%d %H:%M}", IN_USE, device=device))
            at_ms += 300_000
        return [*told, self.make(f"{day} {off}", OFF, cause, device)]

    def infer(self, when: str, was: PowerState, now: PowerState, device: str = "pc-000") -> None:
        """What the core concluded, as `keep` writes it."""
        from caretaker_collector.points import transition_fields

        at_ms = london_ms(when)
        fields = dict(transition_fields(Transition(at_ms, was, now, Cause.UNKNOWN, False)))
        point = ("transition", at_ms * 1_000_000, ("ash", "ict1", "desktop", device), fields)
        blob = msgspec.msgpack.encode(point)
        assert isinstance(pending_point(blob), Point)
        self.db.execute("INSERT INTO pending_points (point) VALUES (?)", (blob,))

    async def roll(self, now: str) -> None:
        """Compute all that is due."""
        await self.record()
        while await self.rollup.step(london_ms(now), settle=False):
            pass

    async def day(self, day: str, device: str = "pc-000") -> dict[str, object]:
        """The fields of a device's day."""
        start_ms = midnight_ms(date.fromisoformat(day), LONDON)
        [point] = [
            one
            for one in await self.store.read("device_day", start_ms, start_ms + 1, school="ash")
            if one.tags[3] == device
        ]
        return dict(point.fields)

    def outages(self) -> list[tuple[str, str, str, str, str]]:
        """Device, from, until, what and cause, as they were written."""
        found = self.db.execute("SELECT device, from_ms, until_ms, what, cause FROM outages ORDER BY day, device")
        return [
            (name, f"{local(a, LONDON):%d %H:%M}", f"{local(b, LONDON):%d %H:%M}", what, cause)
            for name, a, b, what, cause in found
        ]

    @property
    def book(self) -> SlaBook:
        return self.rollup.book

    async def row(self, first: str, last: str) -> Row:
        """The school's sums from one midnight to another."""
        found = await rows(self.store, london_ms(f"{first} 00:00"), london_ms(f"{last} 00:00"), school="ash")
        return found[()]

    async def close(self) -> None:
        await self.store.close()
        self.journal.close()
        self.db.close()
