"""What the rules cost after a bell: 100,000 machines, three in ten change state within two minutes.

    python bench/bell.py [--devices 100000] [--json]

No broker and no disk: the reports go through `tracking.track`, and every 30 s each school through `energy.decide`, as
the core's stages do it. The figure to look at is processor time as a share of one core over the two minutes; a plain
loop that only encodes and decodes the same reports, in the same run, says how fast this machine is.
"""

import argparse
import json
import random
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from time import process_time
from zoneinfo import ZoneInfo

from caretaker_collector.settings import load_policy
from caretaker_contract.messages import Cause, Gauges, Hello, Meters, PowerState, Report, Verb, decode, encode
from caretaker_contract.topics import Address, Kind
from caretaker_rules import tracking
from caretaker_rules.energy import Snapshot, decide
from caretaker_rules.model import Device, DeviceClass, Room, School, Term, Tracked
from caretaker_rules.presence import PresenceSettings

ROOT = Path(__file__).parents[1]
BELL_MS = int(datetime(2026, 10, 6, 16, 45, tzinfo=ZoneInfo("Europe/London")).timestamp() * 1000)
SPAN_S, TICK_S, SCHOOL_SIZE, ROOM_SIZE = 120, 30, 328, 30
DESKTOP = DeviceClass(name="desktop", watts_in_use=90, watts_idle=90, watts_asleep=3, watts_off=2.6)


def report(number: int, seq: int, at_ms: int, state: PowerState, was: PowerState) -> Report:
    """One report; idle machines were last touched 40 minutes before the bell."""
    idle_s = 2400 + (at_ms - BELL_MS) // 1000 if state is PowerState.IDLE else 0
    return Report(
        epoch=f"{number:08x}",
        boot=1,
        seq=seq,
        prev=0,
        at_ms=at_ms,
        sent_ms=at_ms,
        state=state,
        was=was,
        cause=Cause.HEARTBEAT if state is was else Cause.INPUT,
        meters=Meters(in_use_s=0, idle_s=0, asleep_s=0),
        gauges=Gauges(idle_s=idle_s, uptime_s=30_000),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tenth of the devices")
    given = parser.parse_args()
    total = given.devices // 10 if given.quick else given.devices
    rng, settings = random.Random(1), PresenceSettings()
    policy = load_policy(ROOT / "rules" / "policies" / "school.toml")
    term = [Term(starts=datetime(2026, 9, 2).date(), ends=datetime(2026, 10, 23).date())]  # noqa: DTZ001
    schools: dict[str, School] = {}
    devices: list[Device] = []
    for number in range(total):
        school = f"s{number // SCHOOL_SIZE:04}"
        rooms = [Room(name=f"r{i}", lessons=["mon-fri 08:50-15:30"]) for i in range(SCHOOL_SIZE // ROOM_SIZE + 1)]
        schools.setdefault(school, School(name=school, title=school, terms=term, rooms=rooms))
        room = f"r{number % SCHOOL_SIZE // ROOM_SIZE}"
        devices.append(Device(school=school, name=f"d{number}", room=room, device_class="desktop"))
    tracked: list[Tracked] = []
    for number in range(total):
        hello = Hello(
            device_class="desktop", room="r0", epoch=f"{number:08x}", boot=1, seq=0, abilities=[*Verb], at_ms=BELL_MS
        )
        state = PowerState.IDLE if rng.random() < 0.5 else PowerState.IN_USE
        known = Tracked()
        for at_ms, seq in ((BELL_MS - 1_200_000, 1), (BELL_MS - 60_000, 2)):
            known, _ = tracking.track(known, report(number, seq, at_ms, state, state), at_ms, settings)
            known, _ = tracking.track(known, hello, at_ms, settings)
        tracked.append(known)

    changing = sorted((BELL_MS + rng.randrange(SPAN_S * 1000), n) for n in rng.sample(range(total), total * 3 // 10))
    coming = []
    for at_ms, number in changing:
        was = tracked[number].presence.state
        now = PowerState.IN_USE if was is PowerState.IDLE else PowerState.IDLE
        coming.append((at_ms, number, report(number, 3, at_ms, now, was)))

    began = process_time()
    for _, _, message in coming:
        decode(Kind.REPORT, encode(message))
    plain_s = process_time() - began

    track_s = decide_s = 0.0
    verdicts: Counter[str] = Counter()
    at = 0
    for tick in range(1, SPAN_S // TICK_S + 1):
        now_ms = BELL_MS + tick * TICK_S * 1000
        began = process_time()
        while at < len(coming) and coming[at][0] <= now_ms:
            at_ms, number, message = coming[at]
            tracked[number], _ = tracking.track(tracked[number], message, at_ms, settings)
            at += 1
        track_s += process_time() - began
        began = process_time()
        for first in range(0, total, SCHOOL_SIZE):
            machines = list(
                zip(devices[first : first + SCHOOL_SIZE], tracked[first : first + SCHOOL_SIZE], strict=True)
            )
            snapshot = Snapshot(
                school=schools[machines[0][0].school],
                classes={"desktop": DESKTOP},
                machines=machines,
                asked=dict[Address, object](),  # type: ignore[arg-type]
                holds=[],
                stops=[],
                behind_s=0.0,
                recent_sends_ms=[],
            )
            verdicts.update(decision.verdict.value for decision in decide(snapshot, policy, now_ms))
        decide_s += process_time() - began
    figures = {
        "devices": total,
        "changes": len(coming),
        "decisions": sum(verdicts.values()),
        "shut_down": verdicts["shut_down"],
        "track_us_a_report": round(track_s / len(coming) * 1e6, 1),
        "decide_us_a_machine": round(decide_s / sum(verdicts.values()) * 1e6, 1),
        "plain_us_a_report": round(plain_s / len(coming) * 1e6, 1),
        "share_of_one_core": round((track_s + decide_s) / SPAN_S, 3),
    }
    if given.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:<22} {value:>12,}\n")


if __name__ == "__main__":
    main()
