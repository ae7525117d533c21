"""Rich or empty views of the desk in memory: `StubData` is a `Data` of desk/ports.py. See desk_stub.py.

Long because it is data: each view filled in once, with every state, what is late, and what is missing.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import structs

from caretaker_contract.errors import ConfigError, Unavailable
from caretaker_dashboards.desk import strips
from caretaker_dashboards.desk.ports import NotThere
from caretaker_dashboards.desk.views import (
    AuditLine,
    Bar,
    ClockView,
    DecisionLine,
    DeviceView,
    EstateView,
    Found,
    HistoryLine,
    IncidentLine,
    IncidentView,
    Lesson,
    LessonsLine,
    MachineRow,
    Part,
    Reading,
    ReasonLine,
    RecordLine,
    RoomReady,
    RoomRow,
    RoomView,
    SchoolRow,
    SchoolView,
    Spell,
    Strip,
    Told,
    Unwakeable,
    WhyView,
)
from caretaker_rules.roles import Permission, Who
from caretaker_rules.shown import Shown

ZONE = "Europe/London"
NOW_MS = round(datetime(2026, 10, 6, 15, 42, 10, tzinfo=UTC).timestamp() * 1000)  # Tuesday 16:42 by the wall clock
MIN_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
HOSTILE = (
    '<script>alert("x")</script>',
    'O\'Brien "& Söns" <b>School</b>',
    "\u202egnikcirt\u202c ملعب المدرسة",
    "🧪 Science 🧬 lab {{ 7*7 }} ${x}",
    "A" * 70,
)
NAMES = [
    "Ashfield Secondary",
    "Oakley Special School",
    "Elm Park Primary",
    "St Mary's",
    "Hillside Academy",
    "Riverbank",
]
ROOMS = [
    ("ict1", "ICT suite 1", 30),
    ("ict2", "ICT suite 2", 30),
    ("lib", "Library", 12),
    ("sci3", "Science 3", 8),
    ("srv", "Server room", 3),
]


def minute(hhmm: str, day: int = 0) -> int:
    """UTC ms of a local time on the day of NOW_MS, or some days after it."""
    hours, minutes = hhmm.split(":")
    from_ms, _ = strips.day_span(date(2026, 10, 6) + timedelta(days=day), ZONE)
    return from_ms + int(hours) * HOUR_MS + int(minutes) * MIN_MS


class StubData:
    """`Data` of desk/ports.py."""

    def __init__(self, schools: int = 2, *, hostile: bool = False, empty: bool = False, down: bool = False) -> None:
        self.hostile, self.empty, self.down = hostile, empty, down
        self.now = NOW_MS
        self.asked: list[str] = []  # calls, for tests of what is kept
        self.marks: dict[str, int] = {}
        self.names = (
            []
            if empty
            else [["ash", "oak", "elm", "stm", "hil", "riv"][i] if i < 6 else f"school-{i:03}" for i in range(schools)]
        )
        self.stopped = ""

    # what things are called

    def title(self, school: str) -> str:
        """Of a school."""
        if school not in self.names:
            raise NotThere(school)
        number = self.names.index(school)
        if self.hostile:
            return HOSTILE[number % len(HOSTILE)]
        return NAMES[number] if number < len(NAMES) else f"School number {number}"

    def rooms(self, school: str) -> list[tuple[str, str, int]]:
        """Name, title and machines of a school's rooms."""
        number = self.names.index(school)
        rooms = ROOMS if number % 2 == 0 else ROOMS[1:4]
        return [
            (name, HOSTILE[(at + 1) % 5] if self.hostile else title, count)
            for at, (name, title, count) in enumerate(rooms)
        ]

    def machines(self, school: str, room: str) -> list[str]:
        """Names of a room's machines."""
        return [
            f"{room}-{at + 1}" for at in range(next(count for name, _, count in self.rooms(school) if name == room))
        ]

    def _see(self, who: Who, school: str) -> None:
        if self.down:
            raise Unavailable("the store does not answer")
        if school not in self.names or not who.allows(Permission.SEE, school):
            raise NotThere(school)

    def _mine(self, who: Who) -> list[str]:
        return [name for name in self.names if who.allows(Permission.SEE, name)]

    # how they are

    def shown(self, school: str, device: str) -> Shown:
        """The state of a machine: the same each time."""
        room, _, number = device.rpartition("-")
        at = int(number)
        if school == "ash" and room == "ict1" and at <= 8:
            return list(Shown)[at - 1]
        if room == "srv":
            return Shown.IDLE
        pick = random.Random(f"{school}/{device}").random()
        for limit, state in (
            (0.2, Shown.IN_USE),
            (0.5, Shown.IDLE),
            (0.6, Shown.ASLEEP),
            (0.85, Shown.OFF_RULE),
            (0.985, Shown.OFF_USER),
        ):
            if pick < limit:
                return state
        return Shown.LOST

    def bar(self, school: str, rooms: Sequence[str] | None = None) -> Bar:
        """Machines by state."""
        found: Bar = {}
        for room, _, _ in self.rooms(school):
            if rooms is None or room in rooms:
                for device in self.machines(school, room):
                    state = self.shown(school, device)
                    found[state] = found.get(state, 0) + 1
        return found

    def strip(self, school: str, device: str, day: date) -> Strip:
        """A day of a machine, up to now."""
        from_ms, until_ms = strips.day_span(day, ZONE)
        until_ms = min(until_ms, self.now)
        pick = random.Random(f"{school}/{device}/{day}")
        spells, at_ms, state = [], from_ms, Shown.OFF_RULE
        marks: list[DecisionLine] = []
        if day.weekday() < 5:
            at_ms = from_ms + round(pick.uniform(8.3, 8.8) * HOUR_MS)
            spells.append(Spell(from_ms, min(at_ms, until_ms), state))
            marks.append(
                DecisionLine(
                    at_ms=at_ms - 2 * MIN_MS, device=device, verdict="wake", sentence="wanted for the lesson at 08:50"
                )
            )
            while at_ms < until_ms - 30 * MIN_MS:
                state = pick.choice(
                    [
                        Shown.IN_USE,
                        Shown.IDLE,
                        Shown.IN_USE,
                        Shown.IDLE,
                        Shown.ASLEEP,
                        Shown.BLIND if pick.random() < 0.1 else Shown.IDLE,
                    ]
                )
                end_ms = min(until_ms, at_ms + round(pick.uniform(0.4, 1.8) * HOUR_MS))
                if at_ms > from_ms + 17.2 * HOUR_MS:
                    marks.append(
                        DecisionLine(
                            at_ms=at_ms,
                            device=device,
                            verdict="shut_down",
                            sentence="idle 34 min, after hours, nothing booked until Wed 08:50",
                        )
                    )
                    state, end_ms = Shown.OFF_RULE, until_ms
                spells.append(Spell(at_ms, end_ms, state))
                at_ms = end_ms
        final = self.shown(school, device) if day == date(2026, 10, 6) else state
        if at_ms < until_ms:
            spells.append(Spell(at_ms, until_ms, final))
        elif spells:
            spells[-1] = Spell(spells[-1].from_ms, spells[-1].until_ms, final)
        return Strip(device=device, spells=[one for one in spells if one.until_ms > one.from_ms], marks=marks)

    def row(self, school: str) -> SchoolRow:
        """A school in the estate's table."""
        number, bar = self.names.index(school), self.bar(school)
        rooms = self.rooms(school)
        late = [RoomReady(room="ict1", title=rooms[0][1], ready=0, total=30, enough=False)] if number % 5 == 0 else []
        return SchoolRow(
            name=school,
            title=self.title(school),
            network="north" if number % 2 == 0 else "south",
            network_title="Northern cluster" if number % 2 == 0 else "Southern cluster",
            devices=sum(bar.values()),
            bar=bar,
            lessons=LessonsLine(
                school=school,
                title=self.title(school),
                starts_ms=None if number % 7 == 3 else minute("08:50", 1) if number == 4 else minute("17:00"),
                now=False,
                rooms=0 if number % 7 == 3 else len(rooms),
                ready=0 if number % 7 == 3 else len(rooms) - len(late),
                not_ready=[] if number % 7 == 3 else late,
            ),
            incidents={1: 1, 3: 2} if number == 0 else {3: 1} if number % 5 == 1 else {},
            used_today_kwh=None if number % 7 == 3 else 212.4 / (number + 1),
            avoided_kwh=None if number % 7 == 3 else (44 / (number + 1), 61 / (number + 1), 79 / (number + 1)),
            avoided_day=None if number % 7 == 3 else "2026-10-05",
            blind_today_s=[0, 540, 0, 4000][number % 4],
            blind=number % 11 == 3,
            mode=["live", "trial", "observe", ""][number % 4],
            stopped="fire drill" if number == 2 % len(self.names) else "",
        )

    def lines(self) -> list[IncidentLine]:
        """All incidents that are not fixed."""
        if self.empty:
            return []
        made = [
            self._line(
                12,
                1,
                "Switch ICT1 does not answer: 31 machines behind it",
                "switch_down",
                "ash",
                "ict1",
                "sw-ict1",
                31,
                87 * MIN_MS,
                False,
                "",
            ),
            self._line(
                14,
                2,
                "Ashfield's line to the provider is slow",
                "line",
                "ash",
                "",
                "",
                1,
                -12 * MIN_MS,
                True,
                "J. Okafor",
            ),
            self._line(
                9,
                3,
                "Printer in the library is out of toner",
                "printer",
                self.names[-1],
                "lib",
                "lib-3",
                1,
                20 * HOUR_MS,
                False,
                "",
            ),
            self._line(
                15,
                None,
                "5 machines of Science 3 could not be woken",
                "not_wakeable",
                "ash",
                "sci3",
                "sci3-2",
                5,
                None,
                False,
                "",
            ),
        ]
        for at in range(min(60, 3 * max(0, len(self.names) - 2))):
            school = self.names[2 + at % (len(self.names) - 2)]
            made.append(
                self._line(
                    100 + at,
                    3 + at % 2,
                    "A machine is lost",
                    "lost",
                    school,
                    "ict2",
                    "ict2-4",
                    1,
                    (24 + at) * HOUR_MS,
                    at % 3 == 0,
                    "",
                )
            )
        return made

    def _line(
        self,
        number: int,
        priority: int | None,
        title: str,
        kind: str,
        school: str,
        room: str,
        device: str,
        hits: int,
        left_ms: int | None,
        acknowledged: bool,
        assigned: str,
    ) -> IncidentLine:
        return IncidentLine(
            number=number,
            name=f"INC-{number}",
            priority=priority,
            title=f"{title} {HOSTILE[number % 4]}" if self.hostile else title,
            kind=kind,
            status="open",
            school=school,
            school_title=self.title(school),
            room=room,
            device=device,
            hits=hits,
            opened_ms=NOW_MS - 63 * MIN_MS,
            acknowledged=acknowledged,
            assigned=HOSTILE[1] if self.hostile and assigned else assigned,
            response_left_ms=None,
            fix_left_ms=left_ms,
            fix_due_ms=None if left_ms is None else NOW_MS + left_ms,
            paused=False,
            clock="" if left_ms is None else "fix",
        )

    def record_lines(self) -> list[RecordLine]:
        """What is on or to come."""
        if self.empty:
            return []
        title = self.rooms("ash")[0][1]
        reason = HOSTILE[0] if self.hostile else "after-school club"
        by = HOSTILE[1] if self.hostile else "J. Okafor"

        def made(
            number: int | None,
            kind: str,
            place: str,
            place_title: str,
            times: str,
            state: str,
            on: bool,
            repeats: bool,
            why: str,
            did: str,
        ) -> RecordLine:
            return RecordLine(
                number=number,
                kind=kind,
                school="ash",
                place=place,
                place_title=place_title,
                times=times,
                state=state,
                on=on,
                over=False,
                repeats=repeats,
                reason=why,
                by=by,
                did=did,
            )

        return [
            made(
                None,
                "stop",
                self.names[2 % len(self.names)],
                self.title(self.names[2 % len(self.names)]),
                "since Tue 6 Oct 15:10",
                "on now",
                True,
                False,
                "fire drill",
                "",
            ),
            made(4, "hold", "ash/ict1", title, "until 18:00", "on now", True, True, reason, "kept 4 machines on"),
            made(
                5,
                "maintenance",
                "ash/srv",
                "Server room",
                "Sat 10 Oct 08:00 to 12:00",
                "next Sat 10 Oct 08:00",
                False,
                True,
                "firmware of the switches",
                "",
            ),
            made(
                6,
                "freeze",
                "ash",
                self.title("ash"),
                "Mon 9 Nov to Fri 20 Nov",
                "from Mon 9 Nov",
                False,
                False,
                "mock exams",
                "",
            ),
        ]

    # the port

    def now_ms(self) -> int:
        return self.now

    async def estate(self, who: Who, network: str = "", text: str = "") -> EstateView:
        self.asked.append("estate")
        if self.down:
            raise Unavailable("the store does not answer")
        mine = [self.row(name) for name in self._mine(who)]
        rows = [
            row for row in mine if network in ("", row.network) and text.lower() in f"{row.name} {row.title}".lower()
        ]
        names = {row.name for row in rows}
        return EstateView(
            now_ms=self.now,
            zone=ZONE,
            provider=HOSTILE[0] if self.hostile else "Borough ICT Service",
            networks=[] if self.empty else [("north", "Northern cluster"), ("south", "Southern cluster")],
            incidents=[line for line in self.lines() if line.school in names],
            schools=rows,
            caretaker=[]
            if self.empty
            else [
                Part(name="Behind by", value="0.1 s", problem=""),
                Part(name="Put aside today", value="3 messages", problem=""),
                Part(
                    name="Silent agents",
                    value="2",
                    problem="ash/ict1-8 and oak/lib-3 have not reported for a day: `caretaker why` tells more",
                ),
                Part(name="First certificate to end", value="in 41 d", problem=""),
                Part(name="Database", value="answers", problem=""),
                Part(name="Rules last ran", value="4 s ago", problem=""),
            ],
            stopped=self.stopped,
        )

    async def school(self, who: Who, school: str) -> SchoolView:
        self.asked.append(f"school {school}")
        self._see(who, school)
        bare = self.names.index(school) == 3
        rooms = [
            RoomRow(
                name=name,
                title=title,
                devices=count,
                bar=self.bar(school, [name]),
                lesson=["now until 17:00", "next Wed 08:50", "no lesson today", "no timetable is known"][at % 4],
                ready=RoomReady(room=name, title=title, ready=count - 2, total=count, enough=at != 0)
                if at % 4 == 0
                else None,
                held="held until 18:00: after-school club" if at == 0 else "",
                incidents=[2, 0, 1, 0, 0][at],
            )
            for at, (name, title, count) in enumerate(self.rooms(school))
        ]
        return SchoolView(
            now_ms=self.now,
            zone=ZONE,
            row=self.row(school),
            rooms=[] if bare else rooms,
            incidents=[line for line in self.lines() if line.school == school],
            records=[line for line in self.record_lines() if line.place.partition("/")[0] == school],
            unwakeable=self._unwakeable(school) if school == "ash" else [],
            policy="" if bare else "policies/school.toml, version 7c1e",
        )

    def _unwakeable(self, school: str) -> list[Unwakeable]:
        return [
            Unwakeable(
                device="sci3-2",
                room="sci3",
                tried_ms=minute("08:31"),
                why="no report after 4 packets, and it never answered one before: wake-on-LAN may be off in its "
                "firmware or driver, or its MAC address wrong",
            ),
            Unwakeable(
                device="ict1-6",
                room="ict1",
                tried_ms=minute("08:32"),
                why="no report after 4 packets, though it answered before (Mon 5 Oct): look at its power and cable",
            ),
        ]

    def machine(self, school: str, device: str) -> MachineRow:
        """A machine in its room."""
        shown = self.shown(school, device)
        return MachineRow(
            name=device,
            device_class="thin_client",
            shown=shown,
            since_ms=None if shown is Shown.UNKNOWN else NOW_MS - (len(device) * 7 + 20) * MIN_MS,
            heard_ms=None if shown is Shown.UNKNOWN else NOW_MS - 20_000,
            idle_s=34 * 60 if shown is Shown.IDLE else None,
            decision=DecisionLine(at_ms=minute("16:41"), device=device, verdict="left_on", sentence="in use 2 min ago")
            if shown is not Shown.UNKNOWN
            else None,
            asked="asked to shut down 16:41:55, warned" if device == "ict1-2" else "",
            incident=12 if shown is Shown.LOST else None,
            exempt=device.endswith("-9"),
        )

    async def room(self, who: Who, school: str, room: str, day: str | None = None) -> RoomView:
        self.asked.append(f"room {school}/{room}")
        self._see(who, school)
        if room not in [name for name, _, _ in self.rooms(school)]:
            raise NotThere(room)
        try:
            chosen = date.fromisoformat(day) if day else date(2026, 10, 6)
        except ValueError as error:
            raise ConfigError([f"day: {day!r} is no day; write it as 2026-10-06"]) from error
        from_ms, until_ms = strips.day_span(chosen, ZONE)
        bare = school == "oak" and room == "sci3"
        devices = [] if bare else self.machines(school, room)
        slots = [("08:50", "09:50"), ("09:50", "10:50"), ("11:10", "12:10"), ("13:10", "14:10"), ("15:30", "17:00")]
        title = next(title for name, title, _ in self.rooms(school) if name == room)
        return RoomView(
            now_ms=self.now,
            zone=ZONE,
            school=school,
            school_title=self.title(school),
            room=room,
            title=title,
            day=chosen.isoformat(),
            today=chosen == date(2026, 10, 6),
            day_from_ms=from_ms,
            day_until_ms=until_ms,
            bar={} if bare else self.bar(school, [room]),
            machines=[self.machine(school, name) for name in reversed(devices)],
            strips=[self.strip(school, name, chosen) for name in devices],
            lessons=[]
            if bare
            else [
                Lesson(from_ms + minute(a) - minute("00:00"), from_ms + minute(b) - minute("00:00")) for a, b in slots
            ],
            lesson="no timetable is known" if bare else "now until 17:00",
            records=[line for line in self.record_lines() if line.place == f"{school}/{room}"],
            incidents=[line for line in self.lines() if line.school == school and line.room == room],
            unwakeable=[line for line in self._unwakeable(school) if line.room == room and school == "ash"],
            stay_link=None if bare else "/stay-links/ash/ict1",
        )

    def _told(self) -> list[Told]:
        source = "policies/school.toml:12, version 7c1e"
        return [
            Told(
                at_ms=minute("16:41"),
                verdict="shut_down",
                rule="after-hours",
                source=source,
                reasons=[
                    ReasonLine("idle 34 min, limit 30 min", 20),
                    ReasonLine(f"not booked until Wed 08:50 {HOSTILE[0] if self.hostile else ''}", None),
                    ReasonLine("within all limits: 9 of 12 this minute, 14 % of the room", None),
                ],
                command="asked 16:39:55, warned, done 16:41:57",
            ),
            Told(
                at_ms=minute("16:35"),
                verdict="left_on",
                rule="after-hours",
                source=source,
                reasons=[ReasonLine("limit of 12 a minute reached in this school", None)],
                command="",
            ),
            Told(
                at_ms=minute("08:38"),
                verdict="wake",
                rule="",
                source="",
                reasons=[ReasonLine("wanted for the lesson at 08:50", None)],
                command="asked 08:38:02, done 08:39:40",
            ),
        ]

    def _known(self, school: str, device: str) -> str:
        room = device.rpartition("-")[0]
        if room not in [name for name, _, _ in self.rooms(school)] or device not in self.machines(school, room):
            raise NotThere(device)
        return room

    async def device(self, who: Who, school: str, device: str) -> DeviceView:
        self.asked.append(f"device {school}/{device}")
        self._see(who, school)
        room = self._known(school, device)
        machine = self.machine(school, device)
        bare = machine.shown is Shown.UNKNOWN
        days = [date(2026, 10, 6) - timedelta(days=back) for back in range(7)]
        return DeviceView(
            now_ms=self.now,
            zone=ZONE,
            school=school,
            school_title=self.title(school),
            room=room,
            room_title=next(title for name, title, _ in self.rooms(school) if name == room),
            registered=device != "ict1-7",
            machine=machine,
            report_ms=None if bare else NOW_MS - 20_000,
            skew_s=None if bare else 0.3,
            agent=room != "srv",
            meters=[]
            if bare
            else [
                Reading(name="in use", value="1,204 h", meaning="seconds that somebody was at it, since it was set up"),
                Reading(name="idle", value="844 h", meaning="on, and nobody at it"),
                Reading(name="boots", value="212", meaning="times that it started"),
            ],
            gauges=[]
            if bare
            else [
                Reading(name="load", value="3 %", meaning="of its processor"),
                Reading(name="disk", value="41 %", meaning="full"),
                Reading(name="power", value="not measured", meaning="watts, from its class: 47 W"),
            ],
            days=[] if bare else [(one.isoformat(), self.strip(school, device, one)) for one in days],
            day_spans=[] if bare else [strips.day_span(one, ZONE) for one in days],
            history=[]
            if bare
            else [
                HistoryLine(at_ms=minute("16:41"), by="", what="off", text="by rule after-hours"),
                HistoryLine(at_ms=minute("16:39"), by="", what="warned", text="2 min before"),
                HistoryLine(
                    at_ms=minute("08:39"), by=HOSTILE[1] if self.hostile else "J. Okafor", what="idle", text="woken"
                ),
                HistoryLine(at_ms=minute("17:12", -1), by="", what="off", text="somebody switched it off"),
            ],
            told=[] if bare else self._told(),
            incidents=[line for line in self.lines() if line.school == school and line.device == device],
            records=[line for line in self.record_lines() if line.place == f"{school}/{room}"],
            behind="sw-ict1" if room == "ict1" else None,
            depend=2 if room == "srv" else 0,
            mac="00:1b:63:84:45:e6",
            tags=["exempt", HOSTILE[0]] if self.hostile else ["sen"],
            abilities=["shut_down", "sleep", "restart", "warn"],
        )

    async def why(self, who: Who, school: str, device: str, at: str | None = None) -> WhyView:
        self.asked.append(f"why {school}/{device}")
        self._see(who, school)
        room = self._known(school, device)
        if at is not None and (len(at) != 5 or at[2] != ":"):
            raise ConfigError([f'at: {at!r} is no time; write it as "16:41" or "2026-10-06 16:41"'])
        bare = self.shown(school, device) is Shown.UNKNOWN
        return WhyView(
            now_ms=self.now,
            zone=ZONE,
            school=school,
            school_title=self.title(school),
            room=room,
            room_title=next(title for name, title, _ in self.rooms(school) if name == room),
            device=device,
            device_class="thin_client",
            at_ms=None if at is None else minute(at),
            checked_ms=None if bare else NOW_MS - 4_000,
            told=[] if bare else self._told(),
        )

    async def incidents(
        self, who: Who, school: str = "", status: str = "unfixed", text: str = "", before: int | None = None
    ) -> tuple[list[IncidentLine], int | None]:
        self.asked.append("incidents")
        mine = self._mine(who)
        if school and school not in mine:
            raise NotThere(school)
        lines = [
            line
            for line in self.lines()
            if line.school in mine and school in ("", line.school) and text.lower() in line.title.lower()
        ]
        if status == "fixed":
            lines = [structs.replace(line, status="fixed", fix_left_ms=None) for line in lines[:2]]
        page = lines[:50] if before is None else [line for line in lines[50:] if line.number >= before]
        return page, (lines[50].number if len(lines) > 50 and before is None else None)

    async def incident(self, who: Who, number: int) -> IncidentView:
        self.asked.append(f"incident {number}")
        found = [line for line in self.lines() if line.number == number and line.school in self._mine(who)]
        if not found:
            raise NotThere(str(number))
        line = found[0]
        bare = number == 15
        return IncidentView(
            now_ms=self.now,
            zone=ZONE,
            line=line,
            clocks=[]
            if bare
            else [
                ClockView(
                    name="response",
                    text="answered in 9 min of 15 min",
                    left_ms=0,
                    allowance_ms=15 * MIN_MS,
                    used_ms=9 * MIN_MS,
                    due_ms=None,
                    ended=True,
                    late=False,
                    paused=False,
                ),
                ClockView(
                    name="fix",
                    text="due Tue 17:19 (37 min left)",
                    left_ms=line.fix_left_ms or 0,
                    allowance_ms=4 * HOUR_MS,
                    used_ms=63 * MIN_MS,
                    due_ms=line.fix_due_ms,
                    ended=False,
                    late=(line.fix_left_ms or 0) < 0,
                    paused=number == 9,
                ),
            ],
            level="" if bare else "transitional (illustrative)",
            since_ms=line.opened_ms - 2 * MIN_MS,
            fixed_ms=None,
            reopened=1 if number == 14 else 0,
            merged_into=None,
            hits=[("ict1", f"ict1-{at}") for at in range(1, line.hits)],
            history=[
                HistoryLine(
                    at_ms=line.opened_ms, by="", what="opened", text="switch sw-ict1 has not answered for 2 min"
                ),
                HistoryLine(
                    at_ms=line.opened_ms + 9 * MIN_MS,
                    by="J. Okafor",
                    what="noted",
                    text=HOSTILE[0] if self.hostile else "rang the school office",
                ),
            ],
            told=[]
            if bare
            else [HistoryLine(at_ms=line.opened_ms + 30_000, by="mail to service desk", what="told", text="taken")],
            tickets=[] if bare else ["#4711 at the service desk"],
            others=[other for other in self.lines() if other.school == line.school and other.number != number],
        )

    async def records(self, who: Who, place: str = "", kind: str = "", past: bool = False) -> list[RecordLine]:
        self.asked.append("records")
        lines = [line for line in self.record_lines() if line.school in self._mine(who)]
        lines = [line for line in lines if place in ("", line.place) and kind in ("", line.kind)]
        return (
            [
                structs.replace(line, on=False, over=True, state="ended early Tue 6 Oct 16:00")
                for line in lines
                if line.kind == "hold"
            ]
            if past
            else lines
        )

    async def audit(self, who: Who, school: str = "", before: int | None = None) -> tuple[list[AuditLine], int | None]:
        if self.empty:
            return [], None
        text = HOSTILE[0] if self.hostile else "after-school club"
        lines = [
            AuditLine(
                number=at,
                at_ms=NOW_MS - (40 - at) * MIN_MS,
                who="J. Okafor",
                via=["desk", "cli", "api"][at % 3],
                what=["hold", "wake", "sign in"][at % 3],
                place=["ash/ict1", "ash/ict1-3", ""][at % 3],
                text=text if at % 3 == 0 else "",
                outcome="refused: exam freeze until Fri 20 Nov" if at % 7 == 0 else "done",
                link="/records#record-4" if at % 3 == 0 else "",
            )
            for at in range(40, 0, -1)
            if before is None or at < before
        ]
        return lines[:20], (lines[19].number if len(lines) > 20 else None)

    async def search(self, who: Who, text: str) -> list[Found]:
        found = [
            Found(
                kind="school",
                title=self.title(name),
                detail=f"{sum(self.bar(name).values())} machines",
                path=f"/schools/{name}",
            )
            for name in self._mine(who)
            if text.lower() in f"{name} {self.title(name)}".lower()
        ]
        if not self.empty and text.startswith("ict"):
            found.append(
                Found(kind="room", title=self.rooms("ash")[0][1], detail=self.title("ash"), path="/rooms/ash/ict1")
            )
            found.append(
                Found(
                    kind="device",
                    title="ict1-7",
                    detail=f"{self.title('ash')}, {self.rooms('ash')[0][1]}",
                    path="/devices/ash/ict1-7",
                )
            )
        return found

    async def changes(self, who: Who, topic: str) -> AsyncIterator[str]:
        school = topic.partition("/")[0]
        if school not in ("estate", "incident") and school not in self._mine(who):
            raise NotThere(topic)
        yield self.mark(topic)
        seen = self.mark(topic)
        while True:
            await asyncio.sleep(0.05)  # looked at, not waited for: tests change things from another thread
            if (mark := self.mark(topic)) != seen:
                seen = mark
                yield mark

    def mark(self, topic: str) -> str:
        return f"{topic}:{self.marks.get(topic, 0)}"

    def change(self, topic: str) -> None:
        """Something of a topic is different now."""
        self.marks[topic] = self.marks.get(topic, 0) + 1
