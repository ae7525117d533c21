"""Runs a fleet against a real broker on the timeline of CARETAKER_CLOCK, and writes down the truth at the end."""

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from caretaker_contract.clock import Clock
from caretaker_contract.topics import Address
from caretaker_rules.model import Estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.line import Faults, Line
from caretaker_simulator.sent import LinkChange, Sent
from caretaker_simulator.story import Fault
from caretaker_simulator.troubles import Troubles
from caretaker_simulator.voice import Voice
from caretaker_simulator.wire import Wire

_TICK_S = (0.005, 0.2)
_STATUS_EVERY_S = 1.0


@dataclass(frozen=True)
class Options:
    """How to run. Times in real seconds unless they say otherwise."""

    host: str = "127.0.0.1"
    port: int = 1883
    seed: int = 1
    schools: Sequence[str] | None = None
    public_keys: Sequence[str] = ()
    for_s: float | None = None  # None: until asked to end
    heartbeat_s: int = 300  # on the timeline
    connections: int | None = 4  # None: one for each device
    faults: Faults = field(default_factory=Faults)
    troubles: Troubles = field(default_factory=Troubles)
    placed: Sequence[Fault] = ()
    keep: int | None = None  # numbered messages kept by each device; None: by the fleet's size
    roll_call: bool = False  # at the end all machines are started, so that every gap shows; always after a loss
    linger_s: float = 0.0  # at the end, go on answering until no command came for as long; 3 s after a loss
    drain_s: float = 60.0  # how long to wait for the broker's acknowledgements at the end
    truth_out: Path | None = None
    status_file: Path | None = None
    name: str = "simulator"


class Run:
    """One run of a fleet; `stop` ends it early, in good order."""

    def __init__(self, estate: Estate, clock: Clock, options: Options) -> None:
        self.clock = clock
        self.options = options
        self.stop = asyncio.Event()
        self.wire = Wire(options.host, options.port, clock, options.connections, options.name)
        self.line = Line(options.faults, options.seed)
        self.fleet = Fleet(
            estate,
            seed=options.seed,
            schools=options.schools,
            troubles=options.troubles,
            public_keys=options.public_keys,
            heartbeat_s=options.heartbeat_s,
            keep=options.keep,
            own_links=options.connections is None,
            faults=options.placed,
        )
        self._loop = asyncio.get_running_loop()
        self._last_command_s = 0.0
        self._told = False  # the truth has been taken: what came now would be said and not be in it

    async def run(self) -> dict[str, object]:
        """Live until told to end; drain; return (and write) the truth."""
        options = self.options
        self.wire.open(self.fleet.schools, self._command, self._reconnected)
        try:
            await self.wire.ready(options.drain_s)
            self._carry(self.fleet.begin(self.clock.now_ms()))
            deadline_s = None if options.for_s is None else self._loop.time() + options.for_s
            await self._live(deadline_s)
            end_ms = self.clock.now_ms()
            self._carry(self.fleet.advance(end_ms))
            await self._finish()
            self._told = True
            truth = self.fleet.truth(end_ms) | {
                "line": {"lost": self.line.lost, "duplicated": self.line.duplicated},
                "wire": self.wire.counts(),
            }
        finally:
            await self.wire.close()
        if options.truth_out is not None:
            _write_json(options.truth_out, truth)
        return truth

    async def _live(self, deadline_s: float | None, quiet_s: float | None = None) -> None:
        """Let time pass until `deadline_s` (of the loop's clock), `stop`, or no command for `quiet_s`."""
        status_s = 0.0
        while not (self.stop.is_set() and quiet_s is None):
            now_s = self._loop.time()
            if deadline_s is not None and now_s >= deadline_s:
                return
            if quiet_s is not None and now_s - self._last_command_s >= quiet_s:
                return
            now_ms = self.clock.now_ms()
            self._carry(self.fleet.advance(now_ms))
            if self.options.status_file is not None and now_s - status_s >= _STATUS_EVERY_S:
                status_s = now_s
                _write_json(self.options.status_file, {"at_ms": now_ms, **self.fleet.summary(), **self.wire.counts()})
            due_ms = self.fleet.due_ms if self.line.due_ms is None else min(self.fleet.due_ms, self.line.due_ms)
            pause_s = self.clock.real_s((due_ms - self.clock.now_ms()) / 1000)
            await asyncio.sleep(min(max(pause_s, _TICK_S[0]), _TICK_S[1]))

    async def _finish(self) -> None:
        """Mend the line, let everybody say what was not said, answer what is still asked, and drain."""
        options, line = self.options, self.line
        lost = line.lost > 0
        line.mend()
        while line.due_ms is not None:
            self._carry(())
            await asyncio.sleep(_TICK_S[0])
        everybody = options.roll_call or lost
        self._carry(self.fleet.roll_call(self.clock.now_ms(), everybody, also=self.wire.stranded()))
        self._last_command_s = self._loop.time()
        linger_s = options.linger_s or (3.0 if lost else 0.0)
        if linger_s:
            await self._live(self._loop.time() + max(options.drain_s, linger_s), quiet_s=linger_s)
        await self.wire.drain(options.drain_s)

    def _carry(self, sent: Sequence[Sent | LinkChange]) -> None:
        self.wire.put(self.line.carry(sent, self.clock.now_ms()))

    def _command(self, address: Address, payload: bytes) -> None:
        if self._told:
            return
        self._last_command_s = self._loop.time()
        self._carry(self.fleet.command(address, payload, self.clock.now_ms()))

    def _reconnected(self, devices: Sequence[Voice]) -> None:
        if self._told:
            return
        self._carry(self.fleet.reconnect(devices, self.clock.now_ms()))


def _write_json(path: Path, value: object) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(path)


async def simulate(estate: Estate, clock: Clock, options: Options) -> dict[str, object]:
    """Run a fleet until `options.for_s` is over or SIGTERM or SIGINT comes; the truth."""
    run = Run(estate, clock, options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, run.stop.set)
    return await run.run()
