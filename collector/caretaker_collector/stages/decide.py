"""decide: run each school's policy over what is known, on every tick. Returns decisions, does nothing."""

import hashlib
from collections.abc import Mapping

from caretaker_collector.calendars import Calendars
from caretaker_collector.ledger import Ledger, LedgerCommand
from caretaker_collector.memory import Memory
from caretaker_collector.pipeline import Batch
from caretaker_contract.messages import POWER_VERBS, Cause, Command, Verb
from caretaker_contract.topics import Address
from caretaker_rules import energy
from caretaker_rules.calendar import local, midnight_ms, zone_of
from caretaker_rules.energy import Decision, Snapshot
from caretaker_rules.guards import COMMAND_LIFE_S
from caretaker_rules.model import Device, Estate, Tracked
from caretaker_rules.policy import Policy

NEVER_HEARD = Tracked()
SCHOOLS_AT_ONCE = 2
"""Schools whose rules run in one batch. All 305 of 100,000 machines at once stop everything else for three seconds, and
their decisions together take as much memory as all that is known of the machines. Two of 328 are some 40 ms, between
which messages and pages have their turn; a batch by itself costs next to nothing (bench/desk.py)."""


class Decide:
    """The rules loop."""

    def __init__(
        self,
        memory: Memory,
        ledger: Ledger,
        estate: Estate,
        policies: Mapping[str, Policy],
        calendars: Calendars,
    ) -> None:
        self._memory = memory
        self._ledger = ledger
        self._estate = estate
        self._policies = policies
        self._calendars = calendars
        self._devices: dict[str, list[Device]] = {name: [] for name in estate.schools}
        for device in estate.devices.values():
            self._devices[device.school].append(device)
        self._keys: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._due: list[str] = []  # schools that this round has still to look at

    async def run(self, batch: Batch) -> None:
        """Fill `decisions` with what changed and `commands` with what has to be sent, and `looked` for `alerts`."""
        if batch.tick and not self._due:
            self._due = list(self._estate.schools)
        now, self._due = self._due[:SCHOOLS_AT_ONCE], self._due[SCHOOLS_AT_ONCE:]
        batch.unfinished = bool(self._due)
        for name in now:
            snapshot = batch.looked[name] = self.snapshot(name, batch.now_ms)
            policy = self._policies.get(name)
            if policy is None:
                continue
            for decision in energy.decide(snapshot, policy, batch.now_ms):
                self._keep(decision, batch)
            batch.checked.append(name)

    def snapshot(self, school: str, now_ms: int) -> Snapshot:
        """All that is known about a school now."""
        memory = self._memory
        machines = []
        for device in self._devices[school]:
            entry = memory.entries.get(device.address)
            machines.append((device, entry.tracked if entry else NEVER_HEARD))
        return Snapshot(
            school=self._estate.schools[school],
            classes=self._estate.classes,
            machines=machines,
            asked=memory.asked,
            holds=[hold for hold in self._ledger.holds(now_ms) if hold.school == school],
            stops=self._ledger.stops(),
            # Without a broker the newest data are as old as the link is broken: say so, and nothing is switched.
            behind_s=memory.behind_s if memory.connected_since_ms else float("inf"),
            recent_sends_ms=self._ledger.recent_sends(school, now_ms),
            timetable=self._calendars.timetable(school),
            cycles=self._ledger.cycles(school, self._day_start_ms(school, now_ms)),
            woken_in_vain=self._woken_in_vain(school, now_ms),
        )

    def _woken_in_vain(self, school: str, now_ms: int) -> dict[Address, int]:
        policy = self._policies.get(school)
        if policy is None or not policy.wakes or not policy.not_wakeable:
            return {}
        return self._ledger.woken_in_vain(school, now_ms - policy.not_wakeable_for_s * 1000)

    def _day_start_ms(self, school: str, now_ms: int) -> int:
        zone = zone_of(self._estate.schools[school].time_zone)
        return midnight_ms(local(now_ms, zone).date(), zone)

    def _keep(self, decision: Decision, batch: Batch) -> None:
        verb = _VERBS.get(decision.verdict)
        key = (decision.verdict, decision.rule, decision.policy_version, *(reason.why for reason in decision.reasons))
        if verb is not None:
            batch.decisions.append(decision)
            batch.commands.append(self._command(decision, verb, batch.now_ms))
        elif self._memory.verdicts.get(decision.device) != key:
            batch.decisions.append(decision)
        # A fleet has few different verdicts: keep each of them once.
        self._memory.verdicts[decision.device] = self._keys.setdefault(key, key)

    def _command(self, decision: Decision, verb: Verb, now_ms: int) -> LedgerCommand:
        command = Command(
            id=command_id(decision.device, decision.episode),
            device=str(decision.device),
            verb=verb,
            issued_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_S * 1000,
            cause=Cause.RULE,
            warn_s=decision.warn_s,
            idle_at_least_s=decision.idle_at_least_s,
        )
        device = self._estate.devices[decision.device]
        return LedgerCommand(command=command, address=decision.device, room=device.room, rule=decision.rule)


_VERBS: dict[energy.Verdict, Verb] = {
    **{energy.Verdict(verb.value): verb for verb in POWER_VERBS},
    energy.Verdict.WARN_ONLY: Verb.WARN,
}


def command_id(device: Address, episode: str) -> str:
    """The same device and idle episode always give the same id, so deciding twice cannot send two commands."""
    return hashlib.blake2b(f"{device}|{episode}".encode(), digest_size=16).hexdigest()
