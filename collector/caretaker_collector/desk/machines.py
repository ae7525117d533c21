"""Machines for the desk: how each stands now, what was decided about it and asked of it."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from caretaker_collector import why
from caretaker_collector.desk.sources import Sources
from caretaker_collector.memory import Entry
from caretaker_collector.why import Told
from caretaker_contract.messages import FINAL_STEPS, Step
from caretaker_contract.topics import Address
from caretaker_dashboards.desk import views
from caretaker_dashboards.desk.views import DecisionLine, IncidentLine, MachineRow, ReasonLine
from caretaker_rules.calendar import local
from caretaker_rules.decisions import Decision
from caretaker_rules.incidents import Incident
from caretaker_rules.model import EXEMPT_TAG, Device, Tracked
from caretaker_rules.standing import shown_now

NEVER_HEARD = Tracked()
UNREGISTERED_CLASS = ""
_decision = msgspec.json.Decoder(Decision).decode

TOLD_FOR_MS = 3_600_000
"""How long a machine shows that it did not do what was asked: as long as a policy heeds a no when it says nothing."""
_NOT_DONE = {
    Step.VETOED: "somebody at the machine said no",
    Step.REFUSED: "the machine refused",
    Step.FAILED: "the machine could not do it",
}


def newest_decisions(db: sqlite3.Connection, school: str, devices: Iterable[str]) -> dict[str, DecisionLine]:
    """The newest decision about each of these, where there is one."""
    found = {}
    for device in devices:
        row = db.execute(
            "SELECT decision FROM decisions WHERE school = ? AND device = ? ORDER BY at_ms DESC, id DESC LIMIT 1",
            (school, device),
        ).fetchone()
        if row is not None:
            found[device] = decision_line(_decision(row[0]))
    return found


def decision_line(decision: Decision) -> DecisionLine:
    """A decision in a word and a sentence."""
    return DecisionLine(
        at_ms=decision.at_ms,
        device=decision.device.device,
        verdict=decision.verdict.value,
        sentence="; ".join(str(reason) for reason in decision.reasons),
    )


def incident_of(device: str, here: Sequence[tuple[Incident, IncidentLine]]) -> int | None:
    """The open incident that a machine is in, the most urgent first; what it is about comes before what hits it."""
    for incident, line in here:
        if incident.subject.device == device:
            return line.number
    for incident, line in here:
        if any(hit.device == device for hit in incident.hits):
            return line.number
    return None


class Machines:
    """Makes their rows."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def tracked(self, address: Address) -> Tracked:
        """What is known of a device."""
        entry: Entry | None = self._sources.memory.entries.get(address)
        return entry.tracked if entry is not None else NEVER_HEARD

    def row(
        self,
        address: Address,
        device: Device | None,
        decisions: Mapping[str, DecisionLine],
        here: Sequence[tuple[Incident, IncidentLine]],
        now_ms: int,
    ) -> MachineRow:
        """How it stands now. `device` None: it is in no register."""
        tracked = self.tracked(address)
        presence, telemetry = tracked.presence, tracked.telemetry
        device_class = self._sources.estate.classes.get(device.device_class) if device is not None else None
        return MachineRow(
            name=address.device,
            device_class=device.device_class if device is not None else UNREGISTERED_CLASS,
            shown=shown_now(presence),
            since_ms=presence.since_ms or None,
            heard_ms=presence.heard_ms or None,
            idle_s=telemetry.gauges.idle_s if telemetry is not None else None,
            decision=decisions.get(address.device),
            asked=self._asked(address, now_ms),
            incident=incident_of(address.device, here),
            exempt=device is not None and EXEMPT_TAG in device.tags,
            agent=device_class is None or device_class.agent,
        )

    def _asked(self, address: Address, now_ms: int) -> str:
        """The command that is under way, or that the machine did not follow a while ago; "": none."""
        asked = self._sources.memory.asked.get(address)
        if asked is None or (asked.step is None and asked.expires_ms <= now_ms):
            return ""
        zone = self._sources.zone(address.school)
        words = f"{asked.verb.value.replace('_', ' ')} asked {local(asked.asked_ms, zone):%H:%M:%S}"
        if asked.step in FINAL_STEPS:
            said = _NOT_DONE.get(asked.step, "") if now_ms - asked.asked_ms < TOLD_FOR_MS else ""
            return f"{words}: {said}" if said else ""
        return words if asked.step is None else f"{words}, {asked.step.value}"

    def told(self, school: str, told: Told) -> views.Told:
        """A decision with its reasons and its command, as `caretaker why` has it."""
        zone, decision = self._sources.zone(school), told.decision
        day = local(decision.at_ms, zone).date()

        def clock(at_ms: int) -> str:
            moment = local(at_ms, zone)
            return moment.strftime("%H:%M:%S" if moment.date() == day else "%a %d %b %H:%M:%S")

        source = ""
        if decision.rule:
            path = self._sources.short(decision.policy_file)
            source = f"{path}:{decision.rule_line}, version {decision.policy_version}"
        return views.Told(
            at_ms=decision.at_ms,
            verdict=decision.verdict.value,
            rule=decision.rule,
            source=source,
            reasons=[ReasonLine(str(reason), reason.age_s) for reason in decision.reasons],
            command=why.story(told.command, clock) if told.command is not None else "",
        )
