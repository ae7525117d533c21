"""What goes wrong in a school, pure and seeded: crashes, power cuts, network cuts, clocks that are wrong.

Rates are guesses for a demonstration and for tests, each a setting; nothing here is a published failure rate.
"""

import random
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from caretaker_simulator.habits import HOUR_MS, MINUTE_MS, Act, Role, Seat, Step, midnight_ms


@dataclass(frozen=True)
class Troubles:
    """How often things fail: likelihoods a day, and shares of all machines (0-1)."""

    crash_per_day: float = 0.004  # of a machine; it then stands until somebody starts it again
    power_cut_per_day: float = 0.01  # of a school
    line_cut_per_day: float = 0.05  # of a school's line
    switch_dead_per_day: float = 0.01  # of a room's network switch
    wifi_gap_per_day: float = 0.5  # of a laptop: seconds without a connection
    wrong_clocks: float = 0.012  # share of machines whose clock is wrong throughout, by minutes to hours
    stepped_clocks: float = 0.006  # share whose clock is an hour off until a time server sets it, every day anew
    dead_batteries: float = 0.0  # share that believe it is 2009 for two minutes after every boot


NO_TROUBLES = Troubles(0, 0, 0, 0, 0, 0, 0, 0)
DEAD_BATTERY_MS = 1_230_768_000_000
"""1 January 2009, where a clock without a battery begins."""


@dataclass(frozen=True)
class WrongClock:
    """How a machine's clock differs from the truth: `offset_ms` from the start; `dead_battery` adds years at boot."""

    offset_ms: int = 0
    stepped: bool = False
    dead_battery: bool = False


def clock_of(place: Seat, troubles: Troubles, seed: int) -> WrongClock:
    """The clock of this machine, the same for every day."""
    rng = random.Random(f"{seed}|{place.key}|clock")
    draw = rng.random()
    if draw < troubles.wrong_clocks:
        minutes = rng.choice([3.0, -4.0, 9.0, -15.0, 60.0, -60.0]) + rng.uniform(-1, 1)
        return WrongClock(offset_ms=int(minutes * MINUTE_MS))
    if draw < troubles.wrong_clocks + troubles.stepped_clocks:
        return WrongClock(offset_ms=HOUR_MS, stepped=True)
    if draw < troubles.wrong_clocks + troubles.stepped_clocks + troubles.dead_batteries:
        return WrongClock(dead_battery=True)
    return WrongClock()


@lru_cache(maxsize=8192)
def cut(seed: int, what: str, day: date, likelihood: float, shortest_min: float, longest_min: float) -> tuple[int, int]:
    """Start and end of a cut in ms since midnight; (0, 0): none. Shared by all machines behind the same thing."""
    rng = random.Random(f"{seed}|{what}|{day.toordinal()}")
    if rng.random() >= likelihood:
        return 0, 0
    start = int(rng.uniform(0.5, 23) * HOUR_MS)
    return start, start + int(rng.uniform(shortest_min, longest_min) * MINUTE_MS)


def plan_troubles(place: Seat, day: date, troubles: Troubles, seed: int) -> list[Step]:
    """What goes wrong with this machine on this local date, in order of time."""
    start_ms = midnight_ms(day, place.zone)
    school, room = place.device.school, place.device.room
    rng = random.Random(f"{seed}|{place.key}|trouble|{day.toordinal()}")
    steps: list[Step] = []
    if rng.random() < troubles.crash_per_day:
        steps.append((start_ms + int(rng.uniform(7.5, 19) * HOUR_MS), Act.CRASH, 0))
    begin, end = cut(seed, f"{school}|power", day, troubles.power_cut_per_day, 1, 90)
    if end:
        steps += _without_power(place, start_ms + begin, start_ms + end, rng)
    for what, likelihood, longest in (
        (f"{school}|line", troubles.line_cut_per_day, 40),
        (f"{school}|switch|{room}", troubles.switch_dead_per_day, 90),
    ):
        begin, end = cut(seed, what, day, likelihood, 0.1, longest)
        if end:
            steps += [(start_ms + begin, Act.NET_CUT, 0), (start_ms + end, Act.NET_BACK, 0)]
    if place.laptop and rng.random() < troubles.wifi_gap_per_day:
        begin = start_ms + int(rng.uniform(8, 17) * HOUR_MS)
        steps += [(begin, Act.NET_CUT, 0), (begin + int(rng.uniform(4_000, 70_000)), Act.NET_BACK, 0)]
    clock = clock_of(place, troubles, seed)
    if clock.stepped:  # an hour wrong from 03:00, set right at about nine
        steps.append((start_ms + 3 * HOUR_MS, Act.CLOCK, clock.offset_ms))
        steps.append((start_ms + 9 * HOUR_MS + int(rng.uniform(0, 600_000)), Act.CLOCK, 0))
    steps.sort()
    return steps


def _without_power(place: Seat, begin_ms: int, end_ms: int, rng: random.Random) -> list[Step]:
    if place.laptop:  # its battery holds; the access point's does not
        return [(begin_ms, Act.NET_CUT, 0), (end_ms + 2 * MINUTE_MS, Act.NET_BACK, 0)]
    if place.role is Role.SERVER and end_ms - begin_ms < 30 * MINUTE_MS:  # a UPS bridges half an hour
        return [(begin_ms, Act.NET_CUT, 0), (end_ms + 2 * MINUTE_MS, Act.NET_BACK, 0)]
    starts_alone = 1 if place.always_on or rng.random() < 0.2 else 0
    return [(begin_ms, Act.POWER_CUT, 0), (end_ms + int(rng.uniform(0, 20_000)), Act.POWER_BACK, starts_alone)]
