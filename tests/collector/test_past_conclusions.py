"""What is concluded of a machine's past without ticks is what ticks would have concluded."""

from caretaker_collector.past.presence import Watched
from caretaker_contract.messages import PowerState, decode
from caretaker_contract.topics import Address, parse
from caretaker_rules import tracking
from caretaker_rules.model import Tracked, Transition
from caretaker_rules.presence import PresenceSettings, transition_of
from caretaker_simulator.estate import demo_estate
from caretaker_simulator.fleet import Fleet
from caretaker_simulator.troubles import Troubles
from rules_world import london_ms

START_MS = london_ms("2026-10-05 07:00")
END_MS = START_MS + 12 * 3_600_000
SETTINGS = PresenceSettings()
TICK_MS = 1_000


def messages():
    """Half a school day of the small school, in which much goes wrong."""
    rough = Troubles(0.5, 0.9, 1.0, 0.9, 1.0, 0, 0, 0)
    for at_ms, topic, payload in Fleet(demo_estate(), seed=4, schools=["oak"], troubles=rough).play(START_MS, END_MS):
        address, kind = parse(topic)
        yield at_ms, address, decode(kind, payload)


def ticked() -> dict[Address, list[Transition]]:
    """As the core does it: every message, and a look at each machine each second in which it may matter."""
    tracked: dict[Address, Tracked] = {}
    found: dict[Address, list[Transition]] = {}
    looked: dict[Address, int] = {}

    def look(address: Address, until_ms: int) -> None:
        at_ms = looked.get(address, until_ms)
        while at_ms < until_ms:
            tracked[address], changes = tracking.tick(tracked[address], at_ms, SETTINGS)
            found[address] += changes
            at_ms += TICK_MS
        looked[address] = until_ms

    for at_ms, address, message in messages():
        tracked.setdefault(address, Tracked())
        found.setdefault(address, [])
        look(address, at_ms)
        tracked[address], changes = tracking.track(tracked[address], message, at_ms, SETTINGS)
        told = transition_of(message) if hasattr(message, "was") else None
        found[address] += [change for change in changes if change != told]
    for address in tracked:
        look(address, END_MS)
    return found


def test_lost_and_found_come_out_as_from_a_tick_each_second() -> None:
    watched: dict[Address, Watched] = {}
    found: dict[Address, list[Transition]] = {}
    for at_ms, address, message in messages():
        machine = watched.setdefault(address, Watched(SETTINGS))
        found.setdefault(address, []).extend(machine.hear(message, at_ms))
    for address, machine in watched.items():
        found[address] += machine.until(END_MS)
    assert found == ticked()
    lost = [change for changes in found.values() for change in changes if change.to_state is PowerState.LOST]
    assert len(lost) > 20, "else nothing was compared"
