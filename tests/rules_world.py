"""A small school for tests of the core: a machine in any situation, as a few words, and the snapshot around it."""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from caretaker_contract.messages import Cause, Gauges, Meters, PowerState, Report, Step, Verb
from caretaker_rules.durations import parse_duration
from caretaker_rules.energy import Snapshot
from caretaker_rules.model import (
    Asked,
    Device,
    DeviceClass,
    Hold,
    Presence,
    Room,
    School,
    Stop,
    Telemetry,
    Term,
    Tracked,
    Turn,
)
from caretaker_rules.policy import Policy, PolicyFile, compile_policy

LONDON = ZoneInfo("Europe/London")
POLICIES = Path(__file__).parent.parent / "rules" / "policies"
EPOCH = "3f9a01c2"
ABILITIES = (Verb.SHUT_DOWN, Verb.SLEEP, Verb.RESTART, Verb.WARN, Verb.CANCEL, Verb.REPLAY)

SCHOOL = School(
    name="ash",
    title="Ashfield Secondary",
    network="green",
    terms=[
        Term(starts=date(2026, 9, 2), ends=date(2026, 10, 23)),
        Term(starts=date(2026, 11, 2), ends=date(2026, 12, 18)),
    ],
    closed_days=[date(2026, 10, 5)],
    rooms=[
        Room(name="ict1", lessons=["mon-fri 08:50-15:10", "tue 18:00-19:00"]),
        Room(name="office", lessons=[]),
        Room(name="hall"),
    ],
)
CLASSES = {
    "desktop": DeviceClass(
        name="desktop", watts_in_use=90, watts_idle=90, watts_asleep=3, watts_off=2.6, source="tracebase 2011-12"
    ),
    "server": DeviceClass(
        name="server", watts_in_use=200, watts_idle=200, watts_asleep=200, watts_off=5, always_on=True
    ),
}


def london_ms(text: str) -> int:
    """UTC ms of a local London time such as "2026-10-06 17:30"."""
    return round(datetime.fromisoformat(text).replace(tzinfo=LONDON).timestamp() * 1000)


NOW_MS = london_ms("2026-10-06 17:15")


def load_policy(name: str = "school.toml") -> Policy:
    """One of the example policies."""
    return policy_from((POLICIES / name).read_text(), str(POLICIES / name))


def policy_from(text: str, path: str = "policy.toml") -> Policy:
    """A policy from its text, read as the collector reads it."""
    return compile_policy(msgspec.convert(tomllib.loads(text), PolicyFile), text, path)


def report(
    seq: int,
    state: PowerState = PowerState.IDLE,
    was: PowerState | None = None,
    *,
    boot: int = 5,
    epoch: str = EPOCH,
    at_ms: int = NOW_MS,
    cause: Cause | None = None,
    **more: Any,
) -> Report:
    """A report; `was` None makes it a heartbeat."""
    return Report(
        epoch=epoch,
        boot=boot,
        seq=seq,
        prev=more.pop("prev", 9 if boot > 1 else 0),
        at_ms=at_ms,
        sent_ms=more.pop("sent_ms", at_ms),
        state=state,
        was=state if was is None else was,
        cause=cause or (Cause.HEARTBEAT if was is None else Cause.INPUT),
        meters=more.pop("meters", Meters(in_use_s=0, idle_s=0, asleep_s=0)),
        gauges=more.pop("gauges", Gauges()),
    )


