"""A simulated school lived twice, with and without a change, so that what was saved is known (tests, bench).

The same seed gives the same people, lessons and days. So what a rule saved is the energy of the life without it less
that of the life with it, in the simulator's own truth, which no estimate sees.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from caretaker_contract.messages import Cause, PowerState, Verb
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.model import CarbonFactor, Tariff
from caretaker_rules.savings import Baseline, Figure, Savings, assess, spans
from caretaker_rules.spells import Spell, Spells
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.habits import Habits, seat
from caretaker_simulator.life import Life
from caretaker_simulator.troubles import Troubles

ZONE = zone_of("Europe/London")
ESTATE = demo_estate()
TROUBLES = Troubles(line_cut_per_day=0, switch_dead_per_day=0, wifi_gap_per_day=0, wrong_clocks=0, stepped_clocks=0)
"""Crashes and power cuts only: what is wrong with lines and clocks does not change what is used."""
TARIFFS = (Tariff(valid_from=date(2026, 4, 1), pence_per_kwh=25, source="business rates, October 2025"),)
FACTORS = (CarbonFactor(valid_from=date(2025, 6, 1), kg_co2e_per_kwh=0.177, source="UK grid, 2025 set"),)
BASELINE = (date(2026, 9, 7), date(2026, 9, 25))
TARGET = (date(2026, 9, 28), date(2026, 10, 16))
MIX = {"ict3": 8, "english": 5, "lib": 4, "science": 3, "office": 4, "ict1": 4}
IDLE_FOR_MS = 1_800_000
MINUTE_MS = 60_000


class _Ear:
    """Writes down what a machine's agent would report."""

    def __init__(self, name: str, room: str, device_class: str, heard: list[tuple]) -> None:
        self.words = (name, room, device_class)
        self.heard = heard

    def changed(self, at_ms: int, state: PowerState, was: PowerState, cause: Cause, graceful: bool) -> None:
        """One change of state; a machine that goes without a word is lost from sight."""
        self.heard.append((at_ms, *self.words, was, state if graceful else PowerState.LOST, cause))

    def network(self, at_ms: int, up: bool) -> None:
        """Not played."""

    def clock_set(self, at_ms: int, offset_ms: int) -> None:
        """Not played."""


def rule_time_ms(idle_from_ms: int) -> int:
    """When a rule for weekday evenings, nights and weekends, idle for 30 min, would act."""
    at_ms = idle_from_ms + IDLE_FOR_MS
    moment = local(at_ms, ZONE)
    minute = moment.hour * 60 + moment.minute
    if moment.weekday() < 5 and 450 <= minute < 990:
        return at_ms + (990 - minute) * MINUTE_MS
    return at_ms


def live(
    seed: int,
    first: date,
    last: date,
    rule: bool = False,
    habits: Habits | None = None,
    mix: dict[str, int] | None = None,
) -> tuple[list[tuple], float]:
    """Changes of state in order of time, and the kWh that were used."""
    rooms = MIX if mix is None else mix
    start_ms, end_ms = midnight_ms(first, ZONE), midnight_ms(last + timedelta(days=1), ZONE)
    heard: list[tuple] = []
    joules = 0.0
    taken = dict.fromkeys(rooms, 0)
    for device in ESTATE.devices.values():
        if device.school != "ash" or taken.get(device.room, 0) >= rooms.get(device.room, 0):
            continue
        taken[device.room] += 1
        place = seat(device, ESTATE.schools["ash"], ESTATE.classes)
        life = Life(place, habits or Habits(), TROUBLES, seed, start_ms)
        machine = life.machine
        machine.listener = _Ear(device.name, device.room, device.device_class, heard)
        while life.due_ms < end_ms:
            if rule and machine.state is PowerState.IDLE and not machine.present:
                at_ms = rule_time_ms(machine.typing_until_ms)
                if at_ms < life.due_ms:
                    machine.obey(at_ms, Verb.SHUT_DOWN, Cause.RULE)
                    life.set_due()
                    continue
            life.run(life.due_ms)
        known = ESTATE.classes[device.device_class]
        watts = {
            PowerState.IN_USE: known.watts_in_use,
            PowerState.IDLE: known.watts_idle,
            PowerState.ASLEEP: known.watts_asleep,
            PowerState.OFF: known.watts_off,
        }
        joules += sum(ms / 1000 * watts[state] for state, ms in machine.truth.totals_ms(start_ms, end_ms).items())
    heard.sort(key=lambda entry: entry[0])
    return heard, joules / 3_600_000


def spells_of(heard: Iterable[tuple], last: date) -> list[Spell]:
    """All spells in what was heard, cut after the last day."""
    book = Spells()
    found = [spell for change in heard if (spell := book.feed(*change)) is not None]
    return [*found, *book.finish(midnight_ms(last + timedelta(days=1), ZONE))]


@dataclass(frozen=True)
class Run:
    """One estimate and the truth beside it."""

    savings: Savings
    true_rule_kwh: float
    true_user_kwh: float

    def covers(self) -> dict[str, bool]:
        """Whether each range holds its truth."""
        return {
            "rule-off": holds(self.savings.rule_off.kwh, self.true_rule_kwh),
            "user-off": holds(self.savings.user_off.kwh, self.true_user_kwh),
            "both": holds(self.savings.both.kwh, self.true_rule_kwh + self.true_user_kwh),
        }


def holds(figure: Figure, truth: float) -> bool:
    """Whether the truth lies in the range (a billionth aside: sums of floats)."""
    return figure.low - 1e-9 <= truth <= figure.high + 1e-9


KINDS = ("nothing", "rule", "tidier")


def play(seed: int, kinds: Iterable[str] = KINDS, mix: dict[str, int] | None = None) -> dict[str, Run]:
    """A baseline, then as many days with nothing changed, with a rule, or with tidier people: an estimate for each."""
    base, _ = live(seed, *BASELINE, mix=mix)
    usual, usual_kwh = live(seed, *TARGET, mix=mix)
    known = Baseline(spells_of(base, BASELINE[1]), ZONE, *BASELINE)
    parts = spans(*TARGET, ZONE, TARIFFS, FACTORS)
    runs = {}
    for kind in kinds:
        if kind == "nothing":
            heard, kwh = usual, usual_kwh
        elif kind == "rule":
            heard, kwh = live(seed, *TARGET, rule=True, mix=mix)
        else:
            heard, kwh = live(seed, *TARGET, habits=replace(Habits(), last_class_switches_off=0.75), mix=mix)
        savings = assess(known, spells_of(heard, TARGET[1]), parts, ESTATE.classes)
        saved = usual_kwh - kwh
        runs[kind] = Run(savings, saved if kind == "rule" else 0.0, saved if kind == "tidier" else 0.0)
    return runs
