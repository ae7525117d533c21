"""Whether the simulated schools behave like published ones: the same figures, taken the same way, side by side.

The machines live without rules and without agents, and are looked at every 15 minutes, as Domingues et al. did. All
machines but servers count. The published figures come from different places, and two of them cannot both hold:
see the note of the last row.
"""

import random
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from caretaker_contract.messages import PowerState
from caretaker_rules.model import Estate
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.habits import HOUR_MS, MINUTE_MS, Habits, is_school_day, midnight_ms, seat
from caretaker_simulator.life import Life
from caretaker_simulator.sent import cpu_ratio, memory_base, memory_ratio
from caretaker_simulator.troubles import Troubles

SAMPLE_MS = 15 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NIGHT_MS = 3 * HOUR_MS
"""Machines are counted at 03:00, as the night surveys did between closing and opening."""
FIRST_DAY = date(2026, 9, 7)
"""A Monday in term, seven weeks before half term."""
CLOSE_ENOUGH = 3.0
"""Points of a percentage by which a simulated figure may differ."""

_DOMINGUES = "Domingues, Marques, Silva 2005: 169 classroom machines, 77 days, every 15 minutes"
_LBNL = "LBNL 2001, office computers without power management"
_CASE = "case study of a school with 500 PCs (from a vendor)"


@dataclass(frozen=True)
class Row:
    """One figure. `bound`: the published value is a least value. `compared` False: stands there for the record."""

    figure: str
    unit: str
    published: float
    simulated: float
    source: str
    bound: bool = False
    compared: bool = True
    note: str = ""

    @property
    def difference(self) -> float:
        """Simulated minus published."""
        return self.simulated - self.published

    @property
    def fits(self) -> bool:
        """Within 3 points, and not below a least value."""
        return abs(self.difference) <= CLOSE_ENOUGH and not (self.bound and self.difference < 0)


def calibration(
    days: int = 28,
    seed: int = 1,
    *,
    estate: Estate | None = None,
    habits: Habits | None = None,
    troubles: Troubles | None = None,
) -> list[Row]:
    """Live `days` days (whole weeks are fair) of the demo estate and compare; takes about 5 s for 28 days."""
    world = estate or demo_estate()
    ways, failures = habits or Habits(), troubles or Troubles()
    seats = [seat(device, world.schools[device.school], world.classes) for device in world.devices.values()]
    counts = _Counts()
    for place in seats:
        if place.always_on:
            continue
        start_ms = midnight_ms(FIRST_DAY, place.zone)
        life = Life(place, ways, failures, seed, start_ms - 4 * DAY_MS)
        rng = random.Random(f"{seed}|{place.key}|calibration")
        base = memory_base(rng)
        # nights that follow a school day and lead to one, as weeknight surveys saw them
        dates = [date.fromordinal(FIRST_DAY.toordinal() + number) for number in range(days + 1)]
        nights = {
            midnight_ms(after, place.zone) + NIGHT_MS
            for before, after in pairwise(dates[:-1])
            if is_school_day(place.school, before) and is_school_day(place.school, after)
        }
        for at_ms in range(start_ms, start_ms + days * DAY_MS, SAMPLE_MS):
            life.run_until(at_ms)
            counts.look(life, at_ms in nights, base, rng)
    return counts.rows()


class _Counts:
    """What the looks added up to."""

    def __init__(self) -> None:
        self.looks = self.on = self.signed_in = self.in_use = 0
        self.nights = self.nights_off = self.nights_asleep = 0
        self.cpu = self.memory = 0.0

    def look(self, life: Life, night: bool, base: float, rng: random.Random) -> None:
        """One look at one machine."""
        machine = life.machine
        self.looks += 1
        if night:
            self.nights += 1
            self.nights_off += machine.state is PowerState.OFF
            self.nights_asleep += machine.state is PowerState.ASLEEP
        if machine.on:
            in_use = machine.state is PowerState.IN_USE
            self.on += 1
            self.in_use += in_use
            self.signed_in += machine.signed_in
            self.cpu += cpu_ratio(in_use, False, rng.random())
            self.memory += memory_ratio(base, in_use, rng.random())

    def rows(self) -> list[Row]:
        """The table."""
        nobody = 1 - self.signed_in / self.on
        hours_on = 24 * self.on / self.looks
        return [
            Row("share of machine-time powered on", "%", 46.7, 100 * self.on / self.looks, _DOMINGUES, bound=True),
            Row("processor idle, of time on", "%", 97.93, 100 * (1 - self.cpu / self.on), _DOMINGUES),
            Row("memory unused, of time on", "%", 42.06, 100 * (1 - self.memory / self.on), _DOMINGUES),
            Row("machines off on a weeknight", "%", 44.0, 100 * self.nights_off / self.nights, _LBNL),
            Row("nobody signed in, of time on", "%", 58.0, 100 * nobody, _CASE),
            Row(
                "hours on with nobody signed in, per machine and day",
                "h",
                4.4,
                nobody * hours_on,
                _CASE,
                compared=False,
                note=f"58 % and 4.4 h mean {4.4 / 0.58:.1f} h on a day, but 46.7 % is 11.2 h: not the same schools",
            ),
        ]


def table(rows: list[Row]) -> str:
    """The rows as text, published and simulated side by side."""
    lines = [f"{'figure':<52} {'published':>10} {'simulated':>10} {'differs':>8}"]
    for row in rows:
        least = ">= " if row.bound else ""
        published = f"{least}{row.published:g} {row.unit}"
        verdict = "" if not row.compared else "  fits" if row.fits else "  TOO FAR"
        lines.append(
            f"{row.figure:<52} {published:>10} {row.simulated:>8.2f} {row.unit} {row.difference:>+7.2f}{verdict}"
        )
        lines.append(f"    {row.source}{'; ' + row.note if row.note else ''}")
    return "\n".join(lines)
