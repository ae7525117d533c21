"""One machine: its state, meters, history, and why; and decisions about it up to any moment."""

import sqlite3
from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec

from caretaker_collector import why
from caretaker_collector.desk.incidents import Incidents
from caretaker_collector.desk.machines import Machines, newest_decisions
from caretaker_collector.desk.records import Records
from caretaker_collector.desk.room import marks_of
from caretaker_collector.desk.sources import Sources
from caretaker_collector.desk.strips import StripMaker
from caretaker_collector.points import UNREGISTERED
from caretaker_contract.errors import ConfigError
from caretaker_contract.messages import Gauges, Meters
from caretaker_contract.metrics import MEASUREMENTS
from caretaker_contract.topics import Address
from caretaker_dashboards.desk.views import DecisionLine, DeviceView, HistoryLine, Reading, Strip, WhyView
from caretaker_rules.calendar import local, midnight_ms
from caretaker_rules.decisions import Decision
from caretaker_rules.reasons import duration
from caretaker_rules.roles import Who
from caretaker_rules.service import behind_of, with_dependents
from caretaker_rules.shown import Shown

DAYS = 7
TOLD, TOLD_HERE = 20, 5
HISTORY = 100
_decision = msgspec.json.Decoder(Decision).decode
_MEANINGS = {metric.name: metric.meaning for metric in MEASUREMENTS["device"]}
_METERS = (("in_use_s", "in use"), ("idle_s", "idle"), ("asleep_s", "asleep"), ("energy_mwh", "energy"))
_GAUGES = (
    ("idle_s", "last input", "input_age_s"),
    ("session", "somebody signed in", "session"),
    ("uptime_s", "up", "uptime_s"),
    ("disk_ratio", "disk", "disk_ratio"),
    ("cpu_ratio", "processor", "cpu_ratio"),
    ("memory_ratio", "memory", "memory_ratio"),
    ("watts", "power", "watts"),
)
"""Field, name for people, and the name under which the table of metrics explains it."""
_SHOWN = {
    Shown.IN_USE: "in use",
    Shown.IDLE: "idle",
    Shown.ASLEEP: "asleep",
    Shown.OFF_RULE: "switched off by Caretaker",
    Shown.OFF_USER: "switched off by its user, or nobody said why",
    Shown.LOST: "not heard any more",
    Shown.BLIND: "cannot be seen",
    Shown.UNKNOWN: "unknown",
}


