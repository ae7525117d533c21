"""How a school uses its machines: pure and seeded. A day of one machine is a list of steps, always the same one for
the same seed, machine and date, whatever happened on other days or to other machines.

Steps are intents, not states: "somebody sits down" switches the machine on if it is off, whoever switched it off.

The default figures of `Habits` are tuned so that a fleet without rules shows what was published about real ones (see
calibration.py); where no figure is published they are guesses, and each is a setting.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, IntEnum, auto
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from caretaker_rules.model import Device, DeviceClass, School
from caretaker_simulator.estate import DROP_IN_TAG, STAFF_TAG

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Act(IntEnum):
    """What happens at a step; the argument's meaning stands beside it."""

    ARRIVE = 0  # somebody sits down (0)
    TYPE = 1  # and gives input until (UTC ms)
    LEAVE = 2  # gets up (a sum of Parting)
    SWITCH_ON = 3  # somebody opens the room and switches on (0)
    ROUND = 4  # somebody walks round and switches off what nobody sits at (0)
    SLEEP = 5  # the lid closes, unless somebody sits there (0)
    CRASH = 6  # it stops without a goodbye (0)
    POWER_CUT = 7  # the mains go (0)
    POWER_BACK = 8  # and return (1: this machine starts by itself)
    NET_CUT = 9  # it cannot reach the broker (0); cuts nest
    NET_BACK = 10  # (0)
    CLOCK = 11  # somebody or something sets its clock: off from the true time by (ms)


class Parting(IntEnum):
    """What somebody does on leaving a machine."""

    WALK = 0  # leaves it as it is, signed in
    SIGN_OUT = 1
    SWITCH_OFF = 2
    SLEEP = 4


Step = tuple[int, Act, int]
"""(UTC ms, what, argument)."""


class Role(Enum):
    """How a machine is used; follows from its class, its tags and its room."""

    TAUGHT = auto()  # by a class in lessons
    DROP_IN = auto()  # by anybody at break, at lunch and after school
    STAFF = auto()  # by one person, early to late
    SERVER = auto()  # by nobody, always on


@dataclass(frozen=True)
class Habits:
    """Likelihoods (0-1) and lengths (minutes) of behaviour, each settable; see the module about their origin."""

    # lessons
    lesson_happens: float = 0.9
    seats_taken: tuple[float, float] = (0.5, 0.95)  # least and most share of a room's machines used in a lesson
    typing_min: float = 12.0  # mean length of a stretch with input
    listening_min: float = 5.0  # mean length of a pause, beyond 3 minutes
    opened_early: float = 0.8  # a room's machines are all switched on before its first lesson
    club: float = 0.2  # a taught room stays in use after school
    # leaving
    pupil_signs_out: float = 0.8
    pupil_switches_off: float = 0.05  # after any lesson but the last
    last_class_switches_off: float = 0.48  # after the last lesson of the day
    lid_closed: float = 0.6  # laptops only
    staff_switches_off: float = 0.45
    staff_signs_out: float = 0.5
    # evenings
    friday_round: float = 0.45  # a machine is switched off by the Friday round
    # staff
    staff_present: float = 0.93
    staff_late: float = 0.2  # of those present: works on until 16:50-18:50
    reading_min: tuple[float, float] = (25.0, 75.0)  # length of a stretch of marking: present, no input
    holiday_staff: float = 0.05
    # pauses
    drop_in_use: float = 0.55  # a drop-in machine is taken in a free period
    break_use: float = 0.1  # a taught machine is used at break or lunch
    # the machine
    idle_after_s: int = 300  # no input for as long makes it idle; an agent's default
    boot_s: int = 45
    reaction_s: tuple[float, float] = (8.0, 50.0)  # how fast somebody who reads answers a warning with a key


@dataclass(frozen=True)
class Seat:
    """One machine in its place: all that its habits depend on."""

    device: Device
    role: Role
    always_on: bool
    zone: ZoneInfo
    school: School
    lessons: tuple[tuple[tuple[int, int], ...], ...]  # for each weekday: (start, end) in local minutes

    @property
    def key(self) -> str:
        """school/device."""
        return f"{self.device.school}/{self.device.name}"

    @property
    def laptop(self) -> bool:
        """Whether it has a battery and a lid."""
        return self.device.device_class == "laptop"


