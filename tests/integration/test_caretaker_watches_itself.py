"""Caretaker looks after itself in a process of its own: a broker that is not there becomes an incident, and ends."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from caretaker_collector.cli import app
from caretaker_collector.incidents import book as incident_book
from caretaker_contract.clock import fast_clock
from caretaker_rules.incidents import Incident, Status
from servers import Mosquitto
from worlds import NOW_MS, World, collecting, eventually, make_world

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def incidents(world: World) -> list[Incident]:
    db = world.state()
    try:
        return list(incident_book.listed(db, ""))
    finally:
        db.close()


def test_a_broker_that_is_away_is_one_incident_over_a_restart_and_is_fixed_when_it_is_back(
    plain_broker: Mosquitto, tmp_path: Path
) -> None:
    world = make_world(tmp_path, plain_broker.port, tick_s=10)
    plain_broker.stop()
    with collecting(world, fast_clock(NOW_MS, 60)) as collector:
        eventually(lambda: [one.key for one in incidents(world)] == ["broker_silent caretaker"], 20, collector.log)
        told = CliRunner().invoke(app, ["incidents", "caretaker", "--config", str(world.config)])
        assert told.stdout.startswith(
            "INC-1   --  Caretaker itself · Caretaker has no connection to its broker · since"
        )
        collector.kill()
        collector.start()
        plain_broker.start()
        eventually(lambda: incidents(world)[0].status is Status.FIXED, 40, collector.log)
        assert len(incidents(world)) == 1
