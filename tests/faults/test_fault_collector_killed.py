"""The collector killed with -9, again and again: nothing lost, nothing doubled, no command sent twice."""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caretaker_contract.clock import fast_clock
from caretaker_contract.messages import Verb
from fault_count import same_state, settle
from fault_devices import POLICY, Fleet
from fault_starts import WarmCollector, copy_journal
from servers import Mosquitto, free_port, mosquitto
from worlds import NOW_MS, World, collecting, eventually, make_world

pytestmark = pytest.mark.slow
KILLS = 50
SPEED = 60.0
"""A device can be asked again five minutes after it was asked: every five seconds."""


@pytest.fixture
def steady_broker() -> Iterator[Mosquitto]:
    """A broker of the test's own that lives through it, and so need not save anything."""
    with mosquitto() as server:
        yield server


def test_a_collector_killed_at_50_random_moments_loses_doubles_and_repeats_nothing(
    steady_broker: Mosquitto, tmp_path: Path
) -> None:
    """A third of the moments lie anywhere from its start on, a third in a burst of messages, a third at a command.

    The broker lives, so its queue and the journal alone have to bring everything back: no device may be asked again.
    """
    rng = random.Random(2026)
    clock = fast_clock(NOW_MS, SPEED)
    world = make_world(tmp_path / "killed", steady_broker.port, devices=60, policy=POLICY, tick_s=12.0)
    # Machines answer late: else their answers tell a collector that comes back what it had sent.
    fleet = Fleet(world, clock, rate=150, alone=False, answer_after_s=1.2)
    collector = WarmCollector(world, clock)
    with collector.ready():
        collector.start()  # from its first connection on, the broker keeps what comes
        eventually(lambda: (collector.health() or {}).get("status") == "ok", 15, collector.log)
        collector.kill()
        with fleet.running():
            _kill_and_kill(collector, fleet, rng)
            collector.start()
            settle(fleet, collector, within_s=40)
        _commands_went_out_once(world, fleet)
        same_state(world, fleet)
        collector.kill()
    assert fleet.asked[Verb.REPLAY] == 0, f"{fleet.asked[Verb.REPLAY]} times a device had to send again"
    assert fleet.asked[Verb.SHUT_DOWN] >= KILLS / 3, f"only {fleet.asked[Verb.SHUT_DOWN]} commands: nothing is proved"
    _journal_alone_gives_the_same_state(world, tmp_path / "again")


def _kill_and_kill(collector: WarmCollector, fleet: Fleet, rng: random.Random) -> None:
    for number in range(KILLS):
        collector.start()
        if number % 3 == 0:
            time.sleep(rng.uniform(0.0, 0.8))
        elif number % 3 == 1:
            eventually(lambda: collector.health() is not None, 15, collector.log)
            fleet.burst(100)
            time.sleep(rng.uniform(0.0, 0.25))
        else:
            eventually(lambda: collector.health() is not None, 15, collector.log)
            _kill_while_it_sends(collector, fleet, rng)
        collector.kill()


def _kill_while_it_sends(collector: WarmCollector, fleet: Fleet, rng: random.Random) -> None:
    """All go idle at once, so that many commands go out one behind the other; it dies at one of the first of them."""
    left = rng.randint(1, 4)
    shot = threading.Event()

    def at_command() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            collector.shoot()
            shot.set()

    fleet.at_command = at_command
    fleet.leave()
    shot.wait(1.5)  # when fewer came it is killed without
    fleet.at_command = None


def _commands_went_out_once(world: World, fleet: Fleet) -> None:
    twice = {id_: times for id_, times in fleet.seen.items() if times > 1}
    assert not twice, f"commands that came more than once: {twice}"
    db = world.state()
    try:
        known = dict(db.execute("SELECT id, status FROM commands").fetchall())
    finally:
        db.close()
    unknown = [id_ for id_ in fleet.switching if id_ not in known]
    assert not unknown, f"commands that are not in the ledger: {unknown}"
    unsent = [id_ for id_ in fleet.switching if known[id_] in ("decided", "expired")]
    assert not unsent, f"commands that went out, and the ledger says they did not: {unsent}"


def _journal_alone_gives_the_same_state(world: World, folder: Path) -> None:
    """A collector that was never killed reads the same journal from the start, and knows the same of each device."""
    nobody = free_port()  # nothing new may come to it, and nobody may be commanded
    calm = make_world(folder, nobody, devices=len(world.devices), tick_s=3600.0)
    copy_journal(world, calm.data)
    last = _devices(world)
    with collecting(calm):
        eventually(lambda: len(_devices(calm)) == len(last) and _devices(calm) == last, 20, lambda: _differ(last, calm))
        eventually(lambda: calm.stored() == world.stored(), 20, lambda: f"{calm.stored()} != {world.stored()}")


def _devices(world: World) -> dict[str, tuple[bytes, bytes]]:
    try:
        db = world.state()
    except sqlite3.OperationalError:
        return {}
    try:
        rows = db.execute("SELECT device, tracked, numberings FROM devices").fetchall()
    except sqlite3.OperationalError:
        return {}
    finally:
        db.close()
    return {device: (tracked, numberings) for device, tracked, numberings in rows}


def _differ(last: dict[str, tuple[bytes, bytes]], calm: World) -> str:
    now = _devices(calm)
    return f"these devices differ: {sorted(name for name in last if now.get(name) != last[name])}"