def seat(device: Device, school: School, classes: dict[str, DeviceClass]) -> Seat:
    """Place `device` in its school."""
    lessons = _lessons(school, device.room)
    always_on = device.device_class in classes and classes[device.device_class].always_on
    if always_on:
        role = Role.SERVER
    elif STAFF_TAG in device.tags:
        role = Role.STAFF
    elif DROP_IN_TAG in device.tags or not any(lessons):
        role = Role.DROP_IN
    else:
        role = Role.TAUGHT
    return Seat(device, role, always_on, ZoneInfo(school.time_zone), school, lessons)


@lru_cache(maxsize=4096)
def _spans(spans: tuple[str, ...]) -> tuple[tuple[tuple[int, int], ...], ...]:
    week: list[list[tuple[int, int]]] = [[] for _ in _WEEKDAYS]
    for span in spans:
        days, hours = span.split()
        first, _, last = days.partition("-")
        start, end = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
        for weekday in range(_WEEKDAYS.index(first), _WEEKDAYS.index(last or first) + 1):
            week[weekday].append((start, end))
    return tuple(tuple(sorted(day)) for day in week)


def _lessons(school: School, room_name: str) -> tuple[tuple[tuple[int, int], ...], ...]:
    written = next((room.lessons for room in school.rooms if room.name == room_name), None)
    return _spans(tuple(written or ()))


def is_school_day(school: School, day: date) -> bool:
    """Whether pupils come: a weekday in term (no terms given: any weekday) that is not a closed day."""
    if day.weekday() > 4 or day in school.closed_days:
        return False
    return not school.terms or any(term.starts <= day <= term.ends for term in school.terms)


@lru_cache(maxsize=1024)
def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """UTC ms of the day's 00:00, reckoned back from local noon: right for all hours at which a school is open."""
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp() * 1000) - 12 * HOUR_MS


