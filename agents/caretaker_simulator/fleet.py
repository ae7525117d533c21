"""Many simulated devices on one timeline: whatever is due next happens next, so idle machines cost nothing.

Two ways to run one, both seeded and repeatable:
- `play(start_ms, end_ms)` gives every message of that time, as fast as the processor can.
- `begin(now)`, then `advance(now)` whenever time has passed (run.py does that against a real broker), and `command()`
  for what arrives for a device.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from heapq import heapify, heappop, heappush

import msgspec

from caretaker_agent.obey import Keyring
from caretaker_contract.topics import Address
from caretaker_rules.model import Device, Estate
from caretaker_simulator.device import SimulatedDevice
from caretaker_simulator.habits import Habits, seat
from caretaker_simulator.life import Life
from caretaker_simulator.line import Faults, Line
from caretaker_simulator.sent import LinkChange, Sent, disk_base
from caretaker_simulator.story import Ailing, Fault, happened, steps_of
from caretaker_simulator.troubles import Troubles, clock_of
from caretaker_simulator.truth import STATES
from caretaker_simulator.voice import Voice

DAY_MS = 86_400_000
WARM_DAYS = 4
"""Machines live as many days unheard before their agents begin, so that a Monday knows the Friday before."""


def has_agent(device: Device, estate: Estate) -> bool:
    """Whether it says anything by itself."""
    device_class = estate.classes.get(device.device_class)
    return device_class is None or device_class.agent


def _plain(stream: Iterable[Sent | LinkChange]) -> Iterator[tuple[int, str, bytes]]:
    for each in stream:
        if isinstance(each, Sent):
            yield each.at_ms, each.topic, each.payload


class Fleet:
    """The simulated devices of an estate (`schools`: only of these)."""

    def __init__(
        self,
        estate: Estate,
        *,
        seed: int = 1,
        schools: Sequence[str] | None = None,
        habits: Habits | None = None,
        troubles: Troubles | None = None,
        public_keys: Sequence[str] = (),
        heartbeat_s: int = 300,
        keep: int | None = None,
        own_links: bool = False,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.seed = seed
        self._placed = list(faults)
        self._habits = habits or Habits()
        self._troubles = troubles or Troubles()
        self._keyring = Keyring(public_keys)
        self._heartbeat_s = heartbeat_s
        self._own_links = own_links
        wanted = set(estate.schools if schools is None else schools)
        self._seats = [
            seat(device, estate.schools[device.school], estate.classes)
            for device in estate.devices.values()
            if device.school in wanted and has_agent(device, estate)
        ]
        # an hour is about 15 messages of 400 bytes: large fleets keep less for replay
        self._keep = keep if keep is not None else (1000 if len(self._seats) <= 1000 else 100)
        self.devices: dict[Address, SimulatedDevice] = {}
        self._order: list[SimulatedDevice] = []
        self._heap: list[tuple[int, int]] = []
        self._index: dict[SimulatedDevice, int] = {}
        self._out: list[Sent | LinkChange] = []
        self.start_ms = 0

    @property
    def schools(self) -> list[str]:
        """Names of the schools that have devices here."""
        return sorted({place.device.school for place in self._seats})

    def begin(self, start_ms: int) -> list[Sent | LinkChange]:
        """Machines live some days unheard; then all agents are installed at `start_ms`. What they say first."""
        if self._order:
            raise ValueError("this fleet has begun already")
        self.start_ms = start_ms
        relays: set[str] = set()  # schools that have theirs
        for place in self._seats:
            school = place.device.school
            is_relay = place.always_on and school not in relays  # the first server of each
            relays.update({school} if is_relay else ())
            placed = steps_of(self._placed, place)
            life = Life(place, self._habits, self._troubles, self.seed, start_ms - WARM_DAYS * DAY_MS, placed)
            life.run_until(start_ms)
            device = SimulatedDevice(
                life,
                start_ms,
                habits=self._habits,
                seed=self.seed,
                clock=clock_of(place, self._troubles, self.seed),
                keyring=self._keyring,
                out=self._out.append,
                heartbeat_s=self._heartbeat_s,
                keep=self._keep,
                own_link=self._own_links,
                rouse=partial(self._rouse, school) if is_relay else None,
                ailing=Ailing(self._placed, place, disk_base(f"{self.seed}|{place.key}|disk")),
            )
            self._index[device] = len(self._order)
            self._order.append(device)
            self.devices[place.device.address] = device
            device.begin(start_ms)
        self._heap = [(device.due_ms, index) for index, device in enumerate(self._order)]
        heapify(self._heap)
        return self._take()

    @property
    def due_ms(self) -> int:
        """When something happens next."""
        return self._heap[0][0]

    def advance(self, now_ms: int) -> list[Sent | LinkChange]:
        """Let everything happen that is due up to `now_ms`; what the devices say, each with its own time."""
        heap, order = self._heap, self._order
        while heap[0][0] <= now_ms:
            due_ms, index = heappop(heap)
            device = order[index]
            if device.due_ms == due_ms:  # else a command made this entry out of date
                device.run(due_ms)
                heappush(heap, (device.due_ms, index))
        return self._take()

    def play(self, start_ms: int, end_ms: int, faults: Faults | None = None) -> Iterator[tuple[int, str, bytes]]:
        """Every message of [start_ms, end_ms) as (UTC ms, topic, payload), in order of arrival; no broker, no clock.

        May be called again for the time that follows. With `faults`, delayed messages come up to the end.
        """
        if self._own_links:
            raise ValueError("without a broker there are no connections of one's own")
        line = Line(faults or Faults(), self.seed)
        if not self._order:
            yield from _plain(line.carry(self.begin(start_ms), start_ms))
        heap, order, out = self._heap, self._order, self._out
        bad = line.faults.any
        while heap[0][0] < end_ms:
            due_ms, index = heappop(heap)
            device = order[index]
            if device.due_ms != due_ms:
                continue
            device.run(due_ms)
            heappush(heap, (device.due_ms, index))
            if out:
                taken = self._take()
                yield from _plain(line.carry(taken, due_ms) if bad else taken)
        yield from _plain(line.carry((), end_ms))

    def command(self, address: Address, payload: bytes, now_ms: int) -> list[Sent | LinkChange]:
        """Something arrived on a device's command topic; what happened before is told first."""
        before = self.advance(now_ms)
        device = self.devices.get(address)
        if device is None:
            return before
        device.receive(payload, now_ms)
        self._reschedule(device)
        return before + self._take()

    def start(self, address: Address, now_ms: int) -> list[Sent | LinkChange]:
        """Switch a machine on (or wake it), as a hand or a magic packet would; it is up after its boot time."""
        before = self.advance(now_ms)
        self.devices[address].start(now_ms)
        self._reschedule(self.devices[address])
        return before + self._take()

    def _rouse(self, school: str, macs: list[str], now_ms: int) -> None:
        """Magic packets on a school's network. Only its own machines hear them; who is on takes no notice."""
        for device in self._order:
            seat = device.life.seat.device
            if seat.school == school and seat.mac in macs:
                device.packet(now_ms)
                self._reschedule(device)

    def reconnect(self, devices: Sequence[Voice], now_ms: int) -> list[Sent | LinkChange]:
        """The transport's connection for these devices broke and is back: as agents would, they say hello anew."""
        before = self.advance(now_ms)
        for device in devices:
            if not device.own_link:  # else it was told when the connection was begun, for its will
                device.relink(now_ms)
            device.announce(now_ms)
        return before + self._take()

    def roll_call(self, now_ms: int, everybody: bool, also: Collection[Voice] = ()) -> list[Sent | LinkChange]:
        """Before the end: the network is mended, and machines with unsent messages are started at once.

        `also` these: the transport holds messages of theirs. `everybody`: all machines are started, and those that are
        on report, so that every gap in the numbers shows.
        """
        before = self.advance(now_ms)
        for device in self._order:
            machine = device.life.machine
            was_cut = machine.network_cuts > 0
            device.life.calm()
            if was_cut:
                device.network(now_ms, up=True)
            if not machine.on and (everybody or device.unsent or device in also):
                machine.start_at_once(now_ms)
                device.life.set_due()
            elif everybody:
                device.heartbeat(now_ms)
            device.set_due()
            self._reschedule(device)
        return before + self._take()

    def _reschedule(self, device: SimulatedDevice) -> None:
        heappush(self._heap, (device.due_ms, self._index[device]))

    def _take(self) -> list[Sent | LinkChange]:
        taken = self._out[:]
        self._out.clear()
        return taken

    # --- what is known of it

    @property
    def published(self) -> int:
        """How many numbered messages all agents have made."""
        return sum(device.truth.published for device in self._order)

    @property
    def unsafe(self) -> int:
        """How many machines were switched off by a command while somebody used them, by the truth."""
        return sum(device.truth.unsafe for device in self._order)

    def states(self) -> dict[str, int]:
        """How many machines are in each state now."""
        counts = Counter(device.truth.state for device in self._order)
        return {state.value: counts[state] for state in STATES}

    def summary(self) -> dict[str, object]:
        """Counts of the whole fleet."""
        steps: Counter[str] = Counter()
        switched: Counter[str] = Counter()
        for device in self._order:
            switched.update(device.truth.switched_off)
            steps.update(device.truth.commands)
        by_step: Counter[str] = Counter()
        for text, count in steps.items():
            verb, step = text.split()
            if verb != "replay":
                by_step[step] += count
        return {
            "devices": len(self._order),
            "states": self.states(),
            "published": self.published,
            "unsafe": self.unsafe,
            "outcomes": dict(sorted(by_step.items())),  # of commands other than replay
            "commands": dict(sorted(steps.items())),
            "switched_off_by_command": sum(switched.values()),
            "switched_off": dict(sorted(switched.items())),
            "ignored_commands": sum(device.ignored_commands for device in self._order),
        }

    def faults(self, start_ms: int, end_ms: int) -> list[Fault]:
        """What went wrong within [start_ms, end_ms), placed and drawn, with the devices that it hit."""
        return happened(self._placed, self._seats, self._troubles, self.seed, start_ms, end_ms)

    def truth(self, end_ms: int) -> dict[str, object]:
        """What every machine did from the beginning to `end_ms`, for the truth file."""
        return {
            "start_ms": self.start_ms,
            "end_ms": end_ms,
            "seed": self.seed,
            "totals": self.summary(),
            "faults": [msgspec.to_builtins(fault) for fault in self.faults(self.start_ms, end_ms)],
            "devices": {
                str(address): device.truth.as_dict(self.start_ms, end_ms) for address, device in self.devices.items()
            },
        }
