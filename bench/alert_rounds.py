"""What the alerts stage costs: beside the rules of 10,000 quiet machines, and when 10,000 of them fall silent at once.

    python bench/alert_rounds.py [--schools 30] [--machines 334]

Every machine is on and was heard a moment ago; then one in two of each school is lost, none behind a known switch and
no room as a whole, so that each is an incident of its own: the worst that can come.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from caretaker_collector import state
from caretaker_collector.calendars import Calendars
from caretaker_collector.incidents import book as incident_book
from caretaker_collector.ledger import Ledger
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_collector.settings import load_alerts
from caretaker_collector.stages.alerts import Alerts
from caretaker_collector.stages.decide import Decide
from caretaker_collector.stages.keep import Keep
from caretaker_contract.messages import Cause, Gauges, Meters, PowerState
from caretaker_rules.model import Device, DeviceClass, Estate, Presence, Room, School, Telemetry, Tracked
from caretaker_rules.policy import PolicyFile, compile_policy

NOW_MS = 1_791_277_200_000  # Tue 6 Oct 2026, 10:00 in London
ROOM_SIZE = 30
TICK_MS = 30_000
RULES = """
mode = "live"
[[rules]]
name = "evening"
select = { everything = true }
hours = ["mon-fri 16:00-23:00"]
idle_for = "30 min"
do = "shut_down"
"""


def tracked(state_: PowerState, now_ms: int) -> Tracked:
    """A machine that was heard just now, or is lost."""
    presence = Presence(
        state=state_, since_ms=now_ms - 60_000, cause=Cause.INPUT, epoch="0000abcd", boot=1, seq=5, heard_ms=now_ms
    )
    return Tracked(presence, Telemetry(Meters(in_use_s=0, idle_s=0, asleep_s=0), Gauges(disk_ratio=0.4), 0))


def world(schools: int, machines: int) -> Estate:
    """Schools with rooms of thirty desktops."""
    rooms = [
        Room(name=f"room-{number}", lessons=["mon-fri 09:00-15:00"]) for number in range(-(-machines // ROOM_SIZE))
    ]
    names = [f"school-{number}" for number in range(schools)]
    devices = [
        Device(school=name, name=f"pc-{n:04}", room=rooms[n // ROOM_SIZE].name, device_class="desktop")
        for name in names
        for n in range(machines)
    ]
    return Estate(
        provider="Bench",
        networks={},
        schools={name: School(name=name, title=name, rooms=rooms) for name in names},
        classes={"desktop": DeviceClass(name="desktop", watts_in_use=90, watts_idle=80, watts_asleep=3, watts_off=2)},
        devices={device.address: device for device in devices},
    )


async def measure(schools: int, machines: int, alerts_path: Path | None) -> None:
    """Play it and print what it took."""
    import tomllib

    import msgspec

    estate = world(schools, machines)
    policy = compile_policy(msgspec.convert(tomllib.loads(RULES), PolicyFile), RULES, "policy.toml")
    policies = dict.fromkeys(estate.schools, policy)
    with tempfile.TemporaryDirectory() as folder:
        db = state.open_state(Path(folder) / "state.db")
        memory = Memory(connected_since_ms=1)
        ledger = Ledger(db, memory)
        calendars = Calendars(estate, Path(folder))
        decide = Decide(memory, ledger, estate, policies, calendars)
        alerts = Alerts(db, memory, estate, policies, load_alerts(alerts_path) if alerts_path else None)
        keep = Keep(db, memory, ledger, estate)
        at_ms = NOW_MS
        dead: set[str] = set()

        async def tick() -> tuple[float, float, float]:
            """Seconds of deciding, of alerts, and of keeping, of one round of all schools."""
            for device in estate.devices.values():
                word = PowerState.LOST if device.name in dead else PowerState.IN_USE
                memory.entry(device.address).tracked = tracked(word, at_ms if device.name not in dead else NOW_MS)
                memory.entries[device.address].pack()
            spent = [0.0, 0.0, 0.0]
            batch = Batch(now_ms=at_ms, records=[], tick=True, position=0)
            while True:
                for place, stage in enumerate((decide, alerts, keep)):
                    began = time.perf_counter()
                    await stage.run(batch)
                    spent[place] += time.perf_counter() - began
                if not batch.unfinished:
                    return spent[0], spent[1], spent[2]
                batch = Batch(now_ms=at_ms, records=[], tick=False, position=0)

        def told(what: str, spent: tuple[float, float, float]) -> None:
            share = f"{spent[1] / spent[0]:.1%} of deciding"
            print(f"{what:<34} decide {spent[0]:6.3f} s  alerts {spent[1]:6.3f} s  keep {spent[2]:6.3f} s  ({share})")

        print(f"{len(estate.devices):,} machines in {schools} schools")
        for number in range(4):
            spent = await tick()
            at_ms += TICK_MS
            if number == 3:
                told("quiet", spent)
        dead = {f"pc-{n:04}" for n in range(0, machines, 2)}
        for number in range(6):
            told(f"half of them lost, round {number + 1}", await tick())
            at_ms += TICK_MS
        print(f"{len(incident_book.open_ones(db)):,} incidents open")
        dead = set()
        for number in range(7):
            told(f"all are back, round {number + 1}", await tick())
            at_ms += TICK_MS
        print(f"{len(incident_book.open_ones(db)):,} incidents open")
        db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schools", type=int, default=30)
    parser.add_argument("--machines", type=int, default=334)
    parser.add_argument("--alerts", type=Path, default=None, help="alerts.toml; else nobody is told")
    given = parser.parse_args()
    asyncio.run(measure(given.schools, given.machines, given.alerts))
