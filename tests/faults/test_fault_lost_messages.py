"""Messages that the broker or the way to it loses: the numbers show the gap, and the device sends again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caretaker_contract.clock import fast_clock
from caretaker_contract.messages import Verb
from fault_count import same_state, settle
from fault_devices import POLICY, Fleet
from fault_starts import WarmCollector
from servers import Mosquitto, mosquitto
from worlds import NOW_MS, collecting, eventually, make_world

pytestmark = pytest.mark.slow
SPEED = 30.0  # the collector's patience of 20 s is 0.7 s then, and its 60 s between two requests are 2 s


@pytest.fixture
def default_broker() -> Iterator[Mosquitto]:
    """A mosquitto with its own default persistence, saved every half hour: kill -9 loses its queue."""
    with mosquitto(persistence=True) as server:
        yield server


def test_what_a_killed_broker_had_queued_comes_back_from_the_devices(default_broker: Mosquitto, tmp_path: Path) -> None:
    """Six times in mid-stream, while the collector is away, at work, or killed with it."""
    clock = fast_clock(NOW_MS, SPEED)
    world = make_world(tmp_path, default_broker.port, devices=24, policy=POLICY, tick_s=5.0)
    fleet = Fleet(world, clock, seed=2, rate=150)
    collector = WarmCollector(world, clock)
    with collector.ready():
        collector.start()
        eventually(lambda: (collector.health() or {}).get("status") == "ok", 15, collector.log)
        with fleet.running():
            for number in range(6):
                time.sleep(0.7)
                if number % 3 == 0:  # what comes now is confirmed to its device, and waits in the broker
                    collector.kill()
                    time.sleep(0.6)
                default_broker.kill()
                if number % 3 == 1:
                    collector.kill()
                time.sleep(0.1)
                default_broker.start()
                if not collector.pid:
                    collector.start()
            settle(fleet, collector, within_s=45)
        same_state(world, fleet)
        assert fleet.asked[Verb.REPLAY] > 0
        assert fleet.resent >= 100, f"only {fleet.resent} messages were lost and sent again: nothing is proved"
        assert max(fleet.seen.values()) == 1, "a command came more than once"


def test_a_line_that_loses_a_tenth_and_shuffles_and_repeats_the_rest_changes_no_total(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """Also commands and replays get lost on the way. Three devices forget what was lost: that is counted as dropped."""
    clock = fast_clock(NOW_MS, SPEED)
    world = make_world(tmp_path, broker.port, devices=24, tick_s=5.0)
    fleet = Fleet(world, clock, seed=6, rate=300, loss=0.1, repeat=0.1, shuffle=True, window=200)
    forgetful = list(fleet.devices.values())[:3]
    for device in forgetful:
        device.forgetful = True
    with collecting(world, clock) as collector, fleet.running():
        eventually(lambda: fleet.made >= 3_000, 60, lambda: f"the fleet has made {fleet.made}")
        settle(fleet, collector, within_s=60)
        same_state(world, fleet)
    counted = world.counters()
    forgotten = sum(len(device.forgotten) for device in forgetful)
    assert forgotten >= 10, f"only {forgotten} forgotten: nothing is proved"
    assert counted["dropped"] == forgotten
    assert fleet.resent >= 100, f"only {fleet.resent} sent again: nothing is proved"
    assert counted["duplicates"] >= 100, f"only {counted['duplicates']} repeats: nothing is proved"