def machine(
    *,
    name: str = "pc-01",
    room: str = "ict1",
    device_class: str = "desktop",
    tags: tuple[str, ...] = (),
    mac: str | None = "02:00:00:00:00:01",
    now_ms: int = NOW_MS,
    state: str = "idle",
    idle: str | None = "40 min",
    idle_state: str | None = None,
    report_age: str = "20 s",
    skew_s: float = 0.1,
    link_age: str = "3 h",
    uptime: str | None = "6 h",
    inhibited: bool | None = False,
    abilities: tuple[Verb, ...] = ABILITIES,
    link_broke: bool = False,
    silent: bool = False,
    heartbeat_s: int = 300,
    cause: Cause = Cause.NO_INPUT,
) -> tuple[Device, Tracked]:
    """A machine in a situation; `idle` and `uptime` are as its newest report gave them (None: it could not tell).

    `idle_state`: for how long it had said so when it reported, as long as `idle` says unless given. `silent`: no report
    has ever come.
    """
    device = Device(school="ash", name=name, room=room, device_class=device_class, mac=mac, tags=tags)
    if silent:
        return device, Tracked(abilities=abilities)
    skew_ms = round(skew_s * 1000)
    at_ms = now_ms - parse_duration(report_age) * 1000 - skew_ms
    idle_s = parse_duration(idle) if idle is not None else None
    spell_s = parse_duration(idle_state) if idle_state is not None else idle_s or 0
    power = PowerState(state)
    since_ms = at_ms - spell_s * 1000
    presence = Presence(
        state=power,
        since_ms=since_ms,
        cause=cause,
        epoch=EPOCH,
        boot=5,
        seq=40,
        at_ms=at_ms,
        heard_ms=at_ms + skew_ms,
        heartbeat_s=heartbeat_s,
        link=1,
        link_ms=now_ms - parse_duration(link_age) * 1000,
        lost_ms=now_ms - 1000 if link_broke else 0,
        said=power if power in (PowerState.IN_USE, PowerState.IDLE) else PowerState.IDLE,
        turn=Turn(5, 30, since_ms, power, Cause.NO_INPUT),
        link_boot=5,
    )
    gauges = Gauges(idle_s=idle_s, uptime_s=parse_duration(uptime) if uptime is not None else None, inhibited=inhibited)
    telemetry = Telemetry(Meters(in_use_s=0, idle_s=0, asleep_s=0), gauges, skew_ms)
    return device, Tracked(presence, telemetry, abilities)


def snapshot(*machines: tuple[Device, Tracked], **more: Any) -> Snapshot:
    """A school with these machines, and nothing asked, held or stopped unless given."""
    parts: dict[str, Any] = {
        "school": SCHOOL,
        "classes": CLASSES,
        "machines": list(machines),
        "asked": {},
        "holds": [],
        "stops": [],
        "behind_s": 0.0,
        "recent_sends_ms": [],
    }
    return Snapshot(**{**parts, **more})


def asked(ago: str, *, verb: str = "shut_down", step: str | None = None, step_ago: str | None = None) -> Asked:
    """A command sent `ago`; its answer came `step_ago` (at once unless given)."""
    asked_ms = NOW_MS - parse_duration(ago) * 1000
    return Asked(
        verb=Verb(verb),
        asked_ms=asked_ms,
        expires_ms=asked_ms + 90_000,
        step=Step(step) if step is not None else None,
        step_ms=0 if step is None else NOW_MS - parse_duration(step_ago) * 1000 if step_ago is not None else asked_ms,
    )


def hold(
    kind: str = "hold",
    *,
    room: str | None = None,
    device: str | None = None,
    device_class: str | None = None,
    begins: str = "0 s",
) -> Hold:
    """A hold, freeze or maintenance from `begins` from now on, for two hours."""
    from_ms = NOW_MS + parse_duration(begins) * 1000
    return Hold(
        id=1,
        kind=kind,  # type: ignore[arg-type]
        school="ash",
        room=room,
        device=device,
        device_class=device_class,
        from_ms=from_ms,
        until_ms=from_ms + 7_200_000,
        reason="after-school club",
    )


def stop(school: str | None = None, room: str | None = None) -> Stop:
    """A stop switch that is on."""
    return Stop(school=school, room=room, since_ms=NOW_MS, reason="boiler test")


def case_snapshot(case: Mapping[str, Any]) -> tuple[Snapshot, Policy, int]:
    """The snapshot, policy and moment that a case of tests/rules/cases describes."""
    now_ms = london_ms(case["at"]) if "at" in case else NOW_MS
    words = dict(case.get("machine", {}))
    if "tags" in words:
        words["tags"] = tuple(words["tags"])
    if "abilities" in words:
        words["abilities"] = tuple(Verb(verb) for verb in words["abilities"])
    for key in ("idle", "uptime", "mac"):
        if words.get(key) == "unknown":
            words[key] = None
    one = machine(now_ms=now_ms, **words)
    more: dict[str, Any] = {"holds": [hold(**entry) for entry in case.get("holds", [])]}
    if "asked" in case:
        more["asked"] = {one[0].address: asked(**case["asked"])}
    if "cycles" in case:
        more["cycles"] = {one[0].address: case["cycles"]}
    if "woken_in_vain" in case:
        more["woken_in_vain"] = {one[0].address: now_ms - parse_duration(case["woken_in_vain"]) * 1000}
    if "behind" in case:
        behind = case["behind"]
        more["behind_s"] = float("inf") if behind == "for ever" else float(parse_duration(behind))
    policy = policy_from(case["policy"]) if "policy" in case else load_policy()
    return snapshot(one, **more), policy, now_ms