def day_of(at_ms: int, zone: ZoneInfo) -> date:
    """The local date at `at_ms`."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


def plan_day(place: Seat, day: date, habits: Habits, seed: int) -> list[Step]:
    """Everything that people do with this machine on this local date, in order of time."""
    if place.role is Role.SERVER:
        return []
    rng = random.Random(f"{seed}|{place.key}|{day.toordinal()}")
    start_ms = midnight_ms(day, place.zone)
    steps: list[Step] = []
    if is_school_day(place.school, day):
        if place.role is Role.STAFF:
            _staff_day(steps, place, day, habits, rng, start_ms)
        else:
            _pupils_day(steps, place, day, habits, rng, start_ms, seed)
    elif place.role is Role.STAFF and day.weekday() < 5 and rng.random() < habits.holiday_staff:
        _sit(steps, rng, start_ms, rng.uniform(540, 660), rng.uniform(720, 930), habits, _staff_parting(habits, rng))
    if day.weekday() == 4 and rng.random() < habits.friday_round:
        steps.append((start_ms + int(rng.uniform(18.2, 19.2) * HOUR_MS), Act.ROUND, 0))
    steps.sort()
    return steps


@dataclass(frozen=True)
class _RoomDay:
    """What all machines of a room share on a day."""

    opened_min: float | None  # all switched on at this minute
    lessons: tuple[tuple[int, int, float], ...]  # start, end, share of seats taken
    club_until: float | None


@lru_cache(maxsize=8192)
def _room_day(
    seed: int, school: str, room: str, day: date, lessons: tuple[tuple[int, int], ...], h: Habits
) -> _RoomDay:
    rng = random.Random(f"{seed}|{school}|room|{room}|{day.toordinal()}")
    held = tuple((a, b, rng.uniform(*h.seats_taken)) for a, b in lessons if rng.random() < h.lesson_happens)
    opened = lessons[0][0] - rng.uniform(5, 40) if lessons and rng.random() < h.opened_early else None
    club = lessons[-1][1] + rng.uniform(50, 100) if lessons and rng.random() < h.club else None
    return _RoomDay(opened, held, club)


def _pupils_day(
    steps: list[Step], place: Seat, day: date, habits: Habits, rng: random.Random, start_ms: int, seed: int
) -> None:
    lessons = place.lessons[day.weekday()]
    device = place.device
    drop_in = place.role is Role.DROP_IN
    room = _room_day(seed, device.school, device.room, day, () if drop_in else lessons, habits)
    if room.opened_min is not None and not place.laptop:
        steps.append((start_ms + int((room.opened_min + rng.uniform(0, 4)) * MINUTE_MS), Act.SWITCH_ON, 0))
    visits: list[tuple[float, float]] = []
    if drop_in:
        opens, closes = (lessons[0][0], lessons[-1][1]) if lessons else (510, 970)
        minute = opens + rng.expovariate(1 / 25)
        while minute < closes - 10:
            length = min(rng.uniform(12, 55), closes - minute - 2)
            if rng.random() < habits.drop_in_use:
                visits.append((minute, minute + length))
            minute += length + rng.expovariate(1 / 25) + 2
    else:
        for start, end, share in room.lessons:
            if rng.random() < share:
                visits.append((start + rng.uniform(1, 6), end - rng.uniform(1, 5)))
        for (_, end), (start, _) in pairwise(lessons):
            if start - end >= 15 and rng.random() < habits.break_use:
                visits.append((end + rng.uniform(1, 5), start - rng.uniform(1, 4)))
        if room.club_until is not None and rng.random() < 0.5:
            visits.append((lessons[-1][1] + rng.uniform(5, 20), room.club_until))
    visits.sort()
    for number, (sits_down, gets_up) in enumerate(visits, start=1):
        parting = _pupil_parting(place, habits, rng, number == len(visits))
        _sit(steps, rng, start_ms, sits_down, gets_up, habits, parting)


def _pupil_parting(place: Seat, habits: Habits, rng: random.Random, last: bool) -> int:
    if place.laptop and rng.random() < habits.lid_closed:
        return Parting.SLEEP
    if rng.random() < (habits.last_class_switches_off if last else habits.pupil_switches_off):
        return Parting.SWITCH_OFF
    return Parting.SIGN_OUT if rng.random() < habits.pupil_signs_out else Parting.WALK


def _staff_parting(habits: Habits, rng: random.Random) -> int:
    if rng.random() < habits.staff_switches_off:
        return Parting.SWITCH_OFF
    return Parting.SIGN_OUT if rng.random() < habits.staff_signs_out else Parting.WALK


def _staff_day(steps: list[Step], place: Seat, day: date, habits: Habits, rng: random.Random, start_ms: int) -> None:
    if rng.random() >= habits.staff_present:
        return
    arrival = rng.gauss(475, 15)
    late = rng.random() < habits.staff_late
    leaves = rng.uniform(1010, 1130) if late else rng.gauss(950, 20)
    lessons = place.lessons[day.weekday()]
    if lessons:  # a teacher's machine: before school, in lessons, at lunch, after school
        blocks = [(arrival, lessons[0][0] - rng.uniform(2, 8))]
        blocks += [(a + rng.uniform(1, 5), b - rng.uniform(1, 4)) for a, b in lessons if rng.random() < 0.75]
        blocks += [(b + 5, a - 5) for (_, b), (a, _) in pairwise(lessons) if a - b > 30 and rng.random() < 0.5]
        blocks.append((lessons[-1][1] + rng.uniform(2, 12), leaves))
    else:  # an office: the whole day with a lunch
        lunch = rng.uniform(720, 790)
        blocks = [(arrival, lunch), (lunch + rng.uniform(20, 45), leaves)]
    blocks = sorted((a, b) for a, b in blocks if b - a > 3)
    for number, (start, end) in enumerate(blocks, start=1):
        last = number == len(blocks)
        marking = last and late
        parting = _staff_parting(habits, rng) if last else Parting.WALK
        _sit(steps, rng, start_ms, start, end, habits, parting, marking=marking)


def _sit(
    steps: list[Step],
    rng: random.Random,
    start_ms: int,
    start_min: float,
    end_min: float,
    habits: Habits,
    parting: int,
    marking: bool = False,
) -> None:
    """Somebody sits at the machine from `start_min` to `end_min`, giving input in stretches; `marking`: rarely."""
    end_ms = start_ms + int(end_min * MINUTE_MS)
    at_ms = start_ms + int(start_min * MINUTE_MS)
    if end_ms <= at_ms:
        return
    steps.append((at_ms, Act.ARRIVE, 0))
    while at_ms < end_ms:
        until = min(end_ms, at_ms + int((0.5 + rng.expovariate(1 / habits.typing_min)) * MINUTE_MS))
        steps.append((at_ms, Act.TYPE, until))
        pause = rng.uniform(*habits.reading_min) if marking else 3 + rng.expovariate(1 / habits.listening_min)
        at_ms = until + int(pause * MINUTE_MS)
    steps.append((end_ms, Act.LEAVE, parting))