class Devices:
    """Makes the machines' pages."""

    def __init__(
        self, sources: Sources, incidents: Incidents, records: Records, machines: Machines, strips: StripMaker
    ) -> None:
        self._sources = sources
        self._incidents = incidents
        self._records = records
        self._machines = machines
        self._strips = strips

    async def device(self, who: Who, school: str, device: str) -> DeviceView:
        """One machine. NotThere when nothing of this name was registered or heard, or not for this person."""
        address = self._sources.address_for(who, school, device)
        mark = self._sources.changes.mark(f"{school}/{device}")
        return await self._sources.kept(("device", address), mark, lambda: self._device(address))

    async def _device(self, address: Address) -> DeviceView:
        sources, now_ms = self._sources, self._sources.now_ms()
        school, name = address
        zone, today = sources.zone(school), sources.today(school)
        first = today - timedelta(days=DAYS - 1)
        from_ms = midnight_ms(first, zone)
        device = sources.estate.devices.get(address)
        strips = await self._strips.days(school, [name], first, today, name)

        def work(
            db: sqlite3.Connection,
        ) -> tuple[dict[str, DecisionLine], list[Decision], list[HistoryLine], why.WhyAnswer]:
            rows = db.execute(
                "SELECT decision FROM decisions WHERE school = ? AND device = ? AND at_ms >= ? ORDER BY at_ms",
                (school, name, from_ms),
            )
            return (
                newest_decisions(db, school, [name]),
                [_decision(blob) for (blob,) in rows],
                _commands(db, address, from_ms, zone),
                why.ask(db, sources.estates[school], address, None, TOLD_HERE),
            )

        newest, decisions, history, answer = await sources.read(work)
        records = (
            await sources.read(lambda db: self._records.touching(db, school, [name], now_ms))
            if device is not None
            else []
        )
        here = (await self._incidents.open()).of(school)
        here = [
            pair for pair in here if pair[0].subject.device == name or any(hit.device == name for hit in pair[0].hits)
        ]
        marks = marks_of(decisions).get(name, [])
        days = []
        for day_number in range(DAYS):
            strip = strips[DAYS - 1 - day_number]
            day = today - timedelta(days=day_number)
            of_day = [mark for mark in marks if strip.start_ms <= mark.at_ms < strip.until_ms]
            days.append((day.isoformat(), Strip(device=name, spells=strip.spells.get(name, []), marks=of_day)))
        for strip in strips:
            spells = strip.spells.get(name, [])
            history += [
                HistoryLine(at_ms=spell.from_ms, by="machine", what=_SHOWN[spell.shown], text="")
                for spell in spells
                if spell.from_ms > strip.start_ms
            ]
        history.sort(key=lambda line: -line.at_ms)
        tracked = self._machines.tracked(address)
        telemetry = tracked.telemetry
        siblings = sources.devices[school]
        device_class = sources.estate.classes.get(device.device_class) if device is not None else None
        behind = with_dependents([name], behind_of(siblings.values())) - {name}
        room = device.room if device is not None else UNREGISTERED
        return DeviceView(
            now_ms=now_ms,
            zone=str(zone),
            school=school,
            school_title=sources.school_title(school),
            room=room,
            room_title=sources.room_title(school, room),
            registered=device is not None,
            machine=self._machines.row(address, device, newest, here, now_ms),
            report_ms=tracked.presence.at_ms if telemetry is not None else None,
            skew_s=telemetry.skew_ms / 1000 if telemetry is not None else None,
            unread=any(strip.unread for strip in strips),
            agent=device_class is None or device_class.agent,
            meters=_meters(telemetry.meters) if telemetry is not None else [],
            gauges=_gauges(telemetry.gauges) if telemetry is not None else [],
            days=days,
            day_spans=[(strip.start_ms, strip.until_ms) for strip in reversed(strips)],
            history=history[:HISTORY],
            told=[self._machines.told(school, told) for told in answer.told],
            incidents=[line for _, line in here],
            records=records,
            behind=device.behind if device is not None else None,
            depend=len(behind),
            mac=(device.mac or "") if device is not None else "",
            tags=list(device.tags) if device is not None else [],
            abilities=[verb.value for verb in tracked.abilities],
        )

    async def why(self, who: Who, school: str, device: str, at: str | None = None) -> WhyView:
        """Decisions about a machine up to a local time; None: up to now. ConfigError for a time that is none."""
        sources, now_ms = self._sources, self._sources.now_ms()
        address = sources.address_for(who, school, device)
        zone = sources.zone(school)
        try:
            at_ms = why.read_time(at.strip(), now_ms, zone) if at and at.strip() else None
        except (ValueError, OverflowError):
            raise ConfigError([f'{at!r}  give a local time such as "16:41" or "2026-10-06 16:41"']) from None
        if at_ms is not None and not 0 <= at_ms < 2**53:
            raise ConfigError([f"{at!r}  nothing was decided in that age"])
        answer = await sources.read(lambda db: why.ask(db, sources.estates[school], address, at_ms, TOLD))
        known = sources.estate.devices.get(address)
        room = known.room if known is not None else UNREGISTERED
        return WhyView(
            now_ms=now_ms,
            zone=str(zone),
            school=school,
            school_title=sources.school_title(school),
            room=room,
            room_title=sources.room_title(school, room),
            device=device,
            device_class=known.device_class if known is not None else "",
            at_ms=at_ms,
            checked_ms=answer.checked_ms or None,
            told=[self._machines.told(school, told) for told in answer.told],
            registered=known is not None,
            policy=sources.policy_text(school),
        )


def _who(rule: str) -> str:
    """Who asked, as a command has it: a rule, or a person by an order."""
    if rule.startswith("order-"):
        return rule.replace("-", " ", 1)
    return f"rule {rule}" if rule else "a person"


def _commands(db: sqlite3.Connection, address: Address, from_ms: int, zone: ZoneInfo) -> list[HistoryLine]:
    """The commands to a machine, each with all that came of it."""
    rows = db.execute(
        "SELECT verb, rule, decided_ms, status, id FROM commands "
        "WHERE school = ? AND device = ? AND decided_ms >= ? AND verb NOT IN ('replay', 'cancel') ORDER BY decided_ms",
        (*address, from_ms),
    ).fetchall()
    found = []
    for verb, rule, decided_ms, status, number in rows:
        by, what = _who(rule), verb.replace("_", " ")
        command = why.CommandStory(
            id=number,
            asked_ms=decided_ms,
            status=status,
            reason="",
            steps=[(at_ms, step, reason or "none") for at_ms, step, reason in why.steps_of(db, number)],
        )
        told = why.story(command, lambda at_ms: f"{local(at_ms, zone):%H:%M:%S}")
        found.append(HistoryLine(at_ms=decided_ms, by=by, what=what, text=told))
    return found


def _meters(meters: Meters) -> list[Reading]:
    found = []
    for name, title in _METERS:
        value = getattr(meters, name)
        if value is not None:
            said = duration(value) if name.endswith("_s") else f"{value / 1_000_000:,.2f} kWh"
            found.append(Reading(name=title, value=said, meaning=_MEANINGS[name]))
    return found


def _gauges(gauges: Gauges) -> list[Reading]:
    found = []
    for field, title, metric in _GAUGES:
        value = getattr(gauges, field)
        if value is None:
            continue
        if isinstance(value, bool):
            said = "yes" if value else "no"
        elif field == "idle_s":
            said = f"{duration(value)} ago"
        elif field.endswith("_s"):
            said = duration(value)
        elif field.endswith("_ratio"):
            said = f"{value:.0%}"
        else:
            said = f"{value:,.0f} W"
        found.append(Reading(name=title, value=said, meaning=_MEANINGS[metric]))
    return found
